//! Changes that this process is carrying out.
//!
//! Leases and ages are told by the wall clock, because other processes read them, and a wall clock can be set. Its own
//! work a process knows without a clock: what is under way here is nobody's to recover, however old it looks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::reset::ChangeId;

/// The changes under way; cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct UnderWay(Arc<Mutex<Vec<ChangeId>>>);

impl UnderWay {
    /// Notes that a change is carried out, until the returned value is dropped.
    pub(super) fn begin(&self, change: ChangeId) -> Carried {
        self.changes().push(change);
        Carried {
            all: self.clone(),
            change,
        }
    }

    /// Whether a change is carried out here, now.
    pub(super) fn contains(&self, change: ChangeId) -> bool {
        self.changes().contains(&change)
    }

    fn changes(&self) -> MutexGuard<'_, Vec<ChangeId>> {
        // Every change of the list is one push or one removal.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A change that is carried out here; over when dropped, also by a panic.
#[derive(Debug)]
pub(super) struct Carried {
    all: UnderWay,
    change: ChangeId,
}

impl Drop for Carried {
    fn drop(&mut self) {
        let mut changes = self.all.changes();
        // A change can be carried out twice at once, when it is asked for again.
        if let Some(index) = changes.iter().position(|change| *change == self.change) {
            changes.swap_remove(index);
        }
    }
}
