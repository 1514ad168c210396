//! Why a service did not do what a door asked, by what the door can do about it.

use crate::identity::keyed_hash::HashError;
use crate::store::StoreError;

/// A service that could not be given. Nothing was changed, unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServiceError {
    /// The database; see [`StoreError::is_transient`].
    #[error("the database did not do its part")]
    Store(#[from] StoreError),
    /// There is no such visit, or it has ended or expired. The caller must begin anew.
    #[error("the visit is over")]
    NoVisit,
    /// The operation does not come next in this visit; a mistake of the door, or somebody who tries the doors.
    #[error("{operation} does not come next in this visit")]
    OutOfOrder {
        /// What was asked.
        operation: &'static str,
    },
    /// There is no live evidence for it: expired, revoked, or of another visit.
    #[error("the caller is not verified, or not any more")]
    NotVerified,
    /// Another request of the same visit was faster. It may be asked again.
    #[error("another step of this visit came first")]
    Superseded,
    /// An account is in another change that is still open. It may be asked again soon.
    #[error("an account is being changed already")]
    Busy,
    /// What was ordered could not be begun, for a reason that passes. The same order may be given again.
    #[error("the change was not begun; the same order may be given again")]
    NotBegun,
    /// The same idempotency key is being carried out right now. Ask again for its outcome.
    #[error("the same request is being carried out")]
    InProgress,
    /// The idempotency key was used before, for something else; a mistake of the client.
    #[error("the idempotency key was used for another request")]
    IdempotencyConflict,
    /// More than anybody has reason to ask for in one visit.
    #[error("too many {what} in one visit")]
    TooMany {
        /// Of what.
        what: &'static str,
    },
    /// It could not be begun, for a reason that is in the log of whoever tried. Nothing was changed.
    #[error("the change could not be begun; the log says why")]
    Failed,
    /// There is nothing to do: the user has no account on a configured system, or none was chosen.
    #[error("no account to act on")]
    NoAccounts,
    /// No such thing was named in this visit; a mistake of the client, or somebody who tries.
    #[error("no {of} of this visit has that handle")]
    UnknownHandle {
        /// What it should be.
        of: &'static str,
    },
    /// A password that somebody chose does not meet the rules.
    #[error("the password does not meet the rules: {}", reasons.join("; "))]
    Policy {
        /// What is wrong with it, without any part of it.
        reasons: Vec<String>,
    },
    /// The password was proposed in another visit.
    #[error("the password was not proposed on this evidence")]
    ForeignProposal,
    /// The person had this password before, and the rules want another one. Propose it.
    #[error("the person had this password before")]
    UsedBefore,
    /// An answer or a password cannot be hashed; see the cause.
    #[error("cannot hash")]
    Hash(#[from] HashError),
    /// The configuration cannot work.
    #[error("the configuration of `{section}` cannot work: {message}")]
    Config {
        /// Which part of it.
        section: &'static str,
        /// What is wrong.
        message: String,
    },
    /// Another process that is up has the name of this node.
    #[error("another process with the name {node} uses this database; give each its own `node`")]
    NameTaken {
        /// The name.
        node: String,
    },
    /// The clock of this machine and that of the database server differ.
    #[error("the clock of this machine is {difference:?} off the database server's; set both by NTP")]
    Clock {
        /// By how much.
        difference: std::time::Duration,
    },
    /// The program is closing.
    #[error("the program is closing")]
    Closing,
}

impl ServiceError {
    /// Whether the same request may succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Store(error) => error.is_transient(),
            Self::Superseded | Self::Busy | Self::InProgress => true,
            _ => false,
        }
    }
}
