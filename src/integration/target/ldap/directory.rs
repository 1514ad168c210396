//! Every other directory: OpenLDAP, 389 Directory Server, and what else sets passwords by RFC 3062 or by writing
//! `userPassword`.
//!
//! Expiry and locks are those of the password policy draft (draft-behera-ldap-password-policy-10): `pwdReset`,
//! `pwdAccountLockedTime`, and a control that says why a sign-in failed.

use ldap3::{LdapResult, Mod, Scope, SearchEntry, ldap_escape};

use super::super::error::Errors;
use super::super::{
    AccountState, Answer, Capabilities, Check, Expiry, PasswordMarker, Refusal, Target, TargetError, TlsError, Verdict,
};
use super::ppolicy;
use super::reply::Reply;
use super::servers::{Sent, Servers, ServersConfig, Session, replace, shown, value};
use crate::identity::policy::Policy;
use crate::secret::Secret;

/// `pwdAccountLockedTime` of an account that an administrator has locked for good (5.3.3 of the draft).
const FOR_GOOD: &str = "000001010000Z";

const ATTRIBUTES: [&str; 4] = [
    "pwdReset",
    "pwdAccountLockedTime",
    "pwdChangedTime",
    "pwdPolicySubentry",
];

/// How a password is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PasswordMethod {
    /// The Password Modify operation (RFC 3062): the server checks it, and hashes it.
    Extended,
    /// Replacing `userPassword`: for servers without that operation, which must hash by themselves what is written.
    Write,
}

/// One directory.
#[derive(Clone, Debug)]
pub struct DirectoryConfig {
    /// What the target is called.
    pub name: String,
    /// Its servers.
    pub servers: ServersConfig,
    /// Below which entry people are looked for.
    pub base: String,
    /// The attribute that holds the names of accounts, such as `uid`.
    pub account: String,
    /// Who may be reset at all, as an LDAP filter; everybody below `base` if there is none.
    pub filter: Option<String>,
    /// How a password is set.
    pub password: PasswordMethod,
    /// Whether it has the attributes of the password policy draft.
    pub ppolicy: bool,
    /// The entry with the default password policy, if Passline shall read it.
    pub policy: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct Directory {
    config: DirectoryConfig,
    servers: Servers,
}

/// An account as it was found.
struct Account(SearchEntry);

impl Account {
    fn locked_since(&self) -> Option<&str> {
        value(&self.0, "pwdAccountLockedTime")
    }

    fn is_disabled(&self) -> bool {
        self.locked_since() == Some(FOR_GOOD)
    }

    fn is_locked(&self) -> bool {
        self.locked_since().is_some_and(|since| since != FOR_GOOD)
    }

    fn must_change(&self) -> bool {
        value(&self.0, "pwdReset").is_some_and(|text| text.eq_ignore_ascii_case("TRUE"))
    }
}

/// What is to be changed, but for a new password.
#[derive(Clone, Copy)]
enum Change {
    Expire,
    Unlock,
    Enable(bool),
}

impl Directory {
    /// `credential` is the password of the account that `config.servers.bind` names; without it nothing is ever asked.
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn new(config: DirectoryConfig, credential: Option<Secret>) -> Result<Self, TlsError> {
        Ok(Self {
            servers: Servers::new(config.servers.clone(), credential)?,
            config,
        })
    }

    fn errors(&self) -> Errors<'_> {
        Errors(&self.config.name)
    }

    async fn session(&self) -> Result<Session, TargetError> {
        self.servers
            .session(&[])
            .await
            .map_err(|error| self.errors().no_server(error))
    }

    async fn find(&self, session: &mut Session, account: &str) -> Result<Account, TargetError> {
        let (attribute, more) = (&self.config.account, self.config.filter.as_deref().unwrap_or(""));
        let filter = format!("(&({attribute}={}){more})", ldap_escape(account));
        let wanted = (account, filter.as_str());
        let entry = self
            .errors()
            .find(session, &self.config.base, wanted, &ATTRIBUTES)
            .await?;
        Ok(Account(entry))
    }

