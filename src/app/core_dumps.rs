//! Core dumps: the memory of this program holds keys, answers and passwords, and a dump would put them on disk.

use nix::sys::resource::{Resource, setrlimit};

/// Forbids the system to write one, and the handlers that go by this limit.
pub fn forbid() {
    if let Err(error) = setrlimit(Resource::RLIMIT_CORE, 0, 0) {
        tracing::warn!(%error, "core dumps cannot be switched off; a crash may leave secrets on disk");
    }
}
