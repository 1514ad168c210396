//! Telephone events sent (RFC 4733 section 2.5.1), for the test phone.

use std::collections::VecDeque;
use std::time::Duration;

use thiserror::Error;
use zeroize::Zeroize as _;

use super::EventPacket;
use crate::digit::Digit;
use crate::telephony::codec::samples_per;

/// The least time a key sounds, and the least pause after it (ITU-T Q.24).
const MIN_ON_OFF: Duration = Duration::from_millis(40);
/// The final packet goes out three times (2.5.1.4).
const END_PACKETS: u8 = 3;
const MAX_QUEUED: usize = 256;

/// More keys were handed in than can wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{MAX_QUEUED} keys are waiting to be sent")]
pub struct KeyQueueFull;

/// What to put into the packet that is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EventToSend {
    /// The RTP timestamp: that of the beginning of the event or segment.
    pub timestamp: u32,
    /// Set on the first packet of a press.
    pub marker: bool,
    /// The payload.
    pub packet: EventPacket,
}

/// Presses keys one after another.
#[derive(Debug, Default)]
pub struct KeySender {
    queue: VecDeque<Key>,
    current: Option<Sounding>,
    /// RTP time before which no key may begin.
    pause_until: Option<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Key {
    digit: Digit,
    on: u32,
    off: u32,
}

#[derive(Clone, Copy, Debug)]
struct Sounding {
    key: Key,
    /// Where the segment began.
    timestamp: u32,
    /// Duration within the segment.
    duration: u32,
    /// Duration of the whole press.
    elapsed: u32,
    ends_sent: u8,
}

impl KeySender {
    /// Queues a key that sounds for `on` and is followed by a pause of at least `off`; both are raised to 40 ms.
    pub fn press(&mut self, digit: Digit, on: Duration, off: Duration) -> Result<(), KeyQueueFull> {
        if self.queue.len() >= MAX_QUEUED {
            return Err(KeyQueueFull);
        }
        let units = |duration: Duration| u32::try_from(samples_per(duration.max(MIN_ON_OFF))).unwrap_or(u32::MAX);
        self.queue.push_back(Key {
            digit,
            on: units(on),
            off: units(off),
        });
        Ok(())
    }

    /// To be called once per packet time: the event packet that takes the place of audio, if a key is down.
    /// `timestamp` is that of the packet that is due, `samples` the packet time.
    pub fn poll(&mut self, timestamp: u32, samples: u32) -> Option<EventToSend> {
        let begins = self.current.is_none();
        let mut sounding = match self.current.take() {
            Some(sounding) => sounding,
            None => self.begin(timestamp)?,
        };
        let packet = sounding.next_packet(samples);
        if sounding.ends_sent == 1 {
            // The tone stops with the packet time that is being reported; the repeats fall into the pause.
            self.pause_until = Some(timestamp.wrapping_add(samples).wrapping_add(sounding.key.off));
        }
        let to_send = EventToSend {
            timestamp: sounding.timestamp,
            marker: begins,
            packet,
        };
        self.current = (sounding.ends_sent < END_PACKETS).then_some(sounding);
        Some(to_send)
    }

    /// Whether no key is down or waiting.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.current.is_none()
    }

    fn begin(&mut self, timestamp: u32) -> Option<Sounding> {
        if let Some(until) = self.pause_until {
            if timestamp.wrapping_sub(until).cast_signed() < 0 {
                return None;
            }
            self.pause_until = None;
        }
        let key = self.queue.pop_front()?;
        Some(Sounding {
            key,
            timestamp,
            duration: 0,
            elapsed: 0,
            ends_sent: 0,
        })
    }
}

impl Drop for KeySender {
    fn drop(&mut self) {
        for key in &mut self.queue {
            key.digit.zeroize();
        }
    }
}

impl Sounding {
    fn next_packet(&mut self, samples: u32) -> EventPacket {
        if self.ends_sent == 0 {
            self.elapsed = self.elapsed.saturating_add(samples);
            self.duration += samples;
            if self.duration > 0xffff {
                // 2.5.1.3: the next segment begins where the longest possible one stops.
                self.timestamp = self.timestamp.wrapping_add(0xffff);
                self.duration -= 0xffff;
            }
        }
        let end = self.elapsed >= self.key.on;
        self.ends_sent += u8::from(end);
        EventPacket {
            event: self.key.digit.event(),
            end,
            duration: u16::try_from(self.duration).unwrap_or(u16::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telephony::dtmf::{EventReceiver, KeyUpdate};
    use crate::telephony::rtp::Header;

    const MS: Duration = Duration::from_millis(1);

    fn sent(sender: &mut KeySender, polls: u32) -> Vec<(u32, Option<EventToSend>)> {
        (0..polls).map(|n| (n * 160, sender.poll(n * 160, 160))).collect()
    }

    #[test]
    fn duration_grows_and_the_end_goes_out_three_times() {
        let mut sender = KeySender::default();
        sender.press(Digit::D5, 60 * MS, 40 * MS).expect("room");
        let packets: Vec<_> = sent(&mut sender, 8)
            .into_iter()
            .filter_map(|(_, event)| event)
            .map(|event| (event.timestamp, event.marker, event.packet.end, event.packet.duration))
            .collect();
        assert_eq!(
            packets,
            [
                (0, true, false, 160),
                (0, false, false, 320),
                (0, false, true, 480),
                (0, false, true, 480),
                (0, false, true, 480),
            ]
        );
        assert!(sender.is_idle());
    }

    #[test]
    fn keys_are_at_least_40_ms_on_and_40_ms_off() {
        let mut sender = KeySender::default();
        for _ in 0..2 {
            sender.press(Digit::D5, MS, MS).expect("room");
        }
        let packets = sent(&mut sender, 20);
        let first_end = packets
            .iter()
            .find(|(_, event)| event.is_some_and(|event| event.packet.end));
        assert_eq!(
            first_end
                .and_then(|(_, event)| *event)
                .map(|event| event.packet.duration),
            Some(320)
        );
        let starts: Vec<u32> = packets
            .iter()
            .filter(|(_, event)| event.is_some_and(|event| event.marker))
            .map(|(at, _)| *at)
            .collect();
        assert_eq!(starts, [0, 640], "320 on, 320 off");
    }

    #[test]
    fn a_long_key_goes_on_in_segments_and_is_received_as_one() {
        let mut sender = KeySender::default();
        sender.press(Digit::Star, 20_000 * MS, 40 * MS).expect("room");
        let mut receiver = EventReceiver::default();
        let now = crate::time::monotonic();
        let mut presses = 0;
        let mut sequence = 0;
        for (_, event) in sent(&mut sender, 1_100) {
            let Some(event) = event else { continue };
            sequence += 1;
            let header = Header {
                marker: event.marker,
                sequence,
                timestamp: event.timestamp,
                ..Header::default()
            };
            let update = receiver.receive(&header, event.packet, now);
            presses += usize::from(matches!(update, Some(KeyUpdate::Pressed(Digit::Star))));
        }
        assert_eq!(presses, 1);
        assert!(sender.is_idle());
    }

    #[test]
    fn the_queue_is_bounded() {
        let mut sender = KeySender::default();
        for _ in 0..MAX_QUEUED {
            sender.press(Digit::D1, MS, MS).expect("room");
        }
        assert_eq!(sender.press(Digit::D1, MS, MS), Err(KeyQueueFull));
    }
}
