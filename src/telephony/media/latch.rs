//! Where media comes from, and therefore where it goes (symmetric RTP, RFC 4961), with a guard against injection.
//!
//! A caller behind a NAT sends from another address than its SDP says, so the address has to be learned. A stranger
//! who sends a few packets to our port must not be able to redirect the audio to himself ("RTP bleed") or to press
//! keys. So:
//!
//! ```text
//!          heard from the current address            everybody else is turned away
//!                     │
//!                     ▼  quiet for 200 ms (first 5 s, and 5 s after a re-INVITE) or 2 s (later)
//!          candidates are watched: valid packets, payloads that were agreed, one SSRC, in sequence but for what the
//!                     │                      network loses, doubles and reorders
//!                     ▼  5 of a stream, over 60 ms (25 from another host in mid-call, over 400 ms)
//!          the candidate becomes the current address
//! ```
//!
//! The address of the SDP needs no silence to come back: whoever was learned in its place gives way once it sends a stream.
//! Packets of a candidate are not used before it is believed. A trunk may pin the networks that media comes from.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::telephony::rtp::Header;

/// How long after the start and after a re-INVITE an address is learned quickly.
const LEARNING: Duration = Duration::from_secs(5);
const QUIET_WHEN_LEARNING: Duration = Duration::from_millis(200);
const QUIET: Duration = Duration::from_secs(2);
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
/// Sequence numbers this near to the highest one belong to the same stream: a third of a second. Jitter of more than a
/// packet time reorders all the time.
const NEAR: u16 = 16;
/// Several, so that a stranger cannot keep the caller from being learned by sending in between.
const CANDIDATES: usize = 4;

/// Decides whose packets are taken.
#[derive(Clone, Debug)]
pub(super) struct Latch {
    pinned: Arc<[IpNet]>,
    /// What the SDP said.
    signalled: Option<SocketAddr>,
    current: Option<SocketAddr>,
    last_heard: Option<Instant>,
    learning_until: Instant,
    candidates: [Option<Candidate>; CANDIDATES],
    changes: u32,
}

#[derive(Clone, Copy, Debug)]
struct Proof {
    packets: u8,
    /// From the first to the last of them.
    span: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    from: SocketAddr,
    ssrc: u32,
    /// The highest so far.
    sequence: u16,
    /// Which of the numbers up to it were seen; bit 0 is the highest.
    seen: u32,
    /// Packets of the stream, copies not counted.
    packets: u8,
    first_at: Instant,
    seen_at: Instant,
}

impl Latch {
    /// Media is expected from `signalled`, the address of the SDP; with `pinned` networks, from nowhere else.
    pub(super) fn new(signalled: Option<SocketAddr>, pinned: Arc<[IpNet]>, now: Instant) -> Self {
        let mut latch = Self {
            pinned,
            signalled,
            current: None,
            last_heard: None,
            learning_until: now + LEARNING,
            candidates: [None; CANDIDATES],
            changes: 0,
        };
        latch.current = latch.usable(signalled);
        latch
    }

    /// A re-INVITE came. Another address in it is followed at once; the same one keeps what was learned.
    pub(super) fn retarget(&mut self, signalled: Option<SocketAddr>, now: Instant) {
        if signalled.is_some() && self.signalled != signalled {
            self.signalled = signalled;
            self.current = self.usable(signalled);
            self.last_heard = None;
        }
        self.learning_until = now + LEARNING;
        self.candidates = [None; CANDIDATES];
    }

    /// Whether a packet that is valid and of an agreed payload may be used.
    pub(super) fn admit(&mut self, from: SocketAddr, header: &Header, now: Instant) -> bool {
        if self.is_current(from) {
            self.last_heard = Some(now);
            return true;
        }
        let is_signalled = self.signalled.is_some_and(|signalled| signalled == from);
        if !self.is_pinned(from.ip()) || !(is_signalled || self.is_quiet(now)) {
            return false;
        }
        let proof = self.proof(from.ip(), now);
        if !self.watch(from, header, now).has(proof) {
            return false;
        }
        self.current = Some(from);
        self.last_heard = Some(now);
        self.candidates = [None; CANDIDATES];
        self.changes += 1;
        true
    }

    /// Where to send; `None` if nothing is known.
    pub(super) fn current(&self) -> Option<SocketAddr> {
        self.current
    }

    /// Whether anything was ever heard from the current address.
    pub(super) fn is_heard(&self) -> bool {
        self.last_heard.is_some()
    }

    /// How often another source than the signalled or current one was believed.
    pub(super) fn changes(&self) -> u32 {
        self.changes
    }

    /// Whether RTCP from here may be believed: the host that media comes from or was signalled for.
    pub(super) fn is_host(&self, ip: IpAddr) -> bool {
        [self.current, self.signalled]
            .into_iter()
            .flatten()
            .any(|known| known.ip() == ip)
    }

    pub(super) fn is_current(&self, from: SocketAddr) -> bool {
        // The flow label and scope of an IPv6 socket address do not count.
        self.current
            .is_some_and(|current| (current.ip(), current.port()) == (from.ip(), from.port()))
            && self.is_pinned(from.ip())
    }

