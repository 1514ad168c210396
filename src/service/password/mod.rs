//! Proposing passwords for the chosen systems, until the caller likes one.
//!
//! A proposal is held by the door, in memory that is wiped, and nowhere else. A door whose requests hold nothing between
//! them keeps it sealed ([`kept`]). It is bound to the evidence that it was made on.

mod kept;

use std::time::Duration;

use subtle::ConstantTimeEq as _;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::handle::Handle;
use super::systems::Chosen;
use super::{ServiceError, Services, Visit};
use crate::digit::Digits;
use crate::identity::event::EventKind;
use crate::identity::evidence::Evidence;
use crate::identity::generator::{Generator, GeneratorError, keypad_form};
use crate::identity::ids::{AccountId, EvidenceId};
use crate::identity::policy::{Contradiction, Person, Policy, merge};
use crate::secret::Secret;
use crate::store::user;

/// A password that the caller may accept. Not `Clone`: the door that holds it reads it out, resets with it, drops it.
#[derive(Debug)]
pub struct Proposal {
    name: String,
    password: Secret,
    evidence: EvidenceId,
    accounts: Vec<AccountId>,
    /// How many earlier passwords it must differ from.
    history: u8,
}

impl Proposal {
    /// The password, to be read out.
    #[must_use]
    pub fn password(&self) -> &Secret {
        &self.password
    }

    /// A random name that is its own; says which password a request was about without saying anything of it. The handle
    /// of one that is kept.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many earlier passwords the rules that it was made for want it to differ from.
    pub(super) fn history(&self) -> u8 {
        self.history
    }

    /// Whether it was made on this evidence, for these accounts and no others.
    pub(super) fn is_for(&self, evidence: EvidenceId, chosen: &[Chosen]) -> bool {
        let chosen = chosen.iter().map(|chosen| chosen.account.id);
        self.evidence == evidence && chosen.eq(self.accounts.iter().copied())
    }

    /// Checks that it was made on this evidence, for these accounts and perhaps more.
    pub(super) fn check_for(&self, evidence: EvidenceId, chosen: &[Chosen]) -> Result<(), ServiceError> {
        let is_for = |chosen: &Chosen| self.accounts.contains(&chosen.account.id);
        match self.evidence == evidence && chosen.iter().all(is_for) {
            true => Ok(()),
            false => Err(ServiceError::ForeignProposal),
        }
    }
}

/// The outcomes of the operation `propose_password`.
#[derive(Debug)]
pub enum Proposed {
    /// This one.
    Proposed(Proposal),
    /// So many were turned down in this visit that there are no more.
    Exhausted,
    /// No password satisfies all chosen systems. For the log; a caller hears that the help desk must do it.
    Contradiction(Vec<String>),
}

/// The outcomes of the operation `check_readback`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadBack {
    /// It was keyed as it would be.
    Match,
    /// It was not.
    Mismatch,
}

/// How long a system may take to tell its rules; without an answer the company's own must do.
const POLICY_WAIT: Duration = Duration::from_secs(1);

impl Visit {
    /// Makes a password that satisfies every chosen system.
    ///
    /// # Errors
    /// [`ServiceError::NotVerified`], [`ServiceError::NoAccounts`].
    pub async fn propose_password(&self, evidence: &Evidence) -> Result<Proposed, ServiceError> {
        let services = &self.services;
        let (proposed, offered) = self.propose(evidence, None).await?;
        if let Some(offered) = offered {
            services
                .record_event(&self.origin(Some(evidence.user())), offered)
                .await?;
            services.metrics().proposals.add_one();
        }
        Ok(proposed)
    }

