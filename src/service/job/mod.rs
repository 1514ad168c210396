//! Changes that are ordered with a key, and asked for later.
//!
//! ```text
//!  order ──▶ job in the row of the visit ──▶ rules, history, intent ──▶ systems ──▶ outcomes
//!    │              │                              │                                   │
//!    │              │                              └─ refused: kept with the job;      │
//!    └── waits so long, then "under way"              the same order may try again     │
//!  the same order again, or the job's handle: what is known now ◀──────────────────────┘
//! ```
//!
//! An outside IVR waits two seconds for an answer, a domain controller may take ten. So the order is carried out by a
//! task of its own, and whoever ordered it asks again. The job is committed before anything else happens: whichever node
//! the order comes to a second time, it is carried out once.

mod report;

pub use report::{JobAccount, JobOutcome, JobReport};

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::handle::Handle;
use super::outcome::Outcome;
use super::password::Proposal;
use super::repeat::{IdempotencyKey, Keyed};
use super::reset::NewReset;
use super::systems::Chosen;
use super::unlock::{NewUnlock, SortedOut};
use super::visit::State;
use super::{ServiceError, Visit};
use crate::identity::evidence::Evidence;
use crate::identity::ids::{AccountId, ResetId, UnlockId};
use crate::integration::target::Expiry;
use crate::secret::Secret;
use crate::store::reset::{self, ChangeId};
use crate::store::{Transaction, visit};
use crate::time::Timestamp;

/// What is to be set.
#[derive(Debug)]
pub enum NewPassword {
    /// One that was proposed.
    Proposed(Proposal),
    /// One that somebody has chosen.
    Chosen(Secret),
}

/// An order to set a password.
#[derive(Debug)]
pub struct ResetOrder {
    /// On these accounts; without any, on all of the person.
    pub accounts: Option<Vec<Handle>>,
    /// This one.
    pub password: NewPassword,
    /// What becomes of it at the next sign-in.
    pub expiry: Expiry,
    /// The ticket under which it is ordered.
    pub ticket: Option<String>,
    /// The key under which it may be ordered again.
    pub key: IdempotencyKey,
}

/// An order to clear locks.
#[derive(Debug)]
pub struct UnlockOrder {
    /// On these accounts; without any, on all of the person.
    pub accounts: Option<Vec<Handle>>,
    /// The ticket under which it is ordered.
    pub ticket: Option<String>,
    /// The key under which it may be ordered again.
    pub key: IdempotencyKey,
}

/// A job, as the row of its visit has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    order: Keyed,
    change: ChangeId,
    begun_ms: i64,
    /// Accounts of which the outcome was clear before anything was intended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    settled: Vec<(AccountId, String)>,
    /// Why nothing was intended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ended: Option<Ended>,
}

/// An end without an intent; nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
enum Ended {
    /// There was nothing to do.
    Nothing,
    UsedBefore,
    Policy {
        reasons: Vec<String>,
    },
    Busy,
    NotVerified,
    Failed,
}

/// An order as it was accepted: which change it is, and at which try. A later try of the same order takes the place of one
/// that seemed lost, which must do nothing when it wakes up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Accepted {
    change: ChangeId,
    begun_ms: i64,
}

/// More orders than any caller has reason to give in one visit.
const MAX_JOBS: usize = 32;

