//! `passline serve` as a process of its own, with a folder of its own.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;

use nix::sys::signal::Signal;
use passline::app::backstage::{self, Backstage};
use passline::app::demo_data;
use passline::config::{self, Config, TargetKind};
use passline::integration::target::{Target as _, Verdict};
use passline::secret::Secret;
use passline::service::ImportProgress;
use tempfile::TempDir;

use super::database::Database;
use super::{PATIENCE, block_on, database_server, wait_for};

/// The program under test.
pub(crate) const PASSLINE: &str = env!("CARGO_BIN_EXE_passline");

/// The people of the demo.
pub(crate) const PEOPLE: &str = include_str!("../../../demo/people.csv");

/// The folder of the sources.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// How a house differs from the one of the demo.
#[derive(Clone, Default)]
pub(crate) struct Settings<'a> {
    /// Added to the end of the configuration.
    pub configuration: &'a str,
    /// The trunk file, if not one that lets this machine call.
    pub trunk: Option<&'a str>,
    /// SIP addresses, if not UDP and TCP on 127.0.0.1.
    pub listen: Option<&'a str>,
    /// Added to the `[sip]` section.
    pub sip: &'a str,
    /// Log level, if not `debug`.
    pub log_level: Option<&'a str>,
    /// What is replaced in the stock flow.
    pub flow: &'a [(&'a str, &'a str)],
    /// Whether two questions are asked, one of them spoken by the engine, as in the demo; otherwise one, recorded.
    pub two_questions: bool,
    /// Whether the database is on a PostgreSQL server; it is as well when `scripts/test-postgresql` runs the test.
    pub on_server: bool,
}

impl Settings<'_> {
    fn configuration(&self) -> String {
        let listen = self.listen.unwrap_or("\"udp:127.0.0.1:0\", \"tcp:127.0.0.1:0\"");
        let level = format!("level = \"{}\"", self.log_level.unwrap_or("debug"));
        let mut text = include_str!("../../../demo/passline.toml")
            .replace("[sip]\n", &format!("[sip]\n{}", self.sip))
            .replace("{listen}", listen)
            .replace("{prompts}", &root().join("prompts").to_string_lossy())
            .replace("{dialplans}", "dialplans")
            .replace("level = \"warn\"", &level);
        if !self.two_questions {
            text = text.replace("ask = 2\nright = 2", "ask = 1\nright = 1");
            let spoken =
                "[[question]]\ntext = \"What is the number on the back of your badge?\"\nanswer = \"digits 6-6\"\n";
            assert!(text.contains(spoken));
            text = text.replace(spoken, "");
        }
        text + self.configuration
    }

    fn people(&self) -> String {
        if self.two_questions {
            return PEOPLE.to_owned();
        }
        let without_last = |line: &str| line.rsplit_once(',').map(|(rest, _)| format!("{rest}\n"));
        PEOPLE.lines().filter_map(without_last).collect()
    }
}

/// Imports people, as lines of CSV without a mistake.
pub(crate) async fn import(backstage: &Backstage, people: String) {
    let report = backstage
        .services
        .import_users(
            &backstage::command_line(),
            std::io::Cursor::new(people),
            |_: &ImportProgress| {},
        )
        .await
        .expect("imported");
    assert!(report.mistakes.is_empty(), "{:?}", report.mistakes);
}

/// A folder with a configuration, trunks, flows and people.
pub(crate) struct House {
    folder: TempDir,
    /// The name of its database on the server, if it is there.
    on_server: Option<String>,
}

impl House {
    /// Writes the files, imports the people and gives them their old passwords.
    pub(crate) fn new(settings: &Settings<'_>) -> Self {
        let house = Self::empty(settings);
        house.with_backstage(async |backstage, config| {
            import(backstage, settings.people()).await;
            for (target, account) in demo_data::people()
                .expect("people")
                .into_iter()
                .flat_map(|person| person.accounts)
            {
                let directory = directory(backstage, config, &target);
                directory
                    .create(&account, &demo_data::old_password(&account))
                    .await
                    .expect("created");
            }
        });
        house
    }

