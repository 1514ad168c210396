//! Looks into a SQLite file, beside or after the program.

use std::path::Path;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};

use super::{PATIENCE, block_on, wait_for};

/// An open SQLite file.
pub(crate) struct Database(SqliteConnection);

impl Database {
    /// Opens a file that is there.
    pub(crate) fn open(file: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .busy_timeout(Duration::from_secs(20));
        Self(block_on(options.connect()).expect("a database"))
    }

    /// Runs a statement.
    pub(crate) fn run(&mut self, statement: &str) {
        block_on(sqlx::query(AssertSqlSafe(statement)).execute(&mut self.0)).expect("a statement");
    }

    /// The rows of a query, each column as text.
    pub(crate) fn rows(&mut self, query: &str) -> Vec<Vec<String>> {
        let rows = block_on(sqlx::query(AssertSqlSafe(query)).fetch_all(&mut self.0)).expect("a query");
        let text = |row: &sqlx::sqlite::SqliteRow, index| {
            let bytes: Option<Vec<u8>> = row.try_get_unchecked(index).expect("bytes");
            String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
        };
        rows.iter()
            .map(|row| (0..row.len()).map(|index| text(row, index)).collect())
            .collect()
    }

    /// The only value of a query.
    pub(crate) fn value(&mut self, query: &str) -> String {
        let rows = self.rows(query);
        assert_eq!(rows.len(), 1, "{query}");
        rows[0][0].clone()
    }

    /// Waits until a query has this value.
    pub(crate) fn wait_for_value(&mut self, query: &str, value: &str) {
        wait_for(&format!("{query} = {value}"), PATIENCE, || {
            (self.value(query) == value).then_some(())
        });
    }

    /// Takes the lock of writers until [`Self::unlock`]: readers go on, other writers wait.
    pub(crate) fn lock(&mut self) {
        self.run("begin immediate");
    }

    /// Gives the lock back.
    pub(crate) fn unlock(&mut self) {
        self.run("rollback");
    }

    /// The tables.
    pub(crate) fn tables(&mut self) -> Vec<String> {
        let rows = self.rows("select name from sqlite_master where type = 'table' and name not like 'sqlite_%'");
        rows.into_iter().map(|mut row| row.remove(0)).collect()
    }

    /// Closes it.
    pub(crate) fn close(self) {
        block_on(self.0.close()).expect("closed");
    }
}
