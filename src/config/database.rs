//! `[database]`: where what Passline remembers is kept, if not in a file of its own.

use std::net::IpAddr;
use std::path::PathBuf;

use crate::checked_toml::Table;
use crate::store::{ServerAddress, ServerConfig};

/// The `[database]` section.
#[derive(Clone, Debug)]
pub struct DatabaseSection {
    /// The server, without the password.
    pub server: ServerConfig,
    /// Where its password is, if it is in a file.
    pub password_file: Option<PathBuf>,
    /// How many connections are held.
    pub connections: u32,
}

const URL: &str = "the server, such as \"postgres://passline@db.example.com/passline\"";

pub(super) fn read(root: &mut Table<'_, '_>, path: &dyn Fn(PathBuf) -> PathBuf) -> Option<DatabaseSection> {
    if !root.is_present("database") {
        return None;
    }
    let mut table = root.table("database");
    let url: Option<String> = table.required("url", URL);
    let ca: Option<PathBuf> = table.optional("ca").map(path);
    let tls = table.or("tls", "required".to_owned());
    let password_file = table.optional("password_file").map(path);
    let connections = table.number("connections", 8, 2..=100);
    let parsed = url.and_then(|url| match Url::parse(&url) {
        Ok(url) => Some(url),
        Err(reason) => {
            table.mistake("url", format!("{reason}; give {URL}"));
            None
        }
    });
    let server = parsed.map(|url| server(&table, url, &tls, ca));
    table.finish();
    Some(DatabaseSection {
        server: server?,
        password_file,
        connections,
    })
}

fn server(table: &Table<'_, '_>, url: Url, tls: &str, ca: Option<PathBuf>) -> ServerConfig {
    if !["required", "off"].contains(&tls) {
        table.mistake("tls", format!("{tls:?} is neither \"required\" nor \"off\""));
    }
    if tls == "off" && ca.is_some() {
        table.mistake("ca", "certificates are of no use with tls = \"off\"");
    }
    let address = match url.at {
        At::Socket { folder, port } => ServerAddress::Socket { folder, port },
        At::Host { host, port } if tls == "off" => {
            let is_local = host == "localhost"
                || host
                    .trim_matches(['[', ']'])
                    .parse()
                    .is_ok_and(|ip: IpAddr| ip.is_loopback());
            if !is_local {
                table.mistake("tls", "\"off\" is only for localhost, 127.0.0.1 and ::1: elsewhere everything would be open on the network");
            }
            ServerAddress::Plain { host, port }
        }
        At::Host { host, port } => ServerAddress::Tls { host, port, ca },
    };
    ServerConfig {
        address,
        database: url.database,
        user: url.user,
        password: None,
    }
}

/// `postgres://USER@HOST:PORT/DATABASE`, or with a socket `postgres://USER@/DATABASE?host=FOLDER`.
struct Url {
    user: String,
    at: At,
    database: String,
}

enum At {
    Host { host: String, port: u16 },
    Socket { folder: PathBuf, port: u16 },
}

impl Url {
    /// What is wrong is told without the text, which may hold a password.
    fn parse(url: &str) -> Result<Self, &'static str> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or("must begin with \"postgres://\"")?;
        let (user, rest) = rest.rsplit_once('@').ok_or("must name the role, followed by \"@\"")?;
        if user.contains(':') {
            return Err("must not hold the password, which belongs into `password_file` or PASSLINE_DATABASE_PASSWORD");
        }
        let (host, rest) = rest.split_once('/').ok_or("must name the database behind a \"/\"")?;
        let (database, folder) = match rest.split_once('?') {
            None => (rest, None),
            Some((database, option)) => {
                let folder = option.strip_prefix("host=").filter(|folder| folder.starts_with('/'));
                (
                    database,
                    Some(folder.ok_or("may be followed by \"?host=\" and the folder of a socket only")?),
                )
            }
        };
        let is_name = |name: &str| !name.is_empty() && !name.contains(['/', '%', '?', '#', '&']) && is_printable(name);
        if !is_name(user) || !is_name(database) {
            return Err("must name a role and a database, in plain characters");
        }
        let (host, port) = port_of(host)?;
        let at = match folder {
            Some(folder) if host.is_empty() && is_printable(folder) => At::Socket {
                folder: folder.into(),
                port,
            },
            Some(_) => return Err("must name either a host or the folder of a socket"),
            None if is_host(host) => At::Host {
                host: host.to_owned(),
                port,
            },
            None => return Err("must name a host"),
        };
        Ok(Self {
            user: user.to_owned(),
            at,
            database: database.to_owned(),
        })
    }
}

