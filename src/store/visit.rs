//! Visits: how far a caller has come, by whatever door. What the state means is the business of `service`; here it is
//! text with a version.

use super::{StoreError, Transaction, parsed};
use crate::identity::ids::SessionId;
use crate::time::Timestamp;

/// A visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitRow {
    /// Made here.
    pub id: SessionId,
    /// The door it came through.
    pub door: String,
    /// How far it has come, as JSON.
    pub state: String,
    /// Grows with every step.
    pub version: i64,
    /// When it began.
    pub started: Timestamp,
    /// When it ends at the latest.
    pub expires: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
}

/// Writes a new visit.
///
/// # Errors
/// [`StoreError::Conflict`] when the identifier was used before.
pub async fn insert(tx: &mut Transaction, visit: &VisitRow) -> Result<(), StoreError> {
    sqlx::query(
        "insert into visits (id, door, state, version, started_ms, expires_ms) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(visit.id.to_string())
    .bind(&visit.door)
    .bind(&visit.state)
    .bind(visit.version)
    .bind(visit.started.as_millis())
    .bind(visit.expires.as_millis())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A visit, as it is now.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, id: SessionId) -> Result<Option<VisitRow>, StoreError> {
    let row: Option<Row> =
        sqlx::query_as("select id, door, state, version, started_ms, expires_ms, ended_ms from visits where id = $1")
            .bind(id.to_string())
            .fetch_optional(tx.connection())
            .await?;
    row.map(VisitRow::try_from).transpose()
}

/// A visit that this transaction is about to change: its row is locked until the end, its version has grown by one.
///
/// # Errors
/// When the database fails.
pub async fn find_for_update(tx: &mut Transaction, id: SessionId) -> Result<Option<VisitRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "update visits set version = version + 1 where id = $1 \
         returning id, door, state, version, started_ms, expires_ms, ended_ms",
    )
    .bind(id.to_string())
    .fetch_optional(tx.connection())
    .await?;
    row.map(VisitRow::try_from).transpose()
}

/// Stores how far a visit has come, which was found for update.
///
/// # Errors
/// When the database fails.
pub async fn put_state(tx: &mut Transaction, id: SessionId, state: &str) -> Result<(), StoreError> {
    sqlx::query("update visits set state = $1 where id = $2")
        .bind(state)
        .bind(id.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Ends a visit; the first end stands.
///
/// # Errors
/// When the database fails.
pub async fn end(tx: &mut Transaction, id: SessionId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update visits set ended_ms = $1 where id = $2 and ended_ms is null")
        .bind(now.as_millis())
        .bind(id.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// At most `limit` visits that were never ended and have expired, and whether each came by the web API.
///
/// # Errors
/// When the database fails.
pub async fn expired(tx: &mut Transaction, now: Timestamp, limit: u32) -> Result<Vec<(SessionId, bool)>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select id, door from visits where ended_ms is null and expires_ms <= $1 order by expires_ms limit $2",
    )
    .bind(now.as_millis())
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    let visit = |(id, door): (String, String)| Ok((parsed("visits", &id, &id)?, door == "api"));
    rows.into_iter().map(visit).collect()
}

/// Deletes visits that ended before `before`, with everything that belongs to them alone. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn forget(tx: &mut Transaction, before: Timestamp) -> Result<u64, StoreError> {
    for statement in [
        "delete from evidences where session_id in (select id from visits where ended_ms < $1)",
        "delete from api_sessions where visit_id in (select id from visits where ended_ms < $1)",
        "delete from proposals where visit_id in (select id from visits where ended_ms < $1)",
    ] {
        sqlx::query(statement)
            .bind(before.as_millis())
            .execute(tx.connection())
            .await?;
    }
    let done = sqlx::query("delete from visits where ended_ms < $1")
        .bind(before.as_millis())
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    door: String,
    state: String,
    version: i64,
    started_ms: i64,
    expires_ms: i64,
    ended_ms: Option<i64>,
}

impl TryFrom<Row> for VisitRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            id: parsed("visits", &row.id, &row.id)?,
            door: row.door,
            state: row.state,
            version: row.version,
            started: Timestamp::from_millis(row.started_ms),
            expires: Timestamp::from_millis(row.expires_ms),
            ended: row.ended_ms.map(Timestamp::from_millis),
        })
    }
}
