//! SQLite: an embedded database in one file.

use std::fmt::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::{AnyConnection, AnyPool, Connection as _, Executor as _};

use super::StoreError;

/// A writer takes the write lock when it begins: a transaction that reads first and writes later would otherwise fail in
/// the middle when somebody else wrote in between.
pub(super) const BEGIN_WRITE: &str = "begin immediate";

/// Opens the file, creates it if need be.
pub(super) async fn open(path: &Path, connections: u32, busy_timeout: Duration) -> Result<AnyPool, StoreError> {
    create_private(path).map_err(|source| file_error(path, source))?;
    let options: AnyConnectOptions = url(path).parse()?;
    let busy_timeout_ms = busy_timeout.as_millis();
    // A new file is made one for WAL by one connection: of several at once some would be refused, and say so in the log.
    // Whatever fails here fails again below.
    if let Ok(mut first) = AnyConnection::connect_with(&options).await {
        let _ = configure(&mut first, busy_timeout_ms).await;
        let _ = first.close().await;
    }
    let pool = AnyPoolOptions::new()
        .max_connections(connections)
        // All of them, for good: when file handles run out, calls in progress must not need new ones.
        .min_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .acquire_timeout(busy_timeout)
        .after_connect(move |connection, _| Box::pin(async move { configure(connection, busy_timeout_ms).await }))
        // SQLite ends a transaction by itself when the disk is full, and the driver does not notice: such a
        // connection would refuse every transaction to come. It is closed, and another one opened.
        .before_acquire(|connection, _| {
            let usable = !connection.is_in_transaction();
            Box::pin(async move { Ok(usable) })
        })
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// Opens a file that is there, to look only.
pub(super) async fn open_read_only(path: &Path, busy_timeout: Duration) -> Result<AnyPool, StoreError> {
    OpenedFile::look(path)?;
    let options: AnyConnectOptions = format!("{}?mode=ro", url(path)).parse()?;
    let pool = AnyPoolOptions::new()
        .max_connections(1)
        .acquire_timeout(busy_timeout)
        .connect_with(options)
        .await?;
    Ok(pool)
}

/// Which file was opened: its name, and what the file system knows it by.
#[derive(Debug)]
pub(super) struct OpenedFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl OpenedFile {
    pub(super) fn look(path: &Path) -> Result<Self, StoreError> {
        let metadata = std::fs::metadata(path).map_err(|source| file_error(path, source))?;
        Ok(Self {
            path: path.to_owned(),
            device: metadata.dev(),
            inode: metadata.ino(),
        })
    }

    /// Whether its name still stands for it. SQLite does not notice: it writes into the removed file for as long as the
    /// program runs.
    pub(super) fn check_in_place(&self) -> Result<(), StoreError> {
        match Self::look(&self.path) {
            Ok(found) if (found.device, found.inode) == (self.device, self.inode) => Ok(()),
            _ => Err(StoreError::Gone {
                path: self.path.clone(),
            }),
        }
    }
}

fn file_error(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::File {
        path: path.to_owned(),
        source,
    }
}

/// WAL: readers go on while somebody writes. `synchronous = full`: a committed intent survives a power cut, which
/// `normal` does not promise in WAL mode. The time-out comes first: the others may have to wait.
async fn configure(connection: &mut AnyConnection, busy_timeout_ms: u128) -> Result<(), sqlx::Error> {
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
fn url(path: &Path) -> String {
    let mut url = String::from("sqlite://");
    escape(&mut url, path.as_os_str().as_encoded_bytes());
    url
}

/// Adds text to a URL so that nothing in it means anything there.
pub(super) fn escape(url: &mut String, text: &[u8]) {
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"/._-".contains(&byte) {
            url.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(url, "%{byte:02X}");
        }
    }
}
