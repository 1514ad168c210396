//! The voice of one call: turns what a flow wants to say into a playlist.
//!
//! Prompts come from the catalog that the call began with. Slots hold what an operation found out ([`Slots`]); they are
//! made ready when the operation ends, so that speaking them later never waits.

use std::collections::BTreeMap;

use super::wording::Wording;
use crate::dialplan::operation::Slot;
use crate::dialplan::{PlayItem, PromptId};
use crate::digit::Digit;
use crate::identity::question::Question;
use crate::integration::target::{AccountState, Refusal};
use crate::secret::Secret;
use crate::service::{AccountReport, AccountStateReport, Outcome, System};
use crate::speech::phrase::{Character, Fill, Pace, Piece};
use crate::speech::{self, Language, Part, SpeakError, Speaker, Speech, Utterance};
use crate::telephony::media::{OnKey, Playlist, Privacy, Segment};
use zeroize::Zeroizing;

/// What was changed, for choosing words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Passwords.
    Reset,
    /// Locks.
    Unlock,
}

/// What is only known during the call, ready to be spoken.
#[derive(Default)]
pub(super) struct Slots {
    utterances: BTreeMap<Slot, Utterance>,
    /// The password in words, for an IVR that has a voice of its own.
    spelled: Option<Secret>,
}

/// One thing to say, for an IVR that says it.
pub(super) struct Said {
    /// The prompt that it is, if it is one.
    pub(super) prompt: Option<PromptId>,
    pub(super) utterance: Utterance,
    /// In words, where the utterance does not tell them: a password.
    pub(super) spelled: Option<Secret>,
}

impl Slots {
    /// Fills the slot of the password, with its characters in words.
    pub(super) fn fill_password(&mut self, utterance: Utterance, spelled: Secret) {
        self.fill(Slot::Password, utterance);
        self.spelled = Some(spelled);
    }

    /// Fills a slot; what was in it is gone.
    pub(super) fn fill(&mut self, slot: Slot, utterance: Utterance) {
        self.utterances.insert(slot, utterance);
    }

    /// Takes over everything from `newer`.
    pub(super) fn merge(&mut self, newer: Self) {
        self.utterances.extend(newer.utterances);
        if newer.spelled.is_some() {
            self.spelled = newer.spelled;
        }
    }

    /// Empties a slot.
    pub(super) fn clear(&mut self, slot: Slot) {
        self.utterances.remove(&slot);
        if slot == Slot::Password {
            self.spelled = None;
        }
    }
}

/// Speaks for one call.
pub(super) struct Voice {
    speaker: Speaker,
    labels: Labels,
}

/// How systems are called in speech: by name in the configuration.
#[derive(Clone, Debug, Default)]
pub struct Labels(BTreeMap<String, Label>);

/// How one system is called in speech.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Label {
    /// A prompt that says its name; it is used if it is there.
    pub prompt: String,
    /// The name as text, for an engine, when there is no such prompt.
    pub text: String,
}

impl Labels {
    /// The name of a system as text; that of the configuration, if it has no other.
    #[must_use]
    pub fn text<'a>(&'a self, system: &'a str) -> &'a str {
        self.0.get(system).map_or(system, |label| &label.text)
    }
}

impl FromIterator<(String, Label)> for Labels {
    fn from_iter<I: IntoIterator<Item = (String, Label)>>(labels: I) -> Self {
        Self(labels.into_iter().collect())
    }
}

impl Voice {
    /// A voice in `language`, or the closest one that is there.
    pub(super) fn new(speech: &Speech, language: &Language, labels: Labels) -> Result<Self, SpeakError> {
        Ok(Self {
            speaker: speech.speaker(language)?,
            labels,
        })
    }

