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
    /// Pressed, and to be counted when it goes up; with the last packet that told of it.
    down: Option<(Digit, Header)>,
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
        self.take(update, header, at)
    }

    /// Takes a telephone event from a redundant block; see [`EventReceiver::receive_redundant`].
    pub(super) fn redundant_event(&mut self, header: &Header, event: EventPacket, at: Instant) -> [Option<KeyNews>; 2] {
        let update = self.events.receive_redundant(header, event, at);
        self.take(update, header, at)
    }

    /// Takes a key that came by SIP INFO.
    pub(super) fn info(&mut self, digit: Digit, at: Instant) -> KeyNews {
        self.press(PressSource::Info, digit, at)
    }

    /// Lets time pass: a key that nothing is heard of is up. Gives the last packet that told of it as well.
    pub(super) fn tick(&mut self, now: Instant, packet_time: Duration) -> Option<(KeyNews, Header)> {
        self.events.poll_silence(now, packet_time)?;
        let (_, header) = self.down?;
        Some((self.release(now)?, header))
    }

    fn take(&mut self, update: Option<KeyUpdate>, header: &Header, at: Instant) -> [Option<KeyNews>; 2] {
        match update {
            Some(KeyUpdate::Pressed(digit)) => match self.moment {
                KeyMoment::Press => [Some(self.press(PressSource::Event, digit, at)), None],
                KeyMoment::Release => {
                    let before = self.release(at);
                    self.down = Some((digit, *header));
                    [before, Some(KeyNews::Sounding)]
                }
            },
            Some(KeyUpdate::Overtaken(digit)) => [Some(self.press(PressSource::Event, digit, at)), None],
            Some(KeyUpdate::Held(digit)) => {
                self.merger.held(PressSource::Event, digit, at);
                if let Some((_, last)) = &mut self.down {
                    *last = *header;
                }
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
        let (digit, _) = self.down.take()?;
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
