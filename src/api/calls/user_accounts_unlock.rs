//! `UserAccountsUnlock`: locks that failed sign-ins have set are cleared.

use serde::Deserialize;
use utoipa::ToSchema;

use super::types::{Accounts, IdempotencyKey, Job, Ticket};
use super::{Call, Calls, Fault, FaultKind, Place, Who};
use crate::service::UnlockOrder;

/// The call.
pub struct UserAccountsUnlock;

/// What to unlock.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UserAccountsUnlockRequest)]
pub struct Request {
    /// These accounts; all of the caller if nothing is said.
    accounts: Option<Accounts>,
    /// The ticket under which it is done.
    ticket: Option<Ticket>,
    /// Under it the same request is carried out once.
    idempotency_key: IdempotencyKey,
}

impl Call for UserAccountsUnlock {
    const NAME: &'static str = "UserAccountsUnlock";
    const SUMMARY: &'static str = "Clears the locks of the caller's accounts";
    const DESCRIPTION: &'static str = "Clears the locks that failed sign-ins have set. Answers within two seconds: with what \
        came of it, or with a job that goes on; then ask with JobGet, or send the same request again.";
    const PLACE: Place = Place::Slow;
    const FAULTS: &'static [FaultKind] = &[
        FaultKind::NoSession,
        FaultKind::NotVerified,
        FaultKind::UnknownHandle,
        FaultKind::NoAccounts,
        FaultKind::InProgress,
        FaultKind::KeyReused,
        FaultKind::TooManyTries,
    ];
    type Request = Request;
    type Response = Job;

    async fn run(calls: &Calls, who: Who, request: Request) -> Result<Job, Fault> {
        let visit = calls.session(&who).await?.visit;
        let evidence = visit.evidence().await;
        let order = UnlockOrder {
            accounts: request.accounts.map(Accounts::into_handles),
            ticket: request.ticket.map(|ticket| ticket.0),
            key: request.idempotency_key.0,
        };
        Ok(visit.order_unlock(evidence, order, who.patience()).await?.into())
    }
}
