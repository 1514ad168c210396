//! Whether the head of a request may be served, and how long its body is; pure. RFC 9112, sections 2 to 6.

use axum::http::StatusCode;

use crate::api::problem::Problem;

/// Why a request is not served. Nothing after it on the connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Refusal {
    /// It is no HTTP, or not certainly.
    Malformed(&'static str),
    /// Both lengths (section 6.3): one reader of it may take for a body what another takes for a request.
    TwoLengths,
    /// A transfer coding other than `chunked` (section 6.1).
    UnknownCoding,
    /// A version other than 1.0 and 1.1.
    UnknownVersion,
    /// More bytes than a head may have.
    TooLarge,
    /// More fields than a head may have.
    TooManyFields,
    /// It did not come to its end in time.
    Late,
}

impl Refusal {
    /// As it is answered.
    pub(in super::super) fn problem(self) -> Problem {
        const MALFORMED: Problem = Problem::new(
            StatusCode::BAD_REQUEST,
            "malformed-request",
            "The request cannot be read",
        );
        match self {
            Self::Malformed(detail) => MALFORMED.detail(detail),
            Self::TwoLengths => {
                MALFORMED.detail("Transfer-Encoding and Content-Length exclude each other; send one of them")
            }
            Self::UnknownCoding => Problem::new(
                StatusCode::NOT_IMPLEMENTED,
                "unknown-transfer-coding",
                "The transfer coding is not spoken",
            )
            .detail("the only transfer coding is chunked, and only once"),
            Self::UnknownVersion => Problem::new(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "unknown-version",
                "The version of HTTP is not spoken",
            )
            .detail("use HTTP/1.1, or HTTP/2 by ALPN"),
            Self::TooLarge => too_large().detail("the request line and the header fields are too long together"),
            Self::TooManyFields => too_large().detail("there are too many header fields"),
            Self::Late => Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "head-too-late",
                "The head of the request took too long",
            ),
        }
    }
}

/// Also of HTTP/2.
pub(in super::super) fn too_large() -> Problem {
    Problem::new(
        StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
        "head-too-large",
        "The head of the request is too large",
    )
}

/// What follows a head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Body {
    /// So many bytes.
    Fixed(u64),
    /// Chunks (section 7.1).
    Chunked,
}

/// Judges a head that ends in an empty line.
pub(super) fn judge(head: &[u8], max_fields: usize) -> Result<Body, Refusal> {
    let text = head.strip_suffix(b"\r\n\r\n").unwrap_or(head);
    let mut lines = Lines(Some(text));
    let is_1_1 = request_line(lines.next().unwrap_or_default())?;
    let mut fields = 0;
    let mut hosts = 0;
    let mut length = None;
    let mut is_chunked = false;
    for line in lines {
        fields += 1;
        if fields > max_fields {
            return Err(Refusal::TooManyFields);
        }
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"host") {
            hosts += 1;
        } else if name.eq_ignore_ascii_case(b"content-length") {
            let before = length.replace(content_length(value)?);
            if before.is_some() {
                return Err(Refusal::Malformed("Content-Length is there twice"));
            }
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if is_chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Refusal::UnknownCoding);
            }
            is_chunked = true;
        }
    }
    // Section 3.2: none or several are answered 400.
    if hosts > 1 || (is_1_1 && hosts == 0) {
        return Err(Refusal::Malformed("there must be one Host field"));
    }
    match (is_chunked, length) {
        (true, Some(_)) => Err(Refusal::TwoLengths),
        (true, None) if !is_1_1 => Err(Refusal::Malformed("HTTP/1.0 has no Transfer-Encoding")),
        (true, None) => Ok(Body::Chunked),
        (false, length) => Ok(Body::Fixed(length.unwrap_or(0))),
    }
}

/// Lines that end in CR LF and nothing else; others are found out by what is in them.
struct Lines<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Lines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let rest = self.0.take()?;
        match memchr::memmem::find(rest, b"\r\n") {
            Some(end) => {
                self.0 = Some(&rest[end + 2..]);
                Some(&rest[..end])
            }
            None => Some(rest),
        }
    }
}

/// Whether it is HTTP/1.1; otherwise it is HTTP/1.0 (section 3).
fn request_line(line: &[u8]) -> Result<bool, Refusal> {
    const NO_HTTP: Refusal = Refusal::Malformed("the first line is no request line");
    let mut words = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) = (words.next(), words.next(), words.next(), words.next())
    else {
        return Err(NO_HTTP);
    };
    // No method that is registered is half as long as this.
    if !is_token(method) || method.len() > 32 || target.is_empty() || !target.iter().all(u8::is_ascii_graphic) {
        return Err(NO_HTTP);
    }
    match version {
        b"HTTP/1.1" => Ok(true),
        b"HTTP/1.0" => Ok(false),
        [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9'] => Err(Refusal::UnknownVersion),
        _ => Err(NO_HTTP),
    }
}

/// Name and value. No space before the colon and no folded line (section 5), no control characters (RFC 9110, 5.5).
pub(super) fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Refusal> {
    let colon = memchr::memchr(b':', line).ok_or(Refusal::Malformed("a header field has no colon"))?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if !is_token(name) {
        return Err(Refusal::Malformed("the name of a header field is none"));
    }
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(Refusal::Malformed("there is a control character in a header field"));
    }
    Ok((name, trim(value)))
}

