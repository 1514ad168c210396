//! Who may: the one place where it is decided whether a caller may see or change accounts.
//!
//! A verified caller may do everything the flow offers, to their own accounts, in the visit in which they were verified,
//! as long as the evidence is live. The decision is made in the transaction of what it allows, so that nothing can
//! happen in between: not the end of the visit, not an admin who locks the user out.
//!
//! An order that was accepted is carried out, as a caller who hangs up gets the change that they ordered: it was decided
//! about when it was committed. Until it is intended, two things can still take it back: an admin who locks the user out, and
//! the same order, given again because this one seemed lost.

use super::job::Accepted;
use super::{ServiceError, Visit};
use crate::identity::evidence::Evidence;
use crate::identity::ids::{EvidenceId, UserId};
use crate::store::{Transaction, evidence, user};
use crate::time::Timestamp;

/// That somebody may, for the rest of this transaction. Only [`Visit::authorise`] and [`Visit::authorise_accepted`] make one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Authority {
    user: UserId,
    evidence: EvidenceId,
}

impl Authority {
    /// Whose accounts.
    pub(super) fn user(self) -> UserId {
        self.user
    }

    /// On which evidence.
    pub(super) fn evidence(self) -> EvidenceId {
        self.evidence
    }
}

impl Visit {
    /// Decides whether whoever holds `evidence` may act on the accounts of the user whom it is about.
    pub(super) async fn authorise(
        &self,
        tx: &mut Transaction,
        evidence: &Evidence,
        now: Timestamp,
    ) -> Result<Authority, ServiceError> {
        evidence
            .check(evidence.user(), self.id, now)
            .map_err(|_| ServiceError::NotVerified)?;
        if !evidence::is_live(tx, evidence, now).await? {
            return Err(ServiceError::NotVerified);
        }
        Ok(Authority {
            user: evidence.user(),
            evidence: evidence.id(),
        })
    }

    /// Decides whether an order that was accepted on `evidence` may be carried out.
    pub(super) async fn authorise_accepted(
        &self,
        tx: &mut Transaction,
        evidence: &Evidence,
        accepted: Accepted,
    ) -> Result<Authority, ServiceError> {
        let user = user::find(tx, evidence.user()).await?;
        let may = user.is_some_and(|user| user.status.may_verify());
        if evidence.session() != self.id || !may {
            return Err(ServiceError::NotVerified);
        }
        if !self.is_accepted(tx, accepted).await? {
            return Err(ServiceError::Superseded);
        }
        Ok(Authority {
            user: evidence.user(),
            evidence: evidence.id(),
        })
    }
}
