//! A client of the web API as JSON, for people who want to see it at work: one request on one connection, and everything
//! that goes and comes in a form that can be shown.
//!
//! ```text
//!  Value ─▶ Client::ask ─▶ TLS, HTTP/1.1 ─▶ Answer (Value)
//!    └───────────────▶ shown ◀──────────────────┘      without secrets
//! ```
//!
//! Everything that waits has a deadline ([`Settings::patience`]), and an answer has at most [`MAX_ANSWER`] bytes. No proxy is
//! used, no redirection is followed, and nothing is sent a second time: whoever asks decides that.

mod error;
pub mod shown;
mod tls;
mod value;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use hyper::{Method, Request, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::task::AbortOnDropHandle;
use zeroize::{Zeroize as _, Zeroizing};

pub use error::ClientError;
pub use value::Value;

use super::calls::Call;
use super::json;
use crate::secret::Secret;
use crate::time::monotonic;

/// The longest answer that is read: the sound of nine long questions.
pub const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// The longest head of an answer.
const MAX_HEAD: usize = 64 * 1024;

/// Which server, and how it is spoken with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `https://` with a host, and a port if it is not 443.
    pub url: String,
    /// Authorities that the server's certificate is believed by, in PEM; those of this machine if nothing is said.
    pub ca: Option<PathBuf>,
    /// The client's certificate and its key, in PEM.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// How long connecting and an answer may take, together.
    pub patience: Duration,
}

/// A client.
pub struct Client {
    authority: String,
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: TlsConnector,
    patience: Duration,
    token: Option<Secret>,
}

/// What a request was answered with.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The header fields, in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, if it is JSON.
    pub body: Option<Value>,
    /// How many bytes it has.
    pub size: usize,
    /// Where it comes from.
    pub peer: SocketAddr,
    /// The version of TLS: `TLS 1.3`.
    pub tls: &'static str,
    /// How long it took, with connecting.
    pub took: Duration,
}

impl Answer {
    /// A header field.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let field = self.headers.iter().find(|(known, _)| known == name);
        field.map(|(_, value)| value.as_str())
    }

    /// Whether the call was carried out.
    #[must_use]
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// What kind of fault it is, as the documents name it.
    #[must_use]
    pub fn problem(&self) -> Option<&str> {
        let kind = self.body.as_ref()?.member("type")?.text()?;
        kind.strip_prefix("urn:passline:problem:")
    }
}

impl Client {
    /// A client of this server; nothing is connected yet.
    ///
    /// # Errors
    /// [`ClientError`], which names the URL or the file.
    pub fn new(settings: &Settings) -> Result<Self, ClientError> {
        let uri: Uri = settings.url.parse().map_err(|_| ClientError::Url)?;
        let authority = uri.authority().ok_or(ClientError::Url)?;
        let is_whole = uri.scheme_str() == Some("https") && matches!(uri.path(), "" | "/") && uri.query().is_none();
        // A password in a URL is in every list of processes.
        if !is_whole || authority.as_str().contains('@') || settings.url.contains('#') {
            return Err(ClientError::Url);
        }
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        Ok(Self {
            name: ServerName::try_from(host.clone()).map_err(|_| ClientError::Url)?,
            authority: authority.as_str().to_owned(),
            port: authority.port_u16().unwrap_or(443),
            host,
            tls: tls::connector(settings)?,
            patience: settings.patience,
            token: None,
        })
    }

    /// Shows this session with every request from now on.
    pub fn belong_to(&mut self, session: Option<Secret>) {
        self.token = session;
    }

    /// The header fields of a request, without its secret.
    #[must_use]
    pub fn shown_headers(&self) -> Vec<(&'static str, String)> {
        let mut headers = vec![
            ("host", self.authority.clone()),
            ("accept", ACCEPTED.to_owned()),
            ("content-type", JSON.to_owned()),
        ];
        if self.token.is_some() {
            headers.push(("authorization", format!("Bearer {}", shown::SECRET)));
        }
        headers
    }

    /// Sends the request of a call, and waits for its answer.
    ///
    /// # Errors
    /// [`ClientError`] when there is no answer; one that tells a fault is an answer.
    pub async fn ask<C: Call>(&self, body: &Value) -> Result<Answer, ClientError> {
        let begun = monotonic();
        let until = begun + self.patience;
        let (stream, peer) = self.connected(until).await?;
        let stream = self.secured(stream, until).await?;
        let tls = tls::version(&stream);
        let io = TokioIo::new(stream);
        let mut http = http1::Builder::new();
        http.max_buf_size(MAX_HEAD);
        let (mut sender, connection) = http.handshake(io).await.map_err(|error| ClientError::http(&error))?;
        // It ends with this request, whatever comes of it.
        let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
        let request = self.request::<C>(body)?;
        let response = sender.send_request(request);
        let response = bounded(until, "an answer", response).await?;
        let response = response.map_err(|error| ClientError::http(&error))?;
        let (status, headers) = (response.status().as_u16(), headers(&response));
        let (body, size) = bounded(until, "the rest of the answer", read(response)).await??;
        Ok(Answer {
            status,
            headers,
            body,
            size,
            peer,
            tls,
            took: begun.elapsed(),
        })
    }

