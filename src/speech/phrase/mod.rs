//! How a language puts recordings together: digits, numbers, lists, sentences with a gap, spelled passwords.
//!
//! What differs between languages is data (`prompts/<language>/phrases.toml`, see [`Phrasebook`]), so that a new
//! language needs files and no code: the order of words is a template, numbers are rules over prompt ids, and a
//! language that wants a recording of its own for 21 or for "press 1" simply has one. What is the same in all of them
//! is here: prompt ids, and that a password is spelled by whole recordings ([`spelling`]).
//!
//! Pure: text in, [`Piece`]s out. The catalog turns pieces into audio.
//!
//! Left out on purpose: dates and plural forms. No call flow says either; a template per plural category can be added
//! to the file format without touching what exists.

mod number;
pub mod spelling;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use crate::digit::Digit;

pub use number::NumberRule;
pub use spelling::{Character, Pace, Rhythm, Spelled, Unspeakable};

/// Something to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece {
    /// The recording with this id.
    Prompt(String),
    /// Text without a recording, for instance the name of a system that the admin chose.
    Text(String),
    /// Nothing, for a while.
    Pause(Duration),
}

impl Piece {
    /// The recording with this id.
    #[must_use]
    pub fn prompt(id: impl Into<String>) -> Self {
        Self::Prompt(id.into())
    }
}

/// What fills a gap of a phrase.
#[derive(Clone, Copy, Debug)]
pub enum Fill<'a> {
    /// Pieces put in place of `"{gap}"`.
    Pieces(&'a [Piece]),
    /// A name put into a prompt id: `"press.{key}"` with `1` becomes `press.1`.
    Name(&'a str),
}

/// Phrases that the program says, with their gaps. Every language must have them.
pub const REQUIRED_PHRASES: [(&str, &[&str]); 3] = [
    // One line of a menu: "for Active Directory, press 1".
    ("menu_item", &["item", "key"]),
    // "Active Directory is locked"
    ("account_state", &["system", "state"]),
    // "Active Directory is reset"
    ("result", &["system", "outcome"]),
];

/// What is wrong with a `phrases.toml`, or with a request to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhraseError {
    /// Not TOML, or not of the shape that is documented.
    #[error("{0}")]
    Syntax(String),
    /// No such phrase in this language.
    #[error("there is no phrase {0:?}")]
    UnknownPhrase(String),
    /// A phrase has a gap that the program does not fill, or the program fills one that it does not have.
    #[error("phrase {phrase:?} must have the gaps {expected} and no others")]
    Gaps {
        /// Name of the phrase.
        phrase: String,
        /// Its gaps as they should be.
        expected: String,
    },
    /// No rule and no recording covers a number.
    #[error("no rule says how to speak the number {0}")]
    Number(u32),
}

