//! People from a source, made up.

mod identity;
mod village;

use proptest::prelude::*;

use self::village::Village;
use super::*;
use crate::identity::event::EventKind;
use crate::identity::keypad::KeypadId;
use crate::identity::user::{User, UserStatus};
use crate::integration::source::Broken;
use crate::service::{LinkRule, Mapping, SyncCounts, SyncError, SyncOptions, SyncReport, SyncRules};
use crate::store::{profile, user};

const FULL: SyncOptions = SyncOptions {
    full: true,
    dry_run: false,
    remove: false,
};

fn rules() -> SyncRules {
    let one = |name: &str| vec![name.to_owned()];
    SyncRules {
        mapping: Mapping {
            login: one("login"),
            name: one("name"),
            employee_number: vec!["number".to_owned(), "badge".to_owned()],
            discriminator: one("extension"),
            language: one("language"),
            phone: one("phone"),
            mail: one("mail"),
            department: one("department"),
            manager: one("manager"),
            groups: one("groups"),
            accounts: vec![("Mail".to_owned(), one("mailbox"))],
            answers: Vec::new(),
        },
        link: vec![LinkRule::Login],
        create: true,
        max_removals: 50,
        every: Duration::from_secs(900),
        full_every: Duration::from_secs(86_400),
        unique_entries: true,
        settings: String::new(),
    }
}

impl House {
    async fn read(&self, village: &Village, rules: &SyncRules, options: SyncOptions) -> SyncReport {
        self.services
            .sync(&cli(), village, rules, options, |_| {})
            .await
            .unwrap()
    }

    async fn found(&self, login: &str) -> Option<UserReportOf> {
        let mut tx = self.services.store().read().await.unwrap();
        let user = user::by_login(&mut tx, &login.parse().unwrap()).await.unwrap()?;
        let profile = profile::find(&mut tx, user.id).await.unwrap();
        drop(tx);
        let accounts = self.services.show_user(&user.login).await.unwrap().accounts;
        Some(UserReportOf {
            accounts: accounts
                .into_iter()
                .map(|account| format!("{} {}", account.target, account.name))
                .collect(),
            user,
            profile,
        })
    }

    async fn status(&self, login: &str) -> UserStatus {
        self.found(login).await.unwrap().user.status
    }
}

struct UserReportOf {
    user: User,
    profile: crate::identity::profile::Profile,
    accounts: Vec<String>,
}

fn numbers(counts: &SyncCounts) -> [u64; 6] {
    [
        counts.created,
        counts.linked,
        counts.changed,
        counts.unchanged,
        counts.removed,
        counts.refused,
    ]
}

