//! Server transactions.
//!
//! ```text
//! INVITE   Proceeding --2xx--> Accepted --L--> gone      (the dialog resends the 2xx; copies of INVITE are absorbed)
//!               \------3xx-6xx--> Completed --ACK--> Confirmed --I--> gone      (G resends, H gives up)
//! others   Proceeding --final--> Completed --J--> gone
//! ```
//!
//! A transaction keeps its last answer, and that has every Via of the request in it: up to 64 kB, for up to 32 s. So their
//! bytes have a limit as well as their number, and requests that take far more than others are let into half of it only.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::key::Fingerprint;
use super::{ServerTimer, Timer, Wire};
use crate::table::give_room_back;
use crate::telephony::sip::timer::{T1, T1_64, T2, T4};
use crate::telephony::sip::transport::Flow;

/// An INVITE that is not answered by then is told 100; the limit is 200 ms (RFC 3261 section 17.2.1).
const TRYING_AFTER: Duration = Duration::from_millis(100);

/// An answer of more bytes is a large one. The Vias of three proxies and a long To take less than 2 kB.
const LARGE: usize = 4 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Proceeding,
    Accepted,
    Completed { interval: Duration },
    Confirmed,
}

struct Transaction {
    state: State,
    is_invite: bool,
    flow: Flow,
    /// What a copy of the request is answered with.
    last: Option<Arc<[u8]>>,
    call: Option<u64>,
    copies: Option<Fingerprint>,
}

impl Transaction {
    fn held(&self) -> usize {
        self.last.as_ref().map_or(0, |last| last.len())
    }

    /// Keeps `bytes`, or nothing, for copies of the request; `held` is what all transactions keep.
    fn keep(&mut self, held: &mut usize, bytes: Option<Arc<[u8]>>) {
        *held -= self.held();
        self.last = bytes;
        *held += self.held();
    }
}

/// How a transaction begins.
pub(in crate::telephony::sip) struct Opening {
    /// Where answers go.
    pub(in crate::telephony::sip) flow: Flow,
    /// For INVITE, the 100 that is sent when no other answer comes soon.
    pub(in crate::telephony::sip) trying: Option<Arc<[u8]>>,
    /// The call that it belongs to.
    pub(in crate::telephony::sip) call: Option<u64>,
    /// Key for copies of the request that come over other paths.
    pub(in crate::telephony::sip) copies: Option<Fingerprint>,
}

impl Opening {
    /// What the transaction keeps at first.
    pub(in crate::telephony::sip) fn bytes(&self) -> usize {
        self.trying.as_ref().map_or(0, |trying| trying.len())
    }
}

/// All server transactions.
pub(in crate::telephony::sip) struct Servers {
    table: HashMap<Fingerprint, Transaction>,
    /// Requests outside dialogs, so that copies over other paths are found.
    copies: HashMap<Fingerprint, Fingerprint>,
    limit: usize,
    /// Bytes of all answers that are kept, and the most of them.
    held: usize,
    max_held: usize,
}

impl Servers {
    pub(in crate::telephony::sip) fn new(limit: usize, max_held: usize) -> Self {
        Self {
            table: HashMap::new(),
            copies: HashMap::new(),
            limit,
            held: 0,
            max_held,
        }
    }

    /// Bytes of answers that are kept.
    pub(in crate::telephony::sip) fn held(&self) -> usize {
        self.held
    }

    pub(in crate::telephony::sip) fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is room for no request at all.
    pub(in crate::telephony::sip) fn is_full(&self) -> bool {
        self.table.len() >= self.limit || self.held >= self.max_held
    }

    /// Whether there is room for a transaction that keeps `bytes`. A flood of large requests finds an end at half of the
    /// room, and costs the others nothing.
    pub(in crate::telephony::sip) fn has_room(&self, bytes: usize) -> bool {
        let most = if bytes > LARGE {
            self.max_held / 2
        } else {
            self.max_held
        };
        self.table.len() < self.limit && self.held + bytes <= most
    }

    /// Begins a transaction; the caller has checked [`Servers::has_room`].
    pub(in crate::telephony::sip) fn open(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        key: Fingerprint,
        opening: Opening,
    ) {
        self.held += opening.bytes();
        let Opening {
            flow,
            trying,
            call,
            copies,
        } = opening;
        let is_invite = trying.is_some();
        if is_invite {
            wire.timers
                .set(Timer::Server(key, ServerTimer::Trying), now + TRYING_AFTER);
        }
        if let Some(copies) = copies {
            self.copies.insert(copies, key);
        }
        let transaction = Transaction {
            state: State::Proceeding,
            is_invite,
            flow,
            last: trying,
            call,
            copies,
        };
        if let Some(replaced) = self.table.insert(key, transaction) {
            self.held -= replaced.held();
        }
    }

