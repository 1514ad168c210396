//! The driver over real sockets on loopback.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::{Call, ConnectionLimits, IncomingCall, Listen, OutgoingCallRequest, SipConfig, SipHandle, SipStack};
use crate::secret::Secret;
use crate::telephony::sip::digest::{Credentials, answer};
use crate::telephony::sip::endpoint::{CallEvent, EndCause, EndpointConfig};
use crate::telephony::sip::message::{Message, Method, Name};
use crate::telephony::sip::transport::Transport;
use crate::telephony::sip::trunk::{Trunks, Unserved, parse};

const LOOPBACK: &str = "networks = [\"127.0.0.0/8\", \"::1\"]\ncalls_per_second = 1000\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
const LIMIT: Duration = Duration::from_secs(10);

fn start(trunk: &str, connections: ConnectionLimits) -> (SipHandle, mpsc::Receiver<IncomingCall>) {
    start_with(trunk, connections, EndpointConfig::default())
}

fn start_with(
    trunk: &str,
    connections: ConnectionLimits,
    endpoint: EndpointConfig,
) -> (SipHandle, mpsc::Receiver<IncomingCall>) {
    let listen = |transport, address: &str| Listen {
        transport,
        address: address.parse().expect("address"),
    };
    let config = SipConfig {
        listen: vec![
            listen(Transport::Udp, "127.0.0.1:0"),
            listen(Transport::Tcp, "127.0.0.1:0"),
            listen(Transport::Udp, "[::1]:0"),
            listen(Transport::Tcp, "[::1]:0"),
        ],
        trunks: Trunks::new(vec![parse("local", trunk).expect("trunk")]).expect("no clash"),
        endpoint,
        connections,
    };
    SipStack::start(config).expect("sockets on loopback")
}

fn address(handle: &SipHandle, transport: Transport, is_ipv4: bool) -> SocketAddr {
    let fits = |local: &&super::LocalAddress| local.transport == transport && local.address.is_ipv4() == is_ipv4;
    handle.local_addrs().iter().find(fits).expect("it listens").address
}

async fn event(call: &mut Call) -> CallEvent {
    timeout(LIMIT, call.next_event())
        .await
        .expect("in time")
        .expect("an event")
}

#[tokio::test]
async fn calls_work_over_both_transports_and_families() {
    let (ivr, mut incoming) = start(LOOPBACK, ConnectionLimits::default());
    let (phone, _none) = start(LOOPBACK, ConnectionLimits::default());
    for (transport, is_ipv4) in [
        (Transport::Udp, true),
        (Transport::Tcp, true),
        (Transport::Udp, false),
        (Transport::Tcp, false),
    ] {
        let target = format!("sip:100@{};transport={transport}", address(&ivr, transport, is_ipv4));
        let request = OutgoingCallRequest {
            target,
            caller: None,
            sdp: "v=0 offer".into(),
            credentials: None,
        };
        let mut ours = phone.invite(request).await.expect("placed");
        let IncomingCall { info, call: mut theirs } =
            timeout(LIMIT, incoming.recv()).await.expect("in time").expect("a call");
        assert_eq!(
            (info.offer.as_deref(), info.dialplan.as_str()),
            (Some("v=0 offer"), "reset")
        );
        assert_eq!((info.local.ip().is_loopback(), info.local.is_ipv4()), (true, is_ipv4));
        theirs.ringing().await.expect("running");
        assert_eq!(event(&mut ours).await, CallEvent::Ringing);
        theirs.answer("v=0 answer".into()).await.expect("running");
        assert_eq!(
            event(&mut ours).await,
            CallEvent::Answered {
                sdp: Some("v=0 answer".into())
            }
        );
        assert_eq!(event(&mut theirs).await, CallEvent::Acknowledged { sdp: None });
        ours.info("application/dtmf", Secret::new("5".into()))
            .await
            .expect("running");
        assert!(matches!(event(&mut theirs).await, CallEvent::Info { body, .. } if body == Secret::new("5".into())));
        theirs.reinvite("v=0 change".into()).await.expect("running");
        let CallEvent::Reinvite { id, offer } = event(&mut ours).await else {
            panic!("a change of the session")
        };
        assert_eq!(offer.as_deref(), Some("v=0 change"));
        ours.answer_reinvite(id, "v=0 changed".into()).await.expect("running");
        assert_eq!(
            event(&mut theirs).await,
            CallEvent::ReinviteAnswered {
                sdp: Some("v=0 changed".into())
            }
        );
        assert_eq!(event(&mut ours).await, CallEvent::ReinviteAccepted);
        assert_eq!(event(&mut ours).await, CallEvent::Acknowledged { sdp: None });
        if is_ipv4 {
            theirs.bye().await.expect("running")
        } else {
            drop(theirs)
        }
        assert_eq!(
            event(&mut ours).await,
            CallEvent::Ended {
                cause: EndCause::RemoteHangUp
            }
        );
        assert_eq!(ours.next_event().await, None);
    }
    assert_eq!(ivr.stats().await.expect("running").calls, 0);
    ivr.shutdown(LIMIT).await;
    phone.shutdown(LIMIT).await;
}

