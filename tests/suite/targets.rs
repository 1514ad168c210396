//! Whole calls that reset passwords on real servers, and the commands around their credentials.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use passline::integration::target::{Expiry, Verdict};
use passline::secret::Secret;

use crate::support::backend::{openldap, openldap_person, samba, samba_person, samba_tool};
use crate::support::caller::Caller;
use crate::support::server::{House, Settings};
use crate::support::target::OLD;

const SHORT_PASSWORDS: &str = "[passwords]\nmin_length = 9\nentropy_bits = 28\n";

/// The sections of both directories; they come after the embedded ones.
fn sections() -> String {
    let (samba, openldap) = (samba(), openldap());
    format!(
        "{SHORT_PASSWORDS}[[target]]\nname = \"corp\"\nkind = \"active_directory\"\nurls = [\"{}\"]\nca = \"{}\"\nbind = \"{}\"\n\
         base = \"{}\"\n[[target]]\nname = \"people\"\nkind = \"ldap\"\nurls = [\"{}\"]\nca = \"{}\"\nbind = \"{}\"\nbase = \"{}\"\n\
         policy = \"cn=default,ou=policies,dc=passline,dc=test\"\n",
        samba.value("LDAPS_URL"),
        samba.value("CA"),
        samba.value("SERVICE"),
        samba.value("BASE"),
        openldap.value("LDAPS_URL"),
        openldap.value("CA"),
        openldap.value("SERVICE"),
        openldap.value("BASE"),
    )
}

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// A house that knows both directories and has the passwords of its accounts there.
fn house() -> House {
    let house = House::new(&Settings {
        configuration: &sections(),
        ..Settings::default()
    });
    for (target, backend) in [("corp", samba()), ("people", openldap())] {
        let kept = house.run_with_input(
            &["target", "credential", target, "--stdin"],
            &format!("{}\n", backend.value("SERVICE_PASSWORD")),
        );
        assert!(kept.status.success(), "{}", said(&kept));
    }
    house
}

fn verdict(house: &House, target: &str, account: &str, password: &str) -> Verdict {
    let password = Secret::new(password.to_owned());
    house.with_backstage(async |backstage, _| {
        let system = backstage
            .targets
            .iter()
            .find(|system| system.name() == target)
            .expect("configured");
        system.verify(account, &password).await.expect("a verdict")
    })
}

#[test]
fn a_call_resets_active_directory_and_ldap_with_the_others() {
    samba_person("anna.corp", OLD);
    openldap_person("anna.people", OLD);
    let house = house();
    fs::write(
        house.path().join("more.csv"),
        "login,account.corp,account.people\nanna.berger,anna.corp,anna.people\n",
    )
    .expect("written");
    let imported = house.run(&["user", "import", "more.csv"]);
    assert!(imported.status.success(), "{}", said(&imported));
    for (target, account) in [("corp", "anna.corp"), ("people", "anna.people")] {
        assert_eq!(verdict(&house, target, account, OLD), Verdict::Accepted, "{target}");
    }

    let server = house.serve();
    let mut caller = Caller::dial(&server);
    let password = caller.reset_everything();
    caller.hear("reset.everywhere");
    for _ in 0..5 {
        caller.hear("outcome.reset");
    }
    caller.hear("outcome.must_change");
    caller.hang_up();
    server.stop();

    for (target, account) in [("corp", "anna.corp"), ("people", "anna.people")] {
        assert_eq!(verdict(&house, target, account, OLD), Verdict::Rejected, "{target}");
        assert_eq!(
            verdict(&house, target, account, &password),
            Verdict::AcceptedMustChange,
            "{target}"
        );
    }
    let mut database = house.database();
    assert_eq!(
        database.value("select count(*) from reset_outcomes where result = 'done' and expired = 1"),
        "5"
    );
}

