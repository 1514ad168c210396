//! What MariaDB and MySQL keep of a password, for the plugins whose hashes have no salt.
//!
//! Computed here, so that the server, and whoever reads its log, never sees the password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use curve25519_dalek::edwards::EdwardsPoint;
use sha1::{Digest as _, Sha1};
use sha2::Sha512;
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

use crate::secret::Secret;

/// How an account proves its password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Plugin {
    /// `*` and the SHA-1 of the SHA-1.
    Native,
    /// MariaDB's: a public key of Ed25519, of which the password is the secret one.
    Ed25519,
    /// MySQL's, salted: the server has to hash.
    CachingSha2,
    /// MySQL's older one, salted too.
    Sha256,
    /// Not a password of this server: `unix_socket`, `pam`, `gssapi` and others, or several of them.
    Other(String),
}

impl Plugin {
    /// By its name in the tables of the server.
    pub(super) fn of(name: &str) -> Self {
        match name {
            // Accounts of old servers have none.
            "" | "mysql_native_password" => Self::Native,
            "ed25519" => Self::Ed25519,
            "caching_sha2_password" => Self::CachingSha2,
            "sha256_password" => Self::Sha256,
            other => Self::Other(other.to_owned()),
        }
    }

    /// The hash of a password; `None` where only the server can make it.
    pub(super) fn hash(&self, password: &Secret) -> Option<Zeroizing<String>> {
        match self {
            Self::Native => Some(native(password)),
            Self::Ed25519 => Some(ed25519(password)),
            Self::CachingSha2 | Self::Sha256 | Self::Other(_) => None,
        }
    }

    /// Whether a password has this hash; `None` where only the server can tell.
    pub(super) fn matches(&self, password: &Secret, hash: &str) -> Option<bool> {
        let computed = self.hash(password)?;
        Some(computed.as_bytes().ct_eq(hash.as_bytes()).into())
    }
}

fn native(password: &Secret) -> Zeroizing<String> {
    let mut once = Sha1::digest(password.expose().as_bytes());
    let twice = Sha1::digest(once);
    once.as_mut_slice().zeroize();
    let mut text = Zeroizing::new(String::from("*"));
    for byte in twice {
        text.push_str(&format!("{byte:02X}"));
    }
    text
}

/// RFC 8032, 5.1.5, but for the secret: the SHA-512 of the password stands where that of a seed does.
fn ed25519(password: &Secret) -> Zeroizing<String> {
    let mut digest = Sha512::digest(password.expose().as_bytes());
    let mut scalar = Zeroizing::new([0; 32]);
    scalar.copy_from_slice(&digest[..32]);
    digest.as_mut_slice().zeroize();
    let key = EdwardsPoint::mul_base_clamped(*scalar).compress();
    Zeroizing::new(STANDARD_NO_PAD.encode(key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn hashes_are_those_that_the_server_makes() {
        // `select password('password')` and `select ed25519_password('secret')` on MariaDB 10.11.
        let native = Plugin::Native.hash(&secret("password"));
        assert_eq!(
            **native.as_ref().expect("a hash"),
            *"*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"
        );
        let key = Plugin::Ed25519.hash(&secret("secret"));
        assert_eq!(
            **key.as_ref().expect("a hash"),
            *"ZIgUREUg5PVgQ6LskhXmO+eZLS0nC8be6HPjYWR4YJY"
        );
    }

    #[test]
    fn only_the_right_password_has_the_hash() {
        let hash = "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19";
        assert_eq!(Plugin::Native.matches(&secret("password"), hash), Some(true));
        assert_eq!(Plugin::Native.matches(&secret("Password"), hash), Some(false));
        assert_eq!(Plugin::Native.matches(&secret("password"), ""), Some(false));
        assert_eq!(Plugin::CachingSha2.matches(&secret("password"), hash), None);
    }
}
