//! Values of Rust from elements: a member is a child, a list is children of one name, nothing is no child or `xsi:nil`.

use std::fmt;

use serde::de::{
    self, DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor, value::StrDeserializer,
};

use super::Element;

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub struct FromElementError {
    /// The members that lead there, the outermost first.
    pub path: Vec<String>,
    /// What is wrong, in the words of `serde`: they may quote what was there.
    pub message: String,
}

impl fmt::Display for FromElementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for FromElementError {}

impl de::Error for FromElementError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            path: Vec::new(),
            message: message.to_string(),
        }
    }
}

/// Reads a value from what is in an element. Its own name does not matter.
///
/// # Errors
/// [`FromElementError`].
pub fn from_element<T: de::DeserializeOwned>(element: &Element) -> Result<T, FromElementError> {
    T::deserialize(One(element))
}

/// One element as a value.
#[derive(Clone, Copy)]
struct One<'de>(&'de Element);

/// The elements of one name.
struct Same<'de>(Vec<&'de Element>);

type Result<T, E = FromElementError> = std::result::Result<T, E>;

impl<'de> One<'de> {
    /// The text of an element that has nothing else.
    fn text(self) -> Result<&'de str> {
        match self.0.children.is_empty() {
            true => Ok(&self.0.text),
            false => Err(de::Error::custom("invalid type: elements, expected text")),
        }
    }

    fn parsed<T: std::str::FromStr>(self, expected: &str) -> Result<T> {
        let parsed = self.text()?.trim().parse();
        parsed.map_err(|_| de::Error::custom(format_args!("invalid value: text, expected {expected}")))
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty),*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            visitor.$visit(self.parsed::<$type>("a whole number")?)
        }
    )*};
}

impl<'de> Deserializer<'de> for One<'de> {
    type Error = FromElementError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_str(self.text()?)
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        // The four forms of xs:boolean (XML Schema part 2, section 3.2.2).
        match self.text()?.trim() {
            "true" | "1" => visitor.visit_bool(true),
            "false" | "0" => visitor.visit_bool(false),
            _ => Err(de::Error::custom("invalid value: text, expected true or false")),
        }
    }

    numbers!(
        deserialize_i8 visit_i8 i8, deserialize_i16 visit_i16 i16, deserialize_i32 visit_i32 i32,
        deserialize_i64 visit_i64 i64, deserialize_u8 visit_u8 u8, deserialize_u16 visit_u16 u16,
        deserialize_u32 visit_u32 u32, deserialize_u64 visit_u64 u64
    );

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.is_nil() {
            true => visitor.visit_none(),
            false => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        if !self.0.text.trim_ascii().is_empty() {
            return Err(de::Error::custom("invalid type: text, expected elements"));
        }
        let mut groups: Vec<(&str, Vec<&Element>)> = Vec::new();
        for child in &self.0.children {
            match groups.iter_mut().find(|(name, _)| *name == child.name) {
                Some((_, same)) => same.push(child),
                None => groups.push((&child.name, vec![child])),
            }
        }
        visitor.visit_map(Members {
            groups: groups.into_iter(),
            next: None,
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let variant: StrDeserializer<'_, FromElementError> = self.text()?.trim().into_deserializer();
        visitor.visit_enum(variant)
    }

    serde::forward_to_deserialize_any! {
        i128 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple tuple_struct map identifier ignored_any
    }
}

/// The members of an element.
struct Members<'de, I> {
    groups: I,
    next: Option<(&'de str, Vec<&'de Element>)>,
}

impl<'de, I: Iterator<Item = (&'de str, Vec<&'de Element>)>> MapAccess<'de> for Members<'de, I> {
    type Error = FromElementError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>> {
        self.next = self.groups.next();
        let Some((name, _)) = &self.next else { return Ok(None) };
        let name: StrDeserializer<'_, FromElementError> = (*name).into_deserializer();
        seed.deserialize(name).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value> {
        let (name, same) = self
            .next
            .take()
            .ok_or_else(|| de::Error::custom("a value without a name"))?;
        seed.deserialize(Same(same)).map_err(|mut error| {
            error.path.insert(0, name.to_owned());
            error
        })
    }
}

