//! A flow that has been checked: every name is resolved, every outcome leads somewhere, every loop can be left.
//!
//! Only [`super::load`] makes one. Steps refer to each other by [`StepId`], so the interpreter looks nothing up and can
//! meet no unknown name.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::digit::Digit;

use super::name::{DestinationName, PromptId, StepName};
use super::operation::{Operation, Outcome, Privacy, Slot};

/// A call flow, ready to be carried out by any number of calls.
#[derive(Debug)]
pub struct Flow {
    pub(super) name: Arc<str>,
    pub(super) title: Arc<str>,
    pub(super) language: Arc<str>,
    pub(super) version: Version,
    pub(super) limits: Limits,
    pub(super) start: StepId,
    pub(super) steps: Vec<Step>,
    pub(super) edges: Vec<Edge>,
}

impl Flow {
    /// The name that trunks use: the file name without `.toml`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The title for people.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// The language that calls begin in, as a BCP 47 tag (`en-US`).
    #[must_use]
    pub fn language(&self) -> &str {
        &self.language
    }

    /// Which text this flow was made from.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// The step that every call begins with.
    #[must_use]
    pub fn start(&self) -> StepId {
        self.start
    }

    /// Every step, in the order of the file.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Every way from one step to another.
    #[must_use]
    pub fn edges(&self) -> &[Edge] {
        &self.edges
    }

    /// A step of this flow.
    #[must_use]
    pub fn step(&self, id: StepId) -> &Step {
        &self.steps[id.0]
    }
}

/// Index of a step in its flow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct StepId(pub(super) usize);

/// The first eight bytes of the SHA-256 of a flow's text; shown as hexadecimal, to tell versions apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Version([u8; 8]);

impl Version {
    /// The version of this text.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let hash = Sha256::digest(text.as_bytes());
        let mut first = [0; 8];
        first.copy_from_slice(&hash[..8]);
        Self(first)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What keeps a call from going on for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) max_steps: u32,
    pub(super) max_duration: Duration,
    /// A hang-up step.
    pub(super) then: StepId,
}

/// One step of a flow.
#[derive(Debug)]
pub struct Step {
    pub(super) name: StepName,
    pub(super) action: Action,
}

impl Step {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &StepName {
        &self.name
    }

    /// What kind of step it is.
    #[must_use]
    pub fn kind(&self) -> StepKind {
        match &self.action {
            Action::Play { .. } => StepKind::Play,
            Action::Menu(_) => StepKind::Menu,
            Action::Collect(_) => StepKind::Collect,
            Action::Operation(_) => StepKind::Operation,
            Action::Transfer(_) => StepKind::Transfer,
            Action::HangUp { .. } => StepKind::HangUp,
        }
    }
}

/// The `kind` of a step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum StepKind {
    /// Speaks and goes on.
    Play,
    /// Speaks and waits for one key.
    Menu,
    /// Speaks and waits for several digits.
    Collect,
    /// Has the call do something.
    Operation,
    /// Hands the call over.
    Transfer,
    /// Ends the call.
    HangUp,
}

impl StepKind {
    /// Every kind.
    pub const ALL: [Self; 6] = [
        Self::Play,
        Self::Menu,
        Self::Collect,
        Self::Operation,
        Self::Transfer,
        Self::HangUp,
    ];

    /// The word that flow files use.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Play => "play",
            Self::Menu => "menu",
            Self::Collect => "collect",
            Self::Operation => "operation",
            Self::Transfer => "transfer",
            Self::HangUp => "hangup",
        }
    }
}

/// What a step does.
#[derive(Debug)]
pub(super) enum Action {
    Play { say: Announcement, next: StepId },
    Menu(Menu),
    Collect(Collect),
    Operation(Invocation),
    Transfer(Transfer),
    HangUp { say: Announcement },
}

/// Something spoken, which may be nothing.
#[derive(Debug)]
pub(super) struct Announcement {
    pub(super) items: Arc<[PlayItem]>,
    /// Whether a key silences it and counts.
    pub(super) barge_in: bool,
    /// Whether keys from before are dropped.
    pub(super) flush: bool,
}

