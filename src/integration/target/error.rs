//! Why a target did not do what it was asked, by what the caller can do about it.

/// A failed operation on a target.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// The request never reached the target: nothing happened, the same call may succeed later.
    #[error("{target} cannot be reached: {reason}")]
    Unreachable {
        /// Name of the target.
        target: String,
        /// What the network or the server said.
        reason: String,
    },
    /// The target answered no: nothing happened, and asking again will not help.
    #[error("{target} refused: {refusal}")]
    Refused {
        /// Name of the target.
        target: String,
        /// Why.
        refusal: Refusal,
    },
    /// The request went out and no answer came back: it may or may not have happened, now or a little later. Verify
    /// before telling anybody anything or trying again.
    #[error("{target} did not answer: {reason}")]
    Unknown {
        /// Name of the target.
        target: String,
        /// How the answer was lost.
        reason: String,
    },
    /// This kind of target cannot do that at all; see [`super::Capabilities`].
    #[error("{target} cannot {operation}")]
    Unsupported {
        /// Name of the target.
        target: String,
        /// What was asked.
        operation: &'static str,
    },
}

/// Why a target said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The password breaks a rule of the target.
    #[error("the password breaks its rules")]
    Policy,
    /// The old password, which a change takes, is not the right one.
    #[error("the old password is wrong")]
    OldPassword,
    /// There is no such account.
    #[error("there is no such account")]
    NoSuchAccount,
    /// Our own account there lacks a right on this account.
    #[error("passline lacks the right")]
    Rights,
    /// The account is disabled, and the target does not change disabled accounts.
    #[error("the account is disabled")]
    Disabled,
    /// Something else, which the log has in the target's own words.
    #[error("for a reason of its own")]
    Other,
}

impl TargetError {
    /// Whether the same call may succeed later, and certainly did nothing now.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    /// Whether the target may have done it all the same.
    #[must_use]
    pub fn may_have_happened(&self) -> bool {
        matches!(self, Self::Unknown { .. })
    }
}

/// Errors of one target, by its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Errors<'a>(pub(super) &'a str);

impl Errors<'_> {
    pub(super) fn refused(self, refusal: Refusal) -> TargetError {
        TargetError::Refused {
            target: self.0.to_owned(),
            refusal,
        }
    }

    pub(super) fn unreachable(self, reason: impl Into<String>) -> TargetError {
        TargetError::Unreachable {
            target: self.0.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn unknown(self, reason: impl Into<String>) -> TargetError {
        TargetError::Unknown {
            target: self.0.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn unsupported(self, operation: &'static str) -> TargetError {
        TargetError::Unsupported {
            target: self.0.to_owned(),
            operation,
        }
    }
}

/// Whether a text can be the name of an account. Servers written in C may read `anna` in `anna\0bert`.
pub(super) fn is_plain(account: &str) -> bool {
    !account.is_empty() && !account.chars().any(char::is_control)
}
