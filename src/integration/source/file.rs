//! A file of comma-separated values (RFC 4180), one person a line, the columns named by the first line.
//!
//! It is read whole each time: a file does not say what has changed in it.

use std::collections::HashSet;
use std::fs::File;
use std::path::PathBuf;
use std::pin::Pin;

use csv::{ReaderBuilder, StringRecord, Trim};
use tokio::sync::mpsc;

use super::{Answer, Broken, MAX_KEY, Piece, Reading, Record, Source, SourceError, Which, key_problem, problem};
use crate::secret::Secret;

/// Lines in one piece.
const PIECE: usize = 200;

/// Which file, and how it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeopleFileConfig {
    /// The source's name.
    pub name: String,
    /// The file, in UTF-8.
    pub path: PathBuf,
    /// What stands between two columns; one ASCII character.
    pub separator: u8,
    /// What stands between several values in one column, if there ever are several.
    pub values_separator: Option<char>,
    /// The column that tells people apart and never changes.
    pub entry: String,
    /// The column by which others name them, as their manager for one; `entry` if there is none.
    pub place: Option<String>,
    /// Column and value of those who are left out, as if their line were not there.
    pub disabled: Option<(String, String)>,
}

/// See the module.
#[derive(Debug)]
pub struct PeopleFile(PeopleFileConfig);

impl PeopleFile {
    /// Nothing is read yet.
    #[must_use]
    pub fn new(config: PeopleFileConfig) -> Self {
        Self(config)
    }
}

impl Source for PeopleFile {
    fn name(&self) -> &str {
        &self.0.name
    }

    fn open<'a>(&'a self, attributes: &'a [String]) -> Answer<'a, Box<dyn Reading + 'a>> {
        let opened: Box<dyn Reading + 'a> = Box::new(Lines {
            config: &self.0,
            attributes,
        });
        Box::pin(std::future::ready(Ok(opened)))
    }
}

struct Lines<'a> {
    config: &'a PeopleFileConfig,
    attributes: &'a [String],
}

impl Reading for Lines<'_> {
    fn goes_on_from(&self, _position: &str) -> bool {
        false
    }

    fn read<'a>(&'a mut self, which: Which<'a>, out: &'a mpsc::Sender<Piece>) -> Answer<'a, ()> {
        let (config, attributes, out) = (self.config.clone(), self.attributes.to_vec(), out.clone());
        let these = match which {
            Which::These(entries) => Some(entries.iter().cloned().collect()),
            _ => None,
        };
        Box::pin(async move {
            let name = config.name.clone();
            let reading = tokio::task::spawn_blocking(move || read(&config, &attributes, these.as_ref(), &out));
            reading
                .await
                .map_err(|_| problem(&name, "the reading was broken off"))?
        })
    }

    fn reached(&self) -> Option<String> {
        None
    }

    fn close<'a>(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>
    where
        Self: 'a,
    {
        Box::pin(std::future::ready(()))
    }
}

/// Where the columns are.
struct Columns {
    entry: usize,
    place: usize,
    disabled: Option<(usize, String)>,
    attributes: Vec<usize>,
    values_separator: Option<char>,
}

impl Columns {
    fn find(config: &PeopleFileConfig, attributes: &[String], header: &StringRecord) -> Result<Self, Vec<String>> {
        let mut missing = Vec::new();
        let mut position = |column: &String| {
            let found = header.iter().position(|name| name.eq_ignore_ascii_case(column));
            found.unwrap_or_else(|| {
                if !missing.contains(column) {
                    missing.push(column.clone());
                }
                0
            })
        };
        let columns = Self {
            entry: position(&config.entry),
            place: position(config.place.as_ref().unwrap_or(&config.entry)),
            disabled: config
                .disabled
                .as_ref()
                .map(|(column, value)| (position(column), value.clone())),
            attributes: attributes.iter().map(&mut position).collect(),
            values_separator: config.values_separator,
        };
        if missing.is_empty() { Ok(columns) } else { Err(missing) }
    }

