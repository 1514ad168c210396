//! Where the peppers are kept: a file beside the configuration, or the text of one from the environment. Never in the
//! database, and not in the same backup.
//!
//! The database remembers a fingerprint of each pepper that it was used with. With another file, every answer would be
//! wrong and every caller locked out; instead, the program does not start and says why.

use rand::CryptoRng;
use sha2::{Digest as _, Sha256};

use super::key_source::{self, KeySource, KeySourceError};
use crate::identity::pepper::{Pepper, PepperId, Peppers};
use crate::key_file::{Key, KeyFileError};
use crate::store::{Store, StoreError, setting};

/// Why there are no peppers.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PepperSourceError {
    /// The source gave none.
    #[error(transparent)]
    Source(#[from] KeySourceError),
    /// The file is gone, and the database has hashes made with it.
    #[error("the peppers are missing; restore their file from its backup, without it no stored answer can be verified")]
    Lost,
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
    Malformed(#[from] KeyFileError),
    /// The database failed.
    #[error("cannot compare the peppers with the database")]
    Store(#[from] StoreError),
}

/// Loads the peppers and makes sure that they belong to this database.
///
/// # Errors
/// Every variant says what an operator must do.
pub async fn load<R: CryptoRng>(source: &KeySource, store: &Store, rng: &mut R) -> Result<Peppers, PepperSourceError> {
    let text = source.read().await?;
    let mut tx = store.write().await?;
    let known = setting::with_prefix(&mut tx, PREFIX).await?;
    let peppers = match (text, source) {
        (Some(text), _) => Peppers::parse(&text)?,
        (None, KeySource::File(path)) if known.is_empty() => {
            let key = Key::generate(1, rng);
            key_source::create(
                path,
                "Passline's pepper. Keep a copy, but never beside a copy of the database.",
                &key,
            )?;
            Peppers::parse(&key.to_line())?
        }
        (None, _) => return Err(PepperSourceError::Lost),
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::store::testing;

    async fn store(folder: &tempfile::TempDir) -> Store {
        testing::open(folder.path().join("passline.db")).await
    }

    #[tokio::test]
    async fn a_new_database_gets_a_private_file_and_keeps_it() {
        let folder = tempfile::tempdir().unwrap();
        let store = store(&folder).await;
        let path = folder.path().join("pepper");
        let source = KeySource::File(path.clone());
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
        let source = KeySource::File(path.clone());
        load(&source, &store, &mut rand::rng()).await.unwrap();

        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let error = load(&source, &store, &mut rand::rng()).await.unwrap_err();
        assert!(matches!(
            error,
            PepperSourceError::Source(KeySourceError::Exposed { .. })
        ));

        let other = Pepper::generate(PepperId(1), &mut rand::rng());
        let error = load(&KeySource::Text(other.to_line()), &store, &mut rand::rng()).await;
        assert!(matches!(error, Err(PepperSourceError::Wrong { id: PepperId(1) })));

        let next = Pepper::generate(PepperId(2), &mut rand::rng());
        let error = load(&KeySource::Text(next.to_line()), &store, &mut rand::rng()).await;
        assert!(matches!(error, Err(PepperSourceError::Missing { id: PepperId(1) })));

        std::fs::remove_file(&path).unwrap();
        let error = load(&source, &store, &mut rand::rng()).await.unwrap_err();
        assert!(matches!(error, PepperSourceError::Lost));
    }
}
