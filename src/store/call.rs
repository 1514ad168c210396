//! Call records: who called when, how far they came, why it ended. Never what they keyed.

use super::many::{ROWS, is_kept, rows};
use super::{StoreError, Transaction};
use crate::time::Timestamp;

/// What is known when a call begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallStart {
    /// Our identifier of the call, the same in logs.
    pub id: String,
    /// The door it came through.
    pub door: String,
    /// The trunk, for calls by telephone.
    pub trunk: Option<String>,
    /// The call flow it got.
    pub dialplan: Option<String>,
    /// The calling number, if it was given.
    pub caller: Option<String>,
    /// The number that was dialled.
    pub called: Option<String>,
    /// When it arrived.
    pub started: Timestamp,
}

/// What is known when it has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEnd {
    /// When it was answered, if it was.
    pub answered: Option<Timestamp>,
    /// When it ended.
    pub ended: Timestamp,
    /// The visit it made.
    pub visit: Option<String>,
    /// The user it turned out to be about, once verified.
    pub user: Option<String>,
    /// The step of the call flow it was in.
    pub last_step: Option<String>,
    /// Why it ended, as one word: `hangup`, `caller`, `media_lost`, ...
    pub reason: String,
}

/// A call record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallRecord {
    /// The beginning.
    pub start: CallStart,
    /// The end; `None` while it lasts, and for calls of a process that died.
    pub end: Option<CallEnd>,
}

/// Writes the beginnings of calls, a few statements for all of them.
///
/// # Errors
/// [`StoreError::Conflict`] when an identifier was used before; then none is written.
pub async fn begin(tx: &mut Transaction, calls: &[CallStart]) -> Result<(), StoreError> {
    for calls in calls.chunks(ROWS) {
        insert(tx, calls).await?;
    }
    Ok(())
}

async fn insert(tx: &mut Transaction, calls: &[CallStart]) -> Result<(), StoreError> {
    let statement = format!(
        "insert into calls (id, door, trunk, dialplan, caller, called, started_ms) values {}",
        rows(calls.len(), 7)
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement)).persistent(is_kept(calls.len()));
    for call in calls {
        query = query
            .bind(&call.id)
            .bind(&call.door)
            .bind(&call.trunk)
            .bind(&call.dialplan)
            .bind(&call.caller)
            .bind(&call.called)
            .bind(call.started.as_millis());
    }
    query.execute(tx.connection()).await?;
    Ok(())
}

/// Completes the records of calls, a few statements for all of them; the first end of each stands.
///
/// # Errors
/// When the database fails.
pub async fn end(tx: &mut Transaction, calls: &[(String, CallEnd)]) -> Result<(), StoreError> {
    for calls in calls.chunks(ROWS) {
        complete(tx, calls).await?;
    }
    Ok(())
}

async fn complete(tx: &mut Transaction, calls: &[(String, CallEnd)]) -> Result<(), StoreError> {
    // The casts are for PostgreSQL, which takes a column of nulls for text.
    let statement = format!(
        "update calls set answered_ms = cast(ends.column2 as bigint), ended_ms = cast(ends.column3 as bigint), \
         visit_id = ends.column4, user_id = ends.column5, last_step = ends.column6, end_reason = ends.column7 \
         from (values {}) as ends where calls.id = ends.column1 and calls.ended_ms is null",
        rows(calls.len(), 7)
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement)).persistent(is_kept(calls.len()));
    for (id, end) in calls {
        query = query
            .bind(id)
            .bind(end.answered.map(Timestamp::as_millis))
            .bind(end.ended.as_millis())
            .bind(&end.visit)
            .bind(&end.user)
            .bind(&end.last_step)
            .bind(&end.reason);
    }
    query.execute(tx.connection()).await?;
    Ok(())
}

/// At most `limit` records of calls that began before `before`, the latest first.
///
/// # Errors
/// When the database fails.
pub async fn latest(tx: &mut Transaction, before: Timestamp, limit: u32) -> Result<Vec<CallRecord>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, door, trunk, dialplan, caller, called, started_ms, answered_ms, ended_ms, visit_id, user_id, \
         last_step, end_reason from calls where started_ms < $1 order by started_ms desc, id limit $2",
    )
    .bind(before.as_millis())
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(CallRecord::from).collect())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    door: String,
    trunk: Option<String>,
    dialplan: Option<String>,
    caller: Option<String>,
    called: Option<String>,
    started_ms: i64,
    answered_ms: Option<i64>,
    ended_ms: Option<i64>,
    visit_id: Option<String>,
    user_id: Option<String>,
    last_step: Option<String>,
    end_reason: Option<String>,
}

impl From<Row> for CallRecord {
    fn from(row: Row) -> Self {
        Self {
            start: CallStart {
                id: row.id,
                door: row.door,
                trunk: row.trunk,
                dialplan: row.dialplan,
                caller: row.caller,
                called: row.called,
                started: Timestamp::from_millis(row.started_ms),
            },
            end: row.ended_ms.map(|ended| CallEnd {
                answered: row.answered_ms.map(Timestamp::from_millis),
                ended: Timestamp::from_millis(ended),
                visit: row.visit_id,
                user: row.user_id,
                last_step: row.last_step,
                reason: row.end_reason.unwrap_or_default(),
            }),
        }
    }
}
