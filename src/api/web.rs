//! The web API while it is served.
//!
//! TLS and HTTP run on a thread of their own: a flood of handshakes takes nothing from the signalling. The calls
//! themselves run with everything else that uses the services, so many at once.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Registry;
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::calls::{Calls, FaultKind};
use super::ivr::{self, Settings as IvrSettings};
use super::json;
use super::log::Log;
use super::problem::Problem;
use super::server::{Gate, Peer, Server, ServerError, ServerMetrics, Settings};
use super::soap;
use super::standing::Standing;
use crate::call::outside::Desk;
use crate::network_list::NetworkList;
use crate::service::{ApiPeer, ServiceError, Services};

/// The web API while it is served; [`Web::ended`] waits for its end.
pub struct Web {
    address: SocketAddr,
    agi_address: Option<SocketAddr>,
    /// What runs beside the thread.
    parts: JoinSet<()>,
    /// Cancelled when the thread has ended, however it did.
    thread_ended: CancellationToken,
    /// Ends all of it.
    stop: DropGuard,
}

/// Why it cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// A file or a port.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The port for FastAGI.
    #[error(transparent)]
    Agi(#[from] ivr::agi::ListenError),
    /// The database.
    #[error("cannot read from where clients may come")]
    Networks(#[from] ServiceError),
    /// The machine.
    #[error("cannot make a thread")]
    Thread(#[from] std::io::Error),
    /// It has ended before it began.
    #[error("the thread has ended")]
    Ended,
}

/// How often it is looked from where clients may come. Whoever adds one waits no longer.
const NETWORKS_INTERVAL: Duration = Duration::from_secs(2);

impl Web {
    /// Serves these calls, and the pages of this desk, until `stop`, to addresses that a client may come from; on `agi` Asterisk
    /// is served.
    ///
    /// # Errors
    /// Says which file or port is in the way; nothing of it is left running then.
    pub async fn start(
        settings: Settings,
        services: &Services,
        (calls, desk, log): (Calls, Desk, Log),
        ivr: IvrSettings,
        agi: Option<SocketAddr>,
        stop: &CancellationToken,
    ) -> Result<Self, WebError> {
        let stop = stop.child_token();
        // Whatever of it runs ends with it.
        let guard = stop.clone().drop_guard();
        let networks = Arc::new(Networks {
            proxies: settings.trusted_proxies.clone(),
            clients: RwLock::new(services.api_networks().await?),
        });
        let settings = Settings {
            gate: Arc::clone(&networks) as Arc<dyn Gate>,
            ..settings
        };
        let entrance = Entrance {
            proxies: settings.trusted_proxies.clone(),
            calls: calls.clone(),
            log: log.clone(),
        };
        let url = ivr.url.clone();
        let door = ivr::Door::new(calls.clone(), desk, log.clone(), ivr);
        let router = json::router(calls.clone(), log.clone())
            .merge(soap::router(calls, log, url))
            .merge(ivr::router(door.clone()));
        let router = router.layer(middleware::from_fn_with_state(entrance, enter));
        let agi = match agi {
            Some(listen) => Some(ivr::agi::bind(listen).await?),
            None => None,
        };
        let (address, thread_ended) = serve(settings, router, stop.clone()).await?;
        let mut parts = JoinSet::new();
        let agi_address = agi.as_ref().map(ivr::agi::Listener::address);
        if let Some(agi) = agi {
            parts.spawn(agi.serve(door, Arc::clone(&networks) as Arc<dyn Gate>, address, stop.clone()));
        }
        let services = services.clone();
        parts.spawn(async move {
            stop.run_until_cancelled(networks.follow(services)).await;
        });
        Ok(Self {
            address,
            agi_address,
            parts,
            thread_ended,
            stop: guard,
        })
    }

    /// Where it is, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where Asterisk reaches it by FastAGI, with the real port.
    #[must_use]
    pub fn agi_address(&self) -> Option<SocketAddr> {
        self.agi_address
    }

    /// Waits until it has ended: after its stop, every request answered or cut; or because a part of it has ended by itself,
    /// then with the others.
    pub async fn ended(mut self) {
        tokio::select! {
            () = self.thread_ended.cancelled() => {}
            _ = self.parts.join_next() => {}
        }
        drop(self.stop);
        self.thread_ended.cancelled().await;
        while self.parts.join_next().await.is_some() {}
    }
}

/// Makes what is counted of the API visible in `registry`, whether or not it is served just now.
pub fn register(registry: &mut Registry, log: &Log, metrics: &Arc<ServerMetrics>, standing: &Standing) {
    log.register(registry);
    registry.register_collector(Box::new(Figures {
        metrics: Arc::clone(metrics),
        standing: standing.clone(),
    }));
}

/// Binds and serves on a thread of its own; where, and what is cancelled when the thread has ended.
async fn serve(
    settings: Settings,
    router: Router,
    stop: CancellationToken,
) -> Result<(SocketAddr, CancellationToken), WebError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (bound, binding) = oneshot::channel();
    let ended = CancellationToken::new();
    // Whatever ends the thread, a panic too.
    let guard = ended.clone().drop_guard();
    let serving = move || {
        let _guard = guard;
        runtime.block_on(async move {
            match Server::bind(settings).await {
                Ok(server) => {
                    // Whoever started it may be gone; then its token ends the server.
                    let _ = bound.send(Ok(server.address()));
                    server.serve(router, stop).await;
                }
                Err(error) => drop(bound.send(Err(error))),
            }
        });
    };
    std::thread::Builder::new().name("api".to_owned()).spawn(serving)?;
    let address = binding.await.map_err(|_| WebError::Ended)??;
    Ok((address, ended))
}

/// What every request passes.
#[derive(Clone)]
struct Entrance {
    proxies: NetworkList,
    calls: Calls,
    log: Log,
}

/// Hears a request, if its address has not asked too often, and says whom it is from in the words of the services. A proxy
/// that does not say for whom it asks is nobody's client: all the world would have its address.
async fn enter(State(entrance): State<Entrance>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    if !entrance.calls.admits(peer.address) {
        entrance.log.limited();
        let kind = FaultKind::TooManyRequests;
        let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, kind.slug(), kind.title());
        return ([(header::RETRY_AFTER, "1")], problem).into_response();
    }
    if entrance.proxies.entry(peer.address).is_some() {
        return Problem::new(
            StatusCode::BAD_REQUEST,
            "unknown-client-address",
            "A proxy does not say whom the request is from",
        )
        .detail("the proxy has to say so, by X-Forwarded-For or a PROXY header")
        .into_response();
    }
    if is_packed(&request) {
        let kind = FaultKind::UnsupportedMediaType;
        let problem = Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, kind.slug(), kind.title())
            .detail("send the body as it is, without Content-Encoding");
        return ([(header::ACCEPT_ENCODING, "identity")], problem).into_response();
    }
    let peer = ApiPeer {
        address: peer.address,
        certificate: peer.certificate.map(|certificate| certificate.to_string()),
    };
    request.extensions_mut().insert(peer);
    next.run(request).await
}

