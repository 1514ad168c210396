//! Connectors of directories against real ones: a Samba domain controller and OpenLDAP.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use passline::integration::target::ldap::{
    ActiveDirectory, ActiveDirectoryConfig, Directory, DirectoryConfig, Near, PasswordMethod, ServersConfig,
};
use passline::integration::target::{Expiry, Refusal, Target, TargetError, TlsError, Verdict};

use crate::support::backend::{Backend, Fault, Wire, openldap, openldap_person, samba, samba_person, samba_tool};
use crate::support::block_on;
use crate::support::target::{NEW, OLD, change, refusal, reset, secret, unreachable, verify};

fn servers(backend: &Backend, urls: &[&str], bind: &str) -> ServersConfig {
    ServersConfig {
        urls: urls.iter().map(|&url| url.to_owned()).collect(),
        ca: Some(PathBuf::from(backend.value("CA"))),
        bind: bind.to_owned(),
        connect: Duration::from_secs(10),
    }
}

fn target_of(url: &str, port: u16) -> SocketAddr {
    let host = url.split("//").nth(1).expect("a URL");
    host.parse()
        .unwrap_or_else(|_| SocketAddr::new(host.parse().expect("an address"), port))
}

mod active_directory {
    use super::*;

    fn config(urls: &[&str], bind: &str) -> ActiveDirectoryConfig {
        ActiveDirectoryConfig {
            name: "corp".to_owned(),
            servers: servers(samba(), urls, bind),
            base: samba().value("BASE").to_owned(),
            filter: None,
            near: Vec::new(),
        }
    }

