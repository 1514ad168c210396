//! Versions of TLS and of HTTP, and nothing without TLS.

use axum::body::Body;
use axum::http::Request;
use rustls::{HandshakeKind, ProtocolVersion};

use super::support::{Client, TLS_1_2, TLS_1_3, exchange, get_request, rest, send, start, text};

#[tokio::test]
async fn http_1_1_is_served_over_tls_1_2_and_1_3() {
    let server = start(|_| ()).await;
    for (versions, version) in [(TLS_1_2, ProtocolVersion::TLSv1_2), (TLS_1_3, ProtocolVersion::TLSv1_3)] {
        for alpn in [&["http/1.1"][..], &[]] {
            let client = Client {
                versions,
                alpn,
                ..Client::default()
            };
            let mut stream = server.connect_as(client).await.expect("a handshake");
            assert_eq!(stream.get_ref().1.protocol_version(), Some(version));
            for _ in 0..2 {
                let answer = exchange(&mut stream, get_request("/")).await;
                assert_eq!((answer.status, answer.body.as_str()), (200, "hello"));
                assert!(!answer.closes(), "the connection is kept");
            }
        }
    }
    assert_eq!(server.metrics.requests.count(), 8);
}

#[tokio::test]
async fn http_2_is_served_where_the_client_speaks_it() {
    let server = start(|_| ()).await;
    let mut client = server.http2().await;
    let request = Request::get("https://localhost/peer")
        .body(Body::empty())
        .expect("a request");
    let response = client.send_request(request).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(text(response).await, "127.0.0.1 none");
    let body = "x".repeat(60_000);
    let request = Request::post("https://localhost/echo")
        .body(Body::from(body.clone()))
        .expect("a request");
    let response = client.send_request(request).await.expect("an answer");
    assert_eq!(text(response).await, body);
}

#[tokio::test]
async fn plain_http_and_unknown_protocols_are_refused() {
    let server = start(|_| ()).await;
    let mut stream = server.tcp().await;
    send(&mut stream, get_request("/")).await;
    let told = rest(&mut stream).await;
    assert!(!told.starts_with(b"HTTP"), "{told:?}");
    let client = Client {
        alpn: &["smtp"],
        ..Client::default()
    };
    server
        .connect_as(client)
        .await
        .expect_err("no protocol in common (RFC 7301, section 3.2)");
    assert_eq!(server.rooms.reached(), 0);
    assert_eq!(server.metrics.handshakes_failed.count(), 2);
}

#[tokio::test]
async fn no_session_is_resumed() {
    let server = start(|_| ()).await;
    for versions in [TLS_1_2, TLS_1_3] {
        let client = Client {
            versions,
            ..Client::default()
        };
        // One configuration, which would remember sessions.
        let config = client.config(&server.files.authority);
        for _ in 0..3 {
            let connector = tokio_rustls::TlsConnector::from(config.clone());
            let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
            let mut stream = connector.connect(name, server.tcp().await).await.expect("a handshake");
            exchange(&mut stream, get_request("/")).await;
            let kind = stream.get_ref().1.handshake_kind();
            assert!(matches!(kind, Some(HandshakeKind::Full)), "{kind:?}");
        }
    }
}
