//! The command line: what is told, on which stream, with which exit code.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, Output, Stdio};

use crate::support::caller::Caller;
use crate::support::database::Database;
use crate::support::server::{House, PASSLINE, Settings, root};

fn run(arguments: &[&str]) -> Output {
    Command::new(PASSLINE)
        .args(arguments)
        .current_dir(root())
        .output()
        .expect("the program runs")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn json(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

/// All of `parts` are in `text`.
#[track_caller]
fn assert_told(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn a_good_configuration_has_no_mistakes() {
    let house = House::empty(&Settings::default());
    let checked = house.run(&["check"]);
    assert_eq!(
        (checked.status.code(), out(&checked).trim()),
        (Some(0), "no mistakes"),
        "{checked:?}"
    );
    assert!(!house.path().join("data").exists(), "a check changes nothing");
}

#[test]
fn check_tells_every_mistake_of_the_configuration_at_once() {
    let house = House::empty(&Settings {
        configuration: "[calls]\nmax = 0\ndrain = \"soon\"\n[lockout.users]\ntires = 3\n[media]\nfirst_port = 17001\n",
        ..Settings::default()
    });
    let checked = house.run(&["check"]);
    assert_eq!(checked.status.code(), Some(1));
    let parts = [
        "passline.toml:",
        "calls.max",
        "calls.drain",
        "did you mean \"tries\"?",
        "media.first_port",
        "4 mistakes",
    ];
    assert_told(&out(&checked), &parts);
    let listed = json(&house.run(&["check", "--json"]));
    assert_eq!(listed.as_array().map(Vec::len), Some(4), "{listed}");
    assert_eq!(
        house.run(&["serve"]).status.code(),
        Some(1),
        "nor does the server start"
    );
}

#[test]
fn check_notes_questions_that_are_missing_in_other_languages() {
    let settings = Settings {
        two_questions: true,
        ..Settings::default()
    };
    let house = House::empty(&settings);
    let prompts = house.path().join("prompts");
    fs::create_dir(&prompts).expect("made");
    let shipped = root().join("prompts");
    for tag in ["en-US", "de-DE"] {
        std::os::unix::fs::symlink(shipped.join("en-US"), prompts.join(tag)).expect("linked");
    }
    let file = house.path().join("passline.toml");
    let one = fs::read_to_string(&file).expect("text");
    let badge = "text = \"What is the number on the back of your badge?\"\n";
    let one = one.replace(&*shipped.to_string_lossy(), "prompts");
    let notes = |configuration: &str| {
        fs::write(&file, configuration).expect("written");
        let checked = house.run(&["check"]);
        assert_eq!(out(&checked).trim(), "no mistakes", "{checked:?}");
        err(&checked)
    };
    // The other one is recorded in both.
    let missing = notes(&one);
    let told = "note: callers in de-DE are asked in en-US: \"What is the number on the back of your badge?\"; add";
    assert_eq!(missing.matches(told).count(), 1, "{missing}");
    assert!(!missing.contains("start to work"), "{missing}");
    let with = |translations: &str| one.replace(badge, &format!("{badge}translations = {translations}\n"));
    let unheard = notes(&with("{ de = \"Welche Nummer?\", fr = \"Quel numéro?\" }"));
    assert!(
        unheard.contains("note: questions have texts in fr, but nobody hears them"),
        "{unheard}"
    );
    assert!(!unheard.contains("callers in"), "{unheard}");
    let without_engine = with("{ de = \"Welche Nummer?\" }").replace("[speech]\n", "[speech]\nengines = [\"flite\"]\n");
    let unsaid = notes(&without_engine);
    assert!(
        unsaid.contains("note: callers in de-DE cannot be asked: \"What is the number"),
        "{unsaid}"
    );

    let wrong = with("{ de_DE = \"Welche Nummer?\" }");
    fs::write(&file, wrong).expect("written");
    let told = [
        "question[1].translations: \"de_DE\" is not a language tag such as \"de-DE\"",
        "1 mistake",
    ];
    assert_told(&out(&house.run(&["check"])), &told);
}

#[test]
fn check_looks_at_the_files_of_the_api() {
    let configuration = "[api]\nlisten = \"127.0.0.1:0\"\ncertificate = \"api.pem\"\nkey = \"api-key.pem\"\nclient_ca = \"ca.pem\"\n\
         twilio_token = \"twilio-token\"\n";
    let house = House::empty(&Settings {
        configuration,
        ..Settings::default()
    });
    let missing = house.run(&["check"]);
    assert_eq!(missing.status.code(), Some(1));
    let parts = [
        "api.certificate",
        "api.key",
        "api.client_ca",
        "api.twilio_token",
        "cannot read",
        "No such file",
        "4 mistakes",
    ];
    assert_told(&out(&missing), &parts);

    crate::support::certificate::make(house.path());
    fs::write(house.path().join("twilio-token"), "0123456789abcdef\n").expect("a file");
    let good = house.run(&["check"]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    assert_told(
        &err(&good),
        &["others than its owner can read the private key", "chmod 600"],
    );

    // The key of another certificate.
    fs::copy(house.path().join("client.pem"), house.path().join("api-key.pem")).expect("a file");
    let other = house.run(&["check"]);
    assert_eq!(other.status.code(), Some(1));
    assert_told(&out(&other), &["api.key", "does not fit", "1 mistake"]);
    assert!(!house.path().join("data").exists(), "a check changes nothing");
}

#[test]
fn commands_of_api_users_say_what_they_have_done() {
    let house = House::new(&Settings::default());
    crate::support::certificate::make(house.path());
    let good = |arguments: &[&str]| {
        let output = house.run(&[&["api", "user"], arguments].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {output:?}");
        output
    };
    let added = good(&["add", "ivr"]);
    assert_told(&err(&added), &["this machine only", "passline api user network ivr"]);
    assert_eq!(err(&good(&["add", "far", "--network", "192.0.2.0/24"])), "");

    let rights = ["--allow", "read-password", "--allow", "choose-password"];
    let allowed = out(&good(&[&["allow", "ivr"], &rights[..]].concat()));
    assert_told(&allowed, &["ivr may: read-password, choose-password"]);
    assert!(!allowed.contains("taken away"), "{allowed}");
    let fewer = out(&good(&["allow", "ivr", "--allow", "keep-password"]));
    let told = [
        "ivr may: keep-password",
        "taken away, since it was not named: read-password, choose-password",
    ];
    assert_told(&fewer, &told);
    assert_told(&out(&good(&["allow", "ivr"])), &["ivr may nothing beyond the calls"]);

    // Nothing is said to be so that is not.
    let nobody = house.run(&["api", "user", "network", "nobody", "10.0.0.0/8"]);
    assert_eq!((nobody.status.code(), out(&nobody)), (Some(1), String::new()));

    // By its file, as openssl tells it, and bare: the same certificate.
    let certificates = || -> Vec<serde_json::Value> {
        let listed = out(&good(&["list", "--json"]));
        let lines = listed.lines().map(serde_json::from_str::<serde_json::Value>);
        lines.map(|user| user.expect("JSON")["certificate"].take()).collect()
    };
    good(&["add", "file", "--certificate", "client.pem", "--no-password"]);
    let fingerprint = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
        .arg(house.path().join("client.pem"))
        .output();
    let fingerprint = out(&fingerprint.expect("openssl runs"));
    assert_told(&fingerprint, &["ingerprint="]);
    good(&["add", "written", "--certificate", fingerprint.trim(), "--no-password"]);
    let all = certificates();
    let known: Vec<_> = all.iter().filter_map(serde_json::Value::as_str).collect();
    assert!(matches!(known[..], [one, other] if one == other), "{all:?}");
    let no_certificate = house.run(&["api", "user", "rotate", "file", "--certificate", "api-key.pem"]);
    assert_eq!(no_certificate.status.code(), Some(1));
    assert_told(&err(&no_certificate), &["api-key.pem"]);
    // One that has a certificate alone is not shut out by a password that nobody has asked for.
    let no_password = house.run(&["api", "user", "rotate", "file"]);
    assert_eq!((no_password.status.code(), out(&no_password)), (Some(1), String::new()));
    assert_told(
        &err(&no_password),
        &["file has no password", "--certificate", "--add-password"],
    );
    assert_told(
        &out(&good(&["rotate", "file", "--add-password"])),
        &["password, shown this once: "],
    );
    assert_told(&out(&good(&["list"])), &["password and certificate"]);
    for command in ["add", "list", "network", "allow", "rotate", "revoke"] {
        let help = out(&run(&["api", "user", command, "--help"]));
        assert_told(&help, &["Example", &format!("    passline api user {command}")]);
    }
}

#[test]
fn check_tells_every_mistake_of_flows_and_trunks_at_once() {
    let trunk = "networks = [\"127.0.0.0/8\"]\nmax_cals = 5\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
    let flow = [
        ("next = \"ask_identity\"", "next = \"ask_identiti\""),
        ("say = \"menu.main\"", "say = \"menu.mane\""),
    ];
    let house = House::empty(&Settings {
        trunk: Some(trunk),
        flow: &flow,
        ..Settings::default()
    });
    let checked = house.run(&["check"]);
    assert_eq!(checked.status.code(), Some(1));
    assert_told(
        &out(&checked),
        &["reset.toml:", "ask_identiti", "menu.mane", "test.toml:2", "max_calls"],
    );
}

#[test]
fn a_flow_is_checked_with_file_line_and_remedy() {
    let good = run(&[
        "dialplan",
        "check",
        "dialplans/reset.toml",
        "dialplans/minimal.toml",
        "dialplans/unlock.toml",
    ]);
    assert_eq!(good.status.code(), Some(0), "{good:?}");
    assert_told(&out(&good), &["3 flows, no errors"]);

    let flow = [
        ("outcomes.refused = \"locked_out\"\n", ""),
        ("operation = \"pace_slower\"", "operation = \"pace_slow\""),
    ];
    let house = House::empty(&Settings {
        flow: &flow,
        ..Settings::default()
    });
    let prompts = root().join("prompts");
    let arguments = [
        "dialplan",
        "check",
        "dialplans/reset.toml",
        "--prompts",
        &prompts.to_string_lossy(),
    ];
    let bad = house.run(&arguments);
    assert_eq!(bad.status.code(), Some(1));
    assert_told(
        &out(&bad),
        &["dialplans/reset.toml:", "refused", "pace_slow", "2 errors"],
    );
    let findings = json(&house.run(&[&arguments[..], &["--json"]].concat()));
    assert!(
        findings.as_array().is_some_and(|findings| findings.len() >= 2),
        "{findings}"
    );
    assert!(
        findings[0]["line"].as_u64() > Some(0) && findings[0]["remedy"].is_string(),
        "{findings}"
    );
}

#[test]
fn a_flow_is_drawn() {
    let svg = run(&["dialplan", "graph", "dialplans/reset.toml"]);
    assert_told(&out(&svg), &["<svg", "main_menu", "</svg>"]);
    let dot = run(&["dialplan", "graph", "dialplans/reset.toml", "--format", "dot"]);
    assert_told(&out(&dot), &["digraph", "main_menu"]);
    assert_eq!(
        run(&["dialplan", "graph", "dialplans/none.toml"]).status.code(),
        Some(1)
    );
}

/// A terminal that types when it is asked.
struct Terminal {
    input: ChildStdin,
    output: ChildStdout,
    seen: String,
}

impl Terminal {
    /// What was shown until keys are asked for, or the end.
    fn read(&mut self) -> String {
        let start = self.seen.len();
        let mut byte = [0];
        while !self.seen[start..].ends_with("keys> ") && self.output.read(&mut byte).expect("output") == 1 {
            self.seen.push(char::from(byte[0]));
        }
        self.seen[start..].to_owned()
    }

    fn key(&mut self, keys: &str) -> String {
        writeln!(self.input, "{keys}").expect("the program reads");
        self.read()
    }
}

#[test]
fn a_flow_is_tried_out_in_the_terminal_without_showing_the_password() {
    let mut child = Command::new(PASSLINE)
        .args(["dialplan", "simulate", "dialplans/reset.toml", "--demo"])
        .current_dir(root())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let (input, output) = (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let mut terminal = Terminal {
        input,
        output,
        seen: String::new(),
    };
    assert_told(&terminal.read(), &["[greeting]", "[ask_identity]"]);
    let mut asked = terminal.key("4711#");
    for _ in 0..2 {
        asked = if asked.contains("badge") {
            terminal.key("835164#")
        } else {
            terminal.key("2009#")
        };
    }
    assert_told(&asked, &["answer: passed", "[main_menu]"]);
    assert_told(
        &terminal.key("1"),
        &["proposed: (hidden", "password, spelled", "[password_menu]"],
    );
    assert_told(&terminal.key("4"), &["reset: all", "[anything_else]"]);
    assert_told(&terminal.key("2"), &["[goodbye]", "over:"]);
    assert!(child.wait().expect("its end").success());
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
    {
        let target = to.join(entry.file_name().expect("a name"));
        if entry.is_dir() {
            copy(&entry, &target);
        } else {
            fs::copy(&entry, &target).expect("copied");
        }
    }
}

#[test]
fn prompts_that_do_not_say_their_text_are_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let prompts = folder.path().join("prompts");
    copy(&root().join("prompts"), &prompts);
    let texts = prompts.join("en-US/prompts.toml");
    let changed = fs::read_to_string(&texts)
        .expect("texts")
        .replace("Thank you. That is confirmed.", "Thanks, confirmed.");
    fs::write(&texts, changed).expect("written");
    fs::remove_file(prompts.join("en-US/menu/main.wav")).expect("it was there");
    let bad = run(&["prompts", "check", "--prompts", &prompts.to_string_lossy()]);
    assert_eq!(bad.status.code(), Some(1));
    assert_told(&out(&bad), &["question.verified", "menu.main", "prompts render"]);
    // The other prompts, as they are shipped, are good.
    assert_eq!(out(&bad).lines().count(), 3, "{bad:?}");
}

#[test]
fn import_takes_the_good_lines_and_tells_the_bad_ones_without_their_values() {
    let house = House::empty(&Settings::default());
    let people = "login,name,employee_number,account.mail,answer.question.start_year\n\
                  good,Good,6001,good,2001\n\
                  bad,Bad,6002,bad,20017\n\
                  ,Nameless,6003,nameless,2003\n\
                  fine,Fine,6004,fine,2004\n\
                  worse,Worse,60x5,worse,2005\n";
    fs::write(house.path().join("mixed.csv"), people).expect("written");
    let imported = house.run(&["user", "import", "mixed.csv"]);
    assert_eq!(imported.status.code(), Some(1), "{imported:?}");
    assert_told(
        &err(&imported),
        &[
            "mixed.csv:3:",
            "answer.question.start_year",
            "mixed.csv:4:",
            "login",
            "mixed.csv:6:",
        ],
    );
    assert_told(
        &out(&imported),
        &["lines: 5; people: 2 new, 0 with new values; lines left out: 3"],
    );
    let all = out(&imported) + &err(&imported);
    assert!(!all.contains("20017") && !all.contains("60x5"), "{all}");

    let again = house.run_with_input(&["user", "import", "-", "--json"], "login,name\ngood,Better\n");
    assert_eq!(again.status.code(), Some(0), "{again:?}");
    assert_eq!(json(&again)["updated"], 1);
    assert_told(
        &out(&house.run(&["user", "show", "good"])),
        &["Better", "6001", "1 questions for phone"],
    );

    let unknown_column = house.run_with_input(&["user", "import", "-"], "login,phone\nx,1\n");
    assert_eq!(unknown_column.status.code(), Some(1));
    assert_told(&err(&unknown_column), &["phone"]);
}

#[test]
fn people_are_listed_shown_enrolled_and_unlocked() {
    let house = House::new(&Settings {
        two_questions: true,
        ..Settings::default()
    });
    assert_told(
        &out(&house.run(&["user", "list"])),
        &["LOGIN", "anna.berger", "Anna Berger", "4711", "smith01"],
    );
    let lines = out(&house.run(&["user", "list", "--json"]));
    assert_eq!(lines.lines().count(), 4);
    let shown = json(&house.run(&["user", "show", "anna.berger", "--json"]));
    assert_eq!(
        (&shown["employee_number"], &shown["enrolled"]["phone"]),
        (&"4711".into(), &2.into())
    );
    assert_eq!(shown["accounts"].as_array().map(Vec::len), Some(3));

    let answers = "question.start_year = 2010\n\nWhat is the number on the back of your badge? = 111222\n";
    let enrolled = house.run_with_input(&["user", "enroll", "anna.berger", "--stdin"], answers);
    assert_told(&out(&enrolled), &["2 answers are kept for anna.berger"]);
    let misspelled = house.run_with_input(
        &["user", "enroll", "anna.berger", "--stdin"],
        "question.shoe_size = 44\n",
    );
    assert_eq!(misspelled.status.code(), Some(1));
    assert_told(&err(&misspelled), &["question.shoe_size"]);
    let unfit = house.run_with_input(
        &["user", "enroll", "anna.berger", "--stdin"],
        "question.start_year = 99123\n",
    );
    assert_eq!(unfit.status.code(), Some(1));
    assert!(!err(&unfit).contains("99123"), "{unfit:?}");

    assert_eq!(house.run(&["user", "unlock", "anna.berger"]).status.code(), Some(0));
    let nobody = house.run(&["user", "unlock", "nobody"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert_told(&err(&nobody), &["nobody"]);
}

#[test]
fn a_tampered_audit_log_is_found() {
    let house = House::new(&Settings::default());
    let whole = json(&house.run(&["audit", "verify", "--json"]));
    assert_eq!(whole["intact"], true);
    let head = whole["head"].as_str().expect("a head").to_owned();
    let file = house.path().join("data/passline.db");
    for (name, tampering) in [
        (
            "changed.db",
            "update audit_links set fields = replace(fields, 'cli', 'api') where sequence = 2",
        ),
        ("removed.db", "delete from audit_links where sequence = 3"),
        (
            "cut.db",
            "delete from audit_links where sequence = (select max(sequence) from audit_links)",
        ),
    ] {
        let copy = house.path().join(name);
        fs::copy(&file, &copy).expect("copied");
        let mut database = Database::open(&copy);
        database.run("delete from outbox");
        database.run(tampering);
        database.close();
        let arguments = ["audit", "verify", "--database", name];
        let verified = house.run(&arguments);
        assert_eq!(verified.status.code(), Some(1), "{name}: {verified:?}");
        assert_eq!(
            json(&house.run(&[&arguments[..], &["--json"]].concat()))["intact"],
            false
        );
    }

    // Cut at the end with the head put right: only somebody who noted the head can see it.
    let copy = house.path().join("cut-well.db");
    fs::copy(&file, &copy).expect("copied");
    let mut database = Database::open(&copy);
    database.run("delete from outbox");
    database.run("delete from audit_links where sequence = (select max(sequence) from audit_links)");
    database.run(
        "update audit_head set (sequence, hash) = (select sequence, hash from audit_links order by sequence desc limit 1)",
    );
    database.close();
    let arguments = ["audit", "verify", "--database", "cut-well.db"];
    assert_eq!(house.run(&arguments).status.code(), Some(0));
    let anchored = house.run(&[&arguments[..], &["--anchor", &head]].concat());
    assert_eq!(anchored.status.code(), Some(1), "{anchored:?}");
    assert_eq!(
        house.run(&["audit", "verify", "--anchor", &head]).status.code(),
        Some(0)
    );
}

#[test]
fn help_completion_and_man_pages_come_from_one_definition() {
    assert_told(&out(&run(&["--help"])), &["demo", "serve", "dialplan", "audit"]);
    assert_told(
        &out(&run(&["user", "import", "--help"])),
        &["login,name,employee_number"],
    );
    for shell in ["bash", "zsh", "fish"] {
        assert_told(&out(&run(&["completion", shell])), &["passline", "dialplan"]);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().to_string_lossy();
    assert_eq!(run(&["man", &path]).status.code(), Some(0));
    for page in ["passline.1", "passline-call.1", "passline-user-import.1"] {
        assert!(folder.path().join(page).is_file(), "{page}");
    }
    assert_eq!(run(&["man", "/nowhere/at/all"]).status.code(), Some(1));
}

#[test]
fn what_is_typed_wrong_ends_with_two_and_what_fails_with_one() {
    assert_eq!(run(&["serv"]).status.code(), Some(2));
    assert_eq!(run(&["call"]).status.code(), Some(2));
    assert_eq!(
        run(&["call", "sip:100@127.0.0.1", "--max-duration", "soon"])
            .status
            .code(),
        Some(2)
    );
    let folder = tempfile::tempdir().expect("a folder");
    let no_configuration = folder.path().join("none.toml");
    let failed = run(&["serve", "--config", &no_configuration.to_string_lossy()]);
    assert_eq!(failed.status.code(), Some(1));
    assert_told(&err(&failed), &["none.toml", "--config"]);
    let bad_keys = run(&["call", "sip:100@127.0.0.1", "--keys", "12x"]);
    assert_eq!(bad_keys.status.code(), Some(1));
    assert_told(&err(&bad_keys), &["character 3"]);
    let nobody = run(&["calls", "--admin", "127.0.0.1:1"]);
    assert_eq!(nobody.status.code(), Some(1));
    assert_told(&err(&nobody), &["is `passline serve` running"]);
}

#[test]
fn a_test_call_reports_what_it_measured() {
    let trunk = "networks = [\"127.0.0.1/32\"]\nmax_calls = 1\n[[called]]\nnumber = \"100\"\ndialplan = \"reset\"\n";
    let house = House::new(&Settings {
        trunk: Some(trunk),
        ..Settings::default()
    });
    let server = house.serve();
    let uri = format!("sip:100@{}", server.udp);
    let called = house.run(&[
        "call", &uri, "--keys", "4711#", "--stay", "2s", "--record", "call.wav", "--json",
    ]);
    assert_eq!(called.status.code(), Some(0), "{called:?}");
    let report = json(&called);
    assert_eq!(
        (&report["codec"], &report["keys"], &report["lost"]),
        (&"PCMU".into(), &5.into(), &0.into()),
        "{report}"
    );
    assert_eq!(report["ended_by"], "caller");
    assert!(
        report["received"].as_u64() > Some(50) && report["answered_after_ms"].as_f64() < Some(5_000.0),
        "{report}"
    );
    assert!(
        !report["key_to_audio_ms"].as_array().expect("a list").is_empty(),
        "{report}"
    );
    let recording = hound::WavReader::open(house.path().join("call.wav")).expect("a recording");
    assert_eq!((recording.spec().channels, recording.spec().sample_rate), (2, 8_000));
    assert!(recording.duration() > 8_000);
    server.wait_until_idle();

    let text = house.run_with_input(
        &["call", &uri, "--keys-stdin", "--stay", "500ms", "--codec", "pcma"],
        "4711#\n",
    );
    assert_told(&out(&text), &["codec             PCMA", "keys              5"]);
    server.wait_until_idle();

    let busy = Caller::dial(&server);
    let refused = house.run(&["call", &uri]);
    assert_eq!(refused.status.code(), Some(1));
    assert_told(&err(&refused), &["486"]);
    busy.hang_up();
    let unknown = house.run(&["call", &format!("sip:200@{}", server.udp)]);
    assert_told(&err(&unknown), &["404"]);
    server.stop();
}
