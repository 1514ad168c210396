//! The pool of media ports. Sockets are bound before a description with their port leaves the house.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::RngExt as _;

use super::MediaError;
use super::sockets::MediaSocket;

/// How many ports of others are tried past, before the pool is called exhausted.
const MAX_ATTEMPTS: usize = 200;

/// Even ports (RTP) whose odd neighbour (RTCP) is in the range as well.
#[derive(Debug)]
pub(super) struct PortPool {
    range: RangeInclusive<u16>,
    free: Mutex<Vec<u16>>,
}

/// A pair of bound sockets, RTP on an even port and RTCP on the one above. Dropping it frees the ports.
#[derive(Debug)]
pub struct Lease {
    // The sockets come first: they must be closed before the port is free.
    pub(super) rtp: MediaSocket,
    pub(super) rtcp: MediaSocket,
    _guard: PortGuard,
    rtp_address: SocketAddr,
    rtcp_address: SocketAddr,
}

/// Gives a port back when dropped.
#[derive(Debug)]
pub(super) struct PortGuard {
    pool: Arc<PortPool>,
    port: u16,
}

impl Lease {
    /// Where RTP is received.
    #[must_use]
    pub fn rtp_address(&self) -> SocketAddr {
        self.rtp_address
    }

    /// Where RTCP is received.
    #[must_use]
    pub fn rtcp_address(&self) -> SocketAddr {
        self.rtcp_address
    }
}

impl PortPool {
    pub(super) fn new(range: RangeInclusive<u16>) -> Result<Arc<Self>, MediaError> {
        let free: Vec<u16> = range
            .clone()
            .filter(|port| port % 2 == 0 && *port != 0 && range.contains(&(port + 1)))
            .collect();
        if free.is_empty() {
            return Err(MediaError::PortRange {
                first: *range.start(),
                last: *range.end(),
            });
        }
        Ok(Arc::new(Self {
            range,
            free: Mutex::new(free),
        }))
    }

    /// Binds a random free pair; ports that somebody else took are passed over.
    pub(super) fn lease(self: &Arc<Self>, ip: IpAddr, dscp: u8) -> Result<Lease, MediaError> {
        // Held until the end, so that a port that is taken is not drawn twice.
        let mut taken = Vec::new();
        for _ in 0..MAX_ATTEMPTS {
            let Some(guard) = self.draw() else { break };
            match bind_pair(ip, guard.port, dscp) {
                Ok((rtp, rtcp)) => {
                    let rtp_address = SocketAddr::new(ip, guard.port);
                    let rtcp_address = SocketAddr::new(ip, guard.port + 1);
                    return Ok(Lease {
                        rtp,
                        rtcp,
                        _guard: guard,
                        rtp_address,
                        rtcp_address,
                    });
                }
                Err(error) if error.kind() == io::ErrorKind::AddrInUse => taken.push(guard),
                Err(source) => {
                    return Err(MediaError::Socket {
                        address: SocketAddr::new(ip, guard.port),
                        source,
                    });
                }
            }
        }
        Err(MediaError::PortsExhausted {
            first: *self.range.start(),
            last: *self.range.end(),
        })
    }

    fn draw(self: &Arc<Self>) -> Option<PortGuard> {
        let mut free = self.free();
        if free.is_empty() {
            return None;
        }
        // At random, so that a stranger cannot tell the ports of the next call.
        let index = rand::rng().random_range(0..free.len());
        Some(PortGuard {
            pool: Arc::clone(self),
            port: free.swap_remove(index),
        })
    }

    fn free(&self) -> MutexGuard<'_, Vec<u16>> {
        // A list of numbers is never half-changed.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(super) fn free_pairs(&self) -> usize {
        self.free().len()
    }
}

fn bind_pair(ip: IpAddr, port: u16, dscp: u8) -> io::Result<(MediaSocket, MediaSocket)> {
    let rtp = MediaSocket::bind(SocketAddr::new(ip, port), dscp)?;
    let rtcp = MediaSocket::bind(SocketAddr::new(ip, port + 1), dscp)?;
    Ok((rtp, rtcp))
}

impl Drop for PortGuard {
    fn drop(&mut self) {
        self.pool.free().push(self.port);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_even_and_odd_and_inside_the_range() {
        assert_eq!(PortPool::new(40_001..=40_006).expect("pairs").free_pairs(), 2);
        assert_eq!(PortPool::new(65_534..=65_535).expect("a pair").free_pairs(), 1);
        for range in [40_001..=40_002, 40_000..=40_000, 65_535..=65_535] {
            assert!(matches!(PortPool::new(range), Err(MediaError::PortRange { .. })));
        }
    }

    #[test]
    fn a_foreign_address_is_told_and_costs_no_port() {
        let pool = PortPool::new(30_100..=30_109).expect("pairs");
        let error = pool
            .lease("192.0.2.1".parse().expect("address"), 46)
            .expect_err("not ours");
        assert!(matches!(error, MediaError::Socket { .. }));
        assert_eq!(pool.free_pairs(), 5);
    }
}
