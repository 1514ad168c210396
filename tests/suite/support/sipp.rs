//! SIPp: scenarios named by outcome, in `tests/sipp/`.

use std::net::SocketAddr;
use std::process::Command;

use super::server::root;

/// Runs a scenario of `tests/sipp/` once against a server, from an address of this machine; panics with SIPp's own words
/// when it fails.
pub fn run(scenario: &str, server: SocketAddr, from: &str, transport: &str) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = root().join(format!("tests/sipp/{scenario}.xml"));
    let output = Command::new("sipp")
        .current_dir(folder.path())
        .args(["-sf", &file.to_string_lossy(), "-s", "100", "-m", "1", "-i", from, "-mi", from, "-t", transport])
        .args(["-timeout", "30s", "-timeout_error", "-nostdin", "-trace_err", "-trace_msg"])
        .arg(server.to_string())
        .output()
        .expect("sipp is installed: scripts/setup test");
    if output.status.success() {
        return;
    }
    let mut traces = String::new();
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        traces += &std::fs::read_to_string(entry.expect("an entry").path()).unwrap_or_default();
    }
    panic!("{scenario} failed ({}):\n{}\n{traces}", output.status, String::from_utf8_lossy(&output.stdout));
}