#[test]
fn a_directory_that_is_gone_is_told_and_the_others_are_reset() {
    openldap_person("anna.lonely", OLD);
    let nowhere = sections().replace(samba().value("LDAPS_URL"), "ldaps://127.0.0.1:9");
    let house = House::new(&Settings {
        configuration: &nowhere,
        ..Settings::default()
    });
    let password = format!("{}\n", openldap().value("SERVICE_PASSWORD"));
    for target in ["corp", "people"] {
        assert!(
            house
                .run_with_input(&["target", "credential", target, "--stdin"], &password)
                .status
                .success()
        );
    }
    fs::write(
        house.path().join("more.csv"),
        "login,account.corp,account.people\nanna.berger,anna.corp,anna.lonely\n",
    )
    .expect("written");
    assert!(house.run(&["user", "import", "more.csv"]).status.success());
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    let password = caller.reset_everything();
    caller.hear("outcome.unreachable");
    caller.hang_up();
    server.stop();
    assert_eq!(
        verdict(&house, "people", "anna.lonely", &password),
        Verdict::AcceptedMustChange
    );
}

#[test]
fn the_test_of_a_target_says_what_works_and_what_right_is_missing() {
    samba_person("tess", OLD);
    openldap_person("tess", OLD);
    let house = house();
    let good = house.run(&["target", "test", "--account", "tess", "corp"]);
    let text = said(&good);
    assert!(good.status.success(), "{text}");
    for part in [
        "sign in as svc-passline@passline.test",
        "find tess: CN=Test tess,OU=Staff",
        "set the password of tess",
        "write pwdLastSet",
        "write lockoutTime",
    ] {
        assert!(
            text.contains(&format!("ok: {part}")) || text.contains(part),
            "{part}: {text}"
        );
    }
    let lacking = house.run(&["target", "test", "corp", "--account", "root1"]);
    let text = said(&lacking);
    assert_eq!(lacking.status.code(), Some(1), "{text}");
    for part in [
        "no right to reset passwords there",
        "no right to write `pwdLastSet`",
        "no right to write `lockoutTime`",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let people = house.run(&["target", "test", "people", "--account", "tess"]);
    let text = said(&people);
    assert!(people.status.success(), "{text}");
    for attribute in ["userPassword", "pwdReset", "pwdAccountLockedTime"] {
        assert!(text.contains(&format!("ok: write {attribute} of tess")), "{text}");
    }
    for (target, account) in [("corp", "tess"), ("people", "tess")] {
        assert_eq!(
            verdict(&house, target, account, OLD),
            Verdict::Accepted,
            "nothing was changed"
        );
    }
    let nobody = house.run(&["target", "test", "people", "--account", "nobody"]);
    assert!(said(&nobody).contains("look at `base`"), "{}", said(&nobody));
    let unknown = house.run(&["target", "test", "nothing"]);
    assert!(
        said(&unknown).contains("there is no target \"nothing\""),
        "{}",
        said(&unknown)
    );
}

#[test]
fn passwords_of_targets_are_sealed_and_their_keys_are_rotated() {
    let house = house();
    let listed = said(&house.run(&["target", "list"]));
    assert!(
        listed.contains("active_directory") && listed.contains("kept"),
        "{listed}"
    );

    // Nothing in clear on disk, and another key does not open it.
    for file in ["data/passline.db", "data/passline.db-wal", "data/keys"] {
        let bytes = fs::read(house.path().join(file)).unwrap_or_default();
        let secret = samba().value("SERVICE_PASSWORD").as_bytes();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "{file}");
    }
    let before = said(&house.run(&["keys", "status"]));
    assert_eq!(before.trim(), "key 1 (current): corp, people");

    let server = house.serve();
    let rotated = house.run(&["keys", "rotate"]);
    assert!(
        rotated.status.success() && said(&rotated).contains("2 passwords under key 2"),
        "{}",
        said(&rotated)
    );
    let after = said(&house.run(&["keys", "status"]));
    assert_eq!(
        after.trim(),
        "key 1: nothing; it can be removed\nkey 2 (current): corp, people"
    );
    server.stop();

    let keys = house.path().join("data/keys");
    let text = fs::read_to_string(&keys).expect("a file");
    let without_first: String = text
        .lines()
        .filter(|line| !line.starts_with("1 "))
        .map(|line| format!("{line}\n"))
        .collect();
    fs::write(&keys, &without_first).expect("written");
    assert!(
        house.run(&["target", "test", "corp"]).status.success(),
        "the new key is enough"
    );

    let mut database = house.database();
    database.value("update credentials set sealed = (select sealed from credentials where target = 'people') where target = 'corp' returning 1");
    database.close();
    let swapped = said(&house.run(&["keys", "status"]));
    assert!(swapped.contains("PROBLEM: corp: it was changed"), "{swapped}");
    let told = said(&house.run(&["target", "test", "corp"]));
    assert!(told.contains("no password there"), "{told}");

    // The keys are gone: told, the rest works, and passwords can be entered again.
    fs::remove_file(&keys).expect("removed");
    let lost = said(&house.run(&["target", "list"]));
    assert!(
        lost.contains("which is not among the keys; restore their file"),
        "{lost}"
    );
    let password = format!("{}\n", samba().value("SERVICE_PASSWORD"));
    let kept = house.run_with_input(&["target", "credential", "corp", "--stdin"], &password);
    assert!(kept.status.success(), "{}", said(&kept));
    assert!(house.run(&["target", "test", "corp"]).status.success());
    let behind = said(&house.run(&["keys", "status"]));
    assert!(
        behind.starts_with("key 3 (current): corp") && behind.contains("PROBLEM: people"),
        "{behind}"
    );
    let rotated = house.run(&["keys", "rotate"]);
    assert!(!rotated.status.success(), "one that cannot be read is not passed over");
    assert!(
        house
            .run(&["target", "credential", "people", "--remove"])
            .status
            .success()
    );
}

