//! Passwords made for ears: read out on a telephone, written on paper, typed once.
//!
//! Every password of the chosen length that meets the policy is equally likely, so the entropy is the logarithm of how
//! many there are. That number is counted exactly (`count.rs`), less an upper bound for those that the user's data and
//! the dictionary rule out: what [`Generator::entropy_bits`] states is a proven lower bound. The alphabet, and why it
//! is so small: `alphabet.rs`.
//!
//! Leaves out on purpose: how it is spoken (`speech::phrase`).

mod alphabet;
mod count;

use std::collections::HashMap;

use rand::CryptoRng;
use serde::Deserialize;

use self::alphabet::{Member, alphabet};
use self::count::{Needs, Words};
use super::keypad;
use super::policy::{Class, Dictionary, MergedPolicy, Person, Policy, likeness};
use crate::digit::Digits;
use crate::secret::Secret;

/// How strong generated passwords are.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GeneratorConfig {
    /// Bits of entropy to reach, 28 to 80. Default 50: fourteen characters. A directory that locks after ten wrong
    /// tries gives nothing away for centuries, and policy lets it be changed at the first sign-in anyway.
    pub entropy_bits: u8,
    /// Bits below which nothing is generated, at most `entropy_bits`; in between, a system's short maximum decides.
    /// Default 28: eight characters, the most that an old mainframe takes.
    pub floor_bits: u8,
}

impl Default for GeneratorConfig {
    fn default() -> Self {
        Self {
            entropy_bits: 50,
            floor_bits: 28,
        }
    }
}

impl GeneratorConfig {
    /// Whether the numbers go together.
    ///
    /// # Errors
    /// [`GeneratorError::Config`].
    pub fn check(&self) -> Result<(), GeneratorError> {
        let good = (28..=80).contains(&self.entropy_bits) && (20..=self.entropy_bits).contains(&self.floor_bits);
        good.then_some(()).ok_or(GeneratorError::Config)
    }
}

/// Why there is no password.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum GeneratorError {
    /// Numbers out of range.
    #[error("generator: `entropy_bits` is 28 to 80, `floor_bits` 20 to `entropy_bits`")]
    Config,
    /// The policy wants more than anybody listens to.
    #[error(
        "the systems want at least {min} characters, but at most {} are read out",
        Generator::MAX_LENGTH
    )]
    TooLong {
        /// Fewest.
        min: usize,
    },
    /// The policy takes only symbols that cannot be read out.
    #[error("the systems want symbols, but take none that can be read out")]
    Symbols,
    /// The policy leaves too few passwords.
    #[error("the systems leave passwords of only {bits:.1} bits, {floor} are asked for")]
    TooWeak {
        /// The most that can be had.
        bits: f64,
        /// What must be had.
        floor: u8,
    },
    /// A thousand in a row were refused: the dictionary holds more than it says.
    #[error("no password was found that is not ruled out by the user's data or the dictionary")]
    Exhausted,
}

/// Makes passwords for one user and one set of systems.
pub struct Generator<'a> {
    policy: &'a Policy,
    person: &'a Person,
    dictionary: &'a dyn Dictionary,
    words: Words,
    length: usize,
    bits: f64,
}

impl std::fmt::Debug for Generator<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Generator {{ length: {}, bits: {:.1} }}", self.length, self.bits)
    }
}

impl<'a> Generator<'a> {
    /// The most characters that are read out; nobody listens to more, and counting stays below 2^128.
    pub const MAX_LENGTH: usize = 24;

    const MAX_REJECTED: usize = 1000;

    /// Prepares for the shortest passwords that reach [`GeneratorConfig::entropy_bits`].
    ///
    /// # Errors
    /// All but [`GeneratorError::Exhausted`].
    pub fn new(
        merged: &'a MergedPolicy,
        person: &'a Person,
        dictionary: &'a dyn Dictionary,
        config: &GeneratorConfig,
    ) -> Result<Self, GeneratorError> {
        config.check()?;
        let policy = merged.policy();
        let alphabet = alphabet(policy.symbols);
        let needs = needs(policy);
        if needs.symbols > 0 && !alphabet.iter().any(|member| member.class == Class::Symbol) {
            return Err(GeneratorError::Symbols);
        }
        let min = usize::from(policy.min_length).max(needs.total());
        let max = usize::from(policy.max_length).min(Self::MAX_LENGTH);
        if min > max {
            return Err(GeneratorError::TooLong { min });
        }
        let mut generator = Self {
            policy,
            person,
            dictionary,
            words: Words::new(alphabet.clone(), needs),
            length: min,
            bits: 0.0,
        };
        generator.reach(config, max, &alphabet)?;
        Ok(generator)
    }

