//! The audit log: links are appended inside the transaction of what they tell, one writer at a time, and never changed.

use super::many::{ROWS, is_kept, rows};
use super::{StoreError, Transaction};
use crate::identity::audit::{ChainHash, Entry, Head, Link};
use crate::time::Timestamp;

/// Appends a link to the chain for each of `entries`, pairs of a name and fields. The head's row stays locked until the
/// transaction ends, so that every transaction sees the end of the chain; call it late.
///
/// # Errors
/// When the database fails, or the head was damaged by hand.
pub async fn append(
    tx: &mut Transaction,
    at: Timestamp,
    entries: Vec<(&'static str, String)>,
) -> Result<Vec<Link>, StoreError> {
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
    let (sequence, hash): (i64, String) =
        sqlx::query_as("update audit_head set sequence = sequence + $1 where id = 1 returning sequence - $1, hash")
            .bind(count)
            .fetch_one(tx.connection())
            .await?;
    let mut head = read_head(sequence, &hash)?;
    let links: Vec<Link> = entries
        .into_iter()
        .map(|(name, fields)| head.append(at, name.to_owned(), fields))
        .collect();
    for links in links.chunks(ROWS) {
        insert(tx, links).await?;
    }
    sqlx::query("update audit_head set hash = $1 where id = 1")
        .bind(head.hash.to_string())
        .execute(tx.connection())
        .await?;
    Ok(links)
}

async fn insert(tx: &mut Transaction, links: &[Link]) -> Result<(), StoreError> {
    let statement = format!(
        "insert into audit_links (sequence, at_ms, name, fields, previous, hash) values {}",
        rows(links.len(), 6)
    );
    let mut query = sqlx::query(sqlx::AssertSqlSafe(statement)).persistent(is_kept(links.len()));
    for link in links {
        query = query
            .bind(number(link.entry.sequence))
            .bind(link.entry.at.as_millis())
            .bind(&link.entry.name)
            .bind(&link.entry.fields)
            .bind(link.previous.to_string())
            .bind(link.hash.to_string());
    }
    query.execute(tx.connection()).await?;
    Ok(())
}

/// The end of the chain as the database claims it.
///
/// # Errors
/// When the database fails, or the head was damaged by hand.
pub async fn head(tx: &mut Transaction) -> Result<Head, StoreError> {
    let (sequence, hash): (i64, String) = sqlx::query_as("select sequence, hash from audit_head where id = 1")
        .fetch_one(tx.connection())
        .await?;
    read_head(sequence, &hash)
}

/// At most `limit` links behind `after`, in order.
///
/// # Errors
/// When the database fails, or a link cannot be read at all.
pub async fn page(tx: &mut Transaction, after: u64, limit: u32) -> Result<Vec<Link>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select sequence, at_ms, name, fields, previous, hash from audit_links where sequence > $1 \
         order by sequence limit $2",
    )
    .bind(number(after))
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Link::try_from).collect()
}

fn read_head(sequence: i64, hash: &str) -> Result<Head, StoreError> {
    match sequence {
        0 => Ok(Head::empty()),
        _ => format!("{sequence}:{hash}")
            .parse()
            .map_err(|_| damaged("audit_head", sequence)),
    }
}

fn read_hash(sequence: i64, hash: &str) -> Result<ChainHash, StoreError> {
    format!("{sequence}:{hash}")
        .parse::<Head>()
        .map(|head| head.hash)
        .map_err(|_| damaged("audit_links", sequence))
}

fn damaged(table: &'static str, sequence: i64) -> StoreError {
    StoreError::Damaged {
        table,
        key: sequence.to_string(),
        problem: "not a hash of the chain",
    }
}

fn number(sequence: u64) -> i64 {
    i64::try_from(sequence).unwrap_or(i64::MAX)
}

#[derive(sqlx::FromRow)]
struct Row {
    sequence: i64,
    at_ms: i64,
    name: String,
    fields: String,
    previous: String,
    hash: String,
}

impl TryFrom<Row> for Link {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            previous: read_hash(row.sequence, &row.previous)?,
            hash: read_hash(row.sequence, &row.hash)?,
            entry: Entry {
                sequence: u64::try_from(row.sequence).map_err(|_| damaged("audit_links", row.sequence))?,
                at: Timestamp::from_millis(row.at_ms),
                name: row.name,
                fields: row.fields,
            },
        })
    }
}
