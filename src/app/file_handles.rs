//! File handles: each call takes two sockets, each TCP connection one, and the usual soft limit of 1,024 ends at 500
//! calls. Calls come first; connections share what is left.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For the database, SIP, prompts, logs and the operators' port.
const HOUSE: u64 = 256;

/// The fewest connections that make sense: an SBC pair with some to spare.
const FEWEST_CONNECTIONS: usize = 16;

/// Raises the soft limit of open files to the hard one, and returns how many of the wished-for `connections` there is
/// room for beside `calls`. A limit that is too low is told, with what it allows.
#[must_use]
pub fn raise(calls: usize, connections: usize) -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return connections;
    };
    let now = if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        hard
    } else {
        soft
    };
    let for_calls = needed(calls, 0);
    if now < for_calls {
        tracing::warn!(
            limit = now,
            needed = for_calls,
            "open files are limited to fewer than calls.max needs; raise the limit (ulimit -n, LimitNOFILE=) or lower calls.max"
        );
    }
    let allowed = room(now, calls, connections);
    if allowed < connections {
        tracing::warn!(
            limit = now,
            needed = needed(calls, connections),
            connections = allowed,
            "open files are limited to fewer than sip.max_connections needs; fewer TCP connections are taken"
        );
    }
    allowed
}

fn needed(calls: usize, connections: usize) -> u64 {
    (calls as u64)
        .saturating_mul(2)
        .saturating_add(HOUSE)
        .saturating_add(connections as u64)
}

fn room(limit: u64, calls: usize, connections: usize) -> usize {
    let left = usize::try_from(limit.saturating_sub(needed(calls, 0))).unwrap_or(usize::MAX);
    left.max(FEWEST_CONNECTIONS).min(connections)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_come_first_and_connections_share_what_is_left() {
        assert_eq!(room(1_000_000, 500, 4_096), 4_096);
        assert_eq!(room(4_096, 500, 4_096), 4_096 - 1_256);
        assert_eq!(room(1_024, 500, 4_096), FEWEST_CONNECTIONS);
        assert_eq!(room(1_024, 500, 8), 8);
    }
}
