//! Proving who one is: questions, answers, and the evidence at the end.
//!
//! A round is charged to the lockouts in the transaction that asks its first question, long before an answer is judged:
//! hanging up, or killing the process, saves no try. The attempt lives in the row of the visit as a few numbers; here it
//! goes on for one answer at a time.

mod round;

pub use round::{RoundAsked, RoundEnded};

use super::lockouts::Watched;
use super::repeat::Keyed;
use super::visit::{Charged, Claim, Loaded, Progress, Round, State, subject_of};
use super::{ServiceError, Services, Visit};
use crate::digit::Digits;
use crate::identity::answer::Answer;
use crate::identity::answer_hash::{AnswerContext, AnswerHash, Verdict};
use crate::identity::attempt::{Attempt, AttemptProgress, Claimed, Outcome as AttemptOutcome, Passed};
use crate::identity::event::EventKind;
use crate::identity::evidence::Evidence;
use crate::identity::ids::{AttemptId, QuestionId};
use crate::identity::question::{Question, choose};
use crate::store::{Transaction, evidence, question};
use crate::time::Timestamp;

/// What to ask; the names are the outcomes of the operation `next_question`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextQuestion {
    /// This.
    Ask(Question),
    /// Nobody can be verified here: too few questions are enrolled by anybody.
    Unavailable,
}

/// What an answer led to; the names are the outcomes of the operation `answer`. It never says which answer was wrong.
#[derive(Debug)]
pub enum Answered {
    /// Ask the next question.
    More,
    /// The caller is verified.
    Passed(Evidence),
    /// Not this time; the questions are asked once more.
    Retry,
    /// Not verified.
    Failed,
    /// Not verified, and the next try must wait.
    Locked,
}

impl Visit {
    /// The question to ask now; the same one until it is answered.
    ///
    /// # Errors
    /// [`ServiceError::OutOfOrder`] when nobody is claimed yet.
    pub async fn next_question(&self) -> Result<NextQuestion, ServiceError> {
        let services = &self.services;
        let now = services.now();
        self.prepare_decoys(now).await?;
        let mut tx = services.store().write().await?;
        let mut state = self.load(&mut tx, now).await?.state;
        let Some(mut events) = self.begin_round(&mut tx, &mut state, now).await? else {
            return Ok(NextQuestion::Unavailable);
        };
        let Progress::Asking { claim, round } = &state.progress else {
            return Err(ServiceError::OutOfOrder {
                operation: "next_question",
            });
        };
        let asked = round
            .questions
            .get(round.asked)
            .copied()
            .ok_or(ServiceError::OutOfOrder {
                operation: "next_question",
            })?;
        let question = question::find(&mut tx, asked).await?.ok_or(ServiceError::NoVisit)?;
        self.save(&mut tx, &state).await?;
        events.push(EventKind::QuestionAsked {
            attempt: round.attempt,
            question: asked,
        });
        for kind in events {
            services.record(&mut tx, &self.origin(claim.user), now, kind).await?;
        }
        tx.commit().await?;
        Ok(NextQuestion::Ask(question))
    }

    /// Takes the answer to the question that was asked last.
    ///
    /// # Errors
    /// [`ServiceError::OutOfOrder`] when no question was asked; [`ServiceError::Superseded`] when two answers to one
    /// question came at once: neither's verdict is told but the first one's.
    pub async fn answer(&self, digits: &Digits) -> Result<Answered, ServiceError> {
        let asked = self.asked(1).await?;
        self.take(asked, vec![Answer::keyed(digits)], None).await
    }

    /// Takes answers to what was asked, in its order.
    async fn take(&self, asked: Asked, answers: Vec<Answer>, keyed: Option<&Keyed>) -> Result<Answered, ServiceError> {
        let services = &self.services;
        if asked.round.charged.is_none() {
            return self.refuse(&asked, keyed).await;
        }
        let judged = services.judge(&asked.questions, answers).await?;
        let now = services.now();
        let mut tx = services.store().write().await?;
        let Loaded { mut state, version } = self.load(&mut tx, now).await?;
        if version != asked.version + 1 {
            return Err(ServiceError::Superseded);
        }
        let step = self.steps(&mut tx, &state, &asked, &judged, now).await?;
        state.progress = step.progress;
        state.keep_reply(keyed, RoundEnded::of(&step.answered).as_str());
        self.save(&mut tx, &state).await?;
        for kind in step.events {
            services
                .record(&mut tx, &self.origin(asked.claim.user), now, kind)
                .await?;
        }
        tx.commit().await?;
        match step.answered {
            Answered::Passed(_) => services.metrics().verifications_passed.add_one(),
            Answered::Retry | Answered::Failed | Answered::Locked => services.metrics().verifications_failed.add_one(),
            Answered::More => {}
        }
        for (judged, asked) in judged.into_iter().zip(asked.questions) {
            if let Some((answer, old)) = judged.stale.zip(asked.stored) {
                services.renew_hash(asked.context, answer, old);
            }
        }
        Ok(step.answered)
    }

