//! Whole calls for outside IVRs: they play and collect, what is said and done comes from the flows of this house.
//!
//! ```text
//!   IVR ── begin: an API user, a flow ──▶ sign in ──▶ call::outside::Desk ──▶ page 1
//!       ── session, page, keys ─────────▶ resume  ──▶ the same call       ──▶ page 2 ...
//!       ── the name of a sound ─────────▶ WAV
//! ```
//!
//! | file | for whom |
//! |---|---|
//! | [`voicexml`] | voice browsers that read VoiceXML 2.1 |
//! | [`twilio`] | Twilio, by TwiML |
//! | [`freeswitch`] | FreeSWITCH, by `mod_httapi` |
//! | [`connect`] | Amazon Connect, by a Lambda function |
//! | [`agi`] | Asterisk, by FastAGI |
//!
//! A call is a session of the API: signed in once by the API user, from one of its networks, and bound to both; what it may
//! is checked in `service`. The session is in no address where the platform can post it. The call itself is in the memory of
//! the node that began it: behind a balancer each node has a `url` of its own, which its pages name.

pub mod agi;
pub mod connect;
mod form;
pub mod freeswitch;
mod markup;
pub mod twilio;
pub mod voicexml;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{self, HeaderMap, HeaderValue};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::calls::audio::pcm_file;
use super::calls::types::{MAX_NUMBER, presentable};
use super::calls::{Calls, Fault, FaultKind, Place, Who};
use super::json;
use super::log::{Entry, Log};
use super::problem::Problem;
use crate::call::outside::{Desk, First, Heard, Line, NewCall, NotTaken, Page, Sound};
use crate::digit::Digits;
use crate::secret::Secret;
use crate::service::{ApiPeer, ApiSession, Lead, SignIn};
use crate::speech::Privacy;
use crate::time::monotonic;

/// How long a place among the calls must still be good for.
const A_MOMENT: Duration = Duration::from_millis(300);

/// Where all of it is.
pub const PREFIX: &str = "/ivr/";

/// What the handlers share; cheap to clone.
#[derive(Clone)]
pub struct Door {
    calls: Calls,
    desk: Desk,
    log: Log,
    settings: Arc<Settings>,
}

/// Who signs in. Without a password the certificate has to be proof enough.
struct Proof {
    user: String,
    password: Option<Secret>,
}

/// What the doors for outside IVRs are told.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where clients reach the API, without a path, if that is not what they say themselves.
    pub url: Option<String>,
    /// What Twilio signs its requests with; without it nothing is answered there.
    pub twilio_token: Option<Secret>,
}

/// A call that is about to begin.
struct Start<'a> {
    platform: &'static str,
    dialplan: &'a str,
    call_id: &'a str,
    caller: Option<&'a str>,
    called: Option<&'a str>,
    language: Option<&'a str>,
}

/// A page of a call, and the session that asks for the next one.
struct Turned {
    page: Arc<Page>,
    session: Box<ApiSession>,
}

/// The routes. Whoever serves them puts an [`ApiPeer`] into the extensions of each request.
pub fn router(door: Door) -> Router {
    Router::new()
        .route("/ivr/sound/{name}", get(kept))
        .route("/ivr/prompt/{language}/{name}", get(prompt))
        .merge(voicexml::routes())
        .merge(twilio::routes())
        .merge(freeswitch::routes())
        .merge(connect::routes())
        .with_state(door)
}

impl Door {
    /// To these calls and this desk.
    #[must_use]
    pub fn new(calls: Calls, desk: Desk, log: Log, settings: Settings) -> Self {
        Self {
            calls,
            desk,
            log,
            settings: Arc::new(settings),
        }
    }

