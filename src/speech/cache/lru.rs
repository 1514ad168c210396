//! A memory of clips that is bounded by bytes and forgets what was not used for longest.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

use crate::telephony::codec::Clip;

pub(super) struct Lru<K> {
    max_bytes: usize,
    bytes: usize,
    entries: HashMap<K, Entry>,
    /// Keys by the time of their last use.
    order: BTreeMap<u64, K>,
    uses: u64,
}

struct Entry {
    clip: Clip,
    bytes: usize,
    used: u64,
}

impl<K: Copy + Eq + Hash> Lru<K> {
    pub(super) fn new(max_bytes: usize) -> Self {
        Self {
            max_bytes,
            bytes: 0,
            entries: HashMap::new(),
            order: BTreeMap::new(),
            uses: 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn get(&mut self, key: &K) -> Option<Clip> {
        let used = self.next_use();
        let entry = self.entries.get_mut(key)?;
        self.order.remove(&entry.used);
        entry.used = used;
        self.order.insert(used, *key);
        Some(entry.clip.clone())
    }

    /// Keeps a clip; one larger than the whole memory is not kept.
    pub(super) fn insert(&mut self, key: K, clip: Clip, bytes: usize) {
        self.remove(&key);
        if bytes > self.max_bytes {
            return;
        }
        while self.bytes + bytes > self.max_bytes {
            let Some((_, oldest)) = self.order.first_key_value() else {
                break;
            };
            let oldest = *oldest;
            self.remove(&oldest);
        }
        let used = self.next_use();
        self.order.insert(used, key);
        self.entries.insert(key, Entry { clip, bytes, used });
        self.bytes += bytes;
    }

    pub(super) fn remove_if(&mut self, condition: impl Fn(&K) -> bool) {
        let keys: Vec<K> = self.entries.keys().filter(|key| condition(key)).copied().collect();
        for key in keys {
            self.remove(&key);
        }
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.used);
            self.bytes -= entry.bytes;
        }
    }

    fn next_use(&mut self) -> u64 {
        self.uses += 1;
        self.uses
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn clip() -> Clip {
        Clip::from_pcm(&[0; 8])
    }

    #[test]
    fn what_was_used_last_stays() {
        let mut lru = Lru::new(20);
        lru.insert(1, clip(), 10);
        lru.insert(2, clip(), 10);
        assert!(lru.get(&1).is_some());
        lru.insert(3, clip(), 10);
        assert!(lru.get(&1).is_some() && lru.get(&2).is_none() && lru.get(&3).is_some());
    }

    #[test]
    fn what_is_too_large_is_not_kept() {
        let mut lru = Lru::new(20);
        lru.insert(1, clip(), 10);
        lru.insert(2, clip(), 21);
        assert!(lru.get(&1).is_some() && lru.get(&2).is_none());
    }

    proptest! {
        #[test]
        fn bytes_are_counted_and_bounded(steps in proptest::collection::vec((0u8..8, 0usize..40, any::<bool>()), 0..60)) {
            let mut lru = Lru::new(100);
            for (key, bytes, insert) in steps {
                if insert { lru.insert(key, clip(), bytes) } else { lru.get(&key); }
                prop_assert!(lru.bytes() <= 100);
                prop_assert_eq!(lru.bytes(), lru.entries.values().map(|e| e.bytes).sum::<usize>());
                prop_assert_eq!(lru.order.len(), lru.entries.len());
            }
            lru.remove_if(|_| true);
            prop_assert_eq!(lru.bytes(), 0);
        }
    }
}
