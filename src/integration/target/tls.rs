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
            let failed = |reason: String| TlsError::Ca {
                path: path.to_owned(),
                reason,
            };
            let certificates = CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| failed(error.to_string()))?;
                roots.add(certificate).map_err(|error| failed(error.to_string()))?;
            }
            if roots.is_empty() {
                return Err(TlsError::NoCa { path: path.to_owned() });
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