    /// The playlist for `items`; what has no audio is left out and named in the log (the checker finds such prompts before
    /// a flow is used).
    pub(super) fn playlist(&self, items: &[PlayItem], slots: &Slots, barge_in: bool) -> Playlist {
        let mut playlist = Playlist {
            segments: Vec::new(),
            privacy: Privacy::Public,
            on_key: if barge_in { OnKey::Stop } else { OnKey::KeepPlaying },
        };
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                playlist.segments.push(Segment::Silence(ITEM_PAUSE));
            }
            if let Some(utterance) = self.utterance(item, slots) {
                append(&mut playlist, &utterance);
            }
        }
        playlist
    }

    /// Each of `items` by itself; what has no audio is left out and named in the log.
    pub(super) fn each(&self, items: &[PlayItem], slots: &Slots) -> Vec<Said> {
        let mut all = Vec::with_capacity(items.len());
        for item in items {
            let Some(utterance) = self.utterance(item, slots) else {
                continue;
            };
            let (prompt, spelled) = match item {
                PlayItem::Prompt(id) => (Some(id.clone()), None),
                PlayItem::Slot(Slot::Password) => (None, slots.spelled.clone()),
                PlayItem::Slot(_) => (None, None),
            };
            all.push(Said {
                prompt,
                utterance,
                spelled,
            });
        }
        all
    }

    fn utterance(&self, item: &PlayItem, slots: &Slots) -> Option<Utterance> {
        let utterance = match item {
            PlayItem::Prompt(id) => self.speaker.prompt(id.as_str()),
            PlayItem::Slot(slot) => slots.utterances.get(slot).cloned(),
        };
        if utterance.is_none() {
            match item {
                PlayItem::Prompt(prompt) => {
                    tracing::warn!(%prompt, "prompt has no audio; run `passline prompts check`");
                }
                PlayItem::Slot(slot) => {
                    tracing::warn!(%slot, "nothing is known to say here; run `passline dialplan check`");
                }
            }
        }
        utterance
    }

    /// The language that is spoken.
    pub(super) fn language(&self) -> &Language {
        self.speaker.language()
    }

    /// What a caller would hear, as text; secrets are only named.
    pub(super) fn transcript(&self, items: &[PlayItem], slots: &Slots) -> Vec<String> {
        let spoken = |item: &PlayItem| match item {
            PlayItem::Prompt(id) => match self.speaker.prompt(id.as_str()) {
                Some(utterance) => utterance.transcript().to_owned(),
                None => format!("({id} has no audio)"),
            },
            PlayItem::Slot(slot) => match slots.utterances.get(slot) {
                Some(utterance) if utterance.privacy() == speech::Privacy::Secret => format!("({slot}, spelled)"),
                Some(utterance) => utterance.transcript().to_owned(),
                None => format!("({slot} is not known)"),
            },
        };
        items.iter().map(spoken).collect()
    }

    /// A prompt outside of any flow, for a page.
    pub(super) fn recording(&self, id: &str) -> Option<Utterance> {
        self.speaker.prompt(id)
    }

    /// A prompt outside of any flow.
    pub(super) fn prompt(&self, id: &str) -> Playlist {
        let mut playlist = Playlist {
            on_key: OnKey::KeepPlaying,
            ..Playlist::default()
        };
        if let Some(utterance) = self.speaker.prompt(id) {
            append(&mut playlist, &utterance);
        }
        playlist
    }

    /// A security question, in the language of the call if it is to be had.
    pub(super) async fn question(&self, question: &Question) -> Result<Utterance, SpeakError> {
        Wording::new(question, &self.speaker).sound().await
    }

    /// "For Active Directory, press 1, for mail, press 2".
    pub(super) async fn systems_menu(&self, systems: &[System]) -> Result<Utterance, SpeakError> {
        let keys = Digit::ALL[1..10].iter().copied();
        let lines: Vec<_> = keys
            .zip(systems)
            .map(|(key, system)| (key, vec![self.system_piece(&system.name)]))
            .collect();
        self.speaker.menu(&lines).await
    }

    /// The name of a system.
    pub(super) async fn system(&self, name: &str) -> Result<Utterance, SpeakError> {
        self.speaker.say(&[self.system_piece(name)]).await
    }

    /// A sentence for each account.
    pub(super) async fn account_states(&self, reports: &[AccountStateReport]) -> Result<Utterance, SpeakError> {
        let sentences = reports
            .iter()
            .map(|report| (report.system.as_str(), state_prompt(report.state.as_ref())));
        self.sentences("account_state", "state", sentences).await
    }

    /// A sentence for each system about what was done. That a new password must be changed is said once at the end where it
    /// is so on all systems that have it, else right behind each system where it is so.
    pub(super) async fn results(&self, change: Change, outcomes: &[AccountReport]) -> Result<Utterance, SpeakError> {
        let done = || outcomes.iter().filter(|report| report.outcome == Outcome::Done);
        let must_change = self.speaker.say(&[Piece::prompt("outcome.must_change")]).await?;
        let on_all = done().all(|report| report.must_change);
        let mut all = Utterance::new(speech::Privacy::Public);
        for report in outcomes {
            let sentence = (report.system.as_str(), outcome_prompt(change, report.outcome));
            all.append(&self.sentences("result", "outcome", [sentence].into_iter()).await?);
            if report.must_change && !on_all {
                all.append(&must_change);
                all.push_pause(SENTENCE_PAUSE);
            }
        }
        if on_all && done().next().is_some() {
            all.append(&must_change);
        }
        Ok(all)
    }

    /// A password, spelled.
    pub(super) fn password(&self, password: &Secret, pace: Pace) -> Result<Utterance, SpeakError> {
        self.speaker.spell(password, pace)
    }

    /// A password in words: "capital B, seven, dollar".
    pub(super) fn password_in_words(&self, password: &Secret) -> Secret {
        let words = password.expose().chars().filter_map(|c| {
            let id = Character::of(c).map(Character::prompt_id)?;
            self.speaker.prompt(&id)
        });
        let mut text = Zeroizing::new(String::with_capacity(32 * password.expose().len()));
        for utterance in words {
            if !text.is_empty() {
                text.push_str(", ");
            }
            text.push_str(utterance.transcript());
        }
        Secret::new(text.as_str().to_owned())
    }

    async fn sentences(
        &self,
        phrase: &str,
        gap: &str,
        items: impl Iterator<Item = (&str, &str)>,
    ) -> Result<Utterance, SpeakError> {
        let mut all = Utterance::new(speech::Privacy::Public);
        for (system, prompt) in items {
            let fills = [
                ("system", Fill::Pieces(&[self.system_piece(system)])),
                (gap, Fill::Pieces(&[Piece::prompt(prompt)])),
            ];
            // What was done is told for the other systems all the same: that a name cannot be spoken changes nothing of it.
            let sentence = match self.speaker.phrase(phrase, &fills).await {
                Ok(sentence) => sentence,
                Err(error) => {
                    tracing::error!(%system, %error, "a system cannot be named; run `passline check`");
                    continue;
                }
            };
            all.append(&sentence);
            all.push_pause(SENTENCE_PAUSE);
        }
        Ok(all)
    }

    fn system_piece(&self, name: &str) -> Piece {
        match self.labels.0.get(name) {
            Some(label) => self.speaker.recorded_or_text(&label.prompt, &label.text),
            None => Piece::Text(name.to_owned()),
        }
    }
}

