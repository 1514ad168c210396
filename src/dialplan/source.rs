//! The text of a flow file, and where in it something stands.

use std::sync::Arc;

/// A piece of the file, in bytes; `end` is exclusive.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl From<std::ops::Range<usize>> for Span {
    fn from(range: std::ops::Range<usize>) -> Self {
        Self {
            start: range.start,
            end: range.end,
        }
    }
}

/// A value and where it was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) span: Span,
}

impl<T> At<T> {
    pub(super) fn new(value: T, span: impl Into<Span>) -> Self {
        Self {
            value,
            span: span.into(),
        }
    }
}

/// A file that was read: its name as people know it, and its text.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) file: Arc<str>,
    pub(super) text: Arc<str>,
}

/// A place for people: line and column from 1 (column in characters), the text of the line, and how much to underline.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) width: usize,
    pub(super) line_text: String,
}

impl Source {
    pub(super) fn new(file: &str, text: &str) -> Self {
        Self {
            file: file.into(),
            text: text.into(),
        }
    }

    /// Where `span` begins; it is cut at the end of its first line.
    pub(super) fn place(&self, span: Span) -> Place {
        let start = self.floor(span.start);
        let line_start = self.text[..start].rfind('\n').map_or(0, |newline| newline + 1);
        let line_end = self.text[start..]
            .find('\n')
            .map_or(self.text.len(), |newline| start + newline);
        let end = self.floor(span.end.clamp(start, line_end));
        Place {
            line: self.text[..line_start].matches('\n').count() + 1,
            column: self.text[line_start..start].chars().count() + 1,
            width: self.text[start..end.max(start)].chars().count().max(1),
            line_text: self.text[line_start..line_end].trim_end_matches('\r').to_owned(),
        }
    }

    /// The nearest character boundary at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        let mut offset = offset.min(self.text.len());
        while !self.text.is_char_boundary(offset) {
            offset -= 1;
        }
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_count_characters_from_one() {
        let source = Source::new("f", "a = 1\nüb = \"x\"\n");
        let start = source.text.find('"').unwrap();
        assert_eq!(
            source.place(Span { start, end: start + 3 }),
            Place {
                line: 2,
                column: 6,
                width: 3,
                line_text: "üb = \"x\"".into()
            }
        );
    }

    #[test]
    fn any_span_is_safe() {
        let source = Source::new("f", "ü\nz");
        for start in 0..9 {
            for end in 0..9 {
                let place = source.place(Span { start, end });
                assert!(place.line >= 1 && place.column >= 1 && place.width >= 1);
            }
        }
    }
}
