//! RTP and RTCP into a session that plays, is put on hold and goes on: no panic, nothing unbounded, its pace kept.
//!
//! The input is a row of steps: a kind, a length, that many bytes.
#![no_main]

use std::net::SocketAddr;
use std::time::Duration;

use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use passline::digit::Digit;
use passline::telephony::codec::{Clip, Codec};
use passline::telephony::media::{
    Command, MAX_PACKET_LEN, MediaEvent, OnKey, PlaybackId, Playlist, Port, Privacy, Segment, Session, SessionConfig,
    SoundDetection,
};
use passline::telephony::rtp::{Packet, ReceiveStream, rtcp};
use passline::telephony::sdp::{AgreedCodec, Direction, Negotiated, PayloadPair};
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const MS: Duration = Duration::from_millis(1);

fn agreed() -> Negotiated {
    let same = |number| PayloadPair {
        send: number,
        receive: number,
    };
    Negotiated {
        codecs: [Codec::Pcmu, Codec::Pcma]
            .map(|codec| AgreedCodec {
                codec,
                payload: same(codec.payload_type()),
            })
            .to_vec(),
        telephone_event: Some(same(101)),
        redundancy: Some(same(121)),
        remote_rtp: Some(SocketAddr::from(([192, 0, 2, 9], 30_000))),
        remote_rtcp: Some(SocketAddr::from(([192, 0, 2, 9], 30_001))),
        rtcp_mux: false,
        direction: Direction::SendRecv,
        packet_time: 20 * MS,
    }
}

/// What an RTCP compound says, and whether it holds together.
fn read_compound(datagram: &[u8]) {
    let Ok(compound) = rtcp::Compound::parse(datagram) else {
        return;
    };
    let mut packets = 0;
    for packet in compound {
        packets += 1;
        match packet {
            rtcp::RtcpPacket::SenderReport { blocks, .. } | rtcp::RtcpPacket::ReceiverReport { blocks, .. } => {
                assert!(
                    blocks
                        .inspect(|block| {
                            let _ = rtcp::round_trip(block, rtcp::ntp(MS));
                        })
                        .count()
                        <= 31
                );
            }
            rtcp::RtcpPacket::Goodbye { .. } | rtcp::RtcpPacket::Other => {}
        }
    }
    assert!(packets >= 1 && packets * 4 <= datagram.len());
}

struct Call {
    session: Session,
    stream: ReceiveStream,
    agreed: Negotiated,
    now: std::time::Instant,
    playbacks: u64,
    ended: u64,
    lost_events: u64,
}

impl Call {
    fn receive(&mut self, port: Port, from: u8, datagram: &[u8]) {
        read_compound(datagram);
        if let Ok(packet) = Packet::parse(datagram) {
            assert!(packet.payload.len() + 12 <= datagram.len());
            if self.stream.receive(&packet.header).is_accepted() {
                self.stream.measure(packet.header.timestamp, self.now);
            }
            let _ = (self.stream.report_block(), self.stream.stats());
        }
        let from = SocketAddr::from(([192, 0, 2, 9 + from % 3], 30_000 + u16::from(from % 2)));
        self.session.handle_datagram(port, from, datagram, self.now);
    }

    fn command(&mut self, bytes: &[u8]) {
        let [kind, value, ..] = *bytes else { return };
        let digit = Digit::from_event(value % 16).expect("a key");
        let command = match kind % 7 {
            0 => {
                self.playbacks += 1;
                let length = usize::from(value) * 8;
                Command::Play(
                    PlaybackId(self.playbacks),
                    Playlist {
                        segments: vec![
                            Segment::Clip(Clip::from_pcm(&vec![9_000; length])),
                            Segment::Silence(MS * u32::from(value)),
                        ],
                        privacy: if value & 1 == 0 {
                            Privacy::Public
                        } else {
                            Privacy::Secret
                        },
                        on_key: if value & 2 == 0 {
                            OnKey::Stop
                        } else {
                            OnKey::KeepPlaying
                        },
                    },
                )
            }
            1 => Command::Stop,
            2 => Command::InfoDigit(digit),
            3 => Command::Press {
                digit,
                on: MS * u32::from(value),
                off: Duration::ZERO,
            },
            4 => {
                let directions = [
                    Direction::SendRecv,
                    Direction::SendOnly,
                    Direction::RecvOnly,
                    Direction::Inactive,
                ];
                self.agreed.direction = directions[usize::from(value % 4)];
                self.agreed.remote_rtp = (value & 4 == 0).then(|| SocketAddr::from(([192, 0, 2, 9], 30_000)));
                self.agreed.rtcp_mux = value & 8 != 0;
                Command::Reconfigure(Box::new(self.agreed.clone()))
            }
            5 => {
                self.agreed.packet_time = MS * u32::from(value);
                Command::Reconfigure(Box::new(self.agreed.clone()))
            }
            _ => {
                self.agreed.telephone_event = (value < 128).then_some(PayloadPair {
                    send: value,
                    receive: value ^ 1,
                });
                Command::Reconfigure(Box::new(self.agreed.clone()))
            }
        };
        self.session.handle_command(command, self.now);
    }

