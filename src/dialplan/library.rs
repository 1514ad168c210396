//! The flows that new calls can begin with, by name. Replacing one concerns the next call; a call in progress holds
//! its own [`Arc<Flow>`].
//!
//! Reading folders and watching files is not done here.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::model::{Flow, Version};

/// Checked flows by name, shared by all calls.
#[derive(Debug, Default)]
pub struct Library {
    flows: RwLock<BTreeMap<Arc<str>, Arc<Flow>>>,
}

/// What [`Library::put`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Replaced {
    /// There was no flow of that name.
    New,
    /// The text is the same as before; nothing was done.
    Unchanged,
    /// The next call gets the new one.
    Changed {
        /// The version that calls in progress keep.
        old: Version,
    },
}

impl Library {
    /// A library without flows.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The flow that a new call begins with.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<Arc<Flow>> {
        // A map is whole even if a thread died while it held the lock.
        self.flows
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .map(Arc::clone)
    }

    /// Adds a flow, or puts it in the place of the one with its name. A flow that did not pass the check never gets
    /// here, so a broken file leaves the old one in place.
    pub fn put(&self, flow: Flow) -> Replaced {
        let mut flows = self.flows.write().unwrap_or_else(PoisonError::into_inner);
        let old = flows.get(&flow.name).map(|old| old.version);
        if old == Some(flow.version) {
            return Replaced::Unchanged;
        }
        flows.insert(Arc::clone(&flow.name), Arc::new(flow));
        old.map_or(Replaced::New, |old| Replaced::Changed { old })
    }

    /// Name and version of every flow, by name.
    #[must_use]
    pub fn versions(&self) -> Vec<(Arc<str>, Version)> {
        let flows = self.flows.read().unwrap_or_else(PoisonError::into_inner);
        flows
            .values()
            .map(|flow| (Arc::clone(&flow.name), flow.version))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{MINIMAL, flow};
    use super::*;

    #[test]
    fn the_next_call_gets_the_new_flow_and_a_call_in_progress_keeps_its_own() {
        let library = Library::new();
        assert!(library.find("minimal").is_none());
        assert_eq!(library.put(flow("minimal", MINIMAL)), Replaced::New);
        let in_progress = library.find("minimal").unwrap();
        assert_eq!(library.put(flow("minimal", MINIMAL)), Replaced::Unchanged);

        let changed = MINIMAL.replace("5m", "4m");
        let old = in_progress.version();
        assert_eq!(library.put(flow("minimal", &changed)), Replaced::Changed { old });
        let next = library.find("minimal").unwrap();
        assert_ne!(next.version(), in_progress.version());
        assert_eq!(library.versions(), [("minimal".into(), next.version())]);
    }
}
