//! The lockouts that a round of questions is charged to: the claimed person (or decoy), what was keyed, the calling
//! number, and the trunk if that is switched on. Loaded and stored in the transaction of the step.
//!
//! The person's own lockout is never shown. Somebody has two IDs, a number and a name: if the second one were locked by tries
//! with the first, whoever tries would learn that there is such a person, and which IDs are theirs. So it is told by what was
//! keyed, which counts alike for everybody, and a round that the person may not have goes on without hope.

use super::visit::{Charged, Claim, State, subject_of};
use super::{ServiceError, Services, Visit};
use crate::identity::event::{EventKind, Masked};
use crate::identity::lockout::{Charge, Lockout, LockoutConfig, Refusal, Standing, SubjectKey, Watch, begin_all};
use crate::store::lockout::{self, SubjectKind};
use crate::store::{StoreError, Transaction};
use crate::time::Timestamp;

/// Lockouts in their order: person, entry, caller, trunk. Of the first one nothing is shown.
pub(super) struct Watched {
    person: Option<One>,
    shown: Vec<One>,
}

struct One {
    key: SubjectKey,
    kind: SubjectKind,
    before: Lockout,
    now: Lockout,
}

impl One {
    /// Loads and locks it.
    async fn load(tx: &mut Transaction, (key, kind): (SubjectKey, SubjectKind)) -> Result<Self, StoreError> {
        let before = lockout::find_for_update(tx, &key, kind).await?;
        Ok(Self {
            key,
            kind,
            now: before.clone(),
            before,
        })
    }
}

impl Watched {
    /// Loads and locks them.
    pub(super) async fn load(
        services: &Services,
        tx: &mut Transaction,
        state: &State,
        claim: &Claim,
        now: Timestamp,
    ) -> Result<Self, ServiceError> {
        let peppers = services.peppers();
        let claimed = claim.claimed(peppers)?;
        let person = One::load(tx, (subject_of(&claimed, peppers), SubjectKind::User)).await?;
        let generation = person.before.generation_at(now, services.lockout_config(person.kind));
        let entry = SubjectKey::entry(peppers, claim.entry.as_str(), claimed.hashing_id(), generation);
        let mut subjects = vec![(entry, SubjectKind::User)];
        subjects.extend(services.caller_subjects(state));
        Ok(Self {
            person: Some(person),
            ..Self::of(tx, subjects).await?
        })
    }

    /// Loads and locks these; all of them are shown.
    pub(super) async fn of(
        tx: &mut Transaction,
        subjects: Vec<(SubjectKey, SubjectKind)>,
    ) -> Result<Self, ServiceError> {
        let mut shown = Vec::with_capacity(subjects.len());
        for subject in subjects {
            shown.push(One::load(tx, subject).await?);
        }
        Ok(Self { person: None, shown })
    }

    /// Begins a round on all that are shown, or on none; and on the person, if the person may have it.
    pub(super) fn begin(&mut self, services: &Services, now: Timestamp) -> Result<Charged, Refusal> {
        if let Some(one) = &mut self.person {
            one.now.settle(now, services.lockout_config(one.kind));
        }
        let mut watches: Vec<Watch<'_>> = self
            .shown
            .iter_mut()
            .map(|one| Watch {
                lockout: &mut one.now,
                config: services.lockout_config(one.kind),
            })
            .collect();
        let charges = begin_all(&mut watches, now)?;
        let person = self.person.as_mut().and_then(|one| {
            let config = services.lockout_config(one.kind);
            one.now.begin(now, config).ok()
        });
        Ok(Charged {
            shown: charges.into_iter().map(Charge::generation).collect(),
            person: person.map(Charge::generation),
        })
    }

    /// Ends a round that was passed.
    pub(super) fn passed(&mut self, services: &Services, charged: &Charged, now: Timestamp) {
        self.settle(services, charged, now, Lockout::passed);
    }

    /// Ends a round that was not.
    pub(super) fn failed(&mut self, services: &Services, charged: &Charged, now: Timestamp) {
        self.settle(services, charged, now, Lockout::failed);
    }

    fn settle(
        &mut self,
        services: &Services,
        charged: &Charged,
        now: Timestamp,
        end: fn(&mut Lockout, Charge, Timestamp, &LockoutConfig),
    ) {
        let person = self.person.iter_mut().zip(&charged.person);
        for (one, &generation) in self.shown.iter_mut().zip(&charged.shown).chain(person) {
            let config = services.lockout_config(one.kind);
            end(&mut one.now, Charge::from_stored(generation), now, config);
        }
    }

