//! Target systems: where passwords live. One file per kind of system, one trait.
//!
//! A [`Target`] is asked by `service`, which decides who may and gives each call its own deadline; a target decides
//! nothing. It says what it can do ([`Capabilities`]), does one thing per call, and is exact about failure
//! ([`TargetError`]): *refused* and *unreachable* mean that nothing happened, *unknown* means that it may have.
//!
//! A call may be dropped at any moment (deadline, hang-up, shutdown). What had been sent by then may still take effect:
//! the caller treats a dropped call as *unknown*.

use std::fmt;
use std::pin::Pin;

use crate::identity::policy::Policy;
use crate::secret::Secret;

pub mod command;
pub mod embedded;
mod error;
#[cfg(test)]
pub(crate) mod faulty;
pub mod ldap;
pub mod rest;
pub mod sql;
pub mod ssh;
mod tls;

pub use error::{Refusal, TargetError};
pub use tls::TlsError;

/// The answer of a target, some time from now.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, TargetError>> + Send + 'a>>;

/// What a kind of target can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// Try a password without changing anything but the count of failed tries.
    pub verify: bool,
    /// Set a password without the old one.
    pub reset: bool,
    /// Change a password with the old one, as its owner may; that of Passline's own account as well.
    pub change: bool,
    /// Demand a new password at the next sign-in.
    pub expire: bool,
    /// Clear a lock that too many failed tries have set.
    pub unlock: bool,
    /// Say whether an account is locked, disabled or expired.
    pub lock_state: bool,
    /// Enable and disable accounts.
    pub enable: bool,
    /// List its accounts.
    pub list_accounts: bool,
    /// Publish its rules for passwords.
    pub policy: bool,
}

/// What a target answers when a password is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is the password.
    Accepted,
    /// It is the password, and a new one is demanded at the next sign-in.
    AcceptedMustChange,
    /// It is not the password.
    Rejected,
    /// The account is locked or disabled, and the target does not say whether the password is right.
    Barred,
}

impl Verdict {
    /// Whether the password is right; `None` when the target does not say.
    #[must_use]
    pub fn is_right(self) -> Option<bool> {
        match self {
            Self::Accepted | Self::AcceptedMustChange => Some(true),
            Self::Rejected => Some(false),
            Self::Barred => None,
        }
    }
}

/// Whether a new password serves until the owner changes it, or for one sign-in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expiry {
    /// The password stays.
    Keep,
    /// The owner must choose another one at the next sign-in.
    AtNextSignIn,
}

/// A position in an account's history of passwords, in a form of the target's own (`pwdLastSet`, `pwdChangedTime`, a
/// counter).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordMarker(String);

impl PasswordMarker {
    /// What Active Directory shows of every password that must be changed, whichever it is.
    const EXPIRED: &str = "expired";

    /// How a position begins that says nothing by having stayed.
    const LAGGING: &str = "lagging ";

    /// A position.
    #[must_use]
    pub fn new(position: String) -> Self {
        Self(position)
    }

    /// The place of a password that must be changed, on a system that then hides which one it is.
    #[must_use]
    pub fn expired() -> Self {
        Self(Self::EXPIRED.to_owned())
    }

    /// A position that the system may show for a while after it has moved.
    #[must_use]
    pub fn lagging(position: String) -> Self {
        Self(format!("{}{position}", Self::LAGGING))
    }

    /// For the database.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the password was changed since it was at `before`; `None` when nobody can tell.
    #[must_use]
    pub fn has_moved_since(&self, before: &str) -> Option<bool> {
        match (before, self.0.as_str()) {
            (Self::EXPIRED, Self::EXPIRED) => None,
            (before, now) if before == now && now.starts_with(Self::LAGGING) => None,
            (before, now) => Some(before != now),
        }
    }
}

/// What a target says about an account; `None` is what it cannot say.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct AccountState {
    /// Locked by failed tries.
    pub locked: Option<bool>,
    /// Disabled by an administrator.
    pub disabled: Option<bool>,
    /// A new password is demanded at the next sign-in.
    pub must_change: Option<bool>,
    /// Which password is current.
    pub marker: Option<PasswordMarker>,
}

/// One finding of [`Target::test`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// What was tried.
    pub what: String,
    /// What is wrong and what to do about it; `None` when it works.
    pub problem: Option<String>,
}

