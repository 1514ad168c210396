//! Attacks on the running program: what is sent, what is seen.
//!
//! | | attack | seen | test |
//! |---|---|---|---|
//! | 1 | svmap, svwar, svcrack, sipsak; REGISTER, OPTIONS, INVITE to numbers that exist and that do not | nothing found; the same bytes; silence where it is configured; few answers per network | [`scanners_find_nothing`]; `endpoint::tests::strangers` |
//! | 2 | floods of INVITE, OPTIONS, REGISTER and garbage from many sources | bounded memory, the call in progress goes on, trunks get in | [`a_flood_of_strangers_leaves_calls_and_honest_callers_alone`]; `endpoint::tests::limits`, `admission` |
//! | 3 | small requests with a forged source | answers of at most twice the bytes, none of them repeated | `endpoint::tests::strangers` |
//! | 4 | lengths that lie, endless heads, 200 Vias, NUL, bare CR, no UTF-8, slow bytes, 10,000 idle connections | 400, 505, or that connection is closed; others notice nothing; limits per network and in all | [`bad_streams_cost_only_themselves`], [`ten_thousand_idle_connections_leave_the_door_open`]; `driver::{tests, patience, connections}`, `framing`, `endpoint::tests::limits` |
//! | 5 | credentials again, with another number, another body, a lower count, a nonce of another trunk, auth-int | refused, and told apart by nobody | [`credentials_count_once`]; `digest` |
//! | 6 | BYE, CANCEL, re-INVITE, INFO, REFER, UPDATE from a stranger, from another trunk, with guessed tags | 403, 481; the call goes on | [`forged_requests_and_packets_leave_a_call_alone`]; `endpoint::tests::{in_dialog, limits}` |
//! | 7 | SDP: 1,000 media lines, an attribute of 60 kB, port 0, a port of ours, a third party, multicast, another network | refused, or no packet before that host was heard | [`media_goes_to_nobody_who_did_not_ask`]; `sdp::address` |
//! | 8 | RTP from elsewhere with the right and a wrong SSRC, keys and audio; RTCP BYE | no key counts, no sound goes elsewhere, the call goes on | [`forged_requests_and_packets_leave_a_call_alone`]; `stolen_audio`, `media::latch`, `media::tests::latching` |
//! | 9 | a person's number in From and P-Asserted-Identity | asked for ID and answers like everybody | [`forged_requests_and_packets_leave_a_call_alone`]; `endpoint::tests::incoming` |
//! | 10 | enumeration by keypad, locking out on purpose, hanging up before the lock counts, two calls for one person, 200 keys at once, `*` and A to D, keys in the wrong state | the same prompts and delays; each round is charged before it is asked; keys are dropped or counted, never a harm | [`two_hundred_keys_at_once_do_no_harm`]; `calls::an_unknown_number_hears_what_everybody_hears`, `crash`, `identity::lockout`, `service::tests::{lockout, visit}`, `dialplan::interpreter` |
//! | 11 | INFO bodies, events, credentials, SDES keys and numbers at the loudest log level | in no file, log, record, recording or metric | `canary`; `endpoint::tests::leaks`, `trace` |

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use passline::call::phone::{Dialling, PhoneError};
use passline::secret::Secret;
use passline::telephony::sip::Credentials;
use passline::telephony::sip::digest;
use passline::telephony::sip::message::Method;

use crate::support::block_on;
use crate::support::caller::Caller;
use crate::support::server::{House, Server, Settings};
use crate::support::wire::{SDP, Stream, Wire, WireCall, field, in_dialog, request, sdp, status};

/// Calls come from 127.0.0.1; everybody else of 127.0.0.0/8 is a stranger.
const TRUNK: &str = "networks = [\"127.0.0.1/32\"]\nmax_calls = 50\ncalls_per_second = 1000\n\
                     [[called]]\nnumber = \"100\"\ndialplan = \"reset\"\n";

fn house() -> House {
    House::new(&Settings {
        trunk: Some(TRUNK),
        ..Settings::default()
    })
}

