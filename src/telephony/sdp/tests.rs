//! Offers and answers as they come.

use std::net::SocketAddr;
use std::time::Duration;

use proptest::prelude::*;

use super::{Description, Direction, LocalMedia, Negotiated, Negotiator, PayloadPair, Refusal};
use crate::telephony::codec::Codec;

fn local() -> LocalMedia {
    LocalMedia::new("192.0.2.1".parse().expect("address"), 40_000)
}

fn description(lines: &str) -> Description {
    let text = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{lines}");
    Description::parse(&text).expect("valid")
}

fn answer(lines: &str) -> (String, Negotiated) {
    Negotiator::new(14)
        .answer(&description(lines), &local())
        .expect("acceptable")
}

fn refused(lines: &str) -> Refusal {
    Negotiator::new(14)
        .answer(&description(lines), &local())
        .expect_err("not acceptable")
}

fn socket(text: &str) -> SocketAddr {
    text.parse().expect("address")
}

#[test]
fn a_usual_offer_is_answered_in_its_order_and_numbers() {
    let (text, negotiated) = answer(
        "m=audio 30000 RTP/AVP 9 8 0 96\r\na=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-16\r\na=ptime:30\r\n",
    );
    assert_eq!(
        text,
        "v=0\r\no=- 7 1 IN IP4 192.0.2.1\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0 96\r\n\
         a=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\na=rtpmap:96 telephone-event/8000\r\na=fmtp:96 0-15\r\n\
         a=ptime:20\r\na=sendrecv\r\n"
    );
    assert_eq!(negotiated.codecs[0].codec, Codec::Pcma);
    assert_eq!(negotiated.telephone_event, Some(PayloadPair { send: 96, receive: 96 }));
    assert_eq!(negotiated.remote_rtp, Some(socket("192.0.2.9:30000")));
    assert_eq!(negotiated.remote_rtcp, Some(socket("192.0.2.9:30001")));
    assert_eq!(negotiated.packet_time, Duration::from_millis(30));
    assert_eq!(negotiated.direction, Direction::SendRecv);
}

#[test]
fn every_line_is_answered_in_order_and_only_one_audio_line_is_taken() {
    let (text, _) = answer(
        "m=video 5000 RTP/AVP 31\r\nm=audio 30000 RTP/SAVP 0\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x\r\n\
         m=audio 30000 RTP/AVP 0\r\nm=image 6000 udptl t38\r\nm=audio 30002 RTP/AVP 8\r\n",
    );
    let lines: Vec<&str> = text.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=video 0 RTP/AVP 31",
            "m=audio 0 RTP/SAVP 0",
            "m=audio 40000 RTP/AVP 0",
            "m=image 0 udptl t38",
            "m=audio 0 RTP/AVP 8",
        ]
    );
}

#[test]
fn telephone_events_are_answered_only_at_the_rate_of_the_codec() {
    let (text, negotiated) = answer(
        "m=audio 30000 RTP/AVP 111 0 101 100\r\na=rtpmap:111 opus/48000/2\r\na=rtpmap:101 \
         telephone-event/48000\r\na=rtpmap:100 telephone-event/8000\r\n",
    );
    assert!(text.contains("m=audio 40000 RTP/AVP 0 100\r\n"), "{text}");
    assert_eq!(
        negotiated.telephone_event,
        Some(PayloadPair {
            send: 100,
            receive: 100
        })
    );
    let (text, negotiated) = answer("m=audio 30000 RTP/AVP 0\r\n");
    assert!(!text.contains("telephone-event"));
    assert_eq!(negotiated.telephone_event, None);
}

