//! What an operator is told of missing rights and of accounts that cannot be reset.

use sqlx::{Row as _, raw_sql};

use super::super::super::{Refusal, TargetError};
use super::super::quote::text;
use super::super::server::{Statement, answer};
use super::account::{Account, Product};
use super::codes::said;
use super::{Failure, Session, identified};
use crate::secret::Secret;

/// Whether rules for passwords are in force that a hash cannot be held against; MariaDB then refuses hashes.
const REFUSES_HASHES: &str = "select @@strict_password_validation = 1 and exists (select 1 from information_schema.plugins \
    where plugin_type = 'PASSWORD VALIDATION' and plugin_status = 'ACTIVE')";

/// What is in the way of changes: changes an account that is not there, if it is there.
pub(super) async fn rehearsed(session: &mut Session) -> Option<String> {
    let nobody = format!("passline-{:016x}", rand::random::<u64>());
    let statement = Statement::new(format!(
        "alter user if exists {}@'invalid' account unlock",
        text(&nobody)
    ));
    match answer(raw_sql(statement.sql()).execute(&mut session.connection)).await {
        Ok(_) => None,
        Err(Failure::Said(error)) if error.number() == 1227 => {
            Some("no right; Passline needs CREATE USER ON *.*".to_owned())
        }
        Err(Failure::Said(error)) => Some(format!("the server answered {}", said(&error))),
        Err(Failure::Lost(reason)) => Some(reason),
    }
}

/// What is in the way of hashes.
pub(super) async fn hashes_refused(session: &mut Session) -> Option<String> {
    let row = match answer(raw_sql(REFUSES_HASHES).fetch_one(&mut session.connection)).await {
        Ok(row) => row,
        Err(Failure::Said(error)) => return Some(format!("the server answered {}", said(&error))),
        Err(Failure::Lost(reason)) => return Some(reason),
    };
    match row.try_get::<i64, _>(0) {
        Ok(0) => None,
        Ok(_) => Some(
            "a plugin checks passwords there, and strict_password_validation refuses what it cannot check; switch that off"
                .to_owned(),
        ),
        Err(error) => Some(error.to_string()),
    }
}

/// What is in the way of a new password for this account.
pub(super) fn unsuitable(product: Product, account: &Account) -> Option<String> {
    let probe = Secret::new("probe".to_owned());
    match identified(product, &account.plugin, &probe) {
        Some(_) => None,
        None => Some(format!(
            "its password is not kept by the server ({:?}): it cannot be reset",
            account.plugin
        )),
    }
}

/// Why there is no account to be reset.
pub(super) fn why_not(error: &TargetError) -> String {
    match error {
        TargetError::Refused {
            refusal: Refusal::Rights,
            ..
        } => "Passline may not read (it needs SELECT ON mysql.*), or it is Passline itself, or it administers the server: \
              such accounts are never reset"
            .to_owned(),
        error => format!("{error}; look at `account_host`"),
    }
}
