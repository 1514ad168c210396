//! Active Directory: Microsoft's, and Samba's.
//!
//! A password is `unicodePwd`, the text in quotation marks as UTF-16LE, which a server takes over an encrypted connection
//! only (\[MS-ADTS\] 3.1.1.3.1.5.1). Password, expiry and lock are set by one modification, so there is no half of it. An
//! administrator's reset is not held against the history of passwords; that binds a change by the owner only.

use ldap3::{LdapResult, Mod, Scope, SearchEntry, ldap_escape};

use super::super::error::Errors;
use super::super::{
    AccountState, Answer, Capabilities, Check, Expiry, PasswordMarker, Refusal, Target, TargetError, TlsError, Verdict,
};
use super::codes;
use super::reply::Reply;
use super::servers::{Sent, Servers, ServersConfig, Session, replace, shown, value};
use crate::identity::policy::Policy;
use crate::secret::Secret;

/// `userAccountControl`: the account is disabled (\[MS-ADTS\] 2.2.16).
const DISABLED: u32 = 0x2;
/// `msDS-User-Account-Control-Computed`: it is locked at this moment.
const LOCKED: u32 = 0x10;
/// `userAccountControl`: its password never expires, not even when an administrator says so.
const NEVER_EXPIRES: u32 = 0x1_0000;

const ATTRIBUTES: [&str; 5] = [
    "userAccountControl",
    "msDS-User-Account-Control-Computed",
    "lockoutTime",
    "pwdLastSet",
    "msDS-ResultantPSO",
];

/// One domain.
#[derive(Clone, Debug)]
pub struct ActiveDirectoryConfig {
    /// What the target is called.
    pub name: String,
    /// Its domain controllers.
    pub servers: ServersConfig,
    /// Below which entry people are looked for: `DC=example,DC=com`, or an organizational unit.
    pub base: String,
    /// Who may be reset at all, as an LDAP filter; everybody below `base` if there is none. Members of a group, nested ones
    /// too: `(memberOf:1.2.840.113556.1.4.1941:=CN=Staff,OU=Groups,DC=example,DC=com)`.
    pub filter: Option<String>,
    /// Which domain controllers are near whom: a new password works there at once, and elsewhere after replication.
    pub near: Vec<Near>,
}

/// People with this value of an attribute are near these domain controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Near {
    /// Such as `l` (city) or `physicalDeliveryOfficeName`.
    pub attribute: String,
    /// The value; upper and lower case are the same.
    pub value: String,
    /// URLs, as in [`ServersConfig`].
    pub urls: Vec<String>,
}

/// See the module.
#[derive(Debug)]
pub struct ActiveDirectory {
    config: ActiveDirectoryConfig,
    servers: Servers,
}

/// What is to be changed.
enum Change<'a> {
    Reset(&'a Secret, Expiry),
    /// With the old password, to the new one.
    Password(&'a Secret, &'a Secret),
    Expire,
    Unlock,
    Enable(bool),
}

/// An account as it was found.
struct Account(SearchEntry);

impl Account {
    fn number(&self, attribute: &str) -> Option<i64> {
        value(&self.0, attribute)?.parse().ok()
    }

    fn control(&self) -> u32 {
        self.number("userAccountControl")
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0)
    }

    fn is_disabled(&self) -> bool {
        self.control() & DISABLED != 0
    }

    /// `lockoutTime` stays when the lock has run out, so the computed flag is asked first.
    fn is_locked(&self) -> bool {
        match self.number("msDS-User-Account-Control-Computed") {
            Some(flags) => flags & i64::from(LOCKED) != 0,
            None => self.number("lockoutTime").is_some_and(|at| at > 0),
        }
    }

    fn state(&self) -> AccountState {
        let last_set = self.number("pwdLastSet");
        AccountState {
            locked: Some(self.is_locked()),
            disabled: Some(self.is_disabled()),
            must_change: last_set.map(|at| at == 0 && self.control() & NEVER_EXPIRES == 0),
            marker: last_set.map(|at| match at {
                0 => PasswordMarker::expired(),
                at => PasswordMarker::new(at.to_string()),
            }),
        }
    }
}

