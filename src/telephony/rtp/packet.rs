//! One RTP packet (RFC 3550 section 5.1).

use rtp_rs::{RtpPacketBuilder, RtpReader, Seq};
use thiserror::Error;

/// Bytes of the header that we send: no CSRC, no extension.
pub const HEADER_LEN: usize = 12;

/// Why a datagram is not an RTP packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("not an rtp packet: wrong version, or truncated header, extension or padding")]
pub struct PacketError;

/// The fields of the header that mean something in a telephone call.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Header {
    /// First packet of a talk spurt or of an event.
    pub marker: bool,
    /// 0 to 127.
    pub payload_type: u8,
    /// Counts packets, wraps.
    pub sequence: u16,
    /// Counts samples, wraps.
    pub timestamp: u32,
    /// The synchronisation source.
    pub ssrc: u32,
}

impl Header {
    /// Writes the header to the front of `buffer` and returns the rest, for the payload; `None` if the buffer is
    /// shorter than [`HEADER_LEN`] or the payload type is above 127.
    #[must_use]
    pub fn write<'b>(&self, buffer: &'b mut [u8]) -> Option<&'b mut [u8]> {
        let written = RtpPacketBuilder::new()
            .marked(self.marker)
            .payload_type(self.payload_type)
            .sequence(Seq::from(self.sequence))
            .timestamp(self.timestamp)
            .ssrc(self.ssrc)
            .build_into(buffer)
            .ok()?;
        buffer.get_mut(written..)
    }
}

/// A received packet, borrowing its datagram.
///
/// CSRCs, header extensions and padding are checked for length and skipped, never an error in themselves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The header.
    pub header: Header,
    /// The payload without padding; may be empty.
    pub payload: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Reads a datagram.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, PacketError> {
        let reader = RtpReader::new(datagram).map_err(|_| PacketError)?;
        Ok(Self {
            header: Header {
                marker: reader.mark(),
                payload_type: reader.payload_type(),
                sequence: reader.sequence_number().into(),
                timestamp: reader.timestamp(),
                ssrc: reader.ssrc(),
            },
            payload: reader.payload(),
        })
    }
}

/// The payload may be a key press: only its length is shown.
impl std::fmt::Debug for Packet<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Packet({:?}, {} bytes)", self.header, self.payload.len())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn csrc_extension_and_padding_are_skipped() {
        let mut datagram = vec![0x80 | 0x20 | 0x10 | 2, 0x80 | 8, 0, 7, 0, 0, 0, 160, 1, 2, 3, 4];
        datagram.extend([0xaa; 8]); // two CSRCs
        datagram.extend([0xbe, 0xde, 0, 1, 9, 9, 9, 9]); // one word of extension
        datagram.extend([0xd5; 3]);
        datagram.extend([0, 2]); // two bytes of padding
        let packet = Packet::parse(&datagram).expect("valid");
        assert_eq!(packet.payload, [0xd5; 3]);
        assert_eq!(
            packet.header,
            Header {
                marker: true,
                payload_type: 8,
                sequence: 7,
                timestamp: 160,
                ssrc: 0x0102_0304
            }
        );
    }

    #[test]
    fn lies_about_lengths_are_refused() {
        let header = [0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1];
        for datagram in [
            &header[..11],                                              // truncated
            &[0x40, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],                   // version 1
            &[0x81, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1],                   // a CSRC that is not there
            &[0x90, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0xff, 0xff], // an extension of 256 kB
            &[0xa0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 200],              // 200 bytes of padding in one
            &[0xa0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0],                // zero bytes of padding
        ] {
            assert_eq!(Packet::parse(datagram), Err(PacketError), "{datagram:x?}");
        }
    }

    proptest! {
        #[test]
        fn no_datagram_panics(datagram in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Ok(packet) = Packet::parse(&datagram) {
                prop_assert!(packet.payload.len() + HEADER_LEN <= datagram.len());
            }
        }

        #[test]
        fn what_is_written_is_read(
            marker: bool, payload_type in 0..=127u8, sequence: u16, timestamp: u32, ssrc: u32,
            payload in proptest::collection::vec(any::<u8>(), 0..480),
        ) {
            let header = Header { marker, payload_type, sequence, timestamp, ssrc };
            let mut buffer = [0; 512];
            header.write(&mut buffer).expect("room")[..payload.len()].copy_from_slice(&payload);
            let packet = Packet::parse(&buffer[..HEADER_LEN + payload.len()]).expect("ours");
            prop_assert_eq!(packet, Packet { header, payload: &payload });
        }
    }
}
