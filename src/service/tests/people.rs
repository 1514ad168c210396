//! Administration: import line by line, audit, outbox, call records.

use std::sync::Mutex;

use super::*;
use crate::store::outbox::Delivery;

async fn import(house: &House, csv: &str) -> ImportReport {
    let reader = std::io::Cursor::new(csv.to_owned());
    house.services.import_users(&cli(), reader, |_| {}).await.unwrap()
}

#[tokio::test]
async fn an_imported_user_can_call() {
    let house = House::build().await;
    house.mail.put("dora", "old", false);
    let report = import(
        &house,
        "login,name,employee_number,account.Mail,answer.First number?,answer.Second number?,answer.Third number?\n\
         dora,Dora Miles,3001,dora,3001880,3001881,3001882\n",
    )
    .await;
    assert_eq!((report.progress.created, report.mistakes.len()), (1, 0), "{report:?}");
    let (visit, evidence) = house.verified("3001").await;
    let systems = visit.list_systems(&evidence).await.unwrap();
    assert_eq!(
        systems,
        [System {
            name: "Mail".to_owned()
        }]
    );
}

#[tokio::test]
async fn every_mistake_is_told_with_its_line_and_good_lines_are_taken() {
    let house = House::build().await;
    let report = import(
        &house,
        "login,employee_number,discriminator,language,account.Mail,answer.First number?\n\
         eve,5001,12,en-US,eve,500188\n\
         ,5002,,,,\n\
         fay,50x02,1,english please,fay,secret-words\n\
         EVE,5003,,,,\n\
         gil,5004\n\
         hal,5005,,,ada,\n\
         ida,5006,,,eve,\n\
         ada,1001,,de,,\n",
    )
    .await;
    let told: Vec<_> = report
        .mistakes
        .iter()
        .map(|mistake| (mistake.line, mistake.column.as_deref().unwrap_or("")))
        .collect();
    assert_eq!(
        told,
        [
            (3, "login"),
            (4, "employee_number"),
            (4, "discriminator"),
            (4, "language"),
            (4, "answer.First number?"),
            (5, "login"),
            (6, ""),
            (8, "account.Mail"),
            (7, "account.Mail"),
        ]
    );
    assert!(!format!("{report:?}").contains("secret-words"));
    assert_eq!(report.progress.created, 1);
    assert_eq!(report.progress.updated, 1);
    assert_eq!(report.progress.refused, 6);
    assert_eq!(report.progress.lines, 8);
    let ada = house.services.show_user(&"ada".parse().unwrap()).await.unwrap();
    assert_eq!(ada.user.language.unwrap().as_str(), "de");
    assert!(
        house.services.show_user(&"hal".parse().unwrap()).await.is_err(),
        "half done"
    );
}

#[tokio::test]
async fn a_wrong_header_refuses_the_file() {
    let house = House::build().await;
    let report = import(&house, "name,account.Nowhere,answer.Nothing?,shoe\nx,y,z,1\n").await;
    let columns: Vec<_> = report
        .mistakes
        .iter()
        .map(|m| m.column.as_deref().unwrap_or(""))
        .collect();
    assert_eq!(columns, ["account.Nowhere", "answer.Nothing?", "shoe", ""]);
    assert!(report.mistakes.iter().all(|mistake| mistake.line == 1));
    assert_eq!(report.progress, ImportProgress::default());
}

#[tokio::test]
async fn importing_twice_changes_nothing_the_second_time() {
    let house = House::build().await;
    let mut csv = "login,name,employee_number,account.Mail\n".to_owned();
    for n in 0..250 {
        csv.push_str(&format!("user{n},User {n},9{n:05},user{n}\n"));
    }
    let mut seen = Vec::new();
    let reader = std::io::Cursor::new(csv.clone());
    let report = house
        .services
        .import_users(&cli(), reader, |progress| seen.push(progress.lines))
        .await
        .unwrap();
    assert_eq!(report.progress.created, 250);
    assert!(seen.len() >= 3 && seen.is_sorted(), "{seen:?}");
    let before = house.events().await.len();
    let report = import(&house, &csv).await;
    assert_eq!((report.progress.created, report.progress.updated), (0, 250));
    assert_eq!(house.events().await.len(), before);
    let page = house
        .services
        .list_users(Some(&"user1".parse().unwrap()), 2)
        .await
        .unwrap();
    let logins: Vec<_> = page.iter().map(|user| user.login.as_str()).collect();
    assert_eq!(logins, ["user10", "user100"]);
}

#[tokio::test]
async fn the_audit_log_is_whole_until_somebody_touches_it() {
    for tampering in [
        "update audit_links set fields = replace(fields, 'phone', 'cli') where sequence = 9",
        "delete from audit_links where sequence = 12",
        "delete from audit_links where sequence > 11",
    ] {
        let house = House::build().await;
        house.verified("1001").await;
        let store = house.services.store();
        let report = audit::verify(store, Vec::new(), |_| {}).await.unwrap();
        assert!(report.head.sequence > 12);
        audit::verify(store, vec![report.head], |_| {}).await.unwrap();
        let mut tx = store.write().await.unwrap();
        tx.execute("delete from outbox").await;
        tx.execute(tampering).await;
        tx.commit().await.unwrap();
        let verdict = audit::verify(store, Vec::new(), |_| {}).await;
        assert!(
            matches!(verdict, Err(audit::AuditError::Broken(_))),
            "{tampering}: {verdict:?}"
        );
    }
}

