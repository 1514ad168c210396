//! Reading sources of people, when it is time and when somebody asks for it.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::backstage::{self, Backstage};
use super::connector;
use crate::config::{Config, SourceConfig, SourcePlace, TargetConfig, TargetKind};
use crate::identity::event::{Actor, Door, Origin};
use crate::integration::source::Source;
use crate::integration::target::Target;
use crate::integration::target::embedded::Directories;
use crate::service::vault::Vault;
use crate::service::{ServiceError, Services, SyncCounts, SyncError, SyncOptions, SyncReport};

/// How often it is looked whether a source is due. A table of a few rows is asked.
const LOOK: Duration = Duration::from_secs(5);

/// Reads a source, and opens the accounts in embedded directories that are new.
///
/// # Errors
/// When the source or the database fails, or there is no such source.
pub async fn run(
    backstage: &Backstage,
    config: &Config,
    name: &str,
    options: SyncOptions,
    progress: impl FnMut(&SyncCounts) + Send,
) -> anyhow::Result<SyncReport> {
    let known = || {
        config
            .sources
            .iter()
            .map(|source| source.name.as_str())
            .collect::<Vec<_>>()
            .join(", ")
    };
    let settings = config
        .sources
        .iter()
        .find(|settings| settings.name == name)
        .with_context(|| {
            format!(
                "there is no source {name:?} in the configuration; there are: {}",
                known()
            )
        })?;
    if !options.dry_run {
        retire_others(&backstage.services, config).await?;
    }
    let source = connected(settings, &backstage.vault, &backstage.targets).await?;
    let origin = backstage::command_line();
    let report = backstage
        .services
        .sync(&origin, source.as_ref(), &settings.rules, options, progress)
        .await?;
    if !options.dry_run && opens_accounts(settings, &config.targets) {
        backstage::open_accounts(&backstage.services, &backstage.directories, &config.targets).await?;
    }
    Ok(report)
}

/// Has only the sources of the configuration decide about people; the others by name.
///
/// # Errors
/// When the database fails.
pub async fn retire_others(services: &Services, config: &Config) -> Result<Vec<String>, ServiceError> {
    let names: Vec<&str> = config.sources.iter().map(|source| source.name.as_str()).collect();
    services.retire_other_sources(&names).await
}

/// Whether people of this source getaccounts in an embedded directory.
fn opens_accounts(source: &SourceConfig, targets: &[TargetConfig]) -> bool {
    source.rules.mapping.accounts.iter().any(|(name, _)| {
        let target = targets.iter().find(|target| target.name == *name);
        target.is_some_and(|target| matches!(target.kind, TargetKind::Embedded(_)))
    })
}

/// The source as it is now: a directory is signed in to as its target, whose password may have been renewed.
async fn connected(
    settings: &SourceConfig,
    vault: &Vault,
    targets: &[Arc<dyn Target>],
) -> anyhow::Result<Arc<dyn Source>> {
    let credential = match &settings.place {
        SourcePlace::Directory { target, .. } => match vault.open().await?.remove(target) {
            Some(opened) => Some(opened.with_context(|| format!("the password for {target} cannot be read"))?),
            None => None,
        },
        SourcePlace::File(_) | SourcePlace::Accounts { .. } => None,
    };
    connector::of_source(settings, credential, targets)
}

/// The sources of a configuration, for reading them as long as the program runs.
pub(super) struct Schedule {
    sources: Vec<SourceConfig>,
    targets: Vec<TargetConfig>,
    connectors: Vec<Arc<dyn Target>>,
    services: Services,
    vault: Vault,
    directories: Directories,
}

impl Schedule {
    /// # Errors
    /// When a source can never be read, as the accounts of a system that does not list them.
    pub(super) fn new(backstage: &Backstage, config: &Config) -> anyhow::Result<Self> {
        for settings in &config.sources {
            // A password that cannot be read is told when it is needed, as that of a target is.
            connector::of_source(settings, None, &backstage.targets)?;
        }
        Ok(Self {
            sources: config.sources.clone(),
            targets: config.targets.clone(),
            connectors: backstage.targets.clone(),
            services: backstage.services.clone(),
            vault: backstage.vault.clone(),
            directories: backstage.directories.clone(),
        })
    }

