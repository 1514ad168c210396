//! Loading people from a source: who is new, who has changed, who is gone.
//!
//! ```text
//!  everything     All ─────────────▶ take ─┐
//!                                          ├─▶ whoever was there and was not seen is gone ─▶ remove, unless too many
//!  since then     ChangedSince ────▶ take ─┤
//!                 Entries ─▶ unknown ones ─▶ These ─▶ take
//! ```
//!
//! One run at a time, whatever node it is on. It writes in pieces, each true or not as a whole: cut off anywhere, the next
//! run goes on. Memory holds one bit for each person and a few hundred records.
//!
//! People are removed only after the source was read to its end, so a connection that breaks removes nobody. A removed
//! user is disabled and loses the accounts that came from there; who comes back is the same user again.

mod mapping;
mod person;
mod removal;
mod seen;
mod write;

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tokio::time::Instant;

pub use mapping::{Attributes, Mapping};
pub use write::LinkRule;

use self::person::Person;
use self::seen::Seen;
use super::{ServiceError, Services};
use crate::identity::event::{EventKind, Origin};
use crate::identity::question::Question;
use crate::integration::source::{Broken, Piece, Reading, Record, Source, SourceError, Which};
use crate::store::StoreError;
use crate::store::question;
use crate::store::source::{self, SourceRow};
use crate::time::Timestamp;

/// How long a source is kept for a reader that says nothing. Three minutes: a directory may take one to answer.
const LEASE: Duration = Duration::from_secs(180);

/// How often the reader says so, at least.
const RENEWAL: Duration = Duration::from_secs(30);

/// How long the next piece may take: a directory sorts out a large filter first, and there are others to be read.
const PATIENCE: Duration = Duration::from_secs(180);

/// People that become true together: enough to share the price of a commit, few enough that a call does not wait for them.
const TOGETHER: usize = 50;

/// Pieces that are read ahead.
const AHEAD: usize = 2;

/// More entries than this that nobody knows are not asked for one by one.
const MAX_UNKNOWN: usize = 10_000;

/// So many people may always lose numbers or accounts in one run.
const FEW_LOSSES: u64 = 10;

/// How many problems are kept; a source that is wrong throughout needs no more of them.
const MAX_PROBLEMS: usize = 1_000;

/// What becomes of the people in a source.
#[derive(Clone, Debug)]
pub struct SyncRules {
    /// Which attribute is what.
    pub mapping: Mapping,
    /// How an entry that is new here finds the user who is there already, the first rule first.
    pub link: Vec<LinkRule>,
    /// Whether entries become users if nobody is there already. Such a source decides about status and login of its people.
    pub create: bool,
    /// How many people in a hundred may be removed in one run.
    pub max_removals: u8,
    /// How often it is read.
    pub every: Duration,
    /// How often everything in it is read, although it tells what has changed.
    pub full_every: Duration,
    /// Whether entries are unlike those of all other sources, as those of directories are; those of files are not.
    pub unique_entries: bool,
    /// What else changes what is read, such as base and filter: when it changes, everything is read again.
    pub settings: String,
}

/// How a source is to be read this time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncOptions {
    /// Everything, also what has not changed since the last time.
    pub full: bool,
    /// Change nothing, and tell what would be changed.
    pub dry_run: bool,
    /// Remove people, however many they are.
    pub remove: bool,
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SyncCounts {
    /// People whose values were read.
    pub read: u64,
    /// Users who are new.
    pub created: u64,
    /// Entries that were linked to users who were there before.
    pub linked: u64,
    /// Users about whom something is new.
    pub changed: u64,
    /// People about whom nothing is new.
    pub unchanged: u64,
    /// Entries that belong to nobody here, in a source that creates nobody.
    pub unlinked: u64,
    /// People who could not be taken, because of what is written about them.
    pub refused: u64,
    /// People who were there, and are not any more.
    pub removed: u64,
    /// People who are there, listed without their values.
    pub listed: u64,
}

/// Something about one person that could not be taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyncProblem {
    /// Where in the source: a distinguished name, an entry, a line.
    pub place: String,
    /// Which field, if it is about one; the person was taken without it.
    pub field: Option<&'static str>,
    /// What is wrong, and what would be right; never the value.
    pub message: String,
}

