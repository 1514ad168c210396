//! Places for connections: as many as there may be at once, and of one address.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::activity::Activity;
use super::limits::Limits;
use super::metrics::ServerMetrics;
use crate::network_list::line;
use crate::table::give_room_back;

/// All places.
pub(super) struct Places {
    limits: Limits,
    metrics: Arc<ServerMetrics>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u64,
    taken: HashMap<u64, Taken>,
    per_address: HashMap<IpAddr, usize>,
}

struct Taken {
    /// Whom it counts for; nobody, for a trusted proxy.
    address: Option<IpAddr>,
    activity: Arc<Activity>,
    give_way: CancellationToken,
}

/// The place of one connection, until it is dropped.
pub(super) struct Place {
    id: u64,
    places: Arc<Places>,
    /// Cancelled when the connection must make room.
    pub(super) give_way: CancellationToken,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({})", self.id)
    }
}

/// No place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Full {
    /// Requests are worked for on all connections.
    House,
    /// The address has its share.
    Address,
}

impl Places {
    pub(super) fn new(limits: &Limits, metrics: Arc<ServerMetrics>) -> Arc<Self> {
        Arc::new(Self {
            limits: limits.clone(),
            metrics,
            table: Mutex::default(),
        })
    }

    /// A place for a connection from `address`; nobody's share for a trusted proxy. In a full house a connection gives way
    /// for which nothing is worked: of the address that has the most, the one that has waited for longest.
    pub(super) fn take(self: &Arc<Self>, address: Option<IpAddr>, activity: Arc<Activity>) -> Result<Place, Full> {
        let address = address.map(line);
        let mut table = self.table();
        table.count(address, self.limits.connections_per_address)?;
        if table.taken.len() >= self.limits.connections {
            if !table.make_room() {
                table.uncount(address);
                return Err(Full::House);
            }
            self.metrics.gave_way.add_one();
        }
        let id = table.next;
        table.next += 1;
        let give_way = CancellationToken::new();
        let taken = Taken {
            address,
            activity,
            give_way: give_way.clone(),
        };
        table.taken.insert(id, taken);
        self.metrics.connections_accepted.add_one();
        Ok(Place {
            id,
            places: Arc::clone(self),
            give_way,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// It turned out whom the connection is for.
    pub(super) fn counts_for(&self, address: IpAddr) -> Result<(), Full> {
        let address = line(address);
        let mut table = self.places.table();
        // It may have had to give way meanwhile.
        if !table.taken.contains_key(&self.id) {
            return Err(Full::House);
        }
        table.count(Some(address), self.places.limits.connections_per_address)?;
        let before = table
            .taken
            .get_mut(&self.id)
            .and_then(|taken| taken.address.replace(address));
        table.uncount(before);
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.table().remove(self.id);
        self.places.metrics.connections_closed.add_one();
    }
}

impl Table {
    /// `address` is a line: of IPv6, a /64 counts as one.
    fn count(&mut self, address: Option<IpAddr>, most: usize) -> Result<(), Full> {
        let Some(address) = address else { return Ok(()) };
        let count = self.per_address.entry(address).or_default();
        if *count >= most {
            return Err(Full::Address);
        }
        *count += 1;
        Ok(())
    }

    fn uncount(&mut self, address: Option<IpAddr>) {
        let Some(address) = address else { return };
        if let Some(count) = self.per_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&address);
                give_room_back(&mut self.per_address);
            }
        }
    }

    /// Looks at all; that costs little beside the handshake of the one that comes.
    fn make_room(&mut self) -> bool {
        let held = |taken: &Taken| taken.address.map_or(0, |address| self.per_address[&address]);
        let dispensable = self.taken.iter().filter_map(|(id, taken)| {
            let since = taken.activity.dispensable_since()?;
            Some((Reverse(held(taken)), since, *id))
        });
        let Some((.., id)) = dispensable.min() else {
            return false;
        };
        if let Some(taken) = self.remove(id) {
            taken.give_way.cancel();
        }
        true
    }

