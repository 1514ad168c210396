//! One change on one account of one target, until its outcome is known or its time is up.
//!
//! ```text
//!            ┌── refused, unreachable: certainly nothing happened ──▶ told so (unreachable: tried again first)
//! request ───┼── done ──▶ Done
//!            └── no answer, broken off ──▶ doubt ──check──▶ it is so, expiry included ──▶ Done
//!                                            │  ▲
//!                                            │  └─ it is not so, or no answer: the request may still be under way
//!                                            └── request again (the same password: harmless) ... time is up ──▶ Unknown
//! ```
//!
//! Once in doubt, only *Done* ends it: a request that timed out may take effect a minute later, so "the old password
//! still works" proves nothing about the next minute. [`settle`] looks again when that minute has passed. A new password
//! without the expiry that was asked for is asked for again while there is time, then told as what it is.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::config::{millis, seconds};
use super::outcome::{Finding, Outcome, Proof};
use crate::integration::target::{AccountState, Expiry, Target, TargetError, Verdict};
use crate::secret::Secret;

/// How long the parts of a change may take.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ChangeLimits {
    /// One request to a target. Four seconds: a domain controller far away answers within one.
    #[serde(rename = "request_seconds", deserialize_with = "seconds")]
    pub request: Duration,
    /// All requests, checks and repetitions for one account. Ten seconds is as long as a caller waits in silence.
    #[serde(rename = "account_seconds", deserialize_with = "seconds")]
    pub account: Duration,
    /// Pause before a request is repeated; doubled each time.
    #[serde(rename = "pause_ms", deserialize_with = "millis")]
    pub pause: Duration,
    /// A look at the state of an account before it is changed. One second: without it the change goes on, and only a
    /// crash in the middle would leave more unknown.
    #[serde(rename = "look_seconds", deserialize_with = "seconds")]
    pub look: Duration,
    /// How long after its time was up a request may still take effect on the target. One minute: servers and proxies
    /// commonly give up after 30 seconds.
    #[serde(rename = "settle_seconds", deserialize_with = "seconds")]
    pub settle: Duration,
}

impl ChangeLimits {
    /// What cannot work, if anything.
    pub(super) fn problem(&self) -> Option<&'static str> {
        if self.request.is_zero() || self.pause.is_zero() || self.look.is_zero() {
            Some("`request_seconds`, `pause_ms` and `look_seconds` are at least 1")
        } else if self.request > self.account {
            Some("`request_seconds` is at most `account_seconds`")
        } else if self.settle < self.account {
            Some("`settle_seconds` is at least `account_seconds`")
        } else {
            None
        }
    }

    /// The longest that a change can take, with reserve for a slow disk: after it, its process must be dead.
    pub(super) fn lease(&self) -> Duration {
        self.account + 2 * self.request + Duration::from_secs(5)
    }
}

impl Default for ChangeLimits {
    fn default() -> Self {
        Self {
            request: Duration::from_secs(4),
            account: Duration::from_secs(10),
            pause: Duration::from_millis(200),
            look: Duration::from_secs(1),
            settle: Duration::from_secs(60),
        }
    }
}

/// What is to be changed.
#[derive(Clone, Debug)]
pub(super) enum Work {
    /// A new password.
    Reset {
        /// The password.
        password: Secret,
        /// Whether it must be changed at the next sign-in.
        expiry: Expiry,
    },
    /// The lock is cleared.
    Unlock,
}

impl Work {
    fn wants_expiry(&self) -> bool {
        matches!(
            self,
            Self::Reset {
                expiry: Expiry::AtNextSignIn,
                ..
            }
        )
    }
}

/// Carries out a change on one account. Takes at most `limits.account`, and one check.
pub(super) async fn carry_out(target: &dyn Target, account: &str, work: &Work, limits: &ChangeLimits) -> Finding {
    let deadline = Instant::now() + limits.account;
    let mut pause = limits.pause;
    let mut in_doubt = false;
    let mut seen = None;
    loop {
        match request(target, account, work, limits, deadline).await {
            Ok(expired) => return Finding::new(Outcome::Done, Proof::Answer).expired(expired),
            Err(error) if error.may_have_happened() => in_doubt = true,
            Err(error) if !error.is_transient() && !in_doubt => return Finding::new(failure(&error), Proof::Answer),
            Err(_) => {}
        }
        if in_doubt {
            seen = check(target, account, work, limits).await.or(seen);
            if let Some(Seen::Done { expired }) = seen
                && !(work.wants_expiry() && expired == Some(false) && target.capabilities().expire)
            {
                return Finding::new(Outcome::Done, Proof::Check).expired(expired);
            }
        }
        if Instant::now() + pause >= deadline {
            break;
        }
        sleep(pause).await;
        pause *= 2;
    }
    match seen {
        // What was asked for more than once, and is not so yet, may still come to be.
        Some(Seen::Done { expired }) => {
            let expired = expired.filter(|&expired| expired || !target.capabilities().expire);
            Finding::new(Outcome::Done, Proof::Check).expired(expired)
        }
        _ if in_doubt => Finding::new(Outcome::Unknown, Proof::Pending),
        _ => Finding::new(Outcome::Unreachable, Proof::Answer),
    }
}

