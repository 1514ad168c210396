//! Peppers: keys that live outside the database.
//!
//! An answer of four digits has ten thousand values; argon2 alone would hold a stolen database for minutes. The
//! pepper is what makes the database worthless without the key file, so the two must not share a backup.
//!
//! Answers remember the number of their pepper, so a pepper can be rotated: add a new one, keep the old one until
//! every answer was given once more (each right answer is hashed anew). What must look the same to callers from year
//! to year (decoys, lockout keys, the choice of questions) hangs on the *eldest* pepper, so adding one changes nothing.
//!
//! The key file is that of [`crate::key_file`].

use std::fmt;

use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::CryptoRng;
use sha2::Sha256;

use crate::key_file::{self, Key, KeyFileError};
use crate::secret::Secret;

/// Number of a pepper, 1 and up; stored with each answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PepperId(pub u32);

/// One key of 32 bytes: as long as the output of the hash (RFC 2104 section 3).
#[derive(Clone)]
pub struct Pepper(Key);

impl Pepper {
    /// A key that is already known.
    #[must_use]
    pub fn new(id: PepperId, key: [u8; Key::LEN]) -> Self {
        Self(Key::new(id.0, key))
    }

    /// A fresh key.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(id: PepperId, rng: &mut R) -> Self {
        Self(Key::generate(id.0, rng))
    }

    /// Its number.
    #[must_use]
    pub fn id(&self) -> PepperId {
        PepperId(self.0.number())
    }

    /// Its line in the key file, without the line end.
    #[must_use]
    pub fn to_line(&self) -> Secret {
        self.0.to_line()
    }

    /// HMAC-SHA256 (RFC 2104) under this key. `purpose` keeps uses apart; each part is preceded by its length, so
    /// that moving a byte from one part to the next gives another tag.
    pub(super) fn mac(&self, purpose: &str, parts: &[&[u8]]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.expose()).expect("HMAC takes keys of any length");
        for part in std::iter::once(&purpose.as_bytes()).chain(parts) {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Pepper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pepper {{ id: {}, key: [secret] }}", self.0.number())
    }
}

/// All peppers in use, one of them current. Never empty.
#[derive(Clone, Debug)]
pub struct Peppers {
    /// By rising number.
    ring: Vec<Pepper>,
}

impl Peppers {
    /// A ring of one.
    #[must_use]
    pub fn single(pepper: Pepper) -> Self {
        Self { ring: vec![pepper] }
    }

    /// A ring of several, in any order.
    ///
    /// # Errors
    /// When there is none, or two have one number.
    pub fn new(ring: Vec<Pepper>) -> Result<Self, KeyFileError> {
        let ring = key_file::ring(ring.into_iter().map(|pepper| pepper.0).collect())?;
        Ok(Self {
            ring: ring.into_iter().map(Pepper).collect(),
        })
    }

    /// Reads the text of a key file ([`crate::key_file`]).
    ///
    /// # Errors
    /// Names the line, never what is in it.
    pub fn parse(text: &Secret) -> Result<Self, KeyFileError> {
        let ring = key_file::parse(text)?;
        Ok(Self {
            ring: ring.into_iter().map(Pepper).collect(),
        })
    }

    /// The one that new answers are hashed with.
    #[must_use]
    pub fn current(&self) -> &Pepper {
        self.ring.last().expect("a ring is never empty")
    }

    /// The one that everything hangs on which callers must not see change.
    pub(super) fn eldest(&self) -> &Pepper {
        self.ring.first().expect("a ring is never empty")
    }

    /// What shows whether `parts` are the same as before, and nothing else of them. The same from year to year.
    #[must_use]
    pub fn fingerprint(&self, purpose: &str, parts: &[&[u8]]) -> String {
        let tag = self.eldest().mac(purpose, parts);
        tag[..16].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// A key that can be made again from `parts`, by whoever has the pepper and all of them.
    #[must_use]
    pub fn derived_key(&self, purpose: &str, parts: &[&[u8]]) -> Key {
        Key::new(1, self.eldest().mac(purpose, parts))
    }

    /// The one with this number.
    #[must_use]
    pub fn find(&self, id: PepperId) -> Option<&Pepper> {
        self.ring.iter().find(|pepper| pepper.id() == id)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn parse(text: &str) -> Result<Peppers, KeyFileError> {
        Peppers::parse(&Secret::new(text.into()))
    }

    #[test]
    fn a_key_file_is_read_and_the_highest_number_is_current() {
        let peppers = parse(&format!(
            "# keep apart from the database\n\n2 {KEY} # 2026\r\n1\t{KEY}\n"
        ))
        .unwrap();
        assert_eq!(peppers.current().id(), PepperId(2));
        assert_eq!(peppers.eldest().id(), PepperId(1));
        assert!(peppers.find(PepperId(1)).is_some() && peppers.find(PepperId(3)).is_none());
    }

    #[test]
    fn a_generated_pepper_survives_its_line() {
        let pepper = Pepper::generate(PepperId(3), &mut StdRng::seed_from_u64(1));
        let again = Peppers::parse(&pepper.to_line()).unwrap();
        assert_eq!(again.current().mac("x", &[b"y"]), pepper.mac("x", &[b"y"]));
    }

    #[test]
    fn the_mac_is_rfc_2104_and_keeps_parts_and_purposes_apart() {
        let pepper = Pepper::new(PepperId(1), [11; 32]);
        let tag = pepper.mac("p", &[b"ab", b"c"]);
        // Computed by Python's hmac over the same encoding.
        let hex: String = tag.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "05d7967b4ad601ae912aaf4152fad4dd5cf87629e6cfd03100c8210c708b12e8");
        assert_ne!(tag, pepper.mac("p", &[b"a", b"bc"]));
        assert_ne!(tag, pepper.mac("p", &[b"ab", b"c", b""]));
        assert_ne!(tag, pepper.mac("q", &[b"ab", b"c"]));
        assert_ne!(tag, Pepper::new(PepperId(1), [12; 32]).mac("p", &[b"ab", b"c"]));
    }

    #[test]
    fn debug_never_shows_a_key() {
        let text = format!("{:?}", Peppers::single(Pepper::new(PepperId(1), [171; 32])));
        assert!(
            text.contains("[secret]") && !text.contains("171") && !text.contains("ab"),
            "{text}"
        );
    }
}