    /// Writes the files only.
    pub(crate) fn empty(settings: &Settings<'_>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let path = folder.path();
        let trunk = "networks = [\"127.0.0.0/8\", \"::1/128\"]\nmax_calls = 300\ncalls_per_second = 1000\n\
                     [[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
        let mut flow = fs::read_to_string(root().join("dialplans/reset.toml")).expect("the stock flow");
        for (old, new) in settings.flow {
            assert!(flow.contains(old), "{old:?} is not in the stock flow");
            flow = flow.replace(old, new);
        }
        let on_server = (settings.on_server || database_server::is_wanted()).then(database_server::create);
        let database = on_server.as_deref().map(|name| {
            database_server::write_password(&path.join("database.password"));
            database_server::section(name)
        });
        let configuration = settings.configuration() + &database.unwrap_or_default();
        fs::write(path.join("passline.toml"), configuration).expect("written");
        fs::create_dir(path.join("trunks")).expect("made");
        fs::write(path.join("trunks/test.toml"), settings.trunk.unwrap_or(trunk)).expect("written");
        fs::create_dir(path.join("dialplans")).expect("made");
        fs::create_dir(path.join("tmp")).expect("made");
        fs::write(path.join("dialplans/reset.toml"), flow).expect("written");
        fs::write(path.join("people.csv"), settings.people()).expect("written");
        Self { folder, on_server }
    }

    /// Passline's own database.
    pub(crate) fn database(&self) -> Database {
        match &self.on_server {
            Some(name) => Database::on_server(name),
            None => Database::open(&self.path().join("data/passline.db")),
        }
    }

    /// The name of its database on the server, if it is there.
    pub(crate) fn on_server(&self) -> Option<&str> {
        self.on_server.as_deref()
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Runs a command of the program in the folder, to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.run_with_input(arguments, "")
    }

    /// Runs a command of the program with something on its standard input.
    pub(crate) fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        let mut child = Command::new(PASSLINE)
            .args(arguments)
            .current_dir(self.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        // A program that ends before it has read everything is no failure here.
        let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
        child.wait_with_output().expect("the program ends")
    }

    /// Starts the server.
    pub(crate) fn serve(&self) -> Server {
        self.serve_under(&[])
    }

    /// Starts the server by way of another program, such as `prlimit`, that runs it in its place.
    pub(crate) fn serve_under(&self, launcher: &[&str]) -> Server {
        Server::start(self.path(), launcher, "passline")
    }

    /// Starts the server as a node of this name, with the same files.
    pub(crate) fn serve_node(&self, node: &str) -> Server {
        let configuration = fs::read_to_string(self.path().join("passline.toml")).expect("a configuration");
        let file = self.path().join(format!("{node}.toml"));
        fs::write(file, format!("node = \"{node}\"\n{configuration}")).expect("written");
        Server::start(self.path(), &[], node)
    }

    /// What a system says to a password.
    pub(crate) fn verify(&self, target: &str, account: &str, password: &str) -> Verdict {
        let password = Secret::new(password.to_owned());
        self.with_backstage(async |backstage, config| {
            directory(backstage, config, target)
                .verify(account, &password)
                .await
                .expect("a verdict")
        })
    }

    /// What a system says to the password that an account had in the beginning.
    pub(crate) fn verify_old(&self, target: &str, account: &str) -> Verdict {
        self.verify(target, account, demo_data::old_password(account).expose())
    }

    /// Opens database and directories in this process, while no server has them.
    pub(crate) fn with_backstage<T>(&self, work: impl AsyncFnOnce(&Backstage, &Config) -> T) -> T {
        let config = config::load(&self.path().join("passline.toml")).expect("a good configuration");
        block_on(async {
            let backstage = backstage::open(&config).await.expect("opened");
            let result = work(&backstage, &config).await;
            backstage.store.close().await;
            result
        })
    }
}

fn directory(
    backstage: &Backstage,
    config: &Config,
    target: &str,
) -> passline::integration::target::embedded::Directory {
    let target = config
        .targets
        .iter()
        .find(|known| known.name == target)
        .expect("a target");
    let TargetKind::Embedded(rules) = &target.kind else {
        unreachable!("the demo has embedded directories")
    };
    backstage.directories.target(&target.name, rules.clone())
}

/// A running server; killed when dropped.
pub(crate) struct Server {
    child: Child,
    /// SIP over UDP.
    pub udp: SocketAddr,
    /// SIP over TCP.
    pub tcp: Option<SocketAddr>,
    /// The operators' port.
    pub admin: SocketAddr,
    /// The web API, if there is one.
    pub api: Option<SocketAddr>,
    /// Where FastAGI is served, if it is.
    pub agi: Option<SocketAddr>,
    log_file: PathBuf,
    reader: Option<JoinHandle<String>>,
}

