//! Digest authentication, both sides (RFC 7616, RFC 8760, RFC 3261 section 22).
//!
//! Server: a nonce carries its time and a MAC over time, trunk, realm and a serial number, so that nothing is stored
//! until somebody has proved a password; from then on `nc` must rise. Challenges are offered as SHA-256, then MD5, each in a
//! field of its own, with `qop=auth`. An unknown name costs the same work as a known one.
//!
//! Client: answers the strongest challenge that it understands.
//!
//! Left out on purpose: `auth-int` (a proxy that changes the body would break it; refused with a new challenge),
//! `-sess` algorithms, and challenges without `qop` on the server side.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::Md5;
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::message::{AuthParams, Method, Uri};
use crate::secret::Secret;

/// A hash function of digest authentication.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Algorithm {
    /// RFC 8760.
    Sha256,
    /// RFC 2617; what most peers still speak.
    Md5,
}

impl Algorithm {
    /// As in the `algorithm` parameter.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha256 => "SHA-256",
            Self::Md5 => "MD5",
        }
    }

    fn from_param(text: Option<&str>) -> Option<Self> {
        match text {
            None => Some(Self::Md5),
            Some(text) => [Self::Sha256, Self::Md5]
                .into_iter()
                .find(|algorithm| text.eq_ignore_ascii_case(algorithm.as_str())),
        }
    }

    fn hash(self, parts: &[&str]) -> String {
        let joined = Secret::new(parts.join(":"));
        match self {
            Self::Sha256 => hex(&Sha256::digest(joined.expose())),
            Self::Md5 => hex(&Md5::digest(joined.expose())),
        }
    }
}

/// Names and passwords that a trunk accepts.
#[derive(Clone, Debug, Default)]
pub struct Users(Vec<(String, Secret)>);

impl Users {
    /// Pairs of name and password.
    #[must_use]
    pub fn new(users: Vec<(String, Secret)>) -> Self {
        Self(users)
    }

    /// Looks at every user, so that the time does not tell where the search ended.
    fn password(&self, name: &str) -> Option<&Secret> {
        self.0.iter().fold(None, |found, (candidate, password)| {
            if bool::from(candidate.as_bytes().ct_eq(name.as_bytes())) {
                Some(password)
            } else {
                found
            }
        })
    }
}

/// What a trunk asks for.
#[derive(Clone, Copy)]
pub struct Protection<'a> {
    /// Its name: a nonce of one trunk is none for another, even if their realms are the same.
    pub trunk: &'a str,
    /// The realm of its challenges.
    pub realm: &'a str,
    /// Who may call.
    pub users: &'a Users,
}

/// Why credentials were not accepted; each leads to a new challenge.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refused {
    /// The nonce was ours and is too old or used up: the challenge says `stale=true`, the password is not asked again.
    Stale,
    /// Anything else.
    Wrong,
}

/// The server side.
pub struct Challenger {
    key: Secret,
    epoch: Instant,
    serial: u64,
    /// Highest `nc` per nonce that has been used, with the time it stops being valid.
    used: HashMap<u64, (u32, Duration)>,
}

/// How long a nonce is good for. Long enough for the second INVITE over a slow trunk, short enough that the table of
/// used ones stays small.
const NONCE_LIFETIME: Duration = Duration::from_secs(60);

/// The most nonces in use; beyond that, callers are told `stale` until old ones expire.
const MAX_USED: usize = 16 * 1024;

impl Challenger {
    /// `key`: 256 random bits of this process.
    #[must_use]
    pub fn new(key: [u8; 32], now: Instant) -> Self {
        Self {
            key: Secret::new(hex(&key)),
            epoch: now,
            serial: 0,
            used: HashMap::new(),
        }
    }

    /// Values for WWW-Authenticate, the strongest first.
    pub fn challenge(&mut self, now: Instant, protection: &Protection<'_>, stale: bool) -> [String; 2] {
        let nonce = self.new_nonce(now, protection);
        let realm = protection.realm;
        let stale = if stale { ", stale=true" } else { "" };
        [Algorithm::Sha256, Algorithm::Md5].map(|algorithm| {
            format!(
                "Digest realm=\"{realm}\", nonce=\"{nonce}\", qop=\"auth\", algorithm={}{stale}",
                algorithm.as_str()
            )
        })
    }

