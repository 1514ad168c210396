//! `passline api`: users of the web API, its description, and a walk through its calls.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use zeroize::Zeroizing;

use super::{ConfigArgs, api_call, output, runtime};
use crate::api::json::openapi;
use crate::api::server::CertificateFingerprint;
use crate::api::soap;
use crate::app::backstage::{self, Backstage};
use crate::network_list::NetworkList;
use crate::secret::Secret;
use crate::service::{ApiClient, ApiClientChange, ApiClientName, NewApiClient, Right};

const ADD: &str = "\
Examples:
  An IVR in one network, with a password:
    passline api user add ivr --network 192.0.2.0/28
  One that is known by a client certificate alone, and may read passwords out itself:
    passline api user add ivr --network 192.0.2.7 --certificate ivr.pem --no-password --allow read-password
";

const LIST: &str = "\
Examples:
  Who may come from where:
    passline api user list
  The names of those who are not revoked, for a script:
    passline api user list --json | jq -r 'select(.revoked == null).name'
";

const NETWORK: &str = "\
Examples:
  Both IVRs, and a network by IPv6:
    passline api user network ivr 192.0.2.7 192.0.2.8 2001:db8:1::/64
  This machine only:
    passline api user network ivr
";

const ALLOW: &str = "\
Examples:
  Read passwords out itself, as Amazon Connect does:
    passline api user allow ivr --allow read-password
  Nothing beyond the calls:
    passline api user allow ivr
";

const ROTATE: &str = "\
Examples:
  Another password, shown once:
    passline api user rotate ivr
  The certificate that it shows from now on:
    passline api user rotate ivr --certificate ivr-next.pem
";

const REVOKE: &str = "\
Example:
  The IVR is gone; its sessions and calls end:
    passline api user revoke ivr
";

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    User(UserArgs),
    Call(Box<api_call::Args>),
    /// Write the description of the API (OpenAPI 3.1).
    Openapi {
        /// The file; standard output if nothing is said.
        file: Option<PathBuf>,
    },
    /// Write the description of the API for SOAP (WSDL 1.1).
    Wsdl {
        /// The file; standard output if nothing is said.
        file: Option<PathBuf>,
        /// Where clients reach the server.
        #[arg(long, default_value = "https://localhost:8443")]
        url: String,
    },
}

/// Who may use the web API: add, list, change and revoke API users.
///
/// An API user is a program: the IVR of a company. Each has a password, a client certificate, or both, and a list of
/// networks that it may come from; without any, only this machine may.
#[derive(Debug, clap::Args)]
pub(super) struct UserArgs {
    #[command(flatten)]
    config: ConfigArgs,
    #[command(subcommand)]
    command: UserCommand,
}

#[derive(Debug, clap::Subcommand)]
enum UserCommand {
    /// Add an API user. Its password is made and shown once, unless it comes from standard input.
    #[command(after_help = ADD)]
    Add {
        /// Its name: letters, digits, dots, dashes and underscores.
        name: String,
        #[command(flatten)]
        networks: Networks,
        #[command(flatten)]
        rights: Rights,
        #[command(flatten)]
        certificate: Certificate,
        /// Give it no password: the certificate is proof enough.
        #[arg(long, requires = "certificate")]
        no_password: bool,
        /// Read the password from standard input.
        #[arg(long, conflicts_with = "no_password")]
        stdin: bool,
    },
    /// List API users.
    #[command(after_help = LIST)]
    List {
        /// One JSON object a line, for scripts.
        #[arg(long)]
        json: bool,
    },
    /// Say from which networks an API user may come; it replaces the old list.
    ///
    /// A network that is taken away is shut at once, for open sessions too. One that is new is open within two seconds.
    #[command(after_help = NETWORK)]
    Network {
        /// The API user.
        name: String,
        /// Networks such as 192.0.2.0/24, 2001:db8::/32 or a single address; none means this machine only.
        networks: Vec<String>,
    },
    /// Say what an API user may beyond the calls themselves; rights that are not named are taken away.
    #[command(after_help = ALLOW)]
    Allow {
        /// The API user.
        name: String,
        #[command(flatten)]
        rights: Rights,
    },
    /// Give an API user another password, or another certificate.
    ///
    /// Sessions that it has begun go on with another password, and end with another certificate. Its sign-ins that failed
    /// before are forgotten.
    #[command(after_help = ROTATE)]
    Rotate {
        /// The API user.
        name: String,
        #[command(flatten)]
        certificate: Certificate,
        /// Give a first password to an API user that has a certificate alone; it needs both from then on.
        #[arg(long, conflicts_with = "certificate")]
        add_password: bool,
        /// Read the password from standard input, instead of making one.
        #[arg(long, conflicts_with = "certificate")]
        stdin: bool,
    },
    /// Take an API user its access for good, and end its sessions. Its name is not given again.
    #[command(after_help = REVOKE)]
    Revoke {
        /// The API user.
        name: String,
    },
}