    fn url() -> &'static str {
        samba().value("LDAPS_URL")
    }

    /// With the least rights: reset of passwords, `pwdLastSet` and `lockoutTime` of people in OU=Staff.
    fn service(config: ActiveDirectoryConfig) -> ActiveDirectory {
        ActiveDirectory::new(config, Some(secret(samba().value("SERVICE_PASSWORD")))).expect("certificates")
    }

    fn plain() -> ActiveDirectory {
        service(config(&[url()], samba().value("SERVICE")))
    }

    fn administrator() -> ActiveDirectory {
        let config = config(&[url()], samba().value("ADMIN"));
        ActiveDirectory::new(config, Some(secret(samba().value("ADMIN_PASSWORD")))).expect("certificates")
    }

    /// A person of their own for each test.
    fn person(name: &str) {
        samba_person(name, OLD);
    }

    #[test]
    fn a_reset_replaces_the_password_which_must_be_changed() {
        person("ada");
        let target = plain();
        let before = block_on(target.state("ada")).expect("a state");
        assert_eq!(verify(&target, "ada", OLD), Verdict::Accepted);
        assert_eq!(
            reset(&target, "ada", NEW, Expiry::AtNextSignIn),
            Ok(Expiry::AtNextSignIn)
        );
        assert_eq!(verify(&target, "ada", OLD), Verdict::Rejected);
        assert_eq!(verify(&target, "ada", NEW), Verdict::AcceptedMustChange);
        assert_eq!(
            verify(&target, "ada@passline.test", NEW),
            Verdict::AcceptedMustChange,
            "by its other name"
        );
        let after = block_on(target.state("ada")).expect("a state");
        assert_eq!((before.must_change, after.must_change), (Some(false), Some(true)));
        let (before, expired) = (before.marker.expect("a marker"), after.marker.expect("a marker"));
        assert_eq!(expired.has_moved_since(before.as_str()), Some(true));
        assert_eq!(
            expired.has_moved_since(expired.as_str()),
            None,
            "which of two expired ones, nobody can tell"
        );

        assert_eq!(reset(&target, "ada", "Third-Pass-3", Expiry::Keep), Ok(Expiry::Keep));
        assert_eq!(verify(&target, "ada", "Third-Pass-3"), Verdict::Accepted);
        let kept = block_on(target.state("ada"))
            .expect("a state")
            .marker
            .expect("a marker");
        assert_eq!(kept.has_moved_since(expired.as_str()), Some(true));
        block_on(target.expire("ada")).expect("expired");
        assert_eq!(verify(&target, "ada", "Third-Pass-3"), Verdict::AcceptedMustChange);
    }

    #[test]
    fn an_empty_password_is_not_the_sign_in_of_nobody() {
        assert_eq!(verify(&plain(), "anna", ""), Verdict::Rejected);
        let nobody =
            ActiveDirectory::new(config(&[url()], samba().value("SERVICE")), Some(secret(""))).expect("certificates");
        assert!(unreachable(block_on(nobody.state("anna"))).contains("empty"));
    }

    #[test]
    fn what_the_domain_refuses_changes_nothing() {
        person("bea");
        let target = plain();
        assert_eq!(refusal(reset(&target, "bea", "Short-1", Expiry::Keep)), Refusal::Policy);
        assert_eq!(
            refusal(reset(&target, "bea", "alllowercase", Expiry::Keep)),
            Refusal::Policy
        );
        assert_eq!(verify(&target, "bea", OLD), Verdict::Accepted);
        assert_eq!(
            refusal(reset(&target, "root1", NEW, Expiry::Keep)),
            Refusal::Rights,
            "outside of its unit"
        );
        for nobody in [
            "nobody",
            "*",
            "bea)(objectClass=*",
            "bea*",
            "",
            "bea\0",
            "nobody@passline.test",
        ] {
            assert_eq!(
                refusal(reset(&target, nobody, NEW, Expiry::Keep)),
                Refusal::NoSuchAccount,
                "{nobody:?}"
            );
            assert_eq!(verify(&target, nobody, NEW), Verdict::Rejected, "{nobody:?}");
        }
    }

    #[test]
    fn a_lock_bars_even_the_right_password_and_goes_with_a_reset() {
        person("cleo");
        let target = plain();
        let lock = || {
            for _ in 0..3 {
                assert_eq!(verify(&target, "cleo", "Wrong-Pass-9"), Verdict::Rejected);
            }
            assert_eq!(block_on(target.state("cleo")).expect("a state").locked, Some(true));
        };
        lock();
        assert_eq!(verify(&target, "cleo", OLD), Verdict::Barred);
        block_on(target.unlock("cleo")).expect("unlocked");
        assert_eq!(verify(&target, "cleo", OLD), Verdict::Accepted);
        lock();
        reset(&target, "cleo", NEW, Expiry::Keep).expect("reset");
        assert_eq!(verify(&target, "cleo", NEW), Verdict::Accepted);
        block_on(target.unlock("cleo")).expect("there is no lock to clear, which is no failure");
    }

    #[test]
    fn a_disabled_account_is_told_and_left_alone() {
        person("dora");
        let (target, administrator) = (plain(), administrator());
        assert_eq!(refusal(block_on(target.disable("dora"))), Refusal::Rights);
        block_on(administrator.disable("dora")).expect("disabled");
        assert_eq!(block_on(target.state("dora")).expect("a state").disabled, Some(true));
        assert_eq!(refusal(reset(&target, "dora", NEW, Expiry::Keep)), Refusal::Disabled);
        assert_eq!(verify(&target, "dora", OLD), Verdict::Barred);
        block_on(administrator.enable("dora")).expect("enabled");
        assert_eq!(verify(&target, "dora", OLD), Verdict::Accepted);
    }

    #[test]
    fn a_password_that_never_expires_is_told_as_one_that_stays() {
        person("eva");
        samba_tool(&["user", "setexpiry", "eva", "--noexpiry"]);
        let target = plain();
        assert_eq!(reset(&target, "eva", NEW, Expiry::AtNextSignIn), Ok(Expiry::Keep));
        assert_eq!(block_on(target.state("eva")).expect("a state").must_change, Some(false));
    }

    #[test]
    fn its_rules_are_read_as_far_as_the_account_may_see_them() {
        let rules = block_on(plain().policy("anna")).expect("the domain's");
        assert_eq!((rules.min_length, rules.min_classes, rules.history), (9, 3, 5));
        let fine = block_on(administrator().policy("root1")).expect("the fine-grained one");
        assert_eq!((fine.min_length, fine.history), (15, 24));
        let hidden = block_on(plain().policy("root1")).expect("the domain's again");
        assert_eq!(hidden.min_length, 9, "a service account does not see the other");
    }

    /// Whatever the rules are: a domain may take a password of one character.
    #[test]
    fn a_test_changes_nothing_whoever_makes_it() {
        person("judy");
        for target in [plain(), administrator()] {
            let checks = block_on(target.test(Some("judy"))).expect("tested");
            assert!(checks.iter().all(|check| check.problem.is_none()), "{checks:?}");
            assert_eq!(verify(&target, "judy", OLD), Verdict::Accepted);
        }
        samba_tool(&[
            "domain",
            "passwordsettings",
            "pso",
            "create",
            "lax",
            "1",
            "--min-pwd-length=0",
            "--complexity=off",
            "--history-length=0",
            "--min-pwd-age=0",
        ]);
        samba_tool(&["domain", "passwordsettings", "pso", "apply", "lax", "judy"]);
        let checks = block_on(administrator().test(Some("judy"))).expect("tested");
        assert!(checks.iter().all(|check| check.problem.is_none()), "{checks:?}");
        assert_eq!(verify(&plain(), "judy", OLD), Verdict::Accepted);
    }

    #[test]
    fn members_of_a_group_alone_nested_ones_too() {
        let group = "(memberOf:1.2.840.113556.1.4.1941:=CN=all-desks,CN=Users,DC=passline,DC=test)";
        let filter = Some(group.to_owned());
        let target = service(ActiveDirectoryConfig {
            filter,
            ..config(&[url()], samba().value("SERVICE"))
        });
        assert!(block_on(target.state("bert")).is_ok(), "he is in a group of the group");
        assert_eq!(
            refusal(reset(&target, "anna", NEW, Expiry::Keep)),
            Refusal::NoSuchAccount
        );
    }

    #[test]
    fn starttls_is_as_good_and_nothing_is_said_in_clear() {
        person("fay");
        let target = service(config(&[samba().value("LDAP_URL")], samba().value("SERVICE")));
        assert_eq!(reset(&target, "fay", NEW, Expiry::Keep), Ok(Expiry::Keep));
        assert_eq!(verify(&target, "fay", NEW), Verdict::Accepted);
    }

    #[test]
    fn a_certificate_of_somebody_else_or_for_another_host_is_not_believed() {
        let mut foreign = config(&[url()], samba().value("SERVICE"));
        foreign.servers.ca = Some(PathBuf::from(openldap().value("CA")));
        let reason = unreachable(block_on(service(foreign).state("anna")));
        assert!(reason.contains("certificate"), "{reason}");

        let wire = Wire::to(target_of(url(), 636));
        let elsewhere = format!("ldaps://{}", wire.address);
        let reason = unreachable(block_on(
            service(config(&[&elsewhere], samba().value("SERVICE"))).state("anna"),
        ));
        assert!(reason.contains("not valid for name"), "{reason}");

        let mut missing = config(&[url()], samba().value("SERVICE"));
        missing.servers.ca = Some(PathBuf::from("/nowhere/ca.pem"));
        let error = ActiveDirectory::new(missing, Some(secret("x"))).expect_err("no file");
        assert!(matches!(error, TlsError::Ca { .. }), "{error}");
    }

    #[test]
    fn a_wrong_password_of_ours_is_told() {
        let target = ActiveDirectory::new(config(&[url()], samba().value("SERVICE")), Some(secret("wrong")))
            .expect("certificates");
        let reason = unreachable(block_on(target.state("anna")));
        assert!(
            reason.contains("does not let svc-passline@passline.test sign in"),
            "{reason}"
        );
        assert!(!reason.contains("wrong"), "{reason}");
    }

    /// `localhost` is in its certificate.
    fn through(wire: &Wire) -> String {
        format!("ldaps://localhost:{}", wire.address.port())
    }

    #[test]
    fn another_domain_controller_is_asked_when_one_is_gone() {
        person("gwen");
        let wire = Wire::to(target_of(url(), 636));
        let target = service(config(
            &["ldaps://127.0.0.1:9", &through(&wire)],
            samba().value("SERVICE"),
        ));
        assert_eq!(reset(&target, "gwen", NEW, Expiry::Keep), Ok(Expiry::Keep));
        assert!(wire.connections() > 0);

        // Silence costs its time-out once, then that server is asked last.
        let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let silent = format!("ldaps://{}", silent.local_addr().expect("bound"));
        let target = service(config(&[&silent, url()], samba().value("SERVICE")));
        block_on(target.state("gwen")).expect("by the other one");
        #[expect(clippy::disallowed_methods, reason = "a real server is waited for")]
        let begun = Instant::now();
        block_on(target.state("gwen")).expect("by the other one");
        // Less than silence takes.
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    }

    #[test]
    fn the_domain_controller_near_somebody_is_asked_first() {
        person("hope");
        let (near, far) = (Wire::to(target_of(url(), 636)), Wire::to(target_of(url(), 636)));
        let mut config = config(&[&through(&far)], samba().value("SERVICE"));
        config.near.push(Near {
            attribute: "sn".to_owned(),
            value: "HOPE".to_owned(),
            urls: vec![through(&near)],
        });
        let target = service(config);
        reset(&target, "hope", NEW, Expiry::Keep).expect("reset");
        assert_eq!(verify(&target, "hope", NEW), Verdict::Accepted);
        assert_eq!(
            near.connections(),
            2,
            "the change, and the sign-in with the new password"
        );
        assert_eq!(far.connections(), 2, "the look for the account, each time");
    }

    #[test]
    fn a_lost_answer_is_unknown_and_a_repetition_does_no_harm() {
        person("ines");
        let wire = Wire::to(target_of(url(), 636));
        let target = service(config(&[&through(&wire)], samba().value("SERVICE")));
        // Handshake, sign-in and search are answered in a few packets; the answer to the change is cut off.
        let lost = (3..12).find(|&count| {
            wire.set(Fault::LoseAfter(count));
            matches!(
                reset(&target, "ines", NEW, Expiry::Keep),
                Err(TargetError::Unknown { .. })
            )
        });
        assert!(lost.is_some(), "no answer was lost");
        wire.set(Fault::None);
        assert_eq!(verify(&target, "ines", NEW), Verdict::Accepted, "it took effect");
        assert_eq!(reset(&target, "ines", NEW, Expiry::Keep), Ok(Expiry::Keep));
    }

    #[test]
    fn a_change_takes_the_old_password_and_keeps_to_every_rule() {
        person("kim");
        let target = plain();
        for wrong in ["Wrong-Pass-9", ""] {
            assert_eq!(
                refusal(change(&target, "kim", wrong, NEW)),
                Refusal::OldPassword,
                "{wrong:?}"
            );
        }
        assert_eq!(refusal(change(&target, "kim", OLD, "Short-1")), Refusal::Policy);
        assert_eq!(verify(&target, "kim", OLD), Verdict::Accepted, "nothing has changed");
        assert_eq!(change(&target, "kim", OLD, NEW), Ok(()));
        assert_eq!(verify(&target, "kim", OLD), Verdict::Rejected);
        assert_eq!(verify(&target, "kim", NEW), Verdict::Accepted);
        assert_eq!(
            refusal(change(&target, "kim", NEW, OLD)),
            Refusal::Policy,
            "the history binds whoever changes"
        );
        reset(&target, "kim", OLD, Expiry::AtNextSignIn).expect("and not whoever resets");
        assert_eq!(
            change(&target, "kim", OLD, "Third-Pass-3"),
            Ok(()),
            "which must be changed"
        );
        assert_eq!(verify(&target, "kim", "Third-Pass-3"), Verdict::Accepted);
        assert_eq!(refusal(change(&target, "nobody", OLD, NEW)), Refusal::NoSuchAccount);
        block_on(administrator().disable("kim")).expect("disabled");
        assert_eq!(refusal(change(&target, "kim", "Third-Pass-3", NEW)), Refusal::Disabled);
    }

    #[test]
    fn passline_changes_its_own_password_by_whatever_name_it_has() {
        samba_tool(&["user", "create", "svc-own", OLD]);
        let mut old = OLD.to_owned();
        for (number, name) in [
            "svc-own@passline.test",
            "PASSLINE\\svc-own",
            "CN=svc-own,CN=Users,DC=passline,DC=test",
        ]
        .into_iter()
        .enumerate()
        {
            let target =
                ActiveDirectory::new(config(&[url()], name), Some(secret("not asked for"))).expect("certificates");
            let new = format!("{NEW}-{number}");
            let change = |old: &str, new: &str| block_on(target.change_own_password(&secret(old), &secret(new)));
            let opens = |password: &str| block_on(target.try_own_password(&secret(password))).expect("a verdict");
            assert_eq!(refusal(change("Wrong-Pass-9", &new)), Refusal::OldPassword, "{name}");
            assert_eq!(refusal(change(&old, "Short-1")), Refusal::Policy, "{name}");
            assert_eq!(change(&old, &new), Ok(()), "{name}");
            assert_eq!(opens(&old), Verdict::Rejected, "{name}");
            assert_eq!(opens(&new), Verdict::Accepted, "{name}");
            assert!(unreachable(block_on(target.state("anna"))).contains("does not let"));
            target.take_own_password(secret(&new));
            block_on(target.state("anna")).expect("a state");
            old = new;
        }
    }
}

