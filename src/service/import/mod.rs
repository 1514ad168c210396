//! Loading people from a CSV file: line by line, in memory that does not grow with the file.
//!
//! ```text
//! login,name,employee_number,discriminator,language,account.Mail,account.Payroll,answer.question.birthday
//! ada,Ada Lovelace,004711,1210,en-US,ada,al4711,10 December 1815
//! ```
//!
//! `login` must be there, every other column may be missing. Users who exist already get the new values of the columns
//! that are there; an empty field leaves the value as it is. An answer column names its question by prompt ID or text.
//!
//! A line is taken whole or not at all. All mistakes are told, with line and column, never with the value.

mod lines;
mod row;

use std::collections::HashSet;
use std::io::Read;

use csv::StringRecord;
use tokio::sync::mpsc;

use self::lines::{Line, read_lines};
use self::row::{Column, Row, Seen, merged};

use super::people::{PeopleError, about};
use super::{ServiceError, Services};
use crate::identity::answer_hash::{AnswerContext, AnswerHash};
use crate::identity::event::{EventKind, Origin};
use crate::identity::ids::UserId;
use crate::store::{Transaction, account, question, user};
use crate::time::Timestamp;

/// Lines that become true together: a commit costs a flush to disk, a hundred lines cost little more.
const BATCH: usize = 100;

/// How many mistakes are kept; a file that is wrong throughout needs no more of them.
const MAX_MISTAKES: usize = 1000;

/// Something wrong in the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// The line, from 1; the header is line 1.
    pub line: u64,
    /// The column's name, if it is about one.
    pub column: Option<String>,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// How far an import has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Progress {
    /// Lines read, without the header.
    pub lines: u64,
    /// Users that are new.
    pub created: u64,
    /// Users that were there before, and got the values of their line.
    pub updated: u64,
    /// Lines with mistakes, which were left out.
    pub refused: u64,
}

/// What an import did.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct ImportReport {
    /// The counts at the end.
    pub progress: Progress,
    /// The first thousand mistakes.
    pub mistakes: Vec<Mistake>,
    /// How many more there were.
    pub more_mistakes: u64,
}

impl ImportReport {
    /// A line that is left out.
    fn refuse(&mut self, mistakes: Vec<Mistake>) {
        self.progress.refused += 1;
        mistakes.into_iter().for_each(|mistake| self.add(mistake));
    }

    fn add(&mut self, mistake: Mistake) {
        if self.mistakes.len() < MAX_MISTAKES {
            self.mistakes.push(mistake);
        } else {
            self.more_mistakes += 1;
        }
    }
}

