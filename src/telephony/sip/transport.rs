//! Where a message came from and where an answer goes.

use std::fmt;
use std::net::SocketAddr;

/// How messages travel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Transport {
    /// Datagrams: requests and final answers are sent again until they are confirmed.
    Udp,
    /// A stream that loses nothing while it stands.
    Tcp,
}

impl Transport {
    /// As in Via.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Udp => "UDP",
            Self::Tcp => "TCP",
        }
    }

    /// Whether the transport itself sends again what was lost.
    #[must_use]
    pub fn is_reliable(self) -> bool {
        self == Self::Tcp
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A socket or connection of the driver. The core only hands it back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Channel(pub u64);

impl Channel {
    /// No connection yet: the driver looks for one to the remote address, or opens one.
    pub const ANY: Self = Self(0);
}

/// One path between us and a peer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Flow {
    /// How.
    pub transport: Transport,
    /// The socket (UDP) or connection (TCP).
    pub channel: Channel,
    /// Our address as the peer sees it.
    pub local: SocketAddr,
    /// The peer.
    pub remote: SocketAddr,
}
