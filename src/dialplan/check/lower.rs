//! A draft without errors becomes a flow. `None` would mean that an error was not reported.

use std::sync::Arc;

use super::super::draft::{
    BodyDraft, Draft, OperationDraft, QuestionDraft, RetryDraft, SayDraft, StepDraft, Target, TransferDraft,
    WhileWaitingDraft,
};
use super::super::model::{
    Action, Announcement, Collect, Edge, Flow, Invocation, Limits, Menu, PlayItem, Question, Retry, Step, StepId,
    Transfer, Version, WhileWaiting,
};
use super::super::operation::Outcome;
use super::super::source::{At, Source};
use super::ways::Ways;

pub(super) fn lower(source: &Source, draft: &Draft, ways: &Ways) -> Option<Flow> {
    let name: Arc<str> = flow_name(&source.file).into();
    Some(Flow {
        title: draft.title.as_deref().map_or_else(|| Arc::clone(&name), Arc::from),
        name,
        language: draft.language.value.as_str().into(),
        version: Version::of(&source.text),
        limits: Limits {
            max_steps: draft.limits.max_steps,
            max_duration: draft.limits.max_duration,
            then: StepId(ways.limit?),
        },
        start: StepId(ways.start?),
        steps: draft
            .steps
            .iter()
            .map(|step| lower_step(step, ways))
            .collect::<Option<_>>()?,
        edges: edges(ways)?,
    })
}

/// `dialplans/reset.toml` is `reset`.
fn flow_name(file: &str) -> &str {
    let base = file.rsplit(['/', '\\']).next().unwrap_or(file);
    base.strip_suffix(".toml").unwrap_or(base)
}

fn edges(ways: &Ways) -> Option<Vec<Edge>> {
    let edge = |way: &super::ways::Way| {
        Some(Edge {
            from: StepId(way.from),
            to: StepId(way.to?),
            kind: way.kind.clone(),
        })
    };
    ways.list.iter().map(edge).collect()
}

fn lower_step(step: &StepDraft, ways: &Ways) -> Option<Step> {
    let id = |target: &Target| ways.index_of(target).map(StepId);
    let action = match step.body.as_ref()? {
        BodyDraft::Play { say, next } => Action::Play {
            say: announcement(say),
            next: id(next)?,
        },
        BodyDraft::HangUp { say } => Action::HangUp { say: announcement(say) },
        BodyDraft::Menu { question, keys } => Action::Menu(Menu {
            question: lower_question(question, ways)?,
            keys: keys
                .iter()
                .map(|(key, target)| Some((key.value, id(&Some(target.clone()))?)))
                .collect::<Option<_>>()?,
        }),
        BodyDraft::Collect { question, entry, next } => Action::Collect(Collect {
            question: lower_question(question, ways)?,
            min_digits: entry.min_digits.value,
            max_digits: entry.max_digits.value,
            finish_on_key: entry.finish_on_key.value,
            clear_on_key: entry.clear_on_key.value,
            interdigit_timeout: entry.interdigit_timeout,
            next: id(next)?,
        }),
        BodyDraft::Operation(operation) => Action::Operation(lower_operation(operation, ways)?),
        BodyDraft::Transfer(transfer) => Action::Transfer(lower_transfer(transfer, ways)?),
    };
    Some(Step {
        name: step.name.value.clone(),
        action,
    })
}

fn items(items: &[At<PlayItem>]) -> Arc<[PlayItem]> {
    items.iter().map(|item| item.value.clone()).collect()
}

fn announcement(say: &SayDraft) -> Announcement {
    Announcement {
        items: items(&say.items),
        barge_in: say.barge_in,
        flush: say.flush,
    }
}

fn lower_question(question: &QuestionDraft, ways: &Ways) -> Option<Question> {
    let retry = |retry: &RetryDraft| {
        Some(Retry {
            reprompts: retry.reprompts.iter().map(|reprompt| items(&reprompt.value)).collect(),
            max: retry.max,
            then: StepId(ways.index_of(&retry.then)?),
        })
    };
    Some(Question {
        say: announcement(&question.say),
        noinput_timeout: question.noinput_timeout,
        noinput: retry(&question.noinput)?,
        nomatch: retry(&question.nomatch)?,
    })
}

fn lower_operation(invocation: &OperationDraft, ways: &Ways) -> Option<Invocation> {
    let outcome = |(word, target): &(At<String>, At<String>)| {
        Some((
            Outcome::parse(&word.value)?,
            StepId(ways.index_of(&Some(target.clone()))?),
        ))
    };
    let waiting = |waiting: &WhileWaitingDraft| WhileWaiting {
        after: waiting.after,
        every: waiting.every,
        items: items(&waiting.items),
    };
    let digits = match &invocation.digits {
        Some(_) => Some(StepId(ways.index_of(&invocation.digits)?)),
        None => None,
    };
    Some(Invocation {
        operation: invocation.operation?.value,
        digits,
        outcomes: invocation.outcomes.iter().map(outcome).collect::<Option<_>>()?,
        error: StepId(ways.index_of(&invocation.error)?),
        timeout: invocation.timeout,
        while_waiting: invocation.while_waiting.as_ref().map(waiting),
    })
}

fn lower_transfer(transfer: &TransferDraft, ways: &Ways) -> Option<Transfer> {
    let target = |word: &str| {
        let (_, target) = transfer.outcomes.iter().find(|(outcome, _)| outcome.value == word)?;
        Some(StepId(ways.index_of(&Some(target.clone()))?))
    };
    Some(Transfer {
        to: transfer.to.as_ref()?.value.clone(),
        say: announcement(&transfer.say),
        timeout: transfer.timeout,
        busy: target("busy")?,
        no_answer: target("no_answer")?,
        closed: target("closed")?,
        failed: target("failed")?,
    })
}
