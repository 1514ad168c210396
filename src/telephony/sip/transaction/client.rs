//! Client transactions.
//!
//! ```text
//! INVITE   Calling --1xx--> Proceeding --2xx--> Accepted --M--> gone
//!              \----------------\-------3xx-6xx (ACK sent)--> Completed --D--> gone
//! others   Calling --1xx--> Proceeding --final--> Completed --K--> gone
//! ```
//!
//! A branch is the magic cookie and 64 random bits; the bits are the key.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{ClientTimer, Timer, Wire};
use crate::table::give_room_back;
use crate::telephony::sip::digest::Credentials;
use crate::telephony::sip::message::{Checked, MAGIC_COOKIE, Message, Method, Name, Writer};
use crate::telephony::sip::timer::{T1, T1_64, T2, T4};
use crate::telephony::sip::transport::Flow;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum State {
    Calling,
    Proceeding,
    Accepted,
    Completed,
}

/// A request on its way, as it was sent.
#[derive(Clone)]
pub(in crate::telephony::sip) struct Outgoing {
    pub(in crate::telephony::sip) method: Method,
    pub(in crate::telephony::sip) bytes: Arc<[u8]>,
    pub(in crate::telephony::sip) flow: Flow,
    /// The same request and where it goes when no connection can be made for it (section 18.1.1).
    pub(in crate::telephony::sip) retreat: Option<(Flow, Arc<[u8]>)>,
    /// The call that hears of the outcome.
    pub(in crate::telephony::sip) call: u64,
    /// For a challenge, unless one has been answered already.
    pub(in crate::telephony::sip) credentials: Option<Credentials>,
}

impl Outgoing {
    /// The same request in a new transaction, with credentials for its Request-URI (section 8.1.3.5).
    pub(in crate::telephony::sip) fn again(
        &self,
        via: &str,
        number: u32,
        authorize: impl FnOnce(&str) -> Option<(Name, String)>,
    ) -> Option<Vec<u8>> {
        let request = Message::parse(&self.bytes).ok()?;
        let (method, uri) = request.request()?;
        let (name, value) = authorize(uri)?;
        let mut writer = Writer::request(method, uri).field(Name::Via, via);
        for route in request.fields(Name::Route) {
            writer = writer.field(Name::Route, route);
        }
        writer = writer
            .field(Name::MaxForwards, 70)
            .field(Name::From, request.field(Name::From)?)
            .field(Name::To, request.field(Name::To)?)
            .field(Name::CallId, request.field(Name::CallId)?)
            .field(Name::CSeq, format_args!("{number} {method}"))
            .field(name, value);
        for name in [Name::Contact, Name::Allow] {
            if let Some(value) = request.field(name) {
                writer = writer.field(name, value);
            }
        }
        Some(match request.field(Name::ContentType) {
            Some(kind) => writer.body(kind, std::str::from_utf8(request.body()).ok()?),
            None => writer.finish(),
        })
    }

    /// ACK for a refusal, or CANCEL: same branch, Request-URI, From, Call-ID, CSeq number and Route as the request
    /// (sections 9.1 and 17.1.1.3).
    fn companion(&self, method: &Method, to: Option<&str>) -> Option<Arc<[u8]>> {
        let request = Message::parse(&self.bytes).ok()?;
        let (_, uri) = request.request()?;
        let number = request.field(Name::CSeq)?.split(' ').next()?;
        let mut writer = Writer::request(method, uri).field(Name::Via, request.field(Name::Via)?);
        for route in request.fields(Name::Route) {
            writer = writer.field(Name::Route, route);
        }
        let writer = writer
            .field(Name::MaxForwards, 70)
            .field(Name::From, request.field(Name::From)?)
            .field(Name::To, to.or_else(|| request.field(Name::To))?)
            .field(Name::CallId, request.field(Name::CallId)?)
            .field(Name::CSeq, format_args!("{number} {method}"));
        Some(writer.finish().into())
    }
}

struct Transaction {
    state: State,
    outgoing: Outgoing,
    interval: Duration,
    ack: Option<Arc<[u8]>>,
    /// Its owner is gone: it waits no longer than its time-out, whatever provisional answers come.
    is_abandoned: bool,
}

/// What an answer means to the owner of the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::telephony::sip) enum Delivery {
    /// The first news of its kind: hand it on.
    News,
    /// A 2xx to INVITE that has been seen before: its ACK was lost.
    Again,
}

