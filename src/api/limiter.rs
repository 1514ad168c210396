//! How often an address and a client may ask, so that none of them takes the database from the callers of the others.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::network_list::line;
use crate::rate::{Bucket, Rate};

/// Buckets of addresses and clients; cheap to clone.
#[derive(Clone)]
pub struct Limiter(Arc<Mutex<Inner>>);

struct Inner {
    addresses: Buckets<IpAddr>,
    clients: Buckets<String>,
}

/// Addresses that are counted one by one. Only those that some client may come from get so far.
const MAX_ADDRESSES: usize = 8_192;

/// Clients that are counted one by one.
const MAX_CLIENTS: usize = 1_024;

impl Limiter {
    /// Full buckets.
    #[must_use]
    pub fn new(per_address: Rate, per_client: Rate, now: Instant) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            addresses: Buckets::new(per_address, MAX_ADDRESSES, now),
            clients: Buckets::new(per_client, MAX_CLIENTS, now),
        })))
    }

    /// Whether one more request of an address is heard. Of IPv6, a /64 counts as one: it is one line.
    pub fn admit_address(&self, address: IpAddr, now: Instant) -> bool {
        self.with(|inner| inner.addresses.take(line(address), now))
    }

    /// Whether one more request of a client is heard.
    pub fn admit_client(&self, client: &str, now: Instant) -> bool {
        self.with(|inner| inner.clients.take(client.to_owned(), now))
    }

    fn with<T>(&self, take: impl FnOnce(&mut Inner) -> T) -> T {
        // Each change is one token; a panic in between leaves nothing half done.
        take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A bucket each, in a table that does not grow for ever.
struct Buckets<K> {
    rate: Rate,
    max: usize,
    each: HashMap<K, Bucket>,
    /// Of all who came when the table was full.
    others: Bucket,
}

impl<K: Hash + Eq> Buckets<K> {
    fn new(rate: Rate, max: usize, now: Instant) -> Self {
        Self {
            rate,
            max,
            each: HashMap::new(),
            others: Bucket::new(rate, now),
        }
    }

    fn take(&mut self, key: K, now: Instant) -> bool {
        if self.each.len() >= self.max && !self.each.contains_key(&key) {
            // Whoever was quiet for long enough need not be remembered.
            self.each.retain(|_, bucket| !bucket.is_full(now));
            if self.each.len() >= self.max {
                return self.others.take(now);
            }
        }
        let fresh = Bucket::new(self.rate, now);
        self.each.entry(key).or_insert(fresh).take(now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn rate(per_second: u32, burst: u32) -> Rate {
        Rate { per_second, burst }
    }

    #[test]
    fn one_that_is_loud_does_not_silence_another() {
        let now = crate::time::monotonic();
        let limiter = Limiter::new(rate(1, 3), rate(1, 2), now);
        let admitted = |address: &str, now| limiter.admit_address(address.parse().unwrap(), now);
        for _ in 0..3 {
            assert!(admitted("192.0.2.1", now));
        }
        assert!(!admitted("192.0.2.1", now) && !admitted("::ffff:192.0.2.1", now));
        assert!(admitted("192.0.2.2", now) && admitted("192.0.2.1", now + Duration::from_secs(1)));
        for host in ["2001:db8::1", "2001:db8::2", "2001:db8::3"] {
            assert!(admitted(host, now));
        }
        assert!(!admitted("2001:db8::4", now) && admitted("2001:db8:0:1::1", now));
        assert!(limiter.admit_client("a", now) && limiter.admit_client("a", now) && !limiter.admit_client("a", now));
        assert!(limiter.admit_client("b", now));
    }

    #[test]
    fn the_table_does_not_grow_for_ever() {
        let now = crate::time::monotonic();
        let mut buckets = Buckets::new(rate(1, 2), 10, now);
        assert!((0..10).all(|key| buckets.take(key, now)));
        // Newcomers share a bucket while everybody in the table has something to pay back.
        assert!(buckets.take(100, now) && buckets.take(101, now) && !buckets.take(102, now));
        assert_eq!(buckets.each.len(), 10);
        assert!(buckets.take(103, now + Duration::from_secs(1)));
        assert_eq!(buckets.each.len(), 1);
    }
}
