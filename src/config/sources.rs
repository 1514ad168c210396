//! `[[source]]`: where people come from.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::targets::{TargetConfig, TargetKind};
use crate::checked_toml::Table;
use crate::integration::source::accounts::ACCOUNT;
use crate::integration::source::directory::{Changes, PeopleQuery};
use crate::integration::source::file::PeopleFileConfig;
use crate::integration::target::ldap::check_filter;
use crate::service::{Attributes, LinkRule, Mapping, NewQuestion, SyncRules};

/// Who is meant in Active Directory, and who of them is disabled (\[MS-ADTS\] 2.2.16).
const AD_PEOPLE: &str = "(&(objectCategory=person)(objectClass=user))";
const AD_DISABLED: &str = "(userAccountControl:1.2.840.113556.1.4.803:=2)";

/// Locked by an administrator (draft-behera-ldap-password-policy-10, 5.3.3).
const PPOLICY_DISABLED: &str = "(pwdAccountLockedTime=000001010000Z)";

const DAY: Duration = Duration::from_secs(86_400);

/// A place where people are listed.
#[derive(Clone, Debug)]
pub struct SourceConfig {
    /// Its name.
    pub name: String,
    /// Where it is.
    pub place: SourcePlace,
    /// What becomes of the people in it.
    pub rules: SyncRules,
}

/// Kinds of sources, each with what it needs.
#[derive(Clone, Debug)]
pub enum SourcePlace {
    /// A directory that is a target as well: Passline signs in there as that target does.
    Directory {
        /// The target.
        target: String,
        /// What is asked.
        query: PeopleQuery,
    },
    /// A file.
    File(PeopleFileConfig),
    /// The accounts of a target.
    Accounts {
        /// The target.
        target: String,
    },
}

impl SourcePlace {
    /// As it is written in the file.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Directory { .. } => "directory",
            Self::File(_) => "csv",
            Self::Accounts { .. } => "accounts",
        }
    }
}

/// One attribute, or several.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be the name of an attribute, or a list of names")]
enum Named {
    One(String),
    Several(Vec<String>),
}

const KINDS: &str = "where people come from: \"directory\", \"csv\" or \"accounts\"";

/// `path` makes paths of the file absolute.
pub(super) fn read(
    root: &mut Table<'_, '_>,
    targets: &[TargetConfig],
    questions: &[NewQuestion],
    path: &dyn Fn(PathBuf) -> PathBuf,
) -> Vec<SourceConfig> {
    let mut sources: Vec<SourceConfig> = Vec::new();
    if !root.is_present("source") {
        return sources;
    }
    for mut table in root.tables("source") {
        if let Some(source) = one(&mut table, targets, questions, path) {
            if sources.iter().any(|earlier| earlier.name == source.name) {
                table.mistake(
                    "name",
                    format!("{:?} is the name of another source already", source.name),
                );
            } else {
                sources.push(source);
            }
        }
        table.finish();
    }
    sources
}

fn one(
    table: &mut Table<'_, '_>,
    targets: &[TargetConfig],
    questions: &[NewQuestion],
    path: &dyn Fn(PathBuf) -> PathBuf,
) -> Option<SourceConfig> {
    let name: Option<String> = table.required("name", "a name for it, such as \"staff\"");
    let kind: Option<String> = table.required("kind", KINDS);
    let called = name.clone().unwrap_or_default();
    let place = match kind?.as_str() {
        "directory" => directory(table, called, targets)?,
        "csv" => SourcePlace::File(file(table, called, path)),
        "accounts" => SourcePlace::Accounts {
            target: target(table, targets, lists_accounts, "a target that lists its accounts")?
                .name
                .clone(),
        },
        other => {
            table.mistake("kind", format!("{other:?} is not known; give {KINDS}"));
            return None;
        }
    };
    let rules = rules(table, &place, targets, questions);
    check_attributes(table, &place, &rules.mapping);
    let place = match place {
        SourcePlace::File(file) => SourcePlace::File(PeopleFileConfig {
            place: rules.mapping.login.first().cloned(),
            ..file
        }),
        place => place,
    };
    let name = name?;
    if name.is_empty() || name.len() > 64 || !name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c)) {
        table.mistake("name", "must be 1 to 64 letters, digits, '-', '_' or '.'");
        return None;
    }
    Some(SourceConfig { name, place, rules })
}

