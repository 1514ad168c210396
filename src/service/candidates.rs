//! Who may be meant, for a door that lists them: everybody whose ID the digits are, or one who does not exist.
//!
//! There is always at least one. A list of one says nothing about whether there is such a person, as its handle is made
//! alike for both and it has no name. Only where several share their digits, which cannot be hidden, are there names to
//! choose by.

use super::handle::{Handle, HandleOf};
use super::repeat::IdempotencyKey;
use super::visit::{Claim, Entry, Progress, State};
use super::{Identified, ServiceError, Visit};
use crate::digit::Digits;
use crate::identity::ids::UserId;
use crate::store::user;

/// Somebody who may be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Stands for them, in this visit.
    pub handle: Handle,
    /// What they are called, where there is a choice.
    pub name: Option<String>,
}

/// What came of digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Candidates {
    /// These may be meant; never none.
    Listed(Vec<Candidate>),
    /// Whoever calls may not try now, or has tried too many IDs in this visit.
    Refused,
}

impl Visit {
    /// Takes an ID, and lists whom it may mean. The second discriminator, if it is there already, is used where several
    /// share the digits.
    ///
    /// # Errors
    /// As [`Visit::identify`]; [`ServiceError::IdempotencyConflict`].
    pub async fn candidates(
        &self,
        digits: &Digits,
        second: Option<&Digits>,
        key: Option<&IdempotencyKey>,
    ) -> Result<Candidates, ServiceError> {
        let (first, both) = (digits.to_secret(), second.map(Digits::to_secret));
        let both = both.as_ref().map_or("-", |second| second.expose());
        let keyed = self.keyed("identify", key, &[first.expose().as_bytes(), both.as_bytes()]);
        match self.identify_keyed(digits, keyed.as_ref()).await? {
            Identified::Refused => return Ok(Candidates::Refused),
            Identified::One => {}
            Identified::Several => {
                if let Some(second) = second {
                    match self.discriminate(second).await {
                        // Done before, by the request that this one repeats.
                        Err(ServiceError::OutOfOrder { .. }) if keyed.is_some() => {}
                        discriminated => drop(discriminated?),
                    }
                }
            }
        }
        self.candidates_again().await.map(Candidates::Listed)
    }

    /// The same list once more, for the next page of it.
    ///
    /// # Errors
    /// [`ServiceError::OutOfOrder`] when no ID was taken, or when an attempt has ended since.
    pub async fn candidates_again(&self) -> Result<Vec<Candidate>, ServiceError> {
        let services = &self.services;
        let mut tx = services.store().read().await?;
        let state = self.look(&mut tx, services.now()).await?.state;
        match state.progress {
            Progress::Several { entry, candidates } => {
                let mut listed = Vec::with_capacity(candidates.len());
                for id in candidates {
                    let name = user::find(&mut tx, id).await?.map(|user| user.display_name);
                    let handle = self.user_handle(&entry, Some(id))?;
                    listed.push(Candidate { handle, name });
                }
                Ok(listed)
            }
            Progress::Claimed { claim } | Progress::Asking { claim, .. } => {
                let handle = self.user_handle(&claim.entry, claim.user)?;
                Ok(vec![Candidate { handle, name: None }])
            }
            _ => Err(ServiceError::OutOfOrder {
                operation: "candidates",
            }),
        }
    }

    /// Claims to be one of the candidates. Claiming the same one again changes nothing.
    pub(super) fn choose(&self, state: &mut State, handle: &Handle) -> Result<(), ServiceError> {
        const NO_SUCH: ServiceError = ServiceError::UnknownHandle { of: "user" };
        match &state.progress {
            Progress::Several { entry, candidates } => {
                for &id in candidates {
                    if self.user_handle(entry, Some(id))? == *handle {
                        let (entry, user) = (entry.clone(), Some(id));
                        state.progress = Progress::Claimed {
                            claim: Claim { entry, user },
                        };
                        return Ok(());
                    }
                }
                Err(NO_SUCH)
            }
            Progress::Claimed { claim } | Progress::Asking { claim, .. } => {
                match self.user_handle(&claim.entry, claim.user)? == *handle {
                    true => Ok(()),
                    false => Err(NO_SUCH),
                }
            }
            _ => Err(ServiceError::OutOfOrder { operation: "ask_all" }),
        }
    }

    /// The handle of a user; of the one who does not exist, if there is none. What was keyed is in it: were it not, two IDs of
    /// one person would have one handle, as no two of nobody's have.
    fn user_handle(&self, entry: &Entry, user: Option<UserId>) -> Result<Handle, ServiceError> {
        let id = match user {
            Some(user) => user,
            None => {
                let decoy = entry.decoy(self.services.peppers());
                decoy.ok_or(ServiceError::NoVisit)?.user()
            }
        };
        Ok(self.handle_under(HandleOf::User, id.as_uuid(), entry.as_str()))
    }
}
