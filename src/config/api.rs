//! `[api]`: the web API for outside IVRs.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::api::server::TlsFiles;
use crate::checked_toml::Table;
use crate::network_list::NetworkList;
use crate::rate::Rate;
use crate::service;

/// The `[api]` section.
#[derive(Clone, Debug)]
pub struct ApiSection {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where clients reach it, without a path; told in the description for SOAP.
    pub url: Option<String>,
    /// The server's certificate and those that lead from it to an authority, in PEM.
    pub certificate: PathBuf,
    /// The key of the certificate, in PEM.
    pub key: PathBuf,
    /// Authorities that sign certificates of clients, in PEM.
    pub client_ca: Option<PathBuf>,
    /// Proxies that are believed when they say whom a request is from.
    pub trusted_proxies: NetworkList,
    /// Whether these proxies begin each connection with a PROXY header.
    pub proxy_protocol: bool,
    /// Connections at once.
    pub connections: usize,
    /// Connections at once of one address.
    pub connections_per_address: usize,
    /// Requests of one address.
    pub address_rate: Rate,
    /// Requests of one API user.
    pub user_rate: Rate,
    /// A file with the auth token of a Twilio account.
    pub twilio_token: Option<PathBuf>,
    /// Where Asterisk is served by FastAGI.
    pub agi: Option<SocketAddr>,
    /// Whether people who share their digits are told by name.
    pub names: bool,
}

impl ApiSection {
    /// Certificate, key and authorities.
    #[must_use]
    pub fn tls_files(&self) -> TlsFiles {
        TlsFiles {
            certificate: self.certificate.clone(),
            key: self.key.clone(),
            client_ca: self.client_ca.clone(),
        }
    }
}

/// One IVR with some hundreds of callers asks less; a flood of this rate leaves the callers of others alone.
const PER_SECOND: u32 = 200;

pub(super) fn read(
    root: &mut Table<'_, '_>,
    services: &mut service::Config,
    path: &dyn Fn(PathBuf) -> PathBuf,
) -> Option<ApiSection> {
    if !root.is_present("api") {
        return None;
    }
    let mut table = root.table("api");
    let listen = table.required("listen", "an address with port, such as \"0.0.0.0:8443\"");
    let listen = listen.and_then(|text: String| match text.parse::<SocketAddr>() {
        Ok(listen) => Some(listen),
        Err(_) => {
            table.mistake(
                "listen",
                format!("{text:?} is not an address with port, such as \"0.0.0.0:8443\""),
            );
            None
        }
    });
    let url: Option<String> = table.optional("url");
    let url = url.map(|url| url.trim_end_matches('/').to_owned());
    if url.as_ref().is_some_and(|url| {
        url.strip_prefix("https://")
            .is_none_or(|host| host.is_empty() || host.contains('/'))
    }) {
        table.mistake(
            "url",
            "must be \"https://\" with a host, and a port if it is not 443: nothing behind it",
        );
    }
    let certificate = table.required("certificate", "a file with the server's certificate, in PEM");
    let key = table.required("key", "a file with the key of the certificate, in PEM");
    let client_ca = table.optional("client_ca").map(path);
    let trusted: Vec<String> = table.or("trusted_proxies", Vec::new());
    let trusted_proxies = NetworkList::parse(trusted).unwrap_or_else(|error| {
        table.mistake("trusted_proxies", error.to_string());
        NetworkList::default()
    });
    let proxy_protocol = table.or("proxy_protocol", false);
    if proxy_protocol && trusted_proxies.is_empty() {
        table.mistake("proxy_protocol", "needs `trusted_proxies`; nobody else is believed");
    }
    let connections = table.number("connections", 1_024, 1..=100_000);
    let connections_per_address = table.number("connections_per_address", 64, 1..=100_000);
    let mut rate = |key| {
        let per_second = table.number(key, PER_SECOND, 1..=1_000_000);
        Rate {
            per_second,
            burst: per_second.saturating_mul(2),
        }
    };
    let (address_rate, user_rate) = (rate("requests_per_address"), rate("requests_per_user"));
    let names = table.or("names", false);
    let twilio_token = table.optional("twilio_token").map(path);
    let agi: Option<String> = table.optional("agi");
    let agi = agi.and_then(|text| match text.parse::<SocketAddr>() {
        Ok(listen) if listen.ip().is_loopback() => Some(listen),
        _ => {
            table.mistake(
                "agi",
                format!(
                    "{text:?} must be an address of this machine alone with port, such as \"127.0.0.1:4573\": FastAGI is \
                     not encrypted; lead it here through a tunnel"
                ),
            );
            None
        }
    });
    if let (Some(_), None, Some(listen)) = (agi, &url, listen)
        && listen.ip().is_unspecified()
    {
        table.mistake(
            "url",
            format!(
                "is needed for `agi`: Asterisk cannot fetch sounds from {listen}; say \"https://\" with a name of this machine that \
                 is in the certificate, and the port"
            ),
        );
    }
    services.api_idle = table.duration(
        "idle",
        services.api_idle,
        Duration::from_secs(10)..=Duration::from_secs(3_600),
    );
    table.finish();
    Some(ApiSection {
        listen: listen?,
        url,
        certificate: path(certificate?),
        key: path(key?),
        client_ca,
        trusted_proxies,
        proxy_protocol,
        connections,
        connections_per_address,
        address_rate,
        user_rate,
        twilio_token,
        agi,
        names,
    })
}
