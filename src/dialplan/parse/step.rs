//! One step of the file, with the defaults merged in.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::digit::{Digit, Digits};

use super::super::draft::{
    BodyDraft, EntryDraft, OperationDraft, QuestionDraft, RetryDraft, SayDraft, StepDraft, Target, TransferDraft,
    WhileWaitingDraft, items_span,
};
use super::super::model::{PlayItem, StepKind};
use super::super::name::{DestinationName, StepName};
use super::super::operation::Operation;
use super::super::report::{Code, did_you_mean, listed};
use super::super::source::At;
use super::reader::{Reader, parse_key};

/// From shorter than any thought to longer than any patience.
const WAIT: RangeInclusive<Duration> = Duration::from_millis(500)..=Duration::from_secs(120);

/// `[defaults]`: what steps use when they do not say otherwise.
pub(super) struct Defaults {
    barge_in: bool,
    noinput_timeout: Duration,
    interdigit_timeout: Duration,
    finish_on_key: Option<Digit>,
    clear_on_key: Option<Digit>,
    noinput: RetryKeys,
    nomatch: RetryKeys,
    error: Target,
    timeout: Duration,
    while_waiting: Option<WhileWaitingDraft>,
}

impl Default for Defaults {
    fn default() -> Self {
        Self {
            barge_in: true,
            // People look for a badge or a pen; VoiceXML platforms use 5 to 10 seconds.
            noinput_timeout: Duration::from_secs(7),
            // Longer than a slow finger, shorter than a caller who thinks the line is dead.
            interdigit_timeout: Duration::from_secs(4),
            finish_on_key: Some(Digit::Pound),
            clear_on_key: Some(Digit::Star),
            noinput: RetryKeys::default(),
            nomatch: RetryKeys::default(),
            error: None,
            // Longer than every limit inside a service: a flow gives up last.
            timeout: Duration::from_secs(30),
            while_waiting: None,
        }
    }
}

impl Defaults {
    pub(super) fn read(reader: &mut Reader<'_, '_>) -> Self {
        let built_in = Self::default();
        Self {
            barge_in: reader.flag("barge_in").unwrap_or(built_in.barge_in),
            noinput_timeout: reader
                .duration("noinput_timeout", WAIT)
                .unwrap_or(built_in.noinput_timeout),
            interdigit_timeout: reader
                .duration("interdigit_timeout", WAIT)
                .unwrap_or(built_in.interdigit_timeout),
            finish_on_key: reader
                .keypad_key("finish_on_key")
                .map_or(built_in.finish_on_key, |key| key.value),
            clear_on_key: reader
                .keypad_key("clear_on_key")
                .map_or(built_in.clear_on_key, |key| key.value),
            noinput: reader.table("noinput", RetryKeys::read).unwrap_or_default(),
            nomatch: reader.table("nomatch", RetryKeys::read).unwrap_or_default(),
            error: reader.text("error"),
            timeout: reader.duration("timeout", WAIT).unwrap_or(built_in.timeout),
            while_waiting: reader.table("while_waiting", while_waiting).flatten(),
        }
    }
}

/// `noinput` or `nomatch`, in a step or in `[defaults]`.
#[derive(Default)]
struct RetryKeys {
    reprompts: Option<Vec<At<Vec<At<PlayItem>>>>>,
    max: Option<At<u32>>,
    then: Target,
}

impl RetryKeys {
    fn read(reader: &mut Reader<'_, '_>) -> Self {
        Self {
            reprompts: reader.item_lists("reprompts"),
            max: reader.number("max", 1..=10),
            then: reader.text("then"),
        }
    }

    /// The step's keys where it has them, the defaults elsewhere. Reprompts that the step wrote itself and cannot be
    /// heard are worth a warning; inherited ones are not.
    fn merged(self, defaults: &Self, event: &str, reader: &mut Reader<'_, '_>) -> RetryDraft {
        let max = self.max.or(defaults.max).map_or(3, |max| max.value);
        let heard = usize::try_from(max - 1).unwrap_or(usize::MAX);
        if let Some(unheard) = self.reprompts.iter().flatten().nth(heard) {
            let message = format!("this reprompt is never heard: the step is left at {event} number {max}");
            let remedy = format!("raise `{event}.max`, or take the reprompt out");
            reader
                .findings
                .warning(Code::UnheardReprompt, unheard.span, message, remedy);
        }
        let then = self.then.or_else(|| defaults.then.clone());
        if then.is_none() {
            let what = if event == "noinput" {
                "silence leads"
            } else {
                "wrong keys lead"
            };
            let message = format!("this step does not say where {what} after {max} times");
            let remedy = format!("add `{event}.then = \"...\"` here, or `then` to [defaults.{event}]");
            reader
                .findings
                .error(Code::MissingOutcome, reader.span, message, remedy);
        }
        let reprompts = self
            .reprompts
            .or_else(|| defaults.reprompts.clone())
            .unwrap_or_default();
        // The range of `max` is 1 to 10.
        RetryDraft {
            reprompts,
            max: u8::try_from(max).unwrap_or(u8::MAX),
            then,
        }
    }
}

