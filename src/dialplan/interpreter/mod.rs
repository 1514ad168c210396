//! Carries out a flow for one call, without any I/O: [`Interpreter::handle`] takes what happened,
//! [`Interpreter::poll_output`] gives what to do, [`Interpreter::next_deadline`] says when to come back at the latest.
//!
//! ```text
//!  Established ─> enter step ─┬─ play      ──(heard, or silenced by a key)──────────────┐
//!                     ^       ├─ menu      ──(key)── noinput / nomatch: reprompt, then ─┤
//!                     │       ├─ collect   ──(digits, finish key, pause)── same ────────┤
//!                     │       ├─ operation ──(outcome, error, time-out)─────────────────┤
//!                     │       ├─ transfer  ──(busy, no answer, ...)─────────────────────┤
//!                     │       └─ hangup    ── Ended                                     │
//!                     └──────────────────────────────────────────────────────────────<──┘
//! ```
//!
//! Rules that callers notice:
//! - A key during speech with barge-in silences it and counts for the question, or for the next question if the step
//!   only speaks (type-ahead; speech that was overtaken by keys is not begun). Without barge-in it is dropped.
//! - When an entry ends by itself at `max_digits`, a finish key that follows out of habit is swallowed.
//! - A wrong key throws away what was typed ahead: the caller has lost the way, the rest would go astray too.
//! - A to D count only where a menu names them; elsewhere they are nobody's keys.
//! - On hold, time-outs stand still, keys are ignored, and what was cut off is said again afterwards.
//!
//! Nothing hangs for ever: silence and wrong keys are counted per step, steps and time per call; what the far end does
//! not answer ends at `limits.max_duration`, and the goodbye after that has a limit of its own. What was keyed leaves
//! with the [`Output::Invoke`] that uses it.

mod event;
mod question;
mod timers;
mod type_ahead;
mod work;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::digit::Digits;

use super::model::{Action, Announcement, Flow, PlayItem, StepId};
use super::name::StepName;
use super::operation::Privacy;

pub use event::{Awaited, End, EndReason, Input, InvocationId, Output, PlaybackId, TransferOutcome};
use question::{Asking, Habit};
use timers::{Due, Timers};
use type_ahead::TypeAhead;

/// A goodbye whose end nobody reports is not waited for any longer.
const FAREWELL_LIMIT: Duration = Duration::from_secs(30);

/// One call in its flow. The flow is shared; a new version of it only concerns later calls.
pub struct Interpreter {
    flow: Arc<Flow>,
    step: StepId,
    phase: Phase,
    /// What is being spoken.
    playing: Option<Playing>,
    /// Entries that no operation has used yet, by collect step.
    entries: BTreeMap<StepId, Digits>,
    type_ahead: TypeAhead,
    habit: Option<Habit>,
    timers: Timers,
    hold: Option<Hold>,
    steps_left: u32,
    /// Where to go when the present step is done; the loop in [`Self::run`] takes it.
    next: Option<StepId>,
    /// How the flow will have ended once the present hangup step is done.
    reason: EndReason,
    last_id: u32,
    outputs: VecDeque<Output>,
}

/// What the present step waits for.
enum Phase {
    /// Not established yet.
    New,
    /// `play`: its end.
    Speaking(StepId),
    /// `menu` and `collect`: keys.
    Asking(Asking),
    /// `operation`: its outcome.
    Working(InvocationId),
    /// `transfer`: the end of what is said before, then the result.
    Announcing,
    Transferring,
    /// `hangup`: the end of the goodbye.
    Leaving,
    Ended,
}

struct Playing {
    id: PlaybackId,
    items: Arc<[PlayItem]>,
    barge_in: bool,
}

/// What waits for the end of hold.
struct Hold {
    speech: Option<(Arc<[PlayItem]>, bool)>,
    answer: Option<Input>,
}

impl Interpreter {
    /// A call that is not answered yet.
    #[must_use]
    pub fn new(flow: Arc<Flow>) -> Self {
        Self {
            step: flow.start,
            steps_left: flow.limits.max_steps,
            flow,
            phase: Phase::New,
            playing: None,
            entries: BTreeMap::new(),
            type_ahead: TypeAhead::default(),
            habit: None,
            timers: Timers::default(),
            hold: None,
            next: None,
            reason: EndReason::Completed,
            last_id: 0,
            outputs: VecDeque::new(),
        }
    }

