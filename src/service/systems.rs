//! Which systems a verified caller has accounts on, and which of them are chosen.

use std::sync::Arc;

use super::authority::Authority;
use super::handle::{Handle, HandleOf};
use super::visit::State;
use super::{ServiceError, Services, Visit};
use crate::digit::Digits;
use crate::identity::evidence::Evidence;
use crate::identity::ids::AccountId;
use crate::integration::target::Target;
use crate::store::Transaction;
use crate::store::account::{self, Account};

/// A system on which the caller has accounts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct System {
    /// Its name; the caller chooses by its place in the list, from 1.
    pub name: String,
}

/// What a choice led to; the names are the outcomes of the operation `select_system`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Selected {
    /// This system is chosen now.
    Selected(System),
    /// There is none in that place; the choice is as before.
    NoMatch,
}

/// An account with the system it is on.
#[derive(Clone)]
pub(super) struct Chosen {
    pub(super) account: Account,
    pub(super) target: Arc<dyn Target>,
}

impl Visit {
    /// The systems on which the caller has accounts, in the order of the configuration; the order of a visit does not
    /// change while nobody changes the accounts.
    ///
    /// # Errors
    /// [`ServiceError::NotVerified`].
    pub async fn list_systems(&self, evidence: &Evidence) -> Result<Vec<System>, ServiceError> {
        let now = self.services.now();
        let mut tx = self.services.store().read().await?;
        let authority = self.authorise(&mut tx, evidence, now).await?;
        let accounts = self.services.accounts(&mut tx, authority).await?;
        Ok(systems(&accounts))
    }

    /// Chooses one system by its place in the list, from 1.
    ///
    /// # Errors
    /// [`ServiceError::NotVerified`].
    pub async fn select_system(&self, evidence: &Evidence, digits: &Digits) -> Result<Selected, ServiceError> {
        let now = self.services.now();
        let mut tx = self.services.store().write().await?;
        let authority = self.authorise(&mut tx, evidence, now).await?;
        let mut state = self.load(&mut tx, now).await?.state;
        let accounts = self.services.accounts(&mut tx, authority).await?;
        let mut systems = systems(&accounts);
        let Some(index) = place(digits).filter(|&index| index < systems.len()) else {
            return Ok(Selected::NoMatch);
        };
        let system = systems.swap_remove(index);
        let on_it = accounts.iter().filter(|chosen| chosen.account.target == system.name);
        state.selected = Some(on_it.map(|chosen| chosen.account.id).collect());
        self.save(&mut tx, &state).await?;
        tx.commit().await?;
        Ok(Selected::Selected(system))
    }

    /// Chooses all systems.
    ///
    /// # Errors
    /// [`ServiceError::NotVerified`].
    pub async fn select_all(&self, evidence: &Evidence) -> Result<(), ServiceError> {
        let now = self.services.now();
        let mut tx = self.services.store().write().await?;
        self.authorise(&mut tx, evidence, now).await?;
        let mut state = self.load(&mut tx, now).await?.state;
        state.selected = None;
        self.save(&mut tx, &state).await?;
        Ok(tx.commit().await?)
    }

    /// The accounts with these handles; without any, those that were chosen.
    pub(super) async fn chosen_by(
        &self,
        tx: &mut Transaction,
        authority: Authority,
        state: &State,
        named: Option<&[Handle]>,
    ) -> Result<Vec<Chosen>, ServiceError> {
        let Some(named) = named else {
            return self.chosen(tx, authority, state).await;
        };
        let mut accounts = self.services.accounts(tx, authority).await?;
        let handles: Vec<Handle> = accounts
            .iter()
            .map(|chosen| self.account_handle(chosen.account.id))
            .collect();
        if !named.iter().all(|handle| handles.contains(handle)) {
            return Err(ServiceError::UnknownHandle { of: "account" });
        }
        let mut of_each = handles.iter();
        accounts.retain(|_| of_each.next().is_some_and(|handle| named.contains(handle)));
        match accounts.is_empty() {
            true => Err(ServiceError::NoAccounts),
            false => Ok(accounts),
        }
    }

    /// The handle of an account.
    pub(super) fn account_handle(&self, id: AccountId) -> Handle {
        self.handle(HandleOf::Account, id.as_uuid())
    }

    /// The chosen accounts; all, if none were chosen.
    pub(super) async fn chosen(
        &self,
        tx: &mut Transaction,
        authority: Authority,
        state: &State,
    ) -> Result<Vec<Chosen>, ServiceError> {
        let mut accounts = self.services.accounts(tx, authority).await?;
        if let Some(selected) = &state.selected {
            accounts.retain(|chosen| selected.contains(&chosen.account.id));
        }
        if accounts.is_empty() {
            return Err(ServiceError::NoAccounts);
        }
        Ok(accounts)
    }
}

impl Services {
    /// A user's accounts on the systems that are configured, in their order.
    pub(super) async fn accounts(
        &self,
        tx: &mut Transaction,
        authority: Authority,
    ) -> Result<Vec<Chosen>, ServiceError> {
        let accounts = account::of_user(tx, authority.user()).await?;
        let on = |target: &Arc<dyn Target>| {
            let target = target.clone();
            let accounts = accounts.iter().filter(move |account| account.target == target.name());
            accounts.cloned().collect::<Vec<_>>()
        };
        Ok(self
            .0
            .targets
            .iter()
            .flat_map(|target| {
                on(target).into_iter().map(|account| Chosen {
                    account,
                    target: target.clone(),
                })
            })
            .collect())
    }
}

fn systems(accounts: &[Chosen]) -> Vec<System> {
    let mut names: Vec<&str> = accounts.iter().map(|chosen| chosen.account.target.as_str()).collect();
    names.dedup();
    names.into_iter().map(|name| System { name: name.to_owned() }).collect()
}

/// The index that a number from 1 means.
fn place(digits: &Digits) -> Option<usize> {
    let number = digits.to_secret().expose().parse::<usize>().ok()?;
    number.checked_sub(1)
}
