//! From bytes to the request or answer they belong to. Strangers get no further than this file.

use std::net::SocketAddr;
use std::time::Instant;

use super::{Call, Endpoint, Output};
use crate::telephony::sip::dialog::key_of_tag;
use crate::telephony::sip::message::{Checked, Message, Method, Rejection, identified, validate};
use crate::telephony::sip::trace;
use crate::telephony::sip::transport::{Channel, Flow, Transport};
use crate::telephony::sip::trunk::Unserved;

/// From and To stand within so many bytes, whatever routes and passwords come before them.
const MAX_SEARCHED: usize = 8 * 1024;

/// Who a source is to us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Party {
    /// The trunk whose networks hold it.
    Trunk(usize),
    /// The far end of a call that we made.
    Guest,
    /// Nobody.
    Stranger,
}

impl Endpoint {
    pub(super) fn on_bytes(&mut self, now: Instant, flow: Flow, bytes: &[u8]) {
        // Keepalives: a CRLF or two, or nothing (RFC 5626 section 3.5). They cost no budget.
        if bytes.iter().all(|byte| b"\r\n\0".contains(byte)) {
            return;
        }
        let party = self.party(now, &flow);
        if !self.is_of_call(now, party, bytes) && !self.has_budget(now, &flow, party) {
            self.stats.throttled += 1;
            return;
        }
        self.stats.received += 1;
        let Ok(message) = Message::parse(bytes) else {
            self.stats.malformed += 1;
            return;
        };
        trace::received(&flow, &message);
        if party == Party::Stranger {
            self.refuse_stranger(now, flow, &message);
            return;
        }
        match validate(message) {
            Ok(checked) if checked.message.status().is_some() => self.on_response(now, &checked),
            Ok(checked) => self.on_request(now, flow, party, checked),
            Err((message, rejection)) => {
                self.stats.malformed += 1;
                if let Rejection::Answer(status) = rejection {
                    self.refuse_malformed(now, flow, message, status);
                }
            }
        }
    }

    /// The refusal of an INVITE is sent until it is acknowledged, also when the INVITE is malformed, as long as it tells what
    /// the ACK will tell.
    fn refuse_malformed(&mut self, now: Instant, flow: Flow, message: Message, status: u16) {
        let is_invite = message.request().is_some_and(|(method, _)| *method == Method::Invite);
        match if is_invite { identified(message) } else { Err(message) } {
            Ok(request) => {
                let key = self.fingerprints.transaction(&request, &Method::Invite);
                if !self.servers.absorb(&mut self.wire, key) {
                    self.refuse(now, flow, key, &request, status, &[]);
                }
            }
            Err(message) => self.answer_statelessly(flow, &message, status, &[]),
        }
    }

    pub(super) fn on_unframable(&mut self, now: Instant, flow: Flow, head: &[u8]) {
        let party = self.party(now, &flow);
        self.stats.malformed += 1;
        if self.has_budget(now, &flow, party)
            && let Ok(message) = Message::parse(head)
            && message.request().is_some_and(|(method, _)| *method != Method::Ack)
        {
            match party {
                Party::Stranger => self.refuse_stranger(now, flow, &message),
                Party::Trunk(_) | Party::Guest => self.answer_statelessly(flow, &message, 400, &[]),
            }
        }
        self.wire.outputs.push_back(Output::Close(flow));
    }

    fn on_request(&mut self, now: Instant, flow: Flow, party: Party, request: Checked) {
        match request.method() {
            Method::Ack => self.on_ack(now, flow, party, &request),
            Method::Cancel => self.on_cancel(now, flow, &request),
            method => {
                let key = self.fingerprints.transaction(&request, method);
                if self.servers.absorb(&mut self.wire, key) {
                    return;
                }
                match (request.to().tag(), party) {
                    (Some(_), _) => self.on_request_in_dialog(now, flow, party, key, request),
                    (None, Party::Trunk(trunk)) => self.on_new_request(now, flow, trunk, key, request),
                    // The far end of a call of ours may speak inside that call only.
                    (None, _) => self.refuse_stranger(now, flow, &request.message),
                }
            }
        }
    }

    /// The call that a request with a To tag belongs to, if its source may speak in it.
    pub(super) fn call_of(&self, request: &Checked, flow: &Flow, party: Party) -> Option<u64> {
        let key = key_of_tag(request.to().tag()?)?;
        let call = self.calls.get(&key)?;
        (call.dialog.owns(request) && self.may_speak(call, flow, party)).then_some(key)
    }

