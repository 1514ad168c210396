//! The alphabet for ears: characters that neither sound nor look like another one of it.
//!
//! A telephone carries 300 to 3400 Hz. What tells "B" from "D" or "F" from "S" lies above, so of each group that
//! sounds alike one member stays. A caller writes down what they hear and types what they wrote, so the same holds
//! for what looks alike, and letters go whose small and capital forms differ in size only.
//!
//! | group | why | stays |
//! |---|---|---|
//! | B C D E G P T V Z 3 | rhyme on "ee" | D |
//! | A H J K 8 | begin with "ay" | H |
//! | F S X 6 | hiss | F |
//! | M N | hum | M |
//! | I Y 5 9 | rhyme on "eye"; radio operators say "niner" for this | 9 |
//! | Q U W 2 | rhyme on "oo" | 2 |
//! | O 0 | one word for both | none |
//! | L I 1 | look alike | none |
//! | C K O P S U V W X Z | small and capital differ in size only | none |
//! | R, 4, 7 | like nothing else that is left | all |
//!
//! Nobody needs a word for "small": a letter is small unless "capital" comes before it. Spelling words ("D as in
//! Delta") come on top of this. Symbols are used only as many as a policy wants, as each has a long name; those that
//! everybody knows by one name come first (`#` is not among them: pound, hash, number sign).

use super::super::policy::{Class, Symbols};

pub(super) const LOWER: &str = "dfhmr";
pub(super) const UPPER: &str = "DFHMR";
pub(super) const DIGITS: &str = "2479";

/// One name each, known to everybody, and not alike in sound or shape.
const SYMBOLS: &str = "$%&*+=?@";

/// Never read out, even if nothing else is allowed: cannot be told apart on paper, or not seen at all.
const UNREADABLE: &str = " '`\",.;:|";

/// One character of the alphabet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// The character.
    pub(super) c: char,
    /// Its class.
    pub(super) class: Class,
    /// The same for small and capital of one letter: these two never stand side by side, nor does one twice, so that
    /// nobody has to hear "double".
    pub(super) sound: char,
}

/// Letters, digits and those of the symbols that a policy takes; without symbols if only unreadable ones are left.
pub(super) fn alphabet(allowed: Symbols) -> Vec<Member> {
    let known: String = SYMBOLS.chars().filter(|&c| allowed.contains(c)).collect();
    let symbols = match known.is_empty() {
        true => allowed.iter().filter(|&c| !UNREADABLE.contains(c)).collect(),
        false => known,
    };
    let classes = [
        (LOWER, Class::Lower),
        (UPPER, Class::Upper),
        (DIGITS, Class::Digit),
        (&symbols, Class::Symbol),
    ];
    let members = |(chars, class): (&str, Class)| {
        let member = move |c: char| Member {
            c,
            class,
            sound: c.to_ascii_lowercase(),
        };
        chars.chars().map(member).collect::<Vec<_>>()
    };
    classes.into_iter().flat_map(members).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups of the table above, and look-alikes beyond it.
    const ALIKE: [&str; 16] = [
        "bcdegptvz3",
        "ahjk8",
        "fsx6",
        "mn",
        "iy59",
        "quw2",
        "o0",
        "il1!|",
        "oO0DQ",
        "5S$",
        "2Zz",
        "8B&",
        "6bG",
        "9gq",
        "7T1",
        "4A",
    ];

    #[test]
    fn no_two_characters_sound_or_look_alike() {
        let all: String = [LOWER, UPPER, DIGITS, SYMBOLS].concat();
        for group in ALIKE {
            let exact = group.chars().any(|c| c.is_ascii_uppercase());
            let mut members: Vec<char> = all
                .chars()
                .map(|c| if exact { c } else { c.to_ascii_lowercase() })
                .filter(|&c| group.contains(c))
                .collect();
            members.sort_unstable();
            members.dedup();
            assert!(members.len() <= 1, "{members:?} of {group}");
        }
    }

    #[test]
    fn small_and_capital_letters_are_the_same_ones() {
        assert_eq!(LOWER.to_ascii_uppercase(), UPPER);
        assert!(!LOWER.contains(|c| "ckopsuvwxz".contains(c)));
    }

    #[test]
    fn symbols_come_from_the_policy_and_others_only_if_they_must() {
        let symbols = |allowed: &str| {
            let members = alphabet(allowed.parse().unwrap());
            let symbols = members.iter().filter(|member| member.class == Class::Symbol);
            symbols.map(|member| member.c).collect::<String>()
        };
        assert_eq!(symbols("#$%-"), "$%");
        assert_eq!(symbols("#-.,"), "#-");
        assert_eq!(symbols(" .,"), "");
    }
}
