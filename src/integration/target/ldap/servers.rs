//! Which server is asked, and the connection to it.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ldap3::adapters::{Adapter, EntriesOnly, PagedResults};
use ldap3::controls::RawControl;
use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, LdapResult, Mod, ResultEntry, Scope, SearchEntry, SearchStream,
};
use rustls::ClientConfig;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::{Check, TlsError, tls};
use super::own::OwnPassword;
use crate::secret::Secret;

/// How long a server that did not answer is asked last.
const SHUNNED: Duration = Duration::from_secs(60);

/// What an operator is told of a target whose credential is missing.
const NO_CREDENTIAL: &str = "Passline has no password there; enter it with `passline target credential`";

/// The control *no operation* (draft-zeilenga-ldap-noop-12), which OpenLDAP knows under a number of its own.
const NO_OP: &str = "1.3.6.1.4.1.4203.666.5.2";

/// How long the next of many entries may take: a server sorts out a large filter before it gives the first one.
const NEXT: Duration = Duration::from_secs(60);

/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_millis(500);

/// Where a directory is, and who Passline is there.
#[derive(Clone, Debug)]
pub struct ServersConfig {
    /// URLs, the preferred one first: `ldaps://dc1.example.com`, or `ldap://dc1.example.com` for StartTLS.
    pub urls: Vec<String>,
    /// File of certificates (PEM) that sign those of the servers; the system's own if there is none.
    pub ca: Option<PathBuf>,
    /// The name of Passline's account there: a DN, or `name@domain` in Active Directory.
    pub bind: String,
    /// How long connecting to one server may take, its handshake included. A second and a half: a server that needs
    /// longer is no help to somebody on the telephone, and the next one may be.
    pub connect: Duration,
}

impl ServersConfig {
    /// How long connecting may take if nothing else is said.
    pub const CONNECT: Duration = Duration::from_millis(1_500);
}

/// The servers of one directory, and which of them to ask first.
pub(in crate::integration) struct Servers {
    config: ServersConfig,
    tls: Arc<ClientConfig>,
    credential: OwnPassword,
    /// When a server, by URL, failed last.
    failed: Mutex<Vec<(String, Instant)>>,
}

/// Nothing was asked of any server: none could be reached, or none let Passline in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::integration) struct NoServer(pub(in crate::integration) String);

/// What became of a request that was sent.
#[derive(Debug)]
pub(in crate::integration) enum Sent {
    /// The server answered.
    Answered(LdapResult),
    /// The connection was gone before the request went out.
    Unsent(String),
    /// It went out, and no answer came.
    Lost(String),
}

impl Servers {
    pub(in crate::integration) fn new(config: ServersConfig, credential: Option<Secret>) -> Result<Self, TlsError> {
        Ok(Self {
            tls: Arc::new(tls::client(config.ca.as_deref())?),
            config,
            credential: OwnPassword::new(credential),
            failed: Mutex::default(),
        })
    }

