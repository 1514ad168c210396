//! RTCP: from bytes, and between two sessions.

use super::harness::{Bench, MS, Pair, REMOTE, Weather, agreed, socket};
use crate::telephony::media::{Command, MAX_PACKET_LEN, Port, SessionConfig, Transmit};
use crate::telephony::rtp::rtcp::{Compound, RtcpPacket};
use crate::telephony::sdp::{Direction, Negotiated};

const FINE: Weather = Weather {
    loss: 0.0,
    duplication: 0.0,
    delay: MS,
    jitter: MS,
};

#[test]
fn loss_and_jitter_are_known_on_both_sides() {
    let weather = Weather {
        loss: 0.1,
        delay: 30 * MS,
        jitter: 15 * MS,
        ..FINE
    };
    let mut pair = Pair::new(weather, 5);
    pair.run_for(120_000 * MS);
    for end in &pair.ends {
        let stats = end.session.stats();
        let share = stats.received.lost as f64 / (stats.received.lost + stats.received.received) as f64;
        assert!((0.07..0.13).contains(&share), "{stats:?}");
        assert!((10..=40).contains(&stats.rtcp_sent), "{stats:?}");
        assert!(stats.remote_lost > 300, "{stats:?}");
        assert!(
            stats.received.jitter > 2 * MS && stats.received.jitter < 10 * MS,
            "{stats:?}"
        );
        let round_trip = stats.round_trip.expect("known");
        assert!(round_trip >= 60 * MS && round_trip <= 90 * MS, "{round_trip:?}");
    }
}

#[test]
fn a_fine_network_shows_no_loss() {
    let mut pair = Pair::new(FINE, 6);
    pair.run_for(60_000 * MS);
    for end in &pair.ends {
        let stats = end.session.stats();
        assert_eq!(
            (stats.received.lost, stats.received.duplicates, stats.remote_lost),
            (0, 0, 0)
        );
        assert_eq!(stats.received.received + 1, stats.sent.max(stats.received.received + 1));
        assert_eq!(stats.strangers + stats.invalid + stats.unknown_payloads, 0);
    }
}

/// Ticks until a report is sent.
fn next_report(bench: &mut Bench) -> (Transmit, Vec<u8>) {
    let mut buffer = [0; MAX_PACKET_LEN];
    for _ in 0..400 {
        bench.tick();
        if let Some(transmit) = bench.session.poll_rtcp(bench.now, &mut buffer) {
            return (transmit, buffer[..transmit.len].to_vec());
        }
    }
    panic!("eight seconds without a report");
}

/// The text of the CNAME in a compound packet that we sent.
fn cname(compound: &[u8]) -> String {
    let mut rest = compound;
    while rest[1] != 202 {
        rest = &rest[4 * (usize::from(u16::from_be_bytes([rest[2], rest[3]])) + 1)..];
    }
    assert_eq!(rest[8], 1, "CNAME comes first");
    String::from_utf8(rest[10..10 + usize::from(rest[9])].to_vec()).expect("text")
}

#[test]
fn reports_are_compound_and_go_out_every_five_seconds_give_or_take_half() {
    let mut bench = Bench::new();
    next_report(&mut bench);
    for _ in 0..20 {
        let before = bench.now;
        let (transmit, bytes) = next_report(&mut bench);
        assert_eq!((transmit.port, transmit.to), (Port::Rtcp, socket("192.0.2.9:30001")));
        assert_eq!(bytes[..2], [0x80, 200], "a sender report comes first");
        assert!(
            (2_500..=7_520).contains(&(bench.now - before).as_millis()),
            "{:?}",
            bench.now - before
        );
        assert_eq!(Compound::parse(&bytes).expect("valid").count(), 2);
        assert_eq!(cname(&bytes).len(), 24);
    }
}

#[test]
fn the_cname_is_one_per_call_and_random() {
    let mut names: Vec<String> = Vec::new();
    for _ in 0..2 {
        let mut bench = Bench::with_seed(names.len() as u64);
        let name = cname(&next_report(&mut bench).1);
        assert_eq!(cname(&next_report(&mut bench).1), name);
        names.push(name);
    }
    assert_ne!(names[0], names[1]);
}

