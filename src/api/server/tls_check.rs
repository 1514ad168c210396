//! What is wrong with certificates and keys: everything at once, with nothing served and nothing changed.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, RootCertStore};
use zeroize::Zeroizing;

use super::tls::{self, TlsError, TlsFiles};
use crate::time::Timestamp;

/// One of the files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsFile {
    /// The server's certificate.
    Certificate,
    /// Its key.
    Key,
    /// The authorities of clients.
    ClientCa,
}

impl TlsFiles {
    /// Everything that keeps a server with these files from serving, or clients from believing it.
    #[must_use]
    pub fn check(&self, now: Timestamp) -> Vec<(TlsFile, TlsError)> {
        let provider = Arc::new(ring::default_provider());
        let mut found = Vec::new();
        let chain = tls::read(&self.certificate).and_then(|pem| tls::certificates(&pem, &self.certificate));
        let key = tls::read(&self.key).map(Zeroizing::new);
        let key = key.and_then(|pem| tls::private_key(&pem, &self.key, &provider));
        let chain = chain.map_err(|error| found.push((TlsFile::Certificate, error)));
        let key = key.map_err(|error| found.push((TlsFile::Key, error)));
        if let Ok(chain) = chain {
            found.extend(not_valid(&chain, now).map(|reason| {
                let path = self.certificate.clone();
                (TlsFile::Certificate, TlsError::NotValidNow { path, reason })
            }));
            match key.map(|key| tls::pair(chain, key, self)) {
                Ok(Err(error @ TlsError::Mismatch { .. })) => found.push((TlsFile::Key, error)),
                Ok(Err(error)) => found.push((TlsFile::Certificate, error)),
                Ok(Ok(_)) | Err(()) => {}
            }
        }
        if let Some(path) = &self.client_ca {
            let authorities = tls::read(path).and_then(|pem| tls::client_verifier(&pem, path, provider));
            found.extend(authorities.err().map(|error| (TlsFile::ClientCa, error)));
        }
        found
    }

    /// Whether others than its owner can read the key.
    #[must_use]
    pub fn key_is_open(&self) -> bool {
        tls::others_can_read(&self.key)
    }
}

/// In what way one of these certificates is not valid at a time.
pub(super) fn not_valid(chain: &[CertificateDer<'_>], now: Timestamp) -> Option<String> {
    let provider = Arc::new(ring::default_provider());
    chain
        .iter()
        .find_map(|certificate| one_not_valid(certificate, now, &provider))
}

/// The library looks at the time before it looks for who has signed a certificate, so it does not matter whom it is told to
/// believe.
fn one_not_valid(certificate: &CertificateDer<'_>, now: Timestamp, provider: &Arc<CryptoProvider>) -> Option<String> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate.clone().into_owned()).ok()?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let now = Duration::from_millis(u64::try_from(now.as_millis()).unwrap_or(0));
    let name = ServerName::try_from("localhost").ok()?;
    let time = UnixTime::since_unix_epoch(now);
    let judged = verifier
        .build()
        .ok()?
        .verify_server_cert(certificate, &[], &name, &[], time);
    match judged.err()? {
        rustls::Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. }) => {
            Some(format!("its time ends at {}", moment(not_after)))
        }
        rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }) => {
            Some(format!("it begins to be valid at {}", moment(not_before)))
        }
        rustls::Error::InvalidCertificate(error @ (CertificateError::Expired | CertificateError::NotValidYet)) => {
            Some(error.to_string())
        }
        _ => None,
    }
}

fn moment(time: UnixTime) -> Timestamp {
    let millis = i64::try_from(time.as_secs()).unwrap_or(i64::MAX).saturating_mul(1_000);
    Timestamp::from_millis(millis)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Files with a certificate for the whole of 2030, and its key.
    fn files(folder: &std::path::Path) -> TlsFiles {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2030, 1, 1);
        params.not_after = rcgen::date_time_ymd(2031, 1, 1);
        let files = TlsFiles {
            certificate: folder.join("api.pem"),
            key: folder.join("api-key.pem"),
            client_ca: None,
        };
        fs::write(&files.certificate, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        files
    }

    /// Noon of a day, in seconds since 1970.
    const IN_2029: i64 = 1_890_000_000;
    const IN_2030: i64 = 1_910_000_000;
    const IN_2031: i64 = 1_930_000_000;

    fn found(files: &TlsFiles, seconds: i64) -> Vec<(TlsFile, String)> {
        let found = files.check(Timestamp::from_millis(seconds * 1_000));
        found
            .into_iter()
            .map(|(file, error)| (file, error.to_string()))
            .collect()
    }

    #[test]
    fn good_files_are_good_as_long_as_they_are_valid() {
        let folder = tempfile::tempdir().unwrap();
        let files = files(folder.path());
        assert_eq!(found(&files, IN_2030), []);
        for (seconds, told) in [
            (IN_2029, "begins to be valid at 2030-01-01T00:00:00Z"),
            (IN_2031, "its time ends at 2031-01-01T00:00:00Z"),
        ] {
            let found = found(&files, seconds);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].0 == TlsFile::Certificate && found[0].1.contains(told),
                "{found:?}"
            );
        }
    }

    #[test]
    fn everything_is_told_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = files(folder.path());
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        fs::write(&files.key, &other).unwrap();
        files.client_ca = Some(folder.path().join("none.pem"));
        let found = found(&files, IN_2031);
        let which: Vec<_> = found.iter().map(|(file, _)| *file).collect();
        assert_eq!(
            which,
            [TlsFile::Certificate, TlsFile::Key, TlsFile::ClientCa],
            "{found:?}"
        );
        assert!(found[1].1.contains("does not fit"), "{found:?}");
        fs::write(&files.certificate, "nothing").unwrap();
        fs::write(&files.key, other.replace("PRIVATE", "PUBLIC")).unwrap();
        let found = self::found(&files, IN_2030);
        assert!(
            found[0].1.contains("no certificate in") && found[1].1.contains("no private key in"),
            "{found:?}"
        );
    }
}
