//! Answers: which spellings are the same answer.
//!
//! ```text
//!               enrolled as          keyed         compared as
//!   digits      "00-47 11"           004711#       004711
//!   date MMDD   "3 April 1987"       0403#         0403
//!   spelled     "Łódź" on the phone  5639#         5639     (each key holds 3 or 4 letters: 1.7 bits a letter lost)
//!               "Łódź" at a desk     "lodz"        lodz
//! ```
//!
//! How answers are kept: [`super::answer_hash`].

use std::fmt;
use std::str::FromStr;

use super::date::{DateError, DateMask, MaskError};
use super::keypad;
use super::question::Channel;
use crate::digit::Digits;
use crate::secret::Secret;

/// What an answer looks like.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum AnswerFormat {
    /// A number.
    Digits(Length),
    /// A date, of which the digits in the mask are keyed.
    Date(DateMask),
    /// Words: spelled on the keypad by callers, typed elsewhere. The length is in keys.
    Spelled(Length),
}

impl AnswerFormat {
    /// Fewest and most keys that a caller presses.
    #[must_use]
    pub fn keys(&self) -> Length {
        match self {
            Self::Digits(length) | Self::Spelled(length) => *length,
            Self::Date(mask) => Length {
                min: mask.digits(),
                max: mask.digits(),
            },
        }
    }
}

/// Fewest and most characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Length {
    min: usize,
    max: usize,
}

impl Length {
    /// `min` is at least 1, `max` at least `min` and at most [`Digits::MAX_LEN`]; `None` otherwise.
    #[must_use]
    pub fn new(min: usize, max: usize) -> Option<Self> {
        (1 <= min && min <= max && max <= Digits::MAX_LEN).then_some(Self { min, max })
    }

    /// Fewest.
    #[must_use]
    pub fn min(self) -> usize {
        self.min
    }

    /// Most.
    #[must_use]
    pub fn max(self) -> usize {
        self.max
    }

    fn check(self, count: usize) -> Result<(), AnswerError> {
        (self.min..=self.max)
            .contains(&count)
            .then_some(())
            .ok_or(AnswerError::Length {
                min: self.min,
                max: self.max,
            })
    }
}

/// As stored: `digits 4-8`, `date MMDD`, `spelled 3-20`.
impl fmt::Display for AnswerFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Digits(Length { min, max }) => write!(f, "digits {min}-{max}"),
            Self::Date(mask) => write!(f, "date {mask}"),
            Self::Spelled(Length { min, max }) => write!(f, "spelled {min}-{max}"),
        }
    }
}

/// Text that is no format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FormatError {
    /// None of the three.
    #[error(
        "an answer is `digits MIN-MAX`, `date MASK` or `spelled MIN-MAX`, with MAX up to {}",
        Digits::MAX_LEN
    )]
    Shape,
    /// The mask of a date.
    #[error(transparent)]
    Mask(#[from] MaskError),
}

impl FromStr for AnswerFormat {
    type Err = FormatError;

    fn from_str(text: &str) -> Result<Self, FormatError> {
        let (kind, rest) = text.trim().split_once(' ').ok_or(FormatError::Shape)?;
        match kind {
            "digits" => Ok(Self::Digits(length(rest)?)),
            "date" => Ok(Self::Date(rest.parse()?)),
            "spelled" => Ok(Self::Spelled(length(rest)?)),
            _ => Err(FormatError::Shape),
        }
    }
}

fn length(text: &str) -> Result<Length, FormatError> {
    let (min, max) = text.trim().split_once('-').ok_or(FormatError::Shape)?;
    let (min, max) = (min.trim().parse().ok(), max.trim().parse().ok());
    min.zip(max)
        .and_then(|(min, max)| Length::new(min, max))
        .ok_or(FormatError::Shape)
}

/// Why an answer cannot be enrolled. Never repeats the answer.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AnswerError {
    /// More than [`Answer::MAX_BYTES`].
    #[error("an answer has at most {} bytes", Answer::MAX_BYTES)]
    TooLong,
    /// Too few or too many keys, counted after normalisation.
    #[error("the answer must have {min} to {max} letters and digits")]
    Length {
        /// Fewest.
        min: usize,
        /// Most.
        max: usize,
    },
    /// A letter where digits were expected.
    #[error("the answer must be a number")]
    NotANumber,
    /// A date that cannot be used.
    #[error(transparent)]
    Date(#[from] DateError),
}

/// An answer in the one form in which it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer(Secret);

impl Answer {
    /// The longest text that is looked at; bounds the work on one answer.
    pub const MAX_BYTES: usize = 256;

    /// An answer as it was written down at enrolment, for one channel.
    ///
    /// # Errors
    /// [`AnswerError`] says what the user must change.
    pub fn enrolled(format: &AnswerFormat, channel: Channel, text: &Secret) -> Result<Self, AnswerError> {
        let text = text.expose();
        if text.len() > Self::MAX_BYTES {
            return Err(AnswerError::TooLong);
        }
        let normal = match format {
            AnswerFormat::Date(mask) => mask.apply(text)?,
            AnswerFormat::Digits(_) if text.chars().any(char::is_alphabetic) => return Err(AnswerError::NotANumber),
            AnswerFormat::Digits(length) => checked(*length, keypad::spell(text))?,
            AnswerFormat::Spelled(length) => {
                let keys = checked(*length, keypad::spell(text))?;
                if channel == Channel::Phone { keys } else { words(text) }
            }
        };
        Ok(Self(Secret::new(normal)))
    }