/// Between two items of one step: "In which year ...?", "Enter your answer."
pub(super) const ITEM_PAUSE: std::time::Duration = std::time::Duration::from_millis(300);

/// Between one system and the next.
const SENTENCE_PAUSE: std::time::Duration = std::time::Duration::from_millis(250);

fn append(playlist: &mut Playlist, utterance: &Utterance) {
    if utterance.privacy() == speech::Privacy::Secret {
        playlist.privacy = Privacy::Secret;
    }
    playlist
        .segments
        .extend(utterance.parts().iter().map(|part| match part {
            Part::Clip(clip) => Segment::Clip(clip.clone()),
            Part::Pause(pause) => Segment::Silence(*pause),
        }));
}

fn state_prompt(state: Option<&AccountState>) -> &'static str {
    match state {
        None => "state.unknown",
        Some(state) if state.disabled == Some(true) => "state.disabled",
        Some(state) if state.locked == Some(true) => "state.locked",
        Some(state) if state.must_change == Some(true) => "state.must_change",
        Some(_) => "state.normal",
    }
}

fn outcome_prompt(change: Change, outcome: Outcome) -> &'static str {
    match (outcome, change) {
        (Outcome::Done, Change::Reset) => "outcome.reset",
        (Outcome::Done, Change::Unlock) => "outcome.unlocked",
        (Outcome::Unknown, _) => "outcome.unknown",
        (Outcome::Unreachable, _) => "outcome.unreachable",
        (Outcome::Refused(Refusal::Disabled), _) => "outcome.disabled",
        (Outcome::Refused(Refusal::NoSuchAccount), _) => "outcome.no_account",
        (Outcome::Refused(Refusal::Policy), Change::Reset) => "outcome.refused",
        (Outcome::Refused(_), Change::Reset) => "outcome.reset_failed",
        (Outcome::Refused(_), Change::Unlock) => "outcome.unlock_failed",
        (Outcome::NotDone | Outcome::Unsupported, Change::Reset) => "outcome.reset_failed",
        (Outcome::NotDone | Outcome::Unsupported, Change::Unlock) => "outcome.unlock_failed",
    }
}

