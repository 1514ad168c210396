//! The database: a look-up, a step of a visit, and steps of several callers at once, each with its lockouts, audit link and
//! outbox row. On SQLite, and with `PASSLINE_BENCH_DATABASE=FOLDER:PORT` (the socket of a server to be
//! thrown away, such as that of `tests/backends/postgresql.sh`) on PostgreSQL.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use passline::identity::ids::{SessionId, UserId};
use passline::identity::keypad::KeypadId;
use passline::identity::lockout::SubjectKey;
use passline::identity::pepper::{Pepper, PepperId, Peppers};
use passline::identity::user::{User, UserStatus};
use passline::store::lockout::{self, SubjectKind};
use passline::store::visit::{self, VisitRow};
use passline::store::{Config, ServerAddress, ServerConfig, Store, audit, outbox, user};
use passline::time::Timestamp;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

const USERS: u128 = 100_000;
const AT_ONCE: u64 = 8;
const NOW: Timestamp = Timestamp::from_millis(1_795_000_000_000);

pub(crate) fn all(criterion: &mut Criterion) {
    let runtime = Runtime::new().expect("a runtime");
    let folder = tempfile::tempdir().expect("a folder");
    measure(
        criterion,
        &runtime,
        "sqlite",
        &Config::new(folder.path().join("passline.db")),
    );
    if let Ok(place) = std::env::var("PASSLINE_BENCH_DATABASE") {
        measure(criterion, &runtime, "postgresql", &Config::on(socket(&place)));
    }
}

/// `FOLDER:PORT`, as `scripts/test-postgresql` has it; as the superuser.
pub(crate) fn socket(place: &str) -> ServerConfig {
    let (folder, port) = place.rsplit_once(':').expect("folder and port");
    ServerConfig {
        address: ServerAddress::Socket {
            folder: folder.into(),
            port: port.parse().expect("a port"),
        },
        database: "postgres".to_owned(),
        user: "postgres".to_owned(),
        password: None,
    }
}

fn measure(criterion: &mut Criterion, runtime: &Runtime, name: &str, config: &Config) {
    let store = runtime.block_on(filled(config));
    let digits = KeypadId::from_number("100777").expect("digits");
    let look_up = async || {
        let mut tx = store.read().await.expect("a transaction");
        user::by_keypad_id(&mut tx, &digits, 9).await.expect("users").len()
    };
    let title = |what: &str| format!("store/{name}/{what}");
    criterion.bench_function(&title("look-up by keypad digits"), |bencher| {
        bencher.iter(|| black_box(runtime.block_on(look_up())));
    });
    criterion.bench_function(&title("a step of a visit"), |bencher| {
        bencher.iter(|| runtime.block_on(step(&store, 0)));
    });
    let mut group = criterion.benchmark_group(title("steps of 8 callers"));
    group.throughput(Throughput::Elements(AT_ONCE));
    group.bench_function("at once", |bencher| {
        bencher.iter(|| {
            runtime.block_on(async {
                let mut steps = JoinSet::new();
                for caller in 0..AT_ONCE {
                    let store = store.clone();
                    steps.spawn(async move { step(&store, caller.into()).await });
                }
                steps.join_all().await
            })
        });
    });
    group.finish();
    runtime.block_on(store.close());
}

async fn filled(config: &Config) -> Store {
    let store = Store::open(config).await.expect("a database");
    let mut tx = store.write().await.expect("a transaction");
    for number in 0..USERS {
        let one = User {
            id: UserId::from_uuid(uuid::Uuid::from_u128(number)),
            login: format!("user{number}").parse().expect("a login"),
            display_name: String::new(),
            employee_number: Some((100_000 + number).to_string().parse().expect("a number")),
            other_numbers: Vec::new(),
            discriminator: None,
            status: UserStatus::Active,
            language: None,
        };
        user::insert(&mut tx, &one, NOW).await.expect("inserted");
    }
    for caller in 0..AT_ONCE {
        let row = VisitRow {
            id: session(caller.into()),
            door: "phone".to_owned(),
            state: "{}".to_owned(),
            version: 0,
            started: NOW,
            expires: NOW.plus(Duration::from_secs(1_800)),
            ended: None,
        };
        visit::insert(&mut tx, &row).await.expect("inserted");
    }
    tx.commit().await.expect("committed");
    store
}

fn session(caller: u128) -> SessionId {
    SessionId::from_uuid(uuid::Uuid::from_u128(caller))
}

/// What judging an answer writes.
async fn step(store: &Store, caller: u128) {
    let peppers = Peppers::single(Pepper::new(PepperId(1), [7; 32]));
    let mut tx = store.write().await.expect("a transaction");
    let found = visit::find_for_update(&mut tx, session(caller)).await.expect("a visit");
    assert!(found.is_some());
    let user = SubjectKey::user(&peppers, UserId::from_uuid(uuid::Uuid::from_u128(caller)));
    let number = SubjectKey::caller(&peppers, "trunk", Some(&format!("+1555{caller}")));
    for (key, kind) in [(user, SubjectKind::User), (number, SubjectKind::Caller)] {
        let state = lockout::find_for_update(&mut tx, &key, kind).await.expect("a lockout");
        lockout::put(&mut tx, &key, &state).await.expect("stored");
    }
    visit::put_state(&mut tx, session(caller), "{\"at\":\"arrived\"}")
        .await
        .expect("stored");
    let entries = vec![("ET_ANSWER_SUCCESS", "{\"event\":\"ET_ANSWER_SUCCESS\"}".to_owned())];
    let links = audit::append(&mut tx, NOW, entries).await.expect("a link");
    let sequences: Vec<i64> = links.iter().map(|link| link.entry.sequence as i64).collect();
    outbox::enqueue(&mut tx, &["log".to_owned()], &sequences, NOW)
        .await
        .expect("queued");
    tx.commit().await.expect("committed");
}
