//! Authorities, a server that runs, and clients for it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Extension, State};
use axum::middleware::map_request;
use axum::routing::{any, get, post};
use axum::{Router, http};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_util::sync::CancellationToken;

use crate::api::server::{Peer, Server, ServerMetrics, Settings, TlsFiles, body_at_most};

/// Far longer than anything takes here, so that a test that hangs says where.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Who signs certificates.
pub(super) struct Authority {
    params: CertificateParams,
    key: KeyPair,
    pub(super) pem: String,
}

/// A certificate with its key.
pub(super) struct Identity {
    pub(super) certificate: String,
    pub(super) key: String,
}

impl Authority {
    pub(super) fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { params, key, pem }
    }

    pub(super) fn issue(&self, name: &str) -> Identity {
        self.issue_until(name, rcgen::date_time_ymd(4096, 1, 1))
    }

    pub(super) fn issue_until(&self, name: &str, end: time::OffsetDateTime) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        params.not_after = end;
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let issuer = Issuer::from_params(&self.params, &self.key);
        Identity {
            certificate: params.signed_by(&key, &issuer).expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }
}

impl Identity {
    pub(super) fn chain(&self) -> Vec<CertificateDer<'static>> {
        vec![CertificateDer::from_pem_slice(self.certificate.as_bytes()).expect("a certificate")]
    }

    pub(super) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::from_pem_slice(self.key.as_bytes()).expect("a key")
    }
}

/// Files in a folder of their own.
pub(super) struct Files {
    pub(super) folder: TempDir,
    pub(super) authority: Authority,
}

impl Files {
    pub(super) fn new() -> Self {
        let files = Self {
            folder: tempfile::tempdir().expect("a folder"),
            authority: Authority::new("the server's authority"),
        };
        files.write(&files.authority.issue("localhost"));
        files
    }

    pub(super) fn write(&self, identity: &Identity) {
        self.put("certificate.pem", &identity.certificate);
        self.put("key.pem", &identity.key);
    }

    pub(super) fn put(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("a file");
    }

    pub(super) fn tls(&self) -> TlsFiles {
        let file = |name: &str| self.folder.path().join(name);
        TlsFiles {
            certificate: file("certificate.pem"),
            key: file("key.pem"),
            client_ca: Some(file("client_ca.pem")).filter(|path: &std::path::PathBuf| Path::exists(path)),
        }
    }
}

/// A server that runs, until it is dropped.
pub(super) struct Running {
    pub(super) files: Files,
    pub(super) address: SocketAddr,
    pub(super) metrics: Arc<ServerMetrics>,
    pub(super) rooms: Rooms,
    pub(super) stop: CancellationToken,
    pub(super) task: JoinHandle<()>,
}

/// What the routes share.
#[derive(Clone)]
pub(super) struct Rooms {
    /// Requests that reached the router.
    pub(super) reached: Arc<AtomicUsize>,
    /// `/wait` answers when there is a permit.
    pub(super) answers: Arc<Semaphore>,
}

impl Rooms {
    pub(super) fn reached(&self) -> usize {
        self.reached.load(Ordering::SeqCst)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) async fn start(change: impl FnOnce(&mut Settings)) -> Running {
    start_with(Files::new(), change).await
}

pub(super) async fn start_with(files: Files, change: impl FnOnce(&mut Settings)) -> Running {
    let mut settings = Settings::new((Ipv4Addr::LOCALHOST, 0).into(), files.tls());
    settings.look_interval = Duration::from_millis(20);
    change(&mut settings);
    let metrics = Arc::clone(&settings.metrics);
    let server = Server::bind(settings).await.expect("a server");
    let rooms = Rooms {
        reached: Arc::default(),
        answers: Arc::new(Semaphore::new(0)),
    };
    let stop = CancellationToken::new();
    Running {
        files,
        address: server.address(),
        metrics,
        rooms: rooms.clone(),
        stop: stop.clone(),
        task: tokio::spawn(server.serve(router(rooms), stop)),
    }
}

fn router(rooms: Rooms) -> Router {
    let reached = Arc::clone(&rooms.reached);
    Router::new()
        .route("/", any(async || "hello"))
        .route("/peer", get(peer))
        .route("/echo", post(async |body: Bytes| body))
        .route("/deaf", post(async || "not read"))
        .route(
            "/large-echo",
            post(async |body: Bytes| body).route_layer(map_request(body_at_most(100_000))),
        )
        .route("/wait", get(wait))
        .route("/never", get(std::future::pending::<&'static str>))
        .route("/endless", get(async || Body::from_stream(endless())))
        .with_state(rooms)
        .layer(map_request(move |request: axum::extract::Request| {
            reached.fetch_add(1, Ordering::SeqCst);
            std::future::ready(request)
        }))
}

fn endless() -> impl futures_util::Stream<Item = Result<Bytes, std::convert::Infallible>> {
    futures_util::stream::repeat(Ok(Bytes::from_static(&[b'x'; 16 * 1024])))
}

async fn peer(Extension(peer): Extension<Peer>) -> String {
    let certificate = peer
        .certificate
        .map_or("none".to_owned(), |certificate| certificate.to_string());
    format!("{} {certificate}", peer.address)
}

async fn wait(State(rooms): State<Rooms>) -> &'static str {
    rooms.answers.acquire().await.expect("open").forget();
    "waited"
}

pub(super) static TLS_1_2: &[&SupportedProtocolVersion] = &[&rustls::version::TLS12];
pub(super) static TLS_1_3: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];

/// What a client can do with TLS.
pub(super) struct Client<'a> {
    pub(super) versions: &'static [&'static SupportedProtocolVersion],
    pub(super) alpn: &'static [&'static str],
    pub(super) identity: Option<&'a Identity>,
}

