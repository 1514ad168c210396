//! What is told of a run.

use serde::{Deserialize, Serialize};

use crate::integration::source::SourceError;
use crate::service::ServiceError;
use crate::store::StoreError;
use crate::time::Timestamp;

/// How many problems are kept; a source that is wrong throughout needs no more of them.
const MAX_PROBLEMS: usize = 1_000;

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncCounts {
    /// People whose values were read.
    pub read: u64,
    /// Users who are new.
    pub created: u64,
    /// Entries that were linked to users who were there before.
    pub linked: u64,
    /// Users about whom something is new.
    pub changed: u64,
    /// People about whom nothing is new.
    pub unchanged: u64,
    /// Entries that belong to nobody here, in a source that creates nobody.
    pub unlinked: u64,
    /// People who could not be taken, because of what is written about them.
    pub refused: u64,
    /// People who were there, and are not any more.
    pub removed: u64,
    /// People who are there, listed without their values.
    pub listed: u64,
}

/// Something about one person that could not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncProblem {
    /// Where in the source: a distinguished name, an entry, a line.
    pub place: String,
    /// Which field, if it is about one; the person was taken without it.
    pub field: Option<&'static str>,
    /// What is wrong, and what would be right; never the value.
    pub message: String,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Whether everything was read, or only what has changed.
    pub full: bool,
    /// The counts at the end.
    pub counts: SyncCounts,
    /// The first thousand problems.
    pub problems: Vec<SyncProblem>,
    /// How many more there were.
    pub more_problems: u64,
    /// How many people are missing, and were not removed because they are too many.
    pub held: u64,
    /// How many people were there before.
    pub known: u64,
    /// Whether nobody was removed because part of the source could not be read.
    pub incomplete: bool,
    /// Whether nobody was removed or let in again because another server of the source was read than the last time.
    pub elsewhere: bool,
}

impl SyncReport {
    /// What is told of a source that could not be read to its end in all its parts.
    pub(super) fn part_missing(&self) -> Option<String> {
        let first = self.problems.iter().find(|_| self.incomplete)?;
        Some(format!(
            "part of it cannot be read, so nobody was removed; the first is {}: {}",
            first.place, first.message
        ))
    }

    pub(super) fn problem(&mut self, place: &str, field: Option<&'static str>, message: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(SyncProblem {
                place: place.to_owned(),
                field,
                message,
            });
        } else {
            self.more_problems += 1;
        }
    }
}

/// Why a source was not read, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Another process is at it.
    #[error("{name} is being read by another process; if that was cut off, it may be read again at {until}")]
    Busy {
        /// The source.
        name: String,
        /// Until when at the latest it is believed to be alive.
        until: Timestamp,
    },
    /// So many people lost their numbers or accounts that it looks like an attribute which cannot be read any more.
    #[error(
        "{losses} people would have no number or account any more that they had before, so the run has stopped; is an \
         attribute of another name now, or hidden from Passline? If it is right, run `passline sync run {name} --remove`"
    )]
    Losses {
        /// The source.
        name: String,
        /// How many there are by now.
        losses: u64,
    },
    /// Answers are mapped to a question that is not there.
    #[error("there is no question {question:?}; add it to the configuration as [[question]]")]
    NoSuchQuestion {
        /// Prompt or text.
        question: String,
    },
    /// The service.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

/// How a source was left by its last run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    /// When it began; none if the source was never read.
    pub begun: Option<Timestamp>,
    /// When it ended; none while it is under way, or when its process died.
    pub ended: Option<Timestamp>,
    /// When everything was read last.
    pub full: Option<Timestamp>,
    /// Why it failed.
    pub failure: Option<String>,
    /// What it found.
    pub counts: Option<SyncCounts>,
    /// How many people are missing and were too many to remove.
    pub held: u64,
    /// How many people of it are here.
    pub known: u64,
}
