//! A flow file, and behind its first NUL what a caller does in it.
#![no_main]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libfuzzer_sys::fuzz_target;
use passline::dialplan::operation::{Operation, Outcome};
use passline::dialplan::{
    Flow, Input, Interpreter, InvocationId, Output, PlaybackId, PromptId, PromptIndex, TransferOutcome, load,
};
use passline::digit::Digit;

/// The most steps that a flow may allow, and the two that come after.
const MAX_ENTERED: usize = 10_002;

struct Call {
    interpreter: Interpreter,
    now: Instant,
    playing: Option<PlaybackId>,
    working: Option<(InvocationId, Operation)>,
    entered: usize,
    ended: usize,
}

impl Call {
    fn handle(&mut self, input: Input) {
        self.interpreter.handle(self.now, input);
        while let Some(output) = self.interpreter.poll_output() {
            assert_eq!(self.ended, 0, "nothing comes after the end");
            match output {
                Output::Entered(_) => self.entered += 1,
                Output::Play { id, items, .. } => {
                    assert!(!items.is_empty());
                    self.playing = Some(id);
                }
                Output::StopPlaying => self.playing = None,
                Output::Invoke { id, operation, digits } => {
                    assert_eq!(operation.spec().needs_digits, digits.is_some(), "{operation}");
                    self.working = Some((id, operation));
                }
                Output::Transfer(_) => {}
                Output::Ended(_) => self.ended += 1,
            }
        }
    }

    /// One thing that happens, by one byte.
    fn act(&mut self, act: u8) {
        let value = usize::from(act / 8);
        let input = match act % 8 {
            0 => Digit::from_event(act / 8 % 16).map(Input::Digit),
            1 | 2 => self.playing.take().map(Input::PlaybackFinished),
            3 | 4 => self.working.take().map(|(invocation, operation)| {
                let outcomes = operation.spec().outcomes;
                // Mostly what the operation can answer, sometimes nonsense, sometimes a breakdown.
                match outcomes.get(value) {
                    Some(outcome) => Input::OperationDone {
                        invocation,
                        outcome: outcome.outcome,
                    },
                    None if value < 28 => Input::OperationDone {
                        invocation,
                        outcome: Outcome::ALL[value % Outcome::ALL.len()],
                    },
                    None => Input::OperationFailed(invocation),
                }
            }),
            5 => {
                self.now += Duration::from_millis(400) * u32::from(act / 8);
                Some(Input::Deadline)
            }
            6 => {
                use TransferOutcome::{Busy, Closed, Connected, Failed, NoAnswer};
                Some(Input::TransferDone(
                    [Busy, NoAnswer, Closed, Failed, Connected][value % 5],
                ))
            }
            _ => Some(match value {
                0 => Input::HungUp,
                1..16 => Input::Held,
                _ => Input::Resumed,
            }),
        };
        if let Some(input) = input {
            self.handle(input);
        }
    }

    /// Nothing answers any more, only time passes: the call must end by itself.
    fn abandon(&mut self) {
        for _ in 0..20_000 {
            let Some(deadline) = self.interpreter.next_deadline() else {
                break;
            };
            self.now = self.now.max(deadline);
            self.handle(Input::Deadline);
        }
        assert!(
            self.interpreter.has_ended(),
            "the call hangs in {}",
            self.interpreter.step()
        );
        assert_eq!(self.ended, 1);
        assert!(self.entered <= MAX_ENTERED, "{} steps", self.entered);
    }
}

fn live(flow: Arc<Flow>, acts: &[u8]) {
    let mut call = Call {
        interpreter: Interpreter::new(flow),
        now: passline::time::monotonic(),
        playing: None,
        working: None,
        entered: 0,
        ended: 0,
    };
    call.handle(Input::Established);
    acts.iter().for_each(|act| call.act(*act));
    call.abandon();
}

fuzz_target!(|bytes: &[u8]| {
    let split = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (text, acts) = (&bytes[..split], bytes.get(split + 1..).unwrap_or_default());
    let Ok(text) = std::str::from_utf8(text) else { return };
    let _ = load("fuzz.toml", text, &PromptIndex::new()).map_err(|report| report.to_string());
    // Everything that looks like a prompt exists.
    let words = text.split('"').skip(1).step_by(2).filter_map(PromptId::parse);
    let prompts = PromptIndex::new().with("en-US", words.collect::<BTreeSet<_>>());
    match load("fuzz.toml", text, &prompts) {
        Ok(loaded) => {
            assert!(!loaded.report.has_errors());
            let _ = loaded.report.to_string();
            let flow = Arc::new(loaded.flow);
            live(Arc::clone(&flow), acts);
            live(flow, &[]);
        }
        Err(report) => {
            assert!(report.has_errors(), "a refusal says why");
            assert!(!report.to_string().is_empty());
        }
    }
});
