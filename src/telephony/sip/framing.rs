//! Cutting messages out of a byte stream (RFC 3261 section 18.3, keepalive of RFC 5626 section 3.5.1), sans-IO.
//!
//! ```text
//! bytes --push--> [Framer] --next--> Message | Ping | nothing yet
//!                     \------------> Unframable: answer the head with 400, then close
//! ```
//!
//! Only Content-Length is looked at here. A message that is broken in any other way is framed and handed on, so that it
//! can be answered while the connection lives. When the length itself is a lie (signed, doubled with two values,
//! beyond the limit, missing before a body), nobody knows where the next message begins and the connection must go.

use super::message::{MAX_MESSAGE_BYTES, Name, content_length};

/// What comes next in the stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// The bytes of one message.
    Message(Vec<u8>),
    /// A double CRLF, to be answered with [`PONG`].
    Ping,
    /// The stream has no known structure from here on. The bytes are a head that can be answered, or nothing.
    Unframable(Vec<u8>),
}

/// The answer to a keepalive.
pub const PONG: &[u8] = b"\r\n";

/// One direction of one connection.
#[derive(Default)]
pub struct Framer {
    buffer: Vec<u8>,
    /// How far the end of the head has been searched: bytes that come one by one are looked at once.
    searched: usize,
    /// Head and body length, once known.
    total: Option<usize>,
    /// Bytes of CR LF seen since the last message.
    blank: usize,
    broken: bool,
}

impl Framer {
    /// Adds received bytes. The caller takes every frame out before it adds more, so that the buffer holds one incomplete
    /// message and what was read at once.
    pub fn push(&mut self, bytes: &[u8]) {
        if !self.broken {
            self.buffer.extend_from_slice(bytes);
        }
    }

    /// How many bytes the buffer takes before [`Framer::next_frame`] must have been drained.
    #[must_use]
    pub fn room(&self) -> usize {
        (2 * MAX_MESSAGE_BYTES).saturating_sub(self.buffer.len())
    }

