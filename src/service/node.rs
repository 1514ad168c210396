//! This node among those that share the database: it has its name for itself, and a clock that agrees with the others'.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{ServiceError, Services};
use crate::store::node::{Holding, NodeName};
use crate::time::Timestamp;

/// How long the name of a process that has died may be held for it: until the server notices that its machine has gone.
const PATIENCE: Duration = Duration::from_secs(45);

/// How far the clock may be from the database's. Leases, delays and expiries are told by the clock of one node and kept by
/// that of another; the shortest of them is a lease of twenty seconds.
const MAX_DIFFERENCE: Duration = Duration::from_secs(5);

impl Services {
    /// Takes the name of this node for as long as the process lives; before [`Self::recover`].
    ///
    /// # Errors
    /// [`ServiceError::NameTaken`] when another process keeps it, [`ServiceError::Clock`] when the clock is wrong.
    pub async fn join(&self) -> Result<(), ServiceError> {
        let deadline = Instant::now() + PATIENCE;
        let mut name = NodeName::new(&self.config().node);
        loop {
            match self.keep_name(&mut name).await {
                Err(ServiceError::NameTaken { node }) if Instant::now() < deadline => {
                    tracing::warn!(node, "another process has the name of this node; waiting for its end");
                    sleep(Duration::from_secs(1)).await;
                }
                kept => {
                    kept?;
                    *self.0.name.lock().await = Some(name);
                    return Ok(());
                }
            }
        }
    }

    /// Makes sure that the name is still held.
    pub(super) async fn check_name(&self) -> Result<(), ServiceError> {
        match &mut *self.0.name.lock().await {
            Some(name) => self.keep_name(name).await,
            None => Ok(()),
        }
    }

    async fn keep_name(&self, name: &mut NodeName) -> Result<(), ServiceError> {
        let before = self.now();
        match name.keep(self.store()).await? {
            Holding::Taken => Err(ServiceError::NameTaken {
                node: self.config().node.clone(),
            }),
            Holding::Held(None) => Ok(()),
            Holding::Held(Some(there)) => {
                let difference = difference(before, there, self.now());
                match difference <= MAX_DIFFERENCE {
                    true => Ok(()),
                    false => Err(ServiceError::Clock { difference }),
                }
            }
        }
    }
}

/// How far `there` is from all that it was here while it was asked for.
fn difference(before: Timestamp, there: Timestamp, after: Timestamp) -> Duration {
    before.since(there).max(there.since(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_answer_is_no_wrong_clock() {
        let at = Timestamp::from_millis;
        assert_eq!(difference(at(1_000), at(1_000), at(9_000)), Duration::ZERO);
        assert_eq!(difference(at(1_000), at(9_000), at(9_000)), Duration::ZERO);
        assert_eq!(difference(at(7_000), at(1_000), at(9_000)), Duration::from_secs(6));
        assert_eq!(difference(at(7_000), at(16_000), at(9_000)), Duration::from_secs(7));
    }
}
