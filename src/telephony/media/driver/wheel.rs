//! Which sessions are due at which millisecond.

use std::cmp::Reverse;
use std::time::{Duration, Instant};

/// Longer than the longest packet time in milliseconds, so that a session is in the wheel once.
const SLOTS: usize = 64;

/// Sessions that share a slot before another slot is begun: waking costs more than what is done for a few sessions, and
/// the last of a pack is served a quarter of a millisecond after the first, at every packet alike. With 25, a hundred calls take
/// a quarter less of the processor than with 10; with 50 their pacing begins to show it.
pub(super) const PACK: usize = 25;

/// Where the next session goes, of places with so many each: one that has the fewest packs, begun ones first. The less
/// is better.
pub(super) fn preference(load: usize) -> (usize, Reverse<usize>) {
    (load / PACK, Reverse(load % PACK))
}

/// A wheel of 1 ms slots that hold session ids.
#[derive(Debug)]
pub(super) struct Wheel {
    epoch: Instant,
    slots: Vec<Vec<u64>>,
    /// The next millisecond since the epoch to be run.
    cursor: u64,
    /// Kept for its room.
    spare: Vec<u64>,
}

impl Wheel {
    pub(super) fn new(epoch: Instant) -> Self {
        Self {
            epoch,
            slots: vec![Vec::new(); SLOTS],
            cursor: 0,
            spare: Vec::new(),
        }
    }

    /// A wheel that stood still goes on at `now`; only for an empty one.
    pub(super) fn restart(&mut self, now: Instant) {
        self.cursor = self.cursor.max(self.millis(now));
    }

    /// Gives a session a millisecond of the next packet time, see [`preference`], and returns its moment.
    pub(super) fn admit(&mut self, id: u64, packet_time: Duration, now: Instant) -> Instant {
        let span = u64::try_from(packet_time.as_millis())
            .unwrap_or(1)
            .clamp(1, SLOTS as u64 - 1);
        // The cursor may lag behind: it moves only when something is due.
        let first = self.cursor.max(self.millis(now)) + 1;
        let millis = (first..first + span)
            .min_by_key(|millis| preference(self.load(*millis, span)))
            .unwrap_or(first);
        self.slots[slot(millis)].push(id);
        self.epoch + Duration::from_millis(millis)
    }

    /// Puts a session where its next deadline is.
    pub(super) fn insert(&mut self, id: u64, deadline: Instant) {
        // Never into the past, or it would come only a turn later.
        let millis = self.millis(deadline).max(self.cursor);
        self.slots[slot(millis)].push(id);
    }

    /// Takes the sessions of the next slot that is due, if one is. The vector must be handed back with
    /// [`Self::recycle`].
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Vec<u64>> {
        let due = self.millis(now);
        // After a standstill one turn visits every slot.
        self.cursor = self.cursor.max(due.saturating_sub(SLOTS as u64 - 1));
        while self.cursor <= due {
            let at = slot(self.cursor);
            self.cursor += 1;
            if !self.slots[at].is_empty() {
                return Some(std::mem::replace(&mut self.slots[at], std::mem::take(&mut self.spare)));
            }
        }
        None
    }

    /// Keeps a vector's room for the next slot.
    pub(super) fn recycle(&mut self, mut sessions: Vec<u64>) {
        sessions.clear();
        self.spare = sessions;
    }

    /// The moment of the next slot that holds sessions.
    pub(super) fn next_due(&self) -> Option<Instant> {
        (self.cursor..self.cursor + SLOTS as u64)
            .find(|millis| !self.slots[slot(*millis)].is_empty())
            .map(|millis| self.epoch + Duration::from_millis(millis))
    }

    fn millis(&self, moment: Instant) -> u64 {
        u64::try_from(moment.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX / 2)
    }

    /// Sessions that share this phase: those of one slot now, of the slots they come from, and those that are due before
    /// and have not been run.
    fn load(&self, millis: u64, span: u64) -> usize {
        let turns = (SLOTS as u64 / span).max(1);
        let waiting = millis.checked_sub(span).filter(|before| *before >= self.cursor);
        (0..turns)
            .map(|turn| millis + turn * span)
            .chain(waiting)
            .map(|millis| self.slots[slot(millis)].len())
            .sum()
    }
}

fn slot(millis: u64) -> usize {
    (millis % SLOTS as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn sessions_are_spread_over_the_packet_time() {
        let epoch = crate::time::monotonic();
        let mut wheel = Wheel::new(epoch);
        let mut loads = [0; 21];
        for id in 0..40 * PACK {
            loads[(wheel.admit(id as u64, 20 * MS, epoch) - epoch).as_millis() as usize] += 1;
            if id + 1 == PACK {
                assert_eq!(loads.iter().max(), Some(&PACK), "few sessions share one waking");
            }
        }
        assert_eq!(loads[1..], [2 * PACK; 20]);
    }

    #[test]
    fn sessions_that_are_due_are_not_overlooked() {
        let epoch = crate::time::monotonic();
        let mut wheel = Wheel::new(epoch);
        let due = wheel.admit(1, 20 * MS, epoch);
        // Opened when the first one's time has come, and before it was run.
        assert_eq!(wheel.admit(2, 20 * MS, due), due + 20 * MS);
    }

    #[test]
    fn a_session_begins_in_the_future_when_the_cursor_lags_behind() {
        let epoch = crate::time::monotonic();
        let mut wheel = Wheel::new(epoch);
        wheel.insert(1, epoch + 50 * MS);
        let now = epoch + 49 * MS;
        assert!(wheel.admit(2, 20 * MS, now) > now);
    }

    #[test]
    fn each_session_comes_once_per_packet_time() {
        let epoch = crate::time::monotonic();
        let mut wheel = Wheel::new(epoch);
        let mut deadlines: Vec<Instant> = [10, 20, 30, 60].map(|ms| wheel.admit(ms, ms as u32 * MS, epoch)).into();
        let mut runs = [0; 4];
        for step in 0..6_000u32 {
            let now = epoch + step * 100 * Duration::from_micros(1);
            while let Some(due) = wheel.take_due(now) {
                for &id in &due {
                    let at = [10, 20, 30, 60].iter().position(|ms| *ms == id).expect("one of them");
                    runs[at] += 1;
                    assert!(deadlines[at] <= now && now < deadlines[at] + MS);
                    deadlines[at] += id as u32 * MS;
                    wheel.insert(id, deadlines[at]);
                }
                wheel.recycle(due);
            }
        }
        assert_eq!(runs, [60, 30, 20, 10]);
    }

    #[test]
    fn after_a_standstill_every_session_comes_once() {
        let epoch = crate::time::monotonic();
        let mut wheel = Wheel::new(epoch);
        for id in 0..20 {
            wheel.admit(id, 20 * MS, epoch);
        }
        let mut seen = Vec::new();
        while let Some(due) = wheel.take_due(epoch + 5_003 * MS) {
            seen.extend(due);
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..20).collect::<Vec<_>>());
        wheel.insert(7, epoch + 5_004 * MS);
        assert_eq!(wheel.next_due(), Some(epoch + 5_004 * MS));
    }
}
