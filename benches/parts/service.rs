//! What the services do for a caller, with the database and two systems that answer at once: from the first digit to the evidence,
//! and a password that is proposed and set. Hashing an answer is on purpose slow and takes nearly all of it, so it is
//! measured apart, and is as cheap as it can be in the others. Also a piece of people as a source gives them.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput};
use passline::digit::Digits;
use passline::identity::event::{Actor, Door, Origin};
use passline::identity::evidence::Evidence;
use passline::identity::ids::SessionId;
use passline::identity::keyed_hash::HashConfig;
use passline::identity::pepper::{Pepper, PepperId, Peppers};
use passline::identity::policy::{Policy, WordList};
use passline::identity::question::{Channel, Origin as QuestionOrigin, Question};
use passline::integration::source::{self, Piece, Reading, Record, Source, Which};
use passline::integration::target::{AccountState, Answer, Capabilities, Expiry, Target};
use passline::secret::Secret;
use passline::service::{
    Answered, Arrival, Config, Enrolment, Entropy, Identified, LinkRule, Mapping, NewQuestion, NewUser, NextQuestion,
    Parts, Proposed, Services, SyncOptions, SyncRules, Visit,
};
use passline::store::{self, Store};
use passline::time::SystemClock;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const USERS: u32 = 100;
const PEOPLE: usize = 2_000;

pub(crate) fn all(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    let file = store::Config::new(folder.path().join("passline.db"));
    measure(criterion, &runtime, "sqlite", &file);
    if let Ok(place) = std::env::var("PASSLINE_BENCH_DATABASE") {
        measure(
            criterion,
            &runtime,
            "postgresql",
            &store::Config::on(super::store::socket(&place)),
        );
    }
    hashing(criterion, &runtime);
}

/// A system that answers at once.
struct Ready(&'static str);

impl Target for Ready {
    fn name(&self) -> &str {
        self.0
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            reset: true,
            lock_state: true,
            ..Capabilities::default()
        }
    }

    fn reset<'a>(&'a self, _account: &'a str, _password: &'a Secret, expiry: Expiry) -> Answer<'a, Expiry> {
        Box::pin(std::future::ready(Ok(expiry)))
    }

    fn state<'a>(&'a self, _account: &'a str) -> Answer<'a, AccountState> {
        Box::pin(std::future::ready(Ok(AccountState::default())))
    }
}

async fn services(config: &store::Config, hashing: HashConfig) -> Services {
    let store = Store::open(config).await.expect("a database");
    let targets: Vec<Arc<dyn Target>> = vec![Arc::new(Ready("mail")), Arc::new(Ready("payroll"))];
    let parts = Parts {
        store,
        targets,
        config: Config {
            hashing,
            policy: Policy {
                history: 0,
                ..Policy::classic()
            },
            ..Config::default()
        },
        clock: Arc::new(SystemClock),
        peppers: Peppers::single(Pepper::new(PepperId(1), [7; 32])),
        dictionary: Arc::new(WordList::common()),
        entropy: Entropy::from_system(),
    };
    Services::new(parts).expect("a good configuration")
}

fn origin() -> Origin {
    Origin {
        door: Door::Cli,
        actor: Actor::System,
        session: None,
        user: None,
    }
}

async fn fill(services: &Services) {
    for text in ["First?", "Second?", "Third?"] {
        let question = NewQuestion {
            text: text.to_owned(),
            language: None,
            translations: BTreeMap::new(),
            prompt: None,
            channels: [Channel::Phone].into_iter().collect(),
            format: "digits 4-8".parse().expect("a format"),
            origin: QuestionOrigin::Shared,
        };
        services.add_question(question).await.expect("a question");
    }
    let questions = services.shared_questions().await.expect("questions");
    for number in 0..USERS {
        let login = format!("caller{number}");
        let new = NewUser {
            login: login.parse().expect("a login"),
            display_name: String::new(),
            employee_number: Some(id(number).parse().expect("a number")),
            discriminator: None,
            language: None,
            accounts: vec![
                ("mail".to_owned(), login.clone()),
                ("payroll".to_owned(), login.clone()),
            ],
        };
        let user = services.create_user(&origin(), new).await.expect("a user");
        let answers: Vec<Enrolment> = questions
            .iter()
            .map(|question| Enrolment {
                question: question.id,
                answer: Secret::new(answer(question)),
            })
            .collect();
        services
            .enroll(&origin(), &user.login, &answers)
            .await
            .expect("enrolled");
    }
}

