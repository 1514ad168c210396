//! Certificates and keys, read again when they change, and what TLS does with them.
//!
//! TLS 1.2 and 1.3 with the suites of the `ring` provider, all of them with forward secrecy and authenticated
//! encryption. HTTP/2 and HTTP/1.1 are chosen by ALPN (RFC 7301).
//!
//! **Changed files** are looked at every few seconds and by what is in them, so that it does not matter how they are
//! changed: written over, renamed, or another link (certbot). Certificate and key are taken together or not at all: what
//! does not fit, or has had its time, stays aside with a warning, and the old pair serves on. It is told at the second look, for the two are
//! never written in the same moment. Of a certificate whose end is near is warned once a day. Connections that stand go on with what they were made with.
//!
//! **Nothing is resumed**: no tickets, no session cache. A session that is resumed carries the client's certificate with
//! it without its being looked at again; so it would outlive the certificate, or the authority that was taken out of
//! `client_ca`. A whole handshake costs a millisecond here, and connections are kept. When `client_ca` has changed,
//! connections made with a client's certificate are asked to leave after their running requests, and any connection is
//! at the [age limit](super::Limits::age): that long an expired certificate can be of use.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::metrics::ServerMetrics;
use super::tls_check::not_valid;
use crate::time::{Clock as _, SystemClock, monotonic};

/// How long before its end a certificate should have been renewed. Authorities that renew every 90 days begin 30 days before.
const RENEWAL: Duration = Duration::from_secs(14 * 24 * 60 * 60);

/// How often that is told.
const TELL_OF_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// Where certificates and keys are, in PEM.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The server's certificate, and those that lead from it to an authority that clients know.
    pub certificate: PathBuf,
    /// The key of the first certificate: PKCS #8, SEC 1 or PKCS #1.
    pub key: PathBuf,
    /// Authorities that sign certificates of clients. A client need not show any, but if it does, one of these has signed
    /// it. Without the file, none is asked for.
    pub client_ca: Option<PathBuf>,
}

