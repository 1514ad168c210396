//! A piece of what is read: what of it is new, and one transaction for all of that.

use std::collections::HashMap;

use super::person::Person;
use super::{FEW_LOSSES, MAX_UNKNOWN, Run, SyncCounts, SyncError};
use crate::identity::answer_hash::{AnswerContext, AnswerHash};
use crate::identity::event::{EventKind, Origin};
use crate::identity::ids::UserId;
use crate::integration::source::Record;
use crate::service::ServiceError;
use crate::store::source::{self, EntryRow};

/// How often a transaction is tried that comes too late for its turn.
const TRIES: usize = 3;

/// What is told of an entry that a source lists twice, in two ways.
const DOUBLE: &str = "is there more than once, and not each time with the same values; the first one counts";

/// What became of a record.
pub(super) enum Done {
    Created,
    Linked,
    Changed,
    Unchanged,
    Unlinked,
}

/// Why a record was not taken.
pub(super) struct Refused(pub(super) String);

/// A record with what it says.
pub(super) struct Candidate {
    pub(super) entry: String,
    pub(super) place: String,
    pub(super) fingerprint: String,
    pub(super) person: Person,
    pub(super) known: Option<EntryRow>,
    /// For whom, and answers that they have not given yet.
    pub(super) answers: Option<(UserId, Vec<(AnswerContext, AnswerHash)>)>,
}

/// What writing a few records comes to, once it is true.
#[derive(Default)]
pub(super) struct Written {
    pub(super) events: Vec<(Origin, EventKind)>,
    pub(super) taken: Vec<(usize, i64, Done)>,
    pub(super) refused: Vec<(usize, Refused)>,
    pub(super) next_number: i64,
    /// Other entries of this source that are to be read once more.
    pub(super) again: Vec<String>,
    pub(super) losses: u64,
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
        // Before it becomes true.
        let losses = self.losses + written.losses;
        let allowed = u64::from(self.rules.max_removals) * self.report.known;
        if written.losses > 0 && losses > FEW_LOSSES && losses * 100 > allowed && !self.options.remove {
            return Err(SyncError::Losses {
                name: self.name.to_owned(),
                losses,
            });
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
            if self.options.dry_run && candidate.known.is_none() {
                self.unwritten.insert(candidate.entry.clone());
            }
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
                for (field, message) in &candidate.person.wrong {
                    self.report.problem(&candidate.place, Some(field), message.clone());
                }
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
}
