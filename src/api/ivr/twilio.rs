//! Twilio: webhooks that are answered with TwiML (<https://www.twilio.com/docs/voice/twiml>).
//!
//! ```text
//! POST /ivr/twilio/<flow>                  HTTP Basic, an API user   ──▶ TwiML 1
//! POST /ivr/twilio/<flow>?call=&page=      Digits                    ──▶ TwiML 2 ...
//! POST /ivr/twilio/<flow>                  CallStatus=completed      ──▶ nothing: the call is over
//! ```
//!
//! Every request must be signed (`X-Twilio-Signature`, <https://www.twilio.com/docs/usage/security>) with the auth token of
//! the account. The addresses of pages name the call and no session: whoever reads them over there, in a log, has nothing.

use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha1::Sha1;
use zeroize::Zeroizing;

use super::form::Form;
use super::markup::Markup;
use super::{Door, Proof, Start, Turned, answered, basic, call_id_of, host_of, keys, number, path_of};
use crate::api::calls::{Fault, FaultKind};
use crate::call::outside::{Heard, Line, Page, Then};
use crate::secret::Secret;
use crate::service::ApiPeer;

const FORM: &str = "twilio";

/// The header of the signature.
const SIGNATURE: &str = "x-twilio-signature";

/// How a call is that is over (<https://www.twilio.com/docs/voice/api/call-resource#call-status-values>).
const OVER: [&str; 5] = ["completed", "busy", "no-answer", "canceled", "failed"];

pub(super) fn routes() -> Router<Door> {
    Router::new().route("/ivr/twilio/{dialplan}", post(webhook))
}

async fn webhook(
    State(door): State<Door>,
    Extension(peer): Extension<ApiPeer>,
    Path(dialplan): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Response {
    let uri = request.uri().clone();
    let is_turn = uri.query().is_some_and(|query| query.contains("call="));
    let entry = door
        .log
        .begin(if is_turn { "IvrPage" } else { "IvrBegin" }, FORM, &peer);
    let answer = async {
        let (body, query) = Form::read(request).await?;
        let proof = basic(&headers);
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let signature = headers.get(SIGNATURE).and_then(|value| value.to_str().ok());
        let is_signed = door.settings.twilio_token.as_ref().is_some_and(|token| {
            let bases = [door.prefix().to_owned(), host_of(&uri, &headers)];
            let signature = signature.unwrap_or_default();
            let is_of = |base: &String| is_signed(token, signature, (base, path), &body, proof.as_ref());
            bases.iter().any(is_of)
        });
        if !is_signed {
            return Err(Fault::with(
                FaultKind::NotAllowed,
                "the request is not signed with the auth token of this account for this address",
            ));
        }
        let field = |name| body.get(name).filter(|value| !value.is_empty());
        let call_id = field("CallSid").unwrap_or_default();
        if field("CallStatus").is_some_and(|status| OVER.contains(&status)) {
            door.desk.hang_up(FORM, &call_id_of(call_id)).await;
            return Ok(StatusCode::NO_CONTENT.into_response());
        }
        let turned = match query.get("call") {
            Some(call) => {
                let token = call.parse().ok().and_then(|visit| door.desk.token(FORM, visit));
                let token = token.ok_or(Fault::new(FaultKind::NoSession))?;
                let heard = match (query.get("played"), keys(body.get("Digits").unwrap_or_default())) {
                    (Some(_), _) => Heard::Played,
                    (None, Some(keys)) if !keys.is_empty() => Heard::Keys(keys),
                    // The finish key alone is no silence.
                    (None, Some(_)) if field("FinishedOnKey").is_some() => Heard::NoMatch,
                    (None, Some(_)) => Heard::Silence,
                    (None, None) => Heard::NoMatch,
                };
                let page = number(query.get("page"))?;
                door.turn(peer, &entry, token, page, heard).await?
            }
            None => {
                let start = Start {
                    platform: FORM,
                    dialplan: &dialplan,
                    call_id,
                    caller: field("From").filter(|from| !WITHHELD.contains(from)),
                    called: field("To"),
                    language: query.get("language"),
                };
                door.begin(peer, &entry, proof, start).await?
            }
        };
        Ok(document(&turned, door.prefix(), &dialplan))
    };
    let answer = answer.await;
    answered(entry, answer)
}

/// What Twilio tells instead of a number that it does not know: ANONYMOUS, BLOCKED, RESTRICTED, UNAVAILABLE and UNKNOWN on
/// the keys of a telephone. They are no number of anybody.
const WITHHELD: [&str; 5] = ["+266696687", "+2562533", "+7378742833", "+86282452253", "+8656696"];

/// Whether Twilio has made the request. It signs the address as it was configured there: with the user and the password in
/// it or without, with the port that everybody knows or without.
fn is_signed(token: &Secret, signature: &str, (base, path): (&str, &str), body: &Form, proof: Option<&Proof>) -> bool {
    let Ok(signature) = STANDARD.decode(signature) else {
        return false;
    };
    let mut fields: Vec<(&str, &str)> = body.iter().collect();
    fields.sort_unstable();
    let host = base.strip_prefix("https://").unwrap_or(base);
    let without_port = host.strip_suffix(":443").unwrap_or(host);
    let user = proof.map(|proof| {
        let password = proof.password.as_ref().map(Secret::expose).unwrap_or_default();
        Zeroizing::new(format!("{}:{password}@", proof.user))
    });
    let users = [Some(""), user.as_ref().map(|user| user.as_str())];
    let hosts = [host.to_owned(), without_port.to_owned(), format!("{without_port}:443")];
    let matches = |user: &str, host: &str| {
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.expose().as_bytes()) else {
            return false;
        };
        for part in ["https://", user, host, path] {
            mac.update(part.as_bytes());
        }
        for (name, value) in &fields {
            mac.update(name.as_bytes());
            mac.update(value.as_bytes());
        }
        mac.verify_slice(&signature).is_ok()
    };
    let mut users = users.into_iter().flatten();
    users.any(|user| hosts.iter().any(|host| matches(user, host)))
}

