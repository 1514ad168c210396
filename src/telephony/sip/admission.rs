//! Who is heard, how often, and what a call is told when there is no room; sans-IO.
//!
//! Two budgets never mix: *strangers* (sources that no trunk allows) share token buckets per network prefix and one for
//! all of them together; each *trunk* has its own. A flood from anywhere thus costs a bounded number of answers and
//! leaves the trunks alone. Prefixes are counted in a table of fixed size: when it is full, newcomers share one bucket.
//!
//! Messages of calls that stand are counted per call ([`IN_CALL`]): a trunk that sets up more calls than it may loses
//! new ones, never the ACK, the keys or the BYE of those that it has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, Instant};

use crate::rate::{Bucket, Rate};

/// Limits on sources that no trunk allows.
#[derive(Clone, Copy, Debug)]
pub struct StrangerLimits {
    /// Per network prefix (/24, /56).
    pub per_prefix: Rate,
    /// All strangers together.
    pub total: Rate,
    /// The most prefixes that are counted one by one.
    pub max_prefixes: usize,
}

impl Default for StrangerLimits {
    /// A person who mistypes a trunk address sees an answer; a scanner of thousands of numbers sees mostly silence, and
    /// all scanners together cost less than one per cent of a core.
    fn default() -> Self {
        Self {
            per_prefix: Rate {
                per_second: 5,
                burst: 20,
            },
            total: Rate {
                per_second: 200,
                burst: 400,
            },
            max_prefixes: 8192,
        }
    }
}

/// The buckets of strangers.
pub struct Strangers {
    limits: StrangerLimits,
    prefixes: HashMap<IpAddr, Bucket>,
    others: Bucket,
    total: Bucket,
    swept_at: Instant,
}

impl Strangers {
    /// Full buckets.
    #[must_use]
    pub fn new(limits: StrangerLimits, now: Instant) -> Self {
        Self {
            limits,
            prefixes: HashMap::new(),
            others: Bucket::new(limits.per_prefix, now),
            total: Bucket::new(limits.total, now),
            swept_at: now,
        }
    }

    /// Whether one more message from `source` is heard.
    pub fn admit(&mut self, now: Instant, source: IpAddr) -> bool {
        self.sweep(now);
        let prefix = prefix_of(source);
        let is_full = self.prefixes.len() >= self.limits.max_prefixes;
        let bucket = match self.prefixes.get_mut(&prefix) {
            Some(bucket) => bucket,
            None if is_full => &mut self.others,
            None => self
                .prefixes
                .entry(prefix)
                .or_insert(Bucket::new(self.limits.per_prefix, now)),
        };
        // Both are asked in this order, so that one loud prefix doesn't drain the common bucket.
        bucket.take(now) && self.total.take(now)
    }

    /// A prefix that has been quiet long enough to have a full bucket need not be remembered.
    fn sweep(&mut self, now: Instant) {
        if now.saturating_duration_since(self.swept_at) >= Duration::from_secs(10) {
            self.swept_at = now;
            self.prefixes.retain(|_, bucket| !bucket.is_full(now));
        }
    }

    /// How many prefixes are remembered.
    #[must_use]
    pub fn count(&self) -> usize {
        self.prefixes.len()
    }
}

/// The network that a source is counted with: what one customer of a provider usually holds.
#[must_use]
pub fn prefix_of(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V4(ip) => Ipv4Addr::from_bits(ip.to_bits() & !0xff).into(),
        IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() & !((1 << 72) - 1)).into(),
    }
}

/// Why a call is not taken now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The engine is shutting down: 503.
    Draining,
    /// The engine, or the rate of this trunk, is exhausted: 503.
    Overloaded,
    /// All lines of this trunk are taken: 486.
    Busy,
}

impl Refusal {
    /// The status to answer, and the seconds after which it makes sense to try again.
    #[must_use]
    pub fn answer(self) -> (u16, Option<u32>) {
        match self {
            // Long enough for a dispatcher to settle on another node, short enough to come back after a restart.
            Self::Draining => (503, Some(30)),
            Self::Overloaded => (503, Some(2)),
            Self::Busy => (486, None),
        }
    }
}

/// Budget and count of one trunk.
#[derive(Debug)]
struct TrunkBudget {
    calls: Bucket,
    messages: Bucket,
    max_calls: usize,
    active: usize,
}

/// Calls in progress against what is allowed.
pub struct Admission {
    trunks: Vec<TrunkBudget>,
    max_calls: usize,
    active: usize,
    draining: bool,
}

/// Setting up or refusing a call takes a handful of messages; retransmissions and OPTIONS come on top. What is beyond is
/// dropped unread.
const MESSAGES_PER_CALL: u32 = 20;

/// Messages of one call that stands: far more than keys by INFO, session refreshes and retransmissions come to.
pub const IN_CALL: Rate = Rate {
    per_second: 50,
    burst: 100,
};

