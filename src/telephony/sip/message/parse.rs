//! From bytes to a [`Message`].
//!
//! Parsing is forgiving where an answer is still possible: the first fault in the head is kept as a [`Defect`], so that
//! the validation can answer 400 with the Via, To, From and CSeq that could be read. Only bytes that begin with nothing
//! like a start line are refused outright. The framer of byte streams asks here as well how long a message is, so that
//! the two never see different lines (`Message::length_in_stream`).

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use thiserror::Error;
use zeroize::Zeroize as _;

use super::fields::{content_length, is_token_text};
use super::head::{Strays, head_end, without_strays};
use super::header::Name;
use super::lexer::trim;
use super::method::Method;
use super::start_line::{Start, StartLine};
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
    /// White space where none belongs, a method that is no token, no version, a status that is none, ...
    #[error("malformed start line")]
    StartLine,
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

/// One message as it came.
#[derive(Clone)]
pub struct Message {
    start: Start,
    head: String,
    fields: Vec<Field>,
    body: Vec<u8>,
    size: usize,
    defect: Option<Defect>,
    /// Whether every line of the head was seen, by us as by anybody else.
    is_clear: bool,
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
        let end = head_end(bytes, 0);
        let (head, body) = match end {
            Some(end) => (&bytes[..end.head], &bytes[end.body..]),
            None => (bytes, [].as_slice()),
        };
        let (mut head, valid) = match String::from_utf8_lossy(head) {
            Cow::Borrowed(head) => (head.to_owned(), true),
            Cow::Owned(head) => (head, false),
        };
        let mut strays = Strays::of(&head);
        if end.is_some_and(|end| &bytes[end.head..end.body] != b"\r\n\r\n") {
            (strays.control, strays.line_end) = (true, true);
        }
        if strays.control {
            head = without_strays(&head);
        }
        let first = head.find("\r\n").unwrap_or(head.len());
        let StartLine {
            start,
            defect,
            has_version,
        } = StartLine::parse(&head[..first])?;
        let index = index_fields(&head, first);
        let defect = defect
            .or(index.defect)
            .or(strays.control.then_some(Defect::Control))
            .or((!valid).then_some(Defect::Encoding))
            .or(end.is_none().then_some(Defect::Unfinished));
        let is_clear = end.is_some() && has_version && !strays.line_end && index.is_whole;
        Ok(Self {
            start,
            head,
            fields: index.fields,
            body: body.to_vec(),
            size: bytes.len(),
            defect,
            is_clear,
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

    /// How many bytes of body follow this head in a byte stream; `None` when that cannot be known: a length that is signed,
    /// doubled with two values or missing before a body, a bare CR or LF (which others may or may not take for the end of a
    /// line), more fields than are looked at, or a start line that does not say that it is SIP.
    pub(in crate::telephony::sip) fn length_in_stream(&self) -> Option<usize> {
        let mut length = None;
        for value in self.fields(Name::ContentLength) {
            let value = usize::try_from(content_length(value).ok()?).ok()?;
            if length.is_some_and(|length| length != value) {
                return None;
            }
            length = Some(value);
        }
        // Without a length a message ends with its head, unless it says that a body follows.
        length
            .or((!self.has(Name::ContentType)).then_some(0))
            .filter(|_| self.is_clear)
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

/// The fields of a head.
struct Index {
    fields: Vec<Field>,
    defect: Option<Defect>,
    /// Whether there were no more than are looked at.
    is_whole: bool,
}

/// Finds name and value of each field; a line that begins with white space belongs to the line before it, and is lost
/// with it: a value must not run over a line of its own, it is copied into answers.
fn index_fields(head: &str, start_line_end: usize) -> Index {
    let mut fields: Vec<Field> = Vec::with_capacity(16);
    let (mut defect, mut is_whole) = (None, true);
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
        if fault == Some(Defect::Limit) && fields.len() == MAX_FIELDS {
            is_whole = false;
            break;
        }
        position = end + 2;
    }
    for field in &mut fields {
        let value = &head[field.value.clone()];
        let start = field.value.start + (value.len() - value.trim_start_matches([' ', '\t', '\r', '\n']).len());
        field.value = start..start + trim(value).len();
    }
    Index {
        fields,
        defect,
        is_whole,
    }
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
            ("v: a\nX: y\r\nv: b", ["a", "b"]),
            ("v: a\rX: y\r\nv: b\x1b[2J", ["a\u{fffd}X: y", "b\u{fffd}[2J"]),
            ("v: a\r\nno name : x\r\n\tmore\r\nv: b\r\n  c", ["a", "b\r\n  c"]),
        ] {
            let message = request(head);
            assert!(message.defect().is_some(), "{head:?}");
            assert_eq!(message.fields(Name::Via).collect::<Vec<_>>(), values, "{head:?}");
        }
    }

    #[test]
    fn a_message_with_bare_line_feeds_can_be_answered() {
        for text in [
            "OPTIONS sip:a@b SIP/2.0\nv: a\nl: 2\n\nhi",
            "OPTIONS sip:a@b SIP/2.0\r\nv: a\nl: 2\n\r\nhi",
            "OPTIONS sip:a@b SIP/2.0\nv: a\r\nl: 2\r\n\nhi",
        ] {
            let message = Message::parse(text.as_bytes()).expect("SIP");
            let read = (
                message.field(Name::Via),
                message.field(Name::ContentLength),
                message.body(),
            );
            assert_eq!(read, (Some("a"), Some("2"), b"hi".as_slice()), "{text:?}");
            assert_eq!(
                (message.defect(), message.length_in_stream()),
                (Some(Defect::Control), None)
            );
        }
        let body = request("v: a\r\nl: 9");
        assert_eq!((body.defect(), body.length_in_stream()), (None, Some(9)));
    }

    #[test]
    fn requests_without_a_version_can_be_answered() {
        for (line, uri, defect) in [
            ("OPTIONS sip:a@b", "sip:a@b", Defect::StartLine),
            ("OPTIONS sip:a@b HTTP/1.1", "sip:a@b HTTP/1.1", Defect::StartLine),
            ("OPTIONS\tsip:a@b\tSIP/2.0", "sip:a@b", Defect::StartLine),
            ("OPTIONS  sip:a@b SIP/2.0", " sip:a@b", Defect::StartLine),
            ("OPTIONS sip:a@b SIP/2.0 ", "sip:a@b", Defect::StartLine),
            ("OP{}S sip:a@b SIP/2.0", "sip:a@b", Defect::StartLine),
            ("OPTIONS sip:a@b sip/3.0", "sip:a@b", Defect::Version),
        ] {
            let message = Message::parse(format!("{line}\r\nv: a\r\n\r\n").as_bytes()).expect("SIP");
            let got = message.request().map(|(_, uri)| uri);
            assert_eq!((got, message.defect()), (Some(uri), Some(defect)), "{line}");
        }
        for line in ["", "OPTIONS", "OP{}S sip:a@b", "\tOPTIONS sip:a@b", "\u{16}\u{3} x"] {
            assert!(
                Message::parse(format!("{line}\r\nv: a\r\n\r\n").as_bytes()).is_err(),
                "{line}"
            );
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
            "SIP/2.0",
        ] {
            let message = Message::parse(format!("{line}\r\n\r\n").as_bytes()).expect("SIP");
            assert!(message.defect().is_some(), "{line}");
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
