//! Resetting, unlocking, telling the state: with evidence, for the chosen systems, with the truth about each.

use super::*;
use crate::integration::target::Refusal;
use crate::integration::target::faulty::Fault;

fn outcomes(report: &ChangeReport) -> Vec<(&str, Outcome)> {
    report
        .accounts
        .iter()
        .map(|account| (account.system.as_str(), account.outcome))
        .collect()
}

#[tokio::test]
async fn an_accepted_password_is_set_on_every_system() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let proposal = proposal(&visit, &evidence).await;
    assert_eq!(
        house.mail.password("ada"),
        "old",
        "nothing changes before it is accepted"
    );
    let report = visit.reset(&evidence, &proposal, None).await.unwrap();
    assert_eq!(report.summary(), Summary::All);
    assert!(
        report.accounts.iter().all(|account| !account.must_change),
        "they cannot expire"
    );
    for target in [&house.mail, &house.payroll] {
        assert_eq!(target.password("ada"), proposal.password().expose());
        assert_eq!(target.password("bob"), "old");
    }
    let names = house.event_names().await;
    let succeeded = names.iter().filter(|name| **name == "ET_ADMIN_RESET_SUCCESS").count();
    assert_eq!(succeeded, 2);
    assert_eq!(house.services.metrics().resets_done.count(), 2);
}

#[tokio::test]
async fn one_chosen_system_is_reset_alone() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let systems = visit.list_systems(&evidence).await.unwrap();
    let names: Vec<_> = systems.iter().map(|system| system.name.as_str()).collect();
    assert_eq!(names, ["Mail", "Payroll"]);
    for none in ["0", "3", "*", ""] {
        let selected = visit.select_system(&evidence, &digits(none)).await.unwrap();
        assert_eq!(selected, Selected::NoMatch, "{none}");
    }
    visit.select_system(&evidence, &digits("2")).await.unwrap();
    let proposal = proposal(&visit, &evidence).await;
    let report = visit.reset(&evidence, &proposal, None).await.unwrap();
    assert_eq!(outcomes(&report), [("Payroll", Outcome::Done)]);
    assert_eq!(house.mail.password("ada"), "old");
    // A proposal is for the systems that were chosen when it was made.
    visit.select_all(&evidence).await.unwrap();
    assert!(matches!(
        visit.reset(&evidence, &proposal, None).await,
        Err(ServiceError::ForeignProposal)
    ));
}

#[tokio::test]
async fn each_system_tells_its_own_result() {
    let house = House::build().await;
    house.mail.fail_resets("ada", [Fault::Refuse]);
    house.payroll.fail_resets("ada", [Fault::HangAfterEffect]);
    let (visit, evidence) = house.verified("1001").await;
    let proposal = proposal(&visit, &evidence).await;
    let report = visit.reset(&evidence, &proposal, None).await.unwrap();
    assert_eq!(
        outcomes(&report),
        [("Mail", Outcome::Refused(Refusal::Policy)), ("Payroll", Outcome::Done)]
    );
    assert_eq!(report.summary(), Summary::Some);
}

#[tokio::test]
async fn dead_evidence_resets_nothing() {
    let house = House::build().await;
    let refused = |result: Result<ChangeReport, ServiceError>| matches!(result, Err(ServiceError::NotVerified));

    // Expired.
    let (visit, evidence) = house.verified("1001").await;
    let proposed = proposal(&visit, &evidence).await;
    house
        .clock
        .advance(Duration::from_secs(10 * 60) - Duration::from_millis(1));
    visit.list_systems(&evidence).await.unwrap();
    house.clock.advance(Duration::from_millis(1));
    assert!(refused(visit.reset(&evidence, &proposed, None).await));

    // The visit has ended.
    let (visit, evidence) = house.verified("1001").await;
    let proposed = proposal(&visit, &evidence).await;
    visit.end().await.unwrap();
    assert!(refused(visit.reset(&evidence, &proposed, None).await));

    // Another visit.
    let (visit, evidence) = house.verified("1001").await;
    let proposed = proposal(&visit, &evidence).await;
    let (other, _) = house.verified("1002").await;
    assert!(refused(other.reset(&evidence, &proposed, None).await));
    assert!(matches!(other.unlock(&evidence).await, Err(ServiceError::NotVerified)));
    assert!(matches!(
        other.list_systems(&evidence).await,
        Err(ServiceError::NotVerified)
    ));
    assert!(matches!(
        other.account_states(&evidence).await,
        Err(ServiceError::NotVerified)
    ));
    assert!(matches!(
        other.propose_password(&evidence).await,
        Err(ServiceError::NotVerified)
    ));

    // Locked out by an admin meanwhile.
    let locked = crate::identity::user::UserStatus::LockedByAdmin;
    let login = "ada".parse().unwrap();
    house.services.set_user_status(&cli(), &login, locked).await.unwrap();
    assert!(refused(visit.reset(&evidence, &proposed, None).await));

    assert_eq!(house.mail.password("ada"), "old");
    assert_eq!(house.mail.resets() + house.payroll.resets(), 0);
}

