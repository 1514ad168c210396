//! People loaded from real directories, files, and the accounts of real servers.

use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use passline::integration::target::Verdict;
use passline::secret::Secret;

use crate::support::backend::{openldap, postgresql, psql, samba, samba_tool};
use crate::support::caller::Caller;
use crate::support::server::{House, Settings};
use crate::support::target::OLD;

fn said(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The domain as a target, with a source of the people in a unit of it.
fn active_directory(unit: &str, more: &str) -> String {
    let samba = samba();
    format!(
        "[passwords]\nmin_length = 9\nentropy_bits = 28\n[[target]]\nname = \"corp\"\nkind = \"active_directory\"\nurls = [\"{}\"]\n\
         ca = \"{}\"\nbind = \"{}\"\nbase = \"{}\"\n[[source]]\nname = \"staff\"\nkind = \"directory\"\ntarget = \"corp\"\n\
         base = \"{unit},{}\"\nmax_removals = 50\n{more}",
        samba.value("LDAPS_URL"),
        samba.value("CA"),
        samba.value("SERVICE"),
        samba.value("BASE"),
        samba.value("BASE"),
    )
}

fn ldap(unit: &str, bind: &str, more: &str) -> String {
    let openldap = openldap();
    format!(
        "[[target]]\nname = \"people\"\nkind = \"ldap\"\nurls = [\"{}\"]\nca = \"{}\"\nbind = \"{bind}\"\nbase = \"{}\"\n\
         [[source]]\nname = \"staff\"\nkind = \"directory\"\ntarget = \"people\"\nbase = \"{unit},{}\"\nmax_removals = 50\n{more}",
        openldap.value("LDAPS_URL"),
        openldap.value("CA"),
        openldap.value("BASE"),
        openldap.value("BASE"),
    )
}

/// A house without people.
fn house(configuration: &str, credential: Option<(&str, &str)>) -> House {
    let house = House::empty(&Settings {
        configuration,
        ..Settings::default()
    });
    if let Some((target, password)) = credential {
        let kept = house.run_with_input(&["target", "credential", target, "--stdin"], password);
        assert!(kept.status.success(), "{}", said(&kept));
    }
    house
}

/// Runs a sync of the source `staff`, to a good end, and gives what it tells.
fn sync(house: &House, options: &[&str]) -> serde_json::Value {
    let mut arguments = vec!["sync", "run", "staff", "--json"];
    arguments.extend(options);
    let output = house.run(&arguments);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{}", said(&output)))
}

fn counts(report: &serde_json::Value) -> [u64; 5] {
    ["created", "changed", "unchanged", "removed", "refused"]
        .map(|name| report["counts"][name].as_u64().expect("a count"))
}

fn show(house: &House, login: &str) -> serde_json::Value {
    let output = house.run(&["user", "show", login, "--json"]);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", said(&output)))
}

/// Adds or changes entries of a directory as its administrator.
fn change(tool: &str, url: &str, ca: &str, admin: &str, password: &str, ldif: &str) {
    let mut child = Command::new(tool)
        .args(["-x", "-H", url, "-D", admin, "-w", password])
        .env("LDAPTLS_CACERT", ca)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the tools of LDAP");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(ldif.as_bytes())
        .expect("written");
    let output = child.wait_with_output().expect("ended");
    assert!(output.status.success(), "{}\n{ldif:.400}", said(&output));
}

fn change_samba(ldif: &str) {
    let samba = samba();
    change(
        "ldapmodify",
        samba.value("LDAPS_URL"),
        samba.value("CA"),
        samba.value("ADMIN"),
        samba.value("ADMIN_PASSWORD"),
        ldif,
    );
}

fn change_openldap(ldif: &str) {
    let openldap = openldap();
    change(
        "ldapmodify",
        openldap.value("LDAP_URL"),
        openldap.value("CA"),
        openldap.value("ADMIN"),
        openldap.value("ADMIN_PASSWORD"),
        ldif,
    );
}

/// An entry of Active Directory that is added; 544: enabled, without a password.
fn ad_person(unit: &str, name: &str, more: &str) -> String {
    format!(
        "dn: CN={name},{unit},DC=passline,DC=test\nchangetype: add\nobjectClass: user\nsAMAccountName: {name}\n\
         userAccountControl: 544\n{more}\n"
    )
}

fn ad_change(unit: &str, name: &str, attribute: &str, value: &str) -> String {
    format!(
        "dn: CN={name},{unit},DC=passline,DC=test\nchangetype: modify\nreplace: {attribute}\n{attribute}: {value}\n\n"
    )
}

#[test]
fn active_directory_is_followed() {
    let unit = "OU=Followed";
    samba_tool(&["ou", "create", unit]);
    let mut ldif = String::new();
    for n in 0..600 {
        let manager = match n {
            0 => String::new(),
            _ => format!("manager: CN=fol0,{unit},DC=passline,DC=test\n"),
        };
        ldif += &ad_person(
            unit,
            &format!("fol{n}"),
            &format!(
                "displayName: Person {n}\nemployeeNumber: 7{n:05}\nmail: fol{n}@passline.test\nmobile: +49 170 {n:06}\n\
                 telephoneNumber: 089 {n:06}\ndepartment: Unit {}\npreferredLanguage: de-DE\n{manager}",
                n % 7
            ),
        );
    }
    change_samba(&ldif);
    let house = house(
        &active_directory(unit, ""),
        Some(("corp", samba().value("SERVICE_PASSWORD"))),
    );
    let report = sync(&house, &["--dry-run"]);
    assert_eq!((counts(&report), &report["full"]), ([600, 0, 0, 0, 0], &true.into()));
    let none = house.run(&["user", "show", "fol7"]);
    assert!(!none.status.success(), "a dry run has written");
    assert_eq!(counts(&sync(&house, &[])), [600, 0, 0, 0, 0]);
    let person = show(&house, "fol7");
    assert_eq!(person["name"], "Person 7");
    assert_eq!(person["employee_number"], "700007");
    assert_eq!(person["language"], "de-DE");
    assert_eq!(person["phones"], serde_json::json!(["+49 170 000007", "089 000007"]));
    assert_eq!(person["mails"], serde_json::json!(["fol7@passline.test"]));
    assert_eq!(person["departments"], serde_json::json!(["Unit 0"]));
    assert_eq!(person["managers"], serde_json::json!(["fol0"]));
    assert_eq!(
        person["accounts"],
        serde_json::json!([{ "target": "corp", "name": "fol7" }])
    );

    // Changed, renamed, new, disabled, deleted, moved away.
    let dn = |name: &str| format!("CN={name},{unit},DC=passline,DC=test");
    let mut ldif = ad_change(unit, "fol1", "displayName", "Person One");
    ldif += &ad_change(unit, "fol2", "sAMAccountName", "fol2.new");
    ldif += &ad_person(unit, "fol.new", "displayName: Newcomer\n");
    ldif += &ad_change(unit, "fol3", "userAccountControl", "546");
    let _ = write!(ldif, "dn: {}\nchangetype: delete\n\n", dn("fol4"));
    let _ = write!(
        ldif,
        "dn: {}\nchangetype: modrdn\nnewrdn: CN=fol5\ndeleteoldrdn: 1\nnewsuperior: OU=Privileged,DC=passline,DC=test\n\n",
        dn("fol5")
    );
    change_samba(&ldif);
    let report = sync(&house, &[]);
    assert_eq!((counts(&report), &report["full"]), ([1, 2, 0, 3, 0], &false.into()));
    assert!(report["counts"]["read"].as_u64().expect("a count") < 10, "{report}");
    assert_eq!(show(&house, "fol1")["name"], "Person One");
    let renamed = show(&house, "fol2.new");
    assert_eq!(
        renamed["accounts"],
        serde_json::json!([{ "target": "corp", "name": "fol2.new" }])
    );
    for gone in ["fol3", "fol4", "fol5"] {
        let gone = show(&house, gone);
        assert_eq!(
            (&gone["status"], &gone["accounts"]),
            (&"disabled".into(), &serde_json::json!([]))
        );
    }
    // Nothing new; then one comes back.
    assert_eq!(counts(&sync(&house, &[]))[..4], [0, 0, 0, 0]);
    change_samba(&ad_change(unit, "fol3", "userAccountControl", "544"));
    assert_eq!(counts(&sync(&house, &[]))[1], 1);
    assert_eq!(show(&house, "fol3")["status"], "active");
    // Read by another name of the same domain controller's life, everything is as before.
    assert_eq!(counts(&sync(&house, &["--full"])), [0, 0, 599, 0, 0]);
    let listed = said(&house.run(&["sync", "list"]));
    assert!(listed.contains("staff   directory  599"), "{listed}");
}

#[test]
fn who_enters_or_leaves_a_nested_group_is_noticed() {
    let unit = "OU=Grouped";
    samba_tool(&["ou", "create", unit]);
    change_samba(&(ad_person(unit, "gro1", "") + &ad_person(unit, "gro2", "") + &ad_person(unit, "gro3", "")));
    for (group, member) in [("gro-outer", "gro-inner"), ("gro-inner", "gro1")] {
        if group == "gro-outer" {
            samba_tool(&["group", "add", "gro-outer"]);
            samba_tool(&["group", "add", "gro-inner"]);
        }
        samba_tool(&["group", "addmembers", group, member]);
    }
    let filter = "filter = \"(memberOf:1.2.840.113556.1.4.1941:=CN=gro-outer,CN=Users,DC=passline,DC=test)\"\n";
    let house = house(
        &active_directory(unit, filter),
        Some(("corp", samba().value("SERVICE_PASSWORD"))),
    );
    assert_eq!(counts(&sync(&house, &[]))[0], 1);
    assert_eq!(
        show(&house, "gro1")["groups"],
        serde_json::json!(["CN=gro-inner,CN=Users,DC=passline,DC=test"])
    );
    samba_tool(&["group", "addmembers", "gro-inner", "gro2"]);
    assert_eq!(counts(&sync(&house, &[])), [1, 0, 0, 0, 0]);
    samba_tool(&["group", "removemembers", "gro-inner", "gro1"]);
    assert_eq!(counts(&sync(&house, &[])), [0, 0, 0, 1, 0]);
    assert_eq!(show(&house, "gro1")["status"], "disabled");
}

#[test]
fn openldap_is_followed_beyond_its_limit() {
    let unit = "ou=followed";
    let mut ldif = format!("dn: {unit},dc=passline,dc=test\nchangetype: add\nobjectClass: organizationalUnit\n\n");
    for n in 0..1_200 {
        let _ = write!(
            ldif,
            "dn: uid=oll{n},{unit},dc=passline,dc=test\nchangetype: add\nobjectClass: inetOrgPerson\nuid: oll{n}\n\
             cn: Person {n}\nsn: {n}\nemployeeNumber: 8{n:05}\nmail: oll{n}@passline.test\ndepartmentNumber: {}\n\
             userPassword: {OLD}\n\n",
            n % 5
        );
    }
    change_openldap(&ldif);
    let followed = house(
        &ldap(unit, openldap().value("SERVICE"), ""),
        Some(("people", openldap().value("SERVICE_PASSWORD"))),
    );
    assert_eq!(counts(&sync(&followed, &[])), [1_200, 0, 0, 0, 0]);
    assert_eq!(show(&followed, "oll9")["departments"], serde_json::json!(["4"]));
    let mut ldif = String::new();
    for (n, change) in [
        (1, "changetype: modify\nreplace: cn\ncn: Person One"),
        (2, "changetype: delete"),
        (
            3,
            "changetype: modify\nadd: pwdAccountLockedTime\npwdAccountLockedTime: 000001010000Z",
        ),
        (4, "changetype: modrdn\nnewrdn: uid=oll.four\ndeleteoldrdn: 1"),
    ] {
        let _ = write!(ldif, "dn: uid=oll{n},{unit},dc=passline,dc=test\n{change}\n\n");
    }
    change_openldap(&ldif);
    let report = sync(&followed, &[]);
    assert_eq!(
        (&report["full"], &report["counts"]["listed"]),
        (&false.into(), &1_198.into())
    );
    let [created, changed, _, removed, refused] = counts(&report);
    assert_eq!([created, changed, removed, refused], [0, 2, 2, 0], "{report}");
    assert_eq!(show(&followed, "oll1")["name"], "Person One");
    assert_eq!(show(&followed, "oll.four")["employee_number"], "800004");
    for gone in ["oll2", "oll3"] {
        assert_eq!(show(&followed, gone)["status"], "disabled");
    }

    // Somebody whom the server gives five hundred at most: nothing is taken for the whole, and nobody is removed.
    let bind = format!("uid=oll0,{unit},dc=passline,dc=test");
    let none_disabled = "disabled = \"(uid=nobody)\"\n";
    let limited = house(&ldap(unit, &bind, none_disabled), Some(("people", OLD)));
    let output = limited.run(&["sync", "run"]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text.contains("the directory does not give Passline everybody (result 4"),
        "{text}"
    );
    let listed = said(&limited.run(&["sync", "list"]));
    assert!(listed.contains("does not give Passline everybody"), "{listed}");
}

#[test]
fn a_file_is_followed_and_says_what_is_wrong() {
    let source = "[[source]]\nname = \"staff\"\nkind = \"csv\"\nfile = \"plant.csv\"\nentry = \"number\"\nseparator = \";\"\nvalues_separator = \"|\"\n\
                  disabled = \"(state=left)\"\nmax_removals = 50\n[source.map]\nlogin = \"user\"\nname = \"full name\"\n\
                  employee_number = [\"number\", \"badge\"]\nphone = \"phones\"\nmanager = \"boss\"\n\
                  [[source.account]]\ntarget = \"mail\"\nattribute = \"user\"\n";
    let house = house(source, None);
    let header = "User;Full Name;Number;Badge;Phones;Boss;State\n";
    let lines = "anna;Anna A;1001;77;none|+49 22;carl;\nbert;Bert B;1002;;;carl;\ncarl;Carl C;1003;;;;\ndora;Dora D;1004;;;;left\n";
    let write = |text: &str| fs::write(house.path().join("plant.csv"), text).expect("written");
    write(&format!("\u{feff}{header}{lines}"));
    let report = sync(&house, &[]);
    assert_eq!(counts(&report), [3, 0, 0, 0, 0]);
    assert_eq!(report["problems"][0]["place"], "anna");
    assert_eq!(report["problems"][0]["field"], "phone");
    let anna = show(&house, "anna");
    assert_eq!(
        (&anna["managers"][0], &anna["phones"]),
        (&"carl".into(), &serde_json::json!(["+49 22"]))
    );
    assert_eq!(
        anna["accounts"][0],
        serde_json::json!({ "target": "mail", "name": "anna" })
    );
    assert_eq!(
        house.verify("mail", "anna", "anything"),
        Verdict::Rejected,
        "the account is there"
    );

    write(&format!("{header}{lines}").replace("bert;Bert B;1002;;;carl;", "bert;Bert B;1002;;;carl;left"));
    assert_eq!(counts(&sync(&house, &[])), [0, 0, 2, 1, 0]);
    assert_eq!(show(&house, "bert")["status"], "disabled");
    // A line that cannot be read might be anybody's.
    write(&format!("{header}anna;Anna A;1001;77;+49 22;carl;\ncarl;too;short\n"));
    let report = sync(&house, &[]);
    assert_eq!(report["incomplete"], true);
    assert_eq!(report["problems"][0]["place"], "line 3");
    assert_eq!(show(&house, "carl")["status"], "active");
    write("login,name\nanna,Anna\n");
    let text = said(&house.run(&["sync", "run"]));
    assert!(
        text.contains("plant.csv: its first line names no column number, user, state, full name, badge, phones, boss; it names login,name"),
        "{text}"
    );
    fs::remove_file(house.path().join("plant.csv")).expect("removed");
    let text = said(&house.run(&["sync", "run"]));
    assert!(text.contains("plant.csv: cannot be read"), "{text}");
    assert_eq!(show(&house, "anna")["status"], "active");
    let none = said(&house.run(&["sync", "run", "stuff"]));
    assert!(
        none.contains("no source \"stuff\" in the configuration; there are: staff"),
        "{none}"
    );
}

#[test]
fn answers_from_a_source_are_nowhere_in_clear() {
    let source = "[[question]]\ntext = \"What is your badge?\"\nanswer = \"digits 8-8\"\n[[source]]\nname = \"staff\"\nkind = \"csv\"\n\
                  file = \"plant.csv\"\nentry = \"login\"\n[source.map]\ndiscriminator = \"room\"\n\
                  [[source.answer]]\nquestion = \"What is your badge?\"\nattribute = \"badge\"\n";
    let house = House::empty(&Settings {
        configuration: source,
        log_level: Some("trace"),
        ..Settings::default()
    });
    let lines = "login,room,badge\nanna,90417253,73829164\nbert,4711-secret,wrong-secret-word\n";
    fs::write(house.path().join("plant.csv"), lines).expect("written");
    let mut heard = Vec::new();
    for options in [&["--dry-run"][..], &[], &["--full", "--json"]] {
        let output = house.run(&[&["sync", "run"], options].concat());
        heard.extend(output.stdout);
        heard.extend(output.stderr);
    }
    let shown = show(&house, "anna");
    assert_eq!(
        (&shown["has_discriminator"], &shown["enrolled"]["phone"]),
        (&true.into(), &1.into())
    );
    let mut folders = vec![house.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path() {
                path if path.is_dir() => folders.push(path),
                path if path.ends_with("plant.csv") => {}
                path => heard.extend(fs::read(path).expect("read")),
            }
        }
    }
    if let Some(name) = house.on_server() {
        heard.extend(crate::support::database_server::dump(name));
    }
    for secret in ["73829164", "90417253", "4711-secret", "wrong-secret-word"] {
        let is_there = heard.windows(secret.len()).any(|part| part == secret.as_bytes());
        assert!(!is_there, "{secret} can be read");
    }
    assert!(said(&house.run(&["sync", "run"])).contains("staff: everything was read"));
}

