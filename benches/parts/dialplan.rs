//! The stock call flow: reading and checking its file, and one call through it.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

use criterion::Criterion;
use passline::dialplan::{Flow, Input, Interpreter, Output, PromptId, PromptIndex, load};
use passline::digit::Digit;
use passline::time::monotonic;

const STOCK: &str = include_str!("../../dialplans/reset.toml");

pub(crate) fn all(criterion: &mut Criterion) {
    let words = STOCK.split('"').skip(1).step_by(2).filter_map(PromptId::parse);
    let prompts = PromptIndex::new().with("en-US", words.collect::<BTreeSet<_>>());
    let checked = || load("reset.toml", black_box(STOCK), &prompts).expect("a flow that ships");
    criterion.bench_function("dialplan/read and check reset.toml", |bencher| bencher.iter(checked));
    let flow = Arc::new(checked().flow);
    let steps = walk(&flow);
    criterion.bench_function(
        &format!("dialplan/call of {steps} steps through reset.toml"),
        |bencher| {
            bencher.iter(|| walk(&flow));
        },
    );
}

/// A caller without end: hears everything out, keys 1 and #, and every operation has its first outcome. The limit of
/// steps ends the call, so the figure is one of steps.
fn walk(flow: &Arc<Flow>) -> usize {
    let mut interpreter = Interpreter::new(Arc::clone(flow));
    let now = monotonic();
    let (mut steps, mut inputs) = (0, vec![Input::Established]);
    while !interpreter.has_ended() {
        for input in inputs.drain(..) {
            interpreter.handle(now, input);
        }
        while let Some(output) = interpreter.poll_output() {
            match output {
                Output::Entered(_) => steps += 1,
                Output::Play { id, .. } => inputs.push(Input::PlaybackFinished(id)),
                Output::Invoke { id, operation, .. } => inputs.push(Input::OperationDone {
                    invocation: id,
                    outcome: operation.spec().outcomes[0].outcome,
                }),
                Output::StopPlaying | Output::Transfer(_) | Output::Ended(_) => {}
            }
        }
        if inputs.is_empty() {
            inputs.extend([Input::Digit(Digit::D1), Input::Digit(Digit::Pound)]);
        }
    }
    steps
}
