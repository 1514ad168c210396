//! Tables that become small again after they were large. The tables of the standard library keep the room of their
//! busiest moment, and 32 seconds of a thousand calls a second are many megabytes.

use std::collections::HashMap;
use std::hash::Hash;

/// Tables up to this room are left alone.
const SMALL: usize = 256;

/// Gives memory back when less than an eighth of the room is used. Called after each removal it costs no more than the
/// insertions did: what is moved is less than what was removed since.
pub fn give_room_back<K: Eq + Hash, V>(table: &mut HashMap<K, V>) {
    if table.capacity() > SMALL && table.len() < table.capacity() / 8 {
        table.shrink_to(2 * table.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_emptied_table_is_small_and_holds_what_is_left() {
        let mut table: HashMap<u32, u32> = (0..100_000).map(|number| (number, number)).collect();
        for number in 3..100_000 {
            table.remove(&number);
            give_room_back(&mut table);
            assert!(table.capacity() <= 16 * table.len().max(SMALL));
        }
        assert!(table.capacity() <= SMALL);
        assert_eq!((table.len(), table[&2]), (3, 2));
    }
}
