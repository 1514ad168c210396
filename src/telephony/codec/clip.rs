//! Audio that is ready to send.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use zeroize::{Zeroize, ZeroizeOnDrop};

use super::{Codec, duration_of};

/// A piece of audio, encoded once for every codec. Cloning shares it.
///
/// Costs 16 kB per second of audio. Wiped when the last clone is dropped, because a clip may be a sentence about one
/// person.
#[derive(Clone)]
pub struct Clip(Arc<Encodings>);

#[derive(Zeroize, ZeroizeOnDrop)]
struct Encodings {
    pcmu: Box<[u8]>,
    pcma: Box<[u8]>,
}

impl Clip {
    /// Encodes 16-bit samples at 8 kHz, mono.
    #[must_use]
    pub fn from_pcm(pcm: &[i16]) -> Self {
        Self(Arc::new(Encodings {
            pcmu: Codec::Pcmu.encode(pcm).into_boxed_slice(),
            pcma: Codec::Pcma.encode(pcm).into_boxed_slice(),
        }))
    }

    /// The whole clip as payload bytes of `codec`.
    #[must_use]
    pub fn payload(&self, codec: Codec) -> &[u8] {
        match codec {
            Codec::Pcmu => &self.0.pcmu,
            Codec::Pcma => &self.0.pcma,
        }
    }

    /// Number of samples.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.0.pcmu.len()
    }

    /// How long it plays.
    #[must_use]
    pub fn duration(&self) -> Duration {
        duration_of(self.samples())
    }

    /// Whether it holds no audio at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples() == 0
    }
}

/// Shows the length only.
impl fmt::Debug for Clip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Clip({:?})", self.duration())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clip_is_the_same_audio_in_every_codec() {
        let clip = Clip::from_pcm(&[0, 1_000, -1_000, 32_767]);
        for codec in Codec::ALL {
            let expected: Vec<u8> = [0, 1_000, -1_000, 32_767]
                .map(|sample| codec.encode_sample(sample))
                .into();
            assert_eq!(clip.payload(codec), expected);
        }
        assert_eq!(clip.duration(), Duration::from_micros(500));
    }

    #[test]
    fn debug_shows_the_length_only() {
        assert_eq!(format!("{:?}", Clip::from_pcm(&[0; 160])), "Clip(20ms)");
    }
}
