//! Opening sockets. IPv6 sockets take IPv6 only, so that both families can share a port number.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsRawFd as _, OwnedFd};

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, listen, setsockopt, socket, sockopt,
};
use tokio::net::{TcpListener, UdpSocket};

/// Room for a burst that comes while the core is busy: about 4,000 small requests. The system may grant less.
const RECEIVE_BUFFER_BYTES: usize = 4 * 1024 * 1024;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;

pub(super) fn udp(address: SocketAddr) -> io::Result<UdpSocket> {
    let descriptor = open(address, SockType::Datagram)?;
    // A smaller buffer than wished for is no reason not to start.
    let _ = setsockopt(&descriptor, sockopt::RcvBuf, &RECEIVE_BUFFER_BYTES);
    bind(descriptor.as_raw_fd(), &SockaddrStorage::from(address))?;
    UdpSocket::from_std(descriptor.into())
}

pub(super) fn tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let descriptor = open(address, SockType::Stream)?;
    setsockopt(&descriptor, sockopt::ReuseAddr, &true)?;
    bind(descriptor.as_raw_fd(), &SockaddrStorage::from(address))?;
    listen(&descriptor, Backlog::new(BACKLOG)?)?;
    TcpListener::from_std(descriptor.into())
}

fn open(address: SocketAddr, kind: SockType) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() {
        AddressFamily::Inet
    } else {
        AddressFamily::Inet6
    };
    let descriptor = socket(family, kind, SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK, None)?;
    if address.is_ipv6() {
        setsockopt(&descriptor, sockopt::Ipv6V6Only, &true)?;
    }
    Ok(descriptor)
}
