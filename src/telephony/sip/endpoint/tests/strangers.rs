//! Sources that no trunk allows, and trunks that ask for a password.

use std::time::Duration;

use super::super::{EndpointConfig, Input};
use super::support::{Lab, Sent, flow_from, invite, request};
use crate::secret::Secret;
use crate::telephony::sip::digest::{Credentials, answer};
use crate::telephony::sip::message::{Method, Name};
use crate::telephony::sip::transport::Transport;
use crate::telephony::sip::trunk::Unserved;
use crate::time::monotonic;

const STRANGER: &str = "203.0.113.66:5060";

#[test]
fn every_question_of_a_stranger_gets_the_same_answer() {
    let mut lab = Lab::new();
    let stranger = flow_from(Transport::Udp, STRANGER);
    let questions = [
        invite("a"),
        invite("a").replace("sip:100@", "sip:999@"),
        invite("a").replace("CSeq: 1 INVITE", "CSeq: 1 BYE"),
        request("OPTIONS", "a", 1, "", "", ""),
        request("REGISTER", "a", 1, "", "Require: x\n", ""),
        request("FLY", "a", 1, "", "", ""),
        request("BYE", "a", 1, "0123456789abcdef", "", ""),
    ];
    for question in &questions {
        let sent = lab.deliver_from(stranger, question);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].status(), Some(403));
        assert!(!sent[0].message.has(Name::Allow) && sent[0].message.field_count() == 6);
        assert!(sent[0].bytes.len() < question.len() * 2, "no amplification");
    }
    let same = |lab: &mut Lab| lab.deliver_from(stranger, &questions[0]).remove(0).bytes;
    assert_eq!(same(&mut lab), same(&mut lab), "the same tag again");
    assert!(
        lab.deliver_from(stranger, &request("ACK", "a", 1, "x", "", ""))
            .is_empty()
    );
    assert!(lab.pass(Duration::from_secs(60)).is_empty(), "nothing is sent twice");
    lab.assert_empty();
}

#[test]
fn strangers_can_be_met_with_silence() {
    let config = EndpointConfig {
        strangers: Unserved::Silence,
        ..EndpointConfig::default()
    };
    let mut lab = Lab::with(&[("carrier", super::support::TRUNK)], Transport::Udp, config);
    assert!(
        lab.deliver_from(flow_from(Transport::Udp, STRANGER), &invite("1"))
            .is_empty()
    );
}

#[test]
fn a_flood_of_strangers_gets_few_answers_and_trunks_still_get_in() {
    let mut lab = Lab::new();
    let mut answers = 0;
    for n in 0..20_000u32 {
        let source = format!("203.{}.{}.1:5060", n / 250 % 200, n % 250);
        answers += lab
            .deliver_from(flow_from(Transport::Udp, &source), &invite(&n.to_string()))
            .len();
    }
    assert!(answers <= 400, "{answers}");
    lab.deliver(&invite("honest"));
    assert_eq!(lab.incoming.len(), 1);
    assert_eq!(lab.endpoint.stats().transactions, 1);
}

#[test]
fn a_stream_without_structure_is_answered_and_closed() {
    let mut lab = Lab::over(Transport::Tcp);
    let flow = lab.flow;
    let head = request("OPTIONS", "1", 1, "", "l: -5\n", "").replace('\n', "\r\n");
    lab.input(Input::Unframable {
        flow,
        head: head.as_bytes(),
    });
    assert_eq!((lab.sent[0].status(), lab.closed), (Some(400), 1));
}

#[test]
fn a_trunk_with_passwords_challenges_everything_first() {
    let trunk = "[digest]\nrealm = \"r\"\n[[digest.users]]\nname = \"u\"\npassword = \"p\"\n[[called]]\nnumber = \"100\"\ndialplan = \"reset\"\n";
    let mut lab = Lab::with(&[("carrier", trunk)], Transport::Udp, EndpointConfig::default());
    for question in [
        invite("1"),
        request("OPTIONS", "2", 1, "", "", ""),
        request("FLY", "3", 1, "", "", ""),
    ] {
        let challenge = lab.answer_to(&question);
        let challenges = challenge.message.fields(Name::WwwAuthenticate).count();
        assert!(challenge.status() == Some(401) && (1..=2).contains(&challenges));
    }
    let challenge = lab.answer_to(&invite("1"));
    let credentials = Credentials {
        username: "u".into(),
        password: Secret::new("p".into()),
    };
    let uri = "sip:100@198.51.100.1";
    let value = answer(
        challenge.message.fields(Name::WwwAuthenticate),
        &credentials,
        &Method::Invite,
        uri,
        "c",
    )
    .expect("understood");
    let proved = |branch: &str| {
        invite(branch)
            .replace("CSeq: 1", "CSeq: 2")
            .replace("Max-Forwards", &format!("Authorization: {value}\nMax-Forwards"))
    };
    assert!(lab.deliver(&proved("4")).is_empty());
    assert_eq!(lab.incoming.len(), 1);
    let replay = proved("5").replace("call-1", "call-2");
    let refused = lab.answer_to(&replay);
    assert!(refused.status() == Some(401) && refused.field(Name::WwwAuthenticate).contains("stale=true"));
}