impl ActiveDirectory {
    /// `credential` is the password of the account that `config.servers.bind` names; without it nothing is ever asked.
    /// Nothing is connected yet.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn new(config: ActiveDirectoryConfig, credential: Option<Secret>) -> Result<Self, TlsError> {
        Ok(Self {
            servers: Servers::new(config.servers.clone(), credential)?,
            config,
        })
    }

    fn errors(&self) -> Errors<'_> {
        Errors(&self.config.name)
    }

    /// `anna`, or `anna@example.com`; never a DN, which nobody can guess from a name.
    fn filter(&self, account: &str) -> String {
        let attribute = if account.contains('@') {
            "userPrincipalName"
        } else {
            "sAMAccountName"
        };
        let name = ldap_escape(account);
        let more = self.config.filter.as_deref().unwrap_or("");
        format!("(&(objectCategory=person)(objectClass=user)({attribute}={name}){more})")
    }

    async fn find(&self, session: &mut Session, account: &str) -> Result<Account, TargetError> {
        let mut attributes = ATTRIBUTES.to_vec();
        attributes.extend(self.config.near.iter().map(|near| near.attribute.as_str()));
        let filter = self.filter(account);
        let wanted = (account, filter.as_str());
        let entry = self
            .errors()
            .find(session, &self.config.base, wanted, &attributes)
            .await?;
        Ok(Account(entry))
    }

    /// The account, and the connection on which it was found.
    async fn locate(&self, account: &str) -> Result<(Account, Session), TargetError> {
        let mut session = self
            .servers
            .session(&[])
            .await
            .map_err(|error| self.errors().no_server(error))?;
        let account = self.find(&mut session, account).await?;
        Ok((account, session))
    }

    /// The domain controllers near somebody.
    fn near(&self, account: &Account) -> &[String] {
        let is_near = |near: &&Near| {
            value(&account.0, &near.attribute).is_some_and(|value| value.eq_ignore_ascii_case(&near.value))
        };
        self.config.near.iter().find(is_near).map_or(&[], |near| &near.urls)
    }

    /// Carries out a change on the first domain controller that takes it, the nearest one first. Returns the account as it was.
    async fn change(&self, name: &str, change: Change<'_>) -> Result<Account, TargetError> {
        let (account, session) = self.locate(name).await?;
        let modification = self.modification(&account, &change)?;
        let near = self.near(&account);
        self.send(&account.0.dn, modification, near, session).await?;
        Ok(account)
    }

    /// Sends a modification to one domain controller after the other until one takes it. One is at hand.
    async fn send(
        &self,
        dn: &str,
        modification: Vec<Mod<Vec<u8>>>,
        near: &[String],
        session: Session,
    ) -> Result<(), TargetError> {
        let mut at_hand = Some(session);
        let mut reasons = Vec::new();
        for url in self.servers.order(near) {
            let mut session = match at_hand.take_if(|session| session.url() == url) {
                Some(session) => session,
                None => match self.servers.session_on(&url).await {
                    Ok(session) => session,
                    Err(error) => {
                        reasons.push(error.0);
                        continue;
                    }
                },
            };
            let sent = session.modify(dn, modification.clone()).await;
            match self.errors().reply(sent, |result| codes::refusal(&result.text)) {
                Reply::Done => {
                    session.close().await;
                    return Ok(());
                }
                Reply::Refused(refusal) => return Err(self.errors().refused(refusal)),
                Reply::Elsewhere(reason) => reasons.push(self.servers.failed(&url, &reason).0),
                Reply::Lost(reason) => return Err(self.errors().unknown(format!("{url}: {reason}"))),
            }
        }
        Err(self.errors().unreachable(reasons.join("; ")))
    }

    fn modification(&self, account: &Account, change: &Change<'_>) -> Result<Vec<Mod<Vec<u8>>>, TargetError> {
        Ok(match change {
            // A new password would not open a disabled account: tell that, and leave the old one.
            Change::Reset(..) | Change::Password(..) if account.is_disabled() => {
                return Err(self.errors().refused(Refusal::Disabled));
            }
            Change::Reset(password, expiry) => {
                let mut changes = vec![replace("unicodePwd", &quoted(password))];
                if *expiry == Expiry::AtNextSignIn {
                    changes.push(replace("pwdLastSet", b"0"));
                }
                // Only then: many service accounts may reset passwords, and may not write this.
                if account.is_locked() {
                    changes.push(replace("lockoutTime", b"0"));
                }
                changes
            }
            Change::Password(old, _) if old.is_empty() => return Err(self.errors().refused(Refusal::OldPassword)),
            Change::Password(old, new) => with_the_old(old, new),
            Change::Expire => vec![replace("pwdLastSet", b"0")],
            Change::Unlock => vec![replace("lockoutTime", b"0")],
            Change::Enable(enable) => {
                let before = account.control();
                let after = if *enable { before & !DISABLED } else { before | DISABLED };
                vec![
                    // Somebody else's change in between is not undone: then the old value is not there to delete.
                    Mod::Delete(b"userAccountControl".to_vec(), [before.to_string().into_bytes()].into()),
                    Mod::Add(b"userAccountControl".to_vec(), [after.to_string().into_bytes()].into()),
                ]
            }
        })
    }

    async fn try_password(&self, name: &str, password: &Secret) -> Result<Verdict, TargetError> {
        if password.is_empty() {
            return Ok(Verdict::Rejected);
        }
        let (account, session) = match self.locate(name).await {
            Err(TargetError::Refused {
                refusal: Refusal::NoSuchAccount,
                ..
            }) => return Ok(Verdict::Rejected),
            located => located?,
        };
        session.close().await;
        let mut reasons = Vec::new();
        for url in self.servers.order(self.near(&account)) {
            let mut session = match self.servers.connect(&url).await {
                Ok(session) => session,
                Err(error) => {
                    reasons.push(error.0);
                    continue;
                }
            };
            match session.bind(&account.0.dn, password, vec![]).await {
                Sent::Answered(result) if result.rc == 0 => {
                    session.close().await;
                    return Ok(Verdict::Accepted);
                }
                Sent::Answered(result) if result.rc == 49 => return Ok(codes::verdict(&result.text)),
                Sent::Answered(result) => reasons.push(self.servers.failed(&url, &shown(&result)).0),
                Sent::Unsent(reason) | Sent::Lost(reason) => reasons.push(self.servers.failed(&url, &reason).0),
            }
        }
        Err(self.errors().unreachable(reasons.join("; ")))
    }

    /// Changes Passline's own password. Its account need not be among the people below `base`.
    async fn change_own(&self, old: &Secret, new: &Secret) -> Result<(), TargetError> {
        let mut reasons = Vec::new();
        for url in self.servers.order(&[]) {
            let (mut session, bound) = match self.servers.bind_own(&url, old, None).await {
                Ok(answered) => answered,
                Err(error) => {
                    reasons.push(error.0);
                    continue;
                }
            };
            match bound.rc {
                0 => {}
                49 if codes::verdict(&bound.text) == Verdict::Rejected => {
                    return Err(self.errors().refused(Refusal::OldPassword));
                }
                _ => {
                    reasons.push(self.servers.failed(&url, &shown(&bound)).0);
                    continue;
                }
            }
            let dn = self.own_dn(&mut session).await?;
            return self.send(&dn, with_the_old(old, new), &[url], session).await;
        }
        Err(self.errors().unreachable(reasons.join("; ")))
    }

    /// The entry of Passline's account, which may be configured as a DN, as `name@domain` or as `DOMAIN\name`.
    async fn own_dn(&self, session: &mut Session) -> Result<String, TargetError> {
        let name = self.servers.own_name();
        if name.contains('=') {
            return Ok(name.to_owned());
        }
        let domain = self.domain(session).await?;
        // Without a name of its own there, `name@domain` is made up from this one.
        let account = name.split('@').next().unwrap_or(name);
        let account = account.rsplit('\\').next().unwrap_or(account);
        let filter = format!(
            "(&(objectClass=user)(|(userPrincipalName={})(sAMAccountName={})))",
            ldap_escape(name),
            ldap_escape(account)
        );
        let wanted = (name, filter.as_str());
        let entry = self.errors().find(session, &domain, wanted, &["objectClass"]).await?;
        Ok(entry.dn)
    }

    /// The DN of the domain that a domain controller is for.
    async fn domain(&self, session: &mut Session) -> Result<String, TargetError> {
        let attribute = "defaultNamingContext";
        let root = session
            .search("", Scope::Base, "(objectClass=*)", &[attribute], 1)
            .await;
        let root = root.map_err(|sent| self.errors().unanswered(sent))?.pop();
        let domain = root.as_ref().and_then(|root| value(root, attribute));
        let domain = domain.ok_or_else(|| self.errors().unreachable("it does not name its domain"))?;
        Ok(domain.to_owned())
    }

    async fn checks(&self, name: Option<&str>) -> Result<Vec<Check>, TargetError> {
        let near: Vec<String> = self.config.near.iter().flat_map(|near| near.urls.clone()).collect();
        let mut checks = self.servers.test(&near).await;
        if checks.iter().all(|check| check.problem.is_some()) {
            return Ok(checks);
        }
        let Some(name) = name else { return Ok(checks) };
        let (account, mut session) = match self.locate(name).await {
            Ok(located) => located,
            Err(error) => {
                let problem = format!("{error}; look at `base` and `filter`");
                checks.push(Check::new(format!("find {name}"), Some(problem)));
                return Ok(checks);
            }
        };
        checks.push(Check::new(format!("find {name}: {}", account.0.dn), None));
        checks.push(self.check_reset(&account, name, &mut session).await);
        // What Passline may write, as the server sees it ([MS-ADTS] 3.1.1.4.5.19).
        let effective = "allowedAttributesEffective";
        let found = session
            .search(&account.0.dn, Scope::Base, "(objectClass=*)", &[effective], 1)
            .await;
        let entry = found.map_err(|sent| self.errors().unanswered(sent))?.pop();
        let writable = |attribute: &str| {
            let values = entry
                .iter()
                .flat_map(|entry| &entry.attrs)
                .filter(|(name, _)| name.eq_ignore_ascii_case(effective));
            values
                .flat_map(|(_, values)| values)
                .any(|value| value.eq_ignore_ascii_case(attribute))
        };
        for (attribute, need) in [
            ("pwdLastSet", "make new passwords expire"),
            ("lockoutTime", "clear locks"),
        ] {
            let missing = format!(
                "no right to write `{attribute}`; without it Passline cannot {need} (docs/TARGETS.md has the commands)"
            );
            checks.push(Check::new(
                format!("write {attribute} of {name}"),
                (!writable(attribute)).then_some(missing),
            ));
        }
        session.close().await;
        Ok(checks)
    }

    /// Whether Passline may set a password: by what is none (a single byte, without quotation marks), which no domain can take
    /// whatever its rules are.
    async fn check_reset(&self, account: &Account, name: &str, session: &mut Session) -> Check {
        let sent = session.modify(&account.0.dn, vec![replace("unicodePwd", b"x")]).await;
        let problem = match Reply::of(sent, |result| codes::refusal(&result.text)) {
            Reply::Refused(Refusal::Rights) => {
                Some("no right to reset passwords there (docs/TARGETS.md has the command)".to_owned())
            }
            Reply::Refused(_) => None,
            other => Some(format!("the server answered {other:?}")),
        };
        Check::new(format!("set the password of {name}"), problem)
    }

    /// The rules that apply to an account: a fine-grained policy if Passline may see it, else the domain's.
    async fn rules(&self, name: &str) -> Result<Policy, TargetError> {
        let (account, mut session) = self.locate(name).await?;
        if let Some(dn) = value(&account.0, "msDS-ResultantPSO") {
            let attributes = [
                "msDS-MinimumPasswordLength",
                "msDS-PasswordComplexityEnabled",
                "msDS-PasswordHistoryLength",
            ];
            let found = session.search(dn, Scope::Base, "(objectClass=*)", &attributes, 1).await;
            if let Some(entry) = found.ok().and_then(|mut entries| entries.pop())
                && let Some(length) = value(&entry, attributes[0]).and_then(|text| text.parse().ok())
            {
                let complex = value(&entry, attributes[1]).is_some_and(|text| text.eq_ignore_ascii_case("TRUE"));
                let history = value(&entry, attributes[2]).and_then(|text| text.parse().ok());
                return Ok(rules(length, complex, history));
            }
        }
        let domain = self.domain(&mut session).await?;
        let found = session
            .search(
                &domain,
                Scope::Base,
                "(objectClass=*)",
                &["minPwdLength", "pwdProperties", "pwdHistoryLength"],
                1,
            )
            .await;
        let entry = found.map_err(|sent| self.errors().unanswered(sent))?.pop();
        let number = |attribute| {
            entry
                .as_ref()
                .and_then(|entry| value(entry, attribute)?.parse::<u32>().ok())
        };
        let length = number("minPwdLength").ok_or_else(|| self.errors().refused(Refusal::Rights))?;
        // DOMAIN_PASSWORD_COMPLEX ([MS-SAMR] 2.2.1.3) is the lowest bit.
        let complex = number("pwdProperties").unwrap_or(1) & 1 != 0;
        Ok(rules(length, complex, number("pwdHistoryLength")))
    }
}

