//! Passwords for a door whose requests hold nothing between them: proposals kept sealed, and passwords that the client
//! brings itself.
//!
//! The key of a sealed proposal is made of a pepper, the client's session token and the proposal's name. The token is in
//! the database as a hash only: a stolen database opens nothing, not even together with the peppers.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::handle::Handle;
use super::super::repeat::IdempotencyKey;
use super::super::systems::Chosen;
use super::super::{ServiceError, Services, Visit};
use super::{Proposal, Proposed, texts};
use crate::identity::evidence::Evidence;
use crate::identity::policy::{Person, Policy, merge};
use crate::key_file::Key;
use crate::secret::Secret;
use crate::store::proposal::{self, ProposalRow};
use crate::store::{Transaction, user};
use crate::vault;

/// What is sealed, for the seal.
const PLACE: &str = "proposed password";

impl Visit {
    /// Makes a password for the accounts with these handles, or for all that are chosen, and keeps it sealed for whoever
    /// has the session token. With a key that was used before: gives the same password again.
    ///
    /// # Errors
    /// As [`Visit::propose_password`]; [`ServiceError::UnknownHandle`]; [`ServiceError::IdempotencyConflict`].
    pub async fn propose_and_keep(
        &self,
        evidence: &Evidence,
        accounts: Option<&[Handle]>,
        token: &Secret,
        key: Option<&IdempotencyKey>,
    ) -> Result<Proposed, ServiceError> {
        let services = &self.services;
        let parts: Vec<&[u8]> = accounts
            .iter()
            .copied()
            .flatten()
            .map(|handle| handle.as_str().as_bytes())
            .collect();
        let keyed = self.keyed("propose", key, &parts);
        let earlier = {
            let mut tx = services.store().read().await?;
            let state = self.look(&mut tx, services.now()).await?.state;
            self.earlier(&mut tx, state.reply_to(keyed.as_ref())?, token).await?
        };
        if let Some(earlier) = earlier {
            return Ok(Proposed::Proposed(earlier));
        }
        let (proposed, offered) = self.propose(evidence, accounts).await?;
        let (Proposed::Proposed(proposal), Some(offered)) = (&proposed, offered) else {
            return Ok(proposed);
        };
        let now = services.now();
        let mut tx = services.store().write().await?;
        self.authorise(&mut tx, evidence, now).await?;
        let mut state = self.load(&mut tx, now).await?.state;
        // The same request at another node may have been faster.
        let reply = state.reply_to(keyed.as_ref())?.map(str::to_owned);
        if let Some(earlier) = self.earlier(&mut tx, reply.as_deref(), token).await? {
            return Ok(Proposed::Proposed(earlier));
        }
        state.keep_reply(keyed.as_ref(), &*proposal.name);
        self.save(&mut tx, &state).await?;
        proposal::insert(&mut tx, &self.sealed(proposal, token)).await?;
        services
            .record(&mut tx, &self.origin(Some(evidence.user())), now, offered)
            .await?;
        tx.commit().await?;
        services.metrics().proposals.add_one();
        Ok(proposed)
    }

    /// A password that was proposed in this visit, for whoever has the session token.
    ///
    /// # Errors
    /// [`ServiceError::UnknownHandle`].
    pub async fn kept_proposal(&self, handle: &Handle, token: &Secret) -> Result<Proposal, ServiceError> {
        let services = &self.services;
        let mut tx = services.store().read().await?;
        self.look(&mut tx, services.now()).await?;
        let found = self.opened(&mut tx, handle.as_str(), token).await?;
        found.ok_or(ServiceError::UnknownHandle { of: "password" })
    }

    /// What an earlier request with the same key was given.
    async fn earlier(
        &self,
        tx: &mut Transaction,
        reply: Option<&str>,
        token: &Secret,
    ) -> Result<Option<Proposal>, ServiceError> {
        match reply {
            Some(name) => self.opened(tx, name, token).await,
            None => Ok(None),
        }
    }

    async fn opened(&self, tx: &mut Transaction, name: &str, token: &Secret) -> Result<Option<Proposal>, ServiceError> {
        let Some(row) = proposal::find(tx, self.id, name).await? else {
            return Ok(None);
        };
        let opened = STANDARD
            .decode(&row.sealed)
            .ok()
            .and_then(|sealed| vault::open_under(&self.key_of(&row.id, token), PLACE, &sealed).ok());
        let Some(password) = opened else {
            // Another token of the same visit does not exist: the row was changed, or the peppers were.
            tracing::error!(session.id = %self.id, "a kept password cannot be read");
            return Ok(None);
        };
        Ok(Some(Proposal {
            name: row.id,
            password,
            evidence: row.evidence,
            accounts: row.accounts,
            history: row.history,
        }))
    }

    fn sealed(&self, proposal: &Proposal, token: &Secret) -> ProposalRow {
        let key = self.key_of(&proposal.name, token);
        let sealed = self
            .services
            .draw(|rng| vault::seal_under(&key, PLACE, &proposal.password, rng));
        ProposalRow {
            id: proposal.name.clone(),
            visit: self.id,
            evidence: proposal.evidence,
            accounts: proposal.accounts.clone(),
            history: proposal.history,
            sealed: STANDARD.encode(sealed),
        }
    }

    fn key_of(&self, name: &str, token: &Secret) -> Key {
        let session = self.id.as_uuid();
        let parts: [&[u8]; 3] = [session.as_bytes(), token.expose().as_bytes(), name.as_bytes()];
        self.services.peppers().derived_key("api proposal", &parts)
    }

    /// A password that somebody has chosen for these accounts, if it meets all their rules.
    ///
    /// # Errors
    /// [`ServiceError::Policy`].
    pub(in super::super) async fn chosen_password(
        &self,
        evidence: &Evidence,
        chosen: &[Chosen],
        password: Secret,
    ) -> Result<Proposal, ServiceError> {
        let services = &self.services;
        let person = {
            let mut tx = services.store().read().await?;
            let user = user::find(&mut tx, evidence.user()).await?;
            Person::of(&user.ok_or(ServiceError::NotVerified)?)
        };
        let policies = services.policies(chosen).await;
        let history = services.check_rules(policies, person, password.clone()).await?;
        Ok(Proposal {
            name: services.random_name(),
            password,
            evidence: evidence.id(),
            accounts: chosen.iter().map(|chosen| chosen.account.id).collect(),
            history,
        })
    }
}

impl Services {
    /// How many earlier passwords a good one must differ from.
    async fn check_rules(
        &self,
        policies: Vec<(String, Policy)>,
        person: Person,
        password: Secret,
    ) -> Result<u8, ServiceError> {
        let services = self.clone();
        let checked = self
            .0
            .hashing
            .run(move || {
                let named = policies.iter().map(|(name, policy)| (name.as_str(), policy));
                let merged = merge(named).map_err(|reasons| texts(&reasons))?;
                let violations = merged.policy().check(&password, &person, &*services.0.dictionary);
                match violations.is_empty() {
                    true => Ok(merged.policy().history),
                    false => Err(violations.iter().map(ToString::to_string).collect()),
                }
            })
            .await?;
        checked.map_err(|reasons| ServiceError::Policy { reasons })
    }
}
