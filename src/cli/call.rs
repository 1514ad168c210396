//! `passline call`: a softphone that keys by itself and measures.

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};

use super::{output, runtime};
use crate::call::phone::script::{self, Action};
use crate::call::phone::{Dialling, KeyPath, Phone, PhoneCall, PhoneEvent};
use crate::checked_toml::duration;
use crate::secret::Secret;
use crate::telemetry;
use crate::telephony::sip::Credentials;

/// Place a test call: keys, recording, and a report of codec, loss, jitter and timing.
///
/// Keys: 0-9 * # A-D press a key, ',' waits a second, 'w' waits until a prompt has been said and it is silent again.
///
/// For example: passline call sip:100@127.0.0.1 --keys "w4711#" --record call.wav
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Whom to call: sip:number@host or sip:number@host:port, with ;transport=tcp for TCP.
    uri: String,
    /// What to key, and when.
    #[arg(long, value_name = "KEYS", default_value = "", hide_default_value = true)]
    keys: String,
    /// Read the keys from standard input instead: they are then not in the list of processes.
    #[arg(long, conflicts_with = "keys")]
    keys_stdin: bool,
    /// How keys travel.
    #[arg(long, value_enum, default_value_t = By::Event)]
    by: By,
    /// Record both sides in a stereo WAV file, caller left. It holds everything you hear, a password that is read out
    /// included.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Hang up after this long, if the far end has not.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    max_duration: Duration,
    /// Hang up this long after the last key, instead of waiting for the far end to do it.
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    stay: Option<Duration>,
    /// Offer this codec, pcmu or pcma; may be given several times, the best first. Both if left out.
    #[arg(long, value_name = "NAME")]
    codec: Vec<String>,
    /// Calling number or URI.
    #[arg(long, value_name = "URI")]
    from: Option<String>,
    /// User name, if the far end asks for one.
    #[arg(long, requires = "password_file")]
    user: Option<String>,
    /// File with the password for it.
    #[arg(long, value_name = "FILE", requires = "user")]
    password_file: Option<PathBuf>,
    /// Address of this machine to call from; found by itself if left out.
    #[arg(long, value_name = "ADDRESS")]
    local: Option<IpAddr>,
    /// The report as one JSON object, for scripts.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum By {
    /// RFC 4733 events in RTP.
    Event,
    /// SIP INFO, application/dtmf-relay.
    InfoRelay,
    /// SIP INFO, application/dtmf.
    Info,
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    duration(text).ok_or_else(|| "write it as 250ms, 30s, 10m or 2h".to_owned())
}

/// A prompt has ended when it has been silent for this long: longer than the pauses in it.
const PROMPT_PAUSE: Duration = Duration::from_millis(1_200);

/// How often waiting is looked at.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    telemetry::start(telemetry::Config {
        level: telemetry::Level::Warn,
        ..telemetry::Config::default()
    });
    let actions = if args.keys_stdin {
        let mut line = String::new();
        std::io::stdin().read_line(&mut line)?;
        script::parse(Secret::new(line).expose().trim_end())?
    } else {
        script::parse(&args.keys)?
    };
    runtime()?.block_on(place(args, actions))
}

async fn place(args: &Args, actions: Vec<Action>) -> anyhow::Result<ExitCode> {
    let credentials = match (&args.user, &args.password_file) {
        (Some(user), Some(file)) => {
            let password =
                Secret::new(std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?);
            let trimmed = Secret::new(password.expose().trim_end_matches(['\r', '\n']).to_owned());
            Some(Credentials {
                username: user.clone(),
                password: trimmed,
            })
        }
        _ => None,
    };
    let keys = match args.by {
        By::Event => KeyPath::Event,
        By::InfoRelay => KeyPath::InfoRelay,
        By::Info => KeyPath::InfoBare,
    };
    let dialling = Dialling {
        caller: args.from.clone(),
        credentials,
        codecs: args.codec.clone(),
        keys,
        patience: None,
    };
    let phone = Phone::start(match args.local {
        Some(local) => local,
        None => Phone::local_address(&args.uri).await?,
    })?;
    let mut call = phone.dial(&args.uri, dialling).await?;
    if let Some(file) = &args.record {
        call.record(file)?;
    }
    // A killed call is hung up all the same: the far end would talk to nobody until its media time-out.
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        () = follow(&mut call, actions, args.stay) => {}
        () = tokio::time::sleep(args.max_duration) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    let (report, recording) = call.finish().await?;
    phone.shutdown().await;
    if args.json {
        output::json(&report)?;
    } else {
        output::text(&report);
        if let Some(recording) = recording {
            output::line(format_args!(
                "recording         {} ({:.1} s)",
                recording.path.display(),
                recording.duration.as_secs_f64()
            ));
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Keys what is to be keyed, then listens until the far end hangs up or `stay` is over.
async fn follow(call: &mut PhoneCall, actions: Vec<Action>, stay: Option<Duration>) {
    for action in actions {
        let over = match action {
            Action::Press(digit) => {
                call.press(digit).await;
                // As long as the key and the pause after it take.
                listen_for(call, Duration::from_millis(200)).await
            }
            Action::Pause(length) => listen_for(call, length).await,
            Action::AwaitSilence => await_silence(call).await,
        };
        if over {
            return;
        }
    }
    match stay {
        Some(stay) => drop(listen_for(call, stay).await),
        None => while !matches!(call.next_event().await, PhoneEvent::HungUp) {},
    }
}

/// Listens; whether the far end hung up.
async fn listen_for(call: &mut PhoneCall, length: Duration) -> bool {
    let until_over = async { while !matches!(call.next_event().await, PhoneEvent::HungUp) {} };
    tokio::time::timeout(length, until_over).await.is_ok()
}

async fn await_silence(call: &mut PhoneCall) -> bool {
    while call.silent_for().is_none_or(|silence| silence < PROMPT_PAUSE) {
        if listen_for(call, LOOK).await {
            return true;
        }
    }
    false
}
