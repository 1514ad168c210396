//! `kind = "postgresql"` and `kind = "mysql"`.

use std::path::PathBuf;
use std::time::Duration;

use crate::checked_toml::Table;
use crate::integration::target::sql::{Address, MysqlConfig, PostgresqlConfig, ServerConfig, Tls};

pub(super) fn postgresql(
    table: &mut Table<'_, '_>,
    name: String,
    path: &dyn Fn(PathBuf) -> PathBuf,
) -> PostgresqlConfig {
    PostgresqlConfig {
        name,
        server: server(table, 5432, path),
        database: not_empty(table, "database", "postgres"),
        members_of: table.optional("members_of"),
    }
}

pub(super) fn mysql(table: &mut Table<'_, '_>, name: String, path: &dyn Fn(PathBuf) -> PathBuf) -> MysqlConfig {
    MysqlConfig {
        name,
        server: server(table, 3306, path),
        account_host: not_empty(table, "account_host", "%"),
    }
}

fn not_empty(table: &mut Table<'_, '_>, key: &'static str, default: &str) -> String {
    let text = table.or(key, default.to_owned());
    if text.is_empty() {
        table.mistake(key, "must not be empty");
    }
    text
}

fn server(table: &mut Table<'_, '_>, port: u16, path: &dyn Fn(PathBuf) -> PathBuf) -> ServerConfig {
    let address = address(table, port, path);
    ServerConfig {
        tls: tls(table, &address, path),
        address,
        user: table
            .required("user", "the account that Passline signs in with, such as \"passline\"")
            .unwrap_or_default(),
        connect: table.duration(
            "connect",
            ServerConfig::CONNECT,
            Duration::from_millis(100)..=Duration::from_secs(10),
        ),
    }
}

fn address(table: &mut Table<'_, '_>, port: u16, path: &dyn Fn(PathBuf) -> PathBuf) -> Address {
    let port = table.number("port", port, 1..=u16::MAX);
    let socket: Option<PathBuf> = table.optional("socket");
    let host: Option<String> = match socket {
        Some(_) => table.optional("host"),
        None => table.required(
            "host",
            "the server, such as \"db.example.com\", unless there is `socket`",
        ),
    };
    match (host, socket) {
        (None, Some(socket)) => {
            return Address::Socket {
                path: path(socket),
                port,
            };
        }
        (Some(_), Some(_)) => table.mistake("socket", "a server has a `host` or a `socket`, not both"),
        (Some(host), None) if host.is_empty() || host.contains(['/', '@', ' ']) => {
            table.mistake(
                "host",
                format!("{host:?} is no name of a host; a socket is given as `socket`"),
            );
        }
        (Some(host), None) => return Address::Tcp { host, port },
        (None, None) => {}
    }
    Address::Tcp {
        host: "localhost".to_owned(),
        port,
    }
}

fn tls(table: &mut Table<'_, '_>, address: &Address, path: &dyn Fn(PathBuf) -> PathBuf) -> Tls {
    let ca: Option<PathBuf> = table.optional("ca");
    match table.or("tls", "required".to_owned()).as_str() {
        "required" => {
            if matches!(address, Address::Socket { .. }) {
                table.mistake("tls", "a socket has no encryption; say that by tls = \"off\"");
            }
            Tls::Required { ca: ca.map(path) }
        }
        "off" => {
            if !address.is_local() {
                table.mistake(
                    "tls",
                    "\"off\" is only for a socket, localhost, 127.0.0.1 and ::1: elsewhere passwords would be open on the network",
                );
            }
            if ca.is_some() {
                table.mistake("ca", "certificates are of no use with tls = \"off\"");
            }
            Tls::Off
        }
        other => {
            table.mistake("tls", format!("{other:?} is neither \"required\" nor \"off\""));
            Tls::Required { ca: None }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::checked_toml::{Document, Mistakes};

    fn read(text: &str) -> (ServerConfig, Vec<String>) {
        let mistakes = Mistakes::default();
        let document = Document::parse(Path::new("passline.toml"), text, &mistakes);
        let mut table = document.root(&mistakes);
        let config = mysql(&mut table, "shop".to_owned(), &|path| Path::new("/etc").join(path));
        table.finish();
        (
            config.server,
            mistakes.into_list().iter().map(ToString::to_string).collect(),
        )
    }

    #[test]
    fn what_is_not_said_is_safe() {
        let (server, mistakes) = read("host = 'db1'\nuser = 'passline'\nca = 'ca.pem'\n");
        assert_eq!(mistakes, Vec::<String>::new());
        assert_eq!(server.address.to_string(), "db1:3306");
        let ca = Some(PathBuf::from("/etc/ca.pem"));
        assert_eq!(server.tls, Tls::Required { ca });
    }

    #[test]
    fn nothing_is_said_in_clear_but_on_this_machine_and_where_that_was_asked_for() {
        for local in [
            "host = '127.0.0.1'",
            "host = '::1'",
            "host = 'localhost'",
            "socket = 'mysqld.sock'",
        ] {
            let (server, mistakes) = read(&format!("{local}\nuser = 'x'\ntls = 'off'\n"));
            assert_eq!((server.tls, mistakes), (Tls::Off, Vec::new()), "{local}");
        }
        for (text, part) in [
            ("host = 'db1'\ntls = 'off'", "tls: \"off\" is only for a socket"),
            ("host = '192.0.2.1'\ntls = 'off'", "tls: \"off\" is only for a socket"),
            ("host = 'db1'\ntls = 'preferred'", "neither \"required\" nor \"off\""),
            ("socket = 'mysqld.sock'", "tls: a socket has no encryption"),
            (
                "host = '::1'\ntls = 'off'\nca = 'ca.pem'",
                "ca: certificates are of no use",
            ),
            ("host = 'db1'\nsocket = 'mysqld.sock'", "not both"),
            ("tls = 'required'", "host: missing"),
            ("host = '/run/mysqld'", "is no name of a host"),
            ("host = 'db1'\nport = 0", "port: 0 is out of range"),
            ("host = 'db1'\naccount_host = ''", "account_host: must not be empty"),
        ] {
            let (_, mistakes) = read(&format!("user = 'x'\n{text}\n"));
            assert!(
                mistakes.iter().any(|mistake| mistake.contains(part)),
                "{text}: {mistakes:?}"
            );
        }
    }
}
