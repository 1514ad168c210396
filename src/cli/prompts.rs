//! `passline prompts`: recordings and their texts.

use std::path::PathBuf;
use std::process::ExitCode;

use super::{output, runtime};
use crate::speech::Language;
use crate::speech::catalog::{self, Depth, Severity};
use crate::speech::render::{self, Scope};
use crate::speech::synthesizer::{self, Engines};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Make recordings of texts that are new or have changed.
    ///
    /// Texts are in prompts/LANGUAGE/prompts.toml. Recordings of your own are never overwritten.
    Render(RenderArgs),
    /// Check that every text has a recording that says it, at the right level, in every language.
    Check(CheckArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct RenderArgs {
    /// The folder of prompts.
    #[arg(long, value_name = "FOLDER", default_value = "prompts")]
    prompts: PathBuf,
    /// The language.
    #[arg(long, default_value = "en-US")]
    language: Language,
    /// Make all of them again, not only what has changed.
    #[arg(long)]
    all: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct CheckArgs {
    /// The folder of prompts.
    #[arg(long, value_name = "FOLDER", default_value = "prompts")]
    prompts: PathBuf,
    /// One JSON list of findings, for scripts.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Render(args) => runtime()?.block_on(render(args)),
        Command::Check(args) => check(args),
    }
}

async fn render(args: &RenderArgs) -> anyhow::Result<ExitCode> {
    let (engines, problems) = Engines::start(&synthesizer::Config::default());
    for problem in problems {
        output::note(problem);
    }
    let scope = if args.all { Scope::Everything } else { Scope::Changed };
    let engine = engines.for_language(&args.language)?;
    let report = render::render(&args.prompts, &args.language, engine.as_ref(), scope).await?;
    for finding in &report.findings {
        output::note(finding);
    }
    for id in &report.rendered {
        output::line(format_args!("rendered {id}"));
    }
    for file in &report.removed {
        output::line(format_args!("removed {}, which no text asks for", file.display()));
    }
    output::line(format_args!(
        "{} rendered, {} up to date, {} recordings of your own",
        report.rendered.len(),
        report.unchanged,
        report.own.len()
    ));
    let failed = report
        .findings
        .iter()
        .any(|finding| finding.severity == Severity::Error);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn check(args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let loaded = catalog::load(&args.prompts, Depth::Inspect, &|_| false);
    let count = |severity| {
        loaded
            .findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let (errors, warnings) = (count(Severity::Error), count(Severity::Warning));
    if args.json {
        let findings: Vec<_> = loaded
            .findings
            .iter()
            .map(|finding| {
                serde_json::json!({
                    "severity": format!("{:?}", finding.severity).to_lowercase(), "file": finding.file, "key": finding.key,
                    "problem": finding.problem, "remedy": finding.remedy,
                })
            })
            .collect();
        output::json(&findings)?;
    } else {
        for finding in &loaded.findings {
            output::line(finding);
        }
        let languages = loaded.catalog.languages().count();
        output::line(format_args!(
            "{}, {}, {}",
            output::counted(languages, "language"),
            output::counted(errors, "error"),
            output::counted(warnings, "warning")
        ));
    }
    Ok(if errors == 0 && warnings == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
