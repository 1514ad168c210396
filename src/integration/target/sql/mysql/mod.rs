//! MariaDB and MySQL: passwords of accounts, each a user and the host it may come from.
//!
//! MariaDB shows statements in its logs as they were sent, so it is given hashes. MySQL's own plugins salt theirs; it is given
//! the password, which it hides in its logs by itself.

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlDatabaseError, MySqlRow, MySqlSslMode};
use sqlx::{ConnectOptions as _, Row as _, raw_sql};
use zeroize::Zeroizing;

use super::super::error::Errors;
use super::super::{
    AccountState, Answer, Capabilities, Check, Expiry, PasswordMarker, Refusal, Target, TargetError, TlsError, Verdict,
};
use super::quote::text;
use super::server::{Address, Server, ServerConfig, Statement, Tls, answer, close, shown};
use crate::secret::Secret;
use account::{Account, Name, Product};
use codes::{CANNOT_USER, Outcome, outcome, said, verdict};
use hash::Plugin;

mod account;
mod checks;
mod codes;
mod hash;

type Failure = super::server::Failure<MySqlDatabaseError>;

/// Makes quotes the only thing that ends a text; see [`super::quote`].
const SQL_MODE: &str = "set sql_mode = 'NO_BACKSLASH_ESCAPES'";

/// One server.
#[derive(Clone, Debug)]
pub struct MysqlConfig {
    /// What the target is called.
    pub name: String,
    /// Where it is, and who Passline is there.
    pub server: ServerConfig,
    /// The host of accounts that are written without one.
    pub account_host: String,
}

/// See the module.
#[derive(Debug)]
pub struct Mysql {
    config: MysqlConfig,
    server: Server,
}

/// What is to be changed, but for a new password.
#[derive(Clone, Copy)]
enum Change {
    Expire,
    Unlock,
    Enable,
    Disable,
}

/// A connection as Passline.
struct Session {
    connection: MySqlConnection,
    product: Product,
}

