//! The database: the only place with SQL for what Passline itself remembers.
//!
//! One file per aggregate, each a handful of functions over a [`Transaction`]; the use cases in `service` decide what
//! belongs into one transaction. Answers and the passwords that were set are here as hashes only; see `migrations/store/` for the
//! tables and why each of them exists.

mod error;
mod many;
mod pool;
mod postgresql;
mod sqlite;
mod statements;
#[cfg(test)]
pub(crate) mod testing;

pub mod account;
pub mod api_client;
pub mod api_session;
pub mod audit;
pub mod call;
pub mod credential;
pub mod evidence;
pub mod lockout;
pub mod node;
pub mod outbox;
pub mod password_history;
pub mod profile;
pub mod proposal;
pub mod question;
pub mod reset;
pub mod setting;
pub mod source;
pub mod user;
pub mod visit;

pub use error::StoreError;
pub use pool::{Config, Place, Store, Transaction};
pub use postgresql::{ServerAddress, ServerConfig};

/// Reads a column that has a type of its own.
fn parsed<T: std::str::FromStr>(table: &'static str, key: &str, text: &str) -> Result<T, StoreError> {
    text.parse().map_err(|_| StoreError::Damaged {
        table,
        key: key.to_owned(),
        problem: "a column cannot be read",
    })
}
