//! Databases for tests: files, or databases on the server that `scripts/test-postgresql` has started.

use std::path::Path;

use sha2::{Digest as _, Sha256};
use sqlx::{AssertSqlSafe, Executor as _};

use super::{Config, ServerAddress, ServerConfig, Store};
use crate::secret::Secret;

/// Folder of the server's socket and its port, if there is a server.
const SERVER: &str = "PASSLINE_TEST_POSTGRESQL";

/// Opens the database of this name, the same one each time.
pub(crate) async fn open(path: impl AsRef<Path>) -> Store {
    Store::open(&config(path).await).await.unwrap()
}

/// Where the database of this name is. On a server it is made now.
pub(crate) async fn config(path: impl AsRef<Path>) -> Config {
    match database(path.as_ref()) {
        None => Config::new(path.as_ref()),
        Some(server) => {
            create(&server).await;
            Config {
                max_connections: 4,
                ..Config::on(server)
            }
        }
    }
}

/// Everything that is in a database on a server, as text; nothing if it is in a file.
pub(crate) fn dump(path: impl AsRef<Path>) -> Vec<u8> {
    let Some(server) = database(path.as_ref()) else {
        return Vec::new();
    };
    let ServerAddress::Socket { folder, port } = &server.address else {
        unreachable!("tests use the socket")
    };
    let output = std::process::Command::new("pg_dump")
        .args([
            "-U",
            "postgres",
            "-h",
            folder.to_str().unwrap(),
            "-p",
            &port.to_string(),
        ])
        .arg(&server.database)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    output.stdout
}

fn database(path: &Path) -> Option<ServerConfig> {
    let value = std::env::var(SERVER).ok()?;
    let (folder, port) = value.rsplit_once(':').unwrap();
    let digest = Sha256::digest(path.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    Some(ServerConfig {
        address: ServerAddress::Socket {
            folder: folder.into(),
            port: port.parse().unwrap(),
        },
        database: format!("test_{name}"),
        user: "passline".to_owned(),
        password: Some(Secret::new("Svc-Pass-123".to_owned())),
    })
}

async fn create(server: &ServerConfig) {
    super::pool::install_drivers();
    let admin = ServerConfig {
        database: "postgres".to_owned(),
        user: "postgres".to_owned(),
        password: None,
        ..server.clone()
    };
    let mut connection = admin.connect().await.unwrap();
    let create = format!("create database {} owner passline", server.database);
    match connection.execute(sqlx::raw_sql(AssertSqlSafe(create))).await {
        Ok(_) => {}
        // It is there.
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some("42P04") => {}
        Err(error) => panic!("{error}"),
    }
}
