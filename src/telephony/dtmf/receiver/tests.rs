//! The quirks of the field, each from bytes.

use super::*;
use crate::telephony::rtp::Packet;

/// A caller's packets, from bytes.
struct Line {
    receiver: EventReceiver,
    start: Instant,
    arrived: u64,
}

impl Line {
    fn new() -> Self {
        Self {
            receiver: EventReceiver::default(),
            start: crate::time::monotonic(),
            arrived: 0,
        }
    }

    /// Payload type 101, SSRC 7; packets arrive 20 ms apart.
    fn send(&mut self, marker: bool, sequence: u16, timestamp: u32, payload: [u8; 4]) -> Option<KeyUpdate> {
        self.send_as(7, marker, sequence, timestamp, payload)
    }

    fn send_as(
        &mut self,
        ssrc: u8,
        marker: bool,
        sequence: u16,
        timestamp: u32,
        payload: [u8; 4],
    ) -> Option<KeyUpdate> {
        let [s1, s0] = sequence.to_be_bytes();
        let [t3, t2, t1, t0] = timestamp.to_be_bytes();
        let mut datagram = vec![0x80, 101 | u8::from(marker) << 7, s1, s0, t3, t2, t1, t0, 0, 0, 0, ssrc];
        datagram.extend(payload);
        let packet = Packet::parse(&datagram).expect("valid");
        self.arrived += 1;
        let now = self.start + Duration::from_millis(20 * self.arrived);
        self.receiver
            .receive(&packet.header, EventPacket::parse(packet.payload)?, now)
    }

    /// Number of presses in a row of packets.
    fn presses(&mut self, packets: &[(bool, u16, u32, [u8; 4])]) -> usize {
        packets
            .iter()
            .filter(|&&(marker, sequence, timestamp, payload)| {
                matches!(
                    self.send(marker, sequence, timestamp, payload),
                    Some(KeyUpdate::Pressed(_))
                )
            })
            .count()
    }
}

fn on(event: u8, duration: u16) -> [u8; 4] {
    let [high, low] = duration.to_be_bytes();
    [event, 10, high, low]
}

fn end(event: u8, duration: u16) -> [u8; 4] {
    let [high, low] = duration.to_be_bytes();
    [event, 0x8a, high, low]
}

#[test]
fn a_press_is_told_on_its_first_packet_and_three_ends_are_one() {
    let mut line = Line::new();
    assert_eq!(line.send(true, 1, 800, on(5, 160)), Some(KeyUpdate::Pressed(Digit::D5)));
    assert_eq!(line.send(false, 2, 800, on(5, 320)), Some(KeyUpdate::Held(Digit::D5)));
    assert_eq!(
        line.send(false, 3, 800, end(5, 480)),
        Some(KeyUpdate::Released(Digit::D5))
    );
    assert_eq!(line.send(false, 4, 800, end(5, 480)), None);
    assert_eq!(line.send(false, 5, 800, end(5, 480)), None);
}

#[test]
fn all_ends_lost_the_next_press_counts() {
    let packets = [
        (true, 1, 800, on(5, 160)),
        (false, 2, 800, on(5, 320)),
        (true, 9, 2_080, on(5, 160)),
    ];
    assert_eq!(Line::new().presses(&packets), 2);
}

#[test]
fn end_bit_never_sent_and_no_marker_each_press_counts() {
    let packets = [
        (false, 1, 800, on(5, 160)),
        (false, 2, 800, on(5, 320)),
        (false, 3, 1_600, on(5, 160)), // sequence goes on at once: no audio in between
        (false, 4, 1_600, on(5, 320)),
        (false, 5, 2_400, on(6, 160)),
    ];
    assert_eq!(Line::new().presses(&packets), 3);
}

#[test]
fn a_timestamp_that_moves_with_every_packet_is_one_press() {
    let packets = [
        (true, 1, 800, on(5, 160)),
        (false, 2, 960, on(5, 320)),
        (false, 5, 1_440, on(5, 800)), // two lost
        (false, 6, 1_600, end(5, 960)),
        (false, 7, 1_760, end(5, 960)),
        (false, 8, 1_920, end(5, 1_120)),
    ];
    assert_eq!(Line::new().presses(&packets), 1);
}

