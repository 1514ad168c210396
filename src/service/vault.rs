//! Credentials of target systems: sealed into the database, opened at the start, sealed anew when keys are rotated.
//!
//! The program reads them at the start and when they have changed, and keeps them in memory, so keys are rotated while it
//! runs.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::key_source::{self, KeySource, KeySourceError};
use super::{ServiceError, Services};
use crate::identity::event::{EventKind, Origin};
use crate::key_file::{Key, KeyFileError};
use crate::secret::Secret;
use crate::store::credential::{self, Credential};
use crate::store::{Store, StoreError};
use crate::time::Timestamp;
use crate::vault::{self, KeyRing, OpenError};

const REMARK: &str =
    "Passline's keys for the credentials of target systems. Keep a copy, but never beside a copy of the database.";

/// How often new credentials are looked for. Until then a target refuses the old one, and callers hear that it does not
/// answer.
const FOLLOWING: Duration = Duration::from_secs(5);

/// How long a renewal may be under way in another process.
const UNDER_WAY: Duration = Duration::from_secs(60);

/// What goes wrong with credentials.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The source of the keys.
    #[error(transparent)]
    Source(#[from] KeySourceError),
    /// There are no keys.
    #[error("there are no keys to seal with")]
    Missing,
    /// The text of the keys.
    #[error("cannot read the keys")]
    Malformed(#[from] KeyFileError),
    /// One credential.
    #[error("the credential of {target} cannot be read")]
    Credential {
        /// Of which target.
        target: String,
        /// Why.
        source: OpenError,
    },
    /// The keys are not ours to change.
    #[error(
        "every credential is under key {number}, the current one; to rotate, first add a key with a higher number where the keys come from"
    )]
    NothingToDo {
        /// The current key.
        number: u32,
    },
    /// The database.
    #[error("cannot use the stored credentials")]
    Store(#[from] StoreError),
    /// The services.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// The credentials of one database.
#[derive(Clone, Debug)]
pub struct Vault {
    store: Store,
    source: KeySource,
}

/// What is known of a credential without reading it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CredentialStatus {
    /// The target; followed by `(renewal)` where it is what the target was to be given, and nobody knows yet whether it has it.
    pub target: String,
    /// The key that it is under.
    pub key: u32,
    /// Whether it can be read; if not, why.
    pub problem: Option<String>,
}

/// What is known of keys and credentials.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VaultStatus {
    /// Numbers of the keys, rising; the last one is current. Empty before the first credential.
    pub keys: Vec<u32>,
    /// In order of target.
    pub credentials: Vec<CredentialStatus>,
}

impl Vault {
    /// The credentials in `store`, sealed with keys from `source`.
    #[must_use]
    pub fn new(store: Store, source: KeySource) -> Self {
        Self { store, source }
    }

    /// Every credential by target, or why it cannot be read.
    ///
    /// # Errors
    /// When the keys or the database cannot be read. Keys that are gone are no error here: then no credential opens, and the
    /// rest of the house works.
    pub async fn open(&self) -> Result<BTreeMap<String, Result<Secret, OpenError>>, VaultError> {
        let (stored, ring) = (self.stored().await?, self.ring().await?);
        let open = |stored: Credential| {
            let opened = opened(ring.as_ref(), &stored);
            (stored.target, opened)
        };
        Ok(stored.into_iter().map(open).collect())
    }

