//! One attempt to prove who one is: rounds of questions, k of n right, and never a word about which was wrong.
//!
//! ```text
//!   new ──> asks 1 .. n ──(right or wrong, not told)──> last answer of the round
//!                ▲                                        │ k right ──────────────> Passed (evidence)
//!                └── Retry: rounds left, and lockout ─────┤ fewer, no rounds left ─> Failed
//!                    admitted the next round              └ fewer, not admitted ───> Locked
//! ```
//!
//! All n questions are asked in every round, also when the outcome is clear before: the count of questions would tell.
//! A second round asks the same ones again; it is there for slips of the finger.

use serde::Deserialize;

use super::decoy::Decoy;
use super::ids::{AttemptId, QuestionId, UserId};
use super::lockout::Refusal;
use super::question::Channel;

/// Numbers for attempts. How many questions: [`super::question::QuestionConfig`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AttemptConfig {
    /// Rounds in one attempt, 1 to 5. Default 2: one slip is human, and each round counts for the lockout.
    pub rounds: u8,
}

impl Default for AttemptConfig {
    fn default() -> Self {
        Self { rounds: 2 }
    }
}

/// Why an attempt cannot begin.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum AttemptError {
    /// With no question, or none to be right, everybody would pass.
    #[error("an attempt needs 1 to {questions} right answers and 1 to 5 rounds, not {right} and {rounds}")]
    Numbers {
        /// How many would be asked.
        questions: usize,
        /// How many would have to be right.
        right: u8,
        /// How many rounds.
        rounds: u8,
    },
    /// A stored progress that does not fit the attempt.
    #[error("the stored progress of an attempt does not fit its questions")]
    Progress,
}

/// Whom an attempt is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// A user who exists.
    User(UserId),
    /// Nobody. Such an attempt is never passed.
    Decoy(Decoy),
}

impl Claimed {
    /// What stands for the user where answers are hashed.
    #[must_use]
    pub fn hashing_id(&self) -> UserId {
        match self {
            Self::User(user) => *user,
            Self::Decoy(decoy) => decoy.user(),
        }
    }
}

/// How an answer left the attempt; the names are the outcomes of the operation `answer`.
#[derive(Debug)]
pub enum Outcome {
    /// Ask the next question.
    More,
    /// Enough were right; the token turns into evidence.
    Passed(Passed),
    /// Not enough were right; another round begins with the first question.
    Retry,
    /// Not enough were right, and that was the last round.
    Failed,
    /// Not enough were right, and lockout does not admit another round.
    Locked,
}

/// Proof that an attempt was passed. Only an attempt makes one, once.
#[derive(Debug)]
pub struct Passed {
    attempt: AttemptId,
    user: UserId,
    channel: Channel,
}

impl Passed {
    /// The attempt.
    #[must_use]
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// Who was verified.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Through which door.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel
    }
}

/// How far an attempt has come, for keeping between the requests of a session. Holds no verdict on a single answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AttemptProgress {
    /// Rounds that may still follow this one.
    pub rounds_left: u8,
    /// Questions of this round that were answered.
    pub asked: usize,
    /// How many of them rightly.
    pub right: usize,
    /// Whether it ended, one way or the other.
    pub over: bool,
}

/// An attempt under way.
#[derive(Debug)]
pub struct Attempt {
    id: AttemptId,
    claimed: Claimed,
    channel: Channel,
    questions: Vec<QuestionId>,
    needed: usize,
    progress: AttemptProgress,
}

impl Attempt {
    /// Begins the first round, which lockout must have admitted. `questions` are asked in their order, `right` of
    /// them must be.
    ///
    /// # Errors
    /// [`AttemptError::Numbers`] if everybody or nobody could pass.
    pub fn new(
        id: AttemptId,
        claimed: Claimed,
        channel: Channel,
        questions: Vec<QuestionId>,
        right: u8,
        config: &AttemptConfig,
    ) -> Result<Self, AttemptError> {
        let needed = usize::from(right);
        if needed == 0 || needed > questions.len() || !(1..=5).contains(&config.rounds) {
            return Err(AttemptError::Numbers {
                questions: questions.len(),
                right,
                rounds: config.rounds,
            });
        }
        Ok(Self {
            id,
            claimed,
            channel,
            questions,
            needed,
            progress: AttemptProgress {
                rounds_left: config.rounds - 1,
                asked: 0,
                right: 0,
                over: false,
            },
        })
    }

