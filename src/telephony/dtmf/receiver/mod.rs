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
//! | another SSRC in the middle of a key (fail-over, transfer) | same press while it had no end and lasts without a break |
//! | marker missing, or end packets of another duration | nothing depends on them |
//!
//! Redundant packets (RFC 2198) tell of events again. What they say of a press that is known changes nothing but that it may have
//! ended; a press that is not known was lost, and counts. How far back that can be told is bounded: whatever is as old as the
//! last press that was forgotten counts no more.
//!
//! A key is up with its first end packet, with the next press, or after [`SILENT_PACKETS`] packet times without a sign of
//! it ([`EventReceiver::poll_silence`]). What comes of it later is still the same press.

use std::time::{Duration, Instant};

use zeroize::Zeroize as _;

use super::EventPacket;
use crate::digit::Digit;
use crate::telephony::codec::CLOCK_RATE;
use crate::telephony::rtp::Header;

/// Presses that late and redundant packets are compared with; senders repeat five events.
const REMEMBERED: usize = 8;
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

/// Another press of a key cannot come so soon after a packet of the one before: an end of 10 ms or more and a pause of 40 ms
/// would have to lie between them, and two packets, as the first one of another SSRC is not taken.
const NO_BREAK: Duration = Duration::from_millis(60);
/// By how much less the duration of a key may have grown than time has passed: jitter. Of another press it has grown less by the
/// pause at least, and by what was heard of the one before.
const LATE: Duration = Duration::from_millis(50);
/// By how much more: the packet before was late.
const EARLY: Duration = Duration::from_millis(100);

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
    /// SSRC and timestamp of the latest press that was forgotten.
    forgotten: Option<(u32, u32)>,
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
            if newest.lasts_under_another_ssrc(digit, header, packet, now) {
                newest.follow_to(header, packet);
                return newest.update(header, packet, now);
            }
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

    /// Takes an event from a redundant block. `header` is that of the packet, with the timestamp of the block, and with the
    /// sequence number of the packet that the block repeats.
    pub fn receive_redundant(&mut self, header: &Header, packet: EventPacket, now: Instant) -> Option<KeyUpdate> {
        let digit = Digit::from_event(packet.event)?;
        if self.is_forgotten(header) {
            return None;
        }
        let newest = self.presses[REMEMBERED - 1].as_mut();
        match newest.filter(|newest| newest.ssrc == header.ssrc) {
            Some(newest) if newest.covers(digit, header) => newest.end_by(packet),
            Some(newest) if is_before(header.timestamp, newest.timestamp) => {
                self.receive_late(digit, header, packet, now)
            }
            _ => self.receive(header, packet, now),
        }
    }

    fn press(&mut self, digit: Digit, header: &Header, packet: EventPacket, now: Instant) -> Option<KeyUpdate> {
        self.forget();
        self.presses.rotate_left(1);
        self.presses[REMEMBERED - 1] = Some(Press::new(digit, header, packet, now));
        Some(KeyUpdate::Pressed(digit))
    }

    /// The press in the first place is about to go.
    fn forget(&mut self) {
        let Some(oldest) = &self.presses[0] else { return };
        let is_later = |(ssrc, timestamp)| ssrc != oldest.ssrc || is_before(timestamp, oldest.timestamp);
        if self.forgotten.is_none_or(is_later) {
            self.forgotten = Some((oldest.ssrc, oldest.timestamp));
        }
    }

    fn is_forgotten(&self, header: &Header) -> bool {
        self.forgotten
            .is_some_and(|(ssrc, timestamp)| ssrc == header.ssrc && !is_before(timestamp, header.timestamp))
    }

    /// A packet from before the newest one. If no press is known that it belongs to, all of its press was overtaken by
    /// the next one: out of order is better than lost.
    fn receive_late(&mut self, digit: Digit, header: &Header, packet: EventPacket, now: Instant) -> Option<KeyUpdate> {
        if self.presses.iter().flatten().any(|press| press.covers(digit, header)) {
            return None;
        }
        self.forget();
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

/// Timestamps wrap.
fn is_before(timestamp: u32, other: u32) -> bool {
    timestamp.wrapping_sub(other).cast_signed() < 0
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

    /// Sequence and timestamp begin anew with an SSRC (RFC 3550 section 5.1), so only time tells: either there was no break, or
    /// the duration has grown by what has passed.
    fn lasts_under_another_ssrc(&self, digit: Digit, header: &Header, packet: EventPacket, now: Instant) -> bool {
        if digit != self.digit || self.ended {
            return false;
        }
        let passed = now.saturating_duration_since(self.seen_at);
        // Wraps with the duration.
        let grown = packet.duration.wrapping_sub(self.duration);
        let grown = Duration::from_secs(1) * u32::from(grown) / CLOCK_RATE;
        let has_grown = grown + LATE >= passed && grown <= passed + EARLY;
        passed <= NO_BREAK || (has_grown && !header.marker)
    }

    /// The stream goes on under another SSRC.
    fn follow_to(&mut self, header: &Header, packet: EventPacket) {
        self.ssrc = header.ssrc;
        self.first_timestamp = header.timestamp;
        self.timestamp = header.timestamp;
        self.first_sequence = header.sequence;
        self.sequence = header.sequence;
        // A gateway that took over may count from its own beginning.
        self.duration = packet.duration;
        self.move_per_packet = USUAL_MOVE;
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

    /// A redundant block tells of this press again, perhaps that it has ended.
    fn end_by(&mut self, packet: EventPacket) -> Option<KeyUpdate> {
        let was_over = self.ended || self.released;
        self.ended |= packet.end;
        self.duration = self.duration.max(packet.duration);
        self.released |= packet.end;
        (packet.end && !was_over).then_some(KeyUpdate::Released(self.digit))
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
mod tests;
