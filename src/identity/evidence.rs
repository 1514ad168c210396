//! Evidence: what a passed attempt leaves behind, and what every reset and unlock asks for.
//!
//! A function that changes something takes `&Evidence`. There is no way to make one but to pass an attempt
//! ([`super::attempt::Passed`] is consumed), and none to copy one. A visit whose requests may come to any node has it
//! again from its live row (`Evidence::restore`; `tests/suite/architecture.rs` knows the one place that may). So a
//! shortcut does not compile:
//!
//! ```compile_fail,E0451
//! use passline::identity::evidence::Evidence;
//! # fn shortcut(id: passline::identity::ids::EvidenceId, user: passline::identity::ids::UserId,
//! #   attempt: passline::identity::ids::AttemptId, channel: passline::identity::question::Channel,
//! #   session: passline::identity::ids::SessionId, minted: passline::time::Timestamp,
//! #   expires: passline::time::Timestamp) {
//! let forged = Evidence { id, user, attempt, channel, session, minted, expires };
//! # }
//! ```
//!
//! ```compile_fail,E0061
//! use passline::identity::evidence::Evidence;
//! fn reset(_evidence: &Evidence, _account: &str) {}
//! reset("alice at the directory");
//! ```
//!
//! ```compile_fail,E0308
//! use passline::identity::evidence::Evidence;
//! fn copy(evidence: &Evidence) -> Evidence {
//!     evidence.clone()
//! }
//! ```
//!
//! That it is *live* (not revoked, its session not ended, its user not locked meanwhile) only the store can know; the
//! service asks it by [`Evidence::id`] in the transaction of the change, after [`Evidence::check`].

use std::time::Duration;

use rand::CryptoRng;
use serde::Deserialize;

use super::attempt::Passed;
use super::ids::{AttemptId, EvidenceId, SessionId, UserId};
use super::question::Channel;
use crate::time::Timestamp;

/// How long evidence lasts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EvidenceConfig {
    /// Lifetime, 60 seconds to an hour. Default 10 minutes: enough to hear a password three times, slowly.
    #[serde(rename = "lifetime_seconds", deserialize_with = "super::seconds::deserialize")]
    pub lifetime: Duration,
}

impl Default for EvidenceConfig {
    fn default() -> Self {
        Self {
            lifetime: Duration::from_secs(10 * 60),
        }
    }
}

impl EvidenceConfig {
    /// Whether the lifetime is within its limits.
    ///
    /// # Errors
    /// [`EvidenceConfigError`].
    pub fn check(&self) -> Result<(), EvidenceConfigError> {
        let good = (60..=3600).contains(&self.lifetime.as_secs());
        good.then_some(()).ok_or(EvidenceConfigError)
    }
}

/// How far the clocks of two nodes may be apart: each may be five seconds off that of the database.
const SKEW: Duration = Duration::from_secs(10);

/// A lifetime out of limits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("evidence: `lifetime_seconds` is 60 to 3600")]
pub struct EvidenceConfigError;

/// Proof that a user was verified, in one session, not long ago. Neither `Clone` nor constructible elsewhere.
#[derive(Debug)]
pub struct Evidence {
    id: EvidenceId,
    user: UserId,
    attempt: AttemptId,
    channel: Channel,
    session: SessionId,
    minted: Timestamp,
    expires: Timestamp,
}

/// Evidence as its row tells it; proves nothing.
#[derive(Debug)]
pub(crate) struct KeptEvidence {
    pub(crate) id: EvidenceId,
    pub(crate) user: UserId,
    pub(crate) attempt: AttemptId,
    pub(crate) channel: Channel,
    pub(crate) session: SessionId,
    pub(crate) minted: Timestamp,
    pub(crate) expires: Timestamp,
}

/// Why evidence does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EvidenceError {
    /// Too old, or from a time that has not come (the clock was set back by more than nodes may differ).
    #[error("the evidence has expired; verify again")]
    Expired,
    /// Won in another call or session.
    #[error("the evidence belongs to another session")]
    OtherSession,
    /// About somebody else.
    #[error("the evidence is about another user")]
    OtherUser,
}

