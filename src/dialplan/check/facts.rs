//! What is missing on some path: slots that are not filled, digits that are not there, a caller who is not verified.
//!
//! A forward analysis: what is known at a step is what is known on *every* way that leads to it. Outcomes of operations
//! give facts; a collect step has digits on its `next` way; an operation uses them up; `identify` begins again with
//! somebody else. For each thing that is not known everywhere, a path is found that lacks it, because "somewhere" helps
//! nobody.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::draft::{BodyDraft, Draft};
use super::super::model::PlayItem;
use super::super::operation::{CATALOGUE, Fact, Operation};
use super::super::report::{Code, Findings, listed};
use super::ways::{Known, Way, Ways, operation_of};

pub(super) fn check(draft: &Draft, ways: &Ways, findings: &mut Findings) {
    let known = known_at(draft, ways);
    for (step, at_step) in known.iter().enumerate() {
        // Steps that cannot be reached are reported as such.
        let Some(at_step) = at_step else { continue };
        findings.in_step(Some(draft.steps[step].name.value.as_str()));
        check_slots(step, at_step, draft, ways, findings);
        check_digits(step, at_step, draft, ways, findings);
        check_needs(step, at_step, draft, ways, findings);
    }
    findings.in_step(None);
}

/// What is known when each step begins; `None` for steps that no way leads to.
fn known_at(draft: &Draft, ways: &Ways) -> Vec<Option<BTreeSet<Known>>> {
    let mut known = vec![None; draft.steps.len()];
    let mut queue = VecDeque::new();
    for root in [ways.start, ways.limit].into_iter().flatten() {
        known[root] = Some(BTreeSet::new());
        queue.push_back(root);
    }
    while let Some(step) = queue.pop_front() {
        let Some(before) = known[step].clone() else { continue };
        for way in ways.from(step) {
            let Some(to) = way.to else { continue };
            let after = before.iter().copied().filter(|fact| survives(*fact, step, draft, ways));
            let after: BTreeSet<Known> = after.chain(way.gains.iter().copied()).collect();
            let merged = match &known[to] {
                Some(already) => already.intersection(&after).copied().collect(),
                None => after,
            };
            if known[to].as_ref() != Some(&merged) {
                known[to] = Some(merged);
                queue.push_back(to);
            }
        }
    }
    known
}

/// Whether something known before a step is still known after it: asking again, and using, both forget digits; a new
/// caller makes everything about the last one untrue.
fn survives(known: Known, step: usize, draft: &Draft, ways: &Ways) -> bool {
    let draft_step = &draft.steps[step];
    match known {
        Known::Fact(_) => operation_of(draft_step).is_none_or(|(_, operation)| operation != Operation::Identify),
        Known::Digits(source) => {
            let used = match &draft_step.body {
                Some(BodyDraft::Operation(operation)) => ways.index_of(&operation.digits) == Some(source),
                _ => false,
            };
            source != step && !used
        }
    }
}

fn check_slots(step: usize, known: &BTreeSet<Known>, draft: &Draft, ways: &Ways, findings: &mut Findings) {
    for item in draft.steps[step].body.iter().flat_map(BodyDraft::spoken) {
        let PlayItem::Slot(slot) = item.value else { continue };
        if known.contains(&Known::Fact(Fact::Filled(slot))) {
            continue;
        }
        let path = path_without(Known::Fact(Fact::Filled(slot)), step, draft, ways);
        let message = format!("`{{{slot}}}` is not filled on every way to this step, for example {path}");
        let remedy = format!(
            "lead every way through an operation that fills it: {}",
            given_by(Fact::Filled(slot))
        );
        findings.error(Code::SlotNotFilled, item.span, message, remedy);
    }
}

