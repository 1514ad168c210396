//! Where requests of ours go.

use std::time::Duration;

use super::super::{Command, Input, ReinviteId};
use super::support::{Lab, ack, invite, request};
use crate::secret::Secret;
use crate::telephony::sip::message::{Method, Name};
use crate::telephony::sip::transport::{Channel, Transport};

#[test]
fn our_bye_goes_to_their_contact_until_it_is_answered() {
    let mut lab = Lab::new();
    let (key, tag) = lab.established();
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    assert_eq!(bye.message.request(), Some((&Method::Bye, "sip:alice@192.0.2.9")));
    assert_eq!(bye.field(Name::To), "\"Alice\" <sip:alice@192.0.2.9>;tag=theirs");
    assert!(bye.field(Name::From).ends_with(&format!(";tag={tag}")));
    let times: Vec<_> = lab
        .pass(Duration::from_secs(12))
        .into_iter()
        .map(|(ms, _)| ms)
        .collect();
    assert_eq!(times, [500, 1500, 3500, 7500, 11_500], "timer E");
    let via = bye.field(Name::Via);
    let ok = format!(
        "SIP/2.0 200 OK\nVia: {via}\nFrom: {}\nTo: {}\nCall-ID: call-1\nCSeq: 1 BYE\n\n",
        bye.field(Name::From),
        bye.field(Name::To)
    );
    lab.deliver(&ok);
    assert!(lab.pass(Duration::from_secs(60)).is_empty());
    lab.assert_empty();
}

#[test]
fn only_an_accepted_change_moves_the_target() {
    let mut lab = Lab::new();
    let (key, tag) = lab.established();
    let target = |lab: &mut Lab| {
        let command = Command::Info {
            content_type: "application/dtmf".into(),
            body: Secret::new("1".into()),
        };
        let info = lab.command(key, command).pop().expect("INFO");
        info.message
            .request()
            .map(|(_, uri)| uri.to_owned())
            .expect("a request")
    };
    let moved = |host: u8| format!("Contact: <sip:bob@192.0.2.{host}>\nContent-Type: application/sdp\n");
    for (method, host) in [("INFO", 20), ("OPTIONS", 21)] {
        lab.deliver(&request(
            method,
            method,
            host,
            &tag,
            &format!("Contact: <sip:bob@192.0.2.{host}>\n"),
            "",
        ));
        assert_eq!(target(&mut lab), "sip:alice@192.0.2.9", "{method}");
    }
    lab.deliver(&request("UPDATE", "u1", 22, &tag, &moved(22), "v=0"));
    lab.command(key, Command::RejectReinvite(ReinviteId(22), 488));
    assert_eq!(target(&mut lab), "sip:alice@192.0.2.9", "a refused UPDATE");
    lab.deliver(&request("UPDATE", "u2", 23, &tag, &moved(23), "v=0"));
    lab.command(key, Command::AnswerReinvite(ReinviteId(23), "v=0".into()));
    assert_eq!(target(&mut lab), "sip:bob@192.0.2.23");
    lab.deliver(&request(
        "UPDATE",
        "u3",
        24,
        &tag,
        "Contact: <sip:bob@192.0.2.24>\n",
        "",
    ));
    assert_eq!(target(&mut lab), "sip:bob@192.0.2.24", "UPDATE without SDP");
}

#[test]
fn a_target_that_says_tcp_is_reached_over_tcp() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1").replace(
        "<sip:alice@192.0.2.9>\nContent",
        "<sip:alice@192.0.2.9;transport=TCP>\nContent",
    ));
    let key = lab.incoming[0].key;
    let ok = lab.command(key, Command::Answer("v=0\n".into())).pop().expect("200");
    lab.deliver(&ack(&ok.to_tag()));
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    assert_eq!(bye.flow.transport, Transport::Tcp);
    assert!(bye.field(Name::Via).starts_with("SIP/2.0/TCP 198.51.100.1:5060;"));
    lab.input(Input::Unreachable(bye.flow.remote));
    let again = lab.sent.pop().expect("BYE");
    assert_eq!(
        (again.method(), again.flow.transport),
        (Some(&Method::Bye), Transport::Udp)
    );
    lab.assert_empty();
}

