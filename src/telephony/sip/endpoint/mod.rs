//! The core: one SIP endpoint without sockets, tasks or clock.
//!
//! ```text
//! Input  --handle(now, input)--> [ admission, check, transactions, dialogs, calls ]
//! Output <---poll_output()-----        next_deadline() says when Input::Timeout is due
//! ```
//!
//! Every incoming message passes, in this order: the budget of its source ([`super::admission`]), the parser, the check
//! of the whole message ([`super::message::validate`]), the transaction it may belong to, then the dialog, then the rules
//! for new requests (RFC 3261 section 8.2). What is refused before a trunk is known leaves nothing behind in memory and
//! is never sent twice.
//!
//! | file | what lives there |
//! |---|---|
//! | `interface` | inputs, outputs, commands, events |
//! | `receive` | from bytes to the request or answer they belong to; strangers |
//! | `incoming` | requests outside dialogs: INVITE, OPTIONS, CANCEL, refusals |
//! | `in_dialog` | requests inside: ACK, BYE, re-INVITE, UPDATE, INFO, OPTIONS |
//! | `body` | SDP, alone or as one part of several |
//! | `outgoing` | requests of ours and their answers |
//! | `way` | which way they go |
//! | `challenge` | requests of ours that must prove a password |
//! | `commands` | what the call layer wants |
//! | `respond` | making answers |
//! | `deadlines` | timers of calls |
//!
//! Left out on purpose, with the place where they belong: session timers (a `CallTimer` and fields in `commands` and
//! `outgoing`), reliable provisional answers (`in_dialog` gets PRACK, `commands` holds 200 back), REFER (`in_dialog`),
//! registration (an owner of client transactions beside calls), TLS (one more transport).

mod body;
mod challenge;
mod commands;
mod deadlines;
mod in_dialog;
mod incoming;
mod interface;
mod outgoing;
mod receive;
mod respond;
mod way;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng as _, RngExt as _};

pub use interface::{
    CallEvent, CallInfo, CallKey, Caller, Command, EndCause, InfoKind, Input, LocalAddress, OutgoingInvite, Output,
    ReinviteId, Stats,
};

use super::admission::{Admission, IN_CALL, StrangerLimits, Strangers};
use super::dialog::Dialog;
use super::digest::{Challenger, Credentials};
use super::message::Checked;
use super::timer::T1_64;
use super::trace;
use super::transaction::{Clients, Fingerprint, Fingerprints, Servers, Timer, Wire};
use super::transport::Flow;
use super::trunk::{Trunks, Unserved};
use crate::rate::{Bucket, Rate};
use crate::secret::with_numbers_masked;
use crate::table::give_room_back;

/// Limits and manners of the endpoint.
#[derive(Clone, Debug)]
pub struct EndpointConfig {
    /// The most calls at once over all trunks. 10,000 is far above what one machine's media can carry.
    pub max_calls: usize,
    /// The most server transactions at once. One lasts up to 32 s: enough for 1,000 calls a second with BYE.
    pub max_transactions: usize,
    /// The most bytes of answers that they keep, with the Vias of the requests: 512 for each of the most, which is what an
    /// answer takes behind one or two proxies.
    pub max_transaction_bytes: usize,
    /// What sources hear that no trunk allows.
    pub strangers: Unserved,
    /// How often they are heard at all.
    pub stranger_limits: StrangerLimits,
    /// Our addresses, for Via and Contact of requests.
    pub local: Vec<LocalAddress>,
}

impl Default for EndpointConfig {
    fn default() -> Self {
        Self {
            max_calls: 10_000,
            max_transactions: 131_072,
            max_transaction_bytes: 64 * 1024 * 1024,
            strangers: Unserved::Answer,
            stranger_limits: StrangerLimits::default(),
            local: Vec::new(),
        }
    }
}

/// Timers of a call.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub(super) enum CallTimer {
    /// Our 2xx is sent again (section 13.3.1.4).
    ResendOk,
    /// The ACK is overdue.
    AwaitAck,
    /// The call must be answered, here or there.
    Setup,
    /// A re-INVITE of theirs must be answered.
    AnswerReinvite,
    /// After glare, ours is tried again (section 14.1).
    RetryReinvite,
    /// A call that we cancelled has no final answer.
    Cancelled,
}

impl CallTimer {
    const ALL: [Self; 6] = [
        Self::ResendOk,
        Self::AwaitAck,
        Self::Setup,
        Self::AnswerReinvite,
        Self::RetryReinvite,
        Self::Cancelled,
    ];
}

