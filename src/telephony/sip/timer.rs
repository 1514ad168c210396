//! Named timers on one heap.
//!
//! A timer is known by its key: setting it again moves it, cancelling forgets it. The heap keeps outdated entries until
//! they come up or outnumber the live ones, so that both cost a push or a hash removal and nothing is searched.

use crate::table::give_room_back;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// Round-trip time estimate (RFC 3261 section 17.1.1.1).
pub const T1: Duration = Duration::from_millis(500);
/// Longest interval between two sends of a request other than INVITE, or of an answer to INVITE.
pub const T2: Duration = Duration::from_secs(4);
/// How long a message may linger in the network.
pub const T4: Duration = Duration::from_secs(5);
/// `64*T1`: timers B, F, H, J and the time that an ACK may take.
pub const T1_64: Duration = Duration::from_secs(32);

/// A set of timers, each with a key.
pub struct Timers<K> {
    live: HashMap<K, Instant>,
    heap: BinaryHeap<Reverse<(Instant, K)>>,
}

impl<K: Ord> Default for Timers<K> {
    fn default() -> Self {
        Self {
            live: HashMap::new(),
            heap: BinaryHeap::new(),
        }
    }
}

impl<K: Copy + Eq + Hash + Ord> Timers<K> {
    /// Sets or moves the timer `key` to `when`.
    pub fn set(&mut self, key: K, when: Instant) {
        self.live.insert(key, when);
        self.heap.push(Reverse((when, key)));
        if self.heap.len() > 2 * self.live.len() + 1024 {
            self.heap = self.live.iter().map(|(&key, &when)| Reverse((when, key))).collect();
        }
    }

    /// Forgets the timer `key`.
    pub fn cancel(&mut self, key: K) {
        self.live.remove(&key);
        give_room_back(&mut self.live);
    }

    /// When the next timer runs out.
    pub fn next_deadline(&mut self) -> Option<Instant> {
        self.drop_outdated();
        self.heap.peek().map(|&Reverse((when, _))| when)
    }

    /// Takes a timer that has run out by `now`, the earliest first.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        self.drop_outdated();
        let &Reverse((when, key)) = self.heap.peek()?;
        if when > now {
            return None;
        }
        self.heap.pop();
        if self.heap.len() < self.heap.capacity() / 8 {
            self.heap.shrink_to(2 * self.heap.len());
        }
        self.live.remove(&key);
        give_room_back(&mut self.live);
        Some(key)
    }

    /// How many timers are set.
    #[must_use]
    pub fn count(&self) -> usize {
        self.live.len()
    }

    fn drop_outdated(&mut self) {
        while let Some(Reverse((when, key))) = self.heap.peek() {
            if self.live.get(key) == Some(when) {
                return;
            }
            self.heap.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::monotonic;

    #[test]
    fn moved_and_cancelled_timers_do_not_fire() {
        let start = monotonic();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.set(1, at(10));
        timers.set(2, at(20));
        timers.set(1, at(30));
        timers.cancel(2);
        assert_eq!(timers.next_deadline(), Some(at(30)));
        assert_eq!(timers.pop_due(at(29)), None);
        assert_eq!(timers.pop_due(at(30)), Some(1));
        assert_eq!((timers.next_deadline(), timers.count()), (None, 0));
    }

    #[test]
    fn resetting_one_timer_for_ever_does_not_grow_the_heap() {
        let start = monotonic();
        let mut timers = Timers::default();
        for ms in 0..100_000 {
            timers.set(7, start + Duration::from_millis(ms));
        }
        assert!(timers.heap.len() < 2_000);
        assert_eq!(timers.pop_due(start + Duration::from_secs(100)), Some(7));
    }
}