/// The files cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("cannot read {path}; it must be there and the user that Passline runs as must be able to read it")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file has no certificate in it.
    #[error(
        "no certificate in {path}; it must hold PEM text that begins with -----BEGIN CERTIFICATE-----, the server's own \
         first"
    )]
    NoCertificate {
        /// Which file.
        path: PathBuf,
    },
    /// A certificate is broken.
    #[error("a certificate in {path} cannot be read: {reason}")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file has no key in it.
    #[error(
        "no private key in {path}; it must hold PEM text that begins with -----BEGIN PRIVATE KEY-----, BEGIN EC PRIVATE \
         KEY or BEGIN RSA PRIVATE KEY; a key under a password must be decrypted first (openssl pkey -in FILE)"
    )]
    NoKey {
        /// Which file.
        path: PathBuf,
    },
    /// A key of a kind that is not spoken.
    #[error(
        "the private key in {path} cannot be used; it must be ECDSA over P-256 or P-384, Ed25519, or RSA of 2,048 to 8,192 bits"
    )]
    Key {
        /// Which file.
        path: PathBuf,
    },
    /// The two do not belong together.
    #[error(
        "the private key in {key} does not fit the first certificate in {certificate}; give the key that this certificate \
         was asked for with, and the server's own certificate before those of authorities"
    )]
    Mismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// A certificate has had its time, or its time has not come.
    #[error(
        "a certificate in {path} is not valid now, and no client believes it: {reason}; renew it, or set the clock of this \
         machine"
    )]
    NotValidNow {
        /// Which file.
        path: PathBuf,
        /// In what way.
        reason: String,
    },
    /// An authority that cannot sign.
    #[error("the authorities in {path} cannot be used: {reason}")]
    ClientCa {
        /// Which file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

/// What serves now, and where it comes from.
pub(super) struct Tls {
    files: TlsFiles,
    current: RwLock<Current>,
}

/// What a new connection is made with.
#[derive(Clone)]
pub(super) struct Current {
    pub(super) config: Arc<ServerConfig>,
    /// Cancelled when certificates of clients are judged differently from then on.
    pub(super) clients_judged_anew: CancellationToken,
    digests: Digests,
    /// The server's own certificate, those of authorities behind it, and its key.
    certified: Arc<CertifiedKey>,
}

impl Current {
    fn chain(&self) -> &[CertificateDer<'static>] {
        &self.certified.cert
    }
}

impl Tls {
    /// Reads the files.
    pub(super) fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let contents = Contents::read(&files)?;
        let certified = contents.certified_key(&files)?;
        let current = Current {
            config: contents.config(&files, &certified)?,
            clients_judged_anew: CancellationToken::new(),
            digests: contents.digests(),
            certified,
        };
        warn_of_readers(&files.key);
        Ok(Self {
            files,
            current: RwLock::new(current),
        })
    }

    pub(super) fn current(&self) -> Current {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the files until it is stopped.
    pub(super) async fn follow(
        self: Arc<Self>,
        interval: Duration,
        metrics: Arc<ServerMetrics>,
        stop: CancellationToken,
    ) {
        let mut unusable = Unusable::default();
        let mut told_of_age = None;
        while stop.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
            let tls = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || tls.look());
            match stop.run_until_cancelled(looked).await {
                Some(Ok(Ok(Look::Same))) => unusable = Unusable::default(),
                Some(Ok(Ok(Look::Changed))) => {
                    unusable = Unusable::default();
                    metrics.certificates_reloaded.add_one();
                    tracing::info!(certificate = %self.files.certificate.display(), "certificate and key are read anew");
                }
                Some(Ok(Err(error))) => {
                    if unusable.is_to_be_told(&error) {
                        metrics.certificates_unusable.add_one();
                        tracing::warn!(error = %whole(&error), "certificate and key have changed and cannot be used; the old ones serve on");
                    }
                }
                Some(Err(panic)) => tracing::error!(%panic, "looking at certificate and key has failed"),
                None => return,
            }
            if told_of_age.is_none_or(|told: Instant| told.elapsed() > TELL_OF_AGE) {
                told_of_age = Some(monotonic());
                self.tell_of_age();
            }
        }
    }

    /// Warns of a certificate that no client believes, or that none will believe soon.
    fn tell_of_age(&self) {
        let (current, now) = (self.current(), SystemClock.now());
        let chain = current.chain();
        let certificate = self.files.certificate.display();
        if let Some(reason) = not_valid(chain, now) {
            tracing::error!(%certificate, reason, "no client believes the certificate; renew it, or set the clock of this machine");
        } else if let Some(reason) = not_valid(chain, now.plus(RENEWAL)) {
            tracing::warn!(%certificate, reason, "the certificate has little time left; renew it");
        }
    }

    /// Takes what has changed. Authorities are taken also when certificate and key are not, with those that serve: one that
    /// is not trusted any more must not wait for a renewal that has gone wrong.
    fn look(&self) -> Result<Look, TlsError> {
        let contents = Contents::read(&self.files)?;
        let mut digests = contents.digests();
        let before = self.current();
        if digests == before.digests {
            return Ok(Look::Same);
        }
        let is_same_ca = digests.client_ca == before.digests.client_ca;
        let (certified, trouble) = match self.pair_of(&contents, &before) {
            Ok(certified) => (certified, None),
            Err(trouble) if is_same_ca => return Err(trouble),
            Err(trouble) => {
                (digests.certificate, digests.key) = (before.digests.certificate, before.digests.key);
                (Arc::clone(&before.certified), Some(trouble))
            }
        };
        let config = contents.config(&self.files, &certified)?;
        let clients_judged_anew = if is_same_ca {
            before.clients_judged_anew.clone()
        } else {
            CancellationToken::new()
        };
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Current {
            config,
            clients_judged_anew,
            digests,
            certified,
        };
        if !is_same_ca {
            tracing::info!("authorities of clients are read anew");
            before.clients_judged_anew.cancel();
        }
        match trouble {
            Some(trouble) => Err(trouble),
            None => {
                warn_of_readers(&self.files.key);
                Ok(Look::Changed)
            }
        }
    }

    /// Certificate and key of these files, if they are better than those that serve.
    fn pair_of(&self, contents: &Contents, before: &Current) -> Result<Arc<CertifiedKey>, TlsError> {
        let certified = contents.certified_key(&self.files)?;
        let now = SystemClock.now();
        match not_valid(&certified.cert, now) {
            Some(reason) if not_valid(before.chain(), now).is_none() => Err(TlsError::NotValidNow {
                path: self.files.certificate.clone(),
                reason,
            }),
            _ => Ok(certified),
        }
    }
}

enum Look {
    Same,
    Changed,
}

/// What was wrong at the last look, and whether that was told.
#[derive(Default)]
struct Unusable {
    error: String,
    is_told: bool,
}

