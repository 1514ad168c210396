//! Opening the database, and transactions.
//!
//! SQL is written once for SQLite and PostgreSQL: [`sqlx::Any`], `$1` placeholders, `bigint` and `text` columns only,
//! identifiers made by us, times as milliseconds. What differs between the two is how to connect and how a transaction
//! begins: `sqlite.rs`, `postgresql.rs`.
//!
//! Every statement runs inside a [`Transaction`]. Of those that write there is one at a time, whatever process or node it is
//! in. Writers of this process queue in order of arrival before they ask the database for their turn: SQLite's own
//! waiting is by sleep and retry, which is unfair under load, and on PostgreSQL each that waits there would hold a connection.

use std::path::PathBuf;
use std::sync::{Arc, Once};
use std::time::Duration;

use sqlx::AnyPool;
use sqlx::migrate::Migrator;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::StoreError;
use super::postgresql::{self, ServerConfig};
use super::sqlite::{self, OpenedFile};
use super::statements::Statements;

pub(super) static MIGRATOR: Migrator = sqlx::migrate!("migrations/store");

/// Where the database is and how it is used.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it is.
    pub place: Place,
    /// How many connections are held. Readers do not block each other or the writer; four are enough for two
    /// cores, because a statement takes well under a millisecond.
    pub max_connections: u32,
    /// How long a caller waits for their turn or for a connection, and then for the writer of another process. Five
    /// seconds: a person on the phone takes that for a pause, and only a stuck disk or a forgotten `sqlite3` shell takes
    /// longer.
    pub busy_timeout: Duration,
}

/// Where a database is.
#[derive(Clone, Debug)]
pub enum Place {
    /// In a file of this machine (SQLite). It is created, readable by its owner only.
    File(PathBuf),
    /// On a PostgreSQL server.
    Server(ServerConfig),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Server(server) => f.write_str(&server.shown()),
        }
    }
}

impl Config {
    /// The defaults for a database in a file.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            place: Place::File(path.into()),
            max_connections: 4,
            busy_timeout: Duration::from_secs(5),
        }
    }

    /// The defaults for a database on a server: twice as many connections, since a statement takes the way there and back.
    #[must_use]
    pub fn on(server: ServerConfig) -> Self {
        Self {
            place: Place::Server(server),
            max_connections: 8,
            busy_timeout: Duration::from_secs(5),
        }
    }
}

/// The open database; cheap to clone.
#[derive(Clone, Debug)]
pub struct Store {
    pool: AnyPool,
    writers: Arc<Mutex<()>>,
    busy_timeout: Duration,
    opened: Arc<Opened>,
}

#[derive(Debug)]
enum Opened {
    File(OpenedFile),
    Server(ServerConfig),
}

impl Store {
    /// Opens the database, creates its file if need be, and brings its tables to this version.
    ///
    /// # Errors
    /// [`StoreError::File`] when the file cannot be made, [`StoreError::Unreachable`] when the server does not let us in,
    /// [`StoreError::Migration`] when the tables are not ours.
    pub async fn open(config: &Config) -> Result<Self, StoreError> {
        install_drivers();
        let pool = match &config.place {
            Place::File(path) => {
                let pool = sqlite::open(path, config.max_connections, config.busy_timeout).await?;
                MIGRATOR.run(&pool).await.map_err(StoreError::Migration)?;
                pool
            }
            Place::Server(server) => postgresql::open(server, config.max_connections, config.busy_timeout).await?,
        };
        Self::with_pool(pool, config)
    }

    /// Opens a database that is there, to look only: nothing is created, migrated or written. For tools that check what
    /// they do not trust, such as the audit log of a copy.
    ///
    /// # Errors
    /// [`StoreError::File`] when there is no such file, [`StoreError::Unreachable`] when the server does not let us in.
    pub async fn open_read_only(config: &Config) -> Result<Self, StoreError> {
        install_drivers();
        let pool = match &config.place {
            Place::File(path) => sqlite::open_read_only(path, config.busy_timeout).await?,
            Place::Server(server) => postgresql::open_read_only(server, config.busy_timeout).await?,
        };
        Self::with_pool(pool, config)
    }

