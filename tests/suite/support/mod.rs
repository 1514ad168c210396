//! What whole-call tests share: the real program as a server, and telephones that nobody here wrote.

pub(crate) mod backend;
pub(crate) mod baresip;
pub(crate) mod caller;
pub(crate) mod certificate;
pub(crate) mod contract;
pub(crate) mod database;
pub(crate) mod database_server;
pub(crate) mod eavesdropper;
pub(crate) mod jwt;
pub(crate) mod network;
pub(crate) mod node;
pub(crate) mod plain_caller;
pub(crate) mod python;
#[path = "../../../src/telephony/sip/endpoint/tests/second_opinion.rs"]
pub(crate) mod second_opinion;
pub(crate) mod server;
pub(crate) mod sipp;
pub(crate) mod target;
pub(crate) mod wire;

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime")
    })
}

/// Runs a future to its end; tests are plain functions that do not know of tasks.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    runtime().block_on(work)
}

/// How long something that comes at once may take on a machine that is busy with others: long, because only a failure waits
/// that long.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Waits for a condition; panics with `what` when it does not come true in time.
#[expect(clippy::disallowed_methods, reason = "a real program is waited for")]
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < limit, "{what} did not come about within {limit:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
