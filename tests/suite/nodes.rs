//! Two nodes, which are two processes, on one PostgreSQL database: what one of them has counted, used or left open is so
//! for the other.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::support::caller::Caller;
use crate::support::database::Database;
use crate::support::database_server;
use crate::support::server::{House, Server, Settings};
use crate::support::{PATIENCE, wait_for};

const OPEN: &str = "select count(*) from resets where closed_ms is null";
const OUTCOMES: &str = "select target, result, proof from reset_outcomes join accounts on accounts.id = account_id \
                        order by target";

fn shared(configuration: &str) -> House {
    House::new(&Settings {
        configuration,
        on_server: true,
        ..Settings::default()
    })
}

fn directories(house: &House) -> Database {
    Database::open(&house.path().join("data/directory.db"))
}

fn count_events(database: &mut Database, name: &str) -> String {
    database.value(&format!("select count(*) from audit_links where name = '{name}'"))
}

fn assert_audit_is_intact(house: &House) {
    let verified = house.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

/// How often each event was told to the log of any of the nodes.
fn told(nodes: &[&Server]) -> BTreeMap<u64, usize> {
    let mut told = BTreeMap::new();
    for log in nodes.iter().map(|node| node.log()) {
        let sequences = log
            .split("event.sequence=")
            .skip(1)
            .filter_map(|rest| rest.split_whitespace().next()?.parse().ok());
        for sequence in sequences {
            *told.entry(sequence).or_default() += 1;
        }
    }
    told
}

/// Calls and accepts a password while the directories are locked; back when the intent is committed.
fn accept_while_locked(house: &House, node: &Server, choice: &str, directory: &mut Database) -> Caller {
    let mut caller = Caller::dial(node);
    caller.verify();
    caller.press(choice);
    caller.hear_characters(1);
    directory.lock();
    caller.press("4");
    house.database().wait_for_value(OPEN, "1");
    caller
}

fn let_pass(time: Duration) {
    std::thread::sleep(time);
}

/// Longer than the pause between two looks for changes that are open.
const A_LOOK: Duration = Duration::from_secs(7);

#[test]
fn wrong_answers_at_two_nodes_lock_out_at_both() {
    let house = shared("[lockout.users]\ntries = 4\n");
    let nodes = [house.serve_node("a"), house.serve_node("b")];
    for node in &nodes {
        let mut caller = Caller::dial(node);
        caller.press("4711#1999#");
        caller.hear("question.another_round");
        caller.press("1998#");
        caller.hear_hang_up();
    }
    for node in &nodes {
        let mut caller = Caller::dial(node);
        caller.press("4711#2009#");
        caller.hear("question.locked_out");
        caller.hear_hang_up();
    }
    let mut own = house.database();
    assert_eq!(count_events(&mut own, "ET_USER_LOCKOUT"), "1");
    for node in nodes {
        node.stop();
    }
    assert_audit_is_intact(&house);
}

#[test]
fn both_nodes_write_one_audit_log_and_tell_each_event_once() {
    const CALLS: u64 = 12;
    let house = shared("[lockout.users]\ntries = 50\n[lockout.callers]\ntries = 50\n");
    let nodes = [house.serve_node("a"), house.serve_node("b")];
    std::thread::scope(|scope| {
        for node in nodes.iter().cycle().take(6) {
            scope.spawn(move || {
                for _ in 0..CALLS / 6 {
                    let mut caller = Caller::dial(node);
                    caller.verify();
                    caller.press("9");
                    caller.hear("goodbye.thanks");
                    caller.hear_hang_up();
                }
            });
        }
    });
    let mut own = house.database();
    own.wait_for_value(
        "select count(*) from calls where ended_ms is not null",
        &CALLS.to_string(),
    );
    own.wait_for_value("select count(*) from outbox where delivered_ms is null", "0");
    let last: u64 = own.value("select sequence from audit_head").parse().expect("a number");
    assert!(last > CALLS * 5, "{last}");
    assert_eq!(own.value("select count(*) from audit_links"), last.to_string());
    let told = told(&[&nodes[0], &nodes[1]]);
    // The first ones were told by nobody: what was imported before is told by whichever node came first.
    let expected: BTreeMap<u64, usize> = (1..=last).map(|sequence| (sequence, 1)).collect();
    assert_eq!(told, expected);
    for node in &nodes {
        assert!(node.log().contains("event.sequence="), "both have told some");
    }
    for node in nodes {
        node.stop();
    }
    assert_audit_is_intact(&house);
}

#[test]
fn what_a_node_had_under_way_when_it_was_killed_is_resolved_by_the_other() {
    let house = shared("");
    let (dying, other) = (house.serve_node("a"), house.serve_node("b"));
    let mut directory = directories(&house);
    drop(accept_while_locked(&house, &dying, "1", &mut directory));
    let mut own = house.database();
    own.lock();
    directory.unlock();
    directory.wait_for_value("select count(*) from directory_accounts where revision = 2", "3");
    dying.kill();
    own.unlock();

    // The lease of the dead node has not run out yet.
    let_pass(A_LOOK);
    assert_eq!(
        own.rows("select node, closed_ms from resets"),
        [["a", ""].map(str::to_owned)]
    );

    // As if half a minute had gone by.
    own.run("update resets set lease_until_ms = lease_until_ms - 30000");
    own.wait_for_value(OPEN, "0");
    let done = |target: &str| vec![target.to_owned(), "done".to_owned(), "marker".to_owned()];
    assert_eq!(own.rows(OUTCOMES), ["active-directory", "mail", "payroll"].map(done));
    assert_eq!(own.value("select node from resets"), "b");
    assert_eq!(count_events(&mut own, "ET_ADMIN_RESET_INTENT"), "1");
    assert_eq!(count_events(&mut own, "ET_ADMIN_RESET_SUCCESS"), "3");
    own.wait_for_value(
        "select count(*) from outbox o join audit_links a on a.sequence = o.sequence \
         where a.name = 'ET_ADMIN_RESET_SUCCESS' and o.delivered_ms is not null",
        "3",
    );
    other.stop();
    assert_audit_is_intact(&house);
}

#[test]
fn a_change_of_a_node_that_is_up_is_left_to_it() {
    let house = shared("");
    let (busy, other) = (house.serve_node("a"), house.serve_node("b"));
    let mut directory = directories(&house);
    let mut caller = accept_while_locked(&house, &busy, "22#", &mut directory);
    let mut own = house.database();
    let owner = own.value("select owner from resets");
    let_pass(A_LOOK);
    assert_eq!(own.value("select owner from resets"), owner);
    directory.unlock();
    caller.hear("reset.everywhere");
    caller.hang_up();
    assert_eq!(own.value("select owner from resets"), owner);
    let outcomes = own.rows("select result, node from reset_outcomes join resets on resets.id = reset_id");
    assert_eq!(outcomes, [["done", "a"].map(str::to_owned)]);
    assert_eq!(count_events(&mut own, "ET_ADMIN_RESET_SUCCESS"), "1");
    busy.stop();
    other.stop();
    assert_audit_is_intact(&house);
}

#[test]
fn a_second_node_of_the_same_name_waits_for_the_end_of_the_first() {
    let house = shared("");
    let first = house.serve();
    std::thread::scope(|scope| {
        let second = scope.spawn(|| house.serve_node("passline"));
        first.wait_for_log("another process has the name of this node");
        assert!(!second.is_finished());
        first.signal(Signal::SIGKILL);
        drop(second.join().expect("it starts").stop());
    });
}

#[test]
fn a_node_without_its_database_is_not_ready_and_recovers_by_itself() {
    let house = shared("");
    let node = house.serve_node("a");
    let ready = |status: u16| {
        wait_for(&format!("readiness {status}"), PATIENCE, || {
            (node.page("/health/ready").0 == status).then_some(())
        });
    };
    let mut admin = Database::on_server("postgres");
    let name = house.on_server().expect("a database").to_owned();
    admin.run(&format!("alter database {name} allow_connections false"));
    admin.run(&format!(
        "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'"
    ));
    ready(503);
    admin.run(&format!("alter database {name} allow_connections true"));
    ready(200);
    let mut caller = Caller::dial(&node);
    caller.verify();
    caller.hang_up();
    let log = node.log();
    node.stop();
    assert!(!log.contains("Svc-Pass"), "the password is in no log");
    assert_audit_is_intact(&house);
}

/// A cable to the server, on a port of its own. Whoever is connected when it is cut hears nothing any more, not even the end;
/// the server sees the end, as it would after a while.
struct Cable {
    port: u16,
    cuts: Arc<AtomicU32>,
    far_ends: Arc<Mutex<Vec<TcpStream>>>,
}

impl Cable {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let cable = Self {
            port: listener.local_addr().expect("bound").port(),
            cuts: Arc::default(),
            far_ends: Arc::default(),
        };
        let (cuts, far_ends) = (cable.cuts.clone(), cable.far_ends.clone());
        std::thread::spawn(move || {
            for near in listener.incoming() {
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(("127.0.0.1", port))) else {
                    continue;
                };
                let copy = |end: &TcpStream| end.try_clone().expect("a socket");
                far_ends.lock().expect("no panic").push(copy(&far));
                for (from, into) in [(copy(&near), copy(&far)), (far, near)] {
                    let cuts = cuts.clone();
                    std::thread::spawn(move || pass(from, into, &cuts));
                }
            }
        });
        cable
    }

    fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::SeqCst);
        for far in self.far_ends.lock().expect("no panic").drain(..) {
            let _ = far.shutdown(Shutdown::Both);
        }
    }
}

