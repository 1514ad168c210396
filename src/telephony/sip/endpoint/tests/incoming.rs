//! New requests: INVITE, CANCEL, OPTIONS and refusals.

use std::time::Duration;

use super::super::{CallEvent, Command, EndCause, EndpointConfig, Input};
use super::support::{Lab, ack, flow_from, invite, request};
use crate::telephony::sip::message::{Method, Name};
use crate::telephony::sip::transport::Transport;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn an_unanswered_invite_is_told_100_within_200_ms_and_without_tag() {
    let mut lab = Lab::new();
    assert!(lab.deliver(&invite("1")).is_empty());
    let sent = lab.pass(Duration::from_millis(200));
    assert_eq!(sent.len(), 1);
    assert_eq!((sent[0].1.status(), sent[0].1.to_tag().as_str()), (Some(100), ""));
}

#[test]
fn a_timestamp_comes_back_with_the_100_only() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1").replace("Max-Forwards", "Timestamp: 54.21\nMax-Forwards"));
    let trying = lab.pass(SECOND).remove(0).1;
    assert_eq!((trying.status(), trying.field(Name::Timestamp)), (Some(100), "54.21"));
    let key = lab.incoming[0].key;
    let ringing = lab.command(key, Command::Ring).pop().expect("180");
    assert!(!ringing.message.has(Name::Timestamp));
}

#[test]
fn repetitions_of_an_invite_are_absorbed() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    assert_eq!(
        lab.answer_to(&invite("1")).status(),
        Some(100),
        "a repetition is told at once"
    );
    let key = lab.incoming[0].key;
    let ringing = lab.command(key, Command::Ring).pop().expect("180");
    assert_eq!(lab.answer_to(&invite("1")).bytes, ringing.bytes);
    lab.command(key, Command::Answer("v=0\n".into()));
    assert!(
        lab.deliver(&invite("1")).is_empty(),
        "the dialog resends the 200, not the transaction"
    );
    assert_eq!(lab.incoming.len(), 1);
}

#[test]
fn the_call_layer_learns_what_it_needs() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    let info = &lab.incoming[0];
    assert_eq!(
        (info.trunk.as_str(), info.dialplan.as_str(), info.called.as_str()),
        ("carrier", "reset", "100")
    );
    assert_eq!(info.caller.expose(), "alice");
    assert_eq!(info.offer.as_deref(), Some("v=0 theirs\r\n"));
    assert!(!format!("{info:?}").contains("alice"), "the caller is masked");
}

#[test]
fn escaped_control_characters_reach_neither_logs_nor_terminals() {
    let trunk = "networks = [\"192.0.2.0/24\"]\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
    let mut lab = Lab::with(&[("carrier", trunk)], Transport::Udp, EndpointConfig::default());
    let hostile = invite("1")
        .replace("INVITE sip:100@", "INVITE sip:1%0a%1b%5b2J0@")
        .replace("sip:alice@", "sip:al%0d%0aice@");
    lab.deliver(&hostile);
    let info = &lab.incoming[0];
    assert_eq!((info.called.as_str(), info.caller.expose()), ("1[2J0", "alice"));
}

#[test]
fn ringing_and_answer_carry_the_same_tag_and_a_contact() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    let key = lab.incoming[0].key;
    let ringing = lab.command(key, Command::Ring).pop().expect("180");
    let ok = lab
        .command(key, Command::Answer("v=0 ours\n".into()))
        .pop()
        .expect("200");
    assert_eq!((ringing.status(), ok.status()), (Some(180), Some(200)));
    assert_eq!(ringing.to_tag(), ok.to_tag());
    assert_eq!(ok.field(Name::Contact), "<sip:198.51.100.1:5060>");
    assert_eq!(ok.message.body(), b"v=0 ours\n");
}

