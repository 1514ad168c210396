//! The embedded directory: accounts in a SQLite file of their own, for demonstrations, tests and small sites.
//!
//! One file holds several named directories ("Active Directory", "Mail", "Payroll"); each is a [`Target`] that behaves
//! as a real one does: it hashes passwords (argon2id), enforces its rules, locks an account after failed tries, refuses
//! disabled accounts, can demand a new password at the next sign-in. It is deliberately apart from Passline's own
//! database, as any other target is: a crash between the two is possible, and must be survived.
//!
//! A target that is a database brings its own SQL; `store` is about what Passline itself remembers.

use std::fmt::Display;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Algorithm, Argon2, Params, PasswordHasher as _, PasswordVerifier as _, Version};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use tokio::sync::Semaphore;

use super::{AccountState, Answer, Capabilities, Check, Expiry, PasswordMarker, Refusal, Target, TargetError, Verdict};
use crate::identity::policy::{NoDictionary, Person, Policy};
use crate::secret::Secret;
use crate::time::Clock;

/// How many hashes are computed at once; more would only take memory and cores away from calls.
const HASHES_AT_ONCE: usize = 2;

/// The file that holds the directories.
#[derive(Clone)]
pub struct Directories {
    pool: SqlitePool,
    clock: Arc<dyn Clock>,
    hashing: Arc<Semaphore>,
    cost: Params,
}

/// Rules of one directory.
#[derive(Clone, Debug)]
pub struct Rules {
    /// What a password must look like. What is forbidden about the user's name stays with Passline: the directory knows
    /// no names.
    pub policy: Policy,
    /// After how many wrong passwords in a row an account is locked. Five, as in most companies.
    pub lock_after: u32,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            policy: Policy {
                min_length: 8,
                // It keeps none.
                history: 0,
                ..Policy::classic()
            },
            lock_after: 5,
        }
    }
}

/// The file of the directories cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the embedded directory")]
pub struct OpenError(#[source] Box<dyn std::error::Error + Send + Sync>);

impl Directories {
    /// Opens the file, creating it if need be, readable by its owner only.
    ///
    /// # Errors
    /// When the file cannot be created, or its tables belong to a newer version.
    pub async fn open(path: &Path, clock: Arc<dyn Clock>) -> Result<Self, OpenError> {
        Self::open_with(path, clock, Params::DEFAULT).await
    }

    /// Opens it with another cost of hashing a password; for tests.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn open_with(path: &Path, clock: Arc<dyn Clock>, cost: Params) -> Result<Self, OpenError> {
        std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|error| OpenError(error.into()))?;
        let options = SqliteConnectOptions::new()
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(Duration::from_secs(5));
        let pool = SqlitePoolOptions::new()
            .max_connections(2)
            .connect_with(options)
            .await
            .map_err(|error| OpenError(error.into()))?;
        sqlx::migrate!("migrations/directory")
            .run(&pool)
            .await
            .map_err(|error| OpenError(error.into()))?;
        Ok(Self {
            pool,
            clock,
            hashing: Arc::new(Semaphore::new(HASHES_AT_ONCE)),
            cost,
        })
    }

    /// One of the directories as a target.
    #[must_use]
    pub fn target(&self, name: &str, rules: Rules) -> Directory {
        Directory {
            shared: self.clone(),
            name: name.to_owned(),
            rules,
        }
    }

    async fn hash(&self, password: &Secret) -> Result<String, String> {
        let password = password.clone();
        let cost = self.cost.clone();
        self.blocking(move || {
            Argon2::new(Algorithm::Argon2id, Version::V0x13, cost)
                .hash_password(password.expose().as_bytes())
                .map(|hash| hash.to_string())
                .map_err(|error| error.to_string())
        })
        .await?
    }

    async fn matches(&self, password: &Secret, hash: String) -> Result<bool, String> {
        let password = password.clone();
        self.blocking(move || {
            let hash = PasswordHash::new(&hash).map_err(|error| format!("damaged hash: {error}"))?;
            Ok(Argon2::default()
                .verify_password(password.expose().as_bytes(), &hash)
                .is_ok())
        })
        .await?
    }

    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, String> {
        let permit = self.hashing.clone().acquire_owned().await.map_err(|e| e.to_string())?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(|error| error.to_string())
    }
}

