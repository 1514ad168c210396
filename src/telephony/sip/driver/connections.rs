//! The table of TCP connections, with its limits.
//!
//! | what | limit | when it is reached |
//! |---|---|---|
//! | all connections | `total` | the newcomer is closed |
//! | of one network of strangers, of one address of a trunk | `per_stranger`, `per_trunk_source` | the newcomer is closed |
//! | of all strangers | `strangers` | the oldest of theirs is closed: whoever has a password needs a moment to prove it, whoever only sits there has had it |
//!
//! A place is taken until the socket is closed, not until somebody has decided to close it: peers that do not read keep
//! sockets for some seconds longer.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::ConnectionLimits;
use super::writes::{self, Writer, Writes};
use crate::telephony::sip::admission::prefix_of;
use crate::telephony::sip::transport::Channel;

/// Channels of connections begin here; smaller numbers are UDP sockets.
const FIRST_CHANNEL: u64 = 1 << 32;

/// All connections, ours and theirs.
pub(super) struct Connections {
    pub(super) limits: ConnectionLimits,
    table: Mutex<Table>,
}

struct Table {
    next: u64,
    taken: HashMap<Channel, Connection>,
    by_remote: HashMap<SocketAddr, Channel>,
    per_source: HashMap<Source, usize>,
    /// Places of strangers, those that are being closed too.
    strangers: usize,
    /// Those of strangers that are not being closed, the oldest first.
    open_strangers: BTreeSet<u64>,
}

/// What connections are counted by.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Source {
    /// One address of a trunk.
    Trunk(IpAddr),
    /// The network of a stranger: with IPv6, one customer has more addresses than can be counted.
    Stranger(IpAddr),
}

impl Source {
    fn of(ip: IpAddr, is_known: bool) -> Self {
        if is_known {
            Self::Trunk(ip)
        } else {
            Self::Stranger(prefix_of(ip))
        }
    }
}

struct Connection {
    remote: SocketAddr,
    source: Source,
    writer: Writer,
    close: CancellationToken,
    is_trusted: Arc<AtomicBool>,
}

/// A place in the table, for the tasks of the connection; given back when it is dropped.
pub(super) struct Place {
    pub(super) channel: Channel,
    pub(super) writer: Writer,
    pub(super) close: CancellationToken,
    is_trusted: Arc<AtomicBool>,
    connections: Arc<Connections>,
}

