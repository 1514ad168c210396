//! Texts with `{names}` in them, and what is put in their place.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

/// All but the unreserved characters of RFC 3986, section 2.3.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// What stands for a name.
pub(super) struct Values<'a> {
    /// Whether the password is to be changed at the next sign-in.
    pub(super) must_change: bool,
    pub(super) texts: BTreeMap<&'a str, &'a str>,
}

impl Values<'_> {
    fn text(&self, name: &str) -> &str {
        match name {
            "must_change" if self.must_change => "true",
            "must_change" => "false",
            _ => self.texts.get(name).copied().unwrap_or_default(),
        }
    }
}

/// A text with names in braces: `{url}/users/{id}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Name(String),
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self::parse(&text))
    }
}

impl Template {
    /// Braces around anything else than a name are text.
    pub(super) fn parse(text: &str) -> Self {
        let is_name = |name: &str| !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        let mut parts = Vec::new();
        let mut plain = String::new();
        let mut rest = text;
        while let Some(open) = rest.find('{') {
            plain.push_str(&rest[..open]);
            let inner = &rest[open + 1..];
            match inner.find('}').map(|close| inner.split_at(close)) {
                Some((name, behind)) if is_name(name) => {
                    if !plain.is_empty() {
                        parts.push(Part::Text(std::mem::take(&mut plain)));
                    }
                    parts.push(Part::Name(name.to_owned()));
                    rest = &behind[1..];
                }
                _ => {
                    plain.push('{');
                    rest = inner;
                }
            }
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            parts.push(Part::Text(plain));
        }
        Self(parts)
    }

    /// The names in it.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Whether it is this name and nothing else.
    fn is_just(&self, wanted: &str) -> bool {
        matches!(self.0.as_slice(), [Part::Name(name)] if name == wanted)
    }

    fn filled(&self, values: &Values<'_>, write: impl Fn(&mut String, &str, &str)) -> Zeroizing<String> {
        // Long enough for most: a text that grows leaves pieces behind.
        let mut text = Zeroizing::new(String::with_capacity(1_024));
        for part in &self.0 {
            match part {
                Part::Text(plain) => text.push_str(plain),
                Part::Name(name) => write(&mut text, name, values.text(name)),
            }
        }
        text
    }

    /// As it is.
    pub(super) fn plain(&self, values: &Values<'_>) -> Zeroizing<String> {
        self.filled(values, |text, _, value| text.push_str(value))
    }

    /// As a URL: what stands for a name is encoded, but for one at the beginning, which is the beginning of a URL.
    pub(super) fn url(&self, values: &Values<'_>) -> Zeroizing<String> {
        self.filled(values, |text, _, value| match text.is_empty() {
            true => text.push_str(value.trim_end_matches('/')),
            false => text.extend(encoded(value)),
        })
    }
}

fn encoded(value: &str) -> percent_encoding::PercentEncode<'_> {
    utf8_percent_encode(value, ENCODED)
}

/// Pairs of a query or a form, encoded: `a=1&b=2`.
pub(super) fn pairs(pairs: &BTreeMap<String, Template>, values: &Values<'_>) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(1_024));
    for (name, template) in pairs {
        if !text.is_empty() {
            text.push('&');
        }
        text.extend(encoded(name));
        text.push('=');
        text.extend(encoded(&template.plain(values)));
    }
    text
}

/// JSON with templates for texts; a text that is just `{must_change}` becomes true or false.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Json {
    Text(Template),
    Other(serde_json::Value),
    List(Vec<Json>),
    Object(BTreeMap<String, Json>),
}