/// A stack that listens on one port for both transports, as trunks do.
fn start_on_one_port() -> (SipHandle, mpsc::Receiver<IncomingCall>) {
    for _ in 0..20 {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        let address = free.expect("a free port");
        let listen = |transport| Listen { transport, address };
        let config = SipConfig {
            listen: vec![listen(Transport::Udp), listen(Transport::Tcp)],
            trunks: Trunks::new(vec![parse("local", LOOPBACK).expect("trunk")]).expect("no clash"),
            endpoint: EndpointConfig::default(),
            connections: ConnectionLimits::default(),
        };
        // Somebody else may have taken the port for TCP, or meanwhile.
        if let Ok(started) = SipStack::start(config) {
            return started;
        }
    }
    panic!("no port is free for both transports");
}

/// RFC 3261 section 18.1.1, both ways: to a far end that listens on TCP too, and to one that does not.
#[tokio::test]
async fn a_large_request_is_a_call_whether_the_far_end_has_tcp_or_not() {
    let (phone, _none) = start(LOOPBACK, ConnectionLimits::default());
    let offer = format!("v=0{}", "x".repeat(1500));
    let with_tcp = start_on_one_port();
    let without = start(LOOPBACK, ConnectionLimits::default());
    for ((ivr, mut incoming), has_tcp) in [(with_tcp, true), (without, false)] {
        let request = OutgoingCallRequest {
            target: format!("sip:100@{}", address(&ivr, Transport::Udp, true)),
            caller: None,
            sdp: offer.clone(),
            credentials: None,
        };
        let mut ours = phone.invite(request).await.expect("placed");
        let IncomingCall { info, call: mut theirs } =
            timeout(LIMIT, incoming.recv()).await.expect("in time").expect("a call");
        assert_eq!(info.offer.as_deref(), Some(offer.as_str()));
        theirs.answer("v=0 answer".into()).await.expect("running");
        assert!(
            matches!(event(&mut ours).await, CallEvent::Answered { .. }),
            "TCP: {has_tcp}"
        );
        assert_eq!(event(&mut theirs).await, CallEvent::Acknowledged { sdp: None });
        theirs.bye().await.expect("running");
        assert!(matches!(event(&mut ours).await, CallEvent::Ended { .. }));
        ivr.shutdown(LIMIT).await;
    }
    phone.shutdown(LIMIT).await;
}

/// The refusal and the drop come to the core by two ways. It took the drop first when both were there, and callers heard
/// 500 instead of why they were refused.
#[tokio::test]
async fn a_call_that_is_refused_and_dropped_at_once_is_refused() {
    let (ivr, mut incoming) = start(LOOPBACK, ConnectionLimits::default());
    let (phone, _none) = start(LOOPBACK, ConnectionLimits::default());
    let request = OutgoingCallRequest {
        target: format!("sip:100@{}", address(&ivr, Transport::Udp, true)),
        caller: None,
        sdp: "v=0\r\n".to_owned(),
        credentials: None,
    };
    let mut outgoing = phone.invite(request).await.expect("sent");
    let offered = timeout(LIMIT, incoming.recv()).await.expect("in time").expect("a call");
    offered.call.reject(488, None).await.expect("the core lives");
    drop(offered);
    assert_eq!(event(&mut outgoing).await, CallEvent::Rejected { status: 488 });
}

