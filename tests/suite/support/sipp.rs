//! SIPp: scenarios named by outcome, in `tests/sipp/`.
//!
//! Each run has an address of this machine of its own (127.0.1.x), because SIPp's media ports are fixed.

use std::net::SocketAddr;
use std::process::Command;

use super::server::root;

/// Runs a scenario of `tests/sipp/` once against a server, from an address of this machine; panics with SIPp's own words
/// when it fails. `transport` is `u1` or `t1`.
pub(crate) fn run(scenario: &str, server: SocketAddr, from: &str, transport: &str) {
    let file = root().join(format!("tests/sipp/{scenario}.xml"));
    sipp(
        server,
        from,
        &["-sf", &file.to_string_lossy(), "-m", "1", "-t", transport, "-trace_msg"],
    );
}

/// Places many calls with the caller that SIPp has built in.
pub(crate) fn load(server: SocketAddr, from: &str, calls: &str, per_second: &str) {
    sipp(
        server,
        from,
        &["-sn", "uac", "-m", calls, "-r", per_second, "-d", "500", "-t", "u1"],
    );
}

fn sipp(server: SocketAddr, from: &str, arguments: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    let output = Command::new("sipp")
        .current_dir(folder.path())
        .args([
            "-s",
            "100",
            "-i",
            from,
            "-mi",
            from,
            "-timeout",
            "40s",
            "-timeout_error",
            "-nostdin",
            "-trace_err",
        ])
        .args(arguments)
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
    panic!(
        "{arguments:?} failed ({}):\n{}\n{traces}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    );
}
