//! Requests of ours and their answers (RFC 3261 sections 8.1, 13.2, 12.2.1 and 22).

use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt as _;

use super::body::sdp_of;
use super::respond::{ALLOW, add_fields};
use super::way::{Prepared, Stream};
use super::{Call, CallEvent, CallKey, CallTimer, EndCause, Endpoint, Guest, OutgoingInvite, Phase, REMOTE_RING_LIMIT};
use crate::telephony::sip::dialog::Dialog;
use crate::telephony::sip::message::{Checked, Method, Name, Writer};
use crate::telephony::sip::timer::T1_64;
use crate::telephony::sip::transaction::{Clients, Delivery, Outgoing};
use crate::telephony::sip::transport::Flow;

impl Endpoint {
    /// Places a call. `None` when there are as many calls as there may be.
    pub fn invite(&mut self, now: Instant, invite: OutgoingInvite) -> Option<CallKey> {
        if self.calls.len() >= self.config.max_calls {
            return None;
        }
        let key = self.new_key();
        let call_id = format!("{:016x}{:016x}", self.new_key(), self.new_key());
        let dialog = Dialog::to_invite(call_id, &format!("<{}>", invite.caller), &invite.target, key);
        let call = Call {
            offer: Some(invite.sdp),
            credentials: invite.credentials,
            ..Call::new(now, dialog, Phase::Calling, invite.flow)
        };
        self.calls.insert(key, call);
        self.guests
            .entry(invite.flow.remote.ip())
            .or_insert(Guest { calls: 0, until: now })
            .calls += 1;
        self.send_first_invite(now, key);
        Some(CallKey(key))
    }

    fn send_first_invite(&mut self, now: Instant, key: u64) {
        let Some(call) = self.calls.get(&key) else { return };
        let contact = self.contact(&call.flow);
        let sdp = call.offer.clone().unwrap_or_default();
        let branch = self.send_in_dialog(now, key, &Method::Invite, |writer| {
            let writer = add_fields(writer, &[(Name::Contact, &contact), (Name::Allow, ALLOW)]);
            writer.body("application/sdp", &sdp)
        });
        if let Some(call) = self.calls.get_mut(&key) {
            call.inviting = branch;
        }
    }

    /// Sends a request inside the dialog of a call; returns its branch.
    pub(super) fn send_in_dialog(
        &mut self,
        now: Instant,
        key: u64,
        method: &Method,
        complete: impl Fn(Writer) -> Vec<u8>,
    ) -> Option<u64> {
        let branch = self.new_key();
        let way = self.next_way(key)?;
        let number = self.calls.get_mut(&key)?.dialog.next_cseq();
        let call = self.calls.get(&key)?;
        let render = |flow: &Flow| Some(complete(call.dialog.request(method, number, &self.via(flow, branch))));
        let Prepared { flow, bytes, retreat } = Self::prepare(way, call.stream, render)?;
        let outgoing = Outgoing {
            method: method.clone(),
            bytes,
            flow,
            retreat,
            call: key,
            credentials: call.credentials.clone(),
        };
        self.clients.start(now, &mut self.wire, branch, outgoing);
        Some(branch)
    }

    pub(super) fn on_response(&mut self, now: Instant, response: &Checked) {
        // One Via is left when an answer is ours (section 8.1.3.3).
        let Some(branch) = Clients::key_of(response).filter(|_| response.message.fields(Name::Via).count() == 1) else {
            return;
        };
        let Some((delivery, outgoing)) = self.clients.on_response(now, &mut self.wire, branch, response) else {
            return;
        };
        let Some(status) = response.message.status() else {
            return;
        };
        if outgoing.retreat.is_some()
            && let Some(call) = self.calls.get_mut(&outgoing.call)
        {
            call.stream = Stream::Works;
        }
        if matches!(status, 401 | 407) && self.answer_challenge(now, &outgoing, status, response) {
            return;
        }
        let Some(call) = self.calls.get(&outgoing.call) else {
            return;
        };
        let is_first = matches!(call.phase, Phase::Calling | Phase::Cancelling);
        match (&outgoing.method, delivery) {
            (Method::Invite, Delivery::Again) => self.on_repeated_ok(now, &outgoing, response),
            (Method::Invite, Delivery::News) if is_first => {
                self.on_first_invite_answered(now, outgoing.call, status, response)
            }
            (Method::Invite, Delivery::News) => self.on_reinvite_answered(now, outgoing.call, status, response),
            // The far end does not know the dialog any more (section 12.2.1.2).
            (Method::Info | Method::Options, Delivery::News) if matches!(status, 408 | 481) => {
                self.hang_up_with(now, outgoing.call, EndCause::Lost);
            }
            _ => {}
        }
    }

    fn on_first_invite_answered(&mut self, now: Instant, key: u64, status: u16, response: &Checked) {
        match status {
            100..=199 => self.on_progress(now, key, status, response),
            200..=299 => self.on_answered(now, key, response),
            _ => self.finish(now, key, CallEvent::Rejected { status }),
        }
    }

    fn on_progress(&mut self, now: Instant, key: u64, status: u16, response: &Checked) {
        let phase = self.calls.get(&key).map(|call| call.phase);
        if phase == Some(Phase::Cancelling) {
            self.cancel(now, key);
            return;
        }
        self.set_call_timer(key, CallTimer::Setup, now + REMOTE_RING_LIMIT);
        match sdp_of(response) {
            Ok(Some(sdp)) => self.emit(key, CallEvent::EarlyMedia { sdp }),
            _ if status == 180 => self.emit(key, CallEvent::Ringing),
            _ => {}
        }
    }

