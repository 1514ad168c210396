//! DOT text, for those who want to draw the flow with Graphviz or compare two versions.

use std::fmt::Write as _;

use super::super::model::{Flow, StepKind};

pub(super) fn write(flow: &Flow) -> String {
    let mut text = format!(
        "digraph {} {{\n  node [shape=box, fontname=\"sans-serif\"];\n",
        quoted(flow.name())
    );
    for step in flow.steps() {
        let shape = match step.kind() {
            StepKind::Play => "box",
            StepKind::Menu | StepKind::Collect => "box, style=rounded",
            StepKind::Operation => "component",
            StepKind::Transfer => "cds",
            StepKind::HangUp => "doubleoctagon",
        };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {} [shape={shape}];", quoted(step.name().as_str()));
    }
    for edge in flow.edges() {
        let from = quoted(flow.step(edge.from).name().as_str());
        let to = quoted(flow.step(edge.to).name().as_str());
        let _ = writeln!(text, "  {from} -> {to} [label={}];", quoted(&edge.kind.to_string()));
    }
    text.push_str("}\n");
    text
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::super::super::tests::{MINIMAL, flow};

    #[test]
    fn dot_has_every_step_and_every_way() {
        let flow = flow("minimal", MINIMAL);
        let dot = flow.to_dot();
        assert_eq!(dot.matches(" -> ").count(), flow.edges().len());
        assert_eq!(dot.matches("[shape=").count(), flow.steps().len() + 1);
        assert!(dot.contains("\"identify\" -> \"next_question\" [label=\"one\"];"));
    }
}
