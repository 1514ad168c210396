//! HTTP/1 on the wire: what is refused, and in which order things come.

use super::support::{Running, exchange, get_request, receive, rest, send, start};

/// Sends a request with a second one behind it, and gives the problem; the second one must never be read.
async fn refused(server: &Running, request: &str) -> String {
    let mut stream = server.connect().await;
    let reached = server.rooms.reached();
    send(&mut stream, format!("{request}{}", get_request("/"))).await;
    let answer = receive(&mut stream).await;
    assert!(answer.closes(), "{answer:?}");
    assert!(rest(&mut stream).await.is_empty(), "nothing is answered after it");
    assert_eq!(server.rooms.reached(), reached, "{request}");
    format!("{} {}", answer.status, answer.problem())
}

#[tokio::test]
async fn a_request_with_two_lengths_is_refused_and_the_connection_closed() {
    let server = start(|_| ()).await;
    for fields in [
        "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: 5\r\nContent-Length: 5\r\n",
        "Content-Length: 5, 5\r\n",
        "Content-Length : 5\r\n",
        "Transfer-Encoding: chunked\r\n X: folded\r\n",
    ] {
        let request = format!("POST /echo HTTP/1.1\r\nHost: a\r\n{fields}\r\n0\r\n\r\n");
        assert_eq!(refused(&server, &request).await, "400 malformed-request", "{fields}");
    }
    let coding = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n";
    assert_eq!(refused(&server, coding).await, "501 unknown-transfer-coding");
    assert_eq!(server.metrics.requests_malformed.count(), 8);
}

#[tokio::test]
async fn what_is_no_request_is_refused() {
    let server = start(|_| ()).await;
    for (request, told) in [
        ("nonsense\r\n\r\n", "400 malformed-request"),
        ("GET / HTTP/1.1\r\n\r\n", "400 malformed-request"),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "400 malformed-request"),
        ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", "400 malformed-request"),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "505 unknown-version"),
        ("GET / HTTP/3.0\r\n\r\n", "505 unknown-version"),
    ] {
        assert_eq!(refused(&server, request).await, told, "{request:?}");
    }
}

#[tokio::test]
async fn a_head_is_of_limited_size() {
    let server = start(|_| ()).await;
    let with = |fields: String| format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n");
    let long = with(format!("X: {}\r\n", "x".repeat(16 * 1024)));
    assert_eq!(refused(&server, &long).await, "431 head-too-large");
    let endless = format!("GET /{}", "x".repeat(20_000));
    assert_eq!(refused(&server, &endless).await, "431 head-too-large");
    let many = with("X: y\r\n".repeat(64));
    assert_eq!(refused(&server, &many).await, "431 head-too-large");
    let mut stream = server.connect().await;
    let just = with("X: y\r\n".repeat(63));
    assert_eq!(exchange(&mut stream, just).await.status, 200);
    let just = with(format!("X: {}\r\n", "x".repeat(16_000)));
    assert_eq!(exchange(&mut stream, just).await.status, 200);
    assert_eq!(server.metrics.requests_head_large.count(), 3);
}

#[tokio::test]
async fn a_body_is_of_limited_size_and_a_route_may_allow_more() {
    let server = start(|_| ()).await;
    let fixed = |path: &str, length: usize| {
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n{}",
            "x".repeat(length)
        )
    };
    let chunked = |path: &str, chunks: usize| {
        let chunk = format!("1000\r\n{}\r\n", "x".repeat(4_096));
        format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
            chunk.repeat(chunks)
        )
    };
    for (request, status) in [
        (fixed("/echo", 65_536), 200),
        (fixed("/echo", 65_537), 413),
        (fixed("/echo", 1_000_000), 413),
        (chunked("/echo", 16), 200),
        (chunked("/echo", 17), 413),
        (fixed("/large-echo", 100_000), 200),
        (fixed("/large-echo", 100_001), 413),
        (chunked("/large-echo", 24), 200),
    ] {
        let mut stream = server.connect().await;
        let (mut reader, mut writer) = tokio::io::split(&mut stream);
        // Nobody waits for an answer before all is sent; so it must arrive nevertheless.
        let (answer, _) = tokio::join!(receive(&mut reader), async {
            use tokio::io::AsyncWriteExt as _;
            let _ = writer.write_all(request.as_bytes()).await;
            let _ = writer.flush().await;
        });
        assert_eq!(answer.status, status, "{}", &request[..60]);
        if status == 413 {
            assert_eq!(answer.problem(), "body-too-large");
            assert!(answer.closes());
        }
    }
    assert_eq!(server.metrics.requests_body_large.count(), 4);
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_told() {
    let server = start(|_| ()).await;
    let mut stream = server.connect().await;
    let request = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcdeX";
    let answer = exchange(&mut stream, request).await;
    assert_eq!((answer.status, answer.problem()), (400, "malformed-body"));
    assert!(rest(&mut stream).await.is_empty());
}

