use super::super::name::PromptId;
use super::super::operation::{Operation, Outcome, Slot};
use super::super::tests::flow;
use super::*;
use crate::digit::Digit;

/// A call in invented time.
struct Call {
    interpreter: Interpreter,
    now: Instant,
    outputs: Vec<Output>,
}

impl Call {
    fn new(text: &str) -> Self {
        let now = crate::time::monotonic();
        let mut call = Self {
            interpreter: Interpreter::new(Arc::new(flow("test", text))),
            now,
            outputs: Vec::new(),
        };
        call.input(Input::Established);
        call
    }

    fn input(&mut self, input: Input) {
        self.interpreter.handle(self.now, input);
        while let Some(output) = self.interpreter.poll_output() {
            self.outputs.push(output);
        }
    }

    fn keys(&mut self, keys: &str) {
        for key in keys.chars() {
            self.input(Input::Digit(Digit::from_char(key).unwrap()));
        }
    }

    fn wait(&mut self, seconds: f64) {
        self.now += Duration::from_secs_f64(seconds);
        self.input(Input::Deadline);
    }

    fn outcome(&mut self, outcome: Outcome) {
        let invocation = self.invocation().unwrap();
        self.input(Input::OperationDone { invocation, outcome });
    }

    /// The prompt that was begun last is heard to its end.
    fn heard(&mut self) {
        let id = self.last_play().map(|(id, _)| id).unwrap();
        self.input(Input::PlaybackFinished(id));
    }

    fn step(&self) -> &str {
        self.interpreter.step().as_str()
    }

