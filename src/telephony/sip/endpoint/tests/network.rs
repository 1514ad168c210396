//! Two endpoints and a network that loses, doubles and reorders: whatever happens, every call ends and nothing is left.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::super::{
    CallEvent, CallKey, Command, Endpoint, EndpointConfig, Input, LocalAddress, OutgoingInvite, Output,
};
use super::second_opinion::check_emitted;
use crate::telephony::sip::transport::{Channel, Flow, Transport};
use crate::telephony::sip::trunk::{Trunks, parse};
use crate::time::monotonic;

const ADDRESSES: [&str; 2] = ["192.0.2.1:5060", "192.0.2.2:5060"];

struct World {
    rng: StdRng,
    now: Instant,
    ends: [Endpoint; 2],
    /// Datagrams on their way: due time and a number to keep them apart; receiver, sender, bytes.
    air: BTreeMap<(Instant, u64), (usize, Flow, Vec<u8>)>,
    count: u64,
    loss: f64,
    started: usize,
    /// Calls known to each end that have not been told to be over.
    open: [Vec<CallKey>; 2],
    over: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let now = monotonic();
        let end = |index: usize, rng: &mut StdRng| {
            let text = "networks = [\"192.0.2.0/24\"]\ncalls_per_second = 1000\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
            let trunks = Trunks::new(vec![parse("peer", text).expect("trunk")]).expect("no clash");
            let address = ADDRESSES[index].parse().expect("address");
            let local = vec![LocalAddress {
                transport: Transport::Udp,
                address,
                channel: Channel(1),
            }];
            let config = EndpointConfig {
                local,
                ..EndpointConfig::default()
            };
            Endpoint::new(config, trunks, StdRng::seed_from_u64(rng.random()), now)
        };
        let ends = [end(0, &mut rng), end(1, &mut rng)];
        let loss = rng.random_range(0.0..0.4);
        Self {
            rng,
            now,
            ends,
            air: BTreeMap::new(),
            count: 0,
            loss,
            started: 0,
            open: [Vec::new(), Vec::new()],
            over: 0,
        }
    }

    fn start_call(&mut self, end: usize) {
        let flow = flow(end, 1 - end);
        let invite = OutgoingInvite {
            target: format!("sip:100@{}", ADDRESSES[1 - end]),
            caller: format!("sip:test@{}", ADDRESSES[end]),
            flow,
            sdp: "v=0".into(),
            credentials: None,
        };
        let key = self.ends[end].invite(self.now, invite).expect("room");
        self.open[end].push(key);
        self.started += 1;
        self.drain(end);
    }

    fn drain(&mut self, end: usize) {
        while let Some(output) = self.ends[end].poll_output() {
            match output {
                Output::Send { flow, bytes } => self.launch(end, flow, &bytes),
                Output::Close(_) | Output::Proved { .. } => panic!("no streams and no passwords here"),
                Output::Incoming(info) => {
                    self.open[end].push(info.key);
                    let command = match self.rng.random_range(0..6) {
                        0 => Command::Ring,
                        1 => Command::Reject {
                            status: 486,
                            retry_after: None,
                        },
                        2 => Command::HangUp,
                        _ => Command::Answer("v=0".into()),
                    };
                    self.command(end, info.key, command);
                }
                Output::Event(key, event) => self.on_event(end, key, &event),
            }
        }
    }

    fn on_event(&mut self, end: usize, key: CallKey, event: &CallEvent) {
        assert!(
            self.open[end].contains(&key),
            "no event before the start or after the end: {event:?}"
        );
        if event.is_last() {
            self.open[end].retain(|open| *open != key);
            self.over += 1;
        }
        if let CallEvent::Reinvite { id, .. } = event {
            let command = if self.rng.random() {
                Command::AnswerReinvite(*id, "v=0".into())
            } else {
                Command::RejectReinvite(*id, 488)
            };
            self.command(end, key, command);
        }
    }

    fn command(&mut self, end: usize, key: CallKey, command: Command) {
        self.ends[end].handle(self.now, Input::Command(key, command));
        self.drain(end);
    }

    fn launch(&mut self, from: usize, flow: Flow, bytes: &[u8]) {
        if self.started <= 2 {
            check_emitted(bytes);
        }
        let to = ADDRESSES
            .iter()
            .position(|address| flow.remote == address.parse::<SocketAddr>().expect("address"));
        let Some(to) = to else { panic!("a message to nobody") };
        let copies = if self.rng.random_bool(0.1) { 2 } else { 1 };
        for _ in 0..copies {
            if !self.rng.random_bool(self.loss) {
                let delay = Duration::from_millis(self.rng.random_range(1..300));
                self.count += 1;
                self.air.insert(
                    (self.now + delay, self.count),
                    (to, self::flow(to, from), bytes.to_vec()),
                );
            }
        }
    }

    /// One step: the next datagram or the next timer.
    fn step(&mut self) -> bool {
        let arrival = self.air.keys().next().map(|(when, _)| *when);
        let deadlines = [self.ends[0].next_deadline(), self.ends[1].next_deadline()];
        let Some(next) = deadlines.iter().copied().flatten().chain(arrival).min() else {
            return false;
        };
        self.now = self.now.max(next);
        if arrival == Some(next) {
            let (_, (to, flow, bytes)) = self.air.pop_first().expect("it has just been looked at");
            self.ends[to].handle(self.now, Input::Received { flow, bytes: &bytes });
            self.drain(to);
        } else {
            for end in 0..2 {
                self.ends[end].handle(self.now, Input::Timeout);
                self.drain(end);
            }
        }
        true
    }

    fn act(&mut self) {
        let end = self.rng.random_range(0..2);
        let Some(&key) = self.open[end].get(self.rng.random_range(0..8)) else {
            return;
        };
        let command = match self.rng.random_range(0..6) {
            0 | 1 => Command::HangUp,
            2 => Command::Reinvite("v=0".into()),
            3 => Command::Info {
                content_type: "application/dtmf".into(),
                body: crate::secret::Secret::new("1".into()),
            },
            _ => return,
        };
        self.command(end, key, command);
    }
}

fn flow(from: usize, to: usize) -> Flow {
    let address = |index: usize| ADDRESSES[index].parse().expect("address");
    Flow {
        transport: Transport::Udp,
        channel: Channel(1),
        local: address(from),
        remote: address(to),
    }
}

#[test]
fn every_call_ends_and_nothing_is_left() {
    for seed in 0..100 {
        let mut world = World::new(seed);
        for round in 0..400 {
            if round < 60 && round % 6 == 0 {
                let end = world.rng.random_range(0..2);
                world.start_call(end);
            }
            world.step();
            if world.rng.random_bool(0.1) {
                world.act();
            }
        }
        for end in 0..2 {
            world.ends[end].handle(world.now, Input::HangUpAll);
            world.drain(end);
        }
        let mut steps = 0;
        while world.step() {
            steps += 1;
            assert!(steps < 100_000, "seed {seed} does not come to rest");
        }
        assert!(world.open.iter().all(Vec::is_empty), "seed {seed}: {:?}", world.open);
        for end in &world.ends {
            let stats = end.stats();
            assert_eq!(
                (stats.calls, stats.transactions, stats.timers),
                (0, 0, 0),
                "seed {seed}"
            );
        }
    }
}
