//! The torture messages of RFC 4475 and RFC 5118, byte for byte, against the real program over real sockets. What each one
//! deserves stands in `expected.toml` beside them.
//!
//! Answers over UDP go to the port that Via names, where no `rport` asks for another: the sender has an address of this
//! machine and that port for each message. Behind each message comes an OPTIONS from the same place, whose answer tells
//! that nothing else is to come, and that the program lives.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::time::Duration;

use passline::telephony::sip::framing::{Frame, Framer};
use passline::telephony::sip::message::{Message, Name, Via};

use crate::support::second_opinion::{objection, objection_to_refusal};
use crate::support::server::{House, Settings, root};
use crate::support::wait_for;

const LIMIT: Duration = Duration::from_secs(20);
const PATIENCE: Duration = Duration::from_secs(120);
const TRUNK: &str =
    "networks = [\"127.0.0.0/8\", \"::1/128\"]\nmax_calls = 100\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";

/// One torture message and what it deserves.
struct Case {
    name: String,
    bytes: Vec<u8>,
    expected: toml::Table,
}

/// What came back.
#[derive(Default)]
struct Outcome {
    /// Final answers before that to the OPTIONS behind the message.
    finals: Vec<u16>,
    /// The connection was closed instead of answering the OPTIONS.
    closed: bool,
}

fn cases(folder: &str) -> Vec<Case> {
    let folder: PathBuf = root().join("tests/data").join(folder);
    let text = fs::read_to_string(folder.join("expected.toml")).expect("expectations");
    let table: toml::Table = text.parse().expect("TOML");
    let files = fs::read_dir(&folder).expect("a folder").count() - 1;
    assert_eq!(table.len(), files, "an expectation for each message");
    table
        .into_iter()
        .map(|(name, expected)| Case {
            bytes: fs::read(folder.join(format!("{name}.dat"))).expect("a message"),
            expected: expected.as_table().expect("a table").clone(),
            name,
        })
        .collect()
}

/// The OPTIONS behind a message.
fn marker(name: &str, transport: &str) -> String {
    format!(
        "OPTIONS sip:100@passline.invalid SIP/2.0\r\nVia: SIP/2.0/{transport} after.invalid;branch=z9hG4bKafter{name}{transport};rport\r\n\
         Max-Forwards: 70\r\nFrom: <sip:after@after.invalid>;tag={name}\r\nTo: <sip:100@passline.invalid>\r\n\
         Call-ID: after-{name}\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    )
}

/// What is collected of the answers to one message.
struct Answers<'a> {
    case: &'a Case,
    outcome: Outcome,
    expects_final: usize,
    marked: bool,
    /// Names of messages whose answers `rsip` cannot read.
    unreadable: &'a mut BTreeSet<String>,
}

impl<'a> Answers<'a> {
    fn new(case: &'a Case, expects_final: usize, unreadable: &'a mut BTreeSet<String>) -> Self {
        Self {
            case,
            outcome: Outcome::default(),
            expects_final,
            marked: false,
            unreadable,
        }
    }

    fn is_complete(&self) -> bool {
        self.marked && self.outcome.finals.len() >= self.expects_final
    }

    fn take(&mut self, bytes: &[u8]) {
        let name = &self.case.name;
        assert_eq!(objection_to_refusal(bytes), None, "{name}");
        let message = Message::parse(bytes).expect("SIP");
        let Some(status) = message.status() else {
            // A call that was answered and then left alone is hung up.
            return;
        };
        let call_id = message.field(Name::CallId).unwrap_or_default();
        if call_id == format!("after-{name}") {
            assert_eq!(status, 200, "{name}: the program serves others as before");
            self.marked = true;
            return;
        }
        if objection(bytes).is_some() {
            self.unreadable.insert(name.clone());
        }
        // A 200 of a call is repeated until it is acknowledged, which nobody does here.
        let is_repetition = status == 200 && self.outcome.finals.contains(&200);
        if status >= 200 && !is_repetition {
            self.outcome.finals.push(status);
        }
    }
}

