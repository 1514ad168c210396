//! Which addresses media may be sent to.
//!
//! An offer can name any address; a server that believes it becomes a weapon against third parties or against itself.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Refusal;
use super::negotiate::LocalMedia;

/// No RTP endpoint lives on a privileged port, many victims do.
const MIN_PORT: u16 = 1_024;

/// Checks where the far end wants its media.
pub(super) fn check(remote: SocketAddr, local: &LocalMedia) -> Result<(), Refusal> {
    let ip = remote.ip();
    if ip.is_ipv4() != local.address.is_ipv4() {
        return Err(Refusal::AddressFamily);
    }
    if let Some(reason) = never_unicast(ip) {
        return Err(Refusal::Address(reason));
    }
    if ip.is_loopback() != local.address.is_loopback() {
        return Err(Refusal::Address("loopback and network do not mix"));
    }
    if remote.port() < MIN_PORT {
        return Err(Refusal::Address("the port is below 1024"));
    }
    if is_ours(remote, local) {
        return Err(Refusal::Address("it is one of our own"));
    }
    Ok(())
}

/// Why an address can never be the one of a telephone.
fn never_unicast(ip: IpAddr) -> Option<&'static str> {
    if ip.is_multicast() {
        return Some("it is a multicast address");
    }
    if ip.is_unspecified() {
        return Some("it is unspecified");
    }
    match ip {
        IpAddr::V4(v4) if v4 == Ipv4Addr::BROADCAST => Some("it is the broadcast address"),
        IpAddr::V4(v4) if v4.octets()[0] == 0 || v4.octets()[0] >= 240 => Some("it is reserved"),
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => Some("it is an IPv4 address in IPv6 form"),
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Some("it is link-local and names no interface"),
        _ => None,
    }
}

/// Our own media ports and the sockets the caller reserved (SIP): sending there would make us talk to ourselves.
fn is_ours(remote: SocketAddr, local: &LocalMedia) -> bool {
    let own_media = remote.ip() == local.address && [local.rtp_port, local.rtcp_port].contains(&remote.port());
    own_media
        || local.reserved.iter().any(|reserved| {
            let same_ip = if reserved.ip().is_unspecified() {
                remote.ip() == local.address
            } else {
                remote.ip() == reserved.ip()
            };
            same_ip && remote.port() == reserved.port()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(remote: &str, local: &str) -> Result<(), Refusal> {
        let mut media = LocalMedia::new(local.parse().expect("address"), 40_000);
        media.reserved = vec![
            "0.0.0.0:5060".parse().expect("address"),
            "[::]:5060".parse().expect("address"),
        ];
        check(remote.parse().expect("address"), &media)
    }

    #[test]
    fn telephones_are_accepted() {
        assert_eq!(checked("198.51.100.7:30000", "192.0.2.1"), Ok(()));
        assert_eq!(
            checked("198.51.100.7:5060", "192.0.2.1"),
            Ok(()),
            "only our own 5060 is reserved"
        );
        assert_eq!(checked("127.0.0.1:30000", "127.0.0.1"), Ok(()));
        assert_eq!(checked("[2001:db8::7]:30000", "2001:db8::1"), Ok(()));
    }

    #[test]
    fn nothing_is_sent_to_addresses_that_are_no_telephone() {
        for (remote, local) in [
            ("224.0.0.1:30000", "192.0.2.1"),
            ("0.0.0.0:30000", "192.0.2.1"),
            ("0.1.2.3:30000", "192.0.2.1"),
            ("255.255.255.255:30000", "192.0.2.1"),
            ("240.0.0.1:30000", "192.0.2.1"),
            ("127.0.0.1:30000", "192.0.2.1"),
            ("192.0.2.9:30000", "127.0.0.1"),
            ("198.51.100.7:53", "192.0.2.1"),
            ("192.0.2.1:5060", "192.0.2.1"),
            ("192.0.2.1:40000", "192.0.2.1"),
            ("192.0.2.1:40001", "192.0.2.1"),
            ("[ff02::1]:30000", "2001:db8::1"),
            ("[::]:30000", "2001:db8::1"),
            ("[::1]:30000", "2001:db8::1"),
            ("[fe80::1]:30000", "2001:db8::1"),
            ("[::ffff:192.0.2.9]:30000", "2001:db8::1"),
        ] {
            assert!(
                matches!(checked(remote, local), Err(Refusal::Address(_))),
                "{remote} for {local}"
            );
        }
        assert_eq!(checked("[2001:db8::7]:30000", "192.0.2.1"), Err(Refusal::AddressFamily));
    }
}
