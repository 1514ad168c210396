//! Looking for accounts: a user and the host that it may come from are one account, and have one password.
//!
//! MariaDB keeps accounts as JSON in `mysql.global_priv`, MySQL as columns in `mysql.user`.

use sqlx::mysql::{MySqlConnection, MySqlRow};
use sqlx::{Row as _, query};

use super::super::super::error::is_plain;
use super::super::quote::text;
use super::super::server::answer;
use super::Failure;
use super::hash::Plugin;

/// Which of the two it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Product {
    MariaDb,
    MySql,
}

impl Product {
    /// By what `version()` says.
    pub(super) fn of(version: &str) -> Self {
        if version.contains("MariaDB") {
            Self::MariaDb
        } else {
            Self::MySql
        }
    }

    fn find(self) -> &'static str {
        match self {
            Self::MariaDb => FIND_MARIADB,
            Self::MySql => FIND_MYSQL,
        }
    }

    fn list(self) -> &'static str {
        match self {
            Self::MariaDb => LIST_MARIADB,
            Self::MySql => LIST_MYSQL,
        }
    }
}

/// The name of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Name {
    pub(super) user: String,
    pub(super) host: String,
}

impl Name {
    /// `user` or `user@host`. A user name with `@` in it is written with its host. The tables of the server do not know spaces at
    /// the end: they would find the account without.
    pub(super) fn parse(account: &str, host: &str) -> Option<Self> {
        let (user, host) = account.rsplit_once('@').unwrap_or((account, host));
        let is_part = |part: &str| is_plain(part) && !part.ends_with(' ');
        (is_part(user) && is_part(host)).then(|| Self {
            user: user.to_owned(),
            host: host.to_owned(),
        })
    }

    /// As it is parsed again.
    fn written(&self, default: &str) -> String {
        if self.host == default && !self.user.contains('@') {
            self.user.clone()
        } else {
            self.full()
        }
    }

    /// As the server says whom somebody is signed in as.
    pub(super) fn full(&self) -> String {
        format!("{}@{}", self.user, self.host)
    }

    /// For a statement.
    pub(super) fn quoted(&self) -> String {
        format!("{}@{}", text(&self.user), text(&self.host))
    }
}

/// The account and the roles it has been given, and whether any of them may change tables of the server itself.
macro_rules! held {
    ($accounts:literal, $roles:literal) => {
        concat!(
            "with recursive held (user, host) as (select a.User, a.Host from ",
            $accounts,
            " a where a.User = ? and a.Host = ? union ",
            $roles,
            ") select exists (select 1 from held h join mysql.db d on d.User = h.user and d.Host = h.host \
             where 'mysql' like d.Db escape '\\' and 'Y' in (d.Insert_priv, d.Update_priv, d.Delete_priv, d.Create_priv, \
             d.Drop_priv, d.Alter_priv, d.Grant_priv)) \
             or exists (select 1 from held h join mysql.tables_priv t on t.User = h.user and t.Host = h.host \
             where t.Db = 'mysql' and (t.Table_priv not in ('', 'Select') or t.Column_priv not in ('', 'Select'))) \
             or exists (select 1 from held h join mysql.proxies_priv x on x.User = h.user and x.Host = h.host) or "
        )
    };
}

/// Rights on everything that administer nothing: `SELECT`, `SHOW DATABASES`, `CREATE TEMPORARY TABLES`, `LOCK TABLES`,
/// `SHOW VIEW`, by their bits in `access`. Whoever has another one may change the server, or its tables.
macro_rules! administers_mariadb {
    ($account:literal) => {
        concat!(
            "(cast(coalesce(json_value(",
            $account,
            ".Priv, '$.access'), 0) as unsigned) & ~cast(4407297 as unsigned)) <> 0"
        )
    };
}

const FIND_MARIADB: &str = concat!(
    held!(
        "mysql.global_priv",
        "select m.Role, '' from mysql.roles_mapping m join held h on m.User = h.user and m.Host = h.host"
    ),
    "exists (select 1 from held h join mysql.global_priv g on g.User = h.user and g.Host = h.host where ",
    administers_mariadb!("g"),
    ") as administers, \
     case when json_exists(a.Priv, '$.auth_or') then 'several' else coalesce(json_value(a.Priv, '$.plugin'), '') end as plugin, \
     coalesce(json_value(a.Priv, '$.authentication_string'), '') as hash, \
     coalesce(json_value(a.Priv, '$.account_locked'), '0') in ('1', 'true') as locked, \
     cast(json_value(a.Priv, '$.password_last_changed') as signed) as changed, \
     cast(case coalesce(json_value(a.Priv, '$.password_lifetime'), '-1') when '-1' then @@default_password_lifetime \
     else json_value(a.Priv, '$.password_lifetime') end as signed) as lifetime, \
     coalesce(json_value(a.Priv, '$.password_last_changed'), '1') = '0' as expired, unix_timestamp() as now \
     from mysql.global_priv a where a.User = ? and a.Host = ? and not json_exists(a.Priv, '$.is_role')"
);

