//! Who is meant: from what a caller keyed to a user, or to a decoy when there is none.
//!
//! An unknown ID takes the same statements as a known one, and is followed by the same questions. What it cannot hide
//! is *several*: that digits are shared is told, because the next prompt must ask for more.

use super::repeat::Keyed;
use super::visit::{Claim, Entry, Progress, State};
use super::{ServiceError, Visit};
use crate::digit::Digits;
use crate::identity::event::EventKind;
use crate::identity::ids::UserId;
use crate::identity::keypad::KeypadId;
use crate::identity::user::User;
use crate::store::{Transaction, question, user};

/// What came of an ID; the names are the outcomes of the operations `identify` and `discriminate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identified {
    /// Somebody is claimed; whether they exist is not told.
    One,
    /// The digits are those of several users: ask for the second discriminator.
    Several,
    /// Whoever calls may not try now, or has tried too many IDs in this visit.
    Refused,
}

impl Identified {
    fn as_str(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Several => "several",
            Self::Refused => "refused",
        }
    }

    fn from_kept(text: &str) -> Option<Self> {
        let all = [Self::One, Self::Several, Self::Refused];
        all.into_iter().find(|identified| identified.as_str() == text)
    }
}

impl Visit {
    /// Takes an ID. May be repeated until an attempt has begun, and after one that was not passed, as often as the
    /// configuration allows.
    ///
    /// # Errors
    /// [`ServiceError::OutOfOrder`] while questions are asked and after they were passed.
    pub async fn identify(&self, digits: &Digits) -> Result<Identified, ServiceError> {
        self.identify_keyed(digits, None).await
    }

    /// The same for a request that may be a repetition: that one only hears the outcome again.
    pub(super) async fn identify_keyed(
        &self,
        digits: &Digits,
        keyed: Option<&Keyed>,
    ) -> Result<Identified, ServiceError> {
        let now = self.services.now();
        let mut tx = self.services.store().write().await?;
        let mut state = self.load(&mut tx, now).await?.state;
        if let Some(reply) = state.reply_to(keyed)? {
            return Identified::from_kept(reply).ok_or(ServiceError::NoVisit);
        }
        if matches!(state.progress, Progress::Asking { .. } | Progress::Passed { .. }) {
            return Err(ServiceError::OutOfOrder { operation: "identify" });
        }
        state.identifications = state.identifications.saturating_add(1);
        let may_try = self.caller_may_try(&mut tx, &state, now).await?;
        if !may_try || state.identifications > self.services.config().identifications_per_visit {
            // Not kept: whoever asks again is refused again, and no number of refusals is to push out other answers.
            self.save(&mut tx, &state).await?;
            tx.commit().await?;
            self.services.metrics().visits_refused.add_one();
            return Ok(Identified::Refused);
        }
        let outcome = self.claim(&mut tx, &mut state, KeypadId::from_keys(digits)).await?;
        state.keep_reply(keyed, outcome.0.as_str());
        self.save(&mut tx, &state).await?;
        self.services
            .record(&mut tx, &self.origin(user_of(&state)), now, outcome.1)
            .await?;
        tx.commit().await?;
        self.services.metrics().identifications.add_one();
        Ok(outcome.0)
    }

    /// Takes the second discriminator, after `several`. No match goes on with somebody who does not exist.
    ///
    /// # Errors
    /// [`ServiceError::OutOfOrder`] when it was not asked for.
    pub async fn discriminate(&self, digits: &Digits) -> Result<Identified, ServiceError> {
        let now = self.services.now();
        let peppers = self.services.peppers();
        let mut tx = self.services.store().write().await?;
        let mut state = self.load(&mut tx, now).await?.state;
        let Progress::Several { entry, candidates } = state.progress.clone() else {
            return Err(ServiceError::OutOfOrder {
                operation: "discriminate",
            });
        };
        let mut matching = Vec::new();
        for id in candidates {
            let user = user::find(&mut tx, id).await?;
            let matches = |user: &User| {
                user.discriminator
                    .as_ref()
                    .is_some_and(|d| d.matches(peppers, id, digits))
            };
            matching.extend(user.filter(matches).map(|user| user.id));
        }
        let outcome = settle(&mut state, entry.with(peppers, digits), matching);
        self.save(&mut tx, &state).await?;
        self.services
            .record(&mut tx, &self.origin(user_of(&state)), now, outcome.1)
            .await?;
        tx.commit().await?;
        Ok(outcome.0)
    }

    async fn claim(
        &self,
        tx: &mut Transaction,
        state: &mut State,
        id: Option<KeypadId>,
    ) -> Result<(Identified, EventKind), ServiceError> {
        let peppers = self.services.peppers();
        let entry = Entry::new(peppers, id.as_ref());
        let most = self.services.config().max_candidates;
        // Something is looked up in any case: nothing keyed takes as long as a wrong ID.
        let id = id.or_else(|| KeypadId::from_number("0"));
        let mut found = Vec::new();
        if let Some(id) = &id {
            found = user::by_keypad_id(tx, id, most.saturating_add(1)).await?;
        }
        found.retain(|user| user.status.may_verify());
        if found.len() > most as usize {
            found.clear();
        }
        let ask = usize::from(self.services.config().questions.ask);
        let mut candidates = Vec::new();
        for user in &found {
            if question::enrolled(tx, user.id, state.channel).await?.len() >= ask {
                candidates.push(user.id);
            }
        }
        if found.is_empty()
            && let Some(decoy) = entry.decoy(peppers)
        {
            question::enrolled(tx, decoy.user(), state.channel).await?;
        }
        Ok(settle(state, entry, candidates))
    }
}

/// Goes on with one, several or nobody.
fn settle(state: &mut State, entry: Entry, mut candidates: Vec<UserId>) -> (Identified, EventKind) {
    let count = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
    if candidates.len() > 1 {
        state.progress = Progress::Several { entry, candidates };
        return (Identified::Several, EventKind::UserIdentified { candidates: count });
    }
    let user = candidates.pop();
    state.progress = Progress::Claimed {
        claim: Claim { entry, user },
    };
    let event = match user {
        Some(_) => EventKind::UserIdentified { candidates: count },
        None => EventKind::UserNotIdentified {
            reason: "unknown, disabled or not enrolled".to_owned(),
        },
    };
    (Identified::One, event)
}

fn user_of(state: &State) -> Option<UserId> {
    match &state.progress {
        Progress::Claimed { claim } => claim.user,
        _ => None,
    }
}
