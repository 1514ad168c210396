//! `passline audit`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;

use super::{ConfigArgs, output, runtime};
use crate::identity::audit::Head;
use crate::service::audit::{self, AuditError};

/// Look after the audit log.
#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Verify that nothing was changed, removed or inserted, and print the head of the chain.
    ///
    /// Each link holds the hash of the one before. Only what was cut off at the end cannot be seen that way: note the
    /// head that is printed somewhere else, and give it as --anchor the next time.
    Verify(VerifyArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct VerifyArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A copy of the database, instead of the one in the configuration.
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// A head that was printed by an earlier run; may be given several times.
    #[arg(long, value_name = "HEAD")]
    anchor: Vec<String>,
    /// One JSON object, for scripts.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let Command::Verify(args) = command;
    runtime()?.block_on(verify(args))
}

async fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let anchors = args.anchor.iter().map(|text| {
        text.parse::<Head>()
            .with_context(|| format!("{text:?} is no head; it is printed by `passline audit verify`"))
    });
    let anchors: Vec<Head> = anchors.collect::<Result<_, _>>()?;
    let store = super::look_into(&args.config, args.database.as_ref()).await?;
    let result = audit::verify(&store, anchors, |sequence| {
        output::progress(format_args!("{sequence} links"))
    })
    .await;
    output::progress_done();
    match result {
        Ok(report) if args.json => {
            output::json(&serde_json::json!({ "intact": true, "head": report.head.to_string() }))?;
            Ok(ExitCode::SUCCESS)
        }
        Ok(report) => {
            output::line(format_args!("the audit log is whole; its head is {}", report.head));
            Ok(ExitCode::SUCCESS)
        }
        Err(AuditError::Broken(broken)) if args.json => {
            output::json(&serde_json::json!({ "intact": false, "problem": broken.to_string() }))?;
            Ok(ExitCode::FAILURE)
        }
        Err(error) => Err(error.into()),
    }
}
