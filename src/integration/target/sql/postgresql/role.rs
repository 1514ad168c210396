//! Looking for roles. Everything is in `pg_roles`, which every role may read.

use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{Row as _, query};

use super::super::super::error::is_plain;
use super::super::server::answer;
use super::Failure;

/// `NAMEDATALEN` less one. Longer names are cut by the server, and would be somebody else's.
const MAX_NAME_BYTES: usize = 63;

/// Whether the role `r` may more than look after its own data, or can act as one that may: reset, it would open the server. The
/// predefined roles are those that reach files and programs of the machine (manual, 22.5).
macro_rules! privileged {
    () => {
        "exists (select from pg_roles p where pg_has_role(r.oid, p.oid, 'member') \
         and (p.rolsuper or p.rolreplication or p.rolbypassrls or p.rolcreaterole or p.rolname in \
         ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')))"
    };
}

/// Whether the role `r` is a member of the role that `members_of` names.
macro_rules! member {
    ($parameter:literal) => {
        concat!(
            "(",
            $parameter,
            "::text is null or exists (select from pg_roles m where m.rolname::text = ",
            $parameter,
            " and m.oid <> r.oid and pg_has_role(r.oid, m.oid, 'member')))"
        )
    };
}

const FIND: &str = concat!(
    "select r.rolcanlogin, r.rolconnlimit, coalesce(r.rolvaliduntil < now(), false) as ran_out, \
     r.rolname in (session_user, current_user) as ours, ",
    privileged!(),
    " as privileged, ",
    member!("$2"),
    " as member, coalesce(current_setting('scram_iterations', true)::int, 0) as iterations \
     from pg_roles r where r.rolname::text = $1"
);

const LIST: &str = concat!(
    "select r.rolname::text from pg_roles r where r.rolcanlogin and r.rolname not in (session_user, current_user) and not ",
    privileged!(),
    " and ",
    member!("$1"),
    " and ($2::text is null or r.rolname::text collate \"C\" > $2) order by r.rolname::text collate \"C\" limit $3"
);

/// A role as it was found.
#[derive(Clone, Copy, Debug)]
pub(super) struct Role {
    /// Whether it may sign in.
    pub(super) can_login: bool,
    /// How many connections it may have, -1 for any number.
    pub(super) connections: i32,
    /// Whether its password is valid no longer.
    pub(super) ran_out: bool,
    /// Whether it is Passline itself.
    pub(super) is_ours: bool,
    pub(super) is_privileged: bool,
    /// Whether it is among those who may be reset.
    pub(super) is_member: bool,
    /// How many rounds of SCRAM the server uses; 0 where it does not say (before PostgreSQL 16).
    pub(super) iterations: i32,
}

impl Role {
    fn of(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            can_login: row.try_get("rolcanlogin")?,
            connections: row.try_get("rolconnlimit")?,
            ran_out: row.try_get("ran_out")?,
            is_ours: row.try_get("ours")?,
            is_privileged: row.try_get("privileged")?,
            is_member: row.try_get("member")?,
            iterations: row.try_get("iterations")?,
        })
    }
}

/// Whether a role can have this name.
pub(super) fn is_name(name: &str) -> bool {
    is_plain(name) && name.len() <= MAX_NAME_BYTES
}

/// The role of this name.
pub(super) async fn find(
    connection: &mut PgConnection,
    name: &str,
    members_of: Option<&str>,
) -> Result<Option<Role>, Failure> {
    let found = query(FIND).persistent(false).bind(name).bind(members_of);
    answer(async {
        found
            .fetch_optional(connection)
            .await?
            .as_ref()
            .map(Role::of)
            .transpose()
    })
    .await
}

/// Roles of people behind `after`.
pub(super) async fn list(
    connection: &mut PgConnection,
    members_of: Option<&str>,
    after: Option<&str>,
    limit: usize,
) -> Result<Vec<String>, Failure> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let found = query(LIST).persistent(false).bind(members_of).bind(after).bind(limit);
    answer(async {
        let rows = found.fetch_all(connection).await?;
        rows.iter().map(|row| row.try_get(0)).collect()
    })
    .await
}
