//! Sources: where people come from. One file per kind, one trait.
//!
//! A [`Source`] is read by `service`, which decides what becomes of whom. A source says who is there and what is written
//! about them; whoever is disabled there, or gone, it does not list. It is read in pieces, so that memory does not grow
//! with the company.

use std::fmt;
use std::pin::Pin;

use thiserror::Error;
use tokio::sync::mpsc;

use crate::secret::Secret;

pub mod accounts;
pub mod directory;
pub mod file;

/// The answer of a source, some time from now.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, SourceError>> + Send + 'a>>;

/// Why a source could not be read to its end. What was read before is good; who is missing from it is not known to be gone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{source_name}: {problem}")]
pub struct SourceError {
    /// The source.
    pub source_name: String,
    /// What is wrong, and what to do about it.
    pub problem: String,
    /// Whether another server of the source may do better.
    pub elsewhere: bool,
}

/// What a source says of one person.
pub struct Record {
    /// What never changes about the entry.
    pub entry: String,
    /// How others refer to it, and where people look for it: a distinguished name, or the entry itself.
    pub place: String,
    /// The values of each attribute that was asked for, in that order. Some may be answers, so all are kept as secrets.
    pub values: Vec<Vec<Secret>>,
}

/// Something in a source that is no record: somebody is there, and nobody can tell who.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Where.
    pub place: String,
    /// What is wrong, without the value.
    pub problem: String,
}

/// A piece of what is read.
pub type Piece = Vec<Result<Record, Broken>>;

/// What is to be read.
#[derive(Clone, Copy, Debug)]
pub enum Which<'a> {
    /// Everybody.
    All,
    /// Whoever has changed since this position.
    ChangedSince(&'a str),
    /// The entries of everybody, without any values.
    Entries,
    /// These entries, as far as they are still there.
    These(&'a [String]),
}

/// A place where people are listed.
pub trait Source: Send + Sync + 'static {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    /// Begins to read these attributes.
    fn open<'a>(&'a self, attributes: &'a [String]) -> Answer<'a, Box<dyn Reading + 'a>>;
}

/// A source while it is read.
pub trait Reading: Send {
    /// Whether it can tell who has changed since it was at this position.
    fn goes_on_from(&self, position: &str) -> bool;

    /// Reads into `out`, in pieces. Ends early when nobody takes them any more.
    fn read<'a>(&'a mut self, which: Which<'a>, out: &'a mpsc::Sender<Piece>) -> Answer<'a, ()>;

    /// Which server is read, where there are several that may differ for a while.
    fn server(&self) -> Option<&str> {
        None
    }

    /// From where a later reading may go on, after everything was read; none where that cannot be told.
    fn reached(&self) -> Option<String>;

    /// Says goodbye.
    fn close<'a>(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>
    where
        Self: 'a;
}

impl fmt::Debug for dyn Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Source").field(&self.name()).finish()
    }
}

/// The longest text that tells an entry apart, or says where it is, in bytes.
pub const MAX_KEY: usize = 600;

/// What is wrong with a text that should tell an entry apart.
fn key_problem(key: &str) -> Option<String> {
    if key.is_empty() {
        Some("what tells it apart is empty".to_owned())
    } else if key.len() > MAX_KEY || key.chars().any(char::is_control) {
        Some(format!(
            "what tells it apart has more than {MAX_KEY} bytes, or control characters"
        ))
    } else {
        None
    }
}

/// The same problem, told of a source.
fn problem(source: &str, problem: impl Into<String>) -> SourceError {
    SourceError {
        source_name: source.to_owned(),
        problem: problem.into(),
        elsewhere: false,
    }
}
