//! Attacks on RTP, and far ends that move (checklist 4.8 and section 5).

use std::net::SocketAddr;

use super::harness::{Bench, MS, REMOTE, agreed, playlist, socket, tone};
use crate::telephony::media::{Command, MAX_PACKET_LEN, MediaEvent, PlaybackId, Port, SessionConfig};
use crate::telephony::rtp::Header;
use crate::telephony::rtp::rtcp::{MAX_LEN, Report};
use crate::telephony::sdp::{Direction, Negotiated};

const STRANGER: &str = "198.51.100.66:6666";

#[test]
fn forged_packets_from_elsewhere_redirect_nothing_and_press_no_key() {
    let mut bench = Bench::new();
    bench.receive(0, &[0xff; 160]);
    for n in 0..500u16 {
        // The right SSRC, sequence and payload as well as wrong ones.
        for ssrc in [77, 4_242] {
            let header = Header {
                payload_type: 101,
                sequence: 1_002 + n,
                timestamp: 999,
                ssrc,
                marker: true,
            };
            bench.receive_packet(STRANGER, &header, &[5, 10, 0, 160]);
        }
        bench.receive(0, &[0xff; 160]);
        assert_eq!(bench.tick().expect("a packet").to, socket(REMOTE));
    }
    assert_eq!(bench.events(), []);
    let stats = bench.session.stats();
    assert_eq!((stats.strangers, stats.latch_changes), (1_000, 0));
}

#[test]
fn a_far_end_behind_a_nat_is_followed() {
    let mut bench = Bench::with(SessionConfig::default(), agreed("10.1.2.3:30000"));
    for _ in 0..6 {
        bench.receive_from("203.0.113.5:61000", 0, &[0xff; 160]);
        bench.tick();
    }
    assert_eq!(bench.tick().expect("a packet").to, socket("203.0.113.5:61000"));
    let stats = bench.session.stats();
    assert_eq!((stats.latch_changes, stats.host_changes), (1, 0));
}

/// Nothing is sent for a while: on hold, in a pause with comfort noise, with a packet now and then that keeps a NAT open.
#[test]
fn whoever_streams_while_the_caller_is_silent_hears_nothing() {
    type Sign = fn(&mut Bench);
    let signs: [(&str, Sign); 5] = [
        ("on hold, nothing", |_| {}),
        ("comfort noise", |bench| bench.receive(13, &[60])),
        ("a payload that nobody knows", |bench| bench.receive(126, &[])),
        ("a STUN binding indication", |bench| {
            let datagram = [
                0, 0x11, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
            ];
            bench
                .session
                .handle_datagram(Port::Rtp, socket(REMOTE), &datagram, bench.now);
        }),
        ("RTCP", |bench| {
            let report = [0x80, 201, 0, 1, 0, 0, 0, 77];
            bench
                .session
                .handle_datagram(Port::Rtcp, socket("192.0.2.9:30001"), &report, bench.now);
        }),
    ];
    for (at, (name, sign)) in signs.into_iter().enumerate() {
        let mut bench = Bench::new();
        bench.receive(0, &[0xff; 160]);
        if at == 0 {
            bench.command(Command::Reconfigure(Box::new(Negotiated {
                direction: Direction::Inactive,
                ..agreed(REMOTE)
            })));
        }
        for n in 0..600u16 {
            if n % 95 == 0 {
                sign(&mut bench);
            }
            let header = Header {
                sequence: n,
                ssrc: 9,
                ..Header::default()
            };
            bench.receive_packet(STRANGER, &header, &[0xff; 160]);
            bench.tick();
        }
        bench.command(Command::Reconfigure(Box::new(agreed(REMOTE))));
        let stats = bench.session.stats();
        assert_eq!((stats.strangers, stats.latch_changes), (600, 0), "{name}");
        assert_eq!(bench.tick().expect("a packet").to, socket(REMOTE), "{name}");
    }
}

