//! Identifiers: one type per thing, so that a question's ID cannot stand where a user's belongs.
//!
//! All are UUIDs of version 7 (RFC 9562 section 5.7): they sort by the time they were made, which keeps database
//! indexes dense. They are made here and never by the database. 74 random bits from a cryptographic generator make
//! them unguessable, yet an ID is never a proof of anything: see [`super::evidence`].

use std::fmt;
use std::str::FromStr;

use rand::CryptoRng;
use uuid::{Builder, Uuid};

use crate::time::Timestamp;

/// Text that is not the ID it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not the ID of a {thing}; expected 36 characters such as 019ab3c4-5d6e-7f80-9123-456789abcdef")]
pub struct ParseIdError {
    thing: &'static str,
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $thing:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// A new ID, stamped with `now`; times before 1970 count as 1970.
            #[must_use]
            pub fn generate<R: CryptoRng + ?Sized>(now: Timestamp, rng: &mut R) -> Self {
                Self(version_7(now, rng))
            }

            /// From a UUID that an earlier [`Self::as_uuid`] gave.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bare UUID.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        /// 36 characters, lower case, hyphenated (RFC 9562 section 4).
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0.hyphenated(), f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse(text).map(Self).ok_or(ParseIdError { thing: $thing })
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(
    /// A person who can call.
    UserId,
    "user"
);
id!(
    /// A user's record on one target system.
    AccountId,
    "account"
);
id!(
    /// A question, whoever has enrolled it.
    QuestionId,
    "question"
);
id!(
    /// One attempt of a caller to prove who they are.
    AttemptId,
    "attempt"
);
id!(
    /// One piece of evidence, the fruit of a passed attempt.
    EvidenceId,
    "piece of evidence"
);
id!(
    /// One order to reset passwords, on one or many systems.
    ResetId,
    "reset"
);
id!(
    /// One order to unlock accounts, on one or many systems.
    UnlockId,
    "unlock"
);
id!(
    /// One telephone call, as recorded here; not the `Call-ID` of SIP.
    CallId,
    "call"
);
id!(
    /// What evidence is bound to: a telephone call, or a session of the API or the portal.
    SessionId,
    "session"
);
id!(
    /// One entry of the event log.
    EventId,
    "event"
);

/// A call is a session of its own, under the same number.
impl From<CallId> for SessionId {
    fn from(call: CallId) -> Self {
        Self(call.0)
    }
}

fn version_7<R: CryptoRng + ?Sized>(now: Timestamp, rng: &mut R) -> Uuid {
    let mut random = [0; 10];
    rng.fill_bytes(&mut random);
    let millis = u64::try_from(now.as_millis()).unwrap_or(0);
    Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

/// Only the one form that we write: the others that the `uuid` crate reads would give one thing two spellings.
fn parse(text: &str) -> Option<Uuid> {
    let uuid = Uuid::try_parse(text).ok()?;
    (uuid.hyphenated().to_string() == text).then_some(uuid)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn ids_sort_by_the_time_they_were_made() {
        let mut rng = StdRng::seed_from_u64(1);
        let made: Vec<_> = [0, 1, 1_795_000_000_000, 1_795_000_000_001]
            .into_iter()
            .map(|millis| UserId::generate(Timestamp::from_millis(millis), &mut rng))
            .collect();
        assert!(made.is_sorted());
        assert_eq!(made[3].as_uuid().get_version_num(), 7);
    }

    #[test]
    fn only_our_own_spelling_is_read() {
        let good = "019ab3c4-5d6e-7f80-9123-456789abcdef";
        assert_eq!(good.parse::<CallId>().unwrap().to_string(), good);
        for bad in [
            "",
            "019ab3c45d6e7f809123456789abcdef",
            "019AB3C4-5D6E-7F80-9123-456789ABCDEF",
            "{019ab3c4-5d6e-7f80-9123-456789abcdef}",
            "019ab3c4-5d6e-7f80-9123-456789abcdeg",
        ] {
            assert!(bad.parse::<CallId>().is_err(), "{bad}");
        }
        assert!(
            "x".parse::<CallId>()
                .unwrap_err()
                .to_string()
                .starts_with("not the ID of a call")
        );
    }

    proptest! {
        #[test]
        fn text_and_json_round_trip(seed: u64, millis: i64) {
            let id = ResetId::generate(Timestamp::from_millis(millis), &mut StdRng::seed_from_u64(seed));
            prop_assert_eq!(id.to_string().parse::<ResetId>().unwrap(), id);
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<ResetId>(&json).unwrap(), id);
            prop_assert_eq!(ResetId::from_uuid(id.as_uuid()), id);
        }

        #[test]
        fn any_text_is_refused_without_a_panic(text in ".{0,40}") {
            prop_assert!(text.parse::<UserId>().is_err());
        }
    }
}
