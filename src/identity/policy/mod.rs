//! Password policy: what a target system takes, and what we ask beyond it.
//!
//! One [`Policy`] per system. A reset of several systems wants one password for all, so policies are [merged](merge()) first;
//! what cannot be had at once is reported with the names of the systems that want it. Reasons are written for the
//! person who chose the password, and never repeat a part of it.

mod check;
mod merge;
mod person;
mod symbols;

use serde::Deserialize;

pub use check::{Class, Violation};
pub use merge::{Contradiction, MergedPolicy, merge};
pub(super) use person::likeness;
pub use person::{Dictionary, NoDictionary, Person, WordList};
pub use symbols::{Symbols, SymbolsError};

/// Rules for one password.
///
/// In a file: `preset = "nist"` or `"classic"` (the default), and whatever differs from it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RawPolicy")]
pub struct Policy {
    /// Fewest characters.
    pub min_length: u16,
    /// Most characters, up to [`Policy::MAX_LENGTH`].
    pub max_length: u16,
    /// Fewest small letters.
    pub min_lower: u16,
    /// Fewest capital letters.
    pub min_upper: u16,
    /// Fewest digits.
    pub min_digits: u16,
    /// Fewest symbols: everything that is neither letter nor digit.
    pub min_symbols: u16,
    /// Of the four classes, how many must be there; 0 to 4.
    pub min_classes: u8,
    /// How often one character may stand in a row, from 1; `None` for any number.
    pub max_repeat: Option<u16>,
    /// How long a sequence may be (`abc`, `321`, `qwe`), from 2; `None` for any length.
    pub max_sequence: Option<u16>,
    /// Which ASCII symbols the system takes.
    pub symbols: Symbols,
    /// Whether characters beyond ASCII are refused.
    pub ascii_only: bool,
    /// Whether login, names and employee number may not be in it.
    pub forbid_user_data: bool,
    /// Whether it may not be in the dictionary.
    pub forbid_dictionary: bool,
    /// How many of the passwords before it, the present one among them, it may not be: 0 to
    /// [`Policy::MAX_HISTORY`]. Nothing that can be seen of a password, so [`Policy::check`] says nothing about it.
    pub history: u8,
}

impl Policy {
    /// No system that we know takes more; bounds the work on one password.
    pub const MAX_LENGTH: u16 = 256;

    /// As far back as Active Directory can look, and the most that is kept of a person.
    pub const MAX_HISTORY: u8 = 24;

    /// After NIST SP 800-63B rev. 4 for a password that is the only factor: length instead of composition, a
    /// block-list, blanks and all of Unicode welcome.
    #[must_use]
    pub fn nist() -> Self {
        Self {
            min_length: 15,
            max_length: 64,
            min_lower: 0,
            min_upper: 0,
            min_digits: 0,
            min_symbols: 0,
            min_classes: 0,
            max_repeat: None,
            max_sequence: None,
            symbols: Symbols::all(),
            ascii_only: false,
            forbid_user_data: true,
            forbid_dictionary: true,
            history: 0,
        }
    }

    /// What says nothing: a system that publishes no rules, or only some.
    #[must_use]
    pub fn any() -> Self {
        Self {
            min_length: 1,
            max_length: Self::MAX_LENGTH,
            forbid_user_data: false,
            forbid_dictionary: false,
            ..Self::nist()
        }
    }

    /// What most directories ask for: three of four classes (small, capital and digit among them), no runs, none of the
    /// last ten.
    #[must_use]
    pub fn classic() -> Self {
        Self {
            min_length: 10,
            min_lower: 1,
            min_upper: 1,
            min_digits: 1,
            min_classes: 3,
            max_repeat: Some(2),
            max_sequence: Some(3),
            symbols: Symbols::all().without(' '),
            ascii_only: true,
            history: 10,
            ..Self::nist()
        }
    }

    /// Whether the numbers make sense by themselves.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn validate(&self) -> Result<(), PolicyError> {
        if !(1..=Self::MAX_LENGTH).contains(&self.max_length) || !(1..=self.max_length).contains(&self.min_length) {
            return Err(PolicyError::Lengths {
                min: self.min_length,
                max: self.max_length,
            });
        }
        if self.min_classes > 4 {
            return Err(PolicyError::Classes(self.min_classes));
        }
        if self.max_repeat == Some(0) {
            return Err(PolicyError::Repeat);
        }
        if self.max_sequence.is_some_and(|max| max < 2) {
            return Err(PolicyError::Sequence);
        }
        if self.history > Self::MAX_HISTORY {
            return Err(PolicyError::History(self.history));
        }
        Ok(())
    }
}

/// Numbers that no password can meet, or that say nothing.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum PolicyError {
    /// No such preset.
    #[error("password policy: the presets are `nist` and `classic`, not `{0}`")]
    Preset(String),
    /// Lengths out of order.
    #[error(
        "password policy: 1 <= min_length <= max_length <= {}, not {min} and {max}",
        Policy::MAX_LENGTH
    )]
    Lengths {
        /// `min_length`.
        min: u16,
        /// `max_length`.
        max: u16,
    },
    /// There are four classes.
    #[error("password policy: `min_classes` is 0 to 4, not {0}")]
    Classes(u8),
    /// Every character stands once in a row.
    #[error("password policy: `max_repeat` is at least 1")]
    Repeat,
    /// Every character is a sequence of one.
    #[error("password policy: `max_sequence` is at least 2")]
    Sequence,
    /// More than is kept.
    #[error("password policy: `history` is 0 to {max}, not {0}", max = Policy::MAX_HISTORY)]
    History(u8),
}

