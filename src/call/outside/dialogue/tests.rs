//! Pages of small flows, in invented time.

use super::*;
use crate::dialplan::operation::Outcome;
use crate::dialplan::{PromptId, PromptIndex, load};
use crate::time::monotonic;

const FLOW: &str = r##"
title = "test"
start = "hello"
[limits]
max_duration = "10m"
then = "too_long"
[defaults]
error = "sorry"
finish_on_key = "#"
clear_on_key = "*"
noinput_timeout = "7s"
interdigit_timeout = "3s"
noinput = { reprompts = "p.nothing", max = 2, then = "sorry" }
nomatch = { reprompts = "p.wrong", max = 2, then = "sorry" }
while_waiting = { after = "2s", every = "8s", say = "p.moment" }
[steps.hello]
kind = "play"
say = "p.hello"
barge_in = false
next = "ask"
[steps.ask]
kind = "collect"
say = "p.ask"
min_digits = 3
max_digits = 4
next = "identify"
[steps.identify]
kind = "operation"
operation = "identify"
digits = "ask"
outcomes.one = "menu"
outcomes.several = "sorry"
outcomes.refused = "sorry"
[steps.menu]
kind = "menu"
say = "p.menu"
keys.1 = "ask"
keys.9 = "bye"
[steps.sorry]
kind = "hangup"
say = "p.sorry"
[steps.bye]
kind = "hangup"
say = "p.bye"
[steps.too_long]
kind = "hangup"
say = "p.too_long"
"##;

/// A call, and what was asked of its driver.
struct Call {
    dialogue: Dialogue<String>,
    now: Instant,
    invoked: Option<(InvocationId, Option<Digits>)>,
}

impl Call {
    fn new() -> Self {
        let words = FLOW.split('"').skip(1).step_by(2).filter_map(PromptId::parse);
        let prompts = PromptIndex::new().with("en-US", words.collect::<Vec<_>>());
        let flow = match load("test.toml", FLOW, &prompts) {
            Ok(loaded) => Arc::new(loaded.flow),
            Err(report) => panic!("{report}"),
        };
        let now = monotonic();
        let mut call = Self {
            dialogue: Dialogue::begin(flow, now),
            now,
            invoked: None,
        };
        call.follow();
        call
    }

    fn follow(&mut self) {
        let speak = |items: &[PlayItem]| items.iter().map(ToString::to_string).collect();
        while let Some(wanted) = self.dialogue.poll(speak) {
            if let Wanted::Invoke(id, _, digits) = wanted {
                self.invoked = Some((id, digits));
            }
        }
    }

    /// What the page says, and what follows.
    fn page(&mut self) -> (String, Then) {
        let (spoken, then) = self.dialogue.page();
        let said: Vec<_> = spoken.into_iter().map(|spoken| spoken.line).collect();
        (said.join(" "), then)
    }

    fn said(&mut self) -> String {
        self.page().0
    }

    fn hear(&mut self, heard: &Heard) {
        self.dialogue.hear(self.now, heard);
        self.follow();
    }

    fn keys(&mut self, keys: &str) {
        self.hear(&Heard::Keys(Digits::parse(keys).expect("keys")));
    }

    fn outcome(&mut self, outcome: Outcome) {
        let (invocation, _) = self.invoked.take().expect("an operation");
        self.dialogue
            .worked(self.now, Input::OperationDone { invocation, outcome });
        self.follow();
    }

    fn digits(&self) -> String {
        let digits = self.invoked.as_ref().and_then(|(_, digits)| digits.as_ref());
        let digits = digits.expect("digits").expose();
        digits.iter().map(|digit| digit.as_char()).collect()
    }

    fn in_menu() -> Self {
        let mut call = Self::new();
        call.page();
        call.keys("123");
        call.outcome(Outcome::One);
        call
    }
}

#[test]
fn a_page_says_all_up_to_the_question_and_collects_its_answer() {
    let mut call = Call::new();
    assert!(call.dialogue.is_waiting());
    let (said, then) = call.page();
    assert_eq!(said, "p.hello p.ask");
    let Then::Collect(awaited) = then else {
        panic!("{then:?}")
    };
    assert_eq!((awaited.most, awaited.first), (4, Duration::from_secs(7)));
    assert_eq!(awaited.finish_on_key, crate::digit::Digit::from_char('#'));
    call.now += Duration::from_secs(40);
    call.keys("123");
    assert_eq!(call.digits(), "123");
    assert!(!call.dialogue.is_waiting());
    call.outcome(Outcome::One);
    assert_eq!(call.said(), "p.menu");
    call.keys("9");
    assert_eq!(call.page(), ("p.bye".to_owned(), Then::HangUp));
}

