//! The task of one call: it has the flow and the services between one page and the next, and ends when the call does.
//!
//! A page is given when the flow waits for the caller, or after [`PATIENCE`]: an IVR that waits longer would think that
//! nobody is here. Then it comes back at once and waits on. If there is something to play already, it is played while
//! something is worked on. An IVR that does not come back at all has lost its caller.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::desk::Kept;
use super::dialogue::{Dialogue, Spoken, Wanted};
use super::page::{Heard, Line, Page, Sound, Then};
use crate::call::operations::{Conversation, Known};
use crate::call::registry::Entry;
use crate::call::session::word_of;
use crate::call::voice::{ITEM_PAUSE, Said, Voice};
use crate::call::work::Work;
use crate::dialplan::{Flow, PromptId};
use crate::time::monotonic;

/// How long a page may be waited for. Outside IVRs wait two seconds at the least.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// How long a page that has something to play waits for what may follow: most operations take less.
const HASTE: Duration = Duration::from_millis(300);

/// How long the sounds of the last page can be fetched.
const LINGER: Duration = Duration::from_secs(30);

/// How long an IVR may take to fetch the goodbye of a house that is about to close.
const DISMISSAL: Duration = Duration::from_secs(10);

/// Said when the house is about to close.
const CLOSING: &str = "error.closing";

/// An outside IVR asks for the page after `number`, having heard this.
pub(super) struct Turn {
    pub(super) number: u32,
    pub(super) heard: Heard,
    pub(super) answer: oneshot::Sender<Arc<Page>>,
}

/// One call.
pub(super) struct Talk {
    dialogue: Dialogue<Said>,
    work: Work,
    voice: Arc<Voice>,
    known: Arc<Known>,
    /// Until the call is over.
    entry: Entry,
    turns: mpsc::Receiver<Turn>,
    kept: Kept,
    /// An IVR that is not heard of for so long has lost its caller.
    idle: Duration,
    last: Arc<Page>,
    waiting: Option<Waiting>,
    seen: Instant,
    is_dismissed: bool,
}

/// The IVR that is out there waiting for a page.
struct Waiting {
    answer: oneshot::Sender<Arc<Page>>,
    since: Instant,
}

/// What is left of a call.
pub(super) struct Left {
    pub(super) reason: &'static str,
    pub(super) last_step: String,
    pub(super) known: Arc<Known>,
}

/// What a call is made of.
pub(super) struct Parts {
    pub(super) flow: Arc<Flow>,
    pub(super) conversation: Conversation,
    pub(super) voice: Arc<Voice>,
    pub(super) entry: Entry,
    pub(super) turns: mpsc::Receiver<Turn>,
    pub(super) kept: Kept,
    pub(super) idle: Duration,
    pub(super) metrics: crate::call::metrics::Metrics,
}

impl Talk {
    /// A call whose IVR waits for its first page with a turn for page 0.
    pub(super) fn new(parts: Parts) -> Self {
        let now = monotonic();
        Self {
            dialogue: Dialogue::begin(parts.flow, now),
            known: parts.conversation.known(),
            work: Work::new(parts.conversation, parts.metrics),
            voice: parts.voice,
            entry: parts.entry,
            turns: parts.turns,
            kept: parts.kept,
            idle: parts.idle,
            last: Arc::new(Page {
                number: 0,
                lines: Vec::new(),
                question: None,
                then: Then::ComeBack,
            }),
            waiting: None,
            seen: now,
            is_dismissed: false,
        }
    }

    /// Carries the call through its flow.
    pub(super) async fn run(&mut self) -> Left {
        let reason = loop {
            self.follow();
            if let Some(reason) = self.answer() {
                break reason;
            }
            let idle = self.seen + if self.is_dismissed { DISMISSAL } else { self.idle };
            let due = [Some(idle), self.patience(), self.dialogue.next_deadline()];
            let due = due.into_iter().flatten().min().unwrap_or(idle);
            tokio::select! {
                turn = self.turns.recv() => match turn {
                    Some(turn) => self.turn(turn),
                    None => break "lost",
                },
                input = self.work.done() => self.dialogue.worked(monotonic(), input),
                () = self.entry.dismissed(), if !self.is_dismissed => {
                    self.is_dismissed = true;
                    self.seen = monotonic();
                }
                () = tokio::time::sleep_until(due.into()) => {
                    let now = monotonic();
                    if now >= idle {
                        break if self.is_dismissed { "dismissed" } else { "lost" };
                    }
                    self.dialogue.expire(now);
                }
            }
        };
        Left {
            reason,
            last_step: self.dialogue.step().to_string(),
            known: Arc::clone(&self.known),
        }
    }

