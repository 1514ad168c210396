//! The access log of the API, and what is counted: which call, by which client, from where, how long, how it ended. Nothing
//! of what was in it.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::calls::FaultKind;
use crate::identity::ids::SessionId;
use crate::service::ApiPeer;
use crate::time::monotonic;

/// Writes and counts; cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    calls: Family<CallLabels, Counter>,
    durations: Family<DurationLabels, Histogram, fn() -> Histogram>,
    limited: Counter,
}

impl Default for Log {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            durations: Family::new_with_constructor(histogram as fn() -> Histogram),
            limited: Counter::default(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    call: &'static str,
    form: &'static str,
    client: String,
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DurationLabels {
    call: &'static str,
    client: String,
}

/// Who asks.
#[derive(Debug, Default)]
pub struct Asker {
    /// The API user: one that has proved to be it, or whose name is known and that was refused.
    pub client: OnceLock<String>,
    /// The session, as the events of the audit log have it. It is no proof of anything.
    pub session: OnceLock<SessionId>,
}

/// A request that is being answered. Told when it is dropped without an answer, too: the client has hung up.
#[derive(Debug)]
pub struct Entry {
    log: Log,
    call: &'static str,
    form: &'static str,
    address: String,
    /// Who asks, as soon as that is known.
    pub asker: Arc<Asker>,
    begun: Instant,
    outcome: &'static str,
}

impl Log {
    /// Makes the counters visible in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "api_calls",
            "Calls of the web API, by how they ended",
            self.calls.clone(),
        );
        registry.register_with_unit(
            "api_call_duration",
            "Time from a request to its answer, by call and client",
            Unit::Seconds,
            self.durations.clone(),
        );
        registry.register(
            "api_requests_limited",
            "Requests that were not heard because their address has asked too often",
            self.limited.clone(),
        );
    }

    /// A request has come.
    #[must_use]
    pub fn begin(&self, call: &'static str, form: &'static str, peer: &ApiPeer) -> Entry {
        Entry {
            log: self.clone(),
            call,
            form,
            address: peer.address.to_string(),
            asker: Arc::default(),
            begun: monotonic(),
            outcome: "gone",
        }
    }

    /// A request was not heard. That is counted, and not told: there may be thousands.
    pub fn limited(&self) {
        self.limited.inc();
    }
}

impl Entry {
    /// It is answered.
    pub fn end(self, fault: Option<FaultKind>) {
        self.end_as(fault.map_or("ok", FaultKind::slug));
    }

    /// It is answered with what no call ends with.
    pub fn end_as(mut self, outcome: &'static str) {
        self.outcome = outcome;
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let took = self.begun.elapsed();
        let client = self.asker.client.get().cloned().unwrap_or_default();
        let session = self.asker.session.get().map(tracing::field::display);
        tracing::info!(
            target: "passline::api",
            call = self.call,
            form = self.form,
            client,
            address = self.address,
            session,
            outcome = self.outcome,
            duration_ms = milliseconds(took),
            "a call of the API was answered"
        );
        let durations = DurationLabels {
            call: self.call,
            client: client.clone(),
        };
        self.log.durations.get_or_create(&durations).observe(took.as_secs_f64());
        let labels = CallLabels {
            call: self.call,
            form: self.form,
            client,
            outcome: self.outcome,
        };
        self.log.calls.get_or_create(&labels).inc();
    }
}

fn milliseconds(took: Duration) -> u64 {
    u64::try_from(took.as_millis()).unwrap_or(u64::MAX)
}

fn histogram() -> Histogram {
    Histogram::new([0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0])
}
