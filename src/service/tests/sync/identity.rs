//! Who an entry is: rules, names that are given to somebody else, people with two entries.

use super::*;

/// How many questions somebody has answered for the telephone.
async fn answered(house: &House, login: &str) -> usize {
    let report = house.services.show_user(&login.parse().unwrap()).await.unwrap();
    report.enrolled[&Channel::Phone]
}

#[tokio::test]
async fn whoever_gets_the_login_of_somebody_who_left_does_not_get_their_answers() {
    let house = House::build().await;
    let village = Village::default();
    village.put("ada-1", &[("login", "ada"), ("mailbox", "ada.1")]);
    village.put("bob-1", &[("login", "bob")]);
    village.put("cyd-1", &[("login", "cyd")]);
    house.read(&village, &rules(), FULL).await;
    // People who were here before keep what they have answered.
    assert_eq!(answered(&house, "ada").await, 3);
    // One leaves, and another comes later under that name.
    village.remove("ada-1");
    house.read(&village, &rules(), FULL).await;
    let former = house.found("ada").await.unwrap().user.id;
    village.put("ada-2", &[("login", "ada")]);
    let report = house.read(&village, &rules(), FULL).await;
    assert_eq!(numbers(&report.counts), [1, 0, 0, 2, 0, 0]);
    let ada = house.found("ada").await.unwrap();
    assert_ne!(ada.user.id, former);
    assert_eq!(
        (ada.user.status, ada.accounts.len(), answered(&house, "ada").await),
        (UserStatus::Active, 0, 0)
    );
    let left = house.found(&format!("ada (left, {former})")).await.unwrap();
    assert_eq!((left.user.status, left.accounts.len()), (UserStatus::Disabled, 0));
    assert_eq!(left.user.employee_number, None);
    // The former one comes back, as they were: the name is taken.
    village.put("ada-1", &[("login", "ada")]);
    let report = house.read(&village, &rules(), FULL).await;
    assert_eq!(report.problems[0].message, "another user has this login already");
    village.remove("ada-1");
    house.read(&village, &rules(), FULL).await;
    // One is deleted and made anew between two readings, which some of the first ones cannot remove.
    village.remove("bob-1");
    village.put("bob-2", &[("login", "bob"), ("name", "Bob the Second")]);
    let none = SyncRules {
        max_removals: 0,
        ..rules()
    };
    for _ in 0..2 {
        let report = house.read(&village, &none, FULL).await;
        assert_eq!((report.held, report.counts.refused), (1, 1));
        assert_eq!(
            report.problems[0].message,
            "somebody else there has the same login already"
        );
    }
    let report = house.read(&village, &rules(), FULL).await;
    assert_eq!(
        (report.counts.removed, report.counts.refused, report.counts.created),
        (1, 0, 1)
    );
    let bob = house.found("bob").await.unwrap();
    assert_eq!(
        (bob.user.status, bob.user.display_name.as_str()),
        (UserStatus::Active, "Bob the Second")
    );
    assert_eq!(answered(&house, "bob").await, 0);
    // One comes back as the same entry.
    village.remove("cyd-1");
    house.read(&village, &rules(), FULL).await;
    village.put("cyd-1", &[("login", "cyd")]);
    house.read(&village, &rules(), FULL).await;
    assert_eq!(
        (house.status("cyd").await, answered(&house, "cyd").await),
        (UserStatus::Active, 3)
    );
}

