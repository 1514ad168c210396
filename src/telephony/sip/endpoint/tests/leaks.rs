//! Nothing that is secret reaches a log, at any level, or a debug text.

use std::io;
use std::sync::{Arc, Mutex};

use super::super::Command;
use super::support::{Lab, invite, request};
use crate::secret::Secret;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("not poisoned").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const CALLER: &str = "+15550004711";
const KEYS: &str = "998877665544";
const CRYPTO: &str = "inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";

#[test]
fn no_key_credential_media_key_or_caller_is_shown() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = || {
        let writer = writer.clone();
        tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .finish()
    };
    // While there is only one, tracing asks the thread that meets a log line first whether anybody listens, and other
    // tests run on threads of their own.
    let _second = tracing::Dispatch::new(subscriber());
    let shown = tracing::subscriber::with_default(subscriber(), || {
        let mut lab = Lab::new();
        // Gateways build identifiers and host names out of the number that calls.
        let text = invite(&format!("-{}-1", &CALLER[1..]))
            .replace("call-1", &format!("{}-call@gw", &CALLER[1..]))
            .replace(
                "From: \"Alice\" <sip:alice@192.0.2.9",
                &format!("From: \"{CALLER}\" <sip:alice@n{}.example.com", &CALLER[2..]),
            )
            .replace("sip:alice@", &format!("sip:{CALLER}@"))
            .replace(
                "Max-Forwards",
                "Authorization: Digest username=\"u\", response=\"0123456789abcdef\"\nMax-Forwards",
            )
            .replace("v=0 theirs", CRYPTO)
            .replace("Content-Length: 12", &format!("Content-Length: {}", CRYPTO.len() + 2));
        lab.deliver(&text);
        let mut shown = format!("{:?}", lab.incoming);
        let key = lab.incoming.pop().expect("a call").key;
        let tag = lab
            .command(key, Command::Answer(CRYPTO.into()))
            .pop()
            .expect("200")
            .to_tag();
        for (cseq, kind) in [(2, "dtmf"), (3, "dtmf-relay"), (4, "unknown")] {
            let field = format!("Content-Type: application/{kind}\n");
            let info = request("INFO", kind, cseq, &tag, &field, KEYS);
            lab.deliver(&info.replace("call-1", &format!("{}-call@gw", &CALLER[1..])));
        }
        lab.command(
            key,
            Command::Info {
                content_type: "application/dtmf".into(),
                body: Secret::new(KEYS.into()),
            },
        );
        lab.command(key, Command::HangUp);
        lab.pass(std::time::Duration::from_secs(40));
        shown.push_str(&format!("{:?}", lab.events));
        shown
    });
    let logged = String::from_utf8_lossy(&log.0.lock().expect("not poisoned")).into_owned();
    assert!(logged.contains("call offered"), "the log is being read");
    for told in [
        "SIP message received",
        "SIP message sent",
        "INVITE \\\"sip:***@198.51.100.1\\\"",
        "sip:**********11@n********11.example.com",
        "*********11-call@gw",
        "branch=z9hG4bK-***********-1",
        "call ended",
        "200 OK",
        "4 INFO",
        "12 bytes of application/dtmf-relay",
        "sip.credentials=true",
    ] {
        assert!(logged.contains(told), "{told} is not in {logged}");
    }
    for secret in [&CALLER[2..], KEYS, CRYPTO, "0123456789abcdef"] {
        assert!(!logged.contains(secret) && !shown.contains(secret), "{secret}");
    }
}
