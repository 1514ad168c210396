//! Changes on target systems: the intent, committed before any system is touched, and the outcome per account.
//!
//! ```text
//! begin ── intent and accounts, owner, lease ──▶ open ── every outcome decided ──▶ closed
//!                                                 │
//!                       the owner died: take_over ┘ (by another process, when the lease has run out)
//! ```
//!
//! An account can be in one open change only (`reset_outcomes_one_at_a_time`).

use super::{StoreError, Transaction, parsed};
use crate::identity::ids::{AccountId, EvidenceId, ResetId, SessionId, UnlockId, UserId};
use crate::time::Timestamp;

/// A change, by its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeId {
    /// New passwords.
    Reset(ResetId),
    /// Locks are cleared.
    Unlock(UnlockId),
}

impl ChangeId {
    fn kind(self) -> &'static str {
        match self {
            Self::Reset(_) => "reset",
            Self::Unlock(_) => "unlock",
        }
    }

    /// The bare identifier.
    pub(crate) fn as_uuid(self) -> uuid::Uuid {
        match self {
            Self::Reset(id) => id.as_uuid(),
            Self::Unlock(id) => id.as_uuid(),
        }
    }
}

impl std::fmt::Display for ChangeId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reset(id) => id.fmt(f),
            Self::Unlock(id) => id.fmt(f),
        }
    }
}

/// An intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Its identifier, and what is changed.
    pub id: ChangeId,
    /// Whose accounts.
    pub user: UserId,
    /// In which visit.
    pub session: SessionId,
    /// On which evidence.
    pub evidence: EvidenceId,
    /// The key under which a repeated request finds this one.
    pub idempotency_key: Option<String>,
    /// The random name of the proposed password.
    pub proposal: Option<String>,
    /// The ticket that it was ordered under.
    pub ticket: Option<String>,
    /// Whether the password must be changed at the next sign-in.
    pub must_change: bool,
    /// The node that carries it out.
    pub node: String,
    /// The process on that node.
    pub owner: String,
    /// Until when nobody else may.
    pub lease_until: Timestamp,
    /// When it was committed.
    pub created: Timestamp,
    /// When its last outcome was decided.
    pub closed: Option<Timestamp>,
}

/// One account of an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The account.
    pub account_id: AccountId,
    /// The target system.
    pub target: String,
    /// The account's name there.
    pub account: String,
    /// Where its history of passwords stood before.
    pub marker_before: Option<String>,
    /// What came of it, as the word of `service`; `None` while it is open.
    pub result: Option<String>,
    /// How that is known.
    pub proof: Option<String>,
    /// Whether the new password must be changed at the next sign-in, if it is known.
    pub expired: Option<bool>,
}

/// What was found out about one account of an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision<'a> {
    /// What came of it, as the word of `service`.
    pub result: &'a str,
    /// How that is known.
    pub proof: &'a str,
    /// Whether the new password must be changed at the next sign-in, if it is known.
    pub expired: Option<bool>,
}

/// Writes an intent with its accounts (`account_id`, `marker_before`).
///
/// # Errors
/// [`StoreError::Conflict`] when the idempotency key was used before, or when one of the accounts is in another open
/// change.
pub async fn begin(
    tx: &mut Transaction,
    intent: &Intent,
    accounts: &[(AccountId, Option<String>)],
) -> Result<(), StoreError> {
    sqlx::query(
        "insert into resets (id, kind, user_id, visit_id, evidence_id, idempotency_key, proposal, ticket, must_change, \
         node, owner, lease_until_ms, created_ms) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)",
    )
    .bind(intent.id.to_string())
    .bind(intent.id.kind())
    .bind(intent.user.to_string())
    .bind(intent.session.to_string())
    .bind(intent.evidence.to_string())
    .bind(&intent.idempotency_key)
    .bind(&intent.proposal)
    .bind(&intent.ticket)
    .bind(i64::from(intent.must_change))
    .bind(&intent.node)
    .bind(&intent.owner)
    .bind(intent.lease_until.as_millis())
    .bind(intent.created.as_millis())
    .execute(tx.connection())
    .await?;
    for (account, marker) in accounts {
        sqlx::query("insert into reset_outcomes (reset_id, account_id, marker_before) values ($1, $2, $3)")
            .bind(intent.id.to_string())
            .bind(account.to_string())
            .bind(marker)
            .execute(tx.connection())
            .await?;
    }
    Ok(())
}

