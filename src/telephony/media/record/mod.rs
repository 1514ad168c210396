//! Stereo recordings of a call: caller left, the system right, 16 bits at 8 kHz.
//!
//! ```text
//!  session ──► Tap ──► bounded ring of frames ──► writer thread ──► Timeline (1 s) ──► WAV
//!              (worker thread: copies payloads,   (decodes, places by position,
//!               drops and counts when full)        writes what is older than a second)
//! ```
//!
//! A recording may be listened to by people who must not learn a password, so three things never reach the disk:
//! what is played from a secret playlist (a soft steady tone takes its place), what the caller's microphone picks up
//! during that (echo), and what the caller's line carries around a key press (the tone of the key). A key is marked by
//! the same short click whichever it was.

mod tap;
mod timeline;
mod writer;

pub use tap::{Seat, Tap};
pub use writer::{RecordError, Recorder, Recording};
