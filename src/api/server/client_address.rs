//! Whom a request is from, behind proxies that are trusted; pure.
//!
//! ```text
//!  X-Forwarded-For: 203.0.113.66, 198.51.100.7, 10.0.0.5     over a connection from 10.0.0.9
//!                   ▲             ▲             ▲                                   ▲
//!                   anybody may   the client    a trusted proxy                     a trusted proxy
//!                   write this
//! ```
//!
//! A connection that is not from a trusted proxy is from its client, whatever a header says. Of a trusted proxy, the
//! list is read from its right end, where the nearest proxy has added who came to it; the first address that is no
//! trusted proxy is the client. What stands left of it came from there and means nothing. An entry that must be read and
//! is no address is an error rather than a guess. Without the header, the proxy speaks for itself.
//!
//! `Forwarded` (RFC 7239) is ignored: a proxy that sets the one and passes the other through would let the client
//! choose. Proxies that only know `Forwarded` can use the PROXY protocol.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, HeaderName};

use crate::network_list::NetworkList;

/// The de facto standard; each proxy adds the address that it was reached from.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The header of a trusted proxy has something else in it than addresses, in a place that matters.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("an entry of X-Forwarded-For is no address")]
pub struct NoAddress;

/// Whom a request is from that came over a connection from `connection`. An empty `trusted` trusts nobody.
///
/// # Errors
/// The trusted proxy says something that cannot be read.
pub fn client_address(connection: IpAddr, trusted: &NetworkList, headers: &HeaderMap) -> Result<IpAddr, NoAddress> {
    let mut nearest = connection.to_canonical();
    // All lines of the header are one list (RFC 9110, section 5.3).
    for line in headers.get_all(X_FORWARDED_FOR).iter().rev() {
        for entry in line.as_bytes().rsplit(|byte| *byte == b',') {
            if trusted.entry(nearest).is_none() {
                return Ok(nearest);
            }
            nearest = address(entry).ok_or(NoAddress)?;
        }
    }
    Ok(nearest)
}

