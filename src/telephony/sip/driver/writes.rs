//! What waits to be written to one TCP peer, counted in bytes.
//!
//! ```text
//! core ---queue---> [ messages, at most MAX_BYTES ] ---next, taken---> writer ---> socket
//!                         |
//! reader <---has_room---  at most ROOM_BYTES: else the next request waits in the socket, and so does the peer
//! ```
//!
//! A number of messages says nothing about the peer: the core answers a thousand requests that came in one piece faster
//! than the writer is given its turn. What counts is what the peer does not take.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc};

/// The most that waits for one peer. All requests that can wait for the core at once (1,024, of all peers together) have room
/// for answers of 8 kB, which takes a dozen long Vias: a peer that reads is not closed for what it has sent in one piece.
pub(super) const MAX_BYTES: usize = 8 * 1024 * 1024;
/// No further requests are read from a peer for which more than this waits.
const ROOM_BYTES: usize = 64 * 1024;
/// As much is written at once, and one message more.
const CHUNK_BYTES: usize = 16 * 1024;
/// What a message takes beside its bytes: so many of the smallest have a bound, too.
const MESSAGE_BYTES: usize = 64;

/// The peer has not taken what waits for it.
#[derive(Debug)]
pub(super) struct Full;

/// The end that fills the queue.
#[derive(Clone)]
pub(super) struct Writer {
    messages: mpsc::UnboundedSender<Arc<[u8]>>,
    waiting: Arc<Waiting>,
}

/// The end that empties it.
pub(super) struct Writes {
    messages: mpsc::UnboundedReceiver<Arc<[u8]>>,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting {
    bytes: AtomicUsize,
    less: Notify,
}

/// An empty queue.
pub(super) fn queue() -> (Writer, Writes) {
    // Bounded by the bytes in it.
    let (sender, receiver) = mpsc::unbounded_channel();
    let waiting = Arc::new(Waiting::default());
    let writer = Writer {
        messages: sender,
        waiting: Arc::clone(&waiting),
    };
    let writes = Writes {
        messages: receiver,
        waiting,
    };
    (writer, writes)
}

fn cost(message: &[u8]) -> usize {
    message.len() + MESSAGE_BYTES
}

impl Writer {
    /// Adds a message.
    ///
    /// # Errors
    /// [`Full`] when it has no room, or nobody is left who would write it.
    pub(super) fn queue(&self, message: Arc<[u8]>) -> Result<(), Full> {
        let cost = cost(&message);
        let before = self.waiting.bytes.fetch_add(cost, Ordering::Relaxed);
        if before + cost > MAX_BYTES || self.messages.send(message).is_err() {
            self.waiting.bytes.fetch_sub(cost, Ordering::Relaxed);
            return Err(Full);
        }
        Ok(())
    }

    /// Waits until the peer has taken most of what was written to it.
    pub(super) async fn has_room(&self) {
        loop {
            // Asked for before the look, so that what happens in between is not missed.
            let less = self.waiting.less.notified();
            if self.waiting.bytes.load(Ordering::Relaxed) <= ROOM_BYTES {
                return;
            }
            less.await;
        }
    }
}

impl Writes {
    /// Waits for messages and gives as many as are written at once, with what they count; `None` when no more will come.
    pub(super) async fn next(&mut self) -> Option<(Vec<u8>, usize)> {
        let first = self.messages.recv().await?;
        let (mut chunk, mut count) = (first.to_vec(), cost(&first));
        while chunk.len() < CHUNK_BYTES
            && let Ok(message) = self.messages.try_recv()
        {
            chunk.extend_from_slice(&message);
            count += cost(&message);
        }
        Some((chunk, count))
    }

    /// The peer has taken what [`Writes::next`] gave.
    pub(super) fn taken(&self, count: usize) {
        self.waiting.bytes.fetch_sub(count, Ordering::Relaxed);
        self.waiting.less.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    fn message(length: usize) -> Arc<[u8]> {
        vec![b'x'; length].into()
    }

    #[tokio::test]
    async fn bytes_count_and_messages_are_written_together() {
        let (writer, mut writes) = queue();
        for _ in 0..1_024 {
            writer.queue(message(900)).expect("a thousand usual answers have room");
        }
        let mut written = 0;
        while written < 1_024 * 900 {
            let (chunk, count) = writes.next().await.expect("more");
            assert!((900..CHUNK_BYTES + 900).contains(&chunk.len()));
            written += chunk.len();
            writes.taken(count);
        }
        assert_eq!(writer.waiting.bytes.load(Ordering::Relaxed), 0);
        for _ in 0..MAX_BYTES / (MESSAGE_BYTES + 2) {
            writer.queue(message(2)).expect("room");
        }
        assert!(writer.queue(message(2)).is_err(), "many small ones have a bound");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_for_room_goes_on_when_the_peer_has_taken_enough() {
        let (writer, mut writes) = queue();
        writer.queue(message(ROOM_BYTES)).expect("room");
        let waiting = timeout(Duration::from_secs(1), writer.has_room()).await;
        assert!(waiting.is_err());
        let (room, ()) = tokio::join!(timeout(Duration::from_secs(1), writer.has_room()), async {
            let (_, count) = writes.next().await.expect("one");
            writes.taken(count);
        });
        assert!(room.is_ok());
        drop(writer);
        assert!(writes.next().await.is_none());
    }
}
