//! Requests inside dialogs (RFC 3261 sections 12.2.2, 14.2 and 15.1.2; RFC 3311; RFC 6086).

use std::time::Instant;

use super::body::{check_body, sdp_of};
use super::incoming::{CAPABILITIES, Refusal, check_require};
use super::receive::Party;
use super::respond::{ALLOW, opening, reply_flow};
use super::{
    CallEvent, CallTimer, EndCause, Endpoint, InfoKind, Phase, REINVITE_LIMIT, ReinviteId, Unacknowledged, Waiting,
};
use crate::secret::Secret;
use crate::telephony::sip::dialog::target_of;
use crate::telephony::sip::message::{Checked, MediaType, Method, Name};
use crate::telephony::sip::transaction::{Fingerprint, Opening};
use crate::telephony::sip::transport::Flow;

/// Bodies of INFO that we understand.
const INFO_ACCEPT: &str = "application/dtmf-relay, application/dtmf";

/// The longest body of INFO that is looked at, in bytes; a key takes thirty.
const MAX_INFO_BYTES: usize = 512;

impl Endpoint {
    pub(super) fn on_request_in_dialog(
        &mut self,
        now: Instant,
        flow: Flow,
        party: Party,
        key: Fingerprint,
        request: Checked,
    ) {
        let Some(call) = self.call_of(&request, &flow, party) else {
            self.refuse(now, flow, key, &request, 481, &[]);
            return;
        };
        if let Err(refusal) = self.check_in_dialog(call, &request) {
            self.refuse_explained(now, flow, key, &request, &refusal);
            return;
        }
        self.follow(call, flow);
        match request.method() {
            Method::Bye => self.on_bye(now, flow, call, key, &request),
            Method::Info => self.on_info(now, flow, call, key, &request),
            Method::Invite | Method::Update => self.on_change(now, flow, call, key, request),
            _ => self.answer_in_dialog(now, flow, key, &request, 200, CAPABILITIES),
        }
    }

    fn check_in_dialog(&mut self, call: u64, request: &Checked) -> Result<(), Refusal> {
        // Whatever becomes of the request, its number is used (section 12.2.2).
        let advances = self
            .calls
            .get_mut(&call)
            .is_some_and(|call| call.dialog.advance_remote(request.cseq.number));
        if !advances {
            return Err(500.into());
        }
        match request.method() {
            Method::Bye | Method::Info | Method::Invite | Method::Update | Method::Options => {}
            method => return Err(Refusal::unserved(method)),
        }
        check_require(request)?;
        if matches!(request.method(), Method::Invite | Method::Update) {
            check_body(request)?;
        }
        Ok(())
    }

    /// The far end may have moved within its trunk (NAT, another connection): requests of ours follow it.
    fn follow(&mut self, key: u64, flow: Flow) {
        if let Some(call) = self.calls.get_mut(&key)
            && call.flow.remote.ip() == flow.remote.ip()
        {
            // Our own address stays what it was: a socket bound to all addresses does not name it each time.
            call.flow = Flow {
                local: call.flow.local,
                ..flow
            };
        }
    }

    fn on_bye(&mut self, now: Instant, flow: Flow, call: u64, key: Fingerprint, request: &Checked) {
        self.answer_in_dialog(now, flow, key, request, 200, &[]);
        self.refuse_waiting(now, call, 487);
        self.finish(
            now,
            call,
            CallEvent::Ended {
                cause: EndCause::RemoteHangUp,
            },
        );
    }

    /// INFO is answered at once: a peer that waits would send the next key late.
    fn on_info(&mut self, now: Instant, flow: Flow, call: u64, key: Fingerprint, request: &Checked) {
        let body = request.message.body();
        if body.is_empty() {
            self.answer_in_dialog(now, flow, key, request, 200, &[]);
            return;
        }
        let media = request
            .message
            .field(Name::ContentType)
            .and_then(|value| MediaType::parse(value).ok());
        let kind = match media {
            Some(media) if media.is("application", "dtmf-relay") => InfoKind::DtmfRelay,
            Some(media) if media.is("application", "dtmf") => InfoKind::Dtmf,
            _ => {
                self.answer_in_dialog(now, flow, key, request, 415, &[(Name::Accept, INFO_ACCEPT)]);
                return;
            }
        };
        match std::str::from_utf8(body) {
            Ok(body) if body.len() <= MAX_INFO_BYTES => {
                let body = Secret::new(body.to_owned());
                self.answer_in_dialog(now, flow, key, request, 200, &[]);
                self.emit(call, CallEvent::Info { kind, body });
            }
            _ => self.answer_in_dialog(now, flow, key, request, 400, &[]),
        }
    }

