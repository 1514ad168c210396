//! The catalogue of events: everything that is recorded, mailed, or written into a ticket.
//!
//! Names are stable: rules, tickets and reports of customers hang on them. The `ET_ADMIN_RESET_*` and
//! `ET_ADMIN_UNLOCK_*` ones are known from older products. A new event gets a new name; a field may be added, never
//! given another meaning.
//!
//! No field can hold a secret: fields are IDs, numbers, names from the configuration, and [`Masked`]. Free text
//! (`reason`) is ours, never what somebody keyed, said or typed.

use serde::{Deserialize, Serialize};

use super::ids::{AccountId, AttemptId, CallId, EventId, EvidenceId, QuestionId, ResetId, SessionId, UnlockId, UserId};
use super::question::Channel;
use crate::time::Timestamp;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Made here.
    pub id: EventId,
    /// When.
    pub at: Timestamp,
    /// Who, where, about whom.
    pub origin: Origin,
    /// What.
    pub kind: EventKind,
}

/// Who did it, where, and to whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Through which door.
    pub door: Door,
    /// By whom.
    pub actor: Actor,
    /// In which call or session, if in any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// About which user, if about any that exists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
}

/// The way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Door {
    /// A telephone call.
    Phone,
    /// The web API.
    Api,
    /// The help-desk portal.
    Portal,
    /// The command line.
    Cli,
    /// None: the program by itself.
    System,
}

/// Who acts.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Actor {
    /// Whoever is on the line; until verified, nobody knows who.
    Caller,
    /// Help-desk staff or an admin.
    Staff {
        /// Their login.
        login: String,
    },
    /// A client of the API.
    Client {
        /// Its name in the configuration.
        name: String,
    },
    /// The program.
    System,
}

/// A telephone number or mail address that shows two characters at most.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Masked(String);

impl Masked {
    /// Masks `text`, see [`crate::secret::masked`].
    #[must_use]
    pub fn of(text: &str) -> Self {
        Self(crate::secret::masked(text))
    }

