//! Keys in the order in which they were pressed, on lines that reorder.
//!
//! ```text
//!  sent     1 1 1 1 · 2 2 2 2        a key is several packets, and counts on the first that arrives
//!  arrives  1̶ · · · 2 1 1 2 ...      all that came of key 1 was overtaken by key 2
//!  told     · · · · · 1 2            key 2 waited: the numbers right before it were missing
//! ```
//!
//! A key whose predecessors have all arrived is told at once, so that nobody waits on a good line. Where some are missing,
//! it waits until they come, but not longer than packets overtake each other.

use std::time::{Duration, Instant};

use zeroize::Zeroize as _;

use crate::digit::Digit;

/// By how much packets overtake each other on lines that people still talk on.
const WAIT: Duration = Duration::from_millis(100);
/// Packets that can be overtaken within the wait, at the usual 20 ms.
pub const OVERTAKEN: u16 = 5;
/// Keys that wait; more come at once only when the line was stuck, and are then told as they came.
const MAX_HELD: usize = 16;

/// Holds keys back until those before them are here.
#[derive(Debug, Default)]
pub struct PressOrder {
    /// Oldest first.
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    press: OrderedPress,
    until: Instant,
}

/// A key, with the packet that told of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OrderedPress {
    /// The key.
    pub digit: Digit,
    /// When its packet arrived.
    pub at: Instant,
    /// Of the packet.
    pub ssrc: u32,
    /// Of the packet.
    pub sequence: u16,
}

impl PressOrder {
    /// Takes a key that was pressed.
    pub fn press(&mut self, press: OrderedPress) {
        let before = |held: &Held| {
            held.press.ssrc != press.ssrc || held.press.sequence.wrapping_sub(press.sequence).cast_signed() < 0
        };
        let place = self.held.iter().rposition(before).map_or(0, |index| index + 1);
        self.held.insert(
            place,
            Held {
                press,
                until: press.at + WAIT,
            },
        );
    }

    /// The next key that may be told. `is_complete` says whether the [`OVERTAKEN`] packets before one have arrived.
    pub fn poll(&mut self, now: Instant, is_complete: impl Fn(&OrderedPress) -> bool) -> Option<OrderedPress> {
        let first = self.held.first()?;
        let may_be_told = self.held.len() > MAX_HELD || now >= first.until || is_complete(&first.press);
        if !may_be_told {
            return None;
        }
        let press = first.press;
        // What is left in memory behind the last one holds no key.
        self.held[0].press.digit.zeroize();
        self.held.rotate_left(1);
        self.held.pop();
        Some(press)
    }
}

impl Drop for PressOrder {
    fn drop(&mut self) {
        self.held.iter_mut().for_each(|held| held.press.digit.zeroize());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn press(digit: Digit, sequence: u16, at: Instant) -> OrderedPress {
        OrderedPress {
            digit,
            at,
            ssrc: 7,
            sequence,
        }
    }

    fn told(order: &mut PressOrder, now: Instant, complete: bool) -> Vec<Digit> {
        std::iter::from_fn(|| order.poll(now, |_| complete))
            .map(|press| press.digit)
            .collect()
    }

    #[test]
    fn on_a_good_line_a_key_is_told_at_once() {
        let now = crate::time::monotonic();
        let mut order = PressOrder::default();
        order.press(press(Digit::D1, 7, now));
        assert_eq!(told(&mut order, now, true), [Digit::D1]);
    }

    #[test]
    fn a_key_that_was_overtaken_comes_first_also_where_numbers_wrap() {
        let now = crate::time::monotonic();
        let mut order = PressOrder::default();
        order.press(press(Digit::D2, 3, now));
        assert_eq!(told(&mut order, now, false), []);
        order.press(press(Digit::D1, 0xfffe, now + 20 * MS));
        order.press(press(Digit::D3, 9, now + 40 * MS));
        assert_eq!(
            told(&mut order, now + 120 * MS, true),
            [Digit::D1, Digit::D2, Digit::D3]
        );
    }

    #[test]
    fn what_was_lost_is_not_waited_for_for_ever() {
        let now = crate::time::monotonic();
        let mut order = PressOrder::default();
        order.press(press(Digit::D2, 12, now));
        assert_eq!(told(&mut order, now + 99 * MS, false), []);
        assert_eq!(told(&mut order, now + 100 * MS, false), [Digit::D2]);
    }

    #[test]
    fn after_a_change_of_ssrc_keys_stay_as_they_came() {
        let now = crate::time::monotonic();
        let mut order = PressOrder::default();
        order.press(press(Digit::D1, 900, now));
        order.press(OrderedPress {
            ssrc: 8,
            ..press(Digit::D2, 100, now)
        });
        assert_eq!(told(&mut order, now + WAIT, false), [Digit::D1, Digit::D2]);
    }

    #[test]
    fn what_waits_is_bounded() {
        let now = crate::time::monotonic();
        let mut order = PressOrder::default();
        for sequence in 0..100 {
            order.press(press(Digit::D1, sequence, now));
            told(&mut order, now, false);
            assert!(order.held.len() <= MAX_HELD);
        }
    }
}
