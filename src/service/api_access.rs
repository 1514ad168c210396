//! Signing in to the web API, and the sessions that follow.
//!
//! ```text
//!  sign_in ── name, proof and address are right ──▶ token (256 random bits) ──▶ resume, with every request ──▶ end
//!      │                                                 kept as its hash           │
//!      └── refused: one answer for every reason, and as late for all of them        └── same client, network and
//!                                                                                       certificate; not idle too long
//! ```
//!
//! A session is the visit of one caller. It is for the calls of the API or for the pages of a flow ([`Lead`]), from its
//! beginning to its end: what leads the caller is not led around by the other. Somebody who has the token alone has nothing: they must also come from the
//! network that the client signed in from, and with its certificate if it has one.

use std::net::IpAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::api_client::{ApiClient, Right};
use super::begin::Arrival;
use super::end::AT_ONCE;
use super::lockouts::Watched;
use super::record;
use super::{ServiceError, Services, Visit};
use crate::identity::client_secret::ClientSecretHash;
use crate::identity::event::{Door, EventKind};
use crate::identity::ids::SessionId;
use crate::identity::keyed_hash::HashError;
use crate::identity::lockout::{Refusal, Standing, SubjectKey};
use crate::identity::question::Channel;
use crate::integration::target::Expiry;
use crate::language::Language;
use crate::network_list::{self, NetworkList};
use crate::secret::Secret;
use crate::store::api_client::{self, ApiClientRow};
use crate::store::api_session::{self, ApiSessionRow};
use crate::store::lockout::{self, SubjectKind};
use crate::store::{Transaction, visit};
use crate::time::Timestamp;

/// Where a request comes from, as the server has seen it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiPeer {
    /// The address; behind proxies that are trusted, the one that they tell.
    pub address: IpAddr,
    /// SHA-256 of the certificate that it has shown, 64 digits of hexadecimal.
    pub certificate: Option<String>,
}

/// Who leads the caller from step to step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lead {
    /// The client, with the calls of the API.
    Client,
    /// A flow of this house, by pages.
    Flow,
}

/// Somebody who wants to use the API for a caller.
#[derive(Clone, Debug)]
pub struct SignIn<'a> {
    /// The name of a client.
    pub client: &'a str,
    /// Its password; not needed where the certificate is proof enough.
    pub password: Option<&'a Secret>,
    /// Where it comes from.
    pub peer: &'a ApiPeer,
    /// The caller's telephone number, if the IVR knows it.
    pub caller: Option<&'a str>,
    /// The language to speak with the caller.
    pub language: Option<Language>,
    /// Who is to lead the caller.
    pub lead: Lead,
}

/// A session of a client.
#[derive(Clone, Debug)]
pub struct ApiSession {
    /// The caller's way through the services.
    pub visit: Visit,
    /// The client.
    pub client: String,
    /// The network of the client's list that it was begun from.
    pub network: String,
    /// What it may beyond the calls.
    pub rights: Vec<Right>,
    /// The language to speak with the caller, if the client has said it.
    pub language: Option<Language>,
    /// Proves that a request belongs to it.
    pub token: Secret,
}

impl ApiSession {
    /// Whether its client has a right.
    #[must_use]
    pub fn may(&self, right: Right) -> bool {
        self.rights.contains(&right)
    }
}

/// How long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// Without a request.
    pub idle: Duration,
    /// At the longest.
    pub longest: Duration,
}

/// What came of signing in.
#[derive(Debug)]
pub enum SignedIn {
    /// The client is in.
    Session(Box<ApiSession>),
    /// It is not; why is told to the operator alone.
    Refused {
        /// Whether there is such a client; for the log alone.
        is_known: bool,
    },
    /// Not now: too many have failed from there.
    Wait(Duration),
}

/// How old the note of the last use may be before it is renewed: no write for each request.
const NOTE_EVERY: Duration = Duration::from_secs(15);

impl Services {
    fn note_every(&self) -> Duration {
        NOTE_EVERY.min(self.config().api_idle / 4)
    }

    /// How old the note of the last use is when a session has surely been idle for as long as it may.
    fn idle_note(&self) -> Duration {
        self.config().api_idle + self.note_every()
    }

