//! `passline demo`: the main job, on this machine, with a real call.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;

use super::{output, runtime};
use crate::app::demo_caller::{self, Heard, Line};
use crate::app::demo_data::{self, Folder, Person};
use crate::app::engine::Engine;
use crate::config::Config;
use crate::integration::target::{Target as _, Verdict};
use crate::secret::Secret;
use crate::telemetry;

/// Show the main job: a real call over SIP and RTP on loopback, from ring to reset.
///
/// Starts Passline with people and systems that are made up, in a folder that is removed afterwards. A caller keys an
/// employee number, answers two questions (one recorded, one spoken by the engine), hears a password, asks for another
/// one and accepts it. Then every system is asked: the old password must be refused, the new one taken. The caller knows
/// the password only from what was audible on the line. Exit code 0 only if all of it was so.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Stay up afterwards and print who can call with what.
    #[arg(long)]
    keep: bool,
    /// Where to listen for calls, for a softphone elsewhere; without it, only this machine can call.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "keep")]
    sip: Option<SocketAddr>,
    /// The recording of the call, caller left, Passline right.
    #[arg(long, value_name = "FILE", default_value = "passline-demo.wav")]
    recording: PathBuf,
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    telemetry::start(telemetry::Config {
        level: telemetry::Level::Error,
        ..telemetry::Config::default()
    });
    runtime()?.block_on(show(args))
}

/// The networks that may call when the demo listens on an address of its own: those that are not on the open internet.
const PRIVATE_NETWORKS: [&str; 6] = [
    "127.0.0.0/8",
    "::1/128",
    "10.0.0.0/8",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "fc00::/7",
];

async fn show(args: &Args) -> anyhow::Result<ExitCode> {
    let loopback = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let listen = args.sip.unwrap_or(loopback);
    let networks = if args.sip.is_some() {
        &PRIVATE_NETWORKS[..]
    } else {
        &PRIVATE_NETWORKS[..2]
    };
    let folder = Folder::create(&[listen], networks)?;
    let mut config = folder.config()?;
    let recordings = folder.path().join("recordings");
    config.calls.recordings = Some(recordings.clone());
    let engine = Engine::start(&config).await?;
    demo_data::load(engine.backstage(), &config).await?;
    let person = demo_data::people()?.into_iter().next().context("the demo has people")?;
    let address = engine
        .sip_addresses()
        .first()
        .context("the engine listens somewhere")?
        .address;

    output::line(format_args!(
        "Passline answers calls on {address}. {} has forgotten a password and calls.",
        person.name
    ));
    output::line("");
    let learnt = demo_caller::call(address, &person, engine.speech(), &config.language, |line| tell(&line)).await;
    engine.idle().await;
    output::line("");
    let result = match learnt {
        Ok(learnt) => prove(&engine, &config, &person, &learnt).await,
        Err(error) => Err(error),
    };
    let verified = match &result {
        Ok(()) => true,
        Err(error) => {
            output::note(format_args!("The demo failed: {error:#}"));
            false
        }
    };
    keep_recording(&recordings, &args.recording)?;
    if verified {
        output::line(format_args!(
            "Recording: {} (caller left, Passline right; the password is a tone)",
            args.recording.display()
        ));
        output::line("Every step was verified.");
    }
    if args.keep {
        invite(&folder, &engine)?;
        tokio::signal::ctrl_c().await?;
        output::line("");
    } else {
        output::line("");
        output::line(
            "Call it yourself with a softphone: scripts/demo --keep --sip ADDRESS:PORT, with an address of this machine.",
        );
    }
    engine
        .stop(Duration::from_secs(10), async { drop(tokio::signal::ctrl_c().await) })
        .await;
    Ok(if verified { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Moves the one recording to where the person wants it.
fn keep_recording(folder: &Path, file: &Path) -> anyhow::Result<()> {
    let made = std::fs::read_dir(folder)
        .ok()
        .and_then(|mut files| files.next())
        .context("the call was not recorded")??;
    std::fs::copy(made.path(), file).with_context(|| format!("cannot write the recording {}", file.display()))?;
    Ok(())
}

/// A line of the transcript.
fn tell(line: &Line) {
    let seconds = line.at.as_secs();
    let time = format!("{}:{:02}", seconds / 60, seconds % 60);
    match &line.heard {
        Heard::Said(text) => output::line(format_args!("{time}  Passline  {text}")),
        Heard::Spelled => output::line(format_args!("{time}  Passline  (spells a password)")),
        Heard::Keyed { shown, why } => output::line(format_args!("{time}  Caller    {shown:<10} {why}")),
        Heard::HungUp => output::line(format_args!("{time}  Passline hangs up.")),
    }
}

/// Asks every system: the old password must be refused, the new one taken.
async fn prove(engine: &Engine, config: &Config, person: &Person, password: &Secret) -> anyhow::Result<()> {
    for (target, account) in &person.accounts {
        let target = config
            .targets
            .iter()
            .find(|known| known.name == *target)
            .context("an account on no target")?;
        let crate::config::TargetKind::Embedded(rules) = &target.kind else {
            unreachable!("the demo has embedded directories")
        };
        let directory = engine.backstage().directories.target(&target.name, rules.clone());
        let old = directory.verify(account, &demo_data::old_password(account)).await?;
        anyhow::ensure!(
            old == Verdict::Rejected,
            "{} still takes the old password",
            target.label
        );
        let new = directory.verify(account, password).await?;
        anyhow::ensure!(
            new.is_right() == Some(true),
            "{} does not take the password that was heard",
            target.label
        );
        output::line(format_args!(
            "{:<17} refuses the old password and takes the one that was heard.",
            target.label
        ));
    }
    Ok(())
}

/// Says who can call with what.
fn invite(folder: &Folder, engine: &Engine) -> anyhow::Result<()> {
    output::line("");
    output::line("Call with any softphone; no account is needed:");
    for local in engine.sip_addresses() {
        let transport = local.transport.to_string().to_lowercase();
        let suffix = if transport == "udp" {
            String::new()
        } else {
            format!(";transport={transport}")
        };
        output::line(format_args!("  sip:100@{}{suffix}", local.address));
    }
    output::line("");
    for person in demo_data::people()? {
        output::line(format_args!(
            "  {}: employee number {}, or {} on the keypad; second number {}",
            person.name, person.number, person.login, person.second
        ));
        for (question, answer) in &person.answers {
            output::line(format_args!("    {}: {answer}", question_text(engine, question)));
        }
    }
    output::line("");
    output::line(format_args!(
        "Live calls: passline calls --admin {} --watch",
        engine.admin_address()
    ));
    output::line(format_args!("Its files:  {}", folder.path().display()));
    output::line("Ctrl-C ends it.");
    Ok(())
}

/// Questions are named by their prompt where they have one.
fn question_text(engine: &Engine, name: &str) -> String {
    let catalog = engine.speech().catalog();
    let prompts = catalog
        .languages()
        .next()
        .and_then(|language| catalog.prompts(language));
    prompts
        .and_then(|prompts| prompts.text(name))
        .unwrap_or(name)
        .to_owned()
}