fn port_of(host: &str) -> Result<(&str, u16), &'static str> {
    match host.rsplit_once(':') {
        // Of an IPv6 address.
        Some((_, rest)) if rest.ends_with(']') => Ok((host, 5432)),
        Some((host, port)) => match port.parse() {
            Ok(port) if port > 0 => Ok((host, port)),
            _ => Err("has a port that is none"),
        },
        None => Ok((host, 5432)),
    }
}

fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(ip) => ip.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c)),
    }
}

fn is_printable(text: &str) -> bool {
    !text.chars().any(|c| c.is_control() || c.is_whitespace())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::checked_toml::{Document, Mistakes};

    fn read_text(text: &str) -> (Option<DatabaseSection>, Vec<String>) {
        let mistakes = Mistakes::default();
        let document = Document::parse(Path::new("passline.toml"), text, &mistakes);
        let mut root = document.root(&mistakes);
        let section = read(&mut root, &|path| Path::new("/etc").join(path));
        root.finish();
        let mistakes = mistakes.into_list().iter().map(ToString::to_string).collect();
        (section, mistakes)
    }

    fn address(url: &str, more: &str) -> (ServerAddress, Vec<String>) {
        let (section, mistakes) = read_text(&format!("[database]\nurl = '{url}'\n{more}"));
        (section.expect("a section").server.address, mistakes)
    }

    #[test]
    fn a_server_is_encrypted_unless_it_is_on_this_machine() {
        assert!(read_text("").0.is_none());
        let (found, mistakes) = address("postgres://passline@db.example.com/passline", "ca = 'ca.pem'");
        assert_eq!(mistakes, Vec::<String>::new());
        let tls = ServerAddress::Tls {
            host: "db.example.com".to_owned(),
            port: 5432,
            ca: Some("/etc/ca.pem".into()),
        };
        assert_eq!(found, tls);
        let (found, mistakes) = address("postgresql://passline@[::1]:5433/passline", "tls = 'off'");
        assert_eq!(mistakes, Vec::<String>::new());
        let plain = ServerAddress::Plain {
            host: "[::1]".to_owned(),
            port: 5433,
        };
        assert_eq!(found, plain);
        let (found, mistakes) = address("postgres://passline@/passline?host=/run/postgresql", "");
        assert_eq!(mistakes, Vec::<String>::new());
        let socket = ServerAddress::Socket {
            folder: "/run/postgresql".into(),
            port: 5432,
        };
        assert_eq!(found, socket);
        let (_, mistakes) = address("postgres://passline@db.example.com/passline", "tls = 'off'");
        assert!(mistakes[0].contains("open on the network"), "{mistakes:?}");
    }

    #[test]
    fn what_is_no_url_is_told_and_never_a_password() {
        for (url, told) in [
            ("mysql://a@b/c", "must begin with"),
            ("postgres://b/c", "must name the role"),
            ("postgres://a:hunter2@b/c", "must not hold the password"),
            ("postgres://a@b", "must name the database"),
            ("postgres://a@b/", "in plain characters"),
            ("postgres://a@/c", "must name a host"),
            ("postgres://a@b:0/c", "a port that is none"),
            ("postgres://a@b:x/c", "a port that is none"),
            ("postgres://a@b/c?host=/run", "either a host"),
            ("postgres://a@b/c?sslmode=disable", "may be followed by"),
            ("postgres://a@[::g]/c", "must name a host"),
        ] {
            let (section, mistakes) = read_text(&format!("[database]\nurl = '{url}'\n"));
            assert!(section.is_none() && mistakes.len() == 1, "{url}: {mistakes:?}");
            assert!(
                mistakes[0].contains(told) && !mistakes[0].contains("hunter2"),
                "{mistakes:?}"
            );
        }
    }
}
