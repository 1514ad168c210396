//! From the sender to the receiver over a bad line.

use std::time::Duration;

use proptest::prelude::*;

use super::{EventPacket, EventReceiver, KeySender, KeyUpdate};
use crate::digit::Digit;
use crate::telephony::rtp::Header;

/// An event packet as it left, and which press it belongs to.
#[derive(Clone, Copy, Debug)]
struct Sent {
    press: usize,
    header: Header,
    packet: EventPacket,
}

/// The packets of some presses; with audio in between or without.
fn packets(presses: &[(u8, u64, u64)], packet_time: u32, audio: bool) -> Vec<Sent> {
    let mut sender = KeySender::default();
    for &(code, on, off) in presses {
        let digit = Digit::from_event(code).expect("a key");
        sender
            .press(digit, Duration::from_millis(on), Duration::from_millis(off))
            .expect("room");
    }
    let samples = packet_time * 8;
    let (mut sent, mut sequence, mut timestamp, mut press) = (Vec::new(), 65_500u16, u32::MAX - 2_000, 0);
    while !sender.is_idle() {
        let event = sender.poll(timestamp, samples);
        if let Some(event) = event {
            press += usize::from(event.marker);
            let header = Header {
                marker: event.marker,
                sequence,
                timestamp: event.timestamp,
                ssrc: 7,
                payload_type: 101,
            };
            sent.push(Sent {
                press,
                header,
                packet: event.packet,
            });
        }
        sequence = sequence.wrapping_add(u16::from(event.is_some() || audio));
        timestamp = timestamp.wrapping_add(samples);
    }
    sent
}

/// How often each key was reported.
fn counts(packets: &[Sent]) -> [usize; 16] {
    let start = crate::time::monotonic();
    let mut receiver = EventReceiver::default();
    let mut counts = [0; 16];
    for (n, sent) in packets.iter().enumerate() {
        let now = start + Duration::from_millis(20 * n as u64);
        if let Some(KeyUpdate::Pressed(digit) | KeyUpdate::Overtaken(digit)) =
            receiver.receive(&sent.header, sent.packet, now)
        {
            counts[usize::from(digit.event())] += 1;
        }
    }
    counts
}

fn expected(presses: &[(u8, u64, u64)]) -> [usize; 16] {
    let mut counts = [0; 16];
    presses.iter().for_each(|&(code, ..)| counts[usize::from(code)] += 1);
    counts
}

/// Few different keys, so that the same one often comes twice in a row.
fn presses() -> impl Strategy<Value = Vec<(u8, u64, u64)>> {
    proptest::collection::vec((0..3u8, 40..400u64, 40..200u64), 1..8)
}

fn packet_times() -> impl Strategy<Value = u32> {
    proptest::sample::select(vec![10, 20, 30])
}

proptest! {
    #[test]
    fn a_press_counts_once_if_any_of_its_packets_arrives(
        presses in presses(), packet_time in packet_times(), audio: bool,
        lost in proptest::collection::vec(any::<bool>(), 400), survivor in any::<prop::sample::Index>(),
    ) {
        let sent = packets(&presses, packet_time, audio);
        let arrived: Vec<Sent> = sent
            .iter()
            .enumerate()
            .filter(|(n, packet)| {
                let own: Vec<usize> = (0..sent.len()).filter(|&at| sent[at].press == packet.press).collect();
                !lost[n % lost.len()] || *survivor.get(&own) == *n
            })
            .map(|(_, packet)| *packet)
            .collect();
        prop_assert_eq!(counts(&arrived), expected(&presses));
    }

    #[test]
    fn order_and_copies_change_no_count(
        presses in presses(), packet_time in packet_times(), audio: bool,
        shifts in proptest::collection::vec(0..6usize, 400), copies in proptest::collection::vec(1..3usize, 400),
    ) {
        let sent = packets(&presses, packet_time, audio);
        let mut arrived: Vec<(usize, Sent)> = sent
            .iter()
            .enumerate()
            .flat_map(|(n, packet)| {
                let copies = copies[n % copies.len()];
                let shifts = &shifts;
                (0..copies).map(move |copy| (n + shifts[(n + copy) % shifts.len()], *packet))
            })
            .collect();
        arrived.sort_by_key(|(place, _)| *place);
        let arrived: Vec<Sent> = arrived.into_iter().map(|(_, packet)| packet).collect();
        prop_assert_eq!(counts(&arrived), expected(&presses));
    }
}
