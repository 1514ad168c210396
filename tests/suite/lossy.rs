//! Whole calls over a bad line: one packet in ten lost each way, up to 100 ms of delay at random, and so reordering.
//!
//! The rule for RFC 4733 is: the digits of 1,000 in 1,000 calls are right. The suite makes 100 of them; all with
//! `PASSLINE_LOSSY_CALLS=1000 cargo test --test suite lossy::`.
//!
//! What was keyed is never told by anything, so it is seen by its effect: there is a person for every number that is
//! keyed, and the audit log says who was identified in which call. A digit too many, too few or in the wrong place is
//! nobody, or somebody else.

use std::fmt::Write as _;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use passline::call::phone::{Dialling, Phone, PhoneEvent};
use passline::digit::Digits;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::runtime::Builder;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::support::network::{FAR, Impairment, Line, NEAR};
use crate::support::plain_caller::PlainCaller;
use crate::support::server::{House, Server, Settings, import};

/// A number and the pound key, and who that was.
const FLOW: &str = r#"
title = "Who keyed that?"
start = "ask"

[limits]
max_duration = "2m"
then = "bye"

[defaults]
error = "bye"
noinput = { reprompts = "common.nothing_heard", max = 2, then = "bye" }
nomatch = { reprompts = "common.not_a_choice", max = 3, then = "bye" }

[steps.ask]
kind = "collect"
say = "identify.ask"
interdigit_timeout = "10s"
next = "identify"

[steps.identify]
kind = "operation"
operation = "identify"
digits = "ask"
outcomes.one = "bye"
outcomes.several = "bye"
outcomes.refused = "bye"

[steps.bye]
kind = "hangup"
"#;

const TRUNK: &str = "networks = [\"10.77.0.0/24\"]\nmax_calls = 300\ncalls_per_second = 1000\n\
                     [[called]]\nnumber = \"*\"\ndialplan = \"digits\"\n";

/// Calls in progress: fewer in the suite, where other tests need the cores as well.
fn at_once(count: usize) -> usize {
    (count / 4).clamp(1, 100)
}

/// Digits of a number.
const LENGTH: usize = 8;

const LINE: Impairment = Impairment {
    loss: 0.1,
    duplicated: 0.01,
    jitter: Duration::from_millis(100),
    seed: 20_261_125,
};

fn calling_number(call: usize) -> String {
    format!("+49309{call:05}")
}

/// Numbers that all differ, with doubles in them as chance has it.
fn numbers(count: usize, chance: &mut StdRng) -> Vec<String> {
    let mut numbers = std::collections::BTreeSet::new();
    while numbers.len() < count {
        let number: String = (0..LENGTH)
            .map(|_| char::from(b'0' + chance.random_range(0..10_u8)))
            .collect();
        numbers.insert(number);
    }
    let mut numbers: Vec<String> = numbers.into_iter().collect();
    // In the order of the set neighbours would be alike.
    (1..numbers.len())
        .rev()
        .for_each(|last| numbers.swap(last, chance.random_range(0..=last)));
    numbers
}

/// A house with a person for every number.
fn house(numbers: &[String]) -> House {
    let house = House::empty(&Settings {
        listen: Some(&format!("\"udp:{FAR}:0\"")),
        log_level: Some("info"),
        trunk: Some(TRUNK),
        ..Settings::default()
    });
    fs::write(house.path().join("dialplans/digits.toml"), FLOW).expect("written");
    let mut people = "login,name,employee_number,answer.question.start_year\nfirst,First,1,2009\n".to_owned();
    for (person, number) in numbers.iter().enumerate() {
        writeln!(people, "p{person},Person,{number},").expect("text");
    }
    house.with_backstage(async |backstage, _| import(backstage, people).await);
    // Only who has answers can be meant. They are never asked for, so that one hash is enough for all.
    let mut database = house.database();
    database.run(
        "insert into answers select users.id, question_id, channel, hash, enrolled_ms from answers join users \
         on users.employee_number <> '1' where channel = 'phone'",
    );
    database.close();
    house
}

/// How long each key sounds, and the pause after it: machines, people in a hurry, people who think.
fn rhythm(chance: &mut StdRng) -> (Duration, Duration) {
    let (on, off) = match chance.random_range(0..3) {
        0 => (50..=60, 50..=60),
        1 => (70..=120, 60..=150),
        _ => (150..=400, 100..=400),
    };
    let mut ms = |range| Duration::from_millis(chance.random_range(range));
    (ms(on), ms(off))
}

