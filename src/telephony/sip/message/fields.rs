//! Small header fields: CSeq, Max-Forwards, Content-Length, Content-Type, lists of option tags.

use super::lexer::{Cursor, Malformed, is_token, split_list, trim};
use super::method::Method;
use super::params::Params;

/// CSeq: number and method (RFC 3261 section 20.16).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CSeq {
    /// Below 2^31 (section 8.1.1.5).
    pub number: u32,
    /// The method, as in the request line.
    pub method: Method,
}

impl CSeq {
    /// Parses the value of a CSeq field.
    ///
    /// # Errors
    /// [`Malformed`] if the number is missing or 2^31 or more, or anything follows the method.
    pub fn parse(value: &str) -> Result<Self, Malformed> {
        const WHAT: Malformed = Malformed("CSeq");
        let mut cursor = Cursor::new(trim(value));
        let number = number(cursor.take_while(|byte| byte.is_ascii_digit())).ok_or(WHAT)?;
        cursor.skip_space();
        let method = cursor.token("CSeq")?;
        if !cursor.is_at_end() || number >= 1 << 31 {
            return Err(WHAT);
        }
        let number = u32::try_from(number).map_err(|_| WHAT)?;
        Ok(Self {
            number,
            method: Method::from_token(method),
        })
    }
}

/// The value of a Max-Forwards field, 0 to 255 (section 20.22).
///
/// # Errors
/// [`Malformed`] if it is anything else.
pub fn max_forwards(value: &str) -> Result<u8, Malformed> {
    number(trim(value))
        .and_then(|hops| u8::try_from(hops).ok())
        .ok_or(Malformed("Max-Forwards"))
}

/// The value of a Content-Length field, in bytes (section 20.14).
///
/// # Errors
/// [`Malformed`] if it is signed, not a number, or beyond 64 bits.
pub fn content_length(value: &str) -> Result<u64, Malformed> {
    number(trim(value)).ok_or(Malformed("Content-Length"))
}

/// Digits only: the standard parser would accept a plus sign. Leading zeros are legal.
fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A media type: `type/subtype;params` (section 20.15).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MediaType<'a> {
    /// Before the slash.
    pub kind: &'a str,
    /// Behind the slash.
    pub subtype: &'a str,
    /// Parameters.
    pub params: Params<'a>,
}

impl<'a> MediaType<'a> {
    /// Parses the value of a Content-Type field or one element of Accept.
    ///
    /// # Errors
    /// [`Malformed`] if it does not follow the grammar.
    pub fn parse(value: &'a str) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(trim(value));
        let kind = cursor.token("media type")?;
        if !cursor.eat_spaced(b'/') {
            return Err(Malformed("media type"));
        }
        let subtype = cursor.token("media type")?;
        let params = Params::read(&mut cursor)?;
        cursor.skip_space();
        if !cursor.is_at_end() {
            return Err(Malformed("media type"));
        }
        Ok(Self { kind, subtype, params })
    }

    /// Whether this is `kind/subtype`; case does not matter.
    #[must_use]
    pub fn is(&self, kind: &str, subtype: &str) -> bool {
        self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype)
    }

    /// Whether this range (from Accept) covers `kind/subtype`.
    #[must_use]
    pub fn covers(&self, kind: &str, subtype: &str) -> bool {
        self.kind == "*"
            || self.kind.eq_ignore_ascii_case(kind)
                && (self.subtype == "*" || self.subtype.eq_ignore_ascii_case(subtype))
    }
}

/// The elements of a comma-separated field of tokens (Require, Supported, Allow, Accept); empty ones are left out.
pub fn option_tags(value: &str) -> impl Iterator<Item = &str> {
    split_list(value)
}

/// Whether `text` is a token (a method, an option tag).
pub(super) fn is_token_text(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cseq_allows_folds_and_zeros_and_stops_at_31_bits() {
        let cseq = CSeq::parse("0009\r\n  INVITE").expect("valid");
        assert_eq!((cseq.number, cseq.method), (9, Method::Invite));
        assert!(CSeq::parse("2147483647 BYE").is_ok());
        for text in [
            "2147483648 BYE",
            "36893488147419103232 REGISTER",
            "-1 BYE",
            "+1 BYE",
            "1",
            "BYE",
            "1 BYE x",
        ] {
            assert!(CSeq::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_have_no_sign_and_a_limit() {
        assert_eq!(max_forwards("0068"), Ok(68));
        assert!(max_forwards("300").is_err());
        assert_eq!(content_length(" 150 "), Ok(150));
        for text in ["-999", "+1", "", "1 2", "18446744073709551616", "0x10", "5;a"] {
            assert!(content_length(text).is_err(), "{text}");
        }
    }

    #[test]
    fn media_types_compare_without_case() {
        let media = MediaType::parse("Application/SDP; charset=utf-8").expect("valid");
        assert!(media.is("application", "sdp"));
        assert!(
            MediaType::parse("*/*;q=0.1")
                .expect("valid")
                .covers("application", "sdp")
        );
        assert!(!MediaType::parse("text/*").expect("valid").covers("application", "sdp"));
        assert!(MediaType::parse("application").is_err());
    }
}
