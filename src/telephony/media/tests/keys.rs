//! Keys of the caller, and barge-in.

use super::harness::{Bench, MS, REMOTE, Seen, agreed, playlist, tone};
use crate::digit::Digit;
use crate::telephony::dtmf::KeyMoment;
use crate::telephony::media::{Command, MediaEvent, OnKey, PlaybackId, Playlist, SessionConfig};
use crate::telephony::sdp::PayloadPair;

fn presses(events: &[MediaEvent]) -> Vec<Digit> {
    events
        .iter()
        .filter_map(|event| match event {
            MediaEvent::DigitPressed(digit, _) => Some(*digit),
            _ => None,
        })
        .collect()
}

#[test]
fn a_key_silences_the_prompt_in_the_packet_of_the_same_tick() {
    let mut bench = Bench::new();
    bench.command(Command::Play(PlaybackId(1), playlist(vec![tone(1_000 * MS)])));
    assert!(!bench.tick().expect("a packet").is_silent());
    bench.receive_key(5);
    assert!(bench.tick().expect("a packet").is_silent());
    let at = bench.now - 20 * MS;
    assert_eq!(
        bench.events(),
        [
            MediaEvent::DigitPressed(Digit::D5, at),
            MediaEvent::PlaybackStopped(PlaybackId(1))
        ]
    );
}

#[test]
fn a_prompt_that_must_be_heard_goes_on() {
    let mut bench = Bench::new();
    let must_hear = Playlist {
        on_key: OnKey::KeepPlaying,
        ..playlist(vec![tone(1_000 * MS)])
    };
    bench.command(Command::Play(PlaybackId(1), must_hear));
    bench.receive_key(5);
    assert!(!bench.tick().expect("a packet").is_silent());
    assert_eq!(presses(&bench.events()), [Digit::D5]);
}

#[test]
fn event_and_info_of_one_press_count_once() {
    let mut bench = Bench::new();
    bench.receive_key(5);
    bench.now += 60 * MS;
    bench.command(Command::InfoDigit(Digit::D5));
    bench.now += 400 * MS;
    bench.command(Command::InfoDigit(Digit::D6));
    assert_eq!(presses(&bench.events()), [Digit::D5, Digit::D6]);
    let stats = bench.session.stats();
    assert_eq!(
        (stats.digits_by_event, stats.digits_by_info, stats.digits_merged),
        (1, 1, 1)
    );
}

#[test]
fn payload_numbers_may_differ_by_direction() {
    let mut negotiated = agreed(REMOTE);
    negotiated.telephone_event = Some(PayloadPair { send: 96, receive: 101 });
    let mut bench = Bench::with(SessionConfig::default(), negotiated);
    bench.receive(101, &[1, 10, 0, 160]);
    bench.receive(96, &[2, 10, 0, 160]);
    assert_eq!(
        presses(&bench.events()),
        [Digit::D1, Digit::D2],
        "a gateway that uses its own number is understood"
    );
    bench.command(Command::Press {
        digit: Digit::D7,
        on: 40 * MS,
        off: 40 * MS,
    });
    assert_eq!(bench.tick().expect("a packet").header.payload_type, 96);
}

#[test]
fn audio_may_go_on_while_a_key_is_down() {
    let mut bench = Bench::new();
    bench.tick();
    for n in 1..=5u16 {
        bench.receive(0, &[0xff; 160]);
        bench.receive_event_at(8_000, &[5, 10, ((n * 160) >> 8) as u8, (n * 160) as u8]);
        bench.tick();
    }
    assert_eq!(presses(&bench.events()), [Digit::D5]);
    let received = bench.session.stats().received;
    assert_eq!((received.lost, received.received), (0, 10));
    assert!(
        received.jitter < MS,
        "events do not count for jitter: {:?}",
        received.jitter
    );
}

#[test]
fn two_hundred_keys_in_one_tick_are_bounded() {
    let mut bench = Bench::new();
    for n in 0..200u8 {
        bench.receive_key(n % 2);
    }
    let told = bench.events().len();
    assert_eq!(told, 64);
    assert_eq!(bench.session.stats().events_dropped, 200 - 64);
}

#[test]
fn a_pressed_key_takes_the_place_of_audio_and_audio_comes_back() {
    let mut bench = Bench::new();
    bench.tick();
    bench.command(Command::Press {
        digit: Digit::Pound,
        on: 40 * MS,
        off: 40 * MS,
    });
    let packets: Vec<Seen> = bench.ticks(6).into_iter().flatten().collect();
    let kinds: Vec<_> = packets.iter().map(|packet| packet.header.payload_type).collect();
    assert_eq!(kinds, [101, 101, 101, 101, 0, 0]);
    assert!(packets[0].header.marker && !packets[1].header.marker);
    assert!(
        packets[..4]
            .iter()
            .all(|packet| packet.header.timestamp == packets[0].header.timestamp)
    );
    assert_eq!(packets[3].payload, [11, 0x8a, 1, 0x40]);
    assert_eq!(
        packets[4].header.timestamp,
        packets[0].header.timestamp.wrapping_add(4 * 160)
    );
    assert_eq!(bench.events(), [MediaEvent::KeysSent]);
}

#[test]
fn a_key_that_cannot_be_sent_is_counted() {
    let mut negotiated = agreed(REMOTE);
    negotiated.telephone_event = None;
    let mut bench = Bench::with(SessionConfig::default(), negotiated);
    bench.command(Command::Press {
        digit: Digit::D1,
        on: 40 * MS,
        off: 40 * MS,
    });
    assert_eq!(bench.tick().expect("a packet").header.payload_type, 0);
    assert_eq!(bench.session.stats().keys_not_sent, 1);
}

