//! Writes call records beside the calls: a slow database delays no greeting.
//!
//! One task writes in the order in which calls began and ended. Its queue is bounded; when it is full, calls that end
//! wait for a place, and so do new ones, which is how a database that has stopped is felt at the door instead of in
//! memory.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::identity::ids::CallId;
use crate::service::{CallEnd, CallStart, ServiceError, Services};

/// Beginnings and ends that may wait: a second of a very busy machine.
const QUEUE: usize = 2_048;

/// How long one record may take before it is given up and told in the log.
const LIMIT: Duration = Duration::from_secs(15);

enum Entry {
    Began(CallId, CallStart),
    Ended(CallId, CallEnd),
}

/// Takes call records.
#[derive(Clone)]
pub struct CallRecords(mpsc::Sender<Entry>);

impl CallRecords {
    /// Starts the writer. It ends when the last clone of the returned value is dropped; the handle waits for that.
    #[must_use]
    pub fn start(services: Services) -> (Self, JoinHandle<()>) {
        let (sender, mut entries) = mpsc::channel(QUEUE);
        let writer = tokio::spawn(async move {
            while let Some(entry) = entries.recv().await {
                write(&services, entry).await;
            }
        });
        (Self(sender), writer)
    }

    /// A call was answered.
    pub async fn began(&self, id: CallId, start: CallStart) {
        self.put(Entry::Began(id, start)).await;
    }

    /// A call is over.
    pub async fn ended(&self, id: CallId, end: CallEnd) {
        self.put(Entry::Ended(id, end)).await;
    }

    async fn put(&self, entry: Entry) {
        if self.0.send(entry).await.is_err() {
            tracing::error!("a call record is lost: its writer has stopped");
        }
    }
}

async fn write(services: &Services, entry: Entry) {
    let writing = async {
        match entry {
            Entry::Began(id, start) => services.record_call_start(id, start).await,
            Entry::Ended(id, end) => services.record_call_end(id, end).await,
        }
    };
    let result: Result<(), ServiceError> = match tokio::time::timeout(LIMIT, writing).await {
        Ok(result) => result,
        Err(_) => return tracing::error!("a call record is lost: the database does not answer"),
    };
    if let Err(error) = result {
        tracing::error!(error = &error as &dyn std::error::Error, "a call record is lost");
    }
}
