//! Clearing the locks that failed tries have set on the chosen accounts.

use super::change::Work;
use super::execution::{AccountReport, ChangeReport, Order};
use super::outcome::{Outcome, Summary};
use super::systems::Chosen;
use super::{ServiceError, Visit};
use crate::identity::evidence::Evidence;
use crate::identity::ids::UnlockId;
use crate::store::reset::ChangeId;

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
        let mut chosen = {
            let mut tx = services.store().read().await?;
            let authority = self.authorise(&mut tx, evidence, now).await?;
            let state = self.look(&mut tx, now).await?.state;
            self.chosen(&mut tx, authority, &state).await?
        };
        if !chosen.iter().any(|chosen| chosen.target.capabilities().unlock) {
            return Ok(Unlocked::None(unsupported(&chosen)));
        }
        chosen.retain(|chosen| chosen.target.capabilities().unlock);
        let states = services.states(&chosen, services.config().limits.request).await;
        let mut known = states.into_iter();
        chosen.retain(|_| known.next().flatten().is_none_or(|state| state.locked != Some(false)));
        if chosen.is_empty() {
            return Ok(Unlocked::NotLocked);
        }

        let now = services.now();
        let mut tx = services.store().write().await?;
        let authority = self.authorise(&mut tx, evidence, now).await?;
        let order = Order {
            id: ChangeId::Unlock(services.draw(|rng| UnlockId::generate(now, rng))),
            origin: self.origin(Some(authority.user())),
            chosen,
            work: Work::Unlock,
        };
        let accounts: Vec<_> = order.chosen.iter().map(|chosen| (chosen.account.id, None)).collect();
        let intent = self.intent(&order, authority, now);
        services.commit_intent(&mut tx, &intent, &accounts).await?;
        tx.commit().await?;
        let report = services.execute(order).await?;
        Ok(match report.summary() {
            Summary::All => Unlocked::All(report),
            Summary::Some => Unlocked::Some(report),
            Summary::None => Unlocked::None(report),
        })
    }
}

/// No system of these can unlock at all.
fn unsupported(chosen: &[Chosen]) -> ChangeReport {
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
