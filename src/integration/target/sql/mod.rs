//! Database servers, whose roles and users have passwords of their own: PostgreSQL, MariaDB and MySQL.
//!
//! A new password is hashed here wherever the server takes a hash, because statements end up in logs: those of PostgreSQL
//! and MariaDB show them as they were sent. Names cannot be parameters in statements that change roles and users; they are
//! quoted by `quote`.
//!
//! One connection per operation, as for directories ([`super::ldap`]). Whoever administers the server is never reset.
//!
//! ```text
//!  Target ── Postgresql ─┐                 ┌─ a connection as Passline, to look and to change
//!         ── Mysql ──────┴─▶ Server: where ┴─ a connection as somebody else, to try a password
//! ```

mod mysql;
mod postgresql;
mod quote;
mod server;

pub use mysql::{Mysql, MysqlConfig};
pub use postgresql::{Postgresql, PostgresqlConfig};
pub use server::{Address, ServerConfig, Tls};
