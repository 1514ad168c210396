//! RTP and RTCP (RFC 3550, profile of RFC 3551): packets, the state of a sender and of a receiver, reports.
//!
//! Everything here works on bytes and moments that are handed in; [`crate::telephony::media`] owns the sockets.
//!
//! | file | RFC 3550 |
//! |---|---|
//! | `packet` | section 5.1, parsed and built by the crate rtp-rs |
//! | `sender` | sequence, timestamp and SSRC of what we send |
//! | `receiver` | appendices A.1 (sequence), A.3 (loss), A.8 (jitter), SSRC changes |
//! | `redundancy` | RFC 2198: packets that repeat what was in packets before |
//! | `rtcp` | section 6: SR, RR, SDES, BYE in compound packets; multiplexing by RFC 5761 |
//! | `schedule` | section 6.2: when to report |
//!
//! Left out on purpose: mixers, translators and reports about more than one source. A telephone call has two parties.

mod packet;
mod receiver;
pub mod redundancy;
pub mod rtcp;
mod schedule;
mod sender;

pub use packet::{HEADER_LEN, Header, Packet, PacketError};
pub use receiver::{Arrival, ReceiveStats, ReceiveStream};
pub use schedule::ReportSchedule;
pub use sender::SendStream;