/// Runs a scanner against the server and gives what it says; some of them never end when they hear nothing.
fn scan(house: &House, server: &Server, program: &str, arguments: &[&str]) -> String {
    let target = format!("udp://{}", server.udp);
    let target = if program == "svmap" { "127.0.0.1" } else { &target };
    let port = server.udp.port().to_string();
    let mut command = Command::new("timeout");
    command.args(["6", program]).args(arguments);
    if program == "svmap" {
        command.args(["-p", &port]);
    }
    let output = command
        .arg(target)
        .env("HOME", house.path())
        .output()
        .expect("sipvicious is installed: scripts/setup test");
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// Scanners come from 127.0.0.1 and cannot be told otherwise: here the trunk is elsewhere.
#[test]
fn scanners_find_nothing() {
    for (sip, is_silent) in [("", false), ("strangers = \"silence\"\n", true)] {
        let house = House::new(&Settings {
            trunk: Some(&TRUNK.replace("127.0.0.1/32", "127.0.1.0/24")),
            sip,
            ..Settings::default()
        });
        let server = house.serve();
        let scans: &[(&str, &[&str])] = &[
            ("svmap", &[]),
            ("svwar", &["-e98-102", "--force", "--maximumtime=2"]),
            ("svwar", &["-m", "INVITE", "-e98-102", "--force", "--maximumtime=2"]),
            ("svcrack", &["-u100", "-r1-5", "--maximumtime=2"]),
        ];
        let said: Vec<String> = std::thread::scope(|scope| {
            let running: Vec<_> = scans
                .iter()
                .map(|(program, arguments)| scope.spawn(|| scan(&house, &server, program, arguments)))
                .collect();
            running.into_iter().map(|scan| scan.join().expect("a scan")).collect()
        });
        for ((program, _), said) in scans.iter().zip(&said) {
            // With an answer, svmap sees that there is somebody, and no more.
            let finds = said.contains("| 1") && (*program != "svmap" || is_silent);
            assert!(!finds && !said.contains("Traceback"), "{program}: {said}");
        }
        // The scanners take their ports one after the other; an answer for one that came too late is not found by anybody.
        let is_as_meant = |said: &str| said.contains("found nothing") == is_silent;
        let mut seen = said[0].clone();
        for _ in 0..3 {
            if !is_as_meant(&seen) {
                seen = scan(&house, &server, "svmap", &[]);
            }
        }
        assert!(is_as_meant(&seen), "{seen}");
        let sipsak = Command::new("timeout")
            .args(["2", "sipsak", "-s", &format!("sip:100@{}", server.udp)])
            .output();
        let sipsak = sipsak.expect("sipsak is installed: scripts/setup test");
        assert!(!sipsak.status.success(), "{sipsak:?}");
        if is_silent {
            let stranger = Wire::on("127.66.0.1");
            stranger.send(server.udp, request("OPTIONS", stranger.address(), "", ""));
            server.wait_for_log("127.66.0.1");
            assert_eq!(stranger.drain(), 0);
        }
        // The trunk is served all the same.
        let trunk = Wire::on("127.0.1.1");
        assert_eq!(trunk.ask(server.udp, &request("OPTIONS", trunk.address(), "", "")), 200);
        assert!(server.calls().is_empty());
    }
}

#[test]
fn a_flood_of_strangers_leaves_calls_and_honest_callers_alone() {
    let house = house();
    let server = house.serve();
    let mut caller = Caller::dial(&server);
    caller.hear_something();
    let before = resident_kib(&server);
    let over = AtomicBool::new(false);
    let answers = std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            let sources: Vec<Wire> = (0..100).map(|n| Wire::on(&format!("127.66.{n}.1"))).collect();
            let mut sent = 0_u32;
            while !over.load(Ordering::Relaxed) || sent < 20_000 {
                for wire in &sources {
                    let method = ["INVITE", "OPTIONS", "REGISTER", "BYE"][sent as usize % 4];
                    match sent % 5 {
                        0 => wire.send(server.udp, [0xf7; 1_200]),
                        _ => wire.send(server.udp, request(method, wire.address(), "", "")),
                    }
                    sent += 1;
                }
                // About 20,000 a second, so that the senders do not take the cores themselves.
                std::thread::yield_now();
            }
            sources.iter().map(Wire::drain).sum::<usize>()
        });
        for _ in 0..3 {
            let mut honest = Caller::dial(&server);
            honest.hear_something();
            honest.hang_up();
        }
        over.store(true, Ordering::Relaxed);
        flood.join().expect("a flood")
    });
    // 400 at once and 200 a second, for as long as the flood lasted.
    assert!(answers < 4_000, "{answers}");
    let grown = resident_kib(&server).saturating_sub(before);
    assert!(grown < 100 * 1_024, "{grown} KiB");
    let report = caller.hang_up();
    assert!(report.lost * 50 <= report.received, "{report:?}");
    server.wait_until_idle();
    crate::support::wait_for("the count", std::time::Duration::from_secs(10), || {
        (server.metric("passline_sip_messages_throttled_total") > 1_000).then_some(())
    });
}

