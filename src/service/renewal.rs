//! A new password for Passline's own account on a target, by itself: changed with the old one, known to nobody.
//!
//! ```text
//!  made, sealed, committed ──▶ changed with the old one ──▶ signed in with it ──▶ it is the credential
//!                                  │                          │
//!                                  │ no answer, killed        │ no answer, killed
//!                                  └────────────┬─────────────┘
//!                                               ▼
//!              both are kept. The next start and the next renewal try the new one:
//!              it opens the door ──▶ it is the credential;   it does not, and the old one does ──▶ changed to the same one
//! ```
//!
//! Nothing but a certain refusal makes the new password forgotten, and nothing but a sign-in the old one: whichever holds
//! there is always in the database.

use std::time::Duration;

use rand::CryptoRng;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::Services;
use super::vault::{Vault, VaultError};
use crate::identity::event::Origin;
use crate::integration::target::{Refusal, Target, TargetError};
use crate::secret::Secret;

/// How long a target may take for the change. Nobody is on the telephone.
const CHANGE: Duration = Duration::from_secs(30);

/// How long it may take for a sign-in.
const SIGN_IN: Duration = Duration::from_secs(10);

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The account has a new password, and Passline keeps it.
    Renewed,
    /// An earlier renewal had gone through after all; its password is kept, and nothing was changed now.
    Completed,
}

/// Why there is no new password, or nobody knows.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RenewalError {
    /// Nothing to change it with.
    #[error("no password is kept for {target} yet; enter it once with `passline target credential`")]
    NoCredential {
        /// The target.
        target: String,
    },
    /// The target did not do it: the old password holds.
    #[error("the password is as it was")]
    NotDone(#[source] TargetError),
    /// It may have happened.
    #[error("{target} does not tell which password holds; both are kept, and the next renewal or start finds out")]
    Unclear {
        /// The target.
        target: String,
        /// What it said to the change, if that was an error.
        source: Option<TargetError>,
    },
    /// Neither password opens the door.
    #[error(
        "{target} takes neither the password that is kept nor the one that it was to be given; set one there, and enter it with `passline target credential`"
    )]
    LockedOut {
        /// The target.
        target: String,
    },
    /// Keys and database.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl Services {
    /// Gives Passline's account on a target a new password. May be called again whatever became of an earlier call.
    ///
    /// # Errors
    /// [`RenewalError`], which says what holds.
    pub async fn renew_credential(&self, vault: &Vault, origin: &Origin, name: &str) -> Result<Renewed, RenewalError> {
        let unsupported = || TargetError::Unsupported {
            target: name.to_owned(),
            operation: "change Passline's own password",
        };
        let target = self.target(name).filter(|target| target.capabilities().change);
        let target = &**target.ok_or_else(|| RenewalError::NotDone(unsupported()))?;
        let old = vault.of(name).await?.ok_or_else(|| RenewalError::NoCredential {
            target: name.to_owned(),
        })?;
        let (new, asked_before) = match vault.renewal_of(name).await? {
            Some((earlier, asked)) => match opens(target, &earlier).await {
                Some(true) => {
                    self.complete_renewal(origin, name).await?;
                    return Ok(Renewed::Completed);
                }
                // The earlier request may still be under way: with the same password, it does no harm.
                Some(false) => {
                    self.repeat_renewal(name).await?;
                    (earlier, Some(asked))
                }
                None => return Err(unclear(name, None)),
            },
            None => {
                let made = self.draw(|rng| random_password(rng));
                if !self.begin_renewal(vault, name, &made).await? {
                    // Somebody else is at it.
                    return Err(unclear(name, None));
                }
                (made, None)
            }
        };
        let answer = timeout(CHANGE, target.change_own_password(&old, &new)).await;
        let error = answer.unwrap_or_else(|_| Err(no_answer(name))).err();
        let opened = opens(target, &new).await;
        match error {
            _ if opened == Some(true) => {
                self.complete_renewal(origin, name).await?;
                Ok(Renewed::Renewed)
            }
            Some(TargetError::Refused {
                refusal: Refusal::OldPassword,
                ..
            }) if asked_before.is_some() => Err(match opened {
                Some(_) => RenewalError::LockedOut {
                    target: name.to_owned(),
                },
                None => unclear(name, None),
            }),
            Some(error) if !error.may_have_happened() => {
                let over = CHANGE + self.config().limits.settle;
                // When no earlier request with it can be under way any more.
                if asked_before.is_none_or(|asked| self.now().since(asked) >= over) {
                    self.abandon_renewal(name).await?;
                }
                Err(RenewalError::NotDone(error))
            }
            source => Err(unclear(name, source)),
        }
    }

    /// Finds out whether a renewal that was interrupted has gone through; `true` when the credential is another now. Where
    /// nobody can tell, it stays as it was.
    ///
    /// # Errors
    /// When keys or database fail.
    pub async fn settle_renewal(&self, vault: &Vault, origin: &Origin, name: &str) -> Result<bool, VaultError> {
        let (Some(target), Some((new, _))) = (self.target(name), vault.renewal_of(name).await?) else {
            return Ok(false);
        };
        if opens(&**target, &new).await != Some(true) {
            // Servers count failures until somebody comes in: the next try is not to be the one that locks the account.
            if let Some(old) = vault.of(name).await? {
                let _ = opens(&**target, &old).await;
            }
            return Ok(false);
        }
        self.complete_renewal(origin, name).await?;
        Ok(true)
    }
}

/// Whether this password opens the door; `None` when the target does not say.
async fn opens(target: &dyn Target, password: &Secret) -> Option<bool> {
    match timeout(SIGN_IN, target.try_own_password(password)).await {
        Ok(Ok(verdict)) => verdict.is_right(),
        Ok(Err(error)) => {
            tracing::info!(target.name = target.name(), %error, "a password of ours cannot be tried");
            None
        }
        Err(_) => None,
    }
}

fn unclear(target: &str, source: Option<TargetError>) -> RenewalError {
    RenewalError::Unclear {
        target: target.to_owned(),
        source,
    }
}

fn no_answer(target: &str) -> TargetError {
    TargetError::Unknown {
        target: target.to_owned(),
        reason: format!("no answer within {CHANGE:?}"),
    }
}

/// 192 bits of chance, out of characters that stand for themselves in every protocol, of all four classes.
fn random_password(rng: &mut dyn CryptoRng) -> Secret {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const LENGTH: usize = 32;
    let mut bytes = Zeroizing::new([0; LENGTH]);
    loop {
        rng.fill_bytes(&mut *bytes);
        // As many values of a byte for each character.
        let password: String = bytes
            .iter()
            .map(|&byte| char::from(ALPHABET[usize::from(byte % 64)]))
            .collect();
        let password = Secret::new(password);
        let has = |class: fn(char) -> bool| password.expose().chars().any(class);
        let symbol = |c: char| !c.is_ascii_alphanumeric();
        if has(|c| c.is_ascii_uppercase())
            && has(|c| c.is_ascii_lowercase())
            && has(|c| c.is_ascii_digit())
            && has(symbol)
        {
            return password;
        }
    }
}
