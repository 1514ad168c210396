//! Thousands of resets with random faults, in processes that are killed at random moments: when the next process has cleared
//! up, what the events say is so, each order has its outcomes, and none comes twice. Expiry is a part of what is so.

use std::collections::HashMap;
use std::sync::Mutex;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::crash::in_a_process_that_dies;
use super::faults::{number, random_check_fault, random_fault, waves};
use super::*;
use crate::identity::event::EventKind;
use crate::identity::ids::{AccountId, ResetId};
use crate::store::account;

const USERS: usize = 40;
const WAVES: usize = 6;

/// What one call has tried, and what it was told if it lived to hear it.
#[derive(Clone)]
struct Tried {
    login: String,
    system: String,
    password: Secret,
    told: Option<Outcome>,
}

type Tries = Arc<Mutex<HashMap<AccountId, Tried>>>;

/// What the events of one wave say of an account: order, outcome, and whether the password must be changed.
type Said = HashMap<AccountId, Vec<(ResetId, Outcome, Option<bool>)>>;

#[test]
fn a_process_that_is_killed_at_any_moment_leaves_no_lie() {
    let mut rng = StdRng::seed_from_u64(20_261_130);
    let build = async {
        let mut house = House::with(|_| {}).await;
        // One that can make passwords expire, one that cannot.
        house.mail = house.mail.clone().with_expiry();
        for user in 0..USERS {
            house.add_user(&format!("user{user}"), &number(user), None).await;
        }
        Arc::new(house)
    };
    let house = in_a_process_that_dies(build, Duration::from_secs(120)).unwrap();
    let (mut resets, mut killed, mut found_out, mut seen) = (0, 0, 0, 0);
    let waves = waves(WAVES);
    for wave in 0..waves {
        for user in 0..USERS {
            for target in [&house.mail, &house.payroll] {
                let login = format!("user{user}");
                target.fail_resets(&login, (0..6).map(|_| random_fault(&mut rng)).collect::<Vec<_>>());
                target.fail_verifications(&login, (0..6).map(|_| random_check_fault(&mut rng)).collect::<Vec<_>>());
            }
        }
        let before = passwords(&house);
        let tries = Tries::default();
        // Killed before, among and after the changes; some live to the end.
        let life = Duration::from_millis(rng.random_range(0..600));
        let calls = calls(house.clone(), tries.clone(), wave, life);
        killed += usize::from(in_a_process_that_dies(calls, Duration::from_secs(120)).unwrap());
        let clearing = cleared_up(house.clone(), seen);
        // A day without failures: calls that were killed count as such.
        house.clock.advance(Duration::from_secs(25 * 3_600));
        let (said, orders, events) = in_a_process_that_dies(clearing, Duration::from_secs(120)).unwrap();
        seen = events;
        let tries = tries.lock().unwrap().clone();
        resets += said.len();
        found_out += said.len() - tries.values().filter(|tried| tried.told.is_some()).count();
        for (account, tried) in &tries {
            let said = said.get(account).map_or(&[][..], Vec::as_slice);
            check(&house, &before, tried, said, wave);
        }
        assert_eq!(
            orders * 2,
            said.len(),
            "wave {wave}: each order has its outcome on both systems"
        );
    }
    println!("{resets} resets, {killed} of {waves} processes killed, {found_out} outcomes found out afterwards");
    assert!(
        resets >= 2 * waves && killed > 0 && found_out >= waves,
        "too tame: {resets} {killed} {found_out}"
    );
}

/// Everybody calls at once. Ends `life` after the first has ordered something, which kills the others; says whether it did.
async fn calls(house: Arc<House>, tries: Tries, wave: usize, life: Duration) -> bool {
    let services = house.another(config()).await;
    let mut calls = tokio::task::JoinSet::new();
    for user in 0..USERS {
        calls.spawn(one_call(services.clone(), tries.clone(), wave, user));
    }
    let doom = async {
        while tries.lock().unwrap().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        tokio::time::sleep(life).await;
    };
    tokio::select! {
        () = doom => true,
        () = async { while calls.join_next().await.is_some_and(|call| call.is_ok()) {} } => false,
    }
}

