//! Thousands of calls over bad networks: each press counts once, in order.

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};

use super::harness::{MS, Pair, Weather, playlist, tone};
use crate::digit::Digit;
use crate::telephony::media::{Command, MediaEvent, PlaybackId};

const CALLS: u64 = 2_000;
const KEYS: usize = 5;

fn weather(rng: &mut StdRng) -> Weather {
    Weather {
        loss: rng.random_range(0.0..0.1),
        duplication: rng.random_range(0.0..0.2),
        delay: rng.random_range(0..200) * MS,
        jitter: rng.random_range(0..100) * MS,
    }
}

fn pressed(events: &[MediaEvent]) -> Vec<Digit> {
    events
        .iter()
        .filter_map(|event| match event {
            MediaEvent::DigitPressed(digit, _) => Some(*digit),
            _ => None,
        })
        .collect()
}

#[test]
fn each_press_counts_once_over_thousands_of_bad_networks() {
    for seed in 0..CALLS {
        let mut rng = StdRng::seed_from_u64(seed);
        let weather = weather(&mut rng);
        let mut pair = Pair::new(weather, seed);
        pair.run_for(200 * MS);
        let keys: Vec<Digit> = (0..KEYS).filter_map(|_| Digit::ALL.choose(&mut rng).copied()).collect();
        for &digit in &keys {
            let (on, off) = (rng.random_range(100..160) * MS, rng.random_range(60..150) * MS);
            let now = pair.now;
            pair.ends[0]
                .session
                .handle_command(Command::Press { digit, on, off }, now);
        }
        pair.run_for(3_000 * MS);
        assert!(pressed(&pair.ends[1].events) == keys, "call {seed}: {weather:?}");
        assert!(pair.ends[0].events.contains(&MediaEvent::KeysSent), "call {seed}");
    }
}

#[test]
fn presses_that_come_both_ways_count_once() {
    for seed in 0..CALLS / 4 {
        let mut rng = StdRng::seed_from_u64(seed);
        let weather = Weather {
            jitter: 40 * MS,
            ..weather(&mut rng)
        };
        let mut pair = Pair::new(weather, seed);
        pair.run_for(200 * MS);
        let mut keys = Vec::new();
        for _ in 0..KEYS {
            let digit = Digit::ALL.choose(&mut rng).copied().expect("a key");
            keys.push(digit);
            let press = Command::Press {
                digit,
                on: 120 * MS,
                off: 60 * MS,
            };
            let now = pair.now;
            pair.ends[0].session.handle_command(press, now);
            // INFO takes the way of the signalling: about as long as the packets, and told at the end of the key.
            pair.run_for(120 * MS + weather.delay + rng.random_range(0..100) * MS);
            let now = pair.now;
            pair.ends[1].session.handle_command(Command::InfoDigit(digit), now);
            pair.run_for(300 * MS);
        }
        assert!(pressed(&pair.ends[1].events) == keys, "call {seed}: {weather:?}");
    }
}

#[test]
fn prompts_end_and_nothing_is_left_behind() {
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut pair = Pair::new(weather(&mut rng), seed);
        let now = pair.now;
        for end in &mut pair.ends {
            end.session
                .handle_command(Command::Play(PlaybackId(1), playlist(vec![tone(500 * MS)])), now);
        }
        pair.run_for(1_000 * MS);
        for end in &pair.ends {
            assert_eq!(end.events, [MediaEvent::PlaybackFinished(PlaybackId(1))]);
        }
    }
}