/// One named directory.
#[derive(Clone)]
pub struct Directory {
    shared: Directories,
    name: String,
    rules: Rules,
}

/// What the directory knows of an account.
#[derive(sqlx::FromRow)]
struct Row {
    password_hash: String,
    revision: i64,
    must_change: i64,
    locked: i64,
    enabled: i64,
}

impl Directory {
    /// Creates an account, or gives an existing one a new password and a clean state; an administrator's tool, not
    /// part of [`Target`]. The rules are not applied.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub async fn create(&self, account: &str, password: &Secret) -> Result<(), TargetError> {
        let hash = self.shared.hash(password).await.map_err(|e| self.unreachable(e))?;
        sqlx::query(
            "insert into directory_accounts \
             (directory, name, password_hash, revision, changed_ms, must_change, failed_binds, locked, enabled) \
             values ($1, $2, $3, 1, $4, 0, 0, 0, 1) \
             on conflict (directory, name) do update set password_hash = excluded.password_hash, \
             revision = directory_accounts.revision + 1, changed_ms = excluded.changed_ms, \
             must_change = 0, failed_binds = 0, locked = 0, enabled = 1",
        )
        .bind(&self.name)
        .bind(account)
        .bind(hash)
        .bind(self.shared.clock.now().as_millis())
        .execute(&self.shared.pool)
        .await
        .map_err(|error| self.unknown(error))?;
        Ok(())
    }

    async fn find(&self, account: &str) -> Result<Row, TargetError> {
        sqlx::query_as(
            "select password_hash, revision, must_change, locked, enabled \
             from directory_accounts where directory = $1 and name = $2",
        )
        .bind(&self.name)
        .bind(account)
        .fetch_optional(&self.shared.pool)
        .await
        .map_err(|error| self.unreachable(error))?
        .ok_or_else(|| self.refused(Refusal::NoSuchAccount))
    }

    async fn try_password(&self, account: &str, password: &Secret) -> Result<Verdict, TargetError> {
        let row = self.find(account).await?;
        let right = self
            .shared
            .matches(password, row.password_hash)
            .await
            .map_err(|error| self.unreachable(error))?;
        if row.locked != 0 || row.enabled == 0 {
            return Ok(Verdict::Barred);
        }
        if right {
            self.change("failed_binds = 0", account).await?;
        } else {
            self.count_failure(account).await?;
        }
        Ok(match (right, row.must_change != 0) {
            (true, false) => Verdict::Accepted,
            (true, true) => Verdict::AcceptedMustChange,
            (false, _) => Verdict::Rejected,
        })
    }

    /// One statement, so that two wrong tries at once count as two.
    async fn count_failure(&self, account: &str) -> Result<(), TargetError> {
        sqlx::query(
            "update directory_accounts set failed_binds = failed_binds + 1, \
             locked = case when failed_binds + 1 >= $1 then 1 else locked end \
             where directory = $2 and name = $3",
        )
        .bind(i64::from(self.rules.lock_after))
        .bind(&self.name)
        .bind(account)
        .execute(&self.shared.pool)
        .await
        .map_err(|error| self.unknown(error))?;
        Ok(())
    }

    async fn set_password(&self, account: &str, password: &Secret, expiry: Expiry) -> Result<Expiry, TargetError> {
        let violations = self.rules.policy.check(password, &Person::default(), &NoDictionary);
        if !violations.is_empty() {
            return Err(self.refused(Refusal::Policy));
        }
        if self.find(account).await?.enabled == 0 {
            return Err(self.refused(Refusal::Disabled));
        }
        let hash = self.shared.hash(password).await.map_err(|e| self.unreachable(e))?;
        // `enabled` again: it may have been disabled while we hashed.
        let changed = sqlx::query(
            "update directory_accounts set password_hash = $1, revision = revision + 1, changed_ms = $2, \
             must_change = $3, failed_binds = 0, locked = 0 where directory = $4 and name = $5 and enabled = 1",
        )
        .bind(hash)
        .bind(self.shared.clock.now().as_millis())
        .bind(i64::from(expiry == Expiry::AtNextSignIn))
        .bind(&self.name)
        .bind(account)
        .execute(&self.shared.pool)
        .await
        .map_err(|error| self.unknown(error))?;
        if changed.rows_affected() == 0 {
            return Err(self.refused(Refusal::Disabled));
        }
        Ok(expiry)
    }

    /// Applies a constant assignment to one account.
    async fn change(&self, assignment: &'static str, account: &str) -> Result<(), TargetError> {
        let statement = format!("update directory_accounts set {assignment} where directory = $1 and name = $2");
        let changed = sqlx::query(sqlx::AssertSqlSafe(statement))
            .bind(&self.name)
            .bind(account)
            .execute(&self.shared.pool)
            .await
            .map_err(|error| self.unknown(error))?;
        if changed.rows_affected() == 0 {
            return Err(self.refused(Refusal::NoSuchAccount));
        }
        Ok(())
    }

    async fn names(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, TargetError> {
        sqlx::query_scalar(
            "select name from directory_accounts where directory = $1 and name > $2 order by name limit $3",
        )
        .bind(&self.name)
        .bind(after.unwrap_or_default())
        .bind(i64::try_from(limit).unwrap_or(i64::MAX))
        .fetch_all(&self.shared.pool)
        .await
        .map_err(|error| self.unreachable(error))
    }

    fn refused(&self, refusal: Refusal) -> TargetError {
        TargetError::Refused {
            target: self.name.clone(),
            refusal,
        }
    }

    /// For failures before anything was written.
    fn unreachable(&self, reason: impl Display) -> TargetError {
        TargetError::Unreachable {
            target: self.name.clone(),
            reason: reason.to_string(),
        }
    }

    /// For failures of a write: the disk may hold it all the same.
    fn unknown(&self, reason: impl Display) -> TargetError {
        TargetError::Unknown {
            target: self.name.clone(),
            reason: reason.to_string(),
        }
    }
}

