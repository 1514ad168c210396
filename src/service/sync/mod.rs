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

mod accounts;
mod answers;
mod link;
mod mapping;
mod person;
mod piece;
mod removal;
mod report;
mod run;
mod seen;
mod write;

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use tokio::time::Instant;

pub use link::LinkRule;
pub use mapping::{Attributes, Mapping};
pub use report::{SourceStatus, SyncCounts, SyncError, SyncProblem, SyncReport};

use self::run::{FEW_LOSSES, MAX_UNKNOWN, Reached, Run};
use self::seen::Seen;
use super::{ServiceError, Services};
use crate::identity::event::{EventKind, Origin};
use crate::identity::question::Question;
use crate::integration::source::Source;
use crate::store::question;
use crate::store::source::{self, SourceRow};

/// How long a source is kept for a reader that says nothing: longer than the next piece may take (`run::PATIENCE`).
const LEASE: Duration = Duration::from_secs(300);

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
            // Those of a run that was stopped count: the next one is not to take the next few.
            losses: before.losses,
            unwritten: HashSet::new(),
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
        let Run {
            report, reader, losses, ..
        } = run;
        let before = SourceRow { losses, ..before };
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

    /// Gives up the sources that this process reads: for whoever was told to stop in the middle.
    ///
    /// # Errors
    /// When the database fails; then they are free after some minutes.
    pub async fn abandon_runs(&self) -> Result<(), ServiceError> {
        let mut tx = self.store().write().await?;
        source::abandon(&mut tx, &format!("{} ", self.0.owner)).await?;
        Ok(tx.commit().await?)
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
            let until = source::reader_until(&mut tx, name).await?;
            return Err(SyncError::Busy {
                name: name.to_owned(),
                until,
            });
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
                after.losses = 0;
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
            Err(error) => {
                after.failure = Some(error.to_string());
                if !matches!(error, SyncError::Losses { .. }) {
                    after.losses = 0;
                }
            }
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
