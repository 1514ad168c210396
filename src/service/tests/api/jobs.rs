//! Orders that are given again, that take long, and that come to nothing.

use super::super::super::job::Begun;
use super::super::super::reset::NewReset;
use super::*;
use crate::identity::ids::ResetId;
use crate::integration::target::Expiry;
use crate::integration::target::faulty::Fault;
use crate::store::reset::ChangeId;

const AT_ONCE: Duration = Duration::ZERO;

struct Ready {
    house: House,
    session: ApiSession,
}

impl Ready {
    async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let house = House::with(change).await;
        add_client(&house.services, "ivr").await;
        let session = session(&house.services).await;
        verify(&session.visit, "1001").await;
        Self { house, session }
    }

    async fn evidence(&self) -> Evidence {
        self.session.visit.evidence().await.unwrap()
    }

    async fn proposal(&self) -> Proposal {
        kept(&self.session, &self.evidence().await).await
    }

    async fn reopened(&self, proposal: &Proposal) -> NewPassword {
        let handle = Handle::parse(proposal.name()).unwrap();
        NewPassword::Proposed(
            self.session
                .visit
                .kept_proposal(&handle, &self.session.token)
                .await
                .unwrap(),
        )
    }

    async fn reset(&self, order: ResetOrder, wait: Duration) -> Result<JobReport, ServiceError> {
        self.session
            .visit
            .order_reset(Ok(self.evidence().await), order, wait)
            .await
    }

    /// What comes of a job in the end.
    async fn end_of(&self, handle: &Handle) -> Result<JobReport, ServiceError> {
        loop {
            let report = self.session.visit.job(handle).await?;
            if !report.is_running {
                return Ok(report);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

#[tokio::test]
async fn an_order_that_takes_long_is_a_job() {
    let ready = Ready::with(|_| {}).await;
    let proposal = ready.proposal().await;
    let first = order(ready.reopened(&proposal).await, "k");
    let report = ready.reset(first, AT_ONCE).await.unwrap();
    assert!(report.is_running);
    // The same order again finds it, whatever it brings.
    let again = order(ready.reopened(&proposal).await, "k");
    assert_eq!(ready.reset(again, AT_ONCE).await.unwrap().handle, report.handle);
    let end = ready.end_of(&report.handle).await.unwrap();
    assert_eq!(told(&end), [("Mail", "done"), ("Payroll", "done")]);
    let again = order(ready.reopened(&proposal).await, "k");
    assert_eq!(ready.reset(again, PATIENTLY).await.unwrap(), end);
    assert_eq!(ready.house.mail.resets(), 1);
    // The key is used up.
    let other = ready.proposal().await;
    let conflict = order(ready.reopened(&other).await, "k");
    assert!(matches!(
        ready.reset(conflict, PATIENTLY).await,
        Err(ServiceError::IdempotencyConflict)
    ));
}

#[tokio::test]
async fn the_same_order_at_two_nodes_at_once_is_carried_out_once() {
    let ready = Ready::with(|_| {}).await;
    let other = ready
        .house
        .another(Config {
            node: "other".to_owned(),
            ..config()
        })
        .await;
    let there = again(&other, &ready.session).await;
    let proposal = ready.proposal().await;
    let (here, elsewhere) = (
        order(ready.reopened(&proposal).await, "k"),
        order(ready.reopened(&proposal).await, "k"),
    );
    let evidence = (ready.evidence().await, there.visit.evidence().await.unwrap());
    let (one, two) = tokio::join!(
        ready.session.visit.order_reset(Ok(evidence.0), here, PATIENTLY),
        there.visit.order_reset(Ok(evidence.1), elsewhere, PATIENTLY),
    );
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(one.handle, two.handle);
    let end = ready.end_of(&one.handle).await.unwrap();
    assert_eq!(told(&end), [("Mail", "done"), ("Payroll", "done")]);
    assert_eq!((ready.house.mail.resets(), ready.house.payroll.resets()), (1, 1));
}

#[tokio::test]
async fn some_accounts_alone_and_a_password_that_was_made_for_more() {
    let ready = Ready::with(|_| {}).await;
    let proposal = ready.proposal().await;
    let evidence = ready.evidence().await;
    let accounts = ready.session.visit.accounts(&evidence, PATIENTLY).await.unwrap();
    assert!(accounts.iter().all(|account| account.state.is_some()), "{accounts:?}");
    let mail = accounts.iter().find(|account| account.system == "Mail").unwrap();
    let one = ResetOrder {
        accounts: Some(vec![mail.handle.clone()]),
        ..order(ready.reopened(&proposal).await, "k")
    };
    let report = ready.reset(one, PATIENTLY).await.unwrap();
    assert_eq!(told(&report), [("Mail", "done")]);
    assert_eq!(report.accounts[0].handle, mail.handle);
    assert_eq!(ready.house.payroll.password("ada"), "old");
    for accounts in [vec![], vec![Handle::parse(&"0".repeat(32)).unwrap()]] {
        let none = ResetOrder {
            accounts: Some(accounts),
            ..order(ready.reopened(&proposal).await, "k2")
        };
        assert!(matches!(
            ready.reset(none, PATIENTLY).await,
            Err(ServiceError::NoAccounts | ServiceError::UnknownHandle { of: "account" })
        ));
    }
}

#[tokio::test]
async fn a_chosen_password_must_be_good_and_new() {
    let ready = Ready::with(|config| config.policy.history = 5).await;
    let choose = |text: &str| NewPassword::Chosen(Secret::new(text.to_owned()));
    let refused = ready.reset(order(choose("short"), "k1"), PATIENTLY).await;
    let Err(ServiceError::Policy { reasons }) = refused else {
        panic!("{refused:?}");
    };
    assert!(reasons.len() >= 2, "{reasons:?}");
    assert!(reasons.iter().all(|reason| !reason.contains("short ")), "{reasons:?}");
    // Whoever asks for the job later hears the same.
    let refused = ready.reset(order(choose("short"), "k1"), AT_ONCE).await;
    match refused {
        Err(ServiceError::Policy { .. }) => {}
        Ok(report) => assert!(matches!(
            ready.end_of(&report.handle).await,
            Err(ServiceError::Policy { .. })
        )),
        other => panic!("{other:?}"),
    }
    let good = ready
        .reset(order(choose("Tr4velling-lamp"), "k2"), PATIENTLY)
        .await
        .unwrap();
    assert_eq!(told(&good), [("Mail", "done"), ("Payroll", "done")]);
    assert_eq!(ready.house.mail.password("ada"), "Tr4velling-lamp");
    let again = ready.reset(order(choose("Tr4velling-lamp"), "k3"), PATIENTLY).await;
    assert!(matches!(again, Err(ServiceError::UsedBefore)), "{again:?}");
    // Nothing was changed, so the key may be used for the same order again; it is refused again.
    let again = ready.reset(order(choose("Tr4velling-lamp"), "k3"), PATIENTLY).await;
    assert!(matches!(again, Err(ServiceError::UsedBefore)), "{again:?}");
}

#[tokio::test]
async fn expiry_and_ticket_are_those_of_the_order() {
    let ready = Ready::with(|_| {}).await;
    let house = &ready.house;
    let mail = house.mail.clone().with_expiry();
    let targets: Vec<Arc<dyn Target>> = vec![Arc::new(mail.clone())];
    let services = open(&house.folder, house.clock.clone(), config(), targets).await;
    let session = again(&services, &ready.session).await;
    for (expiry, expires) in [(Expiry::Keep, false), (Expiry::AtNextSignIn, true)] {
        let evidence = session.visit.evidence().await.unwrap();
        let order = ResetOrder {
            expiry,
            ticket: Some("INC0042".to_owned()),
            ..order(
                NewPassword::Proposed(kept(&session, &evidence).await),
                &format!("{expires}"),
            )
        };
        let report = session.visit.order_reset(Ok(evidence), order, PATIENTLY).await.unwrap();
        assert_eq!(told(&report), [("Mail", "done")]);
        assert_eq!(
            (mail.is_expired("ada"), report.accounts[0].must_change),
            (expires, expires)
        );
    }
    let events = ready.house.events().await;
    assert!(events.iter().any(|event| matches!(
        &event.kind,
        crate::identity::event::EventKind::ResetIntended { ticket: Some(ticket), .. } if ticket == "INC0042"
    )));
}

#[tokio::test]
async fn locks_are_cleared_once_and_each_account_tells() {
    let ready = Ready::with(|_| {}).await;
    ready.house.mail.put("ada", "old", true);
    let unlock = async |text: &str, wait| {
        let order = UnlockOrder {
            accounts: None,
            ticket: None,
            key: key(text),
        };
        ready
            .session
            .visit
            .order_unlock(Ok(ready.evidence().await), order, wait)
            .await
            .unwrap()
    };
    let report = unlock("u1", PATIENTLY).await;
    assert!(!report.is_running);
    let mut outcomes = told(&report);
    outcomes.sort_unstable();
    assert_eq!(outcomes, [("Mail", "done"), ("Payroll", "not_locked")]);
    assert_eq!(unlock("u1", PATIENTLY).await, report);
    let nothing = unlock("u2", PATIENTLY).await;
    assert!(!nothing.is_running);
    assert!(told(&nothing).iter().all(|(_, outcome)| *outcome == "not_locked"));
    assert_eq!(unlock("u2", PATIENTLY).await, nothing);
}

#[tokio::test]
async fn an_order_goes_on_when_the_session_is_over() {
    let ready = Ready::with(|_| {}).await;
    ready.house.mail.fail_resets("ada", [Fault::HangAfterEffect]);
    let proposal = ready.proposal().await;
    let first = order(ready.reopened(&proposal).await, "k");
    let report = ready.reset(first, Duration::from_millis(30)).await.unwrap();
    ready.session.visit.end().await.unwrap();
    assert!(matches!(
        ready.session.visit.job(&report.handle).await,
        Err(ServiceError::NoVisit)
    ));
    ready.house.services.drain().await;
    let names = ready.house.event_names().await;
    assert_eq!(
        names.iter().filter(|name| **name == "ET_ADMIN_RESET_SUCCESS").count(),
        2
    );
}

#[tokio::test]
async fn an_order_whose_process_died_before_it_began_may_be_given_again() {
    let ready = Ready::with(|config| config.policy.history = 0).await;
    let proposal = ready.proposal().await;
    // A process that has committed the job and nothing else.
    let visit = &ready.session.visit;
    let keyed = visit.keyed_reset(&order(ready.reopened(&proposal).await, "k"));
    let fresh = ready.house.services.draw(|rng| ResetId::generate(START, rng));
    let evidence = ready.evidence().await;
    let begun = visit.begin_job(Ok(evidence), &keyed, ChangeId::Reset(fresh), None, |_, _| Ok(()));
    let Begun::Now {
        accepted,
        evidence,
        chosen,
    } = begun.await.unwrap()
    else {
        panic!("begun before");
    };
    let report = ready
        .reset(order(ready.reopened(&proposal).await, "k"), PATIENTLY)
        .await
        .unwrap();
    assert!(report.is_running && report.accounts.is_empty());
    // While it may still be under way elsewhere, it is; then it is not.
    assert!(ready.session.visit.job(&report.handle).await.unwrap().is_running);
    let lease = ready.house.services.config().limits.lease();
    ready.house.clock.advance(lease);
    assert!(matches!(
        ready.session.visit.job(&report.handle).await,
        Err(ServiceError::NotBegun)
    ));
    let again = order(ready.reopened(&proposal).await, "k");
    let again = ready.reset(again, PATIENTLY).await.unwrap();
    assert_eq!(again.handle, report.handle);
    assert_eq!(told(&again), [("Mail", "done"), ("Payroll", "done")]);
    // The one that seemed lost wakes up, and does nothing.
    let resets = ready.house.mail.resets();
    let sleeper = NewReset {
        id: fresh,
        key: Some(keyed.key),
        ticket: None,
        chosen,
        expiry: Expiry::AtNextSignIn,
        accepted: Some(accepted),
    };
    let woken = visit.set(&evidence, &proposal, sleeper).await;
    assert!(matches!(woken, Err(ServiceError::Superseded)), "{woken:?}");
    assert_eq!(ready.house.mail.resets(), resets);
}

#[tokio::test]
async fn an_order_that_has_not_reached_its_intent_goes_on_when_the_session_is_over() {
    let ready = Ready::with(|_| {}).await;
    ready.house.mail.put("ada", "old", true);
    // The look at the locks takes its time.
    ready.house.payroll.hang_states("ada");
    let order = UnlockOrder {
        accounts: None,
        ticket: None,
        key: key("u"),
    };
    let evidence = Ok(ready.evidence().await);
    let visit = &ready.session.visit;
    let report = visit.order_unlock(evidence, order, AT_ONCE).await.unwrap();
    assert!(report.is_running);
    visit.end().await.unwrap();
    ready.house.services.drain().await;
    assert!(!ready.house.mail.is_locked("ada"));
    assert!(ready.house.event_names().await.contains(&"ET_ADMIN_UNLOCK_SUCCESS"));
}

#[tokio::test]
async fn a_key_is_for_one_request_whatever_it_asks_for() {
    let ready = Ready::with(|_| {}).await;
    let (visit, evidence) = (&ready.session.visit, ready.evidence().await);
    let propose = async |text: &str| {
        let key = key(text);
        visit
            .propose_and_keep(&evidence, None, &ready.session.token, Some(&key))
            .await
    };
    let Proposed::Proposed(proposal) = propose("p").await.unwrap() else {
        panic!("no password")
    };
    let with = async |text: &str| {
        let order = order(ready.reopened(&proposal).await, text);
        ready.reset(order, PATIENTLY).await
    };
    assert!(matches!(with("p").await, Err(ServiceError::IdempotencyConflict)));
    with("k").await.unwrap();
    assert!(matches!(propose("k").await, Err(ServiceError::IdempotencyConflict)));
    // However many there were between, the first one is known.
    for _ in 0..9 {
        propose(&format!("p{}", ready.house.services.draw(|rng| rng.next_u32())))
            .await
            .unwrap();
    }
    assert!(matches!(with("p").await, Err(ServiceError::IdempotencyConflict)));
}

#[tokio::test]
async fn an_order_is_found_again_when_its_evidence_is_over() {
    let ready = Ready::with(|_| {}).await;
    let proposal = ready.proposal().await;
    let first = order(ready.reopened(&proposal).await, "k");
    let done = ready.reset(first, PATIENTLY).await.unwrap();
    for _ in 0..6 {
        ready.house.clock.advance(Duration::from_secs(100));
        again(&ready.house.services, &ready.session).await;
    }
    let visit = &ready.session.visit;
    let evidence = visit.evidence().await;
    assert!(matches!(evidence, Err(ServiceError::NotVerified)));
    let same = order(ready.reopened(&proposal).await, "k");
    assert_eq!(visit.order_reset(evidence, same, PATIENTLY).await.unwrap(), done);
    let other = order(ready.reopened(&proposal).await, "k2");
    assert!(matches!(
        visit.order_reset(visit.evidence().await, other, PATIENTLY).await,
        Err(ServiceError::NotVerified)
    ));
}