/// A caller whose answer was lost sent the same bytes again, and was challenged as if it had replayed them.
#[test]
fn a_repeated_request_with_credentials_gets_the_same_answer_again() {
    let mut lab = Lab::with(&[("open", DIGEST)], Transport::Udp, EndpointConfig::default());
    let credentials = Credentials {
        username: "u".into(),
        password: Secret::new("p".into()),
    };
    let uri = "sip:100@198.51.100.1";
    for (method, status) in [(Method::Options, 200), (Method::Register, 405), (Method::Bye, 481)] {
        let text =
            |branch: &str, fields: &str| request(method.as_str(), &format!("{method}{branch}"), 1, "", fields, "");
        let challenge = lab.answer_to(&text(
            "1",
            "User-Agent: telephone\nContact: <sip:alice@192.0.2.9:5060>\n",
        ));
        assert_eq!(challenge.status(), Some(401));
        let before = lab.endpoint.stats().transactions;
        let challenges = challenge.message.fields(Name::WwwAuthenticate);
        let value = answer(challenges, &credentials, &method, uri, "c").expect("understood");
        let fields = format!("Authorization: {value}\n");
        let first = lab.answer_to(&text("2", &fields));
        assert_eq!(first.status(), Some(status), "{method}");
        for _ in 0..3 {
            lab.pass(Duration::from_secs(1));
            assert_eq!(lab.answer_to(&text("2", &fields)).bytes, first.bytes, "{method}");
        }
        assert_eq!(lab.endpoint.stats().transactions, before + 1, "{method}");
        let replay = lab.answer_to(&text("3", &fields));
        assert_eq!(replay.status(), Some(401), "{method}: another transaction is a replay");
    }
    lab.assert_empty();
    // Keepalives without credentials leave nothing.
    let mut lab = Lab::new();
    assert_eq!(
        lab.answer_to(&request("OPTIONS", "1", 1, "", "", "")).status(),
        Some(200)
    );
    assert_eq!(lab.endpoint.stats().transactions, 0);
}

#[test]
fn scanners_do_not_use_up_what_is_meant_for_callers_with_a_password() {
    let trunk = "calls_per_second = 1\ncall_burst = 2\n[digest]\nrealm = \"r\"\n[[digest.users]]\nname = \"u\"\npassword = \"p\"\n[[called]]\nnumber = \"100\"\ndialplan = \"reset\"\n";
    let mut lab = Lab::with(&[("carrier", trunk)], Transport::Udp, EndpointConfig::default());
    let challenge = lab.answer_to(&invite("1"));
    let credentials = Credentials {
        username: "u".into(),
        password: Secret::new("p".into()),
    };
    let challenges = challenge.message.fields(Name::WwwAuthenticate);
    let value = answer(challenges, &credentials, &Method::Invite, "sip:100@198.51.100.1", "c").expect("understood");
    lab.deliver(&invite("2").replace("Max-Forwards", &format!("Authorization: {value}\nMax-Forwards")));
    assert_eq!(lab.incoming.len(), 1);
    assert_eq!(lab.proved, 1, "the driver is told as well");
    for n in 0..1000u32 {
        lab.deliver_from(flow_from(Transport::Udp, STRANGER), &invite(&format!("scan{n}")));
    }
    assert_eq!(
        lab.deliver(&request("OPTIONS", "o", 9, "", "", "")).len(),
        1,
        "still heard"
    );
}

