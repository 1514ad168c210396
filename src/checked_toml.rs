//! TOML files that people write: every mistake at once, each with file, line, key and remedy.
//!
//! `serde` stops at the first mistake and cannot say where a missing key belongs. A [`Table`] is read key by key
//! instead; what is wrong is noted in a shared [`Mistakes`] list and the reader goes on with a default. Keys that
//! nobody asked for are mistakes as well, with the nearest known key as a suggestion.
//!
//! ```
//! use passline::checked_toml::{Document, Mistakes};
//!
//! let mistakes = Mistakes::default();
//! let document = Document::parse("trunk.toml".as_ref(), "nmae = 'pbx'\nmax_calls = 'many'", &mistakes);
//! let mut table = document.root(&mistakes);
//! let name: Option<String> = table.required("name", "a short name for logs, such as \"pbx\"");
//! let max_calls: u32 = table.optional("max_calls").unwrap_or(100);
//! table.finish();
//! assert_eq!((name, max_calls), (None, 100));
//! assert_eq!(
//!     mistakes.into_list().iter().map(ToString::to_string).collect::<Vec<_>>(),
//!     [
//!         "trunk.toml:1: name: missing; give a short name for logs, such as \"pbx\"",
//!         "trunk.toml:1: nmae: unknown key; did you mean \"name\"?",
//!         "trunk.toml:2: max_calls: invalid type: string \"many\", expected u32",
//!     ]
//! );
//! ```

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::secret::Secret;

/// One thing that is wrong in a file, told so that a person can mend it.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mistake {
    /// The file as it was named by whoever asked to read it.
    pub file: PathBuf,
    /// Line in the file, counted from 1; `None` for the file as a whole.
    pub line: Option<usize>,
    /// Dotted key, such as `sip.listen`; empty for the file as a whole.
    pub key: String,
    /// What is wrong and what to do about it.
    pub message: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// The mistakes found so far; shared by all readers of one check.
#[derive(Debug, Default)]
pub struct Mistakes {
    list: RefCell<Vec<Mistake>>,
    /// Every key that a reader asked for, so that tests can hold documents to it.
    #[cfg(test)]
    asked: RefCell<BTreeSet<String>>,
}

impl Mistakes {
    /// Notes a mistake.
    pub fn note(&self, mistake: Mistake) {
        self.list.borrow_mut().push(mistake);
    }

    /// Notes a mistake of a file as a whole, such as one that cannot be read.
    pub fn note_file(&self, file: &Path, message: impl Into<String>) {
        self.note(Mistake {
            file: file.to_owned(),
            line: None,
            key: String::new(),
            message: message.into(),
        });
    }

    /// Whether nothing was wrong.
    pub fn is_empty(&self) -> bool {
        self.list.borrow().is_empty()
    }

    /// All mistakes by file and line.
    pub fn into_list(self) -> Vec<Mistake> {
        let mut list = self.list.into_inner();
        list.sort_by(|a, b| (&a.file, a.line, &a.key).cmp(&(&b.file, b.line, &b.key)));
        list
    }

    /// Dotted keys that a reader asked for, there or not; items of lists have no number.
    #[cfg(test)]
    pub(crate) fn asked(&self) -> BTreeSet<String> {
        self.asked.borrow().clone()
    }

    #[cfg(test)]
    fn note_asked(&self, dotted: &str) {
        let is_number = |part: &&str| part.chars().all(|c| c.is_ascii_digit());
        let parts: Vec<&str> = dotted.split(['[', ']']).filter(|part| !is_number(part)).collect();
        self.asked.borrow_mut().insert(parts.concat());
    }
}

/// A parsed file.
pub struct Document<'i> {
    file: PathBuf,
    text: &'i str,
    root: Spanned<DeTable<'i>>,
}

