//! People in a directory: Active Directory, or any other that speaks LDAP.
//!
//! Read in pages (RFC 2696). Who has changed is told by `uSNChanged`, a count that each domain controller keeps for itself
//! (\[MS-ADTS\] 3.1.1.1.9), or by `modifyTimestamp` (RFC 4512, 3.4.2). Both are silent about who was deleted, moved,
//! disabled, or lost a group that the filter asks for, so the entries of everybody are listed as well; those are short.

use std::fmt::Write as _;
use std::pin::Pin;
use std::time::Duration;

use ldap3::{Scope, SearchEntry, ldap_escape};
use time::PrimitiveDateTime;
use time::macros::format_description;
use tokio::sync::mpsc;

use super::{Answer, Broken, MAX_KEY, Piece, Reading, Record, Source, SourceError, Which, key_problem, problem};
use crate::integration::target::TlsError;
use crate::integration::target::ldap::{
    Entries, NoServer, Sent, Servers, ServersConfig, Session, remedy, shown, value,
};
use crate::secret::Secret;

/// Entries in one page. A domain controller gives a thousand at most (MaxPageSize).
const PAGE: i32 = 500;

/// Entries in one piece.
const PIECE: usize = 100;

/// How long a small question may take.
const SOON: Duration = Duration::from_secs(30);

/// Entries that one search asks for by name.
const AT_ONCE: usize = 50;

/// How far clocks of servers that change the same entries may differ: so much is read once more.
const CLOCKS: Duration = Duration::from_secs(600);

/// Where people are in a directory.
#[derive(Clone, Debug)]
pub struct PeopleQuery {
    /// The source's name.
    pub name: String,
    /// The servers, and who Passline is there.
    pub servers: ServersConfig,
    /// Below which entry.
    pub base: String,
    /// Who is meant, as a filter in parentheses.
    pub filter: String,
    /// Which of them are disabled, as a filter in parentheses.
    pub disabled: Option<String>,
    /// The attribute that tells entries apart and never changes.
    pub entry: String,
    /// How changes are told.
    pub changes: Changes,
}

/// How a directory tells changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// `uSNChanged`.
    UpdateSequence,
    /// `modifyTimestamp`.
    ModifyTimestamp,
}

/// See the module.
#[derive(Debug)]
pub struct PeopleDirectory {
    query: PeopleQuery,
    servers: Servers,
}

impl PeopleDirectory {
    /// `credential` is the password of the account that `query.servers.bind` names. Nothing is connected yet.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn new(query: PeopleQuery, credential: Option<Secret>) -> Result<Self, TlsError> {
        Ok(Self {
            servers: Servers::new(query.servers.clone(), credential)?,
            query,
        })
    }

    fn failed(&self, what: impl Into<String>) -> SourceError {
        problem(&self.query.name, what)
    }

    fn sent(&self, sent: Sent) -> SourceError {
        match sent {
            // Size limit, administrative limit (RFC 4511, appendix A).
            Sent::Answered(result) if result.rc == 4 || result.rc == 11 => self.failed(format!(
                "the directory does not give Passline everybody ({}); raise its limit for {} (docs/TARGETS.md)",
                shown(&result),
                self.query.servers.bind
            )),
            Sent::Answered(result) if result.rc == 32 => self.failed(format!(
                "there is no entry {:?} in the directory ({}); look at `base`",
                self.query.base,
                shown(&result)
            )),
            Sent::Answered(result) => self.failed(format!("the directory answered {}", shown(&result))),
            Sent::Unsent(reason) | Sent::Lost(reason) => self.failed(reason),
        }
    }

    /// Whether the attribute is of bytes that are no text.
    fn is_binary(&self) -> bool {
        ["objectGUID", "GUID"]
            .iter()
            .any(|name| self.query.entry.eq_ignore_ascii_case(name))
    }

    /// The filter for those of `more` who are there.
    fn filter(&self, more: &str) -> String {
        let not_disabled = self.query.disabled.as_ref().map(|disabled| format!("(!{disabled})"));
        format!("(&{}{}{more})", self.query.filter, not_disabled.unwrap_or_default())
    }

    /// Asks for these entries, which [`Self::entry`] has written.
    fn these(&self, entries: &[String]) -> String {
        let mut any = "(|".to_owned();
        for entry in entries {
            let value = match self.is_binary() {
                true => escaped_bytes(entry),
                false => ldap_escape(entry.as_str()).into_owned(),
            };
            // Writing to a string cannot fail.
            let _ = write!(any, "({}={value})", self.query.entry);
        }
        any + ")"
    }

    /// What tells this entry apart.
    fn entry(&self, found: &SearchEntry) -> Option<String> {
        let is_it = |name: &str| name.eq_ignore_ascii_case(&self.query.entry);
        let text = found
            .attrs
            .iter()
            .find(|(name, _)| is_it(name))
            .and_then(|(_, values)| values.first());
        if !self.is_binary() {
            return text.cloned();
        }
        // Bytes that are good UTF-8 by chance come as text.
        let bytes = match text {
            Some(text) => text.as_bytes(),
            None => found
                .bin_attrs
                .iter()
                .find(|(name, _)| is_it(name))
                .and_then(|(_, values)| values.first())?,
        };
        Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// `0aff` as `\0a\ff` (RFC 4515, 3).
fn escaped_bytes(hex: &str) -> String {
    let mut text = String::with_capacity(hex.len() * 2);
    for (nth, c) in hex.chars().filter(char::is_ascii_hexdigit).enumerate() {
        if nth % 2 == 0 {
            text.push('\\');
        }
        text.push(c);
    }
    text
}

impl Source for PeopleDirectory {
    fn name(&self) -> &str {
        &self.query.name
    }

    fn open<'a>(&'a self, attributes: &'a [String]) -> Answer<'a, Box<dyn Reading + 'a>> {
        Box::pin(async move {
            let session = self.servers.session(&[]).await;
            let mut session =
                session.map_err(|NoServer(reason)| self.failed(format!("{reason}{}", remedy(&reason))))?;
            let position = match self.query.changes {
                Changes::UpdateSequence => self.update_sequence(&mut session).await?,
                Changes::ModifyTimestamp => Position::Timestamp {
                    begun: now(),
                    last: None,
                },
            };
            let opened: Box<dyn Reading + 'a> = Box::new(Open {
                source: self,
                attributes,
                session,
                position,
            });
            Ok(opened)
        })
    }
}