#[test]
fn moving_ends_at_another_packet_time_are_one_press() {
    let packets = [
        (false, 1, 800, on(5, 240)),
        (false, 2, 1_040, on(5, 480)),
        (false, 3, 1_280, end(5, 720)),
        (false, 4, 1_520, end(5, 720)),
        (false, 5, 1_760, end(5, 720)),
    ];
    assert_eq!(Line::new().presses(&packets), 1);
}

/// Found by random loss: without audio in between, the end packets of the second press looked like repeats of the
/// first one's under a moving timestamp.
#[test]
fn the_end_of_a_second_press_is_no_moved_end_of_the_first() {
    let packets = [
        (true, 1, 0, on(1, 160)),
        (false, 2, 0, end(1, 320)),
        (false, 3, 0, end(1, 320)),
        (false, 4, 0, end(1, 320)),
        (false, 6, 640, end(1, 320)), // 5, the first of its press, was lost
        (false, 7, 640, end(1, 320)),
    ];
    assert_eq!(Line::new().presses(&packets), 2);
}

#[test]
fn two_presses_with_moving_timestamps_stay_two() {
    let packets = [
        (false, 1, 800, on(5, 160)),
        (false, 2, 960, on(5, 320)),
        (false, 3, 1_120, end(5, 480)),
        (false, 4, 1_280, end(5, 480)),
        (false, 5, 1_440, end(5, 480)),
        (false, 8, 1_920, on(5, 160)),
        (false, 9, 2_080, on(5, 320)),
    ];
    assert_eq!(Line::new().presses(&packets), 2);
}

#[test]
fn end_packets_of_another_duration_change_nothing() {
    let packets = [
        (true, 1, 800, on(5, 160)),
        (false, 2, 800, on(5, 320)),
        (false, 3, 800, end(5, 0)),
        (false, 4, 800, end(5, 480)),
        (false, 5, 800, end(5, 123)),
    ];
    assert_eq!(Line::new().presses(&packets), 1);
}

#[test]
fn an_event_of_two_packets_counts_and_so_does_the_same_key_right_after() {
    let packets = [
        (true, 1, 800, on(5, 160)),
        (false, 2, 800, end(5, 320)),
        (true, 3, 1_440, on(5, 160)),
        (false, 4, 1_440, end(5, 320)),
    ];
    assert_eq!(Line::new().presses(&packets), 2);
}

#[test]
fn two_packet_events_with_their_ends_lost_and_no_marker_stay_two() {
    let packets = [
        (false, 1, 800, on(5, 160)),
        (false, 3, 1_440, on(5, 160)),
        (false, 5, 2_080, on(5, 160)),
    ];
    assert_eq!(Line::new().presses(&packets), 3);
}

#[test]
fn the_same_key_twice_under_one_timestamp_is_two_when_the_duration_is_small_again() {
    let ended = [
        (true, 1, 800, on(5, 160)),
        (false, 2, 800, on(5, 320)),
        (false, 3, 800, end(5, 320)),
        (false, 8, 800, on(5, 160)),
        (false, 9, 800, on(5, 320)),
        (false, 10, 800, end(5, 320)),
    ];
    assert_eq!(Line::new().presses(&ended), 2);
    let ends_lost = [
        (true, 1, 800, on(5, 160)),
        (false, 2, 800, on(5, 320)),
        (false, 8, 800, on(5, 160)),
    ];
    assert_eq!(Line::new().presses(&ends_lost), 2);
}

#[test]
fn another_key_under_the_same_timestamp_is_another_press() {
    let packets = [
        (true, 1, 800, on(5, 160)),
        (false, 2, 800, end(5, 320)),
        (true, 5, 800, on(6, 160)),
    ];
    assert_eq!(Line::new().presses(&packets), 2);
}

#[test]
fn a_long_key_in_segments_is_one_press() {
    let mut line = Line::new();
    let mut presses = line.presses(&[(true, 0, 0, on(9, 160))]);
    // 25 seconds: three segments, the timestamp moves on by 0xffff without a marker.
    for n in 1..1_250u32 {
        let elapsed = (n + 1) * 160;
        let timestamp = elapsed / 0xffff * 0xffff;
        let payload = on(9, (elapsed - timestamp) as u16);
        presses += line.presses(&[(false, n as u16, timestamp, payload)]);
    }
    assert_eq!(presses, 1);
}

#[test]
fn a_short_segment_begins_where_the_one_before_stopped() {
    let packets = [
        (true, 1, 800, on(5, 4_000)),
        (false, 2, 4_800, on(5, 160)),
        (false, 3, 4_800, on(5, 320)),
        (false, 4, 4_800, end(5, 480)),
    ];
    assert_eq!(Line::new().presses(&packets), 1);
}

