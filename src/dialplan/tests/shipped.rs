//! The flows and texts that ship.

use super::*;

/// The texts of all prompts, as they stand in the file.
const PROMPTS: &str = include_str!("../../../prompts/en-US/prompts.toml");

fn prompts() -> Vec<(PromptId, String)> {
    let tables: toml::Table = PROMPTS.parse().unwrap();
    let mut prompts = Vec::new();
    collect("", &tables, &mut prompts);
    prompts
}

fn collect(prefix: &str, table: &toml::Table, prompts: &mut Vec<(PromptId, String)>) {
    for (key, value) in table {
        match (key.as_str(), value) {
            ("text", toml::Value::String(text)) => {
                prompts.push((PromptId::parse(prefix.trim_end_matches('.')).unwrap(), text.clone()));
            }
            ("say", toml::Value::String(_)) => {}
            (_, toml::Value::Table(inner)) => collect(&format!("{prefix}{key}."), inner, prompts),
            _ => panic!("{prefix}{key} is neither a text nor a table"),
        }
    }
}

#[test]
fn every_shipped_flow_passes_without_a_warning() {
    let index = PromptIndex::new().with("en-US", prompts().into_iter().map(|(id, _)| id));
    for (name, text) in SHIPPED {
        match load(&format!("dialplans/{name}.toml"), text, &index) {
            Ok(loaded) => assert!(loaded.report.is_empty(), "{}", loaded.report),
            Err(report) => panic!("{report}"),
        }
    }
}

/// Areas whose prompts the program puts together by itself, from what it finds out.
const PUT_TOGETHER: [&str; 8] = [
    "digit", "press", "number", "spell", "phrase", "state", "outcome", "error",
];

/// Whether some flow names the prompt.
fn is_named(id: &PromptId) -> bool {
    let quoted = format!("\"{id}\"");
    SHIPPED.iter().any(|(_, text)| text.contains(&quoted))
}

#[test]
fn every_prompt_is_spoken_by_some_flow() {
    for (id, text) in prompts() {
        let area = id.as_str().split('.').next().unwrap();
        // Names of systems and questions about people are data: a configuration names them.
        let is_data = (area == "system" && !text.ends_with('.')) || (area == "question" && text.contains('?'));
        assert!(
            PUT_TOGETHER.contains(&area) || is_data || is_named(&id),
            "{id} is spoken by no flow"
        );
    }
}

/// The key is named last, so that it is still in the ear when the finger moves.
#[test]
fn a_choice_names_its_key_last() {
    for (id, text) in prompts().into_iter().filter(|(id, _)| is_named(id)) {
        for sentence in text.split(". ").filter(|sentence| sentence.contains("press ")) {
            let starts_with_key = sentence.starts_with("Press ") || sentence.starts_with("press ");
            assert!(!starts_with_key, "{id}: {sentence}");
        }
        assert!(
            text.ends_with(['.', '?']) || id.as_str() == "system.chosen",
            "{id}: {text}"
        );
        assert!(
            text.len() <= 230,
            "{id} is too long for one breath: {} characters",
            text.len()
        );
    }
}

/// Menus say every key that they take, and no other.
#[test]
fn menus_say_the_keys_that_they_take() {
    let texts: std::collections::BTreeMap<_, _> = prompts().into_iter().collect();
    for (name, text) in SHIPPED {
        let flow = flow(name, text);
        for step in flow.steps().iter().filter(|step| step.kind() == StepKind::Menu) {
            let super::super::model::Action::Menu(menu) = &step.action else {
                unreachable!()
            };
            let said: String = menu
                .question
                .say
                .items
                .iter()
                .filter_map(|item| match item {
                    PlayItem::Prompt(id) => texts.get(id).cloned(),
                    PlayItem::Slot(_) => None,
                })
                .collect();
            let spoken: Vec<char> = said
                .split("press ")
                .skip(1)
                .filter_map(|after| after.chars().next())
                .collect();
            let keys: Vec<char> = menu.keys.keys().map(|key| key.as_char()).collect();
            assert_eq!(spoken, keys, "{name}, step {}", step.name());
        }
    }
}

/// An unknown number must not be told from a known one by the way the call takes: only outcomes of `identify` could
/// do that, and its catalogue has none for "unknown".
#[test]
fn no_outcome_tells_an_unknown_caller_from_a_known_one() {
    let outcomes: Vec<_> = operation::Operation::Identify
        .spec()
        .outcomes
        .iter()
        .map(|o| o.outcome.name())
        .collect();
    assert_eq!(outcomes, ["one", "several", "refused"]);
}

/// `docs/DIALPLAN.md` shows this picture.
#[test]
fn the_picture_in_the_documentation_is_the_minimal_flow() {
    let drawn = flow("minimal", MINIMAL).to_svg();
    let shown = include_str!("../../../docs/minimal-flow.svg");
    assert!(
        drawn == shown,
        "run: passline dialplan graph dialplans/minimal.toml > docs/minimal-flow.svg"
    );
}
