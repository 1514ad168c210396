//! Turns for work that may be done at once: so much of it in all, and no more than a share for one line.
//!
//! A client whose targets hang, or that asks for everything at once, waits behind its own requests: the rest of the places
//! is for the others, who wait in the order in which they came.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::network_list::line;
use crate::table::give_room_back;

/// Places for one kind of work.
pub(super) struct Turns {
    places: Semaphore,
    /// Of one line; always fewer than all, if there are several.
    share: usize,
    /// The lines that have or await a place.
    lines: Mutex<HashMap<IpAddr, Line>>,
}

struct Line {
    share: Arc<Semaphore>,
    /// How many have or await a place of it.
    held: usize,
}

/// A place, until it is dropped.
pub(super) struct Turn<'a> {
    // Both are given back before the line is forgotten, since it is dropped last.
    _place: SemaphorePermit<'a>,
    _share: tokio::sync::OwnedSemaphorePermit,
    _line: Held<'a>,
}

impl Turns {
    /// So many places.
    pub(super) fn new(places: usize) -> Self {
        Self {
            places: Semaphore::new(places),
            share: (places - places / 4).max(1),
            lines: Mutex::default(),
        }
    }

    /// A place for work of this address, if one becomes free in time.
    pub(super) async fn take(&self, address: IpAddr, patience: Duration) -> Option<Turn<'_>> {
        let held = self.hold(line(address));
        let wait = async {
            let share = Arc::clone(&held.share).acquire_owned().await.ok()?;
            let place = self.places.acquire().await.ok()?;
            Some((place, share))
        };
        let (place, share) = timeout(patience, wait).await.ok().flatten()?;
        Some(Turn {
            _place: place,
            _share: share,
            _line: held,
        })
    }

    fn hold(&self, line: IpAddr) -> Held<'_> {
        let mut lines = self.lines();
        let entry = lines.entry(line).or_insert_with(|| Line {
            share: Arc::new(Semaphore::new(self.share)),
            held: 0,
        });
        entry.held += 1;
        Held {
            turns: self,
            line,
            share: Arc::clone(&entry.share),
        }
    }

    fn lines(&self) -> MutexGuard<'_, HashMap<IpAddr, Line>> {
        // Each change is one entry; a panic in between leaves nothing half done.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line that is in the table, until the last one of it is dropped.
struct Held<'a> {
    turns: &'a Turns,
    line: IpAddr,
    share: Arc<Semaphore>,
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let mut lines = self.turns.lines();
        if let Some(entry) = lines.get_mut(&self.line) {
            entry.held -= 1;
            if entry.held == 0 {
                lines.remove(&self.line);
                give_room_back(&mut lines);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A_MOMENT: Duration = Duration::from_millis(400);

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_takes_all_it_can_leaves_places_to_others() {
        let turns = Turns::new(8);
        let mut taken = Vec::new();
        for host in 0..6 {
            let one = address(&format!("2001:db8::{host}"));
            taken.push(turns.take(one, A_MOMENT).await.expect("a place"));
        }
        assert!(
            turns.take(address("2001:db8::99"), A_MOMENT).await.is_none(),
            "one line"
        );
        let others = [
            turns.take(address("2001:db8:0:1::1"), A_MOMENT).await,
            turns.take(address("192.0.2.1"), A_MOMENT).await,
        ];
        assert!(others.iter().all(Option::is_some));
        assert!(
            turns.take(address("192.0.2.2"), A_MOMENT).await.is_none(),
            "all are taken"
        );
        taken.pop();
        assert!(turns.take(address("192.0.2.2"), A_MOMENT).await.is_some());
        drop((taken, others));
        assert!(turns.lines().is_empty());
        assert_eq!(turns.places.available_permits(), 8);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_waits_gets_the_place_that_becomes_free_and_a_wait_that_ends_keeps_nothing() {
        let turns = Turns::new(1);
        let one = address("192.0.2.1");
        let first = turns.take(one, A_MOMENT).await.expect("a place");
        let mut second = Box::pin(turns.take(one, A_MOMENT));
        tokio::select! {
            biased;
            _ = &mut second => panic!("it is taken"),
            () = tokio::time::sleep(A_MOMENT / 2) => drop(first),
        }
        let second = second.await.expect("a place");
        drop(turns.take(one, A_MOMENT));
        drop(second);
        assert!(turns.take(one, A_MOMENT).await.is_some());
        assert!(turns.lines().is_empty());
    }
}