    async fn set_password(&self, name: &str, password: &Secret, expiry: Expiry) -> Result<Expiry, TargetError> {
        let mut session = self.session().await?;
        let account = self.find(&mut session, name).await?;
        if account.is_disabled() {
            return Err(self.errors().refused(Refusal::Disabled));
        }
        let effective = match self.config.password {
            PasswordMethod::Write => {
                let mut changes = vec![replace("userPassword", password.expose().as_bytes())];
                if self.config.ppolicy {
                    changes.extend(self.follow_up(&account, expiry));
                }
                let sent = session.modify(&account.0.dn, changes).await;
                self.outcome(sent)?;
                if self.config.ppolicy { expiry } else { Expiry::Keep }
            }
            PasswordMethod::Extended => {
                let sent = session.password_modify(&account.0.dn, None, password).await;
                match self.outcome(sent) {
                    Ok(()) => {}
                    // A repetition after a lost answer: the server does not take the password that it has. Then it is set.
                    Err(
                        refused @ TargetError::Refused {
                            refusal: Refusal::Policy,
                            ..
                        },
                    ) => match self.bind(session.url(), &account.0.dn, password).await {
                        Ok(Verdict::Accepted | Verdict::AcceptedMustChange) => {}
                        _ => return Err(refused),
                    },
                    Err(error) => return Err(error),
                }
                self.finish(&mut session, name, expiry).await?
            }
        };
        session.close().await;
        Ok(effective)
    }

    /// Expiry and lock, after the password is set. The server may have seen to them (`pwdMustChange`), so look first.
    /// Returns the expiry that holds.
    async fn finish(&self, session: &mut Session, name: &str, expiry: Expiry) -> Result<Expiry, TargetError> {
        if !self.config.ppolicy {
            return Ok(Expiry::Keep);
        }
        let half = |error: TargetError| self.errors().unknown(format!("the password is set, but: {error}"));
        let account = self.find(session, name).await.map_err(half)?;
        let changes = self.follow_up(&account, expiry);
        if changes.is_empty() {
            return Ok(expiry);
        }
        let sent = session.modify(&account.0.dn, changes).await;
        match self.outcome(sent) {
            Ok(()) => Ok(expiry),
            // The password works all the same, so this is what holds; behind a lock it would not.
            Err(TargetError::Refused { refusal, .. }) if !account.is_locked() => {
                tracing::warn!(target.name = %self.config.name, %refusal,
                    "a new password is set, but `pwdReset` cannot be written; `passline target test` says what is missing");
                Ok(if account.must_change() {
                    Expiry::AtNextSignIn
                } else {
                    Expiry::Keep
                })
            }
            Err(error) => Err(half(error)),
        }
    }

    fn follow_up(&self, account: &Account, expiry: Expiry) -> Vec<Mod<Vec<u8>>> {
        let mut changes = Vec::new();
        match (expiry, account.must_change()) {
            (Expiry::AtNextSignIn, false) => changes.push(replace("pwdReset", b"TRUE")),
            (Expiry::Keep, true) => changes.push(remove("pwdReset")),
            _ => {}
        }
        if account.is_locked() {
            changes.push(remove("pwdAccountLockedTime"));
        }
        changes
    }

    async fn change(&self, name: &str, change: Change) -> Result<(), TargetError> {
        let mut session = self.session().await?;
        let account = self.find(&mut session, name).await?;
        let modification = match change {
            Change::Expire => replace("pwdReset", b"TRUE"),
            Change::Unlock if account.is_locked() => remove("pwdAccountLockedTime"),
            Change::Enable(true) if account.is_disabled() => remove("pwdAccountLockedTime"),
            Change::Unlock | Change::Enable(true) => return Ok(()),
            Change::Enable(false) => replace("pwdAccountLockedTime", FOR_GOOD.as_bytes()),
        };
        let sent = session.modify(&account.0.dn, vec![modification]).await;
        self.outcome(sent)?;
        session.close().await;
        Ok(())
    }