fn id(number: u32) -> String {
    (900_000 + number).to_string()
}

fn answer(question: &Question) -> String {
    format!("{:04}", question.text.len() * 111)
}

fn digits(text: &str) -> Digits {
    Digits::parse(text).expect("digits")
}

/// From the first digit to the evidence.
async fn verified(services: &Services, number: u32) -> (Visit, Evidence) {
    let arrival = Arrival {
        session: SessionId::from_uuid(uuid::Uuid::from_u128(rand::random())),
        door: Door::Phone,
        channel: Channel::Phone,
        trunk: "trunk".to_owned(),
        caller: Some(format!("+1555{number:07}")),
    };
    let visit = services.begin(arrival).await.expect("a visit");
    let identified = visit.identify(&digits(&id(number))).await.expect("identified");
    assert_eq!(identified, Identified::One);
    loop {
        let NextQuestion::Ask(question) = visit.next_question().await.expect("a question") else {
            panic!("nobody can be verified");
        };
        match visit.answer(&digits(&answer(&question))).await.expect("answered") {
            Answered::More => {}
            Answered::Passed(evidence) => return (visit, evidence),
            other => panic!("{other:?}"),
        }
    }
}

fn measure(criterion: &mut Criterion, runtime: &Runtime, name: &str, config: &store::Config) {
    let cheap = HashConfig {
        memory_kib: 8,
        passes: 1,
    };
    let services = runtime.block_on(async {
        let services = services(config, cheap).await;
        fill(&services).await;
        services
    });
    let title = |what: &str| format!("service/{name}/{what}");
    let mut number = 0;
    let mut next = || {
        number = (number + 1) % USERS;
        number
    };
    criterion.bench_function(&title("verification, three questions"), |bencher| {
        bencher.iter_batched(
            &mut next,
            |number| {
                runtime.block_on(async {
                    let (visit, _) = verified(&services, number).await;
                    visit.end().await.expect("ended");
                });
            },
            BatchSize::PerIteration,
        );
    });
    criterion.bench_function(&title("a password proposed and set on two systems"), |bencher| {
        bencher.iter_batched(
            || runtime.block_on(verified(&services, next())),
            |(visit, evidence)| {
                runtime.block_on(async {
                    let Proposed::Proposed(proposal) = visit.propose_password(&evidence).await.expect("proposed")
                    else {
                        panic!("no password");
                    };
                    visit.reset(&evidence, &proposal, None).await.expect("reset");
                    visit.end().await.expect("ended");
                });
            },
            BatchSize::PerIteration,
        );
    });
    let mut group = criterion.benchmark_group(title("people of a source"));
    group.sample_size(10).throughput(Throughput::Elements(PEOPLE as u64));
    let mut generation = 0;
    group.bench_function("everybody is new", |bencher| {
        bencher.iter(|| {
            generation += 1;
            runtime.block_on(load(&services, &Town::new(generation)));
        });
    });
    group.bench_function("nothing is new", |bencher| {
        bencher.iter(|| runtime.block_on(load(&services, &Town::new(generation))));
    });
    group.finish();
}

/// A source whose people are others in each generation.
struct Town {
    name: String,
    generation: u32,
}

impl Town {
    /// A source of its own, so that nobody is missing from another one.
    fn new(generation: u32) -> Self {
        Self {
            name: format!("town{generation}"),
            generation,
        }
    }
}

