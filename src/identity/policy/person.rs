//! What may not be in a password because it is known: data of the user, words of the dictionary.
//!
//! Compared in their *likeness*: small letters, marks dropped, and what looks alike made one (`0` and `o`, `$` and
//! `s`), so that `P4$$w0rd` is the word that everybody sees in it.

use std::collections::{HashMap, HashSet};

use super::super::keypad;
use super::super::user::User;

/// Words about the user of a password, in their likeness.
#[derive(Clone, Default)]
pub struct Person {
    words: Vec<String>,
}

/// Names are personal data, and what is forbidden narrows what is likely.
impl std::fmt::Debug for Person {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Person {{ words: {} }}", self.words.len())
    }
}

impl Person {
    /// Shorter words are in every other password by chance. Active Directory draws the line here, too.
    pub const MIN_WORD: usize = 3;

    /// The words in `texts`: each text split at what is neither letter nor digit, and each text whole.
    #[must_use]
    pub fn new<'a>(texts: impl IntoIterator<Item = &'a str>) -> Self {
        let mut words: Vec<String> = Vec::new();
        for text in texts {
            let parts = text.split(|c: char| !c.is_alphanumeric()).chain([text]);
            words.extend(
                parts
                    .map(likeness)
                    .filter(|word| word.chars().count() >= Self::MIN_WORD),
            );
        }
        words.sort();
        words.dedup();
        Self { words }
    }

    /// Login without its domain, names, numbers.
    #[must_use]
    pub fn of(user: &User) -> Self {
        let login = keypad::without_domain(user.login.as_str());
        let numbers = user.employee_number.iter().chain(&user.other_numbers);
        let numbers = numbers.map(|number| number.as_str());
        Self::new([login, &user.display_name].into_iter().chain(numbers))
    }

    /// Whether a word stands in `password` (given in its likeness), forwards or backwards.
    pub(super) fn is_in(&self, password: &str) -> bool {
        self.patterns().any(|pattern| password.contains(&pattern))
    }

    /// Every word, and every word backwards.
    pub(in super::super) fn patterns(&self) -> impl Iterator<Item = String> + '_ {
        let backwards = |word: &String| word.chars().rev().collect();
        self.words.iter().cloned().chain(self.words.iter().map(backwards))
    }
}

/// Passwords that everybody tries first. Holds whole passwords in their *likeness*: small letters, marks dropped, look-alikes made one.
pub trait Dictionary {
    /// Whether this password, given in its likeness, is in it.
    fn contains(&self, likeness: &str) -> bool;

    /// Those with this many characters, each in its likeness; they lower the stated entropy of generated ones.
    fn of_length(&self, length: usize) -> Box<dyn Iterator<Item = &str> + '_>;
}

/// An empty dictionary.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoDictionary;

impl Dictionary for NoDictionary {
    fn contains(&self, _likeness: &str) -> bool {
        false
    }

    fn of_length(&self, _length: usize) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(std::iter::empty())
    }
}

/// Passwords that people chose most often, the shipped part of every dictionary.
const COMMON: &str = include_str!("../../../data/common-passwords.txt");

/// A dictionary in memory: by the number of characters.
#[derive(Clone, Default)]
pub struct WordList(HashMap<usize, HashSet<String>>);

impl WordList {
    /// From passwords as they are written, one an item.
    #[must_use]
    pub fn new<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut list = Self::default();
        list.add(words);
        list
    }

    /// The passwords that everybody tries first, as they are shipped.
    #[must_use]
    pub fn common() -> Self {
        Self::new(Self::lines(COMMON))
    }

    /// The words in a text, one a line; empty lines and those that begin with `# ` are none.
    pub fn lines(text: &str) -> impl Iterator<Item = &str> {
        text.lines().filter(|line| !line.starts_with("# "))
    }

    /// More of them.
    pub fn add<'a>(&mut self, words: impl IntoIterator<Item = &'a str>) {
        for word in words.into_iter().map(|word| likeness(word.trim())) {
            if !word.is_empty() {
                self.0.entry(word.chars().count()).or_default().insert(word);
            }
        }
    }

    /// How many words it has.
    #[must_use]
    pub fn size(&self) -> usize {
        self.0.values().map(HashSet::len).sum()
    }
}

impl std::fmt::Debug for WordList {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WordList {{ size: {} }}", self.size())
    }
}

impl Dictionary for WordList {
    fn contains(&self, likeness: &str) -> bool {
        let words = self.0.get(&likeness.chars().count());
        words.is_some_and(|words| words.contains(likeness))
    }

    fn of_length(&self, length: usize) -> Box<dyn Iterator<Item = &str> + '_> {
        Box::new(self.0.get(&length).into_iter().flatten().map(String::as_str))
    }
}

/// `text` with everything made one that looks alike. One character for each of ASCII.
pub(in super::super) fn likeness(text: &str) -> String {
    // Room for all of it: the text may be a password, and growing would leave copies behind.
    let mut likeness = String::with_capacity(text.len().saturating_mul(2));
    likeness.extend(keypad::fold(text).map(|c| match c {
        '1' | '!' | '|' | 'l' => 'i',
        '0' => 'o',
        '3' => 'e',
        '4' | '@' => 'a',
        '5' | '$' => 's',
        '7' | '+' => 't',
        '8' => 'b',
        '9' => 'g',
        '2' => 'z',
        _ => c,
    }));
    likeness
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_found_disguised_and_backwards() {
        let person = Person::new(["j.müller", "Jürgen Müller-Lüdenscheidt", "004711"]);
        for password in [
            "xMueller",
            "xx-MULLER-xx",
            "xx-re11um",
            "mu||er99",
            "jurg3n",
            "x004711x",
            "aa117400",
        ] {
            let expected = password != "xMueller";
            assert_eq!(person.is_in(&likeness(password)), expected, "{password}");
        }
    }

    #[test]
    fn words_of_two_letters_do_not_count_those_of_three_do() {
        assert!(!Person::new(["Al"]).is_in(&likeness("xxalxx")));
        assert!(Person::new(["Ann"]).is_in(&likeness("xxannxx")));
    }

    #[test]
    fn the_dictionary_sees_through_disguise() {
        let list = WordList::new(["password", "  letmein\n", ""]);
        assert!(list.contains(&likeness("P4$$w0rd")) && list.contains(&likeness("L3TM31N")));
        assert!(!list.contains(&likeness("password2")));
        assert_eq!(list.size(), 2);
        assert_eq!(list.of_length(8).collect::<Vec<_>>(), ["password"]);
    }

    #[test]
    fn what_everybody_tries_first_is_shipped() {
        let common = WordList::common();
        assert!(common.size() > 25_000, "{common:?}");
        for password in ["password", "P4$$w0rd", "Qwerty123", "iloveyou", "LetMeIn", "12345678"] {
            assert!(common.contains(&likeness(password)), "{password}");
        }
        for other in ["# Passwords that everybody tries first", "kx7mq2vn", ""] {
            assert!(!common.contains(&likeness(other)), "{other}");
        }
    }

    #[test]
    fn words_of_the_company_are_added_line_by_line() {
        let mut list = WordList::new(["password"]);
        list.add(WordList::lines("# Ours.\nContoso2026\n\n  Bahnhofstrasse\n#1team\n"));
        assert_eq!(list.size(), 4);
        assert!(list.contains(&likeness("c0nt0s02026")) && list.contains(&likeness("#1team")));
    }
}
