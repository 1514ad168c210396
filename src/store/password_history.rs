//! The passwords that were set, as hashes.

use super::{StoreError, Transaction};
use crate::identity::ids::{ResetId, UserId};
use crate::identity::password_history::PasswordHash;
use crate::time::Timestamp;

/// A user's last passwords, the newest first; at most `limit` of them.
///
/// # Errors
/// When the database fails.
pub async fn newest(tx: &mut Transaction, user: UserId, limit: u8) -> Result<Vec<PasswordHash>, StoreError> {
    let rows: Vec<String> = sqlx::query_scalar(
        "select hash from password_history where user_id = $1 order by set_ms desc, reset_id desc limit $2",
    )
    .bind(user.to_string())
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(PasswordHash::from_stored).collect())
}

/// Adds the password of a reset.
///
/// # Errors
/// When the database fails.
pub async fn add(
    tx: &mut Transaction,
    reset: ResetId,
    user: UserId,
    hash: &PasswordHash,
    now: Timestamp,
) -> Result<(), StoreError> {
    sqlx::query("insert into password_history (reset_id, user_id, hash, set_ms) values ($1, $2, $3, $4)")
        .bind(reset.to_string())
        .bind(user.to_string())
        .bind(hash.as_str())
        .bind(now.as_millis())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Removes all of a user's but the newest `keep`.
///
/// # Errors
/// When the database fails.
pub async fn trim(tx: &mut Transaction, user: UserId, keep: u8) -> Result<(), StoreError> {
    sqlx::query(
        "delete from password_history where user_id = $1 and reset_id not in (select reset_id from password_history \
         where user_id = $1 order by set_ms desc, reset_id desc limit $2)",
    )
    .bind(user.to_string())
    .bind(i64::from(keep))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Removes the password of a reset that is decided on every account, on none of them with one of these results: it never
/// became a password.
///
/// # Errors
/// When the database fails.
pub async fn remove_unless(tx: &mut Transaction, reset: ResetId, results: [&str; 2]) -> Result<(), StoreError> {
    sqlx::query(
        "delete from password_history where reset_id = $1 and not exists (select 1 from reset_outcomes o \
         where o.reset_id = $1 and (o.result is null or o.result = $2 or o.result = $3))",
    )
    .bind(reset.to_string())
    .bind(results[0])
    .bind(results[1])
    .execute(tx.connection())
    .await?;
    Ok(())
}
