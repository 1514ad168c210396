//! Certificates of the server that are replaced while it runs, and certificates of clients.

use std::fs;
use std::process::Command;

use tokio::io::AsyncReadExt as _;

use super::support::{
    Authority, Client, Files, Identity, Running, TLS_1_2, TLS_1_3, exchange, get_request, rest, send, start,
    start_with, until,
};
use crate::api::server::{CertificateFingerprint, Server, ServerError, Settings, TlsFiles};

/// What a new connection is shown.
async fn shown(server: &Running) -> String {
    let stream = server.connect().await;
    let chain = stream.get_ref().1.peer_certificates().expect("a certificate");
    CertificateFingerprint::of(&chain[0]).to_string()
}

fn fingerprint(identity: &Identity) -> String {
    CertificateFingerprint::of(&identity.chain()[0]).to_string()
}

#[tokio::test]
async fn a_new_certificate_is_shown_to_new_connections_and_old_ones_go_on() {
    let server = start(|_| ()).await;
    let mut old = server.connect().await;
    let new = server.files.authority.issue("localhost");
    assert_ne!(shown(&server).await, fingerprint(&new));
    server.files.write(&new);
    until("reloaded", || server.metrics.certificates_reloaded.count() > 0).await;
    assert_eq!(shown(&server).await, fingerprint(&new));
    let answer = exchange(&mut old, get_request("/")).await;
    assert!(answer.status == 200 && !answer.closes());
}

#[tokio::test]
async fn links_may_be_turned_to_other_files() {
    let files = Files::new();
    let [first, second] = [(); 2].map(|()| files.authority.issue("localhost"));
    for (name, identity) in [("1", &first), ("2", &second)] {
        files.put(&format!("cert{name}.pem"), &identity.certificate);
        files.put(&format!("privkey{name}.pem"), &identity.key);
    }
    let folder = files.folder.path().to_owned();
    let turn = move |to: &str| {
        for (link, file) in [
            ("certificate.pem", format!("cert{to}.pem")),
            ("key.pem", format!("privkey{to}.pem")),
        ] {
            fs::remove_file(folder.join(link)).expect("removed");
            std::os::unix::fs::symlink(file, folder.join(link)).expect("a link");
        }
    };
    turn("1");
    let server = start_with(files, |_| ()).await;
    assert_eq!(shown(&server).await, fingerprint(&first));
    turn("2");
    until("reloaded", || server.metrics.certificates_reloaded.count() == 1).await;
    assert_eq!(shown(&server).await, fingerprint(&second));
}

#[tokio::test]
async fn what_cannot_be_used_stays_aside_until_it_can() {
    let server = start(|_| ()).await;
    let first = shown(&server).await;
    let new = server.files.authority.issue("localhost");
    let is_told = |times| {
        let metrics = server.metrics.clone();
        until("told", move || metrics.certificates_unusable.count() == times)
    };
    // A certificate without its key, a key without its certificate, half a file, none.
    server.files.put("certificate.pem", &new.certificate);
    is_told(1).await;
    assert_eq!(shown(&server).await, first);
    server.files.put("certificate.pem", &new.certificate[..100]);
    is_told(2).await;
    fs::remove_file(server.files.folder.path().join("certificate.pem")).expect("removed");
    is_told(3).await;
    assert_eq!(shown(&server).await, first);
    server.files.write(&new);
    until("reloaded", || server.metrics.certificates_reloaded.count() == 1).await;
    assert_eq!(shown(&server).await, fingerprint(&new));
    assert_eq!(server.metrics.certificates_unusable.count(), 3, "each told once");
}

#[tokio::test]
async fn one_that_has_had_its_time_does_not_take_the_place_of_one_that_is_valid() {
    let server = start(|_| ()).await;
    let first = shown(&server).await;
    let old = server
        .files
        .authority
        .issue_until("localhost", rcgen::date_time_ymd(2020, 1, 1));
    server.files.write(&old);
    until("told", || server.metrics.certificates_unusable.count() == 1).await;
    assert_eq!(shown(&server).await, first);
    let new = server.files.authority.issue("localhost");
    server.files.write(&new);
    until("reloaded", || server.metrics.certificates_reloaded.count() == 1).await;
    assert_eq!(shown(&server).await, fingerprint(&new));
}

