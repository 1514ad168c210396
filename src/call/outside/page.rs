//! What an outside IVR does next, and what it tells of it.

use crate::dialplan::{Awaited, PromptId};
use crate::digit::Digits;
use crate::secret::Secret;
use crate::speech::{Language, Utterance};

/// What an outside IVR does next: plays `lines` in their order, and then what `then` says.
#[derive(Debug)]
pub struct Page {
    /// The how-manieth page of the call, from 1. Whoever tells what happened names it; what was told before is not taken
    /// again.
    pub number: u32,
    /// What to play.
    pub lines: Vec<Line>,
    /// The second of [`Self::parts`] as one sound, if there is any: for an IVR that plays one thing while it collects.
    pub question: Option<Sound>,
    /// What to do after it.
    pub then: Then,
}

impl Page {
    /// The lines to the last one that is heard to its end, and those after it, which a key silences.
    #[must_use]
    pub fn parts(&self) -> (&[Line], &[Line]) {
        parts(&self.lines)
    }
}

pub(super) fn parts(lines: &[Line]) -> (&[Line], &[Line]) {
    let first = lines.iter().rposition(|line| !line.barge_in).map_or(0, |last| last + 1);
    lines.split_at(first)
}

/// Something to play.
#[derive(Debug)]
pub struct Line {
    /// Where to fetch it.
    pub sound: Sound,
    /// What it is.
    pub utterance: Utterance,
    /// In words, where the utterance does not tell them: a password.
    pub spelled: Option<Secret>,
    /// Whether a key silences it and counts.
    pub barge_in: bool,
}

/// Where something to play is found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Sound {
    /// A recording of the catalogue, the same for everybody.
    Prompt {
        /// In this language.
        language: Language,
        /// Its name.
        id: PromptId,
    },
    /// Made for this call. The name cannot be guessed, and means nothing when its page is past.
    Kept(String),
}

/// What follows on the lines of a page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Then {
    /// Collect keys, and tell them.
    Collect(Awaited),
    /// Come back at once: something is being worked on.
    ComeBack,
    /// Hang up.
    HangUp,
}

/// What an outside IVR tells of a page.
#[derive(Clone, Debug)]
pub enum Heard {
    /// Keys, without the one that ended them.
    Keys(Digits),
    /// No key in the time for it.
    Silence,
    /// Something that is no entry.
    NoMatch,
    /// The page was played; there was nothing to collect.
    Played,
    /// The caller is gone.
    HungUp,
}
