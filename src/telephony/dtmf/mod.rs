//! Keys of the caller: telephone events in RTP (RFC 4733) and SIP INFO bodies.
//!
//! ```text
//!  RTP packets ──► EventReceiver ──► Pressed / Held / Released ─┐
//!                                                               ├──► PressMerger ──► one press ──► PressOrder
//!  SIP INFO   ──► info::parse ───────────────────────────────────┘
//! ```
//!
//! [`KeySender`] is the other side, for the test phone. Every type here hides which key it holds.
//!
//! Left out on purpose: tones in the audio (ITU-T Q.24).

mod event;
pub mod info;
mod merge;
mod order;
mod receiver;
mod sender;

pub use event::{EVENT_LEN, EventPacket};
pub use merge::{PressMerger, PressSource};
pub use order::{OVERTAKEN, OrderedPress, PressOrder};
pub use receiver::{EventReceiver, KeyUpdate, SILENT_PACKETS};
pub use sender::{EventToSend, KeyQueueFull, KeySender};

/// Which moment of a press counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyMoment {
    /// The key goes down: the first packet of its event.
    #[default]
    Press,
    /// The key goes up: its end packet, or silence. For gateways that begin an event before they are sure of the tone.
    Release,
}

#[cfg(test)]
mod tests;
