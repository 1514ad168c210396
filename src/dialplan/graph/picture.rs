//! What of a flow is drawn, and how: boxes, lines, and ways that are written into a box.

use super::super::model::{Action, Edge, Flow, PlayItem, Step, StepId, StepKind};

/// A step that more ways than this lead to would gather a knot of lines.
const MANY: usize = 5;

/// Longest text in a box, in characters.
const MAX_TEXT: usize = 44;

/// The whole drawing, without positions.
pub(super) struct Picture {
    pub(super) title: String,
    pub(super) description: String,
    pub(super) version: String,
    pub(super) boxes: Vec<StepBox>,
    pub(super) lines: Vec<Line>,
}

/// A step.
pub(super) struct StepBox {
    pub(super) name: String,
    pub(super) kind: StepKind,
    pub(super) is_start: bool,
    /// What it says or does.
    pub(super) texts: Vec<String>,
    /// Ways that are written down: label and target.
    pub(super) rows: Vec<(String, String)>,
    /// No line touches it; it stands at the bottom.
    pub(super) is_shared: bool,
}

/// A way that is drawn.
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    /// Ways between the same steps share a line.
    pub(super) labels: Vec<String>,
}

impl Picture {
    pub(super) fn of(flow: &Flow) -> Self {
        let shared = shared_steps(flow);
        let is_shared = |step: StepId| shared[step.0];
        let written = |edge: &Edge| edge.from == edge.to || is_shared(edge.from) || is_shared(edge.to);
        let boxes = flow.steps().iter().enumerate().map(|(index, step)| {
            let id = StepId(index);
            let rows = flow.edges().iter().filter(|edge| edge.from == id && written(edge));
            StepBox {
                name: step.name().to_string(),
                kind: step.kind(),
                is_start: flow.start() == id,
                texts: texts(step),
                rows: merged_rows(flow, rows),
                is_shared: is_shared(id),
            }
        });
        Self {
            title: flow.title().to_owned(),
            description: description(flow),
            version: flow.version().to_string(),
            boxes: boxes.collect(),
            lines: lines(flow.edges().iter().filter(|edge| !written(edge))),
        }
    }
}

/// Steps that stand at the bottom: many ways lead there, or only ways for when things go wrong do.
fn shared_steps(flow: &Flow) -> Vec<bool> {
    let shared = |index: usize| {
        let mut into = flow
            .edges()
            .iter()
            .filter(|edge| edge.to.0 == index && edge.from.0 != index)
            .peekable();
        let only_trouble = into.peek().is_none() || into.clone().all(|edge| edge.kind.is_trouble());
        index != flow.start().0 && (only_trouble || into.count() > MANY)
    };
    let mut shared: Vec<bool> = (0..flow.steps().len()).map(shared).collect();
    // What only shared steps lead to has no line either.
    loop {
        let lost = (0..shared.len()).find(|index| {
            let mut into = flow
                .edges()
                .iter()
                .filter(|edge| edge.to.0 == *index && edge.from.0 != *index);
            !shared[*index] && *index != flow.start().0 && into.all(|edge| shared[edge.from.0])
        });
        match lost {
            Some(index) => shared[index] = true,
            None => return shared,
        }
    }
}

fn texts(step: &Step) -> Vec<String> {
    let say = |items: &[PlayItem]| {
        items
            .iter()
            .map(|item| shortened(&item.to_string()))
            .collect::<Vec<_>>()
    };
    match &step.action {
        Action::Play { say: s, .. } | Action::HangUp { say: s } => say(&s.items),
        Action::Menu(menu) => say(&menu.question.say.items),
        Action::Collect(collect) => say(&collect.question.say.items),
        Action::Transfer(transfer) => vec![shortened(&format!("to {}", transfer.to))],
        // The name of most operation steps is the operation's.
        Action::Operation(invocation) if invocation.operation.name() == step.name().as_str() => Vec::new(),
        Action::Operation(invocation) => vec![format!("{}()", invocation.operation)],
    }
}

/// Ways to the same step share a row.
fn merged_rows<'f>(flow: &Flow, edges: impl Iterator<Item = &'f Edge>) -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = Vec::new();
    for edge in edges {
        let label = edge.kind.to_string();
        let target = if edge.from == edge.to {
            "itself".to_owned()
        } else {
            flow.step(edge.to).name().to_string()
        };
        match rows.iter_mut().find(|(_, to)| *to == target) {
            Some((labels, _)) => *labels = format!("{labels}, {label}"),
            None => rows.push((label, target)),
        }
    }
    rows
}

fn lines<'f>(edges: impl Iterator<Item = &'f Edge>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for edge in edges {
        let label = edge.kind.to_string();
        match lines
            .iter_mut()
            .find(|line| (line.from, line.to) == (edge.from.0, edge.to.0))
        {
            Some(line) => line.labels.push(label),
            None => lines.push(Line {
                from: edge.from.0,
                to: edge.to.0,
                labels: vec![label],
            }),
        }
    }
    lines
}

/// For those who cannot see the picture: how many steps, where it begins, how it can end.
fn description(flow: &Flow) -> String {
    let ends: Vec<&str> = flow
        .steps()
        .iter()
        .filter(|step| step.kind() == StepKind::HangUp)
        .map(|step| step.name().as_str())
        .collect();
    format!(
        "Call flow {} with {} steps. It begins with {} and ends with {}.",
        flow.name(),
        flow.steps().len(),
        flow.step(flow.start()).name(),
        ends.join(", ")
    )
}

fn shortened(text: &str) -> String {
    if text.chars().count() <= MAX_TEXT {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(MAX_TEXT - 1).collect();
    short.push('…');
    short
}
