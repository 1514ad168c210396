//! Whole calls: our own telephone, with an ear, dials the real program.
//!
//! Most of these callers type ahead, because a call takes as long as it takes; what they hear is recognised on the line.

use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;
use passline::call::phone::{Dialling, KeyPath, PhoneError};
use passline::identity::keypad;
use passline::integration::target::{Target as _, Verdict};
use passline::secret::Secret;

use crate::support::caller::{Caller, SPOKEN_QUESTION};
use crate::support::server::{House, Server, Settings};
use crate::support::wait_for;

/// Short passwords: they are listened to in real time.
const SHORT_PASSWORDS: &str = "[passwords]\nmin_length = 8\nentropy_bits = 28\n";

fn dial_with_keys(server: &Server, keys: KeyPath) -> Caller {
    let dialling = Dialling {
        keys,
        ..Dialling::default()
    };
    Caller::dial_with(&format!("sip:100@{}", server.udp), server.udp, dialling)
}

/// Verifies, says goodbye and hears it.
fn verify_and_leave(mut caller: Caller) -> passline::call::phone::report::CallReport {
    caller.verify();
    caller.press("9");
    caller.hear("goodbye.thanks");
    caller.hear_hang_up()
}

fn end_of_last_call(house: &House) -> Vec<String> {
    let mut database = house.database();
    database
        .rows("select end_reason, last_step from calls order by started_ms desc limit 1")
        .remove(0)
}

/// Loss and jitter are known in both directions: both telephones report every five seconds.
fn assert_media_in_the_record(house: &House) {
    let shown = house.run(&["calls", "show", "--json"]);
    let record: serde_json::Value = serde_json::from_slice(&shown.stdout).unwrap_or_else(|_| panic!("{shown:?}"));
    assert_eq!(
        (&record["reason"], &record["trunk"]),
        (&"completed".into(), &"test".into())
    );
    let media = &record["media"];
    assert_eq!(
        (&media["codec"], &media["lost"]),
        (&"PCMU".into(), &0.into()),
        "{record}"
    );
    assert!(
        media["sent"].as_u64() > Some(500) && media["received"].as_u64() > Some(500),
        "{record}"
    );
    assert_eq!(
        (&media["remote"]["lost"], &media["remote"]["fraction_lost"]),
        (&0.into(), &0.0.into())
    );
    for figure in [
        &media["jitter_ms"],
        &media["remote"]["jitter_ms"],
        &media["remote"]["round_trip_ms"],
    ] {
        assert!(figure.as_f64().is_some_and(|millis| millis < 1_000.0), "{record}");
    }
    let id = record["id"].as_str().expect("an id");
    let shown = house.run(&["calls", "show", id]);
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains("PCMU") && text.contains("round trip"), "{text}");
    let past = house.run(&["calls", "past", "--last", "1"]);
    assert!(String::from_utf8_lossy(&past.stdout).contains(id), "{past:?}");
}

#[test]
fn a_caller_gets_a_new_password_everywhere_and_the_old_one_is_refused() {
    let house = House::new(&Settings {
        two_questions: true,
        ..Settings::default()
    });
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.verify_with_two_questions();
    caller.press("1");
    caller.hear("password.get_ready");
    let first = caller.hear_characters(4);
    caller.press("3");
    caller.hear("password.lead_in");
    let password = caller.hear_password();
    assert!(!password.starts_with(&first), "another password was asked for");
    caller.press("4");
    caller.hear("reset.everywhere");
    for system in ["system.active_directory", "system.mail", "system.payroll"] {
        caller.hear(system);
        caller.hear("outcome.reset");
    }
    caller.hear("outcome.must_change");
    caller.press("2");
    caller.hear("goodbye.thanks");
    let said = caller.said.clone();
    let report = caller.hear_hang_up();
    assert_eq!((report.codec, report.lost), ("PCMU", 0));
    assert_eq!(&said[..2], ["greeting.welcome", "identify.ask"]);
    for question in ["question.start_year", SPOKEN_QUESTION] {
        assert!(
            said.iter().any(|said| said == question),
            "{question} was not heard: {said:?}"
        );
    }
    server.stop();
    for (target, account) in [
        ("active-directory", "aberger"),
        ("mail", "anna.berger"),
        ("payroll", "p4711"),
    ] {
        assert_eq!(house.verify_old(target, account), Verdict::Rejected, "{target}");
        assert_eq!(
            house.verify(target, account, &password),
            Verdict::AcceptedMustChange,
            "{target}"
        );
    }
    let verified = house.run(&["audit", "verify"]);
    assert!(verified.status.success(), "{verified:?}");
}