/// A system of the company's own, as a program: passwords in a file of JSON. It dies after the effect while there is a file
/// `die`.
const PROGRAM: &str = r#"#!/usr/bin/python3
import json, os, signal, sys
request = json.load(sys.stdin)
folder = os.path.dirname(os.path.abspath(__file__))
book = os.path.join(folder, "passwords.json")
people = json.load(open(book))
if request["operation"] == "test":
    sys.exit(64)
account = request["account"]
if account not in people:
    sys.exit(67)
if request["operation"] == "reset":
    people[account] = [request["password"], request["must_change"]]
    json.dump(people, open(book, "w"))
    if os.path.exists(os.path.join(folder, "die")):
        os.kill(os.getpid(), signal.SIGKILL)
    print(json.dumps({"must_change": request["must_change"]}))
elif request["operation"] == "verify":
    password, must_change = people[account]
    right = "must_change" if must_change else "accepted"
    print(json.dumps({"verdict": right if password == request["password"] else "rejected"}))
else:
    sys.exit(64)
"#;

fn house_with_program() -> House {
    let house = House::new(&Settings {
        configuration: &format!(
            "{SHORT_PASSWORDS}[[target]]\nname = \"erp\"\nkind = \"command\"\nprogram = [\"./erp\"]\n\
             can = [\"reset\", \"verify\"]\n"
        ),
        ..Settings::default()
    });
    let program = house.path().join("erp");
    fs::write(&program, PROGRAM).expect("written");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).expect("set");
    fs::write(
        house.path().join("passwords.json"),
        format!("{{\"anna.erp\": [\"{OLD}\", false]}}"),
    )
    .expect("written");
    fs::write(
        house.path().join("more.csv"),
        "login,account.erp\nanna.berger,anna.erp\n",
    )
    .expect("written");
    let imported = house.run(&["user", "import", "more.csv"]);
    assert!(imported.status.success(), "{}", said(&imported));
    house
}