/// Complexity, as \[MS-SAMR\] 3.1.1.7.2 has it: three of five classes (we count four), and no part of the names. The
/// history does not bind a reset there; with Passline it does.
fn rules(min_length: u32, complex: bool, history: Option<u32>) -> Policy {
    let most = Policy::MAX_HISTORY;
    Policy {
        // 0 is "any"; an empty password is none that we set.
        min_length: u16::try_from(min_length).unwrap_or(u16::MAX).clamp(1, 127),
        // The longest that can be typed at a Windows sign-in.
        max_length: 127,
        min_classes: if complex { 3 } else { 0 },
        forbid_user_data: complex,
        history: history.map_or(0, |count| u8::try_from(count).unwrap_or(most).min(most)),
        ..Policy::any()
    }
}

/// A change by the owner: the old value is deleted and the new one added, in this order and in one request
/// (\[MS-ADTS\] 3.1.1.3.1.5.1). The right *Change Password* is enough for it, and the domain's rules bind it.
fn with_the_old(old: &Secret, new: &Secret) -> Vec<Mod<Vec<u8>>> {
    let attribute = b"unicodePwd";
    vec![
        Mod::Delete(attribute.to_vec(), [quoted(old)].into()),
        Mod::Add(attribute.to_vec(), [quoted(new)].into()),
    ]
}

