//! Every order of requests, wrong ones mostly: nobody but a verified person's session changes that person's accounts.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::*;

/// What somebody may send who has two sessions, knows everything that both were ever given, and the answers of `bob`
/// alone.
#[derive(Clone, Debug)]
enum Step {
    List {
        entry: &'static str,
    },
    Ask {
        user: usize,
    },
    Answer {
        questions: usize,
        as_bob: bool,
    },
    Propose {
        account: Option<usize>,
    },
    Reset {
        password: usize,
        account: Option<usize>,
        chosen: bool,
    },
    Unlock {
        account: Option<usize>,
    },
    Job {
        job: usize,
    },
    Accounts,
    End,
}

fn step(rng: &mut StdRng) -> Step {
    let account = |rng: &mut StdRng| rng.random_bool(0.5).then(|| rng.random_range(0..8));
    match rng.random_range(0..16) {
        0..3 => Step::List {
            entry: ["1001", "1002", "7777"][rng.random_range(0..3)],
        },
        3..5 => Step::Ask {
            user: rng.random_range(0..8),
        },
        5..8 => Step::Answer {
            questions: rng.random_range(0..4),
            as_bob: rng.random_bool(0.7),
        },
        8 | 9 => Step::Propose { account: account(rng) },
        10 | 11 => Step::Reset {
            password: rng.random_range(0..8),
            account: account(rng),
            chosen: rng.random_bool(0.3),
        },
        12 => Step::Unlock { account: account(rng) },
        13 => Step::Job {
            job: rng.random_range(0..4),
        },
        14 => Step::Accounts,
        _ if rng.random_bool(0.2) => Step::End,
        _ => Step::Accounts,
    }
}

/// Everything that was ever given out, to whichever session.
#[derive(Default)]
struct Known {
    users: Vec<Handle>,
    questions: Vec<Vec<(Handle, Question)>>,
    passwords: Vec<Handle>,
    accounts: Vec<Handle>,
    jobs: Vec<Handle>,
    keys: usize,
}

/// One of those that were given; the last one if there are not so many.
fn given<T>(all: &[T], index: usize) -> Option<&T> {
    all.get(index).or(all.last())
}

/// The way of the one whose answers are known, on the first session: from there on everything may go wrong as well.
fn rightful_beginning() -> Vec<Step> {
    const LAST: usize = usize::MAX;
    vec![
        Step::List { entry: "1002" },
        Step::Ask { user: LAST },
        Step::Answer {
            questions: LAST,
            as_bob: true,
        },
        Step::Propose { account: None },
    ]
}

impl Known {
    fn named(&self, account: Option<usize>) -> Option<Vec<Handle>> {
        account
            .and_then(|index| self.accounts.get(index))
            .map(|handle| vec![handle.clone()])
    }

    fn next_key(&mut self) -> IdempotencyKey {
        self.keys += 1;
        key(&format!("k{}", self.keys))
    }

