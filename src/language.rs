//! A language, as a tag after BCP 47 (`en-US`, `de`, `pt-BR`), and which of several is closest to a wish.
//!
//! Left out: extended filtering and a list of priorities (RFC 4647). Callers have one wish, and companies a few languages.

use std::fmt;
use std::str::FromStr;

/// A language tag: 2 or 3 letters, then parts of 1 to 8 letters and digits. Also the name of a folder of prompts, so it is
/// kept as written; folders are created by people who see them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Language(String);

/// The text is not a language tag. It is not repeated: what stands in a wrong column may be a secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a language is written as in en-US (BCP 47)")]
pub struct NotALanguage;

impl Language {
    /// The tag as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first hyphen, in lower case: `en` of `en-US`.
    #[must_use]
    pub fn primary(&self) -> String {
        self.0.split('-').next().unwrap_or_default().to_ascii_lowercase()
    }

    /// Whether both are the same tag. Case does not matter (RFC 5646, 2.1.1).
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }

    /// Which of `languages` comes closest to this wish: the same tag, or else the first with the same primary part (`en-GB`
    /// gets `en-US`).
    pub fn closest<'a, I>(&self, languages: I) -> Option<&'a Self>
    where
        I: IntoIterator<Item = &'a Self, IntoIter: Clone>,
    {
        let mut languages = languages.into_iter();
        let same = languages.clone().find(|language| self.is_same(language));
        same.or_else(|| {
            let primary = self.primary();
            languages.find(|language| language.primary() == primary)
        })
    }
}

impl FromStr for Language {
    type Err = NotALanguage;

    fn from_str(tag: &str) -> Result<Self, NotALanguage> {
        let mut parts = tag.split('-');
        let primary = parts.next().unwrap_or_default();
        let good = tag.len() <= 35
            && (2..=3).contains(&primary.len())
            && primary.bytes().all(|b| b.is_ascii_alphabetic())
            && parts.all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
        good.then(|| Self(tag.to_owned())).ok_or(NotALanguage)
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn language(tag: &str) -> Language {
        tag.parse().unwrap()
    }

    fn closest<'a>(wish: &str, languages: &'a [Language]) -> Option<&'a str> {
        language(wish).closest(languages).map(Language::as_str)
    }

    #[test]
    fn tags_cannot_leave_the_prompts_folder() {
        for bad in [
            "",
            "e",
            "../etc",
            "en/US",
            "en_US",
            "en-",
            "-en",
            "en US",
            "english",
            "en-subtag-too-long-by-far-and-then-",
            &format!("en{}", "-abcdefgh".repeat(4)),
        ] {
            assert_eq!(bad.parse::<Language>(), Err(NotALanguage), "{bad}");
        }
        for good in ["en", "en-US", "zh-Hant-TW", "es-419", "gsw-CH"] {
            assert_eq!(language(good).as_str(), good);
        }
    }

    #[test]
    fn the_primary_part_has_no_region() {
        assert_eq!(language("EN-US").primary(), "en");
    }

    #[test]
    fn the_same_tag_goes_before_the_same_primary_part() {
        let languages = ["pt-BR", "pt-PT", "de"].map(language);
        assert_eq!(closest("pt-PT", &languages), Some("pt-PT"));
        assert_eq!(closest("PT-pt", &languages), Some("pt-PT"));
        assert_eq!(closest("pt", &languages), Some("pt-BR"));
        assert_eq!(closest("pt-AO", &languages), Some("pt-BR"));
        assert_eq!(closest("de-AT", &languages), Some("de"));
        assert_eq!(closest("fr", &languages), None);
        assert_eq!(closest("fr", &[]), None);
    }

    proptest! {
        #[test]
        fn what_is_found_is_no_further_away_than_any_other(
            wish in "(en|de|pt)(-(US|us|GB|AT))?",
            languages in prop::collection::vec("(en|de|pt|fr)(-(US|GB|AT))?", 0..6),
        ) {
            let wish = language(&wish);
            let languages: Vec<Language> = languages.iter().map(|tag| language(tag)).collect();
            let distance = |language: &Language| match language.primary() == wish.primary() {
                true if language.as_str().eq_ignore_ascii_case(wish.as_str()) => 0,
                true => 1,
                false => 2,
            };
            let nearest = languages.iter().map(distance).min().filter(|&distance| distance < 2);
            prop_assert_eq!(wish.closest(&languages).map(distance), nearest);
        }
    }
}