/// Decides one outcome. `false` when it was decided before (by a process that took over): that one stands.
///
/// # Errors
/// When the database fails.
pub async fn decide(
    tx: &mut Transaction,
    change: ChangeId,
    account_id: AccountId,
    found: &Decision<'_>,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update reset_outcomes set result = $1, proof = $2, expired = $3, decided_ms = $4 \
         where reset_id = $5 and account_id = $6 and decided_ms is null",
    )
    .bind(found.result)
    .bind(found.proof)
    .bind(found.expired.map(i64::from))
    .bind(now.as_millis())
    .bind(change.to_string())
    .bind(account_id.to_string())
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Replaces an outcome that is still `pending`; `false` when it is not.
///
/// # Errors
/// When the database fails.
pub async fn revise(
    tx: &mut Transaction,
    change: ChangeId,
    account_id: AccountId,
    found: &Decision<'_>,
) -> Result<bool, StoreError> {
    let done = sqlx::query(
        "update reset_outcomes set result = $1, proof = $2, expired = $3 where reset_id = $4 and account_id = $5 \
         and proof = 'pending'",
    )
    .bind(found.result)
    .bind(found.proof)
    .bind(found.expired.map(i64::from))
    .bind(change.to_string())
    .bind(account_id.to_string())
    .execute(tx.connection())
    .await?;
    Ok(done.rows_affected() == 1)
}

/// Closes an intent if all its outcomes are decided.
///
/// # Errors
/// When the database fails.
pub async fn close_if_decided(tx: &mut Transaction, change: ChangeId, now: Timestamp) -> Result<(), StoreError> {
    sqlx::query(
        "update resets set closed_ms = $1 where id = $2 and closed_ms is null and not exists (select 1 from \
         reset_outcomes o where o.reset_id = resets.id and o.decided_ms is null)",
    )
    .bind(now.as_millis())
    .bind(change.to_string())
    .execute(tx.connection())
    .await?;
    Ok(())
}

/// At most `limit` intents with an outcome that is still `pending` and was decided before `before`.
///
/// # Errors
/// When the database fails.
pub async fn pending(tx: &mut Transaction, before: Timestamp, limit: u32) -> Result<Vec<Intent>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "select id, kind, user_id, visit_id, evidence_id, idempotency_key, proposal, ticket, must_change, \
         node, owner, lease_until_ms, created_ms, closed_ms from resets where id in (select reset_id from reset_outcomes \
         where proof = 'pending' and decided_ms < $1 order by decided_ms limit $2)",
    )
    .bind(before.as_millis())
    .bind(i64::from(limit))
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Intent::try_from).collect()
}

/// An intent by its identifier.
///
/// # Errors
/// When the database fails.
pub async fn find(tx: &mut Transaction, id: ChangeId) -> Result<Option<Intent>, StoreError> {
    let row: Option<Row> = sqlx::query_as(SELECT_BY_ID)
        .bind(id.to_string())
        .fetch_optional(tx.connection())
        .await?;
    row.map(Intent::try_from).transpose()
}

/// A user's intent by its idempotency key.
///
/// # Errors
/// When the database fails.
pub async fn by_idempotency_key(tx: &mut Transaction, user: UserId, key: &str) -> Result<Option<Intent>, StoreError> {
    let row: Option<Row> = sqlx::query_as(
        "select id, kind, user_id, visit_id, evidence_id, idempotency_key, proposal, ticket, must_change, \
         node, owner, lease_until_ms, created_ms, closed_ms from resets where user_id = $1 and idempotency_key = $2",
    )
    .bind(user.to_string())
    .bind(key)
    .fetch_optional(tx.connection())
    .await?;
    row.map(Intent::try_from).transpose()
}

/// The accounts of an intent and their outcomes, in order of target and name.
///
/// # Errors
/// When the database fails.
pub async fn items(tx: &mut Transaction, change: ChangeId) -> Result<Vec<Item>, StoreError> {
    let rows: Vec<ItemRow> = sqlx::query_as(
        "select o.account_id, a.target, a.name, o.marker_before, o.result, o.proof, o.expired from reset_outcomes o \
         join accounts a on a.id = o.account_id where o.reset_id = $1 order by a.target, a.name",
    )
    .bind(change.to_string())
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Item::try_from).collect()
}