/// As written: a preset, and what differs from it. 0 lifts the limits on repeats and sequences.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPolicy {
    preset: Option<String>,
    min_length: Option<u16>,
    max_length: Option<u16>,
    min_lower: Option<u16>,
    min_upper: Option<u16>,
    min_digits: Option<u16>,
    min_symbols: Option<u16>,
    min_classes: Option<u8>,
    max_repeat: Option<u16>,
    max_sequence: Option<u16>,
    symbols: Option<Symbols>,
    ascii_only: Option<bool>,
    forbid_user_data: Option<bool>,
    forbid_dictionary: Option<bool>,
    history: Option<u8>,
}

impl TryFrom<RawPolicy> for Policy {
    type Error = PolicyError;

    fn try_from(raw: RawPolicy) -> Result<Self, PolicyError> {
        let base = match raw.preset.as_deref() {
            Some("nist") => Self::nist(),
            Some("classic") | None => Self::classic(),
            Some(other) => return Err(PolicyError::Preset(other.into())),
        };
        let limit = |given: Option<u16>, base| match given {
            Some(0) => None,
            Some(max) => Some(max),
            None => base,
        };
        let policy = Self {
            min_length: raw.min_length.unwrap_or(base.min_length),
            max_length: raw.max_length.unwrap_or(base.max_length),
            min_lower: raw.min_lower.unwrap_or(base.min_lower),
            min_upper: raw.min_upper.unwrap_or(base.min_upper),
            min_digits: raw.min_digits.unwrap_or(base.min_digits),
            min_symbols: raw.min_symbols.unwrap_or(base.min_symbols),
            min_classes: raw.min_classes.unwrap_or(base.min_classes),
            max_repeat: limit(raw.max_repeat, base.max_repeat),
            max_sequence: limit(raw.max_sequence, base.max_sequence),
            symbols: raw.symbols.unwrap_or(base.symbols),
            ascii_only: raw.ascii_only.unwrap_or(base.ascii_only),
            forbid_user_data: raw.forbid_user_data.unwrap_or(base.forbid_user_data),
            forbid_dictionary: raw.forbid_dictionary.unwrap_or(base.forbid_dictionary),
            history: raw.history.unwrap_or(base.history),
        };
        policy.validate()?;
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_names_a_preset_and_what_differs() {
        let policy: Policy = toml::from_str("preset = 'nist'\nmin_length = 8\nsymbols = '+-'").unwrap();
        let expected = Policy {
            min_length: 8,
            symbols: "+-".parse().unwrap(),
            ..Policy::nist()
        };
        assert_eq!(policy, expected);
        assert_eq!(toml::from_str::<Policy>("").unwrap(), Policy::classic());
        assert_eq!(toml::from_str::<Policy>("max_repeat = 0").unwrap().max_repeat, None);
        assert!(toml::from_str::<Policy>("min_lenght = 8").is_err());
        assert!(toml::from_str::<Policy>("preset = 'paranoid'").is_err());
    }

    #[test]
    fn numbers_that_no_password_meets_are_refused_at_their_boundaries() {
        let with = |change: fn(&mut Policy)| {
            let mut policy = Policy::classic();
            change(&mut policy);
            policy.validate()
        };
        let lengths = |min, max| Err(PolicyError::Lengths { min, max });
        assert_eq!(with(|p| (p.min_length, p.max_length) = (8, 8)), Ok(()));
        assert_eq!(with(|p| (p.min_length, p.max_length) = (9, 8)), lengths(9, 8));
        assert_eq!(with(|p| p.min_length = 0), lengths(0, 64));
        assert_eq!(with(|p| p.max_length = 256), Ok(()));
        assert_eq!(with(|p| p.max_length = 257), lengths(10, 257));
        assert_eq!(with(|p| p.min_classes = 4), Ok(()));
        assert_eq!(with(|p| p.min_classes = 5), Err(PolicyError::Classes(5)));
        assert_eq!(with(|p| p.max_repeat = Some(1)), Ok(()));
        assert_eq!(with(|p| p.max_repeat = Some(0)), Err(PolicyError::Repeat));
        assert_eq!(with(|p| p.max_sequence = Some(2)), Ok(()));
        assert_eq!(with(|p| p.max_sequence = Some(1)), Err(PolicyError::Sequence));
        assert_eq!(with(|p| p.history = 24), Ok(()));
        assert_eq!(with(|p| p.history = 25), Err(PolicyError::History(25)));
    }

    #[test]
    fn presets_are_valid() {
        assert_eq!(Policy::nist().validate(), Ok(()));
        assert_eq!(Policy::classic().validate(), Ok(()));
    }
}
