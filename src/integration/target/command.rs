//! A program of the company's own that resets passwords where nothing else of ours can: one run for each operation, with a
//! request as JSON on its standard input and an answer as JSON on its standard output.
//!
//! The exit code says what happened, in the numbers of sysexits.h; the answer only adds to it, so that a shell script of three
//! lines is enough:
//!
//! | code | | |
//! |---|---|---|
//! | 0 | | done |
//! | 64 | `EX_USAGE` | it cannot do that |
//! | 65 | `EX_DATAERR` | refused: the password breaks its rules |
//! | 67 | `EX_NOUSER` | refused: there is no such account |
//! | 69, 75 | `EX_UNAVAILABLE`, `EX_TEMPFAIL` | nothing happened, the same may succeed later |
//! | 77 | `EX_NOPERM` | refused: a right is missing |
//! | 79 | none of theirs | refused: the account is disabled |
//! | 80 | none of theirs | refused for another reason |
//! | any other, 1 too, a signal, no end in time | | it may have happened |
//!
//! 1 is what a script ends with that breaks in the middle.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::error::Errors;
use super::{AccountState, Answer, Capabilities, Check, Expiry, PasswordMarker, Refusal, Target, TargetError, Verdict};
use crate::identity::policy::Policy;
use crate::program::{Environment, Finished, ProgramError, Run};
use crate::secret::Secret;

/// Answers are short but for lists of accounts.
const MAX_ANSWER: usize = 4 << 20;

/// A program and what it can do.
#[derive(Clone, Debug)]
pub struct CommandConfig {
    /// What the target is called.
    pub name: String,
    /// The program and its arguments.
    pub program: Vec<String>,
    /// What it can do.
    pub can: Capabilities,
    /// As whom it signs in, if Passline keeps the password for that.
    pub user: Option<String>,
    /// How long one run may take.
    pub limit: Duration,
    /// How many may run at once.
    pub at_once: usize,
}

impl CommandConfig {
    /// The usual limit for one run.
    pub const LIMIT: Duration = Duration::from_secs(10);
    /// The usual number of runs at once.
    pub const AT_ONCE: usize = 4;
}

/// See the module.
#[derive(Debug)]
pub struct Command {
    config: CommandConfig,
    credential: Option<Secret>,
    runs: Semaphore,
}

/// What is asked; `version` lets a program tell requests that it does not know.
#[derive(Serialize)]
struct Request<'a> {
    version: u32,
    operation: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    account: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    password: Option<&'a str>,
    /// Whether the password is to be changed at the next sign-in.
    #[serde(skip_serializing_if = "Option::is_none")]
    must_change: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<&'a str>,
}

