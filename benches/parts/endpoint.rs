//! Whole calls through the SIP endpoint, at the pace of a busy machine: tables and timers hold what 1,000 calls a second
//! leave behind.

use std::time::{Duration, Instant};

use criterion::Criterion;
use passline::telephony::sip::endpoint::{CallKey, Command, Endpoint, EndpointConfig, Input, LocalAddress, Output};
use passline::telephony::sip::transport::{Channel, Flow, Transport};
use passline::telephony::sip::trunk::{Trunks, parse};
use passline::time::monotonic;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

use crate::messages::{OFFER, invite};

const TRUNK: &str = "networks = [\"192.0.2.0/24\"]\nmax_calls = 100000\ncalls_per_second = 100000\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";

struct Lab {
    endpoint: Endpoint,
    flow: Flow,
    now: Instant,
    calls: u64,
    /// Time spent in the endpoint.
    spent: Duration,
    /// What came out of it last.
    answer: Vec<u8>,
    incoming: Option<CallKey>,
}

impl Lab {
    fn new() -> Self {
        let flow = Flow {
            transport: Transport::Udp,
            channel: Channel(1),
            local: ([198, 51, 100, 1], 5060).into(),
            remote: ([192, 0, 2, 9], 5060).into(),
        };
        let config = EndpointConfig {
            local: vec![LocalAddress {
                transport: Transport::Udp,
                address: flow.local,
                channel: Channel(1),
            }],
            ..EndpointConfig::default()
        };
        let trunks = Trunks::new(vec![parse("carrier", TRUNK).expect("a trunk")]).expect("no clash");
        let now = monotonic();
        Self {
            endpoint: Endpoint::new(config, trunks, StdRng::seed_from_u64(7), now),
            flow,
            now,
            calls: 0,
            spent: Duration::ZERO,
            answer: Vec::new(),
            incoming: None,
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let begin = monotonic();
        self.endpoint.handle(self.now, input);
        let mut last = None;
        while let Some(output) = self.endpoint.poll_output() {
            match output {
                Output::Send { bytes, .. } => last = Some(bytes),
                Output::Incoming(info) => self.incoming = Some(info.key),
                Output::Event(..) | Output::Close(_) | Output::Proved { .. } => {}
            }
        }
        self.spent += monotonic().duration_since(begin);
        if let Some(bytes) = last {
            self.answer = bytes.to_vec();
        }
    }

    fn receive(&mut self, text: &str) {
        let flow = self.flow;
        self.input(Input::Received {
            flow,
            bytes: text.as_bytes(),
        });
    }

    fn answered(&self, status: &str) -> bool {
        self.answer.starts_with(status.as_bytes())
    }

    /// INVITE, 100, 180, 200, ACK, BYE, 200; a millisecond later the next.
    fn call(&mut self) {
        self.calls += 1;
        let number = self.calls.to_string();
        self.receive(&invite(&number));
        let key = self.incoming.take().expect("a call");
        self.input(Input::Command(key, Command::Ring));
        self.input(Input::Command(key, Command::Answer(OFFER.to_owned())));
        assert!(self.answered("SIP/2.0 200"), "answered");
        let text = String::from_utf8_lossy(&self.answer).into_owned();
        let to = text
            .lines()
            .find(|line| line.starts_with("To: "))
            .expect("To")
            .to_owned();
        self.receive(&in_dialog("ACK", &number, &to, 101));
        self.receive(&in_dialog("BYE", &number, &to, 102));
        assert!(self.answered("SIP/2.0 200"), "hung up");
        self.now += Duration::from_millis(1);
        while self
            .endpoint
            .next_deadline()
            .is_some_and(|deadline| deadline <= self.now)
        {
            self.input(Input::Timeout);
        }
    }
}

fn in_dialog(method: &str, call: &str, to: &str, cseq: u32) -> String {
    format!(
        "{method} sip:198.51.100.1:5060 SIP/2.0\r\nVia: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK{method}{call};rport\r\n\
         Max-Forwards: 68\r\nFrom: \"Alice Example\" <sip:+15550004711@carrier.example.com;user=phone>;tag=a1b2-{call}\r\n\
         {to}\r\nCall-ID: {call}-8f3c2a@192.0.2.9\r\nCSeq: {cseq} {method}\r\nContent-Length: 0\r\n\r\n"
    )
}

pub(crate) fn all(criterion: &mut Criterion) {
    let mut lab = Lab::new();
    // Until as many transactions end as begin: the longest stay 32 s.
    (0..33_000).for_each(|_| lab.call());
    criterion.bench_function("endpoint/call from INVITE to BYE", |bencher| {
        bencher.iter_custom(|iterations| {
            lab.spent = Duration::ZERO;
            (0..iterations).for_each(|_| lab.call());
            lab.spent
        });
    });
    // Most of them find the budget of their source used up.
    let options = in_dialog("OPTIONS", "s", "To: <sip:100@198.51.100.1>", 1);
    criterion.bench_function("endpoint/OPTIONS of a stranger, 5,000 a second", |bencher| {
        bencher.iter_custom(|iterations| {
            lab.spent = Duration::ZERO;
            lab.flow.remote = ([203, 0, 113, 66], 5060).into();
            for _ in 0..iterations {
                lab.now += Duration::from_micros(200);
                lab.receive(&options);
            }
            lab.spent
        });
    });
}
