//! Patterns for called numbers (DNIS).

use std::fmt;

/// `+15550100` (exactly this), `+1555????` (`?` is any one character), `+1555*` (any end), `*` (anything, also nothing).
/// In numbers, the separators `-`, `.`, `(`, `)` and space do not count.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CalledPattern(String);

impl CalledPattern {
    /// Reads a pattern; `None` if it is empty or has a star before its end.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let star = text.find('*');
        let valid = !text.is_empty() && text.len() <= 64 && star.is_none_or(|position| position == text.len() - 1);
        valid.then(|| Self(without_separators(text)))
    }

    /// Whether `user` is a called number of this pattern. Parameters behind a semicolon do not count.
    #[must_use]
    pub fn matches(&self, user: &str) -> bool {
        let number = without_separators(user.split(';').next().unwrap_or_default());
        let (pattern, open) = match self.0.strip_suffix('*') {
            Some(start) => (start, true),
            None => (self.0.as_str(), false),
        };
        let mut characters = number.chars();
        for expected in pattern.chars() {
            match characters.next() {
                Some(character) if expected == '?' || expected == character => {}
                _ => return false,
            }
        }
        open || characters.next().is_none()
    }
}

/// Drops visual separators of what looks like a number (RFC 3966 section 3); names keep theirs.
fn without_separators(text: &str) -> String {
    let is_number = text.chars().all(|c| c.is_ascii_digit() || "+-.() ?*#".contains(c));
    if is_number {
        text.replace(['-', '.', '(', ')', ' '], "")
    } else {
        text.to_owned()
    }
}

impl fmt::Display for CalledPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_numbers_and_names() {
        let matches = |pattern: &str, user: &str| CalledPattern::parse(pattern).expect("valid").matches(user);
        assert!(matches("+15550100", "+1-555-0100"));
        assert!(matches("+1555????", "+15550100;phone-context=x"));
        assert!(matches("+1555*", "+15550100"));
        assert!(matches("*", ""));
        assert!(matches("help-desk", "help-desk"));
        assert!(!matches("help-desk", "helpdesk"));
        assert!(!matches("+1555", "+15550100"));
        assert!(!matches("+1555????", "+1555010"));
        assert_eq!(CalledPattern::parse("a*b"), None);
        assert_eq!(CalledPattern::parse(""), None);
    }
}
