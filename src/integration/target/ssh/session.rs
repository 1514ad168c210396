//! One SSH connection: to a host whose key is known, as Passline to run commands, or as somebody else to try a password.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, AuthResult, Handle, KeyboardInteractiveAuthResponse};
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{ChannelMsg, Disconnect, MethodKind, MethodSet, Preferred};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A connection on which nothing happens for this long is given up, whoever forgot it.
const IDLE: Duration = Duration::from_secs(30);

/// More output of a command is not read.
pub(super) const MAX_OUTPUT: usize = 1 << 20;

const BROKEN: &str = "the connection broke";

/// What `ssh-keyscan` prints behind the name of the host, such as `ssh-ed25519 AAAA...`.
#[derive(Clone, PartialEq, Eq)]
pub struct HostKey(PublicKey);

/// A text that is no host key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("must be a key as `ssh-keyscan -t ed25519 HOST` prints it, such as \"ssh-ed25519 AAAA...\"")]
pub struct HostKeyError;

impl FromStr for HostKey {
    type Err = HostKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        PublicKey::from_openssh(text.trim()).map(Self).map_err(|_| HostKeyError)
    }
}

impl fmt::Debug for HostKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.fingerprint(HashAlg::Sha256))
    }
}

impl HostKey {
    /// The algorithms of signatures with this key.
    fn algorithms(&self) -> Vec<Algorithm> {
        match self.0.algorithm() {
            Algorithm::Rsa { .. } => [HashAlg::Sha512, HashAlg::Sha256]
                .map(|hash| Algorithm::Rsa { hash: Some(hash) })
                .to_vec(),
            other => vec![other],
        }
    }
}

/// How Passline signs in.
pub(super) enum SignIn {
    Key(Arc<PrivateKey>),
    Password(Secret),
}

/// Where, and which keys it may show.
#[derive(Clone, Debug)]
pub(super) struct Host {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) keys: Vec<HostKey>,
    /// How long connecting and signing in may take together.
    pub(super) connect: Duration,
}

/// What a try with a password has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tried {
    Right,
    /// Right, and the host asks for a new one at once.
    RightMustChange,
    Wrong,
    /// The host asks for more than a password, and does not say whether that was right.
    Unclear,
    /// It takes no passwords at all.
    NoPasswords,
}

/// What a command has left.
#[derive(Debug)]
pub(super) struct Output {
    pub(super) status: u32,
    pub(super) out: String,
    pub(super) err: String,
}

/// A command whose end is not known.
#[derive(Debug)]
pub(super) struct Lost {
    pub(super) reason: String,
    /// Whether it may have been run.
    pub(super) sent: bool,
}

/// Why there is no connection, for operators.
#[derive(Debug, Error)]
enum Failure {
    #[error("{0}")]
    Ssh(#[from] russh::Error),
    #[error(
        "it shows another host key, {0}; if the host was set up anew, put the new key into `host_keys`, and if not, somebody is in between"
    )]
    HostKey(String),
}

/// Looks at the host key; nothing else that a server may send is taken up.
struct Watch(Vec<HostKey>);

impl client::Handler for Watch {
    type Error = Failure;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, Failure> {
        match shown {
            PublicKeyOrCertificate::PublicKey { key, .. }
                if self.0.iter().any(|known| known.0.key_data() == key.key_data()) =>
            {
                Ok(true)
            }
            PublicKeyOrCertificate::PublicKey { key, .. } => Err(Failure::HostKey(
                key.to_openssh()
                    .unwrap_or_else(|_| key.fingerprint(HashAlg::Sha256).to_string()),
            )),
            // None is asked for.
            PublicKeyOrCertificate::Certificate(_) => Ok(false),
        }
    }
}

/// A connection that is signed in as Passline.
pub(super) struct Session(Handle<Watch>);

impl Host {
    fn named(&self, reason: impl fmt::Display) -> String {
        format!("{}:{}: {reason}", self.host, self.port)
    }