    /// The step that the call is in.
    #[must_use]
    pub fn step(&self) -> &StepName {
        &self.flow.step(self.step).name
    }

    /// The flow that the call follows.
    #[must_use]
    pub fn flow(&self) -> &Arc<Flow> {
        &self.flow
    }

    /// Whether the flow is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Ended)
    }

    /// When [`Input::Deadline`] is due at the latest.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// When the call will have lasted too long.
    #[must_use]
    pub fn limit(&self) -> Option<Instant> {
        self.timers.limit
    }

    /// What to do next; call until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Takes what happened. `now` never runs backwards.
    pub fn handle(&mut self, now: Instant, input: Input) {
        match (&self.phase, input) {
            (Phase::Ended, _) => return,
            (_, Input::HungUp) => return self.end(EndReason::CallerHungUp),
            (Phase::New, Input::Established) => {
                self.timers.limit = Some(now + self.flow.limits.max_duration);
                self.next = Some(self.step);
            }
            (Phase::New, _) | (_, Input::Established) => {}
            (_, Input::Held) => self.hold(now),
            (_, Input::Resumed) => self.resume(now),
            (_, Input::Deadline) => self.deadline(now),
            (phase, input) => match &mut self.hold {
                Some(hold) => hold.keep(phase, input),
                None => self.happened(now, input),
            },
        }
        self.run(now);
    }

    fn happened(&mut self, now: Instant, input: Input) {
        match input {
            Input::Digit(key) => self.key(now, key),
            Input::NoMatch => self.no_match(now),
            Input::PlaybackFinished(id) => self.playback_finished(now, id),
            Input::OperationDone { invocation, outcome } => self.operation_done(invocation, Some(outcome)),
            Input::OperationFailed(invocation) => self.operation_done(invocation, None),
            Input::TransferDone(outcome) => self.transfer_done(outcome),
            Input::Established | Input::Deadline | Input::Held | Input::Resumed | Input::HungUp => {}
        }
    }

    /// Enters steps until one waits for something.
    fn run(&mut self, now: Instant) {
        while let Some(step) = self.next.take() {
            self.enter(now, step);
        }
    }

    fn enter(&mut self, now: Instant, step: StepId) {
        self.silence();
        self.timers.clear_step();
        if self.steps_left == 0 && self.reason == EndReason::Completed && step != self.flow.limits.then {
            return self.over_limit(EndReason::TooManySteps);
        }
        self.steps_left = self.steps_left.saturating_sub(1);
        self.step = step;
        self.outputs.push_back(Output::Entered(self.step().clone()));
        let flow = Arc::clone(&self.flow);
        match &flow.step(step).action {
            Action::Play { say, next } => {
                self.phase = Phase::Speaking(*next);
                self.speak_first(say);
            }
            Action::Menu(menu) => self.ask(now, &menu.question),
            Action::Collect(collect) => {
                self.entries.remove(&step);
                self.ask(now, &collect.question);
            }
            Action::Operation(invocation) => self.invoke(now, invocation),
            Action::Transfer(transfer) => {
                self.phase = Phase::Announcing;
                self.speak_first(&transfer.say);
                self.transfer_after_speech(now);
            }
            Action::HangUp { say } => {
                self.phase = Phase::Leaving;
                self.speak_first(say);
                self.timers.step = Some(now + FAREWELL_LIMIT);
            }
        }
        self.settle();
    }

    /// A step that has nothing (left) to say goes on at once.
    fn settle(&mut self) {
        if self.playing.is_some() {
            return;
        }
        match self.phase {
            Phase::Speaking(next) => self.next = Some(next),
            Phase::Leaving => self.end(self.reason),
            _ => {}
        }
    }

    /// Speaks, unless keys typed ahead have already answered.
    fn speak_first(&mut self, say: &Announcement) {
        if say.flush || !say.barge_in {
            self.type_ahead.clear();
        }
        if self.type_ahead.is_empty() {
            self.play(Arc::clone(&say.items), say.barge_in);
        }
    }

    fn play(&mut self, items: Arc<[PlayItem]>, barge_in: bool) {
        if items.is_empty() {
            return self.silence();
        }
        let id = PlaybackId(self.next_id());
        let privacy = items.iter().map(PlayItem::privacy).max().unwrap_or(Privacy::Public);
        self.playing = Some(Playing {
            id,
            items: Arc::clone(&items),
            barge_in,
        });
        self.outputs.push_back(Output::Play {
            id,
            items,
            barge_in,
            privacy,
        });
    }

    fn silence(&mut self) {
        if self.playing.take().is_some() {
            self.outputs.push_back(Output::StopPlaying);
        }
    }

    fn playback_finished(&mut self, now: Instant, id: PlaybackId) {
        if self.playing.take_if(|playing| playing.id == id).is_none() {
            return;
        }
        match &self.phase {
            Phase::Asking(_) => self.listen(now),
            Phase::Working(_) => self.comfort_again(now),
            Phase::Announcing => self.transfer_after_speech(now),
            _ => self.settle(),
        }
    }

    fn deadline(&mut self, now: Instant) {
        while let Some(due) = self.timers.take_due(now) {
            match due {
                Due::Limit => self.over_limit(EndReason::TooLong),
                Due::Step => self.step_timer(now),
                Due::Comfort => self.comfort(),
            }
            self.run(now);
        }
    }

    fn step_timer(&mut self, now: Instant) {
        let flow = Arc::clone(&self.flow);
        match (&self.phase, &flow.step(self.step).action) {
            (Phase::Asking(_), _) => self.question_timed_out(now),
            (Phase::Working(id), _) => self.operation_done(*id, None),
            (Phase::Transferring, Action::Transfer(transfer)) => self.next = Some(transfer.no_answer),
            (Phase::Leaving, _) => self.end(self.reason),
            _ => {}
        }
    }

    /// Leads to the step for calls over the limit; from there the call ends whatever happens.
    fn over_limit(&mut self, reason: EndReason) {
        if matches!(self.phase, Phase::Leaving) {
            return self.end(self.reason);
        }
        self.reason = reason;
        self.hold = None;
        self.next = Some(self.flow.limits.then);
    }

    fn hold(&mut self, now: Instant) {
        if self.hold.is_some() {
            return;
        }
        if matches!(self.phase, Phase::Leaving) {
            // Nobody listens to the goodbye any more.
            return self.end(self.reason);
        }
        let speech = self
            .playing
            .as_ref()
            .map(|playing| (Arc::clone(&playing.items), playing.barge_in));
        self.silence();
        self.timers.stop(now);
        self.hold = Some(Hold { speech, answer: None });
    }

    fn resume(&mut self, now: Instant) {
        let Some(hold) = self.hold.take() else { return };
        self.timers.go_on(now);
        if let Some((items, barge_in)) = hold.speech {
            self.play(items, barge_in);
        }
        if let Some(answer) = hold.answer {
            self.happened(now, answer);
        }
    }

    fn end(&mut self, reason: EndReason) {
        self.playing = None;
        self.next = None;
        self.timers = Timers::default();
        self.type_ahead.clear();
        self.entries.clear();
        self.habit = None;
        self.phase = Phase::Ended;
        let step = self.step().clone();
        self.outputs.push_back(Output::Ended(End { reason, step }));
    }

    fn next_id(&mut self) -> u32 {
        self.last_id = self.last_id.wrapping_add(1);
        self.last_id
    }
}

impl Hold {
    /// Keeps the one answer that the step waits for. Keys pressed during hold are meant for somebody else.
    fn keep(&mut self, phase: &Phase, input: Input) {
        let awaited = match (phase, &input) {
            (Phase::Working(id), Input::OperationDone { invocation, .. } | Input::OperationFailed(invocation)) => {
                id == invocation
            }
            (Phase::Transferring, Input::TransferDone(_)) => true,
            _ => false,
        };
        if awaited {
            self.answer = Some(input);
        }
    }
}

/// Says where the call is, never what was keyed.
impl std::fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Interpreter")
            .field("flow", &self.flow.name)
            .field("step", self.step())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