#[tokio::test]
async fn people_come_change_go_and_come_back() {
    let house = House::build().await;
    let village = Village::default();
    village.put(
        "1",
        &[
            ("login", "dora"),
            ("name", "Dora Boss"),
            ("number", "2001"),
            ("badge", "77-1"),
            ("extension", "4242"),
            ("language", "de_DE, en;q=0.8"),
            ("phone", "+49 89 1234|+49 170 1234"),
            ("mail", "Dora@example.com"),
            ("department", "Mill"),
            ("groups", "CN=Millers,DC=x|CN=All,DC=x"),
            ("mailbox", "dora"),
        ],
    );
    village.put("2", &[("login", "emil"), ("manager", "cn=1"), ("phone", "none")]);
    let report = house.read(&village, &rules(), SyncOptions::default()).await;
    assert_eq!(numbers(&report.counts), [2, 0, 0, 0, 0, 0]);
    assert_eq!(report.problems.len(), 1);
    assert_eq!(
        (report.problems[0].place.as_str(), report.problems[0].field),
        ("CN=2", Some("phone"))
    );
    let dora = house.found("dora").await.unwrap();
    assert_eq!(dora.user.display_name, "Dora Boss");
    assert_eq!(
        dora.user.language.as_ref().map(|language| language.as_str()),
        Some("de-DE")
    );
    assert_eq!(dora.accounts, ["Mail dora"]);
    assert_eq!(dora.profile.phones.len(), 2);
    assert_eq!(dora.profile.groups, ["CN=Millers,DC=x", "CN=All,DC=x"]);
    let keys: Vec<_> = dora.user.keypad_ids().iter().map(|id| id.as_str().to_owned()).collect();
    assert_eq!(keys, ["3672", "2001", "771"]);
    let mut tx = house.services.store().read().await.unwrap();
    let badge = KeypadId::from_number("771").unwrap();
    assert_eq!(user::by_keypad_id(&mut tx, &badge, 9).await.unwrap().len(), 1);
    let emil = house.found("emil").await.unwrap();
    let boss = profile::at_place(&mut tx, &emil.profile.managers[0]).await.unwrap();
    assert_eq!(boss, [dora.user.id]);
    drop(tx);

    // Nothing is new: nothing is written.
    let before = house.events().await.len();
    let report = house.read(&village, &rules(), FULL).await;
    assert_eq!(numbers(&report.counts), [0, 0, 0, 2, 0, 0]);
    assert_eq!(house.events().await.len(), before);

    // Renamed, another mailbox, no telephone any more.
    village.put(
        "1",
        &[
            ("login", "dora.boss"),
            ("name", "Dora Boss"),
            ("mailbox", "boss"),
            ("number", "2001"),
        ],
    );
    let report = house.read(&village, &rules(), FULL).await;
    assert_eq!(numbers(&report.counts), [0, 0, 1, 1, 0, 0]);
    let renamed = house.found("dora.boss").await.unwrap();
    assert_eq!(
        (renamed.user.id, renamed.accounts),
        (dora.user.id, vec!["Mail boss".to_owned()])
    );
    assert!(renamed.profile.phones.is_empty() && renamed.user.discriminator.is_none());
    let changed = house
        .events()
        .await
        .into_iter()
        .rev()
        .find_map(|event| match event.kind {
            EventKind::ProfileChanged { fields } => Some(fields),
            _ => None,
        });
    let fields = [
        "login",
        "employee_number",
        "discriminator",
        "language",
        "phone",
        "mail",
        "department",
        "groups",
        "accounts",
    ];
    assert_eq!(changed.unwrap(), fields);

    // Gone: disabled, and without the account that came from there.
    village.remove("1");
    let report = house.read(&village, &rules(), FULL).await;
    assert_eq!(numbers(&report.counts), [0, 0, 0, 1, 1, 0]);
    let gone = house.found("dora.boss").await.unwrap();
    assert_eq!((gone.user.status, gone.accounts.len()), (UserStatus::Disabled, 0));
    let report = house.read(&village, &rules(), FULL).await;
    assert_eq!(numbers(&report.counts), [0, 0, 0, 1, 0, 0]);

    // Back: the same user, with the same account.
    village.put("1", &[("login", "dora.boss"), ("mailbox", "boss")]);
    let report = house.read(&village, &rules(), FULL).await;
    assert_eq!(numbers(&report.counts), [0, 0, 1, 1, 0, 0]);
    let back = house.found("dora.boss").await.unwrap();
    assert_eq!((back.user.id, back.user.status), (dora.user.id, UserStatus::Active));
    assert_eq!(back.accounts, ["Mail boss"]);
}

#[tokio::test]
async fn whoever_is_removed_loses_their_evidence() {
    let house = House::build().await;
    let village = Village::default();
    for (entry, login) in [("1", "ada"), ("2", "bob"), ("3", "cyd")] {
        village.put(entry, &[("login", login)]);
    }
    let plain = SyncRules {
        mapping: Mapping {
            login: vec!["login".to_owned()],
            ..Mapping::default()
        },
        ..rules()
    };
    let report = house.read(&village, &plain, FULL).await;
    assert_eq!(numbers(&report.counts), [0, 3, 0, 0, 0, 0]);
    let (visit, evidence) = house.verified("1001").await;
    village.remove("1");
    house.read(&village, &plain, FULL).await;
    assert!(matches!(
        visit.propose_password(&evidence).await,
        Err(ServiceError::NotVerified)
    ));
    // Accounts that somebody else has linked stay.
    assert_eq!(house.found("ada").await.unwrap().accounts.len(), 2);
}