#[test]
fn silence_and_wrong_keys_are_counted_by_the_flow() {
    let mut call = Call::new();
    call.page();
    call.hear(&Heard::Silence);
    assert_eq!(call.said(), "p.nothing p.ask");
    call.keys("12");
    assert_eq!(call.said(), "p.wrong p.ask", "too short");
    // The finish key alone is what some recognizers call no match.
    call.hear(&Heard::NoMatch);
    assert_eq!(call.page(), ("p.sorry".to_owned(), Then::HangUp));

    let mut call = Call::in_menu();
    call.page();
    call.hear(&Heard::NoMatch);
    assert_eq!(call.said(), "p.wrong p.menu");
    call.hear(&Heard::Silence);
    assert_eq!(call.said(), "p.nothing p.menu");
    call.keys("7");
    assert_eq!(call.page(), ("p.sorry".to_owned(), Then::HangUp));
}

#[test]
fn an_entry_that_was_taken_back_is_asked_for_by_a_page_of_its_own() {
    let mut call = Call::new();
    call.page();
    // Four keys end the entry out there; here two of them are gone.
    call.keys("1*23");
    let (said, Then::Collect(awaited)) = call.page() else {
        panic!("nothing is asked")
    };
    assert_eq!((said.as_str(), awaited.most, awaited.has_begun), ("", 2, true));
    assert_eq!(awaited.first, Duration::from_secs(3));
    call.keys("4");
    assert_eq!(call.digits(), "234");

    let mut call = Call::new();
    call.page();
    call.keys("1*2");
    assert_eq!(call.said(), "p.wrong p.ask", "the caller was silent after it");
    call.keys("1*23");
    call.page();
    call.hear(&Heard::Silence);
    assert_eq!(call.page(), ("p.sorry".to_owned(), Then::HangUp), "so is two of three");
}

#[test]
fn keys_that_come_together_overtake_what_nobody_needs_to_hear() {
    let mut call = Call::in_menu();
    call.page();
    call.keys("1234");
    assert_eq!(call.said(), "", "the question is answered already");
    let (_, then) = call.page();
    assert!(matches!(then, Then::Collect(awaited) if awaited.has_begun), "{then:?}");
}

#[test]
fn work_is_waited_for_with_a_word_now_and_then() {
    let mut call = Call::new();
    call.page();
    call.now += Duration::from_secs(5);
    call.keys("123");
    assert_eq!(call.page(), (String::new(), Then::ComeBack));
    let comfort = call.dialogue.next_deadline().expect("a deadline");
    assert_eq!(comfort - call.now, Duration::from_secs(2));
    call.now = comfort;
    call.dialogue.expire(call.now);
    call.follow();
    assert!(call.dialogue.has_spoken());
    assert_eq!(call.page(), ("p.moment".to_owned(), Then::ComeBack));
    call.hear(&Heard::Played);
    assert_eq!(call.page(), (String::new(), Then::ComeBack));
    call.outcome(Outcome::One);
    assert_eq!(call.said(), "p.menu");
}

#[test]
fn a_question_waits_for_as_long_as_it_is_played_but_no_call_for_ever() {
    let mut call = Call::in_menu();
    call.page();
    let limit = call.dialogue.next_deadline().expect("a limit");
    assert_eq!(limit - call.now, Duration::from_secs(600));
    call.now = limit;
    call.keys("9");
    assert_eq!(call.page(), ("p.too_long".to_owned(), Then::HangUp));

    let mut call = Call::in_menu();
    call.page();
    call.now += Duration::from_secs(601);
    call.dialogue.expire(call.now);
    call.follow();
    call.hear(&Heard::Silence);
    assert_eq!(call.page(), ("p.too_long".to_owned(), Then::HangUp));
}

#[test]
fn a_caller_who_hangs_up_ends_it_in_any_step() {
    let mut call = Call::new();
    call.page();
    call.keys("123");
    call.hear(&Heard::HungUp);
    assert!(call.dialogue.end().is_some());
    assert_eq!(call.page().1, Then::HangUp);
}

#[test]
fn a_finish_key_out_of_habit_has_the_question_said_again() {
    let mut call = Call::new();
    call.page();
    call.keys("1234");
    call.outcome(Outcome::One);
    assert_eq!(call.said(), "p.menu");
    call.keys("#");
    assert_eq!(call.said(), "p.menu", "not a wrong key, and not silence");
    call.keys("9");
    assert_eq!(call.said(), "p.bye");
}

#[test]
fn a_word_of_comfort_is_on_a_page_once() {
    let mut call = Call::new();
    call.page();
    call.now += Duration::from_secs(5);
    call.keys("123");
    for _ in 0..3 {
        call.now = call.dialogue.next_deadline().expect("a deadline");
        call.dialogue.expire(call.now);
        call.follow();
    }
    assert_eq!(call.said(), "p.moment");
    call.now = call.dialogue.next_deadline().expect("a deadline");
    call.dialogue.expire(call.now);
    call.follow();
    assert_eq!(call.said(), "p.moment", "and on the next one again");
}