    /// What is there.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn status(&self) -> Result<VaultStatus, VaultError> {
        let (stored, ring) = (self.stored().await?, self.ring().await?);
        let status = |stored: Credential| CredentialStatus {
            problem: opened(ring.as_ref(), &stored).err().map(|error| error.to_string()),
            key: stored.sealed.key,
            target: stored.target,
        };
        let renewals = self.renewals().await?.into_iter().map(|stored| {
            let status = status(stored);
            let target = format!("{} (renewal)", status.target);
            CredentialStatus { target, ..status }
        });
        Ok(VaultStatus {
            keys: ring.iter().flat_map(KeyRing::numbers).collect(),
            credentials: stored.into_iter().map(status).chain(renewals).collect(),
        })
    }

    /// The credential of one target; `None` if there is none.
    pub(super) async fn of(&self, target: &str) -> Result<Option<Secret>, VaultError> {
        let (stored, ring) = (self.stored().await?, self.ring().await?);
        let found = stored.iter().find(|stored| stored.target == target);
        found.map(|found| unsealed(ring.as_ref(), found)).transpose()
    }

    /// The credential that a target is about to be given, and when it was asked last; `None` if there is none.
    pub(super) async fn renewal_of(&self, target: &str) -> Result<Option<(Secret, Timestamp)>, VaultError> {
        let (renewals, ring) = (self.renewals().await?, self.ring().await?);
        let found = renewals.iter().find(|stored| stored.target == target);
        let opened = |found| Ok((unsealed(ring.as_ref(), found)?, found.changed));
        found.map(opened).transpose()
    }

    /// Which targets are about to be given a new credential, and nobody has found out yet whether they have it.
    ///
    /// # Errors
    /// When the database cannot be read.
    pub async fn unsettled(&self) -> Result<Vec<String>, VaultError> {
        let renewals = self.renewals().await?;
        Ok(renewals.into_iter().map(|stored| stored.target).collect())
    }

    async fn renewals(&self) -> Result<Vec<Credential>, VaultError> {
        let mut tx = self.store.read().await?;
        Ok(credential::renewals(&mut tx).await?)
    }

    async fn stored(&self) -> Result<Vec<Credential>, VaultError> {
        let mut tx = self.store.read().await?;
        Ok(credential::all(&mut tx).await?)
    }

    /// The keys; `None` where there is no file of them, not yet or no more.
    async fn ring(&self) -> Result<Option<KeyRing>, VaultError> {
        let text = self.source.read().await?;
        Ok(text.as_ref().map(KeyRing::parse).transpose()?)
    }
}

fn unsealed(ring: Option<&KeyRing>, stored: &Credential) -> Result<Secret, VaultError> {
    opened(ring, stored).map_err(|source| VaultError::Credential {
        target: stored.target.clone(),
        source,
    })
}

fn opened(ring: Option<&KeyRing>, stored: &Credential) -> Result<Secret, OpenError> {
    let number = stored.sealed.key;
    let ring = ring.ok_or(OpenError::NoKey { number })?;
    vault::open(ring, &stored.target, &stored.sealed)
}

impl Services {
    /// Seals and stores the credential of a target, in place of an earlier one. Creates the key file with the first one.
    ///
    /// # Errors
    /// When the keys or the database fail.
    pub async fn keep_credential(
        &self,
        vault: &Vault,
        origin: &Origin,
        target: &str,
        text: &Secret,
    ) -> Result<(), VaultError> {
        let ring = self.keys_to_seal(vault).await?;
        let now = self.now();
        let sealed = self.draw(|rng| vault::seal(&ring, target, text, rng));
        let mut tx = self.store().write().await?;
        let credential = Credential {
            target: target.to_owned(),
            sealed,
            changed: now,
        };
        credential::put(&mut tx, &credential).await?;
        // Who enters one knows better than a renewal of which nobody knows what became of it.
        credential::end_renewal(&mut tx, target).await?;
        self.record(&mut tx, origin, now, changed(target)).await?;
        Ok(tx.commit().await?)
    }

    /// The keys; made now, where there are none yet and they are a file.
    async fn keys_to_seal(&self, vault: &Vault) -> Result<KeyRing, VaultError> {
        Ok(match (vault.ring().await?, &vault.source) {
            (Some(ring), _) => ring,
            (None, KeySource::File(path)) => {
                // Behind the numbers of keys that were lost: should their file be found, both go into one.
                let used = vault.stored().await?.iter().map(|stored| stored.sealed.key).max();
                let key = self.draw(|rng| Key::generate(used.unwrap_or(0) + 1, rng));
                key_source::create(path, REMARK, &key)?;
                KeyRing::new(vec![key])?
            }
            (None, _) => return Err(VaultError::Missing),
        })
    }

