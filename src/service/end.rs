//! A caller leaves.

use super::job::Job;
use super::lockouts::Watched;
use super::visit::{Loaded, Progress, State};
use super::{ServiceError, Services, Visit};
use crate::identity::event::{Door, EventKind};
use crate::store::{Transaction, api_session, evidence, proposal, visit};
use crate::time::Timestamp;

/// How many are ended in one transaction: others want to write too.
pub(super) const AT_ONCE: u32 = 100;

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
                let mut watched = Watched::load(&self.services, tx, &loaded.state, claim, now).await?;
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
        if self.door == Door::Api {
            proposal::remove_of(tx, self.id).await?;
            api_session::remove_of(tx, self.id).await?;
            self.forget_requests(tx).await?;
        }
        Ok(visit::end(tx, self.id, now).await?)
    }
}

impl Visit {
    /// Takes out of the row what stands for requests: hashes of what was keyed, which nobody can repeat any more.
    async fn forget_requests(&self, tx: &mut Transaction) -> Result<(), ServiceError> {
        let row = visit::find(tx, self.id).await?;
        let Some(mut state) = row.and_then(|row| State::from_json(&row.state)) else {
            return Ok(());
        };
        state.replies.clear();
        state.jobs.iter_mut().for_each(Job::forget_order);
        self.save(tx, &state).await
    }
}

impl Services {
    /// Ends visits whose time is over and that nobody has ended, because their process died. Returns how many.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end_expired_visits(&self) -> Result<usize, ServiceError> {
        let mut ended = 0;
        loop {
            let some = self.end_some_expired_visits().await?;
            ended += some;
            if some < AT_ONCE as usize {
                return Ok(ended);
            }
        }
    }

    async fn end_some_expired_visits(&self) -> Result<usize, ServiceError> {
        let now = self.now();
        let mut tx = self.store().write().await?;
        let expired = visit::expired(&mut tx, now, AT_ONCE).await?;
        for &(session, is_api) in &expired {
            let door = if is_api { Door::Api } else { Door::System };
            self.visit(session, door).shut(&mut tx, now).await?;
        }
        tx.commit().await?;
        Ok(expired.len())
    }
}