impl<'de> Same<'de> {
    fn one(self) -> Result<One<'de>> {
        match self.0.as_slice() {
            [one] => Ok(One(one)),
            _ => Err(de::Error::custom("invalid type: several elements, expected one")),
        }
    }
}

macro_rules! of_one {
    ($($method:ident)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
            self.one()?.$method(visitor)
        }
    )*};
}

impl<'de> Deserializer<'de> for Same<'de> {
    type Error = FromElementError;

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_seq(List {
            items: self.0.into_iter(),
            index: 0,
        })
    }

    /// An option of a list is there if any item is.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        match self.0.as_slice() {
            [one] if one.is_nil() => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.one()?.deserialize_struct(name, fields, visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.one()?.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        self.one()?.deserialize_unit_struct(name, visitor)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(self, _: &'static str, _: usize, visitor: V) -> Result<V::Value> {
        self.deserialize_seq(visitor)
    }

    /// What nobody asks for is not looked at.
    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        visitor.visit_unit()
    }

    of_one!(
        deserialize_any deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf deserialize_unit
        deserialize_map deserialize_identifier
    );
}

/// Items of a list.
struct List<'de> {
    items: std::vec::IntoIter<&'de Element>,
    index: usize,
}

impl<'de> SeqAccess<'de> for List<'de> {
    type Error = FromElementError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>> {
        let Some(item) = self.items.next() else { return Ok(None) };
        let index = self.index;
        self.index += 1;
        let value = seed.deserialize(One(item)).map_err(|mut error| {
            error.path.insert(0, format!("[{index}]"));
            error
        });
        value.map(Some)
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::super::{Limits, read};
    use super::*;

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Request {
        digits: String,
        page_size: Option<u32>,
        expire: Option<bool>,
        #[serde(default)]
        audio: Audio,
        #[serde(default)]
        answers: Vec<Answer>,
        accounts: Option<Vec<String>>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Audio {
        #[default]
        None,
        Pcm,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Answer {
        question: String,
        digits: String,
    }

    fn parsed(text: &str) -> Result<Request> {
        let limits = Limits {
            bytes: 10_000,
            depth: 8,
            elements: 50,
            attributes: 6,
        };
        let text = format!("<r xmlns:xsi='http://www.w3.org/2001/XMLSchema-instance'>{text}</r>");
        from_element(&read(text.as_bytes(), &limits).unwrap())
    }

    #[test]
    fn members_lists_and_what_is_left_out() {
        let all = parsed(
            "<digits>12*</digits><pageSize> 5 </pageSize><expire>1</expire><audio>pcm</audio>\
             <answers><question>a</question><digits>1</digits></answers><accounts>x</accounts>\
             <answers><digits/><question>b</question></answers>",
        );
        let answer = |question: &str, digits: &str| Answer {
            question: question.to_owned(),
            digits: digits.to_owned(),
        };
        let expected = Request {
            digits: "12*".to_owned(),
            page_size: Some(5),
            expire: Some(true),
            audio: Audio::Pcm,
            answers: vec![answer("a", "1"), answer("b", "")],
            accounts: Some(vec!["x".to_owned()]),
        };
        assert_eq!(all, Ok(expected));
        let few = parsed("<digits/><pageSize xsi:nil='true'/>").unwrap();
        assert_eq!(
            (few.page_size, few.expire, few.audio, few.accounts),
            (None, None, Audio::None, None)
        );
    }

    #[test]
    fn mistakes_say_where_they_are() {
        for (text, path, message) in [
            ("", "", "missing field `digits`"),
            ("<digits>1</digits><digits>2</digits>", "digits", "several elements"),
            ("<digits><x/></digits>", "digits", "expected text"),
            ("<digits/><pageSize>many</pageSize>", "pageSize", "a whole number"),
            ("<digits/><expire>yes</expire>", "expire", "true or false"),
            ("<digits/><other/>", "", "unknown field `other`"),
            (
                "<digits/><answers><question/></answers>",
                "answers [0]",
                "missing field `digits`",
            ),
            ("<digits/>text", "", "expected elements"),
            ("<digits/><audio>loud</audio>", "audio", "unknown variant"),
        ] {
            let error = parsed(text).unwrap_err();
            assert_eq!(error.path.join(" "), path, "{text}");
            assert!(error.message.contains(message), "{text}: {}", error.message);
        }
    }
}
