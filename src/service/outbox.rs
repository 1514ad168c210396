//! Telling others what happened: the worker of the outbox.
//!
//! At least once: a delivery is claimed for a while, made, and only then ticked off; a worker that dies in between
//! leaves it for the next one. A sink that must not act twice uses [`Delivery::sequence`] as its idempotency key.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::config::seconds;
use super::{ServiceError, Services};
use crate::store::outbox::{self, Backlog, Delivery};
use crate::time::monotonic;

/// Deliveries that arrived are ticked off together, but none waits longer than this for it: what a crash in between
/// makes the next worker repeat is a moment's work, not a batch of slow mails.
const NOTE_AFTER: Duration = Duration::from_millis(100);

/// The answer of a sink, some time from now.
pub type Sent<'a> = Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'a>>;

/// Somebody who is told of events: a log, a mailer, a ticket system.
pub trait Sink: Send + Sync + 'static {
    /// The name that its rows carry.
    fn name(&self) -> &str;

    /// Tells it.
    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> Sent<'a>;
}

/// Why a sink was not told. The text never holds a secret; it is kept in the database.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// It may work later.
    #[error("{0}")]
    Transient(String),
    /// It never will: the delivery is given up at once.
    #[error("{0}")]
    Permanent(String),
}

/// How deliveries are tried.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OutboxLimits {
    /// How many are claimed at once.
    pub batch: u32,
    /// How long they are claimed: a worker that dies leaves them to the next one after this. No less than `delivery`.
    #[serde(rename = "lease_seconds", deserialize_with = "seconds")]
    pub lease: Duration,
    /// How long one may take. Thirty seconds: slow mail servers greylist by waiting.
    #[serde(rename = "delivery_seconds", deserialize_with = "seconds")]
    pub delivery: Duration,
    /// Pause after the first failure; doubled each time, up to `max_pause`.
    #[serde(rename = "pause_seconds", deserialize_with = "seconds")]
    pub pause: Duration,
    /// The longest pause.
    #[serde(rename = "max_pause_seconds", deserialize_with = "seconds")]
    pub max_pause: Duration,
    /// After how many tries it is given up. Twenty: with the pauses above that is most of a day.
    pub tries: u32,
}

impl Default for OutboxLimits {
    fn default() -> Self {
        Self {
            batch: 250,
            lease: Duration::from_secs(5 * 60),
            delivery: Duration::from_secs(30),
            pause: Duration::from_secs(5),
            max_pause: Duration::from_secs(60 * 60),
            tries: 20,
        }
    }
}

impl OutboxLimits {
    /// The pause after this many tries; `None` when it is given up.
    fn pause_after(&self, tries: u32) -> Option<Duration> {
        let doublings = tries.saturating_sub(1).min(31);
        (tries < self.tries).then(|| self.pause.saturating_mul(1 << doublings).min(self.max_pause))
    }
}

