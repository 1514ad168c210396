//! kill -9 in the middle of a change: what the next process finds, and when it may say so.

use super::*;
use crate::identity::evidence::Evidence;
use crate::integration::target::faulty::Fault;

/// Lets a process order a reset and die while `faults` happen; what it had done to the targets by then stays done.
async fn die_while(house: &House, faults: [Fault; 2]) -> (Visit, Evidence, Proposal) {
    let (visit, evidence) = house.verified("1001").await;
    let proposal = proposal(&visit, &evidence).await;
    house.mail.fail_resets("ada", [faults[0]; 9]);
    house.payroll.fail_resets("ada", [faults[1]; 9]);
    house.mail.fail_verifications("ada", [Fault::Hang; 9]);
    house.payroll.fail_verifications("ada", [Fault::Hang; 9]);
    (visit, evidence, proposal)
}

/// Runs `work` in a runtime of its own, which is torn down with all its tasks: nothing of that process runs on.
pub(super) fn in_a_process_that_dies<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
    after: Duration,
) -> Option<T> {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let done = runtime.block_on(async { tokio::time::timeout(after, work).await.ok() });
        runtime.shutdown_background();
        done
    })
    .join()
    .unwrap()
}

/// Gives a change up as soon as it has come so far; it must not be over before.
async fn killed_when(so_far: impl Fn() -> bool, change: impl Future<Output = bool>) {
    let come = async {
        while !so_far() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        ended = change => panic!("it is over: {ended}"),
        () = come => {}
    }
}

/// Builds a house, kills its process in the middle of a reset, and opens the database again.
pub(super) fn killed(faults: [Fault; 2], change: fn(&mut Config)) -> (House, String) {
    let (house, password) = in_a_process_that_dies(
        async move {
            let house = House::with(|config| {
                // The process dies long before its own deadlines.
                config.limits.request = Duration::from_secs(60);
                config.limits.account = Duration::from_secs(60);
                config.limits.settle = Duration::from_secs(60);
                change(config);
            })
            .await;
            let (visit, evidence, proposal) = die_while(&house, faults).await;
            let password = proposal.password().expose().to_owned();
            let reset = visit.reset(&evidence, &proposal, None);
            let asked = || house.mail.resets() > 0 && house.payroll.resets() > 0;
            killed_when(asked, async { reset.await.is_ok() }).await;
            (house, password)
        },
        Duration::from_secs(20),
    )
    .unwrap();
    (house, password)
}

pub(super) async fn reborn(house: &House, node: &str) -> Services {
    for target in [&house.mail, &house.payroll] {
        target.fail_resets("ada", []);
        target.fail_verifications("ada", []);
    }
    let config = Config {
        node: node.to_owned(),
        ..config()
    };
    house.another(config).await
}

fn count(names: &[&str], name: &str) -> usize {
    names.iter().filter(|found| **found == name).count()
}

/// Longer than every deadline, lease and settle time of the tests.
const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn an_effect_before_the_crash_is_found_at_once_and_its_absence_after_the_settle_time() {
    let (house, password) = killed([Fault::HangAfterEffect, Fault::Hang], |_| {});
    let services = reborn(&house, "passline").await;
    let recovered = services.recover().await.unwrap();
    assert_eq!((recovered.done, recovered.left), (1, 1));
    assert_eq!(house.mail.password("ada"), password);

    house.clock.advance(LONG);
    let recovered = services.recover().await.unwrap();
    assert_eq!((recovered.not_done, recovered.left), (1, 0));
    assert_eq!(house.payroll.password("ada"), "old");
    assert_eq!(services.recover().await.unwrap(), Recovered::default());

    let events = events(services.store()).await;
    let names: Vec<_> = events.iter().map(|event| event.kind.name()).collect();
    assert_eq!(count(&names, "ET_ADMIN_RESET_INTENT"), 1);
    assert_eq!(count(&names, "ET_ADMIN_RESET_SUCCESS"), 1);
    assert_eq!(count(&names, "ET_ADMIN_RESET_FAILURE"), 1);
    audit::verify(services.store(), Vec::new(), |_| {}).await.unwrap();
}

