//! Tests of the use cases, on a real database of their own.

pub(crate) mod api;
mod clock;
mod crash;
mod demonstration;
mod faults;
mod history;
mod invented;
mod kills;
mod lockout;
mod nodes;
mod people;
mod renewal;
mod reset;
mod sync;
mod timing;
mod visit;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::digit::Digits;
use crate::identity::event::{Actor, Door, Event, Origin};
use crate::identity::evidence::Evidence;
use crate::identity::generator::GeneratorConfig;
use crate::identity::ids::SessionId;
use crate::identity::keyed_hash::HashConfig;
use crate::identity::pepper::{Pepper, PepperId};
use crate::identity::policy::{NoDictionary, Policy};
use crate::identity::question::{Channel, Origin as QuestionOrigin, Question};
use crate::integration::target::faulty::Faulty;
use crate::secret::Secret;
use crate::store::{Store, testing};
use crate::time::{ManualClock, Timestamp};

/// A Passline with two systems, three shared questions and three users.
pub(crate) struct House {
    folder: tempfile::TempDir,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) mail: Faulty,
    pub(crate) payroll: Faulty,
    pub(crate) services: Services,
}

const START: Timestamp = Timestamp::from_millis(1_795_000_000_000);

/// Answers of every user: the employee number and the place of the question.
const QUESTIONS: [&str; 3] = ["First number?", "Second number?", "Third number?"];

impl House {
    pub(crate) async fn build() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(START));
        let (mail, payroll) = (Faulty::new("Mail"), Faulty::new("Payroll"));
        let mut config = config();
        change(&mut config);
        let targets: Vec<Arc<dyn Target>> = vec![Arc::new(mail.clone()), Arc::new(payroll.clone())];
        let services = open(&folder, clock.clone(), config, targets).await;
        let house = Self {
            folder,
            clock,
            mail,
            payroll,
            services,
        };
        for text in QUESTIONS {
            house.services.add_question(question(text)).await.unwrap();
        }
        for (login, number) in [("ada", "1001"), ("bob", "1002"), ("cyd", "1003")] {
            house.add_user(login, number, None).await;
        }
        house
    }

    /// Another process on the same database and the same systems.
    async fn another(&self, config: Config) -> Services {
        let targets: Vec<Arc<dyn Target>> = vec![Arc::new(self.mail.clone()), Arc::new(self.payroll.clone())];
        open(&self.folder, self.clock.clone(), config, targets).await
    }

    async fn add_user(&self, login: &str, number: &str, discriminator: Option<&str>) {
        let new = NewUser {
            login: login.parse().unwrap(),
            display_name: login.to_owned(),
            employee_number: Some(number.parse().unwrap()),
            discriminator: discriminator.map(|digits| Secret::new(digits.to_owned())),
            language: None,
            accounts: vec![
                ("Mail".to_owned(), login.to_owned()),
                ("Payroll".to_owned(), login.to_owned()),
            ],
        };
        self.services.create_user(&cli(), new).await.unwrap();
        let questions = self.services.shared_questions().await.unwrap();
        let answers: Vec<Enrolment> = questions
            .iter()
            .map(|question| Enrolment {
                question: question.id,
                answer: Secret::new(right_answer(number, question)),
            })
            .collect();
        self.services
            .enroll(&cli(), &login.parse().unwrap(), &answers)
            .await
            .unwrap();
        for target in [&self.mail, &self.payroll] {
            target.put(login, "old", false);
        }
    }

    async fn arrive(&self, caller: Option<&str>) -> Visit {
        arrive(&self.services, caller).await
    }

    /// A visit of a caller who is verified as the user with this number.
    async fn verified(&self, number: &str) -> (Visit, Evidence) {
        let visit = self.arrive(Some("+15550000001")).await;
        let evidence = pass(&visit, number).await;
        (visit, evidence)
    }

    async fn events(&self) -> Vec<Event> {
        events(self.services.store()).await
    }

    async fn event_names(&self) -> Vec<&'static str> {
        self.events().await.iter().map(|event| event.kind.name()).collect()
    }
}