#[test]
fn a_200_without_ack_is_sent_again_for_32_s_then_bye() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut lab = Lab::over(transport);
        lab.deliver(&invite("1"));
        let key = lab.incoming[0].key;
        lab.command(key, Command::Answer("v=0\n".into()));
        let sent = lab.pass(32 * SECOND);
        let times: Vec<_> = sent
            .iter()
            .filter(|(_, sent)| sent.status() == Some(200))
            .map(|(ms, _)| *ms)
            .collect();
        assert_eq!(
            times,
            [500, 1500, 3500, 7500, 11_500, 15_500, 19_500, 23_500, 27_500, 31_500]
        );
        let (time, bye) = sent.last().expect("BYE");
        assert_eq!((*time, bye.method()), (32_000, Some(&Method::Bye)));
        assert_eq!(
            lab.last_event(),
            CallEvent::Ended {
                cause: EndCause::NoAcknowledgement
            }
        );
        lab.assert_empty();
    }
}

#[test]
fn an_ack_stops_the_200() {
    let mut lab = Lab::new();
    lab.established();
    assert!(lab.pass(60 * SECOND).is_empty());
}

#[test]
fn a_refusal_is_sent_again_on_udp_until_its_ack() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    let key = lab.incoming[0].key;
    let busy = lab
        .command(
            key,
            Command::Reject {
                status: 486,
                retry_after: None,
            },
        )
        .pop()
        .expect("486");
    let times: Vec<_> = lab.pass(10 * SECOND).into_iter().map(|(ms, _)| ms).collect();
    assert_eq!(times, [500, 1500, 3500, 7500]);
    let ack = request("ACK", "1", 1, &busy.to_tag(), "", "");
    assert!(lab.deliver(&ack).is_empty());
    assert!(lab.deliver(&ack).is_empty(), "a repeated ACK is absorbed");
    assert!(lab.pass(60 * SECOND).is_empty());
    lab.assert_empty();
}

/// The refusal of a malformed INVITE was sent once: lost on the way, the caller waited for half a minute.
#[test]
fn the_400_of_a_malformed_invite_is_sent_again_until_its_ack() {
    let mut lab = Lab::new();
    lab.checks = false;
    let (_, tag) = lab.established();
    let contact = "Contact: <sip:alice@192.0.2.9>\n";
    let new = invite("new").replace("call-1", "call-2").replace(contact, "");
    let change = request("INVITE", "change", 2, &tag, &format!("no colon\n{contact}"), "");
    for (branch, invite) in [("new", new), ("change", change)] {
        let refused = lab.answer_to(&invite);
        assert_eq!(refused.status(), Some(400), "{branch}");
        assert_eq!(
            lab.answer_to(&invite).bytes,
            refused.bytes,
            "{branch}: one answer for all copies"
        );
        let times: Vec<_> = lab.pass(2 * SECOND).into_iter().map(|(ms, _)| ms).collect();
        assert_eq!(times, [500, 1500], "{branch}");
        let ack = request("ACK", branch, 1, &refused.to_tag(), "", "");
        lab.deliver(&ack.replace("call-1", if branch == "new" { "call-2" } else { "call-1" }));
        assert!(lab.pass(20 * SECOND).is_empty(), "{branch}");
    }
    assert_eq!(lab.endpoint.stats().calls, 1, "the call goes on");
    // Whose ACK could not be told from others, and whose source may be forged, hears it once.
    let no_tag = invite("none").replace("call-1", "call-3").replace(";tag=theirs", "");
    assert_eq!(lab.answer_to(&no_tag).status(), Some(400));
    let stranger = invite("far").replace(contact, "");
    lab.deliver_from(flow_from(Transport::Udp, "203.0.113.66:5060"), &stranger);
    assert!(lab.pass(20 * SECOND).is_empty());
}

#[test]
fn a_refusal_is_not_sent_again_on_tcp_and_gives_up_after_64_t1() {
    let mut lab = Lab::over(Transport::Tcp);
    lab.deliver(&invite("1"));
    let key = lab.incoming[0].key;
    assert_eq!(
        lab.command(
            key,
            Command::Reject {
                status: 486,
                retry_after: None
            }
        )
        .len(),
        1
    );
    assert!(lab.pass(40 * SECOND).is_empty());
    lab.assert_empty();
}

