//! `passline calls`: the calls in progress, asked of a running `passline serve` over its operators' port; and those that
//! are over, see [`super::call_records`].

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::{ConfigArgs, call_records, output};
use crate::config;
use crate::secret::masked;
use crate::time::{Clock as _, SystemClock, Timestamp};

/// Show the calls in progress: which step each one is in and for how long, never what was keyed.
///
/// Calls that are over are in the database: `passline calls past`, `passline calls show`.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct Args {
    #[command(subcommand)]
    records: Option<call_records::Command>,
    #[command(flatten)]
    config: ConfigArgs,
    /// Address of the operators' port, instead of the one in the configuration.
    #[arg(long, value_name = "ADDRESS:PORT")]
    admin: Option<SocketAddr>,
    /// Show the list again every second until interrupted.
    #[arg(short, long, conflicts_with = "json")]
    watch: bool,
    /// One JSON list, for scripts.
    #[arg(long)]
    json: bool,
}

/// What is read of a call; the server may say more.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Call {
    number: u64,
    call_id: String,
    trunk: String,
    dialplan: String,
    caller: String,
    called: String,
    codec: String,
    step: String,
    started_ms: i64,
    step_since_ms: i64,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if let Some(records) = &args.records {
        return call_records::run(records);
    }
    let admin = match args.admin {
        Some(address) => address,
        None => config::admin_address(&args.config.config)?,
    };
    loop {
        let calls = fetch(admin)?;
        if args.json {
            output::json(&calls)?;
        } else {
            if args.watch {
                output::clear_screen();
            }
            show(&calls);
        }
        if !args.watch {
            return Ok(ExitCode::SUCCESS);
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn fetch(admin: SocketAddr) -> anyhow::Result<Vec<Call>> {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_global(Some(Duration::from_secs(5)))
        .build()
        .into();
    let mut answer = agent
        .get(format!("http://{admin}/calls"))
        .call()
        .with_context(|| format!("no answer from {admin}; is `passline serve` running with this configuration?"))?;
    let text = answer.body_mut().read_to_string()?;
    serde_json::from_str(&text).with_context(|| format!("{admin} does not answer like Passline"))
}

fn show(calls: &[Call]) {
    let now = SystemClock.now();
    let age = |since: i64| {
        let seconds = now.since(Timestamp::from_millis(since)).as_secs();
        format!("{}:{:02}", seconds / 60, seconds % 60)
    };
    let row = |call: &Call| {
        vec![
            call.number.to_string(),
            age(call.started_ms),
            call.step.clone(),
            age(call.step_since_ms),
            call.dialplan.clone(),
            call.trunk.clone(),
            if call.caller.contains('*') {
                call.caller.clone()
            } else {
                masked(&call.caller)
            },
            call.called.clone(),
            call.codec.clone(),
        ]
    };
    let rows: Vec<Vec<String>> = calls.iter().map(row).collect();
    output::table(
        &[
            "#", "TIME", "STEP", "IN STEP", "DIALPLAN", "TRUNK", "CALLER", "CALLED", "CODEC",
        ],
        &rows,
    );
    if calls.is_empty() {
        output::note("no calls in progress");
    }
}
