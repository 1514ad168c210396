//! Whether a password meets a policy, and what it lacks.

use std::fmt;

use zeroize::Zeroizing;

use super::person::likeness;
use super::{Dictionary, Person, Policy};
use crate::secret::Secret;

/// The four classes of characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Small letters.
    Lower,
    /// Capital letters.
    Upper,
    /// Digits 0 to 9.
    Digit,
    /// Neither letter nor digit.
    Symbol,
}

impl Class {
    /// All four.
    pub const ALL: [Self; 4] = [Self::Lower, Self::Upper, Self::Digit, Self::Symbol];

    /// The class of a character; `None` for letters of scripts without capitals.
    #[must_use]
    pub fn of(c: char) -> Option<Self> {
        match c {
            '0'..='9' => Some(Self::Digit),
            c if c.is_lowercase() => Some(Self::Lower),
            c if c.is_uppercase() => Some(Self::Upper),
            c if c.is_alphabetic() => None,
            _ => Some(Self::Symbol),
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lower => "small letters",
            Self::Upper => "capital letters",
            Self::Digit => "digits",
            Self::Symbol => "symbols",
        })
    }
}

/// What a password lacks, in words for the person who chose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Violation {
    /// Too short.
    #[error("the password needs at least {min} characters")]
    TooShort {
        /// Fewest.
        min: u16,
    },
    /// Too long.
    #[error("the password may have at most {max} characters")]
    TooLong {
        /// Most.
        max: u16,
    },
    /// Too few of a class.
    #[error("the password needs {class}, at least {min}")]
    TooFew {
        /// The class.
        class: Class,
        /// Fewest.
        min: u16,
    },
    /// Too few classes.
    #[error("the password needs {min} of: small letters, capital letters, digits, symbols")]
    TooFewClasses {
        /// Fewest.
        min: u8,
    },
    /// Not a character for this system.
    #[error("the password has a character in it that is not accepted here")]
    Character,
    /// One character again and again.
    #[error("the password may have the same character at most {max} times in a row")]
    Repeat {
        /// Most.
        max: u16,
    },
    /// As on the keyboard or in the alphabet.
    #[error("the password may have at most {max} characters in a row as they stand in the alphabet or on the keyboard")]
    Sequence {
        /// Most.
        max: u16,
    },
    /// Known about the user.
    #[error("the password may not contain your name, login or employee number, also not backwards or disguised")]
    UserData,
    /// Known to everybody.
    #[error("the password is on the list of those that are guessed first")]
    Dictionary,
}

impl Policy {
    /// Everything that `password` lacks, empty if it is good.
    #[must_use]
    pub fn check(&self, password: &Secret, person: &Person, dictionary: &dyn Dictionary) -> Vec<Violation> {
        let text = password.expose();
        if text.len() > 4 * usize::from(Self::MAX_LENGTH) {
            return vec![Violation::TooLong { max: self.max_length }];
        }
        let chars = Zeroizing::new(text.chars().collect::<Vec<char>>());
        let likeness = Zeroizing::new(likeness(text));
        let mut violations = self.composition(&chars);
        let mut add = |wrong: bool, violation| violations.extend(wrong.then_some(violation));

        if let Some(max) = self.max_repeat {
            add(longest_repeat(&chars) > usize::from(max), Violation::Repeat { max });
        }
        if let Some(max) = self.max_sequence {
            add(longest_sequence(&chars) > usize::from(max), Violation::Sequence { max });
        }
        add(self.forbid_user_data && person.is_in(&likeness), Violation::UserData);
        add(
            self.forbid_dictionary && dictionary.contains(&likeness),
            Violation::Dictionary,
        );
        violations
    }

