//! Making true what records say: which user an entry is, and what of them has changed.

use std::collections::HashMap;

use super::{FEW_LOSSES, MAX_UNKNOWN, Person, Run, SyncCounts, SyncError};
use crate::identity::answer_hash::{AnswerContext, AnswerHash};
use crate::identity::event::{EventKind, Origin};
use crate::identity::ids::{AccountId, UserId};
use crate::identity::profile::{Profile, place_key};
use crate::identity::question::Channel;
use crate::identity::user::{Discriminator, User, UserStatus};
use crate::integration::source::Record;
use crate::service::ServiceError;
use crate::service::people::{PeopleError, about};
use crate::store::account::{self, Account};
use crate::store::source::{self, EntryRow};
use crate::store::{Transaction, profile, question, user};
use crate::time::Timestamp;

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

/// How often a transaction is tried that comes too late for its turn.
const TRIES: usize = 3;

/// What is told of an entry that a source lists twice, in two ways.
const DOUBLE: &str = "is there more than once, and not each time with the same values; the first one counts";

/// What became of a record.
enum Done {
    Created,
    Linked,
    Changed,
    Unchanged,
    Unlinked,
}

/// Why a record was not taken.
struct Refused(String);

/// A record with what it says.
struct Candidate {
    entry: String,
    place: String,
    fingerprint: String,
    person: Person,
    known: Option<EntryRow>,
    /// For whom, and answers that they have not given yet.
    answers: Option<(UserId, Vec<(AnswerContext, AnswerHash)>)>,
}

/// The user that an entry is.
enum Found {
    Nobody,
    User(User),
    /// Somebody had the same name, and has left: nobody can tell whether it is the same person.
    Departed(User),
}

/// What writing a few records comes to, once it is true.
#[derive(Default)]
struct Written {
    events: Vec<(Origin, EventKind)>,
    taken: Vec<(usize, i64, Done)>,
    refused: Vec<(usize, Refused)>,
    next_number: i64,
    /// Other entries of this source that are to be read once more.
    again: Vec<String>,
    losses: u64,
}

