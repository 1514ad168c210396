//! What requests and responses are made of, whichever way they are written.
//!
//! What a person keyed or typed has types that are redacted and wiped. Their mistakes are told without them.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::digit::Digits;
use crate::secret::Secret;
use crate::service;
use crate::service::{JobOutcome, Outcome};

/// Reads a text without showing it in the mistake.
fn text<'de, D: Deserializer<'de>, T>(
    deserializer: D,
    parse: impl FnOnce(&str) -> Option<T>,
    wanted: &str,
) -> Result<T, D::Error> {
    let text = Secret::deserialize(deserializer)?;
    parse(text.expose()).ok_or_else(|| de::Error::custom(wanted))
}

fn string(description: &str, pattern: Option<&str>, length: std::ops::RangeInclusive<usize>) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .description(Some(description))
        .pattern(pattern)
        .min_length(Some(*length.start()))
        .max_length(Some(*length.end()))
        .into()
}

macro_rules! texts {
    ($($(#[$doc:meta])* $name:ident($inner:ty) = $parse:expr, $wanted:literal, $pattern:expr, $length:expr, $about:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name(pub $inner);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                text(deserializer, $parse, $wanted).map(Self)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                string($about, $pattern, $length)
            }
        }

        impl ToSchema for $name {}
    )*};
}

const HANDLE: &str = "^[0-9a-f]{32}$";

texts! {
    /// Keys that a caller pressed.
    Keys(Digits) = Digits::parse, "keys are 0 to 9, *, # and A to D, at most 64 of them", Some("^[0-9A-Da-d*#]*$"), 0..=64,
        "Keys that the caller pressed.";
    /// A handle that was given in the same session.
    Handle(service::Handle) = service::Handle::parse, "a handle has 32 digits of hexadecimal, as it was given", Some(HANDLE), 32..=32,
        "A handle that was given in this session. It means nothing in another one.";
    /// A password.
    Password(Secret) = |text: &str| (!text.is_empty() && text.len() <= 1024).then(|| Secret::new(text.to_owned())),
        "a password has 1 to 1,024 bytes", None, 1..=1024, "A password.";
    /// The key of a request.
    IdempotencyKey(service::IdempotencyKey) = service::IdempotencyKey::parse,
        "an idempotency key has 1 to 128 visible ASCII characters", Some("^[!-~]+$"), 1..=128,
        "A key of the client's own, such as a UUID, that is used for this request alone. The same request with the same key is carried out once, and answered alike.";
    /// The number of a ticket.
    Ticket(String) = |text: &str| {
            let good = (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
            good.then(|| text.to_owned())
        },
        "a ticket has 1 to 64 visible ASCII characters", Some("^[!-~]+$"), 1..=64,
        "The number of a ticket, for the audit log. It must hold nothing about a person.";
    /// The name of an API user.
    ClientName(String) = |text: &str| text.parse::<service::ApiClientName>().ok().map(|name| name.as_str().to_owned()),
        "an API user has 1 to 64 letters, digits, dots, dashes and underscores", Some("^[A-Za-z0-9._-]+$"), 1..=64,
        "The name of an API user.";
    /// A telephone number, as the IVR has it; what has no digit is none.
    CallerNumber(Option<String>) = |text: &str| {
            let has_digit = text.bytes().any(|byte| byte.is_ascii_digit());
            (text.chars().count() <= MAX_NUMBER).then(|| has_digit.then(|| presentable(text, MAX_NUMBER)))
        },
        "a calling number has at most 64 characters", None, 0..=64,
        "The caller's telephone number. Failed tries are counted for it; without it, or without a digit in it (`anonymous`), for the person alone.";
    /// A language.
    Language(crate::language::Language) = |text: &str| text.parse().ok(),
        "a language is written as in en-US (BCP 47)", Some("^[A-Za-z]{2,3}(-[A-Za-z0-9]{1,8})*$"), 2..=35,
        "A language as in en-US (BCP 47). The closest one that is spoken here is used.";
}

/// A whole number however it is written: to JSON Schema `4.0` is one (draft 2020-12, validation, section 6.1.1).
pub(super) fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    struct Whole;

    impl de::Visitor<'_> for Whole {
        type Value = u32;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number, not below zero")
        }

        fn visit_u64<E: de::Error>(self, number: u64) -> Result<u32, E> {
            u32::try_from(number).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(number), &self))
        }

        fn visit_f64<E: de::Error>(self, number: f64) -> Result<u32, E> {
            let is_whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
            match is_whole {
                true => Ok(number as u32),
                false => Err(E::invalid_value(de::Unexpected::Float(number), &self)),
            }
        }
    }

    struct Number(u32);

    impl<'de> Deserialize<'de> for Number {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            deserializer.deserialize_u32(Whole).map(Self)
        }
    }

    Ok(Option::<Number>::deserialize(deserializer)?.map(|number| number.0))
}

/// The longest telephone number, or name that stands in the place of one.
pub(crate) const MAX_NUMBER: usize = 64;

/// What somebody outside says of a call, as it may be kept and shown: without control characters, which some terminals obey and
/// some databases refuse, and not longer than this.
pub(crate) fn presentable(text: &str, most: usize) -> String {
    text.chars().filter(|c| !c.is_control()).take(most).collect()
}

impl From<service::Handle> for Handle {
    fn from(handle: service::Handle) -> Self {
        Self(handle)
    }
}

impl Serialize for Handle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.as_str())
    }
}

