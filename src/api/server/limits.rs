//! How much a client may have, and how long it may take. Whoever meets a limit loses a request or a connection, never
//! somebody else's.

use std::time::Duration;

use crate::rate::Rate;

/// The numbers, with reasons in [`Limits::default`].
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at once.
    pub connections: usize,
    /// Connections at once of one address; trusted proxies may have more.
    pub connections_per_address: usize,
    /// How long the PROXY header may take, and then the TLS handshake.
    pub handshake: Duration,
    /// How long a request's head may take from its first byte.
    pub head: Duration,
    /// The longest head: request line and header fields.
    pub head_bytes: usize,
    /// The most header fields.
    pub fields: usize,
    /// The largest body, unless a route allows [another size](super::body_at_most).
    pub body_bytes: usize,
    /// How long a body may take from the end of the head.
    pub body: Duration,
    /// How long an answer may be thought about.
    pub request: Duration,
    /// How long a connection may have no request running.
    pub idle: Duration,
    /// How long a client may take nothing of what is written to it, and, beyond [`Limits::request`], how long it may
    /// take to have all of an answer.
    pub write: Duration,
    /// How long a connection lives before it is asked to be made anew.
    pub age: Duration,
    /// How long running requests may go on when the server stops.
    pub drain: Duration,
    /// How long a client may take to hang up after it was told goodbye.
    pub farewell: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub streams: u32,
    /// Requests that a client may take back on one HTTP/2 connection.
    pub cancelled: Rate,
    /// After how long a silent HTTP/2 peer is asked whether it is there; it has [`Limits::write`] to answer.
    pub ping: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // An IVR platform holds some tens of connections. A thousand idle ones are some 40 MB here.
            connections: 1_024,
            // One client can never fill the house.
            connections_per_address: 64,
            // Two round trips and a certificate, over a bad line.
            handshake: Duration::from_secs(5),
            // A head is a packet or two.
            head: Duration::from_secs(5),
            head_bytes: 16 * 1024,
            fields: 64,
            // What is asked and answered here are forms of a few hundred bytes.
            body_bytes: 64 * 1024,
            body: Duration::from_secs(10),
            // Target systems have their own, shorter limits; a caller on the line has hung up by then.
            request: Duration::from_secs(30),
            // Longer than the pause between two keys that a caller presses, so that a call keeps its connection.
            idle: Duration::from_secs(30),
            write: Duration::from_secs(10),
            // Who was shown to be somebody by a certificate must show it again now and then.
            age: Duration::from_secs(3_600),
            // An answer that takes longer is not waited for: the client asks again elsewhere.
            drain: Duration::from_secs(10),
            farewell: Duration::from_secs(1),
            streams: 64,
            // A caller who hangs up takes a request back. Ten a second do not on one connection.
            cancelled: Rate {
                per_second: 10,
                burst: 100,
            },
            ping: Duration::from_secs(20),
        }
    }
}

/// HTTP/2: bytes that a client may send ahead, by request and in all. A body that is larger needs some round trips more.
pub(super) const STREAM_WINDOW: u32 = 64 * 1024;
pub(super) const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Bytes of bodies that are on their way at once on one connection, all its requests together: sixteen full ones. Without it
/// every request of an HTTP/2 connection could hold the largest body there is, and never end it.
pub(super) const CONNECTION_BODIES: usize = 256 * 1024;

/// Bytes of an answer that wait in memory for a client to take them: by HTTP/1 connection or HTTP/2 request.
pub(super) const WRITE_BUFFER: usize = 64 * 1024;

/// Bytes of answers that wait in the kernel, by connection. More of them would only hide that nobody takes them.
pub(super) const SOCKET_BUFFER: usize = 64 * 1024;

/// HTTP/2: requests that were taken back before anybody looked at them (CVE-2023-44487), and breaches of the protocol,
/// each of which ends one request. Beyond, the connection ends.
pub(super) const UNSEEN_RESETS: usize = 20;
pub(super) const BREACHES: usize = 20;
