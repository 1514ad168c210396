//! Offer and answer (RFC 3264), over the life of one call.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sdp_types::Session;

use super::description::{Audio, Description, Direction, Encoding};
use super::write::{self, AudioLine, Line};
use super::{Refusal, address};
use crate::telephony::codec::Codec;

/// The number for telephone events in our own offers, the one that everybody uses.
const TELEPHONE_EVENT: u8 = 101;
const DEFAULT_PACKET_TIME: Duration = Duration::from_millis(20);
const MIN_PACKET_TIME: Duration = Duration::from_millis(10);
const MAX_PACKET_TIME: Duration = Duration::from_millis(60);

/// What we put into a description.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LocalMedia {
    /// The address that the far end reaches us at.
    pub address: IpAddr,
    /// Where we receive RTP.
    pub rtp_port: u16,
    /// Where we receive RTCP when it is not multiplexed.
    pub rtcp_port: u16,
    /// Codecs that the trunk allows; the order matters only in our own offers.
    pub codecs: Vec<Codec>,
    /// The packet time that we want to receive, 10 to 60 ms.
    pub packet_time: Duration,
    /// What we want to do; the far end may want less.
    pub direction: Direction,
    /// Sockets of ours that no media may be sent to (SIP); an unspecified IP stands for `address`.
    pub reserved: Vec<SocketAddr>,
}

impl LocalMedia {
    /// RTP at `rtp_port`, RTCP one above, every codec, 20 ms, both ways.
    #[must_use]
    pub fn new(address: IpAddr, rtp_port: u16) -> Self {
        Self {
            address,
            rtp_port,
            rtcp_port: rtp_port.wrapping_add(1),
            codecs: Codec::ALL.to_vec(),
            packet_time: DEFAULT_PACKET_TIME,
            direction: Direction::SendRecv,
            reserved: Vec::new(),
        }
    }
}

/// Payload types of one format; they may differ by direction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PayloadPair {
    /// The far end's number: what we send with.
    pub send: u8,
    /// Our number: what we receive with.
    pub receive: u8,
}

/// A codec that both sides take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AgreedCodec {
    /// Which one.
    pub codec: Codec,
    /// Its payload types.
    pub payload: PayloadPair,
}

/// What was agreed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Negotiated {
    /// At least one; we send the first, and receive any.
    pub codecs: Vec<AgreedCodec>,
    /// Telephone events at 8 kHz.
    pub telephone_event: Option<PayloadPair>,
    /// Where they want RTP; `None` while they are on hold in the old way (`c=0.0.0.0`): nothing may be sent.
    pub remote_rtp: Option<SocketAddr>,
    /// Where they want RTCP.
    pub remote_rtcp: Option<SocketAddr>,
    /// Whether RTCP goes over the RTP port (RFC 5761).
    pub rtcp_mux: bool,
    /// What we do.
    pub direction: Direction,
    /// The packet time that they want to receive, 10 to 60 ms.
    pub packet_time: Duration,
}

impl Negotiated {
    /// Whether the far end put us on hold: it does not want to hear us.
    #[must_use]
    pub fn is_on_hold(&self) -> bool {
        !self.direction.sends() || self.remote_rtp.is_none()
    }
}

/// Our side of offer and answer in one call.
#[derive(Clone, Debug)]
pub struct Negotiator {
    session_id: u64,
    version: u64,
    /// What we said last, with version 0.
    last: Option<String>,
    /// An offer of ours that waits for its answer.
    offered: Option<LocalMedia>,
}

impl Negotiator {
    /// Begins a call; `session_id` must be random, it tells sessions apart for the far end.
    #[must_use]
    pub fn new(session_id: u64) -> Self {
        // Some gateways read the id as a signed 64-bit number.
        Self {
            session_id: session_id >> 1,
            version: 1,
            last: None,
            offered: None,
        }
    }

    /// Answers an offer: the text to send, and what it means. A refusal leaves everything as it was.
    ///
    /// Codecs are answered in the order of the offer, under its payload types. Lines that we do not take are refused
    /// with port 0, in order.
    pub fn answer(&mut self, offer: &Description, local: &LocalMedia) -> Result<(String, Negotiated), Refusal> {
        let (index, negotiated) = first_acceptable(offer, local)?;
        let codecs: Vec<(Codec, u8)> = negotiated
            .codecs
            .iter()
            .map(|agreed| (agreed.codec, agreed.payload.receive))
            .collect();
        let audio = AudioLine {
            local,
            codecs: &codecs,
            telephone_event: negotiated.telephone_event.map(|payload| payload.receive),
            direction: negotiated.direction,
            rtcp_mux: negotiated.rtcp_mux,
        };
        let lines = offer
            .media
            .iter()
            .enumerate()
            .map(|(at, line)| if at == index { Line::Audio } else { Line::refusing(line) });
        let session = write::session(self.session_id, &audio, lines);
        self.offered = None;
        Ok((self.publish(session), negotiated))
    }

