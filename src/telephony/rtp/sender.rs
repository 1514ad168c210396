//! What we send: sequence numbers, timestamps, SSRC (RFC 3550 section 5.1).

use rand::{Rng, RngExt as _};

use super::packet::Header;

/// Numbers the packets of one outgoing stream.
///
/// Sequence counts packets, timestamp counts samples of time that passes, also through silence: the caller advances it
/// once per packet time whether or not a packet went out.
#[derive(Clone, Copy, Debug)]
pub struct SendStream {
    ssrc: u32,
    sequence: u16,
    timestamp: u32,
    packets: u32,
    octets: u32,
}

impl SendStream {
    /// Begins at a random sequence number, timestamp and SSRC, so that nothing can be injected by guessing.
    #[must_use]
    pub fn new(rng: &mut impl Rng) -> Self {
        Self {
            ssrc: rng.random(),
            sequence: rng.random(),
            timestamp: rng.random(),
            packets: 0,
            octets: 0,
        }
    }

    /// The header of the packet that is due now. Counts it.
    pub fn next_header(&mut self, payload_type: u8, marker: bool, payload_len: usize) -> Header {
        self.next_header_at(self.timestamp, payload_type, marker, payload_len)
    }

    /// As [`Self::next_header`], for a payload that began at an earlier timestamp (a telephone event).
    pub fn next_header_at(&mut self, timestamp: u32, payload_type: u8, marker: bool, payload_len: usize) -> Header {
        let header = Header {
            marker,
            payload_type,
            sequence: self.sequence,
            timestamp,
            ssrc: self.ssrc,
        };
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.octets = self.octets.wrapping_add(u32::try_from(payload_len).unwrap_or(u32::MAX));
        header
    }

    /// Lets `samples` of time pass.
    pub fn advance(&mut self, samples: u32) {
        self.timestamp = self.timestamp.wrapping_add(samples);
    }

    /// Takes another SSRC after a collision with the far end's (RFC 3550 section 8.2); counters begin again.
    pub fn change_ssrc(&mut self, rng: &mut impl Rng) {
        *self = Self {
            timestamp: self.timestamp,
            ..Self::new(rng)
        };
    }

    /// Our SSRC.
    #[must_use]
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The timestamp of the packet that is due now.
    #[must_use]
    pub fn timestamp(&self) -> u32 {
        self.timestamp
    }

    /// Packets sent, wraps as in a sender report.
    #[must_use]
    pub fn packets(&self) -> u32 {
        self.packets
    }

    /// Payload bytes sent, wraps as in a sender report.
    #[must_use]
    pub fn octets(&self) -> u32 {
        self.octets
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn sequence_counts_packets_and_timestamp_counts_time() {
        let mut stream = SendStream::new(&mut StdRng::seed_from_u64(1));
        let first = stream.next_header(0, true, 160);
        stream.advance(160);
        stream.advance(160); // silence: time passes, no packet
        let second = stream.next_header(0, true, 160);
        assert_eq!(second.sequence, first.sequence.wrapping_add(1));
        assert_eq!(second.timestamp, first.timestamp.wrapping_add(320));
        assert_eq!((stream.packets(), stream.octets()), (2, 320));
    }

    #[test]
    fn two_streams_begin_at_different_places() {
        let mut rng = StdRng::seed_from_u64(2);
        let (one, other) = (SendStream::new(&mut rng), SendStream::new(&mut rng));
        assert_ne!(
            (one.ssrc, one.sequence, one.timestamp),
            (other.ssrc, other.sequence, other.timestamp)
        );
    }

    #[test]
    fn a_collision_changes_the_ssrc_and_keeps_the_time() {
        let mut rng = StdRng::seed_from_u64(3);
        let mut stream = SendStream::new(&mut rng);
        let before = stream;
        stream.change_ssrc(&mut rng);
        assert_ne!(stream.ssrc(), before.ssrc());
        assert_eq!(stream.timestamp(), before.timestamp());
    }
}