    async fn connected(&self, until: Instant) -> Result<(TcpStream, SocketAddr), ClientError> {
        let found = tokio::net::lookup_host((self.host.as_str(), self.port));
        let found = bounded(until, "the address of the server", found).await?;
        let unknown = |reason: String| ClientError::UnknownHost {
            host: self.host.clone(),
            reason,
        };
        let addresses: Vec<SocketAddr> = found.map_err(|error| unknown(error.to_string()))?.collect();
        let mut failed = unknown("it has no address".to_owned());
        for (index, address) in addresses.iter().enumerate() {
            // One that does not answer leaves time for the others.
            let left = until.saturating_duration_since(monotonic());
            let share = left / u32::try_from(addresses.len() - index).unwrap_or(u32::MAX);
            match tokio::time::timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(stream)) => {
                    // Requests are small, and are written at once.
                    let _ = stream.set_nodelay(true);
                    return Ok((stream, *address));
                }
                Ok(Err(error)) => {
                    failed = ClientError::Unreachable {
                        address: *address,
                        reason: error.to_string(),
                    };
                }
                Err(_) => {
                    failed = ClientError::Unreachable {
                        address: *address,
                        reason: "nothing answers".to_owned(),
                    };
                }
            }
        }
        Err(failed)
    }

    async fn secured(&self, stream: TcpStream, until: Instant) -> Result<TlsStream<TcpStream>, ClientError> {
        // The future of a handshake is large.
        let handshake: Pin<Box<_>> = Box::pin(self.tls.connect(self.name.clone(), stream));
        let secured = bounded(until, "the TLS handshake", handshake).await?;
        secured.map_err(|error| ClientError::handshake(&error))
    }

    fn request<C: Call>(&self, body: &Value) -> Result<Request<Full<Bytes>>, ClientError> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(json::path_of::<C>())
            .header(HOST, &self.authority)
            .header(USER_AGENT, concat!("passline/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, ACCEPTED)
            .header(CONTENT_TYPE, JSON);
        // What is sent is wiped when it is sent.
        let body = Full::new(Bytes::from_owner(body.written()));
        let mut request = request.body(body).map_err(|_| ClientError::Url)?;
        if let Some(token) = &self.token {
            let text = Zeroizing::new(format!("Bearer {}", token.expose()));
            let mut value = HeaderValue::from_str(&text).map_err(|_| ClientError::Token)?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        Ok(request)
    }
}

const JSON: &str = "application/json";
const ACCEPTED: &str = "application/json, application/problem+json";

async fn bounded<T>(until: Instant, what: &'static str, work: impl Future<Output = T>) -> Result<T, ClientError> {
    let waited = tokio::time::timeout_at(until.into(), work).await;
    waited.map_err(|_| ClientError::TooLate { what })
}

fn headers(response: &Response<Incoming>) -> Vec<(String, String)> {
    let fields = response.headers().iter();
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    fields
        .map(|(name, value)| (name.as_str().to_owned(), text(value)))
        .collect()
}

/// The body, if it is JSON, and its size.
async fn read(response: Response<Incoming>) -> Result<(Option<Value>, usize), ClientError> {
    let media_type = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
    let media_type = String::from_utf8_lossy(media_type.unwrap_or_default()).to_ascii_lowercase();
    let media_type = media_type.split(';').next().unwrap_or_default().trim();
    let is_json = media_type == JSON || media_type.ends_with("+json");
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await;
    let bytes = body.map_err(|error| ClientError::body(error.as_ref()))?.to_bytes();
    let (size, value) = (bytes.len(), is_json.then(|| Value::read(&bytes)).flatten());
    // As far as the buffer is ours alone.
    if let Ok(mut bytes) = bytes.try_into_mut() {
        bytes.zeroize();
    }
    Ok((value, size))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new(url: &str) -> Result<Client, ClientError> {
        Client::new(&Settings {
            url: url.to_owned(),
            ca: None,
            certificate: None,
            patience: Duration::from_secs(1),
        })
    }

    #[test]
    fn a_server_is_named_by_scheme_host_and_port_alone() {
        for (url, host, port) in [
            ("https://ivr.example.com:8443", "ivr.example.com", 8_443),
            ("https://ivr.example.com/", "ivr.example.com", 443),
            ("https://[::1]:8443", "::1", 8_443),
        ] {
            let client = new(url).unwrap();
            assert_eq!((client.host.as_str(), client.port), (host, port));
        }
        for url in [
            "http://ivr.example.com",
            "ivr.example.com:8443",
            "https://ivr:Brand-New-1@ivr.example.com",
            "https://ivr.example.com/api/v1",
            "https://ivr.example.com?token=Brand-New-1",
            "https://ivr.example.com/#Brand-New-1",
            "https://",
        ] {
            let error = new(url).err().unwrap();
            assert!(!error.to_string().contains("Brand-New-1"), "{error}");
        }
    }

    /// What a server does that sends `head` and then nothing.
    async fn asked(head: &'static [u8]) -> ClientError {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = tokio::spawn(async move {
            use tokio::io::AsyncWriteExt as _;
            let (mut stream, _) = listener.accept().await.unwrap();
            if head.is_empty() {
                return None;
            }
            stream.write_all(head).await.unwrap();
            Some(stream)
        });
        let client = new(&format!("https://127.0.0.1:{port}")).unwrap();
        let nothing = Value::object([]);
        let asked = client.ask::<crate::api::calls::logout::Logout>(&nothing);
        let error = asked.await.unwrap_err();
        drop(serving.await);
        error
    }

    #[tokio::test]
    async fn what_is_in_the_way_is_told_with_what_to_do() {
        let closed = asked(b"").await;
        assert!(closed.to_string().contains("passline api user network"), "{closed}");
        let plain = asked(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        assert!(plain.to_string().contains("no TLS"), "{plain}");
        let silent = asked(b"\x16").await;
        assert!(matches!(silent, ClientError::TooLate { .. }), "{silent}");
    }
}
