//! The state of lockouts, loaded in the transaction that stores it again.

use std::time::Duration;

use super::{StoreError, Transaction};
use crate::identity::lockout::{Delay, Lockout, SubjectKey};
use crate::time::Timestamp;

/// Which limits apply to a subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubjectKind {
    /// A user or a decoy: the table does not tell them apart.
    User,
    /// A calling number.
    Caller,
    /// All calls of a trunk.
    Trunk,
    /// A client of the web API that signs in from one address.
    Client,
    /// All that sign in to the web API from one address.
    Address,
}

impl SubjectKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Caller => "caller",
            Self::Trunk => "trunk",
            Self::Client => "client",
            Self::Address => "address",
        }
    }
}

/// The state of a subject, without a lock on it; that of a subject without a row is empty.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, subject: &SubjectKey) -> Result<Lockout, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select streak, consecutive, delay_since_ms, delay_length_ms, last_ms, generation from lockouts \
         where subject = $1",
    )
    .bind(key(subject))
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(Lockout::from).unwrap_or_default())
}

/// The state of a subject, with a lock on its row until the transaction ends. The row is made if need be, at a cost
/// that is the same whether it was there or not. Subjects must be locked in one order everywhere: user, caller, trunk.
///
/// # Errors
/// When the database fails.
pub async fn find_for_update(
    tx: &mut Transaction,
    subject: &SubjectKey,
    kind: SubjectKind,
) -> Result<Lockout, StoreError> {
    let row: Row = sqlx::query_as(
        "insert into lockouts (subject, kind, streak, consecutive, last_ms, generation) values ($1, $2, 0, 0, 0, 0) \
         on conflict (subject) do update set kind = excluded.kind \
         returning streak, consecutive, delay_since_ms, delay_length_ms, last_ms, generation",
    )
    .bind(key(subject))
    .bind(kind.as_str())
    .fetch_one(tx.connection())
    .await?;
    Ok(row.into())
}

/// Stores the state of a subject that was found for update.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Transaction, subject: &SubjectKey, lockout: &Lockout) -> Result<(), StoreError> {
    sqlx::query(
        "update lockouts set streak = $1, consecutive = $2, delay_since_ms = $3, delay_length_ms = $4, last_ms = $5, \
         generation = $6 where subject = $7",
    )
    .bind(i64::from(lockout.streak))
    .bind(i64::from(lockout.consecutive))
    .bind(lockout.delay.map(|delay| delay.since.as_millis()))
    .bind(lockout.delay.map(|delay| millis(delay.length)))
    .bind(lockout.last.as_millis())
    .bind(i64::from(lockout.generation))
    .bind(key(subject))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Deletes the states of one kind that are as good as none: nothing since `before`. Returns how many.
///
/// # Errors
/// When the database fails.
pub async fn forget(tx: &mut Transaction, kind: SubjectKind, before: Timestamp) -> Result<u64, StoreError> {
    let done = sqlx::query("delete from lockouts where kind = $1 and last_ms < $2")
        .bind(kind.as_str())
        .bind(before.as_millis())
        .execute(tx.connection())
        .await?;
    Ok(done.rows_affected())
}

fn key(subject: &SubjectKey) -> String {
    subject.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[derive(sqlx::FromRow)]
struct Row {
    streak: i64,
    consecutive: i64,
    delay_since_ms: Option<i64>,
    delay_length_ms: Option<i64>,
    last_ms: i64,
    generation: i64,
}

/// Numbers out of range can only have been written by hand; they are read as the nearest that lock.
impl From<Row> for Lockout {
    fn from(row: Row) -> Self {
        let count = |number: i64| u32::try_from(number).unwrap_or(u32::MAX);
        Self {
            streak: count(row.streak),
            consecutive: count(row.consecutive),
            delay: row
                .delay_since_ms
                .zip(row.delay_length_ms)
                .map(|(since, length)| Delay {
                    since: Timestamp::from_millis(since),
                    length: Duration::from_millis(u64::try_from(length).unwrap_or(u64::MAX)),
                }),
            last: Timestamp::from_millis(row.last_ms),
            generation: count(row.generation),
        }
    }
}
