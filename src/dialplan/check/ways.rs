//! The ways between the steps of a draft: names looked up, outcomes compared with the catalogue.

use std::collections::BTreeMap;

use super::super::draft::{BodyDraft, Draft, OperationDraft, StepDraft, Target, TransferDraft};
use super::super::model::EdgeKind;
use super::super::operation::{CATALOGUE, Fact, Operation, Outcome, OutcomeSpec};
use super::super::report::{Code, Findings, did_you_mean, listed};
use super::super::source::{At, Span};

/// The ways of a draft, as far as they are known.
pub(super) struct Ways {
    pub(super) list: Vec<Way>,
    pub(super) start: Option<usize>,
    /// Where the limits lead.
    pub(super) limit: Option<usize>,
    index: BTreeMap<String, usize>,
}

/// A way from one step to another.
pub(super) struct Way {
    pub(super) from: usize,
    /// `None`: the name is unknown (and reported); it may lead anywhere.
    pub(super) to: Option<usize>,
    pub(super) kind: EdgeKind,
    /// What is known after it that was not known before.
    pub(super) gains: Vec<Known>,
}

/// Something that is known at a step.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Known {
    /// What the catalogue says about an outcome.
    Fact(Fact),
    /// The step with this index has collected digits, and no operation has used them yet.
    Digits(usize),
}

/// The outcomes of a transfer. A transfer that succeeds ends the flow.
pub(super) const TRANSFER_OUTCOMES: [&str; 4] = ["busy", "no_answer", "closed", "failed"];

impl Ways {
    pub(super) fn of(draft: &Draft, findings: &mut Findings) -> Self {
        let index = draft
            .steps
            .iter()
            .enumerate()
            .map(|(i, step)| (step.name.value.to_string(), i))
            .collect();
        let mut ways = Self {
            list: Vec::new(),
            start: None,
            limit: None,
            index,
        };
        ways.start = ways.look_up(&draft.start, findings);
        ways.limit = ways.look_up(&draft.limits.then, findings);
        ways.check_limit_step(draft, findings);
        for (from, step) in draft.steps.iter().enumerate() {
            findings.in_step(Some(step.name.value.as_str()));
            ways.add_step(from, step, draft, findings);
        }
        findings.in_step(None);
        ways
    }

    /// The index of a step, without a word about it if there is none.
    pub(super) fn index_of(&self, target: &Target) -> Option<usize> {
        target.as_ref().and_then(|name| self.index.get(&name.value).copied())
    }

    pub(super) fn from(&self, step: usize) -> impl Iterator<Item = &Way> {
        self.list.iter().filter(move |way| way.from == step)
    }

    fn look_up(&self, target: &Target, findings: &mut Findings) -> Option<usize> {
        let name = target.as_ref()?;
        let found = self.index.get(&name.value).copied();
        if found.is_none() {
            let known = self.index.keys().map(String::as_str);
            let remedy = did_you_mean(&name.value, known, || {
                format!("add [steps.{}], or name another step", name.value)
            });
            findings.error(
                Code::UnknownStep,
                name.span,
                format!("there is no step `{}`", name.value),
                remedy,
            );
        }
        found
    }

    fn check_limit_step(&self, draft: &Draft, findings: &mut Findings) {
        let (Some(limit), Some(name)) = (self.limit, &draft.limits.then) else {
            return;
        };
        if !matches!(draft.steps[limit].body, Some(BodyDraft::HangUp { .. }) | None) {
            let message = format!("`limits.then` has to name a hangup step, and `{}` is none", name.value);
            findings.error(
                Code::BadValue,
                name.span,
                message,
                "a call that is over its limit has to end",
            );
        }
    }

    fn add(&mut self, from: usize, target: &Target, kind: EdgeKind, gains: Vec<Known>, findings: &mut Findings) {
        let to = self.look_up(target, findings);
        self.list.push(Way { from, to, kind, gains });
    }