/// Section 18.1.1: with a long route set even BYE is too large for a datagram.
#[test]
fn large_requests_go_over_tcp() {
    let mut lab = Lab::new();
    let routes: String = (0..20)
        .map(|n| format!("Record-Route: <sip:192.0.2.20:5060;lr;session={n}{}>\n", "x".repeat(50)))
        .collect();
    lab.deliver(&invite("1").replace("Max-Forwards", &format!("{routes}Max-Forwards")));
    let key = lab.incoming[0].key;
    let ok = lab.command(key, Command::Answer("v=0\n".into())).pop().expect("200");
    assert_eq!(
        ok.flow.transport,
        Transport::Udp,
        "answers go where the request came from"
    );
    lab.deliver(&ack(&ok.to_tag()));
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    assert!(bye.bytes.len() > 1300);
    assert_eq!(
        (bye.flow.transport, bye.flow.channel, bye.flow.remote),
        (
            Transport::Tcp,
            Channel::ANY,
            "192.0.2.20:5060".parse().expect("address")
        )
    );
    lab.assert_empty();
}

#[test]
fn requests_never_go_to_third_parties() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1").replace("Contact: <sip:alice@192.0.2.9>", "Contact: <sip:victim@203.0.113.1>"));
    let key = lab.incoming[0].key;
    let ok = lab.command(key, Command::Answer("v=0\n".into())).pop().expect("200");
    lab.deliver(&ack(&ok.to_tag()));
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    assert_eq!(
        bye.message.request().map(|(_, uri)| uri),
        Some("sip:victim@203.0.113.1"),
        "addressed as the dialog says"
    );
    assert_eq!(bye.flow.remote, lab.flow.remote, "sent to where the caller is");
}

#[test]
fn record_route_becomes_the_route_set() {
    let mut lab = Lab::new();
    let routes = "Record-Route: <sip:192.0.2.20;lr>, <sip:192.0.2.21:5090;lr>\nRecord-Route: <sip:p3.example.com;lr>\nMax-Forwards";
    lab.deliver(&invite("1").replace("Max-Forwards", routes));
    let key = lab.incoming[0].key;
    let ok = lab.command(key, Command::Answer("v=0\n".into())).pop().expect("200");
    assert_eq!(ok.message.fields(Name::RecordRoute).count(), 2, "copied");
    lab.deliver(&ack(&ok.to_tag()));
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    let routes: Vec<_> = bye.message.fields(Name::Route).collect();
    assert_eq!(
        routes,
        [
            "<sip:192.0.2.20;lr>",
            "<sip:192.0.2.21:5090;lr>",
            "<sip:p3.example.com;lr>"
        ]
    );
    assert_eq!(bye.flow.remote, "192.0.2.20:5060".parse().expect("address"));
}

#[test]
fn a_strict_router_gets_the_request_uri() {
    let mut lab = Lab::new();
    lab.deliver(&invite("1").replace(
        "Max-Forwards",
        "Record-Route: <sip:192.0.2.20>, <sip:192.0.2.21;lr>\nMax-Forwards",
    ));
    let key = lab.incoming[0].key;
    let ok = lab.command(key, Command::Answer("v=0\n".into())).pop().expect("200");
    lab.deliver(&ack(&ok.to_tag()));
    let bye = lab.command(key, Command::HangUp).pop().expect("BYE");
    assert_eq!(bye.message.request().map(|(_, uri)| uri), Some("sip:192.0.2.20"));
    let routes: Vec<_> = bye.message.fields(Name::Route).collect();
    assert_eq!(routes, ["<sip:192.0.2.21;lr>", "<sip:alice@192.0.2.9>"]);
}
