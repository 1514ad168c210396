//! The last second of a recording, where frames that come late still find their place.

use std::collections::VecDeque;
use std::f32::consts::TAU;

use super::tap::{Channel, FRAME_LEN, Frame};
use crate::telephony::codec::CLOCK_RATE;

/// Samples held back: frames may be late by this much, and a key may reach back by half of it.
const WINDOW: usize = CLOCK_RATE as usize;

const WITHHELD_HZ: f32 = 350.0;
/// About -35 dB below full scale: there, but soft.
const WITHHELD_LEVEL: f32 = 600.0;

/// A click of 3 ms, the same for every key.
const CLICK: [i16; 24] = {
    let mut click = [0; 24];
    let mut at = 0;
    while at < click.len() {
        let level = 8_000 - 330 * at as i16;
        click[at] = if at % 8 < 4 { level } else { -level };
        at += 1;
    }
    click
};

/// Caller left, system right.
pub(super) type StereoSample = [i16; 2];

/// A window that moves over the recording; what it leaves behind goes to a sink.
#[derive(Debug, Default)]
pub(super) struct Timeline {
    /// Position of the first sample held.
    base: u64,
    samples: VecDeque<StereoSample>,
}

impl Timeline {
    /// Puts a frame into its place; `sink` takes the samples that have become old.
    pub(super) fn place(&mut self, frame: &Frame, sink: &mut impl FnMut(StereoSample)) {
        match frame {
            Frame::Audio {
                channel,
                position,
                codec,
                len,
                payload,
            } => {
                let audio = payload[..usize::from(*len).min(FRAME_LEN)]
                    .iter()
                    .map(|&byte| codec.decode_sample(byte));
                self.write(*channel, *position, audio, sink);
            }
            Frame::Withheld { channel, position, len } => {
                let tone = (*position..).take(usize::from(*len)).map(withheld);
                self.write(*channel, *position, tone, sink);
            }
            Frame::Key { from, position } => {
                let length = usize::try_from(position.saturating_sub(*from)).unwrap_or(0);
                self.write(Channel::Caller, *from, std::iter::repeat_n(0, length.min(WINDOW)), sink);
                self.write(Channel::Caller, *position, CLICK.into_iter(), sink);
            }
        }
    }

    /// Gives everything that is still held to the sink.
    pub(super) fn finish(self, sink: &mut impl FnMut(StereoSample)) {
        self.samples.into_iter().for_each(sink);
    }

    /// Samples before the window are too late and left out.
    fn write(
        &mut self,
        channel: Channel,
        position: u64,
        audio: impl Iterator<Item = i16>,
        sink: &mut impl FnMut(StereoSample),
    ) {
        for (position, sample) in (position..).zip(audio) {
            self.reach(position, sink);
            if let Some(at) = position.checked_sub(self.base)
                && let Some(slot) = usize::try_from(at).ok().and_then(|at| self.samples.get_mut(at))
            {
                slot[channel as usize] = sample;
            }
        }
    }

    /// Moves the window until it holds `position`.
    fn reach(&mut self, position: u64, sink: &mut impl FnMut(StereoSample)) {
        while self.base + self.samples.len() as u64 <= position {
            if self.samples.len() >= WINDOW
                && let Some(old) = self.samples.pop_front()
            {
                self.base += 1;
                sink(old);
            }
            self.samples.push_back([0, 0]);
        }
    }
}

/// By position, so that the tone goes on without a seam from packet to packet.
fn withheld(position: u64) -> i16 {
    let phase = (position % u64::from(CLOCK_RATE)) as f32 / CLOCK_RATE as f32;
    ((TAU * WITHHELD_HZ * phase).sin() * WITHHELD_LEVEL) as i16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telephony::codec::Codec;

    fn audio(channel: Channel, position: u64, sample: i16) -> Frame {
        let payload = [Codec::Pcma.encode_sample(sample); FRAME_LEN];
        Frame::Audio {
            channel,
            position,
            codec: Codec::Pcma,
            len: 160,
            payload,
        }
    }

    fn recorded(frames: &[Frame]) -> Vec<StereoSample> {
        let mut samples = Vec::new();
        let mut timeline = Timeline::default();
        for frame in frames {
            timeline.place(frame, &mut |sample| samples.push(sample));
        }
        timeline.finish(&mut |sample| samples.push(sample));
        samples
    }

    #[test]
    fn frames_find_their_place_whatever_their_order() {
        let samples = recorded(&[
            audio(Channel::System, 160, 8_000),
            audio(Channel::Caller, 320, 4_000),
            audio(Channel::Caller, 0, 4_000),
        ]);
        assert_eq!(samples.len(), 480);
        let near = |value: i16, expected: i16| (value - expected).abs() < 200;
        assert!(samples[..160].iter().all(|s| near(s[0], 4_000) && s[1] == 0));
        assert!(samples[160..320].iter().all(|s| s[0] == 0 && near(s[1], 8_000)));
        assert!(samples[320..].iter().all(|s| near(s[0], 4_000) && s[1] == 0));
    }

    #[test]
    fn a_long_gap_is_silence_and_frames_older_than_the_window_are_left_out() {
        let samples = recorded(&[
            audio(Channel::Caller, 0, 4_000),
            audio(Channel::Caller, 80_000, 4_000),
            audio(Channel::Caller, 160, 4_000),
        ]);
        assert_eq!(samples.len(), 80_160);
        assert!(samples[160..80_000].iter().all(|sample| *sample == [0, 0]));
    }

    #[test]
    fn the_tone_for_what_is_withheld_has_no_seam() {
        let frame = |position| Frame::Withheld {
            channel: Channel::System,
            position,
            len: 160,
        };
        let samples = recorded(&[frame(0), frame(160)]);
        let steps = samples
            .windows(2)
            .map(|pair| i32::from(pair[1][1]) - i32::from(pair[0][1]));
        assert!(steps.map(i32::abs).max() < Some(200));
        assert!(samples.iter().all(|sample| sample[0] == 0));
    }

    #[test]
    fn a_key_blanks_what_came_before_it() {
        let samples = recorded(&[
            audio(Channel::Caller, 0, 4_000),
            audio(Channel::Caller, 160, 4_000),
            Frame::Key {
                from: 100,
                position: 320,
            },
        ]);
        assert!(samples[..100].iter().all(|sample| sample[0] != 0));
        assert!(samples[100..320].iter().all(|sample| sample[0] == 0));
        assert_eq!(samples[320..].iter().map(|sample| sample[0]).collect::<Vec<_>>(), CLICK);
    }
}
