//! The sending half of a session: what goes out at a tick, and where to.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::{Port, Session, Transmit, push_event};
use crate::digit::Digit;
use crate::telephony::codec::samples_per;
use crate::telephony::media::config::FirstSend;
use crate::telephony::media::outgoing::Sent;

impl Session {
    /// Skips the packet times that have passed whole.
    pub(super) fn catch_up(&mut self, now: Instant) {
        let late = now.saturating_duration_since(self.deadline);
        self.stats.max_lateness = self.stats.max_lateness.max(late);
        let missed = late.as_nanos() / self.agreed.packet_time.as_nanos().max(1);
        if missed == 0 {
            return;
        }
        let missed = u32::try_from(missed).unwrap_or(u32::MAX);
        self.stats.late_ticks = self.stats.late_ticks.saturating_add(1);
        self.stats.skipped_packets += u64::from(missed);
        self.deadline += self.agreed.packet_time.saturating_mul(missed);
        self.outgoing.advance(self.samples().wrapping_mul(missed));
        self.outgoing.pause();
    }

    pub(super) fn send(&mut self, due: Instant, buffer: &mut [u8]) -> Option<Transmit> {
        let Some(to) = self.target() else {
            self.outgoing.pause();
            return None;
        };
        let samples = samples_per(self.agreed.packet_time);
        let told = &mut self.told;
        let dropped = &mut self.stats.events_dropped;
        let sent = self
            .outgoing
            .next_packet(&self.payloads, self.config.silence, samples, buffer, |event| {
                push_event(told, dropped, event);
            })?;
        self.stats.sent += 1;
        self.record_sent(sent, due, buffer);
        Some(Transmit {
            port: Port::Rtp,
            to,
            len: sent.packet_len(),
        })
    }

    fn record_sent(&mut self, sent: Sent, due: Instant, buffer: &[u8]) {
        let Some(tap) = &mut self.tap else { return };
        match sent {
            Sent::Audio { codec, len, privacy } => {
                let packet_len = sent.packet_len();
                tap.sent(due, codec, &buffer[packet_len - len..packet_len], privacy);
            }
            Sent::Event { first: true } => tap.key(due),
            Sent::Event { first: false } => {}
        }
    }

    /// Where audio goes now; `None` on hold, while nothing is known, or while the far end must be heard first.
    fn target(&self) -> Option<SocketAddr> {
        let waits = self.config.first_send == FirstSend::AfterHearing && !self.latch.is_heard();
        if waits || self.agreed.is_on_hold() {
            return None;
        }
        self.latch.current()
    }

    pub(super) fn write_rtcp(&mut self, now: Instant, buffer: &mut [u8], goodbye: bool) -> Option<Transmit> {
        if self.config.first_send == FirstSend::AfterHearing && !self.latch.is_heard() {
            return None;
        }
        let (port, to) = self.rtcp_target()?;
        let len = self
            .reporter
            .write(buffer, &self.outgoing.stream, &mut self.incoming, goodbye, now)?;
        self.stats.rtcp_sent += 1;
        Some(Transmit { port, to, len })
    }

    pub(super) fn leave(&mut self, ssrc: u32, buffer: &mut [u8]) -> Option<Transmit> {
        let (port, to) = self.rtcp_target()?;
        let len = self.reporter.leave(buffer, ssrc)?;
        self.stats.rtcp_sent += 1;
        Some(Transmit { port, to, len })
    }

    fn rtcp_target(&self) -> Option<(Port, SocketAddr)> {
        self.agreed.remote_rtp?; // on hold in the old way: not even RTCP (RFC 3264 section 8.4)
        let rtp = self.latch.current()?;
        if self.agreed.rtcp_mux {
            return Some((Port::Rtp, rtp));
        }
        self.control.target(rtp).map(|to| (Port::Rtcp, to))
    }

    pub(super) fn press(&mut self, digit: Digit, on: Duration, off: Duration) {
        let sent = self.payloads.sent_event().is_some() && self.outgoing.press(digit, on, off).is_ok();
        self.stats.keys_not_sent = self.stats.keys_not_sent.saturating_add(u32::from(!sent));
    }

    pub(super) fn samples(&self) -> u32 {
        u32::try_from(samples_per(self.agreed.packet_time)).unwrap_or(0)
    }
}
