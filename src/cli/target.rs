//! `passline target`: the systems where passwords live.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};

use super::{ConfigArgs, output, runtime};
use crate::app::backstage::{self, Backstage};
use crate::config::{self, Config, TargetConfig, edit};
use crate::integration::target::rest::{Description, SHIPPED};
use crate::integration::target::{Capabilities, TargetError};
use crate::secret::Secret;
use crate::service::Renewed;

/// How long one system may take to be tested: several servers that do not answer, one after the other.
const PATIENCE: Duration = Duration::from_secs(60);

/// Longer than any password, and than a private key of RSA with 8,192 bits.
const MAX_CREDENTIAL: u64 = 16 * 1_024;

/// List and test the systems where passwords live, and keep the passwords that Passline signs in there with.
///
/// The systems themselves are [[target]] sections of the configuration file.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List them in the order in which callers hear them: what each can do, and whether Passline has its password.
    List {
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Add one to the configuration file; everything else in it stays as it is.
    ///
    /// Settings are those of [[target]], such as
    ///
    ///   passline target add corp active_directory urls='["ldaps://dc1.example.com"]' bind=svc-passline@example.com
    ///     base=OU=Staff,DC=example,DC=com
    ///
    ///   passline target add unix1 ssh host=unix1.example.com user=svc-passline host_keys='["ssh-ed25519 AAAA..."]'
    ///
    ///   passline target add sso rest api=keycloak url=... user=passline parameters.realm=staff
    ///
    /// Nothing is written if the configuration would have a mistake.
    Add {
        /// How accounts refer to it.
        name: String,
        /// What kind of system it is: active_directory, ldap, ssh, postgresql, mysql, rest, command or embedded.
        kind: String,
        /// KEY=VALUE, or KEY.NAME=VALUE in a table.
        #[arg(value_name = "SETTING")]
        settings: Vec<String>,
    },
    /// Remove one from the configuration file, and its password from the database.
    ///
    /// Accounts on it stay with their people, and count again if a target of this name is added.
    Remove {
        /// Which one.
        name: String,
    },
    /// Say what works and what right is missing, without changing anything.
    ///
    /// Signs in on every server. With --account, finds that account and tries the rights on it: Active Directory is offered
    /// what can be no password, the other servers are asked to rehearse the change.
    ///
    /// Exit code 1 if something is missing.
    Test {
        /// The target; all of them if none is named.
        name: Option<String>,
        /// An account to look for; one like those of your people, and not an administrator's.
        #[arg(short, long, value_name = "NAME")]
        account: Option<String>,
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Print how Passline talks to a system with an API: what `api` in the configuration names, as the beginning of a
    /// description of your own.
    Api {
        /// Which one; their names if none is given.
        name: Option<String>,
    },
    /// Keep the password or key that Passline signs in with, encrypted in the database; asks for it without showing it. A
    /// private key comes by `--stdin`.
    ///
    /// The key is not in the database: see `passline keys`. A running `passline serve` takes the new password within
    /// seconds for active_directory and ldap, and for the others when it is started again.
    Credential {
        /// The target.
        name: String,
        /// Read it from standard input; a line end is not part of it.
        #[arg(long, conflicts_with = "remove")]
        stdin: bool,
        /// Remove it.
        #[arg(long)]
        remove: bool,
        /// Give Passline's account there a new random password, which nobody sees: changed with the one that is kept,
        /// tried, then kept in its place. For active_directory and ldap.
        ///
        /// Run it again if it is cut off, or when the system does not answer: both passwords are kept until one of them
        /// has opened the door.
        #[arg(long, conflicts_with_all = ["stdin", "remove"])]
        renew: bool,
    },
}

pub(super) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    match &args.command {
        Command::Api { name } => return api(name.as_deref()),
        Command::Add { name, kind, settings } => return add(&args.config.config, name, kind, settings),
        _ => {}
    }
    let config = super::load_config(&args.config)?;
    runtime()?.block_on(async {
        let backstage = backstage::open_settled(&config).await?;
        match &args.command {
            Command::List { json } => list(&backstage, &config, *json).await,
            Command::Test { name, account, json } => {
                test(&backstage, &config, name.as_deref(), account.as_deref(), *json).await
            }
            Command::Remove { name } => remove(&backstage, &args.config.config, name).await,
            Command::Api { name } => api(name.as_deref()),
            Command::Add { name, kind, settings } => add(&args.config.config, name, kind, settings),
            Command::Credential { name, renew: true, .. } => renew(&backstage, &config, name).await,
            Command::Credential {
                name, stdin, remove, ..
            } => credential(&backstage, &config, name, *stdin, *remove).await,
        }
    })
}

