//! The body of a request, as far as it may go: so many bytes, so long.

use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::Request;
use axum::http::StatusCode;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::activity::Activity;
use super::limits::CONNECTION_BODIES;
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
    /// What a handler has not read, over HTTP/1.
    unread: Mutex<Option<Incoming>>,
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
    /// More than may come at once on one connection.
    #[error("too much comes at once on this connection")]
    Crowded,
    /// It broke off, or a chunk cannot be read.
    #[error("the body cannot be read to its end")]
    Broken,
}

impl BodyWatch {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            most: AtomicUsize::new(most),
            trouble: OnceLock::new(),
            unread: Mutex::default(),
        })
    }

    /// Whether nothing of it is left before the next request. What has come already is thrown away; nothing is waited for.
    pub(super) fn is_over(&self) -> bool {
        let unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut unread) = unread else { return true };
        let mut left = self.most.load(Ordering::Relaxed);
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(frame) = Pin::new(&mut unread).poll_frame(&mut cx) {
            let Some(frame) = frame else { return true };
            let bytes = frame.ok().and_then(|frame| frame.data_ref().map(Bytes::len));
            match left.checked_sub(bytes.unwrap_or(usize::MAX)) {
                Some(rest) => left = rest,
                None => return false,
            }
        }
        false
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
            Self::Crowded => Problem::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too-much-at-once",
                "The bodies of requests that come at once on this connection are too large",
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
    inner: Option<Incoming>,
    watch: Arc<BodyWatch>,
    come: usize,
    /// Until all of it has come; nothing waits for a body that is empty.
    coming: Option<Coming>,
}

/// A body on its way. As long as nothing but bodies is on its way, the connection has not earned its place.
struct Coming {
    activity: Arc<Activity>,
    deadline: Pin<Box<Sleep>>,
    /// What has come of it.
    bytes: usize,
}

impl Drop for Coming {
    fn drop(&mut self) {
        self.activity.body_ends(self.bytes);
    }
}

impl WatchedBody {
    pub(super) fn new(inner: Incoming, watch: Arc<BodyWatch>, activity: Arc<Activity>, limit: Duration) -> Self {
        let mut body = Self {
            inner: None,
            watch,
            come: 0,
            coming: None,
        };
        if !inner.is_end_stream() {
            body.inner = Some(inner);
            activity.body_begins();
            body.coming = Some(Coming {
                activity,
                deadline: Box::pin(sleep(limit)),
                bytes: 0,
            });
        }
        body
    }

    fn ends(&mut self) {
        self.coming = None;
        self.inner = None;
    }

    fn failed(&mut self, trouble: Trouble) -> Poll<Option<Result<Frame<Bytes>, Trouble>>> {
        let first = *self.watch.trouble.get_or_init(|| trouble);
        Poll::Ready(Some(Err(first)))
    }

    /// Counts what has come.
    fn take(&mut self, bytes: usize, most: usize) -> Result<(), Trouble> {
        self.come += bytes;
        if self.come > most {
            return Err(Trouble::TooLarge(most));
        }
        if let Some(coming) = &mut self.coming {
            coming.bytes += bytes;
            if coming.activity.body_grows(bytes) > CONNECTION_BODIES {
                return Err(Trouble::Crowded);
            }
        }
        Ok(())
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
        let Some(inner) = &mut this.inner else {
            return Poll::Ready(None);
        };
        let most = this.watch.most.load(Ordering::Relaxed);
        // Told beforehand: nothing of it need be read.
        let told = usize::try_from(inner.size_hint().lower()).unwrap_or(usize::MAX);
        if this.come.saturating_add(told) > most {
            return this.failed(Trouble::TooLarge(most));
        }
        match Pin::new(&mut *inner).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let is_last = inner.is_end_stream();
                if let Err(trouble) = this.take(frame.data_ref().map_or(0, Bytes::len), most) {
                    return this.failed(trouble);
                }
                if is_last {
                    this.ends();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(_))) => this.failed(Trouble::Broken),
            Poll::Ready(None) => {
                this.ends();
                Poll::Ready(None)
            }
            Poll::Pending => match this.coming.as_mut().map(|coming| coming.deadline.as_mut().poll(cx)) {
                Some(Poll::Ready(())) => this.failed(Trouble::Late),
                _ => Poll::Pending,
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for WatchedBody {
    fn drop(&mut self) {
        let unread = self.inner.take();
        *self.watch.unread.lock().unwrap_or_else(PoisonError::into_inner) = unread;
    }
}
