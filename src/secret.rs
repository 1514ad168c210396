//! Values that must never be printed, logged or left in memory.
//!
//! [`Secret`] holds text (a password, an answer, a credential): redacted in `Debug`, wiped on drop, without `Display`
//! and without `Serialize`. The only way to the text is [`Secret::expose`], which is easy to find in a review.
//! Key presses have their own type, [`crate::digit::Digits`]. Personal data that may be shown in part (telephone
//! numbers, mail addresses) goes through [`masked`].

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

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
/// seven or more, or five or more that stand alone; and seven or more in groups, as people write them, also in escapes of
/// URIs (`%35`). `sip-15551234567-7@pbx1` becomes `sip-***********-7@pbx1`; most identifiers of random letters and digits
/// stay as they are. So do addresses where a host stands, behind `@`, or IPv4 alone: `1.55.59.87@pbx1` may be a number.
#[must_use]
pub fn with_numbers_masked(text: &str) -> String {
    let open = match text.rsplit_once('@') {
        Some((local, host)) if is_address(host) => local.len(),
        None if text.parse::<Ipv4Addr>().is_ok() => 0,
        _ => text.len(),
    };
    let mut shown = String::with_capacity(text.len());
    let (mut rest, host) = text.split_at(open);
    let mut before = None;
    while let Some((first, length)) = first_character(rest) {
        if !first.is_ascii_digit() {
            shown += &rest[..length];
            (rest, before) = (&rest[length..], Some(first));
            continue;
        }
        let (digits, length) = number_at_start(rest);
        let (number, after) = rest.split_at(length);
        let is_word = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let stands_alone = !is_word(before) && !is_word(first_character(after).map(|(c, _)| c));
        if digits < 5 || digits < 7 && !stands_alone {
            shown += number;
        } else if number.contains('%') {
            // The last two characters of escapes tell nothing.
            shown.extend(number.chars().map(|_| '*'));
        } else {
            shown += &masked(number);
        }
        (rest, before) = (after, Some(first));
    }
    shown + host
}

/// The address of a host, with or without a port.
fn is_address(host: &str) -> bool {
    let in_brackets = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    host.parse::<IpAddr>().is_ok()
        || host.parse::<SocketAddr>().is_ok()
        || in_brackets.is_some_and(|host| host.parse::<Ipv6Addr>().is_ok())
}

/// The first character, or what an escape stands for, and how many bytes it takes.
fn first_character(text: &str) -> Option<(char, usize)> {
    if let [b'%', high, low, ..] = text.as_bytes() {
        let digit = |byte: &u8| {
            char::from(*byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        };
        if let (Some(high), Some(low)) = (digit(high), digit(low)) {
            return Some((char::from(16 * high + low), 3));
        }
    }
    text.chars().next().map(|c| (c, c.len_utf8()))
}

/// How many digits stand together at the start of `text`, with nothing between them but what people write between groups, and
/// the length of it all.
fn number_at_start(text: &str) -> (usize, usize) {
    // As in "(555) - 0100".
    const MAX_BETWEEN: usize = 4;
    let (mut digits, mut length) = (0, 0);
    let (mut at, mut between) = (0, 0);
    while let Some((c, size)) = first_character(&text[at..]) {
        at += size;
        match c {
            '0'..='9' => (digits, length, between) = (digits + 1, at, 0),
            '@' => break,
            ' ' | '!'..='~' if !c.is_ascii_alphabetic() && between < MAX_BETWEEN => between += 1,
            _ => break,
        }
    }
    (digits, length)
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
            // Not only hyphens, dots and lines stand between groups.
            ("555/987/1234@h", "**********34@h"),
            ("+1(555)9871234", "+***********34"),
            ("(555) - 987 1234@h", "(*************34@h"),
            ("5:5:5:9:8:7:1", "***********:1"),
            // Escapes of digits, of what stands between them, and of escapes.
            ("%35%35%35%39%38%37%31@h", "*********************@h"),
            ("555%2d987%2D12%334@h", "******************@h"),
            ("%2535%2535%2535%2535@h", "%25*****************@h"),
            ("%41%42%43%44%45@h", "%41%42%43%44%45@h"),
            ("100%@h%", "100%@h%"),
            // Addresses, and what only looks like one.
            ("1.55.59.87@h", "********87@h"),
            ("1.55.59.87@192.0.2.111", "********87@192.0.2.111"),
            ("192.0.2.111", "192.0.2.111"),
            ("a@192.0.2.111:5060", "a@192.0.2.111:5060"),
            ("a@2001:470:1234:5678::1", "a@2001:470:1234:5678::1"),
            ("a@[2001:470:1234:5678::1]", "a@[2001:470:1234:5678::1]"),
            ("2001:470:1234:5678::1", "*******************:1"),
            // Random letters stay readable.
            ("z9hG4bK-524287-1---a1b2c3d4e5f6", "z9hG4bK-******-1---a1b2c3d4e5f6"),
            ("MzA4/Yz+9kQ==.7f3e-41d2@h", "MzA4/Yz+9kQ==.7f3e-41d2@h"),
            ("Qx7.t3_9-Kp2~1@h", "Qx7.t3_9-Kp2~1@h"),
        ] {
            assert_eq!(with_numbers_masked(text), shown, "{text}");
        }
    }
}
