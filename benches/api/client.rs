//! The client of both: one connection, kept alive, one request after the other.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use passline::time::monotonic;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A server.
pub(crate) struct Target {
    port: u16,
    tls: TlsConnector,
    pub(crate) password: String,
}

impl Target {
    pub(crate) fn new(folder: &Path, port: u16, password: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(folder.join("api.pem")).expect("a certificate");
        roots.add(certificate).expect("a root");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let settings = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            port,
            tls: TlsConnector::from(Arc::new(settings)),
            password: password.to_owned(),
        }
    }
}

pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    pub(crate) session: Option<String>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) took: Duration,
}

impl Connection {
    pub(crate) async fn new(target: &Target) -> Self {
        let stream = TcpStream::connect(("127.0.0.1", target.port)).await.expect("connected");
        stream.set_nodelay(true).expect("set");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = target.tls.connect(name, stream).await.expect("TLS");
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.expect("HTTP");
        tokio::spawn(connection);
        Self { sender, session: None }
    }

    pub(crate) async fn ask(&mut self, path: &str, body: &Value) -> Answer {
        let mut request = Request::post(path)
            .header("host", "localhost")
            .header("content-type", "application/json");
        if let Some(session) = &self.session {
            request = request.header("authorization", format!("Bearer {session}"));
        }
        let request = request
            .body(Full::new(Bytes::from(body.to_string())))
            .expect("a request");
        self.sender.ready().await.expect("a connection that is kept");
        let begun = monotonic();
        let response = self.sender.send_request(request).await.expect("an answer");
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.expect("a body").to_bytes();
        let took = begun.elapsed();
        Answer {
            status,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            took,
        }
    }
}