    /// The same for the accounts with these handles, and the event that is still to be recorded.
    async fn propose(
        &self,
        evidence: &Evidence,
        named: Option<&[Handle]>,
    ) -> Result<(Proposed, Option<EventKind>), ServiceError> {
        let services = &self.services;
        let now = services.now();
        let (chosen, person) = {
            let mut tx = services.store().write().await?;
            let authority = self.authorise(&mut tx, evidence, now).await?;
            let mut state = self.load(&mut tx, now).await?.state;
            if state.proposals >= services.config().proposals_per_visit {
                return Ok((Proposed::Exhausted, None));
            }
            state.proposals += 1;
            let chosen = self.chosen_by(&mut tx, authority, &state, named).await?;
            let user = user::find(&mut tx, authority.user())
                .await?
                .ok_or(ServiceError::NotVerified)?;
            self.save(&mut tx, &state).await?;
            tx.commit().await?;
            (chosen, Person::of(&user))
        };
        let policies = services.policies(&chosen).await;
        let made = match services.generate(policies, person).await? {
            Ok(made) => made,
            Err(reasons) => return Ok((Proposed::Contradiction(reasons), None)),
        };
        let Made {
            password,
            entropy_bits,
            history,
        } = made;
        let systems = chosen.iter().map(|chosen| chosen.account.target.clone()).collect();
        let offered = EventKind::PasswordOffered { systems, entropy_bits };
        let proposal = Proposal {
            name: services.random_name(),
            password,
            evidence: evidence.id(),
            accounts: chosen.iter().map(|chosen| chosen.account.id).collect(),
            history,
        };
        Ok((Proposed::Proposed(proposal), Some(offered)))
    }

    /// Compares what the caller keyed with the keypad form of the proposal, in a time that depends on the lengths only.
    ///
    /// # Errors
    /// [`ServiceError::NotVerified`], [`ServiceError::ForeignProposal`].
    pub async fn check_readback(
        &self,
        evidence: &Evidence,
        proposal: &Proposal,
        digits: &Digits,
    ) -> Result<ReadBack, ServiceError> {
        let services = &self.services;
        let now = services.now();
        let mut tx = services.store().write().await?;
        let authority = self.authorise(&mut tx, evidence, now).await?;
        if proposal.evidence != authority.evidence() {
            return Err(ServiceError::ForeignProposal);
        }
        let (expected, keyed) = (keypad_form(&proposal.password).to_secret(), digits.to_secret());
        let matched = bool::from(expected.expose().as_bytes().ct_eq(keyed.expose().as_bytes()));
        let origin = self.origin(Some(authority.user()));
        services
            .record(&mut tx, &origin, now, EventKind::PasswordReadBack { matched })
            .await?;
        tx.commit().await?;
        Ok(if matched { ReadBack::Match } else { ReadBack::Mismatch })
    }
}

impl Services {
    /// A name for a password, which says nothing of it.
    fn random_name(&self) -> String {
        self.draw(|rng| format!("{:016x}{:016x}", rng.next_u64(), rng.next_u64()))
    }

    /// The rules that the chosen systems publish, asked for at once, and the company's own.
    async fn policies(&self, chosen: &[Chosen]) -> Vec<(String, Policy)> {
        let mut tasks = JoinSet::new();
        for chosen in chosen
            .iter()
            .filter(|chosen| chosen.target.capabilities().policy)
            .cloned()
        {
            tasks.spawn(async move {
                let policy = timeout(POLICY_WAIT, chosen.target.policy(&chosen.account.name)).await;
                Some((chosen.account.target, policy.ok()?.ok()?))
            });
        }
        let mut policies = vec![("this company".to_owned(), self.config().policy.clone())];
        while let Some(done) = tasks.join_next().await {
            policies.extend(done.ok().flatten());
        }
        policies
    }

    /// A password, or why there is none. Counting takes milliseconds of a core, so it
    /// queues with the hashes.
    async fn generate(
        &self,
        policies: Vec<(String, Policy)>,
        person: Person,
    ) -> Result<Result<Made, Vec<String>>, ServiceError> {
        let services = self.clone();
        self.0
            .hashing
            .run(move || {
                let named = policies.iter().map(|(name, policy)| (name.as_str(), policy));
                let merged = merge(named).map_err(|reasons| texts(&reasons))?;
                let failed = |error: GeneratorError| vec![error.to_string()];
                let config = &services.config().generator;
                let generator = Generator::new(&merged, &person, &*services.0.dictionary, config).map_err(failed)?;
                let password = services.draw(|rng| generator.generate(rng)).map_err(failed)?;
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 128")]
                let entropy_bits = generator.entropy_bits().floor() as u32;
                Ok(Made {
                    password,
                    entropy_bits,
                    history: merged.policy().history,
                })
            })
            .await
    }
}

/// A password that was made.
struct Made {
    password: Secret,
    /// In whole bits.
    entropy_bits: u32,
    /// How many earlier ones it must differ from.
    history: u8,
}

fn texts(reasons: &[Contradiction]) -> Vec<String> {
    reasons.iter().map(ToString::to_string).collect()
}
