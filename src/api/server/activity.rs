//! What a connection is doing, and when that has taken too long; sans-IO.
//!
//! ```text
//!  accepted ──▶ idle ───────────▶ head comes in ───────────▶ request runs ──▶ idle ...
//!               │ idle: closed    │ head: answered 408       │ request: answered 503 (see `request.rs`)
//!               ▼                 ▼                          ▼ request + write: cut, over HTTP/1
//!       at any time: takes nothing (write) is cut; too old (age) is asked to leave; goodbye said (farewell) is left alone
//! ```
//!
//! Being idle counts from the end of the last request, not from the last byte: bytes that never become a request keep
//! nothing open. Over HTTP/2 a request that takes too long is ended alone, in `connection.rs`; the head has no limit of
//! its own there, for without it no request is running.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use super::http1::Refusal;
use super::limits::Limits;
use crate::rate::Bucket;
use crate::time::monotonic;

/// Shared by all that work for one connection.
pub(super) struct Activity {
    state: Mutex<State>,
    changed: Notify,
}

/// A limit was met.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    /// The head that is coming in takes too long; said once for each.
    Head,
    /// It should be asked to leave; said once.
    Retire,
    /// It ends now.
    Cut(Cut),
}

/// Why a connection is ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Cut {
    Idle,
    NotReading,
    Cancelling,
    /// It was told goodbye and should have hung up.
    Farewell,
}

