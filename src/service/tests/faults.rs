//! Hundreds of resets with random faults, many at once on one database: what is told is what is so, no event is lost,
//! none comes twice.

use std::collections::HashMap;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;
use crate::identity::event::EventKind;
use crate::identity::ids::AccountId;
use crate::integration::target::faulty::Fault;
use crate::store::account;

const USERS: usize = 60;
const WAVES: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_told_is_what_is_so_through_random_faults() {
    let house = Arc::new(House::with(|config| config.hashes_at_once = 2).await);
    let mut rng = StdRng::seed_from_u64(20_261_124);
    for user in 0..USERS {
        house.add_user(&format!("user{user}"), &number(user), None).await;
    }
    let mut kinds: HashMap<&str, usize> = HashMap::new();
    for wave in 0..waves(WAVES) {
        let before = house.events().await.len();
        let mut calls = tokio::task::JoinSet::new();
        for user in 0..USERS {
            for target in [&house.mail, &house.payroll] {
                let login = format!("user{user}");
                target.fail_resets(&login, (0..6).map(|_| random_fault(&mut rng)).collect::<Vec<_>>());
                target.fail_verifications(&login, (0..6).map(|_| random_check_fault(&mut rng)).collect::<Vec<_>>());
            }
            calls.spawn(one_reset(house.clone(), wave, user));
        }
        let told = calls.join_all().await;
        // Longer than the latest effect and the settle time.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let events = outcomes_by_account(&house.events().await[before..]);
        for told in told.into_iter().flatten() {
            *kinds.entry(told.outcome.as_str()).or_default() += 1;
            check(&house, &told, events.get(&told.account).map_or(&[], Vec::as_slice));
        }
    }
    audit::verify(house.services.store(), Vec::new(), |_| {}).await.unwrap();
    for kind in ["done", "refused_by_policy", "unknown"] {
        assert!(kinds.contains_key(kind), "the faults are too tame: {kinds:?}");
    }
}

/// How many times everybody calls: more of them with `PASSLINE_WAVES`, for thousands of resets.
pub(super) fn waves(usual: usize) -> usize {
    let wanted = std::env::var("PASSLINE_WAVES").ok();
    wanted.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What a caller was told about one account.
struct Told {
    login: String,
    system: String,
    account: AccountId,
    password: Secret,
    outcome: Outcome,
}

async fn one_reset(house: Arc<House>, wave: usize, user: usize) -> Vec<Told> {
    let visit = house.arrive(Some(&format!("{wave}{user:03}"))).await;
    let evidence = pass(&visit, &number(user)).await;
    let proposal = proposal(&visit, &evidence).await;
    let report = visit.reset(&evidence, &proposal, None).await.unwrap();
    let mut tx = house.services.store().read().await.unwrap();
    let accounts = account::of_user(&mut tx, evidence.user()).await.unwrap();
    let told = report.accounts.into_iter().zip(accounts).map(|(told, account)| {
        assert_eq!(told.system, account.target);
        Told {
            login: told.account,
            system: told.system,
            account: account.id,
            password: proposal.password().clone(),
            outcome: told.outcome,
        }
    });
    told.collect()
}

/// What was told is so, one event says it, and after an unknown at most one more, which is so.
fn check(house: &House, told: &Told, events: &[Outcome]) {
    let target = if told.system == "Mail" {
        &house.mail
    } else {
        &house.payroll
    };
    let is_new = target.password(&told.login) == told.password.expose();
    let is_so = |outcome| match outcome {
        Outcome::Done => is_new,
        Outcome::Unknown => true,
        _ => !is_new,
    };
    let (login, system) = (&told.login, &told.system);
    assert!(is_so(told.outcome), "{login} was told {} on {system}", told.outcome);
    assert_eq!(events.first(), Some(&told.outcome), "{login} on {system}");
    match (told.outcome, &events[1..]) {
        (_, []) => {}
        (Outcome::Unknown, [later @ (Outcome::Done | Outcome::NotDone)]) => {
            assert!(is_so(*later), "{login} on {system} was settled as {later}");
        }
        (_, more) => panic!("{login} on {system} has too many events: {more:?}"),
    }
}

fn outcomes_by_account(events: &[Event]) -> HashMap<AccountId, Vec<Outcome>> {
    let mut outcomes: HashMap<AccountId, Vec<Outcome>> = HashMap::new();
    for event in events {
        let (account, outcome) = match &event.kind {
            EventKind::ResetSucceeded { account, .. } => (*account, Outcome::Done),
            EventKind::ResetUnknown { account, .. } => (*account, Outcome::Unknown),
            EventKind::ResetFailed { account, reason, .. } => (*account, reason.parse().unwrap()),
            _ => continue,
        };
        outcomes.entry(account).or_default().push(outcome);
    }
    outcomes
}

pub(super) fn number(user: usize) -> String {
    format!("4{user:03}")
}

pub(super) fn random_fault(rng: &mut StdRng) -> Fault {
    match rng.random_range(0..8) {
        0 => Fault::Refuse,
        1 => Fault::Unreachable,
        2 => Fault::Hang,
        3 => Fault::HangAfterEffect,
        4 => Fault::DieBeforeEffect,
        5 if rng.random() => Fault::DieAfterEffect,
        5 => Fault::DieHalfway,
        // Later than every deadline of the request, sooner than the settle time is over.
        6 => Fault::LateEffect(Duration::from_millis(rng.random_range(1..150))),
        _ => Fault::None,
    }
}

pub(super) fn random_check_fault(rng: &mut StdRng) -> Fault {
    match rng.random_range(0..4) {
        0 => Fault::Hang,
        1 => Fault::Unreachable,
        2 => Fault::DieBeforeEffect,
        _ => Fault::None,
    }
}
