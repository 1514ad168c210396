//! `[[question]]`: what callers may be asked.

use std::collections::BTreeMap;

use crate::checked_toml::Table;
use crate::identity::answer::AnswerFormat;
use crate::identity::question::{Channel, Channels, Origin};
use crate::language::Language;
use crate::service::NewQuestion;

/// The longest text that an engine is asked to say.
const MAX_TEXT: usize = 300;

/// The questions of a house that speaks `language`.
pub(super) fn read(root: &mut Table<'_, '_>, language: &Language) -> Vec<NewQuestion> {
    let mut questions: Vec<NewQuestion> = Vec::new();
    if !root.is_present("question") {
        return questions;
    }
    for mut table in root.tables("question") {
        if let Some(question) = one(&mut table, language) {
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

fn one(table: &mut Table<'_, '_>, language: &Language) -> Option<NewQuestion> {
    let text: Option<String> = table.required("text", "what the caller is asked");
    let translations = translations(table, language);
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
    if !is_sayable(&text) {
        table.mistake("text", format!("must have 1 to {MAX_TEXT} characters"));
        return None;
    }
    Some(NewQuestion {
        text,
        language: Some(language.clone()),
        translations,
        prompt,
        channels: parsed.into_iter().collect::<Channels>(),
        format: format?,
        origin: Origin::Shared,
    })
}

/// What is asked in other languages than that of the house.
fn translations(table: &mut Table<'_, '_>, house: &Language) -> BTreeMap<Language, String> {
    let mut translations: BTreeMap<Language, String> = BTreeMap::new();
    for (tag, text) in table.or("translations", BTreeMap::<String, String>::new()) {
        let mistake = |what: String| table.mistake("translations", format!("{tag:?} {what}"));
        let Ok(language) = tag.parse::<Language>() else {
            mistake("is not a language tag such as \"de-DE\"".to_owned());
            continue;
        };
        if language.is_same(house) {
            mistake("is the language of the house, which `text` is in; leave it out".to_owned());
        } else if let Some(earlier) = translations.keys().find(|earlier| language.is_same(earlier)) {
            mistake(format!("is the same language as \"{earlier}\"; leave one of them out"));
        } else if is_sayable(&text) {
            translations.insert(language, text);
        } else {
            mistake(format!("must have a text of 1 to {MAX_TEXT} characters"));
        }
    }
    translations
}

fn is_sayable(text: &str) -> bool {
    !text.trim().is_empty() && text.chars().count() <= MAX_TEXT
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checked_toml::{Document, Mistakes};

    /// The questions of a house that speaks American English, and what is wrong with them.
    fn questions(text: &str) -> (Vec<NewQuestion>, Vec<String>) {
        let mistakes = Mistakes::default();
        let document = Document::parse("passline.toml".as_ref(), text, &mistakes);
        let questions = read(&mut document.root(&mistakes), &"en-US".parse().unwrap());
        (
            questions,
            mistakes.into_list().iter().map(ToString::to_string).collect(),
        )
    }

    fn with_translations(translations: &str) -> (Vec<NewQuestion>, Vec<String>) {
        questions(&format!(
            "[[question]]\ntext = \"When?\"\nanswer = \"digits 4-4\"\ntranslations = {translations}\n"
        ))
    }

    #[test]
    fn a_question_has_texts_in_several_languages() {
        let (questions, mistakes) = with_translations("{ \"de-DE\" = \"Wann?\", en-GB = \"When, pray?\" }");
        assert_eq!(mistakes, [""; 0]);
        let texts: Vec<_> = questions[0]
            .translations
            .iter()
            .map(|(language, text)| (language.as_str(), text.as_str()))
            .collect();
        assert_eq!(texts, [("de-DE", "Wann?"), ("en-GB", "When, pray?")]);
        assert_eq!(questions[0].language.as_ref().map(Language::as_str), Some("en-US"));
    }

    #[test]
    fn each_wrong_translation_is_told_with_its_remedy() {
        let longest = "x".repeat(MAX_TEXT);
        for (translations, told) in [
            (
                "{ de_DE = \"Wann?\" }".to_owned(),
                "\"de_DE\" is not a language tag such as \"de-DE\"".to_owned(),
            ),
            (
                "{ en-us = \"When?\" }".to_owned(),
                "\"en-us\" is the language of the house, which `text` is in; leave it out".to_owned(),
            ),
            (
                "{ de-DE = \"Wann?\", de-de = \"Wann?\" }".to_owned(),
                "\"de-de\" is the same language as \"de-DE\"; leave one of them out".to_owned(),
            ),
            (
                "{ de = \" \" }".to_owned(),
                "\"de\" must have a text of 1 to 300 characters".to_owned(),
            ),
            (
                format!("{{ de = \"{longest}\", fr = \"{longest}x\" }}"),
                "\"fr\" must have a text of 1 to 300 characters".to_owned(),
            ),
            (
                "{ de = 4 }".to_owned(),
                "invalid type: integer `4`, expected a string".to_owned(),
            ),
        ] {
            let (_, mistakes) = with_translations(&translations);
            assert_eq!(mistakes, [format!("passline.toml:4: question[0].translations: {told}")]);
        }
    }
}
