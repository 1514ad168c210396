//! An engine for tests: says a tone as long as the text, and notes what it said.

use std::sync::{Arc, Mutex};

use super::{Engines, Identity, Rate, Synthesis, Synthesizer, Text};
use crate::language::Language;
use crate::speech::audio::signal::sine;

pub(crate) struct Fake {
    identity: Identity,
    /// Primary parts.
    languages: &'static [&'static str],
    said: Mutex<Vec<(Language, String)>>,
}

impl Fake {
    /// One that speaks English.
    pub(crate) fn new(voice: &str) -> Arc<Self> {
        Self::of(voice, &["en"])
    }

    /// One that speaks these languages.
    pub(crate) fn of(voice: &str, languages: &'static [&'static str]) -> Arc<Self> {
        Arc::new(Self {
            identity: Identity {
                engine: "fake",
                version: "1".to_owned(),
                voice: voice.to_owned(),
            },
            languages,
            said: Mutex::default(),
        })
    }

    pub(crate) fn engines(self: &Arc<Self>) -> Engines {
        Engines::new(vec![Arc::clone(self) as Arc<dyn Synthesizer>])
    }

    /// How many texts were spoken so far.
    pub(crate) fn spoken(&self) -> usize {
        self.said.lock().unwrap().len()
    }

    /// What it said last, and in which language.
    pub(crate) fn last(&self) -> Option<(String, String)> {
        let said = self.said.lock().unwrap();
        said.last().map(|(language, text)| (language.to_string(), text.clone()))
    }
}

impl Synthesizer for Fake {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn speaks(&self, language: &Language) -> bool {
        self.languages.contains(&language.primary().as_str())
    }

    fn synthesize<'a>(&'a self, text: &'a Text, language: &'a Language, _: Rate) -> Synthesis<'a> {
        Box::pin(async {
            let said = (language.clone(), text.as_str().to_owned());
            self.said.lock().unwrap().push(said);
            Ok(sine(800.0, 0.2, 0.3 + 0.05 * text.as_str().len() as f64, 16_000))
        })
    }
}
