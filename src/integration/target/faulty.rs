//! A target that fails on order, for tests: it refuses, hangs, dies before or after the effect, or takes effect after
//! its caller has given up. What is really stored can be looked at from outside.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::{AccountState, Answer, Capabilities, Expiry, PasswordMarker, Refusal, Target, TargetError, Verdict};
use crate::secret::Secret;

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    None,
    /// Says no for good.
    Refuse,
    /// Cannot be reached.
    Unreachable,
    /// Never answers and never takes effect.
    Hang,
    /// Takes effect, never answers.
    HangAfterEffect,
    /// The connection breaks, nothing happened.
    DieBeforeEffect,
    /// The connection breaks after it took effect.
    DieAfterEffect,
    /// The connection breaks after the password was set, and before it was made to expire.
    DieHalfway,
    /// Never answers; takes effect this long after it was asked, whether or not anybody still waits.
    LateEffect(Duration),
}

struct Stored {
    password: String,
    revision: u64,
    locked: bool,
    expired: bool,
}

#[derive(Default)]
struct State {
    accounts: HashMap<String, Stored>,
    reset_faults: HashMap<String, VecDeque<Fault>>,
    verify_faults: HashMap<String, VecDeque<Fault>>,
    silent: HashSet<String>,
    resets: usize,
    own: Option<String>,
}

/// The double; clones share their state.
#[derive(Clone)]
pub(crate) struct Faulty {
    name: String,
    tells_marker: bool,
    expires: bool,
    state: Arc<Mutex<State>>,
}