    fn with_pool(pool: AnyPool, config: &Config) -> Result<Self, StoreError> {
        let opened = match &config.place {
            Place::File(path) => Opened::File(OpenedFile::look(path)?),
            Place::Server(server) => Opened::Server(server.clone()),
        };
        Ok(Self {
            pool,
            writers: Arc::default(),
            busy_timeout: config.busy_timeout,
            opened: Arc::new(opened),
        })
    }

    /// Whether a file that was opened is still what its name stands for.
    ///
    /// # Errors
    /// [`StoreError::Gone`] when it is not.
    pub fn check_in_place(&self) -> Result<(), StoreError> {
        match &*self.opened {
            Opened::File(file) => file.check_in_place(),
            Opened::Server(_) => Ok(()),
        }
    }

    /// The server that it is on, if it is on one.
    pub(super) fn server(&self) -> Option<&ServerConfig> {
        match &*self.opened {
            Opened::File(_) => None,
            Opened::Server(server) => Some(server),
        }
    }

    /// Begins a transaction that only reads: it sees one state of the database throughout.
    ///
    /// # Errors
    /// When no connection comes free in time.
    pub async fn read(&self) -> Result<Transaction, StoreError> {
        match &*self.opened {
            Opened::File(_) => Ok(self.transaction(self.pool.begin().await?, None)),
            Opened::Server(_) => Ok(self.transaction(self.begin(postgresql::BEGIN_READ).await?, None)),
        }
    }

    /// Begins a transaction that may write. It is alone: what it reads stays true until it commits.
    ///
    /// # Errors
    /// [`StoreError::Busy`] when another process keeps writing.
    pub async fn write(&self) -> Result<Transaction, StoreError> {
        // Each of those in front may wait for the other process in vain: without a limit here, the last one would wait
        // for as long as all of them together.
        let turn = tokio::time::timeout(self.busy_timeout, self.writers.clone().lock_owned())
            .await
            .map_err(|_| sqlx::Error::PoolTimedOut)?;
        match &*self.opened {
            Opened::File(_) => {
                let inner = self.pool.begin_with(sqlite::BEGIN_WRITE).await?;
                Ok(self.transaction(inner, Some(turn)))
            }
            Opened::Server(_) => {
                let inner = self.begin(postgresql::BEGIN_WRITE).await?;
                let mut transaction = self.transaction(inner, Some(turn));
                postgresql::take_turn(&mut transaction).await?;
                Ok(transaction)
            }
        }
    }

    async fn begin(&self, statement: &'static str) -> Result<sqlx::Transaction<'static, sqlx::Any>, StoreError> {
        match tokio::time::timeout(postgresql::ANSWER, self.pool.begin_with(statement)).await {
            Ok(begun) => Ok(begun?),
            Err(_) => Err(StoreError::Busy(postgresql::late())),
        }
    }

    fn transaction(
        &self,
        inner: sqlx::Transaction<'static, sqlx::Any>,
        turn: Option<OwnedMutexGuard<()>>,
    ) -> Transaction {
        Transaction {
            statements: Statements {
                transaction: inner,
                limit: self.server().map(|_| postgresql::ANSWER),
                failed: false,
            },
            _turn: turn,
        }
    }

    /// Closes every connection; SQLite folds the write-ahead log into the file.
    pub async fn close(&self) {
        match &*self.opened {
            Opened::File(_) => self.pool.close().await,
            // A server that is gone takes no goodbye.
            Opened::Server(_) => drop(tokio::time::timeout(self.busy_timeout, self.pool.close()).await),
        }
    }
}

/// One unit of work: all of it becomes true at [`Self::commit`], or nothing does when it is dropped.
pub struct Transaction {
    // Dropped in this order: the next writer must find the rollback under way.
    statements: Statements,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Transaction {
    /// Makes all of it true and durable. Not after a statement that has failed: then nothing of it becomes true.
    ///
    /// # Errors
    /// When the disk fails, or the server does not answer; what was done is then unknown until the database is read again.
    pub async fn commit(self) -> Result<(), StoreError> {
        let Statements {
            transaction,
            limit,
            failed,
        } = self.statements;
        if failed {
            return Err(sqlx::Error::Protocol("a statement of this transaction has failed".to_owned()).into());
        }
        match limit {
            None => Ok(transaction.commit().await?),
            Some(limit) => match tokio::time::timeout(limit, transaction.commit()).await {
                Ok(committed) => Ok(committed?),
                Err(_) => Err(postgresql::late().into()),
            },
        }
    }

    pub(super) fn connection(&mut self) -> &mut Statements {
        &mut self.statements
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transaction")
    }
}

pub(super) fn install_drivers() {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(sqlx::any::install_default_drivers);
}

#[cfg(test)]
impl Transaction {
    /// How SQLite would carry out a statement with two parameters.
    pub(crate) async fn plan(&mut self, statement: &'static str) -> Vec<String> {
        let explain = sqlx::AssertSqlSafe(format!("explain query plan {statement}"));
        let rows: Vec<(i64, i64, i64, String)> = sqlx::query_as(explain)
            .bind("1")
            .bind(1_i64)
            .fetch_all(self.connection())
            .await
            .unwrap();
        rows.into_iter().map(|(.., step)| step).collect()
    }

