//! A flow as it was written: names are still text, and everything knows its place in the file.
//!
//! Defaults are already merged in. What is `None` here was missing or unusable, and has been reported.

use std::time::Duration;

use crate::digit::Digit;

use super::model::PlayItem;
use super::name::{DestinationName, StepName};
use super::operation::Operation;
use super::source::{At, Span};

/// A whole file.
#[derive(Debug)]
pub(super) struct Draft {
    pub(super) title: Option<String>,
    pub(super) language: At<String>,
    pub(super) start: Target,
    pub(super) limits: LimitsDraft,
    pub(super) steps: Vec<StepDraft>,
}

/// Where something leads; `None` has been reported.
pub(super) type Target = Option<At<String>>;

/// `[limits]`
#[derive(Debug)]
pub(super) struct LimitsDraft {
    pub(super) max_steps: u32,
    pub(super) max_duration: Duration,
    pub(super) then: Target,
}

/// One `[steps.NAME]`.
#[derive(Debug)]
pub(super) struct StepDraft {
    pub(super) name: At<StepName>,
    /// `None` when the kind is missing or unknown; such a step can still be named by others.
    pub(super) body: Option<BodyDraft>,
}

/// What a step does.
#[derive(Debug)]
pub(super) enum BodyDraft {
    Play {
        say: SayDraft,
        next: Target,
    },
    Menu {
        question: QuestionDraft,
        keys: Vec<(At<Digit>, At<String>)>,
    },
    Collect {
        question: QuestionDraft,
        entry: EntryDraft,
        next: Target,
    },
    Operation(OperationDraft),
    Transfer(TransferDraft),
    HangUp {
        say: SayDraft,
    },
}

/// Prompts and slots to speak.
#[derive(Debug)]
pub(super) struct SayDraft {
    pub(super) items: Vec<At<PlayItem>>,
    pub(super) barge_in: bool,
    pub(super) flush: bool,
}

/// What menus and collects have in common.
#[derive(Debug)]
pub(super) struct QuestionDraft {
    pub(super) say: SayDraft,
    pub(super) noinput_timeout: Duration,
    pub(super) noinput: RetryDraft,
    pub(super) nomatch: RetryDraft,
}

/// What happens after silence, or after a wrong key.
#[derive(Clone, Debug)]
pub(super) struct RetryDraft {
    pub(super) reprompts: Vec<At<Vec<At<PlayItem>>>>,
    pub(super) max: u8,
    pub(super) then: Target,
}

/// How digits are collected.
#[derive(Debug)]
pub(super) struct EntryDraft {
    pub(super) min_digits: At<usize>,
    pub(super) max_digits: At<usize>,
    pub(super) finish_on_key: At<Option<Digit>>,
    pub(super) clear_on_key: At<Option<Digit>>,
    pub(super) interdigit_timeout: Duration,
}

/// An operation and where its outcomes lead.
#[derive(Debug)]
pub(super) struct OperationDraft {
    pub(super) operation: Option<At<Operation>>,
    pub(super) digits: Target,
    pub(super) outcomes: Vec<(At<String>, At<String>)>,
    pub(super) error: Target,
    pub(super) timeout: Duration,
    pub(super) while_waiting: Option<WhileWaitingDraft>,
}

/// What is spoken while an operation takes its time.
#[derive(Clone, Debug)]
pub(super) struct WhileWaitingDraft {
    pub(super) after: Duration,
    pub(super) every: Duration,
    pub(super) items: Vec<At<PlayItem>>,
}

/// A transfer and where its failures lead.
#[derive(Debug)]
pub(super) struct TransferDraft {
    pub(super) to: Option<At<DestinationName>>,
    pub(super) say: SayDraft,
    pub(super) timeout: Duration,
    pub(super) outcomes: Vec<(At<String>, At<String>)>,
}

impl QuestionDraft {
    fn spoken(&self) -> Vec<&At<PlayItem>> {
        let reprompts = self.noinput.reprompts.iter().chain(&self.nomatch.reprompts);
        self.say
            .items
            .iter()
            .chain(reprompts.flat_map(|reprompt| &reprompt.value))
            .collect()
    }
}

impl BodyDraft {
    /// Everything that the step may speak.
    pub(super) fn spoken(&self) -> Vec<&At<PlayItem>> {
        match self {
            Self::Play { say, .. } | Self::HangUp { say } => say.items.iter().collect(),
            Self::Menu { question: q, .. } | Self::Collect { question: q, .. } => q.spoken(),
            Self::Operation(step) => step.while_waiting.iter().flat_map(|waiting| &waiting.items).collect(),
            Self::Transfer(step) => step.say.items.iter().collect(),
        }
    }
}

/// The span of a list of items, for findings about the list itself.
pub(super) fn items_span(items: &[At<PlayItem>], otherwise: Span) -> Span {
    match (items.first(), items.last()) {
        (Some(first), Some(last)) => Span {
            start: first.span.start,
            end: last.span.end,
        },
        _ => otherwise,
    }
}