    /// What a caller keyed. There is no error: an entry that cannot be right must cost the same time as one that can.
    #[must_use]
    pub fn keyed(keys: &Digits) -> Self {
        Self(Secret::new(keypad::number_keys(keys)))
    }

    /// What was typed at a desk or in a browser; again without an error. Text beyond [`Self::MAX_BYTES`] is no answer.
    #[must_use]
    pub fn typed(format: &AnswerFormat, channel: Channel, text: &Secret) -> Self {
        Self::enrolled(format, channel, text).unwrap_or_else(|_| Self(Secret::default()))
    }

    pub(super) fn expose(&self) -> &str {
        self.0.expose()
    }
}

fn checked(length: Length, keys: String) -> Result<String, AnswerError> {
    // Wiped also when it is refused.
    let keys = zeroize::Zeroizing::new(keys);
    length.check(keys.len())?;
    Ok(keys.as_str().to_owned())
}

/// Letters and digits only, folded: `St. John's` and `st johns` are one.
fn words(text: &str) -> String {
    let mut words = String::with_capacity(text.len().saturating_mul(2));
    words.extend(keypad::fold(text).filter(|c| c.is_alphanumeric()));
    words
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn format(text: &str) -> AnswerFormat {
        text.parse().unwrap()
    }

    fn enroll(kind: &str, channel: Channel, text: &str) -> Result<String, AnswerError> {
        let answer = Answer::enrolled(&format(kind), channel, &Secret::new(text.into()))?;
        Ok(answer.expose().to_owned())
    }

    #[test]
    fn what_is_keyed_meets_what_was_enrolled() {
        for (kind, text, keys) in [
            ("digits 4-8", "00-47 11", "004711#"),
            ("date MMDD", "3 April 1987", "0403"),
            ("date DDMMYYYY", "1987-04-03", "03041987"),
            ("spelled 3-20", "Łódź", "5639"),
            ("spelled 3-20", "St. John's", "7856467"),
        ] {
            let enrolled = Answer::enrolled(&format(kind), Channel::Phone, &Secret::new(text.into())).unwrap();
            assert_eq!(enrolled, Answer::keyed(&Digits::parse(keys).unwrap()), "{text}");
        }
    }

    #[test]
    fn words_stay_words_at_a_desk() {
        assert_eq!(
            enroll("spelled 3-20", Channel::Assisted, "St. John's").as_deref(),
            Ok("stjohns")
        );
        assert_eq!(
            enroll("spelled 3-20", Channel::SelfService, "  ŁÓDŹ ").as_deref(),
            Ok("lodz")
        );
        assert_eq!(enroll("spelled 3-20", Channel::Phone, "Łódź").as_deref(), Ok("5639"));
        assert_eq!(enroll("digits 3-20", Channel::Assisted, "47 11").as_deref(), Ok("4711"));
    }

    #[test]
    fn length_is_counted_in_keys_and_both_ends_are_allowed() {
        let wrong = Err(AnswerError::Length { min: 4, max: 6 });
        for kind in ["digits 4-6", "spelled 4-6"] {
            assert_eq!(enroll(kind, Channel::Phone, "1-2-3"), wrong);
            assert_eq!(enroll(kind, Channel::Phone, "1234").as_deref(), Ok("1234"));
            assert_eq!(enroll(kind, Channel::Phone, "123456").as_deref(), Ok("123456"));
            assert_eq!(enroll(kind, Channel::Phone, "1234567"), wrong);
        }
        assert_eq!(
            enroll("digits 1-6", Channel::Phone, "one"),
            Err(AnswerError::NotANumber)
        );
    }

    #[test]
    fn texts_beyond_256_bytes_are_not_looked_at() {
        let blanks = |count| format!("4711{}", " ".repeat(count));
        assert_eq!(
            enroll("digits 4-8", Channel::Phone, &blanks(252)).as_deref(),
            Ok("4711")
        );
        assert_eq!(
            enroll("digits 4-8", Channel::Phone, &blanks(253)),
            Err(AnswerError::TooLong)
        );
    }

    #[test]
    fn what_is_typed_is_never_an_error_and_nothing_at_worst() {
        let typed = |text: &str| Answer::typed(&format("date MMDD"), Channel::Assisted, &Secret::new(text.into()));
        assert_eq!(typed("3.4.").expose(), "0403");
        assert_eq!(typed("dunno").expose(), "");
    }

    #[test]
    fn formats_round_trip_as_text() {
        for text in ["digits 4-8", "date DDMMYYYY", "spelled 3-64"] {
            assert_eq!(format(text).to_string(), text);
        }
        for bad in [
            "",
            "digits",
            "digits 0-4",
            "digits 5-4",
            "digits 4-65",
            "words 3-4",
            "date MM",
            "digits 4",
        ] {
            assert!(bad.parse::<AnswerFormat>().is_err(), "{bad}");
        }
        let keys = format("date MMDD").keys();
        assert_eq!((keys.min(), keys.max()), (4, 4));
    }

    #[test]
    fn debug_never_shows_an_answer() {
        assert_eq!(
            format!("{:?}", Answer::keyed(&Digits::parse("4711").unwrap())),
            "Answer([secret])"
        );
    }

    proptest! {
        #[test]
        fn normal_forms_are_stable(text in "\\PC{0,40}", phone: bool) {
            let channel = if phone { Channel::Phone } else { Channel::Assisted };
            if let Ok(normal) = enroll("spelled 1-64", channel, &text) {
                prop_assert_eq!(enroll("spelled 1-64", channel, &normal), Ok(normal));
            }
        }
    }
}