    /// Seals and stores the credential that a target is about to be given. `false` when it is about to be given another.
    pub(super) async fn begin_renewal(&self, vault: &Vault, target: &str, text: &Secret) -> Result<bool, VaultError> {
        let ring = self.keys_to_seal(vault).await?;
        let credential = Credential {
            target: target.to_owned(),
            sealed: self.draw(|rng| vault::seal(&ring, target, text, rng)),
            changed: self.now(),
        };
        let mut tx = self.store().write().await?;
        match credential::begin_renewal(&mut tx, &credential).await {
            Err(error) if error.is_conflict() => return Ok(false),
            begun => begun?,
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Notes that a target is asked once more.
    pub(super) async fn repeat_renewal(&self, target: &str) -> Result<(), VaultError> {
        let mut tx = self.store().write().await?;
        credential::repeat_renewal(&mut tx, target, self.now()).await?;
        Ok(tx.commit().await?)
    }

    /// Makes the credential that a target was to be given the one that Passline signs in with.
    pub(super) async fn complete_renewal(&self, origin: &Origin, target: &str) -> Result<(), VaultError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let renewals = credential::renewals(&mut tx).await?;
        let Some(stored) = renewals.into_iter().find(|stored| stored.target == target) else {
            // Somebody else has found out as well, and was faster.
            return Ok(());
        };
        credential::put(&mut tx, &Credential { changed: now, ..stored }).await?;
        credential::end_renewal(&mut tx, target).await?;
        self.record(&mut tx, origin, now, changed(target)).await?;
        Ok(tx.commit().await?)
    }

    /// Forgets the credential that a target was to be given and has certainly not taken.
    pub(super) async fn abandon_renewal(&self, target: &str) -> Result<(), VaultError> {
        let mut tx = self.store().write().await?;
        credential::end_renewal(&mut tx, target).await?;
        Ok(tx.commit().await?)
    }

    /// Removes the credential of a target; `false` if there was none.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_credential(&self, origin: &Origin, target: &str) -> Result<bool, VaultError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let had = credential::remove(&mut tx, target).await?;
        let renewed = credential::end_renewal(&mut tx, target).await?;
        if !(had || renewed) {
            return Ok(false);
        }
        self.record(&mut tx, origin, now, changed(target)).await?;
        tx.commit().await?;
        Ok(true)
    }

