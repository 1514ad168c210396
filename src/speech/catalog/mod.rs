//! All recordings of all languages, ready to play.
//!
//! Read once at start and again when files change; immutable in between, so that a call keeps the prompts that it
//! began with. 240 prompts (ten minutes) take about 9 MB, encoded for both codecs.

mod finding;
mod folder;
mod load;
pub mod manifest;
pub mod texts;

use std::collections::BTreeMap;

use super::phrase::spelling::CHARACTERS;
use super::phrase::{Character, Phrasebook};
use crate::language::Language;
use crate::telephony::codec::Clip;

pub use finding::{Finding, Severity};
pub use load::{Depth, Loaded, load};
pub use texts::PromptText;

pub(in crate::speech) use folder::Folder;

/// The prompts of every language.
#[derive(Clone, Debug, Default)]
pub struct Catalog {
    languages: BTreeMap<Language, Prompts>,
}

/// The prompts of one language.
#[derive(Clone, Debug)]
pub struct Prompts {
    language: Language,
    phrasebook: Phrasebook,
    entries: BTreeMap<String, Entry>,
    /// The recordings for spelling, by [`Character::index`]: no id of a password's character is ever looked up by name.
    characters: Vec<Option<Clip>>,
}

#[derive(Clone, Debug)]
struct Entry {
    text: PromptText,
    clip: Option<Clip>,
    origin: Option<Origin>,
}

/// Where a recording comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Made from the text by `passline prompts render`.
    Rendered,
    /// Put there by an admin.
    Own,
}

impl Catalog {
    /// The languages, in alphabetical order.
    pub fn languages(&self) -> impl Iterator<Item = &Language> {
        self.languages.keys()
    }

    /// The prompts of a language.
    #[must_use]
    pub fn prompts(&self, language: &Language) -> Option<&Prompts> {
        self.languages.get(language)
    }

    /// The language that is [closest](Language::closest) to a wish.
    #[must_use]
    pub fn closest(&self, wish: &Language) -> Option<&Language> {
        wish.closest(self.languages.keys())
    }

    /// Prompts with a text but without audio.
    pub fn gaps(&self) -> impl Iterator<Item = (&Language, &str, &PromptText)> {
        self.languages.values().flat_map(|prompts| {
            let without = prompts.entries.iter().filter(|(_, entry)| entry.clip.is_none());
            without.map(|(id, entry)| (&prompts.language, id.as_str(), &entry.text))
        })
    }

    /// Gives a prompt its audio.
    pub(in crate::speech) fn fill(&mut self, language: &Language, id: &str, clip: Clip) {
        if let Some(prompts) = self.languages.get_mut(language) {
            if let Some(entry) = prompts.entries.get_mut(id) {
                entry.clip = Some(clip);
            }
            prompts.characters = prompts.spelling_clips();
        }
    }
}

impl Prompts {
    fn new(language: Language, phrasebook: Phrasebook, entries: BTreeMap<String, Entry>) -> Self {
        let mut prompts = Self {
            language,
            phrasebook,
            entries,
            characters: Vec::with_capacity(CHARACTERS),
        };
        prompts.characters = prompts.spelling_clips();
        prompts
    }

    fn spelling_clips(&self) -> Vec<Option<Clip>> {
        Character::all()
            .map(|character| self.clip(&character.prompt_id()).cloned())
            .collect()
    }

    /// The language.
    #[must_use]
    pub fn language(&self) -> &Language {
        &self.language
    }

    /// How phrases are put together.
    #[must_use]
    pub fn phrasebook(&self) -> &Phrasebook {
        &self.phrasebook
    }

    /// Every prompt id, in alphabetical order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether there is a text with this id.
    #[must_use]
    pub fn contains(&self, id: &str) -> bool {
        self.entries.contains_key(id)
    }

    /// What a prompt says, for transcripts.
    #[must_use]
    pub fn text(&self, id: &str) -> Option<&str> {
        self.entries.get(id).map(|entry| entry.text.text.as_str())
    }

    /// The audio of a prompt.
    #[must_use]
    pub fn clip(&self, id: &str) -> Option<&Clip> {
        self.entries.get(id)?.clip.as_ref()
    }

    /// Where the audio of a prompt comes from; `None` if an engine spoke it.
    #[must_use]
    pub fn origin(&self, id: &str) -> Option<Origin> {
        self.entries.get(id)?.origin
    }

    /// The recording that spells a character.
    #[must_use]
    pub fn character(&self, character: Character) -> Option<&Clip> {
        self.characters.get(character.index())?.as_ref()
    }
}

#[cfg(test)]
pub(in crate::speech) mod tests;
