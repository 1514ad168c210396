//! The command line: one file per command. Errors are told in plain words on standard error; the exit code is 0 for
//! success, 1 for a failure or a finding, 2 for a command that was typed wrong.

#![allow(
    rustdoc::broken_intra_doc_links,
    reason = "comments of arguments are help for a terminal, where brackets are not links"
)]

mod api;
mod api_call;
mod audit;
mod call;
mod call_records;
mod calls;
mod check;
mod completion;
mod demo;
mod dialplan;
mod keys;
mod output;
mod prompts;
mod serve;
mod simulate;
mod sync;
mod target;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::app::backstage;
use crate::checked_toml::Mistake;
use crate::config::{self, Config};
use crate::store::{self, Place, Store};

/// A telephone line where people reset a forgotten password themselves.
///
/// Passline answers SIP calls, asks who is calling, checks touch-tone answers, reads out a new password and resets it
/// on the systems where it lives.
///
/// New here? `passline demo` places a real call on this machine and shows all of it.
/// Setting up? Write passline.toml, run `passline check`, then `passline serve`.
#[derive(Debug, Parser)]
#[command(
    name = "passline",
    version,
    propagate_version = true,
    arg_required_else_help = true,
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Args),
    Serve(serve::Args),
    Check(check::Args),
    Call(call::Args),
    Calls(calls::Args),
    /// Check, draw and try out call flows.
    #[command(subcommand)]
    Dialplan(dialplan::Command),
    /// Render and check the recorded prompts.
    #[command(subcommand)]
    Prompts(prompts::Command),
    /// Load, show, unlock and enrol people.
    User(user::Args),
    Sync(sync::Args),
    Target(target::Args),
    Keys(keys::Args),
    /// Users of the web API, its description, and a walk through its calls.
    #[command(subcommand)]
    Api(api::Command),
    /// Verify the audit log.
    #[command(subcommand)]
    Audit(audit::Command),
    Completion(completion::CompletionArgs),
    Man(completion::ManArgs),
}

/// Where the configuration is; shared by the commands that need it.
#[derive(Debug, clap::Args)]
struct ConfigArgs {
    /// The configuration file.
    #[arg(
        short,
        long,
        global = true,
        value_name = "FILE",
        default_value = "passline.toml",
        env = "PASSLINE_CONFIG"
    )]
    config: PathBuf,
}

/// Reads the configuration, or tells every mistake in it.
fn load_config(args: &ConfigArgs) -> anyhow::Result<Config> {
    config::load(&args.config).map_err(|mistakes| told(&mistakes, "the configuration has"))
}

fn told(mistakes: &[Mistake], what: &str) -> anyhow::Error {
    let list: Vec<String> = mistakes.iter().map(|mistake| format!("  {mistake}")).collect();
    let count = output::counted(mistakes.len(), "mistake");
    anyhow::anyhow!("{what} {count}:\n{}", list.join("\n"))
}

/// Opens the database of the configuration, or a copy in a file, to look only.
async fn look_into(args: &ConfigArgs, copy: Option<&PathBuf>) -> anyhow::Result<Store> {
    let database = match copy {
        Some(file) => store::Config::new(file),
        None => backstage::database(&load_config(args)?).await?,
    };
    if let Place::File(file) = &database.place {
        anyhow::ensure!(file.exists(), "there is no database {}", file.display());
    }
    Store::open_read_only(&database)
        .await
        .with_context(|| format!("cannot open the database {}", database.place))
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Runs the command that was typed and gives the exit code.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Demo(args) => demo::run(&args),
        Command::Serve(args) => serve::run(&args),
        Command::Check(args) => check::run(&args),
        Command::Call(args) => call::run(&args),
        Command::Calls(args) => calls::run(&args),
        Command::Dialplan(command) => dialplan::run(&command),
        Command::Prompts(command) => prompts::run(&command),
        Command::User(args) => user::run(&args),
        Command::Sync(args) => sync::run(&args),
        Command::Target(args) => target::run(&args),
        Command::Keys(args) => keys::run(&args),
        Command::Api(command) => api::run(&command),
        Command::Audit(command) => audit::run(&command),
        Command::Completion(args) => completion::completion(&args),
        Command::Man(args) => completion::man(&args),
    };
    result.unwrap_or_else(|error| {
        output::error(&error);
        ExitCode::FAILURE
    })
}