    /// What may be shown.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! events {
    ($($(#[$doc:meta])* $kind:ident = $name:literal { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* })*) => {
        /// What happened.
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(tag = "event", content = "fields")]
        pub enum EventKind {
            $($(#[$doc])* #[serde(rename = $name)] $kind { $($(#[$field_doc])* $field: $type,)* },)*
        }

        impl EventKind {
            /// Every name, in the order of the catalogue.
            pub const NAMES: &[&str] = &[$($name),*];

            /// The stable name.
            #[must_use]
            pub fn name(&self) -> &'static str {
                match self {
                    $(Self::$kind { .. } => $name,)*
                }
            }
        }
    };
}

events! {
    /// The program is up.
    ServiceStarted = "ET_SERVICE_START" {
        /// Version of the program.
        version: String,
        /// Options in use that lower security.
        danger: Vec<String>,
    }
    /// The program ends.
    ServiceStopped = "ET_SERVICE_STOP" {
        /// Calls that had to be cut off.
        calls_cut: u32,
    }
    /// Configuration was changed by somebody, or a file of it was loaded anew.
    ConfigChanged = "ET_CONFIG_CHANGED" {
        /// Section or file.
        part: String,
    }
    /// A changed file was refused, the old one stays.
    ConfigRefused = "ET_CONFIG_REFUSED" {
        /// Section or file.
        part: String,
        /// First mistake in it.
        reason: String,
    }
    /// People were loaded from a source, and something has changed.
    PeopleLoaded = "ET_SYNC_SUCCESS" {
        /// The source.
        source: String,
        /// People who are new.
        created: u64,
        /// People about whom something is new.
        changed: u64,
        /// People who are not there any more.
        removed: u64,
    }
    /// People could not be loaded from a source.
    PeopleNotLoaded = "ET_SYNC_FAILURE" {
        /// The source.
        source: String,
        /// Why.
        reason: String,
    }
    /// So many people are missing from a source that nobody was removed; somebody must say whether it is right.
    RemovalsHeld = "ET_SYNC_HELD" {
        /// The source.
        source: String,
        /// How many are missing.
        missing: u64,
        /// Of how many.
        known: u64,
    }
    /// A call was answered.
    CallStarted = "ET_CALL_START" {
        /// The call.
        call: CallId,
        /// Trunk it came in on.
        trunk: String,
        /// Dialplan it runs.
        dialplan: String,
        /// Calling number, if shown.
        caller: Option<Masked>,
    }
    /// A call was refused before it was answered.
    CallRefused = "ET_CALL_REFUSED" {
        /// Trunk, if it came from one.
        trunk: Option<String>,
        /// Why.
        reason: String,
    }
    /// A call was handed to the help desk.
    CallTransferred = "ET_CALL_TRANSFER" {
        /// The call.
        call: CallId,
        /// Whether the caller had been verified.
        verified: bool,
    }
    /// A call is over.
    CallEnded = "ET_CALL_END" {
        /// The call.
        call: CallId,
        /// How long it was, from answer to end.
        duration_ms: u64,
        /// Step of the dialplan it ended in.
        step: String,
        /// Who or what ended it.
        reason: String,
    }
    /// An ID named one or more users.
    UserIdentified = "ET_USER_IDENTIFY_SUCCESS" {
        /// How many it could be.
        candidates: u32,
    }
    /// An ID named nobody who may be verified; the caller meets a decoy.
    UserNotIdentified = "ET_USER_IDENTIFY_FAILURE" {
        /// Why, in a word: unknown, disabled, not enrolled.
        reason: String,
    }
    /// Somebody looked a user up.
    UserLookedUp = "ET_USER_LOOKUP" {
        /// How many were shown.
        matches: u32,
    }
    /// A question was asked.
    QuestionAsked = "ET_QUESTION_ASKED" {
        /// In this attempt.
        attempt: AttemptId,
        /// Which.
        question: QuestionId,
    }
    /// It was answered, rightly.
    AnswerRight = "ET_ANSWER_SUCCESS" {
        /// In this attempt.
        attempt: AttemptId,
        /// To which question.
        question: QuestionId,
    }
    /// It was answered, wrongly. For the record only: callers and staff never learn which.
    AnswerWrong = "ET_ANSWER_FAILURE" {
        /// In this attempt.
        attempt: AttemptId,
        /// To which question.
        question: QuestionId,
    }
    /// Somebody proved who they are.
    UserVerified = "ET_AUTH_CHAIN_SUCCESS" {
        /// The attempt.
        attempt: AttemptId,
        /// What it left.
        evidence: EvidenceId,
    }
    /// Somebody did not.
    UserNotVerified = "ET_AUTH_CHAIN_FAILURE" {
        /// The attempt.
        attempt: AttemptId,
        /// Wrong answers, locked, or hung up.
        reason: String,
    }
    /// A user has to wait.
    UserLocked = "ET_USER_LOCKOUT" {
        /// Rounds in a row.
        streak: u32,
        /// For how long.
        delay_seconds: u64,
    }
    /// A user has to be unlocked.
    UserHeld = "ET_USER_HOLD" {
        /// Rounds in a row.
        consecutive: u32,
    }
    /// A calling number or trunk has to wait.
    CallerLocked = "ET_CALLER_LOCKOUT" {
        /// Trunk.
        trunk: String,
        /// Calling number, if shown.
        caller: Option<Masked>,
        /// For how long.
        delay_seconds: u64,
    }
    /// A user may try again.
    UserReleased = "ET_USER_RELEASE" {}
    /// A password was made and read out. It is not in here.
    PasswordOffered = "ET_PASSWORD_OFFERED" {
        /// For these systems.
        systems: Vec<String>,
        /// Whole bits of entropy.
        entropy_bits: u32,
    }
    /// The digits form of a password was keyed back.
    PasswordReadBack = "ET_PASSWORD_READBACK" {
        /// Whether it was the right one.
        matched: bool,
    }
    /// A reset is about to be carried out.
    ResetIntended = "ET_ADMIN_RESET_INTENT" {
        /// The order.
        reset: ResetId,
        /// On these systems.
        systems: Vec<String>,
        /// By what right.
        evidence: EvidenceId,
        /// The ticket that it was ordered under, as the client of the API named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        ticket: Option<String>,
    }
    /// A password was reset.
    ResetSucceeded = "ET_ADMIN_RESET_SUCCESS" {
        /// The order.
        reset: ResetId,
        /// The account.
        account: AccountId,
        /// On which system.
        system: String,
        /// Whether it must be changed at the next sign-in; null where nobody knows.
        expired: Option<bool>,
    }
    /// A password was not reset.
    ResetFailed = "ET_ADMIN_RESET_FAILURE" {
        /// The order.
        reset: ResetId,
        /// The account.
        account: AccountId,
        /// On which system.
        system: String,
        /// Why.
        reason: String,
    }
    /// The system did not say whether a password was reset; it will be asked again.
    ResetUnknown = "ET_ADMIN_RESET_UNKNOWN" {
        /// The order.
        reset: ResetId,
        /// The account.
        account: AccountId,
        /// On which system.
        system: String,
    }
    /// An account was unlocked.
    UnlockSucceeded = "ET_ADMIN_UNLOCK_SUCCESS" {
        /// The order.
        unlock: UnlockId,
        /// The account.
        account: AccountId,
        /// On which system.
        system: String,
    }
    /// An account was not unlocked.
    UnlockFailed = "ET_ADMIN_UNLOCK_FAILURE" {
        /// The order.
        unlock: UnlockId,
        /// The account.
        account: AccountId,
        /// On which system.
        system: String,
        /// Why.
        reason: String,
    }
    /// The states of accounts were told.
    AccountStateTold = "ET_ACCOUNT_STATE" {
        /// On these systems.
        systems: Vec<String>,
    }
    /// A user came in.
    ProfileCreated = "ET_PROFILE_CREATED" {}
    /// A user's data were changed.
    ProfileChanged = "ET_PROFILE_CHANGED" {
        /// Names of the fields, without their values.
        fields: Vec<String>,
    }
    /// A user's answers were enrolled or replaced.
    AnswersEnrolled = "ET_ANSWERS_ENROLLED" {
        /// For this channel.
        channel: Channel,
        /// How many there are now.
        questions: u32,
    }
    /// Staff signed in.
    StaffSignedIn = "ET_STAFF_LOGIN_SUCCESS" {}
    /// Staff did not.
    StaffRefused = "ET_STAFF_LOGIN_FAILURE" {
        /// Why.
        reason: String,
    }
    /// A client of the API signed in.
    ApiSignedIn = "ET_API_LOGIN_SUCCESS" {}
    /// A client of the API did not.
    ApiRefused = "ET_API_LOGIN_FAILURE" {
        /// Why.
        reason: String,
    }
    /// A client of the API, or an address, has to wait before it may sign in.
    ApiLocked = "ET_API_LOCKOUT" {
        /// For how long.
        delay_seconds: u64,
    }
    /// A client of the API was added or changed.
    ApiClientChanged = "ET_API_CLIENT_CHANGED" {
        /// Its name.
        client: String,
        /// What was done: added, networks, rights, password, certificate, revoked.
        what: String,
    }
    /// The head of this log was noted elsewhere.
    AuditAnchored = "ET_AUDIT_ANCHORED" {
        /// The last link it covers.
        sequence: u64,
    }
}

/// An event in the shape in which it is stored, sent and audited.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Record {
    id: EventId,
    #[serde(flatten)]
    origin: Origin,
    #[serde(flatten)]
    kind: EventKind,
}

/// Text that is no event of this catalogue.
#[derive(Debug, thiserror::Error)]
#[error("a stored event cannot be read")]
pub struct EventError(#[from] serde_json::Error);

impl Event {
    /// The JSON object for the audit log and the outbox: `id`, `door`, `actor`, `session`, `user`, `event` (the name)
    /// and `fields`, always in this order. The time is stored beside it.
    #[must_use]
    pub fn to_json(&self) -> String {
        let record = Record {
            id: self.id,
            origin: self.origin.clone(),
            kind: self.kind.clone(),
        };
        serde_json::to_string(&record).expect("all keys are text and nothing in an event refuses to be written")
    }

    /// Reads what [`Self::to_json`] wrote.
    ///
    /// # Errors
    /// [`EventError`].
    pub fn from_json(at: Timestamp, json: &str) -> Result<Self, EventError> {
        let Record { id, origin, kind } = serde_json::from_str(json)?;
        Ok(Self { id, at, origin, kind })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use uuid::Uuid;

    use super::*;

    fn event() -> Event {
        Event {
            id: EventId::from_uuid(Uuid::from_u128(1)),
            at: Timestamp::from_millis(1_000),
            origin: Origin {
                door: Door::Phone,
                actor: Actor::Caller,
                session: Some(SessionId::from_uuid(Uuid::from_u128(2))),
                user: Some(UserId::from_uuid(Uuid::from_u128(3))),
            },
            kind: EventKind::ResetSucceeded {
                reset: ResetId::from_uuid(Uuid::from_u128(4)),
                account: AccountId::from_uuid(Uuid::from_u128(5)),
                system: "directory".into(),
                expired: Some(true),
            },
        }
    }

    #[test]
    fn the_record_has_stable_names_in_a_stable_order() {
        assert_eq!(
            event().to_json(),
            "{\"id\":\"00000000-0000-0000-0000-000000000001\",\"door\":\"phone\",\"actor\":{\"kind\":\"caller\"},\
             \"session\":\"00000000-0000-0000-0000-000000000002\",\"user\":\"00000000-0000-0000-0000-000000000003\",\
             \"event\":\"ET_ADMIN_RESET_SUCCESS\",\"fields\":{\"reset\":\"00000000-0000-0000-0000-000000000004\",\
             \"account\":\"00000000-0000-0000-0000-000000000005\",\"system\":\"directory\",\"expired\":true}}"
        );
    }

    #[test]
    fn records_round_trip() {
        let staff = Event {
            origin: Origin {
                door: Door::Cli,
                actor: Actor::Staff { login: "root".into() },
                session: None,
                user: None,
            },
            kind: EventKind::UserReleased {},
            ..event()
        };
        for event in [event(), staff] {
            assert_eq!(Event::from_json(event.at, &event.to_json()).unwrap(), event);
        }
        assert!(Event::from_json(Timestamp::default(), "{}").is_err());
    }

    #[test]
    fn names_are_unique_and_those_that_others_know_are_among_them() {
        let names: BTreeSet<_> = EventKind::NAMES.iter().collect();
        assert_eq!(names.len(), EventKind::NAMES.len());
        assert!(names.iter().all(|name| name.starts_with("ET_")));
        for known in [
            "ET_ADMIN_RESET_SUCCESS",
            "ET_ADMIN_RESET_FAILURE",
            "ET_ADMIN_UNLOCK_SUCCESS",
            "ET_ADMIN_UNLOCK_FAILURE",
        ] {
            assert!(names.contains(&known), "{known}");
        }
        assert_eq!(event().kind.name(), "ET_ADMIN_RESET_SUCCESS");
    }

    #[test]
    fn calling_numbers_are_masked_when_they_come_in() {
        assert_eq!(Masked::of("+15551234567").as_str(), "**********67");
    }
}