    /// URLs in the order in which they are to be asked: those `near` the user, then the others; who failed within the
    /// last minute comes last.
    pub(super) fn order(&self, near: &[String]) -> Vec<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let is_shunned = |url: &String| failed.iter().any(|(other, at)| other == url && at.elapsed() < SHUNNED);
        let mut urls: Vec<String> = near.to_vec();
        urls.extend(self.config.urls.iter().filter(|url| !near.contains(url)).cloned());
        urls.sort_by_key(is_shunned);
        urls
    }

    /// A connection to the first server that can be reached and lets Passline in.
    pub(in crate::integration) async fn session(&self, near: &[String]) -> Result<Session, NoServer> {
        if self.credential.is_none() {
            return Err(NoServer(NO_CREDENTIAL.to_owned()));
        }
        let mut reasons = Vec::new();
        for url in self.order(near) {
            match self.session_on(&url).await {
                Ok(session) => return Ok(session),
                Err(NoServer(reason)) => reasons.push(reason),
            }
        }
        Err(NoServer(reasons.join("; ")))
    }

    /// A connection to this server, signed in as Passline.
    pub(super) async fn session_on(&self, url: &str) -> Result<Session, NoServer> {
        let Some(credential) = self.credential.get() else {
            return Err(NoServer(NO_CREDENTIAL.to_owned()));
        };
        let mut session = self.connect(url).await?;
        let bound = session.bind(&self.config.bind, &credential, vec![]);
        let reason = match tokio::time::timeout(self.config.connect, bound).await {
            Ok(Sent::Answered(result)) if result.rc == 0 => return Ok(session),
            Ok(Sent::Answered(result)) => format!("it does not let {} sign in: {}", self.config.bind, shown(&result)),
            Ok(Sent::Unsent(reason) | Sent::Lost(reason)) => reason,
            Err(_) => "no answer to the sign-in".to_owned(),
        };
        Err(self.failed(url, &reason))
    }

    /// A connection to this server, as nobody yet.
    pub(super) async fn connect(&self, url: &str) -> Result<Session, NoServer> {
        let settings = LdapConnSettings::new()
            .set_conn_timeout(self.config.connect)
            .set_config(self.tls.clone())
            .set_starttls(url.starts_with("ldap:"));
        match LdapConnAsync::with_settings(settings, url).await {
            Ok((connection, ldap)) => Ok(Session {
                url: url.to_owned(),
                ldap,
                driver: Driver(tokio::spawn(async move {
                    if let Err(error) = connection.drive().await {
                        tracing::debug!(%error, "a connection to a directory broke");
                    }
                })),
            }),
            Err(LdapError::Timeout { .. }) => Err(self.failed(url, "no answer in time")),
            Err(error) => Err(self.failed(url, &error.to_string())),
        }
    }

    /// The name of Passline's account.
    pub(super) fn own_name(&self) -> &str {
        &self.config.bind
    }

    /// Signs in with this password from now on.
    pub(super) fn take_own_password(&self, password: Secret) {
        self.credential.set(password);
    }

    /// Tries to sign in on every server, also those near somebody.
    pub(super) async fn test(&self, near: &[String]) -> Vec<Check> {
        let mut checks = Vec::new();
        let mut urls = self.config.urls.clone();
        urls.extend(near.iter().filter(|url| !self.config.urls.contains(url)).cloned());
        for url in urls {
            let problem = match self.session_on(&url).await {
                Ok(session) => {
                    session.close().await;
                    None
                }
                Err(NoServer(reason)) => Some(format!("{reason}{}", remedy(&reason))),
            };
            checks.push(Check::new(format!("{url}: sign in as {}", self.config.bind), problem));
        }
        checks
    }

    /// Remembers that this server is of no help now.
    pub(in crate::integration) fn failed(&self, url: &str, reason: &str) -> NoServer {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.retain(|(other, at)| other != url && at.elapsed() < SHUNNED);
        failed.push((url.to_owned(), Instant::now()));
        NoServer(format!("{url}: {reason}"))
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Servers")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// What a server said, fit for a log: result, and its own text. Neither ever holds a password.
pub(in crate::integration) fn shown(result: &LdapResult) -> String {
    let text = result.text.trim_matches(|c: char| c.is_whitespace() || c == '\0');
    let text: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
    if text.is_empty() {
        format!("result {}", result.rc)
    } else {
        format!("result {}, {text:?}", result.rc)
    }
}

/// What to do about the errors of TLS, which speak of certificates to those who know them.
pub(in crate::integration) fn remedy(reason: &str) -> &'static str {
    if reason.contains("UnknownIssuer") {
        "; `ca` must be the file of the authority that signed the server's certificate"
    } else if reason.contains("not valid for name") {
        "; the URL must have the name that is in the server's certificate"
    } else if reason.contains("Expired") {
        "; the server needs a new certificate"
    } else if reason.contains("BadSignature") {
        "; `ca` is of another authority with the same name as the one that signed the server's certificate"
    } else if reason.contains("does not let") {
        "; enter the right password with `passline target credential`"
    } else {
        ""
    }
}

/// One connection.
pub(in crate::integration) struct Session {
    url: String,
    ldap: Ldap,
    driver: Driver,
}

