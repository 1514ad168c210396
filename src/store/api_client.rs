//! Clients of the web API.

use super::{StoreError, Transaction};
use crate::time::Timestamp;

/// A client of the web API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiClientRow {
    /// Its name; what it signs in with.
    pub name: String,
    /// The hash of its password, in PHC string format.
    pub password: Option<String>,
    /// SHA-256 of its certificate, in hexadecimal.
    pub certificate: Option<String>,
    /// Where it may come from, separated by blanks.
    pub networks: String,
    /// What it may beyond the calls themselves, separated by blanks.
    pub rights: String,
    /// When it was made.
    pub created: Timestamp,
    /// When somebody last changed it.
    pub changed: Timestamp,
    /// Since when it may not sign in.
    pub revoked: Option<Timestamp>,
}

/// Adds a client.
///
/// # Errors
/// [`StoreError::Conflict`] when there is one of that name.
pub async fn insert(tx: &mut Transaction, client: &ApiClientRow) -> Result<(), StoreError> {
    sqlx::query(
        "insert into api_clients (name, password, certificate, networks, rights, created_ms, changed_ms, revoked_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8)",
    )
    .bind(&client.name)
    .bind(&client.password)
    .bind(&client.certificate)
    .bind(&client.networks)
    .bind(&client.rights)
    .bind(client.created.as_millis())
    .bind(client.changed.as_millis())
    .bind(client.revoked.map(Timestamp::as_millis))
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Stores everything that may change of a client. `false` when there is none of that name.
///
/// # Errors
/// When the database fails.
pub async fn update(tx: &mut Transaction, client: &ApiClientRow) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update api_clients set password = $1, certificate = $2, networks = $3, rights = $4, changed_ms = $5, \
         revoked_ms = $6 where name = $7",
    )
    .bind(&client.password)
    .bind(&client.certificate)
    .bind(&client.networks)
    .bind(&client.rights)
    .bind(client.changed.as_millis())
    .bind(client.revoked.map(Timestamp::as_millis))
    .bind(&client.name)
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// A client by its name.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, name: &str) -> Result<Option<ApiClientRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select name, password, certificate, networks, rights, created_ms, changed_ms, revoked_ms from api_clients \
         where name = $1",
    )
    .bind(name)
    .fetch_optional(tx.connection())
    .await?;
    Ok(row.map(ApiClientRow::from))
}

/// Every client, in order of names.
///
/// # Errors
/// When the database fails.
pub async fn all(tx: &mut Transaction) -> Result<Vec<ApiClientRow>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select name, password, certificate, networks, rights, created_ms, changed_ms, revoked_ms from api_clients \
         order by name",
    )
    .fetch_all(tx.connection())
    .await?;
    Ok(rows.into_iter().map(ApiClientRow::from).collect())
}

#[derive(sqlx::FromRow)]
struct Row {
    name: String,
    password: Option<String>,
    certificate: Option<String>,
    networks: String,
    rights: String,
    created_ms: i64,
    changed_ms: i64,
    revoked_ms: Option<i64>,
}

impl From<Row> for ApiClientRow {
    fn from(row: Row) -> Self {
        Self {
            name: row.name,
            password: row.password,
            certificate: row.certificate,
            networks: row.networks,
            rights: row.rights,
            created: Timestamp::from_millis(row.created_ms),
            changed: Timestamp::from_millis(row.changed_ms),
            revoked: row.revoked_ms.map(Timestamp::from_millis),
        }
    }
}
