//! `[sip]` and `[media]`.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::checked_toml::Table;
use crate::telephony::sip::trunk::Unserved;

/// How SIP travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams.
    Udp,
    /// Connections.
    Tcp,
}

/// Where to listen for SIP, written as `udp:0.0.0.0:5060` or `tcp:[::]:5060`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// How.
    pub transport: Transport,
    /// Where; port 0 takes a free one.
    pub address: SocketAddr,
}

impl FromStr for Listen {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (transport, address) = text.split_once(':').ok_or(())?;
        let transport = match transport {
            "udp" => Transport::Udp,
            "tcp" => Transport::Tcp,
            _ => return Err(()),
        };
        Ok(Self {
            transport,
            address: address.parse().map_err(|_| ())?,
        })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let transport = match self.transport {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
        };
        write!(f, "{transport}:{}", self.address)
    }
}

/// What the `[sip]` section says about those whom no trunk file names, and about how many may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SipLimits {
    /// What addresses hear that no trunk allows.
    pub strangers: Unserved,
    /// How many of their messages are heard per second, of one network.
    pub stranger_rate: u32,
    /// TCP connections at once.
    pub max_connections: usize,
    /// Those among them of addresses that no trunk allows.
    pub max_stranger_connections: usize,
}

impl Default for SipLimits {
    /// An answer, so that whoever sets up a trunk sees that there is somebody; few enough of them that a scanner of
    /// thousands of numbers sees mostly silence. Connections: every address of a large trunk several times over.
    fn default() -> Self {
        Self {
            strangers: Unserved::Answer,
            stranger_rate: 5,
            max_connections: 4_096,
            max_stranger_connections: 256,
        }
    }
}

fn sip_limits(table: &mut Table<'_, '_>) -> SipLimits {
    let default = SipLimits::default();
    let strangers = match table.or("strangers", "answer".to_owned()).as_str() {
        "answer" => Unserved::Answer,
        "silence" => Unserved::Silence,
        other => {
            table.mistake(
                "strangers",
                format!("{other:?} is neither of its two words; write \"answer\" or \"silence\""),
            );
            default.strangers
        }
    };
    SipLimits {
        strangers,
        stranger_rate: table.number("stranger_rate", default.stranger_rate, 1..=1_000),
        max_connections: table.number("max_connections", default.max_connections, 16..=100_000),
        max_stranger_connections: table.number(
            "max_stranger_connections",
            default.max_stranger_connections,
            0..=10_000,
        ),
    }
}

pub(super) fn sip(table: &mut Table<'_, '_>) -> (Vec<Listen>, PathBuf, SipLimits) {
    const WHAT: &str = "an address such as \"udp:0.0.0.0:5060\" or \"tcp:[::]:5060\"";
    let listen = table.parsed_list("listen", WHAT);
    if listen.is_none() {
        table.required::<Vec<String>>(
            "listen",
            "a list of addresses, such as [\"udp:0.0.0.0:5060\", \"tcp:0.0.0.0:5060\"]",
        );
    }
    (
        listen.unwrap_or_default(),
        table.or("trunks", PathBuf::from("sip-config")),
        sip_limits(table),
    )
}

/// The `[media]` section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MediaSection {
    /// First port for RTP; even.
    pub first_port: u16,
    /// Last port for RTCP.
    pub last_port: u16,
    /// Nothing received for this long ends a call.
    pub timeout: Duration,
}

impl Default for MediaSection {
    /// Ports 16384 to 32767, as most session border controllers have them open. 30 s: longer than any outage that a
    /// caller waits for.
    fn default() -> Self {
        Self {
            first_port: 16_384,
            last_port: 32_767,
            timeout: Duration::from_secs(30),
        }
    }
}

pub(super) fn media(table: &mut Table<'_, '_>) -> MediaSection {
    let default = MediaSection::default();
    let first_port = table.number("first_port", default.first_port, 1_024..=65_534);
    let last_port = table.number("last_port", default.last_port, 1_025..=65_535);
    if !first_port.is_multiple_of(2) {
        table.mistake("first_port", "must be even: RTP takes an even port, RTCP the next one");
    }
    if last_port <= first_port {
        table.mistake(
            "last_port",
            format!("must be greater than first_port, which is {first_port}"),
        );
    }
    let second = Duration::from_secs(1);
    MediaSection {
        first_port,
        last_port,
        timeout: table.duration("timeout", default.timeout, second * 2..=second * 3_600),
    }
}
