//! Real servers where passwords live, started by the scripts of `tests/backends`: one of each kind for the whole run.
//!
//! A server is stopped, and its folder removed, when this process is gone: its keeper waits for the end of a pipe.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::server::root;

/// Starts the server, says what it said, waits for the end of the pipe, stops it.
const KEEPER: &str = r#"
set -e
"$1" start "$2" && echo READY
cat >/dev/null || true
"$1" stop "$2" || true
rm -rf "$2"
"#;

/// A server that runs.
pub(crate) struct Backend {
    values: HashMap<String, String>,
    folder: PathBuf,
    /// Its standard input is the pipe.
    _keeper: Mutex<Child>,
}

impl Backend {
    fn start(script: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("passline-backend-")
            .tempdir()
            .expect("a folder")
            .keep();
        let mut keeper = Command::new("setsid")
            .args(["bash", "-c", KEEPER, "keeper"])
            .arg(root().join("tests/backends").join(script))
            .arg(&folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("bash");
        let mut values = HashMap::new();
        let mut lines = BufReader::new(keeper.stdout.take().expect("a pipe")).lines();
        loop {
            let line = lines.next().and_then(Result::ok).unwrap_or_else(|| {
                let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
                panic!("{script} did not start: {log}")
            });
            if line == "READY" {
                break;
            }
            if let Some((key, value)) = line.split_once('=') {
                values.insert(key.to_owned(), value.to_owned());
            }
        }
        Self {
            values,
            folder,
            _keeper: Mutex::new(keeper),
        }
    }

    /// A value that the script printed.
    pub(crate) fn value(&self, key: &str) -> &str {
        self.values
            .get(key)
            .unwrap_or_else(|| panic!("the script said no {key}"))
    }

    /// Where its state is.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

/// An Active Directory domain controller (Samba).
pub(crate) fn samba() -> &'static Backend {
    static BACKEND: OnceLock<Backend> = OnceLock::new();
    BACKEND.get_or_init(|| Backend::start("samba-ad.sh"))
}

/// An OpenLDAP server.
pub(crate) fn openldap() -> &'static Backend {
    static BACKEND: OnceLock<Backend> = OnceLock::new();
    BACKEND.get_or_init(|| Backend::start("openldap.sh"))
}

/// A PostgreSQL server.
pub(crate) fn postgresql() -> &'static Backend {
    static BACKEND: OnceLock<Backend> = OnceLock::new();
    BACKEND.get_or_init(|| Backend::start("postgresql.sh"))
}

/// A MariaDB server.
pub(crate) fn mariadb() -> &'static Backend {
    static BACKEND: OnceLock<Backend> = OnceLock::new();
    BACKEND.get_or_init(|| Backend::start("mariadb.sh"))
}

/// Runs statements on the PostgreSQL server as its superuser; what they answer, without ornament.
pub(crate) fn psql(statements: &str) -> String {
    let mut command = Command::new("psql");
    command.args(["-qtAX", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "postgres"]);
    command.args(["-h", postgresql().value("SOCKET"), "-p", postgresql().value("PORT")]);
    said(command.args(["-c", statements]))
}

/// Runs statements on the MariaDB server as its superuser; what they answer, without ornament.
pub(crate) fn mariadb_root(statements: &str) -> String {
    let mut command = Command::new("mariadb");
    command.args(["--no-defaults", "-uroot", "-NB", "-S", mariadb().value("SOCKET")]);
    said(command.args(["-e", statements]))
}

