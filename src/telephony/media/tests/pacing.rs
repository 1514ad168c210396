//! Timestamps, sequence numbers, markers, and ticks that come late.

use super::harness::{Bench, MS, REMOTE, agreed, playlist, tone};
use crate::telephony::codec::Codec;
use crate::telephony::media::{Command, FirstSend, MediaEvent, PlaybackId, Segment, SessionConfig, Silence};
use crate::telephony::sdp::AgreedCodec;

#[test]
fn silence_is_sent_without_a_gap_and_only_the_first_packet_is_marked() {
    let mut bench = Bench::new();
    let start = bench.now;
    let packets: Vec<_> = bench.ticks(50).into_iter().flatten().collect();
    assert_eq!(packets.len(), 50);
    assert_eq!(bench.now - start, 49 * 20 * MS);
    assert!(
        packets
            .iter()
            .all(|packet| packet.is_silent() && packet.payload.len() == 160)
    );
    for (n, pair) in packets.windows(2).enumerate() {
        assert_eq!(pair[1].header.sequence, pair[0].header.sequence.wrapping_add(1));
        assert_eq!(pair[1].header.timestamp, pair[0].header.timestamp.wrapping_add(160));
        assert_eq!((pair[0].header.marker, pair[1].header.marker), (n == 0, false));
    }
}

#[test]
fn every_call_begins_at_a_random_sequence_timestamp_and_ssrc() {
    let mut ones = [0u32; 80];
    for seed in 0..400 {
        let header = Bench::with_seed(seed).tick().expect("a packet").header;
        assert!(header.marker);
        let bits = u128::from(header.sequence) << 64 | u128::from(header.timestamp) << 32 | u128::from(header.ssrc);
        for (at, count) in ones.iter_mut().enumerate() {
            *count += u32::from(bits >> at & 1 == 1);
        }
    }
    assert!(ones.iter().all(|count| (140..260).contains(count)), "{ones:?}");
}

#[test]
fn with_suppression_the_timestamp_counts_through_silence_and_each_spurt_is_marked() {
    let config = SessionConfig {
        silence: Silence::Suppress,
        ..SessionConfig::default()
    };
    let mut bench = Bench::with(config, agreed(REMOTE));
    bench.command(Command::Play(PlaybackId(1), playlist(vec![tone(40 * MS)])));
    let first: Vec<_> = bench.ticks(12).into_iter().flatten().collect();
    bench.command(Command::Play(PlaybackId(2), playlist(vec![tone(20 * MS)])));
    let second = bench.tick().expect("a packet");
    assert_eq!(first.len(), 2);
    assert_eq!(
        [first[0].header.marker, first[1].header.marker, second.header.marker],
        [true, false, true]
    );
    assert_eq!(
        second.header.timestamp,
        first[0].header.timestamp.wrapping_add(12 * 160)
    );
    assert_eq!(second.header.sequence, first[0].header.sequence.wrapping_add(2));
}

#[test]
fn late_tick_advances_timestamp_and_is_counted() {
    let mut bench = Bench::new();
    let start = bench.now;
    let before = bench.tick().expect("a packet");
    bench.now = start + 20 * MS + 65 * MS; // three packet times late
    let after = bench.tick_now().expect("a packet");
    assert_eq!(after.header.timestamp, before.header.timestamp.wrapping_add(4 * 160));
    assert_eq!(after.header.sequence, before.header.sequence.wrapping_add(1));
    assert!(after.header.marker, "a gap ends the talk spurt");
    assert_eq!(bench.session.deadline(), start + 100 * MS, "the schedule is absolute");
    let stats = bench.session.stats();
    assert_eq!(
        (stats.late_ticks, stats.skipped_packets, stats.max_lateness),
        (1, 3, 65 * MS)
    );
}

#[test]
fn a_tick_that_is_a_little_late_does_not_shift_the_schedule() {
    let mut bench = Bench::new();
    let start = bench.now;
    for n in 0..100u32 {
        bench.now = start + n * 20 * MS + (n % 19) * MS;
        assert!(bench.tick_now().is_some());
    }
    assert_eq!(bench.session.deadline(), start + 2_000 * MS);
    assert_eq!(bench.session.stats().skipped_packets, 0);
}

#[test]
fn an_hour_of_standstill_is_skipped_in_one_tick() {
    let mut bench = Bench::new();
    bench.now += 3_600_000 * MS;
    bench.tick_now().expect("a packet");
    assert!(bench.session.deadline() > bench.now);
    assert_eq!(bench.session.stats().skipped_packets, 180_000);
}

