//! What real users have enrolled, in broad strokes, so that decoys look like them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;

use super::{ServiceError, Services};
use crate::identity::decoy::{DecoyPool, PooledQuestion};
use crate::identity::question::Channel;
use crate::store::question;
use crate::time::Timestamp;

/// How long the strokes are kept: enrolment changes slowly, and counting 100,000 users takes a tenth of a second.
const REFRESH: Duration = Duration::from_secs(10 * 60);

/// The pools, by channel.
#[derive(Debug, Default)]
pub(super) struct Decoys(Mutex<HashMap<Channel, (Timestamp, Arc<DecoyPool>)>>);

impl Services {
    /// The pool for a channel. It is asked for whether or not the user exists, so that neither waits longer.
    pub(super) async fn decoy_pool(&self, channel: Channel) -> Result<Arc<DecoyPool>, ServiceError> {
        let now = self.now();
        let mut pools = self.0.decoys.0.lock().await;
        if let Some((made, pool)) = pools.get(&channel)
            && now >= *made
            && now.since(*made) < REFRESH
        {
            return Ok(pool.clone());
        }
        let pool = Arc::new(self.count_enrolment(channel).await?);
        pools.insert(channel, (now, pool.clone()));
        Ok(pool)
    }

    /// Counts anew when a decoy is next needed; after people were enrolled here.
    pub(super) async fn forget_decoy_pools(&self) {
        self.0.decoys.0.lock().await.clear();
    }

    async fn count_enrolment(&self, channel: Channel) -> Result<DecoyPool, ServiceError> {
        let mut tx = self.store().read().await?;
        let questions = question::enrolment(&mut tx, channel).await?;
        let counts = question::enrolment_counts(&mut tx, channel).await?;
        let least = usize::from(self.config().questions.ask);
        Ok(DecoyPool::new(
            questions.into_iter().map(coarse).collect(),
            counts.into_iter().filter(|&(count, _)| count >= least).collect(),
        ))
    }
}

/// Rounds to a power of two: the finer the weight, the more often a decoy changes its questions while real users keep
/// theirs.
fn coarse(pooled: PooledQuestion) -> PooledQuestion {
    PooledQuestion {
        weight: pooled.weight.checked_next_power_of_two().unwrap_or(1 << 31),
        ..pooled
    }
}
