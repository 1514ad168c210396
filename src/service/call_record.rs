//! Call records, with their events.

use super::{ServiceError, Services};
use crate::identity::event::{Door, EventKind, Masked};
use crate::identity::ids::CallId;
use crate::store::call::{self, CallEnd, CallRecord, CallStart};
use crate::time::Timestamp;

/// What there is to be recorded of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallEntry {
    /// It was answered.
    Began(CallId, CallStart),
    /// It is over.
    Ended(CallId, CallEnd),
}

impl CallEntry {
    fn event(&self) -> (CallId, EventKind) {
        match self {
            Self::Began(id, start) => (
                *id,
                EventKind::CallStarted {
                    call: *id,
                    trunk: start.trunk.clone().unwrap_or_default(),
                    dialplan: start.dialplan.clone().unwrap_or_default(),
                    caller: start.caller.as_deref().map(Masked::of),
                },
            ),
            Self::Ended(id, end) => {
                let duration = end.answered.map(|answered| end.ended.since(answered));
                let duration_ms = u64::try_from(duration.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
                (
                    *id,
                    EventKind::CallEnded {
                        call: *id,
                        duration_ms,
                        step: end.last_step.clone().unwrap_or_default(),
                        reason: end.reason.clone(),
                    },
                )
            }
        }
    }
}

impl Services {
    /// Records beginnings and ends of calls, each with its event, in one transaction: all of them or none. An end comes
    /// after its beginning, in this or an earlier one.
    ///
    /// # Errors
    /// When the database fails; the calls may go on without.
    pub async fn record_calls(&self, entries: &[CallEntry]) -> Result<(), ServiceError> {
        let now = self.now();
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for entry in entries {
            match entry {
                CallEntry::Began(_, start) => begun.push(start.clone()),
                CallEntry::Ended(id, end) => ended.push((id.to_string(), end.clone())),
            }
        }
        let events = entries
            .iter()
            .map(CallEntry::event)
            .map(|(id, kind)| (super::record::caller(Door::Phone, id.into(), None), kind))
            .collect();
        let mut tx = self.store().write().await?;
        call::begin(&mut tx, &begun).await?;
        call::end(&mut tx, &ended).await?;
        self.record_all(&mut tx, now, events).await?;
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
