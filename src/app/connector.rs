//! The connector of each configured target system.

use std::sync::Arc;

use anyhow::Context as _;

use crate::config::{TargetConfig, TargetKind};
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
