//! Faults of the world around a running program: what is done to it, and what is seen.
//!
//! | fault | where else it is shown |
//! |---|---|
//! | loss, reordering, duplication, jitter, an outage of a second | `lossy` |
//! | kill -9 in the middle of a reset | `crash` |
//! | SIGTERM with calls in progress, a broken call flow | `calls` |
//! | the wall clock and what is in the database | `passline::service::tests::clock` |
//! | target systems that hang, die or answer late | `passline::service::tests::faults` |

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sched::{CloneFlags, unshare};
use passline::call::phone::{Dialling, Phone, PhoneError};

use crate::support::caller::Caller;
use crate::support::database::Database;
use crate::support::plain_caller::PlainCaller;
use crate::support::server::{House, Server, Settings};
use crate::support::{block_on, wait_for};

const SOON: Duration = Duration::from_secs(20);

/// A call as any other: whoever makes it is identified and verified.
fn call_as_usual(server: &Server) {
    let mut caller = Caller::dial(server);
    caller.verify();
    caller.hang_up();
}

fn readiness(server: &Server) -> u16 {
    server.page("/health/ready").0
}

fn wait_until_ready(server: &Server, status: u16) {
    wait_for(&format!("readiness {status}"), SOON, || {
        (readiness(server) == status).then_some(())
    });
}

fn own_database(house: &House) -> Database {
    house.database()
}

fn ends(house: &House) -> Vec<String> {
    let rows = own_database(house).rows("select end_reason from calls order by started_ms");
    rows.into_iter().map(|mut row| row.remove(0)).collect()
}

// ---- the line ----

fn short_patience() -> House {
    House::new(&Settings {
        configuration: "[media]\ntimeout = \"2s\"\n",
        ..Settings::default()
    })
}

#[test]
fn a_caller_who_falls_silent_is_hung_up_and_the_record_says_why() {
    let house = short_patience();
    let server = house.serve();
    let mut caller = PlainCaller::dial(server.udp).expect("a call");
    caller.talk(Duration::from_millis(200));
    caller.wait_for_bye(SOON);
    server.wait_until_idle();
    server.stop();
    assert_eq!(ends(&house), ["media_lost"]);
}

/// Signalling and media answer with ICMP port unreachable, as those of a telephone that lost its power.
#[test]
fn a_caller_who_is_gone_is_given_up_and_others_go_on() {
    let house = short_patience();
    let server = house.serve();
    let mut other = Caller::dial(&server);
    let mut gone = PlainCaller::dial(server.udp).expect("a call");
    gone.talk(Duration::from_millis(200));
    drop(gone);
    wait_for("the end of the lost call", SOON, || {
        (server.calls().len() == 1).then_some(())
    });
    other.verify();
    other.hang_up();
    server.stop();
    let mut ends = ends(&house);
    ends.sort();
    assert_eq!(ends, ["caller_hung_up", "media_lost"]);
}

/// Audio is unreachable, signalling is not: keys by INFO still work, and RTP may come back from elsewhere.
#[test]
fn a_port_of_audio_that_is_closed_ends_no_call() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let mut caller = PlainCaller::dial(server.udp).expect("a call");
    caller.talk(Duration::from_millis(200));
    caller.close_media();
    let sent = server.rtp_packets_sent();
    wait_for("audio to the closed port", SOON, || {
        (server.rtp_packets_sent() > sent + 20).then_some(())
    });
    for (number, key) in (2..).zip("4711#".chars()) {
        assert_eq!(caller.inform(key, number), 200);
    }
    server.wait_for_step("ask_question");
    caller.hang_up();
    server.stop();
    assert_eq!(ends(&house), ["caller_hung_up"]);
}

/// A router gave the caller another port. The audio follows, and so do the keys.
#[test]
fn a_caller_whose_port_changes_in_mid_call_is_followed() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let mut caller = PlainCaller::dial(server.udp).expect("a call");
    caller.talk(Duration::from_millis(200));
    caller.press("4711#");
    server.wait_for_step("ask_question");
    caller.change_port();
    wait_for("audio at the new port", SOON, || {
        caller.talk(Duration::from_millis(200));
        caller.is_heard().then_some(())
    });
    caller.press("2009#");
    server.wait_for_step("verified");
    caller.hang_up();
    server.stop();
}