    /// Signs in and begins a call.
    async fn begin(
        &self,
        peer: ApiPeer,
        entry: &Entry,
        proof: Option<Proof>,
        start: Start<'_>,
    ) -> Result<Turned, Fault> {
        let Proof { user, password } = proof.ok_or(Fault::new(FaultKind::SignInRefused))?;
        let who = self.calls.who(peer, None, Arc::clone(&entry.asker));
        let (caller, called) = (start.caller.map(number_of), start.called.map(number_of));
        let number = caller.clone();
        let language = start.language.and_then(|tag| tag.parse().ok());
        let Who { peer, asker, until, .. } = who;
        let address = peer.address;
        let sign_in = async move |calls: Calls| {
            let sign_in = SignIn {
                client: &user,
                password: password.as_ref(),
                peer: &peer,
                caller: number.as_deref(),
                language,
                lead: Lead::Flow,
            };
            calls.sign_in(sign_in, &asker).await.map(Box::new)
        };
        let session = self
            .calls
            .run("IvrBegin", (Place::SignIn, address), until, sign_in)
            .await?;
        let new = NewCall {
            session: &session,
            platform: start.platform,
            dialplan: start.dialplan,
            call_id: &call_id_of(start.call_id),
            caller: caller.as_deref(),
            called: called.as_deref(),
        };
        let first = self.desk.begin(new, until).await;
        let visit = session.visit;
        let has_page = first.as_ref().is_ok_and(|first| first.session.visit.id() == visit.id());
        if !has_page && !self.desk.carries(visit.id()) {
            // There is no call, or it has begun before, with another session.
            let end = async move |_| Ok(visit.end().await?);
            let _ = self.calls.run("IvrBegin", (Place::Call, address), until, end).await;
        }
        let First { page, session } = first.map_err(fault)?;
        let session = Box::new(session);
        Ok(Turned { page, session })
    }

    /// What was heard of a page; the next one.
    async fn turn(
        &self,
        peer: ApiPeer,
        entry: &Entry,
        token: Secret,
        number: u32,
        heard: Heard,
    ) -> Result<Turned, Fault> {
        let who = self.calls.who(peer, Some(token), Arc::clone(&entry.asker));
        let (until, address) = (who.until, who.peer.address);
        let session = loop {
            let who = who.clone();
            let resume = async move |calls: Calls| calls.session_led(&who, Lead::Flow).await;
            match self.calls.run("IvrPage", (Place::Call, address), until, resume).await {
                // Few IVRs ask again, and a caller waits.
                Err(fault) if fault.kind == FaultKind::Busy && monotonic() + A_MOMENT < until => {}
                session => break Box::new(session?),
            }
        };
        let turned = self.desk.turn(session.visit.id(), (number, heard), until).await;
        let page = turned.map_err(fault)?;
        Ok(Turned { page, session })
    }

    /// What stands before the addresses in pages: that of this node, if it has one of its own.
    fn prefix(&self) -> &str {
        self.settings.url.as_deref().unwrap_or_default()
    }

    /// Where a request believes that we are: for platforms that need whole addresses.
    fn base(&self, uri: &Uri, headers: &HeaderMap) -> String {
        match &self.settings.url {
            Some(url) => url.clone(),
            None => host_of(uri, headers),
        }
    }
}

/// Where a request says that it goes.
fn host_of(uri: &Uri, headers: &HeaderMap) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = host.or(uri.authority().map(axum::http::uri::Authority::as_str));
    let is_host = |host: &&str| host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
    format!("https://{}", host.filter(is_host).unwrap_or("localhost"))
}

fn fault(not_taken: NotTaken) -> Fault {
    let kind = match not_taken {
        NotTaken::Full | NotTaken::Draining => FaultKind::Busy,
        NotTaken::NoDialplan => FaultKind::InvalidRequest,
        NotTaken::NoPrompts => FaultKind::Internal,
        NotTaken::NoCall => FaultKind::NoSession,
        NotTaken::Late => FaultKind::Unfinished,
    };
    Fault::with(kind, not_taken.to_string())
}

/// Who signs in (RFC 7617).
fn basic(headers: &HeaderMap) -> Option<Proof> {
    let (scheme, value) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(STANDARD.decode(value.trim()).ok()?);
    let (user, password) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let password = Secret::new(password.to_owned());
    Some(Proof {
        user: user.to_owned(),
        password: Some(password).filter(|password| !password.is_empty()),
    })
}

