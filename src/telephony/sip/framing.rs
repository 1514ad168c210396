//! Cutting messages out of a byte stream (RFC 3261 section 18.3, keepalive of RFC 5626 section 3.5.1), sans-IO.
//!
//! ```text
//! bytes --push--> [Framer] --next--> Message | Ping | nothing yet
//!                     \------------> Unframable: answer the head with 400, then close
//! ```
//!
//! A message that is broken in its fields is framed and handed on, so that it can be answered while the connection lives.
//! When nobody can know where the next message begins (its length is a lie, its lines are not told apart by all readers, its
//! start line is that of something else), the connection must go. How long a message is, the parser says
//! (`Message::length_in_stream`): framer and parser see the same lines.

use super::message::{MAX_MESSAGE_BYTES, Message, head_end};

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
        let Some(end) = head_end(&self.buffer, self.searched) else {
            // What was read may end with the first half of an empty line.
            self.searched = self.buffer.len().saturating_sub(2);
            return (self.buffer.len() > MAX_MESSAGE_BYTES).then_some(Err(0));
        };
        let head = end.body;
        if head > MAX_MESSAGE_BYTES {
            return Some(Err(0));
        }
        // What does not even begin like SIP is mostly the rest of a body that was longer than it said, and the request behind
        // that is already part of it: passed over, both would be lost without a word.
        let message = Message::parse(&self.buffer[..head]).ok();
        let total = message
            .and_then(|message| message.length_in_stream())
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
            "X: y\nContent-Length: 5",
            "X: y\rContent-Length: 5",
            "Content-Length:\x005",
            "Content-Length: 5\0",
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

    /// These were framed one way and read another, or left unanswered.
    #[test]
    fn what_others_may_read_otherwise_ends_the_connection() {
        for head in [
            "OPTIONS sip:a SIP/2.0\nl: 0\n\n",
            "OPTIONS sip:a SIP/2.0\r\nl: 0\n\r\n",
            "OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\n",
            "OPTIONS sip:a SIP/2.0\nX: y\r\n\r\n",
            "OPTIONS sip:a\r\nl: 0\r\n\r\n",
            "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        ] {
            let mut framer = Framer::default();
            let stream = format!("{head}OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\r\n");
            let got = frames(&mut framer, stream.as_bytes());
            assert_eq!(got, [Frame::Unframable(head.into())], "{head:?}");
        }
        let many = format!("OPTIONS sip:a SIP/2.0\r\n{}l: 5\r\n\r\n", "X: y\r\n".repeat(1_000));
        let got = frames(&mut Framer::default(), many.as_bytes());
        assert_eq!(
            got,
            [Frame::Unframable(many.into())],
            "the length is not among the fields that are read"
        );
    }

    /// Found by fuzzing: whole, the second empty line was seen first.
    #[test]
    fn of_two_empty_lines_the_first_ends_the_head_however_it_arrives() {
        let stream = b"OPTIONS sip:a SIP/2.0\r\nl: 0\r\n\n\r\n";
        let whole = frames(&mut Framer::default(), stream);
        let mut framer = Framer::default();
        let pieces: Vec<_> = stream.chunks(1).flat_map(|byte| frames(&mut framer, byte)).collect();
        assert_eq!(whole, pieces);
    }

    #[test]
    fn faults_elsewhere_leave_the_stream_alone() {
        for field in [
            "no colon",
            "Subject: a\0b",
            " folded",
            "no name: x",
            "Content-\0Length: 9",
        ] {
            let bytes = message(&format!("{field}\r\nl: 2"), "hi");
            let stream = bytes.repeat(2);
            let expected = vec![Frame::Message(bytes.clone()), Frame::Message(bytes)];
            assert_eq!(frames(&mut Framer::default(), &stream), expected, "{field:?}");
        }
    }

    /// It was taken for an empty message up to the next empty line, which is that of the next request: that was lost, and
    /// nobody told its sender, since the connection lived.
    #[test]
    fn the_rest_of_a_body_that_was_too_long_ends_the_connection() {
        let (first, second) = (message("l: 2", "hi"), message("l: 0", ""));
        for rest in ["C\r\n\r\n", "v=0\r\no=x\r\n", "a=sendonly\r\n", "hello world\r\n"] {
            let stream = [first.as_slice(), rest.as_bytes(), &second, &second].concat();
            let got = frames(&mut Framer::default(), &stream);
            let [Frame::Message(got), Frame::Unframable(lost)] = &got[..] else {
                panic!("{rest:?}: {got:?}")
            };
            assert!(*got == first && lost.starts_with(rest.as_bytes()), "{rest:?}");
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
