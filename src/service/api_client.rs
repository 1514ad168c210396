//! Administration of the clients of the web API: which programs may use it, from where, and what each may beyond the calls.

use std::str::FromStr;

use super::{ServiceError, Services};
use crate::identity::client_secret::ClientSecretHash;
use crate::identity::event::{EventKind, Origin};
use crate::network_list::{NetworkError, NetworkList};
use crate::secret::Secret;
use crate::store::api_client::{self, ApiClientRow};
use crate::store::{StoreError, Transaction, api_session};
use crate::time::Timestamp;

/// The name of a client: 1 to 64 letters, digits, dots, dashes and underscores.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ApiClientName(String);

impl ApiClientName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ApiClientName {
    type Err = ApiClientError;

    fn from_str(text: &str) -> Result<Self, ApiClientError> {
        let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let good = (1..=64).contains(&text.len()) && text.chars().all(is_good);
        good.then(|| Self(text.to_owned())).ok_or(ApiClientError::Name)
    }
}

impl std::fmt::Display for ApiClientName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a client may beyond the calls themselves; nothing, unless an admin says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// To be told a proposed password as text, and not only as sounds and names of keys.
    ReadPassword,
    /// To bring a password of its own choice.
    ChoosePassword,
    /// To leave a new password valid beyond the next sign-in, where the configuration would have it changed.
    KeepPassword,
}

impl Right {
    /// Every right.
    pub const ALL: [Self; 3] = [Self::ReadPassword, Self::ChoosePassword, Self::KeepPassword];

    /// As written in commands and kept.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ReadPassword => "read-password",
            Self::ChoosePassword => "choose-password",
            Self::KeepPassword => "keep-password",
        }
    }
}

impl FromStr for Right {
    type Err = ApiClientError;

    fn from_str(text: &str) -> Result<Self, ApiClientError> {
        let found = Self::ALL.into_iter().find(|right| right.as_str() == text);
        found.ok_or(ApiClientError::Right)
    }
}

/// A client of the web API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiClient {
    /// What it signs in with.
    pub name: ApiClientName,
    /// Whether it has a password. Without one, its certificate alone lets it in.
    pub has_password: bool,
    /// SHA-256 of the certificate that it must show, 64 digits of hexadecimal.
    pub certificate: Option<String>,
    /// Where it may come from; none means this machine only.
    pub networks: NetworkList,
    /// What it may beyond the calls.
    pub rights: Vec<Right>,
    /// When it was added.
    pub created: Timestamp,
    /// When somebody last changed it.
    pub changed: Timestamp,
    /// Since when it may not sign in.
    pub revoked: Option<Timestamp>,
}

/// A client to be.
#[derive(Clone, Debug)]
pub struct NewApiClient {
    /// What it will sign in with.
    pub name: ApiClientName,
    /// Its password, if it has one.
    pub password: Option<Secret>,
    /// SHA-256 of the certificate that it must show, 64 digits of hexadecimal.
    pub certificate: Option<String>,
    /// Where it may come from.
    pub networks: NetworkList,
    /// What it may beyond the calls.
    pub rights: Vec<Right>,
}

/// What is to become of a client; what is `None` stays.
#[derive(Clone, Debug, Default)]
pub struct ApiClientChange {
    /// Another password.
    pub password: Option<Secret>,
    /// Another certificate.
    pub certificate: Option<String>,
    /// Other networks.
    pub networks: Option<NetworkList>,
    /// Other rights.
    pub rights: Option<Vec<Right>>,
}

