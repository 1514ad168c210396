//! Every order of calls, wrong ones mostly: nothing of anybody is told or changed but in a session in which that person
//! was verified, and not for longer than that lasts.

use std::collections::HashSet;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::{Value, json};

use super::*;
use crate::identity::evidence::EvidenceConfig;
use crate::service::Right;
use crate::service::tests::api::{PASSWORD, new_client};
use crate::service::tests::{answer_to, cli};
use crate::time::{Clock as _, Timestamp};

/// Where the clients may be, and where none of them may.
const HERE: &str = "127.0.0.1";
const ELSEWHERE: &str = "192.0.2.7";

/// The one whose answers are known, and everybody: login and number. Nobody has the last number.
const KNOWN: &str = "bob";
const PEOPLE: [(&str, &str); 4] = [("ada", "1001"), ("bob", "1002"), ("cyd", "1003"), ("nobody", "7777")];

/// Two clients; the second one may choose passwords. Three sessions: two of the first client, one of the second.
const CLIENTS: [&str; 3] = ["ivr", "ivr", "trusted"];

/// What somebody may do who is both clients, knows everything that any session was ever given, and the answers of
/// one person.
#[derive(Clone, Debug)]
enum Step {
    /// Perhaps with a handle where a page should be.
    List {
        number: &'static str,
        page: bool,
    },
    Ask {
        user: usize,
    },
    Answer {
        questions: usize,
        with: Answers,
    },
    Propose {
        accounts: Option<usize>,
    },
    Reset {
        password: usize,
        accounts: Option<usize>,
        chosen: bool,
    },
    Unlock {
        accounts: Option<usize>,
    },
    Job {
        job: usize,
    },
    Accounts,
    Logout,
    Wait {
        seconds: u64,
    },
}

#[derive(Clone, Copy, Debug)]
enum Answers {
    Known,
    Wrong,
    /// All but one.
    OneMissing,
    /// Each to the first question.
    OneRepeated,
}

/// Who does it, and how.
#[derive(Clone, Copy, Debug)]
struct Manner {
    session: usize,
    form: Form,
    from: &'static str,
    /// With a session that there never was.
    is_forged: bool,
    /// An idempotency key that was used before, if there is one.
    old_key: Option<usize>,
}

fn step(rng: &mut StdRng) -> Step {
    let accounts = |rng: &mut StdRng| rng.random_bool(0.5).then(|| rng.random_range(0..8));
    match rng.random_range(0..20) {
        0..3 => Step::List {
            number: PEOPLE.choose(rng).expect("people").1,
            page: rng.random_bool(0.1),
        },
        3..5 => Step::Ask {
            user: rng.random_range(0..8),
        },
        5..8 => Step::Answer {
            questions: rng.random_range(0..4),
            with: *[
                Answers::Known,
                Answers::Known,
                Answers::Wrong,
                Answers::OneMissing,
                Answers::OneRepeated,
            ]
            .choose(rng)
            .expect("answers"),
        },
        8..10 => Step::Propose {
            accounts: accounts(rng),
        },
        10..13 => Step::Reset {
            password: rng.random_range(0..8),
            accounts: accounts(rng),
            chosen: rng.random_bool(0.3),
        },
        13..15 => Step::Unlock {
            accounts: accounts(rng),
        },
        15 => Step::Job {
            job: rng.random_range(0..4),
        },
        16 => Step::Wait {
            seconds: *[1, 30, 300, 590, 1_210].choose(rng).expect("times"),
        },
        17 if rng.random_bool(0.3) => Step::Logout,
        _ => Step::Accounts,
    }
}

fn manner(rng: &mut StdRng) -> Manner {
    Manner {
        session: *[0, 0, 0, 1, 2].choose(rng).expect("sessions"),
        form: form(rng),
        from: if rng.random_bool(0.03) { ELSEWHERE } else { HERE },
        is_forged: rng.random_bool(0.03),
        old_key: rng.random_bool(0.2).then(|| rng.random_range(0..8)),
    }
}

fn form(rng: &mut StdRng) -> Form {
    *[Form::Json, Form::Soap11, Form::Soap12].choose(rng).expect("forms")
}

/// The way of the one whose answers are known, in the first session: from there on everything may go wrong as well.
fn rightful_beginning() -> Vec<Step> {
    const LAST: usize = usize::MAX;
    vec![
        Step::List {
            number: PEOPLE[1].1,
            page: false,
        },
        Step::Ask { user: LAST },
        Step::Answer {
            questions: LAST,
            with: Answers::Known,
        },
        Step::Propose { accounts: None },
    ]
}

/// Something that was given in a session.
#[derive(Clone, Debug)]
struct Held<T> {
    session: usize,
    /// Whom it is about.
    login: &'static str,
    it: T,
}

