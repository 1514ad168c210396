//! The TCP connection below TLS: sees whether the client takes what is written to it, and says goodbye properly.

use std::io;
use std::os::fd::AsFd as _;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Activity;
use super::limits::{Limits, SOCKET_BUFFER};
use crate::time::monotonic;

/// A client that is told goodbye in the middle of what it sends is heard for this long, so that the answer reaches it
/// before a reset does (RFC 9112, section 9.6).
const FAREWELL_BYTES: usize = 256 * 1024;

/// A connection whose writes are watched.
pub(super) struct Wire {
    stream: TcpStream,
    activity: Arc<Activity>,
    is_shut: bool,
    heard_after: usize,
}

impl Wire {
    /// Takes the stream, and sets it up.
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>, limits: &Limits) -> Self {
        // Answers are small and each one matters now.
        let _ = stream.set_nodelay(true);
        let descriptor = stream.as_fd();
        let _ = setsockopt(&descriptor, sockopt::SndBuf, &SOCKET_BUFFER);
        // What the kernel still holds when the connection is closed here would otherwise be offered for a quarter of an
        // hour to a client that takes nothing.
        let patience = u32::try_from(limits.write.as_millis()).unwrap_or(u32::MAX);
        let _ = setsockopt(&descriptor, sockopt::TcpUserTimeout, &patience);
        Self {
            stream,
            activity,
            is_shut: false,
            heard_after: 0,
        }
    }

    fn note<T>(&self, written: &Poll<io::Result<T>>) {
        if written.is_pending() {
            self.activity.write_blocks(monotonic());
        } else {
            self.activity.write_goes_on();
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.note(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.note(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// Ends when the client has hung up, or has sent too much; [`Limits::farewell`] ends it too, from outside.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.is_shut {
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
            self.is_shut = true;
            self.activity.farewell(monotonic());
        }
        let mut scratch = [0; 4_096];
        while self.heard_after < FAREWELL_BYTES {
            let mut buf = ReadBuf::new(&mut scratch);
            let heard = ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buf));
            if heard.is_err() || buf.filled().is_empty() {
                break;
            }
            self.heard_after += buf.filled().len();
        }
        Poll::Ready(Ok(()))
    }
}
