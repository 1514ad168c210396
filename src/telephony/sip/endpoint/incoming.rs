//! Requests outside dialogs (RFC 3261 section 8.2): INVITE, OPTIONS, CANCEL, and everything that is refused.

use std::time::Instant;

use super::body::{check_accept, check_body, sdp_of};
use super::receive::Party;
use super::respond::{ACCEPT, ALLOW, Extra, add_fields, add_record_route, begin, opening, reply_flow};
use super::{Call, CallEvent, CallInfo, CallKey, CallTimer, Caller, Endpoint, Output, Phase, RING_LIMIT, Waiting};
use crate::secret::with_numbers_masked;
use crate::telephony::sip::admission;
use crate::telephony::sip::dialog::Dialog;
use crate::telephony::sip::digest::{Protection, Refused};
use crate::telephony::sip::message::{
    AuthParams, Checked, Method, Name, NameAddr, NameAddrs, Scheme, Uri, option_tags,
};
use crate::telephony::sip::transaction::{Fingerprint, Opening};
use crate::telephony::sip::transport::Flow;
use crate::telephony::sip::trunk::Unserved;

/// A refusal and the fields that explain it.
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) explain: Option<(Name, String)>,
}

impl From<u16> for Refusal {
    fn from(status: u16) -> Self {
        Self { status, explain: None }
    }
}

impl Refusal {
    pub(super) fn explained(status: u16, name: Name, value: impl Into<String>) -> Self {
        Self {
            status,
            explain: Some((name, value.into())),
        }
    }

    /// With the seconds after which it makes sense to try again.
    pub(super) fn for_now(status: u16, seconds: u32) -> Self {
        Self::explained(status, Name::RetryAfter, seconds.to_string())
    }

    /// A method that is not served here: one that we know, or one that we do not (sections 8.2.1 and 21.5.2).
    pub(super) fn unserved(method: &Method) -> Self {
        let is_known = !matches!(method, Method::Other(_));
        Self::explained(if is_known { 405 } else { 501 }, Name::Allow, ALLOW)
    }

    /// The field that explains it, if there is one.
    pub(super) fn extra(&self) -> Option<(Name, &str)> {
        self.explain.as_ref().map(|(name, value)| (*name, value.as_str()))
    }
}

impl From<admission::Refusal> for Refusal {
    fn from(refusal: admission::Refusal) -> Self {
        match refusal.answer() {
            (status, Some(seconds)) => Self::for_now(status, seconds),
            (status, None) => status.into(),
        }
    }
}

impl Endpoint {
    pub(super) fn on_new_request(
        &mut self,
        now: Instant,
        flow: Flow,
        trunk: usize,
        key: Fingerprint,
        request: Checked,
    ) {
        let copies = self.fingerprints.copies(&request);
        if self.servers.has_copy(copies, key) {
            self.refuse(now, flow, key, &request, 482, &[]);
            return;
        }
        if let Err(challenges) = self.authenticate(now, flow, trunk, &request) {
            let extra = challenges
                .each_ref()
                .map(|challenge| (Name::WwwAuthenticate, challenge.as_str()));
            // To a very short request one challenge is answer enough: the one that everybody understands.
            if !self.try_answer(flow, &request.message, 401, &extra) {
                self.answer_statelessly(flow, &request.message, 401, &extra[1..]);
            }
            // The first request of each call comes without credentials: only wrong ones are worth a line.
            if request.message.has(Name::Authorization) {
                self.log_refusal(now, flow, trunk, 401);
            }
            return;
        }
        match self.check_new(trunk, &request) {
            Ok(dialplan) if *request.method() == Method::Invite => {
                self.on_invite(now, flow, trunk, key, request, dialplan)
            }
            Ok(_) => self.answer_options(now, flow, trunk, key, &request),
            Err(refusal) => {
                self.log_refusal(now, flow, trunk, refusal.status);
                if refusal.status != 404 || !self.is_silent(trunk) {
                    self.refuse_explained(now, flow, key, &request, &refusal);
                }
            }
        }
    }