fn check_digits(step: usize, known: &BTreeSet<Known>, draft: &Draft, ways: &Ways, findings: &mut Findings) {
    let Some((invocation, operation)) = operation_of(&draft.steps[step]) else {
        return;
    };
    let (Some(source), Some(name)) = (ways.index_of(&invocation.digits), &invocation.digits) else {
        return;
    };
    let collects = matches!(draft.steps[source].body, Some(BodyDraft::Collect { .. }));
    if !collects || !operation.spec().needs_digits || known.contains(&Known::Digits(source)) {
        return;
    }
    let path = path_without(Known::Digits(source), step, draft, ways);
    let message = format!(
        "the digits of `{}` are not there on every way to this step, for example {path}",
        name.value
    );
    let remedy = format!(
        "lead every way through `{}`; digits are gone once an operation has used them",
        name.value
    );
    findings.error(Code::DigitsNotCollected, name.span, message, remedy);
}

fn check_needs(step: usize, known: &BTreeSet<Known>, draft: &Draft, ways: &Ways, findings: &mut Findings) {
    let Some((invocation, operation)) = operation_of(&draft.steps[step]) else {
        return;
    };
    let Some(word) = &invocation.operation else { return };
    for fact in operation
        .spec()
        .needs
        .iter()
        .filter(|fact| !known.contains(&Known::Fact(**fact)))
    {
        let needed = match fact {
            Fact::Identified => "a caller who has said who they are".to_owned(),
            Fact::Verified => "a caller who is verified".to_owned(),
            Fact::Filled(slot) => format!("`{{{slot}}}` to be filled"),
        };
        let path = path_without(Known::Fact(*fact), step, draft, ways);
        let message = format!("`{operation}` needs {needed}, which is not so on {path}");
        let remedy = format!("lead every way through {}", given_by(*fact));
        findings.error(Code::NeedNotMet, word.span, message, remedy);
    }
}

/// "`identify` (one), ..." for messages.
fn given_by(fact: Fact) -> String {
    let mut by: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for spec in CATALOGUE {
        for outcome in spec.outcomes.iter().filter(|outcome| outcome.gives.contains(&fact)) {
            by.entry(spec.operation.name())
                .or_default()
                .push(outcome.outcome.name());
        }
    }
    let words: Vec<String> = by
        .into_iter()
        .map(|(operation, outcomes)| format!("`{operation}` with {}", listed(outcomes)))
        .collect();
    words.join(", or ")
}

/// The shortest path to `goal` on which `fact` is not known, in words.
fn path_without(fact: Known, goal: usize, draft: &Draft, ways: &Ways) -> String {
    // States are (step, is the fact known); only unknown ones at the goal matter.
    let mut via: BTreeMap<(usize, bool), Option<(&Way, bool)>> = BTreeMap::new();
    let mut queue = VecDeque::new();
    for root in [ways.start, ways.limit].into_iter().flatten() {
        via.insert((root, false), None);
        queue.push_back((root, false));
    }
    while let Some((step, holds)) = queue.pop_front() {
        if (step, holds) == (goal, false) {
            return words((step, holds), &via, draft);
        }
        let holds_after = holds && survives(fact, step, draft, ways);
        for way in ways.from(step) {
            let Some(to) = way.to else { continue };
            let state = (to, holds_after || way.gains.contains(&fact));
            if let std::collections::btree_map::Entry::Vacant(entry) = via.entry(state) {
                entry.insert(Some((way, holds)));
                queue.push_back(state);
            }
        }
    }
    // Not reached: the analysis found such a path, so the search does too.
    format!("`{}`", draft.steps[goal].name.value)
}

fn words(goal: (usize, bool), via: &BTreeMap<(usize, bool), Option<(&Way, bool)>>, draft: &Draft) -> String {
    let mut words = vec![format!("`{}`", draft.steps[goal.0].name.value)];
    let mut state = goal;
    while let Some(Some((way, held))) = via.get(&state) {
        words.push(format!("`{}` ({})", draft.steps[way.from].name.value, way.kind));
        state = (way.from, *held);
    }
    words.reverse();
    words.join(" → ")
}