impl<P: FnMut(&SyncCounts) + Send> Run<'_, P> {
    /// Writes what is new in these records.
    pub(super) async fn write_piece(&mut self, records: &[Record]) -> Result<(), SyncError> {
        let mut candidates = self.candidates(records).await?;
        if candidates.is_empty() {
            return Ok(());
        }
        if !self.options.dry_run && !self.questions.is_empty() {
            // Slow hashes first: nobody else can write while the transaction is open.
            for candidate in &mut candidates {
                candidate.answers = self.hash_answers(candidate).await?;
            }
        }
        let mut tries = 0;
        let written = loop {
            tries += 1;
            match self.write_candidates(&candidates).await {
                Err(SyncError::Service(ServiceError::Store(error))) if error.is_transient() && tries < TRIES => {}
                written => break written?,
            }
        };
        self.losses += written.losses;
        self.note(&candidates, written);
        let allowed = u64::from(self.rules.max_removals) * self.report.known;
        if self.losses > FEW_LOSSES && self.losses * 100 > allowed && !self.options.remove {
            return Err(SyncError::Losses {
                name: self.name.to_owned(),
                losses: self.losses,
            });
        }
        Ok(())
    }

    /// One transaction.
    async fn write_candidates(&mut self, candidates: &[Candidate]) -> Result<Written, SyncError> {
        let now = self.services.now();
        let mut written = Written {
            next_number: self.next_number,
            ..Written::default()
        };
        let mut tx = self.services.store().write().await?;
        for (nth, candidate) in candidates.iter().enumerate() {
            match self.write_one(&mut tx, candidate, now, &mut written).await? {
                Ok((done, number)) => {
                    written.next_number = written.next_number.max(number + 1);
                    written.taken.push((nth, number, done));
                }
                Err(refused) => {
                    if candidate.known.is_some() {
                        source::read_again(&mut tx, self.name, &candidate.entry).await?;
                    }
                    written.refused.push((nth, refused));
                }
            }
        }
        if !self.options.dry_run {
            self.renew(&mut tx).await?;
            let events = std::mem::take(&mut written.events);
            self.services.record_all(&mut tx, now, events).await?;
            tx.commit().await?;
            self.next_number = written.next_number;
        }
        Ok(written)
    }

    fn note(&mut self, candidates: &[Candidate], written: Written) {
        for (nth, number, done) in written.taken {
            let candidate = &candidates[nth];
            for (field, message) in &candidate.person.wrong {
                self.report.problem(&candidate.place, Some(field), message.clone());
            }
            self.again.remove(&candidate.entry);
            self.seen.mark(number);
            let counts = &mut self.report.counts;
            match done {
                Done::Created => counts.created += 1,
                Done::Linked => counts.linked += 1,
                Done::Changed => counts.changed += 1,
                Done::Unchanged => counts.unchanged += 1,
                Done::Unlinked => counts.unlinked += 1,
            }
        }
        for (nth, Refused(message)) in written.refused {
            let candidate = &candidates[nth];
            if !self.is_last_try && self.again.len() < MAX_UNKNOWN {
                self.again.insert(candidate.entry.clone());
            } else {
                self.report.counts.refused += 1;
                self.report.problem(&candidate.place, None, message);
            }
        }
        if !self.is_last_try {
            let room = MAX_UNKNOWN.saturating_sub(self.again.len());
            self.again.extend(written.again.into_iter().take(room));
        }
    }

    /// The records that say something new. The others are marked as met.
    async fn candidates(&mut self, records: &[Record]) -> Result<Vec<Candidate>, SyncError> {
        let asked = self.rules.mapping.attributes();
        let mapping = format!("{:?} {}", self.rules.mapping, self.rules.create);
        let entries: Vec<&str> = records.iter().map(|record| record.entry.as_str()).collect();
        let mut tx = self.services.store().read().await?;
        let known = source::entries(&mut tx, self.name, &entries).await?;
        drop(tx);
        let known: HashMap<String, EntryRow> = known.into_iter().map(|row| (row.entry.clone(), row)).collect();
        let mut candidates: Vec<Candidate> = Vec::new();
        for record in records {
            let known = known.get(&record.entry).cloned();
            let was_met = known.as_ref().is_some_and(|row| self.seen.contains(row.number));
            // Whatever is wrong with them: they are there.
            known.iter().for_each(|row| self.seen.mark(row.number));
            let fingerprint = self.fingerprint(&mapping, record);
            let earlier = candidates.iter().find(|other| other.entry == record.entry);
            let is_as_before = known
                .as_ref()
                .is_some_and(|row| row.present && row.fingerprint == fingerprint)
                || earlier.is_some_and(|earlier| earlier.fingerprint == fingerprint);
            if is_as_before {
                self.report.counts.unchanged += 1;
                continue;
            }
            if self.report.elsewhere && known.as_ref().is_some_and(|row| !row.present) {
                // Gone on the server that was read the last time, and here not yet.
                continue;
            }
            if earlier.is_some() || self.report.full && !self.is_again && was_met {
                self.report.counts.refused += 1;
                self.report.problem(&record.place, None, DOUBLE.to_owned());
                continue;
            }
            candidates.push(Candidate {
                person: Person::read(&self.rules.mapping, &asked, record, &self.questions),
                entry: record.entry.clone(),
                place: record.place.clone(),
                fingerprint,
                known,
                answers: None,
            });
        }
        Ok(candidates)
    }

    /// What shows whether anything has changed. Keyed, since answers and birthdays are easily guessed.
    fn fingerprint(&self, mapping: &str, record: &Record) -> String {
        let mut parts: Vec<&[u8]> = vec![mapping.as_bytes(), record.place.as_bytes()];
        for values in &record.values {
            // Directories give values in any order.
            let mut values: Vec<&[u8]> = values.iter().map(|value| value.expose().as_bytes()).collect();
            values.sort_unstable();
            parts.push(b"");
            parts.extend(values);
        }
        self.services.peppers().fingerprint("person of a source", &parts)
    }

    /// Hashes the answers to questions that somebody has not answered yet.
    async fn hash_answers(
        &self,
        candidate: &Candidate,
    ) -> Result<Option<(UserId, Vec<(AnswerContext, AnswerHash)>)>, SyncError> {
        if candidate.person.answers.is_empty() {
            return Ok(None);
        }
        let mut tx = self.services.store().read().await?;
        let user = match self.who(&mut tx, candidate).await? {
            Ok(Found::User(user)) => user.id,
            Ok(Found::Nobody | Found::Departed(_)) if self.rules.create => {
                self.services.draw(|rng| UserId::generate(self.services.now(), rng))
            }
            _ => return Ok(None),
        };
        let mut answered = Vec::new();
        for channel in Channel::ALL {
            answered.extend(question::enrolled(&mut tx, user, channel).await?);
        }
        drop(tx);
        let mut hashes = Vec::new();
        for (nth, text) in &candidate.person.answers {
            let question = &self.questions[*nth];
            if answered.contains(&question.id) {
                continue;
            }
            match self.services.hash_enrolment(user, question, text).await {
                Ok(made) => hashes.extend(made),
                Err(PeopleError::Service(error)) => return Err(error.into()),
                // Tried when the record was read.
                Err(_) => {}
            }
        }
        Ok(Some((user, hashes)))
    }

    /// The user that an entry is, if they are there.
    async fn who(&self, tx: &mut Transaction, candidate: &Candidate) -> Result<Result<Found, Refused>, SyncError> {
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

    /// Writes one record. Everything that can be refused is asked before anything is written.
    async fn write_one(
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

    /// Takes the accounts that an entry does not name any more. Whether there was one.
    async fn take_accounts(
        &self,
        tx: &mut Transaction,
        candidate: &Candidate,
        id: UserId,
        now: Timestamp,
        written: &mut Written,
    ) -> Result<bool, SyncError> {
        if candidate.known.is_none() {
            return Ok(false);
        }
        let before = account::of_entry(tx, self.name, &candidate.entry).await?;
        let named = &candidate.person.accounts;
        let is_named = |account: &Account| {
            let is_it = |(target, name): &(String, String)| *target == account.target && *name == account.name;
            named.iter().any(is_it)
        };
        let mut has_lost = false;
        for account in before.iter().filter(|account| !is_named(account)) {
            account::remove(tx, account.id, now).await?;
            has_lost = true;
        }
        if has_lost {
            // Another entry of theirs may name it as well.
            for (source, other) in source::others(tx, id, self.name, &candidate.entry).await? {
                source::read_again(tx, &source, &other.entry).await?;
                if source == self.name {
                    written.again.push(other.entry);
                }
            }
        }
        Ok(has_lost)
    }

    /// Links the accounts that an entry names. Whether there was a new one.
    async fn link_accounts_of(
        &self,
        tx: &mut Transaction,
        candidate: &Candidate,
        id: UserId,
        now: Timestamp,
    ) -> Result<bool, SyncError> {
        let mut is_new = false;
        for (target, name) in &candidate.person.accounts {
            if account::owner(tx, target, name).await?.is_some() {
                continue;
            }
            let account = Account {
                id: self.services.draw(|rng| AccountId::generate(now, rng)),
                user: id,
                target: target.clone(),
                name: name.clone(),
                from: Some((self.name.to_owned(), candidate.entry.clone())),
            };
            account::insert(tx, &account).await?;
            is_new = true;
        }
        Ok(is_new)
    }

    /// Keeps answers that were not there; what is to be told of it.
    async fn keep_new_answers(
        &self,
        tx: &mut Transaction,
        user: UserId,
        hashes: &[(AnswerContext, AnswerHash)],
        now: Timestamp,
    ) -> Result<Vec<(Origin, EventKind)>, SyncError> {
        let mut kept = Vec::new();
        for (context, hash) in hashes {
            let is_there = question::answer(tx, user, context.question, context.channel)
                .await?
                .is_some();
            if !is_there {
                question::put_answer(tx, user, context.question, context.channel, hash, now).await?;
                kept.push(context.channel);
            }
        }
        let mut events = Vec::new();
        for channel in Channel::ALL.into_iter().filter(|channel| kept.contains(channel)) {
            let count = question::enrolled(tx, user, channel).await?.len();
            let questions = u32::try_from(count).unwrap_or(u32::MAX);
            events.push((
                about(&self.origin, user),
                EventKind::AnswersEnrolled { channel, questions },
            ));
        }
        Ok(events)
    }
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
