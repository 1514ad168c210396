//! The way of a caller: identify, discriminate, answer, and what is refused out of order.

use super::*;

#[tokio::test]
async fn a_caller_who_answers_rightly_is_verified_and_it_is_recorded() {
    let house = House::build().await;
    let (_visit, evidence) = house.verified("1001").await;
    let user = house.services.show_user(&"ada".parse().unwrap()).await.unwrap().user;
    assert_eq!(evidence.user(), user.id);
    let names = house.event_names().await;
    let count = |name| names.iter().filter(|found| **found == name).count();
    assert_eq!(count("ET_USER_IDENTIFY_SUCCESS"), 1);
    assert_eq!(count("ET_QUESTION_ASKED"), 3);
    assert_eq!(count("ET_ANSWER_SUCCESS"), 3);
    assert_eq!(count("ET_AUTH_CHAIN_SUCCESS"), 1);
}

#[tokio::test]
async fn login_spelled_on_the_keypad_identifies_too() {
    let house = House::build().await;
    let visit = house.arrive(None).await;
    visit.identify(&digits("232#")).await.unwrap();
    assert!(matches!(
        round(&visit, |question| right_answer("1001", question)).await,
        Answered::Passed(_)
    ));
}

#[tokio::test]
async fn one_wrong_answer_of_three_gives_another_round_and_then_none() {
    let house = House::build().await;
    let visit = house.arrive(None).await;
    visit.identify(&digits("1001")).await.unwrap();
    let one_wrong = |question: &Question| match question.text.as_str() {
        "Second number?" => "0000".to_owned(),
        _ => right_answer("1001", question),
    };
    assert!(matches!(round(&visit, one_wrong).await, Answered::Retry));
    assert!(matches!(round(&visit, one_wrong).await, Answered::Failed));
    assert!(matches!(
        visit.next_question().await,
        Err(ServiceError::OutOfOrder { .. })
    ));
}

#[tokio::test]
async fn the_second_round_can_be_passed() {
    let house = House::build().await;
    let visit = house.arrive(None).await;
    visit.identify(&digits("1001")).await.unwrap();
    assert!(matches!(round(&visit, wrong).await, Answered::Retry));
    assert!(matches!(
        round(&visit, |question| right_answer("1001", question)).await,
        Answered::Passed(_)
    ));
}

#[tokio::test]
async fn an_unknown_id_meets_the_same_questions_every_time_and_never_passes() {
    let house = House::build().await;
    let mut asked = Vec::new();
    for _ in 0..2 {
        let visit = house.arrive(None).await;
        assert_eq!(visit.identify(&digits("7777")).await.unwrap(), Identified::One);
        let mut texts = Vec::new();
        for _ in 0..3 {
            let NextQuestion::Ask(question) = visit.next_question().await.unwrap() else {
                panic!("no question");
            };
            texts.push(question.text.clone());
            visit.answer(&digits(&right_answer("1001", &question))).await.unwrap();
        }
        asked.push(texts);
    }
    assert_eq!(asked[0], asked[1]);
    assert!(!house.event_names().await.contains(&"ET_AUTH_CHAIN_SUCCESS"));
}

#[tokio::test]
async fn a_question_is_asked_again_until_it_is_answered() {
    let house = House::build().await;
    let visit = house.arrive(None).await;
    visit.identify(&digits("1001")).await.unwrap();
    let first = visit.next_question().await.unwrap();
    assert_eq!(visit.next_question().await.unwrap(), first);
    visit.answer(&digits("1")).await.unwrap();
    assert_ne!(visit.next_question().await.unwrap(), first);
}

#[tokio::test]
async fn without_enrolled_questions_nobody_can_be_verified() {
    let house = House::with(|config| config.questions.ask = 4).await;
    for id in ["1001", "7777"] {
        let visit = house.arrive(None).await;
        assert_eq!(visit.identify(&digits(id)).await.unwrap(), Identified::One);
        assert_eq!(visit.next_question().await.unwrap(), NextQuestion::Unavailable);
    }
}

#[tokio::test]
async fn shared_digits_ask_for_a_discriminator_which_tells_users_apart() {
    let house = House::build().await;
    // Both are 7648401 on the keypad.
    house.add_user("smith01", "2001", Some("0412")).await;
    house.add_user("poguh01", "2002", Some("0731")).await;
    let visit = house.arrive(None).await;
    assert_eq!(visit.identify(&digits("7648401")).await.unwrap(), Identified::Several);
    assert!(matches!(
        visit.next_question().await,
        Err(ServiceError::OutOfOrder { .. })
    ));
    assert_eq!(visit.discriminate(&digits("0731")).await.unwrap(), Identified::One);
    let Answered::Passed(evidence) = round(&visit, |question| right_answer("2002", question)).await else {
        panic!("not passed");
    };
    let user = house
        .services
        .show_user(&"poguh01".parse().unwrap())
        .await
        .unwrap()
        .user;
    assert_eq!(evidence.user(), user.id);
}

#[tokio::test]
async fn a_wrong_discriminator_goes_on_with_nobody() {
    let house = House::build().await;
    house.add_user("smith01", "2001", Some("0412")).await;
    house.add_user("poguh01", "2002", Some("0731")).await;
    let visit = house.arrive(None).await;
    visit.identify(&digits("7648401")).await.unwrap();
    assert_eq!(visit.discriminate(&digits("9999")).await.unwrap(), Identified::One);
    assert!(matches!(
        round(&visit, |question| right_answer("2002", question)).await,
        Answered::Retry
    ));
}

