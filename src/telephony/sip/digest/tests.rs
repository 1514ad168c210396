//! Both sides against each other, and against the examples of RFC 7616.

use std::time::{Duration, Instant};

use super::*;
use crate::telephony::sip::message::{AuthParams, Method};
use crate::time::monotonic;

const URI: &str = "sip:100@passline.example.com";

fn users() -> Users {
    Users::new(vec![
        ("carrier".into(), Secret::new("s3cret".into())),
        ("other".into(), Secret::new("x".into())),
    ])
}

struct Server {
    challenger: Challenger,
    start: Instant,
    users: Users,
}

impl Server {
    fn new() -> Self {
        let start = monotonic();
        Self {
            challenger: Challenger::new([7; 32], start),
            start,
            users: users(),
        }
    }

    fn challenge(&mut self, trunk: &str, realm: &str) -> [String; 2] {
        let protection = Protection {
            trunk,
            realm,
            users: &self.users,
        };
        self.challenger.challenge(self.start, &protection, false)
    }

    fn verify(&mut self, seconds: u64, authorization: &str) -> Result<(), Refused> {
        let now = self.start + Duration::from_secs(seconds);
        let credentials = AuthParams::parse(authorization).expect("valid");
        let protection = Protection {
            trunk: "carrier",
            realm: "realm",
            users: &self.users,
        };
        self.challenger
            .verify(now, &protection, &Method::Invite, URI, &credentials)
    }
}

fn respond(challenges: &[String], name: &str, password: &str) -> String {
    let credentials = Credentials {
        username: name.into(),
        password: Secret::new(password.into()),
    };
    answer(
        challenges.iter().map(String::as_str),
        &credentials,
        &Method::Invite,
        URI,
        "abc",
    )
    .expect("understood")
}