#[test]
fn a_segment_border_lost_on_the_way_is_still_one_press() {
    let packets = [
        (true, 1, 0, on(5, 160)),
        (false, 400, 0, on(5, 64_000)),
        (false, 412, 0xffff, on(5, 385)),
    ];
    assert_eq!(Line::new().presses(&packets), 1);
}

#[test]
fn a_duration_that_wraps_under_its_timestamp_is_one_press() {
    let packets = [
        (true, 1, 800, on(5, 160)),
        (false, 409, 800, on(5, 65_440)),
        (false, 410, 800, on(5, 64)),
        (false, 411, 800, on(5, 224)),
        (false, 412, 800, end(5, 384)),
    ];
    assert_eq!(Line::new().presses(&packets), 1);
}

#[test]
fn an_update_after_the_end_is_ignored() {
    let mut line = Line::new();
    line.send(true, 1, 800, on(5, 160));
    line.send(false, 3, 800, end(5, 480));
    assert_eq!(line.send(false, 2, 800, on(5, 320)), None);
    line.send(true, 9, 2_080, on(6, 160));
    assert_eq!(
        line.send(false, 4, 800, end(5, 480)),
        None,
        "an end that the next press overtook"
    );
}

#[test]
fn late_packets_of_a_moving_event_are_ignored() {
    let packets = [
        (false, 12, 1_120, on(5, 480)),
        (false, 13, 1_280, on(5, 640)),
        (false, 11, 960, on(5, 320)),
    ];
    assert_eq!(Line::new().presses(&packets), 1);
}

#[test]
fn a_press_overtaken_as_a_whole_is_not_lost() {
    let mut line = Line::new();
    line.send(true, 9, 2_080, on(6, 160));
    assert_eq!(
        line.send(true, 1, 800, on(5, 160)),
        Some(KeyUpdate::Overtaken(Digit::D5))
    );
    assert_eq!(line.send(false, 2, 800, end(5, 320)), None);
    assert_eq!(
        line.send(false, 10, 2_080, on(6, 320)),
        Some(KeyUpdate::Held(Digit::D6))
    );
}

/// 50 ms on, 50 ms off at a packet time of 10 ms, as fast as a telephone dials by itself.
#[test]
fn fast_double_presses_stay_two() {
    for marker in [true, false] {
        let press = |sequence: u16, timestamp: u32| {
            let mut packets: Vec<_> = (1..5u16)
                .map(|n| (marker && n == 1, sequence + n, timestamp, on(5, n * 80)))
                .collect();
            packets.extend((5..8).map(|n| (false, sequence + n, timestamp, end(5, 400))));
            packets
        };
        let packets = [press(0, 800), press(10, 1_600)].concat();
        assert_eq!(Line::new().presses(&packets), 2, "marker {marker}");
    }
}

/// Events on the clock of another codec: 48 kHz, as beside Opus, so durations wrap after 1.4 seconds.
#[test]
fn another_clock_than_that_of_the_audio_is_still_one_press_each() {
    let mut packets = Vec::new();
    for press in 0..3u16 {
        let begin = u32::from(press) * 144_000;
        for n in 1..=100u32 {
            let (segment, duration) = (n * 960 / 0xffff, n * 960 % 0xffff);
            let payload = if n == 100 {
                end(5, duration as u16)
            } else {
                on(5, duration as u16)
            };
            packets.push((n == 1, press * 150 + n as u16, begin + segment * 0xffff, payload));
        }
    }
    assert_eq!(Line::new().presses(&packets), 3);
    let slow: Vec<_> = (0..3u16)
        .flat_map(|press| {
            // 8 kHz events beside audio whose timestamps run at 48 kHz.
            let timestamp = u32::from(press) * 48_000;
            (1..=4u16).map(move |n| (n == 1, press * 50 + n, timestamp, on(6, n * 160)))
        })
        .collect();
    assert_eq!(Line::new().presses(&slow), 3);
}

