//! Receiving datagrams.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;

use super::{Arrival, Ingress};
use crate::telephony::sip::message::MAX_MESSAGE_BYTES;
use crate::telephony::sip::transport::{Channel, Flow, Transport};

/// Reads `socket` until `stop`.
pub(super) async fn receive(
    socket: Arc<UdpSocket>,
    channel: Channel,
    address: SocketAddr,
    ingress: Arc<Ingress>,
    stop: CancellationToken,
) {
    // One byte more than a message may have: what fills it is too long, not cut.
    let mut buffer = vec![0; MAX_MESSAGE_BYTES + 1];
    let mut routes = Routes::new(address);
    loop {
        let received = tokio::select! {
            () = stop.cancelled() => return,
            received = socket.recv_from(&mut buffer) => received,
        };
        match received {
            Ok((length, remote)) => {
                // Strangers are answered without Contact: no reason to ask the routing table for each of a flood.
                let local = if ingress.trunks.by_source(remote.ip()).is_some() {
                    routes.local_for(remote)
                } else {
                    address
                };
                let flow = Flow {
                    transport: Transport::Udp,
                    channel,
                    local,
                    remote,
                };
                ingress.offer(
                    remote.ip(),
                    Arrival::Message {
                        flow,
                        bytes: buffer[..length].to_vec(),
                    },
                );
            }
            Err(error) => {
                // ICMP errors of earlier sends, or a moment without kernel memory: nothing that ends a socket.
                tracing::debug!(%error, sip.local = %address, "receiving failed");
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
    }
}

/// Which address of ours a peer sees, when the socket is bound to all of them: the one that the routing table chooses.
pub(super) struct Routes {
    bound: SocketAddr,
    known: HashMap<IpAddr, IpAddr>,
}

/// More peers than this are looked up each time.
const MAX_ROUTES: usize = 1024;

impl Routes {
    pub(super) fn new(bound: SocketAddr) -> Self {
        Self {
            bound,
            known: HashMap::new(),
        }
    }

    pub(super) fn local_for(&mut self, remote: SocketAddr) -> SocketAddr {
        if !self.bound.ip().is_unspecified() {
            return self.bound;
        }
        let ip = self.known.get(&remote.ip()).copied().or_else(|| route_to(remote));
        if let Some(ip) = ip
            && self.known.len() < MAX_ROUTES
        {
            self.known.insert(remote.ip(), ip);
        }
        SocketAddr::new(ip.unwrap_or(self.bound.ip()), self.bound.port())
    }
}

/// Asks the routing table; sends nothing.
pub fn route_to(remote: SocketAddr) -> Option<IpAddr> {
    let any: IpAddr = if remote.is_ipv4() {
        Ipv4Addr::UNSPECIFIED.into()
    } else {
        Ipv6Addr::UNSPECIFIED.into()
    };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect(remote).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}
