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

/// An attempt under way.
#[derive(Debug)]
pub struct Attempt {
    id: AttemptId,
    claimed: Claimed,
    channel: Channel,
    questions: Vec<QuestionId>,
    needed: usize,
    rounds_left: u8,
    asked: usize,
    right: usize,
    over: bool,
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
            rounds_left: config.rounds - 1,
            asked: 0,
            right: 0,
            over: false,
        })
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
        self.questions.get(self.asked).copied().filter(|_| !self.over)
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
        self.asked += 1;
        self.right += usize::from(is_right);
        if self.asked < self.questions.len() {
            return Outcome::More;
        }
        match self.claimed {
            Claimed::User(user) if self.right >= self.needed => {
                self.over = true;
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
        self.over = true;
        let Some(rounds_left) = self.rounds_left.checked_sub(1) else {
            return Outcome::Failed;
        };
        if next_round().is_err() {
            return Outcome::Locked;
        }
        self.rounds_left = rounds_left;
        self.asked = 0;
        self.right = 0;
        self.over = false;
        Outcome::Retry
    }
}
