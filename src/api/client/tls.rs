//! Whom the client believes, and who it is.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, ProtocolVersion, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{ClientError, Settings};

/// TLS 1.2 and 1.3 with the server's name checked, always.
pub(super) fn connector(settings: &Settings) -> Result<TlsConnector, ClientError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the versions of the library's own choice go with its own provider")
        .with_root_certificates(roots(settings.ca.as_deref())?);
    let mut config = match &settings.certificate {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => {
            let chain = certificates(certificate)?;
            // What is wrong with a key is not repeated.
            let read = PrivateKeyDer::from_pem_file(key).map_err(|_| {
                failed(
                    key,
                    "there is no private key in it that can be read; it must be PEM, and not under a password",
                )
            })?;
            let paired = builder.with_client_auth_cert(chain, read);
            paired.map_err(|_| failed(key, "the private key does not fit the client certificate"))?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, ClientError> {
    let mut roots = RootCertStore::empty();
    match file {
        Some(file) => {
            for certificate in certificates(file)? {
                let added = roots.add(certificate);
                added.map_err(|error| failed(file, error))?;
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                return Err(ClientError::NoAuthorities);
            }
        }
    }
    Ok(roots)
}

/// At least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, ClientError> {
    let pem = std::fs::read(file).map_err(|error| failed(file, error))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| failed(file, error))?;
    if all.is_empty() {
        return Err(failed(
            file,
            "there is no certificate in it; it must hold PEM text that begins with -----BEGIN CERTIFICATE-----",
        ));
    }
    Ok(all)
}

fn failed(file: &Path, reason: impl std::fmt::Display) -> ClientError {
    ClientError::File {
        path: file.to_owned(),
        reason: reason.to_string(),
    }
}

/// The version that is spoken.
pub(super) fn version(stream: &TlsStream<TcpStream>) -> &'static str {
    match stream.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLS 1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS",
    }
}
