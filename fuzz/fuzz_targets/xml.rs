//! A document of a stranger: within its limits, the same when it is written and read again, and so are the values in it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use passline::xml::{Element, Limits, from_element, read, write_members};
use serde::{Deserialize, Serialize};

const LIMITS: Limits = Limits {
    bytes: 4_000,
    depth: 16,
    elements: 100,
    attributes: 16,
};

/// What we write is longer than what we have read, and declares each namespace anew.
const OURS: Limits = Limits {
    bytes: 1_000_000,
    depth: 17,
    elements: 101,
    attributes: 64,
};

/// A value with all that requests are made of.
#[derive(Debug, PartialEq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Request {
    text: Option<String>,
    number: Option<u32>,
    truth: Option<bool>,
    #[serde(default)]
    list: Vec<Request>,
    #[serde(default)]
    words: Vec<String>,
}

/// How many elements there are, how deep; how many bytes of text.
fn measure(element: &Element) -> (usize, usize, usize) {
    assert!(element.attributes.len() <= LIMITS.attributes);
    assert!(!element.name.is_empty());
    let inside = element.children.iter().map(measure);
    inside.fold(
        (1, 1, element.text.len()),
        |(count, depth, bytes), (more, deep, length)| (count + more, depth.max(deep + 1), bytes + length),
    )
}

/// Any text by the numbers of its characters, so that no white space is lost.
fn by_number(text: &str) -> String {
    text.chars().map(|c| format!("&#{};", u32::from(c))).collect()
}

/// A namespace is compared as it stands there.
fn declaration(prefix: &str, namespace: &str) -> String {
    let quote = if namespace.contains('"') { '\'' } else { '"' };
    format!(" xmlns{prefix}={quote}{namespace}{quote}")
}

fn write(element: &Element, out: &mut String) {
    let name = &element.name;
    *out += &format!("<{name}");
    *out += &declaration("", element.namespace.as_deref().unwrap_or_default());
    for (index, (namespace, name, value)) in element.attributes.iter().enumerate() {
        let value = by_number(value);
        match namespace.as_deref() {
            // Bound to its prefix, whatever is said of it.
            Some("http://www.w3.org/XML/1998/namespace") => *out += &format!(" xml:{name}=\"{value}\""),
            Some(namespace) => {
                *out += &declaration(&format!(":n{index}"), namespace);
                *out += &format!(" n{index}:{name}=\"{value}\"");
            }
            None => *out += &format!(" {name}=\"{value}\""),
        }
    }
    *out += &format!(">{}", by_number(&element.text));
    element.children.iter().for_each(|child| write(child, out));
    *out += &format!("</{name}>");
}

fn assert_same(one: &Element, other: &Element) {
    assert_eq!((&one.namespace, &one.name), (&other.namespace, &other.name));
    assert_eq!(one.attributes, other.attributes);
    assert_eq!(*one.text, *other.text);
    assert_eq!(one.children.len(), other.children.len());
    let children = one.children.iter().zip(&other.children);
    children.for_each(|(one, other)| assert_same(one, other));
}

fuzz_target!(|bytes: &[u8]| {
    let root = match read(bytes, &LIMITS) {
        Ok(root) => root,
        // Why it is not read says nothing of what was in it.
        Err(error) => return assert!(error.to_string().len() < 80),
    };
    let (count, depth, length) = measure(&root);
    assert!(count <= LIMITS.elements && depth <= LIMITS.depth);
    assert!(length <= bytes.len(), "nothing grows");

    let mut written = String::new();
    write(&root, &mut written);
    let again = read(written.as_bytes(), &OURS).unwrap_or_else(|error| panic!("{error}: {written}"));
    assert_same(&root, &again);

    if let Ok(request) = from_element::<Request>(&root) {
        let mut members = "<r>".to_owned().into();
        write_members(&mut members, "", &request).expect("a structure");
        let document = format!("{}</r>", *members);
        let root = read(document.as_bytes(), &OURS).unwrap_or_else(|error| panic!("{error}: {document}"));
        assert_eq!(from_element::<Request>(&root).ok(), Some(request), "{document}");
    }
});
