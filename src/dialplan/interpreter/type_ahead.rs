//! Keys that were pressed before somebody asked for them. Bounded, and wiped key by key.

use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::digit::{Digit, Digits};

/// A ring of keys. When it is full, further keys are dropped: sixty keys ahead is nobody who knows the menu.
#[derive(Default, Zeroize, ZeroizeOnDrop)]
pub(super) struct TypeAhead {
    keys: [Digit; TypeAhead::CAPACITY],
    first: usize,
    len: usize,
}

impl TypeAhead {
    const CAPACITY: usize = if Digits::MAX_LEN < 32 { Digits::MAX_LEN } else { 32 };

    pub(super) fn push(&mut self, key: Digit) {
        if self.len < Self::CAPACITY {
            self.keys[(self.first + self.len) % Self::CAPACITY] = key;
            self.len += 1;
        }
    }

    /// Takes out the oldest key and wipes its place.
    pub(super) fn pop(&mut self) -> Option<Digit> {
        if self.len == 0 {
            return None;
        }
        let key = std::mem::take(&mut self.keys[self.first]);
        self.first = (self.first + 1) % Self::CAPACITY;
        self.len -= 1;
        Some(key)
    }

    /// Takes out the oldest key if it is this one.
    pub(super) fn skip(&mut self, key: Digit) {
        if self.len > 0 && self.keys[self.first] == key {
            self.pop();
        }
    }

    pub(super) fn clear(&mut self) {
        self.zeroize();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_come_out_in_order_and_leave_nothing_behind() {
        let mut ahead = TypeAhead::default();
        for round in 0..5 {
            for key in [Digit::D4, Digit::D7, Digit::D1] {
                ahead.push(key);
            }
            for key in [Digit::D4, Digit::D7, Digit::D1] {
                assert_eq!(ahead.pop(), Some(key), "round {round}");
            }
            assert!(ahead.is_empty() && ahead.pop().is_none());
            assert!(ahead.keys.iter().all(|key| *key == Digit::D0));
        }
    }

    #[test]
    fn two_hundred_keys_do_not_grow_it() {
        let mut ahead = TypeAhead::default();
        (0..200).for_each(|_| ahead.push(Digit::D9));
        let kept = std::iter::from_fn(|| ahead.pop()).count();
        assert_eq!(kept, TypeAhead::CAPACITY);
    }
}
