//! Keys of a telephone keypad, and what a caller keyed.
//!
//! A caller's digits are secret from the wire on: they may be an answer or a PIN, and nobody below the dialplan can
//! tell. [`Digits`] is therefore redacted in `Debug` and wiped on drop; only code that must look calls
//! [`Digits::expose`].

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// One key. The discriminants are the event codes of RFC 4733 section 3.2, table 3.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
#[repr(u8)]
#[allow(missing_docs, reason = "the names say it all")]
pub enum Digit {
    #[default]
    D0 = 0,
    D1 = 1,
    D2 = 2,
    D3 = 3,
    D4 = 4,
    D5 = 5,
    D6 = 6,
    D7 = 7,
    D8 = 8,
    D9 = 9,
    Star = 10,
    Pound = 11,
    A = 12,
    B = 13,
    C = 14,
    D = 15,
}

impl Digit {
    /// Every key, in the order of its event code.
    pub const ALL: [Self; 16] = [
        Self::D0,
        Self::D1,
        Self::D2,
        Self::D3,
        Self::D4,
        Self::D5,
        Self::D6,
        Self::D7,
        Self::D8,
        Self::D9,
        Self::Star,
        Self::Pound,
        Self::A,
        Self::B,
        Self::C,
        Self::D,
    ];

    /// The key for an RFC 4733 event code; codes above 15 are not keys.
    #[must_use]
    pub fn from_event(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }

    /// The RFC 4733 event code, 0 to 15.
    #[must_use]
    pub fn event(self) -> u8 {
        self as u8
    }

    /// The key written as `0`-`9`, `*`, `#`, `A`-`D` (either case).
    #[must_use]
    pub fn from_char(c: char) -> Option<Self> {
        "0123456789*#ABCD"
            .find(c.to_ascii_uppercase())
            .and_then(|index| Self::ALL.get(index).copied())
    }

    /// The key as it is printed on the keypad.
    #[must_use]
    pub fn as_char(self) -> char {
        char::from(b"0123456789*#ABCD"[self as usize])
    }

    /// The value of a number key.
    #[must_use]
    pub fn value(self) -> Option<u8> {
        (self.event() < 10).then(|| self.event())
    }
}

/// A key may be part of an answer: it does not print itself.
impl fmt::Debug for Digit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[key]")
    }
}

impl Zeroize for Digit {
    fn zeroize(&mut self) {
        *self = Self::D0;
    }
}

/// A sequence of keys that a caller pressed.
#[derive(Clone, Default, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Digits(Vec<Digit>);

impl Digits {
    /// More keys than this in one entry are never kept; bounds memory against a caller who leans on the keypad.
    pub const MAX_LEN: usize = 64;

    /// An empty entry, with room for the longest one so that no copy is left behind by growth.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::with_capacity(Self::MAX_LEN))
    }

    /// Parses `0`-`9`, `*`, `#`, `A`-`D`; `None` if there is any other character or the entry is too long.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() > Self::MAX_LEN {
            return None;
        }
        let mut digits = Self::new();
        for c in text.chars() {
            digits.0.push(Digit::from_char(c)?);
        }
        Some(digits)
    }

    /// Appends a key; keys beyond [`Self::MAX_LEN`] are dropped.
    pub fn push(&mut self, digit: Digit) {
        if self.0.len() < Self::MAX_LEN {
            self.0.push(digit);
        }
    }

    /// Wipes the entry and makes it empty.
    pub fn clear(&mut self) {
        self.0.iter_mut().zeroize();
        self.0.clear();
    }

    /// How many keys.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was keyed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The keys themselves. Every call is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &[Digit] {
        &self.0
    }

    /// The keys as text, in a type as careful as this one.
    #[must_use]
    pub fn to_secret(&self) -> crate::secret::Secret {
        let mut text = String::with_capacity(self.0.len());
        text.extend(self.0.iter().map(|digit| digit.as_char()));
        crate::secret::Secret::new(text)
    }
}

impl fmt::Debug for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[keys]")
    }
}

impl FromIterator<Digit> for Digits {
    fn from_iter<I: IntoIterator<Item = Digit>>(keys: I) -> Self {
        let mut digits = Self::new();
        keys.into_iter().for_each(|key| digits.push(key));
        digits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_and_event_codes_round_trip() {
        for digit in Digit::ALL {
            assert_eq!(Digit::from_char(digit.as_char()), Some(digit));
            assert_eq!(Digit::from_event(digit.event()), Some(digit));
        }
        assert_eq!(Digit::from_char('b'), Some(Digit::B));
        assert_eq!(Digit::from_char('x'), None);
        assert_eq!(Digit::from_event(16), None);
    }

    #[test]
    fn debug_never_shows_keys() {
        let digits = Digits::parse("4711#").expect("valid keys");
        assert_eq!(
            format!("{digits:?} {:?}", digits.expose()),
            "[keys] [[key], [key], [key], [key], [key]]"
        );
    }

    #[test]
    fn an_entry_is_bounded() {
        let digits: Digits = std::iter::repeat_n(Digit::D5, 500).collect();
        assert_eq!(digits.len(), Digits::MAX_LEN);
        assert_eq!(Digits::parse(&"1".repeat(65)), None);
    }
}
