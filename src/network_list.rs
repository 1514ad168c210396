//! Lists of networks: who may come, or who is believed.
//!
//! A network is written in CIDR notation (RFC 4632, section 3.1; RFC 4291, section 2.3), or as an address alone, which
//! is that host. Bits behind the prefix must be zero: `10.1.2.3/8` is more often a slip for `/32` than a wish for all of
//! `10.0.0.0/8`.
//!
//! IPv4 addresses in the clothes of IPv6 (`::ffff:192.0.2.1`, RFC 4291, section 2.5.5.2), as a socket for both gives
//! them, are IPv4 here: in the list and in what is asked. `::/0` therefore holds no IPv4 address.
//!
//! ```
//! use passline::network_list::NetworkList;
//!
//! let list = NetworkList::parse(["192.0.2.0/24", "2001:db8::1"])?;
//! assert!(list.allows("::ffff:192.0.2.7".parse()?));
//! assert!(!list.allows("127.0.0.1".parse()?));
//! assert!(NetworkList::default().allows("127.0.0.1".parse()?), "an empty list is this machine alone");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::{Deserialize, Deserializer, de};

/// Networks in the order they were written, each once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct NetworkList(Vec<IpNet>);

/// A text that is no network.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NetworkError {
    /// It cannot be read at all.
    #[error("{text:?} is not a network; write an address or a prefix, like 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32")]
    Malformed {
        /// What was written.
        text: String,
    },
    /// The prefix is longer than an address.
    #[error("{text:?} has a prefix that is too long; give 0 to {longest}")]
    PrefixTooLong {
        /// What was written.
        text: String,
        /// The bits of an address.
        longest: u8,
    },
    /// Bits behind the prefix are set.
    #[error("{text:?} has bits set behind its prefix; the network is {network}, the host alone is {host}")]
    HostBits {
        /// What was written.
        text: String,
        /// The network that it would be.
        network: IpNet,
        /// The address without the prefix.
        host: IpAddr,
    },
}

impl NetworkList {
    /// Reads each text.
    ///
    /// # Errors
    /// Of the first that is no network.
    pub fn parse<T: AsRef<str>>(texts: impl IntoIterator<Item = T>) -> Result<Self, NetworkError> {
        let mut networks = Vec::new();
        for text in texts {
            let network = network(text.as_ref())?;
            if !networks.contains(&network) {
                networks.push(network);
            }
        }
        Ok(Self(networks))
    }

    /// Whether `address` may come. Of an empty list, only this machine may: 127.0.0.0/8 and ::1.
    #[must_use]
    pub fn allows(&self, address: IpAddr) -> bool {
        if self.is_empty() {
            address.to_canonical().is_loopback()
        } else {
            self.entry(address).is_some()
        }
    }

    /// The network of the list that holds `address`, and of several the most specific one. An empty list has none.
    #[must_use]
    pub fn entry(&self, address: IpAddr) -> Option<IpNet> {
        let address = address.to_canonical();
        let holding = self.0.iter().filter(|network| network.contains(&address));
        holding.max_by_key(|network| network.prefix_len()).copied()
    }

    /// Whether nothing is in the list.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is in the list.
    #[must_use]
    pub fn networks(&self) -> &[IpNet] {
        &self.0
    }
}

/// What counts as one line where addresses are counted: an IPv4 address, or the first 64 bits of an IPv6 one, since whoever
/// has a line has all of those.
#[must_use]
pub fn line(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        v4 => v4,
    }
}

/// `192.0.2.0/24, 2001:db8::1/128`; an empty list says what it means.
impl fmt::Display for NetworkList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("loopback only");
        }
        for (index, network) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(", ")?;
            }
            write!(f, "{network}")?;
        }
        Ok(())
    }
}

/// From a list of texts.
impl<'de> Deserialize<'de> for NetworkList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(Vec::<String>::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// Reads one network, for whoever tells every mistake of a list.
///
/// # Errors
/// [`NetworkError`].
pub fn network(text: &str) -> Result<IpNet, NetworkError> {
    let malformed = || NetworkError::Malformed { text: text.to_owned() };
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| malformed())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        // No sign, no space; numbers too large for their type are too long as well.
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            digits.parse().unwrap_or(u8::MAX)
        }
        Some(_) => return Err(malformed()),
        None => longest,
    };
    let written = IpNet::new(address, prefix).map_err(|_| NetworkError::PrefixTooLong {
        text: text.to_owned(),
        longest,
    })?;
    if written != written.trunc() {
        return Err(NetworkError::HostBits {
            text: text.to_owned(),
            network: canonical(written.trunc()),
            host: address.to_canonical(),
        });
    }
    Ok(canonical(written))
}

