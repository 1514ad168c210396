//! Mutated and misplaced messages: no panic, no growth, and the call that they aim at ends only when it should.

use std::time::Duration;

use proptest::prelude::*;

use super::super::{CallEvent, Command, Input};
use super::support::{Lab, ack, invite, request};

/// Messages that a peer could send, inside and outside the dialog with `tag`.
fn messages(tag: &str) -> Vec<String> {
    let sdp = "Contact: <sip:bob@192.0.2.10>\nContent-Type: application/sdp\n";
    vec![
        invite("x"),
        request("CANCEL", "x", 1, "", "", ""),
        request("INVITE", "r", 2, tag, sdp, "v=0"),
        request("CANCEL", "r", 2, tag, "", ""),
        request("ACK", "r", 2, tag, "", ""),
        request("UPDATE", "u", 3, tag, sdp, "v=0"),
        request("INFO", "i", 4, tag, "Content-Type: application/dtmf\n", "1"),
        request("OPTIONS", "o", 5, tag, "", ""),
        ack(tag),
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 198.51.100.1;branch=z9hG4bK0123456789abcdef\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: x\nCSeq: 1 INVITE\n\n".into(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn nothing_that_arrives_breaks_the_endpoint(
        steps in prop::collection::vec((0usize..10, any::<prop::sample::Index>(), any::<u8>(), 0u8..6, 0u64..3000), 1..40),
    ) {
        let mut lab = Lab::new();
        lab.checks = false;
        let (key, tag) = lab.established();
        let messages = messages(&tag);
        let flow = lab.flow;
        for (message, index, byte, kind, wait) in steps {
            let mut bytes = messages[message].replace('\n', "\r\n").into_bytes();
            let at = index.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                2 => bytes.truncate(at),
                _ => {}
            }
            lab.input(Input::Received { flow, bytes: &bytes });
            lab.pass(Duration::from_millis(wait));
            if let Some((_, CallEvent::Reinvite { id, .. })) = lab.events.last() {
                let answer = Command::AnswerReinvite(*id, "v=0".into());
                lab.command(key, answer);
            }
        }
        lab.input(Input::HangUpAll);
        lab.assert_empty();
        let ends = lab.events.iter().filter(|(ended, event)| *ended == key && event.is_last()).count();
        prop_assert_eq!(ends, 1);
    }
}
