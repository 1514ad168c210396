//! The walk of one caller, from Login to Logout.

use std::time::Duration;

use anyhow::{Context as _, bail};
use uuid::Builder;

use super::super::output;
use super::input::{Answers, Input};
use super::transcript::Transcript;
use super::{Args, Until, advice};
use crate::api::calls::Call;
use crate::api::calls::job_get::JobGet;
use crate::api::calls::login::Login;
use crate::api::calls::logout::Logout;
use crate::api::calls::password_random_get::PasswordRandomGet;
use crate::api::calls::user_account_list::UserAccountList;
use crate::api::calls::user_accounts_unlock::UserAccountsUnlock;
use crate::api::calls::user_answers_validate::UserAnswersValidate;
use crate::api::calls::user_ivr_list::UserIvrList;
use crate::api::calls::user_password_sync::UserPasswordSync;
use crate::api::calls::user_questions_get::UserQuestionsGet;
use crate::api::client::{Answer, Client, Value};
use crate::secret::Secret;
use crate::time::monotonic;

/// How long the same request is sent again that the server has no time for.
const RETRYING: Duration = Duration::from_secs(30);

/// Between two looks at a change that goes on.
const BETWEEN_LOOKS: Duration = Duration::from_millis(500);

/// How it ended, for the person who asked.
pub(super) enum Ended {
    /// As it should.
    Well(String),
    /// The caller was not verified, or not everything is done.
    Badly(String),
}

pub(super) struct Walk<'a> {
    pub(super) client: Client,
    pub(super) transcript: Transcript,
    pub(super) input: Input,
    pub(super) answers: Option<Answers>,
    pub(super) args: &'a Args,
}

