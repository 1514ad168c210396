//! A person who can call, and how a caller names them.
//!
//! Leaves out on purpose: accounts on target systems and enrolled answers, which are records of their own.

use std::fmt;
use std::str::FromStr;

use subtle::ConstantTimeEq as _;

use super::ids::UserId;
use super::keypad::{KeypadId, number_keys};
use super::pepper::{PepperId, Peppers};
use crate::digit::Digits;
use crate::language::Language;

/// A user as the rules see them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Made here; never shown to callers.
    pub id: UserId,
    /// What they sign in with.
    pub login: Login,
    /// Full name, for staff; never read out.
    pub display_name: String,
    /// Numeric ID that can be keyed as it is.
    pub employee_number: Option<EmployeeNumber>,
    /// More numbers that can be keyed as they are: of a badge, of another country.
    pub other_numbers: Vec<EmployeeNumber>,
    /// Tells users apart whose login has the same keypad form.
    pub discriminator: Option<Discriminator>,
    /// Whether they may use Passline.
    pub status: UserStatus,
    /// Language to speak with them, if they chose one.
    pub language: Option<Language>,
}

impl User {
    /// Everything a caller may key for this user: the login on the keypad, the numbers, without doubles.
    #[must_use]
    pub fn keypad_ids(&self) -> Vec<KeypadId> {
        let mut ids: Vec<KeypadId> = KeypadId::from_login(self.login.as_str()).into_iter().collect();
        for number in self.employee_number.iter().chain(&self.other_numbers) {
            if !ids.contains(&number.0) {
                ids.push(number.0.clone());
            }
        }
        ids
    }
}

/// Whether a user may use Passline at all. Too many wrong answers are something else: [`super::lockout`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UserStatus {
    /// May be verified.
    Active,
    /// Left, or not yet begun; came from the directory.
    Disabled,
    /// Access to Passline was taken away by an admin.
    LockedByAdmin,
}

impl UserStatus {
    /// Whether the user may be verified. The others are answered like an unknown ID, that is, by a decoy.
    #[must_use]
    pub fn may_verify(self) -> bool {
        self == Self::Active
    }

    /// Name as stored.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Disabled => "disabled",
            Self::LockedByAdmin => "locked_by_admin",
        }
    }
}

impl FromStr for UserStatus {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        [Self::Active, Self::Disabled, Self::LockedByAdmin]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or(UserError::Status)
    }
}

/// A field of a user that cannot be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UserError {
    /// Empty, too long, or with control characters.
    #[error(
        "a login has 1 to {} characters and no control characters or blanks around it",
        Login::MAX_CHARS
    )]
    Login,
    /// Not a number that can be keyed.
    #[error("an employee number has 1 to {} digits, and punctuation at most", KeypadId::MAX_LEN)]
    EmployeeNumber,
    /// Not a discriminator that can be keyed.
    #[error(
        "a second discriminator has {} to {} digits, such as a desk extension or month and day of birth",
        Discriminator::MIN_LEN,
        Discriminator::MAX_LEN
    )]
    Discriminator,
    /// Not a telephone number.
    #[error("a telephone number has 2 to 25 digits")]
    Phone,
    /// Not a mail address.
    #[error("a mail address is written as in ada@example.com")]
    Mail,
    /// Not a status.
    #[error("a user is active, disabled or locked_by_admin")]
    Status,
}

/// What a user signs in with, as the directory spells it.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Login(String);

impl Login {
    /// The longest login, in characters; sAMAccountName has 20, userPrincipalName far fewer than this.
    pub const MAX_CHARS: usize = 256;

    /// The login as spelled.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Login {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        let good = !text.is_empty()
            && text.trim() == text
            && text.chars().count() <= Self::MAX_CHARS
            && !text.chars().any(char::is_control);
        good.then(|| Self(text.into())).ok_or(UserError::Login)
    }
}

impl fmt::Display for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Personal data: shows itself masked.
impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Login({})", crate::secret::masked(&self.0))
    }
}

/// A numeric ID such as an employee number; digits only, leading zeros count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EmployeeNumber(KeypadId);

impl EmployeeNumber {
    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl FromStr for EmployeeNumber {
    type Err = UserError;

    fn from_str(text: &str) -> Result<Self, UserError> {
        KeypadId::from_number(text).map(Self).ok_or(UserError::EmployeeNumber)
    }
}

/// A second ID that tells users apart whose first one is the same: desk extension, month and day of birth.
///
/// It proves nothing, yet a birthday is personal and often an answer elsewhere, so the digits are not kept: only a
/// keyed hash of them, bound to the user so that equal birthdays do not show. Argon2 would add nothing that the
/// pepper does not give, and would cost its time for every candidate of a collision.
#[derive(Clone, PartialEq, Eq)]
pub struct Discriminator {
    key: PepperId,
    tag: [u8; 32],
}

impl Discriminator {
    /// Fewest digits: one would match every tenth candidate.
    pub const MIN_LEN: usize = 2;
    /// Most digits.
    pub const MAX_LEN: usize = 12;