    fn log_refusal(&mut self, now: Instant, flow: Flow, trunk: usize, status: u16) {
        if !self.refusal_log.take(now) {
            return;
        }
        let why = match status {
            401 => "the password is wrong, or the nonce too old",
            404 => "no [[called]] of the trunk matches the number",
            486 => "all lines of the trunk are taken",
            503 => "no room, or draining",
            _ => "the request asks for what is not served",
        };
        let call_trunk = self.trunks.get(trunk).map(|trunk| trunk.name.as_str());
        tracing::info!(call.trunk = call_trunk, sip.remote = %flow.remote, sip.status = status, why, "refused");
    }

    fn is_silent(&self, trunk: usize) -> bool {
        self.trunks
            .get(trunk)
            .is_some_and(|trunk| trunk.unserved == Unserved::Silence)
    }

    pub(super) fn refuse_explained(
        &mut self,
        now: Instant,
        flow: Flow,
        key: Fingerprint,
        request: &Checked,
        refusal: &Refusal,
    ) {
        self.refuse(now, flow, key, request, refusal.status, refusal.extra().as_slice());
    }

    /// Trunks that ask for a password ask before anything else, so that nothing else can be found out (section 8.2).
    fn authenticate(&mut self, now: Instant, flow: Flow, trunk: usize, request: &Checked) -> Result<(), [String; 2]> {
        let Some(trunk) = self.trunks.get(trunk) else {
            return Ok(());
        };
        let Some(config) = &trunk.digest else { return Ok(()) };
        let protection = Protection {
            trunk: &trunk.name,
            realm: &config.realm,
            users: &config.users,
        };
        let uri = request.message.request().map_or("", |(_, uri)| uri);
        let mut refused = Refused::Wrong;
        for value in request.message.fields(Name::Authorization).take(4) {
            let Ok(credentials) = AuthParams::parse(value) else {
                continue;
            };
            match self
                .challenger
                .verify(now, &protection, request.method(), uri, &credentials)
            {
                Ok(()) => {
                    self.remember_proof(now, flow);
                    return Ok(());
                }
                Err(reason) => refused = reason,
            }
        }
        Err(self.challenger.challenge(now, &protection, refused == Refused::Stale))
    }

    /// Everything that can be wrong with a well-formed request outside dialogs; the dialplan when nothing is.
    fn check_new(&self, trunk: usize, request: &Checked) -> Result<String, Refusal> {
        match request.method() {
            Method::Invite | Method::Options => {}
            Method::Bye | Method::Info | Method::Update => return Err(481.into()),
            method => return Err(Refusal::unserved(method)),
        }
        let called = called_number(request).ok_or(416)?;
        check_require(request)?;
        check_body(request)?;
        if *request.method() == Method::Invite {
            check_accept(request)?;
        }
        let dialplan = self.trunks.get(trunk).and_then(|trunk| trunk.dialplan_for(&called));
        match dialplan {
            Some(dialplan) => Ok(dialplan.to_owned()),
            // Keepalives are often sent to a host without a number: they ask for us, not for a dialplan.
            None if *request.method() == Method::Options && called.is_empty() => Ok(String::new()),
            None => Err(404.into()),
        }
    }

