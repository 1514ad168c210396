//! How answers are kept: HMAC-SHA256 under a pepper, then argon2id (RFC 9106), as a PHC string.
//!
//! ```text
//!  tag  = HMAC-SHA256(pepper, "answer" | user | question | channel | normal form)
//!  kept = $argon2id$v=19$m=19456,t=2,p=1,keyid=<pepper number>$<random salt>$argon2id(tag, salt)
//! ```
//!
//! Digits have little entropy: four of them are ten thousand guesses. Two things stand between that and a thief, and
//! argon2 is neither. The *pepper* makes a stolen database useless for offline guessing; the *lockout* bounds
//! guessing through the doors. Argon2 is the third line, for the day when database and key file are both stolen.
//!
//! User, question and channel are under the tag, so that whoever can write to the database gains nothing by copying
//! their own answer to a victim's row. Every verification does the same work: right, wrong, nothing enrolled, decoy.
//! It takes tens of milliseconds and 19 MiB: run it where it may block, and bound how many run at once.

use std::fmt;

use rand::CryptoRng;
use subtle::{ConstantTimeEq as _, ConstantTimeLess as _};
use zeroize::Zeroizing;

use super::answer::Answer;
use super::ids::{QuestionId, UserId};
use super::keyed_hash::{HashConfig, HashError, Kept, KeyedHasher, SALT_LEN, argon2id, phc};
use super::pepper::{Pepper, Peppers};
use super::question::Channel;

/// A hash as stored, in PHC string format.
#[derive(Clone, PartialEq, Eq)]
pub struct AnswerHash(String);

impl AnswerHash {
    /// From the database; looked at when it is used.
    #[must_use]
    pub fn from_stored(phc: String) -> Self {
        Self(phc)
    }

    /// The PHC string, for the database.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AnswerHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[answer hash]")
    }
}

/// Whose answer to what: part of what is hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AnswerContext {
    /// The user, or [`super::decoy::Decoy::user`].
    pub user: UserId,
    /// The question.
    pub question: QuestionId,
    /// Where it is asked.
    pub channel: Channel,
}

/// What came out of a verification.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not the enrolled answer, or nothing enrolled.
    Wrong,
    /// The enrolled answer.
    Right,
    /// The enrolled answer, but its hash is older than the current pepper or work factors: hash it anew.
    RightButStale,
}

impl Verdict {
    /// Whether the answer was right.
    #[must_use]
    pub fn is_right(&self) -> bool {
        *self != Self::Wrong
    }
}

/// Hashes and verifies answers.
#[derive(Clone, Debug)]
pub struct AnswerHasher(KeyedHasher);

impl AnswerHasher {
    /// With these work factors and peppers.
    ///
    /// # Errors
    /// [`HashError::Config`].
    pub fn new(config: HashConfig, peppers: Peppers) -> Result<Self, HashError> {
        KeyedHasher::new(config, peppers).map(Self)
    }

    /// The peppers, for the other rules that need them.
    #[must_use]
    pub fn peppers(&self) -> &Peppers {
        self.0.peppers()
    }

    /// What makes and opens the hashes, for the history of passwords.
    pub(super) fn keyed(&self) -> &KeyedHasher {
        &self.0
    }

    /// Hashes an answer for keeping.
    ///
    /// # Errors
    /// [`HashError::OutOfMemory`].
    pub fn hash<R: CryptoRng + ?Sized>(
        &self,
        context: AnswerContext,
        answer: &Answer,
        rng: &mut R,
    ) -> Result<AnswerHash, HashError> {
        let mut salt = [0; SALT_LEN];
        rng.fill_bytes(&mut salt);
        let pepper = self.peppers().current();
        let params = self.0.params(pepper.id())?;
        let hash = argon2id(&params, &tag(pepper, context, answer), &salt)?;
        phc(&params, &salt, &hash).map(AnswerHash)
    }

