//! A description that was received, in the terms of a telephone call.

use std::borrow::Cow;
use std::net::IpAddr;
use std::time::Duration;

use sdp_types::{Attribute, Connection, Media, Session};

use super::Refusal;
use crate::telephony::codec::{CLOCK_RATE, Codec};
use crate::telephony::rtp::redundancy::MAX_REDUNDANT_BLOCKS;

/// Longer descriptions are refused unread; the longest that telephones send is a third of it.
pub const MAX_SDP_LEN: usize = 16 * 1_024;
/// More media lines are refused; a desktop client offers three or four.
pub const MAX_MEDIA: usize = 16;

/// Which way media flows, seen by the one who says it (RFC 8866 section 6.7).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Direction {
    /// Both ways.
    #[default]
    SendRecv,
    /// Only from the one who says it.
    SendOnly,
    /// Only to the one who says it.
    RecvOnly,
    /// Neither way.
    Inactive,
}

impl Direction {
    /// Whether the one who says it sends.
    #[must_use]
    pub fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    /// Whether the one who says it receives.
    #[must_use]
    pub fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    /// The word in SDP.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }

    /// The most that we may do in answer to what they say, given what we want (RFC 3264 section 6.1).
    #[must_use]
    pub(super) fn answer_to(theirs: Self, wanted: Self) -> Self {
        Self::of(wanted.sends() && theirs.receives(), wanted.receives() && theirs.sends())
    }

    /// The same, but nothing is to be sent to the one who says it.
    #[must_use]
    pub(super) fn without_receiving(self) -> Self {
        Self::of(self.sends(), false)
    }

    fn of(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    fn among(attributes: &[Attribute]) -> Option<Self> {
        let all = [Self::SendRecv, Self::SendOnly, Self::RecvOnly, Self::Inactive];
        attributes.iter().find_map(|attribute| {
            all.into_iter()
                .find(|direction| attribute.attribute == direction.as_str())
        })
    }
}

/// A parsed offer or answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Description {
    pub(super) media: Vec<MediaLine>,
}

/// One m-line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct MediaLine {
    pub(super) kind: String,
    pub(super) port: u16,
    pub(super) protocol: String,
    /// The first format, enough to refuse the line with.
    pub(super) first_format: String,
    /// `None` for anything but audio over RTP/AVP.
    pub(super) audio: Option<Audio>,
}

/// What an audio line says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Audio {
    /// `None`: there is no address, or it is a host name.
    pub(super) address: Option<IpAddr>,
    /// In the order of liking.
    pub(super) formats: Vec<Format>,
    /// Every payload type of the line, also those whose encoding we do not know.
    pub(super) numbers: Vec<u8>,
    pub(super) redundancies: Vec<Redundancy>,
    pub(super) direction: Direction,
    /// The packet time that the other side wants to receive.
    pub(super) packet_time: Option<Duration>,
    pub(super) max_packet_time: Option<Duration>,
    pub(super) rtcp_port: Option<u16>,
    pub(super) rtcp_mux: bool,
}

/// A payload type and what it stands for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Format {
    pub(super) payload_type: u8,
    pub(super) encoding: Encoding,
}

/// Redundancy (RFC 2198) of other formats of the line; `a=fmtp` names them, the primary one first (section 5).
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Redundancy {
    pub(super) payload_type: u8,
    pub(super) of: Vec<u8>,
}

/// Encodings that we know, all at 8 kHz.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    Audio(Codec),
    TelephoneEvent,
    Redundancy,
}

impl Description {
    /// Reads a description. Sizes are checked first, so the cost is bounded whatever comes.
    pub fn parse(text: &str) -> Result<Self, Refusal> {
        let bytes = text.as_bytes();
        if bytes.len() > MAX_SDP_LEN || bytes.split(|&b| b == b'\n').filter(is_media_line).count() > MAX_MEDIA {
            return Err(Refusal::TooLarge);
        }
        let session = Session::parse(with_plain_origin(text).as_bytes()).map_err(|_| Refusal::Malformed)?;
        Ok(Self {
            media: session
                .medias
                .iter()
                .map(|media| MediaLine::read(media, &session))
                .collect(),
        })
    }

    /// The address of the first audio stream that is not switched off; tells which family our own port must be of.
    #[must_use]
    pub fn audio_address(&self) -> Option<IpAddr> {
        self.active_audio().find_map(|(_, _, audio)| audio.address)
    }

    /// Audio lines over RTP/AVP that are not switched off, with their index and port.
    pub(super) fn active_audio(&self) -> impl Iterator<Item = (usize, u16, &Audio)> {
        self.media
            .iter()
            .enumerate()
            .filter(|(_, line)| line.port != 0)
            .filter_map(|(index, line)| Some((index, line.port, line.audio.as_ref()?)))
    }
}

fn is_media_line(line: &&[u8]) -> bool {
    line.starts_with(b"m=")
}

