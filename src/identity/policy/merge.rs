//! One policy out of several: the strictest of everything, or a report of what cannot be had at once.

use std::fmt;

use super::{Class, Policy, Symbols};

/// A policy that several systems share. At least one password meets its rules of length and composition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergedPolicy {
    policy: Policy,
}

impl MergedPolicy {
    /// The policy itself.
    #[must_use]
    pub fn policy(&self) -> &Policy {
        &self.policy
    }
}

/// What several systems want and cannot have at once, with the names of those that want it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Contradiction {
    /// No policy was given.
    #[error("no system was chosen")]
    Nothing,
    /// Longer than allowed.
    #[error("{longer} wants at least {min} characters, but {shorter} takes at most {max}")]
    Length {
        /// Who wants more.
        longer: String,
        /// How many.
        min: u16,
        /// Who takes fewer.
        shorter: String,
        /// How many.
        max: u16,
    },
    /// The classes together do not fit.
    #[error(
        "{} together want {needed} characters of certain kinds, but {shorter} takes at most {max}",
        Names(wanting)
    )]
    Composition {
        /// Who wants them.
        wanting: Vec<String>,
        /// How many characters they want.
        needed: u32,
        /// Who takes fewer.
        shorter: String,
        /// How many.
        max: u16,
    },
    /// Symbols are wanted, but there is none that all take.
    #[error("{} want symbols, but there is none that {} take", Names(wanting), Names(refusing))]
    Symbols {
        /// Who wants them.
        wanting: Vec<String>,
        /// Who does not take all.
        refusing: Vec<String>,
    },
}

/// Names in a row, as people write them.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => Ok(()),
            [name] => f.write_str(name),
            [names @ .., last] => write!(f, "{} and {last}", names.join(", ")),
        }
    }
}

/// Merges the policies of the named systems.
///
/// # Errors
/// Every contradiction between them, also one that is in a single policy.
pub fn merge<'a>(
    policies: impl IntoIterator<Item = (&'a str, &'a Policy)>,
) -> Result<MergedPolicy, Vec<Contradiction>> {
    let policies: Vec<_> = policies.into_iter().collect();
    let Some(merged) = strictest(&policies) else {
        return Err(vec![Contradiction::Nothing]);
    };
    let contradictions: Vec<_> = [
        length(&merged, &policies),
        symbols(&merged, &policies),
        composition(&merged, &policies),
    ]
    .into_iter()
    .flatten()
    .collect();
    match contradictions.is_empty() {
        true => Ok(MergedPolicy { policy: merged }),
        false => Err(contradictions),
    }
}

fn strictest(policies: &[(&str, &Policy)]) -> Option<Policy> {
    let least = |a: Option<u16>, b: Option<u16>| a.into_iter().chain(b).min();
    policies
        .iter()
        .map(|&(_, policy)| policy.clone())
        .reduce(|a, b| Policy {
            min_length: a.min_length.max(b.min_length),
            max_length: a.max_length.min(b.max_length),
            min_lower: a.min_lower.max(b.min_lower),
            min_upper: a.min_upper.max(b.min_upper),
            min_digits: a.min_digits.max(b.min_digits),
            min_symbols: a.min_symbols.max(b.min_symbols),
            min_classes: a.min_classes.max(b.min_classes),
            max_repeat: least(a.max_repeat, b.max_repeat),
            max_sequence: least(a.max_sequence, b.max_sequence),
            symbols: a.symbols.intersection(b.symbols),
            ascii_only: a.ascii_only || b.ascii_only,
            forbid_user_data: a.forbid_user_data || b.forbid_user_data,
            forbid_dictionary: a.forbid_dictionary || b.forbid_dictionary,
            history: a.history.max(b.history),
        })
}

fn names(policies: &[(&str, &Policy)], which: impl Fn(&Policy) -> bool) -> Vec<String> {
    let named = policies.iter().filter(|(_, policy)| which(policy));
    named.map(|&(name, _)| name.to_owned()).collect()
}

fn first(policies: &[(&str, &Policy)], which: impl Fn(&Policy) -> bool) -> String {
    names(policies, which).into_iter().next().unwrap_or_default()
}

fn length(merged: &Policy, policies: &[(&str, &Policy)]) -> Option<Contradiction> {
    let (min, max) = (merged.min_length, merged.max_length);
    (min > max).then(|| Contradiction::Length {
        longer: first(policies, |policy| policy.min_length == min),
        min,
        shorter: first(policies, |policy| policy.max_length == max),
        max,
    })
}

fn symbols(merged: &Policy, policies: &[(&str, &Policy)]) -> Option<Contradiction> {
    let wants = |policy: &Policy| policy.min_symbols > 0 || policy.min_classes == 4;
    let none_left = merged.symbols.is_empty() && merged.ascii_only;
    (wants(merged) && none_left).then(|| Contradiction::Symbols {
        wanting: names(policies, wants),
        refusing: names(policies, |policy| policy.symbols != Symbols::all()),
    })
}

