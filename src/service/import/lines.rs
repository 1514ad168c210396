//! Reading the file, on a thread that may block, into a channel with a bound.

use std::io::Read;

use csv::{ReaderBuilder, StringRecord, Trim};
use tokio::sync::mpsc;

use super::{Mistake, mistake};

/// A line of the file.
pub(super) enum Line {
    /// A record and the line it begins in; the first one is the header.
    Record(u64, StringRecord),
    /// No record.
    Broken(Mistake),
}

/// Reads lines until the file or the receiver ends.
pub(super) fn read_lines<R: Read>(reader: R, sender: &mpsc::Sender<Line>) {
    let mut reader = ReaderBuilder::new()
        .trim(Trim::All)
        .has_headers(false)
        .from_reader(reader);
    let mut record = StringRecord::new();
    loop {
        let line = match reader.read_record(&mut record) {
            Ok(false) => return,
            Ok(true) => Line::Record(record.position().map_or(0, csv::Position::line), record.clone()),
            Err(error) => {
                let line = error.position().map_or(0, csv::Position::line);
                let fatal = error.is_io_error();
                let broken = Line::Broken(mistake(line, None, &broken(&error)));
                if sender.blocking_send(broken).is_err() || fatal {
                    return;
                }
                continue;
            }
        };
        if sender.blocking_send(line).is_err() {
            return;
        }
    }
}

/// The words of the CSV reader, without the values.
fn broken(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("the line has {len} fields, the header {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "the line is not UTF-8".to_owned(),
        csv::ErrorKind::Io(error) => format!("the file cannot be read: {error}"),
        _ => "the line cannot be read".to_owned(),
    }
}