#[tokio::test]
async fn shutdown_hangs_up_and_closes_the_doors() {
    let (ivr, mut incoming) = start(LOOPBACK, ConnectionLimits::default());
    let (phone, _none) = start(LOOPBACK, ConnectionLimits::default());
    let target = format!("sip:100@{}", address(&ivr, Transport::Udp, true));
    let request = OutgoingCallRequest {
        target,
        caller: None,
        sdp: "v=0".into(),
        credentials: None,
    };
    let mut ours = phone.invite(request.clone()).await.expect("placed");
    let theirs = timeout(LIMIT, incoming.recv())
        .await
        .expect("in time")
        .expect("a call")
        .call;
    theirs.answer("v=0".into()).await.expect("running");
    assert!(matches!(event(&mut ours).await, CallEvent::Answered { .. }));
    ivr.drain().await;
    let mut second = phone.invite(request).await.expect("placed");
    assert_eq!(event(&mut second).await, CallEvent::Rejected { status: 503 });
    ivr.shutdown(LIMIT).await;
    assert_eq!(
        event(&mut ours).await,
        CallEvent::Ended {
            cause: EndCause::RemoteHangUp
        }
    );
    assert!(timeout(LIMIT, incoming.recv()).await.expect("in time").is_none());
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_told_at_once() {
    let (phone, _none) = start(LOOPBACK, ConnectionLimits::default());
    let request = |target: &str| OutgoingCallRequest {
        target: target.into(),
        caller: None,
        sdp: "v=0".into(),
        credentials: None,
    };
    let mut call = phone
        .invite(request("sip:100@127.0.0.1:1;transport=tcp"))
        .await
        .expect("placed");
    assert_eq!(event(&mut call).await, CallEvent::Rejected { status: 503 });
    assert!(phone.invite(request("mailto:x")).await.is_err());
}

async fn read_status(stream: &mut TcpStream) -> String {
    read_head(stream)
        .await
        .split("\r\n")
        .next()
        .unwrap_or_default()
        .to_owned()
}

async fn read_head(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 2048];
    while !text.windows(4).any(|window| window == b"\r\n\r\n") {
        let length = timeout(LIMIT, stream.read(&mut buffer))
            .await
            .expect("in time")
            .expect("open");
        assert!(length > 0, "closed");
        text.extend_from_slice(&buffer[..length]);
    }
    String::from_utf8_lossy(&text).into_owned()
}

async fn is_closed(stream: &mut TcpStream) -> bool {
    let mut buffer = [0; 2048];
    loop {
        match timeout(LIMIT, stream.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => return true,
            Ok(Ok(_)) => {}
            Err(_) => return false,
        }
    }
}

fn options(branch: &str, fields: &str) -> String {
    format!(
        "OPTIONS sip:100@x SIP/2.0\r\nVia: SIP/2.0/TCP 127.0.0.1;branch=z9hG4bK{branch}\r\nMax-Forwards: 70\r\nFrom: <sip:a@b>;tag=1\r\n\
         To: <sip:100@x>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n{fields}\r\n"
    )
}

