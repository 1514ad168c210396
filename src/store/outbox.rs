//! Who must still be told of which event. Rows are written in the transaction of the event and delivered at least once
//! after it; the order between events is not kept when one of them must be tried again.
//!
//! ```text
//! queued ──claim──▶ claimed ──delivered──▶ done
//!    ▲                 │ failed, or the lease ran out (the worker died)
//!    └── back-off ─────┤
//!                      └ too many tries ─▶ dead: a person must look
//! ```

use super::many::{ROWS, is_kept, rows, values};
use super::{StoreError, Transaction};
use crate::time::Timestamp;

/// One delivery that this worker has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// Where to.
    pub sink: String,
    /// The audit link; together with the sink it is the idempotency key of the delivery.
    pub sequence: i64,
    /// How many tries were begun, with this one.
    pub tries: u32,
    /// When the event happened.
    pub at: Timestamp,
    /// The event's stable name.
    pub name: String,
    /// The event's fields as JSON, never with a secret.
    pub fields: String,
}

/// How many deliveries are where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Backlog {
    /// To be delivered.
    pub waiting: i64,
    /// Given up.
    pub dead: i64,
}

/// Queues audit links for each of `sinks`.
///
/// # Errors
/// [`StoreError::Conflict`] when one is queued for that sink already.
pub async fn enqueue(
    tx: &mut Transaction,
    sinks: &[String],
    sequences: &[i64],
    now: Timestamp,
) -> Result<(), StoreError> {
    let pairs: Vec<(&str, i64)> = sequences
        .iter()
        .flat_map(|sequence| sinks.iter().map(move |sink| (sink.as_str(), *sequence)))
        .collect();
    for pairs in pairs.chunks(ROWS) {
        insert(tx, pairs, now).await?;
    }
    Ok(())
}

async fn insert(tx: &mut Transaction, pairs: &[(&str, i64)], now: Timestamp) -> Result<(), StoreError> {
    let statement = format!(
        "insert into outbox (sink, sequence, available_ms, claimed_until_ms, tries) values {}",
        rows(pairs.len(), 5)
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement)).persistent(is_kept(pairs.len()));
    for &(sink, sequence) in pairs {
        query = query
            .bind(sink)
            .bind(sequence)
            .bind(now.as_millis())
            .bind(0_i64)
            .bind(0_i64);
    }
    query.execute(tx.connection()).await?;
    Ok(())
}

/// Claims at most `limit` due deliveries for `worker` until `lease_until`, oldest event first. What was never tried is due
/// by whatever clock: one that was set back must not hold up the news of an hour. The outer condition
/// repeats the inner one for PostgreSQL, where a second worker waits for the first one's row locks and then looks again.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    tx: &mut Transaction,
    worker: &str,
    now: Timestamp,
    lease_until: Timestamp,
    limit: u32,
) -> Result<Vec<Delivery>, StoreError> {
    sqlx::query(
        "update outbox set claimed_by = $1, claimed_until_ms = $2, tries = tries + 1 \
         where claimed_until_ms <= $3 and delivered_ms is null and dead_ms is null and (sink, sequence) in ( \
           select sink, sequence from outbox \
           where claimed_until_ms <= $3 and (available_ms <= $3 or tries = 0) \
             and delivered_ms is null and dead_ms is null \
           order by sequence limit $4)",
    )
    .bind(worker)
    .bind(lease_until.as_millis())
    .bind(now.as_millis())
    .bind(i64::from(limit))
    .execute(tx.connection())
    .await?;
    let rows: Vec<(String, i64, i64, i64, String, String)> = sqlx::query_as(
        "select o.sink, o.sequence, o.tries, a.at_ms, a.name, a.fields \
         from outbox o join audit_links a on a.sequence = o.sequence \
         where o.claimed_by = $1 and o.claimed_until_ms = $2 and o.delivered_ms is null and o.dead_ms is null \
         order by o.sequence",
    )
    .bind(worker)
    .bind(lease_until.as_millis())
    .fetch_all(tx.connection())
    .await?;
    Ok(rows
        .into_iter()
        .map(|(sink, sequence, tries, at_ms, name, fields)| Delivery {
            sink,
            sequence,
            tries: u32::try_from(tries).unwrap_or(u32::MAX),
            at: Timestamp::from_millis(at_ms),
            name,
            fields,
        })
        .collect())
}

/// Notes that claimed deliveries to `sink` arrived.
///
/// # Errors
/// When the database fails; the deliveries will then be repeated.
pub async fn delivered(tx: &mut Transaction, sink: &str, sequences: &[i64], now: Timestamp) -> Result<(), StoreError> {
    for sequences in sequences.chunks(ROWS) {
        let statement = format!(
            "update outbox set delivered_ms = $1, last_error = null where sink = $2 and sequence in ({})",
            values(3, sequences.len())
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(statement))
            .persistent(is_kept(sequences.len()))
            .bind(now.as_millis())
            .bind(sink);
        for sequence in sequences {
            query = query.bind(*sequence);
        }
        query.execute(tx.connection()).await?;
    }
    Ok(())
}

/// Notes that a claimed delivery failed: it is tried again at `retry_at`, or never (`None`).
///
/// # Errors
/// When the database fails; the delivery will then be repeated when the claim runs out.
pub async fn failed(
    tx: &mut Transaction,
    delivery: &Delivery,
    error: &str,
    now: Timestamp,
    retry_at: Option<Timestamp>,
) -> Result<(), StoreError> {
    sqlx::query(
        "update outbox set last_error = $1, available_ms = $2, dead_ms = $3, claimed_by = null, claimed_until_ms = 0 \
         where sink = $4 and sequence = $5 and delivered_ms is null",
    )
    .bind(error)
    .bind(retry_at.unwrap_or(now).as_millis())
    .bind(retry_at.is_none().then(|| now.as_millis()))
    .bind(&delivery.sink)
    .bind(delivery.sequence)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Gives claimed deliveries to `sink` back that were not begun; the next worker has them at once.
///
/// # Errors
/// When the database fails; they come back when the claim runs out.
pub async fn release(tx: &mut Transaction, sink: &str, sequences: &[i64]) -> Result<(), StoreError> {
    for sequences in sequences.chunks(ROWS) {
        let statement = format!(
            "update outbox set claimed_by = null, claimed_until_ms = 0, tries = tries - 1 \
             where sink = $1 and sequence in ({})",
            values(2, sequences.len())
        );
        let mut query = sqlx::query(sqlx::AssertSqlSafe(statement))
            .persistent(is_kept(sequences.len()))
            .bind(sink);
        for sequence in sequences {
            query = query.bind(*sequence);
        }
        query.execute(tx.connection()).await?;
    }
    Ok(())
}

/// Deletes what was delivered before `before`; the audit log keeps the events. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn forget_delivered(tx: &mut Transaction, before: Timestamp) -> Result<u64, StoreError> {
    let done = sqlx::query("delete from outbox where delivered_ms < $1")
        .bind(before.as_millis())
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected())
}

/// How much is waiting, and how much was given up.
///
/// # Errors
/// When the database fails.
pub async fn backlog(tx: &mut Transaction) -> Result<Backlog, StoreError> {
    let (waiting, dead): (i64, i64) = sqlx::query_as(
        "select count(case when dead_ms is null then 1 end), count(dead_ms) from outbox where delivered_ms is null",
    )
    .fetch_one(tx.connection())
    .await?;
    Ok(Backlog { waiting, dead })
}