fn resident_kib(server: &Server) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).expect("it runs");
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .expect("a size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn bad_streams_cost_only_themselves() {
    let house = house();
    let server = house.serve();
    let tcp = server.tcp.expect("it listens");
    let mut good = Stream::to(tcp);
    let from: SocketAddr = ([127, 0, 0, 1], 5_060).into();
    let options = |fields: &str| request("OPTIONS", from, fields, "").replace("SIP/2.0/UDP", "SIP/2.0/TCP");
    let no_length = |length: &str| options("").replace("Content-Length: 0", length);
    // Byte by byte, and many in one segment.
    for byte in options("").as_bytes() {
        good.send([*byte]);
    }
    assert_eq!(good.status(), Some(200));
    good.send((0..50).map(|_| no_length("Content-Length : 0")).collect::<String>());
    for _ in 0..50 {
        assert_eq!(good.status(), Some(200));
    }
    let bad: Vec<(&str, Vec<u8>, Option<u16>, bool)> = vec![
        (
            "a negative length",
            no_length("Content-Length: -1").into(),
            Some(400),
            true,
        ),
        (
            "a huge length",
            no_length("l: 18446744073709551615").into(),
            Some(400),
            true,
        ),
        ("two lengths", options("Content-Length: 7\r\n").into(), Some(400), true),
        (
            "a length that is too short",
            [no_length("Content-Length: 4"), options("")].join("fourv=0\r\n").into(),
            Some(415),
            true,
        ),
        (
            "no end",
            [options("").as_bytes(), &[b'x'; 70_000]].concat(),
            Some(200),
            true,
        ),
        (
            "a head of 64 kB",
            options(&format!("Subject: {}\r\n", "x".repeat(66_000))).into(),
            None,
            true,
        ),
        (
            "a field of 60 kB",
            options(&format!("Subject: {}\r\n", "x".repeat(60_000))).into(),
            Some(400),
            false,
        ),
        (
            "200 Vias",
            options(&"Via: SIP/2.0/TCP a;branch=z9hG4bKx\r\n".repeat(200)).into(),
            Some(400),
            false,
        ),
        (
            "another version",
            options("").replace("127.0.0.1 SIP/2.0", "127.0.0.1 SIP/9.0").into(),
            Some(505),
            false,
        ),
        ("a NUL", options("Subject: \0\r\n").into(), Some(400), false),
        ("a bare CR", options("Subject: a\rb\r\n").into(), Some(400), true),
        ("a bare LF", options("Subject: a\nb\r\n").into(), Some(400), true),
        (
            "a length behind a bare LF",
            no_length("Subject: a\nContent-Length: 0").into(),
            Some(400),
            true,
        ),
        (
            "a NUL in a length",
            no_length("Content-Length: 0\0").into(),
            Some(400),
            true,
        ),
        (
            "LF line ends",
            options("").replace("\r\n", "\n").into(),
            Some(400),
            true,
        ),
        (
            "no version",
            options("").replacen(" SIP/2.0", "", 1).into(),
            Some(400),
            true,
        ),
        ("HTTP", "GET / HTTP/1.1\r\nHost: pbx\r\n\r\n".into(), None, true),
        (
            "tabs in the start line",
            options("").replacen(" SIP/2.0", "\tSIP/2.0", 1).into(),
            Some(400),
            false,
        ),
        (
            "two From",
            options("From: <sip:x@y>;tag=z\r\n").into(),
            Some(400),
            false,
        ),
        (
            "an unknown method",
            options("").replace("OPTIONS", "FLY").into(),
            Some(501),
            false,
        ),
        (
            "no UTF-8",
            options("Subject: #\r\n")
                .bytes()
                .map(|byte| if byte == b'#' { 0xff } else { byte })
                .collect(),
            Some(400),
            false,
        ),
    ];
    for (name, bytes, answer, closes) in bad {
        let mut stream = Stream::to(tcp);
        stream.send(&bytes);
        assert_eq!(stream.status(), answer, "{name}");
        if closes {
            assert!(
                answer.is_none() || stream.status().is_none(),
                "{name}: the connection stays"
            );
        } else {
            assert!(stream.is_alive(), "{name}: the connection is gone");
        }
        assert!(good.is_alive(), "{name}");
    }
    // Half a message, and gone.
    Stream::to(tcp).send("OPTIONS sip:100@x SIP/2.0\r\nVia: ");
    good.send(options(""));
    assert_eq!(good.status(), Some(200));
}