    /// Does what the program itself never does, such as tampering.
    pub(crate) async fn execute(&mut self, statement: &'static str) {
        sqlx::query(statement).execute(self.connection()).await.unwrap();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use sqlx::Executor as _;

    use super::*;
    use crate::store::{setting, testing};

    #[tokio::test]
    async fn the_file_is_private_and_any_name_will_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("odd ?name#50%.db");
        let store = Store::open(&Config::new(&path)).await.unwrap();
        let mut tx = store.write().await.unwrap();
        setting::put(&mut tx, "a", "b").await.unwrap();
        tx.commit().await.unwrap();
        for suffix in ["", "-wal"] {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            let mode = std::fs::metadata(&name).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{name:?}");
        }
    }

    /// SQLite ends a transaction by itself when there is no room; the driver went on believing in it, and the connection
    /// refused every transaction until the program was started again.
    #[tokio::test]
    async fn a_full_disk_is_forgotten_when_there_is_room_again() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config {
            max_connections: 1,
            ..Config::new(directory.path().join("a.db"))
        };
        let store = Store::open(&config).await.unwrap();
        let mut tx = store.write().await.unwrap();
        tx.connection().execute("pragma max_page_count = 1").await.unwrap();
        let no_room = setting::put(&mut tx, "a", &"b".repeat(1_000_000)).await;
        assert!(no_room.is_err());
        drop(tx);
        let mut tx = store.write().await.unwrap();
        setting::put(&mut tx, "a", "b").await.unwrap();
        tx.commit().await.unwrap();
    }

    #[tokio::test]
    async fn a_file_that_was_removed_or_replaced_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let store = Store::open(&Config::new(&path)).await.unwrap();
        assert!(store.check_in_place().is_ok());
        let moved = directory.path().join("b.db");
        std::fs::rename(&path, &moved).unwrap();
        assert!(matches!(store.check_in_place(), Err(StoreError::Gone { .. })));
        std::fs::write(&path, "another").unwrap();
        assert!(matches!(store.check_in_place(), Err(StoreError::Gone { .. })));
        std::fs::rename(&moved, &path).unwrap();
        assert!(store.check_in_place().is_ok());
    }

