//! `passline api call` against the real server: what is shown, what is not, and what is said when something is in the way.

use std::collections::BTreeSet;
use std::process::Output;

use passline::integration::target::Verdict;
use serde_json::Value;

use crate::api::{Outside, add_user, fingerprint};
use crate::support::eavesdropper::Eavesdropper;
use crate::support::server::Settings;

const ANSWERS: &str = "question.start_year = 2009\nWhat is the number on the back of your badge? = 835164\n";

fn outside() -> Outside {
    let outside = Outside::new(&Settings {
        two_questions: true,
        ..Settings::default()
    });
    std::fs::write(outside.house.path().join("answers"), ANSWERS).expect("a file");
    outside
}

fn call(outside: &Outside, port: u16, arguments: &[&str], input: &str) -> Output {
    let url = format!("https://localhost:{port}");
    let first = ["api", "call", &url, "--timeout", "60s"];
    outside.house.run_with_input(&[&first, arguments].concat(), input)
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

fn err(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

/// Values of a member wherever it was on the line.
fn heard(line: &str, member: &str) -> BTreeSet<String> {
    let start = format!("\"{member}\":\"");
    let values = line
        .split(start.as_str())
        .skip(1)
        .filter_map(|rest| rest.split('"').next());
    values.map(str::to_owned).collect()
}

/// Every secret that went over the line is looked for in everything that was shown.
#[test]
fn a_walk_to_the_reset_shows_every_call_and_no_secret() {
    let outside = outside();
    let password = add_user(&outside.house, "reader", &["--allow", "read-password"]);
    for form in [None, Some("--json")] {
        let between = Eavesdropper::before(outside.server.api.expect("an API"), outside.house.path());
        let mut arguments = vec![
            "--ca-file",
            "ca.pem",
            "--user",
            "reader",
            "--answers",
            "answers",
            "--caller",
            "+4930901820",
            "--audio",
            "mulaw",
            "--reset",
            "--ticket",
            "INC0042",
        ];
        arguments.extend(form);
        let output = call(&outside, between.port, &arguments, &format!("{password}\n4711\n"));
        let (shown, told) = (out(&output), err(&output));
        assert!(output.status.success(), "{shown}{told}");

        let line = between.heard();
        let mut secrets = BTreeSet::from([password.clone(), "4711".to_owned(), "+4930901820".to_owned()]);
        for member in ["sessionId", "digits", "password", "value", "audio"] {
            let found = heard(&line, member);
            assert!(!found.is_empty(), "{member} was not on the line");
            secrets.extend(found);
        }
        // Formats of sound are no secrets.
        secrets.remove("mulaw");
        assert!(
            secrets.len() >= 9,
            "the sound of two questions and a password, and the rest"
        );
        // A port or the size of an answer may hold the same digits by chance.
        let whole = format!("{shown}{told}").replace(&between.port.to_string(), "PORT");
        for secret in &secrets {
            assert!(!whole.contains(secret.as_str()), "{secret} is in {whole}");
        }
        let spelled = heard(&line, "promptId");
        let spelled: Vec<_> = spelled.iter().filter(|id| id.starts_with("spell.")).collect();
        assert!(spelled.len() > 4, "{spelled:?}");
        for id in spelled {
            assert!(!whole.contains(id.as_str()), "{id} is in {whole}");
        }
        let new = heard(&line, "value").pop_first().expect("a password");
        assert_eq!(
            outside.house.verify("mail", "anna.berger", &new),
            Verdict::AcceptedMustChange
        );

        match form {
            None => told_to_people(&shown),
            Some(_) => told_to_machines(&shown),
        }
    }
    outside.server.stop();
}

fn told_to_people(shown: &str) {
    let parts = [
        "# Login: Begins a session for one caller",
        "> POST /api/v1/Login",
        "\"password\": \"[secret]\"",
        "\"caller\": \"*********20\"",
        "over TLS 1.3 from 127.0.0.1",
        "> authorization: Bearer [secret]",
        "\"digits\": \"[secret]\"",
        "In which year",
        "\"result\": \"passed\"",
        "\"speak\": \"[secret]\"",
        "\"ticket\": \"INC0042\"",
        "> POST /api/v1/Logout",
        "mail anna.berger: done",
    ];
    for part in parts {
        assert!(shown.contains(part), "{part:?} is not in:\n{shown}");
    }
}

fn told_to_machines(shown: &str) {
    let walk: Vec<Value> = shown
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    let calls: Vec<&str> = walk.iter().filter_map(|step| step["call"].as_str()).collect();
    // A machine that is busy with others may be asked again.
    let mut once = calls.clone();
    once.dedup();
    once.retain(|call| *call != "JobGet");
    assert_eq!(
        once,
        [
            "Login",
            "UserIVRList",
            "UserQuestionsGet",
            "UserAnswersValidate",
            "UserAccountList",
            "PasswordRandomGet",
            "UserPasswordSync",
            "Logout"
        ]
    );
    let login = &walk[0];
    assert_eq!(login["request"]["body"]["user"], "reader");
    assert_eq!(login["answer"]["body"]["idleSeconds"], 120);
    assert_eq!(login["answer"]["headers"]["content-type"], "application/json");
}

#[test]
fn a_walk_ends_where_it_should_and_can_unlock_instead() {
    let outside = outside();
    std::fs::write(outside.house.path().join("password"), outside.password()).expect("a file");
    let port = outside.server.api.expect("an API").port();
    let common = ["--ca-file", "ca.pem", "--user", "ivr", "--password-file", "password"];
    let login = call(&outside, port, &[&common[..], &["--until", "Login"]].concat(), "");
    assert!(login.status.success(), "{}", err(&login));
    assert!(out(&login).contains("nothing was changed") && !out(&login).contains("UserIVRList"));

    // The answers as lines, in whichever order the questions come.
    let listed = call(
        &outside,
        port,
        &[&common[..], &["--until", "UserQuestionsGet"]].concat(),
        "4711\n",
    );
    let badge_first = out(&listed).find("badge") < out(&listed).find("In which year");
    let answers = if badge_first {
        "835164\n2009\n"
    } else {
        "2009\n835164\n"
    };
    let unlock = [&common[..], &["--unlock", "--system", "mail"]].concat();
    let unlocked = call(&outside, port, &unlock, &format!("4711\n{answers}"));
    assert!(unlocked.status.success(), "{}{}", out(&unlocked), err(&unlocked));
    assert!(
        out(&unlocked).ends_with("mail anna.berger: not_locked\n"),
        "{}",
        out(&unlocked)
    );
    assert!(!out(&unlocked).contains("PasswordRandomGet"));

    // Known by its certificate alone.
    let shown = fingerprint(&outside.house.path().join("client.pem"));
    add_user(&outside.house, "bare", &["--no-password", "--certificate", &shown]);
    let bare = [
        "--ca-file",
        "ca.pem",
        "--user",
        "bare",
        "--no-password",
        "--until",
        "Login",
    ];
    let bare = [&bare[..], &["--client-certificate", "client.pem"]].concat();
    let known = call(&outside, port, &bare, "");
    assert!(known.status.success(), "{}", err(&known));

    let wrong = call(&outside, port, &common, "4711\n1\n1\n1\n1\n");
    assert_eq!(wrong.status.code(), Some(1));
    assert!(out(&wrong).contains("not verified"), "{}", out(&wrong));
    assert!(out(&wrong).contains("/api/v1/Logout"));
}

#[test]
fn what_is_in_the_way_is_said_with_what_to_do() {
    let outside = outside();
    std::fs::write(outside.house.path().join("password"), outside.password()).expect("a file");
    let port = outside.server.api.expect("an API").port();
    let until = ["--user", "ivr", "--until", "Login"];
    let trusting = [&until[..], &["--ca-file", "ca.pem"]].concat();
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let nobody = free.local_addr().expect("an address").port();
    drop(free);
    let with_file = |name: &'static str| [&trusting[..], &["--password-file", name]].concat();
    std::fs::write(outside.house.path().join("wrong"), "Wr0ng-password\n").expect("a file");
    for (port, arguments, expected) in [
        (
            port,
            [&until[..], &["--password-file", "password"]].concat(),
            "--ca-file",
        ),
        (port, with_file("wrong"), "passline api user list"),
        (port, with_file("missing"), "cannot read missing"),
        (port, with_file("missing"), "without it, the password is asked for"),
        (nobody, with_file("password"), "whether `passline serve` runs there"),
        (
            outside.server.admin.port(),
            with_file("password"),
            "there is no TLS at that port",
        ),
    ] {
        let output = call(&outside, port, &arguments, "");
        let told = err(&output);
        assert_eq!(output.status.code(), Some(1), "{told}");
        assert!(told.contains(expected), "{expected:?} is not in {told}");
        assert!(!told.contains("Wr0ng") && !told.contains(outside.password()), "{told}");
    }
    let closed = outside.house.run(&["api", "user", "network", "ivr", "192.0.2.7"]);
    assert!(closed.status.success(), "{closed:?}");
    crate::support::wait_for("the gate is closed", crate::support::PATIENCE, || {
        let output = call(&outside, port, &with_file("password"), "");
        err(&output).contains("passline api user network").then_some(())
    });
}
