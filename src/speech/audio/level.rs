//! How loud speech is: the active speech level of ITU-T P.56, method B.
//!
//! A mean over the whole file would call the same voice quieter the more pauses it has. P.56 follows the envelope of
//! the signal, holds it over short gaps (200 ms), and takes the mean power over the time during which the envelope is
//! above a threshold that lies a fixed margin (15.9 dB) below the level found. The threshold depends on the result,
//! so the activity is counted for 15 thresholds one octave apart and interpolated where the margin is met.
//!
//! Loudness after EBU R128 is no use here: its block of 400 ms is longer than a spelled letter.

/// Time constant of the envelope, in seconds (P.56 table 1).
const TIME_CONSTANT_S: f64 = 0.03;
/// Gaps shorter than this count as speech, in seconds.
const HANGOVER_S: f64 = 0.2;
/// Distance between active level and threshold, in dB.
const MARGIN_DB: f64 = 15.9;
/// Thresholds from 2^-15 to 2^-1 of full scale: 16-bit audio has no finer steps.
const THRESHOLDS: usize = 15;

/// What P.56 says about a signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ActiveLevel {
    /// Active speech level in dBov. 0 dBov is a full-scale square wave, so a full-scale sine has -3.01.
    pub dbov: f64,
    /// Share of the time during which there is speech, 0 to 1.
    pub activity: f64,
}

/// The active speech level; `None` for silence (no envelope ever above the lowest threshold).
#[must_use]
pub fn active_level(samples: &[f32], rate_hz: u32) -> Option<ActiveLevel> {
    let (square_sum, active) = count_activity(samples, rate_hz);
    let levels: Vec<(f64, f64)> = active
        .iter()
        .enumerate()
        .take_while(|&(_, &count)| count > 0)
        .map(|(step, &count)| (decibels(square_sum / count as f64), threshold_db(step)))
        .collect();
    let margin = |&(level, threshold): &(f64, f64)| level - threshold - MARGIN_DB;

    // The margin shrinks with a rising threshold: find where it passes zero.
    let first = levels.first()?;
    if margin(first) < 0.0 {
        return None;
    }
    let crossing = levels.windows(2).find(|pair| margin(&pair[1]) <= 0.0);
    let dbov = match crossing {
        Some(pair) => {
            let part = margin(&pair[0]) / (margin(&pair[0]) - margin(&pair[1]));
            pair[0].0 + part * (pair[1].0 - pair[0].0)
        }
        // Every threshold that was met lies deep below the level: the highest of them is the closest.
        None => levels.last()?.0,
    };
    let mean_db = decibels(square_sum / samples.len() as f64);
    Some(ActiveLevel {
        dbov,
        activity: 10f64.powf((mean_db - dbov) / 10.0).min(1.0),
    })
}

/// The sum of squares, and for how many samples each threshold was met.
fn count_activity(samples: &[f32], rate_hz: u32) -> (f64, [u64; THRESHOLDS]) {
    let rate = f64::from(rate_hz);
    let g = (-1.0 / (rate * TIME_CONSTANT_S)).exp();
    let hangover = (rate * HANGOVER_S).ceil() as u64;
    let mut active = [0; THRESHOLDS];
    let mut since = [hangover; THRESHOLDS];
    let (mut square_sum, mut p, mut q) = (0.0, 0.0, 0.0);
    for &sample in samples {
        let x = f64::from(sample);
        square_sum += x * x;
        p = g * p + (1.0 - g) * x.abs();
        q = g * q + (1.0 - g) * p;
        for step in 0..THRESHOLDS {
            if q >= threshold(step) {
                active[step] += 1;
                since[step] = 0;
            } else if since[step] < hangover {
                active[step] += 1;
                since[step] += 1;
            }
        }
    }
    (square_sum, active)
}

fn threshold(step: usize) -> f64 {
    const TABLE: [f64; THRESHOLDS] = {
        let mut table = [0.0; THRESHOLDS];
        let mut step = 0;
        while step < THRESHOLDS {
            table[step] = 1.0 / (1u32 << (THRESHOLDS - step)) as f64;
            step += 1;
        }
        table
    };
    TABLE[step]
}

