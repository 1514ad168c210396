//! Two hosts, the calls between them, and time.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::caller::{Act, Caller, Way};
use super::line::Line;
use super::network::{Datagram, Network, Weather};
use crate::dialplan::{Flow, PromptId, PromptIndex, load};
use crate::telephony::media::{MAX_PACKET_LEN, Port, Session, Transmit};
use crate::telephony::sip::endpoint::{
    CallKey, Command, Endpoint, EndpointConfig, Input, LocalAddress, OutgoingInvite, Output,
};
use crate::telephony::sip::transport::{Channel, Flow as Path, Transport};
use crate::telephony::sip::trunk::{Trunks, parse};
use crate::time::monotonic;

const PHONE: &str = "192.0.2.1:5060";
const SERVER: &str = "192.0.2.2:5060";

const TRUNK: &str =
    "networks = [\"192.0.2.0/24\"]\ncalls_per_second = 1000\n[[called]]\nnumber = \"*\"\ndialplan = \"flow\"\n";

/// Identify, two questions, a menu. Patient between keys: an INFO may take its time.
static FLOW: LazyLock<Arc<Flow>> = LazyLock::new(|| {
    let text = include_str!("../../../dialplans/minimal.toml").replace(
        "[defaults]",
        "[defaults]\ninterdigit_timeout = \"30s\"\nnoinput_timeout = \"20s\"",
    );
    let words = text.split('"').skip(1).step_by(2).filter_map(PromptId::parse);
    let prompts = PromptIndex::new().with("en-US", words.collect::<Vec<_>>());
    match load("flow.toml", &text, &prompts) {
        Ok(loaded) => Arc::new(loaded.flow),
        Err(report) => panic!("{report}"),
    }
});

/// Which host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Host {
    Phone,
    Server,
}

pub(super) struct World {
    pub(super) now: Instant,
    rng: StdRng,
    network: Network,
    phone: Endpoint,
    server: Endpoint,
    pub(super) callers: Vec<Caller>,
    pub(super) lines: Vec<Line>,
    /// From then on the phone is cut off.
    vanishes_at: Option<Instant>,
}

impl World {
    pub(super) fn new(weather: Weather, vanishes_after: Option<Duration>, mut rng: StdRng) -> Self {
        let now = monotonic();
        let endpoint = |address: &str, rng: &mut StdRng| {
            let trunks = Trunks::new(vec![parse("peer", TRUNK).expect("trunk")]).expect("no clash");
            let local = vec![LocalAddress {
                transport: Transport::Udp,
                address: socket(address),
                channel: Channel(1),
            }];
            let config = EndpointConfig {
                local,
                ..EndpointConfig::default()
            };
            Endpoint::new(config, trunks, StdRng::seed_from_u64(rng.random()), now)
        };
        Self {
            now,
            phone: endpoint(PHONE, &mut rng),
            server: endpoint(SERVER, &mut rng),
            network: Network::new(weather, StdRng::seed_from_u64(rng.random())),
            rng,
            callers: Vec::new(),
            lines: Vec::new(),
            vanishes_at: vanishes_after.map(|after| now + after),
        }
    }

    /// Somebody dials.
    pub(super) fn dial(&mut self, is_behind_nat: bool, way: Way, acts: impl IntoIterator<Item = Act>) {
        let port = 20_000 + 100 * u16::try_from(self.callers.len()).expect("few");
        let address = SocketAddr::new(socket(PHONE).ip(), port);
        let acts = acts.into_iter().collect();
        let (mut caller, offer) = Caller::new(address, is_behind_nat, way, acts, self.now, &mut self.rng);
        let invite = OutgoingInvite {
            target: format!("sip:{}@{SERVER}", self.callers.len()),
            caller: format!("sip:test@{PHONE}"),
            flow: path(PHONE, SERVER),
            sdp: offer,
            credentials: None,
        };
        caller.key = Some(self.phone.invite(self.now, invite).expect("room"));
        self.callers.push(caller);
        self.drain(Host::Phone);
    }

    /// One step: what comes first of datagrams and deadlines. False when nothing is to come any more.
    pub(super) fn step(&mut self) -> bool {
        let ends = self.callers.iter().filter_map(Caller::next_deadline);
        let ends = ends.chain(self.lines.iter().filter_map(Line::next_deadline));
        let sip = [self.phone.next_deadline(), self.server.next_deadline()];
        let deadlines = ends.chain(sip.into_iter().flatten());
        let Some(next) = deadlines.chain(self.network.next_arrival()).min() else {
            return false;
        };
        self.now = self.now.max(next);
        while let Some(datagram) = self.network.take(self.now) {
            self.deliver(&datagram);
        }
        for host in [Host::Phone, Host::Server] {
            if self.endpoint(host).next_deadline().is_some_and(|due| due <= self.now) {
                let now = self.now;
                self.endpoint(host).handle(now, Input::Timeout);
                self.drain(host);
            }
        }
        for index in 0..self.callers.len() {
            self.run_caller(index);
        }
        for index in 0..self.lines.len() {
            self.run_line(index);
        }
        true
    }

    /// How many things are left behind: calls, transactions, timers of both SIP sides.
    pub(super) fn left_behind(&self) -> [usize; 6] {
        let (phone, server) = (self.phone.stats(), self.server.stats());
        [
            phone.calls,
            phone.transactions,
            phone.timers,
            server.calls,
            server.transactions,
            server.timers,
        ]
    }