#[test]
fn silence_ends_a_key_once_and_what_comes_later_is_the_same_press() {
    let mut line = Line::new();
    let packet_time = Duration::from_millis(20);
    line.send(true, 1, 800, on(5, 160));
    let last = line.start + Duration::from_millis(20);
    assert_eq!(line.receiver.poll_silence(last + 3 * packet_time, packet_time), None);
    let later = last + 4 * packet_time;
    assert_eq!(
        line.receiver.poll_silence(later, packet_time),
        Some(KeyUpdate::Released(Digit::D5))
    );
    assert_eq!(line.receiver.poll_silence(later, packet_time), None);
    line.arrived += 10;
    assert_eq!(
        line.presses(&[(false, 11, 800, on(5, 1_760)), (false, 12, 800, end(5, 1_920))]),
        0
    );
    assert_eq!(line.presses(&[(false, 30, 6_000, on(5, 160))]), 1);
}

#[test]
fn an_end_packet_alone_is_a_press() {
    let packets = [(false, 5, 800, end(5, 480)), (false, 6, 800, end(5, 480))];
    assert_eq!(Line::new().presses(&packets), 1);
}

#[test]
fn keys_a_to_d_count_and_other_events_do_not() {
    let mut line = Line::new();
    for (n, digit) in [Digit::A, Digit::B, Digit::C, Digit::D, Digit::Star, Digit::Pound]
        .into_iter()
        .enumerate()
    {
        let n = n as u16;
        let update = line.send(true, n * 10, u32::from(n) * 1_600, on(digit.event(), 160));
        assert_eq!(update, Some(KeyUpdate::Pressed(digit)));
    }
    for code in [16, 32, 36, 64, 255] {
        assert_eq!(line.send(true, 100, 99_999, on(code, 160)), None);
    }
}

#[test]
fn a_press_half_an_hour_later_counts_whatever_its_sequence_number() {
    let mut line = Line::new();
    line.send(true, 100, 800, on(5, 160));
    line.arrived += 90_000;
    // 90,000 packets later the number looks older than the last one.
    let sequence = 100u16.wrapping_add(40_000);
    assert_eq!(
        line.send(true, sequence, 14_400_800, on(5, 160)),
        Some(KeyUpdate::Pressed(Digit::D5))
    );
    assert_eq!(
        line.send(false, sequence + 1, 14_400_800, on(5, 320)),
        Some(KeyUpdate::Held(Digit::D5))
    );
}

/// Found in a review: a fail-over in the middle of a key made it two.
#[test]
fn another_ssrc_in_the_middle_of_a_key_is_one_press() {
    // Counted on by who took over, after a break of up to three seconds; and from its own beginning, at once.
    for (missed, duration, marker) in [(0, 480, false), (1, 640, false), (150, 24_480, false), (1, 160, true)] {
        let mut line = Line::new();
        assert_eq!(
            line.presses(&[(true, 1, 800, on(5, 160)), (false, 2, 800, on(5, 320))]),
            1
        );
        line.arrived += missed;
        let mut send = |marker, sequence, payload| line.send_as(8, marker, sequence, 700_000, payload);
        assert_eq!(
            send(marker, 30_001, on(5, duration)),
            Some(KeyUpdate::Held(Digit::D5)),
            "{missed} packets missed"
        );
        assert_eq!(
            send(false, 30_002, on(5, duration + 160)),
            Some(KeyUpdate::Held(Digit::D5))
        );
        assert_eq!(
            send(false, 30_003, end(5, duration + 320)),
            Some(KeyUpdate::Released(Digit::D5))
        );
        assert_eq!(send(false, 30_004, end(5, duration + 320)), None);
        line.arrived += 20;
        assert_eq!(
            line.send_as(8, true, 30_030, 704_000, on(5, 160)),
            Some(KeyUpdate::Pressed(Digit::D5)),
            "the next press"
        );
    }
}

#[test]
fn a_long_key_that_wraps_in_a_change_of_ssrc_is_one_press() {
    let mut line = Line::new();
    line.send(true, 1, 800, on(5, 65_440));
    line.arrived += 4;
    assert_eq!(
        line.send_as(8, false, 9, 0, on(5, 705)),
        Some(KeyUpdate::Held(Digit::D5)),
        "the next segment began at 65,535"
    );
}

