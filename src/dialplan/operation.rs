//! What a flow can ask the call to do: the catalogue of operations, their outcomes, and the slots they fill.
//!
//! The catalogue is data, so that the checker, the graph and the documentation all read the same table. The call
//! carries an operation out through `service` and matches on [`Operation`] without a wildcard: an operation that is
//! added here does not compile until something does it.

use std::fmt;

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
    /// Slots that can be spoken after it.
    pub fills: &'static [Slot],
}

const fn on(outcome: Outcome, meaning: &'static str) -> OutcomeSpec {
    fill(outcome, meaning, &[])
}

const fn fill(outcome: Outcome, meaning: &'static str, fills: &'static [Slot]) -> OutcomeSpec {
    OutcomeSpec {
        outcome,
        meaning,
        fills,
    }
}

const fn spec(
    operation: Operation,
    needs_digits: bool,
    summary: &'static str,
    outcomes: &'static [OutcomeSpec],
) -> Spec {
    Spec {
        operation,
        summary,
        needs_digits,
        outcomes,
    }
}

const DIGITS: bool = true;
const NO_DIGITS: bool = false;

/// Every operation. An unknown ID is answered like a known one, so a flow cannot tell them apart.
pub const CATALOGUE: &[Spec] = &[
    spec(
        Operation::Identify,
        DIGITS,
        "finds the person by employee number, or by login ID keyed with the letters on the keys",
        &[
            on(
                Outcome::One,
                "one person (or nobody: then the questions are made up and no answer is right)",
            ),
            on(
                Outcome::Several,
                "several people have these digits; ask for something more",
            ),
            on(Outcome::Refused, "the calling number is locked out"),
        ],
    ),
    spec(
        Operation::Discriminate,
        DIGITS,
        "tells people with the same digits apart by a second mark",
        &[
            on(Outcome::One, "one person is left (or nobody, see identify)"),
            on(Outcome::Several, "still several"),
        ],
    ),
    spec(
        Operation::NextQuestion,
        NO_DIGITS,
        "chooses the next security question at random",
        &[
            fill(Outcome::Ask, "there is a question to ask", &[Slot::Question]),
            on(Outcome::Unavailable, "nobody can be verified by phone now"),
        ],
    ),
    spec(
        Operation::Answer,
        DIGITS,
        "takes the answer to the question; never says which answer was wrong",
        &[
            on(Outcome::More, "ask the next question"),
            on(Outcome::Passed, "the caller is who they say"),
            on(Outcome::Retry, "this round failed, another one is allowed"),
            on(Outcome::Failed, "not verified, no more rounds in this call"),
            on(Outcome::Locked, "not verified, and locked out from now on"),
        ],
    ),
    spec(
        Operation::ListSystems,
        NO_DIGITS,
        "looks up the systems where the caller has an account",
        &[
            fill(Outcome::One, "there is one, and it is chosen", &[Slot::System]),
            fill(Outcome::Several, "the caller has to choose", &[Slot::SystemsMenu]),
            on(Outcome::None, "there is none"),
        ],
    ),
    spec(
        Operation::SelectSystem,
        DIGITS,
        "chooses a system by its number in the systems menu",
        &[
            fill(Outcome::Selected, "chosen", &[Slot::System]),
            on(Outcome::NoMatch, "no system has this number"),
        ],
    ),
    spec(
        Operation::SelectAll,
        NO_DIGITS,
        "chooses every system where the caller has an account",
        &[on(Outcome::Selected, "chosen")],
    ),
    spec(
        Operation::AccountState,
        NO_DIGITS,
        "looks up whether the caller's accounts are locked, disabled or expired",
        &[
            fill(Outcome::Told, "known", &[Slot::AccountStates]),
            on(Outcome::Unavailable, "no system answered"),
        ],
    ),
    spec(
        Operation::Unlock,
        NO_DIGITS,
        "unlocks the caller's accounts; passwords stay as they are",
        &[
            fill(Outcome::All, "unlocked everywhere", &[Slot::Results]),
            fill(
                Outcome::Some,
                "unlocked on some systems, not on others",
                &[Slot::Results],
            ),
            fill(Outcome::None, "unlocked nowhere", &[Slot::Results]),
            on(Outcome::NotLocked, "no account was locked"),
        ],
    ),
    spec(
        Operation::ProposePassword,
        NO_DIGITS,
        "makes a random password that suits every chosen system; nothing is changed yet",
        &[
            fill(Outcome::Proposed, "there is a password to read out", &[Slot::Password]),
            on(Outcome::Exhausted, "the caller has asked for too many"),
            on(Outcome::Contradiction, "no password suits all chosen systems at once"),
        ],
    ),
    spec(
        Operation::PaceSlower,
        NO_DIGITS,
        "spells more slowly from now on",
        &[on(Outcome::Done, "done")],
    ),
    spec(
        Operation::PaceNormal,
        NO_DIGITS,
        "spells at the usual speed from now on",
        &[on(Outcome::Done, "done")],
    ),
    spec(
        Operation::ReadbackWanted,
        NO_DIGITS,
        "asks the policy whether the caller has to key the password back before it goes live",
        &[on(Outcome::Yes, "key it back first"), on(Outcome::No, "not needed")],
    ),
    spec(
        Operation::CheckReadback,
        DIGITS,
        "compares what was keyed with the password in its keypad form",
        &[on(Outcome::Match, "the same"), on(Outcome::Mismatch, "not the same")],
    ),
    spec(
        Operation::Reset,
        NO_DIGITS,
        "sets the proposed password on every chosen system",
        &[
            fill(Outcome::All, "changed everywhere", &[Slot::Results]),
            fill(
                Outcome::Some,
                "changed on some systems, not on others",
                &[Slot::Results],
            ),
            fill(Outcome::None, "changed nowhere", &[Slot::Results]),
            on(Outcome::Refused, "the caller has to be verified again first"),
        ],
    ),
];

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
                .any(|outcome| outcome.fills.contains(slot));
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
