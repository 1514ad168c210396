//! How many passwords there are, exactly, and which is the n-th of them.
//!
//! A password here is a word over the alphabet of a given length that has at least so many small letters, capitals
//! and digits, exactly so many symbols, and no two neighbours of one sound. They are counted by dynamic programming:
//! how many endings are left, given what is still needed and the character before. Drawing each
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

    /// Every need from none up to this one, in the order of [`Self::index`].
    fn all(self) -> impl Iterator<Item = Self> {
        let count = self.index(self) + 1;
        (0..count).map(move |index| {
            let (index, symbols) = (index / (self.symbols + 1), index % (self.symbols + 1));
            let (index, digits) = (index / (self.digits + 1), index % (self.digits + 1));
            Self {
                lower: index / (self.upper + 1),
                upper: index % (self.upper + 1),
                digits,
                symbols,
            }
        })
    }

    /// The place of a smaller need among all; 0 is no need.
    fn index(self, need: Self) -> usize {
        let index = need.lower * (self.upper + 1) + need.upper;
        let index = index * (self.digits + 1) + need.digits;
        index * (self.symbols + 1) + need.symbols
    }
}

/// The words over an alphabet with certain needs, up to the length that was asked for so far.
///
/// A *state* is what is still needed together with the character before, as one number: all that decides how a word
/// can go on.
#[derive(Clone, Debug)]
pub(super) struct Words {
    alphabet: Vec<Member>,
    start: usize,
    /// By need and class: the need after a character of this class, or none if it may not come.
    after: Vec<[Option<usize>; 4]>,
    /// By length and state: how many endings of that length are left.
    endings: Vec<Vec<u128>>,
    /// By length and state: how many beginnings of that length lead there.
    beginnings: Vec<Vec<u128>>,
}

impl Words {
    /// Words of length 0; [`Self::grow`] does the rest.
    pub(super) fn new(alphabet: Vec<Member>, needs: Needs) -> Self {
        let after: Vec<_> = needs
            .all()
            .map(|need| Class::ALL.map(|class| need.after(class).map(|need| needs.index(need))))
            .collect();
        let width = alphabet.len() + 1;
        let states = after.len() * width;
        let start = needs.index(needs) * width;
        let mut beginnings = vec![0; states];
        beginnings[start] = 1;
        Self {
            // Need 0 is the need that is met.
            endings: vec![(0..states).map(|state| u128::from(state < width)).collect()],
            beginnings: vec![beginnings],
            alphabet,
            start,
            after,
        }
    }

    /// Counts the words up to `length`. The caller sees to it that the size of the alphabet to the power of `length`
    /// is below 2^128.
    pub(super) fn grow(&mut self, length: usize) {
        for done in self.endings.len() - 1..length {
            let shorter = &self.endings[done];
            let endings = (0..shorter.len()).map(|state| self.moves(state).map(|(_, next)| shorter[next]).sum());
            let endings = endings.collect();
            let beginnings = self.step(&self.beginnings[done], |_| true);
            self.endings.push(endings);
            self.beginnings.push(beginnings);
        }
    }

    /// How many words of `length` there are; 0 beyond what was grown.
    pub(super) fn count(&self, length: usize) -> u128 {
        self.endings.get(length).map_or(0, |endings| endings[self.start])
    }

    /// How many words of `length` have characters at `at` that `pattern` allows, one predicate for each.
    pub(super) fn count_with(&self, length: usize, at: usize, pattern: &[impl Fn(char) -> bool]) -> u128 {
        let Some(left) = length.checked_sub(at + pattern.len()) else {
            return 0;
        };
        let mut ways = self.beginnings[at].clone();
        for allowed in pattern {
            ways = self.step(&ways, allowed);
        }
        ways.iter()
            .zip(&self.endings[left])
            .map(|(ways, endings)| ways * endings)
            .sum()
    }

    /// A word of `length`, each as likely as the other; `None` if there is none.
    pub(super) fn draw<R: CryptoRng + ?Sized>(&self, length: usize, rng: &mut R) -> Option<Zeroizing<String>> {
        let total = self.count(length);
        let mut number = (total > 0).then(|| below(total, rng))?;
        let mut word = Zeroizing::new(String::with_capacity(4 * length));
        let mut state = self.start;
        for left in (0..length).rev() {
            let (member, next) = self.moves(state).find(|&(_, next)| {
                let endings = self.endings[left][next];
                let here = number < endings;
                number = if here { number } else { number - endings };
                here
            })?;
            word.push(member.c);
            state = next;
        }
        Some(word)
    }

    /// Every word of `length`, one by one.
    #[cfg(test)]
    pub(super) fn all(&self, length: usize) -> Vec<String> {
        let mut all = vec![(String::new(), self.start)];
        for _ in 0..length {
            let longer = |(word, state): &(String, usize)| {
                let word = word.clone();
                let moves = self.moves(*state);
                moves.map(move |(member, next)| (format!("{word}{}", member.c), next))
            };
            all = all.iter().flat_map(longer).collect();
        }
        let met = |&(_, state): &(String, usize)| self.endings[0][state] == 1;
        all.into_iter().filter(met).map(|(word, _)| word).collect()
    }

    /// One more character that is allowed.
    fn step(&self, ways: &[u128], allowed: impl Fn(char) -> bool) -> Vec<u128> {
        let mut longer = vec![0; ways.len()];
        for (state, &count) in ways.iter().enumerate().filter(|&(_, &count)| count > 0) {
            for (_, next) in self.moves(state).filter(|(member, _)| allowed(member.c)) {
                longer[next] += count;
            }
        }
        longer
    }

    /// What may come next, with the state that it leads to.
    fn moves(&self, state: usize) -> impl Iterator<Item = (Member, usize)> + '_ {
        let width = self.alphabet.len() + 1;
        let (need, last) = (state / width, state % width);
        let sound = last.checked_sub(1).map(|last| self.alphabet[last].sound);
        let members = self.alphabet.iter().enumerate();
        members
            .filter(move |(_, member)| sound != Some(member.sound))
            .filter_map(move |(index, &member)| {
                let need = self.after[need][member.class as usize]?;
                Some((member, need * width + index + 1))
            })
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
        let mut words = Words::new(members.collect(), needs);
        words.grow(6);
        words
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
        assert_eq!(words.count_with(5, 4, &pattern), 0);
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