    /// Counts what real people have enrolled, if it is time to. Before the transaction that writes: counting would hold up
    /// every other writer.
    async fn prepare_decoys(&self, now: Timestamp) -> Result<(), ServiceError> {
        let channel = {
            let mut tx = self.services.store().read().await?;
            self.look(&mut tx, now).await?.state.channel
        };
        self.services.decoy_pool(channel).await.map(drop)
    }

    /// Begins the first round if somebody is claimed and it has not begun. With it, who is locked out by this round;
    /// `None` when there are too few questions for anybody.
    async fn begin_round(
        &self,
        tx: &mut Transaction,
        state: &mut State,
        now: Timestamp,
    ) -> Result<Option<Vec<EventKind>>, ServiceError> {
        let Progress::Claimed { claim } = state.progress.clone() else {
            return Ok(Some(Vec::new()));
        };
        let Some((progress, locked)) = self.first_round(tx, state, claim, now).await? else {
            return Ok(None);
        };
        state.progress = progress;
        Ok(Some(locked))
    }

    /// Chooses the questions and charges the round. `None` when there are too few questions for anybody. With it, who
    /// is locked out by this round.
    async fn first_round(
        &self,
        tx: &mut Transaction,
        state: &State,
        mut claim: Claim,
        now: Timestamp,
    ) -> Result<Option<(Progress, Vec<EventKind>)>, ServiceError> {
        let services = &self.services;
        let peppers = services.peppers();
        let config = services.config();
        let pool = services.decoy_pool(state.channel).await?;
        let claimed = claim.claimed(peppers)?;
        let enrolled = question::enrolled(tx, claimed.hashing_id(), state.channel).await?;
        let decoy = claim.entry.decoy(peppers).ok_or(ServiceError::NoVisit)?;
        let pretended = decoy.enrolled(peppers, &pool);
        let choice =
            |who: &Claimed, ids: &[QuestionId]| choose(peppers, &config.questions, &subject_of(who, peppers), now, ids);
        let mut questions = None;
        if claim.user.is_some() {
            questions = choice(&claimed, &enrolled);
        }
        if questions.is_none() {
            // Unknown, or not enrolled any more since the ID was keyed.
            claim.user = None;
            questions = choice(&Claimed::Decoy(decoy), &pretended);
        }
        let Some(questions) = questions else {
            return Ok(None);
        };
        let mut watched = Watched::load(services, tx, state, &claim, now).await?;
        let charged = watched.begin(services, now).ok();
        watched.save(tx).await?;
        let events = watched.events(services, state, now);
        let round = Round {
            attempt: services.draw(|rng| AttemptId::generate(now, rng)),
            questions,
            needed: config.questions.right,
            rounds_left: config.attempt.rounds.saturating_sub(1),
            asked: 0,
            right: 0,
            charged,
        };
        Ok(Some((Progress::Asking { claim, round }, events)))
    }

    /// What was asked and is answered now, the next `count` questions of the round; read before the slow hashes.
    async fn asked(&self, count: usize) -> Result<Asked, ServiceError> {
        let mut tx = self.services.store().read().await?;
        let loaded = self.look(&mut tx, self.services.now()).await?;
        self.asked_in(&mut tx, loaded, count).await
    }

    async fn asked_in(&self, tx: &mut Transaction, loaded: Loaded, count: usize) -> Result<Asked, ServiceError> {
        let out_of_order = || ServiceError::OutOfOrder { operation: "answer" };
        let Loaded { state, version } = loaded;
        let Progress::Asking { claim, round } = state.progress else {
            return Err(out_of_order());
        };
        let claimed = claim.claimed(self.services.peppers())?;
        let mut questions = Vec::new();
        for &question in round.questions.iter().skip(round.asked).take(count) {
            let context = AnswerContext {
                user: claimed.hashing_id(),
                question,
                channel: state.channel,
            };
            let stored = question::answer(tx, context.user, context.question, context.channel).await?;
            questions.push(Enrolled { context, stored });
        }
        if questions.is_empty() {
            return Err(out_of_order());
        }
        Ok(Asked {
            claim,
            claimed,
            round,
            questions,
            version,
        })
    }