    fn composition(&self, chars: &[char]) -> Vec<Violation> {
        let mut violations = Vec::new();
        let mut add = |wrong: bool, violation| violations.extend(wrong.then_some(violation));
        let (min, max) = (self.min_length, self.max_length);
        add(chars.len() < usize::from(min), Violation::TooShort { min });
        add(chars.len() > usize::from(max), Violation::TooLong { max });
        add(!chars.iter().all(|&c| self.accepts(c)), Violation::Character);

        let count = |class| chars.iter().filter(|&&c| Class::of(c) == Some(class)).count();
        for class in Class::ALL {
            let min = self.min_of(class);
            add(count(class) < usize::from(min), Violation::TooFew { class, min });
        }
        let classes = Class::ALL.into_iter().filter(|&class| count(class) > 0).count();
        let min = self.min_classes;
        add(classes < usize::from(min), Violation::TooFewClasses { min });
        violations
    }

    /// Fewest characters of a class.
    #[must_use]
    pub fn min_of(&self, class: Class) -> u16 {
        match class {
            Class::Lower => self.min_lower,
            Class::Upper => self.min_upper,
            Class::Digit => self.min_digits,
            Class::Symbol => self.min_symbols,
        }
    }

    /// Whether a character may be in a password at all.
    fn accepts(&self, c: char) -> bool {
        match c {
            c if c.is_ascii_alphanumeric() => true,
            c if c.is_ascii() => self.symbols.contains(c),
            c => !self.ascii_only && !c.is_control(),
        }
    }
}

fn longest_repeat(chars: &[char]) -> usize {
    let runs = chars.chunk_by(|a, b| a == b);
    runs.map(<[char]>::len).max().unwrap_or(0)
}

