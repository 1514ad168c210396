//! Proposed passwords between the requests of a visit, sealed.

use super::{StoreError, Transaction, parsed};
use crate::identity::ids::{AccountId, EvidenceId, SessionId};

/// A proposed password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProposalRow {
    /// Its random name.
    pub id: String,
    /// The visit that it belongs to.
    pub visit: SessionId,
    /// The evidence that it was made on.
    pub evidence: EvidenceId,
    /// What it is good for.
    pub accounts: Vec<AccountId>,
    /// How many earlier passwords it must differ from.
    pub history: u8,
    /// The password, sealed, in base64.
    pub sealed: String,
}

/// Writes a proposal.
///
/// # Errors
/// When the database fails.
pub async fn insert(tx: &mut Transaction, proposal: &ProposalRow) -> Result<(), StoreError> {
    let accounts: Vec<String> = proposal.accounts.iter().map(ToString::to_string).collect();
    sqlx::query(
        "insert into proposals (id, visit_id, evidence_id, accounts, history, sealed) values ($1, $2, $3, $4, $5, $6)",
    )
    .bind(&proposal.id)
    .bind(proposal.visit.to_string())
    .bind(proposal.evidence.to_string())
    .bind(accounts.join(" "))
    .bind(i64::from(proposal.history))
    .bind(&proposal.sealed)
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// A proposal of a visit.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, visit: SessionId, id: &str) -> Result<Option<ProposalRow>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select id, evidence_id, accounts, history, sealed from proposals where visit_id = $1 and id = $2",
    )
    .bind(visit.to_string())
    .bind(id)
    .fetch_optional(tx.connection())
    .await?;
    row.map(|row| row.of(visit)).transpose()
}

/// Deletes the proposals of a visit.
///
/// # Errors
/// When the database fails.
pub async fn remove_of(tx: &mut Transaction, visit: SessionId) -> Result<(), StoreError> {
    sqlx::query("delete from proposals where visit_id = $1")
        .bind(visit.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    evidence_id: String,
    accounts: String,
    history: i64,
    sealed: String,
}

impl Row {
    fn of(self, visit: SessionId) -> Result<ProposalRow, StoreError> {
        let accounts = self.accounts.split_whitespace();
        Ok(ProposalRow {
            visit,
            evidence: parsed("proposals", &self.id, &self.evidence_id)?,
            accounts: accounts
                .map(|account| parsed("proposals", &self.id, account))
                .collect::<Result<_, _>>()?,
            history: u8::try_from(self.history).unwrap_or(u8::MAX),
            sealed: self.sealed,
            id: self.id,
        })
    }
}
