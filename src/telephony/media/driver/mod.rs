//! The driver of media sessions: sockets, threads and sleep. It decides nothing.
//!
//! Each worker thread owns its sessions, their sockets and a wheel of 1 ms slots; nothing is shared per packet.
//!
//! ```text
//!   slot    0    1    2    3  ...  63        one turn is 64 ms, the longest packet time is 60
//!         ┌────┬────┬────┬────┬─────┬────┐
//!         │ A D│    │ B  │ C  │     │    │   at its slot, for each session:
//!         └────┴────┴────┴────┴─────┴────┘     read what has arrived (never waiting) ─► Session
//!                ▲                              tick ─► one packet out
//!                now                            events ─► the call's queue (never waiting)
//! ```
//!
//! Sockets are read at the tick and not when a datagram arrives: a call then costs one read and one write per packet
//! time and no wake-up of its own. Arrival times are those of the kernel (`SO_TIMESTAMPNS`), so jitter is true all the
//! same. A worker without sessions sleeps until it gets one.
//!
//! Left out on purpose: priorities and CPU pinning, which are the operator's; batching over several sockets.

mod engine;
mod handle;
mod lease;
mod metrics;
mod sockets;
mod wheel;
mod worker;

use std::io;
use std::net::SocketAddr;

use thiserror::Error;

pub use engine::{EngineConfig, MediaEngine};
pub use handle::MediaHandle;
pub use lease::Lease;
pub use metrics::{EngineStats, LATENESS_BOUNDS};

/// What can go wrong with the engine.
#[derive(Debug, Error)]
pub enum MediaError {
    /// The configured range holds no pair of ports.
    #[error("the media port range {first}-{last} holds no even port followed by an odd one")]
    PortRange {
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// Every pair is in use.
    #[error("all media ports in {first}-{last} are in use; widen the range or lower the limit of calls")]
    PortsExhausted {
        /// First port.
        first: u16,
        /// Last port.
        last: u16,
    },
    /// A socket could not be opened, for another reason than that its port is in use.
    #[error("cannot open the media socket {address}; is the address one of ours, and are there file handles left?")]
    Socket {
        /// Which one.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// A worker thread could not be started.
    #[error("cannot start a media thread")]
    Thread(#[source] io::Error),
    /// The worker has more to do than it can take; the command was not accepted.
    #[error("the media worker is overloaded")]
    Overloaded,
    /// The engine has been shut down.
    #[error("the media engine has stopped")]
    Stopped,
}

#[cfg(test)]
mod tests;