    /// Signs a client in, and begins the visit of its caller.
    ///
    /// # Errors
    /// When the database fails, or hashes cannot be computed.
    pub async fn sign_in(&self, who: SignIn<'_>) -> Result<SignedIn, ServiceError> {
        let now = self.now();
        let address = who.peer.address.to_canonical().to_string();
        let (row, subjects, wait) = {
            let mut tx = self.store().read().await?;
            let row = api_client::find(&mut tx, who.client).await?;
            let subjects = self.sign_in_subjects(&who, row.as_ref());
            let wait = self.wait_before(&mut tx, &subjects, now).await?;
            (row, subjects, wait)
        };
        if let Some(wait) = wait {
            return Ok(SignedIn::Wait(wait));
        }
        let problem = match self.problem_of(&who, row.as_ref()).await? {
            Ok(client) => return self.let_in(who, client, subjects).await,
            Err(problem) => problem,
        };
        let mut tx = self.store().write().await?;
        let mut watched = Watched::of(&mut tx, subjects).await?;
        if let Ok(charged) = watched.begin(self, now) {
            watched.failed(self, &charged, now);
        }
        watched.save(&mut tx).await?;
        // A name that nobody has is whatever somebody typed, a password perhaps: it is not recorded.
        let is_known = row.is_some();
        let name = row.map_or_else(|| "unknown".to_owned(), |row| row.name);
        tracing::warn!(api.client = name, client.address = %address, reason = problem, "a client of the API was refused");
        let origin = record::client(&name, None, None);
        let reason = problem.to_owned();
        self.record(&mut tx, &origin, now, EventKind::ApiRefused { reason })
            .await?;
        for delay_seconds in watched.new_delays(self, now) {
            self.record(&mut tx, &origin, now, EventKind::ApiLocked { delay_seconds })
                .await?;
        }
        tx.commit().await?;
        Ok(SignedIn::Refused { is_known })
    }

    /// The session of a token, for a request from `peer` at a door where `lead` leads.
    ///
    /// # Errors
    /// [`ServiceError::NoVisit`] for every reason there is.
    pub async fn resume(&self, token: &Secret, peer: &ApiPeer, lead: Lead) -> Result<ApiSession, ServiceError> {
        let now = self.now();
        let hash = hash_of(token);
        let (row, client) = {
            let mut tx = self.store().read().await?;
            let row = api_session::find(&mut tx, &hash, now)
                .await?
                .ok_or(ServiceError::NoVisit)?;
            let client = api_client::find(&mut tx, &row.client)
                .await?
                .ok_or(ServiceError::NoVisit)?;
            (row, client)
        };
        let is_idle = now.since(row.used) >= self.idle_note();
        let client = ApiClient::try_from(client).map_err(|_| ServiceError::NoVisit)?;
        let is_led_so = row.led_by_flow == (lead == Lead::Flow);
        if is_idle || !is_led_so || client.revoked.is_some() || !stays(&row, &client, peer) {
            return Err(ServiceError::NoVisit);
        }
        if now.since(row.used) >= self.note_every() {
            let mut tx = self.store().write().await?;
            api_session::touch(&mut tx, &hash, now).await?;
            tx.commit().await?;
        }
        Ok(ApiSession {
            visit: self.visit_of_client(row.visit, row.client.as_str().into()),
            client: row.client,
            network: row.network,
            rights: client.rights,
            language: row.language.and_then(|language| language.parse().ok()),
            token: token.clone(),
        })
    }

    /// How long sessions last.
    #[must_use]
    pub fn session_limits(&self) -> SessionLimits {
        SessionLimits {
            idle: self.config().api_idle,
            longest: self.config().visit_lifetime,
        }
    }

    /// What becomes of new passwords at the next sign-in, if nobody says otherwise.
    #[must_use]
    pub fn expiry(&self) -> Expiry {
        self.config().expiry
    }