mod openldap_server {
    use super::*;

    fn config(bind: &str) -> DirectoryConfig {
        DirectoryConfig {
            name: "people".to_owned(),
            servers: servers(openldap(), &[openldap().value("LDAPS_URL")], bind),
            base: openldap().value("BASE").to_owned(),
            account: "uid".to_owned(),
            filter: None,
            password: PasswordMethod::Extended,
            ppolicy: true,
            policy: Some("cn=default,ou=policies,dc=passline,dc=test".to_owned()),
        }
    }

    fn service() -> Directory {
        let config = config(openldap().value("SERVICE"));
        Directory::new(config, Some(secret(openldap().value("SERVICE_PASSWORD")))).expect("certificates")
    }

    /// A person of their own for each test.
    fn person(name: &str) {
        openldap_person(name, OLD);
    }

    #[test]
    fn a_reset_replaces_the_password_which_must_be_changed() {
        person("ada");
        let target = service();
        let before = block_on(target.state("ada")).expect("a state");
        assert_eq!(verify(&target, "ada", OLD), Verdict::Accepted);
        assert_eq!(
            reset(&target, "ada", NEW, Expiry::AtNextSignIn),
            Ok(Expiry::AtNextSignIn)
        );
        assert_eq!(verify(&target, "ada", OLD), Verdict::Rejected);
        assert_eq!(verify(&target, "ada", NEW), Verdict::AcceptedMustChange);
        let after = block_on(target.state("ada")).expect("a state");
        assert_eq!((before.must_change, after.must_change), (Some(false), Some(true)));
        let marker = after.marker.expect("a marker");
        // The clock of its markers has seconds.
        std::thread::sleep(Duration::from_millis(1_100));
        assert_eq!(reset(&target, "ada", "Third-Pass-3", Expiry::Keep), Ok(Expiry::Keep));
        let moved = block_on(target.state("ada"))
            .expect("a state")
            .marker
            .expect("a marker");
        assert_eq!(moved.has_moved_since(marker.as_str()), Some(true));
        assert_eq!(verify(&target, "ada", "Third-Pass-3"), Verdict::Accepted);
        block_on(target.expire("ada")).expect("expired");
        assert_eq!(verify(&target, "ada", "Third-Pass-3"), Verdict::AcceptedMustChange);
    }

