//! The whole SIP endpoint: a row of steps, messages as text with holes for what only the endpoint can know.
//!
//! ```text
//! U INVITE sip:100@198.51.100.1 SIP/2.0        a message over UDP from a trunk, until the next step
//! ...
//! \x01 C1                                      a command for the newest call
//! \x01 W7                                      time passes
//! ```
//!
//! Steps are apart by the byte 1; the first byte of a step says what it is. In messages `\n` is a line end, and `%t`, `%b`,
//! `%i`, `%f`, `%c` are the tag, branch, Call-ID, From value and CSeq number that the endpoint sent last; `%A` is a right
//! answer to its last challenge.
#![no_main]

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use passline::secret::Secret;
use passline::telephony::sip::Credentials;
use passline::telephony::sip::digest::answer;
use passline::telephony::sip::endpoint::{
    CallEvent, CallKey, Command, Endpoint, EndpointConfig, Input, LocalAddress, OutgoingInvite, Output, ReinviteId,
};
use passline::telephony::sip::message::{CSeq, Message, Method, Name, NameAddr, Start, Via, validate};
use passline::telephony::sip::transport::{Channel, Flow, Transport};
use passline::telephony::sip::trunk::{Trunks, parse};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const CARRIER: &str = "networks = [\"192.0.2.0/24\", \"2001:db8:2::/64\"]\nmax_calls = 3\n[[called]]\nnumber = \"100\"\ndialplan = \"reset\"\n";
const GUARDED: &str = "networks = [\"203.0.113.0/24\"]\nmax_calls = 2\n[digest]\nrealm = \"passline\"\n[[digest.users]]\nname = \"alice\"\npassword = \"wonderland\"\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
const OURS: ([u8; 4], u16) = ([198, 51, 100, 1], 5060);
/// Bytes of answers that transactions keep.
const MAX_KEPT: usize = 256 * 1024;
/// Enough for every timer that there is, a far end that rings included.
const LONG: Duration = Duration::from_secs(400);

struct Lab {
    endpoint: Endpoint,
    now: Instant,
    /// Calls that are not over.
    live: HashSet<CallKey>,
    over: HashSet<CallKey>,
    newest: Option<CallKey>,
    reinvite: Option<ReinviteId>,
    holes: HashMap<u8, String>,
    /// The last challenge and the URI that it was for.
    challenge: Option<String>,
    sent: usize,
}

fn flow(transport: Transport, from: u8) -> Flow {
    let remote: SocketAddr = match from {
        b'G' => "203.0.113.5:5060",
        b'S' => "198.51.100.66:5060",
        b'6' => "[2001:db8:2::9]:5060",
        _ => "192.0.2.9:5060",
    }
    .parse()
    .expect("address");
    let local = if remote.is_ipv6() {
        "[2001:db8:1::1]:5060".parse().expect("address")
    } else {
        SocketAddr::from(OURS)
    };
    let channel = if transport == Transport::Tcp {
        Channel(7)
    } else {
        Channel(1)
    };
    Flow {
        transport,
        channel,
        local,
        remote,
    }
}

