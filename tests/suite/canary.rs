//! Canaries: what was keyed, answered or read out in calls is nowhere but on the line.
//!
//! The program runs at the loudest log level with recordings on. Afterwards every file that it has written is searched,
//! raw and column by column, the recordings with an ear. The employee number is an ID that lives in the database in
//! clear by design; it must not be in logs, metrics, recordings or call records all the same.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use passline::call::phone::vocabulary::Word;
use passline::call::phone::{Dialling, KeyPath};
use passline::identity::keypad;
use passline::secret::Secret;
use passline::telephony::codec::Codec;
use passline::telephony::sip::Credentials;

use crate::support::caller::{self, Caller, told};
use crate::support::database::Database;
use crate::support::database_server;
use crate::support::server::{House, PASSLINE, Settings};
use crate::support::wire::{SDP, Wire, request, sdp};

const NUMBER: &str = "93175820461";
const ANSWER: &str = "730418295166";
const WRONG_BY_INFO: [&str; 2] = ["648207193355", "648207193366"];
const WRONG_BY_COMMAND: &str = "518263940727";

/// Something that must not be found, and how it is called when it is.
struct Canary {
    name: &'static str,
    text: String,
}

fn canary(name: &'static str, text: impl Into<String>) -> Canary {
    Canary {
        name,
        text: text.into(),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
    {
        if entry.is_dir() {
            found.extend(files(&entry));
        } else {
            found.push(entry);
        }
    }
    found
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// Where canaries are in the bytes of the files of a folder.
fn search_bytes(folder: &Path, canaries: &[Canary]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files(folder) {
        let bytes = fs::read(&file).expect("a file");
        let hits = canaries.iter().filter(|canary| contains(&bytes, &canary.text));
        found.extend(hits.map(|canary| format!("{} in {}", canary.name, file.display())));
    }
    found
}

/// Where canaries are in the columns of the databases of a folder.
fn search_columns(folder: &Path, canaries: &[Canary]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files(folder)
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "db"))
    {
        let mut database = Database::open(file);
        for table in database.tables() {
            for row in database.rows(&format!("select * from {table}")) {
                for canary in canaries
                    .iter()
                    .filter(|canary| row.iter().any(|column| column.contains(&canary.text)))
                {
                    found.push(format!("{} in table {table} of {}", canary.name, file.display()));
                }
            }
        }
        database.close();
    }
    found
}

/// Prompts that can be heard in a recording, and spelled characters.
fn listen(recording: &Path) -> (Vec<String>, Vec<String>) {
    let mut reader = hound::WavReader::open(recording).expect("a recording");
    assert_eq!(reader.spec().channels, 2);
    let samples: Vec<i16> = reader.samples().collect::<Result<_, _>>().expect("samples");
    let mut heard = (Vec::new(), Vec::new());
    for channel in 0..2 {
        let bytes: Vec<u8> = samples[channel..]
            .iter()
            .step_by(2)
            .map(|&s| Codec::Pcmu.encode_sample(s))
            .collect();
        for word in caller::ear_for_recordings().hear(&bytes) {
            match &word.label {
                Word::Character(_) => heard.1.push(told(&word.label)),
                _ => heard.0.push(told(&word.label)),
            }
        }
    }
    heard
}

fn recordings(folder: &Path) -> Vec<PathBuf> {
    files(folder)
        .into_iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "wav"))
        .collect()
}

/// Everything that is found in a folder.
fn search(folder: &Path, canaries: &[Canary]) -> Vec<String> {
    let mut found = search_bytes(folder, canaries);
    found.extend(search_columns(folder, canaries));
    for recording in recordings(folder) {
        found.extend(
            listen(&recording)
                .1
                .into_iter()
                .map(|spelled| format!("{spelled} in {}", recording.display())),
        );
    }
    found
}