#[test]
fn a_call_resets_by_a_program_of_the_company() {
    let house = house_with_program();
    let tested = house.run(&["target", "test", "erp"]);
    assert!(
        tested.status.success() && said(&tested).contains("erp: ok: run "),
        "{}",
        said(&tested)
    );
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    let password = caller.reset_everything();
    caller.hear("reset.everywhere");
    caller.hang_up();
    server.stop();
    assert_eq!(verdict(&house, "erp", "anna.erp", OLD), Verdict::Rejected);
    assert_eq!(
        verdict(&house, "erp", "anna.erp", &password),
        Verdict::AcceptedMustChange
    );
}

#[test]
fn a_program_that_dies_after_the_effect_is_found_out_before_anybody_is_told() {
    let house = house_with_program();
    fs::write(house.path().join("die"), "").expect("written");
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    let password = caller.reset_everything();
    caller.hear("reset.everywhere");
    caller.hang_up();
    server.stop();
    assert_eq!(
        verdict(&house, "erp", "anna.erp", &password),
        Verdict::AcceptedMustChange
    );
    let mut database = house.database();
    let proof = "select proof from reset_outcomes join accounts on accounts.id = account_id where target = 'erp'";
    assert_eq!(database.value(proof), "check");
}

#[test]
fn a_target_is_added_tested_and_removed_on_the_command_line() {
    openldap_person("cora", OLD);
    let house = House::new(&Settings::default());
    let file = house.path().join("passline.toml");
    let before = fs::read_to_string(&file).expect("a configuration");
    let openldap = openldap();
    let urls = format!("urls=[\"{}\"]", openldap.value("LDAPS_URL"));
    let ca = format!("ca={}", openldap.value("CA"));
    let bind = format!("bind={}", openldap.value("SERVICE"));
    let base = format!("base={}", openldap.value("BASE"));

    let wrong = house.run(&["target", "add", "people", "ldap", &urls, "account=no attribute"]);
    let told = said(&wrong);
    assert!(!wrong.status.success() && told.contains("nothing is written"), "{told}");
    assert!(
        told.contains("bind: missing") && told.contains("must be the name of an attribute"),
        "{told}"
    );
    assert_eq!(fs::read_to_string(&file).expect("a configuration"), before);

    let added = house.run(&["target", "add", "people", "ldap", &urls, &ca, &bind, &base]);
    assert!(added.status.success(), "{}", said(&added));
    let twice = house.run(&["target", "add", "people", "ldap", &urls, &ca, &bind, &base]);
    assert!(
        said(&twice).contains("there is a target \"people\" already"),
        "{}",
        said(&twice)
    );
    let password = format!("{}\n", openldap.value("SERVICE_PASSWORD"));
    assert!(
        house
            .run_with_input(&["target", "credential", "people", "--stdin"], &password)
            .status
            .success()
    );
    let tested = house.run(&["target", "test", "people", "--account", "cora"]);
    assert!(tested.status.success(), "{}", said(&tested));

    let removed = house.run(&["target", "remove", "people"]);
    assert!(
        removed.status.success() && said(&removed).contains("its password"),
        "{}",
        said(&removed)
    );
    assert_eq!(fs::read_to_string(&file).expect("a configuration"), before);
    let mut database = house.database();
    assert_eq!(database.value("select count(*) from credentials"), "0");
    let again = house.run(&["target", "remove", "people"]);
    assert!(
        said(&again).contains("there is no target \"people\""),
        "{}",
        said(&again)
    );
}

