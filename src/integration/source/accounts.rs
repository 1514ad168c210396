//! The accounts of a target system, by name: nobody is loaded from there, but accounts are linked to people who are known.

use std::collections::HashSet;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::{Answer, Piece, Reading, Record, Source, Which, problem};
use crate::integration::target::Target;
use crate::secret::Secret;

/// The one attribute that there is: the account's name.
pub const ACCOUNT: &str = "account";

/// Names asked for at once.
const PAGE: usize = 500;

/// See the module.
#[derive(Debug)]
pub struct Accounts {
    name: String,
    target: Arc<dyn Target>,
}

impl Accounts {
    /// A source of this name, of the accounts on `target`.
    #[must_use]
    pub fn new(name: String, target: Arc<dyn Target>) -> Self {
        Self { name, target }
    }
}

impl Source for Accounts {
    fn name(&self) -> &str {
        &self.name
    }

    fn open<'a>(&'a self, attributes: &'a [String]) -> Answer<'a, Box<dyn Reading + 'a>> {
        let opened: Box<dyn Reading + 'a> = Box::new(Listing {
            source: self,
            attributes,
        });
        Box::pin(std::future::ready(Ok(opened)))
    }
}

struct Listing<'a> {
    source: &'a Accounts,
    attributes: &'a [String],
}

impl Listing<'_> {
    fn record(&self, account: String) -> Record {
        let value = |attribute: &String| match attribute.as_str() {
            ACCOUNT => vec![Secret::new(account.clone())],
            _ => Vec::new(),
        };
        Record {
            values: self.attributes.iter().map(value).collect(),
            place: account.clone(),
            entry: account,
        }
    }
}

impl Reading for Listing<'_> {
    fn goes_on_from(&self, _position: &str) -> bool {
        false
    }

    fn read<'a>(&'a mut self, which: Which<'a>, out: &'a mpsc::Sender<Piece>) -> Answer<'a, ()> {
        Box::pin(async move {
            let these: Option<HashSet<&String>> = match which {
                Which::These(entries) => Some(entries.iter().collect()),
                _ => None,
            };
            let wanted = |account: &String| these.as_ref().is_none_or(|these| these.contains(account));
            let mut after: Option<String> = None;
            loop {
                let page = self.source.target.list_accounts(after.as_deref(), PAGE).await;
                let page = page.map_err(|error| problem(&self.source.name, error.to_string()))?;
                let Some(last) = page.last() else { return Ok(()) };
                if after.as_ref() == Some(last) {
                    return Err(problem(
                        &self.source.name,
                        "the system lists the same accounts again and again",
                    ));
                }
                after = Some(last.clone());
                let piece = page.into_iter().filter(&wanted).map(|account| Ok(self.record(account)));
                if out.send(piece.collect()).await.is_err() {
                    return Ok(());
                }
            }
        })
    }

    fn reached(&self) -> Option<String> {
        None
    }

    fn close<'a>(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>
    where
        Self: 'a,
    {
        Box::pin(std::future::ready(()))
    }
}
