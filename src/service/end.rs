//! A caller leaves.

use super::lockouts::Watched;
use super::visit::{Loaded, Progress};
use super::{ServiceError, Services, Visit};
use crate::identity::event::{Door, EventKind};
use crate::store::{Transaction, evidence, proposal, visit};
use crate::time::Timestamp;

impl Visit {
    /// Ends the visit: its evidence is worth nothing any more, and a round that was not finished counts as failed.
    /// Ending it twice is no mistake.
    ///
    /// # Errors
    /// When the database fails; the visit then ends by time.
    pub async fn end(&self) -> Result<(), ServiceError> {
        let now = self.services.now();
        let mut tx = self.services.store().write().await?;
        self.end_in(&mut tx, now).await?;
        Ok(tx.commit().await?)
    }

    /// Ends the visit as part of something else.
    pub(super) async fn end_in(&self, tx: &mut Transaction, now: Timestamp) -> Result<(), ServiceError> {
        match self.load(tx, now).await {
            Ok(loaded) => self.close(tx, loaded, now).await,
            Err(ServiceError::NoVisit) => self.shut(tx, now).await,
            Err(error) => Err(error),
        }
    }

    async fn close(&self, tx: &mut Transaction, loaded: Loaded, now: Timestamp) -> Result<(), ServiceError> {
        let mut failed = None;
        if let Progress::Asking { claim, round } = &loaded.state.progress {
            if let Some(charged) = &round.charged {
                let mut watched = Watched::load(&self.services, tx, &loaded.state, claim).await?;
                watched.failed(&self.services, charged, now);
                watched.save(tx).await?;
            }
            failed = Some((claim.user, round.attempt));
        }
        self.shut(tx, now).await?;
        if let Some((user, attempt)) = failed {
            let reason = "ended before the last answer".to_owned();
            let kind = EventKind::UserNotVerified { attempt, reason };
            self.services.record(tx, &self.origin(user), now, kind).await?;
        }
        Ok(())
    }

    async fn shut(&self, tx: &mut Transaction, now: Timestamp) -> Result<(), ServiceError> {
        evidence::revoke_session(tx, self.id, now).await?;
        proposal::remove_of(tx, self.id).await?;
        Ok(visit::end(tx, self.id, now).await?)
    }
}

impl Services {
    /// Ends visits whose time is over and that nobody has ended, because their process died. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_expired_visits(&self) -> Result<usize, ServiceError> {
        const AT_ONCE: u32 = 100;
        let now = self.now();
        let mut tx = self.store().write().await?;
        let expired = visit::expired(&mut tx, now, AT_ONCE).await?;
        for &session in &expired {
            self.visit(session, Door::System).shut(&mut tx, now).await?;
        }
        tx.commit().await?;
        Ok(expired.len())
    }
}