    #[test]
    fn a_change_takes_the_old_password_and_keeps_to_every_rule() {
        person("kim");
        let target = service();
        for wrong in ["Wrong-Pass-9", ""] {
            assert_eq!(
                refusal(change(&target, "kim", wrong, NEW)),
                Refusal::OldPassword,
                "{wrong:?}"
            );
        }
        assert_eq!(refusal(change(&target, "kim", OLD, "Short-1")), Refusal::Policy);
        assert_eq!(verify(&target, "kim", OLD), Verdict::Accepted, "nothing has changed");
        assert_eq!(change(&target, "kim", OLD, NEW), Ok(()));
        assert_eq!(verify(&target, "kim", OLD), Verdict::Rejected);
        assert_eq!(verify(&target, "kim", NEW), Verdict::Accepted);
        assert_eq!(
            refusal(change(&target, "kim", NEW, OLD)),
            Refusal::Policy,
            "it was used before"
        );
        reset(&target, "kim", "Third-Pass-3", Expiry::AtNextSignIn).expect("reset");
        assert_eq!(
            change(&target, "kim", "Third-Pass-3", "Fourth-Pass-4"),
            Ok(()),
            "which must be changed"
        );
        assert_eq!(verify(&target, "kim", "Fourth-Pass-4"), Verdict::Accepted);
        assert_eq!(refusal(change(&target, "nobody", OLD, NEW)), Refusal::NoSuchAccount);
    }

