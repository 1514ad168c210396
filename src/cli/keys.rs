//! `passline keys`: what credentials of target systems are sealed with.

use std::process::ExitCode;

use super::{ConfigArgs, output, runtime};
use crate::app::backstage;

/// Look after the keys that passwords of target systems are encrypted with.
///
/// The keys are not in the database: they come from the file `keys` in the folder of data, or from where [keys] in the
/// configuration says. Keep a copy, but never beside a copy of the database.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Show which keys there are, and what is under each.
    Status {
        /// One JSON object, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Put every password under a new key; a running `passline serve` goes on undisturbed.
    ///
    /// A key is added to the file first. Where keys come from elsewhere, add one with a higher number there, then run this.
    /// The old key can be removed afterwards, once no backup of the database needs it.
    Rotate,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = super::load_config(&args.config)?;
    runtime()?.block_on(async {
        let backstage = backstage::open(&config).await?;
        match args.command {
            Command::Status { json } => {
                let status = backstage.vault.status().await?;
                if json {
                    let credentials: Vec<_> = status
                        .credentials
                        .iter()
                        .map(|c| serde_json::json!({ "target": c.target, "key": c.key, "problem": c.problem }))
                        .collect();
                    output::json(&serde_json::json!({ "keys": status.keys, "credentials": credentials }))?;
                    return Ok(ExitCode::SUCCESS);
                }
                let Some(current) = status.keys.last() else {
                    output::line("no keys yet; the first `passline target credential` makes one");
                    return Ok(ExitCode::SUCCESS);
                };
                for key in &status.keys {
                    let under = status.credentials.iter().filter(|credential| credential.key == *key);
                    let targets: Vec<&str> = under.map(|credential| credential.target.as_str()).collect();
                    let what = match (targets.is_empty(), key == current) {
                        (false, _) => targets.join(", "),
                        (true, true) => "nothing yet".to_owned(),
                        (true, false) => "nothing; it can be removed".to_owned(),
                    };
                    let mark = if key == current { " (current)" } else { "" };
                    output::line(format_args!("key {key}{mark}: {what}"));
                }
                let problems = status
                    .credentials
                    .iter()
                    .filter_map(|c| Some((&c.target, c.problem.as_ref()?)));
                let mut code = ExitCode::SUCCESS;
                for (target, problem) in problems {
                    output::line(format_args!("PROBLEM: {target}: {problem}"));
                    code = ExitCode::FAILURE;
                }
                Ok(code)
            }
            Command::Rotate => {
                let origin = backstage::command_line();
                let (key, count) = backstage.services.rotate_keys(&backstage.vault, &origin).await?;
                output::line(format_args!("{} under key {key}", output::counted(count, "password")));
                Ok(ExitCode::SUCCESS)
            }
        }
    })
}
