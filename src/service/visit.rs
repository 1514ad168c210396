//! A visit: one caller's way through the services, by whatever door.
//!
//! ```text
//!            identify              next_question             last answer of a round
//!  Arrived ────────────▶ Claimed ───────────────▶ Asking ─┬──────────────────────▶ Passed
//!     │ several             ▲                      ▲   │   └─ failed, locked ─────▶ Closed ─▶ identify again, a few times
//!     └─────▶ Several ──────┘ discriminate         └───┘ more, retry
//! ```
//!
//! All of it is in the row of the visit ([`State`]), as JSON: no node needs what another one remembers. What the caller
//! keyed is not there. An ID that nobody has is kept as the keyed hash that its decoy is made from.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::job::Job;
use super::repeat::Reply;
use super::{ServiceError, Services};
use crate::identity::attempt::{AttemptProgress, Claimed};
use crate::identity::decoy::Decoy;
use crate::identity::event::{Door, Origin};
use crate::identity::evidence::Evidence;
use crate::identity::ids::{AccountId, AttemptId, EvidenceId, QuestionId, SessionId, UserId};
use crate::identity::keypad::KeypadId;
use crate::identity::lockout::SubjectKey;
use crate::identity::pepper::Peppers;
use crate::identity::question::Channel;
use crate::store::visit::VisitRow;
use crate::store::{Transaction, evidence, visit};
use crate::time::Timestamp;

/// One caller's way through the services. A handle: cheap to clone, any number of them for one visit. Dropping it ends
/// nothing; [`Visit::end`] does, or time.
#[derive(Clone, Debug)]
pub struct Visit {
    pub(super) services: Services,
    pub(super) id: SessionId,
    pub(super) door: Door,
    /// The client of the API that it came through.
    pub(super) client: Option<Arc<str>>,
}

impl Visit {
    /// Its identifier. It is no proof of anything: a door on the web needs a secret token of its own for it.
    #[must_use]
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// The visit, for a transaction that only looks.
    pub(super) async fn look(&self, tx: &mut Transaction, now: Timestamp) -> Result<Loaded, ServiceError> {
        Loaded::new(visit::find(tx, self.id).await?, now)
    }

    /// The visit, for a transaction that changes it.
    pub(super) async fn load(&self, tx: &mut Transaction, now: Timestamp) -> Result<Loaded, ServiceError> {
        Loaded::new(visit::find_for_update(tx, self.id).await?, now)
    }

    pub(super) async fn save(&self, tx: &mut Transaction, state: &State) -> Result<(), ServiceError> {
        Ok(visit::put_state(tx, self.id, &state.to_json()).await?)
    }

