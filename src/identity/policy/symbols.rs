//! Sets of the ASCII symbols: the blank and 32 marks.

use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

const SYMBOLS: &str = " !\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~";

/// A set of ASCII symbols.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct Symbols(u64);

/// A character that is no ASCII symbol.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("password policy: `symbols` lists ASCII symbols, and {0:?} is none")]
pub struct SymbolsError(char);

impl Symbols {
    /// All 33.
    #[must_use]
    pub fn all() -> Self {
        Self((1 << SYMBOLS.len()) - 1)
    }

    /// None.
    #[must_use]
    pub fn none() -> Self {
        Self(0)
    }

    /// This set less one symbol.
    #[must_use]
    pub fn without(self, symbol: char) -> Self {
        Self(self.0 & !bit(symbol))
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether `c` is in the set.
    #[must_use]
    pub fn contains(self, c: char) -> bool {
        self.0 & bit(c) != 0
    }

    /// Whether nothing is in the set.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The members in the order of ASCII.
    pub fn iter(self) -> impl Iterator<Item = char> {
        SYMBOLS.chars().filter(move |&c| self.contains(c))
    }
}

fn bit(c: char) -> u64 {
    SYMBOLS.find(c).map_or(0, |index| 1 << index)
}

impl FromStr for Symbols {
    type Err = SymbolsError;

    fn from_str(text: &str) -> Result<Self, SymbolsError> {
        text.chars().try_fold(Self::none(), |set, c| match bit(c) {
            0 => Err(SymbolsError(c)),
            bit => Ok(Self(set.0 | bit)),
        })
    }
}

impl TryFrom<String> for Symbols {
    type Error = SymbolsError;

    fn try_from(text: String) -> Result<Self, SymbolsError> {
        text.parse()
    }
}

impl fmt::Display for Symbols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.iter().try_for_each(|c| write!(f, "{c}"))
    }
}

impl fmt::Debug for Symbols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Symbols({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_of_all_has_every_ascii_symbol_and_nothing_else() {
        for c in (0..=0x10_ffff).filter_map(char::from_u32) {
            let symbol = c == ' ' || c.is_ascii_punctuation();
            assert_eq!(Symbols::all().contains(c), symbol, "{c:?}");
        }
    }

    #[test]
    fn text_round_trips_in_the_order_of_ascii() {
        assert_eq!("=+!".parse::<Symbols>().unwrap().to_string(), "!+=");
        assert_eq!("a".parse::<Symbols>(), Err(SymbolsError('a')));
    }
}