impl Mysql {
    /// `credential` is the password of the user that `config.server.user` names; without it nothing is ever asked. Nothing is
    /// connected yet.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn new(config: MysqlConfig, credential: Option<Secret>) -> Result<Self, TlsError> {
        Ok(Self {
            server: Server::new(config.server.clone(), credential)?,
            config,
        })
    }

    fn errors(&self) -> Errors<'_> {
        Errors(&self.config.name)
    }

    /// A connection as somebody. The library's own settings of a session are left out: whoever must change the password may not
    /// even set those.
    async fn sign_in(&self, user: &str, password: &Secret) -> Result<MySqlConnection, Failure> {
        let options = MySqlConnectOptions::new()
            .username(user)
            .password(password.expose())
            .enable_cleartext_plugin(false)
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(None)
            .ssl_ca_from_pem(self.server.ca.clone())
            .disable_statement_logging();
        let options = match &self.server.config.address {
            Address::Tcp { host, port } => options.host(host).port(*port),
            Address::Socket { path, .. } => options.socket(path),
        };
        let options = options.ssl_mode(match self.server.config.tls {
            Tls::Required { .. } => MySqlSslMode::VerifyIdentity,
            Tls::Off => MySqlSslMode::Disabled,
        });
        Box::pin(self.server.connected(options.connect())).await
    }

    /// A connection as Passline, or why there is none.
    async fn connect(&self) -> Result<Session, String> {
        let user = &self.config.server.user;
        let reason = match self.sign_in(user, self.server.credential()?).await {
            Ok(connection) => match begin(connection).await {
                Ok(session) => return Ok(session),
                Err(Failure::Said(error)) => said(&error),
                Err(Failure::Lost(reason)) => reason,
            },
            Err(Failure::Said(error)) => format!("it does not let {user} sign in: {}", said(&error)),
            Err(Failure::Lost(reason)) => reason,
        };
        Err(self.server.told(&reason))
    }

    async fn session(&self) -> Result<Session, TargetError> {
        let session = self.connect().await;
        session.map_err(|reason| self.errors().unreachable(reason))
    }

    /// The account of this name, if it is one that may be reset.
    async fn find(&self, session: &mut Session, name: &str) -> Result<Account, TargetError> {
        let nobody = || self.errors().refused(Refusal::NoSuchAccount);
        let name = Name::parse(name, &self.config.account_host).ok_or_else(nobody)?;
        let found = account::find(&mut session.connection, session.product, name).await;
        let account = found.map_err(|failure| self.unanswered(failure))?.ok_or_else(nobody)?;
        if account.administers || account.name.user == self.config.server.user {
            return Err(self.errors().refused(Refusal::Rights));
        }
        Ok(account)
    }

    async fn set_password(&self, name: &str, password: &Secret, expiry: Expiry) -> Result<Expiry, TargetError> {
        let mut session = self.session().await?;
        let account = self.find(&mut session, name).await?;
        if account.is_locked {
            return Err(self.errors().refused(Refusal::Disabled));
        }
        let Some(identified) = identified(session.product, &account.plugin, password) else {
            tracing::warn!(target.name = %self.config.name, account = name, plugin = ?account.plugin,
                "the password of this account is not kept by the server; it is not changed");
            return Err(self.errors().refused(Refusal::Other));
        };
        let expire = match expiry {
            Expiry::AtNextSignIn => " password expire",
            Expiry::Keep => "",
        };
        // MariaDB forgets failed tries with every new password. MySQL wants to be told; nobody is enabled by it, unless an
        // administrator disables the account at this very moment.
        let unlock = match session.product {
            Product::MariaDb => "",
            Product::MySql => " account unlock",
        };
        let user = account.name.quoted();
        let statement = format!("alter user {user} identified {}{expire}{unlock}", *identified);
        self.change(&mut session, &account.name, statement).await?;
        close(session.connection).await;
        Ok(expiry)
    }

    async fn make(&self, name: &str, change: Change) -> Result<(), TargetError> {
        let mut session = self.session().await?;
        let account = self.find(&mut session, name).await?;
        let what = match change {
            Change::Expire => "password expire",
            // The lock of an administrator is another one.
            Change::Unlock if account.is_locked => return Ok(()),
            Change::Unlock | Change::Enable => "account unlock",
            Change::Disable => "account lock",
        };
        let statement = format!("alter user {} {what}", account.name.quoted());
        self.change(&mut session, &account.name, statement).await?;
        close(session.connection).await;
        Ok(())
    }

    /// Sends one change. Operators read the server's own words; callers hear ours.
    async fn change(&self, session: &mut Session, name: &Name, text: String) -> Result<(), TargetError> {
        let statement = Statement::new(text);
        let error = match answer(raw_sql(statement.sql()).execute(&mut session.connection)).await {
            Ok(_) => return Ok(()),
            Err(Failure::Lost(reason)) => return Err(self.errors().unknown(reason)),
            Err(Failure::Said(error)) => error,
        };
        let mut answers = vec![(error.number(), said(&error))];
        if error.number() == CANNOT_USER {
            answers.extend(warnings(session).await);
        }
        let shown: Vec<&str> = answers.iter().map(|(_, text)| text.as_str()).collect();
        tracing::info!(target.name = %self.config.name, answer = shown.join("; "), "a change was refused");
        let Some((number, text)) = answers.last().filter(|(number, _)| *number != CANNOT_USER) else {
            // Nothing more was said: the account is gone, or nobody knows.
            let found = account::find(&mut session.connection, session.product, name.clone()).await;
            let is_gone = matches!(found, Ok(None));
            let refusal = if is_gone {
                Refusal::NoSuchAccount
            } else {
                Refusal::Other
            };
            return Err(self.errors().refused(refusal));
        };
        Err(match outcome(*number, text) {
            Outcome::Refused(refusal) => self.errors().refused(refusal),
            Outcome::Elsewhere => self.errors().unreachable(text.as_str()),
            Outcome::Unknown => self.errors().unknown(text.as_str()),
        })
    }

    /// A question that changes nothing had no answer that helps.
    fn unanswered(&self, failure: Failure) -> TargetError {
        match failure {
            Failure::Said(error) if matches!(error.number(), 1044 | 1142 | 1143 | 1227) => {
                self.errors().refused(Refusal::Rights)
            }
            Failure::Said(error) => self.errors().unreachable(said(&error)),
            Failure::Lost(reason) => self.errors().unreachable(reason),
        }
    }

    async fn try_password(&self, name: &str, password: &Secret) -> Result<Verdict, TargetError> {
        if password.is_empty() {
            return Ok(Verdict::Rejected);
        }
        let mut session = self.session().await?;
        let account = match self.find(&mut session, name).await {
            Err(TargetError::Refused {
                refusal: Refusal::NoSuchAccount,
                ..
            }) => return Ok(Verdict::Rejected),
            found => found?,
        };
        close(session.connection).await;
        // The library does not know how to sign in with a key.
        if account.plugin == Plugin::Ed25519 {
            return Ok(by_hash(&account, password).unwrap_or(Verdict::Rejected));
        }
        match self.signed_in(&account, password).await {
            Ok(Some(Verdict::Rejected)) => match by_hash(&account, password) {
                Some(verdict) => Ok(verdict),
                None if account.name.host == "%" => Ok(Verdict::Rejected),
                // Whichever password it is.
                None => Err(self.errors().unreachable("this account may not sign in from here")),
            },
            Ok(Some(verdict)) => Ok(verdict),
            Ok(None) => by_hash(&account, password)
                .ok_or_else(|| self.errors().unreachable("from here this name is another account")),
            Err(failure) => Err(self.unanswered(failure)),
        }
    }

    /// What a sign-in from here shows; `None` when it was one to another account of the same user.
    async fn signed_in(&self, account: &Account, password: &Secret) -> Result<Option<Verdict>, Failure> {
        let tried = async {
            let mut connection = self.sign_in(&account.name.user, password).await?;
            let row = answer(raw_sql("select current_user()").fetch_one(&mut connection)).await?;
            close(connection).await;
            row.try_get::<String, _>(0).map_err(Failure::of)
        };
        match tried.await {
            Ok(user) => Ok((user == account.name.full()).then_some(Verdict::Accepted)),
            Err(Failure::Said(error)) => match verdict(error.number()) {
                Some(verdict) => Ok(Some(verdict)),
                None => Err(Failure::Said(error)),
            },
            Err(failure) => Err(failure),
        }
    }

    async fn checks(&self, name: Option<&str>) -> Result<Vec<Check>, TargetError> {
        let what = format!("{}: sign in as {}", self.server.config.address, self.config.server.user);
        let mut session = match self.connect().await {
            Ok(session) => session,
            Err(reason) => return Ok(vec![Check::new(what, Some(reason))]),
        };
        let mut checks = vec![Check::new(what, None)];
        checks.push(Check::new("change accounts", checks::rehearsed(&mut session).await));
        if session.product == Product::MariaDb {
            checks.push(Check::new("give hashes", checks::hashes_refused(&mut session).await));
        }
        if let Some(name) = name {
            let found = self.find(&mut session, name).await;
            let problem = match &found {
                Ok(account) => checks::unsuitable(session.product, account),
                Err(error) => Some(checks::why_not(error)),
            };
            checks.push(Check::new(format!("find {name}"), problem));
        }
        close(session.connection).await;
        Ok(checks)
    }
}