    /// Compares an answer with what is stored, `None` if nothing is. Takes the same time whatever comes out, errors
    /// included.
    ///
    /// # Errors
    /// All but [`HashError::Config`]; the door treats each like a wrong answer and tells the operator.
    pub fn verify(
        &self,
        context: AnswerContext,
        stored: Option<&AnswerHash>,
        answer: &Answer,
    ) -> Result<Verdict, HashError> {
        let found = stored.map(|stored| self.0.open(&stored.0)).transpose();
        let (used, problem) = match found {
            Ok(Some(kept)) => (kept, None),
            Ok(None) => (self.nothing(context)?, None),
            Err(problem) => (self.nothing(context)?, Some(problem)),
        };
        let real = stored.is_some() && problem.is_none();
        let hash = argon2id(&used.params, &tag(used.pepper, context, answer), &used.salt)?;
        let equal = hash.ct_eq(&used.hash);
        // An empty answer is never right, however it came to be enrolled.
        let some = 0_u64.ct_lt(&(answer.expose().len() as u64));
        let right = bool::from(equal & some) && real;
        match problem {
            Some(problem) => Err(problem),
            None if !right => Ok(Verdict::Wrong),
            None if used.params == self.0.params(self.peppers().current().id())? => Ok(Verdict::Right),
            None => Ok(Verdict::RightButStale),
        }
    }

    /// Something to work on where nothing is enrolled; no answer matches it.
    fn nothing(&self, context: AnswerContext) -> Result<Kept<'_>, HashError> {
        let pepper = self.peppers().current();
        let noise = pepper.mac("nothing enrolled", &[context.user.as_uuid().as_bytes()]);
        Ok(Kept {
            pepper,
            params: self.0.params(pepper.id())?,
            salt: noise[..SALT_LEN].to_vec(),
            hash: noise,
        })
    }
}