impl<'a> Request<'a> {
    fn of(operation: &'static str, account: Option<&'a str>) -> Self {
        Self {
            version: 1,
            operation,
            account,
            password: None,
            must_change: None,
            after: None,
            limit: None,
            user: None,
            credential: None,
        }
    }
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VerdictWord {
    Accepted,
    MustChange,
    Rejected,
    Barred,
}

#[derive(Deserialize)]
struct Tried {
    verdict: VerdictWord,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Done {
    must_change: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct State {
    locked: Option<bool>,
    disabled: Option<bool>,
    must_change: Option<bool>,
    marker: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    accounts: Vec<String>,
}

#[derive(Deserialize)]
struct Rules {
    min_length: Option<u16>,
    max_length: Option<u16>,
    min_classes: Option<u8>,
    history: Option<u8>,
}

#[derive(Deserialize)]
struct Finding {
    what: String,
    problem: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Tested {
    checks: Vec<Finding>,
}

/// Whether a run changes something: only then is it unknown what became of one that broke off.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Asks,
    Changes,
}

impl Command {
    /// `credential` is the password of the account that `config.user` names.
    #[must_use]
    pub fn new(config: CommandConfig, credential: Option<Secret>) -> Self {
        Self {
            runs: Semaphore::new(config.at_once),
            config,
            credential,
        }
    }

    fn errors(&self) -> Errors<'_> {
        Errors(&self.config.name)
    }

    async fn run(&self, kind: Kind, mut request: Request<'_>) -> Result<Finished, TargetError> {
        if self.config.user.is_some() && self.credential.is_none() {
            let reason = "no password is kept for it; enter it with `passline target credential`";
            return Err(self.errors().unreachable(reason));
        }
        request.user = self.config.user.as_deref();
        request.credential = self.credential.as_ref().map(Secret::expose);
        let operation = request.operation;
        let mut input = Zeroizing::new(Vec::with_capacity(1_024));
        if let Err(error) = serde_json::to_writer(&mut *input, &request) {
            return Err(self.errors().unreachable(error.to_string()));
        }
        input.push(b'\n');
        let waiting = tokio::time::timeout(self.config.limit, self.runs.acquire()).await;
        let Ok(Ok(_permit)) = waiting else {
            return Err(self.errors().unreachable("too many runs of its program are under way"));
        };
        let run = Run {
            words: &self.config.program,
            environment: Environment::Plain,
            limit: self.config.limit,
            max_output: MAX_ANSWER,
        };
        let ended = run.run(&input).await;
        self.read(kind, operation, ended)
    }

    fn read(
        &self,
        kind: Kind,
        operation: &'static str,
        ended: Result<Finished, ProgramError>,
    ) -> Result<Finished, TargetError> {
        let broken = |reason: String| match kind {
            Kind::Asks => self.errors().unreachable(reason),
            Kind::Changes => self.errors().unknown(reason),
        };
        let finished = match ended {
            Ok(finished) => finished,
            Err(error @ ProgramError::NotStarted(_)) => {
                return Err(self.errors().unreachable(format!("its program: {error}")));
            }
            Err(error) => return Err(broken(format!("its program: {error}"))),
        };
        let refusal = match finished.code {
            Some(0) => return Ok(finished),
            Some(64) => return Err(self.errors().unsupported(operation)),
            Some(code @ (69 | 75)) => return Err(self.errors().unreachable(format!("its program: exit code {code}"))),
            Some(65) => Refusal::Policy,
            Some(67) => Refusal::NoSuchAccount,
            Some(77) => Refusal::Rights,
            Some(79) => Refusal::Disabled,
            Some(80) => Refusal::Other,
            Some(code) => return Err(broken(format!("its program: exit code {code}"))),
            None => return Err(broken("its program was ended by a signal".to_owned())),
        };
        tracing::info!(target.name = %self.config.name, operation, %refusal, "its program refused");
        Err(self.errors().refused(refusal))
    }

    /// An answer that must be there.
    fn answer<T: for<'de> Deserialize<'de>>(&self, finished: &Finished) -> Result<T, TargetError> {
        // The parser's own words may repeat what it read.
        serde_json::from_slice(&finished.output).map_err(|error| {
            let place = format!("line {}, column {}", error.line(), error.column());
            self.errors().unreachable(format!(
                "what its program wrote is not the answer that docs/TARGETS.md shows ({place})"
            ))
        })
    }

    async fn try_password(&self, account: &str, password: &Secret) -> Result<Verdict, TargetError> {
        let mut request = Request::of("verify", Some(account));
        request.password = Some(password.expose());
        let finished = self.run(Kind::Asks, request).await?;
        Ok(match self.answer::<Tried>(&finished)?.verdict {
            VerdictWord::Accepted => Verdict::Accepted,
            VerdictWord::MustChange => Verdict::AcceptedMustChange,
            VerdictWord::Rejected => Verdict::Rejected,
            VerdictWord::Barred => Verdict::Barred,
        })
    }

    async fn set_password(&self, account: &str, password: &Secret, expiry: Expiry) -> Result<Expiry, TargetError> {
        let mut request = Request::of("reset", Some(account));
        request.password = Some(password.expose());
        request.must_change = Some(expiry == Expiry::AtNextSignIn);
        let finished = self.run(Kind::Changes, request).await?;
        // It is done; a program that says no more cannot make it expire.
        let done: Done = serde_json::from_slice(&finished.output).unwrap_or_default();
        Ok(match done.must_change {
            Some(true) => Expiry::AtNextSignIn,
            Some(false) | None => Expiry::Keep,
        })
    }

    async fn change(&self, operation: &'static str, account: &str) -> Result<(), TargetError> {
        let request = Request::of(operation, Some(account));
        self.run(Kind::Changes, request).await.map(|_| ())
    }

    async fn checks(&self, account: Option<&str>) -> Result<Vec<Check>, TargetError> {
        let what = format!("run {}", self.config.program.join(" "));
        match self.run(Kind::Asks, Request::of("test", account)).await {
            Ok(finished) => {
                let mut checks = vec![Check::new(what, None)];
                let tested: Tested = serde_json::from_slice(&finished.output).unwrap_or_default();
                checks.extend(
                    tested
                        .checks
                        .into_iter()
                        .map(|finding| Check::new(finding.what, finding.problem)),
                );
                Ok(checks)
            }
            // It runs, and has no such operation.
            Err(TargetError::Unsupported { .. }) => Ok(vec![Check::new(what, None)]),
            Err(error) => Ok(vec![Check::new(what, Some(error.to_string()))]),
        }
    }

    async fn rules(&self, account: &str) -> Result<Policy, TargetError> {
        let finished = self.run(Kind::Asks, Request::of("policy", Some(account))).await?;
        let rules: Rules = self.answer(&finished)?;
        let any = Policy::any();
        let max_length = rules.max_length.unwrap_or(any.max_length).clamp(1, any.max_length);
        Ok(Policy {
            min_length: rules.min_length.unwrap_or(any.min_length).clamp(1, max_length),
            max_length,
            min_classes: rules.min_classes.unwrap_or(any.min_classes).min(4),
            history: rules.history.unwrap_or(0).min(Policy::MAX_HISTORY),
            ..any
        })
    }

    /// What is not configured is not asked for.
    fn able<'a, T: Send + 'a>(
        &'a self,
        can: bool,
        operation: &'static str,
        work: impl Future<Output = Result<T, TargetError>> + Send + 'a,
    ) -> Answer<'a, T> {
        if can {
            Box::pin(work)
        } else {
            Box::pin(std::future::ready(Err(self.errors().unsupported(operation))))
        }
    }
}

impl Target for Command {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn capabilities(&self) -> Capabilities {
        self.config.can
    }

