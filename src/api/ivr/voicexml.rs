//! VoiceXML 2.1 (W3C Recommendation, 19 June 2007; with VoiceXML 2.0): pages for a voice browser.
//!
//! ```text
//! GET  /ivr/voicexml/<flow>   HTTP Basic, an API user               ──▶ page 1
//! POST /ivr/voicexml          passline_session, page, event, keys   ──▶ the next page
//! ```
//!
//! A page is one form: what is said, and a field for keys, unless it ends the call. Its grammar takes any keys up to the number that ends
//! an entry: the flow decides what is right, counts silence and wrong keys, and says what is said then. So every event
//! is posted, and a page never asks twice by itself. Only touch tones are taken.
//!
//! `event` is `keys`, `silence`, `nomatch`, `played` or `hangup`.

use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::{self, HeaderMap};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};

use super::form::Form;
use super::markup::Markup;
use super::{Door, Start, Turned, answered, basic, heard, number, path_of, text_of};
use crate::api::calls::{Fault, FaultKind};
use crate::api::problem::Problem;
use crate::call::outside::{Heard, Line, Page, Sound, Then};
use crate::dialplan::Awaited;
use crate::digit::Digit;
use crate::secret::Secret;
use crate::service::ApiPeer;

const FORM: &str = "voicexml";
const NEXT: &str = "/ivr/voicexml";
/// The variable and the field of the session: `session` alone is a scope of the browser.
const SESSION: &str = "passline_session";
const MEDIA_TYPE: &str = "application/voicexml+xml";

/// How long a page or a sound may be fetched. A page is here in two seconds; the rest is the network.
const FETCH_TIMEOUT: &str = "7s";

pub(super) fn routes() -> Router<Door> {
    Router::new()
        .route("/ivr/voicexml/{dialplan}", get(begin).head(not_by_head).post(begin))
        .route(NEXT, post(turn))
}

/// HEAD is for looking (RFC 9110, section 9.3.2), and would be taken for GET.
async fn not_by_head() -> Response {
    let problem = Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "There is another method for this",
    );
    ([(header::ALLOW, "GET,POST")], problem).into_response()
}

async fn begin(
    State(door): State<Door>,
    Extension(peer): Extension<ApiPeer>,
    Path(dialplan): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let entry = door.log.begin("IvrBegin", FORM, &peer);
    let answer = async {
        let (body, query) = Form::read(request).await?;
        let field = |name| body.get(name).or(query.get(name)).filter(|value| !value.is_empty());
        let start = Start {
            platform: FORM,
            dialplan: &dialplan,
            call_id: field("call").unwrap_or_default(),
            caller: field("caller"),
            called: field("called"),
            language: field("language"),
        };
        door.begin(peer, &entry, basic(&headers), start).await
    };
    let answer = answer.await.map(|turned| document(&turned, door.prefix()));
    answered(entry, answer)
}

async fn turn(State(door): State<Door>, Extension(peer): Extension<ApiPeer>, request: Request) -> Response {
    let entry = door.log.begin("IvrPage", FORM, &peer);
    let answer = async {
        let (body, _) = Form::read(request).await?;
        let token = body.get(SESSION).ok_or(Fault::new(FaultKind::NoSession))?;
        let token = Secret::new(token.to_owned());
        let number = number(body.get("page"))?;
        let heard = told_in(&body)?;
        door.turn(peer, &entry, token, number, heard).await
    };
    let answer = answer.await.map(|turned| document(&turned, door.prefix()));
    answered(entry, answer)
}

fn told_in(body: &Form) -> Result<Heard, Fault> {
    heard(
        body.get("event").unwrap_or_default(),
        body.get("keys").unwrap_or_default(),
    )
}

fn document(turned: &Turned, prefix: &str) -> Response {
    write(&turned.page, turned.session.token.expose(), prefix).answer(MEDIA_TYPE)
}

/// The document of a page; `prefix` stands before the addresses in it.
fn write(page: &Page, session: &str, prefix: &str) -> Markup {
    let mut out = Markup::new();
    let mut attributes = vec![("version", "2.1"), ("xmlns", "http://www.w3.org/2001/vxml")];
    let language = page.lines.iter().find_map(|line| match &line.sound {
        Sound::Prompt { language, .. } => Some(language.as_str()),
        Sound::Kept(_) => None,
    });
    attributes.extend(language.map(|language| ("xml:lang", language)));
    out.open("vxml", &attributes);
    property(&mut out, "inputmodes", "dtmf");
    property(&mut out, "fetchtimeout", FETCH_TIMEOUT);
    variable(&mut out, SESSION, &format!("'{session}'"));
    variable(&mut out, "page", &page.number.to_string());
    variable(&mut out, "event", "'played'");
    variable(&mut out, "keys", "''");
    // The call of a last page is over here.
    out.open("catch", &[("event", "connection.disconnect")]);
    match page.then {
        Then::HangUp => out.empty("exit", &[]),
        Then::Collect(_) | Then::ComeBack => told(&mut out, prefix, "'hangup'"),
    }
    out.close();
    // Busy, or a connection that broke: once more, since nothing is taken twice.
    out.open("catch", &[("event", "error.badfetch"), ("count", "1")]);
    submit(&mut out, prefix);
    out.close();
    // Whatever else goes wrong out there: no browser asks the same again and again.
    out.open("catch", &[("event", "error")]);
    out.empty("exit", &[]);
    out.close();
    out.open("form", &[]);
    match page.then {
        Then::Collect(awaited) => field(&mut out, prefix, &page.lines, &awaited),
        Then::ComeBack => pause(&mut out, prefix, &page.lines),
        Then::HangUp => {
            out.open("block", &[]);
            prompts(&mut out, prefix, &page.lines, None);
            out.empty("disconnect", &[]);
            out.close();
        }
    }
    out
}