/// A server that knows clients of an authority.
async fn with_clients() -> (Running, Authority) {
    let files = Files::new();
    let clients = Authority::new("the clients' authority");
    files.put("client_ca.pem", &clients.pem);
    (start_with(files, |_| ()).await, clients)
}

fn as_client(identity: &Identity) -> Client<'_> {
    Client {
        identity: Some(identity),
        ..Client::default()
    }
}

#[tokio::test]
async fn a_client_is_known_by_its_certificate() {
    let (server, clients) = with_clients().await;
    let ivr = clients.issue("ivr.example.com");
    for versions in [TLS_1_2, TLS_1_3] {
        let client = Client {
            versions,
            ..as_client(&ivr)
        };
        let mut stream = server.connect_as(client).await.expect("a handshake");
        let answer = exchange(&mut stream, get_request("/peer")).await;
        assert_eq!(answer.body, format!("127.0.0.1 {}", fingerprint(&ivr)));
    }
    let answer = exchange(&mut server.connect().await, get_request("/peer")).await;
    assert_eq!(answer.body, "127.0.0.1 none", "none need be shown");
}

#[tokio::test]
async fn a_certificate_that_nobody_here_has_signed_is_refused() {
    let (server, clients) = with_clients().await;
    let stranger = Authority::new("the clients' authority").issue("ivr.example.com");
    // In TLS 1.3 a client learns of it when it reads.
    let mut stream = server
        .connect_as(as_client(&stranger))
        .await
        .expect("the client's half");
    send(&mut stream, get_request("/peer")).await;
    stream.read_u8().await.expect_err("an alert");
    let client = Client {
        versions: TLS_1_2,
        ..as_client(&stranger)
    };
    server.connect_as(client).await.expect_err("an alert");
    assert_eq!(server.rooms.reached(), 0);
    assert_eq!(server.metrics.handshakes_failed.count(), 2);
    drop(clients);
}

#[tokio::test]
async fn an_authority_that_is_taken_away_ends_what_its_clients_have() {
    let (server, clients) = with_clients().await;
    let ivr = clients.issue("ivr.example.com");
    let mut known = server.connect_as(as_client(&ivr)).await.expect("a handshake");
    let mut busy = server.connect_as(as_client(&ivr)).await.expect("a handshake");
    let mut nobody = server.connect().await;
    exchange(&mut known, get_request("/")).await;
    exchange(&mut nobody, get_request("/")).await;
    send(&mut busy, get_request("/wait")).await;
    until("waiting", || server.rooms.reached() == 3).await;
    server
        .files
        .put("client_ca.pem", &Authority::new("another authority").pem);
    assert!(rest(&mut known).await.is_empty(), "closed without a word");
    server.rooms.answers.add_permits(1);
    let answer = super::support::receive(&mut busy).await;
    assert!(answer.body == "waited" && answer.closes(), "{answer:?}");
    assert_eq!(exchange(&mut nobody, get_request("/")).await.status, 200);
    let mut again = server.connect_as(as_client(&ivr)).await.expect("the client's half");
    send(&mut again, get_request("/")).await;
    again.read_u8().await.expect_err("not known any more");
}

#[tokio::test]
async fn an_authority_is_taken_away_also_beside_a_certificate_that_cannot_be_used() {
    let (server, clients) = with_clients().await;
    let first = shown(&server).await;
    let mut known = server
        .connect_as(as_client(&clients.issue("ivr.example.com")))
        .await
        .expect("a handshake");
    exchange(&mut known, get_request("/")).await;
    // A renewal that has gone wrong: without its key.
    let renewed = server.files.authority.issue("localhost");
    server.files.put("certificate.pem", &renewed.certificate);
    until("told", || server.metrics.certificates_unusable.count() == 1).await;
    let others = Authority::new("another authority");
    server.files.put("client_ca.pem", &others.pem);
    assert!(rest(&mut known).await.is_empty(), "closed without a word");
    assert_eq!(shown(&server).await, first);
    let other = others.issue("ivr.example.com");
    let mut stream = server.connect_as(as_client(&other)).await.expect("a handshake");
    let answer = exchange(&mut stream, get_request("/peer")).await;
    assert_eq!(answer.body, format!("127.0.0.1 {}", fingerprint(&other)));
    // And the renewal is taken when it is whole.
    server.files.write(&renewed);
    until("reloaded", || server.metrics.certificates_reloaded.count() == 1).await;
    assert_eq!(shown(&server).await, fingerprint(&renewed));
}

