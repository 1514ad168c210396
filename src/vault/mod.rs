//! Credentials of target systems at rest: envelope encryption.
//!
//! Each credential has a data key of its own. The data key is encrypted with a key-encryption key that is not in the
//! database ([`crate::key_file`]); to change that one, only data keys are encrypted anew. Both layers are
//! XChaCha20-Poly1305 (RFC 8439 with the 192-bit nonce of draft-irtf-cfrg-xchacha-03: random nonces never meet). What a
//! credential is for is authenticated with it, so a row that was changed, or moved to another target, does not open.

use std::fmt;

use chacha20poly1305::aead::{Aead as _, KeyInit as _, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand::CryptoRng;
use zeroize::Zeroizing;

use crate::key_file::{self, Key, KeyFileError};
use crate::secret::Secret;

/// Bytes of a nonce.
const NONCE: usize = 24;

/// The key-encryption keys in use, one of them current. Never empty.
#[derive(Clone, Debug)]
pub struct KeyRing(Vec<Key>);

impl KeyRing {
    /// A ring of these keys, in any order.
    ///
    /// # Errors
    /// When there is none, or two have one number.
    pub fn new(keys: Vec<Key>) -> Result<Self, KeyFileError> {
        key_file::ring(keys).map(Self)
    }

    /// Reads the text of a key file.
    ///
    /// # Errors
    /// Names the line, never what is in it.
    pub fn parse(text: &Secret) -> Result<Self, KeyFileError> {
        key_file::parse(text).map(Self)
    }

    /// The one that everything new is sealed with.
    #[must_use]
    pub fn current(&self) -> &Key {
        self.0.last().expect("a ring is never empty")
    }

    /// The numbers, rising.
    pub fn numbers(&self) -> impl Iterator<Item = u32> {
        self.0.iter().map(Key::number)
    }

    fn find(&self, number: u32) -> Result<&Key, OpenError> {
        let mut keys = self.0.iter();
        keys.find(|key| key.number() == number)
            .ok_or(OpenError::NoKey { number })
    }
}

/// A credential as it is stored.
#[derive(Clone, PartialEq, Eq)]
pub struct Sealed {
    /// Number of the key-encryption key.
    pub key: u32,
    /// Nonce and encrypted data key.
    pub data_key: Vec<u8>,
    /// Nonce and encrypted credential.
    pub text: Vec<u8>,
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealed").field("key", &self.key).finish_non_exhaustive()
    }
}

/// Why a credential cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum OpenError {
    /// The key that it was sealed with is not in the ring.
    #[error(
        "it was sealed with key {number}, which is not among the keys; restore their file, or enter the password again"
    )]
    NoKey {
        /// The number.
        number: u32,
    },
    /// It was changed, moved from another place, or sealed with another key of that number.
    #[error("it was changed, or the key of that number is another one; enter the password again")]
    Tampered,
}

/// Seals a credential for `place`, such as the name of a target.
pub fn seal<R: CryptoRng + ?Sized>(ring: &KeyRing, place: &str, credential: &Secret, rng: &mut R) -> Sealed {
    let data_key = Key::generate(1, rng);
    let key = ring.current();
    Sealed {
        key: key.number(),
        data_key: encrypt(key, &about_data_key(place, key.number()), data_key.expose(), rng),
        text: encrypt(&data_key, &about_text(place), credential.expose().as_bytes(), rng),
    }
}

/// Opens a credential that was sealed for `place`.
///
/// # Errors
/// [`OpenError`].
pub fn open(ring: &KeyRing, place: &str, sealed: &Sealed) -> Result<Secret, OpenError> {
    let data_key = open_data_key(ring, place, sealed)?;
    open_under(&data_key, place, &sealed.text)
}

/// The same credential with its data key under the current key.
///
/// # Errors
/// [`OpenError`].
pub fn rewrap<R: CryptoRng + ?Sized>(
    ring: &KeyRing,
    place: &str,
    sealed: &Sealed,
    rng: &mut R,
) -> Result<Sealed, OpenError> {
    // A row whose text does not open must not look healthy under a new key.
    open(ring, place, sealed)?;
    let data_key = open_data_key(ring, place, sealed)?;
    let key = ring.current();
    Ok(Sealed {
        key: key.number(),
        data_key: encrypt(key, &about_data_key(place, key.number()), data_key.expose(), rng),
        text: sealed.text.clone(),
    })
}

/// Seals a text under a key of its own, for `place`. Whoever has the key needs nothing else.
pub fn seal_under<R: CryptoRng + ?Sized>(key: &Key, place: &str, text: &Secret, rng: &mut R) -> Vec<u8> {
    encrypt(key, &about_text(place), text.expose().as_bytes(), rng)
}

/// Opens what [`seal_under`] has sealed.
///
/// # Errors
/// [`OpenError::Tampered`].
pub fn open_under(key: &Key, place: &str, sealed: &[u8]) -> Result<Secret, OpenError> {
    let mut text = decrypt(key, &about_text(place), sealed)?;
    let text = String::from_utf8(std::mem::take(&mut *text)).map_err(|_| OpenError::Tampered)?;
    Ok(Secret::new(text))
}

