//! The sending half of a session: what goes into the packet that is due.

use std::time::Duration;

use rand::Rng;

use super::config::{MediaEvent, Silence};
use super::payload::PayloadMap;
use super::playlist::{PlaybackId, Player, Playlist, Privacy};
use crate::digit::Digit;
use crate::telephony::codec::Codec;
use crate::telephony::dtmf::{EVENT_LEN, KeyQueueFull, KeySender};
use crate::telephony::rtp::{HEADER_LEN, SendStream};

/// What a packet that was built holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Sent {
    /// A payload of `len` bytes.
    Audio { codec: Codec, len: usize, privacy: Privacy },
    /// A telephone event; the first one of a press or not.
    Event { first: bool },
}

impl Sent {
    /// Length of the whole packet.
    pub(super) fn packet_len(self) -> usize {
        HEADER_LEN
            + match self {
                Self::Audio { len, .. } => len,
                Self::Event { .. } => EVENT_LEN,
            }
    }
}

/// The sending half.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) stream: SendStream,
    player: Option<Player>,
    keys: KeySender,
    /// Whether the packet before this one was sent: the next one does not begin a talk spurt.
    talking: bool,
}

impl Outgoing {
    pub(super) fn new(rng: &mut impl Rng) -> Self {
        Self {
            stream: SendStream::new(rng),
            player: None,
            keys: KeySender::default(),
            talking: false,
        }
    }

    /// Begins to play; tells what was stopped for it.
    pub(super) fn play(&mut self, id: PlaybackId, playlist: Playlist) -> Option<MediaEvent> {
        let stopped = self.stop();
        self.player = Some(Player::new(id, playlist));
        stopped
    }

    /// Stops what is playing.
    pub(super) fn stop(&mut self) -> Option<MediaEvent> {
        self.player.take().map(|player| MediaEvent::PlaybackStopped(player.id))
    }

    /// What is playing.
    pub(super) fn player(&self) -> Option<&Player> {
        self.player.as_ref()
    }

    /// Queues a key.
    pub(super) fn press(&mut self, digit: Digit, on: Duration, off: Duration) -> Result<(), KeyQueueFull> {
        self.keys.press(digit, on, off)
    }

    /// Builds the packet that is due: an event if a key is down, else audio, else silence. `samples` is the packet
    /// time. Adds to `told` what has come to its end.
    pub(super) fn next_packet(
        &mut self,
        payloads: &PayloadMap,
        silence: Silence,
        samples: usize,
        buffer: &mut [u8],
        mut tell: impl FnMut(MediaEvent),
    ) -> Option<Sent> {
        let sent = match self.next_event(payloads, samples, buffer) {
            Some(sent) => {
                if self.keys.is_idle() {
                    tell(MediaEvent::KeysSent);
                }
                Some(sent)
            }
            None => self.next_audio(payloads, silence, samples, buffer, tell),
        };
        self.talking = sent.is_some();
        sent
    }

    /// Lets time pass: the timestamp counts samples, sent or not.
    pub(super) fn advance(&mut self, samples: u32) {
        self.stream.advance(samples);
    }

    /// Nothing is sent now: the next packet begins a talk spurt.
    pub(super) fn pause(&mut self) {
        self.talking = false;
    }

    fn next_event(&mut self, payloads: &PayloadMap, samples: usize, buffer: &mut [u8]) -> Option<Sent> {
        let payload_type = payloads.sent_event()?;
        let event = self.keys.poll(self.stream.timestamp(), u32::try_from(samples).ok()?)?;
        let header = self
            .stream
            .next_header_at(event.timestamp, payload_type, event.marker, EVENT_LEN);
        let payload = header.write(buffer)?;
        payload.get_mut(..EVENT_LEN)?.copy_from_slice(&event.packet.to_bytes());
        Some(Sent::Event { first: event.marker })
    }

    fn next_audio(
        &mut self,
        payloads: &PayloadMap,
        silence: Silence,
        samples: usize,
        buffer: &mut [u8],
        mut tell: impl FnMut(MediaEvent),
    ) -> Option<Sent> {
        let (codec, payload_type) = payloads.sent_codec()?;
        let payload = buffer.get_mut(HEADER_LEN..HEADER_LEN + samples)?;
        let mut filled = 0;
        let mut privacy = Privacy::Public;
        if let Some(player) = &mut self.player {
            filled = player.fill(codec, payload);
            privacy = player.privacy();
            if player.is_finished() {
                tell(MediaEvent::PlaybackFinished(player.id));
                self.player = None;
            }
        }
        if filled == 0 && silence == Silence::Suppress {
            return None;
        }
        payload[filled..].fill(codec.silence());
        let header = self.stream.next_header(payload_type, !self.talking, samples);
        header.write(buffer)?;
        Some(Sent::Audio {
            codec,
            len: samples,
            privacy,
        })
    }
}