/// Names of attributes are letters, digits and hyphens (RFC 4512, 2.5); columns of a file may be called anything.
fn check_attributes(table: &Table<'_, '_>, place: &SourcePlace, mapping: &Mapping) {
    let SourcePlace::Directory { query, .. } = place else {
        return;
    };
    let is_name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-.;".contains(c));
    if !is_name(&query.entry) {
        table.mistake("entry", format!("{:?} is not the name of an attribute", query.entry));
    }
    for name in mapping.attributes().iter().filter(|name| !is_name(name)) {
        table.mistake("map", format!("{name:?} is not the name of an attribute"));
    }
    if !query.base.contains('=') {
        table.mistake(
            "base",
            format!(
                "{:?} is not a distinguished name, such as \"OU=Staff,DC=example,DC=com\"",
                query.base
            ),
        );
    }
}

/// Directories list people, and not accounts; of an API nobody knows whether it gives all of them.
fn lists_accounts(target: &TargetConfig) -> bool {
    match &target.kind {
        TargetKind::Embedded(_) | TargetKind::Ssh(_) | TargetKind::Postgresql(_) | TargetKind::Mysql(_) => true,
        TargetKind::Command(config) => config.can.list_accounts,
        TargetKind::ActiveDirectory(_) | TargetKind::Ldap(_) | TargetKind::Rest(_) => false,
    }
}

/// The target that a source names.
fn target<'a>(
    table: &mut Table<'_, '_>,
    targets: &'a [TargetConfig],
    fits: impl Fn(&TargetConfig) -> bool,
    what: &str,
) -> Option<&'a TargetConfig> {
    let name: String = table.required("target", &format!("the name of {what}"))?;
    let found = targets.iter().find(|target| target.name == name && fits(target));
    if found.is_none() {
        table.mistake("target", format!("{name:?} is not {what} of this file"));
    }
    found
}

fn directory(table: &mut Table<'_, '_>, name: String, targets: &[TargetConfig]) -> Option<SourcePlace> {
    let is_directory =
        |target: &TargetConfig| matches!(target.kind, TargetKind::ActiveDirectory(_) | TargetKind::Ldap(_));
    let target = target(
        table,
        targets,
        is_directory,
        "a target of kind \"active_directory\" or \"ldap\"",
    )?;
    let (servers, base, filter, people, disabled, entry, changes) = match &target.kind {
        TargetKind::ActiveDirectory(config) => (
            config.servers.clone(),
            &config.base,
            &config.filter,
            AD_PEOPLE.to_owned(),
            Some(AD_DISABLED),
            "objectGUID",
            Changes::UpdateSequence,
        ),
        TargetKind::Ldap(config) => (
            config.servers.clone(),
            &config.base,
            &config.filter,
            format!("({}=*)", config.account),
            config.ppolicy.then_some(PPOLICY_DISABLED),
            "entryUUID",
            Changes::ModifyTimestamp,
        ),
        _ => return None,
    };
    let base = table.or("base", base.clone());
    let own = checked_filter(table, "filter").or_else(|| filter.clone());
    let disabled = checked_filter(table, "disabled").or(disabled.map(str::to_owned));
    let query = PeopleQuery {
        name,
        servers,
        base,
        filter: match own {
            Some(own) => format!("(&{people}{own})"),
            None => people,
        },
        disabled,
        entry: table.or("entry", entry.to_owned()),
        changes,
    };
    Some(SourcePlace::Directory {
        target: target.name.clone(),
        query,
    })
}

fn checked_filter(table: &mut Table<'_, '_>, key: &'static str) -> Option<String> {
    let filter: String = table.optional(key)?;
    if let Err(error) = check_filter(&filter) {
        table.mistake(key, error.to_string());
        return None;
    }
    Some(filter)
}

