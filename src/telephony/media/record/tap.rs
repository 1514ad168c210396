//! The end of a recording that sits in the session: copies payloads out, never waits.

use std::sync::mpsc::SyncSender;
use std::time::{Duration, Instant};

use crate::telephony::codec::Codec;
use crate::telephony::media::playlist::Privacy;
use crate::telephony::rtp::Header;

/// The longest payload that is kept in one frame: 60 ms.
pub(super) const FRAME_LEN: usize = 480;
/// A received stream is placed by its timestamps unless they disagree with its arrival by more than this.
const MAX_DRIFT: i64 = 4_000;
/// Echo of a secret comes back within this time.
const ECHO: Duration = Duration::from_secs(1);
/// Received audio is left out this long before a key was noticed, because the tone comes before the event ...
const BEFORE_KEY: u64 = 4_000;
/// ... and this long after the last sign of it.
const AFTER_KEY: u64 = 1_600;

/// Whose session is being recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seat {
    /// Ours: the caller is what is received.
    System,
    /// The test phone's: the caller is what is sent.
    Caller,
}

/// A channel of the recording.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Channel {
    Caller,
    System,
}

/// What goes to the writer. Positions are samples since the recording began.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all frames are audio, and a box would be an allocation per packet"
)]
pub(super) enum Frame {
    Audio {
        channel: Channel,
        position: u64,
        codec: Codec,
        len: u16,
        payload: [u8; FRAME_LEN],
    },
    /// Audio that must not be recorded.
    Withheld { channel: Channel, position: u64, len: u16 },
    /// A key of the caller; what is on his channel from `from` on is left out.
    Key { from: u64, position: u64 },
}

/// Copies the audio of one session to a recording.
#[derive(Debug)]
pub struct Tap {
    frames: SyncSender<Frame>,
    seat: Seat,
    start: Instant,
    anchor: Option<Anchor>,
    /// Positions between which received audio is left out.
    muted: (u64, u64),
    dropped: u64,
}

/// Ties RTP timestamps of a received stream to positions.
#[derive(Clone, Copy, Debug)]
struct Anchor {
    ssrc: u32,
    timestamp: u32,
    position: i64,
}

impl Tap {
    pub(super) fn new(frames: SyncSender<Frame>, seat: Seat, start: Instant) -> Self {
        Self {
            frames,
            seat,
            start,
            anchor: None,
            muted: (0, 0),
            dropped: 0,
        }
    }

    /// Audio was sent in the packet that was due at `at`.
    pub(in super::super) fn sent(&mut self, at: Instant, codec: Codec, payload: &[u8], privacy: Privacy) {
        let position = self.position(at);
        let channel = match self.seat {
            Seat::System => Channel::System,
            Seat::Caller => Channel::Caller,
        };
        match privacy {
            Privacy::Public => self.push_audio(channel, position, codec, payload),
            Privacy::Secret => {
                self.mute(position, self.position(at + ECHO));
                let len = u16::try_from(payload.len()).unwrap_or(u16::MAX);
                self.push(Frame::Withheld { channel, position, len });
            }
        }
    }

    /// Audio was received.
    pub(in super::super) fn received(&mut self, at: Instant, header: &Header, codec: Codec, payload: &[u8]) {
        let position = self.place(at, header);
        let end = position + payload.len() as u64;
        if end > self.muted.0 && position < self.muted.1 {
            return;
        }
        let channel = match self.seat {
            Seat::System => Channel::Caller,
            Seat::Caller => Channel::System,
        };
        self.push_audio(channel, position, codec, payload);
    }

    /// The caller pressed a key.
    pub(in super::super) fn key(&mut self, at: Instant) {
        let position = self.position(at);
        let from = position.saturating_sub(BEFORE_KEY);
        if self.seat == Seat::System {
            self.mute(from, position + AFTER_KEY);
        }
        self.push(Frame::Key { from, position });
    }

    /// The caller still holds a key, or has just let it go.
    pub(in super::super) fn key_held(&mut self, at: Instant) {
        if self.seat == Seat::System {
            let position = self.position(at);
            self.mute(position, position + AFTER_KEY);
        }
    }

    /// Frames that did not fit into the ring.
    pub(in super::super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// Extends the muted stretch; a new one begins where it does not touch the old one.
    fn mute(&mut self, from: u64, until: u64) {
        let (old_from, old_until) = self.muted;
        self.muted = if from <= old_until {
            (old_from.min(from), old_until.max(until))
        } else {
            (from, until)
        };
    }

    fn position(&self, at: Instant) -> u64 {
        let micros = at.saturating_duration_since(self.start).as_micros();
        u64::try_from(micros * 8 / 1_000).unwrap_or(u64::MAX / 2)
    }

    /// By timestamp, so that jitter does not tear the audio apart; by arrival when there is no use in the timestamp.
    fn place(&mut self, at: Instant, header: &Header) -> u64 {
        let arrived = self.position(at).cast_signed();
        let expected = self
            .anchor
            .filter(|anchor| anchor.ssrc == header.ssrc)
            .map(|anchor| anchor.position + i64::from(header.timestamp.wrapping_sub(anchor.timestamp).cast_signed()));
        let position = expected
            .filter(|expected| (expected - arrived).abs() <= MAX_DRIFT)
            .unwrap_or(arrived);
        self.anchor = Some(Anchor {
            ssrc: header.ssrc,
            timestamp: header.timestamp,
            position,
        });
        u64::try_from(position).unwrap_or(0)
    }

    fn push_audio(&mut self, channel: Channel, position: u64, codec: Codec, payload: &[u8]) {
        let mut position = position;
        for part in payload.chunks(FRAME_LEN) {
            let mut frame = [0; FRAME_LEN];
            frame[..part.len()].copy_from_slice(part);
            let len = part.len() as u16; // at most FRAME_LEN
            self.push(Frame::Audio {
                channel,
                position,
                codec,
                len,
                payload: frame,
            });
            position += part.len() as u64;
        }
    }

    fn push(&mut self, frame: Frame) {
        // Full: the disk is slow. Disconnected: it is full or gone. Either way the call goes on.
        self.dropped += u64::from(self.frames.try_send(frame).is_err());
    }
}
