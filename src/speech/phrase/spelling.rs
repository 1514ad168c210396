//! Spelling a password: one whole recording per character.
//!
//! A caller gets one try at each character, over a line that makes "b" and "d" the same. So every printable ASCII
//! character has a recording of its own that says case and example in one breath ("Capital B, as in Bravo"), 94 of
//! them. Nothing is glued together and no synthesizer ever sees a password.
//!
//! A spelled password is as secret as the password: [`Spelled`] is redacted and wiped.

use std::fmt;
use std::time::Duration;

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// How many characters can be spelled: `!` to `~`.
pub const CHARACTERS: usize = 94;

/// The names of the 32 symbols in prompt ids (`spell.symbol.<name>`), in the order of ASCII. What is said for them is
/// in each language's `prompts.toml`.
pub const SYMBOLS: [(char, &str); 32] = [
    ('!', "exclamation"),
    ('"', "double_quote"),
    ('#', "hash"),
    ('$', "dollar"),
    ('%', "percent"),
    ('&', "ampersand"),
    ('\'', "single_quote"),
    ('(', "left_parenthesis"),
    (')', "right_parenthesis"),
    ('*', "asterisk"),
    ('+', "plus"),
    (',', "comma"),
    ('-', "hyphen"),
    ('.', "period"),
    ('/', "slash"),
    (':', "colon"),
    (';', "semicolon"),
    ('<', "less_than"),
    ('=', "equals"),
    ('>', "greater_than"),
    ('?', "question"),
    ('@', "at"),
    ('[', "left_bracket"),
    ('\\', "backslash"),
    (']', "right_bracket"),
    ('^', "caret"),
    ('_', "underscore"),
    ('`', "backquote"),
    ('{', "left_brace"),
    ('|', "vertical_bar"),
    ('}', "right_brace"),
    ('~', "tilde"),
];

/// One of the [`CHARACTERS`]: the place of its recording in a table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Character(u8);

impl Character {
    /// The recording for `c`; `None` for spaces, control characters and everything beyond ASCII.
    #[must_use]
    pub fn of(c: char) -> Option<Self> {
        c.is_ascii_graphic().then(|| Self(c as u8 - b'!'))
    }

    /// Every character, in the order of [`Self::index`].
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CHARACTERS as u8).map(Self)
    }

    /// 0 to 93.
    #[must_use]
    pub fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The prompt id of the recording: `spell.upper.b`, `spell.lower.b`, `spell.digit.7`, `spell.symbol.dollar`.
    #[must_use]
    pub fn prompt_id(self) -> String {
        let c = char::from(self.0 + b'!');
        if let Some((_, name)) = SYMBOLS.iter().find(|(symbol, _)| *symbol == c) {
            return format!("spell.symbol.{name}");
        }
        let kind = if c.is_ascii_digit() {
            "digit"
        } else if c.is_ascii_uppercase() {
            "upper"
        } else {
            "lower"
        };
        format!("spell.{kind}.{}", c.to_ascii_lowercase())
    }
}

/// A character of a password by itself is part of the secret.
impl fmt::Debug for Character {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[character]")
    }
}

/// How fast a password is spelled.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Pace {
    /// For a caller who writes along.
    #[default]
    Normal,
    /// When the caller asked for it.
    Slower,
}

/// The rhythm of spelling, from a language's `phrases.toml`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rhythm {
    /// How many characters are heard as one group.
    pub group: usize,
    /// Pauses at the usual pace.
    pub normal: Pauses,
    /// Pauses at the slower pace.
    pub slower: Pauses,
}

/// Pauses of one pace, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pauses {
    /// After a character.
    pub character_ms: u16,
    /// After a group, instead.
    pub group_ms: u16,
}

impl Default for Rhythm {
    /// 0.7 s is enough to write one character; groups of four are how people read back.
    fn default() -> Self {
        Self {
            group: 4,
            normal: Pauses {
                character_ms: 700,
                group_ms: 1_300,
            },
            slower: Pauses {
                character_ms: 1_400,
                group_ms: 2_500,
            },
        }
    }
}

/// A password as a list of recordings. Wiped when dropped, redacted in `Debug`.
pub struct Spelled(Zeroizing<Vec<u8>>);

/// One thing to do while spelling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Play the recording of a character.
    Character(Character),
    /// Say nothing.
    Pause(Duration),
}

/// The text holds something that no recording exists for. Does not say what or where: the text is a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the text has characters that cannot be spelled; only printable ASCII can")]
pub struct Unspeakable;

impl Spelled {
    /// Spells `password`.
    ///
    /// # Errors
    /// [`Unspeakable`] if any character has no recording.
    pub fn new(password: &Secret) -> Result<Self, Unspeakable> {
        // Sized once: growing would leave copies behind.
        let mut characters = Zeroizing::new(Vec::with_capacity(password.expose().len()));
        for c in password.expose().chars() {
            characters.push(Character::of(c).ok_or(Unspeakable)?.0);
        }
        Ok(Self(characters))
    }