    /// Whether the request belongs to a transaction that is known; then it has been dealt with.
    pub(in crate::telephony::sip) fn absorb(&mut self, wire: &mut Wire, key: Fingerprint) -> bool {
        let Some(transaction) = self.table.get(&key) else {
            return false;
        };
        if let (State::Proceeding | State::Completed { .. }, Some(bytes)) = (transaction.state, &transaction.last) {
            wire.timers.cancel(Timer::Server(key, ServerTimer::Trying));
            wire.send(transaction.flow, Arc::clone(bytes));
        }
        true
    }

    /// Whether another copy of this request is being served.
    pub(in crate::telephony::sip) fn has_copy(&self, copies: Fingerprint, key: Fingerprint) -> bool {
        self.copies.get(&copies).is_some_and(|other| *other != key)
    }

    /// The call of an INVITE transaction, whether a CANCEL can still stop it, and where its answers go.
    pub(in crate::telephony::sip) fn cancellable(&self, key: Fingerprint) -> Option<(Option<u64>, bool, Flow)> {
        let transaction = self.table.get(&key).filter(|transaction| transaction.is_invite)?;
        let is_open = transaction.state == State::Proceeding;
        Some((transaction.call, is_open, transaction.flow))
    }

    /// Sends an answer. Anything after a final answer is ignored.
    pub(in crate::telephony::sip) fn respond(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        key: Fingerprint,
        status: u16,
        bytes: Arc<[u8]>,
    ) {
        let Some(transaction) = self.table.get_mut(&key) else {
            return;
        };
        if transaction.state != State::Proceeding {
            return;
        }
        wire.timers.cancel(Timer::Server(key, ServerTimer::Trying));
        wire.send(transaction.flow, Arc::clone(&bytes));
        let reliable = transaction.flow.transport.is_reliable();
        // Without room, a copy is told again what it was told before a provisional answer, and nothing after a final one.
        let has_room = self.held - transaction.held() + bytes.len() <= self.max_held;
        match status {
            100..=199 if !has_room => {}
            200..=299 if transaction.is_invite => transaction.keep(&mut self.held, None),
            _ => transaction.keep(&mut self.held, has_room.then_some(bytes)),
        }
        match status {
            100..=199 => {}
            200..=299 if transaction.is_invite => {
                transaction.state = State::Accepted;
                wire.timers.set(Timer::Server(key, ServerTimer::End), now + T1_64);
            }
            _ if transaction.is_invite => {
                transaction.state = State::Completed { interval: T1 };
                if !reliable {
                    wire.timers.set(Timer::Server(key, ServerTimer::Resend), now + T1);
                }
                wire.timers.set(Timer::Server(key, ServerTimer::End), now + T1_64);
            }
            _ if reliable => self.remove(wire, key),
            _ => {
                transaction.state = State::Completed { interval: T1 };
                wire.timers.set(Timer::Server(key, ServerTimer::End), now + T1_64);
            }
        }
    }

    /// Takes the ACK of a refusal; false when it belongs elsewhere.
    pub(in crate::telephony::sip) fn acknowledge(&mut self, now: Instant, wire: &mut Wire, key: Fingerprint) -> bool {
        let Some(transaction) = self.table.get_mut(&key) else {
            return false;
        };
        match transaction.state {
            State::Completed { .. } => {
                wire.timers.cancel(Timer::Server(key, ServerTimer::Resend));
                if transaction.flow.transport.is_reliable() {
                    self.remove(wire, key);
                } else {
                    transaction.state = State::Confirmed;
                    transaction.keep(&mut self.held, None);
                    wire.timers.set(Timer::Server(key, ServerTimer::End), now + T4);
                }
                true
            }
            State::Confirmed => true,
            State::Proceeding | State::Accepted => false,
        }
    }

    pub(in crate::telephony::sip) fn on_timer(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        key: Fingerprint,
        timer: ServerTimer,
    ) {
        let Some(transaction) = self.table.get_mut(&key) else {
            return;
        };
        match (timer, &mut transaction.state) {
            (ServerTimer::End, _) => self.remove(wire, key),
            (ServerTimer::Trying, State::Proceeding) => {
                if let Some(bytes) = &transaction.last {
                    wire.send(transaction.flow, Arc::clone(bytes));
                }
            }
            (ServerTimer::Resend, State::Completed { interval }) => {
                *interval = (*interval * 2).min(T2);
                wire.timers
                    .set(Timer::Server(key, ServerTimer::Resend), now + *interval);
                if let Some(bytes) = &transaction.last {
                    wire.send(transaction.flow, Arc::clone(bytes));
                }
            }
            _ => {}
        }
    }

    fn remove(&mut self, wire: &mut Wire, key: Fingerprint) {
        for timer in [ServerTimer::Trying, ServerTimer::Resend, ServerTimer::End] {
            wire.timers.cancel(Timer::Server(key, timer));
        }
        let removed = self.table.remove(&key);
        self.held -= removed.as_ref().map_or(0, Transaction::held);
        let copies = removed.and_then(|transaction| transaction.copies);
        give_room_back(&mut self.table);
        if let Some(copies) = copies
            && self.copies.get(&copies) == Some(&key)
        {
            self.copies.remove(&copies);
            give_room_back(&mut self.copies);
        }
    }
}