    /// An offer of ours: in the 200 to an INVITE without one, or as a caller.
    pub fn offer(&mut self, local: &LocalMedia) -> String {
        let codecs: Vec<(Codec, u8)> = local
            .codecs
            .iter()
            .map(|codec| (*codec, codec.payload_type()))
            .collect();
        let audio = AudioLine {
            local,
            codecs: &codecs,
            telephone_event: Some(TELEPHONE_EVENT),
            direction: local.direction,
            rtcp_mux: true,
        };
        let session = write::session(self.session_id, &audio, std::iter::once(Line::Audio));
        self.offered = Some(local.clone());
        self.publish(session)
    }

    /// Takes the answer to our last offer.
    pub fn accept(&mut self, answer: &Description) -> Result<Negotiated, Refusal> {
        let local = self.offered.as_ref().ok_or(Refusal::UnexpectedAnswer)?;
        if answer.media.len() != 1 {
            return Err(Refusal::UnexpectedAnswer);
        }
        let (_, port, audio) = answer.active_audio().next().ok_or(Refusal::NoAudio)?;
        let negotiated = negotiate(port, audio, local, Codec::payload_type, TELEPHONE_EVENT)?;
        self.offered = None;
        Ok(negotiated)
    }

    /// The text under the right version: one more than before if anything else changed (RFC 3264 section 8).
    fn publish(&mut self, mut session: Session) -> String {
        let unversioned = write::to_text(&mut session, 0);
        match &self.last {
            Some(last) if *last == unversioned => {}
            Some(_) => self.version += 1,
            None => {}
        }
        self.last = Some(unversioned);
        write::to_text(&mut session, self.version)
    }
}

/// The first audio line that we can take; else the reason why the first one is refused.
fn first_acceptable(offer: &Description, local: &LocalMedia) -> Result<(usize, Negotiated), Refusal> {
    let mut refusal = None;
    for (index, port, audio) in offer.active_audio() {
        // An answer repeats the numbers of the offer, for both directions.
        let number = |codec| audio.payload_type(Encoding::Audio(codec)).unwrap_or(0);
        let event = audio.payload_type(Encoding::TelephoneEvent).unwrap_or(TELEPHONE_EVENT);
        match negotiate(port, audio, local, number, event) {
            Ok(negotiated) => return Ok((index, negotiated)),
            Err(reason) => refusal = refusal.or(Some(reason)),
        }
    }
    Err(refusal.unwrap_or(Refusal::NoAudio))
}

/// What their line means together with ours; `number` and `event` are the payload types that we receive with.
fn negotiate(
    port: u16,
    audio: &Audio,
    local: &LocalMedia,
    number: impl Fn(Codec) -> u8,
    event: u8,
) -> Result<Negotiated, Refusal> {
    let codecs = common_codecs(audio, local, number);
    if codecs.is_empty() {
        return Err(Refusal::NoCommonCodec);
    }
    let ip = audio.address.ok_or(Refusal::Address("it is missing or a host name"))?;
    let held = ip.is_unspecified();
    let remote = SocketAddr::new(ip, port);
    if !held {
        address::check(remote, local)?;
    }
    // Before RFC 3264 an unspecified address was how to put a call on hold: they may send, we may not.
    let theirs = if held {
        audio.direction.without_receiving()
    } else {
        audio.direction
    };
    Ok(Negotiated {
        codecs,
        telephone_event: audio
            .payload_type(Encoding::TelephoneEvent)
            .map(|send| PayloadPair { send, receive: event }),
        remote_rtp: (!held).then_some(remote),
        remote_rtcp: if held { None } else { rtcp_address(remote, audio, local) },
        rtcp_mux: audio.rtcp_mux,
        direction: Direction::answer_to(theirs, local.direction),
        packet_time: packet_time(audio),
    })
}

/// In their order of liking, each codec once.
fn common_codecs(audio: &Audio, local: &LocalMedia, number: impl Fn(Codec) -> u8) -> Vec<AgreedCodec> {
    let mut codecs: Vec<AgreedCodec> = Vec::with_capacity(local.codecs.len());
    for format in &audio.formats {
        let Encoding::Audio(codec) = format.encoding else {
            continue;
        };
        if local.codecs.contains(&codec) && codecs.iter().all(|agreed| agreed.codec != codec) {
            let payload = PayloadPair {
                send: format.payload_type,
                receive: number(codec),
            };
            codecs.push(AgreedCodec { codec, payload });
        }
    }
    codecs
}

/// Multiplexed, at the port of `a=rtcp` (RFC 3605), or one above RTP. Another host in `a=rtcp` is not believed.
fn rtcp_address(rtp: SocketAddr, audio: &Audio, local: &LocalMedia) -> Option<SocketAddr> {
    if audio.rtcp_mux {
        return Some(rtp);
    }
    let port = audio.rtcp_port.or_else(|| rtp.port().checked_add(1))?;
    let remote = SocketAddr::new(rtp.ip(), port);
    address::check(remote, local).ok().map(|()| remote)
}

fn packet_time(audio: &Audio) -> Duration {
    let wanted = audio.packet_time.unwrap_or(DEFAULT_PACKET_TIME);
    wanted
        .min(audio.max_packet_time.unwrap_or(MAX_PACKET_TIME))
        .clamp(MIN_PACKET_TIME, MAX_PACKET_TIME)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
}