    /// Whether a message has begun and is not complete: the time for it is limited.
    #[must_use]
    pub fn is_midway(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next frame, or `None` until more bytes come. After [`Frame::Unframable`] there is nothing more.
    pub fn next_frame(&mut self) -> Option<Frame> {
        if self.broken {
            return None;
        }
        if self.total.is_none() && self.skip_blank_lines() {
            return Some(Frame::Ping);
        }
        let total = match self.total {
            Some(total) => total,
            None => match self.measure()? {
                Ok(total) => *self.total.insert(total),
                Err(head) => return Some(self.give_up(head)),
            },
        };
        if self.buffer.len() < total {
            return None;
        }
        let rest = self.buffer.split_off(total);
        let message = std::mem::replace(&mut self.buffer, rest);
        (self.total, self.searched, self.blank) = (None, 0, 0);
        Some(Frame::Message(message))
    }

    /// Drops line ends before a start line; true when a double CRLF is complete.
    fn skip_blank_lines(&mut self) -> bool {
        if self.searched > 0 {
            return false;
        }
        let mut skipped = 0;
        let mut is_ping = false;
        while let Some(&byte) = self.buffer.get(skipped) {
            if byte != b"\r\n"[self.blank % 2] {
                break;
            }
            skipped += 1;
            self.blank += 1;
            if self.blank == 4 {
                (self.blank, is_ping) = (0, true);
                break;
            }
        }
        self.buffer.drain(..skipped);
        is_ping
    }

    /// The length of the message at the front; `None` until its head is complete, the head if there is no telling.
    fn measure(&mut self) -> Option<Result<usize, usize>> {
        let found = self.buffer[self.searched..]
            .windows(4)
            .position(|window| window == b"\r\n\r\n");
        let Some(position) = found else {
            self.searched = self.buffer.len().saturating_sub(3);
            return (self.buffer.len() > MAX_MESSAGE_BYTES).then_some(Err(0));
        };
        let head = self.searched + position + 4;
        if head > MAX_MESSAGE_BYTES {
            return Some(Err(0));
        }
        let total = body_length(&self.buffer[..head - 4])
            .and_then(|body| head.checked_add(body))
            .filter(|&total| total <= MAX_MESSAGE_BYTES);
        Some(total.ok_or(head))
    }

    fn give_up(&mut self, head: usize) -> Frame {
        self.broken = true;
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.truncate(head);
        Frame::Unframable(bytes)
    }
}

/// The length that the head claims; `None` when it contradicts itself or claims nonsense.
fn body_length(head: &[u8]) -> Option<usize> {
    let mut length = None;
    let mut has_type = false;
    for (name, value) in fields(head) {
        match Name::from_wire(name) {
            Name::ContentLength => {
                let value = usize::try_from(content_length(value).ok()?).ok()?;
                if length.is_some_and(|length| length != value) {
                    return None;
                }
                length = Some(value);
            }
            Name::ContentType => has_type = true,
            _ => {}
        }
    }
    // Without a length a message ends with its head, unless it says that a body follows.
    length.or((!has_type).then_some(0))
}

/// Names and values; a folded value is joined only as far as Content-Length needs it (a fold before the digits).
fn fields(head: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = head;
    std::iter::from_fn(move || {
        loop {
            if rest.is_empty() {
                return None;
            }
            let end = field_end(rest);
            let field = &rest[..end];
            rest = rest.get(end + 2..).unwrap_or_default();
            let Some(colon) = field.iter().position(|&byte| byte == b':') else {
                continue;
            };
            let (Ok(name), Ok(value)) = (
                std::str::from_utf8(&field[..colon]),
                std::str::from_utf8(&field[colon + 1..]),
            ) else {
                continue;
            };
            return Some((name.trim_end_matches([' ', '\t']), value));
        }
    })
}

/// Where a field ends: at a line end that no white space follows.
fn field_end(text: &[u8]) -> usize {
    let mut from = 0;
    while let Some(position) = text[from..].windows(2).position(|window| window == b"\r\n") {
        let end = from + position;
        if !matches!(text.get(end + 2), Some(b' ' | b'\t')) {
            return end;
        }
        from = end + 2;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frames(framer: &mut Framer, bytes: &[u8]) -> Vec<Frame> {
        framer.push(bytes);
        std::iter::from_fn(|| framer.next_frame()).collect()
    }

    fn message(length_field: &str, body: &str) -> Vec<u8> {
        format!("OPTIONS sip:a SIP/2.0\r\n{length_field}\r\n\r\n{body}").into_bytes()
    }

    #[test]
    fn odd_spellings_of_content_length_are_understood() {
        for field in [
            "Content-Length: 5",
            "Content-Length : 5",
            "l:5",
            "CONTENT-LENGTH\t:\r\n 5",
            "L : 005",
            "l: 5\r\nContent-Length: 5",
        ] {
            let bytes = message(field, "hello");
            let mut stream = bytes.clone();
            stream.extend_from_slice(&bytes);
            let expected = vec![Frame::Message(bytes.clone()), Frame::Message(bytes)];
            assert_eq!(frames(&mut Framer::default(), &stream), expected, "{field}");
        }
    }

    #[test]
    fn lies_about_the_length_end_the_connection() {
        for field in [
            "Content-Length: -1",
            "l: 5\r\nl: 6",
            "Content-Length: 18446744073709551615",
            "l: 18446744073709551000",
            "l: 99999999999999999999",
            "l: 65536",
            "l: +5",
            "l: 5 5",
            "l:",
            "Content-Type: text/plain",
        ] {
            let mut framer = Framer::default();
            let got = frames(&mut framer, &message(field, "hello"));
            assert_eq!(got, [Frame::Unframable(message(field, ""))], "{field}");
            assert_eq!(
                frames(&mut framer, &message("l: 0", "")),
                [],
                "nothing is framed after a lie"
            );
        }
    }

    #[test]
    fn a_missing_length_means_no_body() {
        let bytes = message("Subject: x", "");
        assert_eq!(frames(&mut Framer::default(), &bytes), [Frame::Message(bytes)]);
    }

    #[test]
    fn an_endless_head_is_cut_off() {
        let mut framer = Framer::default();
        framer.push(b"OPTIONS sip:a SIP/2.0\r\n");
        let mut pushed = 0;
        while framer.next_frame().is_none() {
            framer.push(&[b'x'; 1000]);
            pushed += 1000;
            assert!(pushed <= MAX_MESSAGE_BYTES + 1000, "the buffer is bounded");
        }
    }

    #[test]
    fn keepalives_are_seen_between_messages_only() {
        let mut framer = Framer::default();
        assert_eq!(frames(&mut framer, b"\r\n\r"), []);
        assert_eq!(frames(&mut framer, b"\n"), [Frame::Ping]);
        assert_eq!(frames(&mut framer, b"\r\n"), []);
        let bytes = message("l: 4", "\r\n\r\n");
        let mut stream = bytes.clone();
        stream.extend_from_slice(b"\r\n\r\n\r\n\r\n");
        assert_eq!(
            frames(&mut framer, &stream),
            [Frame::Message(bytes), Frame::Ping, Frame::Ping]
        );
        assert!(!framer.is_midway());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(100))]

        #[test]
        fn the_cuts_of_the_network_do_not_matter(
            bodies in prop::collection::vec("[a-z\r\n]{0,30}", 1..6),
            cuts in prop::collection::vec(1usize..40, 1..20),
        ) {
            let messages: Vec<_> = bodies.iter().map(|body| message(&format!("l: {}", body.len()), body)).collect();
            let stream = messages.concat();
            let mut framer = Framer::default();
            let mut got = Vec::new();
            let mut rest = stream.as_slice();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break; }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                rest = later;
                got.extend(frames(&mut framer, now));
            }
            prop_assert_eq!(got, messages.into_iter().map(Frame::Message).collect::<Vec<_>>());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(prop::sample::select(b"\r\n:lL 0159-\xffContent-Length".to_vec()), 0..200)) {
            frames(&mut Framer::default(), &bytes);
        }
    }
}
