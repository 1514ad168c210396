//! `kind = "active_directory"` and `kind = "ldap"`.

use std::path::PathBuf;
use std::time::Duration;

use crate::checked_toml::Table;
use crate::integration::target::ldap::{ActiveDirectoryConfig, DirectoryConfig, Near, PasswordMethod, ServersConfig};

pub(super) fn active_directory(
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

pub(super) fn directory(table: &mut Table<'_, '_>, name: String, path: &dyn Fn(PathBuf) -> PathBuf) -> DirectoryConfig {
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
