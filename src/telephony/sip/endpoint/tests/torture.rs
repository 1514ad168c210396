//! The messages of RFC 4475, each with what an IVR owes to it (`tests/data/rfc4475/expected.toml`).

use std::path::Path;

use super::super::{EndpointConfig, Input};
use super::support::Lab;
use crate::telephony::sip::framing::{Frame, Framer};
use crate::telephony::sip::transport::Transport;

const TRUNK: &str = "networks = [\"192.0.2.0/24\"]\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";

#[test]
fn every_torture_message_gets_what_it_deserves() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rfc4475");
    let text = std::fs::read_to_string(directory.join("expected.toml")).expect("expectations");
    let expected: toml::Table = text.parse().expect("TOML");
    assert_eq!(expected.len(), 49);
    let wrong: Vec<_> = expected
        .iter()
        .filter_map(|(name, expectation)| {
            let bytes = std::fs::read(directory.join(format!("{name}.dat"))).expect("message");
            let expectation = expectation.as_table().expect("table");
            let (got, offered) = outcome(&bytes);
            (!is_right(expectation, &got, offered))
                .then(|| format!("{name}: {got:?}, offered: {offered}; expected {expectation}"))
        })
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The statuses that were answered, and whether the call layer was offered a call.
fn outcome(bytes: &[u8]) -> (Vec<u16>, bool) {
    let mut lab = Lab::with(&[("torture", TRUNK)], Transport::Udp, EndpointConfig::default());
    lab.checks = false;
    let flow = lab.flow;
    lab.input(Input::Received { flow, bytes });
    let statuses = lab.sent.iter().filter_map(super::support::Sent::status).collect();
    (statuses, !lab.incoming.is_empty())
}

fn is_right(expectation: &toml::Table, got: &[u16], offered: bool) -> bool {
    if expectation.get("drop").and_then(toml::Value::as_bool) == Some(true) {
        return got.is_empty() && !offered;
    }
    match &expectation["answer"] {
        // A call that rings will be answered by the call layer.
        toml::Value::String(_) => offered && got.is_empty() || got.len() == 1 && got[0] != 400,
        toml::Value::Array(statuses) => {
            let is_allowed = |status: &u16| {
                statuses
                    .iter()
                    .any(|allowed| allowed.as_integer() == Some((*status).into()))
            };
            got.len() == 1 && got.iter().all(is_allowed) || offered && is_allowed(&200)
        }
        other => panic!("unknown expectation {other}"),
    }
}

/// Over TCP the framer comes first: what it cannot frame is answered 400 and costs the connection.
#[test]
fn over_tcp_no_torture_message_goes_wrong() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rfc4475");
    for entry in std::fs::read_dir(directory).expect("messages") {
        let path = entry.expect("entry").path();
        if path.extension().is_none_or(|extension| extension != "dat") {
            continue;
        }
        let name = path.file_stem().expect("name").to_string_lossy().into_owned();
        let mut lab = Lab::with(&[("torture", TRUNK)], Transport::Tcp, EndpointConfig::default());
        lab.checks = false;
        let flow = lab.flow;
        let mut framer = Framer::default();
        framer.push(&std::fs::read(&path).expect("message"));
        while let Some(frame) = framer.next_frame() {
            match frame {
                Frame::Message(bytes) => lab.input(Input::Received { flow, bytes: &bytes }),
                Frame::Unframable(head) => lab.input(Input::Unframable { flow, head: &head }),
                Frame::Ping => {}
            }
        }
        let statuses: Vec<_> = lab.sent.iter().filter_map(super::support::Sent::status).collect();
        match name.as_str() {
            // Lengths that lie, and a body without a length (RFC 2543 let it end with the connection).
            "ncl" | "mcl01" | "inv2543" => assert_eq!((statuses, lab.closed), (vec![400], 1), "{name}"),
            // Two requests, and five bytes more than the second one's body is said to have.
            "dblreq" => assert_eq!((statuses, lab.closed), (vec![405, 400], 1), "{name}"),
            // Waits for bytes that never come; the driver closes when the time for a message is over.
            "clerr" => assert_eq!((statuses, lab.closed, framer.is_midway()), (vec![], 0, true), "{name}"),
            _ => assert!(lab.closed == 0 || statuses == [400], "{name}: {statuses:?}"),
        }
    }
}

#[test]
fn both_unknown_options_are_named() {
    let mut lab = Lab::with(&[("torture", TRUNK)], Transport::Udp, EndpointConfig::default());
    let flow = lab.flow;
    lab.input(Input::Received {
        flow,
        bytes: include_bytes!("../../../../../tests/data/rfc4475/bext01.dat"),
    });
    let value = lab.sent[0].field(crate::telephony::sip::message::Name::Unsupported);
    assert_eq!(value, "nothingSupportsThis, nothingSupportsThisEither");
}