    fn verify<'a>(&'a self, account: &'a str, password: &'a Secret) -> Answer<'a, Verdict> {
        self.able(
            self.config.can.verify,
            "verify a password",
            self.try_password(account, password),
        )
    }

    fn reset<'a>(&'a self, account: &'a str, password: &'a Secret, expiry: Expiry) -> Answer<'a, Expiry> {
        let work = self.set_password(account, password, expiry);
        self.able(self.config.can.reset, "reset a password", work)
    }

    fn expire<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        self.able(
            self.config.can.expire,
            "expire a password",
            self.change("expire", account),
        )
    }

    fn unlock<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        self.able(
            self.config.can.unlock,
            "unlock an account",
            self.change("unlock", account),
        )
    }

    fn state<'a>(&'a self, account: &'a str) -> Answer<'a, AccountState> {
        self.able(self.config.can.lock_state, "tell the state of an account", async move {
            let finished = self.run(Kind::Asks, Request::of("state", Some(account))).await?;
            let state: State = self.answer(&finished)?;
            Ok(AccountState {
                locked: state.locked,
                disabled: state.disabled,
                must_change: state.must_change,
                marker: state.marker.map(PasswordMarker::new),
            })
        })
    }

    fn enable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        self.able(
            self.config.can.enable,
            "enable an account",
            self.change("enable", account),
        )
    }

    fn disable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        self.able(
            self.config.can.enable,
            "disable an account",
            self.change("disable", account),
        )
    }

    fn list_accounts<'a>(&'a self, after: Option<&'a str>, limit: usize) -> Answer<'a, Vec<String>> {
        self.able(self.config.can.list_accounts, "list accounts", async move {
            let mut request = Request::of("list", None);
            (request.after, request.limit) = (after, Some(limit));
            let finished = self.run(Kind::Asks, request).await?;
            let mut accounts = self.answer::<Listed>(&finished)?.accounts;
            accounts.truncate(limit);
            Ok(accounts)
        })
    }

    fn test<'a>(&'a self, account: Option<&'a str>) -> Answer<'a, Vec<Check>> {
        Box::pin(self.checks(account))
    }

    fn policy<'a>(&'a self, account: &'a str) -> Answer<'a, Policy> {
        self.able(self.config.can.policy, "tell its password policy", self.rules(account))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYTHING: Capabilities = Capabilities {
        verify: true,
        reset: true,
        change: false,
        expire: true,
        unlock: true,
        lock_state: true,
        enable: true,
        list_accounts: true,
        policy: true,
    };

    fn script(text: &str, can: Capabilities) -> Command {
        let config = CommandConfig {
            name: "erp".to_owned(),
            program: ["sh", "-c", text].map(str::to_owned).to_vec(),
            can,
            user: None,
            limit: Duration::from_millis(900),
            at_once: 1,
        };
        Command::new(config, None)
    }

    fn secret() -> Secret {
        Secret::new("Quoted\"\\Pass-1".to_owned())
    }

    #[tokio::test]
    async fn a_request_is_one_line_of_json() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("request");
        let mut target = script(&format!("cat > {}", file.display()), EVERYTHING);
        target.config.user = Some("svc".to_owned());
        target.credential = Some(Secret::new("its own".to_owned()));
        let answer = target.reset("anna", &secret(), Expiry::AtNextSignIn).await;
        assert_eq!(answer, Ok(Expiry::Keep), "it said nothing of expiry");
        let request = std::fs::read_to_string(&file).expect("a request");
        assert_eq!(
            request,
            "{\"version\":1,\"operation\":\"reset\",\"account\":\"anna\",\"password\":\"Quoted\\\"\\\\Pass-1\",\
             \"must_change\":true,\"user\":\"svc\",\"credential\":\"its own\"}\n"
        );
        target.credential = None;
        let answer = target.reset("anna", &secret(), Expiry::Keep).await;
        assert!(matches!(answer, Err(TargetError::Unreachable { .. })));
    }

    #[tokio::test]
    async fn the_exit_code_says_what_happened() {
        let refused = |refusal| {
            Err(TargetError::Refused {
                target: "erp".to_owned(),
                refusal,
            })
        };
        for (code, refusal) in [
            (65, Refusal::Policy),
            (67, Refusal::NoSuchAccount),
            (77, Refusal::Rights),
            (79, Refusal::Disabled),
            (80, Refusal::Other),
        ] {
            let target = script(&format!("exit {code}"), EVERYTHING);
            let answer = target.reset("anna", &secret(), Expiry::Keep).await;
            assert_eq!(answer, refused(refusal), "{code}");
        }
        for (text, may_have_happened) in [
            ("exit 69", false),
            ("exit 75", false),
            ("exit 1", true),
            ("exit 127", true),
            ("kill -9 $$", true),
            ("sleep 600", true),
            ("yes", true),
        ] {
            let target = script(text, EVERYTHING);
            let error = target.reset("anna", &secret(), Expiry::Keep).await.expect_err(text);
            assert_eq!(error.may_have_happened(), may_have_happened, "{text}: {error}");
            // A question changes nothing, whatever became of it.
            let error = target.state("anna").await.expect_err(text);
            assert!(error.is_transient(), "{text}: {error}");
        }
        let unable = script("exit 64", EVERYTHING).unlock("anna").await;
        assert!(matches!(unable, Err(TargetError::Unsupported { .. })));
        let mut nowhere = script("", EVERYTHING);
        nowhere.config.program = vec!["/nowhere/reset".to_owned()];
        let error = nowhere.unlock("anna").await.expect_err("no program");
        assert!(error.is_transient(), "{error}");
    }

    #[tokio::test]
    async fn answers_add_to_it() {
        let answering = |json: &str| script(&format!("echo '{json}'"), EVERYTHING);
        let reset = answering("{\"must_change\":true}")
            .reset("anna", &secret(), Expiry::AtNextSignIn)
            .await;
        assert_eq!(reset, Ok(Expiry::AtNextSignIn));
        for (word, verdict) in [
            ("accepted", Verdict::Accepted),
            ("must_change", Verdict::AcceptedMustChange),
            ("rejected", Verdict::Rejected),
            ("barred", Verdict::Barred),
        ] {
            let target = answering(&format!("{{\"verdict\":\"{word}\"}}"));
            assert_eq!(target.verify("anna", &secret()).await, Ok(verdict));
        }
        let state = answering("{\"locked\":true,\"marker\":\"7\"}")
            .state("anna")
            .await
            .expect("a state");
        assert_eq!((state.locked, state.disabled), (Some(true), None));
        assert_eq!(state.marker, Some(PasswordMarker::new("7".to_owned())));
        let rules = answering("{\"min_length\":12}").policy("anna").await.expect("rules");
        assert_eq!((rules.min_length, rules.max_length), (12, Policy::MAX_LENGTH));
        let listed = answering("{\"accounts\":[\"a\",\"b\",\"c\"]}")
            .list_accounts(None, 2)
            .await;
        assert_eq!(listed, Ok(vec!["a".to_owned(), "b".to_owned()]));
        let checks = answering("{\"checks\":[{\"what\":\"see\",\"problem\":\"no\"}]}")
            .test(None)
            .await
            .expect("checks");
        assert_eq!(checks.len(), 2);
        assert_eq!(checks[1], Check::new("see", Some("no".to_owned())));
    }

    #[tokio::test]
    async fn an_answer_that_is_none_is_told_without_repeating_it() {
        let target = script("cat", EVERYTHING);
        let error = target
            .verify("anna", &secret())
            .await
            .expect_err("no verdict")
            .to_string();
        assert!(
            error.contains("docs/TARGETS.md") && !error.contains("Pass-1"),
            "{error}"
        );
    }

    #[tokio::test]
    async fn what_it_cannot_do_is_not_asked_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("ran");
        let target = script(&format!("touch {}", file.display()), Capabilities::default());
        let unsupported = |error| matches!(error, TargetError::Unsupported { .. });
        assert!(
            target
                .reset("anna", &secret(), Expiry::Keep)
                .await
                .is_err_and(unsupported)
        );
        assert!(target.verify("anna", &secret()).await.is_err_and(unsupported));
        assert!(target.state("anna").await.is_err_and(unsupported));
        assert!(!file.exists());
    }

    #[tokio::test]
    async fn no_more_run_at_once_than_may() {
        let target = std::sync::Arc::new(script("sleep 600", EVERYTHING));
        let run = || {
            let target = target.clone();
            tokio::spawn(async move { target.unlock("anna").await.expect_err("no end") })
        };
        let (first, second) = (run(), run());
        let errors = [first.await.expect("it ran"), second.await.expect("it ran")];
        assert!(errors.iter().any(TargetError::may_have_happened), "{errors:?}");
    }
}
