//! The letters on a telephone keypad (ITU-T E.161, option of clause 3.2 used world-wide: PQRS on 7, WXYZ on 9), and
//! the ID that a person keys.
//!
//! ```text
//!   1      2 abc  3 def        CORP\j.müller@corp.example -> jmuller -> 5685537
//!   4 ghi  5 jkl  6 mno        O'Hare                     -> ohare   -> 64273
//!   7 pqrs 8 tuv  9 wxyz       smith01, poguh01           ->            7648401 (a collision: see P7)
//! ```
//!
//! Digits stay themselves, letters fold to their base letter, everything else is skipped. Scripts without Latin
//! letters have no keys on most telephones: such a login has no keypad form, and its owner keys the employee number.

use std::fmt;

use unicode_normalization::UnicodeNormalization as _;
use unicode_normalization::char::is_combining_mark;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::digit::{Digit, Digits};

/// Digits by which a caller can name a user: the indexed column that an entry is looked up in.
///
/// Redacted in `Debug`: a caller may have keyed a PIN where an ID was asked for.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Zeroize, ZeroizeOnDrop)]
pub struct KeypadId(String);

impl KeypadId {
    /// The longest ID that can be keyed.
    pub const MAX_LEN: usize = Digits::MAX_LEN;

    /// The keypad form of a login ID, without its domain (`CORP\` in front, `@corp.example` behind). `None` if no
    /// character has a key, or the form is longer than [`Self::MAX_LEN`].
    #[must_use]
    pub fn from_login(login: &str) -> Option<Self> {
        Self::checked(spell(without_domain(login)))
    }

    /// A numeric ID such as an employee number, `00-4711` becoming `004711`. `None` if there is a letter in it (that
    /// is a login), no digit, or too many. Leading zeros count: `0815` and `815` are two people.
    #[must_use]
    pub fn from_number(number: &str) -> Option<Self> {
        if number.chars().any(char::is_alphabetic) {
            return None;
        }
        Self::checked(spell(number))
    }

    /// What a caller keyed. Star, pound and A to D are skipped, as people press them for punctuation. `None` if
    /// nothing is left.
    #[must_use]
    pub fn from_keys(keys: &Digits) -> Option<Self> {
        Self::checked(number_keys(keys))
    }

    /// The digits, to look up or to store.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn checked(digits: String) -> Option<Self> {
        (1..=Self::MAX_LEN).contains(&digits.len()).then_some(Self(digits))
    }
}

impl fmt::Debug for KeypadId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[keypad id]")
    }
}

/// The key that carries `c`, after folding (see [`fold`]); `None` for anything but a basic Latin letter or digit.
#[must_use]
pub fn key_of(c: char) -> Option<Digit> {
    let key = match c.to_ascii_lowercase() {
        '0'..='9' => c,
        'a'..='c' => '2',
        'd'..='f' => '3',
        'g'..='i' => '4',
        'j'..='l' => '5',
        'm'..='o' => '6',
        'p'..='s' => '7',
        't'..='v' => '8',
        'w'..='z' => '9',
        _ => return None,
    };
    Digit::from_char(key)
}

/// The digits that spell `text` on a keypad; characters without a key are skipped. At most twice as long as `text`
/// has bytes.
pub(super) fn spell(text: &str) -> String {
    // Room for all of it: text may be an answer, and growing would leave copies behind.
    let mut digits = String::with_capacity(text.len().saturating_mul(2));
    digits.extend(fold(text).filter_map(key_of).map(Digit::as_char));
    digits
}

/// Number keys only, as text.
pub(super) fn number_keys(keys: &Digits) -> String {
    let mut text = String::with_capacity(Digits::MAX_LEN);
    text.extend(
        keys.expose()
            .iter()
            .filter(|key| key.value().is_some())
            .map(|key| key.as_char()),
    );
    text
}

/// Lower case, compatibility forms taken apart (NFKD), marks dropped, the Latin letters that Unicode does not take
/// apart written with basic ones.
///
/// German umlauts become their base letter (`ü` -> `u`), as people key what they see; ß becomes ss.
pub(super) fn fold(text: &str) -> impl Iterator<Item = char> + '_ {
    text.nfkd()
        .flat_map(char::to_lowercase)
        .nfkd()
        .filter(|&c| !is_combining_mark(c))
        .flat_map(|c| Folded::of(c))
}

/// One or two letters for one.
enum Folded {
    Char(char),
    Letters(std::str::Chars<'static>),
}

impl Folded {
    fn of(c: char) -> Self {
        let letters = match c {
            'ß' => "ss",
            'æ' => "ae",
            'œ' => "oe",
            'þ' => "th",
            'ŋ' => "ng",
            'ø' => "o",
            'ł' => "l",
            'đ' | 'ð' | 'ɖ' => "d",
            'ħ' => "h",
            'ŧ' => "t",
            'ı' => "i",
            'ĸ' => "k",
            'ə' => "e",
            _ => return Self::Char(c),
        };
        Self::Letters(letters.chars())
    }
}

impl Iterator for Folded {
    type Item = char;

    fn next(&mut self) -> Option<char> {
        match self {
            Self::Letters(letters) => letters.next(),
            Self::Char(c) => {
                let c = *c;
                *self = Self::Letters("".chars());
                Some(c)
            }
        }
    }
}

/// The name itself of `DOMAIN\name` or `name@domain`.
pub(super) fn without_domain(login: &str) -> &str {
    let name = login.rsplit_once('\\').map_or(login, |(_, name)| name);
    name.rsplit_once('@').map_or(name, |(name, _)| name)
}
