//! Dates as answers: a mask says which digits are keyed, and an enrolled date may be written in several ways.
//!
//! A date that could be read in two ways (`03/04/1987`) is refused rather than guessed: the owner would never again
//! give the right answer.

use std::fmt;
use std::str::FromStr;

/// Which digits of a date are keyed, in which order: `MMDD`, `DDMMYYYY`, `YYMMDD` ...
///
/// Day and month must be there, the year (`YY` or `YYYY`) may; blanks, `/`, `-` and `.` in the text are skipped.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DateMask(Vec<Field>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Field {
    Day,
    Month,
    /// The year's last two digits.
    ShortYear,
    Year,
}

impl Field {
    const ALL: [Self; 4] = [Self::Year, Self::ShortYear, Self::Month, Self::Day];

    fn letters(self) -> &'static str {
        match self {
            Self::Day => "DD",
            Self::Month => "MM",
            Self::ShortYear => "YY",
            Self::Year => "YYYY",
        }
    }

    fn is_year(self) -> bool {
        matches!(self, Self::Year | Self::ShortYear)
    }
}

/// Text that is no mask.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a date mask has DD and MM and at most one of YY and YYYY, such as MMDD or DDMMYYYY")]
pub struct MaskError;

impl FromStr for DateMask {
    type Err = MaskError;

    fn from_str(text: &str) -> Result<Self, MaskError> {
        let letters: String = text.chars().filter(|c| !" /-.".contains(*c)).collect();
        let mut rest = letters.as_str();
        let mut fields = Vec::with_capacity(3);
        while !rest.is_empty() && fields.len() < 3 {
            let field = Field::ALL.into_iter().find(|field| rest.starts_with(field.letters()));
            let field = field.ok_or(MaskError)?;
            rest = &rest[field.letters().len()..];
            fields.push(field);
        }
        let count = |wanted: fn(&Field) -> bool| fields.iter().filter(|field| wanted(field)).count();
        let good = rest.is_empty()
            && count(|&field| field == Field::Day) == 1
            && count(|&field| field == Field::Month) == 1
            && count(|field| field.is_year()) <= 1;
        good.then_some(Self(fields)).ok_or(MaskError)
    }
}

impl fmt::Display for DateMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|field| f.write_str(field.letters()))
    }
}

impl DateMask {
    /// How many digits are keyed: 4, 6 or 8.
    #[must_use]
    pub fn digits(&self) -> usize {
        self.0.iter().map(|field| field.letters().len()).sum()
    }

    /// The digits that are keyed for the date that `text` writes.
    ///
    /// Understood: the digits of the mask themselves; `1987-04-03` (ISO 8601); `3.4.1987`; `3 April 1987` and
    /// `April 3, 1987` (English names or their first three letters); `4/30/1987` and `30/4/1987` where only one
    /// reading is a date. The year may be left out if the mask has none, and is ignored then if given.
    ///
    /// # Errors
    /// [`DateError`] says what is missing or in doubt; it never repeats the text.
    pub(super) fn apply(&self, text: &str) -> Result<String, DateError> {
        let text = text.trim();
        let date = if text.len() == self.digits() && text.bytes().all(|b| b.is_ascii_digit()) {
            self.read(text)?
        } else {
            Date::parse(text)?
        };
        let date = date.checked()?;
        self.write(&date)
    }

    fn read(&self, digits: &str) -> Result<Date, DateError> {
        let mut date = Date {
            year: None,
            month: 0,
            day: 0,
        };
        let mut rest = digits;
        for field in &self.0 {
            let (value, tail) = rest.split_at(field.letters().len());
            rest = tail;
            let value = value.parse().map_err(|_| DateError::Unreadable)?;
            match field {
                Field::Day => date.day = value,
                Field::Month => date.month = value,
                Field::ShortYear => date.year = Some(Year::Short(value)),
                Field::Year => date.year = Some(Year::Full(value)),
            }
        }
        Ok(date)
    }

    fn write(&self, date: &Date) -> Result<String, DateError> {
        let mut digits = String::with_capacity(self.digits());
        for field in &self.0 {
            let (value, width) = match (field, date.year) {
                (Field::Day, _) => (date.day, 2),
                (Field::Month, _) => (date.month, 2),
                (Field::ShortYear, Some(Year::Short(year) | Year::Full(year))) => (year % 100, 2),
                (Field::Year, Some(Year::Full(year))) => (year, 4),
                (Field::ShortYear | Field::Year, _) => return Err(DateError::NoYear),
            };
            digits.push_str(&format!("{value:0width$}"));
        }
        Ok(digits)
    }
}

