//! `Login`: an API user begins a session for one caller.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::types::{CallerNumber, ClientName, Language, Password, SecretText};
use super::{Call, Calls, Fault, FaultKind, Place, Who};
use crate::service::{Lead, SignIn};

/// The call.
pub struct Login;

/// Who signs in, for whom.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = LoginRequest)]
pub struct Request {
    /// The API user.
    user: ClientName,
    /// Its password. Not needed where the client certificate is proof enough.
    password: Option<Password>,
    /// The caller's telephone number, if it is known.
    caller: Option<CallerNumber>,
    /// The language to speak with the caller. Questions, sound and the words that spell a password are in the closest one that
    /// has prompts here, or else in that of the house.
    language: Option<Language>,
}

/// A session.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LoginResponse)]
pub struct Response {
    /// Proves that a request belongs to this session: keep it secret, and show it with every other call. It works from the
    /// network of this sign-in alone, and once only: after Logout, or after its time, it is worth nothing.
    #[schema(value_type = String)]
    session_id: SecretText,
    /// After how many seconds without a call it ends.
    idle_seconds: u64,
    /// After how many seconds it ends in any case.
    expires_in_seconds: u64,
    /// The language that is spoken. A question that is not to be had in it says so.
    language: String,
}

impl Call for Login {
    const NAME: &'static str = "Login";
    const SUMMARY: &'static str = "Begins a session for one caller";
    const DESCRIPTION: &'static str = "Signs an API user in. One session is one caller: log in anew for the next one. \
        Wrong names, passwords, certificates and networks are answered alike. After ten failures of a name from one address, \
        or thirty of an address, it must wait.";
    const IN_SESSION: bool = false;
    const PLACE: Place = Place::SignIn;
    const FAULTS: &'static [FaultKind] = &[FaultKind::SignInRefused, FaultKind::TooManyTries];
    type Request = Request;
    type Response = Response;

    async fn run(calls: &Calls, who: Who, request: Request) -> Result<Response, Fault> {
        let sign_in = SignIn {
            client: &request.user.0,
            password: request.password.as_ref().map(|password| &password.0),
            peer: &who.peer,
            caller: request.caller.as_ref().and_then(|number| number.0.as_deref()),
            language: request.language.map(|language| language.0),
            lead: Lead::Client,
        };
        let session = calls.sign_in(sign_in, &who.asker).await?;
        let speaker = calls.speaker(session.language.as_ref())?;
        let limits = calls.services().session_limits();
        Ok(Response {
            session_id: SecretText(session.token),
            idle_seconds: limits.idle.as_secs(),
            expires_in_seconds: limits.longest.as_secs(),
            language: speaker.language().as_str().to_owned(),
        })
    }
}