    /// What to play, in order: characters with pauses between them, none at the end.
    pub fn steps<'a>(&'a self, rhythm: &Rhythm, pace: Pace) -> impl Iterator<Item = Step> + use<'a> {
        let pauses = match pace {
            Pace::Normal => rhythm.normal,
            Pace::Slower => rhythm.slower,
        };
        let group = rhythm.group.max(1);
        self.0.iter().enumerate().flat_map(move |(index, &character)| {
            let pause = match index {
                0 => None,
                _ if index % group == 0 => Some(pauses.group_ms),
                _ => Some(pauses.character_ms),
            };
            pause
                .map(|ms| Step::Pause(Duration::from_millis(u64::from(ms))))
                .into_iter()
                .chain([Step::Character(Character(character))])
        })
    }
}

impl fmt::Debug for Spelled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[spelled secret]")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn spell(text: &str, pace: Pace) -> Vec<String> {
        Spelled::new(&Secret::new(text.to_owned()))
            .expect("printable ASCII")
            .steps(&Rhythm::default(), pace)
            .map(|step| match step {
                Step::Character(character) => character.prompt_id(),
                Step::Pause(pause) => format!("{} ms", pause.as_millis()),
            })
            .collect()
    }

    #[test]
    fn every_printable_character_has_its_own_recording() {
        let ids: HashSet<String> = ('!'..='~')
            .map(|c| Character::of(c).expect("printable").prompt_id())
            .collect();
        assert_eq!(ids.len(), CHARACTERS);
        assert_eq!(Character::all().map(Character::prompt_id).collect::<HashSet<_>>(), ids);
        let count = |prefix: &str| ids.iter().filter(|id| id.starts_with(prefix)).count();
        assert_eq!(
            (
                count("spell.upper."),
                count("spell.lower."),
                count("spell.digit."),
                count("spell.symbol.")
            ),
            (26, 26, 10, 32)
        );
    }

    #[test]
    fn ids_say_what_they_are() {
        assert_eq!(
            spell("Bb7$", Pace::Normal).join(" "),
            "spell.upper.b 700 ms spell.lower.b 700 ms spell.digit.7 700 ms spell.symbol.dollar"
        );
    }

    #[test]
    fn groups_are_set_apart_and_slower_is_slower() {
        let pauses = |pace| {
            spell("abcde", pace)
                .into_iter()
                .filter(|step| step.ends_with("ms"))
                .collect::<Vec<_>>()
        };
        assert_eq!(pauses(Pace::Normal), ["700 ms", "700 ms", "700 ms", "1300 ms"]);
        assert_eq!(pauses(Pace::Slower), ["1400 ms", "1400 ms", "1400 ms", "2500 ms"]);
    }

    #[test]
    fn what_cannot_be_spelled_is_refused_without_telling_it() {
        for text in ["a b", "pass\u{e4}", "\n", "\u{7f}"] {
            let error = Spelled::new(&Secret::new(text.to_owned())).expect_err("unspeakable");
            assert_eq!(
                error.to_string(),
                "the text has characters that cannot be spelled; only printable ASCII can"
            );
        }
    }

    #[test]
    fn nothing_prints_the_password() {
        let spelled = Spelled::new(&Secret::new("Hunter2".to_owned())).expect("printable");
        let steps: Vec<Step> = spelled.steps(&Rhythm::default(), Pace::Normal).take(1).collect();
        assert_eq!(
            format!("{spelled:?} {steps:?}"),
            "[spelled secret] [Character([character])]"
        );
    }

    proptest! {
        #[test]
        fn each_character_is_heard_once_and_in_order(text in "[!-~]{0,40}") {
            let heard: Vec<String> = spell(&text, Pace::Normal).into_iter().filter(|s| !s.ends_with("ms")).collect();
            let expected: Vec<String> =
                text.chars().filter_map(Character::of).map(Character::prompt_id).collect();
            prop_assert_eq!(heard, expected);
        }

        #[test]
        fn there_is_one_pause_between_two_characters_and_none_at_the_ends(text in "[!-~]{1,40}") {
            let steps = spell(&text, Pace::Slower);
            prop_assert_eq!(steps.len(), 2 * text.len() - 1);
            prop_assert!(steps.iter().skip(1).step_by(2).all(|s| s.ends_with("ms")));
        }

        #[test]
        fn any_text_is_spelled_or_refused(text in "\\PC{0,20}") {
            let result = Spelled::new(&Secret::new(text.clone()));
            prop_assert_eq!(result.is_ok(), text.chars().all(|c| c.is_ascii_graphic()));
        }
    }
}
