//! What a call uses to speak.
//!
//! [`Speech`] is shared by all calls and holds the current catalog, the engines and the cache. Each call takes a
//! [`Speaker`] from it, which keeps the catalog that it began with while files change, and forgets the personal audio
//! of the call when it is dropped.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Deserialize;
use tokio::sync::Semaphore;

use super::audio::condition::ConditionError;
use super::audio::resample::ResampleError;
use super::audio::{Pcm, condition};
use super::cache::{self, Cache, Key, PersonalScope};
use super::catalog::{self, Catalog, Depth, Finding, Prompts};
use super::phrase::spelling::Step;
use super::phrase::{self, Fill, Pace, PhraseError, Piece, Spelled, Unspeakable};
use super::synthesizer::{self, Engines, Rate, SynthesisError, Text, TextError};
use super::utterance::{Privacy, Utterance};
use crate::digit::Digit;
use crate::language::Language;
use crate::secret::Secret;
use crate::telephony::codec::Clip;

/// Speech in the configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Folder with one folder per language.
    pub prompts: PathBuf,
    /// Engines for text without a recording.
    pub synthesis: synthesizer::Config,
    /// Where synthesized audio is kept.
    pub cache: cache::Config,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            prompts: PathBuf::from("prompts"),
            synthesis: synthesizer::Config::default(),
            cache: cache::Config::default(),
        }
    }
}

