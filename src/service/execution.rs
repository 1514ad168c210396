//! Carrying out an intent that is committed: every account at once, each outcome committed with its events.
//!
//! The work runs in a task of its own. Whoever ordered it may hang up; what was ordered is done and recorded all the same.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio::time::sleep;

use super::change::{Work, carry_out, settle};
use super::outcome::{Finding, Outcome, Proof, Summary};
use super::systems::Chosen;
use super::under_way::Carried;
use super::{ServiceError, Services};
use crate::identity::event::{EventKind, Origin};
use crate::identity::ids::AccountId;
use crate::integration::target::Expiry;
use crate::store::reset::{self, ChangeId};

/// What came of a change on one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountReport {
    /// The system.
    pub system: String,
    /// The account's name there.
    pub account: String,
    /// What came of it.
    pub outcome: Outcome,
    /// Whether it is known that the new password must be changed at the next sign-in there.
    pub must_change: bool,
}

/// What came of a change on all its accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeReport {
    /// Account by account, in the order in which systems are told.
    pub accounts: Vec<AccountReport>,
}

impl ChangeReport {
    /// All, some or none.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary::of(self.accounts.iter().map(|report| report.outcome))
    }
}

/// An intent that is committed and waits to be carried out.
pub(super) struct Order {
    pub(super) id: ChangeId,
    pub(super) origin: Origin,
    pub(super) chosen: Vec<Chosen>,
    pub(super) work: Work,
}

impl Order {
    /// The systems, in the order in which they are told.
    pub(super) fn systems(&self) -> Vec<String> {
        self.chosen.iter().map(|chosen| chosen.account.target.clone()).collect()
    }

    pub(super) fn must_change(&self) -> bool {
        matches!(
            self.work,
            Work::Reset {
                expiry: Expiry::AtNextSignIn,
                ..
            }
        )
    }
}

impl Services {
    /// Carries out an order to its end, even if the caller stops waiting.
    pub(super) async fn execute(&self, order: Order) -> Result<ChangeReport, ServiceError> {
        let services = self.clone();
        let carried = self.0.under_way.begin(order.id);
        let work = self
            .0
            .tasks
            .spawn(async move { services.carry_out_all(Arc::new(order), carried).await });
        work.await.map_err(|_| ServiceError::Closing)
    }

    async fn carry_out_all(&self, order: Arc<Order>, carried: Carried) -> ChangeReport {
        let mut tasks = JoinSet::new();
        for index in 0..order.chosen.len() {
            let (services, order) = (self.clone(), order.clone());
            tasks.spawn(async move { (index, services.carry_out_one(&order, index).await) });
        }
        // A connector that panicked has left nobody who knows.
        let mut findings = vec![Finding::new(Outcome::Unknown, Proof::Nothing); order.chosen.len()];
        while let Some(done) = tasks.join_next().await {
            match done {
                Ok((index, finding)) => findings[index] = finding,
                Err(error) => tracing::error!(change.id = %order.id, %error, "a connector failed; recovery will look"),
            }
        }
        let unknown: Vec<usize> = (0..findings.len())
            .filter(|&index| findings[index].outcome == Outcome::Unknown)
            .collect();
        if !unknown.is_empty() {
            self.settle_later(order.clone(), carried, unknown);
        }
        let accounts = order
            .chosen
            .iter()
            .zip(findings)
            .map(|(chosen, finding)| AccountReport {
                system: chosen.account.target.clone(),
                account: chosen.account.name.clone(),
                outcome: finding.outcome,
                must_change: finding.expired.unwrap_or(false),
            });
        ChangeReport {
            accounts: accounts.collect(),
        }
    }

    /// One account, and its outcome committed. An outcome that cannot be committed (disk full) is told all the same,
    /// as it is true; its row stays open, and recovery records what the target says.
    async fn carry_out_one(&self, order: &Order, index: usize) -> Finding {
        let Chosen { account, target } = &order.chosen[index];
        let finding = carry_out(&**target, &account.name, &order.work, &self.config().limits).await;
        let found = Found {
            change: order.id,
            account: account.id,
            system: account.target.clone(),
            finding,
        };
        match self.decide_with_patience(&order.origin, &found).await {
            Ok(()) => {}
            Err(error) => {
                tracing::error!(change.id = %order.id, account.id = %account.id, %error,
                    "cannot record the outcome of a change; recovery will");
            }
        }
        finding
    }

    async fn decide_with_patience(&self, origin: &Origin, found: &Found) -> Result<(), ServiceError> {
        const TRIES: u32 = 3;
        for _ in 1..TRIES {
            match self.decide(origin, found).await {
                // Also a commit without an answer: the first decision stands.
                Err(ServiceError::Store(_)) => sleep(self.config().limits.pause).await,
                decided => return decided.map(|_| ()),
            }
        }
        self.decide(origin, found).await.map(|_| ())
    }