/// Telephony checklist, attacks on digest: each is challenged again, and only who has proved the password hears `stale`.
#[test]
fn credentials_that_prove_nothing_are_challenged_again() {
    let trunk = |network: &str| {
        format!(
            "networks = [\"{network}\"]\n[digest]\nrealm = \"r\"\n[[digest.users]]\nname = \"u\"\npassword = \"p\"\n[[called]]\n\
             number = \"100\"\ndialplan = \"reset\"\n"
        )
    };
    let (here, there) = (trunk("192.0.2.0/24"), trunk("203.0.113.0/24"));
    let mut lab = Lab::with(
        &[("here", &here), ("there", &there)],
        Transport::Udp,
        EndpointConfig::default(),
    );
    let uri = "sip:100@198.51.100.1";
    let credentials = |name: &str| Credentials {
        username: name.into(),
        password: Secret::new("p".into()),
    };
    let value = |challenge: &Sent, name: &str| {
        let challenges = challenge.message.fields(Name::WwwAuthenticate);
        answer(challenges, &credentials(name), &Method::Invite, uri, "c").expect("understood")
    };
    let own = lab.answer_to(&invite("1"));
    let foreign = lab
        .deliver_from(flow_from(Transport::Udp, "203.0.113.9:5060"), &invite("1"))
        .remove(0);
    let good = value(&own, "u");
    for (n, (what, authorization, is_stale)) in [
        ("a nonce of another trunk", value(&foreign, "u"), false),
        ("an unknown name", value(&own, "nobody"), false),
        (
            "auth-int, whatever the body",
            good.replace("qop=auth", "qop=auth-int"),
            false,
        ),
        (
            "another number",
            value(&own, "u").replace(uri, "sip:101@198.51.100.1"),
            false,
        ),
        (
            "a nonce that we did not make",
            good.replace("nonce=\"", "nonce=\"0"),
            false,
        ),
        ("no digest", "Basic dTpw".to_owned(), false),
        ("nothing wrong", good.clone(), true),
        ("a replay", good.clone(), true),
    ]
    .into_iter()
    .enumerate()
    {
        let text = invite(&format!("try{n}"))
            .replace("call-1", &format!("call-{n}"))
            .replace("Max-Forwards", &format!("Authorization: {authorization}\nMax-Forwards"));
        let sent = lab.deliver(&text);
        if what == "nothing wrong" {
            assert!(sent.is_empty() && lab.incoming.len() == 1);
            continue;
        }
        assert_eq!(sent[0].status(), Some(401), "{what}");
        let challenges: Vec<_> = sent[0].message.fields(Name::WwwAuthenticate).collect();
        assert!(
            challenges[0].contains("SHA-256") && challenges[1].contains("MD5"),
            "the strongest first"
        );
        assert!(
            challenges
                .iter()
                .all(|challenge| challenge.contains("stale=true") == is_stale),
            "{what}"
        );
    }
    assert_eq!(lab.incoming.len(), 1);
}

const DIGEST: &str = "[digest]\nrealm = \"r\"\n[[digest.users]]\nname = \"u\"\npassword = \"p\"\n[[called]]\nnumber = \"100\"\ndialplan = \"reset\"\n";

fn without_nonce(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut parts = text.split("nonce=\"");
    let mut rest = parts.next().expect("a part").to_owned();
    for part in parts {
        rest += &part[part.find('"').expect("an end")..];
    }
    rest
}

/// svwar asks for extension after extension and compares what comes back.
#[test]
fn numbers_that_exist_and_numbers_that_do_not_get_the_same_bytes() {
    let digest = DIGEST.replace("\"100\"", "\"777\"");
    for (trunks, status) in [(&[][..], 403), (&[("open", digest.as_str())][..], 401)] {
        let mut lab = Lab::with(trunks, Transport::Udp, EndpointConfig::default());
        for method in ["INVITE", "OPTIONS", "REGISTER", "MESSAGE"] {
            let mut answer = |number: &str| {
                let text = invite("scan")
                    .replace("INVITE", method)
                    .replace("sip:100@198", &format!("sip:{number}@198"));
                let mut sent = lab.deliver_from(flow_from(Transport::Udp, STRANGER), &text);
                assert_eq!((sent.len(), sent[0].status()), (1, Some(status)), "{method} {number}");
                let answer = sent.remove(0);
                (
                    without_nonce(&answer.bytes).replace(number, "NUMBER"),
                    answer.bytes.len(),
                )
            };
            assert_eq!(answer("777"), answer("999"), "{method}");
        }
        assert!(lab.pass(Duration::from_secs(60)).is_empty(), "nothing is sent twice");
        lab.assert_empty();
    }
}

