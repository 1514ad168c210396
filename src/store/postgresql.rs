//! PostgreSQL: one database for several nodes.
//!
//! Writers take one advisory lock for the time of their transaction, whatever node they are on. That is what SQLite does,
//! so a use case that is right there is right here: what a writer reads stays true until it commits. PostgreSQL gives
//! the lock in order of arrival, and frees it with the session of a node that died. The lock is taken by the
//! first statement, and `read committed` has each later one see everything that was committed before; a snapshot of the
//! whole transaction would be older than the lock.
//!
//! A server can be away, slow or cut off, so every wait has two limits: the server's own (`lock_timeout` and
//! its like), and, where its answer does not arrive, ours ([`ANSWER`]).

use std::path::PathBuf;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, ConnectOptions as _, Connection as _, Executor as _};
use tokio::time::timeout;

use super::sqlite::escape;
use super::{StoreError, Transaction};
use crate::secret::Secret;

/// The statements of a writer see what was committed before them.
pub(super) const BEGIN_WRITE: &str = "begin isolation level read committed read write";

/// All statements of a reader see one state.
pub(super) const BEGIN_READ: &str = "begin isolation level repeatable read read only";

/// Waits for the turn to write, which is kept until the end of the transaction. The number is arbitrary; locks are those
/// of one database, and Passline has a database of its own.
pub(super) async fn take_turn(transaction: &mut Transaction) -> Result<(), StoreError> {
    sqlx::query("select cast(pg_advisory_xact_lock(7277546) as text)")
        .execute(transaction.connection())
        .await?;
    Ok(())
}

/// How long the answer to one statement is waited for. Longer than the server takes before it gives up by itself, so
/// this is for answers that get lost.
pub(super) const ANSWER: Duration = Duration::from_secs(12);

/// The server ends a session, and frees its locks, 25 seconds after the last sign of life of the machine at the other end.
pub(super) const KEEP_ALIVE: &str = "set tcp_keepalives_idle = 10; set tcp_keepalives_interval = 5; \
                                     set tcp_keepalives_count = 3; set tcp_user_timeout = '25s';";

/// How long the answer to next to nothing is waited for.
pub(super) const PING: Duration = Duration::from_secs(5);

/// How long connecting may take, encryption and sign-in included.
const CONNECT: Duration = Duration::from_secs(10);

/// How long bringing the tables to this version may take. Indexes of large tables are made then.
const MIGRATION: Duration = Duration::from_secs(15 * 60);

/// Where a server is, and who Passline is there.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where it listens.
    pub address: ServerAddress,
    /// The database.
    pub database: String,
    /// The role that Passline signs in as.
    pub user: String,
    /// Its password, if the server asks for one.
    pub password: Option<Secret>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerAddress {
    /// On the network. The server must prove its name by a certificate.
    Tls {
        /// Its name.
        host: String,
        /// Its port.
        port: u16,
        /// File of certificates (PEM) to believe besides those of the system.
        ca: Option<PathBuf>,
    },
    /// On this machine, without encryption.
    Plain {
        /// `localhost` or a loopback address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// On this machine: the folder of the socket.
    Socket {
        /// The folder.
        folder: PathBuf,
        /// The number at the end of the socket's name.
        port: u16,
    },
}

impl ServerConfig {
    /// As in the configuration, without the password.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.address {
            ServerAddress::Tls { host, port, .. } | ServerAddress::Plain { host, port } => {
                format!("postgres://{}@{host}:{port}/{}", self.user, self.database)
            }
            ServerAddress::Socket { folder, .. } => {
                format!("postgres://{}@/{}?host={}", self.user, self.database, folder.display())
            }
        }
    }

    /// With the password; the library takes nothing else. It reads variables of the environment (PGHOST and its like)
    /// first; what matters is said here.
    fn url(&self) -> String {
        let (host, port) = match &self.address {
            ServerAddress::Tls { host, port, .. } | ServerAddress::Plain { host, port } => (host.as_str(), port),
            ServerAddress::Socket { port, .. } => ("localhost", port),
        };
        let mut url = String::from("postgres://");
        escape(&mut url, self.user.as_bytes());
        if let Some(password) = &self.password {
            url.push(':');
            escape_whole(&mut url, password.expose());
        }
        url += &format!("@{host}:{port}/");
        escape_whole(&mut url, &self.database);
        url += "?application_name=passline&sslmode=";
        match &self.address {
            ServerAddress::Tls { ca, .. } => {
                url += "verify-full";
                if let Some(ca) = ca {
                    url += "&sslrootcert=";
                    escape(&mut url, ca.as_os_str().as_encoded_bytes());
                }
            }
            ServerAddress::Plain { .. } => url += "disable",
            ServerAddress::Socket { folder, .. } => {
                url += "disable&host=";
                escape(&mut url, folder.as_os_str().as_encoded_bytes());
            }
        }
        url
    }

    fn options(&self) -> Result<AnyConnectOptions, StoreError> {
        // A statement that waits for its turn is slow and no news.
        let options = self
            .url()
            .parse::<AnyConnectOptions>()
            .map_err(StoreError::Unreachable)?;
        Ok(options.disable_statement_logging())
    }

    /// A connection of its own, outside of the pool.
    pub(super) async fn connect(&self) -> Result<AnyConnection, StoreError> {
        let options = self.options()?;
        match timeout(CONNECT, options.connect()).await {
            Ok(connected) => connected.map_err(StoreError::Unreachable),
            Err(_) => Err(StoreError::Unreachable(late())),
        }
    }

    /// A pool of connections tries again until its time is up, and does not say why.
    async fn try_connecting(&self) -> Result<(), StoreError> {
        let connection = self.connect().await?;
        let _ = timeout(CONNECT, connection.close()).await;
        Ok(())
    }
}

