//! What stands behind the doors: database, peppers, targets and services, put together from a configuration.

use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use super::connector;
use crate::call::{Label, Labels};
use crate::config::{Config, DatabaseSection, KeysSection, TargetConfig, TargetKind};
use crate::identity::event::{Actor, Door, Origin};
use crate::identity::policy::WordList;
use crate::integration::target::embedded::Directories;
use crate::integration::target::{Refusal, Target, TargetError};
use crate::secret::Secret;
use crate::service::key_source::KeySource;
use crate::service::pepper;
use crate::service::vault::Vault;
use crate::service::{Entropy, Parts, Services};
use crate::store::{self, ServerConfig, Store};
use crate::time::{Clock, SystemClock};

/// The environment variable that holds the peppers instead of a file.
pub const PEPPER_VARIABLE: &str = "PASSLINE_PEPPER";

/// The environment variable that holds the keys of credentials instead of a file.
pub const KEYS_VARIABLE: &str = "PASSLINE_KEYS";

/// Database, targets and services.
pub struct Backstage {
    /// What the doors hold.
    pub services: Services,
    /// The database, for offline checks.
    pub store: Store,
    /// The embedded directory, for demonstrations that look at it from outside.
    pub directories: Directories,
    /// The target systems, in the order of the configuration.
    pub targets: Vec<Arc<dyn Target>>,
    /// The credentials of target systems.
    pub vault: Vault,
    /// How systems are called in speech.
    pub labels: Labels,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
}

/// The environment variable that holds the password for the database server.
pub const DATABASE_PASSWORD_VARIABLE: &str = "PASSLINE_DATABASE_PASSWORD";

/// Where the database is.
///
/// # Errors
/// When the file of its password cannot be read.
pub async fn database(config: &Config) -> anyhow::Result<store::Config> {
    let Some(section) = &config.database else {
        return Ok(store::Config::new(config.data.join("passline.db")));
    };
    let server = ServerConfig {
        password: database_password(section).await?,
        ..section.server.clone()
    };
    Ok(store::Config {
        max_connections: section.connections,
        ..store::Config::on(server)
    })
}

async fn database_password(section: &DatabaseSection) -> anyhow::Result<Option<Secret>> {
    if let Ok(text) = std::env::var(DATABASE_PASSWORD_VARIABLE) {
        return Ok(Some(text.into()));
    }
    let Some(file) = &section.password_file else {
        return Ok(None);
    };
    let text = KeySource::File(file.clone()).read().await;
    let text = text.context("cannot read the password for the database")?;
    let text =
        text.with_context(|| format!("there is no file {} with the password for the database", file.display()))?;
    Ok(Some(Secret::new(
        text.expose().trim_end_matches(['\r', '\n']).to_owned(),
    )))
}

/// Opens everything, and finds out what became of renewals of credentials that were cut off: for whoever will sign in on
/// target systems.
///
/// # Errors
/// As [`open`].
pub async fn open_settled(config: &Config) -> anyhow::Result<Backstage> {
    let backstage = open(config).await?;
    if settle_renewals(&backstage).await? {
        // With what is known now.
        return open(config).await;
    }
    Ok(backstage)
}

/// Where the renewal of a credential was interrupted, asks the target which one holds. `true` when that is another one than
/// was believed.
async fn settle_renewals(backstage: &Backstage) -> anyhow::Result<bool> {
    let origin = Origin {
        door: Door::System,
        actor: Actor::System,
        session: None,
        user: None,
    };
    let mut settled = false;
    for name in backstage.vault.unsettled().await? {
        match backstage
            .services
            .settle_renewal(&backstage.vault, &origin, &name)
            .await
        {
            Ok(true) => settled = true,
            Ok(false) => tracing::warn!(target.name = %name,
                "a renewal of our password there is not finished; run `passline target credential --renew` again"),
            Err(error) => tracing::error!(target.name = %name, %error, "a renewal of our password cannot be finished"),
        }
    }
    Ok(settled)
}