fn file(table: &mut Table<'_, '_>, name: String, path: &dyn Fn(PathBuf) -> PathBuf) -> PeopleFileConfig {
    let file: Option<PathBuf> = table.required("file", "the file, such as \"people.csv\"");
    let separator: String = table.or("separator", ",".to_owned());
    let separator = match separator.as_bytes() {
        [byte] if byte.is_ascii() && *byte != b'"' => *byte,
        _ => {
            table.mistake(
                "separator",
                "must be one ASCII character, such as \",\", \";\" or \"\\t\"",
            );
            b','
        }
    };
    let values_separator: Option<String> = table.optional("values_separator");
    let values_separator = values_separator.and_then(|text| {
        let mut characters = text.chars();
        let one = characters.next().filter(|_| characters.next().is_none());
        if one.is_none() {
            table.mistake("values_separator", "must be one character, such as \"|\"");
        }
        one
    });
    let disabled: Option<String> = table.optional("disabled");
    let disabled = disabled.and_then(|text| {
        let pair = text.strip_prefix('(').and_then(|text| text.strip_suffix(')'));
        let pair = pair.and_then(|pair| pair.split_once('='));
        if pair.is_none() {
            table.mistake(
                "disabled",
                "must be a column and its value in parentheses, such as \"(status=left)\"",
            );
        }
        pair.map(|(column, value)| (column.trim().to_owned(), value.trim().to_owned()))
    });
    let entry = table.required(
        "entry",
        "the column that tells people apart and never becomes another person's, such as an employee number",
    );
    PeopleFileConfig {
        name,
        path: path(file.unwrap_or_default()),
        separator,
        values_separator,
        entry: entry.unwrap_or_default(),
        place: None,
        disabled,
    }
}

fn rules(
    table: &mut Table<'_, '_>,
    place: &SourcePlace,
    targets: &[TargetConfig],
    questions: &[NewQuestion],
) -> SyncRules {
    let is_accounts = matches!(place, SourcePlace::Accounts { .. });
    let mapping = mapping(table, place, targets, questions);
    let link = link(table);
    let create = table.or("create", !is_accounts);
    if create && is_accounts {
        table.mistake("create", "must be false where accounts are only linked");
    }
    if create && mapping.login.is_empty() {
        table.mistake("map", "must name a `login` where people are created");
    }
    let every = table.duration("every", Duration::from_secs(900), Duration::from_secs(60)..=7 * DAY);
    let full_every = table.duration("full_every", DAY, Duration::from_secs(60)..=31 * DAY);
    SyncRules {
        mapping,
        link,
        create,
        max_removals: table.number("max_removals", 10, 0..=100),
        every,
        full_every,
        unique_entries: matches!(place, SourcePlace::Directory { .. }),
        settings: match place {
            SourcePlace::Directory { query, .. } => {
                format!(
                    "{} {} {:?} {} {create}",
                    query.base, query.filter, query.disabled, query.entry
                )
            }
            SourcePlace::File(_) | SourcePlace::Accounts { .. } => create.to_string(),
        },
    }
}

fn link(table: &mut Table<'_, '_>) -> Vec<LinkRule> {
    let names: Vec<String> = table.or("link", vec!["login".to_owned()]);
    let mut rules = Vec::new();
    for name in names {
        match LinkRule::ALL.into_iter().find(|rule| rule.name() == name) {
            Some(rule) => rules.push(rule),
            None => {
                let known: Vec<&str> = LinkRule::ALL.into_iter().map(LinkRule::name).collect();
                table.mistake("link", format!("{name:?} is not known; give {}", known.join(", ")));
            }
        }
    }
    rules
}

/// Attributes that are known by heart: for which field which ones.
struct Usual {
    login: &'static [&'static str],
    name: &'static [&'static str],
    employee_number: &'static [&'static str],
    discriminator: &'static [&'static str],
    language: &'static [&'static str],
    phone: &'static [&'static str],
    mail: &'static [&'static str],
    department: &'static [&'static str],
    manager: &'static [&'static str],
    groups: &'static [&'static str],
}

const ACTIVE_DIRECTORY: Usual = Usual {
    login: &["sAMAccountName"],
    name: &["displayName", "cn"],
    employee_number: &["employeeNumber", "employeeID"],
    discriminator: &[],
    language: &["preferredLanguage"],
    phone: &["mobile", "telephoneNumber"],
    mail: &["mail"],
    department: &["department"],
    manager: &["manager"],
    groups: &["memberOf"],
};

/// inetOrgPerson (RFC 2798).
const LDAP: Usual = Usual {
    login: &[],
    name: &["displayName", "cn"],
    employee_number: &["employeeNumber"],
    discriminator: &[],
    language: &["preferredLanguage"],
    phone: &["mobile", "telephoneNumber"],
    mail: &["mail"],
    department: &["departmentNumber"],
    manager: &["manager"],
    groups: &["memberOf"],
};

const NOTHING: Usual = Usual {
    login: &["login"],
    name: &[],
    employee_number: &[],
    discriminator: &[],
    language: &[],
    phone: &[],
    mail: &[],
    department: &[],
    manager: &[],
    groups: &[],
};

