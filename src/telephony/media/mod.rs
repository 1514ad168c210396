//! The media of calls: RTP in and out, prompts, keys, recordings.
mod config;
mod latch;
mod outgoing;
mod payload;
mod playlist;
mod record;
mod reporter;
mod session;
mod sound;
mod stats;

pub use config::{Command, FirstSend, MediaEvent, SessionConfig, Silence, SoundDetection};
pub use playlist::{OnKey, PlaybackId, Playlist, Privacy, Segment};
pub use record::{RecordError, Recorder, Recording, Seat, Tap};
pub use session::{MAX_PACKET_LEN, Port, Session, Transmit};
pub use stats::SessionStats;