/// It sent its INVITE again for half a minute, to a machine that had said at once that nobody is there.
#[test]
fn our_telephone_tells_at_once_that_nobody_listens() {
    let port = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
    let address = port.expect("a port that is closed again");
    let refused = block_on(async {
        let phone = Phone::start(address.ip()).expect("a telephone");
        let uri = format!("sip:100@{address}");
        let dialled = tokio::time::timeout(Duration::from_secs(5), phone.dial(&uri, Dialling::default())).await;
        phone.shutdown().await;
        dialled.expect("told at once").err()
    });
    assert!(matches!(refused, Some(PhoneError::NobodyListens(_))), "{refused:?}");
}

// ---- the database ----

/// Readers go on while somebody else holds the lock of writers, and nothing is lost when it is given back.
#[test]
fn a_database_that_is_locked_for_ten_seconds_is_told_by_readiness_and_forgotten() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    assert_eq!(readiness(&server), 200);
    let mut own = own_database(&house);
    own.lock();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(Duration::from_secs(10));
            own.unlock();
        });
        let mut caller = Caller::dial(&server);
        caller.press("4711#");
        wait_until_ready(&server, 503);
        assert!(server.page("/health/ready").1.contains("database"));
        // Whoever waits is told in the end, or served if the lock is given back just in time.
        caller.hear_any(&["goodbye.technical_trouble", "question.start_year"]);
        caller.hang_up();
    });
    wait_until_ready(&server, 200);
    call_as_usual(&server);
    server.stop();
    // The record of the call that met the lock waited for its end.
    let ends = ends(&house);
    assert_eq!(ends.len(), 2, "{ends:?}");
    assert_eq!(ends[1], "caller_hung_up");
}

#[test]
fn a_database_file_that_is_taken_away_is_told_by_readiness() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let (file, away) = (house.path().join("data/passline.db"), house.path().join("data/away.db"));
    fs::rename(&file, &away).expect("moved");
    wait_until_ready(&server, 503);
    server.wait_for_log("was removed or replaced");
    fs::rename(&away, &file).expect("moved");
    wait_until_ready(&server, 200);
    call_as_usual(&server);
    server.stop();
}

// ---- the disk ----

/// Does the work where `folder` is a disk of so many kilobytes with what was in it; nobody else sees it, and it is gone
/// afterwards.
fn with_small_disk(folder: &Path, kilobytes: u32, work: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let there = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNS).expect("mounting takes root (CAP_SYS_ADMIN): run this test as root");
            let saved = folder.with_extension("saved");
            for command in [
                "mount --make-rprivate /".to_owned(),
                format!("cp -a {} {}", folder.display(), saved.display()),
                format!("mount -t tmpfs -o size={kilobytes}k tmpfs {}", folder.display()),
                format!("cp -a {}/. {}", saved.display(), folder.display()),
            ] {
                let mut words = command.split(' ');
                let done = Command::new(words.next().expect("a program")).args(words).status();
                assert!(done.expect("it runs").success(), "{command}");
            }
            work();
        });
        there.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    });
}

/// Fills the disk that a folder is on, to the last byte.
fn fill(folder: &Path) -> std::path::PathBuf {
    let file = folder.join("filler");
    let filled = Command::new("dd")
        .args(["if=/dev/zero", "bs=1k", &format!("of={}", file.display())])
        .stderr(Stdio::null())
        .status()
        .expect("dd runs");
    assert!(!filled.success(), "there is room left");
    file
}

