//! Cuts a stream of HTTP/1 requests into heads and bodies; sans-IO. RFC 9112, sections 2.2, 6 and 7.1.

use super::head::{Body, Refusal, field, judge};

/// The longest line with the size of a chunk. Extensions (section 7.1.1) are of no use to anybody here.
const MAX_CHUNK_LINE: usize = 256;

/// The most hexadecimal digits of a chunk's size: 4 GB are more than any body may have, and some pad to eight.
const MAX_CHUNK_DIGITS: usize = 8;

/// The length of what follows a chunk.
const CRLF: u64 = 2;

/// What to do with the bytes that have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Step {
    /// The first so many are a whole head, or a part of a body: hand them on.
    Pass(usize),
    /// The first so many mean nothing: forget them.
    Skip(usize),
    /// More must come first.
    More,
    /// A head that is not served. Nothing behind it is read.
    Refuse(Refusal),
    /// A body that cannot be read. Nothing behind it is read.
    Broken,
}

/// Where in the stream we are.
#[derive(Debug)]
pub(super) struct Framer {
    max_head: usize,
    max_fields: usize,
    at: At,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Before the end of a head, in which this many bytes have been looked through.
    Head { searched: usize, has_skipped: bool },
    /// In a body, with so many bytes left.
    Fixed(u64),
    /// Before the line with the size of a chunk.
    Size,
    /// In a chunk, with so many bytes left, its CR LF among them.
    Chunk(u64),
    /// In the trailers, of which so much has passed.
    Trailers { bytes: usize, fields: usize },
    /// Behind something that was refused.
    Nowhere(Step),
}

const HEAD: At = At::Head {
    searched: 0,
    has_skipped: false,
};

impl Framer {
    pub(super) fn new(max_head: usize, max_fields: usize) -> Self {
        Self {
            max_head,
            max_fields,
            at: HEAD,
        }
    }

    /// Whether a head is what comes next.
    pub(super) fn is_at_head(&self) -> bool {
        matches!(self.at, At::Head { .. })
    }

    /// Looks at all bytes that have come and were neither passed nor skipped; what is passed or skipped counts as gone.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Step {
        if bytes.is_empty() {
            return Step::More;
        }
        let step = match self.at {
            At::Head { searched, has_skipped } => self.head(bytes, searched, has_skipped),
            At::Fixed(left) => {
                let part = bounded(left, bytes);
                self.at = fixed(left - part as u64);
                Step::Pass(part)
            }
            At::Size => self.size(bytes),
            At::Chunk(left) => self.chunk(bytes, left),
            At::Trailers { bytes: passed, fields } => self.trailers(bytes, passed, fields),
            At::Nowhere(step) => step,
        };
        if matches!(step, Step::Refuse(_) | Step::Broken) {
            self.at = At::Nowhere(step);
        }
        step
    }

    fn head(&mut self, bytes: &[u8], searched: usize, has_skipped: bool) -> Step {
        // Section 2.2: an empty line before a request is left over from the one before. One, not any number.
        if !has_skipped && bytes.starts_with(b"\r\n") {
            self.at = At::Head {
                searched: 0,
                has_skipped: true,
            };
            return Step::Skip(2);
        }
        let from = searched.saturating_sub(3);
        match memchr::memmem::find(&bytes[from..], b"\r\n\r\n") {
            Some(end) if from + end + 4 > self.max_head => Step::Refuse(Refusal::TooLarge),
            Some(end) => {
                let length = from + end + 4;
                match judge(&bytes[..length], self.max_fields) {
                    Ok(Body::Fixed(left)) => self.at = fixed(left),
                    Ok(Body::Chunked) => self.at = At::Size,
                    Err(refusal) => return Step::Refuse(refusal),
                }
                Step::Pass(length)
            }
            None if bytes.len() >= self.max_head => Step::Refuse(Refusal::TooLarge),
            None => {
                // A lone CR may become an empty line.
                if bytes != b"\r" {
                    self.at = At::Head {
                        searched: bytes.len(),
                        has_skipped: true,
                    };
                }
                Step::More
            }
        }
    }

    fn size(&mut self, bytes: &[u8]) -> Step {
        let line = match line(bytes, MAX_CHUNK_LINE) {
            Ok(Some(line)) => line,
            Ok(None) => return Step::More,
            Err(()) => return Step::Broken,
        };
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        let is_extension = extension.is_empty() || extension[0] == b';';
        let is_text = extension.iter().all(|byte| *byte == b'\t' || !byte.is_ascii_control());
        if digits == 0 || digits > MAX_CHUNK_DIGITS || !is_extension || !is_text {
            return Step::Broken;
        }
        let size = size.iter().fold(0, |size, digit| {
            size * 16 + char::from(*digit).to_digit(16).map_or(0, u64::from)
        });
        self.at = match size {
            0 => At::Trailers { bytes: 0, fields: 0 },
            size => At::Chunk(size + CRLF),
        };
        Step::Pass(line.len() + 2)
    }

    fn chunk(&mut self, bytes: &[u8], left: u64) -> Step {
        if left > CRLF {
            let part = bounded(left - CRLF, bytes);
            self.at = At::Chunk(left - part as u64);
            return Step::Pass(part);
        }
        match bytes {
            [b'\r', b'\n', ..] => {
                self.at = At::Size;
                Step::Pass(2)
            }
            b"\r" => Step::More,
            // The next size would be looked for in the wrong place.
            _ => Step::Broken,
        }
    }

    fn trailers(&mut self, bytes: &[u8], passed: usize, fields: usize) -> Step {
        let line = match line(bytes, self.max_head.saturating_sub(passed)) {
            Ok(Some(line)) => line,
            Ok(None) => return Step::More,
            Err(()) => return Step::Broken,
        };
        let length = line.len() + 2;
        if line.is_empty() {
            self.at = HEAD;
        } else if field(line).is_ok() && fields < self.max_fields {
            self.at = At::Trailers {
                bytes: passed + length,
                fields: fields + 1,
            };
        } else {
            return Step::Broken;
        }
        Step::Pass(length)
    }
}

