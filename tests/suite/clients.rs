//! The web API as clients see it that nobody here wrote.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::api::{Client, Outside, anna};
use crate::support::server::Settings;
use crate::support::{node, python};

/// What is valid by itself may be refused for what was before, as an idempotency key is that was used for another call (422).
const SCHEMATHESIS: &str = "[checks.positive_data_acceptance]\n\
                            expected-statuses = [\"2xx\", 401, 403, 404, 409, 422, 429, \"5xx\"]\n";

/// Every call, with everything that its description allows and much that it does not, by a tester of APIs
/// (<https://schemathesis.readthedocs.io>). It compares each answer with the description: statuses, media types,
/// members, methods that are not described.
#[test]
fn schemathesis_finds_no_difference_from_the_description() {
    let outside = Outside::new(&Settings {
        configuration: "requests_per_address = 1000000\nrequests_per_user = 1000000\n[lockout.clients]\ntries = 1000\n\
                        [lockout.addresses]\ntries = 1000\n",
        ..Settings::default()
    });
    // In a session in which nobody is verified yet, what is valid gets as far as the order of the calls.
    std::fs::write(outside.house.path().join("schemathesis.toml"), SCHEMATHESIS).expect("a file");
    let client = outside.log_in();
    let asked = compare(&outside, &client, &[]);
    assert!(asked > 200.0, "only {asked} calls");
    // In one in which everything may be done, answers are seen, and not only faults. That a password is given either by handle or
    // as a value is not said in the schema, and so valid requests are refused there.
    let client = outside.log_in();
    assert_eq!(client.verify("4711", anna), "passed");
    compare(&outside, &client, &["--exclude-checks", "positive_data_acceptance"]);
    for call in ["UserAccountList", "UserAccountsUnlock", "PasswordRandomGet"] {
        let call_label = format!("call=\"{call}\"");
        let carried_out = sum(&outside, |line| {
            line.contains(&call_label) && line.contains("outcome=\"ok\"")
        });
        assert!(carried_out > 0.0, "{call} was never carried out");
    }
}

/// Lets schemathesis compare all calls in a session with their description; how many calls were answered until now.
fn compare(outside: &Outside, client: &Client, options: &[&str]) -> f64 {
    let schemathesis = python::environment().join("bin/schemathesis");
    let output = Command::new(schemathesis)
        .arg("run")
        .arg(format!("{}/api/v1/openapi.json", client.base))
        .arg("--tls-verify")
        .arg(outside.house.path().join("ca.pem"))
        .args([
            "--header",
            &format!(
                "Authorization: Bearer {}",
                client.session.as_deref().expect("a session")
            ),
        ])
        // The session must last.
        .args(["--exclude-path", "/api/v1/Logout"])
        .args(["--phases", "coverage,fuzzing", "--max-examples", "50", "--seed", "1"])
        .args(["--warnings", "off", "--no-color"])
        .args(options)
        .current_dir(outside.house.path())
        .output()
        .expect("schemathesis runs");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // It has really asked.
    sum(outside, |_| true)
}

/// How many calls of some kind were answered, by the metrics.
fn sum(outside: &Outside, is_meant: impl Fn(&str) -> bool) -> f64 {
    let metrics = outside.server.page("/metrics").1;
    let calls = metrics
        .lines()
        .filter(|line| line.starts_with("passline_api_calls_total{"));
    let meant = calls.filter(|line| is_meant(line));
    meant
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum()
}

/// An API with two questions, and the password of its user in a file, since arguments are seen by everybody.
fn outside() -> Outside {
    let outside = Outside::new(&Settings {
        two_questions: true,
        ..Settings::default()
    });
    std::fs::write(outside.house.path().join("password"), outside.password()).expect("a file");
    outside
}

/// What a client has printed.
fn told(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    let failed = || format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", failed());
    serde_json::from_str(&text).unwrap_or_else(|_| panic!("{}", failed()))
}

fn walk(outside: &Outside, program: &Path, script: &Path, last: &str) -> Value {
    let client = outside.log_in();
    let output = Command::new(program)
        .arg(script)
        .arg(format!("{}/soap?wsdl", client.base))
        .arg(outside.house.path().join("ca.pem"))
        .arg("ivr")
        .arg(outside.house.path().join("password"))
        .arg(last)
        .env("NODE_EXTRA_CA_CERTS", outside.house.path().join("ca.pem"))
        .output();
    told(&output.expect("a client runs"))
}