/// Why a client cannot be, or be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApiClientError {
    /// Not a name.
    #[error("the name of an API user has 1 to 64 letters, digits, dots, dashes and underscores")]
    Name,
    /// Not a right.
    #[error("a right is read-password, choose-password or keep-password")]
    Right,
    /// Guessable.
    #[error("a password for the API has at least {MIN_PASSWORD} characters; leave it out, and one is made")]
    Password,
    /// Not a fingerprint.
    #[error(
        "a certificate is given by a file with it in PEM, or by its SHA-256 fingerprint, 64 digits of hexadecimal: openssl x509 -noout \
         -fingerprint -sha256 -in FILE"
    )]
    Certificate,
    /// Neither password nor certificate.
    #[error("an API user needs a password or a certificate")]
    NoProof,
    /// A kept list of networks that is none.
    #[error("the stored networks of an API user cannot be read")]
    Networks(#[from] NetworkError),
    /// The name is taken.
    #[error("there is an API user {name} already, perhaps a revoked one; its name is not given again")]
    Exists {
        /// The name.
        name: String,
    },
    /// No such client.
    #[error("there is no API user {name}; `passline api user list` shows all")]
    Unknown {
        /// The name.
        name: String,
    },
    /// It was revoked.
    #[error("the API user {name} is revoked for good; add another one")]
    Revoked {
        /// The name.
        name: String,
    },
    /// The services.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// The database.
    #[error("the database did not do its part")]
    Store(#[from] StoreError),
}

/// Chosen by people: as long as NIST SP 800-63B rev. 4 wants it where it is the only factor.
const MIN_PASSWORD: usize = 15;

impl Services {
    /// A password for a client: 160 random bits, without characters that are taken for each other.
    #[must_use]
    pub fn new_client_password(&self) -> Secret {
        const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
        let text = self.draw(|rng| {
            let mut bytes = zeroize::Zeroizing::new([0_u8; 32]);
            rng.fill_bytes(&mut *bytes);
            bytes
                .iter()
                .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
                .collect()
        });
        Secret::new(text)
    }

    /// Adds a client.
    ///
    /// # Errors
    /// [`ApiClientError`] says what is wrong.
    pub async fn add_api_client(&self, origin: &Origin, new: NewApiClient) -> Result<(), ApiClientError> {
        if new.password.is_none() && new.certificate.is_none() {
            return Err(ApiClientError::NoProof);
        }
        let NewApiClient {
            name,
            password,
            certificate,
            networks,
            rights,
        } = new;
        let hash = match &password {
            Some(password) => Some(self.hash_of(&name, password).await?),
            None => None,
        };
        let now = self.now();
        let row = ApiClientRow {
            name: name.as_str().to_owned(),
            password: hash.map(|hash| hash.as_str().to_owned()),
            certificate: certificate.as_deref().map(fingerprint).transpose()?,
            networks: written(&networks),
            rights: rights_written(&rights),
            created: now,
            changed: now,
            revoked: None,
        };
        let mut tx = self.store().write().await?;
        match api_client::insert(&mut tx, &row).await {
            Err(error) if error.is_conflict() => return Err(ApiClientError::Exists { name: row.name }),
            inserted => inserted?,
        }
        self.record(&mut tx, origin, now, changed(&row.name, "added")).await?;
        Ok(tx.commit().await?)
    }

    /// Changes a client. Sessions that it has begun go on where they still may: another list of networks holds at once.
    ///
    /// # Errors
    /// [`ApiClientError`] says what is wrong.
    pub async fn change_api_client(
        &self,
        origin: &Origin,
        name: &ApiClientName,
        change: ApiClientChange,
    ) -> Result<(), ApiClientError> {
        let hash = match &change.password {
            Some(password) => Some(self.hash_of(name, password).await?),
            None => None,
        };
        let now = self.now();
        let mut tx = self.store().write().await?;
        let mut row = in_use(&mut tx, name).await?;
        let mut what = Vec::new();
        if let Some(hash) = hash {
            row.password = Some(hash.as_str().to_owned());
            what.push("password");
        }
        if let Some(certificate) = &change.certificate {
            row.certificate = Some(fingerprint(certificate)?);
            what.push("certificate");
        }
        if let Some(networks) = &change.networks {
            row.networks = written(networks);
            what.push("networks");
        }
        if let Some(rights) = &change.rights {
            row.rights = rights_written(rights);
            what.push("rights");
        }
        row.changed = now;
        api_client::update(&mut tx, &row).await?;
        self.record(&mut tx, origin, now, changed(&row.name, &what.join(", ")))
            .await?;
        Ok(tx.commit().await?)
    }

    /// Takes a client its access, and ends its sessions. Its name is not given again, since the audit log knows it.
    ///
    /// # Errors
    /// [`ApiClientError`] says what is wrong.
    pub async fn revoke_api_client(&self, origin: &Origin, name: &ApiClientName) -> Result<usize, ApiClientError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let mut row = in_use(&mut tx, name).await?;
        row.revoked = Some(now);
        row.changed = now;
        api_client::update(&mut tx, &row).await?;
        let open = api_session::of_client(&mut tx, &row.name).await?;
        for &visit in &open {
            self.visit_of_client(visit, row.name.as_str().into())
                .end_in(&mut tx, now)
                .await?;
        }
        self.record(&mut tx, origin, now, changed(&row.name, "revoked")).await?;
        tx.commit().await?;
        Ok(open.len())
    }

    /// Every client, in order of names.
    ///
    /// # Errors
    /// When the database fails, or holds what cannot be read.
    pub async fn api_clients(&self) -> Result<Vec<ApiClient>, ApiClientError> {
        let mut tx = self.store().read().await?;
        let rows = api_client::all(&mut tx).await?;
        rows.into_iter().map(ApiClient::try_from).collect()
    }

    async fn hash_of(&self, name: &ApiClientName, password: &Secret) -> Result<ClientSecretHash, ApiClientError> {
        if password.expose().chars().count() < MIN_PASSWORD {
            return Err(ApiClientError::Password);
        }
        let (services, name, password) = (self.clone(), name.clone(), password.clone());
        let hash = self
            .0
            .hashing
            .run(move || {
                let mut rng: rand::rngs::StdRng = services.draw(|rng| rand::SeedableRng::from_rng(rng));
                services.hasher().hash_client_secret(name.as_str(), &password, &mut rng)
            })
            .await?;
        Ok(hash.map_err(ServiceError::from)?)
    }
}

