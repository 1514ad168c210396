//! What must be done now and then, so that nothing grows for ever.

use std::time::Duration;

use super::{ServiceError, Services};
use crate::store::lockout::{self, SubjectKind};
use crate::store::{outbox, visit};

/// How long visits that are over and deliveries that were made are kept: a week, for whoever looks into a complaint.
/// What happened stays in the audit log.
const KEEP: Duration = Duration::from_secs(7 * 24 * 60 * 60);

impl Services {
    /// Ends visits whose process died, and deletes what nobody needs any more. Once a minute is often enough.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn tidy(&self) -> Result<(), ServiceError> {
        self.end_expired_visits().await?;
        self.end_idle_sessions().await?;
        let now = self.now();
        let mut tx = self.store().write().await?;
        visit::forget(&mut tx, now.minus(KEEP)).await?;
        outbox::forget_delivered(&mut tx, now.minus(KEEP)).await?;
        for kind in [
            SubjectKind::User,
            SubjectKind::Caller,
            SubjectKind::Trunk,
            SubjectKind::Client,
            SubjectKind::Address,
        ] {
            // Quiet for so long, every delay is over and every count forgotten (see `Lockout::is_forgotten`).
            let quiet = self.lockout_config(kind).hold_forget_after;
            lockout::forget(&mut tx, kind, now.minus(quiet)).await?;
        }
        Ok(tx.commit().await?)
    }
}
