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

#[cfg(test)]
mod tests {
    use super::super::pepper::{Pepper, PepperId};
    use super::*;

    fn peppers() -> Peppers {
        Peppers::single(Pepper::new(PepperId(1), [7; 32]))
    }

    fn decoy(keys: &str) -> Decoy {
        Decoy::new(&peppers(), &KeypadId::from_number(keys).unwrap(), None)
    }

    fn pool(weights: &[u32], counts: &[(usize, u32)]) -> DecoyPool {
        let questions = weights.iter().zip(1..).map(|(&weight, number)| PooledQuestion {
            question: question(number),
            weight,
        });
        DecoyPool::new(questions.collect(), counts.to_vec())
    }

    fn question(number: u128) -> QuestionId {
        QuestionId::from_uuid(Uuid::from_u128(number))
    }

    #[test]
    fn a_decoy_is_the_same_after_a_restart() {
        let pool = pool(&[1; 10], &[(4, 1)]);
        let (before, after) = (decoy("4711"), decoy("4711"));
        assert_eq!(before.user(), after.user());
        assert_eq!(before.subject(&peppers()), after.subject(&peppers()));
        assert_eq!(before.enrolled(&peppers(), &pool), after.enrolled(&peppers(), &pool));
    }

    #[test]
    fn other_keys_or_another_second_entry_are_another_decoy() {
        let id = KeypadId::from_number("4711").unwrap();
        let second = |keys: &str| Decoy::new(&peppers(), &id, Some(&Digits::parse(keys).unwrap()));
        let all = [decoy("4711"), decoy("4712"), second("12"), second("13")];
        for (index, one) in all.iter().enumerate() {
            assert!(all[..index].iter().all(|other| other.user() != one.user()));
        }
    }

    #[test]
    fn without_the_pepper_nobody_can_tell_what_a_decoy_is_asked() {
        let pool = pool(&[1; 20], &[(5, 1)]);
        let other = Peppers::single(Pepper::new(PepperId(1), [8; 32]));
        let there = Decoy::new(&other, &KeypadId::from_number("4711").unwrap(), None);
        assert_ne!(decoy("4711").enrolled(&peppers(), &pool), there.enrolled(&other, &pool));
    }

    #[test]
    fn questions_come_as_often_as_real_users_have_them() {
        let pool = pool(&[8, 1, 0, 1, 1], &[(1, 1)]);
        let mut seen = [0; 6];
        for number in 0..2200 {
            let enrolled = decoy(&number.to_string()).enrolled(&peppers(), &pool);
            assert_eq!(enrolled.len(), 1);
            seen[enrolled[0].as_uuid().as_u128() as usize] += 1;
        }
        // 1600 and three times 200 expected.
        assert!((1500..1700).contains(&seen[1]), "{seen:?}");
        assert!(
            [seen[2], seen[4], seen[5]]
                .iter()
                .all(|count| (140..260).contains(count)),
            "{seen:?}"
        );
        assert_eq!(seen[3], 0);
    }

    #[test]
    fn as_many_questions_as_real_users_have() {
        let pool = pool(&[1; 9], &[(5, 1), (3, 3)]);
        let lengths = (0..2000).map(|number| decoy(&number.to_string()).enrolled(&peppers(), &pool).len());
        let three = lengths
            .inspect(|&count| assert!(count == 3 || count == 5))
            .filter(|&count| count == 3);
        assert!((1400..1600).contains(&three.count()));
    }

    #[test]
    fn a_small_pool_gives_what_it_has() {
        assert_eq!(decoy("1").enrolled(&peppers(), &pool(&[1, 1], &[(4, 1)])).len(), 2);
        assert_eq!(decoy("1").enrolled(&peppers(), &pool(&[1, 1, 1], &[])).len(), 3);
        assert!(decoy("1").enrolled(&peppers(), &DecoyPool::default()).is_empty());
    }

    #[test]
    fn a_new_question_in_the_pool_changes_few_decoys() {
        let (old, new) = (pool(&[1; 20], &[(3, 1)]), pool(&[1; 21], &[(3, 1)]));
        let changed = (0..1000).filter(|number| {
            let decoy = decoy(&number.to_string());
            decoy.enrolled(&peppers(), &old) != decoy.enrolled(&peppers(), &new)
        });
        // One in seven draws the new one.
        assert!((90..200).contains(&changed.count()));
    }

    #[test]
    fn dice_stay_within_their_bounds() {
        for number in 0..1000_u32 {
            let dice = decoy("1").dice(&peppers(), "test", &number.to_be_bytes());
            assert!(dice > 0.0 && dice < 1.0);
        }
    }
}