#[tokio::test]
async fn an_admin_who_takes_access_away_is_not_overruled() {
    let house = House::build().await;
    let village = Village::default();
    village.put("1", &[("login", "ada")]);
    house.read(&village, &rules(), FULL).await;
    let ada = "ada".parse().unwrap();
    house
        .services
        .set_user_status(&cli(), &ada, UserStatus::LockedByAdmin)
        .await
        .unwrap();
    village.put("1", &[("login", "ada"), ("name", "Ada")]);
    house.read(&village, &rules(), FULL).await;
    assert_eq!(house.status("ada").await, UserStatus::LockedByAdmin);
    village.remove("1");
    let all = SyncOptions { remove: true, ..FULL };
    house.read(&village, &rules(), all).await;
    village.put("1", &[("login", "ada")]);
    house.read(&village, &rules(), FULL).await;
    assert_eq!(house.status("ada").await, UserStatus::LockedByAdmin);
}

#[tokio::test]
async fn too_many_removals_stop_and_ask() {
    let house = House::build().await;
    let village = Village::default();
    for n in 0..10 {
        village.put(&n.to_string(), &[("login", &format!("user{n}"))]);
    }
    let rules = SyncRules {
        max_removals: 20,
        ..rules()
    };
    house.read(&village, &rules, FULL).await;
    for n in 0..3 {
        village.remove(&n.to_string());
    }
    village.put("new", &[("login", "newcomer")]);
    for _ in 0..2 {
        let report = house.read(&village, &rules, FULL).await;
        assert_eq!((report.held, report.counts.removed), (3, 0));
        assert_eq!(house.status("user0").await, UserStatus::Active);
        assert_eq!(house.services.source_status("village").await.unwrap().held, 3);
    }
    // Those who are new were taken all the same, and the question was asked once.
    assert!(house.found("newcomer").await.is_some());
    let asked = house
        .event_names()
        .await
        .iter()
        .filter(|name| **name == "ET_SYNC_HELD")
        .count();
    assert_eq!(asked, 1);
    let dry = SyncOptions {
        dry_run: true,
        remove: true,
        full: true,
    };
    let report = house.read(&village, &rules, dry).await;
    assert_eq!(
        (report.counts.removed, house.status("user0").await),
        (3, UserStatus::Active)
    );
    let report = house.read(&village, &rules, SyncOptions { remove: true, ..FULL }).await;
    assert_eq!((report.held, report.counts.removed), (0, 3));
    assert_eq!(house.status("user0").await, UserStatus::Disabled);
    // Two of eight are a quarter; one is not too many.
    village.remove("3");
    let report = house.read(&village, &rules, FULL).await;
    assert_eq!((report.held, report.counts.removed), (0, 1));
}

#[tokio::test]
async fn what_was_not_read_to_its_end_removes_nobody() {
    let house = House::build().await;
    let village = Village::default();
    for n in 0..10 {
        village.put(&n.to_string(), &[("login", &format!("user{n}"))]);
    }
    house.read(&village, &rules(), FULL).await;
    village.put("0", &[("login", "user0"), ("name", "Zero")]);
    village.with(|life| life.breaks_after = Some(8));
    for _ in 0..2 {
        let failed = house.services.sync(&cli(), &village, &rules(), FULL, |_| {}).await;
        assert_eq!(failed.unwrap_err().to_string(), "village: the bridge is down");
        let status = house.services.source_status("village").await.unwrap();
        assert_eq!(status.failure.as_deref(), Some("village: the bridge is down"));
    }
    assert_eq!(house.found("user0").await.unwrap().user.display_name, "Zero");
    let told = house
        .event_names()
        .await
        .iter()
        .filter(|name| **name == "ET_SYNC_FAILURE")
        .count();
    assert_eq!(told, 1);
    village.with(|life| {
        life.breaks_after = None;
        life.people.remove("9");
        life.broken = vec![Broken {
            place: "line 7".to_owned(),
            problem: "cannot be read".to_owned(),
        }];
    });
    let report = house.read(&village, &rules(), FULL).await;
    assert!(report.incomplete && report.counts.removed == 0 && report.held == 0);
    assert_eq!(report.problems[0].place, "line 7");
    for n in 0..10 {
        assert_eq!(house.status(&format!("user{n}")).await, UserStatus::Active);
    }
    village.with(|life| life.broken.clear());
    assert_eq!(house.read(&village, &rules(), FULL).await.counts.removed, 1);
}

