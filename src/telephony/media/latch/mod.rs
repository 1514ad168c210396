//! Where media comes from, and therefore where it goes (symmetric RTP, RFC 4961), with a guard against injection.
//!
//! A caller behind a NAT sends from another address than its SDP says, so the address has to be learned. A stranger
//! who sends to our port must not be able to redirect the audio to himself ("RTP bleed") or to press keys. So nobody is
//! believed while the current address is heard, and for how long it must be silent, and how much of a stream is needed
//! then, depends on who sends it:
//!
//! ```text
//!                          the current address is silent for        a stream of
//!  home: address of the
//!    SDP, or displaced     (it need not be silent)                  5 packets over 60 ms
//!  near: another port of   0 while nothing was heard from it,       5 packets over 60 ms
//!    a host that is known  200 ms when learning, else 2 s
//!  far: any other host     300 ms while nothing was heard from it   5 packets over 60 ms when learning, else 25 over 400 ms
//!                          2 s                                      25 packets over 400 ms
//! ```
//!
//! - Learning are the first 5 s, and 5 s after a re-INVITE. While silence is agreed (on hold, or nothing is to be received)
//!   nobody is learned but who is at home, and a re-INVITE begins every wait anew.
//! - Known hosts are those of the SDP, of the signalling, of the current address, and of the one before a re-INVITE named
//!   another. That one itself counts as far: what it still sends is old.
//! - From a private address in the SDP, that of a telephone behind a NAT, and from one outside of the pinned networks nothing
//!   can come: the 300 ms are not waited for. If it is known who signals, that host is behind the same NAT and therefore near,
//!   and those from far wait.
//! - Displaced is whoever was learned, fell silent, and lost its place to another host: it is given back like that of the
//!   address of the SDP, which needs no silence either.
//! - Whatever comes from the current address breaks its silence, comfort noise and payloads that nobody agreed on as well. For
//!   those from far so does RTCP of its host; another port of a host need not wait for that.
//! - A stream is valid packets of agreed payloads, of one SSRC, in sequence but for what the network loses, doubles and
//!   reorders. It counts within one silence: whatever breaks the silence makes what was sent in it worthless. Packets of a
//!   candidate are not used before it is believed. How many are watched: [`candidates`].
//! - A trunk may pin the networks that media comes from. Nobody outside them is believed, and nothing is sent there.
//!
//! What is left: a host that streams to the right port gets the audio, and may press keys, where the caller's first packet takes
//! longer than 300 ms, or where the caller sends nothing at all for two seconds, not even RTCP; until the caller is heard again. And
//! where the SDP has a private address and nobody knows who signals, whoever is first.

mod candidates;
mod control;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

pub(super) use control::ControlLatch;

use self::candidates::{Candidates, Proof, Standing};
use crate::telephony::rtp::Header;

/// How long after the start and after a re-INVITE an address is learned quickly.
const LEARNING: Duration = Duration::from_secs(5);
const QUIET_WHEN_LEARNING: Duration = Duration::from_millis(200);
const QUIET: Duration = Duration::from_secs(2);
/// How long the address of the SDP has time for its first packet, before another host is looked at.
const FIRST_PACKET: Duration = Duration::from_millis(300);
/// What makes a candidate believed: so many packets of one stream, and that they are not a burst.
const PROOF: Proof = Proof {
    packets: 5,
    span: Duration::from_millis(60),
};
/// The same for another host in mid-call, where only a fail-over explains it: half a second of packets, less what jitter
/// may take from it.
const PROOF_ELSEWHERE: Proof = Proof {
    packets: 25,
    span: Duration::from_millis(400),
};

/// What the signalling says about where media comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Signalled {
    /// The address of the SDP; `None` while it names none (on hold in the old way).
    pub(super) address: Option<SocketAddr>,
    /// Whether anything is to be received now.
    pub(super) expects_media: bool,
}

/// What became of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Admission {
    /// It may be used.
    Taken,
    /// It may be used, and its host is another one than that which was heard before.
    TakenFromAnotherHost,
    /// Not one of the far end.
    TurnedAway,
}

