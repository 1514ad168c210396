//! Accounts: a user's records on target systems.

use super::{StoreError, Transaction, parsed};
use crate::identity::ids::{AccountId, UserId};
use crate::time::Timestamp;

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
    /// Source and entry that name it, if it came from a source.
    pub from: Option<(String, String)>,
}

/// Links an account to its user. One that was removed keeps its identifier, whoever has it now.
///
/// # Errors
/// [`StoreError::Conflict`] when the account belongs to somebody already.
pub async fn insert(tx: &mut Transaction, account: &Account) -> Result<(), StoreError> {
    let (source, entry) = account.from.as_ref().map(|(source, entry)| (source, entry)).unzip();
    let revived = sqlx::query(
        "update accounts set user_id = $1, source = $2, entry = $3, removed_ms = null \
         where target = $4 and name = $5 and removed_ms is not null",
    )
    .bind(account.user.to_string())
    .bind(source)
    .bind(entry)
    .bind(&account.target)
    .bind(&account.name)
    .execute(tx.connection())
    .await?;
    if revived.rows_affected() > 0 {
        return Ok(());
    }
    sqlx::query("insert into accounts (id, user_id, target, name, source, entry) values ($1, $2, $3, $4, $5, $6)")
        .bind(account.id.to_string())
        .bind(account.user.to_string())
        .bind(&account.target)
        .bind(&account.name)
        .bind(source)
        .bind(entry)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Takes an account away from its user; what was changed on it stays told.
///
/// # Errors
/// When the database fails.
pub async fn remove(tx: &mut Transaction, id: AccountId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update accounts set removed_ms = $1 where id = $2")
        .bind(now.as_millis())
        .bind(id.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Takes every account away from a user.
///
/// # Errors
/// When the database fails.
pub async fn remove_all(tx: &mut Transaction, user: UserId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update accounts set removed_ms = $1 where user_id = $2 and removed_ms is null")
        .bind(now.as_millis())
        .bind(user.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Whose account this is.
///
/// # Errors
/// When the database fails.
pub async fn owner(tx: &mut Transaction, target: &str, name: &str) -> Result<Option<UserId>, StoreError> {
    let id: Option<String> =
        sqlx::query_scalar("select user_id from accounts where target = $1 and name = $2 and removed_ms is null")
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
    let rows: Vec<Row> = sqlx::query_as(
        "select id, user_id, target, name, source, entry from accounts \
         where user_id = $1 and removed_ms is null order by target, name",
    )
    .bind(user.to_string())
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Account::try_from).collect()
}

/// An account, whether or not it is anybody's now.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, id: AccountId) -> Result<Option<Account>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as("select id, user_id, target, name, source, entry from accounts where id = $1")
            .bind(id.to_string())
            .fetch_optional(tx.connection())
            .await?;
    row.map(Account::try_from).transpose()
}

/// The accounts that an entry of a source names.
///
/// # Errors
/// When the database fails.
pub async fn of_entry(tx: &mut Transaction, source: &str, entry: &str) -> Result<Vec<Account>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, user_id, target, name, source, entry from accounts \
         where source = $1 and entry = $2 and removed_ms is null order by target, name",
    )
    .bind(source)
    .bind(entry)
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Account::try_from).collect()
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    user_id: String,
    target: String,
    name: String,
    source: Option<String>,
    entry: Option<String>,
}

impl TryFrom<Row> for Account {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed("accounts", &row.id, &row.id)?,
            user: parsed("accounts", &row.id, &row.user_id)?,
            target: row.target,
            name: row.name,
            from: row.source.zip(row.entry),
        })
    }
}
