//! `[[target]]`: where passwords live.

use std::path::PathBuf;
use std::time::Duration;

use crate::checked_toml::Table;
use crate::integration::target::embedded::Rules;
use crate::integration::target::ldap::{ActiveDirectoryConfig, DirectoryConfig, Near, PasswordMethod, ServersConfig};

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
}

impl TargetKind {
    /// As it is written in the file.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Embedded(_) => "embedded",
            Self::ActiveDirectory(_) => "active_directory",
            Self::Ldap(_) => "ldap",
        }
    }

    /// As whom Passline signs in there, if it needs a password for that.
    #[must_use]
    pub fn signs_in_as(&self) -> Option<&str> {
        match self {
            Self::Embedded(_) => None,
            Self::ActiveDirectory(config) => Some(&config.servers.bind),
            Self::Ldap(config) => Some(&config.servers.bind),
        }
    }
}

const KINDS: &str = "the kind of system: \"active_directory\", \"ldap\" or \"embedded\"";

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
        "embedded" => TargetKind::Embedded(embedded(table)),
        "active_directory" => TargetKind::ActiveDirectory(active_directory(table, called, path)),
        "ldap" => TargetKind::Ldap(ldap(table, called, path)),
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

fn embedded(table: &mut Table<'_, '_>) -> Rules {
    let mut rules = Rules::default();
    let policy = &mut rules.policy;
    policy.min_length = table.number("min_length", policy.min_length, 1..=128);
    policy.max_length = table.number("max_length", policy.max_length, 1..=128);
    policy.min_classes = table.number("min_classes", policy.min_classes, 1..=4);
    if let Err(error) = policy.validate() {
        table.mistake("min_length", error.to_string());
    }
    rules.lock_after = table.number("lock_after", rules.lock_after, 1..=1_000);
    rules
}

fn active_directory(
    table: &mut Table<'_, '_>,
    name: String,
    path: &dyn Fn(PathBuf) -> PathBuf,
) -> ActiveDirectoryConfig {
    let servers = servers(table, "a name such as \"svc-passline@example.com\"", path);
    let base = table.required("base", "where people are, such as \"OU=Staff,DC=example,DC=com\"");
    ActiveDirectoryConfig {
        name,
        servers,
        base: base.unwrap_or_default(),
        filter: filter(table),
        near: near(table),
    }
}

fn ldap(table: &mut Table<'_, '_>, name: String, path: &dyn Fn(PathBuf) -> PathBuf) -> DirectoryConfig {
    let servers = servers(table, "a name such as \"cn=passline,dc=example,dc=com\"", path);
    let base = table.required("base", "where people are, such as \"ou=people,dc=example,dc=com\"");
    let password = match table.or("password", "extended".to_owned()).as_str() {
        "extended" => PasswordMethod::Extended,
        "write" => PasswordMethod::Write,
        other => {
            table.mistake(
                "password",
                format!("{other:?} is neither \"extended\" (RFC 3062) nor \"write\""),
            );
            PasswordMethod::Extended
        }
    };
    DirectoryConfig {
        name,
        servers,
        base: base.unwrap_or_default(),
        account: account(table),
        filter: filter(table),
        password,
        ppolicy: table.or("ppolicy", true),
        policy: table.optional("policy"),
    }
}

fn servers(table: &mut Table<'_, '_>, bind: &str, path: &dyn Fn(PathBuf) -> PathBuf) -> ServersConfig {
    let urls = match table.is_present("urls") {
        true => table.optional("urls"),
        false => table.required("urls", "the servers, such as [\"ldaps://dc1.example.com\"]"),
    };
    let urls: Vec<String> = urls.unwrap_or_default();
    check_urls(table, &urls);
    ServersConfig {
        urls,
        ca: table.optional("ca").map(path),
        bind: table.required("bind", bind).unwrap_or_default(),
        connect: table.duration(
            "connect",
            ServersConfig::CONNECT,
            Duration::from_millis(100)..=Duration::from_secs(10),
        ),
    }
}

fn check_urls(table: &Table<'_, '_>, urls: &[String]) {
    if urls.is_empty() {
        table.mistake("urls", "must name at least one server");
    }
    for url in urls {
        let host = url.strip_prefix("ldaps://").or_else(|| url.strip_prefix("ldap://"));
        let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '?', '@', ' ']);
        if !host.is_some_and(is_host) {
            table.mistake(
                "urls",
                format!("{url:?} is neither \"ldaps://HOST\" nor \"ldap://HOST\" (StartTLS), with \":PORT\" where it is not the usual one"),
            );
        }
    }
}

fn account(table: &mut Table<'_, '_>) -> String {
    let account = table.or("account", "uid".to_owned());
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if account.is_empty() || !account.chars().all(is_name) {
        table.mistake("account", "must be the name of an attribute, such as \"uid\"");
    }
    account
}

fn filter(table: &mut Table<'_, '_>) -> Option<String> {
    let filter: String = table.optional("filter")?;
    if let Err(error) = crate::integration::target::ldap::check_filter(&filter) {
        table.mistake("filter", error.to_string());
    }
    Some(filter)
}

fn near(table: &mut Table<'_, '_>) -> Vec<Near> {
    if !table.is_present("near") {
        return Vec::new();
    }
    let mut all = Vec::new();
    for mut table in table.tables("near") {
        let near = Near {
            attribute: table
                .required("attribute", "an attribute of people, such as \"l\"")
                .unwrap_or_default(),
            value: table
                .required("value", "its value for those who are near")
                .unwrap_or_default(),
            urls: table
                .required("urls", "the domain controllers near them")
                .unwrap_or_default(),
        };
        check_urls(&table, &near.urls);
        all.push(near);
        table.finish();
    }
    all
}