/// Prompts that the program says by itself, besides those that flows name; every language must have them.
pub const SPOKEN_BY_PROGRAM: &[&str] = &[
    "state.unknown",
    "state.disabled",
    "state.locked",
    "state.must_change",
    "state.normal",
    "outcome.must_change",
    "outcome.reset",
    "outcome.reset_failed",
    "outcome.unlocked",
    "outcome.unlock_failed",
    "outcome.unknown",
    "outcome.unreachable",
    "outcome.refused",
    "outcome.disabled",
    "outcome.no_account",
    "error.technical",
    "error.closing",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::speech::cache::{self, Cache};
    use crate::speech::synthesizer::Engines;

    /// A reset that had worked was told as uncertain, because there was no engine for the name of one system.
    #[tokio::test]
    async fn a_name_that_cannot_be_spoken_hides_no_result_of_another_system() {
        let cache = Cache::open(&cache::Config::default()).expect("no folder is needed");
        let prompts = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts");
        let (speech, _) = Speech::load(&prompts, Engines::none(), cache)
            .await
            .expect("good prompts");
        let label = Label {
            prompt: "system.mail".to_owned(),
            text: "Mail".to_owned(),
        };
        let labels = Labels::from_iter([("mail".to_owned(), label)]);
        let voice = Voice::new(&speech, &"en-US".parse().expect("a language"), labels).expect("a voice");
        let done = |system: &str| AccountReport {
            system: system.to_owned(),
            account: "ada".to_owned(),
            outcome: Outcome::Done,
            must_change: false,
        };
        let told = voice
            .results(Change::Unlock, &[done("zebra"), done("mail")])
            .await
            .expect("what can be said is said");
        assert_eq!(told.transcript(), "Mail is unlocked.");
    }

    #[tokio::test]
    async fn that_a_password_must_be_changed_is_said_where_it_is_so() {
        let cache = Cache::open(&cache::Config::default()).expect("no folder is needed");
        let prompts = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts");
        let (speech, _) = Speech::load(&prompts, Engines::none(), cache)
            .await
            .expect("good prompts");
        let label = |name: &str| {
            let (prompt, text) = (format!("system.{name}"), name.to_owned());
            (name.to_owned(), Label { prompt, text })
        };
        let labels = Labels::from_iter(["mail", "payroll"].map(label));
        let voice = Voice::new(&speech, &"en-US".parse().expect("a language"), labels).expect("a voice");
        let told = async |mail: (Outcome, bool), payroll: (Outcome, bool)| {
            let report = |system: &str, (outcome, must_change)| AccountReport {
                system: system.to_owned(),
                account: "ada".to_owned(),
                outcome,
                must_change,
            };
            let reports = [report("mail", mail), report("payroll", payroll)];
            let told = voice
                .results(Change::Reset, &reports)
                .await
                .expect("both have recordings");
            told.transcript().to_owned()
        };
        let (done, must) = (
            "has your new password.",
            voice.speaker.prompt("outcome.must_change").expect("a prompt"),
        );
        let must = must.transcript();
        assert_eq!(
            told((Outcome::Done, true), (Outcome::Done, true)).await,
            format!("Mail {done} Payroll {done} {must}"),
        );
        assert_eq!(
            told((Outcome::Done, true), (Outcome::Done, false)).await,
            format!("Mail {done} {must} Payroll {done}"),
        );
        assert_eq!(
            told((Outcome::Done, false), (Outcome::Done, false)).await,
            format!("Mail {done} Payroll {done}")
        );
        let failed = told((Outcome::Done, true), (Outcome::NotDone, false)).await;
        assert!(failed.ends_with(&must), "{failed}");
    }
}