#[test]
fn who_sends_nothing_writes_receiver_reports() {
    let mut bench = Bench::new();
    next_report(&mut bench);
    bench.command(Command::Reconfigure(Box::new(Negotiated {
        direction: Direction::RecvOnly,
        ..agreed(REMOTE)
    })));
    bench.receive(0, &[0xff; 160]);
    next_report(&mut bench);
    let (_, bytes) = next_report(&mut bench);
    assert_eq!(bytes[..2], [0x81, 201], "with a block about what is received");
    assert_eq!(bytes[8..12], 77u32.to_be_bytes());
}

#[test]
fn reports_go_over_the_rtp_port_when_that_was_offered() {
    let multiplexed = Negotiated {
        rtcp_mux: true,
        remote_rtcp: Some(socket(REMOTE)),
        ..agreed(REMOTE)
    };
    let mut bench = Bench::with(SessionConfig::default(), multiplexed);
    let (transmit, _) = next_report(&mut bench);
    assert_eq!((transmit.port, transmit.to), (Port::Rtp, socket(REMOTE)));
    let bye = [0x80, 201, 0, 1, 0, 0, 0, 77, 0x81, 203, 0, 1, 0, 0, 0, 77];
    bench
        .session
        .handle_datagram(Port::Rtp, socket(REMOTE), &bye, bench.now);
    let stats = bench.session.stats();
    assert_eq!((stats.rtcp_received, stats.rtcp_goodbyes, stats.invalid), (1, 1, 0));
}

#[test]
fn a_session_ends_with_a_goodbye() {
    let mut bench = Bench::new();
    let ssrc = bench.tick().expect("a packet").header.ssrc;
    let mut buffer = [0; MAX_PACKET_LEN];
    let transmit = bench.session.goodbye(bench.now, &mut buffer).expect("a report");
    let bytes = &buffer[..transmit.len];
    assert_eq!(bytes[1], 200);
    assert_eq!(bytes[bytes.len() - 8..bytes.len() - 4], [0x81, 203, 0, 1]);
    assert_eq!(bytes[bytes.len() - 4..], ssrc.to_be_bytes());
}

#[test]
fn a_report_about_us_from_bytes_reaches_the_figures() {
    let mut bench = Bench::new();
    let (_, ours) = next_report(&mut bench);
    let block = |ssrc: &[u8], lost: [u8; 4]| {
        let mut block = ssrc.to_vec();
        block.extend(lost);
        block.extend([0, 1, 0, 2]); // highest sequence number
        block.extend([0, 0, 0, 80]); // jitter of 10 ms
        block.extend(&ours[10..14]); // the middle of the NTP time in our sender report
        block.extend([0, 0, 0x80, 0]); // half a second before this one
        block
    };
    let mut report = vec![0x82, 201, 0, 13, 0, 0, 0, 77];
    report.extend(block(&ours[4..8], [64, 0xff, 0xff, 0xfe]));
    report.extend(block(&[9, 9, 9, 9], [255, 0, 1, 0]));
    bench.now += 625 * MS;
    bench
        .session
        .handle_datagram(Port::Rtcp, socket("192.0.2.9:30001"), &report, bench.now);
    let stats = bench.session.stats();
    assert_eq!(
        (stats.remote_reports, stats.remote_fraction_lost),
        (1, 64),
        "the other block is about somebody else"
    );
    assert_eq!((stats.remote_lost, stats.remote_jitter), (-2, 10 * MS));
    let round_trip = stats.round_trip.expect("known");
    assert!(round_trip.abs_diff(125 * MS) < MS, "{round_trip:?}");
}

#[test]
fn the_far_ends_sender_report_is_answered_with_its_time_and_the_delay() {
    let mut bench = Bench::new();
    bench.receive(0, &[0xff; 160]);
    let mut report = vec![
        0x80, 200, 0, 6, 0, 0, 0, 77, 0xaa, 0xbb, 0xcc, 0xdd, 0x11, 0x22, 0x33, 0x44,
    ];
    report.extend([0; 12]);
    let at = bench.now;
    bench
        .session
        .handle_datagram(Port::Rtcp, socket("192.0.2.9:30001"), &report, at);
    let (_, bytes) = next_report(&mut bench);
    let Some(RtcpPacket::SenderReport { mut blocks, .. }) = Compound::parse(&bytes).expect("valid").next() else {
        panic!("a sender report");
    };
    let block = blocks.next().expect("a block");
    assert_eq!((block.ssrc, block.last_sr), (77, 0xccdd_1122));
    let delay = f64::from(block.delay_since_last_sr) / 65_536.0;
    assert!((delay - (bench.now - at).as_secs_f64()).abs() < 0.001, "{delay}");
}
