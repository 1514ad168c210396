//! Lockout through the services: each boundary, for users, for people who do not exist, for calling numbers.

use super::*;

/// One call with two rounds of wrong answers, from a number of its own.
async fn failed_call(house: &House, id: &str, caller: &str) -> Answered {
    let visit = house.arrive(Some(caller)).await;
    if visit.identify(&digits(id)).await.unwrap() == Identified::Refused {
        return Answered::Locked;
    }
    let mut last = round(&visit, wrong).await;
    if matches!(last, Answered::Retry) {
        last = round(&visit, wrong).await;
    }
    visit.end().await.unwrap();
    last
}

#[tokio::test]
async fn known_and_unknown_ids_lock_after_the_same_tries_and_open_after_the_same_delay() {
    for id in ["1001", "7777"] {
        let house = House::build().await;
        assert!(matches!(failed_call(&house, id, "1").await, Answered::Failed));
        // The fourth round in a row starts the delay; it is still judged.
        assert!(matches!(failed_call(&house, id, "2").await, Answered::Failed), "{id}");
        assert!(matches!(failed_call(&house, id, "3").await, Answered::Locked), "{id}");
        house
            .clock
            .advance(Duration::from_secs(5 * 60) - Duration::from_millis(1));
        assert!(matches!(failed_call(&house, id, "4").await, Answered::Locked), "{id}");
        house.clock.advance(Duration::from_millis(1));
        // One round; the next one is refused, as the delay has doubled.
        assert!(matches!(failed_call(&house, id, "5").await, Answered::Locked), "{id}");
        house
            .clock
            .advance(Duration::from_secs(10 * 60) - Duration::from_millis(1));
        assert!(matches!(failed_call(&house, id, "6").await, Answered::Locked), "{id}");
        house.clock.advance(Duration::from_millis(1));
        let visit = house.arrive(Some("7")).await;
        visit.identify(&digits(id)).await.unwrap();
        let passed = round(&visit, |question| right_answer("1001", question)).await;
        assert_eq!(matches!(passed, Answered::Passed(_)), id == "1001");
        let names = house.event_names().await;
        assert!(names.contains(&"ET_USER_LOCKOUT"), "{names:?}");
    }
}

#[tokio::test]
async fn right_answers_do_not_pass_while_locked() {
    let house = House::build().await;
    failed_call(&house, "1001", "1").await;
    failed_call(&house, "1001", "2").await;
    let visit = house.arrive(Some("3")).await;
    visit.identify(&digits("1001")).await.unwrap();
    assert!(matches!(
        round(&visit, |question| right_answer("1001", question)).await,
        Answered::Locked
    ));
}

#[tokio::test]
async fn hanging_up_before_the_last_answer_saves_no_try() {
    let house = House::build().await;
    for call in 0..4 {
        let visit = house.arrive(Some(&call.to_string())).await;
        visit.identify(&digits("1001")).await.unwrap();
        visit.next_question().await.unwrap();
        visit.answer(&digits("1")).await.unwrap();
        visit.end().await.unwrap();
    }
    assert!(matches!(failed_call(&house, "1001", "9").await, Answered::Locked));
}

#[tokio::test]
async fn a_process_that_dies_before_judging_saves_no_try() {
    let house = House::build().await;
    for call in 0..4 {
        let visit = house.arrive(Some(&call.to_string())).await;
        visit.identify(&digits("1001")).await.unwrap();
        visit.next_question().await.unwrap();
        // Nothing else ever happens to this visit: kill -9.
    }
    let reborn = house.another(config()).await;
    let visit = arrive(&reborn, Some("9")).await;
    visit.identify(&digits("1001")).await.unwrap();
    assert!(matches!(round(&visit, wrong).await, Answered::Locked));
}

#[tokio::test]
async fn a_pass_clears_the_user_but_not_the_calling_number() {
    let house = House::build().await;
    let caller = "+15550000009";
    for other in 0..6 {
        // Two failed rounds with somebody else's ID, then one's own.
        let visit = house.arrive(Some(caller)).await;
        let id = format!("777{other}");
        assert_eq!(visit.identify(&digits(&id)).await.unwrap(), Identified::One);
        round(&visit, wrong).await;
        round(&visit, wrong).await;
        if other < 5 {
            let visit = house.arrive(Some(caller)).await;
            pass(&visit, "1001").await;
        }
    }
    let visit = house.arrive(Some(caller)).await;
    assert_eq!(visit.identify(&digits("1001")).await.unwrap(), Identified::Refused);
    let visit = house.arrive(Some("+15550000010")).await;
    assert_eq!(visit.identify(&digits("1001")).await.unwrap(), Identified::One);
    assert!(house.event_names().await.contains(&"ET_CALLER_LOCKOUT"));
}

#[tokio::test]
async fn callers_without_a_number_share_one_lockout() {
    let house = House::build().await;
    for id in ["7701", "7702", "7703", "7704", "7705", "7706"] {
        let visit = house.arrive(None).await;
        visit.identify(&digits(id)).await.unwrap();
        round(&visit, wrong).await;
        round(&visit, wrong).await;
    }
    let visit = house.arrive(None).await;
    assert_eq!(visit.identify(&digits("1001")).await.unwrap(), Identified::Refused);
}

#[tokio::test]
async fn an_admin_releases_a_user() {
    let house = House::build().await;
    failed_call(&house, "1001", "1").await;
    failed_call(&house, "1001", "2").await;
    let login = "ada".parse().unwrap();
    let standing = house.services.show_user(&login).await.unwrap().standing;
    assert_ne!(standing, crate::identity::lockout::Standing::Open);
    house.services.release_user(&cli(), &login).await.unwrap();
    house.verified("1001").await;
}

#[tokio::test]
async fn tidying_keeps_what_still_counts() {
    let house = House::build().await;
    failed_call(&house, "1001", "1").await;
    failed_call(&house, "1001", "2").await;
    house.services.tidy().await.unwrap();
    assert!(matches!(failed_call(&house, "1001", "3").await, Answered::Locked));
}
