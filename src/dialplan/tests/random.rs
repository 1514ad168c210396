//! Any flow, any caller, any luck: a call always ends, within its limits, and never panics.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::operation::Outcome;
use super::*;
use crate::digit::Digit;

/// One thing that may happen.
#[derive(Clone, Debug)]
enum Act {
    Key(u8),
    Heard,
    Outcome(usize),
    Fails,
    Transfer(TransferOutcome),
    Wait(u64),
    Hold,
    Resume,
    HangUp,
}

fn act() -> impl Strategy<Value = Act> {
    let transfer = prop_oneof![
        Just(TransferOutcome::Connected),
        Just(TransferOutcome::Busy),
        Just(TransferOutcome::NoAnswer),
        Just(TransferOutcome::Closed),
        Just(TransferOutcome::Failed)
    ];
    prop_oneof![
        12 => (0_u8..16).prop_map(Act::Key),
        12 => Just(Act::Heard),
        12 => (0..6_usize).prop_map(Act::Outcome),
        1 => Just(Act::Fails),
        2 => transfer.prop_map(Act::Transfer),
        6 => (0_u64..12_000).prop_map(Act::Wait),
        1 => Just(Act::Hold),
        2 => Just(Act::Resume),
        1 => prop_oneof![9 => Just(Act::Key(1)), 1 => Just(Act::HangUp)],
    ]
}

struct Call {
    interpreter: Interpreter,
    now: Instant,
    playing: Option<PlaybackId>,
    working: Option<(InvocationId, operation::Operation)>,
    entered: usize,
    ended: usize,
}

impl Call {
    fn new(flow: Arc<Flow>) -> Self {
        let now = crate::time::monotonic();
        Self {
            interpreter: Interpreter::new(flow),
            now,
            playing: None,
            working: None,
            entered: 0,
            ended: 0,
        }
    }

    fn act(&mut self, act: &Act) {
        let input = match act {
            Act::Key(code) => Digit::from_event(*code).map(Input::Digit),
            Act::Heard => self.playing.take().map(Input::PlaybackFinished),
            Act::Outcome(which) => self.working.take().map(|(invocation, operation)| {
                // Mostly what the operation can answer, sometimes nonsense.
                let outcomes = operation.spec().outcomes;
                let outcome = outcomes.get(*which).map_or(Outcome::ALL[*which], |spec| spec.outcome);
                Input::OperationDone { invocation, outcome }
            }),
            Act::Fails => self
                .working
                .take()
                .map(|(invocation, _)| Input::OperationFailed(invocation)),
            Act::Transfer(outcome) => Some(Input::TransferDone(*outcome)),
            Act::Wait(millis) => {
                self.now += Duration::from_millis(*millis);
                Some(Input::Deadline)
            }
            Act::Hold => Some(Input::Held),
            Act::Resume => Some(Input::Resumed),
            Act::HangUp => Some(Input::HungUp),
        };
        if let Some(input) = input {
            self.handle(input);
        }
    }

    fn handle(&mut self, input: Input) {
        self.interpreter.handle(self.now, input);
        while let Some(output) = self.interpreter.poll_output() {
            assert_eq!(self.ended, 0, "nothing comes after the end: {output:?}");
            match output {
                Output::Entered(_) => self.entered += 1,
                Output::Play { id, items, .. } => {
                    assert!(!items.is_empty());
                    self.playing = Some(id);
                }
                Output::StopPlaying => self.playing = None,
                Output::Invoke { id, operation, digits } => {
                    assert_eq!(operation.spec().needs_digits, digits.is_some());
                    self.working = Some((id, operation));
                }
                Output::Transfer(_) => {}
                Output::Ended(_) => self.ended += 1,
            }
        }
    }

    /// Whatever happened: from here on nothing answers any more, only time passes.
    fn abandon(&mut self) {
        for _ in 0..200 {
            let Some(deadline) = self.interpreter.next_deadline() else {
                break;
            };
            self.now = self.now.max(deadline);
            self.handle(Input::Deadline);
        }
        assert!(
            self.interpreter.has_ended(),
            "the call hangs in {}",
            self.interpreter.step()
        );
        assert_eq!(self.ended, 1);
        assert!(self.entered <= 302, "{} steps", self.entered);
    }
}