impl Target for Directory {
    fn name(&self) -> &str {
        &self.name
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
            policy: true,
        }
    }

    fn verify<'a>(&'a self, account: &'a str, password: &'a Secret) -> Answer<'a, Verdict> {
        Box::pin(self.try_password(account, password))
    }

    fn reset<'a>(&'a self, account: &'a str, password: &'a Secret, expiry: Expiry) -> Answer<'a, Expiry> {
        Box::pin(self.set_password(account, password, expiry))
    }

    fn expire<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change("must_change = 1", account))
    }

    fn unlock<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change("locked = 0, failed_binds = 0", account))
    }

    fn state<'a>(&'a self, account: &'a str) -> Answer<'a, AccountState> {
        Box::pin(async move {
            let row = self.find(account).await?;
            Ok(AccountState {
                locked: Some(row.locked != 0),
                disabled: Some(row.enabled == 0),
                must_change: Some(row.must_change != 0),
                marker: Some(PasswordMarker::new(row.revision.to_string())),
            })
        })
    }

    fn enable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change("enabled = 1", account))
    }

    fn disable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change("enabled = 0", account))
    }

    fn list_accounts<'a>(&'a self, after: Option<&'a str>, limit: usize) -> Answer<'a, Vec<String>> {
        Box::pin(self.names(after, limit))
    }

    fn test<'a>(&'a self, account: Option<&'a str>) -> Answer<'a, Vec<Check>> {
        Box::pin(async move {
            let readable = self.names(None, 1).await.err().map(|error| error.to_string());
            let mut checks = vec![Check::new("the file can be read", readable)];
            if let Some(account) = account {
                let found = self.find(account).await.err().map(|error| error.to_string());
                checks.push(Check::new(format!("{account} is found"), found));
            }
            Ok(checks)
        })
    }

    fn policy<'a>(&'a self, _account: &'a str) -> Answer<'a, Policy> {
        Box::pin(std::future::ready(Ok(self.rules.policy.clone())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{ManualClock, Timestamp};

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    async fn directory(folder: &tempfile::TempDir) -> Directory {
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(1_000)));
        let cheap = Params::new(8, 1, 1, None).unwrap();
        let directories = Directories::open_with(&folder.path().join("directory.db"), clock, cheap)
            .await
            .unwrap();
        let directory = directories.target("Mail", Rules::default());
        directory.create("ada", &secret("Old-pass-1")).await.unwrap();
        directory
    }

    #[tokio::test]
    async fn a_reset_replaces_the_password_and_moves_the_marker() {
        let folder = tempfile::tempdir().unwrap();
        let mail = directory(&folder).await;
        let before = mail.state("ada").await.unwrap().marker;
        mail.reset("ada", &secret("Neu+wort-2"), Expiry::AtNextSignIn)
            .await
            .unwrap();
        assert_eq!(
            mail.verify("ada", &secret("Old-pass-1")).await.unwrap(),
            Verdict::Rejected
        );
        assert_eq!(
            mail.verify("ada", &secret("Neu+wort-2")).await.unwrap(),
            Verdict::AcceptedMustChange
        );
        assert_ne!(mail.state("ada").await.unwrap().marker, before);
    }

    #[tokio::test]
    async fn the_fifth_wrong_password_locks_and_unlock_frees() {
        let folder = tempfile::tempdir().unwrap();
        let mail = directory(&folder).await;
        for _ in 0..4 {
            mail.verify("ada", &secret("wrong")).await.unwrap();
        }
        assert_eq!(mail.state("ada").await.unwrap().locked, Some(false));
        mail.verify("ada", &secret("wrong")).await.unwrap();
        assert_eq!(mail.state("ada").await.unwrap().locked, Some(true));
        assert_eq!(
            mail.verify("ada", &secret("Old-pass-1")).await.unwrap(),
            Verdict::Barred
        );
        mail.unlock("ada").await.unwrap();
        assert_eq!(
            mail.verify("ada", &secret("Old-pass-1")).await.unwrap(),
            Verdict::Accepted
        );
    }

    #[tokio::test]
    async fn refusals_say_why_and_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let mail = directory(&folder).await;
        let refusal = |result: Result<(), TargetError>| match result {
            Err(TargetError::Refused { refusal, .. }) => refusal,
            other => panic!("not refused: {other:?}"),
        };
        let good = secret("Neu+wort-2");
        assert_eq!(
            refusal(mail.reset("ada", &secret("short"), Expiry::Keep).await.map(drop)),
            Refusal::Policy
        );
        assert_eq!(
            refusal(mail.reset("bob", &good, Expiry::Keep).await.map(drop)),
            Refusal::NoSuchAccount
        );
        mail.disable("ada").await.unwrap();
        assert_eq!(
            refusal(mail.reset("ada", &good, Expiry::Keep).await.map(drop)),
            Refusal::Disabled
        );
        mail.enable("ada").await.unwrap();
        assert_eq!(
            mail.verify("ada", &secret("Old-pass-1")).await.unwrap(),
            Verdict::Accepted
        );
    }

    #[tokio::test]
    async fn directories_in_one_file_are_apart_and_list_in_pages() {
        let folder = tempfile::tempdir().unwrap();
        let mail = directory(&folder).await;
        mail.create("bob", &secret("x")).await.unwrap();
        let payroll = mail.shared.target("Payroll", Rules::default());
        assert_eq!(payroll.list_accounts(None, 10).await.unwrap(), Vec::<String>::new());
        assert_eq!(mail.list_accounts(None, 1).await.unwrap(), ["ada"]);
        assert_eq!(mail.list_accounts(Some("ada"), 10).await.unwrap(), ["bob"]);
    }

    #[tokio::test]
    async fn the_file_holds_no_password() {
        let folder = tempfile::tempdir().unwrap();
        let mail = directory(&folder).await;
        mail.reset("ada", &secret("Canary+wort-79"), Expiry::Keep)
            .await
            .unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let bytes = std::fs::read(entry.unwrap().path()).unwrap();
            for canary in ["Canary+wort-79", "Old-pass-1"] {
                assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()));
            }
        }
    }
}