#[test]
fn a_full_disk_is_told_by_readiness_and_forgotten_when_there_is_room() {
    let house = House::new(&Settings {
        configuration: "[calls]\nrecordings = \"data/recordings\"\n",
        ..Settings::default()
    });
    let data = house.path().join("data");
    with_small_disk(&data, 8_000, || {
        let server = house.serve();
        let mut before = Caller::dial(&server);
        before.hear_something();
        let filler = fill(&data);
        // It is in the middle of its call, with a recording; what needs no database goes on.
        before.hear("identify.ask");
        before.press("4711#");
        before.hear("goodbye.technical_trouble");
        before.hear_hang_up();
        wait_until_ready(&server, 503);
        let mut during = Caller::dial(&server);
        during.press("4711#");
        during.hear("goodbye.technical_trouble");
        during.hear_hang_up();
        fs::remove_file(filler).expect("removed");
        wait_until_ready(&server, 200);
        call_as_usual(&server);
        server.wait_for_log("recorded");
        server.stop();
        let verified = house.run(&["audit", "verify"]);
        assert!(verified.status.success(), "{verified:?}");
    });
}

/// Every line of the log fails; writing about that to the same place ended the task of whoever had something to tell.
#[test]
fn a_log_that_cannot_be_written_stops_nobody() {
    let house = House::new(&Settings::default());
    let server = house.serve_under(&["sh", "-c", "exec \"$@\" 2>/dev/full", "sh"]);
    call_as_usual(&server);
    assert_eq!(readiness(&server), 200);
    server.stop();
    assert_eq!(ends(&house), ["caller_hung_up"]);
}

// ---- ports and file handles ----

/// Dials until a call is refused; those that were answered, and the status of the refusal.
fn dial_until_refused(server: &Server) -> (Vec<PlainCaller>, u16) {
    let mut calls = Vec::new();
    for _ in 0..200 {
        match PlainCaller::dial(server.udp) {
            Ok(call) => calls.push(call),
            Err(status) => return (calls, status),
        }
    }
    panic!("{} calls, and none refused", calls.len());
}

fn refuses_and_recovers(server: &Server) {
    let (mut calls, status) = dial_until_refused(server);
    assert_eq!(status, 503, "after {} calls", calls.len());
    assert!(!calls.is_empty());
    // Those in progress go on.
    let first = &mut calls[0];
    first.talk(Duration::from_millis(100));
    first.press("4711#");
    server.wait_for_step("ask_question");
    assert_eq!(PlainCaller::dial(server.udp).err(), Some(503));
    calls.into_iter().for_each(PlainCaller::hang_up);
    server.wait_until_idle();
    wait_for("free media", SOON, || {
        let metrics = server.page("/metrics").1;
        metrics.contains("passline_media_sessions_active 0").then_some(())
    });
    call_as_usual(server);
}

#[test]
fn without_a_free_port_new_calls_are_refused_and_others_go_on() {
    let house = House::new(&Settings {
        configuration: "[media]\nfirst_port = 29000\nlast_port = 29007\n",
        ..Settings::default()
    });
    let server = house.serve();
    refuses_and_recovers(&server);
    server.stop();
}

#[test]
fn without_file_handles_new_calls_are_refused_and_others_go_on() {
    let house = House::new(&Settings::default());
    let server = house.serve_under(&["prlimit", "--nofile=128:128"]);
    server.wait_for_log("open files are limited");
    refuses_and_recovers(&server);
    server.stop();
}

// ---- target systems ----

#[test]
fn a_target_system_that_hangs_in_mid_call_is_told_and_holds_up_nobody_else() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let mut directory = Database::open(&house.path().join("data/directory.db"));
    let mut caller = Caller::dial(&server);
    caller.verify();
    caller.press("22#");
    caller.hear_characters(1);
    directory.lock();
    caller.press("4");
    caller.hear("reset.one_moment");
    call_as_usual(&server);
    caller.hear("outcome.unknown");
    directory.unlock();
    caller.press("2");
    caller.hear("goodbye.thanks");
    caller.hear_hang_up();
    server.stop();
    let mut own = own_database(&house);
    let told = own.rows("select target, result from reset_outcomes join accounts on accounts.id = account_id");
    assert_eq!(told, [["mail", "unknown"].map(str::to_owned)]);
}

// ---- files that change ----

