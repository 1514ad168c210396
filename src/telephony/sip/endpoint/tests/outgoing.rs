//! Calls that we make.

use std::time::Duration;

use super::super::{CallEvent, CallKey, Command, EndCause, EndpointConfig, Input, OutgoingInvite};
use super::support::{Lab, Sent, TRUNK, flow_from, invite, request};
use crate::secret::Secret;
use crate::telephony::sip::digest::Credentials;
use crate::telephony::sip::message::{AuthParams, Method, Name};
use crate::telephony::sip::transport::{Channel, Transport};

const FAR: &str = "203.0.113.20:5080";

fn call(lab: &mut Lab, credentials: Option<Credentials>) -> (CallKey, Sent) {
    call_with(lab, "v=0 offer".into(), credentials)
}

fn call_with(lab: &mut Lab, sdp: String, credentials: Option<Credentials>) -> (CallKey, Sent) {
    let invite = OutgoingInvite {
        target: "sip:100@203.0.113.20:5080".into(),
        caller: "sip:test@198.51.100.1".into(),
        flow: flow_from(Transport::Udp, FAR),
        sdp,
        credentials,
    };
    let key = lab.endpoint.invite(lab.now, invite).expect("room");
    lab.drain();
    (key, lab.sent.pop().expect("INVITE"))
}

fn answer(request: &Sent, status: u16, tag: &str, fields: &str, body: &str) -> String {
    let kind = if body.is_empty() {
        ""
    } else {
        "Content-Type: application/sdp\n"
    };
    let to = request.field(Name::To);
    let to = if to.contains("tag=") || tag.is_empty() {
        to.to_owned()
    } else {
        format!("{to};tag={tag}")
    };
    format!(
        "SIP/2.0 {status} Whatever\nVia: {}\nFrom: {}\nTo: {to}\nCall-ID: {}\nCSeq: {}\n{fields}{kind}Content-Length: {}\n\n{body}",
        request.field(Name::Via),
        request.field(Name::From),
        request.field(Name::CallId),
        request.field(Name::CSeq),
        body.len(),
    )
}

fn far(lab: &mut Lab, text: &str) -> Vec<Sent> {
    lab.deliver_from(flow_from(Transport::Udp, FAR), text)
}

const CONTACT: &str = "Contact: <sip:ivr@203.0.113.20:5080>\n";

fn connected(lab: &mut Lab) -> (CallKey, Sent) {
    let (key, invite) = call(lab, None);
    far(lab, &answer(&invite, 180, "far", CONTACT, ""));
    assert_eq!(lab.last_event(), CallEvent::Ringing);
    let ack = far(lab, &answer(&invite, 200, "far", CONTACT, "v=0 answer"))
        .pop()
        .expect("ACK");
    assert_eq!(ack.method(), Some(&Method::Ack));
    assert_eq!(
        lab.last_event(),
        CallEvent::Answered {
            sdp: Some("v=0 answer".into())
        }
    );
    (key, invite)
}

#[test]
fn a_call_is_answered_acknowledged_and_ended() {
    let mut lab = Lab::new();
    let (key, invite) = connected(&mut lab);
    let again = far(&mut lab, &answer(&invite, 200, "far", CONTACT, "v=0 answer"));
    assert_eq!(again[0].method(), Some(&Method::Ack), "a repeated 200 lost its ACK");
    assert!(lab.events.is_empty());
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    assert_eq!(bye.field(Name::CSeq), "2 BYE");
    far(&mut lab, &answer(&bye, 200, "far", "", ""));
    lab.assert_empty();
}