#[tokio::test]
async fn bad_messages_leave_a_good_connection_alone() {
    let (ivr, _incoming) = start(LOOPBACK, ConnectionLimits::default());
    let mut stream = TcpStream::connect(address(&ivr, Transport::Tcp, true))
        .await
        .expect("connects");
    for (text, expected) in [
        (options("1", "Content-Length : 0\r\n"), "SIP/2.0 200 OK"),
        (options("2", "no colon here\r\nl: 0\r\n"), "SIP/2.0 400 Bad Request"),
        (
            options("3", "l: 0\r\n").replace("OPTIONS", "FLY"),
            "SIP/2.0 501 Not Implemented",
        ),
        (
            options("4", "l: 0\r\n").replace("x SIP/2.0", "x SIP/7.0"),
            "SIP/2.0 505 Version Not Supported",
        ),
    ] {
        for byte in text.as_bytes().chunks(7) {
            stream.write_all(byte).await.expect("open");
        }
        assert_eq!(read_status(&mut stream).await, expected);
    }
    stream.write_all(b"\r\n\r\n").await.expect("open");
    let mut pong = [0; 2];
    timeout(LIMIT, stream.read_exact(&mut pong))
        .await
        .expect("in time")
        .expect("a pong");
    assert_eq!(&pong, b"\r\n");
    stream
        .write_all(options("5", "l: -1\r\n").as_bytes())
        .await
        .expect("open");
    assert_eq!(read_status(&mut stream).await, "SIP/2.0 400 Bad Request");
    assert!(is_closed(&mut stream).await, "no structure, no connection");
    let mut short = TcpStream::connect(address(&ivr, Transport::Tcp, true))
        .await
        .expect("the listener lives");
    let two = [options("6", "l: 4\r\n"), options("7", "l: 0\r\n")].join("four\r\nv=0\r\n");
    short.write_all(two.as_bytes()).await.expect("open");
    assert_eq!(read_status(&mut short).await, "SIP/2.0 415 Unsupported Media Type");
    assert!(is_closed(&mut short).await, "the second is lost, and its sender knows");
    let mut other = TcpStream::connect(address(&ivr, Transport::Tcp, true))
        .await
        .expect("the listener lives");
    other
        .write_all(options("8", "l: 0\r\n").as_bytes())
        .await
        .expect("open");
    assert_eq!(read_status(&mut other).await, "SIP/2.0 200 OK");
}

/// The answer to a keepalive told a scanner that somebody speaks SIP here.
#[tokio::test]
async fn strangers_who_are_to_hear_nothing_get_no_pong() {
    let elsewhere = LOOPBACK.replace("127.0.0.0/8", "127.0.0.9/32");
    for (strangers, trunk, pong) in [
        (Unserved::Silence, elsewhere.as_str(), false),
        (Unserved::Answer, &elsewhere, true),
        (Unserved::Silence, LOOPBACK, true),
    ] {
        let config = EndpointConfig {
            strangers,
            ..EndpointConfig::default()
        };
        let (ivr, _incoming) = start_with(trunk, ConnectionLimits::default(), config);
        let mut stream = TcpStream::connect(address(&ivr, Transport::Tcp, true))
            .await
            .expect("connects");
        let request = options("1", "l: 0\r\n");
        // What is no SIP closes the connection, so that the end of all answers is seen.
        let all = ["\r\n\r\n", &request, "end\r\n\r\n"].concat();
        stream.write_all(all.as_bytes()).await.expect("open");
        let mut heard = Vec::new();
        let _ = timeout(LIMIT, stream.read_to_end(&mut heard)).await.expect("closed");
        assert_eq!(
            (heard.starts_with(b"\r\n"), !heard.is_empty()),
            (pong, pong),
            "{strangers:?}"
        );
    }
}

/// Connections of trunks that sent a thousand requests in one piece were closed in the middle, though they read all answers: the
/// queue counted messages, and was full before the task that empties it had its turn.
#[tokio::test]
async fn thousands_of_requests_in_one_piece_are_all_answered() {
    const COUNT: usize = 5_000;
    let (ivr, _incoming) = start(LOOPBACK, ConnectionLimits::default());
    let stream = TcpStream::connect(address(&ivr, Transport::Tcp, true))
        .await
        .expect("connects");
    let (mut read, mut write) = stream.into_split();
    let all: String = (0..COUNT).map(|n| options(&n.to_string(), "l: 0\r\n")).collect();
    let sending = tokio::spawn(async move {
        write.write_all(all.as_bytes()).await.expect("open");
        write
    });
    let mut heard = String::new();
    let mut buffer = vec![0; 65_536];
    while heard.matches("SIP/2.0 200 OK").count() < COUNT {
        let length = timeout(LIMIT, read.read(&mut buffer))
            .await
            .expect("in time")
            .expect("open");
        assert!(length > 0, "closed after {}", heard.matches("SIP/2.0 200 OK").count());
        heard += std::str::from_utf8(&buffer[..length]).expect("text");
    }
    drop(sending.await.expect("sent"));
}

