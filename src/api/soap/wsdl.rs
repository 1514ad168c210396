//! The description of the API for SOAP: types as XML Schema, and WSDL 1.1 around them, from the same description as that of
//! JSON.

use std::fmt::Write as _;

use serde_json::Value;

use super::{NAMESPACE, SESSION};
use crate::api::calls::Call;
use crate::api::json::openapi::{Description, about, reference_of};
use crate::for_each_call;

/// JAX-WS makes one list of parameters of a request and its response, and gives up when both have a member of one name
/// (`accounts`), unless it is told to leave them in their wrappers (JAX-WS 2.3, chapter 8). Others pass over it.
const FOR_JAX_WS: &str = "<jaxws:bindings xmlns:jaxws=\"http://java.sun.com/xml/ns/jaxws\">\
                          <jaxws:enableWrapperStyle>false</jaxws:enableWrapperStyle></jaxws:bindings>\n";

/// WSDL with these types, for a service at `address`; with a port for SOAP 1.2, or for SOAP 1.1 alone.
pub(super) fn wsdl(address: &str, with_12: bool) -> String {
    let mut out = String::with_capacity(64 * 1024);
    let soap12 = match with_12 {
        true => " xmlns:soap12=\"http://schemas.xmlsoap.org/wsdl/soap12/\"",
        false => "",
    };
    let _ = write!(
        out,
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<wsdl:definitions name=\"Passline\" targetNamespace=\"{NAMESPACE}\" \
         xmlns:tns=\"{NAMESPACE}\" xmlns:wsdl=\"http://schemas.xmlsoap.org/wsdl/\" \
         xmlns:soap=\"http://schemas.xmlsoap.org/wsdl/soap/\"{soap12}>\n{FOR_JAX_WS}<wsdl:types>\n"
    );
    types(&mut out);
    out.push_str("</wsdl:types>\n");
    out.push_str(
        "<wsdl:message name=\"Problem\"><wsdl:part name=\"problem\" element=\"tns:Problem\"/></wsdl:message>\n",
    );
    macro_rules! messages {
        ($call:ty) => {
            let name = <$call>::NAME;
            let _ = write!(
                out,
                "<wsdl:message name=\"{name}Input\"><wsdl:part name=\"parameters\" element=\"tns:{name}\"/></wsdl:message>\n\
                 <wsdl:message name=\"{name}Output\"><wsdl:part name=\"parameters\" element=\"tns:{name}Response\"/></wsdl:message>\n"
            );
        };
    }
    for_each_call!(messages);
    out.push_str("<wsdl:portType name=\"PasslinePortType\">\n");
    macro_rules! operations {
        ($call:ty) => {
            let name = <$call>::NAME;
            let _ = write!(
                out,
                "<wsdl:operation name=\"{name}\"><wsdl:documentation>{}. {}</wsdl:documentation>\
                 <wsdl:input message=\"tns:{name}Input\"/><wsdl:output message=\"tns:{name}Output\"/>\
                 <wsdl:fault name=\"Problem\" message=\"tns:Problem\"/></wsdl:operation>\n",
                escaped(<$call>::SUMMARY),
                escaped(<$call>::DESCRIPTION)
            );
        };
    }
    for_each_call!(operations);
    out.push_str("</wsdl:portType>\n");
    binding(&mut out, "PasslineSoap11", "soap");
    if with_12 {
        binding(&mut out, "PasslineSoap12", "soap12");
    }
    out.push_str("<wsdl:service name=\"Passline\">\n");
    port(&mut out, "PasslineSoap11", "soap", address);
    if with_12 {
        port(&mut out, "PasslineSoap12", "soap12", address);
    }
    out.push_str("</wsdl:service>\n</wsdl:definitions>\n");
    out
}

/// The types alone.
pub(super) fn xsd() -> String {
    let mut out = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n".to_owned();
    types(&mut out);
    out
}

fn binding(out: &mut String, name: &str, soap: &str) {
    let _ = writeln!(
        out,
        "<wsdl:binding name=\"{name}\" type=\"tns:PasslinePortType\">\
         <{soap}:binding style=\"document\" transport=\"http://schemas.xmlsoap.org/soap/http\"/>"
    );
    macro_rules! operations {
        ($call:ty) => {
            let call = <$call>::NAME;
            let _ = write!(
                out,
                "<wsdl:operation name=\"{call}\"><{soap}:operation soapAction=\"{NAMESPACE}/{call}\"/>\
                 <wsdl:input><{soap}:body use=\"literal\"/></wsdl:input><wsdl:output><{soap}:body use=\"literal\"/></wsdl:output>\
                 <wsdl:fault name=\"Problem\"><{soap}:fault name=\"Problem\" use=\"literal\"/></wsdl:fault></wsdl:operation>\n"
            );
        };
    }
    for_each_call!(operations);
    out.push_str("</wsdl:binding>\n");
}