#[test]
fn the_far_end_may_hang_up_and_send_keys() {
    let mut lab = Lab::new();
    let (_, invite) = connected(&mut lab);
    let ours = invite.field(Name::From).split("tag=").nth(1).expect("tag").to_owned();
    let bye = format!(
        "BYE sip:x@198.51.100.1 SIP/2.0\nVia: SIP/2.0/UDP 203.0.113.20:5080;branch=z9hG4bKb\nMax-Forwards: 70\nFrom: {};tag=far\n\
         To: <sip:test@198.51.100.1>;tag={ours}\nCall-ID: {}\nCSeq: 1 BYE\n\n",
        invite.field(Name::To),
        invite.field(Name::CallId)
    );
    let elsewhere = lab.deliver_from(flow_from(Transport::Udp, "203.0.113.99:5080"), &bye);
    assert_eq!(elsewhere[0].status(), Some(403));
    assert_eq!(far(&mut lab, &bye)[0].status(), Some(200));
    assert_eq!(
        lab.last_event(),
        CallEvent::Ended {
            cause: EndCause::RemoteHangUp
        }
    );
    lab.assert_empty();
}

#[test]
fn nobody_answers() {
    let mut lab = Lab::new();
    call(&mut lab, None);
    let times: Vec<_> = lab
        .pass(Duration::from_secs(40))
        .into_iter()
        .map(|(ms, _)| ms)
        .collect();
    assert_eq!(times, [500, 1500, 3500, 7500, 15_500, 31_500], "timer A");
    assert_eq!(lab.last_event(), CallEvent::Rejected { status: 408 });
    lab.assert_empty();
}

#[test]
fn a_refusal_is_acknowledged_in_the_same_transaction() {
    let mut lab = Lab::new();
    let (_, invite) = call(&mut lab, None);
    let ack = far(&mut lab, &answer(&invite, 486, "far", "", "")).pop().expect("ACK");
    assert_eq!(
        (ack.method(), ack.field(Name::Via)),
        (Some(&Method::Ack), invite.field(Name::Via))
    );
    assert!(ack.field(Name::To).ends_with(";tag=far"));
    assert_eq!(lab.last_event(), CallEvent::Rejected { status: 486 });
    assert_eq!(
        far(&mut lab, &answer(&invite, 486, "far", "", "")).len(),
        1,
        "and again"
    );
    lab.assert_empty();
}

/// Each left a transaction behind for ever, with which a far end could fill the memory.
#[test]
fn provisional_answers_after_the_call_leave_nothing() {
    let mut lab = Lab::new();
    let (key, _) = connected(&mut lab);
    let change = lab.command(key, Command::Reinvite("v=0 new".into())).remove(0);
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    far(&mut lab, &answer(&bye, 200, "far", "", ""));
    assert_eq!(lab.endpoint.stats().calls, 0);
    for _ in 0..2 {
        far(&mut lab, &answer(&change, 183, "far", CONTACT, ""));
    }
    lab.assert_empty();
}

#[test]
fn a_far_end_that_rings_and_vanishes_leaves_nothing() {
    let mut lab = Lab::new();
    let (_, invite) = call(&mut lab, None);
    far(&mut lab, &answer(&invite, 180, "far", CONTACT, ""));
    let sent = lab.pass(Duration::from_secs(240));
    assert!(
        sent.iter()
            .any(|(ms, sent)| *ms == 181_000 && sent.method() == Some(&Method::Cancel))
    );
    assert_eq!(
        lab.last_event(),
        CallEvent::Ended {
            cause: EndCause::LocalHangUp
        }
    );
    lab.assert_empty();
}

#[test]
fn a_challenge_is_answered_once() {
    for (status, asked, answered) in [
        (401, "WWW-Authenticate", Name::Authorization),
        (407, "Proxy-Authenticate", Name::ProxyAuthorization),
    ] {
        let mut lab = Lab::new();
        let credentials = Credentials {
            username: "u".into(),
            password: Secret::new("p".into()),
        };
        let (_, first) = call(&mut lab, Some(credentials));
        let fields = format!(
            "{asked}: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=MD5\n{asked}: Digest realm=\"r\", nonce=\"n\", qop=\"auth\", algorithm=SHA-256\n"
        );
        let sent = far(&mut lab, &answer(&first, status, "far", &fields, ""));
        let second = sent
            .into_iter()
            .find(|sent| sent.method() == Some(&Method::Invite))
            .expect("another INVITE");
        assert_eq!(
            (second.field(Name::CSeq), second.field(Name::CallId)),
            ("2 INVITE", first.field(Name::CallId))
        );
        let value = AuthParams::parse(second.field(answered)).expect("credentials");
        assert_eq!(value.get("algorithm").as_deref(), Some("SHA-256"));
        far(&mut lab, &answer(&second, status, "far", &fields, ""));
        assert_eq!(lab.last_event(), CallEvent::Rejected { status });
        lab.assert_empty();
    }
}

