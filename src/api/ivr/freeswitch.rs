//! FreeSWITCH: documents for `mod_httapi`
//! (<https://developer.signalwire.com/freeswitch/FreeSWITCH-Explained/Modules/mod_httapi_3966423/>).
//!
//! ```text
//! POST /ivr/freeswitch/<flow>   HTTP Basic, an API user            ──▶ document 1
//! POST /ivr/freeswitch/<flow>   passline_session, _page, keys      ──▶ document 2 ...
//! POST /ivr/freeswitch/<flow>   exiting=true                       ──▶ the call is over
//! ```
//!
//! The session travels in `<params>`, which FreeSWITCH posts back with every request. It plays one file while it collects,
//! so a question is one sound.

use std::fmt::Write as _;

use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::post;

use super::form::Form;
use super::markup::Markup;
use super::{Door, Start, Turned, answered, basic, keys, number, path_of};
use crate::call::outside::{Heard, Page, Then};
use crate::dialplan::Awaited;
use crate::digit::Digit;
use crate::secret::Secret;
use crate::service::ApiPeer;

const FORM: &str = "freeswitch";
const SESSION: &str = "passline_session";
const PAGE: &str = "passline_page";
const THEN: &str = "passline_then";
const KEYS: &str = "passline_keys";

/// An expression that no key fits.
const NEVER: &str = "~^X$";

/// So many keys of an entry are waited for at the most.
const MOST_WAITED: usize = 10;

pub(super) fn routes() -> Router<Door> {
    Router::new().route("/ivr/freeswitch/{dialplan}", post(request))
}

async fn request(
    State(door): State<Door>,
    Extension(peer): Extension<ApiPeer>,
    Path(dialplan): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let uri = request.uri().clone();
    let read = Form::read(request).await;
    let is = |told: fn(&Form) -> bool| read.as_ref().is_ok_and(|(body, _)| told(body));
    let is_over = is(|body| body.get("exiting") == Some("true"));
    let has_begun = is_over || is(|body| body.get(SESSION).is_some());
    let entry = door
        .log
        .begin(if has_begun { "IvrPage" } else { "IvrBegin" }, FORM, &peer);
    let answer = async {
        let (body, query) = read?;
        let field = |name| body.get(name).filter(|value| !value.is_empty());
        let turned = match field(SESSION) {
            // Told after our own goodbye as well, when the session has ended, and by a call that has never had one.
            session if is_over => {
                if let Some(token) = session {
                    let token = Secret::new(token.to_owned());
                    let _ = door.turn(peer, &entry, token, 0, Heard::HungUp).await;
                }
                return Ok(nothing());
            }
            Some(token) => {
                let (token, page) = (Secret::new(token.to_owned()), number(field(PAGE))?);
                door.turn(peer, &entry, token, page, heard(&body)).await?
            }
            None => {
                let start = Start {
                    platform: FORM,
                    dialplan: &dialplan,
                    call_id: field("session_id").unwrap_or_default(),
                    caller: field("Caller-Caller-ID-Number"),
                    called: field("Caller-Destination-Number"),
                    language: query.get("language"),
                };
                door.begin(peer, &entry, basic(&headers), start).await?
            }
        };
        Ok(document(&turned, &door.base(&uri, &headers)))
    };
    let answer = answer.await;
    answered(entry, answer)
}

fn heard(body: &Form) -> Heard {
    if body.get(THEN) != Some("collect") {
        return Heard::Played;
    }
    match body.get(KEYS) {
        None => Heard::Silence,
        // What `strip` has left of a finish key alone.
        Some("") => Heard::NoMatch,
        Some(text) => keys(text).map_or(Heard::NoMatch, Heard::Keys),
    }
}

/// A document that asks for nothing.
fn nothing() -> Response {
    let mut out = Markup::new();
    out.open("document", &[("type", "xml/freeswitch-httapi")]);
    out.empty("params", &[]);
    out.empty("work", &[]);
    out.answer("text/xml")
}

fn document(turned: &Turned, base: &str) -> Response {
    write(&turned.page, turned.session.token.expose(), base).answer("text/xml")
}

/// The document of a page.
fn write(page: &Page, session: &str, base: &str) -> Markup {
    let mut out = Markup::new();
    out.open("document", &[("type", "xml/freeswitch-httapi")]);
    out.open("params", &[]);
    out.text(SESSION, &[], session);
    out.text(PAGE, &[], &page.number.to_string());
    let then = if matches!(page.then, Then::Collect(_)) {
        "collect"
    } else {
        "none"
    };
    out.text(THEN, &[], then);
    out.close();
    out.open("work", &[]);
    let before = match page.then {
        Then::Collect(_) => page.parts().0,
        Then::ComeBack | Then::HangUp => &page.lines,
    };
    for line in before {
        out.empty("playback", &[("file", &format!("{base}{}", path_of(&line.sound)))]);
    }
    match page.then {
        Then::Collect(awaited) => collect(&mut out, page, &awaited, base),
        Then::ComeBack => out.empty("continue", &[]),
        Then::HangUp => out.empty("hangup", &[("cause", "NORMAL_CLEARING")]),
    }
    out
}

fn collect(out: &mut Markup, page: &Page, awaited: &Awaited, base: &str) {
    // The wait for the first key is that for the whole entry there: keys do not make it longer.
    let keys = u32::try_from(awaited.most.min(MOST_WAITED)).unwrap_or(1);
    let first = awaited.first + awaited.between * keys.saturating_sub(1);
    let (first, between) = (first.as_millis().to_string(), awaited.between.as_millis().to_string());
    let finish = awaited.finish_on_key.map(|key| key.as_char().to_string());
    let file = page.question.as_ref().map(|sound| format!("{base}{}", path_of(sound)));
    // The names are those of the wrong times: `digit-timeout` is the pause between keys, `input-timeout` the wait for the
    // first one (`parse_playback` in mod_httapi.c).
    let mut attributes = vec![
        ("name", KEYS),
        ("digit-timeout", between.as_str()),
        ("input-timeout", first.as_str()),
    ];
    match &file {
        Some(file) => attributes.push(("file", file)),
        None => attributes.push(("milliseconds", &first)),
    }
    if let Some(finish) = &finish {
        attributes.push(("terminators", finish));
    }
    out.open(if file.is_some() { "playback" } else { "pause" }, &attributes);
    let strip: Vec<(&str, &str)> = finish.iter().map(|finish| ("strip", finish.as_str())).collect();
    out.text("bind", &strip, &pattern(awaited));
    if awaited.most > 1 {
        // An expression that is the only one ends the entry with the first key that fits it (`switch_ivr_dmachine_check_match`);
        // beside another one it waits for the finish key or the pause.
        out.text("bind", &[], NEVER);
    }
    out.close();
}

/// The keys of an entry as FreeSWITCH matches them: `~` begins a regular expression.
fn pattern(awaited: &Awaited) -> String {
    let keys = Digit::ALL.into_iter().filter(|key| Some(*key) != awaited.finish_on_key);
    let mut pattern = "~^[".to_owned();
    pattern.extend(keys.map(Digit::as_char));
    // Writing to a string cannot fail.
    let _ = match awaited.finish_on_key {
        Some(finish) => write!(pattern, "]{{0,{}}}[{}]?$", awaited.most, finish.as_char()),
        None => write!(pattern, "]{{1,{}}}$", awaited.most),
    };
    pattern
}