    /// The call is over; what its last page plays is fetched after that.
    pub(super) async fn linger(self, stop: &CancellationToken) {
        let Self { last, kept, .. } = self;
        if last.then == Then::HangUp {
            stop.run_until_cancelled(tokio::time::sleep(LINGER)).await;
        }
        drop(kept);
    }

    /// Until when whoever waits for a page does so at the longest.
    fn patience(&self) -> Option<Instant> {
        let patience = if self.dialogue.has_spoken() { HASTE } else { PATIENCE };
        self.waiting.as_ref().map(|waiting| waiting.since + patience)
    }

    /// Does what the flow wants, until it wants nothing.
    fn follow(&mut self) {
        loop {
            let (voice, slots) = (&self.voice, &self.work.slots);
            let wanted = self.dialogue.poll(|items| voice.each(items, slots));
            match wanted {
                None => return,
                Some(Wanted::Entered(step)) => {
                    tracing::debug!(dialplan.step = step.as_str(), "step");
                    self.entry.set_step(step.as_str());
                }
                Some(Wanted::Invoke(id, operation, digits)) => {
                    if let Some(input) = self.work.begin(id, operation, digits) {
                        self.dialogue.worked(monotonic(), input);
                    }
                }
            }
        }
    }

    fn turn(&mut self, turn: Turn) {
        let now = monotonic();
        self.seen = now;
        if matches!(turn.heard, Heard::HungUp) {
            self.dialogue.hear(now, &turn.heard);
        } else if turn.number != self.last.number {
            // Asked again, or gone back: the page that is due is told once more, and nothing is taken twice. If one is being
            // made, whoever asked last gets it.
            if self.waiting.is_none() {
                let _ = turn.answer.send(Arc::clone(&self.last));
                return;
            }
        } else if self.waiting.is_none() {
            self.dialogue.hear(now, &turn.heard);
        }
        self.waiting = Some(Waiting {
            answer: turn.answer,
            since: now,
        });
    }

    /// Gives the next page to whoever waits for it, if it is time; a reason ends the call.
    fn answer(&mut self) -> Option<&'static str> {
        let end = self.dialogue.end().map(|end| word_of(end.reason));
        if end == Some("caller_hung_up") {
            self.page();
            return end;
        }
        let patience = self.patience()?;
        if !self.dialogue.is_waiting() && !self.is_dismissed && monotonic() < patience {
            return None;
        }
        self.page();
        match self.last.then {
            Then::HangUp if self.is_dismissed => Some(end.unwrap_or("dismissed")),
            Then::HangUp => end,
            Then::Collect(_) | Then::ComeBack => None,
        }
    }

    /// Makes the next page, and gives it away.
    fn page(&mut self) {
        let (spoken, then) = self.dialogue.page();
        let is_closing = self.is_dismissed && then != Then::HangUp;
        let closing = self.voice.recording(CLOSING).filter(|_| is_closing);
        let closing = closing.map(|utterance| Said {
            prompt: PromptId::parse(CLOSING),
            utterance,
            spelled: None,
        });
        let spoken = spoken.into_iter().filter(|_| !is_closing);
        let said = spoken.map(|Spoken { line, barge_in, .. }| (line, barge_in));
        let lines: Vec<Line> = said
            .chain(closing.map(|said| (said, false)))
            .map(|(said, barge_in)| Line {
                sound: match said.prompt {
                    Some(id) => Sound::Prompt {
                        language: self.voice.language().clone(),
                        id,
                    },
                    None => self.kept.keep(&said.utterance),
                },
                utterance: said.utterance,
                spelled: said.spelled,
                barge_in,
            })
            .collect();
        let question = self.question(&lines);
        self.kept.turn_page();
        self.last = Arc::new(Page {
            number: self.last.number + 1,
            lines,
            question,
            then: if is_closing { Then::HangUp } else { then },
        });
        if let Some(waiting) = self.waiting.take() {
            // Whoever has stopped waiting asks again.
            let _ = waiting.answer.send(Arc::clone(&self.last));
        }
    }

    /// The lines that a key silences, as one sound.
    fn question(&mut self, lines: &[Line]) -> Option<Sound> {
        let mut asked = lines.iter().filter(|line| line.barge_in);
        let first = asked.next()?;
        let mut rest = asked.peekable();
        if rest.peek().is_none() {
            return Some(first.sound.clone());
        }
        let mut all = first.utterance.clone();
        for line in rest {
            all.push_pause(ITEM_PAUSE);
            all.append(&line.utterance);
        }
        Some(self.kept.keep(&all))
    }
}