impl Server {
    fn start(folder: &Path, launcher: &[&str], node: &str) -> Self {
        let log_file = match node {
            "passline" => folder.join("server.log"),
            node => folder.join(format!("{node}.log")),
        };
        let log = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_file)
            .expect("a log file");
        let command = [launcher, &[PASSLINE, "serve", "--json"]].concat();
        let mut child = Command::new(command[0])
            .args(&command[1..])
            .current_dir(folder)
            .env("TMPDIR", folder.join("tmp"))
            .env("PASSLINE_CONFIG", format!("{node}.toml"))
            .stdin(Stdio::null())
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
            // The test may have given up waiting.
            let _ = sender.send(line.clone());
            stdout.read_to_string(&mut line).expect("text");
            line
        });
        let line = first_line.recv_timeout(PATIENCE).unwrap_or_default();
        let Ok(announced) = serde_json::from_str::<serde_json::Value>(&line) else {
            // Nobody else would end it.
            let _ = child.kill();
            let _ = child.wait();
            let log = fs::read_to_string(&log_file).unwrap_or_default();
            panic!("the server does not start: {line}{log}");
        };
        let sip: Vec<&str> = announced["sip"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|a| a.as_str())
            .collect();
        let address = |prefix: &str| sip.iter().find_map(|sip| sip.strip_prefix(prefix)?.parse().ok());
        Self {
            udp: address("udp:").expect("a UDP address"),
            tcp: address("tcp:"),
            admin: announced["admin"]
                .as_str()
                .expect("an address")
                .parse()
                .expect("an address"),
            agi: announced["agi"].as_str().and_then(|address| address.parse().ok()),
            api: announced["api"].as_str().and_then(|address| address.parse().ok()),
            child,
            log_file,
            reader: Some(reader),
        }
    }

    /// What was logged so far.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log_file).expect("a log")
    }

    /// Waits until the log holds a text.
    pub(crate) fn wait_for_log(&self, text: &str) {
        let found = || self.log().contains(text).then_some(());
        wait_for(&format!("{text:?} in the log of the server"), PATIENCE, found);
    }

    /// A page of the operators' port.
    pub(crate) fn page(&self, path: &str) -> (u16, String) {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let mut answer = agent
            .get(format!("http://{}{path}", self.admin))
            .call()
            .expect("an answer");
        (
            answer.status().as_u16(),
            answer.body_mut().read_to_string().expect("text"),
        )
    }

    /// A number of the metrics.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let page = self.page("/metrics").1;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("no {name} in {page}"))
    }

    /// The live calls.
    pub(crate) fn calls(&self) -> Vec<serde_json::Value> {
        serde_json::from_str(&self.page("/calls").1).expect("a JSON list")
    }

    /// RTP packets that it has sent so far.
    pub(crate) fn rtp_packets_sent(&self) -> u64 {
        let metrics = self.page("/metrics").1;
        let sent = metrics
            .lines()
            .find_map(|line| line.strip_prefix("passline_rtp_packets_sent_total ")?.parse().ok());
        sent.unwrap_or_else(|| panic!("{metrics}"))
    }

    /// Waits until a call is in a step.
    pub(crate) fn wait_for_step(&self, step: &str) {
        wait_for(&format!("a call in step {step}"), PATIENCE, || {
            self.calls().iter().any(|call| call["step"] == step).then_some(())
        });
    }

    /// Waits until no call is in progress.
    pub(crate) fn wait_until_idle(&self) {
        wait_for("the end of all calls", PATIENCE, || {
            self.calls().is_empty().then_some(())
        });
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"));
        nix::sys::signal::kill(pid, signal).expect("the server runs");
    }

    /// Kills it without a word, as a power cut would.
    pub(crate) fn kill(mut self) {
        self.signal(Signal::SIGKILL);
        self.wait();
    }

    /// Stops it in peace; gives everything that it printed.
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::SIGTERM);
        let status = self.wait();
        assert!(status.success(), "{status}");
        self.reader
            .take()
            .map(|reader| reader.join().expect("read"))
            .unwrap_or_default()
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        wait_for("the end of the server", PATIENCE, || {
            self.child.try_wait().expect("a child")
        })
    }
}

impl Drop for Server {
    #[expect(
        clippy::print_stderr,
        reason = "the test harness keeps it and shows it with the failure"
    )]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- log of the server ----\n{}", self.log());
        }
    }
}
