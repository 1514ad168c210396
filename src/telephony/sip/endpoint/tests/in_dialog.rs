//! Requests inside a dialog.

use std::time::Duration;

use super::super::{CallEvent, Command, EndCause, InfoKind, ReinviteId};
use super::support::{Lab, ack, flow_from, invite, request};
use crate::secret::Secret;
use crate::telephony::sip::message::{Method, Name};
use crate::telephony::sip::transport::Transport;

const SDP: &str = "Contact: <sip:bob@192.0.2.10:5070>\nContent-Type: application/sdp\n";

fn statuses(sent: &[super::support::Sent]) -> Vec<u16> {
    sent.iter().filter_map(|sent| sent.status()).collect()
}

#[test]
fn bye_is_answered_once_and_again_the_same() {
    let mut lab = Lab::new();
    let (_, tag) = lab.established();
    let first = lab.answer_to(&request("BYE", "bye", 2, &tag, "", ""));
    assert_eq!(first.status(), Some(200));
    assert_eq!(
        lab.last_event(),
        CallEvent::Ended {
            cause: EndCause::RemoteHangUp
        }
    );
    assert_eq!(
        lab.answer_to(&request("BYE", "bye", 2, &tag, "", "")).bytes,
        first.bytes
    );
    assert_eq!(
        lab.answer_to(&request("BYE", "bye2", 3, &tag, "", "")).status(),
        Some(481)
    );
    lab.assert_empty();
}

#[test]
fn bye_of_ours_waits_for_the_ack() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    let key = lab.incoming[0].key;
    let ok = lab.command(key, Command::Answer("v=0\n".into())).pop().expect("200");
    assert!(lab.command(key, Command::HangUp).is_empty());
    let sent = lab.deliver(&ack(&ok.to_tag()));
    assert_eq!(sent[0].method(), Some(&Method::Bye));
    assert_eq!(
        lab.last_event(),
        CallEvent::Ended {
            cause: EndCause::LocalHangUp
        }
    );
}

#[test]
fn numbers_must_rise_and_gaps_are_fine() {
    let mut lab = Lab::new();
    let (_, tag) = lab.established();
    assert_eq!(
        lab.answer_to(&request("OPTIONS", "a", 900, &tag, "", "")).status(),
        Some(200)
    );
    assert_eq!(
        lab.answer_to(&request("OPTIONS", "b", 899, &tag, "", "")).status(),
        Some(500)
    );
}

#[test]
fn unknown_dialogs_are_481_and_their_ack_is_ignored() {
    let mut lab = Lab::new();
    let (_, tag) = lab.established();
    for (method, tag) in [
        ("BYE", "0123456789abcdef"),
        ("INFO", "x"),
        ("OPTIONS", "0123456789ABCDEF"),
    ] {
        assert_eq!(
            lab.answer_to(&request(method, method, 2, tag, "", "")).status(),
            Some(481)
        );
    }
    let other_call = request("BYE", "z", 2, &tag, "", "").replace("call-1", "call-2");
    assert_eq!(lab.answer_to(&other_call).status(), Some(481));
    let other_tag = request("BYE", "y", 2, &tag, "", "").replace("tag=theirs", "tag=guessed");
    assert_eq!(lab.answer_to(&other_tag).status(), Some(481));
    assert!(lab.deliver(&ack("0123456789abcdef")).is_empty());
    assert_eq!(lab.endpoint.stats().calls, 1, "the call goes on");
}

#[test]
fn requests_from_outside_the_trunk_do_not_touch_the_call() {
    let other = "networks = [\"203.0.113.0/24\"]\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
    let mut lab = Lab::with(
        &[("carrier", super::support::TRUNK), ("other", other)],
        Transport::Udp,
        Default::default(),
    );
    let (_, tag) = lab.established();
    let bye = request("BYE", "bye", 2, &tag, "", "");
    let sent = lab.deliver_from(flow_from(Transport::Udp, "203.0.113.5:5060"), &bye);
    assert_eq!(statuses(&sent), [481]);
    let sent = lab.deliver_from(flow_from(Transport::Udp, "198.18.0.1:5060"), &bye);
    assert_eq!(statuses(&sent), [403]);
    assert_eq!(lab.endpoint.stats().calls, 1);
    let sent = lab.deliver_from(flow_from(Transport::Udp, "192.0.2.10:5999"), &bye);
    assert_eq!(statuses(&sent), [200], "another address of the same trunk");
}

