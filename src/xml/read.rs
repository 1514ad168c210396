//! Reading a document into elements.

use quick_xml::NsReader;
use quick_xml::events::{BytesRef, BytesStart, Event};
use quick_xml::name::{Namespace, ResolveResult};
use zeroize::Zeroizing;

use super::{Element, Limits, XmlError, append, is_character};

/// Reads a document.
///
/// # Errors
/// [`XmlError`].
pub fn read(bytes: &[u8], limits: &Limits) -> Result<Element, XmlError> {
    if bytes.len() > limits.bytes {
        return Err(XmlError::TooLong(limits.bytes));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| XmlError::Encoding)?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if !text.chars().all(is_character) {
        return Err(XmlError::Malformed);
    }
    let mut builder = Builder {
        limits,
        open: Vec::new(),
        root: None,
        elements: 0,
    };
    let mut reader = NsReader::from_str(text);
    loop {
        let event = reader.read_event().map_err(|_| XmlError::Malformed)?;
        match event {
            Event::Start(start) => builder.begin(element(&reader, &start, limits)?)?,
            Event::Empty(start) => {
                builder.begin(element(&reader, &start, limits)?)?;
                builder.end()?;
            }
            Event::End(_) => builder.end()?,
            Event::Text(text) => builder.text(&text.xml10_content())?,
            Event::CData(text) => builder.text(&text.xml10_content())?,
            Event::GeneralRef(reference) => builder.reference(&reference)?,
            Event::Comment(_) => {}
            Event::Decl(declaration) => {
                let encoding = declaration.encoding().transpose().map_err(|_| XmlError::Malformed)?;
                let is_utf8 = |name: &str| {
                    ["utf-8", "us-ascii"]
                        .iter()
                        .any(|known| name.eq_ignore_ascii_case(known))
                };
                if encoding.is_some_and(|name| !is_utf8(&name)) {
                    return Err(XmlError::Encoding);
                }
            }
            Event::PI(_) => return Err(XmlError::Instruction),
            Event::DocType(_) => return Err(XmlError::DocumentType),
            Event::Eof => return builder.whole(),
        }
    }
}

struct Builder<'a> {
    limits: &'a Limits,
    /// Elements that are not closed yet, the root first.
    open: Vec<Element>,
    root: Option<Element>,
    elements: usize,
}