/// Reads one step.
pub(super) fn read(reader: &mut Reader<'_, '_>, name: At<StepName>, defaults: &Defaults) -> StepDraft {
    let body = kind(reader).map(|kind| match kind {
        StepKind::Play => BodyDraft::Play {
            say: required_say(reader, defaults),
            next: next(reader),
        },
        StepKind::Menu => BodyDraft::Menu {
            question: question(reader, defaults),
            keys: menu_keys(reader),
        },
        StepKind::Collect => BodyDraft::Collect {
            question: question(reader, defaults),
            entry: entry(reader, defaults),
            next: next(reader),
        },
        StepKind::Operation => BodyDraft::Operation(operation(reader, defaults)),
        StepKind::Transfer => BodyDraft::Transfer(transfer(reader, defaults)),
        StepKind::HangUp => BodyDraft::HangUp { say: farewell(reader) },
    });
    StepDraft { name, body }
}

fn kind(reader: &mut Reader<'_, '_>) -> Option<StepKind> {
    let word = reader.required_text("kind", "kind = \"play\"")?;
    let known = || StepKind::ALL.iter().map(|kind| kind.name());
    let kind = StepKind::ALL.into_iter().find(|kind| kind.name() == word.value);
    if kind.is_none() {
        let remedy = did_you_mean(&word.value, known(), || format!("kinds are {}", listed(known())));
        reader.bad_value::<()>(word.span, format!("there is no kind of step `{}`", word.value), remedy);
    }
    kind
}

fn next(reader: &mut Reader<'_, '_>) -> Target {
    reader.required_text("next", "next = \"...\"")
}

fn say(reader: &mut Reader<'_, '_>, defaults: &Defaults) -> SayDraft {
    SayDraft {
        items: reader.items("say").unwrap_or_default(),
        barge_in: reader.flag("barge_in").unwrap_or(defaults.barge_in),
        flush: reader.flag("flush").unwrap_or(false),
    }
}

/// There is nothing to get to by interrupting a goodbye: a caller who presses keys still hears it.
fn farewell(reader: &mut Reader<'_, '_>) -> SayDraft {
    SayDraft {
        items: reader.items("say").unwrap_or_default(),
        barge_in: false,
        flush: true,
    }
}

fn required_say(reader: &mut Reader<'_, '_>, defaults: &Defaults) -> SayDraft {
    if !reader.has("say") {
        reader.missing("say", "say = \"area.prompt\"");
    }
    say(reader, defaults)
}

fn question(reader: &mut Reader<'_, '_>, defaults: &Defaults) -> QuestionDraft {
    if !reader.has("say") {
        let remedy = "add `say`, unless the step before has already asked";
        reader.findings.warning(
            Code::SilentQuestion,
            reader.span,
            "this step waits for keys but asks nothing",
            remedy,
        );
    }
    let noinput = reader.table("noinput", RetryKeys::read).unwrap_or_default();
    let nomatch = reader.table("nomatch", RetryKeys::read).unwrap_or_default();
    QuestionDraft {
        say: say(reader, defaults),
        noinput_timeout: reader
            .duration("noinput_timeout", WAIT)
            .unwrap_or(defaults.noinput_timeout),
        noinput: noinput.merged(&defaults.noinput, "noinput", reader),
        nomatch: nomatch.merged(&defaults.nomatch, "nomatch", reader),
    }
}

fn menu_keys(reader: &mut Reader<'_, '_>) -> Vec<(At<Digit>, At<String>)> {
    let targets = reader.targets("keys");
    if targets.is_empty() {
        reader.missing("keys", "keys.1 = \"...\"");
    }
    let mut keys: Vec<(At<Digit>, At<String>)> = Vec::new();
    for (word, target) in targets {
        let Some(digit) = parse_key(&word.value) else {
            let message = format!("`{}` is not a key of the telephone", word.value);
            let remedy = "a menu takes one key: 0 to 9, \"*\" or \"#\"; use a `collect` step for longer numbers";
            reader.findings.error(Code::ImpossibleKey, word.span, message, remedy);
            continue;
        };
        if keys.iter().any(|(key, _)| key.value == digit) {
            let message = format!("the key {} is here twice", digit.as_char());
            reader
                .findings
                .error(Code::ImpossibleKey, word.span, message, "keep one of them");
            continue;
        }
        keys.push((At::new(digit, word.span), target));
    }
    keys
}