/// Makes a connection fit for questions and changes.
async fn begin(mut connection: MySqlConnection) -> Result<Session, Failure> {
    answer(raw_sql(SQL_MODE).execute(&mut connection)).await?;
    let row = answer(raw_sql("select version()").fetch_one(&mut connection)).await?;
    let version: String = row.try_get(0).map_err(Failure::of)?;
    Ok(Session {
        connection,
        product: Product::of(&version),
    })
}

/// The part of a statement that gives an account a new password, by the plugin that it has; `None` where the server keeps none.
fn identified(product: Product, plugin: &Plugin, password: &Secret) -> Option<Zeroizing<String>> {
    let hash = plugin.hash(password);
    let quoted = Zeroizing::new(text(password.expose()));
    let part = match (product, plugin, hash) {
        (Product::MariaDb, Plugin::Native, Some(hash)) => format!("via mysql_native_password using '{}'", *hash),
        (Product::MariaDb, Plugin::Ed25519, Some(key)) => format!("via ed25519 using '{}'", *key),
        (Product::MySql, Plugin::Native, Some(hash)) => format!("with mysql_native_password as '{}'", *hash),
        (Product::MySql, Plugin::CachingSha2, _) => format!("with caching_sha2_password by {}", *quoted),
        (Product::MySql, Plugin::Sha256, _) => format!("with sha256_password by {}", *quoted),
        _ => return None,
    };
    Some(Zeroizing::new(part))
}