    #[test]
    fn a_person_whose_password_is_written_changes_it_as_well() {
        person("kurt");
        let config = DirectoryConfig {
            password: PasswordMethod::Write,
            ..config(openldap().value("SERVICE"))
        };
        let target = Directory::new(config, Some(secret(openldap().value("SERVICE_PASSWORD")))).expect("certificates");
        assert_eq!(refusal(change(&target, "kurt", NEW, NEW)), Refusal::OldPassword);
        assert_eq!(change(&target, "kurt", OLD, NEW), Ok(()));
        assert_eq!(verify(&target, "kurt", NEW), Verdict::Accepted);
    }

    #[test]
    fn the_same_password_twice_is_no_refusal() {
        person("bea");
        let target = service();
        for _ in 0..2 {
            assert_eq!(
                reset(&target, "bea", NEW, Expiry::AtNextSignIn),
                Ok(Expiry::AtNextSignIn)
            );
        }
        assert_eq!(refusal(reset(&target, "bea", "Short-1", Expiry::Keep)), Refusal::Policy);
        assert_eq!(
            verify(&target, "bea", NEW),
            Verdict::AcceptedMustChange,
            "and nothing changed"
        );
    }

    #[test]
    fn a_lock_bars_even_the_right_password_and_goes_with_a_reset() {
        person("cleo");
        let target = service();
        let lock = || {
            for _ in 0..3 {
                assert_eq!(verify(&target, "cleo", "Wrong-Pass-9"), Verdict::Rejected);
            }
            assert_eq!(block_on(target.state("cleo")).expect("a state").locked, Some(true));
        };
        lock();
        assert_eq!(verify(&target, "cleo", OLD), Verdict::Barred);
        block_on(target.unlock("cleo")).expect("unlocked");
        assert_eq!(verify(&target, "cleo", OLD), Verdict::Accepted);
        block_on(target.unlock("cleo")).expect("there is no lock to clear, which is no failure");
        lock();
        reset(&target, "cleo", NEW, Expiry::Keep).expect("reset");
        assert_eq!(verify(&target, "cleo", NEW), Verdict::Accepted);
    }

