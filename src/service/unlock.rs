//! Clearing the locks that failed tries have set on the chosen accounts.

use super::change::Work;
use super::execution::{AccountReport, ChangeReport, Order};
use super::job::Accepted;
use super::outcome::{Outcome, Summary};
use super::systems::Chosen;
use super::{ServiceError, Services, Visit};
use crate::identity::evidence::Evidence;
use crate::identity::ids::UnlockId;
use crate::store::reset::{ChangeId, Intent};

/// The outcomes of the operation `unlock`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlocked {
    /// Every locked account was unlocked.
    All(ChangeReport),
    /// Some were.
    Some(ChangeReport),
    /// None was.
    None(ChangeReport),
    /// No account is locked, as far as its system says.
    NotLocked,
}

impl Visit {
    /// Unlocks those of the chosen accounts that are locked, or whose systems do not say.
    ///
    /// # Errors
    /// [`ServiceError::NotVerified`], [`ServiceError::NoAccounts`], [`ServiceError::Busy`]; nothing was changed then.
    pub async fn unlock(&self, evidence: &Evidence) -> Result<Unlocked, ServiceError> {
        let services = &self.services;
        let now = services.now();
        let chosen = {
            let mut tx = services.store().read().await?;
            let authority = self.authorise(&mut tx, evidence, now).await?;
            let state = self.look(&mut tx, now).await?.state;
            self.chosen(&mut tx, authority, &state).await?
        };
        let SortedOut {
            locked,
            unlocked,
            unsupported,
        } = services.sort_out(chosen).await;
        if locked.is_empty() {
            return Ok(match unlocked.is_empty() {
                true => Unlocked::None(unsupported_report(&unsupported)),
                false => Unlocked::NotLocked,
            });
        }
        let new = NewUnlock {
            id: services.draw(|rng| UnlockId::generate(services.now(), rng)),
            key: None,
            ticket: None,
            chosen: locked,
            accepted: None,
        };
        let report = self.clear(evidence, new).await?;
        Ok(match report.summary() {
            Summary::All => Unlocked::All(report),
            Summary::Some => Unlocked::Some(report),
            Summary::None => Unlocked::None(report),
        })
    }

    /// Clears the locks of these accounts.
    pub(super) async fn clear(&self, evidence: &Evidence, new: NewUnlock) -> Result<ChangeReport, ServiceError> {
        let services = &self.services;
        let now = services.now();
        let mut tx = services.store().write().await?;
        let authority = match new.accepted {
            Some(accepted) => self.authorise_accepted(&mut tx, evidence, accepted).await?,
            None => self.authorise(&mut tx, evidence, now).await?,
        };
        let order = Order {
            id: ChangeId::Unlock(new.id),
            origin: self.origin(Some(authority.user())),
            chosen: new.chosen,
            work: Work::Unlock,
        };
        let accounts: Vec<_> = order.chosen.iter().map(|chosen| (chosen.account.id, None)).collect();
        let intent = Intent {
            idempotency_key: new.key,
            ticket: new.ticket,
            ..self.intent(&order, authority, now)
        };
        services.commit_intent(&mut tx, &intent, &accounts).await?;
        tx.commit().await?;
        services.execute(order).await
    }
}

/// An unlock that is about to be intended.
pub(super) struct NewUnlock {
    pub(super) id: UnlockId,
    /// The key under which a repeated request finds it.
    pub(super) key: Option<String>,
    /// The ticket that it was ordered under.
    pub(super) ticket: Option<String>,
    pub(super) chosen: Vec<Chosen>,
    /// The order, if it was accepted before.
    pub(super) accepted: Option<Accepted>,
}

/// Accounts by what there is to unlock.
pub(super) struct SortedOut {
    /// Locked, or their systems do not say.
    pub(super) locked: Vec<Chosen>,
    /// Not locked, as their systems say.
    pub(super) unlocked: Vec<Chosen>,
    /// Their systems cannot unlock.
    pub(super) unsupported: Vec<Chosen>,
}

impl Services {
    /// Asks the systems which of these accounts are locked.
    pub(super) async fn sort_out(&self, chosen: Vec<Chosen>) -> SortedOut {
        let (able, unsupported): (Vec<_>, Vec<_>) = chosen
            .into_iter()
            .partition(|chosen| chosen.target.capabilities().unlock);
        let states = self.states(&able, self.config().limits.request).await;
        let mut known = states.into_iter();
        let (locked, unlocked) = able
            .into_iter()
            .partition(|_| known.next().flatten().is_none_or(|state| state.locked != Some(false)));
        SortedOut {
            locked,
            unlocked,
            unsupported,
        }
    }
}

/// No system of these can unlock at all.
fn unsupported_report(chosen: &[Chosen]) -> ChangeReport {
    let accounts = chosen.iter().map(|chosen| AccountReport {
        system: chosen.account.target.clone(),
        account: chosen.account.name.clone(),
        outcome: Outcome::Unsupported,
        must_change: false,
    });
    ChangeReport {
        accounts: accounts.collect(),
    }
}
