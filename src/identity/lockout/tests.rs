//! Invented time; every number of the policy at both of its sides.

use proptest::prelude::*;

use super::config::MINUTE;
use super::*;

/// Minutes on the test's clock.
fn at(minutes: i64) -> Timestamp {
    Timestamp::from_millis(minutes * 60_000)
}

fn minutes(count: u32) -> Duration {
    count * MINUTE
}

fn delayed(count: u32) -> Refusal {
    Refusal::Delayed { left: minutes(count) }
}

/// Fails rounds, each begun as soon as it may, and gives the minute after the last.
fn fail(lockout: &mut Lockout, config: &LockoutConfig, rounds: u32, mut minute: i64) -> i64 {
    for _ in 0..rounds {
        while let Err(Refusal::Delayed { .. }) = lockout.clone().begin(at(minute), config) {
            minute += 1;
        }
        let charge = lockout.begin(at(minute), config).unwrap();
        lockout.failed(charge, at(minute), config);
    }
    minute
}

#[test]
fn the_fourth_round_starts_a_delay_that_doubles_up_to_an_hour() {
    let config = LockoutConfig::users();
    let mut lockout = Lockout::default();
    fail(&mut lockout, &config, 3, 0);
    assert_eq!(lockout.standing(at(0), &config), Standing::Open);
    let mut now = 0;
    for wait in [5, 10, 20, 40, 60, 60, 60] {
        let charge = lockout.begin(at(now), &config).unwrap();
        lockout.failed(charge, at(now), &config);
        assert_eq!(lockout.begin(at(now), &config), Err(delayed(wait)));
        let nearly = Timestamp::from_millis(at(now + i64::from(wait)).as_millis() - 1);
        assert!(lockout.begin(nearly, &config).is_err());
        now += i64::from(wait);
        assert_eq!(lockout.standing(at(now), &config), Standing::Open);
    }
}

#[test]
fn hanging_up_does_not_take_a_round_back() {
    let config = LockoutConfig::users();
    let mut lockout = Lockout::default();
    for _ in 0..4 {
        let _lost_with_the_process = lockout.begin(at(0), &config).unwrap();
    }
    assert_eq!(lockout.begin(at(0), &config), Err(delayed(5)));
}

#[test]
fn calls_at_once_share_the_count() {
    let config = LockoutConfig::users();
    let mut lockout = Lockout::default();
    let admitted = (0..50).filter(|_| lockout.begin(at(0), &config).is_ok()).count();
    assert_eq!(admitted, 4);
}

#[test]
fn a_long_call_is_no_head_start_for_the_next_one() {
    let config = LockoutConfig::users();
    let mut lockout = Lockout::default();
    fail(&mut lockout, &config, 3, 0);
    let charge = lockout.begin(at(0), &config).unwrap();
    lockout.failed(charge, at(30), &config);
    assert_eq!(lockout.begin(at(30), &config), Err(delayed(5)));
}

#[test]
fn refused_rounds_neither_count_nor_prolong() {
    let config = LockoutConfig::users();
    let mut lockout = Lockout::default();
    fail(&mut lockout, &config, 4, 0);
    let before = lockout.clone();
    for minute in 0..5 {
        assert!(lockout.begin(at(minute), &config).is_err());
    }
    assert_eq!(lockout, before);
    assert!(lockout.begin(at(5), &config).is_ok());
}

#[test]
fn a_pass_clears_a_user() {
    let config = LockoutConfig::users();
    let mut lockout = Lockout::default();
    fail(&mut lockout, &config, 3, 0);
    let charge = lockout.begin(at(0), &config).unwrap();
    assert!(lockout.clone().begin(at(0), &config).is_err());
    lockout.passed(charge, at(1), &config);
    assert_eq!((lockout.streak, lockout.consecutive, lockout.delay), (0, 0, None));
    fail(&mut lockout, &config, 3, 1);
    assert_eq!(lockout.standing(at(1), &config), Standing::Open);
}

#[test]
fn a_rival_call_is_charged_anew_after_the_users_own_pass() {
    let config = LockoutConfig::users();
    let mut lockout = Lockout::default();
    let rivals: Vec<_> = (0..3).map(|_| lockout.begin(at(0), &config).unwrap()).collect();
    let own = lockout.begin(at(0), &config).unwrap();
    lockout.passed(own, at(1), &config);
    for rival in rivals {
        lockout.failed(Charge::from_stored(rival.generation()), at(2), &config);
    }
    assert_eq!(lockout.streak, 3);
    let _fourth = lockout.begin(at(2), &config).unwrap();
    assert_eq!(lockout.begin(at(2), &config), Err(delayed(5)));
}

