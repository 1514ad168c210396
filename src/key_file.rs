//! Keys that live outside the database: a text with one numbered key a line, `number base64`; `#` starts a comment. The
//! highest number is the current one, the others are kept for what was made with them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rand::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::secret::Secret;

/// One key of 32 bytes with its number, 1 and up.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct Key {
    #[zeroize(skip)]
    number: u32,
    bytes: [u8; Self::LEN],
}

impl Key {
    /// Length in bytes.
    pub const LEN: usize = 32;

    /// A key that is already known.
    #[must_use]
    pub fn new(number: u32, bytes: [u8; Self::LEN]) -> Self {
        Self { number, bytes }
    }

    /// A fresh key.
    #[must_use]
    pub fn generate<R: CryptoRng + ?Sized>(number: u32, rng: &mut R) -> Self {
        let mut key = Self::new(number, [0; Self::LEN]);
        rng.fill_bytes(&mut key.bytes);
        key
    }

    /// Its number.
    #[must_use]
    pub fn number(&self) -> u32 {
        self.number
    }

    /// The key itself. Every call is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &[u8; Self::LEN] {
        &self.bytes
    }

    /// Its line, without the line end.
    #[must_use]
    pub fn to_line(&self) -> Secret {
        let encoded = Zeroizing::new(STANDARD.encode(self.bytes));
        Secret::new(format!("{} {}", self.number, *encoded))
    }

    fn from_line(line: &str) -> Option<Self> {
        let (number, key) = line.split_once(char::is_whitespace)?;
        let number = number.parse().ok().filter(|&number| number > 0)?;
        let bytes = Zeroizing::new(STANDARD.decode(key.trim()).ok()?);
        let mut key = Self::new(number, [0; Self::LEN]);
        (bytes.len() == Self::LEN).then(|| key.bytes.copy_from_slice(&bytes))?;
        Some(key)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key {{ number: {}, bytes: [secret] }}", self.number)
    }
}

/// What is wrong with such a text. Its keys are not repeated.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum KeyFileError {
    /// No key at all.
    #[error("no key; it needs a line such as `1 <32 bytes in base64>`")]
    Missing,
    /// A line that cannot be read.
    #[error("line {line} is not `<number from 1> <32 bytes in base64>`")]
    Malformed {
        /// Counted from 1.
        line: usize,
    },
    /// Two with one number.
    #[error("key {number} is there twice")]
    Duplicate {
        /// The number.
        number: u32,
    },
}

/// Reads the text of a key file: at least one key, by rising number.
///
/// # Errors
/// Names the line, never what is in it.
pub fn parse(text: &Secret) -> Result<Vec<Key>, KeyFileError> {
    let mut keys = Vec::new();
    for (index, line) in text.expose().lines().enumerate() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if !line.is_empty() {
            keys.push(Key::from_line(line).ok_or(KeyFileError::Malformed { line: index + 1 })?);
        }
    }
    ring(keys)
}

/// Keys in any order as a ring: by rising number, at least one, each number once.
///
/// # Errors
/// [`KeyFileError::Missing`], [`KeyFileError::Duplicate`].
pub fn ring(mut keys: Vec<Key>) -> Result<Vec<Key>, KeyFileError> {
    keys.sort_by_key(Key::number);
    if let Some(pair) = keys.windows(2).find(|pair| pair[0].number == pair[1].number) {
        return Err(KeyFileError::Duplicate { number: pair[0].number });
    }
    if keys.is_empty() {
        Err(KeyFileError::Missing)
    } else {
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

    fn numbers(text: &str) -> Result<Vec<u32>, KeyFileError> {
        parse(&Secret::new(text.into())).map(|keys| keys.iter().map(Key::number).collect())
    }

    #[test]
    fn keys_are_read_by_rising_number() {
        let text = format!("# keep apart from the database\n\n2 {KEY} # 2026\r\n1\t{KEY}\n");
        assert_eq!(numbers(&text), Ok(vec![1, 2]));
    }

    #[test]
    fn what_is_wrong_is_said_by_line_and_without_the_key() {
        assert_eq!(numbers("# nothing\n"), Err(KeyFileError::Missing));
        assert_eq!(
            numbers(&format!("1 {KEY}\n1 {KEY}")),
            Err(KeyFileError::Duplicate { number: 1 })
        );
        for bad in [
            format!("0 {KEY}"),
            format!("x {KEY}"),
            KEY.into(),
            "1 AAEC".into(),
            "1 ?".into(),
        ] {
            assert_eq!(
                numbers(&format!("\n{bad}")),
                Err(KeyFileError::Malformed { line: 2 }),
                "{bad}"
            );
        }
    }

    #[test]
    fn a_generated_key_survives_its_line() {
        let key = Key::generate(3, &mut StdRng::seed_from_u64(1));
        let again = parse(&key.to_line()).expect("its own line");
        assert_eq!((again[0].number(), again[0].expose()), (3, key.expose()));
    }

    #[test]
    fn debug_never_shows_a_key() {
        let text = format!("{:?}", Key::new(1, [171; 32]));
        assert!(
            text.contains("[secret]") && !text.contains("171") && !text.contains("ab"),
            "{text}"
        );
    }
}