impl Lab {
    fn new() -> Self {
        let trunks = [("carrier", CARRIER), ("guarded", GUARDED)];
        let trunks = trunks.map(|(name, text)| parse(name, text).expect("a trunk")).to_vec();
        let local = |transport, channel| LocalAddress {
            transport,
            address: SocketAddr::from(OURS),
            channel,
        };
        let config = EndpointConfig {
            max_calls: 4,
            max_transactions: 16,
            max_transaction_bytes: MAX_KEPT,
            local: vec![local(Transport::Udp, Channel(1)), local(Transport::Tcp, Channel::ANY)],
            ..EndpointConfig::default()
        };
        let now = passline::time::monotonic();
        Self {
            endpoint: Endpoint::new(
                config,
                Trunks::new(trunks).expect("no clash"),
                StdRng::seed_from_u64(7),
                now,
            ),
            now,
            live: HashSet::new(),
            over: HashSet::new(),
            newest: None,
            reinvite: None,
            holes: HashMap::new(),
            challenge: None,
            sent: 0,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        self.endpoint.handle(self.now, input);
        self.drain();
        let stats = self.endpoint.stats();
        assert!(stats.calls <= 4, "a bounded table of calls");
        // Server transactions are bounded by the configuration, client transactions by the calls.
        assert!(stats.transactions <= 16 + 64, "{} transactions", stats.transactions);
        assert!(stats.transaction_bytes <= MAX_KEPT, "{} bytes", stats.transaction_bytes);
        assert!(stats.timers <= 512, "{} timers", stats.timers);
    }

    fn drain(&mut self) {
        self.sent = 0;
        let mut outputs = 0;
        while let Some(output) = self.endpoint.poll_output() {
            outputs += 1;
            assert!(outputs <= 256, "one input leads to a bounded number of outputs");
            match output {
                Output::Send { bytes, .. } => self.look_at(&bytes),
                Output::Close(_) | Output::Proved { .. } => {}
                Output::Incoming(info) => {
                    assert!(self.live.insert(info.key), "a call is offered once");
                    self.newest = Some(info.key);
                    let _ = format!("{info:?}");
                }
                Output::Event(key, event) => {
                    assert!(!self.over.contains(&key), "{event:?} after the end of a call");
                    assert!(self.live.contains(&key), "{event:?} of an unknown call");
                    if let CallEvent::Reinvite { id, .. } = event {
                        self.reinvite = Some(id);
                    }
                    if event.is_last() {
                        self.live.remove(&key);
                        self.over.insert(key);
                    }
                }
            }
        }
    }

    /// What we send is SIP, and what the far end would remember of it fills the holes of later messages.
    fn look_at(&mut self, bytes: &[u8]) {
        self.sent += 1;
        let message = Message::parse(bytes).expect("we send SIP");
        let length = message.field(Name::ContentLength).and_then(|value| value.parse().ok());
        assert_eq!(length, Some(message.body().len()), "an honest length");
        let mut fill = |hole, value: Option<&str>| {
            if let Some(value) = value {
                self.holes.insert(hole, value.to_owned());
            }
        };
        match message.start() {
            Start::Request { .. } => {
                fill(
                    b'b',
                    message
                        .field(Name::Via)
                        .and_then(Via::first_of)
                        .and_then(|via| via.branch()),
                );
                fill(b'i', message.field(Name::CallId));
                fill(b'f', message.field(Name::From));
                let number = message.field(Name::CSeq).and_then(|value| CSeq::parse(value).ok());
                fill(b'c', number.map(|cseq| cseq.number.to_string()).as_deref());
                if let Err((_, rejection)) = validate(message) {
                    panic!(
                        "a request of ours would be refused: {rejection:?}: {}",
                        String::from_utf8_lossy(bytes)
                    );
                }
            }
            Start::Response { .. } => {
                let to = message.field(Name::To).and_then(|value| NameAddr::parse(value).ok());
                fill(b't', to.and_then(|to| to.tag()));
                let challenge = message.field(Name::WwwAuthenticate).map(str::to_owned);
                self.challenge = challenge.or(self.challenge.take());
            }
        }
    }

    /// `\n` to line ends, holes to what belongs there.
    fn fill(&self, text: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(text.len() + 64);
        let mut rest = text.iter().copied();
        while let Some(byte) = rest.next() {
            match byte {
                b'\n' => bytes.extend(b"\r\n"),
                b'%' => match rest.next() {
                    Some(b'A') => bytes.extend(self.credentials(text).unwrap_or_default().into_bytes()),
                    Some(hole) => match self.holes.get(&hole) {
                        Some(value) => bytes.extend(value.as_bytes()),
                        None => bytes.extend([byte, hole]),
                    },
                    None => bytes.push(byte),
                },
                byte => bytes.push(byte),
            }
        }
        bytes
    }

    fn credentials(&self, text: &[u8]) -> Option<String> {
        let line = std::str::from_utf8(text.split(|byte| *byte == b'\n').next()?).ok()?;
        let (method, rest) = line.split_once(' ')?;
        let uri = rest.split(' ').next()?;
        let alice = Credentials {
            username: "alice".to_owned(),
            password: Secret::new("wonderland".to_owned()),
        };
        answer(
            self.challenge.iter().map(String::as_str),
            &alice,
            &Method::from_token(method),
            uri,
            "0a4f113b",
        )
    }

    fn command(&mut self, bytes: &[u8]) {
        let [kind, value, ..] = *bytes else { return };
        let sdp = "v=0\r\n".to_owned();
        let command = match (kind, self.reinvite) {
            (b'R', _) => Command::Ring,
            (b'A', _) => Command::Answer(sdp),
            (b'J', _) => Command::Reject {
                status: u16::from(value) * 4,
                retry_after: (value & 1 == 0).then_some(7),
            },
            (b'H', _) => Command::HangUp,
            (b'I', _) => Command::Info {
                content_type: "application/dtmf".to_owned(),
                body: Secret::new("1".to_owned()),
            },
            (b'N', _) => Command::Reinvite(sdp),
            (b'a', Some(id)) => Command::AnswerReinvite(id, sdp),
            (b'j', Some(id)) => Command::RejectReinvite(id, u16::from(value) * 4),
            _ => return,
        };
        // The oldest call still in progress, or the newest.
        let key = if value & 1 == 0 {
            self.newest
        } else {
            self.live.iter().min().copied()
        };
        if let Some(key) = key {
            self.input(Input::Command(key, command));
        }
    }

    fn call_out(&mut self, value: u8) {
        let invite = OutgoingInvite {
            target: "sip:bob@192.0.2.9".to_owned(),
            caller: "sip:passline@198.51.100.1".to_owned(),
            flow: flow(if value & 1 == 0 { Transport::Udp } else { Transport::Tcp }, b'U'),
            sdp: "v=0\r\n".to_owned(),
            credentials: (value & 2 == 0).then(|| Credentials {
                username: "u".to_owned(),
                password: Secret::new("p".to_owned()),
            }),
        };
        let key = self.endpoint.invite(self.now, invite);
        if let Some(key) = key {
            self.live.insert(key);
            self.newest = Some(key);
        }
        self.drain();
    }

    fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        let mut timeouts = 0;
        while let Some(deadline) = self.endpoint.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.input(Input::Timeout);
            timeouts += 1;
            assert!(timeouts < 10_000, "timers that bring one another about for ever");
        }
        self.now = end;
    }

    fn step(&mut self, step: &[u8]) {
        let Some((kind, rest)) = step.split_first() else { return };
        let value = rest.first().copied().unwrap_or_default();
        match kind {
            b'U' | b'G' | b'6' => {
                let bytes = self.fill(rest);
                self.input(Input::Received {
                    flow: flow(Transport::Udp, *kind),
                    bytes: &bytes,
                });
            }
            b'T' => {
                let bytes = self.fill(rest);
                self.input(Input::Received {
                    flow: flow(Transport::Tcp, b'U'),
                    bytes: &bytes,
                });
            }
            b'S' => {
                let before = self.endpoint.stats();
                let bytes = self.fill(rest);
                self.input(Input::Received {
                    flow: flow(Transport::Udp, b'S'),
                    bytes: &bytes,
                });
                let after = self.endpoint.stats();
                assert!(self.sent <= 1, "a stranger gets one answer at most");
                assert!(
                    after.calls <= before.calls && after.transactions <= before.transactions,
                    "and leaves nothing"
                );
            }
            b'F' => {
                let bytes = self.fill(rest);
                self.input(Input::Unframable {
                    flow: flow(Transport::Tcp, b'U'),
                    head: &bytes,
                });
            }
            b'X' => self.input(Input::Closed(flow(Transport::Tcp, b'U'))),
            b'Y' => self.input(Input::Unreachable(flow(Transport::Tcp, value).remote)),
            b'C' => self.command(rest),
            b'O' => self.call_out(value),
            b'H' => self.input(Input::HangUpAll),
            b'D' => self.input(Input::Drain),
            b'W' => self.pass(Duration::from_millis(1 << (value % 17))),
            _ => {}
        }
    }
}

fuzz_target!(|bytes: &[u8]| {
    let mut lab = Lab::new();
    bytes.split(|byte| *byte == 1).take(200).for_each(|step| lab.step(step));
    lab.input(Input::HangUpAll);
    lab.pass(LONG);
    let stats = lab.endpoint.stats();
    assert_eq!(
        (stats.calls, stats.transactions, stats.timers),
        (0, 0, 0),
        "everything comes to rest"
    );
    assert!(lab.live.is_empty(), "every call was told its end");
});
