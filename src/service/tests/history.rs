//! Passwords that were set are not set again, for as long as the rules say; what never became one is no hindrance.

use super::crash::{killed, reborn};
use super::*;
use crate::identity::ids::UserId;
use crate::integration::target::faulty::Fault;
use crate::store::password_history;

/// How many of a user's passwords are kept.
async fn kept(services: &Services, user: UserId) -> usize {
    let mut tx = services.store().read().await.unwrap();
    password_history::newest(&mut tx, user, u8::MAX).await.unwrap().len()
}

fn remembering(history: u8) -> impl FnOnce(&mut Config) {
    move |config| config.policy.history = history
}

fn is_used_before(result: &Result<ChangeReport, ServiceError>) -> bool {
    matches!(result, Err(ServiceError::UsedBefore))
}

#[tokio::test]
async fn a_password_that_was_set_is_not_set_again_and_another_one_is() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let first = proposal(&visit, &evidence).await;
    visit.reset(&evidence, &first, None).await.unwrap();
    assert!(is_used_before(&visit.reset(&evidence, &first, None).await));
    assert_eq!(house.mail.resets(), 1, "no system was touched");
    let names = house.event_names().await;
    let intents = names.iter().filter(|name| **name == "ET_ADMIN_RESET_INTENT").count();
    assert_eq!(intents, 1);

    let second = proposal(&visit, &evidence).await;
    let report = visit.reset(&evidence, &second, None).await.unwrap();
    assert_eq!(report.summary(), Summary::All);
    assert_eq!(kept(&house.services, evidence.user()).await, 2);
    assert!(is_used_before(&visit.reset(&evidence, &first, None).await));
}

#[tokio::test]
async fn a_repetition_with_its_key_is_no_second_use() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let proposal = proposal(&visit, &evidence).await;
    let key = IdempotencyKey::parse("request-1").unwrap();
    let told = visit.reset(&evidence, &proposal, Some(&key)).await.unwrap();
    assert_eq!(visit.reset(&evidence, &proposal, Some(&key)).await.unwrap(), told);
}

#[tokio::test]
async fn what_every_system_has_refused_never_was_a_password() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let proposal = proposal(&visit, &evidence).await;
    house.mail.fail_resets("ada", [Fault::Refuse]);
    house.payroll.fail_resets("ada", [Fault::Refuse]);
    let report = visit.reset(&evidence, &proposal, None).await.unwrap();
    assert_eq!(report.summary(), Summary::None);
    assert_eq!(kept(&house.services, evidence.user()).await, 0);

    house.mail.fail_resets("ada", [Fault::Refuse]);
    let report = visit.reset(&evidence, &proposal, None).await.unwrap();
    assert_eq!(report.summary(), Summary::Some, "it may be tried again");
    assert_eq!(kept(&house.services, evidence.user()).await, 1);
    assert!(is_used_before(&visit.reset(&evidence, &proposal, None).await));
}

#[tokio::test]
async fn what_nobody_knows_is_kept_until_somebody_does() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let proposal = proposal(&visit, &evidence).await;
    house.mail.fail_resets("ada", [Fault::Hang; 9]);
    house.payroll.fail_resets("ada", [Fault::Refuse]);
    let report = visit.reset(&evidence, &proposal, None).await.unwrap();
    assert_eq!(report.accounts[0].outcome, Outcome::Unknown);
    assert_eq!(kept(&house.services, evidence.user()).await, 1);
    // It is settled when no request can be under way any more: it did not happen.
    for _ in 0..200 {
        if kept(&house.services, evidence.user()).await == 0 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it is still kept");
}

#[tokio::test]
async fn a_crash_loses_no_password_and_keeps_none_that_was_not_set() {
    for (fault, left) in [(Fault::HangAfterEffect, 1), (Fault::Hang, 0)] {
        let (house, _) = killed([fault; 2], |_| {});
        let services = reborn(&house, "passline").await;
        let user = services.show_user(&"ada".parse().unwrap()).await.unwrap().user.id;
        assert_eq!(kept(&services, user).await, 1, "it was committed with the intent");
        house.clock.advance(Duration::from_secs(60));
        services.recover().await.unwrap();
        assert_eq!(kept(&services, user).await, left, "{fault:?}");
    }
}

