//! Writes call records beside the calls: a slow database delays no greeting.
//!
//! One task writes in the order in which calls began and ended, everything that has come together in one transaction: a
//! commit waits for the disk, and a thousand calls a second must not wait two thousand times. Its queue is bounded;
//! when it is full, calls that end wait for a place, and so do new ones, which is how a database that has stopped is
//! felt at the door instead of in memory. A record that the database does not take costs nobody else's.

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

    /// A call was answered; `client` is the API user that carries it, if one does.
    pub async fn began(&self, id: CallId, client: Option<&str>, start: CallStart) {
        self.put(CallEntry::began(id, client, start)).await;
    }

    /// A call is over.
    pub async fn ended(&self, id: CallId, client: Option<&str>, end: CallEnd) {
        self.put(CallEntry::ended(id, client, end)).await;
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

/// What came of a try to write.
enum Tried {
    Written,
    /// Nothing was written, and no second try would help: something in it is not taken.
    Refused(ServiceError),
    /// For as long as it was tried, the database has not said that they are written.
    Late,
}

/// Writes all of them; if one is not taken, the others.
async fn write(services: &Services, batch: &[CallEntry]) {
    let deadline = Instant::now() + LIMIT;
    let lost = |error: Option<&ServiceError>, records: usize| {
        services.metrics().call_records_lost.add(records);
        let error = error.map(|error| error as &dyn std::error::Error);
        tracing::error!(error, records, "call records are lost: the database does not take them");
    };
    match try_to_write(services, batch, deadline).await {
        Tried::Written => {}
        Tried::Late => lost(None, batch.len()),
        Tried::Refused(error) if batch.len() == 1 => lost(Some(&error), 1),
        Tried::Refused(_) => {
            for entry in batch.chunks(1) {
                match try_to_write(services, entry, deadline).await {
                    Tried::Written => {}
                    Tried::Late => lost(None, 1),
                    Tried::Refused(error) => lost(Some(&error), 1),
                }
            }
        }
    }
}

/// Writes them in one transaction, as soon as the database can.
async fn try_to_write(services: &Services, entries: &[CallEntry], deadline: Instant) -> Tried {
    let mut may_be_written = false;
    loop {
        let record = async {
            match may_be_written {
                false => services.record_calls(entries).await,
                // An earlier try may have been committed after all.
                true => services.record_calls_again(entries).await,
            }
        };
        let error = match tokio::time::timeout_at(deadline, record).await {
            Ok(Ok(())) => return Tried::Written,
            Ok(Err(ServiceError::Store(error))) if error.is_of_the_data() => return Tried::Refused(error.into()),
            Ok(Err(error)) => Some(error),
            Err(_) => None,
        };
        tracing::warn!(
            error = error.as_ref().map(|error| error as &dyn std::error::Error),
            "call records have to wait for the database"
        );
        if Instant::now() + RETRY >= deadline {
            return Tried::Late;
        }
        may_be_written = true;
        tokio::time::sleep(RETRY).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::tests::House;
    use crate::time::{Clock as _, Timestamp};

    fn start(now: Timestamp, id: CallId) -> CallStart {
        CallStart {
            id: id.to_string(),
            door: "phone".to_owned(),
            trunk: None,
            dialplan: None,
            caller: None,
            called: None,
            started: now,
        }
    }

    #[tokio::test]
    async fn a_record_that_is_not_taken_costs_nobody_elses() {
        let house = House::build().await;
        let services = &house.services;
        let now = house.clock.now();
        let began = |id: CallId| CallEntry::began(id, None, start(now, id));
        let ids = [(); 3].map(|()| services.new_call_id());
        write(services, &[began(ids[0])]).await;
        write(services, &[began(ids[1]), began(ids[0]), began(ids[2])]).await;
        let later = now.plus(Duration::from_secs(1));
        let mut records: Vec<String> = services
            .call_records(later, 10)
            .await
            .expect("records")
            .into_iter()
            .map(|record| record.start.id)
            .collect();
        records.sort_unstable();
        let mut all = ids.map(|id| id.to_string());
        all.sort_unstable();
        assert_eq!(records, all);
        assert_eq!(services.metrics().call_records_lost.count(), 1);
    }
}
