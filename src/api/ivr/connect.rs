//! Amazon Connect: the event of a Lambda function in, a flat map of texts out
//! (<https://docs.aws.amazon.com/connect/latest/adminguide/connect-lambda-functions.html>).
//!
//! ```text
//! POST /ivr/connect/<flow>   {"Details": {"ContactData": {...}, "Parameters": {}}}   HTTP Basic ──▶ {"session", "page", ...}
//! POST /ivr/connect/<flow>   ... "Parameters": {"session", "page", "event", "keys"}             ──▶ the next page
//! ```
//!
//! Connect plays nothing that it could fetch from here; it has a voice of its own. So it is told what to say in words, and
//! passwords too: the API user needs the right to read them. Who does not want that, leads calls here by SIP.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Extension, Path, Request, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde::Deserialize;
use zeroize::{Zeroize as _, Zeroizing};

use super::{Door, Start, Turned, answered, basic, heard, number};
use crate::api::calls::{Fault, FaultKind};
use crate::call::outside::{Heard, Page, Then};
use crate::secret::Secret;
use crate::service::{ApiPeer, Right};
use crate::time::monotonic;

const FORM: &str = "connect";

/// How long the end of a call is waited for.
const LIMIT: Duration = Duration::from_secs(1);

/// The longest event: contact attributes may be 32 KB.
const MAX_BYTES: usize = 64 * 1024;

/// What Connect gives a Lambda function. Much more is in it.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    details: Details,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Details {
    contact_data: ContactData,
    parameters: Option<Parameters>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContactData {
    contact_id: Option<String>,
    customer_endpoint: Option<Endpoint>,
    system_endpoint: Option<Endpoint>,
    language_code: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Endpoint {
    address: Option<String>,
}

/// What the contact flow passes on.
#[derive(Default, Deserialize)]
struct Parameters {
    session: Option<Secret>,
    page: Option<String>,
    event: Option<String>,
    keys: Option<Secret>,
}

pub(super) fn routes() -> Router<Door> {
    Router::new().route("/ivr/connect/{dialplan}", post(invoke))
}

async fn invoke(
    State(door): State<Door>,
    Extension(peer): Extension<ApiPeer>,
    Path(dialplan): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let read = read(request).await;
    let session = |details: &Details| details.parameters.as_ref()?.session.clone();
    let session = read
        .as_ref()
        .ok()
        .and_then(session)
        .filter(|session| !session.is_empty());
    let call = if session.is_some() { "IvrPage" } else { "IvrBegin" };
    let entry = door.log.begin(call, FORM, &peer);
    let answer = async {
        let Details {
            contact_data,
            parameters,
        } = read?;
        let parameters = parameters.unwrap_or_default();
        let turned = match session {
            Some(token) => {
                let page = number(parameters.page.as_deref())?;
                let heard = told_in(&parameters)?;
                door.turn(peer, &entry, token, page, heard).await?
            }
            None => {
                let start = Start {
                    platform: FORM,
                    dialplan: &dialplan,
                    call_id: contact_data.contact_id.as_deref().unwrap_or_default(),
                    caller: contact_data
                        .customer_endpoint
                        .as_ref()
                        .and_then(|it| it.address.as_deref()),
                    called: contact_data
                        .system_endpoint
                        .as_ref()
                        .and_then(|it| it.address.as_deref()),
                    language: contact_data.language_code.as_deref(),
                };
                door.begin(peer.clone(), &entry, basic(&headers), start).await?
            }
        };
        if !turned.session.may(Right::ReadPassword) {
            let visit = turned.session.visit.id();
            let _ = door
                .desk
                .turn(visit, (turned.page.number, Heard::HungUp), monotonic() + LIMIT)
                .await;
            return Err(Fault::with(
                FaultKind::NotAllowed,
                "Connect speaks for itself: `passline api user allow NAME --allow read-password`, or lead calls here by SIP",
            ));
        }
        written(&turned)
    };
    let answer = answer.await;
    answered(entry, answer)
}

async fn read(request: Request) -> Result<Details, Fault> {
    let bytes = to_bytes(Body::new(request.into_body()), MAX_BYTES).await;
    let bytes = bytes.map_err(|_| {
        Fault::with(
            FaultKind::BodyTooLarge,
            format!("an event has at most {MAX_BYTES} bytes"),
        )
    })?;
    let event: Result<Event, _> = serde_json::from_slice(&bytes);
    // As far as the buffer is ours alone.
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.zeroize();
    }
    let event = event.map_err(|_| {
        Fault::with(
            FaultKind::InvalidRequest,
            "give the event of the Lambda function as it came: Details with ContactData and Parameters",
        )
    })?;
    Ok(event.details)
}

fn told_in(parameters: &Parameters) -> Result<Heard, Fault> {
    let keyed = parameters.keys.as_ref().map(Secret::expose).unwrap_or_default();
    match parameters.event.as_deref().unwrap_or_default() {
        "" => Ok(Heard::Played),
        // What Connect stores of an input that timed out.
        "keys" if keyed.eq_ignore_ascii_case("timeout") => Ok(Heard::Silence),
        event => heard(event, keyed),
    }
}

/// The answer to an event. What it says may be a password; what is given away is wiped by nobody.
fn written(turned: &Turned) -> Result<Response, Fault> {
    let answer = answer(&turned.page, turned.session.token.expose());
    let text = serde_json::to_vec(&answer).map_err(|error| {
        tracing::error!(%error, "a page cannot be written");
        Fault::new(FaultKind::Internal)
    })?;
    let mut response = text.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A page as a flat map of texts: Connect takes nothing else.
fn answer<'a>(page: &Page, session: &'a str) -> BTreeMap<&'static str, Cow<'a, str>> {
    let mut say = Zeroizing::new(String::new());
    for line in &page.lines {
        let text = match &line.spelled {
            Some(spelled) => spelled.expose(),
            None => line.utterance.transcript(),
        };
        if !say.is_empty() && !text.is_empty() {
            say.push(' ');
        }
        say.push_str(text);
    }
    let then = match page.then {
        Then::Collect(_) => "collect",
        Then::ComeBack => "comeBack",
        Then::HangUp => "hangUp",
    };
    let mut answer: BTreeMap<&'static str, Cow<'a, str>> = BTreeMap::from([
        ("session", session.into()),
        ("page", page.number.to_string().into()),
        ("then", then.into()),
        ("say", say.as_str().to_owned().into()),
    ]);
    if let Then::Collect(awaited) = page.then {
        let finish = awaited.finish_on_key.map(|key| key.as_char().to_string());
        let seconds = |time: Duration| time.as_secs_f32().ceil().max(1.0).to_string();
        answer.extend([
            ("mostKeys", awaited.most.to_string().into()),
            ("finishOnKey", finish.unwrap_or_default().into()),
            ("firstSeconds", seconds(awaited.first).into()),
            ("betweenSeconds", seconds(awaited.between).into()),
        ]);
    }
    answer
}