#[derive(Debug, clap::Args)]
struct Networks {
    /// A network that it may come from, such as 192.0.2.0/24 or 2001:db8::/32; may be given again.
    #[arg(long = "network", value_name = "NETWORK")]
    networks: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Rights {
    /// What it may beyond the calls; may be given again.
    ///
    /// read-password: be told proposed passwords as text, and not only what to say. choose-password: bring passwords of its
    /// own choice. keep-password: leave new passwords valid beyond the next sign-in.
    #[arg(long = "allow", value_name = "RIGHT")]
    rights: Vec<String>,
}

#[derive(Debug, clap::Args)]
struct Certificate {
    /// The client certificate that it must show: a file with it in PEM, or its SHA-256 fingerprint, as
    /// `openssl x509 -noout -fingerprint -sha256 -in FILE` writes it.
    #[arg(long, value_name = "CERTIFICATE")]
    certificate: Option<String>,
}

impl Certificate {
    /// Its fingerprint: as it was given, or of what is in the file of this name.
    fn fingerprint(&self) -> anyhow::Result<Option<String>> {
        let Some(given) = &self.certificate else {
            return Ok(None);
        };
        let file = Path::new(given);
        Ok(Some(match file.is_file() {
            true => CertificateFingerprint::of_file(file)?.to_string(),
            false => given.clone(),
        }))
    }
}

pub(super) fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::User(args) => user(args),
        Command::Call(args) => api_call::run(args),
        Command::Openapi { file } => written(file.as_deref(), &openapi::text()),
        Command::Wsdl { file, url } => written(file.as_deref(), &soap::description(url)),
    }
}

fn written(file: Option<&Path>, text: &str) -> anyhow::Result<ExitCode> {
    match file {
        Some(file) => std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?,
        None => output::text(text),
    }
    Ok(ExitCode::SUCCESS)
}

fn user(args: &UserArgs) -> anyhow::Result<ExitCode> {
    let config = super::load_config(&args.config)?;
    runtime()?.block_on(async {
        let backstage = backstage::open(&config).await?;
        match &args.command {
            UserCommand::Add {
                name,
                networks,
                rights,
                certificate,
                no_password,
                stdin,
            } => {
                let password = match no_password {
                    true => None,
                    false => Some(password(&backstage, *stdin)?),
                };
                let new = NewApiClient {
                    name: name.parse()?,
                    password: password.clone(),
                    certificate: certificate.fingerprint()?,
                    networks: NetworkList::parse(&networks.networks)?,
                    rights: parsed(&rights.rights)?,
                };
                let only_here = new.networks.is_empty();
                backstage
                    .services
                    .add_api_client(&backstage::command_line(), new)
                    .await?;
                output::line(format_args!("{name} may use the API"));
                if only_here {
                    output::note(format_args!(
                        "it may come from this machine only; `passline api user network {name} NETWORK...` says from where else"
                    ));
                }
                told_once(password.filter(|_| !stdin));
            }
            UserCommand::List { json } => list(&backstage, *json).await?,
            UserCommand::Network { name, networks } => {
                let networks = NetworkList::parse(networks)?;
                let change = ApiClientChange {
                    networks: Some(networks.clone()),
                    ..ApiClientChange::default()
                };
                changed(&backstage, &name.parse()?, change).await?;
                output::line(format_args!("{name} may come from: {networks}"));
            }
            UserCommand::Allow { name, rights } => {
                let (name, rights) = (name.parse()?, parsed(&rights.rights)?);
                let before = client(&backstage, &name).await?;
                let before = before.map(|client| client.rights).unwrap_or_default();
                let change = ApiClientChange {
                    rights: Some(rights.clone()),
                    ..ApiClientChange::default()
                };
                changed(&backstage, &name, change).await?;
                told_rights(&name, &before, &rights);
            }
            UserCommand::Rotate {
                name,
                certificate,
                add_password,
                stdin,
            } => {
                let (name, certificate) = (name.parse()?, certificate.fingerprint()?);
                let before = client(&backstage, &name).await?;
                let has_password = before.is_none_or(|client| client.has_password);
                let password = match &certificate {
                    Some(_) => None,
                    None if has_password || *add_password => Some(password(&backstage, *stdin)?),
                    None => anyhow::bail!(
                        "{name} has no password, its certificate is proof enough: --certificate FILE gives it another one; with \
                         --add-password it needs both from then on"
                    ),
                };
                let change = ApiClientChange {
                    password: password.clone(),
                    certificate,
                    ..ApiClientChange::default()
                };
                changed(&backstage, &name, change).await?;
                told_once(password.filter(|_| !stdin));
            }
            UserCommand::Revoke { name } => {
                let origin = backstage::command_line();
                let ended = backstage.services.revoke_api_client(&origin, &name.parse()?).await?;
                output::line(format_args!("{name} is revoked; sessions that were ended: {ended}"));
            }
        }
        Ok(ExitCode::SUCCESS)
    })
}