    /// Checks `credentials` of a request `method` to `request_uri`.
    ///
    /// # Errors
    /// [`Refused`], without telling which part was wrong.
    pub fn verify(
        &mut self,
        now: Instant,
        protection: &Protection<'_>,
        method: &Method,
        request_uri: &str,
        credentials: &AuthParams<'_>,
    ) -> Result<(), Refused> {
        let Protection { realm, users, .. } = *protection;
        let get = |name: &str| credentials.get(name).unwrap_or_default();
        let algorithm = Algorithm::from_param(credentials.get("algorithm").as_deref()).ok_or(Refused::Wrong)?;
        let (nonce, uri, nc, cnonce) = (get("nonce"), get("uri"), get("nc"), get("cnonce"));
        let well_formed = credentials.is_digest()
            && get("realm") == realm
            && get("qop").eq_ignore_ascii_case("auth")
            && !cnonce.is_empty()
            && is_same_target(&uri, request_uri);
        let count = (nc.len() == 8)
            .then(|| u32::from_str_radix(&nc, 16).ok())
            .flatten()
            .unwrap_or(0);
        let username = get("username");
        let nobody = Secret::default();
        let password = users.password(&username);
        let ha1 = algorithm.hash(&[&username, realm, password.unwrap_or(&nobody).expose()]);
        let ha2 = algorithm.hash(&[method.as_str(), &uri]);
        let expected = algorithm.hash(&[&ha1, &nonce, &nc, &cnonce, "auth", &ha2]);
        let proved = bool::from(
            expected
                .as_bytes()
                .ct_eq(get("response").to_ascii_lowercase().as_bytes()),
        );
        if !well_formed || !proved || password.is_none() || count == 0 {
            return Err(Refused::Wrong);
        }
        self.spend(now, protection, &nonce, count)
    }

    /// Accepts each count of a nonce once, in rising order.
    fn spend(&mut self, now: Instant, protection: &Protection<'_>, nonce: &str, count: u32) -> Result<(), Refused> {
        let (serial, made) = self.open_nonce(protection, nonce).ok_or(Refused::Wrong)?;
        let now = now.saturating_duration_since(self.epoch);
        let end = made.saturating_add(NONCE_LIFETIME);
        if now >= end {
            return Err(Refused::Stale);
        }
        if self.used.len() >= MAX_USED {
            self.used.retain(|_, (_, end)| *end > now);
        }
        let is_full = self.used.len() >= MAX_USED;
        match self.used.get_mut(&serial) {
            Some((last, _)) if count > *last => *last = count,
            Some(_) => return Err(Refused::Stale),
            None if is_full => return Err(Refused::Stale),
            None => drop(self.used.insert(serial, (count, end))),
        }
        Ok(())
    }

    fn new_nonce(&mut self, now: Instant, protection: &Protection<'_>) -> String {
        self.serial += 1;
        let millis = u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX);
        format!(
            "{millis:016x}{:016x}{}",
            self.serial,
            self.seal(millis, self.serial, protection)
        )
    }

    fn open_nonce(&self, protection: &Protection<'_>, nonce: &str) -> Option<(u64, Duration)> {
        let millis = u64::from_str_radix(nonce.get(..16)?, 16).ok()?;
        let serial = u64::from_str_radix(nonce.get(16..32)?, 16).ok()?;
        let genuine = self
            .seal(millis, serial, protection)
            .as_bytes()
            .ct_eq(nonce.get(32..)?.as_bytes());
        bool::from(genuine).then_some((serial, Duration::from_millis(millis)))
    }

    fn seal(&self, millis: u64, serial: u64, protection: &Protection<'_>) -> String {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()).expect("HMAC takes keys of any length");
        mac.update(&millis.to_be_bytes());
        mac.update(&serial.to_be_bytes());
        mac.update(&protection.trunk.len().to_be_bytes());
        mac.update(protection.trunk.as_bytes());
        mac.update(protection.realm.as_bytes());
        hex(&mac.finalize().into_bytes()[..16])
    }
}

/// Compared loosely: some SBCs rewrite the host or escape differently and keep the credentials; the called number must
/// stay.
fn is_same_target(uri: &str, request_uri: &str) -> bool {
    match (Uri::parse(uri), Uri::parse(request_uri)) {
        (Ok(claimed), Ok(actual)) => claimed.user_decoded() == actual.user_decoded(),
        _ => false,
    }
}

/// A name and password for calls of ours.
#[derive(Clone, Debug)]
pub struct Credentials {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Secret,
}

