//! Passwords of clients of the web API as they are kept.
//!
//! ```text
//!  tag  = HMAC-SHA256(pepper, "api password" | client | password)
//!  kept = $argon2id$v=19$m=19456,t=2,p=1,keyid=<pepper number>$<random salt>$argon2id(tag, salt)
//! ```
//!
//! A client that does not exist takes as long as one that does: the same work is done for nothing.

use std::fmt;

use rand::CryptoRng;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::answer_hash::AnswerHasher;
use super::keyed_hash::{HashError, SALT_LEN, argon2id, phc};
use super::pepper::Pepper;
use crate::secret::Secret;

/// The hash of a client's password, in PHC string format.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientSecretHash(String);

impl ClientSecretHash {
    /// From the database; looked at when it is used.
    #[must_use]
    pub fn from_stored(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string, for the database.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientSecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[client secret hash]")
    }
}

impl AnswerHasher {
    /// Hashes a client's password for keeping.
    ///
    /// # Errors
    /// [`HashError::OutOfMemory`].
    pub fn hash_client_secret<R: CryptoRng + ?Sized>(
        &self,
        client: &str,
        secret: &Secret,
        rng: &mut R,
    ) -> Result<ClientSecretHash, HashError> {
        let hasher = self.keyed();
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        let pepper = hasher.peppers().current();
        let params = hasher.params(pepper.id())?;
        let hash = argon2id(&params, &tag(pepper, client, secret), &salt)?;
        phc(&params, &salt, &hash).map(ClientSecretHash)
    }

    /// Whether it is the password that is kept; never, if none is.
    ///
    /// # Errors
    /// All but [`HashError::Config`], after the same work; the door takes each for a wrong password and tells the operator.
    pub fn is_client_secret(
        &self,
        client: &str,
        kept: Option<&ClientSecretHash>,
        secret: &Secret,
    ) -> Result<bool, HashError> {
        let hasher = self.keyed();
        let opened = kept.map(|kept| hasher.open(&kept.0)).transpose();
        if let Ok(Some(kept)) = opened {
            let hash = argon2id(&kept.params, &tag(kept.pepper, client, secret), &kept.salt)?;
            return Ok(hash.ct_eq(&kept.hash).into());
        }
        let pepper = hasher.peppers().current();
        let tag = tag(pepper, client, secret);
        argon2id(&hasher.params(pepper.id())?, &tag, &tag[..SALT_LEN])?;
        opened.map(|_| false)
    }
}

fn tag(pepper: &Pepper, client: &str, secret: &Secret) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(pepper.mac("api password", &[client.as_bytes(), secret.expose().as_bytes()]))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::super::keyed_hash::HashConfig;
    use super::super::pepper::{PepperId, Peppers};
    use super::*;

    fn hasher(peppers: &[u32]) -> AnswerHasher {
        let config = HashConfig {
            memory_kib: 8,
            passes: 1,
        };
        let pepper = |&number: &u32| Pepper::new(PepperId(number), [u8::try_from(number).unwrap(); 32]);
        AnswerHasher::new(config, Peppers::new(peppers.iter().map(pepper).collect()).unwrap()).unwrap()
    }

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    #[test]
    fn the_password_of_one_client_is_not_that_of_another() {
        let hasher = hasher(&[1]);
        let kept = hasher
            .hash_client_secret("ivr", &secret("correct horse"), &mut StdRng::seed_from_u64(1))
            .unwrap();
        let is = |client, text: &str| hasher.is_client_secret(client, Some(&kept), &secret(text)).unwrap();
        assert!(is("ivr", "correct horse"));
        assert!(!is("ivr", "correct hors") && !is("ivr", "") && !is("ivr2", "correct horse"));
        assert!(!hasher.is_client_secret("ivr", None, &secret("correct horse")).unwrap());
        assert!(kept.as_str().starts_with("$argon2id$"));
    }

    #[test]
    fn a_hash_survives_a_new_pepper_and_not_the_loss_of_its_own() {
        let kept = hasher(&[1])
            .hash_client_secret("ivr", &secret("x"), &mut StdRng::seed_from_u64(1))
            .unwrap();
        let is = |peppers: &[u32]| hasher(peppers).is_client_secret("ivr", Some(&kept), &secret("x"));
        assert_eq!(is(&[1, 2]), Ok(true));
        assert!(matches!(is(&[2]), Err(HashError::PepperMissing { .. })));
        let broken = ClientSecretHash::from_stored("$argon2id$nonsense".to_owned());
        let read = hasher(&[1]).is_client_secret("ivr", Some(&broken), &secret("x"));
        assert_eq!(read, Err(HashError::Malformed));
    }
}