/// `192.0.2.1`, `192.0.2.1:443`, `2001:db8::1`, `[2001:db8::1]` or `[2001:db8::1]:443`. Nothing is no address either: to
/// skip it would hand the choice to whoever wrote the entry before.
fn address(entry: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    let bare = || text.parse().ok();
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok().map(IpAddr::V6);
    // A scope (`fe80::1%2`) says something on the proxy's machine alone.
    let has_scope = text.contains('%');
    let with_port = || {
        text.parse()
            .ok()
            .filter(|_| !has_scope)
            .map(|socket: SocketAddr| socket.ip())
    };
    let address: Option<IpAddr> = bare().or_else(in_brackets).or_else(with_port);
    address.map(|address| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let value = |line: &&[u8]| HeaderValue::from_bytes(line).expect("a value");
        lines.iter().map(|line| (X_FORWARDED_FOR, value(line))).collect()
    }

    /// From 10.0.0.9, which is trusted as all of 10.0.0.0/8 is.
    fn through_proxy(lines: &[&str]) -> Result<String, NoAddress> {
        let trusted = NetworkList::parse(["10.0.0.0/8", "2001:db8:9::/48"]).expect("networks");
        let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
        client_address(ip("10.0.0.9"), &trusted, &headers(&lines)).map(|address| address.to_string())
    }

    fn is(address: &str) -> Result<String, NoAddress> {
        Ok(address.to_owned())
    }

    #[test]
    fn the_right_most_address_that_is_no_trusted_proxy_counts() {
        assert_eq!(
            through_proxy(&["203.0.113.66, 198.51.100.7, 10.0.0.5"]),
            is("198.51.100.7")
        );
        assert_eq!(through_proxy(&["198.51.100.7"]), is("198.51.100.7"));
        assert_eq!(
            through_proxy(&["198.51.100.7,2001:db8:9::1\t,  10.0.0.5"]),
            is("198.51.100.7")
        );
        assert_eq!(
            through_proxy(&["10.0.0.1, 10.0.0.2"]),
            is("10.0.0.1"),
            "a proxy's own request, relayed"
        );
        assert_eq!(through_proxy(&[]), is("10.0.0.9"));
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(
            through_proxy(&["203.0.113.66", "198.51.100.7, 10.0.0.5", "10.0.0.6"]),
            is("198.51.100.7")
        );
        assert_eq!(
            through_proxy(&["203.0.113.66, 198.51.100.7", "10.0.0.5"]),
            is("198.51.100.7")
        );
    }

    #[test]
    fn ports_and_brackets_are_understood() {
        for (entry, address) in [
            ("198.51.100.7:52311", "198.51.100.7"),
            ("2001:db8::7", "2001:db8::7"),
            ("[2001:db8::7]", "2001:db8::7"),
            ("[2001:db8::7]:52311", "2001:db8::7"),
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("[::ffff:10.0.0.5]:1", "10.0.0.5"),
        ] {
            assert_eq!(through_proxy(&[entry]), is(address), "{entry}");
        }
    }

    #[test]
    fn what_must_be_read_and_is_no_address_is_refused() {
        for entry in [
            "",
            " ",
            "unknown",
            "_hidden",
            "localhost",
            "198.51.100",
            "198.51.100.7:",
            "198.51.100.7:99999",
            "[198.51.100.7]",
            "[2001:db8::7",
            "2001:db8::7]:1",
            "fe80::1%eth0",
            "[fe80::1%2]:443",
            "for=198.51.100.7",
            "\"198.51.100.7\"",
            "198.51.100.7;",
            "unix:",
        ] {
            assert_eq!(through_proxy(&[entry]), Err(NoAddress), "{entry:?}");
            assert_eq!(
                through_proxy(&[&format!("198.51.100.7, {entry}")]),
                Err(NoAddress),
                "{entry:?}"
            );
            assert_eq!(
                through_proxy(&[&format!("198.51.100.7, {entry}, 10.0.0.5")]),
                Err(NoAddress),
                "{entry:?}"
            );
            assert_eq!(
                through_proxy(&[&format!("{entry}, 198.51.100.7, 10.0.0.5")]),
                is("198.51.100.7"),
                "left of the client"
            );
        }
    }

    #[test]
    fn an_empty_list_trusts_nobody_not_even_this_machine() {
        let spoofed = headers(&[b"198.51.100.7"]);
        let address = client_address(ip("127.0.0.1"), &NetworkList::default(), &spoofed);
        assert_eq!(address, Ok(ip("127.0.0.1")));
    }

    #[test]
    fn forwarded_is_ignored() {
        let mut spoofed = HeaderMap::new();
        spoofed.insert("forwarded", HeaderValue::from_static("for=198.51.100.7"));
        let trusted = NetworkList::parse(["10.0.0.9"]).expect("networks");
        assert_eq!(client_address(ip("10.0.0.9"), &trusted, &spoofed), Ok(ip("10.0.0.9")));
    }

    fn any_address() -> impl Strategy<Value = IpAddr> {
        prop_oneof![
            any::<[u8; 4]>().prop_map(IpAddr::from),
            any::<[u8; 16]>().prop_map(|octets| IpAddr::from(octets).to_canonical()),
            // Likely to be trusted.
            any::<[u8; 3]>().prop_map(|[a, b, c]| IpAddr::from([10, a, b, c])),
        ]
    }

    proptest! {
        #[test]
        fn an_untrusted_peer_cannot_change_its_address(peer in any_address(), lines in prop::collection::vec("[ -~]{0,40}", 0..4)) {
            let trusted = NetworkList::parse(["10.0.0.0/8"]).expect("networks");
            prop_assume!(trusted.entry(peer).is_none());
            let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            prop_assert_eq!(client_address(peer, &trusted, &headers(&lines)), Ok(peer));
        }

        #[test]
        fn a_client_behind_a_proxy_cannot_change_its_address(client in any_address(), written in "[ -~]{0,60}", proxies in prop::collection::vec(any::<[u8; 3]>(), 0..3)) {
            let trusted = NetworkList::parse(["10.0.0.0/8"]).expect("networks");
            prop_assume!(trusted.entry(client).is_none());
            let added: String = proxies.iter().map(|[a, b, c]| format!(", 10.{a}.{b}.{c}")).collect();
            let line = format!("{written}, {client}{added}");
            prop_assert_eq!(client_address(ip("10.0.0.9"), &trusted, &headers(&[line.as_bytes()])), Ok(client));
            // A proxy that adds a line instead of an entry.
            let own = format!("{client}{added}");
            prop_assert_eq!(client_address(ip("10.0.0.9"), &trusted, &headers(&[written.as_bytes(), own.as_bytes()])), Ok(client));
        }

        #[test]
        fn no_bytes_make_it_panic(line in prop::collection::vec(0x20..=0x7e_u8, 0..60), high in prop::collection::vec(0x80..=0xff_u8, 0..8)) {
            let trusted = NetworkList::parse(["0.0.0.0/0"]).expect("networks");
            let _ = client_address(ip("10.0.0.9"), &trusted, &headers(&[&line, &high]));
        }
    }
}
