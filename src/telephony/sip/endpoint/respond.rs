//! Making answers (RFC 3261 section 8.2.6): Via, From, To, Call-ID and CSeq come back as they were sent.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use super::{Endpoint, Output};
use crate::telephony::sip::dialog::tag;
use crate::telephony::sip::message::{Checked, Host, Message, Method, Name, NameAddr, Via, Vias, Writer};
use crate::telephony::sip::transaction::{Fingerprint, Opening};
use crate::telephony::sip::transport::{Flow, Transport};

/// Methods that we serve, for Allow.
pub(super) const ALLOW: &str = "INVITE, ACK, BYE, CANCEL, OPTIONS, INFO, UPDATE";
/// Bodies that we understand, for Accept.
pub(super) const ACCEPT: &str = "application/sdp, multipart/mixed, application/dtmf-relay, application/dtmf";
/// The port when none is written.
const DEFAULT_PORT: u16 = 5060;

/// A datagram of somebody who has not shown to be where it says it comes from gets at most so many times its bytes.
const MAX_AMPLIFICATION: usize = 2;

/// Fields that go with certain answers.
pub(super) type Extra<'a> = &'a [(Name, &'a str)];

impl Endpoint {
    /// Answers without remembering; the same request gets the same answer again.
    pub(super) fn answer_statelessly(&mut self, flow: Flow, request: &Message, status: u16, extra: Extra<'_>) {
        if !self.try_answer(flow, request, status, extra) {
            self.stats.withheld += 1;
        }
    }

    /// The same; false when the answer would be too long for a request whose source may be forged.
    pub(super) fn try_answer(&mut self, flow: Flow, request: &Message, status: u16, extra: Extra<'_>) -> bool {
        let call_id = request.field(Name::CallId).unwrap_or_default();
        let key = self
            .fingerprints
            .stateless_tag(call_id, request.field(Name::From).unwrap_or_default());
        let Some(reply) = reply_flow(flow, request) else {
            return true;
        };
        let bytes = add_fields(begin(request, &flow, status, Some(key)), extra).finish();
        let may_amplify = flow.transport == Transport::Udp && !self.is_vouched(flow.remote.ip());
        if may_amplify && bytes.len() > MAX_AMPLIFICATION * request.size() {
            return false;
        }
        self.wire.outputs.push_back(Output::Send {
            flow: reply,
            bytes: bytes.into(),
        });
        true
    }

    /// Refuses a request of a trunk: INVITE with a transaction, so that the refusal is sent until it is acknowledged.
    pub(super) fn refuse(
        &mut self,
        now: Instant,
        flow: Flow,
        key: Fingerprint,
        request: &Checked,
        status: u16,
        extra: Extra<'_>,
    ) {
        if *request.method() != Method::Invite {
            self.answer_once(now, flow, key, request, status, extra);
            return;
        }
        // A transaction would send it again and again, to an address that may be forged.
        if !self.is_vouched(flow.remote.ip()) {
            self.answer_statelessly(flow, &request.message, status, extra);
            return;
        }
        let copies = request.to().tag().is_none().then(|| self.fingerprints.copies(request));
        self.refuse_invite(now, flow, key, request, (status, extra), copies);
    }

    /// The refusal of an INVITE, sent until its ACK. `copies` finds the same request over another path.
    pub(super) fn refuse_invite(
        &mut self,
        now: Instant,
        flow: Flow,
        key: Fingerprint,
        request: &Checked,
        (status, extra): (u16, Extra<'_>),
        copies: Option<Fingerprint>,
    ) {
        let Some(reply) = reply_flow(flow, &request.message) else {
            return;
        };
        let to_tag = self
            .fingerprints
            .stateless_tag(request.call_id(), request.from().as_str());
        let bytes: Arc<[u8]> = add_fields(begin(&request.message, &flow, status, Some(to_tag)), extra)
            .finish()
            .into();
        let opening = Opening {
            copies,
            ..opening(request, &flow, reply)
        };
        if !self.servers.has_room(bytes.len().max(opening.bytes())) {
            // Said once, and again to each repetition.
            self.wire.send(reply, bytes);
            return;
        }
        self.servers.open(now, &mut self.wire, key, opening);
        self.servers.respond(now, &mut self.wire, key, status, bytes);
    }

    /// Answers a request other than INVITE that changes nothing here. Its repetition could as well be answered anew, so nothing
    /// is remembered; except that credentials have been spent on it, and would be too old for the repetition (section
    /// 17.2.2 demands the same answer).
    pub(super) fn answer_once(
        &mut self,
        now: Instant,
        flow: Flow,
        key: Fingerprint,
        request: &Checked,
        status: u16,
        extra: Extra<'_>,
    ) {
        if !request.message.has(Name::Authorization) || !self.is_vouched(flow.remote.ip()) {
            self.answer_statelessly(flow, &request.message, status, extra);
            return;
        }
        let to_tag = self
            .fingerprints
            .stateless_tag(request.call_id(), request.from().as_str());
        let writer = begin(&request.message, &flow, status, Some(to_tag));
        self.answer_and_remember(now, flow, key, request, status, add_fields(writer, extra));
    }

    /// Answers a request other than INVITE inside a dialog, and remembers the answer for repetitions.
    pub(super) fn answer_in_dialog(
        &mut self,
        now: Instant,
        flow: Flow,
        key: Fingerprint,
        request: &Checked,
        status: u16,
        extra: Extra<'_>,
    ) {
        let writer = begin(&request.message, &flow, status, None);
        self.answer_and_remember(now, flow, key, request, status, add_fields(writer, extra));
    }

    pub(super) fn answer_and_remember(
        &mut self,
        now: Instant,
        flow: Flow,
        key: Fingerprint,
        request: &Checked,
        status: u16,
        answer: Writer,
    ) {
        let Some(reply) = reply_flow(flow, &request.message) else {
            return;
        };
        let bytes: Arc<[u8]> = answer.finish().into();
        if !self.servers.has_room(bytes.len()) {
            // No room to remember: a repetition is answered anew.
            self.wire.send(reply, bytes);
            return;
        }
        self.servers
            .open(now, &mut self.wire, key, opening(request, &flow, reply));
        self.servers.respond(now, &mut self.wire, key, status, bytes);
    }

    /// The value of our Contact for a peer on `flow`.
    pub(super) fn contact(&self, flow: &Flow) -> String {
        let address = host_and_port(self.public_address(flow));
        match flow.transport {
            Transport::Udp => format!("<sip:{address}>"),
            Transport::Tcp => format!("<sip:{address};transport=tcp>"),
        }
    }

    /// The address at which a peer on `flow` can reach a listener of ours. A connection that we opened has a port of its
    /// own at which nobody listens.
    pub(super) fn public_address(&self, flow: &Flow) -> SocketAddr {
        let same_kind = |local: &&super::LocalAddress| {
            local.transport == flow.transport && local.address.is_ipv4() == flow.local.is_ipv4()
        };
        let mut candidates = self.config.local.iter().filter(same_kind);
        let exact = candidates
            .clone()
            .find(|local| local.channel == flow.channel || local.address == flow.local);
        match exact.or_else(|| candidates.next()) {
            Some(local) => SocketAddr::new(flow.local.ip(), local.address.port()),
            None => flow.local,
        }
    }
}

/// How the transaction of a request begins that belongs to no call; INVITE has its 100 ready.
pub(super) fn opening(request: &Checked, flow: &Flow, reply: Flow) -> Opening {
    let is_invite = *request.method() == Method::Invite;
    Opening {
        flow: reply,
        trying: is_invite.then(|| begin(&request.message, flow, 100, None).finish().into()),
        call: None,
        copies: None,
    }
}

/// Begins an answer: start line and the fields that are copied. `to_tag` is added when the request has none.
pub(super) fn begin(request: &Message, flow: &Flow, status: u16, to_tag: Option<u64>) -> Writer {
    let mut writer = Writer::response(status);
    for (index, value) in request.fields(Name::Via).enumerate() {
        writer = match index {
            0 => writer.field(Name::Via, stamped(value, flow)),
            _ => writer.field(Name::Via, value),
        };
    }
    if let Some(value) = request.field(Name::From) {
        writer = writer.field(Name::From, value);
    }
    if let Some(value) = request.field(Name::To) {
        let has_tag = NameAddr::parse(value).is_ok_and(|to| to.params().contains("tag"));
        writer = match to_tag {
            Some(key) if !has_tag => writer.field(Name::To, format_args!("{value};tag={}", tag(key))),
            _ => writer.field(Name::To, value),
        };
    }
    // The sender of a Timestamp measures the way to us by the 100 (section 8.2.6.1).
    let timestamp = (status == 100).then_some(Name::Timestamp);
    for name in [Name::CallId, Name::CSeq].into_iter().chain(timestamp) {
        if let Some(value) = request.field(name) {
            writer = writer.field(name, value);
        }
    }
    writer
}

pub(super) fn add_fields(writer: Writer, extra: Extra<'_>) -> Writer {
    extra
        .iter()
        .fold(writer, |writer, (name, value)| writer.field(*name, value))
}

/// Copies Record-Route, as answers that make a dialog must (section 12.1.1).
pub(super) fn add_record_route(writer: Writer, request: &Message) -> Writer {
    request
        .fields(Name::RecordRoute)
        .fold(writer, |writer, value| writer.field(Name::RecordRoute, value))
}

/// The topmost Via with what we know of its sender: `received`, and `rport` where it asked (RFC 3581 section 4).
fn stamped(value: &str, flow: &Flow) -> String {
    let mut vias = Vias::new(value);
    let Some(Ok(via)) = vias.next() else {
        return value.to_owned();
    };
    let mut text = format!("SIP/{}/{} {}", via.version(), via.transport(), via.sent_by());
    let mut has_rport = false;
    for (name, value) in via.params().iter() {
        // Writing to a String cannot fail.
        let _ = match (name, value) {
            _ if name.eq_ignore_ascii_case("received") => Ok(()),
            _ if name.eq_ignore_ascii_case("rport") => match std::mem::replace(&mut has_rport, true) {
                false => write!(text, ";rport={}", flow.remote.port()),
                true => Ok(()),
            },
            (name, "") => write!(text, ";{name}"),
            (name, value) => write!(text, ";{name}={value}"),
        };
    }
    let source = flow.remote.ip().to_canonical();
    if via.wants_rport() || via.host() != Host::Ip(source) {
        let _ = write!(text, ";received={source}");
    }
    if !vias.rest().is_empty() {
        let _ = write!(text, ", {}", vias.rest());
    }
    text
}

/// An address as it stands in a URI or a Via. A connection of ours that is not made yet has no port: none is written then,
/// since a port of 0 is none (what comes back comes over the connection).
pub(super) fn host_and_port(address: SocketAddr) -> String {
    match address.port() {
        0 => Host::Ip(address.ip()).to_string(),
        _ => address.to_string(),
    }
}

/// Where an answer goes (section 18.2.2, RFC 3581 section 4): over the same connection, or as a datagram to the address
/// it came from, at the port it came from if asked so, else at the port of the Via. `maddr` is not obeyed: it would
/// let anybody aim our answers at third parties. `None` without a Via: nobody could tell what such an answer is for.
pub(super) fn reply_flow(flow: Flow, request: &Message) -> Option<Flow> {
    let via = Via::first_of(request.field(Name::Via)?)?;
    if flow.transport == Transport::Tcp {
        return Some(flow);
    }
    let port = if via.wants_rport() {
        flow.remote.port()
    } else {
        via.port().unwrap_or(DEFAULT_PORT)
    };
    Some(Flow {
        remote: with_port(flow.remote, port),
        ..flow
    })
}

/// Keeps the scope of link-local IPv6 addresses.
fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}