/// Decides whose packets are taken.
#[derive(Clone, Debug)]
pub(super) struct Latch {
    pinned: Arc<[IpNet]>,
    /// The host that signals, if known.
    signaller: Option<IpAddr>,
    signalled: Option<SocketAddr>,
    expects_media: bool,
    current: Option<SocketAddr>,
    /// Current until a re-INVITE named another address.
    former: Option<SocketAddr>,
    /// Current until another host took its place.
    displaced: Option<SocketAddr>,
    /// Whether media ever came from the current address.
    heard: bool,
    /// When anything came from the current address, or the wait for it began.
    heard_at: Instant,
    /// The same, or RTCP of its host.
    alive_at: Instant,
    learning_until: Instant,
    candidates: Candidates,
    changes: u32,
}

impl Latch {
    /// Media is expected from the address of the SDP; with `pinned` networks, from nowhere else. `signaller` is the host that
    /// the signalling comes from.
    pub(super) fn new(signalled: Signalled, pinned: Arc<[IpNet]>, signaller: Option<IpAddr>, now: Instant) -> Self {
        let mut latch = Self {
            pinned,
            signaller,
            signalled: signalled.address,
            expects_media: signalled.expects_media,
            current: None,
            former: None,
            displaced: None,
            heard: false,
            heard_at: now,
            alive_at: now,
            learning_until: now + LEARNING,
            candidates: Candidates::default(),
            changes: 0,
        };
        latch.current = latch.usable(signalled.address);
        latch
    }

    /// A re-INVITE came. Another address in it is followed at once; the same one keeps what was learned.
    pub(super) fn retarget(&mut self, signalled: Signalled, now: Instant) {
        if signalled.address.is_some() && self.signalled != signalled.address {
            self.signalled = signalled.address;
            if self.heard {
                self.former = self.current;
            }
            self.current = self.usable(signalled.address);
            self.displaced = None;
            self.heard = false;
        }
        self.expects_media = signalled.expects_media;
        self.heard_at = now;
        self.alive_at = now;
        self.learning_until = now + LEARNING;
        self.candidates.forget(|_| true);
    }

    /// Whether a packet that is valid and of an agreed payload may be used.
    pub(super) fn admit(&mut self, from: SocketAddr, header: &Header, now: Instant) -> Admission {
        if self.is_current(from) {
            self.heard = true;
            self.hear(now);
            return Admission::Taken;
        }
        let standing = self.standing(from);
        let Some(proof) = self.demand(standing, now).filter(|_| self.is_pinned(from.ip())) else {
            return Admission::TurnedAway;
        };
        if !self.candidates.watch(from, standing, header, now, proof) {
            return Admission::TurnedAway;
        }
        self.believe(from, standing, now)
    }

    /// Something came that says nothing more than that: a payload that was not agreed, or what is not RTP at all.
    pub(super) fn show_life(&mut self, from: SocketAddr, now: Instant) {
        if self.is_current(from) {
            self.hear(now);
        }
    }

    /// RTCP that is believed came from this host.
    pub(super) fn show_life_of_host(&mut self, ip: IpAddr, now: Instant) {
        if self.current.is_some_and(|current| current.ip() == ip) {
            self.alive_at = self.alive_at.max(now);
            self.candidates.forget(|standing| standing == Standing::Far);
        }
    }

    /// Where to send; `None` if nothing is known.
    pub(super) fn current(&self) -> Option<SocketAddr> {
        self.current
    }

    /// Whether anything was ever heard from the current address.
    pub(super) fn is_heard(&self) -> bool {
        self.heard
    }

    /// How often another source than the signalled or current one was believed.
    pub(super) fn changes(&self) -> u32 {
        self.changes
    }

    pub(super) fn is_current(&self, from: SocketAddr) -> bool {
        is_same(self.current, from) && self.is_pinned(from.ip())
    }

