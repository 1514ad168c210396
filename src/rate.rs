//! Token buckets: how often something may happen, and how often in a row; sans-IO.

use std::time::Instant;

/// How fast tokens come back, and how many can be saved up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// Tokens per second.
    pub per_second: u32,
    /// The most tokens that are kept.
    pub burst: u32,
}

/// A token bucket.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    rate: Rate,
    tokens: f64,
    filled_at: Instant,
}

impl Bucket {
    /// A full bucket.
    #[must_use]
    pub fn new(rate: Rate, now: Instant) -> Self {
        Self {
            rate,
            tokens: f64::from(rate.burst),
            filled_at: now,
        }
    }

    /// Takes a token if there is one.
    pub fn take(&mut self, now: Instant) -> bool {
        self.fill(now);
        let enough = self.tokens >= 1.0;
        if enough {
            self.tokens -= 1.0;
        }
        enough
    }

    /// Whether there is a token to take.
    #[must_use]
    pub fn has_token(&self, now: Instant) -> bool {
        let mut copy = *self;
        copy.take(now)
    }

    /// Whether no more fits in.
    pub fn is_full(&mut self, now: Instant) -> bool {
        self.fill(now);
        self.tokens >= f64::from(self.rate.burst)
    }

    fn fill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.filled_at).as_secs_f64();
        self.tokens = (self.tokens + elapsed * f64::from(self.rate.per_second)).min(f64::from(self.rate.burst));
        self.filled_at = self.filled_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::monotonic;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let start = monotonic();
        let mut bucket = Bucket::new(RATE, start);
        let taken = |bucket: &mut Bucket, ms| {
            (0..100)
                .filter(|_| bucket.take(start + Duration::from_millis(ms)))
                .count()
        };
        assert_eq!(taken(&mut bucket, 0), 3);
        assert_eq!(taken(&mut bucket, 99), 0);
        assert_eq!(taken(&mut bucket, 100), 1);
        assert_eq!(taken(&mut bucket, 60_000), 3);
    }
}