#[test]
fn passline_gives_its_own_accounts_new_passwords_that_nobody_knows() {
    const OWN: &str = "Svc-Pass-123";
    samba_tool(&["user", "create", "svc-renewed", OWN]);
    samba_tool(&["group", "addmembers", "Domain Admins", "svc-renewed"]);
    samba_person("lara.corp", OLD);
    openldap_person("lara.people", OLD);
    let sections = sections()
        .replace(samba().value("SERVICE"), "svc-renewed@passline.test")
        .replace(openldap().value("SERVICE"), "cn=svc-renewed,dc=passline,dc=test");
    let house = House::new(&Settings {
        configuration: &sections,
        ..Settings::default()
    });
    for (target, account) in [("corp", "lara.corp"), ("people", "lara.people")] {
        let renew = || house.run(&["target", "credential", target, "--renew"]);
        let keep = |password: &str| house.run_with_input(&["target", "credential", target, "--stdin"], password);
        let without = renew();
        assert!(!without.status.success());
        assert!(said(&without).contains("no password is kept"), "{}", said(&without));
        assert!(keep("Wrong-Pass-9").status.success());
        let wrong = renew();
        assert!(!wrong.status.success());
        assert!(said(&wrong).contains("the old password is wrong"), "{}", said(&wrong));

        assert!(keep(OWN).status.success());
        for _ in 0..2 {
            let renewed = renew();
            assert!(renewed.status.success(), "{}", said(&renewed));
            assert!(said(&renewed).contains("has a new password"), "{}", said(&renewed));
        }
        // The new one serves for a reset; the old one opens nothing.
        let own = Secret::new(OWN.to_owned());
        let new = Secret::new("Brand-New-Pass-2".to_owned());
        house.with_backstage(async |backstage, _| {
            let system = backstage.targets.iter().find(|system| system.name() == target);
            let system = system.expect("configured");
            assert_eq!(system.try_own_password(&own).await, Ok(Verdict::Rejected), "{target}");
            system.reset(account, &new, Expiry::Keep).await.expect("reset");
            assert_eq!(system.verify(account, &new).await, Ok(Verdict::Accepted), "{target}");
        });
    }
    let mut database = house.database();
    assert_eq!(database.value("select count(*) from credentials"), "2");
    assert_eq!(database.value("select count(*) from credential_renewals"), "0");
    // Systems that cannot do it say so, and nothing is begun.
    let embedded = house.run(&["target", "credential", "mail", "--renew"]);
    assert!(!embedded.status.success());
    assert!(
        said(&embedded).contains("cannot change Passline's own password"),
        "{}",
        said(&embedded)
    );
}

/// Killed after the change and before the end of it, the program knows two passwords; the next start finds the right one.
#[test]
fn a_renewal_that_was_cut_off_is_finished_at_the_next_start() {
    samba_tool(&["user", "create", "svc-cut-off", OLD]);
    let sections = sections().replace(samba().value("SERVICE"), "svc-cut-off@passline.test");
    let house = House::new(&Settings {
        configuration: &sections,
        ..Settings::default()
    });
    let keep = house.run_with_input(&["target", "credential", "corp", "--stdin"], OLD);
    assert!(keep.status.success(), "{}", said(&keep));
    let mut database = house.database();
    database.value("insert into credential_renewals select target, key_number, data_key, sealed, changed_ms from credentials returning 1");
    database.close();
    // As if the one that is kept were the new one, and this the old.
    let keep_other = |password: &str| {
        let mut database = house.database();
        let renewal = database.rows("select target, key_number, data_key, sealed, begun_ms from credential_renewals");
        database.close();
        let kept = house.run_with_input(&["target", "credential", "corp", "--stdin"], password);
        assert!(kept.status.success(), "{}", said(&kept));
        let mut database = house.database();
        let row = &renewal[0];
        database.value(&format!(
            "insert into credential_renewals values ('{}', {}, '{}', '{}', {}) returning 1",
            row[0], row[1], row[2], row[3], row[4]
        ));
        database.close();
    };
    keep_other("Wrong-Pass-9");
    let tested = house.run(&["target", "test", "corp"]);
    assert!(tested.status.success(), "{}", said(&tested));
    let mut database = house.database();
    assert_eq!(database.value("select count(*) from credential_renewals"), "0");
    database.close();
    assert_eq!(verdict(&house, "corp", "svc-cut-off", OLD), Verdict::Accepted);
}
