//! Placeholders for statements about many rows. One statement for all costs a small part of one for each: a statement is
//! handed to the thread of its connection and back, which is dearer than most of what it does there.

use std::fmt::Write as _;

/// Rows in one statement; more go into several of the same text, which is prepared once. Not more: SQLite takes `$1` for a
/// name and looks each up among all the others.
pub(super) const ROWS: usize = 32;

/// Whether a statement about so many rows comes often enough to be kept prepared.
pub(super) fn is_kept(rows: usize) -> bool {
    rows == 1 || rows == ROWS
}

/// `($1, $2), ($3, $4), ...`: the values of `rows` rows of `columns` columns.
pub(super) fn rows(rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * columns * 6);
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        list(&mut text, row * columns + 1, columns);
        text.push(')');
    }
    text
}

/// `$from, $from+1, ...`: `count` values, for `in (...)`.
pub(super) fn values(from: usize, count: usize) -> String {
    let mut text = String::with_capacity(count * 6);
    list(&mut text, from, count);
    text
}

fn list(text: &mut String, from: usize, count: usize) {
    for number in from..from + count {
        let comma = if number == from { "" } else { ", " };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}${number}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_count_on_from_row_to_row() {
        assert_eq!(rows(1, 1), "($1)");
        assert_eq!(rows(2, 3), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(values(3, 2), "$3, $4");
    }
}
