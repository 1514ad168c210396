//! Challenges to requests of ours (RFC 3261 section 22.2): each request is tried once more, with credentials. A BYE too,
//! although its call is over by then.

use std::time::Instant;

use super::way::{Prepared, Stream, Way};
use super::{Endpoint, Phase};
use crate::telephony::sip::digest;
use crate::telephony::sip::message::{Checked, Method, Name};
use crate::telephony::sip::transaction::Outgoing;
use crate::telephony::sip::transport::Flow;

impl Endpoint {
    /// Sends the request again with what was asked for; false when there is nothing to answer with.
    pub(super) fn answer_challenge(
        &mut self,
        now: Instant,
        outgoing: &Outgoing,
        status: u16,
        response: &Checked,
    ) -> bool {
        let Some(credentials) = &outgoing.credentials else {
            return false;
        };
        let phase = self.calls.get(&outgoing.call).map(|call| call.phase);
        if phase == Some(Phase::Cancelling) {
            return false;
        }
        let (asked, answered) = match status {
            401 => (Name::WwwAuthenticate, Name::Authorization),
            _ => (Name::ProxyAuthenticate, Name::ProxyAuthorization),
        };
        let cnonce = format!("{:016x}", self.new_key());
        let branch = self.new_key();
        let challenges: Vec<_> = response.message.fields(asked).collect();
        let authorize = |uri: &str| {
            let value = digest::answer(challenges.iter().copied(), credentials, &outgoing.method, uri, &cnonce)?;
            Some((answered, value))
        };
        let (number, stream) = match self.calls.get_mut(&outgoing.call) {
            Some(call) => (call.dialog.next_cseq(), call.stream),
            None => (response.cseq.number + 1, Stream::default()),
        };
        // Credentials can make a datagram too large; what went over a connection goes there again.
        let way = Way {
            flow: outgoing.retreat.as_ref().map_or(outgoing.flow, |(flow, _)| *flow),
            wants_stream: outgoing.retreat.is_some(),
        };
        let render = |flow: &Flow| outgoing.again(&self.via(flow, branch), number, authorize);
        let Some(Prepared { flow, bytes, retreat }) = Self::prepare(way, stream, render) else {
            return false;
        };
        if let Some(call) = self.calls.get_mut(&outgoing.call)
            && outgoing.method == Method::Invite
        {
            call.inviting = Some(branch);
        }
        let again = Outgoing {
            flow,
            bytes,
            retreat,
            credentials: None,
            ..outgoing.clone()
        };
        self.clients.start(now, &mut self.wire, branch, again);
        true
    }
}
