//! The API as JSON: `POST /api/v1/<call>` with an object, and an object back, or problem details (RFC 9457).
//!
//! | path | gives |
//! |---|---|
//! | `POST /api/v1/<call>` | the call's response; `?flat=true` as one flat map of strings |
//! | `GET /api/v1/openapi.json` | the description of all of it (OpenAPI 3.1), made from the code |
//! | `GET /api/docs` | the same for people |
//!
//! The session is shown as a bearer token (RFC 6750, section 2.1), so that it is in no body, URL or log.

mod body;
mod flat;
pub mod openapi;
mod page;

use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::body::Body;
use axum::extract::{Extension, Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Serialize;

use super::calls::{Call, Calls, Fault, FaultKind, Who};
use super::problem::Problem;
use crate::for_each_call;
use crate::secret::Secret;
use crate::service::ApiPeer;

/// Where the calls are.
pub const PREFIX: &str = "/api/v1/";

/// What the handlers share.
#[derive(Clone)]
struct Door {
    calls: Calls,
    log: super::log::Log,
}

/// The routes. Whoever serves them puts an [`ApiPeer`] into the extensions of each request.
pub fn router(calls: Calls, log: super::log::Log) -> Router {
    let mut router = Router::new()
        .route("/api/v1/openapi.json", get(document))
        .route("/api/docs", get(docs));
    macro_rules! route {
        ($call:ty) => {
            router = router.route(&path_of::<$call>(), post(handle::<$call>));
        };
    }
    for_each_call!(route);
    router
        .method_not_allowed_fallback(other_method)
        .fallback(nothing_here)
        .with_state(Door { calls, log })
}

async fn other_method(State(door): State<Door>, Extension(peer): Extension<ApiPeer>) -> Problem {
    let kind = "method-not-allowed";
    door.log.begin("none", "none", &peer).end_as(kind);
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, kind, "There is another method for this")
}

async fn nothing_here(State(door): State<Door>, Extension(peer): Extension<ApiPeer>) -> Problem {
    let kind = "not-found";
    door.log.begin("none", "none", &peer).end_as(kind);
    Problem::new(StatusCode::NOT_FOUND, kind, "There is nothing here")
}

/// The path of a call.
#[must_use]
pub fn path_of<C: Call>() -> String {
    format!("{PREFIX}{}", C::NAME)
}

async fn handle<C: Call>(State(door): State<Door>, Extension(peer): Extension<ApiPeer>, request: Request) -> Response {
    let entry = door.log.begin(C::NAME, "json", &peer);
    let who = door
        .calls
        .who(peer, bearer(request.headers()), Arc::clone(&entry.asker));
    let flat = wants_flat(request.uri().query());
    let is_flat = *flat.as_ref().unwrap_or(&false);
    let answered = match flat {
        Ok(flat) => answer::<C>(&door, who, request, flat).await,
        Err(fault) => Err(fault),
    };
    match answered {
        Ok(response) => {
            entry.end(None);
            response
        }
        Err(fault) => {
            entry.end(Some(fault.kind));
            match is_flat {
                true => flat_problem(&fault),
                false => problem(&fault),
            }
        }
    }
}

async fn answer<C: Call>(door: &Door, who: Who, request: Request, flat: bool) -> Result<Response, Fault> {
    let request = body::read::<C::Request>(request).await?;
    let response = door.calls.carry_out::<C>(who, request).await?;
    written(&response, flat)
}

/// Whether `?flat=true` is there.
fn wants_flat(query: Option<&str>) -> Result<bool, Fault> {
    let mut flat = false;
    for parameter in query.unwrap_or_default().split('&') {
        match parameter {
            "flat=true" => flat = true,
            "flat=false" => flat = false,
            other if other == "flat" || other.starts_with("flat=") => {
                return Err(Fault::with(FaultKind::InvalidRequest, "`flat` is true or false"));
            }
            _ => {}
        }
    }
    Ok(flat)
}

/// The token of a request (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| Secret::new(token.trim().to_owned()))
}

/// A response as JSON. It may hold a password; what is given away is wiped by nobody.
fn written<T: Serialize>(response: &T, flat: bool) -> Result<Response, Fault> {
    let failed = |error: serde_json::Error| {
        tracing::error!(%error, "a response cannot be written");
        Fault::new(FaultKind::Internal)
    };
    let text = match flat {
        false => serde_json::to_vec(response).map_err(failed)?,
        true => serde_json::to_vec(&flat::flattened(response).map_err(failed)?).map_err(failed)?,
    };
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A fault as problem details.
fn problem(fault: &Fault) -> Response {
    told(fault, FaultKind::NoSession, "Bearer")
}

/// A fault as a map of strings, the status too: no `problem+json`, and what platforms take that take nothing else.
fn flat_problem(fault: &Fault) -> Response {
    let mut response = problem(fault);
    let flat = flat::flattened(&problem_of(fault).members()).unwrap_or_default();
    *response.body_mut() = serde_json::to_vec(&flat).map_or_else(|_| Body::empty(), Body::from);
    let media_type = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, media_type);
    response
}

fn problem_of(fault: &Fault) -> Problem {
    let status = StatusCode::from_u16(fault.kind.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let problem = Problem::new(status, fault.kind.slug(), fault.kind.title());
    match &fault.detail {
        Some(detail) => problem.detail(detail.clone()),
        None => problem,
    }
}

/// A fault as problem details; with the one that asks for a proof goes the challenge that says which.
pub(super) fn told(fault: &Fault, asks: FaultKind, challenge: &'static str) -> Response {
    let mut response = problem_of(fault).into_response();
    let headers = response.headers_mut();
    if let Some(seconds) = fault.retry_after_seconds() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if fault.kind == asks {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

async fn document() -> Response {
    static TEXT: OnceLock<String> = OnceLock::new();
    let text = TEXT.get_or_init(openapi::text).as_str();
    ([(header::CONTENT_TYPE, "application/json")], text).into_response()
}

async fn docs() -> Response {
    static PAGE: OnceLock<String> = OnceLock::new();
    let page = PAGE
        .get_or_init(|| page::html(&openapi::Description::of_code()))
        .as_str();
    // Nothing in the page runs, and nothing is loaded.
    let policy =
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(page)).into_response()
}
