//! The interpreter's named timers. On hold they stand still, except the limit on the whole call.

use std::time::{Duration, Instant};

#[derive(Default, Debug)]
pub(super) struct Timers {
    /// Silence, the pause between digits, patience with an operation or a transfer, the last goodbye.
    pub(super) step: Option<Instant>,
    /// When to say "one moment please" (again).
    pub(super) comfort: Option<Instant>,
    /// When the call has lasted too long; runs on hold too.
    pub(super) limit: Option<Instant>,
    /// What was left when the call was put on hold.
    stopped: Option<Stopped>,
}

#[derive(Debug)]
struct Stopped {
    step: Option<Duration>,
    comfort: Option<Duration>,
}

impl Timers {
    pub(super) fn next(&self) -> Option<Instant> {
        [self.step, self.comfort, self.limit].into_iter().flatten().min()
    }

    /// Takes a timer whose time has come, the limit first.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Due> {
        let due = |timer: &mut Option<Instant>| timer.take_if(|at| *at <= now).is_some();
        if due(&mut self.limit) {
            Some(Due::Limit)
        } else if due(&mut self.step) {
            Some(Due::Step)
        } else if due(&mut self.comfort) {
            Some(Due::Comfort)
        } else {
            None
        }
    }

    /// Forgets what belongs to one step.
    pub(super) fn clear_step(&mut self) {
        self.step = None;
        self.comfort = None;
        self.stopped = None;
    }

    pub(super) fn stop(&mut self, now: Instant) {
        let left = |timer: &mut Option<Instant>| timer.take().map(|at| at.saturating_duration_since(now));
        self.stopped = Some(Stopped {
            step: left(&mut self.step),
            comfort: left(&mut self.comfort),
        });
    }

    pub(super) fn go_on(&mut self, now: Instant) {
        if let Some(stopped) = self.stopped.take() {
            self.step = stopped.step.map(|left| now + left);
            self.comfort = stopped.comfort.map(|left| now + left);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Limit,
    Step,
    Comfort,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hold_keeps_what_was_left_but_not_the_limit() {
        let start = crate::time::monotonic();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut timers = Timers {
            step: Some(at(7)),
            limit: Some(at(60)),
            ..Timers::default()
        };
        timers.stop(at(5));
        assert_eq!(timers.next(), Some(at(60)));
        timers.go_on(at(30));
        assert_eq!(timers.next(), Some(at(32)));
        assert_eq!(timers.take_due(at(31)), None);
        assert_eq!(timers.take_due(at(60)), Some(Due::Limit));
        assert_eq!(timers.take_due(at(60)), Some(Due::Step));
        assert_eq!(timers.next(), None);
    }
}
