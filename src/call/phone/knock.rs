//! Whether anybody is at a UDP port at all.
//!
//! An INVITE to a closed port is sent again for 32 s, although the first copy was answered at once, with ICMP port
//! unreachable. The system tells that to connected sockets only, and the socket of the SIP stack talks to everybody. So
//! a socket of its own knocks with a keepalive, an empty line that every SIP stack ignores (RFC 3261 section 7.5).

use std::net::{IpAddr, SocketAddr};

use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Returns when the far end's machine says that nobody listens there, and otherwise never.
pub(super) async fn nobody_listens(local: IpAddr, remote: SocketAddr) {
    if !is_refused(local, remote).await.unwrap_or(false) {
        std::future::pending::<()>().await;
    }
}

/// Waits for an error of the socket; whether it is that one.
async fn is_refused(local: IpAddr, remote: SocketAddr) -> std::io::Result<bool> {
    let socket = UdpSocket::bind((local, 0)).await?;
    socket.connect(remote).await?;
    socket.send(b"\r\n").await?;
    socket.ready(Interest::ERROR).await?;
    let error = socket.take_error()?;
    Ok(error.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused))
}