fn content_length(value: &[u8]) -> Result<u64, Refusal> {
    let digits = std::str::from_utf8(value)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    // No list of equal numbers (section 6.3 would allow to take it for one), and none that is too large to be meant.
    let number = digits
        .and_then(|digits| digits.parse().ok())
        .filter(|length| *length <= i64::MAX as u64);
    number.ok_or(Refusal::Malformed("Content-Length is no number"))
}

fn trim(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value
        .iter()
        .rposition(|byte| !is_space(byte))
        .map_or(start, |last| last + 1);
    &value[start..end]
}

/// RFC 9110, section 5.6.2.
fn is_token(word: &[u8]) -> bool {
    let is_token = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !word.is_empty() && word.iter().all(is_token)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(fields: &str) -> Result<Body, Refusal> {
        judge(format!("POST /x HTTP/1.1\r\nHost: a\r\n{fields}\r\n").as_bytes(), 64)
    }

    #[test]
    fn a_body_has_one_length() {
        assert_eq!(with(""), Ok(Body::Fixed(0)));
        assert_eq!(with("content-length:\t 17 \r\n"), Ok(Body::Fixed(17)));
        assert_eq!(with("Transfer-Encoding: Chunked\r\n"), Ok(Body::Chunked));
        for both in [
            "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
            "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
            "Content-Length: 0\r\nX: y\r\ntransfer-encoding:chunked\r\n",
        ] {
            assert_eq!(with(both), Err(Refusal::TwoLengths), "{both}");
        }
        for coding in [
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: chunked, chunked\r\n",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Transfer-Encoding: xchunked\r\n",
            "Transfer-Encoding:\r\n",
            "Content-Length: 4\r\nTransfer-Encoding: identity\r\n",
        ] {
            assert_eq!(with(coding), Err(Refusal::UnknownCoding), "{coding}");
        }
        for length in [
            "",
            "-1",
            "+1",
            "0x5",
            "5, 5",
            "5 5",
            "5.",
            "1e3",
            "99999999999999999999",
            "18446744073709551615",
            "\u{664}",
        ] {
            let result = with(&format!("Content-Length: {length}\r\n"));
            assert_eq!(
                result,
                Err(Refusal::Malformed("Content-Length is no number")),
                "{length}"
            );
        }
        assert!(matches!(
            with("Content-Length: 5\r\nContent-Length: 5\r\n"),
            Err(Refusal::Malformed(_))
        ));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        for fields in [
            "Content-Length : 5\r\n",
            " Content-Length: 5\r\n",
            "X: y\r\n folded: 5\r\n",
            "X: y\r\n\tContent-Length: 5\r\n",
            "X: y\nContent-Length: 5\r\n",
            "X: y\rContent-Length: 5\r\n",
            "X: y\0\r\n",
            "X\r\n",
            ": y\r\n",
            "Host: b\r\n",
            "X(): y\r\n",
        ] {
            assert!(matches!(with(fields), Err(Refusal::Malformed(_))), "{fields:?}");
        }
        let with_line = |line: &str| judge(format!("{line}\r\nHost: a\r\n\r\n").as_bytes(), 64);
        for line in [
            "",
            "GET",
            "GET /",
            "GET  / HTTP/1.1",
            "GET / HTTP/1.1 ",
            " GET / HTTP/1.1",
            "GET\t/ HTTP/1.1",
            "GET /a b HTTP/1.1",
            "G(T / HTTP/1.1",
            "GET /\u{e9} HTTP/1.1",
            "GET / ICAP/1.0",
            "GET / HTTP/1.1x",
            "GET /\u{7f} HTTP/1.1",
            "\r\nGET / HTTP/1.1",
            "GET / HTTP/1.1\n",
            "GET / \rHTTP/1.1",
        ] {
            assert!(matches!(with_line(line), Err(Refusal::Malformed(_))), "{line:?}");
        }
        for line in ["PRI * HTTP/2.0", "GET / HTTP/1.2", "GET / HTTP/0.9"] {
            assert_eq!(with_line(line), Err(Refusal::UnknownVersion), "{line:?}");
        }
    }

    #[test]
    fn version_1_0_needs_no_host_and_has_no_chunks() {
        assert_eq!(judge(b"GET / HTTP/1.0\r\n\r\n", 64), Ok(Body::Fixed(0)));
        assert!(judge(b"GET / HTTP/1.1\r\n\r\n", 64).is_err());
        assert!(judge(b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 64).is_err());
    }

    #[test]
    fn fields_are_counted() {
        let head = |count: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(count - 1));
        assert!(judge(head(64).as_bytes(), 64).is_ok());
        assert_eq!(judge(head(65).as_bytes(), 64), Err(Refusal::TooManyFields));
    }

    #[test]
    fn every_refusal_has_its_answer() {
        for (refusal, status) in [
            (Refusal::Malformed("x"), 400),
            (Refusal::TwoLengths, 400),
            (Refusal::Late, 408),
            (Refusal::TooLarge, 431),
            (Refusal::TooManyFields, 431),
            (Refusal::UnknownCoding, 501),
            (Refusal::UnknownVersion, 505),
        ] {
            assert_eq!(refusal.problem().status(), status);
        }
    }
}
