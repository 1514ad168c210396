//! An endpoint, a clock that is moved by hand, and a far end that is typed in.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng as _;
use rand::rngs::StdRng;

use super::super::{CallEvent, CallInfo, CallKey, Command, Endpoint, EndpointConfig, Input, LocalAddress, Output};
use super::second_opinion::{check_emitted, objection_to_refusal};
use crate::telephony::sip::message::{Message, Method, Name, NameAddr};
use crate::telephony::sip::transport::{Channel, Flow, Transport};
use crate::telephony::sip::trunk::{Trunks, parse};
use crate::time::monotonic;

pub(super) const TRUNK: &str =
    "networks = [\"192.0.2.0/24\"]\nmax_calls = 3\n[[called]]\nnumber = \"100\"\ndialplan = \"reset\"\n";
pub(super) const PEER: &str = "192.0.2.9:5060";
pub(super) const OURS: &str = "198.51.100.1:5060";

/// One message that the endpoint sent.
pub(super) struct Sent {
    pub(super) flow: Flow,
    pub(super) message: Message,
    pub(super) bytes: Vec<u8>,
}

impl Sent {
    pub(super) fn status(&self) -> Option<u16> {
        self.message.status()
    }

    pub(super) fn field(&self, name: Name) -> &str {
        self.message.field(name).unwrap_or_default()
    }

    pub(super) fn to_tag(&self) -> String {
        NameAddr::parse(self.field(Name::To))
            .expect("To")
            .tag()
            .unwrap_or_default()
            .to_owned()
    }

    pub(super) fn method(&self) -> Option<&Method> {
        self.message.request().map(|(method, _)| method)
    }
}

pub(super) struct Lab {
    pub(super) endpoint: Endpoint,
    pub(super) now: Instant,
    pub(super) flow: Flow,
    pub(super) sent: Vec<Sent>,
    pub(super) incoming: Vec<CallInfo>,
    pub(super) events: Vec<(CallKey, CallEvent)>,
    pub(super) closed: usize,
    /// How often a password was proved.
    pub(super) proved: usize,
    /// Whether messages that were sent are checked by `rsip` too; the answers to torture messages copy what it cannot read.
    pub(super) checks: bool,
}

pub(super) fn flow_from(transport: Transport, remote: &str) -> Flow {
    let local: SocketAddr = OURS.parse().expect("address");
    Flow {
        transport,
        channel: Channel(1),
        local,
        remote: remote.parse().expect("address"),
    }
}

impl Lab {
    pub(super) fn new() -> Self {
        Self::with(&[("carrier", TRUNK)], Transport::Udp, EndpointConfig::default())
    }

    pub(super) fn over(transport: Transport) -> Self {
        Self::with(&[("carrier", TRUNK)], transport, EndpointConfig::default())
    }

    pub(super) fn with(trunks: &[(&str, &str)], transport: Transport, config: EndpointConfig) -> Self {
        let trunks = trunks
            .iter()
            .map(|(name, text)| parse(name, text).expect("trunk"))
            .collect();
        let start = monotonic();
        let local = |transport, channel| LocalAddress {
            transport,
            address: OURS.parse().expect("address"),
            channel,
        };
        let config = EndpointConfig {
            local: vec![local(Transport::Udp, Channel(1)), local(Transport::Tcp, Channel(0))],
            ..config
        };
        let trunks = Trunks::new(trunks).expect("no clash");
        Self {
            endpoint: Endpoint::new(config, trunks, StdRng::seed_from_u64(7), start),
            now: start,
            flow: flow_from(transport, PEER),
            sent: Vec::new(),
            incoming: Vec::new(),
            events: Vec::new(),
            closed: 0,
            proved: 0,
            checks: true,
        }
    }

    pub(super) fn input(&mut self, input: Input<'_>) {
        self.endpoint.handle(self.now, input);
        self.drain();
    }

