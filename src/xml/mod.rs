//! XML of strangers, read with care, and XML of our own.
//!
//! A document is read as a whole into elements, within limits on everything. There is no document type, so no entities but
//! the five that XML itself has, no external ones, and nothing that grows when it is read. Values of Rust are read from
//! elements ([`from_element`]) and written as elements ([`write_members`]) by way of `serde`: a member is a child, a list is children of
//! one name, nothing is no child.

mod de;
mod read;
mod ser;

use std::fmt;

use zeroize::{Zeroize, Zeroizing};

pub use de::{FromElementError, from_element};
pub use read::read;
pub use ser::{WriteError, write_members};

/// Instances of XML Schema, for `xsi:nil` (XML Schema part 1, section 2.6).
pub const INSTANCE: &str = "http://www.w3.org/2001/XMLSchema-instance";

/// An element with all that is in it. Its text may be a secret: it is wiped, and not shown.
pub struct Element {
    /// The namespace, if it is in one.
    pub namespace: Option<String>,
    /// The local name.
    pub name: String,
    /// Attributes: namespace, local name, value. Declarations of namespaces are not among them.
    pub attributes: Vec<(Option<String>, String, String)>,
    /// What is in it, in its order.
    pub children: Vec<Element>,
    /// All text that is directly in it.
    pub text: Zeroizing<String>,
}

impl Element {
    /// Whether it has this name in this namespace.
    #[must_use]
    pub fn is(&self, namespace: &str, name: &str) -> bool {
        self.name == name && self.namespace.as_deref() == Some(namespace)
    }

    /// The child with this name in this namespace; the first one of several.
    #[must_use]
    pub fn child(&self, namespace: &str, name: &str) -> Option<&Self> {
        self.children.iter().find(|child| child.is(namespace, name))
    }

    /// An attribute in this namespace, or in none.
    #[must_use]
    pub fn attribute(&self, namespace: Option<&str>, name: &str) -> Option<&str> {
        let found = self
            .attributes
            .iter()
            .find(|(of, local, _)| of.as_deref() == namespace && local == name);
        found.map(|(_, _, value)| value.as_str())
    }

    /// Whether it says of itself that it is nothing.
    fn is_nil(&self) -> bool {
        matches!(self.attribute(Some(INSTANCE), "nil"), Some("true" | "1"))
    }
}

impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let children: Vec<_> = self.children.iter().map(|child| &child.name).collect();
        f.debug_struct("Element")
            .field("name", &self.name)
            .field("children", &children)
            .finish_non_exhaustive()
    }
}

impl Drop for Element {
    fn drop(&mut self) {
        for (_, _, value) in &mut self.attributes {
            value.zeroize();
        }
    }
}

/// How large a document may be.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of the whole.
    pub bytes: usize,
    /// Elements within each other.
    pub depth: usize,
    /// Elements.
    pub elements: usize,
    /// Attributes of one element, declarations of namespaces among them.
    pub attributes: usize,
}

/// Why a document is not read, without any part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum XmlError {
    /// Larger than allowed.
    #[error("the document has more than {0} bytes")]
    TooLong(usize),
    /// Elements too deep within each other.
    #[error("elements are more than {0} deep in each other")]
    TooDeep(usize),
    /// Too many elements.
    #[error("there are more than {0} elements")]
    TooMany(usize),
    /// Too many attributes.
    #[error("an element has more than {0} attributes")]
    TooManyAttributes(usize),
    /// Not in UTF-8.
    #[error("the document is not in UTF-8")]
    Encoding,
    /// A document type, which could define entities.
    #[error("a document type is not read")]
    DocumentType,
    /// A processing instruction.
    #[error("processing instructions are not read")]
    Instruction,
    /// An entity other than `&lt;` `&gt;` `&amp;` `&apos;` `&quot;` and characters by number.
    #[error("there are no entities but &lt; &gt; &amp; &apos; &quot;")]
    Entity,
    /// A prefix without a namespace.
    #[error("a prefix stands for no namespace")]
    Prefix,
    /// Text or elements beside the one root, or none at all.
    #[error("there is not exactly one root element")]
    Root,
    /// Tags that do not fit each other, or other breaches of XML 1.0.
    #[error("the document is not well-formed")]
    Malformed,
}

/// Appends to a text that may be a secret: growing it would leave a copy behind.
pub fn append(text: &mut Zeroizing<String>, more: &str) {
    if text.capacity() - text.len() < more.len() {
        let mut longer = Zeroizing::new(String::with_capacity((text.len() + more.len()).max(2 * text.len())));
        longer.push_str(text);
        *text = longer;
    }
    text.push_str(more);
}

/// Appends text as the content of an element or the value of an attribute. Characters that XML 1.0 has not (section 2.2)
/// become U+FFFD.
pub fn append_escaped(out: &mut Zeroizing<String>, text: &str) {
    let mut buffer = [0; 4];
    for c in text.chars() {
        let escaped = match c {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\r' => "&#13;",
            '\t' | '\n' => c.encode_utf8(&mut buffer),
            c if is_character(c) => c.encode_utf8(&mut buffer),
            _ => "\u{fffd}",
        };
        append(out, escaped);
    }
}

/// What may be in a document (XML 1.0, section 2.2).
fn is_character(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..='\u{10ffff}')
}
