//! Linux and Unix hosts by SSH, with the tools that they have: `chpasswd`, `chage`, `passwd`, `faillock`.
//!
//! Passline signs in with a key or a password of its own, on a connection of its own for each operation, to a host whose key
//! is pinned. It runs those tools by `sudo`, directly or by one script that root has put there and that looks at who is
//! to be changed. A new password goes to the standard input of `chpasswd`: no list of processes and no history ever has it.

mod session;
mod shown;

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use super::error::Errors;
use super::{AccountState, Answer, Capabilities, Check, Expiry, Refusal, Target, TargetError, Verdict};
use crate::secret::Secret;
use session::{Host, Lost, Output, Session, SignIn, Tried};
pub use session::{HostKey, HostKeyError};
use shown::{LockRules, Person, Status};

/// How Passline proves itself; what that takes is kept encrypted in the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SshSignIn {
    /// A private key, in the format of OpenSSH or PEM, without a passphrase.
    Key,
    /// A password.
    Password,
}

/// One host.
#[derive(Clone, Debug)]
pub struct SshConfig {
    /// What the target is called.
    pub name: String,
    /// Name or address of the host.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The keys that it may show; at least one.
    pub host_keys: Vec<HostKey>,
    /// As whom Passline signs in.
    pub user: String,
    /// With what.
    pub sign_in: SshSignIn,
    /// A script of root's that runs the tools, instead of the tools themselves.
    pub script: Option<String>,
    /// Numbers of the users that Passline may change; system accounts are below.
    pub uids: RangeInclusive<u32>,
    /// Whether it counts failures with `pam_faillock`.
    pub faillock: bool,
    /// Whether people may sign in there by SSH with their passwords, so that one can be tried.
    pub verify: bool,
    /// How long connecting and signing in may take together.
    pub connect: Duration,
}

impl SshConfig {
    /// The usual limit for connecting and signing in.
    pub const CONNECT: Duration = Duration::from_secs(5);
    /// Who is a person, as Linux distributions number users (login.defs(5)).
    pub const UIDS: RangeInclusive<u32> = 1_000..=60_000;
}

/// See the module.
pub struct SshHost {
    config: SshConfig,
    host: Host,
    /// Or what is wrong with it.
    sign_in: Result<SignIn, String>,
}

/// A tool of the host, as the name of its file.
#[derive(Clone, Copy)]
enum Tool {
    Chage,
    Chpasswd,
    Faillock,
    Passwd,
}

impl Tool {
    /// Where Debian, Red Hat and SUSE have it.
    fn path(self) -> &'static str {
        match self {
            Self::Chage => "/usr/bin/chage",
            Self::Chpasswd => "/usr/sbin/chpasswd",
            Self::Faillock => "/usr/sbin/faillock",
            Self::Passwd => "/usr/bin/passwd",
        }
    }

    fn name(self) -> &'static str {
        self.path().rsplit('/').next().unwrap_or_default()
    }
}

/// A user as the host knows them, with what their password is like.
struct Account<'a> {
    name: &'a str,
    status: Status,
}

/// Whether a text can be the path of a script in a command line.
#[must_use]
pub fn is_script(path: &str) -> bool {
    path.starts_with('/') && path.chars().all(|c| c.is_ascii_alphanumeric() || "/_-.".contains(c))
}

/// Whether a text can be the name of a user in a command line: what `useradd` takes, and the names of domains. It holds nothing
/// that a shell would read as something else.
fn is_name(name: &str) -> bool {
    name.len() <= 255
        && name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.@+".contains(c))
}

impl SshHost {
    /// `credential` is the private key or password of `config.user`; without it nothing is ever asked. Nothing is connected
    /// yet.
    #[must_use]
    pub fn new(config: SshConfig, credential: Option<Secret>) -> Self {
        let sign_in = match (credential, config.sign_in) {
            (None, _) => {
                Err("no key or password is kept for it; enter it with `passline target credential`".to_owned())
            }
            (Some(password), SshSignIn::Password) => Ok(SignIn::Password(password)),
            (Some(key), SshSignIn::Key) => russh::keys::decode_secret_key(key.expose(), None)
                .map(|key| SignIn::Key(Arc::new(key)))
                .map_err(|_| {
                    "what is kept for it is no private key without a passphrase, as `ssh-keygen -N ''` makes it"
                        .to_owned()
                }),
        };
        let host = Host {
            host: config.host.clone(),
            port: config.port,
            keys: config.host_keys.clone(),
            connect: config.connect,
        };
        Self { config, host, sign_in }
    }

