//! A flow a page at a time, without I/O.
//!
//! The interpreter speaks, waits and counts silence by its clock. An outside IVR does all that by its own, so here:
//! - What is spoken is gathered for the next page, and counts as heard. Only the question that a page ends with counts as
//!   being spoken until the IVR comes back.
//! - Silence is what the IVR says was silence; the clock of the flow is moved to where it is noticed.
//! - Keys come when the entry is over by the rules of the IVR. If the flow still waits, because a key took back what was
//!   entered before, the rest is asked for by a page of its own, or was silence if there was time for it.
//!
//! Only the limit of the whole call and the patience with operations go by the clock of this house.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::page::{Heard, Then};
use crate::dialplan::operation::Operation;
use crate::dialplan::{
    Awaited, End, Flow, Input, Interpreter, InvocationId, Output, PlayItem, PlaybackId, StepName, TransferOutcome,
};
use crate::digit::Digits;

/// One call. `L` is something to play.
pub(super) struct Dialogue<L> {
    interpreter: Interpreter,
    /// The latest time that the flow knows of.
    now: Instant,
    /// What is spoken on the next page.
    spoken: Vec<Spoken<L>>,
    /// The question that counts as being spoken, and whether a key silences it.
    question: Option<(PlaybackId, bool)>,
    /// What was said last, while something is worked on: it is not gathered twice.
    comfort: Option<Arc<[PlayItem]>>,
    /// What the page that is out there collects.
    collects: Option<Awaited>,
    end: Option<End>,
}

/// Something that a page plays.
pub(super) struct Spoken<L> {
    playback: PlaybackId,
    pub(super) line: L,
    pub(super) barge_in: bool,
}

/// What the flow wants to have done.
pub(super) enum Wanted {
    /// That it is told to be in this step.
    Entered(StepName),
    /// An operation.
    Invoke(InvocationId, Operation, Option<Digits>),
}

impl<L> Dialogue<L> {
    pub(super) fn begin(flow: Arc<Flow>, now: Instant) -> Self {
        let mut dialogue = Self {
            interpreter: Interpreter::new(flow),
            now,
            spoken: Vec::new(),
            question: None,
            comfort: None,
            collects: None,
            end: None,
        };
        dialogue.tell(now, Input::Established);
        dialogue
    }

    /// What the flow wants to have done next, until nothing. `speak` makes lines of what is to be said, now: what a slot
    /// holds may be gone when the page is made.
    pub(super) fn poll(&mut self, speak: impl Fn(&[PlayItem]) -> Vec<L>) -> Option<Wanted> {
        loop {
            match self.interpreter.poll_output()? {
                Output::Entered(step) => return Some(Wanted::Entered(step)),
                Output::Invoke { id, operation, digits } => return Some(Wanted::Invoke(id, operation, digits)),
                Output::Play {
                    id: playback,
                    items,
                    barge_in,
                    ..
                } => {
                    let said = self.comfort.replace(Arc::clone(&items));
                    let is_said_already = said.is_some_and(|said| Arc::ptr_eq(&said, &items));
                    // "One moment please" once on a page, however long the last page was played.
                    if !(is_said_already && self.has_spoken() && self.interpreter.awaited().is_none()) {
                        self.spoken.extend(speak(&items).into_iter().map(|line| Spoken {
                            playback,
                            line,
                            barge_in,
                        }));
                    }
                    self.question = Some((playback, barge_in));
                    if self.interpreter.awaited().is_none() {
                        self.heard_question(self.now);
                    }
                }
                Output::StopPlaying => {
                    // Keys that came together have overtaken a question: nobody needs to hear it.
                    if let Some((overtaken, _)) = self.question.take() {
                        self.spoken.retain(|spoken| spoken.playback != overtaken);
                    }
                }
                Output::Transfer(destination) => {
                    tracing::warn!(
                        destination = destination.as_str(),
                        "no transfer destinations are configured"
                    );
                    self.tell(self.now, Input::TransferDone(TransferOutcome::Failed));
                }
                Output::Ended(end) => self.end = Some(end),
            }
        }
    }

