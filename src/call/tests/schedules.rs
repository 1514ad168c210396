//! Thousands of random calls: each press counts once, each call ends, nothing is left behind.
//!
//! A failure names its seed; `PASSLINE_SEED=<seed> cargo test --lib call::tests` plays that call alone. `PASSLINE_SCHEDULES`
//! is how many are played, if not two thousand.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::caller::{Act, Way};
use super::network::Weather;
use super::world::World;
use crate::dialplan::EndReason;
use crate::digit::Digit;

const MS: Duration = Duration::from_millis(1);
const SCHEDULES: u64 = 2_000;
const THREADS: u64 = 2;

/// How a call is to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    /// By the last key.
    Goodbye,
    /// By the caller, at any time.
    HangUp,
    /// The caller says nothing for ever.
    Silence,
    /// The caller's network goes away.
    Vanish,
}

/// Random digits and the key that ends them.
fn entry(rng: &mut StdRng) -> Vec<Digit> {
    let mut keys: Vec<Digit> = (0..rng.random_range(1..4))
        .filter_map(|_| Digit::from_event(rng.random_range(0..10)))
        .collect();
    keys.push(Digit::Pound);
    keys
}

fn weather(way: Way, rng: &mut StdRng) -> Weather {
    let duplication = rng.random_range(0.0..0.2);
    let media_loss = rng.random_range(0.0..0.1);
    if way == Way::Both {
        // A press is recognised again within 150 ms, so INFO must not wait to be sent again.
        return Weather {
            sip_loss: 0.0,
            media_loss,
            duplication,
            delay: rng.random_range(0..150) * MS,
            jitter: rng.random_range(0..40) * MS,
        };
    }
    Weather {
        sip_loss: rng.random_range(0.0..0.25),
        media_loss,
        duplication,
        delay: rng.random_range(0..200) * MS,
        jitter: rng.random_range(0..80) * MS,
    }
}

/// What one caller does, and the entries that must come of it.
fn script(ending: Ending, rng: &mut StdRng) -> (Vec<Act>, Vec<Vec<Digit>>) {
    let mut entries: Vec<Vec<Digit>> = (0..3).map(|_| entry(rng)).collect();
    let mut acts = Vec::new();
    for keys in &entries {
        acts.extend(keys.iter().map(|&digit| Act::Key(digit)));
        match rng.random_range(0..12) {
            0 => acts.extend([Act::Hold, Act::Resume]),
            1 => acts.push(Act::Move),
            _ => {}
        }
    }
    acts.push(Act::Key(Digit::D2));
    match ending {
        Ending::Goodbye | Ending::Vanish => {}
        Ending::HangUp => {
            acts.truncate(rng.random_range(0..acts.len()));
            acts.push(Act::HangUp);
        }
        Ending::Silence => acts.clear(),
    }
    entries.iter_mut().for_each(|keys| keys.truncate(keys.len() - 1));
    (acts, entries)
}

fn play(seed: u64) {
    let mut rng = StdRng::seed_from_u64(seed);
    let way = [Way::Event, Way::Event, Way::Info, Way::Both][rng.random_range(0..4)];
    let ending = match rng.random_range(0..20) {
        0..14 => Ending::Goodbye,
        14..18 => Ending::HangUp,
        18 => Ending::Silence,
        _ => Ending::Vanish,
    };
    let vanishes = (ending == Ending::Vanish).then(|| rng.random_range(0..4_000) * MS);
    let weather = weather(way, &mut rng);
    let _names_the_call = NameCall(format!("PASSLINE_SEED={seed}: {way:?}, {ending:?}, {weather:?}"));
    let mut world = World::new(weather, vanishes, StdRng::seed_from_u64(rng.random()));
    let mut expected = Vec::new();
    for _ in 0..if rng.random_bool(0.1) { 3 } else { 1 } {
        let (acts, entries) = script(ending, &mut rng);
        world.dial(rng.random_bool(0.2), way, acts.iter().copied());
        expected.push((acts, entries));
    }
    let mut steps = 0;
    while world.step() {
        steps += 1;
        assert!(steps < 200_000, "the world does not come to rest");
    }
    check(&world, ending, &expected);
}

fn check(world: &World, ending: Ending, expected: &[(Vec<Act>, Vec<Vec<Digit>>)]) {
    assert_eq!(world.left_behind(), [0; 6], "calls, transactions, timers");
    assert!(
        world
            .callers
            .iter()
            .all(|caller| caller.is_over && caller.media.is_none())
    );
    for line in &world.lines {
        line.assert_at_rest();
        let (acts, entries) = &expected[line.number()];
        let keys: Vec<Digit> = acts
            .iter()
            .filter_map(|act| match act {
                Act::Key(digit) => Some(*digit),
                _ => None,
            })
            .collect();
        // Compared without being shown: a digit does not print.
        assert!(
            keys.starts_with(&line.pressed),
            "a key was lost, doubled or swapped: {} of {}",
            line.pressed.len(),
            keys.len()
        );
        check_entries(ending, &line.entries, entries);
        match ending {
            Ending::Goodbye => {
                assert_eq!(line.pressed.len(), keys.len());
                assert_eq!((line.entries.len(), line.ended), (3, Some(EndReason::Completed)));
            }
            Ending::HangUp => assert!(line.ended.is_none_or(|reason| reason != EndReason::TooLong)),
            Ending::Silence => assert_eq!((line.ended, line.media_lost), (Some(EndReason::Completed), false)),
            Ending::Vanish => {}
        }
    }
    if ending == Ending::Goodbye {
        assert_eq!(world.lines.len(), expected.len());
    }
}

/// Whoever vanishes in the middle of an entry has said what was keyed so far.
fn check_entries(ending: Ending, heard: &[Vec<Digit>], expected: &[Vec<Digit>]) {
    let whole = match heard.split_last() {
        Some((last, before)) if ending == Ending::Vanish => {
            assert!(
                expected[before.len()].starts_with(last),
                "the last entry is not what was pressed"
            );
            before
        }
        _ => heard,
    };
    assert!(expected.starts_with(whole), "an entry is not what was pressed");
}

/// Tells which call it was, when a check fails or something panics.
struct NameCall(String);

impl Drop for NameCall {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.0);
        }
    }
}

#[test]
fn each_press_counts_once_each_call_ends_and_nothing_is_left() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = number("PASSLINE_SEED") {
        return play(seed);
    }
    let schedules = number("PASSLINE_SCHEDULES").unwrap_or(SCHEDULES);
    std::thread::scope(|scope| {
        for first in 0..THREADS {
            scope.spawn(move || (first..schedules).step_by(THREADS as usize).for_each(play));
        }
    });
}