#[tokio::test]
async fn slow_and_silent_connections_are_cut_and_counted() {
    let limits = ConnectionLimits {
        per_trunk_source: 2,
        message: Duration::from_millis(200),
        idle_trunk: Duration::from_millis(400),
        ..ConnectionLimits::default()
    };
    let (ivr, _incoming) = start(LOOPBACK, limits);
    let target = address(&ivr, Transport::Tcp, true);
    let mut silent = TcpStream::connect(target).await.expect("connects");
    let mut slow = TcpStream::connect(target).await.expect("connects");
    slow.write_all(b"OPTIONS sip:x SIP/2.0\r\n").await.expect("open");
    let mut third = TcpStream::connect(target).await.expect("connects");
    assert!(is_closed(&mut third).await, "over the limit");
    assert!(is_closed(&mut slow).await);
    assert!(is_closed(&mut silent).await);
}

/// Trunks that are known by a password had their connections cut in mid-call, after the fifteen seconds that strangers get.
#[tokio::test]
async fn a_caller_with_a_password_keeps_the_connection_and_others_lose_it() {
    let trunk = "[digest]\nrealm = \"r\"\n[[digest.users]]\nname = \"u\"\npassword = \"p\"\n[[called]]\nnumber = \"*\"\ndialplan = \"reset\"\n";
    let limits = ConnectionLimits {
        idle_stranger: Duration::from_millis(600),
        stranger_lifetime: Duration::from_millis(900),
        ..ConnectionLimits::default()
    };
    let (ivr, mut incoming) = start(trunk, limits);
    let target = address(&ivr, Transport::Tcp, true);
    let mut silent = TcpStream::connect(target).await.expect("connects");
    let mut caller = TcpStream::connect(target).await.expect("connects");
    let mut talkative = TcpStream::connect(target).await.expect("connects");
    let invite = |branch: &str, fields: &str| {
        let contact = "Contact: <sip:a@127.0.0.1>\r\nl: 0\r\n";
        options(branch, &format!("{fields}{contact}")).replace("OPTIONS", "INVITE")
    };
    caller.write_all(invite("1", "").as_bytes()).await.expect("open");
    let challenge = Message::parse(read_head(&mut caller).await.as_bytes()).expect("SIP");
    assert_eq!(challenge.status(), Some(401));
    let credentials = Credentials {
        username: "u".into(),
        password: Secret::new("p".into()),
    };
    let challenges = challenge.fields(Name::WwwAuthenticate);
    let value = answer(challenges, &credentials, &Method::Invite, "sip:100@x", "c").expect("understood");
    let proved = invite("2", &format!("Authorization: {value}\r\n"));
    caller.write_all(proved.as_bytes()).await.expect("open");
    let call = timeout(LIMIT, incoming.recv()).await.expect("in time").expect("a call");
    assert!(is_closed(&mut silent).await);
    // It came after the caller, and a stranger may not stay longer, whatever it says.
    while talkative.write_all(b"\r\n\r\n").await.is_ok()
        && matches!(timeout(LIMIT, talkative.read(&mut [0; 2])).await, Ok(Ok(1..)))
    {}
    call.call.reject(486, None).await.expect("running");
    let mut heard = String::new();
    while !heard.contains("486") {
        heard = read_head(&mut caller).await;
    }
}

#[tokio::test]
async fn the_largest_datagram_is_read_and_junk_is_ignored() {
    let (ivr, _incoming) = start(LOOPBACK, ConnectionLimits::default());
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("binds");
    socket
        .connect(address(&ivr, Transport::Udp, true))
        .await
        .expect("connects");
    for junk in [
        b"".as_slice(),
        b"\r\n\r\n",
        b"\0\x01\0\0\x21\x12\xa4\x42",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        socket.send(junk).await.expect("sent");
    }
    let mut text = options("big", "").replace("127.0.0.1;", "127.0.0.1;rport;");
    text.push_str(&"x".repeat(65_507 - text.len()));
    socket.send(text.as_bytes()).await.expect("sent");
    let mut buffer = vec![0; 4096];
    let length = timeout(LIMIT, socket.recv(&mut buffer))
        .await
        .expect("in time")
        .expect("an answer");
    // A body without a type is not SDP.
    assert!(
        buffer[..length].starts_with(b"SIP/2.0 415"),
        "{}",
        String::from_utf8_lossy(&buffer[..length])
    );
}
