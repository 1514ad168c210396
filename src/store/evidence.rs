//! Which evidence is live. A row makes none: only a passed attempt does; a row can only take its worth away.

use super::{StoreError, Transaction};
use crate::identity::evidence::Evidence;
use crate::identity::ids::{EvidenceId, SessionId, UserId};
use crate::time::Timestamp;

/// Notes evidence that was just minted.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Transaction, evidence: &Evidence) -> Result<(), StoreError> {
    sqlx::query(
        "insert into evidences (id, session_id, user_id, attempt_id, channel, minted_ms, expires_ms) \
         values ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(evidence.id().to_string())
    .bind(evidence.session().to_string())
    .bind(evidence.user().to_string())
    .bind(evidence.attempt().to_string())
    .bind(evidence.channel().as_str())
    .bind(evidence.minted().as_millis())
    .bind(evidence.expires().as_millis())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Whether evidence is live: not revoked, not expired, of a visit that has not ended, about a user who may still be
/// verified.
///
/// # Errors
/// When the database fails.
pub async fn is_live(tx: &mut Transaction, evidence: &Evidence, now: Timestamp) -> Result<bool, StoreError> {
    let live: i64 = sqlx::query_scalar(
        "select count(*) from evidences e join visits v on v.id = e.session_id join users u on u.id = e.user_id \
         where e.id = $1 and e.session_id = $2 and e.user_id = $3 and e.revoked_ms is null and e.expires_ms > $4 \
         and v.ended_ms is null and v.expires_ms > $4 and u.status = 'active'",
    )
    .bind(evidence.id().to_string())
    .bind(evidence.session().to_string())
    .bind(evidence.user().to_string())
    .bind(now.as_millis())
    .fetch_one(tx.connection())
    .await?;
    Ok(live == 1)
}

/// Takes its worth from one piece of evidence.
///
/// # Errors
/// When the database fails.
pub async fn revoke(tx: &mut Transaction, id: EvidenceId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update evidences set revoked_ms = $1 where id = $2 and revoked_ms is null")
        .bind(now.as_millis())
        .bind(id.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Takes its worth from all evidence of a visit.
///
/// # Errors
/// When the database fails.
pub async fn revoke_session(tx: &mut Transaction, session: SessionId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update evidences set revoked_ms = $1 where session_id = $2 and revoked_ms is null")
        .bind(now.as_millis())
        .bind(session.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Takes its worth from all evidence about a user.
///
/// # Errors
/// When the database fails.
pub async fn revoke_user(tx: &mut Transaction, user: UserId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update evidences set revoked_ms = $1 where user_id = $2 and revoked_ms is null")
        .bind(now.as_millis())
        .bind(user.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}
