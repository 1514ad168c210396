//! From text to a [`Flow`] that can run, or to a report that says why not.
//!
//! In this order: the shape of the file ([`super::parse`]), names and outcomes ([`ways`]), prompts, then what only
//! the whole graph tells: steps nobody reaches, loops nobody leaves ([`loops`]), slots and digits that are missing on
//! some path ([`facts`]). A mistake in one part does not hide mistakes in another.

mod facts;
mod loops;
mod lower;
mod ways;

use std::collections::{BTreeMap, BTreeSet};

use super::draft::{BodyDraft, Draft};
use super::model::{Flow, PlayItem};
use super::name::PromptId;
use super::parse::parse;
use super::report::{Code, Findings, Report, did_you_mean, listed};
use super::source::Source;

use ways::Ways;

/// A flow that passed, and what is probably not meant in it.
#[derive(Debug)]
pub struct Loaded {
    /// The flow.
    pub flow: Flow,
    /// Warnings only.
    pub report: Report,
}

/// Reads and checks a flow. `file` is its path as people know it; the flow is named after it (`dialplans/reset.toml`
/// is `reset`).
///
/// # Errors
/// The report has at least one error; it holds every mistake that was found, not only the first.
pub fn load(file: &str, text: &str, prompts: &PromptIndex) -> Result<Loaded, Report> {
    let source = Source::new(file, text);
    let mut findings = Findings::new(source.clone());
    let draft = parse(&source, &mut findings);
    let ways = Ways::of(&draft, &mut findings);
    loops::check(&draft, &ways, &mut findings);
    facts::check(&draft, &ways, &mut findings);
    check_language(&draft, prompts, &mut findings);
    check_prompts(&draft, prompts, &mut findings);
    let report = findings.into_report();
    if report.has_errors() {
        return Err(report);
    }
    match lower::lower(&source, &draft, &ways) {
        Some(flow) => Ok(Loaded { flow, report }),
        None => Err(report),
    }
}

/// Which prompts exist in which language.
#[derive(Clone, Debug, Default)]
pub struct PromptIndex(BTreeMap<String, BTreeSet<PromptId>>);

impl PromptIndex {
    /// No language, no prompt.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the prompts of a language.
    #[must_use]
    pub fn with(mut self, language: &str, prompts: impl IntoIterator<Item = PromptId>) -> Self {
        self.0.entry(language.to_owned()).or_default().extend(prompts);
        self
    }

    /// The languages that lack a prompt.
    fn lacking(&self, prompt: &PromptId) -> Vec<&str> {
        self.0
            .iter()
            .filter(|(_, prompts)| !prompts.contains(prompt))
            .map(|(language, _)| language.as_str())
            .collect()
    }

    fn known(&self) -> impl Iterator<Item = &str> {
        self.0.values().flatten().map(PromptId::as_str)
    }
}

fn check_language(draft: &Draft, prompts: &PromptIndex, findings: &mut Findings) {
    let language = &draft.language;
    // A file that could not be read has none, and a report already.
    if language.value.is_empty() || prompts.0.contains_key(&language.value) {
        return;
    }
    let message = format!(
        "there are no prompts in `{}`, the language that calls begin in",
        language.value
    );
    let known = listed(prompts.0.keys().map(String::as_str));
    let remedy = format!(
        "set `language` to one that has prompts ({known}), or add the folder prompts/{}",
        language.value
    );
    findings.error(Code::UnknownLanguage, language.span, message, remedy);
}

/// Every prompt has to be there in every language: the caller may switch.
fn check_prompts(draft: &Draft, prompts: &PromptIndex, findings: &mut Findings) {
    for step in &draft.steps {
        findings.in_step(Some(step.name.value.as_str()));
        for item in step.body.iter().flat_map(BodyDraft::spoken) {
            let PlayItem::Prompt(id) = &item.value else { continue };
            let lacking = prompts.lacking(id);
            if lacking.is_empty() && !prompts.0.is_empty() {
                continue;
            }
            let message = if lacking.len() == prompts.0.len() {
                format!("there is no prompt `{id}`")
            } else {
                format!("the prompt `{id}` is missing in {}", listed(lacking))
            };
            let known = prompts.known().filter(|known| *known != id.as_str());
            let remedy = did_you_mean(id.as_str(), known, || {
                "add its text to prompts.toml of each language and render it".to_owned()
            });
            findings.error(Code::UnknownPrompt, item.span, message, remedy);
        }
    }
    findings.in_step(None);
}

#[cfg(test)]
mod tests;
