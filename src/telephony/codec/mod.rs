//! Codecs: what is in an RTP payload.
//!
//! [`Codec`] names the formats that we offer (G.711 with its static payload types, RFC 3551 section 6), [`g711`] turns
//! samples into bytes and back, [`Clip`] is audio that has been encoded once for all of them, so that playing is
//! copying a slice.
//!
//! Left out on purpose: packet loss concealment and comfort noise generation. Received audio is only ever recorded,
//! never mixed or passed on.

mod clip;
pub mod g711;

use std::time::Duration;

pub use clip::Clip;

/// Samples (and RTP timestamp units) per second of every codec here.
pub const CLOCK_RATE: u32 = 8_000;

/// An audio format of RFC 3551. Every one of them has one byte per sample.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub enum Codec {
    /// G.711 mu-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
}

impl Codec {
    /// Every codec, in our order of liking.
    pub const ALL: [Self; 2] = [Self::Pcmu, Self::Pcma];

    /// The encoding name of `a=rtpmap` (RFC 3551 section 6); compare it without regard to case.
    #[must_use]
    pub const fn encoding_name(self) -> &'static str {
        match self {
            Self::Pcmu => "PCMU",
            Self::Pcma => "PCMA",
        }
    }

    /// The codec of an encoding name, in any case.
    #[must_use]
    pub fn from_encoding_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.encoding_name().eq_ignore_ascii_case(name))
    }

    /// The static payload type (RFC 3551 table 4).
    #[must_use]
    pub const fn payload_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
        }
    }

    /// The codec of a static payload type.
    #[must_use]
    pub fn from_payload_type(payload_type: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| codec.payload_type() == payload_type)
    }

    /// RTP timestamp units per second.
    #[must_use]
    pub const fn clock_rate(self) -> u32 {
        CLOCK_RATE
    }

    /// Bytes of payload for `duration`, rounded down to whole samples.
    #[must_use]
    pub const fn bytes_per(self, duration: Duration) -> usize {
        samples_per(duration)
    }

    /// The byte that is silence: the code of the smallest positive sample.
    #[must_use]
    pub const fn silence(self) -> u8 {
        self.encode_sample(0)
    }

    /// Encodes one 16-bit sample.
    #[must_use]
    pub const fn encode_sample(self, sample: i16) -> u8 {
        match self {
            Self::Pcmu => g711::encode_ulaw(sample),
            Self::Pcma => g711::encode_alaw(sample),
        }
    }

    /// Decodes one byte to a 16-bit sample.
    #[must_use]
    pub const fn decode_sample(self, byte: u8) -> i16 {
        match self {
            Self::Pcmu => g711::decode_ulaw(byte),
            Self::Pcma => g711::decode_alaw(byte),
        }
    }

    /// Encodes samples at 8 kHz mono.
    #[must_use]
    pub fn encode(self, pcm: &[i16]) -> Vec<u8> {
        pcm.iter().map(|&sample| self.encode_sample(sample)).collect()
    }

    /// Decodes a payload to samples at 8 kHz mono.
    #[must_use]
    pub fn decode(self, payload: &[u8]) -> Vec<i16> {
        payload.iter().map(|&byte| self.decode_sample(byte)).collect()
    }
}

/// Samples at [`CLOCK_RATE`] in `duration`, rounded down.
#[must_use]
pub const fn samples_per(duration: Duration) -> usize {
    // 2^64 seconds of samples do not fit; nothing that long is ever played, so the far end is as good as any.
    let samples = duration.as_micros() * CLOCK_RATE as u128 / 1_000_000;
    if samples > u32::MAX as u128 {
        u32::MAX as usize
    } else {
        samples as usize
    }
}

/// How long `samples` at [`CLOCK_RATE`] last.
#[must_use]
pub const fn duration_of(samples: usize) -> Duration {
    Duration::from_micros((samples as u64).saturating_mul(1_000_000 / CLOCK_RATE as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn static_payload_types_and_names_are_those_of_rfc_3551() {
        assert_eq!(Codec::from_payload_type(0), Some(Codec::Pcmu));
        assert_eq!(Codec::from_payload_type(8), Some(Codec::Pcma));
        assert_eq!(Codec::from_payload_type(9), None);
        assert_eq!(Codec::from_encoding_name("pcma"), Some(Codec::Pcma));
        assert_eq!(Codec::from_encoding_name("G722"), None);
    }

    #[test]
    fn silence_is_the_code_of_zero() {
        assert_eq!(Codec::Pcmu.silence(), 0xff);
        assert_eq!(Codec::Pcma.silence(), 0xd5);
    }

    #[test]
    fn one_byte_is_one_eighth_of_a_millisecond() {
        assert_eq!(Codec::Pcmu.bytes_per(Duration::from_millis(20)), 160);
        assert_eq!(Codec::Pcma.bytes_per(Duration::from_micros(130)), 1);
        assert_eq!(duration_of(160), Duration::from_millis(20));
        assert_eq!(samples_per(Duration::MAX), u32::MAX as usize);
    }
}