/// Handle and text of each question of a round.
type Round = Vec<(String, String)>;

/// Everything that was ever given out, to whichever session, and what may be expected of each.
#[derive(Default)]
struct World {
    tokens: Vec<String>,
    users: Vec<Held<String>>,
    rounds: Vec<Held<Round>>,
    passwords: Vec<String>,
    accounts: Vec<String>,
    jobs: Vec<Held<String>>,
    keys: Vec<String>,
    /// Sessions that were ended.
    ended: HashSet<usize>,
    /// When the caller of each session was last verified.
    verified: [Option<Timestamp>; CLIENTS.len()],
    /// Keys of answers that were judged in each session.
    judged: HashSet<(usize, String)>,
    /// Keys of changes that were ordered in each session, while its caller was verified.
    ordered: HashSet<(usize, String)>,
}

/// One of those that were given; the last one if there are not so many.
fn given<T>(all: &[T], index: usize) -> Option<&T> {
    all.get(index).or(all.last())
}

/// What came of a step, for the assertions behind it.
#[derive(Default)]
struct Came {
    is_refused: bool,
    /// Whether it may have changed something.
    may_change: bool,
}

struct Attempt<'a> {
    house: &'a House,
    api: &'a Api,
    seed: u64,
    world: World,
    /// What was done so far.
    steps: Vec<(Manner, Step)>,
}

