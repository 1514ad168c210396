//! Whom a request is from, for the handlers.

use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::str::FromStr;

use sha2::{Digest as _, Sha256};

use super::tls::{self, TlsError};

/// In the extensions of every request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Of the client, behind whatever proxies are trusted; IPv4 never in the clothes of IPv6.
    pub address: IpAddr,
    /// Of the certificate that the client's TLS connection was made with, if it has shown one. The authority in
    /// `client_ca` has signed it. Behind a proxy that ends TLS, there is none of the client.
    pub certificate: Option<CertificateFingerprint>,
}

/// SHA-256 of a certificate in DER, as `openssl x509 -noout -fingerprint -sha256` shows it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CertificateFingerprint([u8; 32]);

/// A text that is no fingerprint.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "{text:?} is not the SHA-256 fingerprint of a certificate; write 64 hexadecimal digits, with or without colons, as \
     `openssl x509 -noout -fingerprint -sha256 -in FILE` shows them"
)]
pub struct FingerprintError {
    text: String,
}

impl CertificateFingerprint {
    /// Of a certificate in DER.
    #[must_use]
    pub fn of(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }

    /// Of the first certificate in a file (PEM).
    ///
    /// # Errors
    /// When the file cannot be read, or has none.
    pub fn of_file(path: &Path) -> Result<Self, TlsError> {
        let chain = tls::certificates(&tls::read(path)?, path)?;
        let first = chain
            .first()
            .ok_or_else(|| TlsError::NoCertificate { path: path.to_owned() })?;
        Ok(Self::of(first))
    }
}

/// 64 lower-case hexadecimal digits.
impl fmt::Display for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for CertificateFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CertificateFingerprint({self})")
    }
}

/// Digits of either case; colons between all bytes, or none.
impl FromStr for CertificateFingerprint {
    type Err = FingerprintError;

    fn from_str(text: &str) -> Result<Self, FingerprintError> {
        let wrong = || FingerprintError { text: text.to_owned() };
        let step = if text.len() == 95 { 3 } else { 2 };
        let mut bytes = [0; 32];
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(step).collect();
        if pieces.len() != bytes.len() {
            return Err(wrong());
        }
        for (byte, piece) in bytes.iter_mut().zip(pieces) {
            *byte = match *piece {
                [high, low] | [high, low, b':'] => hex(high).zip(hex(low)).map(|(high, low)| high << 4 | low),
                _ => None,
            }
            .ok_or_else(wrong)?;
        }
        Ok(Self(bytes))
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_fingerprint_is_the_hash_of_the_certificate() {
        assert_eq!(
            CertificateFingerprint::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
    }

    #[test]
    fn what_is_no_fingerprint_is_told_with_the_remedy() {
        let digits = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for text in [
            String::new(),
            digits[1..].to_owned(),
            format!("{digits}0"),
            format!("{digits}:"),
            digits.replacen('b', "g", 1),
            digits.replacen("ba", "b:a", 1),
            digits.replacen("ba", "+a", 1),
            format!("é{}", &digits[2..]),
            "ba:".repeat(32)[..95].replace(':', "-"),
        ] {
            let error = text.parse::<CertificateFingerprint>().expect_err(&text).to_string();
            assert!(error.contains("openssl x509"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(bytes: [u8; 32]) {
            let fingerprint = CertificateFingerprint(bytes);
            let text = fingerprint.to_string();
            let colons: Vec<String> = bytes.iter().map(|byte| format!("{byte:02X}")).collect();
            prop_assert_eq!(text.parse(), Ok(fingerprint));
            prop_assert_eq!(text.to_uppercase().parse(), Ok(fingerprint));
            prop_assert_eq!(colons.join(":").parse(), Ok(fingerprint));
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,100}") {
            let _ = text.parse::<CertificateFingerprint>();
        }
    }
}
