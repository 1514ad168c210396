//! Database servers, whose roles have passwords of their own: PostgreSQL.
//!
//! A new password is hashed here wherever the server takes a hash, because statements end up in logs: those of PostgreSQL
//! show them as they were sent. Names cannot be parameters in statements that change roles; they are quoted by `quote`.
//!
//! One connection per operation, as for directories ([`super::ldap`]). Whoever administers the server is never reset.
//!
//! ```text
//!  Target ── Postgresql ─┐                 ┌─ a connection as Passline, to look and to change
//!                        └─▶ Server: where ┴─ a connection as somebody else, to try a password
//! ```

mod postgresql;
mod quote;
mod server;

pub use postgresql::{Postgresql, PostgresqlConfig};
pub use server::{Address, CaError, ServerConfig, Tls};
