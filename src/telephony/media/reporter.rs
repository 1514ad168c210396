//! RTCP of one session: what is sent, and what is made of what comes.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt as _};

use super::stats::SessionStats;
use crate::telephony::rtp::rtcp::{self, Compound, Report, ReportBlock, RtcpPacket, SenderInfo};
use crate::telephony::rtp::{ReceiveStream, ReportSchedule, SendStream};

/// Both directions of RTCP.
#[derive(Debug)]
pub(super) struct Reporter {
    /// Beginning of our NTP scale.
    epoch: Instant,
    schedule: ReportSchedule,
    /// Random and used for this call only (RFC 7022 section 4.2).
    cname: String,
    /// Packets sent up to the last report.
    reported_packets: u32,
    /// NTP timestamp of the last SR received, and when.
    last_sr: Option<(u32, Instant)>,
}

impl Reporter {
    pub(super) fn new(now: Instant, rng: &mut impl Rng) -> Self {
        Self {
            // A second earlier, so that the first SR does not carry the zero that means "none".
            epoch: now.checked_sub(Duration::from_secs(1)).unwrap_or(now),
            schedule: ReportSchedule::new(now, rng),
            cname: format!("{:024x}", rng.random::<u128>() >> 32),
            reported_packets: 0,
            last_sr: None,
        }
    }

    /// Whether it is time to report; plans the next report.
    pub(super) fn is_due(&mut self, now: Instant, rng: &mut impl Rng) -> bool {
        self.schedule.is_due(now, rng)
    }

    /// Writes a report: SR if packets were sent since the one before, else RR (RFC 3550 section 6.4).
    pub(super) fn write(
        &mut self,
        buffer: &mut [u8],
        sent: &SendStream,
        received: &mut ReceiveStream,
        goodbye: bool,
        now: Instant,
    ) -> Option<usize> {
        let has_sent = sent.packets() != self.reported_packets;
        self.reported_packets = sent.packets();
        let sender = has_sent.then(|| SenderInfo {
            ntp: self.ntp(now),
            rtp_timestamp: sent.timestamp(),
            packets: sent.packets(),
            octets: sent.octets(),
        });
        let block = received.report_block().map(|block| self.with_last_sr(block, now));
        Report {
            ssrc: sent.ssrc(),
            sender,
            block,
            cname: &self.cname,
            goodbye,
        }
        .write(buffer)
    }

    /// Writes a BYE for an SSRC that is ours no more (RFC 3550 section 8.2).
    pub(super) fn leave(&mut self, buffer: &mut [u8], ssrc: u32) -> Option<usize> {
        // The counters of the new one began at zero.
        self.reported_packets = 0;
        Report {
            ssrc,
            sender: None,
            block: None,
            cname: &self.cname,
            goodbye: true,
        }
        .write(buffer)
    }

    /// Takes what the far end reports about a stream with `ssrc` of ours. Gives the SSRC that it reports under.
    pub(super) fn receive(
        &mut self,
        compound: Compound<'_>,
        ssrc: u32,
        arrival: Instant,
        stats: &mut SessionStats,
    ) -> Option<u32> {
        stats.rtcp_received += 1;
        let mut theirs = None;
        for packet in compound {
            let blocks = match packet {
                RtcpPacket::SenderReport {
                    ssrc: from,
                    sender,
                    blocks,
                } => {
                    theirs = Some(from);
                    self.last_sr = Some((rtcp::compact_ntp(sender.ntp), arrival));
                    blocks
                }
                RtcpPacket::ReceiverReport { ssrc: from, blocks } => {
                    theirs = Some(from);
                    blocks
                }
                RtcpPacket::Goodbye { .. } => {
                    stats.rtcp_goodbyes = stats.rtcp_goodbyes.saturating_add(1);
                    continue;
                }
                RtcpPacket::Other => continue,
            };
            for block in blocks.filter(|block| block.ssrc == ssrc) {
                stats.remote_reports += 1;
                stats.remote_fraction_lost = block.fraction_lost;
                stats.remote_lost = block.cumulative_lost;
                stats.remote_jitter = Duration::from_micros(u64::from(block.jitter) * 125);
                stats.round_trip = rtcp::round_trip(&block, self.ntp(arrival)).or(stats.round_trip);
            }
        }
        theirs
    }

    fn with_last_sr(&self, block: ReportBlock, now: Instant) -> ReportBlock {
        let Some((last_sr, at)) = self.last_sr else {
            return block;
        };
        let delay = now.saturating_duration_since(at).as_micros() * 65_536 / 1_000_000;
        ReportBlock {
            last_sr,
            delay_since_last_sr: u32::try_from(delay).unwrap_or(u32::MAX),
            ..block
        }
    }

    fn ntp(&self, now: Instant) -> u64 {
        rtcp::ntp(now.saturating_duration_since(self.epoch))
    }
}