#[test]
fn statistics_and_events_never_say_which_key() {
    let mut bench = Bench::new();
    bench.receive_key(5);
    let text = format!("{:?} {:?} {:?}", bench.session.stats(), bench.events(), bench.session);
    assert!(!text.contains("D5"), "{text}");
}

/// Keys that count with their release.
fn patient() -> Bench {
    let config = SessionConfig {
        key_moment: KeyMoment::Release,
        ..SessionConfig::default()
    };
    Bench::with(config, agreed(REMOTE))
}

#[test]
fn a_key_counts_on_its_release_where_that_is_wanted() {
    let mut bench = patient();
    bench.command(Command::Play(PlaybackId(1), playlist(vec![tone(1_000 * MS)])));
    for duration in [160, 240] {
        bench.receive_event_at(800, &[5, 10, 0, duration]);
        bench.tick();
    }
    assert_eq!(bench.events(), []);
    for _ in 0..3 {
        bench.receive_event_at(800, &[5, 0x8a, 1, 0x40]);
        bench.tick();
    }
    let at = bench.now - 2 * 20 * MS;
    assert_eq!(
        bench.events(),
        [
            MediaEvent::DigitPressed(Digit::D5, at - 20 * MS),
            MediaEvent::PlaybackStopped(PlaybackId(1))
        ]
    );
    bench.ticks(100);
    assert_eq!(bench.events(), []);
}

#[test]
fn all_three_ends_lost_three_packet_times_of_silence_are_a_release() {
    let mut bench = patient();
    bench.tick();
    bench.receive_event_at(800, &[5, 10, 0, 160]);
    bench.ticks(3);
    assert_eq!(bench.events(), []);
    bench.ticks(1);
    assert_eq!(presses(&bench.events()), [Digit::D5]);
    bench.receive_event_at(800, &[5, 10, 0, 240]);
    bench.receive_event_at(800, &[5, 0x8a, 1, 0x40]);
    bench.ticks(10);
    assert_eq!(bench.events(), [], "it was an outage: the key is the same one");
}

#[test]
fn the_next_press_is_a_release_as_well_and_a_lone_end_is_a_press() {
    let mut bench = patient();
    bench.receive_event_at(800, &[5, 10, 0, 160]);
    bench.receive_event_at(2_400, &[6, 10, 0, 160]);
    assert_eq!(presses(&bench.events()), [Digit::D5]);
    bench.receive_event_at(4_000, &[7, 0x8a, 1, 0x40]);
    assert_eq!(presses(&bench.events()), [Digit::D6]);
    bench.receive_event_at(4_000, &[7, 0x8a, 1, 0x40]);
    assert_eq!(presses(&bench.events()), [Digit::D7]);
}

#[test]
fn release_and_info_of_one_press_count_once() {
    let mut bench = patient();
    bench.receive_event_at(800, &[5, 10, 0, 160]);
    bench.command(Command::InfoDigit(Digit::D5));
    bench.receive_event_at(800, &[5, 0x8a, 1, 0x40]);
    assert_eq!(presses(&bench.events()), [Digit::D5]);
}

/// A media gateway sends the event, the SIP side of it INFO, and the tone stays in the audio.
#[test]
fn fast_double_presses_both_ways_stay_two() {
    let mut bench = Bench::new();
    for press in 0..2u32 {
        for duration in [160, 240] {
            bench.receive_event_at(800 + press * 800, &[5, 10, 0, duration]);
            bench.now += 20 * MS;
        }
        bench.receive_event_at(800 + press * 800, &[5, 0x8a, 1, 0x90]);
        bench.now += 10 * MS;
        bench.command(Command::InfoDigit(Digit::D5));
        bench.now += 50 * MS;
    }
    assert_eq!(presses(&bench.events()), [Digit::D5; 2]);
}

/// A fail-over in the middle of a key: the audio and the event go on under another SSRC, whose first packet is not taken.
#[test]
fn a_key_that_lasts_over_a_change_of_ssrc_counts_once_and_the_next_one_as_well() {
    for moment in [KeyMoment::Press, KeyMoment::Release] {
        let config = SessionConfig {
            key_moment: moment,
            ..SessionConfig::default()
        };
        let mut bench = Bench::with(config, agreed(REMOTE));
        bench.receive(0, &[0xff; 160]);
        let send = |bench: &mut Bench, ssrc, timestamp, payload: [u8; 4]| {
            bench.ssrc = ssrc;
            bench.receive_event_at(timestamp, &payload);
            bench.tick();
        };
        for duration in [160, 240] {
            send(&mut bench, 77, 800, [5, 10, 0, duration]);
        }
        for duration in [0x0140_u16, 0x01e0, 0x0280] {
            let [high, low] = duration.to_be_bytes();
            send(&mut bench, 78, 9_000, [5, 10, high, low]);
        }
        for _ in 0..3 {
            send(&mut bench, 78, 9_000, [5, 0x8a, 3, 0x20]);
        }
        send(&mut bench, 78, 12_000, [5, 10, 0, 160]);
        send(&mut bench, 78, 12_000, [5, 0x8a, 1, 0x40]);
        bench.ticks(20);
        assert_eq!(presses(&bench.events()), [Digit::D5; 2], "{moment:?}");
    }
}
