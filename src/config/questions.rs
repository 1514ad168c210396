//! `[[question]]`: what callers may be asked.

use crate::checked_toml::Table;
use crate::identity::answer::AnswerFormat;
use crate::identity::question::{Channel, Channels, Origin};
use crate::service::NewQuestion;

/// The longest text that an engine is asked to say.
const MAX_TEXT: usize = 300;

pub(super) fn read(root: &mut Table<'_, '_>) -> Vec<NewQuestion> {
    let mut questions: Vec<NewQuestion> = Vec::new();
    if !root.is_present("question") {
        return questions;
    }
    for mut table in root.tables("question") {
        if let Some(question) = one(&mut table) {
            if questions.iter().any(|earlier| earlier.text == question.text) {
                table.mistake("text", "is that of another question already");
            } else {
                questions.push(question);
            }
        }
        table.finish();
    }
    questions
}

fn one(table: &mut Table<'_, '_>) -> Option<NewQuestion> {
    let text: Option<String> = table.required("text", "what the caller is asked");
    let prompt = table.optional("prompt");
    let format = table.required::<String>("answer", "\"digits 4-8\", \"date MMDD\" or \"spelled 3-20\"");
    let channels = table.or("channels", vec!["phone".to_owned()]);
    let format = format.and_then(|format| match format.parse::<AnswerFormat>() {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            table.mistake("answer", format!("{format:?}: {error}"));
            None
        }
    });
    let mut parsed: Vec<Channel> = Vec::new();
    for channel in channels {
        match channel.parse() {
            Ok(channel) => parsed.push(channel),
            Err(_) => table.mistake(
                "channels",
                format!("{channel:?} is not a channel; give phone, assisted or self_service"),
            ),
        }
    }
    let text = text?;
    if text.trim().is_empty() || text.chars().count() > MAX_TEXT {
        table.mistake("text", format!("must have 1 to {MAX_TEXT} characters"));
        return None;
    }
    Some(NewQuestion {
        text,
        prompt,
        channels: parsed.into_iter().collect::<Channels>(),
        format: format?,
        origin: Origin::Shared,
    })
}
