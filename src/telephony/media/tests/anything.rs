//! Whatever is sent, asked and waited: no panic, no unbounded growth, and never more than one packet per packet time.

use std::time::Duration;

use proptest::prelude::*;

use super::harness::{Bench, REMOTE, agreed, playlist, socket, tone};
use crate::digit::Digit;
use crate::telephony::media::{Command, PlaybackId, Port, SessionConfig, SoundDetection};
use crate::telephony::sdp::{Direction, Negotiated};

#[derive(Clone, Debug)]
enum Step {
    Datagram {
        port: Port,
        source: u8,
        bytes: Vec<u8>,
    },
    Rtp {
        source: u8,
        payload_type: u8,
        sequence: u16,
        timestamp: u32,
        ssrc: u8,
        payload: Vec<u8>,
    },
    Play(u16),
    Stop,
    Press(u8),
    Info(u8),
    Hold(Direction, bool),
    PacketTime(u64),
    Wait(u32),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let bytes = || proptest::collection::vec(any::<u8>(), 0..64);
    let direction = proptest::sample::select(vec![
        Direction::SendRecv,
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
    ]);
    let payload_type = proptest::sample::select(vec![0, 8, 13, 96, 101, 101]);
    let port = proptest::sample::select(vec![Port::Rtp, Port::Rtcp]);
    let step = prop_oneof![
        (port, 0..3u8, bytes()).prop_map(|(port, source, bytes)| Step::Datagram { port, source, bytes }),
        (0..3u8, payload_type, 0..40u16, any::<u32>(), 0..3u8, bytes()).prop_map(
            |(source, payload_type, sequence, timestamp, ssrc, payload)| Step::Rtp {
                source,
                payload_type,
                sequence: sequence.wrapping_sub(20),
                timestamp,
                ssrc,
                payload,
            }
        ),
        (0..500u16).prop_map(Step::Play),
        Just(Step::Stop),
        (0..16u8).prop_map(Step::Press),
        (0..16u8).prop_map(Step::Info),
        (direction, any::<bool>()).prop_map(|(direction, old)| Step::Hold(direction, old)),
        (10..=60u64).prop_map(Step::PacketTime),
        (0..200_000_000u32).prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..60)
}

fn source(number: u8) -> &'static str {
    [REMOTE, "192.0.2.9:30001", "198.51.100.66:6666"][usize::from(number) % 3]
}

fn apply(bench: &mut Bench, step: Step, agreed: &mut Negotiated) {
    match step {
        Step::Datagram {
            port,
            source: from,
            bytes,
        } => {
            bench
                .session
                .handle_datagram(port, socket(source(from)), &bytes, bench.now);
        }
        Step::Rtp {
            source: from,
            payload_type,
            sequence,
            timestamp,
            ssrc,
            payload,
        } => {
            let ssrc = u32::from(ssrc);
            let header = crate::telephony::rtp::Header {
                marker: false,
                payload_type,
                sequence,
                timestamp,
                ssrc,
            };
            bench.receive_packet(source(from), &header, &payload);
        }
        Step::Play(millis) => {
            let clip = tone(Duration::from_millis(millis.into()));
            bench.command(Command::Play(PlaybackId(millis.into()), playlist(vec![clip])));
        }
        Step::Stop => bench.command(Command::Stop),
        Step::Press(code) => {
            let digit = Digit::from_event(code).unwrap_or_default();
            bench.command(Command::Press {
                digit,
                on: Duration::ZERO,
                off: Duration::ZERO,
            });
        }
        Step::Info(code) => bench.command(Command::InfoDigit(Digit::from_event(code).unwrap_or_default())),
        Step::Hold(direction, old) => {
            agreed.direction = direction;
            agreed.remote_rtp = (!old).then(|| socket(REMOTE));
            bench.command(Command::Reconfigure(Box::new(agreed.clone())));
        }
        Step::PacketTime(millis) => {
            agreed.packet_time = Duration::from_millis(millis);
            bench.command(Command::Reconfigure(Box::new(agreed.clone())));
        }
        Step::Wait(micros) => bench.now += Duration::from_micros(micros.into()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_call_is_survived(steps in steps()) {
        let config = SessionConfig { sound_detection: SoundDetection::On, ..SessionConfig::default() };
        let mut bench = Bench::with(config, agreed(REMOTE));
        let mut agreed = agreed(REMOTE);
        for step in steps {
            apply(&mut bench, step, &mut agreed);
            let due = bench.session.deadline();
            if bench.now >= due {
                bench.tick_now();
                prop_assert!(bench.session.deadline() > bench.now, "behind after a tick");
                let mut buffer = [0; 512];
                bench.session.poll_rtcp(bench.now, &mut buffer);
            }
            prop_assert!(bench.events().len() <= 64);
        }
    }
}
