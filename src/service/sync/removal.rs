//! Who is not there any more.

use super::{Run, SyncCounts, SyncError};
use crate::identity::event::{EventKind, Origin};
use crate::identity::user::{Login, User, UserStatus};
use crate::service::people::about;
use crate::service::{ServiceError, Services};
use crate::store::source::{self, EntryRow};
use crate::store::{Transaction, account, evidence, profile, question, user};
use crate::time::Timestamp;

/// Entries looked at together.
const PAGE: u32 = 500;

/// Entries that are removed together.
const BATCH: usize = 50;

impl<P: FnMut(&SyncCounts) + Send> Run<'_, P> {
    /// Removes who was there and was not met, unless they are too many.
    pub(super) async fn remove_missing(&mut self) -> Result<(), SyncError> {
        if self.report.incomplete || self.report.elsewhere {
            return Ok(());
        }
        let missing = self.count_missing().await?;
        let allowed = u64::from(self.rules.max_removals) * self.report.known;
        if missing * 100 > allowed && !self.options.remove {
            self.report.held = missing;
            return Ok(());
        }
        let mut after = 0;
        while let Some(page) = self.missing_after(&mut after).await? {
            for batch in page.chunks(BATCH) {
                if !self.options.dry_run {
                    self.remove(batch).await?;
                }
                self.report.counts.removed += batch.len() as u64;
                (self.progress)(&self.report.counts);
            }
        }
        Ok(())
    }

    async fn count_missing(&mut self) -> Result<u64, SyncError> {
        let (mut after, mut count) = (0, 0);
        while let Some(page) = self.missing_after(&mut after).await? {
            count += page.len() as u64;
            self.keep_lease().await?;
        }
        Ok(count)
    }

    /// Those of the next page of entries that were not met; `None` behind the last page.
    async fn missing_after(&self, after: &mut i64) -> Result<Option<Vec<EntryRow>>, SyncError> {
        let mut tx = self.services.store().read().await?;
        let page = source::present(&mut tx, self.name, *after, PAGE).await?;
        let Some(last) = page.last() else { return Ok(None) };
        *after = last.number;
        let is_missing = |row: &EntryRow| row.number <= self.highest && !self.seen.contains(row.number);
        Ok(Some(page.into_iter().filter(is_missing).collect()))
    }

    async fn remove(&mut self, rows: &[EntryRow]) -> Result<(), SyncError> {
        let now = self.services.now();
        let mut tx = self.services.store().write().await?;
        let mut events = Vec::new();
        for row in rows {
            let decides = row.leads && self.rules.create;
            let fields = self
                .services
                .remove_entry(&mut tx, self.name, row, decides, now)
                .await?;
            if !fields.is_empty() {
                events.push((about(&self.origin, row.user), EventKind::ProfileChanged { fields }));
            }
        }
        self.renew(&mut tx).await?;
        self.services.record_all(&mut tx, now, events).await?;
        Ok(tx.commit().await?)
    }
}

impl Services {
    /// Removes whoever is here by this source alone, and forgets it.
    ///
    /// # Errors
    /// When the database fails; those who were removed before that stay so.
    pub async fn forget_source(&self, origin: &Origin, name: &str) -> Result<u64, ServiceError> {
        let (mut after, mut count) = (0, 0);
        loop {
            let now = self.now();
            let mut tx = self.store().write().await?;
            source::set_retired(&mut tx, name, true).await?;
            let page = source::present(&mut tx, name, after, BATCH as u32).await?;
            let Some(last) = page.last() else {
                source::forget(&mut tx, name).await?;
                tx.commit().await?;
                return Ok(count);
            };
            after = last.number;
            let mut events = Vec::new();
            for row in &page {
                let fields = self.remove_entry(&mut tx, name, row, row.leads, now).await?;
                count += u64::from(fields.iter().any(|field| field == "status"));
                if !fields.is_empty() {
                    events.push((about(origin, row.user), EventKind::ProfileChanged { fields }));
                }
            }
            self.record_all(&mut tx, now, events).await?;
            tx.commit().await?;
        }
    }

    /// Takes the accounts that came with an entry. The user is disabled if the entry decides about them, unless another
    /// source lists them too: then that one decides from now on. Returns what has changed about the user.
    async fn remove_entry(
        &self,
        tx: &mut Transaction,
        name: &str,
        row: &EntryRow,
        decides: bool,
        now: Timestamp,
    ) -> Result<Vec<String>, ServiceError> {
        let mut fields = Vec::new();
        let others = source::others(tx, row.user, name, &row.entry).await?;
        for account in account::of_entry(tx, name, &row.entry).await? {
            account::remove(tx, account.id, now).await?;
            fields = vec!["accounts".to_owned()];
        }
        for (source, other) in others.iter().filter(|_| !fields.is_empty()) {
            // It may name the same account.
            source::read_again(tx, source, &other.entry).await?;
        }
        if decides && !source::is_led(tx, row.user, name, &row.entry).await? {
            match others.iter().find(|(source, other)| source != name && other.may_lead) {
                Some((source, heir)) => source::hand_over(tx, source, &heir.entry).await?,
                None => {
                    if let Some(mut user) = user::find(tx, row.user).await?
                        && user.status == UserStatus::Active
                    {
                        user.status = UserStatus::Disabled;
                        user::update(tx, &user, now).await?;
                        evidence::revoke_user(tx, user.id, now).await?;
                        fields.push("status".to_owned());
                    }
                }
            }
        }
        let gone = EntryRow {
            present: false,
            ..row.clone()
        };
        source::put(tx, name, &gone).await?;
        Ok(fields)
    }

    /// Takes from somebody who has left whatever names them, so that it can be another's: nobody who comes later becomes
    /// them, whatever their login, number or address. What they did stays told.
    pub(super) async fn retire_user(
        &self,
        tx: &mut Transaction,
        user: &User,
        now: Timestamp,
    ) -> Result<Vec<String>, ServiceError> {
        account::remove_all(tx, user.id, now).await?;
        question::forget_answers(tx, user.id).await?;
        profile::put(tx, user.id, &Default::default(), false).await?;
        source::detach(tx, user.id).await?;
        evidence::revoke_user(tx, user.id, now).await?;
        let retired = User {
            login: retired_login(user),
            employee_number: None,
            other_numbers: Vec::new(),
            discriminator: None,
            status: UserStatus::Disabled,
            ..user.clone()
        };
        user::update(tx, &retired, now).await?;
        let fields = ["login", "employee_number", "status", "accounts", "answers"];
        Ok(fields.map(str::to_owned).to_vec())
    }
}

/// A login that nobody has: the old one, and who it was.
fn retired_login(user: &User) -> Login {
    let old: String = user.login.as_str().chars().take(Login::MAX_CHARS - 60).collect();
    let login = format!("{old} (left, {})", user.id);
    login.parse().unwrap_or_else(|_| user.login.clone())
}
