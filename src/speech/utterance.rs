//! Something to play to a caller: clips and pauses, in order.

use std::fmt;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::telephony::codec::Clip;

/// A piece of an [`Utterance`].
#[derive(Clone)]
pub enum Part {
    /// Play this.
    Clip(Clip),
    /// Say nothing for a while.
    Pause(Duration),
}

/// Who may hear, record or print an utterance.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Privacy {
    /// Everyone.
    Public,
    /// The person on the line; may be in a recording of the call, never in a log.
    Personal,
    /// The person on the line alone: a password. Never recorded.
    Secret,
}

/// Clips and pauses in the order in which they are played.
#[derive(Clone)]
pub struct Utterance {
    parts: Vec<Part>,
    transcript: Zeroizing<String>,
    privacy: Privacy,
}

impl Utterance {
    /// Nothing yet.
    #[must_use]
    pub fn new(privacy: Privacy) -> Self {
        Self {
            parts: Vec::new(),
            transcript: Zeroizing::default(),
            privacy,
        }
    }

    /// One clip that says `text`.
    #[must_use]
    pub fn of(clip: Clip, text: &str, privacy: Privacy) -> Self {
        let mut utterance = Self::new(privacy);
        utterance.push_clip(clip, text);
        utterance
    }

    /// Appends a clip that says `text`. The text of a secret is not kept.
    pub fn push_clip(&mut self, clip: Clip, text: &str) {
        self.parts.push(Part::Clip(clip));
        if self.privacy == Privacy::Secret || text.is_empty() {
            return;
        }
        // A new buffer each time: growing the old one would leave a copy of the text behind.
        let mut longer = Zeroizing::new(String::with_capacity(self.transcript.len() + 1 + text.len()));
        longer.push_str(&self.transcript);
        if !longer.is_empty() {
            longer.push(' ');
        }
        longer.push_str(text);
        self.transcript = longer;
    }

    /// Appends a pause.
    pub fn push_pause(&mut self, pause: Duration) {
        self.parts.push(Part::Pause(pause));
    }

    /// Appends another utterance; the stricter privacy holds for both.
    pub fn append(&mut self, other: &Self) {
        self.privacy = self.privacy.max(other.privacy);
        let mut transcript = other.transcript();
        for part in &other.parts {
            match part {
                Part::Clip(clip) => self.push_clip(clip.clone(), std::mem::take(&mut transcript)),
                Part::Pause(pause) => self.push_pause(*pause),
            }
        }
    }

    /// What to play.
    #[must_use]
    pub fn parts(&self) -> &[Part] {
        &self.parts
    }

    /// What is said, for a transcript that may show it; empty for a secret. Never for a log when it is personal.
    #[must_use]
    pub fn transcript(&self) -> &str {
        &self.transcript
    }

    /// Who may hear it.
    #[must_use]
    pub fn privacy(&self) -> Privacy {
        self.privacy
    }

    /// How long it plays. For a secret this tells the length of the password: not for a log.
    #[must_use]
    pub fn duration(&self) -> Duration {
        self.parts
            .iter()
            .map(|part| match part {
                Part::Clip(clip) => clip.duration(),
                Part::Pause(pause) => *pause,
            })
            .sum()
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not even how long: a password's parts would tell its characters.
        f.write_str(match self {
            Self::Clip(_) => "Clip",
            Self::Pause(_) => "Pause",
        })
    }
}

/// Shows the text of public utterances only.
impl fmt::Debug for Utterance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.privacy {
            Privacy::Public => write!(f, "Utterance({:?})", self.transcript()),
            Privacy::Personal => f.write_str("Utterance([personal])"),
            Privacy::Secret => f.write_str("Utterance([secret])"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clip(milliseconds: usize) -> Clip {
        Clip::from_pcm(&vec![0; milliseconds * 8])
    }

    #[test]
    fn parts_keep_their_order_and_texts_are_joined() {
        let mut utterance = Utterance::of(clip(100), "For", Privacy::Public);
        utterance.push_pause(Duration::from_millis(50));
        utterance.push_clip(clip(200), "Mail");
        assert_eq!(utterance.transcript(), "For Mail");
        assert_eq!(utterance.duration(), Duration::from_millis(350));
        assert_eq!(format!("{utterance:?}"), "Utterance(\"For Mail\")");
    }

    #[test]
    fn a_secret_has_no_transcript_and_prints_nothing() {
        let utterance = Utterance::of(clip(100), "Capital B", Privacy::Secret);
        assert_eq!(utterance.transcript(), "");
        assert_eq!(
            format!("{utterance:?} {:?}", utterance.parts()),
            "Utterance([secret]) [Clip]"
        );
        let personal = Utterance::of(clip(100), "first dog", Privacy::Personal);
        assert_eq!(format!("{personal:?}"), "Utterance([personal])");
    }
}