#[test]
fn another_host_in_mid_call_is_told_and_the_caller_takes_the_audio_back() {
    let mut bench = Bench::new();
    bench.receive(0, &[0xff; 160]);
    bench.ticks(102);
    for n in 0..25 {
        bench.receive_packet(
            STRANGER,
            &Header {
                sequence: n,
                ssrc: 9,
                ..Header::default()
            },
            &[0xff; 160],
        );
        bench.tick();
    }
    let stranger = socket(STRANGER);
    assert_eq!(bench.tick().expect("a packet").to, stranger);
    assert_eq!(bench.events(), [MediaEvent::AnotherHost(stranger.ip())]);
    for _ in 0..5 {
        bench.receive(0, &[0xff; 160]);
        bench.tick();
    }
    assert_eq!(bench.tick().expect("a packet").to, socket(REMOTE));
    assert_eq!(bench.events(), [MediaEvent::AnotherHost(socket(REMOTE).ip())]);
    assert_eq!(bench.session.stats().host_changes, 2);
}

/// Where our next report goes.
fn reports_to(bench: &mut Bench) -> SocketAddr {
    let mut buffer = [0; MAX_PACKET_LEN];
    for _ in 0..400 {
        bench.tick();
        if let Some(transmit) = bench.session.poll_rtcp(bench.now, &mut buffer) {
            return transmit.to;
        }
    }
    panic!("eight seconds without a report");
}

#[test]
fn our_reports_go_where_those_about_the_stream_come_from_and_no_stray_one_moves_them() {
    let mut bench = Bench::new();
    let report = |bench: &mut Bench, from: &str, ssrc: u8| {
        let bytes = [0x80, 201, 0, 1, 0, 0, 0, ssrc];
        bench
            .session
            .handle_datagram(Port::Rtcp, socket(from), &bytes, bench.now);
    };
    report(&mut bench, "192.0.2.9:9", 77);
    bench.receive(0, &[0xff; 160]);
    report(&mut bench, "192.0.2.9:9", 78);
    report(&mut bench, STRANGER, 77);
    assert_eq!(reports_to(&mut bench), socket("192.0.2.9:30001"));
    let stats = bench.session.stats();
    assert_eq!((stats.rtcp_received, stats.strangers), (0, 3));
    report(&mut bench, "192.0.2.9:7777", 77);
    assert_eq!(reports_to(&mut bench), socket("192.0.2.9:7777"));
    assert_eq!(bench.session.stats().rtcp_received, 1);
}

#[test]
fn the_source_port_may_change_in_mid_call() {
    let mut bench = Bench::new();
    bench.receive(0, &[0xff; 160]);
    bench.ticks(500);
    for _ in 0..6 {
        bench.receive_from("192.0.2.9:31000", 0, &[0xff; 160]);
        bench.tick();
    }
    assert_eq!(bench.tick().expect("a packet").to, socket("192.0.2.9:31000"));
    bench.receive_from("192.0.2.9:31000", 101, &[5, 10, 0, 160]);
    // Packets before it proved the new source and were not taken themselves: the key waits in case they were keys.
    bench.ticks(6);
    assert_eq!(bench.events().len(), 1);
}

#[test]
fn another_ssrc_keeps_the_call() {
    let mut bench = Bench::new();
    bench.receive(0, &[0xff; 160]);
    bench.ssrc = 78;
    for _ in 0..3 {
        bench.receive(0, &[0xff; 160]);
    }
    bench.receive_key(5);
    assert_eq!(bench.events().len(), 1);
    assert_eq!(bench.session.stats().received.ssrc_changes, 1);
}

#[test]
fn our_ssrc_in_their_packets_changes_ours() {
    let mut bench = Bench::new();
    let ours = bench.tick().expect("a packet").header.ssrc;
    bench.ssrc = ours;
    bench.receive(0, &[0xff; 160]);
    assert_ne!(bench.tick().expect("a packet").header.ssrc, ours);
    let mut buffer = [0; MAX_LEN];
    let transmit = bench.session.poll_rtcp(bench.now, &mut buffer).expect("at once");
    let bytes = &buffer[..transmit.len];
    assert_eq!(
        bytes[bytes.len() - 8..bytes.len() - 4],
        [0x81, 203, 0, 1],
        "BYE for the old one"
    );
    assert_eq!(bytes[bytes.len() - 4..], ours.to_be_bytes());
    assert_eq!(bench.session.poll_rtcp(bench.now, &mut buffer), None, "once");
}

