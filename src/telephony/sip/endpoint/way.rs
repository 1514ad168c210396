//! Which way a request of ours goes (RFC 3261 sections 8.1.2, 12.2.1.1 and 18.1.1).
//!
//! ```text
//! next hop of the dialog --an address of the peer or its trunk?--> there, else back to where the peer last spoke from
//!                     \--over a connection that stands-----------> over it
//!  datagram, and larger than MAX_DATAGRAM or the hop says TCP ---> TCP; if that is refused, as a datagram after all
//! ```

use std::sync::Arc;
use std::time::Instant;

use super::Endpoint;
use super::respond::host_and_port;
use crate::telephony::sip::message::Host;
use crate::telephony::sip::transaction::{Clients, Outgoing};
use crate::telephony::sip::transport::{Channel, Flow, Transport};

/// Larger requests go over TCP: what is beyond the path's packet size travels in fragments, which many a firewall drops
/// (section 18.1.1).
pub(super) const MAX_DATAGRAM: usize = 1300;

/// Whether the far end of a call over datagrams takes connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum Stream {
    #[default]
    Untried,
    /// It has answered a request over one.
    Works,
    /// A connection could not be made.
    Refused,
}

/// Where a request goes, and whether a connection is wanted whatever its size.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way {
    pub(super) flow: Flow,
    pub(super) wants_stream: bool,
}

/// A request written for its way.
pub(super) struct Prepared {
    pub(super) flow: Flow,
    pub(super) bytes: Arc<[u8]>,
    /// The same request as a datagram, for a far end that takes no connection.
    pub(super) retreat: Option<(Flow, Arc<[u8]>)>,
}

impl Endpoint {
    pub(super) fn via(&self, flow: &Flow, branch: u64) -> String {
        let address = host_and_port(self.public_address(flow));
        format!(
            "SIP/2.0/{} {address};branch={};rport",
            flow.transport,
            Clients::branch(branch)
        )
    }

    /// Where the next request of a call goes. The dialog names a next hop; it is followed when it is an address of the
    /// same peer or of its trunk. A private address from behind a NAT, a name that would need a resolver, or the address
    /// of a third party lead back to where the peer last spoke from.
    pub(super) fn next_way(&self, key: u64) -> Option<Way> {
        let call = self.calls.get(&key)?;
        let flow = call.flow;
        let back = Some(Way {
            flow,
            wants_stream: false,
        });
        if flow.transport == Transport::Tcp && flow.channel != Channel::ANY {
            return back;
        }
        let Some(hop) = call.dialog.next_hop() else {
            return back;
        };
        let Host::Ip(address) = hop.host() else { return back };
        let same_peer = address == flow.remote.ip().to_canonical();
        let same_trunk = call
            .trunk
            .and_then(|trunk| self.trunks.get(trunk))
            .is_some_and(|trunk| trunk.contains(address));
        let same_family = address.is_ipv4() == flow.local.is_ipv4();
        if !same_family || !same_peer && !same_trunk {
            return back;
        }
        let mut remote = flow.remote;
        remote.set_ip(address);
        remote.set_port(hop.port().unwrap_or(5060));
        Some(Way {
            flow: Flow { remote, ..flow },
            wants_stream: hop
                .param("transport")
                .is_some_and(|transport| transport.eq_ignore_ascii_case("tcp")),
        })
    }

    /// Writes a request for its way; `render` writes it for a flow.
    pub(super) fn prepare(way: Way, stream: Stream, render: impl Fn(&Flow) -> Option<Vec<u8>>) -> Option<Prepared> {
        let Way { flow, wants_stream } = way;
        let bytes: Arc<[u8]> = render(&flow)?.into();
        let is_for_stream = wants_stream || bytes.len() > MAX_DATAGRAM;
        if flow.transport == Transport::Tcp || stream == Stream::Refused || !is_for_stream {
            return Some(Prepared {
                flow,
                bytes,
                retreat: None,
            });
        }
        let over = Flow {
            transport: Transport::Tcp,
            channel: Channel::ANY,
            ..flow
        };
        Some(Prepared {
            flow: over,
            bytes: render(&over)?.into(),
            retreat: Some((flow, bytes)),
        })
    }

    /// Sends a request as a datagram after its connection could not be made; it comes back when there is no such way.
    pub(super) fn retreat(&mut self, now: Instant, branch: u64, mut outgoing: Outgoing) -> Option<Outgoing> {
        let Some((flow, bytes)) = outgoing.retreat.take() else {
            return Some(outgoing);
        };
        if let Some(call) = self.calls.get_mut(&outgoing.call) {
            call.stream = Stream::Refused;
        }
        let again = Outgoing {
            flow,
            bytes,
            ..outgoing
        };
        self.clients.start(now, &mut self.wire, branch, again);
        None
    }
}
