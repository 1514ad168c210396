//! Decoys: whom a caller meets who keyed an ID that nobody has, or nobody who may be verified.
//!
//! An unknown ID must sound, and take as long, exactly as a known one; otherwise the keypad lists the staff. So it
//! gets a user who is not there: a set of questions that stays the same, from the pool that real users have enrolled
//! and about as many; answers that are hashed and compared with the same work; a lockout of its own. All of it is
//! computed from the keys and the pepper, nothing is stored but the lockout, and a restart changes nothing.
//!
//! No answer to a decoy is right: nothing is enrolled, and [`super::attempt`] refuses to pass one whatever it is told.

use uuid::Uuid;

use super::ids::{QuestionId, UserId};
use super::keypad::KeypadId;
use super::lockout::SubjectKey;
use super::pepper::Peppers;
use crate::digit::Digits;

/// A user who is not there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoy {
    tag: [u8; 32],
}

impl Decoy {
    /// The decoy for what was keyed: the ID, and the second discriminator if one was asked for.
    #[must_use]
    pub fn new(peppers: &Peppers, entry: &KeypadId, second: Option<&Digits>) -> Self {
        let second = second.map(super::keypad::number_keys).map(zeroize::Zeroizing::new);
        let second = second.as_ref().map_or("", |keys| keys.as_str());
        let parts = [entry.as_str().as_bytes(), second.as_bytes()];
        Self {
            tag: peppers.eldest().mac("decoy", &parts),
        }
    }

    /// Stands where a user's ID is hashed; is in no table.
    #[must_use]
    pub fn user(&self) -> UserId {
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&self.tag[..16]);
        UserId::from_uuid(Uuid::from_bytes(bytes))
    }

    /// Its lockout.
    #[must_use]
    pub fn subject(&self, peppers: &Peppers) -> SubjectKey {
        SubjectKey::decoy(peppers, &self.tag)
    }

    /// What it has "enrolled" on a channel, to be given to [`super::question::choose`] like a user's questions. Never
    /// more than the pool has.
    ///
    /// Questions are drawn by their weight without putting back (Efraimidis and Spirakis, "Weighted random sampling
    /// with a reservoir", 2006), with keyed hashes for dice: a question that comes new into the pool changes only
    /// the few decoys that draw it.
    #[must_use]
    pub fn enrolled(&self, peppers: &Peppers, pool: &DecoyPool) -> Vec<QuestionId> {
        let count = pool.count(self.dice(peppers, "decoy count", &[]));
        let mut ranked: Vec<(f64, QuestionId)> = pool
            .questions
            .iter()
            .filter(|pooled| pooled.weight > 0)
            .map(|pooled| {
                let dice = self.dice(peppers, "decoy question", pooled.question.as_uuid().as_bytes());
                (-dice.ln() / f64::from(pooled.weight), pooled.question)
            })
            .collect();
        ranked.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        ranked.truncate(count);
        ranked.into_iter().map(|(_, question)| question).collect()
    }

    /// A number in (0, 1) that is always the same for this decoy, purpose and detail.
    fn dice(&self, peppers: &Peppers, purpose: &str, detail: &[u8]) -> f64 {
        let tag = peppers.eldest().mac(purpose, &[&self.tag, detail]);
        let mut high = [0; 8];
        high.copy_from_slice(&tag[..8]);
        // 52 bits and a half: exact in a double, never 0, never 1.
        let bits = u64::from_be_bytes(high) >> 12;
        (bits as f64 + 0.5) / (1_u64 << 52) as f64
    }
}

/// What real users have enrolled on a channel, so that decoys can look like them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct DecoyPool {
    questions: Vec<PooledQuestion>,
    counts: Vec<(usize, u32)>,
}

/// A shared question and how many users have enrolled it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PooledQuestion {
    /// The question; never a personal one, which would be read out to strangers.
    pub question: QuestionId,
    /// How often it is enrolled. Round it coarsely (to a power of two, say): the finer, the more often a decoy
    /// changes its questions while real users keep theirs.
    pub weight: u32,
}

impl DecoyPool {
    /// `counts` says how many users (second) have enrolled so many questions (first); give only counts of users who
    /// can be verified. Without any, decoys take every question of the pool.
    #[must_use]
    pub fn new(questions: Vec<PooledQuestion>, mut counts: Vec<(usize, u32)>) -> Self {
        counts.sort_unstable();
        Self { questions, counts }
    }

    /// The count at `dice` of the way through all users.
    fn count(&self, dice: f64) -> usize {
        let total: f64 = self.counts.iter().map(|&(_, users)| f64::from(users)).sum();
        let mut left = dice * total;
        for &(count, users) in &self.counts {
            left -= f64::from(users);
            if left < 0.0 {
                return count;
            }
        }
        self.questions.len()
    }
}