#[tokio::test]
async fn whoever_moves_to_another_source_stays_who_they_are() {
    let house = House::build().await;
    let (east, west) = (Village::named("east"), Village::named("west"));
    for (entry, login) in [("1", "ada"), ("2", "bob"), ("3", "cyd")] {
        east.put(entry, &[("login", login), ("mailbox", &format!("{login}.east"))]);
    }
    house.read(&east, &rules(), FULL).await;
    let ada = house.found("ada").await.unwrap().user.id;
    // There before she is gone here, under another entry.
    west.put("w1", &[("login", "ada"), ("name", "Ada West"), ("mailbox", "ada.west")]);
    house.read(&west, &rules(), FULL).await;
    assert_eq!(
        house.found("ada").await.unwrap().user.display_name,
        "",
        "east says what she is called"
    );
    east.remove("1");
    house.read(&east, &rules(), FULL).await;
    house.read(&west, &rules(), FULL).await;
    let found = house.found("ada").await.unwrap();
    assert_eq!((found.user.id, found.user.status), (ada, UserStatus::Active));
    assert_eq!(found.user.display_name, "Ada West");
    assert_eq!(found.accounts, ["Mail ada", "Mail ada.west", "Payroll ada"]);
    assert_eq!(answered(&house, "ada").await, 3);
    // The same entry, first gone here and then there: another unit of one directory.
    east.remove("2");
    house.read(&east, &rules(), FULL).await;
    assert_eq!(house.status("bob").await, UserStatus::Disabled);
    west.put("2", &[("login", "bob")]);
    house.read(&west, &rules(), FULL).await;
    assert_eq!(
        (house.status("bob").await, answered(&house, "bob").await),
        (UserStatus::Active, 3)
    );
    // A source that is not configured any more decides about nobody: another one may.
    assert_eq!(house.services.retire_other_sources(&["west"]).await.unwrap(), ["east"]);
    west.put("3", &[("login", "cyd"), ("name", "Cyd West")]);
    house.read(&west, &rules(), FULL).await;
    assert_eq!(house.found("cyd").await.unwrap().user.display_name, "Cyd West");
    assert_eq!(answered(&house, "cyd").await, 3);
    // Whoever is here by it alone goes with it.
    house.read(&east, &rules(), FULL).await;
    east.put("4", &[("login", "dora")]);
    house.read(&east, &rules(), FULL).await;
    house.services.retire_other_sources(&["west"]).await.unwrap();
    assert_eq!(house.services.forget_source(&cli(), "east").await.unwrap(), 1);
    assert_eq!(house.status("dora").await, UserStatus::Disabled);
    assert_eq!(house.status("cyd").await, UserStatus::Active);
    // Who left with it is remembered: the next one of that name is somebody else.
    let dora = house.found("dora").await.unwrap().user.id;
    west.put("5", &[("login", "dora")]);
    house.read(&west, &rules(), FULL).await;
    assert_ne!(house.found("dora").await.unwrap().user.id, dora);
}

#[tokio::test]
async fn a_second_account_does_not_keep_somebody_who_has_left() {
    let house = House::build().await;
    let village = Village::default();
    let both = SyncRules {
        link: vec![LinkRule::EmployeeNumber],
        ..rules()
    };
    village.put("main", &[("login", "ada"), ("number", "1001"), ("mailbox", "ada.main")]);
    village.put(
        "test",
        &[("login", "ada-test"), ("number", "1001"), ("mailbox", "ada.test")],
    );
    assert_eq!(house.read(&village, &both, FULL).await.counts.linked, 2);
    village.remove("main");
    house.read(&village, &both, FULL).await;
    village.put(
        "test",
        &[
            ("login", "ada-test"),
            ("number", "1001"),
            ("name", "Changed"),
            ("mailbox", "ada.test"),
        ],
    );
    for _ in 0..2 {
        house.read(&village, &both, FULL).await;
        let ada = house.found("ada").await.unwrap();
        assert_eq!(ada.user.status, UserStatus::Disabled);
    }
    village.put("main", &[("login", "ada"), ("number", "1001"), ("mailbox", "ada.main")]);
    house.read(&village, &both, FULL).await;
    assert_eq!(
        (house.status("ada").await, answered(&house, "ada").await),
        (UserStatus::Active, 3)
    );
}

#[tokio::test]
async fn a_login_that_goes_to_another_in_the_same_run_makes_nobody_somebody_else() {
    let house = House::build().await;
    let village = Village::default();
    village.put("17", &[("login", "jsmith"), ("mailbox", "jsmith")]);
    house.read(&village, &rules(), FULL).await;
    let john = house.found("jsmith").await.unwrap().user.id;
    // The newcomer is read first.
    village.put("04", &[("login", "jsmith"), ("mailbox", "jsmith"), ("name", "Jane")]);
    village.put("17", &[("login", "john.smith"), ("mailbox", "john")]);
    let report = house.read(&village, &rules(), FULL).await;
    assert_eq!(numbers(&report.counts), [1, 0, 1, 0, 0, 0], "{:?}", report.problems);
    let jane = house.found("jsmith").await.unwrap();
    assert!(jane.user.id != john && jane.user.display_name == "Jane");
    assert_eq!(jane.accounts, ["Mail jsmith"]);
    assert_eq!(house.found("john.smith").await.unwrap().accounts, ["Mail john"]);
    // Mailboxes are swapped in one run.
    village.put("04", &[("login", "jsmith"), ("mailbox", "john")]);
    village.put("17", &[("login", "john.smith"), ("mailbox", "jsmith")]);
    let report = house.read(&village, &rules(), FULL).await;
    assert_eq!(report.counts.refused, 0);
    assert_eq!(house.found("jsmith").await.unwrap().accounts, ["Mail john"]);
    assert_eq!(house.found("john.smith").await.unwrap().accounts, ["Mail jsmith"]);
}