/// All client transactions.
pub(in crate::telephony::sip) struct Clients {
    table: HashMap<u64, Transaction>,
}

impl Clients {
    pub(in crate::telephony::sip) fn new() -> Self {
        Self { table: HashMap::new() }
    }

    pub(in crate::telephony::sip) fn len(&self) -> usize {
        self.table.len()
    }

    /// How many wait for a final answer.
    pub(in crate::telephony::sip) fn unanswered(&self) -> usize {
        self.table
            .values()
            .filter(|transaction| matches!(transaction.state, State::Calling | State::Proceeding))
            .count()
    }

    pub(in crate::telephony::sip) fn contains(&self, branch: u64) -> bool {
        self.table.contains_key(&branch)
    }

    /// The branch parameter for a key.
    pub(in crate::telephony::sip) fn branch(key: u64) -> String {
        format!("{MAGIC_COOKIE}{key:016x}")
    }

    /// The key in the topmost Via of a response, if it can be one of ours.
    pub(in crate::telephony::sip) fn key_of(response: &Checked) -> Option<u64> {
        let digits = response.via().branch()?.get(MAGIC_COOKIE.len()..)?;
        (digits.len() == 16)
            .then(|| u64::from_str_radix(digits, 16).ok())
            .flatten()
    }

    /// Sends a request and waits for its answers.
    pub(in crate::telephony::sip) fn start(&mut self, now: Instant, wire: &mut Wire, branch: u64, outgoing: Outgoing) {
        wire.send(outgoing.flow, Arc::clone(&outgoing.bytes));
        if !outgoing.flow.transport.is_reliable() {
            wire.timers.set(Timer::Client(branch, ClientTimer::Resend), now + T1);
        }
        wire.timers
            .set(Timer::Client(branch, ClientTimer::TimeOut), now + T1_64);
        self.table.insert(
            branch,
            Transaction {
                state: State::Calling,
                outgoing,
                interval: T1,
                ack: None,
                is_abandoned: false,
            },
        );
    }

    /// Sends CANCEL for an INVITE that has been answered provisionally; false when it is too early or too late.
    pub(in crate::telephony::sip) fn cancel(&mut self, now: Instant, wire: &mut Wire, branch: u64) -> bool {
        let Some(invite) = self
            .table
            .get(&branch)
            .filter(|transaction| transaction.state == State::Proceeding)
        else {
            return false;
        };
        let Some(bytes) = invite.outgoing.companion(&Method::Cancel, None) else {
            return false;
        };
        let cancel = Outgoing {
            method: Method::Cancel,
            bytes,
            retreat: None,
            credentials: None,
            ..invite.outgoing.clone()
        };
        // CANCEL shares the branch and differs in the method: its answers are told apart by CSeq.
        let key = branch ^ CANCEL_BIT;
        self.start(now, wire, key, cancel);
        true
    }

    /// The owner of an INVITE is gone. Where an answer is on its way, it gets as long as any other; refusals are still
    /// acknowledged.
    pub(in crate::telephony::sip) fn abandon(&mut self, now: Instant, wire: &mut Wire, branch: u64) {
        let Some(transaction) = self.table.get_mut(&branch) else {
            return;
        };
        transaction.is_abandoned = true;
        if transaction.state == State::Proceeding {
            wire.timers
                .set(Timer::Client(branch, ClientTimer::TimeOut), now + T1_64);
        }
    }

    /// Takes an answer; `None` when it belongs to nothing or is no news.
    pub(in crate::telephony::sip) fn on_response(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        branch: u64,
        response: &Checked,
    ) -> Option<(Delivery, Outgoing)> {
        let key = if *response.method() == Method::Cancel {
            branch ^ CANCEL_BIT
        } else {
            branch
        };
        let status = response.message.status()?;
        let transaction = self.table.get_mut(&key)?;
        if transaction.outgoing.method != *response.method() {
            return None;
        }
        if *response.method() == Method::Invite {
            transaction.on_invite_response(now, wire, key, status, response)
        } else {
            transaction.on_other_response(now, wire, key, status)
        }
    }

    /// A timer has run out; the request comes back when nobody has answered it.
    pub(in crate::telephony::sip) fn on_timer(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        branch: u64,
        timer: ClientTimer,
    ) -> Option<Outgoing> {
        let transaction = self.table.get_mut(&branch)?;
        match timer {
            ClientTimer::Resend => {
                transaction.resend(now, wire, branch);
                None
            }
            ClientTimer::TimeOut => self.remove(wire, branch),
            ClientTimer::End => {
                self.remove(wire, branch);
                None
            }
        }
    }