    pub(super) fn is_pinned(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.pinned.is_empty() || self.pinned.iter().any(|network| network.contains(&ip))
    }

    /// Nothing is sent outside of the pinned networks either; who is behind them will be heard from inside.
    fn usable(&self, signalled: Option<SocketAddr>) -> Option<SocketAddr> {
        signalled.filter(|address| self.is_pinned(address.ip()))
    }

    fn believe(&mut self, from: SocketAddr, standing: Standing, now: Instant) -> Admission {
        let is_elsewhere = self.heard && self.current.is_some_and(|current| current.ip() != from.ip());
        if standing == Standing::Home {
            self.displaced = self.displaced.filter(|displaced| !is_same(Some(*displaced), from));
        } else if is_elsewhere {
            // The first of several: it was there when the call was set up.
            self.displaced = self.displaced.or(self.current);
        }
        self.current = Some(from);
        self.heard = true;
        self.hear(now);
        self.candidates.forget(|_| true);
        self.changes += 1;
        if is_elsewhere {
            Admission::TakenFromAnotherHost
        } else {
            Admission::Taken
        }
    }

    fn hear(&mut self, now: Instant) {
        self.heard_at = self.heard_at.max(now);
        self.alive_at = self.alive_at.max(now);
        self.candidates.forget(|standing| standing != Standing::Home);
    }

    fn standing(&self, from: SocketAddr) -> Standing {
        if is_same(self.signalled, from) || is_same(self.displaced, from) {
            return Standing::Home;
        }
        let current = self.current.filter(|_| self.heard);
        let addresses = [self.signalled, current, self.former];
        let mut hosts = addresses.into_iter().flatten().map(|known| known.ip());
        let is_known = self.signaller == Some(from.ip()) || hosts.any(|host| host == from.ip());
        if is_known && !is_same(self.former, from) {
            Standing::Near
        } else {
            Standing::Far
        }
    }

    /// What somebody must send to be believed; `None` as long as nothing would help.
    fn demand(&self, standing: Standing, now: Instant) -> Option<Proof> {
        let is_learning = now < self.learning_until;
        let silent = now.saturating_duration_since(self.heard_at);
        let lifeless = now.saturating_duration_since(self.alive_at);
        let (may_be, proof) = match standing {
            Standing::Home => (true, PROOF),
            Standing::Near if !self.heard => (true, PROOF),
            Standing::Near if is_learning => (silent > QUIET_WHEN_LEARNING, PROOF),
            Standing::Near => (silent > QUIET, PROOF),
            Standing::Far if !self.heard => (
                lifeless > FIRST_PACKET || !self.may_come_from_signalled(),
                if is_learning { PROOF } else { PROOF_ELSEWHERE },
            ),
            Standing::Far => (lifeless > QUIET, PROOF_ELSEWHERE),
        };
        let may_be_now = standing == Standing::Home || self.expects_media;
        (may_be && may_be_now).then_some(proof)
    }

    /// Whether the address of the SDP may be where media comes from: not from outside of the pinned networks, nor a private
    /// address from behind a NAT. If it is known who signals, that is the host behind which it is.
    fn may_come_from_signalled(&self) -> bool {
        let is_behind_nat = || self.signaller.is_none() && self.signalled.is_some_and(|known| is_private(known.ip()));
        self.usable(self.signalled).is_some() && !is_behind_nat()
    }
}

/// The flow label and scope of an IPv6 socket address do not count.
fn is_same(known: Option<SocketAddr>, from: SocketAddr) -> bool {
    known.is_some_and(|known| (known.ip(), known.port()) == (from.ip(), from.port()))
}

/// Addresses that are told only inside of somebody's network: RFC 1918, RFC 6598 (carriers), RFC 3927 and RFC 4291 section
/// 2.5.6 (link-local), RFC 4193.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => {
            let [first, second, ..] = v4.octets();
            v4.is_private() || v4.is_link_local() || (first == 100 && second & 0xc0 == 64)
        }
        IpAddr::V6(v6) => v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests;