#[tokio::test]
async fn a_source_that_creates_nobody_adds_to_those_who_are_there() {
    let house = House::build().await;
    let village = Village::default();
    village.put(
        "1",
        &[
            ("login", "somebody"),
            ("number", "1001"),
            ("department", "Mill"),
            ("mailbox", "ada.2"),
        ],
    );
    village.put("2", &[("login", "stranger"), ("number", "9"), ("mailbox", "stranger")]);
    let rules = SyncRules {
        link: vec![LinkRule::EmployeeNumber],
        create: false,
        ..rules()
    };
    let report = house.read(&village, &rules, FULL).await;
    assert_eq!(
        (report.counts.linked, report.counts.unlinked, report.counts.created),
        (1, 1, 0)
    );
    let ada = house.found("ada").await.unwrap();
    assert_eq!(ada.profile.departments, ["Mill"]);
    assert_eq!(ada.accounts, ["Mail ada", "Mail ada.2", "Payroll ada"]);
    // When it does not list her any more, she stays, without what it brought.
    village.remove("1");
    house.read(&village, &rules, SyncOptions { remove: true, ..FULL }).await;
    let ada = house.found("ada").await.unwrap();
    assert_eq!((ada.user.status, ada.accounts.len()), (UserStatus::Active, 2));
}

#[tokio::test]
async fn answers_are_taken_once_and_hashed() {
    let house = House::build().await;
    let village = Village::default();
    let mut rules = rules();
    rules.mapping.answers = QUESTIONS
        .iter()
        .map(|text| ((*text).to_owned(), vec![format!("a {text}")]))
        .collect();
    let answered = |first: &str| {
        let answers = QUESTIONS.map(|text| format!("a {text}"));
        let values = [first.to_owned(), "2001881".to_owned(), "2001882".to_owned()];
        let mut attributes = vec![
            ("login".to_owned(), "dora".to_owned()),
            ("number".to_owned(), "2001".to_owned()),
        ];
        attributes.extend(answers.into_iter().zip(values));
        attributes
    };
    let put = |first: &str| {
        let attributes = answered(first);
        let attributes: Vec<_> = attributes
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        village.put("1", &attributes);
    };
    put("2001880");
    village.put("2", &[("login", "emil"), ("a First number?", "letters")]);
    let report = house.read(&village, &rules, FULL).await;
    assert_eq!(report.counts.created, 2);
    assert_eq!((report.problems.len(), report.problems[0].field), (1, Some("answer")));
    assert!(!format!("{report:?}").contains("letters"));
    house.verified("2001").await;
    // Changed there afterwards: what was enrolled here stays.
    put("5555555");
    let report = house.read(&village, &rules, FULL).await;
    assert_eq!(report.counts.unchanged, 2);
    house.verified("2001").await;
    let enrolled = house
        .event_names()
        .await
        .iter()
        .filter(|name| **name == "ET_ANSWERS_ENROLLED")
        .count();
    assert_eq!(enrolled, 3 + 1, "those of the house, and hers");
    let mut dump = testing::dump(house.folder.path().join("passline.db"));
    for name in ["passline.db", "passline.db-wal"] {
        dump.extend(std::fs::read(house.folder.path().join(name)).unwrap_or_default());
    }
    for secret in ["2001880", "5555555"] {
        assert!(
            !dump.windows(secret.len()).any(|part| part == secret.as_bytes()),
            "{secret}"
        );
    }
    rules
        .mapping
        .answers
        .push(("No such question?".to_owned(), vec!["x".to_owned()]));
    let failed = house.services.sync(&cli(), &village, &rules, FULL, |_| {}).await;
    assert!(matches!(failed, Err(SyncError::NoSuchQuestion { .. })));
}

