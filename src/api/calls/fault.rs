//! Why a call was not carried out, as every way into the API tells it: one list, and what each means over HTTP and SOAP.
//!
//! With two exceptions a fault means that nothing was changed: `unfinished` and `internal` say that it is not known.
//! Nothing here says which answer was wrong, whether there is such a person, or why a client was refused.

use std::borrow::Cow;
use std::time::Duration;

use crate::service::ServiceError;

macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident = $slug:literal, $status:literal, $title:literal;)*) => {
        /// Kinds of faults.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum FaultKind {
            $($(#[$doc])* $kind,)*
        }

        impl FaultKind {
            /// Every kind, in the order of the documents.
            pub const ALL: &[Self] = &[$(Self::$kind),*];

            /// The stable name; `urn:passline:problem:` stands before it in problem details.
            #[must_use]
            pub fn slug(self) -> &'static str {
                match self {
                    $(Self::$kind => $slug,)*
                }
            }

            /// The status over HTTP (RFC 9110 section 15).
            #[must_use]
            pub fn status(self) -> u16 {
                match self {
                    $(Self::$kind => $status,)*
                }
            }

            /// What it is, in a few words that are always the same.
            #[must_use]
            pub fn title(self) -> &'static str {
                match self {
                    $(Self::$kind => $title,)*
                }
            }
        }
    };
}

kinds! {
    /// A request that cannot be understood; the detail says where.
    InvalidRequest = "invalid-request", 400, "The request is not as described";
    /// The body is longer than any request is.
    BodyTooLarge = "body-too-large", 413, "The body is too large";
    /// The body is not what is read here.
    UnsupportedMediaType = "unsupported-media-type", 415, "The body has another media type";
    /// Wrong name, password, certificate or network.
    SignInRefused = "sign-in-refused", 401, "Signing in was refused";
    /// No such session, or it has ended, or it belongs to another client or network.
    NoSession = "no-session", 401, "There is no such session";
    /// No answers were validated in this session, or not any more.
    NotVerified = "not-verified", 403, "The caller is not verified";
    /// The client lacks the right.
    NotAllowed = "not-allowed", 403, "This API user may not do that";
    /// A handle that was not given in this session.
    UnknownHandle = "unknown-handle", 404, "No such thing in this session";
    /// Another call comes first.
    OutOfOrder = "out-of-order", 409, "Another call comes first";
    /// There is nothing to act on.
    NoAccounts = "no-accounts", 409, "There is no account to act on";
    /// So many passwords were turned down that there are no more in this session.
    NoMorePasswords = "no-more-passwords", 409, "No more passwords are proposed in this session";
    /// The rules of the chosen systems contradict each other.
    RulesContradict = "rules-contradict", 409, "No password satisfies all chosen systems";
    /// The same request is being carried out; or an account is in another change.
    InProgress = "in-progress", 409, "It is being carried out";
    /// What was ordered could not be begun, since an account was in another change, or the database had no time.
    NotBegun = "not-begun", 409, "It could not be begun; give the same order again";
    /// The idempotency key was used for something else.
    KeyReused = "key-reused", 422, "The idempotency key was used for another request";
    /// A password that was chosen does not meet the rules.
    PasswordRefused = "password-refused", 422, "The password does not meet the rules";
    /// The person had this password before.
    PasswordUsedBefore = "password-used-before", 422, "The person had this password before";
    /// Whoever calls, or signs in, has to wait.
    TooManyTries = "too-many-tries", 429, "Too many tries; wait";
    /// Too many requests from there.
    TooManyRequests = "too-many-requests", 429, "Too many requests; wait";
    /// Nobody can be verified here: too few questions are enrolled by anybody.
    NoQuestions = "no-questions", 503, "Nobody can be verified now";
    /// It may work a little later; nothing of it was begun.
    Busy = "busy", 503, "Not now; try again";
    /// There was no time to see the end of it: it goes on, and may be done.
    Unfinished = "unfinished", 503, "It is not known yet; send it again with the same idempotency key";
    /// A fault of ours; the log says more.
    Internal = "internal", 500, "Something is wrong on this side";
}

/// A call that was not carried out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// What exactly, for a person who builds a client; never anything that was keyed or typed.
    pub detail: Option<Cow<'static, str>>,
    /// After how long it may be tried again.
    pub retry_after: Option<Duration>,
}

impl Fault {
    /// Without more to say.
    #[must_use]
    pub fn new(kind: FaultKind) -> Self {
        Self {
            kind,
            detail: None,
            retry_after: matches!(kind, FaultKind::Busy | FaultKind::Unfinished | FaultKind::InProgress)
                .then_some(Duration::from_secs(1)),
        }
    }

    /// With what exactly.
    #[must_use]
    pub fn with(kind: FaultKind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            detail: Some(detail.into()),
            ..Self::new(kind)
        }
    }

    /// That the same may be tried after so long.
    #[must_use]
    pub fn wait(kind: FaultKind, wait: Duration) -> Self {
        Self {
            retry_after: Some(wait),
            ..Self::new(kind)
        }
    }
}

impl Fault {
    /// After how many seconds it may be tried again: at least one (RFC 9110 section 10.2.3 knows whole seconds only), and no
    /// more than a day.
    #[must_use]
    pub fn retry_after_seconds(&self) -> Option<u64> {
        let wait = self.retry_after?;
        let seconds = wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0));
        Some(seconds.clamp(1, 86_400))
    }
}

impl From<ServiceError> for Fault {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::NoVisit => Self::new(FaultKind::NoSession),
            ServiceError::OutOfOrder { .. } => Self::new(FaultKind::OutOfOrder),
            ServiceError::NotVerified => Self::new(FaultKind::NotVerified),
            ServiceError::UnknownHandle { of } => Self::with(
                FaultKind::UnknownHandle,
                format!("no {of} of this session has that handle"),
            ),
            ServiceError::Policy { reasons } => Self::with(FaultKind::PasswordRefused, reasons.join("; ")),
            ServiceError::UsedBefore => Self::new(FaultKind::PasswordUsedBefore),
            ServiceError::ForeignProposal => Self::with(
                FaultKind::UnknownHandle,
                "the password was proposed for other accounts, or before the caller was verified anew",
            ),
            ServiceError::NoAccounts => Self::new(FaultKind::NoAccounts),
            ServiceError::IdempotencyConflict => Self::new(FaultKind::KeyReused),
            ServiceError::NotBegun => Self::new(FaultKind::NotBegun),
            ServiceError::InProgress | ServiceError::Busy => Self::new(FaultKind::InProgress),
            ServiceError::TooMany { what } => Self::with(
                FaultKind::TooManyTries,
                format!("too many {what} in one session; begin another one"),
            ),
            ServiceError::Superseded | ServiceError::Closing => Self::new(FaultKind::Busy),
            ServiceError::Store(error) if error.is_transient() => {
                tracing::warn!(%error, "the database is slow; a client of the API has to wait");
                Self::new(FaultKind::Busy)
            }
            error => {
                tracing::error!(error = &error as &dyn std::error::Error, "a call of the API has failed");
                Self::new(FaultKind::Internal)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_stable_and_told_apart() {
        let slugs: HashSet<_> = FaultKind::ALL.iter().map(|kind| kind.slug()).collect();
        assert_eq!(slugs.len(), FaultKind::ALL.len());
        assert!(
            slugs
                .iter()
                .all(|slug| slug.bytes().all(|b| b.is_ascii_lowercase() || b == b'-'))
        );
        assert!(FaultKind::ALL.iter().all(|kind| (400..600).contains(&kind.status())));
    }
}
