//! Connectors of database servers against real ones: PostgreSQL and MariaDB.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use passline::integration::target::sql::{
    Address, Mysql, MysqlConfig, Postgresql, PostgresqlConfig, ServerConfig, Tls,
};
use passline::integration::target::{Check, Expiry, Refusal, Target, TargetError, TlsError, Verdict};

use crate::support::backend::{Backend, Fault, Wire, mariadb, mariadb_root, postgresql, psql};
use crate::support::block_on;
use crate::support::caller::Caller;
use crate::support::server::{House, Settings};
use crate::support::target::{NEW, OLD, refusal, secret, unreachable, verify};

/// Names that end early, or change what is said, where they are not quoted.
const AWKWARD: [&str; 6] = [
    r#"o"neil"#,
    "o'neil",
    r"back\slash",
    r"tail\",
    "x'; -- y",
    "Änne \"' ünder",
];

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
            ca: Some(PathBuf::from(mariadb().value("CA"))),
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
            assert_eq!(matches!(error, TlsError::NoCa { .. }), is_empty, "{error}");
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

mod mariadb_server {
    use super::*;

    fn config(user: &str) -> MysqlConfig {
        MysqlConfig {
            name: "shop".to_owned(),
            server: server(mariadb(), user),
            account_host: "%".to_owned(),
        }
    }

    fn with(config: MysqlConfig) -> Mysql {
        let credential = secret(mariadb().value("SERVICE_PASSWORD"));
        Mysql::new(config, Some(credential)).expect("certificates")
    }

    /// With the least rights.
    fn service() -> Mysql {
        with(config(mariadb().value("SERVICE")))
    }

    fn quoted(name: &str) -> String {
        format!("'{}'", name.replace('\\', "\\\\").replace('\'', "''"))
    }

    /// An account of its own for each test.
    fn person(name: &str) {
        mariadb_root(&format!("create user {}@'%' identified by '{OLD}'", quoted(name)));
    }

    fn expiring(target: &dyn Target, account: &str, password: &str) -> Result<Expiry, TargetError> {
        block_on(target.reset(account, &secret(password), Expiry::AtNextSignIn))
    }

    #[test]
    fn a_reset_replaces_the_password_and_no_log_shows_it() {
        let secret_password = "Never-In-Any-Log-4712";
        person("ada");
        let target = service();
        assert_eq!(verify(&target, "ada", OLD), Verdict::Accepted);
        assert_eq!(reset(&target, "ada", secret_password), Ok(Expiry::Keep));
        assert_eq!(verify(&target, "ada", OLD), Verdict::Rejected);
        assert_eq!(verify(&target, "ada", secret_password), Verdict::Accepted);
        assert_eq!(
            verify(&target, "ada@%", secret_password),
            Verdict::Accepted,
            "by its whole name"
        );
        assert_eq!(verify(&target, "ada", ""), Verdict::Rejected);
        let kept = mariadb_root(
            "select json_value(Priv, '$.authentication_string') from mysql.global_priv where User = 'ada'",
        );
        let logs = Path::new(mariadb().value("LOGS"));
        assert!(
            is_in_a_log(&logs.join("general.log"), &kept),
            "the statement is in the log"
        );
        assert!(!is_in_a_log(logs, secret_password));
    }

    #[test]
    fn a_password_may_be_one_that_must_be_changed() {
        person("bea");
        let target = service();
        let before = block_on(target.state("bea")).expect("a state");
        assert_eq!(expiring(&target, "bea", NEW), Ok(Expiry::AtNextSignIn));
        assert_eq!(verify(&target, "bea", OLD), Verdict::Rejected);
        assert_eq!(verify(&target, "bea", NEW), Verdict::AcceptedMustChange);
        let after = block_on(target.state("bea")).expect("a state");
        assert_eq!((before.must_change, after.must_change), (Some(false), Some(true)));
        let (before, expired) = (before.marker.expect("a marker"), after.marker.expect("a marker"));
        assert_eq!(expired.has_moved_since(before.as_str()), Some(true));
        assert_eq!(
            expired.has_moved_since(expired.as_str()),
            None,
            "which of two, nobody can tell"
        );
        assert_eq!(reset(&target, "bea", "Third-Pass-3"), Ok(Expiry::Keep));
        assert_eq!(verify(&target, "bea", "Third-Pass-3"), Verdict::Accepted);
        block_on(target.expire("bea")).expect("expired");
        assert_eq!(verify(&target, "bea", "Third-Pass-3"), Verdict::AcceptedMustChange);
        mariadb_root("set global disconnect_on_expired_password = 1");
        assert_eq!(verify(&target, "bea", "Third-Pass-3"), Verdict::AcceptedMustChange);
        mariadb_root("set global disconnect_on_expired_password = 0");

        mariadb_root(&format!(
            "set timestamp = 1000000000; create user aged@'%' identified by '{OLD}' password expire interval 1 day"
        ));
        assert_eq!(block_on(target.state("aged")).expect("a state").must_change, Some(true));
        assert_eq!(verify(&target, "aged", OLD), Verdict::AcceptedMustChange);
    }