const ACCOUNTS: Usual = Usual {
    login: &[ACCOUNT],
    ..NOTHING
};

fn mapping(
    table: &mut Table<'_, '_>,
    place: &SourcePlace,
    targets: &[TargetConfig],
    questions: &[NewQuestion],
) -> Mapping {
    // The directory that people come from is one where they have an account, under the name by which it is found there.
    let (usual, login, own) = match place {
        SourcePlace::Directory { target, .. } => match targets.iter().find(|known| known.name == *target) {
            Some(TargetConfig {
                kind: TargetKind::Ldap(config),
                ..
            }) => (
                LDAP,
                vec![config.account.clone()],
                Some((target, config.account.clone())),
            ),
            _ => (
                ACTIVE_DIRECTORY,
                strings(ACTIVE_DIRECTORY.login),
                Some((target, "sAMAccountName".to_owned())),
            ),
        },
        SourcePlace::File(_) => (NOTHING, strings(NOTHING.login), None),
        SourcePlace::Accounts { target } => (ACCOUNTS, strings(ACCOUNTS.login), Some((target, ACCOUNT.to_owned()))),
    };
    let mut map = table.table("map");
    let mut mapping = Mapping {
        login: attributes(&mut map, "login").unwrap_or(login),
        name: attributes(&mut map, "name").unwrap_or_else(|| strings(usual.name)),
        employee_number: attributes(&mut map, "employee_number").unwrap_or_else(|| strings(usual.employee_number)),
        discriminator: attributes(&mut map, "discriminator").unwrap_or_else(|| strings(usual.discriminator)),
        language: attributes(&mut map, "language").unwrap_or_else(|| strings(usual.language)),
        phone: attributes(&mut map, "phone").unwrap_or_else(|| strings(usual.phone)),
        mail: attributes(&mut map, "mail").unwrap_or_else(|| strings(usual.mail)),
        department: attributes(&mut map, "department").unwrap_or_else(|| strings(usual.department)),
        manager: attributes(&mut map, "manager").unwrap_or_else(|| strings(usual.manager)),
        groups: attributes(&mut map, "groups").unwrap_or_else(|| strings(usual.groups)),
        ..Mapping::default()
    };
    map.finish();
    if table.is_present("account") {
        for mut account in table.tables("account") {
            let name: Option<String> = account.required("target", "the target that the account is on");
            let from = attributes(&mut account, "attribute");
            if from.is_none() {
                account.mistake("attribute", "missing; give the attribute with the account's name there");
            }
            if let Some(name) = name {
                if !targets.iter().any(|target| target.name == name) {
                    account.mistake("target", format!("{name:?} is not a target of this file"));
                }
                mapping.accounts.push((name, from.unwrap_or_default()));
            }
            account.finish();
        }
    }
    if let Some((target, attribute)) = own
        && !mapping.accounts.iter().any(|(known, _)| known == target)
    {
        mapping.accounts.push((target.clone(), vec![attribute]));
    }
    if table.is_present("answer") {
        for mut answer in table.tables("answer") {
            let asked: Option<String> = answer.required("question", "prompt or text of a [[question]]");
            let from = attributes(&mut answer, "attribute");
            if from.is_none() {
                answer.mistake("attribute", "missing; give the attribute with the answer");
            }
            if let Some(asked) = asked {
                let is_it = |known: &NewQuestion| known.text == asked || known.prompt.as_ref() == Some(&asked);
                if !questions.iter().any(is_it) {
                    answer.mistake("question", format!("{asked:?} is no [[question]] of this file"));
                }
                mapping.answers.push((asked, from.unwrap_or_default()));
            }
            answer.finish();
        }
    }
    if matches!(place, SourcePlace::Accounts { .. }) && mapping.attributes().iter().any(|name| name != ACCOUNT) {
        table.mistake("map", format!("accounts have one attribute only: \"{ACCOUNT}\""));
    }
    mapping
}

/// One attribute or several; an empty text means none at all.
fn attributes(table: &mut Table<'_, '_>, key: &'static str) -> Option<Attributes> {
    let named: Named = table.optional(key)?;
    let list = match named {
        Named::One(one) => vec![one],
        Named::Several(several) => several,
    };
    Some(list.into_iter().filter(|name| !name.is_empty()).collect())
}

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}
