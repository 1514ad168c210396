//! Name and address: From, To, Contact, Route, Record-Route, P-Asserted-Identity (RFC 3261 section 20.10).

use super::lexer::{Cursor, Malformed, is_space, trim, unquote};
use super::params::Params;
use super::uri::Uri;

/// One `"Display" <uri>;params` or `uri;params`, borrowed from the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NameAddr<'a> {
    text: &'a str,
    display: &'a str,
    uri: Uri<'a>,
    params: Params<'a>,
}

impl<'a> NameAddr<'a> {
    /// Parses a header value that holds exactly one.
    ///
    /// # Errors
    /// [`Malformed`] names the element that breaks the grammar.
    pub fn parse(value: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(value);
        let address = Self::read(&mut cursor)?;
        cursor.skip_space();
        if cursor.is_at_end() {
            Ok(address)
        } else {
            Err(Malformed("address"))
        }
    }

    fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        cursor.skip_space();
        let start = cursor.position();
        let display = if cursor.peek() == Some(b'"') {
            cursor.quoted("display name")?
        } else {
            let plain = cursor.take_while(|byte| !b"<>,\";".contains(&byte));
            if cursor.peek() != Some(b'<') {
                return Self::read_bare(cursor, start, plain);
            }
            trim(plain)
        };
        cursor.skip_space();
        if !cursor.eat(b'<') {
            return Err(Malformed("address"));
        }
        let uri = cursor.take_while(|byte| byte != b'>');
        if !cursor.eat(b'>') {
            return Err(Malformed("address"));
        }
        let uri = Uri::parse(uri)?;
        let params = Params::read(cursor)?;
        Ok(Self {
            text: cursor.since(start),
            display,
            uri,
            params,
        })
    }

    /// Without brackets, parameters belong to the header; a question mark would be ambiguous.
    fn read_bare(cursor: &mut Cursor<'a>, start: usize, uri: &'a str) -> Result<Self, Malformed> {
        let uri = Uri::parse(trim(uri))?;
        if uri.headers().is_some() {
            return Err(Malformed("address"));
        }
        let params = Params::read(cursor)?;
        Ok(Self {
            text: cursor.since(start),
            display: "",
            uri,
            params,
        })
    }

    /// The value as it came.
    #[must_use]
    pub fn as_str(&self) -> &'a str {
        self.text.trim_end_matches(|c: char| c.is_ascii() && is_space(c as u8))
    }

    /// The display name, quotes and escapes resolved; empty if there is none.
    #[must_use]
    pub fn display_name(&self) -> String {
        unquote(self.display)
    }

    /// The address.
    #[must_use]
    pub fn uri(&self) -> Uri<'a> {
        self.uri
    }

    /// The parameters of the header (not those of the URI).
    #[must_use]
    pub fn params(&self) -> Params<'a> {
        self.params
    }

    /// The `tag` parameter.
    #[must_use]
    pub fn tag(&self) -> Option<&'a str> {
        self.params.get("tag").filter(|tag| !tag.is_empty())
    }
}

/// The addresses of a comma-separated field, in order.
pub struct NameAddrs<'a> {
    cursor: Cursor<'a>,
    failed: bool,
}

impl<'a> NameAddrs<'a> {
    /// The addresses in one field.
    #[must_use]
    pub fn new(value: &'a str) -> Self {
        Self {
            cursor: Cursor::new(value),
            failed: false,
        }
    }
}

impl<'a> Iterator for NameAddrs<'a> {
    type Item = Result<NameAddr<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed || (self.cursor.is_at_end() && self.cursor.position() > 0) {
            return None;
        }
        let address = NameAddr::read(&mut self.cursor).and_then(|address| {
            let more = self.cursor.eat_spaced(b',');
            self.cursor.skip_space();
            if more != self.cursor.is_at_end() {
                Ok(address)
            } else {
                Err(Malformed("address list"))
            }
        });
        self.failed = address.is_err();
        Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_names_with_escapes_and_folds_are_read() {
        let address =
            NameAddr::parse("\"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8")
                .expect("valid");
        assert_eq!(address.display_name(), "J Rosenberg \\\"");
        assert_eq!(address.tag(), Some("98asjd8"));
        assert_eq!(address.uri().as_str(), "sip:jdrosen@example.com");
    }

    #[test]
    fn without_brackets_parameters_belong_to_the_header() {
        let address = NameAddr::parse("sip:caller@example.net;tag=134161461246").expect("valid");
        assert_eq!(
            (address.uri().as_str(), address.tag()),
            ("sip:caller@example.net", Some("134161461246"))
        );
        assert!(NameAddr::parse("sip:a@b?Route=%3Csip:c%3E").is_err());
    }

    #[test]
    fn no_space_is_needed_before_the_bracket() {
        assert_eq!(
            NameAddr::parse("caller<sip:caller@example.com>;tag=323")
                .expect("valid")
                .display_name(),
            "caller"
        );
    }

    #[test]
    fn broken_addresses_are_refused() {
        for text in [
            "",
            "\"never closed <sip:a@b>",
            "< sip:a@b >",
            "Bell, Alexander <sip:a@b>",
            "<sip:a@b",
            "sip:a@b>",
            "<sip:a@b> x",
        ] {
            assert!(NameAddr::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn lists_keep_their_order() {
        let routes: Vec<_> = NameAddrs::new("<sip:a;lr>, <sip:b,c@d;lr>;x=1")
            .collect::<Result<_, _>>()
            .expect("valid");
        assert_eq!(
            routes.iter().map(NameAddr::as_str).collect::<Vec<_>>(),
            ["<sip:a;lr>", "<sip:b,c@d;lr>;x=1"]
        );
        assert!(NameAddrs::new("<sip:a>,").any(|address| address.is_err()));
    }
}