#[test]
fn a_password_is_heard_again_and_slower_and_can_be_declined() {
    let house = House::new(&Settings {
        configuration: SHORT_PASSWORDS,
        ..Settings::default()
    });
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.verify();
    caller.press("22#");
    let hear = |caller: &mut Caller| {
        caller.hear("password.lead_in");
        let first = caller.hear_characters(1);
        let start = caller.heard();
        (first + &caller.hear_characters(2), caller.heard() - start)
    };
    let (password, usual) = hear(&mut caller);
    caller.press("1");
    let (again, _) = hear(&mut caller);
    caller.press("2");
    let (slower, slow) = hear(&mut caller);
    assert_eq!((&password, &password), (&again, &slower));
    assert!(slow > usual + Duration::from_secs(1), "{slow:?} against {usual:?}");
    caller.press("9");
    caller.hear("password.kept");
    caller.press("2");
    caller.hear("goodbye.thanks");
    caller.hear_hang_up();
    server.stop();
    assert_eq!(house.verify_old("mail", "anna.berger"), Verdict::Accepted);
}

#[test]
fn a_reset_of_one_system_leaves_the_others_alone() {
    let house = House::new(&Settings {
        configuration: SHORT_PASSWORDS,
        ..Settings::default()
    });
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.verify();
    caller.press("2");
    caller.hear("system.choose");
    caller.press("2#");
    caller.hear("system.chosen");
    caller.hear("system.mail");
    caller.hear_characters(1);
    caller.press("4");
    caller.hear("reset.everywhere");
    caller.hear("system.mail");
    caller.hear("outcome.reset");
    caller.hang_up();
    server.wait_until_idle();
    server.stop();
    assert_eq!(house.verify_old("mail", "anna.berger"), Verdict::Rejected);
    assert_eq!(house.verify_old("active-directory", "aberger"), Verdict::Accepted);
    assert_eq!(house.verify_old("payroll", "p4711"), Verdict::Accepted);
}

#[test]
fn a_locked_account_is_told_and_unlocked_with_its_password_kept() {
    let house = House::new(&Settings::default());
    for _ in 0..5 {
        house.verify("mail", "anna.berger", "wrong");
    }
    assert_eq!(house.verify_old("mail", "anna.berger"), Verdict::Barred);
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.verify();
    caller.press("4");
    for (system, state) in [
        ("active_directory", "normal"),
        ("mail", "locked"),
        ("payroll", "normal"),
    ] {
        caller.hear(&format!("system.{system}"));
        caller.hear(&format!("state.{state}"));
    }
    caller.press("13");
    caller.hear("outcome.unlocked");
    caller.hang_up();
    server.wait_until_idle();
    server.stop();
    assert_eq!(house.verify_old("mail", "anna.berger"), Verdict::Accepted);
}

#[test]
fn the_password_is_keyed_back_before_it_goes_live_where_policy_wants_it() {
    let configuration = format!("{SHORT_PASSWORDS}readback = true\n");
    let house = House::new(&Settings {
        configuration: &configuration,
        ..Settings::default()
    });
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.verify();
    caller.press("22#");
    let password = caller.hear_password();
    caller.press("4");
    caller.hear("readback.ask");
    caller.press("0#");
    caller.hear("readback.differs");
    caller.hear_characters(1);
    caller.press("4");
    caller.hear("readback.ask");
    let keys: String = password
        .chars()
        .filter_map(keypad::key_of)
        .map(|key| key.as_char())
        .collect();
    caller.press(&format!("{keys}#"));
    caller.hear("reset.everywhere");
    caller.hang_up();
    server.wait_until_idle();
    server.stop();
    assert_eq!(
        house.verify("mail", "anna.berger", &password),
        Verdict::AcceptedMustChange
    );
}

