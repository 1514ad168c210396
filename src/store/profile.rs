//! What is known of users beside what they are found by.

use super::many::{ROWS, is_kept, rows};
use super::{StoreError, Transaction, parsed};
use crate::identity::ids::UserId;
use crate::identity::profile::{Profile, place_key};

/// What is known of a user; nothing if nothing is.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, user: UserId) -> Result<Profile, StoreError> {
    let values: Vec<(String, String)> =
        sqlx::query_as("select kind, value from profile_values where user_id = $1 order by kind, nth")
            .bind(user.to_string())
            .fetch_all(tx.connection())
            .await?;
    let mut profile = Profile::default();
    for (kind, value) in values {
        let key = user.to_string();
        match kind.as_str() {
            "phone" => profile.phones.push(parsed("profile_values", &key, &value)?),
            "mail" => profile.mails.push(parsed("profile_values", &key, &value)?),
            "department" => profile.departments.push(value),
            "manager" => profile.managers.push(value),
            _ => profile.groups.push(value),
        }
    }
    Ok(profile)
}

/// Puts this in place of what was known of a user. `is_new`: nothing was.
///
/// # Errors
/// When the database fails.
pub async fn put(tx: &mut Transaction, user: UserId, profile: &Profile, is_new: bool) -> Result<(), StoreError> {
    if !is_new {
        sqlx::query("delete from profile_values where user_id = $1")
            .bind(user.to_string())
            .execute(tx.connection())
            .await?;
    }
    let kinds: [(&str, Vec<&str>); 5] = [
        ("phone", profile.phones.iter().map(|phone| phone.as_str()).collect()),
        ("mail", profile.mails.iter().map(|mail| mail.as_str()).collect()),
        ("department", profile.departments.iter().map(String::as_str).collect()),
        ("manager", profile.managers.iter().map(String::as_str).collect()),
        ("group", profile.groups.iter().map(String::as_str).collect()),
    ];
    let mut values = Vec::new();
    for (kind, of_kind) in &kinds {
        values.extend((0_i64..).zip(of_kind).map(|(nth, value)| (*kind, nth, *value)));
    }
    for values in values.chunks(ROWS) {
        let statement = format!(
            "insert into profile_values (user_id, kind, nth, value, folded) values {}",
            rows(values.len(), 5)
        );
        let kept = is_kept(values.len()) || values.len() <= 6;
        let mut query = sqlx::query(sqlx::AssertSqlSafe(statement)).persistent(kept);
        for &(kind, nth, value) in values {
            query = query
                .bind(user.to_string())
                .bind(kind)
                .bind(nth)
                .bind(value)
                .bind(place_key(value));
        }
        query.execute(tx.connection()).await?;
    }
    Ok(())
}

/// At most two users with this mail address, in whatever case.
///
/// # Errors
/// When the database fails.
pub async fn by_mail(tx: &mut Transaction, mail: &str) -> Result<Vec<UserId>, StoreError> {
    let ids: Vec<String> = sqlx::query_scalar(
        "select distinct user_id from profile_values where kind = 'mail' and folded = $1 order by user_id limit 2",
    )
    .bind(place_key(mail))
    .fetch_all(tx.connection())
    .await?;
    ids.iter().map(|id| parsed("profile_values", id, id)).collect()
}

/// The users who are what a place names: the managers of somebody, by what is known of them.
///
/// # Errors
/// When the database fails.
pub async fn at_place(tx: &mut Transaction, place: &str) -> Result<Vec<UserId>, StoreError> {
    let ids: Vec<String> =
        sqlx::query_scalar("select distinct user_id from people where place = $1 and present = 1 order by user_id")
            .bind(place)
            .fetch_all(tx.connection())
            .await?;
    ids.iter().map(|id| parsed("people", id, id)).collect()
}
