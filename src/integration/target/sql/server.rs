//! Where a database server is, who Passline is there, and what became of what it was asked.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use sqlx::AssertSqlSafe;
use sqlx::error::DatabaseError;
use zeroize::Zeroize as _;

use super::super::{TlsError, tls};
use crate::secret::Secret;

/// What an operator is told of a target whose credential is missing.
pub(super) const NO_CREDENTIAL: &str = "Passline has no password there; enter it with `passline target credential`";

/// How long a server may take for one statement. Whoever waits on the telephone gives up earlier; this is for everybody else.
const ANSWER: Duration = Duration::from_secs(10);

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// Where a server is, and who Passline is there.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Where it is.
    pub address: Address,
    /// Whether the connection is encrypted.
    pub tls: Tls,
    /// The name of Passline's account there.
    pub user: String,
    /// How long connecting may take, encryption and sign-in included; as for directories.
    pub connect: Duration,
}

impl ServerConfig {
    /// How long connecting may take if nothing else is said.
    pub const CONNECT: Duration = super::super::ldap::ServersConfig::CONNECT;
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// On the network.
    Tcp {
        /// Its name, which must be in its certificate.
        host: String,
        /// Its port.
        port: u16,
    },
    /// On this machine. For PostgreSQL the folder of the socket, for MariaDB and MySQL the socket itself.
    Socket {
        /// Where it is.
        path: PathBuf,
        /// Which one of those in the folder, for PostgreSQL.
        port: u16,
    },
}

impl Address {
    /// Whether nothing that is said leaves this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { host, .. } => host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback()),
            Self::Socket { .. } => true,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Socket { path, .. } => write!(f, "{}", path.display()),
        }
    }
}

/// Whether a connection is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tls {
    /// Always; the server must prove its name by a certificate.
    Required {
        /// File of certificates (PEM) to believe besides those of the system.
        ca: Option<PathBuf>,
    },
    /// Never; only for what does not leave this machine.
    Off,
}

/// One server.
pub(super) struct Server {
    pub(super) config: ServerConfig,
    /// Certificates to believe besides those of the system, as PEM.
    pub(super) ca: Vec<u8>,
    credential: Option<Secret>,
}

impl Server {
    pub(super) fn new(config: ServerConfig, credential: Option<Secret>) -> Result<Self, TlsError> {
        Ok(Self {
            ca: certificates(&config.tls)?,
            config,
            credential,
        })
    }

    /// Passline's password there. A server may let somebody without one in; Passline always has one.
    pub(super) fn credential(&self) -> Result<&Secret, String> {
        let there = self.credential.as_ref().filter(|credential| !credential.is_empty());
        there.ok_or_else(|| NO_CREDENTIAL.to_owned())
    }

    /// What a connection came to, in time.
    pub(super) async fn connected<T, E: DatabaseError>(
        &self,
        work: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Failure<E>> {
        within(self.config.connect, work).await
    }

    /// Why nobody was let in, for an operator.
    pub(super) fn told(&self, reason: &str) -> String {
        format!("{}: {reason}{}", self.config.address, remedy(reason))
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

fn certificates(tls: &Tls) -> Result<Vec<u8>, TlsError> {
    match tls {
        Tls::Required { ca: Some(path) } => tls::certificates(path).map(|(pem, _)| pem),
        _ => Ok(Vec::new()),
    }
}

/// What to do about the errors of TLS, which speak of certificates to those who know them.
fn remedy(reason: &str) -> &'static str {
    // The second is what an authority of the same name comes to.
    if reason.contains("UnknownIssuer") || reason.contains("BadSignature") {
        "; `ca` must be the file of the authority that signed the server's certificate"
    } else if reason.contains("not valid for name") {
        "; `host` must be a name that is in the server's certificate"
    } else if reason.contains("Expired") {
        "; the server needs a new certificate"
    } else if reason.contains("does not support TLS") {
        "; switch TLS on there"
    } else {
        ""
    }
}

/// Why something that was asked was not done.
pub(super) enum Failure<E> {
    /// The server said no.
    Said(E),
    /// No answer came, or none that can be read.
    Lost(String),
}

impl<E: DatabaseError> Failure<E> {
    /// Never holds the statement: the library's errors do not.
    pub(super) fn of(error: sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => match error.try_downcast::<E>() {
                Ok(error) => Self::Said(*error),
                Err(_) => Self::Lost("an error of another kind of server".to_owned()),
            },
            sqlx::Error::Io(error) => Self::Lost(error.to_string()),
            sqlx::Error::Tls(error) => Self::Lost(error.to_string()),
            error => Self::Lost(error.to_string()),
        }
    }
}

/// The answer to one statement, in time.
pub(super) async fn answer<T, E: DatabaseError>(
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failure<E>> {
    within(ANSWER, work).await
}

async fn within<T, E: DatabaseError>(
    limit: Duration,
    work: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, Failure<E>> {
    match tokio::time::timeout(limit, work).await {
        Ok(done) => done.map_err(Failure::of),
        Err(_) => Err(Failure::Lost("no answer in time".to_owned())),
    }
}

/// Says goodbye. A connection that is only dropped ends as well, but the server notes a broken one.
pub(super) async fn close(connection: impl sqlx::Connection) {
    let _ = tokio::time::timeout(GOODBYE, connection.close()).await;
}

/// A statement that may hold a hash, wiped when it was sent.
pub(super) struct Statement(Arc<String>);

impl Statement {
    /// Names and texts in it are quoted by [`super::quote`].
    pub(super) fn new(text: String) -> Self {
        Self(Arc::new(text))
    }

    pub(super) fn sql(&self) -> AssertSqlSafe<Arc<String>> {
        AssertSqlSafe(self.0.clone())
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        if let Some(text) = Arc::get_mut(&mut self.0) {
            text.zeroize();
        }
    }
}

/// A server's own words, fit for a log.
pub(super) fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str) -> Address {
        Address::Tcp {
            host: host.to_owned(),
            port: 5432,
        }
    }

    #[test]
    fn only_this_machine_is_local() {
        for host in ["localhost", "127.0.0.1", "127.9.9.9", "::1"] {
            assert!(tcp(host).is_local(), "{host}");
        }
        for host in [
            "db.example.com",
            "192.0.2.1",
            "localhost.example.com",
            "::2",
            "0.0.0.0",
            "",
        ] {
            assert!(!tcp(host).is_local(), "{host}");
        }
    }

    #[test]
    fn a_statement_is_wiped_when_nobody_sends_it_any_more() {
        let statement = Statement::new("alter role x password 'hash'".to_owned());
        let AssertSqlSafe(sent) = statement.sql();
        assert_eq!(Arc::strong_count(&sent), 2, "no copy of its own");
    }
}