/// Plays, and comes back at once. It is a field, because what a block says is not played before the next question.
fn pause(out: &mut Markup, prefix: &str, lines: &[Line]) {
    out.open("field", &[("name", "entry")]);
    property(out, "timeout", "10ms");
    grammar(out, 1, None);
    prompts(out, prefix, lines, Some(false));
    for event in ["noinput", "nomatch", "filled"] {
        out.open(event, &[]);
        told(out, prefix, "'played'");
        out.close();
    }
    out.close();
}

fn field(out: &mut Markup, prefix: &str, lines: &[Line], awaited: &Awaited) {
    let first = milliseconds(awaited.first);
    out.open("field", &[("name", "entry")]);
    let finish = awaited.finish_on_key.map(|key| key.as_char().to_string());
    property(out, "termchar", finish.as_deref().unwrap_or(""));
    property(out, "timeout", &first);
    property(out, "interdigittimeout", &milliseconds(awaited.between));
    property(out, "termtimeout", "0s");
    grammar(out, awaited.most, awaited.finish_on_key);
    prompts(out, prefix, lines, None);
    for (event, name) in [("noinput", "'silence'"), ("nomatch", "'nomatch'")] {
        out.open(event, &[]);
        told(out, prefix, name);
        out.close();
    }
    out.open("filled", &[]);
    out.empty("assign", &[("name", "keys"), ("expr", "entry")]);
    told(out, prefix, "'keys'");
    out.close();
    out.close();
}

/// Takes up to so many keys, whichever they are.
fn grammar(out: &mut Markup, most: usize, finish: Option<Digit>) {
    out.open(
        "grammar",
        &[
            ("mode", "dtmf"),
            ("version", "1.0"),
            ("root", "keys"),
            ("type", "application/srgs+xml"),
        ],
    );
    out.open("rule", &[("id", "keys"), ("scope", "public")]);
    out.open("item", &[("repeat", &format!("1-{most}"))]);
    out.open("one-of", &[]);
    for key in Digit::ALL.into_iter().filter(|key| Some(*key) != finish) {
        out.text("item", &[], &key.as_char().to_string());
    }
    out.close();
    out.close();
    out.close();
    out.close();
}

/// Lines that a key silences and others are prompts of their own.
fn prompts(out: &mut Markup, prefix: &str, lines: &[Line], all_barge_in: Option<bool>) {
    let barges_in = |line: &Line| all_barge_in.unwrap_or(line.barge_in);
    for lines in lines.chunk_by(|a, b| barges_in(a) == barges_in(b)) {
        let barge_in = lines.first().is_some_and(barges_in);
        out.open("prompt", &[("bargein", if barge_in { "true" } else { "false" })]);
        for line in lines {
            let path = format!("{prefix}{}", path_of(&line.sound));
            let mut attributes = vec![("src", path.as_str())];
            if matches!(line.sound, Sound::Kept(_)) {
                // No copy of it is kept.
                attributes.extend([("maxage", "0"), ("maxstale", "0")]);
            }
            match text_of(line) {
                "" => out.empty("audio", &attributes),
                text => out.text("audio", &attributes, text),
            }
        }
        out.close();
    }
}

fn told(out: &mut Markup, prefix: &str, event: &str) {
    out.empty("assign", &[("name", "event"), ("expr", event)]);
    submit(out, prefix);
}

fn submit(out: &mut Markup, prefix: &str) {
    out.empty(
        "submit",
        &[
            ("next", &format!("{prefix}{NEXT}")),
            ("method", "post"),
            ("namelist", "passline_session page event keys"),
        ],
    );
}

fn property(out: &mut Markup, name: &str, value: &str) {
    out.empty("property", &[("name", name), ("value", value)]);
}

fn variable(out: &mut Markup, name: &str, expression: &str) {
    out.empty("var", &[("name", name), ("expr", expression)]);
}

fn milliseconds(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

#[cfg(test)]
mod tests;
