//! Tables with a limit, the decision when it is reached, and who may do what to whose call.

use std::time::Duration;

use super::super::{CallEvent, Command, EndpointConfig, Input};
use super::support::{Lab, ack, flow_from, invite, request};
use crate::telephony::sip::message::{MAX_MESSAGE_BYTES, Name};
use crate::telephony::sip::transport::Transport;

const TWO: [(&str, &str); 2] = [
    (
        "carrier",
        "networks = [\"192.0.2.0/24\"]\ncalls_per_second = 1\ncall_burst = 2\n[[called]]\nnumber = \"100\"\ndialplan = \"reset\"\n",
    ),
    (
        "other",
        "networks = [\"198.18.0.0/24\"]\n[[called]]\nnumber = \"100\"\ndialplan = \"reset\"\n",
    ),
];

fn two_trunks(config: EndpointConfig) -> Lab {
    Lab::with(&TWO, Transport::Udp, config)
}

/// Another trunk had seen the branch and could cancel the call.
#[test]
fn a_call_is_cancelled_by_who_placed_it_and_by_nobody_else() {
    let mut lab = two_trunks(EndpointConfig::default());
    lab.deliver(&invite("1"));
    let cancel = request("CANCEL", "1", 1, "", "", "");
    let refused = lab.deliver_from(flow_from(Transport::Udp, "198.18.0.9:5060"), &cancel);
    assert_eq!((refused.len(), refused[0].status()), (1, Some(481)));
    assert_eq!(lab.events, []);
    // The trunk may use another of its addresses.
    let sent = lab.deliver_from(flow_from(Transport::Udp, "192.0.2.77:5060"), &cancel);
    assert_eq!(
        sent.iter().filter_map(|sent| sent.status()).collect::<Vec<_>>(),
        [200, 487]
    );
}

/// `sips` demands TLS on every hop; over UDP and TCP it was taken for `sip`.
#[test]
fn sips_without_tls_is_416() {
    for transport in [Transport::Udp, Transport::Tcp] {
        let mut lab = Lab::over(transport);
        for (branch, method) in [("1", "INVITE"), ("2", "OPTIONS")] {
            let text = invite(branch)
                .replace("INVITE", method)
                .replace("sip:100@198.51.100.1 SIP", "sips:100@198.51.100.1 SIP");
            assert_eq!(lab.answer_to(&text).status(), Some(416), "{method}");
        }
        assert!(lab.incoming.is_empty());
    }
}

#[test]
fn when_all_calls_of_the_engine_are_taken_the_next_hears_503_and_when_to_come_back() {
    let mut lab = two_trunks(EndpointConfig {
        max_calls: 2,
        ..EndpointConfig::default()
    });
    for n in 0..2 {
        lab.deliver(&invite(&format!("{n}")).replace("call-1", &format!("call-{n}")));
    }
    let other = flow_from(Transport::Udp, "198.18.0.9:5060");
    let refused = lab
        .deliver_from(other, &invite("3").replace("call-1", "call-3"))
        .remove(0);
    assert_eq!((refused.status(), refused.field(Name::RetryAfter)), (Some(503), "2"));
    assert_eq!((lab.incoming.len(), lab.endpoint.stats().calls), (2, 2));
}

#[test]
fn a_flood_of_one_trunk_uses_up_its_own_budget_only() {
    let mut lab = two_trunks(EndpointConfig::default());
    let mut answers = 0;
    for n in 0..5_000 {
        answers += lab.deliver(&request("OPTIONS", &format!("o{n}"), 1, "", "", "")).len();
    }
    assert_eq!(answers, 40, "twenty messages for each call of its burst");
    assert_eq!(lab.endpoint.stats().throttled, 4_960);
    let other = flow_from(Transport::Udp, "198.18.0.9:5060");
    lab.deliver_from(other, &invite("honest"));
    assert_eq!(lab.incoming.len(), 1);
    lab.pass(Duration::from_secs(2));
    assert_eq!(
        lab.deliver(&request("OPTIONS", "later", 1, "", "", "")).len(),
        1,
        "it comes back"
    );
}