fn bounded(left: u64, bytes: &[u8]) -> usize {
    usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len())
}

fn fixed(left: u64) -> At {
    if left == 0 { HEAD } else { At::Fixed(left) }
}

/// The first line without its CR LF, if it has come; at most so long with them.
fn line(bytes: &[u8], max: usize) -> Result<Option<&[u8]>, ()> {
    match memchr::memchr(b'\n', bytes) {
        Some(end) if end < max => {
            let line = bytes[..end].strip_suffix(b"\r").ok_or(())?;
            if line.contains(&b'\r') { Err(()) } else { Ok(Some(line)) }
        }
        None if bytes.len() < max => Ok(None),
        _ => Err(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n";
    const CHUNKED: &str = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

    /// What is passed, heads apart, and how it ended. The stream arrives in pieces of these sizes.
    fn cut(stream: &[u8], mut piece: impl FnMut() -> usize) -> (Vec<Vec<u8>>, Option<Step>) {
        let mut framer = Framer::new(1_024, 8);
        let mut come = Vec::new();
        let mut rest = stream;
        let mut parts: Vec<Vec<u8>> = Vec::new();
        loop {
            let was_at_head = framer.is_at_head();
            match framer.step(&come) {
                Step::Pass(length) => {
                    let part: Vec<u8> = come.drain(..length).collect();
                    match parts.last_mut() {
                        Some(last) if !was_at_head => last.extend(part),
                        _ => parts.push(part),
                    }
                }
                Step::Skip(length) => drop(come.drain(..length)),
                Step::More if rest.is_empty() => return (parts, None),
                Step::More => {
                    let (now, later) = rest.split_at(piece().clamp(1, rest.len()));
                    come.extend_from_slice(now);
                    rest = later;
                    assert!(come.len() <= 2_048, "no more is kept than a head and a piece");
                }
                end => return (parts, Some(end)),
            }
        }
    }

    fn requests(stream: &str) -> (Vec<String>, Option<Step>) {
        let whole = cut(stream.as_bytes(), || 512);
        assert_eq!(cut(stream.as_bytes(), || 1), whole, "byte by byte");
        let text = |part: Vec<u8>| String::from_utf8(part).expect("text");
        (whole.0.into_iter().map(text).collect(), whole.1)
    }

    #[test]
    fn requests_are_told_apart_in_a_row() {
        let posted = format!("{POST}GET /");
        let chunked = format!("{CHUNKED}5;name=value\r\nab\r\nc\r\nA\r\n0123456789\r\n0\r\nX: y\r\n\r\n");
        let stream = format!("{GET}\r\n{posted}{chunked}{GET}GET / HT");
        assert_eq!(
            requests(&stream),
            (vec![GET.to_owned(), posted, chunked, GET.to_owned()], None)
        );
    }

    #[test]
    fn nothing_is_read_behind_what_is_refused() {
        let smuggled = format!(
            "{GET}POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{GET}"
        );
        assert_eq!(
            requests(&smuggled),
            (vec![GET.to_owned()], Some(Step::Refuse(Refusal::TwoLengths)))
        );
        let empty_lines = format!("\r\n\r\n\r\n{GET}");
        assert!(matches!(requests(&empty_lines), (none, Some(Step::Refuse(Refusal::Malformed(_)))) if none.is_empty()));
        assert!(
            matches!(requests("\r\nGET\r\n\r\n"), (none, Some(Step::Refuse(Refusal::Malformed(_)))) if none.is_empty())
        );
    }

    #[test]
    fn chunks_must_be_framed_well() {
        for body in [
            "5\nabcde\r\n",
            "5\r\nabcdeX\n0\r\n\r\n",
            "5\r\nabcde\r\r",
            "5\r\nabcdeff",
            " 5\r\n",
            "5 \r\n",
            "5 ;a\r\n",
            "-1\r\n",
            "0x5\r\n",
            "\r\n",
            "g\r\n",
            "100000000\r\n",
            "5;\x01\r\n",
            "5;a\rb\r\n",
            "0\r\nX: y\n\r\n",
            "0\r\n0\r\n\r\n",
            "0\r\n X: y\r\n\r\n",
        ] {
            let (parts, end) = requests(&format!("{CHUNKED}{body}"));
            assert_eq!((parts.len(), end), (1, Some(Step::Broken)), "{body:?}");
        }
        let long = format!("{CHUNKED}5;{}", "x".repeat(300));
        assert_eq!(requests(&long).1, Some(Step::Broken));
        let trailers = format!("{CHUNKED}0\r\n{}", "X: y\r\n".repeat(300));
        assert_eq!(requests(&trailers).1, Some(Step::Broken));
    }

    #[test]
    fn a_head_has_a_largest_size() {
        let head = |length: usize| {
            let fill = length - GET.len() - "X: \r\n".len();
            format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(fill))
        };
        assert_eq!(requests(&head(1_024)).1, None);
        assert_eq!(requests(&head(1_025)).1, Some(Step::Refuse(Refusal::TooLarge)));
        assert_eq!(requests(&"x".repeat(1_024)).1, Some(Step::Refuse(Refusal::TooLarge)));
        assert_eq!(requests(&"x".repeat(1_023)).1, None);
    }

    fn any_stream() -> impl Strategy<Value = String> {
        let part = prop_oneof![
            Just(GET.to_owned()),
            Just(POST.to_owned()),
            Just(CHUNKED.to_owned()),
            "[0-9a-f]{0,2}(;x)?\r\n",
            "(X: y)?\r\n",
            "[ -~\r\n]{0,12}",
        ];
        prop::collection::vec(part, 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        #[test]
        fn how_it_arrives_changes_nothing(stream in any_stream(), sizes in prop::collection::vec(1..40_usize, 1..20)) {
            let whole = cut(stream.as_bytes(), || 512);
            prop_assert_eq!(&cut(stream.as_bytes(), || 1), &whole);
            let mut sizes = sizes.iter().cycle();
            prop_assert_eq!(&cut(stream.as_bytes(), || *sizes.next().unwrap_or(&1)), &whole);
        }

        #[test]
        fn no_bytes_make_it_panic(stream in prop::collection::vec(any::<u8>(), 0..200), size in 1..50_usize) {
            let _ = cut(&stream, || size);
            let _ = cut(&[CHUNKED.as_bytes(), &stream].concat(), || size);
        }
    }
}