#[test]
fn a_broken_prompt_is_refused_and_the_old_one_stays() {
    let house = House::new(&Settings::default());
    let prompts = house.path().join("prompts");
    let source = crate::support::server::root().join("prompts");
    let copied = Command::new("cp").arg("-r").args([&source, &prompts]).status();
    assert!(copied.expect("cp runs").success());
    let configuration = house.path().join("passline.toml");
    let text = fs::read_to_string(&configuration).expect("text");
    fs::write(&configuration, text.replace(&*source.to_string_lossy(), "prompts")).expect("written");
    let server = house.serve();
    let greeting = fs::read_dir(prompts.join("en-US/greeting")).expect("a folder");
    let files: Vec<_> = greeting.map(|entry| entry.expect("an entry").path()).collect();
    assert!(!files.is_empty());
    for file in files {
        fs::write(file, "no sound").expect("written");
    }
    // All of them are read again, which takes a busy machine a while without optimisation.
    wait_for("prompts are refused", Duration::from_secs(120), || {
        server
            .log()
            .contains("prompts are refused, the old ones stay")
            .then_some(())
    });
    let mut caller = Caller::dial(&server);
    caller.hear("greeting.welcome");
    caller.hang_up();
    server.stop();
}

// ---- the clock ----

/// Where Debian's package libfaketime has it.
const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1";

/// Sets the wall clock of a server that runs under libfaketime; its monotonic clock goes on.
fn set_clock(house: &House, offset: &str) {
    let (new, file) = (house.path().join("clock.new"), house.path().join("clock"));
    fs::write(&new, offset).expect("written");
    fs::rename(new, file).expect("renamed");
}

#[test]
fn a_clock_that_is_set_by_an_hour_ends_at_most_the_visit_that_it_meets() {
    assert!(
        Path::new(FAKETIME).exists(),
        "libfaketime is missing: scripts/setup test"
    );
    let house = House::new(&Settings::default());
    set_clock(&house, "+0");
    let clock = format!("FAKETIME_TIMESTAMP_FILE={}", house.path().join("clock").display());
    let preload = format!("LD_PRELOAD={FAKETIME}");
    let server = house.serve_under(&[
        "env",
        &preload,
        &clock,
        "FAKETIME_NO_CACHE=1",
        "FAKETIME_DONT_FAKE_MONOTONIC=1",
    ]);
    for offset in ["+1h", "+0"] {
        let mut caller = Caller::dial(&server);
        caller.verify();
        set_clock(&house, offset);
        // Proven before the clock was set, it counts no more: the caller is told, and nothing is changed.
        caller.press("1");
        caller.hear("goodbye.technical_trouble");
        caller.hear_hang_up();
        call_as_usual(&server);
        assert_eq!(readiness(&server), 200);
    }
    server.stop();
    let mut own = own_database(&house);
    let ends = own.rows("select end_reason, count(*) from calls group by end_reason order by end_reason");
    assert_eq!(
        ends,
        [["caller_hung_up", "2"], ["completed", "2"]].map(|row| row.map(str::to_owned))
    );
    // A record is as long as its call, whatever the clock did meanwhile.
    let odd = "select count(*) from calls where ended_ms not between answered_ms and answered_ms + 120000";
    assert_eq!(own.value(odd), "0");
    let hours = own.value("select (max(started_ms) - min(started_ms)) / 1000 / 60 >= 59 from calls");
    assert_eq!(hours, "1", "the clock was not set");
    let verified = house.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

// ---- the machine ----

/// Processes that do nothing but take the cores; killed when dropped.
struct Burners(Vec<Child>);

impl Burners {
    fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        let burn = |_| {
            Command::new("sh")
                .args(["-c", "while :; do :; done"])
                .spawn()
                .expect("sh runs")
        };
        Self((0..2 * cores).map(burn).collect())
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for burner in &mut self.0 {
            let _ = burner.kill();
            let _ = burner.wait();
        }
    }
}

/// Others take all cores twice over. Keys are still right, and nothing is lost.
#[test]
fn on_a_machine_that_is_busy_with_others_keys_are_right() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let burners = Burners::start();
    let mut caller = Caller::dial(&server);
    caller.verify();
    caller.press("9");
    caller.hear("goodbye.thanks");
    let report = caller.hear_hang_up();
    drop(burners);
    server.stop();
    assert_eq!(report.lost, 0);
    assert_eq!(ends(&house), ["completed"]);
}