impl Activity {
    pub(super) fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            state: Mutex::new(State::new(limits, now)),
            changed: Notify::new(),
        }
    }

    /// The next limit that is met, as soon as it is. Bound to a clock here; the rules are in [`State`].
    pub(super) async fn due(&self) -> Due {
        loop {
            let deadline = match self.state().due(monotonic()) {
                Ok(deadline) => deadline,
                Err(due) => return due,
            };
            tokio::select! {
                () = tokio::time::sleep_until(deadline.into()) => {}
                () = self.changed.notified() => {}
            }
        }
    }

    /// Since when it could give way; nothing while a request is worked for. One whose body has not come is not: otherwise
    /// whoever sends bodies slowly would keep everybody else out. Nor is one that is answered, for whoever takes no answers.
    pub(super) fn dispensable_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.running == state.bodies + state.answers).then_some(state.since)
    }

    /// The body of a request begins to come.
    pub(super) fn body_begins(&self) {
        self.state().bodies += 1;
    }

    /// So many bytes of it have come; how many there are now of all bodies on their way.
    pub(super) fn body_grows(&self, bytes: usize) -> usize {
        let mut state = self.state();
        state.body_bytes += bytes;
        state.body_bytes
    }

    /// It has come, with so many bytes, or is not waited for any more.
    pub(super) fn body_ends(&self, bytes: usize) {
        let mut state = self.state();
        state.bodies -= 1;
        state.body_bytes -= bytes;
    }

    /// The answer to a request begins to be taken.
    pub(super) fn answer_begins(&self) {
        self.state().answers += 1;
    }

    /// It was taken, or given up.
    pub(super) fn answer_ends(&self) {
        self.state().answers -= 1;
    }

    pub(super) fn is_http1(&self) {
        self.state().is_http1 = true;
    }

    /// Handshakes are over.
    pub(super) fn established(&self, now: Instant) {
        self.state().since = now;
    }

    pub(super) fn head_begins(&self, now: Instant) {
        let mut state = self.state();
        if state.head_since.is_none() {
            state.head_since = Some(now);
            self.changed.notify_one();
        }
    }

    pub(super) fn head_ends(&self) {
        let mut state = self.state();
        state.head_since = None;
        state.head_is_late = false;
    }

    /// Whether [`Due::Head`] was said of the head that is coming in.
    pub(super) fn head_is_late(&self) -> bool {
        self.state().head_is_late
    }

    /// The next request is not the client's, but stands for one that is refused.
    pub(super) fn refuse(&self, refusal: Refusal) {
        self.state().refusal = Some(refusal);
    }

    /// A request begins; if it stands for one that is refused, with the reason.
    pub(super) fn request_begins(&self, now: Instant) -> Option<Refusal> {
        let mut state = self.state();
        if state.running == 0 {
            state.since = now;
        }
        state.running += 1;
        self.changed.notify_one();
        state.refusal.take()
    }

    pub(super) fn request_ends(&self, now: Instant, was_cancelled: bool) {
        let mut state = self.state();
        state.running -= 1;
        if state.running == 0 {
            state.since = now;
        }
        // Over HTTP/1 that is the end of the connection anyway.
        if was_cancelled && !state.is_http1 && !state.cancelled.take(now) {
            state.is_cancelling = true;
        }
        self.changed.notify_one();
    }

    /// The client takes nothing now.
    pub(super) fn write_blocks(&self, now: Instant) {
        let mut state = self.state();
        if state.blocked_since.is_none() {
            state.blocked_since = Some(now);
            self.changed.notify_one();
        }
    }

    pub(super) fn write_goes_on(&self) {
        if self.state().blocked_since.take().is_some() {
            self.changed.notify_one();
        }
    }

    /// It was asked to leave after the requests that run.
    pub(super) fn drains(&self, now: Instant) {
        let mut state = self.state();
        state.draining_since = state.draining_since.or(Some(now));
        self.changed.notify_one();
    }

    /// All is said; what still comes is thrown away.
    pub(super) fn farewell(&self, now: Instant) {
        let mut state = self.state();
        state.farewell_since = state.farewell_since.or(Some(now));
        self.changed.notify_one();
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct State {
    limits: Limits,
    is_http1: bool,
    opened: Instant,
    /// Requests that run.
    running: usize,
    /// Of these, those whose body has not come.
    bodies: usize,
    /// Requests that are answered, of those that run.
    answers: usize,
    /// What has come of those.
    body_bytes: usize,
    /// Since when any runs, or none.
    since: Instant,
    head_since: Option<Instant>,
    head_is_late: bool,
    refusal: Option<Refusal>,
    blocked_since: Option<Instant>,
    cancelled: Bucket,
    is_cancelling: bool,
    is_retired: bool,
    draining_since: Option<Instant>,
    farewell_since: Option<Instant>,
}

impl State {
    fn new(limits: &Limits, now: Instant) -> Self {
        Self {
            limits: limits.clone(),
            is_http1: false,
            opened: now,
            running: 0,
            bodies: 0,
            answers: 0,
            body_bytes: 0,
            since: now,
            head_since: None,
            head_is_late: false,
            refusal: None,
            blocked_since: None,
            cancelled: Bucket::new(limits.cancelled, now),
            is_cancelling: false,
            is_retired: false,
            draining_since: None,
            farewell_since: None,
        }
    }

    /// When the next limit will be met, or which one is.
    fn due(&mut self, now: Instant) -> Result<Instant, Due> {
        if self.is_cancelling {
            return Err(Due::Cut(Cut::Cancelling));
        }
        let limits = &self.limits;
        let mut deadlines = [None; 4];
        deadlines[0] = self
            .blocked_since
            .map(|since| (since + limits.write, Due::Cut(Cut::NotReading)));
        deadlines[1] = self
            .farewell_since
            .map(|since| (since + limits.farewell, Due::Cut(Cut::Farewell)));
        deadlines[2] = (!self.is_retired).then(|| (self.opened + limits.age, Due::Retire));
        deadlines[3] = match self.head_since {
            _ if self.running > 0 => (self.is_http1).then(|| {
                let most = self.since + limits.request + limits.write;
                (most, Due::Cut(Cut::NotReading))
            }),
            // A head that came while a request ran is only looked at now.
            Some(since) if !self.head_is_late => Some((since.max(self.since) + limits.head, Due::Head)),
            _ => match self.draining_since {
                // The last answer is still being taken.
                Some(_) if self.blocked_since.is_some() => None,
                Some(since) => Some((since.max(self.since) + limits.farewell, Due::Cut(Cut::Farewell))),
                None => Some((self.since + limits.idle, Due::Cut(Cut::Idle))),
            },
        };
        let next = deadlines.into_iter().flatten().min_by_key(|(deadline, _)| *deadline);
        match next {
            Some((deadline, due)) if deadline <= now => {
                match due {
                    Due::Head => self.head_is_late = true,
                    Due::Retire => self.is_retired = true,
                    Due::Cut(_) => {}
                }
                Err(due)
            }
            Some((deadline, _)) => Ok(deadline),
            // A request over HTTP/2 runs; its own limits end it, and that is a change.
            None => Ok(now + limits.age),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at_start() -> (Activity, Instant) {
        let start = monotonic();
        (Activity::new(&Limits::default(), start), start)
    }

    #[track_caller]
    fn met_at(activity: &Activity, deadline: Instant, due: Due) {
        let mut state = activity.state();
        assert_eq!(state.due(deadline - Duration::from_millis(1)), Ok(deadline));
        assert_eq!(state.due(deadline), Err(due));
    }

    #[test]
    fn idle_counts_from_the_last_request() {
        let (activity, start) = at_start();
        met_at(&activity, start + SECOND * 30, Due::Cut(Cut::Idle));
        activity.is_http1();
        assert_eq!(activity.request_begins(start + SECOND * 20), None);
        assert_eq!(activity.dispensable_since(), None);
        activity.body_begins();
        assert_eq!(activity.dispensable_since(), Some(start + SECOND * 20));
        assert_eq!((activity.body_grows(7), activity.body_grows(3)), (7, 10));
        activity.body_ends(10);
        assert_eq!(activity.dispensable_since(), None);
        met_at(&activity, start + SECOND * 60, Due::Cut(Cut::NotReading));
        activity.request_ends(start + SECOND * 25, false);
        assert_eq!(activity.dispensable_since(), Some(start + SECOND * 25));
        met_at(&activity, start + SECOND * 55, Due::Cut(Cut::Idle));
    }

    #[test]
    fn a_head_has_its_own_time_from_its_first_byte() {
        let (activity, start) = at_start();
        activity.head_begins(start + SECOND * 29);
        activity.head_begins(start + SECOND * 33);
        met_at(&activity, start + SECOND * 34, Due::Head);
        assert!(activity.head_is_late());
        // It is said once; if nothing comes of it, the connection is idle.
        assert_eq!(activity.state().due(start + SECOND * 34), Err(Due::Cut(Cut::Idle)));
        activity.refuse(Refusal::Late);
        activity.head_ends();
        assert_eq!(activity.request_begins(start + SECOND * 34), Some(Refusal::Late));
        assert!(!activity.head_is_late());
    }

    #[test]
    fn a_head_that_came_early_has_all_its_time_after_the_request_before() {
        let (activity, start) = at_start();
        activity.request_begins(start);
        activity.head_begins(start + SECOND);
        activity.request_ends(start + SECOND * 8, false);
        met_at(&activity, start + SECOND * 13, Due::Head);
    }

    #[test]
    fn who_takes_nothing_is_cut() {
        let (activity, start) = at_start();
        activity.request_begins(start);
        activity.write_blocks(start + SECOND);
        activity.write_blocks(start + SECOND * 5);
        met_at(&activity, start + SECOND * 11, Due::Cut(Cut::NotReading));
        activity.write_goes_on();
        activity.write_blocks(start + SECOND * 6);
        met_at(&activity, start + SECOND * 16, Due::Cut(Cut::NotReading));
    }

    #[test]
    fn many_requests_may_be_taken_back_but_not_at_once() {
        let (activity, start) = at_start();
        for _ in 0..100 {
            activity.request_begins(start);
            activity.request_ends(start, true);
        }
        assert!(activity.state().due(start).is_ok());
        activity.request_begins(start + SECOND);
        activity.request_ends(start + SECOND, true);
        assert!(activity.state().due(start + SECOND).is_ok(), "ten more a second");
        for _ in 0..10 {
            activity.request_begins(start + SECOND);
            activity.request_ends(start + SECOND, true);
        }
        assert_eq!(activity.state().due(start + SECOND), Err(Due::Cut(Cut::Cancelling)));
    }

    #[test]
    fn it_retires_once_and_then_leaves_when_its_requests_are_done() {
        let (activity, start) = at_start();
        let old = start + SECOND * 3_600;
        activity.request_begins(old - SECOND);
        met_at(&activity, old, Due::Retire);
        activity.drains(old);
        assert!(activity.state().due(old).is_ok());
        activity.request_ends(old + SECOND * 3, false);
        met_at(&activity, old + SECOND * 4, Due::Cut(Cut::Farewell));
    }

    #[test]
    fn a_last_answer_that_is_being_taken_is_waited_for() {
        let (activity, start) = at_start();
        activity.request_begins(start);
        activity.drains(start);
        activity.request_ends(start, false);
        activity.write_blocks(start);
        met_at(&activity, start + SECOND * 10, Due::Cut(Cut::NotReading));
        activity.write_goes_on();
        met_at(&activity, start + SECOND, Due::Cut(Cut::Farewell));
    }

    #[test]
    fn after_goodbye_it_hangs_up() {
        let (activity, start) = at_start();
        activity.farewell(start + SECOND * 2);
        activity.farewell(start + SECOND * 3);
        met_at(&activity, start + SECOND * 3, Due::Cut(Cut::Farewell));
    }
}
