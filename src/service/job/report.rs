//! What is known of a job, for whoever ordered it.

use super::super::handle::{Handle, HandleOf};
use super::super::outcome::Outcome;
use super::super::visit::State;
use super::super::{ServiceError, Visit};
use super::{Ended, Job};
use crate::store::reset::{self, ChangeId, Intent};
use crate::store::{Transaction, account, visit};

/// What is known of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobReport {
    /// Stands for it, in this visit.
    pub handle: Handle,
    /// Whether it is still carried out.
    pub is_running: bool,
    /// Account by account; empty while nothing was intended yet.
    pub accounts: Vec<JobAccount>,
}

/// What is known of one account of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobAccount {
    /// Stands for it, in this visit.
    pub handle: Handle,
    /// The system.
    pub system: String,
    /// The account's name there.
    pub name: String,
    /// What came of it.
    pub outcome: JobOutcome,
    /// Whether it is known that the new password must be changed at the next sign-in there.
    pub must_change: bool,
}

/// What came of a job on one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOutcome {
    /// It is not known yet.
    Pending,
    /// There was no lock to clear.
    NotLocked,
    /// This.
    Ended(Outcome),
}

impl JobOutcome {
    /// A stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::NotLocked => "not_locked",
            Self::Ended(outcome) => outcome.as_str(),
        }
    }

    fn from_kept(text: &str) -> Self {
        match text {
            "not_locked" => Self::NotLocked,
            text => Self::Ended(text.parse().unwrap_or(Outcome::Unknown)),
        }
    }
}

impl Visit {
    /// What is known of a job of this visit. Needs no evidence: it tells what was ordered while there was some.
    ///
    /// # Errors
    /// [`ServiceError::UnknownHandle`]; what the order has ended with, if it was refused.
    pub async fn job(&self, handle: &Handle) -> Result<JobReport, ServiceError> {
        let services = &self.services;
        let mut tx = services.store().read().await?;
        let state = self.look(&mut tx, services.now()).await?.state;
        let found = state.jobs.iter().find(|job| self.job_handle(job.change) == *handle);
        let job = found.ok_or(ServiceError::UnknownHandle { of: "job" })?;
        self.job_report(&mut tx, job).await
    }

    /// What is known of a change of this visit, also when the visit is over: whoever ordered it hears of it.
    pub(super) async fn found(&self, change: ChangeId) -> Result<JobReport, ServiceError> {
        let mut tx = self.services.store().read().await?;
        let row = visit::find(&mut tx, self.id).await?;
        let state = row.and_then(|row| State::from_json(&row.state));
        let state = state.ok_or(ServiceError::NoVisit)?;
        let job = state.jobs.iter().find(|job| job.change == change);
        self.job_report(&mut tx, job.ok_or(ServiceError::NoVisit)?).await
    }

    async fn job_report(&self, tx: &mut Transaction, job: &Job) -> Result<JobReport, ServiceError> {
        let intent = reset::find(tx, job.change).await?;
        if intent.is_none() {
            match &job.ended {
                Some(Ended::Nothing) => {}
                Some(ended) => return Err(ended.error()),
                None if self.may_be_under_way(job, self.services.now()) => {}
                // Its process died before anything was intended. The same order may be given again.
                None => return Err(ServiceError::NotBegun),
            }
        }
        let mut accounts = Vec::new();
        for (id, outcome) in &job.settled {
            if let Some(account) = account::find(tx, *id).await? {
                accounts.push(JobAccount {
                    handle: self.account_handle(*id),
                    system: account.target,
                    name: account.name,
                    outcome: JobOutcome::from_kept(outcome),
                    must_change: false,
                });
            }
        }
        if let Some(intent) = &intent {
            accounts.extend(self.outcomes(tx, intent).await?);
        }
        Ok(JobReport {
            handle: self.job_handle(job.change),
            is_running: match intent {
                Some(intent) => intent.closed.is_none(),
                None => job.ended.is_none(),
            },
            accounts,
        })
    }

    async fn outcomes(&self, tx: &mut Transaction, intent: &Intent) -> Result<Vec<JobAccount>, ServiceError> {
        let items = reset::items(tx, intent.id).await?;
        let accounts = items.into_iter().map(|item| JobAccount {
            handle: self.account_handle(item.account_id),
            outcome: item
                .result
                .map_or(JobOutcome::Pending, |text| JobOutcome::from_kept(&text)),
            must_change: item.expired.unwrap_or(false),
            system: item.target,
            name: item.account,
        });
        Ok(accounts.collect())
    }

    fn job_handle(&self, change: ChangeId) -> Handle {
        self.handle(HandleOf::Job, change.as_uuid())
    }
}
