//! `UserQuestionsGet`: what to ask the caller.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use utoipa::ToSchema;

use super::audio::encoded;
use super::types::{AudioFormat, Handle, SecretText};
use super::{Call, Calls, Fault, FaultKind, Who};
use crate::call::Wording;
use crate::identity::ids::QuestionId;
use crate::service::RoundAsked;
use crate::time::monotonic;

/// The call.
pub struct UserQuestionsGet;

/// Who is to be asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UserQuestionsGetRequest)]
pub struct Request {
    /// One of the entries of UserIVRList.
    user: Handle,
    /// Whether the questions are wanted as sound too.
    #[serde(default)]
    audio: AudioFormat,
}

/// What to ask.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserQuestionsGetResponse)]
pub struct Response {
    /// Every question of the round, in the order in which they are asked.
    questions: Vec<AskedQuestion>,
}

/// A question.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct AskedQuestion {
    /// Stands for it in this session.
    question: Handle,
    /// What is asked, in words: in the language of the session, or in that of the house if there is neither a text nor a
    /// recording of it.
    #[schema(value_type = String)]
    text: SecretText,
    /// The language of text, recording and sound.
    language: String,
    /// The recording of it, among the prompts of Passline, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_id: Option<String>,
    /// The sound of it in base64, if it was asked for and can be had.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    audio: Option<SecretText>,
}

impl Call for UserQuestionsGet {
    const NAME: &'static str = "UserQuestionsGet";
    const SUMMARY: &'static str = "Gives the questions of a round";
    const DESCRIPTION: &'static str = "Chooses questions for a person, at random among those that they have answered, and gives \
        all of a round at once: ask them in this order, and bring the answers with UserAnswersValidate. Called again it gives \
        the same ones. With this call a try is counted, also if the caller hangs up.";
    const FAULTS: &'static [FaultKind] = &[
        FaultKind::NoSession,
        FaultKind::OutOfOrder,
        FaultKind::UnknownHandle,
        FaultKind::NoQuestions,
    ];
    type Request = Request;
    type Response = Response;

    async fn run(calls: &Calls, who: Who, request: Request) -> Result<Response, Fault> {
        let session = calls.session(&who).await?;
        let speaker = calls.speaker(session.language.as_ref())?;
        let asked = match session.visit.ask_all(&request.user.0).await? {
            RoundAsked::Ask(asked) => asked,
            RoundAsked::Unavailable => return Err(Fault::new(FaultKind::NoQuestions)),
        };
        let until = monotonic() + who.patience();
        let mut questions = Vec::with_capacity(asked.len());
        for (handle, question) in asked {
            let wording = Wording::new(&question, &speaker);
            questions.push(AskedQuestion {
                question: handle.into(),
                text: SecretText(wording.text().to_owned().into()),
                language: wording.language().to_string(),
                prompt_id: wording.prompt().map(str::to_owned),
                audio: sound(&wording, question.id, request.audio, until).await,
            });
        }
        Ok(Response { questions })
    }
}

/// How long a question without a recording may take to be spoken, if all of them are given in time; then it is given as text
/// alone.
const SPEAKING: Duration = Duration::from_millis(400);

async fn sound(wording: &Wording<'_>, question: QuestionId, format: AudioFormat, until: Instant) -> Option<SecretText> {
    if format == AudioFormat::None {
        return None;
    }
    let left = until.saturating_duration_since(monotonic());
    match timeout(SPEAKING.min(left), wording.sound()).await {
        Ok(Ok(spoken)) => encoded(&spoken, format),
        Ok(Err(error)) => {
            tracing::warn!(question.id = %question, %error, "a question cannot be spoken");
            None
        }
        Err(_) => None,
    }
}
