//! A house with an API and some hundred people, and the real program that serves it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

/// Enough for each caller to be somebody else.
pub(crate) const PEOPLE: usize = 200;

/// The program that is measured, or another one that `PASSLINE` names.
fn program() -> OsString {
    std::env::var_os("PASSLINE").unwrap_or_else(|| env!("CARGO_BIN_EXE_passline").into())
}

pub(crate) struct House {
    folder: tempfile::TempDir,
    pub(crate) password: String,
}

impl House {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let prompts = Path::new(env!("CARGO_MANIFEST_DIR")).join("prompts");
        fs::create_dir_all(path.join("trunks")).expect("a folder");
        fs::create_dir_all(path.join("dialplans")).expect("a folder");
        let flow = Path::new(env!("CARGO_MANIFEST_DIR")).join("dialplans/reset.toml");
        fs::copy(flow, path.join("dialplans/reset.toml")).expect("a flow");
        let configuration = CONFIGURATION
            .replace("{prompts}", &prompts.to_string_lossy())
            .replace("{port}", &free_port().to_string());
        fs::write(path.join("passline.toml"), configuration).expect("a file");
        let mut people = "login,employee_number,account.directory,answer.question.start_year\n".to_owned();
        for place in 0..PEOPLE {
            let _ = writeln!(people, "user{place},{},user{place},2009", digits(place));
        }
        fs::write(path.join("people.csv"), people).expect("a file");
        fs::write(path.join("trunks/none.toml"), TRUNK).expect("a file");
        certificate(path);
        run(path, &["user", "import", "people.csv"]);
        let shown = run(path, &["api", "user", "add", "ivr"]);
        let password = shown
            .lines()
            .find_map(|line| line.strip_prefix("password, shown this once: "));
        let password = password.expect("a password").to_owned();
        Self { folder, password }
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Starts the program, and waits until it answers.
    pub(crate) fn serve(&self) -> Process {
        let log = fs::File::create(self.path().join("log")).expect("a file");
        let process = Command::new(program())
            .arg("serve")
            .current_dir(self.path())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the program runs");
        let configuration = fs::read_to_string(self.path().join("passline.toml")).expect("a file");
        let port = configuration
            .lines()
            .find_map(|line| {
                line.strip_prefix("listen = \"127.0.0.1:")?
                    .strip_suffix('"')?
                    .parse()
                    .ok()
            })
            .filter(|port| *port != 0);
        Process::that_listens(process, port.expect("a port"))
    }
}

/// What the person at this place keys.
pub(crate) fn digits(place: usize) -> String {
    (100_000 + place).to_string()
}

const TRUNK: &str = "networks = [\"127.0.0.1/32\"]\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";

const CONFIGURATION: &str = r#"data = "data"
dialplans = "dialplans"

[sip]
listen = ["udp:127.0.0.1:0"]
trunks = "trunks"

[speech]
prompts = "{prompts}"
engines = []

[questions]
ask = 1
right = 1

[[question]]
text = "In which year did you start to work here? Enter four digits."
prompt = "question.start_year"
answer = "digits 4-4"

[[target]]
name = "directory"
label = "Directory"
kind = "embedded"

[api]
listen = "127.0.0.1:{port}"
certificate = "api.pem"
key = "api-key.pem"
connections_per_address = 1000
requests_per_address = 1000000
requests_per_user = 1000000
"#;

fn run(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new(program()).args(arguments).current_dir(folder).output();
    let output = output.expect("the program runs");
    if !output.status.success() {
        let _ = std::io::stderr().write_all(&output.stderr);
        panic!("{arguments:?}: {}", String::from_utf8_lossy(&output.stdout));
    }
    String::from_utf8(output.stdout).expect("text")
}

fn certificate(folder: &Path) {
    let names = ["localhost".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
    fs::write(folder.join("api.pem"), made.cert.pem()).expect("a file");
    fs::write(folder.join("api-key.pem"), made.signing_key.serialize_pem()).expect("a file");
}

/// One that is free now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// A server; it ends with this.
pub(crate) struct Process {
    pub(crate) process: Child,
    pub(crate) port: u16,
}

impl Process {
    pub(crate) fn that_listens(process: Child, port: u16) -> Self {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Self { process, port };
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("nobody listens on port {port}");
    }

    pub(crate) fn cpu(&self) -> Cpu {
        cpu(self.process.id())
    }

    pub(crate) fn cpu_since(&self, before: &Cpu) -> Cpu {
        self.cpu().since(before)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Processor time of a process, in all and of threads by their names.
pub(crate) struct Cpu {
    pub(crate) total: f64,
    threads: BTreeMap<String, f64>,
}

impl Cpu {
    pub(crate) fn since(&self, before: &Self) -> Self {
        let earlier = |name: &String| before.threads.get(name).copied().unwrap_or_default();
        Self {
            total: self.total - before.total,
            threads: self
                .threads
                .iter()
                .map(|(name, used)| (name.clone(), used - earlier(name)))
                .collect(),
        }
    }

    /// Of each kind of thread that has done something.
    pub(crate) fn by_thread(&self) -> Value {
        let busy = self.threads.iter().filter(|(_, used)| **used > 0.05);
        busy.map(|(name, used)| (name.clone(), json!(crate::round(*used))))
            .collect()
    }
}

/// What a process has used until now. Threads that have ended are in the total only.
pub(crate) fn cpu(process: u32) -> Cpu {
    let mut threads: BTreeMap<String, f64> = BTreeMap::new();
    for entry in fs::read_dir(format!("/proc/{process}/task"))
        .expect("threads")
        .flatten()
    {
        if let Some((name, used)) = used(&entry.path()) {
            *threads.entry(name).or_default() += used;
        }
    }
    let (_, total) = used(Path::new(&format!("/proc/{process}"))).expect("a process");
    Cpu { total, threads }
}

/// Name and seconds of a thread or process.
fn used(folder: &Path) -> Option<(String, f64)> {
    // USER_HZ is 100 wherever Linux runs on what this runs on.
    const TICK: f64 = 0.01;
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let ticks: f64 = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    let name = name.trim_end_matches(|sign: char| sign.is_ascii_digit() || sign == '-');
    Some((name.to_owned(), ticks * TICK))
}