#[test]
fn passing_as_oneself_takes_back_one_round_of_a_calling_number_only() {
    let config = LockoutConfig::callers();
    let mut lockout = Lockout::default();
    for _ in 0..11 {
        fail(&mut lockout, &config, 1, 0);
        let own = lockout.begin(at(0), &config).unwrap();
        lockout.passed(own, at(0), &config);
    }
    assert_eq!(lockout.streak, 11);
    fail(&mut lockout, &config, 1, 0);
    assert_eq!(lockout.begin(at(0), &config), Err(delayed(5)));
}

#[test]
fn a_pass_that_began_before_an_unlock_takes_nothing_back() {
    let config = LockoutConfig::callers();
    let mut lockout = Lockout::default();
    let charge = lockout.begin(at(0), &config).unwrap();
    lockout.unlock(at(1));
    fail(&mut lockout, &config, 2, 1);
    lockout.passed(charge, at(2), &config);
    assert_eq!(lockout.streak, 2);
}

#[test]
fn a_quiet_day_starts_delays_from_the_beginning() {
    let config = LockoutConfig::users();
    let mut lockout = Lockout::default();
    let last = fail(&mut lockout, &config, 8, 0);
    let day = 24 * 60;
    let mut just_before = lockout.clone();
    let _charge = just_before.begin(at(last + day - 1), &config).unwrap();
    assert_eq!(just_before.streak, 9);
    let _charge = lockout.begin(at(last + day), &config).unwrap();
    assert_eq!((lockout.streak, lockout.consecutive), (1, 9));
}

#[test]
fn a_hundred_rounds_in_a_row_hold_until_an_unlock() {
    let config = LockoutConfig::users();
    let mut lockout = Lockout::default();
    let (day, mut now) = (24 * 60, 0);
    for _ in 0..99 {
        now += day;
        let charge = lockout.begin(at(now), &config).unwrap();
        lockout.failed(charge, at(now), &config);
        assert_eq!(lockout.standing(at(now), &config), Standing::Open);
    }
    let charge = lockout.begin(at(now), &config).unwrap();
    lockout.failed(charge, at(now), &config);
    assert_eq!(lockout.begin(at(now), &config), Err(Refusal::Held));
    assert_eq!(lockout.begin(at(now + 90 * day - 1), &config), Err(Refusal::Held));
    assert!(lockout.clone().begin(at(now + 90 * day), &config).is_ok());
    lockout.unlock(at(now + 1));
    assert!(lockout.begin(at(now + 1), &config).is_ok());
}

#[test]
fn calling_numbers_are_never_held() {
    let config = LockoutConfig::callers();
    let mut lockout = Lockout::default();
    let now = fail(&mut lockout, &config, 150, 0);
    assert_eq!(lockout.begin(at(now), &config), Err(delayed(60)));
}

#[test]
fn a_clock_set_back_starts_a_delay_over_but_never_makes_it_longer() {
    let config = LockoutConfig::users();
    let mut lockout = Lockout::default();
    let year = 365 * 24 * 60;
    fail(&mut lockout, &config, 4, year);
    assert_eq!(lockout.begin(at(3), &config), Err(delayed(5)));
    assert_eq!(lockout.begin(at(7), &config), Err(delayed(1)));
    assert!(lockout.begin(at(8), &config).is_ok());
}

#[test]
fn a_row_may_go_when_everything_in_it_is_forgotten() {
    let users = LockoutConfig::users();
    let mut lockout = Lockout::default();
    fail(&mut lockout, &users, 5, 0);
    assert!(!lockout.is_forgotten(at(90 * 24 * 60 - 1), &users));
    assert!(lockout.is_forgotten(at(5 + 90 * 24 * 60), &users));
}