#[test]
fn challenges_inside_the_dialog_are_answered_too_even_of_bye() {
    let mut lab = Lab::new();
    let credentials = Credentials {
        username: "u".into(),
        password: Secret::new("p".into()),
    };
    let (key, invite) = call(&mut lab, Some(credentials));
    far(&mut lab, &answer(&invite, 200, "far", CONTACT, "v=0"));
    let challenge = "Proxy-Authenticate: Digest realm=\"r\", nonce=\"n\", qop=\"auth\"\n";
    let info = lab.command(
        key,
        Command::Info {
            content_type: "application/dtmf".into(),
            body: Secret::new("5".into()),
        },
    );
    let again = far(&mut lab, &answer(&info[0], 407, "far", challenge, ""))
        .pop()
        .expect("INFO");
    assert_eq!(
        (again.field(Name::CSeq), again.message.body()),
        ("3 INFO", b"5".as_slice())
    );
    assert!(again.message.has(Name::ProxyAuthorization));
    far(&mut lab, &answer(&again, 200, "far", "", ""));
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    let again = far(&mut lab, &answer(&bye, 407, "far", challenge, ""))
        .pop()
        .expect("BYE");
    assert_eq!((again.method(), again.field(Name::CSeq)), (Some(&Method::Bye), "5 BYE"));
    assert!(
        far(&mut lab, &answer(&again, 407, "far", challenge, "")).is_empty(),
        "once"
    );
    lab.assert_empty();
}

#[test]
fn hanging_up_early_cancels_when_the_far_end_has_spoken() {
    let mut lab = Lab::new();
    let (key, invite) = call(&mut lab, None);
    assert!(lab.command(key, Command::HangUp).is_empty(), "too early for CANCEL");
    let cancel = far(&mut lab, &answer(&invite, 100, "", "", "")).pop().expect("CANCEL");
    assert_eq!(
        (cancel.method(), cancel.field(Name::Via)),
        (Some(&Method::Cancel), invite.field(Name::Via))
    );
    far(&mut lab, &answer(&cancel, 200, "far", "", ""));
    far(&mut lab, &answer(&invite, 487, "far", "", ""));
    assert_eq!(lab.last_event(), CallEvent::Rejected { status: 487 });
    lab.assert_empty();
}

#[test]
fn an_answer_that_crosses_cancel_is_acknowledged_and_hung_up() {
    let mut lab = Lab::new();
    let (key, invite) = call(&mut lab, None);
    far(&mut lab, &answer(&invite, 180, "far", CONTACT, ""));
    lab.command(key, Command::HangUp);
    let sent = far(&mut lab, &answer(&invite, 200, "far", CONTACT, "v=0"));
    let methods: Vec<_> = sent.iter().filter_map(Sent::method).collect();
    assert_eq!(methods, [&Method::Ack, &Method::Bye]);
    assert_eq!(
        lab.last_event(),
        CallEvent::Ended {
            cause: EndCause::LocalHangUp
        }
    );
    lab.assert_empty();
}

#[test]
fn the_second_branch_of_a_fork_is_hung_up() {
    let mut lab = Lab::new();
    let (_, invite) = connected(&mut lab);
    let sent = far(
        &mut lab,
        &answer(&invite, 200, "other", "Contact: <sip:other@203.0.113.20>\n", "v=0"),
    );
    let methods: Vec<_> = sent.iter().filter_map(Sent::method).collect();
    assert_eq!(methods, [&Method::Ack, &Method::Bye]);
    assert!(sent[1].field(Name::To).ends_with(";tag=other"));
    assert_eq!(lab.endpoint.stats().calls, 1);
}

