//! Call records: who called when, how far they came, why it ended. Never what they keyed.

use std::collections::HashMap;
use std::time::Duration;

use super::many::{ROWS, is_kept, rows, values};
use super::{StoreError, Transaction};
use crate::time::Timestamp;

/// Every column of a [`Row`].
macro_rules! select {
    ($rest:literal) => {
        concat!(
            "select id, door, trunk, dialplan, caller, called, started_ms, answered_ms, ended_ms, visit_id, user_id, ",
            "last_step, end_reason, codec, rtp_sent, rtp_received, rtp_lost, rtp_jitter_us, remote_fraction_lost, ",
            "remote_lost, remote_jitter_us, round_trip_us from calls ",
            $rest
        )
    };
}

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
    /// Why it ended, as one word: `completed`, `caller_hung_up`, `media_lost`, ...
    pub reason: String,
    /// How its audio was, if there was any.
    pub media: Option<CallMedia>,
}

/// How the audio of a call was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallMedia {
    /// The codec that was agreed last.
    pub codec: String,
    /// RTP packets sent.
    pub sent: u64,
    /// RTP packets received.
    pub received: u64,
    /// RTP packets that did not arrive here.
    pub lost: u64,
    /// Interarrival jitter here (RFC 3550 section 6.4.1).
    pub jitter: Duration,
    /// What the far end said last about what we sent; `None` if it never did.
    pub remote: Option<RemoteReception>,
}

/// A report block of the far end (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RemoteReception {
    /// Loss since its report before, in 1/256.
    pub fraction_lost: u8,
    /// Packets that did not arrive there; below zero when packets arrived twice.
    pub lost: i32,
    /// Interarrival jitter there.
    pub jitter: Duration,
    /// Round trip, if a report answered one of ours.
    pub round_trip: Option<Duration>,
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
         visit_id = ends.column4, user_id = ends.column5, last_step = ends.column6, end_reason = ends.column7, \
         codec = ends.column8, rtp_sent = cast(ends.column9 as bigint), rtp_received = cast(ends.column10 as bigint), \
         rtp_lost = cast(ends.column11 as bigint), rtp_jitter_us = cast(ends.column12 as bigint), \
         remote_fraction_lost = cast(ends.column13 as bigint), remote_lost = cast(ends.column14 as bigint), \
         remote_jitter_us = cast(ends.column15 as bigint), round_trip_us = cast(ends.column16 as bigint) \
         from (values {}) as ends where calls.id = ends.column1 and calls.ended_ms is null",
        rows(calls.len(), 16)
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement)).persistent(is_kept(calls.len()));
    for (id, end) in calls {
        let media = end.media.as_ref();
        let remote = media.and_then(|media| media.remote);
        query = query
            .bind(id)
            .bind(end.answered.map(Timestamp::as_millis))
            .bind(end.ended.as_millis())
            .bind(&end.visit)
            .bind(&end.user)
            .bind(&end.last_step)
            .bind(&end.reason)
            .bind(media.map(|media| media.codec.clone()))
            .bind(media.map(|media| count(media.sent)))
            .bind(media.map(|media| count(media.received)))
            .bind(media.map(|media| count(media.lost)))
            .bind(media.map(|media| micros(media.jitter)))
            .bind(remote.map(|remote| i64::from(remote.fraction_lost)))
            .bind(remote.map(|remote| i64::from(remote.lost)))
            .bind(remote.map(|remote| micros(remote.jitter)))
            .bind(remote.and_then(|remote| remote.round_trip).map(micros));
    }
    query.execute(tx.connection()).await?;
    Ok(())
}

/// Which of these calls have a record, and whether that is complete.
///
/// # Errors
/// When the database fails.
pub async fn recorded(tx: &mut Transaction, ids: &[String]) -> Result<HashMap<String, bool>, StoreError> {
    let mut recorded = HashMap::new();
    for ids in ids.chunks(ROWS) {
        let statement = format!("select id, ended_ms from calls where id in ({})", values(1, ids.len()));
        let mut query = sqlx::query_as(sqlx::AssertSqlSafe(statement)).persistent(false);
        for id in ids {
            query = query.bind(id);
        }
        let rows: Vec<(String, Option<i64>)> = query.fetch_all(tx.connection()).await?;
        recorded.extend(rows.into_iter().map(|(id, ended)| (id, ended.is_some())));
    }
    Ok(recorded)
}

/// At most `limit` records of calls that began before `before`, the latest first.
///
/// # Errors
/// When the database fails.
pub async fn latest(tx: &mut Transaction, before: Timestamp, limit: u32) -> Result<Vec<CallRecord>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(select!("where started_ms < $1 order by started_ms desc, id limit $2"))
        .bind(before.as_millis())
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    Ok(rows.into_iter().map(CallRecord::from).collect())
}

/// The record of one call.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, id: &str) -> Result<Option<CallRecord>, StoreError> {
    let row: Option<Row> = sqlx::query_as(select!("where id = $1"))
        .bind(id)
        .fetch_optional(tx.connection())
        .await?;
    Ok(row.map(CallRecord::from))
}

fn count(packets: u64) -> i64 {
    i64::try_from(packets).unwrap_or(i64::MAX)
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
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
    codec: Option<String>,
    rtp_sent: Option<i64>,
    rtp_received: Option<i64>,
    rtp_lost: Option<i64>,
    rtp_jitter_us: Option<i64>,
    remote_fraction_lost: Option<i64>,
    remote_lost: Option<i64>,
    remote_jitter_us: Option<i64>,
    round_trip_us: Option<i64>,
}

impl Row {
    fn media(&self) -> Option<CallMedia> {
        let unsigned = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok()).unwrap_or_default();
        let span = |value: Option<i64>| Duration::from_micros(unsigned(value));
        Some(CallMedia {
            codec: self.codec.clone()?,
            sent: unsigned(self.rtp_sent),
            received: unsigned(self.rtp_received),
            lost: unsigned(self.rtp_lost),
            jitter: span(self.rtp_jitter_us),
            remote: self.remote_fraction_lost.map(|fraction| RemoteReception {
                fraction_lost: u8::try_from(fraction).unwrap_or(u8::MAX),
                lost: self
                    .remote_lost
                    .and_then(|lost| i32::try_from(lost).ok())
                    .unwrap_or_default(),
                jitter: span(self.remote_jitter_us),
                round_trip: self.round_trip_us.map(|value| span(Some(value))),
            }),
        })
    }
}

impl From<Row> for CallRecord {
    fn from(row: Row) -> Self {
        let media = row.media();
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
                media,
            }),
        }
    }
}
