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

/// Hides what may be a telephone number inside a text that is something else, a Call-ID or a host name: digits in a row,
/// seven or more, or five or more that stand alone; and seven or more in groups, as people write them. Addresses (IPv4) stay.
/// `sip-15551234567-7@pbx1` becomes `sip-***********-7@pbx1`; most identifiers of random letters and digits stay as they are.
#[must_use]
pub fn with_numbers_masked(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    let mut before = None;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let (between, from) = rest.split_at(start);
        shown += between;
        before = between.chars().next_back().or(before);
        let (group, after) = from.split_at(length_of_groups(from));
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let stands_alone = !is_word(before) && !is_word(after.chars().next());
        let digits = group.bytes().filter(u8::is_ascii_digit).count();
        if group.parse::<std::net::Ipv4Addr>().is_ok() || digits < 5 || digits < 7 && !stands_alone {
            shown += group;
        } else {
            shown += &masked(group);
        }
        before = group.chars().next_back();
        rest = after;
    }
    shown + rest
}

/// Digits, and more of them behind single separators.
fn length_of_groups(text: &str) -> usize {
    let bytes = text.as_bytes();
    let mut end = 0;
    loop {
        end += bytes[end..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let is_separated = bytes.get(end).is_some_and(|byte| b"-._".contains(byte));
        if !(is_separated && bytes.get(end + 1).is_some_and(u8::is_ascii_digit)) {
            return end;
        }
        end += 1;
    }
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

    #[test]
    fn numbers_inside_identifiers_are_masked() {
        for (text, shown) in [
            ("sip-15551234567-7@pbx1", "sip-***********-7@pbx1"),
            ("+15551234567@192.0.2.10", "+*********67@192.0.2.10"),
            ("n15551234567x", "n*********67x"),
            ("555-000-4711@h", "**********11@h"),
            ("555.000.4711@h", "**********11@h"),
            ("5550_0047-11@h", "**********11@h"),
            ("12345@a", "***45@a"),
            ("12345", "***45"),
            ("1-12345@127.0.0.1", "*****45@127.0.0.1"),
            ("a84b4c76e66710@pc33.example.com", "a84b4c76e66710@pc33.example.com"),
            (
                "0b3f2f0e-54a1-4c12-9f0d-1234ab567890",
                "0b3f2f0e-54a1-4c12-9f0d-1234ab567890",
            ),
            ("é1234567é", "é*****67é"),
            ("", ""),
        ] {
            assert_eq!(with_numbers_masked(text), shown, "{text}");
        }
    }
}
