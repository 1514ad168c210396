//! Connectors of database servers against a real one: PostgreSQL.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use passline::integration::target::sql::{Address, CaError, Postgresql, PostgresqlConfig, ServerConfig, Tls};
use passline::integration::target::{Check, Expiry, Refusal, Target, TargetError, Verdict};
use passline::secret::Secret;

use crate::support::backend::{Backend, Fault, Wire, openldap, postgresql, psql};
use crate::support::block_on;

const OLD: &str = "Start-Pass-1";
const NEW: &str = "Brand-New-Pass-2";

/// Names that end early, or change what is said, where they are not quoted.
const AWKWARD: [&str; 6] = [
    r#"o"neil"#,
    "o'neil",
    r"back\slash",
    r"tail\",
    "x'; -- y",
    "Änne \"' ünder",
];

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn refusal<T>(answer: Result<T, TargetError>) -> Refusal {
    match answer {
        Err(TargetError::Refused { refusal, .. }) => refusal,
        Err(error) => panic!("no refusal: {error}"),
        Ok(_) => panic!("no refusal"),
    }
}

fn unreachable<T>(answer: Result<T, TargetError>) -> String {
    match answer {
        Err(TargetError::Unreachable { reason, .. }) => reason,
        Err(error) => panic!("not unreachable: {error}"),
        Ok(_) => panic!("reached"),
    }
}

fn verify(target: &dyn Target, account: &str, password: &str) -> Verdict {
    block_on(target.verify(account, &secret(password))).expect("an answer")
}

fn reset(target: &dyn Target, account: &str, password: &str) -> Result<Expiry, TargetError> {
    block_on(target.reset(account, &secret(password), Expiry::Keep))
}

fn checks(target: &dyn Target, account: &str) -> Vec<Check> {
    block_on(target.test(Some(account))).expect("tested")
}

fn problems(target: &dyn Target, account: &str) -> String {
    let problems = checks(target, account).into_iter().filter_map(|check| check.problem);
    problems.collect::<Vec<_>>().join("\n")
}

fn port(backend: &Backend) -> u16 {
    backend.value("PORT").parse().expect("a port")
}

fn server(backend: &Backend, user: &str) -> ServerConfig {
    ServerConfig {
        address: tcp("localhost", port(backend)),
        tls: Tls::Required {
            ca: Some(PathBuf::from(backend.value("CA"))),
        },
        user: user.to_owned(),
        // A busy machine is no reason to fail.
        connect: Duration::from_secs(10),
    }
}

fn tcp(host: &str, port: u16) -> Address {
    Address::Tcp {
        host: host.to_owned(),
        port,
    }
}

fn wire(backend: &Backend) -> Wire {
    Wire::to(SocketAddr::from((Ipv4Addr::LOCALHOST, port(backend))))
}

/// Repeats resets whose answers are cut off later each time, until one is lost that had taken effect; then repeats that one.
/// Packets come together as they like, so the right moment may be missed.
fn lose_an_answer(wire: &Wire, target: &dyn Target, account: &str) {
    let mut current = OLD.to_owned();
    for (attempt, count) in (0..5).flat_map(|attempt| (1..15).map(move |count| (attempt, count))) {
        let new = format!("Brand-New-{attempt}-{count}");
        wire.set(Fault::LoseAfter(count));
        let answer = reset(target, account, &new);
        wire.set(Fault::None);
        let is_set = verify(target, account, &new) == Verdict::Accepted;
        match answer {
            Ok(_) => assert!(is_set),
            Err(TargetError::Unreachable { .. }) => {
                assert_eq!(verify(target, account, &current), Verdict::Accepted, "nothing happened");
            }
            Err(TargetError::Unknown { .. }) if is_set => {
                assert_eq!(
                    reset(target, account, &new),
                    Ok(Expiry::Keep),
                    "a repetition does no harm"
                );
                assert_eq!(verify(target, account, &new), Verdict::Accepted);
                return;
            }
            Err(TargetError::Unknown { .. }) => {}
            Err(error) => panic!("neither lost nor found: {error}"),
        }
        if is_set {
            current = new;
        }
    }
    panic!("no answer was lost");
}

