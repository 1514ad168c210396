//! HTTP/2: many requests at once, and clients that abuse them.

use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Version};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;

use super::support::{Client, PATIENCE, Running, start, text, until};
use crate::rate::Rate;

fn get(path: &str) -> Request<Body> {
    Request::get(format!("https://localhost{path}"))
        .body(Body::empty())
        .expect("a request")
}

#[tokio::test]
async fn requests_at_once_do_not_wait_for_each_other() {
    let server = start(|_| ()).await;
    let mut client = server.http2().await;
    let waiting = client.send_request(get("/wait"));
    for _ in 0..3 {
        let response = client.clone().send_request(get("/")).await.expect("an answer");
        assert_eq!(response.version(), Version::HTTP_2);
        assert_eq!(text(response).await, "hello");
    }
    server.rooms.answers.add_permits(1);
    assert_eq!(text(waiting.await.expect("an answer")).await, "waited");
}

#[tokio::test]
async fn limits_of_a_request_are_the_same() {
    let server = start(|settings| {
        settings.limits.request = Duration::from_millis(300);
        settings.limits.body = Duration::from_millis(200);
    })
    .await;
    let mut client = server.http2().await;
    let mut problem = async |request: Request<Body>| {
        let response = client.send_request(request).await.expect("an answer");
        let status = response.status().as_u16();
        let body: serde_json::Value = serde_json::from_str(&text(response).await).expect("JSON");
        let kind = body["type"]
            .as_str()
            .expect("a type")
            .rsplit(':')
            .next()
            .unwrap_or_default()
            .to_owned();
        format!("{status} {kind}")
    };
    let post = |body: Body| Request::post("https://localhost/echo").body(body).expect("a request");
    assert_eq!(
        problem(post(Body::from("x".repeat(65_537)))).await,
        "413 body-too-large"
    );
    let never = Body::from_stream(futures_util::stream::pending::<Result<&[u8], std::convert::Infallible>>());
    assert_eq!(problem(post(never)).await, "408 body-too-late");
    assert_eq!(problem(get("/never")).await, "503 answer-too-late");
    let mut many = get("/");
    for _ in 0..65 {
        many.headers_mut().append("x", "y".parse().expect("a value"));
    }
    assert_eq!(problem(many).await, "431 head-too-large");
    assert_eq!(server.metrics.requests_overlong.count(), 1);
}

#[tokio::test]
async fn bodies_that_come_at_once_are_not_all_held() {
    let server = start(|_| ()).await;
    let client = server.http2().await;
    let mut bodies = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let mut client = client.clone();
        // As large as may be, but for the end.
        let begun = futures_util::stream::once(async { Ok::<_, std::convert::Infallible>(vec![b'x'; 60_000]) });
        let body = Body::from_stream(futures_util::StreamExt::chain(begun, futures_util::stream::pending()));
        let request = Request::post("https://localhost/echo").body(body).expect("a request");
        bodies.spawn(async move { client.send_request(request).await.expect("an answer").status() });
    }
    let refused = bodies.join_next().await.expect("one").expect("an answer");
    assert_eq!(refused, 429);
    assert!(server.metrics.requests_bodies_crowded.count() > 0);
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let server = start(|_| ()).await;
    let mut client = server.http2().await;
    let mut long = get("/");
    for number in 0..10 {
        let name: axum::http::HeaderName = format!("x-{number}").parse().expect("a name");
        long.headers_mut()
            .insert(name, "y".repeat(2_000).parse().expect("a value"));
    }
    match client.send_request(long).await {
        Ok(response) => assert_eq!(response.status(), 431),
        Err(error) => assert!(!error.is_timeout(), "{error}"),
    }
    assert_eq!(server.rooms.reached(), 0);
}

/// Frames by hand, RFC 9113, section 4.1.
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a length").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM_AND_HEADERS: u8 = 5;

/// `:method GET`, `:scheme https`, a path, `:authority a` (RFC 7541, appendix A).
fn head(path: &str) -> Vec<u8> {
    let length = u8::try_from(path.len()).expect("a short path");
    [&[0x82, 0x87, 0x04, length], path.as_bytes(), &[0x41, 1, b'a']].concat()
}