/// Looks at an account whose outcome is unknown, at a time when nothing can be under way any more. Still unknown when
/// the target does not answer.
pub(super) async fn settle(target: &dyn Target, account: &str, work: &Work, limits: &ChangeLimits) -> Finding {
    match check(target, account, work, limits).await {
        Some(Seen::Done { expired }) => Finding::new(Outcome::Done, Proof::Check).expired(expired),
        Some(Seen::NotDone) => Finding::new(Outcome::NotDone, Proof::Check),
        None => Finding::new(Outcome::Unknown, Proof::Nothing),
    }
}

/// The state of an account, within `limit`.
pub(super) async fn state_of(target: &dyn Target, account: &str, limit: Duration) -> Result<AccountState, TargetError> {
    timeout(limit, target.state(account))
        .await
        .unwrap_or_else(|_| Err(timed_out(target)))
}

/// Asks for the change; answers whether a new password must be changed, if there is a new password.
async fn request(
    target: &dyn Target,
    account: &str,
    work: &Work,
    limits: &ChangeLimits,
    deadline: Instant,
) -> Result<Option<bool>, TargetError> {
    let until = deadline.min(Instant::now() + limits.request);
    let answer = match work {
        Work::Reset { password, expiry } => timeout_at(until, target.reset(account, password, *expiry))
            .await
            .map(|answer| answer.map(|expiry| Some(expiry == Expiry::AtNextSignIn))),
        Work::Unlock => timeout_at(until, target.unlock(account))
            .await
            .map(|answer| answer.map(|()| None)),
    };
    answer.unwrap_or_else(|_| Err(timed_out(target)))
}

/// What a check has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// The change is in effect.
    Done {
        /// Whether the new password must be changed, if there is a new password.
        expired: Option<bool>,
    },
    /// It is not.
    NotDone,
}

/// Whether the change is in effect now; `None` when the target cannot or does not say.
async fn check(target: &dyn Target, account: &str, work: &Work, limits: &ChangeLimits) -> Option<Seen> {
    match work {
        Work::Reset { password, .. } => {
            let verdict = timeout(limits.request, target.verify(account, password)).await;
            match verdict.ok()?.ok()? {
                Verdict::Accepted => Some(Seen::Done { expired: Some(false) }),
                Verdict::AcceptedMustChange => Some(Seen::Done { expired: Some(true) }),
                Verdict::Rejected => Some(Seen::NotDone),
                Verdict::Barred => None,
            }
        }
        Work::Unlock => match state_of(target, account, limits.request).await.ok()?.locked? {
            false => Some(Seen::Done { expired: None }),
            true => Some(Seen::NotDone),
        },
    }
}

fn timed_out(target: &dyn Target) -> TargetError {
    TargetError::Unknown {
        target: target.name().to_owned(),
        reason: "no answer in time".to_owned(),
    }
}

