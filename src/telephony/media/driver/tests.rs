//! The driver with real sockets on the loopback interface, in real time.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use rand::RngExt as _;
use tokio::sync::mpsc;

use super::wheel::PACK;
use super::{EngineConfig, Lease, MediaEngine, MediaError, MediaHandle};
use crate::digit::Digit;
use crate::telephony::codec::{Clip, Codec};
use crate::telephony::media::{MediaEvent, Playlist, Recorder, Seat, Segment, SessionConfig, SoundDetection};
use crate::telephony::rtp::{HEADER_LEN, Header, Packet};
use crate::telephony::sdp::{Description, LocalMedia, Negotiated, Negotiator};

const MS: Duration = Duration::from_millis(1);
const V4: &str = "127.0.0.1";

fn ip(text: &str) -> IpAddr {
    text.parse().expect("address")
}

/// An engine with so many pairs of ports that nobody uses now. They lie below the ports that the system gives out by
/// itself, so that they stay unused.
fn engine(pairs: u16) -> MediaEngine {
    let mut rng = rand::rng();
    let ports = (0..1_000)
        .map(|_| 2 * rng.random_range(5_000..16_000 - pairs))
        .map(|first| first..=first + 2 * pairs - 1)
        .find(|ports| ports.clone().all(|port| UdpSocket::bind((V4, port)).is_ok()))
        .expect("unused ports");
    MediaEngine::start(EngineConfig {
        ports,
        workers: 2,
        ..EngineConfig::default()
    })
    .expect("started")
}

/// What two ends agree by offer and answer: that of the one who calls, and that of the one who is called.
fn negotiate(caller: SocketAddr, callee: SocketAddr) -> (Negotiated, Negotiated) {
    let local = |address: SocketAddr| LocalMedia::new(address.ip(), address.port());
    let mut negotiator = Negotiator::new(1);
    let offer = Description::parse(&negotiator.offer(&local(caller))).expect("ours");
    let (answer, there) = Negotiator::new(2).answer(&offer, &local(callee)).expect("acceptable");
    let here = negotiator
        .accept(&Description::parse(&answer).expect("ours"))
        .expect("acceptable");
    (here, there)
}

fn open(engine: &MediaEngine, lease: Lease, agreed: Negotiated) -> (MediaHandle, mpsc::Receiver<MediaEvent>) {
    let (sender, events) = mpsc::channel(64);
    let config = SessionConfig {
        sound_detection: SoundDetection::On,
        ..SessionConfig::default()
    };
    (engine.open(lease, config, agreed, sender).expect("opened"), events)
}

/// A session that talks to a plain socket.
fn open_to_socket(engine: &MediaEngine) -> (MediaHandle, mpsc::Receiver<MediaEvent>, UdpSocket) {
    let peer = UdpSocket::bind((V4, 0)).expect("bound");
    peer.set_read_timeout(Some(2_000 * MS)).expect("set");
    let lease = engine.lease(ip(V4)).expect("leased");
    let (_, agreed) = negotiate(peer.local_addr().expect("bound"), lease.rtp_address());
    let (handle, events) = open(engine, lease, agreed);
    (handle, events, peer)
}

fn tone(duration: Duration) -> Playlist {
    let pcm = vec![10_000; duration.as_millis() as usize * 8];
    Playlist {
        segments: vec![Segment::Clip(Clip::from_pcm(&pcm))],
        ..Playlist::default()
    }
}

/// A panicked thread left its calls in the count and refused half of all new ones, until the program was started again.
#[tokio::test]
async fn a_media_thread_that_panics_ends_its_calls_and_takes_new_ones() {
    let engine = engine(2 * PACK as u16 + 1);
    let (broken, mut events, _peer) = open_to_socket(&engine);
    // The second thread begins with the second pack.
    let _pack: Vec<_> = (1..PACK).map(|_| open_to_socket(&engine)).collect();
    let (_other, _others, other_peer) = open_to_socket(&engine);
    broken.panic_worker();
    let ended = tokio::time::timeout(5_000 * MS, async { while events.recv().await.is_some() {} });
    ended.await.expect("the events of its sessions end");
    eventually("giving back places and ports", || {
        engine.stats().sessions == 1 && engine.free_pairs() == 2 * PACK
    });
    assert!(broken.stats().await.is_none());
    next_packet(&other_peer);
    // The last of these comes to the thread that panicked.
    let fresh: Vec<_> = (0..PACK).map(|_| open_to_socket(&engine)).collect();
    for (_, _, peer) in &fresh {
        next_packet(peer);
    }
}

