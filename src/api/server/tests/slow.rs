//! Clients that take their time: with the handshake, a head, a body, an answer, or with nothing at all.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{sleep, timeout};

use super::support::{Client, PATIENCE, Running, exchange, get_request, receive, rest, send, start, until};

const MS: Duration = Duration::from_millis(1);

/// Byte by byte, for as long as somebody listens.
async fn drip<W: AsyncWrite + Unpin>(writer: &mut W, bytes: &[u8]) {
    for byte in bytes {
        if writer.write_all(&[*byte]).await.is_err() || writer.flush().await.is_err() {
            return;
        }
        sleep(MS * 20).await;
    }
}

#[tokio::test]
async fn a_handshake_has_an_end() {
    let server = start(|settings| settings.limits.handshake = MS * 200).await;
    let (mut reader, mut writer) = server.tcp().await.into_split();
    // The beginning of a ClientHello of 512 bytes.
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3][..], &[0; 400]].concat();
    tokio::select! {
        () = drip(&mut writer, &hello) => panic!("nobody ended it"),
        told = rest(&mut reader) => assert!(told.is_empty()),
    }
    until("counted", || server.metrics.handshakes_late.count() == 1).await;
}

#[tokio::test]
async fn a_head_has_an_end() {
    let server = start(|settings| settings.limits.head = MS * 200).await;
    let mut stream = server.connect().await;
    // The first one in time, the next one not.
    exchange(&mut stream, get_request("/")).await;
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let endless = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}", "y".repeat(900));
    let answer = tokio::select! {
        () = drip(&mut writer, endless.as_bytes()) => panic!("nobody ended it"),
        answer = receive(&mut reader) => answer,
    };
    assert_eq!((answer.status, answer.problem()), (408, "head-too-late"));
    assert!(answer.closes() && rest(&mut reader).await.is_empty());
    assert_eq!(server.metrics.requests_head_late.count(), 1);
}

#[tokio::test]
async fn a_body_has_an_end() {
    let server = start(|settings| settings.limits.body = MS * 200).await;
    let mut stream = server.connect().await;
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    send(
        &mut writer,
        "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n",
    )
    .await;
    let answer = tokio::select! {
        () = drip(&mut writer, &[b'x'; 900]) => panic!("nobody ended it"),
        answer = receive(&mut reader) => answer,
    };
    assert_eq!((answer.status, answer.problem()), (408, "body-too-late"));
    assert!(answer.closes() && rest(&mut reader).await.is_empty());
    assert_eq!(server.metrics.requests_body_late.count(), 1);
}

#[tokio::test]
async fn an_answer_has_an_end() {
    let server = start(|settings| settings.limits.request = MS * 200).await;
    let mut stream = server.connect().await;
    let answer = exchange(&mut stream, get_request("/never")).await;
    assert_eq!((answer.status, answer.problem()), (503, "answer-too-late"));
    assert_eq!(
        exchange(&mut stream, get_request("/")).await.status,
        200,
        "the connection is as good as before"
    );
}

#[tokio::test]
async fn an_idle_connection_is_closed_without_a_word() {
    let server = start(|settings| settings.limits.idle = MS * 300).await;
    let mut fresh = server.connect().await;
    let mut used = server.connect().await;
    exchange(&mut used, get_request("/")).await;
    let mut http2 = server.http2().await;
    assert!(rest(&mut fresh).await.is_empty() && rest(&mut used).await.is_empty());
    until("all", || server.metrics.cut_idle.count() == 3).await;
    timeout(PATIENCE, async {
        while http2.ready().await.is_ok() {
            sleep(MS).await
        }
    })
    .await
    .expect("closed");
}

#[tokio::test]
async fn a_running_request_is_not_idle() {
    let server = start(|settings| settings.limits.idle = MS * 100).await;
    let mut stream = server.connect().await;
    send(&mut stream, get_request("/wait")).await;
    until("waiting", || server.rooms.reached() == 1).await;
    sleep(MS * 300).await;
    server.rooms.answers.add_permits(1);
    assert_eq!(receive(&mut stream).await.body, "waited");
}

#[tokio::test]
async fn an_old_connection_is_made_anew() {
    let server = start(|settings| settings.limits.age = MS * 300).await;
    let mut stream = server.connect().await;
    exchange(&mut stream, get_request("/")).await;
    send(&mut stream, get_request("/wait")).await;
    until("waiting", || server.rooms.reached() == 2).await;
    sleep(MS * 400).await;
    server.rooms.answers.add_permits(1);
    assert!(receive(&mut stream).await.closes());
    assert!(rest(&mut stream).await.is_empty());
}

/// A client whose system takes little ahead, and that is about to be sent very much.
async fn asked_for_much(server: &Running) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("a small buffer");
    let tcp = socket.connect(server.address).await.expect("a connection");
    let mut stream = server.handshake(Client::default(), tcp).await.expect("a handshake");
    send(&mut stream, get_request("/endless")).await;
    stream.into_inner().0
}

#[tokio::test]
async fn who_takes_nothing_of_an_answer_is_cut_off() {
    let server = start(|settings| settings.limits.write = MS * 300).await;
    let _stream = asked_for_much(&server).await;
    until("cut", || server.metrics.cut_not_reading.count() == 1).await;
    until("closed", || server.metrics.connections_open() == 0).await;
}

#[tokio::test]
async fn who_takes_a_byte_at_a_time_is_cut_off() {
    let server = start(|settings| settings.limits.write = MS * 300).await;
    let mut stream = asked_for_much(&server).await;
    let sip = async {
        while stream.read_u8().await.is_ok() {
            sleep(MS * 20).await;
        }
    };
    tokio::select! {
        () = sip => {}
        () = until("cut", || server.metrics.cut_not_reading.count() == 1) => {}
    }
    until("closed", || server.metrics.connections_open() == 0).await;
}

#[tokio::test]
async fn who_takes_just_enough_has_no_more_time_than_others() {
    let server = start(|settings| {
        settings.limits.write = MS * 400;
        settings.limits.request = MS * 400;
    })
    .await;
    let mut stream = asked_for_much(&server).await;
    let mut buffer = vec![0; 64 * 1024];
    let gulp = async {
        while stream.read(&mut buffer).await.is_ok_and(|count| count > 0) {
            sleep(MS * 10).await;
        }
    };
    timeout(PATIENCE, gulp).await.expect("cut");
    until("counted", || server.metrics.cut_not_reading.count() == 1).await;
}
