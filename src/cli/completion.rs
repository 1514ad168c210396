//! `passline completion` and `passline man`: made from the same definitions as `--help`, so they cannot be out of date.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;

use super::{Cli, output};

/// Print a completion script for a shell.
///
/// For bash: passline completion bash > /etc/bash_completion.d/passline
///
/// For zsh, in a folder of $fpath: passline completion zsh > _passline
#[derive(Debug, clap::Args)]
pub(super) struct CompletionArgs {
    /// The shell.
    shell: clap_complete::Shell,
}

/// Write the man pages into a folder.
///
/// For example: passline man /usr/local/share/man/man1
#[derive(Debug, clap::Args)]
pub(super) struct ManArgs {
    /// The folder; it must be there.
    folder: PathBuf,
}

pub(super) fn completion(args: &CompletionArgs) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "passline", &mut script);
    output::bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(args: &ManArgs) -> anyhow::Result<ExitCode> {
    clap_mangen::generate_to(Cli::command(), &args.folder)
        .map_err(|error| anyhow::anyhow!("cannot write man pages to {}: {error}", args.folder.display()))?;
    Ok(ExitCode::SUCCESS)
}
