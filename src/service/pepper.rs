//! Where the peppers are kept: a file beside the configuration, or the text of one from the environment. Never in the
//! database, and not in the same backup.
//!
//! The database remembers a fingerprint of each pepper that it was used with. With another file, every answer would be
//! wrong and every caller locked out; instead, the program does not start and says why.

use std::io::Write as _;
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rand::CryptoRng;
use sha2::{Digest as _, Sha256};

use crate::identity::pepper::{Pepper, PepperError, PepperId, Peppers};
use crate::secret::Secret;
use crate::store::{Store, StoreError, setting};

/// Where the peppers come from.
#[derive(Clone, Debug)]
pub enum PepperSource {
    /// A file. It is created, with a fresh pepper and readable by its owner only, for a database that is new.
    File(PathBuf),
    /// The text of such a file, from the environment or a secret store.
    Text(Secret),
}

/// Why there are no peppers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PepperSourceError {
    /// The file cannot be read or written.
    #[error("cannot use pepper file {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Others may read the file.
    #[error("pepper file {path} can be read by others; run `chmod 600 {path}`")]
    Exposed {
        /// Which file.
        path: PathBuf,
    },
    /// The file is gone, and the database has hashes made with it.
    #[error("pepper file {path} is missing; restore it from its backup, without it no stored answer can be verified")]
    Lost {
        /// Which file.
        path: PathBuf,
    },
    /// It is not the pepper that the database was used with.
    #[error("pepper {id} is not the one this database was made with; put the right key file in place", id = id.0)]
    Wrong {
        /// Its number.
        id: PepperId,
    },
    /// A pepper that the database was used with is not in the file.
    #[error("pepper {id} is missing, and the database has hashes made with it; put its line back", id = id.0)]
    Missing {
        /// Its number.
        id: PepperId,
    },
    /// The text cannot be read.
    #[error("cannot read the peppers")]
    Malformed(#[from] PepperError),
    /// The database failed.
    #[error("cannot compare the peppers with the database")]
    Store(#[from] StoreError),
}

/// Loads the peppers and makes sure that they belong to this database.
///
/// # Errors
/// Every variant says what an operator must do.
pub async fn load<R: CryptoRng>(
    source: &PepperSource,
    store: &Store,
    rng: &mut R,
) -> Result<Peppers, PepperSourceError> {
    let mut tx = store.write().await?;
    let known = setting::with_prefix(&mut tx, PREFIX).await?;
    let peppers = match source {
        PepperSource::Text(text) => Peppers::parse(text)?,
        PepperSource::File(path) => from_file(path, known.is_empty(), rng)?,
    };
    for (name, fingerprint) in &known {
        let id = PepperId(name[PREFIX.len()..].parse().unwrap_or(0));
        let pepper = peppers.find(id).ok_or(PepperSourceError::Missing { id })?;
        if fingerprint_of(pepper) != *fingerprint {
            return Err(PepperSourceError::Wrong { id });
        }
    }
    let current = peppers.current();
    setting::put(
        &mut tx,
        &format!("{PREFIX}{}", current.id().0),
        &fingerprint_of(current),
    )
    .await?;
    tx.commit().await?;
    Ok(peppers)
}

const PREFIX: &str = "pepper.";

/// Of 256 random bits a plain hash tells nothing.
fn fingerprint_of(pepper: &Pepper) -> String {
    let digest = Sha256::digest(pepper.to_line().expose().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn from_file<R: CryptoRng>(path: &Path, may_create: bool, rng: &mut R) -> Result<Peppers, PepperSourceError> {
    let failed = |source| PepperSourceError::File {
        path: path.to_owned(),
        source,
    };
    match std::fs::metadata(path) {
        Ok(metadata) if metadata.permissions().mode() & 0o077 != 0 => {
            Err(PepperSourceError::Exposed { path: path.to_owned() })
        }
        Ok(_) => {
            let text = Secret::new(std::fs::read_to_string(path).map_err(failed)?);
            Ok(Peppers::parse(&text)?)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && may_create => {
            let pepper = Pepper::generate(PepperId(1), rng);
            create(path, &pepper).map_err(failed)?;
            Ok(Peppers::single(pepper))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(PepperSourceError::Lost { path: path.to_owned() })
        }
        Err(error) => Err(failed(error)),
    }
}

/// On disk before anything is hashed with it: the database must never know a pepper that a power cut has taken.
fn create(path: &Path, pepper: &Pepper) -> std::io::Result<()> {
    let mut file = std::fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(b"# Passline's pepper. Keep a copy, but never beside a copy of the database.\n")?;
    file.write_all(pepper.to_line().expose().as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Config;

    async fn store(folder: &tempfile::TempDir) -> Store {
        Store::open(&Config::new(folder.path().join("passline.db")))
            .await
            .unwrap()
    }

    #[tokio::test]
    async fn a_new_database_gets_a_private_file_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let path = folder.path().join("pepper");
        let source = PepperSource::File(path.clone());
        let first = load(&source, &store, &mut rand::rng()).await.unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let second = load(&source, &store, &mut rand::rng()).await.unwrap();
        assert_eq!(first.current().to_line(), second.current().to_line());
    }

    #[tokio::test]
    async fn a_wrong_lost_or_exposed_file_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let path = folder.path().join("pepper");
        let source = PepperSource::File(path.clone());
        load(&source, &store, &mut rand::rng()).await.unwrap();

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = load(&source, &store, &mut rand::rng()).await.unwrap_err();
        assert!(matches!(error, PepperSourceError::Exposed { .. }));

        let other = Pepper::generate(PepperId(1), &mut rand::rng());
        let error = load(&PepperSource::Text(other.to_line()), &store, &mut rand::rng()).await;
        assert!(matches!(error, Err(PepperSourceError::Wrong { id: PepperId(1) })));

        let next = Pepper::generate(PepperId(2), &mut rand::rng());
        let error = load(&PepperSource::Text(next.to_line()), &store, &mut rand::rng()).await;
        assert!(matches!(error, Err(PepperSourceError::Missing { id: PepperId(1) })));

        std::fs::remove_file(&path).unwrap();
        let error = load(&source, &store, &mut rand::rng()).await.unwrap_err();
        assert!(matches!(error, PepperSourceError::Lost { .. }));
    }
}
