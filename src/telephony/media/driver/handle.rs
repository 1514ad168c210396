//! What the owner of a call holds.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::MediaError;
use super::worker::Message;
use crate::digit::Digit;
use crate::telephony::media::config::Command;
use crate::telephony::media::playlist::{PlaybackId, Playlist};
use crate::telephony::media::record::Tap;
use crate::telephony::media::stats::SessionStats;
use crate::telephony::sdp::Negotiated;

/// A session that a worker runs. Dropping the handle ends it with an RTCP BYE and frees its ports, within one packet
/// time.
///
/// Commands take effect at the session's next packet. None of them waits; one that is refused as
/// [`MediaError::Overloaded`] has had no effect.
#[derive(Debug)]
pub struct MediaHandle {
    id: u64,
    worker: SyncSender<Message>,
    closed: Arc<AtomicBool>,
    rtp_address: SocketAddr,
    next_playback: AtomicU64,
}

impl MediaHandle {
    pub(super) fn new(id: u64, worker: SyncSender<Message>, closed: Arc<AtomicBool>, rtp_address: SocketAddr) -> Self {
        Self {
            id,
            worker,
            closed,
            rtp_address,
            next_playback: AtomicU64::new(1),
        }
    }

    /// Where RTP is received.
    #[must_use]
    pub fn rtp_address(&self) -> SocketAddr {
        self.rtp_address
    }

    /// Plays; see [`Command::Play`].
    pub fn play(&self, playlist: Playlist) -> Result<PlaybackId, MediaError> {
        let id = PlaybackId(self.next_playback.fetch_add(1, Ordering::Relaxed));
        self.command(Command::Play(id, playlist)).map(|()| id)
    }

    /// Stops what is playing.
    pub fn stop(&self) -> Result<(), MediaError> {
        self.command(Command::Stop)
    }

    /// Presses a key (test phone); see [`Command::Press`].
    pub fn press(&self, digit: Digit, on: Duration, off: Duration) -> Result<(), MediaError> {
        self.command(Command::Press { digit, on, off })
    }

    /// A key came by SIP INFO.
    pub fn info_digit(&self, digit: Digit) -> Result<(), MediaError> {
        self.command(Command::InfoDigit(digit))
    }

    /// A re-INVITE agreed on something else.
    pub fn reconfigure(&self, agreed: Negotiated) -> Result<(), MediaError> {
        self.command(Command::Reconfigure(Box::new(agreed)))
    }

    /// Begins or ends a recording.
    pub fn record(&self, tap: Option<Box<Tap>>) -> Result<(), MediaError> {
        self.command(Command::Record(tap))
    }

    /// Figures so far; `None` when the session or the engine has ended.
    pub async fn stats(&self) -> Option<SessionStats> {
        let (answer, stats) = oneshot::channel();
        self.tell(Message::Stats(self.id, answer)).ok()?;
        stats.await.ok()
    }

    /// Ends the session and gives its last figures.
    pub async fn close(self) -> Option<SessionStats> {
        self.stats().await
    }

    /// Makes the worker of this session panic.
    #[cfg(test)]
    pub(super) fn panic_worker(&self) {
        self.tell(Message::Panic).expect("it takes messages");
    }

    fn command(&self, command: Command) -> Result<(), MediaError> {
        self.tell(Message::Command(self.id, command))
    }

    fn tell(&self, message: Message) -> Result<(), MediaError> {
        self.worker.try_send(message).map_err(|error| match error {
            TrySendError::Full(_) => MediaError::Overloaded,
            TrySendError::Disconnected(_) => MediaError::Stopped,
        })
    }
}

impl Drop for MediaHandle {
    fn drop(&mut self) {
        // A flag and not a message: it cannot be refused. The worker sees it at the session's next tick.
        self.closed.store(true, Ordering::Release);
    }
}