/// Also where the first target is still missing, which makes the configuration no good.
fn add(file: &Path, name: &str, kind: &str, settings: &[String]) -> anyhow::Result<ExitCode> {
    let text = edit::with_target(file, &edit::read(file)?, name, kind, settings)?;
    let config = config::check(file, &text)
        .map_err(|mistakes| super::told(&mistakes, "nothing is written: the configuration would have"))?;
    edit::write(file, &text)?;
    output::line(format_args!(
        "{name} is added to {}; `passline serve` knows it after a restart",
        file.display()
    ));
    if find(&config, name)?.kind.signs_in_as().is_some() {
        output::line(format_args!(
            "next: passline target credential {name}, and passline target test {name}"
        ));
    }
    Ok(ExitCode::SUCCESS)
}

async fn remove(backstage: &Backstage, file: &Path, name: &str) -> anyhow::Result<ExitCode> {
    let text = edit::without_target(file, &edit::read(file)?, name)?;
    if let Err(mistakes) = config::check(file, &text) {
        return Err(super::told(
            &mistakes,
            "nothing is written: the configuration would have",
        ));
    }
    edit::write(file, &text)?;
    let had = backstage
        .services
        .forget_credential(&backstage::command_line(), name)
        .await?;
    let password = if had {
        ", and its password from the database"
    } else {
        ""
    };
    output::line(format_args!(
        "{name} is removed from {}{password}; `passline serve` knows it until a restart",
        file.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// Needs no configuration.
fn api(name: Option<&str>) -> anyhow::Result<ExitCode> {
    let names = || SHIPPED.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    match name {
        Some(name) => {
            let text =
                Description::shipped(name).with_context(|| format!("{name:?} is not known; there are {}", names()))?;
            output::line(text.trim_end());
        }
        None => SHIPPED.iter().for_each(|(name, _)| output::line(name)),
    }
    Ok(ExitCode::SUCCESS)
}

fn find<'a>(config: &'a Config, name: &str) -> anyhow::Result<&'a TargetConfig> {
    config
        .targets
        .iter()
        .find(|target| target.name == name)
        .with_context(|| {
            let names: Vec<&str> = config.targets.iter().map(|target| target.name.as_str()).collect();
            format!(
                "there is no target {name:?} in the configuration; there are: {}",
                names.join(", ")
            )
        })
}

/// What a system can do, in words.
fn abilities(capabilities: Capabilities) -> Vec<&'static str> {
    let Capabilities {
        verify,
        reset,
        change,
        expire,
        unlock,
        lock_state,
        enable,
        list_accounts,
        policy,
    } = capabilities;
    [
        (reset, "reset"),
        (change, "change"),
        (verify, "verify"),
        (expire, "expire"),
        (unlock, "unlock"),
        (lock_state, "state"),
        (enable, "enable"),
        (list_accounts, "list"),
        (policy, "policy"),
    ]
    .into_iter()
    .filter_map(|(can, word)| can.then_some(word))
    .collect()
}

