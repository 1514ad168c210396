//! `JobGet`: how far a change has come.

use serde::Deserialize;
use utoipa::ToSchema;

use super::types::{Handle, Job};
use super::{Call, Calls, Fault, FaultKind, Who};

/// The call.
pub struct JobGet;

/// Which change.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = JobGetRequest)]
pub struct Request {
    /// The handle that UserPasswordSync or UserAccountsUnlock gave.
    job: Handle,
}

impl Call for JobGet {
    const NAME: &'static str = "JobGet";
    const SUMMARY: &'static str = "Tells how far a change has come";
    const DESCRIPTION: &'static str = "Tells what is known of a change that was ordered in this session. A change that was \
        refused before it began ends with the fault that its order would have had: nothing was changed then. With `not-begun` the \
        same order, with the same idempotency key, may be given again.";
    const FAULTS: &'static [FaultKind] = &[
        FaultKind::NoSession,
        FaultKind::NotVerified,
        FaultKind::UnknownHandle,
        FaultKind::NotBegun,
        FaultKind::PasswordRefused,
        FaultKind::PasswordUsedBefore,
    ];
    type Request = Request;
    type Response = Job;

    async fn run(calls: &Calls, who: Who, request: Request) -> Result<Job, Fault> {
        let visit = calls.session(&who).await?.visit;
        Ok(visit.job(&request.job.0).await?.into())
    }
}
