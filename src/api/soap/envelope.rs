//! Envelopes, opened and written: SOAP 1.1 (W3C Note of 2000) and SOAP 1.2 (W3C Recommendation of 2007).

use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use zeroize::Zeroizing;

use super::NAMESPACE;
use crate::api::calls::{Fault, FaultKind};
use crate::xml::{self, Element, Limits, XmlError};

const ENVELOPE_11: &str = "http://schemas.xmlsoap.org/soap/envelope/";
const ENVELOPE_12: &str = "http://www.w3.org/2003/05/soap-envelope";

/// The version of an envelope; its answer has the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    V11,
    V12,
}

impl Version {
    fn namespace(self) -> &'static str {
        match self {
            Self::V11 => ENVELOPE_11,
            Self::V12 => ENVELOPE_12,
        }
    }

    fn media_type(self) -> HeaderValue {
        match self {
            Self::V11 => HeaderValue::from_static("text/xml; charset=utf-8"),
            Self::V12 => HeaderValue::from_static("application/soap+xml; charset=utf-8"),
        }
    }
}

/// A request of which no call was understood.
#[derive(Debug)]
pub(super) struct Refused {
    version: Version,
    code: Code,
    pub(super) fault: Fault,
}

/// Whose fault it is (SOAP 1.1 section 4.4.1, SOAP 1.2 part 1 section 5.4.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Code {
    VersionMismatch,
    MustUnderstand,
    Sender,
    Receiver,
}

impl Code {
    fn of(kind: FaultKind) -> Self {
        match kind.status() {
            500.. => Self::Receiver,
            _ => Self::Sender,
        }
    }