#[test]
fn redundancy_is_answered_where_it_repeats_what_we_take() {
    let events = "a=rtpmap:101 telephone-event/8000\r\na=rtpmap:121 red/8000\r\n";
    for (lines, list) in [
        (
            format!("m=audio 30000 RTP/AVP 0 101 121\r\n{events}a=fmtp:121 101/101\r\n"),
            Some("101/101"),
        ),
        (
            format!("m=audio 30000 RTP/AVP 121 8 101\r\n{events}a=fmtp:121 8/8/101\r\n"),
            Some("8/8/101"),
        ),
        (
            format!("m=audio 30000 RTP/AVP 0 9 101 121\r\n{events}a=fmtp:121 9/9\r\n"),
            None,
        ),
        (format!("m=audio 30000 RTP/AVP 0 101 121\r\n{events}"), None),
        (
            format!("m=audio 30000 RTP/AVP 0 101 121\r\n{events}a=fmtp:121 121/121\r\n"),
            None,
        ),
    ] {
        let (text, negotiated) = answer(&lines);
        let both = PayloadPair {
            send: 121,
            receive: 121,
        };
        assert_eq!(negotiated.redundancy, list.map(|_| both), "{lines}");
        match list {
            Some(list) => {
                assert!(text.contains(" 101 121\r\n"), "{text}");
                assert!(
                    text.contains(&format!("a=rtpmap:121 red/8000\r\na=fmtp:121 {list}\r\n")),
                    "{text}"
                );
            }
            None => assert!(!text.contains("121"), "{text}"),
        }
    }
}

#[test]
fn redundancy_is_never_offered_and_not_taken_in_an_answer() {
    let mut negotiator = Negotiator::new(14);
    assert!(!negotiator.offer(&local()).contains("red/"));
    let theirs = description("m=audio 30000 RTP/AVP 0 121\r\na=rtpmap:121 red/8000\r\na=fmtp:121 0/0\r\n");
    assert_eq!(negotiator.accept(&theirs).expect("acceptable").redundancy, None);
}

#[test]
fn hold_is_answered_in_every_form() {
    for (lines, ours, on_hold) in [
        ("m=audio 30000 RTP/AVP 0\r\na=sendonly\r\n", Direction::RecvOnly, true),
        ("m=audio 30000 RTP/AVP 0\r\na=inactive\r\n", Direction::Inactive, true),
        ("m=audio 30000 RTP/AVP 0\r\na=recvonly\r\n", Direction::SendOnly, false),
        ("m=audio 30000 RTP/AVP 0\r\na=sendrecv\r\n", Direction::SendRecv, false),
        (
            "m=audio 30000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n",
            Direction::RecvOnly,
            true,
        ),
        (
            "m=audio 30000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\na=inactive\r\n",
            Direction::Inactive,
            true,
        ),
    ] {
        let (text, negotiated) = answer(lines);
        assert_eq!(
            (negotiated.direction, negotiated.is_on_hold()),
            (ours, on_hold),
            "{lines}"
        );
        assert!(text.contains(&format!("a={}\r\n", ours.as_str())), "{text}");
    }
    let (_, old_style) = answer("m=audio 30000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n");
    assert_eq!(
        (old_style.remote_rtp, old_style.remote_rtcp),
        (None, None),
        "no media to it"
    );
}

#[test]
fn the_version_goes_up_only_when_something_changed() {
    let mut negotiator = Negotiator::new(14);
    let mut version = |lines: &str| {
        let (text, _) = negotiator.answer(&description(lines), &local()).expect("acceptable");
        text.lines()
            .nth(1)
            .expect("o=")
            .split(' ')
            .nth(2)
            .expect("version")
            .to_owned()
    };
    assert_eq!(version("m=audio 30000 RTP/AVP 0\r\n"), "1");
    assert_eq!(version("m=audio 30000 RTP/AVP 0\r\n"), "1");
    assert_eq!(version("m=audio 30000 RTP/AVP 0\r\na=sendonly\r\n"), "2");
    assert_eq!(version("m=audio 30000 RTP/AVP 0\r\n"), "3");
}

#[test]
fn a_refused_offer_changes_nothing() {
    let mut negotiator = Negotiator::new(14);
    let offer = description("m=audio 30000 RTP/AVP 0\r\n");
    let (before, _) = negotiator.answer(&offer, &local()).expect("acceptable");
    assert!(
        negotiator
            .answer(&description("m=audio 30000 RTP/AVP 18\r\n"), &local())
            .is_err()
    );
    assert_eq!(negotiator.answer(&offer, &local()).expect("acceptable").0, before);
}