    fn on_answered(&mut self, now: Instant, key: u64, response: &Checked) {
        let Some(call) = self.calls.get_mut(&key) else { return };
        let unwanted = call.phase == Phase::Cancelling;
        call.dialog.establish(response);
        call.phase = Phase::Established;
        (call.inviting, call.offer) = (None, None);
        self.cancel_call_timer(key, CallTimer::Setup);
        self.cancel_call_timer(key, CallTimer::Cancelled);
        self.acknowledge(key, response);
        if unwanted {
            // The answer crossed our CANCEL.
            self.hang_up_with(now, key, EndCause::LocalHangUp);
            return;
        }
        let sdp = sdp_of(response).ok().flatten();
        self.emit(key, CallEvent::Answered { sdp });
    }

    /// ACK for a 2xx: a transaction of its own, never answered, with the CSeq number of the INVITE (section 13.2.2.4).
    fn acknowledge(&mut self, key: u64, response: &Checked) {
        let branch = self.new_key();
        let (Some(way), Some(call)) = (self.next_way(key), self.calls.get(&key)) else {
            return;
        };
        // Nobody would tell that it did not arrive, so a connection is no place to try.
        let stream = match call.stream {
            Stream::Works => Stream::Works,
            Stream::Untried | Stream::Refused => Stream::Refused,
        };
        let number = response.cseq.number;
        let render = |flow: &Flow| {
            let via = self.via(flow, branch);
            Some(call.dialog.request(&Method::Ack, number, &via).finish())
        };
        let Some(Prepared { flow, bytes, .. }) = Self::prepare(way, stream, render) else {
            return;
        };
        if let Some(call) = self.calls.get_mut(&key) {
            call.last_ack = Some((flow, Arc::clone(&bytes)));
        }
        self.wire.send(flow, bytes);
    }

    /// A 2xx again: its ACK was lost. Or a 2xx from another branch of a fork, which is acknowledged and hung up.
    fn on_repeated_ok(&mut self, now: Instant, outgoing: &Outgoing, response: &Checked) {
        let Some(call) = self.calls.get(&outgoing.call) else {
            return;
        };
        if call.dialog.remote_tag() == response.to().tag() {
            if let Some((flow, bytes)) = &call.last_ack {
                self.wire.send(*flow, Arc::clone(bytes));
            }
            return;
        }
        let mut dialog = Dialog::to_invite(response.call_id().to_owned(), "", "", outgoing.call);
        dialog.establish_fork(response);
        for method in [Method::Ack, Method::Bye] {
            let branch = self.new_key();
            let via = self.via(&outgoing.flow, branch);
            let number = response.cseq.number + u32::from(method == Method::Bye);
            let bytes: Arc<[u8]> = dialog.request(&method, number, &via).finish().into();
            if method == Method::Ack {
                self.wire.send(outgoing.flow, bytes);
            } else {
                let bye = Outgoing {
                    method,
                    bytes,
                    flow: outgoing.flow,
                    retreat: None,
                    call: outgoing.call,
                    credentials: None,
                };
                self.clients.start(now, &mut self.wire, branch, bye);
            }
        }
    }

    fn on_reinvite_answered(&mut self, now: Instant, key: u64, status: u16, response: &Checked) {
        if status < 200 {
            return;
        }
        let Some(call) = self.calls.get_mut(&key) else { return };
        call.inviting = None;
        self.cancel_call_timer(key, CallTimer::Setup);
        match status {
            200..=299 => {
                self.refresh_target(key, response);
                self.acknowledge(key, response);
                if let Some(call) = self.calls.get_mut(&key) {
                    call.offer = None;
                }
                let sdp = sdp_of(response).ok().flatten();
                self.emit(key, CallEvent::ReinviteAnswered { sdp });
            }
            491 => self.retry_after_glare(now, key),
            408 | 481 => self.hang_up_with(now, key, EndCause::Lost),
            _ => self.emit(key, CallEvent::ReinviteRejected { status }),
        }
    }

    /// The owner of the Call-ID waits longer, so that the two sides do not collide again (section 14.1).
    fn retry_after_glare(&mut self, now: Instant, key: u64) {
        let is_owner = self.calls.get(&key).is_some_and(|call| call.trunk.is_none());
        let steps = if is_owner {
            self.rng.random_range(210..=400)
        } else {
            self.rng.random_range(0..=200)
        };
        self.set_call_timer(key, CallTimer::RetryReinvite, now + Duration::from_millis(10 * steps));
    }

    /// Nobody answered a request, or it could not be sent.
    pub(super) fn on_request_failed(&mut self, now: Instant, outgoing: &Outgoing, status: u16) {
        let Some(phase) = self.calls.get(&outgoing.call).map(|call| call.phase) else {
            return;
        };
        match (&outgoing.method, phase) {
            (Method::Invite, Phase::Calling) => self.finish(now, outgoing.call, CallEvent::Rejected { status }),
            (Method::Invite, Phase::Cancelling) => {
                self.finish(
                    now,
                    outgoing.call,
                    CallEvent::Ended {
                        cause: EndCause::LocalHangUp,
                    },
                );
            }
            (Method::Invite | Method::Info | Method::Options, Phase::Established) => {
                self.hang_up_with(now, outgoing.call, EndCause::Lost);
            }
            _ => {}
        }
    }

    /// An INVITE of ours rang too long, or its cancellation was never confirmed.
    pub(super) fn give_up_inviting(&mut self, now: Instant, key: u64, phase: Phase) {
        match phase {
            Phase::Calling => {
                if let Some(call) = self.calls.get_mut(&key) {
                    call.phase = Phase::Cancelling;
                }
                self.set_call_timer(key, CallTimer::Cancelled, now + T1_64);
                self.cancel(now, key);
            }
            Phase::Established => self.hang_up_with(now, key, EndCause::Lost),
            Phase::Ringing | Phase::Cancelling | Phase::HangingUp => {}
        }
    }
}