#[tokio::test]
async fn a_source_that_tells_changes_is_asked_for_those() {
    let house = House::build().await;
    let village = Village::default();
    village.with(|life| life.tells_changes = true);
    for n in 0..200 {
        village.put(&format!("{n:03}"), &[("login", &format!("user{n}"))]);
    }
    let report = house.read(&village, &rules(), SyncOptions::default()).await;
    assert!(report.full && village.given() == 200);
    village.put("007", &[("login", "user7"), ("name", "James")]);
    village.put("new", &[("login", "newcomer")]);
    village.remove("100");
    let report = house.read(&village, &rules(), SyncOptions::default()).await;
    assert!(!report.full);
    assert_eq!(numbers(&report.counts), [1, 0, 1, 0, 1, 0]);
    assert_eq!(village.given(), 2);
    // Who comes without having changed, as by a group that the filter asks for.
    let quiet = village.0.lock().unwrap().people.get("050").cloned().unwrap();
    village.remove("050");
    assert_eq!(
        house
            .read(&village, &rules(), SyncOptions::default())
            .await
            .counts
            .removed,
        1
    );
    village.with(|life| drop(life.people.insert("050".to_owned(), quiet)));
    let report = house.read(&village, &rules(), SyncOptions::default()).await;
    assert_eq!((report.counts.changed, village.given()), (1, 1));
    assert_eq!(house.status("user50").await, UserStatus::Active);
    // Other settings, or a day later: everything.
    let mut other = rules();
    other.settings = "another base".to_owned();
    assert!(house.read(&village, &other, SyncOptions::default()).await.full);
    assert!(!house.read(&village, &other, SyncOptions::default()).await.full);
    house.clock.advance(Duration::from_secs(86_400));
    assert!(house.read(&village, &other, SyncOptions::default()).await.full);
}

#[tokio::test]
async fn a_source_is_read_by_one_at_a_time() {
    let house = House::build().await;
    let village = Village::default();
    village.put("1", &[("login", "dora")]);
    assert!(house.services.is_sync_due("village", &rules()).await.unwrap());
    // Somebody began, and died.
    let now = house.services.now();
    let mut tx = house.services.store().write().await.unwrap();
    let until = now.plus(Duration::from_secs(180));
    assert!(
        crate::store::source::claim(&mut tx, "village", "another", now, until)
            .await
            .unwrap()
    );
    tx.commit().await.unwrap();
    let busy = house.services.sync(&cli(), &village, &rules(), FULL, |_| {}).await;
    assert!(matches!(busy, Err(SyncError::Busy { .. })));
    assert!(!house.services.is_sync_due("village", &rules()).await.unwrap());
    house.clock.advance(Duration::from_secs(180));
    assert_eq!(house.read(&village, &rules(), FULL).await.counts.created, 1);
    house.clock.advance(Duration::from_secs(899));
    assert!(!house.services.is_sync_due("village", &rules()).await.unwrap());
    house.clock.advance(Duration::from_secs(1));
    assert!(house.services.is_sync_due("village", &rules()).await.unwrap());
}

#[tokio::test]
async fn a_run_that_was_told_to_stop_leaves_the_source_free() {
    let house = House::build().await;
    let village = Village::default();
    village.put("1", &[("login", "dora")]);
    let (now, until) = (
        house.services.now(),
        house.services.now().plus(Duration::from_secs(300)),
    );
    for (reader, is_ours) in [
        (format!("{} 1", house.services.0.owner), true),
        ("another 1".to_owned(), false),
    ] {
        let mut tx = house.services.store().write().await.unwrap();
        assert!(
            crate::store::source::claim(&mut tx, "village", &reader, now, until)
                .await
                .unwrap()
        );
        tx.commit().await.unwrap();
        house.services.abandon_runs().await.unwrap();
        let read = house.services.sync(&cli(), &village, &rules(), FULL, |_| {}).await;
        assert_eq!(read.is_ok(), is_ours, "{reader}");
    }
}

