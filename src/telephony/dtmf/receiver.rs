//! Telephone events received (RFC 4733 section 2.5.2): every press once, on its first packet.
//!
//! ```text
//!  RTP time   0     160    320    480    640                      1440
//!  packets    D160  D320   D480   D640E  D640E  D640E   (audio)   D160 ...
//!             │                   │                               │
//!             Pressed  Held Held  Released                        Pressed
//! ```
//!
//! An event is one by SSRC, timestamp and code. What the field does to that rule, and what is made of it:
//!
//! | seen | taken as |
//! |---|---|
//! | all end packets lost, or never sent | the next press ends the one before; nothing waits for an end |
//! | timestamp moves with every packet | same press while sequence numbers are neighbours and the duration grows |
//! | long key: new timestamp at old one + duration, no marker | the next segment of the same press (2.5.1.3) |
//! | duration wraps under the same timestamp | same press |
//! | second press under the same timestamp, duration small again | a new press |
//! | packet from before the newest one | belongs to a press already told, or is a press that was overtaken |
//! | only an end packet arrives | a press |
//! | marker missing, or end packets of another duration | nothing depends on them |
//!
//! A key is up with its first end packet, with the next press, or after [`SILENT_PACKETS`] packet times without a sign of
//! it ([`EventReceiver::poll_silence`]). What comes of it later is still the same press.

use std::time::{Duration, Instant};

use zeroize::Zeroize as _;

use super::EventPacket;
use crate::digit::Digit;
use crate::telephony::rtp::Header;

/// Presses that late packets are compared with.
const REMEMBERED: usize = 4;
/// Packets apart that count as neighbours: two may be lost between them. A press of 40 ms takes at least four.
const NEIGHBOURS: u16 = 3;
/// A moving timestamp moves by a packet time; three packets of 60 ms at most.
const MAX_MOVE: u32 = 3 * 480;
/// What a moving timestamp moves by per packet, as long as that has not been seen: 20 ms.
const USUAL_MOVE: u32 = 160;
/// From here on a duration is close enough to its limit to wrap or to be continued in a segment.
const NEAR_LIMIT: u16 = 0xe000;
/// After this much time sequence numbers no longer tell what came first: they wrap after 11 minutes.
const FORGET_ORDER: Duration = Duration::from_secs(30);

/// A key that was not heard of for this many packet times is up: all its end packets were lost, or never sent.
pub const SILENT_PACKETS: u32 = 3;

/// What an event packet meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyUpdate {
    /// A key went down. The key before it is up, whether or not that was told.
    Pressed(Digit),
    /// A key was pressed and is up again: its packets were overtaken by those of a later one, which nothing changes for.
    Overtaken(Digit),
    /// The key is still down.
    Held(Digit),
    /// The key went up.
    Released(Digit),
}

/// Turns event packets into presses.
#[derive(Clone, Debug, Default)]
pub struct EventReceiver {
    /// Newest last.
    presses: [Option<Press>; REMEMBERED],
}

#[derive(Clone, Debug)]
struct Press {
    digit: Digit,
    ssrc: u32,
    first_timestamp: u32,
    /// Of the last segment, or of the last packet if it moves.
    timestamp: u32,
    first_sequence: u16,
    sequence: u16,
    /// The longest seen in this segment.
    duration: u16,
    /// An end packet came.
    ended: bool,
    /// It was told that the key is up.
    released: bool,
    /// By how much the timestamp moves per packet, if it does.
    move_per_packet: u32,
    seen_at: Instant,
}

impl EventReceiver {
    /// Takes a packet of the telephone-event payload type that the sequence check accepted. Codes above 15 (flash,
    /// modem and fax tones) are no keys and ignored.
    pub fn receive(&mut self, header: &Header, packet: EventPacket, now: Instant) -> Option<KeyUpdate> {
        let digit = Digit::from_event(packet.event)?;
        let Some(newest) = &mut self.presses[REMEMBERED - 1] else {
            return self.press(digit, header, packet, now);
        };
        if newest.ssrc != header.ssrc {
            return self.press(digit, header, packet, now);
        }
        let ahead = header.sequence.wrapping_sub(newest.sequence);
        if ahead.cast_signed() <= 0 && now.saturating_duration_since(newest.seen_at) < FORGET_ORDER {
            return self.receive_late(digit, header, packet, now);
        }
        if newest.is_continued_by(digit, header, packet, ahead) {
            return newest.update(header, packet, now);
        }
        self.press(digit, header, packet, now)
    }

    fn press(&mut self, digit: Digit, header: &Header, packet: EventPacket, now: Instant) -> Option<KeyUpdate> {
        self.presses.rotate_left(1);
        self.presses[REMEMBERED - 1] = Some(Press::new(digit, header, packet, now));
        Some(KeyUpdate::Pressed(digit))
    }

    /// A packet from before the newest one. If no press is known that it belongs to, all of its press was overtaken by
    /// the next one: out of order is better than lost.
    fn receive_late(&mut self, digit: Digit, header: &Header, packet: EventPacket, now: Instant) -> Option<KeyUpdate> {
        if self.presses.iter().flatten().any(|press| press.covers(digit, header)) {
            return None;
        }
        self.presses[0] = Some(Press::new(digit, header, packet, now));
        self.presses[..REMEMBERED - 1].rotate_left(1);
        Some(KeyUpdate::Overtaken(digit))
    }

