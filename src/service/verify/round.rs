//! A whole round at once, for a door whose client asks all questions by itself and brings all answers together.

use super::super::handle::{Handle, HandleOf};
use super::super::repeat::IdempotencyKey;
use super::super::visit::{Loaded, Progress};
use super::super::{ServiceError, Visit};
use super::Answered;
use crate::digit::Digits;
use crate::identity::answer::Answer;
use crate::identity::event::EventKind;
use crate::identity::ids::QuestionId;
use crate::identity::question::Question;
use crate::store::question;

/// What to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RoundAsked {
    /// These, in this order.
    Ask(Vec<(Handle, Question)>),
    /// Nobody can be verified here: too few questions are enrolled by anybody.
    Unavailable,
}

/// How a round ended. It never says which answer was wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoundEnded {
    /// The caller is verified.
    Passed,
    /// Not this time; the same questions may be answered once more.
    Retry,
    /// Not verified.
    Failed,
    /// Not verified, and the next try must wait.
    Locked,
}

impl RoundEnded {
    /// What the last answer of a round led to. One that was not the last has verified nobody.
    pub(super) fn of(answered: &Answered) -> Self {
        match answered {
            Answered::Passed(_) => Self::Passed,
            Answered::Retry => Self::Retry,
            Answered::Locked => Self::Locked,
            Answered::Failed | Answered::More => Self::Failed,
        }
    }

    /// A stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Retry => "retry",
            Self::Failed => "failed",
            Self::Locked => "locked",
        }
    }

    fn from_kept(text: &str) -> Option<Self> {
        let all = [Self::Passed, Self::Retry, Self::Failed, Self::Locked];
        all.into_iter().find(|ended| ended.as_str() == text)
    }
}

impl Visit {
    /// Claims to be one of the candidates, and asks all questions of the round. The same ones until they are answered.
    ///
    /// # Errors
    /// [`ServiceError::UnknownHandle`] when it is none of this visit's candidates; [`ServiceError::OutOfOrder`] when
    /// there are none.
    pub async fn ask_all(&self, who: &Handle) -> Result<RoundAsked, ServiceError> {
        let services = &self.services;
        let now = services.now();
        self.prepare_decoys(now).await?;
        let mut tx = services.store().write().await?;
        let mut state = self.load(&mut tx, now).await?.state;
        self.choose(&mut state, who)?;
        let is_first = matches!(state.progress, Progress::Claimed { .. });
        let Some(mut events) = self.begin_round(&mut tx, &mut state, now).await? else {
            return Ok(RoundAsked::Unavailable);
        };
        let Progress::Asking { claim, round } = &state.progress else {
            return Err(ServiceError::OutOfOrder { operation: "ask_all" });
        };
        let mut questions = Vec::with_capacity(round.questions.len());
        for &asked in &round.questions {
            let question = question::find(&mut tx, asked).await?.ok_or(ServiceError::NoVisit)?;
            questions.push((self.question_handle(asked), question));
            // A request that is repeated asks nobody once more.
            events.extend(is_first.then_some(EventKind::QuestionAsked {
                attempt: round.attempt,
                question: asked,
            }));
        }
        self.save(&mut tx, &state).await?;
        for kind in events {
            services.record(&mut tx, &self.origin(claim.user), now, kind).await?;
        }
        tx.commit().await?;
        Ok(RoundAsked::Ask(questions))
    }

    /// Takes the answers of a round, in any order. A question without an answer is answered wrongly.
    ///
    /// # Errors
    /// [`ServiceError::OutOfOrder`] when no round is under way; [`ServiceError::UnknownHandle`] for an answer to
    /// something that was not asked, or two to one question: then nothing is judged;
    /// [`ServiceError::IdempotencyConflict`]; [`ServiceError::Superseded`].
    pub async fn answer_all(
        &self,
        answers: &[(Handle, Digits)],
        key: Option<&IdempotencyKey>,
    ) -> Result<RoundEnded, ServiceError> {
        let keys: Vec<_> = answers.iter().map(|(_, digits)| digits.to_secret()).collect();
        let parts: Vec<&[u8]> = answers
            .iter()
            .zip(&keys)
            .flat_map(|((handle, _), keys)| [handle.as_str().as_bytes(), keys.expose().as_bytes()])
            .collect();
        let keyed = self.keyed("answer", key, &parts);
        let asked = {
            let mut tx = self.services.store().read().await?;
            let loaded = self.look(&mut tx, self.services.now()).await?;
            if let Some(reply) = loaded.state.reply_to(keyed.as_ref())? {
                return RoundEnded::from_kept(reply).ok_or(ServiceError::NoVisit);
            }
            let questions = questions_of(&loaded)?;
            self.check_all_asked(&questions, answers)?;
            self.asked_in(&mut tx, loaded, questions.len()).await?
        };
        let in_order = asked.questions.iter().map(|enrolled| {
            let handle = self.question_handle(enrolled.context.question);
            let given = answers.iter().find(|(asked, _)| *asked == handle);
            given.map_or_else(
                || Answer::keyed(&Digits::default()),
                |(_, digits)| Answer::keyed(digits),
            )
        });
        let in_order = in_order.collect();
        let answered = self.take(asked, in_order, keyed.as_ref()).await?;
        Ok(RoundEnded::of(&answered))
    }

    fn check_all_asked(&self, questions: &[QuestionId], answers: &[(Handle, Digits)]) -> Result<(), ServiceError> {
        let mut open: Vec<Handle> = questions.iter().map(|&id| self.question_handle(id)).collect();
        for (handle, _) in answers {
            let index = open.iter().position(|open| open == handle);
            open.swap_remove(index.ok_or(ServiceError::UnknownHandle { of: "question" })?);
        }
        Ok(())
    }

    fn question_handle(&self, id: QuestionId) -> Handle {
        self.handle(HandleOf::Question, id.as_uuid())
    }
}

/// The questions of a round of which none was answered yet.
fn questions_of(loaded: &Loaded) -> Result<Vec<QuestionId>, ServiceError> {
    match &loaded.state.progress {
        Progress::Asking { round, .. } if round.asked == 0 => Ok(round.questions.clone()),
        _ => Err(ServiceError::OutOfOrder { operation: "answer" }),
    }
}
