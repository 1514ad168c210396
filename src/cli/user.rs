//! `passline user`: people, from the command line.

use std::fs::File;
use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail};

use super::{ConfigArgs, output, runtime};
use crate::app::backstage::{self, Backstage};
use crate::config::Config;
use crate::identity::lockout::Standing;
use crate::identity::user::Login;
use crate::secret::Secret;
use crate::service::{Enrolment, ImportProgress, PeopleError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Load people from a CSV file.
    ///
    /// The first line names the columns; only `login` must be there:
    ///
    ///   login,name,employee_number,discriminator,language,account.TARGET,answer.QUESTION
    ///
    /// TARGET is the name of a target in the configuration, QUESTION the prompt or the text of a question there. People
    /// who are there already get the new values; an empty field leaves the value as it is. Answers are hashed while
    /// they are read. A line with a mistake is left out and told, with line and column, never with the value.
    ///
    /// An account that an embedded directory does not have yet is opened there, with a password that nobody knows.
    ///
    /// A caller needs answers to as many questions as are asked (questions.ask); see who has how many with
    /// `passline user show`. Delete the file afterwards: the answers in it are not hashed.
    Import {
        /// The file; `-` reads standard input.
        file: PathBuf,
        /// One JSON object, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// List people by login.
    List {
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Show one person: how to reach them, accounts, enrolment, lockout. Answers are hashed and cannot be shown.
    Show {
        /// The login.
        login: String,
        /// One JSON object, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Forgive wrong answers, so that a person may try again at once.
    Unlock {
        /// The login.
        login: String,
    },
    /// Enter a person's answers to the questions in the configuration.
    ///
    /// Asks for each answer in turn, without showing it. With --stdin, reads lines of the form `QUESTION = ANSWER`, where
    /// QUESTION is the prompt or the text of a question.
    Enroll {
        /// The login.
        login: String,
        /// Read answers from standard input.
        #[arg(long)]
        stdin: bool,
    },
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let config = super::load_config(&args.config)?;
    runtime()?.block_on(async {
        let backstage = backstage::open(&config).await?;
        match &args.command {
            Command::Import { file, json } => import(&backstage, &config, file, *json).await,
            Command::List { json } => list(&backstage, *json).await,
            Command::Show { login, json } => show(&backstage, &parse_login(login)?, *json).await,
            Command::Unlock { login } => unlock(&backstage, &parse_login(login)?).await,
            Command::Enroll { login, stdin } => enroll(&backstage, &parse_login(login)?, *stdin).await,
        }
    })
}

fn parse_login(text: &str) -> anyhow::Result<Login> {
    text.parse().with_context(|| format!("{text:?} is not a login"))
}

async fn import(backstage: &Backstage, config: &Config, file: &PathBuf, json: bool) -> anyhow::Result<ExitCode> {
    let reader: Box<dyn std::io::Read + Send> = if file.as_os_str() == "-" {
        Box::new(std::io::stdin())
    } else {
        Box::new(File::open(file).with_context(|| format!("cannot read {}", file.display()))?)
    };
    let told = |progress: &ImportProgress| output::progress(format_args!("{} lines", progress.lines));
    let report = backstage
        .services
        .import_users(&backstage::command_line(), reader, told)
        .await?;
    output::progress_done();
    let opened = backstage::open_accounts(&backstage.services, &backstage.directories, &config.targets).await?;
    let progress = report.progress;
    if json {
        let mistakes: Vec<_> = report
            .mistakes
            .iter()
            .map(|m| serde_json::json!({ "line": m.line, "column": m.column, "message": m.message }))
            .collect();
        output::json(&serde_json::json!({
            "lines": progress.lines, "created": progress.created, "updated": progress.updated, "refused": progress.refused,
            "mistakes": mistakes, "more_mistakes": report.more_mistakes, "embedded_accounts_opened": opened,
        }))?;
    } else {
        for mistake in &report.mistakes {
            let column = mistake
                .column
                .as_deref()
                .map(|column| format!(": {column}"))
                .unwrap_or_default();
            output::note(format_args!(
                "{}:{}{column}: {}",
                file.display(),
                mistake.line,
                mistake.message
            ));
        }
        if report.more_mistakes > 0 {
            output::note(format_args!("and {} more mistakes", report.more_mistakes));
        }
        output::line(format_args!(
            "lines: {}; people: {} new, {} with new values; lines left out: {}",
            progress.lines, progress.created, progress.updated, progress.refused
        ));
        if opened > 0 {
            output::line(format_args!(
                "new accounts in embedded directories: {opened}; nobody knows their passwords until a first reset"
            ));
        }
    }
    let whole = report.mistakes.is_empty();
    Ok(if whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn list(backstage: &Backstage, json: bool) -> anyhow::Result<ExitCode> {
    const PAGE: u32 = 500;
    let mut after: Option<Login> = None;
    let mut rows = Vec::new();
    loop {
        let page = backstage.services.list_users(after.as_ref(), PAGE).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.login.clone());
        for user in page {
            let number = user.employee_number.as_ref().map(|number| number.as_str().to_owned());
            if json {
                output::json(&serde_json::json!({
                    "login": user.login.as_str(), "name": user.display_name, "employee_number": number,
                    "status": user.status.as_str(),
                }))?;
            } else {
                let row = [
                    user.login.to_string(),
                    user.display_name,
                    number.unwrap_or_default(),
                    user.status.as_str().to_owned(),
                ];
                rows.push(row.to_vec());
            }
        }
    }
    if !json {
        output::table(&["LOGIN", "NAME", "NUMBER", "STATUS"], &rows);
    }
    Ok(ExitCode::SUCCESS)
}

async fn show(backstage: &Backstage, login: &Login, json: bool) -> anyhow::Result<ExitCode> {
    let report = backstage
        .services
        .show_user(login)
        .await
        .map_err(|error| named(error, login))?;
    let (user, profile) = (&report.user, &report.profile);
    let number = user.employee_number.as_ref().map(|number| number.as_str());
    let standing = match report.standing {
        Standing::Open => "may try".to_owned(),
        Standing::Refused(refusal) => refusal.to_string(),
    };
    if json {
        let accounts: Vec<_> = report
            .accounts
            .iter()
            .map(|a| serde_json::json!({ "target": a.target, "name": a.name }))
            .collect();
        let enrolled: std::collections::BTreeMap<_, _> = report
            .enrolled
            .iter()
            .map(|(channel, count)| (channel.as_str(), count))
            .collect();
        output::json(&serde_json::json!({
            "login": user.login.as_str(), "name": user.display_name, "employee_number": number, "status": user.status.as_str(),
            "language": user.language.as_ref().map(|language| language.as_str()), "has_discriminator": user.discriminator.is_some(),
            "other_numbers": user.other_numbers.iter().map(|number| number.as_str()).collect::<Vec<_>>(),
            "phones": profile.phones.iter().map(|phone| phone.as_str()).collect::<Vec<_>>(),
            "mails": profile.mails.iter().map(|mail| mail.as_str()).collect::<Vec<_>>(),
            "departments": profile.departments, "groups": profile.groups,
            "managers": report.managers.iter().map(|manager| manager.as_str()).collect::<Vec<_>>(),
            "accounts": accounts, "enrolled": enrolled, "lockout": standing,
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::line(format_args!("login       {}", user.login));
    output::line(format_args!("name        {}", user.display_name));
    output::line(format_args!("number      {}", number.unwrap_or("-")));
    let keys: Vec<String> = user.keypad_ids().iter().map(|id| id.as_str().to_owned()).collect();
    output::line(format_args!("keys        {}", keys.join(" or ")));
    output::line(format_args!("status      {}", user.status.as_str()));
    output::line(format_args!("lockout     {standing}"));
    let details = [
        (
            "phone",
            profile.phones.iter().map(|phone| phone.as_str()).collect::<Vec<_>>(),
        ),
        ("mail", profile.mails.iter().map(|mail| mail.as_str()).collect()),
        ("department", profile.departments.iter().map(String::as_str).collect()),
        (
            "manager",
            report.managers.iter().map(|manager| manager.as_str()).collect(),
        ),
        ("group", profile.groups.iter().map(String::as_str).collect()),
    ];
    for (kind, values) in details {
        for value in values {
            output::line(format_args!("{kind:<10}  {value}"));
        }
    }
    for (channel, count) in &report.enrolled {
        output::line(format_args!("enrolled    {count} questions for {channel}"));
    }
    for account in &report.accounts {
        output::line(format_args!("account     {} on {}", account.name, account.target));
    }
    Ok(ExitCode::SUCCESS)
}

async fn unlock(backstage: &Backstage, login: &Login) -> anyhow::Result<ExitCode> {
    let origin = backstage::command_line();
    backstage
        .services
        .release_user(&origin, login)
        .await
        .map_err(|error| named(error, login))?;
    output::line(format_args!("{login} may try again"));
    Ok(ExitCode::SUCCESS)
}

async fn enroll(backstage: &Backstage, login: &Login, stdin: bool) -> anyhow::Result<ExitCode> {
    backstage
        .services
        .show_user(login)
        .await
        .map_err(|error| named(error, login))?;
    let questions = backstage.services.shared_questions().await?;
    if questions.is_empty() {
        bail!("there are no questions; add [[question]] to the configuration");
    }
    let mut answers = Vec::new();
    if stdin {
        for line in std::io::stdin().lock().lines() {
            let line = Secret::new(line?);
            if line.expose().trim().is_empty() {
                continue;
            }
            let (name, answer) = line
                .expose()
                .split_once('=')
                .context("each line is QUESTION = ANSWER")?;
            let question = questions
                .iter()
                .find(|q| q.prompt.as_deref() == Some(name.trim()) || q.text == name.trim());
            let question = question.with_context(|| format!("there is no question {:?}", name.trim()))?;
            answers.push(Enrolment {
                question: question.id,
                answer: Secret::new(answer.trim().to_owned()),
            });
        }
    } else {
        output::note("Type each answer and press Enter; nothing is shown. Leave it empty to skip the question.");
        for question in &questions {
            let answer = Secret::new(rpassword::prompt_password(format!(
                "{} ({}) ",
                question.text, question.format
            ))?);
            if !answer.is_empty() {
                answers.push(Enrolment {
                    question: question.id,
                    answer,
                });
            }
        }
    }
    backstage
        .services
        .enroll(&backstage::command_line(), login, &answers)
        .await
        .map_err(|error| named(error, login))?;
    output::line(format_args!("{} answers are kept for {login}", answers.len()));
    Ok(ExitCode::SUCCESS)
}

/// Errors of the services do not repeat names; a person who typed one wants to see it.
fn named(error: PeopleError, login: &Login) -> anyhow::Error {
    anyhow::Error::from(error).context(login.to_string())
}