fn threshold_db(step: usize) -> f64 {
    20.0 * threshold(step).log10()
}

fn decibels(power: f64) -> f64 {
    10.0 * power.max(1e-20).log10()
}

/// The largest sample, in dBFS (0 is full scale); `None` for digital silence.
#[must_use]
pub fn peak_dbfs(samples: &[f32]) -> Option<f64> {
    let peak = samples.iter().fold(0.0f32, |peak, s| peak.max(s.abs()));
    (peak > 0.0).then(|| 20.0 * f64::from(peak).log10())
}

#[cfg(test)]
mod tests {
    use super::super::signal::sine;
    use super::*;

    fn level(samples: &[f32]) -> ActiveLevel {
        active_level(samples, 16_000).expect("not silent")
    }

    #[test]
    fn a_steady_sine_has_its_root_mean_square() {
        // Peak 0.1 is -20 dBFS, 3.01 dB less as root mean square; the envelope needs a moment to rise, hence 0.2 dB.
        let found = level(sine(1_000.0, 0.1, 5.0, 16_000).samples());
        assert!((found.dbov + 23.01).abs() < 0.2, "{found:?}");
        assert!(found.activity > 0.97);
    }

    #[test]
    fn pauses_do_not_make_speech_quieter() {
        let burst = sine(800.0, 0.2, 1.0, 16_000);
        let mut signal = Vec::new();
        for _ in 0..5 {
            signal.extend_from_slice(burst.samples());
            signal.extend(std::iter::repeat_n(0.0, 3 * 16_000));
        }
        let found = level(&signal);
        // Without the pauses -16.99; hangover and envelope add about 0.3 s to each second: -1.2 dB.
        assert!((found.dbov + 17.9).abs() < 0.5, "{found:?}");
        assert!((found.activity - 0.31).abs() < 0.05, "{found:?}");
        // The plain mean would have said 6 dB less.
        let mean = 10.0 * (signal.iter().map(|&s| f64::from(s * s)).sum::<f64>() / signal.len() as f64).log10();
        assert!(found.dbov - mean > 4.5);
    }

    #[test]
    fn short_gaps_belong_to_the_speech() {
        let burst = sine(800.0, 0.2, 0.15, 16_000);
        let mut signal = Vec::new();
        for _ in 0..20 {
            signal.extend_from_slice(burst.samples());
            signal.extend(std::iter::repeat_n(0.0, 1_600));
        }
        assert!(level(&signal).activity > 0.95);
    }

    #[test]
    fn the_level_follows_the_gain() {
        let speech = noise_bursts();
        let loud = level(&speech);
        let quiet: Vec<f32> = speech.iter().map(|s| s / 10.0).collect();
        assert!((loud.dbov - level(&quiet).dbov - 20.0).abs() < 0.3);
    }

    #[test]
    fn the_rate_does_not_matter() {
        let at = |rate| active_level(sine(500.0, 0.1, 3.0, rate).samples(), rate).expect("a tone");
        assert!((at(8_000).dbov - at(48_000).dbov).abs() < 0.05);
    }

    #[test]
    fn silence_has_no_level() {
        assert_eq!(active_level(&[0.0; 16_000], 16_000), None);
        assert_eq!(active_level(&[], 16_000), None);
        assert_eq!(active_level(&[1e-6; 16_000], 16_000), None);
        assert_eq!(peak_dbfs(&[0.0; 10]), None);
    }

    /// Noise in syllables: 200 ms on, 80 ms off.
    fn noise_bursts() -> Vec<f32> {
        let mut state = 1u32;
        (0..48_000)
            .map(|n| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                let noise = (state >> 8) as f32 / 8_388_608.0 - 1.0;
                if n % 4_480 < 3_200 { noise * 0.3 } else { 0.0 }
            })
            .collect()
    }
}