// Another thread waits for the database meanwhile.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_lost_the_source_to_another_writes_nothing_more() {
    let house = House::build().await;
    let village = Village::default();
    for n in 0..400 {
        village.put(&format!("{n:03}"), &[("login", &format!("user{n}"))]);
    }
    let another = house.another(config()).await;
    let (clock, mut taken) = (house.clock.clone(), false);
    let (origin, rules) = (cli(), rules());
    let reading = house.services.sync(&origin, &village, &rules, FULL, |counts| {
        if counts.created == 100 && !taken {
            taken = true;
            clock.advance(Duration::from_secs(400));
            // The run holds no transaction while it tells its progress.
            let (another, now) = (another.clone(), clock.now());
            std::thread::spawn(move || {
                tokio::runtime::Runtime::new().unwrap().block_on(async {
                    let mut tx = another.store().write().await.unwrap();
                    let until = now.plus(Duration::from_secs(180));
                    assert!(
                        crate::store::source::claim(&mut tx, "village", "another", now, until)
                            .await
                            .unwrap()
                    );
                    tx.commit().await.unwrap();
                });
            })
            .join()
            .unwrap();
        }
    });
    assert!(matches!(reading.await, Err(SyncError::Busy { .. })));
    assert!(house.found("user99").await.is_some());
    assert!(house.found("user150").await.is_none());
    // What the loser leaves behind does not touch what the other is at.
    let mut tx = house.services.store().read().await.unwrap();
    assert_eq!(
        crate::store::source::find(&mut tx, "village").await.unwrap().failure,
        None
    );
}

#[tokio::test]
async fn another_server_of_a_source_removes_nobody_and_lets_nobody_in_again() {
    let house = House::build().await;
    let village = Village::default();
    village.with(|life| life.server = Some("dc1".to_owned()));
    for n in 0..4 {
        village.put(&n.to_string(), &[("login", &format!("user{n}"))]);
    }
    house.read(&village, &rules(), FULL).await;
    village.remove("0");
    house.read(&village, &rules(), FULL).await;
    assert_eq!(house.status("user0").await, UserStatus::Disabled);
    // One that is behind: the leaver is still there, the newest is not there yet.
    village.with(|life| life.server = Some("dc2".to_owned()));
    village.put("0", &[("login", "user0")]);
    village.remove("3");
    let report = house.read(&village, &rules(), FULL).await;
    assert!(report.elsewhere && report.counts.removed == 0 && report.counts.changed == 0);
    assert_eq!(house.status("user0").await, UserStatus::Disabled);
    assert_eq!(house.status("user3").await, UserStatus::Active);
    // It says the same the next time.
    let report = house.read(&village, &rules(), FULL).await;
    assert_eq!((report.counts.removed, report.counts.changed), (1, 1));
}

#[tokio::test]
async fn a_source_that_creates_nobody_any_more_disables_nobody() {
    let house = House::build().await;
    let village = Village::default();
    village.put("1", &[("login", "dora")]);
    village.put("2", &[("login", "emil")]);
    house.read(&village, &rules(), FULL).await;
    let lists = SyncRules {
        create: false,
        ..rules()
    };
    village.remove("1");
    let report = house.read(&village, &lists, FULL).await;
    assert_eq!(report.counts.removed, 1);
    assert_eq!(house.status("dora").await, UserStatus::Active);
    village.remove("2");
    house.read(&village, &lists, SyncOptions { remove: true, ..FULL }).await;
    assert_eq!(house.status("emil").await, UserStatus::Active);
}

#[tokio::test]
async fn an_entry_that_is_there_twice_is_told() {
    let house = House::build().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("people.csv");
    let file = crate::integration::source::file::PeopleFile::new(crate::integration::source::file::PeopleFileConfig {
        name: "file".to_owned(),
        path: path.clone(),
        separator: b',',
        values_separator: None,
        entry: "login".to_owned(),
        place: None,
        disabled: None,
    });
    let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let mut rules = rules();
    rules.mapping = Mapping {
        login: list(&["login"]),
        name: list(&["name"]),
        ..Mapping::default()
    };
    let mut text = "login,name\ndora,Dora\ndora,Dora\ndora,Doris\n".to_owned();
    for n in 0..500 {
        text += &format!("user{n},User {n}\n");
    }
    text += "user7,Another\nuser8,User 8\n";
    std::fs::write(&path, &text).unwrap();
    for round in 0..2 {
        let report = house.services.sync(&cli(), &file, &rules, FULL, |_| {}).await.unwrap();
        assert_eq!(report.counts.created, if round == 0 { 501 } else { 0 });
        let places: Vec<_> = report.problems.iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!((places, report.counts.changed), (vec!["dora", "user7"], 0));
    }
    assert_eq!(house.found("user7").await.unwrap().user.display_name, "User 7");
    // An empty file is everybody gone, which is too many.
    std::fs::write(&path, "login,name\n").unwrap();
    let report = house.services.sync(&cli(), &file, &rules, FULL, |_| {}).await.unwrap();
    assert_eq!((report.held, report.counts.removed), (501, 0));
    std::fs::write(&path, "").unwrap();
    let failed = house
        .services
        .sync(&cli(), &file, &rules, FULL, |_| {})
        .await
        .unwrap_err();
    assert!(
        failed
            .to_string()
            .contains("its first line names no column login, name"),
        "{failed}"
    );
}

