//! The driver: sockets, connections, the task that owns the core, and the API for the call layer. It decides nothing
//! about SIP.
//!
//! ```text
//! UDP sockets --+                                   +--> IncomingCall, CallEvent   (bounded per call)
//!               +--> known | unknown --> [ core ] --+
//! TCP readers --+     two queues           ^  |     +--> UDP sockets, TCP writers  (bounded per connection)
//!                                          |  +--deadline
//!                  Call, SipHandle --------+
//! ```
//!
//! | queue | bound | when it is full |
//! |---|---|---|
//! | datagrams of trunks, of strangers (apart, trunks first) | `ARRIVALS` | the datagram is dropped and counted; the peer sends it again |
//! | messages of a TCP connection | the same | the reader waits, and so does the peer |
//! | bytes to a TCP peer | `writes::MAX_BYTES` | nothing more is read from the peer while much of it waits; full, or when nothing is taken for 5 s, the peer does not read: its connection is closed |
//! | TCP connections | `ConnectionLimits` | the newcomer is closed, or the oldest of the strangers' |
//! | new calls to the call layer | `CALLS` | 503 with Retry-After |
//! | events of one call | `EVENTS` | keys of INFO are dropped when half of it is taken; when it is full, nobody listens: the call is hung up |
//! | commands of the call layer | `COMMANDS` | the command waits |

mod bind;
mod call;
mod connections;
mod core;
mod patience;
mod tcp;
mod udp;
mod writes;

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use call::{Call, CallError, IncomingCall, InviteError, OutgoingCallRequest, SipHandle, resolve};
pub use udp::route_to;

use self::connections::Connections;
use self::core::Core;
use super::endpoint::{Endpoint, EndpointConfig, LocalAddress, MAX_PROOFS};
use super::transport::{Channel, Flow, Transport};
use super::trunk::{Trunks, Unserved};
use crate::time::monotonic;

/// Messages that wait for the core: a few milliseconds of its work.
const ARRIVALS: usize = 1024;
/// Calls that wait for the call layer.
const CALLS: usize = 256;
/// Events of one call that wait for its owner. A person presses ten keys a second at most.
const EVENTS: usize = 64;
/// Commands that wait for the core.
const COMMANDS: usize = 1024;

/// Where to listen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Listen {
    /// How.
    pub transport: Transport,
    /// Address and port; port 0 takes a free one.
    pub address: SocketAddr,
}

/// Limits on TCP connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConnectionLimits {
    /// All together. Each takes a file handle, two small tasks, up to 72 KiB for a message that has begun, and what the
    /// peer does not read: 64 KiB mostly, 1 MiB at the most.
    pub total: usize,
    /// Those of sources that no trunk allows. When they are taken, the oldest gives way.
    pub strangers: usize,
    /// From one network of strangers (/24, /56).
    pub per_stranger: usize,
    /// From one address of a trunk.
    pub per_trunk_source: usize,
    /// A message that has begun must be complete by then.
    pub message: Duration,
    /// A stranger who says nothing is cut off.
    pub idle_stranger: Duration,
    /// A stranger is cut off after this time whatever it says, unless it has proved the password of a trunk.
    pub stranger_lifetime: Duration,
    /// A trunk that says nothing, not even a keepalive, is cut off; longer than any call here.
    pub idle_trunk: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: 4096,
            strangers: 256,
            per_stranger: 4,
            per_trunk_source: 512,
            message: Duration::from_secs(10),
            idle_stranger: Duration::from_secs(15),
            stranger_lifetime: Duration::from_secs(30),
            idle_trunk: Duration::from_secs(2 * 3600),
        }
    }
}

/// Everything that the stack needs to start.
#[derive(Clone, Debug)]
pub struct SipConfig {
    /// Sockets to open.
    pub listen: Vec<Listen>,
    /// Who may call.
    pub trunks: Trunks,
    /// Limits of the core; its local addresses are filled in from `listen`.
    pub endpoint: EndpointConfig,
    /// Limits on TCP connections.
    pub connections: ConnectionLimits,
}

/// Why the stack does not start.
#[derive(Debug, Error)]
pub enum StartError {
    /// A socket cannot be opened.
    #[error(
        "cannot listen on {transport} {address}; is another program using the port, and is the address of this machine?"
    )]
    Listen {
        /// How.
        transport: Transport,
        /// Where.
        address: SocketAddr,
        /// The system's reason.
        source: io::Error,
    },
    /// No socket at all.
    #[error("nothing to listen on; name at least one address")]
    Nothing,
}

/// Starts the stack.
pub struct SipStack;

