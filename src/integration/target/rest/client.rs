//! The requests themselves: one connection each, and the token that goes with them.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use reqwest::Url;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::description::{Line, Parts, SignIn};
use super::template::{Values, pairs, wipe};
use crate::secret::Secret;
use crate::time::{Clock as _, SystemClock};

/// Longer answers are read no further.
const MAX_ANSWER: usize = 1 << 20;

/// A token is not used in the last part of its life: it must still be good when it arrives.
const MARGIN: Duration = Duration::from_secs(30);

/// How long a token is good that does not say so (RFC 6749, section 5.1 recommends that it does).
const TOKEN_LIFE: Duration = Duration::from_secs(60);

/// In seconds: no token is kept for longer than a day.
const MAX_TOKEN_LIFE: u64 = 86_400;

/// How long a statement of ours is good (RFC 7523); Google takes an hour at most.
const STATEMENT_LIFE: i64 = 300;

/// An answer, whatever it says.
pub(super) struct Response {
    pub(super) status: u16,
    /// Its JSON; null when it has none.
    pub(super) body: Value,
}

impl Drop for Response {
    fn drop(&mut self) {
        wipe(&mut self.body);
    }
}

/// No answer.
#[derive(Debug)]
pub(super) struct NoResponse {
    pub(super) reason: String,
    /// Whether the request may have arrived.
    pub(super) sent: bool,
}

struct Token {
    header: Secret,
    until: Instant,
}

/// Talks to one API.
pub(super) struct Client {
    http: reqwest::Client,
    token: Mutex<Option<Token>>,
}

/// What a request says of who makes it.
pub(super) enum Identity {
    Nobody,
    Header(HeaderName, Secret),
}

impl Client {
    pub(super) fn new(
        tls: rustls::ClientConfig,
        connect: Duration,
        proxy: Option<&str>,
    ) -> Result<Self, reqwest::Error> {
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .connect_timeout(connect)
            // Another address is another one who must be believed.
            .redirect(reqwest::redirect::Policy::none())
            // A kept connection would break when a request is out.
            .pool_max_idle_per_host(0)
            .user_agent(concat!("passline/", env!("CARGO_PKG_VERSION")))
            .no_proxy();
        if let Some(proxy) = proxy {
            builder = builder.proxy(reqwest::Proxy::all(proxy)?);
        }
        Ok(Self {
            http: builder.build()?,
            token: Mutex::default(),
        })
    }

    /// Who Passline is there, with a token that is good now.
    pub(super) async fn identity(
        &self,
        sign_in: &SignIn,
        values: &Values<'_>,
        user: &str,
        credential: &Secret,
    ) -> Result<Identity, String> {
        match sign_in {
            SignIn::Basic => Ok(Identity::Header(AUTHORIZATION, basic(user, credential))),
            SignIn::Header { header, value } => {
                let name = header
                    .parse()
                    .map_err(|_| format!("{header:?} is no name of a header"))?;
                Ok(Identity::Header(name, Secret::new(value.plain(values).to_string())))
            }
            SignIn::ClientCredentials { .. } | SignIn::JwtBearer { .. } => {
                // One asks, the others wait for what it gets.
                let mut kept = self.token.lock().await;
                if let Some(token) = kept.as_ref().filter(|token| token.until > Instant::now()) {
                    return Ok(Identity::Header(AUTHORIZATION, token.header.clone()));
                }
                let token = self.fetch(sign_in, values, user, credential).await?;
                let header = token.header.clone();
                *kept = Some(token);
                Ok(Identity::Header(AUTHORIZATION, header))
            }
        }
    }

    /// Whether there was a token to forget, which somebody may have withdrawn.
    pub(super) async fn forget_token(&self) -> bool {
        self.token.lock().await.take().is_some()
    }