    fn errors(&self) -> Errors<'_> {
        Errors(&self.config.name)
    }

    async fn session(&self) -> Result<Session, TargetError> {
        let sign_in = self
            .sign_in
            .as_ref()
            .map_err(|reason| self.errors().unreachable(reason))?;
        let session = self.host.session(&self.config.user, sign_in).await;
        session.map_err(|reason| self.errors().unreachable(reason))
    }

    /// A command line. Arguments are ours or names ([`is_name`]): nothing in them needs quotes. Messages come in English, which
    /// is what we read.
    fn command(&self, check_only: bool, tool: Tool, arguments: &str) -> String {
        let sudo = match (self.config.user.as_str(), check_only) {
            ("root", false) => "",
            // Says whether it would run it.
            (_, true) => "sudo -n -l ",
            (_, false) => "sudo -n ",
        };
        let program = match &self.config.script {
            Some(script) => format!("{script} {}", tool.name()),
            None => tool.path().to_owned(),
        };
        format!("env LC_ALL=C {sudo}{program} {arguments}")
            .trim_end()
            .to_owned()
    }

    /// Runs a tool that changes nothing.
    async fn ask(&self, session: &Session, tool: Tool, arguments: &str) -> Result<Output, TargetError> {
        let ran = session.run(&self.command(false, tool, arguments), None).await;
        ran.map_err(|lost| self.errors().unreachable(lost.reason))
    }

    /// Runs a tool that changes something, and reads what became of it.
    async fn order(
        &self,
        session: &Session,
        (tool, arguments): (Tool, &str),
        input: Option<&Secret>,
    ) -> Result<(), TargetError> {
        match session.run(&self.command(false, tool, arguments), input).await {
            Ok(output) if output.status == 0 => Ok(()),
            // A signal ended it, as a shell tells that.
            Ok(output) if output.status >= 128 => {
                Err(self
                    .errors()
                    .unknown(format!("{} ended with status {}", tool.name(), output.status)))
            }
            Ok(output) => {
                let refusal = refusal(&output);
                tracing::info!(target.name = %self.config.name, tool = tool.name(), status = output.status, %refusal,
                    "a change was refused");
                Err(self.errors().refused(refusal))
            }
            Err(Lost { reason, sent: true }) => Err(self.errors().unknown(reason)),
            Err(Lost { reason, sent: false }) => Err(self.errors().unreachable(reason)),
        }
    }

    async fn find<'a>(&self, session: &Session, name: &'a str) -> Result<Account<'a>, TargetError> {
        let nobody = || self.errors().refused(Refusal::NoSuchAccount);
        if !is_name(name) {
            return Err(nobody());
        }
        let ran = session.run(&format!("env LC_ALL=C getent passwd {name}"), None).await;
        let found = ran.map_err(|lost| self.errors().unreachable(lost.reason))?;
        // 2 is what it answers for nobody (getent(1)).
        if !matches!(found.status, 0 | 2) {
            return Err(self
                .errors()
                .unreachable(format!("getent ended with status {}", found.status)));
        }
        // A number finds somebody of another name.
        let person = found
            .out
            .lines()
            .find_map(Person::parse)
            .filter(|person| person.name == name);
        let person = person.ok_or_else(nobody)?;
        if !self.config.uids.contains(&person.uid) {
            tracing::warn!(target.name = %self.config.name, account = name, uid = person.uid,
                "this user is outside of `uids` and is left alone");
            return Err(self.errors().refused(Refusal::Rights));
        }
        let shown = self.ask(session, Tool::Passwd, &format!("-S {name}")).await?;
        let status = Status::parse(&shown.out, name).ok_or_else(|| self.errors().refused(refusal(&shown)))?;
        Ok(Account { name, status })
    }

    async fn is_locked(&self, session: &Session, name: &str) -> Result<Option<bool>, TargetError> {
        if !self.config.faillock {
            return Ok(None);
        }
        let plain = async |command: &str| {
            let ran = session.run(command, None).await;
            ran.map_err(|lost| self.errors().unreachable(lost.reason))
        };
        let failures = self.ask(session, Tool::Faillock, &format!("--user {name}")).await?;
        if failures.status != 0 {
            return Ok(None);
        }
        let rules = LockRules::parse(&plain("cat /etc/security/faillock.conf").await?.out);
        let now = plain("date '+%Y-%m-%d %H:%M:%S'").await?.out;
        Ok(shown::clock(&now).map(|now| rules.is_locked(&failures.out, now)))
    }

    async fn set_password(&self, name: &str, password: &Secret, expiry: Expiry) -> Result<Expiry, TargetError> {
        if password.expose().chars().any(char::is_control) || password.is_empty() {
            return Err(self.errors().refused(Refusal::Policy));
        }
        let session = self.session().await?;
        let account = self.find(&session, name).await?;
        if account.status.disabled {
            return Err(self.errors().refused(Refusal::Disabled));
        }
        let locked = self.is_locked(&session, name).await?;
        let line = Secret::new(format!("{}:{}\n", account.name, password.expose()));
        self.order(&session, (Tool::Chpasswd, ""), Some(&line)).await?;
        let half = |error: TargetError| self.errors().unknown(format!("the password is set, but: {error}"));
        let expiry = match expiry {
            Expiry::Keep => Expiry::Keep,
            Expiry::AtNextSignIn => match self.order(&session, (Tool::Chage, &format!("-d 0 {name}")), None).await {
                Ok(()) => Expiry::AtNextSignIn,
                // The password works all the same.
                Err(TargetError::Refused { .. }) => Expiry::Keep,
                Err(error) => return Err(half(error)),
            },
        };
        if locked == Some(true) {
            let reset = self
                .order(&session, (Tool::Faillock, &format!("--reset --user {name}")), None)
                .await;
            reset.map_err(half)?;
        }
        session.close().await;
        Ok(expiry)
    }

    async fn change(&self, name: &str, tool: Tool, arguments: &str) -> Result<(), TargetError> {
        let session = self.session().await?;
        let account = self.find(&session, name).await?;
        self.order(&session, (tool, &format!("{arguments} {}", account.name)), None)
            .await?;
        session.close().await;
        Ok(())
    }

    async fn try_password(&self, name: &str, password: &Secret) -> Result<Verdict, TargetError> {
        if !self.config.verify {
            return Err(self.errors().unsupported("try a password"));
        }
        if password.is_empty() || !is_name(name) {
            return Ok(Verdict::Rejected);
        }
        let tried = self.host.try_password(name, password).await;
        let tried = tried.map_err(|reason| self.errors().unreachable(reason))?;
        let session = self.session().await?;
        let account = match self.find(&session, name).await {
            Err(TargetError::Refused {
                refusal: Refusal::NoSuchAccount,
                ..
            }) if tried == Tried::Wrong => return Ok(Verdict::Rejected),
            found => found?,
        };
        let verdict = match tried {
            Tried::Right if account.status.must_change => Verdict::AcceptedMustChange,
            Tried::Right => Verdict::Accepted,
            Tried::RightMustChange => Verdict::AcceptedMustChange,
            Tried::Unclear => Verdict::Barred,
            Tried::NoPasswords => return Err(self.errors().unsupported("try a password: this host takes none")),
            Tried::Wrong if account.status.disabled || self.is_locked(&session, name).await? == Some(true) => {
                Verdict::Barred
            }
            Tried::Wrong => Verdict::Rejected,
        };
        session.close().await;
        Ok(verdict)
    }

    async fn checks(&self, name: Option<&str>) -> Result<Vec<Check>, TargetError> {
        let connected = self.session().await;
        let what = format!(
            "sign in on {}:{} as {}",
            self.host.host, self.host.port, self.config.user
        );
        let session = match connected {
            Ok(session) => session,
            Err(error) => return Ok(vec![Check::new(what, Some(error.to_string()))]),
        };
        let mut checks = vec![Check::new(what, None)];
        let somebody = name.filter(|name| is_name(name)).unwrap_or("somebody");
        let mut needs = vec![
            (Tool::Chpasswd, String::new(), "set passwords"),
            (
                Tool::Passwd,
                format!("-S {somebody}"),
                "see the state of accounts, and reset any",
            ),
            (Tool::Chage, format!("-d 0 {somebody}"), "make new passwords expire"),
        ];
        if self.config.faillock {
            needs.push((Tool::Faillock, format!("--user {somebody}"), "see locks"));
            needs.push((Tool::Faillock, format!("--reset --user {somebody}"), "clear locks"));
        }
        for (tool, arguments, need) in needs {
            checks.push(self.right(&session, tool, &arguments, need).await?);
        }
        if let Some(name) = name {
            let problem = match self.find(&session, name).await {
                Ok(account) if account.status.disabled => {
                    Some("it is locked by an administrator; Passline leaves it alone".to_owned())
                }
                Ok(_) => None,
                Err(error) => Some(format!("{error}; look at `uids`")),
            };
            checks.push(Check::new(format!("find {name}"), problem));
        }
        session.close().await;
        Ok(checks)
    }

    /// Whether a tool would be run; runs nothing.
    async fn right(&self, session: &Session, tool: Tool, arguments: &str, need: &str) -> Result<Check, TargetError> {
        let check_only = self.config.user != "root";
        let command = match check_only {
            true => self.command(true, tool, arguments),
            false => format!("test -x {}", self.config.script.as_deref().unwrap_or(tool.path())),
        };
        let ran = session.run(&command, None).await;
        let output = ran.map_err(|lost| self.errors().unreachable(lost.reason))?;
        let problem = (output.status != 0).then(|| {
            format!(
                "not allowed or not there (docs/TARGETS.md has the line for sudoers); without it Passline cannot {need}"
            )
        });
        Ok(Check::new(
            format!("run {} {arguments}", tool.name()).trim_end(),
            problem,
        ))
    }

    async fn list(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, TargetError> {
        let session = self.session().await?;
        let ran = session.run("env LC_ALL=C getent passwd", None).await;
        let shown = ran.map_err(|lost| self.errors().unreachable(lost.reason))?;
        session.close().await;
        if shown.status != 0 {
            return Err(self
                .errors()
                .unreachable(format!("`getent passwd` ended with status {}", shown.status)));
        }
        if shown.out.len() >= session::MAX_OUTPUT {
            return Err(self.errors().unreachable("it has more users than Passline can list"));
        }
        let mut names = shown::people(&shown.out, &self.config.uids);
        names.retain(|name| is_name(name) && after.is_none_or(|after| name.as_str() > after));
        names.truncate(limit);
        Ok(names)
    }
}

