//! What the call layer wants of a call. A command that comes too late (the caller has just hung up) is ignored: the
//! event that tells why is already on its way.

use std::sync::Arc;
use std::time::Instant;

use super::body::has_sdp;
use super::incoming::Refusal;
use super::respond::{ALLOW, add_fields, add_record_route, begin, reply_flow};
use super::{CallEvent, CallTimer, Command, EndCause, Endpoint, Phase, REMOTE_RING_LIMIT, ReinviteId, Unacknowledged};
use crate::secret::Secret;
use crate::telephony::sip::dialog::target_of;
use crate::telephony::sip::message::{Method, Name};
use crate::telephony::sip::timer::{T1, T1_64};

impl Endpoint {
    pub(super) fn on_command(&mut self, now: Instant, key: u64, command: Command) {
        let Some(phase) = self.calls.get(&key).map(|call| call.phase) else {
            return;
        };
        match (command, phase) {
            (Command::Ring, Phase::Ringing) => self.ring(now, key),
            (Command::Answer(sdp), Phase::Ringing) => self.answer(now, key, &sdp),
            (Command::Reject { status, retry_after }, Phase::Ringing) => self.reject(now, key, status, retry_after),
            (Command::HangUp, _) => self.hang_up(now, key, phase),
            (Command::Info { content_type, body }, Phase::Established) => {
                self.send_info(now, key, &content_type, &body)
            }
            (Command::Reinvite(sdp), Phase::Established) => self.reinvite(now, key, sdp),
            (Command::AnswerReinvite(id, sdp), Phase::Established) if self.awaits(key, id) => {
                self.answer(now, key, &sdp);
                self.emit(key, CallEvent::ReinviteAccepted);
            }
            (Command::RejectReinvite(id, status), Phase::Established) if self.awaits(key, id) => {
                self.refuse_waiting(now, key, status.clamp(300, 699));
            }
            _ => {}
        }
    }

    fn awaits(&self, key: u64, ReinviteId(number): ReinviteId) -> bool {
        let waiting = self.calls.get(&key).and_then(|call| call.waiting.as_ref());
        waiting.is_some_and(|waiting| waiting.request.cseq.number == number)
    }

    fn ring(&mut self, now: Instant, key: u64) {
        let contact = self.contact_of(key);
        self.answer_waiting(now, key, 180, &[(Name::Contact, &contact)], None);
    }

    fn reject(&mut self, now: Instant, key: u64, status: u16, retry_after: Option<u32>) {
        let status = status.clamp(300, 699);
        let refusal = retry_after.map_or(status.into(), |seconds| Refusal::for_now(status, seconds));
        self.answer_waiting(now, key, status, refusal.extra().as_slice(), None);
        self.finish(
            now,
            key,
            CallEvent::Ended {
                cause: EndCause::LocalHangUp,
            },
        );
    }

    /// 200 to INVITE, re-INVITE or UPDATE.
    fn answer(&mut self, now: Instant, key: u64, sdp: &str) {
        let contact = self.contact_of(key);
        let Some(call) = self.calls.get_mut(&key) else { return };
        let Some(waiting) = call.waiting.take() else { return };
        let request = &waiting.request;
        call.dialog.refresh(target_of(request));
        call.phase = Phase::Established;
        let mut writer = begin(&request.message, &waiting.flow, 200, Some(key));
        writer = add_record_route(writer, &request.message);
        writer = add_fields(writer, &[(Name::Contact, &contact), (Name::Allow, ALLOW)]);
        let bytes: Arc<[u8]> = writer.body("application/sdp", sdp).into();
        if *request.method() == Method::Invite {
            // The transaction is over with the 2xx: repeating it until the ACK is up to us (section 13.3.1.4).
            let flow = reply_flow(waiting.flow, &request.message).unwrap_or(waiting.flow);
            call.unacknowledged = Some(Unacknowledged {
                cseq: request.cseq.number,
                flow,
                bytes: Arc::clone(&bytes),
                interval: T1,
                has_offer: !has_sdp(request),
            });
            self.set_call_timer(key, CallTimer::ResendOk, now + T1);
            self.set_call_timer(key, CallTimer::AwaitAck, now + T1_64);
        }
        self.cancel_call_timer(key, CallTimer::Setup);
        self.cancel_call_timer(key, CallTimer::AnswerReinvite);
        self.servers
            .respond(now, &mut self.wire, waiting.transaction, 200, bytes);
    }

    fn hang_up(&mut self, now: Instant, key: u64, phase: Phase) {
        match phase {
            Phase::Ringing => self.reject(now, key, 480, None),
            Phase::Established => {
                self.refuse_waiting(now, key, 487);
                let waits_for_ack = self.calls.get(&key).is_some_and(|call| call.unacknowledged.is_some());
                match self.calls.get_mut(&key) {
                    Some(call) if waits_for_ack => call.phase = Phase::HangingUp,
                    _ => self.hang_up_with(now, key, EndCause::LocalHangUp),
                }
            }
            Phase::Calling => {
                if let Some(call) = self.calls.get_mut(&key) {
                    call.phase = Phase::Cancelling;
                }
                self.cancel(now, key);
            }
            Phase::Cancelling | Phase::HangingUp => {}
        }
    }

    /// Sends CANCEL as soon as the far end has shown a sign of life (section 9.1), and waits no longer than 64*T1 for
    /// the final answer.
    pub(super) fn cancel(&mut self, now: Instant, key: u64) {
        let branch = self.calls.get(&key).and_then(|call| call.inviting);
        if let Some(branch) = branch
            && self.clients.cancel(now, &mut self.wire, branch)
        {
            self.set_call_timer(key, CallTimer::Cancelled, now + T1_64);
        }
    }

    /// BYE, and the end of the call.
    pub(super) fn hang_up_with(&mut self, now: Instant, key: u64, cause: EndCause) {
        self.send_in_dialog(now, key, &Method::Bye, |writer| writer.finish());
        self.finish(now, key, CallEvent::Ended { cause });
    }

    fn send_info(&mut self, now: Instant, key: u64, content_type: &str, body: &Secret) {
        self.send_in_dialog(now, key, &Method::Info, |writer| {
            writer.body(content_type, body.expose())
        });
    }

    pub(super) fn reinvite(&mut self, now: Instant, key: u64, sdp: String) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        if call.inviting.is_some() || call.waiting.is_some() || call.unacknowledged.is_some() {
            // As if the far end had said so: it has an offer under way, or we have.
            self.emit(key, CallEvent::ReinviteRejected { status: 491 });
            return;
        }
        let flow = call.flow;
        let contact = self.contact(&flow);
        let branch = self.send_in_dialog(now, key, &Method::Invite, |writer| {
            let writer = add_fields(writer, &[(Name::Contact, &contact), (Name::Allow, ALLOW)]);
            writer.body("application/sdp", &sdp)
        });
        if let Some(call) = self.calls.get_mut(&key) {
            call.inviting = branch;
            call.offer = Some(sdp);
        }
        self.set_call_timer(key, CallTimer::Setup, now + REMOTE_RING_LIMIT);
    }

    /// The value of Contact in a call.
    pub(super) fn contact_of(&self, key: u64) -> String {
        self.calls
            .get(&key)
            .map(|call| self.contact(&call.flow))
            .unwrap_or_default()
    }
}
