//! An engine for tests: says a tone as long as the text, and counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::language::Language;
use super::{Engines, Identity, Rate, Synthesis, Synthesizer, Text};
use crate::speech::audio::signal::sine;

pub(crate) struct Fake {
    identity: Identity,
    spoken: AtomicUsize,
}

impl Fake {
    pub(crate) fn new(voice: &str) -> Arc<Self> {
        Arc::new(Self {
            identity: Identity {
                engine: "fake",
                version: "1".to_owned(),
                voice: voice.to_owned(),
            },
            spoken: AtomicUsize::new(0),
        })
    }

    pub(crate) fn engines(self: &Arc<Self>) -> Engines {
        Engines::new(vec![Arc::clone(self) as Arc<dyn Synthesizer>])
    }

    /// How many texts were spoken so far.
    pub(crate) fn spoken(&self) -> usize {
        self.spoken.load(Ordering::SeqCst)
    }
}

impl Synthesizer for Fake {
    fn identity(&self) -> &Identity {
        &self.identity
    }

    fn speaks(&self, language: &Language) -> bool {
        language.primary() == "en"
    }

    fn synthesize<'a>(&'a self, text: &'a Text, _: &'a Language, _: Rate) -> Synthesis<'a> {
        Box::pin(async {
            self.spoken.fetch_add(1, Ordering::SeqCst);
            Ok(sine(800.0, 0.2, 0.3 + 0.05 * text.as_str().len() as f64, 16_000))
        })
    }
}