/// What a run did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncReport {
    /// Whether everything was read, or only what has changed.
    pub full: bool,
    /// The counts at the end.
    pub counts: SyncCounts,
    /// The first thousand problems.
    pub problems: Vec<SyncProblem>,
    /// How many more there were.
    pub more_problems: u64,
    /// How many people are missing, and were not removed because they are too many.
    pub held: u64,
    /// How many people were there before.
    pub known: u64,
    /// Whether nobody was removed because part of the source could not be read.
    pub incomplete: bool,
    /// Whether nobody was removed or let in again because another server of the source was read than the last time.
    pub elsewhere: bool,
}

impl SyncReport {
    /// What is told of a source that could not be read to its end in all its parts.
    fn part_missing(&self) -> Option<String> {
        let first = self.problems.iter().find(|_| self.incomplete)?;
        Some(format!(
            "part of it cannot be read, so nobody was removed; the first is {}: {}",
            first.place, first.message
        ))
    }

    fn problem(&mut self, place: &str, field: Option<&'static str>, message: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(SyncProblem {
                place: place.to_owned(),
                field,
                message,
            });
        } else {
            self.more_problems += 1;
        }
    }
}

/// Why a source was not read, or not to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The source.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Another process is at it.
    #[error("{name} is being read by another process")]
    Busy {
        /// The source.
        name: String,
    },
    /// So many people lost their numbers or accounts that it looks like an attribute which cannot be read any more.
    #[error(
        "{losses} people have no number or account there any more that they had before, and the run has stopped; is an \
         attribute of another name now, or hidden from Passline? If it is right, run `passline sync run {name} --remove`"
    )]
    Losses {
        /// The source.
        name: String,
        /// How many have lost something already.
        losses: u64,
    },
    /// Answers are mapped to a question that is not there.
    #[error("there is no question {question:?}; add it to the configuration as [[question]]")]
    NoSuchQuestion {
        /// Prompt or text.
        question: String,
    },
    /// The service.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

impl From<StoreError> for SyncError {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

/// One run.
struct Run<'a, P> {
    services: &'a Services,
    origin: Origin,
    name: &'a str,
    rules: &'a SyncRules,
    options: SyncOptions,
    questions: Vec<Question>,
    /// Who reads, as the database knows it.
    reader: String,
    renewed: Instant,
    seen: Seen,
    /// The highest number of an entry before the run.
    highest: i64,
    next_number: i64,
    /// Entries that were refused, to be tried once more: what was in their way may be gone by the end.
    again: BTreeSet<String>,
    /// Whether entries are read that were read before.
    is_again: bool,
    /// Whether whoever is refused now stays refused.
    is_last_try: bool,
    /// How many people had a number or an account before, and have none now.
    losses: u64,
    report: SyncReport,
    progress: P,
}

impl Services {
    /// Reads a source and makes true here what is written there. `progress` is told after every piece.
    ///
    /// # Errors
    /// [`SyncError`]; what was written before stays, and nobody was removed.
    pub async fn sync(
        &self,
        origin: &Origin,
        source: &dyn Source,
        rules: &SyncRules,
        options: SyncOptions,
        progress: impl FnMut(&SyncCounts) + Send,
    ) -> Result<SyncReport, SyncError> {
        let name = source.name();
        let questions = self.questions_of(&rules.mapping).await?;
        let begun = self.now();
        let reader = self.draw(|rng| format!("{} {:016x}", self.0.owner, rand::Rng::next_u64(rng)));
        let before = self.begin_run(name, &reader, options).await?;
        let (highest, known) = {
            let mut tx = self.store().read().await?;
            source::extent(&mut tx, name).await?
        };
        let mut run = Run {
            services: self,
            origin: origin.clone(),
            name,
            rules,
            options,
            questions,
            reader,
            renewed: Instant::now(),
            seen: Seen::default(),
            highest,
            next_number: highest + 1,
            again: BTreeSet::new(),
            is_again: false,
            is_last_try: false,
            losses: 0,
            report: SyncReport {
                known,
                ..SyncReport::default()
            },
            progress,
        };
        let settings = self.peppers().fingerprint(
            "source settings",
            &[rules.settings.as_bytes(), format!("{:?}", rules.mapping).as_bytes()],
        );
        let done = run.read_and_remove(source, &before, &settings).await;
        let Run { report, reader, .. } = run;
        if !options.dry_run {
            self.end_run(
                origin,
                name,
                &reader,
                SourceRow {
                    begun: Some(begun),
                    ..before
                },
                settings,
                &done,
                &report,
            )
            .await?;
        }
        // Counted anew only where somebody may have become enrolled.
        if !rules.mapping.answers.is_empty() {
            self.forget_decoy_pools().await;
        }
        done.map(|_| report)
    }

