//! A voice browser for tests: reads one page and does what VoiceXML says, as far as the pages of this house go. What it does
//! not know is a failure.

use crate::xml::{self, Element, Limits};

const NAMESPACE: &str = "http://www.w3.org/2001/vxml";

/// Reads pages.
pub(super) struct Browser;

/// A page that is being carried out.
pub(super) struct Shown {
    root: Element,
}

impl Browser {
    pub(super) fn read(text: &[u8]) -> Shown {
        let limits = Limits {
            bytes: 64 * 1024,
            depth: 16,
            elements: 512,
            attributes: 8,
        };
        let root = xml::read(text, &limits).expect("well-formed");
        assert!(root.is(NAMESPACE, "vxml") && root.attribute(None, "version") == Some("2.1"));
        Shown { root }
    }
}

impl Shown {
    /// The caller presses these keys, and then nothing.
    pub(super) fn press(&self, keys: &str) -> String {
        let field = self.field().expect("a field");
        assert_eq!(property(&self.root, "inputmodes"), Some("dtmf"));
        let termchar = property(field, "termchar").unwrap_or("#");
        let grammar = child(field, "grammar").expect("a grammar");
        assert_eq!(grammar.attribute(None, "mode"), Some("dtmf"));
        let root = grammar.attribute(None, "root");
        let rule = child(grammar, "rule").filter(|rule| rule.attribute(None, "id") == root);
        let repeated = child(rule.expect("the root rule"), "item").expect("an item");
        let (least, most) = repeated
            .attribute(None, "repeat")
            .and_then(|repeat| repeat.split_once('-'))
            .expect("a repeat");
        let (least, most): (usize, usize) = (least.parse().expect("a number"), most.parse().expect("a number"));
        let tokens: Vec<&str> = child(repeated, "one-of")
            .expect("tokens")
            .children
            .iter()
            .map(|item| item.text.as_str())
            .collect();
        let mut entry = Vec::new();
        for key in keys.chars() {
            if key.to_string() == termchar || entry.len() == most {
                break;
            }
            entry.push(key.to_string());
        }
        let matches = entry.len() >= least && entry.iter().all(|key| tokens.contains(&key.as_str()));
        if !matches {
            return self.run(child(field, "nomatch").expect("a handler"), None);
        }
        // As some platforms give it.
        let value = entry.join(" ");
        self.run(child(field, "filled").expect("a handler"), Some(&value))
    }

    pub(super) fn be_silent(&self) -> String {
        let field = self.field().expect("a field");
        let timeout = property(field, "timeout").and_then(|time| time.strip_suffix("ms"));
        assert!(timeout.is_some_and(|time| time.parse::<u64>().is_ok_and(|time| time >= 1_000)));
        self.run(child(field, "noinput").expect("a handler"), None)
    }

    pub(super) fn hang_up(&self) -> String {
        let handlers = self.root.children.iter();
        let handler = handlers.filter(|child| child.name == "catch").find(|handler| {
            let events = handler.attribute(None, "event").unwrap_or_default();
            // A prefix catches what begins with it (VoiceXML 2.0, section 5.2.4).
            events
                .split(' ')
                .any(|event| "connection.disconnect.hangup".starts_with(event))
        });
        self.run(handler.expect("a handler"), None)
    }

    /// What a page posts that asks nothing: nobody has the time to key anything.
    pub(super) fn come_back(&self) -> String {
        let field = self.field().expect("a field");
        assert_eq!(property(field, "timeout"), Some("10ms"));
        let prompts = field.children.iter().filter(|child| child.name == "prompt");
        assert!(
            prompts
                .into_iter()
                .all(|prompt| prompt.attribute(None, "bargein") == Some("false"))
        );
        self.run(child(field, "noinput").expect("a handler"), None)
    }

    pub(super) fn disconnects(&self) -> bool {
        self.block().is_some_and(|block| child(block, "disconnect").is_some())
    }

    fn field(&self) -> Option<&Element> {
        child(child(&self.root, "form")?, "field")
    }

    fn block(&self) -> Option<&Element> {
        child(child(&self.root, "form")?, "block")
    }

    /// Carries out a handler to its submission; the fields that are posted.
    fn run(&self, handler: &Element, entry: Option<&str>) -> String {
        let mut variables: Vec<(String, String)> = Vec::new();
        let value = |expression: &str| match expression.strip_prefix('\'') {
            Some(text) => text.strip_suffix('\'').expect("a text").to_owned(),
            None if expression == "entry" => entry.expect("filled").to_owned(),
            None => expression.parse::<u32>().expect("a number").to_string(),
        };
        let declared = self.root.children.iter().filter(|child| child.name == "var");
        for step in declared.chain(&handler.children) {
            let attribute = |name| step.attribute(None, name).unwrap_or_default();
            match step.name.as_str() {
                "var" | "assign" => {
                    variables.retain(|(name, _)| name != attribute("name"));
                    variables.push((attribute("name").to_owned(), value(attribute("expr"))));
                }
                "prompt" => {}
                "submit" => {
                    assert_eq!((attribute("method"), attribute("next")), ("post", "/ivr/voicexml"));
                    let mut form = form_urlencoded::Serializer::new(String::new());
                    for name in attribute("namelist").split(' ') {
                        let (_, value) = variables.iter().find(|(known, _)| known == name).expect("a variable");
                        form.append_pair(name, value);
                    }
                    return form.finish();
                }
                other => panic!("{other} is not known"),
            }
        }
        panic!("nothing is posted");
    }
}

fn child<'a>(of: &'a Element, name: &str) -> Option<&'a Element> {
    of.child(NAMESPACE, name)
}

fn property<'a>(of: &'a Element, name: &str) -> Option<&'a str> {
    let found = of
        .children
        .iter()
        .find(|child| child.name == "property" && child.attribute(None, "name") == Some(name));
    found?.attribute(None, "value")
}
