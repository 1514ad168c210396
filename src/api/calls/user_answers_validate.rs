//! `UserAnswersValidate`: whether the caller is who they say.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::types::{Handle, IdempotencyKey, Keys};
use super::{Call, Calls, Fault, FaultKind, Place, Who};
use crate::service::RoundEnded;

/// The call.
pub struct UserAnswersValidate;

/// The answers of a round.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UserAnswersValidateRequest)]
pub struct Request {
    /// The answers to all questions of the round, in any order; one that is missing is wrong.
    #[schema(max_items = 9)]
    answers: Vec<Answer>,
    /// Under it the same answers are judged once.
    idempotency_key: Option<IdempotencyKey>,
}

/// An answer.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Answer {
    /// The question.
    question: Handle,
    /// What the caller keyed.
    digits: Keys,
}

/// How it ended.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserAnswersValidateResponse)]
pub struct Response {
    /// What to do now.
    result: AnswersResult,
}

/// How a round ended. It is never told which answer was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnswersResult {
    /// The caller is verified: accounts and passwords may be asked for.
    Passed,
    /// Not this time; ask the same questions once more.
    Retry,
    /// Not verified. Another ID may be tried.
    Failed,
    /// Not verified, and the next try must wait for minutes: say goodbye.
    Locked,
}

impl Call for UserAnswersValidate {
    const NAME: &'static str = "UserAnswersValidate";
    const SUMMARY: &'static str = "Judges the answers of a round";
    const DESCRIPTION: &'static str = "Judges all answers of a round together. Only after `passed` do the other calls give \
        anything, for ten minutes and in this session. Somebody who does not exist fails like somebody who was wrong.";
    const PLACE: Place = Place::Slow;
    const FAULTS: &'static [FaultKind] = &[
        FaultKind::NoSession,
        FaultKind::OutOfOrder,
        FaultKind::UnknownHandle,
        FaultKind::KeyReused,
    ];
    type Request = Request;
    type Response = Response;

    async fn run(calls: &Calls, who: Who, request: Request) -> Result<Response, Fault> {
        let visit = calls.session(&who).await?.visit;
        let key = request.idempotency_key.as_ref().map(|key| &key.0);
        let answers: Vec<_> = request
            .answers
            .into_iter()
            .map(|answer| (answer.question.0, answer.digits.0))
            .collect();
        let result = match visit.answer_all(&answers, key).await? {
            RoundEnded::Passed => AnswersResult::Passed,
            RoundEnded::Retry => AnswersResult::Retry,
            RoundEnded::Failed => AnswersResult::Failed,
            RoundEnded::Locked => AnswersResult::Locked,
        };
        Ok(Response { result })
    }
}
