//! Hold, and calls whose media stops.

use super::harness::{Bench, MS, REMOTE, agreed, playlist, socket, tone};
use crate::telephony::media::{Command, MediaEvent, PlaybackId, Port};
use crate::telephony::rtp::rtcp::{MAX_LEN, Report};
use crate::telephony::sdp::{Direction, Negotiated};

fn held(direction: Direction) -> Command {
    Command::Reconfigure(Box::new(Negotiated {
        direction,
        ..agreed(REMOTE)
    }))
}

#[test]
fn on_hold_nothing_is_sent_and_the_prompt_stands_still() {
    for direction in [Direction::RecvOnly, Direction::Inactive] {
        let mut bench = Bench::new();
        bench.command(Command::Play(PlaybackId(1), playlist(vec![tone(60 * MS)])));
        let before = bench.tick().expect("a packet");
        bench.command(held(direction));
        assert!(bench.ticks(100).iter().all(Option::is_none));
        assert_eq!(bench.events(), []);
        bench.command(held(Direction::SendRecv));
        let after = bench.tick().expect("a packet");
        assert!(!after.is_silent() && after.header.marker);
        assert_eq!(after.header.timestamp, before.header.timestamp.wrapping_add(101 * 160));
        bench.tick();
        assert_eq!(bench.events(), [MediaEvent::PlaybackFinished(PlaybackId(1))]);
    }
}

#[test]
fn hold_in_the_old_way_stops_rtcp_as_well() {
    let mut bench = Bench::new();
    let old = Negotiated {
        direction: Direction::RecvOnly,
        remote_rtp: None,
        remote_rtcp: None,
        ..agreed(REMOTE)
    };
    bench.command(Command::Reconfigure(Box::new(old)));
    let mut buffer = [0; 512];
    for _ in 0..1_000 {
        assert_eq!(bench.tick(), None);
        assert_eq!(bench.session.poll_rtcp(bench.now, &mut buffer), None);
    }
    bench.command(held(Direction::SendRecv));
    assert_eq!(bench.tick().expect("a packet").to, socket(REMOTE));
}

#[test]
fn keys_are_heard_on_hold() {
    let mut bench = Bench::new();
    bench.command(held(Direction::RecvOnly));
    bench.receive_key(5);
    assert!(matches!(bench.events()[..], [MediaEvent::DigitPressed(..)]));
}

#[test]
fn thirty_seconds_without_media_are_told_once() {
    let mut bench = Bench::new();
    bench.receive(0, &[0xff; 160]);
    bench.ticks(1_500);
    assert_eq!(bench.events(), []);
    bench.ticks(1);
    assert_eq!(bench.events(), [MediaEvent::MediaLost]);
    bench.ticks(3_000);
    assert_eq!(bench.events(), []);
}

#[test]
fn media_that_never_came_is_lost_as_well() {
    let mut bench = Bench::new();
    bench.ticks(1_501);
    assert_eq!(bench.events(), [MediaEvent::MediaLost]);
}

#[test]
fn time_stands_still_on_hold_and_starts_anew_after_it() {
    let mut bench = Bench::new();
    bench.ticks(1_000);
    bench.command(held(Direction::Inactive));
    bench.ticks(5_000);
    bench.command(held(Direction::SendRecv));
    bench.ticks(1_499);
    assert_eq!(bench.events(), []);
    bench.ticks(2);
    assert_eq!(bench.events(), [MediaEvent::MediaLost]);
}

#[test]
fn rtcp_is_a_sign_of_life() {
    let mut bench = Bench::new();
    let mut buffer = [0; MAX_LEN];
    let report = Report {
        ssrc: 77,
        sender: None,
        block: None,
        cname: "x",
        goodbye: false,
    };
    let len = report.write(&mut buffer).expect("room");
    for _ in 0..10 {
        bench.ticks(1_000);
        bench
            .session
            .handle_datagram(Port::Rtcp, socket("192.0.2.9:30001"), &buffer[..len], bench.now);
    }
    assert_eq!(bench.events(), []);
}

#[test]
fn a_one_second_outage_is_survived() {
    let mut bench = Bench::new();
    bench.receive(0, &[0xff; 160]);
    bench.ticks(50);
    for _ in 0..50 {
        bench.receive(0, &[0xff; 160]);
        bench.tick();
    }
    bench.receive_key(5);
    assert!(matches!(bench.events()[..], [MediaEvent::DigitPressed(..)]));
}

#[test]
fn comfort_noise_is_a_sign_of_life_and_silence_after_it_is_on_purpose() {
    let mut bench = Bench::new();
    bench.receive(13, &[60]);
    bench.ticks(3_000);
    assert_eq!(bench.events(), [], "a minute");
    bench.receive(0, &[0xff; 160]);
    bench.ticks(1_501);
    assert_eq!(bench.events(), [MediaEvent::MediaLost], "audio came and went");
}

#[test]
fn packets_that_keep_a_nat_open_are_a_sign_of_life_and_no_loss() {
    let mut bench = Bench::new();
    bench.receive(0, &[0xff; 160]);
    for _ in 0..6 {
        bench.ticks(750);
        bench.receive(126, &[]);
    }
    bench.receive(0, &[0xff; 160]);
    assert_eq!(bench.events(), []);
    let stats = bench.session.stats();
    assert_eq!((stats.unknown_payloads, stats.received.lost), (6, 0));
}

#[test]
fn unknown_payloads_from_strangers_show_no_life() {
    let mut bench = Bench::new();
    bench.receive(0, &[0xff; 160]);
    for _ in 0..1_501 {
        bench.receive_from("198.51.100.66:6666", 126, &[]);
        bench.tick();
    }
    assert_eq!(bench.events(), [MediaEvent::MediaLost]);
}