impl Builder<'_> {
    fn begin(&mut self, element: Element) -> Result<(), XmlError> {
        if self.root.is_some() {
            return Err(XmlError::Root);
        }
        self.elements += 1;
        if self.elements > self.limits.elements {
            return Err(XmlError::TooMany(self.limits.elements));
        }
        if self.open.len() >= self.limits.depth {
            return Err(XmlError::TooDeep(self.limits.depth));
        }
        self.open.push(element);
        Ok(())
    }

    fn end(&mut self) -> Result<(), XmlError> {
        let element = self.open.pop().ok_or(XmlError::Malformed)?;
        match self.open.last_mut() {
            Some(parent) => parent.children.push(element),
            None => self.root = Some(element),
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> Result<(), XmlError> {
        match self.open.last_mut() {
            Some(element) => append(&mut element.text, text),
            None if text.trim_ascii().is_empty() => {}
            None => return Err(XmlError::Root),
        }
        Ok(())
    }

    fn reference(&mut self, reference: &BytesRef<'_>) -> Result<(), XmlError> {
        let by_number = reference.resolve_char_ref().map_err(|_| XmlError::Malformed)?;
        let c = match by_number {
            Some(c) if is_character(c) => c,
            Some(_) => return Err(XmlError::Malformed),
            None => match &*reference.xml10_content() {
                "lt" => '<',
                "gt" => '>',
                "amp" => '&',
                "apos" => '\'',
                "quot" => '"',
                _ => return Err(XmlError::Entity),
            },
        };
        if self.open.is_empty() {
            return Err(XmlError::Root);
        }
        self.text(c.encode_utf8(&mut [0; 4]))
    }

    fn whole(self) -> Result<Element, XmlError> {
        match self.open.is_empty() {
            true => self.root.ok_or(XmlError::Root),
            false => Err(XmlError::Malformed),
        }
    }
}

fn element(reader: &NsReader<&[u8]>, start: &BytesStart<'_>, limits: &Limits) -> Result<Element, XmlError> {
    let (namespace, name) = reader.resolver().resolve_element(start.name());
    checked(start.name().as_ref())?;
    let mut attributes = Vec::new();
    for (index, attribute) in start.attributes().enumerate() {
        if index >= limits.attributes {
            return Err(XmlError::TooManyAttributes(limits.attributes));
        }
        let attribute = attribute.map_err(|_| XmlError::Malformed)?;
        checked(attribute.key.as_ref())?;
        if attribute.key.as_namespace_binding().is_some() {
            continue;
        }
        let (namespace, name) = reader.resolver().resolve_attribute(attribute.key);
        let value = attribute
            .normalized_value(quick_xml::XmlVersion::Explicit1_0)
            .map_err(|_| XmlError::Entity)?;
        attributes.push((namespace_of(&namespace)?, name.as_ref().to_owned(), value.into_owned()));
    }
    Ok(Element {
        namespace: namespace_of(&namespace)?,
        name: name.as_ref().to_owned(),
        attributes,
        children: Vec::new(),
        text: Zeroizing::default(),
    })
}

/// A name, with one prefix or none (Namespaces in XML 1.0, section 4). The library takes anything.
fn checked(name: &str) -> Result<(), XmlError> {
    let (prefix, local) = name.split_once(':').unwrap_or(("_", name));
    let is_good = |part: &str| part.starts_with(begins_name) && part.chars().all(is_in_name);
    match is_good(prefix) && is_good(local) {
        true => Ok(()),
        false => Err(XmlError::Malformed),
    }
}

/// XML 1.0, section 2.3, production 4, without the colon.
fn begins_name(c: char) -> bool {
    matches!(c, 'A'..='Z' | 'a'..='z' | '_' | '\u{c0}'..='\u{d6}' | '\u{d8}'..='\u{f6}' | '\u{f8}'..='\u{2ff}'
        | '\u{370}'..='\u{37d}' | '\u{37f}'..='\u{1fff}' | '\u{200c}'..='\u{200d}' | '\u{2070}'..='\u{218f}'
        | '\u{2c00}'..='\u{2fef}' | '\u{3001}'..='\u{d7ff}' | '\u{f900}'..='\u{fdcf}' | '\u{fdf0}'..='\u{fffd}'
        | '\u{10000}'..='\u{effff}')
}

/// The same, production 4a.
fn is_in_name(c: char) -> bool {
    begins_name(c) || matches!(c, '-' | '.' | '0'..='9' | '\u{b7}' | '\u{300}'..='\u{36f}' | '\u{203f}'..='\u{2040}')
}

fn namespace_of(resolved: &ResolveResult<'_>) -> Result<Option<String>, XmlError> {
    match resolved {
        ResolveResult::Bound(Namespace(name)) => Ok(Some((*name).to_owned())),
        ResolveResult::Unbound => Ok(None),
        ResolveResult::Unknown(_) => Err(XmlError::Prefix),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIMITS: Limits = Limits {
        bytes: 10_000,
        depth: 8,
        elements: 50,
        attributes: 6,
    };

    fn parsed(text: &str) -> Result<Element, XmlError> {
        read(text.as_bytes(), &LIMITS)
    }

    #[test]
    fn elements_attributes_and_text_are_read_with_their_namespaces() {
        let root = parsed(
            "\u{feff}<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!-- c --><a:root xmlns:a='urn:a' xmlns='urn:b' x='1' a:y='&lt;2'>\
             <one>t&#x65;&amp;x<![CDATA[<t>]]></one><a:two/> </a:root>\n",
        )
        .unwrap();
        assert!(root.is("urn:a", "root"));
        assert_eq!(
            (root.attribute(None, "x"), root.attribute(Some("urn:a"), "y")),
            (Some("1"), Some("<2"))
        );
        assert_eq!(root.children.len(), 2);
        assert_eq!(&**root.child("urn:b", "one").unwrap().text, "te&x<t>");
        assert!(root.child("urn:a", "two").is_some() && root.child("urn:b", "two").is_none());
    }

    #[test]
    fn what_could_grow_or_reach_out_is_refused() {
        let bomb = "<!DOCTYPE l [<!ENTITY a \"aaaa\"><!ENTITY b \"&a;&a;\">]><l>&b;</l>";
        let external = "<!DOCTYPE l SYSTEM \"file:///etc/passwd\"><l/>";
        for (text, error) in [
            (bomb, XmlError::DocumentType),
            (external, XmlError::DocumentType),
            ("<a>&xxe;</a>", XmlError::Entity),
            ("<a b='&xxe;'/>", XmlError::Entity),
            ("<?xml-stylesheet href='x'?><a/>", XmlError::Instruction),
            ("<a>&#0;</a>", XmlError::Malformed),
            ("<a>&#xD800;</a>", XmlError::Malformed),
            ("<a>\u{1}</a>", XmlError::Malformed),
            ("<b:a/>", XmlError::Prefix),
            ("<a c:d='1'/>", XmlError::Prefix),
            ("<a>", XmlError::Malformed),
            ("<a></b>", XmlError::Malformed),
            ("</a>", XmlError::Malformed),
            ("<a b='1' b='2'/>", XmlError::Malformed),
            ("<1a/>", XmlError::Malformed),
            ("<a\"b/>", XmlError::Malformed),
            ("<:a/>", XmlError::Malformed),
            ("<b:a: xmlns:b='urn:b'/>", XmlError::Malformed),
            ("<a b&='1'/>", XmlError::Malformed),
            ("<a/><b/>", XmlError::Root),
            ("<a/>x", XmlError::Root),
            ("x<a/>", XmlError::Root),
            ("", XmlError::Root),
            ("<?xml version='1.0' encoding='UTF-7'?><a/>", XmlError::Encoding),
        ] {
            assert_eq!(parsed(text).map(drop), Err(error), "{text}");
        }
        assert_eq!(read(b"<a>\xff</a>", &LIMITS).map(drop), Err(XmlError::Encoding));
    }

    #[test]
    fn every_limit_holds_at_its_boundary() {
        let deep = |depth: usize| format!("{}{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(parsed(&deep(8)).is_ok());
        assert_eq!(parsed(&deep(9)).map(drop), Err(XmlError::TooDeep(8)));
        let many = |count: usize| format!("<a>{}</a>", "<b/>".repeat(count));
        assert!(parsed(&many(49)).is_ok());
        assert_eq!(parsed(&many(50)).map(drop), Err(XmlError::TooMany(50)));
        let attributes = |count: usize| {
            let all: Vec<String> = (0..count).map(|number| format!("a{number}='1'")).collect();
            format!("<a {}/>", all.join(" "))
        };
        assert!(parsed(&attributes(6)).is_ok());
        assert_eq!(parsed(&attributes(7)).map(drop), Err(XmlError::TooManyAttributes(6)));
        assert!(parsed(&format!("<a>{}</a>", "x".repeat(9_993))).is_ok());
        assert_eq!(
            parsed(&format!("<a>{}</a>", "x".repeat(9_994))).map(drop),
            Err(XmlError::TooLong(10_000))
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = read(&bytes, &LIMITS);
        }

        #[test]
        fn any_tags_are_refused_without_a_panic(text in "[<>/a:='\"&;#!\\[\\]? -]{0,80}") {
            let _ = parsed(&text);
        }

        #[test]
        fn text_comes_back_as_it_was_escaped(text in "\\PC{0,60}") {
            let mut out = Zeroizing::default();
            super::super::append_escaped(&mut out, &text);
            let root = parsed(&format!("<a>{}</a>", &*out)).unwrap();
            prop_assert_eq!(&**root.text, &text);
        }
    }
}