    #[test]
    fn an_account_that_is_locked_for_good_is_told_and_left_alone() {
        person("dora");
        let target = service();
        block_on(target.disable("dora")).expect("disabled");
        let state = block_on(target.state("dora")).expect("a state");
        assert_eq!((state.disabled, state.locked), (Some(true), Some(false)));
        assert_eq!(verify(&target, "dora", OLD), Verdict::Barred);
        assert_eq!(refusal(reset(&target, "dora", NEW, Expiry::Keep)), Refusal::Disabled);
        block_on(target.unlock("dora")).expect("that is another lock");
        assert_eq!(verify(&target, "dora", OLD), Verdict::Barred);
        block_on(target.enable("dora")).expect("enabled");
        assert_eq!(verify(&target, "dora", OLD), Verdict::Accepted);
    }

    #[test]
    fn passwords_can_be_written_where_the_operation_is_missing() {
        person("eva");
        let mut config = config(openldap().value("SERVICE"));
        config.password = PasswordMethod::Write;
        let target = Directory::new(config, Some(secret(openldap().value("SERVICE_PASSWORD")))).expect("certificates");
        assert_eq!(
            reset(&target, "eva", NEW, Expiry::AtNextSignIn),
            Ok(Expiry::AtNextSignIn)
        );
        assert_eq!(verify(&target, "eva", NEW), Verdict::AcceptedMustChange);
        assert_eq!(refusal(reset(&target, "eva", "Short-1", Expiry::Keep)), Refusal::Policy);
    }

