//! The accounts that entries name.

use super::piece::{Candidate, Written};
use super::{Run, SyncCounts, SyncError};
use crate::identity::ids::{AccountId, UserId};
use crate::store::account::{self, Account};
use crate::store::{Transaction, source};
use crate::time::Timestamp;

impl<P: FnMut(&SyncCounts) + Send> Run<'_, P> {
    /// Takes the accounts that an entry does not name any more. Whether there was one.
    pub(super) async fn take_accounts(
        &self,
        tx: &mut Transaction,
        candidate: &Candidate,
        id: UserId,
        now: Timestamp,
        written: &mut Written,
    ) -> Result<bool, SyncError> {
        if candidate.known.is_none() {
            return Ok(false);
        }
        let before = account::of_entry(tx, self.name, &candidate.entry).await?;
        let named = &candidate.person.accounts;
        let is_named = |account: &Account| {
            let is_it = |(target, name): &(String, String)| *target == account.target && *name == account.name;
            named.iter().any(is_it)
        };
        let mut has_lost = false;
        for account in before.iter().filter(|account| !is_named(account)) {
            account::remove(tx, account.id, now).await?;
            has_lost = true;
        }
        if has_lost {
            // Another entry of theirs may name it as well.
            for (source, other) in source::others(tx, id, self.name, &candidate.entry).await? {
                source::read_again(tx, &source, &other.entry).await?;
                if source == self.name {
                    written.again.push(other.entry);
                }
            }
        }
        Ok(has_lost)
    }

    /// Links the accounts that an entry names. Whether there was a new one.
    pub(super) async fn link_accounts_of(
        &self,
        tx: &mut Transaction,
        candidate: &Candidate,
        id: UserId,
        now: Timestamp,
    ) -> Result<bool, SyncError> {
        let mut is_new = false;
        for (target, name) in &candidate.person.accounts {
            if account::owner(tx, target, name).await?.is_some() {
                continue;
            }
            let account = Account {
                id: self.services.draw(|rng| AccountId::generate(now, rng)),
                user: id,
                target: target.clone(),
                name: name.clone(),
                from: Some((self.name.to_owned(), candidate.entry.clone())),
            };
            account::insert(tx, &account).await?;
            is_new = true;
        }
        Ok(is_new)
    }
}
