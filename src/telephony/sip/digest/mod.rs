//! Digest authentication, both sides (RFC 7616, RFC 8760, RFC 3261 section 22).
//!
//! Server: a nonce carries its time, hidden, and a MAC over time, trunk, realm and an identity of its own, so that nothing is stored
//! until somebody has proved a password; from then on `nc` must rise. Challenges are offered as SHA-256, then MD5, each in a
//! field of its own, with `qop=auth`. An unknown name costs the same work as a known one.
//!
//! Client: answers the strongest challenge that it understands.
//!
//! Left out on purpose: `auth-int` (a proxy that changes the body would break it; refused with a new challenge),
//! `-sess` algorithms, and challenges without `qop` on the server side.

mod client;
mod server;

#[cfg(test)]
mod tests;

pub use client::{Credentials, answer};
pub use server::{Challenger, Protection, Refused, Users};

use std::fmt::Write as _;

use md5::Md5;
use sha2::{Digest as _, Sha256};

use crate::secret::Secret;

/// A hash function of digest authentication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// RFC 8760.
    Sha256,
    /// RFC 2617; what most peers still speak.
    Md5,
}

impl Algorithm {
    /// As in the `algorithm` parameter.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    fn from_param(text: Option<&str>) -> Option<Self> {
        match text {
            None => Some(Self::Md5),
            Some(text) => [Self::Sha256, Self::Md5]
                .into_iter()
                .find(|algorithm| text.eq_ignore_ascii_case(algorithm.as_str())),
        }
    }

    fn hash(self, parts: &[&str]) -> String {
        let joined = Secret::new(parts.join(":"));
        match self {
            Self::Sha256 => hex(&Sha256::digest(joined.expose())),
            Self::Md5 => hex(&Md5::digest(joined.expose())),
        }
    }
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}