/// A sink that fails as often as it is told to.
#[derive(Default)]
struct Flaky {
    failures: Mutex<u32>,
    told: Mutex<Vec<i64>>,
}

impl Sink for Flaky {
    fn name(&self) -> &str {
        "log"
    }

    fn deliver<'a>(&'a self, delivery: &'a Delivery) -> Sent<'a> {
        let mut failures = self.failures.lock().unwrap();
        let result = match *failures {
            0 => {
                self.told.lock().unwrap().push(delivery.sequence);
                Ok(())
            }
            _ => {
                *failures -= 1;
                Err(SinkError::Transient("down".to_owned()))
            }
        };
        Box::pin(std::future::ready(result))
    }
}

#[tokio::test]
async fn every_event_is_delivered_once_even_if_the_sink_fails_first() {
    let house = House::build().await;
    house.verified("1001").await;
    let events = house.events().await.len();
    let sink = Arc::new(Flaky::default());
    *sink.failures.lock().unwrap() = 3;
    let sinks: Vec<Arc<dyn Sink>> = vec![sink.clone()];
    let limits = OutboxLimits::default();
    while house.services.deliver_due(&sinks, &limits).await.unwrap() > 0 {}
    assert_eq!(sink.told.lock().unwrap().len(), events - 3);
    assert_eq!(house.services.outbox_backlog().await.unwrap().waiting, 3);
    house.clock.advance(Duration::from_secs(4));
    assert_eq!(house.services.deliver_due(&sinks, &limits).await.unwrap(), 0);
    house.clock.advance(Duration::from_secs(1));
    assert_eq!(house.services.deliver_due(&sinks, &limits).await.unwrap(), 3);
    let mut told = sink.told.lock().unwrap().clone();
    told.sort_unstable();
    told.dedup();
    assert_eq!(told.len(), events);
}

#[tokio::test]
async fn a_delivery_that_never_works_is_given_up_and_counted() {
    let house = House::build().await;
    let sinks: Vec<Arc<dyn Sink>> = Vec::new();
    let limits = OutboxLimits {
        tries: 2,
        batch: 1000,
        ..OutboxLimits::default()
    };
    let all = house.services.deliver_due(&sinks, &limits).await.unwrap();
    house.clock.advance(Duration::from_secs(60));
    assert_eq!(house.services.deliver_due(&sinks, &limits).await.unwrap(), all);
    house.clock.advance(Duration::from_secs(60));
    assert_eq!(house.services.deliver_due(&sinks, &limits).await.unwrap(), 0);
    let backlog = house.services.outbox_backlog().await.unwrap();
    assert_eq!((backlog.waiting, backlog.dead), (0, i64::try_from(all).unwrap()));
}

#[tokio::test]
async fn a_worker_that_died_leaves_its_deliveries_to_the_next() {
    let house = House::build().await;
    let limits = OutboxLimits::default();
    let now = house.services.now();
    let mut tx = house.services.store().write().await.unwrap();
    let lease = now.plus(Duration::from_secs(60));
    let claimed = crate::store::outbox::claim(&mut tx, "dead", now, lease, 1000)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let sink = Arc::new(Flaky::default());
    let sinks: Vec<Arc<dyn Sink>> = vec![sink.clone()];
    assert_eq!(house.services.deliver_due(&sinks, &limits).await.unwrap(), 0);
    house.clock.advance(Duration::from_secs(60));
    while house.services.deliver_due(&sinks, &limits).await.unwrap() > 0 {}
    assert_eq!(sink.told.lock().unwrap().len(), claimed.len());
}

#[tokio::test]
async fn call_records_have_a_beginning_and_an_end() {
    use crate::identity::ids::CallId;
    use crate::service::CallEntry;
    use crate::store::call::{CallEnd, CallMedia, CallStart, RemoteReception};

    let house = House::build().await;
    let id = house.services.draw(|rng| CallId::generate(START, rng));
    let start = CallStart {
        id: id.to_string(),
        door: "phone".to_owned(),
        trunk: Some("trunk".to_owned()),
        dialplan: Some("reset".to_owned()),
        caller: Some("+15551234567".to_owned()),
        called: Some("4711".to_owned()),
        started: START,
    };
    let began = CallEntry::began(id, None, start.clone());
    house.services.record_calls(&[began]).await.unwrap();
    let end = CallEnd {
        answered: Some(START.plus(Duration::from_secs(1))),
        ended: START.plus(Duration::from_secs(61)),
        visit: Some(id.to_string()),
        user: None,
        last_step: Some("goodbye".to_owned()),
        reason: "completed".to_owned(),
        media: Some(CallMedia {
            codec: "PCMA".to_owned(),
            sent: 3_000,
            received: 2_990,
            lost: 10,
            jitter: Duration::from_micros(1_250),
            remote: Some(RemoteReception {
                fraction_lost: 12,
                lost: -3,
                jitter: Duration::from_micros(875),
                round_trip: Some(Duration::from_millis(42)),
            }),
        }),
    };
    let ended = CallEntry::ended(id, None, end.clone());
    house.services.record_calls(&[ended]).await.unwrap();
    let later = START.plus(Duration::from_secs(100));
    let records = house.services.call_records(later, 10).await.unwrap();
    assert_eq!(records.len(), 1);
    assert_eq!((&records[0].start, records[0].end.as_ref()), (&start, Some(&end)));
    let names = house.event_names().await;
    assert!(names.ends_with(&["ET_CALL_START", "ET_CALL_END"]));
}