/// What a trunk sends too much of cost the ACK, the keys and the BYE of its established calls too, and a keepalive cost
/// as much as a request.
#[test]
fn a_flood_of_a_trunk_costs_its_established_calls_nothing() {
    let mut lab = two_trunks(EndpointConfig::default());
    for _ in 0..1_000 {
        lab.deliver("\n\n");
    }
    lab.deliver(&invite("1"));
    let key = lab.incoming.pop().expect("a call").key;
    let ok = lab
        .command(key, Command::Answer("v=0 ours\n".into()))
        .pop()
        .expect("200");
    for n in 0..1_000 {
        lab.deliver(&request("OPTIONS", &format!("o{n}"), 1, "", "", ""));
        lab.deliver(&request("INFO", &format!("i{n}"), 1, "0123456789abcdef", "", ""));
    }
    assert!(
        lab.deliver(&request("OPTIONS", "o", 1, "", "", "")).is_empty(),
        "used up"
    );
    lab.deliver(&ack(&ok.to_tag()));
    assert_eq!(lab.last_event(), CallEvent::Acknowledged { sdp: None });
    let field = "Content-Type: application/dtmf-relay\n";
    let info = |n: u32| request("INFO", &format!("k{n}"), 2 + n, &ok.to_tag(), field, "Signal=5\n");
    assert_eq!(lab.answer_to(&info(0)).status(), Some(200));
    // Behind proxies that write parameters like tags into their routes.
    let proxies = "Route: <sip:192.0.2.7;lr;ftag=theirs;did=1>\n".repeat(4);
    let behind = info(2_000).replace("Max-Forwards", &format!("{proxies}Max-Forwards"));
    assert_eq!(lab.answer_to(&behind).status(), Some(200));
    // A call that says too much is no way around the budget.
    let heard = (2_001..3_000).filter(|n| !lab.deliver(&info(*n)).is_empty()).count();
    assert!((90..100).contains(&heard), "{heard}");
    lab.pass(Duration::from_secs(1));
    assert_eq!(
        lab.answer_to(&request("BYE", "b", 4_000, &ok.to_tag(), "", ""))
            .status(),
        Some(200)
    );
}

/// An INVITE would hear 503, so OPTIONS does (RFC 3261 section 11.2).
#[test]
fn options_tells_that_the_rate_of_calls_is_used_up() {
    let mut lab = two_trunks(EndpointConfig::default());
    for n in 0..2 {
        lab.deliver(&invite(&format!("{n}")).replace("call-1", &format!("call-{n}")));
    }
    let options = |branch: &str| request("OPTIONS", branch, 1, "", "", "").replace("call-1", branch);
    let refused = lab.answer_to(&options("o1"));
    assert_eq!((refused.status(), refused.field(Name::RetryAfter)), (Some(503), "2"));
    lab.pass(Duration::from_secs(1));
    assert_eq!(lab.answer_to(&options("o2")).status(), Some(200));
}

