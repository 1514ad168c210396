//! What a test caller's ear knows: every prompt of a language, every spelled character, and texts that the engine says.

use super::ear::Ear;
use crate::speech::phrase::Character;
use crate::speech::{Language, Part, SpeakError, Speech};
use crate::telephony::codec::Codec;

/// Samples below this are silence for the ear; clips begin and end softly.
const QUIET: i16 = 8;

/// Something that can be recognised on the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Word {
    /// A prompt, by its id.
    Prompt(String),
    /// A text that the engine spoke.
    Text(String),
    /// A spelled character of a password.
    Character(char),
}

/// An ear for calls in one codec: what is compared are its bytes.
///
/// # Errors
/// When there are no prompts in the language, or a text cannot be spoken.
pub async fn ear<'t>(
    speech: &Speech,
    language: &Language,
    codec: Codec,
    texts: impl IntoIterator<Item = &'t str>,
) -> Result<Ear<Word>, SpeakError> {
    let silence = match codec {
        Codec::Pcmu => |byte: u8| Codec::Pcmu.decode_sample(byte).saturating_abs() < QUIET,
        Codec::Pcma => |byte: u8| Codec::Pcma.decode_sample(byte).saturating_abs() < QUIET,
    };
    let mut ear = Ear::new(std::iter::empty::<(Word, &[u8])>(), silence);
    let catalog = speech.catalog();
    let prompts = catalog
        .prompts(language)
        .ok_or_else(|| SpeakError::NoLanguage(language.clone()))?;
    for c in ' '..='~' {
        if let Some(clip) = Character::of(c).and_then(|character| prompts.character(character)) {
            ear.learn(Word::Character(c), clip.payload(codec), silence);
        }
    }
    for id in prompts.ids().filter(|id| !id.starts_with("spell.")) {
        if let Some(clip) = prompts.clip(id) {
            ear.learn(Word::Prompt(id.to_owned()), clip.payload(codec), silence);
        }
    }
    let speaker = speech.speaker(language)?;
    for text in texts {
        for part in speaker.personal(text, speaker.language()).await?.parts() {
            if let Part::Clip(clip) = part {
                ear.learn(Word::Text(text.to_owned()), clip.payload(codec), silence);
            }
        }
    }
    Ok(ear)
}