impl Evidence {
    /// Turns a passed attempt into evidence for this session.
    #[must_use]
    pub fn mint<R: CryptoRng + ?Sized>(
        passed: Passed,
        session: SessionId,
        now: Timestamp,
        config: &EvidenceConfig,
        rng: &mut R,
    ) -> Self {
        Self {
            id: EvidenceId::generate(now, rng),
            user: passed.user(),
            attempt: passed.attempt(),
            channel: passed.channel(),
            session,
            minted: now,
            expires: now.plus(config.lifetime),
        }
    }

    /// The same evidence, from the row that was written when it was minted. For `store::evidence::live` alone, which has
    /// seen that the row is live.
    pub(crate) fn restore(kept: KeptEvidence) -> Self {
        let KeptEvidence {
            id,
            user,
            attempt,
            channel,
            session,
            minted,
            expires,
        } = kept;
        Self {
            id,
            user,
            attempt,
            channel,
            session,
            minted,
            expires,
        }
    }

    /// Whether it counts for `user`, in `session`, `now`.
    ///
    /// # Errors
    /// Says why not.
    pub fn check(&self, user: UserId, session: SessionId, now: Timestamp) -> Result<(), EvidenceError> {
        if self.session != session {
            Err(EvidenceError::OtherSession)
        } else if self.user != user {
            Err(EvidenceError::OtherUser)
        } else if now.plus(SKEW) < self.minted || now >= self.expires {
            Err(EvidenceError::Expired)
        } else {
            Ok(())
        }
    }

    /// Its ID, to ask the store whether it is live.
    #[must_use]
    pub fn id(&self) -> EvidenceId {
        self.id
    }

    /// Who was verified.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// By which attempt.
    #[must_use]
    pub fn attempt(&self) -> AttemptId {
        self.attempt
    }

    /// Through which door.
    #[must_use]
    pub fn channel(&self) -> Channel {
        self.channel
    }

    /// In which call or session.
    #[must_use]
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// When.
    #[must_use]
    pub fn minted(&self) -> Timestamp {
        self.minted
    }

    /// The first moment at which it no longer counts.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.expires
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;
    use uuid::Uuid;

    use super::super::attempt::tests::passed;
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millis(millis)
    }

    fn user(number: u128) -> UserId {
        UserId::from_uuid(Uuid::from_u128(number))
    }

    fn session(number: u128) -> SessionId {
        SessionId::from_uuid(Uuid::from_u128(number))
    }

    fn evidence() -> Evidence {
        let mut rng = StdRng::seed_from_u64(1);
        Evidence::mint(passed(1), session(1), at(20_000), &EvidenceConfig::default(), &mut rng)
    }

    #[test]
    fn evidence_counts_for_ten_minutes_and_not_a_moment_longer() {
        let check = |millis| evidence().check(user(1), session(1), at(millis));
        assert_eq!(check(20_000), Ok(()));
        assert_eq!(check(619_999), Ok(()));
        assert_eq!(check(620_000), Err(EvidenceError::Expired));
        // Another node's clock may be behind that of the one that minted it.
        assert_eq!(check(10_000), Ok(()));
        assert_eq!(check(9_999), Err(EvidenceError::Expired));
    }

    #[test]
    fn evidence_counts_for_its_user_and_session_only() {
        let evidence = evidence();
        assert_eq!(
            evidence.check(user(2), session(1), at(20_000)),
            Err(EvidenceError::OtherUser)
        );
        assert_eq!(
            evidence.check(user(1), session(2), at(20_000)),
            Err(EvidenceError::OtherSession)
        );
    }

    #[test]
    fn evidence_tells_where_it_comes_from() {
        let evidence = evidence();
        assert_eq!(
            (evidence.user(), evidence.session(), evidence.channel()),
            (user(1), session(1), Channel::Phone)
        );
        assert_eq!((evidence.minted(), evidence.expires()), (at(20_000), at(620_000)));
        assert_eq!(evidence.attempt().as_uuid(), Uuid::from_u128(5));
    }

    #[test]
    fn lifetimes_are_checked_at_their_boundaries() {
        let check = |seconds| {
            let lifetime = Duration::from_secs(seconds);
            EvidenceConfig { lifetime }.check().is_ok()
        };
        assert!(check(60) && check(3600) && !check(59) && !check(3601));
    }
}