const FIND_MYSQL: &str = concat!(
    held!(
        "mysql.user",
        "select e.FROM_USER, e.FROM_HOST from mysql.role_edges e join held h on e.TO_USER = h.user and e.TO_HOST = h.host"
    ),
    "exists (select 1 from held h join mysql.user g on g.User = h.user and g.Host = h.host where 'Y' in (g.Insert_priv, \
     g.Update_priv, g.Delete_priv, g.Create_priv, g.Drop_priv, g.Reload_priv, g.Shutdown_priv, g.Process_priv, g.File_priv, \
     g.Grant_priv, g.Alter_priv, g.Super_priv, g.Execute_priv, g.Repl_slave_priv, g.Create_routine_priv, g.Alter_routine_priv, \
     g.Create_user_priv, g.Event_priv, g.Trigger_priv, g.Create_tablespace_priv, g.Create_role_priv, g.Drop_role_priv)) \
     or exists (select 1 from held h join mysql.global_grants g on g.User = h.user and g.Host = h.host) as administers, \
     a.plugin as plugin, if(a.plugin = 'mysql_native_password', a.authentication_string, '') as hash, \
     a.account_locked = 'Y' as locked, cast(unix_timestamp(a.password_last_changed) as signed) as changed, \
     cast(coalesce(a.password_lifetime, @@default_password_lifetime) as signed) as lifetime, \
     a.password_expired = 'Y' as expired, unix_timestamp() as now \
     from mysql.user a where a.User = ? and a.Host = ?"
);

/// What an account was given by roles is not looked at here: a list authorizes nothing.
const LIST_MARIADB: &str = concat!(
    "select a.User as user, a.Host as host from mysql.global_priv a where (a.User, a.Host) > (?, ?) and a.User not in ('', ?) \
     and not json_exists(a.Priv, '$.is_role') and a.User not like 'mariadb.%' and not ",
    administers_mariadb!("a"),
    " order by a.User, a.Host limit ?"
);

const LIST_MYSQL: &str = "select a.User as user, a.Host as host from mysql.user a where (a.User, a.Host) > (?, ?) \
     and a.User not in ('', ?) and a.User not like 'mysql.%' and 'Y' not in (a.Super_priv, a.Create_user_priv, a.Grant_priv) \
     order by a.User, a.Host limit ?";

/// An account as it was found.
#[derive(Clone, Debug)]
pub(super) struct Account {
    pub(super) name: Name,
    /// How it proves its password.
    pub(super) plugin: Plugin,
    /// What is kept of its password, where that can be compared.
    pub(super) hash: String,
    /// By an administrator. Locks by failed tries are in the memory of the server alone.
    pub(super) is_locked: bool,
    pub(super) must_change: bool,
    /// When the password was changed last, in seconds since 1970.
    pub(super) changed: Option<i64>,
    /// Whether it may change the server or its tables, by itself or by a role.
    pub(super) administers: bool,
}

impl Account {
    fn of(name: Name, row: &MySqlRow) -> Result<Self, sqlx::Error> {
        let changed: Option<i64> = row.try_get("changed")?;
        let lifetime: Option<i64> = row.try_get("lifetime")?;
        let (expired, now): (i64, i64) = (row.try_get("expired")?, row.try_get("now")?);
        let has_aged = match (changed, lifetime) {
            (Some(changed), Some(days)) if days > 0 => now > changed.saturating_add(days.saturating_mul(86_400)),
            _ => false,
        };
        let (plugin, hash): (String, String) = (row.try_get("plugin")?, row.try_get("hash")?);
        Ok(Self {
            name,
            plugin: Plugin::of(&plugin),
            hash,
            is_locked: row.try_get::<i64, _>("locked")? != 0,
            must_change: expired != 0 || has_aged,
            changed,
            administers: row.try_get::<i64, _>("administers")? != 0,
        })
    }
}

/// The account of this name.
pub(super) async fn find(
    connection: &mut MySqlConnection,
    product: Product,
    name: Name,
) -> Result<Option<Account>, Failure> {
    let found = query(product.find()).persistent(false);
    let found = found
        .bind(&name.user)
        .bind(&name.host)
        .bind(&name.user)
        .bind(&name.host);
    answer(async {
        let row = found.fetch_optional(connection).await?;
        row.map(|row| Account::of(name, &row)).transpose()
    })
    .await
}

/// Accounts of people behind `after`, without `ours`, as they are written where `host` is the usual one.
pub(super) async fn list(
    connection: &mut MySqlConnection,
    product: Product,
    (after, ours, host): (Option<&Name>, &str, &str),
    limit: usize,
) -> Result<Vec<String>, Failure> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (user, from) = after.map_or(("", ""), |name| (&name.user, &name.host));
    let found = query(product.list()).persistent(false);
    let found = found.bind(user).bind(from).bind(ours).bind(limit);
    answer(async {
        let rows = found.fetch_all(connection).await?;
        let written = |row: &MySqlRow| {
            let name = Name {
                user: row.try_get("user")?,
                host: row.try_get("host")?,
            };
            Ok(name.written(host))
        };
        rows.iter().map(written).collect()
    })
    .await
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(user: &str, host: &str) -> Name {
        Name {
            user: user.to_owned(),
            host: host.to_owned(),
        }
    }

    #[test]
    fn a_name_has_the_host_behind_the_last_at() {
        assert_eq!(Name::parse("anna", "%"), Some(name("anna", "%")));
        assert_eq!(Name::parse("anna@10.1.%", "%"), Some(name("anna", "10.1.%")));
        assert_eq!(
            Name::parse("anna@example.com@%", "%"),
            Some(name("anna@example.com", "%"))
        );
        for nobody in [
            "", "@", "anna@", "@%", "anna\0", "an\nna", "anna ", "anna @%", "anna@% ",
        ] {
            assert_eq!(Name::parse(nobody, "%"), None, "{nobody:?}");
        }
        assert_eq!(name(r"o'neil\", "%").quoted(), r"'o''neil\'@'%'");
    }

    proptest! {
        #[test]
        fn what_is_written_is_parsed_again(user in "[a-z@'\\\\]{1,8}", host in "[a-z%.]{1,8}") {
            let name = name(&user, &host);
            prop_assert_eq!(Name::parse(&name.written("%"), "%"), Some(name));
        }
    }
}
