//! What every prompt goes through before a caller hears it, whoever recorded it.
//!
//! High-pass at 100 Hz (hum, plosives) · bass below 300 Hz lowered by 9 dB · silence at both ends trimmed to 50 ms · active speech level set to -22 dBov
//! with peaks at or below -3 dBFS · fades of 5 ms against clicks. So recordings of two people, or of a person and an
//! engine, are equally loud, and joined phrases have no holes.
//!
//! Why the bass: a telephone drops what lies below 300 Hz, and with it most of the energy of a man's voice. Levelled
//! with its bass, the default voice arrived 7 dB quieter on average, up to 12 dB, and unevenly from word to word; with
//! the bass lowered it is 4 dB. Taken away altogether it would sound thin where the line does carry it.

use super::filter::{high_pass, low_shelf, telephone_band};
use super::level::{active_level, peak_dbfs};
use super::{Pcm, STORED_RATE_HZ, resample};

/// The active speech level that prompts are set to, in dBov.
pub const TARGET_LEVEL_DBOV: f64 = -22.0;
/// How far a prompt may be from [`TARGET_LEVEL_DBOV`], in dB.
pub const LEVEL_TOLERANCE_DB: f64 = 1.0;
/// Peaks end here; leaves room for the overshoot of later filters, in dBFS.
pub const MAX_PEAK_DBFS: f64 = -3.0;
/// A voice loses 2 to 9 dB to the telephone band; more than this means a recording that is mostly rumble or hiss.
pub const MAX_BAND_LOSS_DB: f64 = 12.0;

const HIGH_PASS_HZ: f64 = 100.0;
const BASS_HZ: f64 = 300.0;
const BASS_GAIN_DB: f64 = -9.0;
const KEPT_SILENCE_S: f64 = 0.05;
const FADE_S: f64 = 0.005;
/// What lies this far below the active level is silence. A final "f" is about 30 dB below the vowels.
const SILENCE_BELOW_LEVEL_DB: f64 = 38.0;
/// Length of the steps in which the search for the ends of the speech proceeds.
const STEP_S: f64 = 0.01;

/// Why audio cannot become a prompt.
#[derive(Debug, thiserror::Error)]
pub enum ConditionError {
    /// Nothing to hear.
    #[error("the recording is silent")]
    Silent,
    /// The rate cannot be converted.
    #[error(transparent)]
    Resample(#[from] resample::ResampleError),
}

/// `pcm` as a caller should hear it, at [`STORED_RATE_HZ`].
///
/// # Errors
/// See [`ConditionError`].
pub fn condition(pcm: &Pcm) -> Result<Pcm, ConditionError> {
    let stored = resample(pcm, STORED_RATE_HZ)?;
    let clean = high_pass(stored.samples(), HIGH_PASS_HZ, STORED_RATE_HZ);
    let clean = low_shelf(&clean, BASS_HZ, BASS_GAIN_DB, STORED_RATE_HZ);
    let trimmed = trim(&clean).ok_or(ConditionError::Silent)?;
    let mut samples = set_level(trimmed).ok_or(ConditionError::Silent)?;
    fade_ends(&mut samples);
    Ok(Pcm::new(samples, STORED_RATE_HZ))
}

/// How much of the active level is lost on a telephone line, in dB; `None` for silence.
#[must_use]
pub fn band_loss_db(pcm: &Pcm) -> Option<f64> {
    let whole = active_level(pcm.samples(), pcm.rate_hz())?;
    let band = active_level(&telephone_band(pcm.samples(), pcm.rate_hz()), pcm.rate_hz())?;
    Some(whole.dbov - band.dbov)
}

/// The part with speech in it and [`KEPT_SILENCE_S`] on either side.
fn trim(samples: &[f32]) -> Option<&[f32]> {
    let level = active_level(samples, STORED_RATE_HZ)?.dbov;
    let threshold = 10f64.powf((level - SILENCE_BELOW_LEVEL_DB) / 10.0);
    let step = (STEP_S * f64::from(STORED_RATE_HZ)) as usize;
    let is_speech = |frame: &[f32]| {
        frame.iter().map(|&s| f64::from(s) * f64::from(s)).sum::<f64>() / frame.len() as f64 > threshold
    };
    let first = samples.chunks(step).position(is_speech)?;
    let last = samples.chunks(step).rposition(is_speech)?;
    let kept = (KEPT_SILENCE_S * f64::from(STORED_RATE_HZ)) as usize;
    let start = (first * step).saturating_sub(kept);
    let end = ((last + 1) * step + kept).min(samples.len());
    samples.get(start..end)
}

/// Brings the active level to the target. The limiter takes a little of it away again, hence the loop.
fn set_level(samples: &[f32]) -> Option<Vec<f32>> {
    const CLOSE_ENOUGH_DB: f64 = 0.1;
    const ROUNDS: usize = 8;
    let mut gain_db = TARGET_LEVEL_DBOV - active_level(samples, STORED_RATE_HZ)?.dbov;
    let mut levelled = Vec::new();
    for _ in 0..ROUNDS {
        let gain = 10f64.powf(gain_db / 20.0) as f32;
        levelled = samples.iter().map(|s| s * gain).collect();
        limit(&mut levelled);
        let missing = TARGET_LEVEL_DBOV - active_level(&levelled, STORED_RATE_HZ)?.dbov;
        if missing.abs() < CLOSE_ENOUGH_DB {
            break;
        }
        gain_db += missing;
    }
    Some(levelled)
}

/// Turns the gain down around each peak above the limit, smoothly enough not to be heard.
///
/// The gain that each sample needs is spread by a running minimum over the window, then smoothed by a running mean over
/// the same window: every value that enters the mean is low enough for the peak, so the peak ends below the limit.
fn limit(samples: &mut [f32]) {
    const WINDOW: usize = 40; // 2.5 ms on either side
    // A little below the promise, so that rounding to 16 bits keeps it.
    let ceiling = 10f64.powf((MAX_PEAK_DBFS - 0.05) / 20.0) as f32;
    if peak_dbfs(samples).is_none_or(|peak| peak <= MAX_PEAK_DBFS - 0.05) {
        return;
    }
    let needed: Vec<f32> = samples
        .iter()
        .map(|s| (ceiling / s.abs().max(ceiling)).min(1.0))
        .collect();
    let around = |values: &[f32], index: usize| {
        let start = index.saturating_sub(WINDOW);
        start..(index + WINDOW + 1).min(values.len())
    };
    let lowest: Vec<f32> = (0..needed.len())
        .map(|index| needed[around(&needed, index)].iter().copied().fold(1.0, f32::min))
        .collect();
    for (index, sample) in samples.iter_mut().enumerate() {
        let window = &lowest[around(&lowest, index)];
        *sample *= window.iter().sum::<f32>() / window.len() as f32;
    }
}

fn fade_ends(samples: &mut [f32]) {
    let length = ((FADE_S * f64::from(STORED_RATE_HZ)) as usize).min(samples.len() / 2);
    let last = samples.len().saturating_sub(1);
    for index in 0..length {
        let gain = index as f32 / length as f32;
        samples[index] *= gain;
        samples[last - index] *= gain;
    }
}

#[cfg(test)]
mod tests {
    use super::super::signal::sine;
    use super::*;

