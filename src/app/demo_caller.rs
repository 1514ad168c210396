//! The caller of the demo: dials, listens, keys. What it knows, it heard: an [`Ear`] compares the audio of the line with
//! the clips of the prompts, the spelled characters of the password among them.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use zeroize::Zeroizing;

use super::demo_data::Person;
use crate::call::phone::ear::Ear;
use crate::call::phone::vocabulary::{self, Word};
use crate::call::phone::{Dialling, Phone, PhoneCall, PhoneEvent};
use crate::digit::Digits;
use crate::secret::Secret;
use crate::speech::catalog::Prompts;
use crate::speech::{Language, Speech};
use crate::telephony::codec::Codec;

/// The call takes about two minutes; something hangs if it takes this long.
const PATIENCE: Duration = Duration::from_secs(300);

/// After so many characters the caller asks for another password.
const IMPATIENT: usize = 4;

/// A pause before keying, as a person needs it.
const THINKING: Duration = Duration::from_millis(500);

/// A line of the transcript.
#[derive(Debug)]
pub struct Line {
    /// Since the call was answered.
    pub at: Duration,
    /// What happened.
    pub heard: Heard,
}

/// What the caller heard or did.
#[derive(Debug)]
pub enum Heard {
    /// This was said.
    Said(String),
    /// A password was spelled.
    Spelled,
    /// Keys were pressed; answers are shown as dots.
    Keyed {
        /// What may be shown of them.
        shown: String,
        /// What they are.
        why: &'static str,
    },
    /// Passline hung up.
    HungUp,
}

/// Calls, goes through the stock flow, and returns the password that was heard and accepted.
///
/// # Errors
/// When the call fails, or does not go as it should.
pub async fn call(
    address: SocketAddr,
    person: &Person,
    speech: &Speech,
    language: &Language,
    tell: impl FnMut(Line),
) -> anyhow::Result<Secret> {
    let phone = Phone::start(address.ip())?;
    let dialling = Dialling {
        codecs: vec![Codec::Pcmu.encoding_name().to_owned()],
        ..Dialling::default()
    };
    let catalog = speech.catalog();
    let prompts = catalog
        .prompts(language)
        .context("the language of the demo has prompts")?;
    let questions = person.answers.iter().map(|(question, _)| question.as_str());
    let ear = vocabulary::ear(
        speech,
        language,
        Codec::Pcmu,
        questions.filter(|question| !prompts.contains(question)),
    )
    .await?;
    let mut call = phone.dial(&format!("sip:100@{address}"), dialling).await?;
    let mut caller = Caller {
        call: &mut call,
        ear,
        person,
        prompts,
        tell,
        password: Zeroizing::default(),
        spelling: false,
        refused: 0,
    };
    let result = tokio::time::timeout(PATIENCE, caller.talk()).await;
    let password = Secret::new(std::mem::take(&mut *caller.password));
    call.finish().await?;
    phone.shutdown().await;
    result.context("the call does not come to an end")??;
    anyhow::ensure!(!password.is_empty(), "no password was heard");
    Ok(password)
}

struct Caller<'a, T> {
    call: &'a mut PhoneCall,
    ear: Ear<Word>,
    person: &'a Person,
    prompts: &'a Prompts,
    tell: T,
    /// What was spelled last.
    password: Zeroizing<String>,
    spelling: bool,
    /// Passwords that were turned down.
    refused: u32,
}

impl<T: FnMut(Line)> Caller<'_, T> {
    async fn talk(&mut self) -> anyhow::Result<()> {
        loop {
            match self.call.next_event().await {
                PhoneEvent::Heard(audio) => {
                    for heard in self.ear.hear(&audio.payload) {
                        self.hear(heard.label, heard.complete).await?;
                    }
                }
                PhoneEvent::KeysSent => {}
                PhoneEvent::HungUp => {
                    self.say(Heard::HungUp);
                    return Ok(());
                }
            }
        }
    }

    async fn hear(&mut self, word: Word, complete: bool) -> anyhow::Result<()> {
        match word {
            Word::Character(character) => {
                if !self.spelling {
                    self.spelling = true;
                    self.password.clear();
                    self.say(Heard::Spelled);
                }
                self.password.push(character);
                if self.refused == 0 && self.password.len() == IMPATIENT {
                    self.refused = 1;
                    self.key("3", "another password, please").await?;
                }
            }
            Word::Text(question) => {
                self.say(Heard::Said(question.clone()));
                self.answer(&question).await?;
            }
            Word::Prompt(id) => {
                self.spelling = false;
                let text = self.prompts.text(&id).unwrap_or(&id).to_owned();
                self.say(Heard::Said(if complete {
                    text
                } else {
                    format!("{text} (cut short by a key)")
                }));
                self.react(&id).await?;
            }
        }
        Ok(())
    }

    /// What the person does when this has been said.
    async fn react(&mut self, prompt: &str) -> anyhow::Result<()> {
        match prompt {
            "identify.ask" => {
                self.key(&format!("{}#", self.person.number), "the employee number")
                    .await
            }
            "menu.main" => self.key("1", "reset all passwords").await,
            "password.menu" => self.key("4", "this one").await,
            "anything_else.ask" => self.key("2", "no, thank you").await,
            id if self.person.answers.iter().any(|(question, _)| question == id) => self.answer(id).await,
            _ => Ok(()),
        }
    }

    async fn answer(&mut self, question: &str) -> anyhow::Result<()> {
        let answer = self
            .person
            .answers
            .iter()
            .find(|(known, _)| known == question)
            .map(|(_, answer)| answer.as_str());
        let keys = format!("{}#", answer.context("a question that the person has no answer to")?);
        self.press(&keys).await?;
        self.say(Heard::Keyed {
            shown: "•".repeat(keys.len() - 1) + "#",
            why: "the answer",
        });
        Ok(())
    }

    async fn key(&mut self, keys: &str, why: &'static str) -> anyhow::Result<()> {
        self.press(keys).await?;
        self.say(Heard::Keyed {
            shown: keys.to_owned(),
            why,
        });
        Ok(())
    }

    async fn press(&mut self, keys: &str) -> anyhow::Result<()> {
        // Not listening for that long loses nothing: what is said meanwhile waits.
        tokio::time::sleep(THINKING).await;
        for &digit in Digits::parse(keys).context("keys of the demo are keys")?.expose() {
            self.call.press(digit).await;
        }
        Ok(())
    }

    fn say(&mut self, heard: Heard) {
        (self.tell)(Line {
            at: self.call.length(),
            heard,
        });
    }
}