/// Next packet that is RTP, with the time it was read.
fn next_packet(peer: &UdpSocket) -> (Instant, Header, Vec<u8>) {
    loop {
        let mut buffer = [0; 2_048];
        let (len, _) = peer.recv_from(&mut buffer).expect("a packet in time");
        let packet = Packet::parse(&buffer[..len]).expect("rtp");
        if packet.header.payload_type < 72 || packet.header.payload_type > 76 {
            return (crate::time::monotonic(), packet.header, packet.payload.to_vec());
        }
    }
}

fn send(peer: &UdpSocket, to: SocketAddr, sequence: u16, payload_type: u8, payload: &[u8]) {
    let header = Header {
        marker: false,
        payload_type,
        sequence,
        timestamp: 160 * u32::from(sequence),
        ssrc: 7,
    };
    let mut buffer = [0; 512];
    header.write(&mut buffer).expect("room")[..payload.len()].copy_from_slice(payload);
    peer.send_to(&buffer[..HEADER_LEN + payload.len()], to).expect("sent");
}

async fn next_event(events: &mut mpsc::Receiver<MediaEvent>) -> MediaEvent {
    tokio::time::timeout(5_000 * MS, events.recv())
        .await
        .expect("in time")
        .expect("an event")
}

/// Waits for a condition, not for a time.
fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let start = crate::time::monotonic();
    while !condition() {
        assert!(crate::time::monotonic() - start < 5_000 * MS, "{what} did not happen");
        std::thread::sleep(2 * MS);
    }
}

#[tokio::test]
async fn packets_leave_on_an_absolute_schedule() {
    let engine = engine(4);
    let (handle, _events, peer) = open_to_socket(&engine);
    let (first_at, first, _) = next_packet(&peer);
    let mut last = first_at;
    for n in 1..=50u16 {
        let (at, header, payload) = next_packet(&peer);
        assert_eq!(header.sequence, first.sequence.wrapping_add(n));
        assert_eq!(header.timestamp, first.timestamp.wrapping_add(160 * u32::from(n)));
        assert_eq!(payload.len(), 160);
        last = at;
    }
    // Other tests load the machine: single packets may be late, the schedule is not.
    let drift = (last - first_at).abs_diff(1_000 * MS);
    assert!(drift < 50 * MS, "{drift:?}");
    assert_eq!(handle.stats().await.expect("figures").invalid, 0);
}

#[tokio::test]
async fn a_key_silences_the_prompt_within_one_packet_time() {
    let engine = engine(4);
    let (handle, mut events, peer) = open_to_socket(&engine);
    let playback = handle.play(tone(10_000 * MS)).expect("accepted");
    let is_loud = |payload: &[u8]| payload.iter().any(|&byte| byte != Codec::Pcmu.silence());
    while !is_loud(&next_packet(&peer).2) {}
    send(&peer, handle.rtp_address(), 1, 101, &[5, 10, 0, 160]);
    // One packet may have been under way when the key was sent.
    let loud = (0..10).filter(|_| is_loud(&next_packet(&peer).2)).count();
    assert!(loud <= 1, "{loud} packets after the key");
    assert!(matches!(
        next_event(&mut events).await,
        MediaEvent::DigitPressed(Digit::D5, _)
    ));
    assert_eq!(next_event(&mut events).await, MediaEvent::PlaybackStopped(playback));
}

