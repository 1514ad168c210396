//! Whether the database takes writes: tried again and again, because nothing else tells in time. A full disk, a lock that
//! is not given back, a file that was deleted under the program: calls notice one by one, and nobody hears of it.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::{ServiceError, Services};
use crate::store::setting;

/// How often a write is tried: one a second is nothing to a disk, and whoever asks is told what was so just now.
const PAUSE: Duration = Duration::from_secs(1);

/// A write that takes longer than this makes callers wait.
const LONG: Duration = Duration::from_secs(3);

/// The setting that is written.
const SETTING: &str = "watch.written_ms";

/// What the last try has shown.
#[derive(Debug, Default)]
pub(super) struct Condition {
    failing: AtomicBool,
}

impl Services {
    /// Whether the database took the last write that was tried. True before the first try: a program whose database
    /// takes none does not start.
    #[must_use]
    pub fn database_takes_writes(&self) -> bool {
        !self.0.database.failing.load(Ordering::Relaxed)
    }

    /// Tries, for ever.
    pub(super) async fn watch_database(&self) {
        loop {
            self.try_database().await;
            sleep(PAUSE).await;
        }
    }

    async fn try_database(&self) {
        let mut writing = pin!(self.write_something());
        let result = match timeout(LONG, &mut writing).await {
            Ok(result) => result,
            Err(_) => {
                if self.note_writes(false) {
                    tracing::error!("the database takes no writes: it has not answered for {LONG:?}");
                }
                // Given up, it would hold a connection all the same, and the next try another one.
                writing.await
            }
        };
        match result {
            Ok(()) => {
                if self.note_writes(true) {
                    tracing::info!("the database takes writes again");
                }
            }
            Err(error) => {
                if self.note_writes(false) {
                    tracing::error!(error = &error as &dyn std::error::Error, "the database takes no writes");
                }
            }
        }
    }

    /// Whether this is news.
    fn note_writes(&self, takes_writes: bool) -> bool {
        self.0.database.failing.swap(!takes_writes, Ordering::Relaxed) == takes_writes
    }

    async fn write_something(&self) -> Result<(), ServiceError> {
        self.store().check_in_place()?;
        self.check_name().await?;
        let mut tx = self.store().write().await?;
        setting::put(&mut tx, SETTING, &self.now().as_millis().to_string()).await?;
        Ok(tx.commit().await?)
    }
}