/// Alphabet, digits, and the rows of the keyboard, in both directions.
fn longest_sequence(chars: &[char]) -> usize {
    const ROWS: [&str; 5] = [
        "abcdefghijklmnopqrstuvwxyz",
        "0123456789",
        "qwertyuiop",
        "asdfghjkl",
        "zxcvbnm",
    ];
    let place = |row: &str, c: &char| row.find(c.to_ascii_lowercase()).and_then(|at| i32::try_from(at).ok());
    let steps = |row, step: i32| {
        let follows = move |a: &char, b: &char| match (place(row, a), place(row, b)) {
            (Some(a), Some(b)) => b - a == step,
            _ => false,
        };
        chars.chunk_by(follows).map(<[char]>::len).max().unwrap_or(0)
    };
    ROWS.into_iter()
        .flat_map(|row| [steps(row, 1), steps(row, -1)])
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::super::{NoDictionary, Symbols, WordList};
    use super::*;

    /// Nothing forbidden but what the test says.
    fn open() -> Policy {
        Policy {
            min_length: 1,
            max_length: 64,
            forbid_user_data: false,
            forbid_dictionary: false,
            ..Policy::nist()
        }
    }

    fn check(policy: &Policy, password: &str) -> Vec<Violation> {
        policy.check(&Secret::new(password.into()), &Person::default(), &NoDictionary)
    }

    #[test]
    fn length_counts_characters_and_both_ends_are_allowed() {
        let policy = Policy {
            min_length: 4,
            max_length: 6,
            ..open()
        };
        assert_eq!(check(&policy, "äöü"), [Violation::TooShort { min: 4 }]);
        assert_eq!(check(&policy, "äöüß"), []);
        assert_eq!(check(&policy, "äöüßäö"), []);
        assert_eq!(check(&policy, "äöüßäöü"), [Violation::TooLong { max: 6 }]);
        assert_eq!(check(&policy, &"x".repeat(5000)), [Violation::TooLong { max: 6 }]);
    }

    #[test]
    fn each_class_has_its_own_minimum() {
        let cases = [
            (Class::Lower, "AB12+-c", "AB12+-cd"),
            (Class::Upper, "ab12+-C", "ab12+-CD"),
            (Class::Digit, "abAB+-1", "abAB+-12"),
            (Class::Symbol, "abAB12+", "abAB12+-"),
        ];
        for (class, short, enough) in cases {
            let mut policy = open();
            match class {
                Class::Lower => policy.min_lower = 2,
                Class::Upper => policy.min_upper = 2,
                Class::Digit => policy.min_digits = 2,
                Class::Symbol => policy.min_symbols = 2,
            }
            assert_eq!(check(&policy, short), [Violation::TooFew { class, min: 2 }]);
            assert_eq!(check(&policy, enough), []);
        }
    }

    #[test]
    fn classes_are_counted_and_letters_without_case_are_none() {
        let policy = Policy {
            min_classes: 3,
            ..open()
        };
        assert_eq!(check(&policy, "aB"), [Violation::TooFewClasses { min: 3 }]);
        assert_eq!(check(&policy, "aB漢"), [Violation::TooFewClasses { min: 3 }]);
        assert_eq!(check(&policy, "aB1"), []);
        assert_eq!(check(&policy, "a1 "), []);
    }

    #[test]
    fn only_accepted_characters_are_accepted() {
        let policy = Policy {
            symbols: "+-".parse::<Symbols>().unwrap(),
            ascii_only: true,
            ..open()
        };
        assert_eq!(check(&policy, "a+-Z9"), []);
        for password in ["a*", "a b", "aä", "a\n", "a\0"] {
            assert_eq!(check(&policy, password), [Violation::Character], "{password:?}");
        }
        assert_eq!(check(&open(), "a\u{85}"), [Violation::Character]);
    }

    #[test]
    fn repeats_are_allowed_up_to_their_limit() {
        let policy = Policy {
            max_repeat: Some(2),
            ..open()
        };
        assert_eq!(check(&policy, "aabbaa"), []);
        assert_eq!(check(&policy, "aabbb"), [Violation::Repeat { max: 2 }]);
    }

    #[test]
    fn sequences_are_allowed_up_to_their_limit() {
        let policy = Policy {
            max_sequence: Some(3),
            ..open()
        };
        for good in ["abc", "cba", "123x4", "qwe", "abc-def", "ace", "aba", "890"] {
            assert_eq!(check(&policy, good), [], "{good}");
        }
        for bad in ["abcd", "dCbA", "x1234", "9876", "qwer", "fdsa", "mnbv"] {
            assert_eq!(check(&policy, bad), [Violation::Sequence { max: 3 }], "{bad}");
        }
    }

    #[test]
    fn user_data_and_dictionary_are_refused_where_the_policy_says_so() {
        let person = Person::new(["smith01"]);
        let words = WordList::new(["correcthorse"]);
        let check = |policy: &Policy, text: &str| policy.check(&Secret::new(text.into()), &person, &words);
        assert_eq!(check(&Policy::nist(), "--5M1TH01-------"), [Violation::UserData]);
        assert_eq!(check(&open(), "--5M1TH01-------"), []);
        let short = Policy {
            min_length: 8,
            ..Policy::nist()
        };
        assert_eq!(check(&short, "C0rrectHor$e"), [Violation::Dictionary]);
        assert_eq!(check(&open(), "C0rrectHor$e"), []);
    }

    #[test]
    fn all_reasons_are_given_at_once_in_words() {
        let reasons: Vec<String> = check(&Policy::classic(), "aaa")
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(
            reasons,
            [
                "the password needs at least 10 characters",
                "the password needs capital letters, at least 1",
                "the password needs digits, at least 1",
                "the password needs 3 of: small letters, capital letters, digits, symbols",
                "the password may have the same character at most 2 times in a row",
            ]
        );
    }

    #[test]
    fn presets_hold_at_their_boundaries() {
        assert_eq!(check(&Policy::nist(), "correct horse b"), []);
        assert_eq!(
            check(&Policy::nist(), "correct horse "),
            [Violation::TooShort { min: 15 }]
        );
        assert_eq!(check(&Policy::nist(), &"ab".repeat(32)), []);
        assert_eq!(check(&Policy::classic(), "aBxd3fgxij"), []);
        assert_eq!(
            check(&Policy::classic(), "aBxd3fgxi"),
            [Violation::TooShort { min: 10 }]
        );
    }
}
