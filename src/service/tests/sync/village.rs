//! A source that is made up: people come, change and go, and its connection breaks when it is told to.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::sync::mpsc;

use crate::integration::source::{Answer, Broken, Piece, Reading, Record, Source, SourceError, Which};
use crate::secret::Secret;

/// A place that lists people, as entries with attributes.
#[derive(Clone)]
pub(super) struct Village(pub(super) Arc<Mutex<Life>>, &'static str);

impl Default for Village {
    fn default() -> Self {
        Self::named("village")
    }
}

#[derive(Default)]
pub(super) struct Life {
    pub(super) people: BTreeMap<String, (u64, BTreeMap<String, String>)>,
    /// Counts changes.
    pub(super) clock: u64,
    /// Whether it tells who has changed.
    pub(super) tells_changes: bool,
    pub(super) server: Option<String>,
    /// How many records it gives before its connection breaks.
    pub(super) breaks_after: Option<usize>,
    pub(super) broken: Vec<Broken>,
    /// How many records it was asked to give with their values.
    pub(super) given: usize,
}

impl Village {
    pub(super) fn named(name: &'static str) -> Self {
        Self(Arc::default(), name)
    }

    pub(super) fn put(&self, entry: &str, attributes: &[(&str, &str)]) {
        let mut life = self.0.lock().unwrap();
        life.clock += 1;
        let attributes = attributes
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let person = (life.clock, attributes.collect());
        life.people.insert(entry.to_owned(), person);
    }

    pub(super) fn remove(&self, entry: &str) {
        self.0.lock().unwrap().people.remove(entry);
    }

    pub(super) fn with(&self, change: impl FnOnce(&mut Life)) {
        change(&mut self.0.lock().unwrap());
    }

    /// How many records were given since the last time.
    pub(super) fn given(&self) -> usize {
        std::mem::take(&mut self.0.lock().unwrap().given)
    }
}

impl Source for Village {
    fn name(&self) -> &str {
        self.1
    }

    fn open<'a>(&'a self, attributes: &'a [String]) -> Answer<'a, Box<dyn Reading + 'a>> {
        let (reached, server) = {
            let life = self.0.lock().unwrap();
            (life.clock, life.server.clone())
        };
        let opened: Box<dyn Reading + 'a> = Box::new(Walk {
            village: self,
            attributes,
            reached,
            server,
        });
        Box::pin(std::future::ready(Ok(opened)))
    }
}

struct Walk<'a> {
    village: &'a Village,
    attributes: &'a [String],
    reached: u64,
    server: Option<String>,
}

impl Reading for Walk<'_> {
    fn goes_on_from(&self, position: &str) -> bool {
        self.village.0.lock().unwrap().tells_changes && position.parse::<u64>().is_ok()
    }

    fn read<'a>(&'a mut self, which: Which<'a>, out: &'a mpsc::Sender<Piece>) -> Answer<'a, ()> {
        Box::pin(async move {
            let (records, breaks, broken) = {
                let mut life = self.village.0.lock().unwrap();
                let is_wanted = |entry: &String, at: u64| match which {
                    Which::All | Which::Entries => true,
                    Which::ChangedSince(position) => at > position.parse::<u64>().unwrap(),
                    Which::These(entries) => entries.contains(entry),
                };
                let wanted: Vec<_> = life
                    .people
                    .iter()
                    .filter(|(entry, (at, _))| is_wanted(entry, *at))
                    .map(|(e, p)| (e.clone(), p.1.clone()))
                    .collect();
                if !matches!(which, Which::Entries) {
                    life.given += wanted.len();
                }
                (wanted, life.breaks_after, life.broken.clone())
            };
            for (nth, (entry, attributes)) in records.into_iter().enumerate() {
                if breaks.is_some_and(|after| nth >= after) {
                    return Err(SourceError {
                        source_name: "village".to_owned(),
                        problem: "the bridge is down".to_owned(),
                        elsewhere: false,
                    });
                }
                let values = self.attributes.iter().map(|name| {
                    let values = attributes.get(name).into_iter().flat_map(|value| value.split('|'));
                    values
                        .filter(|value| !value.is_empty())
                        .map(|value| Secret::new(value.to_owned()))
                        .collect()
                });
                let record = Record {
                    place: format!("CN={entry}"),
                    values: values.collect(),
                    entry,
                };
                if out.send(vec![Ok(record)]).await.is_err() {
                    return Ok(());
                }
            }
            let _ = out.send(broken.into_iter().map(Err).collect()).await;
            Ok(())
        })
    }

    fn server(&self) -> Option<&str> {
        self.server.as_deref()
    }

    fn reached(&self) -> Option<String> {
        Some(self.reached.to_string())
    }

    fn close<'a>(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>
    where
        Self: 'a,
    {
        Box::pin(std::future::ready(()))
    }
}