async fn load(services: &Services, town: &Town) {
    let one = |name: &str| vec![name.to_owned()];
    let rules = SyncRules {
        mapping: Mapping {
            login: one("login"),
            name: one("name"),
            employee_number: one("number"),
            phone: one("phone"),
            mail: one("mail"),
            department: one("department"),
            accounts: vec![("mail".to_owned(), one("login"))],
            ..Mapping::default()
        },
        link: vec![LinkRule::Login],
        create: true,
        max_removals: 100,
        every: Duration::from_secs(900),
        full_every: Duration::from_secs(900),
        unique_entries: true,
        settings: String::new(),
    };
    let report = services
        .sync(
            &origin(),
            town,
            &rules,
            SyncOptions {
                full: true,
                ..SyncOptions::default()
            },
            |_| {},
        )
        .await
        .expect("loaded");
    assert_eq!(report.counts.refused, 0, "{:?}", report.problems);
}

impl Source for Town {
    fn name(&self) -> &str {
        &self.name
    }

    fn open<'a>(&'a self, attributes: &'a [String]) -> source::Answer<'a, Box<dyn Reading + 'a>> {
        let opened: Box<dyn Reading + 'a> = Box::new(Street { town: self, attributes });
        Box::pin(std::future::ready(Ok(opened)))
    }
}

struct Street<'a> {
    town: &'a Town,
    attributes: &'a [String],
}

impl Reading for Street<'_> {
    fn goes_on_from(&self, _position: &str) -> bool {
        false
    }

    fn read<'a>(&'a mut self, which: Which<'a>, out: &'a mpsc::Sender<Piece>) -> source::Answer<'a, ()> {
        Box::pin(async move {
            let Which::All = which else { return Ok(()) };
            for from in (0..PEOPLE).step_by(200) {
                let person = |nth: usize| {
                    let name = format!("g{}n{nth}", self.town.generation);
                    let value = |attribute: &String| {
                        let text = match attribute.as_str() {
                            "number" => format!("{}", 10_000_000 + self.town.generation as usize * PEOPLE + nth),
                            "department" => format!("Unit {}", nth % 50),
                            "phone" => format!("+49 89 {nth}"),
                            "mail" => format!("{name}@example.com"),
                            _ => name.clone(),
                        };
                        vec![Secret::new(text)]
                    };
                    Ok(Record {
                        values: self.attributes.iter().map(value).collect(),
                        place: name.clone(),
                        entry: name.clone(),
                    })
                };
                if out.send((from..from + 200).map(person).collect()).await.is_err() {
                    break;
                }
            }
            Ok(())
        })
    }

    fn reached(&self) -> Option<String> {
        None
    }

    fn close<'a>(self: Box<Self>) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>
    where
        Self: 'a,
    {
        Box::pin(std::future::ready(()))
    }
}

/// One answer, as it is hashed by default.
fn hashing(criterion: &mut Criterion, runtime: &Runtime) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = store::Config::new(folder.path().join("passline.db"));
    let services = runtime.block_on(async {
        let services = services(&config, HashConfig::default()).await;
        fill_one(&services).await;
        services
    });
    criterion.bench_function("service/hash of an answer", |bencher| {
        bencher.iter(|| runtime.block_on(enrol_one(&services)));
    });
}

async fn fill_one(services: &Services) {
    let question = NewQuestion {
        text: "First?".to_owned(),
        language: None,
        translations: BTreeMap::new(),
        prompt: None,
        channels: [Channel::Phone].into_iter().collect(),
        format: "digits 4-8".parse().expect("a format"),
        origin: QuestionOrigin::Shared,
    };
    services.add_question(question).await.expect("a question");
    let new = NewUser {
        login: "one".parse().expect("a login"),
        display_name: String::new(),
        employee_number: None,
        discriminator: None,
        language: None,
        accounts: Vec::new(),
    };
    services.create_user(&origin(), new).await.expect("a user");
}

async fn enrol_one(services: &Services) {
    let questions = services.shared_questions().await.expect("questions");
    let answers = [Enrolment {
        question: questions[0].id,
        answer: Secret::new("1234".to_owned()),
    }];
    let login = "one".parse().expect("a login");
    services.enroll(&origin(), &login, &answers).await.expect("enrolled");
}
