//! Facts about this database, by name.

use super::{StoreError, Transaction};

/// The value of a setting.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, name: &str) -> Result<Option<String>, StoreError> {
    Ok(sqlx::query_scalar("select value from settings where name = $1")
        .bind(name)
        .fetch_optional(tx.connection())
        .await?)
}

/// Sets a setting, new or not.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Transaction, name: &str, value: &str) -> Result<(), StoreError> {
    sqlx::query(
        "insert into settings (name, value) values ($1, $2) on conflict (name) do update set value = excluded.value",
    )
    .bind(name)
    .bind(value)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// Every setting whose name begins with `prefix`, which holds neither `%` nor `_`; in order of name.
///
/// # Errors
/// When the database fails.
pub async fn with_prefix(tx: &mut Transaction, prefix: &str) -> Result<Vec<(String, String)>, StoreError> {
    Ok(
        sqlx::query_as("select name, value from settings where name like $1 order by name")
            .bind(format!("{prefix}%"))
            .fetch_all(tx.connection())
            .await?,
    )
}
