//! Asterisk: FastAGI (<https://docs.asterisk.org/Configuration/Interfaces/Asterisk-Gateway-Interface-AGI/>).
//!
//! ```text
//! dialplan:  PASSLINE_PASSWORD=... among the global variables; AGI(agi://127.0.0.1/<flow>,<API user>[,<language>])
//!
//! Asterisk ── agi_network_script: <flow>, agi_arg_1: <API user>, ... ▶
//!          ◀─ GET VARIABLE PASSLINE_PASSWORD ─────────────────────────  sign in, begin
//!          ◀─ STREAM FILE https://... "0123456789*#" ─────────────────  a line of the page
//!          ── 200 result=52 endpos=... ───────────────────────────────▶ key 4
//!          ◀─ WAIT FOR DIGIT 4000 ────────────────────────────────────  the next key, and so on
//! ```
//!
//! The password is asked for and no argument: Asterisk writes those to its log. FastAGI is in clear, keys and password
//! too. So it is served on this machine alone; from others it comes through a tunnel (stunnel, SSH, WireGuard). Sounds are fetched by Asterisk over HTTPS (`res_http_media_cache`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use zeroize::Zeroizing;

use super::{Door, Proof, Start, Turned, path_of};
use crate::api::calls::{Fault, FaultKind};
use crate::api::server::Gate;
use crate::call::outside::{Heard, Line, Page, Then};
use crate::dialplan::Awaited;
use crate::digit::{Digit, Digits};
use crate::secret::Secret;
use crate::service::ApiPeer;

const FORM: &str = "agi";

/// Calls at once; the registry of calls has its own limit.
const AT_ONCE: usize = 1_000;

/// The longest line that Asterisk sends.
const LINE: usize = 1_024;

/// The most lines that a call begins with.
const LINES: usize = 128;

/// How long Asterisk may take for an answer, beside what it plays or waits for.
const PATIENCE: Duration = Duration::from_secs(15);

/// How often a page is asked for, and how long after each other: a caller has hung up then.
const TRIES: u32 = 8;
const AGAIN: Duration = Duration::from_millis(300);

/// What `CHANNEL STATUS` says of a line that is up.
const UP: i32 = 6;

/// How long to wait when no connection can be accepted, most often for want of file handles.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The port cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for FastAGI")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

/// Listens for Asterisk.
pub struct Listener {
    listener: TcpListener,
    address: SocketAddr,
}

/// Listens on `address`.
///
/// # Errors
/// When it is taken, or not this machine's.
pub async fn bind(address: SocketAddr) -> Result<Listener, ListenError> {
    let failed = |source| ListenError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok(Listener { listener, address })
}

impl Listener {
    /// Where it listens, with the real port.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves calls until `stop`. `api` is where sounds are fetched, if no other address is configured.
    pub async fn serve(self, door: Door, gate: Arc<dyn Gate>, api: SocketAddr, stop: CancellationToken) {
        let calls = TaskTracker::new();
        let places = Arc::new(Semaphore::new(AT_ONCE));
        let base: Arc<str> = match &door.settings.url {
            Some(url) => url.as_str().into(),
            None => format!("https://{api}").into(),
        };
        while let Some(accepted) = stop.run_until_cancelled(self.listener.accept()).await {
            let Ok((stream, from)) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let address = from.ip().to_canonical();
            let place = Arc::clone(&places).try_acquire_owned();
            let (true, true, Ok(place)) = (gate.admits(address), door.calls.admits(address), place) else {
                continue;
            };
            let (door, base, stop) = (door.clone(), Arc::clone(&base), stop.clone());
            calls.spawn(async move {
                let peer = ApiPeer {
                    address,
                    certificate: None,
                };
                let call = carry(stream, &door, peer, &base);
                if let Some(Err(error)) = stop.run_until_cancelled(call).await {
                    tracing::info!(%error, client.address = %address, "a FastAGI connection has ended");
                }
                drop(place);
            });
        }
        calls.close();
        calls.wait().await;
    }
}

