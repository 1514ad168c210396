//! How many passwords there are, exactly, and which is the n-th of them.
//!
//! A password here is a word over the alphabet of a given length that has at least so many small letters, capitals
//! and digits, exactly so many symbols, and no two neighbours of one sound. `ways` counts the words by dynamic
//! programming: how many endings are left, given what is still needed and the character before. Drawing each
//! character in proportion to the endings behind it makes every word equally likely.

use rand::CryptoRng;
use zeroize::Zeroizing;

use super::super::policy::Class;
use super::alphabet::Member;

/// How many of each class: at least, but for symbols exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Needs {
    pub(super) lower: usize,
    pub(super) upper: usize,
    pub(super) digits: usize,
    pub(super) symbols: usize,
}

impl Needs {
    pub(super) fn of(&mut self, class: Class) -> &mut usize {
        match class {
            Class::Lower => &mut self.lower,
            Class::Upper => &mut self.upper,
            Class::Digit => &mut self.digits,
            Class::Symbol => &mut self.symbols,
        }
    }

    pub(super) fn total(&self) -> usize {
        self.lower + self.upper + self.digits + self.symbols
    }

    /// After a character of this class; `None` if it may not come any more.
    fn after(mut self, class: Class) -> Option<Self> {
        let need = self.of(class);
        match (class, *need) {
            (Class::Symbol, 0) => return None,
            _ => *need = need.saturating_sub(1),
        }
        Some(self)
    }

    fn met(&self) -> bool {
        self.total() == 0
    }
}

/// The words over an alphabet with certain needs, up to a length.
#[derive(Clone, Debug)]
pub(super) struct Words {
    alphabet: Vec<Member>,
    needs: Needs,
    /// By number of characters left, then by need and character before.
    layers: Vec<Vec<u128>>,
}

impl Words {
    /// Counts the words of every length up to `max`. The caller sees to it that the alphabet to the power of `max` is
    /// below 2^128.
    pub(super) fn new(alphabet: Vec<Member>, needs: Needs, max: usize) -> Self {
        let mut words = Self {
            alphabet,
            needs,
            layers: Vec::with_capacity(max + 1),
        };
        let ends = words.layer(|needs, _| u128::from(needs.met()));
        words.layers.push(ends);
        for left in 1..=max {
            let before = &words.layers[left - 1];
            let layer = words.layer(|needs, last| {
                let endings = words.next(needs, last).map(|(_, state)| before[state]);
                endings.sum()
            });
            words.layers.push(layer);
        }
        words
    }

    /// How many words of `length` there are; 0 beyond the longest.
    pub(super) fn count(&self, length: usize) -> u128 {
        let start = self.state(self.needs, None);
        self.layers.get(length).map_or(0, |layer| layer[start])
    }

    /// How many words of `length` have characters at `at` that `pattern` allows, one predicate for each.
    pub(super) fn count_with(&self, length: usize, at: usize, pattern: &[impl Fn(char) -> bool]) -> u128 {
        let mut layer = self.layer(|needs, _| u128::from(needs.met()));
        for place in (0..length).rev() {
            let allowed = place.checked_sub(at).and_then(|index| pattern.get(index));
            layer = self.layer(|needs, last| {
                let fits = |&(member, _): &(Member, usize)| allowed.is_none_or(|allowed| allowed(member.c));
                let endings = self.next(needs, last).filter(fits).map(|(_, state)| layer[state]);
                endings.sum()
            });
        }
        layer[self.state(self.needs, None)]
    }

    /// A word of `length`, each as likely as the other; `None` if there is none.
    pub(super) fn draw<R: CryptoRng + ?Sized>(&self, length: usize, rng: &mut R) -> Option<Zeroizing<String>> {
        let total = self.count(length);
        let mut number = (total > 0).then(|| below(total, rng))?;
        let mut word = Zeroizing::new(String::with_capacity(4 * length));
        let (mut needs, mut last) = (self.needs, None);
        for left in (0..length).rev() {
            let mut found = None;
            for (member, state) in self.next(needs, last) {
                let endings = self.layers[left][state];
                if number < endings {
                    found = Some(member);
                    break;
                }
                number -= endings;
            }
            let member = found?;
            word.push(member.c);
            needs = needs.after(member.class)?;
            last = Some(member);
        }
        Some(word)
    }

