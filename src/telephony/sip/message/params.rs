//! Parameters behind a semicolon: `;name`, `;name=value`, `;name="value"` (RFC 3261 section 25.1, `generic-param`).

use super::lexer::{Cursor, Malformed, is_space, is_token};

/// Parameters of a header value, in their order; checked when made, looked up on demand.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Params<'a>(&'a str);

impl<'a> Params<'a> {
    /// Reads parameters up to a comma or the end of the value.
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let start = cursor.position();
        while cursor.eat_spaced(b';') {
            read_one(cursor)?;
        }
        Ok(Self(cursor.since(start)))
    }

    /// The value of `name` (`Some("")` for a parameter without one), quotes kept. Names ignore case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.iter()
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    }

    /// Whether `name` is there, with or without a value.
    #[must_use]
    pub fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Names and values in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut cursor = Cursor::new(self.0);
        std::iter::from_fn(move || cursor.eat_spaced(b';').then(|| read_one(&mut cursor).ok()).flatten())
    }

    /// The parameters as they came, with their semicolons and spaces.
    pub(super) fn text(&self) -> &'a str {
        self.0
    }
}

fn read_one<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, &'a str), Malformed> {
    let name = cursor.take_while(|byte| is_token(byte) || b"[]/:&+$".contains(&byte));
    if name.is_empty() {
        return Err(Malformed("parameter name"));
    }
    if !cursor.eat_spaced(b'=') {
        return Ok((name, ""));
    }
    if cursor.peek() == Some(b'"') {
        return Ok((name, cursor.quoted("parameter value")?));
    }
    let value = cursor.take_while(|byte| !is_space(byte) && !b";,\"<>".contains(&byte));
    if value.is_empty() {
        return Err(Malformed("parameter value"));
    }
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Params<'_>, Malformed> {
        Params::read(&mut Cursor::new(text))
    }

    #[test]
    fn spaces_and_folds_around_separators_are_allowed() {
        let params = read(" ; tag\r\n  = 98asjd8 ;lr; x=\"a;b\" ").expect("valid");
        assert_eq!(params.get("TAG"), Some("98asjd8"));
        assert_eq!(params.get("lr"), Some(""));
        assert_eq!(params.get("x"), Some("\"a;b\""));
        assert_eq!(params.get("y"), None);
    }

    #[test]
    fn empty_parameters_are_malformed() {
        assert!(read(";;").is_err());
        assert!(read(";a=").is_err());
        assert!(read(";a=\"b").is_err());
    }
}