#[test]
fn keys_by_info_are_answered_at_once_and_handed_on_unseen() {
    let mut lab = Lab::new();
    let (_, tag) = lab.established();
    let relay = request(
        "INFO",
        "a",
        2,
        &tag,
        "Content-Type: application/dtmf-relay\n",
        "Signal=5\nDuration=160\n",
    );
    assert_eq!(lab.answer_to(&relay).status(), Some(200));
    let event = lab.last_event();
    assert_eq!(
        event,
        CallEvent::Info {
            kind: InfoKind::DtmfRelay,
            body: Secret::new("Signal=5\r\nDuration=160\r\n".into())
        }
    );
    assert!(!format!("{event:?}").contains('5'), "never printed");
    assert_eq!(
        lab.answer_to(&relay).status(),
        Some(200),
        "a repetition is no second key"
    );
    assert!(lab.events.is_empty());
    let bare = request("INFO", "b", 3, &tag, "Content-Type: application/dtmf\n", "7");
    assert_eq!(lab.answer_to(&bare).status(), Some(200));
    assert!(matches!(
        lab.last_event(),
        CallEvent::Info {
            kind: InfoKind::Dtmf,
            ..
        }
    ));
    let other = lab.answer_to(&request("INFO", "c", 4, &tag, "Content-Type: text/plain\n", "7"));
    assert_eq!(
        (other.status(), other.field(Name::Accept)),
        (Some(415), "application/dtmf-relay, application/dtmf")
    );
    let long = request(
        "INFO",
        "d",
        5,
        &tag,
        "Content-Type: application/dtmf\n",
        &"7".repeat(600),
    );
    assert_eq!(lab.answer_to(&long).status(), Some(400));
    assert_eq!(
        lab.answer_to(&request("INFO", "e", 6, &tag, "", "")).status(),
        Some(200)
    );
    assert!(lab.events.is_empty());
}

#[test]
fn methods_and_options_are_refused_inside_as_outside() {
    let mut lab = Lab::new();
    let (_, tag) = lab.established();
    let refused = [("FLY", 501), ("REFER", 405), ("PRACK", 405), ("SUBSCRIBE", 405)];
    for (cseq, (method, status)) in (2..).zip(refused) {
        let answer = lab.answer_to(&request(method, method, cseq, &tag, "", ""));
        assert_eq!(answer.status(), Some(status), "{method}");
        assert!(answer.field(Name::Allow).contains("INVITE"), "{method}");
    }
    let refused = lab.answer_to(&request(
        "INFO",
        "c",
        6,
        &tag,
        "Require: x, y\nRequire: z\nProxy-Require: p\n",
        "",
    ));
    assert_eq!(
        (refused.status(), refused.field(Name::Unsupported)),
        (Some(420), "x, y, z")
    );
    let ok = lab.answer_to(&request("OPTIONS", "d", 7, &tag, "", ""));
    assert_eq!(ok.status(), Some(200));
    for name in [Name::Allow, Name::Accept, Name::Supported, Name::AcceptEncoding] {
        assert!(ok.message.has(name), "{name:?}");
    }
}