#[tokio::test]
async fn a_target_that_tells_no_marker_leaves_an_honest_unknown() {
    let (mut house, _) = killed([Fault::HangAfterEffect, Fault::HangAfterEffect], |_| {});
    house.mail = house.mail.clone().without_marker();
    let services = reborn(&house, "passline").await;
    let recovered = services.recover().await.unwrap();
    assert_eq!((recovered.done, recovered.unknown, recovered.left), (1, 1, 0));
    let names: Vec<_> = events(services.store())
        .await
        .iter()
        .map(|event| event.kind.name())
        .collect();
    assert_eq!(count(&names, "ET_ADMIN_RESET_UNKNOWN"), 1);
}

#[tokio::test]
async fn another_node_waits_for_the_lease_and_then_takes_over() {
    let (house, _) = killed([Fault::HangAfterEffect, Fault::HangAfterEffect], |_| {});
    let services = reborn(&house, "another").await;
    assert_eq!(services.recover().await.unwrap(), Recovered::default());
    house.clock.advance(Duration::from_secs(60 + 120 + 5));
    assert_eq!(services.recover().await.unwrap().done, 2);
}

#[tokio::test]
async fn an_open_change_keeps_its_accounts_until_it_is_resolved() {
    let (house, _) = killed([Fault::Hang, Fault::Hang], |_| {});
    let services = reborn(&house, "passline").await;
    let visit = arrive(&services, Some("2")).await;
    let evidence = pass(&visit, "1001").await;
    let proposed = proposal(&visit, &evidence).await;
    assert!(matches!(
        visit.reset(&evidence, &proposed, None).await,
        Err(ServiceError::Busy)
    ));
    house.clock.advance(LONG);
    assert_eq!(services.recover().await.unwrap().not_done, 2);
    let report = visit.reset(&evidence, &proposed, None).await.unwrap();
    assert_eq!(report.summary(), Summary::All);
}

#[tokio::test]
async fn an_unlock_that_was_interrupted_is_found_by_looking_at_the_lock() {
    let house = in_a_process_that_dies(
        async {
            let house = House::with(|config| {
                config.limits.request = Duration::from_secs(60);
                config.limits.account = Duration::from_secs(60);
                config.limits.settle = Duration::from_secs(60);
            })
            .await;
            house.mail.put("ada", "old", true);
            house.payroll.put("ada", "old", true);
            let (visit, evidence) = house.verified("1001").await;
            house.mail.fail_resets("ada", [Fault::HangAfterEffect]);
            house.payroll.fail_resets("ada", [Fault::Hang]);
            let unlock = visit.unlock(&evidence);
            killed_when(|| !house.mail.is_locked("ada"), async { unlock.await.is_ok() }).await;
            house
        },
        Duration::from_secs(20),
    )
    .unwrap();
    let services = reborn(&house, "passline").await;
    assert_eq!(services.recover().await.unwrap().done, 1);
    house.clock.advance(LONG);
    assert_eq!(services.recover().await.unwrap().not_done, 1);
}

#[tokio::test]
async fn what_nobody_came_to_settle_is_settled_by_the_marker() {
    let house = in_a_process_that_dies(
        async {
            let house = House::build().await;
            let (visit, evidence, proposal) = die_while(&house, [Fault::HangAfterEffect, Fault::Hang]).await;
            let report = visit.reset(&evidence, &proposal, None).await.unwrap();
            assert_eq!(report.accounts[0].outcome, Outcome::Unknown);
            assert_eq!(report.accounts[1].outcome, Outcome::Unknown);
            house
        },
        Duration::from_secs(20),
    )
    .unwrap();
    let services = reborn(&house, "passline").await;
    assert_eq!(
        services.recover().await.unwrap(),
        Recovered::default(),
        "not before its time"
    );
    house.clock.advance(LONG);
    let recovered = services.recover().await.unwrap();
    assert_eq!((recovered.done, recovered.not_done), (1, 1));
    let names: Vec<_> = events(services.store())
        .await
        .iter()
        .map(|event| event.kind.name())
        .collect();
    assert_eq!(count(&names, "ET_ADMIN_RESET_UNKNOWN"), 2);
    assert_eq!(count(&names, "ET_ADMIN_RESET_SUCCESS"), 1);
    assert_eq!(count(&names, "ET_ADMIN_RESET_FAILURE"), 1);
}
