//! `[[target]]`: where passwords live.

use crate::checked_toml::Table;
use crate::integration::target::embedded::Rules;

/// One target system.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    /// Its name; accounts refer to it.
    pub name: String,
    /// How callers hear it, as text; the name if nothing else is given.
    pub label: String,
    /// A prompt that says its name instead, if there is such a prompt.
    pub prompt: String,
    /// What kind of system it is.
    pub kind: TargetKind,
}

/// Kinds of target systems, each with what it needs.
#[derive(Clone, Debug)]
pub enum TargetKind {
    /// A directory in a file of Passline's own.
    Embedded(Rules),
}

const KINDS: &str = "the kind of system: \"embedded\"";

pub(super) fn read(root: &mut Table<'_, '_>) -> Vec<TargetConfig> {
    if !root.is_present("target") {
        root.mistake(
            "target",
            "missing; give at least one system where passwords live, written as [[target]]",
        );
        return Vec::new();
    }
    let mut targets: Vec<TargetConfig> = Vec::new();
    for mut table in root.tables("target") {
        if let Some(target) = one(&mut table) {
            if targets.iter().any(|earlier| earlier.name == target.name) {
                table.mistake(
                    "name",
                    format!(
                        "{:?} is the name of another target already; names are unique",
                        target.name
                    ),
                );
            } else {
                targets.push(target);
            }
        }
        table.finish();
    }
    targets
}

fn one(table: &mut Table<'_, '_>) -> Option<TargetConfig> {
    let name: Option<String> = table.required("name", "a name for accounts to refer to, such as \"directory\"");
    let kind: Option<String> = table.required("kind", KINDS);
    let label = table.optional("label");
    let prompt = table.optional("prompt");
    let kind = match kind?.as_str() {
        "embedded" => TargetKind::Embedded(embedded(table)),
        other => {
            table.mistake("kind", format!("{other:?} is not known; give {KINDS}"));
            return None;
        }
    };
    let name = name?;
    if name.is_empty() || name.len() > 64 || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        table.mistake("name", "must be 1 to 64 letters, digits, '-', '_' or '.'");
        return None;
    }
    Some(TargetConfig {
        label: label.unwrap_or_else(|| name.clone()),
        prompt: prompt.unwrap_or_else(|| format!("system.{}", name.replace(['-', '.'], "_"))),
        name,
        kind,
    })
}

fn embedded(table: &mut Table<'_, '_>) -> Rules {
    let mut rules = Rules::default();
    let policy = &mut rules.policy;
    policy.min_length = table.number("min_length", policy.min_length, 1..=128);
    policy.max_length = table.number("max_length", policy.max_length, 1..=128);
    policy.min_classes = table.number("min_classes", policy.min_classes, 1..=4);
    if let Err(error) = policy.validate() {
        table.mistake("min_length", error.to_string());
    }
    rules.lock_after = table.number("lock_after", rules.lock_after, 1..=1_000);
    rules
}