#[tokio::test]
async fn a_disabled_user_is_answered_like_an_unknown_one() {
    let house = House::build().await;
    let login = "ada".parse().unwrap();
    let disabled = crate::identity::user::UserStatus::Disabled;
    house.services.set_user_status(&cli(), &login, disabled).await.unwrap();
    let visit = house.arrive(None).await;
    assert_eq!(visit.identify(&digits("1001")).await.unwrap(), Identified::One);
    assert!(matches!(
        round(&visit, |question| right_answer("1001", question)).await,
        Answered::Retry
    ));
}

#[tokio::test]
async fn nothing_happens_out_of_order() {
    let house = House::build().await;
    let visit = house.arrive(None).await;
    let out_of_order = |result: Result<(), ServiceError>| matches!(result, Err(ServiceError::OutOfOrder { .. }));
    assert!(out_of_order(visit.next_question().await.map(drop)));
    assert!(out_of_order(visit.answer(&digits("1")).await.map(drop)));
    assert!(out_of_order(visit.discriminate(&digits("1")).await.map(drop)));
    visit.identify(&digits("1001")).await.unwrap();
    assert!(out_of_order(visit.answer(&digits("1")).await.map(drop)));
    visit.next_question().await.unwrap();
    assert!(out_of_order(visit.identify(&digits("1002")).await.map(drop)));
}

#[tokio::test]
async fn a_visit_ends_by_order_and_by_time() {
    let house = House::build().await;
    let visit = house.arrive(None).await;
    visit.end().await.unwrap();
    visit.end().await.unwrap();
    assert!(matches!(
        visit.identify(&digits("1001")).await,
        Err(ServiceError::NoVisit)
    ));

    let visit = house.arrive(None).await;
    house.clock.advance(Duration::from_secs(30 * 60));
    assert!(matches!(
        visit.identify(&digits("1001")).await,
        Err(ServiceError::NoVisit)
    ));
    assert_eq!(house.services.end_expired_visits().await.unwrap(), 1);
    assert_eq!(house.services.end_expired_visits().await.unwrap(), 0);
}

#[tokio::test]
async fn ids_in_one_visit_are_limited() {
    let house = House::build().await;
    let visit = house.arrive(None).await;
    for _ in 0..3 {
        assert_eq!(visit.identify(&digits("1")).await.unwrap(), Identified::One);
    }
    assert_eq!(visit.identify(&digits("1001")).await.unwrap(), Identified::Refused);
}

#[tokio::test]
async fn two_answers_at_once_are_one_try() {
    let house = House::build().await;
    let visit = house.arrive(None).await;
    visit.identify(&digits("1001")).await.unwrap();
    visit.next_question().await.unwrap();
    let (one, two) = (digits("1"), digits("2"));
    let (first, second) = tokio::join!(visit.answer(&one), visit.answer(&two));
    let superseded = [&first, &second]
        .iter()
        .filter(|answer| matches!(answer, Err(ServiceError::Superseded)))
        .count();
    let judged = [&first, &second].iter().filter(|answer| answer.is_ok()).count();
    // When they happen one after the other, the second one answers the second question.
    assert!(judged == 2 || (judged == 1 && superseded == 1), "{first:?} {second:?}");
}

#[tokio::test]
async fn nothing_that_was_keyed_is_in_the_database() {
    let house = House::build().await;
    let visit = house.arrive(None).await;
    visit.identify(&digits("86753094711")).await.unwrap();
    visit.next_question().await.unwrap();
    visit.answer(&digits("31415926")).await.unwrap();
    let (visit, evidence) = house.verified("1002").await;
    let proposal = proposal(&visit, &evidence).await;
    visit.reset(&evidence, &proposal, None).await.unwrap();
    house.services.store().close().await;
    let canaries = [
        "86753094711",
        "31415926",
        "1002880",
        "1002881",
        "1002882",
        proposal.password().expose(),
    ];
    let files = std::fs::read_dir(house.folder.path()).unwrap();
    let mut all: Vec<Vec<u8>> = files
        .map(|entry| std::fs::read(entry.unwrap().path()).unwrap())
        .collect();
    all.push(testing::dump(house.folder.path().join("passline.db")));
    for bytes in all {
        for canary in canaries {
            assert!(
                !bytes.windows(canary.len()).any(|window| window == canary.as_bytes()),
                "{canary}"
            );
        }
    }
}

#[tokio::test]
async fn tidying_forgets_what_is_long_over_and_nothing_else() {
    let house = House::build().await;
    let (over, _) = house.verified("1001").await;
    over.end().await.unwrap();
    house.clock.advance(Duration::from_secs(7 * 24 * 60 * 60));
    house.services.tidy().await.unwrap();
    let count = async || {
        let mut tx = house.services.store().read().await.unwrap();
        crate::store::visit::find(&mut tx, over.id())
            .await
            .unwrap()
            .iter()
            .count()
    };
    assert_eq!(count().await, 1);
    house.clock.advance(Duration::from_millis(1));
    house.services.tidy().await.unwrap();
    assert_eq!(count().await, 0);
    audit::verify(house.services.store(), Vec::new(), |_| {}).await.unwrap();
}
