//! Whom a request is from: the gate, the PROXY protocol, X-Forwarded-For.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use super::support::{Client, Running, exchange, get_request, rest, send, start};
use crate::network_list::NetworkList;

const CLIENTS: [&str; 2] = ["192.0.2.0/24", "2001:db8::/32"];

fn list(texts: &[&str]) -> NetworkList {
    NetworkList::parse(texts).expect("networks")
}

/// A server behind a proxy on loopback, for clients of documentation networks.
async fn behind_proxy(proxy_protocol: bool) -> Running {
    start(|settings| {
        settings.trusted_proxies = list(&["127.0.0.1"]);
        settings.proxy_protocol = proxy_protocol;
        settings.gate = Arc::new(list(&CLIENTS));
        settings.limits.handshake = Duration::from_millis(400);
    })
    .await
}

fn header(command: u8, source: IpAddr) -> Vec<u8> {
    let mut bytes = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    match source {
        IpAddr::V4(source) => {
            bytes.extend([command, 0x11, 0, 12]);
            bytes.extend(source.octets());
            bytes.extend(Ipv4Addr::LOCALHOST.octets());
        }
        IpAddr::V6(source) => {
            bytes.extend([command, 0x21, 0, 36]);
            bytes.extend(source.octets());
            bytes.extend(Ipv6Addr::LOCALHOST.octets());
        }
    }
    bytes.extend([0xc0, 0, 0x20, 0xfb]);
    bytes
}

async fn asked(server: &Running, header: &[u8], request: &str) -> std::io::Result<String> {
    let mut tcp = server.tcp().await;
    // In two pieces, the second of them together with TLS.
    let (first, second) = header.split_at(header.len().min(14));
    send(&mut tcp, first).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    send(&mut tcp, second).await;
    let mut stream = server.handshake(Client::default(), tcp).await?;
    let answer = exchange(&mut stream, request).await;
    Ok(format!("{} {}", answer.status, answer.body))
}

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

#[tokio::test]
async fn a_trusted_proxy_names_its_client_in_a_header_before_tls() {
    let server = behind_proxy(true).await;
    for client in ["192.0.2.7", "2001:db8::7"] {
        let told = asked(&server, &header(0x21, ip(client)), &get_request("/peer")).await;
        assert_eq!(told.expect("an answer"), format!("200 {client} none"));
    }
    let own = asked(&server, &header(0x20, ip("0.0.0.0")), &get_request("/peer")).await;
    assert_eq!(
        own.expect("an answer"),
        "200 127.0.0.1 none",
        "a check of the proxy's own"
    );
    let spoofed = "GET /peer HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.99\r\n\r\n";
    let told = asked(&server, &header(0x21, ip("192.0.2.7")), spoofed).await;
    assert_eq!(told.expect("an answer"), "200 192.0.2.7 none", "the client is no proxy");
}

#[tokio::test]
async fn the_gate_is_asked_for_the_client_that_the_proxy_names() {
    let server = behind_proxy(true).await;
    asked(&server, &header(0x21, ip("198.51.100.7")), &get_request("/"))
        .await
        .expect_err("closed");
    assert_eq!(server.metrics.refused_by_gate.count(), 1);
    assert_eq!(server.metrics.handshakes_failed.count(), 0, "before TLS");
}

#[tokio::test]
async fn a_trusted_proxy_must_send_the_header() {
    let server = behind_proxy(true).await;
    server.connect_as(Client::default()).await.expect_err("no header");
    let mut silent = server.tcp().await;
    send(&mut silent, &header(0x21, ip("192.0.2.7"))[..15]).await;
    assert!(rest(&mut silent).await.is_empty());
    assert_eq!(server.metrics.refused_proxy_header.count(), 2);
}

#[tokio::test]
async fn nobody_else_may_send_the_header() {
    for (trusted, proxy_protocol) in [("192.0.2.9", true), ("127.0.0.1", false)] {
        let server = start(|settings| {
            settings.trusted_proxies = list(&[trusted]);
            settings.proxy_protocol = proxy_protocol;
        })
        .await;
        asked(&server, &header(0x21, ip("192.0.2.7")), &get_request("/"))
            .await
            .expect_err("no TLS");
        assert_eq!(server.metrics.handshakes_failed.count(), 1);
        let answer = exchange(&mut server.connect().await, get_request("/peer")).await;
        assert_eq!(answer.body, "127.0.0.1 none");
    }
}

async fn forwarded(server: &Running, lines: &str) -> String {
    let request = format!("GET /peer HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    let answer = exchange(&mut server.connect().await, request).await;
    let told = if answer.status == 200 {
        &answer.body
    } else {
        answer.problem()
    };
    format!("{} {told}", answer.status)
}

#[tokio::test]
async fn a_trusted_proxy_names_its_client_in_each_request() {
    let server = behind_proxy(false).await;
    for (lines, told) in [
        ("X-Forwarded-For: 203.0.113.66, 192.0.2.7\r\n", "200 192.0.2.7 none"),
        (
            "X-Forwarded-For: 203.0.113.66\r\nX-Forwarded-For: [2001:db8::7]:443, 127.0.0.1\r\n",
            "200 2001:db8::7 none",
        ),
        ("", "200 127.0.0.1 none"),
        ("X-Forwarded-For: unknown\r\n", "400 unknown-client-address"),
        ("X-Forwarded-For: 192.0.2.7,\r\n", "400 unknown-client-address"),
        ("X-Forwarded-For: 198.51.100.7\r\n", "403 address-not-allowed"),
        ("Forwarded: for=192.0.2.7\r\n", "200 127.0.0.1 none"),
    ] {
        assert_eq!(forwarded(&server, lines).await, told, "{lines}");
    }
    assert_eq!(server.metrics.requests_unattributed.count(), 2);
    assert_eq!(server.metrics.requests_refused_by_gate.count(), 1);
}

#[tokio::test]
async fn whoever_is_no_trusted_proxy_names_nobody() {
    let server = start(|_| ()).await;
    assert_eq!(
        forwarded(&server, "X-Forwarded-For: 192.0.2.7\r\n").await,
        "200 127.0.0.1 none"
    );
    assert_eq!(
        forwarded(&server, "X-Forwarded-For: nonsense\r\n").await,
        "200 127.0.0.1 none"
    );
}

#[tokio::test]
async fn from_where_nobody_may_come_there_is_no_handshake() {
    let server = start(|settings| settings.gate = Arc::new(list(&CLIENTS))).await;
    server.connect_as(Client::default()).await.expect_err("closed");
    assert_eq!(server.metrics.refused_by_gate.count(), 1);
    assert_eq!(server.metrics.connections_accepted.count(), 0);
}
