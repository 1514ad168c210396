//! Second-order Butterworth filters, and the telephone band made from them.

use std::f64::consts::{FRAC_1_SQRT_2, TAU};

/// Lower and upper edge of the telephone band (ITU-T G.712 gives 300 to 3400 Hz).
pub const TELEPHONE_BAND_HZ: (f64, f64) = (300.0, 3_400.0);

/// Takes out what lies below `hz`: 12 dB per octave.
#[must_use]
pub fn high_pass(samples: &[f32], hz: f64, rate_hz: u32) -> Vec<f32> {
    Biquad::new(hz, rate_hz, Pass::High).run(samples)
}

/// Takes out what lies above `hz`: 12 dB per octave.
#[must_use]
pub fn low_pass(samples: &[f32], hz: f64, rate_hz: u32) -> Vec<f32> {
    Biquad::new(hz, rate_hz, Pass::Low).run(samples)
}

/// Changes what lies below `hz` by `gain_db`, and leaves the rest.
#[must_use]
pub fn low_shelf(samples: &[f32], hz: f64, gain_db: f64, rate_hz: u32) -> Vec<f32> {
    Biquad::low_shelf(hz, gain_db, rate_hz).run(samples)
}

/// What a telephone line leaves of the signal; two passes of each filter, so 24 dB per octave.
#[must_use]
pub fn telephone_band(samples: &[f32], rate_hz: u32) -> Vec<f32> {
    let (low, high) = TELEPHONE_BAND_HZ;
    let mut band = samples.to_vec();
    for _ in 0..2 {
        band = high_pass(&band, low, rate_hz);
        band = low_pass(&band, high, rate_hz);
    }
    band
}

enum Pass {
    High,
    Low,
}

/// Direct form 1, coefficients by the bilinear transform (R. Bristow-Johnson, "Audio EQ Cookbook").
struct Biquad {
    b: [f64; 3],
    a: [f64; 2],
}

impl Biquad {
    fn new(hz: f64, rate_hz: u32, pass: Pass) -> Self {
        let (cos, alpha) = corner(hz, rate_hz);
        let b = match pass {
            Pass::High => [(1.0 + cos) / 2.0, -(1.0 + cos), (1.0 + cos) / 2.0],
            Pass::Low => [(1.0 - cos) / 2.0, 1.0 - cos, (1.0 - cos) / 2.0],
        };
        let scale = 1.0 + alpha;
        Self {
            b: b.map(|coefficient| coefficient / scale),
            a: [-2.0 * cos / scale, (1.0 - alpha) / scale],
        }
    }

    /// Slope 1: as steep as it gets without overshoot.
    fn low_shelf(hz: f64, gain_db: f64, rate_hz: u32) -> Self {
        let (cos, alpha) = corner(hz, rate_hz);
        let gain = 10f64.powf(gain_db / 40.0);
        let (sum, difference, slope) = (gain + 1.0, gain - 1.0, 2.0 * gain.sqrt() * alpha);
        let scale = sum + difference * cos + slope;
        Self {
            b: [
                gain * (sum - difference * cos + slope) / scale,
                2.0 * gain * (difference - sum * cos) / scale,
                gain * (sum - difference * cos - slope) / scale,
            ],
            a: [
                -2.0 * (difference + sum * cos) / scale,
                (sum + difference * cos - slope) / scale,
            ],
        }
    }

    fn run(&self, samples: &[f32]) -> Vec<f32> {
        let (mut x1, mut x2, mut y1, mut y2) = (0.0, 0.0, 0.0, 0.0);
        samples
            .iter()
            .map(|&sample| {
                let x = f64::from(sample);
                let y = self.b[0] * x + self.b[1] * x1 + self.b[2] * x2 - self.a[0] * y1 - self.a[1] * y2;
                (x2, x1, y2, y1) = (x1, x, y1, y);
                y as f32
            })
            .collect()
    }
}

/// Cosine and alpha of the cookbook for a Butterworth corner.
fn corner(hz: f64, rate_hz: u32) -> (f64, f64) {
    // At or above half the rate the transform has no meaning; just below it the filter passes (or stops) all.
    let omega = TAU * (hz / f64::from(rate_hz)).clamp(1e-6, 0.49);
    (omega.cos(), omega.sin() / (2.0 * FRAC_1_SQRT_2))
}

#[cfg(test)]
mod tests {
    use super::super::Pcm;
    use super::super::signal::{amplitude_at, sine};
    use super::*;

    fn gain_db(hz: f64, filter: impl Fn(&[f32]) -> Vec<f32>) -> f64 {
        let tone = sine(hz, 0.5, 1.0, 16_000);
        let filtered = Pcm::new(filter(tone.samples()), 16_000);
        20.0 * (amplitude_at(&filtered, hz) / 0.5).log10()
    }

    #[test]
    fn the_corner_is_3_db_down_and_the_slope_12_db_per_octave() {
        let filter = |samples: &[f32]| high_pass(samples, 100.0, 16_000);
        assert!((gain_db(100.0, filter) + 3.0).abs() < 0.1);
        assert!((gain_db(50.0, filter) + 12.3).abs() < 0.5);
        assert!(gain_db(400.0, filter).abs() < 0.1);
    }

    #[test]
    fn a_shelf_lowers_the_bass_only() {
        let filter = |samples: &[f32]| low_shelf(samples, 300.0, -9.0, 16_000);
        assert!((gain_db(60.0, filter) + 9.0).abs() < 0.5);
        assert!((gain_db(300.0, filter) + 4.5).abs() < 0.3);
        assert!(gain_db(1_500.0, filter).abs() < 0.3);
    }

    #[test]
    fn the_telephone_band_keeps_1_khz_and_drops_hum_and_hiss() {
        let filter = |samples: &[f32]| telephone_band(samples, 16_000);
        assert!(gain_db(1_000.0, filter).abs() < 0.3);
        assert!(gain_db(60.0, filter) < -50.0);
        assert!(gain_db(7_000.0, filter) < -30.0);
    }
}
