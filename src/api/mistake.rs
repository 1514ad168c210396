//! What is wrong with a request, told by its place and by what would be right, never by what was there: it may be an answer
//! or a password, and `serde` quotes values.

use super::calls::{Fault, FaultKind};

/// Stands for a message: the request is not JSON at all.
pub(super) const NOT_JSON: &str = "is not JSON";

/// The fault for a message of `serde` about the member at `path`; in which line and column, if it is known.
pub(super) fn told(path: &str, message: &str, place: Option<(usize, usize)>) -> Fault {
    // Of a name that is not known, the path ends in that name.
    let path = match message.starts_with("unknown field ") {
        true => path.rsplit_once('.').map_or(".", |(parent, _)| parent),
        false => path,
    };
    let member = match path {
        "." | "" => "the request".to_owned(),
        path => format!("`{path}`"),
    };
    let what = match message {
        NOT_JSON => NOT_JSON.to_owned(),
        message => what_is_wrong(message),
    };
    let place = place.map_or_else(String::new, |(line, column)| format!(" (line {line}, column {column})"));
    Fault::with(FaultKind::InvalidRequest, format!("{member} {what}{place}"))
}

/// What `serde` calls by the names of Rust.
fn in_plain_words(expected: &str) -> &str {
    match expected {
        "a map" => "an object",
        "a sequence" => "a list",
        "u8" | "u16" | "u32" | "u64" => "a whole number, not below zero",
        "i8" | "i16" | "i32" | "i64" => "a whole number",
        expected if expected.starts_with("struct ") => "an object",
        expected => expected,
    }
}

/// The part of a message of `serde` that is not from the request.
fn what_is_wrong(message: &str) -> String {
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let known = ["invalid type: ", "invalid value: ", "invalid length "];
    if known.iter().any(|start| message.starts_with(start)) {
        let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
        return format!("should be {}", expected.map_or("something else", in_plain_words));
    }
    if message.starts_with("unknown field ") || message.starts_with("unknown variant ") {
        let expected = message.rsplit_once(", expected ").map(|(_, expected)| expected);
        return match expected {
            Some(expected) => format!("has a name that is not known; expected {expected}"),
            None => "has a name that is not known; it has none at all".to_owned(),
        };
    }
    if message.starts_with("missing field ") || message.starts_with("duplicate field ") {
        return format!("has a {message}");
    }
    // Those of our own types, which say what is wanted.
    format!("is wrong: {message}")
}