fn composition(merged: &Policy, policies: &[(&str, &Policy)]) -> Option<Contradiction> {
    let minima = Class::ALL.map(|class| u32::from(merged.min_of(class)));
    let present = minima.iter().filter(|&&min| min > 0).count();
    let missing = usize::from(merged.min_classes).saturating_sub(present);
    let needed = minima.iter().sum::<u32>() + u32::try_from(missing).unwrap_or(0);
    let max = merged.max_length;
    let wants = |policy: &Policy| {
        policy.min_classes > 0
            || Class::ALL
                .into_iter()
                .any(|class| policy.min_of(class) > 0 && policy.min_of(class) == merged.min_of(class))
    };
    (needed > u32::from(max)).then(|| Contradiction::Composition {
        wanting: names(policies, wants),
        needed,
        shorter: first(policies, |policy| policy.max_length == max),
        max,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{NoDictionary, Person};
    use super::*;
    use crate::secret::Secret;

    fn report(policies: &[(&str, &Policy)]) -> Vec<String> {
        let contradictions = merge(policies.iter().copied()).unwrap_err();
        contradictions.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_strictest_of_everything_wins() {
        let mainframe = Policy {
            min_length: 6,
            max_length: 12,
            symbols: "$#@".parse().unwrap(),
            max_repeat: Some(1),
            history: 24,
            ..Policy::classic()
        };
        let merged = merge([("ad", &Policy::classic()), ("mainframe", &mainframe)]).unwrap();
        let expected = Policy {
            min_length: 10,
            max_length: 12,
            symbols: "$#@".parse().unwrap(),
            max_repeat: Some(1),
            history: 24,
            ..Policy::classic()
        };
        assert_eq!(merged.policy(), &expected);
        let merged = merge([("ad", &Policy::classic()), ("any", &Policy::any())]).unwrap();
        assert_eq!(
            merged.policy().history,
            10,
            "who wants none does not take away what another wants"
        );
    }

    #[test]
    fn contradictions_name_the_systems() {
        let mainframe = Policy {
            min_length: 6,
            max_length: 8,
            symbols: Symbols::none(),
            ..Policy::classic()
        };
        let strict = Policy {
            min_length: 8,
            min_lower: 3,
            min_upper: 3,
            min_symbols: 3,
            ..Policy::classic()
        };
        assert_eq!(
            report(&[("ad", &Policy::nist()), ("mainframe", &mainframe)]),
            ["ad wants at least 15 characters, but mainframe takes at most 8"]
        );
        assert_eq!(
            report(&[("mainframe", &mainframe), ("vault", &strict)]),
            [
                "vault want symbols, but there is none that mainframe and vault take",
                "mainframe and vault together want 10 characters of certain kinds, but mainframe takes at most 8",
            ]
        );
        assert_eq!(report(&[]), ["no system was chosen"]);
    }

    #[test]
    fn lengths_that_just_meet_are_no_contradiction() {
        let mainframe = Policy {
            min_length: 6,
            max_length: 10,
            ..Policy::classic()
        };
        let merged = merge([("ad", &Policy::classic()), ("mainframe", &mainframe)]).unwrap();
        assert_eq!((merged.policy().min_length, merged.policy().max_length), (10, 10));
    }

    fn any_policy() -> impl Strategy<Value = Policy> {
        let lengths = (1..20_u16, 1..30_u16);
        let classes = (0..3_u16, 0..3_u16, 0..3_u16, 0..3_u16, 0..=4_u8);
        let runs = (prop::option::of(1..4_u16), prop::option::of(2..5_u16), any::<bool>());
        (lengths, classes, runs).prop_map(|((min, more), (lower, upper, digits, symbols, classes), runs)| Policy {
            min_length: min,
            max_length: min + more,
            min_lower: lower,
            min_upper: upper,
            min_digits: digits,
            min_symbols: symbols,
            min_classes: classes,
            max_repeat: runs.0,
            max_sequence: runs.1,
            ascii_only: runs.2,
            ..Policy::nist()
        })
    }

    proptest! {
        #[test]
        fn a_password_is_good_for_the_merged_policy_exactly_if_it_is_good_for_each(
            a in any_policy(), b in any_policy(), password in "[a-dA-D0-3+-]{0,24}",
        ) {
            let good = |policy: &Policy| {
                policy.check(&Secret::new(password.clone()), &Person::default(), &NoDictionary).is_empty()
            };
            match merge([("a", &a), ("b", &b)]) {
                Ok(merged) => prop_assert_eq!(good(merged.policy()), good(&a) && good(&b)),
                Err(_) => prop_assert!(!(good(&a) && good(&b))),
            }
        }
    }
}