    async fn fetch(
        &self,
        sign_in: &SignIn,
        values: &Values<'_>,
        user: &str,
        credential: &Secret,
    ) -> Result<Token, String> {
        let mut form: Vec<(&str, Zeroizing<String>)> = Vec::new();
        let mut identity = Identity::Nobody;
        let text = |text: &str| Zeroizing::new(text.to_owned());
        let url = match sign_in {
            SignIn::ClientCredentials {
                token,
                scope,
                basic: in_header,
            } => {
                form.push(("grant_type", text("client_credentials")));
                form.extend(scope.iter().map(|scope| ("scope", scope.plain(values))));
                if *in_header {
                    identity = Identity::Header(AUTHORIZATION, basic(user, credential));
                } else {
                    form.push(("client_id", text(user)));
                    form.push(("client_secret", text(credential.expose())));
                }
                token.url(values)
            }
            SignIn::JwtBearer { token, scope, subject } => {
                let url = token.url(values);
                let subject = subject.as_ref().map(|subject| subject.plain(values));
                let statement = statement(&url, scope, subject.as_ref().map(|s| s.as_str()), user, credential)?;
                form.push(("grant_type", text("urn:ietf:params:oauth:grant-type:jwt-bearer")));
                form.push(("assertion", statement));
                url
            }
            SignIn::Basic | SignIn::Header { .. } => return Err("it needs no token".to_owned()),
        };
        let mut body = Zeroizing::new(String::with_capacity(2_048));
        for (name, value) in &form {
            if !body.is_empty() {
                body.push('&');
            }
            body.push_str(name);
            body.push('=');
            body.extend(percent_encoding::utf8_percent_encode(
                value,
                percent_encoding::NON_ALPHANUMERIC,
            ));
        }
        let asked = Instant::now();
        let built = self.request("POST", &url, &identity)?;
        let built = built
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body.to_string());
        let response = send(built).await.map_err(|none| format!("no token: {}", none.reason))?;
        let said = |pointer: &str| response.body.pointer(pointer).and_then(Value::as_str);
        match (response.status, said("/access_token")) {
            (200, Some(token)) => {
                let life = response.body.pointer("/expires_in").and_then(Value::as_u64);
                let life = life.map_or(TOKEN_LIFE, |seconds| Duration::from_secs(seconds.min(MAX_TOKEN_LIFE)));
                Ok(Token {
                    header: Secret::new(format!("Bearer {token}")),
                    until: asked + life.saturating_sub(MARGIN),
                })
            }
            // RFC 6749, section 5.2: `invalid_client`, `invalid_scope` ...
            (status, _) => Err(format!(
                "{user} gets no token: {status} {}",
                said("/error").map(bounded).unwrap_or_default()
            )),
        }
    }

    fn request(&self, method: &str, url: &str, identity: &Identity) -> Result<reqwest::RequestBuilder, String> {
        // What was filled in is encoded, but for dots: they would lead to another path.
        let is_dots = |segment: &str| matches!(segment, "." | "..");
        if url.split(['/', '?', '#']).any(is_dots) {
            return Err("a name made of dots cannot be a part of its address".to_owned());
        }
        let url = Url::parse(url).map_err(|error| format!("its address is wrong: {error}"))?;
        if !is_safe(&url) {
            return Err(format!(
                "{}://{} would be told secrets in clear",
                url.scheme(),
                url.authority()
            ));
        }
        let method = method.parse().map_err(|_| format!("{method} is no method"))?;
        let request = self.http.request(method, url);
        Ok(match identity {
            Identity::Nobody => request,
            Identity::Header(name, value) => request.header(name, hidden(value.expose())?),
        })
    }

    /// Makes one request, and reads its answer.
    pub(super) async fn send(
        &self,
        line: &Line,
        parts: &Parts,
        values: &Values<'_>,
        identity: &Identity,
    ) -> Result<Response, NoResponse> {
        let unsent = |reason: String| NoResponse { reason, sent: false };
        let mut url = line.url.url(values);
        if !parts.query.is_empty() {
            let joint = if url.contains('?') { '&' } else { '?' };
            url.push(joint);
            url.push_str(&pairs(&parts.query, values));
        }
        let mut request = self.request(&line.method, &url, identity).map_err(unsent)?;
        if let Some(form) = &parts.form {
            request = request
                .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(pairs(form, values).to_string());
        }
        if let Some(json) = &parts.json {
            request = request.body(json.text(values).to_string());
        }
        let mut headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        if parts.json.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        for (name, value) in &parts.headers {
            let name: HeaderName = name
                .parse()
                .map_err(|_| unsent(format!("{name:?} is no name of a header")))?;
            headers.insert(name, hidden(&value.plain(values)).map_err(unsent)?);
        }
        send(request.headers(headers)).await
    }
}

/// Encrypted, or to this machine.
pub(super) fn is_safe(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let is_loopback = host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback());
    url.scheme() == "https" || (url.scheme() == "http" && is_loopback)
}

/// Its value is in no log of the library.
fn hidden(text: &str) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(text).map_err(|_| "what is kept for it cannot be in a header".to_owned())?;
    value.set_sensitive(true);
    Ok(value)
}

fn basic(user: &str, credential: &Secret) -> Secret {
    let pair = Zeroizing::new(format!("{user}:{}", credential.expose()));
    Secret::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())))
}

async fn send(request: reqwest::RequestBuilder) -> Result<Response, NoResponse> {
    let mut response = request.send().await.map_err(|error| NoResponse {
        sent: !(error.is_connect() || error.is_builder()),
        reason: told(error),
    })?;
    let status = response.status().as_u16();
    let mut body = Zeroizing::new(Vec::new());
    loop {
        // The status says what happened; a body that breaks off takes nothing away from it.
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= MAX_ANSWER => body.extend_from_slice(&chunk),
            _ => break,
        }
    }
    Ok(Response {
        status,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    })
}

/// An error and what is behind it, without the address, in which there may be a name.
fn told(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        text = format!("{text}: {inner}");
        source = inner.source();
    }
    text
}

/// What a server says, for a log.
pub(super) fn bounded(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect()
}

/// A JSON Web Token (RFC 7519) by RS256 that says who we are.
fn statement(
    audience: &str,
    scope: &str,
    subject: Option<&str>,
    user: &str,
    key: &Secret,
) -> Result<Zeroizing<String>, String> {
    let wrong = "what is kept for it is no private key of RSA (PKCS #8, `-----BEGIN PRIVATE KEY-----`)";
    let der = {
        use rustls::pki_types::PrivatePkcs8KeyDer;
        use rustls::pki_types::pem::PemObject as _;
        PrivatePkcs8KeyDer::from_pem_slice(key.expose().as_bytes()).map_err(|_| wrong.to_owned())?
    };
    let key = ring::rsa::KeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| wrong.to_owned())?;
    let now = SystemClock.now().as_millis() / 1_000;
    let mut claims = serde_json::json!({
        "iss": user, "scope": scope, "aud": audience, "iat": now, "exp": now + STATEMENT_LIFE,
    });
    if let Some(subject) = subject {
        claims["sub"] = subject.into();
    }
    let header = URL_SAFE_NO_PAD.encode("{\"alg\":\"RS256\",\"typ\":\"JWT\"}");
    let text = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims.to_string()));
    let mut signature = vec![0; key.public().modulus_len()];
    let random = ring::rand::SystemRandom::new();
    key.sign(
        &ring::signature::RSA_PKCS1_SHA256,
        &random,
        text.as_bytes(),
        &mut signature,
    )
    .map_err(|_| wrong.to_owned())?;
    Ok(Zeroizing::new(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))))
}
