//! Why there is no answer, in words for the person who has to do something about it.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use rustls::{AlertDescription, CertificateError};

/// There is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No URL of a server. It is not repeated: somebody may have written a password into it.
    #[error(
        "the URL is not that of a server; write https:// with its host, and the port if it is not 443, such as \
         https://ivr-reset.example.com:8443"
    )]
    Url,
    /// A file cannot be used.
    #[error("{path} cannot be used: {reason}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// This machine has no list of authorities.
    #[error(
        "this machine knows no authority that certificates could be believed by; name the one of the server with --ca-file"
    )]
    NoAuthorities,
    /// The name leads nowhere.
    #[error("there is no host {host} ({reason}); look at the name in the URL, and at the DNS of this machine")]
    UnknownHost {
        /// Its name.
        host: String,
        /// Why.
        reason: String,
    },
    /// Nothing listens, or nothing gets there.
    #[error(
        "cannot connect to {address} ({reason}); look whether `passline serve` runs there with `[api]`, on which address \
         `api.listen` has it, and whether a firewall is between"
    )]
    Unreachable {
        /// The last address that was tried.
        address: SocketAddr,
        /// Why.
        reason: String,
    },
    /// It takes too long.
    #[error("{what} did not come in time; try again, or give it longer with --timeout")]
    TooLate {
        /// What was waited for.
        what: &'static str,
    },
    /// The connection is closed as soon as it stands: that is how strangers are refused.
    #[error(
        "the server closed the connection before TLS: no API user may come from the address of this machine; `passline api \
         user list` shows the networks, `passline api user network` sets them"
    )]
    NotAdmitted,
    /// Something else is spoken there.
    #[error("there is no TLS at that port; look at the port in the URL")]
    NoTls,
    /// The certificate of the server is signed by an authority that is not known.
    #[error(
        "the certificate of the server is signed by nobody who is trusted here; name its authority with --ca-file, or have \
         `api.certificate` hold the certificates that lead to it too"
    )]
    UnknownIssuer,
    /// The certificate is for another name.
    #[error(
        "the certificate of the server is not for the host in the URL; write the name that is in it, or have one made that \
         holds this name"
    )]
    OtherName,
    /// The certificate has had its time, or its time has not come.
    #[error("the certificate of the server is not valid now ({reason}); renew it, or set the clock of this machine")]
    NotValidNow {
        /// In what way.
        reason: String,
    },
    /// The certificate is refused for another reason.
    #[error("the certificate of the server cannot be believed: {reason}")]
    Untrusted {
        /// Why.
        reason: String,
    },
    /// The server does not take the certificate of the client.
    #[error(
        "the server refuses the client certificate; an authority in its `api.client_ca` must have signed it, for clients, and \
         it must not have expired"
    )]
    ClientCertificate,
    /// TLS fails for another reason.
    #[error("TLS fails: {reason}")]
    Tls {
        /// Why.
        reason: String,
    },
    /// The connection ends too soon.
    #[error("the connection ended before the answer ({reason}); try again, and look into the log of the server")]
    Cut {
        /// How.
        reason: String,
    },
    /// The answer is no HTTP.
    #[error("the answer is not as in HTTP ({reason}); look at host and port in the URL")]
    NotHttp {
        /// What is wrong.
        reason: String,
    },
    /// The answer does not end.
    #[error("the answer has more than {} bytes; that is no Passline", super::MAX_ANSWER)]
    TooLong,
    /// A session that cannot be shown.
    #[error("the session that the server gave cannot be written into a header; that is no Passline")]
    Token,
}

impl ClientError {
    /// The handshake has failed.
    pub(super) fn handshake(error: &io::Error) -> Self {
        match of_tls(error) {
            Some(error) => Self::tls(error),
            None => Self::NotAdmitted,
        }
    }

    /// There is no answer on a connection that stands. In TLS 1.3 a certificate is refused only then.
    pub(super) fn http(error: &hyper::Error) -> Self {
        match of_tls(error) {
            Some(error) => Self::tls(error),
            None if error.is_parse() => Self::NotHttp {
                reason: error.to_string(),
            },
            None => Self::Cut {
                reason: error.to_string(),
            },
        }
    }

    /// The answer does not arrive whole.
    pub(super) fn body(error: &(dyn Error + 'static)) -> Self {
        match error.downcast_ref::<hyper::Error>() {
            Some(error) => Self::http(error),
            None => Self::TooLong,
        }
    }

    fn tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(reason) => Self::certificate(reason),
            rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => Self::NoTls,
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::DecryptError,
            ) => Self::ClientCertificate,
            other => Self::Tls {
                reason: other.to_string(),
            },
        }
    }

    fn certificate(error: &CertificateError) -> Self {
        match error {
            CertificateError::UnknownIssuer => Self::UnknownIssuer,
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => Self::OtherName,
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => Self::NotValidNow {
                reason: error.to_string(),
            },
            other => Self::Untrusted {
                reason: other.to_string(),
            },
        }
    }
}

/// What TLS says, however deep it is.
fn of_tls<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref::<rustls::Error>() {
            return Some(found);
        }
        // An error of input and output is not its own source, but what is in it is none either.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