impl MediaLine {
    fn read(media: &Media, session: &Session) -> Self {
        let is_audio = media.media.eq_ignore_ascii_case("audio") && media.proto.eq_ignore_ascii_case("RTP/AVP");
        Self {
            kind: media.media.clone(),
            port: media.port,
            protocol: media.proto.clone(),
            first_format: media.fmt.split_whitespace().next().unwrap_or("0").to_owned(),
            audio: is_audio.then(|| Audio::read(media, session)),
        }
    }
}

impl Audio {
    fn read(media: &Media, session: &Session) -> Self {
        let connection = media.connections.first().or(session.connection.as_ref());
        let direction = Direction::among(&media.attributes).or_else(|| Direction::among(&session.attributes));
        let milliseconds = |name: &str| value(media, name).and_then(leading_number).map(Duration::from_millis);
        let formats = formats(media);
        Self {
            address: connection.and_then(address),
            redundancies: redundancies(media, &formats),
            formats,
            numbers: numbers(media).collect(),
            direction: direction.unwrap_or_default(),
            packet_time: milliseconds("ptime"),
            max_packet_time: milliseconds("maxptime"),
            rtcp_port: value(media, "rtcp")
                .and_then(leading_number)
                .and_then(|port| u16::try_from(port).ok()),
            rtcp_mux: media.has_attribute("rtcp-mux"),
        }
    }

    /// The payload type for an encoding; the first one when there are several.
    pub(super) fn payload_type(&self, encoding: Encoding) -> Option<u8> {
        self.formats
            .iter()
            .find(|format| format.encoding == encoding)
            .map(|format| format.payload_type)
    }
}

fn address(connection: &Connection) -> Option<IpAddr> {
    // With a TTL it is multicast in any case, and refused later for being so.
    connection.connection_address.split('/').next()?.parse().ok()
}

fn numbers(media: &Media) -> impl Iterator<Item = u8> {
    let tokens = media.fmt.split_whitespace();
    tokens.filter_map(|token| token.parse().ok().filter(|payload_type| *payload_type < 128u8))
}

fn formats(media: &Media) -> Vec<Format> {
    numbers(media)
        .filter_map(|payload_type| {
            let encoding = match mapping(media, payload_type) {
                Some(mapping) => encoding(mapping)?,
                None => Encoding::Audio(Codec::from_payload_type(payload_type)?),
            };
            Some(Format { payload_type, encoding })
        })
        .collect()
}

/// Those that say what they repeat, in so many blocks as we read.
fn redundancies(media: &Media, formats: &[Format]) -> Vec<Redundancy> {
    let redundancy = |format: &Format| {
        let list = of_format(media, "fmtp", format.payload_type)?;
        let of = list.split('/').take(MAX_REDUNDANT_BLOCKS + 2);
        let of: Vec<u8> = of.map(|number| number.trim().parse().ok()).collect::<Option<_>>()?;
        (of.len() <= MAX_REDUNDANT_BLOCKS + 1).then_some(Redundancy {
            payload_type: format.payload_type,
            of,
        })
    };
    let formats = formats.iter().filter(|format| format.encoding == Encoding::Redundancy);
    formats.filter_map(redundancy).collect()
}

/// What `a=rtpmap` says about a payload type.
fn mapping(media: &Media, payload_type: u8) -> Option<&str> {
    of_format(media, "rtpmap", payload_type)
}

/// What an attribute says about a payload type.
fn of_format<'a>(media: &'a Media, name: &'a str, payload_type: u8) -> Option<&'a str> {
    media.get_attribute_values(name).flatten().find_map(|value| {
        let (number, text) = value.trim().split_once(char::is_whitespace)?;
        (number.parse() == Ok(payload_type)).then(|| text.trim())
    })
}

/// `name/rate` or `name/rate/1`; other rates are other formats (the 48 kHz events beside Opus).
fn encoding(mapping: &str) -> Option<Encoding> {
    let mut parts = mapping.split('/');
    let name = parts.next()?;
    let rate: u32 = parts.next()?.trim().parse().ok()?;
    let mono = parts.next().is_none_or(|channels| channels.trim() == "1");
    if rate != CLOCK_RATE || !mono {
        return None;
    }
    if name.eq_ignore_ascii_case("telephone-event") {
        return Some(Encoding::TelephoneEvent);
    }
    if name.eq_ignore_ascii_case("red") {
        return Some(Encoding::Redundancy);
    }
    Codec::from_encoding_name(name).map(Encoding::Audio)
}

fn value<'a>(media: &'a Media, name: &'a str) -> Option<&'a str> {
    media.get_first_attribute_value(name).flatten()
}

/// The number at the front of `20`, `20.0` or `53020 IN IP4 192.0.2.1`.
fn leading_number(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// Some telephones put their name, spaces and all, where `o=` has the name of a user (RFC 8866 section 5.2 has no space
/// there). Nobody needs it: `-` says that there is none.
fn with_plain_origin(text: &str) -> Cow<'_, str> {
    let origin = text.lines().find(|line| line.starts_with("o="));
    let Some(origin) = origin.filter(|line| line.split(' ').count() > ORIGIN_WORDS) else {
        return Cow::Borrowed(text);
    };
    let mut words: Vec<_> = origin.rsplitn(ORIGIN_WORDS, ' ').collect();
    words.truncate(ORIGIN_WORDS - 1);
    words.push("o=-");
    words.reverse();
    Cow::Owned(text.replacen(origin, &words.join(" "), 1))
}