    /// The round was never admitted: says so, judges nothing.
    async fn refuse(&self, asked: &Asked, keyed: Option<&Keyed>) -> Result<Answered, ServiceError> {
        let services = &self.services;
        let now = services.now();
        let mut tx = services.store().write().await?;
        let Loaded { mut state, version } = self.load(&mut tx, now).await?;
        if version != asked.version + 1 {
            return Err(ServiceError::Superseded);
        }
        state.progress = Progress::Closed;
        state.keep_reply(keyed, RoundEnded::Locked.as_str());
        self.save(&mut tx, &state).await?;
        let kind = EventKind::UserNotVerified {
            attempt: asked.round.attempt,
            reason: "locked".to_owned(),
        };
        services
            .record(&mut tx, &self.origin(asked.claim.user), now, kind)
            .await?;
        tx.commit().await?;
        services.metrics().verifications_failed.add_one();
        Ok(Answered::Locked)
    }

    /// Moves the attempt on by these verdicts, one after the other.
    async fn steps(
        &self,
        tx: &mut Transaction,
        state: &State,
        asked: &Asked,
        judged: &[Judged],
        now: Timestamp,
    ) -> Result<Step, ServiceError> {
        let mut attempt = resume(&self.services, asked, state)?;
        let is_hopeless = asked.is_hopeless();
        let mut events = Vec::new();
        let last = asked.round.questions.len() - asked.round.asked;
        for (index, (enrolled, verdict)) in asked.questions.iter().zip(judged).enumerate() {
            events.push(verdict_event(asked, enrolled, verdict.right));
            let right = verdict.right && !is_hopeless;
            if index + 1 == last {
                let step = self.last_answer(tx, state, asked, attempt, right, now).await?;
                events.extend(step.events);
                return Ok(Step { events, ..step });
            }
            attempt.answer(right, || Ok(()));
        }
        Ok(Step {
            progress: asked.on(attempt.progress(), asked.round.charged.clone()),
            events,
            answered: Answered::More,
        })
    }

    /// The last answer of a round: what the round was charged to hears how it ended.
    async fn last_answer(
        &self,
        tx: &mut Transaction,
        state: &State,
        asked: &Asked,
        mut attempt: Attempt,
        right: bool,
        now: Timestamp,
    ) -> Result<Step, ServiceError> {
        let services = &self.services;
        let charged = asked.round.charged.as_ref().ok_or(ServiceError::NoVisit)?;
        let mut watched = Watched::load(services, tx, state, &asked.claim, now).await?;
        let mut next = None;
        let outcome = attempt.answer(right, || {
            watched.failed(services, charged, now);
            next = Some(watched.begin(services, now)?);
            Ok(())
        });
        let mut step = match outcome {
            AttemptOutcome::Passed(passed) => {
                watched.passed(services, charged, now);
                Step::passed(self.mint(tx, passed, now).await?)
            }
            AttemptOutcome::Retry => Step {
                progress: asked.on(attempt.progress(), next),
                events: Vec::new(),
                answered: Answered::Retry,
            },
            AttemptOutcome::Locked => Step::closed(asked, "locked", Answered::Locked),
            AttemptOutcome::Failed | AttemptOutcome::More => {
                watched.failed(services, charged, now);
                let reason = if asked.is_hopeless() { "locked" } else { "wrong answers" };
                Step::closed(asked, reason, Answered::Failed)
            }
        };
        watched.save(tx).await?;
        step.events.extend(watched.events(services, state, now));
        Ok(step)
    }

    async fn mint(&self, tx: &mut Transaction, passed: Passed, now: Timestamp) -> Result<Evidence, ServiceError> {
        let services = &self.services;
        let config = &services.config().evidence;
        let evidence = services.draw(|rng| Evidence::mint(passed, self.id, now, config, rng));
        evidence::insert(tx, &evidence).await?;
        Ok(evidence)
    }
}

/// Questions that wait for their answers.
struct Asked {
    claim: Claim,
    claimed: Claimed,
    round: Round,
    /// Those that are answered now, never none.
    questions: Vec<Enrolled>,
    version: i64,
}

/// A question with what is enrolled for it, if anything is.
struct Enrolled {
    context: AnswerContext,
    stored: Option<AnswerHash>,
}

/// What came of an answer.
struct Judged {
    right: bool,
    /// The answer again, if its hash should be renewed.
    stale: Option<Answer>,
}

/// Where an answer leads.
struct Step {
    progress: Progress,
    events: Vec<EventKind>,
    answered: Answered,
}