    /// Nothing is sent outside of the pinned networks either; who is behind them will be heard from inside.
    fn usable(&self, signalled: Option<SocketAddr>) -> Option<SocketAddr> {
        signalled.filter(|address| self.is_pinned(address.ip()))
    }

    fn is_pinned(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.pinned.is_empty() || self.pinned.iter().any(|network| network.contains(&ip))
    }

    fn is_quiet(&self, now: Instant) -> bool {
        let enough = if now < self.learning_until {
            QUIET_WHEN_LEARNING
        } else {
            QUIET
        };
        self.last_heard
            .is_none_or(|heard| now.saturating_duration_since(heard) > enough)
    }

    fn proof(&self, ip: IpAddr, now: Instant) -> Proof {
        if now < self.learning_until || self.is_host(ip) {
            PROOF
        } else {
            PROOF_ELSEWHERE
        }
    }

    /// Notes a packet of a candidate and returns what has come of its stream.
    fn watch(&mut self, from: SocketAddr, header: &Header, now: Instant) -> Candidate {
        let slot = self.slot_for(from);
        let next = match self.candidates[slot] {
            Some(known) if known.from == from && known.ssrc == header.ssrc => known.follow(header, now),
            _ => Candidate::new(from, header, now),
        };
        self.candidates[slot] = Some(next);
        next
    }

    /// The slot of this candidate, else a free one, else the one not seen for the longest time.
    fn slot_for(&self, from: SocketAddr) -> usize {
        let own = self
            .candidates
            .iter()
            .position(|slot| slot.is_some_and(|known| known.from == from));
        own.unwrap_or_else(|| {
            let oldest = self
                .candidates
                .iter()
                .enumerate()
                .min_by_key(|(_, slot)| slot.map(|known| known.seen_at));
            oldest.map_or(0, |(index, _)| index)
        })
    }
}

impl Candidate {
    fn new(from: SocketAddr, header: &Header, now: Instant) -> Self {
        Self {
            from,
            ssrc: header.ssrc,
            sequence: header.sequence,
            seen: 1,
            packets: 1,
            first_at: now,
            seen_at: now,
        }
    }

    fn has(&self, proof: Proof) -> bool {
        self.packets >= proof.packets && self.seen_at.saturating_duration_since(self.first_at) >= proof.span
    }