    fn add_step(&mut self, from: usize, step: &StepDraft, draft: &Draft, findings: &mut Findings) {
        match &step.body {
            None | Some(BodyDraft::HangUp { .. }) => {}
            Some(BodyDraft::Play { next, .. }) => self.add(from, next, EdgeKind::Next, Vec::new(), findings),
            Some(BodyDraft::Menu { question, keys }) => {
                for (key, target) in keys {
                    self.check_menu_key(*key, draft, findings);
                    self.add(
                        from,
                        &Some(target.clone()),
                        EdgeKind::Key(key.value),
                        Vec::new(),
                        findings,
                    );
                }
                self.add(from, &question.noinput.then, EdgeKind::NoInput, Vec::new(), findings);
                self.add(from, &question.nomatch.then, EdgeKind::NoMatch, Vec::new(), findings);
            }
            Some(BodyDraft::Collect { question, entry, next }) => {
                check_entry(entry, findings);
                check_use(from, step, draft, findings);
                self.add(from, next, EdgeKind::Digits, vec![Known::Digits(from)], findings);
                self.add(from, &question.noinput.then, EdgeKind::NoInput, Vec::new(), findings);
                self.add(from, &question.nomatch.then, EdgeKind::NoMatch, Vec::new(), findings);
            }
            Some(BodyDraft::Operation(operation)) => self.add_operation(from, step, operation, draft, findings),
            Some(BodyDraft::Transfer(transfer)) => self.add_transfer(from, step.name.span, transfer, findings),
        }
    }

    fn check_menu_key(&self, key: At<crate::digit::Digit>, draft: &Draft, findings: &mut Findings) {
        let letter = key.value.as_char();
        if letter.is_ascii_alphabetic() {
            let message = format!("no ordinary telephone has a key {letter}");
            findings.warning(Code::ImpossibleKey, key.span, message, "use 0 to 9, \"*\" or \"#\"");
        }
        let finisher = draft.steps.iter().find(|step| {
            matches!(&step.body, Some(BodyDraft::Collect { entry, .. }) if entry.finish_on_key.value == Some(key.value))
        });
        if let Some(step) = finisher {
            let message = format!(
                "{letter} also ends the entry in step `{}`: callers press it out of habit and would choose this",
                step.name.value
            );
            findings.warning(Code::ImpossibleKey, key.span, message, "use another key for the choice");
        }
    }

    fn add_operation(
        &mut self,
        from: usize,
        step: &StepDraft,
        invocation: &OperationDraft,
        draft: &Draft,
        findings: &mut Findings,
    ) {
        self.check_digits(invocation, step.name.span, draft, findings);
        self.add(from, &invocation.error, EdgeKind::Error, Vec::new(), findings);
        let Some(operation) = invocation.operation else {
            // Unknown, and reported: take its outcomes as they are written, and believe that it gives everything.
            for (word, target) in &invocation.outcomes {
                let known = Outcome::parse(&word.value).map_or("outcome", Outcome::name);
                let gains = every_fact().map(Known::Fact).collect();
                self.add(from, &Some(target.clone()), EdgeKind::Outcome(known), gains, findings);
            }
            return;
        };
        let specs = operation.value.spec().outcomes;
        let words: Vec<&str> = specs.iter().map(|spec| spec.outcome.name()).collect();
        check_outcomes(
            operation.value.name(),
            &words,
            &invocation.outcomes,
            step.name.span,
            findings,
        );
        for OutcomeSpec { outcome, gives, .. } in specs {
            let target = invocation
                .outcomes
                .iter()
                .find(|(word, _)| word.value == outcome.name());
            if let Some((_, target)) = target {
                let gains = gives.iter().copied().map(Known::Fact).collect();
                self.add(
                    from,
                    &Some(target.clone()),
                    EdgeKind::Outcome(outcome.name()),
                    gains,
                    findings,
                );
            }
        }
    }

    fn check_digits(&self, invocation: &OperationDraft, here: Span, draft: &Draft, findings: &mut Findings) {
        let source = self.look_up(&invocation.digits, findings);
        if let (Some(source), Some(name)) = (source, &invocation.digits)
            && !matches!(draft.steps[source].body, Some(BodyDraft::Collect { .. }) | None)
        {
            let message = format!("`{}` does not collect digits", name.value);
            findings.error(
                Code::WrongDigits,
                name.span,
                message,
                "name a step with kind = \"collect\"",
            );
        }
        let Some(operation) = invocation.operation else { return };
        let name: &str = operation.value.name();
        match (operation.value.spec().needs_digits, &invocation.digits) {
            (true, None) => {
                let message = format!("the operation `{name}` needs digits");
                let remedy = "add `digits = \"...\"` with the name of the collect step that asks for them";
                findings.error(Code::WrongDigits, here, message, remedy);
            }
            (false, Some(digits)) => {
                let message = format!("the operation `{name}` takes no digits");
                findings.error(Code::WrongDigits, digits.span, message, "take `digits` out");
            }
            _ => {}
        }
    }