impl Asked {
    /// Whether the person may not try now, which is not shown: nothing that is answered is right.
    fn is_hopeless(&self) -> bool {
        self.round
            .charged
            .as_ref()
            .is_some_and(|charged| charged.person.is_none())
    }

    /// The attempt goes on from here.
    fn on(&self, progress: AttemptProgress, charged: Option<Charged>) -> Progress {
        Progress::Asking {
            claim: self.claim.clone(),
            round: self.round.at(progress, charged),
        }
    }
}

impl Step {
    fn passed(evidence: Evidence) -> Self {
        Self {
            progress: Progress::Passed {
                user: evidence.user(),
                evidence: evidence.id(),
            },
            events: vec![EventKind::UserVerified {
                attempt: evidence.attempt(),
                evidence: evidence.id(),
            }],
            answered: Answered::Passed(evidence),
        }
    }

    fn closed(asked: &Asked, reason: &str, answered: Answered) -> Self {
        Self {
            progress: Progress::Closed,
            events: vec![EventKind::UserNotVerified {
                attempt: asked.round.attempt,
                reason: reason.to_owned(),
            }],
            answered,
        }
    }
}

fn verdict_event(asked: &Asked, enrolled: &Enrolled, right: bool) -> EventKind {
    let (attempt, question) = (asked.round.attempt, enrolled.context.question);
    match right {
        true => EventKind::AnswerRight { attempt, question },
        false => EventKind::AnswerWrong { attempt, question },
    }
}

/// The attempt as it was before this answer.
fn resume(services: &Services, asked: &Asked, state: &State) -> Result<Attempt, ServiceError> {
    let round = &asked.round;
    Attempt::new(
        round.attempt,
        asked.claimed.clone(),
        state.channel,
        round.questions.clone(),
        round.needed,
        &services.config().attempt,
    )
    .and_then(|attempt| attempt.resume(round.progress()))
    .map_err(|error| ServiceError::Config {
        section: "attempt",
        message: error.to_string(),
    })
}

impl Services {
    /// Whether answers are right, in one turn at the hashing: all of them are judged, whatever comes of the first. A
    /// stored hash that cannot be used counts as a wrong answer, and the operator is told.
    async fn judge(&self, questions: &[Enrolled], answers: Vec<Answer>) -> Result<Vec<Judged>, ServiceError> {
        let hasher = self.hasher().clone();
        let work: Vec<_> = questions
            .iter()
            .map(|enrolled| (enrolled.context, enrolled.stored.clone()))
            .zip(answers)
            .collect();
        let verdicts = self
            .0
            .hashing
            .run(move || {
                let judge = |((context, stored), answer): ((AnswerContext, Option<AnswerHash>), Answer)| {
                    (hasher.verify(context, stored.as_ref(), &answer), context, answer)
                };
                work.into_iter().map(judge).collect::<Vec<_>>()
            })
            .await?;
        let judged = verdicts.into_iter().map(|(verdict, context, answer)| match verdict {
            Ok(verdict) => Judged {
                right: verdict.is_right(),
                stale: (verdict == Verdict::RightButStale).then_some(answer),
            },
            Err(error) => {
                tracing::error!(user.id = %context.user, question.id = %context.question, %error,
                    "a stored answer cannot be used");
                Judged {
                    right: false,
                    stale: None,
                }
            }
        });
        Ok(judged.collect())
    }

    /// Hashes a right answer anew with the current pepper and cost, after the caller was answered: doing it before
    /// would tell by its time that the answer was right.
    fn renew_hash(&self, context: AnswerContext, answer: Answer, old: AnswerHash) {
        let services = self.clone();
        self.0.tasks.spawn(async move {
            if let Err(error) = services.replace_hash(context, answer, &old).await {
                tracing::warn!(user.id = %context.user, %error, "cannot renew the hash of an answer; the old one stays");
            }
        });
    }

    async fn replace_hash(&self, context: AnswerContext, answer: Answer, old: &AnswerHash) -> Result<(), ServiceError> {
        let new = self.hash_answer(context, answer).await?;
        let mut tx = self.store().write().await?;
        question::renew_answer(&mut tx, context.user, context.question, context.channel, old, &new).await?;
        Ok(tx.commit().await?)
    }

    /// Hashes an answer for keeping.
    pub(super) async fn hash_answer(&self, context: AnswerContext, answer: Answer) -> Result<AnswerHash, ServiceError> {
        let services = self.clone();
        let hash = self
            .0
            .hashing
            .run(move || {
                let mut rng: rand::rngs::StdRng = services.draw(|rng| rand::SeedableRng::from_rng(rng));
                services.hasher().hash(context, &answer, &mut rng)
            })
            .await?;
        Ok(hash?)
    }
}
