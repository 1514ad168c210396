//! Changing the sample rate, for whole clips in memory.
//!
//! The FFT resampler of `rubato`: any ratio, anti-alias filter included, start-up delay removed.

use std::cell::RefCell;

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler as _, ResamplerConstructionError, WindowFunction};

use super::Pcm;

/// Rates that a recording may have. Below, speech is unintelligible; above, something is wrong with the file.
const ACCEPTED_RATES_HZ: std::ops::RangeInclusive<u32> = 8_000..=192_000;

/// Frames per FFT at the lower of the two rates: long enough that the filter stays flat to 3.8 kHz when it cuts at 4.
const CHUNK_FRAMES: usize = 1_024;

/// Why audio could not be brought to another rate.
#[derive(Debug, thiserror::Error)]
pub enum ResampleError {
    /// The rate makes no sense for speech.
    #[error("a sample rate of {0} Hz is not between 8000 and 192000")]
    Rate(u32),
    /// The resampler refused.
    #[error("could not resample from {from_hz} to {to_hz} Hz: {reason}")]
    Refused {
        /// Rate of the source.
        from_hz: u32,
        /// Rate asked for.
        to_hz: u32,
        /// What the library said.
        reason: String,
    },
}

/// `pcm` at `rate_hz`; as long as before, to the sample.
///
/// # Errors
/// [`ResampleError::Rate`] for rates outside 8 to 192 kHz.
pub fn resample(pcm: &Pcm, rate_hz: u32) -> Result<Pcm, ResampleError> {
    let from_hz = pcm.rate_hz();
    for rate in [from_hz, rate_hz] {
        if !ACCEPTED_RATES_HZ.contains(&rate) {
            return Err(ResampleError::Rate(rate));
        }
    }
    if from_hz == rate_hz || pcm.samples().is_empty() {
        return Ok(Pcm::new(pcm.samples().to_vec(), rate_hz));
    }
    convert(pcm.samples(), from_hz, rate_hz)
        .map(|samples| Pcm::new(samples, rate_hz))
        .map_err(|reason| ResampleError::Refused {
            from_hz,
            to_hz: rate_hz,
            reason,
        })
}

fn convert(samples: &[f32], from_hz: u32, to_hz: u32) -> Result<Vec<f32>, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let mut resampler = take_resampler(from_hz, to_hz).map_err(|e| text(&e))?;
    let expected = (samples.len() as u64 * u64::from(to_hz)).div_ceil(u64::from(from_hz)) as usize;
    let mut output = vec![0.0; resampler.process_all_needed_output_len(samples.len()).max(expected)];
    let frames = output.len();
    let source = InterleavedSlice::new(samples, 1, samples.len()).map_err(|e| text(&e))?;
    let mut target = InterleavedSlice::new_mut(&mut output, 1, frames).map_err(|e| text(&e))?;
    resampler
        .process_all_into_buffer(&source, &mut target, samples.len(), None)
        .map_err(|e| text(&e))?;
    output.truncate(expected);
    keep_resampler(from_hz, to_hz, resampler);
    Ok(output)
}

type Kept = Option<(u32, u32, Fft<f32>)>;

thread_local! {
    /// The last resampler of this thread. Planning its FFT takes longer than resampling a short prompt, and a catalog
    /// has hundreds of prompts of the same rate.
    static LAST: RefCell<Kept> = const { RefCell::new(None) };
}

fn take_resampler(from_hz: u32, to_hz: u32) -> Result<Fft<f32>, ResamplerConstructionError> {
    match LAST.take() {
        Some((from, to, resampler)) if (from, to) == (from_hz, to_hz) => Ok(resampler),
        _ => {
            let chunk = CHUNK_FRAMES * from_hz.div_ceil(to_hz) as usize;
            let (from, to) = (from_hz as usize, to_hz as usize);
            Fft::new_custom(from, to, chunk, 1, 1, WindowFunction::BlackmanHarris2, FixedSync::Both)
        }
    }
}

fn keep_resampler(from_hz: u32, to_hz: u32, mut resampler: Fft<f32>) {
    // It may have held personal audio.
    resampler.reset();
    LAST.set(Some((from_hz, to_hz, resampler)));
}

#[cfg(test)]
mod tests {
    use super::super::signal::{amplitude_at, sine};
    use super::*;

    fn decibels(ratio: f64) -> f64 {
        20.0 * ratio.max(1e-12).log10()
    }

    #[test]
    fn a_tone_in_the_telephone_band_keeps_its_level_from_every_usual_rate() {
        for from in [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000, 96_000] {
            for hz in [300.0, 1_004.0, 3_400.0] {
                let narrow = resample(&sine(hz, 0.5, 1.0, from), 8_000).expect("a usual rate");
                let error = decibels(amplitude_at(&narrow, hz) / 0.5);
                assert!(error.abs() < 0.1, "{hz} Hz from {from}: {error:.2} dB");
            }
        }
    }

    #[test]
    fn aliases_stay_50_db_below_the_tone() {
        // A tone above 4 kHz would come back mirrored at 8 kHz minus its frequency.
        for from in [16_000, 22_050, 44_100, 48_000] {
            for hz in [4_500.0, 5_000.0, 6_500.0, 7_500.0] {
                let narrow = resample(&sine(hz, 0.5, 1.0, from), 8_000).expect("a usual rate");
                let alias = decibels(amplitude_at(&narrow, 8_000.0 - hz) / 0.5);
                assert!(alias < -50.0, "{hz} Hz from {from}: alias at {alias:.1} dB");
            }
        }
    }

    #[test]
    fn images_of_an_upsampled_tone_stay_50_db_below_it() {
        let wide = resample(&sine(3_000.0, 0.5, 1.0, 8_000), 16_000).expect("a usual rate");
        assert!(decibels(amplitude_at(&wide, 3_000.0) / 0.5).abs() < 0.1);
        assert!(decibels(amplitude_at(&wide, 5_000.0) / 0.5) < -50.0);
    }

    #[test]
    fn length_is_kept_and_nothing_is_delayed() {
        let mut click = vec![0.0; 4_800];
        click[2_400] = 1.0;
        let narrow = resample(&Pcm::new(click, 48_000), 8_000).expect("a usual rate");
        assert_eq!(narrow.samples().len(), 800);
        let peak = (0..800).max_by(|&a, &b| narrow.samples()[a].total_cmp(&narrow.samples()[b]));
        assert!(peak.is_some_and(|at| (399..=401).contains(&at)), "{peak:?}");
    }

    #[test]
    fn absurd_rates_are_refused() {
        for rate in [0, 1, 4_000, 1_000_000] {
            assert!(matches!(
                resample(&Pcm::new(vec![0.0; 10], rate), 8_000),
                Err(ResampleError::Rate(r)) if r == rate
            ));
        }
    }
}