#[test]
fn ten_thousand_idle_connections_leave_the_door_open() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("a limit");
    setrlimit(Resource::RLIMIT_NOFILE, hard.max(soft), hard).expect("raised");
    let count = usize::try_from(hard)
        .unwrap_or(usize::MAX)
        .saturating_sub(1_000)
        .min(10_000);
    let house = house();
    let server = house.serve();
    let tcp = server.tcp.expect("it listens");
    let idle = block_on(async {
        let mut idle = Vec::new();
        for n in 0..count {
            let (network, host) = (n / 4, n % 4 + 1);
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            let source = format!("127.{}.{}.{host}:0", 66 + network / 256, network % 256);
            socket.bind(source.parse().expect("an address")).expect("bound");
            idle.extend(socket.connect(tcp).await);
        }
        idle
    });
    assert!(idle.len() > count / 2, "{}", idle.len());
    let handles = || {
        fs::read_dir(format!("/proc/{}/fd", server.pid()))
            .expect("it runs")
            .count()
    };
    assert!(handles() < 900, "{}", handles());
    let uri = format!("sip:100@{tcp};transport=tcp");
    let mut caller = Caller::dial_with(&uri, tcp, Dialling::default());
    caller.hear_something();
    caller.hang_up();
    // One network has four places, whatever its hosts do.
    let from_one = block_on(async {
        let mut open = Vec::new();
        for host in 1..=20 {
            let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
            socket
                .bind(format!("127.200.0.{host}:0").parse().expect("an address"))
                .expect("bound");
            let stream = socket.connect(tcp).await.expect("the listener lives");
            open.push(stream);
        }
        let mut answered = 0;
        for stream in &mut open {
            use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
            let _ = stream.write_all(b"\r\n\r\n").await;
            answered += usize::from(stream.read_exact(&mut [0; 2]).await.is_ok());
        }
        answered
    });
    assert_eq!(from_one, 4);
    drop(idle);
}

const PASSWORD: &str = "correct-horse-staple";

