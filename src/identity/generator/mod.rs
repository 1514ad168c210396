//! Passwords made for ears: read out on a telephone, written on paper, typed once.
//!
//! Every password of the chosen length that meets the policy is equally likely, so the entropy is the logarithm of how
//! many there are. That number is counted exactly ([`count`]), less an upper bound for those that the user's data and
//! the dictionary rule out: what [`Generator::entropy_bits`] states is a proven lower bound. The alphabet, and why it
//! is so small: [`alphabet`].
//!
//! Leaves out on purpose: how it is spoken (`speech::phrase`).

mod alphabet;
mod count;

use rand::CryptoRng;
use serde::Deserialize;

use self::alphabet::{Member, alphabet};
use self::count::{Needs, Words};
use super::keypad;
use super::policy::{Class, Dictionary, MergedPolicy, Person, Policy, likeness};
use crate::digit::{Digit, Digits};
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
    /// A thousand in a row were refused: the dictionary does not hold what its size says.
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
            words: Words::new(alphabet.clone(), needs, max),
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

    /// Settles on the shortest length that is strong enough, or else the strongest.
    fn reach(&mut self, config: &GeneratorConfig, max: usize, alphabet: &[Member]) -> Result<(), GeneratorError> {
        for length in self.length..=max {
            let bits = self.bits_of(length, alphabet);
            if bits >= self.bits {
                (self.length, self.bits) = (length, bits);
            }
            if self.bits >= f64::from(config.entropy_bits) {
                return Ok(());
            }
        }
        match self.bits >= f64::from(config.floor_bits) {
            true => Ok(()),
            false => Err(GeneratorError::TooWeak {
                bits: self.bits,
                floor: config.floor_bits,
            }),
        }
    }

    fn bits_of(&self, length: usize, alphabet: &[Member]) -> f64 {
        let all = self.words.count(length);
        let ruled_out = self
            .with_user_data(length, alphabet)
            .saturating_add(self.in_dictionary(length));
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

    /// Upper bound: at most three characters of the alphabet look like one.
    fn in_dictionary(&self, length: usize) -> u128 {
        if !self.policy.forbid_dictionary {
            return 0;
        }
        let disguises = 3_u128.saturating_pow(u32::try_from(length).unwrap_or(u32::MAX));
        (self.dictionary.size() as u128).saturating_mul(disguises)
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

/// What a caller keys to read a password back: the key of each letter (E.161), digits themselves, star for all else.
/// Not longer than [`Digits::MAX_LEN`].
#[must_use]
pub fn keypad_form(password: &Secret) -> Digits {
    let keys = password.expose().chars();
    keys.map(|c| keypad::key_of(c).unwrap_or(Digit::Star)).collect()
}
