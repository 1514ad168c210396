//! kill -9 at the worst moments, and the truth after the restart.
//!
//! How the moment is found: the directories live in a SQLite file of their own. While the test holds its write lock, a
//! reset hangs after its intent was committed; while it holds the lock of Passline's own database, a reset takes effect
//! and nobody can write that down.

use passline::integration::target::Verdict;

use crate::support::caller::Caller;
use crate::support::database::Database;
use crate::support::server::{House, Server, Settings};

const OPEN: &str = "select count(*) from resets where closed_ms is null";
const OUTCOMES: &str = "select target, result, proof from reset_outcomes join accounts on accounts.id = account_id \
                        order by target";

fn own_database(house: &House) -> Database {
    house.database()
}

fn directory_database(house: &House) -> Database {
    Database::open(&house.path().join("data/directory.db"))
}

/// Calls, and accepts a password while the directories are locked; back when the intent is committed.
fn accept_while_locked(house: &House, server: &Server, choice: &str, directory: &mut Database) {
    let mut caller = Caller::dial(server);
    caller.verify();
    caller.press(choice);
    caller.hear_characters(1);
    directory.lock();
    caller.press("4");
    let mut own = own_database(house);
    own.wait_for_value(OPEN, "1");
    own.close();
}

fn count_events(database: &mut Database, name: &str) -> String {
    database.value(&format!("select count(*) from audit_links where name = '{name}'"))
}

fn assert_audit_is_intact(house: &House) {
    let verified = house.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn a_reset_that_took_effect_before_the_crash_is_recorded_after_it() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let mut directory = directory_database(&house);
    accept_while_locked(&house, &server, "1", &mut directory);
    let mut own = own_database(&house);
    own.lock();
    directory.unlock();
    directory.wait_for_value("select count(*) from directory_accounts where revision = 2", "3");
    server.kill();
    own.unlock();
    assert_eq!(own.value(OPEN), "1");
    assert_eq!(
        own.value("select count(*) from reset_outcomes where result is null"),
        "3"
    );

    let server = house.serve();
    own.wait_for_value(OPEN, "0");
    server.stop();
    let done = |target: &str| vec![target.to_owned(), "done".to_owned(), "marker".to_owned()];
    assert_eq!(own.rows(OUTCOMES), ["active-directory", "mail", "payroll"].map(done));
    assert_eq!(count_events(&mut own, "ET_ADMIN_RESET_INTENT"), "1");
    assert_eq!(count_events(&mut own, "ET_ADMIN_RESET_SUCCESS"), "3");
    assert_audit_is_intact(&house);
    for (target, account) in [
        ("active-directory", "aberger"),
        ("mail", "anna.berger"),
        ("payroll", "p4711"),
    ] {
        assert_eq!(house.verify_old(target, account), Verdict::Rejected, "{target}");
    }
}

#[test]
fn a_reset_that_never_reached_the_directory_stays_open_until_it_is_certain_and_is_then_not_done() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let mut directory = directory_database(&house);
    accept_while_locked(&house, &server, "22#", &mut directory);
    server.kill();
    directory.unlock();

    // A request of the dead process might still be under way: too early to say.
    let server = house.serve();
    let mut own = own_database(&house);
    assert_eq!(own.value(OPEN), "1");
    server.kill();

    // As if the restart came two minutes later.
    own.run("update resets set created_ms = created_ms - 120000, lease_until_ms = lease_until_ms - 120000");
    let server = house.serve();
    own.wait_for_value(OPEN, "0");
    server.stop();
    assert_eq!(own.rows(OUTCOMES), [["mail", "not_done", "marker"].map(str::to_owned)]);
    assert_eq!(count_events(&mut own, "ET_ADMIN_RESET_INTENT"), "1");
    assert_eq!(count_events(&mut own, "ET_ADMIN_RESET_SUCCESS"), "0");
    assert_eq!(count_events(&mut own, "ET_ADMIN_RESET_FAILURE"), "1");
    assert_audit_is_intact(&house);
    assert_eq!(house.verify_old("mail", "anna.berger"), Verdict::Accepted);
}

#[test]
fn a_crash_while_questions_are_asked_saves_no_try() {
    let house = House::new(&Settings {
        configuration: "[lockout.users]\ntries = 1\n",
        ..Settings::default()
    });
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.press("4711#");
    caller.hear("question.start_year");
    server.kill();

    let server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.press("4711#2009#");
    caller.hear("question.locked_out");
    caller.hear_hang_up();
    server.stop();
    assert_audit_is_intact(&house);
}
