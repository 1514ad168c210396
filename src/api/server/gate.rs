//! The gate before TLS: from where nobody may come, nobody costs a handshake.

use std::net::IpAddr;

use crate::network_list::NetworkList;

/// Knows from where clients may come at all. It is asked for each connection, so it must answer at once.
pub trait Gate: Send + Sync + 'static {
    /// Whether any client may come from `address`, which is IPv4 or IPv6 and never one in the clothes of the other.
    fn admits(&self, address: IpAddr) -> bool;
}

/// A fixed list; an empty one admits this machine alone.
impl Gate for NetworkList {
    fn admits(&self, address: IpAddr) -> bool {
        self.allows(address)
    }
}
