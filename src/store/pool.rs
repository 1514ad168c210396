//! Opening the database, and transactions.
//!
//! SQL is written once for SQLite and PostgreSQL: [`sqlx::Any`], `$1` placeholders, `bigint`, `text` and `blob`-like
//! columns only, identifiers made by us, times as milliseconds. What differs between the two lives in this file: how to
//! connect and how a transaction begins. (PostgreSQL is a further arm of both: `begin` for writers, whose statements lock
//! the rows they are about, `begin isolation level repeatable read read only` for readers; and the feature `postgres` of
//! sqlx.)
//!
//! Every statement runs inside a [`Transaction`]. A writing transaction takes SQLite's write lock when it begins
//! (`begin immediate`): a transaction that reads first and writes later would otherwise fail in the middle when
//! somebody else wrote in between. Writers of this process queue in order of arrival before that, because SQLite's own
//! waiting is by sleep and retry, which is unfair under load.

use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _};
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::StoreError;

/// Where the database is and how it is used.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file of the embedded database. It is created, readable by its owner only.
    pub path: PathBuf,
    /// How many connections are held. Readers do not block each other or the writer (WAL); four are enough for two
    /// cores, because a statement takes well under a millisecond.
    pub max_connections: u32,
    /// How long a caller waits for their turn or for a connection, and then for the write lock of another process. Five
    /// seconds: a person on the phone takes that for a pause, and only a stuck disk or a forgotten `sqlite3` shell takes
    /// longer.
    pub busy_timeout: Duration,
}

impl Config {
    /// The defaults for a database at `path`.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            max_connections: 4,
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
    file: Arc<OpenedFile>,
}

/// Which file was opened: its name, and what the file system knows it by.
#[derive(Debug)]
struct OpenedFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OpenedFile {
    fn look(path: &Path) -> std::io::Result<Self> {
        let metadata = std::fs::metadata(path)?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }
}

impl Store {
    /// Opens the database, creates it if need be, and brings its tables to this version.
    ///
    /// # Errors
    /// [`StoreError::File`] when the file cannot be made, [`StoreError::Migration`] when the tables are not ours.
    pub async fn open(config: &Config) -> Result<Self, StoreError> {
        install_drivers();
        create_private(&config.path).map_err(|source| StoreError::File {
            path: config.path.clone(),
            source,
        })?;
        let options: AnyConnectOptions = sqlite_url(&config.path).parse()?;
        let busy_timeout_ms = config.busy_timeout.as_millis();
        let pool = AnyPoolOptions::new()
            .max_connections(config.max_connections)
            // All of them, for good: when file handles run out, calls in progress must not need new ones.
            .min_connections(config.max_connections)
            .idle_timeout(None)
            .max_lifetime(None)
            .acquire_timeout(config.busy_timeout)
            .after_connect(move |connection, _| {
                Box::pin(async move { configure_sqlite(connection, busy_timeout_ms).await })
            })
            // SQLite ends a transaction by itself when the disk is full, and the driver does not notice: such a
            // connection would refuse every transaction to come. It is closed, and another one opened.
            .before_acquire(|connection, _| {
                let usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(usable) })
            })
            .connect_with(options)
            .await?;
        sqlx::migrate!("migrations/store")
            .run(&pool)
            .await
            .map_err(StoreError::Migration)?;
        Self::with_pool(pool, config)
    }

    /// Opens a database that is there, to look only: nothing is created, migrated or written. For tools that check what
    /// they do not trust, such as the audit log of a copy.
    ///
    /// # Errors
    /// [`StoreError::File`] when there is no such file.
    pub async fn open_read_only(config: &Config) -> Result<Self, StoreError> {
        install_drivers();
        OpenedFile::look(&config.path).map_err(|source| StoreError::File {
            path: config.path.clone(),
            source,
        })?;
        let options: AnyConnectOptions = format!("{}?mode=ro", sqlite_url(&config.path)).parse()?;
        let pool = AnyPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(config.busy_timeout)
            .connect_with(options)
            .await?;
        Self::with_pool(pool, config)
    }

    fn with_pool(pool: AnyPool, config: &Config) -> Result<Self, StoreError> {
        let file = OpenedFile::look(&config.path).map_err(|source| StoreError::File {
            path: config.path.clone(),
            source,
        })?;
        Ok(Self {
            pool,
            writers: Arc::default(),
            busy_timeout: config.busy_timeout,
            file: Arc::new(file),
        })
    }

    /// Whether the file that was opened is still what its name stands for. SQLite does not notice: it writes into the
    /// removed file for as long as the program runs.
    ///
    /// # Errors
    /// [`StoreError::Gone`] when it is not.
    pub fn check_in_place(&self) -> Result<(), StoreError> {
        let opened = &*self.file;
        match OpenedFile::look(&opened.path) {
            Ok(found) if (found.device, found.inode) == (opened.device, opened.inode) => Ok(()),
            _ => Err(StoreError::Gone {
                path: opened.path.clone(),
            }),
        }
    }

    /// Begins a transaction that only reads: it sees one state of the database throughout.
    ///
    /// # Errors
    /// When no connection comes free in time.
    pub async fn read(&self) -> Result<Transaction, StoreError> {
        Ok(Transaction {
            inner: self.pool.begin().await?,
            _turn: None,
        })
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
        Ok(Transaction {
            inner: self.pool.begin_with("begin immediate").await?,
            _turn: Some(turn),
        })
    }

    /// Closes every connection and folds the write-ahead log into the file.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// One unit of work: all of it becomes true at [`Self::commit`], or nothing does when it is dropped.