fn pass(mut from: TcpStream, mut into: TcpStream, cuts: &AtomicU32) {
    let before = cuts.load(Ordering::SeqCst);
    let mut buffer = [0; 16_384];
    loop {
        let passed = match from.read(&mut buffer) {
            Ok(length) => length > 0 && into.write_all(&buffer[..length]).is_ok(),
            Err(_) => false,
        };
        if cuts.load(Ordering::SeqCst) != before {
            // Closed sockets would tell.
            return std::mem::forget((from, into));
        }
        if !passed {
            let _ = into.shutdown(Shutdown::Both);
            return;
        }
    }
}

/// As behind a network that swallows everything: nothing is refused, and nothing is answered.
#[test]
fn connections_without_an_answer_are_given_up_and_replaced() {
    let house = shared("");
    let port = database_server::socket().1;
    let cable = Cable::to(port);
    let file = house.path().join("passline.toml");
    let configuration = std::fs::read_to_string(&file).expect("a configuration");
    let by_cable = configuration.replace(&format!("localhost:{port}"), &format!("localhost:{}", cable.port));
    assert_ne!(configuration, by_cable);
    std::fs::write(&file, by_cable).expect("written");
    let node = house.serve_node("a");
    cable.cut();
    for status in [503, 200] {
        wait_for(&format!("readiness {status}"), PATIENCE, || {
            (node.page("/health/ready").0 == status).then_some(())
        });
    }
    let mut caller = Caller::dial(&node);
    caller.verify();
    caller.hang_up();
    node.stop();
    assert_audit_is_intact(&house);
}