/// User, session, version, network, kind of address, address.
const ORIGIN_WORDS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn audio(lines: &str) -> Audio {
        let text = format!("v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nt=0 0\r\n{lines}");
        let description = Description::parse(&text).expect("valid");
        description.media[0].audio.clone().expect("audio")
    }

    #[test]
    fn spaces_in_the_name_of_the_user_are_passed_over() {
        for origin in [
            "My Fine Phone 7 9 IN IP4 192.0.2.9",
            "a  7 9 IN IP4 192.0.2.9",
            "- 7 9 IN IP6 ::1",
        ] {
            let text = format!("v=0\r\no={origin}\r\ns=-\r\nc=IN IP4 192.0.2.1\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n");
            assert_eq!(Description::parse(&text).map(|sdp| sdp.media.len()), Ok(1), "{origin}");
        }
    }

    #[test]
    fn media_level_overrides_session_level() {
        let audio =
            audio("c=IN IP4 192.0.2.1\r\na=sendonly\r\nm=audio 4000 RTP/AVP 0\r\nc=IN IP4 192.0.2.2\r\na=recvonly\r\n");
        assert_eq!(audio.address, Some("192.0.2.2".parse().expect("address")));
        assert_eq!(audio.direction, Direction::RecvOnly);
    }

    #[test]
    fn formats_keep_their_order_and_unknown_ones_are_left_out() {
        let audio = audio(
            "m=audio 4000 RTP/AVP 9 8 96 0 101 102 13 300 x\r\na=rtpmap:96 pcmu/8000/1\r\na=rtpmap:101 \
             TELEPHONE-EVENT/8000\r\na=rtpmap:102 telephone-event/48000\r\n",
        );
        let expected = [
            (8, Encoding::Audio(Codec::Pcma)),
            (96, Encoding::Audio(Codec::Pcmu)),
            (0, Encoding::Audio(Codec::Pcmu)),
            (101, Encoding::TelephoneEvent),
        ];
        assert_eq!(
            audio.formats,
            expected.map(|(payload_type, encoding)| Format { payload_type, encoding })
        );
    }

    #[test]
    fn redundancy_names_what_it_repeats() {
        let audio = audio(
            "m=audio 4000 RTP/AVP 0 96 97 98 99 100\r\na=rtpmap:96 red/8000\r\na=fmtp:96 0/0/0\r\na=rtpmap:97 \
             RED/8000/1\r\na=fmtp:97 101 / 101\r\na=rtpmap:98 red/8000\r\na=rtpmap:99 red/8000\r\na=fmtp:99 \
             0/x\r\na=rtpmap:100 red/48000\r\na=fmtp:100 0/0\r\n",
        );
        let of = |payload_type, of: &[u8]| Redundancy {
            payload_type,
            of: of.to_vec(),
        };
        assert_eq!(audio.redundancies, [of(96, &[0, 0, 0]), of(97, &[101, 101])]);
    }

    #[test]
    fn a_static_number_mapped_to_something_else_is_that_something() {
        let audio = audio("m=audio 4000 RTP/AVP 0\r\na=rtpmap:0 L16/8000\r\n");
        assert_eq!(audio.formats, []);
    }

    #[test]
    fn packet_times_and_rtcp_in_their_spellings() {
        let audio = audio(
            "m=audio 4000 RTP/AVP 0\r\na=ptime:30.0\r\na=maxptime: 60\r\na=rtcp:53020 IN IP4 192.0.2.7\r\na=rtcp-mux\r\n",
        );
        assert_eq!(audio.packet_time, Some(Duration::from_millis(30)));
        assert_eq!(audio.max_packet_time, Some(Duration::from_millis(60)));
        assert_eq!((audio.rtcp_port, audio.rtcp_mux), (Some(53_020), true));
    }

    #[test]
    fn host_names_are_not_addresses() {
        assert_eq!(
            audio("c=IN IP4 victim.example\r\nm=audio 4000 RTP/AVP 0\r\n").address,
            None
        );
    }

    #[test]
    fn bombs_are_refused_before_they_are_parsed() {
        let many = "v=0\r\n".to_owned() + &"m=audio 4000 RTP/AVP 0\r\n".repeat(1_000);
        let giant = format!("v=0\r\nm=audio 4000 RTP/AVP 0\r\na=x:{}\r\n", "y".repeat(60_000));
        let seventeen = "v=0\r\n".to_owned() + &"m=audio 1 RTP/AVP 0\r\n".repeat(17);
        for text in [many, giant, seventeen] {
            assert_eq!(Description::parse(&text), Err(Refusal::TooLarge));
        }
        for text in [
            "",
            "hello",
            "v=1\r\n",
            "v=0\r\nm=audio\r\n",
            "v=0\r\nm=audio 99999 RTP/AVP 0\r\n",
        ] {
            assert_eq!(Description::parse(text), Err(Refusal::Malformed), "{text:?}");
        }
    }
}
