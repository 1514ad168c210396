//! Answers that a source knows: taken once, and hashed before anything is written.

use super::link::Found;
use super::piece::Candidate;
use super::{Run, SyncCounts, SyncError};
use crate::identity::answer_hash::{AnswerContext, AnswerHash};
use crate::identity::event::{EventKind, Origin};
use crate::identity::ids::UserId;
use crate::identity::question::Channel;
use crate::service::people::{PeopleError, about};
use crate::store::{Transaction, question};
use crate::time::Timestamp;

impl<P: FnMut(&SyncCounts) + Send> Run<'_, P> {
    /// Hashes the answers to questions that somebody has not answered yet.
    pub(super) async fn hash_answers(
        &self,
        candidate: &Candidate,
    ) -> Result<Option<(UserId, Vec<(AnswerContext, AnswerHash)>)>, SyncError> {
        if candidate.person.answers.is_empty() {
            return Ok(None);
        }
        let mut tx = self.services.store().read().await?;
        let user = match self.who(&mut tx, candidate).await? {
            Ok(Found::User(user)) => user.id,
            Ok(Found::Nobody | Found::Departed(_)) if self.rules.create => {
                self.services.draw(|rng| UserId::generate(self.services.now(), rng))
            }
            _ => return Ok(None),
        };
        let mut answered = Vec::new();
        for channel in Channel::ALL {
            answered.extend(question::enrolled(&mut tx, user, channel).await?);
        }
        drop(tx);
        let mut hashes = Vec::new();
        for (nth, text) in &candidate.person.answers {
            let question = &self.questions[*nth];
            if answered.contains(&question.id) {
                continue;
            }
            match self.services.hash_enrolment(user, question, text).await {
                Ok(made) => hashes.extend(made),
                Err(PeopleError::Service(error)) => return Err(error.into()),
                // Tried when the record was read.
                Err(_) => {}
            }
        }
        Ok(Some((user, hashes)))
    }

    /// Keeps answers that were not there; what is to be told of it.
    pub(super) async fn keep_new_answers(
        &self,
        tx: &mut Transaction,
        user: UserId,
        hashes: &[(AnswerContext, AnswerHash)],
        now: Timestamp,
    ) -> Result<Vec<(Origin, EventKind)>, SyncError> {
        let mut kept = Vec::new();
        for (context, hash) in hashes {
            let is_there = question::answer(tx, user, context.question, context.channel)
                .await?
                .is_some();
            if !is_there {
                question::put_answer(tx, user, context.question, context.channel, hash, now).await?;
                kept.push(context.channel);
            }
        }
        let mut events = Vec::new();
        for channel in Channel::ALL.into_iter().filter(|channel| kept.contains(channel)) {
            let count = question::enrolled(tx, user, channel).await?.len();
            let questions = u32::try_from(count).unwrap_or(u32::MAX);
            events.push((
                about(&self.origin, user),
                EventKind::AnswersEnrolled { channel, questions },
            ));
        }
        Ok(events)
    }
}
