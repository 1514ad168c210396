//! Sessions of clients of the web API. The token is known here as a hash only.

use super::{StoreError, Transaction, parsed};
use crate::identity::ids::SessionId;
use crate::time::Timestamp;

/// A session of a client: one caller's visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSessionRow {
    /// SHA-256 of the token, in hexadecimal.
    pub token_hash: String,
    /// The visit.
    pub visit: SessionId,
    /// The client that began it.
    pub client: String,
    /// The network of the client's list that it came from.
    pub network: String,
    /// The certificate that it showed.
    pub certificate: Option<String>,
    /// The caller's language.
    pub language: Option<String>,
    /// Whether a flow leads the caller, and not the client.
    pub led_by_flow: bool,
    /// When it was used last, or somewhat before.
    pub used: Timestamp,
}

/// Writes a new session.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Transaction, session: &ApiSessionRow) -> Result<(), StoreError> {
    sqlx::query(
        "insert into api_sessions (token_hash, visit_id, client, network, certificate, language, led_by_flow, used_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&session.token_hash)
    .bind(session.visit.to_string())
    .bind(&session.client)
    .bind(&session.network)
    .bind(&session.certificate)
    .bind(&session.language)
    .bind(i64::from(session.led_by_flow))
    .bind(session.used.as_millis())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// The session of a token, if its visit is under way.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, token_hash: &str, now: Timestamp) -> Result<Option<ApiSessionRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select s.token_hash, s.visit_id, s.client, s.network, s.certificate, s.language, s.led_by_flow, s.used_ms \
         from api_sessions s join visits v on v.id = s.visit_id \
         where s.token_hash = $1 and v.ended_ms is null and v.expires_ms > $2",
    )
    .bind(token_hash)
    .bind(now.as_millis())
    .fetch_optional(tx.connection())
    .await?;
    row.map(ApiSessionRow::try_from).transpose()
}

/// Notes that a session was used.
///
/// # Errors
/// When the database fails.
pub async fn touch(tx: &mut Transaction, token_hash: &str, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update api_sessions set used_ms = $1 where token_hash = $2 and used_ms < $1")
        .bind(now.as_millis())
        .bind(token_hash)
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// When the session of a visit was used last.
///
/// # Errors
/// When the database fails.
pub async fn used(tx: &mut Transaction, visit: SessionId) -> Result<Option<Timestamp>, StoreError> {
    let used: Option<i64> = sqlx::query_scalar("select used_ms from api_sessions where visit_id = $1")
        .bind(visit.to_string())
        .fetch_optional(tx.connection())
        .await?;
    Ok(used.map(Timestamp::from_millis))
}

/// Notes that the session of a visit was used.
///
/// # Errors
/// When the database fails.
pub async fn touch_of(tx: &mut Transaction, visit: SessionId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update api_sessions set used_ms = $1 where visit_id = $2 and used_ms < $1")
        .bind(now.as_millis())
        .bind(visit.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// At most `limit` visits that are under way and whose session nobody has used since `before`.
///
/// # Errors
/// When the database fails.
pub async fn idle(tx: &mut Transaction, before: Timestamp, limit: u32) -> Result<Vec<(SessionId, String)>, StoreError> {
    let rows: Vec<(String, String)> = sqlx::query_as(
        "select s.visit_id, s.client from api_sessions s join visits v on v.id = s.visit_id \
         where s.used_ms <= $1 and v.ended_ms is null order by s.used_ms limit $2",
    )
    .bind(before.as_millis())
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    let visit = |(visit, client): (String, String)| Ok((parsed("api_sessions", &visit, &visit)?, client));
    rows.into_iter().map(visit).collect()
}

/// Deletes the session of a visit.
///
/// # Errors
/// When the database fails.
pub async fn remove_of(tx: &mut Transaction, visit: SessionId) -> Result<(), StoreError> {
    sqlx::query("delete from api_sessions where visit_id = $1")
        .bind(visit.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}

/// Visits of a client that are under way.
///
/// # Errors
/// When the database fails.
pub async fn of_client(tx: &mut Transaction, client: &str) -> Result<Vec<SessionId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select s.visit_id from api_sessions s join visits v on v.id = s.visit_id \
         where s.client = $1 and v.ended_ms is null",
    )
    .bind(client)
    .fetch_all(tx.connection())
    .await?;
    ids.into_iter().map(|id| parsed("api_sessions", &id, &id)).collect()
}

#[derive(sqlx::FromRow)]
struct Row {
    token_hash: String,
    visit_id: String,
    client: String,
    network: String,
    certificate: Option<String>,
    language: Option<String>,
    led_by_flow: i64,
    used_ms: i64,
}

impl TryFrom<Row> for ApiSessionRow {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        Ok(Self {
            visit: parsed("api_sessions", &row.visit_id, &row.visit_id)?,
            token_hash: row.token_hash,
            client: row.client,
            network: row.network,
            certificate: row.certificate,
            language: row.language,
            led_by_flow: row.led_by_flow != 0,
            used: Timestamp::from_millis(row.used_ms),
        })
    }
}
