//! HTTPS for whatever router is given: accepting, TLS, limits, whom a request is from. It knows nothing of what is asked.
//!
//! ```text
//!            accept ─▶ gate ─▶ place ─▶ PROXY header ─▶ TLS ─▶ HTTP/1.1, HTTP/2 ─▶ request ─▶ Router
//!  file      mod.rs    gate    places   proxy_protocol  tls    http1, hyper        request
//!                              └────────────── connection, with activity: how long each may take
//! ```
//!
//! What is refused is cheap: an address outside of the [`Gate`] costs an accept and a close, a connection without a
//! request gives way to a newcomer when the house is full. [`Limits`] has the numbers.
//!
//! Each request carries its [`Peer`] among its extensions. What the server itself answers is a
//! [`Problem`](crate::api::problem::Problem). A handler whose client hangs up is dropped where it waits; what must come to
//! its end belongs into a task of its own.
//!
//! Left out on purpose: plain HTTP, upgrades (WebSocket), CONNECT, compression, HTTP/3, and answers chosen by
//! server name.

mod activity;
mod body;
mod client_address;
mod connection;
mod gate;
mod http1;
mod limits;
mod metrics;
mod peer;
mod places;
pub mod proxy_protocol;
mod request;
mod tls;
mod tls_check;
mod wire;

#[cfg(test)]
mod tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use body::body_at_most;
pub use client_address::{NoAddress, client_address};
pub use gate::Gate;
pub use limits::Limits;
pub use metrics::ServerMetrics;
pub use peer::{CertificateFingerprint, FingerprintError, Peer};
pub use tls::{TlsError, TlsFiles};
pub use tls_check::TlsFile;

use crate::network_list::NetworkList;
use crate::time::monotonic;
use activity::Activity;
use connection::Connection;
use places::{Full, Places};
use tls::Tls;

/// How often certificates and keys are looked at. A renewal has weeks of time.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// How long to wait when no connection can be accepted, most often for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a server is to do.
pub struct Settings {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Who it is.
    pub tls: TlsFiles,
    /// Proxies that are believed when they say whom a request or a connection is from. An empty list believes nobody.
    pub trusted_proxies: NetworkList,
    /// Whether trusted proxies begin each connection with a PROXY header, version 2. They must then.
    pub proxy_protocol: bool,
    /// From where clients may come at all.
    pub gate: Arc<dyn Gate>,
    /// How much and how long.
    pub limits: Limits,
    /// How often the files of TLS are looked at; by default every five seconds.
    pub look_interval: Duration,
    /// Where it counts.
    pub metrics: Arc<ServerMetrics>,
}

impl Settings {
    /// With default limits; only this machine may come, and no proxy is believed.
    #[must_use]
    pub fn new(listen: SocketAddr, tls: TlsFiles) -> Self {
        Self {
            listen,
            tls,
            trusted_proxies: NetworkList::default(),
            proxy_protocol: false,
            gate: Arc::new(NetworkList::default()),
            limits: Limits::default(),
            look_interval: LOOK_INTERVAL,
            metrics: Arc::default(),
        }
    }
}

/// A server cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// Certificate, key or authorities cannot be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A server that listens; [`Server::serve`] has it answer.
pub struct Server {
    listener: TcpListener,
    address: SocketAddr,
    look_interval: Duration,
    proxy_protocol: bool,
    house: Arc<House>,
}

/// What all connections share.
struct House {
    tls: Arc<Tls>,
    trusted_proxies: NetworkList,
    gate: Arc<dyn Gate>,
    limits: Limits,
    metrics: Arc<ServerMetrics>,
}

impl House {
    /// Whether `address` is believed when it says for whom it speaks.
    fn is_proxy(&self, address: IpAddr) -> bool {
        self.trusted_proxies.entry(address).is_some()
    }
}

impl Server {
    /// Reads certificate and key, and takes the address.
    ///
    /// # Errors
    /// [`ServerError`], which names the file or the address.
    pub async fn bind(settings: Settings) -> Result<Self, ServerError> {
        let tls = Arc::new(Tls::load(settings.tls)?);
        let failed = |source| ServerError::Listen {
            address: settings.listen,
            source,
        };
        let listener = TcpListener::bind(settings.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self {
            listener,
            address,
            look_interval: settings.look_interval,
            proxy_protocol: settings.proxy_protocol,
            house: Arc::new(House {
                tls,
                trusted_proxies: settings.trusted_proxies,
                gate: settings.gate,
                limits: settings.limits,
                metrics: settings.metrics,
            }),
        })
    }

    /// The address it listens on, with its real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop`; then no connection is accepted, and running requests may finish within [`Limits::drain`].
    /// Nothing of it runs any more when this ends.
    pub async fn serve(self, router: Router, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        let cut = CancellationToken::new();
        // Whoever drops this future ends what it has begun.
        let _guard = cut.clone().drop_guard();
        let metrics = Arc::clone(&self.house.metrics);
        tasks.spawn(Arc::clone(&self.house.tls).follow(self.look_interval, metrics, stop.child_token()));
        let drain = self.house.limits.drain;
        self.accept(&router, &tasks, &stop, &cut).await;
        tasks.close();
        if timeout(drain, tasks.wait()).await.is_err() {
            tracing::info!(tasks = tasks.len(), "requests that still run are cut off");
            cut.cancel();
            tasks.wait().await;
        }
    }

    /// Accepts until `stop`, and closes the port then.
    async fn accept(self, router: &Router, tasks: &TaskTracker, stop: &CancellationToken, cut: &CancellationToken) {
        let places = Places::new(&self.house.limits, Arc::clone(&self.house.metrics));
        let mut is_told = false;
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            match accepted {
                Ok((stream, peer)) => {
                    is_told = false;
                    if let Some(connection) = self.admit(peer, router, &places, tasks, stop, cut) {
                        tasks.spawn(connection.run(stream));
                    }
                }
                Err(error) => {
                    self.house.metrics.accept_errors.add_one();
                    if is_of_the_peer(&error) {
                        continue;
                    }
                    if !std::mem::replace(&mut is_told, true) {
                        tracing::warn!(%error, "accepting a connection failed; it is tried again until it works");
                    }
                    stop.run_until_cancelled(tokio::time::sleep(ACCEPT_PAUSE)).await;
                }
            }
        }
    }

    fn admit(
        &self,
        peer: SocketAddr,
        router: &Router,
        places: &Arc<Places>,
        tasks: &TaskTracker,
        stop: &CancellationToken,
        cut: &CancellationToken,
    ) -> Option<Connection> {
        let house = &self.house;
        let address = peer.ip().to_canonical();
        let is_proxy = house.is_proxy(address);
        if !is_proxy && !house.gate.admits(address) {
            house.metrics.refused_by_gate.add_one();
            tracing::debug!(peer = %address, "no client may come from this address");
            return None;
        }
        let activity = Arc::new(Activity::new(&house.limits, monotonic()));
        let place = match places.take((!is_proxy).then_some(address), Arc::clone(&activity)) {
            Ok(place) => place,
            Err(full) => {
                match full {
                    Full::House => house.metrics.refused_full.add_one(),
                    Full::Address => house.metrics.refused_per_address.add_one(),
                }
                tracing::debug!(peer = %address, ?full, "no place for a connection");
                return None;
            }
        };
        Some(Connection {
            house: Arc::clone(house),
            router: router.clone(),
            activity,
            place,
            address,
            has_proxy_header: is_proxy && self.proxy_protocol,
            tasks: tasks.clone(),
            stop: stop.clone(),
            cut: cut.clone(),
        })
    }
}

/// The connection was gone before it was accepted; the next one may be well.
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