#[test]
fn refusals_say_why() {
    assert_eq!(refused("m=video 5000 RTP/AVP 31\r\n"), Refusal::NoAudio);
    assert_eq!(refused("m=audio 0 RTP/AVP 0\r\n"), Refusal::NoAudio);
    assert_eq!(refused("m=audio 5000 RTP/SAVP 0\r\n"), Refusal::NoAudio);
    assert_eq!(refused("m=audio 5000 RTP/AVP 18 3\r\n"), Refusal::NoCommonCodec);
    assert_eq!(
        refused("m=audio 5000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\n"),
        Refusal::AddressFamily
    );
    for lines in [
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 224.2.1.1/127\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 victim.example\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 255.255.255.255\r\n",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP4 127.0.0.1\r\n",
        "m=audio 53 RTP/AVP 0\r\n",
    ] {
        let refusal = refused(lines);
        assert!(matches!(refusal, Refusal::Address(_)), "{lines}");
        assert!(!refusal.is_malformed());
    }
}

#[test]
fn rtcp_goes_to_the_port_of_rfc_3605_but_never_to_another_host() {
    let (_, negotiated) = answer("m=audio 30000 RTP/AVP 0\r\na=rtcp:33000 IN IP4 198.51.100.1\r\n");
    assert_eq!(negotiated.remote_rtcp, Some(socket("192.0.2.9:33000")));
    let (text, negotiated) = answer("m=audio 30000 RTP/AVP 0\r\na=rtcp-mux\r\n");
    assert!(text.contains("a=rtcp-mux\r\n") && negotiated.rtcp_mux);
    assert_eq!(negotiated.remote_rtcp, negotiated.remote_rtp);
    let (_, negotiated) = answer("m=audio 65535 RTP/AVP 0\r\n");
    assert_eq!(negotiated.remote_rtcp, None);
    let (_, negotiated) = answer("m=audio 30000 RTP/AVP 0\r\na=rtcp:22\r\n");
    assert_eq!(negotiated.remote_rtcp, None);
}

#[test]
fn packet_times_are_kept_between_10_and_60_ms() {
    for (attribute, expected) in [("ptime:5", 10), ("ptime:200", 60), ("ptime:x", 20), ("maxptime:10", 10)] {
        let (_, negotiated) = answer(&format!("m=audio 30000 RTP/AVP 0\r\na={attribute}\r\n"));
        assert_eq!(negotiated.packet_time, Duration::from_millis(expected), "{attribute}");
    }
}

#[test]
fn ipv6_is_answered_in_ipv6() {
    let local = LocalMedia::new("2001:db8::1".parse().expect("address"), 40_000);
    let offer = description("m=audio 30000 RTP/AVP 0\r\nc=IN IP6 2001:db8::9\r\n");
    assert_eq!(offer.audio_address(), Some("2001:db8::9".parse().expect("address")));
    let (text, negotiated) = Negotiator::new(14).answer(&offer, &local).expect("acceptable");
    assert!(
        text.contains("c=IN IP6 2001:db8::1\r\n") && text.contains("IN IP6 2001:db8::1\r\n"),
        "{text}"
    );
    assert_eq!(negotiated.remote_rtp, Some(socket("[2001:db8::9]:30000")));
}

#[test]
fn a_late_offer_is_answered_with_their_own_numbers() {
    let mut negotiator = Negotiator::new(14);
    let offer = negotiator.offer(&local());
    assert!(
        offer.contains("m=audio 40000 RTP/AVP 0 8 101\r\n") && offer.contains("a=rtcp-mux\r\n"),
        "{offer}"
    );
    let theirs = description("m=audio 30000 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\n");
    let negotiated = negotiator.accept(&theirs).expect("acceptable");
    assert_eq!(negotiated.codecs.len(), 1);
    assert_eq!(negotiated.telephone_event, Some(PayloadPair { send: 96, receive: 101 }));
    assert!(!negotiated.rtcp_mux);
    assert_eq!(negotiator.accept(&theirs), Err(Refusal::UnexpectedAnswer), "once");
}

