//! Values that must never be printed, logged or left in memory.
//!
//! [`Secret`] holds text (a password, an answer, a credential): redacted in `Debug`, wiped on drop, without `Display`
//! and without `Serialize`. The only way to the text is [`Secret::expose`], which is easy to find in a review.
//! Key presses have their own type, [`crate::digit::Digits`]. Personal data that may be shown in part (telephone
//! numbers, mail addresses) goes through [`masked`].

use std::fmt;

use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Text that is redacted wherever it is printed and wiped from memory when dropped.
#[derive(Clone, Default, Zeroize, ZeroizeOnDrop)]
pub struct Secret(String);

impl Secret {
    /// Takes ownership of `text`; the caller must not keep a copy.
    #[must_use]
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself. Every call is a place to look at in a review.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is any text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::new(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// Compares in a time that depends only on the lengths.
impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl Eq for Secret {}

/// A secret in a configuration file; it can be read but never written back.
impl<'de> serde::Deserialize<'de> for Secret {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// Shows only the last two characters of a telephone number or similar: `+15551234567` becomes `**********67`.
/// Values of four characters or fewer are hidden whole.
#[must_use]
pub fn masked(text: &str) -> String {
    let count = text.chars().count();
    let shown = if count > 4 { 2 } else { 0 };
    text.chars()
        .enumerate()
        .map(|(index, c)| if index + shown < count { '*' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_never_shows_the_text() {
        let secret = Secret::new("hunter2".into());
        assert_eq!(
            format!("{secret:?} {:#?}", Some(&secret)),
            "[secret] Some(\n    [secret],\n)"
        );
    }

    #[test]
    fn masking_keeps_two_characters_of_long_values_and_none_of_short_ones() {
        assert_eq!(masked("+15551234567"), "**********67");
        assert_eq!(masked("1234"), "****");
        assert_eq!(masked(""), "");
    }
}
