//! From bytes to a [`Message`].
//!
//! Parsing is forgiving where an answer is still possible: the first fault in the head is kept as a [`Defect`], so that
//! the validation can answer 400 with the Via, To, From and CSeq that could be read. Only bytes without a SIP start
//! line are refused outright.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use thiserror::Error;
use zeroize::Zeroize as _;

use super::fields::is_token_text;
use super::header::Name;
use super::lexer::trim;
use super::method::Method;
use super::{MAX_FIELD_BYTES, MAX_FIELDS, MAX_MESSAGE_BYTES};

/// Bytes that are no SIP message; there is nobody to answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum ParseError {
    /// More than [`MAX_MESSAGE_BYTES`].
    #[error("message is longer than {MAX_MESSAGE_BYTES} bytes")]
    TooLong,
    /// No SIP start line.
    #[error("no SIP start line")]
    NotSip,
}

/// A fault in the head that leaves the message answerable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Defect {
    /// White space where none belongs, a method that is no token, ...
    #[error("malformed request line")]
    RequestLine,
    /// Another version than SIP/2.0.
    #[error("version is not SIP/2.0")]
    Version,
    /// A line without a colon, or with a name that is no token.
    #[error("malformed header field")]
    Field,
    /// A NUL, a bare CR or LF, or another control character.
    #[error("control character in the head")]
    Control,
    /// The head is not UTF-8.
    #[error("head is not UTF-8")]
    Encoding,
    /// More than [`MAX_FIELDS`], or one longer than [`MAX_FIELD_BYTES`].
    #[error("too many or too long header fields")]
    Limit,
    /// The blank line is missing.
    #[error("head does not end")]
    Unfinished,
}

/// The start line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Start {
    /// `METHOD uri SIP/2.0`.
    Request {
        /// The method.
        method: Method,
        /// The Request-URI, unchecked.
        uri: Box<str>,
    },
    /// `SIP/2.0 status reason`.
    Response {
        /// 100 to 699.
        status: u16,
    },
}

/// One message as it came.
#[derive(Clone)]
pub struct Message {
    start: Start,
    head: String,
    fields: Vec<Field>,
    body: Vec<u8>,
    size: usize,
    defect: Option<Defect>,
}

#[derive(Clone)]
struct Field {
    name: Name,
    value: Range<usize>,
}

impl Message {
    /// Reads one message: a datagram, or what the framer cut out of a stream.
    ///
    /// # Errors
    /// [`ParseError`] when the bytes are not SIP at all.
    pub fn parse(bytes: &[u8]) -> Result<Self, ParseError> {
        if bytes.len() > MAX_MESSAGE_BYTES {
            return Err(ParseError::TooLong);
        }
        let (head, body, finished) = split_head(bytes);
        let (mut head, valid) = match String::from_utf8_lossy(head) {
            Cow::Borrowed(head) => (head.to_owned(), true),
            Cow::Owned(head) => (head, false),
        };
        let has_control = has_stray_control(&head);
        if has_control {
            head = without_stray_controls(&head);
        }
        let end = head.find("\r\n").unwrap_or(head.len());
        let (start, mut defect) = parse_start(&head[..end])?;
        let fields = match index_fields(&head, end) {
            (fields, None) => fields,
            (fields, Some(fault)) => {
                defect = defect.or(Some(fault));
                fields
            }
        };
        if has_control {
            defect = defect.or(Some(Defect::Control));
        }
        if !valid {
            defect = defect.or(Some(Defect::Encoding));
        }
        if !finished {
            defect = defect.or(Some(Defect::Unfinished));
        }
        Ok(Self {
            start,
            head,
            fields,
            body: body.to_vec(),
            size: bytes.len(),
            defect,
        })
    }

    /// The start line.
    #[must_use]
    pub fn start(&self) -> &Start {
        &self.start
    }

    /// Method and Request-URI of a request.
    #[must_use]
    pub fn request(&self) -> Option<(&Method, &str)> {
        match &self.start {
            Start::Request { method, uri } => Some((method, uri)),
            Start::Response { .. } => None,
        }
    }

    /// The status of a response.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self.start {
            Start::Response { status } => Some(status),
            Start::Request { .. } => None,
        }
    }

    /// The first fault in the head.
    #[must_use]
    pub fn defect(&self) -> Option<Defect> {
        self.defect
    }

    /// The value of the first field called `name`, folds kept.
    #[must_use]
    pub fn field(&self, name: Name) -> Option<&str> {
        self.fields(name).next()
    }

    /// The values of all fields called `name`, in order.
    pub fn fields(&self, name: Name) -> impl Iterator<Item = &str> {
        self.fields
            .iter()
            .filter(move |field| field.name == name)
            .map(|field| &self.head[field.value.clone()])
    }

    /// Whether there is a field called `name`.
    #[must_use]
    pub fn has(&self, name: Name) -> bool {
        self.field(name).is_some()
    }

    /// How many header fields there are.
    #[must_use]
    pub fn field_count(&self) -> usize {
        self.fields.len()
    }

    /// The body. It may hold keyed digits (INFO): never log it.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// How many bytes it took on the wire.
    #[must_use]
    pub fn size(&self) -> usize {
        self.size
    }

    /// Cuts what follows the body in a datagram (RFC 3261 section 18.3).
    pub(super) fn truncate_body(&mut self, length: usize) {
        self.body.truncate(length);
    }
}