#[test]
fn credentials_count_once() {
    let digest = format!("[digest]\nrealm = \"pbx\"\n[[digest.users]]\nname = \"u\"\npassword = \"{PASSWORD}\"\n");
    let house = House::new(&Settings {
        trunk: Some(&(TRUNK.to_owned() + &digest)),
        ..Settings::default()
    });
    let server = house.serve();
    let uri = format!("sip:100@{}", server.udp);
    let credentials = |password: &str| Credentials {
        username: "u".into(),
        password: Secret::new(password.to_owned()),
    };
    let dialling = |password: &str| Dialling {
        credentials: Some(credentials(password)),
        ..Dialling::default()
    };
    let refused = Caller::try_dial(&uri, server.udp, dialling("wrong")).err();
    assert!(
        matches!(refused, Some(PhoneError::Rejected { status: 401 })),
        "{refused:?}"
    );

    let (sip, rtp) = (Wire::on("127.0.0.1"), Wire::on("127.0.0.1"));
    let invite = |fields: &str, body: &str| request("INVITE", sip.address(), &format!("{fields}{SDP}"), body);
    // The same for a number that is not there.
    let mut lengths = ["100", "999"].map(|number| {
        sip.send(
            server.udp,
            invite("", "").replace("sip:100@", &format!("sip:{number}@")),
        );
        let answer = sip.receive();
        assert_eq!(status(&answer), 401, "{answer}");
        (answer.len(), answer)
    });
    // Branch and Call-ID are numbered.
    let own = |text: &str| field(text, "Call-ID").len() + field(text, "Via").len();
    assert_eq!(lengths[0].0 - own(&lengths[0].1), lengths[1].0 - own(&lengths[1].1));
    let challenge = std::mem::take(&mut lengths[0].1);
    let challenges = challenge
        .lines()
        .filter_map(|line| line.strip_prefix("WWW-Authenticate: "));
    let good = credentials(PASSWORD);
    let value = digest::answer(challenges, &good, &Method::Invite, "sip:100@127.0.0.1", "c").expect("understood");
    let authorization = format!("Authorization: {value}\r\n");
    sip.send(server.udp, invite(&authorization, &sdp(rtp.address())));
    let answer = sip.receive();
    assert_eq!(status(&answer), 200, "{answer}");
    let thief = Wire::on("127.0.0.1");
    let call = WireCall::answered(sip, rtp, server.udp, &answer);
    // The same again, for media elsewhere.
    let replay = request(
        "INVITE",
        thief.address(),
        &format!("{authorization}{SDP}"),
        &sdp(thief.address()),
    );
    thief.send(server.udp, &replay);
    let answer = thief.receive();
    assert!(status(&answer) == 401 && answer.contains("stale=true"), "{answer}");
    assert_eq!(server.calls().len(), 1);
    call.bye();
    server.wait_until_idle();
}

#[test]
fn forged_requests_and_packets_leave_a_call_alone() {
    let house = house();
    fs::write(
        house.path().join("trunks/other.toml"),
        TRUNK.replace("127.0.0.1/32", "127.0.2.0/24"),
    )
    .expect("written");
    let server = house.serve();
    // 4711 is the number of a person; whoever shows it is asked like everybody.
    let shown = "P-Asserted-Identity: <sip:4711@127.0.0.1>\r\n";
    let mut call = WireCall::dial(server.udp, "127.0.0.1", shown);
    server.wait_for_step("ask_identity");

    let key = "Content-Type: application/dtmf-relay\r\n";
    let forgeries = |from: SocketAddr, to: &str| -> Vec<String> {
        let forged = |method, fields, body| in_dialog(method, from, &call.call_id, to, 77, fields, body);
        vec![
            forged("BYE", "", ""),
            forged("INVITE", SDP, &sdp(from)),
            forged("UPDATE", SDP, &sdp(from)),
            forged("INFO", key, "Signal=#\r\n"),
            forged("REFER", "Refer-To: <sip:thief@127.0.0.66>\r\n", ""),
            forged("CANCEL", "", ""),
        ]
    };
    for (ip, expected) in [("127.66.0.1", 403), ("127.0.2.1", 481)] {
        let thief = Wire::on(ip);
        for forgery in forgeries(thief.address(), &call.to) {
            assert_eq!(thief.ask(server.udp, &forgery), expected, "{forgery}");
            if forgery.starts_with("INVITE") {
                // Else the refusal is repeated.
                let ack = forgery.replace("INVITE", "ACK").replace(SDP, "");
                thief.send(server.udp, ack);
            }
        }
    }
    // From the right address, with tags that were guessed.
    let guess = Wire::on("127.0.0.1");
    for forgery in forgeries(guess.address(), "<sip:100@127.0.0.1>;tag=0123456789abcdef") {
        assert_eq!(guess.ask(server.udp, &forgery), 481, "{forgery}");
        guess.send(server.udp, forgery.replace("INVITE", "ACK").replace(SDP, ""));
    }
    call.hear();

    // The caller has sent some audio, and others continue it, or begin a stream of their own.
    for packet in call.packets(7, &[]) {
        call.rtp.send(call.media, packet);
    }
    let thief = Wire::on("127.66.0.1");
    for ssrc in [7, 8] {
        for packet in call.packets(ssrc, &[4, 7, 1, 1, 11]) {
            thief.send(call.media, packet);
        }
    }
    let control = SocketAddr::new(call.media.ip(), call.media.port() + 1);
    for from in [&thief, &call.rtp] {
        from.send(control, [0x81, 203, 0, 1, 0, 0, 0, 7]);
    }
    call.hear();
    assert_eq!(thief.drain(), 0, "sound goes where it went");
    let steps: Vec<_> = server.calls().iter().map(|call| call["step"].clone()).collect();
    assert_eq!(steps, ["ask_identity"]);
    // The caller's own keys count.
    for packet in call.packets(7, &[4, 7, 1, 1, 11]) {
        call.rtp.send(call.media, packet);
        std::thread::yield_now();
    }
    server.wait_for_step("ask_question");
    call.bye();
    server.wait_until_idle();
}