/// Whether silence is what a message deserves.
fn is_dropped(expected: &toml::Table) -> bool {
    expected.get("drop").and_then(toml::Value::as_bool) == Some(true)
}

fn is_allowed(expected: &toml::Table, status: u16) -> bool {
    match &expected["answer"] {
        // What ordinary routing and admission give to a well-formed request; 481 where it claims a dialog.
        toml::Value::String(word) => word == "final" && !matches!(status, 400 | 500 | 503),
        toml::Value::Array(statuses) => statuses
            .iter()
            .any(|allowed| allowed.as_integer() == Some(status.into())),
        other => panic!("unknown expectation {other}"),
    }
}

fn judge(case: &Case, expected: &toml::Table, outcome: &Outcome) -> Option<String> {
    let closes = expected.get("closed").and_then(toml::Value::as_bool) == Some(true);
    let more = expected.get("more").and_then(toml::Value::as_integer).unwrap_or(0);
    let right = if is_dropped(expected) {
        outcome.finals.is_empty()
    } else {
        let count = 1 + usize::try_from(more).expect("a small number");
        outcome.finals.len() == count && is_allowed(expected, outcome.finals[0])
    };
    (!right || outcome.closed != closes).then(|| {
        format!(
            "{}: {:?}, closed: {}; expected {expected}",
            case.name, outcome.finals, outcome.closed
        )
    })
}

fn over_udp(case: &Case, server: SocketAddr, from: IpAddr, unreadable: &mut BTreeSet<String>) -> Outcome {
    let message = Message::parse(&case.bytes).ok();
    let via = message
        .as_ref()
        .and_then(|message| Via::first_of(message.field(Name::Via)?));
    let port = match via {
        Some(via) if !via.wants_rport() => via.port().unwrap_or(5060),
        _ => 0,
    };
    // Other programs of the suite want port 5060 too, of all addresses, for a while.
    let socket = wait_for(&format!("{from} port {port} to be free"), PATIENCE, || {
        UdpSocket::bind((from, port)).ok()
    });
    socket.set_read_timeout(Some(LIMIT)).expect("a socket");
    socket.send_to(&case.bytes, server).expect("sent");
    socket
        .send_to(marker(&case.name, "UDP").as_bytes(), server)
        .expect("sent");
    let expects_final = usize::from(!is_dropped(&case.expected));
    let mut answers = Answers::new(case, expects_final, unreadable);
    let mut buffer = vec![0; 65_536];
    while !answers.is_complete() {
        match socket.recv_from(&mut buffer) {
            Ok((length, source)) if source == server => answers.take(&buffer[..length]),
            Ok((_, source)) => panic!("{}: an answer from {source}", case.name),
            Err(error) => panic!("{}: {error}; {:?} so far", case.name, answers.outcome.finals),
        }
    }
    answers.outcome
}

fn over_tcp(case: &Case, server: SocketAddr, unreadable: &mut BTreeSet<String>) -> (toml::Table, Outcome) {
    // Where TCP differs, it says so.
    let mut expected = case.expected.clone();
    if let Some(toml::Value::Table(tcp)) = case.expected.get("tcp") {
        expected.extend(tcp.clone());
    }
    let mut stream = TcpStream::connect(server).expect("connects");
    stream.set_read_timeout(Some(LIMIT)).expect("a socket");
    let missing = expected.get("missing").and_then(toml::Value::as_integer).unwrap_or(0);
    let filler = vec![b'x'; usize::try_from(missing).expect("a number")];
    let bytes = [case.bytes.as_slice(), &filler, marker(&case.name, "TCP").as_bytes()].concat();
    // A connection that is closed at the message does not take the rest.
    let _ = stream.write_all(&bytes);
    let more = expected.get("more").and_then(toml::Value::as_integer).unwrap_or(0);
    let expects_final = usize::from(!is_dropped(&expected)) + usize::try_from(more).expect("a number");
    let mut answers = Answers::new(case, expects_final, unreadable);
    let mut framer = Framer::default();
    let mut buffer = vec![0; 16_384];
    while !answers.is_complete() {
        match stream.read(&mut buffer) {
            Ok(0) => answers.outcome.closed = true,
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => answers.outcome.closed = true,
            Ok(length) => framer.push(&buffer[..length]),
            Err(error) => panic!("{}: {error}; {:?} so far", case.name, answers.outcome.finals),
        }
        while let Some(frame) = framer.next_frame() {
            match frame {
                Frame::Message(bytes) => answers.take(&bytes),
                Frame::Ping => {}
                Frame::Unframable(_) => panic!("{}: the program sends streams without structure", case.name),
            }
        }
        if answers.outcome.closed {
            break;
        }
    }
    (expected, answers.outcome)
}

