//! A flow without a telephone: prompts as text, keys as typed, operations by the real services.
//!
//! Time is invented. Prompts are heard to their end at once; silence jumps to the next time-out.

use std::sync::Arc;
use std::time::Instant;

use super::operations::{Conversation, Readback};
use super::session::word_of;
use super::voice::{Labels, Slots, Voice};
use crate::dialplan::operation::Operation;
use crate::dialplan::{Flow, Input, Interpreter, Output, TransferOutcome};
use crate::digit::Digits;
use crate::secret::Secret;
use crate::service::{Arrival, Services};
use crate::speech::{Language, SpeakError, Speech};
use crate::time::monotonic;

/// Something to show.
#[derive(Debug)]
pub enum Shown {
    /// The flow is in this step now.
    Step(String),
    /// This is said.
    Says(String),
    /// An operation came to this outcome.
    Did {
        /// Which one.
        operation: &'static str,
        /// Its outcome, or `error`.
        outcome: String,
    },
    /// A password was proposed.
    Proposed(Secret),
    /// The flow wants to hand the call over, which a terminal cannot.
    Transfer(String),
    /// The flow is over, for this reason.
    Ended(String),
}

/// One simulated call.
pub struct Simulator {
    interpreter: Interpreter,
    conversation: Conversation,
    voice: Arc<Voice>,
    slots: Slots,
    now: Instant,
}

impl Simulator {
    /// A call that has just been answered.
    ///
    /// # Errors
    /// When there are no prompts in the language.
    pub fn new(
        flow: Arc<Flow>,
        services: Services,
        arrival: Arrival,
        (speech, language, labels): (&Speech, &Language, Labels),
        readback: Readback,
    ) -> Result<Self, SpeakError> {
        let voice = Arc::new(Voice::new(speech, language, labels)?);
        let conversation = Conversation::new(services, arrival, Arc::clone(&voice), readback);
        let mut interpreter = Interpreter::new(flow);
        let now = monotonic();
        interpreter.handle(now, Input::Established);
        Ok(Self {
            interpreter,
            conversation,
            voice,
            slots: Slots::default(),
            now,
        })
    }

    /// Goes on until the flow waits for the caller, or is over.
    pub async fn advance(&mut self) -> Vec<Shown> {
        let mut shown = Vec::new();
        while let Some(output) = self.interpreter.poll_output() {
            match output {
                Output::Entered(step) => shown.push(Shown::Step(step.to_string())),
                Output::Play { id, items, .. } => {
                    let said = self.voice.transcript(&items, &self.slots);
                    shown.extend(said.into_iter().map(Shown::Says));
                    self.tell(Input::PlaybackFinished(id));
                }
                Output::StopPlaying => {}
                Output::Invoke { id, operation, digits } => {
                    let input = match self.conversation.perform(operation, digits).await {
                        Ok(done) => {
                            shown.push(Shown::Did {
                                operation: operation.name(),
                                outcome: done.outcome.to_string(),
                            });
                            self.slots.merge(done.slots);
                            Input::OperationDone {
                                invocation: id,
                                outcome: done.outcome,
                            }
                        }
                        Err(error) => {
                            shown.push(Shown::Did {
                                operation: operation.name(),
                                outcome: format!("error: {error}"),
                            });
                            Input::OperationFailed(id)
                        }
                    };
                    if operation == Operation::ProposePassword
                        && let Some(password) = self.conversation.proposed()
                    {
                        shown.push(Shown::Proposed(password.clone()));
                    }
                    self.tell(input);
                }
                Output::Transfer(destination) => {
                    shown.push(Shown::Transfer(destination.to_string()));
                    self.tell(Input::TransferDone(TransferOutcome::Failed));
                }
                Output::Ended(end) => shown.push(Shown::Ended(format!("{} in {}", word_of(end.reason), end.step))),
            }
        }
        shown
    }

    /// Keys, one after the other.
    pub fn press(&mut self, keys: &Digits) {
        for &key in keys.expose() {
            self.tell(Input::Digit(key));
        }
    }

    /// Nothing, until the next time-out.
    pub fn be_silent(&mut self) {
        if let Some(deadline) = self.interpreter.next_deadline() {
            self.now = self.now.max(deadline);
            self.tell(Input::Deadline);
        }
    }

    /// The caller hangs up.
    pub fn hang_up(&mut self) {
        self.tell(Input::HungUp);
    }

    /// Whether the flow is over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.interpreter.has_ended()
    }

    /// Ends what the call has begun.
    pub async fn close(self) {
        if let Some(visit) = self.conversation.known().visit.get()
            && let Err(error) = visit.end().await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "the visit ends by time only");
        }
    }

    fn tell(&mut self, input: Input) {
        self.interpreter.handle(self.now, input);
    }
}
