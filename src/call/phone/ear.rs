//! An ear for test calls: recognises which clips arrive on the line.
//!
//! Passline plays prompts as the very bytes they were encoded to, so a telephone that knows the clips can tell by
//! comparing bytes what it hears, each spelled character of a password included. It proves what was really audible,
//! from ring to goodbye, without asking the engine. It needs an unbroken stream: a lost packet loses the clip.

use std::collections::HashMap;

/// Bytes that make up the key of a clip in the index, counted from its first byte that is not silence.
const KEY_LEN: usize = 24;

/// A clip that is cut short (barge-in) is reported if at least this much of it was heard: half a second at 8 kHz.
const SHORTEST_PART: usize = 4_000;

/// More half-recognised clips than this at one time are not followed; there are about as many when a whole family of
/// clips begins alike ("Capital ...").
const MAX_CANDIDATES: usize = 512;

/// A clip to listen for.
#[derive(Clone, Debug)]
struct Word<L> {
    label: L,
    /// Payload from the first byte that is not silence to the last.
    body: Vec<u8>,
}

/// Something that was recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Heard<L> {
    /// What was listened for.
    pub label: L,
    /// Whether all of it was heard; `false` if it was cut short.
    pub complete: bool,
    /// Position of its last byte in the stream: samples at 8 kHz since the first.
    pub end: u64,
}

#[derive(Clone, Copy, Debug)]
struct Candidate {
    word: usize,
    matched: usize,
}

/// Listens to one stream of one-byte samples (G.711).
#[derive(Clone, Debug)]
pub struct Ear<L> {
    words: Vec<Word<L>>,
    index: HashMap<[u8; KEY_LEN], Vec<usize>>,
    window: [u8; KEY_LEN],
    candidates: Vec<Candidate>,
    position: u64,
}

impl<L: Clone + PartialEq> Ear<L> {
    /// An ear that knows `vocabulary`: labels with payloads as they are sent on the wire. `is_silence` says which byte
    /// values the codec uses for (almost) nothing.
    pub fn new<P: AsRef<[u8]>>(vocabulary: impl IntoIterator<Item = (L, P)>, is_silence: fn(u8) -> bool) -> Self {
        let mut ear = Self {
            words: Vec::new(),
            index: HashMap::new(),
            window: [0; KEY_LEN],
            candidates: Vec::new(),
            position: 0,
        };
        for (label, payload) in vocabulary {
            ear.learn(label, payload.as_ref(), is_silence);
        }
        ear
    }

    /// Learns another clip; one that is shorter than 3 ms of sound is not learnt.
    pub fn learn(&mut self, label: L, payload: &[u8], is_silence: fn(u8) -> bool) {
        let sound = |&byte: &u8| !is_silence(byte);
        let (Some(start), Some(end)) = (payload.iter().position(sound), payload.iter().rposition(sound)) else {
            return;
        };
        let body = &payload[start..=end];
        let Some(key) = body.first_chunk::<KEY_LEN>() else {
            return;
        };
        self.index.entry(*key).or_default().push(self.words.len());
        self.words.push(Word {
            label,
            body: body.to_vec(),
        });
    }

    /// Listens to the next bytes of the stream and says what ended in them.
    pub fn hear(&mut self, payload: &[u8]) -> Vec<Heard<L>> {
        let mut heard = Vec::new();
        for &byte in payload {
            self.hear_byte(byte, &mut heard);
        }
        heard
    }

