//! Passline's own account in a directory: whether a password opens its door, and a connection by that door.

use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use ldap3::LdapResult;
use ldap3::controls::RawControl;

use super::super::Verdict;
use super::servers::{NoServer, Sent, Servers, Session, shown};
use crate::secret::Secret;

/// The password that Passline signs in with; another one when it was renewed.
pub(super) struct OwnPassword(RwLock<Option<Secret>>);

impl OwnPassword {
    pub(super) fn new(password: Option<Secret>) -> Self {
        Self(RwLock::new(password))
    }

    pub(super) fn get(&self) -> Option<Secret> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.read().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    pub(super) fn set(&self, password: Secret) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(password);
    }
}

impl Servers {
    /// Whether this is the password of Passline's account. Of several servers, one may have it already and another not
    /// yet, so one that takes it decides.
    pub(super) async fn try_own(
        &self,
        password: &Secret,
        control: Option<RawControl>,
        verdict: impl Fn(&LdapResult) -> Option<Verdict>,
    ) -> Result<Verdict, NoServer> {
        let mut refused = None;
        let mut reasons = Vec::new();
        for url in self.order(&[]) {
            match self.bind_own(&url, password, control.clone()).await {
                Ok((_, result)) => match verdict(&result) {
                    Some(verdict) if verdict.is_right() == Some(true) => return Ok(verdict),
                    // Who does not say may know it.
                    Some(_) if refused == Some(Verdict::Barred) => {}
                    Some(verdict) => refused = Some(verdict),
                    None => reasons.push(format!("{url}: {}", shown(&result))),
                },
                Err(NoServer(reason)) => reasons.push(reason),
            }
        }
        refused.ok_or_else(|| NoServer(reasons.join("; ")))
    }

    /// A connection to this server, and what it has answered to the sign-in as Passline with this password.
    pub(super) async fn bind_own(
        &self,
        url: &str,
        password: &Secret,
        control: Option<RawControl>,
    ) -> Result<(Session, LdapResult), NoServer> {
        /// As long as a whole request may take elsewhere.
        const PATIENCE: Duration = Duration::from_secs(4);
        let mut session = self.connect(url).await?;
        let bound = session.bind(self.own_name(), password, control.into_iter().collect());
        match tokio::time::timeout(PATIENCE, bound).await {
            Ok(Sent::Answered(result)) => Ok((session, result)),
            Ok(Sent::Unsent(reason) | Sent::Lost(reason)) => Err(self.failed(url, &reason)),
            Err(_) => Err(self.failed(url, "no answer to the sign-in")),
        }
    }
}
