//! `passline sync`: loading people from where they are listed.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use super::{ConfigArgs, output, runtime};
use crate::app::backstage::{self, Backstage};
use crate::app::sources;
use crate::config::Config;
use crate::service::{SourceStatus, SyncCounts, SyncOptions, SyncReport};

/// Load people from directories, files and target systems.
///
/// Sources are [[source]] sections of the configuration file. `passline serve` reads each of them when it is due; these
/// commands tell how that goes, and do it now.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the sources: how many people of each are here, when it was read last, and what came of it.
    List {
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Read a source now. Start with --dry-run: it changes nothing and tells what would be changed.
    ///
    /// Reads what has changed since the last time, where the source can tell; else everything. People who are not there
    /// any more are disabled, unless they are more than `max_removals` in a hundred: then nobody is removed, and --remove
    /// lets it happen.
    ///
    /// A dry run does not see that two people who are both new are in each other's way.
    ///
    /// Exit code 1 if people were refused, or held.
    Run {
        /// The source; all of them, in the order of the configuration, if none is named.
        name: Option<String>,
        /// Read everything, also what has not changed.
        #[arg(long)]
        full: bool,
        /// Change nothing, and tell what would be changed.
        #[arg(long)]
        dry_run: bool,
        /// Remove people who are not there any more, however many they are.
        #[arg(long, requires = "name")]
        remove: bool,
        /// One JSON object for each source, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Forget a source that is not in the configuration any more: people who are here by it alone are disabled, and accounts
    /// that came from there are taken from them.
    Forget {
        /// Its name, as `passline sync list` has it.
        name: String,
    },
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = super::load_config(&args.config)?;
    if let Command::Run { .. } = &args.command {
        anyhow::ensure!(
            !config.sources.is_empty(),
            "there are no sources; add [[source]] to {}",
            args.config.config.display()
        );
    }
    runtime()?.block_on(async {
        let backstage = backstage::open_settled(&config).await?;
        match &args.command {
            Command::List { json } => list(&backstage, &config, *json).await,
            Command::Forget { name } => forget(&backstage, &config, name).await,
            Command::Run {
                name,
                full,
                dry_run,
                remove,
                json,
            } => {
                let options = SyncOptions {
                    full: *full,
                    dry_run: *dry_run,
                    remove: *remove,
                };
                let names: Vec<&str> = match name {
                    Some(name) => vec![name],
                    None => config.sources.iter().map(|source| source.name.as_str()).collect(),
                };
                let mut all_good = true;
                for name in names {
                    all_good &= read(&backstage, &config, name, options, *json).await?;
                }
                Ok(if all_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
        }
    })
}

async fn list(backstage: &Backstage, config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let mut rows = Vec::new();
    for source in &config.sources {
        let status = backstage.services.source_status(&source.name).await?;
        let at = |at: Option<crate::time::Timestamp>| at.map(|at| at.to_string());
        if json {
            output::json(&serde_json::json!({
                "name": source.name, "kind": source.place.kind(), "people": status.known, "begun": at(status.begun),
                "ended": at(status.ended), "full": at(status.full), "failure": status.failure, "held": status.held,
                "counts": status.counts,
            }))?;
            continue;
        }
        rows.push(vec![
            source.name.clone(),
            source.place.kind().to_owned(),
            status.known.to_string(),
            at(status.begun).unwrap_or_else(|| "never".to_owned()),
            result(&status),
        ]);
    }
    for name in sources::retire_others(&backstage.services, config).await? {
        let known = backstage.services.source_status(&name).await?.known;
        if json {
            output::json(&serde_json::json!({ "name": name, "kind": null, "people": known }))?;
        } else {
            let advice = format!("not configured: `passline sync forget {name}` removes who is here by it alone");
            rows.push(vec![name, "-".to_owned(), known.to_string(), String::new(), advice]);
        }
    }
    if !json {
        output::table(&["SOURCE", "KIND", "PEOPLE", "READ", "RESULT"], &rows);
    }
    Ok(ExitCode::SUCCESS)
}

/// Ctrl-C, or being told to end.
async fn interrupted() {
    let terminated = async {
        match signal(SignalKind::terminate()) {
            Ok(mut terminated) => drop(terminated.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        () = terminated => {}
    }
}

async fn forget(backstage: &Backstage, config: &Config, name: &str) -> anyhow::Result<ExitCode> {
    let retired = sources::retire_others(&backstage.services, config).await?;
    anyhow::ensure!(
        !config.sources.iter().any(|source| source.name == name),
        "{name} is in the configuration; take it out first"
    );
    anyhow::ensure!(
        retired.iter().any(|known| known == name),
        "no source {name:?} was ever read; see `passline sync list`"
    );
    let disabled = backstage
        .services
        .forget_source(&backstage::command_line(), name)
        .await?;
    output::line(format_args!(
        "{name} is forgotten; {} disabled",
        output::counted(disabled as usize, "user")
    ));
    Ok(ExitCode::SUCCESS)
}

fn result(status: &SourceStatus) -> String {
    match (&status.failure, &status.counts) {
        _ if status.begun.is_none() => String::new(),
        _ if status.ended.is_none() => "under way, or cut off".to_owned(),
        (Some(failure), _) => failure.clone(),
        (None, _) if status.held > 0 => format!("{} people are missing and were not removed: too many", status.held),
        (None, Some(counts)) => format!(
            "{} new, {} changed, {} removed, {} refused",
            counts.created,
            counts.changed + counts.linked,
            counts.removed,
            counts.refused
        ),
        (None, None) => "read".to_owned(),
    }
}

/// Whether everybody in it was taken.
async fn read(
    backstage: &Backstage,
    config: &Config,
    name: &str,
    options: SyncOptions,
    json: bool,
) -> anyhow::Result<bool> {
    let begun = crate::time::monotonic();
    let told = |counts: &SyncCounts| {
        let rate = counts.read as f64 / begun.elapsed().as_secs_f64().max(0.001);
        let listed = match counts.listed {
            0 => String::new(),
            listed => format!(", {listed} listed"),
        };
        output::progress(format_args!(
            "{name}: {} read ({rate:.0}/s){listed}, {} new, {} changed, {} removed",
            counts.read,
            counts.created,
            counts.changed + counts.linked,
            counts.removed
        ));
    };
    let report = tokio::select! {
        report = sources::run(backstage, config, name, options, told) => report,
        () = interrupted() => {
            backstage.services.abandon_runs().await?;
            Err(anyhow::anyhow!("{name}: stopped; what was written stays, and the next run goes on from there"))
        }
    };
    output::progress_done();
    let report = report?;
    if json {
        let problems: Vec<_> = report
            .problems
            .iter()
            .map(|p| serde_json::json!({ "place": p.place, "field": p.field, "message": p.message }))
            .collect();
        output::json(&serde_json::json!({
            "source": name, "full": report.full, "dry_run": options.dry_run, "counts": report.counts, "held": report.held,
            "known": report.known, "incomplete": report.incomplete, "elsewhere": report.elsewhere, "problems": problems,
            "more_problems": report.more_problems,
        }))?;
    } else {
        tell(name, &report, options);
    }
    Ok(report.counts.refused == 0 && report.held == 0 && !report.incomplete)
}

fn tell(name: &str, report: &SyncReport, options: SyncOptions) {
    for problem in &report.problems {
        let field = problem.field.map(|field| format!(" {field}:")).unwrap_or_default();
        output::note(format_args!("{name}: {}:{field} {}", problem.place, problem.message));
    }
    if report.more_problems > 0 {
        output::note(format_args!("and {} more", report.more_problems));
    }
    let counts = &report.counts;
    let what = if report.full { "everything" } else { "what has changed" };
    let would = if options.dry_run {
        "; nothing was changed, this is what would be"
    } else {
        ""
    };
    output::line(format_args!(
        "{name}: {what} was read{would}: {} new, {} linked to people who were there, {} changed, {} as before, {} removed, \
         {} refused",
        counts.created, counts.linked, counts.changed, counts.unchanged, counts.removed, counts.refused
    ));
    if counts.unlinked > 0 {
        output::line(format_args!("entries that belong to nobody here: {}", counts.unlinked));
    }
    if report.held > 0 {
        output::line(format_args!(
            "{} of {} people are missing there. That is more than `max_removals` allows, so nobody was removed. If it is \
             right, run `passline sync run {name} --remove`",
            report.held, report.known
        ));
    }
    if report.elsewhere {
        output::line(
            "another server was read than the last time; what it does not know yet is not believed: nobody was removed or let \
             in again, the next run does that",
        );
    }
    if report.incomplete {
        output::line("part of the source could not be read, so nobody was removed");
    }
}
