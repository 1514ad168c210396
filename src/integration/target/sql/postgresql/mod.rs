//! PostgreSQL: passwords of roles that may sign in.
//!
//! There is no *must be changed*; a new password stays. `VALID UNTIL` ends a password, so one that has ended is given a new
//! life with the new password; one that has not is left alone. There is no lock by failed tries either.

use sqlx::postgres::{PgConnectOptions, PgConnection, PgDatabaseError, PgSslMode};
use sqlx::{ConnectOptions as _, raw_sql};

use super::super::error::Errors;
use super::super::{
    AccountState, Answer, Capabilities, Check, Expiry, Refusal, Target, TargetError, TlsError, Verdict,
};
use super::quote::identifier;
use super::server::{Address, Server, ServerConfig, Statement, Tls, answer, close};
use crate::secret::Secret;
use codes::{Code, Outcome, said};
use role::Role;

mod codes;
mod role;
mod scram;

type Failure = super::server::Failure<PgDatabaseError>;

/// One PostgreSQL server.
#[derive(Clone, Debug)]
pub struct PostgresqlConfig {
    /// What the target is called.
    pub name: String,
    /// Where it is, and who Passline is there.
    pub server: ServerConfig,
    /// The database that is connected to; any will do.
    pub database: String,
    /// The role whose members may be reset; everybody if there is none.
    pub members_of: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Postgresql {
    config: PostgresqlConfig,
    server: Server,
}

/// What is to be changed, but for a new password.
#[derive(Clone, Copy)]
enum Change {
    Enable,
    Disable,
}

impl Postgresql {
    /// `credential` is the password of the role that `config.server.user` names; without it nothing is ever asked. Nothing is
    /// connected yet.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn new(config: PostgresqlConfig, credential: Option<Secret>) -> Result<Self, TlsError> {
        Ok(Self {
            server: Server::new(config.server.clone(), credential)?,
            config,
        })
    }

