//! Every way of every shipped flow, walked by a script made for it: from the start by the shortest path, then the way
//! itself. A branch that is added to a flow turns up here by itself.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;

use super::super::model::{Action, Edge, EdgeKind, StepId};
use super::*;

#[test]
fn every_branch_of_the_stock_flow() {
    assert_transcript("reset_every_branch", &every_branch("reset", SHIPPED[0].1));
}

#[test]
fn every_branch_of_the_unlock_flow() {
    assert_transcript("unlock_every_branch", &every_branch("unlock", SHIPPED[1].1));
}

#[test]
fn every_branch_of_the_minimal_flow() {
    assert_transcript("minimal_every_branch", &every_branch("minimal", MINIMAL));
}

/// For each way: its name, and what happens from its first step to the step where it leads.
fn every_branch(name: &str, text: &str) -> String {
    let flow = Arc::new(flow(name, text));
    let paths = shortest_paths(&flow);
    let mut all = String::new();
    for edge in flow.edges() {
        // The step for calls over the limit is reached by time only.
        let Some(path) = paths.get(&edge.from) else { continue };
        let lines: Vec<String> = path
            .iter()
            .copied()
            .chain([edge])
            .map(|edge| walk(&flow, edge))
            .collect();
        let written = run(&flow, &lines.concat());
        let from = flow.step(edge.from).name();
        let to = flow.step(edge.to).name();
        let taken = format!("{}\n[{to}]\n", written_part(&written, from.as_str(), to.as_str()));
        writeln!(all, "== {from} ─ {} → {to}\n{taken}", edge.kind).unwrap();
    }
    all
}

/// The part of a transcript from the last visit of `from` that is followed by `to`.
fn written_part(written: &str, from: &str, to: &str) -> String {
    let blocks: Vec<&str> = written.split_inclusive('\n').collect();
    let headings: Vec<usize> = (0..blocks.len()).filter(|i| blocks[*i].starts_with('[')).collect();
    let visit = headings
        .windows(2)
        .rev()
        .find(|pair| blocks[pair[0]].trim() == format!("[{from}]") && blocks[pair[1]].trim() == format!("[{to}]"));
    let visit = visit.unwrap_or_else(|| panic!("{from} never led to {to}:\n{written}"));
    blocks[visit[0]..visit[1]].concat().trim_end().to_owned()
}

/// To each step that keys and outcomes lead to, the ways from the start.
pub(crate) fn shortest_paths(flow: &Flow) -> BTreeMap<StepId, Vec<&Edge>> {
    let mut paths = BTreeMap::from([(flow.start(), Vec::new())]);
    let mut queue = VecDeque::from([flow.start()]);
    while let Some(step) = queue.pop_front() {
        for edge in flow.edges().iter().filter(|edge| edge.from == step) {
            if !paths.contains_key(&edge.to) {
                let mut path = paths[&step].clone();
                path.push(edge);
                paths.insert(edge.to, path);
                queue.push_back(edge.to);
            }
        }
    }
    paths
}

/// The lines of a script that take one way.
fn walk(flow: &Flow, edge: &Edge) -> String {
    let question = match &flow.step(edge.from).action {
        Action::Menu(menu) => Some(&menu.question),
        Action::Collect(collect) => Some(&collect.question),
        _ => None,
    };
    let times = |line: &str, max: Option<u8>| line.repeat(max.map_or(1, usize::from));
    match &edge.kind {
        EdgeKind::Next => String::new(),
        EdgeKind::Key(key) => format!("keys {}\n", key.as_char()),
        EdgeKind::Digits => "keys 47#\n".to_owned(),
        EdgeKind::NoInput => times("silence\n", question.map(|question| question.noinput.max)),
        EdgeKind::NoMatch => {
            // An entry of nothing, or a key that no shipped menu has.
            let wrong = if flow.step(edge.from).kind() == StepKind::Menu {
                "keys 0\n"
            } else {
                "keys #\n"
            };
            times(wrong, question.map(|question| question.nomatch.max))
        }
        EdgeKind::Outcome(word) if flow.step(edge.from).kind() == StepKind::Transfer => format!("transfer {word}\n"),
        EdgeKind::Outcome(word) => format!("outcome {word}\n"),
        EdgeKind::Error => "error\n".to_owned(),
    }
}