    fn add_transfer(&mut self, from: usize, here: Span, transfer: &TransferDraft, findings: &mut Findings) {
        check_outcomes("transfer", &TRANSFER_OUTCOMES, &transfer.outcomes, here, findings);
        for word in TRANSFER_OUTCOMES {
            if let Some((_, target)) = transfer.outcomes.iter().find(|(outcome, _)| outcome.value == word) {
                self.add(
                    from,
                    &Some(target.clone()),
                    EdgeKind::Outcome(word),
                    Vec::new(),
                    findings,
                );
            }
        }
    }
}

/// Every outcome has to lead somewhere, and no other may be named.
fn check_outcomes(
    name: &str,
    words: &[&str],
    written: &[(At<String>, At<String>)],
    here: Span,
    findings: &mut Findings,
) {
    let missing: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !written.iter().any(|(outcome, _)| outcome.value == *word))
        .collect();
    for (outcome, _) in written
        .iter()
        .filter(|(outcome, _)| !words.contains(&outcome.value.as_str()))
    {
        let message = format!("`{name}` never ends with `{}`", outcome.value);
        let remedy = did_you_mean(&outcome.value, missing.iter().copied(), || {
            format!("its outcomes are {}", listed(words.iter().copied()))
        });
        findings.error(Code::SurplusOutcome, outcome.span, message, remedy);
    }
    if !missing.is_empty() {
        let lead = if missing.len() == 1 { "leads" } else { "lead" };
        let message = format!(
            "this step does not say where {} {lead}",
            listed(missing.iter().copied())
        );
        let remedy = format!("add `outcomes.{} = \"...\"`", missing[0]);
        findings.error(Code::MissingOutcome, here, message, remedy);
    }
}

fn check_entry(entry: &super::super::draft::EntryDraft, findings: &mut Findings) {
    if entry.min_digits.value > entry.max_digits.value {
        let message = format!(
            "nobody can key at least {} digits and at most {}",
            entry.min_digits.value, entry.max_digits.value
        );
        findings.error(
            Code::BadValue,
            entry.min_digits.span,
            message,
            "lower `min_digits` or raise `max_digits`",
        );
    }
    if entry.finish_on_key.value.is_some() && entry.finish_on_key.value == entry.clear_on_key.value {
        let message = "the same key cannot both finish and clear an entry";
        findings.error(
            Code::ImpossibleKey,
            entry.clear_on_key.span,
            message,
            "use another key, or \"none\"",
        );
    }
}

fn check_use(from: usize, step: &StepDraft, draft: &Draft, findings: &mut Findings) {
    let name = draft.steps[from].name.value.as_str();
    let used = draft.steps.iter().any(|other| {
        matches!(&other.body, Some(BodyDraft::Operation(operation))
            if operation.digits.as_ref().is_some_and(|digits| digits.value == name))
    });
    if !used {
        let message = format!("no operation uses the digits that `{name}` collects");
        let remedy = format!("add `digits = \"{name}\"` to the operation that needs them, or take the step out");
        findings.warning(Code::UnusedDigits, step.name.span, message, remedy);
    }
}

fn every_fact() -> impl Iterator<Item = Fact> {
    CATALOGUE
        .iter()
        .flat_map(|spec| spec.outcomes)
        .flat_map(|outcome| outcome.gives)
        .copied()
}

/// The operation of a step, if it is one and its name is known.
pub(super) fn operation_of(step: &StepDraft) -> Option<(&OperationDraft, Operation)> {
    match &step.body {
        Some(BodyDraft::Operation(invocation)) => invocation.operation.map(|operation| (invocation, operation.value)),
        _ => None,
    }
}
