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
mod timers;
mod type_ahead;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::digit::{Digit, Digits};

use super::model::{Action, Announcement, Collect, Flow, Invocation, Menu, PlayItem, Question, Retry, StepId};
use super::name::StepName;
use super::operation::{Outcome, Privacy};

pub use event::{End, EndReason, Input, InvocationId, Output, PlaybackId, TransferOutcome};
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

/// A question in progress.
struct Asking {
    noinput: u8,
    nomatch: u8,
    entry: Digits,
    /// The entry holds a key that no entry can hold.
    spoiled: bool,
}

impl Asking {
    fn new() -> Self {
        Self {
            noinput: 0,
            nomatch: 0,
            entry: Digits::new(),
            spoiled: false,
        }
    }
}

struct Playing {
    id: PlaybackId,
    items: Arc<[PlayItem]>,
    barge_in: bool,
}

/// A finish key that may follow an entry which ended without one.
struct Habit {
    key: Digit,
    until: Instant,
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
            (_, input) => match &mut self.hold {
                Some(hold) => hold.keep(input),
                None => self.happened(now, input),
            },
        }
        self.run(now);
    }

    fn happened(&mut self, now: Instant, input: Input) {
        match input {
            Input::Digit(key) => self.key(now, key),
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
            Action::Menu(menu) => self.ask(now, &menu.question, None),
            Action::Collect(collect) => {
                self.entries.remove(&step);
                self.ask(now, &collect.question, None);
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

    // ---- speech ----

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

    // ---- keys ----

    fn key(&mut self, now: Instant, key: Digit) {
        if matches!(self.phase, Phase::Working(_)) {
            if !self.is_habit(now, key) {
                self.type_ahead.push(key);
            }
            return;
        }
        if self.is_habit(now, key) {
            // The media session may have silenced the prompt by itself: say it from the beginning.
            if let Some(Playing {
                items, barge_in: true, ..
            }) = &self.playing
            {
                let items = Arc::clone(items);
                self.play(items, true);
            }
            return;
        }
        if let Some(playing) = &self.playing {
            if !playing.barge_in {
                return;
            }
            self.silence();
        }
        match self.phase {
            Phase::Asking(_) => self.accept(now, key),
            Phase::Speaking(_) => self.type_ahead.push(key),
            _ => {}
        }
        match self.phase {
            Phase::Announcing => self.transfer_after_speech(now),
            _ => self.settle(),
        }
    }

    fn is_habit(&mut self, now: Instant, key: Digit) -> bool {
        self.habit
            .take()
            .is_some_and(|habit| habit.key == key && now <= habit.until)
    }

    /// Asks from the beginning, or again with `lead_in` before it.
    fn ask(&mut self, now: Instant, question: &Question, lead_in: Option<&Arc<[PlayItem]>>) {
        if lead_in.is_none() {
            self.phase = Phase::Asking(Asking::new());
            self.speak_first(&question.say);
        } else {
            let items = lead_in
                .into_iter()
                .flat_map(|items| items.iter())
                .chain(question.say.items.iter());
            self.play(items.cloned().collect(), question.say.barge_in);
        }
        if self.playing.is_none() {
            self.listen(now);
        }
        while self.next.is_none() && matches!(self.phase, Phase::Asking(_)) {
            let Some(key) = self.type_ahead.pop() else { break };
            self.accept(now, key);
        }
    }

    /// The question has been heard: from now on silence is counted.
    fn listen(&mut self, now: Instant) {
        let flow = Arc::clone(&self.flow);
        let wait = match &flow.step(self.step).action {
            Action::Menu(menu) => menu.question.noinput_timeout,
            Action::Collect(collect) => collect.question.noinput_timeout,
            _ => return,
        };
        self.timers.step = Some(now + wait);
    }

    fn accept(&mut self, now: Instant, key: Digit) {
        let flow = Arc::clone(&self.flow);
        match &flow.step(self.step).action {
            Action::Menu(menu) => self.choose(now, menu, key),
            Action::Collect(collect) => self.collect(now, collect, key),
            _ => {}
        }
    }

    fn choose(&mut self, now: Instant, menu: &Menu, key: Digit) {
        if let Some(step) = menu.keys.get(&key) {
            self.next = Some(*step);
        } else if is_letter_key(key) {
            self.listen(now);
        } else {
            self.nomatch(now, &menu.question);
        }
    }

    fn collect(&mut self, now: Instant, collect: &Collect, key: Digit) {
        let Phase::Asking(asking) = &mut self.phase else { return };
        if Some(key) == collect.finish_on_key {
            return self.complete(now, collect);
        }
        if Some(key) == collect.clear_on_key {
            asking.entry.clear();
            asking.spoiled = false;
            return self.listen(now);
        }
        match key.value() {
            Some(_) => asking.entry.push(key),
            None if is_letter_key(key) => {}
            None => asking.spoiled = true,
        }
        if asking.entry.len() >= collect.max_digits {
            self.expect_habit(now, collect);
            self.complete(now, collect);
        } else if asking.entry.is_empty() && !asking.spoiled {
            self.listen(now);
        } else {
            self.timers.step = Some(now + collect.interdigit_timeout);
        }
    }

    /// The entry is full; a finish key after it means nothing, typed ahead or still to come.
    fn expect_habit(&mut self, now: Instant, collect: &Collect) {
        let Some(key) = collect.finish_on_key else { return };
        if self.type_ahead.is_empty() {
            let until = now + collect.interdigit_timeout;
            self.habit = Some(Habit { key, until });
        } else {
            self.type_ahead.skip(key);
        }
    }

    fn complete(&mut self, now: Instant, collect: &Collect) {
        let Phase::Asking(asking) = &mut self.phase else { return };
        if asking.spoiled || asking.entry.len() < collect.min_digits {
            return self.nomatch(now, &collect.question);
        }
        let entry = std::mem::take(&mut asking.entry);
        self.entries.insert(self.step, entry);
        self.next = Some(collect.next);
    }

    fn nomatch(&mut self, now: Instant, question: &Question) {
        self.type_ahead.clear();
        let Phase::Asking(asking) = &mut self.phase else { return };
        asking.nomatch = asking.nomatch.saturating_add(1);
        let count = asking.nomatch;
        self.retry(now, question, &question.nomatch, count);
    }

    fn noinput(&mut self, now: Instant, question: &Question) {
        let Phase::Asking(asking) = &mut self.phase else { return };
        asking.noinput = asking.noinput.saturating_add(1);
        let count = asking.noinput;
        self.retry(now, question, &question.noinput, count);
    }

    fn retry(&mut self, now: Instant, question: &Question, retry: &Retry, count: u8) {
        if let Phase::Asking(asking) = &mut self.phase {
            asking.entry.clear();
            asking.spoiled = false;
        }
        self.timers.step = None;
        if count >= retry.max {
            self.next = Some(retry.then);
            return;
        }
        let nothing: Arc<[PlayItem]> = Arc::new([]);
        let lead_in = retry
            .reprompts
            .get(usize::from(count - 1))
            .or(retry.reprompts.last())
            .unwrap_or(&nothing);
        self.ask(now, question, Some(lead_in));
    }

    // ---- operations and transfers ----

    fn invoke(&mut self, now: Instant, invocation: &Invocation) {
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
    fn operation_done(&mut self, id: InvocationId, outcome: Option<Outcome>) {
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

    fn comfort(&mut self) {
        let flow = Arc::clone(&self.flow);
        let Action::Operation(invocation) = &flow.step(self.step).action else {
            return;
        };
        if let Some(waiting) = &invocation.while_waiting {
            // Keys are typed ahead meanwhile; they do not silence it, it is short.
            self.play(Arc::clone(&waiting.items), false);
        }
    }

    fn comfort_again(&mut self, now: Instant) {
        if let Action::Operation(invocation) = &self.flow.step(self.step).action {
            self.timers.comfort = invocation.while_waiting.as_ref().map(|waiting| now + waiting.every);
        }
    }

    fn transfer_after_speech(&mut self, now: Instant) {
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

    fn transfer_done(&mut self, outcome: TransferOutcome) {
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

    // ---- time, hold, end ----

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
            (Phase::Asking(_), Action::Menu(menu)) => self.noinput(now, &menu.question),
            (Phase::Asking(asking), Action::Collect(collect)) => {
                if asking.entry.is_empty() && !asking.spoiled {
                    self.noinput(now, &collect.question);
                } else {
                    self.complete(now, collect);
                }
            }
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
    /// Keeps the one answer that may come meanwhile. Keys pressed during hold are meant for somebody else.
    fn keep(&mut self, input: Input) {
        if matches!(
            input,
            Input::OperationDone { .. } | Input::OperationFailed(_) | Input::TransferDone(_)
        ) {
            self.answer = Some(input);
        }
    }
}

/// A to D: not on any ordinary telephone.
fn is_letter_key(key: Digit) -> bool {
    matches!(key, Digit::A | Digit::B | Digit::C | Digit::D)
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
