//! `passline dialplan simulate`.

use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use super::{ConfigArgs, dialplan, output};
use crate::app::{backstage, demo_data, flows, voices};
use crate::call::simulator::{Shown, Simulator};
use crate::digit::Digits;
use crate::identity::event::Door;
use crate::identity::question::Channel;
use crate::service::Arrival;

/// Run a flow in the terminal: prompts as text, keys typed, operations against the real services.
///
/// Type keys and Enter; Enter alone is silence until the next time-out; `h` hangs up. What is done is really done: a
/// reset resets. With --demo, the people and systems of the demo are used, in a folder that is removed afterwards.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The flow file.
    file: PathBuf,
    #[command(flatten)]
    config: ConfigArgs,
    /// Use the people and systems of the demo instead of the configuration.
    #[arg(long)]
    demo: bool,
    /// The calling number.
    #[arg(long, default_value = "+15550000")]
    caller: String,
    /// Show proposed passwords, as a caller would hear them.
    #[arg(long)]
    insecure_show_password: bool,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let demo = if args.demo {
        Some(demo_data::Folder::create(&[], &[])?)
    } else {
        None
    };
    let config = match &demo {
        Some(folder) => folder.config()?,
        None => super::load_config(&args.config)?,
    };
    let backstage = backstage::open_settled(&config).await?;
    if demo.is_some() {
        demo_data::load(&backstage, &config).await?;
    }
    let speech = voices::load(&config).await?;
    let flow = Arc::new(dialplan::flow(&args.file, &flows::prompt_index(&speech.catalog()))?);
    let arrival = Arrival {
        session: backstage.services.new_call_id().into(),
        door: Door::Cli,
        channel: Channel::Phone,
        trunk: "simulator".to_owned(),
        caller: Some(args.caller.clone()),
    };
    let voice = (&speech, &config.language, backstage.labels.clone());
    let mut simulator = Simulator::new(flow, backstage.services.clone(), arrival, voice, config.readback)?;
    let mut lines = std::io::stdin().lock().lines();
    loop {
        for shown in simulator.advance().await {
            show(&shown, args.insecure_show_password);
        }
        if simulator.is_over() {
            break;
        }
        output::prompt("keys> ");
        match lines.next().transpose()? {
            None => simulator.hang_up(),
            Some(line) if line.trim() == "h" => simulator.hang_up(),
            Some(line) if line.trim().is_empty() => simulator.be_silent(),
            Some(line) => match Digits::parse(line.trim()) {
                Some(keys) => simulator.press(&keys),
                None => output::note("type 0-9 * # A-D, nothing for silence, or h to hang up"),
            },
        }
    }
    simulator.close().await;
    backstage.services.drain().await;
    Ok(ExitCode::SUCCESS)
}

fn show(shown: &Shown, passwords: bool) {
    match shown {
        Shown::Step(step) => output::line(format_args!("[{step}]")),
        Shown::Says(text) => output::line(format_args!("    {text}")),
        Shown::Did { operation, outcome } => output::line(format_args!("  {operation}: {outcome}")),
        Shown::Proposed(password) if passwords => output::line(format_args!("  proposed: {}", password.expose())),
        Shown::Proposed(_) => output::line("  proposed: (hidden; see --insecure-show-password)"),
        Shown::Transfer(destination) => output::line(format_args!("  transfer to {destination}: not from a terminal")),
        Shown::Ended(reason) => output::line(format_args!("over: {reason}")),
    }
}
