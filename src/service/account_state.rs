//! Telling a verified caller what state their accounts are in.

use std::time::Duration;

use tokio::task::JoinSet;

use super::change::state_of;
use super::handle::Handle;
use super::systems::Chosen;
use super::{ServiceError, Services, Visit};
use crate::identity::event::EventKind;
use crate::identity::evidence::Evidence;
use crate::integration::target::AccountState;

/// What was found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountStateReport {
    /// Stands for the account, in this visit.
    pub handle: Handle,
    /// The system.
    pub system: String,
    /// The account's name there.
    pub account: String,
    /// Its state; `None` when the system did not say.
    pub state: Option<AccountState>,
}

/// The outcomes of the operation `account_state`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StatesTold {
    /// At least one system has answered.
    Told(Vec<AccountStateReport>),
    /// None has.
    Unavailable,
}

impl Visit {
    /// Asks every chosen system at once, each within the time of one request.
    ///
    /// # Errors
    /// [`ServiceError::NotVerified`], [`ServiceError::NoAccounts`].
    pub async fn account_states(&self, evidence: &Evidence) -> Result<StatesTold, ServiceError> {
        let services = &self.services;
        let chosen = {
            let now = services.now();
            let mut tx = services.store().read().await?;
            let authority = self.authorise(&mut tx, evidence, now).await?;
            let state = self.look(&mut tx, now).await?.state;
            self.chosen(&mut tx, authority, &state).await?
        };
        let reports = self
            .states_of(evidence, chosen, services.config().limits.request)
            .await?;
        Ok(match reports.iter().any(|report| report.state.is_some()) {
            true => StatesTold::Told(reports),
            false => StatesTold::Unavailable,
        })
    }

    /// Every account of the caller, with what its system says of it within this time.
    ///
    /// # Errors
    /// [`ServiceError::NotVerified`].
    pub async fn accounts(
        &self,
        evidence: &Evidence,
        within: Duration,
    ) -> Result<Vec<AccountStateReport>, ServiceError> {
        let services = &self.services;
        let accounts = {
            let mut tx = services.store().read().await?;
            let authority = self.authorise(&mut tx, evidence, services.now()).await?;
            services.accounts(&mut tx, authority).await?
        };
        self.states_of(evidence, accounts, within).await
    }

    async fn states_of(
        &self,
        evidence: &Evidence,
        accounts: Vec<Chosen>,
        within: Duration,
    ) -> Result<Vec<AccountStateReport>, ServiceError> {
        let services = &self.services;
        let states = services
            .states(&accounts, within.min(services.config().limits.request))
            .await;
        let reports: Vec<AccountStateReport> = states
            .into_iter()
            .zip(accounts)
            .map(|(state, chosen)| AccountStateReport {
                handle: self.account_handle(chosen.account.id),
                system: chosen.account.target,
                account: chosen.account.name,
                state,
            })
            .collect();
        let told = reports.iter().filter(|report| report.state.is_some());
        let systems: Vec<String> = told.map(|report| report.system.clone()).collect();
        if !systems.is_empty() {
            services
                .record_event(
                    &self.origin(Some(evidence.user())),
                    EventKind::AccountStateTold { systems },
                )
                .await?;
        }
        Ok(reports)
    }
}

impl Services {
    /// The states of accounts, asked for at once, in the same order; `None` where a system does not say.
    pub(super) async fn states(&self, chosen: &[Chosen], limit: Duration) -> Vec<Option<AccountState>> {
        let mut tasks = JoinSet::new();
        for (index, chosen) in chosen.iter().cloned().enumerate() {
            tasks.spawn(async move {
                let state = state_of(&*chosen.target, &chosen.account.name, limit).await;
                (index, state.ok())
            });
        }
        let mut states = vec![None; chosen.len()];
        while let Some(done) = tasks.join_next().await {
            // A connector that panicked has not answered.
            if let Ok((index, state)) = done {
                states[index] = state;
            }
        }
        states
    }
}
