//! What is counted about calls, for Prometheus. Names and units follow its habits: base units, `_total`, few labels,
//! never an id as a label.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    dialplan: String,
    result: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabels {
    operation: String,
    outcome: String,
}

/// Counters of the call layer.
#[derive(Clone, Debug)]
pub struct Metrics {
    calls: Family<CallLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
    operations: Family<OperationLabels, Counter>,
    operation_seconds: Histogram,
    duration_seconds: Histogram,
    digits: Counter,
    packets_lost: Counter,
    late_ticks: Counter<u64, AtomicU64>,
    hosts_changed: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            calls: Family::default(),
            refused: Family::default(),
            operations: Family::default(),
            operation_seconds: Histogram::new([0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]),
            duration_seconds: Histogram::new([5.0, 15.0, 30.0, 60.0, 90.0, 120.0, 180.0, 300.0, 600.0]),
            digits: Counter::default(),
            packets_lost: Counter::default(),
            late_ticks: Counter::default(),
            hosts_changed: Counter::default(),
        }
    }
}

impl Metrics {
    /// Makes the counters visible in `registry`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register("calls", "Calls that have ended, by how", self.calls.clone());
        registry.register("calls_refused", "Calls not taken, by why", self.refused.clone());
        registry.register(
            "operations",
            "Operations of call flows, by outcome",
            self.operations.clone(),
        );
        registry.register_with_unit(
            "operation_duration",
            "Time from an operation of a flow to its outcome",
            Unit::Seconds,
            self.operation_seconds.clone(),
        );
        registry.register_with_unit(
            "call_duration",
            "Length of calls",
            Unit::Seconds,
            self.duration_seconds.clone(),
        );
        registry.register("digits", "Keys pressed in all calls, never which", self.digits.clone());
        registry.register(
            "rtp_packets_lost",
            "RTP packets that did not arrive",
            self.packets_lost.clone(),
        );
        registry.register(
            "rtp_ticks_late",
            "Times that RTP was a whole packet time late or more",
            self.late_ticks.clone(),
        );
        registry.register(
            "rtp_hosts_changed",
            "Times that media came from another host in mid-call, after a silence",
            self.hosts_changed.clone(),
        );
    }

    /// A call has ended.
    pub fn call_ended(&self, dialplan: &str, result: &'static str, length: Duration) {
        self.calls
            .get_or_create(&CallLabels {
                dialplan: dialplan.to_owned(),
                result,
            })
            .inc();
        self.duration_seconds.observe(length.as_secs_f64());
    }

    /// A call was not taken.
    pub fn call_refused(&self, reason: &'static str) {
        self.refused.get_or_create(&RefusedLabels { reason }).inc();
    }

    /// An operation of a flow has come to an outcome.
    pub fn operation_done(&self, operation: &str, outcome: &str, took: Duration) {
        let labels = OperationLabels {
            operation: operation.to_owned(),
            outcome: outcome.to_owned(),
        };
        self.operations.get_or_create(&labels).inc();
        self.operation_seconds.observe(took.as_secs_f64());
    }

    /// Media of a call comes from another host.
    pub fn media_host_changed(&self) {
        self.hosts_changed.inc();
    }

    /// A key was pressed.
    pub fn digit(&self) {
        self.digits.inc();
    }

    /// What the media of a call had to say at its end.
    pub fn media_ended(&self, packets_lost: u64, late_ticks: u64) {
        self.packets_lost.inc_by(packets_lost);
        self.late_ticks.inc_by(late_ticks);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_can_be_scraped() {
        let metrics = Metrics::default();
        let mut registry = Registry::with_prefix("passline");
        metrics.register(&mut registry);
        metrics.call_ended("reset", "completed", Duration::from_secs(70));
        metrics.digit();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).expect("writing to a string cannot fail");
        assert!(
            text.contains("passline_calls_total{dialplan=\"reset\",result=\"completed\"} 1"),
            "{text}"
        );
        assert!(text.contains("passline_call_duration_seconds_sum 70.0"), "{text}");
        assert!(text.contains("passline_digits_total 1"), "{text}");
    }
}
