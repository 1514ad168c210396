//! Offer and answer (RFC 3264), over the life of one call.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sdp_types::Session;

use super::description::{Audio, Description, Direction, Encoding, MediaLine, Redundancy};
use super::write::{self, AudioLine, Line};
use super::{Refusal, address};
use crate::telephony::codec::Codec;

/// The number for telephone events in our own offers, the one that everybody uses.
const TELEPHONE_EVENT: u8 = 101;
/// Numbers that mean what a description says (RFC 3551 section 6).
const DYNAMIC: std::ops::RangeInclusive<u8> = 96..=127;
const DEFAULT_PACKET_TIME: Duration = Duration::from_millis(20);
/// The shortest packet time that we send with.
pub const MIN_PACKET_TIME: Duration = Duration::from_millis(10);
/// The longest packet time that we send with.
pub const MAX_PACKET_TIME: Duration = Duration::from_millis(60);

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
    /// Redundancy of the above (RFC 2198), which they may send and we never do.
    pub redundancy: Option<PayloadPair>,
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
    offered: Option<Offered>,
    /// The lines that both sides know, and what is fixed about them.
    stream: Stream,
}

#[derive(Clone, Debug)]
struct Offered {
    local: LocalMedia,
    numbers: Numbers,
}

/// What offers after the first must keep (RFC 3264 section 8): how many lines there are, in which order, and what a
/// payload type stands for.
#[derive(Clone, Debug, Default)]
struct Stream {
    /// The lines of their last offer; none before there was one. Then ours has the audio alone.
    lines: Vec<MediaLine>,
    /// Which of them is the audio.
    audio: usize,
    /// What we receive with.
    numbers: Numbers,
    /// Every payload type that has stood for something in an offer of theirs (section 8.3.2).
    taken: BTreeSet<u8>,
}

/// Payload types that we receive with.
#[derive(Clone, Debug, Default)]
struct Numbers {
    codecs: Vec<(Codec, u8)>,
    telephone_event: Option<u8>,
}

impl Numbers {
    fn of(negotiated: &Negotiated) -> Self {
        let codecs = negotiated.codecs.iter();
        Self {
            codecs: codecs.map(|agreed| (agreed.codec, agreed.payload.receive)).collect(),
            telephone_event: negotiated.telephone_event.map(|payload| payload.receive),
        }
    }

    fn codec(&self, codec: Codec) -> Option<u8> {
        let mut codecs = self.codecs.iter();
        codecs.find(|(known, _)| *known == codec).map(|(_, number)| *number)
    }
}

impl Stream {
    /// Remembers an offer of theirs that was answered.
    fn keep(&mut self, offer: &Description, audio: usize, negotiated: &Negotiated) {
        self.lines.clone_from(&offer.media);
        self.audio = audio;
        let now = Numbers::of(negotiated);
        // A number that has another meaning now (which section 8.3.2 forbids them) has lost its old one.
        let is_in_use =
            |number: &u8| now.codecs.iter().any(|(_, used)| used == number) || now.telephone_event == Some(*number);
        let before = self.numbers.codecs.drain(..);
        let kept = before.filter(|(codec, number)| now.codec(*codec).is_none() && !is_in_use(number));
        let kept: Vec<_> = kept.collect();
        let event = self.numbers.telephone_event.filter(|number| !is_in_use(number));
        self.numbers.codecs = now.codecs.into_iter().chain(kept).collect();
        self.numbers.telephone_event = now.telephone_event.or(event);
        let line = offer.media.get(audio).and_then(|line| line.audio.as_ref());
        self.taken.extend(line.into_iter().flat_map(|audio| &audio.numbers));
    }