    #[tokio::test]
    async fn looking_creates_and_changes_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.db");
        let config = Config::new(&path);
        assert!(matches!(
            Store::open_read_only(&config).await,
            Err(StoreError::File { .. })
        ));
        assert!(!path.exists());
        Store::open(&config).await.unwrap();
        let looking = Store::open_read_only(&config).await.unwrap();
        let mut tx = looking.read().await.unwrap();
        assert_eq!(setting::find(&mut tx, "a").await.unwrap(), None);
        assert!(setting::put(&mut tx, "a", "b").await.is_err());
    }

    #[tokio::test]
    async fn a_dropped_transaction_leaves_nothing_and_frees_the_next_writer() {
        let directory = tempfile::tempdir().unwrap();
        let store = testing::open(directory.path().join("a.db")).await;
        let mut tx = store.write().await.unwrap();
        setting::put(&mut tx, "a", "b").await.unwrap();
        drop(tx);
        let mut tx = store.write().await.unwrap();
        assert_eq!(setting::find(&mut tx, "a").await.unwrap(), None);
    }

    /// Ten writers waited fifty seconds for a lock that each of them gives up after five.
    #[tokio::test]
    async fn many_writers_give_up_as_soon_as_one() {
        let directory = tempfile::tempdir().unwrap();
        let config = Config {
            busy_timeout: Duration::from_secs(1),
            ..testing::config(directory.path().join("a.db")).await
        };
        let (store, other) = (Store::open(&config).await.unwrap(), Store::open(&config).await.unwrap());
        let lock = other.write().await.unwrap();
        let begun = crate::time::monotonic();
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..10 {
            let store = store.clone();
            writers.spawn(async move { store.write().await.map(drop) });
        }
        let results = writers.join_all().await;
        assert!(
            results.iter().all(|result| matches!(result, Err(StoreError::Busy(_)))),
            "{results:?}"
        );
        let waited = crate::time::monotonic() - begun;
        // Not one after the other.
        assert!(waited < Duration::from_secs(6), "{waited:?}");
        drop(lock);
        assert!(store.write().await.is_ok());
    }

    #[tokio::test]
    async fn readers_go_on_while_somebody_writes() {
        let directory = tempfile::tempdir().unwrap();
        let store = testing::open(directory.path().join("a.db")).await;
        let mut writer = store.write().await.unwrap();
        setting::put(&mut writer, "a", "b").await.unwrap();
        let mut reader = store.read().await.unwrap();
        assert_eq!(setting::find(&mut reader, "a").await.unwrap(), None);
        writer.commit().await.unwrap();
        assert_eq!(setting::find(&mut reader, "a").await.unwrap(), None);
    }

    /// PostgreSQL answers the commit of a transaction in which a statement has failed, and has rolled it back.
    #[tokio::test]
    async fn what_has_failed_in_part_is_not_committed() {
        let directory = tempfile::tempdir().unwrap();
        let store = testing::open(directory.path().join("a.db")).await;
        let mut tx = store.write().await.unwrap();
        setting::put(&mut tx, "a", "b").await.unwrap();
        let statement = sqlx::query("insert into settings (name, value) values ('a', 'c')");
        assert!(statement.execute(tx.connection()).await.is_err());
        assert!(tx.commit().await.is_err());
        let mut tx = store.read().await.unwrap();
        assert_eq!(setting::find(&mut tx, "a").await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_reader_sees_one_state_and_writes_nothing_on_a_server() {
        let directory = tempfile::tempdir().unwrap();
        let store = testing::open(directory.path().join("a.db")).await;
        let mut reader = store.read().await.unwrap();
        assert_eq!(setting::find(&mut reader, "a").await.unwrap(), None);
        let mut tx = store.write().await.unwrap();
        setting::put(&mut tx, "a", "b").await.unwrap();
        tx.commit().await.unwrap();
        assert_eq!(setting::find(&mut reader, "a").await.unwrap(), None);
        if store.server().is_some() {
            assert!(setting::put(&mut reader, "c", "d").await.is_err());
        }
    }

    /// A snapshot that is older than the lock would lose one of two numbers that are counted at once.
    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn what_a_writer_reads_stays_true_until_it_commits() {
        let directory = tempfile::tempdir().unwrap();
        let config = testing::config(directory.path().join("a.db")).await;
        let stores = [Store::open(&config).await.unwrap(), Store::open(&config).await.unwrap()];
        let mut writers = tokio::task::JoinSet::new();
        for number in 0..40 {
            let store = stores[number % 2].clone();
            writers.spawn(async move {
                let mut tx = store.write().await.unwrap();
                let before = setting::find(&mut tx, "count").await.unwrap();
                let count: u32 = before.map_or(0, |count| count.parse().unwrap());
                setting::put(&mut tx, "count", &(count + 1).to_string()).await.unwrap();
                tx.commit().await.unwrap();
            });
        }
        writers.join_all().await;
        let mut tx = stores[0].read().await.unwrap();
        assert_eq!(setting::find(&mut tx, "count").await.unwrap().as_deref(), Some("40"));
    }
}