/// Makes the calls, some at a time; what went wrong with those that had no good end.
fn call_all(server: &Server, numbers: &[String]) -> Vec<String> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let phone = Arc::new(Phone::start(NEAR.parse().expect("an address")).expect("a telephone"));
        let places = Arc::new(Semaphore::new(at_once(numbers.len())));
        let mut calls = JoinSet::new();
        for (call, number) in numbers.iter().enumerate() {
            let (phone, places, number) = (Arc::clone(&phone), Arc::clone(&places), number.clone());
            let uri = format!("sip:100@{}", server.udp);
            calls.spawn(async move {
                let _place = places.acquire_owned().await.expect("open");
                let chance = StdRng::seed_from_u64(LINE.seed + call as u64);
                one_call(&phone, &uri, call, &number, chance)
                    .await
                    .err()
                    .map(|problem| format!("call {call}: {problem}"))
            });
        }
        let problems = calls.join_all().await.into_iter().flatten().collect();
        if let Some(phone) = Arc::into_inner(phone) {
            phone.shutdown().await;
        }
        problems
    })
}

async fn one_call(phone: &Phone, uri: &str, call: usize, number: &str, mut chance: StdRng) -> Result<(), String> {
    let dialling = Dialling {
        caller: Some(calling_number(call)),
        codecs: vec!["PCMU".to_owned()],
        patience: Some(Duration::from_secs(40)),
        ..Dialling::default()
    };
    let mut call = phone.dial(uri, dialling).await.map_err(|error| error.to_string())?;
    for &digit in Digits::parse(&format!("{number}#")).expect("keys").expose() {
        let (on, off) = rhythm(&mut chance);
        call.press_for(digit, on, off).await;
    }
    let over = async { while !matches!(call.next_event().await, PhoneEvent::HungUp) {} };
    let ended = tokio::time::timeout(Duration::from_secs(60), over).await;
    call.finish().await.map_err(|error| error.to_string())?;
    ended.map_err(|_| "the far end did not hang up".to_owned())
}

/// For a second nothing passes in either direction.
#[test]
fn an_outage_of_a_second_ends_no_call() {
    let line = Line::new(Impairment {
        loss: 0.0,
        duplicated: 0.0,
        ..LINE
    });
    let house = House::new(&Settings {
        listen: Some(&format!("\"udp:{FAR}:0\"")),
        trunk: Some(&TRUNK.replace("digits", "reset")),
        ..Settings::default()
    });
    let server = line.far.run(|| house.serve());
    let step = |step| line.far.run(|| server.wait_for_step(step));
    line.near.run(|| {
        let mut caller = PlainCaller::dial_from(NEAR.parse().expect("an address"), server.udp).expect("a call");
        caller.press("4711#");
        step("ask_question");
        line.cut(true);
        caller.talk(Duration::from_secs(1));
        line.cut(false);
        caller.talk(Duration::from_millis(200));
        caller.press("2009#");
        step("main_menu");
        caller.hang_up();
    });
    server.stop();
}

#[test]
fn the_digits_of_every_call_are_right_over_a_line_that_loses_and_reorders() {
    let count = std::env::var("PASSLINE_LOSSY_CALLS").map_or(100, |count| count.parse().expect("a number of calls"));
    let mut chance = StdRng::seed_from_u64(LINE.seed);
    let numbers = numbers(count, &mut chance);
    let house = house(&numbers);
    let line = Line::new(LINE);
    let server = line.far.run(|| house.serve());
    let problems = line.near.run(|| call_all(&server, &numbers));
    line.far.run(|| server.wait_until_idle());
    server.stop();

    let mut database = house.database();
    let identified = database.rows(
        "select calls.caller, users.employee_number, end_reason, last_step, ended_ms - started_ms from calls left join audit_links on \
         json_extract(fields, '$.session') = calls.visit_id and name = 'ET_USER_IDENTIFY_SUCCESS' left join users \
         on users.id = json_extract(fields, '$.user') order by calls.caller",
    );
    let told: Vec<(&str, &str)> = identified.iter().map(|row| (&*row[0], &*row[1])).collect();
    let wrong: Vec<String> = (numbers.iter().enumerate())
        .map(|(call, number)| (calling_number(call), number.as_str()))
        .filter(|(caller, number)| !told.contains(&(caller, number)))
        .map(|(caller, number)| {
            let seen: Vec<&Vec<String>> = identified.iter().filter(|row| row[0] == caller).collect();
            format!("{caller} keyed {number}, taken was {seen:?}")
        })
        .collect();
    let fates = line.fates();
    println!("{} of {count} calls right, {fates:?}", count - wrong.len());
    assert!(wrong.is_empty() && problems.is_empty(), "{wrong:#?}\n{problems:#?}");
    assert_eq!(identified.len(), count, "a call that is not one: {identified:?}");
    // The line was as bad as it should be.
    let lost = fates.lost as f64 / fates.taken as f64;
    assert!((0.08..0.12).contains(&lost), "{fates:?}");
    assert!(fates.overtaken > fates.taken / 10, "{fates:?}");
}