/// How long a call may ring here: an IVR answers in milliseconds, so this is a call layer that forgot it. Below the
/// minute after which 180 would have to be repeated (section 13.3.1.1).
const RING_LIMIT: Duration = Duration::from_secs(50);
/// How long a far end may ring after its first sign of life (timer C, section 16.6).
const REMOTE_RING_LIMIT: Duration = Duration::from_secs(181);
/// How long the call layer may think about a re-INVITE.
const REINVITE_LIMIT: Duration = Duration::from_secs(20);

/// The endpoint.
pub struct Endpoint {
    config: EndpointConfig,
    trunks: Trunks,
    rng: StdRng,
    fingerprints: Fingerprints,
    challenger: Challenger,
    admission: Admission,
    strangers: Strangers,
    wire: Wire,
    servers: Servers,
    clients: Clients,
    calls: HashMap<u64, Call>,
    /// Addresses that calls of ours talk to.
    guests: HashMap<IpAddr, Guest>,
    /// Addresses that have proved a password lately, and until when that counts.
    proofs: HashMap<IpAddr, Instant>,
    /// Log lines about refused requests.
    refusal_log: Bucket,
    stats: Stats,
}

/// An admin who sets up a trunk must see why it is refused; a scanner must not fill the log.
const REFUSAL_LOG: Rate = Rate {
    per_second: 1,
    burst: 20,
};

/// How long a proved password sets its address apart from strangers.
const PROOF_LIFETIME: Duration = Duration::from_secs(3600);
/// The most addresses that are set apart.
pub(in crate::telephony::sip) const MAX_PROOFS: usize = 4096;

/// An address that is heard because of calls that we made.
struct Guest {
    calls: usize,
    /// The last of them is over; what is still in the network is heard until then.
    until: Instant,
}

/// One call and its dialog.
struct Call {
    dialog: Dialog,
    phase: Phase,
    /// Incoming calls: the trunk whose line it takes.
    trunk: Option<usize>,
    /// How much the far end may say in it.
    messages: Bucket,
    /// Where our requests go, unless the dialog names a better place.
    flow: Flow,
    /// A request of theirs that waits for the call layer: INVITE, re-INVITE or UPDATE.
    waiting: Option<Waiting>,
    /// Our 2xx that waits for its ACK.
    unacknowledged: Option<Unacknowledged>,
    /// Branch of our INVITE or re-INVITE in progress.
    inviting: Option<u64>,
    /// The offer of a re-INVITE of ours, for another try after glare.
    offer: Option<String>,
    /// The ACK that we sent last, to be sent again for a repeated 2xx.
    last_ack: Option<(Flow, Arc<[u8]>)>,
    /// Whether requests that are too large for a datagram can go over a connection.
    stream: way::Stream,
    /// Name and password for requests of ours that are challenged.
    credentials: Option<Credentials>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Theirs, not answered.
    Ringing,
    /// Ours, not answered.
    Calling,
    /// Ours, and not wanted any more.
    Cancelling,
    /// Answered.
    Established,
    /// Answered, not acknowledged, and to end with the ACK: BYE must wait for it (section 15).
    HangingUp,
}

struct Waiting {
    transaction: Fingerprint,
    request: Checked,
    flow: Flow,
}

struct Unacknowledged {
    cseq: u32,
    flow: Flow,
    bytes: Arc<[u8]>,
    interval: Duration,
    /// The 2xx holds our offer: the ACK must hold the answer.
    has_offer: bool,
}

impl Call {
    /// A call that has just begun; `flow` is where its far end is.
    fn new(now: Instant, dialog: Dialog, phase: Phase, flow: Flow) -> Self {
        Self {
            dialog,
            phase,
            trunk: None,
            messages: Bucket::new(IN_CALL, now),
            flow,
            waiting: None,
            unacknowledged: None,
            inviting: None,
            offer: None,
            last_ack: None,
            stream: way::Stream::default(),
            credentials: None,
        }
    }
}

impl Endpoint {
    /// An endpoint at rest. All tags, branches, nonces and keys come from `rng`.
    #[must_use]
    pub fn new(config: EndpointConfig, trunks: Trunks, mut rng: StdRng, now: Instant) -> Self {
        let (mut fingerprint_key, mut nonce_key) = ([0; 32], [0; 32]);
        rng.fill_bytes(&mut fingerprint_key);
        rng.fill_bytes(&mut nonce_key);
        let budgets = trunks.iter().map(|trunk| (trunk.max_calls, trunk.call_rate));
        Self {
            fingerprints: Fingerprints::new(&fingerprint_key),
            challenger: Challenger::new(nonce_key, now),
            admission: Admission::new(budgets, config.max_calls, now),
            strangers: Strangers::new(config.stranger_limits, now),
            wire: Wire::new(),
            servers: Servers::new(config.max_transactions, config.max_transaction_bytes),
            clients: Clients::new(),
            calls: HashMap::new(),
            guests: HashMap::new(),
            proofs: HashMap::new(),
            refusal_log: Bucket::new(REFUSAL_LOG, now),
            stats: Stats::default(),
            config,
            trunks,
            rng,
        }
    }