#[tokio::test]
async fn an_attribute_that_is_hidden_from_everybody_stops_the_run() {
    let house = House::build().await;
    let village = Village::default();
    let put = |n: u32, number: &str| {
        let (login, mailbox) = (format!("user{n}"), format!("box{n}"));
        village.put(
            &format!("{n:03}"),
            &[("login", &login), ("number", number), ("mailbox", &mailbox)],
        );
    };
    (0..400).for_each(|n| put(n, &format!("7{n:04}")));
    let rules = SyncRules {
        max_removals: 10,
        ..rules()
    };
    house.read(&village, &rules, FULL).await;
    // Ten, or one in ten.
    (0..40).for_each(|n| put(n, ""));
    assert_eq!(house.read(&village, &rules, FULL).await.counts.changed, 40);
    (40..400).for_each(|n| put(n, ""));
    // However often it is tried.
    for _ in 0..3 {
        let stopped = house.services.sync(&cli(), &village, &rules, FULL, |_| {}).await;
        assert!(
            matches!(stopped, Err(SyncError::Losses { losses: 41, .. })),
            "{stopped:?}"
        );
    }
    let left = house.found("user99").await.unwrap().user;
    assert!(left.employee_number.is_some());
    let report = house.read(&village, &rules, SyncOptions { remove: true, ..FULL }).await;
    assert_eq!(report.counts.changed, 360 - 40);
}

/// What happens in a village between two readings.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u8),
    Remove(u8),
    Read { full: bool },
    Break(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0..12_u8, 0..4_u8).prop_map(|(who, what)| Step::Put(who, what)),
        2 => (0..12_u8).prop_map(Step::Remove),
        3 => any::<bool>().prop_map(|full| Step::Read { full }),
        1 => (0..8_usize).prop_map(Step::Break),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever happened before, and however often a reading broke: after a whole one, those who are there are those who
    /// may call, each with what is written about them.
    #[test]
    fn after_a_whole_reading_here_is_as_there(steps in prop::collection::vec(step(), 1..40), tells_changes in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let house = House::build().await;
            let village = Village::default();
            village.with(|life| life.tells_changes = tells_changes);
            let rules = SyncRules { max_removals: 100, ..rules() };
            for step in steps.into_iter().chain([Step::Read { full: false }]) {
                match step {
                    Step::Put(who, what) => {
                        let (login, name) = (format!("user{who}"), format!("name{what}"));
                        let mailbox = format!("box{who}.{}", what % 2);
                        village.put(&who.to_string(), &[("login", &login), ("name", &name), ("mailbox", &mailbox)]);
                    }
                    Step::Remove(who) => village.remove(&who.to_string()),
                    Step::Break(after) => {
                        village.with(|life| life.breaks_after = Some(after));
                        let _ = house.services.sync(&cli(), &village, &rules, SyncOptions::default(), |_| {}).await;
                        village.with(|life| life.breaks_after = None);
                    }
                    Step::Read { full } => {
                        let options = SyncOptions { full, ..SyncOptions::default() };
                        house.read(&village, &rules, options).await;
                        let there = village.0.lock().unwrap().people.clone();
                        for who in 0..12 {
                            let found = house.found(&format!("user{who}")).await;
                            match there.get(&who.to_string()) {
                                Some((_, written)) => {
                                    let found = found.expect("a user");
                                    assert_eq!(found.user.status, UserStatus::Active);
                                    assert_eq!(found.user.display_name, written["name"]);
                                    assert_eq!(found.accounts, [format!("Mail {}", written["mailbox"])]);
                                }
                                None => {
                                    let is_out = |found: UserReportOf| {
                                        found.user.status == UserStatus::Disabled && found.accounts.is_empty()
                                    };
                                    assert!(found.is_none_or(is_out));
                                }
                            }
                        }
                    }
                }
            }
        });
    }
}
