//! What came of a change on one account, told truthfully: done, certainly not done, or not known.

use std::fmt;
use std::str::FromStr;

use crate::integration::target::Refusal;

/// What came of a change on one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It is done.
    Done,
    /// The system said no; everything is as before.
    Refused(Refusal),
    /// The system could not be reached; everything is as before.
    Unreachable,
    /// The system cannot do that, or is not configured any more; everything is as before.
    Unsupported,
    /// It was interrupted, and found later not to have happened; everything is as before.
    NotDone,
    /// Nobody knows yet: it may be done or not.
    Unknown,
}

impl Outcome {
    const ALL: [Self; 11] = [
        Self::Done,
        Self::Refused(Refusal::Policy),
        Self::Refused(Refusal::OldPassword),
        Self::Refused(Refusal::NoSuchAccount),
        Self::Refused(Refusal::Rights),
        Self::Refused(Refusal::Disabled),
        Self::Refused(Refusal::Other),
        Self::Unreachable,
        Self::Unsupported,
        Self::NotDone,
        Self::Unknown,
    ];

    /// Its name in the database, in events and in the API.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused(Refusal::Policy) => "refused_by_policy",
            Self::Refused(Refusal::OldPassword) => "wrong_old_password",
            Self::Refused(Refusal::NoSuchAccount) => "no_such_account",
            Self::Refused(Refusal::Rights) => "no_right",
            Self::Refused(Refusal::Disabled) => "account_disabled",
            Self::Refused(Refusal::Other) => "refused",
            Self::Unreachable => "unreachable",
            Self::Unsupported => "unsupported",
            Self::NotDone => "not_done",
            Self::Unknown => "unknown",
        }
    }

    /// Whether everything is certainly as it was before.
    #[must_use]
    pub fn is_failure(self) -> bool {
        !matches!(self, Self::Done | Self::Unknown)
    }

    /// Whether the same change may succeed a little later.
    #[must_use]
    pub fn is_worth_repeating(self) -> bool {
        matches!(self, Self::Unreachable | Self::NotDone)
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Text that names no outcome.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an outcome")]
pub struct ParseOutcomeError;

impl FromStr for Outcome {
    type Err = ParseOutcomeError;

    fn from_str(text: &str) -> Result<Self, ParseOutcomeError> {
        Self::ALL
            .into_iter()
            .find(|outcome| outcome.as_str() == text)
            .ok_or(ParseOutcomeError)
    }
}

/// How an outcome is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// The system answered.
    Answer,
    /// A sign-in with the new password, or a look at the lock.
    Check,
    /// The system says that the password was, or was not, changed since before the request.
    Marker,
    /// Nothing yet: the outcome is unknown, and will be looked at once more.
    Pending,
    /// Nothing, and nothing will be: the outcome stays unknown.
    Nothing,
}

impl Proof {
    /// Its name in the database and in events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Answer => "answer",
            Self::Check => "check",
            Self::Marker => "marker",
            Self::Pending => "pending",
            Self::Nothing => "nothing",
        }
    }
}

/// What was found out about a change on one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) outcome: Outcome,
    pub(super) proof: Proof,
    /// Whether the new password must be changed at the next sign-in; `None` where there is none, or nobody knows.
    pub(super) expired: Option<bool>,
}

impl Finding {
    pub(super) fn new(outcome: Outcome, proof: Proof) -> Self {
        Self {
            outcome,
            proof,
            expired: None,
        }
    }

    pub(super) fn expired(self, expired: Option<bool>) -> Self {
        Self { expired, ..self }
    }
}

/// The outcomes of one change taken together, as a call flow tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Summary {
    /// Done on every system.
    All,
    /// Done on some.
    Some,
    /// Done on none, as far as is known.
    None,
}

impl Summary {
    /// Sums up; nothing at all is [`Self::None`].
    pub fn of(outcomes: impl IntoIterator<Item = Outcome>) -> Self {
        let (mut done, mut other) = (false, false);
        for outcome in outcomes {
            match outcome {
                Outcome::Done => done = true,
                _ => other = true,
            }
        }
        match (done, other) {
            (true, false) => Self::All,
            (true, true) => Self::Some,
            (false, _) => Self::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip() {
        for outcome in Outcome::ALL {
            assert_eq!(outcome.as_str().parse(), Ok(outcome));
        }
        assert_eq!("".parse::<Outcome>(), Err(ParseOutcomeError));
    }

    #[test]
    fn unknown_is_neither_success_nor_failure() {
        assert!(!Outcome::Unknown.is_failure());
        assert_eq!(Summary::of([Outcome::Done, Outcome::Unknown]), Summary::Some);
        assert_eq!(Summary::of([Outcome::Unknown]), Summary::None);
        assert_eq!(Summary::of([Outcome::Done, Outcome::Done]), Summary::All);
        assert_eq!(Summary::of([]), Summary::None);
    }
}
