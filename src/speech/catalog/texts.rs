//! `prompts.toml`: what each prompt says. The source that recordings are made from.
//!
//! ```toml
//! [system]
//! mail = { text = "Mail" }
//! vpn = { text = "VPN", say = "V P N" }     # id system.vpn; `say` is for the speech engine only
//! ```
//!
//! A table with a `text` is a prompt, its id the keys on the way to it joined by dots; so `["system.mail"]` is as good.

use std::collections::BTreeMap;
use std::path::Path;

use toml::{Table, Value};

use super::Finding;

/// Longest prompt id, in bytes.
const MAX_ID_BYTES: usize = 64;

/// One prompt in a language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PromptText {
    /// What the caller hears.
    pub text: String,
    /// The same, spelled for the engine.
    pub say: Option<String>,
}

impl PromptText {
    /// What the engine is given.
    #[must_use]
    pub fn spoken(&self) -> &str {
        self.say.as_deref().unwrap_or(&self.text)
    }
}

/// The prompts of a `prompts.toml`; what is wrong goes to `findings`, the rest is used.
pub fn parse(source: &str, file: &Path, findings: &mut Vec<Finding>) -> BTreeMap<String, PromptText> {
    let mut prompts = BTreeMap::new();
    match source.parse::<Table>() {
        Ok(table) => collect(&table, "", file, &mut prompts, findings),
        Err(error) => findings.push(Finding::error(
            file,
            None,
            error.to_string().trim().replace('\n', " "),
            "correct the TOML at this place",
        )),
    }
    prompts
}

fn collect(
    table: &Table,
    prefix: &str,
    file: &Path,
    prompts: &mut BTreeMap<String, PromptText>,
    findings: &mut Vec<Finding>,
) {
    for (key, value) in table {
        let id = if prefix.is_empty() {
            key.clone()
        } else {
            format!("{prefix}.{key}")
        };
        let Value::Table(inner) = value else {
            findings.push(Finding::error(
                file,
                Some(&id),
                "not a prompt",
                "write { text = \"...\" }, the only other key is say",
            ));
            continue;
        };
        if !inner.contains_key("text") {
            if inner.is_empty() || inner.values().any(Value::is_table) {
                collect(inner, &id, file, prompts, findings);
            } else {
                findings.push(Finding::error(file, Some(&id), "no text", "add text = \"...\""));
            }
            continue;
        }
        match prompt(inner) {
            _ if !is_prompt_id(&id) => findings.push(Finding::error(
                file,
                Some(&id),
                "not a prompt id",
                "use two or more words of small letters, digits and _ joined by dots: area.what",
            )),
            Ok(prompt) => {
                if prompts.insert(id.clone(), prompt).is_some() {
                    findings.push(Finding::error(file, Some(&id), "written twice", "remove one of them"));
                }
            }
            Err(problem) => findings.push(Finding::error(
                file,
                Some(&id),
                problem,
                "only text and say are known, both are text",
            )),
        }
    }
}

fn prompt(table: &Table) -> Result<PromptText, String> {
    if let Some(unknown) = table.keys().find(|key| !["text", "say"].contains(&key.as_str())) {
        return Err(format!("unknown key {unknown:?}"));
    }
    let string = |key: &str| match table.get(key) {
        None => Ok(None),
        Some(Value::String(text)) if !text.trim().is_empty() => Ok(Some(text.clone())),
        Some(_) => Err(format!("{key} is empty or not a text")),
    };
    Ok(PromptText {
        text: string("text")?.unwrap_or_default(),
        say: string("say")?,
    })
}

/// Whether `id` is `<area>.<what>`: two or more words joined by dots. It becomes a path, so nothing else is let through.
#[must_use]
pub fn is_prompt_id(id: &str) -> bool {
    let is_word = |word: &str| {
        !word.is_empty()
            && word
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
    };
    id.len() <= MAX_ID_BYTES && id.contains('.') && id.split('.').all(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(source: &str) -> (BTreeMap<String, PromptText>, Vec<String>) {
        let mut findings = Vec::new();
        let prompts = parse(source, Path::new("prompts.toml"), &mut findings);
        (prompts, findings.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn ids_are_the_path_to_the_text_however_it_is_written() {
        let (prompts, findings) = read(
            r#"
            [spell.upper]
            b = { text = "Capital B, as in Bravo." }
            ["greeting.welcome"]
            text = "Welcome."
            [system.vpn]
            text = "VPN"
            say = "V P N"
            "#,
        );
        assert!(findings.is_empty(), "{findings:?}");
        assert_eq!(
            prompts.keys().collect::<Vec<_>>(),
            ["greeting.welcome", "spell.upper.b", "system.vpn"]
        );
        assert_eq!(prompts["system.vpn"].spoken(), "V P N");
        assert_eq!(prompts["greeting.welcome"].spoken(), "Welcome.");
    }

    #[test]
    fn every_mistake_is_told_and_the_rest_is_used() {
        let (prompts, findings) = read(
            r#"
            [a]
            good = { text = "Good." }
            empty = { text = " " }
            number = { text = 5 }
            extra = { text = "x", voice = "y" }
            bare = "text"
            say_only = { say = "x" }
            "../evil" = { text = "x" }
            [lonely]
            text = "id without an area"
            "#,
        );
        assert_eq!(prompts.keys().collect::<Vec<_>>(), ["a.good"]);
        assert_eq!(findings.len(), 7, "{findings:#?}");
        let about = |key: &str| {
            findings
                .iter()
                .any(|f| f.starts_with(&format!("prompts.toml: {key}: ")))
        };
        for key in [
            "a.empty",
            "a.number",
            "a.extra",
            "a.bare",
            "a.say_only",
            "a.../evil",
            "lonely",
        ] {
            assert!(about(key), "{key}: {findings:#?}");
        }
    }

    #[test]
    fn the_same_id_in_two_ways_of_writing_is_a_mistake() {
        let (_, findings) = read("[a]\nb = { text = \"x\" }\n[\"a.b\"]\ntext = \"y\"\n");
        assert!(findings[0].contains("written twice"), "{findings:?}");
    }

    #[test]
    fn broken_toml_is_one_finding() {
        let (prompts, findings) = read("[a\nb = 1");
        assert!(prompts.is_empty());
        assert_eq!(findings.len(), 1);
    }
}