#[tokio::test]
async fn a_proposal_of_earlier_evidence_is_refused() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let old = proposal(&visit, &evidence).await;
    let (visit, evidence) = house.verified("1001").await;
    assert!(matches!(
        visit.reset(&evidence, &old, None).await,
        Err(ServiceError::ForeignProposal)
    ));
}

#[tokio::test]
async fn a_repeated_request_gets_the_first_outcome_and_resets_nothing() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let first = proposal(&visit, &evidence).await;
    let key = IdempotencyKey::parse("request-1").unwrap();
    let told = visit.reset(&evidence, &first, Some(&key)).await.unwrap();
    let again = visit.reset(&evidence, &first, Some(&key)).await.unwrap();
    assert_eq!(told, again);
    assert_eq!(house.mail.resets(), 1);
    let second = proposal(&visit, &evidence).await;
    assert!(matches!(
        visit.reset(&evidence, &second, Some(&key)).await,
        Err(ServiceError::IdempotencyConflict)
    ));
}

#[tokio::test]
async fn a_repeated_request_settles_what_was_unknown() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let proposal = proposal(&visit, &evidence).await;
    let key = IdempotencyKey::parse("request-1").unwrap();
    house.mail.fail_resets("ada", [Fault::HangAfterEffect; 9]);
    house.mail.fail_verifications("ada", [Fault::Hang; 9]);
    let told = visit.reset(&evidence, &proposal, Some(&key)).await.unwrap();
    assert_eq!(told.accounts[0].outcome, Outcome::Unknown);
    house.mail.fail_verifications("ada", []);
    house.clock.advance(Duration::from_secs(1));
    let again = visit.reset(&evidence, &proposal, Some(&key)).await.unwrap();
    assert_eq!(again.summary(), Summary::All);
}

#[tokio::test]
async fn what_was_unknown_is_settled_later_with_an_event() {
    let house = House::build().await;
    house.mail.fail_resets(
        "ada",
        [Fault::LateEffect(Duration::from_millis(250)), Fault::Hang, Fault::Hang],
    );
    let (visit, evidence) = house.verified("1001").await;
    let proposal = proposal(&visit, &evidence).await;
    let report = visit.reset(&evidence, &proposal, None).await.unwrap();
    assert_eq!(report.accounts[0].outcome, Outcome::Unknown);
    for _ in 0..100 {
        if house.services.metrics().resets_done.count() == 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let names = house.event_names().await;
    let count = |name| names.iter().filter(|found| **found == name).count();
    assert_eq!(count("ET_ADMIN_RESET_UNKNOWN"), 1);
    assert_eq!(count("ET_ADMIN_RESET_SUCCESS"), 2);
    assert_eq!(house.mail.password("ada"), proposal.password().expose());
}

#[tokio::test]
async fn a_caller_who_hangs_up_in_the_middle_gets_what_was_ordered() {
    let house = House::build().await;
    house.mail.fail_resets("ada", [Fault::HangAfterEffect]);
    let (visit, evidence) = house.verified("1001").await;
    let proposal = proposal(&visit, &evidence).await;
    let ordered = async {
        while house.mail.resets() == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        _ = visit.reset(&evidence, &proposal, None) => panic!("it answered"),
        () = ordered => {}
    }
    visit.end().await.unwrap();
    house.services.drain().await;
    let succeeded = |names: Vec<&str>| names.iter().filter(|name| **name == "ET_ADMIN_RESET_SUCCESS").count();
    assert_eq!(succeeded(house.event_names().await), 2);
}

#[tokio::test]
async fn one_account_is_in_one_change_at_a_time() {
    let house = House::build().await;
    house.mail.fail_resets("ada", [Fault::Hang, Fault::Hang, Fault::Hang]);
    let (visit, evidence) = house.verified("1001").await;
    let proposed = proposal(&visit, &evidence).await;
    let (other, other_evidence) = house.verified("1001").await;
    let other_proposed = proposal(&other, &other_evidence).await;
    let (first, second) = tokio::join!(visit.reset(&evidence, &proposed, None), async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        other.reset(&other_evidence, &other_proposed, None).await
    });
    assert!(first.is_ok());
    assert!(matches!(second, Err(ServiceError::Busy)), "{second:?}");
}