/// A server that offers no encryption: its port, and what it hears after `hello` (for who waits to be asked) and its `answer`.
fn plain_server(hello: &'static [u8], answer: &'static [u8]) -> (u16, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let heard = std::thread::spawn(move || {
        let (mut peer, _) = listener.accept().expect("a connection");
        peer.write_all(hello).expect("written");
        if !answer.is_empty() {
            peer.read_exact(&mut [0; 8]).expect("the question for encryption");
            peer.write_all(answer).expect("written");
        }
        let mut heard = Vec::new();
        peer.read_to_end(&mut heard).expect("the end");
        heard
    });
    (port, heard)
}

/// Whether any file here, below the folder of data or not, has this text.
fn is_in_a_log(path: &Path, text: &str) -> bool {
    if path.is_dir() {
        let entries = fs::read_dir(path).expect("a folder");
        return entries.flatten().any(|entry| {
            let is_data = entry.file_name() == "data";
            !is_data && is_in_a_log(&entry.path(), text)
        });
    }
    let bytes = fs::read(path).unwrap_or_default();
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

mod postgresql_server {
    use super::*;

    fn config(user: &str) -> PostgresqlConfig {
        PostgresqlConfig {
            name: "database".to_owned(),
            server: server(postgresql(), user),
            database: "postgres".to_owned(),
            members_of: None,
        }
    }

    fn with(config: PostgresqlConfig) -> Postgresql {
        let credential = secret(postgresql().value("SERVICE_PASSWORD"));
        Postgresql::new(config, Some(credential)).expect("certificates")
    }

    /// With the least rights.
    fn service() -> Postgresql {
        with(config(postgresql().value("SERVICE")))
    }

    fn quoted(name: &str) -> String {
        format!("\"{}\"", name.replace('"', "\"\""))
    }

    /// A role of its own for each test.
    fn person(name: &str, options: &str) {
        psql(&format!(
            "create role {} login password '{OLD}' {options}",
            quoted(name)
        ));
    }

    #[test]
    fn a_reset_replaces_the_password_and_no_log_shows_it() {
        let secret_password = "Never-In-Any-Log-4711";
        person("ada", "");
        let target = service();
        assert_eq!(verify(&target, "ada", OLD), Verdict::Accepted);
        let expiring = block_on(target.reset("ada", &secret(secret_password), Expiry::AtNextSignIn));
        assert_eq!(expiring, Ok(Expiry::Keep), "there is no other");
        assert_eq!(verify(&target, "ada", OLD), Verdict::Rejected);
        assert_eq!(verify(&target, "ada", secret_password), Verdict::Accepted);
        assert_eq!(verify(&target, "ada", ""), Verdict::Rejected);
        let kept = psql("select rolpassword from pg_authid where rolname = 'ada'");
        assert!(kept.starts_with("SCRAM-SHA-256$4096:"), "{kept}");
        let log = Path::new(postgresql().value("LOG"));
        assert!(is_in_a_log(log, &kept), "the statement is in the log");
        assert!(!is_in_a_log(postgresql().folder(), secret_password));
        // Without ASCII, and what SASLprep changes: its own client finds the same.
        for password in ["Grüße-Ωmega-9", "a\u{ad}b\u{aa}c-Pass"] {
            assert_eq!(reset(&target, "ada", password), Ok(Expiry::Keep));
            assert_eq!(verify(&target, "ada", password), Verdict::Accepted, "{password:?}");
        }
    }

    #[test]
    fn names_are_taken_as_they_are() {
        let target = service();
        for name in AWKWARD {
            person(name, "");
        }
        for name in AWKWARD {
            assert_eq!(
                verify(&target, name, OLD),
                Verdict::Accepted,
                "{name}: not by the one before"
            );
            assert_eq!(reset(&target, name, NEW), Ok(Expiry::Keep), "{name}");
            assert_eq!(verify(&target, name, NEW), Verdict::Accepted, "{name}");
            assert_eq!(problems(&target, name), "", "{name}");
        }
        let long = "l".repeat(63);
        person(&long, "");
        let too_long = long.clone() + "l";
        for nobody in ["nobody", "", "ada\0", "ADA", "%", "people\n", &too_long] {
            assert_eq!(
                refusal(reset(&target, nobody, NEW)),
                Refusal::NoSuchAccount,
                "{nobody:?}"
            );
            assert_eq!(verify(&target, nobody, NEW), Verdict::Rejected, "{nobody:?}");
        }
        assert_eq!(
            verify(&target, &long, OLD),
            Verdict::Accepted,
            "the server would cut the longer name"
        );
    }

    #[test]
    fn a_role_that_may_not_sign_in_is_told_and_left_alone() {
        person("dora", "");
        let target = service();
        block_on(target.disable("dora")).expect("disabled");
        assert_eq!(block_on(target.state("dora")).expect("a state").disabled, Some(true));
        assert_eq!(refusal(reset(&target, "dora", NEW)), Refusal::Disabled);
        assert_eq!(verify(&target, "dora", OLD), Verdict::Barred);
        assert_eq!(verify(&target, "dora", NEW), Verdict::Rejected);
        block_on(target.enable("dora")).expect("enabled");
        let state = block_on(target.state("dora")).expect("a state");
        assert_eq!((state.disabled, state.must_change), (Some(false), Some(false)));
        assert_eq!(verify(&target, "dora", OLD), Verdict::Accepted);
    }

    #[test]
    fn a_password_that_has_run_out_gets_a_new_life_and_no_other() {
        person("eva", "valid until '2020-01-01'");
        person("finn", "valid until '2099-01-01 00:00+00'");
        let target = service();
        assert_eq!(verify(&target, "eva", OLD), Verdict::Rejected);
        for name in ["eva", "finn"] {
            assert_eq!(reset(&target, name, NEW), Ok(Expiry::Keep));
            assert_eq!(verify(&target, name, NEW), Verdict::Accepted, "{name}");
        }
        let kept = psql(
            "select rolvaliduntil at time zone 'UTC' from pg_roles where rolname in ('eva', 'finn') order by rolname",
        );
        assert_eq!(kept, "infinity\n2099-01-01 00:00:00");
    }

    #[test]
    fn whoever_administers_the_server_is_never_reset() {
        person("root1", "superuser");
        person("root2", "replication");
        person("root3", "bypassrls");
        person("root4", "createrole");
        psql("create role admins bypassrls nologin");
        person("root5", "in role admins");
        psql("create role between in role admins nologin");
        person("root6", "noinherit in role between");
        person("root7", "in role pg_write_server_files");
        let target = service();
        for name in [
            "postgres", "passline", "root1", "root2", "root3", "root4", "root5", "root6", "root7",
        ] {
            assert_eq!(refusal(reset(&target, name, NEW)), Refusal::Rights, "{name}");
            assert_eq!(refusal(block_on(target.disable(name))), Refusal::Rights, "{name}");
            let tried = block_on(target.verify(name, &secret(OLD)));
            assert_eq!(refusal(tried), Refusal::Rights, "{name}");
            assert!(problems(&target, name).contains("never reset"), "{name}");
        }
        let listed = block_on(target.list_accounts(None, 1_000)).expect("a list");
        assert!(
            !listed.iter().any(|name| name.starts_with("root") || name == "passline"),
            "{listed:?}"
        );
    }

    #[test]
    fn members_of_one_role_alone_indirect_ones_too() {
        psql("create role desk in role people nologin");
        for (name, options) in [("mia", "in role people"), ("max", "in role desk"), ("moe", "")] {
            person(name, options);
        }
        let mut config = config(postgresql().value("SERVICE"));
        config.members_of = Some("people".to_owned());
        let target = with(config);
        for name in ["mia", "max"] {
            assert_eq!(reset(&target, name, NEW), Ok(Expiry::Keep), "{name}");
        }
        for name in ["moe", "people", "postgres"] {
            let answer = refusal(reset(&target, name, NEW));
            assert!(
                matches!(answer, Refusal::NoSuchAccount | Refusal::Rights),
                "{name}: {answer}"
            );
        }
        assert_eq!(verify(&target, "moe", OLD), Verdict::Rejected, "nobody here");
        assert!(problems(&target, "moe").contains("look at `members_of`"));
        let list = |after: Option<&str>, limit| block_on(target.list_accounts(after, limit)).expect("a list");
        assert_eq!(list(None, 10), ["max", "mia"]);
        assert_eq!(list(None, 1), ["max"]);
        assert_eq!(list(Some("max"), 10), ["mia"]);
        assert!(list(Some("mia"), 10).is_empty());
    }

    #[test]
    fn a_password_is_right_also_where_the_database_is_closed() {
        person("nora", "");
        psql("create database closed");
        psql("revoke connect on database closed from public; grant connect on database closed to passline");
        let mut config = config(postgresql().value("SERVICE"));
        config.database = "closed".to_owned();
        let target = with(config);
        assert_eq!(verify(&target, "nora", OLD), Verdict::Accepted);
        assert_eq!(verify(&target, "nora", NEW), Verdict::Rejected);
    }

    #[test]
    fn a_test_says_what_is_missing_and_changes_nothing() {
        person("gwen", "connection limit 7");
        assert_eq!(problems(&service(), "gwen"), "");
        assert_eq!(verify(&service(), "gwen", OLD), Verdict::Accepted);
        assert_eq!(psql("select rolconnlimit from pg_roles where rolname = 'gwen'"), "7");

        let powerless = with(config("powerless"));
        assert!(problems(&powerless, "gwen").contains("Passline needs CREATEROLE"));
        assert_eq!(refusal(reset(&powerless, "gwen", NEW)), Refusal::Rights);
        assert_eq!(verify(&powerless, "gwen", OLD), Verdict::Accepted);

        let mut open = config(postgresql().value("SERVICE"));
        open.database = "trusting".to_owned();
        assert!(problems(&with(open), "gwen").contains("without asking"));
    }

    #[test]
    fn a_certificate_of_somebody_else_or_for_another_host_is_not_believed() {
        person("hope", "");
        let mut foreign = config(postgresql().value("SERVICE"));
        foreign.server.tls = Tls::Required {
            ca: Some(PathBuf::from(openldap().value("CA"))),
        };
        let reason = unreachable(reset(&with(foreign), "hope", NEW));
        assert!(reason.contains("`ca` must be the file"), "{reason}");
        let mut elsewhere = config(postgresql().value("SERVICE"));
        elsewhere.server.address = tcp("::ffff:127.0.0.1", port(postgresql()));
        let reason = unreachable(reset(&with(elsewhere), "hope", NEW));
        assert!(reason.contains("`host` must be a name"), "{reason}");

        for (path, is_empty) in [("/nowhere/ca.pem", false), (postgresql().value("LOG"), true)] {
            let mut missing = config("passline");
            missing.server.tls = Tls::Required {
                ca: Some(PathBuf::from(path)),
            };
            let error = Postgresql::new(missing, None).expect_err("no certificate");
            assert_eq!(matches!(error, CaError::Empty { .. }), is_empty, "{error}");
        }
    }

    #[test]
    fn a_server_without_encryption_hears_nothing() {
        let (port, heard) = plain_server(b"", b"N");
        let mut config = config("passline");
        config.server.address = tcp("localhost", port);
        let reason = unreachable(reset(&with(config), "hope", NEW));
        assert!(reason.contains("does not support TLS; switch TLS on there"), "{reason}");
        assert_eq!(heard.join().expect("heard"), b"");
    }

    #[test]
    fn a_socket_needs_no_certificate() {
        person("ivy", "");
        let mut local = config(postgresql().value("SERVICE"));
        local.server.address = Address::Socket {
            path: PathBuf::from(postgresql().value("SOCKET")),
            port: port(postgresql()),
        };
        local.server.tls = Tls::Off;
        let target = with(local);
        assert_eq!(reset(&target, "ivy", NEW), Ok(Expiry::Keep));
        assert_eq!(verify(&target, "ivy", NEW), Verdict::Accepted);
    }

    #[test]
    fn a_wrong_password_of_ours_is_told() {
        let wrong = Postgresql::new(config("passline"), Some(secret("Wrong-Pass-9"))).expect("certificates");
        let reason = unreachable(block_on(wrong.state("anna")));
        assert!(
            reason.contains("does not let passline sign in: error 28P01"),
            "{reason}"
        );
        assert!(!reason.contains("Wrong-Pass-9"), "{reason}");
        assert!(problems(&wrong, "anna").contains("28P01"));
        let none = Postgresql::new(config("passline"), None).expect("certificates");
        assert!(unreachable(reset(&none, "anna", NEW)).contains("passline target credential"));
        let mut silent = config("passline");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        silent.server.address = tcp("127.0.0.1", listener.local_addr().expect("bound").port());
        silent.server.connect = Duration::from_millis(200);
        assert!(unreachable(reset(&with(silent), "anna", NEW)).contains("no answer in time"));
    }

    #[test]
    fn a_lost_answer_is_unknown_and_a_repetition_does_no_harm() {
        person("ines", "");
        let wire = wire(postgresql());
        let mut config = config(postgresql().value("SERVICE"));
        config.server.address = tcp("localhost", wire.address.port());
        lose_an_answer(&wire, &with(config), "ines");
    }
}
