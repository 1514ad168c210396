//! What became of the changes of processes that died. The password died with them; what can be known without it is
//! recorded, and the rest is recorded as unknown.
//!
//! Run it at the start, and every few seconds after that: an intent stays open while a request of the dead process may
//! still take effect, and other nodes die too.

use std::time::Duration;

use super::change::state_of;
use super::execution::Found;
use super::outcome::{Finding, Outcome, Proof};
use super::{ServiceError, Services, record};
use crate::store::reset::{self, ChangeId, Intent, Item};
use crate::time::Timestamp;

/// How many intents of each kind are looked at in one go.
const AT_ONCE: u32 = 100;

/// How long a target that does not answer is asked again before the outcome is given up as unknown. An hour: a night's
/// maintenance is shorter, and staff should hear of it the same day.
const PATIENCE: Duration = Duration::from_secs(60 * 60);

/// Pause between two looks at the same intent.
const PAUSE: Duration = Duration::from_secs(15);

/// What a recovery did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Recovered {
    /// Accounts that certainly have what was ordered.
    pub done: u32,
    /// Accounts that certainly have not.
    pub not_done: u32,
    /// Accounts of which nobody will know; staff are told.
    pub unknown: u32,
    /// Accounts that must be looked at again later.
    pub left: u32,
}

impl Services {
    /// Resolves what earlier processes of this node have left open, what any process has left open whose lease has run
    /// out, and what is pending since nobody came to settle it.
    ///
    /// # Errors
    /// When the database fails; what was resolved until then is committed.
    pub async fn recover(&self) -> Result<Recovered, ServiceError> {
        let mut recovered = Recovered::default();
        for intent in self.take_over().await? {
            self.resolve(&intent, &mut recovered).await?;
        }
        for intent in self.pending().await? {
            self.reconsider(&intent, &mut recovered).await?;
        }
        Ok(recovered)
    }

    async fn take_over(&self) -> Result<Vec<Intent>, ServiceError> {
        let now = self.now();
        let (node, owner) = (&self.config().node, &self.0.owner);
        let lease = now.plus(self.config().limits.lease());
        let mut tx = self.store().write().await?;
        let mut intents = reset::take_over(&mut tx, node, owner, now, lease).await?;
        tx.commit().await?;
        // A clock that was set forward ends leases of changes that are being carried out.
        intents.retain(|intent| !self.0.under_way.contains(intent.id));
        Ok(intents)
    }

    /// Outcomes that the process which ordered them should have settled by now.
    async fn pending(&self) -> Result<Vec<Intent>, ServiceError> {
        let limits = &self.config().limits;
        let wait = i64::try_from((limits.settle + limits.lease()).as_millis()).unwrap_or(i64::MAX);
        let before = Timestamp::from_millis(self.now().as_millis().saturating_sub(wait));
        let mut tx = self.store().read().await?;
        let mut intents = reset::pending(&mut tx, before, AT_ONCE).await?;
        intents.retain(|intent| !self.0.under_way.contains(intent.id));
        Ok(intents)
    }

    async fn resolve(&self, intent: &Intent, recovered: &mut Recovered) -> Result<(), ServiceError> {
        let origin = record::system(Some(intent.session), Some(intent.user));
        let mut left = false;
        for item in self
            .items(intent)
            .await?
            .into_iter()
            .filter(|item| item.result.is_none())
        {
            match self.look(intent, &item).await {
                Look::Again => {
                    left = true;
                    recovered.left += 1;
                }
                Look::Found(finding) => {
                    let found = found(intent, &item, finding);
                    if self.decide(&origin, &found).await? {
                        recovered.count(finding.outcome);
                        self.metrics().recovered.add_one();
                    }
                }
            }
        }
        if left {
            let mut tx = self.store().write().await?;
            reset::lease(&mut tx, intent.id, self.now().plus(PAUSE)).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn reconsider(&self, intent: &Intent, recovered: &mut Recovered) -> Result<(), ServiceError> {
        let origin = record::system(Some(intent.session), Some(intent.user));
        let pending = |item: &Item| item.proof.as_deref() == Some(Proof::Pending.as_str());
        for item in self.items(intent).await?.into_iter().filter(pending) {
            if let Look::Found(finding) = self.look(intent, &item).await {
                self.revise(&origin, &found(intent, &item, finding)).await?;
                recovered.count(finding.outcome);
            } else {
                recovered.left += 1;
            }
        }
        Ok(())
    }

    async fn items(&self, intent: &Intent) -> Result<Vec<Item>, ServiceError> {
        let mut tx = self.store().read().await?;
        Ok(reset::items(&mut tx, intent.id).await?)
    }

    /// What the target says about an account, without the password.
    async fn look(&self, intent: &Intent, item: &Item) -> Look {
        let limits = &self.config().limits;
        let given_up = Look::Found(Finding::new(Outcome::Unknown, Proof::Nothing));
        let Some(target) = self
            .target(&item.target)
            .filter(|target| target.capabilities().lock_state)
        else {
            return given_up;
        };
        let state = state_of(&**target, &item.account, limits.request).await;
        // Read after the answer: what it says is true for a moment that is not later than this.
        let age = self.now().since(intent.created);
        let Ok(state) = state else {
            return if age < PATIENCE { Look::Again } else { given_up };
        };
        let (so, proof) = match intent.id {
            ChangeId::Reset(_) => {
                let marker = state.marker.as_ref().zip(item.marker_before.as_ref());
                let moved = marker.and_then(|(now, before)| now.has_moved_since(before));
                (moved, Proof::Marker)
            }
            ChangeId::Unlock(_) => (state.locked.map(|locked| !locked), Proof::Check),
        };
        match so {
            Some(true) => Look::Found(Finding::new(Outcome::Done, proof).expired(state.must_change)),
            Some(false) if age >= limits.lease() + limits.settle => Look::Found(Finding::new(Outcome::NotDone, proof)),
            Some(false) => Look::Again,
            None => given_up,
        }
    }
}

/// What a look at a target has shown.
enum Look {
    /// This, for good.
    Found(Finding),
    /// Nothing yet.
    Again,
}

impl Recovered {
    fn count(&mut self, outcome: Outcome) {
        let counter = match outcome {
            Outcome::Done => &mut self.done,
            Outcome::Unknown => &mut self.unknown,
            _ => &mut self.not_done,
        };
        *counter += 1;
    }
}

fn found(intent: &Intent, item: &Item, finding: Finding) -> Found {
    Found {
        change: intent.id,
        account: item.account_id,
        system: item.target.clone(),
        finding,
    }
}
