//! `UserPasswordSync`: one password on all systems, or on some.

use serde::Deserialize;
use utoipa::ToSchema;

use super::types::{Accounts, Handle, IdempotencyKey, Job, Password, Ticket};
use super::{Call, Calls, Fault, FaultKind, Place, Who};
use crate::integration::target::Expiry;
use crate::service::{ApiSession, NewPassword, ResetOrder, Right};

/// The call.
pub struct UserPasswordSync;

/// What to set, and where.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UserPasswordSyncRequest)]
pub struct Request {
    /// These accounts; all of the caller if nothing is said.
    accounts: Option<Accounts>,
    /// A password that PasswordRandomGet has proposed, for these accounts or more.
    password: Option<Handle>,
    /// Another password instead, where this API user may choose one.
    value: Option<Password>,
    /// Whether it must be changed at the next sign-in. If nothing is said, the configuration decides.
    expire: Option<bool>,
    /// The ticket under which it is done.
    ticket: Option<Ticket>,
    /// Under it the same request is carried out once.
    idempotency_key: IdempotencyKey,
}

impl Call for UserPasswordSync {
    const NAME: &'static str = "UserPasswordSync";
    const SUMMARY: &'static str = "Sets a password on the caller's accounts";
    const DESCRIPTION: &'static str = "Sets one password on every chosen account. Answers within two seconds: with what came of \
        it, or with a job that goes on, also when nobody asks; then ask with JobGet, or send the same request again. Each system \
        has an outcome of its own. Faults but `unfinished` and `internal` mean that nothing was changed.";
    const PLACE: Place = Place::Slow;
    const FAULTS: &'static [FaultKind] = &[
        FaultKind::NoSession,
        FaultKind::NotVerified,
        FaultKind::NotAllowed,
        FaultKind::UnknownHandle,
        FaultKind::NoAccounts,
        FaultKind::InProgress,
        FaultKind::KeyReused,
        FaultKind::PasswordRefused,
        FaultKind::PasswordUsedBefore,
        FaultKind::TooManyTries,
    ];
    type Request = Request;
    type Response = Job;

    async fn run(calls: &Calls, who: Who, request: Request) -> Result<Job, Fault> {
        let session = calls.session(&who).await?;
        // The same order may have been carried out before: then it is found, whatever has become of the evidence.
        let evidence = session.visit.evidence().await;
        let order = match order(calls, &session, request).await {
            Ok(order) => order,
            Err(fault) => {
                evidence?;
                return Err(fault);
            }
        };
        let report = session.visit.order_reset(evidence, order, who.patience()).await?;
        Ok(report.into())
    }
}

async fn order(calls: &Calls, session: &ApiSession, request: Request) -> Result<ResetOrder, Fault> {
    let password = match (request.password, request.value) {
        (Some(handle), None) => NewPassword::Proposed(session.visit.kept_proposal(&handle.0, &session.token).await?),
        (None, Some(value)) if session.may(Right::ChoosePassword) => NewPassword::Chosen(value.0),
        (None, Some(_)) => {
            return Err(Fault::with(
                FaultKind::NotAllowed,
                "this API user may not choose passwords; `passline api user allow NAME --allow choose-password` gives the right",
            ));
        }
        _ => {
            return Err(Fault::with(
                FaultKind::InvalidRequest,
                "give either `password` or `value`",
            ));
        }
    };
    Ok(ResetOrder {
        accounts: request.accounts.map(Accounts::into_handles),
        password,
        expiry: expiry(calls, session, request.expire)?,
        ticket: request.ticket.map(|ticket| ticket.0),
        key: request.idempotency_key.0,
    })
}

/// What becomes of the password at the next sign-in. To be stricter than the configuration needs no right.
fn expiry(calls: &Calls, session: &ApiSession, wish: Option<bool>) -> Result<Expiry, Fault> {
    let usual = calls.services().expiry();
    match wish {
        None => Ok(usual),
        Some(true) => Ok(Expiry::AtNextSignIn),
        Some(false) if usual == Expiry::Keep || session.may(Right::KeepPassword) => Ok(Expiry::Keep),
        Some(false) => Err(Fault::with(
            FaultKind::NotAllowed,
            "this API user may not leave passwords unexpired; `passline api user allow NAME --allow keep-password` gives the right",
        )),
    }
}
