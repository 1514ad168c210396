//! Questions, the ways into Passline they are meant for, and which of them a caller is asked.
//!
//! Which ones is a *keyed* choice: unpredictable without the pepper, uniform over all subsets, and the same for one
//! subject until [`QuestionConfig::rotation`] is over. A fresh draw per call would let a caller who knows three of
//! seven answers hang up until those three come. Decoys choose by the same rule, so nothing tells them apart.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::answer::AnswerFormat;
use super::ids::QuestionId;
use super::lockout::SubjectKey;
use super::pepper::Peppers;
use crate::language::Language;
use crate::time::Timestamp;

/// A way in. Answers are enrolled for each of them apart, since each may have its own set of questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Channel {
    /// A caller keys digits.
    Phone,
    /// Help-desk staff type what they hear.
    Assisted,
    /// Users type for themselves.
    SelfService,
}

impl Channel {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Phone, Self::Assisted, Self::SelfService];

    /// Name as stored and configured.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Phone => "phone",
            Self::Assisted => "assisted",
            Self::SelfService => "self_service",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Channel {
    type Err = QuestionError;

    fn from_str(text: &str) -> Result<Self, QuestionError> {
        Self::ALL
            .into_iter()
            .find(|channel| channel.as_str() == text)
            .ok_or(QuestionError::Channel)
    }
}

/// A set of channels.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Channels(u8);

impl Channels {
    /// Whether `channel` is in the set.
    #[must_use]
    pub fn contains(self, channel: Channel) -> bool {
        self.0 & (1 << channel as u8) != 0
    }

    /// The members, in the order of [`Channel::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Channel> {
        Channel::ALL.into_iter().filter(move |&channel| self.contains(channel))
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl FromIterator<Channel> for Channels {
    fn from_iter<I: IntoIterator<Item = Channel>>(channels: I) -> Self {
        Self(channels.into_iter().fold(0, |set, channel| set | 1 << channel as u8))
    }
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Names with commas between, as stored: `phone,self_service`.
impl fmt::Display for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.iter().map(Channel::as_str).collect();
        f.write_str(&names.join(","))
    }
}

impl FromStr for Channels {
    type Err = QuestionError;

    fn from_str(text: &str) -> Result<Self, QuestionError> {
        text.split(',')
            .map(str::trim)
            .filter(|name| !name.is_empty())
            .map(str::parse)
            .collect()
    }
}

/// A question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Made here.
    pub id: QuestionId,
    /// What is asked, in words; spoken by a synthesizer if there is no recording. Files name the question by it.
    pub text: String,
    /// The language of `text`, if it is known.
    pub language: Option<Language>,
    /// What is asked in other languages.
    pub translations: BTreeMap<Language, String>,
    /// Prompt ID of a recording, such as `question.birthday`.
    pub prompt: Option<String>,
    /// Where it may be asked.
    pub channels: Channels,
    /// What the answer looks like.
    pub format: AnswerFormat,
    /// Who it belongs to.
    pub origin: Origin,
}

impl Question {
    /// What is asked in the language [closest](Language::closest) to a wish, or else [`text`](Self::text); and the language
    /// that this is in, if it is known.
    #[must_use]
    pub fn text_in(&self, wish: &Language) -> (&str, Option<&Language>) {
        let closest = wish.closest(self.language.iter().chain(self.translations.keys()));
        match closest.and_then(|language| self.translations.get_key_value(language)) {
            Some((language, text)) => (text, Some(language)),
            None => (&self.text, self.language.as_ref()),
        }
    }
}

/// Who wrote a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// The company, for everybody. Only these are asked of decoys.
    Shared,
    /// A user, for themselves: heard by nobody else.
    Personal,
}

/// A field of a question that cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum QuestionError {
    /// Not a channel.
    #[error("a channel is phone, assisted or self_service")]
    Channel,
    /// The configuration asks for none, or for more right answers than questions.
    #[error("questions: `ask` is 1 to 9 and `right` 1 to `ask`, but they are {ask} and {right}")]
    Counts {
        /// `ask` as configured.
        ask: u8,
        /// `right` as configured.
        right: u8,
    },
    /// No time at all.
    #[error("questions: `rotation_seconds` is at least 60")]
    Rotation,
}