    /// Gives up requests that wait for a first answer over a connection that broke or could not be made.
    pub(in crate::telephony::sip) fn fail(
        &mut self,
        wire: &mut Wire,
        is_lost: impl Fn(&Flow) -> bool,
    ) -> Vec<(u64, Outgoing)> {
        let lost: Vec<_> = self
            .table
            .iter()
            .filter(|(_, transaction)| transaction.state == State::Calling && is_lost(&transaction.outgoing.flow))
            .map(|(&branch, _)| branch)
            .collect();
        lost.into_iter()
            .filter_map(|branch| Some((branch, self.remove(wire, branch)?)))
            .collect()
    }

    fn remove(&mut self, wire: &mut Wire, branch: u64) -> Option<Outgoing> {
        for timer in [ClientTimer::Resend, ClientTimer::TimeOut, ClientTimer::End] {
            wire.timers.cancel(Timer::Client(branch, timer));
        }
        let removed = self.table.remove(&branch);
        give_room_back(&mut self.table);
        removed.map(|transaction| transaction.outgoing)
    }
}

/// Flipped in the key of a CANCEL, which shares its branch with the INVITE.
const CANCEL_BIT: u64 = 1 << 63;

impl Transaction {
    fn on_invite_response(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        key: u64,
        status: u16,
        response: &Checked,
    ) -> Option<(Delivery, Outgoing)> {
        let delivery = match (self.state, status) {
            (State::Calling | State::Proceeding, 100..=199) => {
                self.state = State::Proceeding;
                wire.timers.cancel(Timer::Client(key, ClientTimer::Resend));
                if !self.is_abandoned {
                    wire.timers.cancel(Timer::Client(key, ClientTimer::TimeOut));
                }
                Delivery::News
            }
            (State::Calling | State::Proceeding, 200..=299) => {
                self.finish(now, wire, key, State::Accepted, T1_64);
                Delivery::News
            }
            (State::Accepted, 200..=299) => Delivery::Again,
            (State::Calling | State::Proceeding, _) => {
                self.ack = self.outgoing.companion(&Method::Ack, response.message.field(Name::To));
                self.send_ack(wire);
                let linger = if self.outgoing.flow.transport.is_reliable() {
                    Duration::ZERO
                } else {
                    T1_64
                };
                self.finish(now, wire, key, State::Completed, linger);
                Delivery::News
            }
            (State::Completed, 300..) => {
                self.send_ack(wire);
                return None;
            }
            _ => return None,
        };
        Some((delivery, self.outgoing.clone()))
    }

    fn on_other_response(
        &mut self,
        now: Instant,
        wire: &mut Wire,
        key: u64,
        status: u16,
    ) -> Option<(Delivery, Outgoing)> {
        if matches!(self.state, State::Completed | State::Accepted) {
            return None;
        }
        if status < 200 {
            // Timer E goes on at T2 (section 17.1.2.2).
            self.state = State::Proceeding;
            self.interval = T2;
        } else {
            let linger = if self.outgoing.flow.transport.is_reliable() {
                Duration::ZERO
            } else {
                T4
            };
            self.finish(now, wire, key, State::Completed, linger);
        }
        Some((Delivery::News, self.outgoing.clone()))
    }

    fn finish(&mut self, now: Instant, wire: &mut Wire, key: u64, state: State, linger: Duration) {
        self.state = state;
        wire.timers.cancel(Timer::Client(key, ClientTimer::Resend));
        wire.timers.cancel(Timer::Client(key, ClientTimer::TimeOut));
        wire.timers.set(Timer::Client(key, ClientTimer::End), now + linger);
    }

    fn send_ack(&self, wire: &mut Wire) {
        if let Some(ack) = &self.ack {
            wire.send(self.outgoing.flow, Arc::clone(ack));
        }
    }

    fn resend(&mut self, now: Instant, wire: &mut Wire, key: u64) {
        let is_invite = self.outgoing.method == Method::Invite;
        if matches!(self.state, State::Accepted | State::Completed) || is_invite && self.state == State::Proceeding {
            return;
        }
        wire.send(self.outgoing.flow, Arc::clone(&self.outgoing.bytes));
        self.interval *= 2;
        if !is_invite {
            self.interval = self.interval.min(T2);
        }
        wire.timers
            .set(Timer::Client(key, ClientTimer::Resend), now + self.interval);
    }
}
