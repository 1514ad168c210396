//! When the far end speaks and when it is silent, and how long it takes to react to a key.
//!
//! ```text
//!   far end:  ▁▁▁▇▇▇▇▇▇▇▇▇▇▁▁▁▁▁▁▁▁▇▇▇▇▇
//!   key:                 │
//!                        ├─┤            key to silence: the prompt is cut short (barge-in)
//!                        ├────────────┤ key to next audio: what comes because of the key
//! ```

use std::time::{Duration, Instant};

use crate::telephony::codec::Codec;

/// Samples above this are sound: -44 dBov, well below speech and well above the noise of G.711.
const LOUD: i16 = 200;

/// A pause shorter than this is part of speech.
const SPEECH_PAUSE: Duration = Duration::from_millis(120);

/// Follows what arrives from the far end. Pure: arrival times are parameters.
#[derive(Debug)]
pub struct Listener {
    codec: Codec,
    last_sound: Option<Instant>,
    heard_since_reset: bool,
    key: Option<Key>,
    reactions: Vec<Reaction>,
}

#[derive(Debug)]
struct Key {
    at: Instant,
    was_speaking: bool,
    silent_since: Option<Instant>,
}

/// How the far end reacted to one key; `None` for what has not happened before the next key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Reaction {
    /// From the key to the first silent packet, if a prompt was playing.
    pub to_silence: Option<Duration>,
    /// From the key to the first sound after silence.
    pub to_audio: Option<Duration>,
}

impl Listener {
    /// A listener for payloads of `codec`.
    #[must_use]
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            last_sound: None,
            heard_since_reset: false,
            key: None,
            reactions: Vec::new(),
        }
    }

    /// Whether any sample of the payload is sound.
    #[must_use]
    pub fn is_sound(&self, payload: &[u8]) -> bool {
        payload
            .iter()
            .any(|&byte| self.codec.decode_sample(byte).saturating_abs() > LOUD)
    }

    /// A packet of audio arrived.
    pub fn hear(&mut self, at: Instant, payload: &[u8]) {
        if !self.is_sound(payload) {
            if let Some(key) = &mut self.key {
                key.silent_since.get_or_insert(at);
            }
            return;
        }
        self.last_sound = Some(at);
        self.heard_since_reset = true;
        let Some(key) = &mut self.key else { return };
        let settled = match key.silent_since {
            Some(since) => !key.was_speaking || at.saturating_duration_since(since) >= SPEECH_PAUSE,
            None => !key.was_speaking,
        };
        if settled {
            self.settle(Some(at));
        } else {
            // A gap inside a word: the prompt goes on.
            key.silent_since = None;
        }
    }

    /// A key was pressed.
    pub fn key(&mut self, at: Instant) {
        self.settle(None);
        let was_speaking = self
            .last_sound
            .is_some_and(|sound| at.saturating_duration_since(sound) < SPEECH_PAUSE);
        self.key = Some(Key {
            at,
            was_speaking,
            silent_since: None,
        });
        self.heard_since_reset = false;
    }

    /// How long it has been silent after something was said since the last key (or the start); `None` while nothing was said.
    #[must_use]
    pub fn silent_for(&self, now: Instant) -> Option<Duration> {
        self.last_sound
            .filter(|_| self.heard_since_reset)
            .map(|sound| now.saturating_duration_since(sound))
    }

    /// What was measured of each key.
    #[must_use]
    pub fn into_reactions(mut self) -> Vec<Reaction> {
        self.settle(None);
        self.reactions
    }

    fn settle(&mut self, audio_at: Option<Instant>) {
        let Some(key) = self.key.take() else { return };
        self.reactions.push(Reaction {
            to_silence: key
                .silent_since
                .filter(|_| key.was_speaking)
                .map(|at| at.saturating_duration_since(key.at)),
            to_audio: audio_at.map(|at| at.saturating_duration_since(key.at)),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::monotonic;

    const PACKET: Duration = Duration::from_millis(20);
    const SILENCE: [u8; 160] = [0xFF; 160];
    const SOUND: [u8; 160] = [0x20; 160];

    fn play(listener: &mut Listener, from: Instant, packets: u32, payload: &[u8]) -> Instant {
        for n in 0..packets {
            listener.hear(from + PACKET * n, payload);
        }
        from + PACKET * packets
    }

    #[test]
    fn barge_in_and_the_next_prompt_are_measured() {
        let mut listener = Listener::new(Codec::Pcmu);
        let now = play(&mut listener, monotonic(), 10, &SOUND);
        listener.key(now);
        let silent = play(&mut listener, now, 1, &SOUND);
        let next = play(&mut listener, silent, 30, &SILENCE);
        play(&mut listener, next, 5, &SOUND);
        let reaction = Reaction {
            to_silence: Some(PACKET),
            to_audio: Some(PACKET * 31),
        };
        assert_eq!(listener.into_reactions(), [reaction]);
    }

    #[test]
    fn a_gap_inside_a_word_is_not_silence() {
        let mut listener = Listener::new(Codec::Pcmu);
        let now = play(&mut listener, monotonic(), 10, &SOUND);
        listener.key(now);
        let now = play(&mut listener, now, 3, &SILENCE);
        play(&mut listener, now, 10, &SOUND);
        assert_eq!(listener.into_reactions(), [Reaction::default()]);
    }

    #[test]
    fn a_prompt_has_ended_when_it_was_heard_and_then_silent() {
        let mut listener = Listener::new(Codec::Pcmu);
        let start = monotonic();
        let now = play(&mut listener, start, 50, &SILENCE);
        assert_eq!(listener.silent_for(now), None);
        let now = play(&mut listener, now, 50, &SOUND);
        let now = play(&mut listener, now, 100, &SILENCE);
        assert_eq!(listener.silent_for(now), Some(PACKET * 101));
        listener.key(now);
        assert_eq!(listener.silent_for(now + PACKET), None);
    }
}
