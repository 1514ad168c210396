//! Cloud services and other systems with an API over HTTP: Keycloak, Microsoft Entra ID, Okta, Google Workspace,
//! ServiceNow, whatever speaks SCIM 2.0 (RFC 7644), and what somebody describes in a file.
//!
//! A [`Description`] says which requests do what and what their answers mean. A request that got no answer, or one that says
//! that something broke in the middle (500 and what is above; 503 comes from proxies as well), may have had its effect; before
//! it was sent, and when the server says that there were too many (429), nothing has happened.

mod client;
mod description;
mod template;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use self::client::{Client, Identity, NoResponse, Response, bounded};
use self::description::{Answered, Condition, Line, Meaning, Only, Parts, Shown, Step, names};
pub use self::description::{Description, SHIPPED};
use self::template::Values;
use super::error::Errors;
use super::{
    AccountState, Answer, Capabilities, Check, Expiry, PasswordMarker, Refusal, Target, TargetError, TlsError, Verdict,
    tls,
};
use crate::identity::policy::Policy;
use crate::secret::Secret;

/// One system.
#[derive(Clone, Debug)]
pub struct RestConfig {
    /// What the target is called.
    pub name: String,
    /// What its API is like.
    pub description: Description,
    /// Where it is: the beginning of every address.
    pub url: String,
    /// As whom Passline signs in: a user, a client, an account of a service.
    pub user: String,
    /// What the description asks for.
    pub parameters: BTreeMap<String, String>,
    /// File of certificates (PEM) that sign the server's; the system's own if there is none.
    pub ca: Option<PathBuf>,
    /// A proxy on the way, such as `http://proxy.example.com:3128`.
    pub proxy: Option<String>,
    /// How long connecting may take.
    pub connect: Duration,
}

impl RestConfig {
    /// The usual limit for connecting.
    pub const CONNECT: Duration = Duration::from_millis(1_500);

    /// What the description asks for and nobody has given.
    #[must_use]
    pub fn missing(&self) -> Vec<&str> {
        let missing = |name: &&String| !self.parameters.contains_key(*name);
        self.description
            .parameters
            .iter()
            .filter(missing)
            .map(String::as_str)
            .collect()
    }

    /// What is given and the description does not know.
    #[must_use]
    pub fn unknown(&self) -> Vec<&str> {
        let description = &self.description;
        let known = |name: &String| {
            description.parameters.contains(name)
                || description.optional.contains(name)
                || description.defaults.contains_key(name)
        };
        self.parameters
            .keys()
            .filter(|name| !known(name))
            .map(String::as_str)
            .collect()
    }
}

/// A client that cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// The certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Something else, such as the address of the proxy.
    #[error("cannot make a client for it: {0}")]
    Client(String),
}

/// Whether an address goes over TLS, or stays on this machine.
#[must_use]
pub fn is_address(text: &str) -> bool {
    text.parse().is_ok_and(|url| client::is_safe(&url))
}

/// See the module.
pub struct Rest {
    config: RestConfig,
    credential: Option<Secret>,
    client: Client,
}

/// An account as it was found.
struct Account {
    id: String,
    locked: Option<bool>,
    disabled: Option<bool>,
    must_change: Option<bool>,
    marker: Option<String>,
}

/// What became of a step.
enum Done {
    Yes,
    No(TargetError),
}

impl Rest {
    /// `credential` is what `config.user` proves itself with. Nothing is connected yet.
    ///
    /// # Errors
    /// [`RestError`].
    pub fn new(config: RestConfig, credential: Option<Secret>) -> Result<Self, RestError> {
        let tls = tls::client(config.ca.as_deref())?;
        let client = Client::new(tls, config.connect, config.proxy.as_deref());
        Ok(Self {
            client: client.map_err(|error| RestError::Client(error.to_string()))?,
            config,
            credential,
        })
    }