impl Default for Client<'_> {
    fn default() -> Self {
        Self {
            versions: rustls::ALL_VERSIONS,
            alpn: &["http/1.1"],
            identity: None,
        }
    }
}

impl Client<'_> {
    pub(super) fn config(&self, authority: &Authority) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        let root = CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate");
        roots.add(root).expect("a root");
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(self.versions)
            .expect("versions")
            .with_root_certificates(roots);
        let mut config = match self.identity {
            Some(identity) => builder
                .with_client_auth_cert(identity.chain(), identity.key())
                .expect("a pair"),
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }
}

impl Running {
    /// TLS with HTTP/1.1.
    pub(super) async fn connect(&self) -> TlsStream<TcpStream> {
        self.connect_as(Client::default()).await.expect("a handshake")
    }

    pub(super) async fn connect_as(&self, client: Client<'_>) -> std::io::Result<TlsStream<TcpStream>> {
        self.handshake(client, self.tcp().await).await
    }

    pub(super) async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    pub(super) async fn handshake(&self, client: Client<'_>, tcp: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("localhost").expect("a name");
        let connector = TlsConnector::from(client.config(&self.files.authority));
        timeout(PATIENCE, connector.connect(name, tcp)).await.expect("in time")
    }

    /// An HTTP/2 client.
    pub(super) async fn http2(&self) -> SendRequest<Body> {
        let client = Client {
            alpn: &["h2"],
            ..Client::default()
        };
        let stream = self.connect_as(client).await.expect("a handshake");
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
        let (sender, connection) = handshake.expect("HTTP/2");
        tokio::spawn(connection);
        sender
    }
}

/// An answer over HTTP/1.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn problem(&self) -> &str {
        assert!(self.head.contains("content-type: application/problem+json"), "{self:?}");
        let json: serde_json::Value = serde_json::from_str(&self.body).expect("JSON");
        assert_eq!(json["status"], self.status);
        let kind = self.body.split("urn:passline:problem:").nth(1).expect("a type");
        kind.split('"').next().unwrap_or_default()
    }

    pub(super) fn closes(&self) -> bool {
        self.head.contains("connection: close")
    }
}

pub(super) async fn send<S: AsyncWrite + Unpin>(stream: &mut S, bytes: impl AsRef<[u8]>) {
    stream.write_all(bytes.as_ref()).await.expect("written");
    stream.flush().await.expect("flushed");
}

/// Reads one answer whose length is told.
pub(super) async fn receive<S: AsyncRead + Unpin>(stream: &mut S) -> Answer {
    timeout(PATIENCE, async {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.expect("an answer"));
        }
        let head = String::from_utf8(head).expect("text").to_lowercase();
        let length = head
            .split("content-length: ")
            .nth(1)
            .and_then(|rest| rest.split("\r\n").next());
        let length = length.and_then(|length| length.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        stream.read_exact(&mut body).await.expect("a body");
        Answer {
            status: head
                .split(' ')
                .nth(1)
                .and_then(|status| status.parse().ok())
                .expect("a status"),
            head,
            body: String::from_utf8(body).expect("text"),
        }
    })
    .await
    .expect("in time")
}

pub(super) async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, request: impl AsRef<[u8]>) -> Answer {
    send(stream, request).await;
    receive(stream).await
}

pub(super) fn get_request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// What still comes until the server has closed the connection, in whatever way.
pub(super) async fn rest<S: AsyncRead + Unpin>(stream: &mut S) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = timeout(PATIENCE, stream.read_to_end(&mut bytes))
        .await
        .expect("closed in time");
    bytes
}

/// Waits until it is so.
pub(super) async fn until(what: &'static str, is_so: impl Fn() -> bool) {
    let waited = timeout(PATIENCE, async {
        while !is_so() {
            sleep(Duration::from_millis(5)).await;
        }
    });
    waited.await.unwrap_or_else(|_| panic!("never: {what}"));
}

pub(super) async fn text(response: http::Response<hyper::body::Incoming>) -> String {
    let bytes = axum::body::to_bytes(Body::new(response.into_body()), 1 << 20)
        .await
        .expect("a body");
    String::from_utf8(bytes.to_vec()).expect("text")
}
