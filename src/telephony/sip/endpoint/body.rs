//! What bodies are good for (RFC 3261 section 8.2.3, RFC 5621): SDP, alone or as one part of several.

use super::incoming::Refusal;
use crate::telephony::sip::message::{Checked, MediaType, Name, Part, option_tags};

/// Bodies of INVITE and UPDATE that we understand.
const SESSION_ACCEPT: &str = "application/sdp, multipart/mixed";

/// The SDP of a message, if it has any. Other bodies are passed over when they say that they may be; parts beside the
/// SDP unless they say that they must not be (RFC 5621 section 8 has them required when they say nothing, and gateways
/// leave it out).
///
/// # Errors
/// 415 with what would be understood, or 400.
pub(super) fn sdp_of(message: &Checked) -> Result<Option<String>, Refusal> {
    let sdp = match find(message)? {
        Some(sdp) => sdp,
        None => return Ok(None),
    };
    std::str::from_utf8(sdp)
        .map(|sdp| Some(sdp.to_owned()))
        .map_err(|_| 400.into())
}

/// Whether a message carries SDP.
pub(super) fn has_sdp(message: &Checked) -> bool {
    matches!(find(message), Ok(Some(_)))
}

/// Bodies of INVITE, UPDATE and OPTIONS.
pub(super) fn check_body(request: &Checked) -> Result<(), Refusal> {
    find(request).map(drop)
}

/// 406 when the caller would not understand our SDP (section 20.1). An empty Accept wants nothing at all; one that cannot
/// be read is taken for none.
pub(super) fn check_accept(request: &Checked) -> Result<(), Refusal> {
    let mut values = request.message.fields(Name::Accept).flat_map(option_tags).peekable();
    if values.peek().is_none() {
        let wants_nothing = request.message.has(Name::Accept);
        return if wants_nothing { Err(406.into()) } else { Ok(()) };
    }
    let ranges = values.filter_map(|value| MediaType::parse(value).ok());
    // The narrowest range that covers SDP counts (RFC 2616 section 14.1).
    let breadth = |range: &MediaType<'_>| u8::from(range.kind == "*") + u8::from(range.subtype == "*");
    let mut is_readable = false;
    let best = ranges
        .inspect(|_| is_readable = true)
        .filter(|range| range.covers("application", "sdp"))
        .min_by_key(breadth);
    match best {
        Some(range) if is_refused(&range) => Err(406.into()),
        None if is_readable => Err(406.into()),
        _ => Ok(()),
    }
}

/// `q=0` says no.
fn is_refused(range: &MediaType<'_>) -> bool {
    let quality = range.params.get("q").and_then(|quality| quality.parse::<f32>().ok());
    quality.is_some_and(|quality| quality <= 0.0)
}

fn find(message: &Checked) -> Result<Option<&[u8]>, Refusal> {
    let (message, body) = (&message.message, message.message.body());
    if body.is_empty() {
        return Ok(None);
    }
    let unknown = || Refusal::explained(415, Name::Accept, SESSION_ACCEPT);
    let media = message
        .field(Name::ContentType)
        .and_then(|value| MediaType::parse(value).ok())
        .ok_or_else(unknown)?;
    let is_sdp = media.is("application", "sdp");
    let disposition = message.field(Name::ContentDisposition).unwrap_or_default();
    if !is_sdp && has_handling(disposition, "optional") {
        return Ok(None);
    }
    let mut codings = message.fields(Name::ContentEncoding).flat_map(option_tags);
    if codings.any(|coding| !coding.eq_ignore_ascii_case("identity")) {
        return Err(encoded());
    }
    if is_sdp {
        return Ok(Some(body));
    }
    if !media.kind.eq_ignore_ascii_case("multipart") {
        return Err(unknown());
    }
    let parts = Part::read_all(&media, body).map_err(|_| Refusal::from(400))?;
    let found = parts.iter().find(|part| is_session(part));
    let is_demanding = |part: &&Part<'_>| match found {
        Some(found) => *part != found && has_handling(part.disposition, "required"),
        None => !has_handling(part.disposition, "optional"),
    };
    match found {
        _ if parts.iter().any(|part| is_demanding(&part)) => Err(unknown()),
        Some(part) if part.is_encoded => Err(encoded()),
        found => Ok(found.map(|part| part.body)),
    }
}

fn encoded() -> Refusal {
    Refusal::explained(415, Name::AcceptEncoding, "identity")
}

/// SDP of the session; that of early media (RFC 3959) is another.
fn is_session(part: &Part<'_>) -> bool {
    let kind = part.disposition.split(';').next().unwrap_or_default().trim();
    part.media.is_some_and(|media| media.is("application", "sdp"))
        && (kind.is_empty() || kind.eq_ignore_ascii_case("session"))
}

/// Content-Disposition with `handling=` this.
fn has_handling(disposition: &str, wanted: &str) -> bool {
    disposition.split(';').skip(1).any(|param| {
        param.split_once('=').is_some_and(|(name, value)| {
            name.trim().eq_ignore_ascii_case("handling") && value.trim().eq_ignore_ascii_case(wanted)
        })
    })
}