#[test]
fn example_of_rfc_7616_is_computed_right() {
    // Section 3.9.1.
    let hash = |algorithm: Algorithm| {
        let ha1 = algorithm.hash(&["Mufasa", "http-auth@example.org", "Circle of Life"]);
        let ha2 = algorithm.hash(&["GET", "/dir/index.html"]);
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        algorithm.hash(&[
            &ha1,
            "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
            "00000001",
            cnonce,
            "auth",
            &ha2,
        ])
    };
    assert_eq!(hash(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
    assert_eq!(
        hash(Algorithm::Sha256),
        "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
    );
}

#[test]
fn the_right_password_passes_once_per_count() {
    for strongest in [true, false] {
        let mut server = Server::new();
        let challenges = server.challenge("carrier", "realm");
        let offered = if strongest { &challenges[..] } else { &challenges[1..] };
        let authorization = respond(offered, "carrier", "s3cret");
        assert!(authorization.contains(if strongest { "SHA-256" } else { "MD5" }));
        assert_eq!(server.verify(1, &authorization), Ok(()));
        assert_eq!(server.verify(1, &authorization), Err(Refused::Stale), "a replay");
    }
}

#[test]
fn old_nonces_are_stale_and_foreign_ones_wrong() {
    let mut server = Server::new();
    let challenges = server.challenge("carrier", "realm");
    assert_eq!(
        server.verify(60, &respond(&challenges, "carrier", "s3cret")),
        Err(Refused::Stale)
    );
    for (trunk, realm) in [("carrier", "other realm"), ("other", "realm")] {
        let elsewhere = server
            .challenge(trunk, realm)
            .map(|text| text.replace("other realm", "realm"));
        assert_eq!(
            server.verify(1, &respond(&elsewhere, "carrier", "s3cret")),
            Err(Refused::Wrong),
            "{trunk}, {realm}"
        );
    }
}

#[test]
fn counts_must_rise() {
    let mut server = Server::new();
    let challenges = server.challenge("carrier", "realm");
    let counted = |count: u32| {
        let nonce = AuthParams::parse(&challenges[0])
            .expect("valid")
            .get("nonce")
            .expect("a nonce");
        let nc = format!("{count:08x}");
        let ha1 = Algorithm::Sha256.hash(&["carrier", "realm", "s3cret"]);
        let ha2 = Algorithm::Sha256.hash(&["INVITE", URI]);
        let response = Algorithm::Sha256.hash(&[&ha1, &nonce, &nc, "c", "auth", &ha2]);
        format!(
            "Digest username=\"carrier\", realm=\"realm\", nonce=\"{nonce}\", uri=\"{URI}\", qop=auth, nc={nc}, \
             cnonce=\"c\", algorithm=SHA-256, response=\"{response}\""
        )
    };
    for (count, verdict) in [
        (1, Ok(())),
        (2, Ok(())),
        (7, Ok(())),
        (7, Err(Refused::Stale)),
        (3, Err(Refused::Stale)),
        (8, Ok(())),
    ] {
        assert_eq!(server.verify(1, &counted(count)), verdict, "{count}");
    }
}

#[test]
fn the_host_of_the_uri_may_differ_and_the_number_may_be_escaped() {
    let mut server = Server::new();
    let challenges = server.challenge("carrier", "realm");
    let credentials = Credentials {
        username: "carrier".into(),
        password: Secret::new("s3cret".into()),
    };
    for (count, uri) in ["sip:100@10.0.0.9:5070;transport=tcp", "sip:%3100@x", "tel:100"]
        .iter()
        .enumerate()
    {
        let challenges = challenges.iter().map(String::as_str);
        let authorization = answer(challenges, &credentials, &Method::Invite, uri, "abc").expect("understood");
        let verdict = server.verify(1, &authorization);
        // The same count again is stale, which only the right password comes to hear.
        let expected = if count == 0 { Ok(()) } else { Err(Refused::Stale) };
        assert_eq!(verdict, expected, "{uri}");
    }
}

#[test]
fn wrong_credentials_are_told_apart_by_nobody() {
    let mut server = Server::new();
    let challenges = server.challenge("carrier", "realm");
    let good = respond(&challenges, "carrier", "s3cret");
    for bad in [
        respond(&challenges, "carrier", "wrong"),
        respond(&challenges, "nobody", ""),
        good.replace("qop=auth", "qop=auth-int"),
        good.replace("sip:100@", "sip:101@"),
        good.replace("nc=00000001", "nc=00000002"),
        good.replace("nc=00000001", "nc=1"),
        good.replace("realm=\"realm\"", "realm=\"x\""),
        good.replace("SHA-256", "SHA-512"),
    ] {
        assert_eq!(server.verify(1, &bad), Err(Refused::Wrong), "{bad}");
    }
    assert_eq!(server.verify(1, &good), Ok(()));
}

#[test]
fn challenges_that_are_not_understood_are_not_answered() {
    let credentials = Credentials {
        username: "u".into(),
        password: Secret::new("p".into()),
    };
    let answered = |challenge: &str| answer([challenge].into_iter(), &credentials, &Method::Invite, URI, "c");
    assert!(answered("Basic realm=\"x\"").is_none());
    assert!(answered("Digest realm=\"x\", nonce=\"n\", qop=\"auth-int\"").is_none());
    assert!(answered("Digest realm=\"x\", nonce=\"n\", algorithm=MD5-sess").is_none());
    assert!(answered("Digest realm=\"x\", nonce=\"n\"").is_some_and(|text| !text.contains("qop")));
}

#[test]
fn a_nonce_tells_neither_time_nor_count() {
    let mut server = Server::new();
    let mut first = || {
        let challenges = server.challenge("carrier", "realm");
        let nonce = AuthParams::parse(&challenges[0])
            .expect("valid")
            .get("nonce")
            .expect("a nonce");
        [&nonce[..16], &nonce[16..32]].map(|part| u64::from_str_radix(part, 16).expect("hex"))
    };
    let nonces = [first(), first(), first()];
    // What counts up, or begins at zero, has its upper half in common.
    for part in 0..2 {
        let mut upper: Vec<_> = nonces.iter().map(|nonce| nonce[part] >> 32).collect();
        upper.dedup();
        assert!(upper.len() == 3 && upper.iter().all(|half| *half != 0), "{nonces:x?}");
    }
}

/// Both compute the same hashes. Where this is not so, one takes a fraction of the other.
#[test]
fn an_unknown_name_takes_as_long_as_a_known_one() {
    let mut server = Server::new();
    let challenges = server.challenge("carrier", "realm");
    let names = ["carrier", "nobody!"].map(|name| respond(&challenges, name, "wrong"));
    let mut times = [Vec::new(), Vec::new()];
    for n in 0..1_000 {
        for which in [n % 2, 1 - n % 2] {
            let begin = monotonic();
            assert_eq!(server.verify(1, &names[which]), Err(Refused::Wrong));
            times[which].push(monotonic().duration_since(begin));
        }
    }
    let [known, unknown] = times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    });
    let ratio = known.as_secs_f64() / unknown.as_secs_f64();
    assert!((0.8..1.25).contains(&ratio), "{known:?} and {unknown:?}");
}
