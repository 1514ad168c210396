//! SDP and media of one call put together: what is answered, and what the media session is told.

use std::net::SocketAddr;

use crate::telephony::codec::Codec;
use crate::telephony::media::Lease;
use crate::telephony::sdp::{Description, LocalMedia, Negotiated, Negotiator, Refusal};

/// The offers and answers of one call.
pub(super) struct Negotiation {
    negotiator: Negotiator,
    local: LocalMedia,
}

impl Negotiation {
    /// For a call whose media runs on `lease`. `codecs` are the names that the trunk allows, the best first; unknown
    /// names are left out (the trunk file was checked). `reserved` are addresses of our own that media must never go to.
    pub(super) fn new(lease: &Lease, codecs: &[String], reserved: Vec<SocketAddr>) -> Self {
        let mut local = LocalMedia::new(lease.rtp_address().ip(), lease.rtp_address().port());
        local.rtcp_port = lease.rtcp_address().port();
        local.reserved = reserved;
        let allowed: Vec<Codec> = codecs
            .iter()
            .filter_map(|name| Codec::from_encoding_name(name))
            .collect();
        if !allowed.is_empty() {
            local.codecs = allowed;
        }
        Self {
            negotiator: Negotiator::new(rand::random()),
            local,
        }
    }

    /// Answers an offer.
    pub(super) fn answer(&mut self, offer: &str) -> Result<(String, Negotiated), Refusal> {
        self.negotiator.answer(&Description::parse(offer)?, &self.local)
    }

    /// An offer of ours, for a call or re-INVITE that came without one.
    pub(super) fn offer(&mut self) -> String {
        self.negotiator.offer(&self.local)
    }

    /// Takes the answer to our offer.
    pub(super) fn accept(&mut self, answer: &str) -> Result<Negotiated, Refusal> {
        self.negotiator.accept(&Description::parse(answer)?)
    }
}

/// The SIP status that a refusal is told with.
pub(super) fn status_of(refusal: Refusal) -> u16 {
    if refusal.is_malformed() { 400 } else { 488 }
}

/// Shown in the live list.
pub(super) fn codec_name(agreed: &Negotiated) -> &'static str {
    agreed
        .codecs
        .first()
        .map_or("none", |agreed| agreed.codec.encoding_name())
}