async fn changed(backstage: &Backstage, name: &ApiClientName, change: ApiClientChange) -> anyhow::Result<()> {
    let origin = backstage::command_line();
    backstage.services.change_api_client(&origin, name, change).await?;
    output::line(format_args!("{name} is changed"));
    Ok(())
}

async fn client(backstage: &Backstage, name: &ApiClientName) -> anyhow::Result<Option<ApiClient>> {
    let clients = backstage.services.api_clients().await?;
    Ok(clients.into_iter().find(|client| client.name == *name))
}

/// What an API user may now, and what it may not any more.
fn told_rights(name: &ApiClientName, before: &[Right], now: &[Right]) {
    match now {
        [] => output::line(format_args!("{name} may nothing beyond the calls")),
        _ => output::line(format_args!("{name} may: {}", listed(now))),
    }
    let lost: Vec<Right> = before.iter().filter(|right| !now.contains(right)).copied().collect();
    if !lost.is_empty() {
        output::line(format_args!("taken away, since it was not named: {}", listed(&lost)));
    }
}

fn listed(rights: &[Right]) -> String {
    let rights: Vec<_> = rights.iter().map(|right| right.as_str()).collect();
    rights.join(", ")
}

fn parsed(rights: &[String]) -> anyhow::Result<Vec<Right>> {
    Ok(rights.iter().map(|right| right.parse()).collect::<Result<_, _>>()?)
}

/// From standard input, without the end of the line; or a new one.
fn password(backstage: &Backstage, stdin: bool) -> anyhow::Result<Secret> {
    if !stdin {
        return Ok(backstage.services.new_client_password());
    }
    const MOST: usize = 1_024;
    // Never moved while it grows: no copy is left behind.
    let mut text = Zeroizing::new(String::with_capacity(2 * MOST));
    std::io::stdin()
        .take(MOST as u64 + 1)
        .read_to_string(&mut text)
        .context("cannot read the password")?;
    anyhow::ensure!(
        text.len() <= MOST,
        "a password has at most {MOST} bytes, with the end of the line"
    );
    let length = text.trim_end_matches(['\r', '\n']).len();
    text.truncate(length);
    Ok(Secret::new(std::mem::take(&mut *text)))
}

fn told_once(password: Option<Secret>) {
    if let Some(password) = password {
        output::line(format_args!("password, shown this once: {}", password.expose()));
    }
}

async fn list(backstage: &Backstage, json: bool) -> anyhow::Result<()> {
    let clients = backstage.services.api_clients().await?;
    if json {
        for client in &clients {
            let rights: Vec<_> = client.rights.iter().map(|right| right.as_str()).collect();
            let networks: Vec<String> = client.networks.networks().iter().map(ToString::to_string).collect();
            output::json(&serde_json::json!({
                "name": client.name.as_str(), "password": client.has_password, "certificate": client.certificate,
                "networks": networks, "rights": rights, "created": client.created.to_string(),
                "changed": client.changed.to_string(), "revoked": client.revoked.map(|at| at.to_string()),
            }))?;
        }
        return Ok(());
    }
    if clients.is_empty() {
        output::note(format_args!(
            "there is no API user; add one with `passline api user add NAME`"
        ));
        return Ok(());
    }
    let rows: Vec<_> = clients.iter().map(row).collect();
    output::table(&["NAME", "SIGNS IN BY", "COMES FROM", "MAY", "CHANGED"], &rows);
    Ok(())
}

fn row(client: &ApiClient) -> Vec<String> {
    let proof = match (client.has_password, &client.certificate, client.revoked) {
        (_, _, Some(_)) => "(revoked)",
        (true, Some(_), None) => "password and certificate",
        (true, None, None) => "password",
        (false, _, None) => "certificate",
    };
    vec![
        client.name.to_string(),
        proof.to_owned(),
        client.networks.to_string(),
        listed(&client.rights),
        client.changed.to_string(),
    ]
}