#[test]
fn cancel_gets_200_and_the_invite_487_until_its_ack() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    let sent = lab.deliver(&request("CANCEL", "1", 1, "", "", ""));
    assert_eq!(
        sent.iter().filter_map(|sent| sent.status()).collect::<Vec<_>>(),
        [200, 487]
    );
    assert_eq!(sent[0].to_tag(), sent[1].to_tag());
    assert_eq!(lab.last_event(), CallEvent::Cancelled);
    assert_eq!(
        lab.answer_to(&request("CANCEL", "1", 1, "", "", "")).status(),
        Some(200),
        "a repetition"
    );
    let times: Vec<_> = lab
        .pass(2 * SECOND)
        .into_iter()
        .map(|(ms, sent)| (ms, sent.status()))
        .collect();
    assert_eq!(times, [(500, Some(487)), (1500, Some(487))]);
    lab.deliver(&request("ACK", "1", 1, &sent[1].to_tag(), "", ""));
    lab.assert_empty();
}

#[test]
fn cancel_after_200_changes_nothing_and_of_nothing_is_481() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    let key = lab.incoming[0].key;
    let ok = lab.command(key, Command::Answer("v=0\n".into())).pop().expect("200");
    assert_eq!(
        lab.answer_to(&request("CANCEL", "1", 1, "", "", "")).status(),
        Some(200)
    );
    lab.deliver(&ack(&ok.to_tag()));
    assert_eq!(lab.last_event(), CallEvent::Acknowledged { sdp: None });
    assert_eq!(
        lab.answer_to(&request("CANCEL", "other", 1, "", "", "")).status(),
        Some(481)
    );
}

#[test]
fn a_copy_over_another_path_is_482() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    assert_eq!(lab.answer_to(&invite("2")).status(), Some(482));
    assert_eq!(lab.incoming.len(), 1);
}

#[test]
fn refusals_explain_themselves() {
    let mut lab = Lab::new();
    let sdp = "Contact: <sip:alice@192.0.2.9>\nContent-Type: application/sdp\n";
    let cases = [
        (request("FLY", "a", 1, "", "", ""), 501, Name::Allow),
        (request("REGISTER", "b", 1, "", "", ""), 405, Name::Allow),
        (
            request("INVITE", "c", 1, "", &format!("{sdp}Require: 100rel, x\n"), "v=0"),
            420,
            Name::Unsupported,
        ),
        (
            request(
                "INVITE",
                "d",
                1,
                "",
                "Contact: <sip:a@192.0.2.9>\nContent-Type: text/plain\n",
                "hello",
            ),
            415,
            Name::Accept,
        ),
        (
            request("INVITE", "e", 1, "", &format!("{sdp}Content-Encoding: gzip\n"), "v=0"),
            415,
            Name::AcceptEncoding,
        ),
        (request("PRACK", "p", 1, "", "", ""), 405, Name::Allow),
    ];
    for (text, status, explanation) in cases {
        let answer = lab.answer_to(&text.replace("call-1", &format!("call-{status}-{}", text.len())));
        assert_eq!(answer.status(), Some(status));
        assert!(answer.message.has(explanation), "{status}");
    }
    assert_eq!(lab.answer_to(&request("BYE", "g", 1, "", "", "")).status(), Some(481));
    let foreign = invite("h")
        .replace("sip:100@198.51.100.1 SIP", "http://x SIP")
        .replace("call-1", "call-2");
    assert_eq!(lab.answer_to(&foreign).status(), Some(416));
    let unknown = invite("i")
        .replace("sip:100@198.51.100.1 SIP", "sip:999@198.51.100.1 SIP")
        .replace("call-1", "call-3");
    assert_eq!(lab.answer_to(&unknown).status(), Some(404));
    assert!(lab.incoming.is_empty());
}