    fn hear_byte(&mut self, byte: u8, heard: &mut Vec<Heard<L>>) {
        self.position += 1;
        let mut cut_short: Option<Candidate> = None;
        let mut completed: Option<Candidate> = None;
        let words = &self.words;
        self.candidates.retain_mut(|candidate| {
            let body = &words[candidate.word].body;
            if body[candidate.matched] != byte {
                if cut_short.is_none_or(|longest| longest.matched < candidate.matched) {
                    cut_short = Some(*candidate);
                }
                return false;
            }
            candidate.matched += 1;
            if candidate.matched < body.len() {
                return true;
            }
            if completed.is_none_or(|longest| longest.matched < candidate.matched) {
                completed = Some(*candidate);
            }
            false
        });
        self.window.rotate_left(1);
        self.window[KEY_LEN - 1] = byte;
        if let Some(words) = self.index.get(&self.window) {
            let room = MAX_CANDIDATES.saturating_sub(self.candidates.len());
            self.candidates.extend(
                words
                    .iter()
                    .take(room)
                    .map(|&word| Candidate { word, matched: KEY_LEN }),
            );
        }
        if let Some(candidate) = completed {
            self.report(candidate, true, heard);
        } else if let Some(candidate) = cut_short.filter(|part| part.matched >= SHORTEST_PART) {
            // Only if nothing that began with it is still going on: clips may begin alike.
            if self.candidates.iter().all(|other| other.matched < candidate.matched) {
                self.report(candidate, false, heard);
            }
        }
    }

    fn report(&self, candidate: Candidate, complete: bool, heard: &mut Vec<Heard<L>>) {
        let label = self.words[candidate.word].label.clone();
        heard.push(Heard {
            label,
            complete,
            end: self.position,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn silence(byte: u8) -> bool {
        byte == 0xFF
    }

    /// Sound that differs by seed from its very start.
    fn noise(seed: u32, len: usize) -> Vec<u8> {
        let mut state = seed.wrapping_mul(2_654_435_761).wrapping_add(1);
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 25) as u8
        };
        (0..len).map(|_| next()).collect()
    }

    fn padded(body: &[u8]) -> Vec<u8> {
        [&[0xFF; 100], body, &[0xFF; 37]].concat()
    }

    #[test]
    fn clips_are_recognised_in_order_whatever_the_packet_size() {
        let (a, b) = (noise(1, 3_000), noise(2, 1_500));
        for packet in [1, 80, 160, 333] {
            let mut ear = Ear::new([("a", padded(&a)), ("b", padded(&b))], silence);
            let stream = [&padded(&b)[..], &padded(&a), &padded(&b)].concat();
            let heard: Vec<_> = stream
                .chunks(packet)
                .flat_map(|chunk| ear.hear(chunk))
                .map(|h| (h.label, h.complete))
                .collect();
            assert_eq!(heard, [("b", true), ("a", true), ("b", true)]);
        }
    }

    #[test]
    fn clips_that_begin_alike_are_told_apart() {
        let common = noise(9, 4_800);
        let vocabulary = (0..20).map(|n| (n, padded(&[&common[..], &noise(n + 100, 2_000)].concat())));
        let clips: Vec<_> = vocabulary.collect();
        let mut ear = Ear::new(clips.iter().map(|(label, clip)| (*label, clip)), silence);
        for (label, clip) in &clips {
            let heard = ear.hear(clip);
            assert_eq!(
                heard.iter().map(|h| (h.label, h.complete)).collect::<Vec<_>>(),
                [(*label, true)]
            );
        }
    }

    #[test]
    fn a_clip_cut_by_barge_in_is_reported_as_part() {
        let clip = padded(&noise(5, 8_000));
        let mut ear = Ear::new([("a", &clip)], silence);
        let heard = ear.hear(&[&clip[..6_000], &[0xFF; 400]].concat());
        assert_eq!(
            heard,
            [Heard {
                label: "a",
                complete: false,
                end: 6_001
            }]
        );
    }

    #[test]
    fn silence_and_unknown_sound_are_nothing() {
        let mut ear = Ear::new([("a", padded(&noise(5, 8_000)))], silence);
        assert!(ear.hear(&[0xFF; 8_000]).is_empty());
        assert!(ear.hear(&noise(77, 20_000)).is_empty());
        assert!(
            Ear::new([("silent", [0xFF; 500])], silence)
                .hear(&[0xFF; 1_000])
                .is_empty()
        );
    }
}