    /// Whether anybody may come from this address: what no client's list holds needs no hearing.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn api_networks(&self) -> Result<Vec<NetworkList>, ServiceError> {
        let mut tx = self.store().read().await?;
        let clients = api_client::all(&mut tx).await?.into_iter();
        let open = clients.filter(|client| client.revoked.is_none());
        Ok(open
            .filter_map(|client| NetworkList::parse(client.networks.split_whitespace()).ok())
            .collect())
    }

    /// Ends visits whose client has not been heard of for long. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_idle_sessions(&self) -> Result<usize, ServiceError> {
        let mut ended = 0;
        loop {
            let some = self.end_some_idle_sessions().await?;
            ended += some;
            if some < AT_ONCE as usize {
                return Ok(ended);
            }
        }
    }

    async fn end_some_idle_sessions(&self) -> Result<usize, ServiceError> {
        let now = self.now();
        let before = now.minus(self.idle_note());
        let mut tx = self.store().write().await?;
        let idle = api_session::idle(&mut tx, before, AT_ONCE).await?;
        for (visit, client) in &idle {
            let visit = self.visit_of_client(*visit, client.as_str().into());
            visit.end_in(&mut tx, now).await?;
        }
        tx.commit().await?;
        Ok(idle.len())
    }

    /// What a sign-in is counted for. A client that was changed begins anew: failures with its old password say nothing of
    /// the new one.
    fn sign_in_subjects(&self, who: &SignIn<'_>, row: Option<&ApiClientRow>) -> Vec<(SubjectKey, SubjectKind)> {
        let peppers = self.peppers();
        let line = network_list::line(who.peer.address).to_string();
        let changed = row.map_or(0, |row| row.changed.as_millis());
        let client = format!("{} {changed}", who.client);
        vec![
            (SubjectKey::client(peppers, &client, &line), SubjectKind::Client),
            (SubjectKey::address(peppers, &line), SubjectKind::Address),
        ]
    }

    async fn wait_before(
        &self,
        tx: &mut Transaction,
        subjects: &[(SubjectKey, SubjectKind)],
        now: Timestamp,
    ) -> Result<Option<Duration>, ServiceError> {
        let mut longest = None;
        for (key, kind) in subjects {
            let state = lockout::find(tx, key).await?;
            if let Standing::Refused(refusal) = state.standing(now, self.lockout_config(*kind)) {
                let wait = match refusal {
                    Refusal::Delayed { left } => left,
                    Refusal::Held => Duration::MAX,
                };
                longest = longest.max(Some(wait));
            }
        }
        Ok(longest)
    }

    /// The client, or what is wrong. The password is looked at in any case, so that each takes as long.
    async fn problem_of(
        &self,
        who: &SignIn<'_>,
        row: Option<&ApiClientRow>,
    ) -> Result<Result<ApiClient, &'static str>, ServiceError> {
        let kept = row.and_then(|row| row.password.clone());
        let password_is_right = match who.password {
            Some(password) => self.is_password(who.client, kept.clone(), password).await?,
            None => false,
        };
        let Some(client) = row.cloned().map(ApiClient::try_from) else {
            return Ok(Err("no such client"));
        };
        let Ok(client) = client else {
            return Ok(Err("its row cannot be read"));
        };
        let wants = client.certificate.as_deref();
        let certificate_is_right = wants.is_some() && wants == who.peer.certificate.as_deref();
        Ok(if client.revoked.is_some() {
            Err("revoked")
        } else if !client.networks.allows(who.peer.address) {
            Err("network")
        } else if wants.is_some() && !certificate_is_right {
            Err("certificate")
        } else if kept.is_some() && !password_is_right {
            Err("password")
        } else {
            Ok(client)
        })
    }

    async fn is_password(&self, client: &str, kept: Option<String>, password: &Secret) -> Result<bool, ServiceError> {
        let (hasher, name, password) = (self.hasher().clone(), client.to_owned(), password.clone());
        let kept = kept.map(ClientSecretHash::from_stored);
        let compared = self
            .0
            .sign_ins
            .run(move || hasher.is_client_secret(&name, kept.as_ref(), &password))
            .await?;
        match compared {
            // That says nothing of the password.
            Err(HashError::OutOfMemory) => Err(HashError::OutOfMemory.into()),
            Err(error) => {
                tracing::error!(%error, "the password of a client of the API cannot be compared with");
                Ok(false)
            }
            Ok(is_right) => Ok(is_right),
        }
    }

    /// Begins the visit and its session, in one transaction.
    async fn let_in(
        &self,
        who: SignIn<'_>,
        client: ApiClient,
        subjects: Vec<(SubjectKey, SubjectKind)>,
    ) -> Result<SignedIn, ServiceError> {
        let now = self.now();
        let token = self.new_token();
        let arrival = Arrival {
            session: self.draw(|rng| SessionId::generate(now, rng)),
            door: Door::Api,
            channel: Channel::Phone,
            trunk: format!("api:{}", client.name),
            // What has no digit is no number: `anonymous` is the number of thousands.
            caller: who.caller.filter(|told| has_digit(told)).map(str::to_owned),
        };
        let row = ApiSessionRow {
            token_hash: hash_of(&token),
            visit: arrival.session,
            client: client.name.to_string(),
            network: network_of(&client.networks, who.peer.address),
            certificate: client.certificate.clone(),
            language: who.language.as_ref().map(|tag| tag.as_str().to_owned()),
            led_by_flow: who.lead == Lead::Flow,
            used: now,
        };
        let visit = self.visit_of_client(arrival.session, row.client.as_str().into());
        let mut tx = self.store().write().await?;
        // While the password was looked at, others may have failed, and the client may have been changed.
        if let Some(wait) = self.wait_before(&mut tx, &subjects, now).await? {
            return Ok(SignedIn::Wait(wait));
        }
        let unchanged = api_client::find(&mut tx, &row.client).await?;
        if unchanged.is_none_or(|row| row.changed != client.changed || row.revoked.is_some()) {
            return Ok(SignedIn::Refused { is_known: true });
        }
        for (key, kind) in subjects.iter().filter(|(_, kind)| *kind == SubjectKind::Client) {
            let mut state = lockout::find(&mut tx, key).await?;
            if state.streak > 0 {
                state.unlock(now);
                lockout::find_for_update(&mut tx, key, *kind).await?;
                lockout::put(&mut tx, key, &state).await?;
            }
        }
        visit::insert(&mut tx, &self.arrived(&arrival, Some(row.client.clone()), now)).await?;
        api_session::insert(&mut tx, &row).await?;
        let origin = visit.origin(None);
        self.record(&mut tx, &origin, now, EventKind::ApiSignedIn {}).await?;
        tx.commit().await?;
        self.metrics().visits.add_one();
        Ok(SignedIn::Session(Box::new(ApiSession {
            visit,
            client: row.client,
            network: row.network,
            rights: client.rights,
            language: who.language,
            token,
        })))
    }

    /// 256 random bits in 43 characters that any form can carry.
    fn new_token(&self) -> Secret {
        let mut bytes = Zeroizing::new([0; 32]);
        self.draw(|rng| rng.fill_bytes(&mut *bytes));
        Secret::new(URL_SAFE_NO_PAD.encode(*bytes))
    }
}