/// Shows what the message is, never what it says.
impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.start {
            Start::Request { method, .. } => write!(f, "{method} request"),
            Start::Response { status } => write!(f, "{status} response"),
        }
    }
}

/// An INFO body holds digits.
impl Drop for Message {
    fn drop(&mut self) {
        self.body.zeroize();
    }
}

fn split_head(bytes: &[u8]) -> (&[u8], &[u8], bool) {
    match bytes.windows(4).position(|window| window == b"\r\n\r\n") {
        Some(end) => (&bytes[..end], &bytes[end + 4..], true),
        None => (bytes, &[], false),
    }
}

fn parse_start(line: &str) -> Result<(Start, Option<Defect>), ParseError> {
    if line.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
        return parse_status_line(line).map(|start| (start, None));
    }
    parse_request_line(line)
}

fn parse_status_line(line: &str) -> Result<Start, ParseError> {
    let mut parts = line.splitn(3, ' ');
    let (version, status) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let three_digits = status.len() == 3 && status.bytes().all(|byte| byte.is_ascii_digit());
    let status = status
        .parse()
        .ok()
        .filter(|status| three_digits && (100..700).contains(status));
    match status {
        Some(status) if version.eq_ignore_ascii_case("SIP/2.0") => Ok(Start::Response { status }),
        _ => Err(ParseError::NotSip),
    }
}

fn parse_request_line(line: &str) -> Result<(Start, Option<Defect>), ParseError> {
    // Trailing spaces are cut to find the version, and remembered.
    let trimmed = line.trim_end_matches([' ', '\t']);
    let (rest, version) = trimmed.rsplit_once(' ').ok_or(ParseError::NotSip)?;
    if !version.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("SIP/")) {
        return Err(ParseError::NotSip);
    }
    let (method, uri) = rest.split_once(' ').ok_or(ParseError::NotSip)?;
    let defect = if !version.eq_ignore_ascii_case("SIP/2.0") {
        Some(Defect::Version)
    } else if trimmed.len() != line.len() || !is_token_text(method) || uri.contains([' ', '\t']) {
        Some(Defect::RequestLine)
    } else {
        None
    };
    let start = Start::Request {
        method: Method::from_token(method),
        uri: uri.into(),
    };
    Ok((start, defect))
}

/// Finds name and value of each field; a line that begins with white space belongs to the line before it, and is lost
/// with it: a value must not run over a line of its own, it is copied into answers.
fn index_fields(head: &str, start_line_end: usize) -> (Vec<Field>, Option<Defect>) {
    let mut fields: Vec<Field> = Vec::with_capacity(16);
    let mut defect = None;
    let mut is_after_field = false;
    let mut position = start_line_end + 2;
    while position < head.len() {
        let end = head[position..]
            .find("\r\n")
            .map_or(head.len(), |length| position + length);
        let line = &head[position..end];
        let fault = if !line.starts_with([' ', '\t']) {
            let fault = add_field(&mut fields, line, position);
            is_after_field = fault.is_none();
            fault
        } else if is_after_field {
            unfold(&mut fields, end)
        } else {
            Some(Defect::Field)
        };
        defect = defect.or(fault);
        if fault == Some(Defect::Limit) {
            break;
        }
        position = end + 2;
    }
    for field in &mut fields {
        let value = &head[field.value.clone()];
        let start = field.value.start + (value.len() - value.trim_start_matches([' ', '\t', '\r', '\n']).len());
        field.value = start..start + trim(value).len();
    }
    (fields, defect)
}

fn unfold(fields: &mut [Field], end: usize) -> Option<Defect> {
    let Some(field) = fields.last_mut() else {
        return Some(Defect::Field);
    };
    field.value.end = end;
    (field.value.len() > MAX_FIELD_BYTES).then_some(Defect::Limit)
}

fn add_field(fields: &mut Vec<Field>, line: &str, position: usize) -> Option<Defect> {
    if fields.len() == MAX_FIELDS || line.len() > MAX_FIELD_BYTES {
        return Some(Defect::Limit);
    }
    let Some((name, value)) = line.split_once(':') else {
        return Some(Defect::Field);
    };
    let start = position + line.len() - value.len();
    let name = name.trim_end_matches([' ', '\t']);
    if !is_token_text(name) {
        return Some(Defect::Field);
    }
    fields.push(Field {
        name: Name::from_wire(name),
        value: start..position + line.len(),
    });
    None
}

