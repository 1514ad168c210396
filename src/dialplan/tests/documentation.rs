//! `docs/DIALPLAN.md` says what is so.

use super::operation::{CATALOGUE, Fact, Slot};
use super::*;

const GUIDE: &str = include_str!("../../../docs/DIALPLAN.md");

/// The row of a table that begins with this cell.
fn row(cell: &str) -> &'static str {
    let row = GUIDE.lines().find(|line| line.starts_with(&format!("| {cell}")));
    row.unwrap_or_else(|| panic!("no table has a row for {cell}"))
}

#[test]
fn the_example_is_the_minimal_flow() {
    let (_, without_comment) = MINIMAL.split_once("\n\n").unwrap();
    assert!(GUIDE.contains(&format!("```toml\n{without_comment}```")));
}

#[test]
fn every_operation_is_documented_as_it_is() {
    for spec in CATALOGUE {
        let digits = if spec.needs_digits { "yes" } else { "" };
        let needs: Vec<String> = spec
            .needs
            .iter()
            .map(|fact| match fact {
                Fact::Identified => "identified".to_owned(),
                Fact::Verified => "verified".to_owned(),
                Fact::Filled(slot) => format!("`{{{slot}}}`"),
            })
            .collect();
        let outcomes: Vec<String> = spec
            .outcomes
            .iter()
            .map(|outcome| {
                let slots = outcome.gives.iter().filter_map(|fact| match fact {
                    Fact::Filled(slot) => Some(format!(" `{{{slot}}}`")),
                    _ => None,
                });
                format!(
                    "`{}`{}: {}",
                    outcome.outcome,
                    slots.collect::<String>(),
                    outcome.meaning
                )
            })
            .collect();
        let cell = |text: &str| {
            if text.is_empty() {
                " ".to_owned()
            } else {
                format!(" {text} ")
            }
        };
        let expected = format!(
            "| `{}`: {} |{}|{}|{}|",
            spec.operation,
            spec.summary,
            cell(digits),
            cell(&needs.join(", ")),
            cell(&outcomes.join(" · "))
        );
        assert_eq!(row(&format!("`{}`:", spec.operation)), expected);
    }
}

#[test]
fn every_slot_every_kind_and_every_finding_is_documented() {
    for slot in Slot::ALL {
        row(&format!("`{{{slot}}}`"));
    }
    for kind in StepKind::ALL {
        assert!(GUIDE.contains(&format!("### `{}`:", kind.name())), "{}", kind.name());
    }
    for code in Code::ALL {
        row(&format!("`{}` |", code.name()));
    }
    assert_eq!(
        GUIDE
            .split("## What the checker says")
            .nth(1)
            .unwrap()
            .matches("\n| `")
            .count(),
        Code::ALL.len()
    );
}