    /// How many characters each password has.
    #[must_use]
    pub fn length(&self) -> usize {
        self.length
    }

    /// Entropy of each password in bits: a lower bound.
    #[must_use]
    pub fn entropy_bits(&self) -> f64 {
        self.bits
    }

    /// A fresh password.
    ///
    /// # Errors
    /// [`GeneratorError::Exhausted`].
    pub fn generate<R: CryptoRng + ?Sized>(&self, rng: &mut R) -> Result<Secret, GeneratorError> {
        for _ in 0..Self::MAX_REJECTED {
            let word = self.words.draw(self.length, rng).ok_or(GeneratorError::Exhausted)?;
            let password = Secret::new(word.as_str().to_owned());
            if self.policy.check(&password, self.person, self.dictionary).is_empty() {
                return Ok(password);
            }
        }
        Err(GeneratorError::Exhausted)
    }

    /// Settles on the shortest length that is strong enough, or else on the longest.
    fn reach(&mut self, config: &GeneratorConfig, max: usize, alphabet: &[Member]) -> Result<(), GeneratorError> {
        let (wanted, floor) = (f64::from(config.entropy_bits), config.floor_bits);
        for length in self.length..=max {
            self.words.grow(length);
            let at_most = (self.words.count(length) as f64).log2();
            if at_most >= wanted || length == max {
                (self.length, self.bits) = (length, self.bits_of(length, alphabet));
            }
            if self.bits >= wanted {
                return Ok(());
            }
        }
        let bits = self.bits;
        match bits >= f64::from(floor) {
            true => Ok(()),
            false => Err(GeneratorError::TooWeak { bits, floor }),
        }
    }

    fn bits_of(&self, length: usize, alphabet: &[Member]) -> f64 {
        let all = self.words.count(length);
        let ruled_out = self
            .with_user_data(length, alphabet)
            .saturating_add(self.in_dictionary(length, alphabet));
        let left = all.saturating_sub(ruled_out);
        // Rounding of the conversion and the logarithm is far below this margin.
        if left == 0 { 0.0 } else { (left as f64).log2() - 1e-9 }
    }

    /// Upper bound: words with a pattern at a place, summed over patterns and places.
    fn with_user_data(&self, length: usize, alphabet: &[Member]) -> u128 {
        if !self.policy.forbid_user_data {
            return 0;
        }
        let spellable = |c: char| alphabet.iter().any(|member| looks_like(member.c, c));
        let patterns = self.person.patterns().filter(|word| word.chars().all(spellable));
        patterns
            .map(|word| {
                let tests: Vec<_> = word
                    .chars()
                    .map(|c| move |member: char| looks_like(member, c))
                    .collect();
                let places = (length + 1).saturating_sub(tests.len());
                (0..places)
                    .map(|at| self.words.count_with(length, at, &tests))
                    .fold(0_u128, u128::saturating_add)
            })
            .fold(0, u128::saturating_add)
    }

    /// Upper bound: every way to spell the words of this length in the alphabet, also those without what the policy needs.
    fn in_dictionary(&self, length: usize, alphabet: &[Member]) -> u128 {
        if !self.policy.forbid_dictionary {
            return 0;
        }
        let mut spellings: HashMap<char, u128> = HashMap::new();
        for member in alphabet {
            for like in likeness(member.c.encode_utf8(&mut [0; 4])).chars() {
                *spellings.entry(like).or_default() += 1;
            }
        }
        let ways = |c: char| spellings.get(&c).copied().unwrap_or(0);
        let words = self.dictionary.of_length(length);
        words
            .map(|word| word.chars().map(ways).fold(1, u128::saturating_mul))
            .fold(0, u128::saturating_add)
    }
}

fn looks_like(c: char, like: char) -> bool {
    likeness(c.encode_utf8(&mut [0; 4])).chars().eq([like])
}