    /// Reads each source when it is due, one at a time, until `stop`. What was written before the stop stays.
    pub(super) async fn follow(self, stop: CancellationToken) {
        if self.sources.is_empty() {
            return;
        }
        let names: Vec<&str> = self.sources.iter().map(|settings| settings.name.as_str()).collect();
        match self.services.retire_other_sources(&names).await {
            Ok(retired) if retired.is_empty() => {}
            Ok(retired) => tracing::warn!(
                ?retired,
                "sources that are not configured decide about nobody; \
                 `passline sync forget` removes who is here by them alone"
            ),
            Err(error) => tracing::warn!(%error, "cannot look for sources that are not configured any more"),
        }
        let work = async {
            let mut look = interval(LOOK);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                look.tick().await;
                for settings in &self.sources {
                    self.read_if_due(settings).await;
                }
            }
        };
        stop.run_until_cancelled(work).await;
        if let Err(error) = self.services.abandon_runs().await {
            tracing::debug!(%error, "sources stay kept for this process for some minutes");
        }
    }

    async fn read_if_due(&self, settings: &SourceConfig) {
        let name = &settings.name;
        match self.services.is_sync_due(name, &settings.rules).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => return tracing::warn!(source = %name, %error, "cannot ask whether a source is due"),
        }
        let origin = Origin {
            door: Door::System,
            actor: Actor::System,
            session: None,
            user: None,
        };
        let source = match connected(settings, &self.vault, &self.connectors).await {
            Ok(source) => source,
            Err(error) => return tracing::warn!(source = %name, "cannot open a source: {error:#}"),
        };
        let (rules, source) = (&settings.rules, source.as_ref());
        let read = async || {
            self.services
                .sync(&origin, source, rules, SyncOptions::default(), |_| {})
                .await
        };
        let read = match read().await {
            // Another server of the source may be better.
            Err(SyncError::Source(error)) if error.elsewhere => {
                tracing::info!(source = %name, %error, "people could not be loaded; tried once more");
                read().await
            }
            read => read,
        };
        match read {
            Ok(report) => {
                told(name, &report);
                self.open_accounts(settings, &report).await;
            }
            // Another node was first.
            Err(SyncError::Busy { .. }) => {}
            Err(error) => {
                tracing::warn!(source = %name, %error, "people could not be loaded; tried again when it is due")
            }
        }
    }
}

impl Schedule {
    async fn open_accounts(&self, settings: &SourceConfig, report: &SyncReport) {
        let counts = &report.counts;
        if counts.created + counts.linked + counts.changed == 0 || !opens_accounts(settings, &self.targets) {
            return;
        }
        if let Err(error) = backstage::open_accounts(&self.services, &self.directories, &self.targets).await {
            tracing::warn!(source = %settings.name, %error, "cannot open accounts in an embedded directory");
        }
    }
}

/// Numbers only: who they are stays in the database.
fn told(name: &str, report: &SyncReport) {
    let counts = &report.counts;
    tracing::info!(source = %name, full = report.full, read = counts.read, created = counts.created,
        linked = counts.linked, changed = counts.changed, removed = counts.removed, refused = counts.refused,
        "people were loaded");
    if report.held > 0 {
        tracing::error!(source = %name, missing = report.held, known = report.known,
            "so many people are missing that nobody was removed; see `passline sync run {name} --dry-run`, and let it \
             happen with `passline sync run {name} --remove`");
    }
    if report.elsewhere {
        tracing::info!(source = %name, "another server was read than the last time: nobody was removed or let in again");
    }
    if report.incomplete {
        tracing::warn!(source = %name, "part of the source could not be read, so nobody was removed");
    }
}