/// A network of IPv4-mapped addresses as one of IPv4. What is wider than all of them stays one of IPv6.
fn canonical(network: IpNet) -> IpNet {
    let mapped = match network {
        IpNet::V6(v6) => v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED_BITS)),
        IpNet::V4(_) => None,
    };
    let v4 = mapped.and_then(|(address, prefix): (Ipv4Addr, u8)| Ipv4Net::new(address, prefix).ok());
    v4.map_or(network, IpNet::V4)
}

/// The prefix `::ffff:0:0/96`.
const MAPPED_BITS: u8 = 96;

#[cfg(test)]
mod tests {
    use std::net::Ipv6Addr;

    use proptest::prelude::*;

    use super::*;

    fn list(texts: &[&str]) -> NetworkList {
        NetworkList::parse(texts).expect("networks")
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn an_address_alone_is_one_host() {
        let list = list(&["192.0.2.1", "2001:db8::1"]);
        assert_eq!(list.to_string(), "192.0.2.1/32, 2001:db8::1/128");
        assert!(list.allows(ip("192.0.2.1")) && list.allows(ip("2001:db8::1")));
        assert!(!list.allows(ip("192.0.2.2")) && !list.allows(ip("2001:db8::2")));
    }

    #[test]
    fn an_empty_list_is_loopback_alone() {
        let empty = NetworkList::default();
        for inside in ["127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"] {
            assert!(empty.allows(ip(inside)), "{inside}");
            assert_eq!(empty.entry(ip(inside)), None);
        }
        for outside in ["126.255.255.255", "128.0.0.0", "0.0.0.0", "::", "::2", "::127.0.0.1"] {
            assert!(!empty.allows(ip(outside)), "{outside}");
        }
        assert_eq!(empty.to_string(), "loopback only");
        assert!(
            !list(&["192.0.2.0/24"]).allows(ip("127.0.0.1")),
            "loopback must be listed then"
        );
    }

    #[test]
    fn the_most_specific_network_is_named() {
        let list = list(&["0.0.0.0/0", "192.0.2.0/24", "192.0.2.128/25", "192.0.2.0/24", "::/0"]);
        let entry = |text| list.entry(ip(text)).map(|network| network.to_string());
        assert_eq!(entry("192.0.2.200").as_deref(), Some("192.0.2.128/25"));
        assert_eq!(entry("192.0.2.1").as_deref(), Some("192.0.2.0/24"));
        assert_eq!(entry("198.51.100.1").as_deref(), Some("0.0.0.0/0"));
        assert_eq!(entry("2001:db8::1").as_deref(), Some("::/0"));
        assert_eq!(list.networks().len(), 4, "each once");
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(list(&["::ffff:192.0.2.0/120"]).to_string(), "192.0.2.0/24");
        assert_eq!(list(&["::ffff:192.0.2.1"]).to_string(), "192.0.2.1/32");
        assert_eq!(list(&["::ffff:0:0/96"]).to_string(), "0.0.0.0/0");
        assert!(!list(&["::/0"]).allows(ip("::ffff:192.0.2.1")), "IPv6 alone");
        assert!(!list(&["::/80"]).allows(ip("192.0.2.1")));
    }

    #[test]
    fn errors_say_what_would_be_right() {
        let told = |text: &str| network(text).expect_err("no network").to_string();
        assert_eq!(
            told("10.1.2.3/8"),
            "\"10.1.2.3/8\" has bits set behind its prefix; the network is 10.0.0.0/8, the host alone is 10.1.2.3"
        );
        assert_eq!(
            told("::ffff:192.0.2.1/120"),
            "\"::ffff:192.0.2.1/120\" has bits set behind its prefix; the network is 192.0.2.0/24, the host alone is \
             192.0.2.1"
        );
        assert_eq!(
            told("192.0.2.0/33"),
            "\"192.0.2.0/33\" has a prefix that is too long; give 0 to 32"
        );
        assert_eq!(
            told("::/999"),
            "\"::/999\" has a prefix that is too long; give 0 to 128"
        );
        for text in [
            "",
            "/",
            "/8",
            "192.0.2.0/",
            "192.0.2.0/+8",
            "192.0.2.0/ 8",
            "192.0.2/24",
            "192.0.2.0/255.255.255.0",
            "localhost",
            "192.0.2.0/24/24",
            "192.0.2.010",
            " 192.0.2.1",
            "fe80::1%eth0",
            "[::1]",
            "192.0.2.1:443",
        ] {
            assert!(told(text).contains("is not a network; write"), "{text}: {}", told(text));
        }
    }

    #[test]
    fn a_list_is_read_from_toml() {
        #[derive(Deserialize)]
        struct Section {
            networks: NetworkList,
        }
        let section: Section = toml::from_str("networks = ['192.0.2.0/24', '::1']").expect("a list");
        assert_eq!(section.networks, list(&["192.0.2.0/24", "::1"]));
        for (text, told) in [
            ("networks = ['192.0.2.1/24']", "the network is 192.0.2.0/24"),
            ("networks = '192.0.2.1'", "expected a sequence"),
            ("networks = [4]", "expected a string"),
        ] {
            let error = toml::from_str::<Section>(text).map(|_| ()).expect_err(text).to_string();
            assert!(error.contains(told), "{error}");
        }
    }

    fn any_network() -> impl Strategy<Value = IpNet> {
        let v4 = (any::<u32>(), 0..=32_u8).prop_map(|(bits, prefix)| (IpAddr::from(Ipv4Addr::from_bits(bits)), prefix));
        let v6 =
            (any::<u128>(), 0..=128_u8).prop_map(|(bits, prefix)| (IpAddr::from(Ipv6Addr::from_bits(bits)), prefix));
        prop_oneof![v4, v6].prop_map(|(address, prefix)| IpNet::new(address, prefix).expect("a prefix").trunc())
    }

    proptest! {
        #[test]
        fn what_is_shown_is_read_again(networks in prop::collection::vec(any_network(), 1..8)) {
            let once = NetworkList::parse(networks.iter().map(ToString::to_string)).expect("networks");
            let again = NetworkList::parse(once.to_string().split(", ")).expect("its own text");
            prop_assert_eq!(once, again);
        }

        #[test]
        fn mapped_or_not_is_the_same(networks in prop::collection::vec(any_network(), 0..8), bits: u32) {
            let list = NetworkList::parse(networks.iter().map(ToString::to_string)).expect("networks");
            let plain = Ipv4Addr::from_bits(bits);
            prop_assert_eq!(list.entry(plain.into()), list.entry(plain.to_ipv6_mapped().into()));
            prop_assert_eq!(list.allows(plain.into()), list.allows(plain.to_ipv6_mapped().into()));
        }

        #[test]
        fn an_entry_is_in_the_list_and_holds_the_address(networks in prop::collection::vec(any_network(), 1..8), at: prop::sample::Index) {
            let list = NetworkList::parse(networks.iter().map(ToString::to_string)).expect("networks");
            let address = at.get(&networks).broadcast();
            let entry = list.entry(address);
            if let Some(entry) = entry {
                prop_assert!(list.networks().contains(&entry) && entry.contains(&address.to_canonical()));
            }
            let holding = list.networks().iter().filter(|network| network.contains(&address.to_canonical()));
            prop_assert_eq!(holding.map(|network| network.prefix_len()).max(), entry.map(|entry| entry.prefix_len()));
            prop_assert_eq!(list.allows(address), entry.is_some());
        }

        #[test]
        fn host_bits_are_never_taken(bits: u32, prefix in 0..32_u8) {
            let written = Ipv4Net::new(Ipv4Addr::from_bits(bits), prefix).expect("a prefix");
            match network(&written.to_string()) {
                Ok(network) => prop_assert_eq!(network, IpNet::V4(written.trunc())),
                Err(NetworkError::HostBits { network, .. }) => {
                    prop_assert!(written.addr() != written.network());
                    prop_assert_eq!(network, IpNet::V4(written.trunc()));
                }
                Err(error) => prop_assert!(false, "{}", error),
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9a-f:./]{0,24}") {
            let _ = network(&text);
        }
    }
}
