//! Setting an accepted password on the chosen systems. What is promised about the outcome, and how it is kept:
//! `docs/decisions/0004-one-reset-many-systems.md`.

use super::authority::Authority;
use super::change::Work;
use super::execution::{AccountReport, ChangeReport, Order};
use super::history::Compared;
use super::job::Accepted;
use super::outcome::Outcome;
use super::password::Proposal;
use super::repeat::IdempotencyKey;
use super::systems::Chosen;
use super::{ServiceError, Services, Visit};
use crate::identity::event::{EventKind, Origin};
use crate::identity::evidence::Evidence;
use crate::identity::ids::{AccountId, ResetId};
use crate::integration::target::{AccountState, Expiry};
use crate::store::Transaction;
use crate::store::account::{self, Account};
use crate::store::reset::{self, ChangeId, Intent};
use crate::time::Timestamp;

/// A reset that is about to be intended.
pub(super) struct NewReset {
    pub(super) id: ResetId,
    /// The key under which a repeated request finds it.
    pub(super) key: Option<String>,
    /// The ticket that it was ordered under.
    pub(super) ticket: Option<String>,
    pub(super) chosen: Vec<Chosen>,
    pub(super) expiry: Expiry,
    /// The order, if it was accepted before.
    pub(super) accepted: Option<Accepted>,
}

impl Visit {
    /// Sets the proposed password on the accounts that it was proposed for. With a key that was used before, by the
    /// same user for the same proposal: gives that outcome, and sets nothing.
    ///
    /// Returns when every outcome is known or its time is up. A caller who stops waiting stops nothing.
    ///
    /// # Errors
    /// [`ServiceError::NotVerified`] when the evidence is not live; [`ServiceError::ForeignProposal`] when the choice
    /// of systems has changed since the proposal; [`ServiceError::UsedBefore`], after which another one is to be proposed;
    /// [`ServiceError::Busy`] and [`ServiceError::InProgress`], to be
    /// repeated. Nothing was changed then.
    pub async fn reset(
        &self,
        evidence: &Evidence,
        proposal: &Proposal,
        key: Option<&IdempotencyKey>,
    ) -> Result<ChangeReport, ServiceError> {
        let services = &self.services;
        let work = Work::Reset {
            password: proposal.password().clone(),
            expiry: services.config().expiry,
        };
        let chosen = {
            let now = services.now();
            let mut tx = services.store().read().await?;
            let authority = self.authorise(&mut tx, evidence, now).await?;
            if let Some(earlier) = earlier(&mut tx, authority, key).await? {
                drop(tx);
                return self.repeat(earlier, proposal, work).await;
            }
            let state = self.look(&mut tx, now).await?.state;
            self.chosen(&mut tx, authority, &state).await?
        };
        if !proposal.is_for(evidence.id(), &chosen) {
            return Err(ServiceError::ForeignProposal);
        }
        let order = NewReset {
            id: services.draw(|rng| ResetId::generate(services.now(), rng)),
            key: key.map(|key| key.as_str().to_owned()),
            ticket: None,
            chosen,
            expiry: services.config().expiry,
            accepted: None,
        };
        match self.set(evidence, proposal, order).await {
            Err(ServiceError::UsedBefore) => {
                // By this very request, which another node has begun meanwhile?
                let mut tx = services.store().read().await?;
                let authority = self.authorise(&mut tx, evidence, services.now()).await?;
                match earlier(&mut tx, authority, key).await? {
                    Some(earlier) => {
                        drop(tx);
                        self.repeat(earlier, proposal, work).await
                    }
                    None => Err(ServiceError::UsedBefore),
                }
            }
            set => set,
        }
    }

    /// Sets a password that was checked to be for these accounts.
    pub(super) async fn set(
        &self,
        evidence: &Evidence,
        proposal: &Proposal,
        new: NewReset,
    ) -> Result<ChangeReport, ServiceError> {
        let services = &self.services;
        let compared = services
            .look_back(evidence.user(), proposal.password(), proposal.history())
            .await?;
        let order = self.intend(evidence, proposal, compared, new).await?;
        services.execute(order).await
    }

    /// Commits the intent, with where each account's history of passwords stands now, and the hash to be kept.
    async fn intend(
        &self,
        evidence: &Evidence,
        proposal: &Proposal,
        compared: Option<Compared>,
        new: NewReset,
    ) -> Result<Order, ServiceError> {
        let services = &self.services;
        let NewReset {
            id: reset,
            key,
            ticket,
            chosen,
            expiry,
            accepted,
        } = new;
        let states = services.states(&chosen, services.config().limits.look).await;
        let marker = |state: Option<AccountState>| {
            state
                .and_then(|state| state.marker)
                .map(|marker| marker.as_str().to_owned())
        };
        let ids = chosen.iter().map(|chosen| chosen.account.id);
        let marked: Vec<_> = ids.zip(states.into_iter().map(marker)).collect();

        let now = services.now();
        let mut tx = services.store().write().await?;
        let authority = match accepted {
            Some(accepted) => self.authorise_accepted(&mut tx, evidence, accepted).await?,
            None => self.authorise(&mut tx, evidence, now).await?,
        };
        let order = Order {
            id: ChangeId::Reset(reset),
            origin: self.origin(Some(authority.user())),
            chosen,
            work: Work::Reset {
                password: proposal.password().clone(),
                expiry,
            },
        };
        let intent = Intent {
            idempotency_key: key,
            proposal: Some(proposal.name().to_owned()),
            ticket: ticket.clone(),
            ..self.intent(&order, authority, now)
        };
        services.commit_intent(&mut tx, &intent, &marked).await?;
        services
            .keep_password(&mut tx, reset, authority.user(), compared.as_ref(), now)
            .await?;
        let intended = EventKind::ResetIntended {
            reset,
            systems: order.systems(),
            evidence: authority.evidence(),
            ticket,
        };
        services.record(&mut tx, &order.origin, now, intended).await?;
        tx.commit().await?;
        Ok(order)
    }

