//! Many connections.

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tokio::io::AsyncReadExt as _;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::support::{Client, exchange, get_request, rest, send, start, until};

#[tokio::test]
async fn in_a_full_house_the_longest_idle_gives_way() {
    let server = start(|settings| settings.limits.connections = 3).await;
    let mut busy = server.connect().await;
    send(&mut busy, get_request("/wait")).await;
    until("waiting", || server.rooms.reached() == 1).await;
    let mut older = server.connect().await;
    exchange(&mut older, get_request("/")).await;
    let mut newer = server.connect().await;
    exchange(&mut newer, get_request("/")).await;
    let mut fourth = server.connect().await;
    assert!(rest(&mut older).await.is_empty(), "gone");
    for stream in [&mut newer, &mut fourth] {
        assert_eq!(exchange(stream, get_request("/")).await.status, 200);
    }
    // Now all are at work, and the next one finds no place.
    for stream in [&mut newer, &mut fourth] {
        send(stream, get_request("/wait")).await;
    }
    until("waiting", || server.rooms.reached() == 7).await;
    server.connect_as(Client::default()).await.expect_err("full");
    assert_eq!(server.metrics.refused_full.count(), 1);
    server.rooms.answers.add_permits(3);
    for stream in [&mut busy, &mut newer, &mut fourth] {
        assert_eq!(super::support::receive(stream).await.body, "waited");
    }
    assert_eq!(server.metrics.gave_way.count(), 1);
}

#[tokio::test]
async fn bodies_that_do_not_come_keep_nobody_out() {
    let server = start(|settings| settings.limits.connections = 3).await;
    let mut slow = Vec::new();
    for begun in 1..=3 {
        let mut stream = server.connect().await;
        let head = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nhalf";
        send(&mut stream, head).await;
        slow.push(stream);
        // One after the other, so that it is known who has waited for longest.
        until("begun", || server.metrics.requests.count() == begun).await;
    }
    let mut newcomer = server.connect().await;
    assert_eq!(exchange(&mut newcomer, get_request("/")).await.status, 200);
    assert_eq!(server.metrics.gave_way.count(), 1);
    // By an end or by a reset, for what it has sent was not read.
    slow[0].read_u8().await.expect_err("gone");
}

#[tokio::test]
async fn one_address_has_its_share() {
    let server = start(|settings| settings.limits.connections_per_address = 2).await;
    let first = server.connect().await;
    let mut second = server.connect().await;
    server
        .connect_as(Client::default())
        .await
        .expect_err("more than its share");
    assert_eq!(server.metrics.refused_per_address.count(), 1);
    drop(first);
    until("gone", || server.metrics.connections_open() == 1).await;
    exchange(&mut server.connect().await, get_request("/")).await;
    exchange(&mut second, get_request("/")).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_thousand_idle_connections_are_held_and_requests_served() {
    const CROWD: usize = 2_000;
    // Both ends are in this process.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, soft.max(hard.min(8_192)), hard).expect("room for files");
    let server = start(|settings| {
        settings.limits.connections = CROWD + 10;
        settings.limits.connections_per_address = CROWD + 10;
        settings.limits.idle = std::time::Duration::from_secs(120);
        settings.limits.handshake = std::time::Duration::from_secs(60);
    })
    .await;
    let config = Client::default().config(&server.files.authority);
    let mut crowd = JoinSet::new();
    let mut held = Vec::new();
    for _ in 0..CROWD {
        let (connector, address) = (TlsConnector::from(config.clone()), server.address);
        crowd.spawn(async move {
            let name = rustls::pki_types::ServerName::try_from("localhost").expect("a name");
            let tcp = tokio::net::TcpStream::connect(address).await.expect("a connection");
            connector.connect(name, tcp).await.expect("a handshake")
        });
        if crowd.len() == 64 {
            held.push(crowd.join_next().await.expect("one").expect("a connection"));
        }
    }
    held.extend(crowd.join_all().await);
    until("all", || server.metrics.connections_open() as usize == CROWD).await;
    let mut newcomer = server.connect().await;
    assert_eq!(exchange(&mut newcomer, get_request("/")).await.status, 200);
    for stream in held.iter_mut().step_by(100) {
        assert_eq!(exchange(stream, get_request("/")).await.status, 200);
    }
    drop(held);
    until("gone", || server.metrics.connections_open() == 1).await;
}
