//! Looks into a database, beside or after the program.

use std::path::Path;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _, ValueRef as _};

use super::{PATIENCE, block_on, database_server, wait_for};

/// An open database: a SQLite file, or one on the PostgreSQL server.
pub(crate) enum Database {
    File(SqliteConnection),
    Server(PgConnection),
}

impl Database {
    /// Opens a file that is there.
    pub(crate) fn open(file: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .busy_timeout(Duration::from_secs(20));
        Self::File(block_on(options.connect()).expect("a database"))
    }

    /// Opens a database of the server.
    pub(crate) fn on_server(name: &str) -> Self {
        let (folder, port) = database_server::socket();
        let options = PgConnectOptions::new_without_pgpass()
            .socket(folder)
            .port(port)
            .username("postgres")
            .database(name)
            .ssl_mode(PgSslMode::Disable);
        Self::Server(block_on(options.connect()).expect("a database"))
    }

    /// Runs a statement.
    pub(crate) fn run(&mut self, statement: &str) {
        let statement = sqlx::raw_sql(AssertSqlSafe(statement));
        match self {
            Self::File(file) => drop(block_on(statement.execute(file)).expect("a statement")),
            Self::Server(server) => drop(block_on(statement.execute(server)).expect("a statement")),
        }
    }

    /// The rows of a query, each column as text.
    pub(crate) fn rows(&mut self, query: &str) -> Vec<Vec<String>> {
        let lossy = |bytes: Option<Vec<u8>>| String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        match self {
            Self::File(file) => {
                let rows = block_on(sqlx::query(AssertSqlSafe(query)).fetch_all(file)).expect("a query");
                let text = |row: &sqlx::sqlite::SqliteRow, index| lossy(row.try_get_unchecked(index).expect("bytes"));
                rows.iter()
                    .map(|row| (0..row.len()).map(|index| text(row, index)).collect())
                    .collect()
            }
            Self::Server(server) => {
                // Without parameters and preparation the server answers in text.
                let rows = block_on(sqlx::raw_sql(AssertSqlSafe(query)).fetch_all(server)).expect("a query");
                let text = |row: &sqlx::postgres::PgRow, index| {
                    let value = row.try_get_raw(index).expect("a column");
                    lossy((!value.is_null()).then(|| value.as_bytes().expect("bytes").to_vec()))
                };
                rows.iter()
                    .map(|row| (0..row.len()).map(|index| text(row, index)).collect())
                    .collect()
            }
        }
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
        match self {
            Self::File(_) => self.run("begin immediate"),
            Self::Server(_) => self.run("begin; select pg_advisory_xact_lock(7277546)"),
        }
    }

    /// Gives the lock back.
    pub(crate) fn unlock(&mut self) {
        self.run("rollback");
    }

    /// The tables.
    pub(crate) fn tables(&mut self) -> Vec<String> {
        let rows = self.rows(match self {
            Self::File(_) => "select name from sqlite_master where type = 'table' and name not like 'sqlite_%'",
            Self::Server(_) => "select tablename from pg_tables where schemaname = 'public'",
        });
        rows.into_iter().map(|mut row| row.remove(0)).collect()
    }

    /// Closes it.
    pub(crate) fn close(self) {
        match self {
            Self::File(file) => block_on(file.close()).expect("closed"),
            Self::Server(server) => block_on(server.close()).expect("closed"),
        }
    }
}