/// Whether the body is packed (RFC 9110 section 8.4), which no call is.
fn is_packed(request: &Request) -> bool {
    let mut codings = request.headers().get_all(header::CONTENT_ENCODING).iter();
    !codings.all(|coding| coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}

/// From where any client may come.
struct Networks {
    proxies: NetworkList,
    clients: RwLock<Vec<NetworkList>>,
}

impl Networks {
    async fn follow(&self, services: Services) {
        loop {
            tokio::time::sleep(NETWORKS_INTERVAL).await;
            match services.api_networks().await {
                Ok(networks) => *self.clients.write().unwrap_or_else(PoisonError::into_inner) = networks,
                Err(error) => tracing::warn!(%error, "cannot read from where clients of the API may come"),
            }
        }
    }
}

impl Gate for Networks {
    fn admits(&self, address: IpAddr) -> bool {
        let clients = self.clients.read().unwrap_or_else(PoisonError::into_inner);
        self.proxies.entry(address).is_some() || clients.iter().any(|networks| networks.allows(address))
    }
}

/// The server's counters and whether it serves, read when they are asked for.
#[derive(Debug)]
struct Figures {
    metrics: Arc<ServerMetrics>,
    standing: Standing,
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let up = ConstGauge::new(i64::from(self.standing.is_served()));
        let help = "1 when the web API is served";
        up.encode(encoder.encode_descriptor("api_up", help, None, MetricType::Gauge)?)?;
        for (name, help, counter) in self.metrics.counters() {
            let counter = ConstCounter::new(counter.count());
            counter.encode(encoder.encode_descriptor(&format!("api_{name}"), help, None, MetricType::Counter)?)?;
        }
        Ok(())
    }
}