    /// Commits an outcome with its events. `false` when another process was faster: its outcome stands.
    pub(super) async fn decide(&self, origin: &Origin, found: &Found) -> Result<bool, ServiceError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        if !reset::decide(&mut tx, found.change, found.account, &decision(&found.finding), now).await? {
            return Ok(false);
        }
        reset::close_if_decided(&mut tx, found.change, now).await?;
        self.forget_refused(&mut tx, found).await?;
        self.record(&mut tx, origin, now, found.event()).await?;
        tx.commit().await?;
        self.count(found);
        Ok(true)
    }

    /// Commits a better outcome for one that is pending. `false` when somebody was faster, or when the account was in
    /// a later change: then nothing that is seen now tells of this one.
    pub(super) async fn revise(&self, origin: &Origin, found: &Found) -> Result<bool, ServiceError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let superseded = reset::is_superseded(&mut tx, found.change, found.account).await?;
        let finding = match superseded {
            true => Finding::new(Outcome::Unknown, Proof::Nothing),
            false => found.finding,
        };
        if !reset::revise(&mut tx, found.change, found.account, &decision(&finding)).await? {
            return Ok(false);
        }
        self.forget_refused(&mut tx, found).await?;
        if finding.outcome != Outcome::Unknown {
            self.record(&mut tx, origin, now, found.event()).await?;
        }
        tx.commit().await?;
        if finding.outcome != Outcome::Unknown {
            self.count(found);
        }
        Ok(!superseded)
    }

    /// Looks again at what is unknown, when no request can be under way any more. Nobody waits for it: if the process
    /// ends before, recovery looks, without the password.
    fn settle_later(&self, order: Arc<Order>, carried: Carried, unknown: Vec<usize>) {
        let services = self.clone();
        tokio::spawn(async move {
            sleep(services.config().limits.settle).await;
            for index in unknown {
                if let Err(error) = services.settle_one(&order, index).await {
                    tracing::warn!(change.id = %order.id, %error, "cannot settle a change; recovery will look");
                }
            }
            drop(carried);
        });
    }

    pub(super) async fn settle_one(&self, order: &Order, index: usize) -> Result<bool, ServiceError> {
        let Chosen { account, target } = &order.chosen[index];
        let finding = settle(&**target, &account.name, &order.work, &self.config().limits).await;
        if finding.outcome == Outcome::Unknown {
            return Ok(false);
        }
        let found = Found {
            change: order.id,
            account: account.id,
            system: account.target.clone(),
            finding,
        };
        self.revise(&order.origin, &found).await
    }

    fn count(&self, found: &Found) {
        let metrics = self.metrics();
        let counter = match (found.change, found.finding.outcome) {
            (ChangeId::Reset(_), Outcome::Done) => &metrics.resets_done,
            (ChangeId::Reset(_), Outcome::Unknown) => &metrics.resets_unknown,
            (ChangeId::Reset(_), _) => &metrics.resets_failed,
            (ChangeId::Unlock(_), Outcome::Done) => &metrics.unlocks_done,
            (ChangeId::Unlock(_), _) => &metrics.unlocks_failed,
        };
        counter.add_one();
    }
}

/// An outcome that was found out.
pub(super) struct Found {
    pub(super) change: ChangeId,
    pub(super) account: AccountId,
    pub(super) system: String,
    pub(super) finding: Finding,
}

fn decision(finding: &Finding) -> reset::Decision<'static> {
    reset::Decision {
        result: finding.outcome.as_str(),
        proof: finding.proof.as_str(),
        expired: finding.expired,
    }
}

impl Found {
    fn event(&self) -> EventKind {
        let (account, system) = (self.account, self.system.clone());
        let reason = self.finding.outcome.to_string();
        match (self.change, self.finding.outcome) {
            (ChangeId::Reset(reset), Outcome::Done) => EventKind::ResetSucceeded {
                reset,
                account,
                system,
                expired: self.finding.expired,
            },
            (ChangeId::Reset(reset), Outcome::Unknown) => EventKind::ResetUnknown { reset, account, system },
            (ChangeId::Reset(reset), _) => EventKind::ResetFailed {
                reset,
                account,
                system,
                reason,
            },
            (ChangeId::Unlock(unlock), Outcome::Done) => EventKind::UnlockSucceeded {
                unlock,
                account,
                system,
            },
            (ChangeId::Unlock(unlock), _) => EventKind::UnlockFailed {
                unlock,
                account,
                system,
                reason,
            },
        }
    }
}