/// Only who has our 2xx sends another INVITE, so the lost ACK is no reason to wait for it (Avaya and Cisco send a re-INVITE
/// right after the answer).
#[test]
fn another_invite_stands_for_a_lost_ack() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    let key = lab.incoming[0].key;
    let ok = lab.command(key, Command::Answer("v=0\n".into())).pop().expect("200");
    let tag = ok.to_tag();
    assert!(
        lab.deliver(&request("INVITE", "a", 2, &tag, SDP, "v=0 moved"))
            .is_empty()
    );
    let events: Vec<_> = lab.events.drain(..).map(|(_, event)| event).collect();
    assert_eq!(
        events,
        [
            CallEvent::Acknowledged { sdp: None },
            CallEvent::Reinvite {
                id: ReinviteId(2),
                offer: Some("v=0 moved".into())
            }
        ]
    );
    lab.command(key, Command::AnswerReinvite(ReinviteId(2), "v=0 new".into()));
    assert_eq!(lab.last_event(), CallEvent::ReinviteAccepted);
    assert!(lab.deliver(&ack(&tag)).is_empty(), "the late ACK of the first");
    assert!(lab.events.is_empty());
    let again = lab.pass(Duration::from_millis(600));
    assert_eq!(again[0].1.message.body(), b"v=0 new", "only the second is repeated");
    lab.deliver(&request("ACK", "ack2", 2, &tag, "", ""));
    assert_eq!(lab.last_event(), CallEvent::Acknowledged { sdp: None });
    assert!(lab.pass(Duration::from_secs(60)).is_empty());
}

#[test]
fn with_a_late_offer_nothing_stands_for_the_ack() {
    let mut lab = Lab::new();
    lab.deliver(&request("INVITE", "1", 1, "", "Contact: <sip:alice@192.0.2.9>\n", ""));
    let key = lab.incoming[0].key;
    let ok = lab
        .command(key, Command::Answer("v=0 offer".into()))
        .pop()
        .expect("200");
    for (cseq, method) in [(2, "INVITE"), (3, "UPDATE")] {
        let early = lab.answer_to(&request(method, method, cseq, &ok.to_tag(), SDP, "v=0"));
        assert_eq!(
            early.status(),
            Some(491),
            "{method}: our offer is open (RFC 3311 section 5.2)"
        );
    }
    assert!(lab.events.is_empty());
    lab.deliver(&request(
        "ACK",
        "ack",
        1,
        &ok.to_tag(),
        "Content-Type: application/sdp\nContact: <sip:\n",
        "v=0 answer",
    ));
    let sdp = Some("v=0 answer".into());
    assert_eq!(
        lab.last_event(),
        CallEvent::Acknowledged { sdp },
        "the broken Contact does not matter"
    );
}

/// The number of a refused request is used up: what comes with it again is no new request (section 12.2.2).
#[test]
fn refused_methods_use_their_number() {
    let mut lab = Lab::new();
    let (_, tag) = lab.established();
    for (method, status) in [("REFER", 405), ("FLY", 501)] {
        let cseq = if method == "FLY" { 6 } else { 5 };
        let refused = lab.answer_to(&request(method, method, cseq, &tag, "", ""));
        assert_eq!(refused.status(), Some(status));
        let again = lab.answer_to(&request("INFO", &format!("i{cseq}"), cseq, &tag, "", ""));
        assert_eq!(again.status(), Some(500), "after {method}");
    }
}

#[test]
fn an_accepted_reinvite_moves_the_target_and_a_refused_one_does_not() {
    let mut lab = Lab::new();
    let (key, tag) = lab.established();
    lab.deliver(&request("INVITE", "a", 2, &tag, SDP, "v=0 hold"));
    assert_eq!(
        lab.last_event(),
        CallEvent::Reinvite {
            id: ReinviteId(2),
            offer: Some("v=0 hold".into())
        }
    );
    let refused = lab
        .command(key, Command::RejectReinvite(ReinviteId(2), 488))
        .pop()
        .expect("488");
    assert_eq!(refused.status(), Some(488));
    lab.deliver(&request("ACK", "a", 2, &tag, "", ""));
    assert_eq!(lab.endpoint.stats().calls, 1, "the session stays as it was");
    let info = lab.command(
        key,
        Command::Info {
            content_type: "application/dtmf".into(),
            body: Secret::new("1".into()),
        },
    );
    assert_eq!(
        info[0].message.request().map(|(_, uri)| uri),
        Some("sip:alice@192.0.2.9")
    );

    lab.deliver(&request("INVITE", "b", 3, &tag, SDP, "v=0 again"));
    let ok = lab
        .command(key, Command::AnswerReinvite(ReinviteId(3), "v=0 new".into()))
        .pop()
        .expect("200");
    assert_eq!((ok.status(), ok.to_tag()), (Some(200), tag.clone()));
    lab.deliver(&request("ACK", "ack2", 3, &tag, "", ""));
    assert_eq!(lab.last_event(), CallEvent::Acknowledged { sdp: None });
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    assert_eq!(
        bye.message.request().map(|(_, uri)| uri),
        Some("sip:bob@192.0.2.10:5070")
    );
    assert_eq!(
        bye.flow.remote,
        "192.0.2.10:5070".parse().expect("address"),
        "inside the trunk: sent there"
    );
}