fn port(out: &mut String, name: &str, soap: &str, address: &str) {
    let address = escaped(address);
    let _ = writeln!(
        out,
        "<wsdl:port name=\"{name}\" binding=\"tns:{name}\"><{soap}:address location=\"{address}\"/></wsdl:port>"
    );
}

fn types(out: &mut String) {
    let description = Description::of_code();
    let _ = writeln!(
        out,
        "<xs:schema xmlns:xs=\"http://www.w3.org/2001/XMLSchema\" xmlns:tns=\"{NAMESPACE}\" \
         targetNamespace=\"{NAMESPACE}\" elementFormDefault=\"qualified\">"
    );
    macro_rules! wrappers {
        ($call:ty) => {
            wrapper::<$call>(out, &description);
        };
    }
    for_each_call!(wrappers);
    out.push_str(
        "<xs:element name=\"Problem\"><xs:complexType><xs:sequence>\
         <xs:element name=\"type\" type=\"xs:string\"/><xs:element name=\"title\" type=\"xs:string\"/>\
         <xs:element name=\"detail\" type=\"xs:string\" minOccurs=\"0\"/>\
         <xs:element name=\"retryAfterSeconds\" type=\"xs:int\" minOccurs=\"0\"/>\
         </xs:sequence></xs:complexType></xs:element>\n",
    );
    for (name, schema) in description.schemas() {
        let is_wrapper = name.ends_with("Request") || name.ends_with("Response");
        if !is_wrapper && !["Problem", "FlatMap"].contains(&name) {
            named(out, &description, name, schema);
        }
    }
    out.push_str("</xs:schema>\n");
}

/// The elements that stand in the body: a call with its members, and its response.
fn wrapper<C: Call>(out: &mut String, description: &Description) {
    use utoipa::ToSchema as _;
    let _ = write!(out, "<xs:element name=\"{}\"><xs:complexType><xs:sequence>", C::NAME);
    if C::IN_SESSION {
        let _ = write!(
            out,
            "<xs:element name=\"{SESSION}\" type=\"xs:string\">{}</xs:element>",
            documentation("What Login gave.")
        );
    }
    members(out, description, &C::Request::name());
    let _ = write!(
        out,
        "</xs:sequence></xs:complexType></xs:element>\n<xs:element name=\"{}Response\"><xs:complexType><xs:sequence>",
        C::NAME
    );
    members(out, description, &C::Response::name());
    out.push_str("</xs:sequence></xs:complexType></xs:element>\n");
}

/// A type that has a name.
fn named(out: &mut String, description: &Description, name: &str, schema: &Value) {
    if schema["type"] == "array" {
        // A list is its items, where it is used.
        return;
    }
    let about = documentation(schema["description"].as_str().unwrap_or_default());
    if schema["properties"].is_object() {
        let _ = write!(out, "<xs:complexType name=\"{name}\">{about}<xs:sequence>");
        members(out, description, name);
        out.push_str("</xs:sequence></xs:complexType>\n");
        return;
    }
    let _ = write!(
        out,
        "<xs:simpleType name=\"{name}\">{about}<xs:restriction base=\"xs:string\">"
    );
    for choice in schema["oneOf"]
        .as_array()
        .or(schema["enum"].as_array())
        .into_iter()
        .flatten()
    {
        let value = choice["enum"][0]
            .as_str()
            .or(choice["const"].as_str())
            .or(choice.as_str());
        let about = documentation(choice["description"].as_str().unwrap_or_default());
        let _ = write!(
            out,
            "<xs:enumeration value=\"{}\">{about}</xs:enumeration>",
            escaped(value.unwrap_or_default())
        );
    }
    for (facet, key) in [("minLength", "minLength"), ("maxLength", "maxLength")] {
        if let Some(length) = schema[key].as_u64() {
            let _ = write!(out, "<xs:{facet} value=\"{length}\"/>");
        }
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        // In XML Schema the whole text must match anyway.
        let pattern = pattern.trim_start_matches('^').trim_end_matches('$');
        let _ = write!(out, "<xs:pattern value=\"{}\"/>", escaped(pattern));
    }
    out.push_str("</xs:restriction></xs:simpleType>\n");
}

