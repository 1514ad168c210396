//! Callers, one session after the other, each as somebody else.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use passline::time::monotonic;
use serde_json::{Value, json};

use crate::client::{Connection, Target};
use crate::house::{Cpu, PEOPLE, digits};

/// How far callers go.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Depth {
    /// Verified, and their accounts listed.
    Verified,
    /// A new password, set.
    Reset,
}

/// How many callers come, and how long they think.
pub(crate) struct Load {
    callers: usize,
    length: Duration,
    pause: Duration,
    depth: Depth,
}

impl Load {
    pub(crate) fn new(callers: usize, length: Duration, pause: Duration, depth: Depth) -> Self {
        assert!(callers <= PEOPLE, "each caller is somebody else");
        Self {
            callers,
            length,
            pause,
            depth,
        }
    }
}

/// What came of them.
#[derive(Default)]
pub(crate) struct Outcome {
    pub(crate) sessions: u64,
    seconds: f64,
    times: BTreeMap<&'static str, Vec<Duration>>,
    /// Answers of "come again", by call.
    again: BTreeMap<String, u64>,
}

impl Outcome {
    fn add(&mut self, other: Self) {
        self.sessions += other.sessions;
        for (name, times) in other.times {
            self.times.entry(name).or_default().extend(times);
        }
        for (name, count) in other.again {
            *self.again.entry(name).or_default() += count;
        }
    }

    pub(crate) fn told(mut self, load: &Load, used: &Cpu, argon2_share: Option<f64>) -> Value {
        let mut without: Vec<Duration> = Vec::new();
        for (_, times) in self.times.iter().filter(|(name, _)| !HASHING.contains(name)) {
            without.extend(times);
        }
        let calls: Value = self
            .times
            .iter_mut()
            .map(|(name, times)| ((*name).to_owned(), distribution(times)))
            .collect();
        json!({
            "measured": "sessions", "depth": format!("{:?}", load.depth).to_lowercase(), "callers": load.callers,
            "pause_ms": load.pause.as_millis(), "sessions": self.sessions,
            "per_second": crate::round(self.sessions as f64 / self.seconds),
            "cpu_seconds": crate::round(used.total), "cpu_by_thread": used.by_thread(),
            "argon2_share": argon2_share.map(crate::round), "come_again": self.again,
            "ms_without_hashing": distribution(&mut without), "ms": calls,
        })
    }
}

/// Calls that wait for a slow hash: of the API user's password, of answers, of a password that is proposed or set.
const HASHING: [&str; 4] = ["Login", "UserAnswersValidate", "PasswordRandomGet", "UserPasswordSync"];

/// Sorts them.
pub(crate) fn distribution(times: &mut [Duration]) -> Value {
    times.sort_unstable();
    let at = |share: f64| {
        let index = ((times.len() as f64 * share) as usize).min(times.len().saturating_sub(1));
        times.get(index).map(|time| crate::round(time.as_secs_f64() * 1e3))
    };
    json!({"count": times.len(), "p50": at(0.5), "p95": at(0.95), "p99": at(0.99), "max": at(1.0)})
}

/// Lets the callers come for as long as the load lasts.
pub(crate) async fn run(target: &Arc<Target>, load: &Load) -> Outcome {
    let mut connections = Vec::new();
    for _ in 0..load.callers {
        connections.push(Connection::new(target).await);
    }
    let begun = monotonic();
    let (length, pause, depth) = (load.length, load.pause, load.depth);
    let callers = load.callers as u32;
    let tasks = connections.into_iter().enumerate().map(|(place, connection)| {
        let target = Arc::clone(target);
        tokio::spawn(async move {
            let mut caller = Caller {
                connection,
                outcome: Outcome::default(),
                pause,
                until: begun + length,
            };
            // They do not all come in one moment.
            tokio::time::sleep(pause * 6 * place as u32 / callers).await;
            while caller.session(&target, place, depth).await.is_some() {
                caller.outcome.sessions += 1;
            }
            caller.outcome
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut outcome = Outcome::default();
    for task in tasks {
        outcome.add(task.await.expect("a caller"));
    }
    outcome.seconds = begun.elapsed().as_secs_f64();
    outcome
}

/// Makes this connection's session that of a verified caller.
pub(crate) async fn verify(connection: &mut Connection, target: &Target, place: usize) {
    let mut login = json!({"user": "ivr", "password": target.password});
    for path in ["Login", "UserIVRList", "UserQuestionsGet", "UserAnswersValidate"] {
        let answer = connection.ask(&format!("/api/v1/{path}"), &login).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        login = next(connection, &answer.body, place);
    }
}

/// What is asked after this answer.
fn next(connection: &mut Connection, body: &Value, place: usize) -> Value {
    if let Some(session) = body["sessionId"].as_str() {
        connection.session = Some(session.to_owned());
        json!({"digits": digits(place)})
    } else if body["users"].is_array() {
        json!({"user": body["users"][0]["user"]})
    } else if body["questions"].is_array() {
        // The question's handle is of this session alone.
        let question = &body["questions"][0]["question"];
        json!({"answers": [{"question": question, "digits": "2009"}], "idempotencyKey": question})
    } else {
        assert!(body["result"].is_null() || body["result"] == "passed", "{body}");
        json!({})
    }
}

struct Caller {
    connection: Connection,
    outcome: Outcome,
    pause: Duration,
    until: Instant,
}

impl Caller {
    /// One session from the beginning to the end; nothing when time is up before.
    async fn session(&mut self, target: &Target, place: usize, depth: Depth) -> Option<()> {
        self.connection.session = None;
        let mut body = json!({"user": "ivr", "password": target.password});
        let walk = [
            "Login",
            "UserIVRList",
            "UserQuestionsGet",
            "UserAnswersValidate",
            "UserAccountList",
        ];
        for name in walk {
            let answer = self.call(name, &body).await?;
            body = next(&mut self.connection, &answer, place);
        }
        if let Depth::Reset = depth {
            let proposed = self.call("PasswordRandomGet", &json!({})).await?;
            let order = json!({"password": proposed["password"], "idempotencyKey": proposed["password"]});
            let mut job = self.call("UserPasswordSync", &order).await?;
            while job["status"] == "running" {
                job = self.call("JobGet", &json!({"job": job["job"]})).await?;
            }
            assert_eq!(job["status"], "done", "{job}");
        }
        self.call("Logout", &json!({})).await.map(|_| ())
    }

    /// A call that is carried out, if need be when it is asked for again.
    async fn call(&mut self, name: &'static str, body: &Value) -> Option<Value> {
        while monotonic() < self.until {
            let answer = self.connection.ask(&format!("/api/v1/{name}"), body).await;
            match answer.status {
                200..300 => {
                    self.outcome.times.entry(name).or_default().push(answer.took);
                    tokio::time::sleep(self.pause).await;
                    return Some(answer.body);
                }
                503 => {
                    *self.outcome.again.entry(name.to_owned()).or_default() += 1;
                    tokio::time::sleep(Duration::from_millis(500)).await;
                }
                status => panic!("{name}: {status} {}", answer.body),
            }
        }
        None
    }
}