/// Transactions were counted, not weighed: an answer repeats every Via of its request, and 600 refused INVITEs of 56 kB held
/// 36 MB for half a minute, with room for 131,072 of them.
#[test]
fn what_transactions_keep_is_bounded_in_bytes_and_large_requests_take_half_of_it() {
    const MOST: usize = 1024 * 1024;
    let fast = TWO.map(|(name, text)| {
        (
            name,
            text.replace("calls_per_second = 1\ncall_burst = 2", "calls_per_second = 1000"),
        )
    });
    let fast = fast.each_ref().map(|(name, text)| (*name, text.as_str()));
    let config = EndpointConfig {
        max_transaction_bytes: MOST,
        ..EndpointConfig::default()
    };
    let mut lab = Lab::with(&fast, Transport::Udp, config);
    let vias = format!("Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx;x={}\n", "a".repeat(7_900)).repeat(7);
    let large = |n: u32, called: &str| {
        let text = invite(&format!("large{n}")).replace("call-1", &format!("large-{n}"));
        text.replace("sip:100@198", &format!("sip:{called}@198"))
            .replace("Max-Forwards", &format!("{vias}Max-Forwards"))
    };
    for n in 0..100 {
        assert_eq!(lab.answer_to(&large(n, "999")).status(), Some(404), "all are answered");
    }
    let held = lab.endpoint.stats().transaction_bytes;
    assert!((MOST / 2 - 57_000..=MOST / 2).contains(&held), "{held}");
    assert_eq!(
        lab.answer_to(&large(100, "100")).status(),
        Some(503),
        "a call would need a transaction"
    );
    // An answer that is not kept is said once, and again to a repetition.
    assert_eq!(lab.answer_to(&large(99, "999")).status(), Some(404));
    // Everybody else is served, and the other trunk too.
    let other = flow_from(Transport::Udp, "198.18.0.9:5060");
    lab.deliver_from(other, &invite("usual").replace("call-1", "usual"));
    assert_eq!(lab.incoming.len(), 1);
    let usual = |n: u32| {
        let text = invite(&format!("u{n}")).replace("call-1", &format!("u-{n}"));
        text.replace("sip:100@198", "sip:999@198")
    };
    for n in 0..3_000 {
        lab.deliver(&usual(n));
    }
    let stats = lab.endpoint.stats();
    assert!(
        (MOST - 1_000..=MOST).contains(&stats.transaction_bytes),
        "{}",
        stats.transaction_bytes
    );
    let refused = lab.answer_to(&invite("last").replace("call-1", "last"));
    assert_eq!((refused.status(), refused.field(Name::RetryAfter)), (Some(503), "2"));
    // What is acknowledged needs no answer any more.
    lab.deliver(&usual(0).replace("INVITE", "ACK"));
    assert!(lab.endpoint.stats().transaction_bytes < stats.transaction_bytes);
    lab.assert_empty();
    assert_eq!(lab.endpoint.stats().transaction_bytes, 0);
}

/// Each of these costs its sender an answer and us nothing that stays.
#[test]
fn heads_beyond_every_limit_are_400_and_leave_nothing() {
    let mut lab = Lab::new();
    lab.checks = false;
    let long = |size: usize| "y".repeat(size);
    let vias = |count| "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKx\n".repeat(count);
    for (name, fields) in [
        ("200 Vias", vias(200)),
        ("a field of 60 kB", format!("Subject: {}\n", long(60_000))),
        ("1,000 fields", "X: y\n".repeat(1_000)),
        ("a NUL", "Subject: a\0b\n".into()),
        ("a bare CR", "Subject: a\rb\n".into()),
        ("two From", "From: <sip:a@b>;tag=2\n".into()),
        ("two lengths", "Content-Length: 5\n".into()),
        ("a length without end", "Content-Length: 18446744073709551616\n".into()),
        ("a negative length", "Content-Length: -1\n".into()),
    ] {
        let text = request("OPTIONS", &name.replace(' ', ""), 1, "", &fields, "");
        assert_eq!(lab.answer_to(&text).status(), Some(400), "{name}");
    }
    let version = request("OPTIONS", "v", 1, "", "", "").replace("SIP/2.0\nVia", "SIP/3.0\nVia");
    assert_eq!(lab.answer_to(&version).status(), Some(505));
    let flow = lab.flow;
    let text = request("OPTIONS", "u", 1, "", "Subject: UTF\n", "").replace('\n', "\r\n");
    let (before, after) = text.split_once("UTF").expect("there");
    let invalid = [before.as_bytes(), b"\xff\xfe", after.as_bytes()].concat();
    lab.input(Input::Received { flow, bytes: &invalid });
    let bare = request("OPTIONS", "lf", 1, "", "", "");
    lab.input(Input::Received {
        flow,
        bytes: bare.as_bytes(),
    });
    let long = vec![b'x'; MAX_MESSAGE_BYTES + 1];
    lab.input(Input::Received { flow, bytes: &long });
    assert!(lab.sent.drain(..).all(|sent| sent.status() == Some(400)));
    lab.assert_empty();
}
