//! Keys of the caller, from all the ways in which they come: which reports count, and when.

use std::time::{Duration, Instant};

use crate::digit::Digit;
use crate::telephony::dtmf::{EventPacket, EventReceiver, KeyMoment, KeyUpdate, PressMerger, PressSource};
use crate::telephony::rtp::Header;

/// What is to be done about a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum KeyNews {
    /// It counts.
    Counts(Digit, PressSource),
    /// It came before, in another way.
    Merged,
    /// A key is down, or has just gone up: its tone is in the audio.
    Sounding,
}

/// The keys of one call.
#[derive(Debug)]
pub(super) struct Keys {
    events: EventReceiver,
    merger: PressMerger,
    moment: KeyMoment,
    /// Pressed, and to be counted when it goes up.
    down: Option<Digit>,
}

impl Keys {
    pub(super) fn new(moment: KeyMoment) -> Self {
        Self {
            events: EventReceiver::default(),
            merger: PressMerger::default(),
            moment,
            down: None,
        }
    }

    /// Takes a telephone event.
    pub(super) fn event(&mut self, header: &Header, event: EventPacket, at: Instant) -> [Option<KeyNews>; 2] {
        let update = self.events.receive(header, event, at);
        self.take(update, at)
    }

    /// Takes a key that came by SIP INFO.
    pub(super) fn info(&mut self, digit: Digit, at: Instant) -> KeyNews {
        self.press(PressSource::Info, digit, at)
    }

    /// Lets time pass: a key that nothing is heard of is up.
    pub(super) fn tick(&mut self, now: Instant, packet_time: Duration) -> Option<KeyNews> {
        self.events.poll_silence(now, packet_time)?;
        self.release(now)
    }

    fn take(&mut self, update: Option<KeyUpdate>, at: Instant) -> [Option<KeyNews>; 2] {
        match update {
            Some(KeyUpdate::Pressed(digit)) => match self.moment {
                KeyMoment::Press => [Some(self.press(PressSource::Event, digit, at)), None],
                KeyMoment::Release => {
                    let before = self.release(at);
                    self.down = Some(digit);
                    [before, Some(KeyNews::Sounding)]
                }
            },
            Some(KeyUpdate::Overtaken(digit)) => [Some(self.press(PressSource::Event, digit, at)), None],
            Some(KeyUpdate::Held(digit)) => {
                self.merger.held(PressSource::Event, digit, at);
                [Some(KeyNews::Sounding), None]
            }
            Some(KeyUpdate::Released(digit)) => {
                self.merger.held(PressSource::Event, digit, at);
                [Some(self.release(at).unwrap_or(KeyNews::Sounding)), None]
            }
            None => [None, None],
        }
    }

    fn release(&mut self, at: Instant) -> Option<KeyNews> {
        let digit = self.down.take()?;
        Some(self.press(PressSource::Event, digit, at))
    }

    fn press(&mut self, source: PressSource, digit: Digit, at: Instant) -> KeyNews {
        if self.merger.press(source, digit, at) {
            KeyNews::Counts(digit, source)
        } else {
            KeyNews::Merged
        }
    }
}
