//! The connector of each configured target system, and of each source of people.

use std::sync::Arc;

use anyhow::Context as _;

use crate::config::{SourceConfig, SourcePlace, TargetConfig, TargetKind};
use crate::integration::source::Source;
use crate::integration::source::accounts::Accounts;
use crate::integration::source::directory::PeopleDirectory;
use crate::integration::source::file::PeopleFile;
use crate::integration::target::Target;
use crate::integration::target::command::Command;
use crate::integration::target::embedded::Directories;
use crate::integration::target::ldap::{ActiveDirectory, Directory};
use crate::integration::target::rest::Rest;
use crate::integration::target::sql::{Mysql, Postgresql};
use crate::integration::target::ssh::SshHost;
use crate::secret::Secret;

/// Connects nothing yet.
pub(super) fn of(
    target: &TargetConfig,
    credential: Option<Secret>,
    directories: &Directories,
) -> anyhow::Result<Arc<dyn Target>> {
    let named = || format!("target {}", target.name);
    Ok(match &target.kind {
        TargetKind::Embedded(rules) => Arc::new(directories.target(&target.name, rules.clone())),
        TargetKind::ActiveDirectory(config) => {
            Arc::new(ActiveDirectory::new(config.clone(), credential).with_context(named)?)
        }
        TargetKind::Ldap(config) => Arc::new(Directory::new(config.clone(), credential).with_context(named)?),
        TargetKind::Rest(config) => Arc::new(Rest::new((**config).clone(), credential).with_context(named)?),
        TargetKind::Command(config) => Arc::new(Command::new(config.clone(), credential)),
        TargetKind::Ssh(config) => Arc::new(SshHost::new(config.clone(), credential)),
        TargetKind::Postgresql(config) => Arc::new(Postgresql::new(config.clone(), credential).with_context(named)?),
        TargetKind::Mysql(config) => Arc::new(Mysql::new(config.clone(), credential).with_context(named)?),
    })
}

/// Connects nothing yet. `credential` is that of the target which a directory is as well.
pub(super) fn of_source(
    source: &SourceConfig,
    credential: Option<Secret>,
    targets: &[Arc<dyn Target>],
) -> anyhow::Result<Arc<dyn Source>> {
    Ok(match &source.place {
        SourcePlace::Directory { query, .. } => {
            let directory = PeopleDirectory::new(query.clone(), credential);
            Arc::new(directory.with_context(|| format!("source {}", source.name))?)
        }
        SourcePlace::File(config) => Arc::new(PeopleFile::new(config.clone())),
        SourcePlace::Accounts { target } => {
            let found = targets.iter().find(|known| known.name() == target);
            let found = found.with_context(|| format!("source {}: there is no target {target}", source.name))?;
            anyhow::ensure!(
                found.capabilities().list_accounts,
                "source {}: {target} does not list its accounts",
                source.name
            );
            Arc::new(Accounts::new(source.name.clone(), found.clone()))
        }
    })
}
