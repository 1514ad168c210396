//! The descriptions that we send.

use sdp_types::{Attribute, Connection, Media, Origin, Session};

use super::description::{Direction, MediaLine, Redundancy};
use super::negotiate::LocalMedia;
use crate::telephony::codec::{CLOCK_RATE, Codec};

/// The audio line that we send.
pub(super) struct AudioLine<'a> {
    pub(super) local: &'a LocalMedia,
    /// Codecs with their payload types, best first.
    pub(super) codecs: &'a [(Codec, u8)],
    pub(super) telephone_event: Option<u8>,
    pub(super) redundancy: Option<&'a Redundancy>,
    pub(super) direction: Direction,
    pub(super) rtcp_mux: bool,
}

/// A session of one audio line and of lines that are refused.
pub(super) fn session(session_id: u64, audio: &AudioLine<'_>, lines: impl Iterator<Item = Line>) -> Session {
    // Neither user name nor session name: a stranger learns nothing about us.
    let mut session = Session::new(Origin::with_ip_addr(session_id, 0, audio.local.address), "-");
    session.set_connection(Connection::from_ip_addr(audio.local.address));
    session.add_medias(lines.map(|line| match line {
        Line::Audio => audio.to_media(),
        Line::Refused(media) => *media,
    }));
    session
}

/// One m-line of a description of ours.
pub(super) enum Line {
    Audio,
    Refused(Box<Media>),
}

impl Line {
    /// Port 0 refuses a line (RFC 3264 section 6); one format must stand there, and means nothing.
    pub(super) fn refusing(line: &MediaLine) -> Self {
        Self::Refused(Box::new(Media {
            media: line.kind.clone(),
            port: 0,
            num_ports: None,
            proto: line.protocol.clone(),
            fmt: line.first_format.clone(),
            media_title: None,
            connections: Vec::new(),
            bandwidths: Vec::new(),
            key: None,
            attributes: Vec::new(),
        }))
    }
}

/// The text of a session with the given version in its o= line.
pub(super) fn to_text(session: &mut Session, version: u64) -> String {
    session.origin.sess_version = version;
    let mut text = Vec::with_capacity(512);
    // Writing into a vector cannot fail, and everything written was text.
    let written = session.write(&mut text);
    debug_assert!(written.is_ok());
    String::from_utf8_lossy(&text).into_owned()
}

impl AudioLine<'_> {
    fn to_media(&self) -> Media {
        let numbers = self
            .codecs
            .iter()
            .map(|(_, number)| *number)
            .chain(self.telephone_event)
            .chain(self.redundancy.map(|redundancy| redundancy.payload_type));
        let formats: Vec<String> = numbers.map(|number| number.to_string()).collect();
        Media {
            media: "audio".to_owned(),
            port: self.local.rtp_port,
            num_ports: None,
            proto: "RTP/AVP".to_owned(),
            fmt: formats.join(" "),
            media_title: None,
            connections: Vec::new(),
            bandwidths: Vec::new(),
            key: None,
            attributes: self.attributes(),
        }
    }

    fn attributes(&self) -> Vec<Attribute> {
        let mut attributes: Vec<Attribute> = self
            .codecs
            .iter()
            .map(|(codec, number)| {
                Attribute::with_value(
                    "rtpmap",
                    format!("{number} {}/{}", codec.encoding_name(), codec.clock_rate()),
                )
            })
            .collect();
        if let Some(number) = self.telephone_event {
            attributes.push(Attribute::with_value(
                "rtpmap",
                format!("{number} telephone-event/{CLOCK_RATE}"),
            ));
            attributes.push(Attribute::with_value("fmtp", format!("{number} 0-15")));
        }
        if let Some(Redundancy { payload_type, of }) = self.redundancy {
            let of: Vec<String> = of.iter().map(ToString::to_string).collect();
            attributes.push(Attribute::with_value(
                "rtpmap",
                format!("{payload_type} red/{CLOCK_RATE}"),
            ));
            attributes.push(Attribute::with_value(
                "fmtp",
                format!("{payload_type} {}", of.join("/")),
            ));
        }
        attributes.push(Attribute::with_value("ptime", self.local.packet_time.as_millis()));
        if self.rtcp_mux {
            attributes.push(Attribute::new("rtcp-mux"));
        } else if Some(self.local.rtcp_port) != self.local.rtp_port.checked_add(1) {
            attributes.push(Attribute::with_value("rtcp", self.local.rtcp_port));
        }
        attributes.push(Attribute::new(self.direction.as_str()));
        attributes
    }
}