    fn errors(&self) -> Errors<'_> {
        Errors(&self.config.name)
    }

    /// A connection as somebody.
    async fn sign_in(&self, user: &str, password: &Secret) -> Result<PgConnection, Failure> {
        // The library reads variables of the environment (PGHOST and its like) first; what matters is set here. Names of other
        // people's functions are not looked up.
        let options = PgConnectOptions::new_without_pgpass()
            .username(user)
            .password(password.expose())
            .database(&self.config.database)
            .application_name("passline")
            .options([("search_path", "pg_catalog")])
            .ssl_root_cert_from_pem(self.server.ca.clone())
            .disable_statement_logging();
        let options = match &self.server.config.address {
            Address::Tcp { host, port } => options.host(host).port(*port),
            Address::Socket { path, port } => options.socket(path).port(*port),
        };
        let options = options.ssl_mode(match self.server.config.tls {
            Tls::Required { .. } => PgSslMode::VerifyFull,
            Tls::Off => PgSslMode::Disable,
        });
        Box::pin(self.server.connected(options.connect())).await
    }

    /// A connection as Passline, or why there is none.
    async fn connect(&self) -> Result<PgConnection, String> {
        let user = &self.config.server.user;
        let reason = match self.sign_in(user, self.server.credential()?).await {
            Ok(connection) => return Ok(connection),
            Err(Failure::Said(error)) => format!("it does not let {user} sign in: {}", said(&error)),
            Err(Failure::Lost(reason)) => reason,
        };
        Err(self.server.told(&reason))
    }

    async fn session(&self) -> Result<PgConnection, TargetError> {
        let connection = self.connect().await;
        connection.map_err(|reason| self.errors().unreachable(reason))
    }

    /// The role of this name, if it is one that may be reset.
    async fn find(&self, session: &mut PgConnection, name: &str) -> Result<Role, TargetError> {
        let nobody = || self.errors().refused(Refusal::NoSuchAccount);
        if !role::is_name(name) {
            return Err(nobody());
        }
        let found = role::find(session, name, self.config.members_of.as_deref()).await;
        match found.map_err(|failure| self.unanswered(failure))? {
            Some(role) if !role.is_member => Err(nobody()),
            Some(role) if role.is_ours || role.is_privileged => Err(self.errors().refused(Refusal::Rights)),
            Some(role) => Ok(role),
            None => Err(nobody()),
        }
    }

    async fn set_password(&self, name: &str, password: &Secret) -> Result<Expiry, TargetError> {
        let mut session = self.session().await?;
        let role = self.find(&mut session, name).await?;
        if !role.can_login {
            return Err(self.errors().refused(Refusal::Disabled));
        }
        let (password, iterations) = (password.clone(), role.iterations.try_into().unwrap_or(0));
        let verifier = tokio::task::spawn_blocking(move || scram::verifier(&password, iterations, &mut rand::rng()));
        let verifier = verifier
            .await
            .map_err(|_| self.errors().unreachable("the password could not be hashed"))?;
        let validity = if role.ran_out { " valid until 'infinity'" } else { "" };
        let text = format!("alter role {} password '{}'{validity}", identifier(name), *verifier);
        self.change(&mut session, text).await?;
        close(session).await;
        Ok(Expiry::Keep)
    }

    async fn make(&self, name: &str, change: Change) -> Result<(), TargetError> {
        let mut session = self.session().await?;
        self.find(&mut session, name).await?;
        let may = match change {
            Change::Enable => "login",
            Change::Disable => "nologin",
        };
        self.change(&mut session, format!("alter role {} {may}", identifier(name)))
            .await?;
        close(session).await;
        Ok(())
    }

    /// Sends one change. Operators read the server's own words; callers hear ours.
    async fn change(&self, session: &mut PgConnection, text: String) -> Result<(), TargetError> {
        let statement = Statement::new(text);
        let error = match answer(raw_sql(statement.sql()).execute(session)).await {
            Ok(_) => return Ok(()),
            Err(Failure::Lost(reason)) => return Err(self.errors().unknown(reason)),
            Err(Failure::Said(error)) => error,
        };
        tracing::info!(target.name = %self.config.name, answer = said(&error), "a change was refused");
        Err(match Code::of(&error).outcome() {
            Outcome::Refused(refusal) => self.errors().refused(refusal),
            Outcome::Elsewhere => self.errors().unreachable(said(&error)),
            Outcome::Unknown => self.errors().unknown(said(&error)),
        })
    }

    /// A question that changes nothing had no answer that helps.
    fn unanswered(&self, failure: Failure) -> TargetError {
        match failure {
            Failure::Said(error) if error.code() == "42501" => self.errors().refused(Refusal::Rights),
            Failure::Said(error) => self.errors().unreachable(said(&error)),
            Failure::Lost(reason) => self.errors().unreachable(reason),
        }
    }

    async fn try_password(&self, name: &str, password: &Secret) -> Result<Verdict, TargetError> {
        if password.is_empty() {
            return Ok(Verdict::Rejected);
        }
        let mut session = self.session().await?;
        match self.find(&mut session, name).await {
            Err(TargetError::Refused {
                refusal: Refusal::NoSuchAccount,
                ..
            }) => return Ok(Verdict::Rejected),
            found => found?,
        };
        close(session).await;
        match self.sign_in(name, password).await {
            Ok(connection) => {
                close(connection).await;
                Ok(Verdict::Accepted)
            }
            Err(Failure::Said(error)) => {
                let verdict = Code::of(&error).verdict();
                verdict.ok_or_else(|| self.unanswered(Failure::Said(error)))
            }
            Err(failure) => Err(self.unanswered(failure)),
        }
    }

    async fn checks(&self, name: Option<&str>) -> Result<Vec<Check>, TargetError> {
        let what = format!("{}: sign in as {}", self.server.config.address, self.config.server.user);
        let mut session = match self.connect().await {
            Ok(session) => session,
            Err(reason) => return Ok(vec![Check::new(what, Some(reason))]),
        };
        let mut checks = vec![Check::new(what, None)];
        let Some(name) = name else { return Ok(checks) };
        let found = self.find(&mut session, name).await;
        let problem = found.as_ref().err().map(|error| self.why_not(error));
        checks.push(Check::new(format!("find {name}"), problem));
        let Ok(role) = found else { return Ok(checks) };
        let problem = rehearsed(&mut session, name, role).await;
        checks.push(Check::new(format!("change {name}"), problem));
        close(session).await;
        checks.push(Check::new(
            format!("try a wrong password of {name}"),
            self.is_open(name).await,
        ));
        Ok(checks)
    }

    fn why_not(&self, error: &TargetError) -> String {
        match error {
            TargetError::Refused {
                refusal: Refusal::Rights,
                ..
            } => "it is Passline itself, or administers the server: such roles are never reset".to_owned(),
            error => format!("{error}; look at `members_of`"),
        }
    }

    /// What is in the way of trying passwords. A server may ask nobody from here for a password (`trust`), and then any is right.
    async fn is_open(&self, name: &str) -> Option<String> {
        let wrong = Secret::new(format!("{:032x}", rand::random::<u128>()));
        match self.sign_in(name, &wrong).await {
            Ok(connection) => {
                close(connection).await;
                Some("it was taken: pg_hba.conf lets people in from here without asking for it".to_owned())
            }
            Err(Failure::Said(error)) if Code::of(&error).verdict() == Some(Verdict::Rejected) => None,
            Err(Failure::Said(error)) => Some(format!("the server answered {}; look at pg_hba.conf", said(&error))),
            Err(Failure::Lost(reason)) => Some(reason),
        }
    }
}

