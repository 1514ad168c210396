//! File handles: each call takes two sockets, and the usual soft limit of 1,024 ends at 500 calls.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of open files to the hard one. A limit that cannot be raised is told, with what it allows.
pub fn raise(calls: usize) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return;
    };
    let now = if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        hard
    } else {
        soft
    };
    // Two for media, and some for the database, SIP, prompts and logs.
    let needed = (calls as u64).saturating_mul(2).saturating_add(256);
    if now < needed {
        tracing::warn!(
            limit = now,
            needed,
            "open files are limited to fewer than calls.max needs; raise the limit (ulimit -n, LimitNOFILE=) or lower calls.max"
        );
    }
}
