//! Lockout: how often somebody may try.
//!
//! One machine per *subject*: a user, a decoy, a calling number, and if wanted a whole trunk. A round of questions is
//! begun on all subjects that it concerns, or on none ([`begin_all`]).
//!
//! ```text
//!             begin, streak+1 < tries          begin, streak+1 >= tries
//!               ┌────────┐        (this round goes on; the delay already runs)
//!               │        ▼       ┌──────────────────────────────────────────┐
//!             ┌─┴────────────────┴┐                                         ▼
//!  start ───> │       Open        │                              ┌────────────────────┐
//!             │ streak < tries,   │ <─ pass, unlock, or quiet ── │      Delayed       │ begin: refused, and
//!             │ or delay over     │    for `forget_after`        │ base·2ⁿ, up to max │ counted nowhere
//!             └───────────────────┘ <─ delay over (streak kept)─ └────────────────────┘
//!                       │                                                   │
//!                       │  `hold_after` rounds in a row without a pass      │
//!                       └──────────────┬────────────────────────────────────┘
//!                                      ▼
//!                                 ┌─────────┐  unlock (an admin, or the user through another channel)
//!                                 │  Held   │ ───────────────────────────────────────────────────────> Open
//!                                 └─────────┘  quiet for `hold_forget_after`
//! ```
//!
//! - **A round counts when it begins.** Hanging up before the last answer gains nothing.
//! - **Two calls at once** for one user share the count; the one that would be one too many does not begin. A pass
//!   wipes the slate, but a rival call that was open then is charged anew when it ends ([`Charge`]).
//! - **No easy weapon.** Strangers can make a user wait, at most `max_delay` from the last round that they were
//!   admitted to, since refused rounds neither count nor prolong; and their own number runs into its limit. Held
//!   comes only after days of it, with an alarm each time; the help desk remains.
//! - **Whose pass.** A user's pass clears the user. For a calling number it only takes back its own round: otherwise
//!   an employee could pass as themselves after every few guesses at others.
//! - **A clock set back** starts a running delay over, once; it never makes it longer than it was.
//! - **Bounded.** After [`Lockout::is_forgotten`] the row may be deleted; decoys fill no table for ever.

mod config;
mod subject;
#[cfg(test)]
mod tests;

use std::time::Duration;

pub use self::config::{LockoutConfig, LockoutConfigError, LockoutPolicies, OnPass};
pub use self::subject::SubjectKey;
use crate::time::Timestamp;

/// The state of one subject; stored as it is.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Lockout {
    /// Rounds begun since the last pass, unlock or quiet time; drives the delay.
    pub streak: u32,
    /// Rounds begun since the last pass or unlock; drives the hold.
    pub consecutive: u32,
    /// The delay that runs or ran last.
    pub delay: Option<Delay>,
    /// When the last round began or failed.
    pub last: Timestamp,
    /// How often the slate was wiped; tells a [`Charge`] from before.
    pub generation: u32,
}

/// A running delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delay {
    /// When it began.
    pub since: Timestamp,
    /// How long it is.
    pub length: Duration,
}

/// A round that was begun and counted; give it back with [`Lockout::passed`] or [`Lockout::failed`]. If it is lost,
/// because the process died, the round stays counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a round ends with `passed` or `failed`"]
pub struct Charge {
    generation: u32,
}

impl Charge {
    /// From what [`Self::generation`] gave, for a round that outlives a request.
    pub const fn from_stored(generation: u32) -> Self {
        Self { generation }
    }

    /// The [`Lockout::generation`] in which the round was charged, for keeping.
    #[must_use]
    pub const fn generation(self) -> u32 {
        self.generation
    }
}

/// Why a round may not begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Later.
    #[error("locked for another {} seconds", left.as_secs().saturating_add(1))]
    Delayed {
        /// How long from now.
        left: Duration,
    },
    /// Not until it is unlocked.
    #[error("held until it is unlocked")]
    Held,
}

/// What a subject may do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Begin a round.
    Open,
    /// Not that.
    Refused(Refusal),
}

impl Lockout {
    /// Begins a round, and counts it.
    ///
    /// # Errors
    /// [`Refusal`]; then nothing was counted.
    pub fn begin(&mut self, now: Timestamp, config: &LockoutConfig) -> Result<Charge, Refusal> {
        self.settle(now, config);
        if let Standing::Refused(refusal) = self.standing(now, config) {
            return Err(refusal);
        }
        self.count(now, config);
        Ok(Charge {
            generation: self.generation,
        })
    }

