//! The table of TCP connections, with its limits.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::ConnectionLimits;
use crate::telephony::sip::transport::Channel;

/// Messages that wait to be written to one peer.
pub(super) const WRITES: usize = 256;

/// Channels of connections begin here; smaller numbers are UDP sockets.
const FIRST_CHANNEL: u64 = 1 << 32;

/// All connections, ours and theirs.
pub(super) struct Connections {
    pub(super) limits: ConnectionLimits,
    table: Mutex<Table>,
}

struct Table {
    next: u64,
    open: HashMap<Channel, Connection>,
    by_remote: HashMap<SocketAddr, Channel>,
    per_source: HashMap<IpAddr, usize>,
    strangers: usize,
}

struct Connection {
    remote: SocketAddr,
    is_known: bool,
    writer: mpsc::Sender<Arc<[u8]>>,
    close: CancellationToken,
}

/// A place in the table, for the tasks of the connection.
pub(super) struct Place {
    pub(super) channel: Channel,
    pub(super) writes: mpsc::Receiver<Arc<[u8]>>,
    pub(super) writer: mpsc::Sender<Arc<[u8]>>,
    pub(super) close: CancellationToken,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        let table = Table {
            next: FIRST_CHANNEL,
            open: HashMap::new(),
            by_remote: HashMap::new(),
            per_source: HashMap::new(),
            strangers: 0,
        };
        Self {
            limits,
            table: Mutex::new(table),
        }
    }

    /// Takes a place for a connection with `remote`; `None` when there is none left for it.
    pub(super) fn admit(&self, remote: SocketAddr, is_known: bool) -> Option<Place> {
        let mut table = self.lock();
        let from_source = table.per_source.get(&remote.ip()).copied().unwrap_or(0);
        let per_source = if is_known {
            self.limits.per_trunk_source
        } else {
            self.limits.per_stranger
        };
        let is_full = table.open.len() >= self.limits.total || !is_known && table.strangers >= self.limits.strangers;
        if is_full || from_source >= per_source {
            return None;
        }
        let channel = Channel(table.next);
        table.next += 1;
        let (writer, writes) = mpsc::channel(WRITES);
        let close = CancellationToken::new();
        *table.per_source.entry(remote.ip()).or_default() += 1;
        table.strangers += usize::from(!is_known);
        table.by_remote.insert(remote, channel);
        table.open.insert(
            channel,
            Connection {
                remote,
                is_known,
                writer: writer.clone(),
                close: close.clone(),
            },
        );
        Some(Place {
            channel,
            writes,
            writer,
            close,
        })
    }

    /// Gives a place back.
    pub(super) fn release(&self, channel: Channel) {
        let mut table = self.lock();
        let Some(connection) = table.open.remove(&channel) else {
            return;
        };
        table.strangers -= usize::from(!connection.is_known);
        if table.by_remote.get(&connection.remote) == Some(&channel) {
            table.by_remote.remove(&connection.remote);
        }
        if let Some(count) = table.per_source.get_mut(&connection.remote.ip()) {
            *count -= 1;
            if *count == 0 {
                table.per_source.remove(&connection.remote.ip());
            }
        }
    }

    /// Queues bytes on `channel`, or on any connection with `remote`; gives them back when there is none. A peer that
    /// does not read loses its connection.
    pub(super) fn write(&self, channel: Channel, remote: SocketAddr, bytes: Arc<[u8]>) -> Result<(), Arc<[u8]>> {
        let table = self.lock();
        let by_remote = || table.by_remote.get(&remote).and_then(|channel| table.open.get(channel));
        let Some(connection) = table.open.get(&channel).or_else(by_remote) else {
            return Err(bytes);
        };
        if connection.writer.try_send(bytes).is_err() {
            connection.close.cancel();
        }
        Ok(())
    }

    /// Closes a connection; what is queued is still written.
    pub(super) fn close(&self, channel: Channel) {
        if let Some(connection) = self.lock().open.get(&channel) {
            connection.close.cancel();
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.lock().open.len()
    }

    /// No code panics while it holds the lock; a poisoned table is still whole.
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_have_few_places_and_trunks_keep_theirs() {
        let limits = ConnectionLimits {
            total: 5,
            strangers: 3,
            per_stranger: 2,
            per_trunk_source: 4,
            ..Default::default()
        };
        let connections = Connections::new(limits);
        let remote = |host: u8, port| SocketAddr::from(([192, 0, 2, host], port));
        let places: Vec<_> = (1..=3)
            .filter_map(|port| connections.admit(remote(1, port), false))
            .collect();
        assert_eq!(places.len(), 2, "per source");
        assert!(connections.admit(remote(2, 1), false).is_some());
        assert!(connections.admit(remote(3, 1), false).is_none(), "all strangers");
        assert!(connections.admit(remote(9, 1), true).is_some());
        assert!(connections.admit(remote(9, 2), true).is_some());
        assert!(connections.admit(remote(9, 3), true).is_none(), "all together");
        connections.release(places[0].channel);
        connections.release(places[0].channel);
        assert!(connections.admit(remote(9, 3), true).is_some());
        assert_eq!(connections.len(), 5);
    }
}