    /// A voice-like signal: a buzz of many harmonics in syllables, with peaks far above its mean.
    fn buzz(amplitude: f32, silence_s: f64) -> Pcm {
        let rate = STORED_RATE_HZ;
        let silence = vec![0.0; (silence_s * f64::from(rate)) as usize];
        let voice = (0..rate).map(|n| {
            let t = f64::from(n) / f64::from(rate);
            let syllable = (std::f64::consts::TAU * 2.0 * t).sin().abs();
            let wave: f64 = (1..25)
                .map(|h| (std::f64::consts::TAU * 120.0 * f64::from(h) * t).cos())
                .sum();
            amplitude * (syllable * wave / 24.0) as f32
        });
        Pcm::new(
            silence
                .iter()
                .copied()
                .chain(voice)
                .chain(silence.iter().copied())
                .collect(),
            rate,
        )
    }

    fn level_of(pcm: &Pcm) -> f64 {
        active_level(pcm.samples(), pcm.rate_hz()).expect("not silent").dbov
    }

    #[test]
    fn loud_and_quiet_recordings_come_out_equally_loud_and_never_clip() {
        for amplitude in [0.02, 0.1, 0.5, 1.0] {
            let prompt = condition(&buzz(amplitude, 0.3)).expect("audible");
            assert!((level_of(&prompt) - TARGET_LEVEL_DBOV).abs() < 0.3, "{amplitude}");
            let peak = peak_dbfs(Pcm::from_i16(&prompt.to_i16(), STORED_RATE_HZ).samples()).expect("audible");
            assert!(peak <= MAX_PEAK_DBFS, "{amplitude}: {peak}");
        }
    }

    #[test]
    fn silence_around_the_speech_is_cut_to_50_ms() {
        let prompt = condition(&buzz(0.3, 1.0)).expect("audible");
        let seconds = prompt.duration().as_secs_f64();
        assert!((1.0..1.12).contains(&seconds), "{seconds}");
    }

    #[test]
    fn ends_are_faded() {
        let prompt = condition(&sine(440.0, 0.3, 1.0, 8_000)).expect("audible");
        assert_eq!(prompt.samples()[0], 0.0);
        assert_eq!(prompt.samples().last(), Some(&0.0));
    }

    #[test]
    fn a_second_pass_changes_nothing_audible() {
        let once = condition(&buzz(0.5, 0.2)).expect("audible");
        let twice = condition(&once).expect("audible");
        assert!((level_of(&once) - level_of(&twice)).abs() < 0.2);
    }

    #[test]
    fn rumble_is_told_from_speech() {
        assert!(band_loss_db(&buzz(0.3, 0.1)).expect("audible") < MAX_BAND_LOSS_DB);
        assert!(band_loss_db(&sine(130.0, 0.3, 1.0, 16_000)).expect("audible") > MAX_BAND_LOSS_DB);
    }

    #[test]
    fn a_silent_recording_is_refused() {
        assert!(matches!(
            condition(&Pcm::new(vec![0.0; 16_000], 16_000)),
            Err(ConditionError::Silent)
        ));
        assert!(matches!(
            condition(&Pcm::new(vec![], 16_000)),
            Err(ConditionError::Silent)
        ));
    }
}
