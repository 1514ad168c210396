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
                if self.servers.absorb(&mut self.wire, key) {
                    return;
                }
                if self.is_vouched(flow.remote.ip()) {
                    // Put right, the request may come again with the same CSeq: it is no copy of this one.
                    self.refuse_invite(now, flow, key, &request, (status, &[]), None);
                } else {
                    self.answer_statelessly(flow, &request.message, status, &[]);
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

/// What may be values of `tag` parameters of From and To in a message that has not been read yet. Addresses of proxies in other
/// fields have parameters that look alike (`ftag`), as many as there are proxies. Written in capitals they are not found, and
/// the message pays from the budget of its trunk.
fn tags(bytes: &[u8]) -> impl Iterator<Item = &str> {
    let head = &bytes[..bytes.len().min(MAX_SEARCHED)];
    let (mut start, mut is_address) = (0, false);
    let lines = memchr::memchr_iter(b'\n', head).map(move |end| {
        let line = &head[start..=end];
        start = end + 1;
        line
    });
    lines
        .take_while(|line| !matches!(line, [b'\n'] | [b'\r', b'\n']))
        .filter(move |line| {
            // A folded line belongs to the field above it.
            is_address = if line.starts_with(b" ") || line.starts_with(b"\t") {
                is_address
            } else {
                is_from_or_to(line)
            };
            is_address
        })
        .flat_map(tags_of_line)
        .take(4)
}

fn is_from_or_to(line: &[u8]) -> bool {
    // The longest name and some space before the colon.
    let start = &line[..line.len().min(16)];
    let Some(colon) = memchr::memchr(b':', start) else {
        return false;
    };
    let name = start[..colon].trim_ascii_end();
    [b"From".as_slice(), b"To", b"f", b"t"]
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
}

fn tags_of_line(line: &[u8]) -> impl Iterator<Item = &str> {
    memchr::memmem::find_iter(line, b"tag=").filter_map(|at| {
        let before = line[..at].trim_ascii_end();
        // A folded line may begin with the parameter whose semicolon ends the line above.
        let is_parameter = before.is_empty() || before.ends_with(b";");
        let value = line.get(at + 4..).filter(|_| is_parameter)?;
        let end = value.iter().position(|byte| !byte.is_ascii_alphanumeric());
        std::str::from_utf8(&value[..end.unwrap_or(value.len())]).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_those_of_from_and_to() {
        let proxies = "Record-Route: <sip:10.0.0.1;lr;ftag=abc;r2=on>\r\nRoute: <sip:10.0.0.2;lr;tag=no>\r\n".repeat(9);
        for (head, expected) in [
            (
                "From: <sip:a@b>;tag=one\r\nTo: <sip:c@d>;tag=two",
                ["one", "two"].as_slice(),
            ),
            ("f:sip:a@b;tag=one\r\nT\t : sip:c@d ; tag=two;x=y", &["one", "two"]),
            (
                "FROM: sip:a@b\r\n ;tag=one\r\nto: sip:c@d;\r\n\ttag=two",
                &["one", "two"],
            ),
            ("From: sip:a@b;ftag=no;x-tag=no\r\nTo: sip:c@d;tag=", &[""]),
            ("Subject: to: x;tag=no\r\nTo-Do: x;tag=no\r\n folded;tag=no\r\nt", &[]),
            ("From: a;tag=1;tag=2;tag=3\r\nTo: b;tag=4;tag=5", &["1", "2", "3", "4"]),
        ] {
            let text = format!("INFO sip:x;tag=no SIP/2.0\r\n{proxies}{head}\r\n\r\nTo: body;tag=no");
            assert_eq!(tags(text.as_bytes()).collect::<Vec<_>>(), expected, "{head:?}");
        }
        assert_eq!(
            tags(b"").count() + tags(b"tag=x").count() + tags(&[0xff; 99_999]).count(),
            0
        );
    }
}
