//! Which evidence is live. A row is written when an attempt was passed, and gives that evidence again while it is live:
//! the next request of a visit may come to another node.

use super::{StoreError, Transaction, parsed};
use crate::identity::evidence::{Evidence, KeptEvidence};
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

/// What makes evidence live: not revoked, not expired, of a visit that has not ended, about a user who may still be
/// verified.
const SELECT_LIVE: &str = "select e.user_id, e.attempt_id, e.channel, e.minted_ms, e.expires_ms from evidences e join visits v on v.id = \
     e.session_id join users u on u.id = e.user_id where e.id = $1 and e.session_id = $2 and e.revoked_ms is null and e.expires_ms > $3 \
     and v.ended_ms is null and v.expires_ms > $3 and u.status = 'active'";

/// Whether evidence is live.
///
/// # Errors
/// When the database fails.
pub async fn is_live(tx: &mut Transaction, evidence: &Evidence, now: Timestamp) -> Result<bool, StoreError> {
    let row = live_row(tx, evidence.id(), evidence.session(), now).await?;
    Ok(row.is_some_and(|row| row.user_id == evidence.user().to_string()))
}

/// The evidence of a visit, if it is live.
///
/// # Errors
/// When the database fails.
pub async fn live(
    tx: &mut Transaction,
    id: EvidenceId,
    session: SessionId,
    now: Timestamp,
) -> Result<Option<Evidence>, StoreError> {
    let row = live_row(tx, id, session, now).await?;
    row.map(|row| row.evidence(id, session)).transpose()
}

async fn live_row(
    tx: &mut Transaction,
    id: EvidenceId,
    session: SessionId,
    now: Timestamp,
) -> Result<Option<Row>, StoreError> {
    Ok(sqlx::query_as(SELECT_LIVE)
        .bind(id.to_string())
        .bind(session.to_string())
        .bind(now.as_millis())
        .fetch_optional(tx.connection())
        .await?)
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

#[derive(sqlx::FromRow)]
struct Row {
    user_id: String,
    attempt_id: String,
    channel: String,
    minted_ms: i64,
    expires_ms: i64,
}

impl Row {
    fn evidence(self, id: EvidenceId, session: SessionId) -> Result<Evidence, StoreError> {
        let key = id.to_string();
        Ok(Evidence::restore(KeptEvidence {
            id,
            user: parsed("evidences", &key, &self.user_id)?,
            attempt: parsed("evidences", &key, &self.attempt_id)?,
            channel: parsed("evidences", &key, &self.channel)?,
            session,
            minted: Timestamp::from_millis(self.minted_ms),
            expires: Timestamp::from_millis(self.expires_ms),
        }))
    }
}
