//! Timers that have run out.

use std::sync::Arc;
use std::time::Instant;

use super::{CallEvent, CallTimer, EndCause, Endpoint, Phase};
use crate::telephony::sip::timer::T2;
use crate::telephony::sip::transaction::Timer;

impl Endpoint {
    pub(super) fn run_timers(&mut self, now: Instant) {
        while let Some(timer) = self.wire.timers.pop_due(now) {
            match timer {
                Timer::Server(key, timer) => self.servers.on_timer(now, &mut self.wire, key, timer),
                Timer::Client(branch, timer) => {
                    if let Some(outgoing) = self.clients.on_timer(now, &mut self.wire, branch, timer) {
                        self.on_request_failed(now, &outgoing, 408);
                    }
                }
                Timer::Call(key, timer) => self.on_call_timer(now, key, timer),
            }
        }
    }

    fn on_call_timer(&mut self, now: Instant, key: u64, timer: CallTimer) {
        let Some(phase) = self.calls.get(&key).map(|call| call.phase) else {
            return;
        };
        match timer {
            CallTimer::ResendOk => self.resend_ok(now, key),
            // No ACK in 64*T1: the session is ended with BYE (section 13.3.1.4).
            CallTimer::AwaitAck if phase == Phase::HangingUp => self.hang_up_with(now, key, EndCause::LocalHangUp),
            CallTimer::AwaitAck => self.hang_up_with(now, key, EndCause::NoAcknowledgement),
            CallTimer::Setup if phase == Phase::Ringing => {
                self.answer_waiting(now, key, 480, &[], None);
                self.finish(
                    now,
                    key,
                    CallEvent::Ended {
                        cause: EndCause::NotAnswered,
                    },
                );
            }
            CallTimer::Setup => self.give_up_inviting(now, key, phase),
            CallTimer::AnswerReinvite => {
                self.refuse_waiting(now, key, 500);
                self.emit(key, CallEvent::ReinviteCancelled);
            }
            CallTimer::RetryReinvite => {
                let offer = self.calls.get_mut(&key).and_then(|call| call.offer.take());
                if let Some(offer) = offer {
                    self.reinvite(now, key, offer);
                }
            }
            CallTimer::Cancelled => self.finish(
                now,
                key,
                CallEvent::Ended {
                    cause: EndCause::LocalHangUp,
                },
            ),
        }
    }

    /// Over every transport, since a proxy behind it may use datagrams.
    fn resend_ok(&mut self, now: Instant, key: u64) {
        let Some(ok) = self.calls.get_mut(&key).and_then(|call| call.unacknowledged.as_mut()) else {
            return;
        };
        ok.interval = (ok.interval * 2).min(T2);
        let (flow, bytes, interval) = (ok.flow, Arc::clone(&ok.bytes), ok.interval);
        self.wire.send(flow, bytes);
        self.set_call_timer(key, CallTimer::ResendOk, now + interval);
    }
}
