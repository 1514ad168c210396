//! The table of operations. `docs/DIALPLAN.md` repeats it for people; a test compares the two.

use super::{Fact, Operation, Outcome, OutcomeSpec, Slot, Spec};

/// Every operation. An unknown ID is answered like a known one, so a flow cannot tell them apart.
pub const CATALOGUE: &[Spec] = &[
    spec(
        Operation::Identify,
        DIGITS,
        &[],
        "finds the person by employee number, or by login ID keyed with the letters on the keys",
        &[
            give(
                Outcome::One,
                "one person (or nobody: then the questions are made up and no answer is right)",
                &[Fact::Identified],
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
        &[],
        "tells people with the same digits apart by a second mark",
        &[
            give(
                Outcome::One,
                "one person is left (or nobody, see identify)",
                &[Fact::Identified],
            ),
            on(Outcome::Several, "still several"),
        ],
    ),
    spec(
        Operation::NextQuestion,
        NO_DIGITS,
        &[Fact::Identified],
        "chooses the next security question at random",
        &[
            give(
                Outcome::Ask,
                "there is a question to ask",
                &[Fact::Filled(Slot::Question)],
            ),
            on(Outcome::Unavailable, "nobody can be verified by phone now"),
        ],
    ),
    spec(
        Operation::Answer,
        DIGITS,
        &[Fact::Filled(Slot::Question)],
        "takes the answer to the question; never says which answer was wrong",
        &[
            on(Outcome::More, "ask the next question"),
            give(Outcome::Passed, "the caller is who they say", &[Fact::Verified]),
            on(Outcome::Retry, "this round failed, another one is allowed"),
            on(Outcome::Failed, "not verified, no more rounds in this call"),
            on(Outcome::Locked, "not verified, and locked out from now on"),
        ],
    ),
    spec(
        Operation::ListSystems,
        NO_DIGITS,
        VERIFIED,
        "looks up the systems where the caller has an account",
        &[
            give(
                Outcome::One,
                "there is one, and it is chosen",
                &[Fact::Filled(Slot::System)],
            ),
            give(
                Outcome::Several,
                "the caller has to choose",
                &[Fact::Filled(Slot::SystemsMenu)],
            ),
            on(Outcome::None, "there is none"),
        ],
    ),
    spec(
        Operation::SelectSystem,
        DIGITS,
        &[Fact::Verified, Fact::Filled(Slot::SystemsMenu)],
        "chooses a system by its number in the systems menu",
        &[
            give(Outcome::Selected, "chosen", &[Fact::Filled(Slot::System)]),
            on(Outcome::NoMatch, "no system has this number"),
        ],
    ),
    spec(
        Operation::SelectAll,
        NO_DIGITS,
        VERIFIED,
        "chooses every system where the caller has an account",
        &[on(Outcome::Selected, "chosen")],
    ),
    spec(
        Operation::AccountState,
        NO_DIGITS,
        VERIFIED,
        "looks up whether the caller's accounts are locked, disabled or expired",
        &[
            give(Outcome::Told, "known", &[Fact::Filled(Slot::AccountStates)]),
            on(Outcome::Unavailable, "no system answered"),
        ],
    ),
    spec(
        Operation::Unlock,
        NO_DIGITS,
        VERIFIED,
        "unlocks the caller's accounts; passwords stay as they are",
        &[
            give(Outcome::All, "unlocked everywhere", &[Fact::Filled(Slot::Results)]),
            give(
                Outcome::Some,
                "unlocked on some systems, not on others",
                &[Fact::Filled(Slot::Results)],
            ),
            give(Outcome::None, "unlocked nowhere", &[Fact::Filled(Slot::Results)]),
            on(Outcome::NotLocked, "no account was locked"),
        ],
    ),
    spec(
        Operation::ProposePassword,
        NO_DIGITS,
        VERIFIED,
        "makes a random password that suits every chosen system; nothing is changed yet",
        &[
            give(
                Outcome::Proposed,
                "there is a password to read out",
                &[Fact::Filled(Slot::Password)],
            ),
            on(Outcome::Exhausted, "the caller has asked for too many"),
            on(Outcome::Contradiction, "no password suits all chosen systems at once"),
        ],
    ),
    spec(
        Operation::PaceSlower,
        NO_DIGITS,
        &[],
        "spells more slowly from now on",
        &[on(Outcome::Done, "done")],
    ),
    spec(
        Operation::PaceNormal,
        NO_DIGITS,
        &[],
        "spells at the usual speed from now on",
        &[on(Outcome::Done, "done")],
    ),
    spec(
        Operation::ReadbackWanted,
        NO_DIGITS,
        PROPOSED,
        "asks the policy whether the caller has to key the password back before it goes live",
        &[on(Outcome::Yes, "key it back first"), on(Outcome::No, "not needed")],
    ),
    spec(
        Operation::CheckReadback,
        DIGITS,
        PROPOSED,
        "compares what was keyed with the password in its keypad form",
        &[on(Outcome::Match, "the same"), on(Outcome::Mismatch, "not the same")],
    ),
    spec(
        Operation::Reset,
        NO_DIGITS,
        PROPOSED,
        "sets the proposed password on every chosen system",
        &[
            give(Outcome::All, "changed everywhere", &[Fact::Filled(Slot::Results)]),
            give(
                Outcome::Some,
                "changed on some systems, not on others",
                &[Fact::Filled(Slot::Results)],
            ),
            give(Outcome::None, "changed nowhere", &[Fact::Filled(Slot::Results)]),
            on(Outcome::Refused, "the caller has to be verified again first"),
            on(
                Outcome::UsedBefore,
                "the caller had this password before; nothing is changed, propose another one",
            ),
        ],
    ),
];

const fn on(outcome: Outcome, meaning: &'static str) -> OutcomeSpec {
    give(outcome, meaning, &[])
}

const fn give(outcome: Outcome, meaning: &'static str, gives: &'static [Fact]) -> OutcomeSpec {
    OutcomeSpec {
        outcome,
        meaning,
        gives,
    }
}

const fn spec(
    operation: Operation,
    needs_digits: bool,
    needs: &'static [Fact],
    summary: &'static str,
    outcomes: &'static [OutcomeSpec],
) -> Spec {
    Spec {
        operation,
        summary,
        needs_digits,
        needs,
        outcomes,
    }
}

const DIGITS: bool = true;
const NO_DIGITS: bool = false;
const VERIFIED: &[Fact] = &[Fact::Verified];
const PROPOSED: &[Fact] = &[Fact::Verified, Fact::Filled(Slot::Password)];
