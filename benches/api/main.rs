//! What the web API does under load, beside a plain axum server of the same run: `cargo bench --bench api`.
//!
//! ```text
//!  this program ── HTTPS, kept alive ──▶ `passline serve`, a house of its own in a temporary folder
//!       └───────── HTTPS, kept alive ──▶ this program again, as `peer`: axum, rustls, one answer
//! ```
//!
//! `-- requests`, `-- sessions`, `-- callers` and `-- crowded` measure a part alone; with `PASSLINE` another build of the program is measured.
//! One JSON object a line; `docs/PERFORMANCE.md` has the figures and their reading. Everything shares the cores of one
//! machine, the clients too, so ratios say more than seconds. Hashes are at their default cost.

#![expect(clippy::print_stdout, reason = "what was measured is its output")]

mod client;
mod house;
mod peer;
mod sessions;

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::client::{Connection, Target};
use crate::house::{House, PEOPLE};
use crate::sessions::{Depth, Load};

const MEASURED: Duration = Duration::from_secs(8);

/// How often what depends on the machine's mood is measured.
const REPETITIONS: usize = 3;

/// Connections where as much as possible is asked for.
const CONNECTIONS: usize = 16;

/// Callers at once where it is measured how long each of them waits.
const CALLERS: usize = 200;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.first().map(String::as_str) {
        Some("peer") => return peer::serve(&arguments[1], &arguments[2]),
        // `cargo test --benches` only wants to know that it can be built.
        _ if !arguments.iter().any(|argument| argument == "--bench") => return,
        _ => {}
    }
    let wanted = |part: &str| {
        let mut parts = arguments
            .iter()
            .filter(|argument| !argument.starts_with("--"))
            .peekable();
        parts.peek().is_none() || parts.any(|argument| argument == part)
    };
    let house = House::new();
    let peer = peer::Peer::start(&house);
    let passline = house.serve();
    let hash = hash_seconds();
    tell(json!({"measured": "argon2", "cpu_ms_per_hash": round(hash * 1e3), "people": PEOPLE}));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let api = Arc::new(Target::new(house.path(), passline.port, &house.password));
        let axum = Arc::new(Target::new(house.path(), peer.port, ""));
        for _ in 0..if wanted("requests") { REPETITIONS } else { 0 } {
            let plain = requests("axum, hello world", &axum, "/", peer.process.id()).await;
            let refused = requests("refused", &api, "/api/v1/JobGet", passline.process.id()).await;
            let listed = requests("account list", &api, "/api/v1/UserAccountList", passline.process.id()).await;
            tell(json!({"measured": "ratio to axum", "refused": round(refused / plain), "account list": round(listed / plain)}));
        }
        for (depth, hashes) in [(Depth::Verified, 2.0), (Depth::Reset, 4.0)] {
            for _ in 0..if wanted("sessions") { REPETITIONS } else { 0 } {
                let load = Load::new(CONNECTIONS, MEASURED, Duration::ZERO, depth);
                let before = passline.cpu();
                let outcome = sessions::run(&api, &load).await;
                let used = passline.cpu_since(&before);
                let share = hash * hashes * outcome.sessions as f64 / used.total;
                tell(outcome.told(&load, &used, Some(share)));
            }
        }
        // Callers think: two seconds for each call is faster than anybody keys an answer. Without a pause it is more than the
        // machine can hash: what hashes is then told to come again, and what does not should not wait for it.
        for (part, pause) in [("callers", 2_000), ("crowded", 0)] {
            if !wanted(part) {
                continue;
            }
            let pause = Duration::from_millis(pause);
            for depth in [Depth::Verified, Depth::Reset] {
                let load = Load::new(CALLERS, MEASURED.max(pause * 12), pause, depth);
                let before = passline.cpu();
                let outcome = sessions::run(&api, &load).await;
                tell(outcome.told(&load, &passline.cpu_since(&before), None));
            }
        }
    });
}

/// Requests a second over connections that are kept.
async fn requests(what: &str, target: &Arc<Target>, path: &'static str, process: u32) -> f64 {
    let before = house::cpu(process);
    let mut connections = Vec::new();
    for place in 0..CONNECTIONS {
        let mut connection = Connection::new(target).await;
        if path.ends_with("List") {
            sessions::verify(&mut connection, target, place).await;
        }
        connections.push(connection);
    }
    let begun = passline::time::monotonic();
    let asking = connections.into_iter().map(|mut connection| {
        tokio::spawn(async move {
            let mut times = Vec::new();
            while begun.elapsed() < MEASURED / 2 {
                let answer = connection.ask(path, &json!({})).await;
                assert!(
                    !matches!(answer.status, 429 | 500..),
                    "{} {}",
                    answer.status,
                    answer.body
                );
                times.push(answer.took);
            }
            times
        })
    });
    let asking: Vec<_> = asking.collect();
    let mut times = Vec::new();
    for task in asking {
        times.extend(task.await.expect("answers"));
    }
    let per_second = times.len() as f64 / begun.elapsed().as_secs_f64();
    let used = house::cpu(process).since(&before);
    tell(json!({
        "measured": "requests", "of": what, "connections": CONNECTIONS, "per_second": per_second.round(),
        "cpu_ms_per_request": round(used.total * 1e3 / times.len() as f64), "ms": sessions::distribution(&mut times),
    }));
    per_second
}

/// Processor time of one hash with Passline's default cost, of many.
fn hash_seconds() -> f64 {
    const HASHES: u32 = 100;
    let before = house::cpu(std::process::id());
    let mut hash = [0; 32];
    for _ in 0..HASHES {
        let hashed = argon2::Argon2::default().hash_password_into(b"2009", b"salt of a bench.", &mut hash);
        hashed.expect("a hash");
    }
    house::cpu(std::process::id()).since(&before).total / f64::from(HASHES)
}

fn tell(line: Value) {
    println!("{line}");
}

fn round(number: f64) -> f64 {
    (number * 1e3).round() / 1e3
}
