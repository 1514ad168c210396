use super::super::report::Severity;
use super::super::tests::{MINIMAL, every_prompt_of};
use super::*;

fn report_of(text: &str) -> Report {
    match load("x.toml", text, &every_prompt_of(text)) {
        Ok(loaded) => loaded.report,
        Err(report) => report,
    }
}

/// What is found when one piece of the minimal flow is replaced: code, line, severity.
fn found(from: &str, to: &str) -> Vec<(Code, usize)> {
    assert!(MINIMAL.contains(from), "{from}");
    let text = MINIMAL.replacen(from, to, 1);
    report_of(&text)
        .findings
        .iter()
        .map(|finding| (finding.code, finding.line))
        .collect()
}

fn line_of(piece: &str) -> usize {
    MINIMAL[..MINIMAL.find(piece).unwrap()].matches('\n').count() + 1
}

#[test]
fn the_minimal_flow_passes() {
    let loaded = load("dialplans/minimal.toml", MINIMAL, &every_prompt_of(MINIMAL)).unwrap();
    assert_eq!(loaded.report.to_string(), "");
    assert_eq!(loaded.flow.name(), "minimal");
    assert_eq!(loaded.flow.step(loaded.flow.start()).name().as_str(), "ask_identity");
}

#[test]
fn an_empty_file_is_told_what_a_flow_needs() {
    for text in ["", "\n", "# nothing yet\n"] {
        let report = load("dialplans/empty.toml", text, &PromptIndex::new()).expect_err("no flow");
        assert!(report.has_errors());
    }
}

#[test]
fn a_name_that_does_not_exist_is_found_where_it_is_used() {
    let line = line_of("next = \"identify\"");
    assert_eq!(
        found("next = \"identify\"", "next = \"identfy\""),
        [(Code::UnknownStep, line)]
    );
    let line = line_of("operation = \"identify\"");
    assert_eq!(
        found("operation = \"identify\"", "operation = \"identfy\""),
        [(Code::UnknownOperation, line)]
    );
    let line = line_of("\"{question}\"");
    assert_eq!(found("{question}", "{questions}"), [(Code::UnknownSlot, line)]);
}

#[test]
fn a_default_with_a_mistake_is_reported_once() {
    assert_eq!(found("error = \"sorry\"", "error = \"sory\"").len(), 1);
}

#[test]
fn every_outcome_has_to_lead_somewhere_and_no_other_may() {
    let step = line_of("[steps.identify]");
    let line = line_of("outcomes.refused");
    assert_eq!(
        found("outcomes.refused = \"sorry\"\n", ""),
        [(Code::MissingOutcome, step)]
    );
    assert_eq!(
        found("outcomes.refused", "outcomes.refussed"),
        [(Code::MissingOutcome, step), (Code::SurplusOutcome, line)]
    );
    assert_eq!(
        found(", max = 2, then = \"goodbye\" }", ", max = 2 }")
            .first()
            .unwrap()
            .0,
        Code::MissingOutcome
    );
    let without_error = found("error = \"sorry\"\n", "");
    assert!(without_error.iter().all(|(code, _)| *code == Code::MissingOutcome) && without_error.len() == 4);
}

#[test]
fn digits_have_to_fit_the_operation() {
    let step = line_of("[steps.answer]");
    assert_eq!(
        found("digits = \"ask_question\"\n", ""),
        [
            (Code::UnusedDigits, line_of("[steps.ask_question]")),
            (Code::WrongDigits, step)
        ]
    );
    assert_eq!(
        found(
            "operation = \"next_question\"",
            "operation = \"next_question\"\ndigits = \"ask_identity\""
        )
        .last(),
        Some(&(Code::WrongDigits, line_of("operation = \"next_question\"") + 1))
    );
    assert!(
        found("digits = \"ask_question\"", "digits = \"identify\"")
            .iter()
            .any(|(code, _)| *code == Code::WrongDigits)
    );
}

#[test]
fn digits_are_gone_once_used() {
    let text = MINIMAL.replacen(
        "outcomes.retry = \"next_question\"",
        "outcomes.retry = \"answer_again\"",
        1,
    ) + "[steps.answer_again]\nkind = \"operation\"\noperation = \"answer\"\ndigits = \"ask_question\"\n\
           outcomes = { more = \"sorry\", passed = \"sorry\", retry = \"sorry\", failed = \"sorry\", locked = \"sorry\" }\n";
    let report = report_of(&text);
    let finding = &report.findings[0];
    assert_eq!((finding.code, report.findings.len()), (Code::DigitsNotCollected, 1));
    assert!(
        finding
            .message
            .ends_with("`ask_question` (digits) → `answer` (retry) → `answer_again`"),
        "{report}"
    );
}