    pub(super) fn drain(&mut self) {
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Send { flow, bytes } => {
                    if self.checks {
                        check_emitted(&bytes);
                    } else {
                        assert_eq!(objection_to_refusal(&bytes), None);
                    }
                    let message = Message::parse(&bytes).expect("we send SIP");
                    self.sent.push(Sent {
                        flow,
                        message,
                        bytes: bytes.to_vec(),
                    });
                }
                Output::Close(_) => self.closed += 1,
                Output::Proved { .. } => self.proved += 1,
                Output::Incoming(info) => self.incoming.push(*info),
                Output::Event(key, event) => self.events.push((key, event)),
            }
        }
    }

    /// Delivers `text` (with LF line ends) and returns what was sent in turn.
    pub(super) fn deliver(&mut self, text: &str) -> Vec<Sent> {
        let flow = self.flow;
        self.deliver_from(flow, text)
    }

    pub(super) fn deliver_from(&mut self, flow: Flow, text: &str) -> Vec<Sent> {
        let bytes = text.replace('\n', "\r\n").into_bytes();
        self.input(Input::Received { flow, bytes: &bytes });
        std::mem::take(&mut self.sent)
    }

    /// Delivers `text` and returns the one answer.
    pub(super) fn answer_to(&mut self, text: &str) -> Sent {
        let mut sent = self.deliver(text);
        assert_eq!(sent.len(), 1, "one answer");
        sent.remove(0)
    }

    /// Lets time pass, timer by timer; returns what was sent and after how many milliseconds.
    pub(super) fn pass(&mut self, span: Duration) -> Vec<(u64, Sent)> {
        let (begin, end) = (self.now, self.now + span);
        let mut sent = Vec::new();
        while let Some(deadline) = self.endpoint.next_deadline().filter(|deadline| *deadline <= end) {
            self.now = self.now.max(deadline);
            self.input(Input::Timeout);
            let elapsed = u64::try_from(self.now.duration_since(begin).as_millis()).expect("short");
            sent.extend(
                std::mem::take(&mut self.sent)
                    .into_iter()
                    .map(|message| (elapsed, message)),
            );
        }
        self.now = end;
        sent
    }

    pub(super) fn command(&mut self, key: CallKey, command: Command) -> Vec<Sent> {
        self.input(Input::Command(key, command));
        std::mem::take(&mut self.sent)
    }

    pub(super) fn last_event(&mut self) -> CallEvent {
        self.events.pop().expect("an event").1
    }

    /// INVITE, 200, ACK: an established call, and what the far end needs to go on.
    pub(super) fn established(&mut self) -> (CallKey, String) {
        self.deliver(&invite("1"));
        let key = self.incoming.pop().expect("a call").key;
        let ok = self
            .command(key, Command::Answer("v=0 ours\n".into()))
            .pop()
            .expect("200");
        let tag = ok.to_tag();
        self.deliver(&ack(&tag));
        assert_eq!(self.last_event(), CallEvent::Acknowledged { sdp: None });
        (key, tag)
    }

    /// Nothing is left once everything has had time to run out.
    pub(super) fn assert_empty(&mut self) {
        self.pass(Duration::from_secs(200));
        let stats = self.endpoint.stats();
        assert_eq!((stats.calls, stats.transactions, stats.timers), (0, 0, 0));
    }
}

pub(super) fn invite(branch: &str) -> String {
    request(
        "INVITE",
        branch,
        1,
        "",
        "Contact: <sip:alice@192.0.2.9>\nContent-Type: application/sdp\n",
        "v=0 theirs\n",
    )
}

pub(super) fn ack(tag: &str) -> String {
    request("ACK", "ack", 1, tag, "", "")
}

/// A request of the far end; `tag` is ours, empty outside a dialog.
pub(super) fn request(method: &str, branch: &str, cseq: u32, tag: &str, fields: &str, body: &str) -> String {
    let tag = if tag.is_empty() {
        String::new()
    } else {
        format!(";tag={tag}")
    };
    let length = body.len() + body.matches('\n').count();
    format!(
        "{method} sip:100@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{branch};rport\n\
         Max-Forwards: 70\nFrom: \"Alice\" <sip:alice@192.0.2.9>;tag=theirs\nTo: <sip:100@198.51.100.1>{tag}\n\
         Call-ID: call-1\nCSeq: {cseq} {method}\n{fields}Content-Length: {length}\n\n{body}"
    )
}
