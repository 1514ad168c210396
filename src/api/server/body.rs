//! The body of a request, as far as it may go: so many bytes, so long.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use crate::api::problem::Problem;

/// Lets the bodies of a route be so large, instead of [`Limits::body_bytes`](super::Limits::body_bytes):
///
/// ```
/// # use axum::{Router, routing::post, middleware::map_request};
/// use passline::api::server::body_at_most;
///
/// let router: Router = Router::new()
///     .route("/v1/recordings", post(async || ()))
///     .route_layer(map_request(body_at_most(1024 * 1024)));
/// ```
///
/// The extractors of `axum` have a limit of their own, 2 MB.
pub fn body_at_most(bytes: usize) -> impl Fn(Request) -> std::future::Ready<Request> + Clone + Send + Sync + 'static {
    move |request| {
        if let Some(watch) = request.extensions().get::<Arc<BodyWatch>>() {
            watch.most.store(bytes, Ordering::Relaxed);
        }
        std::future::ready(request)
    }
}

/// What the one who answers knows of the body.
#[derive(Debug)]
pub(super) struct BodyWatch {
    most: AtomicUsize,
    trouble: OnceLock<Trouble>,
}

/// Why a body did not come to its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// More bytes than may be.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// More time than may be.
    #[error("the body took too long")]
    Late,
    /// It broke off, or a chunk cannot be read.
    #[error("the body cannot be read to its end")]
    Broken,
}

impl BodyWatch {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: AtomicUsize::new(most),
            trouble: OnceLock::new(),
        })
    }

    /// Whatever a handler made of an error in reading, this is what it was.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        self.trouble.get().copied()
    }
}

impl Trouble {
    /// As it is answered.
    pub(super) fn problem(self) -> Problem {
        match self {
            Self::TooLarge(most) => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "body-too-large",
                "The body of the request is too large",
            )
            .detail(format!("it may have {most} bytes")),
            Self::Late => Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                "body-too-late",
                "The body of the request took too long",
            ),
            Self::Broken => Problem::new(
                StatusCode::BAD_REQUEST,
                "malformed-body",
                "The body of the request cannot be read to its end",
            ),
        }
    }
}

/// A body that is watched.
pub(super) struct WatchedBody {
    inner: Incoming,
    watch: Arc<BodyWatch>,
    come: usize,
    /// Nothing waits for a body that is empty.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl WatchedBody {
    pub(super) fn new(inner: Incoming, watch: Arc<BodyWatch>, limit: Duration) -> Self {
        let deadline = (!inner.is_end_stream()).then(|| Box::pin(sleep(limit)));
        Self {
            inner,
            watch,
            come: 0,
            deadline,
        }
    }

    fn failed(&mut self, trouble: Trouble) -> Poll<Option<Result<Frame<Bytes>, Trouble>>> {
        let first = *self.watch.trouble.get_or_init(|| trouble);
        Poll::Ready(Some(Err(first)))
    }
}

impl Body for WatchedBody {
    type Data = Bytes;
    type Error = Trouble;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Trouble>>> {
        let this = &mut *self;
        if let Some(trouble) = this.watch.trouble() {
            return Poll::Ready(Some(Err(trouble)));
        }
        let most = this.watch.most.load(Ordering::Relaxed);
        // Told beforehand: nothing of it need be read.
        let told = usize::try_from(this.inner.size_hint().lower()).unwrap_or(usize::MAX);
        if this.come.saturating_add(told) > most {
            return this.failed(Trouble::TooLarge(most));
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                this.come += frame.data_ref().map_or(0, Bytes::len);
                if this.come > most {
                    return this.failed(Trouble::TooLarge(most));
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => this.failed(Trouble::Broken),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => match this.deadline.as_mut().map(|deadline| deadline.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => this.failed(Trouble::Late),
                _ => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