#[tokio::test]
async fn requests_in_a_row_are_answered_in_order() {
    let server = start(|_| ()).await;
    let mut stream = server.connect().await;
    let post = |body: &str| {
        format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let deaf = "POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nxyz";
    let row = [
        &post("one"),
        chunked,
        &get_request("/"),
        deaf,
        &post("two"),
        &get_request("/wait"),
        &post("three"),
    ]
    .concat();
    send(&mut stream, row).await;
    server.rooms.answers.add_permits(1);
    for body in ["one", "abc", "hello", "not read", "two", "waited", "three"] {
        let answer = receive(&mut stream).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, body));
    }
}

/// RFC 9112, section 9.6: a client that is not told would lose its next request.
#[tokio::test]
async fn an_answer_before_the_end_of_the_body_says_that_it_is_the_last() {
    let server = start(|_| ()).await;
    let mut stream = server.connect().await;
    let deaf = "POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 3000\r\n\r\nxyz";
    let answer = exchange(&mut stream, deaf).await;
    assert_eq!(answer.body, "not read");
    assert!(answer.closes());
}

#[tokio::test]
async fn a_refusal_waits_for_the_answers_before_it() {
    let server = start(|_| ()).await;
    let mut stream = server.connect().await;
    send(&mut stream, format!("{}GET / HTTP/1.1\r\n\r\n", get_request("/wait"))).await;
    super::support::until("waiting", || server.rooms.reached() == 1).await;
    server.rooms.answers.add_permits(1);
    assert_eq!(receive(&mut stream).await.body, "waited");
    assert_eq!(receive(&mut stream).await.problem(), "malformed-request");
    assert!(rest(&mut stream).await.is_empty());
}

#[tokio::test]
async fn what_asks_for_a_tunnel_is_refused_and_trace_is_a_method_like_any_other() {
    let server = start(|_| ()).await;
    let tunnel = "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n";
    assert_eq!(refused(&server, tunnel).await, "501 method-not-implemented");
    let mut stream = server.connect().await;
    let answer = exchange(&mut stream, "TRACE / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
}

#[tokio::test]
async fn an_upgrade_is_ignored() {
    let server = start(|_| ()).await;
    let mut stream = server.connect().await;
    for protocol in ["websocket", "h2c"] {
        let fields = format!("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: \r\n");
        let answer = exchange(&mut stream, format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).await;
        assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
    }
}

#[tokio::test]
async fn a_client_may_wait_before_it_sends_a_body() {
    let server = start(|_| ()).await;
    let mut stream = server.connect().await;
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(exchange(&mut stream, head).await.status, 100);
    assert_eq!(exchange(&mut stream, "abc").await.body, "abc");
    let large = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 999999\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(
        exchange(&mut stream, large).await.problem(),
        "body-too-large",
        "and need not send it"
    );
}

#[tokio::test]
async fn the_answer_to_head_has_no_body() {
    let server = start(|_| ()).await;
    let mut stream = server.connect().await;
    send(&mut stream, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\n\r\n").await;
    let told = String::from_utf8(rest(&mut stream).await).expect("text");
    assert!(
        told.starts_with("HTTP/1.1 200") && told.contains("HTTP/1.1 400"),
        "{told}"
    );
    assert!(
        told.ends_with("\r\n\r\n") && !told.contains("hello") && !told.contains('{'),
        "{told}"
    );
}