/// A call manager that takes its caller off hold asks for an offer (RFC 3264 section 8).
#[test]
fn a_later_offer_of_ours_keeps_lines_and_payload_types() {
    let mut negotiator = Negotiator::new(14);
    let theirs = description(
        "m=audio 30000 RTP/SAVP 0\r\nm=audio 30002 RTP/AVP 0 96 101\r\na=rtpmap:96 telephone-event/8000\r\n\
         a=rtpmap:101 opus/48000/2\r\nm=video 30004 RTP/AVP 97\r\n",
    );
    let (_, negotiated) = negotiator.answer(&theirs, &local()).expect("acceptable");
    assert_eq!(negotiated.telephone_event, Some(PayloadPair { send: 96, receive: 96 }));
    let offer = negotiator.offer(&local());
    let lines: Vec<_> = offer.lines().filter(|line| line.starts_with("m=")).collect();
    assert_eq!(
        lines,
        [
            "m=audio 0 RTP/SAVP 0",
            "m=audio 40000 RTP/AVP 0 8 96",
            "m=video 0 RTP/AVP 97"
        ]
    );
    let answer = "m=audio 0 RTP/SAVP 0\r\nm=audio 30008 RTP/AVP 8 96\r\na=rtpmap:96 telephone-event/8000\r\n\
                  m=video 0 RTP/AVP 97\r\n";
    let agreed = negotiator.accept(&description(answer)).expect("it fits");
    assert_eq!(agreed.remote_rtp, Some(socket("192.0.2.9:30008")));
    assert_eq!(agreed.telephone_event, Some(PayloadPair { send: 96, receive: 96 }));
}

#[test]
fn an_answer_with_the_audio_alone_is_taken() {
    let mut negotiator = Negotiator::new(14);
    let theirs = description("m=video 30004 RTP/AVP 97\r\nm=audio 30000 RTP/AVP 0\r\n");
    negotiator.answer(&theirs, &local()).expect("acceptable");
    negotiator.offer(&local());
    let agreed = negotiator
        .accept(&description("m=audio 30008 RTP/AVP 0\r\n"))
        .expect("it fits");
    assert_eq!(agreed.remote_rtp, Some(socket("192.0.2.9:30008")));
}

#[test]
fn a_payload_type_that_changes_its_meaning_stands_once_in_our_offer() {
    for (first, second) in [
        (
            "m=audio 30000 RTP/AVP 96\r\na=rtpmap:96 PCMA/8000\r\n",
            "m=audio 30000 RTP/AVP 0 96\r\na=rtpmap:96 telephone-event/8000\r\n",
        ),
        (
            "m=audio 30000 RTP/AVP 0 97\r\na=rtpmap:97 telephone-event/8000\r\n",
            "m=audio 30000 RTP/AVP 97\r\na=rtpmap:97 PCMU/8000\r\n",
        ),
    ] {
        let mut negotiator = Negotiator::new(14);
        for theirs in [first, second] {
            negotiator.answer(&description(theirs), &local()).expect("acceptable");
        }
        let offer = negotiator.offer(&local());
        let line = offer
            .lines()
            .find_map(|line| line.strip_prefix("m=audio 40000 RTP/AVP "))
            .expect("audio");
        let numbers: std::collections::BTreeSet<&str> = line.split(' ').collect();
        assert_eq!(numbers.len(), line.split(' ').count(), "{offer}");
    }
}

#[test]
fn a_payload_type_that_means_something_is_not_given_another_meaning() {
    let mut negotiator = Negotiator::new(14);
    let theirs =
        description("m=audio 30000 RTP/AVP 0 101 96\r\na=rtpmap:101 opus/48000/2\r\na=rtpmap:96 ilbc/8000\r\n");
    negotiator.answer(&theirs, &local()).expect("acceptable");
    let offer = negotiator.offer(&local());
    assert!(offer.contains("a=rtpmap:97 telephone-event/8000\r\n"), "{offer}");
}

