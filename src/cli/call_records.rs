//! `passline calls past` and `passline calls show`: the records of calls, read from the database. It may be in use.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{ConfigArgs, look_into, output, runtime};
use crate::secret::masked;
use crate::store::Store;
use crate::store::call::{self, CallMedia, CallRecord};
use crate::time::{Clock as _, SystemClock, Timestamp};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the last calls, the latest first.
    Past(PastArgs),
    /// Show one call: when, how far, why it ended, and how its audio was in both directions.
    ///
    /// "here" is what Passline received. "there" is what the far end reported last about what it received from us (RTCP);
    /// many telephones report every five seconds, some never.
    Show(ShowArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct PastArgs {
    #[command(flatten)]
    config: ConfigArgs,
    /// A copy of the database, instead of the one in the configuration.
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// How many.
    #[arg(long, default_value_t = 20, value_name = "COUNT")]
    last: u32,
    /// One JSON object a line, for scripts.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShowArgs {
    /// `call.id` of the log, or the name of a recording; the last call if none is given.
    id: Option<String>,
    #[command(flatten)]
    config: ConfigArgs,
    /// A copy of the database, instead of the one in the configuration.
    #[arg(long, value_name = "FILE")]
    database: Option<PathBuf>,
    /// One JSON object, for scripts.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    runtime()?.block_on(async {
        match command {
            Command::Past(args) => past(args).await,
            Command::Show(args) => show(args).await,
        }
    })
}

async fn past(args: &PastArgs) -> anyhow::Result<ExitCode> {
    let records = latest(&look_into(&args.config, args.database.as_ref()).await?, args.last).await?;
    if args.json {
        for record in &records {
            output::json(&as_json(record))?;
        }
        return Ok(ExitCode::SUCCESS);
    }
    let rows: Vec<Vec<String>> = records.iter().map(row).collect();
    output::table(
        &[
            "ID",
            "BEGAN",
            "TIME",
            "TRUNK",
            "CALLER",
            "END",
            "STEP",
            "LOST HERE",
            "THERE",
        ],
        &rows,
    );
    Ok(ExitCode::SUCCESS)
}

async fn show(args: &ShowArgs) -> anyhow::Result<ExitCode> {
    let store = look_into(&args.config, args.database.as_ref()).await?;
    let record = match &args.id {
        Some(id) => {
            let mut tx = store.read().await?;
            let found = call::find(&mut tx, id).await.context(OLDER)?;
            found.with_context(|| format!("there is no record of a call {id}; `passline calls past` lists them"))?
        }
        None => latest(&store, 1)
            .await?
            .pop()
            .context("there are no records of calls yet")?,
    };
    if args.json {
        output::json(&as_json(&record))?;
    } else {
        describe(&record);
    }
    Ok(ExitCode::SUCCESS)
}

const OLDER: &str =
    "the records cannot be read; if the database is of an earlier version, `passline serve` brings it up";

async fn latest(store: &Store, limit: u32) -> anyhow::Result<Vec<CallRecord>> {
    let mut tx = store.read().await?;
    // A clock that was ahead must not hide calls.
    let end = SystemClock.now().plus(Duration::from_secs(366 * 86_400));
    call::latest(&mut tx, end, limit).await.context(OLDER)
}

fn as_json(record: &CallRecord) -> Value {
    let start = &record.start;
    let end = record.end.as_ref();
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    json!({
        "id": start.id,
        "trunk": start.trunk,
        "dialplan": start.dialplan,
        "caller": start.caller.as_deref().map(masked),
        "called": start.called,
        "started_ms": start.started.as_millis(),
        "answered_ms": millis(end.and_then(|end| end.answered)),
        "ended_ms": millis(end.map(|end| end.ended)),
        "last_step": end.and_then(|end| end.last_step.clone()),
        "reason": end.map(|end| end.reason.clone()),
        "media": end.and_then(|end| end.media.as_ref()).map(media_as_json),
    })
}

fn media_as_json(media: &CallMedia) -> Value {
    json!({
        "codec": media.codec,
        "sent": media.sent,
        "received": media.received,
        "lost": media.lost,
        "jitter_ms": millis(media.jitter),
        "remote": media.remote.map(|remote| json!({
            "fraction_lost": f64::from(remote.fraction_lost) / 256.0,
            "lost": remote.lost,
            "jitter_ms": millis(remote.jitter),
            "round_trip_ms": remote.round_trip.map(millis),
        })),
    })
}

fn row(record: &CallRecord) -> Vec<String> {
    let start = &record.start;
    let end = record.end.as_ref();
    let media = end.and_then(|end| end.media.as_ref());
    vec![
        start.id.clone(),
        start.started.to_string(),
        length(record),
        start.trunk.clone().unwrap_or_default(),
        start.caller.as_deref().map(masked).unwrap_or_default(),
        end.map_or_else(|| "-".to_owned(), |end| end.reason.clone()),
        end.and_then(|end| end.last_step.clone()).unwrap_or_default(),
        media.map_or_else(String::new, |media| media.lost.to_string()),
        media
            .and_then(|media| media.remote)
            .map_or_else(String::new, |remote| remote.lost.to_string()),
    ]
}

fn length(record: &CallRecord) -> String {
    record.end.as_ref().map_or_else(String::new, |end| {
        let seconds = end.ended.since(end.answered.unwrap_or(record.start.started)).as_secs();
        format!("{}:{:02}", seconds / 60, seconds % 60)
    })
}

fn describe(record: &CallRecord) {
    let say = |name: &str, value: &str| output::line(format_args!("{name:<10} {value}"));
    let start = &record.start;
    say("call", &start.id);
    say("began", &start.started.to_string());
    say("trunk", start.trunk.as_deref().unwrap_or("-"));
    say(
        "caller",
        &start.caller.as_deref().map_or_else(|| "-".to_owned(), masked),
    );
    say("called", start.called.as_deref().unwrap_or("-"));
    say("dialplan", start.dialplan.as_deref().unwrap_or("-"));
    let Some(end) = &record.end else {
        return say("end", "none: it lasts, or its process died");
    };
    say("length", &length(record));
    say("last step", end.last_step.as_deref().unwrap_or("-"));
    say("end", &end.reason);
    let Some(media) = &end.media else {
        return say("audio", "none");
    };
    say("audio", &format!("{}, {} packets sent", media.codec, media.sent));
    say(
        "here",
        &format!(
            "{} packets, {} lost, jitter {:.1} ms",
            media.received,
            media.lost,
            millis(media.jitter)
        ),
    );
    let there = media.remote.map_or_else(
        || "no report".to_owned(),
        |remote| {
            let round_trip = remote
                .round_trip
                .map_or_else(String::new, |time| format!(", round trip {:.1} ms", millis(time)));
            format!(
                "{} lost, {:.1} % at the end, jitter {:.1} ms{round_trip}",
                remote.lost,
                f64::from(remote.fraction_lost) * 100.0 / 256.0,
                millis(remote.jitter)
            )
        },
    );
    say("there", &there);
}

fn millis(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10_000.0).round() / 10.0
}
