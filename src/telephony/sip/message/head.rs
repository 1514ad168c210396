//! Where a head ends, and the characters that it must not hold.

/// Where a head ends, and where the body begins behind the empty line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::telephony::sip) struct HeadEnd {
    /// The end of its last line, without the line end.
    pub(super) head: usize,
    /// The first byte behind the empty line.
    pub(in crate::telephony::sip) body: usize,
}

/// Finds the empty line, looking at what follows `from`. Peers that end lines with a bare LF are answered, with a 400.
pub(in crate::telephony::sip) fn head_end(bytes: &[u8], from: usize) -> Option<HeadEnd> {
    let searched = bytes.get(from..)?;
    let proper = memchr::memmem::find(searched, b"\n\r\n");
    // The two may share a line end.
    let before = proper.map_or(searched.len(), |at| at + 1);
    let bare = memchr::memmem::find(&searched[..before], b"\n\n");
    let (at, length) = bare.map(|at| (at, 2)).or(proper.map(|at| (at, 3)))?;
    let line_end = from + at;
    let head = line_end - usize::from(line_end > 0 && bytes[line_end - 1] == b'\r');
    Some(HeadEnd {
        head,
        body: line_end + length,
    })
}

/// Control characters that no head may hold.
pub(super) struct Strays {
    /// Any of them.
    pub(super) control: bool,
    /// A CR or LF that is half of a line end.
    pub(super) line_end: bool,
}

impl Strays {
    pub(super) fn of(head: &str) -> Self {
        let bytes = head.as_bytes();
        let strays = (0..bytes.len()).filter(|index| is_stray_control(bytes, *index));
        strays.fold(
            Self {
                control: false,
                line_end: false,
            },
            |found, index| Self {
                control: true,
                line_end: found.line_end || matches!(bytes[index], b'\r' | b'\n'),
            },
        )
    }
}

/// Control characters are legal in one place only: behind a backslash in a quoted string (section 25.1, `quoted-pair`),
/// where CR and LF still are not.
fn is_stray_control(bytes: &[u8], index: usize) -> bool {
    match bytes[index] {
        b'\t' => false,
        b'\r' => bytes.get(index + 1) != Some(&b'\n'),
        b'\n' => index == 0 || bytes[index - 1] != b'\r',
        0..=0x1f | 0x7f => index == 0 || bytes[index - 1] != b'\\',
        _ => false,
    }
}

/// A line end for a bare LF, as many peers read it, and for the others a character that is in no name and in no number:
/// the answer to a broken message copies its fields, and must not hold a line that we did not write.
pub(super) fn without_strays(head: &str) -> String {
    let mut clean = String::with_capacity(head.len() + 16);
    for (index, c) in head.char_indices() {
        match c {
            _ if !is_stray_control(head.as_bytes(), index) => clean.push(c),
            '\n' => clean.push_str("\r\n"),
            _ => clean.push(char::REPLACEMENT_CHARACTER),
        }
    }
    clean
}