impl From<toml::Value> for Json {
    fn from(value: toml::Value) -> Self {
        use serde_json::Value;
        match value {
            toml::Value::String(text) => Self::Text(Template::parse(&text)),
            toml::Value::Integer(number) => Self::Other(Value::from(number)),
            toml::Value::Float(number) => Self::Other(Value::from(number)),
            toml::Value::Boolean(is) => Self::Other(Value::Bool(is)),
            toml::Value::Datetime(time) => Self::Other(Value::String(time.to_string())),
            toml::Value::Array(list) => Self::List(list.into_iter().map(Self::from).collect()),
            toml::Value::Table(table) => {
                Self::Object(table.into_iter().map(|(key, value)| (key, Self::from(value))).collect())
            }
        }
    }
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        toml::Value::deserialize(deserializer).map(Self::from)
    }
}

impl Json {
    /// The names in it.
    pub(super) fn names(&self, into: &mut BTreeSet<String>) {
        match self {
            Self::Text(template) => into.extend(template.names().map(str::to_owned)),
            Self::Other(_) => {}
            Self::List(list) => list.iter().for_each(|item| item.names(into)),
            Self::Object(members) => members.values().for_each(|item| item.names(into)),
        }
    }

    fn filled(&self, values: &Values<'_>) -> serde_json::Value {
        use serde_json::Value;
        match self {
            Self::Text(template) if template.is_just("must_change") => Value::Bool(values.must_change),
            Self::Text(template) => Value::String(template.plain(values).to_string()),
            Self::Other(value) => value.clone(),
            Self::List(list) => Value::Array(list.iter().map(|item| item.filled(values)).collect()),
            Self::Object(members) => Value::Object(
                members
                    .iter()
                    .map(|(key, item)| (key.clone(), item.filled(values)))
                    .collect(),
            ),
        }
    }

    /// The text of it.
    pub(super) fn text(&self, values: &Values<'_>) -> Zeroizing<String> {
        let mut value = self.filled(values);
        let text = Zeroizing::new(value.to_string());
        wipe(&mut value);
        text
    }
}

/// Wipes every text in a JSON value, one of which was a secret.
pub(super) fn wipe(value: &mut serde_json::Value) {
    use serde_json::Value;
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(list) => list.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Name(name) => write!(f, "{{{name}}}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn values<'a>(texts: &[(&'a str, &'a str)]) -> Values<'a> {
        Values {
            must_change: true,
            texts: texts.iter().copied().collect(),
        }
    }

    #[test]
    fn names_are_replaced_and_encoded_where_they_stand() {
        let values = values(&[
            ("url", "https://sso.example.com/"),
            ("id", "a/b?c"),
            ("password", "p&=\"%"),
        ]);
        assert_eq!(
            *Template::parse("{url}/users/{id}").url(&values),
            "https://sso.example.com/users/a%2Fb%3Fc"
        );
        assert_eq!(
            *Template::parse("{Not a name} {} {id").plain(&values),
            "{Not a name} {} {id"
        );
        let form = BTreeMap::from([
            ("a".to_owned(), Template::parse("x")),
            ("b c".to_owned(), Template::parse("{password}")),
        ]);
        assert_eq!(*pairs(&form, &values), "a=x&b%20c=p%26%3D%22%25");
        let json: toml::Value =
            toml::from_str("p = \"{password}\"\nm = \"{must_change}\"\nt = \"is {must_change}\"\nn = [1, true]")
                .expect("TOML");
        assert_eq!(
            *Json::from(json).text(&values),
            "{\"m\":true,\"n\":[1,true],\"p\":\"p&=\\\"%\",\"t\":\"is true\"}"
        );
    }

    proptest! {
        #[test]
        fn a_template_without_values_reads_as_it_was_written(text in "[a-z{}_ ]{0,30}") {
            prop_assert_eq!(Template::parse(&text).to_string(), text);
        }

        /// Whatever stands for a name, it stays one segment of a path and one value of a query.
        #[test]
        fn a_value_never_leaves_its_place(value in "\\PC{0,20}") {
            let values = values(&[("url", "https://h"), ("id", &value)]);
            let url = Template::parse("{url}/u/{id}/end").url(&values);
            prop_assert_eq!(url.matches('/').count(), 5);
            prop_assert!(!url.contains(['?', '#', '&', ' ', '"']));
        }
    }
}
