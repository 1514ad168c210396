//! One packet time of one call, and what is in it.

use std::hint::black_box;
use std::net::SocketAddr;
use std::time::Duration;

use criterion::{Criterion, Throughput};
use passline::telephony::codec::{Clip, Codec};
use passline::telephony::dtmf::{EventPacket, EventReceiver};
use passline::telephony::media::{
    Command, MAX_PACKET_LEN, MediaEvent, PlaybackId, Playlist, Port, Segment, Session, SessionConfig,
};
use passline::telephony::rtp::{Header, Packet, ReceiveStream};
use passline::telephony::sdp::{AgreedCodec, Direction, Negotiated, PayloadPair};
use passline::time::monotonic;
use rand::SeedableRng as _;
use rand::rngs::StdRng;

const PACKET_TIME: Duration = Duration::from_millis(20);

pub(crate) fn all(criterion: &mut Criterion) {
    codec(criterion);
    receiving(criterion);
    session(criterion);
}

fn codec(criterion: &mut Criterion) {
    let pcm: Vec<i16> = (0..160_i16).map(|n| n * 199).collect();
    let mut group = criterion.benchmark_group("codec");
    group.throughput(Throughput::Elements(160));
    for codec in Codec::ALL {
        let payload = codec.encode(&pcm);
        let name = codec.encoding_name();
        group.bench_function(format!("encode 20 ms of {name}"), |bencher| {
            bencher.iter(|| codec.encode(black_box(&pcm)))
        });
        group.bench_function(format!("decode 20 ms of {name}"), |bencher| {
            bencher.iter(|| codec.decode(black_box(&payload)))
        });
    }
    group.finish();
}

/// A packet of 20 ms, from bytes that are changed in place.
struct FarEnd {
    datagram: [u8; 172],
    sequence: u16,
    timestamp: u32,
}

impl FarEnd {
    fn new() -> Self {
        Self {
            datagram: [0x55; 172],
            sequence: 0,
            timestamp: 0,
        }
    }

    fn next(&mut self, payload_type: u8) -> &[u8] {
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(160);
        let header = Header {
            marker: false,
            payload_type,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: 7,
        };
        let _ = header.write(&mut self.datagram).expect("room");
        &self.datagram
    }
}

fn receiving(criterion: &mut Criterion) {
    let mut far_end = FarEnd::new();
    let mut stream = ReceiveStream::new(8_000);
    let mut now = monotonic();
    criterion.bench_function("rtp/write, read and account for a packet", |bencher| {
        bencher.iter(|| {
            now += PACKET_TIME;
            let packet = Packet::parse(black_box(far_end.next(0))).expect("RTP");
            stream.measure(packet.header.timestamp, now);
            stream.receive(&packet.header)
        });
    });
    let mut receiver = EventReceiver::default();
    let mut far_end = FarEnd::new();
    let mut count = 0_u16;
    criterion.bench_function("dtmf/packet of a telephone event", |bencher| {
        bencher.iter(|| {
            now += PACKET_TIME;
            count = count.wrapping_add(1);
            let Header { sequence, .. } = Packet::parse(far_end.next(101)).expect("RTP").header;
            // Ten packets a press, the last three say that it has ended.
            let place = count % 10;
            let header = Header {
                marker: place == 0,
                payload_type: 101,
                sequence,
                timestamp: u32::from(count / 10) * 1_600,
                ssrc: 7,
            };
            let duration = (place.min(7) + 1) * 160;
            let [high, low] = duration.to_be_bytes();
            let payload = [5, if place >= 7 { 0x8a } else { 0x0a }, high, low];
            receiver.receive(&header, EventPacket::parse(black_box(&payload))?, now)
        });
    });
}

fn agreed(remote: SocketAddr) -> Negotiated {
    let same = |number| PayloadPair {
        send: number,
        receive: number,
    };
    Negotiated {
        codecs: vec![AgreedCodec {
            codec: Codec::Pcmu,
            payload: same(0),
        }],
        telephone_event: Some(same(101)),
        redundancy: None,
        remote_rtp: Some(remote),
        remote_rtcp: Some(remote),
        rtcp_mux: true,
        direction: Direction::SendRecv,
        packet_time: PACKET_TIME,
    }
}

fn session(criterion: &mut Criterion) {
    let remote: SocketAddr = ([192, 0, 2, 9], 30_000).into();
    let start = monotonic();
    let mut session = Session::new(
        SessionConfig::default(),
        agreed(remote),
        start,
        StdRng::seed_from_u64(1),
    );
    let clip = Clip::from_pcm(&vec![9_000; 80_000]);
    let mut playbacks = 0;
    let mut play = |session: &mut Session, now| {
        playbacks += 1;
        let playlist = Playlist {
            segments: vec![Segment::Clip(clip.clone())],
            ..Playlist::default()
        };
        session.handle_command(Command::Play(PlaybackId(playbacks), playlist), now);
    };
    play(&mut session, start);
    let mut far_end = FarEnd::new();
    let mut buffer = [0; MAX_PACKET_LEN];
    criterion.bench_function(
        "media/20 ms of a call: a packet in, a packet of a prompt out",
        |bencher| {
            bencher.iter(|| {
                let now = session.deadline();
                session.handle_datagram(Port::Rtp, remote, black_box(far_end.next(0)), now);
                let sent = session.tick(now, &mut buffer);
                let _ = session.poll_rtcp(now, &mut buffer);
                while let Some(event) = session.poll_event() {
                    if matches!(event, MediaEvent::PlaybackFinished(_)) {
                        play(&mut session, now);
                    }
                }
                assert!(sent.is_some(), "a packet each time");
            });
        },
    );
}