#[tokio::test]
async fn only_locked_accounts_are_unlocked() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    assert_eq!(visit.unlock(&evidence).await.unwrap(), Unlocked::NotLocked);
    house.payroll.put("ada", "old", true);
    let StatesTold::Told(states) = visit.account_states(&evidence).await.unwrap() else {
        panic!("no system has answered");
    };
    let locked: Vec<_> = states
        .iter()
        .map(|report| report.state.as_ref().unwrap().locked)
        .collect();
    assert_eq!(locked, [Some(false), Some(true)]);
    let Unlocked::All(report) = visit.unlock(&evidence).await.unwrap() else {
        panic!("not unlocked");
    };
    assert_eq!(outcomes(&report), [("Payroll", Outcome::Done)]);
    assert!(!house.payroll.is_locked("ada"));
    assert!(house.event_names().await.contains(&"ET_ADMIN_UNLOCK_SUCCESS"));
}

#[tokio::test]
async fn proposals_differ_are_limited_and_can_be_read_back() {
    let house = House::with(|config| config.proposals_per_visit = 2).await;
    let (visit, evidence) = house.verified("1001").await;
    let first = proposal(&visit, &evidence).await;
    let second = proposal(&visit, &evidence).await;
    assert_ne!(first.password(), second.password());
    assert!(matches!(
        visit.propose_password(&evidence).await.unwrap(),
        Proposed::Exhausted
    ));
    let keys = crate::identity::generator::keypad_form(second.password());
    assert_eq!(
        visit.check_readback(&evidence, &second, &keys).await.unwrap(),
        ReadBack::Match
    );
    let other = digits("123");
    assert_eq!(
        visit.check_readback(&evidence, &second, &other).await.unwrap(),
        ReadBack::Mismatch
    );
}

#[tokio::test]
async fn a_read_back_needs_live_evidence_of_the_same_visit() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let proposed = proposal(&visit, &evidence).await;
    let keys = digits("123");
    let (other, other_evidence) = house.verified("1002").await;
    assert!(matches!(
        other.check_readback(&other_evidence, &proposed, &keys).await,
        Err(ServiceError::ForeignProposal)
    ));
    visit.end().await.unwrap();
    assert!(matches!(
        visit.check_readback(&evidence, &proposed, &keys).await,
        Err(ServiceError::NotVerified)
    ));
}

#[tokio::test]
async fn a_user_without_accounts_has_nothing_to_reset() {
    let house = House::build().await;
    let csv = "login,employee_number,answer.First number?,answer.Second number?,answer.Third number?\n\
               kim,6001,6001880,6001881,6001882\n";
    let reader = std::io::Cursor::new(csv);
    house.services.import_users(&cli(), reader, |_| {}).await.unwrap();
    let (visit, evidence) = house.verified("6001").await;
    assert_eq!(visit.list_systems(&evidence).await.unwrap(), []);
    assert!(matches!(
        visit.propose_password(&evidence).await,
        Err(ServiceError::NoAccounts)
    ));
}

#[tokio::test]
async fn an_account_that_has_become_another_persons_is_left_alone() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let proposed = proposal(&visit, &evidence).await;
    // While the password is hashed and the systems are asked.
    let taken = async {
        let mut tx = house.services.store().write().await.unwrap();
        let accounts = crate::store::account::of_user(&mut tx, evidence.user()).await.unwrap();
        crate::store::account::remove(&mut tx, accounts[0].id, START)
            .await
            .unwrap();
        tx.commit().await.unwrap();
    };
    let (reset, ()) = tokio::join!(visit.reset(&evidence, &proposed, None), taken);
    assert!(
        matches!(reset, Err(ServiceError::Superseded | ServiceError::ForeignProposal)),
        "{reset:?}"
    );
    assert_eq!((house.mail.resets(), house.payroll.resets()), (0, 0));
    assert!(matches!(
        visit.reset(&evidence, &proposed, None).await,
        Err(ServiceError::ForeignProposal)
    ));
}