fn entry(reader: &mut Reader<'_, '_>, defaults: &Defaults) -> EntryDraft {
    let limit = u32::try_from(Digits::MAX_LEN).unwrap_or(u32::MAX);
    let here = reader.span;
    let mut count = |key, default| match reader.number(key, 1..=limit) {
        Some(number) => At {
            value: usize::try_from(number.value).unwrap_or(default),
            span: number.span,
        },
        None => At {
            value: default,
            span: here,
        },
    };
    let min_digits = count("min_digits", 1);
    let max_digits = count("max_digits", Digits::MAX_LEN / 2);
    let default_key = |value| At { value, span: here };
    EntryDraft {
        min_digits,
        max_digits,
        finish_on_key: reader
            .keypad_key("finish_on_key")
            .unwrap_or(default_key(defaults.finish_on_key)),
        clear_on_key: reader
            .keypad_key("clear_on_key")
            .unwrap_or(default_key(defaults.clear_on_key)),
        interdigit_timeout: reader
            .duration("interdigit_timeout", WAIT)
            .unwrap_or(defaults.interdigit_timeout),
    }
}

fn operation(reader: &mut Reader<'_, '_>, defaults: &Defaults) -> OperationDraft {
    let word = reader.required_text("operation", "operation = \"identify\"");
    let operation = word.and_then(|word| {
        let known = || Operation::ALL.iter().map(|operation| operation.name());
        let operation = Operation::parse(&word.value);
        if operation.is_none() {
            let remedy = did_you_mean(&word.value, known(), || format!("operations are {}", listed(known())));
            let message = format!("there is no operation `{}`", word.value);
            reader
                .findings
                .error(Code::UnknownOperation, word.span, message, remedy);
        }
        operation.map(|operation| At {
            value: operation,
            span: word.span,
        })
    });
    let error = reader.text("error").or_else(|| defaults.error.clone());
    if error.is_none() {
        let message = "this step does not say where the call goes if the operation breaks down or takes too long";
        let remedy = "add `error = \"...\"` here, or to [defaults]";
        reader
            .findings
            .error(Code::MissingOutcome, reader.span, message, remedy);
    }
    OperationDraft {
        operation,
        digits: reader.text("digits"),
        outcomes: reader.targets("outcomes"),
        error,
        timeout: reader.duration("timeout", WAIT).unwrap_or(defaults.timeout),
        while_waiting: reader
            .table("while_waiting", while_waiting)
            .unwrap_or_else(|| defaults.while_waiting.clone()),
    }
}

fn while_waiting(reader: &mut Reader<'_, '_>) -> Option<WhileWaitingDraft> {
    // Under two seconds nobody wonders; "one moment please" itself takes about one.
    let after = reader.duration("after", WAIT).unwrap_or(Duration::from_secs(2));
    let every = reader.duration("every", WAIT).unwrap_or(Duration::from_secs(8));
    let items = reader.items("say").unwrap_or_default();
    if items.is_empty() {
        reader.missing("say", "say = \"common.one_moment\"");
        return None;
    }
    let span = items_span(&items, reader.span);
    if items.iter().any(|item| matches!(item.value, PlayItem::Slot(_))) {
        let remedy = "use prompts only".to_owned();
        return reader.bad_value(
            span,
            "slots cannot be spoken while an operation works".to_owned(),
            remedy,
        );
    }
    Some(WhileWaitingDraft { after, every, items })
}

fn transfer(reader: &mut Reader<'_, '_>, defaults: &Defaults) -> TransferDraft {
    let to = reader.required_text("to", "to = \"help_desk\"").and_then(|word| {
        let name = DestinationName::parse(&word.value);
        if name.is_none() {
            let message = format!("`{}` cannot be the name of a destination", word.value);
            let remedy =
                "use small letters, digits and `_`; the address itself belongs to the configuration".to_owned();
            reader.bad_value::<()>(word.span, message, remedy);
        }
        name.map(|name| At {
            value: name,
            span: word.span,
        })
    });
    TransferDraft {
        to,
        say: say(reader, defaults),
        // Eight rings.
        timeout: reader.duration("timeout", WAIT).unwrap_or(Duration::from_secs(40)),
        outcomes: reader.targets("outcomes"),
    }
}
