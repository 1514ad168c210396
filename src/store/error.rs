//! What can go wrong with the database, by what a caller can do about it.

use std::path::PathBuf;

/// A failure of the database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The file cannot be created or its mode cannot be set.
    #[error("cannot use database file {path}; check that it or its directory exists and that this user may use it")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file is gone, or another one has its name: what is written now is lost when the program ends.
    #[error("the database file {path} was removed or replaced; restart passline once it is back")]
    Gone {
        /// Which file.
        path: PathBuf,
    },
    /// The server cannot be reached, or does not let us in.
    #[error("the server cannot be reached, or does not let passline in")]
    Unreachable(#[source] sqlx::Error),
    /// The tables cannot be brought to this version of the program.
    #[error("cannot migrate the database; it may belong to a newer version of passline")]
    Migration(#[source] sqlx::migrate::MigrateError),
    /// Another process holds the database for longer than we wait, or no connection came free. Nothing was written.
    #[error("the database is busy; try again")]
    Busy(#[source] sqlx::Error),
    /// A row with the same key is there already. Nothing was written.
    #[error("the row exists already")]
    Conflict(#[source] sqlx::Error),
    /// A row holds what this program never writes: somebody edited it, or a newer version did.
    #[error("{table} row {key} is damaged: {problem}")]
    Damaged {
        /// The table.
        table: &'static str,
        /// Which row.
        key: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Anything else: disk full, file handles gone, connection lost. Whether a commit took place is not known.
    #[error("the database failed")]
    Failed(#[source] sqlx::Error),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody repairing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Busy(_))
    }

    /// Whether what was to be written is in the way, so that trying again is of no use: a text or number that the database
    /// does not take, a row that is there already.
    #[must_use]
    pub fn is_of_the_data(&self) -> bool {
        match self {
            Self::Conflict(_) => true,
            Self::Failed(error) => {
                let code = error.as_database_error().and_then(|inner| inner.code());
                is_of_the_data(code.as_deref())
            }
            _ => false,
        }
    }

    /// Whether a row with this key exists already.
    #[must_use]
    pub fn is_conflict(&self) -> bool {
        matches!(self, Self::Conflict(_))
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if let sqlx::Error::PoolTimedOut = error {
            return Self::Busy(error);
        }
        match error.as_database_error() {
            Some(inner) if inner.is_unique_violation() => Self::Conflict(error),
            Some(inner) if is_busy(inner.code().as_deref()) => Self::Busy(error),
            _ => Self::Failed(error),
        }
    }
}

/// A code of either database: SQLSTATE of PostgreSQL, always five characters, or the number of SQLite, which is shorter;
/// of an extended number the low byte is the kind.
fn kind(code: &str) -> Result<u32, &str> {
    match code.len() {
        5 => Err(code),
        _ => code.parse().map(|number: u32| number & 0xff).map_err(|_| code),
    }
}

/// SQLITE_BUSY (5) and SQLITE_LOCKED (6); PostgreSQL's serialization failure, deadlock, lock time-out and statement
/// time-out.
fn is_busy(code: Option<&str>) -> bool {
    match code.map(kind) {
        Some(Err(state)) => matches!(state, "40001" | "40P01" | "55P03" | "57014"),
        Some(Ok(number)) => matches!(number, 5 | 6),
        None => false,
    }
}

/// SQLITE_TOOBIG (18), SQLITE_CONSTRAINT (19) and SQLITE_MISMATCH (20); PostgreSQL's classes of data exceptions (22) and of
/// violated constraints (23).
fn is_of_the_data(code: Option<&str>) -> bool {
    match code.map(kind) {
        Some(Err(state)) => state.starts_with("22") || state.starts_with("23"),
        Some(Ok(number)) => matches!(number, 18..=20),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_codes_of_both_databases_are_known() {
        for code in ["5", "261", "517", "6", "262", "40001", "40P01", "55P03", "57014"] {
            assert!(is_busy(Some(code)), "{code}");
        }
        // 22021 and 42501 end in the byte of SQLITE_BUSY, but are none of its numbers.
        for code in ["1", "19", "2067", "13", "23505", "22021", "42501"] {
            assert!(!is_busy(Some(code)), "{code}");
        }
    }

    #[test]
    fn what_is_in_the_data_is_told_from_what_is_in_the_database() {
        for code in ["18", "19", "2067", "20", "22021", "23505"] {
            assert!(is_of_the_data(Some(code)), "{code}");
        }
        for code in ["5", "13", "40001", "42501", "53100"] {
            assert!(!is_of_the_data(Some(code)), "{code}");
        }
    }
}