/// Why something could not be said.
#[derive(Debug, thiserror::Error)]
pub enum SpeakError {
    /// There is no such prompt, or it has no audio.
    #[error("prompt {id} has no audio in {language}: run passline prompts check")]
    NoPrompt {
        /// The prompt.
        id: String,
        /// The language.
        language: Language,
    },
    /// The language is not there.
    #[error("there are no prompts for {0}")]
    NoLanguage(Language),
    /// The phrase cannot be put together.
    #[error(transparent)]
    Phrase(#[from] PhraseError),
    /// The password has characters without a recording.
    #[error(transparent)]
    Unspeakable(#[from] Unspeakable),
    /// The text cannot be spoken.
    #[error(transparent)]
    Text(#[from] TextError),
    /// No engine, or it failed.
    #[error(transparent)]
    Synthesis(#[from] SynthesisError),
    /// The engine gave audio that cannot be used.
    #[error(transparent)]
    Audio(#[from] ConditionError),
}

impl From<ResampleError> for SpeakError {
    fn from(error: ResampleError) -> Self {
        Self::Audio(error.into())
    }
}

/// Everything that speaks, shared by all calls. Cloning shares it.
#[derive(Clone)]
pub struct Speech(Arc<Shared>);

struct Shared {
    catalog: RwLock<Arc<Catalog>>,
    engines: Engines,
    cache: Cache,
    /// Places for shared texts that are made to their end also when nobody waits.
    making: Arc<Semaphore>,
}

/// Shared texts that are made at once without anybody who need wait for them.
const MAKING: usize = 16;

impl Speech {
    /// Reads the prompts under `root` and lets the engines speak what has no recording.
    ///
    /// With the speech come findings that are no errors.
    ///
    /// # Errors
    /// All findings, when one of them is an error.
    pub async fn load(root: &Path, engines: Engines, cache: Cache) -> Result<(Self, Vec<Finding>), Vec<Finding>> {
        let (catalog, findings) = read(root, &engines, &cache).await?;
        let shared = Shared {
            catalog: RwLock::new(Arc::new(catalog)),
            engines,
            cache,
            making: Arc::new(Semaphore::new(MAKING)),
        };
        Ok((Self(Arc::new(shared)), findings))
    }

    /// Reads the prompts again. Calls in progress keep theirs; with an error the old ones stay.
    ///
    /// # Errors
    /// All findings, when one of them is an error.
    pub async fn reload(&self, root: &Path) -> Result<Vec<Finding>, Vec<Finding>> {
        let (catalog, findings) = read(root, &self.0.engines, &self.0.cache).await?;
        // An assignment cannot leave anything half done, so a poisoned lock is as good as any.
        *self.0.catalog.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(catalog);
        Ok(findings)
    }

    /// The prompts as they are now.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        Arc::clone(&self.0.catalog.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A speaker for one call.
    ///
    /// # Errors
    /// [`SpeakError::NoLanguage`] if neither the language nor another with the same primary part is there.
    pub fn speaker(&self, language: &Language) -> Result<Speaker, SpeakError> {
        let mut speaker = Speaker {
            scope: self.0.cache.personal_scope(),
            catalog: self.catalog(),
            shared: Arc::clone(&self.0),
            language: language.clone(),
        };
        speaker.set_language(language)?;
        Ok(speaker)
    }
}

impl fmt::Debug for Speech {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Speech")
            .field("engines", &self.0.engines)
            .finish_non_exhaustive()
    }
}

/// Reads the folder on a thread that may block, then fills the gaps.
async fn read(root: &Path, engines: &Engines, cache: &Cache) -> Result<(Catalog, Vec<Finding>), Vec<Finding>> {
    let folder = root.to_owned();
    let speaking = engines.clone();
    let load = move || {
        catalog::load(&folder, Depth::Load, &|language| {
            speaking.for_language(language).is_ok()
        })
    };
    let (mut catalog, mut findings) = tokio::task::spawn_blocking(load)
        .await
        .map_err(|error| vec![Finding::error(root, None, format!("reading failed: {error}"), "")])?
        .into_result()?;
    let gaps: Vec<(Language, String, String)> = catalog
        .gaps()
        .map(|(language, id, text)| (language.clone(), id.to_owned(), text.spoken().to_owned()))
        .collect();
    let mut failed = false;
    for (language, id, text) in gaps {
        match fixed_text(engines, cache, &text, &language).await {
            Ok(clip) => catalog.fill(&language, &id, clip),
            Err(error) => {
                failed = true;
                let file = root.join(language.as_str());
                findings.push(Finding::error(
                    &file,
                    Some(&id),
                    error.to_string(),
                    "record it, or change its text",
                ));
            }
        }
    }
    if failed { Err(findings) } else { Ok((catalog, findings)) }
}

/// Speaks for one call: in one language at a time, with the prompts that were there when the call came.
#[derive(Debug)]
pub struct Speaker {
    shared: Arc<Shared>,
    catalog: Arc<Catalog>,
    scope: PersonalScope,
    language: Language,
}

impl Speaker {
    /// The language that is spoken.
    #[must_use]
    pub fn language(&self) -> &Language {
        &self.language
    }

    /// Changes the language; the closest one that is there.
    ///
    /// # Errors
    /// [`SpeakError::NoLanguage`], and the language stays as it was.
    pub fn set_language(&mut self, wish: &Language) -> Result<(), SpeakError> {
        let closest = self.catalog.closest(wish);
        self.language = closest.ok_or_else(|| SpeakError::NoLanguage(wish.clone()))?.clone();
        Ok(())
    }

    fn prompts(&self) -> Result<&Prompts, SpeakError> {
        self.catalog
            .prompts(&self.language)
            .ok_or_else(|| SpeakError::NoLanguage(self.language.clone()))
    }

    /// The prompt with this id.
    #[must_use]
    pub fn prompt(&self, id: &str) -> Option<Utterance> {
        let prompts = self.prompts().ok()?;
        let clip = prompts.clip(id)?.clone();
        Some(Utterance::of(
            clip,
            prompts.text(id).unwrap_or_default(),
            Privacy::Public,
        ))
    }

    /// A password, character by character.
    ///
    /// # Errors
    /// [`SpeakError::Unspeakable`], or [`SpeakError::NoPrompt`] when a recording is missing; neither tells which
    /// character.
    pub fn spell(&self, password: &Secret, pace: Pace) -> Result<Utterance, SpeakError> {
        let prompts = self.prompts()?;
        let spelled = Spelled::new(password)?;
        let mut utterance = Utterance::new(Privacy::Secret);
        for step in spelled.steps(&prompts.phrasebook().spelling, pace) {
            match step {
                Step::Pause(pause) => utterance.push_pause(pause),
                Step::Character(character) => {
                    let clip = prompts.character(character).ok_or_else(|| SpeakError::NoPrompt {
                        id: "spell".to_owned(),
                        language: self.language.clone(),
                    })?;
                    utterance.push_clip(clip.clone(), "");
                }
            }
        }
        Ok(utterance)
    }

    /// Digits one by one; what is said may be an answer, so the utterance is [`Privacy::Personal`].
    ///
    /// # Errors
    /// [`SpeakError::NoPrompt`].
    pub fn digits(&self, keys: &[Digit]) -> Result<Utterance, SpeakError> {
        let mut utterance = Utterance::new(Privacy::Personal);
        for piece in phrase::digits(keys) {
            self.append_recorded(&mut utterance, &piece)?;
        }
        Ok(utterance)
    }

    /// A whole number, 0 to at least 999.
    ///
    /// # Errors
    /// [`SpeakError::Phrase`], [`SpeakError::NoPrompt`].
    pub fn number(&self, value: u32) -> Result<Utterance, SpeakError> {
        let prompts = self.prompts()?;
        let pieces = prompts.phrasebook().number(value, &|id| prompts.contains(id))?;
        let mut utterance = Utterance::new(Privacy::Public);
        for piece in &pieces {
            self.append_recorded(&mut utterance, piece)?;
        }
        Ok(utterance)
    }

    /// A text about the caller (a security question) in this language, kept in memory until the call ends.
    ///
    /// # Errors
    /// [`SpeakError::Text`], [`SpeakError::Synthesis`], [`SpeakError::Audio`].
    pub async fn personal(&self, text: &str, language: &Language) -> Result<Utterance, SpeakError> {
        let cleaned = Text::personal(text)?;
        let Shared { engines, cache, .. } = &*self.shared;
        let clip = synthesized(engines, cache, &cleaned, language, Some(&self.scope)).await?;
        Ok(Utterance::of(clip, cleaned.as_str(), Privacy::Personal))
    }

    /// A text of the house that many are asked (a shared question) in this language, kept like a prompt. It is made to its end
    /// also when nobody waits for it any more: whoever asks again has it then.
    ///
    /// # Errors
    /// Those of [`Speaker::personal`].
    pub async fn shared(&self, text: &str, language: &Language) -> Result<Utterance, SpeakError> {
        let cleaned = Text::fixed(text)?;
        let said = cleaned.as_str().to_owned();
        let (shared, language) = (Arc::clone(&self.shared), language.clone());
        // Where an engine hangs, those that come after so many wait themselves, and stop when they are not waited for.
        let place = Arc::clone(&shared.making).try_acquire_owned();
        let making = async move { synthesized(&shared.engines, &shared.cache, &cleaned, &language, None).await };
        let clip = match place {
            Ok(place) => {
                let made = tokio::spawn(async move {
                    let _place = place;
                    making.await
                });
                let made = made.await;
                made.unwrap_or_else(|error| Err(SynthesisError::Failed(error.to_string()).into()))?
            }
            Err(_) => making.await?,
        };
        Ok(Utterance::of(clip, &said, Privacy::Personal))
    }

    /// The phrase `name` of the language with its gaps filled; see [`phrase::REQUIRED_PHRASES`].
    ///
    /// # Errors
    /// [`SpeakError::Phrase`] and those of [`Self::say`].
    pub async fn phrase(&self, name: &str, fills: &[(&str, Fill<'_>)]) -> Result<Utterance, SpeakError> {
        let pieces = self.prompts()?.phrasebook().phrase(name, fills)?;
        self.say(&pieces).await
    }

    /// A menu: "for X, press 1, for Y, press 2".
    ///
    /// # Errors
    /// [`SpeakError::Phrase`] and those of [`Self::say`].
    pub async fn menu(&self, lines: &[(Digit, Vec<Piece>)]) -> Result<Utterance, SpeakError> {
        let pieces = self.prompts()?.phrasebook().menu(lines)?;
        self.say(&pieces).await
    }

    /// Several items, joined as the language does it.
    ///
    /// # Errors
    /// Those of [`Self::say`].
    pub async fn list(&self, items: &[Vec<Piece>]) -> Result<Utterance, SpeakError> {
        let pieces = self.prompts()?.phrasebook().list(items);
        self.say(&pieces).await
    }

    /// Pieces in a row. Texts among them are not about a person: they are kept on disk.
    ///
    /// # Errors
    /// [`SpeakError::NoPrompt`], and for texts those of [`Self::personal`].
    pub async fn say(&self, pieces: &[Piece]) -> Result<Utterance, SpeakError> {
        let mut utterance = Utterance::new(Privacy::Public);
        for piece in pieces {
            if let Piece::Text(text) = piece {
                let Shared { engines, cache, .. } = &*self.shared;
                let clip = fixed_text(engines, cache, text, &self.language).await?;
                utterance.push_clip(clip, text);
            } else {
                self.append_recorded(&mut utterance, piece)?;
            }
        }
        Ok(utterance)
    }

    /// A prompt with this id as a piece, or else the text.
    ///
    /// For names that may or may not have a recording: `system.payroll`, or "Payroll" by the engine.
    #[must_use]
    pub fn recorded_or_text(&self, id: &str, text: &str) -> Piece {
        if self.prompts().is_ok_and(|prompts| prompts.contains(id)) {
            Piece::prompt(id)
        } else {
            Piece::Text(text.to_owned())
        }
    }

    fn append_recorded(&self, utterance: &mut Utterance, piece: &Piece) -> Result<(), SpeakError> {
        let no_prompt = |id: &str| SpeakError::NoPrompt {
            id: id.to_owned(),
            language: self.language.clone(),
        };
        match piece {
            Piece::Pause(pause) => utterance.push_pause(*pause),
            Piece::Prompt(id) => {
                let prompts = self.prompts()?;
                let clip = prompts.clip(id).ok_or_else(|| no_prompt(id))?;
                utterance.push_clip(clip.clone(), prompts.text(id).unwrap_or_default());
            }
            Piece::Text(text) => return Err(no_prompt(text)),
        }
        Ok(())
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}

async fn fixed_text(engines: &Engines, cache: &Cache, text: &str, language: &Language) -> Result<Clip, SpeakError> {
    synthesized(engines, cache, &Text::fixed(text)?, language, None).await
}

/// Audio of a text, from the cache or by the engine for its language, at the level of all prompts.
async fn synthesized(
    engines: &Engines,
    cache: &Cache,
    text: &Text,
    language: &Language,
    scope: Option<&PersonalScope>,
) -> Result<Clip, SpeakError> {
    let engine = engines.for_language(language)?;
    let key = Key::new(text, engine.identity(), language, Rate::NORMAL);
    let render = async {
        let raw = engine.synthesize(text, language, Rate::NORMAL).await?;
        // A few milliseconds of arithmetic: too long for a thread that also serves calls.
        let conditioned = move || -> Result<(Pcm, Clip), SpeakError> {
            let pcm = condition(&raw)?;
            let clip = pcm.to_clip()?;
            Ok((pcm, clip))
        };
        tokio::task::spawn_blocking(conditioned)
            .await
            .unwrap_or_else(|error| Err(SynthesisError::Failed(error.to_string()).into()))
    };
    cache.get_or_render(key, text.class(), scope, render).await
}

#[cfg(test)]
mod tests;
