//! One change on one account of one target, until its outcome is known or its time is up.
//!
//! ```text
//!            ┌── refused, unreachable: certainly nothing happened ──▶ told so (unreachable: tried again first)
//! request ───┼── done ──▶ Done
//!            └── no answer, broken off ──▶ doubt ──check──▶ it is so ──▶ Done
//!                                            │  ▲
//!                                            │  └─ it is not so, or no answer: the request may still be under way
//!                                            └── request again (the same password: harmless) ... time is up ──▶ Unknown
//! ```
//!
//! Once in doubt, only *Done* ends it: a request that timed out may take effect a minute later, so "the old password
//! still works" proves nothing about the next minute. [`settle`] looks again when that minute has passed.

use std::time::Duration;

use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::config::{millis, seconds};
use super::outcome::{Outcome, Proof};
use crate::integration::target::{AccountState, Expiry, Target, TargetError};
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

/// Carries out a change on one account. Takes at most `limits.account`, and one check.
pub(super) async fn carry_out(
    target: &dyn Target,
    account: &str,
    work: &Work,
    limits: &ChangeLimits,
) -> (Outcome, Proof) {
    let deadline = Instant::now() + limits.account;
    let mut pause = limits.pause;
    let mut in_doubt = false;
    loop {
        match request(target, account, work, limits, deadline).await {
            Ok(()) => return (Outcome::Done, Proof::Answer),
            Err(error) if error.may_have_happened() => in_doubt = true,
            Err(error) if !error.is_transient() && !in_doubt => return (failure(&error), Proof::Answer),
            Err(_) => {}
        }
        if in_doubt && check(target, account, work, limits).await == Some(true) {
            return (Outcome::Done, Proof::Check);
        }
        if Instant::now() + pause >= deadline {
            break;
        }
        sleep(pause).await;
        pause *= 2;
    }
    if in_doubt {
        (Outcome::Unknown, Proof::Pending)
    } else {
        (Outcome::Unreachable, Proof::Answer)
    }
}

/// Looks at an account whose outcome is unknown, at a time when nothing can be under way any more. Still unknown when
/// the target does not answer.
pub(super) async fn settle(target: &dyn Target, account: &str, work: &Work, limits: &ChangeLimits) -> (Outcome, Proof) {
    match check(target, account, work, limits).await {
        Some(true) => (Outcome::Done, Proof::Check),
        Some(false) => (Outcome::NotDone, Proof::Check),
        None => (Outcome::Unknown, Proof::Nothing),
    }
}

/// The state of an account, within `limit`.
pub(super) async fn state_of(target: &dyn Target, account: &str, limit: Duration) -> Result<AccountState, TargetError> {
    timeout(limit, target.state(account))
        .await
        .unwrap_or_else(|_| Err(timed_out(target)))
}

async fn request(
    target: &dyn Target,
    account: &str,
    work: &Work,
    limits: &ChangeLimits,
    deadline: Instant,
) -> Result<(), TargetError> {
    let answer = match work {
        Work::Reset { password, expiry } => target.reset(account, password, *expiry),
        Work::Unlock => target.unlock(account),
    };
    let until = deadline.min(Instant::now() + limits.request);
    timeout_at(until, answer)
        .await
        .unwrap_or_else(|_| Err(timed_out(target)))
}

/// Whether the change is in effect now; `None` when the target cannot or does not say.
async fn check(target: &dyn Target, account: &str, work: &Work, limits: &ChangeLimits) -> Option<bool> {
    match work {
        Work::Reset { password, .. } => {
            let verdict = timeout(limits.request, target.verify(account, password)).await;
            verdict.ok()?.ok()?.is_right()
        }
        Work::Unlock => state_of(target, account, limits.request)
            .await
            .ok()?
            .locked
            .map(|locked| !locked),
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
        let (outcome, proof) = carry_out(&target, "ada", &reset(), &LIMITS).await;
        (outcome, proof, target)
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
        assert_eq!(settled, (Outcome::Done, Proof::Check));
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
        let (outcome, _) = carry_out(&target, "ada", &reset(), &LIMITS).await;
        assert_eq!(outcome, Outcome::Unknown);
        assert!(begun.elapsed() <= LIMITS.account + LIMITS.request);
    }

    #[tokio::test(start_paused = true)]
    async fn an_unlock_is_checked_by_looking_at_the_lock() {
        let target = target();
        target.fail_resets("ada", [Fault::DieAfterEffect]);
        let (outcome, proof) = carry_out(&target, "ada", &Work::Unlock, &LIMITS).await;
        assert_eq!((outcome, proof), (Outcome::Done, Proof::Check));
        assert!(!target.is_locked("ada"));
    }
}