/// An answer that did not come.
pub(super) fn late() -> sqlx::Error {
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, "no answer in time"))
}

/// Brings the tables to this version, and opens the database.
pub(super) async fn open(
    server: &ServerConfig,
    connections: u32,
    busy_timeout: Duration,
) -> Result<AnyPool, StoreError> {
    server.try_connecting().await?;
    let migrating = AnyPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(CONNECT)
        // Nodes that start together wait for each other.
        .after_connect(|connection, _| {
            Box::pin(async move {
                let settings = "set lock_timeout = '60s'; set client_min_messages = warning;";
                connection.execute(sqlx::raw_sql(settings)).await.map(drop)
            })
        })
        .connect_with(server.options()?)
        .await?;
    timeout(MIGRATION, super::pool::MIGRATOR.run(&migrating))
        .await
        .map_err(|_| late())?
        .map_err(StoreError::Migration)?;
    let _ = timeout(CONNECT, migrating.close()).await;
    pool(server, connections, busy_timeout, "off").await
}

/// Opens a database to look only.
pub(super) async fn open_read_only(server: &ServerConfig, busy_timeout: Duration) -> Result<AnyPool, StoreError> {
    server.try_connecting().await?;
    pool(server, 1, busy_timeout, "on").await
}

async fn pool(
    server: &ServerConfig,
    connections: u32,
    busy_timeout: Duration,
    read_only: &'static str,
) -> Result<AnyPool, StoreError> {
    let busy_timeout_ms = busy_timeout.as_millis();
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        .min_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(busy_timeout)
        .after_connect(move |connection, _| {
            Box::pin(async move { configure(connection, busy_timeout_ms, read_only).await })
        })
        // The pool waits without a limit for the answer to a rollback; a connection without one is closed.
        .after_release(|connection, _| {
            Box::pin(async move {
                timeout(PING, connection.ping())
                    .await
                    .map_err(|_| late())?
                    .map(|()| true)
            })
        })
        .connect_with(server.options()?)
        .await?;
    Ok(pool)
}

/// What a server must not be set to otherwise. A commit is on disk when it is answered, so a committed intent survives a
/// power cut there. A node that is cut off in the middle of a transaction keeps the others waiting for 15 seconds.
async fn configure(
    connection: &mut AnyConnection,
    busy_timeout_ms: u128,
    read_only: &'static str,
) -> Result<(), sqlx::Error> {
    let settings = format!(
        "{KEEP_ALIVE} set lock_timeout = {busy_timeout_ms}; set statement_timeout = '10s'; \
         set idle_in_transaction_session_timeout = '15s'; set client_min_messages = warning; \
         set default_transaction_read_only = {read_only}; \
         select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off';"
    );
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(settings))).await?;
    Ok(())
}

/// Adds text to a URL, slashes escaped as well.
fn escape_whole(url: &mut String, text: &str) {
    for part in text.split_inclusive('/') {
        escape(url, part.trim_end_matches('/').as_bytes());
        if part.ends_with('/') {
            url.push_str("%2F");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(address: ServerAddress) -> ServerConfig {
        ServerConfig {
            address,
            database: "pass/line".to_owned(),
            user: "svc@x".to_owned(),
            password: Some(Secret::new("p:a/s?s".to_owned())),
        }
    }

    #[test]
    fn nothing_in_a_name_or_password_means_anything_in_the_url() {
        let socket = server(ServerAddress::Socket {
            folder: "/run/a b&c".into(),
            port: 5433,
        });
        assert_eq!(
            socket.url(),
            "postgres://svc%40x:p%3Aa%2Fs%3Fs@localhost:5433/pass%2Fline?application_name=passline&sslmode=disable\
             &host=/run/a%20b%26c"
        );
        let tls = server(ServerAddress::Tls {
            host: "db.example.com".to_owned(),
            port: 5432,
            ca: Some("/etc/ca.pem".into()),
        });
        assert!(
            tls.url().ends_with("&sslmode=verify-full&sslrootcert=/etc/ca.pem"),
            "{}",
            tls.url()
        );
    }

    #[test]
    fn the_password_is_not_shown() {
        let server = server(ServerAddress::Plain {
            host: "localhost".to_owned(),
            port: 5432,
        });
        for shown in [server.shown(), format!("{server:?}")] {
            assert!(!shown.contains("p:a") && !shown.contains("p%3A"), "{shown}");
        }
    }
}
