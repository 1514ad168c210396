//! `UserIVRList`: who is meant by what the caller keyed.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::types::{Handle, IdempotencyKey, Keys, whole};
use super::{Call, Calls, Fault, FaultKind, Who};
use crate::service::{Candidate, Candidates};

/// The call.
pub struct UserIvrList;

/// What the caller keyed.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schema(as = UserIVRListRequest)]
pub struct Request {
    /// The digits of the ID: a number, or a login on the letters of the keypad.
    digits: Keys,
    /// A second number, if the caller was asked for it: used where several people share the digits of the ID.
    discriminator: Option<Keys>,
    /// How many are told at once; 10 if nothing is said.
    #[serde(default, deserialize_with = "whole")]
    #[schema(minimum = 1, maximum = 50)]
    page_size: Option<u32>,
    /// For the next page of the same list: where the last one has ended.
    page_token: Option<Handle>,
    /// Under it the same digits are counted once.
    idempotency_key: Option<IdempotencyKey>,
}

/// Who may be meant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = UserIVRListResponse)]
pub struct Response {
    /// At least one, whether or not there is such a person.
    users: Vec<ListedUser>,
    /// There for the next page, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<Handle>,
}

/// Somebody who may be meant.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ListedUser {
    /// Stands for this person in this session.
    user: Handle,
    /// What to say in a menu: the place in the list, or the name where several share their digits and the configuration
    /// lets names be told.
    label: String,
}

const PAGE: u32 = 10;

impl Call for UserIvrList {
    const NAME: &'static str = "UserIVRList";
    const SUMMARY: &'static str = "Lists everybody whose ID the digits are";
    const DESCRIPTION: &'static str = "Takes the digits of an ID. There is always at least one entry: digits that are nobody's \
        lead to somebody who does not exist, who is asked questions like anybody else, and never passes. More than one entry \
        means that several people share the digits: let the caller choose, or ask for a second number and call again with it. \
        An ID may be tried three times in a session.";
    const FAULTS: &'static [FaultKind] = &[
        FaultKind::NoSession,
        FaultKind::OutOfOrder,
        FaultKind::UnknownHandle,
        FaultKind::KeyReused,
        FaultKind::TooManyTries,
    ];
    type Request = Request;
    type Response = Response;

    async fn run(calls: &Calls, who: Who, request: Request) -> Result<Response, Fault> {
        let size = request.page_size.unwrap_or(PAGE);
        if !(1..=50).contains(&size) {
            return Err(Fault::with(FaultKind::InvalidRequest, "`pageSize` is 1 to 50"));
        }
        let visit = calls.session(&who).await?.visit;
        let candidates = match request.page_token {
            Some(_) => visit.candidates_again().await?,
            None => {
                let second = request.discriminator.as_ref().map(|keys| &keys.0);
                let key = request.idempotency_key.as_ref().map(|key| &key.0);
                match visit.candidates(&request.digits.0, second, key).await? {
                    Candidates::Listed(listed) => listed,
                    Candidates::Refused => return Err(Fault::new(FaultKind::TooManyTries)),
                }
            }
        };
        page(calls.settings().names, size, candidates, &request)
    }
}

fn page(names: bool, size: u32, candidates: Vec<Candidate>, request: &Request) -> Result<Response, Fault> {
    let first = match &request.page_token {
        None => 0,
        Some(token) => {
            let last = candidates.iter().position(|candidate| candidate.handle == token.0);
            // That of the last one of all is no token: nothing comes behind it.
            let next = last.map(|last| last + 1).filter(|next| *next < candidates.len());
            next.ok_or(Fault::new(FaultKind::UnknownHandle))?
        }
    };
    let rest = candidates.len().saturating_sub(first);
    let listed = candidates.into_iter().enumerate().skip(first).take(size as usize);
    let users: Vec<ListedUser> = listed
        .map(|(index, candidate)| ListedUser {
            label: candidate
                .name
                .filter(|_| names)
                .unwrap_or_else(|| (index + 1).to_string()),
            user: candidate.handle.into(),
        })
        .collect();
    Ok(Response {
        next_page_token: (rest > users.len())
            .then(|| users.last().map(|user| user.user.clone()))
            .flatten(),
        users,
    })
}