impl Visit {
    /// Orders a new password, and waits so long for its end. The same order again finds the first one.
    ///
    /// # Errors
    /// Nothing was changed: [`ServiceError::NotVerified`], [`ServiceError::UnknownHandle`],
    /// [`ServiceError::ForeignProposal`], [`ServiceError::Policy`], [`ServiceError::UsedBefore`],
    /// [`ServiceError::IdempotencyConflict`], [`ServiceError::Busy`].
    pub async fn order_reset(
        &self,
        evidence: Result<Evidence, ServiceError>,
        order: ResetOrder,
        wait: Duration,
    ) -> Result<JobReport, ServiceError> {
        let keyed = self.keyed_reset(&order);
        let ResetOrder {
            accounts,
            password,
            expiry,
            ticket,
            key: _,
        } = order;
        let fresh = self.services.draw(|rng| ResetId::generate(self.services.now(), rng));
        let fresh = ChangeId::Reset(fresh);
        let check = |evidence: &Evidence, chosen: &[Chosen]| match &password {
            NewPassword::Proposed(proposal) => proposal.check_for(evidence.id(), chosen),
            NewPassword::Chosen(_) => Ok(()),
        };
        let begun = self
            .begin_job(evidence, &keyed, fresh, accounts.as_deref(), check)
            .await?;
        let Begun::Now {
            accepted,
            evidence,
            chosen,
        } = begun
        else {
            return self.found(begun.change()).await;
        };
        let ChangeId::Reset(id) = accepted.change else {
            return Err(ServiceError::IdempotencyConflict);
        };
        let visit = self.clone();
        let work = async move {
            let proposal = match password {
                NewPassword::Proposed(proposal) => proposal,
                NewPassword::Chosen(secret) => visit.chosen_password(&evidence, &chosen, secret).await?,
            };
            let new = NewReset {
                id,
                key: Some(keyed.key),
                ticket,
                chosen,
                expiry,
                accepted: Some(accepted),
            };
            visit.set(&evidence, &proposal, new).await.map(drop)
        };
        self.carry_out_job(accepted, work, wait).await
    }

    /// Orders locks to be cleared, and waits so long for the end. The same order again finds the first one.
    ///
    /// # Errors
    /// Nothing was changed: [`ServiceError::NotVerified`], [`ServiceError::UnknownHandle`],
    /// [`ServiceError::IdempotencyConflict`], [`ServiceError::Busy`].
    pub async fn order_unlock(
        &self,
        evidence: Result<Evidence, ServiceError>,
        order: UnlockOrder,
        wait: Duration,
    ) -> Result<JobReport, ServiceError> {
        let UnlockOrder { accounts, ticket, key } = order;
        let parts = self.parts_of(accounts.as_deref(), ticket.as_deref());
        let keyed = self.order("unlock", &key, &parts);
        let fresh = ChangeId::Unlock(self.services.draw(|rng| UnlockId::generate(self.services.now(), rng)));
        let begun = self
            .begin_job(evidence, &keyed, fresh, accounts.as_deref(), |_, _| Ok(()))
            .await?;
        let Begun::Now {
            accepted,
            evidence,
            chosen,
        } = begun
        else {
            return self.found(begun.change()).await;
        };
        let ChangeId::Unlock(id) = accepted.change else {
            return Err(ServiceError::IdempotencyConflict);
        };
        let visit = self.clone();
        let work = async move {
            let SortedOut {
                locked,
                unlocked,
                unsupported,
            } = visit.services.sort_out(chosen).await;
            let settled = |chosen: &[Chosen], outcome: JobOutcome| {
                let settled = chosen
                    .iter()
                    .map(|chosen| (chosen.account.id, outcome.as_str().to_owned()));
                settled.collect::<Vec<_>>()
            };
            let mut clear = settled(&unlocked, JobOutcome::NotLocked);
            clear.extend(settled(&unsupported, JobOutcome::Ended(Outcome::Unsupported)));
            let ended = locked.is_empty().then_some(Ended::Nothing);
            visit.note(accepted, clear, ended).await?;
            if locked.is_empty() {
                return Ok(());
            }
            let new = NewUnlock {
                id,
                key: Some(keyed.key),
                ticket,
                chosen: locked,
                accepted: Some(accepted),
            };
            visit.clear(&evidence, new).await.map(drop)
        };
        self.carry_out_job(accepted, work, wait).await
    }