/// RFC 3261 section 20.1, and RFC 2616 section 14.1 for which range counts.
#[test]
fn callers_who_would_not_understand_our_answer_hear_406() {
    for (accept, is_offered) in [
        ("Accept: text/plain", false),
        ("Accept:", false),
        ("Accept: application/sdp;q=0", false),
        ("Accept: application/sdp;q=0, */*", false),
        ("Accept: */*;q=0.0", false),
        ("Accept: text/plain, application/*", true),
        ("Accept: application/sdp;q=0.1, */*;q=0", true),
        ("Accept: ???", true),
        ("Accept: text/plain\nAccept: application/sdp", true),
    ] {
        let mut lab = Lab::new();
        let sent = lab.deliver(&invite("1").replace("Content-Type", &format!("{accept}\nContent-Type")));
        let statuses: Vec<_> = sent.iter().filter_map(|sent| sent.status()).collect();
        let expected: &[u16] = if is_offered { &[] } else { &[406] };
        assert_eq!(
            (statuses.as_slice(), lab.incoming.len()),
            (expected, usize::from(is_offered)),
            "{accept}"
        );
        // The answer to OPTIONS has no body: it is not refused for what it might have held (section 11.2; sipsak).
        let options = request("OPTIONS", "2", 1, "", &format!("{accept}\n"), "").replace("call-1", "call-2");
        assert_eq!(lab.answer_to(&options).status(), Some(200), "{accept}");
    }
}

#[test]
fn what_an_invite_must_have_is_asked_for() {
    let mut lab = Lab::new();
    for (from, to) in [
        ("Contact: <sip:alice@192.0.2.9>\n", ""),
        (";tag=theirs", ""),
        ("CSeq: 1 INVITE", "CSeq: 1 OPTIONS"),
    ] {
        assert_eq!(
            lab.answer_to(&invite("1").replace(from, to)).status(),
            Some(400),
            "{from}"
        );
    }
    assert!(lab.incoming.is_empty());
}

/// Section 8.2.2.3: an ACK or CANCEL is never refused for an option.
#[test]
fn options_are_not_required_of_cancel_and_ack() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    let sent = lab.deliver(&request("CANCEL", "1", 1, "", "Require: x\n", ""));
    assert_eq!(
        sent.iter().filter_map(|sent| sent.status()).collect::<Vec<_>>(),
        [200, 487]
    );
    lab.deliver(&request("ACK", "1", 1, &sent[1].to_tag(), "Require: x\n", ""));
    assert!(lab.pass(60 * SECOND).is_empty(), "acknowledged");
    let (_, tag) = lab.established();
    assert!(!tag.is_empty());
}

#[test]
fn a_trunk_can_be_silent_about_numbers_it_does_not_serve() {
    let silent = format!("unserved = \"silence\"\n{}", super::support::TRUNK);
    let mut lab = Lab::with(&[("carrier", &silent)], Transport::Udp, EndpointConfig::default());
    assert!(
        lab.deliver(&invite("1").replace("sip:100@198.51.100.1 SIP", "sip:999@x SIP"))
            .is_empty()
    );
    assert!(lab.pass(40 * SECOND).is_empty());
}

#[test]
fn options_gets_what_an_invite_would_get() {
    let mut lab = Lab::new();
    let options = |branch: &str, user: &str| {
        request("OPTIONS", branch, 1, "", "", "")
            .replace("sip:100@198.51.100.1 SIP", &format!("sip:{user}198.51.100.1 SIP"))
    };
    let ok = lab.answer_to(&options("1", "100@"));
    assert_eq!(ok.status(), Some(200));
    for name in [Name::Allow, Name::Accept, Name::Supported, Name::AcceptEncoding] {
        assert!(ok.message.has(name), "{name:?}");
    }
    assert_eq!(
        lab.answer_to(&options("2", "")).status(),
        Some(200),
        "a keepalive without a number"
    );
    assert_eq!(lab.answer_to(&options("3", "999@")).status(), Some(404));
    lab.input(Input::Drain);
    let draining = lab.answer_to(&options("4", "100@"));
    assert_eq!((draining.status(), draining.field(Name::RetryAfter)), (Some(503), "30"));
}