impl Services {
    /// Imports people. Lines with mistakes are left out and reported; `progress` is told after every hundred lines.
    ///
    /// # Errors
    /// When the database fails. Whole batches before that are committed: the import can be repeated.
    pub async fn import_users<R: Read + Send + 'static>(
        &self,
        origin: &Origin,
        reader: R,
        mut progress: impl FnMut(&Progress),
    ) -> Result<ImportReport, ServiceError> {
        let (sender, mut lines) = mpsc::channel(2 * BATCH);
        let reading = tokio::task::spawn_blocking(move || read_lines(reader, &sender));
        let mut report = ImportReport::default();
        let Some(columns) = self.read_header(&mut lines, &mut report).await? else {
            return Ok(report);
        };
        let mut seen = Seen::default();
        let mut batch = Vec::with_capacity(BATCH);
        while lines.recv_many(&mut batch, BATCH).await > 0 {
            let mut rows = Vec::with_capacity(batch.len());
            for line in batch.drain(..) {
                report.progress.lines += 1;
                let read = match line {
                    Line::Record(line, record) => Row::read(&columns, line, &record, &mut seen),
                    Line::Broken(mistake) => Err(vec![mistake]),
                };
                match read {
                    Ok(row) => rows.push(row),
                    Err(mistakes) => report.refuse(mistakes),
                }
            }
            self.import_batch(origin, rows, &mut report).await?;
            progress(&report.progress);
        }
        reading.await.map_err(|_| ServiceError::Closing)?;
        self.forget_decoy_pools().await;
        Ok(report)
    }

    /// What the columns are; `None` when the header is wrong, or there is none.
    async fn read_header(
        &self,
        lines: &mut mpsc::Receiver<Line>,
        report: &mut ImportReport,
    ) -> Result<Option<Vec<Column>>, ServiceError> {
        let read = match lines.recv().await {
            Some(Line::Record(_, record)) => self.columns(&record).await?,
            Some(Line::Broken(mistake)) => Err(vec![mistake]),
            None => Err(vec![mistake(1, None, "the file is empty")]),
        };
        match read {
            Ok(columns) => Ok(Some(columns)),
            Err(mistakes) => {
                mistakes.into_iter().for_each(|mistake| report.add(mistake));
                Ok(None)
            }
        }
    }

    /// What the columns are.
    async fn columns(&self, record: &StringRecord) -> Result<Result<Vec<Column>, Vec<Mistake>>, ServiceError> {
        let mut tx = self.store().read().await?;
        let (mut columns, mut mistakes, mut names) = (Vec::new(), Vec::new(), HashSet::new());
        for name in record {
            let column = match name.split_once('.') {
                Some(("account", system)) if self.target(system).is_some() => Ok(Column::Account(system.to_owned())),
                Some(("account", _)) => Err("no system of this name is configured"),
                Some(("answer", asked)) => question::by_text_or_prompt(&mut tx, asked)
                    .await?
                    .map(|question| Column::Answer(Box::new(question)))
                    .ok_or("there is no question with this prompt ID or text; add it first"),
                _ => Column::plain(name).ok_or(
                    "unknown column; there are login, name, employee_number, discriminator, language, account.SYSTEM \
                     and answer.QUESTION",
                ),
            };
            let column = column.and_then(|column| match names.insert(name.to_owned()) {
                true => Ok(column),
                false => Err("the column is there twice"),
            });
            match column {
                Ok(column) => columns.push(column),
                Err(message) => mistakes.push(mistake(1, Some(name), message)),
            }
        }
        if !columns.iter().any(|column| matches!(column, Column::Login)) {
            mistakes.push(mistake(1, None, "the column `login` is missing"));
        }
        Ok(if mistakes.is_empty() {
            Ok(columns)
        } else {
            Err(mistakes)
        })
    }

    async fn import_batch(
        &self,
        origin: &Origin,
        rows: Vec<Row>,
        report: &mut ImportReport,
    ) -> Result<(), ServiceError> {
        // Slow hashes first: nobody else can write while the transaction is open.
        let mut ready = Vec::with_capacity(rows.len());
        for row in rows {
            let id = self.id_for(&row).await?;
            let mut hashes = Vec::new();
            for (question, text) in &row.answers {
                match self.hash_enrolment(id, question, text).await {
                    Ok(made) => hashes.extend(made),
                    Err(PeopleError::Service(error)) => return Err(error),
                    // Checked when the row was read.
                    Err(other) => report.add(mistake(row.line, None, &other.to_string())),
                }
            }
            ready.push((id, row, hashes));
        }
        let now = self.now();
        let mut counts = report.progress;
        let mut tx = self.store().write().await?;
        for (id, row, hashes) in ready {
            match self.import_row(&mut tx, origin, id, &row, &hashes, now).await? {
                Ok(Done::Created) => counts.created += 1,
                Ok(Done::Updated) => counts.updated += 1,
                Err(mistake) => {
                    counts.refused += 1;
                    report.add(mistake);
                }
            }
        }
        tx.commit().await?;
        report.progress = counts;
        Ok(())
    }

    /// The user of this login, or a new identifier.
    async fn id_for(&self, row: &Row) -> Result<UserId, ServiceError> {
        let mut tx = self.store().read().await?;
        let known = user::by_login(&mut tx, &row.user.login).await?;
        Ok(known.map_or_else(|| self.draw(|rng| UserId::generate(self.now(), rng)), |user| user.id))
    }

    /// Writes one line. Everything that can be refused is asked before anything is written.
    async fn import_row(
        &self,
        tx: &mut Transaction,
        origin: &Origin,
        id: UserId,
        row: &Row,
        hashes: &[(AnswerContext, AnswerHash)],
        now: Timestamp,
    ) -> Result<Result<Done, Mistake>, ServiceError> {
        for (system, name) in &row.user.accounts {
            if account::owner(tx, system, name).await?.is_some_and(|owner| owner != id) {
                let column = format!("account.{system}");
                return Ok(Err(mistake(
                    row.line,
                    Some(&column),
                    "the account belongs to another user",
                )));
            }
        }
        let known = user::by_login(tx, &row.user.login).await?;
        if known.as_ref().is_some_and(|user| user.id != id) {
            return Ok(Err(mistake(
                row.line,
                None,
                "somebody else added this login just now; import again",
            )));
        }
        let fresh = match self.new_user(id, &row.user) {
            Ok(user) => user,
            Err(error) => return Ok(Err(mistake(row.line, None, &error.to_string()))),
        };
        let origin = about(origin, id);
        let done = match known {
            None => {
                user::insert(tx, &fresh, now).await?;
                self.record(tx, &origin, now, EventKind::ProfileCreated {}).await?;
                Done::Created
            }
            Some(old) => {
                let (merged, fields) = merged(old, fresh);
                if !fields.is_empty() {
                    user::update(tx, &merged, now).await?;
                    self.record(tx, &origin, now, EventKind::ProfileChanged { fields })
                        .await?;
                }
                Done::Updated
            }
        };
        match self.link_accounts(tx, id, &row.user.accounts, now).await {
            Ok(_) => {}
            Err(PeopleError::Service(error)) => return Err(error),
            // Asked above, in this very transaction.
            Err(other) => return Ok(Err(mistake(row.line, None, &other.to_string()))),
        }
        self.keep_answers(tx, &origin, hashes, id, now).await?;
        Ok(Ok(done))
    }
}

enum Done {
    Created,
    Updated,
}

fn mistake(line: u64, column: Option<&str>, message: &str) -> Mistake {
    Mistake {
        line,
        column: column.map(str::to_owned),
        message: message.to_owned(),
    }
}
