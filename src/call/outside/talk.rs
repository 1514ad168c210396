//! The task of one call: it has the flow and the services between one page and the next, and ends when the call does.
//!
//! A page is given when the flow waits for the caller, or when its time is up: an IVR that waits longer would think that
//! nobody is here. Then it comes back at once and waits on. If there is something to play already, it is played while
//! something is worked on. An IVR that does not come back at all has lost its caller.
//!
//! Whoever revokes the API user ends the visit in the database, and no node is told. So each call looks there now and then.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::desk::Kept;
use super::dialogue::{Dialogue, Spoken, Wanted};
use super::page::{Heard, Line, Page, Sound, Then, parts};
use crate::call::operations::{Conversation, Known};
use crate::call::registry::Entry;
use crate::call::session::word_of;
use crate::call::voice::{ITEM_PAUSE, Said, Voice};
use crate::call::work::Work;
use crate::dialplan::{Flow, PromptId};
use crate::service::Visit;
use crate::time::monotonic;

/// How long a page that has something to play waits for what may follow: most operations take less.
const HASTE: Duration = Duration::from_millis(300);

/// How long the sounds of the last page can be fetched.
const LINGER: Duration = Duration::from_secs(30);

/// How long an IVR may take to fetch the goodbye of a house that is about to close.
const DISMISSAL: Duration = Duration::from_secs(10);

/// How long an IVR may take to fetch what the goodbye plays, before the API is closed.
const LAST_FETCH: Duration = Duration::from_secs(3);

/// How often a call looks whether its visit is still under way.
const LOOK_EVERY: Duration = Duration::from_secs(4);

/// How long it looks.
const LOOK_LIMIT: Duration = Duration::from_secs(2);

/// Said when the house is about to close.
const CLOSING: &str = "error.closing";

/// An outside IVR asks for the page after `number`, having heard this.
pub(super) struct Turn {
    pub(super) number: u32,
    pub(super) heard: Heard,
    /// When the answer is due.
    pub(super) until: Instant,
    pub(super) answer: oneshot::Sender<Arc<Page>>,
}

/// One call.
pub(super) struct Talk {
    dialogue: Dialogue<Said>,
    work: Work,
    voice: Arc<Voice>,
    known: Arc<Known>,
    visit: Visit,
    entry: Entry,
    turns: mpsc::Receiver<Turn>,
    kept: Kept,
    /// An IVR that is not heard of for so long has lost its caller.
    idle: Duration,
    stop: CancellationToken,
    last: Arc<Page>,
    waiting: Option<Waiting>,
    seen: Instant,
    is_dismissed: bool,
}

/// The IVR that is out there waiting for a page.
struct Waiting {
    answer: oneshot::Sender<Arc<Page>>,
    since: Instant,
    until: Instant,
}

/// What is left of a call.
pub(super) struct Left {
    pub(super) reason: &'static str,
    pub(super) last_step: String,
    pub(super) known: Arc<Known>,
    /// Its place in the list, until it is recorded.
    pub(super) entry: Entry,
}

/// What stays of a call that is over: the sounds of its last page.
pub(super) struct Afterglow {
    is_fetched: bool,
    is_dismissed: bool,
    _kept: Kept,
}

impl Afterglow {
    /// Until they are fetched.
    pub(super) async fn pass(self, stop: &CancellationToken) {
        if self.is_fetched {
            stop.run_until_cancelled(tokio::time::sleep(LINGER)).await;
        }
    }

    /// How long the end of the program has to wait for the goodbye to be fetched.
    pub(super) fn goodbye(&self) -> Duration {
        if self.is_fetched && self.is_dismissed {
            LAST_FETCH
        } else {
            Duration::ZERO
        }
    }
}

/// Keeps the session of the visit, and ends when the visit has been ended elsewhere. A database that does not answer ends
/// nothing.
async fn withdrawn(visit: Visit) {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Ok(Ok(false)) = timeout(LOOK_LIMIT, visit.is_carried_on()).await {
            return;
        }
    }
}

/// What a call is made of.
pub(super) struct Parts {
    pub(super) flow: Arc<Flow>,
    /// The visit of the conversation.
    pub(super) visit: Visit,
    pub(super) conversation: Conversation,
    pub(super) voice: Arc<Voice>,
    pub(super) entry: Entry,
    pub(super) turns: mpsc::Receiver<Turn>,
    pub(super) kept: Kept,
    pub(super) idle: Duration,
    /// Ends what is left when the program ends.
    pub(super) stop: CancellationToken,
    pub(super) metrics: crate::call::metrics::Metrics,
}

impl Talk {
    /// A call whose IVR waits for its first page with a turn for page 0.
    pub(super) fn new(parts: Parts) -> Self {
        let now = monotonic();
        Self {
            dialogue: Dialogue::begin(parts.flow, now),
            known: parts.conversation.known(),
            visit: parts.visit,
            work: Work::new(parts.conversation, parts.metrics),
            voice: parts.voice,
            entry: parts.entry,
            turns: parts.turns,
            kept: parts.kept,
            idle: parts.idle,
            stop: parts.stop,
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

    /// Carries the call through its flow. When it is over, everything of it is gone but what its last page plays.
    pub(super) async fn run(mut self) -> (Left, Afterglow) {
        let mut withdrawn = pin!(withdrawn(self.visit.clone()));
        let reason = loop {
            self.follow();
            if let Some(reason) = self.answer() {
                break reason;
            }
            let idle = self.idle_at();
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
                // Nobody can fetch anything any more.
                () = self.stop.cancelled() => break "dismissed",
                () = &mut withdrawn => break if self.seen + self.idle <= monotonic() { "lost" } else { "revoked" },
                () = tokio::time::sleep_until(due.into()) => {
                    let now = monotonic();
                    if now >= idle {
                        break if self.is_dismissed { "dismissed" } else { "lost" };
                    }
                    self.dialogue.expire(now);
                }
            }
        };
        let left = Left {
            reason,
            last_step: self.dialogue.step().to_string(),
            known: Arc::clone(&self.known),
            entry: self.entry,
        };
        let afterglow = Afterglow {
            is_fetched: self.last.then == Then::HangUp && reason != "caller_hung_up",
            is_dismissed: self.is_dismissed,
            _kept: self.kept,
        };
        (left, afterglow)
    }

    /// When the IVR has lost its caller, if it is not heard of until then. While it plays it says nothing.
    fn idle_at(&self) -> Instant {
        let limit = if self.is_dismissed { DISMISSAL } else { self.idle };
        let plays: Duration = self.last.lines.iter().map(|line| line.utterance.duration()).sum();
        self.seen + limit + plays
    }

    /// Until when whoever waits for a page does so at the longest.
    fn patience(&self) -> Option<Instant> {
        let waiting = self.waiting.as_ref()?;
        Some(match self.dialogue.has_spoken() && !self.is_dismissed {
            true => waiting.until.min(waiting.since + HASTE),
            false => waiting.until,
        })
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
            until: turn.until,
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
        // What is worked on when the house closes may still come to its end.
        let is_working = !self.dialogue.is_waiting();
        if is_working && monotonic() < patience {
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
        self.kept.turn_page(matches!(self.last.then, Then::Collect(_)));
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

    /// The lines at the end that a key silences, as one sound.
    fn question(&mut self, lines: &[Line]) -> Option<Sound> {
        let (first, rest) = parts(lines).1.split_first()?;
        if rest.is_empty() {
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