/// How many questions are asked, and how long they stay the same.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuestionConfig {
    /// How many are asked in one round, 1 to 9. Default 3: with three dates a guess is one in 49 million, and people
    /// still stay on the line.
    pub ask: u8,
    /// How many of them must be right. Default 3: mistakes of the finger have a second round, a thief needs all.
    pub right: u8,
    /// After how long other questions come up. Default 24 hours: whoever hopes for the ones they know waits for days.
    #[serde(rename = "rotation_seconds", deserialize_with = "super::seconds::deserialize")]
    pub rotation: Duration,
}

impl Default for QuestionConfig {
    fn default() -> Self {
        Self {
            ask: 3,
            right: 3,
            rotation: Duration::from_secs(24 * 60 * 60),
        }
    }
}

impl QuestionConfig {
    /// Whether the numbers go together.
    ///
    /// # Errors
    /// Says which do not.
    pub fn check(&self) -> Result<(), QuestionError> {
        let (ask, right) = (self.ask, self.right);
        if !(1..=9).contains(&ask) || !(1..=ask).contains(&right) {
            return Err(QuestionError::Counts { ask, right });
        }
        if self.rotation < Duration::from_secs(60) {
            return Err(QuestionError::Rotation);
        }
        Ok(())
    }
}

/// Chooses what `subject` is asked now, in this order. `None` if fewer than [`QuestionConfig::ask`] are enrolled:
/// such a user cannot be verified here, and is answered like an unknown ID.
///
/// The order in `enrolled` does not matter.
#[must_use]
pub fn choose(
    peppers: &Peppers,
    config: &QuestionConfig,
    subject: &SubjectKey,
    now: Timestamp,
    enrolled: &[QuestionId],
) -> Option<Vec<QuestionId>> {
    let ask = usize::from(config.ask);
    let window = window(now, config.rotation);
    let mut ranked: Vec<_> = enrolled
        .iter()
        .map(|&question| {
            let id = question.as_uuid();
            let parts: [&[u8]; 3] = [subject.as_bytes(), &window.to_be_bytes(), id.as_bytes()];
            (peppers.eldest().mac("question choice", &parts), question)
        })
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked.truncate(ask);
    (ranked.len() == ask).then(|| ranked.into_iter().map(|(_, question)| question).collect())
}