/// One call on its connection.
async fn carry(stream: TcpStream, door: &Door, peer: ApiPeer, base: &str) -> io::Result<()> {
    let (reader, writer) = stream.into_split();
    let mut channel = Channel {
        reader: BufReader::new(reader),
        writer,
        base,
    };
    let entry = door.log.begin("IvrBegin", FORM, &peer);
    let variables = channel.variables().await?;
    let password = channel.get("PASSLINE_PASSWORD").await?;
    let begun = begin(door, peer.clone(), &entry, &variables, password).await;
    let mut turned = match begun {
        Ok(turned) => {
            entry.end(None);
            turned
        }
        Err(fault) => {
            let kind = fault.kind;
            entry.end(Some(kind));
            // The dialplan of Asterisk goes on behind AGI(), and can see why.
            channel.set("PASSLINE_STATUS", kind.slug()).await?;
            return Ok(());
        }
    };
    loop {
        let page = Arc::clone(&turned.page);
        let heard = match channel.show(&page).await {
            Ok(Some(heard)) => heard,
            Ok(None) => {
                channel.set("PASSLINE_STATUS", "completed").await?;
                channel.command("HANGUP", PATIENCE).await?;
                return Ok(());
            }
            // A connection that breaks is a caller who is gone.
            Err(error) => {
                tracing::warn!(%error, "a call by FastAGI cannot go on");
                channel.set("PASSLINE_STATUS", "failed").await.ok();
                Heard::HungUp
            }
        };
        let is_over = matches!(heard, Heard::HungUp);
        turned = match turn(door, &peer, &turned, heard).await {
            Ok(next) => next,
            Err(fault) => {
                // The call is not kept for a channel that has gone on.
                let _ = turn(door, &peer, &turned, Heard::HungUp).await;
                channel.set("PASSLINE_STATUS", fault.kind.slug()).await?;
                return Ok(());
            }
        };
        if is_over {
            return Ok(());
        }
    }
}

/// The next page, waited for as long as a caller waits. What was heard is taken once, however often it is told.
async fn turn(door: &Door, peer: &ApiPeer, turned: &Turned, heard: Heard) -> Result<Turned, Fault> {
    let mut tries = 1;
    loop {
        let entry = door.log.begin("IvrPage", FORM, peer);
        let token = turned.session.token.clone();
        let told = heard.clone();
        match door.turn(peer.clone(), &entry, token, turned.page.number, told).await {
            Ok(next) => {
                entry.end(None);
                return Ok(next);
            }
            Err(fault) => {
                let may_pass = matches!(
                    fault.kind,
                    FaultKind::Busy | FaultKind::Unfinished | FaultKind::TooManyRequests
                );
                entry.end(Some(fault.kind));
                if !may_pass || tries == TRIES {
                    return Err(fault);
                }
            }
        }
        tries += 1;
        tokio::time::sleep(AGAIN).await;
    }
}

async fn begin(
    door: &Door,
    peer: ApiPeer,
    entry: &crate::api::log::Entry,
    variables: &[(String, String)],
    password: Option<Secret>,
) -> Result<Turned, Fault> {
    let variable = |name: &str| {
        let found = variables.iter().find(|(known, _)| known == name);
        let value = found.map(|(_, value)| value.as_str());
        value.filter(|value| !value.is_empty() && *value != "unknown")
    };
    let script = variable("agi_network_script").unwrap_or_default();
    let proof = variable("agi_arg_1").map(|user| Proof {
        user: user.to_owned(),
        password,
    });
    let start = Start {
        platform: FORM,
        dialplan: script.trim_matches('/'),
        call_id: variable("agi_uniqueid").unwrap_or_default(),
        caller: variable("agi_callerid"),
        called: variable("agi_dnid").or(variable("agi_extension")),
        // Asterisk's languages are its own ("en"); what is meant for us is said to us.
        language: variable("agi_arg_2"),
    };
    door.begin(peer, entry, proof, start).await
}

/// A channel of Asterisk.
struct Channel<'a> {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
    base: &'a str,
}

/// What a command has come to.
enum Came {
    /// The number after `result=`.
    Result(i32),
    /// The caller is gone.
    HungUp,
}

