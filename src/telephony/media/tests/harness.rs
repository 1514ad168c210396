//! One session under test, and a network in memory between two of them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::telephony::codec::{Clip, Codec};
use crate::telephony::media::{
    Command, MAX_PACKET_LEN, MediaEvent, Playlist, Port, Segment, Session, SessionConfig, Transmit,
};
use crate::telephony::rtp::{HEADER_LEN, Header, Packet};
use crate::telephony::sdp::{AgreedCodec, Direction, Negotiated, PayloadPair};

pub(super) const MS: Duration = Duration::from_millis(1);
pub(super) const REMOTE: &str = "192.0.2.9:30000";

pub(super) fn socket(text: &str) -> SocketAddr {
    text.parse().expect("address")
}

/// G.711 mu-law, telephone events, 20 ms, both ways, RTCP on ports of its own.
pub(super) fn agreed(remote: &str) -> Negotiated {
    let same = |number| PayloadPair {
        send: number,
        receive: number,
    };
    let remote = socket(remote);
    Negotiated {
        codecs: vec![
            AgreedCodec {
                codec: Codec::Pcmu,
                payload: same(0),
            },
            AgreedCodec {
                codec: Codec::Pcma,
                payload: same(8),
            },
        ],
        telephone_event: Some(same(101)),
        redundancy: Some(same(121)),
        remote_rtp: Some(remote),
        remote_rtcp: Some(SocketAddr::new(remote.ip(), remote.port() + 1)),
        rtcp_mux: false,
        direction: Direction::SendRecv,
        packet_time: 20 * MS,
    }
}

/// A clip that is loud and the same all over, so that its packets are easily told from silence.
pub(super) fn tone(duration: Duration) -> Segment {
    Segment::Clip(Clip::from_pcm(&vec![10_000; duration.as_millis() as usize * 8]))
}

pub(super) fn playlist(segments: Vec<Segment>) -> Playlist {
    Playlist {
        segments,
        ..Playlist::default()
    }
}

/// A packet that a session sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Seen {
    pub(super) to: SocketAddr,
    pub(super) header: Header,
    pub(super) payload: Vec<u8>,
}

impl Seen {
    pub(super) fn is_silent(&self) -> bool {
        self.payload.iter().all(|&byte| byte == Codec::Pcmu.silence())
    }
}

/// A session whose time and far end are made by hand.
pub(super) struct Bench {
    pub(super) session: Session,
    pub(super) now: Instant,
    sequence: u16,
    timestamp: u32,
    pub(super) ssrc: u32,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(SessionConfig::default(), agreed(REMOTE))
    }

    /// A session that draws other random numbers.
    pub(super) fn with_seed(seed: u64) -> Self {
        Self::seeded(SessionConfig::default(), agreed(REMOTE), seed)
    }

    pub(super) fn with(config: SessionConfig, agreed: Negotiated) -> Self {
        Self::seeded(config, agreed, 1)
    }

    fn seeded(config: SessionConfig, agreed: Negotiated, seed: u64) -> Self {
        let now = crate::time::monotonic();
        let session = Session::new(config, agreed, now, StdRng::seed_from_u64(seed));
        Self {
            session,
            now,
            sequence: 1_000,
            timestamp: 50_000,
            ssrc: 77,
        }
    }

    /// Runs the tick that is due, at its time.
    pub(super) fn tick(&mut self) -> Option<Seen> {
        self.now = self.now.max(self.session.deadline());
        self.tick_now()
    }

    /// Runs the tick that is due, now.
    pub(super) fn tick_now(&mut self) -> Option<Seen> {
        let mut buffer = [0; MAX_PACKET_LEN];
        let transmit = self.session.tick(self.now, &mut buffer)?;
        assert_eq!(transmit.port, Port::Rtp);
        let packet = Packet::parse(&buffer[..transmit.len]).expect("ours");
        Some(Seen {
            to: transmit.to,
            header: packet.header,
            payload: packet.payload.to_vec(),
        })
    }

    pub(super) fn ticks(&mut self, count: usize) -> Vec<Option<Seen>> {
        (0..count).map(|_| self.tick()).collect()
    }

    pub(super) fn command(&mut self, command: Command) {
        self.session.handle_command(command, self.now);
    }

    pub(super) fn events(&mut self) -> Vec<MediaEvent> {
        std::iter::from_fn(|| self.session.poll_event()).collect()
    }

    /// The far end sends the next packet of its stream.
    pub(super) fn receive(&mut self, payload_type: u8, payload: &[u8]) {
        self.receive_from(REMOTE, payload_type, payload);
    }

    pub(super) fn receive_from(&mut self, from: &str, payload_type: u8, payload: &[u8]) {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        let header = Header {
            marker: false,
            payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
        };
        self.receive_packet(from, &header, payload);
    }

    /// An event packet that began at another timestamp than that of the audio around it.
    pub(super) fn receive_event_at(&mut self, timestamp: u32, payload: &[u8]) {
        self.sequence = self.sequence.wrapping_add(1);
        let header = Header {
            marker: false,
            payload_type: 101,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
        };
        self.receive_packet(REMOTE, &header, payload);
    }

    pub(super) fn receive_packet(&mut self, from: &str, header: &Header, payload: &[u8]) {
        let mut buffer = [0; 2_048];
        header.write(&mut buffer).expect("room")[..payload.len()].copy_from_slice(payload);
        let datagram = &buffer[..HEADER_LEN + payload.len()];
        self.session
            .handle_datagram(Port::Rtp, socket(from), datagram, self.now);
    }

    /// The far end presses a key: one event packet.
    pub(super) fn receive_key(&mut self, code: u8) {
        self.receive(101, &[code, 10, 0, 160]);
    }
}