/// Opens everything. Creates the folder of data, private to this user, if it is not there.
///
/// # Errors
/// Says which file or setting is in the way.
pub async fn open(config: &Config) -> anyhow::Result<Backstage> {
    create_private(&config.data)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let database = database(config).await?;
    let store = Store::open(&database)
        .await
        .with_context(|| format!("cannot open the database {}", database.place))?;
    let source = pepper_source(config);
    let peppers = pepper::load(&source, &store, &mut rand::make_rng::<rand::rngs::StdRng>()).await?;
    let directory_file = config.data.join("directory.db");
    let directories = Directories::open(&directory_file, Arc::clone(&clock))
        .await
        .with_context(|| directory_file.display().to_string())?;
    let vault = Vault::new(store.clone(), keys_source(config));
    let credentials = match config.targets.iter().any(|target| target.kind.signs_in_as().is_some()) {
        true => vault.open().await?,
        false => Default::default(),
    };
    let mut targets = Vec::with_capacity(config.targets.len());
    for target in &config.targets {
        let credential = match credentials.get(&target.name) {
            Some(Ok(credential)) => Some(credential.clone()),
            Some(Err(error)) => {
                tracing::error!(target.name = %target.name, %error, "the password for a target cannot be read");
                None
            }
            None => None,
        };
        if credential.is_none() && target.kind.signs_in_as().is_some() {
            tracing::warn!(target.name = %target.name,
                "no password is kept for a target; enter it with `passline target credential`");
        }
        targets.push(connector::of(target, credential, &directories)?);
    }
    let services = Services::new(Parts {
        store: store.clone(),
        targets: targets.clone(),
        config: config.services.clone(),
        clock: Arc::clone(&clock),
        peppers,
        dictionary: Arc::new(dictionary(config)),
        entropy: Entropy::from_system(),
    })?;
    for question in &config.questions {
        services.add_question(question.clone()).await?;
    }
    let labels = config.targets.iter().map(|target| {
        let label = Label {
            prompt: target.prompt.clone(),
            text: target.label.clone(),
        };
        (target.name.clone(), label)
    });
    Ok(Backstage {
        services,
        store,
        directories,
        targets,
        vault,
        labels: labels.collect(),
        clock,
    })
}

/// Gives people the accounts in embedded directories that they do not have yet, each with a password that nobody knows
/// until the first reset. Other systems have admins of their own for that. Returns how many are new.
///
/// # Errors
/// When the database or the directory fails.
pub async fn open_accounts(
    services: &Services,
    directories: &Directories,
    targets: &[TargetConfig],
) -> anyhow::Result<usize> {
    const PAGE: u32 = 500;
    let (mut after, mut opened) = (None, 0);
    loop {
        let page = services.list_users(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { return Ok(opened) };
        after = Some(last.login.clone());
        for user in &page {
            for account in services.show_user(&user.login).await?.accounts {
                let Some(target) = targets.iter().find(|target| target.name == account.target) else {
                    continue;
                };
                let TargetKind::Embedded(rules) = &target.kind else {
                    continue;
                };
                let directory = directories.target(&target.name, rules.clone());
                if let Err(TargetError::Refused {
                    refusal: Refusal::NoSuchAccount,
                    ..
                }) = directory.state(&account.name).await
                {
                    let unknown = Secret::new(format!("{:032x}", rand::random::<u128>()));
                    directory.create(&account.name, &unknown).await?;
                    opened += 1;
                }
            }
        }
    }
}

/// The command line as the source of a change.
#[must_use]
pub fn command_line() -> Origin {
    // Whoever runs a command is known by their login on this machine, as far as it tells.
    let login = ["SUDO_USER", "LOGNAME", "USER"]
        .iter()
        .find_map(|name| std::env::var(name).ok());
    Origin {
        door: Door::Cli,
        actor: Actor::Staff {
            login: login.unwrap_or_else(|| "unknown".to_owned()),
        },
        session: None,
        user: None,
    }
}

fn dictionary(config: &Config) -> WordList {
    let mut words = WordList::common();
    words.add(WordList::lines(&config.dictionary));
    words
}

fn pepper_source(config: &Config) -> KeySource {
    match std::env::var(PEPPER_VARIABLE) {
        Ok(text) => KeySource::Text(text.into()),
        Err(_) => KeySource::File(config.data.join("pepper")),
    }
}

fn keys_source(config: &Config) -> KeySource {
    match (std::env::var(KEYS_VARIABLE), &config.keys) {
        (Ok(text), _) => KeySource::Text(text.into()),
        (Err(_), KeysSection::Program(words)) => KeySource::Program(words.clone()),
        (Err(_), KeysSection::File(Some(file))) => KeySource::File(file.clone()),
        (Err(_), KeysSection::File(None)) => KeySource::File(config.data.join("keys")),
    }
}

/// Creates a folder that only this user can look into, if it is not there.
pub(super) fn create_private(folder: &Path) -> anyhow::Result<()> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .with_context(|| format!("cannot create the folder {}", folder.display()))
}
