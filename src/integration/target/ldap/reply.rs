//! What the result of a change means for whoever ordered it.

use ldap3::{LdapResult, Scope, SearchEntry};

use super::super::error::{Errors, is_plain};
use super::super::{Refusal, TargetError};
use super::servers::{NoServer, Sent, Session, shown};

/// What a server answered to a change.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Reply {
    /// It is done.
    Done,
    /// It is not done, and no server will do it.
    Refused(Refusal),
    /// It is not done; another server may do it.
    Elsewhere(String),
    /// Nobody knows.
    Lost(String),
}

impl Reply {
    /// `known` tells refusals of this kind of server that the number of LDAP does not tell.
    pub(super) fn of(sent: Sent, known: impl FnOnce(&LdapResult) -> Option<Refusal>) -> Self {
        let result = match sent {
            Sent::Answered(result) => result,
            Sent::Unsent(reason) => return Self::Elsewhere(reason),
            Sent::Lost(reason) => return Self::Lost(reason),
        };
        if let Some(refusal) = known(&result) {
            return Self::Refused(refusal);
        }
        // RFC 4511, appendix A.
        match result.rc {
            0 => Self::Done,
            // Referral: this one is read-only, or not in charge. Busy, unavailable.
            10 | 51 | 52 => Self::Elsewhere(shown(&result)),
            19 => Self::Refused(Refusal::Policy),
            32 => Self::Refused(Refusal::NoSuchAccount),
            // Stronger authentication required, confidentiality required, insufficient access rights.
            8 | 13 | 50 => Self::Refused(Refusal::Rights),
            _ => Self::Refused(Refusal::Other),
        }
    }
}

impl Errors<'_> {
    pub(super) fn no_server(self, NoServer(reason): NoServer) -> TargetError {
        self.unreachable(reason)
    }

    /// The one entry below `base` that `filter` finds for the account of this name.
    pub(super) async fn find(
        self,
        session: &mut Session,
        base: &str,
        (name, filter): (&str, &str),
        attributes: &[&str],
    ) -> Result<SearchEntry, TargetError> {
        if !is_plain(name) {
            return Err(self.refused(Refusal::NoSuchAccount));
        }
        let found = session.search(base, Scope::Subtree, filter, attributes, 2).await;
        let mut entries = found.map_err(|sent| self.unanswered(sent))?;
        match (entries.pop(), entries.len()) {
            (Some(entry), 0) => Ok(entry),
            (Some(_), _) => {
                tracing::warn!(
                    target.name = self.0,
                    account = name,
                    "several people have this name; none is changed"
                );
                Err(self.refused(Refusal::NoSuchAccount))
            }
            (None, _) => Err(self.refused(Refusal::NoSuchAccount)),
        }
    }

    /// What the answer to a change means. Operators read the server's own words; callers hear ours.
    pub(super) fn reply(self, sent: Sent, known: impl FnOnce(&LdapResult) -> Option<Refusal>) -> Reply {
        if let Sent::Answered(result) = &sent
            && result.rc != 0
        {
            tracing::info!(target.name = self.0, answer = shown(result), "a change was refused");
        }
        Reply::of(sent, known)
    }

    /// A question that changes nothing had no answer that helps.
    pub(super) fn unanswered(self, sent: Sent) -> TargetError {
        match sent {
            Sent::Answered(result) if result.rc == 50 => self.refused(Refusal::Rights),
            Sent::Answered(result) => self.unreachable(shown(&result)),
            Sent::Unsent(reason) | Sent::Lost(reason) => self.unreachable(reason),
        }
    }
}
