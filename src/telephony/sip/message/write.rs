//! From fields to bytes.

use std::fmt::{Display, Write as _};

use super::header::Name;
use super::method::Method;
use super::status::reason_phrase;

/// Writes one message: start line, fields in the order they are added, Content-Length and body last.
pub struct Writer {
    text: String,
}

impl Writer {
    /// Begins a request.
    #[must_use]
    pub fn request(method: &Method, uri: &str) -> Self {
        Self::begin(format_args!("{method} {uri} SIP/2.0"))
    }

    /// Begins a response with the usual reason phrase.
    #[must_use]
    pub fn response(status: u16) -> Self {
        Self::begin(format_args!("SIP/2.0 {status} {}", reason_phrase(status)))
    }

    fn begin(line: impl Display) -> Self {
        let mut text = String::with_capacity(768);
        // Writing to a String cannot fail.
        let _ = write!(text, "{line}\r\n");
        Self { text }
    }

    /// Adds a field. The value must come from a parsed message or be made by us: it is not checked again, except that
    /// a line break can't slip in through a display name or a reason.
    #[must_use]
    pub fn field(self, name: Name, value: impl Display) -> Self {
        self.named(name.as_str(), value)
    }

    /// Adds a field with any name.
    #[must_use]
    pub fn named(mut self, name: &str, value: impl Display) -> Self {
        let start = self.text.len();
        let _ = write!(self.text, "{name}: {value}");
        debug_assert!(is_one_field(&self.text[start..]), "a value must not begin a new field");
        self.text.push_str("\r\n");
        self
    }

    /// Ends the message with a body of type `content_type`.
    #[must_use]
    pub fn body(self, content_type: &str, body: &str) -> Vec<u8> {
        let mut text = self
            .field(Name::ContentType, content_type)
            .field(Name::ContentLength, body.len())
            .text;
        text.push_str("\r\n");
        text.push_str(body);
        text.into_bytes()
    }

    /// Ends the message without a body.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut text = self.field(Name::ContentLength, 0).text;
        text.push_str("\r\n");
        text.into_bytes()
    }
}

/// Line breaks only as folds.
fn is_one_field(text: &str) -> bool {
    text.split("\r\n").skip(1).all(|line| line.starts_with([' ', '\t']))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{CSeq, Message, NameAddr, Via, Vias};
    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn what_is_written_is_read_back(
            user in "[a-z0-9+]{1,12}", display in "[ -~]{0,20}", tag in "[a-zA-Z0-9]{1,16}",
            branch in "[a-zA-Z0-9]{1,16}", port in 1u16.., number in 0u32..0x8000_0000, body in "[ -~\r\n]{0,200}",
        ) {
            let quoted = display.replace('\\', "\\\\").replace('"', "\\\"");
            let bytes = Writer::request(&Method::Invite, &format!("sip:{user}@192.0.2.1"))
                .field(Name::Via, format_args!("SIP/2.0/UDP [2001:db8::1]:{port};branch=z9hG4bK{branch};rport"))
                .field(Name::From, format_args!("\"{quoted}\" <sip:{user}@[2001:db8::1]:{port}>;tag={tag}"))
                .field(Name::CSeq, format_args!("{number} INVITE"))
                .body("application/sdp", &body);
            let message = Message::parse(&bytes).expect("SIP");
            prop_assert_eq!(message.defect(), None);
            let via: Via<'_> = Vias::new(message.field(Name::Via).expect("Via")).next().expect("one").expect("valid");
            prop_assert_eq!(via.port(), Some(port));
            prop_assert_eq!(via.branch().map(|text| &text[7..]), Some(branch.as_str()));
            let from = NameAddr::parse(message.field(Name::From).expect("From")).expect("valid");
            prop_assert_eq!(from.display_name(), display);
            prop_assert_eq!(from.tag(), Some(tag.as_str()));
            prop_assert_eq!(from.uri().user(), Some(user.as_str()));
            prop_assert_eq!(CSeq::parse(message.field(Name::CSeq).expect("CSeq")).expect("valid").number, number);
            prop_assert_eq!(message.body(), body.as_bytes());
        }
    }
}