/// Why a date cannot be enrolled.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DateError {
    /// No date is written like this.
    #[error("not a date; write it as in 1987-04-30")]
    Unreadable,
    /// Day and month could be swapped.
    #[error("day and month could be swapped; write the date as in 1987-04-30")]
    Ambiguous,
    /// The mask wants a year, in full if it has four letters for it.
    #[error("the year is missing or has two digits; write the date as in 1987-04-30")]
    NoYear,
    /// Such as 31 April.
    #[error("there is no such day in the calendar")]
    NoSuchDay,
}

#[derive(Clone, Copy)]
enum Year {
    Short(u16),
    Full(u16),
}

struct Date {
    year: Option<Year>,
    month: u16,
    day: u16,
}

impl Date {
    fn parse(text: &str) -> Result<Self, DateError> {
        let tokens: Vec<&str> = text
            .split(|c: char| !c.is_alphanumeric())
            .filter(|token| !token.is_empty())
            .take(4)
            .collect();
        match tokens[..] {
            [a, b] if text.contains('.') => Self::numbers(None, b, a),
            [a, b] => Self::day_and_month(None, a, b),
            [y, m, d] if y.len() == 4 => Self::numbers(Some(y), m, d),
            [d, m, y] if text.contains('.') && month_named(m).is_none() && month_named(d).is_none() => {
                Self::numbers(Some(y), m, d)
            }
            [a, b, y] => Self::day_and_month(Some(y), a, b),
            _ => Err(DateError::Unreadable),
        }
    }

    fn numbers(year: Option<&str>, month: &str, day: &str) -> Result<Self, DateError> {
        Ok(Self {
            year: year.map(year_of).transpose()?,
            month: number(month)?,
            day: number(day)?,
        })
    }

    /// Two parts in an order that the writing does not give away.
    fn day_and_month(year: Option<&str>, a: &str, b: &str) -> Result<Self, DateError> {
        let year = year.map(year_of).transpose()?;
        let (month, day) = match (month_named(a), month_named(b)) {
            (Some(month), None) => (month, number(b.trim_end_matches(|c: char| c.is_alphabetic()))?),
            (None, Some(month)) => (month, number(a.trim_end_matches(|c: char| c.is_alphabetic()))?),
            (Some(_), Some(_)) => return Err(DateError::Unreadable),
            (None, None) => match (number(a)?, number(b)?) {
                (a, b) if a == b => (a, b),
                (a, b) if a > 12 => (b, a),
                (a, b) if b > 12 => (a, b),
                _ => return Err(DateError::Ambiguous),
            },
        };
        Ok(Self { year, month, day })
    }

    fn checked(self) -> Result<Self, DateError> {
        let leap = match self.year {
            Some(Year::Full(year)) => year % 4 == 0 && (year % 100 != 0 || year % 400 == 0),
            Some(Year::Short(year)) => year % 4 == 0,
            None => true,
        };
        let days = match self.month {
            2 if leap => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return Err(DateError::NoSuchDay),
        };
        (1..=days)
            .contains(&self.day)
            .then_some(self)
            .ok_or(DateError::NoSuchDay)
    }
}

fn number(text: &str) -> Result<u16, DateError> {
    let short = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    short.then(|| text.parse().ok()).flatten().ok_or(DateError::Unreadable)
}

fn year_of(text: &str) -> Result<Year, DateError> {
    let value = text.parse().map_err(|_| DateError::Unreadable)?;
    match text.len() {
        2 => Ok(Year::Short(value)),
        4 => Ok(Year::Full(value)),
        _ => Err(DateError::Unreadable),
    }
}

