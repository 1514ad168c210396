//! Sources of people: how far each has been read, by whom, and which of its entries is which user.

use super::many::{ROWS, is_kept, values};
use super::{StoreError, Transaction, parsed};
use crate::identity::ids::UserId;
use crate::time::Timestamp;

/// A source as it was left by its last run.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct SourceRow {
    /// What its settings were.
    pub settings: Option<String>,
    /// Where the next reading may begin, in words of the source.
    pub reached: Option<String>,
    /// When everything was read last.
    pub full: Option<Timestamp>,
    /// When the last run began.
    pub begun: Option<Timestamp>,
    /// When the last run ended; none while one is under way, or when its process died.
    pub ended: Option<Timestamp>,
    /// Why it failed.
    pub failure: Option<String>,
    /// What it found, as JSON of counts.
    pub counts: Option<String>,
    /// How many people were too many to remove.
    pub held: u64,
    /// Which server was read.
    pub server: Option<String>,
    /// How many people have lost numbers or accounts in runs that were stopped because of it.
    pub losses: u64,
}

/// An entry of a source that is a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// What never changes about it.
    pub entry: String,
    /// Its number within the source.
    pub number: i64,
    /// How others refer to it.
    pub place: String,
    /// The user.
    pub user: UserId,
    /// Whether it decides about the user's login and status.
    pub leads: bool,
    /// Whether it could.
    pub may_lead: bool,
    /// Whether it is there.
    pub present: bool,
    /// Keyed hash of what was read.
    pub fingerprint: String,
}

/// A source as it stands; a new one if it was never read.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, name: &str) -> Result<SourceRow, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select settings, reached, full_ms, begun_ms, ended_ms, failure, counts, held, server, losses from sources where name = $1",
    )
    .bind(name)
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(SourceRow::from).unwrap_or_default())
}

/// Makes `reader` the one who reads a source until `until`; `false` if somebody else is at it.
///
/// # Errors
/// When the database fails.
pub async fn claim(
    tx: &mut Transaction,
    name: &str,
    reader: &str,
    now: Timestamp,
    until: Timestamp,
) -> Result<bool, StoreError> {
    sqlx::query("insert into sources (name, reader_until_ms, held, retired, losses) values ($1, $2, $3, $3, $3) on conflict (name) do nothing")
        .bind(name)
        .bind(0_i64)
        .bind(0_i64)
        .execute(tx.connection())
        .await?;
    let claimed = sqlx::query(
        "update sources set reader = $1, reader_until_ms = $2, begun_ms = $3, ended_ms = null, retired = 0 \
         where name = $4 and (reader is null or reader_until_ms <= $3)",
    )
    .bind(reader)
    .bind(until.as_millis())
    .bind(now.as_millis())
    .bind(name)
    .execute(tx.connection())
    .await?;
    Ok(claimed.rows_affected() > 0)
}

/// Until when a source is kept for its reader.
///
/// # Errors
/// When the database fails.
pub async fn reader_until(tx: &mut Transaction, name: &str) -> Result<Timestamp, StoreError> {
    let until: i64 = sqlx::query_scalar("select reader_until_ms from sources where name = $1")
        .bind(name)
        .fetch_one(tx.connection())
        .await?;
    Ok(Timestamp::from_millis(until))
}