fn members(out: &mut String, description: &Description, name: &str) {
    let schema = description.schema(name);
    let required: Vec<&str> = schema["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    for member in description.members(name) {
        let property = &schema["properties"][member];
        let kind = kind_of(description, property);
        let mut occurs = String::new();
        if kind.is_list {
            let max = kind
                .max_items
                .map_or_else(|| "unbounded".to_owned(), |max| max.to_string());
            let _ = write!(occurs, " minOccurs=\"0\" maxOccurs=\"{max}\"");
        } else if kind.is_nullable || !required.contains(&member) {
            occurs.push_str(" minOccurs=\"0\"");
        }
        let _ = write!(
            out,
            "<xs:element name=\"{member}\" type=\"{}\"{occurs}>{}</xs:element>",
            kind.name,
            documentation(about(property))
        );
    }
}

struct Kind {
    name: String,
    is_list: bool,
    max_items: Option<u64>,
    is_nullable: bool,
}

fn kind_of(description: &Description, property: &Value) -> Kind {
    let plain = |name: &str| Kind {
        name: name.to_owned(),
        is_list: false,
        max_items: None,
        is_nullable: false,
    };
    if let Some(name) = reference_of(property) {
        let schema = description.schema(name);
        return match schema["type"] == "array" {
            true => kind_of(description, schema),
            false => plain(&format!("tns:{name}")),
        };
    }
    if let Some(choices) = property["oneOf"].as_array() {
        let real = choices.iter().find(|choice| choice["type"] != "null");
        return Kind {
            is_nullable: true,
            ..real.map_or_else(|| plain("xs:string"), |real| kind_of(description, real))
        };
    }
    let types: Vec<&str> = match &property["type"] {
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        one => one.as_str().into_iter().collect(),
    };
    let is_nullable = types.contains(&"null");
    let kind = match types.iter().find(|name| **name != "null").copied() {
        Some("array") => Kind {
            is_list: true,
            max_items: property["maxItems"].as_u64(),
            ..kind_of(description, &property["items"])
        },
        Some("boolean") => plain("xs:boolean"),
        Some("integer") => plain("xs:long"),
        _ => plain("xs:string"),
    };
    Kind { is_nullable, ..kind }
}

fn documentation(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!(
            "<xs:annotation><xs:documentation>{}</xs:documentation></xs:annotation>",
            escaped(text)
        ),
    }
}

fn escaped(text: &str) -> String {
    let mut out = zeroize::Zeroizing::default();
    crate::xml::append_escaped(&mut out, text);
    out.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::xml::{Element, Limits, read};

    fn parsed(text: &str) -> Element {
        let limits = Limits {
            bytes: 1_000_000,
            depth: 32,
            elements: 10_000,
            attributes: 16,
        };
        read(text.as_bytes(), &limits).unwrap()
    }

    const COMMITTED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/api/passline.wsdl");

    #[test]
    fn the_committed_description_is_that_of_the_code() {
        let committed = std::fs::read_to_string(COMMITTED).unwrap_or_default();
        assert!(
            committed == wsdl("https://localhost:8443/soap", true),
            "docs/api/passline.wsdl is not up to date; write it with `passline api wsdl`"
        );
    }

    #[test]
    fn every_type_that_is_used_is_there() {
        let text = xsd();
        parsed(&text);
        for (index, _) in text.match_indices("type=\"tns:") {
            let name = text[index + 10..].split('"').next().unwrap();
            let there = ["complexType", "simpleType"]
                .iter()
                .any(|kind| text.contains(&format!("<xs:{kind} name=\"{name}\">")));
            assert!(there, "{name}");
        }
        for name in [
            "Login",
            "LoginResponse",
            "UserPasswordSync",
            "UserPasswordSyncResponse",
            "Problem",
        ] {
            assert!(text.contains(&format!("<xs:element name=\"{name}\">")), "{name}");
        }
    }

    #[test]
    fn ports_are_those_that_were_asked_for() {
        for (with_12, ports) in [(true, 2), (false, 1)] {
            let text = wsdl("https://a.example?x=1&y", with_12);
            assert_eq!(text.matches("<wsdl:port ").count(), ports);
            assert_eq!(text.contains("soap12"), with_12);
            assert!(text.contains("location=\"https://a.example?x=1&amp;y\""));
            parsed(&text);
        }
    }
}
