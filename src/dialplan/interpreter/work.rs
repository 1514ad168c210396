//! Operations and transfers: begun, waited for, given up.

use std::sync::Arc;
use std::time::Instant;

use super::super::model::{Action, Invocation};
use super::super::operation::Outcome;
use super::{EndReason, Interpreter, InvocationId, Output, Phase, TransferOutcome};

impl Interpreter {
    pub(super) fn invoke(&mut self, now: Instant, invocation: &Invocation) {
        let digits = invocation.digits.and_then(|step| self.entries.remove(&step));
        if invocation.digits.is_some() && digits.is_none() {
            // The checker excludes this; an operation is never asked to work on nothing.
            self.next = Some(invocation.error);
            return;
        }
        let id = InvocationId(self.next_id());
        self.phase = Phase::Working(id);
        self.timers.step = Some(now + invocation.timeout);
        self.timers.comfort = invocation.while_waiting.as_ref().map(|waiting| now + waiting.after);
        self.outputs.push_back(Output::Invoke {
            id,
            operation: invocation.operation,
            digits,
        });
    }

    /// `None`: it broke down or took too long. Answers of earlier invocations are too late and ignored.
    pub(super) fn operation_done(&mut self, id: InvocationId, outcome: Option<Outcome>) {
        let Action::Operation(invocation) = &self.flow.step(self.step).action else {
            return;
        };
        if !matches!(self.phase, Phase::Working(current) if current == id) {
            return;
        }
        let target = outcome
            .and_then(|outcome| invocation.outcomes.get(&outcome))
            .unwrap_or(&invocation.error);
        self.next = Some(*target);
    }

    pub(super) fn comfort(&mut self) {
        let flow = Arc::clone(&self.flow);
        let Action::Operation(invocation) = &flow.step(self.step).action else {
            return;
        };
        if let Some(waiting) = &invocation.while_waiting {
            // Keys are typed ahead meanwhile; they do not silence it, it is short.
            self.play(Arc::clone(&waiting.items), false);
        }
    }

    pub(super) fn comfort_again(&mut self, now: Instant) {
        if let Action::Operation(invocation) = &self.flow.step(self.step).action {
            self.timers.comfort = invocation.while_waiting.as_ref().map(|waiting| now + waiting.every);
        }
    }

    pub(super) fn transfer_after_speech(&mut self, now: Instant) {
        let flow = Arc::clone(&self.flow);
        let Action::Transfer(transfer) = &flow.step(self.step).action else {
            return;
        };
        if self.playing.is_none() {
            self.phase = Phase::Transferring;
            self.timers.step = Some(now + transfer.timeout);
            self.outputs.push_back(Output::Transfer(transfer.to.clone()));
        }
    }

    pub(super) fn transfer_done(&mut self, outcome: TransferOutcome) {
        let Action::Transfer(transfer) = &self.flow.step(self.step).action else {
            return;
        };
        if !matches!(self.phase, Phase::Transferring) {
            return;
        }
        self.next = Some(match outcome {
            TransferOutcome::Connected => return self.end(EndReason::Transferred),
            TransferOutcome::Busy => transfer.busy,
            TransferOutcome::NoAnswer => transfer.no_answer,
            TransferOutcome::Closed => transfer.closed,
            TransferOutcome::Failed => transfer.failed,
        });
    }
}
