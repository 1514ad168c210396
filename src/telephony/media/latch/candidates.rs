//! Who may become the source of media, and what has come of each.
//!
//! Eight are watched, which bounds memory and work however many send. So that the caller has a place among them:
//!
//! - The address of the SDP, and one that was displaced, have each a place of their own. A stranger takes none from a host
//!   that is known.
//! - Of each other host one port is watched (of IPv6 one of a network of 64 bits, which is what one host gets). Another port
//!   takes its place once it has sent nothing for [`STALE`], or no second packet of a stream within [`FIRST_STEPS`]: so one
//!   that sends in between keeps nobody from being learned.
//! - When all places are taken, a newcomer takes that of such a stranger, the oldest one first. Whoever is in the middle of a
//!   stream keeps its place, and the newcomer waits.
//!
//! Whoever can send from more than eight hosts at once can keep a caller behind a NAT from being learned; never one who sends
//! from where the SDP says.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::telephony::rtp::Header;

const PLACES: usize = 8;
/// Ten packet times: longer than jitter, shorter than anybody waits to be heard.
const STALE: Duration = Duration::from_millis(200);
/// Three packet times: the second packet of a stream has come by then, also when one was lost.
const FIRST_STEPS: Duration = Duration::from_millis(60);
/// Sequence numbers this near to the highest one belong to the same stream: a third of a second. Jitter of more than a
/// packet time reorders all the time.
const NEAR: u16 = 16;

/// What somebody must have sent to be believed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Proof {
    pub(super) packets: u8,
    /// From the first to the last of them.
    pub(super) span: Duration,
}

/// What somebody is to the call; see the table of [`super`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Standing {
    Home,
    Near,
    Far,
}

/// The ones that are watched.
#[derive(Clone, Debug, Default)]
pub(super) struct Candidates {
    places: [Option<Candidate>; PLACES],
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    from: SocketAddr,
    standing: Standing,
    ssrc: u32,
    /// The highest so far.
    sequence: u16,
    /// Which of the numbers up to it were seen; bit 0 is the highest.
    seen: u32,
    /// Packets of the stream, copies not counted.
    packets: u8,
    /// When it got its place.
    placed_at: Instant,
    first_at: Instant,
    seen_at: Instant,
}

impl Candidates {
    /// Notes a packet, and tells whether its stream is proof enough.
    pub(super) fn watch(
        &mut self,
        from: SocketAddr,
        standing: Standing,
        header: &Header,
        now: Instant,
        proof: Proof,
    ) -> bool {
        let Some(place) = self.place_for(from, standing, now) else {
            return false;
        };
        let next = match self.places[place] {
            Some(known) if known.from == from && known.ssrc == header.ssrc => known.follow(header, now),
            Some(known) if known.from == from => known.begin_again(header, now),
            _ => Candidate::new(from, standing, header, now),
        };
        self.places[place] = Some(next);
        next.has(proof)
    }

    /// Forgets those of a kind, and what they have sent.
    pub(super) fn forget(&mut self, is_forgotten: impl Fn(Standing) -> bool) {
        for place in &mut self.places {
            place.take_if(|known| is_forgotten(known.standing));
        }
    }

    /// The place of this candidate, or the one that it may take.
    fn place_for(&self, from: SocketAddr, standing: Standing, now: Instant) -> Option<usize> {
        let position = |wanted: &dyn Fn(&Candidate) -> bool| {
            let is_wanted = |place: &Option<Candidate>| place.as_ref().is_some_and(wanted);
            self.places.iter().position(is_wanted)
        };
        if let Some(own) = position(&|known| known.from == from) {
            return Some(own);
        }
        if let Some(shared) = position(&|known| known.shares_place(from, standing)) {
            return Some(shared).filter(|&place| self.places[place].is_none_or(|known| known.may_go(now)));
        }
        self.places
            .iter()
            .position(Option::is_none)
            .or_else(|| self.oldest(|known| known.may_go(now)))
            .or_else(|| self.oldest(|_| standing != Standing::Far))
    }

    /// The stranger who was not seen for the longest time.
    fn oldest(&self, may_go: impl Fn(&Candidate) -> bool) -> Option<usize> {
        let strangers = self.places.iter().enumerate().filter_map(|(index, place)| {
            let known = place.as_ref()?;
            (known.standing == Standing::Far && may_go(known)).then_some((known.seen_at, index))
        });
        strangers.min().map(|(_, index)| index)
    }
}

impl Candidate {
    fn new(from: SocketAddr, standing: Standing, header: &Header, now: Instant) -> Self {
        Self {
            from,
            standing,
            ssrc: header.ssrc,
            sequence: header.sequence,
            seen: 1,
            packets: 1,
            placed_at: now,
            first_at: now,
            seen_at: now,
        }
    }

    fn has(&self, proof: Proof) -> bool {
        self.packets >= proof.packets && self.seen_at.saturating_duration_since(self.first_at) >= proof.span
    }

    /// Another stream from the same port; who begins again and again gains no time.
    fn begin_again(self, header: &Header, now: Instant) -> Self {
        Self {
            placed_at: self.placed_at,
            ..Self::new(self.from, self.standing, header, now)
        }
    }

    fn may_go(&self, now: Instant) -> bool {
        let is_over = |since: Instant, span| now.saturating_duration_since(since) > span;
        (self.packets < 2 && is_over(self.placed_at, FIRST_STEPS)) || is_over(self.seen_at, STALE)
    }

    /// Whether there is one place for this candidate and somebody else.
    fn shares_place(&self, from: SocketAddr, standing: Standing) -> bool {
        standing != Standing::Home && self.standing == standing && network(self.from.ip()) == network(from.ip())
    }

    fn follow(self, header: &Header, now: Instant) -> Self {
        let ahead = header.sequence.wrapping_sub(self.sequence);
        let behind = self.sequence.wrapping_sub(header.sequence);
        let (sequence, seen) = if (1..=NEAR).contains(&ahead) {
            (header.sequence, self.seen << ahead | 1)
        } else if behind <= NEAR {
            (self.sequence, self.seen | 1 << behind)
        } else {
            return self.begin_again(header, now);
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

/// What one host has: an IPv4 address, or an IPv6 network of 64 bits.
fn network(ip: IpAddr) -> u64 {
    match ip.to_canonical() {
        IpAddr::V4(v4) => u64::from(v4.to_bits()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64) as u64,
    }
}
