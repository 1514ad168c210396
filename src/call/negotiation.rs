//! Offers and answers of one call: what is said, and when it counts.
//!
//! A change that the far end asks for (re-INVITE, UPDATE) is prepared when it is asked for, and counts once our answer was
//! sent: until then it may be cancelled, and then everything stays as it was (RFC 3261 section 14.2).
//!
//! ```text
//!  change(offer) ──▶ Reply ──┬─ accepted ──▶ the media session is told
//!                            └─ cancelled ─▶ forgotten
//!  change(none)  ──▶ our offer ── accepted ── acknowledged(answer) ──▶ the media session is told
//! ```

use std::net::SocketAddr;

use crate::telephony::codec::Codec;
use crate::telephony::media::Lease;
use crate::telephony::sdp::{Description, LocalMedia, Negotiated, Negotiator, Refusal};

/// The offers and answers of one call.
pub(super) struct Negotiation {
    negotiator: Negotiator,
    local: LocalMedia,
    change: Option<Change>,
    /// Whether the next ACK must answer an offer of ours.
    offered: bool,
}

/// A change that was prepared.
struct Change {
    /// What was so before.
    before: Negotiator,
    /// What it agrees on; `None` when our offer is the answer.
    agreed: Option<Negotiated>,
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
        Self::with(local, rand::random())
    }

    /// `session_id` must be random.
    pub(super) fn with(local: LocalMedia, session_id: u64) -> Self {
        Self {
            negotiator: Negotiator::new(session_id),
            local,
            change: None,
            offered: false,
        }
    }

    /// Answers the offer of an INVITE.
    pub(super) fn answer(&mut self, offer: &str) -> Result<(String, Negotiated), Refusal> {
        self.negotiator.answer(&Description::parse(offer)?, &self.local)
    }

    /// Our offer, for an INVITE that came without one.
    pub(super) fn offer(&mut self) -> String {
        self.negotiator.offer(&self.local)
    }

    /// Takes the answer to our offer.
    pub(super) fn accept(&mut self, answer: &str) -> Result<Negotiated, Refusal> {
        self.negotiator.accept(&Description::parse(answer)?)
    }

    /// A change of the session is wanted, by this offer or by one of ours: what to answer. Nothing is changed yet.
    pub(super) fn change(&mut self, offer: Option<&str>) -> Result<String, Refusal> {
        let before = self.negotiator.clone();
        let (answer, agreed) = match offer {
            Some(offer) => {
                let (answer, agreed) = self.answer(offer)?;
                (answer, Some(agreed))
            }
            None => (self.offer(), None),
        };
        self.change = Some(Change { before, agreed });
        Ok(answer)
    }

    /// The answer was sent: what counts from now on, if that is known by now.
    pub(super) fn accepted(&mut self) -> Option<Negotiated> {
        let change = self.change.take()?;
        self.offered = change.agreed.is_none();
        change.agreed
    }

    /// The answer was not sent: everything is as before.
    pub(super) fn cancelled(&mut self) {
        if let Some(change) = self.change.take() {
            self.negotiator = change.before;
        }
    }

    /// An ACK: what it agrees on, if it answers an offer of ours. What any other ACK brings answers nothing.
    pub(super) fn acknowledged(&mut self, answer: Option<&str>) -> Result<Option<Negotiated>, Refusal> {
        if !std::mem::take(&mut self.offered) {
            return Ok(None);
        }
        self.accept(answer.unwrap_or_default()).map(Some)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(port: u16, direction: &str) -> String {
        format!(
            "v=0\r\no=- 1 1 IN IP4 192.0.2.9\r\ns=-\r\nc=IN IP4 192.0.2.9\r\nt=0 0\r\nm=audio {port} RTP/AVP 0\r\na={direction}\r\n"
        )
    }

    fn established() -> Negotiation {
        let local = LocalMedia::new("192.0.2.1".parse().expect("an address"), 40_000);
        let mut negotiation = Negotiation::with(local, 7);
        negotiation.answer(&offer(30_000, "sendrecv")).expect("acceptable");
        negotiation
    }

    fn version(text: &str) -> &str {
        let origin = text.lines().find(|line| line.starts_with("o="));
        origin.and_then(|line| line.split(' ').nth(2)).expect("an origin")
    }

    #[test]
    fn a_change_counts_when_the_answer_was_sent() {
        let mut negotiation = established();
        let answer = negotiation
            .change(Some(&offer(30_000, "inactive")))
            .expect("acceptable");
        assert_eq!(version(&answer), "2");
        let agreed = negotiation.accepted().expect("known by now");
        assert!(agreed.is_on_hold());
        assert_eq!(negotiation.acknowledged(None), Ok(None), "its ACK answers nothing");
    }

    #[test]
    fn a_cancelled_change_leaves_no_trace() {
        let mut negotiation = established();
        negotiation
            .change(Some(&offer(30_000, "inactive")))
            .expect("acceptable");
        negotiation.cancelled();
        assert_eq!(negotiation.accepted(), None);
        negotiation.change(None).expect("an offer of ours");
        negotiation.cancelled();
        assert_eq!(negotiation.acknowledged(None), Ok(None), "no ACK owes an answer");
        let answer = negotiation
            .change(Some(&offer(30_002, "sendrecv")))
            .expect("acceptable");
        assert_eq!(version(&answer), "1", "we say what we said before");
        assert!(negotiation.accepted().is_some());
    }

    #[test]
    fn an_offer_of_ours_is_answered_by_the_ack() {
        let mut negotiation = established();
        negotiation.change(None).expect("an offer of ours");
        assert_eq!(negotiation.accepted(), None);
        let agreed = negotiation.acknowledged(Some(&offer(30_006, "sendrecv")));
        let agreed = agreed.expect("it fits").expect("an answer");
        assert_eq!(agreed.remote_rtp, Some("192.0.2.9:30006".parse().expect("an address")));
        assert_eq!(negotiation.acknowledged(None), Ok(None), "once");
    }
}