#[test]
fn accounts_of_a_server_are_linked_to_people_who_are_known() {
    psql("create role linked_ada login; create role linked_nobody login;");
    let postgresql = postgresql();
    let configuration = format!(
        "[[target]]\nname = \"erp\"\nkind = \"postgresql\"\nhost = \"localhost\"\nport = {}\nca = \"{}\"\nuser = \"{}\"\n\
         [[source]]\nname = \"staff\"\nkind = \"accounts\"\ntarget = \"erp\"\n",
        postgresql.value("PORT"),
        postgresql.value("CA"),
        postgresql.value("SERVICE"),
    );
    let house = house(&configuration, Some(("erp", postgresql.value("SERVICE_PASSWORD"))));
    fs::write(house.path().join("few.csv"), "login,name\nlinked_ada,Ada\n").expect("written");
    assert!(house.run(&["user", "import", "few.csv"]).status.success());
    let report = sync(&house, &[]);
    assert_eq!(
        (&report["counts"]["linked"], &report["counts"]["created"]),
        (&1.into(), &0.into())
    );
    assert!(report["counts"]["unlinked"].as_u64().expect("a count") >= 1);
    let ada = serde_json::json!([{ "target": "erp", "name": "linked_ada" }]);
    assert_eq!(show(&house, "linked_ada")["accounts"], ada);
    psql("drop role linked_ada;");
    let report = sync(&house, &["--remove"]);
    assert_eq!(report["counts"]["removed"], 1);
    let left = show(&house, "linked_ada");
    assert_eq!(
        (&left["accounts"], &left["status"]),
        (&serde_json::json!([]), &"active".into())
    );
}

