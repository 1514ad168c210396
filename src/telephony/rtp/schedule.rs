//! When to send RTCP reports (RFC 3550 section 6.2).

use std::time::{Duration, Instant};

use rand::{Rng, RngExt as _};

/// The minimum interval of section 6.2; with two parties the bandwidth rule never asks for more.
const INTERVAL: Duration = Duration::from_secs(5);

/// Tells when the next report is due: every 5 s, each time spread by half so that parties do not fall into step.
#[derive(Clone, Copy, Debug)]
pub struct ReportSchedule {
    next: Instant,
}

impl ReportSchedule {
    /// The first report comes after half the interval (section 6.2).
    #[must_use]
    pub fn new(now: Instant, rng: &mut impl Rng) -> Self {
        Self {
            next: now + spread(INTERVAL / 2, rng),
        }
    }

    /// Whether a report is due; if so, the next one is planned.
    pub fn is_due(&mut self, now: Instant, rng: &mut impl Rng) -> bool {
        let due = now >= self.next;
        if due {
            self.next = now + spread(INTERVAL, rng);
        }
        due
    }
}

/// 0.5 to 1.5 times `interval`.
fn spread(interval: Duration, rng: &mut impl Rng) -> Duration {
    interval.mul_f64(rng.random_range(0.5..1.5))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn reports_are_spread_over_half_to_one_and_a_half_intervals() {
        let mut rng = StdRng::seed_from_u64(7);
        let start = crate::time::monotonic();
        let mut schedule = ReportSchedule::new(start, &mut rng);
        assert!((1_250..=3_750).contains(&(schedule.next - start).as_millis()));
        for _ in 0..1_000 {
            let now = schedule.next;
            assert!(!schedule.is_due(now - Duration::from_millis(1), &mut rng));
            assert!(schedule.is_due(now, &mut rng));
            assert!((2_500..=7_500).contains(&(schedule.next - now).as_millis()));
        }
    }
}
