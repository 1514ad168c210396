//! A network between two hosts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::RngExt as _;
use rand::rngs::StdRng;

/// What the network does to datagrams.
#[derive(Clone, Copy, Debug)]
pub(super) struct Weather {
    /// Share of SIP messages that are lost.
    pub(super) sip_loss: f64,
    /// Share of RTP and RTCP packets that are lost.
    pub(super) media_loss: f64,
    pub(super) duplication: f64,
    pub(super) delay: Duration,
    /// More than the distance of two packets, so it reorders them as well.
    pub(super) jitter: Duration,
}

#[derive(Debug)]
pub(super) struct Datagram {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) bytes: Vec<u8>,
}

/// Datagrams on their way.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) weather: Weather,
    rng: StdRng,
    /// By arrival, then by number.
    air: BTreeMap<(Instant, u64), Datagram>,
    launched: u64,
}

impl Network {
    pub(super) fn new(weather: Weather, rng: StdRng) -> Self {
        Self {
            weather,
            rng,
            air: BTreeMap::new(),
            launched: 0,
        }
    }

    pub(super) fn send(&mut self, now: Instant, loss: f64, datagram: &Datagram) {
        let copies = 1 + u32::from(self.rng.random_bool(self.weather.duplication));
        for _ in 0..copies {
            let jitter = self.weather.jitter.mul_f64(self.rng.random());
            if !self.rng.random_bool(loss) {
                self.launched += 1;
                let copy = Datagram {
                    bytes: datagram.bytes.clone(),
                    ..*datagram
                };
                self.air
                    .insert((now + self.weather.delay + jitter, self.launched), copy);
            }
        }
    }

    pub(super) fn next_arrival(&self) -> Option<Instant> {
        self.air.keys().next().map(|(arrival, _)| *arrival)
    }

    pub(super) fn take(&mut self, now: Instant) -> Option<Datagram> {
        let next = self.air.first_entry().filter(|entry| entry.key().0 <= now)?;
        Some(next.remove())
    }
}