impl Channel<'_> {
    /// What the call begins with: `name: value`, to an empty line.
    async fn variables(&mut self) -> io::Result<Vec<(String, String)>> {
        let read = async {
            let mut variables = Vec::new();
            while variables.len() < LINES {
                let line = self.line().await?;
                if line.is_empty() {
                    return Ok(variables);
                }
                if let Some((name, value)) = line.split_once(':') {
                    variables.push((name.trim().to_owned(), value.trim().to_owned()));
                }
            }
            Err(io::Error::other("too many variables"))
        };
        timeout(PATIENCE, read).await?
    }

    /// Carries a page out; what was heard of it, or nothing when the call is to end.
    async fn show(&mut self, page: &Page) -> io::Result<Option<Heard>> {
        let mut keys = Digits::new();
        let collects = matches!(page.then, Then::Collect(_));
        for line in &page.lines {
            // A key has silenced this line and those after it.
            if !keys.is_empty() && line.barge_in {
                continue;
            }
            match self.play(line, collects && line.barge_in).await? {
                Came::HungUp => return Ok(Some(Heard::HungUp)),
                Came::Result(code) => key_of(code).into_iter().for_each(|key| keys.push(key)),
            }
        }
        Ok(match page.then {
            Then::HangUp => None,
            Then::ComeBack => Some(Heard::Played),
            Then::Collect(awaited) => Some(self.collect(&awaited, keys).await?),
        })
    }

    async fn play(&mut self, line: &Line, until_key: bool) -> io::Result<Came> {
        let keys = if until_key { "0123456789*#" } else { "" };
        let command = format!("STREAM FILE {}{} \"{keys}\"", self.base, path_of(&line.sound));
        let came = self.command(&command, line.utterance.duration() + PATIENCE).await?;
        // The same is told of a caller who is gone, and of a sound that cannot be had.
        if matches!(came, Came::HungUp) && matches!(self.command("CHANNEL STATUS", PATIENCE).await?, Came::Result(UP)) {
            return Err(io::Error::other(format!(
                "Asterisk cannot play what it fetches from {}: is res_http_media_cache loaded, and our certificate believed?",
                self.base
            )));
        }
        Ok(came)
    }

    async fn collect(&mut self, awaited: &Awaited, mut keys: Digits) -> io::Result<Heard> {
        // The key that has silenced the question may be the one that ends the entry.
        if ends(awaited, keys.expose().first().copied()) {
            return Ok(Heard::NoMatch);
        }
        while keys.len() < awaited.most {
            let wait = if keys.is_empty() {
                awaited.first
            } else {
                awaited.between
            };
            let command = format!("WAIT FOR DIGIT {}", wait.as_millis());
            let key = match self.command(&command, wait + PATIENCE).await? {
                Came::HungUp => return Ok(Heard::HungUp),
                Came::Result(0) => break,
                Came::Result(code) => key_of(code),
            };
            if ends(awaited, key) {
                return Ok(if keys.is_empty() {
                    Heard::NoMatch
                } else {
                    Heard::Keys(keys)
                });
            }
            key.into_iter().for_each(|key| keys.push(key));
        }
        Ok(if keys.is_empty() {
            Heard::Silence
        } else {
            Heard::Keys(keys)
        })
    }

    /// A variable of the channel, or of all channels: `200 result=1 (value)`.
    async fn get(&mut self, name: &str) -> io::Result<Option<Secret>> {
        let line = self.answer(&format!("GET VARIABLE {name}"), PATIENCE).await?;
        let value = line.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
        Ok(value.map(|value| Secret::new(value.to_owned())))
    }

    async fn set(&mut self, name: &str, value: &str) -> io::Result<()> {
        self.command(&format!("SET VARIABLE {name} \"{value}\""), PATIENCE)
            .await?;
        Ok(())
    }

    /// Sends a command and waits for what comes of it.
    async fn command(&mut self, command: &str, patience: Duration) -> io::Result<Came> {
        let line = self.answer(command, patience).await?;
        let Some(result) = line.strip_prefix("200 result=") else {
            // 511: the channel is gone. Or `HANGUP`, which Asterisk says by itself.
            return Ok(Came::HungUp);
        };
        let result = result.split(' ').next().and_then(|result| result.parse().ok());
        Ok(match result {
            Some(result) if result >= 0 => Came::Result(result),
            _ => Came::HungUp,
        })
    }

    /// Sends a command and waits for the line that ends it.
    async fn answer(&mut self, command: &str, patience: Duration) -> io::Result<Zeroizing<String>> {
        let command = Zeroizing::new(format!("{command}\n"));
        let answered = async {
            // In one piece: Asterisk looks for the end of a line again and again, and fills its log meanwhile.
            self.writer.write_all(command.as_bytes()).await?;
            loop {
                let line = self.line().await?;
                match line.split([' ', '-']).next().unwrap_or_default() {
                    "200" | "511" | "HANGUP" => return Ok(line),
                    "510" | "520" => return Err(io::Error::other("Asterisk does not know the command")),
                    // The lines of a long answer end with one of the above.
                    code if code.parse::<u16>().is_ok() => {}
                    _ => return Err(io::Error::other("what came is no answer to a command")),
                }
            }
        };
        timeout(patience, answered).await?
    }

    async fn line(&mut self) -> io::Result<Zeroizing<String>> {
        let mut line = Zeroizing::new(Vec::with_capacity(LINE));
        let limit = u64::try_from(LINE).unwrap_or(u64::MAX);
        (&mut self.reader).take(limit).read_until(b'\n', &mut line).await?;
        if line.pop() != Some(b'\n') {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        let text = std::str::from_utf8(&line).map_err(io::Error::other)?;
        Ok(Zeroizing::new(text.to_owned()))
    }
}

