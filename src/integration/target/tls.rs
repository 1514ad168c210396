//! Whom a target's TLS believes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// The certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read the certificates in {path}: {reason}")]
    Ca {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file has none.
    #[error("no certificate in {path}; it must hold the PEM text of the authority that signs the server's certificate")]
    NoCa {
        /// Which file.
        path: PathBuf,
    },
}

/// Believes servers whose certificate is signed by those in a file (PEM), or by what the system knows.
///
/// # Errors
/// [`TlsError`].
pub(super) fn client(ca: Option<&Path>) -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            for certificate in certificates(path)?.1 {
                let added = roots.add(certificate);
                added.map_err(|error| TlsError::Ca {
                    path: path.to_owned(),
                    reason: error.to_string(),
                })?;
            }
        }
        // Some that cannot be read do not spoil the others; with none at all, no server is believed, and says so.
        None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the versions of the library's own choice go with its own provider")
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A file of certificates, as it is and one by one; at least one.
///
/// # Errors
/// [`TlsError`].
pub(super) fn certificates(path: &Path) -> Result<(Vec<u8>, Vec<CertificateDer<'static>>), TlsError> {
    let failed = |reason: String| TlsError::Ca {
        path: path.to_owned(),
        reason,
    };
    let pem = std::fs::read(path).map_err(|error| failed(error.to_string()))?;
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let all = all.map_err(|error| failed(error.to_string()))?;
    if all.is_empty() {
        return Err(TlsError::NoCa { path: path.to_owned() });
    }
    Ok((pem, all))
}