    fn name(self, version: Version) -> &'static str {
        match (self, version) {
            (Self::VersionMismatch, _) => "VersionMismatch",
            (Self::MustUnderstand, _) => "MustUnderstand",
            (Self::Sender, Version::V11) => "Client",
            (Self::Receiver, Version::V11) => "Server",
            (Self::Sender, Version::V12) => "Sender",
            (Self::Receiver, Version::V12) => "Receiver",
        }
    }

    /// SOAP 1.1 section 6.2 knows 500 alone; SOAP 1.2 part 2 table 20 has 400 for what the sender can mend.
    fn status(self, version: Version) -> StatusCode {
        match (self, version) {
            (Self::Sender, Version::V12) => StatusCode::BAD_REQUEST,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl Refused {
    /// What was not opened, and has the version of its media type.
    pub(super) fn unopened(version: Version, fault: Fault) -> Self {
        Self {
            version,
            code: Code::of(fault.kind),
            fault,
        }
    }

    pub(super) fn into_response(self) -> Response {
        written_fault(self.version, self.code, &self.fault)
    }
}

/// The version, and the one element in the body; `told` is the version that the media type tells.
pub(super) fn open(told: Version, bytes: &[u8], max_bytes: usize) -> Result<(Version, Element), Refused> {
    let limits = Limits {
        bytes: max_bytes,
        depth: 16,
        elements: 512,
        attributes: 16,
    };
    let mut root = xml::read(bytes, &limits).map_err(|error| Refused::unopened(told, unread(error)))?;
    let version = [Version::V11, Version::V12]
        .into_iter()
        .find(|version| root.is(version.namespace(), "Envelope"));
    let Some(version) = version else {
        return Err(Refused {
            version: Version::V11,
            code: Code::VersionMismatch,
            fault: Fault::with(
                FaultKind::InvalidRequest,
                "the root must be an Envelope of SOAP 1.1 or SOAP 1.2",
            ),
        });
    };
    let invalid = |detail: &'static str| Refused {
        version,
        code: Code::Sender,
        fault: Fault::with(FaultKind::InvalidRequest, detail),
    };
    if let Some(header) = root.child(version.namespace(), "Header")
        && header.children.iter().any(|block| must_be_understood(block, version))
    {
        return Err(Refused {
            version,
            code: Code::MustUnderstand,
            fault: Fault::with(
                FaultKind::InvalidRequest,
                "no header is understood here; leave out those that must be",
            ),
        });
    }
    let is_body = |child: &Element| child.is(version.namespace(), "Body");
    if root.children.iter().filter(|child| is_body(child)).count() > 1 {
        return Err(invalid("there is more than one Body"));
    }
    let body = root.children.iter().position(is_body);
    let mut body = root.children.remove(body.ok_or_else(|| invalid("there is no Body"))?);
    match body.children.len() {
        1 => Ok((version, body.children.remove(0))),
        _ => Err(invalid("the Body must hold one call")),
    }
}

fn unread(error: XmlError) -> Fault {
    match error {
        XmlError::TooLong(_) => Fault::with(FaultKind::BodyTooLarge, error.to_string()),
        _ => Fault::with(FaultKind::InvalidRequest, error.to_string()),
    }
}

/// Whether a header is for us and must be understood (SOAP 1.1 section 4.2, SOAP 1.2 part 1 section 2.4).
fn must_be_understood(block: &Element, version: Version) -> bool {
    let namespace = Some(version.namespace());
    let must = matches!(block.attribute(namespace, "mustUnderstand"), Some("1" | "true"));
    let (role, ours) = match version {
        Version::V11 => (
            block.attribute(namespace, "actor"),
            &["", "http://schemas.xmlsoap.org/soap/actor/next"][..],
        ),
        Version::V12 => (
            block.attribute(namespace, "role"),
            &[
                "",
                "http://www.w3.org/2003/05/soap-envelope/role/next",
                "http://www.w3.org/2003/05/soap-envelope/role/ultimateReceiver",
            ][..],
        ),
    };
    must && ours.contains(&role.unwrap_or_default())
}

/// A response to the call of this name.
pub(super) fn response<T: Serialize>(version: Version, call: &str, response: &T) -> Result<Response, Fault> {
    let mut out = begun(version);
    push(&mut out, &["<p:", call, "Response xmlns:p=\"", NAMESPACE, "\">"]);
    xml::write_members(&mut out, "p", response).map_err(|error| {
        tracing::error!(%error, call, "a response cannot be written");
        Fault::new(FaultKind::Internal)
    })?;
    push(&mut out, &["</p:", call, "Response>"]);
    Ok(ended(version, out, StatusCode::OK))
}

/// A fault of a call.
pub(super) fn fault(version: Version, fault: &Fault) -> Response {
    written_fault(version, Code::of(fault.kind), fault)
}

fn written_fault(version: Version, code: Code, fault: &Fault) -> Response {
    let mut out = begun(version);
    let name = code.name(version);
    let reason = fault.detail.as_deref().unwrap_or(fault.kind.title());
    match version {
        Version::V11 => {
            push(
                &mut out,
                &["<soap:Fault><faultcode>soap:", name, "</faultcode><faultstring>"],
            );
            xml::append_escaped(&mut out, reason);
            push(&mut out, &["</faultstring><detail>"]);
            problem(&mut out, fault);
            push(&mut out, &["</detail></soap:Fault>"]);
        }
        Version::V12 => {
            push(
                &mut out,
                &[
                    "<soap:Fault><soap:Code><soap:Value>soap:",
                    name,
                    "</soap:Value></soap:Code>",
                ],
            );
            push(&mut out, &["<soap:Reason><soap:Text xml:lang=\"en\">"]);
            xml::append_escaped(&mut out, reason);
            push(&mut out, &["</soap:Text></soap:Reason><soap:Detail>"]);
            problem(&mut out, fault);
            push(&mut out, &["</soap:Detail></soap:Fault>"]);
        }
    }
    ended(version, out, code.status(version))
}

/// What went wrong, as the description has it.
fn problem(out: &mut Zeroizing<String>, fault: &Fault) {
    push(
        out,
        &[
            "<p:Problem xmlns:p=\"",
            NAMESPACE,
            "\"><p:type>",
            fault.kind.slug(),
            "</p:type><p:title>",
        ],
    );
    xml::append_escaped(out, fault.kind.title());
    push(out, &["</p:title>"]);
    if let Some(detail) = &fault.detail {
        push(out, &["<p:detail>"]);
        xml::append_escaped(out, detail);
        push(out, &["</p:detail>"]);
    }
    if let Some(seconds) = fault.retry_after_seconds() {
        push(
            out,
            &["<p:retryAfterSeconds>", &seconds.to_string(), "</p:retryAfterSeconds>"],
        );
    }
    push(out, &["</p:Problem>"]);
}

fn begun(version: Version) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(4_096));
    push(
        &mut out,
        &[
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soap:Envelope xmlns:soap=\"",
            version.namespace(),
            "\"><soap:Body>",
        ],
    );
    out
}