fn ends(awaited: &Awaited, key: Option<Digit>) -> bool {
    key.is_some() && key == awaited.finish_on_key
}

/// The key of a result: its character in ASCII, or 0.
fn key_of(code: i32) -> Option<Digit> {
    let c = char::from(u8::try_from(code).ok()?);
    Digit::from_char(c)
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt as _, SeedableRng as _};

    use super::*;

    /// A channel, and the end of Asterisk.
    async fn channel() -> (Channel<'static>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let asterisk = TcpStream::connect(listener.local_addr().expect("an address"));
        let (asterisk, accepted) = tokio::join!(asterisk, listener.accept());
        let (reader, writer) = accepted.expect("accepted").0.into_split();
        let channel = Channel {
            reader: BufReader::new(reader),
            writer,
            base: "https://localhost",
        };
        (channel, asterisk.expect("connected"))
    }

    async fn after(sent: &[u8]) -> Channel<'static> {
        let (channel, mut asterisk) = channel().await;
        asterisk.write_all(sent).await.expect("sent");
        channel
    }

    #[tokio::test]
    async fn a_call_begins_with_its_variables() {
        let mut channel = after(b"agi_network: yes\nagi_callerid: 1001\r\nnonsense\nagi_arg_1: ivr\n\nrest").await;
        let variables = channel.variables().await.expect("variables");
        let variables: Vec<_> = variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        assert_eq!(
            variables,
            [("agi_network", "yes"), ("agi_callerid", "1001"), ("agi_arg_1", "ivr")]
        );
    }

    #[tokio::test]
    async fn answers_are_told_apart() {
        for (answer, expected) in [
            ("200 result=0\n", Some(0)),
            ("200 result=52 endpos=1600\n", Some(52)),
            ("200 result=-1 endpos=0\n", None),
            ("HANGUP\n200 result=0\n", None),
            (
                "511 Command Not Permitted on a dead channel or intercept routine\n",
                None,
            ),
            ("100 trying\n200 result=1 (value)\n", Some(1)),
        ] {
            let mut channel = after(answer.as_bytes()).await;
            let came = channel.command("WAIT FOR DIGIT 1000", PATIENCE).await.expect(answer);
            let result = match came {
                Came::Result(result) => Some(result),
                Came::HungUp => None,
            };
            assert_eq!(result, expected, "{answer}");
        }
        for answer in [
            "510 Invalid or unknown command\n",
            "520-Invalid command syntax.\n",
            "hello\n",
        ] {
            let mut channel = after(answer.as_bytes()).await;
            assert!(channel.command("NOOP", PATIENCE).await.is_err(), "{answer}");
        }
    }

    #[tokio::test]
    async fn a_password_is_read_whole() {
        let (mut channel, mut asterisk) = channel().await;
        let answers = b"200 result=1 (pass(word) with) brackets)\n200 result=0\n";
        asterisk.write_all(answers).await.expect("sent");
        let password = channel.get("PASSLINE_PASSWORD").await.expect("an answer");
        assert_eq!(password.expect("a value").expose(), "pass(word) with) brackets");
        assert!(channel.get("PASSLINE_PASSWORD").await.expect("an answer").is_none());
    }

    #[tokio::test]
    async fn whatever_comes_is_an_error_and_no_end_without_one() {
        let mut rng = StdRng::seed_from_u64(7);
        for _ in 0..200 {
            let length = rng.random_range(0..4 * LINE);
            let alphabet = b"20 result=-()\n\r\xffab:HANGUP5";
            let sent: Vec<u8> = (0..length)
                .map(|_| alphabet[rng.random_range(0..alphabet.len())])
                .collect();
            let (mut channel, mut asterisk) = channel().await;
            asterisk.write_all(&sent).await.expect("sent");
            drop(asterisk);
            let _ = channel.variables().await;
            // The rest may be read as an answer; then comes the end.
            for _ in 0..sent.len() {
                if channel.command("NOOP", PATIENCE).await.is_err() {
                    break;
                }
            }
            assert!(channel.command("NOOP", PATIENCE).await.is_err());
        }
        let mut channel = after(&[b'a'; 2 * LINE]).await;
        assert!(channel.variables().await.is_err(), "a line without an end");
        let mut channel = after("agi_a: b\n".repeat(2 * LINES).as_bytes()).await;
        assert!(channel.variables().await.is_err(), "variables without an end");
    }
}
