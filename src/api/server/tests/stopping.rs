//! How a server stops.

use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::support::{PATIENCE, exchange, get_request, receive, rest, send, start, text, until};

#[tokio::test]
async fn running_requests_finish_and_idle_connections_close() {
    let mut server = start(|_| ()).await;
    let mut idle = server.connect().await;
    exchange(&mut idle, get_request("/")).await;
    let mut busy = server.connect().await;
    send(&mut busy, get_request("/wait")).await;
    let mut http2 = server.http2().await;
    let request = Request::get("https://localhost/wait")
        .body(Body::empty())
        .expect("a request");
    let waiting = http2.send_request(request);
    let mut half = server.tcp().await;
    until("waiting", || server.rooms.reached() == 3).await;
    server.stop.cancel();
    assert!(rest(&mut idle).await.is_empty());
    assert!(rest(&mut half).await.is_empty(), "a handshake is not waited for");
    until("closed", || std::net::TcpStream::connect(server.address).is_err()).await;
    assert!(!server.task.is_finished());
    server.rooms.answers.add_permits(2);
    let answer = receive(&mut busy).await;
    assert!(answer.body == "waited" && answer.closes());
    assert_eq!(text(waiting.await.expect("an answer")).await, "waited");
    drop(busy);
    timeout(PATIENCE, &mut server.task)
        .await
        .expect("stopped")
        .expect("no panic");
    assert_eq!(server.metrics.connections_open(), 0);
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off() {
    let mut server = start(|settings| settings.limits.drain = Duration::from_millis(200)).await;
    let mut busy = server.connect().await;
    send(&mut busy, get_request("/never")).await;
    let mut http2 = server.http2().await;
    let request = Request::get("https://localhost/never")
        .body(Body::empty())
        .expect("a request");
    let waiting = http2.send_request(request);
    until("waiting", || server.rooms.reached() == 2).await;
    server.stop.cancel();
    timeout(PATIENCE, &mut server.task)
        .await
        .expect("stopped")
        .expect("no panic");
    assert!(rest(&mut busy).await.is_empty());
    waiting.await.expect_err("cut off");
    assert_eq!(server.metrics.connections_open(), 0, "nothing runs any more");
}

#[tokio::test]
async fn a_client_that_only_listens_does_not_delay_it() {
    let mut server = start(|_| ()).await;
    let _http2 = server.http2().await;
    let stream = server.connect().await;
    // It keeps its end open, whatever it is told.
    let raw: TcpStream = stream.into_inner().0;
    until("both", || server.metrics.connections_open() == 2).await;
    server.stop.cancel();
    timeout(Duration::from_secs(5), &mut server.task)
        .await
        .expect("stopped")
        .expect("no panic");
    drop(raw);
}

#[tokio::test]
async fn whoever_drops_it_ends_it() {
    let server = start(|_| ()).await;
    let mut stream = server.connect().await;
    exchange(&mut stream, get_request("/")).await;
    server.task.abort();
    assert!(rest(&mut stream).await.is_empty());
    until("gone", || server.metrics.connections_open() == 0).await;
}