#[test]
fn somebody_from_active_directory_calls_and_resets_their_password_there() {
    // Where Passline may reset passwords.
    let unit = "OU=Staff";
    let person = format!("dn: CN=cal.person,{unit},DC=passline,DC=test\nchangetype: modify\n");
    samba_tool(&["user", "create", "cal.person", OLD, &format!("--userou={unit}")]);
    // What the sample caller keys, and answers.
    change_samba(&format!(
        "{person}replace: employeeNumber\nemployeeNumber: 4711\n-\nreplace: physicalDeliveryOfficeName\n\
         physicalDeliveryOfficeName: 2009\n\n"
    ));
    let source = "filter = \"(sAMAccountName=cal.person)\"\n[[source.answer]]\nquestion = \"question.start_year\"\nattribute = \"physicalDeliveryOfficeName\"\n";
    let house = house(
        &active_directory(unit, source),
        Some(("corp", samba().value("SERVICE_PASSWORD"))),
    );
    // The server reads it by itself.
    let server = house.serve();
    server.wait_for_log("people were loaded");
    let mut caller = Caller::dial(&server);
    let password = caller.reset_everything();
    caller.hear("reset.everywhere");
    caller.hang_up();
    server.stop();
    let verdict = |password: &str| {
        let password = Secret::new(password.to_owned());
        house.with_backstage(async |backstage, _| {
            let corp = backstage
                .targets
                .iter()
                .find(|target| target.name() == "corp")
                .expect("configured");
            corp.verify("cal.person", &password).await.expect("a verdict")
        })
    };
    assert_eq!(verdict(OLD), Verdict::Rejected);
    assert_eq!(verdict(&password), Verdict::AcceptedMustChange);
}