#[tokio::test]
async fn many_call_records_go_together_and_all_of_them_or_none() {
    use crate::identity::ids::CallId;
    use crate::service::CallEntry;
    use crate::store::call::{CallEnd, CallStart};

    let house = House::build().await;
    let start = |id: CallId| CallStart {
        id: id.to_string(),
        door: "phone".to_owned(),
        trunk: None,
        dialplan: None,
        caller: None,
        called: None,
        started: START,
    };
    let end = |answered: bool| CallEnd {
        answered: answered.then_some(START),
        ended: START.plus(Duration::from_secs(7)),
        visit: None,
        user: None,
        last_step: None,
        reason: "hangup".to_owned(),
        media: None,
    };
    let ids: Vec<CallId> = (0..200)
        .map(|_| house.services.draw(|rng| CallId::generate(START, rng)))
        .collect();
    let mut entries: Vec<CallEntry> = ids.iter().map(|id| CallEntry::began(*id, None, start(*id))).collect();
    // Ends of calls that began in the same transaction, some of them never answered.
    entries.extend(
        (0..200)
            .step_by(2)
            .map(|at| CallEntry::ended(ids[at], None, end(at % 4 == 0))),
    );
    house.services.record_calls(&entries).await.unwrap();
    let later = START.plus(Duration::from_secs(100));
    let records = house.services.call_records(later, 1_000).await.unwrap();
    assert_eq!(records.len(), 200);
    let of = |at: usize| {
        records
            .iter()
            .find(|record| record.start.id == ids[at].to_string())
            .unwrap()
    };
    assert_eq!(
        (&of(0).end, &of(1).end, &of(2).end),
        (&Some(end(true)), &None, &Some(end(false)))
    );
    audit::verify(house.services.store(), Vec::new(), |_| {}).await.unwrap();

    // One that is there already takes the others of its transaction with it.
    let fresh = house.services.draw(|rng| CallId::generate(START, rng));
    let again = [
        CallEntry::began(fresh, None, start(fresh)),
        CallEntry::began(ids[0], None, start(ids[0])),
    ];
    assert!(house.services.record_calls(&again).await.is_err());
    assert_eq!(house.services.call_records(later, 1_000).await.unwrap().len(), 200);

    // After a try of which nobody knows how it went, what it has left out is recorded, and nothing twice.
    let count = async |wanted| {
        let names = house.event_names().await;
        names.iter().filter(|name| **name == wanted).count()
    };
    let before = (count("ET_CALL_START").await, count("ET_CALL_END").await);
    let mut all = entries.clone();
    all.push(CallEntry::ended(ids[1], None, end(true)));
    all.push(CallEntry::began(fresh, None, start(fresh)));
    for _ in 0..2 {
        house.services.record_calls_again(&all).await.unwrap();
        let after = (count("ET_CALL_START").await, count("ET_CALL_END").await);
        assert_eq!(after, (before.0 + 1, before.1 + 1));
    }
    assert_eq!(house.services.call_records(later, 1_000).await.unwrap().len(), 201);
}

#[tokio::test]
async fn the_background_delivers_and_stops_when_told() {
    let house = House::build().await;
    let sink = Arc::new(Flaky::default());
    let stop = tokio_util::sync::CancellationToken::new();
    let events = house.events().await.len();
    let watch = async {
        while sink.told.lock().unwrap().len() < events {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        stop.cancel();
    };
    let sinks: Vec<Arc<dyn Sink>> = vec![sink.clone()];
    let run = house
        .services
        .run_background(sinks, OutboxLimits::default(), stop.clone());
    tokio::time::timeout(Duration::from_secs(10), async { tokio::join!(run, watch) })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_question_that_is_translated_later_keeps_its_answers() {
    let house = House::build().await;
    let translated = NewQuestion {
        language: Some("en-US".parse().unwrap()),
        translations: [("de-DE".parse().unwrap(), "Erste Nummer?".to_owned())].into(),
        ..question(QUESTIONS[0])
    };
    let now = house.services.add_question(translated).await.unwrap();
    assert_eq!(now.text_in(&"de-AT".parse().unwrap()).0, "Erste Nummer?");
    assert!(house.services.shared_questions().await.unwrap().contains(&now));
    house.verified("1001").await;
}
