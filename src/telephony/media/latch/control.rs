//! Whose RTCP is believed, and where ours goes.
//!
//! RTCP is read from the address of the SDP (RFC 3605, or one above RTP), from the current source of media (RFC 5761), and
//! from the host of the current source if it is one above that, or reports under the SSRC of the stream that is heard: 32
//! random bits, which whoever sees neither stream does not know. Only such a report, or the SDP, decides where our own go.
//! A stray packet moves nothing, from whichever port of the right host it comes.

use std::net::SocketAddr;

use super::{Latch, is_same};

/// The source of RTCP, when it has a port of its own.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct ControlLatch {
    /// What the SDP said.
    signalled: Option<SocketAddr>,
    /// Where reports about the stream that is heard come from.
    learned: Option<SocketAddr>,
}

impl ControlLatch {
    pub(in super::super) fn new(signalled: Option<SocketAddr>) -> Self {
        Self {
            signalled,
            learned: None,
        }
    }

    /// Whether a report may be believed. `is_of_stream`: it is made under the SSRC of the stream that is heard.
    pub(in super::super) fn admit(&mut self, latch: &Latch, from: SocketAddr, is_of_stream: bool) -> bool {
        if latch.is_current(from) || (is_same(self.signalled, from) && latch.is_pinned(from.ip())) {
            return true;
        }
        let host = latch.current().filter(|_| latch.is_heard());
        let Some(rtp) = host.filter(|rtp| rtp.ip() == from.ip()) else {
            return false;
        };
        if is_of_stream {
            self.learned = Some(from);
        }
        is_of_stream || rtp.port().checked_add(1) == Some(from.port())
    }

    /// Where our reports go: where theirs come from, or where the SDP said, or one above RTP; always the host of the audio.
    pub(in super::super) fn target(&self, rtp: SocketAddr) -> Option<SocketAddr> {
        let known = [self.learned, self.signalled]
            .into_iter()
            .flatten()
            .find(|known| known.ip() == rtp.ip());
        let above = || rtp.port().checked_add(1).map(|port| SocketAddr::new(rtp.ip(), port));
        known.or_else(above)
    }
}
