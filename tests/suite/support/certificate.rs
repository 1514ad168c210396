//! Certificates for HTTPS on this machine, made for one test.

use std::fs;
use std::path::Path;

/// An authority with a certificate for this machine, and one for a client, as files in a folder: `ca.pem`, `api.pem`,
/// `api-key.pem`, `client.pem` (certificate and key).
pub(crate) fn make(folder: &Path) {
    let key = || rcgen::KeyPair::generate().expect("a key");
    let named = |mut params: rcgen::CertificateParams, name: &str| {
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params
    };
    let mut authority = named(rcgen::CertificateParams::default(), "authority of a test");
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let authority_key = key();
    let authority_certificate = authority.self_signed(&authority_key).expect("a certificate");
    let issuer = rcgen::Issuer::new(authority, &authority_key);
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let server = named(rcgen::CertificateParams::new(names).expect("names"), "localhost");
    let server_key = key();
    let server_certificate = server.signed_by(&server_key, &issuer).expect("a certificate");
    let client = named(
        rcgen::CertificateParams::new(["ivr".to_owned()]).expect("a name"),
        "ivr",
    );
    let client_key = key();
    let client_certificate = client.signed_by(&client_key, &issuer).expect("a certificate");
    let write = |name: &str, text: String| fs::write(folder.join(name), text).expect("a file");
    write("ca.pem", authority_certificate.pem());
    write("api.pem", server_certificate.pem());
    write("api-key.pem", server_key.serialize_pem());
    write("client.pem", client_certificate.pem() + &client_key.serialize_pem());
}