/// How sound is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AudioFormat {
    /// Not at all.
    #[default]
    None,
    /// WAV, 8 kHz, mono, mu-law (ITU-T G.711), in base64.
    Mulaw,
    /// WAV, 8 kHz, mono, 16-bit PCM, in base64.
    Pcm,
}

/// An answer that carries a secret: a password as text, as names of keys, or as sound. Redacted and wiped. In the
/// description it is a text.
#[derive(Clone, Debug, Default)]
pub struct SecretText(pub Secret);

impl Serialize for SecretText {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.0.expose())
    }
}

/// How far a change has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobStatus {
    /// It is carried out; ask again with JobGet.
    Running,
    /// It is done on every account.
    Done,
    /// It is done on some accounts.
    Partial,
    /// It is done on none, as far as is known.
    Failed,
}

/// A change of accounts, and what is known of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct Job {
    /// The handle to ask again with, in this session.
    pub job: Handle,
    /// How far it has come.
    pub status: JobStatus,
    /// Account by account; empty as long as nothing was begun.
    pub accounts: Vec<JobAccount>,
}

/// What is known of one account of a change.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct JobAccount {
    /// The account.
    pub account: Handle,
    /// The system that it is on.
    pub system: String,
    /// Its name there.
    pub name: String,
    /// What came of it.
    pub outcome: JobAccountOutcome,
    /// Whether it is known that the new password must be changed at the next sign-in there.
    pub must_change: bool,
}

/// What came of a change on one account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum JobAccountOutcome {
    /// It is not known yet.
    Pending,
    /// It is done.
    Done,
    /// There was no lock to clear.
    NotLocked,
    /// The system refuses it by its policy.
    RefusedByPolicy,
    /// The system wants the old password.
    WrongOldPassword,
    /// There is no such account any more.
    NoSuchAccount,
    /// Passline has no right to do it there.
    NoRight,
    /// The account is disabled.
    AccountDisabled,
    /// The system refuses it.
    Refused,
    /// The system could not be reached; everything is as before.
    Unreachable,
    /// The system cannot do that.
    Unsupported,
    /// It was interrupted, and has not happened.
    NotDone,
    /// Nobody knows: it may be done or not. It is looked at again.
    Unknown,
}

impl From<JobOutcome> for JobAccountOutcome {
    fn from(outcome: JobOutcome) -> Self {
        use crate::integration::target::Refusal;
        match outcome {
            JobOutcome::Pending => Self::Pending,
            JobOutcome::NotLocked => Self::NotLocked,
            JobOutcome::Ended(Outcome::Done) => Self::Done,
            JobOutcome::Ended(Outcome::Refused(Refusal::Policy)) => Self::RefusedByPolicy,
            JobOutcome::Ended(Outcome::Refused(Refusal::OldPassword)) => Self::WrongOldPassword,
            JobOutcome::Ended(Outcome::Refused(Refusal::NoSuchAccount)) => Self::NoSuchAccount,
            JobOutcome::Ended(Outcome::Refused(Refusal::Rights)) => Self::NoRight,
            JobOutcome::Ended(Outcome::Refused(Refusal::Disabled)) => Self::AccountDisabled,
            JobOutcome::Ended(Outcome::Refused(Refusal::Other)) => Self::Refused,
            JobOutcome::Ended(Outcome::Unreachable) => Self::Unreachable,
            JobOutcome::Ended(Outcome::Unsupported) => Self::Unsupported,
            JobOutcome::Ended(Outcome::NotDone) => Self::NotDone,
            JobOutcome::Ended(Outcome::Unknown) => Self::Unknown,
        }
    }
}

impl JobAccountOutcome {
    /// Whether there is nothing left to do.
    fn is_good(self) -> bool {
        matches!(self, Self::Done | Self::NotLocked)
    }
}

impl From<service::JobReport> for Job {
    fn from(report: service::JobReport) -> Self {
        let accounts: Vec<JobAccount> = report
            .accounts
            .into_iter()
            .map(|account| JobAccount {
                account: account.handle.into(),
                system: account.system,
                name: account.name,
                outcome: account.outcome.into(),
                must_change: account.must_change,
            })
            .collect();
        let good = accounts.iter().filter(|account| account.outcome.is_good()).count();
        let status = match good {
            _ if report.is_running => JobStatus::Running,
            0 => JobStatus::Failed,
            good if good == accounts.len() => JobStatus::Done,
            _ => JobStatus::Partial,
        };
        Self {
            job: report.handle.into(),
            status,
            accounts,
        }
    }
}

/// Accounts that a request names.
#[derive(Clone, Debug)]
pub struct Accounts(Vec<service::Handle>);

impl Accounts {
    /// More than any person has.
    const MAX: usize = 100;

    /// Their handles.
    pub(super) fn into_handles(self) -> Vec<service::Handle> {
        self.0
    }
}

impl<'de> Deserialize<'de> for Accounts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let named = Vec::<Handle>::deserialize(deserializer)?;
        match (1..=Self::MAX).contains(&named.len()) {
            true => Ok(Self(named.into_iter().map(|handle| handle.0).collect())),
            false => Err(de::Error::custom(
                "1 to 100 accounts can be named; leave them out to mean all",
            )),
        }
    }
}

impl PartialSchema for Accounts {
    fn schema() -> RefOr<Schema> {
        ArrayBuilder::new()
            .items(Ref::from_schema_name(Handle::name()))
            .min_items(Some(1))
            .max_items(Some(Self::MAX))
            .description(Some("Handles of accounts, as UserAccountList gave them."))
            .into()
    }
}

impl ToSchema for Accounts {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((Handle::name().into_owned(), Handle::schema()));
    }
}
