//! One run: what is read in which order.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::seen::Seen;
use super::{LEASE, SyncCounts, SyncError, SyncOptions, SyncReport, SyncRules};
use crate::identity::event::Origin;
use crate::identity::question::Question;
use crate::integration::source::{Broken, Piece, Reading, Record, Source, SourceError, Which};
use crate::service::Services;
use crate::store::Transaction;
use crate::store::source::{self, SourceRow};
use crate::time::Timestamp;

/// How often the reader says so, at least.
const RENEWAL: Duration = Duration::from_secs(30);

/// How long the next piece may take: a directory sorts out a large filter first, and there are others to be read.
const PATIENCE: Duration = Duration::from_secs(180);

/// People that become true together: enough to share the price of a commit, few enough that a call does not wait for them.
const TOGETHER: usize = 50;

/// Pieces that are read ahead.
const AHEAD: usize = 2;

/// More entries than this that nobody knows are not asked for one by one.
pub(super) const MAX_UNKNOWN: usize = 10_000;

/// So many people may always lose numbers or accounts in one run.
pub(super) const FEW_LOSSES: u64 = 10;

/// One run.
pub(super) struct Run<'a, P> {
    pub(super) services: &'a Services,
    pub(super) origin: Origin,
    pub(super) name: &'a str,
    pub(super) rules: &'a SyncRules,
    pub(super) options: SyncOptions,
    pub(super) questions: Vec<Question>,
    /// Who reads, as the database knows it.
    pub(super) reader: String,
    pub(super) renewed: Instant,
    pub(super) seen: Seen,
    /// The highest number of an entry before the run.
    pub(super) highest: i64,
    pub(super) next_number: i64,
    /// Entries that were refused, to be tried once more: what was in their way may be gone by the end.
    pub(super) again: BTreeSet<String>,
    /// Whether entries are read that were read before.
    pub(super) is_again: bool,
    /// Whether whoever is refused now stays refused.
    pub(super) is_last_try: bool,
    /// How many people had a number or an account before, and have none now.
    pub(super) losses: u64,
    /// Entries that a dry run has taken and not written, so that it does not take them twice.
    pub(super) unwritten: HashSet<String>,
    pub(super) report: SyncReport,
    pub(super) progress: P,
}

/// Where the next run may go on, and which server has told that.
pub(super) struct Reached {
    pub(super) position: Option<String>,
    pub(super) server: Option<String>,
}

impl<P: FnMut(&SyncCounts) + Send> Run<'_, P> {
    pub(super) async fn read_and_remove(
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
                .filter(|&entry| !is_known.contains(entry) && !self.unwritten.contains(*entry))
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
            elsewhere: false,
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
    pub(super) async fn keep_lease(&mut self) -> Result<(), SyncError> {
        if self.options.dry_run || self.renewed.elapsed() < RENEWAL {
            return Ok(());
        }
        let mut tx = self.services.store().write().await?;
        self.renew(&mut tx).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Stays the reader, and makes sure of it before anything of this transaction becomes true.
    pub(super) async fn renew(&mut self, tx: &mut Transaction) -> Result<(), SyncError> {
        if self.options.dry_run {
            return Ok(());
        }
        let until = self.services.now().plus(LEASE);
        if !source::renew(tx, self.name, &self.reader, until).await? {
            return Err(SyncError::Busy {
                name: self.name.to_owned(),
                until,
            });
        }
        self.renewed = Instant::now();
        Ok(())
    }
}
