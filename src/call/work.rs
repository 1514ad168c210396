//! The operation that a call is waiting for: begun, carried out beside the call's loop, told to the flow.

use std::future::pending;
use std::pin::Pin;
use std::time::Instant;

use super::metrics::Metrics;
use super::operations::{Conversation, Done, OperationError};
use super::voice::Slots;
use crate::dialplan::operation::{Operation, Slot};
use crate::dialplan::{Input, InvocationId};
use crate::digit::Digits;
use crate::time::monotonic;

/// What a call knows, and the operation that has it at the moment.
pub(super) struct Work {
    /// `None` while an operation has it.
    conversation: Option<Box<Conversation>>,
    working: Option<Working>,
    /// What was found out, ready to be spoken.
    pub(super) slots: Slots,
    metrics: Metrics,
}

/// The conversation comes back from an operation with its result.
type Worked = (Box<Conversation>, Result<Done, OperationError>);

struct Working {
    id: InvocationId,
    operation: Operation,
    since: Instant,
    work: Pin<Box<dyn Future<Output = Worked> + Send>>,
}

impl Work {
    pub(super) fn new(conversation: Conversation, metrics: Metrics) -> Self {
        Self {
            conversation: Some(Box::new(conversation)),
            working: None,
            slots: Slots::default(),
            metrics,
        }
    }

    /// Begins an operation. What comes back has to be told to the flow.
    #[must_use]
    pub(super) fn begin(&mut self, id: InvocationId, operation: Operation, digits: Option<Digits>) -> Option<Input> {
        let Some(mut conversation) = self.conversation.take() else {
            // One operation at a time; the interpreter waits for each.
            return Some(Input::OperationFailed(id));
        };
        let work = Box::pin(async move {
            let result = conversation.perform(operation, digits).await;
            (conversation, result)
        });
        self.working = Some(Working {
            id,
            operation,
            since: monotonic(),
            work,
        });
        None
    }

    /// Waits for the end of the operation, for ever if there is none; gives what to tell the flow. May be dropped and called
    /// again.
    pub(super) async fn done(&mut self) -> Input {
        let Some(working) = &mut self.working else {
            return pending().await;
        };
        let (conversation, result) = working.work.as_mut().await;
        let (id, operation, since) = (working.id, working.operation, working.since);
        self.working = None;
        self.conversation = Some(conversation);
        let took = monotonic().saturating_duration_since(since);
        match result {
            Ok(Done { outcome, slots }) => {
                tracing::info!(%operation, %outcome, took_ms = took.as_millis(), "operation");
                self.metrics.operation_done(operation.name(), outcome.name(), took);
                if matches!(operation, Operation::Reset) {
                    // What was spelled is live now; it cannot be heard again.
                    self.slots.clear(Slot::Password);
                }
                self.slots.merge(slots);
                Input::OperationDone {
                    invocation: id,
                    outcome,
                }
            }
            Err(error) => {
                tracing::error!(%operation, error = &error as &dyn std::error::Error, "operation failed");
                self.metrics.operation_done(operation.name(), "error", took);
                Input::OperationFailed(id)
            }
        }
    }
}
