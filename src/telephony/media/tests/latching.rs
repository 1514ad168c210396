//! Attacks on RTP, and far ends that move (checklist 4.8 and section 5).

use super::harness::{Bench, MS, REMOTE, agreed, playlist, socket, tone};
use crate::telephony::media::{Command, PlaybackId, Port, SessionConfig};
use crate::telephony::rtp::Header;
use crate::telephony::rtp::rtcp::{MAX_LEN, Report};

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
    let mut bench = Bench::new();
    for _ in 0..6 {
        bench.receive_from("203.0.113.5:61000", 0, &[0xff; 160]);
        bench.tick();
    }
    assert_eq!(bench.tick().expect("a packet").to, socket("203.0.113.5:61000"));
    assert_eq!(bench.session.stats().latch_changes, 1);
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
