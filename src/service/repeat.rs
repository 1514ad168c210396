//! Requests that are sent again, because their answer was lost: the second one gets the first one's answer.
//!
//! A client marks a request with a key of its own. What was answered is kept in the row of the visit, in the transaction
//! of what the request has done; the key and the request are kept as keyed hashes, since both may hold what was keyed.

use serde::{Deserialize, Serialize};

use super::visit::State;
use super::{ServiceError, Visit};

/// A key under which a client may repeat a request without it being done twice: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// The longest key.
    pub const MAX_LEN: usize = 128;

    /// `None` for text that is no such key.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let good = (1..=Self::MAX_LEN).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
        good.then(|| Self(text.to_owned()))
    }

    /// The key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A request that is told from others by its key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Keyed {
    /// Stands for the key; of no use in another visit.
    pub(super) key: String,
    /// Stands for what was asked.
    pub(super) request: String,
}

impl Keyed {
    /// Whether `other` is this request once more.
    ///
    /// # Errors
    /// [`ServiceError::IdempotencyConflict`] when the key was used for something else.
    pub(super) fn is_repeated_by(&self, other: &Self) -> Result<bool, ServiceError> {
        match (self.key == other.key, self.request == other.request) {
            (true, false) => Err(ServiceError::IdempotencyConflict),
            (same, _) => Ok(same),
        }
    }
}

/// What a request was answered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Reply {
    to: Keyed,
    answer: String,
}

/// Answers that are kept for a visit: more than the configuration allows at the most (10 IDs, 15 rounds, 100 passwords).
const KEPT: usize = 128;

impl Visit {
    /// A request with the key that its client has given it, if any. `parts` are all of the request, each preceded by its
    /// length when they are hashed.
    pub(super) fn keyed(&self, call: &str, key: Option<&IdempotencyKey>, parts: &[&[u8]]) -> Option<Keyed> {
        let peppers = self.services.peppers();
        let session = self.id.as_uuid();
        let hash = |purpose: &str, parts: &[&[u8]]| {
            let all: Vec<&[u8]> = std::iter::once(session.as_bytes().as_slice())
                .chain(parts.iter().copied())
                .collect();
            peppers.fingerprint(purpose, &all)
        };
        let request: Vec<&[u8]> = std::iter::once(call.as_bytes()).chain(parts.iter().copied()).collect();
        key.map(|key| Keyed {
            key: hash("api idempotency key", &[key.0.as_bytes()]),
            request: hash("api request", &request),
        })
    }
}

impl State {
    /// What this request was answered, if it was made before.
    ///
    /// # Errors
    /// [`ServiceError::IdempotencyConflict`] when the key was used for something else.
    pub(super) fn reply_to(&self, keyed: Option<&Keyed>) -> Result<Option<&str>, ServiceError> {
        let Some(keyed) = keyed else { return Ok(None) };
        for job in &self.jobs {
            job.order().is_repeated_by(keyed)?;
        }
        for reply in &self.replies {
            if reply.to.is_repeated_by(keyed)? {
                return Ok(Some(&reply.answer));
            }
        }
        Ok(None)
    }

    /// The place of the job that this order has begun before.
    ///
    /// # Errors
    /// [`ServiceError::IdempotencyConflict`] when the key was used for something else.
    pub(super) fn job_of(&self, order: &Keyed) -> Result<Option<usize>, ServiceError> {
        for reply in &self.replies {
            reply.to.is_repeated_by(order)?;
        }
        for (index, job) in self.jobs.iter().enumerate() {
            if job.order().is_repeated_by(order)? {
                return Ok(Some(index));
            }
        }
        Ok(None)
    }

    /// Keeps what a request is answered.
    pub(super) fn keep_reply(&mut self, keyed: Option<&Keyed>, answer: impl Into<String>) {
        let Some(keyed) = keyed else { return };
        if self.replies.len() >= KEPT {
            self.replies.remove(0);
        }
        self.replies.push(Reply {
            to: keyed.clone(),
            answer: answer.into(),
        });
    }
}