    fn remove(&mut self, id: u64) -> Option<Taken> {
        let taken = self.taken.remove(&id)?;
        give_room_back(&mut self.taken);
        self.uncount(taken.address);
        Some(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::time::monotonic;

    fn places(connections: usize, connections_per_address: usize) -> Arc<Places> {
        let limits = Limits {
            connections,
            connections_per_address,
            ..Limits::default()
        };
        Places::new(&limits, Arc::default())
    }

    fn activity(now: Instant) -> Arc<Activity> {
        Arc::new(Activity::new(&Limits::default(), now))
    }

    const ONE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const OTHER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 2));

    #[test]
    fn the_longest_idle_gives_way_and_never_one_with_a_request() {
        let start = monotonic();
        let places = places(3, 10);
        let later = |seconds| start + Duration::from_secs(seconds);
        let busy = activity(start);
        busy.request_begins(start);
        let taken = [
            places.take(Some(ONE), Arc::clone(&busy)),
            places.take(Some(ONE), activity(later(2))),
            places.take(Some(ONE), activity(later(1))),
        ]
        .map(|place| place.expect("a place"));
        let newcomer = activity(later(3));
        newcomer.request_begins(later(3));
        let fourth = places.take(Some(ONE), newcomer).expect("a place");
        assert_eq!(
            taken.each_ref().map(|place| place.give_way.is_cancelled()),
            [false, false, true]
        );
        let fifth = activity(later(4));
        fifth.request_begins(later(4));
        let fifth = places.take(Some(ONE), fifth).expect("a place");
        assert_eq!(
            taken.each_ref().map(|place| place.give_way.is_cancelled()),
            [false, true, true]
        );
        assert_eq!(
            places.take(Some(ONE), activity(later(5))).err(),
            Some(Full::House),
            "requests run on all"
        );
        busy.request_ends(later(6), false);
        assert!(places.take(Some(OTHER), activity(later(7))).is_ok());
        assert!(taken[0].give_way.is_cancelled());
        assert_eq!(places.metrics.gave_way.count(), 3);
        drop((taken, fourth, fifth));
        assert!(places.table().taken.is_empty() && places.table().per_address.is_empty());
        assert_eq!(places.metrics.connections_open(), 0);
    }

    #[test]
    fn whoever_has_the_most_gives_way_first_and_one_whose_body_does_not_come_too() {
        let start = monotonic();
        let places = places(4, 10);
        let of_one = places.take(Some(ONE), activity(start)).expect("a place");
        let slow: Vec<_> = (1..4)
            .map(|second| {
                let activity = activity(start + Duration::from_secs(second));
                activity.request_begins(start + Duration::from_secs(second));
                activity.body_begins();
                places.take(Some(OTHER), activity).expect("a place")
            })
            .collect();
        // So does one that takes no answer.
        let unread = activity(start);
        unread.request_begins(start);
        assert_eq!(unread.dispensable_since(), None);
        unread.answer_begins();
        assert_eq!(unread.dispensable_since(), Some(start));
        let newcomer = places.take(Some(ONE), activity(start + Duration::from_secs(9)));
        assert!(newcomer.is_ok() && !of_one.give_way.is_cancelled());
        let gone: Vec<bool> = slow.iter().map(|place| place.give_way.is_cancelled()).collect();
        assert_eq!(gone, [true, false, false]);
    }

    #[test]
    fn one_address_has_its_share_and_a_proxy_may_have_more() {
        let start = monotonic();
        let places = places(10, 2);
        let take = |address| places.take(address, activity(start));
        let taken = [take(Some(ONE)), take(Some(ONE))];
        assert_eq!(take(Some(ONE)).err(), Some(Full::Address));
        let far = |host: u16| IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]);
        let line = [take(Some(far(1))), take(Some(far(2)))];
        assert_eq!(take(Some(far(3))).err(), Some(Full::Address), "a /64 is one line");
        drop(line);
        let proxied: Vec<_> = (0..4).map(|_| take(None).expect("a place")).collect();
        assert_eq!(proxied[0].counts_for(ONE), Err(Full::Address));
        drop(taken);
        assert_eq!(proxied[1].counts_for(ONE), Ok(()));
        assert_eq!(proxied[2].counts_for(ONE), Ok(()));
        assert_eq!(proxied[3].counts_for(ONE), Err(Full::Address));
        drop(proxied);
        assert!(places.table().per_address.is_empty());
    }
}