/// The task that owns the socket; ends with the session.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Session {
    /// The server.
    pub(in crate::integration) fn url(&self) -> &str {
        &self.url
    }

    /// Signs in. An empty password is refused here: to a server it would mean *anonymous*, and succeed (RFC 4513, 5.1.2).
    pub(super) async fn bind(&mut self, name: &str, password: &Secret, controls: Vec<RawControl>) -> Sent {
        if password.is_empty() || name.is_empty() {
            return Sent::Unsent("neither a name nor a password may be empty".to_owned());
        }
        if !controls.is_empty() {
            self.ldap.with_controls(controls);
        }
        sent(self.ldap.simple_bind(name, password.expose()).await)
    }

    /// Asks what a change would come to, and changes nothing: by a control that the server must know or refuse the request.
    pub(super) async fn rehearse(&mut self, dn: &str, changes: Vec<Mod<Vec<u8>>>) -> Sent {
        let control = RawControl {
            ctype: NO_OP.to_owned(),
            crit: true,
            val: None,
        };
        self.ldap.with_controls(vec![control]);
        self.modify(dn, changes).await
    }

    /// Changes one entry, all of it or nothing (RFC 4511, 4.6).
    pub(super) async fn modify(&mut self, dn: &str, changes: Vec<Mod<Vec<u8>>>) -> Sent {
        sent(self.ldap.modify(dn, changes).await)
    }

    /// Sets a password (RFC 3062).
    pub(super) async fn password_modify(&mut self, dn: &str, old: Option<&Secret>, new: &Secret) -> Sent {
        let request = ldap3::exop::PasswordModify {
            user_id: Some(dn),
            old_pass: old.map(Secret::expose),
            new_pass: Some(new.expose()),
        };
        sent(self.ldap.extended(request).await.map(|result| result.1))
    }

    /// Entries below `base`, with these attributes; at most `limit` of them, as nobody asks for more here.
    pub(in crate::integration) async fn search(
        &mut self,
        base: &str,
        scope: Scope,
        filter: &str,
        attributes: &[&str],
        limit: i32,
    ) -> Result<Vec<SearchEntry>, Sent> {
        let options = ldap3::SearchOptions::new().sizelimit(limit);
        let attributes = attributes.to_vec();
        let found = self
            .ldap
            .with_search_options(options)
            .search(base, scope, filter, attributes)
            .await;
        match found {
            // 4: there are more than `limit`; those that came are here.
            Ok(found) if found.1.rc == 0 || found.1.rc == 4 => {
                Ok(found.0.into_iter().map(SearchEntry::construct).collect())
            }
            Ok(found) => Err(Sent::Answered(found.1)),
            Err(error) => Err(sent(Err(error))),
        }
    }

    /// Everything below `base`, however much it is, in pages of `page` entries (RFC 2696).
    pub(in crate::integration) async fn entries(
        &mut self,
        base: &str,
        filter: &str,
        attributes: Vec<String>,
        page: i32,
    ) -> Result<Entries, Sent> {
        let adapters: Vec<Box<dyn Adapter<'static, String, Vec<String>>>> =
            vec![Box::new(EntriesOnly::new()), Box::new(PagedResults::new(page))];
        let begun = self
            .ldap
            .streaming_search_with(adapters, base, Scope::Subtree, filter, attributes);
        match tokio::time::timeout(NEXT, begun).await {
            Ok(Ok(stream)) => Ok(Entries(stream)),
            Ok(Err(error)) => Err(sent(Err(error))),
            Err(_) => Err(late()),
        }
    }

    /// Says goodbye. A session that is only dropped ends as well, but the server notes a broken connection.
    pub(in crate::integration) async fn close(mut self) {
        let _ = tokio::time::timeout(GOODBYE, self.ldap.unbind()).await;
        drop(self.driver);
    }
}

/// Entries as they come.
pub(in crate::integration) struct Entries(SearchStream<'static, String, Vec<String>>);

impl Entries {
    /// The next one; none at the end, if it is the end of everything that there is.
    pub(in crate::integration) async fn next(&mut self) -> Result<Option<SearchEntry>, Sent> {
        match tokio::time::timeout(NEXT, self.0.next()).await {
            Ok(Ok(Some(entry))) => constructed(entry).map(Some),
            Ok(Ok(None)) => match self.0.finish().await {
                result if result.rc == 0 => Ok(None),
                result => Err(Sent::Answered(result)),
            },
            Ok(Err(error)) => Err(sent(Err(error))),
            Err(_) => Err(late()),
        }
    }
}

/// The library panics where the name of an entry is not UTF-8.
fn constructed(entry: ResultEntry) -> Result<SearchEntry, Sent> {
    let made = std::panic::catch_unwind(AssertUnwindSafe(|| SearchEntry::construct(entry)));
    made.map_err(|_| Sent::Lost("an entry cannot be read: its name is not UTF-8".to_owned()))
}

fn late() -> Sent {
    Sent::Lost(format!("no answer within {} seconds", NEXT.as_secs()))
}

fn sent(answer: Result<LdapResult, LdapError>) -> Sent {
    match answer {
        Ok(result) => Sent::Answered(result),
        // The task that owns the connection was gone already.
        Err(error @ LdapError::OpSend { .. }) => Sent::Unsent(error.to_string()),
        Err(error @ (LdapError::FilterParsing | LdapError::AddNoValues)) => Sent::Unsent(error.to_string()),
        Err(error) => Sent::Lost(error.to_string()),
    }
}

/// Puts this value in place of all others.
pub(super) fn replace(attribute: &str, value: &[u8]) -> Mod<Vec<u8>> {
    Mod::Replace(attribute.as_bytes().to_vec(), [value.to_vec()].into())
}

/// The first value of an attribute, whatever way the server writes its name.
pub(in crate::integration) fn value<'a>(entry: &'a SearchEntry, attribute: &str) -> Option<&'a str> {
    let (_, values) = entry
        .attrs
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(attribute))?;
    values.first().map(String::as_str)
}
