//! Where slow hashes are computed: beside the runtime, a few at a time.
//!
//! An argon2id hash takes tens of milliseconds of one core and tens of megabytes. Unbounded, a burst of answers would
//! take the cores away from the media clock; so hashes queue, and a caller hears a longer pause instead.

use std::sync::Arc;

use tokio::sync::Semaphore;

use super::ServiceError;

/// The queue for hashes; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Hashing(Arc<Semaphore>);

impl Hashing {
    /// At most `at_once` hashes at a time, at least one.
    pub(super) fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once.max(1))))
    }

    /// Runs `work` when it is its turn. The place in the queue is given up with the future; work that has begun is
    /// finished, and holds its place until then.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, ServiceError> {
        let permit = self
            .0
            .clone()
            .acquire_owned()
            .await
            .map_err(|_| ServiceError::Closing)?;
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            work()
        })
        .await
        .map_err(|_| ServiceError::Closing)
    }
}