    /// Stores them.
    pub(super) async fn save(&self, tx: &mut Transaction) -> Result<(), StoreError> {
        for one in self.person.iter().chain(&self.shown) {
            lockout::put(tx, &one.key, &one.now).await?;
        }
        Ok(())
    }

    /// What to record: who has to wait now and had not before.
    pub(super) fn events(&self, services: &Services, state: &State, now: Timestamp) -> Vec<EventKind> {
        let locked = self.newly_locked(services, now);
        locked.map(|(one, refusal)| event(one, refusal, state)).collect()
    }

    /// How long those have to wait who had not before; counts them.
    pub(super) fn new_delays(&self, services: &Services, now: Timestamp) -> Vec<u64> {
        let locked = self.newly_locked(services, now);
        locked.map(|(_, refusal)| seconds_of(refusal)).collect()
    }

    fn newly_locked(&self, services: &Services, now: Timestamp) -> impl Iterator<Item = (&One, Refusal)> {
        // What was keyed is no subject of its own to those who are told: the person behind it is.
        let told = match &self.person {
            Some(_) => &self.shown[1..],
            None => &self.shown[..],
        };
        self.person.iter().chain(told).filter_map(move |one| {
            let config = services.lockout_config(one.kind);
            let was = one.before.standing(now, config);
            let Standing::Refused(refusal) = one.now.standing(now, config) else {
                return None;
            };
            let held_now = matches!(
                (was, refusal),
                (Standing::Refused(Refusal::Delayed { .. }), Refusal::Held)
            );
            if was != Standing::Open && !held_now {
                return None;
            }
            services.metrics().lockouts.add_one();
            Some((one, refusal))
        })
    }
}

fn seconds_of(refusal: Refusal) -> u64 {
    match refusal {
        Refusal::Delayed { left } => left.as_secs(),
        Refusal::Held => u64::MAX,
    }
}

fn event(one: &One, refusal: Refusal, state: &State) -> EventKind {
    let delay_seconds = seconds_of(refusal);
    match (one.kind, refusal) {
        (SubjectKind::User, Refusal::Held) => EventKind::UserHeld {
            consecutive: one.now.consecutive,
        },
        (SubjectKind::User, Refusal::Delayed { .. }) => EventKind::UserLocked {
            streak: one.now.streak,
            delay_seconds,
        },
        (SubjectKind::Caller, _) => EventKind::CallerLocked {
            trunk: state.trunk.clone(),
            caller: state.caller.as_deref().map(Masked::of),
            delay_seconds,
        },
        (SubjectKind::Trunk, _) => EventKind::CallerLocked {
            trunk: state.trunk.clone(),
            caller: None,
            delay_seconds,
        },
        (SubjectKind::Client | SubjectKind::Address, _) => EventKind::ApiLocked { delay_seconds },
    }
}

impl Services {
    /// The lockouts of whoever calls, without knowing whom they claim to be.
    fn caller_subjects(&self, state: &State) -> Vec<(SubjectKey, SubjectKind)> {
        let mut subjects = Vec::new();
        // One outside IVR stands for thousands of callers: those without a number must not lock each other out. Its own
        // limit, if any, is that of a trunk.
        if state.client.is_none() || state.caller.is_some() {
            let key = SubjectKey::caller(self.peppers(), &state.trunk, state.caller.as_deref());
            subjects.push((key, SubjectKind::Caller));
        }
        if self.config().lockout.trunks.is_some() {
            subjects.push((SubjectKey::trunk(self.peppers(), &state.trunk), SubjectKind::Trunk));
        }
        subjects
    }

    pub(super) fn lockout_config(&self, kind: SubjectKind) -> &LockoutConfig {
        let policies = &self.config().lockout;
        match kind {
            SubjectKind::User => &policies.users,
            SubjectKind::Caller => &policies.callers,
            SubjectKind::Trunk => policies.trunks.as_ref().unwrap_or(&policies.callers),
            SubjectKind::Client => &policies.clients,
            SubjectKind::Address => &policies.addresses,
        }
    }
}

impl Visit {
    /// Whether whoever calls may try at all now.
    pub(super) async fn caller_may_try(
        &self,
        tx: &mut Transaction,
        state: &State,
        now: Timestamp,
    ) -> Result<bool, ServiceError> {
        for (key, kind) in self.services.caller_subjects(state) {
            let lockout = lockout::find(tx, &key).await?;
            if lockout.standing(now, self.services.lockout_config(kind)) != Standing::Open {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