/// What the policy wants of each class. Where it only wants a number of classes, those come first that are quickly
/// said.
fn needs(policy: &Policy) -> Needs {
    let mut needs = Needs {
        lower: policy.min_lower.into(),
        upper: policy.min_upper.into(),
        digits: policy.min_digits.into(),
        symbols: policy.min_symbols.into(),
    };
    let by_effort = [Class::Lower, Class::Digit, Class::Upper, Class::Symbol];
    for class in by_effort {
        let present = by_effort.into_iter().filter(|&class| *needs.of(class) > 0).count();
        if present < usize::from(policy.min_classes) {
            let need = needs.of(class);
            *need = (*need).max(1);
        }
    }
    needs
}

/// In which groups a password is read out: sizes of 3 and 4 that add up to `length` (2 for lengths of 2 and 5, the
/// length itself below).
#[must_use]
pub fn group_sizes(length: usize) -> Vec<usize> {
    let groups = length.div_ceil(4);
    (0..groups)
        .map(|index| length / groups + usize::from(index < length % groups))
        .collect()
}

/// What a caller keys to read a password back: the key of each letter (E.161), digits themselves. Symbols
/// have no key and are left out: star starts an entry over.
/// Not longer than [`Digits::MAX_LEN`].
#[must_use]
pub fn keypad_form(password: &Secret) -> Digits {
    let keys = password.expose().chars();
    keys.filter_map(keypad::key_of).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::super::policy::{NoDictionary, Symbols, WordList, merge};
    use super::*;

    fn nobody() -> Person {
        Person::default()
    }

    fn with<T>(policy: &Policy, person: &Person, test: impl FnOnce(Result<Generator<'_>, GeneratorError>) -> T) -> T {
        let merged = merge([("system", policy)]).unwrap();
        test(Generator::new(
            &merged,
            person,
            &NoDictionary,
            &GeneratorConfig::default(),
        ))
    }

    fn length_and_bits(policy: &Policy) -> Result<(usize, f64), GeneratorError> {
        with(policy, &nobody(), |made| {
            made.map(|made| (made.length(), made.entropy_bits()))
        })
    }

    #[test]
    fn fifty_bits_take_fourteen_characters_of_a_classic_policy() {
        let (length, bits) = length_and_bits(&Policy::classic()).unwrap();
        assert_eq!(length, 14);
        assert!((50.0..51.5).contains(&bits), "{bits}");
        assert_eq!(length_and_bits(&Policy::nist()).unwrap().0, 15);
    }

    #[test]
    fn a_system_with_a_short_maximum_gets_the_strongest_that_fits_or_nothing() {
        let up_to = |max_length| Policy {
            min_length: 6,
            max_length,
            ..Policy::classic()
        };
        let (length, bits) = length_and_bits(&up_to(8)).unwrap();
        assert_eq!(length, 8);
        assert!((28.0..30.0).contains(&bits), "{bits}");
        let too_weak = length_and_bits(&up_to(7)).unwrap_err();
        assert!(
            matches!(too_weak, GeneratorError::TooWeak { floor: 28, .. }),
            "{too_weak}"
        );
    }

    #[test]
    fn nobody_is_read_more_than_24_characters() {
        let at_least = |min_length| Policy {
            min_length,
            ..Policy::classic()
        };
        assert_eq!(length_and_bits(&at_least(24)).unwrap().0, 24);
        assert_eq!(length_and_bits(&at_least(25)), Err(GeneratorError::TooLong { min: 25 }));
    }

    #[test]
    fn symbols_appear_as_many_as_the_policy_wants() {
        for (min_symbols, min_classes, expected) in [(0, 3, 0), (0, 4, 1), (2, 4, 2)] {
            let policy = Policy {
                min_symbols,
                min_classes,
                ..Policy::classic()
            };
            let password = with(&policy, &nobody(), |made| {
                made.unwrap().generate(&mut StdRng::seed_from_u64(1)).unwrap()
            });
            let symbols = password.expose().chars().filter(|c| c.is_ascii_punctuation());
            assert_eq!(symbols.count(), expected);
        }
        let unreadable = Policy {
            min_symbols: 1,
            symbols: "'`".parse().unwrap(),
            ..Policy::classic()
        };
        assert_eq!(length_and_bits(&unreadable), Err(GeneratorError::Symbols));
    }

    #[test]
    fn the_largest_count_does_not_overflow() {
        let policy = Policy {
            min_length: 24,
            min_symbols: 8,
            symbols: Symbols::all(),
            ..Policy::classic()
        };
        assert!(length_and_bits(&policy).unwrap().1 < 128.0);
        let odd = Policy {
            symbols: "!#()-/<>[\\]^_{}~".parse().unwrap(),
            ..policy
        };
        let (_, bits) = length_and_bits(&odd).unwrap();
        assert!((90.0..128.0).contains(&bits), "{bits}");
    }

    #[test]
    fn stated_entropy_is_a_lower_bound_also_with_user_data_and_dictionary() {
        // Short enough to look at all of them.
        let policy = Policy {
            min_length: 4,
            max_length: 4,
            forbid_user_data: true,
            ..Policy::classic()
        };
        let merged = merge([("system", &policy)]).unwrap();
        let (person, dictionary) = (Person::new(["Dr. Hmrd", "mr4"]), WordList::new(["dh24"]));
        let alphabet = alphabet(policy.symbols);
        let mut words = Words::new(alphabet.clone(), needs(&policy));
        words.grow(4);
        let all = words.all(4);
        let generator = Generator {
            policy: merged.policy(),
            person: &person,
            dictionary: &dictionary,
            words,
            length: 4,
            bits: 0.0,
        };
        let good = |word: &&String| {
            policy
                .check(&Secret::new((*word).clone()), &person, &dictionary)
                .is_empty()
        };
        let possible = (all.iter().filter(good).count() as f64).log2();
        let stated = generator.bits_of(4, &alphabet);
        assert!(stated <= possible && stated > possible - 0.1, "{stated} {possible}");
        assert!(possible < (all.len() as f64).log2());
    }

    #[test]
    fn groups_have_three_or_four_characters() {
        for length in 6..=24 {
            let sizes = group_sizes(length);
            assert_eq!(sizes.iter().sum::<usize>(), length);
            assert!(sizes.iter().all(|size| (3..=4).contains(size)), "{sizes:?}");
        }
        assert_eq!(group_sizes(14), [4, 4, 3, 3]);
        assert_eq!(group_sizes(5), [3, 2]);
        assert!(group_sizes(0).is_empty());
    }

    #[test]
    fn the_keypad_form_has_one_key_for_each_letter_and_digit() {
        let form = keypad_form(&Secret::new("Dh7$2R4?m".into()));
        assert_eq!(Some(form), Digits::parse("3472746"));
    }

    #[test]
    fn settings_are_checked_at_their_boundaries() {
        let check = |entropy_bits, floor_bits| {
            let config = GeneratorConfig {
                entropy_bits,
                floor_bits,
            };
            config.check().is_ok()
        };
        assert!(check(28, 28) && check(80, 20) && check(80, 80));
        assert!(!check(27, 20) && !check(81, 20) && !check(50, 19) && !check(50, 51));
        assert!(GeneratorConfig::default().check().is_ok());
    }

    #[test]
    fn a_broken_dictionary_ends_the_search() {
        struct Everything;
        impl Dictionary for Everything {
            fn contains(&self, _likeness: &str) -> bool {
                true
            }
            fn of_length(&self, _length: usize) -> Box<dyn Iterator<Item = &str> + '_> {
                Box::new(std::iter::empty())
            }
        }
        let (policy, person) = (Policy::classic(), nobody());
        let merged = merge([("system", &policy)]).unwrap();
        let generator = Generator::new(&merged, &person, &Everything, &GeneratorConfig::default()).unwrap();
        let outcome = generator.generate(&mut StdRng::seed_from_u64(1));
        assert_eq!(outcome.unwrap_err(), GeneratorError::Exhausted);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        #[test]
        fn every_password_meets_its_policy(
            seed: u64, min in 1..16_u16, lower in 0..3_u16, upper in 0..3_u16, digits in 0..3_u16, symbols in 0..3_u16,
            classes in 0..=4_u8, repeat in 1..3_u16, sequence in 2..4_u16, name in "[a-z]{3,8} [dfhmrat]{3}",
        ) {
            let policy = Policy {
                min_length: min,
                min_lower: lower,
                min_upper: upper,
                min_digits: digits,
                min_symbols: symbols,
                min_classes: classes,
                max_repeat: Some(repeat),
                max_sequence: Some(sequence),
                ..Policy::classic()
            };
            let person = Person::new([name.as_str()]);
            let mut rng = StdRng::seed_from_u64(seed);
            with(&policy, &person, |made| {
                let made = made.unwrap();
                assert!(made.entropy_bits() >= 50.0);
                for _ in 0..5 {
                    let password = made.generate(&mut rng).unwrap();
                    assert_eq!(policy.check(&password, &person, &NoDictionary), []);
                    assert_eq!(password.expose().chars().count(), made.length());
                }
            });
        }
    }
}
