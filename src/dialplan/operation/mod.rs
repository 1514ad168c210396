//! What a flow can ask the call to do: the catalogue of operations, their outcomes, and the slots they fill.
//!
//! The catalogue is data, so that the checker, the graph and the documentation all read the same table. The call
//! carries an operation out through `service` and matches on [`Operation`] without a wildcard: an operation that is
//! added here does not compile until something does it.

mod catalogue;

use std::fmt;

pub use catalogue::CATALOGUE;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$item_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name {
            $($(#[$item_doc])* $variant),+
        }

        impl $name {
            /// All of them, in the order of the catalogue.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word that flow files use.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            /// From the word that flow files use.
            #[must_use]
            pub fn parse(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|item| item.name() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.name())
            }
        }
    };
}

words! {
    /// Something that the call does for the flow.
    Operation {
        /// Digits to person.
        Identify = "identify",
        /// A second distinguishing mark, when several people have the same digits.
        Discriminate = "discriminate",
        /// Chooses the next security question.
        NextQuestion = "next_question",
        /// Takes the answer to the question.
        Answer = "answer",
        /// Which systems the caller can choose from.
        ListSystems = "list_systems",
        /// Chooses one system by the number it was announced with.
        SelectSystem = "select_system",
        /// Chooses every system.
        SelectAll = "select_all",
        /// Looks up the state of the caller's accounts.
        AccountState = "account_state",
        /// Unlocks the caller's accounts.
        Unlock = "unlock",
        /// Makes a new random password.
        ProposePassword = "propose_password",
        /// Spells more slowly from now on.
        PaceSlower = "pace_slower",
        /// Spells at the usual speed from now on.
        PaceNormal = "pace_normal",
        /// Whether policy wants the password keyed back.
        ReadbackWanted = "readback_wanted",
        /// Compares keys with the proposed password.
        CheckReadback = "check_readback",
        /// Sets the proposed password on the chosen systems.
        Reset = "reset",
    }
}

words! {
    /// How an operation ended. Which outcomes an operation has is in its [`Spec`].
    #[allow(missing_docs, reason = "what an outcome means depends on the operation; see the catalogue")]
    Outcome {
        One = "one",
        Several = "several",
        None = "none",
        Refused = "refused",
        Ask = "ask",
        Unavailable = "unavailable",
        More = "more",
        Passed = "passed",
        Retry = "retry",
        Failed = "failed",
        Locked = "locked",
        Selected = "selected",
        NoMatch = "nomatch",
        Told = "told",
        All = "all",
        Some = "some",
        NotLocked = "not_locked",
        Proposed = "proposed",
        Exhausted = "exhausted",
        Contradiction = "contradiction",
        Done = "done",
        Yes = "yes",
        No = "no",
        Match = "match",
        Mismatch = "mismatch",
        UsedBefore = "used_before",
    }
}

words! {
    /// Something spoken that is only known during the call; written `{question}` in a flow. The call resolves it.
    Slot {
        /// The security question to ask now.
        Question = "question",
        /// "For the mail system, press 1; for ..."
        SystemsMenu = "systems_menu",
        /// The name of the chosen system.
        System = "system",
        /// One sentence per account about its state.
        AccountStates = "account_states",
        /// One sentence per system about what was done.
        Results = "results",
        /// The proposed password, spelled.
        Password = "password",
    }
}

/// How carefully speech has to be treated.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Privacy {
    /// The same for every caller.
    Public,
    /// About one person: never synthesized outside this machine, never kept on disk.
    Personal,
    /// A secret: neither kept nor recorded.
    Secret,
}

impl Slot {
    /// How carefully what the slot holds has to be treated.
    #[must_use]
    pub fn privacy(self) -> Privacy {
        match self {
            Self::SystemsMenu | Self::System => Privacy::Public,
            Self::Question | Self::AccountStates | Self::Results => Privacy::Personal,
            Self::Password => Privacy::Secret,
        }
    }
}

/// One line of the catalogue.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Which operation this line is about.
    pub operation: Operation,
    /// What it does, for people: one sentence without full stop.
    pub summary: &'static str,
    /// Whether the step has to say where the digits come from.
    pub needs_digits: bool,
    /// What has to be so on every way to the step.
    pub needs: &'static [Fact],
    /// Every way it can end; a flow says where each leads.
    pub outcomes: &'static [OutcomeSpec],
}

/// One way an operation can end.
#[derive(Clone, Copy, Debug)]
pub struct OutcomeSpec {
    /// The outcome.
    pub outcome: Outcome,
    /// What it means, for people.
    pub meaning: &'static str,
    /// What is so after it.
    pub gives: &'static [Fact],
}

/// Something that has to be so before an operation makes sense. The services enforce it as well; the checker finds a
/// flow that would run into their refusal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fact {
    /// The caller has said who they are.
    Identified,
    /// The caller has proved it.
    Verified,
    /// The slot was filled.
    Filled(Slot),
}

impl Operation {
    /// Its line in the catalogue.
    #[must_use]
    pub fn spec(self) -> &'static Spec {
        // The catalogue is in the order of the enum; a test holds it.
        &CATALOGUE[self as usize]
    }

    /// Whether it can end with `outcome`.
    #[must_use]
    pub fn has_outcome(self, outcome: Outcome) -> bool {
        self.spec()
            .outcomes
            .iter()
            .any(|candidate| candidate.outcome == outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_has_its_line_in_the_order_of_the_enum() {
        assert_eq!(CATALOGUE.len(), Operation::ALL.len());
        for operation in Operation::ALL {
            let spec = operation.spec();
            assert_eq!(spec.operation, *operation);
            assert!(!spec.outcomes.is_empty());
        }
    }

    #[test]
    fn every_word_and_slot_of_the_catalogue_is_used() {
        for outcome in Outcome::ALL {
            assert!(
                Operation::ALL.iter().any(|operation| operation.has_outcome(*outcome)),
                "{outcome}"
            );
            assert_eq!(Outcome::parse(outcome.name()), Some(*outcome));
        }
        for slot in Slot::ALL {
            let filled = CATALOGUE
                .iter()
                .flat_map(|spec| spec.outcomes)
                .any(|outcome| outcome.gives.contains(&Fact::Filled(*slot)));
            assert!(filled, "{slot}");
        }
    }

    #[test]
    fn only_the_password_is_secret() {
        let secret: Vec<_> = Slot::ALL
            .iter()
            .filter(|slot| slot.privacy() == Privacy::Secret)
            .collect();
        assert_eq!(secret, [&Slot::Password]);
    }
}
