//! What is known of a user beside what they are found by: how to reach them, and where they belong.
//!
//! It comes from the systems that know people. Nothing here identifies or proves anything by itself.

use std::fmt;
use std::str::FromStr;

use super::user::UserError;

/// How to reach a user, and where they belong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Profile {
    /// Telephone numbers, the preferred one first.
    pub phones: Vec<PhoneNumber>,
    /// Mail addresses, the preferred one first.
    pub mails: Vec<MailAddress>,
    /// Department, as the directory calls it.
    pub departments: Vec<String>,
    /// Their managers, as [`place_key`] writes the entries that the directory names.
    pub managers: Vec<String>,
    /// Groups, as the directory names them.
    pub groups: Vec<String>,
}

/// The most bytes that a department, a manager or a group may have. Distinguished names are the longest of them.
pub const MAX_NAME: usize = 600;

/// The most values of one kind.
pub const MAX_VALUES: usize = 1_000;

/// How the name of an entry is written where names are compared: directories do not tell cases apart.
#[must_use]
pub fn place_key(name: &str) -> String {
    name.trim().to_lowercase()
}

/// A telephone number as somebody has written it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct PhoneNumber(String);

impl PhoneNumber {
    /// The number as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for PhoneNumber {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        let text = text.trim();
        // ITU-T E.164 has 15 digits at most; an extension and what people write between them come on top.
        let digits = text.chars().filter(char::is_ascii_digit).count();
        let good = (2..=25).contains(&digits) && text.chars().count() <= 64 && !text.chars().any(char::is_control);
        good.then(|| Self(text.to_owned())).ok_or(UserError::Phone)
    }
}

/// Personal data: shows itself masked.
impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PhoneNumber({})", crate::secret::masked(&self.0))
    }
}

/// A mail address (RFC 5321, 4.1.2), as far as it matters to whoever hands it to a mail server.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct MailAddress(String);

impl MailAddress {
    /// The address as written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for MailAddress {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        let text = text.trim();
        let is_plain = |c: char| !c.is_control() && !c.is_whitespace() && !"<>,;\"()[]\\".contains(c);
        let good = text.len() <= 254
            && text.chars().all(is_plain)
            && text
                .split_once('@')
                .is_some_and(|(local, host)| !local.is_empty() && !host.is_empty() && !host.contains('@'));
        good.then(|| Self(text.to_owned())).ok_or(UserError::Mail)
    }
}

/// Personal data: shows itself masked.
impl fmt::Debug for MailAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MailAddress({})", crate::secret::masked(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_addresses_are_taken_as_people_write_them() {
        for (number, good) in [
            ("+49 (89) 1234-567", true),
            (" 4711 ", true),
            ("tel", false),
            ("1", false),
            ("1\n2", false),
        ] {
            assert_eq!(number.parse::<PhoneNumber>().is_ok(), good, "{number:?}");
        }
        for (address, good) in [
            ("ada@example.com", true),
            ("o'neil+x@example.com", true),
            ("ada", false),
            ("@x", false),
            ("a@b@c", false),
            ("a@b\r\nBcc: c@d", false),
            ("Ada <a@b>", false),
        ] {
            assert_eq!(address.parse::<MailAddress>().is_ok(), good, "{address:?}");
        }
    }

    #[test]
    fn debug_shows_neither_numbers_nor_addresses() {
        let profile = Profile {
            phones: vec!["+15551234567".parse().unwrap()],
            mails: vec!["ada.lovelace@example.com".parse().unwrap()],
            ..Profile::default()
        };
        let text = format!("{profile:?}");
        assert!(!text.contains("5551234") && !text.contains("lovelace"), "{text}");
    }
}