#[test]
fn full_trunks_are_busy_and_a_draining_engine_takes_no_new_calls() {
    let mut lab = Lab::new();
    let numbered = |n: u32| invite(&n.to_string()).replace("call-1", &format!("call-{n}"));
    (0..3).for_each(|n| drop(lab.deliver(&numbered(n))));
    assert_eq!(lab.incoming.len(), 3);
    assert_eq!(lab.answer_to(&numbered(3)).status(), Some(486));
    let key = lab.incoming[0].key;
    lab.command(key, Command::HangUp);
    lab.deliver(&numbered(4));
    assert_eq!(lab.incoming.len(), 4, "a line is free again");
    lab.input(Input::Drain);
    let answer = lab.answer_to(&numbered(5));
    assert_eq!((answer.status(), answer.field(Name::RetryAfter)), (Some(503), "30"));
    assert_eq!(lab.endpoint.stats().calls_refused, 2);
}

#[test]
fn a_full_transaction_table_is_503_and_forgets_nothing() {
    let config = EndpointConfig {
        max_transactions: 1,
        ..EndpointConfig::default()
    };
    let mut lab = Lab::with(&[("carrier", super::support::TRUNK)], Transport::Udp, config);
    lab.deliver(&invite("1"));
    let second = lab.answer_to(&invite("2").replace("call-1", "call-2"));
    assert_eq!((second.status(), second.field(Name::RetryAfter)), (Some(503), "2"));
    assert_eq!(lab.endpoint.stats().transactions, 1);
}

#[test]
fn a_call_that_nobody_here_answers_ends() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    let sent = lab.pass(60 * SECOND);
    assert!(sent.iter().any(|(_, sent)| sent.status() == Some(480)));
    assert_eq!(
        lab.last_event(),
        CallEvent::Ended {
            cause: EndCause::NotAnswered
        }
    );
    lab.assert_empty();
}

#[test]
fn answers_go_to_rport_or_the_port_of_via_never_elsewhere() {
    let mut lab = Lab::new();
    let options = request("OPTIONS", "1", 1, "", "", "");
    let behind_nat = flow_from(Transport::Udp, "192.0.2.77:40000");
    let sent = lab.deliver_from(behind_nat, &options);
    assert_eq!(sent[0].flow.remote, behind_nat.remote);
    assert!(
        sent[0].field(Name::Via).contains(";rport=40000;received=192.0.2.77"),
        "{}",
        sent[0].field(Name::Via)
    );
    let doubled = options.replace(";rport", ";rport;rport=1").replace("bK1", "bK4");
    let via = lab.deliver_from(behind_nat, &doubled).remove(0);
    assert_eq!(via.field(Name::Via).matches("rport").count(), 1);
    let old_style = options
        .replace(";rport", ";maddr=203.0.113.1")
        .replace("192.0.2.9:5060", "192.0.2.9:5070")
        .replace("bK1", "bK2");
    let sent = lab.deliver_from(behind_nat, &old_style);
    assert_eq!(sent[0].flow.remote, "192.0.2.77:5070".parse().expect("address"));
    let lower = options
        .replace("Max-Forwards", "v: SIP/2.0/UDP a;x, SIP/2.0/TCP b\nMax-Forwards")
        .replace("bK1", "bK3");
    let sent = lab.deliver(&lower);
    let vias: Vec<_> = sent[0].message.fields(Name::Via).collect();
    assert_eq!(
        vias[1..],
        ["SIP/2.0/UDP a;x, SIP/2.0/TCP b"],
        "the others come back as they were"
    );
}

