//! TCP: accepting, connecting, reading, writing.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::connections::{Connections, Place};
use super::{Arrival, Ingress};
use crate::telephony::sip::framing::{Frame, Framer, PONG};
use crate::telephony::sip::transport::{Flow, Transport};

/// How long a connection of ours may take to be made. Time for one SYN to be lost; a large request goes on as a datagram
/// then, while a stop of the program still waits for its answer.
const CONNECT_LIMIT: Duration = Duration::from_secs(2);
/// How long a peer may take to read what was queued for it, one message at a time.
const WRITE_LIMIT: Duration = Duration::from_secs(5);
/// Bytes read at once.
const READ_BYTES: usize = 8 * 1024;

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
                Some(place) => {
                    tokio::spawn(serve(
                        stream,
                        remote,
                        place,
                        Arc::clone(&connections),
                        Arc::clone(&ingress),
                        stop.clone(),
                    ));
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
    connections: Arc<Connections>,
    ingress: Arc<Ingress>,
    stop: CancellationToken,
) {
    match timeout(CONNECT_LIMIT, TcpStream::connect(remote)).await {
        Ok(Ok(stream)) => serve(stream, remote, place, connections, ingress, stop).await,
        failed => {
            let reason = failed.map_or_else(
                |_| "timed out".to_owned(),
                |result| result.err().map_or_else(String::new, |error| error.to_string()),
            );
            tracing::debug!(sip.remote = %remote, reason, "cannot connect");
            connections.release(place.channel);
            // The core is gone when this fails; then nobody waits for the news.
            let _ = ingress.queue(remote.ip()).send(Arrival::Unreachable(remote)).await;
        }
    }
}

async fn serve(
    stream: TcpStream,
    remote: SocketAddr,
    place: Place,
    connections: Arc<Connections>,
    ingress: Arc<Ingress>,
    stop: CancellationToken,
) {
    let Place {
        channel,
        writes,
        writer,
        close,
    } = place;
    // Messages are small and each one matters now.
    let _ = stream.set_nodelay(true);
    let local = stream.local_addr().unwrap_or(remote);
    let flow = Flow {
        transport: Transport::Tcp,
        channel,
        local,
        remote,
    };
    let (read_half, write_half) = stream.into_split();
    let write_task = tokio::spawn(write(write_half, writes, close.clone()));
    tokio::select! {
        () = stop.cancelled() => {}
        () = close.cancelled() => {}
        () = read(read_half, flow, &connections, &ingress, &writer) => {}
    }
    close.cancel();
    connections.release(channel);
    let _ = write_task.await;
    let _ = ingress.queue(remote.ip()).send(Arrival::Closed(flow)).await;
}

/// Reads until the peer closes, stays silent, or stalls in the middle of a message.
async fn read(
    mut half: OwnedReadHalf,
    flow: Flow,
    connections: &Connections,
    ingress: &Ingress,
    writer: &mpsc::Sender<Arc<[u8]>>,
) {
    let limits = connections.limits;
    let idle = if ingress.knows(flow.remote.ip()) {
        limits.idle_trunk
    } else {
        limits.idle_stranger
    };
    let queue = ingress.queue(flow.remote.ip());
    let mut framer = Framer::default();
    let mut buffer = vec![0; READ_BYTES];
    let mut deadline = Instant::now() + idle;
    loop {
        let Ok(Ok(length)) = timeout_at(deadline, half.read(&mut buffer)).await else {
            return;
        };
        if length == 0 {
            return;
        }
        let was_midway = framer.is_midway();
        framer.push(&buffer[..length]);
        let mut got_frame = false;
        while let Some(frame) = framer.next_frame() {
            got_frame = true;
            let arrival = match frame {
                Frame::Message(bytes) => Arrival::Message { flow, bytes },
                Frame::Unframable(head) => Arrival::Unframable { flow, head },
                Frame::Ping => {
                    // A peer that sends pings and reads no pongs is not worth a wait.
                    let _ = writer.try_send(PONG.into());
                    continue;
                }
            };
            if queue.send(arrival).await.is_err() {
                return;
            }
        }
        // The time for a message runs from its first byte, however slowly the others come.
        deadline = match (framer.is_midway(), was_midway && !got_frame) {
            (true, true) => deadline,
            (true, false) => Instant::now() + limits.message,
            (false, _) => Instant::now() + idle,
        };
    }
}

/// Writes what is queued; after `close`, what is left in the queue and no more.
async fn write(mut half: OwnedWriteHalf, mut writes: mpsc::Receiver<Arc<[u8]>>, close: CancellationToken) {
    loop {
        let bytes = tokio::select! {
            biased;
            bytes = writes.recv() => bytes,
            () = close.cancelled() => None,
        };
        let Some(bytes) = bytes else { break };
        if !matches!(timeout(WRITE_LIMIT, half.write_all(&bytes)).await, Ok(Ok(()))) {
            break;
        }
    }
    close.cancel();
    let _ = timeout(WRITE_LIMIT, half.shutdown()).await;
}
