//! What to play: clips and pauses in a row.

use std::fmt;
use std::time::Duration;

use crate::telephony::codec::{Clip, Codec, samples_per};

/// Names one playback of one call; never used twice in it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct PlaybackId(pub u64);

/// A part of a playlist.
#[derive(Clone, Debug)]
pub enum Segment {
    /// Encoded audio.
    Clip(Clip),
    /// A pause.
    Silence(Duration),
}

/// Whether others may hear it later.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Privacy {
    /// May be recorded.
    #[default]
    Public,
    /// Never recorded: a password is being read out.
    Secret,
}

/// What a key press does to a playback (barge-in).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OnKey {
    /// Stops it: the packet that goes out in the same tick is already silent.
    #[default]
    Stop,
    /// Nothing.
    KeepPlaying,
}

/// Segments to play without a gap, and how.
#[derive(Clone, Default)]
pub struct Playlist {
    /// In order; may be empty, then it is finished at once.
    pub segments: Vec<Segment>,
    /// Holds for all segments.
    pub privacy: Privacy,
    /// Holds for all segments.
    pub on_key: OnKey,
}

impl Playlist {
    /// How long it plays.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.segments.iter().fold(Duration::ZERO, |total, segment| {
            total.saturating_add(segment.duration())
        })
    }
}

/// Does not show the segments: the lengths of the clips would spell a password.
impl fmt::Debug for Playlist {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Playlist({:?}, {:?})", self.privacy, self.on_key)
    }
}

impl Segment {
    fn duration(&self) -> Duration {
        match self {
            Self::Clip(clip) => clip.duration(),
            Self::Silence(duration) => *duration,
        }
    }

    fn samples(&self) -> usize {
        match self {
            Self::Clip(clip) => clip.samples(),
            Self::Silence(duration) => samples_per(*duration),
        }
    }
}

/// A playlist and how far it was played. The position is counted in samples, so the codec may change in between.
#[derive(Debug)]
pub(super) struct Player {
    pub(super) id: PlaybackId,
    playlist: Playlist,
    index: usize,
    offset: usize,
}

impl Player {
    pub(super) fn new(id: PlaybackId, playlist: Playlist) -> Self {
        Self {
            id,
            playlist,
            index: 0,
            offset: 0,
        }
    }

    pub(super) fn privacy(&self) -> Privacy {
        self.playlist.privacy
    }

    pub(super) fn on_key(&self) -> OnKey {
        self.playlist.on_key
    }

    /// Fills a payload, across segments where they meet. Returns how much was filled; less than all of it means that
    /// the playlist is finished.
    pub(super) fn fill(&mut self, codec: Codec, payload: &mut [u8]) -> usize {
        let mut filled = 0;
        while let Some(segment) = self.playlist.segments.get(self.index) {
            let count = (segment.samples() - self.offset).min(payload.len() - filled);
            let target = &mut payload[filled..filled + count];
            match segment {
                Segment::Clip(clip) => {
                    target.copy_from_slice(&clip.payload(codec)[self.offset..self.offset + count]);
                }
                Segment::Silence(_) => target.fill(codec.silence()),
            }
            filled += count;
            self.offset += count;
            if self.offset < segment.samples() {
                break;
            }
            self.index += 1;
            self.offset = 0;
        }
        filled
    }

    /// Whether everything was played.
    pub(super) fn is_finished(&self) -> bool {
        self.index >= self.playlist.segments.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn clip(sample: i16, samples: usize) -> Segment {
        Segment::Clip(Clip::from_pcm(&vec![sample; samples]))
    }

    #[test]
    fn a_packet_may_span_segments() {
        let segments = vec![clip(1_000, 100), Segment::Silence(5 * MS), clip(-1_000, 200)];
        let mut player = Player::new(
            PlaybackId(1),
            Playlist {
                segments,
                ..Playlist::default()
            },
        );
        let mut payload = [0; 160];
        assert_eq!(player.fill(Codec::Pcmu, &mut payload), 160);
        let (one, other) = (Codec::Pcmu.encode_sample(1_000), Codec::Pcmu.encode_sample(-1_000));
        assert!(payload[..100].iter().all(|&byte| byte == one));
        assert!(payload[100..140].iter().all(|&byte| byte == 0xff));
        assert!(payload[140..].iter().all(|&byte| byte == other));
        assert_eq!(player.fill(Codec::Pcmu, &mut payload), 160);
        assert!(!player.is_finished());
        assert_eq!(player.fill(Codec::Pcmu, &mut payload), 20);
        assert!(player.is_finished());
    }

    #[test]
    fn a_playlist_that_ends_with_a_packet_is_finished_with_it() {
        let segments = vec![clip(5, 160), clip(5, 0)];
        let mut player = Player::new(
            PlaybackId(1),
            Playlist {
                segments,
                ..Playlist::default()
            },
        );
        assert_eq!(player.fill(Codec::Pcma, &mut [0; 160]), 160);
        assert!(player.is_finished());
    }

    #[test]
    fn an_endless_pause_is_no_overflow() {
        let segments = vec![Segment::Silence(Duration::MAX)];
        let mut player = Player::new(
            PlaybackId(1),
            Playlist {
                segments,
                ..Playlist::default()
            },
        );
        assert_eq!(player.fill(Codec::Pcma, &mut [0; 160]), 160);
    }
}