#[test]
fn callers_of_rfc_2543_are_served() {
    for transport in [Transport::Udp, Transport::Tcp] {
        serve_a_caller_of_rfc_2543(Lab::over(transport));
    }
}

fn serve_a_caller_of_rfc_2543(mut lab: Lab) {
    let old = invite("1")
        .replace("z9hG4bK1", "old1")
        .replace(";tag=theirs", "")
        .replace("Contact: <sip:alice@192.0.2.9>\n", "");
    assert!(lab.deliver(&old).is_empty());
    assert_eq!(
        lab.answer_to(&old).status(),
        Some(100),
        "a repetition is recognised without a cookie"
    );
    let key = lab.incoming[0].key;
    let ok = lab.command(key, Command::Answer("v=0\n".into())).pop().expect("200");
    let ack = old.replace("INVITE", "ACK").replace(
        "<sip:100@198.51.100.1>\n",
        &format!("<sip:100@198.51.100.1>;tag={}\n", ok.to_tag()),
    );
    lab.deliver(&ack);
    assert!(matches!(lab.last_event(), CallEvent::Acknowledged { .. }));
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    assert_eq!(bye.message.request().map(|(_, uri)| uri), Some("sip:alice@192.0.2.9"));
}

/// Section 17.2.3: without a cookie the ACK of a refusal is found by the other fields.
#[test]
fn an_ack_of_rfc_2543_ends_a_refusal() {
    let mut lab = Lab::new();
    let old = invite("1").replace("z9hG4bK1", "old1");
    lab.deliver(&old);
    let key = lab.incoming[0].key;
    let refuse = Command::Reject {
        status: 488,
        retry_after: None,
    };
    let refused = lab.command(key, refuse).pop().expect("488");
    let tagged = format!("<sip:100@198.51.100.1>;tag={}\n", refused.to_tag());
    let ack = request("ACK", "1", 1, "", "", "")
        .replace("z9hG4bK1", "old1")
        .replace("<sip:100@198.51.100.1>\n", &tagged);
    let other = ack.replace("CSeq: 1", "CSeq: 2");
    lab.deliver(&other);
    assert_eq!(lab.pass(SECOND).len(), 1, "an ACK of something else ends nothing");
    lab.deliver(&ack);
    assert!(lab.pass(60 * SECOND).is_empty());
    lab.assert_empty();
}

#[test]
fn asserted_identity_counts_only_where_it_is_trusted() {
    for (trusted, expected) in [("true", "+15550123"), ("false", "alice")] {
        let text = format!("trust_caller_id = {trusted}\n{}", super::support::TRUNK);
        let mut lab = Lab::with(&[("carrier", &text)], Transport::Udp, EndpointConfig::default());
        lab.deliver(&invite("1").replace(
            "Max-Forwards",
            "P-Asserted-Identity: <sip:+15550123@x>, <tel:+1>\nMax-Forwards",
        ));
        assert_eq!(lab.incoming[0].caller.expose(), expected);
    }
}

#[test]
fn ipv6_callers_are_answered_with_brackets() {
    let trunk = "networks = [\"2001:db8::/32\"]\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
    let mut lab = Lab::with(&[("six", trunk)], Transport::Udp, EndpointConfig::default());
    lab.flow.remote = "[2001:db8::9]:5060".parse().expect("address");
    lab.flow.local = "[2001:db8::1]:5060".parse().expect("address");
    lab.deliver(
        &invite("1")
            .replace("192.0.2.9:5060", "[2001:db8::9]:5060")
            .replace("192.0.2.9", "[2001:db8::9]"),
    );
    let key = lab.incoming[0].key;
    let ok = lab.command(key, Command::Answer("v=0\n".into())).pop().expect("200");
    assert_eq!(ok.field(Name::Contact), "<sip:[2001:db8::1]:5060>");
    assert!(
        !ok.field(Name::Via).contains("[2001:db8::9]:5060;received=["),
        "received has no brackets"
    );
}
