//! The only place that prints.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};

/// A line for the person or script that asked. A reader that went away (`passline ... | head`) is not an error.
pub(super) fn line(text: impl Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A line beside the result: progress, hints, warnings.
pub(super) fn note(text: impl Display) {
    let _ = writeln!(std::io::stderr().lock(), "{text}");
}

/// "no mistakes", "1 mistake", "2 mistakes".
pub(super) fn counted(count: usize, noun: &str) -> String {
    match count {
        0 => format!("no {noun}s"),
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}

/// An error with its causes, in plain words.
pub(super) fn error(error: &anyhow::Error) {
    note(format_args!("passline: {error:#}"));
}

/// One value as JSON on a line.
pub(super) fn json(value: &impl serde::Serialize) -> anyhow::Result<()> {
    line(serde_json::to_string(value)?);
    Ok(())
}

/// Bytes as they are, such as a picture.
pub(super) fn bytes(bytes: &[u8]) -> anyhow::Result<()> {
    std::io::stdout().lock().write_all(bytes)?;
    Ok(())
}

/// Progress of long work, on one line of a terminal; nothing where no person watches.
pub(super) fn progress(text: impl Display) {
    if std::io::stderr().is_terminal() {
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K{text}");
    }
}

/// Ends a line of progress.
pub(super) fn progress_done() {
    if std::io::stderr().is_terminal() {
        let _ = writeln!(std::io::stderr().lock());
    }
}

/// Text as a table: columns padded to the widest cell.
pub(super) fn table(header: &[&str], rows: &[Vec<String>]) {
    let width = |column: usize| {
        let cells = rows
            .iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        cells.chain([header[column].chars().count()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let render = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        padded.join("  ").trim_end().to_owned()
    };
    line(render(&mut header.iter().copied()));
    for row in rows {
        line(render(&mut row.iter().map(String::as_str)));
    }
}

/// Wipes the terminal before a list is shown again; nothing in a file or pipe.
pub(super) fn clear_screen() {
    if std::io::stdout().is_terminal() {
        let _ = write!(std::io::stdout().lock(), "\x1b[2J\x1b[H");
    }
}

/// Text that brings its own line ends.
pub(super) fn text(text: impl Display) {
    let _ = write!(std::io::stdout().lock(), "{text}");
}

/// Asks for a line; what is typed stays on the same one.
pub(super) fn prompt(text: impl Display) {
    let mut out = std::io::stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}