fn failure(error: &TargetError) -> Outcome {
    match error {
        TargetError::Refused { refusal, .. } => Outcome::Refused(*refusal),
        TargetError::Unreachable { .. } => Outcome::Unreachable,
        TargetError::Unknown { .. } => Outcome::Unknown,
        TargetError::Unsupported { .. } => Outcome::Unsupported,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integration::target::Refusal;
    use crate::integration::target::faulty::{Fault, Faulty};

    const LIMITS: ChangeLimits = ChangeLimits {
        request: Duration::from_secs(4),
        account: Duration::from_secs(10),
        pause: Duration::from_millis(200),
        look: Duration::from_secs(1),
        settle: Duration::from_secs(60),
    };

    fn target() -> Faulty {
        let target = Faulty::new("Mail");
        target.put("ada", "old", true);
        target
    }

    fn reset() -> Work {
        Work::Reset {
            password: Secret::new("new".to_owned()),
            expiry: Expiry::Keep,
        }
    }

    async fn with_faults(faults: &[Fault]) -> (Outcome, Proof, Faulty) {
        let target = target();
        target.fail_resets("ada", faults.iter().copied());
        let found = carry_out(&target, "ada", &reset(), &LIMITS).await;
        (found.outcome, found.proof, target)
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_believed() {
        let (outcome, proof, target) = with_faults(&[]).await;
        assert_eq!((outcome, proof), (Outcome::Done, Proof::Answer));
        assert_eq!(target.password("ada"), "new");

        let (outcome, proof, target) = with_faults(&[Fault::Refuse]).await;
        assert_eq!((outcome, proof), (Outcome::Refused(Refusal::Policy), Proof::Answer));
        assert_eq!(target.password("ada"), "old");
    }

    #[tokio::test(start_paused = true)]
    async fn an_effect_without_an_answer_is_found_by_signing_in() {
        for fault in [Fault::DieAfterEffect, Fault::HangAfterEffect] {
            let (outcome, proof, target) = with_faults(&[fault]).await;
            assert_eq!((outcome, proof), (Outcome::Done, Proof::Check), "{fault:?}");
            assert_eq!(target.resets(), 1, "not asked twice");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_did_not_happen_is_asked_again() {
        for fault in [Fault::DieBeforeEffect, Fault::Hang, Fault::Unreachable] {
            let (outcome, _, target) = with_faults(&[fault]).await;
            assert_eq!(outcome, Outcome::Done, "{fault:?}");
            assert_eq!(target.resets(), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_unreachable_target_is_told_as_such_in_time() {
        let begun = Instant::now();
        let (outcome, _, target) = with_faults(&[Fault::Unreachable; 50]).await;
        assert_eq!(outcome, Outcome::Unreachable);
        assert_eq!(target.password("ada"), "old");
        assert!(begun.elapsed() <= LIMITS.account);
    }

    #[tokio::test(start_paused = true)]
    async fn doubt_stays_doubt_until_it_is_settled() {
        // It hangs past every deadline, then takes effect after all: "the old password holds" would have been a lie.
        let late = Fault::LateEffect(Duration::from_secs(30));
        let (outcome, proof, target) = with_faults(&[late, Fault::Hang, Fault::Hang]).await;
        assert_eq!((outcome, proof), (Outcome::Unknown, Proof::Pending));
        tokio::time::sleep(LIMITS.settle).await;
        let settled = settle(&target, "ada", &reset(), &LIMITS).await;
        assert_eq!((settled.outcome, settled.proof), (Outcome::Done, Proof::Check));
        assert_eq!(target.password("ada"), "new");
    }

    #[tokio::test(start_paused = true)]
    async fn a_refusal_after_a_doubt_does_not_end_the_doubt() {
        let late = Fault::LateEffect(Duration::from_secs(30));
        let (outcome, ..) = with_faults(&[
            late,
            Fault::Refuse,
            Fault::Refuse,
            Fault::Refuse,
            Fault::Refuse,
            Fault::Hang,
        ])
        .await;
        assert_eq!(outcome, Outcome::Unknown);
    }

    #[tokio::test(start_paused = true)]
    async fn no_fault_outlasts_the_deadline_by_more_than_one_check() {
        let target = target();
        target.fail_resets("ada", [Fault::Hang; 50]);
        target.fail_verifications("ada", [Fault::Hang; 50]);
        let begun = Instant::now();
        let found = carry_out(&target, "ada", &reset(), &LIMITS).await;
        assert_eq!(found.outcome, Outcome::Unknown);
        assert!(begun.elapsed() <= LIMITS.account + LIMITS.request);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unlock_is_checked_by_looking_at_the_lock() {
        let target = target();
        target.fail_resets("ada", [Fault::DieAfterEffect]);
        let found = carry_out(&target, "ada", &Work::Unlock, &LIMITS).await;
        assert_eq!((found.outcome, found.proof), (Outcome::Done, Proof::Check));
        assert!(!target.is_locked("ada"));
    }

    fn expiring() -> Work {
        Work::Reset {
            password: Secret::new("new".to_owned()),
            expiry: Expiry::AtNextSignIn,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_expiry_is_asked_for_again() {
        let target = target().with_expiry();
        target.fail_resets("ada", [Fault::DieHalfway]);
        let found = carry_out(&target, "ada", &expiring(), &LIMITS).await;
        assert_eq!((found.outcome, found.expired), (Outcome::Done, Some(true)));
        assert_eq!(target.resets(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn whether_a_password_whose_expiry_is_lost_must_be_changed_nobody_knows() {
        let target = target().with_expiry();
        target.fail_resets("ada", [Fault::DieHalfway; 50]);
        let found = carry_out(&target, "ada", &expiring(), &LIMITS).await;
        assert_eq!((found.outcome, found.expired), (Outcome::Done, None));
        assert_eq!(target.password("ada"), "new");
    }

    #[tokio::test(start_paused = true)]
    async fn an_expiry_that_comes_late_makes_nothing_wrong_that_was_told() {
        let target = target().with_expiry();
        let late = Fault::LateEffect(Duration::from_secs(30));
        target.fail_resets("ada", [vec![late], vec![Fault::DieHalfway; 50]].concat());
        let found = carry_out(&target, "ada", &expiring(), &LIMITS).await;
        assert_eq!((found.outcome, found.expired), (Outcome::Done, None));
        tokio::time::sleep(LIMITS.settle).await;
        assert!(target.is_expired("ada"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_expire_is_told_as_what_stays_at_once() {
        let target = target();
        target.fail_resets("ada", [Fault::DieAfterEffect]);
        let found = carry_out(&target, "ada", &expiring(), &LIMITS).await;
        assert_eq!((found.outcome, found.expired), (Outcome::Done, Some(false)));
        assert_eq!(target.resets(), 1);
    }
}