    #[test]
    fn wrong_tries_block_an_account_until_a_reset() {
        person("cleo");
        let target = service();
        let block = || {
            for _ in 0..3 {
                assert_eq!(verify(&target, "cleo", "Wrong-Pass-9"), Verdict::Rejected);
            }
            assert_eq!(verify(&target, "cleo", OLD), Verdict::Barred);
        };
        block();
        block_on(target.unlock("cleo")).expect("unlocked");
        assert_eq!(verify(&target, "cleo", OLD), Verdict::Accepted);
        block_on(target.unlock("cleo")).expect("there is nothing to clear, which is no failure");
        block();
        assert_eq!(reset(&target, "cleo", NEW), Ok(Expiry::Keep));
        assert_eq!(verify(&target, "cleo", NEW), Verdict::Accepted);
    }

    #[test]
    fn an_account_that_is_locked_is_told_and_left_alone() {
        person("dora");
        let target = service();
        block_on(target.disable("dora")).expect("disabled");
        let state = block_on(target.state("dora")).expect("a state");
        assert_eq!((state.disabled, state.locked), (Some(true), None));
        assert_eq!(refusal(reset(&target, "dora", NEW)), Refusal::Disabled);
        block_on(target.unlock("dora")).expect("that is another lock");
        assert_eq!(verify(&target, "dora", OLD), Verdict::Barred);
        assert_eq!(verify(&target, "dora", NEW), Verdict::Rejected);
        block_on(target.enable("dora")).expect("enabled");
        assert_eq!(verify(&target, "dora", OLD), Verdict::Accepted);
    }

