//! Challenges and credentials: `Digest name=value, name="value", ...` (RFC 3261 section 20.44, RFC 7616).

use super::lexer::{Cursor, Malformed, is_space, unquote};

/// A challenge or credentials, borrowed from the message. Never printed: it holds a digest of a password.
#[derive(Clone, Copy)]
pub struct AuthParams<'a> {
    scheme: &'a str,
    rest: &'a str,
}

impl<'a> AuthParams<'a> {
    /// Parses the value of an Authorization or WWW-Authenticate field.
    ///
    /// # Errors
    /// [`Malformed`] if it does not follow the grammar.
    pub fn parse(value: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(value);
        cursor.skip_space();
        let scheme = cursor.token("authentication scheme")?;
        let auth = Self {
            scheme,
            rest: cursor.rest(),
        };
        let mut count = 0;
        for pair in auth.pairs() {
            pair?;
            count += 1;
        }
        if count == 0 {
            Err(Malformed("authentication parameters"))
        } else {
            Ok(auth)
        }
    }

    /// Whether the scheme is `Digest`.
    #[must_use]
    pub fn is_digest(&self) -> bool {
        self.scheme.eq_ignore_ascii_case("Digest")
    }

    /// The value of a parameter, quotes and escapes resolved.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<String> {
        self.pairs()
            .filter_map(Result::ok)
            .find(|(candidate, _)| candidate.eq_ignore_ascii_case(name))
            .map(|(_, value)| unquote(value))
    }

    fn pairs(&self) -> impl Iterator<Item = Result<(&'a str, &'a str), Malformed>> + use<'a> {
        let mut cursor = Cursor::new(self.rest);
        let mut failed = false;
        std::iter::from_fn(move || {
            while !failed && cursor.eat_spaced(b',') {}
            cursor.skip_space();
            if failed || cursor.is_at_end() {
                return None;
            }
            let pair = read_pair(&mut cursor);
            failed = pair.is_err();
            Some(pair)
        })
    }
}

fn read_pair<'a>(cursor: &mut Cursor<'a>) -> Result<(&'a str, &'a str), Malformed> {
    let name = cursor.token("authentication parameter")?;
    if !cursor.eat_spaced(b'=') {
        return Err(Malformed("authentication parameter"));
    }
    let value = if cursor.peek() == Some(b'"') {
        cursor.quoted("authentication parameter")?
    } else {
        cursor.take_while(|byte| !is_space(byte) && byte != b',' && byte != b'"')
    };
    cursor.skip_space();
    if cursor.is_at_end() || cursor.peek() == Some(b',') {
        Ok((name, value))
    } else {
        Err(Malformed("authentication parameter"))
    }
}

impl std::fmt::Debug for AuthParams<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} [credentials]", self.scheme)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_and_plain_values_are_read() {
        let auth = AuthParams::parse("Digest realm=\"a \\\"b\\\", c\",\r\n nonce=abc== , qop = \"auth,auth-int\"")
            .expect("valid");
        assert!(auth.is_digest());
        assert_eq!(auth.get("REALM").as_deref(), Some("a \"b\", c"));
        assert_eq!(auth.get("nonce").as_deref(), Some("abc=="));
        assert_eq!(auth.get("qop").as_deref(), Some("auth,auth-int"));
        assert_eq!(format!("{auth:?}"), "Digest [credentials]");
    }

    #[test]
    fn broken_credentials_are_refused() {
        for text in ["", "Digest", "Digest realm", "Digest realm=\"x", "Digest a=b c=d"] {
            assert!(AuthParams::parse(text).is_err(), "{text}");
        }
    }
}