    /// What may come next, with the state that it leads to.
    fn next(&self, needs: Needs, last: Option<Member>) -> impl Iterator<Item = (Member, usize)> + '_ {
        let fresh = move |member: &&Member| last.is_none_or(|last| last.sound != member.sound);
        self.alphabet.iter().filter(fresh).filter_map(move |&member| {
            let needs = needs.after(member.class)?;
            Some((member, self.state(needs, Some(member))))
        })
    }

    fn layer(&self, ways: impl Fn(Needs, Option<Member>) -> u128) -> Vec<u128> {
        let mut layer = Vec::with_capacity(self.states());
        for lower in 0..=self.needs.lower {
            for upper in 0..=self.needs.upper {
                for digits in 0..=self.needs.digits {
                    for symbols in 0..=self.needs.symbols {
                        let needs = Needs {
                            lower,
                            upper,
                            digits,
                            symbols,
                        };
                        layer.push(ways(needs, None));
                        layer.extend(self.alphabet.iter().map(|&member| ways(needs, Some(member))));
                    }
                }
            }
        }
        layer
    }

    fn states(&self) -> usize {
        let Needs {
            lower,
            upper,
            digits,
            symbols,
        } = self.needs;
        (lower + 1) * (upper + 1) * (digits + 1) * (symbols + 1) * (self.alphabet.len() + 1)
    }

    /// The place of a state in a layer, in the order in which [`Self::layer`] fills it.
    fn state(&self, needs: Needs, last: Option<Member>) -> usize {
        let place = |last: Member| self.alphabet.iter().position(|member| member.c == last.c);
        let last = last.and_then(place).map_or(0, |place| place + 1);
        let mut index = needs.lower;
        index = index * (self.needs.upper + 1) + needs.upper;
        index = index * (self.needs.digits + 1) + needs.digits;
        index = index * (self.needs.symbols + 1) + needs.symbols;
        index * (self.alphabet.len() + 1) + last
    }
}

/// A number below `bound`, all equally likely: bits are drawn again when they make a number that is too large, on
/// average less than once.
fn below<R: CryptoRng + ?Sized>(bound: u128, rng: &mut R) -> u128 {
    let mask = u128::MAX >> (bound - 1).leading_zeros().min(127);
    loop {
        let bits = u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64());
        if bits & mask < bound {
            return bits & mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::super::super::policy::Symbols;
    use super::super::alphabet::alphabet;
    use super::*;

    fn small() -> Words {
        let wanted = "dDf2+=";
        let members = alphabet(Symbols::all())
            .into_iter()
            .filter(|member| wanted.contains(member.c));
        let needs = Needs {
            lower: 1,
            upper: 0,
            digits: 1,
            symbols: 1,
        };
        Words::new(members.collect(), needs, 6)
    }

    /// Every word, by trying all.
    fn all(words: &Words, length: usize) -> Vec<String> {
        let mut all = vec![String::new()];
        for _ in 0..length {
            let longer = |word: &String| {
                let word = word.clone();
                words.alphabet.iter().map(move |member| format!("{word}{}", member.c))
            };
            all = all.iter().flat_map(longer).collect();
        }
        let good = |word: &String| {
            let count = |set: &str| word.chars().filter(|&c| set.contains(c)).count();
            let sounds: Vec<char> = word.chars().map(|c| c.to_ascii_lowercase()).collect();
            count("df") >= 1 && count("2") >= 1 && count("+=") == 1 && sounds.windows(2).all(|pair| pair[0] != pair[1])
        };
        all.retain(good);
        all
    }

    #[test]
    fn counting_agrees_with_trying_all() {
        let words = small();
        for length in 0..=6 {
            assert_eq!(
                words.count(length),
                all(&words, length).len() as u128,
                "length {length}"
            );
        }
        assert_eq!(words.count(7), 0);
    }

    #[test]
    fn counting_with_a_pattern_agrees_with_trying_all() {
        let words = small();
        let pattern = [|c: char| "dD".contains(c), |c: char| "2f".contains(c)];
        for at in 0..=3 {
            let fits = |word: &&String| pattern.iter().zip(word.chars().skip(at)).all(|(fits, c)| fits(c));
            let expected = all(&words, 5).iter().filter(fits).count() as u128;
            assert_eq!(words.count_with(5, at, &pattern), expected, "at {at}");
        }
    }

    #[test]
    fn every_word_is_drawn_equally_often() {
        let words = small();
        let mut rng = StdRng::seed_from_u64(1);
        let mut seen: HashMap<String, u32> = HashMap::new();
        let draws = 100 * u32::try_from(words.count(4)).unwrap();
        for _ in 0..draws {
            *seen.entry(words.draw(4, &mut rng).unwrap().to_string()).or_default() += 1;
        }
        let mut drawn: Vec<_> = seen.keys().cloned().collect();
        let mut expected = all(&words, 4);
        drawn.sort();
        expected.sort();
        assert_eq!(drawn, expected);
        // Chi-squared has a mean of n-1 and a standard deviation of sqrt(2(n-1)); five of them is one in millions.
        let chi: f64 = seen
            .values()
            .map(|&times| (f64::from(times) - 100.0).powi(2) / 100.0)
            .sum();
        let freedom = seen.len() as f64 - 1.0;
        assert!(
            (chi - freedom).abs() < 5.0 * (2.0 * freedom).sqrt(),
            "{chi} for {freedom}"
        );
    }

    #[test]
    fn numbers_below_a_bound_reach_both_ends_and_no_more() {
        let mut rng = StdRng::seed_from_u64(2);
        for bound in [1, 2, 3, 7, 8, 9] {
            let numbers: std::collections::BTreeSet<u128> = (0..400).map(|_| below(bound, &mut rng)).collect();
            assert_eq!(numbers, (0..bound).collect());
        }
        assert!((0..9).map(|_| below(u128::MAX, &mut rng)).max() > Some(u128::MAX / 2));
    }
}