impl<'i> Document<'i> {
    /// Parses `text`; syntax errors are noted and what could be understood is kept.
    pub fn parse(file: &Path, text: &'i str, mistakes: &Mistakes) -> Self {
        let (root, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            mistakes.note(Mistake {
                file: file.to_owned(),
                line: error.span().map(|span| line_of(text, span.start)),
                key: String::new(),
                message: format!("not valid TOML: {}", error.message().replace('\n', ", ")),
            });
        }
        Self {
            file: file.to_owned(),
            text,
            root,
        }
    }

    /// The table of the whole file.
    pub fn root<'d>(&'d self, mistakes: &'d Mistakes) -> Table<'d, 'i> {
        Table {
            document: self,
            mistakes,
            path: String::new(),
            line: 1,
            entries: Some(self.root.get_ref()),
            known: BTreeSet::new(),
        }
    }
}

/// One table of a file, read key by key and then [finished](Table::finish).
pub struct Table<'d, 'i> {
    document: &'d Document<'i>,
    mistakes: &'d Mistakes,
    path: String,
    line: usize,
    entries: Option<&'d DeTable<'i>>,
    known: BTreeSet<&'static str>,
}

impl<'d, 'i> Table<'d, 'i> {
    /// A value that must be there. `what` completes the sentence "give ...".
    pub fn required<T: DeserializeOwned>(&mut self, key: &'static str, what: &str) -> Option<T> {
        if self.is_present(key) {
            return self.optional(key);
        }
        self.mistake(key, format!("missing; give {what}"));
        None
    }