    async fn limited<T>(&self, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
        tokio::time::timeout(self.connect, work)
            .await
            .unwrap_or_else(|_| Err(format!("no answer within {:?}", self.connect)))
            .map_err(|reason| self.named(reason))
    }

    async fn handle(&self) -> Result<Handle<Watch>, String> {
        let algorithms: Vec<Algorithm> = self.keys.iter().flat_map(HostKey::algorithms).collect();
        let config = client::Config {
            inactivity_timeout: Some(IDLE),
            nodelay: true,
            preferred: Preferred {
                key: Cow::Owned(algorithms),
                ..Preferred::DEFAULT
            },
            ..client::Config::default()
        };
        client::connect(
            Arc::new(config),
            (self.host.as_str(), self.port),
            Watch(self.keys.clone()),
        )
        .await
        .map_err(|failure| match failure {
            Failure::Ssh(russh::Error::NoCommonAlgo { ours, theirs, .. }) => {
                format!("it speaks none of {ours:?}, but {theirs:?}")
            }
            failure => failure.to_string(),
        })
    }

    /// Signs in as Passline.
    pub(super) async fn session(&self, user: &str, sign_in: &SignIn) -> Result<Session, String> {
        let work = async {
            let mut handle = self.handle().await?;
            let said = |error: russh::Error| error.to_string();
            let (result, what) = match sign_in {
                SignIn::Key(key) => {
                    let hash = handle.best_supported_rsa_hash().await.map_err(said)?.flatten();
                    let key = PrivateKeyWithHashAlg::new(Arc::clone(key), hash);
                    (handle.authenticate_publickey(user, key).await.map_err(said)?, "key")
                }
                SignIn::Password(password) => match password_of(&mut handle, user, password).await? {
                    Tried::Right => (AuthResult::Success, "password"),
                    Tried::RightMustChange => return Err(format!("the password of {user} has expired")),
                    _ => return Err(format!("the password of {user} is not taken")),
                },
            };
            match result {
                AuthResult::Success => Ok(Session(handle)),
                AuthResult::Failure {
                    partial_success: true, ..
                } => Err(format!("the {what} of {user} is not enough there")),
                AuthResult::Failure { .. } if handle.is_closed() => Err(BROKEN.to_owned()),
                AuthResult::Failure { .. } => Err(format!("the {what} of {user} is not taken")),
            }
        };
        self.limited(work).await
    }

    /// Tries a password as somebody else, on a connection of its own.
    pub(super) async fn try_password(&self, user: &str, password: &Secret) -> Result<Tried, String> {
        let work = async {
            let mut handle = self.handle().await?;
            let tried = password_of(&mut handle, user, password).await?;
            close(&handle).await;
            Ok(tried)
        };
        self.limited(work).await
    }
}

/// By the method *password* (RFC 4252, section 8), or else *keyboard-interactive* (RFC 4256).
async fn password_of(handle: &mut Handle<Watch>, user: &str, password: &Secret) -> Result<Tried, String> {
    let said = |error: russh::Error| error.to_string();
    let (methods, partial) = match handle
        .authenticate_password(user, password.expose())
        .await
        .map_err(said)?
    {
        AuthResult::Success => return Ok(Tried::Right),
        AuthResult::Failure { .. } if handle.is_closed() => return Err(BROKEN.to_owned()),
        AuthResult::Failure {
            remaining_methods,
            partial_success,
        } => (remaining_methods, partial_success),
    };
    let takes = |methods: &MethodSet, method| methods.contains(&method);
    match (partial, takes(&methods, MethodKind::KeyboardInteractive)) {
        // It asks for something else now.
        (true, _) => Ok(Tried::Right),
        (false, true) if !takes(&methods, MethodKind::Password) => interactive(handle, user, password).await,
        (false, _) if takes(&methods, MethodKind::Password) => Ok(Tried::Wrong),
        (false, _) => Ok(Tried::NoPasswords),
    }
}

