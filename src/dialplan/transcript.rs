//! A call on paper: a script of what the caller and the operations do goes in, a transcript of what happens comes out.
//! Time is invented, so a call of ten minutes takes no time at all.
//!
//! ```text
//! script           transcript
//! keys 4711#       [ask_identity]
//! outcome one        say       identify.ask
//! silence            keys      *****
//! hang up          [identify]
//!                    do        identify with 4 keys
//!                    ...       one
//! ```
//!
//! Prompts are heard to their end before the next line of the script, unless it is `interrupt`. Keys are shown only
//! where they are a choice of a menu; an entry is shown as stars.

use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::digit::Digits;

use super::interpreter::{Input, Interpreter, InvocationId, Output, PlaybackId, TransferOutcome};
use super::model::{Flow, PlayItem, StepKind};
use super::operation::Outcome;

/// What happens in a call, line by line.
#[derive(Clone, Debug, Default)]
pub struct Script(Vec<ScriptLine>);

/// One thing that happens.
#[derive(Clone, Debug)]
pub enum ScriptLine {
    /// Keys, when the prompt has been heard: `keys 4711#`.
    Keys(Digits),
    /// Keys while the prompt is being heard: `interrupt 1`.
    Interrupt(Digits),
    /// Nothing, until the next time-out: `silence`.
    Silence,
    /// The operation ends: `outcome one`.
    Outcome(Outcome),
    /// The operation breaks down: `error`.
    Error,
    /// The transfer ends: `transfer busy`.
    Transfer(TransferOutcome),
    /// On hold, and back: `hold`.
    Hold,
    /// Time passes: `wait 900` (seconds).
    Wait(Duration),
    /// The caller hangs up, during the prompt if there is one: `hang up`.
    HangUp,
}

/// A line that is not one of a script.
#[derive(Debug, thiserror::Error)]
#[error(
    "line {line}: \"{text}\" is not one of: keys K, interrupt K, silence, outcome WORD, error, transfer WORD, hold, wait SECONDS, hang up"
)]
pub struct ScriptError {
    /// Line, from 1.
    pub line: usize,
    /// What stands there.
    pub text: String,
}

/// One line each; empty lines and lines that begin with `;` do not count. (`#` is a key.)
impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line.trim()));
        let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(';'));
        let parsed = lines.map(|(number, line)| {
            ScriptLine::parse(line).ok_or_else(|| ScriptError {
                line: number,
                text: line.to_owned(),
            })
        });
        parsed.collect::<Result<_, _>>().map(Self)
    }
}

impl ScriptLine {
    fn parse(line: &str) -> Option<Self> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        Some(match (word, rest.trim()) {
            ("keys", keys) => Self::Keys(Digits::parse(keys)?),
            ("interrupt", keys) => Self::Interrupt(Digits::parse(keys)?),
            ("silence", "") => Self::Silence,
            ("outcome", outcome) => Self::Outcome(Outcome::parse(outcome)?),
            ("error", "") => Self::Error,
            ("transfer", "connected") => Self::Transfer(TransferOutcome::Connected),
            ("transfer", "busy") => Self::Transfer(TransferOutcome::Busy),
            ("transfer", "no_answer") => Self::Transfer(TransferOutcome::NoAnswer),
            ("transfer", "closed") => Self::Transfer(TransferOutcome::Closed),
            ("transfer", "failed") => Self::Transfer(TransferOutcome::Failed),
            ("hold", "") => Self::Hold,
            ("wait", seconds) => Self::Wait(Duration::from_secs(seconds.parse::<u32>().ok()?.into())),
            ("hang", "up") => Self::HangUp,
            _ => return None,
        })
    }

    /// Whether it happens while a prompt is being heard.
    fn cuts_in(&self) -> bool {
        matches!(self, Self::Interrupt(_) | Self::HangUp | Self::Hold)
    }
}

/// Runs a script from `start` on and writes down what happens. `words` turns what is spoken into text.
#[must_use]
pub fn transcript(flow: &Arc<Flow>, script: &Script, start: Instant, words: &dyn Fn(&PlayItem) -> String) -> String {
    let mut stage = Stage {
        interpreter: Interpreter::new(Arc::clone(flow)),
        now: start,
        playing: None,
        working: None,
        words,
        text: String::new(),
    };
    let mut lines = script.0.iter().peekable();
    stage.handle(Input::Established);
    while !stage.interpreter.has_ended() {
        let heard = stage
            .playing
            .take_if(|_| !lines.peek().is_some_and(|line| line.cuts_in()));
        if let Some(id) = heard {
            stage.handle(Input::PlaybackFinished(id));
        } else if let Some(line) = lines.next() {
            stage.act(line);
        } else {
            break;
        }
    }
    if !stage.interpreter.has_ended() {
        stage.write("(the script ends here)", "");
    }
    stage.text
}