    /// An intent as every kind of change begins.
    pub(super) fn intent(&self, order: &Order, authority: Authority, now: Timestamp) -> Intent {
        let services = &self.services;
        Intent {
            id: order.id,
            user: authority.user(),
            session: self.id,
            evidence: authority.evidence(),
            idempotency_key: None,
            proposal: None,
            ticket: None,
            must_change: order.must_change(),
            node: services.config().node.clone(),
            owner: services.0.owner.clone(),
            lease_until: now.plus(services.config().limits.lease()),
            created: now,
            closed: None,
        }
    }

    /// The outcome of an earlier request with the same key. Whoever brings the password again may have lost the first
    /// answer in a crash: what is unknown since then is checked with it.
    async fn repeat(&self, earlier: Intent, proposal: &Proposal, work: Work) -> Result<ChangeReport, ServiceError> {
        let services = &self.services;
        if earlier.proposal.as_deref() != Some(proposal.name()) {
            return Err(ServiceError::IdempotencyConflict);
        }
        if earlier.closed.is_none() {
            return Err(ServiceError::InProgress);
        }
        let report = services.report(&earlier).await?;
        if report
            .accounts
            .iter()
            .all(|account| account.outcome != Outcome::Unknown)
        {
            return Ok(report);
        }
        let order = services
            .order_again(&earlier, work, self.origin(Some(earlier.user)))
            .await?;
        let settled = services.now() >= earlier.created.plus(services.config().limits.settle);
        for index in 0..order.chosen.len() {
            if settled {
                services.settle_one(&order, index).await?;
            }
        }
        services.report(&earlier).await
    }
}

impl Services {
    /// Writes an intent; its accounts must not be in another open change, and must be the user's still: systems were asked
    /// about them since they were chosen, and people are loaded meanwhile.
    pub(super) async fn commit_intent(
        &self,
        tx: &mut Transaction,
        intent: &Intent,
        accounts: &[(AccountId, Option<String>)],
    ) -> Result<(), ServiceError> {
        let ids: Vec<AccountId> = accounts.iter().map(|(id, _)| *id).collect();
        if reset::is_any_open(tx, &ids).await? {
            return Err(ServiceError::Busy);
        }
        let theirs = account::of_user(tx, intent.user).await?;
        if !ids.iter().all(|id| theirs.iter().any(|account| account.id == *id)) {
            return Err(ServiceError::Superseded);
        }
        match reset::begin(tx, intent, accounts).await {
            // Somebody was faster, with the key or with an account; the next try will see which.
            Err(error) if error.is_conflict() => Err(ServiceError::Busy),
            begun => Ok(begun?),
        }
    }

    /// What is recorded about a change.
    pub(super) async fn report(&self, intent: &Intent) -> Result<ChangeReport, ServiceError> {
        let mut tx = self.store().read().await?;
        let items = reset::items(&mut tx, intent.id).await?;
        let accounts = items.into_iter().map(|item| AccountReport {
            outcome: item
                .result
                .and_then(|result| result.parse().ok())
                .unwrap_or(Outcome::Unknown),
            must_change: item.expired.unwrap_or(false),
            system: item.target,
            account: item.account,
        });
        Ok(ChangeReport {
            accounts: accounts.collect(),
        })
    }

    /// The accounts of an earlier change whose outcome is unknown, as an order.
    async fn order_again(&self, intent: &Intent, work: Work, origin: Origin) -> Result<Order, ServiceError> {
        let mut tx = self.store().read().await?;
        let items = reset::items(&mut tx, intent.id).await?;
        let unknown = items
            .into_iter()
            .filter(|item| item.result.as_deref() == Some(Outcome::Unknown.as_str()));
        let chosen = unknown.filter_map(|item| {
            Some(Chosen {
                target: self.target(&item.target)?.clone(),
                account: Account {
                    id: item.account_id,
                    user: intent.user,
                    target: item.target,
                    name: item.account,
                    from: None,
                },
            })
        });
        Ok(Order {
            id: intent.id,
            origin,
            chosen: chosen.collect(),
            work,
        })
    }
}

async fn earlier(
    tx: &mut Transaction,
    authority: Authority,
    key: Option<&IdempotencyKey>,
) -> Result<Option<Intent>, ServiceError> {
    match key {
        Some(key) => Ok(reset::by_idempotency_key(tx, authority.user(), key.as_str()).await?),
        None => Ok(None),
    }
}