async fn by_hand(server: &Running, settings: &[u8]) -> tokio_rustls::client::TlsStream<tokio::net::TcpStream> {
    let client = Client {
        alpn: &["h2"],
        ..Client::default()
    };
    let mut stream = server.connect_as(client).await.expect("a handshake");
    let begin = [PREFACE, &frame(SETTINGS, 0, 0, settings)].concat();
    stream.write_all(&begin).await.expect("written");
    stream
}

#[tokio::test]
async fn rapid_reset_ends_the_connection_and_nobody_elses() {
    let server = start(|settings| {
        settings.limits.cancelled = Rate {
            per_second: 1,
            burst: 50,
        };
    })
    .await;
    let mut other = server.http2().await;
    let mut attacker = by_hand(&server, &[]).await;
    let mut sent: u32 = 0;
    let abuse = async {
        loop {
            let stream = sent * 2 + 1;
            let pair = [
                frame(HEADERS, END_STREAM_AND_HEADERS, stream, &head("/never")),
                frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()),
            ];
            if attacker.write_all(&pair.concat()).await.is_err() {
                break;
            }
            sent += 1;
            if sent.is_multiple_of(20) {
                // So that the server can look at some of them.
                let _ = attacker.flush().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert!(sent < 100_000, "never ended");
        }
    };
    timeout(PATIENCE, abuse).await.expect("ended in time");
    until("closed", || server.metrics.connections_open() == 1).await;
    // How the library sees it first depends on what arrives together.
    assert!(
        server.rooms.reached() <= 1_000,
        "{} of {sent} were worked on",
        server.rooms.reached()
    );
    assert_eq!(
        text(other.send_request(get("/")).await.expect("an answer")).await,
        "hello"
    );
}

#[tokio::test]
async fn an_answer_that_nobody_takes_ends_alone() {
    let server = start(|settings| {
        settings.limits.request = Duration::from_millis(200);
        settings.limits.write = Duration::from_millis(200);
        settings.limits.ping = Duration::from_secs(60);
    })
    .await;
    // SETTINGS_INITIAL_WINDOW_SIZE is zero: the answer's body never gets leave to be sent.
    let mut stream = by_hand(&server, &[0, 4, 0, 0, 0, 0]).await;
    stream
        .write_all(&frame(HEADERS, END_STREAM_AND_HEADERS, 1, &head("/")))
        .await
        .expect("written");
    let mut kinds = Vec::new();
    timeout(PATIENCE, async {
        while !kinds.contains(&(RST_STREAM, 1)) {
            let mut header = [0; 9];
            stream.read_exact(&mut header).await.expect("a frame");
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let mut payload = vec![0; length];
            stream.read_exact(&mut payload).await.expect("a payload");
            kinds.push((
                header[3],
                u32::from_be_bytes([header[5], header[6], header[7], header[8]]),
            ));
        }
    })
    .await
    .expect("reset in time");
    assert!(
        kinds.contains(&(HEADERS, 1)) && !kinds.contains(&(DATA, 1)),
        "{kinds:?}"
    );
    assert!(!kinds.iter().any(|(kind, _)| *kind == GOAWAY), "{kinds:?}");
    assert_eq!(server.metrics.cut_not_reading.count(), 1);
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_whatever_else_it_sends() {
    let server = start(|settings| settings.limits.idle = Duration::from_millis(300)).await;
    let mut stream = by_hand(&server, &[]).await;
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    // A head that never ends, byte by byte, and nothing else is allowed between.
    let drip = async {
        let start = [0, 0, 200, HEADERS, 0, 0, 0, 0, 1, 0x82];
        let _ = writer.write_all(&start).await;
        for _ in 0..1_000 {
            tokio::time::sleep(Duration::from_millis(10)).await;
            if writer.write_all(&[0x87]).await.is_err() || writer.flush().await.is_err() {
                break;
            }
        }
    };
    let closed = async {
        let mut bytes = Vec::new();
        let _ = reader.read_to_end(&mut bytes).await;
    };
    timeout(PATIENCE, async {
        tokio::select! {
            () = drip => {}
            () = closed => {}
        }
    })
    .await
    .expect("closed");
    until("counted", || server.metrics.cut_idle.count() == 1).await;
}