#[test]
fn an_unknown_number_hears_what_everybody_hears() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let call = |number: &str| {
        let mut caller = Caller::dial(&server);
        caller.hear("identify.ask");
        caller.press(&format!("{number}#"));
        caller.hear("question.finish");
        caller.press("1950#");
        caller.hear("question.another_round");
        caller.hear("question.finish");
        caller.press("1951#");
        caller.hear("question.not_verified");
        let (said, heard) = (caller.said.clone(), caller.heard());
        caller.hear_hang_up();
        (said, heard)
    };
    let (known, unknown) = std::thread::scope(|scope| {
        let known = scope.spawn(|| call("4711"));
        let unknown = call("4799");
        (known.join().expect("a call"), unknown)
    });
    assert_eq!(known.0, unknown.0);
    let difference = known.1.abs_diff(unknown.1);
    assert!(
        difference < Duration::from_millis(700),
        "one call was {difference:?} longer"
    );
    server.stop();
}

#[test]
fn wrong_answers_lock_out_until_an_admin_unlocks() {
    let house = House::new(&Settings {
        configuration: "[lockout.users]\ntries = 2\n",
        ..Settings::default()
    });
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.press("4711#1950#");
    caller.hear("question.another_round");
    caller.press("1951#");
    caller.hear("question.not_verified");
    caller.hear_hang_up();

    let mut caller = Caller::dial(&server);
    caller.press("4711#2009#");
    caller.hear("question.locked_out");
    caller.hear_hang_up();

    let unlocked = house.run(&["user", "unlock", "anna.berger"]);
    assert!(unlocked.status.success(), "{unlocked:?}");
    verify_and_leave(Caller::dial(&server));
    server.stop();
}

#[test]
fn silence_is_answered_twice_and_then_ends_the_call() {
    let flow = [("noinput_timeout = \"10s\"", "noinput_timeout = \"1s\"")];
    let house = House::new(&Settings {
        flow: &flow,
        ..Settings::default()
    });
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.hear("goodbye.nothing_heard");
    let said = caller.said.clone();
    caller.hear_hang_up();
    let (ask, help) = ("identify.ask", "identify.help");
    assert_eq!(
        said,
        [
            "greeting.welcome",
            ask,
            "common.nothing_heard",
            ask,
            help,
            ask,
            "goodbye.nothing_heard"
        ]
    );
    server.stop();
    assert_eq!(end_of_last_call(&house), ["completed", "nobody_there"]);
}

#[test]
fn wrong_keys_are_told_and_then_end_the_call() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.verify();
    caller.press("7");
    caller.hear("common.not_a_choice");
    for _ in 0..2 {
        caller.press("7");
        caller.hear("common.not_a_choice_again");
    }
    caller.press("7");
    caller.hear("goodbye.wrong_keys");
    caller.hear_hang_up();
    server.stop();
    assert_eq!(end_of_last_call(&house), ["completed", "too_many_wrong_keys"]);
    assert_media_in_the_record(&house);
}