/// In quotation marks, as UTF-16LE.
fn quoted(password: &Secret) -> Vec<u8> {
    let quote = || std::iter::once(u16::from(b'"'));
    quote()
        .chain(password.expose().encode_utf16())
        .chain(quote())
        .flat_map(u16::to_le_bytes)
        .collect()
}

impl Target for ActiveDirectory {
    fn name(&self) -> &str {
        &self.config.name
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            verify: true,
            reset: true,
            change: true,
            expire: true,
            unlock: true,
            lock_state: true,
            enable: true,
            list_accounts: false,
            policy: true,
        }
    }

    fn verify<'a>(&'a self, account: &'a str, password: &'a Secret) -> Answer<'a, Verdict> {
        Box::pin(self.try_password(account, password))
    }

    fn reset<'a>(&'a self, account: &'a str, password: &'a Secret, expiry: Expiry) -> Answer<'a, Expiry> {
        Box::pin(async move {
            let account = self.change(account, Change::Reset(password, expiry)).await?;
            // `pwdLastSet` = 0 is written and does nothing there.
            Ok(if account.control() & NEVER_EXPIRES == 0 {
                expiry
            } else {
                Expiry::Keep
            })
        })
    }

    fn change_password<'a>(&'a self, account: &'a str, old: &'a Secret, new: &'a Secret) -> Answer<'a, ()> {
        Box::pin(async move { self.change(account, Change::Password(old, new)).await.map(drop) })
    }

    fn try_own_password<'a>(&'a self, password: &'a Secret) -> Answer<'a, Verdict> {
        Box::pin(async move {
            let verdict = |result: &LdapResult| match result.rc {
                0 => Some(Verdict::Accepted),
                49 => Some(codes::verdict(&result.text)),
                _ => None,
            };
            let tried = self.servers.try_own(password, None, verdict).await;
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
        Box::pin(async move { self.change(account, Change::Expire).await.map(drop) })
    }

    fn unlock<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.change(account, Change::Unlock).await.map(drop) })
    }

    fn state<'a>(&'a self, account: &'a str) -> Answer<'a, AccountState> {
        Box::pin(async move {
            let (account, session) = self.locate(account).await?;
            session.close().await;
            Ok(account.state())
        })
    }

    fn enable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.change(account, Change::Enable(true)).await.map(drop) })
    }

    fn disable<'a>(&'a self, account: &'a str) -> Answer<'a, ()> {
        Box::pin(async move { self.change(account, Change::Enable(false)).await.map(drop) })
    }

    fn test<'a>(&'a self, account: Option<&'a str>) -> Answer<'a, Vec<Check>> {
        Box::pin(self.checks(account))
    }

    fn policy<'a>(&'a self, account: &'a str) -> Answer<'a, Policy> {
        Box::pin(self.rules(account))
    }
}