#[test]
fn a_slot_that_is_empty_on_one_way_is_found_with_that_way() {
    let text = MINIMAL.replacen(
        "outcomes.passed = \"account_state\"",
        "outcomes.passed = \"tell_account_state\"",
        1,
    );
    let report = report_of(&text);
    let finding = report
        .findings
        .iter()
        .find(|finding| finding.code == Code::SlotNotFilled)
        .unwrap();
    assert_eq!(finding.step.as_deref(), Some("tell_account_state"));
    assert!(
        finding.message.contains("`answer` (passed) → `tell_account_state`"),
        "{}",
        finding.message
    );
    assert!(
        finding.remedy.contains("`account_state` with `told`"),
        "{}",
        finding.remedy
    );
}

#[test]
fn nothing_can_be_done_for_a_caller_who_is_not_verified() {
    let line = line_of("operation = \"account_state\"");
    assert_eq!(
        found("outcomes.more = \"next_question\"", "outcomes.more = \"account_state\""),
        [(Code::NeedNotMet, line)]
    );
    assert!(
        found("outcomes.one = \"next_question\"", "outcomes.one = \"account_state\"")
            .contains(&(Code::NeedNotMet, line))
    );
    // Somebody else takes the telephone: the verification of the first caller must not serve the second.
    let text = MINIMAL
        .replacen("keys.1 = \"account_state\"", "keys.1 = \"ask_identity\"", 1)
        .replacen(
            "outcomes.one = \"next_question\"",
            "outcomes.one = \"account_state\"",
            1,
        );
    assert!(
        report_of(&text)
            .findings
            .iter()
            .any(|finding| finding.code == Code::NeedNotMet)
    );
}

#[test]
fn a_step_that_nothing_leads_to_is_found_unless_a_name_is_unknown() {
    let orphan = "[steps.orphan]\nkind = \"hangup\"\n[steps.sorry]";
    assert_eq!(
        found("[steps.sorry]", orphan),
        [(Code::UnreachableStep, line_of("[steps.sorry]"))]
    );
    let text = MINIMAL
        .replacen("[steps.sorry]", orphan, 1)
        .replacen("next = \"answer\"", "next = \"orphn\"", 1);
    assert!(
        report_of(&text)
            .findings
            .iter()
            .all(|finding| finding.code != Code::UnreachableStep)
    );
}

#[test]
fn a_loop_that_nobody_can_leave_is_found() {
    let text = "start = \"a\"\nlimits.then = \"end\"\n\
                [defaults]\nnomatch.then = \"b\"\nnoinput.then = \"b\"\n\
                [steps.a]\nkind = \"menu\"\nsay = \"x.y\"\nkeys.1 = \"b\"\n\
                [steps.b]\nkind = \"play\"\nsay = \"x.y\"\nnext = \"a\"\n\
                [steps.end]\nkind = \"hangup\"\n";
    let report = report_of(text);
    let codes: Vec<_> = report.findings.iter().map(|finding| finding.code).collect();
    assert_eq!(codes, [Code::NoWayOut, Code::SilentLoop]);
    assert!(report.findings[0].message.contains("→ `b` (next) → `a`"), "{report}");
    assert!(
        report.findings[1].message.contains("`a` (noinput) → `b` (next) → `a`"),
        "{report}"
    );
}

#[test]
fn silence_may_not_lead_back_to_the_question() {
    let found = found(
        "keys.2 = \"goodbye\"",
        "keys.2 = \"goodbye\"\nnoinput.then = \"tell_account_state\"",
    );
    assert_eq!(found, [(Code::SilentLoop, line_of("[steps.tell_account_state]"))]);
}

#[test]
fn keys_that_cannot_be_meant_are_found() {
    let line = line_of("keys.1");
    assert_eq!(found("keys.1", "keys.12"), [(Code::ImpossibleKey, line)]);
    assert_eq!(found("keys.1", "keys.A"), [(Code::ImpossibleKey, line)]);
    assert_eq!(found("keys.1", "keys.\"#\""), [(Code::ImpossibleKey, line)]);
    assert!(report_of(&MINIMAL.replacen("keys.1", "keys.\"#\"", 1)).findings[0].severity == Severity::Warning);
    assert_eq!(
        found("next = \"answer\"", "next = \"answer\"\nclear_on_key = \"#\"")[0].0,
        Code::ImpossibleKey
    );
}