impl Unusable {
    /// At the second look in a row at the same trouble.
    fn is_to_be_told(&mut self, error: &TlsError) -> bool {
        let error = whole(error);
        if error != self.error {
            *self = Self { error, is_told: false };
            return false;
        }
        !std::mem::replace(&mut self.is_told, true)
    }
}

/// An error and what is behind it.
fn whole(error: &TlsError) -> String {
    let source = std::error::Error::source(error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

/// The files as they were at one moment.
struct Contents {
    certificate: Vec<u8>,
    key: Zeroizing<Vec<u8>>,
    client_ca: Option<Vec<u8>>,
}

#[derive(Clone, PartialEq, Eq)]
struct Digests {
    certificate: [u8; 32],
    key: [u8; 32],
    client_ca: Option<[u8; 32]>,
}

impl Contents {
    fn read(files: &TlsFiles) -> Result<Self, TlsError> {
        Ok(Self {
            certificate: read(&files.certificate)?,
            key: read(&files.key)?.into(),
            client_ca: files.client_ca.as_deref().map(read).transpose()?,
        })
    }

    fn digests(&self) -> Digests {
        let digest = |bytes: &[u8]| Sha256::digest(bytes).into();
        Digests {
            certificate: digest(&self.certificate),
            key: digest(&self.key),
            client_ca: self.client_ca.as_deref().map(digest),
        }
    }

    /// With a pair that need not be the one in the files.
    fn config(&self, files: &TlsFiles, certified: &Arc<CertifiedKey>) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .expect("the versions of the library's own choice go with its own provider");
        let builder = match self.client_ca.as_deref().zip(files.client_ca.as_deref()) {
            Some((pem, path)) => builder.with_client_cert_verifier(client_verifier(pem, path, provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(certified))));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Ok(Arc::new(config))
    }

    fn certified_key(&self, files: &TlsFiles) -> Result<Arc<CertifiedKey>, TlsError> {
        let chain = certificates(&self.certificate, &files.certificate)?;
        let key = private_key(&self.key, &files.key, &ring::default_provider())?;
        Ok(Arc::new(pair(chain, key, files)?))
    }
}

/// Of a key that is in use.
fn warn_of_readers(key: &Path) {
    if others_can_read(key) {
        tracing::warn!(key = %key.display(), "others than its owner can read this private key; chmod 600 it");
    }
}

/// A key that fits its certificate.
pub(super) fn pair(
    chain: Vec<CertificateDer<'static>>,
    key: Arc<dyn SigningKey>,
    files: &TlsFiles,
) -> Result<CertifiedKey, TlsError> {
    let certified = CertifiedKey::new(chain, key);
    certified.keys_match().map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => TlsError::Mismatch {
            certificate: files.certificate.clone(),
            key: files.key.clone(),
        },
        other => TlsError::Certificate {
            path: files.certificate.clone(),
            reason: other.to_string(),
        },
    })?;
    Ok(certified)
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    std::fs::read(path).map_err(|source| TlsError::Read {
        path: path.to_owned(),
        source,
    })
}

pub(super) fn certificates(pem: &[u8], path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| TlsError::Certificate {
        path: path.to_owned(),
        reason: error.to_string(),
    })?;
    if all.is_empty() {
        return Err(TlsError::NoCertificate { path: path.to_owned() });
    }
    Ok(all)
}

/// What is wrong with a key is not repeated.
pub(super) fn private_key(pem: &[u8], path: &Path, provider: &CryptoProvider) -> Result<Arc<dyn SigningKey>, TlsError> {
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| TlsError::NoKey { path: path.to_owned() })?;
    let loaded = provider.key_provider.load_private_key(key);
    loaded.map_err(|_| TlsError::Key { path: path.to_owned() })
}

pub(super) fn client_verifier(
    pem: &[u8],
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn rustls::server::danger::ClientCertVerifier>, TlsError> {
    let failed = |reason: String| TlsError::ClientCa {
        path: path.to_owned(),
        reason,
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem, path)? {
        roots.add(certificate).map_err(|error| failed(error.to_string()))?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| failed(error.to_string()))
}

/// Whether a key is in the hands of a group, or of everybody. It may be meant so, and is used; that it is so should be known.
pub(super) fn others_can_read(path: &Path) -> bool {
    let mode = std::fs::metadata(path).map(|metadata| metadata.permissions().mode());
    mode.is_ok_and(|mode| mode & 0o077 != 0)
}
