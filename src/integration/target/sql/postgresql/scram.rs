//! What PostgreSQL keeps of a password: a SCRAM-SHA-256 verifier (RFC 5802, RFC 7677).
//!
//! ```text
//!  SCRAM-SHA-256$4096:SALT$StoredKey:ServerKey        manual, 53.8 pg_authid
//! ```
//!
//! It is computed here, so that the server, and whoever reads its log, never sees the password.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::CryptoRng;
use sha2::{Digest as _, Sha256};
use zeroize::{Zeroize as _, Zeroizing};

use crate::secret::Secret;

/// As PostgreSQL makes them.
const SALT_BYTES: usize = 16;

/// Rounds that PostgreSQL uses if nothing else is configured, and the fewest that RFC 7677 allows.
const MIN_ITERATIONS: u32 = 4_096;

/// No server asks for more: every sign-in costs as many.
const MAX_ITERATIONS: u32 = 1_000_000;

/// The verifier of a password. Takes milliseconds, or a second where a server wants very many rounds.
pub(super) fn verifier(password: &Secret, iterations: u32, rng: &mut impl CryptoRng) -> Zeroizing<String> {
    let mut salt = [0; SALT_BYTES];
    rng.fill_bytes(&mut salt);
    with_salt(password, iterations, &salt)
}

fn with_salt(password: &Secret, iterations: u32, salt: &[u8]) -> Zeroizing<String> {
    let iterations = iterations.clamp(MIN_ITERATIONS, MAX_ITERATIONS);
    let mut salted = salted(&prepared(password), salt, iterations);
    let mut client_key = mac(&salted, b"Client Key");
    let stored_key = Sha256::digest(client_key);
    let server_key = mac(&salted, b"Server Key");
    salted.zeroize();
    client_key.zeroize();
    Zeroizing::new(format!(
        "SCRAM-SHA-256${}:{}${}:{}",
        iterations,
        STANDARD.encode(salt),
        STANDARD.encode(stored_key),
        STANDARD.encode(server_key)
    ))
}

/// SASLprep (RFC 4013). Like PostgreSQL, takes a password that it forbids as it is.
fn prepared(password: &Secret) -> Zeroizing<String> {
    let prepared = stringprep::saslprep(password.expose()).unwrap_or(Cow::Borrowed(password.expose()));
    Zeroizing::new(prepared.into_owned())
}

/// `Hi` of RFC 5802, 2.2.
fn salted(password: &str, salt: &[u8], iterations: u32) -> [u8; 32] {
    let mut first = keyed(password.as_bytes());
    first.update(salt);
    first.update(&1_u32.to_be_bytes());
    let mut last: [u8; 32] = first.finalize().into_bytes().into();
    let mut all = last;
    let keyed = keyed(password.as_bytes());
    for _ in 1..iterations {
        let mut next = keyed.clone();
        next.update(&last);
        last = next.finalize().into_bytes().into();
        for (all, last) in all.iter_mut().zip(last) {
            *all ^= last;
        }
    }
    all
}

fn mac(key: &[u8], text: &[u8]) -> [u8; 32] {
    let mut mac = keyed(key);
    mac.update(text);
    mac.finalize().into_bytes().into()
}

fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of any length")
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand::rngs::StdRng;

    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.to_owned())
    }

    fn decoded(text: &str) -> Vec<u8> {
        STANDARD.decode(text).expect("base64")
    }

    /// The exchange in RFC 7677, 3, whose proof and signature only these keys explain.
    #[test]
    fn the_keys_are_those_of_the_example_in_rfc_7677() {
        let salt = decoded("W22ZaJ0SNY7soEsUEjb6gQ==");
        let verifier = with_salt(&secret("pencil"), 4_096, &salt);
        let (head, keys) = verifier.rsplit_once('$').expect("keys");
        assert_eq!(head, "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==");
        let (stored_key, server_key) = keys.split_once(':').expect("two of them");
        let message = "n=user,r=rOprNGfwEbeRWgbNEkqO,\
                       r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,\
                       c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        let signature = mac(&decoded(server_key), message.as_bytes());
        assert_eq!(
            STANDARD.encode(signature),
            "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
        );
        // The proof is the client key under a mask that the stored key gives.
        let mask = mac(&decoded(stored_key), message.as_bytes());
        let proof = decoded("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
        let client_key: Vec<u8> = proof.iter().zip(mask).map(|(proof, mask)| proof ^ mask).collect();
        assert_eq!(STANDARD.encode(Sha256::digest(client_key)), stored_key);
    }

    #[test]
    fn each_verifier_has_a_salt_of_its_own() {
        let mut rng = StdRng::seed_from_u64(1);
        let (one, two) = (verifier(&secret("x"), 1, &mut rng), verifier(&secret("x"), 1, &mut rng));
        assert_ne!(*one, *two);
        assert!(one.starts_with("SCRAM-SHA-256$4096:"), "never fewer rounds");
    }

    #[test]
    fn passwords_are_prepared_where_they_can_be() {
        let salt = [7; SALT_BYTES];
        let of = |text: &str| with_salt(&secret(text), 4_096, &salt);
        // RFC 4013, 3: a soft hyphen maps to nothing, a feminine ordinal to a letter.
        assert_eq!(*of("I\u{ad}X"), *of("IX"));
        assert_eq!(*of("\u{aa}"), *of("a"));
        // Forbidden: taken as it is, so it differs from what it would be without.
        assert_ne!(*of("a\u{7}b"), *of("ab"));
    }
}
