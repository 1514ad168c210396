//! What whole-call tests share: the real program as a server, and telephones that nobody here wrote.

pub mod baresip;
pub mod caller;
pub mod server;
pub mod sipp;

use std::time::{Duration, Instant};

/// Waits for a condition; panics with `what` when it does not come true in time.
pub fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what} did not come about within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