fn document(turned: &Turned, prefix: &str, dialplan: &str) -> Response {
    write(&turned.page, &turned.session.visit.id().to_string(), prefix, dialplan).answer("application/xml")
}

/// The TwiML of a page; `prefix` stands before the addresses in it.
fn write(page: &Page, call: &str, prefix: &str, dialplan: &str) -> Markup {
    let next = Zeroizing::new(format!(
        "{prefix}/ivr/twilio/{dialplan}?call={call}&page={}",
        page.number
    ));
    let mut out = Markup::new();
    out.open("Response", &[]);
    match page.then {
        Then::Collect(awaited) => {
            // What must be heard to its end stands before, where keys are not taken.
            let (before, question) = page.parts();
            plays(&mut out, prefix, before);
            let finish = awaited.finish_on_key.map(|key| key.as_char().to_string());
            out.open(
                "Gather",
                &[
                    ("input", "dtmf"),
                    ("method", "POST"),
                    ("action", &next),
                    ("actionOnEmptyResult", "true"),
                    // One time for the first key and for those after it.
                    ("timeout", &seconds(awaited.first)),
                    ("numDigits", &awaited.most.to_string()),
                    ("finishOnKey", finish.as_deref().unwrap_or("")),
                ],
            );
            plays(&mut out, prefix, question);
            out.close();
        }
        Then::ComeBack => {
            plays(&mut out, prefix, &page.lines);
            out.text("Redirect", &[("method", "POST")], &format!("{}&played=1", *next));
        }
        Then::HangUp => {
            plays(&mut out, prefix, &page.lines);
            out.empty("Hangup", &[]);
        }
    }
    out
}

fn plays(out: &mut Markup, prefix: &str, lines: &[Line]) {
    for line in lines {
        out.text("Play", &[], &format!("{prefix}{}", path_of(&line.sound)));
    }
}

fn seconds(time: Duration) -> String {
    time.as_secs_f32().ceil().max(1.0).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_of_twilio_is_right_and_no_other() {
        let token = Secret::new("12345".to_owned());
        let body = Form::parse(
            b"Digits=1234&To=%2B18005551212&From=%2B14158675310&Caller=%2B14158675310&CallSid=CA1234567890ABCDE",
        );
        let base = "https://mycompany.com";
        let path = "/myapp.php?foo=1&bar=2";
        // Computed by the RequestValidator of twilio 9.13 for Python.
        let signature = "GvWf1cFY/Q7PnoempGyD5oXAezc=";
        assert!(is_signed(&token, signature, (base, path), &body, None));
        assert!(is_signed(
            &token,
            signature,
            ("https://mycompany.com:443", path),
            &body,
            None
        ));
        for (token, signature, base, path) in [
            ("12346", signature, base, path),
            ("12345", "", base, path),
            ("12345", "GvWf1cFY/Q7PnoempGyD5oXAezd=", base, path),
            ("12345", signature, "https://mycompany.org", path),
            ("12345", signature, base, "/myapp.php?foo=1&bar=3"),
        ] {
            let token = Secret::new(token.to_owned());
            assert!(!is_signed(&token, signature, (base, path), &body, None), "{base}{path}");
        }
        let other = Form::parse(b"Digits=1235");
        assert!(!is_signed(&token, signature, (base, path), &other, None));
    }
}