    fn outcome(&self, sent: Sent) -> Result<(), TargetError> {
        match self.errors().reply(sent, refusal) {
            Reply::Done => Ok(()),
            Reply::Refused(refusal) => Err(self.errors().refused(refusal)),
            Reply::Elsewhere(reason) => Err(self.errors().unreachable(reason)),
            Reply::Lost(reason) => Err(self.errors().unknown(reason)),
        }
    }

    async fn try_password(&self, name: &str, password: &Secret) -> Result<Verdict, TargetError> {
        if password.is_empty() {
            return Ok(Verdict::Rejected);
        }
        let mut session = self.session().await?;
        let account = match self.find(&mut session, name).await {
            Err(TargetError::Refused {
                refusal: Refusal::NoSuchAccount,
                ..
            }) => return Ok(Verdict::Rejected),
            found => found?,
        };
        let url = session.url().to_owned();
        session.close().await;
        self.bind(&url, &account.0.dn, password).await
    }

    /// Signs in as somebody, on the server that was just asked: another one may not know the new password yet.
    async fn bind(&self, url: &str, dn: &str, password: &Secret) -> Result<Verdict, TargetError> {
        let connected = self.servers.connect(url).await;
        let mut session = connected.map_err(|error| self.errors().no_server(error))?;
        let result = match session.bind(dn, password, vec![ppolicy::request()]).await {
            Sent::Answered(result) => result,
            sent => return Err(self.errors().unanswered(sent)),
        };
        session.close().await;
        verdict(&result).ok_or_else(|| self.errors().unanswered(Sent::Answered(result)))
    }

    async fn change_password_of(&self, name: &str, old: &Secret, new: &Secret) -> Result<(), TargetError> {
        if old.is_empty() {
            return Err(self.errors().refused(Refusal::OldPassword));
        }
        let mut session = self.session().await?;
        let account = self.find(&mut session, name).await?;
        let url = session.url().to_owned();
        session.close().await;
        if account.is_disabled() {
            return Err(self.errors().refused(Refusal::Disabled));
        }
        let connected = self.servers.connect(&url).await;
        let mut session = connected.map_err(|error| self.errors().no_server(error))?;
        let dn = &account.0.dn;
        match session.bind(dn, old, vec![ppolicy::request()]).await {
            Sent::Answered(result) => self.change_as_owner(session, &result, dn, (old, new)).await,
            sent => Err(self.errors().unanswered(sent)),
        }
    }

    /// Changes Passline's own password, on the first server that lets it in. Its entry need not be among the people below `base`.
    async fn change_own(&self, old: &Secret, new: &Secret) -> Result<(), TargetError> {
        let mut reasons = Vec::new();
        for url in self.servers.order(&[]) {
            match self.servers.bind_own(&url, old, Some(ppolicy::request())).await {
                Ok((session, bound)) => {
                    let dn = self.servers.own_name();
                    return self.change_as_owner(session, &bound, dn, (old, new)).await;
                }
                Err(error) => reasons.push(error.0),
            }
        }
        Err(self.errors().unreachable(reasons.join("; ")))
    }

    /// Changes a password on a connection of its owner, who was let in or not.
    async fn change_as_owner(
        &self,
        mut session: Session,
        bound: &LdapResult,
        dn: &str,
        (old, new): (&Secret, &Secret),
    ) -> Result<(), TargetError> {
        match verdict(bound) {
            Some(Verdict::Accepted | Verdict::AcceptedMustChange) => {}
            Some(Verdict::Rejected) => return Err(self.errors().refused(Refusal::OldPassword)),
            Some(Verdict::Barred) => return Err(self.errors().refused(Refusal::Other)),
            None => return Err(self.errors().unreachable(shown(bound))),
        }
        let sent = match self.config.password {
            PasswordMethod::Extended => session.password_modify(dn, Some(old), new).await,
            PasswordMethod::Write => {
                let change = vec![replace("userPassword", new.expose().as_bytes())];
                session.modify(dn, change).await
            }
        };
        self.outcome(sent)?;
        session.close().await;
        Ok(())
    }

