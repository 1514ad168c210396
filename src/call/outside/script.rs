//! A call whose operations end as a test says: pages of any flow, without services.

use std::sync::Arc;
use std::time::Instant;

use super::dialogue::{Dialogue, Spoken, Wanted};
use super::page::{Heard, Line, Page, Sound};
use crate::dialplan::operation::Outcome;
use crate::dialplan::{Flow, Input, InvocationId, PlayItem, PromptId, StepName};
use crate::speech::{Privacy, Utterance};
use crate::telephony::codec::Clip;
use crate::time::monotonic;

/// One call.
pub(crate) struct Script {
    dialogue: Dialogue<(Option<PromptId>, Utterance)>,
    now: Instant,
    number: u32,
    working: Option<InvocationId>,
    /// The steps that it was in.
    pub(crate) steps: Vec<StepName>,
}

impl Script {
    pub(crate) fn new(flow: Arc<Flow>) -> Self {
        let now = monotonic();
        let mut script = Self {
            dialogue: Dialogue::begin(flow, now),
            now,
            number: 0,
            working: None,
            steps: Vec::new(),
        };
        script.follow();
        script
    }

    /// The next page, if the flow waits for the caller; otherwise it waits for an outcome.
    pub(crate) fn page(&mut self) -> Option<Page> {
        if !self.dialogue.is_waiting() {
            return None;
        }
        Some(self.page_now())
    }

    /// The next page, whatever the flow waits for.
    pub(crate) fn page_now(&mut self) -> Page {
        let (spoken, then) = self.dialogue.page();
        self.number += 1;
        let line = |Spoken { line, barge_in, .. }: Spoken<(Option<PromptId>, Utterance)>| Line {
            sound: match line.0 {
                Some(id) => Sound::Prompt {
                    language: "en-US".parse().expect("a language"),
                    id,
                },
                None => Sound::Kept("0a1b2c".to_owned()),
            },
            utterance: line.1,
            spelled: None,
            barge_in,
        };
        let lines: Vec<Line> = spoken.into_iter().map(line).collect();
        Page {
            number: self.number,
            question: lines.iter().rfind(|line| line.barge_in).map(|line| line.sound.clone()),
            lines,
            then,
        }
    }

    /// What was heard of the last page.
    pub(crate) fn hear(&mut self, heard: &Heard) {
        self.dialogue.hear(self.now, heard);
        self.follow();
    }

    /// How the operation that is waited for ends; `None`: it breaks down.
    pub(crate) fn end_operation(&mut self, outcome: Option<Outcome>) {
        let invocation = self.working.take().expect("an operation");
        let input = match outcome {
            Some(outcome) => Input::OperationDone { invocation, outcome },
            None => Input::OperationFailed(invocation),
        };
        self.dialogue.worked(self.now, input);
        self.follow();
    }

    fn follow(&mut self) {
        while let Some(wanted) = self.dialogue.poll(|items| items.iter().map(line).collect()) {
            match wanted {
                Wanted::Entered(step) => self.steps.push(step),
                Wanted::Invoke(id, _, _) => self.working = Some(id),
            }
        }
    }
}

/// What an item says is its name.
fn line(item: &PlayItem) -> (Option<PromptId>, Utterance) {
    let clip = Clip::from_pcm(&[0; 160]);
    match item {
        PlayItem::Prompt(id) => (Some(id.clone()), Utterance::of(clip, id.as_str(), Privacy::Public)),
        PlayItem::Slot(slot) => (None, Utterance::of(clip, slot.name(), Privacy::Secret)),
    }
}