async fn list(backstage: &Backstage, config: &Config, json: bool) -> anyhow::Result<ExitCode> {
    let status = backstage.vault.status().await?;
    let mut rows = Vec::new();
    for (target, system) in config.targets.iter().zip(&backstage.targets) {
        let kept = status
            .credentials
            .iter()
            .find(|credential| credential.target == target.name);
        let password = match (target.kind.signs_in_as(), kept) {
            (None, _) => "not needed".to_owned(),
            (Some(_), None) => "missing".to_owned(),
            (Some(_), Some(kept)) => kept.problem.clone().unwrap_or_else(|| "kept".to_owned()),
        };
        let abilities = abilities(system.capabilities());
        if json {
            output::json(&serde_json::json!({
                "name": target.name, "kind": target.kind.name(), "label": target.label, "can": abilities,
                "signs_in_as": target.kind.signs_in_as(), "password": password,
            }))?;
        }
        rows.push(vec![
            target.name.clone(),
            target.kind.name().to_owned(),
            password,
            abilities.join(" "),
        ]);
    }
    if !json {
        output::table(&["name", "kind", "password", "can"], &rows);
    }
    Ok(ExitCode::SUCCESS)
}

async fn test(
    backstage: &Backstage,
    config: &Config,
    name: Option<&str>,
    account: Option<&str>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    if let Some(name) = name {
        find(config, name)?;
    }
    let mut problems = 0;
    for system in backstage
        .targets
        .iter()
        .filter(|system| name.is_none_or(|name| system.name() == name))
    {
        let tested = tokio::time::timeout(PATIENCE, system.test(account)).await;
        let silent = || {
            Err(TargetError::Unreachable {
                target: system.name().to_owned(),
                reason: format!("no answer within {PATIENCE:?}"),
            })
        };
        let checks = match tested.unwrap_or_else(|_| silent()) {
            Ok(checks) => checks.into_iter().map(|check| (check.what, check.problem)).collect(),
            Err(error) => vec![("ask it".to_owned(), Some(error.to_string()))],
        };
        for (what, problem) in checks {
            problems += usize::from(problem.is_some());
            if json {
                output::json(&serde_json::json!({ "target": system.name(), "what": what, "problem": problem }))?;
                continue;
            }
            match problem {
                None => output::line(format_args!("{}: ok: {what}", system.name())),
                Some(problem) => output::line(format_args!("{}: PROBLEM: {what}: {problem}", system.name())),
            }
        }
    }
    Ok(if problems == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn credential(
    backstage: &Backstage,
    config: &Config,
    name: &str,
    stdin: bool,
    remove: bool,
) -> anyhow::Result<ExitCode> {
    let origin = backstage::command_line();
    if remove {
        // Also of a target that is in the configuration no more.
        if !backstage.services.forget_credential(&origin, name).await? {
            bail!("no password is kept for {name}");
        }
        output::line(format_args!("the password for {name} is removed"));
        return Ok(ExitCode::SUCCESS);
    }
    let target = find(config, name)?;
    let Some(account) = target.kind.signs_in_as() else {
        bail!("Passline signs in nowhere for {name}: it is a file of its own");
    };
    let password = if stdin {
        let mut text = zeroize::Zeroizing::new(String::new());
        std::io::stdin().take(MAX_CREDENTIAL).read_to_string(&mut text)?;
        Secret::new(text.trim_end_matches(['\r', '\n']).to_owned())
    } else {
        Secret::new(rpassword::prompt_password(format!("Password of {account}: "))?)
    };
    if password.is_empty() {
        bail!("an empty password is none");
    }
    backstage
        .services
        .keep_credential(&backstage.vault, &origin, name, &password)
        .await?;
    output::line(format_args!(
        "the password of {account} is kept; try it with `passline target test {name}`"
    ));
    Ok(ExitCode::SUCCESS)
}

async fn renew(backstage: &Backstage, config: &Config, name: &str) -> anyhow::Result<ExitCode> {
    let target = find(config, name)?;
    let account = target.kind.signs_in_as().unwrap_or("Passline");
    let origin = backstage::command_line();
    let renewed = backstage
        .services
        .renew_credential(&backstage.vault, &origin, name)
        .await?;
    match renewed {
        Renewed::Renewed => output::line(format_args!(
            "{account} has a new password, and it is kept; a running `passline serve` takes it within seconds"
        )),
        Renewed::Completed => output::line(format_args!(
            "{account} has the password of an earlier renewal, and it is kept; a running `passline serve` takes it within seconds"
        )),
    }
    Ok(ExitCode::SUCCESS)
}