/// A number as platforms tell it, by itself or as a URI: lockouts of callers count by it.
fn number_of(told: &str) -> String {
    let rest = ["sips:", "sip:", "tel:"]
        .iter()
        .find_map(|scheme| told.strip_prefix(scheme));
    let rest = rest.unwrap_or(told);
    presentable(rest.split(['@', ';']).next().unwrap_or(rest), MAX_NUMBER)
}

/// How a platform calls a call.
fn call_id_of(told: &str) -> String {
    // Those of all platforms are far shorter.
    const MOST: usize = 128;
    presentable(told, MOST)
}

/// Keys as platforms write them, some with spaces between.
fn keys(text: &str) -> Option<Digits> {
    let bare: Zeroizing<String> = Zeroizing::new(text.chars().filter(|c| !c.is_whitespace()).collect());
    Digits::parse(&bare)
}

/// What a platform tells in words of ours.
fn heard(event: &str, keyed: &str) -> Result<Heard, Fault> {
    Ok(match event {
        "keys" => keys(keyed).map_or(Heard::NoMatch, Heard::Keys),
        "silence" => Heard::Silence,
        "nomatch" => Heard::NoMatch,
        "played" => Heard::Played,
        "hangup" => Heard::HungUp,
        _ => {
            return Err(Fault::with(
                FaultKind::InvalidRequest,
                "`event` is keys, silence, nomatch, played or hangup",
            ));
        }
    })
}

/// The number of a page.
fn number(text: Option<&str>) -> Result<u32, Fault> {
    text.and_then(|text| text.parse().ok())
        .ok_or(Fault::with(FaultKind::InvalidRequest, "`page` is the number of a page"))
}

/// Where a platform fetches a sound, without the host.
fn path_of(sound: &Sound) -> String {
    match sound {
        Sound::Prompt { language, id } => format!("/ivr/prompt/{language}/{id}.wav"),
        Sound::Kept(name) => format!("/ivr/sound/{name}.wav"),
    }
}

/// What a line says, for a platform that cannot fetch it; of recordings only: the rest is about one person.
fn text_of(line: &Line) -> &str {
    match line.utterance.privacy() {
        Privacy::Public => line.utterance.transcript(),
        Privacy::Personal | Privacy::Secret => "",
    }
}

/// A fault as problem details; a platform that has not signed in is told how.
fn refused(fault: &Fault) -> Response {
    json::told(
        fault,
        FaultKind::SignInRefused,
        "Basic realm=\"Passline\", charset=\"UTF-8\"",
    )
}

/// What a page of a call plays beside recordings. Its name is known to the platform alone.
async fn kept(State(door): State<Door>, Path(name): Path<String>) -> Response {
    let utterance = name.strip_suffix(".wav").and_then(|name| door.desk.kept(name));
    match utterance {
        Some(utterance) => wav(&pcm_file(&utterance), "no-store"),
        None => Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here").into_response(),
    }
}

/// A recording, the same for everybody.
async fn prompt(State(door): State<Door>, Path((language, name)): Path<(String, String)>) -> Response {
    let found = name.strip_suffix(".wav").zip(language.parse().ok());
    match found.and_then(|(id, language)| door.desk.prompt(&language, id)) {
        Some(utterance) => wav(&pcm_file(&utterance), "public, max-age=300"),
        None => Problem::new(StatusCode::NOT_FOUND, "not-found", "There is nothing here").into_response(),
    }
}

fn wav(file: &[u8], caching: &'static str) -> Response {
    let mut response = file.to_vec().into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("audio/wav"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

/// Writes the answer to a request and its entry in the log.
fn answered(entry: Entry, answer: Result<Response, Fault>) -> Response {
    match answer {
        Ok(response) => {
            entry.end(None);
            response
        }
        Err(fault) => {
            entry.end(Some(fault.kind));
            refused(&fault)
        }
    }
}