    async fn take(&mut self, session: &ApiSession, step: &Step) -> Result<(), ServiceError> {
        let visit = &session.visit;
        match step {
            Step::List { entry } => {
                if let Candidates::Listed(listed) = visit.candidates(&digits(entry), None, None).await? {
                    self.users.extend(listed.into_iter().map(|candidate| candidate.handle));
                }
            }
            Step::Ask { user } => {
                if let Some(user) = given(&self.users, *user)
                    && let RoundAsked::Ask(asked) = visit.ask_all(user).await?
                {
                    self.questions.push(asked);
                }
            }
            Step::Answer { questions, as_bob } => {
                if let Some(asked) = given(&self.questions, *questions) {
                    let number = if *as_bob { "1002" } else { "9999" };
                    visit.answer_all(&right_answers(number, asked), None).await?;
                }
            }
            Step::Propose { account } => {
                let evidence = visit.evidence().await?;
                let named = self.named(*account);
                let proposed = visit
                    .propose_and_keep(&evidence, named.as_deref(), &session.token, None)
                    .await?;
                if let Proposed::Proposed(proposal) = proposed {
                    self.passwords.extend(Handle::parse(proposal.name()));
                }
            }
            Step::Reset {
                password,
                account,
                chosen,
            } => {
                let password = match (chosen, given(&self.passwords, *password)) {
                    (false, Some(handle)) => NewPassword::Proposed(visit.kept_proposal(handle, &session.token).await?),
                    _ => NewPassword::Chosen(Secret::new("Tr4velling-lamp".to_owned())),
                };
                let order = ResetOrder {
                    accounts: self.named(*account),
                    password,
                    expiry: crate::integration::target::Expiry::AtNextSignIn,
                    ticket: None,
                    key: self.next_key(),
                };
                let report = visit.order_reset(visit.evidence().await, order, PATIENTLY).await?;
                self.jobs.push(report.handle);
                self.accounts
                    .extend(report.accounts.into_iter().map(|account| account.handle));
            }
            Step::Unlock { account } => {
                let order = UnlockOrder {
                    accounts: self.named(*account),
                    ticket: None,
                    key: self.next_key(),
                };
                let report = visit.order_unlock(visit.evidence().await, order, PATIENTLY).await?;
                self.jobs.push(report.handle);
            }
            Step::Job { job } => {
                if let Some(job) = given(&self.jobs, *job) {
                    visit.job(job).await?;
                }
            }
            Step::Accounts => {
                let evidence = visit.evidence().await?;
                let accounts = visit.accounts(&evidence, PATIENTLY).await?;
                self.accounts.extend(accounts.into_iter().map(|account| account.handle));
            }
            Step::End => visit.end().await?,
        }
        Ok(())
    }
}

/// Sequences that are tried; `PASSLINE_ORDERS` for more.
fn sequences() -> u64 {
    std::env::var("PASSLINE_ORDERS")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(2_000)
}

#[tokio::test]
async fn no_order_of_requests_resets_what_was_not_verified() {
    // No lockout in the way: whoever tries for ever must not get in either.
    let house = House::with(|config| {
        config.lockout.users.tries = 90;
        config.lockout.users.base_delay = Duration::from_secs(1);
        config.identifications_per_visit = 20;
        config.policy.history = 0;
    })
    .await;
    add_client(&house.services, "ivr").await;
    let (mut resets_of_bob, mut refused) = (0, 0_u64);
    for seed in 0..sequences() {
        let mut rng = StdRng::seed_from_u64(seed);
        let sessions = [session(&house.services).await, session(&house.services).await];
        let mut known = Known::default();
        let mut steps = Vec::new();
        let beginning = match rng.random_bool(0.3) {
            true => rightful_beginning(),
            false => Vec::new(),
        };
        let beginning = beginning.into_iter().map(|step| (0, step));
        let rest = rng.random_range(4..14);
        let rest: Vec<_> = (0..rest)
            .map(|_| (usize::from(rng.random_bool(0.4)), step(&mut rng)))
            .collect();
        for (which, step) in beginning.chain(rest) {
            steps.push((which, step.clone()));
            refused += u64::from(known.take(&sessions[which], &step).await.is_err());
        }
        for system in [&house.mail, &house.payroll] {
            assert_eq!(system.password("ada"), "old", "seed {seed}: {steps:?}");
            assert_eq!(system.password("cyd"), "old", "seed {seed}: {steps:?}");
            if system.password("bob") != "old" {
                resets_of_bob += 1;
                system.put("bob", "old", false);
            }
        }
        for session in &sessions {
            session.visit.end().await.unwrap();
        }
        // A user who was locked out by all this is let in again.
        if seed % 40 == 0 {
            house
                .services
                .release_user(&cli(), &"bob".parse().unwrap())
                .await
                .unwrap();
            house.clock.advance(Duration::from_secs(24 * 60 * 60));
        }
    }
    // The rightful way is among them, so that it is not for want of trying.
    assert!(
        resets_of_bob > 0 && refused > sequences() / 2,
        "{resets_of_bob} resets, {refused} refused"
    );
}
