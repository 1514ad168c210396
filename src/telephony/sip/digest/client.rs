//! Proving a password.

use super::Algorithm;
use crate::secret::Secret;
use crate::telephony::sip::message::{AuthParams, Method};

/// A name and password for calls of ours.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// The client side: the value for Authorization that answers the strongest of `challenges`; `None` when there is none
/// that we understand.
#[must_use]
pub fn answer<'a>(
    challenges: impl Iterator<Item = &'a str>,
    credentials: &Credentials,
    method: &Method,
    uri: &str,
    cnonce: &str,
) -> Option<String> {
    let understood = challenges.filter_map(|value| {
        let challenge = AuthParams::parse(value).ok().filter(AuthParams::is_digest)?;
        let algorithm = Algorithm::from_param(challenge.get("algorithm").as_deref())?;
        Some((algorithm, challenge))
    });
    let (algorithm, challenge) = understood.min_by_key(|(algorithm, _)| *algorithm == Algorithm::Md5)?;
    let (realm, nonce) = (challenge.get("realm")?, challenge.get("nonce")?);
    let qop = challenge.get("qop");
    let offers_auth = qop
        .as_deref()
        .is_some_and(|qop| qop.split(',').any(|item| item.trim().eq_ignore_ascii_case("auth")));
    if qop.is_some() && !offers_auth {
        return None;
    }
    let ha1 = algorithm.hash(&[&credentials.username, &realm, credentials.password.expose()]);
    let ha2 = algorithm.hash(&[method.as_str(), uri]);
    let (response, tail) = if offers_auth {
        let response = algorithm.hash(&[&ha1, &nonce, "00000001", cnonce, "auth", &ha2]);
        (response, format!(", qop=auth, nc=00000001, cnonce=\"{cnonce}\""))
    } else {
        // RFC 2069, which RFC 3261 section 22.4 keeps alive.
        (algorithm.hash(&[&ha1, &nonce, &ha2]), String::new())
    };
    let opaque = challenge
        .get("opaque")
        .map(|opaque| format!(", opaque=\"{}\"", escape(&opaque)))
        .unwrap_or_default();
    Some(format!(
        "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\", algorithm={}{tail}{opaque}",
        escape(&credentials.username),
        escape(&realm),
        escape(&nonce),
        algorithm.as_str(),
    ))
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace(['\r', '\n'], " ")
}