impl Attempt<'_> {
    /// Otherwise it fails, and says how it came to that.
    #[track_caller]
    fn must(&self, is_so: bool, otherwise: &str) {
        assert!(is_so, "{otherwise}; seed {}: {:#?}", self.seed, self.steps);
    }

    async fn sign_in(&mut self, rng: &mut StdRng) {
        for client in CLIENTS {
            let members = [("user", json!(client)), ("password", json!(PASSWORD))];
            let given = self.api.call(form(rng), (HERE, None), "Login", &members).await;
            let given = given.unwrap_or_else(|fault| panic!("{client} may sign in: {fault}"));
            self.world.tokens.push(given.text(&["sessionId"]));
        }
    }

    /// Whether the caller of a session is verified now.
    fn is_verified(&self, session: usize) -> bool {
        let lifetime = EvidenceConfig::default().lifetime;
        let since = self.world.verified[session];
        !self.world.ended.contains(&session) && since.is_some_and(|at| self.house.clock.now() < at.plus(lifetime))
    }

    fn key(&mut self, manner: Manner) -> String {
        if let Some(key) = manner.old_key.and_then(|index| given(&self.world.keys, index)) {
            return key.clone();
        }
        let key = format!("k{}", self.world.keys.len());
        self.world.keys.push(key.clone());
        key
    }

    fn named(&self, accounts: Option<usize>) -> Option<Value> {
        accounts
            .and_then(|index| self.world.accounts.get(index))
            .map(|handle| json!([handle]))
    }

    async fn call(&self, manner: Manner, name: &str, members: &[(&str, Value)]) -> Option<Given> {
        let token = match manner.is_forged {
            true => "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            false => &self.world.tokens[manner.session],
        };
        let called = self
            .api
            .call(manner.form, (manner.from, Some(token)), name, members)
            .await;
        match called {
            Ok(given) => {
                self.must(!manner.is_forged, "a call in a session that never was");
                self.must(manner.from == HERE, "a call from where the client is not allowed");
                self.must(!self.world.ended.contains(&manner.session), "a call after the end");
                Some(given)
            }
            Err(fault) => {
                let is_ours = ["internal", "unfinished", "busy", "invalid-request"].contains(&&*fault);
                self.must(!is_ours, &format!("{name}: {fault}"));
                None
            }
        }
    }

    /// Takes one step, and looks whether what was given may be given.
    async fn take(&mut self, manner: Manner, step: &Step) -> Came {
        let session = manner.session;
        let was_verified = self.is_verified(session);
        let mut came = Came::default();
        let answered = match step {
            Step::List { number, page } => self.list(manner, number, *page).await,
            Step::Ask { user } => self.ask(manner, *user).await,
            Step::Answer { questions, with } => self.answer(manner, *questions, *with).await,
            Step::Propose { accounts } => {
                let mut members = Vec::new();
                members.extend(self.named(*accounts).map(|accounts| ("accounts", accounts)));
                members.push(("idempotencyKey", json!(self.key(manner))));
                let given = self.call(manner, "PasswordRandomGet", &members).await;
                if let Some(given) = &given {
                    self.must(was_verified, "a password for nobody");
                    self.world.passwords.push(given.text(&["password"]));
                }
                given.is_some()
            }
            Step::Reset {
                password,
                accounts,
                chosen,
            } => {
                let mut members = Vec::new();
                members.extend(self.named(*accounts).map(|accounts| ("accounts", accounts)));
                match given(&self.world.passwords, *password) {
                    Some(handle) if !chosen => members.push(("password", json!(handle))),
                    _ => members.push(("value", json!("Tr4velling-lamp"))),
                }
                came.may_change = was_verified;
                self.change(manner, "UserPasswordSync", members).await
            }
            Step::Unlock { accounts } => {
                let mut members = Vec::new();
                members.extend(self.named(*accounts).map(|accounts| ("accounts", accounts)));
                came.may_change = was_verified;
                self.change(manner, "UserAccountsUnlock", members).await
            }
            Step::Job { job } => match given(&self.world.jobs, *job).cloned() {
                Some(job) => {
                    let given = self.call(manner, "JobGet", &[("job", json!(job.it))]).await;
                    if let Some(given) = &given {
                        self.must(job.session == session, "a job of another session");
                        self.are_known(given);
                    }
                    given.is_some()
                }
                None => true,
            },
            Step::Accounts => {
                let given = self.call(manner, "UserAccountList", &[]).await;
                if let Some(given) = &given {
                    self.must(was_verified, "accounts of nobody");
                    self.are_known(given);
                    self.world.accounts.extend(given.texts(&["accounts", "account"]));
                }
                given.is_some()
            }
            Step::Logout => {
                let is_done = self.call(manner, "Logout", &[]).await.is_some();
                if is_done {
                    self.world.ended.insert(session);
                }
                is_done
            }
            Step::Wait { seconds } => {
                self.house.clock.advance(Duration::from_secs(*seconds));
                true
            }
        };
        came.is_refused = !answered;
        came
    }

    /// Accounts are told of the one whose answers are known, and of nobody else.
    fn are_known(&self, given: &Given) {
        let names = given.texts(&["accounts", "name"]);
        self.must(names.iter().all(|name| name == KNOWN), "accounts of somebody else");
    }

    async fn list(&mut self, manner: Manner, number: &str, page: bool) -> bool {
        let mut members = vec![("digits", json!(number))];
        if page && let Some(token) = self.world.users.last() {
            members.push(("pageToken", json!(token.it)));
        }
        let Some(given) = self.call(manner, "UserIVRList", &members).await else {
            return false;
        };
        let (login, _) = PEOPLE.into_iter().find(|person| person.1 == number).expect("known");
        let held = |it| Held {
            session: manner.session,
            login,
            it,
        };
        self.world
            .users
            .extend(given.texts(&["users", "user"]).into_iter().map(held));
        true
    }

    async fn ask(&mut self, manner: Manner, user: usize) -> bool {
        let Some(user) = given(&self.world.users, user).cloned() else {
            return true;
        };
        let members = [("user", json!(user.it))];
        let Some(given) = self.call(manner, "UserQuestionsGet", &members).await else {
            return false;
        };
        self.must(
            user.session == manner.session,
            "questions for a handle of another session",
        );
        let handles = given.texts(&["questions", "question"]);
        let texts = given.texts(&["questions", "text"]);
        assert!(!handles.is_empty() && handles.len() == texts.len());
        self.world.rounds.push(Held {
            session: manner.session,
            login: user.login,
            it: handles.into_iter().zip(texts).collect(),
        });
        true
    }

    async fn answer(&mut self, manner: Manner, questions: usize, with: Answers) -> bool {
        let Some(round) = given(&self.world.rounds, questions).cloned() else {
            return true;
        };
        let answer = |(handle, text): &(String, String)| {
            let digits = match with {
                Answers::Wrong => "9999999".to_owned(),
                _ => answer_to(PEOPLE[1].1, text),
            };
            json!({"question": handle, "digits": digits})
        };
        let mut answers: Vec<Value> = round.it.iter().map(answer).collect();
        match with {
            Answers::Known | Answers::Wrong => {}
            Answers::OneMissing => drop(answers.pop()),
            Answers::OneRepeated => answers = vec![answers[0].clone(); answers.len()],
        }
        let key = self.key(manner);
        let members = [("answers", json!(answers)), ("idempotencyKey", json!(key))];
        let Some(given) = self.call(manner, "UserAnswersValidate", &members).await else {
            return false;
        };
        if given.text(&["result"]) == "passed" {
            self.must(
                round.session == manner.session,
                "answers to questions of another session",
            );
            self.must(round.login == KNOWN, "verified as somebody else");
            self.must(matches!(with, Answers::Known), "verified by wrong answers");
            // The same answers under the same key prove nothing anew.
            if self.world.judged.insert((manner.session, key)) {
                self.world.verified[manner.session] = Some(self.house.clock.now());
            }
        }
        true
    }

    async fn change(&mut self, manner: Manner, name: &str, mut members: Vec<(&'static str, Value)>) -> bool {
        let session = manner.session;
        let was_verified = self.is_verified(session);
        let key = self.key(manner);
        members.push(("idempotencyKey", json!(key)));
        let Some(given) = self.call(manner, name, &members).await else {
            return false;
        };
        let ordered = (session, key);
        self.must(
            was_verified || self.world.ordered.contains(&ordered),
            "a change for nobody",
        );
        self.are_known(&given);
        self.world.ordered.insert(ordered);
        self.world.accounts.extend(given.texts(&["accounts", "account"]));
        let job = given.text(&["job"]);
        while self.api_says_running(manner, &job).await {}
        self.world.jobs.push(Held {
            session,
            login: KNOWN,
            it: job,
        });
        true
    }

    async fn api_says_running(&self, manner: Manner, job: &str) -> bool {
        let given = self.call(manner, "JobGet", &[("job", json!(job))]).await;
        given.expect("an ordered change").text(&["status"]) == "running"
    }
}