fn config() -> Config {
    Config {
        // Counting passwords that have the user's name in them takes a while without optimisation.
        policy: Policy {
            forbid_user_data: false,
            forbid_dictionary: false,
            ..Policy::classic()
        },
        generator: GeneratorConfig {
            entropy_bits: 28,
            floor_bits: 28,
        },
        hashing: HashConfig {
            memory_kib: 8,
            passes: 1,
        },
        limits: ChangeLimits {
            request: Duration::from_millis(60),
            account: Duration::from_millis(150),
            pause: Duration::from_millis(10),
            look: Duration::from_millis(60),
            settle: Duration::from_millis(200),
        },
        ..Config::default()
    }
}

async fn open(
    folder: &tempfile::TempDir,
    clock: Arc<ManualClock>,
    config: Config,
    targets: Vec<Arc<dyn Target>>,
) -> Services {
    let peppers = Peppers::single(Pepper::new(PepperId(1), [7; 32]));
    open_with(folder, clock, config, targets, peppers).await
}

async fn open_with(
    folder: &tempfile::TempDir,
    clock: Arc<ManualClock>,
    config: Config,
    targets: Vec<Arc<dyn Target>>,
    peppers: Peppers,
) -> Services {
    let path = folder.path().join("passline.db");
    let parts = Parts {
        store: testing::open(path).await,
        targets,
        config,
        clock,
        peppers,
        dictionary: Arc::new(NoDictionary),
        entropy: Entropy::from_system(),
    };
    Services::new(parts).unwrap()
}

async fn arrive(services: &Services, caller: Option<&str>) -> Visit {
    let arrival = Arrival {
        session: services.draw(|rng| SessionId::generate(services.now(), rng)),
        door: Door::Phone,
        channel: Channel::Phone,
        trunk: "trunk".to_owned(),
        caller: caller.map(str::to_owned),
    };
    services.begin(arrival).await.unwrap()
}

async fn pass(visit: &Visit, number: &str) -> Evidence {
    assert_eq!(visit.identify(&digits(number)).await.unwrap(), Identified::One);
    match round(visit, |question| right_answer(number, question)).await {
        Answered::Passed(evidence) => evidence,
        other => panic!("not passed: {other:?}"),
    }
}

/// Answers the questions of one round; what the last answer led to.
async fn round(visit: &Visit, answer: impl Fn(&Question) -> String) -> Answered {
    loop {
        let question = match visit.next_question().await.unwrap() {
            NextQuestion::Ask(question) => question,
            NextQuestion::Unavailable => panic!("nobody can be verified"),
        };
        match visit.answer(&digits(&answer(&question))).await.unwrap() {
            Answered::More => {}
            end => return end,
        }
    }
}

fn wrong(_: &Question) -> String {
    "9999999".to_owned()
}

fn right_answer(number: &str, question: &Question) -> String {
    answer_to(number, &question.text)
}

/// What the user with this number answers to this question.
pub(crate) fn answer_to(number: &str, question: &str) -> String {
    let place = QUESTIONS.iter().position(|text| *text == question).unwrap();
    format!("{number}88{place}")
}

fn question(text: &str) -> NewQuestion {
    NewQuestion {
        text: text.to_owned(),
        language: None,
        translations: BTreeMap::new(),
        prompt: None,
        channels: [Channel::Phone].into_iter().collect(),
        format: "digits 4-8".parse().unwrap(),
        origin: QuestionOrigin::Shared,
    }
}

pub(crate) fn cli() -> Origin {
    Origin {
        door: Door::Cli,
        actor: Actor::Staff {
            login: "root".to_owned(),
        },
        session: None,
        user: None,
    }
}

fn digits(text: &str) -> Digits {
    Digits::parse(text).unwrap()
}

async fn events(store: &Store) -> Vec<Event> {
    let mut tx = store.read().await.unwrap();
    let links = crate::store::audit::page(&mut tx, 0, 1_000_000).await.unwrap();
    links
        .into_iter()
        .map(|link| Event::from_json(link.entry.at, &link.entry.fields).unwrap())
        .collect()
}

async fn proposal(visit: &Visit, evidence: &Evidence) -> Proposal {
    match visit.propose_password(evidence).await.unwrap() {
        Proposed::Proposed(proposal) => proposal,
        other => panic!("no password: {other:?}"),
    }
}