    async fn checks(&self, name: Option<&str>) -> Result<Vec<Check>, TargetError> {
        let mut checks = self.servers.test(&[]).await;
        if checks.iter().all(|check| check.problem.is_some()) {
            return Ok(checks);
        }
        let Some(name) = name else { return Ok(checks) };
        let mut session = self.session().await?;
        let account = match self.find(&mut session, name).await {
            Ok(account) => account,
            Err(error) => {
                let problem = format!("{error}; look at `base`, `account` and `filter`");
                checks.push(Check::new(format!("find {name}"), Some(problem)));
                return Ok(checks);
            }
        };
        checks.push(Check::new(format!("find {name}: {}", account.0.dn), None));
        if self.config.policy.is_some() {
            let problem = self
                .rules(name)
                .await
                .err()
                .map(|error| format!("{error}; look at `policy`"));
            checks.push(Check::new("read the password policy", problem));
        }
        let mut needs = vec![("userPassword", b"rehearsed".as_slice(), "set a password")];
        if self.config.ppolicy {
            needs.push(("pwdReset", b"TRUE", "make new passwords expire"));
            needs.push(("pwdAccountLockedTime", FOR_GOOD.as_bytes(), "clear locks"));
        }
        for (attribute, value, need) in needs {
            let sent = session.rehearse(&account.0.dn, vec![replace(attribute, value)]).await;
            let problem = rehearsed(&sent).map(|problem| format!("{problem}; without it Passline cannot {need}"));
            checks.push(Check::new(format!("write {attribute} of {name}"), problem));
        }
        session.close().await;
        Ok(checks)
    }

    async fn rules(&self, name: &str) -> Result<Policy, TargetError> {
        let mut session = self.session().await?;
        let account = self.find(&mut session, name).await?;
        let Some(dn) = value(&account.0, "pwdPolicySubentry").or(self.config.policy.as_deref()) else {
            return Err(TargetError::Unsupported {
                target: self.config.name.clone(),
                operation: "tell its password policy: `policy` is not configured",
            });
        };
        let attributes = ["pwdMinLength", "pwdMaxLength", "pwdInHistory"];
        let found = session.search(dn, Scope::Base, "(objectClass=*)", &attributes, 1).await;
        let entry = found.map_err(|sent| self.errors().unanswered(sent))?.pop();
        let entry = entry.ok_or_else(|| self.errors().refused(Refusal::Rights))?;
        let number = |attribute| value(&entry, attribute).and_then(|text| text.parse::<u16>().ok());
        let any = Policy::any();
        let max_length = number("pwdMaxLength")
            .filter(|&max| max > 0)
            .unwrap_or(any.max_length)
            .min(any.max_length);
        Ok(Policy {
            min_length: number("pwdMinLength").unwrap_or(1).clamp(1, max_length),
            max_length,
            history: history(number("pwdInHistory")),
            ..any
        })
    }
}

/// What a directory remembers beyond that, nobody else does.
fn history(published: Option<u16>) -> u8 {
    let most = Policy::MAX_HISTORY;
    published.map_or(0, |count| u8::try_from(count).unwrap_or(most).min(most))
}

/// What a sign-in has shown; `None` when it was not about the password.
fn verdict(result: &LdapResult) -> Option<Verdict> {
    use ppolicy::Error::{AccountLocked, ChangeAfterReset, PasswordExpired};
    match (result.rc, ppolicy::error(result)) {
        (0, Some(ChangeAfterReset | PasswordExpired)) => Some(Verdict::AcceptedMustChange),
        (0, _) => Some(Verdict::Accepted),
        (49, Some(AccountLocked | PasswordExpired)) => Some(Verdict::Barred),
        (49, _) => Some(Verdict::Rejected),
        // 389 Directory Server answers *unwilling to perform* for an account that is inactivated.
        (53, _) => Some(Verdict::Barred),
        _ => None,
    }
}