/// Where a directory stands.
enum Position {
    /// A domain controller, by the name of this life of its database, and its count when the reading began; unknown where
    /// Passline may not see them.
    Sequence(Option<(String, u64)>),
    /// When the reading began, by the clock here, and the last change that was read.
    Timestamp { begun: String, last: Option<String> },
}

impl PeopleDirectory {
    /// Where this domain controller stands. A count means nothing on another one, nor after a restore from a backup, which
    /// gives the database another `invocationId` (\[MS-ADTS\] 3.1.1.1.8).
    async fn update_sequence(&self, session: &mut Session) -> Result<Position, SourceError> {
        let asked = ["highestCommittedUSN", "dsServiceName"];
        let root = soon(session.search("", Scope::Base, "(objectClass=*)", &asked, 1)).await;
        let root = root.map_err(|sent| self.sent(sent))?.pop();
        let told = |attribute| root.as_ref().and_then(|root| value(root, attribute));
        let (Some(count), Some(service)) = (told(asked[0]), told(asked[1])) else {
            return Ok(Position::Sequence(None));
        };
        let settings = soon(session.search(service, Scope::Base, "(objectClass=*)", &["invocationId"], 1)).await;
        let settings = settings.ok().and_then(|mut found| found.pop());
        let life = settings.and_then(|settings| {
            let named = |name: &String| name.eq_ignore_ascii_case("invocationId");
            let bytes = settings
                .bin_attrs
                .iter()
                .find(|(name, _)| named(name))
                .and_then(|(_, values)| values.first());
            let text = settings
                .attrs
                .iter()
                .find(|(name, _)| named(name))
                .and_then(|(_, values)| values.first());
            let bytes = bytes.map(Vec::as_slice).or(text.map(|text| text.as_bytes()))?;
            Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        });
        Ok(Position::Sequence(life.zip(count.parse().ok())))
    }
}

/// A directory while it is read, on one server.
struct Open<'a> {
    source: &'a PeopleDirectory,
    attributes: &'a [String],
    session: Session,
    position: Position,
}

