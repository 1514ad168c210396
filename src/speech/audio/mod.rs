//! Audio before it becomes a [`Clip`]: reading files, changing the rate, setting the level.
//!
//! ```text
//! file --decode--> Pcm --resample--> 16 kHz --condition--> level, trimmed --resample--> 8 kHz --> Clip
//! ```
//!
//! All arithmetic is in `f32` with full scale at 1.0; 16-bit integers appear only in files and in [`Clip`]s.

pub mod condition;
pub mod decode;
pub mod filter;
pub mod level;
pub mod resample;
pub mod wav;

use std::fmt;
use std::time::Duration;

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::telephony::codec::Clip;

pub use condition::condition;
pub use decode::decode;
pub use resample::resample;

/// The rate at which prompts are stored and conditioned: twice the telephone's, so that a wideband codec can use the
/// same files.
pub const STORED_RATE_HZ: u32 = 16_000;

/// The rate of a [`Clip`].
pub const TELEPHONE_RATE_HZ: u32 = crate::telephony::codec::CLOCK_RATE;

/// Mono audio; full scale is 1.0. Wiped when dropped, because it may be a sentence about one person.
#[derive(Clone, PartialEq, Zeroize, ZeroizeOnDrop)]
pub struct Pcm {
    samples: Vec<f32>,
    rate_hz: u32,
}

impl Pcm {
    /// Audio of `rate_hz` samples per second.
    #[must_use]
    pub fn new(samples: Vec<f32>, rate_hz: u32) -> Self {
        Self { samples, rate_hz }
    }

    /// From 16-bit samples.
    #[must_use]
    pub fn from_i16(samples: &[i16], rate_hz: u32) -> Self {
        Self::new(samples.iter().map(|&s| f32::from(s) / 32_768.0).collect(), rate_hz)
    }

    /// The samples.
    #[must_use]
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Samples per second.
    #[must_use]
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// How long it plays.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.samples.len() as f64 / f64::from(self.rate_hz.max(1)))
    }

    /// The samples rounded to 16 bits; what lies beyond full scale is clipped.
    #[must_use]
    pub fn to_i16(&self) -> Vec<i16> {
        self.samples
            .iter()
            .map(|&s| (s * 32_768.0).round().clamp(-32_768.0, 32_767.0) as i16)
            .collect()
    }

    /// Encoded for the telephone.
    ///
    /// # Errors
    /// When the rate cannot be converted.
    pub fn to_clip(&self) -> Result<Clip, resample::ResampleError> {
        let narrow = resample(self, TELEPHONE_RATE_HZ)?;
        let mut samples = narrow.to_i16();
        let clip = Clip::from_pcm(&samples);
        samples.zeroize();
        Ok(clip)
    }
}

/// Shows the length only.
impl fmt::Debug for Pcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pcm({:?} at {} Hz)", self.duration(), self.rate_hz)
    }
}

/// Signals for the tests of this module's children.
#[cfg(test)]
pub(crate) mod signal {
    use super::Pcm;

    /// A sine of `amplitude` (peak).
    pub(crate) fn sine(hz: f64, amplitude: f32, seconds: f64, rate_hz: u32) -> Pcm {
        let count = (seconds * f64::from(rate_hz)) as usize;
        let step = std::f64::consts::TAU * hz / f64::from(rate_hz);
        let samples = (0..count).map(|n| amplitude * (step * n as f64).sin() as f32).collect();
        Pcm::new(samples, rate_hz)
    }

    /// Amplitude of the component at `hz` (Goertzel), leaving out the first and last tenth.
    pub(crate) fn amplitude_at(pcm: &Pcm, hz: f64) -> f64 {
        let edge = pcm.samples().len() / 10;
        let body = &pcm.samples()[edge..pcm.samples().len() - edge];
        let step = std::f64::consts::TAU * hz / f64::from(pcm.rate_hz());
        // A Hann window keeps a strong tone elsewhere from leaking into this measurement.
        let (mut re, mut im, mut weight) = (0.0, 0.0, 0.0);
        for (n, &s) in body.iter().enumerate() {
            let w = 0.5 - 0.5 * (std::f64::consts::TAU * n as f64 / body.len() as f64).cos();
            re += w * f64::from(s) * (step * n as f64).cos();
            im += w * f64::from(s) * (step * n as f64).sin();
            weight += w;
        }
        2.0 * re.hypot(im) / weight
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sixteen_bit_samples_survive_the_round_trip() {
        let samples = [0, 1, -1, 32_767, -32_768, 12_345];
        assert_eq!(Pcm::from_i16(&samples, 8_000).to_i16(), samples);
    }

    #[test]
    fn audio_beyond_full_scale_is_clipped_not_wrapped() {
        assert_eq!(Pcm::new(vec![2.0, -2.0], 8_000).to_i16(), [32_767, -32_768]);
    }

    #[test]
    fn a_clip_is_as_long_as_its_source() {
        let clip = signal::sine(440.0, 0.5, 1.0, 16_000).to_clip().expect("a usual rate");
        assert_eq!(clip.samples(), 8_000);
    }
}