impl Visit {
    /// Whether it is still under way, for a call that knows by itself when its IVR is lost: its session lasts as long as the
    /// call does. While a long page plays nobody asks for anything.
    ///
    /// # Errors
    /// When the database fails, which says nothing of the visit.
    pub async fn is_carried_on(&self) -> Result<bool, ServiceError> {
        if !self.is_under_way().await? {
            return Ok(false);
        }
        let (services, now) = (&self.services, self.services.now());
        let used = {
            let mut tx = services.store().read().await?;
            api_session::used(&mut tx, self.id).await?
        };
        if used.is_some_and(|used| now.since(used) >= services.note_every()) {
            let mut tx = services.store().write().await?;
            api_session::touch_of(&mut tx, self.id, now).await?;
            tx.commit().await?;
        }
        Ok(true)
    }
}

/// Whether a request comes from where the session was begun, and still may.
fn stays(row: &ApiSessionRow, client: &ApiClient, peer: &ApiPeer) -> bool {
    let same_network =
        client.networks.allows(peer.address) && network_of(&client.networks, peer.address) == row.network;
    let same_certificate = row.certificate.is_none() || row.certificate == peer.certificate;
    // A certificate that was asked for since then is asked for now.
    same_network && same_certificate && client.certificate == row.certificate
}

fn has_digit(number: &str) -> bool {
    number.bytes().any(|byte| byte.is_ascii_digit())
}

/// The network of a list that an address is in.
fn network_of(networks: &NetworkList, address: IpAddr) -> String {
    match networks.entry(address) {
        Some(network) => network.to_string(),
        None => "loopback".to_owned(),
    }
}

/// A token has 256 random bits: no slow hash makes guessing it harder.
fn hash_of(token: &Secret) -> String {
    let hash = Sha256::digest(token.expose().as_bytes());
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}