    /// To be called from time to time: whether the key that was pressed last is up because nothing was heard of it.
    pub fn poll_silence(&mut self, now: Instant, packet_time: Duration) -> Option<KeyUpdate> {
        let newest = self.presses[REMEMBERED - 1].as_mut().filter(|press| !press.released)?;
        if now.saturating_duration_since(newest.seen_at) <= packet_time * SILENT_PACKETS {
            return None;
        }
        newest.released = true;
        Some(KeyUpdate::Released(newest.digit))
    }
}

impl Drop for EventReceiver {
    fn drop(&mut self) {
        for press in self.presses.iter_mut().flatten() {
            press.digit.zeroize();
        }
    }
}

impl Press {
    fn new(digit: Digit, header: &Header, packet: EventPacket, now: Instant) -> Self {
        Self {
            digit,
            ssrc: header.ssrc,
            first_timestamp: header.timestamp,
            timestamp: header.timestamp,
            first_sequence: header.sequence,
            sequence: header.sequence,
            duration: packet.duration,
            ended: packet.end,
            released: false,
            move_per_packet: USUAL_MOVE,
            seen_at: now,
        }
    }

    /// Whether a packet that came `ahead` numbers after the last one of this press still belongs to it.
    fn is_continued_by(&self, digit: Digit, header: &Header, packet: EventPacket, ahead: u16) -> bool {
        if digit != self.digit {
            return false;
        }
        let step = header.timestamp.wrapping_sub(self.timestamp);
        if step == 0 {
            return packet.end || self.is_grown_by(packet);
        }
        !header.marker && (self.is_next_segment(step, ahead) || self.is_moving(step, packet, ahead))
    }

    /// Same timestamp, no end bit: the duration grew, or it wrapped. One that is small again is another press.
    fn is_grown_by(&self, packet: EventPacket) -> bool {
        if self.ended {
            return packet.duration > self.duration;
        }
        packet.duration >= self.duration || (self.duration >= NEAR_LIMIT && packet.duration < NEAR_LIMIT)
    }

    /// A segment begins exactly where the one before it stopped; when packets between them were lost, only a duration
    /// near its limit tells.
    fn is_next_segment(&self, step: u32, ahead: u16) -> bool {
        let duration = u32::from(self.duration);
        let seamless = ahead == 1 && step == duration;
        let at_limit = self.duration >= NEAR_LIMIT && (duration..=0xffff).contains(&step);
        !self.ended && (seamless || at_limit)
    }

    fn is_moving(&self, step: u32, packet: EventPacket, ahead: u16) -> bool {
        let goes_on = if self.ended {
            // Repeats of the end. One whose timestamp moved by more than its number explains is the end of a new press,
            // all other packets of which were lost.
            packet.end && packet.duration >= self.duration && step <= u32::from(ahead) * self.move_per_packet
        } else {
            packet.duration > self.duration || (packet.end && packet.duration == self.duration)
        };
        goes_on && ahead <= NEIGHBOURS && step <= MAX_MOVE
    }

    fn update(&mut self, header: &Header, packet: EventPacket, now: Instant) -> Option<KeyUpdate> {
        let same_segment = header.timestamp == self.timestamp;
        let wrapped = self.duration >= NEAR_LIMIT && packet.duration < NEAR_LIMIT && !packet.end;
        self.duration = if same_segment && !wrapped {
            self.duration.max(packet.duration)
        } else {
            packet.duration
        };
        let ahead = u32::from(header.sequence.wrapping_sub(self.sequence)).max(1);
        if !same_segment && !self.ended {
            self.move_per_packet = header.timestamp.wrapping_sub(self.timestamp) / ahead;
        }
        self.timestamp = header.timestamp;
        self.sequence = header.sequence;
        self.seen_at = now;
        let is_repeat = self.ended && self.released;
        self.ended |= packet.end;
        if is_repeat {
            return None;
        }
        if self.released || !self.ended {
            // Down, or down again after an outage that was taken for its end.
            return Some(KeyUpdate::Held(self.digit));
        }
        self.released = true;
        Some(KeyUpdate::Released(self.digit))
    }

    /// Whether a late packet is one of this press: by its timestamp, or as a neighbour of its first packets.
    fn covers(&self, digit: Digit, header: &Header) -> bool {
        let since_first = header.timestamp.wrapping_sub(self.first_timestamp);
        let within_time = since_first <= self.timestamp.wrapping_sub(self.first_timestamp);
        let after_first = header
            .sequence
            .wrapping_sub(self.first_sequence.wrapping_sub(NEIGHBOURS));
        let within_sequence = after_first <= self.sequence.wrapping_sub(self.first_sequence.wrapping_sub(NEIGHBOURS));
        let moves = self.timestamp != self.first_timestamp;
        self.digit == digit && self.ssrc == header.ssrc && (within_time || (moves && within_sequence))
    }
}

#[cfg(test)]
mod tests {
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
            let [s1, s0] = sequence.to_be_bytes();
            let [t3, t2, t1, t0] = timestamp.to_be_bytes();
            let mut datagram = vec![0x80, 101 | u8::from(marker) << 7, s1, s0, t3, t2, t1, t0, 0, 0, 0, 7];
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
}
