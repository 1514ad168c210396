//! Call records, with their events.

use std::collections::HashMap;

use super::{ServiceError, Services};
use crate::identity::event::{Door, EventKind, Masked, Origin};
use crate::identity::ids::CallId;
use crate::store::Transaction;
use crate::store::call::{self, CallEnd, CallRecord, CallStart};
use crate::time::Timestamp;

/// What there is to be recorded of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CallEntry {
    call: CallId,
    /// The API user that carries it; none for calls that our own telephone has taken.
    client: Option<String>,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Began(CallStart),
    Ended(CallEnd),
}

impl CallEntry {
    /// A call was answered; an API user carries it, or nobody else.
    #[must_use]
    pub fn began(call: CallId, client: Option<&str>, start: CallStart) -> Self {
        Self {
            call,
            client: client.map(str::to_owned),
            what: What::Began(start),
        }
    }

    /// It is over.
    #[must_use]
    pub fn ended(call: CallId, client: Option<&str>, end: CallEnd) -> Self {
        Self {
            call,
            client: client.map(str::to_owned),
            what: What::Ended(end),
        }
    }

    /// Whether it is among what is recorded: calls, and whether they have ended.
    fn is_in(&self, recorded: &HashMap<String, bool>) -> bool {
        match (recorded.get(&self.call.to_string()), &self.what) {
            (None, _) => false,
            (Some(_), What::Began(_)) => true,
            (Some(has_ended), What::Ended(_)) => *has_ended,
        }
    }

    fn origin(&self) -> Origin {
        match &self.client {
            Some(client) => super::record::client(client, Some(self.call.into()), None),
            None => super::record::caller(Door::Phone, self.call.into(), None),
        }
    }

    fn event(&self) -> EventKind {
        match &self.what {
            What::Began(start) => EventKind::CallStarted {
                call: self.call,
                trunk: start.trunk.clone().unwrap_or_default(),
                dialplan: start.dialplan.clone().unwrap_or_default(),
                caller: start.caller.as_deref().map(Masked::of),
            },
            What::Ended(end) => {
                let duration = end.answered.map(|answered| end.ended.since(answered));
                let duration_ms = u64::try_from(duration.unwrap_or_default().as_millis()).unwrap_or(u64::MAX);
                EventKind::CallEnded {
                    call: self.call,
                    duration_ms,
                    step: end.last_step.clone().unwrap_or_default(),
                    reason: end.reason.clone(),
                }
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
        let tx = self.store().write().await?;
        self.record_calls_in(tx, &entries.iter().collect::<Vec<_>>()).await
    }

    /// The same after a try of which nobody knows how it went: what it has recorded is not recorded twice.
    ///
    /// # Errors
    /// When the database fails; the calls may go on without.
    pub async fn record_calls_again(&self, entries: &[CallEntry]) -> Result<(), ServiceError> {
        let ids: Vec<String> = entries.iter().map(|entry| entry.call.to_string()).collect();
        let mut tx = self.store().write().await?;
        let recorded = call::recorded(&mut tx, &ids).await?;
        let left: Vec<&CallEntry> = entries.iter().filter(|entry| !entry.is_in(&recorded)).collect();
        match left.is_empty() {
            true => Ok(()),
            false => self.record_calls_in(tx, &left).await,
        }
    }

    async fn record_calls_in(&self, mut tx: Transaction, entries: &[&CallEntry]) -> Result<(), ServiceError> {
        let now = self.now();
        let (mut begun, mut ended) = (Vec::new(), Vec::new());
        for entry in entries {
            match &entry.what {
                What::Began(start) => begun.push(start.clone()),
                What::Ended(end) => ended.push((entry.call.to_string(), end.clone())),
            }
        }
        let events = entries.iter().map(|entry| (entry.origin(), entry.event())).collect();
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