/// Words after which a single key would be told, one at a time.
fn tells_single_keys(log: &str) -> Option<&str> {
    let tells = |line: &&str| {
        let words: Vec<&str> = line
            .split(|c: char| !c.is_alphanumeric())
            .filter(|word| !word.is_empty())
            .collect();
        let about_keys = |word: &str| ["digit", "digits", "key", "keys", "signal", "pressed"].contains(&word);
        words
            .windows(2)
            .any(|pair| about_keys(&pair[0].to_lowercase()) && pair[1].len() == 1 && pair[1] != "s")
    };
    log.lines().find(tells)
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

/// A house where answers and numbers are long enough to be told from everything else.
fn house() -> House {
    let house = House::empty(&Settings {
        configuration: "[calls]\nrecordings = \"recordings\"\n[passwords]\nmin_length = 10\n",
        log_level: Some("trace"),
        ..Settings::default()
    });
    let file = house.path().join("passline.toml");
    let configuration = fs::read_to_string(&file).expect("written");
    fs::write(&file, configuration.replace("digits 4-4", "digits 12-12")).expect("written");
    fs::remove_file(house.path().join("people.csv")).expect("it was there");
    let person = format!("login,name,employee_number,account.mail\ncarla,Carla Nary,{NUMBER},carla.nary\n");
    let imported = house.run_with_input(&["user", "import", "-"], &person);
    assert!(imported.status.success(), "{imported:?}");
    let answer = format!("question.start_year = {ANSWER}\n");
    let enrolled = house.run_with_input(&["user", "enroll", "carla", "--stdin"], &answer);
    assert!(enrolled.status.success(), "{enrolled:?}");
    for output in [imported, enrolled] {
        fs::write(
            house.path().join(format!("output-{}", output.stdout.len())),
            [output.stdout, output.stderr].concat(),
        )
        .expect("written");
    }
    house.with_backstage(async |backstage, config| {
        let passline::config::TargetKind::Embedded(rules) = &config.targets[1].kind else {
            unreachable!("the demo has embedded directories")
        };
        let old = passline::secret::Secret::new("Forgotten-carla-1".to_owned());
        backstage
            .directories
            .target("mail", rules.clone())
            .create("carla.nary", &old)
            .await
            .expect("created");
    });
    house
}

#[test]
fn nothing_that_was_keyed_answered_or_read_out_is_kept_anywhere() {
    let house = house();
    let server = house.serve();
    let uri = format!("sip:100@{}", server.udp);
    let mut scraped = String::new();
    let mut scrape = |server: &crate::support::server::Server| {
        scraped += &server.page("/metrics").1;
        scraped += &server.page("/calls").1;
    };

    let mut caller = Caller::dial(&server);
    caller.press(&format!("{NUMBER}#"));
    caller.hear("question.start_year");
    scrape(&server);
    caller.press(&format!("{ANSWER}#"));
    caller.hear("question.verified");
    caller.press("1");
    let password = std::thread::scope(|scope| {
        let password = scope.spawn(|| caller.hear_password());

        let dialling = Dialling {
            keys: KeyPath::InfoRelay,
            ..Dialling::default()
        };
        let mut wrong = Caller::dial_with(&uri, server.udp, dialling);
        wrong.press(&format!("{NUMBER}#{}#", WRONG_BY_INFO[0]));
        wrong.hear("question.another_round");
        scrape(&server);
        wrong.press(&format!("{}#", WRONG_BY_INFO[1]));
        wrong.hear("question.not_verified");
        wrong.hear_hang_up();
        let mut command = Command::new(PASSLINE);
        command.args([
            "call",
            &uri,
            "--keys",
            &format!("{NUMBER}#{WRONG_BY_COMMAND}#"),
            "--stay",
            "3s",
            "--by",
            "info",
        ]);
        let called = command.output().expect("the program runs");
        assert!(called.status.success(), "{called:?}");
        fs::write(
            house.path().join("output-call"),
            [called.stdout, called.stderr].concat(),
        )
        .expect("written");

        password.join().expect("a password")
    });
    scrape(&server);
    caller.press("4");
    caller.hear("reset.everywhere");
    caller.hear("outcome.must_change");
    scrape(&server);
    caller.press("2");
    caller.hear("goodbye.thanks");
    caller.hear_hang_up();
    server.wait_until_idle();
    scrape(&server);
    fs::write(house.path().join("scraped"), &scraped).expect("written");

    let keys: String = password
        .chars()
        .filter_map(keypad::key_of)
        .map(|key| key.as_char())
        .collect();
    assert!(password.len() >= 10 && keys.len() >= 6, "the canary is too short");
    let canaries = [
        canary("the answer", ANSWER),
        canary("a wrong answer", WRONG_BY_INFO[0]),
        canary("another wrong answer", WRONG_BY_INFO[1]),
        canary("a wrong answer of a test call", WRONG_BY_COMMAND),
        canary("the password", &*password),
        canary("the keys of the password", keys),
    ];
    // The write-ahead logs are there while the server runs, or else what the database server has seen and keeps.
    let dump = house.path().join("dump.sql");
    match house.on_server() {
        None => assert!(house.path().join("data/passline.db-wal").exists()),
        Some(name) => {
            let seen = database_server::log();
            assert!(contains(&seen, name), "its log has every statement");
            fs::write(house.path().join("seen"), seen).expect("written");
            fs::write(&dump, database_server::dump(name)).expect("written");
        }
    }
    let nothing: [String; 0] = [];
    assert_eq!(search_bytes(house.path(), &canaries), nothing);
    let log = server.log();
    fs::write(house.path().join("stdout"), server.stop()).expect("written");
    assert_eq!(search(house.path(), &canaries), nothing);
    assert!(log.contains("DEBUG"), "the log is as loud as it gets");
    assert_eq!(tells_single_keys(&log), None);

    // The number is an ID and may be in the tables of users, nowhere else. A server's log is told the values it is given.
    let _ = fs::remove_file(house.path().join("seen"));
    let number = [canary("the number", NUMBER)];
    let hits = search(house.path(), &number);
    let own = house.path().join("data/passline.db");
    let allowed = [
        format!("in {}", dump.display()),
        format!("in {}", own.display()),
        format!("in table users of {}", own.display()),
        format!("in table keypad_ids of {}", own.display()),
    ];
    let elsewhere: Vec<&String> = hits
        .iter()
        .filter(|hit| !allowed.iter().any(|place| hit.ends_with(place)))
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
    assert!(!hits.is_empty());

    // The recordings are whole but for the password.
    let recordings = recordings(house.path());
    assert_eq!(recordings.len(), 3);
    let heard: Vec<Vec<String>> = recordings.iter().map(|recording| listen(recording).0).collect();
    let reset = ["password.get_ready", "reset.everywhere", "goodbye.thanks"];
    let whole = heard
        .iter()
        .filter(|heard| reset.iter().all(|&prompt| heard.iter().any(|heard| heard == prompt)));
    assert_eq!(whole.count(), 1, "{heard:?}");

    assert_finds_what_is_planted(&house, &canaries);
}

const TRUNK_PASSWORD: &str = "pelican-4417-harbour";
const CALLING: &str = "15550138264";
const SRTP_KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

/// The trace of messages is for whoever connects a trunk: it must help, and tell nothing.
#[test]
fn the_trace_of_messages_shows_no_credentials_numbers_or_bodies() {
    let trunk = format!(
        "networks = [\"127.0.0.1\"]\n[digest]\nrealm = \"pbx\"\n[[digest.users]]\nname = \"u\"\n\
         password = \"{TRUNK_PASSWORD}\"\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n"
    );
    let house = House::new(&Settings {
        trunk: Some(&trunk),
        log_level: Some("trace"),
        ..Settings::default()
    });
    let server = house.serve();
    let dialling = |keys| Dialling {
        caller: Some(format!("sip:+{CALLING}@127.0.0.1")),
        credentials: Some(Credentials {
            username: "u".to_owned(),
            password: Secret::new(TRUNK_PASSWORD.to_owned()),
        }),
        keys,
        ..Dialling::default()
    };
    let uri = format!("sip:100@{}", server.udp);
    for keys in [KeyPath::InfoRelay, KeyPath::InfoBare, KeyPath::Event] {
        let mut caller = Caller::dial_with(&uri, server.udp, dialling(keys));
        caller.press(&format!("{NUMBER}#"));
        server.wait_for_step("ask_question");
        caller.hang_up();
        server.wait_until_idle();
    }
    // Keys of SRTP are refused with the whole offer, in whatever state it is.
    let wire = Wire::on("127.0.0.1");
    let offer = sdp(wire.address()).replace("RTP/AVP", "RTP/SAVP")
        + &format!("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{SRTP_KEY}\r\n");
    assert_eq!(
        wire.ask(server.udp, &request("INVITE", wire.address(), SDP, &offer)),
        401
    );
    // Gateways build identifiers and host names out of the number that calls.
    let numbered = request("INVITE", wire.address(), SDP, &offer)
        .replace("Call-ID: ", &format!("Call-ID: {CALLING}-"))
        .replace("branch=z9hG4bK", &format!("branch=z9hG4bK-{CALLING}-"))
        .replace(
            &format!("<sip:caller@{}>", wire.address()),
            &format!("<sip:caller@n{CALLING}.example.com>"),
        );
    assert_eq!(wire.ask(server.udp, &numbered), 401);
    let limits = fs::read_to_string(format!("/proc/{}/limits", server.pid())).expect("it runs");
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"))
        .expect("a limit");
    assert_eq!(
        core.split_whitespace().rev().nth(1),
        Some("0"),
        "memory on disk: {core}"
    );

    let log = server.log();
    for told in [
        "SIP message received",
        "SIP message sent",
        "sip.start=\"INFO",
        "401 Unauthorized",
        "200 OK",
    ] {
        assert!(log.contains(told), "{told} is not in the trace");
    }
    let traced = |line: &&str| line.contains("TRACE") && line.contains("sip.credentials=true");
    assert!(log.lines().any(|line| traced(&line)));
    server.stop();
    let trunk_file = house.path().join("trunks/test.toml");
    fs::remove_file(trunk_file).expect("it was there");
    let canaries = [
        canary("the password of the trunk", TRUNK_PASSWORD),
        canary("a response of digest authentication", "response="),
        canary("a nonce", "nonce="),
        canary("what was keyed", NUMBER),
        canary("a key of INFO", "Signal="),
        canary("a key of SRTP", SRTP_KEY),
    ];
    let nothing: [String; 0] = [];
    assert_eq!(search(house.path(), &canaries), nothing);
    // The calling number is in the records of calls and nowhere else; there it counts against guessing.
    let outside = search(house.path(), &[canary("the calling number", CALLING)]);
    let database = house.path().join("data/passline.db").display().to_string();
    assert!(outside.iter().all(|place| place.contains(&database)), "{outside:?}");
}

/// A search that finds nothing proves something only if it would find what is there.
fn assert_finds_what_is_planted(house: &House, canaries: &[Canary]) {
    let planted = tempfile::tempdir().expect("a folder");
    copy(house.path(), planted.path());
    let finds = |what: &str| {
        let found = search(planted.path(), canaries);
        assert!(
            found.iter().any(|found| found.contains(what)),
            "{what} was planted and not found: {found:?}"
        );
    };
    let log = planted.path().join("server.log");
    fs::write(
        &log,
        format!("{}TRACE digits={ANSWER}\n", fs::read_to_string(&log).expect("a log")),
    )
    .expect("written");
    finds("the answer in ");
    assert!(tells_single_keys("TRACE media: digit=7 pressed").is_some());

    if house.on_server().is_some() {
        let dump = planted.path().join("dump.sql");
        let text = fs::read_to_string(&dump).expect("a dump");
        fs::write(&dump, text + &canaries[4].text).expect("written");
        finds("the password in ");
    } else {
        let mut database = Database::open(&planted.path().join("data/passline.db"));
        database.run(&format!(
            "update calls set last_step = 'ask' || '{}'",
            canaries[4].text.replace('\'', "''")
        ));
        database.close();
        finds("the password in table calls");
    }

    let file = recordings(planted.path()).remove(0);
    let mut reader = hound::WavReader::open(&file).expect("a recording");
    let spec = reader.spec();
    let mut samples: Vec<i16> = reader.samples().collect::<Result<_, _>>().expect("samples");
    samples.extend(caller::character('Q').into_iter().flat_map(|sample| [0, sample]));
    let mut writer = hound::WavWriter::create(&file, spec).expect("a file");
    samples
        .into_iter()
        .for_each(|sample| writer.write_sample(sample).expect("written"));
    writer.finalize().expect("written");
    finds("<Q> in ");
}