    /// Whether it is still under way. It may be ended from elsewhere: with the sessions of an API user that is revoked. Looking
    /// makes it no longer.
    ///
    /// # Errors
    /// When the database fails, which says nothing of the visit.
    pub async fn is_under_way(&self) -> Result<bool, ServiceError> {
        let now = self.services.now();
        let mut tx = self.services.store().read().await?;
        match self.look(&mut tx, now).await {
            Ok(_) => Ok(true),
            Err(ServiceError::NoVisit) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The API user that the caller came through, if it was one.
    #[must_use]
    pub fn client(&self) -> Option<&str> {
        self.client.as_deref()
    }

    /// Where its events come from; `user` only once somebody is verified or meant, never for a decoy.
    pub(super) fn origin(&self, user: Option<UserId>) -> Origin {
        match &self.client {
            Some(client) => super::record::client(client, Some(self.id), user),
            None => super::record::caller(self.door, self.id, user),
        }
    }

    /// The evidence that an attempt of this visit has left, for a door whose requests hold nothing between them.
    ///
    /// # Errors
    /// [`ServiceError::NotVerified`] when nobody is verified, or not any more.
    pub async fn evidence(&self) -> Result<Evidence, ServiceError> {
        let now = self.services.now();
        let mut tx = self.services.store().read().await?;
        let state = self.look(&mut tx, now).await?.state;
        let Progress::Passed { evidence, .. } = state.progress else {
            return Err(ServiceError::NotVerified);
        };
        let live = evidence::live(&mut tx, evidence, self.id, now).await?;
        live.ok_or(ServiceError::NotVerified)
    }
}

impl Services {
    /// The handle of a visit that was begun here or on another node. Whether it is still under way shows when it is
    /// used.
    #[must_use]
    pub fn visit(&self, id: SessionId, door: Door) -> Visit {
        Visit {
            services: self.clone(),
            id,
            door,
            client: None,
        }
    }

    /// The same for a visit that a client of the API has begun for its caller.
    pub(super) fn visit_of_client(&self, id: SessionId, client: Arc<str>) -> Visit {
        Visit {
            client: Some(client),
            ..self.visit(id, Door::Api)
        }
    }
}

/// A visit under way, as loaded.
pub(super) struct Loaded {
    pub(super) state: State,
    pub(super) version: i64,
}

impl Loaded {
    fn new(row: Option<VisitRow>, now: Timestamp) -> Result<Self, ServiceError> {
        let row = row
            .filter(|row| row.ended.is_none() && now < row.expires)
            .ok_or(ServiceError::NoVisit)?;
        let state = State::from_json(&row.state).ok_or(ServiceError::NoVisit)?;
        Ok(Self {
            state,
            version: row.version,
        })
    }
}

/// How far a visit has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    /// Which set of questions applies.
    pub(super) channel: Channel,
    /// Where the call came in; names the lockout of callers without a number.
    pub(super) trunk: String,
    /// The calling number as the trunk gave it.
    pub(super) caller: Option<String>,
    /// How many IDs were keyed.
    pub(super) identifications: u32,
    /// How many passwords were proposed.
    pub(super) proposals: u32,
    /// Which accounts were chosen; all of them if none were.
    pub(super) selected: Option<Vec<AccountId>>,
    /// The client of the API that the caller came through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client: Option<String>,
    /// What requests with a key were answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) replies: Vec<Reply>,
    /// Changes that were ordered with a key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) jobs: Vec<Job>,
    /// What comes next.
    pub(super) progress: Progress,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub(super) enum Progress {
    /// Nobody is claimed.
    Arrived,
    /// The ID was that of several users.
    Several { entry: Entry, candidates: Vec<UserId> },
    /// Somebody is claimed, who may not exist.
    Claimed { claim: Claim },
    /// Questions are asked.
    Asking { claim: Claim, round: Round },
    /// Somebody is verified.
    Passed { user: UserId, evidence: EvidenceId },
    /// An attempt was not passed.
    Closed,
}

/// What was keyed, as a number that stands for it: made with the pepper, so the database does not tell the keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Entry(String);

impl Entry {
    /// Stands for an ID that was keyed, or for none (only star and pound were).
    pub(super) fn new(peppers: &Peppers, id: Option<&KeypadId>) -> Self {
        let id = id.cloned().or_else(|| KeypadId::from_number("0"));
        let subject = id.map(|id| Decoy::new(peppers, &id, None).subject(peppers));
        Self(subject.map(|subject| number_of(&subject)).unwrap_or_default())
    }

    /// The number.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// Stands for this entry with a second one.
    pub(super) fn with(&self, peppers: &Peppers, second: &crate::digit::Digits) -> Self {
        match KeypadId::from_number(&self.0) {
            Some(id) => Self(number_of(&Decoy::new(peppers, &id, Some(second)).subject(peppers))),
            None => self.clone(),
        }
    }

    /// Whom a caller meets who keyed it and is nobody.
    pub(super) fn decoy(&self, peppers: &Peppers) -> Option<Decoy> {
        KeypadId::from_number(&self.0).map(|id| Decoy::new(peppers, &id, None))
    }
}

/// The first 16 bytes of a keyed hash as digits.
fn number_of(subject: &SubjectKey) -> String {
    let (first, _) = subject.as_bytes().split_at(16);
    first
        .iter()
        .fold(0_u128, |number, byte| number << 8 | u128::from(*byte))
        .to_string()
}

/// Whom an attempt is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Claim {
    /// What was keyed.
    pub(super) entry: Entry,
    /// The user, if it is one who may be verified.
    pub(super) user: Option<UserId>,
}

impl Claim {
    /// The same as the rules of identity know it.
    pub(super) fn claimed(&self, peppers: &Peppers) -> Result<Claimed, ServiceError> {
        match self.user {
            Some(user) => Ok(Claimed::User(user)),
            None => self
                .entry
                .decoy(peppers)
                .map(Claimed::Decoy)
                .ok_or(ServiceError::NoVisit),
        }
    }
}

/// The key of the lockout of somebody claimed.
pub(super) fn subject_of(claimed: &Claimed, peppers: &Peppers) -> SubjectKey {
    match claimed {
        Claimed::User(user) => SubjectKey::user(peppers, *user),
        Claimed::Decoy(decoy) => decoy.subject(peppers),
    }
}

/// An attempt under way, as numbers: enough to go on with it, and not which answer was wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Round {
    pub(super) attempt: AttemptId,
    /// What is asked, in this order.
    pub(super) questions: Vec<QuestionId>,
    /// How many must be right.
    pub(super) needed: u8,
    /// Rounds that may follow this one.
    pub(super) rounds_left: u8,
    /// Questions of this round that were answered.
    pub(super) asked: usize,
    /// How many of them rightly.
    pub(super) right: usize,
    /// What the round was charged to; `None` when lockout did not admit it: the questions are asked for the sake of
    /// the same sound, and the first answer says so.
    pub(super) charged: Option<Charged>,
}