    fn endpoint(&mut self, host: Host) -> &mut Endpoint {
        match host {
            Host::Phone => &mut self.phone,
            Host::Server => &mut self.server,
        }
    }

    fn run_caller(&mut self, index: usize) {
        let caller = &mut self.callers[index];
        if caller.next_deadline().is_none_or(|due| due > self.now) {
            return;
        }
        let from = caller.seen_as;
        let sent = caller.media.as_mut().map(|media| tick(media, self.now, from));
        let is_answered = self.phone.stats().unanswered == 0;
        let command = caller.run(self.now, is_answered);
        let key = caller.key;
        self.launch(sent.unwrap_or_default());
        if let Some((key, command)) = key.zip(command) {
            self.command(Host::Phone, key, command);
        }
    }

    fn run_line(&mut self, index: usize) {
        let line = &mut self.lines[index];
        let from = line.address;
        let sent = line.media.as_mut().map(|media| tick(media, self.now, from));
        let commands = line.run(self.now);
        let key = line.key;
        self.launch(sent.unwrap_or_default());
        for command in commands {
            self.command(Host::Server, key, command);
        }
    }

    fn command(&mut self, host: Host, key: CallKey, command: Command) {
        let now = self.now;
        self.endpoint(host).handle(now, Input::Command(key, command));
        self.drain(host);
    }

    fn drain(&mut self, host: Host) {
        while let Some(output) = self.endpoint(host).poll_output() {
            match output {
                Output::Send { flow, bytes } => {
                    let loss = self.network.weather.sip_loss;
                    let datagram = Datagram {
                        from: flow.local,
                        to: flow.remote,
                        bytes: bytes.to_vec(),
                    };
                    self.send(loss, &datagram);
                }
                Output::Incoming(info) => {
                    assert_eq!(host, Host::Server, "nobody calls the phone");
                    let port = 30_000 + 100 * u16::try_from(self.lines.len()).expect("few");
                    let address = SocketAddr::new(socket(SERVER).ip(), port);
                    let mut line = Line::new(*info, address, Arc::clone(&FLOW), &mut self.rng);
                    let (key, commands) = (line.key, line.pick_up());
                    self.lines.push(line);
                    for command in commands {
                        self.command(host, key, command);
                    }
                }
                Output::Event(key, event) => {
                    if let Some(caller) = self.callers.iter_mut().find(|caller| caller.key == Some(key)) {
                        caller.signal(self.now, event);
                    } else if let Some(line) = self.lines.iter_mut().find(|line| line.key == key) {
                        for command in line.signal(self.now, event) {
                            self.command(host, key, command);
                        }
                    }
                }
                Output::Close(_) => panic!("no streams here"),
                Output::Proved { .. } => panic!("nobody asks for a password here"),
            }
        }
    }

    fn launch(&mut self, datagrams: Vec<Datagram>) {
        let loss = self.network.weather.media_loss;
        datagrams.iter().for_each(|datagram| self.send(loss, datagram));
    }

    /// One of the two is always the phone.
    fn send(&mut self, loss: f64, datagram: &Datagram) {
        let is_cut = self.vanishes_at.is_some_and(|at| self.now >= at);
        self.network.send(self.now, if is_cut { 1.0 } else { loss }, datagram);
    }

    fn deliver(&mut self, datagram: &Datagram) {
        for (host, address, peer) in [(Host::Phone, PHONE, SERVER), (Host::Server, SERVER, PHONE)] {
            if datagram.to == socket(address) {
                let now = self.now;
                let input = Input::Received {
                    flow: path(address, peer),
                    bytes: &datagram.bytes,
                };
                self.endpoint(host).handle(now, input);
                return self.drain(host);
            }
        }
        let ends = self
            .callers
            .iter_mut()
            .map(|caller| (caller.seen_as, &mut caller.media));
        let mut ends = ends.chain(self.lines.iter_mut().map(|line| (line.address, &mut line.media)));
        let at = ends.find(|(address, _)| {
            address.ip() == datagram.to.ip()
                && (0..2).contains(&(i32::from(datagram.to.port()) - i32::from(address.port())))
        });
        // What goes to a call that is over, or to the inside of a NAT, is lost.
        if let Some((address, Some(media))) = at {
            let port = if datagram.to == address { Port::Rtp } else { Port::Rtcp };
            media.handle_datagram(port, datagram.from, &datagram.bytes, self.now);
        }
    }
}

/// What a session at `from` sends, if its time has come.
fn tick(media: &mut Session, now: Instant, from: SocketAddr) -> Vec<Datagram> {
    if media.deadline() > now {
        return Vec::new();
    }
    let mut sent = Vec::new();
    let mut buffer = [0; MAX_PACKET_LEN];
    let mut note = |transmit: Option<Transmit>, buffer: &[u8]| {
        let Some(Transmit { port, to, len }) = transmit else {
            return;
        };
        let above = u16::from(port == Port::Rtcp);
        sent.push(Datagram {
            from: SocketAddr::new(from.ip(), from.port() + above),
            to,
            bytes: buffer[..len].to_vec(),
        });
    };
    note(media.tick(now, &mut buffer), &buffer);
    note(media.poll_rtcp(now, &mut buffer), &buffer);
    sent
}

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("address")
}

fn path(from: &str, to: &str) -> Path {
    Path {
        transport: Transport::Udp,
        channel: Channel(1),
        local: socket(from),
        remote: socket(to),
    }
}
