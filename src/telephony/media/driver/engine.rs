//! The engine: workers, ports, and opening sessions.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};

use tokio::sync::mpsc;

use super::MediaError;
use super::handle::MediaHandle;
use super::lease::{Lease, PortPool};
use super::metrics::{EngineStats, SharedCounters};
use super::wheel::preference;
use super::worker::{Message, NewSession, Worker};
use crate::telephony::media::config::{HeardAudio, MediaEvent, SessionConfig};
use crate::telephony::sdp::Negotiated;

/// Messages that may wait for a worker: several per call for as many calls as it can carry.
const QUEUE: usize = 4_096;
const STACK_SIZE: usize = 256 * 1_024;

/// Settings of the engine.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Ports for media, two per call. 16384-32767 by default, the range that most firewalls already know for RTP.
    pub ports: RangeInclusive<u16>,
    /// Threads that send and receive. One per core by default; a call costs about a thousandth of a core.
    pub workers: usize,
    /// Differentiated services code point of our packets. 46 (expedited forwarding, RFC 3246) by default, what
    /// networks give to voice.
    pub dscp: u8,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            ports: 16_384..=32_767,
            workers: thread::available_parallelism().map_or(1, usize::from),
            dscp: 46,
        }
    }
}

/// Runs the media of all calls. Dropping it ends every session and waits for the threads.
#[derive(Debug)]
pub struct MediaEngine {
    pool: Arc<PortPool>,
    dscp: u8,
    workers: Vec<WorkerThread>,
    stop: Arc<AtomicBool>,
    next_id: AtomicU64,
}

#[derive(Debug)]
struct WorkerThread {
    messages: SyncSender<Message>,
    counters: Arc<SharedCounters>,
    thread: Option<JoinHandle<()>>,
}

impl MediaEngine {
    /// Starts the worker threads; at least one.
    pub fn start(config: EngineConfig) -> Result<Self, MediaError> {
        let mut engine = Self {
            pool: PortPool::new(config.ports)?,
            dscp: config.dscp,
            workers: Vec::new(),
            stop: Arc::new(AtomicBool::new(false)),
            next_id: AtomicU64::new(1),
        };
        for number in 0..config.workers.max(1) {
            engine.workers.push(WorkerThread::start(number, &engine.stop)?);
        }
        Ok(engine)
    }

    /// Binds a pair of ports on an address of ours. To be called before the description that names them is sent.
    pub fn lease(&self, ip: IpAddr) -> Result<Lease, MediaError> {
        self.pool.lease(ip, self.dscp)
    }

    /// Opens a session on leased ports. `events` is never waited for: what does not fit is dropped and counted, so it
    /// should hold a few dozen. Its closing before the handle is dropped means that the engine has ended.
    pub fn open(
        &self,
        lease: Lease,
        config: SessionConfig,
        agreed: Negotiated,
        events: mpsc::Sender<MediaEvent>,
    ) -> Result<MediaHandle, MediaError> {
        self.open_with(lease, config, agreed, events, None)
    }

    /// Opens a session of a test phone, which hears everything from the first packet on; see [`crate::telephony::media::Command::Listen`].
    pub fn open_listening(
        &self,
        lease: Lease,
        config: SessionConfig,
        agreed: Negotiated,
        events: mpsc::Sender<MediaEvent>,
        listener: mpsc::Sender<HeardAudio>,
    ) -> Result<MediaHandle, MediaError> {
        self.open_with(lease, config, agreed, events, Some(listener))
    }

    fn open_with(
        &self,
        lease: Lease,
        config: SessionConfig,
        agreed: Negotiated,
        events: mpsc::Sender<MediaEvent>,
        listener: Option<mpsc::Sender<HeardAudio>>,
    ) -> Result<MediaHandle, MediaError> {
        let worker = self
            .workers
            .iter()
            .min_by_key(|worker| preference(worker.counters.sessions()))
            .ok_or(MediaError::Stopped)?;
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let closed = Arc::new(AtomicBool::new(false));
        let handle = MediaHandle::new(id, worker.messages.clone(), Arc::clone(&closed), lease.rtp_address());
        let new = NewSession {
            id,
            lease,
            config,
            agreed,
            events,
            closed,
            listener,
            place: worker.counters.place(),
        };
        worker
            .messages
            .try_send(Message::Open(Box::new(new)))
            .map_err(|error| match error {
                TrySendError::Full(_) => MediaError::Overloaded,
                TrySendError::Disconnected(_) => MediaError::Stopped,
            })?;
        Ok(handle)
    }

    /// Figures of all workers together.
    #[must_use]
    pub fn stats(&self) -> EngineStats {
        let mut stats = EngineStats::default();
        self.workers
            .iter()
            .for_each(|worker| worker.counters.add_to(&mut stats));
        stats
    }

    #[cfg(test)]
    pub(super) fn free_pairs(&self) -> usize {
        self.pool.free_pairs()
    }

    /// Ends every session and waits for the threads; a few milliseconds.
    pub fn shutdown(self) {
        drop(self);
    }
}

impl WorkerThread {
    fn start(number: usize, stop: &Arc<AtomicBool>) -> Result<Self, MediaError> {
        let (messages, receiver) = sync_channel(QUEUE);
        let counters = Arc::new(SharedCounters::default());
        let (stop, shared) = (Arc::clone(stop), Arc::clone(&counters));
        let thread = thread::Builder::new()
            .name(format!("media-{number}"))
            .stack_size(STACK_SIZE)
            .spawn(move || keep_working(&receiver, &stop, &shared))
            .map_err(MediaError::Thread)?;
        Ok(Self {
            messages,
            counters,
            thread: Some(thread),
        })
    }
}

/// Runs a worker until the engine stops. One that panics takes its sessions with it: their calls see that their events
/// end, and hang up. The next worker takes new ones from the same queue.
fn keep_working(messages: &Receiver<Message>, stop: &Arc<AtomicBool>, shared: &Arc<SharedCounters>) {
    let work = || Worker::new(messages, Arc::clone(stop), Arc::clone(shared)).run();
    // Safe to go on after: what the worker had is gone with it, the counters are numbers.
    while catch_unwind(AssertUnwindSafe(work)).is_err() {
        tracing::error!("a media thread panicked: its calls end, and it begins anew");
    }
}

impl Drop for MediaEngine {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        for worker in &self.workers {
            // A worker whose queue is full is awake and sees the flag.
            let _ = worker.messages.try_send(Message::Wake);
        }
        for worker in &mut self.workers {
            if worker.thread.take().is_some_and(|thread| thread.join().is_err()) {
                tracing::error!("a media thread panicked");
            }
        }
    }
}