#[test]
fn one_change_at_a_time() {
    let mut lab = Lab::new();
    let (key, tag) = lab.established();
    lab.deliver(&request("INVITE", "a", 2, &tag, SDP, "v=0"));
    let second = lab.answer_to(&request("INVITE", "b", 3, &tag, SDP, "v=0"));
    let seconds: u32 = second.field(Name::RetryAfter).parse().expect("seconds");
    assert!(second.status() == Some(500) && seconds <= 10);
    lab.deliver(&request("ACK", "b", 3, &tag, "", ""));
    lab.command(key, Command::RejectReinvite(ReinviteId(2), 488));
    lab.deliver(&request("ACK", "a", 2, &tag, "", ""));
    let ours = lab.command(key, Command::Reinvite("v=0 ours".into()));
    assert_eq!(ours[0].method(), Some(&Method::Invite));
    assert_eq!(
        lab.answer_to(&request("INVITE", "c", 4, &tag, SDP, "v=0")).status(),
        Some(491),
        "glare"
    );
}

#[test]
fn a_change_that_the_call_layer_forgets_is_refused() {
    let mut lab = Lab::new();
    let (_, tag) = lab.established();
    lab.deliver(&request("INVITE", "a", 2, &tag, SDP, "v=0"));
    let sent = lab.pass(Duration::from_secs(21));
    assert!(
        sent.iter()
            .any(|(ms, sent)| *ms == 20_000 && sent.status() == Some(500))
    );
    assert_eq!(lab.last_event(), CallEvent::ReinviteCancelled);
}

#[test]
fn a_change_that_waits_is_refused_when_the_call_ends() {
    let mut lab = Lab::new();
    let (key, tag) = lab.established();
    lab.deliver(&request("INVITE", "a", 2, &tag, SDP, "v=0"));
    let sent = lab.command(key, Command::HangUp);
    assert_eq!(statuses(&sent), [487]);
    assert_eq!(sent[1].method(), Some(&Method::Bye));
    lab.deliver(&request("ACK", "a", 2, &tag, "", ""));
    lab.assert_empty();
}

#[test]
fn a_late_answer_does_not_hit_the_next_change() {
    let mut lab = Lab::new();
    let (key, tag) = lab.established();
    lab.deliver(&request("INVITE", "a", 2, &tag, SDP, "v=0 first"));
    lab.deliver(&request("CANCEL", "a", 2, &tag, "", ""));
    lab.deliver(&request("INVITE", "b", 3, &tag, SDP, "v=0 second"));
    let late = Command::AnswerReinvite(ReinviteId(2), "v=0 first".into());
    assert!(lab.command(key, late).is_empty());
    let right = Command::AnswerReinvite(ReinviteId(3), "v=0 second".into());
    assert_eq!(lab.command(key, right)[0].message.body(), b"v=0 second");
}

#[test]
fn a_cancelled_change_keeps_the_call() {
    let mut lab = Lab::new();
    let (key, tag) = lab.established();
    lab.deliver(&request("INVITE", "a", 2, &tag, SDP, "v=0"));
    let sent = lab.deliver(&request("CANCEL", "a", 2, &tag, "", ""));
    assert_eq!(statuses(&sent), [200, 487]);
    assert_eq!(lab.last_event(), CallEvent::ReinviteCancelled);
    assert_eq!(lab.endpoint.stats().calls, 1);
    lab.events.clear();
    let crossing = Command::AnswerReinvite(ReinviteId(2), "v=0".into());
    assert!(lab.command(key, crossing).is_empty());
    assert!(lab.events.is_empty(), "nobody is told that it counts");
}