/// 40 ms and 40 ms, with all ends of the first press lost: as near to each other as two presses can be.
#[test]
fn a_second_press_under_another_ssrc_is_two_presses() {
    // Told of: duration of the last packet of the first press, packets since, duration of the next press, marker.
    for (heard, missed, next, marker) in [
        (160, 3, 160, true),
        (320, 3, 320, false),
        (160, 4, 320, false),
        (320, 20, 320, false),
        (160, 100, 4_000, false),
    ] {
        let mut line = Line::new();
        line.send(true, 1, 800, on(5, heard));
        line.arrived += missed;
        assert_eq!(
            line.send_as(8, marker, 30_001, 700_000, on(5, next)),
            Some(KeyUpdate::Pressed(Digit::D5)),
            "{heard} {missed} {next}"
        );
    }
    for (first, second) in [(end(5, 320), on(5, 480)), (on(5, 320), on(6, 480))] {
        let mut line = Line::new();
        line.send(true, 1, 800, first);
        let update = line.send_as(8, false, 30_001, 700_000, second);
        assert!(matches!(update, Some(KeyUpdate::Pressed(_))), "ended, or another key");
    }
}

/// Redundant blocks (RFC 2198): events again, with the sequence number of the packet that is repeated.
mod redundant {
    use super::*;

    impl Line {
        fn repeat(&mut self, sequence: u16, timestamp: u32, payload: [u8; 4]) -> Option<KeyUpdate> {
            let header = Header {
                payload_type: 101,
                sequence,
                timestamp,
                ssrc: 7,
                marker: false,
            };
            let now = self.start + Duration::from_millis(20 * self.arrived);
            let event = EventPacket::parse(&payload)?;
            self.receiver.receive_redundant(&header, event, now)
        }
    }

    #[test]
    fn what_is_known_changes_nothing_and_its_end_is_heard_of() {
        let mut line = Line::new();
        line.send(true, 1, 800, on(5, 160));
        assert_eq!(line.repeat(1, 800, on(5, 160)), None);
        assert_eq!(line.send(false, 3, 800, on(5, 480)), Some(KeyUpdate::Held(Digit::D5)));
        assert_eq!(line.repeat(2, 800, on(5, 320)), None);
        assert_eq!(line.repeat(5, 800, end(5, 800)), Some(KeyUpdate::Released(Digit::D5)));
        assert_eq!(line.repeat(5, 800, end(5, 800)), None);
        assert_eq!(line.send(false, 6, 800, end(5, 800)), None);
        assert_eq!(
            line.send(true, 20, 3_200, on(5, 160)),
            Some(KeyUpdate::Pressed(Digit::D5))
        );
    }

    /// As in the example of RFC 4733 section 5: 9-1-1 is dialled, and the last press tells of all three.
    #[test]
    fn presses_that_were_lost_as_a_whole_count_once_in_their_order() {
        let mut line = Line::new();
        for n in 0..6 {
            let nine = line.repeat(98 + n, 11_200, end(9, 1_600));
            let one = line.repeat(99 + n, 12_800, end(1, 400));
            let last = line.send(n == 0, 100 + n, 13_600, on(1, 160 * (n + 1)));
            let expected = if n == 0 {
                [
                    KeyUpdate::Pressed(Digit::D9),
                    KeyUpdate::Pressed(Digit::D1),
                    KeyUpdate::Pressed(Digit::D1),
                ]
                .map(Some)
            } else {
                [None, None, Some(KeyUpdate::Held(Digit::D1))]
            };
            assert_eq!([nine, one, last], expected, "packet {n}");
        }
    }

    #[test]
    fn a_press_before_the_newest_one_is_overtaken() {
        let mut line = Line::new();
        line.send(true, 50, 8_000, on(6, 160));
        assert_eq!(
            line.repeat(50, 5_000, end(5, 800)),
            Some(KeyUpdate::Overtaken(Digit::D5))
        );
        assert_eq!(line.repeat(51, 5_000, end(5, 800)), None);
        assert_eq!(
            line.send(false, 52, 8_000, on(6, 480)),
            Some(KeyUpdate::Held(Digit::D6))
        );
    }

    /// A sender that repeats more events than are remembered, over and over.
    #[test]
    fn no_press_counts_again_once_it_is_forgotten() {
        let mut line = Line::new();
        let mut presses = 0;
        for n in 0..40u16 {
            for before in (1..20u16.min(n + 1)).rev() {
                let timestamp = u32::from(n - before) * 800;
                let update = line.repeat(n * 5 - before, timestamp, end(5, 400));
                presses += usize::from(matches!(update, Some(KeyUpdate::Pressed(_) | KeyUpdate::Overtaken(_))));
            }
            // Every third press is told only by the ones after it.
            if n % 3 != 1 {
                presses += line.presses(&[(true, n * 5, u32::from(n) * 800, on(5, 160))]);
            }
        }
        assert_eq!(presses, 40);
    }
}
