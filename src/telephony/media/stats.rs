//! Figures of one session, for the call record and the live list. They count keys, and never say which.

use std::net::SocketAddr;
use std::time::Duration;

use crate::telephony::rtp::ReceiveStats;

/// Figures of one session so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SessionStats {
    /// RTP packets sent.
    pub sent: u64,
    /// What was received: packets, loss, jitter and so on.
    pub received: ReceiveStats,
    /// Datagrams that are neither RTP nor RTCP.
    pub invalid: u64,
    /// Packets from an address that is not the far end's.
    pub strangers: u64,
    /// Packets of a payload type that was not agreed.
    pub unknown_payloads: u64,
    /// Comfort noise packets.
    pub comfort_noise: u64,
    /// Keys that came as telephone event and counted.
    pub digits_by_event: u32,
    /// Keys that came as SIP INFO and counted.
    pub digits_by_info: u32,
    /// Reports of keys that had already come the other way.
    pub digits_merged: u32,
    /// Keys that could not be sent, because telephone events were not agreed or too many waited.
    pub keys_not_sent: u32,
    /// Events that were lost because nobody took them.
    pub events_dropped: u32,
    /// Ticks that ran a whole packet time late or more.
    pub late_ticks: u32,
    /// Packet times in which nothing could be sent for that reason.
    pub skipped_packets: u64,
    /// The latest tick.
    pub max_lateness: Duration,
    /// Where RTP is sent and accepted from.
    pub remote: Option<SocketAddr>,
    /// Times that another source was believed.
    pub latch_changes: u32,
    /// Those of them in mid-call that were to another host.
    pub host_changes: u32,
    /// RTCP reports sent.
    pub rtcp_sent: u64,
    /// RTCP compound packets received and believed.
    pub rtcp_received: u64,
    /// RTCP BYEs received; they end nothing.
    pub rtcp_goodbyes: u32,
    /// Report blocks of the far end about what we send; the four figures below come from the last one.
    pub remote_reports: u64,
    /// Loss that the far end sees, in 1/256, in its last report.
    pub remote_fraction_lost: u8,
    /// Packets that the far end says it lost.
    pub remote_lost: i32,
    /// Jitter that the far end sees.
    pub remote_jitter: Duration,
    /// Round trip, from the last report that tells it.
    pub round_trip: Option<Duration>,
    /// Frames that a recording missed because its writer was too slow.
    pub record_dropped: u64,
    /// Socket errors on sending or receiving, ICMP unreachable among them.
    pub socket_errors: u64,
}
