//! SIPp: scenarios named by outcome, in `tests/sipp/`.
//!
//! Each run has an address of this machine of its own (127.0.1.x), because SIPp's media ports are fixed.

use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use super::second_opinion;
use super::server::root;

/// What happened in one run of a scenario.
pub(crate) struct Played {
    /// The messages that SIPp received, as they came.
    pub received: Vec<Vec<u8>>,
}

impl Played {
    /// How many of the messages begin like this.
    pub(crate) fn count(&self, start: &str) -> usize {
        let begins = |message: &&Vec<u8>| message.starts_with(start.as_bytes());
        self.received.iter().filter(begins).count()
    }
}

/// Runs a scenario of `tests/sipp/` once against a server, from an address of this machine; panics with SIPp's own words
/// when it fails, and over a message of the server that does not stand before the second opinion. `transport` is `u1`
/// or `t1`.
pub(crate) fn run(scenario: &str, server: SocketAddr, from: &str, transport: &str) -> Played {
    try_run(scenario, server, from, transport).unwrap_or_else(|failure| panic!("{scenario} failed: {failure}"))
}

/// The same, where the outcome may be another one.
pub(crate) fn try_run(scenario: &str, server: SocketAddr, from: &str, transport: &str) -> Result<Played, String> {
    let file = root().join(format!("tests/sipp/{scenario}.xml"));
    let folder = sipp(
        server,
        from,
        &["-sf", &file.to_string_lossy(), "-m", "1", "-t", transport, "-trace_msg"],
    )?;
    let received = received(&folder);
    assert!(!received.is_empty(), "{scenario}: SIPp writes down what it receives");
    received
        .iter()
        .for_each(|message| second_opinion::check_emitted(message));
    Ok(Played { received })
}

/// Places many calls with the caller that SIPp has built in.
pub(crate) fn load(server: SocketAddr, from: &str, calls: &str, per_second: &str) {
    sipp(
        server,
        from,
        &["-sn", "uac", "-m", calls, "-r", per_second, "-d", "500", "-t", "u1"],
    )
    .unwrap_or_else(|failure| panic!("{failure}"));
}

/// The messages in the trace: `UDP message received [447] bytes :`, an empty line, and that many bytes.
fn received(folder: &TempDir) -> Vec<Vec<u8>> {
    const MARK: &[u8] = b" message received [";
    let mut messages = Vec::new();
    for file in std::fs::read_dir(folder.path()).expect("a folder") {
        let path = file.expect("an entry").path();
        if !path.to_string_lossy().ends_with("_messages.log") {
            continue;
        }
        let trace = std::fs::read(path).expect("a trace");
        let mut rest = trace.as_slice();
        while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
            rest = &rest[at + MARK.len()..];
            let digits: String = rest
                .iter()
                .take_while(|byte| byte.is_ascii_digit())
                .map(|&byte| char::from(byte))
                .collect();
            let start = rest
                .windows(2)
                .position(|window| window == b"\n\n")
                .expect("an empty line")
                + 2;
            let end = start + digits.parse::<usize>().expect("a length");
            messages.push(rest.get(start..end).expect("the whole message").to_vec());
            rest = &rest[end..];
        }
    }
    messages
}

fn sipp(server: SocketAddr, from: &str, arguments: &[&str]) -> Result<TempDir, String> {
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
        return Ok(folder);
    }
    let mut traces = String::new();
    for entry in std::fs::read_dir(folder.path()).expect("a folder") {
        traces += &std::fs::read_to_string(entry.expect("an entry").path()).unwrap_or_default();
    }
    Err(format!(
        "{arguments:?} ended with {}:\n{}\n{traces}",
        output.status,
        String::from_utf8_lossy(&output.stdout)
    ))
}
