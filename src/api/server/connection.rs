//! One connection, from its first byte to its last.
//!
//! ```text
//!  PROXY header (of trusted proxies, if it is in use) ──▶ gate ──▶ TLS handshake ──▶ ALPN: h2, or HTTP/1.1
//!       │ late or wrong: closed            │ closed            │ late or wrong: closed
//! ```

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::rt::Executor;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::House;
use super::activity::{Activity, Cut, Due};
use super::http1::Http1Stream;
use super::limits::{BREACHES, CONNECTION_WINDOW, STREAM_WINDOW, UNSEEN_RESETS, WRITE_BUFFER};
use super::metrics::ServerMetrics;
use super::peer::CertificateFingerprint;
use super::places::Place;
use super::proxy_protocol::{self, HeaderError, Origin, Progress};
use super::request::Requests;
use super::tls::Current;
use super::wire::Wire;
use crate::time::monotonic;

/// What a connection works with.
pub(super) struct Connection {
    pub(super) house: Arc<House>,
    pub(super) router: Router,
    pub(super) activity: Arc<Activity>,
    pub(super) place: Place,
    /// Of the TCP connection.
    pub(super) address: IpAddr,
    /// A trusted proxy that must say for whom it connects.
    pub(super) has_proxy_header: bool,
    pub(super) tasks: TaskTracker,
    /// Running requests may finish, and no more.
    pub(super) stop: CancellationToken,
    /// Nothing may go on.
    pub(super) cut: CancellationToken,
}

impl Connection {
    /// Serves until either side has had enough.
    pub(super) async fn run(self, stream: TcpStream) {
        tokio::select! {
            () = self.cut.cancelled() => {}
            () = self.place.give_way.cancelled() => {}
            () = self.serve(stream) => {}
        }
    }

    async fn serve(&self, mut stream: TcpStream) {
        let preparing = async {
            let address = self.origin(&mut stream).await?;
            let wire = Wire::new(stream, Arc::clone(&self.activity), &self.house.limits);
            let tls = self.house.tls.current();
            let stream = self.handshake(wire, &tls).await?;
            Some((address, tls, stream))
        };
        let prepared = self.stop.run_until_cancelled(Box::pin(preparing)).await;
        let Some(Some((address, tls, stream))) = prepared else {
            return;
        };
        self.activity.established(monotonic());
        let (_, session) = stream.get_ref();
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        let certificate = leaf.map(|der| CertificateFingerprint::of(der));
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let asked_to_leave = async {
            tokio::select! {
                () = self.stop.cancelled() => {}
                () = tls.clients_judged_anew.cancelled(), if certificate.is_some() => {}
            }
        };
        let requests = Requests::new(
            self.router.clone(),
            Arc::clone(&self.house),
            Arc::clone(&self.activity),
            address,
            certificate,
        );
        if is_http2 {
            let connection = pin!(self.http2().serve_connection(TokioIo::new(stream), requests));
            self.drive(connection, |connection| connection.graceful_shutdown(), asked_to_leave)
                .await;
        } else {
            let stream = Http1Stream::new(stream, Arc::clone(&self.activity), &self.house.limits);
            let connection = pin!(self.http1().serve_connection(TokioIo::new(stream), requests));
            self.drive(connection, |connection| connection.graceful_shutdown(), asked_to_leave)
                .await;
        }
    }

    /// Whose connection it is; none that is not to be served.
    async fn origin(&self, stream: &mut TcpStream) -> Option<IpAddr> {
        if !self.has_proxy_header {
            return Some(self.address);
        }
        let metrics = &self.house.metrics;
        let origin = match timeout(self.house.limits.handshake, read_header(stream)).await {
            Ok(Ok(origin)) => origin,
            failed => {
                metrics.refused_proxy_header.add_one();
                let reason = match failed {
                    Ok(Err(NoHeader::Header(error))) => error.to_string(),
                    Ok(Err(NoHeader::Io(error))) => error.to_string(),
                    _ => "it took too long".to_owned(),
                };
                tracing::debug!(proxy = %self.address, reason, "no PROXY header of a trusted proxy");
                return None;
            }
        };
        match origin {
            // The receiver must take it for valid (haproxy's proxy-protocol.txt, section 2.2): a check of the proxy's own.
            Origin::Local => Some(self.address),
            Origin::Client(client) if self.house.is_proxy(client) => Some(client),
            Origin::Client(client) if !self.house.gate.admits(client) => {
                metrics.refused_by_gate.add_one();
                tracing::debug!(client = %client, "no client may come from this address");
                None
            }
            Origin::Client(client) => match self.place.counts_for(client) {
                Ok(()) => Some(client),
                Err(_) => {
                    metrics.refused_per_address.add_one();
                    None
                }
            },
        }
    }