    /// A request in a dialog must come from the networks of its trunk; where a password is what admits a caller, from the
    /// very address, since the password is not asked again.
    fn may_speak(&self, call: &Call, flow: &Flow, party: Party) -> bool {
        let same_address = call.flow.remote.ip() == flow.remote.ip();
        match (call.trunk, party) {
            (Some(trunk), Party::Trunk(source)) if trunk == source => {
                same_address || self.trunks.get(trunk).is_some_and(|trunk| trunk.digest.is_none())
            }
            (None, _) => same_address,
            _ => false,
        }
    }

    /// Whether `flow` comes from where `other` came from: a CANCEL travels the way of its INVITE (RFC 3261 section 9.1),
    /// so nobody else can cancel a call whose branch they have seen.
    pub(super) fn is_same_hop(&self, flow: &Flow, other: &Flow) -> bool {
        let (source, other) = (flow.remote.ip(), other.remote.ip());
        source == other || self.trunks.is_known(source) && self.trunks.by_source(source) == self.trunks.by_source(other)
    }

    fn party(&self, now: Instant, flow: &Flow) -> Party {
        let source = flow.remote.ip();
        match self.trunks.by_source(source) {
            Some(trunk) => Party::Trunk(trunk),
            None if self
                .guests
                .get(&source)
                .is_some_and(|guest| guest.calls > 0 || now < guest.until) =>
            {
                Party::Guest
            }
            None => Party::Stranger,
        }
    }

    /// Whether a message names a call that stands, by the tag that only its far end has been told, and has not said too
    /// much in it. Whatever else its trunk sends, it is read.
    fn is_of_call(&mut self, now: Instant, party: Party, bytes: &[u8]) -> bool {
        let Party::Trunk(trunk) = party else { return false };
        tags(bytes).filter_map(key_of_tag).any(|key| {
            let call = self.calls.get_mut(&key).filter(|call| call.trunk == Some(trunk));
            call.is_some_and(|call| call.messages.take(now))
        })
    }

    fn has_budget(&mut self, now: Instant, flow: &Flow, party: Party) -> bool {
        match party {
            Party::Trunk(trunk) => {
                let is_known = self.trunks.is_known(flow.remote.ip()) || self.has_proof(now, flow.remote.ip());
                (is_known || self.strangers.admit(now, flow.remote.ip())) && self.admission.admit_message(now, trunk)
            }
            // We called them; their number is bounded by that of our calls.
            Party::Guest => true,
            Party::Stranger => self.strangers.admit(now, flow.remote.ip()),
        }
    }

    /// One answer to everything, or none: a scanner sees no difference between methods, numbers, or good and bad
    /// messages.
    fn refuse_stranger(&mut self, now: Instant, flow: Flow, message: &Message) {
        self.stats.strangers += 1;
        let Some((method, _)) = message.request() else { return };
        if self.refusal_log.take(now) {
            tracing::info!(
                sip.remote = %flow.remote,
                sip.transport = %flow.transport,
                sip.method = trace::method(method),
                "refused: no trunk allows this address; if it should call, add its network to a file in sip-config/"
            );
        }
        if *method != Method::Ack && self.config.strangers == Unserved::Answer {
            self.answer_statelessly(flow, message, 403, &[]);
        }
    }

    /// A TCP connection is gone: calls over it fall back to what the dialog says, requests without an answer fail.
    pub(super) fn on_closed(&mut self, now: Instant, closed: &Flow) {
        if self.party(now, closed) == Party::Stranger {
            return;
        }
        let is_lost = |flow: &Flow| flow.transport == Transport::Tcp && flow.channel == closed.channel;
        for call in self.calls.values_mut().filter(|call| is_lost(&call.flow)) {
            call.flow.channel = Channel::ANY;
        }
        self.on_unreachable(now, closed.remote);
    }

    pub(super) fn on_unreachable(&mut self, now: Instant, remote: SocketAddr) {
        let is_lost = |flow: &Flow| flow.transport == Transport::Tcp && flow.remote == remote;
        for (branch, outgoing) in self.clients.fail(&mut self.wire, is_lost) {
            if let Some(outgoing) = self.retreat(now, branch, outgoing) {
                self.on_request_failed(now, &outgoing, 503);
            }
        }
    }
}

/// What may be values of `tag` parameters in the head of a message that has not been read yet. Written in capitals they
/// are not found, and the message pays from the budget of its trunk.
fn tags(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let head = &bytes[..bytes.len().min(MAX_SEARCHED)];
    memchr::memmem::find_iter(head, b"tag=").take(4).filter_map(|at| {
        let value = &head[at + 4..];
        let end = value.iter().position(|byte| !byte.is_ascii_alphanumeric());
        std::str::from_utf8(&value[..end.unwrap_or(value.len())]).ok()
    })
}