impl Faulty {
    /// The account that Passline has there.
    pub(crate) const OWN: &str = "svc-passline";

    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            tells_marker: true,
            expires: false,
            state: Arc::default(),
        }
    }

    /// A target of the kind that cannot say whether a password was changed.
    pub(crate) fn without_marker(mut self) -> Self {
        self.tells_marker = false;
        self
    }

    /// A target that can demand a new password at the next sign-in.
    pub(crate) fn with_expiry(mut self) -> Self {
        self.expires = true;
        self
    }

    pub(crate) fn put(&self, account: &str, password: &str, locked: bool) {
        self.with(|state| {
            let stored = Stored {
                password: password.to_owned(),
                revision: 1,
                locked,
                expired: false,
            };
            state.accounts.insert(account.to_owned(), stored);
        });
    }

    /// The faults of the next changes of an account, in order; after them all is well.
    pub(crate) fn fail_resets(&self, account: &str, faults: impl IntoIterator<Item = Fault>) {
        let faults = faults.into_iter().collect();
        self.with(|state| state.reset_faults.insert(account.to_owned(), faults));
    }

    pub(crate) fn fail_verifications(&self, account: &str, faults: impl IntoIterator<Item = Fault>) {
        let faults = faults.into_iter().collect();
        self.with(|state| state.verify_faults.insert(account.to_owned(), faults));
    }

    /// The password that really holds.
    /// From now on nothing is said of the state of an account.
    pub(crate) fn hang_states(&self, account: &str) {
        self.with(|state| state.silent.insert(account.to_owned()));
    }

    pub(crate) fn password(&self, account: &str) -> String {
        self.with(|state| state.accounts[account].password.clone())
    }

    pub(crate) fn is_locked(&self, account: &str) -> bool {
        self.with(|state| state.accounts[account].locked)
    }

    pub(crate) fn is_expired(&self, account: &str) -> bool {
        self.with(|state| state.accounts[account].expired)
    }

    /// The password that Passline was told to sign in with.
    pub(crate) fn own(&self) -> Option<String> {
        self.with(|state| state.own.clone())
    }

    /// How many resets were asked for.
    pub(crate) fn resets(&self) -> usize {
        self.with(|state| state.resets)
    }

    fn with<T>(&self, work: impl FnOnce(&mut State) -> T) -> T {
        work(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn apply(&self, account: &str, password: &str, expiry: Expiry) -> Result<(), TargetError> {
        self.with(|state| {
            let stored = state.accounts.get_mut(account).ok_or(TargetError::Refused {
                target: self.name.clone(),
                refusal: Refusal::NoSuchAccount,
            })?;
            password.clone_into(&mut stored.password);
            stored.revision += 1;
            stored.expired = expiry == Expiry::AtNextSignIn;
            Ok(())
        })
    }

    async fn suffer(&self, fault: Fault, effect: impl FnOnce() -> Result<(), TargetError>) -> Result<(), TargetError> {
        let target = self.name.clone();
        match fault {
            Fault::None => effect(),
            Fault::Refuse => Err(TargetError::Refused {
                target,
                refusal: Refusal::Policy,
            }),
            Fault::Unreachable => Err(TargetError::Unreachable {
                target,
                reason: "no route".to_owned(),
            }),
            Fault::Hang | Fault::LateEffect(_) => std::future::pending().await,
            Fault::HangAfterEffect => {
                effect()?;
                std::future::pending().await
            }
            Fault::DieBeforeEffect => Err(TargetError::Unknown {
                target,
                reason: "connection reset".to_owned(),
            }),
            Fault::DieAfterEffect | Fault::DieHalfway => {
                effect()?;
                Err(TargetError::Unknown {
                    target,
                    reason: "connection reset".to_owned(),
                })
            }
        }
    }
}

impl Target for Faulty {
    fn name(&self) -> &str {
        &self.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            verify: true,
            reset: true,
            unlock: true,
            change: true,
            lock_state: true,
            expire: self.expires,
            ..Capabilities::default()
        }
    }

    fn verify<'a>(&'a self, account: &'a str, password: &'a Secret) -> Answer<'a, Verdict> {
        Box::pin(async move {
            let fault = self.with(|state| next(&mut state.verify_faults, account));
            self.suffer(fault, || Ok(())).await?;
            let right = self.password(account) == password.expose();
            let expired = self.with(|state| state.accounts[account].expired);
            Ok(match (right, expired) {
                (true, false) => Verdict::Accepted,
                (true, true) => Verdict::AcceptedMustChange,
                (false, _) => Verdict::Rejected,
            })
        })
    }

    fn reset<'a>(&'a self, account: &'a str, password: &'a Secret, expiry: Expiry) -> Answer<'a, Expiry> {
        Box::pin(async move {
            let expiry = if self.expires { expiry } else { Expiry::Keep };
            let fault = self.with(|state| {
                state.resets += 1;
                next(&mut state.reset_faults, account)
            });
            if let Fault::LateEffect(delay) = fault {
                let (this, account, password) = (self.clone(), account.to_owned(), password.clone());
                tokio::spawn(async move {
                    tokio::time::sleep(delay).await;
                    let _ = this.apply(&account, password.expose(), expiry);
                });
            }
            let set = if fault == Fault::DieHalfway {
                Expiry::Keep
            } else {
                expiry
            };
            self.suffer(fault, || self.apply(account, password.expose(), set))
                .await?;
            Ok(expiry)
        })
    }

    fn try_own_password<'a>(&'a self, password: &'a Secret) -> Answer<'a, Verdict> {
        self.verify(Self::OWN, password)
    }

    fn change_own_password<'a>(&'a self, old: &'a Secret, new: &'a Secret) -> Answer<'a, ()> {
        Box::pin(async move {
            if self.password(Self::OWN) != old.expose() {
                return Err(TargetError::Refused {
                    target: self.name.clone(),
                    refusal: Refusal::OldPassword,
                });
            }
            self.reset(Self::OWN, new, Expiry::Keep).await.map(drop)
        })
    }

    fn take_own_password(&self, password: Secret) {
        self.with(|state| state.own = Some(password.expose().to_owned()));
    }

    fn unlock<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(async move {
            let fault = self.with(|state| next(&mut state.reset_faults, account));
            self.suffer(fault, || {
                self.with(|state| {
                    if let Some(stored) = state.accounts.get_mut(account) {
                        stored.locked = false;
                    }
                });
                Ok(())
            })
            .await
        })
    }

    fn state<'a>(&'a self, account: &'a str) -> Answer<'a, AccountState> {
        Box::pin(async move {
            if self.with(|state| state.silent.contains(account)) {
                std::future::pending::<()>().await;
            }
            self.with(|state| {
                let stored = state.accounts.get(account).ok_or(TargetError::Refused {
                    target: self.name.clone(),
                    refusal: Refusal::NoSuchAccount,
                })?;
                Ok(AccountState {
                    locked: Some(stored.locked),
                    must_change: self.expires.then_some(stored.expired),
                    marker: self
                        .tells_marker
                        .then(|| PasswordMarker::new(stored.revision.to_string())),
                    ..AccountState::default()
                })
            })
        })
    }
}

fn next(faults: &mut HashMap<String, VecDeque<Fault>>, account: &str) -> Fault {
    faults
        .get_mut(account)
        .and_then(VecDeque::pop_front)
        .unwrap_or(Fault::None)
}
