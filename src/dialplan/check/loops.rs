//! What the whole graph tells about reaching and leaving steps.
//!
//! - A step that no way leads to is dead text.
//! - A group of steps from which no hang-up and no transfer can be reached keeps callers for ever.
//! - A loop of silent ways (prompts that follow each other, outcomes, `noinput`) goes round with nobody at the phone.
//!   `limits.max_steps` would end it, minutes later; that is a safety net, not a design.

use std::collections::{BTreeSet, VecDeque};

use super::super::draft::{BodyDraft, Draft};
use super::super::report::{Code, Findings};
use super::ways::{Way, Ways};

pub(super) fn check(draft: &Draft, ways: &Ways, findings: &mut Findings) {
    let reached = reachable(draft.steps.len(), ways, [ways.start, ways.limit]);
    if names_are_known(findings) {
        report_unreached(draft, &reached, findings);
    }
    report_traps(draft, ways, &reached, findings);
    report_silent_loops(draft, ways, &reached, findings);
}

/// With an unknown name somewhere, a step may only seem unreachable.
fn names_are_known(findings: &Findings) -> bool {
    let blurs = [
        Code::UnknownStep,
        Code::UnknownOperation,
        Code::MissingKey,
        Code::MissingOutcome,
        Code::SurplusOutcome,
        Code::WrongType,
        Code::BadValue,
        Code::Syntax,
        Code::TooLarge,
    ];
    !blurs.into_iter().any(|code| findings.any(code))
}

fn report_unreached(draft: &Draft, reached: &[bool], findings: &mut Findings) {
    for (step, _) in draft.steps.iter().zip(reached).filter(|(_, reached)| !**reached) {
        let name = step.name.value.as_str();
        findings.in_step(Some(name));
        let message = format!("no call can reach the step `{name}`");
        findings.error(
            Code::UnreachableStep,
            step.name.span,
            message,
            "lead a way to it, or take it out",
        );
    }
    findings.in_step(None);
}

fn report_traps(draft: &Draft, ways: &Ways, reached: &[bool], findings: &mut Findings) {
    let leaves = can_end(draft, ways);
    let trapped = |step: usize| reached[step] && !leaves[step];
    for group in groups(draft.steps.len(), ways, |way| trapped(way.from)) {
        // Report the innermost trap only; what leads into it is fine once that is mended.
        let closed = group
            .iter()
            .all(|step| ways.from(*step).all(|way| way.to.is_some_and(|to| group.contains(&to))));
        if trapped(group[0]) && closed {
            let message = format!("no call can end from here: {}", round(draft, ways, &group, |_| true));
            let remedy = "give one of these steps a way to a hangup step";
            report_at(draft, group[0], Code::NoWayOut, message, remedy, findings);
        }
    }
}

fn report_silent_loops(draft: &Draft, ways: &Ways, reached: &[bool], findings: &mut Findings) {
    let silent = |way: &Way| reached[way.from] && way.kind.is_silent();
    for group in groups(draft.steps.len(), ways, silent) {
        let turns = ways.from(group[0]).any(|way| silent(way) && way.to == Some(group[0]));
        if group.len() > 1 || turns {
            let message = format!(
                "a caller who presses nothing goes round for ever: {}",
                round(draft, ways, &group, silent)
            );
            let remedy = "lead the `noinput.then`, `error` or outcome that closes the circle to a hangup step";
            report_at(draft, group[0], Code::SilentLoop, message, remedy, findings);
        }
    }
}

fn report_at(draft: &Draft, step: usize, code: Code, message: String, remedy: &str, findings: &mut Findings) {
    let name = &draft.steps[step].name;
    findings.in_step(Some(name.value.as_str()));
    findings.error(code, name.span, message, remedy);
    findings.in_step(None);
}

/// Which steps a call can get to.
fn reachable(count: usize, ways: &Ways, roots: [Option<usize>; 2]) -> Vec<bool> {
    let mut reached = vec![false; count];
    let mut queue: VecDeque<usize> = roots.into_iter().flatten().collect();
    while let Some(step) = queue.pop_front() {
        if !std::mem::replace(&mut reached[step], true) {
            queue.extend(ways.from(step).filter_map(|way| way.to));
        }
    }
    reached
}

/// Which steps have a way to the end of the call. What is unknown is believed to have one.
fn can_end(draft: &Draft, ways: &Ways) -> Vec<bool> {
    let ends = |body: &Option<BodyDraft>| {
        matches!(
            body,
            None | Some(BodyDraft::HangUp { .. }) | Some(BodyDraft::Transfer(_))
        )
    };
    let mut ends: Vec<bool> = draft.steps.iter().map(|step| ends(&step.body)).collect();
    loop {
        let more: Vec<usize> = ways
            .list
            .iter()
            .filter(|way| !ends[way.from] && way.to.is_none_or(|to| ends[to]))
            .map(|way| way.from)
            .collect();
        if more.is_empty() {
            return ends;
        }
        more.into_iter().for_each(|step| ends[step] = true);
    }
}

/// Groups of steps that can all reach each other by the chosen ways (strongly connected components), each in the order
/// of the file. Quadratic and simple: flows have at most a few hundred steps.
fn groups(count: usize, ways: &Ways, chosen: impl Fn(&Way) -> bool) -> Vec<Vec<usize>> {
    let mut next = vec![Vec::new(); count];
    for way in ways.list.iter().filter(|way| chosen(way)) {
        next[way.from].extend(way.to);
    }
    let reach: Vec<BTreeSet<usize>> = (0..count).map(|step| reach_from(step, &next)).collect();
    let mut grouped = vec![false; count];
    let mut groups = Vec::new();
    for step in 0..count {
        if grouped[step] {
            continue;
        }
        let group: Vec<usize> = (step..count)
            .filter(|other| *other == step || (reach[step].contains(other) && reach[*other].contains(&step)))
            .collect();
        group.iter().for_each(|member| grouped[*member] = true);
        groups.push(group);
    }
    groups
}

fn reach_from(step: usize, next: &[Vec<usize>]) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut stack = next[step].clone();
    while let Some(step) = stack.pop() {
        if reached.insert(step) {
            stack.extend(&next[step]);
        }
    }
    reached
}

/// One way round, from the first step of a group back to it, in words: "`a` → `b` (noinput) → `a`".
fn round(draft: &Draft, ways: &Ways, group: &[usize], chosen: impl Fn(&Way) -> bool) -> String {
    let name = |step: usize| draft.steps[step].name.value.as_str();
    let start = group[0];
    let mut via: Vec<Option<&Way>> = vec![None; draft.steps.len()];
    let mut queue = VecDeque::from([start]);
    while let Some(step) = queue.pop_front() {
        for way in ways.from(step).filter(|way| chosen(way)) {
            let Some(to) = way.to.filter(|to| group.contains(to) && via[*to].is_none()) else {
                continue;
            };
            via[to] = Some(way);
            queue.push_back(to);
        }
    }
    let mut words = Vec::new();
    let mut step = start;
    while let Some(way) = via[step].take() {
        words.push(format!("`{}` ({}) → ", name(way.from), way.kind));
        step = way.from;
    }
    words.reverse();
    format!("{}`{}`", words.concat(), name(start))
}
