//! Values of Rust as elements.

use std::fmt;

use serde::ser::{self, Impossible, Serialize, SerializeSeq, SerializeStruct, Serializer};
use zeroize::Zeroizing;

use super::{append, append_escaped};

/// A value that has no form here.
#[derive(Debug, PartialEq, Eq)]
pub struct WriteError(String);

impl fmt::Display for WriteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for WriteError {}

impl ser::Error for WriteError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// Appends the members of a value as elements, each with this prefix and a colon before its name, or with none.
///
/// # Errors
/// [`WriteError`] for what is no structure of texts, numbers, truths, lists and structures.
pub fn write_members<T: Serialize>(out: &mut Zeroizing<String>, prefix: &str, value: &T) -> Result<(), WriteError> {
    value.serialize(Writer {
        out,
        prefix,
        name: None,
    })
}

/// Writes one value, as an element of this name; without one, only what is in it.
struct Writer<'a> {
    out: &'a mut Zeroizing<String>,
    prefix: &'a str,
    name: Option<&'a str>,
}

impl Writer<'_> {
    fn tag(&mut self, open: &str) {
        let Some(name) = self.name else { return };
        append(self.out, open);
        if !self.prefix.is_empty() {
            append(self.out, self.prefix);
            append(self.out, ":");
        }
        append(self.out, name);
        append(self.out, ">");
    }

    fn text(mut self, text: &str) -> Result<(), WriteError> {
        self.tag("<");
        append_escaped(self.out, text);
        self.tag("</");
        Ok(())
    }
}

macro_rules! texts {
    ($($method:ident $type:ty),*) => {$(
        fn $method(self, value: $type) -> Result<(), WriteError> {
            self.text(&value.to_string())
        }
    )*};
}

fn none<T>() -> Result<T, WriteError> {
    Err(WriteError("a value of this kind has no form in XML here".to_owned()))
}

impl<'a> Serializer for Writer<'a> {
    type Ok = ();
    type Error = WriteError;
    type SerializeSeq = Self;
    type SerializeTuple = Impossible<(), WriteError>;
    type SerializeTupleStruct = Impossible<(), WriteError>;
    type SerializeTupleVariant = Impossible<(), WriteError>;
    type SerializeMap = Impossible<(), WriteError>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Impossible<(), WriteError>;

    texts!(
        serialize_bool bool, serialize_i8 i8, serialize_i16 i16, serialize_i32 i32, serialize_i64 i64,
        serialize_u8 u8, serialize_u16 u16, serialize_u32 u32, serialize_u64 u64, serialize_char char
    );

    fn serialize_f32(self, _: f32) -> Result<(), WriteError> {
        none()
    }

    fn serialize_f64(self, _: f64) -> Result<(), WriteError> {
        none()
    }

    fn serialize_str(self, text: &str) -> Result<(), WriteError> {
        self.text(text)
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), WriteError> {
        none()
    }

    fn serialize_none(self) -> Result<(), WriteError> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), WriteError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), WriteError> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), WriteError> {
        self.text(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), WriteError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), WriteError> {
        none()
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Self, WriteError> {
        match self.name {
            Some(_) => Ok(self),
            None => none(),
        }
    }

    fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple, WriteError> {
        none()
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeTupleStruct, WriteError> {
        none()
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant, WriteError> {
        none()
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, WriteError> {
        none()
    }

    fn serialize_struct(mut self, _: &'static str, _: usize) -> Result<Self, WriteError> {
        self.tag("<");
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant, WriteError> {
        none()
    }
}

/// A list: an element of the same name for each item.
impl SerializeSeq for Writer<'_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), WriteError> {
        item.serialize(Writer {
            out: self.out,
            prefix: self.prefix,
            name: self.name,
        })
    }

    fn end(self) -> Result<(), WriteError> {
        Ok(())
    }
}

impl SerializeStruct for Writer<'_> {
    type Ok = ();
    type Error = WriteError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, value: &T) -> Result<(), WriteError> {
        value.serialize(Writer {
            out: self.out,
            prefix: self.prefix,
            name: Some(name),
        })
    }

    fn end(mut self) -> Result<(), WriteError> {
        self.tag("</");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    use super::*;

    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Response {
        job_name: &'static str,
        done: bool,
        accounts: Vec<Account>,
        next: Option<u32>,
        after: Option<u32>,
    }

    #[derive(Serialize)]
    struct Account {
        system: &'static str,
        kind: Kind,
    }

    #[derive(Serialize)]
    #[serde(rename_all = "snake_case")]
    enum Kind {
        NotLocked,
    }

    #[test]
    fn structures_lists_and_what_is_left_out() {
        let account = |system| Account {
            system,
            kind: Kind::NotLocked,
        };
        let response = Response {
            job_name: "a<&\"b",
            done: true,
            accounts: vec![account("mail"), account("erp")],
            next: None,
            after: Some(7),
        };
        let written = |prefix| {
            let mut out = Zeroizing::default();
            write_members(&mut out, prefix, &response).unwrap();
            out.to_string()
        };
        assert_eq!(
            written(""),
            "<jobName>a&lt;&amp;&quot;b</jobName><done>true</done>\
             <accounts><system>mail</system><kind>not_locked</kind></accounts>\
             <accounts><system>erp</system><kind>not_locked</kind></accounts><after>7</after>"
        );
        assert!(written("p").starts_with("<p:jobName>a&lt;&amp;&quot;b</p:jobName>"));
    }

    #[test]
    fn what_has_no_form_is_told() {
        let mut out = Zeroizing::default();
        assert!(write_members(&mut out, "", &vec![1]).is_err());
        assert!(write_members(&mut out, "", &std::collections::BTreeMap::from([("a", 1)])).is_err());
    }
}
