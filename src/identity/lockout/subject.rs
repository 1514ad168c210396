//! Whose rounds are counted.

use std::fmt;

use super::super::ids::UserId;
use super::super::pepper::Peppers;

/// Who is counted: a keyed hash, so that the table of lockouts shows neither numbers nor who is real.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectKey([u8; 32]);

impl SubjectKey {
    /// A user.
    #[must_use]
    pub fn user(peppers: &Peppers, user: UserId) -> Self {
        Self(peppers.eldest().mac("lockout user", &[user.as_uuid().as_bytes()]))
    }

    /// A decoy, see [`crate::identity::decoy::Decoy::subject`].
    pub(in super::super) fn decoy(peppers: &Peppers, tag: &[u8; 32]) -> Self {
        Self(peppers.eldest().mac("lockout decoy", &[tag]))
    }

    /// What was keyed, meant for one person or decoy, since that person's slate was last wiped.
    #[must_use]
    pub fn entry(peppers: &Peppers, entry: &str, who: UserId, generation: u32) -> Self {
        let (who, generation) = (who.as_uuid(), generation.to_be_bytes());
        let parts = [entry.as_bytes(), who.as_bytes(), &generation];
        Self(peppers.eldest().mac("lockout entry", &parts))
    }

    /// A calling number as the trunk gave it, without anything but digits and a plus. Callers without a number share
    /// one key per trunk.
    #[must_use]
    pub fn caller(peppers: &Peppers, trunk: &str, number: Option<&str>) -> Self {
        let mac = |parts: &[&[u8]]| peppers.eldest().mac("lockout caller", parts);
        let digits: String = number
            .into_iter()
            .flat_map(str::chars)
            .filter(|c| c.is_ascii_digit() || *c == '+')
            .collect();
        match digits.is_empty() {
            true => Self(mac(&[b"anonymous", trunk.as_bytes()])),
            false => Self(mac(&[b"number", digits.as_bytes()])),
        }
    }

    /// All calls of a trunk together.
    #[must_use]
    pub fn trunk(peppers: &Peppers, trunk: &str) -> Self {
        Self(peppers.eldest().mac("lockout trunk", &[trunk.as_bytes()]))
    }

    /// A client of the web API that signs in from one address. The name need not be one that there is.
    #[must_use]
    pub fn client(peppers: &Peppers, name: &str, address: &str) -> Self {
        let parts = [name.as_bytes(), address.as_bytes()];
        Self(peppers.eldest().mac("lockout client", &parts))
    }

    /// An address that signs in to the web API.
    #[must_use]
    pub fn address(peppers: &Peppers, address: &str) -> Self {
        Self(peppers.eldest().mac("lockout address", &[address.as_bytes()]))
    }

    /// For the database.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectKey({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::pepper::{Pepper, PepperId};
    use super::*;

    #[test]
    fn subjects_of_all_kinds_are_different_and_numbers_are_compared_by_their_digits() {
        let peppers = Peppers::single(Pepper::new(PepperId(1), [7; 32]));
        let caller = |number| SubjectKey::caller(&peppers, "carrier", number);
        let who = UserId::from_uuid(uuid::Uuid::from_u128(1));
        let all = [
            SubjectKey::user(&peppers, who),
            SubjectKey::entry(&peppers, "1", who, 0),
            SubjectKey::entry(&peppers, "1", who, 1),
            SubjectKey::entry(&peppers, "2", who, 0),
            SubjectKey::trunk(&peppers, "carrier"),
            caller(None),
            caller(Some("+15551234567")),
            caller(Some("15551234567")),
            SubjectKey::caller(&peppers, "other", None),
            SubjectKey::client(&peppers, "carrier", "192.0.2.1"),
            SubjectKey::client(&peppers, "carrier1", "92.0.2.1"),
            SubjectKey::address(&peppers, "192.0.2.1"),
        ];
        for (index, one) in all.iter().enumerate() {
            assert!(!all[..index].contains(one), "{index}");
        }
        assert_eq!(caller(Some("+1 (555) 123-4567")), caller(Some("+15551234567")));
        assert_eq!(caller(Some("anonymous")), caller(None));
        assert_eq!(
            SubjectKey::caller(&peppers, "other", Some("+15551234567")),
            caller(Some("+15551234567"))
        );
    }
}
