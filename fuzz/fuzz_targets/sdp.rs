//! Their offer answered, their answer accepted, and a second round in the same call.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use passline::telephony::codec::Codec;
use passline::telephony::sdp::{
    Description, Direction, LocalMedia, MAX_MEDIA, MAX_PACKET_TIME, MAX_SDP_LEN, MIN_PACKET_TIME, Negotiated,
    Negotiator,
};

fn media_lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| line.starts_with("m=")).collect()
}

/// What the version of the session is in `o=`.
fn version(text: &str) -> u64 {
    let origin = text.lines().find(|line| line.starts_with("o=")).expect("o=");
    origin
        .split(' ')
        .nth(2)
        .and_then(|word| word.parse().ok())
        .expect("a version")
}

fn check(negotiated: &Negotiated, local: &LocalMedia) {
    assert!(!negotiated.codecs.is_empty(), "a codec was agreed");
    for agreed in &negotiated.codecs {
        assert!(local.codecs.contains(&agreed.codec), "only what the trunk may use");
        assert!(agreed.payload.send < 128 && agreed.payload.receive < 128);
    }
    assert!((MIN_PACKET_TIME..=MAX_PACKET_TIME).contains(&negotiated.packet_time));
    for remote in negotiated.remote_rtp.iter().chain(&negotiated.remote_rtcp) {
        let ip = remote.ip();
        assert!(
            remote.port() != 0 && !ip.is_multicast() && !ip.is_unspecified(),
            "{remote} can be sent to"
        );
        assert_eq!(ip.is_ipv4(), local.address.is_ipv4(), "the family of our socket");
    }
    assert!(!negotiated.is_on_hold() || !negotiated.direction.sends() || negotiated.remote_rtp.is_none());
    assert!(
        local.direction.sends() || !negotiated.direction.sends(),
        "no more than we want"
    );
    assert!(
        local.direction.receives() || !negotiated.direction.receives(),
        "no more than we want"
    );
}

fn locals() -> [LocalMedia; 3] {
    let v4 = LocalMedia::new(IpAddr::from([198, 51, 100, 1]), 20_000);
    let mut v6 = LocalMedia::new("2001:db8::1".parse().expect("address"), 20_002);
    v6.codecs = vec![Codec::Pcma];
    let mut held = v4.clone();
    held.direction = Direction::SendOnly;
    [v4, v6, held]
}

fuzz_target!(|text: &str| {
    let Ok(description) = Description::parse(text) else {
        return;
    };
    assert!(text.len() <= MAX_SDP_LEN);
    let _ = description.audio_address();
    for local in locals() {
        let mut negotiator = Negotiator::new(0x0123_4567_89ab_cdef);
        if let Ok((answer, negotiated)) = negotiator.answer(&description, &local) {
            check(&negotiated, &local);
            let lines = media_lines(&answer);
            assert_eq!(
                lines.len(),
                media_lines(text).len(),
                "a line for a line (RFC 3264 section 6)"
            );
            assert!(lines.len() <= MAX_MEDIA);
            let accepted = lines
                .iter()
                .filter(|line| !line.split(' ').nth(1).is_some_and(|port| port == "0"))
                .count();
            assert_eq!(accepted, 1, "{answer}");
            Description::parse(&answer).expect("our answer is SDP");
            // The same again changes nothing, and neither does its version.
            let (again, same) = negotiator.answer(&description, &local).expect("accepted before");
            assert_eq!((&again, &same), (&answer, &negotiated));
            let mut other = local.clone();
            other.rtp_port += 100;
            let (changed, _) = negotiator.answer(&description, &other).expect("accepted before");
            assert_eq!(version(&changed), version(&answer) + 1);
        }
        let offer = negotiator.offer(&local);
        Description::parse(&offer).expect("our offer is SDP");
        if let Ok(negotiated) = negotiator.accept(&description) {
            check(&negotiated, &local);
            assert!(negotiator.accept(&description).is_err(), "an offer is answered once");
        }
    }
});