async fn one_call(services: Services, tries: Tries, wave: usize, user: usize) {
    let visit = arrive(&services, Some(&format!("{wave}{user:03}"))).await;
    let evidence = pass(&visit, &number(user)).await;
    let proposal = proposal(&visit, &evidence).await;
    let accounts = {
        let mut tx = services.store().read().await.unwrap();
        account::of_user(&mut tx, evidence.user()).await.unwrap()
    };
    for account in &accounts {
        let tried = Tried {
            login: account.name.clone(),
            system: account.target.clone(),
            password: proposal.password().clone(),
            told: None,
        };
        tries.lock().unwrap().insert(account.id, tried);
    }
    let report = visit.reset(&evidence, &proposal, None).await.unwrap();
    let mut tries = tries.lock().unwrap();
    for (account, told) in accounts.iter().zip(report.accounts) {
        assert_eq!(told.system, account.target);
        tries.get_mut(&account.id).unwrap().told = Some(told.outcome);
    }
}

/// The next process, on systems that work again: what the events behind `seen` say in the end, how many orders there
/// were, and how many events there are.
async fn cleared_up(house: Arc<House>, seen: usize) -> (Said, usize, usize) {
    for user in 0..USERS {
        for target in [&house.mail, &house.payroll] {
            target.fail_resets(&format!("user{user}"), []);
            target.fail_verifications(&format!("user{user}"), []);
        }
    }
    let services = house.another(config()).await;
    loop {
        house.clock.advance(Duration::from_secs(60));
        if services.recover().await.unwrap().left == 0 {
            break;
        }
    }
    audit::verify(services.store(), Vec::new(), |_| {}).await.unwrap();
    let events = events(services.store()).await;
    let mut said = Said::new();
    let mut orders = 0;
    for event in &events[seen..] {
        let (reset, account, outcome, expired) = match &event.kind {
            EventKind::ResetIntended { .. } => {
                orders += 1;
                continue;
            }
            EventKind::ResetSucceeded {
                reset,
                account,
                expired,
                ..
            } => (*reset, *account, Outcome::Done, *expired),
            EventKind::ResetUnknown { reset, account, .. } => (*reset, *account, Outcome::Unknown, None),
            EventKind::ResetFailed {
                reset, account, reason, ..
            } => (*reset, *account, reason.parse().unwrap(), None),
            _ => continue,
        };
        said.entry(account).or_default().push((reset, outcome, expired));
    }
    (said, orders, events.len())
}

/// The passwords that hold, by system and login.
fn passwords(house: &House) -> HashMap<(String, String), String> {
    let mut passwords = HashMap::new();
    for user in 0..USERS {
        let login = format!("user{user}");
        for (system, target) in [("Mail", &house.mail), ("Payroll", &house.payroll)] {
            passwords.insert((system.to_owned(), login.clone()), target.password(&login));
        }
    }
    passwords
}

fn check(
    house: &House,
    before: &HashMap<(String, String), String>,
    tried: &Tried,
    said: &[(ResetId, Outcome, Option<bool>)],
    wave: usize,
) {
    let Tried {
        login,
        system,
        password,
        told,
    } = tried;
    let target = if system == "Mail" { &house.mail } else { &house.payroll };
    let holds = target.password(login);
    let is_new = holds == password.expose();
    let place = format!("wave {wave}: {login} on {system}: {said:?}");
    let Some((reset, first, _)) = said.first() else {
        // Killed before there was an order.
        assert_eq!(holds, before[&(system.clone(), login.clone())], "{place}");
        assert_eq!(*told, None, "{place}");
        return;
    };
    assert!(said.iter().all(|(other, ..)| other == reset), "{place}");
    assert!(
        said.len() == 1 || (said.len() == 2 && *first == Outcome::Unknown),
        "{place}"
    );
    assert!(told.is_none_or(|told| told == *first), "{place}: told {told:?}");
    match said[said.len() - 1] {
        (_, Outcome::Done, expired) => {
            assert!(is_new, "{place}");
            assert!(
                expired.is_none_or(|expired| expired == target.is_expired(login)),
                "{place}"
            );
        }
        (_, Outcome::Unknown, _) => {}
        _ => assert!(!is_new, "{place}"),
    }
}