/// Frees the sources whose readers begin with this.
///
/// # Errors
/// When the database fails.
pub async fn abandon(tx: &mut Transaction, reader: &str) -> Result<(), StoreError> {
    sqlx::query(
        "update sources set reader = null, reader_until_ms = 0 where substr(reader, 1, cast($1 as integer)) = $2",
    )
    .bind(i64::try_from(reader.chars().count()).unwrap_or(0))
    .bind(reader)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Stays the reader until `until`; `false` if somebody else has taken over.
///
/// # Errors
/// When the database fails.
pub async fn renew(tx: &mut Transaction, name: &str, reader: &str, until: Timestamp) -> Result<bool, StoreError> {
    let renewed = sqlx::query("update sources set reader_until_ms = $1 where name = $2 and reader = $3")
        .bind(until.as_millis())
        .bind(name)
        .bind(reader)
        .execute(tx.connection())
        .await?;
    Ok(renewed.rows_affected() > 0)
}

/// Leaves a source as a run has found it, free for the next reader.
///
/// # Errors
/// When the database fails.
pub async fn release(tx: &mut Transaction, name: &str, reader: &str, row: &SourceRow) -> Result<(), StoreError> {
    sqlx::query(
        "update sources set reader = null, reader_until_ms = 0, settings = $1, reached = $2, full_ms = $3, \
         ended_ms = $4, failure = $5, counts = $6, held = $7, server = $8, losses = $9 where name = $10 and reader = $11",
    )
    .bind(&row.settings)
    .bind(&row.reached)
    .bind(row.full.map(Timestamp::as_millis))
    .bind(row.ended.map(Timestamp::as_millis))
    .bind(&row.failure)
    .bind(&row.counts)
    .bind(i64::try_from(row.held).unwrap_or(i64::MAX))
    .bind(&row.server)
    .bind(i64::try_from(row.losses).unwrap_or(i64::MAX))
    .bind(name)
    .bind(reader)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// What is known of these entries, in no order. Those that are not known are missing.
///
/// # Errors
/// When the database fails.
pub async fn entries(tx: &mut Transaction, source: &str, entries: &[&str]) -> Result<Vec<EntryRow>, StoreError> {
    let mut found = Vec::with_capacity(entries.len());
    for entries in entries.chunks(ROWS) {
        let statement = format!(
            "select entry, number, place, user_id, leads, may_lead, present, fingerprint from people \
             where source = $1 and entry in ({})",
            values(2, entries.len())
        );
        let mut query = sqlx::query_as::<_, Entry>(sqlx::AssertSqlSafe(statement))
            .persistent(is_kept(entries.len()))
            .bind(source);
        for entry in entries {
            query = query.bind(*entry);
        }
        found.extend(query.fetch_all(tx.connection()).await?);
    }
    found.into_iter().map(EntryRow::try_from).collect()
}

/// At most `limit` entries that were there, behind the number `after`, in order.
///
/// # Errors
/// When the database fails.
pub async fn present(tx: &mut Transaction, source: &str, after: i64, limit: u32) -> Result<Vec<EntryRow>, StoreError> {
    let rows: Vec<Entry> = sqlx::query_as(
        "select entry, number, place, user_id, leads, may_lead, present, fingerprint from people \
         where source = $1 and number > $2 and present = 1 order by number limit $3",
    )
    .bind(source)
    .bind(after)
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(EntryRow::try_from).collect()
}

/// The highest number of a source, and how many of its entries were there.
///
/// # Errors
/// When the database fails.
pub async fn extent(tx: &mut Transaction, source: &str) -> Result<(i64, u64), StoreError> {
    let (highest, count): (Option<i64>, Option<i64>) =
        sqlx::query_as("select max(number), cast(sum(present) as bigint) from people where source = $1")
            .bind(source)
            .fetch_one(tx.connection())
            .await?;
    Ok((highest.unwrap_or(0), u64::try_from(count.unwrap_or(0)).unwrap_or(0)))
}

/// Writes an entry, new or not.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Transaction, source: &str, row: &EntryRow) -> Result<(), StoreError> {
    sqlx::query(
        "insert into people (source, entry, number, place, user_id, leads, may_lead, present, fingerprint) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (source, entry) do update set place = excluded.place, \
         user_id = excluded.user_id, leads = excluded.leads, may_lead = excluded.may_lead, present = excluded.present, \
         fingerprint = excluded.fingerprint",
    )
    .bind(source)
    .bind(&row.entry)
    .bind(row.number)
    .bind(&row.place)
    .bind(row.user.to_string())
    .bind(i64::from(row.leads))
    .bind(i64::from(row.may_lead))
    .bind(i64::from(row.present))
    .bind(&row.fingerprint)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Whether somebody decided about a user who has gone, and was not `entry`, which then is somebody else. Entries of
/// directories are unlike all others; those of files are numbers and logins, so with `None` whoever has gone was somebody else.
///
/// # Errors
/// When the database fails.
pub async fn was_led(tx: &mut Transaction, user: UserId, entry: Option<&str>) -> Result<bool, StoreError> {
    let count: i64 = sqlx::query_scalar(
        "select count(*) from people where user_id = $1 and leads = 1 and present = 0 and entry <> $2",
    )
    .bind(user.to_string())
    .bind(entry.unwrap_or_default())
    .fetch_one(tx.connection())
    .await?;
    Ok(count > 0)
}

/// Whether another entry of this source decides about a user, or did: each source has one for each user.
///
/// # Errors
/// When the database fails.
pub async fn has_leader(tx: &mut Transaction, user: UserId, source: &str, entry: &str) -> Result<bool, StoreError> {
    let count: i64 = sqlx::query_scalar(
        "select count(*) from people where user_id = $1 and source = $2 and entry <> $3 and leads = 1",
    )
    .bind(user.to_string())
    .bind(source)
    .bind(entry)
    .fetch_one(tx.connection())
    .await?;
    Ok(count > 0)
}

/// The other entries of a user that are there, of sources that are configured, each with its source.
///
/// # Errors
/// When the database fails.
pub async fn others(
    tx: &mut Transaction,
    user: UserId,
    source: &str,
    entry: &str,
) -> Result<Vec<(String, EntryRow)>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select p.source, p.entry from people p join sources s on s.name = p.source where p.user_id = $1 \
         and p.present = 1 and s.retired = 0 and not (p.source = $2 and p.entry = $3) order by p.source, p.number",
    )
    .bind(user.to_string())
    .bind(source)
    .bind(entry)
    .fetch_all(tx.connection())
    .await?;
    let mut others = Vec::with_capacity(rows.len());
    for (source, entry) in rows {
        let found = entries(tx, &source, &[&entry]).await?;
        others.extend(found.into_iter().map(|row| (source.clone(), row)));
    }
    Ok(others)
}