    fn on_invite(
        &mut self,
        now: Instant,
        flow: Flow,
        trunk: usize,
        transaction: Fingerprint,
        request: Checked,
        dialplan: String,
    ) {
        let offer = match sdp_of(&request) {
            Ok(offer) => offer,
            Err(refusal) => return self.refuse_explained(now, flow, transaction, &request, &refusal),
        };
        let Some(reply) = reply_flow(flow, &request.message) else {
            return;
        };
        let opening = opening(&request, &flow, reply);
        let admitted = if self.is_full() || !self.servers.has_room(opening.bytes()) {
            Err(admission::Refusal::Overloaded)
        } else {
            self.admission.admit_call(now, trunk)
        };
        if let Err(refusal) = admitted.map_err(Refusal::from) {
            self.stats.calls_refused += 1;
            self.log_refusal(now, flow, trunk, refusal.status);
            self.refuse_explained(now, flow, transaction, &request, &refusal);
            return;
        }
        let key = self.new_key();
        let opening = Opening {
            call: Some(key),
            copies: Some(self.fingerprints.copies(&request)),
            ..opening
        };
        self.servers.open(now, &mut self.wire, transaction, opening);
        let info = self.info(key, flow, trunk, &request, dialplan, offer);
        let dialog = Dialog::from_invite(&request, key);
        tracing::debug!(call.id = info.call_id, call.trunk = info.trunk, caller = ?info.caller, "call offered");
        let call = Call {
            trunk: Some(trunk),
            waiting: Some(Waiting {
                transaction,
                request,
                flow,
            }),
            ..Call::new(now, dialog, Phase::Ringing, flow)
        };
        self.calls.insert(key, call);
        self.set_call_timer(key, CallTimer::Setup, now + RING_LIMIT);
        self.stats.calls_offered += 1;
        self.wire.outputs.push_back(Output::Incoming(Box::new(info)));
    }

    fn info(
        &self,
        key: u64,
        flow: Flow,
        trunk: usize,
        request: &Checked,
        dialplan: String,
        offer: Option<String>,
    ) -> CallInfo {
        let trunk = self.trunks.get(trunk);
        CallInfo {
            key: CallKey(key),
            call_id: with_numbers_masked(request.call_id()),
            trunk: trunk.map(|trunk| trunk.name.clone()).unwrap_or_default(),
            dialplan,
            caller: caller(request, trunk.is_some_and(|trunk| trunk.trusts_caller_id)),
            called: called_number(request).unwrap_or_default(),
            source: flow.remote,
            local: flow.local,
            offer,
            codecs: trunk.map(|trunk| trunk.codecs.clone()).unwrap_or_default(),
            media: trunk.map(|trunk| trunk.media.clone()).unwrap_or_default(),
        }
    }

    /// Whether there is no room for another call, those that we made included.
    fn is_full(&self) -> bool {
        self.servers.is_full() || self.calls.len() >= self.config.max_calls
    }

    /// The status that an INVITE would get now (section 11.2).
    fn answer_options(&mut self, now: Instant, flow: Flow, trunk: usize, key: Fingerprint, request: &Checked) {
        let admitted = if self.is_full() {
            Err(admission::Refusal::Overloaded)
        } else {
            self.admission.would_admit(now, trunk)
        };
        match admitted {
            Ok(()) => self.answer_once(now, flow, key, request, 200, CAPABILITIES),
            Err(refusal) => {
                let refusal = Refusal::from(refusal);
                let extra: Vec<_> = CAPABILITIES.iter().copied().chain(refusal.extra()).collect();
                self.answer_once(now, flow, key, request, refusal.status, &extra);
            }
        }
    }

    /// CANCEL (section 9.2): 200 for itself, 487 for the INVITE when that has no final answer yet.
    pub(super) fn on_cancel(&mut self, now: Instant, flow: Flow, request: &Checked) {
        let own = self.fingerprints.transaction(request, &Method::Cancel);
        if self.servers.absorb(&mut self.wire, own) {
            return;
        }
        let invite = self.fingerprints.transaction(request, &Method::Invite);
        let cancellable = self.servers.cancellable(invite);
        let Some((call, is_open, _)) = cancellable.filter(|(_, _, theirs)| self.is_same_hop(&flow, theirs)) else {
            self.answer_statelessly(flow, &request.message, 481, &[]);
            return;
        };
        self.answer_cancel(now, flow, own, request, call);
        let Some(key) = call.filter(|_| is_open) else { return };
        self.refuse_waiting(now, key, 487);
        match self.calls.get(&key).map(|call| call.phase) {
            Some(Phase::Ringing) => self.finish(now, key, CallEvent::Cancelled),
            Some(_) => self.emit(key, CallEvent::ReinviteCancelled),
            None => {}
        }
    }

