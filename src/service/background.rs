//! What runs beside the doors while the program is up: deliveries, recovery, tidying, and a look whether the database
//! takes writes. It decides nothing; it only says when.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, sleep};
use tokio_util::sync::CancellationToken;

use super::{OutboxLimits, ServiceError, Services, Sink};

/// How often the outbox is looked at when it holds less than a batch. A mail that leaves a second after the call is soon enough.
const OUTBOX_PAUSE: Duration = Duration::from_secs(1);

/// How often open changes are looked for. An intent of a dead process should be told the same minute.
const RECOVERY: Duration = Duration::from_secs(5);

/// How often what is over is deleted.
const TIDYING: Duration = Duration::from_secs(60);

impl Services {
    /// Runs until `stop`. A failure is logged and the work tried again later: a database that is busy for a minute must
    /// not end the deliveries of the day.
    pub async fn run_background(&self, sinks: Vec<Arc<dyn Sink>>, limits: OutboxLimits, stop: CancellationToken) {
        let work = async {
            tokio::join!(
                self.keep_delivering(&sinks, &limits),
                self.keep_house(),
                self.watch_database()
            )
        };
        tokio::select! {
            () = stop.cancelled() => {}
            _ = work => {}
        }
    }

    async fn keep_delivering(&self, sinks: &[Arc<dyn Sink>], limits: &OutboxLimits) {
        loop {
            let claimed = self.deliver_due(sinks, limits).await;
            // A full batch has more behind it. What comes in one by one is collected for a moment: half a batch costs the
            // database as much as a whole one.
            if logged("deliver events", claimed).unwrap_or(0) < limits.batch as usize {
                sleep(OUTBOX_PAUSE).await;
            }
        }
    }

    async fn keep_house(&self) {
        let (mut recovery, mut tidying) = (interval(RECOVERY), interval(TIDYING));
        recovery.set_missed_tick_behavior(MissedTickBehavior::Delay);
        tidying.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                // A node that may have lost its name does not know which changes are its own.
                _ = recovery.tick(), if self.database_takes_writes() => {
                    logged("resolve open changes", self.recover().await).map(drop)
                }
                _ = tidying.tick() => logged("tidy the database", self.tidy().await),
            };
        }
    }
}

fn logged<T>(work: &str, result: Result<T, ServiceError>) -> Option<T> {
    result
        .inspect_err(|error| tracing::warn!(error = error as &dyn std::error::Error, "cannot {work} now"))
        .ok()
}