/// Has an entry read again with the next run, whether or not it has changed.
///
/// # Errors
/// When the database fails.
pub async fn read_again(tx: &mut Transaction, source: &str, entry: &str) -> Result<(), StoreError> {
    sqlx::query("update people set fingerprint = '' where source = $1 and entry = $2")
        .bind(source)
        .bind(entry)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Has an entry decide about its user from now on, and read again with the next run.
///
/// # Errors
/// When the database fails.
pub async fn hand_over(tx: &mut Transaction, source: &str, entry: &str) -> Result<(), StoreError> {
    sqlx::query("update people set leads = 1, fingerprint = '' where source = $1 and entry = $2")
        .bind(source)
        .bind(entry)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Takes the entries from a user that do not decide about them: the next run finds out whose they are.
///
/// # Errors
/// When the database fails.
pub async fn detach(tx: &mut Transaction, user: UserId) -> Result<(), StoreError> {
    sqlx::query("delete from people where user_id = $1 and leads = 0")
        .bind(user.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Every source that was ever read, and whether it is retired, in order.
///
/// # Errors
/// When the database fails.
pub async fn names(tx: &mut Transaction) -> Result<Vec<(String, bool)>, StoreError> {
    let rows: Vec<(String, i64)> = sqlx::query_as("select name, retired from sources order by name")
        .fetch_all(tx.connection())
        .await?;
    Ok(rows.into_iter().map(|(name, retired)| (name, retired != 0)).collect())
}

/// Whether a source decides about people. One that is read does.
///
/// # Errors
/// When the database fails.
pub async fn set_retired(tx: &mut Transaction, name: &str, retired: bool) -> Result<(), StoreError> {
    sqlx::query("update sources set retired = $1 where name = $2")
        .bind(i64::from(retired))
        .bind(name)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Forgets a source, but for who has left with it: they are remembered, so that nobody becomes them.
///
/// # Errors
/// When the database fails.
pub async fn forget(tx: &mut Transaction, name: &str) -> Result<(), StoreError> {
    for statement in [
        "delete from people where source = $1 and leads = 0",
        "delete from sources where name = $1",
    ] {
        sqlx::query(statement).bind(name).execute(tx.connection()).await?;
    }
    Ok(())
}

/// Whether another entry, of a source that is configured, decides that this user is there.
///
/// # Errors
/// When the database fails.
pub async fn is_led(tx: &mut Transaction, user: UserId, source: &str, entry: &str) -> Result<bool, StoreError> {
    let count: i64 = sqlx::query_scalar(
        "select count(*) from people p join sources s on s.name = p.source where p.user_id = $1 and p.leads = 1 \
         and p.present = 1 and s.retired = 0 and not (p.source = $2 and p.entry = $3)",
    )
    .bind(user.to_string())
    .bind(source)
    .bind(entry)
    .fetch_one(tx.connection())
    .await?;
    Ok(count > 0)
}

#[derive(sqlx::FromRow)]
struct Row {
    settings: Option<String>,
    reached: Option<String>,
    full_ms: Option<i64>,
    begun_ms: Option<i64>,
    ended_ms: Option<i64>,
    failure: Option<String>,
    counts: Option<String>,
    held: i64,
    server: Option<String>,
    losses: i64,
}

impl From<Row> for SourceRow {
    fn from(row: Row) -> Self {
        Self {
            settings: row.settings,
            reached: row.reached,
            full: row.full_ms.map(Timestamp::from_millis),
            begun: row.begun_ms.map(Timestamp::from_millis),
            ended: row.ended_ms.map(Timestamp::from_millis),
            failure: row.failure,
            counts: row.counts,
            held: u64::try_from(row.held).unwrap_or(0),
            server: row.server,
            losses: u64::try_from(row.losses).unwrap_or(0),
        }
    }
}

#[derive(sqlx::FromRow)]
struct Entry {
    entry: String,
    number: i64,
    place: String,
    user_id: String,
    leads: i64,
    may_lead: i64,
    present: i64,
    fingerprint: String,
}

impl TryFrom<Entry> for EntryRow {
    type Error = StoreError;

    fn try_from(row: Entry) -> Result<Self, StoreError> {
        Ok(Self {
            user: parsed("people", &row.entry, &row.user_id)?,
            entry: row.entry,
            number: row.number,
            place: row.place,
            leads: row.leads != 0,
            may_lead: row.may_lead != 0,
            present: row.present != 0,
            fingerprint: row.fingerprint,
        })
    }
}