    /// The To tag is that of the answers to the INVITE.
    fn answer_cancel(&mut self, now: Instant, flow: Flow, key: Fingerprint, request: &Checked, call: Option<u64>) {
        let tag = call.unwrap_or_else(|| {
            self.fingerprints
                .stateless_tag(request.call_id(), request.from().as_str())
        });
        let answer = begin(&request.message, &flow, 200, Some(tag));
        self.answer_and_remember(now, flow, key, request, 200, answer);
    }

    /// ACK: for a refusal it ends the transaction, for a 2xx it belongs to the dialog; anything else is ignored.
    pub(super) fn on_ack(&mut self, now: Instant, flow: Flow, party: Party, request: &Checked) {
        let invite = self.fingerprints.transaction(request, &Method::Invite);
        if self.servers.acknowledge(now, &mut self.wire, invite) {
            return;
        }
        if let Some(key) = self.call_of(request, &flow, party) {
            self.on_ack_in_dialog(now, key, request);
        }
    }

    /// Refuses the request of theirs that waits for the call layer, if there is one.
    pub(super) fn refuse_waiting(&mut self, now: Instant, key: u64, status: u16) {
        self.answer_waiting(now, key, status, &[], None);
        self.cancel_call_timer(key, CallTimer::AnswerReinvite);
    }

    /// Sends a provisional or final answer to the request of theirs that waits; a final one is the last.
    pub(super) fn answer_waiting(&mut self, now: Instant, key: u64, status: u16, extra: Extra<'_>, sdp: Option<&str>) {
        let Some(waiting) = self.calls.get_mut(&key).and_then(|call| call.waiting.take()) else {
            return;
        };
        let Waiting {
            transaction,
            request,
            flow,
        } = &waiting;
        let mut writer = begin(&request.message, flow, status, Some(key));
        if status < 300 {
            writer = add_record_route(writer, &request.message);
        }
        writer = add_fields(writer, extra);
        let bytes = match sdp {
            Some(sdp) => writer.body("application/sdp", sdp),
            None => writer.finish(),
        };
        self.servers
            .respond(now, &mut self.wire, *transaction, status, bytes.into());
        if status < 200
            && let Some(call) = self.calls.get_mut(&key)
        {
            call.waiting = Some(waiting);
        }
    }
}

/// What an endpoint can do (section 11.2).
pub(super) const CAPABILITIES: Extra<'static> = &[
    (Name::Allow, ALLOW),
    (Name::Accept, ACCEPT),
    (Name::AcceptEncoding, "identity"),
    (Name::Supported, ""),
];

/// The user part of the Request-URI; `None` when its scheme cannot be called. Empty when there is none.
fn called_number(request: &Checked) -> Option<String> {
    let (_, uri) = request.message.request()?;
    let uri = Uri::parse(uri).ok()?;
    // `sips` demands TLS on every hop (section 26.2.2), and there is none here.
    matches!(uri.scheme(), Scheme::Sip | Scheme::Tel).then(|| printable(&uri.user_decoded().unwrap_or_default()))
}

/// Escapes may stand for control characters, which would write into logs and terminals; they are left out.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// 420 with every option that we do not have; we have none (section 8.2.2.3).
pub(super) fn check_require(request: &Checked) -> Result<(), Refusal> {
    let unknown: Vec<_> = request.message.fields(Name::Require).flat_map(option_tags).collect();
    if unknown.is_empty() {
        Ok(())
    } else {
        Err(Refusal::explained(420, Name::Unsupported, unknown.join(", ")))
    }
}

/// Who claims to call: the network's word where it is believed (RFC 3325), else the caller's own.
fn caller(request: &Checked, trusted: bool) -> Caller {
    let asserted = trusted
        .then(|| {
            request
                .message
                .fields(Name::PAssertedIdentity)
                .flat_map(NameAddrs::new)
                .find_map(Result::ok)
        })
        .flatten();
    let user = |address: NameAddr<'_>| address.uri().user_decoded().map(|user| printable(&user));
    let name = asserted
        .and_then(user)
        .or_else(|| user(request.from()))
        .unwrap_or_default();
    Caller::new(name)
}