impl Open<'_> {
    async fn search(
        &mut self,
        filter: String,
        attributes: Vec<String>,
        out: &mpsc::Sender<Piece>,
    ) -> Result<bool, SourceError> {
        let found = self
            .session
            .entries(&self.source.query.base, &filter, attributes, PAGE)
            .await;
        let mut found: Entries = found.map_err(|sent| self.broken(sent))?;
        let mut piece = Piece::with_capacity(PIECE);
        while let Some(mut entry) = found.next().await.map_err(|sent| self.broken(sent))? {
            self.complete(&mut entry).await?;
            self.note_change(&entry);
            piece.push(self.record(&entry));
            if piece.len() == PIECE
                && out
                    .send(std::mem::replace(&mut piece, Piece::with_capacity(PIECE)))
                    .await
                    .is_err()
            {
                return Ok(false);
            }
        }
        Ok(piece.is_empty() || out.send(piece).await.is_ok())
    }

    /// The next run asks another server first.
    fn broken(&self, sent: Sent) -> SourceError {
        let error = SourceError {
            elsewhere: true,
            ..self.source.sent(sent)
        };
        let _ = self.source.servers.failed(self.session.url(), &error.problem);
        error
    }

    /// Fetches the values that Active Directory keeps back where there are more than 1,500 (\[MS-ADTS\] 3.1.1.3.1.3.3): it
    /// gives them as `memberOf;range=0-1499`, the last of them as `memberOf;range=1500-*`.
    async fn complete(&mut self, entry: &mut SearchEntry) -> Result<(), SourceError> {
        let ranged: Vec<String> = entry
            .attrs
            .keys()
            .filter(|name| range(name).is_some())
            .cloned()
            .collect();
        for name in ranged {
            let Some((attribute, mut last)) = range(&name) else {
                continue;
            };
            let mut values = entry.attrs.remove(&name).unwrap_or_default();
            while let Some(end) = last {
                let next = format!("{attribute};range={}-*", end + 1);
                let asked = [next.as_str()];
                let more = soon(
                    self.session
                        .search(&entry.dn, Scope::Base, "(objectClass=*)", &asked, 1),
                )
                .await;
                let more = more.map_err(|sent| self.broken(sent))?.pop();
                let found = more.into_iter().flat_map(|more| more.attrs).find_map(|(name, values)| {
                    let (_, last) = range(&name)?;
                    Some((values, last))
                });
                let Some((more, further)) = found else { break };
                values.extend(more);
                last = further.filter(|further| *further > end);
            }
            entry.attrs.insert(attribute, values);
        }
        Ok(())
    }

    fn note_change(&mut self, entry: &SearchEntry) {
        if let Position::Timestamp { last, .. } = &mut self.position
            && let Some(at) = value(entry, "modifyTimestamp")
            && last.as_deref().is_none_or(|last| last < at)
        {
            *last = Some(at.to_owned());
        }
    }

    fn record(&self, found: &SearchEntry) -> Result<Record, Broken> {
        let entry = self.source.entry(found).ok_or_else(|| Broken {
            place: found.dn.clone(),
            problem: format!("Passline cannot read its `{}`", self.source.query.entry),
        })?;
        let too_long = || Broken {
            place: found.dn.chars().take(MAX_KEY).collect(),
            problem: format!("its name has more than {MAX_KEY} bytes, or control characters"),
        };
        if let Some(problem) = key_problem(&entry) {
            let place = found.dn.chars().take(MAX_KEY).collect();
            return Err(Broken { place, problem });
        }
        if key_problem(&found.dn).is_some() {
            return Err(too_long());
        }
        let values = |attribute: &String| {
            // One value that is no text has the others come as bytes as well.
            let bytes = found
                .bin_attrs
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(attribute));
            let bytes = bytes
                .into_iter()
                .flat_map(|(_, values)| values)
                .filter_map(|value| str::from_utf8(value).ok());
            let values = found
                .attrs
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(attribute));
            let values = values.into_iter().flat_map(|(_, values)| values);
            let values = values
                .map(String::as_str)
                .chain(bytes)
                .map(str::trim)
                .filter(|value| !value.is_empty());
            values.map(|value| Secret::new(value.to_owned())).collect()
        };
        Ok(Record {
            entry,
            place: found.dn.clone(),
            values: self.attributes.iter().map(values).collect(),
        })
    }

    /// What is asked for of each person.
    fn asked(&self) -> Vec<String> {
        let mut asked = vec![self.source.query.entry.clone()];
        if self.source.query.changes == Changes::ModifyTimestamp {
            asked.push("modifyTimestamp".to_owned());
        }
        asked.extend(self.attributes.iter().cloned());
        asked
    }

    /// The filter for those who have changed.
    fn changed_since(&self, position: &str) -> Result<String, SourceError> {
        match self.position {
            Position::Sequence(_) => {
                let count = position
                    .rsplit_once(' ')
                    .and_then(|(_, count)| count.parse::<u64>().ok());
                let count = count.ok_or_else(|| self.source.failed("its stored position cannot be read"))?;
                Ok(format!("(uSNChanged>={})", count.saturating_add(1)))
            }
            Position::Timestamp { .. } => {
                let position = position.rsplit_once(' ').map_or(position, |(_, at)| at);
                let before =
                    earlier(position).ok_or_else(|| self.source.failed("its stored position cannot be read"))?;
                Ok(format!("(modifyTimestamp>={before})"))
            }
        }
    }
}

