//! The language of a prompt, as a tag after BCP 47 (`en-US`, `de`, `pt-BR`): also the name of its folder.

use std::fmt;
use std::str::FromStr;

/// A language tag. Compared as written; folders are created by people who see them.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Language(String);

/// The text is not a language tag.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not a language tag such as en-US: use letters, digits and hyphens, 2 to 35 of them")]
pub struct NotALanguage(String);

impl Language {
    /// The tag.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the first hyphen, in lower case: `en` of `en-US`.
    #[must_use]
    pub fn primary(&self) -> String {
        self.0.split('-').next().unwrap_or_default().to_ascii_lowercase()
    }
}

impl FromStr for Language {
    type Err = NotALanguage;

    fn from_str(tag: &str) -> Result<Self, NotALanguage> {
        let well_formed = (2..=35).contains(&tag.len())
            && tag
                .split('-')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric()));
        if well_formed {
            Ok(Self(tag.to_owned()))
        } else {
            Err(NotALanguage(tag.chars().take(40).collect()))
        }
    }
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            &"a".repeat(36),
        ] {
            assert!(bad.parse::<Language>().is_err(), "{bad}");
        }
        for good in ["en", "en-US", "zh-Hant-TW", "es-419"] {
            assert_eq!(good.parse::<Language>().expect("a tag").as_str(), good);
        }
    }

    #[test]
    fn the_primary_part_has_no_region() {
        assert_eq!("EN-US".parse::<Language>().expect("a tag").primary(), "en");
    }
}
