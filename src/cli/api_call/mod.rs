//! `passline api call`: the calls of the web API in their order, as an IVR makes them, shown without their secrets.
//!
//! A walk, and not single calls: a session is one caller, most calls mean something in their order only, and a session that
//! were kept between two commands would be a secret in a file or in the list of processes.

mod advice;
mod input;
mod transcript;
mod walk;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;

use super::{output, runtime};
use crate::api::client::{Client, Settings};
use crate::checked_toml::duration;
use crate::secret::Secret;
use input::{Answers, Input};
use transcript::{Form, Transcript};
use walk::{Ended, Walk};

const EXAMPLES: &str = "\
What is asked for is typed at the terminal and not shown. Where standard input is no terminal, its lines are taken one by
one: the password (without --password-file and --no-password), the digits, and the answers (without --answers).

Nothing is changed without --unlock or --reset. But a round of questions counts as a try, and a person can be locked out:
take somebody who is made for tests. Nobody gets to see the password that --reset sets.

Shown are the names of accounts and the texts of questions. Passwords, sessions, digits, answers and what is said of a
password are [secret].

Examples:
  See whether this machine may come, and the password is right:
    passline api call https://ivr-reset.example.com:8443 --ca-file ca.pem --user ivr --until Login
  From the digits to a proposed password, which is not set:
    passline api call https://ivr-reset.example.com:8443 --ca-file ca.pem --user ivr
  Through to the reset on one system, under a ticket:
    passline api call https://ivr-reset.example.com:8443 --ca-file ca.pem --user ivr --reset --system corp --ticket INC0042
  Known by a client certificate alone:
    passline api call https://ivr-reset.example.com:8443 --user ivr --no-password \\
      --client-certificate ivr.pem --client-key ivr-key.pem
  From a script, every night, with somebody who is made for it:
    passline api call https://ivr-reset.example.com:8443 --user probe --password-file probe.password \\
      --answers probe.answers --reset --json < probe.digits > walk.jsonl
";

/// Walk through the calls of the web API as an IVR does, and show each request and answer without its secrets.
///
/// Login, UserIVRList, UserQuestionsGet, UserAnswersValidate, UserAccountList, PasswordRandomGet, and with --reset
/// UserPasswordSync and JobGet until the change has ended; Logout at the end, whatever came before. For people who build
/// an IVR, and to see what is in the way. Exit code 0 means that all of it was carried out.
#[derive(Debug, clap::Args)]
#[command(after_long_help = EXAMPLES)]
pub(super) struct Args {
    /// The server: https://host:port.
    url: String,
    /// The API user, as `passline api user list` has it.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// File with the password of the API user.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Send no password: the client certificate is proof enough.
    #[arg(long, requires = "client_certificate", conflicts_with = "password_file")]
    no_password: bool,
    /// Believe the certificate of the server by the authorities in this file (PEM), instead of those of this machine.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Show this client certificate (PEM), with those that lead to its authority.
    #[arg(long, value_name = "FILE")]
    client_certificate: Option<PathBuf>,
    /// The key of the client certificate (PEM); in the same file if nothing is said.
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// End after this call, with Logout.
    #[arg(long, value_name = "CALL", value_enum, conflicts_with_all = ["reset", "unlock"])]
    until: Option<Until>,
    /// Set a new random password. Nobody gets to see it.
    #[arg(long)]
    reset: bool,
    /// Clear the locks of the accounts, instead of asking for a password.
    #[arg(long, conflicts_with = "reset")]
    unlock: bool,
    /// Only the accounts on this system; may be given again. All of the person if nothing is said.
    #[arg(long = "system", value_name = "NAME")]
    systems: Vec<String>,
    /// The ticket under which accounts are changed.
    #[arg(long, value_name = "NUMBER")]
    ticket: Option<String>,
    /// The caller's telephone number: failed tries are counted for it.
    #[arg(long, value_name = "NUMBER")]
    caller: Option<String>,
    /// The language of the caller, as in en-US.
    #[arg(long, value_name = "LANGUAGE")]
    language: Option<String>,
    /// Ask for questions and passwords as sound too.
    #[arg(long, value_name = "FORMAT", value_enum)]
    audio: Option<Audio>,
    /// File with answers, a line each: QUESTION = DIGITS, where QUESTION is a prompt or the text of the question.
    #[arg(long, value_name = "FILE")]
    answers: Option<PathBuf>,
    /// How long connecting and an answer may take, together.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = parse_duration)]
    timeout: Duration,
    /// How long a change may take that goes on.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    wait: Duration,
    /// Each request with its answer as one JSON object a line; without secrets as well.
    #[arg(long)]
    json: bool,
}

/// Calls that a walk may end after, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum Until {
    #[value(name = "Login")]
    Login,
    #[value(name = "UserIVRList")]
    UserIvrList,
    #[value(name = "UserQuestionsGet")]
    UserQuestionsGet,
    #[value(name = "UserAnswersValidate")]
    UserAnswersValidate,
    #[value(name = "UserAccountList")]
    UserAccountList,
    #[value(name = "PasswordRandomGet")]
    PasswordRandomGet,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Audio {
    Mulaw,
    Pcm,
}

impl Audio {
    /// As the API names it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Mulaw => "mulaw",
            Self::Pcm => "pcm",
        }
    }
}

fn parse_duration(text: &str) -> Result<Duration, String> {
    let parsed = duration(text).filter(|duration| !duration.is_zero());
    parsed.ok_or_else(|| "write it as 250ms, 30s, 10m or 2h".to_owned())
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let certificate = args.client_certificate.as_ref().map(|certificate| {
        let key = args.client_key.as_ref().unwrap_or(certificate);
        (certificate.clone(), key.clone())
    });
    let client = Client::new(&Settings {
        url: args.url.clone(),
        ca: args.ca_file.clone(),
        certificate,
        patience: args.timeout,
    })?;
    let answers = args.answers.as_deref().map(Answers::read).transpose()?;
    let mut input = Input::new();
    let password = match (&args.password_file, args.no_password) {
        (Some(file), _) => Some(input::first_line(file)?),
        (None, true) => None,
        (None, false) => Some(input.secret(&format!("Password of the API user {}: ", args.user))?),
    };
    anyhow::ensure!(
        password.as_ref().is_none_or(|password| !password.is_empty()),
        "an empty password is none"
    );
    let form = if args.json { Form::Json } else { Form::Text };
    let mut walk = Walk {
        client,
        transcript: Transcript::new(form),
        input,
        answers,
        args,
    };
    let runtime = runtime()?;
    let ended = runtime.block_on(walk.whole(password.as_ref()));
    // The look-up of a name may still be waiting; nobody does for it.
    runtime.shutdown_background();
    Ok(match ended? {
        Ended::Well(told) => {
            conclude(form, &told);
            ExitCode::SUCCESS
        }
        Ended::Badly(told) => {
            conclude(form, &told);
            ExitCode::FAILURE
        }
    })
}

/// In a list for machines there is nothing else.
fn conclude(form: Form, told: &str) {
    match form {
        Form::Text => output::line(told),
        Form::Json => output::note(told),
    }
}

/// What a file holds, without the end of its line.
fn text_of(file: &std::path::Path) -> anyhow::Result<Secret> {
    let read = std::fs::read_to_string(file).map(Secret::new);
    read.with_context(|| format!("cannot read {}", file.display()))
}