    fn follow(self, header: &Header, now: Instant) -> Self {
        let ahead = header.sequence.wrapping_sub(self.sequence);
        let behind = self.sequence.wrapping_sub(header.sequence);
        let (sequence, seen) = if (1..=NEAR).contains(&ahead) {
            (header.sequence, self.seen << ahead | 1)
        } else if behind <= NEAR {
            (self.sequence, self.seen | 1 << behind)
        } else {
            return Self::new(self.from, header, now);
        };
        let is_copy = sequence == self.sequence && seen == self.seen;
        Self {
            sequence,
            seen,
            packets: self.packets.saturating_add(u8::from(!is_copy)),
            seen_at: now,
            ..self
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Scene {
        latch: Latch,
        start: Instant,
        now: Duration,
    }

    impl Scene {
        fn new(pinned: &[&str]) -> Self {
            let start = crate::time::monotonic();
            let pinned = pinned.iter().map(|network| network.parse().expect("network")).collect();
            let signalled = Some("10.0.0.5:4000".parse().expect("address"));
            Self {
                latch: Latch::new(signalled, pinned, start),
                start,
                now: Duration::ZERO,
            }
        }

        fn send(&mut self, from: &str, ssrc: u32, sequence: u16) -> bool {
            let header = Header {
                ssrc,
                sequence,
                ..Header::default()
            };
            self.latch
                .admit(from.parse().expect("address"), &header, self.start + self.now)
        }

        /// Packets 20 ms apart; how many were admitted.
        fn send_row(&mut self, from: &str, ssrc: u32, sequences: impl IntoIterator<Item = u16>) -> usize {
            sequences
                .into_iter()
                .filter(|&sequence| {
                    self.now += Duration::from_millis(20);
                    self.send(from, ssrc, sequence)
                })
                .count()
        }

        fn current(&self) -> String {
            self.latch.current().expect("known").to_string()
        }
    }

    const SIGNALLED: &str = "10.0.0.5:4000";
    const NAT: &str = "203.0.113.5:61000";
    const STRANGER: &str = "198.51.100.66:6666";

    #[test]
    fn the_signalled_address_is_heard_at_once_and_locks() {
        let mut scene = Scene::new(&[]);
        assert!(scene.send(SIGNALLED, 1, 0));
        for n in 1..200 {
            scene.now += Duration::from_millis(20);
            assert!(scene.send(SIGNALLED, 1, n));
            assert!(!scene.send(STRANGER, 9, n), "packet {n}");
        }
        assert_eq!(scene.current(), SIGNALLED);
    }

    #[test]
    fn a_caller_behind_a_nat_is_learned_after_five_packets() {
        let mut scene = Scene::new(&[]);
        assert_eq!(scene.send_row(NAT, 1, 0..4), 0);
        assert_eq!(scene.current(), SIGNALLED);
        assert_eq!(scene.send_row(NAT, 1, 4..10), 6);
        assert_eq!((scene.current().as_str(), scene.latch.changes()), (NAT, 1));
    }

    /// Found by random networks: with jitter of more than a packet time, five packets in their right order hardly ever came
    /// in a row, and a caller behind a NAT was not heard for seconds.
    #[test]
    fn a_caller_behind_a_nat_is_learned_although_packets_are_swapped_lost_and_doubled() {
        let mut scene = Scene::new(&[]);
        assert_eq!(scene.send_row(NAT, 1, [3, 1, 1, 2, 3, 8]), 0);
        assert_eq!(scene.send_row(NAT, 1, [6]), 1);
        assert_eq!(scene.current(), NAT);
    }

    #[test]
    fn a_burst_proves_nothing() {
        for (quiet, packets) in [(Duration::ZERO, 16), (Duration::from_secs(8), 64)] {
            let mut scene = Scene::new(&[]);
            scene.now += quiet;
            for sequence in 0..packets {
                scene.now += Duration::from_micros(10);
                assert!(!scene.send(STRANGER, 9, sequence));
            }
            assert_eq!(scene.current(), SIGNALLED);
        }
    }

    /// Whoever came first while the caller was silent, on hold or not there yet, does not keep the audio.
    #[test]
    fn the_signalled_address_takes_its_place_back() {
        let mut scene = Scene::new(&[]);
        assert!(scene.send_row(STRANGER, 9, 0..10) > 0);
        assert_eq!(scene.current(), STRANGER);
        for sequence in 0..5 {
            scene.send_row(STRANGER, 9, 10 + sequence..11 + sequence);
            scene.send_row(SIGNALLED, 1, sequence..sequence + 1);
        }
        assert_eq!(scene.current(), SIGNALLED);
        for sequence in 5..100 {
            assert_eq!(scene.send_row(STRANGER, 9, 10 + sequence..11 + sequence), 0);
            assert_eq!(scene.send_row(SIGNALLED, 1, sequence..sequence + 1), 1);
        }
    }

    #[test]
    fn packets_out_of_sequence_or_of_changing_ssrc_prove_nothing() {
        let mut scene = Scene::new(&[]);
        for n in 0..200u16 {
            assert!(!scene.send(STRANGER, 1, n.wrapping_mul(777)));
            assert!(!scene.send("198.51.100.66:7777", u32::from(n), n));
            assert!(
                !scene.send("198.51.100.66:8888", 1, 5),
                "the same packet again and again"
            );
        }
        assert_eq!(scene.current(), SIGNALLED);
    }

    #[test]
    fn a_stranger_in_between_does_not_keep_the_caller_from_being_learned() {
        let mut scene = Scene::new(&[]);
        for n in 0..6 {
            scene.send(STRANGER, u32::from(n), n * 1_000);
            scene.send_row(NAT, 1, n..n + 1);
        }
        assert_eq!(scene.current(), NAT);
    }

    #[test]
    fn a_changed_port_in_mid_call_is_followed_after_silence() {
        let mut scene = Scene::new(&[]);
        scene.send_row(SIGNALLED, 1, 0..500);
        let rebound = "10.0.0.5:4999";
        assert_eq!(
            scene.send_row(rebound, 1, 500..600),
            0,
            "not before two seconds of silence"
        );
        assert!(scene.send_row(rebound, 1, 600..610) > 0);
        assert_eq!(scene.current(), rebound);
    }

    #[test]
    fn another_host_in_mid_call_needs_half_a_second_of_proof() {
        let mut scene = Scene::new(&[]);
        scene.send_row(SIGNALLED, 1, 0..500);
        scene.now += Duration::from_secs(3);
        assert_eq!(scene.send_row(STRANGER, 9, 0..24), 0);
        assert_eq!(scene.send_row(STRANGER, 9, 24..25), 1);
    }

    #[test]
    fn a_reinvite_to_another_address_is_followed_at_once() {
        let mut scene = Scene::new(&[]);
        scene.send_row(SIGNALLED, 1, 0..500);
        scene
            .latch
            .retarget(Some(NAT.parse().expect("address")), scene.start + scene.now);
        assert_eq!(scene.current(), NAT);
        assert!(!scene.send(SIGNALLED, 1, 500), "the old one is a stranger now");
    }

    #[test]
    fn a_reinvite_to_the_same_address_keeps_what_was_learned() {
        let mut scene = Scene::new(&[]);
        scene.send_row(NAT, 1, 0..20);
        scene
            .latch
            .retarget(Some(SIGNALLED.parse().expect("address")), scene.start + scene.now);
        assert_eq!(scene.current(), NAT);
    }

    #[test]
    fn pinned_networks_shut_everybody_else_out() {
        let mut scene = Scene::new(&["203.0.113.0/24"]);
        assert_eq!(scene.send_row(STRANGER, 9, 0..100), 0);
        assert!(!scene.send(SIGNALLED, 1, 0));
        assert!(scene.send_row(NAT, 1, 0..100) > 0);
    }
}
