//! The invented people can do what the demonstration shows, on the embedded directory.

use argon2::Params;

use super::*;
use crate::integration::target::Verdict;
use crate::integration::target::embedded::{Directories, Rules};

async fn demo(folder: &tempfile::TempDir) -> (Services, Directories, Vec<invented::Person>) {
    let clock = Arc::new(ManualClock::new(START));
    let path = folder.path().join("directory.db");
    let cheap = Params::new(8, 1, 1, None).unwrap();
    let directories = Directories::open_with(&path, clock.clone(), cheap).await.unwrap();
    let target = |name: &&str| -> Arc<dyn Target> { Arc::new(directories.target(name, Rules::default())) };
    let targets = invented::SYSTEMS.iter().map(target).collect();
    let config = Config {
        limits: ChangeLimits::default(),
        ..config()
    };
    let services = open(folder, clock, config, targets).await;
    let people = invented::seed(&services, &directories).await.unwrap();
    (services, directories, people)
}

async fn verify(visit: &Visit, person: &invented::Person) -> Answered {
    loop {
        let NextQuestion::Ask(question) = visit.next_question().await.unwrap() else {
            panic!("nobody can be verified");
        };
        let (_, keys) = person
            .answers
            .iter()
            .find(|(asked, _)| asked.id == question.id)
            .unwrap();
        match visit.answer(keys).await.unwrap() {
            Answered::More => {}
            end => return end,
        }
    }
}

#[tokio::test]
async fn the_old_password_goes_and_the_new_one_comes_on_all_systems() {
    let folder = tempfile::tempdir().unwrap();
    let (services, directories, people) = demo(&folder).await;
    for person in &people[..2] {
        let visit = arrive(&services, Some("+15550000001")).await;
        visit.identify(&digits(&person.employee_number)).await.unwrap();
        let Answered::Passed(evidence) = verify(&visit, person).await else {
            panic!("{} did not pass", person.name);
        };
        let proposal = proposal(&visit, &evidence).await;
        let report = visit.reset(&evidence, &proposal, None).await.unwrap();
        assert_eq!(report.summary(), Summary::All, "{report:?}");
        let systems: Vec<_> = report.accounts.iter().map(|account| account.system.as_str()).collect();
        assert_eq!(systems, invented::SYSTEMS);
        for system in invented::SYSTEMS {
            let directory = directories.target(system, Rules::default());
            let old = directory.verify(&person.login, &person.old_password).await.unwrap();
            let new = directory.verify(&person.login, proposal.password()).await.unwrap();
            assert_eq!((old, new), (Verdict::Rejected, Verdict::AcceptedMustChange));
        }
    }
}

#[tokio::test]
async fn people_with_one_keypad_form_are_told_apart_by_their_extension() {
    let folder = tempfile::tempdir().unwrap();
    let (services, _, people) = demo(&folder).await;
    let visit = arrive(&services, None).await;
    assert_eq!(visit.identify(&digits("7648401")).await.unwrap(), Identified::Several);
    assert_eq!(visit.discriminate(&digits("2104")).await.unwrap(), Identified::One);
    assert!(matches!(verify(&visit, &people[3]).await, Answered::Passed(_)));
}

#[tokio::test]
async fn seeding_twice_gives_everything_back() {
    let folder = tempfile::tempdir().unwrap();
    let (services, directories, people) = demo(&folder).await;
    let again = invented::seed(&services, &directories).await.unwrap();
    assert_eq!(again.len(), people.len());
    let visit = arrive(&services, None).await;
    visit.identify(&digits("4711")).await.unwrap();
    assert!(matches!(verify(&visit, &again[0]).await, Answered::Passed(_)));
}