#[tokio::test]
async fn a_login_that_is_passed_on_is_free_by_the_end() {
    let house = House::build().await;
    let village = Village::default();
    village.with(|life| life.tells_changes = true);
    village.put("1", &[("login", "first"), ("mailbox", "m1")]);
    village.put("2", &[("login", "second"), ("mailbox", "m2")]);
    house.read(&village, &rules(), SyncOptions::default()).await;
    village.put("1", &[("login", "second"), ("mailbox", "m2")]);
    village.put("2", &[("login", "third"), ("mailbox", "m3")]);
    let report = house.read(&village, &rules(), SyncOptions::default()).await;
    assert_eq!(numbers(&report.counts), [0, 0, 2, 0, 0, 0], "{:?}", report.problems);
    assert_eq!(house.found("second").await.unwrap().accounts, ["Mail m2"]);
    // Two who swap are in each other's way; they are told, and tried again with each run until they are not.
    village.put("1", &[("login", "third")]);
    village.put("2", &[("login", "second")]);
    for _ in 0..2 {
        let report = house.read(&village, &rules(), SyncOptions::default()).await;
        assert_eq!(numbers(&report.counts), [0, 0, 0, 0, 0, 2]);
        assert_eq!(report.problems.len(), 2);
    }
    village.put("1", &[("login", "fourth")]);
    assert_eq!(
        house
            .read(&village, &rules(), SyncOptions::default())
            .await
            .counts
            .changed,
        2
    );
    assert!(house.found("fourth").await.is_some());
}

#[tokio::test]
async fn entries_find_the_user_who_is_there_by_the_rules() {
    let house = House::build().await;
    let village = Village::default();
    village.put(
        "first",
        &[
            ("login", "dora"),
            ("number", "2001"),
            ("mail", "dora@example.com"),
            ("mailbox", "d1"),
        ],
    );
    let all = SyncRules {
        link: vec![
            LinkRule::Account,
            LinkRule::EmployeeNumber,
            LinkRule::Mail,
            LinkRule::Login,
        ],
        ..rules()
    };
    house.read(&village, &all, FULL).await;
    let dora = house.found("dora").await.unwrap().user.id;
    // Another account of the same person, which neither renames nor describes her.
    village.put(
        "admin",
        &[
            ("login", "dora-admin"),
            ("name", "ADMIN"),
            ("number", "2001"),
            ("mailbox", "d2"),
        ],
    );
    village.put(
        "old",
        &[("login", "dora.old"), ("mail", "DORA@EXAMPLE.COM"), ("mailbox", "d3")],
    );
    village.put("box", &[("login", "whoever"), ("mailbox", "ada")]);
    let report = house.read(&village, &all, FULL).await;
    assert_eq!(numbers(&report.counts), [0, 2, 0, 1, 0, 1], "{:?}", report.problems);
    let found = house.found("dora").await.unwrap();
    assert_eq!(found.user.id, dora);
    assert_eq!(found.user.display_name, "");
    assert_eq!(found.accounts, ["Mail d1", "Mail d2"]);
    assert!(house.found("dora-admin").await.is_none());
    // The mailbox of somebody else belongs to them: the entry is theirs by the rule of accounts, and takes their name.
    assert!(house.found("ada").await.is_none());
    assert_eq!(
        house.found("whoever").await.unwrap().accounts,
        ["Mail ada", "Payroll ada"]
    );
}

#[tokio::test]
async fn what_two_users_claim_is_refused() {
    let house = House::build().await;
    let village = Village::default();
    village.put("1", &[("login", "dora"), ("mail", "shared@example.com")]);
    village.put("2", &[("login", "emil"), ("mail", "shared@example.com")]);
    let report = house.read(&village, &rules(), FULL).await;
    assert_eq!(report.counts.created, 2);
    village.put("3", &[("login", "fred"), ("mail", "shared@example.com")]);
    village.put("4", &[("name", "Nobody")]);
    village.put("5", &[("login", "Dora"), ("mailbox", "x")]);
    village.put("6", &[("login", "gina"), ("mailbox", "ada")]);
    let by_mail = SyncRules {
        link: vec![LinkRule::Mail],
        ..rules()
    };
    let report = house.read(&village, &by_mail, FULL).await;
    let problems: Vec<_> = report
        .problems
        .iter()
        .map(|problem| format!("{} {}", problem.place, problem.message))
        .collect();
    assert_eq!(
        problems,
        [
            "CN=3 several users have the same mail, so nobody can tell whose it is",
            "CN=4 has no login",
            "CN=5 another user has this login already",
            "CN=6 the account on Mail belongs to another user",
        ]
    );
    // They are asked for again, and taken once it is right.
    village.put("6", &[("login", "gina"), ("mailbox", "gina")]);
    let report = house.read(&village, &by_mail, FULL).await;
    assert_eq!(
        (report.counts.created, report.counts.refused, report.counts.removed),
        (1, 3, 0)
    );
}