fn tag(pepper: &Pepper, context: AnswerContext, answer: &Answer) -> Zeroizing<[u8; 32]> {
    Zeroizing::new(pepper.mac(
        "answer",
        &[
            context.user.as_uuid().as_bytes(),
            context.question.as_uuid().as_bytes(),
            context.channel.as_str().as_bytes(),
            answer.expose().as_bytes(),
        ],
    ))
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use uuid::Uuid;

    use super::super::pepper::PepperId;
    use super::*;
    use crate::digit::Digits;

    const CHEAP: HashConfig = HashConfig {
        memory_kib: 8,
        passes: 1,
    };

    fn pepper(number: u32) -> Pepper {
        Pepper::new(PepperId(number), [u8::try_from(number).unwrap(); 32])
    }

    fn hasher(peppers: Vec<Pepper>) -> AnswerHasher {
        AnswerHasher::new(CHEAP, Peppers::new(peppers).unwrap()).unwrap()
    }

    fn context() -> AnswerContext {
        AnswerContext {
            user: UserId::from_uuid(Uuid::from_u128(1)),
            question: QuestionId::from_uuid(Uuid::from_u128(2)),
            channel: Channel::Phone,
        }
    }

    fn answer(keys: &str) -> Answer {
        Answer::keyed(&Digits::parse(keys).unwrap())
    }

    fn hash(hasher: &AnswerHasher, keys: &str) -> AnswerHash {
        let mut rng = StdRng::seed_from_u64(1);
        hasher.hash(context(), &answer(keys), &mut rng).unwrap()
    }

    #[test]
    fn the_enrolled_answer_is_right_and_every_other_is_wrong() {
        let hasher = hasher(vec![pepper(1)]);
        let stored = hash(&hasher, "0403");
        let verify = |keys| hasher.verify(context(), Some(&stored), &answer(keys));
        assert_eq!(verify("0403"), Ok(Verdict::Right));
        for wrong in ["0304", "403", "04030", ""] {
            assert_eq!(verify(wrong), Ok(Verdict::Wrong), "{wrong}");
        }
    }

    #[test]
    fn a_hash_counts_only_for_its_user_question_and_channel() {
        let hasher = hasher(vec![pepper(1)]);
        let stored = hash(&hasher, "0403");
        let here = context();
        let other_user = AnswerContext {
            user: UserId::from_uuid(Uuid::from_u128(9)),
            ..here
        };
        let other_question = AnswerContext {
            question: QuestionId::from_uuid(Uuid::from_u128(9)),
            ..here
        };
        let other_channel = AnswerContext {
            channel: Channel::Assisted,
            ..here
        };
        for elsewhere in [other_user, other_question, other_channel] {
            assert_eq!(
                hasher.verify(elsewhere, Some(&stored), &answer("0403")),
                Ok(Verdict::Wrong)
            );
        }
    }

    #[test]
    fn nothing_enrolled_and_an_empty_answer_are_never_right() {
        let hasher = hasher(vec![pepper(1)]);
        assert_eq!(hasher.verify(context(), None, &answer("0403")), Ok(Verdict::Wrong));
        let empty = hash(&hasher, "");
        assert_eq!(hasher.verify(context(), Some(&empty), &answer("")), Ok(Verdict::Wrong));
    }

    #[test]
    fn an_older_pepper_still_verifies_and_asks_for_a_new_hash() {
        let stored = hash(&hasher(vec![pepper(1)]), "0403");
        let rotated = hasher(vec![pepper(1), pepper(2)]);
        let verify = |keys| rotated.verify(context(), Some(&stored), &answer(keys));
        assert_eq!(verify("0403"), Ok(Verdict::RightButStale));
        assert_eq!(verify("0404"), Ok(Verdict::Wrong));
        assert_eq!(
            rotated.verify(context(), Some(&hash(&rotated, "0403")), &answer("0403")),
            Ok(Verdict::Right)
        );
    }

    #[test]
    fn older_work_factors_still_verify_and_ask_for_a_new_hash() {
        let stored = hash(&hasher(vec![pepper(1)]), "0403");
        let config = HashConfig {
            memory_kib: 16,
            ..CHEAP
        };
        let harder = AnswerHasher::new(config, Peppers::single(pepper(1))).unwrap();
        assert_eq!(
            harder.verify(context(), Some(&stored), &answer("0403")),
            Ok(Verdict::RightButStale)
        );
    }

    #[test]
    fn a_database_without_its_pepper_verifies_nothing() {
        let stored = hash(&hasher(vec![pepper(1)]), "0403");
        let missing = Err(HashError::PepperMissing { id: PepperId(1) });
        assert_eq!(
            hasher(vec![pepper(2)]).verify(context(), Some(&stored), &answer("0403")),
            missing
        );
        let forged = hasher(vec![Pepper::new(PepperId(1), [9; 32])]);
        assert_eq!(
            forged.verify(context(), Some(&stored), &answer("0403")),
            Ok(Verdict::Wrong)
        );
    }

    #[test]
    fn damaged_rows_are_told_from_wrong_answers() {
        let hasher = hasher(vec![pepper(1)]);
        let good = hash(&hasher, "0403");
        let huge = good.as_str().replace("m=8", "m=4194304");
        let slow = good.as_str().replace("t=1", "t=4000000");
        let other = good.as_str().replace("argon2id", "argon2i");
        let keyless = good.as_str().replace(",keyid=AAAAAQ", "");
        for bad in [
            "",
            "x",
            "$argon2id$v=19",
            &huge,
            &slow,
            &other,
            &keyless,
            &good.as_str()[..60],
        ] {
            let stored = AnswerHash::from_stored(bad.into());
            let verdict = hasher.verify(context(), Some(&stored), &answer("0403"));
            assert_eq!(verdict, Err(HashError::Malformed), "{bad}");
        }
    }

    #[test]
    fn what_is_stored_is_a_phc_string_with_the_number_of_the_pepper() {
        let stored = hash(&hasher(vec![pepper(1)]), "0403");
        assert!(
            stored.as_str().starts_with("$argon2id$v=19$m=8,t=1,p=1,keyid=AAAAAQ$"),
            "{}",
            stored.as_str()
        );
        assert_eq!(format!("{stored:?}"), "[answer hash]");
    }

    #[test]
    fn equal_answers_are_stored_differently() {
        let hasher = hasher(vec![pepper(1)]);
        let mut rng = StdRng::seed_from_u64(1);
        let mut hash = || hasher.hash(context(), &answer("0403"), &mut rng).unwrap();
        assert_ne!(hash(), hash());
    }

    #[test]
    fn work_factors_are_checked_at_their_boundaries() {
        let check = |memory_kib, passes| {
            let config = HashConfig { memory_kib, passes };
            AnswerHasher::new(config, Peppers::single(pepper(1))).is_ok()
        };
        assert!(check(8, 1) && check(1 << 20, 64));
        assert!(!check(7, 1) && !check((1 << 20) + 1, 1) && !check(8, 0) && !check(8, 65));
        assert_eq!(HashConfig::default().memory_kib, 19_456);
    }
}