#[test]
fn zeep_walks_from_the_digits_to_the_reset_in_both_versions_of_soap() {
    let outside = outside();
    let script = crate::support::server::root().join("tests/clients/zeep_client.py");
    for port in ["PasslineSoap11", "PasslineSoap12"] {
        let told = walk(&outside, &python::environment().join("bin/python3"), &script, port);
        let three = |outcome: &str| json!([outcome, outcome, outcome]);
        assert_eq!(told["wrong_password"], "sign-in-refused", "{port}: {told}");
        assert_eq!(told["too_early"], "not-verified");
        assert_eq!(told["no_session"], "no-session");
        assert_eq!(
            (&told["users"], &told["audio"], &told["result"]),
            (&json!(["1"]), &json!(["UklGR"]), &json!("passed"))
        );
        assert_eq!(told["accounts"], json!(["active-directory", "mail", "payroll"]));
        assert!(told["spoken"].as_u64().is_some_and(|count| count >= 10), "{told}");
        assert_eq!((&told["status"], &told["outcomes"]), (&json!("done"), &three("done")));
        assert_eq!(
            (&told["same_job"], &told["unlocked"]),
            (&json!(true), &three("not_locked"))
        );
        assert_eq!(told["not_allowed"], "not-allowed");
        assert_eq!(told["after_logout"], "no-session");
    }
}

#[test]
fn soap_for_node_walks_from_the_digits_to_the_reset_in_both_versions() {
    let outside = outside();
    for version in ["1.1", "1.2"] {
        let told = walk(
            &outside,
            Path::new("node"),
            &node::folder().join("soap_client.mjs"),
            version,
        );
        assert_eq!(
            (&told["result"], &told["status"]),
            (&json!("passed"), &json!("done")),
            "{version}: {told}"
        );
        assert_eq!(told["outcomes"], json!(["done", "done", "done"]));
        assert_eq!(told["afterLogout"], "no-session");
    }
}

/// JAX-WS as Java has it, with the classes that its own tool makes of the description.
#[test]
fn jax_ws_walks_from_the_digits_to_the_reset_in_both_versions() {
    let outside = outside();
    let folder = outside.house.path();
    let port = outside.server.api.expect("an API").port();
    let written = outside.house.run(&[
        "api",
        "wsdl",
        "passline.wsdl",
        "--url",
        &format!("https://localhost:{port}"),
    ]);
    assert!(written.status.success(), "{written:?}");
    let java = |program: &str, arguments: &[&str]| {
        let output = Command::new(program).args(arguments).current_dir(folder).output();
        let output = output.unwrap_or_else(|error| panic!("{program}: {error}; `scripts/setup test` installs it"));
        let told = || {
            format!(
                "{program}: {}{}",
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            )
        };
        assert!(output.status.success(), "{}", told());
        output
    };
    std::fs::create_dir(folder.join("java")).expect("a folder");
    // Without -extension, SOAP 1.2 would be left out.
    let made = [
        "-quiet",
        "-extension",
        "-Xnocompile",
        "-p",
        "passline",
        "-s",
        "java",
        "passline.wsdl",
    ];
    java("wsimport", &made);
    let client = crate::support::server::root().join("tests/clients/JaxwsClient.java");
    let client = client.to_str().expect("UTF-8");
    let path = "java:/usr/share/jaxws/lib/*";
    let classes = std::fs::read_dir(folder.join("java/passline"))
        .expect("classes")
        .flatten();
    // All of them: what no class names, `package-info`, has the namespace.
    let classes: Vec<String> = classes.map(|entry| entry.path().display().to_string()).collect();
    let mut compile = vec!["-nowarn", "-cp", path, "-d", "java", client];
    compile.extend(classes.iter().map(String::as_str));
    java("javac", &compile);
    for port in ["PasslineSoap11", "PasslineSoap12"] {
        let wsdl = format!("file://{}", folder.join("passline.wsdl").display());
        let arguments = ["-cp", path, "JaxwsClient", &wsdl, "ca.pem", "ivr", "password", port];
        let told = told(&java("java", &arguments));
        let three = |outcome: &str| json!([outcome, outcome, outcome]);
        assert_eq!(told["wrongPassword"], "sign-in-refused", "{port}: {told}");
        assert_eq!(told["tooEarly"], "not-verified");
        assert_eq!(told["accounts"], json!(["active-directory", "mail", "payroll"]));
        assert_eq!((&told["result"], &told["status"]), (&json!("passed"), &json!("done")));
        assert_eq!(
            (&told["outcomes"], &told["unlocked"]),
            (&three("done"), &three("not_locked"))
        );
        assert_eq!(told["afterLogout"], "no-session");
    }
}