#[test]
fn values_out_of_range_are_found() {
    let line = line_of("max_duration");
    assert_eq!(found("\"5m\"", "\"5h\""), [(Code::BadValue, line)]);
    assert_eq!(found("\"5m\"", "\"9999m\""), [(Code::BadValue, line)]);
    assert_eq!(found("\"5m\"", "5"), [(Code::WrongType, line)]);
    assert_eq!(found("max = 2", "max = 0"), [(Code::BadValue, line_of("max = 2"))]);
    assert_eq!(
        found("next = \"answer\"", "next = \"answer\"\nmin_digits = 9\nmax_digits = 8")[0].0,
        Code::BadValue
    );
    assert_eq!(found("then = \"goodbye\"", "then = \"identify\"")[0].0, Code::BadValue);
}

#[test]
fn unknown_and_missing_keys_are_found() {
    let line = line_of("next = \"answer\"");
    assert_eq!(
        found("next = \"answer\"", "nxt = \"answer\"").first(),
        Some(&(Code::MissingKey, line - 3))
    );
    assert!(found("next = \"answer\"", "nxt = \"answer\"").contains(&(Code::UnknownKey, line)));
    assert_eq!(found("title", "titel"), [(Code::UnknownKey, line_of("title"))]);
    assert_eq!(found("kind = \"menu\"", "kind = \"meny\"")[0].0, Code::BadValue);
}

#[test]
fn a_reprompt_beyond_the_count_is_never_heard() {
    let line = line_of("next = \"answer\"");
    assert_eq!(
        found(
            "next = \"answer\"",
            "noinput.reprompts = [\"a.b\", \"c.d\"]\nnext = \"answer\""
        ),
        [(Code::UnheardReprompt, line)]
    );
}

#[test]
fn a_prompt_has_to_exist_in_every_language() {
    let complete = every_prompt_of(MINIMAL);
    let partial = complete.clone().with("de", [PromptId::parse("identify.ask").unwrap()]);
    let report = load("x.toml", MINIMAL, &partial).unwrap_err();
    assert!(
        report
            .findings
            .iter()
            .all(|finding| finding.code == Code::UnknownPrompt)
    );
    assert!(report.findings[0].message.ends_with("is missing in `de`"), "{report}");
    let report = load("x.toml", MINIMAL, &PromptIndex::new()).unwrap_err();
    assert!(
        report
            .findings
            .iter()
            .any(|finding| finding.message.starts_with("there is no prompt")),
        "{report}"
    );
}

#[test]
fn a_language_has_to_have_prompts() {
    assert_eq!(
        found("title =", "language = \"de-AT\"\ntitle ="),
        [(Code::UnknownLanguage, line_of("title ="))]
    );
    assert_eq!(
        found("title =", "language = \"German language\"\ntitle ="),
        [(Code::BadValue, line_of("title ="))]
    );
}

/// What an admin reads. Every kind of mistake that can stand beside others is in this file.
#[test]
fn the_report_of_a_very_broken_flow() {
    let text = include_str!("testdata/broken.toml");
    let prompts = PromptIndex::new()
        .with(
            "en-US",
            ["greeting.welcome", "menu.main"].map(|id| PromptId::parse(id).unwrap()),
        )
        .with("de", [PromptId::parse("menu.main").unwrap()]);
    let report = load("dialplans/broken.toml", text, &prompts).unwrap_err();
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        insta::assert_snapshot!("report_of_a_very_broken_flow", report);
    });
}

#[test]
fn json_has_what_the_text_has() {
    let report = report_of(&MINIMAL.replacen("next = \"identify\"", "next = \"identfy\"", 1));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["findings"][0]["code"], "unknown-step");
    assert_eq!(json["findings"][0]["severity"], "error");
    assert_eq!(json["findings"][0]["step"], "ask_identity");
    assert_eq!(json["findings"][0]["file"], "x.toml");
    assert!(json["findings"][0]["remedy"].as_str().unwrap().contains("identify"));
}

mod any_text {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// A file half saved, or with a cat on the keyboard: a report, never a panic.
        #[test]
        fn is_no_panic(at in 0..MINIMAL.len(), len in 0..40_usize, junk in "\\PC{0,12}") {
            let end = (at + len).min(MINIMAL.len());
            let text = format!("{}{junk}{}", &MINIMAL[..at], &MINIMAL[end..]);
            let _ = report_of(&text).to_string();
        }
    }
}
