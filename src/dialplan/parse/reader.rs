//! Reads the keys of one TOML table and reports what is missing, unknown or of the wrong type.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::digit::Digit;

use super::super::model::PlayItem;
use super::super::name::PromptId;
use super::super::operation::Slot;
use super::super::report::{Code, Findings, did_you_mean, listed};
use super::super::source::{At, Span};

/// One table that is being read. [`Reader::finish`] reports the keys that nobody asked for.
pub(super) struct Reader<'t, 'f> {
    pub(super) findings: &'f mut Findings,
    entries: BTreeMap<&'t str, (Span, &'t Spanned<DeValue<'t>>)>,
    asked: Vec<&'static str>,
    /// Where a missing key would belong, for people: `[steps.greeting]`.
    place: String,
    /// What to point at when a key is missing.
    pub(super) span: Span,
}

impl<'t, 'f> Reader<'t, 'f> {
    pub(super) fn new(table: &'t DeTable<'t>, place: String, span: Span, findings: &'f mut Findings) -> Self {
        let entries = table
            .iter()
            .map(|(key, value)| (key.get_ref().as_ref(), (key.span().into(), value)))
            .collect();
        Self {
            findings,
            entries,
            asked: Vec::new(),
            place,
            span,
        }
    }

    pub(super) fn finish(self) {
        for (key, (span, _)) in &self.entries {
            let remedy = did_you_mean(key, self.asked.iter().copied(), || {
                format!("{} takes {}", self.place, listed(self.asked.iter().copied()))
            });
            self.findings
                .error(Code::UnknownKey, *span, format!("`{key}` is not known here"), remedy);
        }
    }

