//! TCP: accepting, connecting, reading, writing.

use std::net::SocketAddr;
use std::os::fd::AsFd as _;
use std::sync::Arc;
use std::time::Duration;

use nix::sys::socket::{setsockopt, sockopt};
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::connections::{Connections, Place};
use super::patience::Patience;
use super::writes::Writes;
use super::{Arrival, Ingress};
use crate::telephony::sip::framing::{Frame, Framer, PONG};
use crate::telephony::sip::transport::{Flow, Transport};

/// How long a connection of ours may take to be made. Time for one SYN to be lost; a large request goes on as a datagram
/// then, while a stop of the program still waits for its answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long a peer may take nothing of what is written to it; and after the end, how long all that was queued for it may take.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// Bytes read at once.
const READ_BYTES: usize = 8 * 1024;
/// A peer that is gone without a word is found out by the system: asked after this many seconds of silence, then this
/// often, this many times. Firewalls forget a connection after some minutes; this keeps it in their memory too.
const KEEPALIVE: (u32, u32, u32) = (60, 20, 3);

/// Accepts connections until `stop`.
pub(super) async fn accept(
    listener: TcpListener,
    connections: Arc<Connections>,
    ingress: Arc<Ingress>,
    stop: CancellationToken,
) {
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, remote)) => match connections.admit(remote, ingress.knows(remote.ip())) {
                Some((place, writes)) => {
                    let patience = Patience::new(connections.limits, Instant::now());
                    let ingress = Arc::clone(&ingress);
                    tokio::spawn(serve(stream, remote, place, writes, patience, ingress, stop.clone()));
                }
                None => tracing::debug!(sip.remote = %remote, "too many connections, this one is closed"),
            },
            Err(error) => {
                // File handles may be exhausted: wait for one rather than spin.
                tracing::warn!(%error, "accepting a connection failed");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Makes a connection to `remote`, whose place is taken and may have bytes queued already.
pub(super) async fn connect(
    remote: SocketAddr,
    place: Place,
    writes: Writes,
    patience: Patience,
    ingress: Arc<Ingress>,
    stop: CancellationToken,
) {
    match timeout(CONNECT_LIMIT, TcpStream::connect(remote)).await {
        Ok(Ok(stream)) => serve(stream, remote, place, writes, patience, ingress, stop).await,
        failed => {
            let reason = failed.map_or_else(
                |_| "timed out".to_owned(),
                |result| result.err().map_or_else(String::new, |error| error.to_string()),
            );
            tracing::debug!(sip.remote = %remote, reason, "cannot connect");
            drop(place);
            // The core is gone when this fails; then nobody waits for the news.
            let _ = ingress.queue(remote.ip()).send(Arrival::Unreachable(remote)).await;
        }
    }
}

async fn serve(
    stream: TcpStream,
    remote: SocketAddr,
    place: Place,
    writes: Writes,
    patience: Patience,
    ingress: Arc<Ingress>,
    stop: CancellationToken,
) {
    // Messages are small and each one matters now.
    let _ = stream.set_nodelay(true);
    keep_alive(&stream);
    let local = stream.local_addr().unwrap_or(remote);
    let flow = Flow {
        transport: Transport::Tcp,
        channel: place.channel,
        local,
        remote,
    };
    let (read_half, write_half) = stream.into_split();
    let write_task = tokio::spawn(write(write_half, writes, place.close.clone()));
    tokio::select! {
        () = stop.cancelled() => {}
        () = place.close.cancelled() => {}
        () = read(read_half, flow, patience, &ingress, &place) => {}
    }
    place.close.cancel();
    let _ = write_task.await;
    let is_trusted = place.is_trusted();
    drop(place);
    // A stranger has neither calls nor requests that would have to know.
    if is_trusted {
        let _ = ingress.queue(remote.ip()).send(Arrival::Closed(flow)).await;
    }
}

/// A system that does not know one of these options still has the limits on idle connections.
fn keep_alive(stream: &TcpStream) {
    let descriptor = stream.as_fd();
    let (idle, interval, count) = KEEPALIVE;
    let _ = setsockopt(&descriptor, sockopt::KeepAlive, &true);
    let _ = setsockopt(&descriptor, sockopt::TcpKeepIdle, &idle);
    let _ = setsockopt(&descriptor, sockopt::TcpKeepInterval, &interval);
    let _ = setsockopt(&descriptor, sockopt::TcpKeepCount, &count);
}

/// Reads until the peer closes, or tries our patience.
async fn read(mut half: OwnedReadHalf, flow: Flow, mut patience: Patience, ingress: &Ingress, place: &Place) {
    let mut framer = Framer::default();
    let mut buffer = vec![0; READ_BYTES];
    loop {
        // Who does not take our answers asks no more. The writer ends the wait of a peer that takes nothing.
        place.writer.has_room().await;
        let deadline = patience.deadline(place.is_trusted());
        let length = match timeout_at(deadline, half.read(&mut buffer)).await {
            Ok(Ok(length)) if length > 0 => length,
            Ok(_) => return,
            // The peer may have proved a password while we waited.
            Err(_) if patience.deadline(place.is_trusted()) > deadline => continue,
            Err(_) => return,
        };
        framer.push(&buffer[..length]);
        let mut got_frame = false;
        while let Some(frame) = framer.next_frame() {
            got_frame = true;
            let arrival = match frame {
                Frame::Message(bytes) => Arrival::Message { flow, bytes },
                Frame::Unframable(head) => Arrival::Unframable { flow, head },
                // Whoever is to hear nothing is told by nothing that somebody speaks SIP here.
                Frame::Ping if ingress.is_silent && !place.is_trusted() => continue,
                Frame::Ping => {
                    // A peer that sends pings and reads no pongs is not worth a wait.
                    let _ = place.writer.queue(PONG.into());
                    continue;
                }
            };
            if ingress.queue(flow.remote.ip()).send(arrival).await.is_err() {
                return;
            }
        }
        patience.heard(Instant::now(), framer.is_midway(), got_frame);
    }
}

/// Writes what is queued; after `close`, what is left in the queue and no more.
async fn write(mut half: impl AsyncWrite + Unpin, mut writes: Writes, close: CancellationToken) {
    let all = async {
        loop {
            let next = tokio::select! {
                biased;
                next = writes.next() => next,
                () = close.cancelled() => None,
            };
            let Some((chunk, count)) = next else { break };
            if !write_chunk(&mut half, &chunk).await {
                break;
            }
            writes.taken(count);
        }
    };
    // Chunk by chunk, a peer could take its time for the whole queue.
    let too_slow = async {
        close.cancelled().await;
        tokio::time::sleep(WRITE_LIMIT).await;
    };
    tokio::select! {
        () = all => {}
        () = too_slow => {}
    }
    close.cancel();
    let _ = timeout(WRITE_LIMIT, half.shutdown()).await;
}

/// Writes all of `chunk`; false when the connection is gone, or its peer takes nothing for too long.
async fn write_chunk(half: &mut (impl AsyncWrite + Unpin), mut chunk: &[u8]) -> bool {
    while !chunk.is_empty() {
        match timeout(WRITE_LIMIT, half.write(chunk)).await {
            Ok(Ok(length)) if length > 0 => chunk = &chunk[length..],
            failed => {
                tracing::debug!(timed_out = failed.is_err(), "a peer does not take what is sent to it");
                return false;
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::super::writes;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_slow_peer_keeps_its_connection_and_one_that_takes_nothing_loses_it() {
        let (mut peer, half) = tokio::io::duplex(1_000);
        let (writer, writes) = writes::queue();
        let close = CancellationToken::new();
        let task = tokio::spawn(write(half, writes, close.clone()));
        writer.queue(vec![b'x'; 20_000].into()).expect("room");
        let begin = Instant::now();
        for _ in 0..19 {
            tokio::time::sleep(WRITE_LIMIT - Duration::from_secs(1)).await;
            peer.read_exact(&mut [0; 1_000]).await.expect("open");
            assert!(!close.is_cancelled());
        }
        assert!(begin.elapsed() > 10 * WRITE_LIMIT);
        writer.queue(vec![b'x'; 2_000].into()).expect("room");
        timeout(3 * WRITE_LIMIT, close.cancelled()).await.expect("closed");
        task.await.expect("ended");
    }
}