#[tokio::test]
async fn two_sessions_talk_and_press_keys_over_ipv4_and_ipv6() {
    for address in [V4, "::1"] {
        let engine = engine(4);
        let [caller, callee] = [(); 2].map(|()| engine.lease(ip(address)).expect("leased"));
        let (here, there) = negotiate(caller.rtp_address(), callee.rtp_address());
        let (phone, mut phone_events) = open(&engine, caller, here);
        let (ivr, mut ivr_events) = open(&engine, callee, there);
        let playback = ivr.play(tone(200 * MS)).expect("accepted");
        assert!(matches!(next_event(&mut phone_events).await, MediaEvent::SoundBegan(_)));
        assert_eq!(
            next_event(&mut ivr_events).await,
            MediaEvent::PlaybackFinished(playback)
        );
        for digit in [Digit::D4, Digit::D4, Digit::Pound] {
            phone.press(digit, 50 * MS, 50 * MS).expect("accepted");
        }
        for digit in [Digit::D4, Digit::D4, Digit::Pound] {
            let MediaEvent::DigitPressed(pressed, _) = next_event(&mut ivr_events).await else {
                panic!("no key")
            };
            assert!(pressed == digit);
        }
        let stats = ivr.close().await.expect("figures");
        assert_eq!(
            (stats.digits_by_event, stats.strangers, stats.received.lost),
            (3, 0, 0),
            "{stats:?}"
        );
        assert!(stats.received.jitter < 20 * MS, "{stats:?}");
    }
}

#[tokio::test]
async fn a_call_is_recorded_while_it_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("call.wav");
    let engine = engine(4);
    let [caller, callee] = [(); 2].map(|()| engine.lease(ip(V4)).expect("leased"));
    let (here, there) = negotiate(caller.rtp_address(), callee.rtp_address());
    let (phone, _phone_events) = open(&engine, caller, here);
    let (ivr, mut ivr_events) = open(&engine, callee, there);
    let (recorder, tap) = Recorder::start(&path, Seat::System, crate::time::monotonic()).expect("started");
    ivr.record(Some(tap)).expect("accepted");
    phone.play(tone(300 * MS)).expect("accepted");
    let playback = ivr.play(tone(500 * MS)).expect("accepted");
    while next_event(&mut ivr_events).await != MediaEvent::PlaybackFinished(playback) {}
    let stats = ivr.close().await.expect("figures");
    let recording = tokio::task::spawn_blocking(|| recorder.finish())
        .await
        .expect("joined")
        .expect("written");
    assert_eq!(stats.record_dropped, 0);
    assert!(
        recording.duration >= 480 * MS && recording.duration < 2_000 * MS,
        "{recording:?}"
    );
    let samples = hound::WavReader::open(&path)
        .expect("a recording")
        .into_samples::<i16>();
    let samples: Vec<i16> = samples.collect::<Result<_, _>>().expect("samples");
    let loud = |channel: usize| samples.chunks_exact(2).filter(|pair| pair[channel] > 5_000).count();
    assert_eq!(loud(1), 500 * 8, "every sample that was played");
    assert!(loud(0) > 200 * 8, "what the caller said: {}", loud(0));
}

#[tokio::test]
async fn an_unreachable_far_end_is_no_error() {
    let engine = engine(4);
    let (handle, mut events, peer) = open_to_socket(&engine);
    let address = peer.local_addr().expect("bound");
    next_packet(&peer);
    drop(peer); // ICMP port unreachable from here on
    std::thread::sleep(200 * MS);
    let peer = UdpSocket::bind(address).expect("bound again");
    peer.set_read_timeout(Some(2_000 * MS)).expect("set");
    next_packet(&peer);
    send(&peer, handle.rtp_address(), 1, 101, &[5, 10, 0, 160]);
    assert!(matches!(
        next_event(&mut events).await,
        MediaEvent::DigitPressed(Digit::D5, _)
    ));
}