struct Stage<'w> {
    interpreter: Interpreter,
    now: Instant,
    playing: Option<PlaybackId>,
    working: Option<InvocationId>,
    words: &'w dyn Fn(&PlayItem) -> String,
    text: String,
}

impl Stage<'_> {
    fn act(&mut self, line: &ScriptLine) {
        match line {
            ScriptLine::Keys(keys) => self.keys("keys", keys),
            ScriptLine::Interrupt(keys) => self.keys("interrupt", keys),
            ScriptLine::Silence => self.silence(),
            ScriptLine::Outcome(outcome) => {
                let Some(invocation) = self.working.take() else {
                    return self.misplaced(outcome.name());
                };
                self.write("...", outcome.name());
                self.handle(Input::OperationDone {
                    invocation,
                    outcome: *outcome,
                });
            }
            ScriptLine::Error => {
                let Some(invocation) = self.working.take() else {
                    return self.misplaced("error");
                };
                self.write("...", "error");
                self.handle(Input::OperationFailed(invocation));
            }
            ScriptLine::Transfer(outcome) => {
                self.write("...", &format!("{outcome:?}"));
                self.handle(Input::TransferDone(*outcome));
            }
            ScriptLine::Hold => {
                self.write("hold", "");
                self.handle(Input::Held);
                self.now += Duration::from_secs(60);
                self.handle(Input::Resumed);
            }
            ScriptLine::Wait(time) => {
                self.write("wait", &format!("{} s", time.as_secs()));
                self.now += *time;
                self.handle(Input::Deadline);
            }
            ScriptLine::HangUp => {
                self.write("hang up", "");
                self.handle(Input::HungUp);
            }
        }
    }

    /// A choice is shown, an entry is not.
    fn keys(&mut self, how: &str, keys: &Digits) {
        for key in keys.expose() {
            let choice = self.kind() == Some(StepKind::Menu);
            self.write_key(how, if choice { key.as_char() } else { '*' });
            self.handle(Input::Digit(*key));
        }
    }

    fn silence(&mut self) {
        let Some(deadline) = self.interpreter.next_deadline() else {
            return self.misplaced("silence");
        };
        let waited = deadline.saturating_duration_since(self.now);
        self.write("silence", &format!("{:.1} s", waited.as_secs_f32()));
        self.now = self.now.max(deadline);
        self.handle(Input::Deadline);
    }

    fn kind(&self) -> Option<StepKind> {
        let flow = self.interpreter.flow();
        flow.steps()
            .iter()
            .find(|step| step.name() == self.interpreter.step())
            .map(super::model::Step::kind)
    }

    fn handle(&mut self, input: Input) {
        self.interpreter.handle(self.now, input);
        while let Some(output) = self.interpreter.poll_output() {
            self.show(output);
        }
    }

    fn show(&mut self, output: Output) {
        match output {
            Output::Entered(step) => {
                self.working = None;
                self.text.push('[');
                self.text.push_str(step.as_str());
                self.text.push_str("]\n");
            }
            Output::Play {
                id, items, barge_in, ..
            } => {
                self.playing = Some(id);
                let said: Vec<String> = items.iter().map(self.words).collect();
                self.write(if barge_in { "say" } else { "say all" }, &said.join("  "));
            }
            Output::StopPlaying => {
                self.playing = None;
                self.write("(cut off)", "");
            }
            Output::Invoke { id, operation, digits } => {
                self.working = Some(id);
                match digits {
                    Some(digits) => self.write("do", &format!("{operation} with {} keys", digits.len())),
                    None => self.write("do", operation.name()),
                }
            }
            Output::Transfer(destination) => self.write("transfer", destination.as_str()),
            Output::Ended(end) => self.write("end", &format!("{:?}", end.reason)),
        }
    }

    fn misplaced(&mut self, what: &str) {
        self.write("(ignored)", &format!("nothing waits for {what} here"));
    }

    /// Keys that follow each other stand in one line.
    fn write_key(&mut self, how: &str, key: char) {
        let begins = format!("  {how:<9} ");
        let last = self.text.lines().next_back().unwrap_or_default();
        let continues = key == '*'
            && last
                .strip_prefix(&begins)
                .is_some_and(|keys| keys.chars().all(|c| c == '*'));
        if continues {
            self.text.pop();
            self.text.push_str("*\n");
        } else {
            self.write(how, &key.to_string());
        }
    }

    fn write(&mut self, what: &str, rest: &str) {
        let line = format!("  {what:<9} {rest}");
        // Writing to a string cannot fail.
        let _ = writeln!(self.text, "{}", line.trim_end());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_says_which_line_it_does_not_understand() {
        let error = "keys 1\n; fine\nshout".parse::<Script>().unwrap_err();
        assert!(error.to_string().starts_with("line 3: \"shout\""), "{error}");
        assert!("outcome maybe".parse::<Script>().is_err());
        assert!("keys 12x".parse::<Script>().is_err());
    }
}