    /// Goes on where [`Self::progress`] said it was; to be called on a new attempt with the same questions.
    ///
    /// # Errors
    /// [`AttemptError::Progress`] if no attempt of this kind can have come there.
    pub fn resume(mut self, progress: AttemptProgress) -> Result<Self, AttemptError> {
        let possible = progress.rounds_left <= self.progress.rounds_left
            && progress.right <= progress.asked
            && (progress.asked < self.questions.len() || progress.over);
        self.progress = progress;
        possible.then_some(self).ok_or(AttemptError::Progress)
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> AttemptProgress {
        self.progress
    }

    /// The attempt's ID.
    #[must_use]
    pub fn id(&self) -> AttemptId {
        self.id
    }

    /// Whom it is about.
    #[must_use]
    pub fn claimed(&self) -> &Claimed {
        &self.claimed
    }

    /// Where it takes place.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// What is to be asked now; `None` when the attempt is over.
    #[must_use]
    pub fn question(&self) -> Option<QuestionId> {
        let asked = self.questions.get(self.progress.asked);
        asked.copied().filter(|_| !self.progress.over)
    }

    /// Takes the verdict on the answer to [`Self::question`]. When a round was not passed and another is allowed,
    /// `next_round` is asked to begin it, that is, to charge it to the lockout of everybody concerned.
    ///
    /// An attempt that is over stays [`Outcome::Failed`].
    pub fn answer<F>(&mut self, is_right: bool, next_round: F) -> Outcome
    where
        F: FnOnce() -> Result<(), Refusal>,
    {
        if self.question().is_none() {
            return Outcome::Failed;
        }
        self.progress.asked += 1;
        self.progress.right += usize::from(is_right);
        if self.progress.asked < self.questions.len() {
            return Outcome::More;
        }
        match self.claimed {
            Claimed::User(user) if self.progress.right >= self.needed => {
                self.progress.over = true;
                Outcome::Passed(Passed {
                    attempt: self.id,
                    user,
                    channel: self.channel,
                })
            }
            _ => self.end_round(next_round),
        }
    }

    fn end_round<F>(&mut self, next_round: F) -> Outcome
    where
        F: FnOnce() -> Result<(), Refusal>,
    {
        self.progress.over = true;
        let Some(rounds_left) = self.progress.rounds_left.checked_sub(1) else {
            return Outcome::Failed;
        };
        if next_round().is_err() {
            return Outcome::Locked;
        }
        self.progress = AttemptProgress {
            rounds_left,
            asked: 0,
            right: 0,
            over: false,
        };
        Outcome::Retry
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;
    use uuid::Uuid;

    use super::super::keypad::KeypadId;
    use super::super::pepper::{Pepper, PepperId, Peppers};
    use super::*;

    fn attempt(claimed: Claimed, questions: u128, right: u8, rounds: u8) -> Result<Attempt, AttemptError> {
        let questions = (0..questions).map(|number| QuestionId::from_uuid(Uuid::from_u128(number)));
        let id = AttemptId::from_uuid(Uuid::from_u128(5));
        Attempt::new(
            id,
            claimed,
            Channel::Phone,
            questions.collect(),
            right,
            &AttemptConfig { rounds },
        )
    }

    fn user() -> Claimed {
        Claimed::User(UserId::from_uuid(Uuid::from_u128(1)))
    }

    fn decoy() -> Claimed {
        let peppers = Peppers::single(Pepper::new(PepperId(1), [7; 32]));
        Claimed::Decoy(Decoy::new(&peppers, &KeypadId::from_number("1").unwrap(), None))
    }

    /// A passed attempt of the user with this number.
    pub(in super::super) fn passed(number: u128) -> Passed {
        let claimed = Claimed::User(UserId::from_uuid(Uuid::from_u128(number)));
        match attempt(claimed, 1, 1, 1).unwrap().answer(true, || Ok(())) {
            Outcome::Passed(passed) => passed,
            other => panic!("not passed: {other:?}"),
        }
    }

    fn names(attempt: &mut Attempt, answers: &[bool], admitted: bool) -> Vec<&'static str> {
        let next = || if admitted { Ok(()) } else { Err(Refusal::Held) };
        let name = |outcome| match outcome {
            Outcome::More => "more",
            Outcome::Passed(_) => "passed",
            Outcome::Retry => "retry",
            Outcome::Failed => "failed",
            Outcome::Locked => "locked",
        };
        answers.iter().map(|&right| name(attempt.answer(right, next))).collect()
    }

    #[test]
    fn all_questions_are_asked_even_when_the_outcome_is_clear() {
        let mut one = attempt(user(), 3, 2, 1).unwrap();
        assert_eq!(names(&mut one, &[true, true, false], true), ["more", "more", "passed"]);
        let mut two = attempt(user(), 3, 2, 1).unwrap();
        assert_eq!(names(&mut two, &[false, false, true], true), ["more", "more", "failed"]);
    }

    #[test]
    fn a_second_round_asks_the_same_and_begins_from_nothing() {
        let mut attempt = attempt(user(), 2, 2, 2).unwrap();
        let first = attempt.question();
        assert_eq!(names(&mut attempt, &[true, false], true), ["more", "retry"]);
        assert_eq!(attempt.question(), first);
        assert_eq!(names(&mut attempt, &[false, true], true), ["more", "failed"]);
        assert_eq!(attempt.question(), None);
        assert_eq!(names(&mut attempt, &[true, true], true), ["failed", "failed"]);
    }

    #[test]
    fn lockout_is_asked_for_each_further_round_and_only_then() {
        let charged = Cell::new(0);
        let charge = || {
            charged.set(charged.get() + 1);
            Ok(())
        };
        let mut failing = attempt(user(), 1, 1, 3).unwrap();
        assert!(matches!(failing.answer(false, charge), Outcome::Retry));
        assert!(matches!(failing.answer(false, charge), Outcome::Retry));
        assert_eq!(charged.get(), 2);
        assert!(matches!(failing.answer(false, charge), Outcome::Failed));
        assert!(matches!(
            attempt(user(), 1, 1, 3).unwrap().answer(true, charge),
            Outcome::Passed(_)
        ));
        assert_eq!(charged.get(), 2);
    }

    #[test]
    fn without_leave_of_the_lockout_there_is_no_other_round() {
        let mut attempt = attempt(user(), 1, 1, 3).unwrap();
        assert_eq!(names(&mut attempt, &[false, true], false), ["locked", "failed"]);
    }

    #[test]
    fn an_attempt_that_everybody_or_nobody_could_pass_does_not_begin() {
        for (questions, right, rounds, good) in [
            (0, 0, 1, false),
            (3, 0, 1, false),
            (3, 1, 1, true),
            (3, 3, 1, true),
            (3, 4, 1, false),
            (1, 1, 0, false),
            (1, 1, 5, true),
            (1, 1, 6, false),
        ] {
            let begun = attempt(user(), questions, right, rounds).is_ok();
            assert_eq!(begun, good, "{right} of {questions} in {rounds}");
        }
    }

    #[test]
    fn a_progress_that_cannot_be_is_refused() {
        let resume = |rounds_left, asked, right, over| {
            let progress = AttemptProgress {
                rounds_left,
                asked,
                right,
                over,
            };
            attempt(user(), 3, 2, 2).unwrap().resume(progress).is_ok()
        };
        assert!(resume(1, 0, 0, false) && resume(0, 2, 2, false) && resume(0, 3, 1, true));
        assert!(!resume(2, 0, 0, false) && !resume(1, 1, 2, false) && !resume(1, 3, 3, false));
    }

    proptest! {
        #[test]
        fn an_attempt_that_is_kept_between_answers_goes_on_as_if_it_was_not(
            answers in prop::collection::vec(any::<bool>(), 12), right in 1..4_u8,
        ) {
            let mut whole = attempt(user(), 3, right, 3).unwrap();
            let mut progress = whole.progress();
            for answer in answers {
                let mut kept = attempt(user(), 3, right, 3).unwrap().resume(progress).unwrap();
                prop_assert_eq!(kept.question(), whole.question());
                prop_assert_eq!(names(&mut kept, &[answer], true), names(&mut whole, &[answer], true));
                progress = kept.progress();
            }
        }

        #[test]
        fn passing_takes_enough_right_answers_in_one_round_and_a_real_user(
            real: bool, questions in 1..6_u128, right in 1..6_u8, rounds in 1..4_u8,
            answers in prop::collection::vec(any::<bool>(), 24),
        ) {
            prop_assume!(u128::from(right) <= questions);
            let claimed = if real { user() } else { decoy() };
            let mut attempt = attempt(claimed, questions, right, rounds).unwrap();
            let outcomes = names(&mut attempt, &answers, true);
            let size = usize::try_from(questions).unwrap();
            let good = |round: &[bool]| round.iter().filter(|&&answer| answer).count() >= usize::from(right);
            let expected = answers.chunks_exact(size).take(rounds.into()).position(good).filter(|_| real);
            let passed = outcomes.iter().position(|&name| name == "passed");
            prop_assert_eq!(passed, expected.map(|round| (round + 1) * size - 1));
        }

        #[test]
        fn a_decoy_and_a_user_who_knows_nothing_cannot_be_told_apart(
            questions in 1..6_u128, right in 1..6_u8, rounds in 1..4_u8, admitted: bool,
        ) {
            prop_assume!(u128::from(right) <= questions);
            let mut real = attempt(user(), questions, right, rounds).unwrap();
            let mut fake = attempt(decoy(), questions, right, rounds).unwrap();
            prop_assert_eq!(names(&mut real, &[false; 24], admitted), names(&mut fake, &[false; 24], admitted));
        }
    }
}
