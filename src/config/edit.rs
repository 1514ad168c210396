//! Changes that a command makes in a configuration file that a person keeps: everything else in it stays as it is.

use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use thiserror::Error;
use toml_edit::{ArrayOfTables, DocumentMut, Item, Table, Value, value};

/// Why a file was not changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EditError {
    /// It cannot be read or written.
    #[error("{}: {source}", path.display())]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// It is no TOML.
    #[error("{}: {reason}", path.display())]
    Toml {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A target of this name is there already.
    #[error("there is a target {0:?} already")]
    Exists(String),
    /// There is no target of this name.
    #[error("there is no target {0:?} in the file")]
    Missing(String),
    /// A setting is not written as one.
    #[error("{0:?} is no setting: write KEY=VALUE, such as base=\"OU=Staff,DC=example,DC=com\"")]
    Setting(String),
}

/// The text of a configuration file.
///
/// # Errors
/// [`EditError::File`].
pub fn read(path: &Path) -> Result<String, EditError> {
    std::fs::read_to_string(path).map_err(|source| EditError::File {
        path: path.to_owned(),
        source,
    })
}

fn document(path: &Path, text: &str) -> Result<DocumentMut, EditError> {
    text.parse().map_err(|error: toml_edit::TomlError| EditError::Toml {
        path: path.to_owned(),
        reason: error.to_string(),
    })
}

/// The text with one more `[[target]]` behind the others. A setting is `KEY=VALUE`, with `KEY.NAME=VALUE` for tables; a value
/// that is no TOML is a text.
///
/// # Errors
/// When there is such a target already, or a setting is none.
pub fn with_target(path: &Path, text: &str, name: &str, kind: &str, settings: &[String]) -> Result<String, EditError> {
    let mut document = document(path, text)?;
    if names(&document).any(|known| known == name) {
        return Err(EditError::Exists(name.to_owned()));
    }
    let mut target = Table::new();
    target.decor_mut().set_prefix("\n");
    target.insert("name", value(name));
    target.insert("kind", value(kind));
    for setting in settings {
        let wrong = || EditError::Setting(setting.clone());
        let (key, text) = setting.split_once('=').ok_or_else(wrong)?;
        let is_key = |key: &str| !key.is_empty() && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        let text = text.trim();
        let parsed = text.parse::<Value>().unwrap_or_else(|_| Value::from(text));
        match key.trim().split_once('.') {
            None if ["name", "kind"].contains(&key.trim()) => return Err(wrong()),
            None if is_key(key.trim()) => {
                target.insert(key.trim(), value(parsed));
            }
            Some((table, key)) if is_key(table) && is_key(key) => {
                let entry = target.entry(table).or_insert(value(toml_edit::InlineTable::new()));
                let inner = entry.as_inline_table_mut().ok_or_else(wrong)?;
                inner.insert(key, parsed);
            }
            _ => return Err(wrong()),
        }
    }
    let targets = document
        .entry("target")
        .or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let targets = targets.as_array_of_tables_mut().ok_or_else(|| EditError::Toml {
        path: path.to_owned(),
        reason: "`target` is no [[target]]".to_owned(),
    })?;
    targets.push(target);
    Ok(document.to_string())
}

/// The text without this `[[target]]` and what belongs to it.
///
/// # Errors
/// When there is none.
pub fn without_target(path: &Path, text: &str, name: &str) -> Result<String, EditError> {
    let mut document = document(path, text)?;
    let targets = document.get_mut("target").and_then(Item::as_array_of_tables_mut);
    let targets = targets.ok_or_else(|| EditError::Missing(name.to_owned()))?;
    let before = targets.len();
    targets.retain(|target| target.get("name").and_then(Item::as_str) != Some(name));
    if targets.len() == before {
        return Err(EditError::Missing(name.to_owned()));
    }
    Ok(document.to_string())
}

fn names(document: &DocumentMut) -> impl Iterator<Item = &str> {
    let targets = document.get("target").and_then(Item::as_array_of_tables);
    targets
        .into_iter()
        .flat_map(ArrayOfTables::iter)
        .filter_map(|target| target.get("name")?.as_str())
}

/// Writes a configuration file, all of it or nothing, with the owner and the rights that it has.
///
/// # Errors
/// [`EditError::File`].
pub fn write(path: &Path, text: &str) -> Result<(), EditError> {
    let failed = |source| EditError::File {
        path: path.to_owned(),
        source,
    };
    // The file itself, where a link leads to it.
    let real = std::fs::canonicalize(path).map_err(failed)?;
    let metadata = std::fs::metadata(&real).map_err(failed)?;
    let permissions = metadata.permissions();
    let mut name = real.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    // Of an earlier try that was cut off.
    let _ = std::fs::remove_file(&new);
    let written = (|| {
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(permissions.mode())
            .open(&new)?;
        std::os::unix::fs::fchown(&file, Some(metadata.uid()), Some(metadata.gid()))?;
        file.set_permissions(permissions)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&new, &real)
    })();
    written.map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# Ours.\ndata = \"var\" # here\n\n[[target]]\nname = \"directory\"\nkind = \"embedded\"\n\n[admin]\n# Not for others.\n\
                        listen = \"127.0.0.1:9460\"\n";

    fn add(text: &str, name: &str, settings: &[&str]) -> Result<String, EditError> {
        let settings: Vec<String> = settings.iter().map(|&setting| setting.to_owned()).collect();
        with_target("passline.toml".as_ref(), text, name, "rest", &settings)
    }

    #[test]
    fn a_target_is_added_behind_the_others_and_taken_away_again() {
        let settings = [
            "api=keycloak",
            "urls=[\"a\", \"b\"]",
            "port=636",
            "base=OU=Staff,DC=x",
            "parameters.realm=staff",
            "parameters.b=2",
        ];
        let more = add(FILE, "sso", &settings).expect("added");
        let section = "[[target]]\nname = \"sso\"\nkind = \"rest\"\napi = \"keycloak\"\nurls = [\"a\", \"b\"]\nport = 636\n\
                       base = \"OU=Staff,DC=x\"\nparameters = { realm = \"staff\", b = 2 }\n";
        assert_eq!(more, FILE.replace("\n[admin]", &format!("\n{section}\n[admin]")));
        let less = without_target("passline.toml".as_ref(), &more, "sso").expect("removed");
        assert_eq!(less, FILE);
    }

    #[test]
    fn the_first_target_can_be_added() {
        let more = add("data = \"var\"\n", "sso", &[]).expect("added");
        assert_eq!(more, "data = \"var\"\n\n[[target]]\nname = \"sso\"\nkind = \"rest\"\n");
    }

    #[test]
    fn what_cannot_be_is_told() {
        assert!(matches!(add(FILE, "directory", &[]), Err(EditError::Exists(_))));
        for setting in ["url", "=x", "a b=c", "a.b.c=d", "name=b", "kind=ldap"] {
            assert!(
                matches!(add(FILE, "sso", &[setting]), Err(EditError::Setting(_))),
                "{setting}"
            );
        }
        assert!(matches!(add("not = = toml", "sso", &[]), Err(EditError::Toml { .. })));
        let missing = without_target("passline.toml".as_ref(), FILE, "sso");
        assert!(matches!(missing, Err(EditError::Missing(_))));
    }

    #[test]
    fn a_file_keeps_its_rights() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("passline.toml");
        std::fs::write(&path, FILE).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
        write(&path, "data = \"x\"\n").expect("written");
        assert_eq!(read(&path).expect("read"), "data = \"x\"\n");
        assert_eq!(
            std::fs::metadata(&path).expect("a file").permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
    }
}
