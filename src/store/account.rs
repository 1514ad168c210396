//! Accounts: a user's records on target systems.

use super::{StoreError, Transaction, parsed};
use crate::identity::ids::{AccountId, UserId};

/// A user's record on one target system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Made here.
    pub id: AccountId,
    /// Whose it is.
    pub user: UserId,
    /// The target, by its name in the configuration.
    pub target: String,
    /// The account's name there.
    pub name: String,
}

/// Links an account to its user.
///
/// # Errors
/// [`StoreError::Conflict`] when the account belongs to somebody already.
pub async fn insert(tx: &mut Transaction, account: &Account) -> Result<(), StoreError> {
    sqlx::query("insert into accounts (id, user_id, target, name) values ($1, $2, $3, $4)")
        .bind(account.id.to_string())
        .bind(account.user.to_string())
        .bind(&account.target)
        .bind(&account.name)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Whose account this is.
///
/// # Errors
/// When the database fails.
pub async fn owner(tx: &mut Transaction, target: &str, name: &str) -> Result<Option<UserId>, StoreError> {
    let id: Option<String> = sqlx::query_scalar("select user_id from accounts where target = $1 and name = $2")
        .bind(target)
        .bind(name)
        .fetch_optional(tx.connection())
        .await?;
    id.map(|id| parsed("accounts", &id, &id)).transpose()
}

/// A user's accounts, in order of target and name.
///
/// # Errors
/// When the database fails.
pub async fn of_user(tx: &mut Transaction, user: UserId) -> Result<Vec<Account>, StoreError> {
    let rows: Vec<(String, String, String)> =
        sqlx::query_as("select id, target, name from accounts where user_id = $1 order by target, name")
            .bind(user.to_string())
            .fetch_all(tx.connection())
            .await?;
    rows.into_iter()
        .map(|(id, target, name)| {
            Ok(Account {
                id: parsed("accounts", &id, &id)?,
                user,
                target,
                name,
            })
        })
        .collect()
}
