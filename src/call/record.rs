//! Writes call records beside the calls: a slow database delays no greeting.
//!
//! One task writes in the order in which calls began and ended, everything that has come together in one transaction: a
//! commit waits for the disk, and a thousand calls a second must not wait two thousand times. Its queue is bounded;
//! when it is full, calls that end wait for a place, and so do new ones, which is how a database that has stopped is
//! felt at the door instead of in memory.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::identity::ids::CallId;
use crate::service::{CallEnd, CallEntry, CallMedia, CallStart, RemoteReception, ServiceError, Services};
use crate::telephony::media::SessionStats;

/// Beginnings and ends that may wait: a second of a very busy machine.
const QUEUE: usize = 2_048;

/// The most that go into one transaction; a few milliseconds, after which others may write.
const BATCH: usize = 256;

/// From one transaction to the next: what comes meanwhile goes together.
const PAUSE: Duration = Duration::from_millis(20);

/// How long records are tried to be written before they are given up and told in the log: longer than a backup or a
/// `sqlite3` shell holds the database, and within the time that a stop may take.
const LIMIT: Duration = Duration::from_secs(25);

/// From one try to the next.
const RETRY: Duration = Duration::from_millis(500);

/// Takes call records.
#[derive(Clone)]
pub struct CallRecords(mpsc::Sender<CallEntry>);

impl CallRecords {
    /// Starts the writer. It ends when the last clone of the returned value is dropped; the handle waits for that.
    #[must_use]
    pub fn start(services: Services) -> (Self, JoinHandle<()>) {
        let (sender, mut entries) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(async move {
            let mut batch = Vec::with_capacity(BATCH);
            while entries.recv_many(&mut batch, BATCH).await > 0 {
                write(&services, &batch).await;
                batch.clear();
                if entries.len() < BATCH {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
        (Self(sender), writer)
    }

    /// A call was answered.
    pub async fn began(&self, id: CallId, start: CallStart) {
        self.put(CallEntry::Began(id, start)).await;
    }

    /// A call is over.
    pub async fn ended(&self, id: CallId, end: CallEnd) {
        self.put(CallEntry::Ended(id, end)).await;
    }

    async fn put(&self, entry: CallEntry) {
        if self.0.send(entry).await.is_err() {
            tracing::error!("a call record is lost: its writer has stopped");
        }
    }
}

/// What the record says about the media of a call: loss and jitter here, and what the far end reported.
pub(super) fn media(codec: &str, stats: &SessionStats) -> CallMedia {
    CallMedia {
        codec: codec.to_owned(),
        sent: stats.sent,
        received: stats.received.received,
        lost: stats.received.lost,
        jitter: stats.received.jitter,
        remote: (stats.remote_reports > 0).then_some(RemoteReception {
            fraction_lost: stats.remote_fraction_lost,
            lost: stats.remote_lost,
            jitter: stats.remote_jitter,
            round_trip: stats.round_trip,
        }),
    }
}

async fn write(services: &Services, batch: &[CallEntry]) {
    let deadline = Instant::now() + LIMIT;
    let mut may_be_written = false;
    loop {
        let error = match tokio::time::timeout_at(deadline, services.record_calls(batch)).await {
            Ok(Ok(())) => return,
            // An earlier try was committed after all.
            Ok(Err(error)) if may_be_written && is_conflict(&error) => return,
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        if Instant::now() + RETRY >= deadline {
            let error = error.as_ref().map(|error| error as &dyn std::error::Error);
            return tracing::error!(
                error,
                records = batch.len(),
                "call records are lost: the database takes none"
            );
        }
        tracing::warn!(
            error = error.as_ref().map(|error| error as &dyn std::error::Error),
            "call records have to wait for the database"
        );
        may_be_written = true;
        tokio::time::sleep(RETRY).await;
    }
}

fn is_conflict(error: &ServiceError) -> bool {
    matches!(error, ServiceError::Store(error) if error.is_conflict())
}