#[test]
fn a_round_begins_on_all_subjects_or_on_none() {
    let (users, callers) = (LockoutConfig::users(), LockoutConfig::callers());
    let (mut user, mut caller) = (Lockout::default(), Lockout::default());
    fail(&mut user, &users, 4, 0);
    let begin = |user: &mut Lockout, caller: &mut Lockout, minute| {
        let mut watches = [
            Watch {
                lockout: caller,
                config: &callers,
            },
            Watch {
                lockout: user,
                config: &users,
            },
        ];
        begin_all(&mut watches, at(minute))
    };
    assert_eq!(begin(&mut user, &mut caller, 0), Err(delayed(5)));
    assert_eq!((caller.streak, user.streak), (0, 4));
    assert_eq!(begin(&mut user, &mut caller, 5).map(|charges| charges.len()), Ok(2));
    assert_eq!((caller.streak, user.streak), (1, 5));
    caller.delay = Some(Delay {
        since: at(5),
        length: minutes(30),
    });
    assert_eq!(begin(&mut user, &mut caller, 5), Err(delayed(30)));
    user.consecutive = 100;
    assert_eq!(begin(&mut user, &mut caller, 5), Err(Refusal::Held));
}

/// What happens to a subject.
#[derive(Clone, Copy, Debug)]
enum Step {
    Begin,
    /// Ends the oldest round that is open.
    Fail,
    Pass,
    Unlock,
    Wait(u32),
    SetBack(u32),
}

fn steps(with_set_back: bool, with_pass: bool) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Begin),
        3 => Just(Step::Fail),
        u32::from(with_pass) => Just(Step::Pass),
        u32::from(with_pass) => Just(Step::Unlock),
        4 => (0..200_u32).prop_map(Step::Wait),
        u32::from(with_set_back) => (0..100_000_u32).prop_map(Step::SetBack),
    ];
    prop::collection::vec(step, 0..120)
}

/// Runs the steps and tells each begin to `seen`: the state before, the time, and what came out.
fn run(steps: &[Step], config: &LockoutConfig, mut seen: impl FnMut(&Lockout, i64, Result<Charge, Refusal>)) {
    let (mut lockout, mut now, mut open) = (Lockout::default(), 1_000_000, Vec::new());
    for step in steps {
        match *step {
            Step::Begin => {
                let before = lockout.clone();
                let result = lockout.begin(at(now), config);
                seen(&before, now, result);
                open.extend(result);
            }
            Step::Fail if !open.is_empty() => lockout.failed(open.remove(0), at(now), config),
            Step::Pass if !open.is_empty() => lockout.passed(open.remove(0), at(now), config),
            Step::Unlock => lockout.unlock(at(now)),
            Step::Wait(minutes) => now += i64::from(minutes),
            Step::SetBack(minutes) => now -= i64::from(minutes),
            Step::Fail | Step::Pass => {}
        }
    }
}

proptest! {
    #[test]
    fn nobody_guesses_faster_than_the_delays_allow(steps in steps(false, false)) {
        let config = LockoutConfig::users();
        let mut admitted: Vec<i64> = Vec::new();
        run(&steps, &config, |_, now, result| admitted.extend(result.ok().map(|_| now)));
        // In any day: the free rounds, the rising delays, then one an hour.
        for (index, &first) in admitted.iter().enumerate() {
            let in_a_day = admitted[index..].iter().filter(|&&now| now < first + 24 * 60).count();
            prop_assert!(in_a_day <= 4 + 4 + 24, "{in_a_day} in a day");
        }
        prop_assert!(admitted.len() <= 100);
    }

    #[test]
    fn nobody_waits_longer_than_the_longest_delay(steps in steps(true, true)) {
        let config = LockoutConfig::users();
        let mut longest = Duration::ZERO;
        run(&steps, &config, |_, _, result| {
            if let Err(Refusal::Delayed { left }) = result {
                longest = longest.max(left);
            }
        });
        prop_assert!(longest <= config.max_delay);
    }

    #[test]
    fn what_is_refused_is_not_counted(steps in steps(true, true)) {
        for config in [LockoutConfig::users(), LockoutConfig::callers()] {
            let mut wrong = None;
            run(&steps, &config, |before, now, result| {
                let mut after = before.clone();
                let again = after.begin(at(now), &config);
                let counted = (after.streak, after.consecutive) != (before.streak, before.consecutive);
                if again != result || (result.is_err() && counted) {
                    wrong = Some((before.clone(), now));
                }
            });
            prop_assert_eq!(wrong, None);
        }
    }
}