impl Walk<'_> {
    /// From Login to Logout, which comes whatever has come before.
    pub(super) async fn whole(&mut self, password: Option<&Secret>) -> anyhow::Result<Ended> {
        let login = Value::object([
            ("user", Some(self.args.user.as_str().into())),
            ("password", password.map(Value::from)),
            ("caller", self.args.caller.as_deref().map(Value::from)),
            ("language", self.args.language.as_deref().map(Value::from)),
        ]);
        let session = self.call::<Login>(&login).await?;
        self.client
            .belong_to(Some(Secret::new(text(&session, "sessionId")?.to_owned())));
        let ended = self.caller().await;
        let left = self.call::<Logout>(&Value::object([])).await;
        let ended = ended?;
        left?;
        Ok(ended)
    }

    async fn caller(&mut self) -> anyhow::Result<Ended> {
        if self.is_over(Until::Login) {
            return Ok(self.as_asked());
        }
        let user = self.identified().await?;
        if self.is_over(Until::UserIvrList) {
            return Ok(self.as_asked());
        }
        if let Some(ended) = self.verified(&user).await? {
            return Ok(ended);
        }
        if self.is_over(Until::UserAnswersValidate) {
            return Ok(self.as_asked());
        }
        let listed = self.call::<UserAccountList>(&Value::object([])).await?;
        let accounts = self.chosen(&listed)?;
        if self.args.unlock {
            let order = Value::object([
                ("accounts", accounts),
                ("ticket", self.args.ticket.as_deref().map(Value::from)),
                ("idempotencyKey", Some(key())),
            ]);
            let job = self.call::<UserAccountsUnlock>(&order).await?;
            return self.carried_out(job).await;
        }
        if self.is_over(Until::UserAccountList) {
            return Ok(self.as_asked());
        }
        let wish = Value::object([
            ("accounts", accounts.clone()),
            ("audio", self.audio()),
            ("idempotencyKey", Some(key())),
        ]);
        let proposed = self.call::<PasswordRandomGet>(&wish).await?;
        if !self.args.reset {
            return Ok(self.as_asked());
        }
        let order = Value::object([
            ("accounts", accounts),
            ("password", proposed.member("password").cloned()),
            ("ticket", self.args.ticket.as_deref().map(Value::from)),
            ("idempotencyKey", Some(key())),
        ]);
        let job = self.call::<UserPasswordSync>(&order).await?;
        self.carried_out(job).await
    }

    fn is_over(&self, call: Until) -> bool {
        self.args.until == Some(call)
    }

    fn as_asked(&self) -> Ended {
        Ended::Well("every call was carried out; nothing was changed".to_owned())
    }

    fn audio(&self) -> Option<Value> {
        self.args.audio.map(|audio| audio.as_str().into())
    }

    /// Who calls: the handle.
    async fn identified(&mut self) -> anyhow::Result<Value> {
        let digits = self.input.secret("Digits of the ID: ")?;
        let request = Value::object([("digits", Some((&digits).into())), ("idempotencyKey", Some(key()))]);
        let listed = self.call::<UserIvrList>(&request).await?;
        let users = listed.member("users").map(Value::entries).unwrap_or_default();
        let chosen = match users.len() {
            0 => bail!("the server lists nobody; that is no Passline"),
            1 => 1,
            several => self.input.number(
                &format!("Several people share these digits; which one (1 to {several}): "),
                several,
            )?,
        };
        let user = users[chosen - 1].member("user").cloned();
        user.context("the server gives no handle of the user; that is no Passline")
    }

    /// Asks the questions until it is known whether it is really them. Gives an end where there is nothing more to do.
    async fn verified(&mut self, user: &Value) -> anyhow::Result<Option<Ended>> {
        let request = Value::object([("user", Some(user.clone())), ("audio", self.audio())]);
        // The server says `retry` once; a round has no more.
        for _ in 0..2 {
            let asked = self.call::<UserQuestionsGet>(&request).await?;
            if self.is_over(Until::UserQuestionsGet) {
                return Ok(Some(self.as_asked()));
            }
            let questions = asked.member("questions").map(Value::entries).unwrap_or_default();
            let answers = questions.iter().map(|question| self.answered(question));
            let answers = answers.collect::<anyhow::Result<Vec<_>>>()?;
            let request = Value::object([("answers", Some(Value::List(answers))), ("idempotencyKey", Some(key()))]);
            let judged = self.call::<UserAnswersValidate>(&request).await?;
            match text(&judged, "result")? {
                "passed" => return Ok(None),
                "locked" => {
                    return Ok(Some(Ended::Badly(
                        "the caller is not verified, and locked out for now; `passline user unlock` frees a person"
                            .to_owned(),
                    )));
                }
                "retry" => output::note("not right; the same questions once more"),
                _ => break,
            }
        }
        Ok(Some(Ended::Badly(
            "the caller is not verified: an answer is wrong, or nobody has these digits (the server does not say which)".to_owned(),
        )))
    }

    fn answered(&mut self, question: &Value) -> anyhow::Result<Value> {
        let wording = text(question, "text")?;
        let prompt = question.member("promptId").and_then(Value::text);
        let known = self.answers.as_ref().map(|answers| answers.to(prompt, wording));
        let digits = match known {
            Some(Some(digits)) => digits.clone(),
            Some(None) => bail!("--answers has no line for {wording:?}"),
            None => self.input.secret(&format!("{wording} "))?,
        };
        Ok(Value::object([
            ("question", question.member("question").cloned()),
            ("digits", Some((&digits).into())),
        ]))
    }

    /// Handles of the accounts on the systems that were named; nothing means all.
    fn chosen(&self, listed: &Value) -> anyhow::Result<Option<Value>> {
        if self.args.systems.is_empty() {
            return Ok(None);
        }
        let accounts = listed.member("accounts").map(Value::entries).unwrap_or_default();
        let mut chosen = Vec::new();
        for system in &self.args.systems {
            let before = chosen.len();
            let there = accounts
                .iter()
                .filter(|account| account.member("system").and_then(Value::text) == Some(system));
            chosen.extend(there.filter_map(|account| account.member("account").cloned()));
            if chosen.len() == before {
                bail!("the person has no account on {system}; UserAccountList shows the systems");
            }
        }
        Ok(Some(Value::List(chosen)))
    }

    /// Looks at a change until it has ended.
    async fn carried_out(&mut self, mut job: Value) -> anyhow::Result<Ended> {
        let until = monotonic() + self.args.wait;
        let handle = job.member("job").cloned();
        while text(&job, "status")? == "running" {
            if monotonic() >= until {
                return Ok(Ended::Badly(
                    "the change is not done yet; it goes on without anybody asking. Look into the audit log, or wait longer \
                     with --wait"
                        .to_owned(),
                ));
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
            job = self.call::<JobGet>(&Value::object([("job", handle.clone())])).await?;
        }
        let accounts = job.member("accounts").map(Value::entries).unwrap_or_default();
        let outcomes = accounts.iter().map(|account| {
            let part = |name| account.member(name).and_then(Value::text).unwrap_or("?");
            format!("{} {}: {}", part("system"), part("name"), part("outcome"))
        });
        let told = self.transcript.sentence(&outcomes.collect::<Vec<_>>().join("\n"));
        Ok(match text(&job, "status")? {
            "done" => Ended::Well(told),
            status => Ended::Badly(format!(
                "{told}\nnot everything is done: {}",
                self.transcript.sentence(status)
            )),
        })
    }

    /// Makes a call, and gives what it was answered with. What the server has no time for is sent again, with the same
    /// key.
    async fn call<C: Call>(&mut self, body: &Value) -> anyhow::Result<Value> {
        let until = monotonic() + RETRYING;
        loop {
            self.transcript.sends::<C>(&self.client, body);
            let answer = self.client.ask::<C>(body).await;
            let answer = answer.with_context(|| C::NAME.to_owned())?;
            self.transcript.hears::<C>(&self.client, body, &answer);
            if answer.is_success() {
                let body = answer
                    .body
                    .with_context(|| format!("{}: the answer is no JSON; {}", C::NAME, NO_PASSLINE));
                return body;
            }
            let pause = pause(&answer);
            match pause.filter(|pause| monotonic() + *pause < until) {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(self.refused::<C>(&answer)),
            }
        }
    }

    fn refused<C: Call>(&self, answer: &Answer) -> anyhow::Error {
        let member = |name| answer.body.as_ref()?.member(name)?.text();
        let title = member("title").map(|title| format!(", {title}"));
        let detail = member("detail").map(|detail| format!(" ({detail})"));
        let wait = answer.header("retry-after").filter(|_| answer.problem().is_some());
        let wait = wait.map(|seconds| format!(" [may be tried again in {seconds} s]"));
        let told = [title, detail, wait].map(Option::unwrap_or_default).concat();
        let told = self.transcript.sentence(&told);
        let (call, status, advice) = (C::NAME, answer.status, advice::on(answer));
        anyhow::anyhow!("{call}: {status}{told}: {advice}")
    }
}

const NO_PASSLINE: &str = "that is no Passline: look at host and port, and at proxies between";

/// How long to wait before the same is sent again, where that may help.
fn pause(answer: &Answer) -> Option<Duration> {
    let is_passing = matches!(
        answer.problem()?,
        "busy" | "unfinished" | "in-progress" | "too-many-requests"
    );
    let seconds = answer.header("retry-after").and_then(|text| text.parse().ok());
    is_passing.then(|| Duration::from_secs(seconds.unwrap_or(1).max(1)))
}

/// A key of this request alone.
fn key() -> Value {
    let random = Builder::from_random_bytes(rand::random()).into_uuid();
    Value::from(random.to_string().as_str())
}

fn text<'a>(value: &'a Value, name: &str) -> anyhow::Result<&'a str> {
    let member = value.member(name).and_then(Value::text);
    member.with_context(|| format!("the answer has no text {name:?}; {NO_PASSLINE}"))
}