async fn interactive(handle: &mut Handle<Watch>, user: &str, password: &Secret) -> Result<Tried, String> {
    use KeyboardInteractiveAuthResponse::{Failure, InfoRequest, Success};
    /// Longer conversations are not about a password.
    const ROUNDS: usize = 6;
    let said = |error: russh::Error| error.to_string();
    let mut given = false;
    let mut response = handle
        .authenticate_keyboard_interactive_start(user, None)
        .await
        .map_err(said)?;
    for _ in 0..ROUNDS {
        let answers = match response {
            Success => return Ok(Tried::Right),
            Failure {
                partial_success: true, ..
            } => return Ok(Tried::Right),
            Failure { .. } if handle.is_closed() => return Err(BROKEN.to_owned()),
            Failure { .. } if given => return Ok(Tried::Wrong),
            Failure { .. } => return Ok(Tried::NoPasswords),
            InfoRequest { prompts, .. } => match prompts.as_slice() {
                // A remark.
                [] => Vec::new(),
                [prompt] if !given && !prompt.echo => {
                    given = true;
                    vec![password.expose().to_owned()]
                }
                // PAM asks for a new password where the old one was right.
                [prompt] if given && asks_for_another(&prompt.prompt) => return Ok(Tried::RightMustChange),
                _ => return Ok(Tried::Unclear),
            },
        };
        response = handle
            .authenticate_keyboard_interactive_respond(answers)
            .await
            .map_err(said)?;
    }
    Ok(Tried::Unclear)
}

/// `New password:` of Linux-PAM, or `Current password:` before it.
fn asks_for_another(prompt: &str) -> bool {
    let prompt = prompt.to_ascii_lowercase();
    prompt.contains("password") && ["new", "current"].iter().any(|word| prompt.contains(word))
}

impl Session {
    /// Runs a command, with a text for it to read.
    pub(super) async fn run(&self, command: &str, input: Option<&Secret>) -> Result<Output, Lost> {
        let unsent = |error: russh::Error| Lost {
            reason: error.to_string(),
            sent: false,
        };
        let lost = |reason: String| Lost { reason, sent: true };
        let channel = self.0.channel_open_session().await.map_err(unsent)?;
        channel.exec(true, command).await.map_err(unsent)?;
        let (mut read, write) = channel.split();
        let mut feed = std::pin::pin!(async {
            if let Some(input) = input {
                write.data_bytes(input.expose().as_bytes().to_vec()).await?;
            }
            write.eof().await
        });
        let mut fed = false;
        let (mut status, mut out, mut err) = (None, Zeroizing::new(Vec::new()), Zeroizing::new(Vec::new()));
        loop {
            let message = tokio::select! {
                // Writing waits for room that the host gives; it learns nothing of a connection that broke.
                written = &mut feed, if !fed => {
                    written.map_err(|error| lost(error.to_string()))?;
                    fed = true;
                    continue;
                }
                message = read.wait() => message,
            };
            match message {
                Some(ChannelMsg::Data { data }) => take(&mut out, &data),
                Some(ChannelMsg::ExtendedData { data, .. }) => take(&mut err, &data),
                Some(ChannelMsg::ExitStatus { exit_status }) => status = Some(exit_status),
                Some(ChannelMsg::ExitSignal { signal_name, .. }) => {
                    return Err(lost(format!("the command was ended by {signal_name:?}")));
                }
                // The host runs no commands for us at all.
                Some(ChannelMsg::Failure) => {
                    return Err(Lost {
                        reason: "it runs no commands for Passline".to_owned(),
                        sent: false,
                    });
                }
                Some(_) => {}
                None => break,
            }
        }
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let status = status.ok_or_else(|| lost(BROKEN.to_owned()))?;
        Ok(Output {
            status,
            out: text(&out),
            err: text(&err),
        })
    }

    pub(super) async fn close(self) {
        close(&self.0).await;
    }
}

fn take(into: &mut Vec<u8>, data: &[u8]) {
    let room = MAX_OUTPUT.saturating_sub(into.len());
    into.extend_from_slice(&data[..data.len().min(room)]);
}

/// Says good-bye; it may be gone already.
async fn close(handle: &Handle<Watch>) {
    let _ = handle.disconnect(Disconnect::ByApplication, "", "en").await;
}