    #[test]
    fn names_are_taken_as_they_are() {
        let target = service();
        for name in AWKWARD {
            person(name);
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
        person("nil");
        for nobody in [
            "nobody",
            "",
            "nil\0",
            "NIL",
            "nil ",
            "%",
            "ni_",
            "nil@",
            "@%",
            "nil@elsewhere",
        ] {
            assert_eq!(
                refusal(reset(&target, nobody, NEW)),
                Refusal::NoSuchAccount,
                "{nobody:?}"
            );
            assert_eq!(verify(&target, nobody, NEW), Verdict::Rejected, "{nobody:?}");
        }
    }

    #[test]
    fn an_account_is_a_user_and_a_host() {
        mariadb_root(&format!(
            "create user eva@'%' identified by 'Elsewhere-Pass-7', eva@'127.0.0.1' identified by '{OLD}', \
             eva@'10.9.%' identified by '{OLD}', 'eva@example.com'@'%' identified by '{OLD}'"
        ));
        let target = service();
        assert_eq!(verify(&target, "eva@127.0.0.1", OLD), Verdict::Accepted);
        assert_eq!(
            verify(&target, "eva@10.9.%", OLD),
            Verdict::Accepted,
            "though not from here"
        );
        assert_eq!(
            verify(&target, "eva", OLD),
            Verdict::Rejected,
            "another account of this name takes it from here"
        );
        assert_eq!(verify(&target, "eva", "Elsewhere-Pass-7"), Verdict::Accepted);
        assert_eq!(reset(&target, "eva@10.9.%", NEW), Ok(Expiry::Keep));
        assert_eq!(verify(&target, "eva@10.9.%", OLD), Verdict::Rejected);
        assert_eq!(verify(&target, "eva@10.9.%", NEW), Verdict::Accepted);
        assert_eq!(verify(&target, "eva@127.0.0.1", OLD), Verdict::Accepted, "left alone");
        assert_eq!(reset(&target, "eva@example.com@%", NEW), Ok(Expiry::Keep));
        assert_eq!(refusal(reset(&target, "eva@example.com", NEW)), Refusal::NoSuchAccount);

        let list = |after: Option<&str>, limit| block_on(target.list_accounts(after, limit)).expect("a list");
        assert_eq!(list(Some("eva@"), 2).len(), 2);
        let all: Vec<String> = list(None, 1_000)
            .into_iter()
            .filter(|name| name.starts_with("eva"))
            .collect();
        assert_eq!(all, ["eva", "eva@10.9.%", "eva@127.0.0.1", "eva@example.com@%"]);
        assert_eq!(list(Some("eva"), 2), ["eva@10.9.%", "eva@127.0.0.1"]);
        assert!(
            !list(Some("eva@example.com@%"), 10)
                .iter()
                .any(|name| name.starts_with("eva"))
        );
    }

    #[test]
    fn whoever_administers_the_server_is_never_reset() {
        mariadb_root(
            "create role admins; grant create user on *.* to admins; create role middle; grant admins to middle; \
             create user root1@'%', root2@'%', root3@'%', root4@'%', root5@'%', root6@'%', root7@'%'; \
             grant super on *.* to root1@'%'; grant all on *.* to root2@'%'; grant replication slave on *.* to root3@'%'; \
             grant middle to root4@'%'; grant update on mysql.* to root5@'%'; grant insert on mysql.db to root6@'%'; \
             grant set user on *.* to root7@'%'",
        );
        mariadb_root(&format!(
            "create user reader@'%' identified by '{OLD}'; grant select, show databases on *.* to reader@'%'; \
             grant all on shop.* to reader@'%'"
        ));
        let target = service();
        assert_eq!(reset(&target, "reader", NEW), Ok(Expiry::Keep), "administers no server");
        let own = mariadb().value("SERVICE");
        for name in [
            "root@localhost",
            own,
            "root1",
            "root2",
            "root3",
            "root4",
            "root5",
            "root6",
            "root7",
        ] {
            assert_eq!(refusal(reset(&target, name, NEW)), Refusal::Rights, "{name}");
            assert_eq!(refusal(block_on(target.disable(name))), Refusal::Rights, "{name}");
            let tried = block_on(target.verify(name, &secret(OLD)));
            assert_eq!(refusal(tried), Refusal::Rights, "{name}");
            assert!(problems(&target, name).contains("never reset"), "{name}");
        }
        assert_eq!(
            refusal(reset(&target, "admins@", NEW)),
            Refusal::NoSuchAccount,
            "a role has no password"
        );
        let listed = block_on(target.list_accounts(None, 1_000)).expect("a list");
        for name in [
            "root@localhost",
            own,
            "root1",
            "root7",
            "admins",
            "mariadb.sys@localhost",
        ] {
            assert!(!listed.iter().any(|listed| listed == name), "{name}: {listed:?}");
        }
    }

    #[test]
    fn a_password_that_is_not_kept_there_is_left_alone() {
        mariadb_root("create user fay@'%' identified via unix_socket");
        mariadb_root(&format!(
            "create user faye@'%' identified via unix_socket or mysql_native_password using password('{OLD}')"
        ));
        let target = service();
        for name in ["fay", "faye"] {
            assert_eq!(refusal(reset(&target, name, NEW)), Refusal::Other, "{name}");
            assert!(problems(&target, name).contains("cannot be reset"), "{name}");
        }
    }

    #[test]
    fn a_test_says_what_is_missing_and_changes_nothing() {
        person("gwen");
        assert_eq!(problems(&service(), "gwen"), "");
        assert_eq!(verify(&service(), "gwen", OLD), Verdict::Accepted);
        let powerless = with(config("powerless"));
        assert!(problems(&powerless, "gwen").contains("CREATE USER"));
        assert_eq!(refusal(reset(&powerless, "gwen", NEW)), Refusal::Rights);
        let blind = with(config("blind"));
        assert!(problems(&blind, "gwen").contains("SELECT ON mysql.*"));
        assert_eq!(refusal(reset(&blind, "gwen", NEW)), Refusal::Rights);
        assert_eq!(verify(&service(), "gwen", OLD), Verdict::Accepted);
        assert!(problems(&service(), "nobody").contains("look at `account_host`"));
    }

    #[test]
    fn a_certificate_of_somebody_else_or_for_another_host_is_not_believed() {
        person("hope");
        let mut foreign = config(mariadb().value("SERVICE"));
        foreign.server.tls = Tls::Required {
            ca: Some(PathBuf::from(postgresql().value("CA"))),
        };
        let reason = unreachable(reset(&with(foreign), "hope", NEW));
        assert!(reason.contains("`ca` must be the file"), "{reason}");
        let mut elsewhere = config(mariadb().value("SERVICE"));
        elsewhere.server.address = tcp("::ffff:127.0.0.1", port(mariadb()));
        let reason = unreachable(reset(&with(elsewhere), "hope", NEW));
        assert!(reason.contains("`host` must be a name"), "{reason}");
    }

    #[test]
    fn a_server_without_encryption_hears_nothing() {
        // Protocol 10; capabilities 0xf7ff and 0x81ff, which lack that of TLS.
        let hello = b"\x5a\0\0\0\x0a5.5.5-10.11.19-MariaDB\0\x01\0\0\0saltsalt\0\xff\xf7\x2d\x02\0\xff\x81\x15\
                      \0\0\0\0\0\0\0\0\0\0saltsaltsalt\0mysql_native_password\0";
        let (port, heard) = plain_server(hello, b"");
        let mut config = config("passline");
        config.server.address = tcp("localhost", port);
        let reason = unreachable(reset(&with(config), "hope", NEW));
        assert!(reason.contains("does not support TLS; switch TLS on there"), "{reason}");
        assert_eq!(heard.join().expect("heard"), b"");
    }

    #[test]
    fn a_socket_needs_no_certificate() {
        person("ivy");
        mariadb_root("create user local@localhost identified by 'Svc-Pass-123'");
        mariadb_root("grant create user on *.* to local@localhost; grant select on mysql.* to local@localhost");
        let mut local = config("local");
        local.server.address = Address::Socket {
            path: PathBuf::from(mariadb().value("SOCKET")),
            port: 0,
        };
        local.server.tls = Tls::Off;
        let target = with(local);
        assert_eq!(reset(&target, "ivy", NEW), Ok(Expiry::Keep));
        assert_eq!(verify(&target, "ivy", NEW), Verdict::Accepted);
    }

    #[test]
    fn a_wrong_password_of_ours_is_told() {
        person("wrongly");
        let wrong = Mysql::new(config("wrongly"), Some(secret("Wrong-Pass-9"))).expect("certificates");
        let reason = unreachable(block_on(wrong.state("anna")));
        assert!(reason.contains("does not let wrongly sign in: error 1045"), "{reason}");
        assert!(!reason.contains("Wrong-Pass-9"), "{reason}");
        assert!(problems(&wrong, "anna").contains("1045"));
    }

    #[test]
    fn a_lost_answer_is_unknown_and_a_repetition_does_no_harm() {
        person("ines");
        let wire = wire(mariadb());
        let mut config = config(mariadb().value("SERVICE"));
        config.server.address = tcp("localhost", wire.address.port());
        lose_an_answer(&wire, &with(config), "ines");
    }
}

/// The sections of both servers; they come after the embedded ones.
fn sections() -> String {
    let section = |name: &str, kind: &str, backend: &Backend| {
        format!(
            "[[target]]\nname = \"{name}\"\nkind = \"{kind}\"\nhost = \"{}\"\nport = {}\nca = \"{}\"\nuser = \"{}\"\nconnect = \"10s\"\n",
            backend.value("HOST"),
            backend.value("PORT"),
            backend.value("CA"),
            backend.value("SERVICE")
        )
    };
    "[passwords]\nmin_length = 9\nentropy_bits = 28\n".to_owned()
        + &section("database", "postgresql", postgresql())
        + &section("shop", "mysql", mariadb())
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_call_resets_both_database_servers_with_the_others() {
    psql(&format!("create role \"anna.sql\" login password '{OLD}'"));
    mariadb_root(&format!("create user 'anna.sql'@'%' identified by '{OLD}'"));
    let house = House::new(&Settings {
        configuration: &sections(),
        ..Settings::default()
    });
    for (target, backend) in [("database", postgresql()), ("shop", mariadb())] {
        let password = format!("{}\n", backend.value("SERVICE_PASSWORD"));
        let kept = house.run_with_input(&["target", "credential", target, "--stdin"], &password);
        assert!(kept.status.success(), "{}", said(&kept));
        let tested = house.run(&["target", "test", target, "--account", "anna.sql"]);
        assert!(tested.status.success(), "{}", said(&tested));
    }
    let people = "login,account.database,account.shop\nanna.berger,anna.sql,anna.sql\n";
    fs::write(house.path().join("more.csv"), people).expect("written");
    let imported = house.run(&["user", "import", "more.csv"]);
    assert!(imported.status.success(), "{}", said(&imported));

    let server = house.serve();
    let mut caller = Caller::dial(&server);
    let password = caller.reset_everything();
    caller.hear("reset.everywhere");
    caller.hang_up();
    server.stop();

    let (database, shop) = house.with_backstage(async |backstage, _| {
        let system = |name: &str| {
            let mut systems = backstage.targets.iter();
            systems.find(|system| system.name() == name).expect("configured")
        };
        let password = secret(&password);
        (
            system("database")
                .verify("anna.sql", &password)
                .await
                .expect("a verdict"),
            system("shop").verify("anna.sql", &password).await.expect("a verdict"),
        )
    });
    assert_eq!(database, Verdict::Accepted);
    assert_eq!(shop, Verdict::AcceptedMustChange);
    let folders = [postgresql().folder(), mariadb().folder(), house.path()];
    for folder in folders {
        assert!(!is_in_a_log(folder, &password), "{}", folder.display());
    }
}
