//! A caller arrives.

use super::visit::{Progress, State};
use super::{ServiceError, Services, Visit};
use crate::identity::event::Door;
use crate::identity::ids::SessionId;
use crate::identity::question::Channel;
use crate::store::visit::{self, VisitRow};
use crate::time::Timestamp;

/// Who arrives where.
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The session: for a telephone call the call's own number.
    pub session: SessionId,
    /// Through which door.
    pub door: Door,
    /// Which set of questions applies.
    pub channel: Channel,
    /// The trunk, or the client of the API.
    pub trunk: String,
    /// The calling number as the trunk gave it.
    pub caller: Option<String>,
}

impl Services {
    /// Begins a visit.
    ///
    /// # Errors
    /// When the database fails, or the session has had a visit before.
    pub async fn begin(&self, arrival: Arrival) -> Result<Visit, ServiceError> {
        let row = self.arrived(&arrival, None, self.now());
        let mut tx = self.store().write().await?;
        visit::insert(&mut tx, &row).await?;
        tx.commit().await?;
        self.metrics().visits.add_one();
        Ok(self.visit(arrival.session, arrival.door))
    }

    /// The row of a visit that begins now.
    pub(super) fn arrived(&self, arrival: &Arrival, client: Option<String>, now: Timestamp) -> VisitRow {
        let state = State {
            channel: arrival.channel,
            trunk: bounded(&arrival.trunk),
            caller: arrival.caller.as_deref().map(bounded),
            client,
            identifications: 0,
            proposals: 0,
            selected: None,
            replies: Vec::new(),
            jobs: Vec::new(),
            progress: Progress::Arrived,
        };
        VisitRow {
            id: arrival.session,
            door: door_name(arrival.door).to_owned(),
            state: state.to_json(),
            version: 0,
            started: now,
            expires: now.plus(self.config().visit_lifetime),
            ended: None,
        }
    }
}

/// Texts from the wire are kept no longer than any real one is (E.164 has 15 digits).
fn bounded(text: &str) -> String {
    const MAX_CHARS: usize = 64;
    text.chars().take(MAX_CHARS).collect()
}

fn door_name(door: Door) -> &'static str {
    match door {
        Door::Phone => "phone",
        Door::Api => "api",
        Door::Portal => "portal",
        Door::Cli => "cli",
        Door::System => "system",
    }
}
