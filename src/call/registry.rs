//! The calls in progress: who may come in, which step each one is in, and how they are brought to an end.
//!
//! ```text
//!            admit()                         drain()                       dismiss()
//!  open ───────────────► calls come and go ───────────► no new calls ───────────────► the rest are told goodbye
//! ```
//!
//! Steps and times are kept for the live list; keys never are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::time::{Clock, Timestamp};

/// What is shown of a live call.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct LiveCall {
    /// Number of the call since the program was started.
    pub number: u64,
    /// SIP Call-ID, to find the call in the log.
    pub call_id: String,
    /// The trunk it came in on.
    pub trunk: String,
    /// The flow that it runs.
    pub dialplan: String,
    /// Calling number, masked.
    pub caller: String,
    /// Called number.
    pub called: String,
    /// Codec in use.
    pub codec: String,
    /// The step that the caller is in.
    pub step: String,
    /// Start of the call, milliseconds since 1970.
    pub started_ms: i64,
    /// Start of the step, milliseconds since 1970.
    pub step_since_ms: i64,
}

/// Why a call is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// As many calls as configured are in progress.
    Full,
    /// The program is about to stop.
    Draining,
}

/// What running calls are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Nothing.
    CarryOn,
    /// The time to finish is over: say goodbye and hang up.
    Dismiss,
}

/// All calls in progress.
pub struct Registry {
    limit: usize,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    next_number: AtomicU64,
    notice: watch::Sender<Notice>,
    count: watch::Sender<usize>,
}

#[derive(Default)]
struct State {
    draining: bool,
    calls: BTreeMap<u64, LiveCall>,
}

impl Registry {
    /// A registry for at most `limit` calls at once.
    #[must_use]
    pub fn new(limit: usize, clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            limit,
            clock,
            state: Mutex::default(),
            next_number: AtomicU64::new(1),
            notice: watch::Sender::new(Notice::CarryOn),
            count: watch::Sender::new(0),
        })
    }

    /// Takes a call in. It is in the list until the returned [`Entry`] is dropped.
    ///
    /// # Errors
    /// [`Refused`] when the house is full or closing.
    pub fn admit(self: &Arc<Self>, call: NewCall<'_>) -> Result<Entry, Refused> {
        let now = self.clock.now();
        let mut state = self.state();
        if state.draining {
            return Err(Refused::Draining);
        }
        if state.calls.len() >= self.limit {
            return Err(Refused::Full);
        }
        let number = self.next_number.fetch_add(1, Ordering::Relaxed);
        state.calls.insert(number, call.shown_as(number, now));
        self.count.send_replace(state.calls.len());
        Ok(Entry {
            registry: Arc::clone(self),
            number,
            notice: self.notice.subscribe(),
        })
    }

    /// The calls in progress, oldest first.
    #[must_use]
    pub fn snapshot(&self) -> Vec<LiveCall> {
        self.state().calls.values().cloned().collect()
    }

    /// How many calls are in progress.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().calls.len()
    }

    /// Whether no call is in progress.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether new calls are refused because the program is about to stop.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.state().draining
    }

    /// Refuses new calls from now on.
    pub fn drain(&self) {
        self.state().draining = true;
    }

    /// Tells the calls that are left to say goodbye and end.
    pub fn dismiss(&self) {
        self.notice.send_replace(Notice::Dismiss);
    }

    /// Waits until no call is in progress.
    pub async fn emptied(&self) {
        let mut count = self.count.subscribe();
        // Only fails when the sender is gone, and `self` owns it.
        let _ = count.wait_for(|&count| count == 0).await;
    }

    /// A poisoned lock only means that another call panicked between two field writes of its own list entry.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is known of a call when it comes in.
#[derive(Clone, Copy, Debug)]
pub struct NewCall<'a> {
    /// SIP Call-ID.
    pub call_id: &'a str,
    /// Name of the trunk.
    pub trunk: &'a str,
    /// Name of the flow.
    pub dialplan: &'a str,
    /// Calling number, already masked.
    pub caller: &'a str,
    /// Called number.
    pub called: &'a str,
}

impl NewCall<'_> {
    fn shown_as(&self, number: u64, now: Timestamp) -> LiveCall {
        LiveCall {
            number,
            call_id: self.call_id.to_owned(),
            trunk: self.trunk.to_owned(),
            dialplan: self.dialplan.to_owned(),
            caller: self.caller.to_owned(),
            called: self.called.to_owned(),
            codec: String::new(),
            step: String::new(),
            started_ms: now.as_millis(),
            step_since_ms: now.as_millis(),
        }
    }
}

/// The place of one call in the list; dropping it takes the call out.
pub struct Entry {
    registry: Arc<Registry>,
    number: u64,
    notice: watch::Receiver<Notice>,
}

impl Entry {
    /// Number of the call since the program was started.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Notes the codec in use.
    pub fn set_codec(&self, codec: &str) {
        self.update(|call| codec.clone_into(&mut call.codec));
    }

    /// Notes the step that the caller is in now.
    pub fn set_step(&self, step: &str) {
        let now = self.registry.clock.now().as_millis();
        self.update(|call| {
            step.clone_into(&mut call.step);
            call.step_since_ms = now;
        });
    }

    /// Waits until this call must end.
    pub async fn dismissed(&mut self) {
        if self.notice.wait_for(|&notice| notice == Notice::Dismiss).await.is_err() {
            // The registry lives as long as this entry; without it there is nobody left to send a notice.
            std::future::pending::<()>().await;
        }
    }

    fn update(&self, change: impl FnOnce(&mut LiveCall)) {
        if let Some(call) = self.registry.state().calls.get_mut(&self.number) {
            change(call);
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut state = self.registry.state();
        state.calls.remove(&self.number);
        self.registry.count.send_replace(state.calls.len());
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::time::ManualClock;

    const CALL: NewCall<'static> = NewCall {
        call_id: "a@b",
        trunk: "local",
        dialplan: "reset",
        caller: "*****67",
        called: "100",
    };

    fn registry(limit: usize) -> (Arc<Registry>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
        (Registry::new(limit, clock.clone()), clock)
    }

    #[test]
    fn a_call_is_listed_with_its_step_until_it_ends() {
        let (registry, clock) = registry(2);
        let entry = registry.admit(CALL).expect("there is room");
        clock.advance(Duration::from_millis(500));
        entry.set_step("ask_number");
        let shown = &registry.snapshot()[0];
        assert_eq!(
            (shown.step.as_str(), shown.started_ms, shown.step_since_ms),
            ("ask_number", 1_000, 1_500)
        );
        drop(entry);
        assert!(registry.is_empty());
    }

    #[test]
    fn a_full_house_takes_the_next_call_when_one_has_ended() {
        let (registry, _) = registry(1);
        let first = registry.admit(CALL).expect("there is room");
        assert_eq!(registry.admit(CALL).err(), Some(Refused::Full));
        drop(first);
        assert!(registry.admit(CALL).is_ok());
    }

    #[tokio::test]
    async fn draining_refuses_new_calls_and_waits_for_the_old_ones() {
        let (registry, _) = registry(5);
        let mut entry = registry.admit(CALL).expect("there is room");
        registry.drain();
        assert_eq!(registry.admit(CALL).err(), Some(Refused::Draining));
        registry.dismiss();
        entry.dismissed().await;
        drop(entry);
        registry.emptied().await;
    }
}