    /// The payload types of an offer of ours: those of before, else the usual ones.
    fn numbers(&self, codecs: &[Codec]) -> Numbers {
        let number = |codec: &Codec| (*codec, self.numbers.codec(*codec).unwrap_or(codec.payload_type()));
        let codecs: Vec<(Codec, u8)> = codecs.iter().map(number).collect();
        let is_free = |number: &u8| !self.taken.contains(number) && codecs.iter().all(|(_, used)| used != number);
        let free = std::iter::once(TELEPHONE_EVENT).chain(DYNAMIC).find(is_free);
        Numbers {
            telephone_event: self.numbers.telephone_event.or(free),
            codecs,
        }
    }
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
            stream: Stream::default(),
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
            redundancy: offered_redundancy(offer, index, &negotiated),
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
        self.stream.keep(offer, index, &negotiated);
        Ok((self.publish(session), negotiated))
    }

    /// An offer of ours: in the 200 to an INVITE or re-INVITE without one, or as a caller. It has the lines of the session as
    /// it is, the refused ones too, and its payload types.
    pub fn offer(&mut self, local: &LocalMedia) -> String {
        let numbers = self.stream.numbers(&local.codecs);
        let audio = AudioLine {
            local,
            codecs: &numbers.codecs,
            telephone_event: numbers.telephone_event,
            redundancy: None,
            direction: local.direction,
            rtcp_mux: true,
        };
        let Stream {
            lines, audio: index, ..
        } = &self.stream;
        let first = lines.is_empty().then_some(Line::Audio);
        let kept = lines.iter().enumerate();
        let kept = kept.map(|(at, line)| {
            if at == *index {
                Line::Audio
            } else {
                Line::refusing(line)
            }
        });
        let session = write::session(self.session_id, &audio, first.into_iter().chain(kept));
        self.offered = Some(Offered {
            local: local.clone(),
            numbers,
        });
        self.publish(session)
    }

    /// Takes the answer to our last offer.
    pub fn accept(&mut self, answer: &Description) -> Result<Negotiated, Refusal> {
        let Offered { local, numbers } = self.offered.as_ref().ok_or(Refusal::UnexpectedAnswer)?;
        // Some leave out the lines that were refused before (RFC 3264 section 6 has them repeated): the audio is what counts.
        let audio = match answer.media.len() {
            1 => 0,
            count if count == self.stream.lines.len() => self.stream.audio,
            _ => return Err(Refusal::UnexpectedAnswer),
        };
        let mut lines = answer.active_audio();
        let line = lines.find(|(index, ..)| *index == audio);
        let (_, port, audio) = line.ok_or(Refusal::NoAudio)?;
        let number = |codec: Codec| numbers.codec(codec).unwrap_or(codec.payload_type());
        let event = numbers.telephone_event.unwrap_or(TELEPHONE_EVENT);
        let negotiated = negotiate(port, audio, local, number, event)?;
        self.stream.numbers = numbers.clone();
        self.offered = None;
        Ok(Negotiated {
            // We never offer it.
            redundancy: None,
            ..negotiated
        })
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

/// What the redundancy that was agreed repeats.
fn offered_redundancy<'a>(offer: &'a Description, index: usize, negotiated: &Negotiated) -> Option<&'a Redundancy> {
    let agreed = negotiated.redundancy?;
    let audio = offer.media.get(index)?.audio.as_ref()?;
    let mut redundancies = audio.redundancies.iter();
    redundancies.find(|redundancy| redundancy.payload_type == agreed.send)
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
    let telephone_event = audio
        .payload_type(Encoding::TelephoneEvent)
        .map(|send| PayloadPair { send, receive: event });
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
        redundancy: redundancy(audio, &codecs, telephone_event),
        codecs,
        telephone_event,
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

/// The first one that repeats nothing but what we take.
fn redundancy(audio: &Audio, codecs: &[AgreedCodec], telephone_event: Option<PayloadPair>) -> Option<PayloadPair> {
    let agreed = || codecs.iter().map(|codec| codec.payload).chain(telephone_event);
    let is_agreed = |number: &u8| agreed().any(|payload| payload.send == *number);
    let mut redundancies = audio.redundancies.iter();
    let taken = redundancies.find(|redundancy| redundancy.of.iter().all(is_agreed))?;
    Some(PayloadPair {
        send: taken.payload_type,
        receive: taken.payload_type,
    })
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