#[test]
fn glare_is_tried_again_after_a_random_while() {
    let mut lab = Lab::new();
    let (key, _) = connected(&mut lab);
    let reinvite = lab
        .command(key, Command::Reinvite("v=0 change".into()))
        .pop()
        .expect("INVITE");
    far(&mut lab, &answer(&reinvite, 491, "far", "", ""));
    let sent = lab.pass(Duration::from_millis(4_400));
    let (time, second) = sent
        .iter()
        .find(|(_, sent)| sent.method() == Some(&Method::Invite))
        .expect("again");
    assert!((2_100..=4_000).contains(time), "{time}");
    far(&mut lab, &answer(second, 200, "far", CONTACT, "v=0 changed"));
    assert_eq!(
        lab.last_event(),
        CallEvent::ReinviteAnswered {
            sdp: Some("v=0 changed".into())
        }
    );
}

#[test]
fn a_refused_change_keeps_the_call_and_a_lost_dialog_ends_it() {
    let mut lab = Lab::new();
    let (key, _) = connected(&mut lab);
    let reinvite = lab.command(key, Command::Reinvite("v=0".into())).pop().expect("INVITE");
    far(&mut lab, &answer(&reinvite, 488, "far", "", ""));
    assert_eq!(lab.last_event(), CallEvent::ReinviteRejected { status: 488 });
    let info = lab.command(
        key,
        Command::Info {
            content_type: "application/dtmf".into(),
            body: Secret::new("5".into()),
        },
    );
    assert_eq!(info[0].message.body(), b"5");
    far(&mut lab, &answer(&info[0], 481, "far", "", ""));
    assert_eq!(lab.last_event(), CallEvent::Ended { cause: EndCause::Lost });
    lab.assert_empty();
}

#[test]
fn a_connection_that_cannot_be_made_is_told_at_once() {
    let mut lab = Lab::new();
    let invite = OutgoingInvite {
        target: "sip:100@203.0.113.20".into(),
        caller: "sip:test@198.51.100.1".into(),
        flow: flow_from(Transport::Tcp, FAR),
        sdp: "v=0".into(),
        credentials: None,
    };
    lab.endpoint.invite(lab.now, invite).expect("room");
    lab.input(Input::Unreachable(FAR.parse().expect("address")));
    assert_eq!(lab.last_event(), CallEvent::Rejected { status: 503 });
    lab.assert_empty();
}

#[test]
fn answers_that_are_not_ours_are_ignored() {
    let mut lab = Lab::new();
    let (_, invite) = call(&mut lab, None);
    let good = answer(&invite, 200, "far", CONTACT, "v=0");
    for bad in [
        good.replace(";branch=z9hG4bK", ";branch=z9hG4bKa"),
        good.replace("1 INVITE", "1 BYE"),
        good.replace("Via:", "Via: SIP/2.0/UDP other;branch=z9hG4bKx\nVia:"),
        good.replace("SIP/2.0 200", "SIP/2.0 4294967496"),
    ] {
        assert!(far(&mut lab, &bad).is_empty());
    }
    assert!(lab.events.is_empty());
}

/// An offer that makes an INVITE too large for a datagram (section 18.1.1).
fn large_offer() -> String {
    format!("v=0{}", "x".repeat(1200))
}

#[test]
fn a_large_invite_goes_over_tcp_and_the_call_with_it() {
    let mut lab = Lab::new();
    let (key, invite) = call_with(&mut lab, large_offer(), None);
    let over = invite.flow;
    assert_eq!(
        (over.transport, over.channel, over.remote),
        (Transport::Tcp, Channel::ANY, FAR.parse().expect("address"))
    );
    assert!(invite.field(Name::Via).starts_with("SIP/2.0/TCP "));
    assert!(lab.pass(Duration::from_secs(5)).is_empty(), "TCP repeats by itself");
    let routes: String = (0..20)
        .map(|n| format!("Record-Route: <sip:203.0.113.20:5080;lr;n={n}{}>\n", "y".repeat(50)))
        .collect();
    let ack = far(
        &mut lab,
        &answer(&invite, 200, "far", &format!("{routes}{CONTACT}"), "v=0"),
    )
    .remove(0);
    assert_eq!(
        (ack.method(), ack.flow.transport),
        (Some(&Method::Ack), Transport::Tcp),
        "as large, and TCP works"
    );
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    assert_eq!(bye.flow.transport, Transport::Tcp);
    far(&mut lab, &answer(&bye, 200, "far", "", ""));
    lab.assert_empty();
}