fn window(now: Timestamp, rotation: Duration) -> i64 {
    let length = i64::try_from(rotation.as_millis()).unwrap_or(i64::MAX).max(1);
    now.as_millis().div_euclid(length)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use uuid::Uuid;

    use super::super::ids::UserId;
    use super::super::pepper::{Pepper, PepperId};
    use super::*;

    const DAY: i64 = 24 * 60 * 60 * 1000;

    fn peppers() -> Peppers {
        Peppers::single(Pepper::new(PepperId(1), [7; 32]))
    }

    fn subject(number: u128) -> SubjectKey {
        SubjectKey::user(&peppers(), UserId::from_uuid(Uuid::from_u128(number)))
    }

    fn questions(count: u128) -> Vec<QuestionId> {
        (0..count)
            .map(|number| QuestionId::from_uuid(Uuid::from_u128(number)))
            .collect()
    }

    fn choose_at(millis: i64, subject: &SubjectKey, enrolled: &[QuestionId]) -> Option<Vec<QuestionId>> {
        let now = Timestamp::from_millis(millis);
        choose(&peppers(), &QuestionConfig::default(), subject, now, enrolled)
    }

    #[test]
    fn the_choice_stays_for_a_day_and_then_changes() {
        let (subject, enrolled) = (subject(1), questions(20));
        let first = choose_at(0, &subject, &enrolled);
        assert_eq!(choose_at(DAY - 1, &subject, &enrolled), first);
        assert_ne!(choose_at(DAY, &subject, &enrolled), first);
        let backwards: Vec<_> = enrolled.iter().rev().copied().collect();
        assert_eq!(choose_at(0, &subject, &backwards), first);
    }

    #[test]
    fn no_question_is_asked_twice_and_too_few_are_none() {
        let three = questions(3);
        let chosen = choose_at(0, &subject(1), &three).unwrap();
        assert_eq!(chosen.iter().collect::<BTreeSet<_>>(), three.iter().collect());
        assert_eq!(choose_at(0, &subject(1), &three[..2]), None);
        assert_eq!(choose_at(0, &subject(1), &[three[0], three[0], three[1]]), None);
    }

    #[test]
    fn every_subset_and_order_comes_up_equally_often() {
        let enrolled = questions(4);
        let mut seen: BTreeMap<Vec<QuestionId>, u32> = BTreeMap::new();
        for number in 0..4800 {
            *seen
                .entry(choose_at(0, &subject(number), &enrolled).unwrap())
                .or_default() += 1;
        }
        assert_eq!(seen.len(), 24);
        // 200 expected, standard deviation 14.
        assert!(seen.values().all(|count| (130..270).contains(count)), "{seen:?}");
    }

    #[test]
    fn another_pepper_chooses_otherwise_and_adding_one_changes_nothing() {
        let (config, now) = (QuestionConfig::default(), Timestamp::default());
        let (subject, enrolled) = (subject(1), questions(20));
        let with = |ring: Vec<Pepper>| choose(&Peppers::new(ring).unwrap(), &config, &subject, now, &enrolled);
        let (old, new) = (Pepper::new(PepperId(1), [7; 32]), Pepper::new(PepperId(2), [8; 32]));
        assert_eq!(with(vec![old.clone(), new.clone()]), with(vec![old.clone()]));
        assert_ne!(with(vec![new]), with(vec![old]));
    }

    #[test]
    fn counts_and_rotation_are_checked_at_their_boundaries() {
        let check = |ask, right, seconds| {
            let rotation = Duration::from_secs(seconds);
            QuestionConfig { ask, right, rotation }.check().is_ok()
        };
        assert!(check(1, 1, 60) && check(9, 9, 60) && check(9, 1, 60));
        assert!(!check(0, 0, 60) && !check(10, 3, 60) && !check(3, 0, 60) && !check(3, 4, 60) && !check(3, 3, 59));
        assert!(QuestionConfig::default().check().is_ok());
    }

    /// A question whose text is named after its language, with translations that are named after theirs.
    fn asked_in(language: Option<&str>, translations: &[&str]) -> Question {
        Question {
            id: QuestionId::from_uuid(Uuid::from_u128(1)),
            text: language.unwrap_or("unknown").to_owned(),
            language: language.map(|tag| tag.parse().unwrap()),
            translations: translations
                .iter()
                .map(|&tag| (tag.parse().unwrap(), tag.to_owned()))
                .collect(),
            prompt: None,
            channels: Channels::default(),
            format: "digits 4-4".parse().unwrap(),
            origin: Origin::Shared,
        }
    }

    #[test]
    fn the_text_is_that_of_the_closest_language() {
        let question = asked_in(Some("en-US"), &["de-AT", "de-DE", "en-GB"]);
        for (wish, text) in [
            ("de-DE", "de-DE"),
            ("DE-de", "de-DE"),
            ("de-CH", "de-AT"),
            ("en-GB", "en-GB"),
            // Its own language goes before translations that come no closer.
            ("en-US", "en-US"),
            ("en-AU", "en-US"),
            ("fr", "en-US"),
        ] {
            let wish = wish.parse().unwrap();
            let language: Language = text.parse().unwrap();
            assert_eq!(question.text_in(&wish), (text, Some(&language)), "{wish}");
        }
    }

    #[test]
    fn a_text_of_unknown_language_is_for_those_who_have_no_translation() {
        let question = asked_in(None, &["de"]);
        assert_eq!(question.text_in(&"de-DE".parse().unwrap()).0, "de");
        assert_eq!(question.text_in(&"en-US".parse().unwrap()), ("unknown", None));
    }

    #[test]
    fn channels_round_trip() {
        let both: Channels = "self_service, phone".parse().unwrap();
        assert_eq!(both.to_string(), "phone,self_service");
        assert!(both.contains(Channel::Phone) && !both.contains(Channel::Assisted));
        assert!("".parse::<Channels>().unwrap().is_empty());
        assert_eq!("fax".parse::<Channels>(), Err(QuestionError::Channel));
    }

    #[test]
    fn configuration_refuses_unknown_keys() {
        let config: QuestionConfig = toml::from_str("ask = 5\nrotation_seconds = 3600").unwrap();
        assert_eq!((config.ask, config.right, config.rotation.as_secs()), (5, 3, 3600));
        assert!(toml::from_str::<QuestionConfig>("asks = 5").is_err());
    }
}
