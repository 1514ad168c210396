//! `passline serve` as a process of its own, with a folder of its own.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use tempfile::TempDir;

use super::wait_for;

/// The program under test.
pub const PASSLINE: &str = env!("CARGO_BIN_EXE_passline");

/// A database with people is made once per test; this is what is in it.
pub const PEOPLE: &str = include_str!("../../../demo/people.csv");

/// The folder of the sources.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// How a server differs from the usual one.
#[derive(Default)]
pub struct Settings<'a> {
    /// Added to the configuration.
    pub configuration: &'a str,
    /// The trunk file, if not the usual one.
    pub trunk: Option<&'a str>,
    /// SIP addresses, if not one on 127.0.0.1.
    pub listen: Option<&'a str>,
    /// Log level.
    pub log_level: Option<&'a str>,
}

/// A folder with a configuration, trunks, flows and people.
pub struct House {
    folder: TempDir,
}

impl House {
    /// Writes the files and imports the people.
    pub fn new(settings: &Settings<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path();
        let listen = settings.listen.unwrap_or("\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"");
        let configuration = include_str!("../../../demo/passline.toml")
            .replace("{listen}", listen)
            .replace("{prompts}", &root().join("prompts").to_string_lossy())
            .replace("{dialplans}", "dialplans")
            .replace("level = \"warn\"", &format!("level = \"{}\"", settings.log_level.unwrap_or("debug")));
        fs::write(path.join("passline.toml"), format!("{configuration}\n{}", settings.configuration)).expect("written");
        let trunk = "networks = [\"127.0.0.0/8\", \"::1/128\"]\nmax_calls = 50\ncalls_per_second = 1000\n\
                     [[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
        fs::create_dir(path.join("trunks")).expect("made");
        fs::write(path.join("trunks/test.toml"), settings.trunk.unwrap_or(trunk)).expect("written");
        fs::create_dir(path.join("dialplans")).expect("made");
        fs::copy(root().join("dialplans/reset.toml"), path.join("dialplans/reset.toml")).expect("copied");
        fs::write(path.join("people.csv"), PEOPLE).expect("written");
        let house = Self { folder };
        let imported = house.run(&["user", "import", "people.csv"]);
        assert!(imported.status.success(), "{}", String::from_utf8_lossy(&imported.stderr));
        house
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command of the program in the folder, to its end.
    pub fn run(&self, arguments: &[&str]) -> std::process::Output {
        Command::new(PASSLINE).args(arguments).current_dir(self.path()).output().expect("the program runs")
    }

    /// Starts the server.
    pub fn serve(&self) -> Server {
        Server::start(self.path())
    }
}

/// A running server; killed when dropped.
pub struct Server {
    child: Child,
    /// SIP over UDP.
    pub udp: SocketAddr,
    /// SIP over TCP.
    pub tcp: Option<SocketAddr>,
    /// The operators' port.
    pub admin: SocketAddr,
    log_file: PathBuf,
    reader: Option<JoinHandle<String>>,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let log_file = folder.join("server.log");
        let log = fs::OpenOptions::new().create(true).append(true).open(&log_file).expect("a log file");
        let mut child = Command::new(PASSLINE)
            .args(["serve", "--json"])
            .current_dir(folder)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the program runs");
        let stdout = child.stdout.take().expect("piped");
        let (sender, first_line) = mpsc::channel();
        let reader = std::thread::spawn(move || {
            let mut stdout = BufReader::new(stdout);
            let mut line = String::new();
            stdout.read_line(&mut line).expect("text");
            sender.send(line).expect("the test waits");
            let mut rest = String::new();
            stdout.read_to_string(&mut rest).expect("text");
            rest
        });
        let line = first_line.recv_timeout(Duration::from_secs(60)).expect("the server starts");
        let announced: serde_json::Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("{line}{}", fs::read_to_string(&log_file).unwrap_or_default()));
        let sip: Vec<&str> = announced["sip"].as_array().expect("a list").iter().filter_map(|a| a.as_str()).collect();
        let address = |prefix: &str| sip.iter().find_map(|sip| sip.strip_prefix(prefix)?.parse().ok());
        Self {
            udp: address("udp:").expect("a UDP address"),
            tcp: address("tcp:"),
            admin: announced["admin"].as_str().expect("an address").parse().expect("an address"),
            child,
            log_file,
            reader: Some(reader),
        }
    }

    /// Process ID.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What was logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log_file).expect("a log")
    }

    /// Waits until the log holds a text.
    pub fn wait_for_log(&self, text: &str) {
        wait_for(&format!("{text:?} in the log of the server"), Duration::from_secs(30), || self.log().contains(text).then_some(()));
    }

    /// A page of the operators' port.
    pub fn page(&self, path: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent.get(format!("http://{}{path}", self.admin)).call().expect("an answer");
        (answer.status().as_u16(), answer.body_mut().read_to_string().expect("text"))
    }

    /// The live calls.
    pub fn calls(&self) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.page("/calls").1).expect("a JSON list")
    }

    /// Sends a signal.
    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid()).expect("a pid"));
        nix::sys::signal::kill(pid, signal).expect("the server runs");
    }

    /// Stops it in peace; gives its exit code and what it printed after the first line.
    pub fn stop(mut self) -> (Option<i32>, String) {
        self.signal(nix::sys::signal::Signal::SIGTERM);
        let status = self.wait();
        (status.code(), self.reader.take().map(|reader| reader.join().expect("read")).unwrap_or_default())
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> std::process::ExitStatus {
        wait_for("the end of the server", Duration::from_secs(90), || self.child.try_wait().expect("a child"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of the server ----\n{}", self.log());
        }
    }
}
