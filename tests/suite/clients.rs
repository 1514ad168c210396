//! The web API as clients see it that nobody here wrote.

use std::process::Command;

use crate::api::Outside;
use crate::support::server::Settings;

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
    let client = outside.log_in();
    let schemathesis = crate::support::python::environment().join("bin/schemathesis");
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
    let asked = outside.server.page("/metrics").1;
    let count: f64 = asked
        .lines()
        .filter(|line| line.starts_with("passline_api_calls_total{"))
        .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
        .sum();
    assert!(count > 200.0, "only {count} calls\n{told}");
}
