//! What a test call keys, and when: the text given to `passline call --keys`.
//!
//! | written | means |
//! |---|---|
//! | `0`-`9` `*` `#` `A`-`D` | press the key for 100 ms, then leave 100 ms |
//! | `,` | wait one second |
//! | `w` | wait until the far end has spoken and then been silent for 1.2 seconds (a question was asked) |
//! | space | nothing; for reading |
//!
//! `w4711# w1234#` waits for the first prompt, keys `4711#`, waits for the next prompt, keys `1234#`.

use std::time::Duration;

use crate::digit::Digit;

/// One thing to do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Press and release a key.
    Press(Digit),
    /// Do nothing for a while.
    Pause(Duration),
    /// Wait for the end of a prompt.
    AwaitSilence,
}

/// Keys are secret: an action says what kind it is, not which key.
impl std::fmt::Debug for Action {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Press(_) => f.write_str("Press"),
            Self::Pause(length) => write!(f, "Pause({length:?})"),
            Self::AwaitSilence => f.write_str("AwaitSilence"),
        }
    }
}

/// A character that is not a key or an instruction.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "character {position} of the keys is {character:?}; use 0-9 * # A-D, ',' (wait 1 s), 'w' (wait for the prompt to end) and spaces"
)]
pub struct ScriptError {
    /// The character.
    pub character: char,
    /// Its place, counted from 1.
    pub position: usize,
}

/// Parses the text of `--keys`.
///
/// # Errors
/// The first character that means nothing.
pub fn parse(text: &str) -> Result<Vec<Action>, ScriptError> {
    let action = |(index, character)| match character {
        ' ' => None,
        ',' => Some(Ok(Action::Pause(Duration::from_secs(1)))),
        'w' | 'W' => Some(Ok(Action::AwaitSilence)),
        key => Some(Digit::from_char(key).map(Action::Press).ok_or(ScriptError {
            character: key,
            position: index + 1,
        })),
    };
    text.chars().enumerate().filter_map(action).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_pauses_and_waits_are_understood() {
        let second = Action::Pause(Duration::from_secs(1));
        assert_eq!(
            parse("w 4#,,*"),
            Ok(vec![
                Action::AwaitSilence,
                Action::Press(Digit::D4),
                Action::Press(Digit::Pound),
                second,
                second,
                Action::Press(Digit::Star)
            ])
        );
    }

    #[test]
    fn the_first_wrong_character_is_named_with_its_place() {
        assert_eq!(
            parse("12x4"),
            Err(ScriptError {
                character: 'x',
                position: 3
            })
        );
    }
}