    /// Hands credentials that were entered or renewed meanwhile, by whatever process, to the targets that can take one while
    /// they work. Never ends.
    pub async fn follow_credentials(&self, vault: &Vault) {
        let (mut known, mut tried) = (BTreeMap::new(), BTreeMap::new());
        loop {
            if let Err(error) = self.settle_cut_off(vault, &mut tried).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for renewals that were cut off"
                );
            }
            if let Err(error) = self.hand_out(vault, &mut known).await {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "cannot look for new credentials now"
                );
            }
            sleep(FOLLOWING).await;
        }
    }

    /// Finds out which password holds where a renewal was cut off, once for each: a program that goes on with the old one would
    /// lock its own account. `tried` is when each was begun.
    pub(super) async fn settle_cut_off(
        &self,
        vault: &Vault,
        tried: &mut BTreeMap<String, Timestamp>,
    ) -> Result<(), VaultError> {
        for renewal in vault.renewals().await? {
            let is_under_way = self.now().since(renewal.changed) < UNDER_WAY;
            if is_under_way || tried.get(&renewal.target) == Some(&renewal.changed) {
                continue;
            }
            tried.insert(renewal.target.clone(), renewal.changed);
            let origin = super::record::system(None, None);
            match self.settle_renewal(vault, &origin, &renewal.target).await? {
                true => {
                    tracing::info!(target.name = %renewal.target, "a renewal of our password that was cut off is complete")
                }
                false => tracing::warn!(target.name = %renewal.target,
                    "a renewal of our password there is not finished; run `passline target credential --renew` again"),
            }
        }
        Ok(())
    }

    /// `known` is when each credential was changed that was handed out.
    pub(super) async fn hand_out(
        &self,
        vault: &Vault,
        known: &mut BTreeMap<String, Timestamp>,
    ) -> Result<(), VaultError> {
        let stored = vault.stored().await?;
        let is_new = |stored: &&Credential| known.get(&stored.target) != Some(&stored.changed);
        let new: Vec<&Credential> = stored.iter().filter(is_new).collect();
        if new.is_empty() {
            return Ok(());
        }
        let ring = vault.ring().await?;
        for stored in new {
            known.insert(stored.target.clone(), stored.changed);
            match (self.target(&stored.target), opened(ring.as_ref(), stored)) {
                (Some(target), Ok(credential)) => target.take_own_password(credential),
                (Some(_), Err(error)) => {
                    tracing::error!(target.name = %stored.target, %error, "the password for a target cannot be read");
                }
                (None, _) => {}
            }
        }
        Ok(())
    }

    /// Puts every credential under a new key: one that is added to the file, or the highest where keys come from elsewhere.
    /// Returns its number, and how many credentials were sealed anew. Cut off in the middle, it can be run again: both keys
    /// are there until somebody removes the old one.
    ///
    /// # Errors
    /// When one credential cannot be read: then nothing is changed but that the file may have one key more.
    pub async fn rotate_keys(&self, vault: &Vault, origin: &Origin) -> Result<(u32, usize), VaultError> {
        let mut stored = vault.stored().await?;
        stored.extend(vault.renewals().await?);
        let mut ring = vault.ring().await?.ok_or(VaultError::Missing)?;
        let behind = |ring: &KeyRing| {
            stored
                .iter()
                .any(|credential| credential.sealed.key != ring.current().number())
        };
        if !behind(&ring) {
            let KeySource::File(path) = &vault.source else {
                return Err(VaultError::NothingToDo {
                    number: ring.current().number(),
                });
            };
            let next = ring.current().number() + 1;
            key_source::append(path, &self.draw(|rng| Key::generate(next, rng)))?;
            ring = vault.ring().await?.ok_or(VaultError::Missing)?;
        }
        let now = self.now();
        let mut tx = self.store().write().await?;
        // Read again: somebody may have entered one meanwhile.
        let mut count = 0;
        let rewrapped = |stored: &Credential| {
            let rewrapped = self.draw(|rng| vault::rewrap(&ring, &stored.target, &stored.sealed, rng));
            rewrapped.map_err(|source| VaultError::Credential {
                target: stored.target.clone(),
                source,
            })
        };
        let is_behind = |stored: &Credential| stored.sealed.key != ring.current().number();
        for stored in credential::all(&mut tx).await?.into_iter().filter(is_behind) {
            let sealed = rewrapped(&stored)?;
            credential::put(&mut tx, &Credential { sealed, ..stored }).await?;
            count += 1;
        }
        for stored in credential::renewals(&mut tx).await?.into_iter().filter(is_behind) {
            let sealed = rewrapped(&stored)?;
            credential::end_renewal(&mut tx, &stored.target).await?;
            credential::begin_renewal(&mut tx, &Credential { sealed, ..stored }).await?;
            count += 1;
        }
        let part = "keys of credentials".to_owned();
        self.record(&mut tx, origin, now, EventKind::ConfigChanged { part })
            .await?;
        tx.commit().await?;
        Ok((ring.current().number(), count))
    }
}

fn changed(target: &str) -> EventKind {
    EventKind::ConfigChanged {
        part: format!("credential of {target}"),
    }
}
