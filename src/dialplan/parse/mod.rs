//! TOML text to [`Draft`]: the shape of the file, with every mistake reported and nothing given up early.
//!
//! Names are not looked up here; that is [`super::check`].

mod reader;
mod step;

use std::time::Duration;

use toml::de::DeTable;

use super::draft::{Draft, LimitsDraft};
use super::name::StepName;
use super::report::{Code, Findings};
use super::source::{At, Source, Span};

use reader::Reader;
use step::Defaults;

/// Flows are written by people; a larger file is not a flow.
const MAX_FILE_BYTES: usize = 256 * 1024;

/// More steps than a person can follow; bounds checking and drawing.
const MAX_STEPS: usize = 400;

/// Longest title, in characters.
const MAX_TITLE_CHARS: usize = 120;

/// Reads the whole file. What could not be read is left out of the draft and stands in `findings`.
pub(super) fn parse(source: &Source, findings: &mut Findings) -> Draft {
    let too_large = source.text.len() > MAX_FILE_BYTES;
    let text = if too_large {
        let message = format!("this file is larger than {} KiB", MAX_FILE_BYTES / 1024);
        findings.error(
            Code::TooLarge,
            Span::default(),
            message,
            "split the flow into several files",
        );
        ""
    } else {
        &source.text
    };
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let span = error.span().map(Span::from).unwrap_or_default();
        let remedy = "this is about the form of TOML files: quotes, brackets, equal signs, no name twice";
        findings.error(Code::Syntax, span, first_line(error.message()), remedy);
    }
    if too_large || !errors.is_empty() {
        // What a half-read file lacks is not worth telling.
        return Draft::unreadable();
    }
    let mut reader = Reader::new(document.get_ref(), "the file".to_owned(), Span::default(), findings);
    let draft = file(&mut reader);
    reader.finish();
    draft
}

impl Draft {
    fn unreadable() -> Self {
        let limits = LimitsDraft {
            max_steps: 0,
            max_duration: Duration::ZERO,
            then: None,
        };
        Self {
            title: None,
            language: At::new(String::new(), Span::default()),
            start: None,
            limits,
            steps: Vec::new(),
        }
    }
}

fn first_line(message: &str) -> String {
    message.lines().collect::<Vec<_>>().join(", ")
}

fn file(reader: &mut Reader<'_, '_>) -> Draft {
    let title = title(reader);
    let language = language(reader);
    let start = reader.required_text("start", "start = \"greeting\"");
    let limits = reader.table("limits", limits);
    if limits.is_none() {
        reader.missing("limits", "[limits] then = \"call_too_long\"");
    }
    let defaults = reader.table("defaults", Defaults::read).unwrap_or_default();
    Draft {
        title,
        language,
        start,
        limits: limits.unwrap_or(Draft::unreadable().limits),
        steps: steps(reader, &defaults),
    }
}

fn title(reader: &mut Reader<'_, '_>) -> Option<String> {
    let title = reader.text("title")?;
    if title.value.chars().count() > MAX_TITLE_CHARS {
        let remedy = format!("use at most {MAX_TITLE_CHARS} characters");
        return reader.bad_value(title.span, "this title is too long".to_owned(), remedy);
    }
    Some(title.value)
}

fn language(reader: &mut Reader<'_, '_>) -> At<String> {
    let default = At::new("en-US".to_owned(), Span::default());
    let Some(language) = reader.text("language") else {
        return default;
    };
    let tag_like = language
        .value
        .split('-')
        .all(|part| (1..=8).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_alphanumeric()));
    if tag_like && language.value.len() <= 35 {
        return language;
    }
    let message = format!("\"{}\" is not a language tag", language.value);
    reader.bad_value::<()>(
        language.span,
        message,
        "use a tag such as \"en-US\" or \"de\"".to_owned(),
    );
    default
}

fn limits(reader: &mut Reader<'_, '_>) -> LimitsDraft {
    LimitsDraft {
        // A patient caller who asks for many passwords takes about a hundred steps.
        max_steps: reader.number("max_steps", 10..=10_000).map_or(300, |steps| steps.value),
        max_duration: reader
            .duration("max_duration", Duration::from_secs(30)..=Duration::from_secs(7_200))
            .unwrap_or(Duration::from_secs(15 * 60)),
        then: reader.required_text("then", "then = \"call_too_long\""),
    }
}

fn steps(reader: &mut Reader<'_, '_>, defaults: &Defaults) -> Vec<super::draft::StepDraft> {
    let entries = reader.entries("steps");
    if entries.is_empty() {
        reader.missing("steps", "[steps.greeting] kind = \"play\" ...");
    }
    if let Some((name, _)) = entries.get(MAX_STEPS) {
        let message = format!("a flow has at most {MAX_STEPS} steps");
        reader
            .findings
            .error(Code::TooLarge, name.span, message, "split the flow into several files");
    }
    let mut steps = Vec::new();
    for (name, value) in entries.into_iter().take(MAX_STEPS) {
        let Some(step_name) = StepName::parse(name.value) else {
            let message = format!("`{}` cannot be the name of a step", name.value);
            let remedy = "use small letters, digits and `_`, beginning with a letter".to_owned();
            reader.bad_value::<()>(name.span, message, remedy);
            continue;
        };
        reader.findings.in_step(Some(step_name.as_str()));
        if let Some(table) = value.get_ref().as_table() {
            let place = format!("[steps.{step_name}]");
            let mut step = Reader::new(table, place, name.span, reader.findings);
            let draft = step::read(
                &mut step,
                At {
                    value: step_name,
                    span: name.span,
                },
                defaults,
            );
            if draft.body.is_some() {
                step.finish();
            }
            steps.push(draft);
        } else {
            reader.wrong_type::<()>(value, "a table");
        }
        reader.findings.in_step(None);
    }
    steps
}