    /// What tells an order from others.
    pub(super) fn keyed_reset(&self, order: &ResetOrder) -> Keyed {
        let (kind, text) = match &order.password {
            NewPassword::Proposed(proposal) => (b"proposed".as_slice(), proposal.name()),
            NewPassword::Chosen(secret) => (b"chosen".as_slice(), secret.expose()),
        };
        let expiry: &[u8] = match order.expiry {
            Expiry::AtNextSignIn => b"expires",
            Expiry::Keep => b"stays",
        };
        let mut parts = vec![kind, text.as_bytes(), expiry];
        parts.extend(self.parts_of(order.accounts.as_deref(), order.ticket.as_deref()));
        self.order("reset", &order.key, &parts)
    }

    fn parts_of<'a>(&self, accounts: Option<&'a [Handle]>, ticket: Option<&'a str>) -> Vec<&'a [u8]> {
        let ticket = ticket.unwrap_or_default().as_bytes();
        let accounts = accounts.iter().copied().flatten();
        std::iter::once(ticket)
            .chain(accounts.map(|handle| handle.as_str().as_bytes()))
            .collect()
    }

    fn order(&self, what: &str, key: &IdempotencyKey, parts: &[&[u8]]) -> Keyed {
        let keyed = self.keyed(what, Some(key), parts);
        keyed.expect("a request with a key is told by it")
    }

    /// Commits a job, unless it is under way, or has ended with outcomes. An order of before is found again also when there
    /// is no evidence any more.
    pub(super) async fn begin_job(
        &self,
        evidence: Result<Evidence, ServiceError>,
        keyed: &Keyed,
        fresh: ChangeId,
        named: Option<&[Handle]>,
        check: impl FnOnce(&Evidence, &[Chosen]) -> Result<(), ServiceError>,
    ) -> Result<Begun, ServiceError> {
        let services = &self.services;
        let now = services.now();
        let mut tx = services.store().write().await?;
        let mut state = self.load(&mut tx, now).await?.state;
        let earlier = state.job_of(keyed)?;
        if let Some(index) = earlier {
            let job = &state.jobs[index];
            let is_open = match reset::find(&mut tx, job.change).await? {
                Some(_) => true,
                None => job.ended == Some(Ended::Nothing) || job.ended.is_none() && self.may_be_under_way(job, now),
            };
            if is_open {
                return Ok(Begun::Before(job.change));
            }
        }
        let evidence = evidence?;
        let authority = self.authorise(&mut tx, &evidence, now).await?;
        let chosen = self.chosen_by(&mut tx, authority, &state, named).await?;
        check(&evidence, &chosen)?;
        let change = earlier.map_or(fresh, |index| state.jobs[index].change);
        let job = Job {
            order: keyed.clone(),
            change,
            begun_ms: now.as_millis(),
            settled: Vec::new(),
            ended: None,
        };
        match earlier {
            Some(index) => state.jobs[index] = job,
            None if state.jobs.len() >= MAX_JOBS => return Err(ServiceError::TooMany { what: "orders" }),
            None => state.jobs.push(job),
        }
        self.save(&mut tx, &state).await?;
        tx.commit().await?;
        Ok(Begun::Now {
            accepted: Accepted {
                change,
                begun_ms: now.as_millis(),
            },
            evidence,
            chosen,
        })
    }

    /// Whether an order is still the one that holds. The visit may be over.
    pub(super) async fn is_accepted(&self, tx: &mut Transaction, accepted: Accepted) -> Result<bool, ServiceError> {
        let state = self.last_state(tx).await?;
        let is_it = |job: &Job| job.accepted() == accepted && job.ended.is_none();
        Ok(state.is_some_and(|state| state.jobs.iter().any(is_it)))
    }

    /// Where the visit stands or stood, its row locked.
    async fn last_state(&self, tx: &mut Transaction) -> Result<Option<State>, ServiceError> {
        let row = visit::find_for_update(tx, self.id).await?;
        Ok(row.and_then(|row| State::from_json(&row.state)))
    }