/// What is in the way of a change that was rehearsed.
fn rehearsed(sent: &Sent) -> Option<String> {
    match sent {
        // *No operation*, as OpenLDAP numbers it; a rule about the password speaks after the rights.
        Sent::Answered(result) if result.rc == 16_654 || result.rc == 19 => None,
        Sent::Answered(result) if result.rc == 50 => Some("no right (docs/TARGETS.md has the rule)".to_owned()),
        Sent::Answered(result) if result.rc == 12 => {
            Some("cannot be told: this server does not rehearse changes; reset a test account".to_owned())
        }
        Sent::Answered(result) => Some(format!("the server answered {}", shown(result))),
        Sent::Unsent(reason) | Sent::Lost(reason) => Some(reason.clone()),
    }
}

fn refusal(result: &LdapResult) -> Option<Refusal> {
    match ppolicy::error(result) {
        Some(ppolicy::Error::NewPassword) => Some(Refusal::Policy),
        _ => None,
    }
}

/// Replacing by nothing succeeds also when there is nothing (RFC 4511, 4.6).
fn remove(attribute: &str) -> Mod<Vec<u8>> {
    Mod::Replace(attribute.as_bytes().to_vec(), [].into())
}

impl Target for Directory {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn capabilities(&self) -> Capabilities {
        let ppolicy = self.config.ppolicy;
        Capabilities {
            verify: true,
            reset: true,
            change: true,
            expire: ppolicy,
            unlock: ppolicy,
            lock_state: ppolicy,
            enable: ppolicy,
            list_accounts: false,
            policy: self.config.policy.is_some(),
        }
    }

    fn verify<'a>(&'a self, account: &'a str, password: &'a Secret) -> Answer<'a, Verdict> {
        Box::pin(self.try_password(account, password))
    }

    fn reset<'a>(&'a self, account: &'a str, password: &'a Secret, expiry: Expiry) -> Answer<'a, Expiry> {
        Box::pin(self.set_password(account, password, expiry))
    }

    fn change_password<'a>(&'a self, account: &'a str, old: &'a Secret, new: &'a Secret) -> Answer<'a, ()> {
        Box::pin(self.change_password_of(account, old, new))
    }

    fn try_own_password<'a>(&'a self, password: &'a Secret) -> Answer<'a, Verdict> {
        Box::pin(async move {
            let tried = self.servers.try_own(password, Some(ppolicy::request()), verdict).await;
            tried.map_err(|error| self.errors().no_server(error))
        })
    }

    fn change_own_password<'a>(&'a self, old: &'a Secret, new: &'a Secret) -> Answer<'a, ()> {
        Box::pin(self.change_own(old, new))
    }

    fn take_own_password(&self, password: Secret) {
        self.servers.take_own_password(password);
    }

    fn expire<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change(account, Change::Expire))
    }

    fn unlock<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change(account, Change::Unlock))
    }

    fn state<'a>(&'a self, account: &'a str) -> Answer<'a, AccountState> {
        Box::pin(async move {
            let mut session = self.session().await?;
            let account = self.find(&mut session, account).await?;
            session.close().await;
            let known = self.config.ppolicy;
            Ok(AccountState {
                locked: known.then(|| account.is_locked()),
                disabled: known.then(|| account.is_disabled()),
                must_change: known.then(|| account.must_change()),
                marker: value(&account.0, "pwdChangedTime").map(|at| PasswordMarker::new(at.to_owned())),
            })
        })
    }

    fn enable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change(account, Change::Enable(true)))
    }

    fn disable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(self.change(account, Change::Enable(false)))
    }

    fn test<'a>(&'a self, account: Option<&'a str>) -> Answer<'a, Vec<Check>> {
        Box::pin(self.checks(account))
    }

    fn policy<'a>(&'a self, account: &'a str) -> Answer<'a, Policy> {
        Box::pin(self.rules(account))
    }
}