#[test]
fn our_ssrc_in_their_reports_changes_ours_and_an_echo_is_not_followed_for_ever() {
    let mut bench = Bench::new();
    let mut seen = Vec::new();
    for _ in 0..50 {
        let ours = bench.tick().expect("a packet").header.ssrc;
        if !seen.contains(&ours) {
            seen.push(ours);
        }
        let mut report = vec![0x80, 201, 0, 1];
        report.extend(ours.to_be_bytes());
        bench
            .session
            .handle_datagram(Port::Rtcp, socket("192.0.2.9:30001"), &report, bench.now);
    }
    assert_eq!(
        seen.len(),
        1 + 8,
        "the far end sends back what we send: no other SSRC would help"
    );
}

#[test]
fn a_key_behind_csrcs_an_extension_and_padding_counts() {
    let mut bench = Bench::new();
    let mut datagram = vec![0xb2, 0x80 | 101, 0, 7, 0, 0, 0, 160, 0, 0, 0, 77];
    datagram.extend([0xaa; 8]); // two CSRCs
    datagram.extend([0xbe, 0xde, 0, 1, 0x10, 0xff, 0, 0]); // a header extension of one word
    datagram.extend([5, 10, 0, 160]);
    datagram.extend([0, 0, 0, 4]); // padding
    bench
        .session
        .handle_datagram(Port::Rtp, socket(REMOTE), &datagram, bench.now);
    assert_eq!(bench.events().len(), 1);
}

#[test]
fn an_rtcp_bye_ends_nothing() {
    let mut bench = Bench::new();
    bench.command(Command::Play(PlaybackId(1), playlist(vec![tone(100 * MS)])));
    let mut buffer = [0; MAX_LEN];
    let report = Report {
        ssrc: 77,
        sender: None,
        block: None,
        cname: "x",
        goodbye: true,
    };
    let len = report.write(&mut buffer).expect("room");
    for from in ["192.0.2.9:30001", "198.51.100.66:30001"] {
        bench
            .session
            .handle_datagram(Port::Rtcp, socket(from), &buffer[..len], bench.now);
    }
    assert!(!bench.tick().expect("a packet").is_silent());
    let stats = bench.session.stats();
    assert_eq!((stats.rtcp_goodbyes, stats.strangers), (1, 1));
}

#[test]
fn odd_datagrams_are_counted_and_no_more() {
    let mut bench = Bench::new();
    let stun = [0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    for datagram in [&[][..], &[0x80], &stun, b"hello", &[0xff; 1_500]] {
        bench
            .session
            .handle_datagram(Port::Rtp, socket(REMOTE), datagram, bench.now);
        bench
            .session
            .handle_datagram(Port::Rtcp, socket(REMOTE), datagram, bench.now);
    }
    assert_eq!(bench.session.stats().invalid, 10);
    bench.receive(101, &[5, 10]); // an event that is too short
    bench.receive(13, &[60]);
    bench.receive(18, &[0; 20]);
    let stats = bench.session.stats();
    assert_eq!((stats.invalid, stats.comfort_noise, stats.unknown_payloads), (11, 1, 1));
    assert_eq!(bench.events(), []);
}

#[test]
fn pinned_networks_hold_for_the_signalled_address_as_well() {
    let pinned = ["203.0.113.0/24".parse().expect("network")].into();
    let mut bench = Bench::with(
        SessionConfig {
            pinned,
            ..SessionConfig::default()
        },
        agreed(REMOTE),
    );
    bench.receive_key(5);
    assert_eq!(bench.events(), []);
    assert_eq!(bench.tick(), None, "nothing is sent there either");
    for _ in 0..6 {
        bench.receive_from("203.0.113.7:4000", 0, &[0xff; 160]);
        bench.tick();
    }
    assert_eq!(bench.tick().expect("a packet").to, socket("203.0.113.7:4000"));
}

#[test]
fn agreed_payloads_may_change_in_mid_stream() {
    let mut bench = Bench::new();
    for payload_type in [0, 8, 0, 13, 8] {
        bench.receive(payload_type, &[0xd5; 160]);
    }
    let stats = bench.session.stats();
    assert_eq!(
        (stats.received.received, stats.received.lost, stats.unknown_payloads),
        (5, 0, 0)
    );
}
