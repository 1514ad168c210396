//! The history of passwords: what was set is not set again, for as long as the rules say.
//!
//! ```text
//!  reset ── hash, compare ──▶ used before: nothing happens, another one is proposed
//!                │
//!                └─▶ kept, with the intent ──▶ set on some system, or nobody knows ──▶ stays
//!                                         └──▶ every system has refused it ─────────▶ removed, with the last outcome
//! ```
//!
//! Only the password that is accepted is hashed, as most proposals are declined. Passline knows what it has set itself and
//! nothing else: what people choose elsewhere is for the systems to refuse.

use super::execution::Found;
use super::outcome::Outcome;
use super::{ServiceError, Services};
use crate::identity::ids::{ResetId, UserId};
use crate::identity::password_history::PasswordHash;
use crate::identity::policy::Policy;
use crate::secret::Secret;
use crate::store::reset::ChangeId;
use crate::store::{Transaction, password_history};
use crate::time::Timestamp;

/// A password that was compared with the earlier ones, and is none of them.
#[derive(Debug)]
pub(super) struct Compared {
    hash: PasswordHash,
    /// The newest one that it was compared with.
    newest: Option<PasswordHash>,
}

impl Services {
    /// What is to be kept of a password, if the rules want `history` ones kept.
    ///
    /// # Errors
    /// [`ServiceError::UsedBefore`] when it is one of the last `history`.
    pub(super) async fn look_back(
        &self,
        user: UserId,
        password: &Secret,
        history: u8,
    ) -> Result<Option<Compared>, ServiceError> {
        if history == 0 {
            return Ok(None);
        }
        let earlier = {
            let mut tx = self.store().read().await?;
            password_history::newest(&mut tx, user, history).await?
        };
        let newest = earlier.first().cloned();
        let (services, password) = (self.clone(), password.clone());
        let looked = self
            .0
            .hashing
            .run(move || services.hasher().look_back(user, &password, &earlier))
            .await??;
        if looked.unreadable > 0 {
            tracing::warn!(user.id = %user, count = looked.unreadable,
                "earlier passwords cannot be compared with: their rows are damaged, or their pepper is gone");
        }
        match looked.used_before {
            true => Err(ServiceError::UsedBefore),
            false => Ok(Some(Compared {
                hash: looked.hash,
                newest,
            })),
        }
    }

    /// Keeps the password of an intent, and no more earlier ones than anybody may ask for.
    ///
    /// # Errors
    /// [`ServiceError::InProgress`] when another one was set since it was compared.
    pub(super) async fn keep_password(
        &self,
        tx: &mut Transaction,
        reset: ResetId,
        user: UserId,
        compared: Option<&Compared>,
        now: Timestamp,
    ) -> Result<(), ServiceError> {
        if let Some(compared) = compared
            && password_history::newest(tx, user, 1).await?.first() != compared.newest.as_ref()
        {
            return Err(ServiceError::InProgress);
        }
        // Before the new one is added: should every system refuse that, the others are still there.
        password_history::trim(tx, user, self.longest_history()).await?;
        if let Some(compared) = compared {
            password_history::add(tx, reset, user, &compared.hash, now).await?;
        }
        Ok(())
    }

    /// After an outcome: what no system has taken, and none may yet take, never was a password.
    pub(super) async fn forget_refused(&self, tx: &mut Transaction, found: &Found) -> Result<(), ServiceError> {
        if let ChangeId::Reset(reset) = found.change {
            let taken = [Outcome::Done.as_str(), Outcome::Unknown.as_str()];
            password_history::remove_unless(tx, reset, taken).await?;
        }
        Ok(())
    }

    /// A system that publishes its rules may want more than the company, also one that is not asked now.
    fn longest_history(&self) -> u8 {
        match self.0.targets.iter().any(|target| target.capabilities().policy) {
            true => Policy::MAX_HISTORY,
            false => self.config().policy.history,
        }
    }
}
