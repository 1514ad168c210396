//! How a question is asked of one caller: its words and its sound, always in the same language.
//!
//! That is the language of the call, as far as the question has it. It does not depend on who was looked up: somebody who does
//! not exist would be told by a language that they cannot have.
//!
//! | what there is in the language of the call | words | sound |
//! |---|---|---|
//! | a recording and a text | the text | the recording |
//! | a recording | what is recorded | the recording |
//! | a text | the text | an engine |
//! | nothing | the text in the language of the house | an engine, in that language |

use crate::identity::question::{Origin, Question};
use crate::speech::{Language, SpeakError, Speaker, Utterance};

/// A question in the words of one call.
#[derive(Debug)]
pub struct Wording<'a> {
    speaker: &'a Speaker,
    text: &'a str,
    language: &'a Language,
    origin: Origin,
    recording: Option<(&'a str, Utterance)>,
}

impl<'a> Wording<'a> {
    /// How `speaker` asks this question.
    #[must_use]
    pub fn new(question: &'a Question, speaker: &'a Speaker) -> Self {
        let spoken = speaker.language();
        let (text, language) = question.text_in(spoken);
        let prompt = question.prompt.as_deref();
        Self {
            speaker,
            text,
            // Nobody has said what the text is in: as ever, the language of the call.
            language: language.unwrap_or(spoken),
            origin: question.origin,
            recording: prompt.and_then(|id| Some((id, speaker.prompt(id)?))),
        }
    }

    /// What is asked.
    #[must_use]
    pub fn text(&self) -> &str {
        match &self.recording {
            Some((_, recording)) if !self.has_text() => recording.transcript(),
            _ => self.text,
        }
    }

    /// The language that it is asked in.
    #[must_use]
    pub fn language(&self) -> &Language {
        match self.recording {
            Some(_) if !self.has_text() => self.speaker.language(),
            _ => self.language,
        }
    }

    /// The recording of it, if there is one.
    #[must_use]
    pub fn prompt(&self) -> Option<&str> {
        self.recording.as_ref().map(|(id, _)| *id)
    }

    /// How it sounds: the recording, or the text by an engine; that of a person's own question is kept in memory for this call
    /// only.
    ///
    /// # Errors
    /// Those of [`Speaker::personal`].
    pub async fn sound(&self) -> Result<Utterance, SpeakError> {
        match (&self.recording, self.origin) {
            (Some((_, recording)), _) => Ok(recording.clone()),
            (None, Origin::Shared) => self.speaker.shared(self.text, self.voice()).await,
            (None, Origin::Personal) => self.speaker.personal(self.text, self.voice()).await,
        }
    }

    /// Whether the text is in the language of the call.
    fn has_text(&self) -> bool {
        self.language.primary() == self.speaker.language().primary()
    }

    /// The language of the voice for the text: that of the call, whatever the region of the text.
    fn voice(&self) -> &Language {
        match self.has_text() {
            true => self.speaker.language(),
            false => self.language,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::identity::ids::QuestionId;
    use crate::identity::question::Channels;
    use crate::speech::Speech;
    use crate::speech::cache::{self, Cache};
    use crate::speech::synthesizer::fake::Fake;

    const RECORDED: &str = "question.start_year";
    const RECORDED_WORDS: &str = "In which year did you start to work here? Use four digits.";

    /// The shipped prompts, once more under the name of German.
    async fn speech(fake: &Arc<Fake>) -> Speech {
        let prompts = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts/en-US");
        for tag in ["en-US", "de-DE"] {
            std::os::unix::fs::symlink(&shipped, prompts.path().join(tag)).unwrap();
        }
        let cache = Cache::open(&cache::Config::default()).unwrap();
        Speech::load(prompts.path(), fake.engines(), cache).await.unwrap().0
    }

    fn language(tag: &str) -> Language {
        tag.parse().unwrap()
    }

    fn question(prompt: Option<&str>, translations: &[(&str, &str)]) -> Question {
        Question {
            id: QuestionId::from_uuid(uuid::Uuid::from_u128(1)),
            text: "In English?".to_owned(),
            language: Some(language("en-US")),
            translations: translations
                .iter()
                .map(|(tag, text)| (language(tag), (*text).to_owned()))
                .collect(),
            prompt: prompt.map(str::to_owned),
            channels: Channels::default(),
            format: "digits 4-4".parse().unwrap(),
            origin: Origin::Shared,
        }
    }

    #[tokio::test]
    async fn words_and_sound_are_of_one_language() {
        let fake = Fake::of("tone", &["en", "de"]);
        let speech = speech(&fake).await;
        let german = speech.speaker(&language("de-DE")).unwrap();
        let (plain, translated) = (&[][..], &[("de-AT", "Auf Deutsch?")][..]);
        for (prompt, translations, words, said_in, voice) in [
            (Some(RECORDED), translated, "Auf Deutsch?", "de-AT", None),
            (Some(RECORDED), plain, RECORDED_WORDS, "de-DE", None),
            (None, translated, "Auf Deutsch?", "de-AT", Some("de-DE")),
            (None, plain, "In English?", "en-US", Some("en-US")),
            // A recording that is not there, as good as none.
            (Some("question.none"), plain, "In English?", "en-US", Some("en-US")),
        ] {
            let question = question(prompt, translations);
            // Its memory of what was said would spare the engine.
            let speaker = speech.speaker(&language("de-DE")).unwrap();
            let before = fake.spoken();
            let wording = Wording::new(&question, &speaker);
            assert_eq!((wording.text(), wording.language().as_str()), (words, said_in));
            let sound = wording.sound().await.unwrap();
            match voice {
                Some(voice) => {
                    assert_eq!(fake.last(), Some((voice.to_owned(), words.to_owned())));
                    assert_eq!(wording.prompt(), None);
                }
                None => {
                    assert_eq!((fake.spoken(), wording.prompt()), (before, prompt));
                    assert_eq!(sound.duration(), german.prompt(RECORDED).unwrap().duration());
                }
            }
        }
    }

    #[tokio::test]
    async fn in_the_language_of_the_house_a_question_has_its_own_text() {
        let fake = Fake::new("tone");
        let speech = speech(&fake).await;
        let speaker = speech.speaker(&language("en-GB")).unwrap();
        for prompt in [Some(RECORDED), None] {
            let question = question(prompt, &[("de", "Auf Deutsch?")]);
            let wording = Wording::new(&question, &speaker);
            assert_eq!((wording.text(), wording.language().as_str()), ("In English?", "en-US"));
            assert_eq!(wording.prompt(), prompt);
        }
    }

    #[tokio::test]
    async fn a_text_of_unknown_language_is_spoken_in_that_of_the_call() {
        let fake = Fake::of("tone", &["de"]);
        let speech = speech(&fake).await;
        let speaker = speech.speaker(&language("de-DE")).unwrap();
        let question = Question {
            language: None,
            ..question(None, &[])
        };
        let wording = Wording::new(&question, &speaker);
        assert_eq!(wording.language().as_str(), "de-DE");
        wording.sound().await.unwrap();
        assert_eq!(fake.last(), Some(("de-DE".to_owned(), "In English?".to_owned())));
    }
}