/// The grammar of one language, as far as a telephone needs it.
///
/// ```toml
/// [spelling]                                  # rhythm of passwords
/// group = 4
/// normal = { character_ms = 700, group_ms = 1300 }
/// slower = { character_ms = 1400, group_ms = 2500 }
///
/// [list]                                      # how enumerations are joined
/// pause_ms = 300
/// before_last = ["phrase.and"]
///
/// [phrase]                                    # "{gap}", prompt ids, pauses
/// menu_item = ["phrase.for", "{item}", { pause_ms = 150 }, "press.{key}"]
///
/// [[number]]                                  # 21 = "number.20" + "number.1"
/// from = 21
/// by = 10
/// say = ["number.{whole}", "{rest}"]
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phrasebook {
    /// Rhythm of spelled passwords.
    #[serde(default)]
    pub spelling: Rhythm,
    #[serde(default)]
    list: List,
    #[serde(default)]
    phrase: BTreeMap<String, Vec<Term>>,
    #[serde(default)]
    number: Vec<NumberRule>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct List {
    /// Between two items.
    #[serde(default)]
    pause_ms: u16,
    /// Before the last of several items.
    #[serde(default)]
    before_last: Vec<String>,
}

/// One element of a template.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
enum Term {
    Say(String),
    Pause { pause_ms: u16 },
}

impl Phrasebook {
    /// Reads a `phrases.toml`.
    ///
    /// # Errors
    /// [`PhraseError::Syntax`], [`PhraseError::UnknownPhrase`] and [`PhraseError::Gaps`] for required phrases.
    pub fn parse(text: &str) -> Result<Self, PhraseError> {
        let book: Self = toml::from_str(text).map_err(|e| PhraseError::Syntax(e.to_string()))?;
        for (name, gaps) in REQUIRED_PHRASES {
            book.check_gaps(name, gaps)?;
        }
        Ok(book)
    }

    fn check_gaps(&self, name: &str, expected: &[&str]) -> Result<(), PhraseError> {
        let terms = self.terms(name)?;
        let mut found: Vec<&str> = terms.iter().filter_map(Term::gap).collect();
        let mut wanted = expected.to_vec();
        found.sort_unstable();
        wanted.sort_unstable();
        if found == wanted {
            return Ok(());
        }
        Err(PhraseError::Gaps {
            phrase: name.to_owned(),
            expected: expected
                .iter()
                .map(|gap| format!("{{{gap}}}"))
                .collect::<Vec<_>>()
                .join(", "),
        })
    }

    fn terms(&self, name: &str) -> Result<&[Term], PhraseError> {
        self.phrase
            .get(name)
            .map(Vec::as_slice)
            .ok_or_else(|| PhraseError::UnknownPhrase(name.to_owned()))
    }

    /// The phrase `name` with its gaps filled.
    ///
    /// # Errors
    /// [`PhraseError::UnknownPhrase`], or [`PhraseError::Gaps`] when a gap stays open.
    pub fn phrase(&self, name: &str, fills: &[(&str, Fill<'_>)]) -> Result<Vec<Piece>, PhraseError> {
        let mut pieces = Vec::new();
        for term in self.terms(name)? {
            match term {
                Term::Pause { pause_ms } => pieces.push(Piece::Pause(milliseconds(*pause_ms))),
                Term::Say(text) => match term.gap() {
                    None => pieces.push(Piece::prompt(text)),
                    Some(gap) => {
                        let fill = fills.iter().find(|(name, _)| *name == gap).map(|(_, fill)| fill);
                        match fill {
                            Some(Fill::Pieces(filling)) => pieces.extend_from_slice(filling),
                            Some(Fill::Name(name)) => {
                                pieces.push(Piece::prompt(text.replace(&format!("{{{gap}}}"), name)));
                            }
                            None => {
                                return Err(PhraseError::Gaps {
                                    phrase: name.to_owned(),
                                    expected: format!("{{{gap}}}"),
                                });
                            }
                        }
                    }
                },
            }
        }
        Ok(pieces)
    }

    /// Several items one after the other, joined as the language does it.
    #[must_use]
    pub fn list(&self, items: &[Vec<Piece>]) -> Vec<Piece> {
        let mut pieces = Vec::new();
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                pieces.push(Piece::Pause(milliseconds(self.list.pause_ms)));
                if index + 1 == items.len() {
                    pieces.extend(self.list.before_last.iter().map(Piece::prompt));
                }
            }
            pieces.extend_from_slice(item);
        }
        pieces
    }

    /// A menu: "for X, press 1", pause, "for Y, press 2". Not joined by "and": each line is a sentence.
    ///
    /// # Errors
    /// See [`Self::phrase`].
    pub fn menu(&self, lines: &[(Digit, Vec<Piece>)]) -> Result<Vec<Piece>, PhraseError> {
        let mut pieces = Vec::new();
        for (index, (key, item)) in lines.iter().enumerate() {
            if index > 0 {
                pieces.push(Piece::Pause(milliseconds(self.list.pause_ms)));
            }
            let fills = [("item", Fill::Pieces(item)), ("key", Fill::Name(key_name(*key)))];
            pieces.extend(self.phrase("menu_item", &fills)?);
        }
        Ok(pieces)
    }

    /// A whole number. `has` tells which prompts exist: a recording of the number itself always wins over a rule.
    ///
    /// # Errors
    /// [`PhraseError::Number`] when the rules do not reach that far.
    pub fn number(&self, value: u32, has: &dyn Fn(&str) -> bool) -> Result<Vec<Piece>, PhraseError> {
        number::speak(&self.number, value, has)
    }

    /// Every prompt id that the templates name, for the check that they exist.
    pub fn prompt_ids(&self) -> impl Iterator<Item = String> + '_ {
        let keys = Digit::ALL.into_iter().filter(|key| key.event() < 12).map(key_name);
        let keyed: Vec<&str> = keys.collect();
        self.phrase
            .values()
            .flatten()
            .filter_map(|term| match term {
                Term::Say(text) => Some(text.as_str()),
                Term::Pause { .. } => None,
            })
            .flat_map(move |text| match text {
                _ if text.contains("{key}") => keyed.iter().map(|key| text.replace("{key}", key)).collect(),
                _ if text.contains('{') => Vec::new(),
                _ => vec![text.to_owned()],
            })
            .chain(self.list.before_last.iter().cloned())
    }
}