/// A verdict without a sign-in: from here it may not be let in, though others may from elsewhere.
fn by_hash(account: &Account, password: &Secret) -> Option<Verdict> {
    let is_right = account.plugin.matches(password, &account.hash)?;
    Some(match (is_right, account.is_locked, account.must_change) {
        (false, _, _) => Verdict::Rejected,
        (true, true, _) => Verdict::Barred,
        (true, false, true) => Verdict::AcceptedMustChange,
        (true, false, false) => Verdict::Accepted,
    })
}

/// Why the last change failed, the reason itself last: numbers, and the server's words.
async fn warnings(session: &mut Session) -> Vec<(u16, String)> {
    let rows = answer::<_, MySqlDatabaseError>(raw_sql("show warnings").fetch_all(&mut session.connection)).await;
    let one = |row: &MySqlRow| {
        let number = u16::try_from(row.try_get::<u32, _>("Code").ok()?).ok()?;
        let text: String = row.try_get("Message").ok()?;
        (number != CANNOT_USER).then(|| (number, shown(&text)))
    };
    rows.map(|rows| rows.iter().filter_map(one).collect())
        .unwrap_or_default()
}

impl Target for Mysql {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            verify: true,
            reset: true,
            change: false,
            expire: true,
            unlock: true,
            lock_state: true,
            enable: true,
            list_accounts: true,
            policy: false,
        }
    }

    fn verify<'a>(&'a self, account: &'a str, password: &'a Secret) -> Answer<'a, Verdict> {
        Box::pin(self.try_password(account, password))
    }

    fn reset<'a>(&'a self, account: &'a str, password: &'a Secret, expiry: Expiry) -> Answer<'a, Expiry> {
        Box::pin(self.set_password(account, password, expiry))
    }

    fn expire<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.make(account, Change::Expire))
    }

    fn unlock<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.make(account, Change::Unlock))
    }

    fn state<'a>(&'a self, account: &'a str) -> Answer<'a, AccountState> {
        Box::pin(async move {
            let mut session = self.session().await?;
            let account = self.find(&mut session, account).await?;
            close(session.connection).await;
            Ok(AccountState {
                locked: None,
                disabled: Some(account.is_locked),
                must_change: Some(account.must_change),
                marker: account.changed.map(|at| match at {
                    0 => PasswordMarker::expired(),
                    at => PasswordMarker::new(at.to_string()),
                }),
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
            let after = after.and_then(|after| Name::parse(after, &self.config.account_host));
            let place = (
                after.as_ref(),
                self.config.server.user.as_str(),
                self.config.account_host.as_str(),
            );
            let found = account::list(&mut session.connection, session.product, place, limit).await;
            let names = found.map_err(|failure| self.unanswered(failure))?;
            close(session.connection).await;
            Ok(names)
        })
    }

    fn test<'a>(&'a self, account: Option<&'a str>) -> Answer<'a, Vec<Check>> {
        Box::pin(self.checks(account))
    }
}
