//! Sealed credentials of target systems: those that they know, and those that they are about to be given.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{StoreError, Transaction};
use crate::time::Timestamp;
use crate::vault::Sealed;

/// A credential with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// The target.
    pub target: String,
    /// What is stored of it.
    pub sealed: Sealed,
    /// When it was entered last.
    pub changed: Timestamp,
}

/// Writes the credential of a target, new or not.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Transaction, credential: &Credential) -> Result<(), StoreError> {
    sqlx::query(
        "insert into credentials (target, key_number, data_key, sealed, changed_ms) values ($1, $2, $3, $4, $5) \
         on conflict (target) do update set key_number = excluded.key_number, data_key = excluded.data_key, \
         sealed = excluded.sealed, changed_ms = excluded.changed_ms",
    )
    .bind(&credential.target)
    .bind(i64::from(credential.sealed.key))
    .bind(STANDARD.encode(&credential.sealed.data_key))
    .bind(STANDARD.encode(&credential.sealed.text))
    .bind(credential.changed.as_millis())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes it; `false` if there was none.
///
/// # Errors
/// When the database fails.
pub async fn remove(tx: &mut Transaction, target: &str) -> Result<bool, StoreError> {
    let done = sqlx::query("delete from credentials where target = $1")
        .bind(target)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// Writes the credential that a target is about to be given.
///
/// # Errors
/// [`StoreError::Conflict`] when it is about to be given another one.
pub async fn begin_renewal(tx: &mut Transaction, credential: &Credential) -> Result<(), StoreError> {
    sqlx::query(
        "insert into credential_renewals (target, key_number, data_key, sealed, begun_ms) values ($1, $2, $3, $4, $5)",
    )
    .bind(&credential.target)
    .bind(i64::from(credential.sealed.key))
    .bind(STANDARD.encode(&credential.sealed.data_key))
    .bind(STANDARD.encode(&credential.sealed.text))
    .bind(credential.changed.as_millis())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Notes that a target is asked once more to take it.
///
/// # Errors
/// When the database fails.
pub async fn repeat_renewal(tx: &mut Transaction, target: &str, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update credential_renewals set begun_ms = $1 where target = $2")
        .bind(now.as_millis())
        .bind(target)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Removes it; `false` if there was none.
///
/// # Errors
/// When the database fails.
pub async fn end_renewal(tx: &mut Transaction, target: &str) -> Result<bool, StoreError> {
    let done = sqlx::query("delete from credential_renewals where target = $1")
        .bind(target)
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected() > 0)
}

/// The credentials that targets are about to be given, with the time when they were asked last, in order of target.
///
/// # Errors
/// When the database fails, or a row cannot be read.
pub async fn renewals(tx: &mut Transaction) -> Result<Vec<Credential>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select target, key_number, data_key, sealed, begun_ms as changed_ms from credential_renewals order by target",
    )
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Credential::try_from).collect()
}

/// All of them, in order of target.
///
/// # Errors
/// When the database fails, or a row cannot be read.
pub async fn all(tx: &mut Transaction) -> Result<Vec<Credential>, StoreError> {
    let rows: Vec<Row> =
        sqlx::query_as("select target, key_number, data_key, sealed, changed_ms from credentials order by target")
            .fetch_all(tx.connection())
            .await?;
    rows.into_iter().map(Credential::try_from).collect()
}

#[derive(sqlx::FromRow)]
struct Row {
    target: String,
    key_number: i64,
    data_key: String,
    sealed: String,
    changed_ms: i64,
}

impl TryFrom<Row> for Credential {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let damaged = || StoreError::Damaged {
            table: "credentials",
            key: row.target.clone(),
            problem: "a column cannot be read",
        };
        Ok(Self {
            sealed: Sealed {
                key: u32::try_from(row.key_number).map_err(|_| damaged())?,
                data_key: STANDARD.decode(&row.data_key).map_err(|_| damaged())?,
                text: STANDARD.decode(&row.sealed).map_err(|_| damaged())?,
            },
            changed: Timestamp::from_millis(row.changed_ms),
            target: row.target,
        })
    }
}