#[tokio::test]
async fn a_full_event_queue_never_stops_the_packets() {
    let engine = engine(4);
    let peer = UdpSocket::bind((V4, 0)).expect("bound");
    peer.set_read_timeout(Some(2_000 * MS)).expect("set");
    let lease = engine.lease(ip(V4)).expect("leased");
    let (_, agreed) = negotiate(peer.local_addr().expect("bound"), lease.rtp_address());
    let (sender, events) = mpsc::channel(2);
    let handle = engine
        .open(lease, SessionConfig::default(), agreed, sender)
        .expect("opened");
    for n in 0..10 {
        send(&peer, handle.rtp_address(), n, 101, &[(n % 2) as u8, 10, 0, 160]);
    }
    eventually("dropping", || engine.stats().events_dropped == 8);
    next_packet(&peer);
    assert_eq!(handle.stats().await.expect("figures").events_dropped, 8);
    drop(events);
    next_packet(&peer);
}

#[test]
fn exhausted_ports_are_told_and_come_back() {
    let engine = engine(2);
    let one = engine.lease(ip(V4)).expect("leased");
    let other = engine.lease(ip(V4)).expect("leased");
    assert_eq!(one.rtp_address().port() % 2, 0);
    assert_eq!(one.rtcp_address().port(), one.rtp_address().port() + 1);
    let error = engine.lease(ip(V4)).expect_err("exhausted");
    let first = one.rtp_address().port().min(other.rtp_address().port());
    let told = matches!(error, MediaError::PortsExhausted { first: from, last } if (from, last) == (first, first + 3));
    assert!(told, "{error}");
    drop(one);
    let again = engine.lease(ip(V4)).expect("leased again");
    drop((other, again));
    // A port that somebody else holds is passed over, and is not lost.
    let foreign = UdpSocket::bind((V4, first + 1)).expect("bound");
    for _ in 0..20 {
        assert_eq!(engine.lease(ip(V4)).expect("leased").rtp_address().port(), first + 2);
    }
    drop(foreign);
    let both = [engine.lease(ip(V4)), engine.lease(ip(V4))];
    assert!(both.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_dropped_handle_says_goodbye_and_frees_its_ports() {
    let engine = engine(1);
    let (handle, _events, peer) = open_to_socket(&engine);
    next_packet(&peer);
    assert_eq!(engine.stats().sessions, 1);
    drop(handle);
    eventually("the end", || engine.stats().sessions == 0);
    let mut goodbyes = 0;
    peer.set_read_timeout(Some(50 * MS)).expect("set");
    let mut buffer = [0; 2_048];
    while let Ok((len, _)) = peer.recv_from(&mut buffer) {
        goodbyes += usize::from(buffer[1] == 200 && buffer[len - 7] == 203);
    }
    assert_eq!(goodbyes, 1);
    engine.lease(ip(V4)).expect("free again");
}

#[test]
fn many_sessions_leave_no_port_behind_and_shutdown_ends_the_threads() {
    let engine = engine(50);
    for _ in 0..3 {
        let open: Vec<_> = (0..50).map(|_| open_to_socket(&engine)).collect();
        eventually("all open", || engine.stats().sessions == 50);
        drop(open);
        eventually("all ended", || engine.stats().sessions == 0);
        assert_eq!(engine.free_pairs(), 50);
    }
    assert_eq!(engine.stats().sessions_opened, 150);
    let (handle, _events, peer) = open_to_socket(&engine);
    next_packet(&peer);
    engine.shutdown();
    assert!(matches!(handle.stop(), Err(MediaError::Stopped)));
    assert!(UdpSocket::bind(handle.rtp_address()).is_ok(), "its socket is closed");
}

#[test]
fn an_idle_engine_starts_again_when_a_call_comes() {
    let engine = engine(2);
    for _ in 0..3 {
        std::thread::sleep(150 * MS);
        let (handle, _events, peer) = open_to_socket(&engine);
        let before = crate::time::monotonic();
        let (at, ..) = next_packet(&peer);
        assert!(at - before < 500 * MS);
        drop(handle);
        eventually("the end", || engine.stats().sessions == 0);
    }
}