    /// How a source was left by its last run.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn source_status(&self, name: &str) -> Result<SourceStatus, ServiceError> {
        let mut tx = self.store().read().await?;
        let row = source::find(&mut tx, name).await?;
        let (_, known) = source::extent(&mut tx, name).await?;
        Ok(SourceStatus {
            begun: row.begun,
            ended: row.ended,
            full: row.full,
            failure: row.failure,
            counts: row.counts.and_then(|counts| serde_json::from_str(&counts).ok()),
            held: row.held,
            known,
        })
    }

    /// Whether it is time to read a source.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn is_sync_due(&self, name: &str, rules: &SyncRules) -> Result<bool, ServiceError> {
        let mut tx = self.store().read().await?;
        let begun = source::find(&mut tx, name).await?.begun;
        let now = self.now();
        // A clock that was set back must not make it wait for years.
        Ok(begun.is_none_or(|begun| begun > now || now.since(begun) >= rules.every))
    }

    /// Has only these sources decide about people, because there are no others any more. Returns which ones were retired.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn retire_other_sources(&self, names: &[&str]) -> Result<Vec<String>, ServiceError> {
        let mut tx = self.store().write().await?;
        let mut retired = Vec::new();
        for (name, was_retired) in source::names(&mut tx).await? {
            let is_retired = !names.contains(&name.as_str());
            if is_retired != was_retired {
                source::set_retired(&mut tx, &name, is_retired).await?;
            }
            if is_retired {
                retired.push(name);
            }
        }
        tx.commit().await?;
        Ok(retired)
    }

    async fn questions_of(&self, mapping: &Mapping) -> Result<Vec<Question>, SyncError> {
        let mut tx = self.store().read().await?;
        let mut questions = Vec::new();
        for (name, _) in &mapping.answers {
            let found = question::by_text_or_prompt(&mut tx, name).await?;
            questions.push(found.ok_or_else(|| SyncError::NoSuchQuestion { question: name.clone() })?);
        }
        Ok(questions)
    }

    async fn begin_run(&self, name: &str, reader: &str, options: SyncOptions) -> Result<SourceRow, SyncError> {
        if options.dry_run {
            let mut tx = self.store().read().await?;
            return Ok(source::find(&mut tx, name).await?);
        }
        let now = self.now();
        let mut tx = self.store().write().await?;
        let before = source::find(&mut tx, name).await?;
        if !source::claim(&mut tx, name, reader, now, now.plus(LEASE)).await? {
            return Err(SyncError::Busy { name: name.to_owned() });
        }
        tx.commit().await?;
        Ok(before)
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one place calls it, with what the run has left"
    )]
    async fn end_run(
        &self,
        origin: &Origin,
        name: &str,
        reader: &str,
        before: SourceRow,
        settings: String,
        done: &Result<Reached, SyncError>,
        report: &SyncReport,
    ) -> Result<(), SyncError> {
        let now = self.now();
        let counts = &report.counts;
        let (mut after, mut events) = (before.clone(), Vec::new());
        after.ended = Some(now);
        after.counts = serde_json::to_string(counts).ok();
        match done {
            Ok(Reached { position, server }) => {
                after.failure = report.part_missing();
                after.server = server.clone();
                after.held = report.held;
                if !report.incomplete {
                    after.reached = position.clone();
                    after.settings = Some(settings);
                    if report.full {
                        after.full = after.begun;
                    }
                }
                if counts.created + counts.linked + counts.changed + counts.removed > 0 {
                    events.push(EventKind::PeopleLoaded {
                        source: name.to_owned(),
                        created: counts.created,
                        changed: counts.changed + counts.linked,
                        removed: counts.removed,
                    });
                }
                if report.held > 0 && before.held == 0 {
                    events.push(EventKind::RemovalsHeld {
                        source: name.to_owned(),
                        missing: report.held,
                        known: report.known,
                    });
                }
            }
            Err(error) => after.failure = Some(error.to_string()),
        }
        if let Some(reason) = &after.failure
            // Once, and not every quarter of an hour.
            && before.failure.as_ref() != Some(reason)
        {
            events.push(EventKind::PeopleNotLoaded {
                source: name.to_owned(),
                reason: reason.clone(),
            });
        }
        let mut tx = self.store().write().await?;
        source::release(&mut tx, name, reader, &after).await?;
        for kind in events {
            self.record(&mut tx, origin, now, kind).await?;
        }
        Ok(tx.commit().await?)
    }
}