    #[test]
    fn a_missing_right_is_told() {
        person("fay");
        let mut config = config("uid=fay,ou=people,dc=passline,dc=test");
        config.ppolicy = false;
        let target = Directory::new(config, Some(secret(OLD))).expect("certificates");
        assert_eq!(refusal(reset(&target, "bert", NEW, Expiry::Keep)), Refusal::Rights);
    }

    /// The administrator of the database is bound by no policy: whatever he is asked to write is written.
    #[test]
    fn a_test_changes_nothing_whoever_makes_it() {
        person("gwen");
        let admin = Directory::new(
            config(openldap().value("ADMIN")),
            Some(secret(openldap().value("ADMIN_PASSWORD"))),
        );
        let admin = admin.expect("certificates");
        let checks = block_on(admin.test(Some("gwen"))).expect("tested");
        assert!(checks.iter().all(|check| check.problem.is_none()), "{checks:?}");
        let state = block_on(service().state("gwen")).expect("a state");
        assert_eq!((state.must_change, state.disabled), (Some(false), Some(false)));
        assert_eq!(verify(&service(), "gwen", OLD), Verdict::Accepted);

        let mut config = config("uid=anna,ou=people,dc=passline,dc=test");
        config.policy = None;
        let nobody = Directory::new(config, Some(secret(OLD))).expect("certificates");
        let checks = block_on(nobody.test(Some("gwen"))).expect("tested");
        let problems: Vec<_> = checks.iter().filter_map(|check| check.problem.as_deref()).collect();
        assert!(
            problems.iter().all(|problem| problem.starts_with("no right")) && problems.len() == 3,
            "{checks:?}"
        );
    }

    #[test]
    fn its_rules_are_read() {
        let rules = block_on(service().policy("anna")).expect("rules");
        assert_eq!(rules.history, 3);
        assert_eq!(rules.min_length, 9);
    }

    #[test]
    fn nobody_and_everybody_are_no_account() {
        let target = service();
        for nobody in ["nobody", "*", "anna)(uid=*", "", "ann?"] {
            assert_eq!(
                refusal(reset(&target, nobody, NEW, Expiry::Keep)),
                Refusal::NoSuchAccount,
                "{nobody:?}"
            );
        }
        assert_eq!(verify(&target, "anna", ""), Verdict::Rejected);
    }

    #[test]
    fn starttls_is_as_good() {
        let mut config = config(openldap().value("SERVICE"));
        config.servers.urls = vec![openldap().value("LDAP_URL").replace("127.0.0.1", "localhost")];
        let target = Directory::new(config, Some(secret(openldap().value("SERVICE_PASSWORD")))).expect("certificates");
        assert_eq!(verify(&target, "anna", OLD), Verdict::Accepted);
    }
}