impl Services {
    /// Makes the deliveries that are due, one batch, oldest event first. Returns how many were claimed; none means that
    /// there is time to sleep.
    ///
    /// # Errors
    /// When the database fails; deliveries of this batch may be repeated.
    pub async fn deliver_due(&self, sinks: &[Arc<dyn Sink>], limits: &OutboxLimits) -> Result<usize, ServiceError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let batch = outbox::claim(&mut tx, &self.0.owner, now, now.plus(limits.lease), limits.batch).await?;
        tx.commit().await?;
        let claimed = monotonic();
        let mut noted = claimed;
        let mut arrived: Vec<&Delivery> = Vec::new();
        for (index, delivery) in batch.iter().enumerate() {
            if monotonic().saturating_duration_since(claimed) + limits.delivery > limits.lease {
                self.note_arrived(&mut arrived).await?;
                self.give_back(&batch[index..]).await?;
                return Ok(index);
            }
            let sink = sinks.iter().find(|sink| sink.name() == delivery.sink);
            let sent = match sink {
                Some(sink) => tokio::time::timeout(limits.delivery, sink.deliver(delivery))
                    .await
                    .unwrap_or_else(|_| Err(SinkError::Transient("no answer in time".to_owned()))),
                None => Err(SinkError::Transient("no sink of this name is configured".to_owned())),
            };
            match sent {
                Ok(()) => arrived.push(delivery),
                Err(error) => self.note_failure(delivery, &error, limits).await?,
            }
            if monotonic().saturating_duration_since(noted) > NOTE_AFTER {
                self.note_arrived(&mut arrived).await?;
                noted = monotonic();
            }
        }
        self.note_arrived(&mut arrived).await?;
        Ok(batch.len())
    }

    /// How much is waiting, and how much was given up.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn outbox_backlog(&self) -> Result<Backlog, ServiceError> {
        let mut tx = self.store().read().await?;
        Ok(outbox::backlog(&mut tx).await?)
    }

    async fn note_arrived(&self, arrived: &mut Vec<&Delivery>) -> Result<(), ServiceError> {
        if arrived.is_empty() {
            return Ok(());
        }
        let now = self.now();
        let mut tx = self.store().write().await?;
        for (sink, sequences) in by_sink(arrived.iter().copied()) {
            outbox::delivered(&mut tx, sink, &sequences, now).await?;
        }
        tx.commit().await?;
        self.metrics().deliveries.add(arrived.len());
        arrived.clear();
        Ok(())
    }

    async fn note_failure(
        &self,
        delivery: &Delivery,
        error: &SinkError,
        limits: &OutboxLimits,
    ) -> Result<(), ServiceError> {
        let now = self.now();
        let pause = match error {
            SinkError::Transient(_) => limits.pause_after(delivery.tries),
            SinkError::Permanent(_) => None,
        };
        let retry_at = pause.map(|pause| now.plus(pause));
        let mut tx = self.store().write().await?;
        outbox::failed(&mut tx, delivery, &error.to_string(), now, retry_at).await?;
        tx.commit().await?;
        self.metrics().deliveries_failed.add_one();
        if retry_at.is_none() {
            self.metrics().deliveries_dead.add_one();
            tracing::warn!(sink = delivery.sink, event.sequence = delivery.sequence, %error, "a delivery was given up");
        }
        Ok(())
    }

    async fn give_back(&self, rest: &[Delivery]) -> Result<(), ServiceError> {
        let mut tx = self.store().write().await?;
        for (sink, sequences) in by_sink(rest) {
            outbox::release(&mut tx, sink, &sequences).await?;
        }
        Ok(tx.commit().await?)
    }
}

fn by_sink<'a>(deliveries: impl IntoIterator<Item = &'a Delivery>) -> BTreeMap<&'a str, Vec<i64>> {
    let mut sinks: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
    for delivery in deliveries {
        sinks.entry(&delivery.sink).or_default().push(delivery.sequence);
    }
    sinks
}

/// Tells the log of the program.
#[derive(Clone, Copy, Debug, Default)]
pub struct LogSink;

impl Sink for LogSink {
    fn name(&self) -> &str {
        "log"
    }

    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> Sent<'a> {
        tracing::info!(
            event.sequence = delivery.sequence,
            event.name = delivery.name,
            event.at = %delivery.at,
            event.fields = delivery.fields,
            "{}", delivery.name
        );
        Box::pin(std::future::ready(Ok(())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_their_limit_and_then_it_is_given_up() {
        let limits = OutboxLimits {
            tries: 4,
            max_pause: Duration::from_secs(15),
            ..OutboxLimits::default()
        };
        let pauses: Vec<_> = (1..=4).map(|tries| limits.pause_after(tries)).collect();
        let seconds = |s| Some(Duration::from_secs(s));
        assert_eq!(pauses, [seconds(5), seconds(10), seconds(15), None]);
    }
}