fn said(command: &mut Command) -> String {
    let output = command.output().expect("a client");
    assert!(
        output.status.success(),
        "{command:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

/// Runs `samba-tool` on the data of the domain controller.
pub(crate) fn samba_tool(arguments: &[&str]) {
    let folder = samba().folder();
    let mut command = Command::new("samba-tool");
    command.args(arguments);
    command.arg("-s").arg(folder.join("dc/etc/smb.conf"));
    command.arg("-H").arg(folder.join("dc/private/sam.ldb"));
    let output = command.output().expect("samba-tool");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A new person in the organizational unit that Passline may change.
pub(crate) fn samba_person(name: &str, password: &str) {
    let surname = format!("--surname={name}");
    samba_tool(&[
        "user",
        "create",
        name,
        password,
        "--userou=OU=Staff",
        "--given-name=Test",
        &surname,
    ]);
}

/// A new person of the OpenLDAP server.
pub(crate) fn openldap_person(name: &str, password: &str) {
    let mut add = Command::new("ldapadd")
        .args([
            "-x",
            "-H",
            openldap().value("LDAP_URL"),
            "-D",
            openldap().value("ADMIN"),
        ])
        .args(["-w", openldap().value("ADMIN_PASSWORD")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("ldapadd");
    let entry = format!(
        "dn: uid={name},ou=people,dc=passline,dc=test\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\n\
         sn: {name}\nuserPassword: {password}\n"
    );
    add.stdin
        .take()
        .expect("a pipe")
        .write_all(entry.as_bytes())
        .expect("written");
    assert!(add.wait().expect("ended").success(), "{entry}");
}

/// A host with OpenSSH.
pub(crate) fn sshd() -> &'static Backend {
    static BACKEND: OnceLock<Backend> = OnceLock::new();
    BACKEND.get_or_init(|| Backend::start("sshd.sh"))
}

/// Runs a command as root on that host, whose users are only there; returns what it prints.
pub(crate) fn on_host(arguments: &[&str], input: &str) -> String {
    // The tools wait for each other, but not for long.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let mut child = Command::new("nsenter")
        .args(["--mount", "--target", sshd().value("PID"), "--"])
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("nsenter");
    let mut pipe = child.stdin.take().expect("a pipe");
    pipe.write_all(input.as_bytes()).expect("written");
    drop(pipe);
    let output = child.wait_with_output().expect("ended");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A new user of that host, with a shell.
pub(crate) fn host_person(name: &str, password: &str) {
    on_host(&["useradd", "--no-create-home", "--shell", "/bin/sh", name], "");
    on_host(&["chpasswd"], &format!("{name}:{password}\n"));
}

/// What a wire in between does to the bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Passes everything.
    None,
    /// Passes the requests and this many packets of answers; the next one is thrown away, and the connection cut.
    LoseAfter(usize),
}

/// A wire between Passline and a server, on a port of its own.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    connections: Arc<AtomicUsize>,
    fault: Arc<Mutex<Fault>>,
    closed: Arc<AtomicBool>,
}

impl Wire {
    /// To a server at `to`.
    pub(crate) fn to(to: SocketAddr) -> Self {
        Self::from(IpAddr::V4(Ipv4Addr::LOCALHOST), to)
    }

    fn from(ip: IpAddr, to: SocketAddr) -> Self {
        let listener = TcpListener::bind((ip, 0)).expect("a port");
        let address = listener.local_addr().expect("bound");
        let (connections, fault) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Fault::None)));
        let closed = Arc::new(AtomicBool::new(false));
        let wire = Self {
            address,
            connections: connections.clone(),
            fault: fault.clone(),
            closed: closed.clone(),
        };
        std::thread::spawn(move || {
            for near in listener.incoming() {
                if closed.load(Ordering::Relaxed) {
                    return;
                }
                let (Ok(near), Ok(far)) = (near, TcpStream::connect(to)) else {
                    continue;
                };
                connections.fetch_add(1, Ordering::Relaxed);
                let fault = *fault.lock().unwrap_or_else(PoisonError::into_inner);
                let (up, down) = ((near.try_clone(), far.try_clone()), (far, near));
                if let (Ok(from), Ok(into)) = up {
                    std::thread::spawn(move || pass(from, into, usize::MAX));
                }
                let limit = match fault {
                    Fault::None => usize::MAX,
                    Fault::LoseAfter(count) => count,
                };
                std::thread::spawn(move || pass(down.0, down.1, limit));
            }
        });
        wire
    }

    /// How many connections have come.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// What happens to connections from now on.
    pub(crate) fn set(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.closed.store(true, Ordering::Relaxed);
        // Wakes the listener.
        let _ = TcpStream::connect(self.address);
    }
}

/// Passes at most `limit` reads, then throws away what comes, and cuts.
fn pass(mut from: TcpStream, mut into: TcpStream, limit: usize) {
    let mut buffer = [0; 16_384];
    for _ in 0..limit {
        match from.read(&mut buffer) {
            Ok(length) if length > 0 && into.write_all(&buffer[..length]).is_ok() => {}
            _ => break,
        }
    }
    let _ = from.read(&mut buffer);
    let _ = from.shutdown(std::net::Shutdown::Both);
    let _ = into.shutdown(std::net::Shutdown::Both);
}