    fn errors(&self) -> Errors<'_> {
        Errors(&self.config.name)
    }

    fn description(&self) -> &Description {
        &self.config.description
    }

    fn values<'a>(&'a self, more: &[(&'a str, &'a str)]) -> Values<'a> {
        let own = self
            .config
            .parameters
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let given = [("url", self.config.url.as_str()), ("user", self.config.user.as_str())];
        let defaults = self.description().defaults.iter();
        let defaults = defaults.map(|(name, value)| (name.as_str(), value.as_str()));
        Values {
            must_change: false,
            // The last one counts.
            texts: defaults.chain(own).chain(given).chain(more.iter().copied()).collect(),
        }
    }

    /// Whether everything that a request needs is given.
    fn has_all(&self, line: &Line, parts: &Parts) -> bool {
        let optional = &self.description().optional;
        let missing = |name: &String| optional.contains(name) && !self.config.parameters.contains_key(name);
        !names(line, parts).iter().any(missing)
    }

    async fn identity(&self) -> Result<Identity, TargetError> {
        let Some(credential) = &self.credential else {
            let reason = "nothing is kept to sign in with; enter it with `passline target credential`";
            return Err(self.errors().unreachable(reason));
        };
        let values = self.values(&[("credential", credential.expose())]);
        let sign_in = &self.description().sign_in;
        let identity = self
            .client
            .identity(sign_in, &values, &self.config.user, credential)
            .await;
        identity.map_err(|reason| self.errors().unreachable(reason))
    }

    /// Makes a request as Passline. One that is refused for its token is made again with a new one: it had no effect.
    async fn send(&self, line: &Line, parts: &Parts, values: &Values<'_>) -> Result<Response, Failed> {
        let identity = self.identity().await.map_err(Failed::Before)?;
        let response = self
            .client
            .send(line, parts, values, &identity)
            .await
            .map_err(Failed::Lost)?;
        if response.status != 401 || !self.client.forget_token().await {
            return Ok(response);
        }
        let identity = self.identity().await.map_err(Failed::Before)?;
        self.client
            .send(line, parts, values, &identity)
            .await
            .map_err(Failed::Lost)
    }

    /// Asks something that changes nothing.
    async fn ask(&self, line: &Line, parts: &Parts, values: &Values<'_>) -> Result<Response, TargetError> {
        let response = self.send(line, parts, values).await.map_err(|failed| match failed {
            Failed::Before(error) => error,
            Failed::Lost(none) => self.errors().unreachable(none.reason),
        })?;
        if (200..300).contains(&response.status) {
            return Ok(response);
        }
        Err(match self.meaning(&response, &[], values) {
            // Without an effect there is none to be uncertain of.
            Meaning::Done | Meaning::Later | Meaning::Unknown | Meaning::Other => {
                self.errors().unreachable(self.said(&response, &[]))
            }
            meaning => self.errors().refused(meaning.refusal().unwrap_or(Refusal::Other)),
        })
    }

    /// Orders a change.
    async fn order(&self, step: &Step, values: &Values<'_>) -> Done {
        let response = match self.send(&step.request, &step.with, values).await {
            Ok(response) => response,
            Err(Failed::Before(error)) => return Done::No(error),
            Err(Failed::Lost(NoResponse { reason, sent: true })) => return Done::No(self.errors().unknown(reason)),
            Err(Failed::Lost(NoResponse { reason, sent: false })) => {
                return Done::No(self.errors().unreachable(reason));
            }
        };
        let secrets: Vec<&str> = values.texts.get("password").copied().into_iter().collect();
        match self.meaning(&response, &step.answers, values) {
            Meaning::Done
                if step
                    .expect
                    .as_ref()
                    .is_some_and(|expect| !expect.holds(&response.body, values)) =>
            {
                Done::No(self.errors().unknown("its answer does not show what was asked for"))
            }
            Meaning::Done => Done::Yes,
            Meaning::Later => Done::No(self.errors().unreachable(self.said(&response, &secrets))),
            Meaning::Unknown => Done::No(self.errors().unknown(self.said(&response, &secrets))),
            meaning => {
                let said = self.said(&response, &secrets);
                tracing::info!(target.name = %self.config.name, %said, "a change was refused");
                Done::No(self.errors().refused(meaning.refusal().unwrap_or(Refusal::Other)))
            }
        }
    }

    fn meaning(&self, response: &Response, first: &[Answered], values: &Values<'_>) -> Meaning {
        let fits = |condition: &Option<Condition>| {
            condition
                .as_ref()
                .is_none_or(|condition| condition.holds(&response.body, values))
        };
        let mut answers = first.iter().chain(&self.description().answers);
        if let Some(known) = answers.find(|known| known.status == response.status && fits(&known.condition)) {
            return known.means;
        }
        // RFC 9110, section 15.
        match response.status {
            200..=299 => Meaning::Done,
            403 => Meaning::Rights,
            404 => Meaning::NoSuchAccount,
            // Another address for the same request, no token, too many requests.
            301 | 307 | 308 | 401 | 429 => Meaning::Later,
            400..500 if response.status != 408 => Meaning::Other,
            _ => Meaning::Unknown,
        }
    }

    /// What a server said, for operators, without what it must not repeat.
    fn said(&self, response: &Response, secrets: &[&str]) -> String {
        let words = self.description().words.iter();
        let words = words.filter_map(|pointer| response.body.pointer(pointer));
        let mut text = words.filter_map(Value::as_str).collect::<Vec<_>>().join(": ");
        for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
            text = text.replace(secret, "[secret]");
        }
        let text = bounded(&text);
        format!("it answered {} {text}", response.status).trim_end().to_owned()
    }

    async fn find(&self, name: &str) -> Result<Account, TargetError> {
        let nobody = || self.errors().refused(Refusal::NoSuchAccount);
        if !is_name(name) {
            return Err(nobody());
        }
        let find = &self.description().find;
        let values = self.values(&[("account", name)]);
        let response = self.ask(&find.request, &find.with, &values).await?;
        if response.body.is_null() {
            // A page for people: of a proxy, or of an instance that sleeps.
            return Err(self
                .errors()
                .unreachable(format!("it answered {} without JSON", response.status)));
        }
        let is_this = |entry: &&Value| {
            let shown = entry.pointer(&find.name).and_then(Value::as_str);
            shown.is_some_and(|shown| shown.to_lowercase() == name.to_lowercase())
        };
        let mut found = match &find.list {
            None => std::slice::from_ref(&response.body).iter().filter(is_this),
            Some(list) => {
                let entries = response.body.pointer(list).and_then(Value::as_array);
                entries.map_or([].as_slice(), Vec::as_slice).iter().filter(is_this)
            }
        };
        let entry = found.next().ok_or_else(nobody)?;
        if found.next().is_some() {
            tracing::warn!(target.name = %self.config.name, account = name, "several people have this name; none is changed");
            return Err(nobody());
        }
        if find.left_alone.iter().any(|condition| condition.holds(entry, &values)) {
            tracing::warn!(target.name = %self.config.name, account = name, "this account is one that is never changed");
            return Err(self.errors().refused(Refusal::Rights));
        }
        let id = match entry.pointer(&find.id) {
            Some(Value::String(id)) => id.clone(),
            Some(Value::Number(id)) => id.to_string(),
            _ => return Err(self.errors().unreachable("its answer has no id where `find.id` says")),
        };
        let tells = |condition: &Option<Condition>| condition.as_ref().map(|condition| condition.holds(entry, &values));
        let marker = find.marker.as_ref().and_then(|pointer| entry.pointer(pointer));
        let mut account = Account {
            locked: tells(&find.locked),
            disabled: tells(&find.disabled),
            must_change: tells(&find.must_change),
            marker: marker.filter(|marker| !marker.is_null()).map(|marker| match marker {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            }),
            id,
        };
        if let Some(lock) = &self.description().lock {
            let values = self.values(&[("account", name), ("id", &account.id)]);
            let response = self.ask(&lock.request, &lock.with, &values).await?;
            account.locked = Some(lock.locked.holds(&response.body, &values));
        }
        Ok(account)
    }

    async fn set_password(&self, name: &str, password: &Secret, expiry: Expiry) -> Result<Expiry, TargetError> {
        if !self.offers(&self.description().reset[..1]) {
            return Err(self.errors().unsupported("reset a password"));
        }
        let account = self.find(name).await?;
        if account.disabled == Some(true) {
            return Err(self.errors().refused(Refusal::Disabled));
        }
        let can_expire = self.description().expires();
        let must_change = can_expire && expiry == Expiry::AtNextSignIn;
        let mut values = self.values(&[("account", name), ("id", &account.id), ("password", password.expose())]);
        values.must_change = must_change;
        let mut effective = if must_change {
            Expiry::AtNextSignIn
        } else {
            Expiry::Keep
        };
        let half = |error: TargetError| self.errors().unknown(format!("the password is set, but: {error}"));
        for (index, step) in self.description().reset.iter().enumerate() {
            let wanted = match step.only {
                None => true,
                Some(Only::MustChange) => must_change,
                Some(Only::Locked) => account.locked == Some(true),
            };
            if !wanted || !self.has_all(&step.request, &step.with) {
                continue;
            }
            match (self.order(step, &values).await, step.only) {
                (Done::Yes, _) => {}
                (Done::No(error), _) if index == 0 => return Err(error),
                // The password works all the same.
                (Done::No(TargetError::Refused { .. }), Some(Only::MustChange)) => effective = Expiry::Keep,
                (Done::No(error), _) => return Err(half(error)),
            }
        }
        Ok(effective)
    }

    async fn change(&self, name: &str, operation: &'static str, steps: &[Step]) -> Result<(), TargetError> {
        if !self.offers(steps) {
            return Err(self.errors().unsupported(operation));
        }
        let account = self.find(name).await?;
        let values = self.values(&[("account", name), ("id", &account.id)]);
        let mut begun = false;
        for step in steps {
            if step.only == Some(Only::Locked) && account.locked != Some(true) {
                continue;
            }
            match self.order(step, &values).await {
                Done::Yes => begun = true,
                Done::No(error) if begun => return Err(self.errors().unknown(format!("done in part: {error}"))),
                Done::No(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn offers(&self, steps: &[Step]) -> bool {
        !steps.is_empty() && steps.iter().all(|step| self.has_all(&step.request, &step.with))
    }

    async fn try_password(&self, name: &str, password: &Secret) -> Result<Verdict, TargetError> {
        let verify = self.description().verify.as_ref();
        let Some(verify) = verify.filter(|verify| self.has_all(&verify.request, &verify.with)) else {
            return Err(self.errors().unsupported("verify a password"));
        };
        if password.is_empty() || !is_name(name) {
            return Ok(Verdict::Rejected);
        }
        let needs_id = names(&verify.request, &verify.with).contains("id");
        let id = match needs_id {
            true => self.find(name).await?.id,
            false => String::new(),
        };
        let values = self.values(&[("account", name), ("id", &id), ("password", password.expose())]);
        let response = self
            .client
            .send(&verify.request, &verify.with, &values, &Identity::Nobody)
            .await;
        let response = response.map_err(|none| self.errors().unreachable(none.reason))?;
        let fits = |tried: &&description::Tried| {
            tried.status == response.status
                && tried
                    .condition
                    .as_ref()
                    .is_none_or(|c| c.holds(&response.body, &values))
        };
        let Some(tried) = verify.answers.iter().find(fits) else {
            return Err(self.errors().unreachable(self.said(&response, &[password.expose()])));
        };
        // The answer to a sign-in hides much: that an account is locked, or that its password must be changed.
        let account = match self.find(name).await {
            Ok(account) => account,
            Err(TargetError::Refused {
                refusal: Refusal::NoSuchAccount,
                ..
            }) if tried.means == Shown::Rejected => return Ok(Verdict::Rejected),
            Err(error) => return Err(error),
        };
        Ok(match tried.means {
            Shown::Accepted if account.must_change == Some(true) => Verdict::AcceptedMustChange,
            Shown::Accepted => Verdict::Accepted,
            Shown::MustChange => Verdict::AcceptedMustChange,
            Shown::Rejected if account.locked == Some(true) || account.disabled == Some(true) => Verdict::Barred,
            Shown::Rejected => Verdict::Rejected,
            Shown::Barred => Verdict::Barred,
        })
    }

    fn rules(&self) -> Option<Policy> {
        let rules = self.description().policy?;
        let any = Policy::any();
        let max_length = rules.max_length.unwrap_or(any.max_length).clamp(1, any.max_length);
        Some(Policy {
            min_length: rules.min_length.unwrap_or(any.min_length).clamp(1, max_length),
            max_length,
            min_classes: rules.min_classes.unwrap_or(any.min_classes).min(4),
            ascii_only: rules.ascii_only,
            ..any
        })
    }

    async fn checks(&self, name: Option<&str>) -> Result<Vec<Check>, TargetError> {
        let what = format!("sign in at {} as {}", self.config.url, self.config.user);
        if let Err(error) = self.identity().await {
            return Ok(vec![Check::new(what, Some(error.to_string()))]);
        }
        let mut checks = vec![Check::new(what, None)];
        // Also without an account something is asked: a token alone shows no right.
        let asked = name.unwrap_or("passline-test-nobody");
        match (self.find(asked).await, name) {
            (Ok(account), _) => {
                checks.push(Check::new(format!("find {asked}: {}", account.id), None));
                if account.disabled == Some(true) {
                    let problem = "it is disabled; Passline leaves it alone".to_owned();
                    checks.push(Check::new(format!("{asked} may sign in"), Some(problem)));
                }
            }
            (
                Err(TargetError::Refused {
                    refusal: Refusal::NoSuchAccount,
                    ..
                }),
                None,
            ) => {
                checks.push(Check::new("look for an account", None));
            }
            (Err(error), _) => checks.push(Check::new(format!("find {asked}"), Some(error.to_string()))),
        }
        Ok(checks)
    }
}

/// Why there is no answer.
enum Failed {
    /// The request was not made.
    Before(TargetError),
    Lost(NoResponse),
}

/// Whether a text can be the name of an account: nothing that would end a text in a filter (RFC 7644, section 3.4.2.2; `^`
/// joins conditions at ServiceNow), nor lead to another path.
fn is_name(account: &str) -> bool {
    let is_wrong = |c: char| c.is_control() || "\"'\\^{}:".contains(c);
    !account.is_empty() && account.len() <= 256 && !account.contains(is_wrong) && !matches!(account, "." | "..")
}

impl Target for Rest {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn capabilities(&self) -> Capabilities {
        let description = self.description();
        let verify = description.verify.as_ref();
        Capabilities {
            verify: verify.is_some_and(|verify| self.has_all(&verify.request, &verify.with)),
            reset: self.offers(&description.reset[..1]),
            change: false,
            expire: self.offers(&description.expire),
            unlock: self.offers(&description.unlock),
            lock_state: description.find.locked.is_some() || description.lock.is_some(),
            enable: self.offers(&description.enable),
            list_accounts: false,
            policy: description.policy.is_some(),
        }
    }

    fn verify<'a>(&'a self, account: &'a str, password: &'a Secret) -> Answer<'a, Verdict> {
        Box::pin(self.try_password(account, password))
    }

    fn reset<'a>(&'a self, account: &'a str, password: &'a Secret, expiry: Expiry) -> Answer<'a, Expiry> {
        Box::pin(self.set_password(account, password, expiry))
    }

    fn expire<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change(account, "expire a password", &self.description().expire))
    }

    fn unlock<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change(account, "unlock an account", &self.description().unlock))
    }

    fn state<'a>(&'a self, account: &'a str) -> Answer<'a, AccountState> {
        Box::pin(async move {
            let account = self.find(account).await?;
            Ok(AccountState {
                locked: account.locked,
                disabled: account.disabled,
                must_change: account.must_change,
                marker: account.marker.map(match self.description().find.marker_lags {
                    true => PasswordMarker::lagging,
                    false => PasswordMarker::new,
                }),
            })
        })
    }

    fn enable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change(account, "enable an account", &self.description().enable))
    }

    fn disable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change(account, "disable an account", &self.description().disable))
    }

    fn test<'a>(&'a self, account: Option<&'a str>) -> Answer<'a, Vec<Check>> {
        Box::pin(self.checks(account))
    }

    fn policy<'a>(&'a self, _account: &'a str) -> Answer<'a, Policy> {
        let rules = self.rules();
        let none = || self.errors().unsupported("tell its password policy");
        Box::pin(std::future::ready(rules.ok_or_else(none)))
    }
}