/// Control characters are legal in one place only: behind a backslash in a quoted string (section 25.1, `quoted-pair`),
/// where CR and LF still are not.
fn has_stray_control(head: &str) -> bool {
    (0..head.len()).any(|index| is_stray_control(head.as_bytes(), index))
}

fn is_stray_control(bytes: &[u8], index: usize) -> bool {
    match bytes[index] {
        b'\t' => false,
        b'\r' => bytes.get(index + 1) != Some(&b'\n'),
        b'\n' => index == 0 || bytes[index - 1] != b'\r',
        0..=0x1f | 0x7f => index == 0 || bytes[index - 1] != b'\\',
        _ => false,
    }
}

/// Spaces in their place: the answer to a broken message copies its fields, and a peer that takes a bare LF for a line
/// end would read fields in it that we never wrote.
fn without_stray_controls(head: &str) -> String {
    head.char_indices()
        .map(|(index, c)| {
            if is_stray_control(head.as_bytes(), index) {
                ' '
            } else {
                c
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(head: &str) -> Message {
        Message::parse(format!("OPTIONS sip:a@b SIP/2.0\r\n{head}\r\n\r\nbody").as_bytes()).expect("SIP")
    }

    #[test]
    fn fields_keep_their_order_and_bytes() {
        let message = request("v : SIP/2.0/UDP a\r\nVIA:SIP/2.0/UDP b\r\nSubject: x\r\n  folded");
        assert_eq!(
            message.fields(Name::Via).collect::<Vec<_>>(),
            ["SIP/2.0/UDP a", "SIP/2.0/UDP b"]
        );
        assert_eq!(message.field(Name::Other), Some("x\r\n  folded"));
        assert_eq!((message.body(), message.defect()), (b"body".as_slice(), None));
    }

    #[test]
    fn control_characters_are_a_defect_unless_escaped() {
        assert_eq!(request("To: \"NUL:\\\0 DEL:\\\x7f\" <sip:a@b>").defect(), None);
        for head in ["To: a\0b", "To: a\nFrom: b", "To: a\rb", "To: \x07"] {
            assert_eq!(request(head).defect(), Some(Defect::Control), "{head:?}");
        }
    }

    #[test]
    fn no_value_runs_over_a_line_of_its_own() {
        for (head, values) in [
            ("v: a\r\nno colon\r\n more\r\nv: b", ["a", "b"]),
            ("v: a\nX: y\r\nv: b", ["a X: y", "b"]),
            ("v: a\rX: y\r\nv: b\x1b[2J", ["a X: y", "b [2J"]),
            ("v: a\r\nno name : x\r\n\tmore\r\nv: b\r\n  c", ["a", "b\r\n  c"]),
        ] {
            let message = request(head);
            assert!(message.defect().is_some(), "{head:?}");
            assert_eq!(message.fields(Name::Via).collect::<Vec<_>>(), values, "{head:?}");
        }
    }

    #[test]
    fn limits_are_defects() {
        assert_eq!(
            request(&vec!["X: y"; MAX_FIELDS + 1].join("\r\n")).defect(),
            Some(Defect::Limit)
        );
        assert_eq!(
            request(&format!("X: {}", "y".repeat(MAX_FIELD_BYTES))).defect(),
            Some(Defect::Limit)
        );
        assert_eq!(
            request(&format!("X: y{}", "\r\n yyyyyyy".repeat(1000))).defect(),
            Some(Defect::Limit)
        );
        assert!(matches!(
            Message::parse(&vec![b'x'; MAX_MESSAGE_BYTES + 1]),
            Err(ParseError::TooLong)
        ));
    }

    #[test]
    fn status_lines_have_three_digits() {
        for line in [
            "SIP/2.0 4294967301 x",
            "SIP/2.0 99 x",
            "SIP/2.0 700 x",
            "SIP/3.0 200 OK",
            "SIP/2.0  200 OK",
            "GET / HTTP/1.1",
            "",
        ] {
            assert!(Message::parse(format!("{line}\r\n\r\n").as_bytes()).is_err(), "{line}");
        }
        for line in [
            "SIP/2.0 200 ",
            "SIP/2.0 200",
            "sip/2.0 200 = 2**3 * 5**2 \u{43d}\u{43e}",
        ] {
            let message = Message::parse(format!("{line}\r\n\r\n").as_bytes()).expect("SIP");
            assert_eq!(message.status(), Some(200), "{line}");
        }
    }

    #[test]
    fn debug_shows_no_content() {
        let message =
            Message::parse(b"INFO sip:4711@b SIP/2.0\r\nAuthorization: Digest x\r\n\r\nSignal=5").expect("SIP");
        assert_eq!(format!("{message:?}"), "INFO request");
    }
}
