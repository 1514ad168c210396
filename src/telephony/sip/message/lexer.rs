//! Scanning of header values: tokens, quoted strings, white space that may be folded (RFC 3261 section 25.1).

use thiserror::Error;

/// A header value that does not follow its grammar.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("malformed {0}")]
pub struct Malformed(
    /// The element, in the words of the grammar.
    pub &'static str,
);

/// Whether `byte` may stand in a token.
pub(super) fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-.!%*_+`'~".contains(&byte)
}

/// Linear white space; line breaks of a folded field count, no others can be inside a value.
pub(super) fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

/// Trims white space, folded or not.
pub(super) fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\r', '\n'])
}

/// A position in a header value.
#[derive(Clone, Copy)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, position: 0 }
    }

    pub(super) fn position(&self) -> usize {
        self.position
    }

    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.position..]
    }

    pub(super) fn since(&self, start: usize) -> &'a str {
        &self.text[start..self.position]
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.position).copied()
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.position == self.text.len()
    }

    /// Skips over `wanted` if it comes next.
    pub(super) fn eat(&mut self, wanted: u8) -> bool {
        debug_assert!(wanted.is_ascii(), "positions stay on character boundaries");
        let found = self.peek() == Some(wanted);
        self.position += usize::from(found);
        found
    }

    /// Skips white space, `wanted`, white space; stays where it is when `wanted` does not come.
    pub(super) fn eat_spaced(&mut self, wanted: u8) -> bool {
        let before = self.position;
        self.skip_space();
        if !self.eat(wanted) {
            self.position = before;
            return false;
        }
        self.skip_space();
        true
    }

    pub(super) fn skip_space(&mut self) {
        self.take_while(is_space);
    }

    /// The longest run of bytes that `accept`s. Bytes of a multi-byte character must be accepted all or none.
    pub(super) fn take_while(&mut self, accept: impl Fn(u8) -> bool) -> &'a str {
        let start = self.position;
        let length = self.rest().bytes().take_while(|&byte| accept(byte)).count();
        self.position += length;
        self.since(start)
    }

    pub(super) fn token(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        let token = self.take_while(is_token);
        if token.is_empty() {
            Err(Malformed(what))
        } else {
            Ok(token)
        }
    }

    /// A quoted string with its quotes; the cursor stands on the opening one.
    pub(super) fn quoted(&mut self, what: &'static str) -> Result<&'a str, Malformed> {
        let start = self.position;
        if !self.eat(b'"') {
            return Err(Malformed(what));
        }
        let mut escaped = false;
        for (index, byte) in self.rest().bytes().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.position += index + 1;
                    return Ok(self.since(start));
                }
                _ => {}
            }
        }
        Err(Malformed(what))
    }
}

/// The text inside a quoted string, escapes resolved; text without quotes is returned as it is.
pub(super) fn unquote(text: &str) -> String {
    let Some(inner) = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => plain.extend(characters.next()),
            other => plain.push(other),
        }
    }
    plain
}

/// Splits a list at its commas, quoted strings and angle brackets kept whole; empty elements are left out.
pub(super) fn split_list(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        loop {
            let text = rest?;
            let (element, after) = split_at_comma(text);
            rest = after;
            if !trim(element).is_empty() {
                return Some(trim(element));
            }
        }
    })
}

fn split_at_comma(text: &str) -> (&str, Option<&str>) {
    let (mut quoted, mut escaped, mut bracketed) = (false, false, false);
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'<' if !quoted => bracketed = true,
            b'>' if !quoted => bracketed = false,
            b',' if !quoted && !bracketed => return (&text[..index], Some(&text[index + 1..])),
            _ => {}
        }
    }
    (text, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_strings_end_at_the_first_unescaped_quote() {
        let mut cursor = Cursor::new(r#""a \" b\\" tail"#);
        assert_eq!(cursor.quoted("text"), Ok(r#""a \" b\\""#));
        assert_eq!(cursor.rest(), " tail");
        assert_eq!(unquote(r#""a \" b\\""#), r#"a " b\"#);
        assert!(Cursor::new(r#""never ends \""#).quoted("text").is_err());
    }

    #[test]
    fn lists_split_at_commas_outside_quotes_and_brackets() {
        let parts: Vec<_> = split_list(r#" "a,b" <sip:x,y@z> , , c"#).collect();
        assert_eq!(parts, [r#""a,b" <sip:x,y@z>"#, "c"]);
    }
}
