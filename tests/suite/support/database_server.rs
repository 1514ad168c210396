//! Databases for houses on a PostgreSQL server: that of `scripts/test-postgresql`, or one of this run.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use super::backend;

/// Folder of the socket and port of the server that every house shall use.
const SERVER: &str = "PASSLINE_TEST_POSTGRESQL";

/// Whether every house shall have its database on a server.
pub(crate) fn is_wanted() -> bool {
    std::env::var_os(SERVER).is_some()
}

/// Folder of the socket, and port.
pub(crate) fn socket() -> (String, u16) {
    let given = std::env::var(SERVER).unwrap_or_else(|_| {
        let server = backend::postgresql();
        format!("{}:{}", server.value("SOCKET"), server.value("PORT"))
    });
    let (folder, port) = given.rsplit_once(':').expect("folder and port");
    (folder.to_owned(), port.parse().expect("a port"))
}

/// Makes a new database that Passline owns, and gives its name.
pub(crate) fn create() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("house_{}_{number}", std::process::id());
    run(
        "psql",
        &[
            "-d",
            "postgres",
            "-c",
            &format!("create database {name} owner passline"),
        ],
    );
    name
}

/// Everything that is in a database, as text.
pub(crate) fn dump(name: &str) -> Vec<u8> {
    run("pg_dump", &["-d", name])
}

/// The log of the server, with every statement and its values.
pub(crate) fn log() -> Vec<u8> {
    fs::read(Path::new(&socket().0).join("server.log")).expect("a log")
}

/// What the configuration says of it: over TLS, as in production.
pub(crate) fn section(name: &str) -> String {
    let (folder, port) = socket();
    format!(
        "\n[database]\nurl = \"postgres://passline@localhost:{port}/{name}\"\n\
         password_file = \"database.password\"\nca = \"{folder}/ca.pem\"\nconnections = 4\n"
    )
}

/// Writes the password of the role `passline`.
pub(crate) fn write_password(file: &Path) {
    fs::write(file, "Svc-Pass-123\n").expect("written");
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).expect("set");
}

fn run(program: &str, arguments: &[&str]) -> Vec<u8> {
    let (folder, port) = socket();
    let output = std::process::Command::new(program)
        .args(["-h", &folder, "-p", &port.to_string(), "-U", "postgres"])
        .args(arguments)
        .output()
        .expect("a client of PostgreSQL");
    assert!(output.status.success(), "{program}: {output:?}");
    output.stdout
}
