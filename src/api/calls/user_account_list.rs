//! `UserAccountList`: the caller's accounts.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::types::Handle;
use super::{Call, Calls, Fault, FaultKind, Who};
use crate::integration::target::AccountState;

/// The call.
pub struct UserAccountList;

/// Nothing is asked.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UserAccountListRequest)]
pub struct Request {}

/// The accounts.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserAccountListResponse)]
pub struct Response {
    /// Every account, in the order in which systems are told.
    accounts: Vec<ListedAccount>,
}

/// An account.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedAccount {
    /// Stands for it in this session.
    account: Handle,
    /// The system that it is on, by its name in the configuration.
    system: String,
    /// What the system is called in speech.
    label: String,
    /// The account's name there.
    name: String,
    /// What the system says of it; not there when it did not say so in time.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<State>,
}

/// What a system says of an account. What is not there, it does not say.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = AccountState)]
pub struct State {
    /// Whether it is locked after failed sign-ins.
    #[serde(skip_serializing_if = "Option::is_none")]
    locked: Option<bool>,
    /// Whether it is disabled.
    #[serde(skip_serializing_if = "Option::is_none")]
    disabled: Option<bool>,
    /// Whether its password must be changed at the next sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    must_change: Option<bool>,
}

impl Call for UserAccountList {
    const NAME: &'static str = "UserAccountList";
    const SUMMARY: &'static str = "Lists the accounts of the verified caller";
    const DESCRIPTION: &'static str = "Lists the accounts of the caller with the state that their systems tell. Each system has \
        somewhat more than a second to answer.";
    const FAULTS: &'static [FaultKind] = &[FaultKind::NoSession, FaultKind::NotVerified];
    type Request = Request;
    type Response = Response;

    async fn run(calls: &Calls, who: Who, _: Request) -> Result<Response, Fault> {
        let visit = calls.session(&who).await?.visit;
        let evidence = visit.evidence().await?;
        let listed = visit.accounts(&evidence, who.patience()).await?;
        let accounts = listed.into_iter().map(|account| ListedAccount {
            account: account.handle.into(),
            label: calls.labels().text(&account.system).to_owned(),
            system: account.system,
            name: account.account,
            state: account.state.as_ref().map(told),
        });
        Ok(Response {
            accounts: accounts.collect(),
        })
    }
}

fn told(state: &AccountState) -> State {
    State {
        locked: state.locked,
        disabled: state.disabled,
        must_change: state.must_change,
    }
}
