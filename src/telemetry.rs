//! Structured logs on standard error, as text for people or JSON lines for collectors.
//!
//! The filter is set in code: a library that logs whole messages can never be switched on by an environment variable.

use std::io::IsTerminal as _;

use serde::Deserialize;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::FmtSpan;

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs, reason = "the levels of the tracing crate")]
pub enum Level {
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// The `[log]` section.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// How much of Passline's own story is logged; libraries are never below `warn`.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
}

/// Starts logging for the whole program. A second call changes nothing.
pub fn start(config: Config) {
    let level = format!("{:?}", config.level).to_lowercase();
    let filter = EnvFilter::new(format!("warn,passline={level}"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_span_events(FmtSpan::NONE)
        // Told where? On standard error, which just refused: that panics, and ends whoever had something to log.
        .log_internal_errors(false);
    // Fails only if a subscriber is there already, as in tests that start several engines in one process.
    let _ = match config.format {
        Format::Text => builder.try_init(),
        Format::Json => builder.json().flatten_event(true).try_init(),
    };
}