pub struct Transaction {
    // Dropped in this order: the next writer must find the rollback under way.
    inner: sqlx::Transaction<'static, sqlx::Any>,
    _turn: Option<OwnedMutexGuard<()>>,
}

impl Transaction {
    /// Makes all of it true and durable.
    ///
    /// # Errors
    /// When the disk fails; what was done is then unknown until the database is read again.
    pub async fn commit(self) -> Result<(), StoreError> {
        Ok(self.inner.commit().await?)
    }

    pub(super) fn connection(&mut self) -> &mut AnyConnection {
        &mut self.inner
    }
}

impl std::fmt::Debug for Transaction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Transaction")
    }
}

fn install_drivers() {
    static DRIVERS: Once = Once::new();
    DRIVERS.call_once(sqlx::any::install_default_drivers);
}

/// WAL: readers go on while somebody writes. `synchronous = full`: a committed intent survives a power cut, which
/// `normal` does not promise in WAL mode. The time-out comes first: the others may have to wait.
async fn configure_sqlite(connection: &mut AnyConnection, busy_timeout_ms: u128) -> Result<(), sqlx::Error> {
    let pragmas = format!(
        "pragma busy_timeout = {busy_timeout_ms}; pragma journal_mode = wal; pragma synchronous = full; \
         pragma foreign_keys = on; pragma secure_delete = on; pragma temp_store = memory;"
    );
    connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(pragmas))).await?;
    Ok(())
}

/// Creates the file for its owner alone, and takes rights away from others if it exists. SQLite gives its `-wal` and
/// `-shm` files the mode of the database.
fn create_private(path: &Path) -> std::io::Result<()> {
    let file = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(std::fs::Permissions::from_mode(0o600))
}

/// The path as a URL: everything but the plainest characters is escaped, so that `?`, `#`, `%` and spaces are names.
fn sqlite_url(path: &Path) -> String {
    let mut url = String::from("sqlite://");
    for &byte in path.as_os_str().as_encoded_bytes() {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
    url
}

/// What only tests do to a database.
#[cfg(test)]
impl Store {
    /// Writes a copy to another file.
    pub(crate) async fn copy_to(&self, path: &str) {
        sqlx::query("vacuum into $1")
            .bind(path)
            .execute(&self.pool)
            .await
            .unwrap();
    }
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
    use super::*;
    use crate::store::setting;

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
        let config = Config::new(directory.path().join("a.db"));
        assert!(matches!(
            Store::open_read_only(&config).await,
            Err(StoreError::File { .. })
        ));
        assert!(!config.path.exists());
        Store::open(&config).await.unwrap();
        let looking = Store::open_read_only(&config).await.unwrap();
        let mut tx = looking.read().await.unwrap();
        assert_eq!(setting::find(&mut tx, "a").await.unwrap(), None);
        assert!(setting::put(&mut tx, "a", "b").await.is_err());
    }

    #[tokio::test]
    async fn a_dropped_transaction_leaves_nothing_and_frees_the_next_writer() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&Config::new(directory.path().join("a.db"))).await.unwrap();
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
            busy_timeout: Duration::from_millis(200),
            ..Config::new(directory.path().join("a.db"))
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
        assert!(waited < Duration::from_millis(1_200), "{waited:?}");
        drop(lock);
        assert!(store.write().await.is_ok());
    }

    #[tokio::test]
    async fn readers_go_on_while_somebody_writes() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&Config::new(directory.path().join("a.db"))).await.unwrap();
        let mut writer = store.write().await.unwrap();
        setting::put(&mut writer, "a", "b").await.unwrap();
        let mut reader = store.read().await.unwrap();
        assert_eq!(setting::find(&mut reader, "a").await.unwrap(), None);
        writer.commit().await.unwrap();
        assert_eq!(setting::find(&mut reader, "a").await.unwrap(), None);
    }
}
