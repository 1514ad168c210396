//! What goes into the interpreter and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use crate::digit::{Digit, Digits};

use super::super::model::PlayItem;
use super::super::name::{DestinationName, StepName};
use super::super::operation::{Operation, Outcome, Privacy};

/// Something that happened.
#[derive(Debug)]
pub enum Input {
    /// The call is answered and audio flows.
    Established,
    /// A key, counted once however it arrived.
    Digit(Digit),
    /// A recognizer of the far end has heard something that is no key: taken like a wrong one.
    NoMatch,
    /// A playback was heard to its end. Never sent for one that was stopped.
    PlaybackFinished(PlaybackId),
    /// An operation ended.
    OperationDone {
        /// Which one.
        invocation: InvocationId,
        /// How.
        outcome: Outcome,
    },
    /// An operation broke down (database gone, no answer from inside): taken like a time-out.
    OperationFailed(InvocationId),
    /// The transfer was tried.
    TransferDone(TransferOutcome),
    /// [`super::Interpreter::next_deadline`] has come. Too early does no harm.
    Deadline,
    /// The far end put us on hold: time-outs stand still, nothing is spoken.
    Held,
    /// Back from hold: what was interrupted is spoken again.
    Resumed,
    /// The far end is gone. Everything ends at once.
    HungUp,
}

/// How a transfer ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransferOutcome {
    /// The other side has the call; the flow is over.
    Connected,
    /// The other side is busy.
    Busy,
    /// Nobody picked up.
    NoAnswer,
    /// The destination is not open now.
    Closed,
    /// Refused, unreachable, or not understood.
    Failed,
}

/// Something to do.
#[derive(Debug)]
pub enum Output {
    /// The call is in this step now; for the live list and the call record.
    Entered(StepName),
    /// Speak this; it takes the place of anything that is being spoken.
    Play {
        /// For [`Input::PlaybackFinished`].
        id: PlaybackId,
        /// In this order.
        items: Arc<[PlayItem]>,
        /// Whether the media session may silence it by itself on the first key (the interpreter assumes so).
        barge_in: bool,
        /// The strictest need of any item.
        privacy: Privacy,
    },
    /// Be silent.
    StopPlaying,
    /// Do this and tell how it ended.
    Invoke {
        /// For [`Input::OperationDone`].
        id: InvocationId,
        /// What to do.
        operation: Operation,
        /// What the caller keyed for it; handed over, not kept.
        digits: Option<Digits>,
    },
    /// Hand the call over and tell how it went with [`Input::TransferDone`].
    Transfer(DestinationName),
    /// The flow is over; the last output. The driver hangs up unless the call is already gone.
    Ended(End),
}

/// What the present question waits for, for a far end that collects keys by itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Awaited {
    /// So many keys end the entry by themselves.
    pub most: usize,
    /// Ends the entry.
    pub finish_on_key: Option<Digit>,
    /// How long to wait for a first key, or for the next one if the entry has begun.
    pub first: Duration,
    /// How long to wait for each of the others.
    pub between: Duration,
    /// Whether some of the entry is here already: silence ends it.
    pub has_begun: bool,
}

/// How a flow ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct End {
    /// Why.
    pub reason: EndReason,
    /// In which step.
    pub step: StepName,
}

/// Why a flow ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// A hangup step was reached.
    Completed,
    /// The caller hung up.
    CallerHungUp,
    /// The call was handed over.
    Transferred,
    /// The call was longer than the flow allows.
    TooLong,
    /// The call took more steps than the flow allows.
    TooManySteps,
}

impl EndReason {
    /// Whether the far end is still there, so that the driver has to hang up.
    #[must_use]
    pub fn needs_bye(self) -> bool {
        matches!(self, Self::Completed | Self::TooLong | Self::TooManySteps)
    }
}

/// Names one [`Output::Play`] of a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PlaybackId(pub(super) u32);

/// Names one [`Output::Invoke`] of a call.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct InvocationId(pub(super) u32);
