//! The limit of open files, and what there is room for within it: calls first, then TCP connections for SIP, then those of
//! the web API.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For the database, prompts, recordings, logs and the operators' port.
const HOUSE: u64 = 256;

/// A call's two sockets.
const PER_CALL: u64 = 2;

/// The fewest connections that make sense: an SBC pair with some to spare.
const FEWEST_CONNECTIONS: usize = 16;

/// How much may be open at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Room {
    /// Calls. One more, and those in progress would find no handle for what they need.
    pub calls: usize,
    /// TCP connections for SIP.
    pub connections: usize,
    /// Connections to the web API.
    pub api: usize,
}

/// Raises the soft limit of open files to the hard one, and gives how much of what is `wished` there is room for. A limit
/// that is too low is told, with what it allows.
#[must_use]
pub fn raise(wished: Room) -> Room {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return wished;
    };
    let limit = if soft < hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok() {
        hard
    } else {
        soft
    };
    let room = room(limit, wished);
    let needed = HOUSE
        .saturating_add((wished.calls as u64).saturating_mul(PER_CALL))
        .saturating_add(wished.connections as u64)
        .saturating_add(wished.api as u64);
    if room.calls < wished.calls {
        tracing::warn!(
            limit,
            needed,
            calls = room.calls,
            "open files are limited to fewer than calls.max needs, so fewer calls are taken; raise the limit (ulimit -n, \
             LimitNOFILE=) or lower calls.max"
        );
    } else if room.connections < wished.connections {
        tracing::warn!(
            limit,
            needed,
            connections = room.connections,
            "open files are limited to fewer than sip.max_connections needs; fewer TCP connections are taken"
        );
    } else if room.api < wished.api {
        tracing::warn!(
            limit,
            needed,
            connections = room.api,
            "open files are limited to fewer than api.connections needs; fewer connections to the web API are taken"
        );
    }
    room
}

/// What `limit` allows. Of a small one the calls get half.
fn room(limit: u64, wished: Room) -> Room {
    let number = |handles: u64| usize::try_from(handles).unwrap_or(usize::MAX);
    let left = limit - HOUSE.min(limit / 2);
    let calls = wished.calls.min(number(left / PER_CALL));
    let left = number(left.saturating_sub((calls as u64).saturating_mul(PER_CALL)));
    let connections = left.max(FEWEST_CONNECTIONS).min(wished.connections);
    let left = left.saturating_sub(connections);
    Room {
        calls,
        connections,
        api: left.max(FEWEST_CONNECTIONS).min(wished.api),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_come_first_and_connections_share_what_is_left() {
        const FEW: usize = FEWEST_CONNECTIONS;
        let of = |(calls, connections, api)| Room {
            calls,
            connections,
            api,
        };
        for (limit, wished, expected) in [
            (u64::MAX, (500, 4_096, 1_024), (500, 4_096, 1_024)),
            (1_000_000, (500, 4_096, 0), (500, 4_096, 0)),
            (6_000, (500, 4_096, 1_024), (500, 4_096, 6_000 - 5_352)),
            (4_096, (500, 4_096, 1_024), (500, 4_096 - 1_256, FEW)),
            (1_256, (500, 4_096, 8), (500, FEW, 8)),
            (1_024, (500, 4_096, 1_024), (384, FEW, FEW)),
            (1_024, (500, 8, 0), (384, 8, 0)),
            (128, (500, 4_096, 1_024), (32, FEW, FEW)),
            (0, (500, 4_096, 1_024), (0, FEW, FEW)),
        ] {
            assert_eq!(room(limit, of(wished)), of(expected), "{limit}");
        }
    }
}