/// Where the next run may go on, and which server has told that.
struct Reached {
    position: Option<String>,
    server: Option<String>,
}

/// How a source was left by its last run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceStatus {
    /// When it began; none if the source was never read.
    pub begun: Option<Timestamp>,
    /// When it ended; none while it is under way, or when its process died.
    pub ended: Option<Timestamp>,
    /// When everything was read last.
    pub full: Option<Timestamp>,
    /// Why it failed.
    pub failure: Option<String>,
    /// What it found.
    pub counts: Option<SyncCounts>,
    /// How many people are missing and were too many to remove.
    pub held: u64,
    /// How many people of it are here.
    pub known: u64,
}

impl<P: FnMut(&SyncCounts) + Send> Run<'_, P> {
    async fn read_and_remove(
        &mut self,
        source: &dyn Source,
        before: &SourceRow,
        settings: &str,
    ) -> Result<Reached, SyncError> {
        let attributes = self.rules.mapping.attributes();
        let mut reading = source.open(&attributes).await?;
        let now = self.services.now();
        let is_old = |full: Timestamp| full > now || now.since(full) >= self.rules.full_every;
        let position = before
            .reached
            .as_deref()
            .filter(|_| !self.options.full && !before.full.is_none_or(is_old))
            .filter(|_| before.settings.as_deref() == Some(settings))
            .filter(|position| reading.goes_on_from(position));
        // Another server may not know yet who is new, and who is gone.
        let server = reading.server().map(str::to_owned);
        self.report.elsewhere = before.server.is_some() && before.server != server;
        let whole = match position {
            Some(position) => self.read_changes(reading.as_mut(), position).await?,
            None => true,
        };
        if whole {
            self.report.full = true;
            self.seen = Seen::default();
            self.take_all(reading.as_mut(), Which::All).await?;
        }
        self.is_again = true;
        // What was in the way of somebody may be gone by now, or by the removals.
        self.take_again(reading.as_mut()).await?;
        self.remove_missing().await?;
        self.is_last_try = true;
        self.take_again(reading.as_mut()).await?;
        let position = reading.reached().or_else(|| position.map(str::to_owned));
        reading.close().await;
        Ok(Reached { position, server })
    }

    /// Takes those whose turn comes once more.
    async fn take_again(&mut self, reading: &mut dyn Reading) -> Result<(), SyncError> {
        let again: Vec<String> = std::mem::take(&mut self.again).into_iter().collect();
        if again.is_empty() {
            return Ok(());
        }
        self.report.counts.read = self.report.counts.read.saturating_sub(again.len() as u64);
        self.take_all(reading, Which::These(&again)).await
    }

    /// Takes who has changed and who is new; `true` if so many are new that everything had better be read.
    async fn read_changes(&mut self, reading: &mut dyn Reading, position: &str) -> Result<bool, SyncError> {
        self.take_all(reading, Which::ChangedSince(position)).await?;
        let mut unknown = Vec::new();
        let (out, mut pieces) = mpsc::channel(AHEAD);
        let listing = async {
            let listed = reading.read(Which::Entries, &out).await;
            drop(out);
            Ok::<_, SyncError>(listed?)
        };
        let looking = async {
            while let Some(piece) = self.next(&mut pieces).await? {
                self.look_up(piece, &mut unknown).await?;
                if unknown.len() > MAX_UNKNOWN {
                    break;
                }
            }
            // Whoever reads need not go on.
            drop(pieces);
            Ok(())
        };
        tokio::try_join!(listing, looking)?;
        if unknown.len() > MAX_UNKNOWN {
            return Ok(true);
        }
        if !unknown.is_empty() {
            self.take_all(reading, Which::These(&unknown)).await?;
        }
        Ok(false)
    }

    /// Marks whom we know; the others go into `unknown`.
    async fn look_up(&mut self, piece: Piece, unknown: &mut Vec<String>) -> Result<(), SyncError> {
        let records = self.whole_records(piece);
        let entries: Vec<&str> = records.iter().map(|record| record.entry.as_str()).collect();
        let mut tx = self.services.store().read().await?;
        let known = source::entries(&mut tx, self.name, &entries).await?;
        drop(tx);
        let mut is_known = HashSet::with_capacity(known.len());
        for row in &known {
            if row.present {
                self.seen.mark(row.number);
            }
            // Those who were refused the last time are tried again.
            if row.present && !row.fingerprint.is_empty() {
                is_known.insert(row.entry.as_str());
            }
        }
        unknown.extend(
            entries
                .iter()
                .filter(|entry| !is_known.contains(*entry))
                .map(|&entry| entry.to_owned()),
        );
        self.report.counts.listed += records.len() as u64;
        self.keep_lease().await?;
        (self.progress)(&self.report.counts);
        Ok(())
    }

    /// Takes everything that is asked for.
    async fn take_all(&mut self, reading: &mut dyn Reading, which: Which<'_>) -> Result<(), SyncError> {
        let (out, mut pieces) = mpsc::channel(AHEAD);
        let reading = async {
            let read = reading.read(which, &out).await;
            drop(out);
            Ok::<_, SyncError>(read?)
        };
        let taking = async {
            while let Some(piece) = self.next(&mut pieces).await? {
                self.take(piece).await?;
                (self.progress)(&self.report.counts);
            }
            Ok(())
        };
        // Who fails first ends the other one as well.
        tokio::try_join!(reading, taking)?;
        Ok(())
    }

    /// The next piece, if it comes in time.
    async fn next(&self, pieces: &mut mpsc::Receiver<Piece>) -> Result<Option<Piece>, SyncError> {
        let late = |_| SourceError {
            source_name: self.name.to_owned(),
            problem: format!("nothing has come for {} seconds", PATIENCE.as_secs()),
        };
        Ok(tokio::time::timeout(PATIENCE, pieces.recv()).await.map_err(late)?)
    }

    async fn take(&mut self, piece: Piece) -> Result<(), SyncError> {
        let records = self.whole_records(piece);
        self.report.counts.read += records.len() as u64;
        for records in records.chunks(TOGETHER) {
            self.write_piece(records).await?;
        }
        self.keep_lease().await
    }

    /// The records of a piece. What is no record is told, and forbids to take anybody for gone.
    fn whole_records(&mut self, piece: Piece) -> Vec<Record> {
        let mut records = Vec::with_capacity(piece.len());
        for read in piece {
            match read {
                Ok(record) => records.push(record),
                Err(Broken { place, problem }) => {
                    self.report.incomplete = true;
                    self.report.counts.refused += 1;
                    self.report.problem(&place, None, problem);
                }
            }
        }
        records
    }

    /// Stays the reader also where nothing is written.
    async fn keep_lease(&mut self) -> Result<(), SyncError> {
        if self.options.dry_run || self.renewed.elapsed() < RENEWAL {
            return Ok(());
        }
        let mut tx = self.services.store().write().await?;
        self.renew(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Stays the reader, and makes sure of it before anything of this transaction becomes true.
    async fn renew(&mut self, tx: &mut crate::store::Transaction) -> Result<(), SyncError> {
        if self.options.dry_run {
            return Ok(());
        }
        let until = self.services.now().plus(LEASE);
        if !source::renew(tx, self.name, &self.reader, until).await? {
            return Err(SyncError::Busy {
                name: self.name.to_owned(),
            });
        }
        self.renewed = Instant::now();
        Ok(())
    }
}