#[test]
fn hanging_up_at_any_point_leaves_no_call() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let at_greeting = |mut caller: Caller| {
        caller.hear_something();
        caller.hang_up()
    };
    let in_an_entry = |mut caller: Caller| {
        caller.press("47");
        server.wait_for_step("ask_identity");
        caller.hang_up()
    };
    let at_a_question = |mut caller: Caller| {
        caller.press("4712#");
        caller.hear("question.start_year");
        caller.hang_up()
    };
    let in_a_password = |mut caller: Caller| {
        caller.verify();
        caller.press("1");
        caller.hear_characters(1);
        caller.hang_up()
    };
    in_an_entry(Caller::dial(&server));
    std::thread::scope(|scope| {
        scope.spawn(|| at_greeting(Caller::dial(&server)));
        scope.spawn(|| at_a_question(Caller::dial(&server)));
        in_a_password(Caller::dial(&server));
    });
    server.wait_until_idle();
    let metrics = server.page("/metrics").1;
    assert!(
        metrics.contains("passline_calls_total{dialplan=\"reset\",result=\"caller_hung_up\"} 4"),
        "{metrics}"
    );
    let media_ended = || {
        server
            .page("/metrics")
            .1
            .contains("passline_media_sessions_active 0")
            .then_some(())
    };
    wait_for("the end of all media", Duration::from_secs(5), media_ended);
    server.stop();
    let mut database = house.database();
    let ends = database.rows("select end_reason, last_step from calls where ended_ms is not null order by last_step");
    let steps = ["ask_identity", "ask_question", "greeting", "read_password"];
    assert_eq!(
        ends,
        steps.map(|step| vec!["caller_hung_up".to_owned(), step.to_owned()])
    );
    assert_eq!(
        database.value("select count(*) from visits where ended_ms is null"),
        "0"
    );
}

#[test]
fn keys_by_sip_info_count_in_both_bodies() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    std::thread::scope(|scope| {
        scope.spawn(|| verify_and_leave(dial_with_keys(&server, KeyPath::InfoRelay)));
        verify_and_leave(dial_with_keys(&server, KeyPath::InfoBare));
    });
    server.stop();
}

#[test]
fn calls_come_in_over_tcp() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let tcp = server.tcp.expect("a TCP address");
    let dialling = Dialling {
        keys: KeyPath::InfoRelay,
        ..Dialling::default()
    };
    verify_and_leave(Caller::dial_with(
        &format!("sip:100@{tcp};transport=tcp"),
        tcp,
        dialling,
    ));
    server.stop();
}

#[test]
fn calls_come_in_over_ipv6() {
    let house = House::new(&Settings {
        listen: Some("\"udp:[::1]:0\", \"tcp:[::1]:0\""),
        ..Settings::default()
    });
    let server = house.serve();
    assert!(server.udp.is_ipv6());
    verify_and_leave(Caller::dial(&server));
    server.stop();
}

#[test]
fn a_law_is_spoken_as_well() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let dialling = Dialling {
        codecs: vec!["PCMA".to_owned()],
        ..Dialling::default()
    };
    let caller = Caller::dial_with(&format!("sip:100@{}", server.udp), server.udp, dialling);
    wait_for("the codec", Duration::from_secs(5), || {
        (server.calls()[0]["codec"] == "PCMA").then_some(())
    });
    let report = verify_and_leave(caller);
    assert_eq!(report.codec, "PCMA");
    server.stop();
}

#[test]
fn a_key_silences_a_prompt_at_once() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let call = || {
        let mut caller = Caller::dial(&server);
        caller.hear_something();
        caller.press("4");
        caller.press("711#");
        for answer in ["1950#", "1951#"] {
            server.wait_for_step("ask_question");
            caller.hear_something();
            caller.press(&answer[..1]);
            caller.press(&answer[1..]);
            caller.hear_any(&["question.another_round", "question.not_verified"]);
        }
        caller.hang_up().key_to_silence_ms
    };
    let mut silences = std::thread::scope(|scope| {
        let other = scope.spawn(call);
        let mut silences = call();
        silences.extend(other.join().expect("a call"));
        silences
    });
    silences.sort_by(f64::total_cmp);
    assert!(silences.len() >= 4, "{silences:?}");
    // One packet time of ours, one of theirs, one tick; twice that for a machine that is busy with other tests.
    assert!(silences[silences.len() / 2] <= 60.0, "{silences:?}");
    server.stop();
}

