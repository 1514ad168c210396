//! Users, and the digits that name them.

use std::str::FromStr as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{StoreError, Transaction, parsed};
use crate::identity::ids::UserId;
use crate::identity::keypad::KeypadId;
use crate::identity::pepper::PepperId;
use crate::identity::user::{Discriminator, EmployeeNumber, Login, User, UserStatus};
use crate::time::Timestamp;

/// Writes a new user with the digits that name them.
///
/// # Errors
/// [`StoreError::Conflict`] when the login is taken.
pub async fn insert(tx: &mut Transaction, user: &User, now: Timestamp) -> Result<(), StoreError> {
    let (discriminator, pepper) = discriminator_columns(user);
    sqlx::query(
        "insert into users (id, login, login_key, display_name, employee_number, other_numbers, discriminator, \
         discriminator_pepper, status, language, created_ms, updated_ms) \
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $11)",
    )
    .bind(user.id.to_string())
    .bind(user.login.as_str())
    .bind(login_key(&user.login))
    .bind(&user.display_name)
    .bind(user.employee_number.as_ref().map(|number| number.as_str().to_owned()))
    .bind(other_numbers(user))
    .bind(discriminator)
    .bind(pepper)
    .bind(user.status.as_str())
    .bind(user.language.as_ref().map(|language| language.as_str().to_owned()))
    .bind(now.as_millis())
    .execute(tx.connection())
    .await?;
    insert_keypad_ids(tx, user).await
}

/// Replaces what is known of a user, and the digits that name them.
///
/// # Errors
/// [`StoreError::Conflict`] when the new login is taken.
pub async fn update(tx: &mut Transaction, user: &User, now: Timestamp) -> Result<(), StoreError> {
    let (discriminator, pepper) = discriminator_columns(user);
    sqlx::query(
        "update users set login = $1, login_key = $2, display_name = $3, employee_number = $4, other_numbers = $5, \
         discriminator = $6, discriminator_pepper = $7, status = $8, language = $9, updated_ms = $10 where id = $11",
    )
    .bind(user.login.as_str())
    .bind(login_key(&user.login))
    .bind(&user.display_name)
    .bind(user.employee_number.as_ref().map(|number| number.as_str().to_owned()))
    .bind(other_numbers(user))
    .bind(discriminator)
    .bind(pepper)
    .bind(user.status.as_str())
    .bind(user.language.as_ref().map(|language| language.as_str().to_owned()))
    .bind(now.as_millis())
    .bind(user.id.to_string())
    .execute(tx.connection())
    .await?;
    sqlx::query("delete from keypad_ids where user_id = $1")
        .bind(user.id.to_string())
        .execute(tx.connection())
        .await?;
    insert_keypad_ids(tx, user).await
}

/// A user.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, id: UserId) -> Result<Option<User>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select id, login, display_name, employee_number, other_numbers, discriminator, discriminator_pepper, status, \
         language from users where id = $1",
    )
    .bind(id.to_string())
    .fetch_optional(tx.connection())
    .await?;
    row.map(User::try_from).transpose()
}

/// The user with this login, in whatever case.
///
/// # Errors
/// When the database fails.
pub async fn by_login(tx: &mut Transaction, login: &Login) -> Result<Option<User>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select id, login, display_name, employee_number, other_numbers, discriminator, discriminator_pepper, status, \
         language from users where login_key = $1",
    )
    .bind(login_key(login))
    .fetch_optional(tx.connection())
    .await?;
    row.map(User::try_from).transpose()
}

/// At most `limit` users whom these digits can mean, whatever their status. One statement, found or not.
///
/// # Errors
/// When the database fails.
pub async fn by_keypad_id(tx: &mut Transaction, digits: &KeypadId, limit: u32) -> Result<Vec<User>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(BY_KEYPAD_ID)
        .bind(digits.as_str())
        .bind(i64::from(limit))
        .fetch_all(tx.connection())
        .await?;
    rows.into_iter().map(User::try_from).collect()
}

const BY_KEYPAD_ID: &str = "select u.id, u.login, u.display_name, u.employee_number, u.other_numbers, u.discriminator, \
     u.discriminator_pepper, u.status, u.language from keypad_ids k join users u on u.id = k.user_id \
     where k.digits = $1 order by k.user_id limit $2";

/// At most `limit` users behind the login `after`, in order of login.
///
/// # Errors
/// When the database fails.
pub async fn list(tx: &mut Transaction, after: Option<&Login>, limit: u32) -> Result<Vec<User>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, login, display_name, employee_number, other_numbers, discriminator, discriminator_pepper, status, \
         language from users where login_key > $1 order by login_key limit $2",
    )
    .bind(after.map(login_key).unwrap_or_default())
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(User::try_from).collect()
}

/// At most two users with this employee number, or this number among their others.
///
/// # Errors
/// When the database fails.
pub async fn by_number(tx: &mut Transaction, number: &EmployeeNumber) -> Result<Vec<User>, StoreError> {
    // The digits may be those of a login as well.
    let digits = KeypadId::from_number(number.as_str());
    let users = match digits {
        Some(digits) => by_keypad_id(tx, &digits, MANY).await?,
        None => Vec::new(),
    };
    let has = |user: &User| {
        user.employee_number
            .iter()
            .chain(&user.other_numbers)
            .any(|other| other == number)
    };
    Ok(users.into_iter().filter(has).take(2).collect())
}