/// A piece of speech.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum PlayItem {
    /// A prompt of the catalogue.
    Prompt(PromptId),
    /// Something only known during the call.
    Slot(Slot),
}

impl PlayItem {
    /// How carefully it has to be treated.
    #[must_use]
    pub fn privacy(&self) -> Privacy {
        match self {
            Self::Prompt(_) => Privacy::Public,
            Self::Slot(slot) => slot.privacy(),
        }
    }
}

/// As it is written in flow files: `identify.ask`, `{question}`.
impl fmt::Display for PlayItem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prompt(id) => write!(f, "{id}"),
            Self::Slot(slot) => write!(f, "{{{slot}}}"),
        }
    }
}

/// What menus and collects have in common.
#[derive(Debug)]
pub(super) struct Question {
    pub(super) say: Announcement,
    pub(super) noinput_timeout: Duration,
    pub(super) noinput: Retry,
    pub(super) nomatch: Retry,
}

/// What happens after silence, or after a wrong key.
#[derive(Debug)]
pub(super) struct Retry {
    /// What is said before the question is asked again: first time, second time, ...; the last one serves the rest.
    pub(super) reprompts: Vec<Arc<[PlayItem]>>,
    /// The how-manieth time leaves the step; at least 1.
    pub(super) max: u8,
    pub(super) then: StepId,
}

#[derive(Debug)]
pub(super) struct Menu {
    pub(super) question: Question,
    pub(super) keys: BTreeMap<Digit, StepId>,
}

#[derive(Debug)]
pub(super) struct Collect {
    pub(super) question: Question,
    pub(super) min_digits: usize,
    pub(super) max_digits: usize,
    pub(super) finish_on_key: Option<Digit>,
    pub(super) clear_on_key: Option<Digit>,
    pub(super) interdigit_timeout: Duration,
    pub(super) next: StepId,
}

#[derive(Debug)]
pub(super) struct Invocation {
    pub(super) operation: Operation,
    /// The collect step whose digits it takes.
    pub(super) digits: Option<StepId>,
    /// One entry for each outcome that the operation has.
    pub(super) outcomes: BTreeMap<Outcome, StepId>,
    pub(super) error: StepId,
    pub(super) timeout: Duration,
    pub(super) while_waiting: Option<WhileWaiting>,
}

#[derive(Debug)]
pub(super) struct WhileWaiting {
    pub(super) after: Duration,
    pub(super) every: Duration,
    pub(super) items: Arc<[PlayItem]>,
}

#[derive(Debug)]
pub(super) struct Transfer {
    pub(super) to: DestinationName,
    pub(super) say: Announcement,
    pub(super) timeout: Duration,
    pub(super) busy: StepId,
    pub(super) no_answer: StepId,
    pub(super) closed: StepId,
    pub(super) failed: StepId,
}

/// A way from one step to another.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Edge {
    /// Where it begins.
    pub from: StepId,
    /// Where it leads.
    pub to: StepId,
    /// When it is taken.
    pub kind: EdgeKind,
}

/// When a way is taken.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum EdgeKind {
    /// After the prompt of a `play` step.
    Next,
    /// A key of a menu.
    Key(Digit),
    /// Digits were collected.
    Digits,
    /// Silence, once too often.
    NoInput,
    /// Wrong keys, once too often.
    NoMatch,
    /// An operation, or a transfer, ended so.
    Outcome(&'static str),
    /// An operation broke down or took too long.
    Error,
}

impl EdgeKind {
    /// Whether the way can be taken without any key of the caller.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        !matches!(self, Self::Key(_) | Self::Digits | Self::NoMatch)
    }

    /// Whether it is one of the ways that every question or operation has for when things go wrong.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        matches!(self, Self::NoInput | Self::NoMatch | Self::Error)
    }
}

impl fmt::Display for EdgeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Next => f.write_str("next"),
            Self::Key(key) => write!(f, "key {}", key.as_char()),
            Self::Digits => f.write_str("digits"),
            Self::NoInput => f.write_str("noinput"),
            Self::NoMatch => f.write_str("nomatch"),
            Self::Outcome(word) => f.write_str(word),
            Self::Error => f.write_str("error"),
        }
    }
}
