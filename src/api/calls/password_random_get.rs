//! `PasswordRandomGet`: a password that all chosen systems take, made for ears.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::audio::encoded;
use super::types::{Accounts, AudioFormat, Handle, IdempotencyKey, SecretText};
use super::{Call, Calls, Fault, FaultKind, Place, Who};
use crate::secret::Secret;
use crate::service::{Proposal, Proposed, Right};
use crate::speech::Speaker;
use crate::speech::phrase::{Character, Pace};

/// The call.
pub struct PasswordRandomGet;

/// For which accounts.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = PasswordRandomGetRequest)]
pub struct Request {
    /// These accounts; all of the caller if nothing is said.
    accounts: Option<Accounts>,
    /// Whether the password is wanted as sound too.
    #[serde(default)]
    audio: AudioFormat,
    /// Whether it is spelled more slowly.
    #[serde(default)]
    slower: bool,
    /// Under it the same request gives the same password.
    idempotency_key: Option<IdempotencyKey>,
}

/// A password.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PasswordRandomGetResponse)]
pub struct Response {
    /// Stands for it in this session; UserPasswordSync sets it.
    password: Handle,
    /// The password as text, where this API user may read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    value: Option<SecretText>,
    /// What to say, character by character. As secret as the password: never log it.
    speak: Vec<SpeakToken>,
    /// All of it as sound, in base64, if it was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    audio: Option<SecretText>,
}

/// One character to be spoken.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct SpeakToken {
    /// The recording among the prompts of Passline.
    #[schema(value_type = String)]
    prompt_id: SecretText,
    /// What the recording says, for an engine: "capital B".
    #[schema(value_type = String)]
    text: SecretText,
}

impl Call for PasswordRandomGet {
    const NAME: &'static str = "PasswordRandomGet";
    const SUMMARY: &'static str = "Proposes a password";
    const DESCRIPTION: &'static str = "Makes a random password that every chosen system takes, without characters that sound \
        alike. Call it again until one pleases, at most ten times in a session. It is set by UserPasswordSync only. The value as \
        text is given to API users with the right to read it; everybody gets what to say.";
    const PLACE: Place = Place::Slow;
    const FAULTS: &'static [FaultKind] = &[
        FaultKind::NoSession,
        FaultKind::NotVerified,
        FaultKind::UnknownHandle,
        FaultKind::NoAccounts,
        FaultKind::NoMorePasswords,
        FaultKind::RulesContradict,
        FaultKind::KeyReused,
    ];
    type Request = Request;
    type Response = Response;

    async fn run(calls: &Calls, who: Who, request: Request) -> Result<Response, Fault> {
        let session = calls.session(&who).await?;
        let speaker = calls.speaker(session.language.as_ref())?;
        let evidence = session.visit.evidence().await?;
        let accounts = request.accounts.map(Accounts::into_handles);
        let key = request.idempotency_key.as_ref().map(|key| &key.0);
        let proposed = session
            .visit
            .propose_and_keep(&evidence, accounts.as_deref(), &session.token, key)
            .await?;
        let proposal = match proposed {
            Proposed::Proposed(proposal) => proposal,
            Proposed::Exhausted => return Err(Fault::new(FaultKind::NoMorePasswords)),
            Proposed::Contradiction(reasons) => {
                tracing::error!(?reasons, "no password satisfies all systems that were chosen");
                return Err(Fault::new(FaultKind::RulesContradict));
            }
        };
        let pace = if request.slower { Pace::Slower } else { Pace::Normal };
        response(
            &speaker,
            &proposal,
            (request.audio, pace),
            session.may(Right::ReadPassword),
        )
    }
}

fn response(
    speaker: &Speaker,
    proposal: &Proposal,
    (format, pace): (AudioFormat, Pace),
    may_read: bool,
) -> Result<Response, Fault> {
    let unspeakable = || {
        tracing::error!("a proposed password cannot be spelled; run `passline prompts check`");
        Fault::new(FaultKind::Internal)
    };
    let handle = crate::service::Handle::parse(proposal.name()).ok_or_else(unspeakable)?;
    let speak = proposal.password().expose().chars().map(|c| {
        let id = Character::of(c).map(Character::prompt_id)?;
        let text = speaker.prompt(&id)?.transcript().to_owned();
        Some(SpeakToken {
            prompt_id: SecretText(Secret::new(id)),
            text: SecretText(Secret::new(text)),
        })
    });
    let audio = match format {
        AudioFormat::None => None,
        format => {
            let spelled = speaker.spell(proposal.password(), pace).map_err(|_| unspeakable())?;
            encoded(&spelled, format)
        }
    };
    Ok(Response {
        password: handle.into(),
        value: may_read.then(|| SecretText(proposal.password().clone())),
        speak: speak.collect::<Option<_>>().ok_or_else(unspeakable)?,
        audio,
    })
}