#[test]
fn an_answer_to_a_source_that_may_be_forged_is_at_most_twice_the_request() {
    // In short names, and with bytes that grow when they are read as text.
    let tiny = [
        b"A sip:a SIP/2.0\r\nv:SIP/2.0/UDP a\r\n\r\n".to_vec(),
        [b"A sip:a SIP/2.0\r\nv:SIP/2.0/UDP a\r\nf:".as_slice(), &[0xff; 400], b"\r\nt:", &[0xff; 400], b"\r\n\r\n"].concat(),
        b"OPTIONS sip:100@a SIP/2.0\r\nv:SIP/2.0/UDP a;branch=z9hG4bK1\r\nf:<sip:a@a>;tag=1\r\nt:sip:a@a\r\ni:1\r\nCSeq:1 OPTIONS\r\n\r\n".to_vec(),
    ];
    for trunks in [&[][..], &[("open", DIGEST)][..]] {
        let mut lab = Lab::with(trunks, Transport::Udp, EndpointConfig::default());
        lab.checks = false;
        for bytes in &tiny {
            let flow = flow_from(Transport::Udp, STRANGER);
            lab.input(Input::Received { flow, bytes });
            for sent in lab.sent.drain(..) {
                assert!(
                    sent.bytes.len() <= 2 * bytes.len(),
                    "{} for {}",
                    sent.bytes.len(),
                    bytes.len()
                );
            }
        }
        assert!(lab.endpoint.stats().withheld >= 2);
        // What telephones send is long enough for a challenge.
        let usual = request(
            "OPTIONS",
            "o",
            1,
            "",
            "User-Agent: telephone\nContact: <sip:alice@192.0.2.9:5060>\n",
            "",
        );
        assert_eq!(lab.deliver_from(flow_from(Transport::Udp, STRANGER), &usual).len(), 1);
        // A connection cannot be forged.
        let flow = flow_from(Transport::Tcp, STRANGER);
        lab.input(Input::Received { flow, bytes: &tiny[0] });
        assert_eq!(lab.sent.drain(..).count(), 1);
    }
}

/// A refusal of an INVITE is repeated until it is acknowledged; not to somebody who has proved nothing.
#[test]
fn nothing_is_repeated_to_who_has_proved_nothing() {
    let mut lab = Lab::with(&[("open", DIGEST)], Transport::Udp, EndpointConfig::default());
    let flow = flow_from(Transport::Udp, STRANGER);
    let contact = "Contact: <sip:a@203.0.113.66>\n";
    let sent = lab.deliver_from(flow, &request("INVITE", "r", 2, "0123456789abcdef", contact, ""));
    assert_eq!((sent.len(), sent[0].status()), (1, Some(481)));
    assert!(lab.pass(Duration::from_secs(60)).is_empty());
    assert_eq!(lab.endpoint.stats().transactions, 0);
}

/// The middle of what the answers to two questions take, asked in turn from an address that no trunk names.
fn medians(trunk: &str, questions: [&str; 2]) -> [Duration; 2] {
    let mut lab = Lab::with(&[("carrier", trunk)], Transport::Udp, EndpointConfig::default());
    let flow = flow_from(Transport::Udp, STRANGER);
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..600 {
        // In turn first and second, since the first of two may pay for both.
        for which in [n % 2, 1 - n % 2] {
            lab.now += Duration::from_secs(1);
            let text = questions[which]
                .replace("z9hG4bK", &format!("z9hG4bK{n}-"))
                .replace('\n', "\r\n");
            let begin = monotonic();
            let bytes = text.as_bytes();
            lab.endpoint.handle(lab.now, Input::Received { flow, bytes });
            let answered = std::iter::from_fn(|| lab.endpoint.poll_output()).count();
            times[which].push(monotonic().duration_since(begin));
            assert_eq!(answered, 1, "{text}");
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

/// A scanner has the network between him and us: what he could measure is far more than this allows.
#[test]
fn the_time_of_an_answer_tells_nothing() {
    let trunk = super::support::TRUNK;
    let digest = |name: &str, uri: &str| {
        let value = format!(
            "Digest username=\"{name}\", realm=\"r\", nonce=\"{}\", uri=\"{uri}\", qop=auth, nc=00000001, cnonce=\"c\", \
             algorithm=MD5, response=\"{}\"",
            "0".repeat(64),
            "0".repeat(32)
        );
        invite("1").replace("Max-Forwards", &format!("Authorization: {value}\nMax-Forwards"))
    };
    let uri = "sip:100@198.51.100.1";
    for (what, trunk, questions) in [
        (
            "a number that is served, and one that is not",
            trunk,
            [invite("1"), invite("1").replace("sip:100@", "sip:999@")],
        ),
        (
            "a method that is served, and one that is not",
            trunk,
            [
                request("OPTIONS", "1", 1, "", "", ""),
                request("REGISTE", "1", 1, "", "", ""),
            ],
        ),
        (
            "a name that is known, and one that is not",
            DIGEST,
            [digest("u", uri), digest("x", uri)],
        ),
        (
            "a number that is served, and one that is not, where a password is asked for",
            DIGEST,
            [invite("1"), invite("1").replace("sip:100@", "sip:999@")],
        ),
    ] {
        let [one, other] = medians(trunk, [&questions[0], &questions[1]]);
        let ratio = one.as_secs_f64() / other.as_secs_f64();
        assert!((0.8..1.25).contains(&ratio), "{what}: {one:?} and {other:?}");
    }
}