    /// Ends a round that was passed.
    pub fn passed(&mut self, charge: Charge, now: Timestamp, config: &LockoutConfig) {
        match config.on_pass {
            OnPass::Clear => self.wipe(),
            OnPass::Refund if charge.generation == self.generation => {
                self.streak = self.streak.saturating_sub(1);
                self.consecutive = self.consecutive.saturating_sub(1);
                if self.streak < config.tries {
                    self.delay = None;
                }
            }
            OnPass::Refund => {}
        }
        self.last = now;
    }

    /// Ends a round that was not passed: wrong answers, or the caller hung up. A delay that the round started runs
    /// from now, so that a long call is no head start.
    pub fn failed(&mut self, charge: Charge, now: Timestamp, config: &LockoutConfig) {
        if charge.generation != self.generation {
            self.count(now, config);
        } else if let Some(delay) = &mut self.delay {
            delay.since = now;
        }
        self.last = now;
    }

    /// Forgives everything, by order of an admin or a user verified elsewhere.
    pub fn unlock(&mut self, now: Timestamp) {
        self.wipe();
        self.last = now;
    }

    /// What may be done now. Changes nothing, counts nothing.
    #[must_use]
    pub fn standing(&self, now: Timestamp, config: &LockoutConfig) -> Standing {
        if config.hold_after.is_some_and(|hold| self.consecutive >= hold) && !self.hold_is_over(now, config) {
            return Standing::Refused(Refusal::Held);
        }
        match self.delay {
            Some(delay) if now.since(delay.since) < delay.length => Standing::Refused(Refusal::Delayed {
                left: delay.length - now.since(delay.since),
            }),
            _ => Standing::Open,
        }
    }

    /// The [`Lockout::generation`] that a round which begins now is in: quiet time wipes the slate too.
    #[must_use]
    pub fn generation_at(&self, now: Timestamp, config: &LockoutConfig) -> u32 {
        let mut then = self.clone();
        then.settle(now, config);
        then.generation
    }

    /// Whether this state is as good as none, so that its row may go.
    #[must_use]
    pub fn is_forgotten(&self, now: Timestamp, config: &LockoutConfig) -> bool {
        self.standing(now, config) == Standing::Open && self.hold_is_over(now, config)
    }

    fn hold_is_over(&self, now: Timestamp, config: &LockoutConfig) -> bool {
        now.since(self.last) >= config.hold_forget_after
    }

    /// Lets time do its work; [`Lockout::begin`] does so first.
    pub fn settle(&mut self, now: Timestamp, config: &LockoutConfig) {
        // A clock set back: what lies in the future happened now.
        self.last = self.last.min(now);
        if let Some(delay) = &mut self.delay {
            delay.since = delay.since.min(now);
        }
        if self.delay.is_some_and(|delay| now.since(delay.since) >= delay.length) {
            self.delay = None;
        }
        let is_blank = self.consecutive == 0 && self.streak == 0 && self.delay.is_none();
        if now.since(self.last) >= config.hold_forget_after && !is_blank {
            self.wipe();
        } else if now.since(self.last) >= config.forget_after && self.delay.is_none() {
            self.streak = 0;
        }
    }

    fn count(&mut self, now: Timestamp, config: &LockoutConfig) {
        self.streak = self.streak.saturating_add(1);
        self.consecutive = self.consecutive.saturating_add(1);
        self.last = now;
        let length = config.delay(self.streak);
        if !length.is_zero() {
            self.delay = Some(Delay { since: now, length });
        }
    }

    fn wipe(&mut self) {
        *self = Self {
            last: self.last,
            generation: self.generation.wrapping_add(1),
            ..Self::default()
        };
    }
}

/// One subject with its numbers.
#[derive(Debug)]
pub struct Watch<'a> {
    /// The state, loaded in the transaction that stores it again.
    pub lockout: &'a mut Lockout,
    /// The numbers of its kind.
    pub config: &'a LockoutConfig,
}

/// Begins a round on all subjects or on none; the charges come in the order of the subjects.
///
/// # Errors
/// The refusal that lasts longest; then nothing was counted anywhere.
pub fn begin_all(watches: &mut [Watch<'_>], now: Timestamp) -> Result<Vec<Charge>, Refusal> {
    let mut worst: Option<Refusal> = None;
    for watch in watches.iter_mut() {
        watch.lockout.settle(now, watch.config);
        if let Standing::Refused(refusal) = watch.lockout.standing(now, watch.config) {
            worst = Some(worst.map_or(refusal, |worst| longer(worst, refusal)));
        }
    }
    match worst {
        Some(refusal) => Err(refusal),
        None => watches
            .iter_mut()
            .map(|watch| watch.lockout.begin(now, watch.config))
            .collect(),
    }
}

fn longer(a: Refusal, b: Refusal) -> Refusal {
    match (a, b) {
        (Refusal::Delayed { left }, Refusal::Delayed { left: other }) => Refusal::Delayed { left: left.max(other) },
        _ => Refusal::Held,
    }
}