    /// A value that may be left out; `None` also when it is wrong, which is then noted.
    pub fn optional<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<T> {
        let value = self.entry(key)?;
        match T::deserialize(ValueDeserializer::from(value.clone())) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.mistake(key, error.message().trim().replace('\n', ", "));
                None
            }
        }
    }

    /// A secret that must be there; what is wrong with it is told without the value.
    pub fn secret(&mut self, key: &'static str, what: &str) -> Option<Secret> {
        match self.entry(key).map(|value| value.get_ref().as_str()) {
            Some(Some(text)) => Some(Secret::new(text.to_owned())),
            Some(None) => {
                self.mistake(key, "must be a text in quotes");
                None
            }
            None => self.required(key, what),
        }
    }

    /// A value with a default.
    pub fn or<T: DeserializeOwned>(&mut self, key: &'static str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// A text that is parsed by [`FromStr`], such as an address or a CIDR network.
    pub fn parsed<T: FromStr>(&mut self, key: &'static str, what: &str) -> Option<T> {
        let text: String = self.optional(key)?;
        let parsed = text.parse().ok();
        if parsed.is_none() {
            self.mistake(key, format!("{text:?} is not {what}"));
        }
        parsed
    }

    /// A list of texts, each parsed by [`FromStr`]; wrong ones are noted and left out.
    pub fn parsed_list<T: FromStr>(&mut self, key: &'static str, what: &str) -> Option<Vec<T>> {
        let texts: Vec<String> = self.optional(key)?;
        let mut list = Vec::with_capacity(texts.len());
        for text in texts {
            match text.parse() {
                Ok(parsed) => list.push(parsed),
                Err(_) => self.mistake(key, format!("{text:?} is not {what}")),
            }
        }
        Some(list)
    }

    /// A duration written as `"250ms"`, `"30s"`, `"10m"` or `"2h"`, within `range`.
    pub fn duration(
        &mut self,
        key: &'static str,
        default: Duration,
        range: std::ops::RangeInclusive<Duration>,
    ) -> Duration {
        let Some(text) = self.optional::<String>(key) else {
            return default;
        };
        match duration(&text) {
            Some(value) if range.contains(&value) => value,
            Some(_) => {
                self.mistake(
                    key,
                    format!(
                        "{text:?} is out of range; give {:?} to {:?}",
                        range.start(),
                        range.end()
                    ),
                );
                default
            }
            None => {
                self.mistake(
                    key,
                    format!("{text:?} is not a duration; write it as \"250ms\", \"30s\", \"10m\" or \"2h\""),
                );
                default
            }
        }
    }

    /// A whole number within `range`.
    pub fn number<T>(&mut self, key: &'static str, default: T, range: std::ops::RangeInclusive<T>) -> T
    where
        T: DeserializeOwned + PartialOrd + fmt::Display,
    {
        match self.optional::<T>(key) {
            Some(value) if !range.contains(&value) => {
                self.mistake(
                    key,
                    format!("{value} is out of range; give {} to {}", range.start(), range.end()),
                );
                default
            }
            Some(value) => value,
            None => default,
        }
    }

    /// A table below this one; an empty one if it is not there.
    pub fn table(&mut self, key: &'static str) -> Table<'d, 'i> {
        let (entries, line) = match self.entry(key).map(|value| (value.get_ref(), value.span().start)) {
            Some((DeValue::Table(table), start)) => (Some(table), line_of(self.document.text, start)),
            Some(_) => {
                self.mistake(key, format!("must be a table, written as [{}]", self.dotted(key)));
                (None, self.line)
            }
            None => (None, self.line),
        };
        Table {
            document: self.document,
            mistakes: self.mistakes,
            path: self.dotted(key),
            line,
            entries,
            known: BTreeSet::new(),
        }
    }

    /// The tables of an array `[[key]]`, in the order of the file.
    pub fn tables(&mut self, key: &'static str) -> Vec<Table<'d, 'i>> {
        let Some(value) = self.entry(key) else {
            return Vec::new();
        };
        let items = match value.get_ref() {
            DeValue::Array(items) => items.iter().map(|item| (item.get_ref(), item.span().start)).collect(),
            _ => Vec::new(),
        };
        if items.is_empty() || items.iter().any(|(item, _)| !item.is_table()) {
            self.mistake(
                key,
                format!("must be a list of tables, each written as [[{}]]", self.dotted(key)),
            );
        }
        let table = |(index, (item, start)): (usize, (&'d DeValue<'i>, usize))| Table {
            document: self.document,
            mistakes: self.mistakes,
            path: format!("{}[{index}]", self.dotted(key)),
            line: line_of(self.document.text, start),
            entries: item.as_table(),
            known: BTreeSet::new(),
        };
        items.into_iter().enumerate().map(table).collect()
    }

    /// Whether the key is in the file.
    pub fn is_present(&mut self, key: &'static str) -> bool {
        self.entry(key).is_some()
    }

    /// Notes a mistake at `key`, at its line if it is in the file.
    pub fn mistake(&self, key: &str, message: impl Into<String>) {
        let at_key = self
            .entries
            .and_then(|entries| entries.iter().find(|(name, _)| name.get_ref() == key));
        let line = at_key.map_or(self.line, |(name, _)| line_of(self.document.text, name.span().start));
        self.mistakes.note(Mistake {
            file: self.document.file.clone(),
            line: Some(line),
            key: self.dotted(key),
            message: message.into(),
        });
    }

    /// Notes each key that nobody asked for.
    pub fn finish(self) {
        let Some(entries) = self.entries else { return };
        for name in entries.keys().map(Spanned::get_ref) {
            if self.known.contains(name.as_ref()) {
                continue;
            }
            let remedy = match nearest(name, &self.known) {
                Some(known) => format!("did you mean {known:?}?"),
                None => format!(
                    "known here: {}",
                    self.known.iter().copied().collect::<Vec<_>>().join(", ")
                ),
            };
            self.mistake(name, format!("unknown key; {remedy}"));
        }
    }

    fn entry(&mut self, key: &'static str) -> Option<&'d Spanned<DeValue<'i>>> {
        self.known.insert(key);
        #[cfg(test)]
        self.mistakes.note_asked(&self.dotted(key));
        self.entries?
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(_, value)| value)
    }

    fn dotted(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }
}

/// Parses `"250ms"`, `"30s"`, `"10m"` or `"2h"`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    match unit.trim() {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => number.checked_mul(60).map(Duration::from_secs),
        "h" => number.checked_mul(3_600).map(Duration::from_secs),
        _ => None,
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|&byte| byte == b'\n').count()
}

