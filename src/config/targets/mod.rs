//! `[[target]]`: where passwords live.

use std::path::PathBuf;

use crate::checked_toml::Table;
use crate::integration::target::command::CommandConfig;
use crate::integration::target::embedded::Rules;
use crate::integration::target::ldap::{ActiveDirectoryConfig, DirectoryConfig};
use crate::integration::target::rest::RestConfig;
use crate::integration::target::sql::{MysqlConfig, PostgresqlConfig};
use crate::integration::target::ssh::SshConfig;

mod command;
mod embedded;
mod ldap;
mod rest;
mod sql;
mod ssh;

/// One target system.
#[derive(Clone, Debug)]
pub struct TargetConfig {
    /// Its name; accounts refer to it.
    pub name: String,
    /// How callers hear it, as text; the name if nothing else is given.
    pub label: String,
    /// A prompt that says its name instead, if there is such a prompt.
    pub prompt: String,
    /// What kind of system it is.
    pub kind: TargetKind,
}

/// Kinds of target systems, each with what it needs.
#[derive(Clone, Debug)]
pub enum TargetKind {
    /// A directory in a file of Passline's own.
    Embedded(Rules),
    /// Active Directory.
    ActiveDirectory(ActiveDirectoryConfig),
    /// Any other LDAP directory.
    Ldap(DirectoryConfig),
    /// A Linux or Unix host.
    Ssh(SshConfig),
    /// Something with an API over HTTP.
    Rest(Box<RestConfig>),
    /// A program of the company's own.
    Command(CommandConfig),
    /// PostgreSQL.
    Postgresql(PostgresqlConfig),
    /// MariaDB and MySQL.
    Mysql(MysqlConfig),
}

impl TargetKind {
    /// As it is written in the file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::ActiveDirectory(_) => "active_directory",
            Self::Ldap(_) => "ldap",
            Self::Ssh(_) => "ssh",
            Self::Command(_) => "command",
            Self::Rest(_) => "rest",
            Self::Postgresql(_) => "postgresql",
            Self::Mysql(_) => "mysql",
        }
    }

    /// As whom Passline signs in there, if it needs a password for that.
    #[must_use]
    pub fn signs_in_as(&self) -> Option<&str> {
        match self {
            Self::Embedded(_) => None,
            Self::ActiveDirectory(config) => Some(&config.servers.bind),
            Self::Ldap(config) => Some(&config.servers.bind),
            Self::Ssh(config) => Some(&config.user),
            Self::Command(config) => config.user.as_deref(),
            Self::Rest(config) => Some(&config.user),
            Self::Postgresql(config) => Some(&config.server.user),
            Self::Mysql(config) => Some(&config.server.user),
        }
    }
}

const KINDS: &str = "the kind of system: \"active_directory\", \"ldap\", \"ssh\", \"postgresql\", \"mysql\", \"rest\", \"command\" or \"embedded\"";

/// `path` makes paths of the file absolute.
pub(super) fn read(root: &mut Table<'_, '_>, path: &dyn Fn(PathBuf) -> PathBuf) -> Vec<TargetConfig> {
    if !root.is_present("target") {
        root.mistake(
            "target",
            "missing; give at least one system where passwords live, written as [[target]]",
        );
        return Vec::new();
    }
    let mut targets: Vec<TargetConfig> = Vec::new();
    for mut table in root.tables("target") {
        if let Some(target) = one(&mut table, path) {
            if targets.iter().any(|earlier| earlier.name == target.name) {
                table.mistake(
                    "name",
                    format!(
                        "{:?} is the name of another target already; names are unique",
                        target.name
                    ),
                );
            } else {
                targets.push(target);
            }
        }
        table.finish();
    }
    targets
}

fn one(table: &mut Table<'_, '_>, path: &dyn Fn(PathBuf) -> PathBuf) -> Option<TargetConfig> {
    let name: Option<String> = table.required("name", "a name for accounts to refer to, such as \"directory\"");
    let kind: Option<String> = table.required("kind", KINDS);
    let label = table.optional("label");
    let prompt = table.optional("prompt");
    let called = name.clone().unwrap_or_default();
    let kind = match kind?.as_str() {
        "embedded" => TargetKind::Embedded(embedded::read(table)),
        "active_directory" => TargetKind::ActiveDirectory(ldap::active_directory(table, called, path)),
        "ldap" => TargetKind::Ldap(ldap::directory(table, called, path)),
        "command" => TargetKind::Command(command::read(table, called, path)),
        "rest" => TargetKind::Rest(Box::new(rest::read(table, called, path)?)),
        "ssh" => TargetKind::Ssh(ssh::read(table, called)),
        "postgresql" => TargetKind::Postgresql(sql::postgresql(table, called, path)),
        "mysql" => TargetKind::Mysql(sql::mysql(table, called, path)),
        other => {
            table.mistake("kind", format!("{other:?} is not known; give {KINDS}"));
            return None;
        }
    };
    let name = name?;
    if name.is_empty() || name.len() > 64 || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        table.mistake("name", "must be 1 to 64 letters, digits, '-', '_' or '.'");
        return None;
    }
    Some(TargetConfig {
        label: label.unwrap_or_else(|| name.clone()),
        prompt: prompt.unwrap_or_else(|| format!("system.{}", name.replace(['-', '.'], "_"))),
        name,
        kind,
    })
}
