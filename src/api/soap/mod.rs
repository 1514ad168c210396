//! The API as SOAP 1.1 and 1.2, document/literal wrapped, for IVRs that know nothing else.
//!
//! | request | gives |
//! |---|---|
//! | `POST /soap` | the call that the element in the body names |
//! | `GET /soap?wsdl` | the description (WSDL 1.1) with ports for both versions and all types |
//! | `GET /soap?wsdl=1.1` | the same with the port for SOAP 1.1 alone, for tools that fall over the other one |
//! | `GET /soap?xsd` | the types alone |
//!
//! Requests and responses are those of the calls; the session is an element in front of the others. Types and texts come from
//! the same description as those of JSON, so that the two cannot differ. `SOAPAction` is not needed: the body says which
//! call it is.

mod envelope;
mod wsdl;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderValue};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use zeroize::Zeroize as _;

use super::calls::{Call, Calls, Fault, FaultKind};
use super::log::{Entry, Log};
use super::mistake;
use crate::for_each_call;
use crate::secret::Secret;
use crate::service::ApiPeer;
use crate::xml::{self, Element};
use envelope::{Refused, Version};

/// Where it is.
pub const PATH: &str = "/soap";

/// The namespace of everything that is ours.
pub const NAMESPACE: &str = "urn:passline:api:1";

/// The member that stands in front of the others where a call belongs to a session.
const SESSION: &str = "sessionId";

/// The longest request, somewhat more than the same in JSON.
const MAX_BYTES: usize = 64 * 1024;

/// The description (WSDL 1.1) for a server at `base`, such as `https://localhost:8443`.
#[must_use]
pub fn description(base: &str) -> String {
    wsdl::wsdl(&format!("{base}{PATH}"), true)
}

#[derive(Clone)]
struct Door {
    calls: Calls,
    log: Log,
    /// Where clients reach it, if the configuration says so.
    address: Option<Arc<str>>,
}

/// The routes. Whoever serves them puts an [`ApiPeer`] into the extensions of each request.
pub fn router(calls: Calls, log: Log, address: Option<String>) -> Router {
    let door = Door {
        calls,
        log,
        address: address.map(Into::into),
    };
    Router::new().route(PATH, get(describe).post(handle)).with_state(door)
}

async fn describe(State(door): State<Door>, request: Request) -> Response {
    let text = match request.uri().query().unwrap_or_default() {
        query if query.eq_ignore_ascii_case("wsdl") => wsdl::wsdl(&address(&door, &request), true),
        query if query.eq_ignore_ascii_case("wsdl=1.1") => wsdl::wsdl(&address(&door, &request), false),
        query if query.eq_ignore_ascii_case("xsd") => wsdl::xsd(),
        _ => {
            return (
                StatusCode::BAD_REQUEST,
                "POST an envelope here, or GET /soap?wsdl for the description\n",
            )
                .into_response();
        }
    };
    ([(header::CONTENT_TYPE, "text/xml; charset=utf-8")], text).into_response()
}

/// Where clients reach it: as configured, or where this one did.
fn address(door: &Door, request: &Request) -> String {
    if let Some(address) = &door.address {
        return format!("{address}{PATH}");
    }
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(axum::http::uri::Authority::as_str));
    format!("https://{}{PATH}", host.unwrap_or("localhost"))
}

async fn handle(State(door): State<Door>, Extension(peer): Extension<ApiPeer>, request: Request) -> Response {
    let told = request.headers().get(header::CONTENT_TYPE).and_then(version_of);
    let version = told.unwrap_or(Version::V11);
    let bytes = to_bytes(Body::new(request.into_body()), MAX_BYTES).await;
    let opened = match (told.is_some(), bytes) {
        (false, _) => Err(Refused::unopened(
            version,
            Fault::with(
                FaultKind::UnsupportedMediaType,
                "give text/xml (SOAP 1.1) or application/soap+xml (SOAP 1.2)",
            ),
        )),
        (true, Err(_)) => Err(Refused::unopened(
            version,
            Fault::with(
                FaultKind::BodyTooLarge,
                format!("a request has at most {MAX_BYTES} bytes"),
            ),
        )),
        (true, Ok(bytes)) => {
            let opened = envelope::open(version, &bytes, MAX_BYTES);
            // As far as the buffer is ours alone.
            if let Ok(mut bytes) = bytes.try_into_mut() {
                bytes.zeroize();
            }
            opened
        }
    };
    let (version, call) = match opened {
        Ok(opened) => opened,
        Err(refused) => {
            door.log.begin("none", "soap", &peer).end(Some(refused.fault.kind));
            return refused.into_response();
        }
    };
    macro_rules! dispatch {
        ($call:ty) => {
            if call.is(NAMESPACE, <$call>::NAME) {
                return carry_out::<$call>(&door, peer, version, call).await;
            }
        };
    }
    for_each_call!(dispatch);
    door.log
        .begin("none", "soap", &peer)
        .end(Some(FaultKind::InvalidRequest));
    let fault = Fault::with(
        FaultKind::InvalidRequest,
        format!("the body must hold one call of the namespace {NAMESPACE}; GET {PATH}?wsdl lists them"),
    );
    envelope::fault(version, &fault)
}

/// The version of SOAP that goes with a media type (SOAP 1.1, section 6; SOAP 1.2 part 2, section 7.1.4), if it is one of XML.
fn version_of(value: &HeaderValue) -> Option<Version> {
    let media_type = value.to_str().unwrap_or_default().split(';').next();
    let media_type = media_type.unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        "text/xml" | "application/xml" => Some(Version::V11),
        "application/soap+xml" => Some(Version::V12),
        _ => None,
    }
}

async fn carry_out<C: Call>(door: &Door, peer: ApiPeer, version: Version, call: Element) -> Response {
    let entry = door.log.begin(C::NAME, "soap", &peer);
    let answer = answer::<C>(door, peer, &entry, call).await;
    let (response, fault) = match answer.and_then(|response| envelope::response(version, C::NAME, &response)) {
        Ok(response) => (response, None),
        Err(fault) => (envelope::fault(version, &fault), Some(fault.kind)),
    };
    entry.end(fault);
    response
}

async fn answer<C: Call>(door: &Door, peer: ApiPeer, entry: &Entry, mut call: Element) -> Result<C::Response, Fault> {
    if !call.children.iter().all(|child| child.is(NAMESPACE, &child.name)) {
        return Err(Fault::with(
            FaultKind::InvalidRequest,
            format!("all elements of a call are in the namespace {NAMESPACE}"),
        ));
    }
    let token = match C::IN_SESSION {
        true => take_session(&mut call),
        false => None,
    };
    let who = door.calls.who(peer, token, Arc::clone(&entry.asker));
    let request = xml::from_element(&call)
        .map_err(|error| mistake::told(&error.path.join(".").replace(".[", "["), &error.message, None))?;
    drop(call);
    door.calls.carry_out::<C>(who, request).await
}

/// The session that a request says it belongs to.
fn take_session(call: &mut Element) -> Option<Secret> {
    let index = call.children.iter().position(|child| child.name == SESSION)?;
    let session = call.children.remove(index);
    Some(Secret::new(session.text.trim().to_owned()))
}