impl Admission {
    /// `trunks`: lines and call rate of each trunk; `max_calls`: of all together.
    #[must_use]
    pub fn new(trunks: impl Iterator<Item = (usize, Rate)>, max_calls: usize, now: Instant) -> Self {
        let trunks = trunks.map(|(max_calls, rate)| TrunkBudget {
            calls: Bucket::new(rate, now),
            messages: Bucket::new(messages(rate), now),
            max_calls,
            active: 0,
        });
        Self {
            trunks: trunks.collect(),
            max_calls,
            active: 0,
            draining: false,
        }
    }

    /// Whether one more message of `trunk` is read that belongs to none of its calls.
    pub fn admit_message(&mut self, now: Instant, trunk: usize) -> bool {
        self.trunks
            .get_mut(trunk)
            .is_some_and(|budget| budget.messages.take(now))
    }

    /// What a call of `trunk` would be told now; takes nothing.
    ///
    /// # Errors
    /// The reason why it would be refused.
    pub fn would_admit(&self, now: Instant, trunk: usize) -> Result<(), Refusal> {
        if self.draining {
            return Err(Refusal::Draining);
        }
        if self.active >= self.max_calls {
            return Err(Refusal::Overloaded);
        }
        match self.trunks.get(trunk) {
            Some(budget) if budget.active < budget.max_calls => {
                let is_in_time = budget.calls.has_token(now);
                is_in_time.then_some(()).ok_or(Refusal::Overloaded)
            }
            _ => Err(Refusal::Busy),
        }
    }

    /// Takes a line for a call of `trunk`; [`Admission::release`] gives it back.
    ///
    /// # Errors
    /// The reason why it is refused.
    pub fn admit_call(&mut self, now: Instant, trunk: usize) -> Result<(), Refusal> {
        self.would_admit(now, trunk)?;
        if let Some(budget) = self.trunks.get_mut(trunk) {
            budget.calls.take(now);
            budget.active += 1;
            self.active += 1;
        }
        Ok(())
    }

    /// Gives a line back.
    pub fn release(&mut self, trunk: usize) {
        if let Some(budget) = self.trunks.get_mut(trunk) {
            budget.active = budget.active.saturating_sub(1);
            self.active = self.active.saturating_sub(1);
        }
    }

    /// No new calls from now on.
    pub fn drain(&mut self) {
        self.draining = true;
    }

    /// Calls in progress over all trunks.
    #[must_use]
    pub fn active(&self) -> usize {
        self.active
    }
}

fn messages(rate: Rate) -> Rate {
    Rate {
        per_second: rate.per_second.saturating_mul(MESSAGES_PER_CALL),
        burst: rate.burst.saturating_mul(MESSAGES_PER_CALL),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::monotonic;

    const RATE: Rate = Rate {
        per_second: 10,
        burst: 3,
    };

    #[test]
    fn one_loud_prefix_leaves_room_for_others() {
        let start = monotonic();
        let limits = StrangerLimits {
            per_prefix: RATE,
            total: Rate {
                per_second: 1,
                burst: 5,
            },
            max_prefixes: 2,
        };
        let mut strangers = Strangers::new(limits, start);
        let loud = (0..=255)
            .filter(|host| strangers.admit(start, Ipv4Addr::new(192, 0, 2, *host).into()))
            .count();
        assert_eq!(loud, 3);
        assert!(strangers.admit(start, "198.51.100.1".parse().expect("address")));
        // The table is full: newcomers share what is left.
        let many = (0..1000u32)
            .filter(|n| strangers.admit(start, Ipv4Addr::from_bits(n << 8).into()))
            .count();
        assert_eq!((many, strangers.count()), (1, 2));
        assert!(strangers.admit(start + Duration::from_secs(20), "203.0.113.9".parse().expect("address")));
        assert_eq!(strangers.count(), 1);
    }

    #[test]
    fn lines_are_counted_per_trunk_and_in_all() {
        let start = monotonic();
        let rate = Rate {
            per_second: 0,
            burst: 3,
        };
        let mut admission = Admission::new([(1, rate), (5, rate)].into_iter(), 3, start);
        assert_eq!(admission.admit_call(start, 0), Ok(()));
        assert_eq!(admission.admit_call(start, 0), Err(Refusal::Busy));
        assert_eq!(admission.admit_call(start, 1), Ok(()));
        assert_eq!(admission.admit_call(start, 1), Ok(()));
        assert_eq!(
            admission.admit_call(start, 1),
            Err(Refusal::Overloaded),
            "all lines of the engine are taken"
        );
        admission.release(0);
        assert_eq!(admission.admit_call(start, 1), Ok(()));
        admission.release(1);
        for answer in [admission.would_admit(start, 1), admission.admit_call(start, 1)] {
            assert_eq!(answer, Err(Refusal::Overloaded), "the rate of the trunk is used up");
        }
        admission.drain();
        assert_eq!(admission.would_admit(start, 0), Err(Refusal::Draining));
        assert_eq!(admission.active(), 2);
    }
}