/// The known word that is one or two typing mistakes away.
fn nearest<'k>(word: &str, known: &BTreeSet<&'k str>) -> Option<&'k str> {
    known
        .iter()
        .map(|candidate| (edit_distance(word, candidate), *candidate))
        .filter(|&(distance, candidate)| distance <= 2 && distance < candidate.len())
        .min()
        .map(|(_, candidate)| candidate)
}

/// Optimal string alignment distance: insertions, deletions, substitutions and swaps of neighbours.
fn edit_distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().take(64).collect(), b.chars().take(64).collect());
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let mut best = (last[j] + 1)
                .min(row[j - 1] + 1)
                .min(last[j - 1] + usize::from(a[i - 1] != b[j - 1]));
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(before[j - 2] + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes_of(text: &str, read: impl Fn(&mut Table<'_, '_>)) -> Vec<String> {
        let mistakes = Mistakes::default();
        let document = Document::parse("f.toml".as_ref(), text, &mistakes);
        let mut root = document.root(&mistakes);
        read(&mut root);
        root.finish();
        mistakes.into_list().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn all_mistakes_are_told_at_once_with_their_lines() {
        let text = "[a]\nx = 1\nb = '10 minutes'\n[[list]]\nport = 70000\n[[list]]\nprot = 5\n";
        let found = mistakes_of(text, |root| {
            let mut a = root.table("a");
            let second = Duration::from_secs(1);
            assert_eq!(a.duration("b", second, second..=second * 60), second);
            a.finish();
            for mut item in root.tables("list") {
                assert_eq!(item.number("port", 5060_u32, 1..=65_535), 5060);
                item.finish();
            }
        });
        assert_eq!(
            found,
            [
                "f.toml:2: a.x: unknown key; known here: b",
                "f.toml:3: a.b: \"10 minutes\" is not a duration; write it as \"250ms\", \"30s\", \"10m\" or \"2h\"",
                "f.toml:5: list[0].port: 70000 is out of range; give 1 to 65535",
                "f.toml:7: list[1].prot: unknown key; did you mean \"port\"?",
            ]
        );
    }

    #[test]
    fn a_syntax_error_has_its_line_and_does_not_hide_the_rest() {
        let found = mistakes_of("good = 1\nbad = = 2\nother = 3\n", |root| {
            assert_eq!(root.optional::<u8>("good"), Some(1));
        });
        assert!(
            found.iter().any(|line| line.starts_with("f.toml:2: not valid TOML")),
            "{found:?}"
        );
        assert!(
            found
                .iter()
                .any(|line| line.starts_with("f.toml:3: other: unknown key")),
            "{found:?}"
        );
    }

    #[test]
    fn wrong_shapes_are_named() {
        let found = mistakes_of("a = 1\nlist = 2\n", |root| {
            root.table("a").finish();
            assert!(root.tables("list").is_empty());
        });
        assert_eq!(
            found,
            [
                "f.toml:1: a: must be a table, written as [a]",
                "f.toml:2: list: must be a list of tables, each written as [[list]]",
            ]
        );
    }

    #[test]
    fn a_secret_of_the_wrong_type_is_not_repeated() {
        let found = mistakes_of("password = 4711\n", |root| {
            assert!(root.secret("password", "a password").is_none())
        });
        assert_eq!(found, ["f.toml:1: password: must be a text in quotes"]);
    }

    #[test]
    fn durations_have_units() {
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("2h"), Some(Duration::from_secs(7_200)));
        assert_eq!(duration("30"), None);
        assert_eq!(duration("-3s"), None);
        assert_eq!(duration("99999999999999999999h"), None);
    }

    #[test]
    fn neighbours_swapped_count_as_one_mistake() {
        assert_eq!(edit_distance("prot", "port"), 1);
        assert_eq!(edit_distance("listen", "listen"), 0);
        assert_eq!(edit_distance("", "abc"), 3);
    }
}