/// More users than share digits anywhere.
const MANY: u32 = 100;

async fn insert_keypad_ids(tx: &mut Transaction, user: &User) -> Result<(), StoreError> {
    for digits in user.keypad_ids() {
        sqlx::query("insert into keypad_ids (digits, user_id) values ($1, $2)")
            .bind(digits.as_str())
            .bind(user.id.to_string())
            .execute(tx.connection())
            .await?;
    }
    Ok(())
}

fn login_key(login: &Login) -> String {
    login.as_str().to_lowercase()
}

fn other_numbers(user: &User) -> Option<String> {
    let numbers: Vec<&str> = user.other_numbers.iter().map(|number| number.as_str()).collect();
    (!numbers.is_empty()).then(|| numbers.join(" "))
}

fn discriminator_columns(user: &User) -> (Option<String>, Option<i64>) {
    user.discriminator
        .as_ref()
        .map(Discriminator::to_parts)
        .map(|(pepper, tag)| (STANDARD.encode(tag), i64::from(pepper.0)))
        .unzip()
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    login: String,
    display_name: String,
    employee_number: Option<String>,
    other_numbers: Option<String>,
    discriminator: Option<String>,
    discriminator_pepper: Option<i64>,
    status: String,
    language: Option<String>,
}

impl TryFrom<Row> for User {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let key = row.id;
        let damaged = |problem| StoreError::Damaged {
            table: "users",
            key: key.clone(),
            problem,
        };
        let discriminator = row
            .discriminator
            .zip(row.discriminator_pepper)
            .map(|(tag, pepper)| {
                let tag = STANDARD.decode(tag).ok().and_then(|tag| tag.try_into().ok());
                let pepper = u32::try_from(pepper).ok();
                tag.zip(pepper)
                    .map(|(tag, pepper)| Discriminator::from_parts(PepperId(pepper), tag))
                    .ok_or_else(|| damaged("discriminator is not 32 bytes in base64"))
            })
            .transpose()?;
        Ok(Self {
            id: parsed("users", &key, &key)?,
            login: Login::from_str(&row.login).map_err(|_| damaged("not a login"))?,
            display_name: row.display_name,
            employee_number: row
                .employee_number
                .map(|number| parsed("users", &key, &number))
                .transpose()?,
            other_numbers: row
                .other_numbers
                .iter()
                .flat_map(|numbers| numbers.split_whitespace())
                .map(|number| parsed("users", &key, number))
                .collect::<Result<_, _>>()?,
            discriminator,
            status: UserStatus::from_str(&row.status).map_err(|_| damaged("unknown status"))?,
            language: row
                .language
                .map(|language| parsed("users", &key, &language))
                .transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Config, Store, testing};

    #[tokio::test]
    async fn a_look_up_during_a_call_reads_indexes_only() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&Config::new(folder.path().join("a.db"))).await.unwrap();
        let mut tx = store.read().await.unwrap();
        let plan = tx.plan(BY_KEYPAD_ID).await;
        assert!(
            plan.iter().all(|step| step.contains("USING") && !step.contains("SCAN")),
            "{plan:?}"
        );
    }

    #[tokio::test]
    async fn logins_are_found_in_any_case_and_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = testing::open(folder.path().join("a.db")).await;
        let now = Timestamp::from_millis(1);
        let user = |number: u128, login: &str| User {
            id: UserId::from_uuid(uuid::Uuid::from_u128(number)),
            login: login.parse().unwrap(),
            display_name: String::new(),
            employee_number: Some("12".parse().unwrap()),
            other_numbers: vec!["34".parse().unwrap(), "56".parse().unwrap()],
            discriminator: Some(Discriminator::from_parts(PepperId(1), [3; 32])),
            status: UserStatus::Active,
            language: Some("en-US".parse().unwrap()),
        };
        let mut tx = store.write().await.unwrap();
        let ada = user(1, "Ada");
        insert(&mut tx, &ada, now).await.unwrap();
        assert_eq!(
            by_login(&mut tx, &"aDA".parse().unwrap()).await.unwrap().as_ref(),
            Some(&ada)
        );
        let found = by_keypad_id(&mut tx, &KeypadId::from_number("12").unwrap(), 9)
            .await
            .unwrap();
        assert_eq!(found, std::slice::from_ref(&ada));
        let other = KeypadId::from_number("56").unwrap();
        assert_eq!(
            by_keypad_id(&mut tx, &other, 9).await.unwrap(),
            std::slice::from_ref(&ada)
        );
        assert_eq!(by_number(&mut tx, &"34".parse().unwrap()).await.unwrap(), [ada]);
        assert_eq!(
            by_number(&mut tx, &"232".parse().unwrap()).await.unwrap(),
            [],
            "Ada on the keypad"
        );
        let double = insert(&mut tx, &user(2, "ADA"), now).await;
        assert!(double.unwrap_err().is_conflict());
    }
}