/// Why a tool did not do it.
fn refusal(output: &Output) -> Refusal {
    let said = [output.err.as_str(), output.out.as_str()];
    let says = |text: &str| said.iter().any(|said| said.contains(text));
    if output.err.starts_with("sudo:") || says("not allowed to execute") || says("Permission denied") {
        Refusal::Rights
    } else if says("does not exist") || says("Unknown user") {
        Refusal::NoSuchAccount
    } else if says("BAD PASSWORD") {
        Refusal::Policy
    } else {
        Refusal::Other
    }
}

impl Target for SshHost {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            verify: self.config.verify,
            reset: true,
            change: false,
            expire: true,
            unlock: self.config.faillock,
            lock_state: self.config.faillock,
            enable: true,
            list_accounts: true,
            policy: false,
        }
    }

    fn verify<'a>(&'a self, account: &'a str, password: &'a Secret) -> Answer<'a, Verdict> {
        Box::pin(self.try_password(account, password))
    }

    fn reset<'a>(&'a self, account: &'a str, password: &'a Secret, expiry: Expiry) -> Answer<'a, Expiry> {
        Box::pin(self.set_password(account, password, expiry))
    }

    fn expire<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change(account, Tool::Chage, "-d 0"))
    }

    fn unlock<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change(account, Tool::Faillock, "--reset --user"))
    }

    fn state<'a>(&'a self, account: &'a str) -> Answer<'a, AccountState> {
        Box::pin(async move {
            let session = self.session().await?;
            let account = self.find(&session, account).await?;
            let locked = self.is_locked(&session, account.name).await?;
            session.close().await;
            Ok(AccountState {
                locked,
                disabled: Some(account.status.disabled),
                must_change: Some(account.status.must_change),
                // Only the day of the last change is known.
                marker: None,
            })
        })
    }

    fn enable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change(account, Tool::Passwd, "-u"))
    }

    fn disable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change(account, Tool::Passwd, "-l"))
    }

    fn list_accounts<'a>(&'a self, after: Option<&'a str>, limit: usize) -> Answer<'a, Vec<String>> {
        Box::pin(self.list(after, limit))
    }

    fn test<'a>(&'a self, account: Option<&'a str>) -> Answer<'a, Vec<Check>> {
        Box::pin(self.checks(account))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever an account is called, a shell reads one word without a meaning of its own.
        #[test]
        fn a_name_is_one_plain_word(name in "[a-z0-9_.@+:;$ /\\n-]{0,6}") {
            if is_name(&name) {
                prop_assert!(!name.starts_with('-') && !name.is_empty());
                prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.@+".contains(&b)));
            }
        }
    }

    #[test]
    fn names_that_would_be_something_else_are_none() {
        for name in [
            "",
            "-l",
            "anna:x",
            "anna\nroot",
            "$(id)",
            "a b",
            "anna;id",
            "../x",
            "anna\u{e9}",
        ] {
            assert!(!is_name(name), "{name:?}");
        }
        for name in ["anna", "anna.berger", "_svc", "anna@corp.example.com", "007"] {
            assert!(is_name(name), "{name:?}");
        }
    }
}