impl TryFrom<ApiClientRow> for ApiClient {
    type Error = ApiClientError;

    fn try_from(row: ApiClientRow) -> Result<Self, ApiClientError> {
        Ok(Self {
            name: row.name.parse()?,
            has_password: row.password.is_some(),
            certificate: row.certificate,
            networks: NetworkList::parse(row.networks.split_whitespace())?,
            rights: row
                .rights
                .split_whitespace()
                .map(str::parse)
                .collect::<Result<_, _>>()?,
            created: row.created,
            changed: row.changed,
            revoked: row.revoked,
        })
    }
}

async fn in_use(tx: &mut Transaction, name: &ApiClientName) -> Result<ApiClientRow, ApiClientError> {
    let name = name.as_str();
    match api_client::find(tx, name).await? {
        None => Err(ApiClientError::Unknown { name: name.to_owned() }),
        Some(row) if row.revoked.is_some() => Err(ApiClientError::Revoked { name: name.to_owned() }),
        Some(row) => Ok(row),
    }
}

fn changed(name: &str, what: &str) -> EventKind {
    EventKind::ApiClientChanged {
        client: name.to_owned(),
        what: what.to_owned(),
    }
}

fn written(networks: &NetworkList) -> String {
    let texts: Vec<String> = networks.networks().iter().map(ToString::to_string).collect();
    texts.join(" ")
}

fn rights_written(rights: &[Right]) -> String {
    let all = Right::ALL.into_iter().filter(|right| rights.contains(right));
    all.map(Right::as_str).collect::<Vec<_>>().join(" ")
}

/// 64 digits of hexadecimal; people copy them with colons and in capitals, and with what openssl writes before them
/// (`sha256 Fingerprint=`).
fn fingerprint(text: &str) -> Result<String, ApiClientError> {
    let (_, written) = text.rsplit_once('=').unwrap_or(("", text));
    let digits: String = written
        .trim()
        .chars()
        .filter(|&c| c != ':')
        .map(|c| c.to_ascii_lowercase())
        .collect();
    let good = digits.len() == 64 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    good.then_some(digits).ok_or(ApiClientError::Certificate)
}
