//! Making true what a record says: who is new, what has changed of whom, and what cannot be taken.

use super::link::Found;
use super::person::Person;
use super::piece::{Candidate, Done, Refused, Written};
use super::{Run, SyncCounts, SyncError};
use crate::identity::event::EventKind;
use crate::identity::ids::UserId;
use crate::identity::profile::{Profile, place_key};
use crate::identity::user::{Discriminator, User, UserStatus};
use crate::service::people::about;
use crate::store::source::{self, EntryRow};
use crate::store::{Transaction, account, profile, user};
use crate::time::Timestamp;

impl<P: FnMut(&SyncCounts) + Send> Run<'_, P> {
    /// Writes one record. Everything that can be refused is asked before anything is written.
    pub(super) async fn write_one(
        &self,
        tx: &mut Transaction,
        candidate: &Candidate,
        now: Timestamp,
        written: &mut Written,
    ) -> Result<Result<(Done, i64), Refused>, SyncError> {
        let person = &candidate.person;
        let old = match self.who(tx, candidate).await? {
            Ok(Found::User(user)) => Some(user),
            Ok(Found::Nobody) => None,
            Ok(Found::Departed(user)) => {
                let fields = self.services.retire_user(tx, &user, now).await?;
                let origin = about(&self.origin, user.id);
                written.events.push((origin, EventKind::ProfileChanged { fields }));
                None
            }
            Err(refused) => return Ok(Err(refused)),
        };
        let id = match (&old, &candidate.answers) {
            (Some(user), _) => user.id,
            (None, _) if !self.rules.create => return Ok(Ok((Done::Unlinked, -1))),
            (None, Some((id, _))) => *id,
            (None, None) => self.services.draw(|rng| UserId::generate(now, rng)),
        };
        // Also of somebody who is refused: what is not theirs any more is another's.
        let has_lost = self.take_accounts(tx, candidate, id, now, written).await?;
        // Two entries of one person: the first one says what they are called, the others bring accounts.
        let leads = self.rules.create
            && !source::is_led(tx, id, self.name, &candidate.entry).await?
            && !source::has_leader(tx, id, self.name, &candidate.entry).await?;
        let describes = leads || !self.rules.create;
        if let Some((owner, hashes)) = &candidate.answers
            && *owner != id
            && !hashes.is_empty()
        {
            return Ok(Err(Refused(
                "became another user just now; the next run takes it".to_owned(),
            )));
        }
        if let Some(refused) = self.conflict(tx, id, old.is_none(), leads, person).await? {
            if has_lost {
                let fields = vec!["accounts".to_owned()];
                let origin = about(&self.origin, id);
                written.events.push((origin, EventKind::ProfileChanged { fields }));
            }
            return Ok(Err(refused));
        }
        let (user, mut fields) = match self.described(id, old.as_ref(), describes, leads, person) {
            Ok(described) => described,
            Err(refused) => return Ok(Err(refused)),
        };
        match &old {
            None => user::insert(tx, &user, now).await?,
            Some(_) if fields.is_empty() => {}
            Some(_) => user::update(tx, &user, now).await?,
        }
        if describes {
            let before = match &old {
                None => Profile::default(),
                Some(_) => profile::find(tx, id).await?,
            };
            let after = person.profile(&before);
            if after != before {
                profile::put(tx, id, &after, old.is_none()).await?;
                fields.extend(changed_kinds(&before, &after));
            }
        }
        let has_no_account = has_lost && person.accounts.is_empty();
        let has_no_number =
            old.as_ref().is_some_and(|old| old.employee_number.is_some()) && user.employee_number.is_none();
        written.losses += u64::from(has_no_account || has_no_number);
        if self.link_accounts_of(tx, candidate, id, now).await? || has_lost {
            fields.push("accounts".to_owned());
        }
        let number = candidate.known.as_ref().map_or(written.next_number, |row| row.number);
        let row = EntryRow {
            entry: candidate.entry.clone(),
            number,
            place: place_key(&candidate.place),
            user: id,
            leads,
            may_lead: self.rules.create,
            present: true,
            fingerprint: candidate.fingerprint.clone(),
        };
        source::put(tx, self.name, &row).await?;
        let origin = about(&self.origin, id);
        let done = match (&old, &candidate.known) {
            (None, _) => Done::Created,
            (Some(_), None) => Done::Linked,
            (Some(_), Some(_)) if fields.is_empty() => Done::Unchanged,
            (Some(_), Some(_)) => Done::Changed,
        };
        match old {
            None => written.events.push((origin.clone(), EventKind::ProfileCreated {})),
            Some(_) if fields.is_empty() => {}
            Some(_) => written
                .events
                .push((origin.clone(), EventKind::ProfileChanged { fields })),
        }
        if let Some((_, hashes)) = &candidate.answers {
            written.events.extend(self.keep_new_answers(tx, id, hashes, now).await?);
        }
        Ok(Ok((done, number)))
    }

    /// What others have that this person claims.
    async fn conflict(
        &self,
        tx: &mut Transaction,
        id: UserId,
        is_new: bool,
        leads: bool,
        person: &Person,
    ) -> Result<Option<Refused>, SyncError> {
        match &person.login {
            None if is_new => return Ok(Some(Refused("has no login".to_owned()))),
            Some(login) if leads && user::by_login(tx, login).await?.is_some_and(|other| other.id != id) => {
                return Ok(Some(Refused("another user has this login already".to_owned())));
            }
            _ => {}
        }
        for (target, name) in &person.accounts {
            if account::owner(tx, target, name).await?.is_some_and(|owner| owner != id) {
                return Ok(Some(Refused(format!(
                    "the account on {target} belongs to another user"
                ))));
            }
        }
        Ok(None)
    }

    /// The user as the record describes them, and which fields are new.
    fn described(
        &self,
        id: UserId,
        old: Option<&User>,
        describes: bool,
        leads: bool,
        person: &Person,
    ) -> Result<(User, Vec<String>), Refused> {
        let discriminator = match &person.discriminator {
            Some(Some(digits)) => Discriminator::new(self.services.peppers(), id, digits.expose())
                .map(Some)
                .map_err(|error| Refused(error.to_string()))?,
            _ => None,
        };
        let mut user = match (old, &person.login) {
            (Some(old), _) => old.clone(),
            (None, Some(login)) => User {
                id,
                login: login.clone(),
                display_name: String::new(),
                employee_number: None,
                other_numbers: Vec::new(),
                discriminator: None,
                status: UserStatus::Active,
                language: None,
            },
            (None, None) => return Err(Refused("has no login".to_owned())),
        };
        let mut fields = Vec::new();
        let mut note = |field: &str, is_new: bool| {
            if is_new {
                fields.push(field.to_owned());
            }
            is_new
        };
        if let Some(login) = &person.login
            && leads
            && note("login", user.login != *login)
        {
            user.login = login.clone();
        }
        // Access that an admin took away stays away.
        if leads && note("status", user.status == UserStatus::Disabled) {
            user.status = UserStatus::Active;
        }
        if !describes {
            return Ok((user, fields));
        }
        if let Some(name) = &person.name
            && note("name", user.display_name != *name)
        {
            user.display_name = name.clone();
        }
        if let Some(numbers) = &person.numbers {
            let first = numbers.first().cloned();
            let others = numbers.get(1..).unwrap_or_default().to_vec();
            if note(
                "employee_number",
                user.employee_number != first || user.other_numbers != others,
            ) {
                (user.employee_number, user.other_numbers) = (first, others);
            }
        }
        if person.discriminator.is_some() && note("discriminator", user.discriminator != discriminator) {
            user.discriminator = discriminator;
        }
        if let Some(language) = &person.language
            && note("language", user.language != *language)
        {
            user.language = language.clone();
        }
        Ok((user, fields))
    }
}

fn changed_kinds(before: &Profile, after: &Profile) -> Vec<String> {
    let kinds = [
        ("phone", before.phones != after.phones),
        ("mail", before.mails != after.mails),
        ("department", before.departments != after.departments),
        ("manager", before.managers != after.managers),
        ("groups", before.groups != after.groups),
    ];
    kinds
        .into_iter()
        .filter(|(_, is_new)| *is_new)
        .map(|(kind, _)| kind.to_owned())
        .collect()
}
