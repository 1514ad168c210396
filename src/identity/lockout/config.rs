//! The numbers of the lockout, per kind of subject, and why they are what they are.

use std::time::Duration;

use serde::Deserialize;

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

pub(super) const MINUTE: Duration = Duration::from_secs(60);
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

    /// For clients of the web API, by the address that they sign in from: a program does not mistype, but somebody who
    /// has just changed its password may need a few minutes to tell it.
    #[must_use]
    pub fn clients() -> Self {
        Self {
            tries: 10,
            base_delay: MINUTE,
            max_delay: 15 * MINUTE,
            forget_after: HOUR,
            hold_forget_after: HOUR,
            on_pass: OnPass::Clear,
            ..Self::callers()
        }
    }

    /// For addresses that sign in to the web API, whatever the names.
    #[must_use]
    pub fn addresses() -> Self {
        Self {
            tries: 30,
            on_pass: OnPass::Refund,
            ..Self::clients()
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
    #[error("lockout: `base_delay` is at least 1 and at most `max_delay`")]
    Delays,
    /// The count would be gone before the delay is over, and delays would never rise.
    #[error(
        "lockout: `forget_after` is more than `max_delay`, \
         and `hold_forget_after` no less than it"
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
    /// For clients of the web API, each from one address.
    pub clients: LockoutConfig,
    /// For addresses that sign in to the web API.
    pub addresses: LockoutConfig,
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
        self.clients.check()?;
        self.addresses.check()?;
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
    clients: RawConfig,
    addresses: RawConfig,
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
            clients: raw.clients.over(LockoutConfig::clients()),
            addresses: raw.addresses.over(LockoutConfig::addresses()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_never_overflow() {
        let config = LockoutConfig::users();
        assert_eq!(config.delay(0), Duration::ZERO);
        assert_eq!(config.delay(3), Duration::ZERO);
        assert_eq!(config.delay(4), 5 * MINUTE);
        assert_eq!(config.delay(u32::MAX), HOUR);
    }

    #[test]
    fn numbers_that_do_not_go_together_are_refused_at_their_boundaries() {
        let check = |change: fn(&mut LockoutConfig)| {
            let mut config = LockoutConfig::users();
            change(&mut config);
            config.check()
        };
        assert_eq!(check(|c| c.tries = 1), Ok(()));
        assert_eq!(check(|c| c.tries = 0), Err(LockoutConfigError::NoTries));
        assert_eq!(check(|c| c.base_delay = c.max_delay), Ok(()));
        assert_eq!(
            check(|c| c.base_delay = c.max_delay * 2),
            Err(LockoutConfigError::Delays)
        );
        assert_eq!(
            check(|c| c.base_delay = Duration::ZERO),
            Err(LockoutConfigError::Delays)
        );
        assert_eq!(check(|c| c.forget_after = c.max_delay), Err(LockoutConfigError::Forget));
        assert_eq!(check(|c| c.forget_after = c.max_delay + MINUTE), Ok(()));
        assert_eq!(check(|c| c.hold_forget_after = c.forget_after), Ok(()));
        assert_eq!(check(|c| c.hold_forget_after = HOUR), Err(LockoutConfigError::Forget));
        assert_eq!(check(|c| c.hold_after = Some(4)), Ok(()));
        assert_eq!(check(|c| c.hold_after = Some(3)), Err(LockoutConfigError::HoldTooSoon));

        let policies = |hold_after| {
            let mut policies = LockoutPolicies::default();
            policies.users.hold_after = hold_after;
            policies.check()
        };
        assert_eq!(policies(Some(100)), Ok(()));
        assert_eq!(policies(Some(101)), Err(LockoutConfigError::HoldTooLate));
        assert_eq!(policies(None), Err(LockoutConfigError::HoldTooLate));
        assert_eq!(LockoutConfig::trunks().check(), Ok(()));
    }

    #[test]
    fn a_file_changes_what_it_names_and_each_kind_keeps_its_own_defaults() {
        let policies: LockoutPolicies = toml::from_str("callers.tries = 20\ntrunks.max_delay_seconds = 60").unwrap();
        assert_eq!(policies.users, LockoutConfig::users());
        assert_eq!(
            policies.callers,
            LockoutConfig {
                tries: 20,
                ..LockoutConfig::callers()
            }
        );
        assert_eq!(
            policies.trunks.map(|trunks| (trunks.tries, trunks.max_delay)),
            Some((300, MINUTE))
        );
        assert_eq!(
            toml::from_str::<LockoutPolicies>("").unwrap(),
            LockoutPolicies::default()
        );
        assert!(toml::from_str::<LockoutPolicies>("users.trys = 3").is_err());
    }
}
