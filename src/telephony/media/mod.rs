//! The media of calls: RTP in and out, prompts, keys, recordings.
//!
//! Two layers. [`Session`] is the media of one call as a state machine without sockets, threads or clock; `driver` runs
//! thousands of them on a few threads.
//!
//! ```text
//!  engine.lease(ip)   ──► ports are bound, now the SDP can name them
//!  engine.open(lease) ──► MediaHandle: play, stop, reconfigure, record, stats;  MediaEvents come by a channel
//!  drop(handle)       ──► RTCP BYE, ports are free
//! ```
//!
//! | file | concept |
//! |---|---|
//! | `session`, `outgoing`, `payload` | the core with its two halves, what goes into a packet, payload types |
//! | `keys` | which reports of keys count, and when |
//! | `latch` | whose packets are believed: symmetric RTP with a guard |
//! | `playlist` | what to play, barge-in, privacy |
//! | `reporter`, `stats`, `sound` | RTCP, figures, sound detection for the test phone |
//! | `record` | stereo recordings without secrets |
//! | `driver` | workers, schedule, sockets, port pool |
//!
//! Left out on purpose: mixing, transcoding and a jitter buffer. A call that needs only keys never decodes audio.

mod config;
mod driver;
mod keys;
mod latch;
mod outgoing;
mod payload;
mod playlist;
mod record;
mod reporter;
mod session;
mod sound;
mod stats;

pub use config::{Command, FirstSend, HeardAudio, MediaEvent, SessionConfig, Silence, SoundDetection};
pub use driver::{EngineConfig, EngineStats, LATENESS_BOUNDS, Lease, MediaEngine, MediaError, MediaHandle};
pub use playlist::{OnKey, PlaybackId, Playlist, Privacy, Segment};
pub use record::{RecordError, Recorder, Recording, Seat, Tap};
pub use session::{MAX_PACKET_LEN, Port, Session, Transmit};
pub use stats::SessionStats;

#[cfg(test)]
mod tests;
