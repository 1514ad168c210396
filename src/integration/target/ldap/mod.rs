//! Directories that speak LDAP: Active Directory, and every other.
//!
//! One connection per operation, always encrypted: `ldaps://`, or `ldap://` with StartTLS before anything else is said.
//! A new connection costs a few milliseconds; a kept one would break at the worst moment, when a request is out, and leave
//! an outcome unknown that need not be.
//!
//! ```text
//!  Target ── ActiveDirectory ─┐                        ┌─ Session (one connection, signed in as Passline)
//!         ── Directory ───────┴─▶ Servers: which one? ─┴─ a sign-in as somebody else, to try a password
//! ```

mod active_directory;
mod codes;
mod directory;
mod own;
mod ppolicy;
mod reply;
mod servers;

use thiserror::Error;

pub use active_directory::{ActiveDirectory, ActiveDirectoryConfig, Near};
pub use directory::{Directory, DirectoryConfig, PasswordMethod};
pub use servers::ServersConfig;
pub(in crate::integration) use servers::{Entries, NoServer, Sent, Servers, Session, remedy, shown, value};

/// A text that is no filter in parentheses (RFC 4515).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be a filter in parentheses (RFC 4515), such as \"(objectClass=person)\"")]
pub struct FilterError;

/// Whether a text is a filter that can be joined with others.
///
/// # Errors
/// [`FilterError`].
pub fn check_filter(text: &str) -> Result<(), FilterError> {
    let is_one = text.starts_with('(') && ldap3::parse_filter(text).is_ok();
    is_one.then_some(()).ok_or(FilterError)
}