#[test]
fn update_refreshes_and_changes() {
    let mut lab = Lab::new();
    let (key, tag) = lab.established();
    let refreshed = lab.answer_to(&request("UPDATE", "a", 2, &tag, "Contact: <sip:bob@192.0.2.10>\n", ""));
    assert_eq!(refreshed.status(), Some(200));
    assert!(lab.deliver(&request("UPDATE", "b", 3, &tag, SDP, "v=0")).is_empty());
    assert!(matches!(lab.last_event(), CallEvent::Reinvite { offer: Some(_), .. }));
    let ok = lab
        .command(key, Command::AnswerReinvite(ReinviteId(3), "v=0".into()))
        .pop()
        .expect("200");
    assert_eq!((ok.status(), ok.message.body()), (Some(200), b"v=0".as_slice()));
    assert!(
        lab.pass(Duration::from_secs(40)).is_empty(),
        "UPDATE has no ACK to wait for"
    );
}

#[test]
fn a_late_offer_is_answered_in_the_ack() {
    let late = || request("INVITE", "1", 1, "", "Contact: <sip:alice@192.0.2.9>\n", "");
    let mut lab = Lab::new();
    lab.deliver(&late());
    let info = lab.incoming.pop().expect("a call");
    assert_eq!(info.offer, None);
    let ok = lab
        .command(info.key, Command::Answer("v=0 offer".into()))
        .pop()
        .expect("200");
    lab.deliver(&request(
        "ACK",
        "ack",
        1,
        &ok.to_tag(),
        "Content-Type: application/sdp\n",
        "v=0 answer",
    ));
    assert_eq!(
        lab.last_event(),
        CallEvent::Acknowledged {
            sdp: Some("v=0 answer".into())
        }
    );

    let mut lab = Lab::new();
    lab.deliver(&late());
    let key = lab.incoming[0].key;
    let ok = lab
        .command(key, Command::Answer("v=0 offer".into()))
        .pop()
        .expect("200");
    let sent = lab.deliver(&ack(&ok.to_tag()));
    assert_eq!(sent[0].method(), Some(&Method::Bye));
    assert_eq!(
        lab.last_event(),
        CallEvent::Ended {
            cause: EndCause::NoSdpAnswer
        }
    );
}

#[test]
fn bye_before_the_answer_ends_the_invite_too() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    let key = lab.incoming[0].key;
    let ringing = lab.command(key, Command::Ring).pop().expect("180");
    let sent = lab.deliver(&request("BYE", "bye", 2, &ringing.to_tag(), "", ""));
    assert_eq!(statuses(&sent), [200, 487]);
    assert_eq!(
        lab.last_event(),
        CallEvent::Ended {
            cause: EndCause::RemoteHangUp
        }
    );
}

#[test]
fn a_change_before_the_answer_must_wait() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1"));
    let key = lab.incoming[0].key;
    let ringing = lab.command(key, Command::Ring).pop().expect("180");
    let answer = lab.answer_to(&request("UPDATE", "u", 2, &ringing.to_tag(), SDP, "v=0"));
    assert_eq!(answer.status(), Some(500));
    assert!(answer.message.has(Name::RetryAfter));
}

/// Section 19.1.1, table 1: a far end that checks would refuse our BYE.
#[test]
fn headers_in_a_contact_are_not_sent_back_to_it() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1").replace(
        "<sip:alice@192.0.2.9>\nContent",
        "<sip:alice@192.0.2.9;x=y?Subject=z>\nContent",
    ));
    let key = lab.incoming.pop().expect("a call").key;
    let ok = lab.command(key, Command::Answer("v=0".into())).pop().expect("200");
    lab.deliver(&ack(&ok.to_tag()));
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    assert_eq!(bye.message.request(), Some((&Method::Bye, "sip:alice@192.0.2.9;x=y")));
}
