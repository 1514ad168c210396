//! Bodies of several parts (RFC 2046 section 5.1, RFC 5621): border controllers and gateways send SDP beside ISUP, a
//! location or metadata. One level is read; parts are borrowed from the body.

use super::fields::MediaType;
use super::header::Name;
use super::lexer::{Malformed, trim, unquote};

/// More parts than this are refused; gateways send two or three.
pub const MAX_PARTS: usize = 16;

const WHAT: Malformed = Malformed("multipart body");

/// One part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Part<'a> {
    /// Its Content-Type; without one it is plain text (RFC 2046 section 5.1).
    pub media: Option<MediaType<'a>>,
    /// Its Content-Disposition, empty if there is none.
    pub disposition: &'a str,
    /// Whether it has to be decoded first: Content-Encoding, or a Content-Transfer-Encoding that SIP does without.
    pub is_encoded: bool,
    /// What it holds.
    pub body: &'a [u8],
}

impl<'a> Part<'a> {
    /// The parts of `body`, whose Content-Type is `media`.
    ///
    /// # Errors
    /// [`Malformed`] without a boundary or its last occurrence, with more than [`MAX_PARTS`], or with a head that is no
    /// header.
    pub fn read_all(media: &MediaType<'_>, body: &'a [u8]) -> Result<Vec<Self>, Malformed> {
        let boundary = media.params.get("boundary").map(unquote).unwrap_or_default();
        // Up to 70 characters (RFC 2046 section 5.1.1).
        if boundary.is_empty() || boundary.len() > 70 {
            return Err(WHAT);
        }
        let mut parts = Vec::new();
        let (mut begun, mut position) = (None, 0);
        while position < body.len() {
            let rest = &body[position..];
            let length = rest
                .iter()
                .position(|&byte| byte == b'\n')
                .map_or(rest.len(), |at| at + 1);
            if let Some(is_last) = delimiter(&rest[..length], &boundary) {
                if let Some(start) = begun {
                    parts.push(Self::read(without_line_end(&body[start..position]))?);
                }
                if is_last {
                    return Ok(parts);
                }
                if parts.len() >= MAX_PARTS {
                    return Err(WHAT);
                }
                begun = Some(position + length);
            }
            position += length;
        }
        Err(WHAT)
    }

    fn read(bytes: &'a [u8]) -> Result<Self, Malformed> {
        let (head, body) = match bytes.strip_prefix(b"\r\n") {
            Some(body) => (&bytes[..0], body),
            None => match bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                Some(end) => (&bytes[..end], &bytes[end + 4..]),
                None => (bytes, &bytes[bytes.len()..]),
            },
        };
        let head = std::str::from_utf8(head).map_err(|_| WHAT)?;
        let mut part = Self {
            media: None,
            disposition: "",
            is_encoded: false,
            body,
        };
        for field in fields(head) {
            let (name, value) = field.split_once(':').ok_or(WHAT)?;
            let (name, value) = (trim(name), trim(value));
            match Name::from_wire(name) {
                Name::ContentType => part.media = Some(MediaType::parse(value)?),
                Name::ContentDisposition => part.disposition = value,
                Name::ContentEncoding => part.is_encoded |= !value.eq_ignore_ascii_case("identity"),
                _ if name.eq_ignore_ascii_case("Content-Transfer-Encoding") => {
                    let plain = ["7bit", "8bit", "binary"];
                    part.is_encoded |= !plain.iter().any(|plain| value.eq_ignore_ascii_case(plain));
                }
                _ => {}
            }
        }
        Ok(part)
    }
}

/// Whether a line is a delimiter, and if so the last one.
fn delimiter(line: &[u8], boundary: &str) -> Option<bool> {
    let rest = line.strip_prefix(b"--")?.strip_prefix(boundary.as_bytes())?;
    let (rest, is_last) = match rest.strip_prefix(b"--") {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    // White space may follow (transport padding).
    rest.iter().all(|byte| b" \t\r\n".contains(byte)).then_some(is_last)
}

/// The line end before a delimiter belongs to the delimiter.
fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

/// Fields with their folds.
fn fields(head: &str) -> impl Iterator<Item = &str> {
    let mut rest = head;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = 0;
        loop {
            match rest[end..].find("\r\n") {
                None => end = rest.len(),
                Some(at) if rest[end + at + 2..].starts_with([' ', '\t']) => {
                    end += at + 2;
                    continue;
                }
                Some(at) => end += at,
            }
            break;
        }
        let field = &rest[..end];
        rest = rest.get(end + 2..).unwrap_or_default();
        Some(field)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read<'a>(content_type: &str, body: &'a str) -> Result<Vec<Part<'a>>, Malformed> {
        Part::read_all(&MediaType::parse(content_type).expect("a type"), body.as_bytes())
    }

    #[test]
    fn sdp_beside_isup_is_found() {
        let body = "preamble\r\n--unique 1\r\nContent-Type: application/SDP; charset=ISO-10646\r\n\r\nv=0\r\n\r\n\
                    --unique 1  \r\nContent-Type:\r\n application/ISUP; version=nxv3\r\nc-d: x\r\nContent-Disposition: signal; \
                    handling=optional\r\nContent-Transfer-Encoding: base64\r\n\r\n\u{1}\r\n--unique 1--\r\nepilogue";
        let parts = read("multipart/mixed;boundary=\"unique 1\"", body).expect("valid");
        assert_eq!(parts.len(), 2);
        assert!(parts[0].media.expect("a type").is("application", "sdp") && !parts[0].is_encoded);
        assert_eq!(parts[0].body, b"v=0\r\n", "one line end belongs to the delimiter");
        assert!(parts[1].media.expect("a type").is("application", "isup") && parts[1].is_encoded);
        assert_eq!(parts[1].disposition, "signal; handling=optional");
    }

    #[test]
    fn parts_without_a_head_are_plain_text() {
        let parts = read("multipart/mixed;boundary=b", "--b\r\n\r\nhello\r\n--bb\r\n--b--").expect("valid");
        assert_eq!((parts[0].media, parts[0].body), (None, b"hello\r\n--bb".as_slice()));
    }

    #[test]
    fn bodies_without_structure_are_refused() {
        for (content_type, body) in [
            ("multipart/mixed", "--b\r\n\r\n--b--"),
            ("multipart/mixed;boundary=\"\"", "--\r\n\r\n----"),
            (
                "multipart/mixed;boundary=b",
                "--b\r\nContent-Type: text/plain\r\n\r\nno end",
            ),
            ("multipart/mixed;boundary=b", "--b\r\nno colon\r\n\r\n\r\n--b--"),
            (
                "multipart/mixed;boundary=b",
                "--b\r\nContent-Type: nonsense\r\n\r\n\r\n--b--",
            ),
            ("multipart/mixed;boundary=b", ""),
        ] {
            assert!(read(content_type, body).is_err(), "{body}");
        }
        let many = format!("{}--b--", "--b\r\n\r\n\r\n".repeat(MAX_PARTS + 1));
        assert!(read("multipart/mixed;boundary=b", &many).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        #[test]
        fn nothing_panics(pieces in prop::collection::vec("--b|--b--|\r\n|\n|[ -~]{0,9}:|c: a/b|\\PC{0,3}", 0..20)) {
            let body = pieces.concat();
            if let Ok(parts) = read("multipart/mixed;boundary=b", &body) {
                prop_assert!(parts.len() <= MAX_PARTS);
            }
        }
    }
}