#[test]
fn a_changed_flow_counts_for_the_next_call_and_a_broken_one_is_refused() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let file = house.path().join("dialplans/reset.toml");
    let flow = fs::read_to_string(&file).expect("a flow");
    let greeting = |expected: &str| {
        let mut caller = Caller::dial(&server);
        caller.hear(expected);
        caller
    };
    let mut before = greeting("greeting.welcome");
    let changed = flow.replace("say = \"greeting.welcome\"", "say = \"unlock.welcome\"");
    fs::write(&file, &changed).expect("written");
    server.wait_for_log("the next call gets the new flow");
    // A call in progress keeps the flow that it began with.
    before.verify();
    before.hang_up();
    greeting("unlock.welcome").hang_up();

    fs::write(&file, changed.replace("next = \"ask_identity\"", "next = \"nowhere\"")).expect("written");
    server.wait_for_log("the flow is refused, the old one stays");
    greeting("unlock.welcome").hang_up();
    server.stop();
}

#[test]
fn the_live_list_shows_steps_and_times_and_no_keys() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let dialling = Dialling {
        caller: Some("sip:+4930901820@127.0.0.1".to_owned()),
        ..Dialling::default()
    };
    let mut caller = Caller::dial_with(&format!("sip:555@{}", server.udp), server.udp, dialling);
    caller.press("4711#200");
    server.wait_for_step("ask_question");
    caller.hear("question.start_year");
    let listed = house.run(&["calls", "--json", "--admin", &server.admin.to_string()]);
    assert!(listed.status.success(), "{listed:?}");
    let text = String::from_utf8(listed.stdout).expect("text");
    let calls: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let call = &calls[0];
    assert_eq!(calls.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&call["step"], &call["dialplan"], &call["trunk"]),
        (&"ask_question".into(), &"reset".into(), &"test".into())
    );
    assert_eq!((&call["codec"], &call["called"]), (&"PCMU".into(), &"555".into()));
    assert!(call["step_since_ms"].as_i64() > call["started_ms"].as_i64());
    assert!(!text.contains("4711") && !text.contains("+4930901820"), "{text}");
    let table = house.run(&["calls", "--admin", &server.admin.to_string()]);
    assert!(
        String::from_utf8_lossy(&table.stdout).contains("ask_question"),
        "{table:?}"
    );
    caller.hang_up();
    server.stop();
}

#[test]
fn a_server_that_stops_takes_no_new_calls_and_lets_those_in_progress_finish() {
    let house = House::new(&Settings::default());
    let mut server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.hear_something();
    server.signal(Signal::SIGTERM);
    wait_for("draining", Duration::from_secs(10), || {
        (server.page("/health/ready").0 == 503).then_some(())
    });
    let refused = Caller::try_dial(&format!("sip:100@{}", server.udp), server.udp, Dialling::default()).err();
    assert!(
        matches!(refused, Some(PhoneError::Rejected { status: 503 })),
        "{refused:?}"
    );
    verify_and_leave(caller);
    assert!(server.wait().success());
    assert_eq!(end_of_last_call(&house), ["completed", "goodbye"]);
}

#[test]
fn calls_that_outlast_the_drain_are_told_goodbye() {
    let house = House::new(&Settings {
        configuration: "[calls]\ndrain = \"1s\"\n",
        ..Settings::default()
    });
    let mut server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.hear_something();
    server.signal(Signal::SIGTERM);
    caller.hear("error.closing");
    caller.hear_hang_up();
    assert!(server.wait().success());
    assert_eq!(end_of_last_call(&house), ["dismissed", "greeting"]);
}

/// The old password holds until the caller accepts: whoever hangs up during the reading has changed nothing.
#[test]
fn a_password_that_was_only_heard_changes_nothing() {
    let house = House::new(&Settings::default());
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.verify();
    caller.press("1");
    caller.hear_characters(2);
    caller.hang_up();
    server.wait_until_idle();
    server.stop();
    let old = Secret::new("Forgotten-aberger-1".to_owned());
    house.with_backstage(async |backstage, config| {
        let passline::config::TargetKind::Embedded(rules) = &config.targets[0].kind else {
            unreachable!("the demo has embedded directories")
        };
        let directory = backstage.directories.target(&config.targets[0].name, rules.clone());
        assert_eq!(
            directory.verify("aberger", &old).await.expect("a verdict"),
            Verdict::Accepted
        );
    });
    let mut database = house.database();
    assert_eq!(database.value("select count(*) from resets"), "0");
}