#[test]
fn a_playlist_is_played_to_its_end_and_told_once() {
    let mut bench = Bench::new();
    let segments = vec![tone(50 * MS), Segment::Silence(10 * MS), tone(30 * MS)];
    bench.command(Command::Play(PlaybackId(7), playlist(segments)));
    let mut loud = 0;
    for packet in bench.ticks(6).into_iter().flatten() {
        loud += packet
            .payload
            .iter()
            .filter(|&&byte| byte != Codec::Pcmu.silence())
            .count();
    }
    assert_eq!(loud, 80 * 8);
    assert_eq!(bench.events(), [MediaEvent::PlaybackFinished(PlaybackId(7))]);
}

#[test]
fn an_empty_playlist_is_finished_at_the_next_tick() {
    let mut bench = Bench::new();
    bench.command(Command::Play(PlaybackId(7), playlist(vec![])));
    assert!(bench.tick().expect("a packet").is_silent());
    assert_eq!(bench.events(), [MediaEvent::PlaybackFinished(PlaybackId(7))]);
}

#[test]
fn another_playback_stops_the_one_before_it() {
    let mut bench = Bench::new();
    bench.command(Command::Play(PlaybackId(1), playlist(vec![tone(1_000 * MS)])));
    bench.tick();
    bench.command(Command::Play(PlaybackId(2), playlist(vec![tone(20 * MS)])));
    bench.tick();
    assert_eq!(
        bench.events(),
        [
            MediaEvent::PlaybackStopped(PlaybackId(1)),
            MediaEvent::PlaybackFinished(PlaybackId(2))
        ]
    );
}

#[test]
fn stop_silences_the_next_packet() {
    let mut bench = Bench::new();
    bench.command(Command::Play(PlaybackId(1), playlist(vec![tone(1_000 * MS)])));
    assert!(!bench.tick().expect("a packet").is_silent());
    bench.command(Command::Stop);
    assert!(bench.tick().expect("a packet").is_silent());
    assert_eq!(bench.events(), [MediaEvent::PlaybackStopped(PlaybackId(1))]);
}

#[test]
fn every_packet_time_from_10_to_60_ms_is_kept() {
    for millis in [10u32, 20, 30, 40, 50, 60] {
        let mut negotiated = agreed(REMOTE);
        negotiated.packet_time = millis * MS;
        let mut bench = Bench::with(SessionConfig::default(), negotiated);
        let start = bench.now;
        let packets: Vec<_> = bench.ticks(3).into_iter().flatten().collect();
        assert!(packets.iter().all(|packet| packet.payload.len() == millis as usize * 8));
        assert_eq!(
            packets[2].header.timestamp,
            packets[0].header.timestamp.wrapping_add(millis * 16)
        );
        assert_eq!(bench.session.deadline() - start, 3 * millis * MS);
    }
}

#[test]
fn a_codec_change_in_mid_prompt_goes_on_where_it_was() {
    let mut bench = Bench::new();
    bench.command(Command::Play(PlaybackId(1), playlist(vec![tone(60 * MS)])));
    assert_eq!(bench.tick().expect("a packet").header.payload_type, 0);
    let mut changed = agreed(REMOTE);
    changed.codecs.remove(0);
    changed.codecs[0] = AgreedCodec {
        codec: Codec::Pcma,
        ..changed.codecs[0]
    };
    bench.command(Command::Reconfigure(Box::new(changed)));
    let packet = bench.tick().expect("a packet");
    assert_eq!(packet.header.payload_type, 8);
    assert!(
        packet
            .payload
            .iter()
            .all(|&byte| byte == Codec::Pcma.encode_sample(10_000))
    );
    bench.tick();
    assert_eq!(bench.events(), [MediaEvent::PlaybackFinished(PlaybackId(1))]);
}

#[test]
fn nothing_is_sent_before_the_far_end_was_heard_when_told_so() {
    let config = SessionConfig {
        first_send: FirstSend::AfterHearing,
        ..SessionConfig::default()
    };
    let mut bench = Bench::with(config, agreed(REMOTE));
    bench.command(Command::Play(PlaybackId(1), playlist(vec![tone(20 * MS)])));
    assert!(bench.ticks(500).iter().all(Option::is_none));
    let mut buffer = [0; 512];
    assert_eq!(bench.session.poll_rtcp(bench.now, &mut buffer), None);
    bench.receive(0, &[0xff; 160]);
    assert!(!bench.tick().expect("a packet").is_silent(), "the prompt waited");
}