fn ended(version: Version, mut out: Zeroizing<String>, status: StatusCode) -> Response {
    push(&mut out, &["</soap:Body></soap:Envelope>"]);
    // What is given away is wiped by nobody; the buffer that it was made in is.
    let mut response = (status, out.as_bytes().to_vec()).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, version.media_type());
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn push(out: &mut Zeroizing<String>, parts: &[&str]) {
    for part in parts {
        xml::append(out, part);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open_text(text: &str) -> Result<(Version, Element), Refused> {
        open(Version::V11, text.as_bytes(), 10_000)
    }

    fn envelope(namespace: &str, header: &str, body: &str) -> String {
        format!("<s:Envelope xmlns:s='{namespace}'>{header}<s:Body>{body}</s:Body></s:Envelope>")
    }

    #[test]
    fn both_versions_are_opened() {
        for (namespace, expected) in [(ENVELOPE_11, Version::V11), (ENVELOPE_12, Version::V12)] {
            let (version, call) = open_text(&envelope(namespace, "", "<Login xmlns='urn:passline:api:1'/>")).unwrap();
            assert_eq!(version, expected);
            assert!(call.is(NAMESPACE, "Login"));
        }
    }

    #[test]
    fn what_is_no_request_is_told_by_whose_fault_it_is() {
        let must = |namespace: &str, attribute: &str| {
            envelope(namespace, &format!("<s:Header><x s:{attribute}/></s:Header>"), "<a/>")
        };
        for (text, code) in [
            (envelope("urn:other", "", "<a/>"), Code::VersionMismatch),
            ("<a/>".to_owned(), Code::VersionMismatch),
            (must(ENVELOPE_11, "mustUnderstand='1'"), Code::MustUnderstand),
            (must(ENVELOPE_12, "mustUnderstand='true'"), Code::MustUnderstand),
            (envelope(ENVELOPE_11, "", ""), Code::Sender),
            (envelope(ENVELOPE_12, "", "<a/><b/>"), Code::Sender),
            (format!("<s:Envelope xmlns:s='{ENVELOPE_11}'/>"), Code::Sender),
            ("<!DOCTYPE a><a/>".to_owned(), Code::Sender),
        ] {
            assert_eq!(open_text(&text).map(drop).unwrap_err().code, code, "{text}");
        }
        // For somebody on the way, or not needed.
        for attribute in ["mustUnderstand='0'", "mustUnderstand='1' s:actor='urn:next-hop'"] {
            assert!(open_text(&must(ENVELOPE_11, attribute)).is_ok(), "{attribute}");
        }
    }

    #[tokio::test]
    async fn faults_are_typed_in_both_versions() {
        let fault = Fault::with(FaultKind::PasswordRefused, "at least 8 & more");
        for (version, status, start) in [
            (
                Version::V11,
                500,
                "<soap:Fault><faultcode>soap:Client</faultcode><faultstring>at least 8 &amp; more<",
            ),
            (
                Version::V12,
                400,
                "<soap:Fault><soap:Code><soap:Value>soap:Sender</soap:Value></soap:Code><soap:Reason>",
            ),
        ] {
            let response = super::fault(version, &fault);
            assert_eq!(response.status(), status);
            let bytes = axum::body::to_bytes(response.into_body(), 10_000).await.unwrap();
            let text = String::from_utf8(bytes.to_vec()).unwrap();
            assert!(text.contains(start), "{text}");
            let limits = Limits {
                bytes: 10_000,
                depth: 16,
                elements: 99,
                attributes: 9,
            };
            let root = xml::read(text.as_bytes(), &limits).unwrap();
            assert!(root.is(version.namespace(), "Envelope"));
            assert!(text.contains("<p:type>password-refused</p:type>"));
        }
    }
}