/// Whether one of the accounts is in an open change.
///
/// # Errors
/// When the database fails.
pub async fn is_any_open(tx: &mut Transaction, accounts: &[AccountId]) -> Result<bool, StoreError> {
    for account in accounts {
        let open: i64 =
            sqlx::query_scalar("select count(*) from reset_outcomes where account_id = $1 and decided_ms is null")
                .bind(account.to_string())
                .fetch_one(tx.connection())
                .await?;
        if open > 0 {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether an account was in a change that began after this one.
///
/// # Errors
/// When the database fails.
pub async fn is_superseded(tx: &mut Transaction, change: ChangeId, account: AccountId) -> Result<bool, StoreError> {
    let later: i64 = sqlx::query_scalar(
        "select count(*) from reset_outcomes o join resets r on r.id = o.reset_id \
         where o.account_id = $1 and r.id <> $2 and r.kind = 'reset' \
         and r.created_ms >= (select created_ms from resets where id = $2)",
    )
    .bind(account.to_string())
    .bind(change.to_string())
    .fetch_one(tx.connection())
    .await?;
    Ok(later > 0)
}

/// Makes `owner` the owner of every open intent that is its own to resolve: of an earlier process of the same
/// node, or of anybody whose lease has run out. Returns them with the new lease.
///
/// # Errors
/// When the database fails.
pub async fn take_over(
    tx: &mut Transaction,
    node: &str,
    owner: &str,
    now: Timestamp,
    lease_until: Timestamp,
) -> Result<Vec<Intent>, StoreError> {
    let rows: Vec<Row> = sqlx::query_as(
        "update resets set owner = $1, node = $4, lease_until_ms = $2 where closed_ms is null \
         and (lease_until_ms <= $3 or (node = $4 and owner <> $1)) \
         returning id, kind, user_id, visit_id, evidence_id, idempotency_key, proposal, ticket, must_change, \
         node, owner, lease_until_ms, created_ms, closed_ms",
    )
    .bind(owner)
    .bind(lease_until.as_millis())
    .bind(now.as_millis())
    .bind(node)
    .fetch_all(tx.connection())
    .await?;
    rows.into_iter().map(Intent::try_from).collect()
}

/// Gives an intent another lease; zero time lets anybody take it over at once.
///
/// # Errors
/// When the database fails.
pub async fn lease(tx: &mut Transaction, change: ChangeId, until: Timestamp) -> Result<(), StoreError> {
    sqlx::query("update resets set lease_until_ms = $1 where id = $2 and closed_ms is null")
        .bind(until.as_millis())
        .bind(change.to_string())
        .execute(tx.connection())
        .await?;
    Ok(())
}

const SELECT_BY_ID: &str = "select id, kind, user_id, visit_id, evidence_id, idempotency_key, proposal, ticket, \
     must_change, node, owner, lease_until_ms, created_ms, closed_ms from resets where id = $1";

#[derive(sqlx::FromRow)]
struct Row {
    id: String,
    kind: String,
    user_id: String,
    visit_id: String,
    evidence_id: String,
    idempotency_key: Option<String>,
    proposal: Option<String>,
    ticket: Option<String>,
    must_change: i64,
    node: String,
    owner: String,
    lease_until_ms: i64,
    created_ms: i64,
    closed_ms: Option<i64>,
}

impl TryFrom<Row> for Intent {
    type Error = StoreError;

    fn try_from(row: Row) -> Result<Self, StoreError> {
        let id = match row.kind.as_str() {
            "reset" => ChangeId::Reset(parsed("resets", &row.id, &row.id)?),
            _ => ChangeId::Unlock(parsed("resets", &row.id, &row.id)?),
        };
        Ok(Self {
            id,
            user: parsed("resets", &row.id, &row.user_id)?,
            session: parsed("resets", &row.id, &row.visit_id)?,
            evidence: parsed("resets", &row.id, &row.evidence_id)?,
            idempotency_key: row.idempotency_key,
            proposal: row.proposal,
            ticket: row.ticket,
            must_change: row.must_change != 0,
            node: row.node,
            owner: row.owner,
            lease_until: Timestamp::from_millis(row.lease_until_ms),
            created: Timestamp::from_millis(row.created_ms),
            closed: row.closed_ms.map(Timestamp::from_millis),
        })
    }
}

#[derive(sqlx::FromRow)]
struct ItemRow {
    account_id: String,
    target: String,
    name: String,
    marker_before: Option<String>,
    result: Option<String>,
    proof: Option<String>,
    expired: Option<i64>,
}

impl TryFrom<ItemRow> for Item {
    type Error = StoreError;

    fn try_from(row: ItemRow) -> Result<Self, StoreError> {
        Ok(Self {
            account_id: parsed("reset_outcomes", &row.account_id, &row.account_id)?,
            target: row.target,
            account: row.name,
            marker_before: row.marker_before,
            result: row.result,
            proof: row.proof,
            expired: row.expired.map(|expired| expired != 0),
        })
    }
}
