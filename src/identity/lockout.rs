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

use std::fmt;
use std::time::Duration;

use serde::Deserialize;

use super::ids::UserId;
use super::pepper::Peppers;
use crate::time::Timestamp;

/// Who is counted: a keyed hash, so that the table of lockouts shows neither numbers nor who is real.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubjectKey([u8; 32]);

impl SubjectKey {
    /// A user.
    #[must_use]
    pub fn user(peppers: &Peppers, user: UserId) -> Self {
        Self(peppers.eldest().mac("lockout user", &[user.as_uuid().as_bytes()]))
    }

    /// A decoy, see [`super::decoy::Decoy::subject`].
    pub(super) fn decoy(peppers: &Peppers, tag: &[u8; 32]) -> Self {
        Self(peppers.eldest().mac("lockout decoy", &[tag]))
    }

    /// A calling number as the trunk gave it, without anything but digits and a plus. Callers without a number share
    /// one key per trunk.
    #[must_use]
    pub fn caller(peppers: &Peppers, trunk: &str, number: Option<&str>) -> Self {
        let mac = |parts: &[&[u8]]| peppers.eldest().mac("lockout caller", parts);
        let digits: String = number
            .into_iter()
            .flat_map(str::chars)
            .filter(|c| c.is_ascii_digit() || *c == '+')
            .collect();
        match digits.is_empty() {
            true => Self(mac(&[b"anonymous", trunk.as_bytes()])),
            false => Self(mac(&[b"number", digits.as_bytes()])),
        }
    }

    /// All calls of a trunk together.
    #[must_use]
    pub fn trunk(peppers: &Peppers, trunk: &str) -> Self {
        Self(peppers.eldest().mac("lockout trunk", &[trunk.as_bytes()]))
    }

    /// For the database.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectKey({:02x}{:02x}..)", self.0[0], self.0[1])
    }
}

/// Numbers for one kind of subject.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockoutConfig {
    /// The round that starts the first delay, 1 and up.
    pub tries: u32,
    /// The first delay; each further round doubles it.
    pub base_delay: Duration,
    /// The longest delay.
    pub max_delay: Duration,
    /// After how long without a round the delay starts from the beginning; longer than `max_delay`.
    pub forget_after: Duration,
    /// Rounds in a row, however slow, after which only an unlock helps.
    pub hold_after: Option<u32>,
    /// After how long without a round that count is forgotten.
    pub hold_forget_after: Duration,
    /// What a pass does.
    pub on_pass: OnPass,
}

/// What a pass does to the count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnPass {
    /// Starts from zero: it was the user.
    Clear,
    /// Takes back the round that was passed.
    Refund,
}

const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(60 * 60);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl LockoutConfig {
    /// For users and decoys: four rounds (two calls with two rounds each), then 5, 10, 20, 40, 60, 60 ... minutes.
    /// That is at most 28 guesses on the first day, against one chance in millions each. Held at 100 in a row, the
    /// limit of NIST SP 800-63B section 5.2.2.
    #[must_use]
    pub fn users() -> Self {
        Self {
            tries: 4,
            base_delay: 5 * MINUTE,
            max_delay: HOUR,
            forget_after: DAY,
            hold_after: Some(100),
            hold_forget_after: 90 * DAY,
            on_pass: OnPass::Clear,
        }
    }

    /// For calling numbers: twelve failed rounds, as a company's exchange may show one number for everybody; the
    /// same delays. Never held, since numbers are forged and reassigned.
    #[must_use]
    pub fn callers() -> Self {
        Self {
            tries: 12,
            forget_after: 6 * HOUR,
            hold_after: None,
            hold_forget_after: 6 * HOUR,
            on_pass: OnPass::Refund,
            ..Self::users()
        }
    }

    /// For a trunk, if it is switched on: a brake on guessing spread over many users and numbers.
    #[must_use]
    pub fn trunks() -> Self {
        Self {
            tries: 300,
            base_delay: MINUTE,
            max_delay: 10 * MINUTE,
            forget_after: HOUR,
            hold_forget_after: HOUR,
            ..Self::callers()
        }
    }

    /// Whether the numbers go together.
    ///
    /// # Errors
    /// Says which do not.
    pub fn check(&self) -> Result<(), LockoutConfigError> {
        if self.tries == 0 {
            return Err(LockoutConfigError::NoTries);
        }
        if self.base_delay.is_zero() || self.base_delay > self.max_delay {
            return Err(LockoutConfigError::Delays);
        }
        if self.forget_after <= self.max_delay || self.hold_forget_after < self.forget_after {
            return Err(LockoutConfigError::Forget);
        }
        if self.hold_after.is_some_and(|hold| hold < self.tries) {
            return Err(LockoutConfigError::HoldTooSoon);
        }
        Ok(())
    }

    /// The delay that the round with this number in a row starts; zero below `tries`.
    #[must_use]
    pub fn delay(&self, streak: u32) -> Duration {
        let Some(doublings) = streak.checked_sub(self.tries) else {
            return Duration::ZERO;
        };
        let factor = 1_u32.checked_shl(doublings).unwrap_or(u32::MAX);
        self.base_delay.saturating_mul(factor).min(self.max_delay)
    }
}

