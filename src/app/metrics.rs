//! Everything that is scraped: counters of the calls, and figures that other parts keep for themselves.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;

use crate::call;
use crate::call::registry::Registry as Calls;
use crate::service::Services;
use crate::telephony::media::MediaEngine;
use crate::telephony::sip::{SipHandle, Stats};

/// Puts the registry together.
pub fn registry(
    calls_metrics: &call::metrics::Metrics,
    calls: Arc<Calls>,
    media: Arc<MediaEngine>,
    services: Services,
    sip: SipFigures,
) -> Registry {
    let mut registry = Registry::with_prefix("passline");
    calls_metrics.register(&mut registry);
    registry.register_collector(Box::new(Figures {
        calls,
        media,
        services,
        sip,
    }));
    registry
}

/// What the SIP stack counted, as far as it was asked last; the stack answers only between two messages.
pub type SipFigures = Arc<Mutex<Stats>>;

/// Asks the stack now and then, until it has ended.
pub async fn follow_sip(sip: SipHandle, figures: SipFigures) {
    while let Some(stats) = sip.stats().await {
        *figures.lock().unwrap_or_else(PoisonError::into_inner) = stats;
        tokio::time::sleep(SIP_INTERVAL).await;
    }
}

/// Scrapers come every ten seconds or less often.
const SIP_INTERVAL: Duration = Duration::from_secs(2);

/// Figures that are read when they are asked for.
struct Figures {
    calls: Arc<Calls>,
    media: Arc<MediaEngine>,
    services: Services,
    sip: SipFigures,
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name: &str, help: &str, value: usize| {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            gauge.encode(encoder.encode_descriptor(name, help, None, MetricType::Gauge)?)
        };
        let media = self.media.stats();
        gauge("calls_active", "Calls in progress", self.calls.len())?;
        gauge(
            "database_writable",
            "1 when the database took the last write that was tried",
            usize::from(self.services.database_takes_writes()),
        )?;
        gauge("media_sessions_active", "Media sessions in progress", media.sessions)?;
        let mut counter = |name: &str, help: &str, value: u64| {
            let counter = ConstCounter::new(value);
            counter.encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
        };
        counter("rtp_packets_sent", "RTP packets sent", media.packets_sent)?;
        counter(
            "media_datagrams_received",
            "RTP and RTCP datagrams received",
            media.datagrams_received,
        )?;
        counter(
            "media_events_dropped",
            "Media events that no call took",
            media.events_dropped,
        )?;
        counter("media_socket_errors", "Errors of media sockets", media.socket_errors)?;
        let sip = *self.sip.lock().unwrap_or_else(PoisonError::into_inner);
        counter("sip_messages_received", "SIP messages looked at", sip.received)?;
        counter(
            "sip_messages_throttled",
            "SIP messages of sources that had used up their budget",
            sip.throttled,
        )?;
        counter(
            "sip_messages_malformed",
            "Bytes that are no SIP, and messages that break a rule",
            sip.malformed,
        )?;
        counter(
            "sip_strangers",
            "SIP requests of sources that no trunk allows",
            sip.strangers,
        )?;
        counter(
            "sip_answers_withheld",
            "Answers not sent, because the address of the request may be forged and they would have been much longer",
            sip.withheld,
        )?;
        counter(
            "sip_calls_offered",
            "Calls that trunks were allowed to place",
            sip.calls_offered,
        )?;
        counter(
            "sip_calls_refused",
            "Calls refused for want of room, or while draining",
            sip.calls_refused,
        )?;
        let services = self.services.metrics();
        for (name, help, value) in [
            ("visits", "Visits begun, by any door", &services.visits),
            (
                "visits_refused",
                "Visits turned away because the calling number is locked out",
                &services.visits_refused,
            ),
            ("identifications", "IDs keyed, known or not", &services.identifications),
            (
                "verifications_passed",
                "Rounds of questions passed",
                &services.verifications_passed,
            ),
            (
                "verifications_failed",
                "Rounds of questions failed",
                &services.verifications_failed,
            ),
            (
                "lockouts",
                "Users, decoys and calling numbers locked out",
                &services.lockouts,
            ),
            ("passwords_proposed", "Passwords proposed", &services.proposals),
            (
                "resets_done",
                "Accounts with a new password, known for certain",
                &services.resets_done,
            ),
            (
                "resets_failed",
                "Accounts that keep the old password, known for certain",
                &services.resets_failed,
            ),
            (
                "resets_unknown",
                "Accounts of which nobody knows yet",
                &services.resets_unknown,
            ),
            ("unlocks_done", "Accounts unlocked", &services.unlocks_done),
            (
                "unlocks_failed",
                "Accounts that could not be unlocked",
                &services.unlocks_failed,
            ),
            (
                "changes_recovered",
                "Changes of a process that died, resolved",
                &services.recovered,
            ),
            (
                "call_records_lost",
                "Beginnings and ends of calls that the database did not take",
                &services.call_records_lost,
            ),
            ("deliveries", "Events delivered", &services.deliveries),
            (
                "deliveries_failed",
                "Deliveries that failed, each try",
                &services.deliveries_failed,
            ),
            ("deliveries_dead", "Deliveries given up", &services.deliveries_dead),
        ] {
            counter(name, help, value.count())?;
        }
        Ok(())
    }
}
