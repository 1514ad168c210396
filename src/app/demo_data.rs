//! People and systems for demonstrations: written as the files that an admin would write (`demo/`), then read like any
//! other configuration.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use tempfile::TempDir;

use super::backstage::{Backstage, command_line};
use crate::config::{self, Config, TargetKind};
use crate::secret::Secret;
use crate::service::ImportProgress;

const CONFIGURATION: &str = include_str!("../../demo/passline.toml");
const TRUNK: &str = include_str!("../../demo/trunk.toml");
const PEOPLE: &str = include_str!("../../demo/people.csv");

/// Somebody who can call.
#[derive(Clone, Debug)]
pub struct Person {
    /// Login.
    pub login: String,
    /// Full name.
    pub name: String,
    /// Employee number.
    pub number: String,
    /// Second number, for those who share their keypad digits.
    pub second: String,
    /// Accounts: target and name.
    pub accounts: Vec<(String, String)>,
    /// Questions (prompt or text) and answers. Made up, and printed by the demo: no secrets.
    pub answers: Vec<(String, String)>,
}

/// Everybody who can call, in the order of the file.
///
/// # Errors
/// Never with the file as it is shipped.
pub fn people() -> anyhow::Result<Vec<Person>> {
    let mut reader = csv::Reader::from_reader(PEOPLE.as_bytes());
    let headers = reader.headers()?.clone();
    let mut people = Vec::new();
    for record in reader.records() {
        let record = record?;
        let field = |name: &str| {
            headers
                .iter()
                .position(|header| header == name)
                .and_then(|index| record.get(index))
        };
        let with_prefix = |prefix: &str| {
            let fields = headers.iter().zip(&record).filter(|(_, value)| !value.is_empty());
            fields
                .filter_map(|(header, value)| Some((header.strip_prefix(prefix)?.to_owned(), value.to_owned())))
                .collect()
        };
        let text = |name: &str| field(name).unwrap_or_default().to_owned();
        people.push(Person {
            login: text("login"),
            name: text("name"),
            number: text("employee_number"),
            second: text("discriminator"),
            accounts: with_prefix("account."),
            answers: with_prefix("answer."),
        });
    }
    Ok(people)
}

/// The password that an account of the demo has before anybody calls.
#[must_use]
pub fn old_password(account: &str) -> Secret {
    Secret::new(format!("Forgotten-{account}-1"))
}

/// A folder with a configuration, trunks and data; removed when dropped.
pub struct Folder(TempDir);

impl Folder {
    /// Writes the files. `listen` are the SIP addresses, `networks` who may call.
    ///
    /// # Errors
    /// When the folder cannot be written, or prompts and flows are nowhere to be found.
    pub fn create(listen: &[SocketAddr], networks: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("passline-demo-")
            .tempdir()
            .context("cannot create a folder for the demo")?;
        let quoted = |items: Vec<String>| {
            items
                .iter()
                .map(|item| format!("\"{item}\""))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let addresses = listen
            .iter()
            .flat_map(|address| [format!("udp:{address}"), format!("tcp:{address}")])
            .collect();
        let configuration = CONFIGURATION
            .replace("{listen}", &quoted(addresses))
            .replace("{prompts}", &shared("prompts")?.to_string_lossy())
            .replace("{dialplans}", &shared("dialplans")?.to_string_lossy());
        let networks: Vec<String> = networks.iter().map(|&network| network.to_owned()).collect();
        let trunk = TRUNK
            .replace("{who}", &networks.join(" and "))
            .replace("{networks}", &quoted(networks));
        std::fs::write(folder.path().join("passline.toml"), configuration)?;
        std::fs::create_dir(folder.path().join("trunks"))?;
        std::fs::write(folder.path().join("trunks/demo.toml"), trunk)?;
        std::fs::write(folder.path().join("people.csv"), PEOPLE)?;
        Ok(Self(folder))
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Its configuration.
    ///
    /// # Errors
    /// Never with the files as they are shipped.
    pub fn config(&self) -> anyhow::Result<Config> {
        config::load(&self.path().join("passline.toml")).map_err(|mistakes| {
            let list: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            anyhow::anyhow!("the configuration of the demo has mistakes: {}", list.join("; "))
        })
    }
}

/// Imports the people and gives each account its old password.
///
/// # Errors
/// When the data cannot be written.
pub async fn load(backstage: &Backstage, config: &Config) -> anyhow::Result<()> {
    let report = backstage
        .services
        .import_users(&command_line(), PEOPLE.as_bytes(), |_: &ImportProgress| {})
        .await?;
    anyhow::ensure!(
        report.mistakes.is_empty(),
        "the people of the demo have mistakes: {:?}",
        report.mistakes
    );
    for person in people()? {
        for (target, account) in &person.accounts {
            let target = config
                .targets
                .iter()
                .find(|known| known.name == *target)
                .context("an account on no target")?;
            let TargetKind::Embedded(rules) = &target.kind else {
                continue;
            };
            let directory = backstage.directories.target(&target.name, rules.clone());
            directory.create(account, &old_password(account)).await?;
        }
    }
    Ok(())
}

/// A folder that comes with the program: beside the working folder, beside the program, or where packages put it.
fn shared(name: &str) -> anyhow::Result<PathBuf> {
    let beside_program = std::env::current_exe()
        .ok()
        .and_then(|program| Some(program.parent()?.join("../..")));
    let roots = [
        Some(PathBuf::from(".")),
        beside_program,
        Some(PathBuf::from("/usr/share/passline")),
    ];
    let found = roots
        .into_iter()
        .flatten()
        .map(|root| root.join(name))
        .find(|folder| folder.is_dir());
    let found =
        found.with_context(|| format!("there is no folder {name}; run the demo in the folder of the sources"))?;
    Ok(found.canonicalize()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn somebody_has_a_recorded_and_a_spoken_question() {
        let people = people().expect("the shipped file is good");
        assert_eq!(people[0].number, "4711");
        assert_eq!(people[0].accounts.len(), 3);
        assert!(
            people[0]
                .answers
                .iter()
                .any(|(question, _)| question == "question.start_year")
        );
        assert!(people[0].answers.iter().any(|(question, _)| question.ends_with('?')));
    }
}