#[test]
fn an_answer_that_does_not_fit_the_offer_is_refused() {
    let mut negotiator = Negotiator::new(14);
    negotiator.offer(&local());
    let two = description("m=audio 30000 RTP/AVP 0\r\nm=audio 30002 RTP/AVP 0\r\n");
    assert_eq!(negotiator.accept(&two), Err(Refusal::UnexpectedAnswer));
    assert_eq!(
        negotiator.accept(&description("m=audio 0 RTP/AVP 0\r\n")),
        Err(Refusal::NoAudio)
    );
    assert_eq!(
        negotiator.accept(&description("m=audio 30000 RTP/AVP 9\r\n")),
        Err(Refusal::NoCommonCodec)
    );
}

fn direction() -> impl Strategy<Value = Direction> {
    proptest::sample::select(vec![
        Direction::SendRecv,
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn two_of_us_agree(
        offered in direction(), wanted in direction(), ptime in 1..200u64,
        codecs in proptest::sample::subsequence(Codec::ALL.to_vec(), 1..=2).prop_shuffle(),
    ) {
        let caller = LocalMedia {
            direction: offered, codecs, packet_time: Duration::from_millis(ptime),
            ..LocalMedia::new("192.0.2.9".parse().expect("address"), 30_000)
        };
        let callee = LocalMedia { direction: wanted, ..local() };
        let mut negotiator = Negotiator::new(3);
        let offer = Description::parse(&negotiator.offer(&caller)).expect("ours");
        let (answer, there) = Negotiator::new(5).answer(&offer, &callee).expect("acceptable");
        let here = negotiator.accept(&Description::parse(&answer).expect("ours")).expect("acceptable");
        prop_assert_eq!(here.codecs[0].codec, caller.codecs[0]);
        prop_assert_eq!(&here.codecs, &there.codecs);
        prop_assert_eq!(here.telephone_event, there.telephone_event);
        prop_assert_eq!(here.direction.sends(), there.direction.receives());
        prop_assert_eq!(here.direction.receives(), there.direction.sends());
        prop_assert!(here.rtcp_mux && there.rtcp_mux);
        prop_assert!((10..=60).contains(&there.packet_time.as_millis()));
    }

    #[test]
    fn every_offer_of_ours_can_be_answered(
        before in proptest::collection::vec("m=(audio|video) [1-9][0-9]{0,3} RTP/S?AVP( [0-9]{1,2}){1,4}", 1..6),
    ) {
        let mut here = Negotiator::new(3);
        let text = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\n{}\r\n", before.join("\r\n"));
        let theirs = Description::parse(&text).expect("valid");
        if here.answer(&theirs, &local()).is_ok() {
            let offer = Description::parse(&here.offer(&local())).expect("ours");
            prop_assert_eq!(offer.media.len(), theirs.media.len());
            let there = LocalMedia::new("192.0.2.9".parse().expect("address"), 30_000);
            let (answer, _) = Negotiator::new(5).answer(&offer, &there).expect("it has audio");
            prop_assert!(here.accept(&Description::parse(&answer).expect("ours")).is_ok());
        }
    }

    #[test]
    fn no_text_panics_and_answers_have_as_many_lines(
        lines in proptest::collection::vec(
            "(m=(audio|video) [0-9]{1,5} RTP/S?AVP( [0-9]{1,3}){1,4}|a=(rtpmap|ptime|rtcp|fmtp):[ -~]{0,20}|a=\
             (sendonly|inactive|rtcp-mux)|c=IN IP[46] [0-9a-f.:/]{0,15}|[a-z]=[ -~]{0,20}|\\PC{0,20})", 0..12)
    ) {
        let text = format!("v=0\r\nc=IN IP4 192.0.2.9\r\n{}", lines.join("\r\n"));
        if let Ok(offer) = Description::parse(&text)
            && let Ok((answer, negotiated)) = Negotiator::new(1).answer(&offer, &local())
        {
            let answer = Description::parse(&answer).expect("ours");
            prop_assert_eq!(answer.media.len(), offer.media.len());
            prop_assert!(!negotiated.codecs.is_empty());
        }
    }
}
