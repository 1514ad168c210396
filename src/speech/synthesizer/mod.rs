//! Engines that turn text into speech, for what has no recording.
//!
//! Two engines, tried in the order of the configuration: [`Flite`] (in-process, English) and [`Espeak`] (a program
//! per sentence, a hundred languages). Both work without a network: a question about a person never leaves the
//! machine. When neither is installed the program starts all the same, recordings play, and each text without one
//! gives an error that says what to install.
//!
//! Passwords never come here: a [`Text`] cannot be made from a [`crate::secret::Secret`], see [`text`].

mod espeak;
#[cfg(test)]
pub(crate) mod fake;
mod flite;
mod flite_library;
pub mod text;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::audio::Pcm;
use crate::language::Language;

pub use espeak::Espeak;
pub use flite::{Flite, FliteVoice};
pub use text::{Class, Text, TextError};

/// The result of [`Synthesizer::synthesize`], when it is there. Dropping it gives up: a hung-up caller costs nothing.
pub type Synthesis<'a> = Pin<Box<dyn Future<Output = Result<Pcm, SynthesisError>> + Send + 'a>>;

/// Something that speaks text.
pub trait Synthesizer: Send + Sync {
    /// Which engine, version and voice; audio of two identities may differ, so it is part of the cache key.
    fn identity(&self) -> &Identity;

    /// Whether there is a voice for `language`.
    fn speaks(&self, language: &Language) -> bool;

    /// Speaks `text`; raw, as the engine gives it: level and pauses are set afterwards.
    fn synthesize<'a>(&'a self, text: &'a Text, language: &'a Language, rate: Rate) -> Synthesis<'a>;
}

/// Which engine speaks.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Identity {
    /// `flite` or `espeak-ng`.
    pub engine: &'static str,
    /// Version of the engine as far as it tells.
    pub version: String,
    /// Name of the voice.
    pub voice: String,
}

/// `flite 2.2 rms`
impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.engine, self.version, self.voice)
    }
}

/// How fast to speak, in percent of the usual.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Rate(u16);

impl Rate {
    /// As the voice speaks by itself.
    pub const NORMAL: Self = Self(100);

    /// `percent` of the usual rate, brought into 50 to 200.
    #[must_use]
    pub fn percent(percent: u16) -> Self {
        Self(percent.clamp(50, 200))
    }

    /// Percent of the usual rate.
    #[must_use]
    pub fn as_percent(self) -> u16 {
        self.0
    }
}

/// Why a text was not spoken.
#[derive(Debug, thiserror::Error)]
pub enum SynthesisError {
    /// No engine is there, or none has a voice for the language.
    #[error(
        "no speech engine for {0}: install one (apt install libflite1 espeak-ng) or put a recording into prompts/{0}"
    )]
    NoEngine(Language),
    /// Too many texts are waiting; a later try can work.
    #[error("the speech engine has too much to do")]
    Busy,
    /// It took longer than allowed; a later try can work.
    #[error("the speech engine took longer than {0:?}")]
    TimedOut(Duration),
    /// The engine failed on this text.
    #[error("the speech engine failed: {0}")]
    Failed(String),
}

impl SynthesisError {
    /// Whether the same text may work a moment later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy | Self::TimedOut(_))
    }
}

/// Why an engine could not be started.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// A library or program is not there.
    #[error("{what} is not installed ({reason}): {remedy}")]
    Missing {
        /// The file that was looked for.
        what: String,
        /// What the system said.
        reason: String,
        /// What to do.
        remedy: &'static str,
    },
    /// It is there but does not work.
    #[error("{what} does not work: {reason}")]
    Broken {
        /// The engine.
        what: &'static str,
        /// What happened.
        reason: String,
    },
}

/// Speech engines in the configuration file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Engines in the order in which they are tried. Flite first: over a telephone it is understood far better than
    /// espeak-ng (see `docs/decisions/0005-speech.md`), but it knows English only.
    pub engines: Vec<EngineName>,
    /// Voice of flite.
    pub flite_voice: FliteVoice,
    /// The espeak-ng program; a name is looked for in `PATH`.
    pub espeak_program: String,
    /// The longest that one text may take, in milliseconds. A sentence takes 50 to 500; a caller waits no longer than
    /// this before the flow goes on without it.
    pub deadline_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            engines: vec![EngineName::Flite, EngineName::EspeakNg],
            flite_voice: FliteVoice::Rms,
            espeak_program: "espeak-ng".to_owned(),
            deadline_ms: 5_000,
        }
    }
}

/// An engine in the configuration file.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum EngineName {
    /// Flite: English.
    Flite,
    /// espeak-ng: everything else.
    EspeakNg,
}

/// The engines that are there.
#[derive(Clone, Default)]
pub struct Engines(Vec<Arc<dyn Synthesizer>>);

impl Engines {
    /// Starts every configured engine. What is not installed is told, not fatal: recordings need no engine.
    #[must_use]
    pub fn start(config: &Config) -> (Self, Vec<EngineError>) {
        let deadline = Duration::from_millis(config.deadline_ms);
        let mut engines: Vec<Arc<dyn Synthesizer>> = Vec::new();
        let mut problems = Vec::new();
        for name in &config.engines {
            let started: Result<Arc<dyn Synthesizer>, EngineError> = match name {
                EngineName::Flite => Flite::start(config.flite_voice, deadline).map(|engine| Arc::new(engine) as _),
                EngineName::EspeakNg => {
                    Espeak::start(&config.espeak_program, deadline).map(|engine| Arc::new(engine) as _)
                }
            };
            match started {
                Ok(engine) => engines.push(engine),
                Err(problem) => problems.push(problem),
            }
        }
        (Self(engines), problems)
    }

    /// No engine at all.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Engines made elsewhere, in order of preference.
    #[must_use]
    pub fn new(engines: Vec<Arc<dyn Synthesizer>>) -> Self {
        Self(engines)
    }

    /// The first engine with a voice for `language`.
    ///
    /// # Errors
    /// [`SynthesisError::NoEngine`].
    pub fn for_language(&self, language: &Language) -> Result<&Arc<dyn Synthesizer>, SynthesisError> {
        self.0
            .iter()
            .find(|engine| engine.speaks(language))
            .ok_or_else(|| SynthesisError::NoEngine(language.clone()))
    }

    /// Which engines are there, for the log at start.
    pub fn identities(&self) -> impl Iterator<Item = &Identity> {
        self.0.iter().map(|engine| engine.identity())
    }
}

impl fmt::Debug for Engines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.identities()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn language(tag: &str) -> Language {
        tag.parse().expect("a tag")
    }

    #[test]
    fn english_is_spoken_by_flite_and_german_by_espeak() {
        let (engines, problems) = Engines::start(&Config::default());
        assert!(problems.is_empty(), "{problems:?}");
        let engine = |tag: &str| {
            engines
                .for_language(&language(tag))
                .expect("installed")
                .identity()
                .engine
        };
        assert_eq!((engine("en-US"), engine("de")), ("flite", "espeak-ng"));
    }

    #[test]
    fn without_an_engine_the_error_tells_what_to_install() {
        let config = Config {
            engines: vec![EngineName::EspeakNg],
            espeak_program: "/nonexistent/espeak-ng".to_owned(),
            ..Config::default()
        };
        let (engines, problems) = Engines::start(&config);
        assert!(
            problems[0].to_string().contains("apt install espeak-ng"),
            "{}",
            problems[0]
        );
        let error = engines.for_language(&language("en-US")).err().expect("no engine");
        assert!(error.to_string().contains("apt install libflite1"), "{error}");
    }
}