    async fn handshake(&self, wire: Wire, tls: &Current) -> Option<TlsStream<Wire>> {
        let metrics = &self.house.metrics;
        let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
        match timeout(self.house.limits.handshake, acceptor.accept(wire)).await {
            Ok(Ok(stream)) => Some(stream),
            Ok(Err(error)) => {
                metrics.handshakes_failed.add_one();
                tracing::debug!(peer = %self.address, %error, "no TLS handshake");
                None
            }
            Err(_) => {
                metrics.handshakes_late.add_one();
                tracing::debug!(peer = %self.address, "the TLS handshake took too long");
                None
            }
        }
    }

    fn http1(&self) -> http1::Builder {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            // The head is whole when it is shown; `Activity` has the clocks.
            .header_read_timeout(None)
            .max_headers(self.house.limits.fields)
            .max_buf_size(WRITE_BUFFER.max(self.house.limits.head_bytes));
        builder
    }

    fn http2(&self) -> http2::Builder<Streams> {
        let limits = &self.house.limits;
        let mut builder = http2::Builder::new(Streams {
            tasks: self.tasks.clone(),
            cut: self.cut.clone(),
            metrics: Arc::clone(&self.house.metrics),
            most: limits.request + limits.write,
        });
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(limits.streams)
            .max_header_list_size(u32::try_from(limits.head_bytes).unwrap_or(u32::MAX))
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buf_size(WRITE_BUFFER)
            .max_pending_accept_reset_streams(UNSEEN_RESETS)
            .max_local_error_reset_streams(BREACHES)
            .keep_alive_interval(limits.ping)
            .keep_alive_timeout(limits.write);
        builder
    }

    /// Drives the connection to its end, or to that of our patience.
    async fn drive<C>(
        &self,
        mut connection: std::pin::Pin<&mut C>,
        leave: impl Fn(std::pin::Pin<&mut C>),
        asked_to_leave: impl Future<Output = ()>,
    ) where
        C: Future<Output = hyper::Result<()>>,
    {
        let mut asked_to_leave = pin!(asked_to_leave);
        let mut is_leaving = false;
        loop {
            tokio::select! {
                // The next answer is to say already that it is the last; and what has come counts before the time does.
                biased;
                () = asked_to_leave.as_mut(), if !is_leaving => {
                    is_leaving = true;
                    self.activity.drains(monotonic());
                    leave(connection.as_mut());
                }
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(peer = %self.address, %error, "a connection has ended in an error");
                    }
                    return;
                }
                due = self.activity.due() => match due {
                    // Whoever reads the stream finds out.
                    Due::Head => {}
                    Due::Retire => {
                        self.activity.drains(monotonic());
                        leave(connection.as_mut());
                    }
                    Due::Cut(cut) => {
                        self.count(cut);
                        return;
                    }
                },
            }
        }
    }

    fn count(&self, cut: Cut) {
        let metrics = &self.house.metrics;
        match cut {
            Cut::Idle => metrics.cut_idle.add_one(),
            Cut::NotReading => metrics.cut_not_reading.add_one(),
            Cut::Cancelling => metrics.cut_cancelling.add_one(),
            Cut::Farewell => {}
        }
        tracing::debug!(peer = %self.address, ?cut, "a connection is cut");
    }
}

enum NoHeader {
    Header(HeaderError),
    Io(std::io::Error),
}

/// Not a byte more than the header: what follows is TLS.
async fn read_header(stream: &mut TcpStream) -> Result<Origin, NoHeader> {
    let mut bytes = Vec::new();
    loop {
        match proxy_protocol::read(&bytes).map_err(NoHeader::Header)? {
            Progress::Complete(origin) => return Ok(origin),
            Progress::Needs(length) => {
                let missing = (length - bytes.len()) as u64;
                let count = stream.take(missing).read_buf(&mut bytes).await.map_err(NoHeader::Io)?;
                if count == 0 {
                    return Err(NoHeader::Io(std::io::ErrorKind::UnexpectedEof.into()));
                }
            }
        }
    }
}

/// Where requests over HTTP/2 run: owned like connections, and each for a limited time. What is cut here is a stream
/// (RFC 9113, section 5.4.2), the others on the connection go on.
#[derive(Clone)]
struct Streams {
    tasks: TaskTracker,
    cut: CancellationToken,
    metrics: Arc<ServerMetrics>,
    most: Duration,
}

impl<F> Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        let (cut, metrics) = (self.cut.clone(), Arc::clone(&self.metrics));
        let stream = timeout(self.most, stream);
        self.tasks.spawn(async move {
            if let Some(Err(_)) = cut.run_until_cancelled(stream).await {
                metrics.cut_not_reading.add_one();
            }
        });
    }
}