    /// re-INVITE and UPDATE.
    fn on_change(&mut self, now: Instant, flow: Flow, key: u64, transaction: Fingerprint, request: Checked) {
        let offer = match sdp_of(&request) {
            Ok(offer) => offer,
            Err(refusal) => return self.refuse_explained(now, flow, transaction, &request, &refusal),
        };
        let is_update = *request.method() == Method::Update;
        if is_update && offer.is_none() {
            self.refresh_target(key, &request);
            let contact = self.contact_of(key);
            self.answer_in_dialog(
                now,
                flow,
                transaction,
                &request,
                200,
                &[(Name::Contact, &contact), (Name::Allow, ALLOW)],
            );
            return;
        }
        self.take_as_acknowledged(now, key);
        let Some(call) = self.calls.get(&key) else { return };
        let has_open_offer = call.inviting.is_some() || call.unacknowledged.as_ref().is_some_and(|ok| ok.has_offer);
        if call.phase == Phase::Established && has_open_offer {
            // Glare: an offer of ours is under way (section 14.2, RFC 3311 section 5.2).
            self.refuse(now, flow, transaction, &request, 491, &[]);
            return;
        }
        if call.phase != Phase::Established || call.waiting.is_some() || call.unacknowledged.is_some() {
            let refusal = Refusal::for_now(500, self.retry_seconds());
            self.refuse_explained(now, flow, transaction, &request, &refusal);
            return;
        }
        self.ask_about_change(now, flow, key, transaction, request, offer);
    }

    /// Who sends another INVITE or UPDATE has our 2xx (section 14.1), so its ACK is only late or lost. With a late offer the
    /// ACK holds the answer: there is no way around waiting for it.
    fn take_as_acknowledged(&mut self, now: Instant, key: u64) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let is_answered = |ok: &mut Unacknowledged| call.phase == Phase::Established && !ok.has_offer;
        if call.unacknowledged.take_if(is_answered).is_some() {
            self.on_acknowledged(now, key, None);
        }
    }

    fn ask_about_change(
        &mut self,
        now: Instant,
        flow: Flow,
        key: u64,
        transaction: Fingerprint,
        request: Checked,
        offer: Option<String>,
    ) {
        let Some(reply) = reply_flow(flow, &request.message) else {
            return;
        };
        let id = ReinviteId(request.cseq.number);
        let opening = Opening {
            call: Some(key),
            ..opening(&request, &flow, reply)
        };
        if !self.servers.has_room(opening.bytes()) {
            self.refuse_explained(now, flow, transaction, &request, &Refusal::for_now(503, 2));
            return;
        }
        self.servers.open(now, &mut self.wire, transaction, opening);
        if let Some(call) = self.calls.get_mut(&key) {
            call.waiting = Some(Waiting {
                transaction,
                request,
                flow,
            });
        }
        self.set_call_timer(key, CallTimer::AnswerReinvite, now + REINVITE_LIMIT);
        self.emit(key, CallEvent::Reinvite { id, offer });
    }

    pub(super) fn refresh_target(&mut self, key: u64, message: &Checked) {
        if let Some(call) = self.calls.get_mut(&key) {
            call.dialog.refresh(target_of(message));
        }
    }

    /// The ACK of a 2xx: stops its repetition (section 13.3.1.4). With a late offer it must hold the answer.
    pub(super) fn on_ack_in_dialog(&mut self, now: Instant, key: u64, request: &Checked) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let is_expected = call
            .unacknowledged
            .as_ref()
            .is_some_and(|ok| ok.cseq == request.cseq.number);
        let Some(Unacknowledged { has_offer, .. }) = call.unacknowledged.take_if(|_| is_expected) else {
            return;
        };
        let sdp = sdp_of(request).ok().flatten();
        if has_offer && sdp.is_none() && call.phase != Phase::HangingUp {
            self.stop_repeating(key);
            self.hang_up_with(now, key, EndCause::NoSdpAnswer);
            return;
        }
        self.on_acknowledged(now, key, sdp);
    }

    fn on_acknowledged(&mut self, now: Instant, key: u64, sdp: Option<String>) {
        self.stop_repeating(key);
        if self.calls.get(&key).is_some_and(|call| call.phase == Phase::HangingUp) {
            self.hang_up_with(now, key, EndCause::LocalHangUp);
            return;
        }
        self.emit(key, CallEvent::Acknowledged { sdp });
    }

    fn stop_repeating(&mut self, key: u64) {
        self.cancel_call_timer(key, CallTimer::ResendOk);
        self.cancel_call_timer(key, CallTimer::AwaitAck);
    }
}