impl SipStack {
    /// Opens the sockets and starts the tasks; must be called inside a tokio runtime. Everything ends with
    /// [`SipHandle::shutdown`], or when the handle and all calls are dropped.
    ///
    /// # Errors
    /// [`StartError`] names the address that cannot be used.
    pub fn start(config: SipConfig) -> Result<(SipHandle, mpsc::Receiver<IncomingCall>), StartError> {
        let stop = CancellationToken::new();
        // Declared first: when a later socket fails, the tasks of the earlier ones end.
        let guard = stop.clone().drop_guard();
        if config.listen.is_empty() {
            return Err(StartError::Nothing);
        }
        let (known, known_arrivals) = mpsc::channel(ARRIVALS);
        let (unknown, unknown_arrivals) = mpsc::channel(ARRIVALS);
        let trunks = Arc::new(config.trunks.clone());
        let ingress = Arc::new(Ingress {
            trunks,
            known,
            unknown,
            is_silent: config.endpoint.strangers == Unserved::Silence,
            proved: RwLock::default(),
            dropped: AtomicU64::new(0),
        });
        let connections = Arc::new(Connections::new(config.connections));
        let mut endpoint_config = config.endpoint;
        let mut sockets = Vec::new();
        for listen in &config.listen {
            let failed = |source| StartError::Listen {
                transport: listen.transport,
                address: listen.address,
                source,
            };
            let channel = Channel(sockets.len() as u64 + 1);
            let address = match listen.transport {
                Transport::Udp => {
                    let socket = Arc::new(bind::udp(listen.address).map_err(failed)?);
                    let address = socket.local_addr().map_err(failed)?;
                    tokio::spawn(udp::receive(
                        Arc::clone(&socket),
                        channel,
                        address,
                        Arc::clone(&ingress),
                        stop.clone(),
                    ));
                    sockets.push(socket);
                    address
                }
                Transport::Tcp => {
                    let listener = bind::tcp(listen.address).map_err(failed)?;
                    let address = listener.local_addr().map_err(failed)?;
                    tokio::spawn(tcp::accept(
                        listener,
                        Arc::clone(&connections),
                        Arc::clone(&ingress),
                        stop.clone(),
                    ));
                    address
                }
            };
            let channel = if listen.transport == Transport::Udp {
                channel
            } else {
                Channel::ANY
            };
            endpoint_config.local.push(LocalAddress {
                transport: listen.transport,
                address,
                channel,
            });
        }
        let local: Arc<[LocalAddress]> = endpoint_config.local.clone().into();
        let max_calls = endpoint_config.max_calls;
        let endpoint = Endpoint::new(endpoint_config, config.trunks, rand::make_rng(), monotonic());
        let (commands, requests) = mpsc::channel(COMMANDS);
        let (calls, incoming) = mpsc::channel(CALLS);
        let core = Core::new(
            endpoint,
            sockets,
            connections,
            ingress,
            commands.downgrade(),
            calls,
            max_calls,
            stop.clone(),
        );
        tokio::spawn(core.run(requests, known_arrivals, unknown_arrivals, guard));
        Ok((SipHandle::new(commands, local, stop), incoming))
    }
}

/// What sockets hand to the core.
enum Arrival {
    Message { flow: Flow, bytes: Vec<u8> },
    Unframable { flow: Flow, head: Vec<u8> },
    Closed(Flow),
    Unreachable(SocketAddr),
}

/// The two queues in front of the core.
struct Ingress {
    trunks: Arc<Trunks>,
    known: mpsc::Sender<Arrival>,
    unknown: mpsc::Sender<Arrival>,
    /// Whether strangers hear nothing.
    is_silent: bool,
    /// Addresses that have proved a password, and until when that counts; the core bounds their number.
    proved: RwLock<HashMap<IpAddr, Instant>>,
    dropped: AtomicU64,
}

impl Ingress {
    /// Whether `source` is one of a trunk: by its address, or by a password that it has proved.
    fn knows(&self, source: IpAddr) -> bool {
        self.trunks.is_known(source) || self.has_proof(source)
    }

    fn has_proof(&self, source: IpAddr) -> bool {
        let proved = self.proved.read().unwrap_or_else(PoisonError::into_inner);
        !proved.is_empty() && proved.get(&source).is_some_and(|until| monotonic() < *until)
    }

    /// Its messages no longer wait in line with those of strangers.
    fn prove(&self, source: IpAddr, until: Instant) {
        let mut proved = self.proved.write().unwrap_or_else(PoisonError::into_inner);
        if proved.len() >= MAX_PROOFS {
            let now = monotonic();
            proved.retain(|_, until| now < *until);
        }
        if proved.len() < MAX_PROOFS || proved.contains_key(&source) {
            proved.insert(source, until);
        }
    }

    fn queue(&self, source: IpAddr) -> &mpsc::Sender<Arrival> {
        if self.knows(source) { &self.known } else { &self.unknown }
    }

    /// For datagrams: no waiting.
    fn offer(&self, source: IpAddr, arrival: Arrival) {
        if self.queue(source).try_send(arrival).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
