//! `Logout`: the session is over.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Call, Calls, Fault, FaultKind, Who};

/// The call.
pub struct Logout;

/// Nothing is asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = LogoutRequest)]
pub struct Request {}

/// Nothing is told.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = LogoutResponse)]
pub struct Response {}

impl Call for Logout {
    const NAME: &'static str = "Logout";
    const SUMMARY: &'static str = "Ends the session";
    const DESCRIPTION: &'static str = "Ends the session: its ID, and every handle that was given in it, mean nothing any more. \
        Changes that are being carried out are carried out. A round of questions that was not answered counts as failed. Do it \
        also when the caller hangs up.";
    const FAULTS: &'static [FaultKind] = &[FaultKind::NoSession];
    type Request = Request;
    type Response = Response;

    async fn run(calls: &Calls, who: Who, _: Request) -> Result<Response, Fault> {
        calls.session(&who).await?.visit.end().await?;
        Ok(Response {})
    }
}
