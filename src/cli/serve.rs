//! `passline serve`.

use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{ConfigArgs, output, runtime};
use crate::api::standing::State;
use crate::app::engine::Engine;
use crate::telemetry::{self, Level};

/// Take calls until stopped.
///
/// On SIGTERM or Ctrl-C no new calls are taken and calls in progress may finish (calls.drain in the configuration); the
/// rest are told goodbye. A second signal tells them at once. Changed call flows and prompts are loaded while it runs;
/// everything else (passline.toml, trunk files) needs a restart.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    /// Print the addresses as one JSON object, for scripts.
    #[arg(long)]
    json: bool,
    /// Log more or less than the configuration says.
    #[arg(long, value_enum, value_name = "LEVEL")]
    log_level: Option<Level>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = super::load_config(&args.config)?;
    telemetry::start(telemetry::Config {
        level: args.log_level.unwrap_or(config.log.level),
        ..config.log
    });
    runtime()?.block_on(async {
        // Before anything else, so that a signal during the start is not lost.
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let engine = Engine::start(&config).await?;
        announce(&engine, args.json)?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        let hurry = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        engine
            .stop(config.calls.drain.max(Duration::from_millis(1)), hurry)
            .await;
        Ok(ExitCode::SUCCESS)
    })
}

fn announce(engine: &Engine, json: bool) -> anyhow::Result<()> {
    let sip: Vec<String> = engine
        .sip_addresses()
        .iter()
        .map(|local| format!("{}:{}", local.transport.to_string().to_lowercase(), local.address))
        .collect();
    let admin = engine.admin_address();
    let served = engine.api();
    if json {
        let (api, agi) = match &served {
            Some(State::Served { api, agi }) => (Some(*api), *agi),
            _ => (None, None),
        };
        return output::json(&serde_json::json!({ "sip": sip, "api": api, "agi": agi, "admin": admin }));
    }
    for address in sip {
        output::line(format_args!("listening for calls on {address}"));
    }
    match served {
        Some(State::Served { api, agi }) => {
            if let Some(agi) = agi {
                output::line(format_args!("FastAGI for Asterisk on {agi}"));
            }
            output::line(format_args!("web API on https://{api}, described at /api/docs"));
        }
        Some(State::Down { reason }) => {
            output::line(format_args!("no web API yet, it is tried again and again: {reason}"))
        }
        None => {}
    }
    output::line(format_args!("health, metrics and live calls on http://{admin}"));
    Ok(())
}