    /// Lets time pass as a worker does: a tick for each deadline, and sometimes one that comes late.
    fn pass(&mut self, span: Duration, late: bool) {
        let mut buffer = [0; MAX_PACKET_LEN];
        let end = self.now + span;
        while self.session.deadline() <= end {
            self.now = if late {
                end
            } else {
                self.session.deadline().max(self.now)
            };
            let sent = self.session.tick(self.now, &mut buffer);
            assert!(self.session.deadline() > self.now, "one packet a packet time");
            if let Some(sent) = sent {
                let packet = Packet::parse(&buffer[..sent.len]).expect("we send RTP");
                assert!(!packet.payload.is_empty() && packet.payload.len() <= 480);
            }
            if let Some(sent) = self.session.poll_rtcp(self.now, &mut buffer) {
                rtcp::Compound::parse(&buffer[..sent.len]).expect("we send RTCP");
            }
            self.events();
        }
        self.now = end;
    }

    fn events(&mut self) {
        let mut events = 0;
        while let Some(event) = self.session.poll_event() {
            events += 1;
            self.ended += u64::from(matches!(
                event,
                MediaEvent::PlaybackFinished(_) | MediaEvent::PlaybackStopped(_)
            ));
        }
        assert!(events <= 64, "a bounded queue");
        self.lost_events = self.session.stats().events_dropped.into();
    }
}

fn call(input: &mut Unstructured<'_>) -> Result<()> {
    let now = passline::time::monotonic();
    let config = SessionConfig {
        sound_detection: SoundDetection::On,
        ..SessionConfig::default()
    };
    let mut call = Call {
        session: Session::new(config, agreed(), now, StdRng::seed_from_u64(1)),
        stream: ReceiveStream::new(8_000),
        agreed: agreed(),
        now,
        playbacks: 0,
        ended: 0,
        lost_events: 0,
    };
    let mut ticks_left = 3_000_u32;
    while !input.is_empty() {
        let kind: u8 = input.arbitrary()?;
        let length = usize::from(input.arbitrary::<u8>()?).min(input.len());
        let bytes = input.bytes(length)?;
        match kind % 6 {
            0 | 1 => call.receive(Port::Rtp, kind / 6, bytes),
            2 => call.receive(Port::Rtcp, kind / 6, bytes),
            3 => call.command(bytes),
            _ => {
                let millis = bytes
                    .iter()
                    .fold(0_u32, |sum, byte| (sum * 4 + u32::from(*byte)) % 60_000);
                let late = kind % 6 == 5;
                if !late {
                    let ticks = millis / 10;
                    let Some(left) = ticks_left.checked_sub(ticks) else {
                        break;
                    };
                    ticks_left = left;
                }
                call.pass(MS * millis, late);
            }
        }
        call.events();
    }
    call.session.handle_command(Command::Stop, call.now);
    call.events();
    // An event that was told or counted as dropped for each playback.
    assert!(
        call.ended <= call.playbacks && call.playbacks <= call.ended + call.lost_events,
        "a playback ends once"
    );
    let _ = call.session.goodbye(call.now, &mut [0; MAX_PACKET_LEN]);
    Ok(())
}

fuzz_target!(|bytes: &[u8]| {
    read_compound(bytes);
    // Running out of bytes ends the call.
    let _ = call(&mut Unstructured::new(bytes));
});