    /// Whether the flow waits for the caller, or is over: there is a page to give.
    pub(super) fn is_waiting(&self) -> bool {
        self.end.is_some() || self.interpreter.awaited().is_some()
    }

    /// Whether there is something to play already.
    pub(super) fn has_spoken(&self) -> bool {
        !self.spoken.is_empty()
    }

    /// The next page: what was spoken since the last one, and what follows on it.
    pub(super) fn page(&mut self) -> (Vec<Spoken<L>>, Then) {
        let then = match self.interpreter.awaited() {
            _ if self.end.is_some() => Then::HangUp,
            Some(awaited) => {
                self.collects = Some(awaited);
                Then::Collect(awaited)
            }
            None => Then::ComeBack,
        };
        (std::mem::take(&mut self.spoken), then)
    }

    /// The outside IVR is back from the last page.
    pub(super) fn hear(&mut self, now: Instant, heard: &Heard) {
        if matches!(heard, Heard::HungUp) {
            return self.tell(now, Input::HungUp);
        }
        if self.interpreter.limit().is_some_and(|limit| limit <= now) {
            self.collects = None;
            return self.tell(now, Input::Deadline);
        }
        let Some(collects) = self.collects.take() else { return };
        // The silence that ended it is over now.
        let silence = match heard {
            Heard::Keys(keys) if keys.len() >= collects.most => Duration::ZERO,
            Heard::Keys(keys) if !keys.is_empty() => collects.between,
            _ => collects.first,
        };
        let before = now.checked_sub(silence).unwrap_or(now);
        // Keys silence it themselves, so that one which was pressed out of habit has it said again.
        let is_silenced = matches!(heard, Heard::NoMatch) || matches!(heard, Heard::Keys(keys) if !keys.is_empty());
        if !(is_silenced && self.question.is_some_and(|(_, barge_in)| barge_in)) {
            self.heard_question(before);
        }
        match heard {
            Heard::Keys(keys) if !keys.is_empty() => {
                for key in keys.expose() {
                    self.tell(before, Input::Digit(*key));
                }
                let is_open = self.interpreter.awaited().is_some_and(|awaited| awaited.has_begun);
                if is_open && keys.len() < collects.most {
                    self.be_silent();
                }
            }
            Heard::NoMatch => self.tell(now, collects.finish_on_key.map_or(Input::NoMatch, Input::Digit)),
            Heard::Keys(_) | Heard::Silence | Heard::Played | Heard::HungUp => self.be_silent(),
        }
    }

    /// An operation has ended.
    pub(super) fn worked(&mut self, now: Instant, input: Input) {
        self.tell(now, input);
    }

    /// When [`Self::expire`] is due: the limit of the call, or while something is worked on whatever the flow says.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        match self.interpreter.awaited() {
            Some(_) => self.interpreter.limit(),
            None => self.interpreter.next_deadline(),
        }
    }

    /// Time has passed.
    pub(super) fn expire(&mut self, now: Instant) {
        if self.next_deadline().is_some_and(|due| due <= now) {
            self.tell(now, Input::Deadline);
        }
    }

    pub(super) fn step(&self) -> &StepName {
        self.interpreter.step()
    }

    pub(super) fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    fn heard_question(&mut self, at: Instant) {
        if let Some((playback, _)) = self.question.take() {
            self.tell(at, Input::PlaybackFinished(playback));
        }
    }

    /// Until the flow notices it.
    fn be_silent(&mut self) {
        if let Some(deadline) = self.interpreter.next_deadline() {
            self.tell(deadline, Input::Deadline);
        }
    }

    /// The clock of the flow never runs backwards.
    fn tell(&mut self, now: Instant, input: Input) {
        self.now = self.now.max(now);
        self.interpreter.handle(self.now, input);
    }
}

#[cfg(test)]
mod tests;