    /// Takes one input; then drain [`Endpoint::poll_output`].
    pub fn handle(&mut self, now: Instant, input: Input<'_>) {
        match input {
            Input::Received { flow, bytes } => self.on_bytes(now, flow, bytes),
            Input::Unframable { flow, head } => self.on_unframable(now, flow, head),
            Input::Closed(flow) => self.on_closed(now, &flow),
            Input::Unreachable(remote) => self.on_unreachable(now, remote),
            Input::Command(CallKey(key), command) => self.on_command(now, key, command),
            Input::Drain => self.admission.drain(),
            Input::HangUpAll => {
                let keys: Vec<_> = self.calls.keys().copied().collect();
                keys.into_iter()
                    .for_each(|key| self.on_command(now, key, Command::HangUp));
            }
            Input::Timeout => {}
        }
        self.run_timers(now);
    }

    /// The next thing for the driver to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.wire.outputs.pop_front();
        if let Some(Output::Send { flow, bytes }) = &output {
            trace::sent(flow, bytes);
        }
        output
    }

    /// When [`Input::Timeout`] is due.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.wire.timers.next_deadline()
    }

    /// Counters and sizes.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            calls: self.calls.len(),
            transactions: self.servers.len() + self.clients.len(),
            transaction_bytes: self.servers.held(),
            unanswered: self.clients.unanswered(),
            timers: self.wire.timers.count(),
            ..self.stats
        }
    }

    /// A random key that no call and no client transaction has.
    fn new_key(&mut self) -> u64 {
        loop {
            let key = self.rng.next_u64();
            if !self.calls.contains_key(&key) && !self.clients.contains(key) {
                return key;
            }
        }
    }

    /// Random seconds for Retry-After where the RFC wants 0 to 10.
    fn retry_seconds(&mut self) -> u32 {
        self.rng.random_range(0..=10)
    }

    fn set_call_timer(&mut self, key: u64, timer: CallTimer, when: Instant) {
        self.wire.timers.set(Timer::Call(key, timer), when);
    }

    fn cancel_call_timer(&mut self, key: u64, timer: CallTimer) {
        self.wire.timers.cancel(Timer::Call(key, timer));
    }

    fn emit(&mut self, key: u64, event: CallEvent) {
        self.wire.outputs.push_back(Output::Event(CallKey(key), event));
    }

    /// Forgets a call and tells why. Its transactions come to an end by themselves.
    fn finish(&mut self, now: Instant, key: u64, event: CallEvent) {
        self.refuse_waiting(now, key, 487);
        let Some(call) = self.calls.remove(&key) else { return };
        give_room_back(&mut self.calls);
        if let Some(branch) = call.inviting {
            self.clients.abandon(now, &mut self.wire, branch);
        }
        for timer in CallTimer::ALL {
            self.cancel_call_timer(key, timer);
        }
        match call.trunk {
            Some(trunk) => self.admission.release(trunk),
            None => self.release_guest(now, call.flow.remote.ip()),
        }
        tracing::debug!(
            call.id = with_numbers_masked(&call.dialog.call_id),
            ?event,
            "call ended"
        );
        self.emit(key, event);
    }

    /// A caller with a password is told apart from strangers by the address that proved it: a flood from elsewhere
    /// does not use up what is meant for it.
    fn remember_proof(&mut self, now: Instant, flow: Flow) {
        let (source, until) = (flow.remote.ip(), now + PROOF_LIFETIME);
        if self.proofs.len() >= MAX_PROOFS {
            self.proofs.retain(|_, until| *until > now);
        }
        if self.proofs.len() < MAX_PROOFS || self.proofs.contains_key(&source) {
            self.proofs.insert(source, until);
            self.wire.outputs.push_back(Output::Proved { flow, until });
        }
    }

    /// Whether a source is known to be there and to want our answers: datagrams of others may bear a forged address.
    fn is_vouched(&self, source: IpAddr) -> bool {
        self.trunks.is_known(source) || self.guests.contains_key(&source) || self.proofs.contains_key(&source)
    }

    fn has_proof(&self, now: Instant, source: IpAddr) -> bool {
        self.proofs.get(&source).is_some_and(|until| *until > now)
    }

    fn release_guest(&mut self, now: Instant, address: IpAddr) {
        if let Some(guest) = self.guests.get_mut(&address) {
            guest.calls = guest.calls.saturating_sub(1);
            guest.until = now + T1_64;
        }
        self.guests.retain(|_, guest| guest.calls > 0 || now < guest.until);
    }
}
