//! SDP (RFC 8866) and offer/answer (RFC 3264) for one audio stream of a telephone call.
//!
//! The grammar is that of the crate sdp-types, whose types stay in `description`. Sizes are checked before it sees a
//! byte. What we take part in is small on purpose: one RTP/AVP audio stream, G.711, telephone events, and
//! redundancy of these (RFC 2198) where it is offered to us. Everything else that is offered beside it (video, SRTP, T.38) is
//! refused line by line with port 0.
//!
//! ```text
//!  their offer  ──► Description::parse ──► Negotiator::answer ──► text for our 200, Negotiated
//!  late offer   ──► Negotiator::offer  ──► text for our 200;  their ACK ──► Negotiator::accept ──► Negotiated
//!  re-INVITE    ──► the same Negotiator: version of o= goes up only when something changed
//! ```
//!
//! Left out on purpose: ICE, BUNDLE, early bandwidth negotiation, host names in `c=` (a name could resolve to anybody).

mod address;
mod description;
mod negotiate;
mod write;

use thiserror::Error;

pub use description::{Description, Direction, MAX_MEDIA, MAX_SDP_LEN};
pub use negotiate::{AgreedCodec, LocalMedia, MAX_PACKET_TIME, MIN_PACKET_TIME, Negotiated, Negotiator, PayloadPair};

/// Why an offer or answer is not taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refusal {
    /// Longer than [`MAX_SDP_LEN`] or more than [`MAX_MEDIA`] media lines.
    #[error("the description is longer than {MAX_SDP_LEN} bytes or has more than {MAX_MEDIA} media")]
    TooLarge,
    /// Not SDP.
    #[error("the description is not valid sdp")]
    Malformed,
    /// No active m=audio line over RTP/AVP.
    #[error("no unencrypted audio stream is offered")]
    NoAudio,
    /// No codec in common.
    #[error("no codec in common")]
    NoCommonCodec,
    /// The address is of another family than the one our media runs on.
    #[error("the media address is of another family than ours")]
    AddressFamily,
    /// Media must not be sent there; the text says why.
    #[error("the media address is unusable: {0}")]
    Address(&'static str),
    /// An answer to an offer that was never made, or whose media lines do not match it.
    #[error("the answer does not match an offer of ours")]
    UnexpectedAnswer,
}

impl Refusal {
    /// Whether the far end sent something that is not SDP (SIP 400), rather than something that does not suit us
    /// (SIP 488).
    #[must_use]
    pub fn is_malformed(self) -> bool {
        matches!(self, Self::TooLarge | Self::Malformed)
    }
}

#[cfg(test)]
mod tests;
