//! A connection that shows one request at a time, and only such as are served.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::framer::{Framer, Step};
use super::head::Refusal;
use crate::api::server::activity::Activity;
use crate::api::server::limits::Limits;
use crate::time::monotonic;

/// Bytes read at once.
const READ_BYTES: usize = 4 * 1024;

/// What is shown in place of a head that is not served; [`Activity::refuse`] says what it stands for. The answer to HEAD
/// has no body, so it has a stand-in of its own.
const STAND_IN: &[u8] = b"GET / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";
const STAND_IN_FOR_HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";

/// Reads from `S` what may be served, and writes to it as it is.
pub(in super::super) struct Http1Stream<S> {
    inner: S,
    activity: Arc<Activity>,
    framer: Framer,
    /// What has come and was not shown yet; of it, the first `passed` bytes may be.
    come: Vec<u8>,
    passed: usize,
    stand_in: &'static [u8],
    is_refused: bool,
}

impl<S: AsyncRead + Unpin> Http1Stream<S> {
    pub(in super::super) fn new(inner: S, activity: Arc<Activity>, limits: &Limits) -> Self {
        activity.is_http1();
        Self {
            inner,
            activity,
            framer: Framer::new(limits.head_bytes, limits.fields),
            come: Vec::new(),
            passed: 0,
            stand_in: &[],
            is_refused: false,
        }
    }

    fn refuse(&mut self, refusal: Refusal) {
        self.activity.head_ends();
        self.activity.refuse(refusal);
        self.stand_in = if self.come.starts_with(b"HEAD ") {
            STAND_IN_FOR_HEAD
        } else {
            STAND_IN
        };
        self.is_refused = true;
        self.come = Vec::new();
    }

    /// Finds out how much of what has come may be shown.
    fn look(&mut self) -> io::Result<()> {
        while self.passed == 0 && !self.is_refused {
            let was_at_head = self.framer.is_at_head();
            match self.framer.step(&self.come) {
                Step::Pass(length) => {
                    self.passed = length;
                    if was_at_head {
                        self.activity.head_ends();
                    }
                }
                Step::Skip(length) => {
                    self.come.drain(..length);
                    self.activity.head_ends();
                }
                Step::More if was_at_head && !self.come.is_empty() => {
                    if self.activity.head_is_late() {
                        self.refuse(Refusal::Late);
                    } else {
                        self.activity.head_begins(monotonic());
                        break;
                    }
                }
                Step::More => break,
                Step::Refuse(refusal) => self.refuse(refusal),
                Step::Broken => return Err(io::Error::new(io::ErrorKind::InvalidData, "a chunk cannot be read")),
            }
        }
        Ok(())
    }

    fn show(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.passed.min(buf.remaining());
        buf.put_slice(&self.come[..length]);
        self.come.drain(..length);
        self.passed -= length;
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Http1Stream<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        loop {
            this.look()?;
            if !this.stand_in.is_empty() {
                let (now, later) = this.stand_in.split_at(buf.remaining().min(this.stand_in.len()));
                buf.put_slice(now);
                this.stand_in = later;
                return Poll::Ready(Ok(()));
            }
            if this.passed > 0 {
                this.show(buf);
                return Poll::Ready(Ok(()));
            }
            let mut piece = [0; READ_BYTES];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(Pin::new(&mut this.inner).poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            // Behind what was refused, only the end of the connection is of interest.
            if !this.is_refused {
                this.come.extend_from_slice(piece.filled());
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Http1Stream<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::Mutex;

    use axum::body::Body;
    use axum::http::{Request, Response};
    use hyper::body::Incoming;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use proptest::prelude::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Paths of the requests that the library sees behind the framer.
    async fn seen(stream: &[u8]) -> Vec<String> {
        let limits = Limits::default();
        let activity = Arc::new(Activity::new(&limits, monotonic()));
        let paths = Mutex::new(Vec::new());
        let service = service_fn(|request: Request<Incoming>| {
            let is_client = activity.request_begins(monotonic()).is_none();
            if is_client {
                paths.lock().expect("a list").push(request.uri().path().to_owned());
            }
            async {
                let whole = axum::body::to_bytes(Body::new(request.into_body()), usize::MAX).await;
                activity.request_ends(monotonic(), false);
                Ok::<_, Infallible>(Response::new(whole.map_or_else(|_| Body::empty(), Body::from)))
            }
        });
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let shown = Http1Stream::new(ours, Arc::clone(&activity), &limits);
        let served = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(shown), service);
        let (mut reader, mut writer) = tokio::io::split(theirs);
        let client = async {
            // The server may have closed it already.
            let _ = writer.write_all(stream).await;
            let _ = writer.shutdown().await;
            let _ = reader.read_to_end(&mut Vec::new()).await;
        };
        let _ = tokio::join!(served, client);
        paths.into_inner().expect("a list")
    }

    /// Paths of the heads that the framer passes.
    fn passed(mut stream: &[u8]) -> Vec<String> {
        let limits = Limits::default();
        let mut framer = Framer::new(limits.head_bytes, limits.fields);
        let mut paths = Vec::new();
        loop {
            let was_at_head = framer.is_at_head();
            let length = match framer.step(stream) {
                Step::Pass(length) => length,
                Step::Skip(length) => {
                    stream = &stream[length..];
                    continue;
                }
                _ => return paths,
            };
            if was_at_head {
                let head = String::from_utf8_lossy(&stream[..length]);
                paths.push(head.split(' ').nth(1).expect("a path").to_owned());
            }
            stream = &stream[length..];
        }
    }

    fn any_part() -> impl Strategy<Value = String> {
        let chunked = "Transfer-Encoding: chunked\r\n";
        prop_oneof![
            4 => "[a-c]{1,3}".prop_map(|path| format!("GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n")),
            4 => "[0-9]{0,40}".prop_map(|body| {
                format!("POST /fixed HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len())
            }),
            4 => "([0-9a-f]{1,2}(;x)?\r\n)?".prop_map(move |size| format!("POST /chunked HTTP/1.1\r\nHost: a\r\n{chunked}\r\n{size}")),
            2 => Just("5\r\nabcde\r\n".to_owned()),
            3 => Just("0\r\n\r\n".to_owned()),
            1 => Just("0\r\nX: y\r\n\r\n".to_owned()),
            1 => Just("\r\n".to_owned()),
            1 => "[ -~\r\n]{0,20}",
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]

        /// Whatever comes, the library finds the requests where the framer does, and nowhere else.
        #[test]
        fn nothing_can_be_smuggled_past_the_framer(parts in prop::collection::vec(any_part(), 0..10)) {
            let stream = parts.concat();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            prop_assert_eq!(runtime.block_on(seen(stream.as_bytes())), passed(stream.as_bytes()));
        }
    }
}