fn open_data_key(ring: &KeyRing, place: &str, sealed: &Sealed) -> Result<Key, OpenError> {
    let key = ring.find(sealed.key)?;
    let bytes = decrypt(key, &about_data_key(place, sealed.key), &sealed.data_key)?;
    let bytes = bytes.as_slice().try_into().map_err(|_| OpenError::Tampered)?;
    Ok(Key::new(1, bytes))
}

/// What is authenticated beside the text. The name of a place comes last, so it cannot be taken for anything else.
fn about_text(place: &str) -> Vec<u8> {
    [b"passline credential 1 text ".as_slice(), place.as_bytes()].concat()
}

fn about_data_key(place: &str, number: u32) -> Vec<u8> {
    [
        b"passline credential 1 key ".as_slice(),
        &number.to_be_bytes(),
        place.as_bytes(),
    ]
    .concat()
}

fn encrypt<R: CryptoRng + ?Sized>(key: &Key, about: &[u8], text: &[u8], rng: &mut R) -> Vec<u8> {
    let mut nonce = [0; NONCE];
    rng.fill_bytes(&mut nonce);
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    let payload = Payload { msg: text, aad: about };
    let encrypted = cipher.encrypt(&XNonce::from(nonce), payload);
    let encrypted = encrypted.expect("fails only for texts of 256 GiB (RFC 8439 section 2.8)");
    [nonce.as_slice(), &encrypted].concat()
}

fn decrypt(key: &Key, about: &[u8], bytes: &[u8]) -> Result<Zeroizing<Vec<u8>>, OpenError> {
    let (nonce, encrypted) = bytes.split_first_chunk::<NONCE>().ok_or(OpenError::Tampered)?;
    let cipher = XChaCha20Poly1305::new(key.expose().into());
    let payload = Payload {
        msg: encrypted,
        aad: about,
    };
    let decrypted = cipher.decrypt(&XNonce::from(*nonce), payload);
    decrypted.map(Zeroizing::new).map_err(|_| OpenError::Tampered)
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn ring(numbers: &[u32]) -> KeyRing {
        let keys = numbers
            .iter()
            .map(|&number| Key::new(number, [number as u8; 32]))
            .collect();
        KeyRing::new(keys).expect("distinct numbers")
    }

    fn sealed(ring: &KeyRing) -> Sealed {
        seal(
            ring,
            "corp",
            &Secret::new("Svc-Pass-123".into()),
            &mut StdRng::seed_from_u64(1),
        )
    }

    #[test]
    fn what_was_sealed_opens_with_its_key_and_for_its_place_alone() {
        let sealed = sealed(&ring(&[1]));
        let opened = open(&ring(&[1, 2]), "corp", &sealed).expect("the key is there");
        assert_eq!(opened.expose(), "Svc-Pass-123");
        assert_eq!(open(&ring(&[1]), "mail", &sealed), Err(OpenError::Tampered));
        assert_eq!(open(&ring(&[2]), "corp", &sealed), Err(OpenError::NoKey { number: 1 }));
        let other = KeyRing::new(vec![Key::new(1, [9; 32])]).expect("one");
        assert_eq!(open(&other, "corp", &sealed), Err(OpenError::Tampered));
    }

    #[test]
    fn a_change_of_any_byte_is_noticed() {
        let (ring, good) = (ring(&[1]), sealed(&ring(&[1])));
        for at in 0..good.data_key.len() {
            let mut bad = good.clone();
            bad.data_key[at] ^= 1;
            assert_eq!(
                open(&ring, "corp", &bad),
                Err(OpenError::Tampered),
                "data key, byte {at}"
            );
        }
        for at in 0..good.text.len() {
            let mut bad = good.clone();
            bad.text[at] ^= 1;
            assert_eq!(open(&ring, "corp", &bad), Err(OpenError::Tampered), "text, byte {at}");
        }
        for length in 0..good.text.len() {
            let bad = Sealed {
                text: good.text[..length].to_vec(),
                ..good.clone()
            };
            assert_eq!(
                open(&ring, "corp", &bad),
                Err(OpenError::Tampered),
                "text of {length} bytes"
            );
        }
    }

    #[test]
    fn parts_of_two_rows_do_not_go_together() {
        let ring = ring(&[1]);
        let mut rng = StdRng::seed_from_u64(2);
        let one = seal(&ring, "corp", &Secret::new("one".into()), &mut rng);
        let two = seal(&ring, "corp", &Secret::new("two".into()), &mut rng);
        let mixed = Sealed { text: two.text, ..one };
        assert_eq!(open(&ring, "corp", &mixed), Err(OpenError::Tampered));
    }

    #[test]
    fn rewrapping_needs_the_old_key_once() {
        let old = sealed(&ring(&[1]));
        let mut rng = StdRng::seed_from_u64(3);
        let new = rewrap(&ring(&[1, 2]), "corp", &old, &mut rng).expect("both keys are there");
        assert_eq!(new.key, 2);
        assert_eq!(
            open(&ring(&[2]), "corp", &new).expect("the new key is enough").expose(),
            "Svc-Pass-123"
        );
        assert_eq!(
            rewrap(&ring(&[2]), "corp", &old, &mut rng),
            Err(OpenError::NoKey { number: 1 })
        );
    }

    #[test]
    fn nothing_of_a_credential_is_seen() {
        let sealed = sealed(&ring(&[1]));
        assert!(!sealed.text.windows(4).any(|window| window == b"Pass"));
        assert_eq!(format!("{sealed:?}"), "Sealed { key: 1, .. }");
    }
}
