//! Figures of the whole engine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

/// Upper bounds of the lateness histogram; one more bucket takes the rest.
pub const LATENESS_BOUNDS: [Duration; 6] = [
    Duration::from_micros(500),
    Duration::from_millis(1),
    Duration::from_millis(2),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(20),
];

const BUCKETS: usize = LATENESS_BOUNDS.len() + 1;

/// Figures of an engine so far.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct EngineStats {
    /// Sessions now.
    pub sessions: usize,
    /// Sessions ever opened.
    pub sessions_opened: u64,
    /// RTP packets sent.
    pub packets_sent: u64,
    /// Datagrams received, RTCP included.
    pub datagrams_received: u64,
    /// Events that no call took.
    pub events_dropped: u64,
    /// Errors of sockets, ICMP among them.
    pub socket_errors: u64,
    /// Ticks by how late they ran: up to each of [`LATENESS_BOUNDS`], and later.
    pub lateness: [u64; BUCKETS],
}

/// Counters of one worker, read by others.
#[derive(Debug, Default)]
pub(super) struct SharedCounters {
    /// Sessions that the worker has or is about to get.
    sessions: AtomicUsize,
    sessions_opened: AtomicU64,
    packets_sent: AtomicU64,
    datagrams_received: AtomicU64,
    events_dropped: AtomicU64,
    socket_errors: AtomicU64,
    lateness: [AtomicU64; BUCKETS],
}

/// Counters of one worker between two publications; plain numbers, because they are counted per packet.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) sessions_opened: u64,
    pub(super) packets_sent: u64,
    pub(super) datagrams_received: u64,
    pub(super) events_dropped: u64,
    pub(super) socket_errors: u64,
    lateness: [u64; BUCKETS],
}

impl Counters {
    pub(super) fn count_tick(&mut self, late: Duration) {
        let bucket = LATENESS_BOUNDS
            .iter()
            .position(|bound| late <= *bound)
            .unwrap_or(BUCKETS - 1);
        self.lateness[bucket] += 1;
    }

    /// Adds everything to the shared counters and begins at zero.
    pub(super) fn publish(&mut self, shared: &SharedCounters) {
        let counted = std::mem::take(self);
        add(&shared.sessions_opened, counted.sessions_opened);
        add(&shared.packets_sent, counted.packets_sent);
        add(&shared.datagrams_received, counted.datagrams_received);
        add(&shared.events_dropped, counted.events_dropped);
        add(&shared.socket_errors, counted.socket_errors);
        for (shared, counted) in shared.lateness.iter().zip(counted.lateness) {
            add(shared, counted);
        }
    }
}

/// A place among the sessions of a worker; given back when dropped, also by a panic.
#[derive(Debug)]
pub(super) struct Place(Arc<SharedCounters>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Relaxed);
    }
}

impl SharedCounters {
    /// Takes a place for a session.
    pub(super) fn place(self: &Arc<Self>) -> Place {
        self.sessions.fetch_add(1, Relaxed);
        Place(Arc::clone(self))
    }

    /// Places taken.
    pub(super) fn sessions(&self) -> usize {
        self.sessions.load(Relaxed)
    }

    pub(super) fn add_to(&self, stats: &mut EngineStats) {
        stats.sessions += self.sessions.load(Relaxed);
        stats.sessions_opened += self.sessions_opened.load(Relaxed);
        stats.packets_sent += self.packets_sent.load(Relaxed);
        stats.datagrams_received += self.datagrams_received.load(Relaxed);
        stats.events_dropped += self.events_dropped.load(Relaxed);
        stats.socket_errors += self.socket_errors.load(Relaxed);
        for (total, shared) in stats.lateness.iter_mut().zip(&self.lateness) {
            *total += shared.load(Relaxed);
        }
    }
}

fn add(shared: &AtomicU64, counted: u64) {
    if counted > 0 {
        shared.fetch_add(counted, Relaxed);
    }
}