/// What a network does to packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    pub(super) loss: f64,
    pub(super) duplication: f64,
    pub(super) delay: Duration,
    pub(super) jitter: Duration,
}

/// A datagram on its way, the next to arrive first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flying {
    arrival: Instant,
    /// Of two that arrive at once, the one sent first.
    number: u64,
    to: usize,
    is_rtcp: bool,
    datagram: Vec<u8>,
}

/// Two sessions that talk to each other over a bad network.
pub(super) struct Pair {
    pub(super) ends: [End; 2],
    pub(super) now: Instant,
    flying: BinaryHeap<Reverse<Flying>>,
    launched: u64,
    weather: Weather,
    rng: StdRng,
}

pub(super) struct End {
    pub(super) session: Session,
    address: SocketAddr,
    pub(super) events: Vec<MediaEvent>,
}

impl Pair {
    pub(super) fn new(weather: Weather, seed: u64) -> Self {
        let now = crate::time::monotonic();
        let mut rng = StdRng::seed_from_u64(seed);
        let mut end = |own: &str, remote: &str| End {
            session: Session::new(
                SessionConfig::default(),
                agreed(remote),
                now + rng.random_range(0..20) * MS,
                StdRng::seed_from_u64(rng.random()),
            ),
            address: socket(own),
            events: Vec::new(),
        };
        let ends = [
            end("192.0.2.1:40000", "192.0.2.2:40000"),
            end("192.0.2.2:40000", "192.0.2.1:40000"),
        ];
        Self {
            ends,
            now,
            flying: BinaryHeap::new(),
            launched: 0,
            weather,
            rng,
        }
    }

    pub(super) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        loop {
            let arrival = self.flying.peek().map(|Reverse(flying)| flying.arrival);
            let deadline = self.ends.iter().map(|end| end.session.deadline()).min().expect("two");
            let next = arrival.map_or(deadline, |arrival| arrival.min(deadline));
            if next > end {
                break;
            }
            self.now = next;
            if arrival.is_some_and(|arrival| arrival <= deadline) {
                self.land();
            } else {
                self.tick();
            }
        }
        self.now = end;
    }

    fn land(&mut self) {
        let Some(Reverse(flying)) = self.flying.pop() else {
            return;
        };
        let Flying {
            arrival,
            to,
            is_rtcp,
            datagram,
            ..
        } = flying;
        let from = self.ends[1 - to].address;
        let port = if is_rtcp { Port::Rtcp } else { Port::Rtp };
        self.ends[to].session.handle_datagram(port, from, &datagram, arrival);
    }

    fn tick(&mut self) {
        for at in 0..2 {
            if self.ends[at].session.deadline() > self.now {
                continue;
            }
            let mut buffer = [0; MAX_PACKET_LEN];
            if let Some(transmit) = self.ends[at].session.tick(self.now, &mut buffer) {
                self.launch(1 - at, transmit, &buffer);
            }
            if let Some(transmit) = self.ends[at].session.poll_rtcp(self.now, &mut buffer) {
                self.launch(1 - at, transmit, &buffer);
            }
            while let Some(event) = self.ends[at].session.poll_event() {
                self.ends[at].events.push(event);
            }
        }
    }

    fn launch(&mut self, to: usize, transmit: Transmit, buffer: &[u8]) {
        let copies = 1 + usize::from(self.rng.random_bool(self.weather.duplication));
        for _ in 0..copies {
            if self.rng.random_bool(self.weather.loss) {
                continue;
            }
            let jitter = self.weather.jitter.mul_f64(self.rng.random_range(0.0..=1.0));
            let arrival = self.now + self.weather.delay + jitter;
            self.launched += 1;
            let datagram = buffer[..transmit.len].to_vec();
            let is_rtcp = transmit.port == Port::Rtcp;
            self.flying.push(Reverse(Flying {
                arrival,
                number: self.launched,
                to,
                is_rtcp,
                datagram,
            }));
        }
    }
}
