//! Whom a run has met: one bit for each person.

/// A set of numbers from 0 up, dense.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<u64>);

impl Seen {
    /// Puts a number in. Those below 0 are none of ours.
    pub(super) fn mark(&mut self, number: i64) {
        let Ok(number) = usize::try_from(number) else { return };
        if self.0.len() <= number / 64 {
            self.0.resize(number / 64 + 1, 0);
        }
        self.0[number / 64] |= 1 << (number % 64);
    }

    /// Whether it is in.
    pub(super) fn contains(&self, number: i64) -> bool {
        let word = usize::try_from(number)
            .ok()
            .and_then(|number| Some((self.0.get(number / 64)?, number % 64)));
        word.is_some_and(|(word, bit)| word & (1 << bit) != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_marked_is_there_and_nothing_else() {
        let mut seen = Seen::default();
        assert!(!seen.contains(5));
        for number in [0, 63, 64, 1_000] {
            seen.mark(number);
        }
        let inside: Vec<i64> = (-2..2_000).filter(|&number| seen.contains(number)).collect();
        assert_eq!(inside, [0, 63, 64, 1_000]);
    }
}
