//! Redundant packets (RFC 2198) of a gateway, over lines that lose.

use super::harness::{Bench, MS, REMOTE, agreed};
use crate::digit::Digit;
use crate::telephony::dtmf::KeyMoment;
use crate::telephony::media::{MediaEvent, SessionConfig};
use crate::telephony::rtp::Header;

const SSRC: u32 = 77;
/// As agreed in the harness.
const RED: u8 = 121;
/// Presses of 100 ms and pauses of 60 ms, packets of 20 ms: five updates, three ends, and silence.
const PER_PRESS: u16 = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Repeats {
    /// The packets before, as in RFC 2198.
    Packets,
    /// What became of the events before, as in RFC 4733 section 2.6.
    Events,
}

/// Timestamp and payload of a packet of the n-th press.
fn event(keys: &[u8], packet: u16) -> (u32, [u8; 4]) {
    let (press, at) = (packet / PER_PRESS, packet % PER_PRESS);
    let (end, duration) = if at < 5 { (0, (at + 1) * 160) } else { (0x80, 800) };
    let [high, low] = duration.to_be_bytes();
    let timestamp = 900_000 + u32::from(press) * u32::from(PER_PRESS) * 160;
    (timestamp, [keys[usize::from(press)], end | 10, high, low])
}

/// A packet with up to so many blocks before it.
fn redundant(keys: &[u8], packet: u16, blocks: u16, repeats: Repeats) -> (u32, Vec<u8>) {
    let (timestamp, primary) = event(keys, packet);
    let before: Vec<u16> = match repeats {
        Repeats::Packets => (packet.saturating_sub(blocks)..packet).collect(),
        Repeats::Events => {
            let press = packet / PER_PRESS;
            (press.saturating_sub(blocks)..press)
                .map(|press| (press + 1) * PER_PRESS - 1)
                .collect()
        }
    };
    let before: Vec<_> = before.into_iter().map(|packet| event(keys, packet)).collect();
    let mut payload = Vec::new();
    for (earlier, _) in &before {
        payload.extend((0x8000_0000 | 101 << 24 | (timestamp - earlier) << 10 | 4).to_be_bytes());
    }
    payload.push(101);
    before.iter().for_each(|(_, block)| payload.extend(block));
    payload.extend(primary);
    (timestamp, payload)
}

/// The keys that come of it when these packets are lost.
fn keyed(
    keys: &[u8],
    blocks: u16,
    repeats: Repeats,
    moment: KeyMoment,
    is_lost: impl Fn(u16) -> bool,
) -> (Vec<Digit>, Bench) {
    let config = SessionConfig {
        key_moment: moment,
        ..SessionConfig::default()
    };
    let mut bench = Bench::with(config, agreed(REMOTE));
    for packet in 0..keys.len() as u16 * PER_PRESS {
        let (timestamp, payload) = redundant(keys, packet, blocks, repeats);
        let header = Header {
            marker: packet % PER_PRESS == 0,
            payload_type: RED,
            sequence: 65_530u16.wrapping_add(packet),
            timestamp,
            ssrc: SSRC,
        };
        if !is_lost(packet) {
            bench.receive_packet(REMOTE, &header, &payload);
        }
        bench.tick();
    }
    bench.ticks(20);
    let pressed = bench.events().into_iter().filter_map(|event| match event {
        MediaEvent::DigitPressed(digit, _) => Some(digit),
        _ => None,
    });
    (pressed.collect(), bench)
}

/// With doubles, as in a telephone number.
const KEYS: [u8; 12] = [0, 8, 0, 0, 5, 5, 5, 11, 10, 1, 1, 0];

fn digits() -> Vec<Digit> {
    KEYS.iter().filter_map(|&code| Digit::from_event(code)).collect()
}

#[test]
fn every_second_packet_is_lost_and_the_keys_still_come() {
    for repeats in [Repeats::Packets, Repeats::Events] {
        for moment in [KeyMoment::Press, KeyMoment::Release] {
            for parity in 0..2 {
                let (keys, bench) = keyed(&KEYS, 1, repeats, moment, |packet| packet % 2 == parity);
                assert!(keys == digits(), "{repeats:?} {moment:?}: {} keys", keys.len());
                assert_eq!(bench.session.stats().invalid, 0);
            }
        }
    }
}

/// More than any press can bear without redundancy: all of its packets.
#[test]
fn whole_presses_are_lost_and_the_keys_still_come() {
    for moment in [KeyMoment::Press, KeyMoment::Release] {
        let lost = |packet: u16| packet / PER_PRESS % 3 != 2;
        let (keys, _) = keyed(&KEYS, 2, Repeats::Events, moment, lost);
        assert!(keys == digits(), "{moment:?}: {} keys", keys.len());
        // Of nine packets, eight of which are one press, the last one knows.
        let lost = |packet: u16| !packet.is_multiple_of(9);
        let (keys, _) = keyed(&KEYS, 9, Repeats::Packets, moment, lost);
        let last_known = (u16::try_from(KEYS.len()).expect("few") * PER_PRESS - 1) / 9 * 9 / PER_PRESS + 1;
        assert!(keys == digits()[..last_known.into()], "{moment:?}: {} keys", keys.len());
    }
}

#[test]
fn nothing_is_lost_and_each_key_counts_once() {
    for (repeats, blocks) in [(Repeats::Packets, 16), (Repeats::Events, 5), (Repeats::Events, 11)] {
        let (keys, bench) = keyed(&KEYS, blocks, repeats, KeyMoment::Press, |_| false);
        assert!(keys == digits(), "{repeats:?}: {} keys", keys.len());
        assert_eq!(bench.session.stats().digits_by_event, 12);
    }
}

#[test]
fn audio_comes_as_if_it_were_alone() {
    let mut bench = Bench::new();
    for _ in 0..3 {
        // 0/0: the packet before, and this one.
        let mut payload = vec![0x80, 160 >> 6, (160 << 2) as u8, 160, 0];
        payload.extend([0xff; 320]);
        bench.receive(RED, &payload);
        bench.now += 20 * MS;
    }
    let stats = bench.session.stats();
    assert_eq!(
        (stats.received.received, stats.invalid, stats.unknown_payloads),
        (3, 0, 0)
    );
    assert!(stats.received.jitter.is_zero());
}

#[test]
fn malformed_blocks_are_counted_and_no_more() {
    let mut bench = Bench::new();
    for payload in [&[][..], &[0x80 | 101, 0, 0, 9, 101, 5], &[0x80 | 101, 0]] {
        bench.receive(RED, payload);
    }
    assert_eq!(bench.session.stats().invalid, 3);
    // Of a payload that nobody agreed on, or red in red.
    for primary in [97, RED] {
        bench.receive(RED, &[primary, 1, 2, 3]);
    }
    assert_eq!(bench.session.stats().unknown_payloads, 2);
    // A redundant event that is too short does not keep the primary one from counting.
    bench.receive(RED, &[0x80 | 101, 0, 0, 2, 101, 5, 10, 6, 10, 0, 160]);
    assert_eq!(bench.session.stats().invalid, 4);
    bench.ticks(6);
    assert!(matches!(bench.events()[..], [MediaEvent::DigitPressed(Digit::D6, _)]));
}