    /// Does the work in a task of its own, and waits so long for it.
    async fn carry_out_job(
        &self,
        accepted: Accepted,
        work: impl Future<Output = Result<(), ServiceError>> + Send + 'static,
        wait: Duration,
    ) -> Result<JobReport, ServiceError> {
        let (visit, change) = (self.clone(), accepted.change);
        let carried = self.services.0.under_way.begin(change);
        let task = self.services.0.tasks.spawn(async move {
            let _carried = carried;
            let done = work.await;
            if let Err(error) = &done {
                tracing::warn!(change.id = %change, %error, "a change that was ordered was not begun");
                if let Err(error) = visit.note(accepted, Vec::new(), Some(Ended::of(error))).await {
                    tracing::warn!(change.id = %change, %error, "cannot note why a change was not begun");
                }
            }
            done
        });
        // A task that is not done yet, or that panicked: the report tells what is known.
        if let Ok(Ok(done)) = timeout(wait, task).await {
            done?;
        }
        self.found(change).await
    }

    /// Adds to a job what is known before anything is intended. A try that another one has taken the place of has no say,
    /// and a visit that is over needs no note.
    async fn note(
        &self,
        accepted: Accepted,
        settled: Vec<(AccountId, String)>,
        ended: Option<Ended>,
    ) -> Result<(), ServiceError> {
        let mut tx = self.services.store().write().await?;
        let Some(mut state) = self.last_state(&mut tx).await? else {
            return Ok(());
        };
        if let Some(job) = state.jobs.iter_mut().find(|job| job.accepted() == accepted) {
            job.settled.extend(settled);
            job.ended = ended;
            self.save(&mut tx, &state).await?;
        }
        Ok(tx.commit().await?)
    }

    /// Whether somebody may be about to intend it: this process knows, of another one its time tells.
    fn may_be_under_way(&self, job: &Job, now: Timestamp) -> bool {
        let services = &self.services;
        let begun = Timestamp::from_millis(job.begun_ms);
        services.0.under_way.contains(job.change) || now < begun.plus(services.config().limits.lease())
    }
}

impl Job {
    /// The request that has begun it.
    pub(super) fn order(&self) -> &Keyed {
        &self.order
    }

    fn accepted(&self) -> Accepted {
        Accepted {
            change: self.change,
            begun_ms: self.begun_ms,
        }
    }

    /// Takes out what could be guessed at, when nobody can give the order again.
    pub(super) fn forget_order(&mut self) {
        self.order.request.clear();
    }
}

/// What became of an order.
pub(super) enum Begun {
    /// It was given before.
    Before(ChangeId),
    /// It is accepted now.
    Now {
        accepted: Accepted,
        evidence: Evidence,
        chosen: Vec<Chosen>,
    },
}

impl Begun {
    fn change(&self) -> ChangeId {
        match self {
            Self::Before(change) => *change,
            Self::Now { accepted, .. } => accepted.change,
        }
    }
}

impl Ended {
    fn of(error: &ServiceError) -> Self {
        match error {
            ServiceError::UsedBefore => Self::UsedBefore,
            ServiceError::Policy { reasons } => Self::Policy {
                reasons: reasons.clone(),
            },
            ServiceError::NotVerified | ServiceError::NoVisit => Self::NotVerified,
            error if error.is_transient() => Self::Busy,
            error => {
                tracing::error!(%error, "a change that was ordered could not be begun");
                Self::Failed
            }
        }
    }

    /// What it was.
    fn error(&self) -> ServiceError {
        match self {
            Self::UsedBefore => ServiceError::UsedBefore,
            Self::Policy { reasons } => ServiceError::Policy {
                reasons: reasons.clone(),
            },
            Self::NotVerified => ServiceError::NotVerified,
            Self::Nothing | Self::Busy => ServiceError::NotBegun,
            Self::Failed => ServiceError::Failed,
        }
    }
}
