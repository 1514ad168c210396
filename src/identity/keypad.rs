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

/// The key that carries `c`, already folded; `None` for anything but a basic Latin letter or digit.
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
        .flat_map(Folded::of)
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn login(text: &str) -> Option<String> {
        KeypadId::from_login(text).map(|id| id.as_str().to_owned())
    }

    fn number(text: &str) -> Option<String> {
        KeypadId::from_number(text).map(|id| id.as_str().to_owned())
    }

    #[test]
    fn every_letter_has_the_key_it_is_printed_on() {
        let keys: String = ('a'..='z').filter_map(key_of).map(Digit::as_char).collect();
        assert_eq!(keys, "22233344455566677778889999");
        assert!(('0'..='9').all(|c| key_of(c) == Digit::from_char(c)));
        assert!(['*', '#', ' ', 'ä', '１'].into_iter().all(|c| key_of(c).is_none()));
    }

    #[test]
    fn logins_are_keyed_as_people_see_them() {
        for (text, keys) in [
            ("smith01", "7648401"),
            ("poguh01", "7648401"),
            ("O'Hare", "64273"),
            ("Müller", "685537"),
            ("Mu\u{308}ller", "685537"),
            ("Strauß", "7872877"),
            ("STRAUẞ", "7872877"),
            ("Łukasz", "585279"),
            ("Ægir", "23447"),
            ("Bjørn", "25676"),
            ("İpek", "4735"),
            ("Ðorđe", "36733"),
            ("ﬁona", "34662"),
            ("ＡＢＣ１", "2221"),
            ("#st*ar.", "7827"),
            ("CORP\\jsmith", "576484"),
            ("jsmith@corp.example", "576484"),
            ("A\\B\\jsmith@x@corp.example", "5764849"),
        ] {
            assert_eq!(login(text).as_deref(), Some(keys), "{text}");
        }
    }

    #[test]
    fn what_has_no_key_is_no_id() {
        for text in ["", "---", "@corp.example", "CORP\\", "Юлия", "漢字"] {
            assert_eq!(login(text), None, "{text}");
        }
    }

    #[test]
    fn numbers_keep_their_zeros_and_lose_their_punctuation() {
        assert_eq!(number("00-47 11").as_deref(), Some("004711"));
        assert_ne!(number("0815"), number("815"));
        assert_eq!(number("E4711"), None);
        assert_eq!(number(""), None);
    }

    #[test]
    fn the_longest_id_is_64_digits() {
        assert!(login(&"a".repeat(64)).is_some());
        assert_eq!(login(&"a".repeat(65)), None);
    }

    #[test]
    fn a_keyed_entry_matches_login_and_number_alike() {
        let keyed = |keys| KeypadId::from_keys(&Digits::parse(keys).unwrap());
        assert_eq!(keyed("64*273"), KeypadId::from_login("O'Hare"));
        assert_eq!(keyed("4711#"), KeypadId::from_number("4711"));
        assert_eq!(keyed("*#A"), None);
        assert_eq!(format!("{:?}", keyed("4711")), "Some([keypad id])");
    }

    proptest! {
        #[test]
        fn any_login_maps_to_digits_within_bounds(text in "\\PC{0,80}") {
            if let Some(keys) = login(&text) {
                prop_assert!(!keys.is_empty() && keys.len() <= KeypadId::MAX_LEN);
                prop_assert!(keys.bytes().all(|b| b.is_ascii_digit()));
                prop_assert_eq!(login(&keys), Some(keys));
            }
        }

        #[test]
        fn case_marks_and_punctuation_do_not_matter(text in "[a-zA-Z0-9]{1,20}") {
            let dressed: String = text.chars().flat_map(|c| [c, '\u{301}', '-']).collect();
            prop_assert_eq!(login(&text), login(&text.to_uppercase()));
            prop_assert_eq!(login(&text), login(&dressed));
        }

        #[test]
        fn spelling_takes_no_more_room_than_was_set_aside(text in "\\PC{0,40}") {
            prop_assert!(spell(&text).capacity() <= text.len().saturating_mul(2).max(8));
        }
    }
}