fn month_named(text: &str) -> Option<u16> {
    const NAMES: [&str; 12] = [
        "january",
        "february",
        "march",
        "april",
        "may",
        "june",
        "july",
        "august",
        "september",
        "october",
        "november",
        "december",
    ];
    let text = text.to_lowercase();
    let index = NAMES
        .iter()
        .position(|name| text.len() >= 3 && name.starts_with(&text))?;
    u16::try_from(index + 1).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn apply(mask: &str, text: &str) -> Result<String, DateError> {
        mask.parse::<DateMask>().unwrap().apply(text)
    }

    #[test]
    fn masks_need_day_and_month_and_may_have_one_year() {
        for (text, digits) in [("MMDD", 4), ("DD.MM.YY", 6), ("DDMMYYYY", 8), ("YYYY-MM-DD", 8)] {
            assert_eq!(text.parse::<DateMask>().unwrap().digits(), digits, "{text}");
        }
        for bad in [
            "",
            "MM",
            "DDDD",
            "YYYY",
            "MMDDYYYYYY",
            "MMDDYYYYYYYY",
            "MMDDhh",
            "mmdd",
            "DDMMYYYYMM",
        ] {
            assert_eq!(bad.parse::<DateMask>(), Err(MaskError), "{bad}");
        }
        assert_eq!("DD.MM.YYYY".parse::<DateMask>().unwrap().to_string(), "DDMMYYYY");
    }

    #[test]
    fn one_date_in_many_spellings_is_one_answer() {
        for text in [
            "1987-04-03",
            "19870403",
            "3.4.1987",
            "03.04.1987",
            "3. 4. 1987",
            "3 April 1987",
            "3rd April 1987",
            "Apr 3, 1987",
            "april 3 1987",
        ] {
            assert_eq!(apply("YYYYMMDD", text).as_deref(), Ok("19870403"), "{text}");
        }
        for text in ["0403", "3.4.", "3 April", "April 3rd", "1987-04-03", "3.4.1987"] {
            assert_eq!(apply("MMDD", text).as_deref(), Ok("0403"), "{text}");
        }
        assert_eq!(apply("DDMMYY", "30/4/1987").as_deref(), Ok("300487"));
        assert_eq!(apply("DDMMYY", "4/30/87").as_deref(), Ok("300487"));
        assert_eq!(apply("DDMM", "4/4").as_deref(), Ok("0404"));
    }

    #[test]
    fn a_date_with_two_readings_is_refused() {
        assert_eq!(apply("MMDD", "3/4/1987"), Err(DateError::Ambiguous));
        assert_eq!(apply("MMDD", "3-4"), Err(DateError::Ambiguous));
    }

    #[test]
    fn the_calendar_is_kept() {
        for (text, good) in [
            ("1988-02-29", true),
            ("1987-02-29", false),
            ("2000-02-29", true),
            ("1900-02-29", false),
            ("29.2.", true),
            ("30.2.", false),
            ("1987-04-30", true),
            ("1987-04-31", false),
            ("1987-12-31", true),
            ("1987-13-01", false),
            ("1987-00-10", false),
            ("1987-01-00", false),
        ] {
            let expected = if good { None } else { Some(DateError::NoSuchDay) };
            assert_eq!(apply("MMDD", text).err(), expected, "{text}");
        }
    }

    #[test]
    fn a_year_must_be_there_as_the_mask_wants_it() {
        assert_eq!(apply("DDMMYYYY", "3 April"), Err(DateError::NoYear));
        assert_eq!(apply("DDMMYYYY", "3.4.87"), Err(DateError::NoYear));
        assert_eq!(apply("DDMMYY", "3.4.87").as_deref(), Ok("030487"));
    }

    #[test]
    fn what_is_no_date_is_refused() {
        for text in [
            "",
            "19871",
            "april",
            "my birthday",
            "1-2-3-4",
            "3 4 April",
            "3.Foo.1987",
            "004.3.1987",
            "3 may june",
        ] {
            assert_eq!(apply("MMDD", text), Err(DateError::Unreadable), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_without_a_panic(text in "\\PC{0,30}") {
            let keyed = apply("DDMMYYYY", &text);
            prop_assert!(keyed.is_err() || keyed.is_ok_and(|keys| keys.len() == 8));
        }

        #[test]
        fn the_digits_of_a_mask_are_read_as_they_are_written(day in 1..=28_u8, month in 1..=12_u8, year in 1000..=9999_u16) {
            let iso = format!("{year}-{month:02}-{day:02}");
            for mask in ["MMDD", "DDMMYY", "YYYYMMDD", "DDMMYYYY"] {
                let keys = apply(mask, &iso).unwrap();
                prop_assert_eq!(apply(mask, &keys), Ok(keys));
            }
        }
    }
}