/// Numbers that do not go together.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum LockoutConfigError {
    /// Nobody could ever be verified.
    #[error("lockout: `tries` is at least 1")]
    NoTries,
    /// The first delay is zero, or longer than the longest.
    #[error("lockout: `base_delay_seconds` is at least 1 and at most `max_delay_seconds`")]
    Delays,
    /// The count would be gone before the delay is over, and delays would never rise.
    #[error(
        "lockout: `forget_after_seconds` is more than `max_delay_seconds`, \
         and `hold_forget_after_seconds` no less than it"
    )]
    Forget,
    /// Delays would never be reached.
    #[error("lockout: `hold_after` is at least `tries`")]
    HoldTooSoon,
    /// Too many guesses at one user.
    #[error("lockout: `hold_after` for users is at most {MAX_HOLD_AFTER} (NIST SP 800-63B section 5.2.2)")]
    HoldTooLate,
}

const MAX_HOLD_AFTER: u32 = 100;

/// The `lockout` section of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(from = "RawPolicies")]
pub struct LockoutPolicies {
    /// For users and decoys alike.
    pub users: LockoutConfig,
    /// For calling numbers.
    pub callers: LockoutConfig,
    /// For trunks; off unless there is a section for it.
    pub trunks: Option<LockoutConfig>,
}

impl Default for LockoutPolicies {
    fn default() -> Self {
        RawPolicies::default().into()
    }
}

impl LockoutPolicies {
    /// Whether all numbers go together.
    ///
    /// # Errors
    /// The first that do not.
    pub fn check(&self) -> Result<(), LockoutConfigError> {
        self.users.check()?;
        self.callers.check()?;
        self.trunks.iter().try_for_each(LockoutConfig::check)?;
        match self.users.hold_after {
            Some(1..=MAX_HOLD_AFTER) => Ok(()),
            _ => Err(LockoutConfigError::HoldTooLate),
        }
    }
}

/// As written: what is left out comes from the defaults of its kind.
#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RawPolicies {
    users: RawConfig,
    callers: RawConfig,
    trunks: Option<RawConfig>,
}

#[derive(Deserialize, Default)]
#[serde(default, deny_unknown_fields)]
struct RawConfig {
    tries: Option<u32>,
    base_delay_seconds: Option<u64>,
    max_delay_seconds: Option<u64>,
    forget_after_seconds: Option<u64>,
    hold_after: Option<u32>,
    hold_forget_after_seconds: Option<u64>,
}

impl RawConfig {
    fn over(self, kind: LockoutConfig) -> LockoutConfig {
        let seconds = |given: Option<u64>, default| given.map_or(default, Duration::from_secs);
        LockoutConfig {
            tries: self.tries.unwrap_or(kind.tries),
            base_delay: seconds(self.base_delay_seconds, kind.base_delay),
            max_delay: seconds(self.max_delay_seconds, kind.max_delay),
            forget_after: seconds(self.forget_after_seconds, kind.forget_after),
            hold_after: self.hold_after.or(kind.hold_after),
            hold_forget_after: seconds(self.hold_forget_after_seconds, kind.hold_forget_after),
            on_pass: kind.on_pass,
        }
    }
}

impl From<RawPolicies> for LockoutPolicies {
    fn from(raw: RawPolicies) -> Self {
        Self {
            users: raw.users.over(LockoutConfig::users()),
            callers: raw.callers.over(LockoutConfig::callers()),
            trunks: raw.trunks.map(|raw| raw.over(LockoutConfig::trunks())),
        }
    }
}

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

    /// Whether this state is as good as none, so that its row may go.
    #[must_use]
    pub fn is_forgotten(&self, now: Timestamp, config: &LockoutConfig) -> bool {
        self.standing(now, config) == Standing::Open && self.hold_is_over(now, config)
    }

    fn hold_is_over(&self, now: Timestamp, config: &LockoutConfig) -> bool {
        now.since(self.last) >= config.hold_forget_after
    }

    /// Lets time do its work.
    fn settle(&mut self, now: Timestamp, config: &LockoutConfig) {
        // A clock set back: what lies in the future happened now.
        self.last = self.last.min(now);
        if let Some(delay) = &mut self.delay {
            delay.since = delay.since.min(now);
        }
        if self.delay.is_some_and(|delay| now.since(delay.since) >= delay.length) {
            self.delay = None;
        }
        if now.since(self.last) >= config.hold_forget_after {
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