/// The client side: the value for Authorization that answers the strongest of `challenges`; `None` when there is none
/// that we understand.
#[must_use]
pub fn answer<'a>(
    challenges: impl Iterator<Item = &'a str>,
    credentials: &Credentials,
    method: &Method,
    uri: &str,
    cnonce: &str,
) -> Option<String> {
    let understood = challenges.filter_map(|value| {
        let challenge = AuthParams::parse(value).ok().filter(AuthParams::is_digest)?;
        let algorithm = Algorithm::from_param(challenge.get("algorithm").as_deref())?;
        Some((algorithm, challenge))
    });
    let (algorithm, challenge) = understood.min_by_key(|(algorithm, _)| *algorithm == Algorithm::Md5)?;
    let (realm, nonce) = (challenge.get("realm")?, challenge.get("nonce")?);
    let qop = challenge.get("qop");
    let offers_auth = qop
        .as_deref()
        .is_some_and(|qop| qop.split(',').any(|item| item.trim().eq_ignore_ascii_case("auth")));
    if qop.is_some() && !offers_auth {
        return None;
    }
    let ha1 = algorithm.hash(&[&credentials.username, &realm, credentials.password.expose()]);
    let ha2 = algorithm.hash(&[method.as_str(), uri]);
    let (response, tail) = if offers_auth {
        let response = algorithm.hash(&[&ha1, &nonce, "00000001", cnonce, "auth", &ha2]);
        (response, format!(", qop=auth, nc=00000001, cnonce=\"{cnonce}\""))
    } else {
        // RFC 2069, which RFC 3261 section 22.4 keeps alive.
        (algorithm.hash(&[&ha1, &nonce, &ha2]), String::new())
    };
    let opaque = challenge
        .get("opaque")
        .map(|opaque| format!(", opaque=\"{}\"", escape(&opaque)))
        .unwrap_or_default();
    Some(format!(
        "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{uri}\", response=\"{response}\", algorithm={}{tail}{opaque}",
        escape(&credentials.username),
        escape(&realm),
        escape(&nonce),
        algorithm.as_str(),
    ))
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace(['\r', '\n'], " ")
}

fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::monotonic;

    const URI: &str = "sip:100@passline.example.com";

    fn users() -> Users {
        Users::new(vec![
            ("carrier".into(), Secret::new("s3cret".into())),
            ("other".into(), Secret::new("x".into())),
        ])
    }

    struct Server {
        challenger: Challenger,
        start: Instant,
        users: Users,
    }

    impl Server {
        fn new() -> Self {
            let start = monotonic();
            Self {
                challenger: Challenger::new([7; 32], start),
                start,
                users: users(),
            }
        }

        fn challenge(&mut self, trunk: &str, realm: &str) -> [String; 2] {
            let protection = Protection {
                trunk,
                realm,
                users: &self.users,
            };
            self.challenger.challenge(self.start, &protection, false)
        }

        fn verify(&mut self, seconds: u64, authorization: &str) -> Result<(), Refused> {
            let now = self.start + Duration::from_secs(seconds);
            let credentials = AuthParams::parse(authorization).expect("valid");
            let protection = Protection {
                trunk: "carrier",
                realm: "realm",
                users: &self.users,
            };
            self.challenger
                .verify(now, &protection, &Method::Invite, URI, &credentials)
        }
    }

    fn respond(challenges: &[String], name: &str, password: &str) -> String {
        let credentials = Credentials {
            username: name.into(),
            password: Secret::new(password.into()),
        };
        answer(
            challenges.iter().map(String::as_str),
            &credentials,
            &Method::Invite,
            URI,
            "abc",
        )
        .expect("understood")
    }

    #[test]
    fn example_of_rfc_7616_is_computed_right() {
        // Section 3.9.1.
        let hash = |algorithm: Algorithm| {
            let ha1 = algorithm.hash(&["Mufasa", "http-auth@example.org", "Circle of Life"]);
            let ha2 = algorithm.hash(&["GET", "/dir/index.html"]);
            let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
            algorithm.hash(&[
                &ha1,
                "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
                "00000001",
                cnonce,
                "auth",
                &ha2,
            ])
        };
        assert_eq!(hash(Algorithm::Md5), "8ca523f5e9506fed4657c9700eebdbec");
        assert_eq!(
            hash(Algorithm::Sha256),
            "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"
        );
    }

    #[test]
    fn the_right_password_passes_once_per_count() {
        for strongest in [true, false] {
            let mut server = Server::new();
            let challenges = server.challenge("carrier", "realm");
            let offered = if strongest { &challenges[..] } else { &challenges[1..] };
            let authorization = respond(offered, "carrier", "s3cret");
            assert!(authorization.contains(if strongest { "SHA-256" } else { "MD5" }));
            assert_eq!(server.verify(1, &authorization), Ok(()));
            assert_eq!(server.verify(1, &authorization), Err(Refused::Stale), "a replay");
        }
    }

    #[test]
    fn old_nonces_are_stale_and_foreign_ones_wrong() {
        let mut server = Server::new();
        let challenges = server.challenge("carrier", "realm");
        assert_eq!(
            server.verify(60, &respond(&challenges, "carrier", "s3cret")),
            Err(Refused::Stale)
        );
        for (trunk, realm) in [("carrier", "other realm"), ("other", "realm")] {
            let elsewhere = server
                .challenge(trunk, realm)
                .map(|text| text.replace("other realm", "realm"));
            assert_eq!(
                server.verify(1, &respond(&elsewhere, "carrier", "s3cret")),
                Err(Refused::Wrong),
                "{trunk}, {realm}"
            );
        }
    }

    #[test]
    fn counts_must_rise() {
        let mut server = Server::new();
        let challenges = server.challenge("carrier", "realm");
        let counted = |count: u32| {
            let nonce = AuthParams::parse(&challenges[0])
                .expect("valid")
                .get("nonce")
                .expect("a nonce");
            let nc = format!("{count:08x}");
            let ha1 = Algorithm::Sha256.hash(&["carrier", "realm", "s3cret"]);
            let ha2 = Algorithm::Sha256.hash(&["INVITE", URI]);
            let response = Algorithm::Sha256.hash(&[&ha1, &nonce, &nc, "c", "auth", &ha2]);
            format!(
                "Digest username=\"carrier\", realm=\"realm\", nonce=\"{nonce}\", uri=\"{URI}\", qop=auth, nc={nc}, \
                 cnonce=\"c\", algorithm=SHA-256, response=\"{response}\""
            )
        };
        for (count, verdict) in [
            (1, Ok(())),
            (2, Ok(())),
            (7, Ok(())),
            (7, Err(Refused::Stale)),
            (3, Err(Refused::Stale)),
            (8, Ok(())),
        ] {
            assert_eq!(server.verify(1, &counted(count)), verdict, "{count}");
        }
    }

    #[test]
    fn the_host_of_the_uri_may_differ_and_the_number_may_be_escaped() {
        let mut server = Server::new();
        let challenges = server.challenge("carrier", "realm");
        let credentials = Credentials {
            username: "carrier".into(),
            password: Secret::new("s3cret".into()),
        };
        for (count, uri) in ["sip:100@10.0.0.9:5070;transport=tcp", "sip:%3100@x", "tel:100"]
            .iter()
            .enumerate()
        {
            let challenges = challenges.iter().map(String::as_str);
            let authorization = answer(challenges, &credentials, &Method::Invite, uri, "abc").expect("understood");
            let verdict = server.verify(1, &authorization);
            // The same count again is stale, which only the right password comes to hear.
            let expected = if count == 0 { Ok(()) } else { Err(Refused::Stale) };
            assert_eq!(verdict, expected, "{uri}");
        }
    }

    #[test]
    fn wrong_credentials_are_told_apart_by_nobody() {
        let mut server = Server::new();
        let challenges = server.challenge("carrier", "realm");
        let good = respond(&challenges, "carrier", "s3cret");
        for bad in [
            respond(&challenges, "carrier", "wrong"),
            respond(&challenges, "nobody", ""),
            good.replace("qop=auth", "qop=auth-int"),
            good.replace("sip:100@", "sip:101@"),
            good.replace("nc=00000001", "nc=00000002"),
            good.replace("nc=00000001", "nc=1"),
            good.replace("realm=\"realm\"", "realm=\"x\""),
            good.replace("SHA-256", "SHA-512"),
        ] {
            assert_eq!(server.verify(1, &bad), Err(Refused::Wrong), "{bad}");
        }
        assert_eq!(server.verify(1, &good), Ok(()));
    }

    #[test]
    fn challenges_that_are_not_understood_are_not_answered() {
        let credentials = Credentials {
            username: "u".into(),
            password: Secret::new("p".into()),
        };
        let answered = |challenge: &str| answer([challenge].into_iter(), &credentials, &Method::Invite, URI, "c");
        assert!(answered("Basic realm=\"x\"").is_none());
        assert!(answered("Digest realm=\"x\", nonce=\"n\", qop=\"auth-int\"").is_none());
        assert!(answered("Digest realm=\"x\", nonce=\"n\", algorithm=MD5-sess").is_none());
        assert!(answered("Digest realm=\"x\", nonce=\"n\"").is_some_and(|text| !text.contains("qop")));
    }
}
