//! Two nodes on one database at once.

use super::*;

fn node(name: &str) -> Config {
    Config {
        node: name.to_owned(),
        ..config()
    }
}

#[tokio::test]
async fn a_visit_goes_on_at_another_node() {
    let house = House::build().await;
    let other = house.another(node("other")).await;
    let here = house.arrive(Some("1")).await;
    let there = other.visit(here.id(), Door::Phone);
    assert_eq!(here.identify(&digits("1001")).await.unwrap(), Identified::One);
    let mut passed = None;
    for visit in [&there, &here, &there] {
        let NextQuestion::Ask(question) = visit.next_question().await.unwrap() else {
            panic!("no question");
        };
        let answered = if std::ptr::eq(visit, &here) { &there } else { &here };
        passed = Some(
            answered
                .answer(&digits(&right_answer("1001", &question)))
                .await
                .unwrap(),
        );
    }
    let Some(Answered::Passed(evidence)) = passed else {
        panic!("{passed:?}");
    };
    assert_eq!(there.list_systems(&evidence).await.unwrap().len(), 2);
    here.end().await.unwrap();
    assert!(matches!(
        there.list_systems(&evidence).await,
        Err(ServiceError::NotVerified)
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tries_at_two_nodes_share_one_lockout() {
    let house = House::build().await;
    let other = house.another(node("other")).await;
    let mut calls = tokio::task::JoinSet::new();
    for call in 0..12 {
        let services = if call % 2 == 0 {
            house.services.clone()
        } else {
            other.clone()
        };
        calls.spawn(async move {
            let visit = arrive(&services, Some(&call.to_string())).await;
            visit.identify(&digits("1001")).await.unwrap();
            visit.next_question().await.unwrap();
            // Whether the round was admitted shows at the first answer.
            matches!(visit.answer(&digits("1")).await.unwrap(), Answered::More)
        });
    }
    let admitted = calls.join_all().await.into_iter().filter(|admitted| *admitted).count();
    assert_eq!(admitted, 4);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_nodes_write_one_unbroken_audit_log_and_share_the_outbox() {
    let house = House::build().await;
    let other = house.another(node("other")).await;
    let mut calls = tokio::task::JoinSet::new();
    for (services, number) in [(house.services.clone(), "1001"), (other.clone(), "1002")] {
        calls.spawn(async move {
            for call in 0..3 {
                let visit = arrive(&services, Some(&format!("{number}{call}"))).await;
                let evidence = pass(&visit, number).await;
                let proposal = proposal(&visit, &evidence).await;
                let report = visit.reset(&evidence, &proposal, None).await.unwrap();
                assert_eq!(report.summary(), Summary::All);
            }
        });
    }
    calls.join_all().await;
    let head = audit::verify(house.services.store(), Vec::new(), |_| {})
        .await
        .unwrap()
        .head;
    assert_eq!(head.sequence, house.events().await.len() as u64);

    let sinks: Vec<Arc<dyn Sink>> = vec![Arc::new(LogSink)];
    let limits = OutboxLimits::default();
    let deliver = async |services: &Services| while services.deliver_due(&sinks, &limits).await.unwrap() > 0 {};
    tokio::join!(deliver(&house.services), deliver(&other));
    let delivered = house.services.metrics().deliveries.count() + other.metrics().deliveries.count();
    assert_eq!(delivered, head.sequence);
}

/// A client that lost its connection asks another node the same at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_request_at_two_nodes_is_carried_out_once() {
    let house = House::build().await;
    let other = house.another(node("other")).await;
    let (here, evidence) = house.verified("1001").await;
    let there = other.visit(here.id(), Door::Phone);
    let proposal = proposal(&here, &evidence).await;
    let key = IdempotencyKey::parse("once").unwrap();
    let (first, second) = tokio::join!(
        here.reset(&evidence, &proposal, Some(&key)),
        there.reset(&evidence, &proposal, Some(&key))
    );
    for report in [&first, &second] {
        match report {
            Ok(report) => assert_eq!(report.summary(), Summary::All),
            Err(error) => assert!(error.is_transient(), "{error}"),
        }
    }
    assert!(first.is_ok() || second.is_ok());
    let names = house.event_names().await;
    assert_eq!(names.iter().filter(|name| **name == "ET_ADMIN_RESET_INTENT").count(), 1);
    assert_eq!(
        there.reset(&evidence, &proposal, Some(&key)).await.unwrap().summary(),
        Summary::All
    );
    here.end().await.unwrap();
    let late = there.reset(&evidence, &proposal, None).await;
    assert!(matches!(late, Err(ServiceError::NotVerified)), "{late:?}");
}
