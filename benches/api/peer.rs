//! The peer: axum with one answer, on the hyper and rustls that Passline has, with their defaults and no limits at all.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::Router;
use axum::routing::any;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::house::{House, Process, free_port};

pub(crate) struct Peer;

impl Peer {
    /// Starts this program again, as the peer.
    pub(crate) fn start(house: &House) -> Process {
        let program = std::env::current_exe().expect("this program");
        let port = free_port();
        let process = Command::new(program)
            .arg("peer")
            .arg(house.path())
            .arg(port.to_string())
            .stdout(Stdio::null())
            .spawn();
        Process::that_listens(process.expect("it runs"), port)
    }
}

/// Serves until it is ended.
pub(crate) fn serve(folder: &str, port: &str) {
    let folder = Path::new(folder);
    let chain = vec![CertificateDer::from_pem_file(folder.join("api.pem")).expect("a certificate")];
    let key = PrivateKeyDer::from_pem_file(folder.join("api-key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let settings = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    let acceptor = TlsAcceptor::from(Arc::new(settings));
    let router = Router::new().route("/", any(async || "Hello, World!"));
    let port: u16 = port.parse().expect("a port");
    // One thread for TLS and HTTP, as Passline has.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("bound");
        loop {
            let (stream, _) = listener.accept().await.expect("accepted");
            let _ = stream.set_nodelay(true);
            let (acceptor, service) = (acceptor.clone(), TowerToHyperService::new(router.clone()));
            tokio::spawn(async move {
                if let Ok(stream) = acceptor.accept(stream).await {
                    let io = TokioIo::new(stream);
                    let _ = hyper::server::conn::http1::Builder::new()
                        .serve_connection(io, service)
                        .await;
                }
            });
        }
    });
}