    pub(super) fn missing(&mut self, key: &str, example: &str) {
        let message = format!("`{key}` is missing in {}", self.place);
        self.findings
            .error(Code::MissingKey, self.span, message, format!("add `{example}`"));
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// A text, which may be absent.
    pub(super) fn text(&mut self, key: &'static str) -> Option<At<String>> {
        let value = self.take(key)?;
        match value.get_ref().as_str() {
            Some(text) => Some(At::new(text.to_owned(), value.span())),
            None => self.wrong_type(value, "a text in quotes"),
        }
    }

    /// A text that has to be there.
    pub(super) fn required_text(&mut self, key: &'static str, example: &str) -> Option<At<String>> {
        if !self.has(key) {
            self.missing(key, example);
        }
        self.text(key)
    }

    pub(super) fn flag(&mut self, key: &'static str) -> Option<bool> {
        let value = self.take(key)?;
        value
            .get_ref()
            .as_bool()
            .or_else(|| self.wrong_type(value, "`true` or `false`"))
    }

    pub(super) fn number(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<At<u32>> {
        let value = self.take(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            return self.wrong_type(value, "a whole number");
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix()).ok();
        match number.filter(|number| range.contains(number)) {
            Some(number) => Some(At::new(number, value.span())),
            None => self.bad_value(
                value.span(),
                format!("`{key}` cannot be {}", integer.as_str()),
                format!("use a number from {} to {}", range.start(), range.end()),
            ),
        }
    }

    /// A duration such as `"5s"`, `"500ms"` or `"2m"`.
    pub(super) fn duration(&mut self, key: &'static str, range: RangeInclusive<Duration>) -> Option<Duration> {
        let value = self.take(key)?;
        let Some(text) = value.get_ref().as_str() else {
            return self.wrong_type(value, "a duration in quotes such as \"5s\"");
        };
        match parse_duration(text).filter(|duration| range.contains(duration)) {
            Some(duration) => Some(duration),
            None => self.bad_value(
                value.span(),
                format!("`{key}` cannot be \"{text}\""),
                format!(
                    "write a number and `ms`, `s` or `m`, from \"{}\" to \"{}\"",
                    written_duration(*range.start()),
                    written_duration(*range.end())
                ),
            ),
        }
    }

    /// A key of the keypad, or `"none"`.
    pub(super) fn keypad_key(&mut self, key: &'static str) -> Option<At<Option<Digit>>> {
        let text = self.text(key)?;
        if text.value == "none" {
            return Some(At::new(None, text.span));
        }
        match parse_key(&text.value) {
            Some(digit) => Some(At::new(Some(digit), text.span)),
            None => self.bad_value(
                text.span,
                format!("\"{}\" is not a key", text.value),
                "use one of 0 to 9, `*` or `#`, or \"none\" for no key".to_owned(),
            ),
        }
    }

    /// What is spoken: one prompt or slot, or a list of them.
    pub(super) fn items(&mut self, key: &'static str) -> Option<Vec<At<PlayItem>>> {
        let value = self.take(key)?;
        Some(self.items_of(value))
    }

    /// Reprompts: one for each time; each is one prompt or slot, or a list of them.
    pub(super) fn item_lists(&mut self, key: &'static str) -> Option<Vec<At<Vec<At<PlayItem>>>>> {
        let value = self.take(key)?;
        let entries: Vec<_> = match value.get_ref().as_array() {
            Some(array) => array.iter().collect(),
            None => vec![value],
        };
        Some(
            entries
                .into_iter()
                .map(|entry| At::new(self.items_of(entry), entry.span()))
                .collect(),
        )
    }

    /// A table inside this one; `read` gets its reader.
    pub(super) fn table<R>(&mut self, key: &'static str, read: impl FnOnce(&mut Reader<'t, '_>) -> R) -> Option<R> {
        let key_span = self.entries.get(key).map(|(span, _)| *span);
        let value = self.take(key)?;
        let Some(table) = value.get_ref().as_table() else {
            return self.wrong_type(value, "a table");
        };
        let place = format!("{}.{key}]", self.place.trim_end_matches(']'));
        let mut reader = Reader::new(table, place, key_span.unwrap_or(self.span), self.findings);
        let result = read(&mut reader);
        reader.finish();
        Some(result)
    }

    /// A table whose keys are free (`keys`, `outcomes`, `steps`), in the order of the file.
    pub(super) fn entries(&mut self, key: &'static str) -> Vec<(At<&'t str>, &'t Spanned<DeValue<'t>>)> {
        let Some(value) = self.take(key) else { return Vec::new() };
        let Some(table) = value.get_ref().as_table() else {
            self.wrong_type::<()>(value, "a table");
            return Vec::new();
        };
        let mut entries: Vec<_> = table
            .iter()
            .map(|(key, value)| (At::new(key.get_ref().as_ref(), key.span()), value))
            .collect();
        entries.sort_by_key(|(key, _)| key.span.start);
        entries
    }

    /// Like [`Self::entries`], where each key leads to a step.
    pub(super) fn targets(&mut self, key: &'static str) -> Vec<(At<String>, At<String>)> {
        let mut targets = Vec::new();
        for (word, value) in self.entries(key) {
            match value.get_ref().as_str() {
                Some(step) => {
                    targets.push((
                        At::new(word.value.to_owned(), word.span),
                        At::new(step.to_owned(), value.span()),
                    ));
                }
                None => {
                    self.wrong_type::<()>(value, "the name of a step in quotes");
                }
            }
        }
        targets
    }

    pub(super) fn wrong_type<T>(&mut self, value: &Spanned<DeValue<'_>>, wanted: &str) -> Option<T> {
        let message = format!("this is {}, but {wanted} is needed", kind_of(value.get_ref()));
        self.findings
            .error(Code::WrongType, value.span().into(), message, format!("write {wanted}"));
        None
    }

    pub(super) fn bad_value<T>(&mut self, span: impl Into<Span>, message: String, remedy: String) -> Option<T> {
        self.findings.error(Code::BadValue, span.into(), message, remedy);
        None
    }

    fn take(&mut self, key: &'static str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.asked.push(key);
        self.entries.remove(key).map(|(_, value)| value)
    }

    fn items_of(&mut self, value: &Spanned<DeValue<'_>>) -> Vec<At<PlayItem>> {
        match value.get_ref() {
            DeValue::Array(array) => array.iter().filter_map(|entry| self.item(entry)).collect(),
            _ => self.item(value).into_iter().collect(),
        }
    }

    fn item(&mut self, value: &Spanned<DeValue<'_>>) -> Option<At<PlayItem>> {
        let Some(text) = value.get_ref().as_str() else {
            return self.wrong_type(value, "a prompt id or a `{slot}` in quotes");
        };
        if let Some(word) = text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            return self.slot(word, value.span().into());
        }
        match PromptId::parse(text) {
            Some(id) => Some(At::new(PlayItem::Prompt(id), value.span())),
            None => self.bad_value(
                value.span(),
                format!("`{text}` is not the id of a prompt"),
                "prompt ids are small words joined by a dot, such as \"identify.ask\"; slots stand in braces, such as \"{question}\""
                    .to_owned(),
            ),
        }
    }

    fn slot(&mut self, word: &str, span: Span) -> Option<At<PlayItem>> {
        if let Some(slot) = Slot::parse(word) {
            return Some(At::new(PlayItem::Slot(slot), span));
        }
        let known = || Slot::ALL.iter().map(|slot| slot.name());
        let remedy = did_you_mean(word, known(), || format!("slots are {}", listed(known())));
        self.findings
            .error(Code::UnknownSlot, span, format!("there is no slot `{word}`"), remedy);
        None
    }
}

/// One key of the keypad.
pub(super) fn parse_key(text: &str) -> Option<Digit> {
    let mut chars = text.chars();
    let key = Digit::from_char(chars.next()?)?;
    chars.next().is_none().then_some(key)
}

fn kind_of(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a text",
        DeValue::Integer(_) | DeValue::Float(_) => "a number",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    }
}

fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    match unit.trim_start() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        _ => None,
    }
}

/// A duration as flow files write it.
fn written_duration(duration: Duration) -> String {
    let millis = duration.as_millis();
    match (millis % 60_000, millis % 1_000) {
        (0, _) => format!("{}m", millis / 60_000),
        (_, 0) => format!("{}s", millis / 1_000),
        _ => format!("{millis}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_a_number_and_a_unit() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("5 s"), Some(Duration::from_secs(5)));
        assert_eq!(parse_duration("2m"), Some(Duration::from_secs(120)));
        for bad in [
            "",
            "5",
            "s",
            "5h",
            "-5s",
            "1.5s",
            "99999999999999999999s",
            "18446744073709551615m",
        ] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
        assert_eq!(written_duration(Duration::from_millis(1_500)), "1500ms");
        assert_eq!(written_duration(Duration::from_secs(120)), "2m");
    }
}