fn live(flow: Arc<Flow>, acts: &[Act]) {
    let mut call = Call::new(flow);
    call.handle(Input::Established);
    for act in acts {
        call.act(act);
    }
    call.abandon();
}

/// A valid flow: main ways lead forward, silent side ways too, keyed ones anywhere.
fn any_flow() -> impl Strategy<Value = String> {
    let step = (
        0..5_u8,
        any::<bool>(),
        any::<bool>(),
        any::<u16>(),
        any::<u16>(),
        any::<u16>(),
    );
    proptest::collection::vec(step, 1..14).prop_map(text_of)
}

fn text_of(steps: Vec<(u8, bool, bool, u16, u16, u16)>) -> String {
    let last = steps.len();
    let mut text = format!("start = \"s0\"\n[limits]\nmax_duration = \"4m\"\nthen = \"s{last}\"\n");
    for (i, (kind, barge_in, flush, a, b, c)) in steps.iter().enumerate() {
        let next = i + 1;
        let forward = |random: u16| next + usize::from(random) % (last + 1 - next);
        let anywhere = |random: u16| usize::from(random) % (last + 1);
        let retry = |random: u16, to: usize| {
            format!(
                "{{ reprompts = \"x.again\", max = {}, then = \"s{to}\" }}",
                random % 4 + 1
            )
        };
        let question = format!(
            "say = \"x.ask\"\nbarge_in = {barge_in}\nflush = {flush}\nnoinput = {}\nnomatch = {}\n",
            retry(*a, forward(*a)),
            retry(*b, anywhere(*b)),
        );
        let body = match kind {
            0 => format!(
                "kind = \"play\"\nsay = \"x.say\"\nbarge_in = {barge_in}\nflush = {flush}\nnext = \"s{next}\"\n"
            ),
            1 => format!(
                "kind = \"menu\"\n{question}keys = {{ 1 = \"s{next}\", 2 = \"s{}\", \"*\" = \"s{}\" }}\n",
                anywhere(*a),
                anywhere(*c)
            ),
            2 => format!(
                "kind = \"collect\"\n{question}max_digits = {}\nfinish_on_key = \"{}\"\nnext = \"use{i}\"\n[steps.use{i}]\n\
                     kind = \"operation\"\noperation = \"identify\"\ndigits = \"s{i}\"\nerror = \"s{}\"\n\
                     while_waiting.say = \"x.moment\"\noutcomes = {{ one = \"s{next}\", several = \"s{}\", refused = \"s{}\" }}\n",
                c % 6 + 1,
                if *flush { "#" } else { "none" },
                forward(*b),
                forward(*a),
                forward(*c)
            ),
            3 => format!(
                "kind = \"operation\"\noperation = \"pace_slower\"\nerror = \"s{}\"\noutcomes.done = \"s{next}\"\n",
                forward(*a)
            ),
            _ => format!(
                "kind = \"transfer\"\nto = \"desk\"\nsay = \"x.say\"\noutcomes = {{ busy = \"s{next}\", no_answer = \"s{}\", closed = \"s{}\", failed = \"s{}\" }}\n",
                forward(*a),
                forward(*b),
                forward(*c)
            ),
        };
        write!(text, "[steps.s{i}]\n{body}").unwrap();
    }
    text + &format!("[steps.s{last}]\nkind = \"hangup\"\nsay = \"x.bye\"\n")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_call_through_the_stock_flow_ends(acts in proptest::collection::vec(act(), 0..400)) {
        thread_local!(static STOCK: Arc<Flow> = Arc::new(flow("reset", SHIPPED[0].1)));
        live(STOCK.with(Arc::clone), &acts);
    }

    #[test]
    fn every_call_through_any_valid_flow_ends(text in any_flow(), acts in proptest::collection::vec(act(), 0..200)) {
        live(Arc::new(flow("any", &text)), &acts);
    }
}
