//! Text on its way to an engine: cleaned, bounded, and of a known class.
//!
//! | class | example | kept where |
//! |---|---|---|
//! | [`Class::Static`] | a prompt, the name of a system | disk and memory |
//! | [`Class::Personal`] | "What is the name of your first school?" | memory, until the call ends |
//! | secret | a password | nowhere: it is spelled by recordings and cannot become a [`Text`] |
//!
//! The last line is held by the compiler:
//!
//! ```compile_fail
//! use passline::{secret::Secret, speech::synthesizer::Text};
//! let password = Secret::new("Hunter2".into());
//! let text = Text::personal(&password); // no such thing: a secret is not text
//! ```

use std::fmt;

use zeroize::Zeroizing;

/// How long the audio of a text may be kept, and where.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// Known to everyone: from a file of prompts or the configuration.
    Static,
    /// About one person.
    Personal,
}

/// Text to be spoken. Plain text: no markup is understood, and what an engine would take for markup is removed.
pub struct Text {
    text: Zeroizing<String>,
    class: Class,
}

/// Why a text cannot be spoken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum TextError {
    /// Nothing to say.
    #[error("the text is empty")]
    Empty,
    /// Nobody listens that long.
    #[error("the text is longer than {} characters", Text::MAX_STATIC_CHARS)]
    TooLong,
}

impl Text {
    /// A personal text is cut after this many characters (about 20 seconds of speech).
    pub const MAX_PERSONAL_CHARS: usize = 300;
    /// A static text longer than this is refused: somebody can shorten it.
    pub const MAX_STATIC_CHARS: usize = 1_000;

    /// A text that everyone may hear.
    ///
    /// # Errors
    /// See [`TextError`].
    pub fn fixed(text: &str) -> Result<Self, TextError> {
        let text = clean(text);
        if text.chars().count() > Self::MAX_STATIC_CHARS {
            return Err(TextError::TooLong);
        }
        Self::new(text, Class::Static)
    }

    /// A text about one person; cut to [`Self::MAX_PERSONAL_CHARS`] at a word.
    ///
    /// # Errors
    /// [`TextError::Empty`].
    pub fn personal(text: &str) -> Result<Self, TextError> {
        let mut text = clean(text);
        if let Some((end, _)) = text.char_indices().nth(Self::MAX_PERSONAL_CHARS) {
            let word_end = text[..end].rfind(' ').unwrap_or(end);
            text.truncate(word_end);
        }
        Self::new(text, Class::Personal)
    }

    fn new(text: Zeroizing<String>, class: Class) -> Result<Self, TextError> {
        if text.chars().any(char::is_alphanumeric) {
            Ok(Self { text, class })
        } else {
            Err(TextError::Empty)
        }
    }

    /// The cleaned text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Where its audio may be kept.
    #[must_use]
    pub fn class(&self) -> Class {
        self.class
    }
}

/// Personal text is not printed.
impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.class {
            Class::Static => write!(f, "Text({:?})", self.as_str()),
            Class::Personal => f.write_str("Text([personal])"),
        }
    }
}

/// Control characters and runs of white space become one space; so do brackets and angle brackets, which espeak-ng
/// takes for phonemes (`[[`) and markup.
fn clean(raw: &str) -> Zeroizing<String> {
    // Never grows beyond the input, so no copy is left behind.
    let mut text = Zeroizing::new(String::with_capacity(raw.len()));
    for c in raw.chars() {
        let gap = c.is_whitespace() || c.is_control() || matches!(c, '[' | ']' | '<' | '>' | '\u{feff}');
        if !gap {
            text.push(c);
        } else if !text.is_empty() && !text.ends_with(' ') {
            text.push(' ');
        }
    }
    let length = text.trim_end().len();
    text.truncate(length);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_and_engine_markup_become_spaces() {
        let text = Text::personal("  Your\u{0}\tpet's\r\n\r\nname [[h@'l]] <break/>? ").expect("words");
        assert_eq!(text.as_str(), "Your pet's name h@'l break/ ?");
    }

    #[test]
    fn a_long_personal_text_is_cut_at_a_word_and_a_long_prompt_is_refused() {
        let long = "word ".repeat(300);
        let text = Text::personal(&long).expect("words");
        assert_eq!(text.as_str().chars().count(), 299);
        assert!(text.as_str().ends_with("word"));
        assert_eq!(Text::fixed(&long).err(), Some(TextError::TooLong));
    }

    #[test]
    fn nothing_to_say_is_an_error() {
        for empty in ["", "   ", "\u{0}\u{1}", "?!", "[]"] {
            assert_eq!(Text::personal(empty).err(), Some(TextError::Empty), "{empty:?}");
        }
    }

    #[test]
    fn personal_text_is_not_printed() {
        let text = Text::personal("name of your first dog").expect("words");
        assert_eq!(format!("{text:?}"), "Text([personal])");
    }

    proptest! {
        #[test]
        fn cleaned_text_is_bounded_and_harmless(raw in "\\PC{0,400}|[\\x00-\\x7f]{0,400}") {
            if let Ok(text) = Text::personal(&raw) {
                let text = text.as_str();
                prop_assert!(text.chars().count() <= Text::MAX_PERSONAL_CHARS);
                prop_assert!(!text.contains("[[") && !text.contains('<'));
                prop_assert!(!text.chars().any(char::is_control));
                prop_assert_eq!(text.trim(), text);
            }
        }
    }
}