/// The attribute of `memberOf;range=0-1499`, and the place of the last value; `None` behind the last one of all.
fn range(name: &str) -> Option<(String, Option<u64>)> {
    let (attribute, range) = name.split_once(";range=")?;
    let (_, last) = range.split_once('-')?;
    Some((attribute.to_owned(), last.parse().ok()))
}

/// Gives up where `Session::search` would wait.
async fn soon<T>(search: impl Future<Output = Result<T, Sent>>) -> Result<T, Sent> {
    let late = |_| Err(Sent::Lost(format!("no answer within {} seconds", SOON.as_secs())));
    tokio::time::timeout(SOON, search).await.unwrap_or_else(late)
}

/// This moment as a generalized time.
fn now() -> String {
    let format = format_description!("[year][month][day][hour][minute][second]");
    // The format has nothing that could be missing.
    let text = time::OffsetDateTime::now_utc().format(format).unwrap_or_default();
    text + "Z"
}

/// A generalized time (RFC 4517, 3.3.13) some minutes earlier.
fn earlier(timestamp: &str) -> Option<String> {
    let format = format_description!("[year][month][day][hour][minute][second]");
    let at = PrimitiveDateTime::parse(timestamp.get(..14)?, format).ok()?;
    (at - CLOCKS).format(format).ok().map(|text| text + "Z")
}

impl Reading for Open<'_> {
    fn goes_on_from(&self, position: &str) -> bool {
        match &self.position {
            Position::Sequence(Some((life, count))) => position
                .rsplit_once(' ')
                .is_some_and(|(known, reached)| known == life && reached.parse::<u64>().is_ok_and(|n| n <= *count)),
            Position::Sequence(None) => false,
            Position::Timestamp { .. } => position
                .rsplit_once(' ')
                .is_some_and(|(url, at)| url == self.session.url() && earlier(at).is_some()),
        }
    }

    fn read<'a>(&'a mut self, which: Which<'a>, out: &'a mpsc::Sender<Piece>) -> Answer<'a, ()> {
        Box::pin(async move {
            let (filters, asked) = match which {
                Which::All => (vec![self.source.filter("")], self.asked()),
                Which::ChangedSince(position) => {
                    let changed = self.changed_since(position)?;
                    (vec![self.source.filter(&changed)], self.asked())
                }
                Which::Entries => (vec![self.source.filter("")], vec![self.source.query.entry.clone()]),
                Which::These(entries) => {
                    let these = entries
                        .chunks(AT_ONCE)
                        .map(|some| self.source.filter(&self.source.these(some)));
                    (these.collect(), self.asked())
                }
            };
            for filter in filters {
                if !self.search(filter, asked.clone(), out).await? {
                    break;
                }
            }
            Ok(())
        })
    }

    fn server(&self) -> Option<&str> {
        match &self.position {
            Position::Sequence(Some((life, _))) => Some(life),
            Position::Sequence(None) | Position::Timestamp { .. } => Some(self.session.url()),
        }
    }

    fn reached(&self) -> Option<String> {
        match &self.position {
            Position::Sequence(at) => at.as_ref().map(|(life, count)| format!("{life} {count}")),
            // What has changed while everything was read, and before its turn, counts as not read; and one entry that is dated
            // in the future does not hide what comes before.
            Position::Timestamp { begun, last } => {
                let last = last.as_deref()?;
                let at = if last < begun.as_str() { last } else { begun };
                Some(format!("{} {at}", self.session.url()))
            }
        }
    }

    fn close<'a>(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>
    where
        Self: 'a,
    {
        Box::pin(self.session.close())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_bytes_are_written_as_directories_want_them() {
        assert_eq!(earlier("20261130000500Z").as_deref(), Some("20261129235500Z"));
        assert_eq!(earlier("20261130000500.123456Z").as_deref(), Some("20261129235500Z"));
        assert_eq!(earlier("yesterday"), None);
        assert_eq!(escaped_bytes("0aff"), "\\0a\\ff");
        assert_eq!(
            range("memberOf;range=0-1499"),
            Some(("memberOf".to_owned(), Some(1_499)))
        );
        assert_eq!(range("memberOf;range=1500-*"), Some(("memberOf".to_owned(), None)));
        assert_eq!(range("cn;lang-de"), None);
    }
}
