//! Recording what happened: a link in the audit chain and a row in the outbox for each sink, in the transaction that
//! made it happen.

use super::{ServiceError, Services};
use crate::identity::event::{Actor, Door, Event, EventKind, Origin};
use crate::identity::ids::{EventId, SessionId, UserId};
use crate::store::{Transaction, audit, outbox};
use crate::time::Timestamp;

impl Services {
    /// Records an event. Call it late in a transaction: from here to the commit, every other writer waits.
    ///
    /// # Errors
    /// When the database fails; the transaction must then be dropped.
    pub(super) async fn record(
        &self,
        tx: &mut Transaction,
        origin: &Origin,
        now: Timestamp,
        kind: EventKind,
    ) -> Result<(), ServiceError> {
        self.record_all(tx, now, vec![(origin.clone(), kind)]).await
    }

    /// Records events, at the price of little more than one. Call it late, as [`Self::record`].
    ///
    /// # Errors
    /// When the database fails; the transaction must then be dropped.
    pub(super) async fn record_all(
        &self,
        tx: &mut Transaction,
        now: Timestamp,
        events: Vec<(Origin, EventKind)>,
    ) -> Result<(), ServiceError> {
        let entries = events
            .into_iter()
            .map(|(origin, kind)| {
                let event = Event {
                    id: self.draw(|rng| EventId::generate(now, rng)),
                    at: now,
                    origin,
                    kind,
                };
                (event.kind.name(), event.to_json())
            })
            .collect();
        let links = audit::append(tx, now, entries).await?;
        let sequences: Vec<i64> = links
            .iter()
            .map(|link| i64::try_from(link.entry.sequence).unwrap_or(i64::MAX))
            .collect();
        Ok(outbox::enqueue(tx, &self.config().sinks, &sequences, now).await?)
    }

    /// Records an event that changes nothing here, such as the start of the program or of a call.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn record_event(&self, origin: &Origin, kind: EventKind) -> Result<(), ServiceError> {
        let mut tx = self.store().write().await?;
        self.record(&mut tx, origin, self.now(), kind).await?;
        Ok(tx.commit().await?)
    }
}

/// The caller of a visit, by whatever door.
pub(super) fn caller(door: Door, session: SessionId, user: Option<UserId>) -> Origin {
    Origin {
        door,
        actor: match door {
            Door::System => Actor::System,
            _ => Actor::Caller,
        },
        session: Some(session),
        user,
    }
}

/// A client of the API, for itself or for a caller.
pub(super) fn client(name: &str, session: Option<SessionId>, user: Option<UserId>) -> Origin {
    Origin {
        door: Door::Api,
        actor: Actor::Client { name: name.to_owned() },
        session,
        user,
    }
}

/// The program by itself, about a user.
pub(super) fn system(session: Option<SessionId>, user: Option<UserId>) -> Origin {
    Origin {
        door: Door::System,
        actor: Actor::System,
        session,
        user,
    }
}