fn served(listen: &str, test: impl FnOnce(SocketAddr, SocketAddr)) {
    let house = House::empty(&Settings {
        trunk: Some(TRUNK),
        listen: Some(listen),
        log_level: Some("info"),
        ..Settings::default()
    });
    let server = house.serve();
    test(server.udp, server.tcp.expect("TCP"));
    // Calls that were answered wait for an ACK that nobody sends.
    server.kill();
}

fn assert_none(wrong: &[String]) {
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Messages whose answers `rsip` cannot read: they copy what it cannot read in the request, as they must, or cannot copy what
/// is not there.
const UNREADABLE: [&str; 7] = ["badaspec", "badvers", "insuf", "intmeth", "scalar02", "unksm2", "wsinv"];

#[test]
fn messages_of_rfc_4475_get_what_they_deserve_over_udp() {
    served("\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"", |server, _| {
        let mut unreadable = BTreeSet::new();
        let cases = cases("rfc4475");
        assert_eq!(cases.len(), 49);
        let wrong: Vec<_> = (1u8..)
            .zip(&cases)
            .filter_map(|(host, case)| {
                let from = IpAddr::from([127, 0, 2, host]);
                let outcome = over_udp(case, server, from, &mut unreadable);
                judge(case, &case.expected, &outcome)
            })
            .collect();
        assert_none(&wrong);
        assert_eq!(unreadable.iter().map(String::as_str).collect::<Vec<_>>(), UNREADABLE);
    });
}

#[test]
fn messages_of_rfc_4475_get_what_they_deserve_over_tcp() {
    served("\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"", |_, server| {
        let mut unreadable = BTreeSet::new();
        let wrong: Vec<_> = cases("rfc4475")
            .iter()
            .filter_map(|case| {
                let (expected, outcome) = over_tcp(case, server, &mut unreadable);
                judge(case, &expected, &outcome)
            })
            .collect();
        assert_none(&wrong);
        assert_eq!(unreadable.iter().map(String::as_str).collect::<Vec<_>>(), UNREADABLE);
    });
}

#[test]
fn messages_of_rfc_5118_get_what_they_deserve_over_udp_and_tcp() {
    served("\"udp:[::1]:0\", \"tcp:[::1]:0\"", |udp, tcp| {
        let mut unreadable = BTreeSet::new();
        let mut wrong = Vec::new();
        for case in cases("rfc5118") {
            let outcome = over_udp(&case, udp, udp.ip(), &mut unreadable);
            wrong.extend(judge(&case, &case.expected, &outcome));
        }
        for mut case in cases("rfc5118") {
            // Else they are repetitions of what came over UDP.
            let text = String::from_utf8(case.bytes).expect("text");
            case.bytes = text
                .replace("branch=z9hG4bKas3", "branch=z9hG4bKtcp")
                .replace("z9hG4bKbh19", "z9hG4bKtcp19")
                .replace("Call-ID: ", "Call-ID: tcp-")
                .into_bytes();
            let (expected, outcome) = over_tcp(&case, tcp, &mut unreadable);
            wrong.extend(judge(&case, &expected, &outcome));
        }
        assert_none(&wrong);
        assert_eq!(
            unreadable.iter().map(String::as_str).collect::<Vec<_>>(),
            ["ipv6-bug-abnf-3-colons"]
        );
    });
}