    /// Takes the digits that `user` will key.
    ///
    /// # Errors
    /// [`UserError::Discriminator`] if they are too few or too many, or there is a letter.
    pub fn new(peppers: &Peppers, user: UserId, digits: &str) -> Result<Self, UserError> {
        let id = KeypadId::from_number(digits)
            .filter(|id| (Self::MIN_LEN..=Self::MAX_LEN).contains(&id.as_str().len()))
            .ok_or(UserError::Discriminator)?;
        let pepper = peppers.current();
        let tag = pepper.mac("discriminator", &[user.as_uuid().as_bytes(), id.as_str().as_bytes()]);
        Ok(Self { key: pepper.id(), tag })
    }

    /// Whether a caller keyed this one, for this `user`. False too if the pepper it was made with is gone.
    #[must_use]
    pub fn matches(&self, peppers: &Peppers, user: UserId, keys: &Digits) -> bool {
        let Some(pepper) = peppers.find(self.key) else {
            return false;
        };
        let keyed = zeroize::Zeroizing::new(number_keys(keys));
        let tag = pepper.mac("discriminator", &[user.as_uuid().as_bytes(), keyed.as_bytes()]);
        tag.ct_eq(&self.tag).into()
    }

    /// For the database: key number and 32 bytes.
    #[must_use]
    pub fn to_parts(&self) -> (PepperId, [u8; 32]) {
        (self.key, self.tag)
    }

    /// From the database.
    #[must_use]
    pub fn from_parts(key: PepperId, tag: [u8; 32]) -> Self {
        Self { key, tag }
    }
}

impl fmt::Debug for Discriminator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[discriminator]")
    }
}

#[cfg(test)]
mod tests {
    use super::super::pepper::Pepper;
    use super::*;

    fn user(login: &str, number: Option<&str>) -> User {
        User {
            id: id(1),
            login: login.parse().unwrap(),
            display_name: "Jane Smith".into(),
            employee_number: number.map(|number| number.parse().unwrap()),
            other_numbers: Vec::new(),
            discriminator: None,
            status: UserStatus::Active,
            language: None,
        }
    }

    fn id(number: u128) -> UserId {
        UserId::from_uuid(uuid::Uuid::from_u128(number))
    }

    fn keys(text: &str) -> Digits {
        Digits::parse(text).unwrap()
    }

    fn ids(user: &User) -> Vec<String> {
        user.keypad_ids().iter().map(|id| id.as_str().to_owned()).collect()
    }

    #[test]
    fn a_user_is_keyed_by_login_or_number() {
        assert_eq!(ids(&user("jsmith", Some("004711"))), ["576484", "004711"]);
        assert_eq!(ids(&user("4711", Some("4711"))), ["4711"]);
        assert_eq!(ids(&user("Юлия", None)), [""; 0]);
    }

    #[test]
    fn fields_that_cannot_be_are_refused() {
        assert!("".parse::<Login>().is_err());
        assert!(" jsmith".parse::<Login>().is_err());
        assert!("js\nmith".parse::<Login>().is_err());
        assert!("x".repeat(256).parse::<Login>().is_ok());
        assert!("x".repeat(257).parse::<Login>().is_err());
        assert!("E17".parse::<EmployeeNumber>().is_err());
    }

    #[test]
    fn status_round_trips_and_only_the_active_may_verify() {
        for status in [UserStatus::Active, UserStatus::Disabled, UserStatus::LockedByAdmin] {
            assert_eq!(status.as_str().parse(), Ok(status));
            assert_eq!(status.may_verify(), status == UserStatus::Active);
        }
        assert_eq!("gone".parse::<UserStatus>(), Err(UserError::Status));
    }

    #[test]
    fn a_discriminator_matches_its_own_digits_for_its_own_user() {
        let peppers = Peppers::single(Pepper::new(PepperId(1), [7; 32]));
        let extension = Discriminator::new(&peppers, id(1), "04-03").unwrap();
        assert!(extension.matches(&peppers, id(1), &keys("0403")));
        assert!(extension.matches(&peppers, id(1), &keys("0403#")));
        assert!(!extension.matches(&peppers, id(1), &keys("0304")));
        assert!(!extension.matches(&peppers, id(2), &keys("0403")));
        let (key, tag) = extension.to_parts();
        assert_eq!(Discriminator::from_parts(key, tag), extension);

        let other = Peppers::single(Pepper::new(PepperId(2), [7; 32]));
        assert!(!extension.matches(&other, id(1), &keys("0403")));
        assert_ne!(
            extension.to_parts().1,
            Discriminator::new(&peppers, id(2), "0403").unwrap().to_parts().1
        );
    }

    #[test]
    fn discriminators_have_2_to_12_digits() {
        let peppers = Peppers::single(Pepper::new(PepperId(1), [7; 32]));
        for (digits, good) in [
            ("1", false),
            ("12", true),
            ("123456789012", true),
            ("1234567890123", false),
            ("1a", false),
        ] {
            assert_eq!(Discriminator::new(&peppers, id(1), digits).is_ok(), good, "{digits}");
        }
    }

    #[test]
    fn debug_shows_neither_login_nor_numbers() {
        let text = format!("{:?}", user("jsmith", Some("004711")));
        assert!(!text.contains("jsmith") && !text.contains("4711"), "{text}");
    }
}
