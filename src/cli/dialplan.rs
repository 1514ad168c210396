//! `passline dialplan`: flows without a telephone.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;

use super::{output, runtime, simulate};
use crate::app::flows::{self, Checked};
use crate::dialplan::{Flow, PromptIndex};
use crate::speech::catalog::{self, Depth};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Check flows: unknown steps, operations and prompts, missing outcomes, unreachable steps, loops without a way out.
    ///
    /// Every mistake is told with file, line and remedy.
    Check(CheckArgs),
    /// Draw a flow as a picture, on standard output.
    ///
    /// For example: passline dialplan graph dialplans/reset.toml > reset.svg
    Graph(GraphArgs),
    Simulate(simulate::Args),
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// Flow files, such as dialplans/*.toml.
    #[arg(required = true)]
    files: Vec<PathBuf>,
    #[command(flatten)]
    prompts: PromptArgs,
    /// One JSON list of findings, for scripts.
    #[arg(long)]
    json: bool,
}

/// Where the prompts are that a flow may name.
#[derive(Debug, clap::Args)]
struct PromptArgs {
    /// The folder of prompts that flows may name.
    #[arg(long, value_name = "FOLDER", default_value = "prompts")]
    prompts: PathBuf,
}

#[derive(Debug, clap::Args)]
pub(super) struct GraphArgs {
    /// The flow file.
    file: PathBuf,
    #[command(flatten)]
    prompts: PromptArgs,
    /// How it is drawn.
    #[arg(long, value_enum, default_value_t = Format::Svg)]
    format: Format,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    /// A picture for browsers and documents.
    Svg,
    /// Text for graphviz.
    Dot,
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Check(args) => check(args),
        Command::Graph(args) => graph(args),
        Command::Simulate(args) => runtime()?.block_on(simulate::run(args)),
    }
}

fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let prompts = args.prompts.index()?;
    let checked: Vec<Checked> = args
        .files
        .iter()
        .map(|file| flows::check_file(file, &prompts))
        .collect::<Result<_, _>>()?;
    let errors: usize = checked.iter().map(|checked| checked.report.error_count()).sum();
    let warnings: usize = checked.iter().map(|checked| checked.report.warning_count()).sum();
    if args.json {
        let findings: Vec<_> = checked.iter().flat_map(|checked| &checked.report.findings).collect();
        output::json(&findings)?;
    } else {
        for checked in &checked {
            output::text(&checked.report);
        }
        output::line(format_args!(
            "{}, {}, {}",
            output::counted(checked.len(), "flow"),
            output::counted(errors, "error"),
            output::counted(warnings, "warning")
        ));
    }
    Ok(if errors == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn graph(args: &GraphArgs) -> anyhow::Result<ExitCode> {
    let flow = flow(&args.file, &args.prompts.index()?)?;
    output::line(match args.format {
        Format::Svg => flow.to_svg(),
        Format::Dot => flow.to_dot(),
    });
    Ok(ExitCode::SUCCESS)
}

/// A flow that passed the check, or its mistakes.
pub(super) fn flow(file: &Path, prompts: &PromptIndex) -> anyhow::Result<Flow> {
    let checked = flows::check_file(file, prompts)?;
    checked
        .flow
        .with_context(|| format!("the flow has mistakes:\n{}", checked.report))
}

impl PromptArgs {
    /// The prompts in the folder, without reading their audio closely. What is wrong with them is told by `prompts check`.
    fn index(&self) -> anyhow::Result<PromptIndex> {
        let folder = &self.prompts;
        anyhow::ensure!(
            folder.is_dir(),
            "there is no folder {}; name it with --prompts FOLDER",
            folder.display()
        );
        Ok(flows::prompt_index(
            &catalog::load(folder, Depth::Load, &|_| true).catalog,
        ))
    }
}
