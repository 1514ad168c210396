//! Tells when there is sound in received audio, so that the test phone knows when it is spoken to.

use std::time::{Duration, Instant};

use super::config::MediaEvent;
use crate::telephony::codec::Codec;

/// -40 dB below full scale; speech is 20 dB above, line noise 20 dB below.
const THRESHOLD: u16 = 328;
/// Pauses inside a sentence are shorter.
const HANGOVER: Duration = Duration::from_millis(500);

/// A level gate with a hangover.
#[derive(Debug, Default)]
pub(super) struct SoundDetector {
    /// When sound was last heard, while it lasts.
    last_sound: Option<Instant>,
}

impl SoundDetector {
    pub(super) fn hear(&mut self, codec: Codec, payload: &[u8], arrival: Instant) -> Option<MediaEvent> {
        let loud = payload
            .iter()
            .any(|&byte| codec.decode_sample(byte).unsigned_abs() > THRESHOLD);
        if !loud {
            return None;
        }
        self.last_sound
            .replace(arrival)
            .is_none()
            .then_some(MediaEvent::SoundBegan(arrival))
    }

    /// To be called at every tick.
    pub(super) fn tick(&mut self, now: Instant) -> Option<MediaEvent> {
        let last = self.last_sound?;
        if now.saturating_duration_since(last) < HANGOVER {
            return None;
        }
        self.last_sound = None;
        Some(MediaEvent::SoundEnded(last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_begins_at_once_and_ends_after_a_hangover() {
        let start = crate::time::monotonic();
        let at = |millis| start + Duration::from_millis(millis);
        let (loud, quiet) = (Codec::Pcmu.encode(&[0, 4_000, 0]), Codec::Pcmu.encode(&[0, 100, 0]));
        let mut detector = SoundDetector::default();
        assert_eq!(detector.hear(Codec::Pcmu, &quiet, at(0)), None);
        assert_eq!(
            detector.hear(Codec::Pcmu, &loud, at(20)),
            Some(MediaEvent::SoundBegan(at(20)))
        );
        assert_eq!(detector.hear(Codec::Pcmu, &loud, at(40)), None);
        assert_eq!(detector.tick(at(539)), None);
        assert_eq!(detector.tick(at(540)), Some(MediaEvent::SoundEnded(at(40))));
        assert_eq!(detector.tick(at(560)), None);
    }
}
