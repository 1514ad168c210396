//! One request on its way to the router: what is not served, whom it is from, how long its answer may take.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::CONNECTION;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode, Version};
use axum::response::IntoResponse as _;
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::service::Service;
use hyper::upgrade::OnUpgrade;
use hyper_util::service::TowerToHyperService;
use tokio::time::timeout;

use super::activity::Activity;
use super::body::{BodyWatch, Trouble, WatchedBody};
use super::client_address::client_address;
use super::http1::{Refusal, too_large};
use super::peer::{CertificateFingerprint, Peer};
use super::{House, ServerMetrics};
use crate::api::problem::Problem;
use crate::time::monotonic;

/// Answers the requests of one connection.
#[derive(Clone)]
pub(super) struct Requests {
    router: Router,
    house: Arc<House>,
    activity: Arc<Activity>,
    /// Of the client, or of a trusted proxy that may name it.
    connection: IpAddr,
    certificate: Option<CertificateFingerprint>,
}

impl Requests {
    pub(super) fn new(
        router: Router,
        house: Arc<House>,
        activity: Arc<Activity>,
        connection: IpAddr,
        certificate: Option<CertificateFingerprint>,
    ) -> Self {
        Self {
            router,
            house,
            activity,
            connection,
            certificate,
        }
    }

    async fn answer(self, mut request: Request<Incoming>, refusal: Option<Refusal>) -> axum::response::Response {
        let metrics = &self.house.metrics;
        let peer = match self.admit(&request, refusal) {
            Ok(peer) => peer,
            Err(problem) => return closing(problem, request.version()),
        };
        let version = request.version();
        let limits = &self.house.limits;
        let watch = BodyWatch::new(limits.body_bytes);
        let extensions = request.extensions_mut();
        // There is nothing that a connection could be turned into.
        extensions.remove::<OnUpgrade>();
        extensions.insert(peer);
        extensions.insert(Arc::clone(&watch));
        let request =
            request.map(|body| WatchedBody::new(body, Arc::clone(&watch), Arc::clone(&self.activity), limits.body));
        let answered = timeout(
            limits.request,
            TowerToHyperService::new(self.router.clone()).call(request),
        )
        .await;
        if let Some(trouble) = watch.trouble() {
            count(metrics, trouble);
            return closing(trouble.problem(), version);
        }
        match answered {
            // Over HTTP/1 the next request is behind the rest of this one, which nobody reads.
            Ok(Ok(response)) if version < Version::HTTP_2 && !watch.is_over() => with_close(response, version),
            Ok(Ok(response)) => response,
            Ok(Err(never)) => match never {},
            Err(_) => {
                metrics.requests_overlong.add_one();
                OVERLONG.into_response()
            }
        }
    }

    /// Whom the request is from, if it is served.
    fn admit(&self, request: &Request<Incoming>, refusal: Option<Refusal>) -> Result<Peer, Problem> {
        let metrics = &self.house.metrics;
        if let Some(refusal) = refusal {
            let counter = match refusal {
                Refusal::TooLarge | Refusal::TooManyFields => &metrics.requests_head_large,
                Refusal::Late => &metrics.requests_head_late,
                _ => &metrics.requests_malformed,
            };
            counter.add_one();
            return Err(refusal.problem());
        }
        // HTTP/2 has the size of its header list limited, but not the number.
        if request.headers().len() > self.house.limits.fields {
            metrics.requests_head_large.add_one();
            return Err(too_large().detail("there are too many header fields"));
        }
        if *request.method() == Method::CONNECT {
            metrics.requests_malformed.add_one();
            return Err(METHOD.detail("CONNECT is not served here"));
        }
        let found = client_address(self.connection, &self.house.trusted_proxies, request.headers());
        let address = found.map_err(|error| {
            metrics.requests_unattributed.add_one();
            UNATTRIBUTED.detail(error.to_string())
        })?;
        // Of a connection the gate was asked before TLS; a trusted proxy that speaks for itself need not pass it.
        if address != self.connection && !self.house.gate.admits(address) {
            metrics.requests_refused_by_gate.add_one();
            return Err(NOT_FROM_THERE);
        }
        Ok(Peer {
            address,
            certificate: self.certificate,
        })
    }
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<Answer>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        // At once, not when the answer is first asked for: what is refused stands for the request that is read now.
        let refusal = self.activity.request_begins(monotonic());
        let running = Running {
            activity: Arc::clone(&self.activity),
            house: Arc::clone(&self.house),
            is_answered: false,
        };
        self.house.metrics.requests.add_one();
        let requests = self.clone();
        Box::pin(async move {
            let response = requests.answer(request, refusal).await;
            running.activity.answer_begins();
            Ok(response.map(|body| Answer { body, running }))
        })
    }
}

const METHOD: Problem = Problem::new(
    StatusCode::NOT_IMPLEMENTED,
    "method-not-implemented",
    "The method is not served",
);
const UNATTRIBUTED: Problem = Problem::new(
    StatusCode::BAD_REQUEST,
    "unknown-client-address",
    "A proxy does not say whom the request is from",
);
const NOT_FROM_THERE: Problem = Problem::new(
    StatusCode::FORBIDDEN,
    "address-not-allowed",
    "No client may come from this address",
);
const OVERLONG: Problem = Problem::new(
    StatusCode::SERVICE_UNAVAILABLE,
    "answer-too-late",
    "The answer took too long to be made",
);

/// A problem after which an HTTP/1 connection is of no more use: where the next request begins is not known, or what is
/// left of this one is not worth to be read.
fn closing(problem: Problem, version: Version) -> axum::response::Response {
    with_close(problem.into_response(), version)
}

/// The last answer of its connection, over HTTP/1 (RFC 9112, section 9.6).
fn with_close(mut response: axum::response::Response, version: Version) -> axum::response::Response {
    if version < Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

fn count(metrics: &ServerMetrics, trouble: Trouble) {
    let counter = match trouble {
        Trouble::TooLarge(_) => &metrics.requests_body_large,
        Trouble::Late => &metrics.requests_body_late,
        Trouble::Crowded => &metrics.requests_bodies_crowded,
        Trouble::Broken => &metrics.requests_malformed,
    };
    counter.add_one();
}

/// Ends the request in the books when it is dropped.
struct Running {
    activity: Arc<Activity>,
    house: Arc<House>,
    is_answered: bool,
}

impl Drop for Running {
    fn drop(&mut self) {
        if !self.is_answered {
            self.house.metrics.requests_cancelled.add_one();
        }
        self.activity.request_ends(monotonic(), !self.is_answered);
    }
}

/// The body of an answer; the request runs until all of it was taken.
pub(super) struct Answer {
    body: Body,
    running: Running,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(None)) {
            self.running.is_answered = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.running.is_answered |= self.body.is_end_stream();
        self.running.activity.answer_ends();
    }
}
