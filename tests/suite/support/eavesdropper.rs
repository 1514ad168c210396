//! Somebody between a client and the web API who has its key: what goes over the line, in clear.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::block_on;

/// Listens as long as the runtime of the tests lives.
pub(crate) struct Eavesdropper {
    pub(crate) port: u16,
    heard: Arc<Mutex<Vec<u8>>>,
}

impl Eavesdropper {
    /// Before `server`, with the certificate in a folder that [`super::certificate::make`] has filled.
    pub(crate) fn before(server: SocketAddr, folder: &Path) -> Self {
        let heard: Arc<Mutex<Vec<u8>>> = Arc::default();
        let listener = block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (acceptor, connector) = (acceptor(folder), connector(folder));
        let ears = Arc::clone(&heard);
        let listening = async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, connector, ears) = (acceptor.clone(), connector.clone(), Arc::clone(&ears));
                tokio::spawn(async move {
                    let client = acceptor.accept(stream).await.expect("a client");
                    let onward = TcpStream::connect(server).await.expect("the server");
                    let name = ServerName::try_from("localhost").expect("a name");
                    let server = connector.connect(name, onward).await.expect("the server");
                    let (from_client, to_client) = tokio::io::split(client);
                    let (from_server, to_server) = tokio::io::split(server);
                    tokio::join!(
                        listen(from_client, to_server, &ears),
                        listen(from_server, to_client, &ears)
                    );
                });
            }
        };
        block_on(async {
            drop(tokio::spawn(listening));
        });
        Self { port, heard }
    }

    /// Everything that was heard so far.
    pub(crate) fn heard(&self) -> String {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&heard).into_owned()
    }
}

async fn listen(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, ears: &Mutex<Vec<u8>>) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        ears.lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(&buffer[..length]);
        if to.write_all(&buffer[..length]).await.is_err() || to.flush().await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

fn acceptor(folder: &Path) -> TlsAcceptor {
    let certificate = CertificateDer::from_pem_file(folder.join("api.pem")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_file(folder.join("api-key.pem")).expect("a key");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key);
    TlsAcceptor::from(Arc::new(config.expect("a pair")))
}

fn connector(folder: &Path) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    let ca = CertificateDer::from_pem_file(folder.join("ca.pem")).expect("a certificate");
    roots.add(ca).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsConnector::from(Arc::new(config))
}