/// What is in the way of a change: sets what is set already, and takes it back.
async fn rehearsed(session: &mut PgConnection, name: &str, role: Role) -> Option<String> {
    let (name, limit) = (identifier(name), role.connections);
    let text = format!("begin; alter role {name} connection limit {limit}; rollback");
    match answer(raw_sql(Statement::new(text).sql()).execute(session)).await {
        Ok(_) => None,
        Err(Failure::Said(error)) if error.code() == "42501" => {
            Some("no right; Passline needs CREATEROLE, and from PostgreSQL 16 on ADMIN OPTION on the role".to_owned())
        }
        Err(Failure::Said(error)) => Some(format!("the server answered {}", said(&error))),
        Err(Failure::Lost(reason)) => Some(reason),
    }
}

impl Target for Postgresql {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            verify: true,
            reset: true,
            change: false,
            expire: false,
            unlock: false,
            lock_state: true,
            enable: true,
            list_accounts: true,
            policy: false,
        }
    }

    fn verify<'a>(&'a self, account: &'a str, password: &'a Secret) -> Answer<'a, Verdict> {
        Box::pin(self.try_password(account, password))
    }

    fn reset<'a>(&'a self, account: &'a str, password: &'a Secret, _expiry: Expiry) -> Answer<'a, Expiry> {
        Box::pin(self.set_password(account, password))
    }

    fn state<'a>(&'a self, account: &'a str) -> Answer<'a, AccountState> {
        Box::pin(async move {
            let mut session = self.session().await?;
            let role = self.find(&mut session, account).await?;
            close(session).await;
            Ok(AccountState {
                locked: None,
                disabled: Some(!role.can_login),
                must_change: Some(false),
                marker: None,
            })
        })
    }

    fn enable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.make(account, Change::Enable))
    }

    fn disable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.make(account, Change::Disable))
    }

    fn list_accounts<'a>(&'a self, after: Option<&'a str>, limit: usize) -> Answer<'a, Vec<String>> {
        Box::pin(async move {
            let mut session = self.session().await?;
            let members_of = self.config.members_of.as_deref();
            let found = role::list(&mut session, members_of, after, limit).await;
            let names = found.map_err(|failure| self.unanswered(failure))?;
            close(session).await;
            Ok(names)
        })
    }

    fn test<'a>(&'a self, account: Option<&'a str>) -> Answer<'a, Vec<Check>> {
        Box::pin(self.checks(account))
    }
}