async fn refused(files: TlsFiles) -> String {
    let settings = Settings::new(([127, 0, 0, 1], 0).into(), files);
    let error: ServerError = Server::bind(settings).await.map(|_| ()).expect_err("cannot be used");
    error.to_string()
}

#[tokio::test]
async fn errors_name_file_and_remedy() {
    let files = Files::new();
    let tls = files.tls();
    let other = files.authority.issue("localhost");
    let good = fs::read_to_string(&tls.certificate).expect("a file");
    for (name, text, told) in [
        ("certificate.pem", "", "no certificate in"),
        ("certificate.pem", other.key.as_str(), "no certificate in"),
        ("certificate.pem", &good[..good.len() - 30], "cannot be read"),
        (
            "certificate.pem",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "cannot be read",
        ),
        (
            "certificate.pem",
            &files.authority.pem,
            "does not fit the first certificate",
        ),
        ("key.pem", "", "no private key in"),
        ("key.pem", &good, "no private key in"),
        (
            "key.pem",
            &other.key,
            "give the key that this certificate was asked for with",
        ),
        (
            "key.pem",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
            "it must be ECDSA",
        ),
        ("client_ca.pem", "", "no certificate in"),
    ] {
        let path = files.folder.path().join(name);
        let before = fs::read_to_string(&path).ok();
        files.put(name, text);
        let error = refused(files.tls()).await;
        assert!(error.contains(told) && error.contains(name), "{error}");
        match before {
            Some(before) => files.put(name, &before),
            None => fs::remove_file(path).expect("removed"),
        }
    }
    let missing = TlsFiles {
        key: files.folder.path().join("missing.pem"),
        ..files.tls()
    };
    assert!(refused(missing).await.contains("missing.pem; it must be there"));
}

#[tokio::test]
async fn keys_of_every_usual_form_are_read() {
    for (kind, convert) in [
        ("RSA:2048", &["rsa", "-traditional"][..]),
        ("RSA:2048", &["pkey"]),
        ("EC:P-256", &["ec"]),
        ("EC:P-384", &["pkey"]),
        ("ED25519", &["pkey"]),
    ] {
        let files = Files::new();
        let folder = files.folder.path();
        let openssl = |arguments: &[&str]| {
            let output = Command::new("openssl")
                .args(arguments)
                .current_dir(folder)
                .output()
                .expect("openssl runs");
            assert!(
                output.status.success(),
                "{arguments:?}: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        };
        let (algorithm, option) = kind.split_once(':').unwrap_or((kind, ""));
        let option = match algorithm {
            "RSA" => format!("rsa_keygen_bits:{option}"),
            "EC" => format!("ec_paramgen_curve:{option}"),
            _ => String::new(),
        };
        let mut generate = vec!["genpkey", "-algorithm", algorithm, "-out", "made.pem"];
        if !option.is_empty() {
            generate.extend(["-pkeyopt", &option]);
        }
        openssl(&generate);
        openssl(&[convert, &["-in", "made.pem", "-out", "key.pem"]].concat());
        openssl(&[
            "req",
            "-x509",
            "-key",
            "made.pem",
            "-out",
            "certificate.pem",
            "-subj",
            "/CN=localhost",
            "-days",
            "1",
        ]);
        let text = fs::read_to_string(folder.join("key.pem")).expect("a file");
        let settings = Settings::new(([127, 0, 0, 1], 0).into(), files.tls());
        let bound = Server::bind(settings).await.map(|_| ());
        assert!(bound.is_ok(), "{kind}, {:?}: {bound:?}", text.lines().next());
    }
}