#[test]
fn a_far_end_without_tcp_gets_datagrams_after_all() {
    let mut lab = Lab::new();
    let (key, over_tcp) = call_with(&mut lab, large_offer(), None);
    lab.input(Input::Unreachable(FAR.parse().expect("address")));
    let invite = lab.sent.pop().expect("INVITE");
    assert_eq!(invite.flow.transport, Transport::Udp);
    let branch = |sent: &Sent| sent.field(Name::Via).split("branch=").nth(1).map(str::to_owned);
    assert_eq!(branch(&invite), branch(&over_tcp), "the same transaction");
    assert_eq!(
        lab.pass(Duration::from_millis(600)).len(),
        1,
        "repeated like any datagram"
    );
    far(&mut lab, &answer(&invite, 200, "far", CONTACT, "v=0"));
    let change = lab
        .command(key, Command::Reinvite(large_offer()))
        .pop()
        .expect("INVITE");
    assert_eq!(change.flow.transport, Transport::Udp, "not tried again in this call");
    far(&mut lab, &answer(&change, 200, "far", CONTACT, "v=0"));
    lab.command(key, Command::HangUp);
    lab.assert_empty();
}

#[test]
fn credentials_can_make_a_datagram_too_large() {
    let mut lab = Lab::new();
    let credentials = Credentials {
        username: "u".repeat(300),
        password: Secret::new("p".into()),
    };
    let (_, first) = call_with(&mut lab, format!("v=0{}", "x".repeat(600)), Some(credentials));
    assert_eq!(first.flow.transport, Transport::Udp);
    let challenge = format!(
        "WWW-Authenticate: Digest realm=\"r\", nonce=\"{}\", qop=\"auth\"\n",
        "n".repeat(300)
    );
    let second = far(&mut lab, &answer(&first, 401, "far", &challenge, ""))
        .pop()
        .expect("INVITE");
    assert_eq!(
        (second.method(), second.flow.transport),
        (Some(&Method::Invite), Transport::Tcp)
    );
    lab.input(Input::Unreachable(FAR.parse().expect("address")));
    let third = lab.sent.pop().expect("INVITE");
    assert!(third.flow.transport == Transport::Udp && third.message.has(Name::Authorization));
    far(&mut lab, &answer(&third, 486, "far", "", ""));
    assert_eq!(lab.last_event(), CallEvent::Rejected { status: 486 });
    lab.assert_empty();
}

#[test]
fn calls_that_we_make_count_towards_the_most_calls_at_once() {
    let config = EndpointConfig {
        max_calls: 1,
        ..EndpointConfig::default()
    };
    let mut lab = Lab::with(&[("carrier", TRUNK)], Transport::Udp, config);
    let (key, _) = call(&mut lab, None);
    let refused = |lab: &mut Lab, branch| lab.deliver(&invite(branch)).pop().and_then(|sent| sent.status());
    assert_eq!(refused(&mut lab, "1"), Some(503));
    assert_eq!(
        lab.answer_to(&request("OPTIONS", "2", 2, "", "", "")).status(),
        Some(503)
    );
    lab.command(key, Command::HangUp);
    lab.pass(Duration::from_secs(200));
    assert_eq!(lab.endpoint.stats().calls, 0);
    lab.deliver(&invite("3").replace("call-1", "call-3"));
    assert_eq!(lab.incoming.len(), 1, "there is room again");
}
