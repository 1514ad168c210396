//! Call records, with their events.

use super::{ServiceError, Services};
use crate::identity::event::{EventKind, Masked};
use crate::identity::ids::CallId;
use crate::store::call::{self, CallEnd, CallRecord, CallStart};
use crate::time::Timestamp;

impl Services {
    /// Records that a call was answered.
    ///
    /// # Errors
    /// When the database fails; the call may go on without.
    pub async fn record_call_start(&self, id: CallId, start: CallStart) -> Result<(), ServiceError> {
        let now = self.now();
        let kind = EventKind::CallStarted {
            call: id,
            trunk: start.trunk.clone().unwrap_or_default(),
            dialplan: start.dialplan.clone().unwrap_or_default(),
            caller: start.caller.as_deref().map(Masked::of),
        };
        let mut tx = self.store().write().await?;
        call::begin(&mut tx, &start).await?;
        let origin = super::record::caller(crate::identity::event::Door::Phone, id.into(), None);
        self.record(&mut tx, &origin, now, kind).await?;
        Ok(tx.commit().await?)
    }

    /// Records that a call has ended.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_call_end(&self, id: CallId, end: CallEnd) -> Result<(), ServiceError> {
        let now = self.now();
        let duration = end
            .answered
            .map(|answered| end.ended.since(answered))
            .unwrap_or_default();
        let kind = EventKind::CallEnded {
            call: id,
            duration_ms: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
            step: end.last_step.clone().unwrap_or_default(),
            reason: end.reason.clone(),
        };
        let mut tx = self.store().write().await?;
        call::end(&mut tx, &id.to_string(), &end).await?;
        let origin = super::record::caller(crate::identity::event::Door::Phone, id.into(), None);
        self.record(&mut tx, &origin, now, kind).await?;
        Ok(tx.commit().await?)
    }

    /// At most `limit` records of calls that began before `before`, the latest first.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn call_records(&self, before: Timestamp, limit: u32) -> Result<Vec<CallRecord>, ServiceError> {
        let mut tx = self.store().read().await?;
        Ok(call::latest(&mut tx, before, limit).await?)
    }
}
