//! The wall clock is set by an hour while somebody calls. Token buckets, nonces of digest authentication, transactions and
//! media go by the monotonic clock and do not notice; what is in the database goes by the wall clock.

use super::*;
use crate::integration::target::faulty::Fault;

const HOUR: Duration = Duration::from_secs(3_600);

/// Before the time of the house begins.
const HOUR_BACK: Timestamp = Timestamp::from_millis(START.as_millis() - 3_600_000);

/// A process took its own change for that of a dead one, when the clock had ended its lease: it recorded that nothing
/// had happened, while the caller was told, rightly, that the password is new.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_during_a_reset_leaves_it_to_who_carries_it_out() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let proposal = proposal(&visit, &evidence).await;
    // The first request is not answered in time, the second one succeeds.
    house.mail.fail_resets("ada", [Fault::Hang]);
    let resetting = tokio::spawn(async move { visit.reset(&evidence, &proposal, None).await.unwrap() });
    while house.mail.resets() == 0 {
        tokio::task::yield_now().await;
    }
    house.clock.advance(HOUR);
    let recovered = house.services.recover().await.unwrap();
    assert_eq!((recovered.done, recovered.not_done, recovered.unknown), (0, 0, 0));
    let report = resetting.await.unwrap();
    assert!(report.accounts.iter().all(|account| account.outcome == Outcome::Done));
    let names = house.event_names().await;
    let count = |name: &str| names.iter().filter(|known| **known == name).count();
    assert_eq!(count("ET_ADMIN_RESET_SUCCESS"), 2, "{names:?}");
    assert_eq!(count("ET_ADMIN_RESET_FAILURE"), 0, "{names:?}");
}

/// The one that looks again for an uncertain change has the password; recovery has not, and must wait for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forward_while_a_change_is_unknown_leaves_it_to_who_settles_it() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    let proposal = proposal(&visit, &evidence).await;
    let late = Fault::LateEffect(Duration::from_millis(250));
    house
        .mail
        .fail_resets("ada", [late, Fault::Hang, Fault::Hang, Fault::Hang]);
    house.mail.fail_verifications("ada", [Fault::Hang; 9]);
    let report = visit.reset(&evidence, &proposal, None).await.unwrap();
    let mail = report.accounts.iter().find(|account| account.system == "Mail").unwrap();
    assert_eq!(mail.outcome, Outcome::Unknown);
    house.mail.fail_verifications("ada", []);
    house.clock.advance(HOUR);
    house.services.recover().await.unwrap();
    assert!(!house.event_names().await.contains(&"ET_ADMIN_RESET_FAILURE"));
    tokio::time::timeout(Duration::from_secs(10), async {
        while house.services.metrics().resets_done.count() < 2 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("settled");
    assert!(!house.event_names().await.contains(&"ET_ADMIN_RESET_FAILURE"));
}

#[tokio::test]
async fn forward_ends_what_was_verified() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    house.clock.advance(HOUR);
    assert!(visit.propose_password(&evidence).await.is_err());
    house.verified("1001").await;
}

/// Evidence of the future is none: set back, the clock must not make an hour out of ten minutes.
#[tokio::test]
async fn back_ends_what_was_verified() {
    let house = House::build().await;
    let (visit, evidence) = house.verified("1001").await;
    house.clock.set(HOUR_BACK);
    assert!(visit.propose_password(&evidence).await.is_err());
    visit.end().await.unwrap();
    house.verified("1001").await;
}

/// Whoever is locked out for a minute waits for a minute, not for an hour and a minute.
#[tokio::test]
async fn back_makes_no_delay_longer() {
    let house = House::with(|config| config.lockout.users.tries = 1).await;
    let base = house.services.config().lockout.users.base_delay;
    let visit = house.arrive(Some("1")).await;
    visit.identify(&digits("1001")).await.unwrap();
    round(&visit, wrong).await;
    visit.end().await.unwrap();
    house.clock.set(HOUR_BACK);
    let refused = async || {
        let visit = house.arrive(Some("2")).await;
        visit.identify(&digits("1001")).await.unwrap();
        matches!(
            round(&visit, |question| right_answer("1001", question)).await,
            Answered::Locked
        )
    };
    assert!(refused().await);
    house.clock.advance(base);
    assert!(!refused().await);
}

/// Deliveries became due an hour later, and staff heard of nothing for so long.
#[tokio::test]
async fn back_holds_up_no_news() {
    let house = House::build().await;
    house.verified("1001").await;
    house.clock.set(HOUR_BACK);
    let sinks: Vec<Arc<dyn Sink>> = vec![Arc::new(LogSink)];
    let sent = house.services.deliver_due(&sinks, &OutboxLimits::default()).await;
    assert!(sent.unwrap() > 0);
}