impl Term {
    /// The name between braces, if there is one.
    fn gap(&self) -> Option<&str> {
        let Self::Say(text) = self else { return None };
        let (_, rest) = text.split_once('{')?;
        rest.split_once('}').map(|(gap, _)| gap)
    }
}

/// The digits one by one, as one reads out a telephone number.
#[must_use]
pub fn digits(keys: &[Digit]) -> Vec<Piece> {
    keys.iter().map(|&key| Piece::prompt(digit_prompt(key))).collect()
}

/// The prompt id of a key said by itself: `digit.7`, `digit.star`, `digit.pound`.
#[must_use]
pub fn digit_prompt(key: Digit) -> String {
    format!("digit.{}", key_name(key))
}

/// A key as it is named in prompt ids.
#[must_use]
pub fn key_name(key: Digit) -> &'static str {
    const NAMES: [&str; 16] = [
        "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "star", "pound", "a", "b", "c", "d",
    ];
    NAMES[usize::from(key.event())]
}

fn milliseconds(ms: u16) -> Duration {
    Duration::from_millis(u64::from(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENGLISH: &str = include_str!("../../../prompts/en-US/phrases.toml");

    fn english() -> Phrasebook {
        Phrasebook::parse(ENGLISH).expect("the shipped file")
    }

    fn said(pieces: &[Piece]) -> String {
        let words: Vec<String> = pieces
            .iter()
            .map(|piece| match piece {
                Piece::Prompt(id) => id.clone(),
                Piece::Text(text) => format!("{text:?}"),
                Piece::Pause(pause) => format!("({} ms)", pause.as_millis()),
            })
            .collect();
        words.join(" ")
    }

    #[test]
    fn a_menu_names_item_and_key() {
        let lines = [
            (Digit::D1, vec![Piece::prompt("system.mail")]),
            (Digit::D2, vec![Piece::Text("Payroll".to_owned())]),
        ];
        assert_eq!(
            said(&english().menu(&lines).expect("has menu_item")),
            "phrase.for system.mail press.1 (300 ms) phrase.for \"Payroll\" press.2"
        );
    }

    #[test]
    fn word_order_is_up_to_the_language() {
        let text = ENGLISH.replace(
            r#"menu_item = ["phrase.for", "{item}", "press.{key}"]"#,
            r#"menu_item = ["press.{key}", { pause_ms = 100 }, "{item}", "phrase.for"]"#,
        );
        let book = Phrasebook::parse(&text).expect("another order");
        let lines = [(Digit::Star, vec![Piece::prompt("system.mail")])];
        assert_eq!(
            said(&book.menu(&lines).expect("has menu_item")),
            "press.star (100 ms) system.mail phrase.for"
        );
    }

    #[test]
    fn lists_are_joined_before_the_last_item() {
        let items = ["a.a", "b.b", "c.c"].map(|id| vec![Piece::prompt(id)]);
        assert_eq!(
            said(&english().list(&items)),
            "a.a (300 ms) b.b (300 ms) phrase.and c.c"
        );
        assert_eq!(said(&english().list(&items[..1])), "a.a");
        assert_eq!(said(&english().list(&[])), "");
    }

    #[test]
    fn a_required_phrase_that_is_missing_or_lacks_a_gap_is_named() {
        assert_eq!(
            Phrasebook::parse("[phrase]\n"),
            Err(PhraseError::UnknownPhrase("menu_item".into()))
        );
        let error = Phrasebook::parse("[phrase]\nmenu_item = [\"phrase.for\", \"{item}\"]").expect_err("no key");
        assert_eq!(
            error.to_string(),
            "phrase \"menu_item\" must have the gaps {item}, {key} and no others"
        );
    }

    #[test]
    fn unknown_keys_are_refused() {
        assert!(matches!(
            Phrasebook::parse(&format!("{ENGLISH}\n[speling]\n")),
            Err(PhraseError::Syntax(_))
        ));
    }

    #[test]
    fn digits_are_said_one_by_one() {
        assert_eq!(
            said(&digits(&[Digit::D4, Digit::Star, Digit::Pound, Digit::D0])),
            "digit.4 digit.star digit.pound digit.0"
        );
    }

    #[test]
    fn the_templates_tell_which_prompts_they_need() {
        let ids: Vec<String> = english().prompt_ids().collect();
        for id in ["phrase.for", "press.1", "press.star", "phrase.and"] {
            assert!(ids.iter().any(|known| known == id), "{id}");
        }
    }
}