/// Everybody has their old password, and is locked.
fn put_back(house: &House) {
    for system in [&house.mail, &house.payroll] {
        for (login, _) in &PEOPLE[..3] {
            system.put(login, "old", true);
        }
    }
}

/// Sequences that are tried; `PASSLINE_ORDERS` for more.
fn sequences() -> u64 {
    let wish = std::env::var("PASSLINE_ORDERS").ok();
    wish.and_then(|text| text.parse().ok()).unwrap_or(2_000)
}

#[tokio::test]
async fn no_order_of_calls_tells_or_changes_what_was_not_verified() {
    // No lockout in the way: whoever tries for ever must not get in either.
    let house = House::with(|config| {
        config.lockout.users.tries = 90;
        config.lockout.users.base_delay = Duration::from_secs(1);
        config.identifications_per_visit = 20;
        config.policy.history = 0;
        // Longer than evidence lives.
        config.api_idle = Duration::from_secs(20 * 60);
    })
    .await;
    let services = &house.services;
    services.add_api_client(&cli(), new_client("ivr")).await.unwrap();
    let mut trusted = new_client("trusted");
    trusted.rights = vec![Right::ChoosePassword];
    services.add_api_client(&cli(), trusted).await.unwrap();
    let api = Api::of(&house).await;
    put_back(&house);
    let (mut resets, mut unlocks, mut refused) = (0, 0, 0_u64);
    for seed in 0..sequences() {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut attempt = Attempt {
            house: &house,
            api: &api,
            seed,
            world: World::default(),
            steps: Vec::new(),
        };
        attempt.sign_in(&mut rng).await;
        let beginning = match rng.random_bool(0.3) {
            true => rightful_beginning(),
            false => Vec::new(),
        };
        let plainly = Manner {
            session: 0,
            form: form(&mut rng),
            from: HERE,
            is_forged: false,
            old_key: None,
        };
        let mut steps: Vec<_> = beginning.into_iter().map(|step| (plainly, step)).collect();
        for _ in 0..rng.random_range(4..14) {
            steps.push((manner(&mut rng), step(&mut rng)));
        }
        for (manner, step) in steps {
            attempt.steps.push((manner, step.clone()));
            let came = attempt.take(manner, &step).await;
            refused += u64::from(came.is_refused);
            let mut is_changed = false;
            for system in [&house.mail, &house.payroll] {
                for login in ["ada", "cyd"] {
                    let is_as_before = system.password(login) == "old" && system.is_locked(login);
                    attempt.must(is_as_before, "somebody else was changed");
                }
                let is_reset = system.password(KNOWN) != "old";
                let is_unlocked = !system.is_locked(KNOWN);
                resets += u32::from(is_reset);
                unlocks += u32::from(is_unlocked);
                is_changed |= is_reset || is_unlocked;
            }
            attempt.must(!is_changed || came.may_change, "changed without evidence");
            if is_changed {
                put_back(&house);
            }
        }
        for token in &attempt.world.tokens {
            // It may have ended before.
            let _ = api.call(Form::Json, (HERE, Some(token)), "Logout", &[]).await;
        }
        // A user who was locked out by all this is let in again.
        if seed % 40 == 0 {
            let released = services.release_user(&cli(), &KNOWN.parse().unwrap()).await;
            released.unwrap();
            house.clock.advance(Duration::from_secs(24 * 60 * 60));
        }
    }
    // The rightful way is among them, so that it is not for want of trying.
    assert!(
        resets > 0 && unlocks > 0 && refused > sequences() / 2,
        "{resets} resets, {unlocks} unlocks, {refused} refused"
    );
}