#[tokio::test]
async fn no_more_are_kept_than_the_rules_want() {
    let house = House::with(remembering(2)).await;
    let (visit, evidence) = house.verified("1001").await;
    let mut proposals = Vec::new();
    for _ in 0..4 {
        let proposal = proposal(&visit, &evidence).await;
        visit.reset(&evidence, &proposal, None).await.unwrap();
        house.clock.advance(Duration::from_secs(1));
        proposals.push(proposal);
    }
    assert_eq!(
        kept(&house.services, evidence.user()).await,
        3,
        "and the one that was the oldest at the last reset"
    );
    for present in &proposals[2..] {
        assert!(is_used_before(&visit.reset(&evidence, present, None).await));
    }
    visit.reset(&evidence, &proposals[1], None).await.unwrap();

    // Somebody else's passwords are their own.
    let (other, theirs) = house.verified("1002").await;
    let proposed = proposal(&other, &theirs).await;
    other.reset(&theirs, &proposed, None).await.unwrap();
    assert_eq!(kept(&house.services, theirs.user()).await, 1);
    assert_eq!(kept(&house.services, evidence.user()).await, 3);
}

#[tokio::test]
async fn without_a_history_nothing_is_kept_or_compared() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let first = proposal(&visit, &evidence).await;
    visit.reset(&evidence, &first, None).await.unwrap();
    assert_eq!(kept(&house.services, evidence.user()).await, 1);

    let mut config = config();
    config.policy.history = 0;
    let services = house.another(config).await;
    let visit = arrive(&services, Some("2")).await;
    let evidence = pass(&visit, "1001").await;
    let second = proposal(&visit, &evidence).await;
    for _ in 0..2 {
        visit.reset(&evidence, &second, None).await.unwrap();
        assert_eq!(
            kept(&services, evidence.user()).await,
            0,
            "not even what was kept before"
        );
    }
}

#[tokio::test]
async fn a_new_pepper_forgets_nothing() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let before = proposal(&visit, &evidence).await;
    visit.reset(&evidence, &before, None).await.unwrap();

    let rotated = Peppers::new(vec![
        Pepper::new(PepperId(1), [7; 32]),
        Pepper::new(PepperId(2), [8; 32]),
    ]);
    let targets: Vec<Arc<dyn Target>> = vec![Arc::new(house.mail.clone()), Arc::new(house.payroll.clone())];
    let services = open_with(&house.folder, house.clock.clone(), config(), targets, rotated.unwrap()).await;
    let same_visit = Visit { services, ..visit };
    assert!(is_used_before(&same_visit.reset(&evidence, &before, None).await));
    let after = proposal(&same_visit, &evidence).await;
    same_visit.reset(&evidence, &after, None).await.unwrap();
    for earlier in [&before, &after] {
        assert!(is_used_before(&same_visit.reset(&evidence, earlier, None).await));
    }
}

#[tokio::test]
async fn what_was_set_since_it_was_compared_is_not_passed_over() {
    let house = House::build().await;
    let services = &house.services;
    let (visit, evidence) = house.verified("1001").await;
    let password = proposal(&visit, &evidence).await;
    let compare = async || services.look_back(evidence.user(), password.password(), 5).await;
    let stale = compare().await.unwrap();
    visit.reset(&evidence, &password, None).await.unwrap();
    let reset = services.draw(|rng| crate::identity::ids::ResetId::generate(START, rng));
    let mut tx = services.store().write().await.unwrap();
    let kept = services
        .keep_password(&mut tx, reset, evidence.user(), stale.as_ref(), START)
        .await;
    assert!(matches!(kept, Err(ServiceError::InProgress)), "{kept:?}");
    drop(tx);
    assert!(matches!(compare().await, Err(ServiceError::UsedBefore)));
}
