//! Asking for a password, and checking it.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;

use super::{Algorithm, hex};
use crate::secret::Secret;
use crate::telephony::sip::message::{AuthParams, Method, Uri};

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
        let (id, made) = self.open_nonce(protection, nonce).ok_or(Refused::Wrong)?;
        let now = now.saturating_duration_since(self.epoch);
        let end = made.saturating_add(NONCE_LIFETIME);
        if now >= end {
            return Err(Refused::Stale);
        }
        if self.used.len() >= MAX_USED {
            self.used.retain(|_, (_, end)| *end > now);
        }
        let is_full = self.used.len() >= MAX_USED;
        match self.used.get_mut(&id) {
            Some((last, _)) if count > *last => *last = count,
            Some(_) => return Err(Refused::Stale),
            None if is_full => return Err(Refused::Stale),
            None => drop(self.used.insert(id, (count, end))),
        }
        Ok(())
    }

    /// Time under a pad, identity, MAC. Neither how long the program runs nor how many challenges it has sent is told.
    fn new_nonce(&mut self, now: Instant, protection: &Protection<'_>) -> String {
        self.serial += 1;
        let millis = u64::try_from(now.saturating_duration_since(self.epoch).as_millis()).unwrap_or(u64::MAX);
        let id = self.tag("id", self.serial);
        format!(
            "{:016x}{id:016x}{}",
            millis ^ self.tag("time", id),
            self.seal(millis, id, protection)
        )
    }

    fn open_nonce(&self, protection: &Protection<'_>, nonce: &str) -> Option<(u64, Duration)> {
        let hidden = u64::from_str_radix(nonce.get(..16)?, 16).ok()?;
        let id = u64::from_str_radix(nonce.get(16..32)?, 16).ok()?;
        let millis = hidden ^ self.tag("time", id);
        let genuine = self
            .seal(millis, id, protection)
            .as_bytes()
            .ct_eq(nonce.get(32..)?.as_bytes());
        bool::from(genuine).then_some((id, Duration::from_millis(millis)))
    }

    fn mac(&self) -> Hmac<Sha256> {
        Hmac::<Sha256>::new_from_slice(self.key.expose().as_bytes()).expect("HMAC takes keys of any length")
    }

    /// A number that nobody else can compute.
    fn tag(&self, purpose: &str, number: u64) -> u64 {
        let mut mac = self.mac();
        mac.update(purpose.as_bytes());
        mac.update(&number.to_be_bytes());
        let bytes = mac.finalize().into_bytes();
        bytes[..8].iter().fold(0, |tag, byte| tag << 8 | u64::from(*byte))
    }

    fn seal(&self, millis: u64, id: u64, protection: &Protection<'_>) -> String {
        let mut mac = self.mac();
        mac.update(b"seal");
        mac.update(&millis.to_be_bytes());
        mac.update(&id.to_be_bytes());
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
