//! The way of a client of the web API through the services: every request by itself, at any node.

mod access;
mod jobs;

use super::*;
use crate::network_list::NetworkList;

pub(crate) const PASSWORD: &str = "a password of twenty";

fn from(address: &str) -> ApiPeer {
    ApiPeer {
        address: address.parse().unwrap(),
        certificate: None,
    }
}

fn here() -> ApiPeer {
    from("127.0.0.1")
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

fn name(text: &str) -> ApiClientName {
    text.parse().unwrap()
}

pub(crate) fn new_client(text: &str) -> NewApiClient {
    NewApiClient {
        name: name(text),
        password: Some(Secret::new(PASSWORD.to_owned())),
        certificate: None,
        networks: NetworkList::default(),
        rights: Vec::new(),
    }
}

async fn add_client(services: &Services, text: &str) {
    services.add_api_client(&cli(), new_client(text)).await.unwrap();
}

async fn sign_in_from(services: &Services, client: &str, password: &str, peer: &ApiPeer) -> SignedIn {
    let password = Secret::new(password.to_owned());
    let who = SignIn {
        client,
        password: Some(&password),
        peer,
        // The number of thousands, who must not lock each other out.
        caller: Some("anonymous"),
        language: None,
        lead: Lead::Client,
    };
    services.sign_in(who).await.unwrap()
}

async fn session(services: &Services) -> ApiSession {
    match sign_in_from(services, "ivr", PASSWORD, &here()).await {
        SignedIn::Session(session) => *session,
        other => panic!("not signed in: {other:?}"),
    }
}

/// The same session, as the next request finds it.
async fn again(services: &Services, session: &ApiSession) -> ApiSession {
    services.resume(&session.token, &here(), Lead::Client).await.unwrap()
}

async fn listed(visit: &Visit, entry: &str) -> Vec<Candidate> {
    match visit.candidates(&digits(entry), None, None).await.unwrap() {
        Candidates::Listed(listed) => listed,
        Candidates::Refused => panic!("refused"),
    }
}

async fn asked(visit: &Visit, who: &Handle) -> Vec<(Handle, Question)> {
    match visit.ask_all(who).await.unwrap() {
        RoundAsked::Ask(questions) => questions,
        RoundAsked::Unavailable => panic!("nobody can be verified"),
    }
}

fn right_answers(number: &str, asked: &[(Handle, Question)]) -> Vec<(Handle, Digits)> {
    let answer = |(handle, question): &(Handle, Question)| (handle.clone(), digits(&right_answer(number, question)));
    asked.iter().map(answer).collect()
}

/// Verifies the caller of a session as the user with this number.
async fn verify(visit: &Visit, number: &str) -> Evidence {
    let listed = listed(visit, number).await;
    let asked = asked(visit, &listed[0].handle).await;
    let answers = right_answers(number, &asked);
    assert_eq!(visit.answer_all(&answers, None).await.unwrap(), RoundEnded::Passed);
    visit.evidence().await.unwrap()
}

async fn kept(session: &ApiSession, evidence: &Evidence) -> Proposal {
    let proposed = session
        .visit
        .propose_and_keep(evidence, None, &session.token, None)
        .await;
    match proposed.unwrap() {
        Proposed::Proposed(proposal) => proposal,
        other => panic!("no password: {other:?}"),
    }
}

fn order(password: NewPassword, text: &str) -> ResetOrder {
    ResetOrder {
        accounts: None,
        password,
        expiry: crate::integration::target::Expiry::AtNextSignIn,
        ticket: None,
        key: key(text),
    }
}

fn told(report: &JobReport) -> Vec<(&str, &str)> {
    let accounts = report.accounts.iter();
    accounts
        .map(|account| (account.system.as_str(), account.outcome.as_str()))
        .collect()
}

const PATIENTLY: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_caller_gets_from_digits_to_a_reset_with_every_request_at_another_node() {
    let house = House::build().await;
    let other = house
        .another(Config {
            node: "other".to_owned(),
            ..config()
        })
        .await;
    add_client(&house.services, "ivr").await;
    let session = session(&house.services).await;
    let at = async |services: &Services| again(services, &session).await;

    let candidates = listed(&at(&other).await.visit, "1001").await;
    assert_eq!(candidates.len(), 1);
    assert_eq!(candidates[0].name, None);
    let questions = asked(&at(&house.services).await.visit, &candidates[0].handle).await;
    assert_eq!(asked(&at(&other).await.visit, &candidates[0].handle).await, questions);
    let answers = right_answers("1001", &questions);
    let ended = at(&other).await.visit.answer_all(&answers, None).await.unwrap();
    assert_eq!(ended, RoundEnded::Passed);

    let here = at(&house.services).await;
    let evidence = here.visit.evidence().await.unwrap();
    let proposal = kept(&here, &evidence).await;
    let there = at(&other).await;
    let handle = Handle::parse(proposal.name()).unwrap();
    let again = there.visit.kept_proposal(&handle, &there.token).await.unwrap();
    assert_eq!(again.password(), proposal.password());

    let evidence = there.visit.evidence().await.unwrap();
    let order = order(NewPassword::Proposed(again), "k1");
    let report = there.visit.order_reset(Ok(evidence), order, PATIENTLY).await.unwrap();
    assert!(!report.is_running);
    assert_eq!(told(&report), [("Mail", "done"), ("Payroll", "done")]);
    assert_eq!(house.mail.password("ada"), proposal.password().expose());
    assert_eq!(here.visit.job(&report.handle).await.unwrap(), report);

    there.visit.end().await.unwrap();
    assert!(matches!(
        house.services.resume(&session.token, &self::here(), Lead::Client).await,
        Err(ServiceError::NoVisit)
    ));
    let names = house.event_names().await;
    for name in [
        "ET_API_LOGIN_SUCCESS",
        "ET_AUTH_CHAIN_SUCCESS",
        "ET_ADMIN_RESET_SUCCESS",
    ] {
        assert!(names.contains(&name), "{name} in {names:?}");
    }
    let of_caller = house
        .events()
        .await
        .into_iter()
        .filter(|event| event.origin.door == Door::Api);
    let client = Actor::Client { name: "ivr".to_owned() };
    assert!(of_caller.into_iter().all(|event| event.origin.actor == client));
}

#[tokio::test]
async fn nobody_looks_like_somebody() {
    let house = House::build().await;
    add_client(&house.services, "ivr").await;
    let mut shapes = Vec::new();
    for entry in ["1001", "7777", "*", ""] {
        let visit = session(&house.services).await.visit;
        let candidates = listed(&visit, entry).await;
        assert_eq!(visit.candidates_again().await.unwrap(), candidates);
        let questions = asked(&visit, &candidates[0].handle).await;
        let wrong: Vec<_> = questions
            .iter()
            .map(|(handle, _)| (handle.clone(), digits("9999999")))
            .collect();
        let first = visit.answer_all(&wrong, None).await.unwrap();
        let second = visit.answer_all(&wrong, None).await.unwrap();
        assert!(matches!(visit.evidence().await, Err(ServiceError::NotVerified)));
        shapes.push((
            candidates.len(),
            candidates[0].name.clone(),
            questions.len(),
            first,
            second,
        ));
    }
    assert_eq!(shapes[0], (1, None, 3, RoundEnded::Retry, RoundEnded::Failed));
    assert!(shapes.iter().all(|shape| *shape == shapes[0]), "{shapes:?}");
}

#[tokio::test]
async fn those_who_share_their_digits_are_told_apart_by_name_or_by_a_second_number() {
    let house = House::build().await;
    // Both are 5646 on the keypad.
    house.add_user("john", "2001", Some("11")).await;
    house.add_user("logo", "2002", Some("22")).await;
    add_client(&house.services, "ivr").await;
    let visit = session(&house.services).await.visit;
    let both = listed(&visit, "5646").await;
    let mut names: Vec<_> = both.iter().map(|one| one.name.as_deref().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["john", "logo"]);
    let john = both.iter().find(|one| one.name.as_deref() == Some("john")).unwrap();
    let questions = asked(&visit, &john.handle).await;
    // The other one is not on the list any more.
    let logo = both.iter().find(|one| one.handle != john.handle).unwrap();
    assert!(matches!(
        visit.ask_all(&logo.handle).await,
        Err(ServiceError::UnknownHandle { of: "user" })
    ));
    let ended = visit
        .answer_all(&right_answers("2001", &questions), None)
        .await
        .unwrap();
    assert_eq!(ended, RoundEnded::Passed);

    for (second, number) in [("22", Some("2002")), ("33", None)] {
        let visit = session(&house.services).await.visit;
        let entry = (digits("5646"), digits(second));
        let again = || visit.candidates(&entry.0, Some(&entry.1), None);
        let Candidates::Listed(one) = again().await.unwrap() else {
            panic!("refused");
        };
        assert_eq!((one.len(), &one[0].name), (1, &None));
        let questions = asked(&visit, &one[0].handle).await;
        let answers = right_answers(number.unwrap_or("2002"), &questions);
        let ended = visit.answer_all(&answers, None).await.unwrap();
        assert_eq!(ended == RoundEnded::Passed, number.is_some());
    }
}

#[tokio::test]
async fn two_ids_of_one_person_are_not_seen_to_be_so() {
    let house = House::build().await;
    house.add_user("john", "2001", Some("11")).await;
    house.add_user("logo", "2002", Some("22")).await;
    add_client(&house.services, "ivr").await;
    // The login ada is 232, the number 1001.
    let visit = session(&house.services).await.visit;
    let (by_login, by_number) = (listed(&visit, "232").await, listed(&visit, "1001").await);
    assert_ne!(by_login[0].handle, by_number[0].handle);
    // Nor does a second number show in the handle that it is the right one.
    let visit = session(&house.services).await.visit;
    let both = listed(&visit, "5646").await;
    let (entry, second) = (digits("5646"), digits("22"));
    let Candidates::Listed(one) = visit.candidates(&entry, Some(&second), None).await.unwrap() else {
        panic!("refused");
    };
    assert!(both.iter().all(|candidate| candidate.handle != one[0].handle));
}

/// What a caller hears who keys this and is wrong until the session is over.
async fn tried_in_vain(services: &Services, entry: &str) -> Vec<RoundEnded> {
    let visit = session(services).await.visit;
    let listed = listed(&visit, entry).await;
    let mut heard = Vec::new();
    loop {
        let asked = asked(&visit, &listed[0].handle).await;
        heard.push(visit.answer_all(&right_answers("9999", &asked), None).await.unwrap());
        if *heard.last().unwrap() != RoundEnded::Retry {
            visit.end().await.unwrap();
            return heard;
        }
    }
}

#[tokio::test]
async fn a_lockout_by_one_id_is_not_seen_at_another_of_the_same_person() {
    let house = House::build().await;
    let services = &house.services;
    add_client(services, "ivr").await;
    for entry in ["1001", "7777"] {
        let mut heard = Vec::new();
        for _ in 0..4 {
            heard = tried_in_vain(services, entry).await;
        }
        assert_eq!(heard, [RoundEnded::Locked], "{entry}");
    }
    // The login ada is 232, and nobody's is 555: neither was tried.
    let fresh = tried_in_vain(services, "555").await;
    assert_eq!(tried_in_vain(services, "232").await, fresh);
    assert_eq!(fresh, [RoundEnded::Retry, RoundEnded::Failed]);
    // And the person is locked none the less: right answers are of no use, whichever way they come.
    let visit = session(services).await.visit;
    let listed_by_login = listed(&visit, "232").await;
    let questions = asked(&visit, &listed_by_login[0].handle).await;
    let ended = visit
        .answer_all(&right_answers("1001", &questions), None)
        .await
        .unwrap();
    assert_ne!(ended, RoundEnded::Passed);
    assert!(visit.evidence().await.is_err());
    // Until somebody lets them in again, at either.
    services.release_user(&cli(), &"ada".parse().unwrap()).await.unwrap();
    for entry in ["232", "1001"] {
        let visit = session(services).await.visit;
        let listed = listed(&visit, entry).await;
        let questions = asked(&visit, &listed[0].handle).await;
        let ended = visit
            .answer_all(&right_answers("1001", &questions), None)
            .await
            .unwrap();
        assert_eq!(ended, RoundEnded::Passed, "{entry}");
    }
}

#[tokio::test]
async fn what_one_session_was_given_means_nothing_in_another() {
    let house = House::build().await;
    add_client(&house.services, "ivr").await;
    let (one, two) = (session(&house.services).await, session(&house.services).await);
    let (of_one, of_two) = (listed(&one.visit, "1001").await, listed(&two.visit, "1001").await);
    assert_ne!(of_one, of_two);
    assert!(matches!(
        two.visit.ask_all(&of_one[0].handle).await,
        Err(ServiceError::UnknownHandle { of: "user" })
    ));
    let (asked_one, asked_two) = (
        asked(&one.visit, &of_one[0].handle).await,
        asked(&two.visit, &of_two[0].handle).await,
    );
    assert!(matches!(
        two.visit.answer_all(&right_answers("1001", &asked_one), None).await,
        Err(ServiceError::UnknownHandle { of: "question" })
    ));
    // Nothing was judged: the answers still count.
    for (visit, asked) in [(&one.visit, &asked_one), (&two.visit, &asked_two)] {
        let ended = visit.answer_all(&right_answers("1001", asked), None).await.unwrap();
        assert_eq!(ended, RoundEnded::Passed);
    }
    let evidence_one = one.visit.evidence().await.unwrap();
    let proposal = kept(&one, &evidence_one).await;
    let handle = Handle::parse(proposal.name()).unwrap();
    for (visit, token) in [
        (&two.visit, &two.token),
        (&two.visit, &one.token),
        (&one.visit, &two.token),
    ] {
        assert!(matches!(
            visit.kept_proposal(&handle, token).await,
            Err(ServiceError::UnknownHandle { of: "password" })
        ));
    }
    let evidence_two = two.visit.evidence().await.unwrap();
    let order_two = order(NewPassword::Proposed(proposal), "k");
    assert!(matches!(
        two.visit.order_reset(Ok(evidence_two), order_two, PATIENTLY).await,
        Err(ServiceError::ForeignProposal)
    ));
    let chosen = order(NewPassword::Proposed(kept(&one, &evidence_one).await), "k");
    let report = one
        .visit
        .order_reset(Ok(evidence_one), chosen, PATIENTLY)
        .await
        .unwrap();
    assert!(matches!(
        two.visit.job(&report.handle).await,
        Err(ServiceError::UnknownHandle { of: "job" })
    ));
    let foreign = ResetOrder {
        accounts: Some(vec![report.accounts[0].handle.clone()]),
        ..order(NewPassword::Chosen(Secret::new("Whatever9x!".to_owned())), "k2")
    };
    let evidence_two = two.visit.evidence().await.unwrap();
    assert!(matches!(
        two.visit.order_reset(Ok(evidence_two), foreign, PATIENTLY).await,
        Err(ServiceError::UnknownHandle { of: "account" })
    ));
}

#[tokio::test]
async fn answers_are_judged_once_whoever_brings_them_again() {
    let house = House::build().await;
    add_client(&house.services, "ivr").await;
    let visit = session(&house.services).await.visit;
    let entry = digits("1001");
    let first = visit.candidates(&entry, None, Some(&key("id"))).await.unwrap();
    for _ in 0..5 {
        // Three would be too many for a visit, were they not the same one.
        assert_eq!(visit.candidates(&entry, None, Some(&key("id"))).await.unwrap(), first);
    }
    assert!(matches!(
        visit.candidates(&digits("1002"), None, Some(&key("id"))).await,
        Err(ServiceError::IdempotencyConflict)
    ));
    let Candidates::Listed(listed) = first else {
        panic!("refused");
    };
    let questions = asked(&visit, &listed[0].handle).await;
    let wrong: Vec<_> = questions
        .iter()
        .map(|(handle, _)| (handle.clone(), digits("1")))
        .collect();
    for _ in 0..5 {
        let ended = visit.answer_all(&wrong, Some(&key("a1"))).await.unwrap();
        assert_eq!(ended, RoundEnded::Retry);
    }
    let right = right_answers("1001", &questions);
    assert!(matches!(
        visit.answer_all(&right, Some(&key("a1"))).await,
        Err(ServiceError::IdempotencyConflict)
    ));
    for _ in 0..3 {
        let ended = visit.answer_all(&right, Some(&key("a2"))).await.unwrap();
        assert_eq!(ended, RoundEnded::Passed);
    }
    assert!(matches!(
        visit.answer_all(&right, None).await,
        Err(ServiceError::OutOfOrder { .. })
    ));
}

#[tokio::test]
async fn a_question_without_an_answer_is_answered_wrongly_and_one_too_many_is_not_taken() {
    let house = House::build().await;
    add_client(&house.services, "ivr").await;
    let visit = session(&house.services).await.visit;
    let candidates = listed(&visit, "1001").await;
    let questions = asked(&visit, &candidates[0].handle).await;
    let mut right = right_answers("1001", &questions);
    right.push(right[0].clone());
    assert!(matches!(
        visit.answer_all(&right, None).await,
        Err(ServiceError::UnknownHandle { of: "question" })
    ));
    right.truncate(1);
    assert_eq!(visit.answer_all(&right, None).await.unwrap(), RoundEnded::Retry);
    // In any order.
    let mut right = right_answers("1001", &questions);
    right.reverse();
    assert_eq!(visit.answer_all(&right, None).await.unwrap(), RoundEnded::Passed);
}

#[tokio::test]
async fn callers_without_a_number_do_not_lock_each_other_out() {
    let house = House::build().await;
    add_client(&house.services, "ivr").await;
    for call in 0..20 {
        let visit = session(&house.services).await.visit;
        let candidates = listed(&visit, &format!("77{call:02}")).await;
        let questions = asked(&visit, &candidates[0].handle).await;
        let wrong: Vec<_> = questions
            .iter()
            .map(|(handle, _)| (handle.clone(), digits("1")))
            .collect();
        for expected in [RoundEnded::Retry, RoundEnded::Failed] {
            assert_eq!(visit.answer_all(&wrong, None).await.unwrap(), expected, "{call}");
        }
        visit.end().await.unwrap();
    }
}