    fn last_play(&self) -> Option<(PlaybackId, String)> {
        self.outputs.iter().rev().find_map(|output| match output {
            Output::Play { id, items, .. } => {
                Some((*id, items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")))
            }
            _ => None,
        })
    }

    fn said(&self) -> String {
        self.last_play().map(|(_, said)| said).unwrap_or_default()
    }

    fn plays(&self) -> usize {
        self.outputs
            .iter()
            .filter(|output| matches!(output, Output::Play { .. }))
            .count()
    }

    fn invocation(&self) -> Option<InvocationId> {
        self.outputs.iter().rev().find_map(|output| match output {
            Output::Invoke { id, .. } => Some(*id),
            _ => None,
        })
    }

    /// What the last operation was given.
    fn digits(&self) -> Option<String> {
        self.outputs.iter().rev().find_map(|output| match output {
            Output::Invoke { digits, .. } => Some(digits.as_ref()?.to_secret().expose().to_owned()),
            _ => None,
        })
    }

    fn end(&self) -> Option<&End> {
        self.outputs.iter().find_map(|output| match output {
            Output::Ended(end) => Some(end),
            _ => None,
        })
    }
}

/// Every kind of step; `collect` ends by `#` or at four digits.
const FLOW: &str = r##"
start = "hello"
[limits]
max_steps = 40
max_duration = "10m"
then = "over"
[defaults]
noinput_timeout = "5s"
interdigit_timeout = "2s"
error = "trouble"
noinput = { reprompts = ["x.silent", "x.silent_again"], max = 3, then = "bye" }
nomatch = { reprompts = ["x.wrong", "x.wrong_again"], max = 4, then = "bye" }
[steps.hello]
kind = "play"
say = "x.hello"
next = "pick"
[steps.pick]
kind = "menu"
say = "x.pick"
keys = { 1 = "number", 2 = "warning", 4 = "desk", "*" = "pick" }
[steps.number]
kind = "collect"
say = "x.number"
max_digits = 4
next = "work_on_it"
[steps.work_on_it]
kind = "operation"
operation = "identify"
digits = "number"
timeout = "20s"
while_waiting = { after = "2s", every = "5s", say = "x.moment" }
outcomes = { one = "pick", several = "number", refused = "bye" }
[steps.warning]
kind = "play"
say = "x.warning"
barge_in = false
next = "pick"
[steps.desk]
kind = "transfer"
to = "help_desk"
say = "x.desk"
timeout = "30s"
outcomes = { busy = "pick", no_answer = "warning", closed = "bye", failed = "trouble" }
[steps.trouble]
kind = "hangup"
say = "x.trouble"
[steps.over]
kind = "hangup"
say = "x.over"
[steps.bye]
kind = "hangup"
say = "x.bye"
"##;

/// A call at the menu, which has been heard.
fn at_menu() -> Call {
    let mut call = Call::new(FLOW);
    call.heard();
    call.heard();
    call
}

fn at_number() -> Call {
    let mut call = at_menu();
    call.keys("1");
    call.heard();
    call
}

#[test]
fn nothing_happens_before_the_call_is_established() {
    let mut interpreter = Interpreter::new(Arc::new(flow("test", FLOW)));
    let now = crate::time::monotonic();
    interpreter.handle(now, Input::Digit(Digit::D1));
    interpreter.handle(now, Input::Deadline);
    assert!(interpreter.poll_output().is_none() && interpreter.next_deadline().is_none());
}

#[test]
fn a_key_silences_the_prompt_and_counts() {
    let mut call = Call::new(FLOW);
    call.keys("2");
    assert!(call.outputs.iter().any(|output| matches!(output, Output::StopPlaying)));
    assert_eq!((call.step(), call.said().as_str()), ("warning", "x.warning"));
}

#[test]
fn without_barge_in_a_key_is_dropped() {
    let mut call = at_menu();
    call.keys("2");
    assert_eq!(call.step(), "warning");
    call.keys("1");
    call.heard();
    assert_eq!((call.step(), call.said().as_str()), ("pick", "x.pick"));
}

#[test]
fn keys_typed_ahead_answer_questions_that_are_never_spoken() {
    let mut call = at_number();
    call.keys("12#");
    call.keys("14711#2");
    let plays = call.plays();
    call.outcome(Outcome::One);
    assert_eq!(
        (call.step(), call.plays()),
        ("work_on_it", plays),
        "through the menu and the number"
    );
    assert_eq!(call.digits().as_deref(), Some("4711"));
    call.outcome(Outcome::One);
    assert_eq!((call.step(), call.said().as_str()), ("warning", "x.warning"));
}

/// A call in the stock flow, where a password is being made.
fn at_proposal() -> Call {
    let mut call = Call::new(super::super::tests::SHIPPED[0].1);
    call.keys("47#");
    call.outcome(Outcome::One);
    call.outcome(Outcome::Ask);
    call.keys("1984#");
    call.outcome(Outcome::Passed);
    call.keys("1");
    call.outcome(Outcome::Selected);
    assert_eq!(call.step(), "propose_password");
    call
}

#[test]
fn flush_drops_keys_from_before() {
    let mut call = at_proposal();
    call.keys("44");
    call.outcome(Outcome::Proposed);
    assert_eq!((call.step(), call.said().as_str()), ("get_ready", "password.get_ready"));
    call.heard();
    assert_eq!(
        (call.step(), call.said().as_str()),
        ("read_password", "password.lead_in {password}")
    );
    call.keys("3");
    assert_eq!(
        call.step(),
        "propose_password",
        "a key while it is read counts for the menu that follows"
    );
}

#[test]
fn a_password_is_played_as_secret() {
    let mut call = at_proposal();
    call.outcome(Outcome::Proposed);
    call.heard();
    for output in &call.outputs {
        if let Output::Play { privacy, items, .. } = output {
            let is_password = items.contains(&PlayItem::Slot(Slot::Password));
            assert_eq!(*privacy == Privacy::Secret, is_password);
        }
    }
    assert!(call.said().contains("{password}"));
}

#[test]
fn an_entry_ends_by_the_finish_key_the_last_digit_or_a_pause() {
    let mut call = at_number();
    call.keys("12#");
    assert_eq!(call.digits().as_deref(), Some("12"));

    let mut call = at_number();
    call.keys("1234");
    assert_eq!(call.digits().as_deref(), Some("1234"));

    let mut call = at_number();
    call.keys("123");
    call.wait(1.9);
    assert_eq!(call.step(), "number");
    call.wait(0.2);
    assert_eq!(call.digits().as_deref(), Some("123"));
}

/// People press pound after the last digit even when nobody waits for it. It used to be a wrong key in whatever came
/// next, on every platform that forgets this.
#[test]
fn a_finish_key_out_of_habit_is_swallowed_and_does_not_cut_the_next_prompt() {
    let mut call = at_number();
    call.keys("1234");
    call.outcome(Outcome::One);
    let plays = call.plays();
    call.keys("#");
    assert_eq!(
        (call.step(), call.said().as_str(), call.plays()),
        ("pick", "x.pick", plays + 1)
    );
    call.heard();
    call.keys("#");
    assert_eq!(call.said(), "x.wrong x.pick", "the second one is a wrong key");
}

#[test]
fn a_habit_is_forgotten_after_the_interdigit_timeout() {
    let mut call = at_number();
    call.keys("1234");
    call.outcome(Outcome::One);
    call.wait(2.5);
    call.keys("#");
    assert_eq!(call.said(), "x.wrong x.pick");
}

#[test]
fn star_clears_an_entry() {
    let mut call = at_number();
    call.keys("99*12#");
    assert_eq!(call.digits().as_deref(), Some("12"));
}

#[test]
fn an_empty_entry_is_a_wrong_key() {
    let mut call = at_number();
    call.keys("#");
    assert_eq!((call.step(), call.said().as_str()), ("number", "x.wrong x.number"));
}

#[test]
fn letter_keys_are_nobodys_keys() {
    let mut call = at_menu();
    call.keys("A");
    assert_eq!((call.step(), call.said().as_str()), ("pick", "x.pick"));
    call.wait(5.0);
    assert_eq!(call.said(), "x.silent x.pick", "silence is still counted");
    let mut call = at_number();
    call.keys("1B2#");
    assert_eq!(call.digits().as_deref(), Some("12"));
}

#[test]
fn silence_is_asked_again_with_rising_help_and_then_ends() {
    let mut call = at_menu();
    call.wait(4.9);
    assert_eq!(call.said(), "x.pick");
    call.wait(0.2);
    assert_eq!(call.said(), "x.silent x.pick");
    call.heard();
    call.wait(5.0);
    assert_eq!(call.said(), "x.silent_again x.pick");
    call.heard();
    call.wait(5.0);
    assert_eq!((call.step(), call.said().as_str()), ("bye", "x.bye"));
    call.heard();
    assert_eq!(call.end().unwrap().reason, EndReason::Completed);
}

#[test]
fn wrong_keys_are_counted_and_the_last_reprompt_serves_the_rest() {
    let mut call = at_menu();
    for said in ["x.wrong x.pick", "x.wrong_again x.pick", "x.wrong_again x.pick"] {
        call.keys("7");
        assert_eq!(call.said(), said);
    }
    call.keys("7");
    assert_eq!(call.step(), "bye");
}

#[test]
fn a_wrong_key_throws_away_what_was_typed_ahead() {
    let mut call = Call::new(FLOW);
    call.keys("1");
    call.heard();
    call.keys("1234");
    call.keys("71");
    call.outcome(Outcome::One);
    assert_eq!((call.step(), call.said().as_str()), ("pick", "x.wrong x.pick"));
}

#[test]
fn time_outs_stand_still_on_hold_and_speech_is_said_again() {
    let mut call = Call::new(FLOW);
    call.input(Input::Held);
    call.wait(120.0);
    call.keys("1");
    assert_eq!(call.step(), "hello");
    call.input(Input::Resumed);
    assert_eq!((call.said().as_str(), call.plays()), ("x.hello", 2));
    call.heard();
    call.heard();
    call.wait(4.0);
    call.input(Input::Held);
    call.wait(60.0);
    call.input(Input::Resumed);
    call.wait(0.9);
    assert_eq!(call.said(), "x.pick");
    call.wait(0.2);
    assert_eq!(call.said(), "x.silent x.pick");
}

#[test]
fn an_outcome_during_hold_is_taken_afterwards() {
    let mut call = at_number();
    call.keys("12#");
    call.input(Input::Held);
    call.outcome(Outcome::One);
    assert_eq!(call.step(), "work_on_it");
    call.input(Input::Resumed);
    assert_eq!((call.step(), call.said().as_str()), ("pick", "x.pick"));
}

#[test]
fn a_slow_operation_is_covered_by_a_prompt_and_given_up_in_the_end() {
    let mut call = at_number();
    call.keys("12#");
    call.wait(1.9);
    assert_eq!(call.said(), "x.number");
    call.wait(0.2);
    assert_eq!(call.said(), "x.moment");
    call.heard();
    let plays = call.plays();
    call.wait(5.1);
    assert_eq!((call.said().as_str(), call.plays()), ("x.moment", plays + 1));
    call.wait(13.0);
    assert_eq!(call.step(), "trouble");
    call.outcome(Outcome::One);
    assert_eq!(call.step(), "trouble", "an answer that comes too late changes nothing");
}

#[test]
fn an_operation_that_breaks_down_takes_the_error_way() {
    let mut call = at_number();
    call.keys("12#");
    let invocation = call.invocation().unwrap();
    call.input(Input::OperationFailed(invocation));
    assert_eq!(call.step(), "trouble");
}

#[test]
fn an_outcome_that_the_operation_does_not_have_is_an_error() {
    let mut call = at_number();
    call.keys("12#");
    call.outcome(Outcome::Proposed);
    assert_eq!(call.step(), "trouble");
}

#[test]
fn each_outcome_of_a_transfer_leads_on_or_out() {
    let transferred = |outcome: Option<TransferOutcome>| {
        let mut call = at_menu();
        call.keys("4");
        assert_eq!(call.said(), "x.desk");
        assert!(
            !call.outputs.iter().any(|output| matches!(output, Output::Transfer(_))),
            "not before it is announced"
        );
        call.heard();
        assert!(matches!(call.outputs.last(), Some(Output::Transfer(_))));
        match outcome {
            Some(outcome) => call.input(Input::TransferDone(outcome)),
            None => call.wait(31.0),
        }
        call
    };
    assert_eq!(transferred(Some(TransferOutcome::Busy)).step(), "pick");
    assert_eq!(transferred(Some(TransferOutcome::NoAnswer)).step(), "warning");
    assert_eq!(transferred(Some(TransferOutcome::Closed)).step(), "bye");
    assert_eq!(transferred(Some(TransferOutcome::Failed)).step(), "trouble");
    assert_eq!(transferred(None).step(), "warning");
    let end = transferred(Some(TransferOutcome::Connected)).end().unwrap().clone();
    assert_eq!((end.reason, end.reason.needs_bye()), (EndReason::Transferred, false));
}

#[test]
fn hanging_up_ends_everything_at_once_and_says_where() {
    let mut call = at_number();
    call.keys("12");
    call.input(Input::HungUp);
    let end = call.end().unwrap();
    assert_eq!((end.reason, end.step.as_str()), (EndReason::CallerHungUp, "number"));
    assert!(!end.reason.needs_bye() && call.interpreter.has_ended());
    assert_eq!(call.interpreter.next_deadline(), None);
    call.keys("1");
    assert!(
        matches!(call.outputs.last(), Some(Output::Ended(_))),
        "nothing comes after the end"
    );
}

#[test]
fn a_call_that_is_too_long_is_told_and_ended() {
    let mut call = Call::new(FLOW);
    call.wait(600.0);
    assert_eq!((call.step(), call.said().as_str()), ("over", "x.over"));
    call.heard();
    assert_eq!(call.end().unwrap().reason, EndReason::TooLong);
}

#[test]
fn hold_does_not_outlast_the_limit_even_if_no_goodbye_is_ever_heard() {
    let mut call = Call::new(FLOW);
    call.input(Input::Held);
    call.wait(600.0);
    assert_eq!(call.step(), "over");
    call.wait(30.0);
    assert_eq!(call.end().unwrap().reason, EndReason::TooLong);

    let mut call = Call::new(FLOW);
    call.wait(600.0);
    call.input(Input::Held);
    assert!(call.interpreter.has_ended());
}

#[test]
fn a_call_of_too_many_steps_is_told_and_ended() {
    let mut call = at_menu();
    for _ in 0..60 {
        call.keys("*");
    }
    assert_eq!((call.step(), call.said().as_str()), ("over", "x.over"));
    call.heard();
    assert_eq!(call.end().unwrap().reason, EndReason::TooManySteps);
}

#[test]
fn two_hundred_keys_in_a_second_do_no_harm() {
    let mut call = at_number();
    call.keys("12#");
    for _ in 0..200 {
        call.now += Duration::from_millis(5);
        call.keys("1");
    }
    call.outcome(Outcome::One);
    assert_eq!(call.step(), "work_on_it");
    assert_eq!(call.digits().as_deref(), Some("1111"));
}

#[test]
fn a_goodbye_is_heard_whatever_is_pressed() {
    let mut call = at_number();
    call.keys("12#");
    call.outcome(Outcome::Refused);
    call.keys("123#*");
    assert!(call.end().is_none());
    call.heard();
    assert!(call.end().is_some());
}

#[test]
fn debug_shows_the_step_and_no_key() {
    let mut call = at_number();
    call.keys("12");
    assert_eq!(
        format!("{:?}", call.interpreter),
        "Interpreter { flow: \"test\", step: \"number\", .. }"
    );
    call.keys("34");
    let shown = format!("{:?}", call.outputs);
    assert!(shown.contains("[keys]") && !shown.contains("1234"), "{shown}");
}

#[test]
fn a_finished_playback_of_the_past_is_ignored() {
    let mut call = Call::new(FLOW);
    let (hello, _) = call.last_play().unwrap();
    call.heard();
    call.input(Input::PlaybackFinished(hello));
    call.wait(30.0);
    assert_eq!(call.said(), "x.pick", "the menu is still being spoken");
    assert!(PromptId::parse(&call.said()).is_some());
    assert!(call.outputs.iter().all(|output| !matches!(
        output,
        Output::Invoke {
            operation: Operation::Reset,
            ..
        }
    )));
}