impl Round {
    /// Where the attempt goes on. A round that is stored is not over.
    pub(super) fn progress(&self) -> AttemptProgress {
        AttemptProgress {
            rounds_left: self.rounds_left,
            asked: self.asked,
            right: self.right,
            over: false,
        }
    }

    /// The same attempt, as far as it has come now.
    pub(super) fn at(&self, progress: AttemptProgress, charged: Option<Charged>) -> Self {
        Self {
            rounds_left: progress.rounds_left,
            asked: progress.asked,
            right: progress.right,
            charged,
            ..self.clone()
        }
    }
}

/// The lockouts that a round was charged to, by their generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Charged {
    /// Of those that are shown, in the order entry, caller, trunk.
    pub(super) shown: Vec<u32>,
    /// That of the person; none when the person may not try now, and nobody is to see that: no answer is right then.
    pub(super) person: Option<u32>,
}

impl State {
    pub(super) fn to_json(&self) -> String {
        serde_json::to_string(self).expect("identifiers, numbers and text can always be written")
    }

    /// `None` for what an older or newer program wrote: such a visit is over, the caller begins anew.
    pub(super) fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digit::Digits;
    use crate::identity::pepper::{Pepper, PepperId};

    #[test]
    fn an_entry_is_stable_and_does_not_show_the_keys() {
        let peppers = Peppers::single(Pepper::new(PepperId(1), [7; 32]));
        let id = KeypadId::from_number("4711").unwrap();
        let entry = Entry::new(&peppers, Some(&id));
        assert_eq!(entry, Entry::new(&peppers, Some(&id)));
        assert_ne!(entry.0, "4711");
        let second = Digits::parse("0403").unwrap();
        assert_ne!(entry.with(&peppers, &second), entry);
        assert_eq!(entry.with(&peppers, &second), entry.with(&peppers, &second));
        let other = Peppers::single(Pepper::new(PepperId(1), [8; 32]));
        assert_ne!(entry, Entry::new(&other, Some(&id)));
    }

    #[test]
    fn nothing_keyed_meets_a_decoy_too() {
        let peppers = Peppers::single(Pepper::new(PepperId(1), [7; 32]));
        assert!(Entry::new(&peppers, None).decoy(&peppers).is_some());
    }
}