    /// The person of a line; `None` if it is one that is left out.
    fn record(&self, line: u64, record: &StringRecord) -> Option<Result<Record, Broken>> {
        let value = |column: usize| record.get(column).unwrap_or_default();
        if let Some((column, disabled)) = &self.disabled
            && value(*column).eq_ignore_ascii_case(disabled)
        {
            return None;
        }
        if record.iter().all(str::is_empty) {
            return None;
        }
        let broken = |problem: String| {
            let place = format!("line {line}");
            Some(Err(Broken { place, problem }))
        };
        // A quote that nobody closes takes all that follows for one value.
        if record.iter().any(|value| value.contains(['\n', '\r'])) {
            return broken("a value goes over several lines: is there a quote too many?".to_owned());
        }
        // Logins are the same in whatever case.
        let entry = value(self.entry).to_lowercase();
        if let Some(problem) = key_problem(&entry) {
            return broken(problem);
        }
        let values = |column: &usize| {
            let value = value(*column);
            let several: Vec<&str> = match self.values_separator {
                Some(separator) => value.split(separator).collect(),
                None => vec![value],
            };
            let several = several.into_iter().map(str::trim).filter(|value| !value.is_empty());
            several.map(|value| Secret::new(value.to_owned())).collect()
        };
        Some(Ok(Record {
            place: match value(self.place) {
                "" => entry.clone(),
                place => place.chars().filter(|c| !c.is_control()).take(MAX_KEY / 4).collect(),
            },
            entry,
            values: self.attributes.iter().map(values).collect(),
        }))
    }
}

fn read(
    config: &PeopleFileConfig,
    attributes: &[String],
    these: Option<&HashSet<String>>,
    out: &mpsc::Sender<Piece>,
) -> Result<(), SourceError> {
    let failed = |what: String| problem(&config.name, format!("{}: {what}", config.path.display()));
    // Reading from a pipe would wait for whoever writes.
    let is_other = std::fs::metadata(&config.path).is_ok_and(|data| !data.is_file());
    if is_other {
        return Err(failed("is no file".to_owned()));
    }
    let file = File::open(&config.path).map_err(|error| failed(format!("cannot be read: {error}")))?;
    let mut reader = ReaderBuilder::new()
        .delimiter(config.separator)
        .trim(Trim::All)
        .from_reader(file);
    let header = reader.headers().map_err(|error| failed(broken(&error)))?.clone();
    let columns = Columns::find(config, attributes, &header).map_err(|missing| {
        let named: Vec<&str> = header.iter().collect();
        failed(format!(
            "its first line names no column {}; it names {}",
            missing.join(", "),
            named.join(", ")
        ))
    })?;
    let mut piece = Piece::with_capacity(PIECE);
    let mut record = StringRecord::new();
    loop {
        match reader.read_record(&mut record) {
            Ok(false) => break,
            Ok(true) => {
                let line = record.position().map_or(0, csv::Position::line);
                let read = columns.record(line, &record);
                let is_wanted = |read: &Result<Record, Broken>| match (read, these) {
                    (Ok(record), Some(these)) => these.contains(&record.entry),
                    _ => true,
                };
                piece.extend(read.filter(is_wanted));
            }
            Err(error) if error.is_io_error() => return Err(failed(broken(&error))),
            Err(error) => piece.push(Err(Broken {
                place: format!("line {}", error.position().map_or(0, csv::Position::line)),
                problem: broken(&error),
            })),
        }
        if piece.len() >= PIECE && out.blocking_send(std::mem::take(&mut piece)).is_err() {
            return Ok(());
        }
    }
    // Nobody may want it any more.
    let _ = out.blocking_send(piece);
    Ok(())
}

/// The words of the reader, without the values.
fn broken(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the line has {len} columns, the first line {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "the line is not UTF-8".to_owned(),
        csv::ErrorKind::Io(error) => format!("cannot be read: {error}"),
        _ => "cannot be read".to_owned(),
    }
}