impl Check {
    fn new(what: impl Into<String>, problem: Option<String>) -> Self {
        Self {
            what: what.into(),
            problem,
        }
    }
}

/// One system where passwords live. What it cannot do answers [`TargetError::Unsupported`].
pub trait Target: Send + Sync + 'static {
    /// The name that people know it by, and that accounts refer to.
    fn name(&self) -> &str;

    /// What it can do.
    fn capabilities(&self) -> Capabilities;

    /// Tries a password. A wrong one counts against the account as any failed sign-in does.
    fn verify<'a>(&'a self, _account: &'a str, _password: &'a Secret) -> Answer<'a, Verdict> {
        unsupported(self.name(), "verify a password")
    }

    /// Sets a password, its expiry with it, and clears a lock set by failed tries (a new password behind a lock helps
    /// nobody), in one step where the system can. Setting the same password twice is harmless: after *unknown* it may
    /// be repeated. Answers the expiry that holds, which is [`Expiry::Keep`] where the system cannot do otherwise.
    fn reset<'a>(&'a self, _account: &'a str, _password: &'a Secret, _expiry: Expiry) -> Answer<'a, Expiry> {
        unsupported(self.name(), "reset a password")
    }

    /// Changes a password as its owner does, with the old one: under every rule of the target, its history of passwords
    /// among them. A wrong old password counts against the account as any failed sign-in does.
    fn change_password<'a>(&'a self, _account: &'a str, _old: &'a Secret, _new: &'a Secret) -> Answer<'a, ()> {
        unsupported(self.name(), "change a password with the old one")
    }

    /// Tries a password of Passline's own account there, whichever it signs in with.
    fn try_own_password<'a>(&'a self, _password: &'a Secret) -> Answer<'a, Verdict> {
        unsupported(self.name(), "try a password of Passline's own")
    }

    /// Changes the password of Passline's own account there. What it signs in with stays as it was.
    fn change_own_password<'a>(&'a self, _old: &'a Secret, _new: &'a Secret) -> Answer<'a, ()> {
        unsupported(self.name(), "change Passline's own password")
    }

    /// Signs in with this password from now on, where a target can learn a new one while it works; others know it after a
    /// restart.
    fn take_own_password(&self, _password: Secret) {}

    /// Demands a new password at the next sign-in.
    fn expire<'a>(&'a self, _account: &'a str) -> Answer<'a, ()> {
        unsupported(self.name(), "expire a password")
    }

    /// Clears a lock set by failed tries; clearing none is no failure.
    fn unlock<'a>(&'a self, _account: &'a str) -> Answer<'a, ()> {
        unsupported(self.name(), "unlock an account")
    }

    /// Says what state an account is in.
    fn state<'a>(&'a self, _account: &'a str) -> Answer<'a, AccountState> {
        unsupported(self.name(), "tell the state of an account")
    }

    /// Enables an account.
    fn enable<'a>(&'a self, _account: &'a str) -> Answer<'a, ()> {
        unsupported(self.name(), "enable an account")
    }

    /// Disables an account.
    fn disable<'a>(&'a self, _account: &'a str) -> Answer<'a, ()> {
        unsupported(self.name(), "disable an account")
    }

    /// At most `limit` names of accounts behind `after`, in order; an empty list is the end.
    fn list_accounts<'a>(&'a self, _after: Option<&'a str>, _limit: usize) -> Answer<'a, Vec<String>> {
        unsupported(self.name(), "list accounts")
    }

    /// Tries what a change would need, on every server, without changing anything: with an account, its rights on that one
    /// as well.
    fn test<'a>(&'a self, _account: Option<&'a str>) -> Answer<'a, Vec<Check>> {
        unsupported(self.name(), "be tested")
    }

    /// The rules for passwords that apply to an account, as far as it publishes them.
    fn policy<'a>(&'a self, _account: &'a str) -> Answer<'a, Policy> {
        unsupported(self.name(), "tell its password policy")
    }
}

/// The answer of everything that a target does not override.
fn unsupported<'a, T: Send + 'a>(target: &str, operation: &'static str) -> Answer<'a, T> {
    let target = target.to_owned();
    Box::pin(std::future::ready(Err(TargetError::Unsupported { target, operation })))
}

impl fmt::Debug for dyn Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.name()).finish()
    }
}
