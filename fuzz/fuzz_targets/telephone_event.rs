//! Telephone events: any packets at all, and honest presses over a bad line.
#![no_main]

use std::collections::HashSet;
use std::time::Duration;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use passline::digit::Digit;
use passline::telephony::dtmf::{EventPacket, EventReceiver, KeySender, KeyUpdate, PressMerger, PressSource};
use passline::telephony::rtp::{Header, ReceiveStream};

const MS: Duration = Duration::from_millis(1);

fuzz_target!(|bytes: &[u8]| {
    let mut input = Unstructured::new(bytes);
    // Running out of bytes ends the call.
    let _ = match input.arbitrary::<u8>() {
        Ok(kind) if kind % 2 == 0 => anything(&mut input),
        Ok(_) => honest(&mut input),
        Err(_) => Ok(()),
    };
});

/// As in a session: the sequence check, then the events.
#[derive(Default)]
struct Line {
    stream: Option<ReceiveStream>,
    receiver: EventReceiver,
}

impl Line {
    fn take(&mut self, header: &Header, packet: EventPacket, now: std::time::Instant) -> Option<KeyUpdate> {
        let stream = self.stream.get_or_insert_with(|| ReceiveStream::new(8_000));
        stream
            .receive(header)
            .is_accepted()
            .then(|| self.receiver.receive(header, packet, now))
            .flatten()
    }
}

/// Ten bytes a packet: time, sequence, timestamp, SSRC and marker, payload. No count can exceed the packets of its key,
/// a key is only held or released after it was pressed, and copies change nothing.
fn anything(input: &mut Unstructured<'_>) -> Result<()> {
    let mut now = passline::time::monotonic();
    let (mut line, mut doubled) = (Line::default(), Line::default());
    let mut merger = PressMerger::default();
    let (mut sequence, mut timestamp) = (65_530_u16, u32::MAX - 1_000);
    let (mut packets, mut presses) = ([0_u32; 16], [0_u32; 16]);
    let mut down = HashSet::new();
    while !input.is_empty() {
        let wait: u8 = input.arbitrary()?;
        // Mostly packet times, sometimes many seconds.
        now += if wait < 200 {
            MS * u32::from(wait)
        } else {
            MS * 1_000 * u32::from(wait - 199)
        };
        sequence = sequence.wrapping_add_signed(input.arbitrary::<i16>()?);
        let step: i16 = input.arbitrary()?;
        timestamp = timestamp.wrapping_add_signed(i32::from(step));
        let flags: u8 = input.arbitrary()?;
        let payload: [u8; 4] = input.arbitrary()?;
        let header = Header {
            marker: flags & 1 != 0,
            payload_type: 101,
            sequence,
            timestamp,
            ssrc: u32::from(flags >> 6),
        };
        let packet = EventPacket::parse(&payload).expect("four bytes");
        assert_eq!(EventPacket::parse(&packet.to_bytes()), Some(packet));
        if let Some(count) = packets.get_mut(usize::from(packet.event)) {
            *count += 1;
        }
        let update = line.take(&header, packet, now);
        let copied = [doubled.take(&header, packet, now), doubled.take(&header, packet, now)];
        assert_eq!(update, copied.into_iter().flatten().next(), "a copy changes nothing");
        assert!(copied[0].is_none() || copied[1].is_none(), "a copy changes nothing");
        match update {
            Some(KeyUpdate::Pressed(digit) | KeyUpdate::Overtaken(digit)) => {
                assert_eq!(digit.event(), packet.event);
                presses[usize::from(digit.event())] += 1;
                assert!(presses[usize::from(digit.event())] <= packets[usize::from(digit.event())]);
                down.insert(digit.event());
                let from = if flags & 2 == 0 {
                    PressSource::Event
                } else {
                    PressSource::Info
                };
                let _ = merger.press(from, digit, now);
            }
            Some(KeyUpdate::Held(digit) | KeyUpdate::Released(digit)) => {
                assert!(down.contains(&digit.event()), "held before it was pressed");
                merger.held(PressSource::Event, digit, now);
            }
            None => {}
        }
    }
    Ok(())
}

/// Presses by our sender over a line that loses and doubles: each counts once if any of its packets arrives.
fn honest(input: &mut Unstructured<'_>) -> Result<()> {
    let mut sender = KeySender::default();
    let packet_time = [10_u32, 20, 30][usize::from(input.arbitrary::<u8>()? % 3)];
    let mut keys = Vec::new();
    for _ in 0..input.arbitrary::<u8>()? % 8 {
        let digit = Digit::from_event(input.arbitrary::<u8>()? % 4).expect("a key");
        let on = MS * (u32::from(input.arbitrary::<u8>()?) * 2);
        let off = MS * u32::from(input.arbitrary::<u8>()?);
        sender.press(digit, on, off).expect("room for eight");
        keys.push(digit);
    }
    let audio_between: bool = input.arbitrary()?;
    let mut now = passline::time::monotonic();
    let (mut sequence, mut timestamp) = (65_500_u16, u32::MAX - 2_000);
    let mut line = Line::default();
    // The line knows the sender: its first packet must not be one out of the middle.
    let (mut told, mut arrived) = (Vec::new(), vec![false; keys.len()]);
    let mut press = 0;
    while !sender.is_idle() {
        let event = sender.poll(timestamp, packet_time * 8);
        sequence = sequence.wrapping_add(u16::from(event.is_some() || audio_between));
        if let Some(event) = event {
            press += usize::from(event.marker);
            let header = Header {
                marker: event.marker,
                payload_type: 101,
                sequence,
                timestamp: event.timestamp,
                ssrc: 7,
            };
            // Lost, once or twice; when the bytes have run out everything arrives.
            let copies = input.arbitrary::<u8>().map_or(1, |byte| byte % 3);
            for _ in 0..copies {
                arrived[press - 1] = true;
                if let Some(KeyUpdate::Pressed(digit) | KeyUpdate::Overtaken(digit)) = line.take(&header, event.packet, now) {
                    told.push(digit.event());
                }
            }
        }
        timestamp = timestamp.wrapping_add(packet_time * 8);
        now += MS * packet_time;
    }
    let expected: Vec<u8> = keys
        .iter()
        .zip(&arrived)
        .filter(|(_, arrived)| **arrived)
        .map(|(key, _)| key.event())
        .collect();
    assert_eq!(told, expected, "every press once, in order");
    Ok(())
}
