//! Which user an entry is.

use super::piece::{Candidate, Refused};
use super::{Run, SyncCounts, SyncError};
use crate::identity::user::User;
use crate::store::{Transaction, account, profile, source, user};

/// How an entry finds the user who is there already. More than one user found is nobody found: then the entry is refused.
///
/// An attribute that people may write themselves must link nobody: somebody could make themselves part of another user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkRule {
    /// The same login, in whatever case.
    Login,
    /// A number of theirs is one of the user's.
    EmployeeNumber,
    /// A mail address of theirs is one of the user's.
    Mail,
    /// An account of theirs is one of the user's.
    Account,
}

impl LinkRule {
    /// Every rule.
    pub const ALL: [Self; 4] = [Self::Login, Self::EmployeeNumber, Self::Mail, Self::Account];

    /// As it is written in the configuration.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Login => "login",
            Self::EmployeeNumber => "employee_number",
            Self::Mail => "mail",
            Self::Account => "account",
        }
    }
}

/// The user that an entry is.
pub(super) enum Found {
    Nobody,
    User(User),
    /// Somebody had the same name, and has left: nobody can tell whether it is the same person.
    Departed(User),
}

impl<P: FnMut(&SyncCounts) + Send> Run<'_, P> {
    /// The user that an entry is, if they are there.
    pub(super) async fn who(
        &self,
        tx: &mut Transaction,
        candidate: &Candidate,
    ) -> Result<Result<Found, Refused>, SyncError> {
        if let Some(row) = &candidate.known {
            return Ok(Ok(user::find(tx, row.user).await?.map_or(Found::Nobody, Found::User)));
        }
        let person = &candidate.person;
        for rule in &self.rules.link {
            let mut found = Vec::new();
            match rule {
                LinkRule::Login => {
                    if let Some(login) = &person.login {
                        found.extend(user::by_login(tx, login).await?.map(|user| user.id));
                    }
                }
                LinkRule::EmployeeNumber => {
                    for number in person.numbers.iter().flatten() {
                        found.extend(user::by_number(tx, number).await?.into_iter().map(|user| user.id));
                    }
                }
                LinkRule::Mail => {
                    for mail in person.mails.iter().flatten() {
                        found.extend(profile::by_mail(tx, mail.as_str()).await?);
                    }
                }
                LinkRule::Account => {
                    for (target, name) in &person.accounts {
                        found.extend(account::owner(tx, target, name).await?);
                    }
                }
            }
            found.sort_unstable();
            found.dedup();
            let user = match found.as_slice() {
                [] => continue,
                [one] => user::find(tx, *one).await?,
                _ => {
                    let rule = rule.name();
                    return Ok(Err(Refused(format!(
                        "several users have the same {rule}, so nobody can tell whose it is"
                    ))));
                }
            };
            return match user {
                Some(user) => self.is_it(tx, candidate, *rule, user).await,
                None => Ok(Ok(Found::Nobody)),
            };
        }
        Ok(Ok(Found::Nobody))
    }

    /// Whether an entry is the user whom a rule has found.
    async fn is_it(
        &self,
        tx: &mut Transaction,
        candidate: &Candidate,
        rule: LinkRule,
        user: User,
    ) -> Result<Result<Found, Refused>, SyncError> {
        // One source tells two people by two entries, and by nothing else but a number that is theirs is one of them both.
        let others = source::others(tx, user.id, self.name, &candidate.entry).await?;
        if rule != LinkRule::EmployeeNumber && others.iter().any(|(source, _)| source == self.name) {
            let rule = rule.name();
            return Ok(Err(Refused(format!("somebody else there has the same {rule} already"))));
        }
        let same = self.rules.unique_entries.then_some(candidate.entry.as_str());
        let has_left = self.rules.create
            && !source::is_led(tx, user.id, self.name, &candidate.entry).await?
            && source::was_led(tx, user.id, same).await?;
        Ok(Ok(if has_left {
            Found::Departed(user)
        } else {
            Found::User(user)
        }))
    }
}