#[test]
fn media_goes_to_nobody_who_did_not_ask() {
    let house = house();
    let server = house.serve();
    let victim = Wire::on("127.0.0.9");
    let caller = Wire::on("127.0.0.1");
    let good = sdp(caller.address());
    let at = |address: &str| sdp(address.parse().expect("an address"));
    let bombs = [
        ("multicast", at("239.1.1.1:40000"), 488),
        ("broadcast", at("255.255.255.255:40000"), 488),
        ("another network", at("192.0.2.1:40000"), 488),
        ("a privileged port", at("127.0.0.9:53"), 488),
        ("our own SIP port", sdp(server.udp), 488),
        ("port 0", at("127.0.0.1:0"), 488),
        (
            "1,000 lines",
            format!("{good}{}", "m=audio 9 RTP/AVP 0\r\n".repeat(1_000)),
            400,
        ),
        (
            "an attribute of 60 kB",
            format!("{good}a=x:{}\r\n", "y".repeat(60_000)),
            400,
        ),
        ("no SDP", "v=0\r\nx".to_owned(), 400),
    ];
    for (name, body, expected) in bombs {
        let wire = Wire::on("127.0.0.1");
        let text = request("INVITE", wire.address(), SDP, &body);
        assert_eq!(wire.ask(server.udp, &text), expected, "{name}");
        wire.send(
            server.udp,
            text.replace("INVITE", "ACK")
                .replace(SDP, "")
                .split("\r\n\r\n")
                .next()
                .unwrap_or_default()
                .to_owned()
                + "\r\n\r\n",
        );
    }
    // Media for somebody else is agreed on, and waits until that one was heard.
    let (sip, unused) = (Wire::on("127.0.0.1"), Wire::on("127.0.0.1"));
    sip.send(
        server.udp,
        request("INVITE", sip.address(), SDP, &sdp(victim.address())),
    );
    let answer = sip.receive();
    assert_eq!(status(&answer), 200, "{answer}");
    let aimed = WireCall::answered(sip, unused, server.udp, &answer);
    let honest = WireCall::dial(server.udp, "127.0.0.1", "");
    for _ in 0..5 {
        honest.hear();
    }
    assert_eq!((victim.drain(), server.calls().len()), (0, 2));
    aimed.bye();
    honest.bye();
    server.wait_until_idle();
}

/// Within one packet time no telephone sends more than a key; this one sends two hundred, with keys that no flow has.
#[test]
fn two_hundred_keys_at_once_do_no_harm() {
    let house = house();
    let server = house.serve();
    let mut call = WireCall::dial(server.udp, "127.0.0.1", "");
    server.wait_for_step("ask_identity");
    for n in 0..200 {
        let key = ["1", "*", "A", "D", "0", "16", "Flash", ""][n % 8];
        let info = call.request(
            "INFO",
            "Content-Type: application/dtmf-relay\r\n",
            &format!("Signal={key}\r\n"),
        );
        call.sip.send(server.udp, info);
    }
    for _ in 0..200 {
        assert_eq!(status(&call.sip.receive()), 200);
    }
    call.hear();
    assert_eq!(server.calls().len(), 1);
    call.bye();
    server.wait_until_idle();
    assert!(!server.log().contains("panicked"));
}