impl Place {
    /// Whether the peer belongs to a trunk, or has proved a password of one since.
    pub(super) fn is_trusted(&self) -> bool {
        self.is_trusted.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.lock().give_back(self.channel);
    }
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        let table = Table {
            next: FIRST_CHANNEL,
            taken: HashMap::new(),
            by_remote: HashMap::new(),
            per_source: HashMap::new(),
            strangers: 0,
            open_strangers: BTreeSet::new(),
        };
        Self {
            limits,
            table: Mutex::new(table),
        }
    }

    /// Takes a place for a connection with `remote`, and the queue of what is to be written to it; `None` when there is
    /// no place left for it.
    pub(super) fn admit(self: &Arc<Self>, remote: SocketAddr, is_known: bool) -> Option<(Place, Writes)> {
        let mut table = self.lock();
        let source = Source::of(remote.ip(), is_known);
        let from_source = table.per_source.get(&source).copied().unwrap_or(0);
        let per_source = if is_known {
            self.limits.per_trunk_source
        } else {
            self.limits.per_stranger
        };
        if table.taken.len() >= self.limits.total || from_source >= per_source {
            return None;
        }
        if !is_known && table.strangers >= self.limits.strangers {
            // Twice the limit, at the most, until those that were told to close have done so.
            if table.strangers >= 2 * self.limits.strangers || !table.close_oldest_stranger() {
                return None;
            }
        }
        let channel = Channel(table.next);
        table.next += 1;
        let (writer, writes) = writes::queue();
        let close = CancellationToken::new();
        let is_trusted = Arc::new(AtomicBool::new(is_known));
        *table.per_source.entry(source).or_default() += 1;
        if !is_known {
            table.strangers += 1;
            table.open_strangers.insert(channel.0);
        }
        table.by_remote.insert(remote, channel);
        table.taken.insert(
            channel,
            Connection {
                remote,
                source,
                writer: writer.clone(),
                close: close.clone(),
                is_trusted: Arc::clone(&is_trusted),
            },
        );
        let place = Place {
            channel,
            writer,
            close,
            is_trusted,
            connections: Arc::clone(self),
        };
        Some((place, writes))
    }

    /// The peer has proved a password: from now on its connection counts as one of a trunk.
    pub(super) fn trust(&self, channel: Channel) {
        let mut table = self.lock();
        let Some(connection) = table.taken.get_mut(&channel) else {
            return;
        };
        let old = connection.source;
        if matches!(old, Source::Trunk(_)) {
            return;
        }
        let source = Source::Trunk(connection.remote.ip());
        connection.source = source;
        connection.is_trusted.store(true, Ordering::Relaxed);
        table.strangers -= 1;
        table.open_strangers.remove(&channel.0);
        table.uncount(old);
        *table.per_source.entry(source).or_default() += 1;
    }

    /// Queues bytes on `channel`, or on any connection with `remote`; gives them back when there is none. A peer that
    /// does not read loses its connection.
    pub(super) fn write(&self, channel: Channel, remote: SocketAddr, bytes: Arc<[u8]>) -> Result<(), Arc<[u8]>> {
        let table = self.lock();
        let by_remote = || {
            table
                .by_remote
                .get(&remote)
                .and_then(|channel| table.taken.get(channel))
        };
        let is_open = |connection: &&Connection| !connection.close.is_cancelled();
        let own = table.taken.get(&channel).filter(is_open);
        let Some(connection) = own.or_else(by_remote).filter(is_open) else {
            return Err(bytes);
        };
        if connection.writer.queue(bytes).is_err() {
            connection.close.cancel();
            tracing::warn!(sip.remote = %connection.remote, "a peer does not read what is sent to it, its connection is closed");
        }
        Ok(())
    }

    /// Closes a connection; what is queued is still written.
    pub(super) fn close(&self, channel: Channel) {
        if let Some(connection) = self.lock().taken.get(&channel) {
            connection.close.cancel();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().taken.len()
    }

    /// No code panics while it holds the lock; a poisoned table is still whole.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn close_oldest_stranger(&mut self) -> bool {
        let Some(oldest) = self.open_strangers.pop_first() else {
            return false;
        };
        if let Some(connection) = self.taken.get(&Channel(oldest)) {
            tracing::debug!(sip.remote = %connection.remote, "strangers have too many connections, their oldest is closed");
            connection.close.cancel();
        }
        true
    }

    fn give_back(&mut self, channel: Channel) {
        let Some(connection) = self.taken.remove(&channel) else {
            return;
        };
        if let Source::Stranger(_) = connection.source {
            self.strangers -= 1;
            self.open_strangers.remove(&channel.0);
        }
        if self.by_remote.get(&connection.remote) == Some(&channel) {
            self.by_remote.remove(&connection.remote);
        }
        self.uncount(connection.source);
    }

    fn uncount(&mut self, source: Source) {
        if let Some(count) = self.per_source.get_mut(&source) {
            *count -= 1;
            if *count == 0 {
                self.per_source.remove(&source);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::writes::MAX_BYTES;
    use super::*;

    fn limits() -> ConnectionLimits {
        ConnectionLimits {
            total: 7,
            strangers: 3,
            per_stranger: 2,
            per_trunk_source: 4,
            ..Default::default()
        }
    }

    fn remote(network: u8, host: u8, port: u16) -> SocketAddr {
        SocketAddr::from(([192, 0, network, host], port))
    }

    fn admit(connections: &Arc<Connections>, remote: SocketAddr, is_known: bool) -> Option<Place> {
        Some(connections.admit(remote, is_known)?.0)
    }

    #[test]
    fn strangers_have_few_places_and_trunks_keep_theirs() {
        let connections = Arc::new(Connections::new(limits()));
        let first = admit(&connections, remote(1, 1, 1), false).expect("a place");
        let second = admit(&connections, remote(1, 2, 1), false).expect("a place");
        assert!(
            admit(&connections, remote(1, 3, 1), false).is_none(),
            "one network counts as one, whatever address it uses"
        );
        let third = admit(&connections, remote(2, 1, 1), false).expect("a place");
        // All places of strangers are taken: the oldest connection goes.
        let fourth = admit(&connections, remote(3, 1, 1), false).expect("the place of the oldest");
        let closing = [&first, &second, &third, &fourth].map(|place| place.close.is_cancelled());
        assert_eq!(closing, [true, false, false, false]);
        // It holds its place until its socket is closed.
        let known: Vec<_> = (0..9)
            .filter_map(|port| admit(&connections, remote(9, 9, port), true))
            .collect();
        assert_eq!((known.len(), connections.len()), (3, 7), "all together");
        drop(first);
        let last = admit(&connections, remote(9, 9, 100), true);
        assert!(last.is_some());
        assert!(admit(&connections, remote(9, 9, 101), true).is_none(), "per address");
        drop((second, third, fourth, known, last));
        assert_eq!(connections.len(), 0);
        assert!(connections.lock().per_source.is_empty() && connections.lock().by_remote.is_empty());
    }

    #[test]
    fn strangers_who_do_not_let_go_get_no_more_than_twice_their_share() {
        let connections = Arc::new(Connections::new(ConnectionLimits { total: 100, ..limits() }));
        let places: Vec<_> = (0..50)
            .filter_map(|network| admit(&connections, remote(network, 1, 1), false))
            .collect();
        assert_eq!(places.len(), 6);
        assert!(
            admit(&connections, remote(99, 1, 1), true).is_some(),
            "trunks do not notice"
        );
    }

    #[test]
    fn a_proved_password_takes_a_connection_out_of_the_crowd() {
        let connections = Arc::new(Connections::new(limits()));
        let caller = admit(&connections, remote(1, 1, 1), false).expect("a place");
        assert!(!caller.is_trusted());
        connections.trust(caller.channel);
        connections.trust(caller.channel);
        assert!(caller.is_trusted());
        let crowd: Vec<_> = (2..6)
            .filter_map(|network| admit(&connections, remote(network, 1, 1), false))
            .collect();
        assert_eq!(crowd.len(), 4);
        assert!(!caller.close.is_cancelled() && crowd[0].close.is_cancelled());
        drop((caller, crowd));
        assert_eq!((connections.len(), connections.lock().strangers), (0, 0));
    }

    #[tokio::test]
    async fn a_connection_that_is_being_closed_takes_no_more_messages() {
        let connections = Arc::new(Connections::new(limits()));
        let (place, mut writes) = connections.admit(remote(1, 1, 1), true).expect("a place");
        let bytes: Arc<[u8]> = b"x".as_slice().into();
        assert!(
            connections
                .write(place.channel, remote(1, 1, 1), Arc::clone(&bytes))
                .is_ok()
        );
        assert!(
            connections
                .write(Channel::ANY, remote(1, 1, 1), Arc::clone(&bytes))
                .is_ok(),
            "by its address"
        );
        connections.close(place.channel);
        assert!(
            connections
                .write(place.channel, remote(1, 1, 1), Arc::clone(&bytes))
                .is_err()
        );
        assert!(connections.write(Channel::ANY, remote(1, 1, 1), bytes).is_err());
        let (queued, _) = writes.next().await.expect("what was queued before");
        assert_eq!(queued, b"xx");
    }

    #[test]
    fn a_peer_that_does_not_read_loses_its_connection() {
        let connections = Arc::new(Connections::new(limits()));
        let (place, _unread) = connections.admit(remote(1, 1, 1), true).expect("a place");
        let mut queued = 0;
        while !place.close.is_cancelled() {
            assert!(queued <= MAX_BYTES, "bounded");
            let _ = connections.write(place.channel, remote(1, 1, 1), vec![b'x'; 1_000].into());
            queued += 1_000;
        }
        assert!(
            queued > 900_000,
            "a thousand answers at once are no sign of that: {queued}"
        );
    }
}
